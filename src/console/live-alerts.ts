/**
 * Keeps the queues of all desks right: the live feed brings what happens, the API what is there already.
 *
 * The order makes it complete. The feed says hello with its position first; only then is the existing read, so that an
 * alert published in between comes over the feed. What comes over both is told apart by id and revision.
 *
 * The desk on the screen is read in full. Of the others only the firing critical alerts are read, which their badges
 * count, until somebody goes there.
 */
import { batch, computed, effect, type Signal, signal, untracked } from '@preact/signals';
import { type AlertData, DESKS, type Desk } from '../alerts/alert.ts';
import { type AlertFeed, type CaseFrame, type FeedState, openAlertFeed } from './alert-feed.ts';
import { completeAlert } from './alert-intake.ts';
import { type AlertListFilter, ApiError, getAlerts, liveAddress, probe } from './api.ts';
import { createDeskQueue, type DeskQueue, QUEUE_ALERTS_MAX } from './desk-queue.ts';
import { place } from './location.ts';
import { ownDesks, session } from './session.ts';

/** Changes reach the screen at most this often: 200 alerts a second are then ten updates of the visible rows. */
const FLUSH_MS = 100;
/** Where the socket cannot connect, the existing alerts are shown all the same after this long. */
const LOAD_WITHOUT_FEED_MS = 1_500;
const LOAD_RETRY_MS = 3_000;
const LIST_BEHIND_MS = 100;
/** The first alerts of a desk are read without a pause; the rest can wait. */
const URGENT_ALERTS = 2_000;
const PAGE_PAUSE_MIN_MS = 50;
/** Alerts read for the badge of a desk that is not on the screen; beyond it the badge is a lower bound. */
const BADGE_ALERTS_MAX = 2_000;

export interface LiveDesk {
  queue: DeskQueue;
  /** Counts up whenever rows, counts or waiting alerts have changed: reading it subscribes to the queue. */
  version: Signal<number>;
  /** False once all that exists has been read. */
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

/** The title of a rule of which this page has seen an alert; undefined otherwise. */
export function alertedRuleTitle(ruleId: string): AlertData['title'] | undefined {
  for (const desk of DESKS) {
    const title = liveDesks[desk].queue.ruleTitle(ruleId);
    if (title !== undefined) return title;
  }
  return undefined;
}

export const feedState = signal<FeedState>({ kind: 'connecting' });

const caseListeners = new Set<(frames: readonly CaseFrame[]) => void>();
let caseFrames: CaseFrame[] = [];
/** Calls with the cases that have changed, at most every FLUSH_MS; returns the function that ends it. */
export function onCaseFrames(listener: (frames: readonly CaseFrame[]) => void): () => void {
  caseListeners.add(listener);
  return () => caseListeners.delete(listener);
}
function flushCases(): void {
  const frames = caseFrames;
  caseFrames = [];
  batch(() => {
    for (const listener of [...caseListeners]) listener(frames);
  });
}

let feed: AlertFeed | undefined;
let flushTimer: ReturnType<typeof setTimeout> | undefined;
/** Where the feed began: lists must reach at least this far. Undefined before there is anything to read. */
let feedStart: number | undefined;
let loader: AbortController | undefined;
/** Desks whose badge has been counted since the feed began. */
const badges = new Set<Desk>();

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

/** Reads a list to its end, newest first, however long the server is away; false where it was called off. */
async function readList(filter: AlertListFilter, alertsMax: number, signal: AbortSignal): Promise<boolean> {
  const { queue, loadError } = liveDesks[filter.desk];
  let cursor: string | null = null;
  let read = 0;
  for (;;) {
    const askedAt = Date.now();
    let pauseMs = 0;
    try {
      const page = await getAlerts(filter, cursor, signal);
      loadError.value = '';
      if (page.seq !== undefined && page.seq < (feedStart ?? 0)) {
        // The list does not reach the start of the feed yet: between the two there would be a hole.
        pauseMs = LIST_BEHIND_MS;
      } else {
        for (const alert of page.alerts) queue.upsert(completeAlert(alert));
        flushSoon();
        read += page.alerts.length;
        cursor = page.next;
        if (cursor === null || read >= alertsMax) return true;
        // What nobody sees yet is not urgent, and the server has records to watch: it rests as long as it worked.
        if (read >= URGENT_ALERTS) pauseMs = Math.max(PAGE_PAUSE_MIN_MS, Date.now() - askedAt);
      }
    } catch (error) {
      if (signal.aborted) return false;
      if (!(error instanceof ApiError)) throw error;
      loadError.value = error.message;
      // A refused page address means: from the top.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) cursor = null;
      pauseMs = error.retryAfterSec > 0 ? error.retryAfterSec * 1000 : LOAD_RETRY_MS;
    }
    if (pauseMs > 0) await pause(pauseMs);
    if (signal.aborted) return false;
  }
}

/** Reads what is not read yet, `desk` before all; a reading that is under way for another desk is called off. */
async function load(desk: Desk): Promise<void> {
  loader?.abort();
  loader = new AbortController();
  const { signal } = loader;
  const shown = liveDesks[desk];
  if (shown.loading.value && ownDesks().includes(desk)) {
    shown.queue.beginReload();
    if (!(await readList({ desk }, QUEUE_ALERTS_MAX, signal))) return;
    shown.queue.endReload();
    shown.loading.value = false;
    flushSoon();
  }
  for (const other of ownDesks()) {
    if (badges.has(other) || !liveDesks[other].loading.value) continue;
    const counted = { desk: other, severity: 'critical', status: 'firing' } as const;
    if (!(await readList(counted, BADGE_ALERTS_MAX, signal))) return;
    badges.add(other);
  }
}

/** Everything up to `seq` has to be read again. */
function reload(seq: number): void {
  feedStart = seq;
  badges.clear();
  for (const desk of DESKS) liveDesks[desk].loading.value = true;
  void load(place.peek().desk);
}

/** Connects, and goes on for as long as the page lives. */
export function startLiveAlerts(): void {
  const withoutFeed = setTimeout(() => reload(0), LOAD_WITHOUT_FEED_MS);
  feed = openAlertFeed({
    address: (since) => liveAddress(since, session.peek()?.signIn === 'required'),
    onSignInNeeded: () => window.location.reload(),
    probe,
    onAlert(alert) {
      const desk = liveDesks[alert.desk];
      if (!desk.queue.upsert(completeAlert(alert))) return;
      if (alert.severity === 'critical' && alert.status === 'firing') desk.criticalArrivals.value += 1;
      flushSoon();
    },
    onCase(frame) {
      if (caseListeners.size === 0) return;
      if (caseFrames.length === 0) setTimeout(flushCases, FLUSH_MS);
      // Whoever is told to read everything again needs nothing of what was before.
      if (frame.kind === 'casesResync') caseFrames = [];
      caseFrames.push(frame);
    },
    onResync(seq) {
      clearTimeout(withoutFeed);
      reload(seq);
    },
    onState(state) {
      feedState.value = state;
    },
  });
  const shownDesk = computed(() => place.value.desk);
  effect(() => {
    const desk = shownDesk.value;
    untracked(() => {
      if (feedStart !== undefined && liveDesks[desk].loading.value) void load(desk);
    });
  });
}

export function retryFeed(): void {
  feed?.retryNow();
}
