/**
 * Keeps the queues of all desks right: the live feed brings what happens, the API what is there already.
 *
 * The order makes it complete. The feed says hello with its position first; only then is the existing read, so that an
 * alert published in between comes over the feed. What comes over both is told apart by id and revision.
 */
import { batch, type Signal, signal } from '@preact/signals';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { type AlertFeed, type FeedState, openAlertFeed } from './alert-feed.ts';
import { completeAlert } from './alert-intake.ts';
import { ApiError, getAlerts, liveAddress, probe } from './api.ts';
import { createDeskQueue, type DeskQueue, QUEUE_ALERTS_MAX } from './desk-queue.ts';

/** Changes reach the screen at most this often: 200 alerts a second are then ten updates of the visible rows. */
const FLUSH_MS = 100;
/** Where the socket cannot connect, the existing alerts are shown all the same after this long. */
const LOAD_WITHOUT_FEED_MS = 1_500;
const LOAD_RETRY_MS = 3_000;
const LIST_BEHIND_MS = 100;

export interface LiveDesk {
  queue: DeskQueue;
  /** Counts up whenever rows, counts or waiting alerts have changed: reading it subscribes to the queue. */
  version: Signal<number>;
  loading: Signal<boolean>;
  /** Why the existing alerts could not be loaded; empty while all is well. */
  loadError: Signal<string>;
  /** Critical alerts that came in live, ever: what a screen reader is told about. */
  criticalArrivals: Signal<number>;
}

function createLiveDesk(): LiveDesk {
  return {
    queue: createDeskQueue(),
    version: signal(0),
    loading: signal(true),
    loadError: signal(''),
    criticalArrivals: signal(0),
  };
}

export const liveDesks: Record<Desk, LiveDesk> = {
  fraud: createLiveDesk(),
  arrears: createLiveDesk(),
  retention: createLiveDesk(),
};

export const feedState = signal<FeedState>({ kind: 'connecting' });

let feed: AlertFeed | undefined;
let flushTimer: ReturnType<typeof setTimeout> | undefined;
let loader: AbortController | undefined;

/** Brings what has changed onto the screen now; a held queue keeps its rows in place all the same. */
export function flushDesks(): void {
  clearTimeout(flushTimer);
  flushTimer = undefined;
  batch(() => {
    for (const desk of DESKS) {
      liveDesks[desk].queue.flush();
      liveDesks[desk].version.value += 1;
    }
  });
}

function flushSoon(): void {
  flushTimer ??= setTimeout(flushDesks, FLUSH_MS);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Reads all alerts of a desk, newest first, page by page; tries again for as long as it is wanted. `seq` is what the
 * feed begins behind: a list that does not reach it yet would leave a hole, so it is asked for again.
 */
async function loadDesk(desk: Desk, seq: number, signal: AbortSignal): Promise<void> {
  const { queue, loading, loadError } = liveDesks[desk];
  loading.value = true;
  queue.beginReload();
  let cursor: string | null = null;
  let loaded = 0;
  for (;;) {
    try {
      const page = await getAlerts(desk, cursor, signal);
      loadError.value = '';
      if (page.seq !== undefined && page.seq < seq) {
        await pause(LIST_BEHIND_MS);
      } else {
        for (const alert of page.alerts) queue.upsert(completeAlert(alert));
        flushSoon();
        loaded += page.alerts.length;
        cursor = page.next;
        if (cursor === null || loaded >= QUEUE_ALERTS_MAX) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      loadError.value = error.message;
      // A refused page address means: from the top.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) cursor = null;
      await pause(error.retryAfterSec > 0 ? error.retryAfterSec * 1000 : LOAD_RETRY_MS);
    }
    if (signal.aborted) return;
  }
  queue.endReload();
  loading.value = false;
  flushSoon();
}

async function loadAll(first: Desk, seq: number): Promise<void> {
  loader?.abort();
  const mine = new AbortController();
  loader = mine;
  for (const desk of [first, ...DESKS.filter((other) => other !== first)]) {
    if (mine.signal.aborted) return;
    await loadDesk(desk, seq, mine.signal);
  }
}

/** Starts the feed; `first` is the desk on the screen, whose alerts are read before those of the others. */
export function startLiveAlerts(first: () => Desk): void {
  const withoutFeed = setTimeout(() => void loadAll(first(), 0), LOAD_WITHOUT_FEED_MS);
  feed = openAlertFeed({
    address: liveAddress,
    probe,
    onAlert(alert) {
      const desk = liveDesks[alert.desk];
      if (!desk.queue.upsert(completeAlert(alert))) return;
      if (alert.severity === 'critical' && alert.status === 'firing') desk.criticalArrivals.value += 1;
      flushSoon();
    },
    onResync(seq) {
      clearTimeout(withoutFeed);
      void loadAll(first(), seq);
    },
    onState(state) {
      feedState.value = state;
    },
  });
}

export function retryFeed(): void {
  feed?.retryNow();
}
