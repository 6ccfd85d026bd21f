/** How fresh the page is, in words and with an icon, always in sight; and a banner once it has been stale for a while. */
import { Icon } from './icons.tsx';
import { feedState, liveDesks, retryFeed } from './live-alerts.ts';
import { format, messages, now } from './locale.ts';
import { place } from './location.ts';
import { ownDesks } from './session.ts';

/** A server that restarts is back within this; a banner for less would only startle. */
const STALE_AFTER_MS = 5_000;

export function ConnectionState() {
  const t = messages.value.connection;
  const state = feedState.value;
  const desk = liveDesks[place.value.desk];
  let look: 'live' | 'connecting' | 'offline' = 'live';
  let text = t.live;
  if (state.kind === 'connecting') [look, text] = ['connecting', t.connecting];
  else if (state.kind === 'closed') [look, text] = ['offline', t.closed];
  else if (state.kind === 'waiting') {
    const leftSec = Math.ceil((state.retryAt - now.value) / 1000);
    [look, text] = ['offline', leftSec > 0 ? t.waiting(format.value.seconds(leftSec)) : t.reconnecting];
  } else if (place.value.page === 'desk' && ownDesks().includes(place.value.desk) && desk.loading.value) {
    desk.version.value;
    [look, text] = ['connecting', t.loading(format.value.number(desk.queue.counts().total))];
  }
  const spoken = look === 'offline' ? t.reconnecting : state.kind === 'live' ? t.live : t.connecting;
  return (
    <div class={`connection ${look}`} data-state={state.kind}>
      <Icon name={look} />
      <span class="visually-hidden">{t.label}</span>
      <span>{text}</span>
      {/* Spoken when the state changes, and not with every second of the countdown. */}
      <span class="visually-hidden" role="status">
        {spoken}
      </span>
    </div>
  );
}

export function StaleBanner() {
  const t = messages.value.connection;
  const state = feedState.value;
  const loadError = place.value.page === 'desk' ? liveDesks[place.value.desk].loadError.value : '';
  if (state.kind === 'waiting' && now.value - state.since >= STALE_AFTER_MS) {
    return (
      <div class="banner" role="alert">
        <Icon name="offline" />
        <span>{t.stale(format.value.clock(state.since))}</span>
        <button type="button" class="button" onClick={retryFeed}>
          {t.retryNow}
        </button>
      </div>
    );
  }
  if (loadError === '') return null;
  return (
    <div class="banner" role="alert">
      <Icon name="offline" />
      <span>{t.loadFailed(loadError)}</span>
    </div>
  );
}
