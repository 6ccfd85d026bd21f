/**
 * The live feed of alerts over one WebSocket that never loses and never repeats.
 *
 * Every frame carries its sequence in the ALERTS stream; the last one seen is where a new connection goes on
 * (`since`). Where the server cannot go on from there, or cut us off because we were slow, it says `resync`, and the
 * caller loads everything again: alerts are known by id and revision, so loading twice does no harm.
 */
import type { AlertData } from '../alerts/alert.ts';
import type { CaseSummary } from '../cases/case-view.ts';

export type AlertFrame =
  | { kind: 'hello'; seq: number }
  | { kind: 'resync'; seq: number }
  | { kind: 'alert'; seq: number; alert: AlertData }
  | CaseFrame;

/** Changed cases have no sequence: whoever was away reads the list again. */
export type CaseFrame =
  | { kind: 'case'; case: CaseSummary }
  | { kind: 'caseGone'; caseId: string }
  | { kind: 'casesResync' };

export type FeedState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** `since` is when the connection was lost, `retryAt` when the next attempt begins; epoch ms. */
  | { kind: 'waiting'; since: number; retryAt: number }
  | { kind: 'closed' };

/** The server closes with it where the session has ended. */
const CLOSE_SIGN_IN = 4401;
const RETRY_MIN_MS = 250;
/** Also the longest time that a page needs to notice that a server is back. */
const RETRY_MAX_MS = 8_000;
/** A silent connection may be dead without the browser knowing; after this long it is asked for. */
const SILENCE_PROBE_MS = 20_000;

export interface AlertFeedOptions {
  /** Address of the socket for a position; undefined: only what comes from now on. */
  address(since: number | undefined): Promise<string>;
  /** The server has ended the session (close code 4401). */
  onSignInNeeded(): void;
  onAlert(alert: AlertData): void;
  /** `casesResync` also after each lost connection. */
  onCase(frame: CaseFrame): void;
  /** Everything up to this sequence may be unknown: load it. Called at the first connection as well. */
  onResync(seq: number): void;
  onState(state: FeedState): void;
  /** Rejects where the server cannot be reached; used when the feed has been silent for long. */
  probe(): Promise<void>;
}

export interface AlertFeed {
  /** Does not wait for the next attempt. */
  retryNow(): void;
  close(): void;
}

export function openAlertFeed(options: AlertFeedOptions): AlertFeed {
  let socket: WebSocket | undefined;
  let lastSeq: number | undefined;
  let attempts = 0;
  let lostAt: number | undefined;
  let closed = false;
  /** The address of the next socket is being asked for. */
  let connecting = false;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let silenceTimer: ReturnType<typeof setTimeout> | undefined;

  const watchSilence = (watched: WebSocket): void => {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(() => {
      options.probe().then(
        () => watched === socket && watchSilence(watched),
        // close() alone would wait for a peer that may be gone; `lose` does not.
        () => watched === socket && lose(watched),
      );
    }, SILENCE_PROBE_MS);
  };

  const lose = (lost: WebSocket): void => {
    if (lost !== socket) return;
    socket = undefined;
    clearTimeout(silenceTimer);
    lost.close();
    if (!closed) retryLater();
  };

  const retryLater = (): void => {
    connecting = false;
    lostAt ??= Date.now();
    // Half of the delay is drawn by lot, so that a hundred desks do not come back in the same instant.
    const ceilingMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** attempts);
    const delayMs = ceilingMs * (0.5 + Math.random() / 2);
    attempts += 1;
    options.onState({ kind: 'waiting', since: lostAt, retryAt: Date.now() + delayMs });
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, delayMs);
  };

  /** Later attempts make earlier ones void, also those that still wait for their address. */
  let attempt = 0;
  const connect = (): void => {
    clearTimeout(retryTimer);
    if (lostAt === undefined) options.onState({ kind: 'connecting' });
    attempt += 1;
    const own = attempt;
    connecting = true;
    options.address(lastSeq).then(
      (address) => {
        if (own === attempt && !closed) open(address);
      },
      () => {
        if (own === attempt && !closed) retryLater();
      },
    );
  };

  const open = (address: string): void => {
    connecting = false;
    const opened = new WebSocket(address);
    socket = opened;
    // A socket that neither opens nor fails would leave the page waiting for ever.
    watchSilence(opened);
    opened.addEventListener('message', (event) => {
      if (opened !== socket) return;
      watchSilence(opened);
      const frame = JSON.parse(String(event.data)) as AlertFrame;
      if (frame.kind === 'alert') {
        lastSeq = frame.seq;
        options.onAlert(frame.alert);
        return;
      }
      if (frame.kind === 'case' || frame.kind === 'caseGone' || frame.kind === 'casesResync') {
        options.onCase(frame);
        return;
      }
      if (frame.kind === 'hello') options.onCase({ kind: 'casesResync' });
      attempts = 0;
      lostAt = undefined;
      options.onState({ kind: 'live' });
      // A hello in answer to `since` changes nothing: the alerts that were missed follow it.
      if (frame.kind === 'resync' || lastSeq === undefined) {
        lastSeq = frame.seq;
        options.onResync(frame.seq);
      }
    });
    opened.addEventListener('close', (event) => {
      if (event.code === CLOSE_SIGN_IN) options.onSignInNeeded();
      lose(opened);
    });
  };

  connect();
  return {
    retryNow() {
      if (closed || connecting || socket !== undefined) return;
      attempts = 0;
      connect();
    },
    close() {
      closed = true;
      clearTimeout(retryTimer);
      clearTimeout(silenceTimer);
      socket?.close();
      socket = undefined;
      options.onState({ kind: 'closed' });
    },
  };
}
