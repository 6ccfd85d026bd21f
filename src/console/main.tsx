/** Entry of the console: starts the live alerts and puts the page on the screen. */
import { render } from 'preact';
import { App } from './app.tsx';
import { retryFeed, startLiveAlerts } from './live-alerts.ts';

startLiveAlerts();
// Where the network itself comes back, waiting out the delay would be a waste.
window.addEventListener('online', retryFeed);
render(<App />, document.getElementById('app')!);
