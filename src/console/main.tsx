/**
 * Entry of the console: asks who is signed in, starts the live alerts and puts the page on the screen. Pictures of every page in both
 * languages and themes: `npm run screenshots -- FOLDER`.
 */
import { render } from 'preact';
import { App } from './app.tsx';
import { retryFeed, startLiveAlerts } from './live-alerts.ts';
import { go, place } from './location.ts';
import './field-sentence.ts';
import './server-sentence.ts';
import { loadSession, may, ownDesks, session } from './session.ts';
import { SignInPage } from './sign-in-page.tsx';

/** The frame and its pages, or the page that stands before them. */
function Console() {
  const view = session.value;
  if (view === undefined) return null;
  const inside = view.signIn === 'open' || (view.person !== null && !view.person.mustChangePassword);
  return inside ? <App /> : <SignInPage session={view} />;
}

await loadSession();
const desks = ownDesks();
if (desks.length > 0) {
  if (!desks.includes(place.peek().desk)) go({ desk: desks[0]! }, 'replace');
  startLiveAlerts();
  // Where the network itself comes back, waiting out the delay would be a waste.
  window.addEventListener('online', retryFeed);
} else if (may('getOperations') && place.peek().page === 'desk') go({ page: 'operations' }, 'replace');
render(<Console />, document.getElementById('app')!);
