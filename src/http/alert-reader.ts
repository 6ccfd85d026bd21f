/**
 * The one reader of the ALERTS stream in a gateway. It follows the stream from where the index stopped and gives every
 * alert first to the index and then to the live clients, so that whoever was told of an alert also finds it in a list. A
 * disk that takes nothing must not keep alerts from the desks: they then wait in memory for the index, up to a limit.
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Compile } from 'typebox/compile';
import type { AlertData } from '../alerts/alert.ts';
import { isDiskTrouble } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { SourceMessage } from '../source/delivery.ts';
import { followStream, type StreamExtent, streamExtent } from '../source/follower.ts';
import { openSource, type Source } from '../source/jetstream.ts';
import { ALERTS_STREAM } from '../source/streams.ts';
import type { AlertEntry, AlertIndex } from './alert-index.ts';
import { ListedAlertSchema } from './schemas.ts';

/** How often the stream is asked what it still keeps, so that the index forgets what it does not. */
const RETENTION_CHECK_MS = 60_000;
/** One pull of the reader, and of a client that resumes: a source buffers up to four of them. */
const PULL_MESSAGES = 1_024;
const PULL_BYTES = 2 * 1024 * 1024;
const REPLAY_PULL_MESSAGES = 256;
const REPLAY_PULL_BYTES = 512 * 1024;
/** Alerts and bytes handed on before the loop gets a turn: some 5 ms of index and push. */
const PORTION_ALERTS_MAX = 128;
const PORTION_BYTES_MAX = 256 * 1024;

/** Alerts that wait for the disk of the index while the live clients get them already. */
const BACKLOG_ALERTS_MAX = 4_096;
const DISK_RETRY_MS = 1_000;

export interface AlertReader {
  /** Everything up to this sequence was given to the live clients, and to the index but for what waits for its disk. */
  head(): number;
  /** True while the stream is being read. */
  reading(): boolean;
  /** Resolves when the reader has come to what was the end of the stream when it began to read. */
  caughtUp(): Promise<void>;
  /** Asks the broker; rejects where it does not answer. */
  extent(): Promise<StreamExtent>;
  /** A reader of its own for a client that resumes, from that sequence on. */
  openReplay(startSequence: number): Promise<Source>;
  /** Resolves when the reader has ended; rejects with the bug that ended it. */
  ended: Promise<void>;
  close(): Promise<void>;
}

export function createAlertReader(options: {
  nc: NatsConnection;
  jsm: JetStreamManager;
  index: AlertIndex;
  metrics: Metrics;
  log: Log;
  /** Most alerts to hand on at once, as far as the live clients are concerned. */
  portionMax(): number;
  /** Called after the index has them, in stream order. */
  onAlerts(entries: AlertEntry[], head: number): void;
  /** The stream is another one than before: all sequences known so far mean nothing any more. */
  onStreamReplaced(extent: StreamExtent): void;
}): AlertReader {
  const { nc, jsm, index, metrics, log } = options;
  const stop = new AbortController();
  let head = index.lastSequence();
  /** Portions that the disk of the index has not taken, in order. */
  const backlog: { entries: AlertEntry[]; lastSequence: number }[] = [];
  let backlogAlerts = 0;
  metrics.trackQueue('alert_index_backlog', BACKLOG_ALERTS_MAX, () => backlogAlerts);

  const extent = (): Promise<StreamExtent> => streamExtent(jsm, ALERTS_STREAM);

  /** The stream is the one that the index was made from, and the index is not ahead of it. */
  const isSameStream = (now: StreamExtent) => now.created === index.stream() && now.last >= head;

  /** Puts what waits into the index; false where its disk takes nothing for now. */
  const storeBacklog = (): boolean => {
    try {
      for (let first = backlog[0]; first !== undefined; first = backlog[0]) {
        index.apply(first.entries, first.lastSequence);
        backlog.shift();
        backlogAlerts -= first.entries.length;
      }
      return true;
    } catch (error) {
      if (!isDiskTrouble(error)) throw error;
      return false;
    }
  };
  let diskTrouble = false;
  const noteDisk = (stored: boolean): void => {
    if (stored && diskTrouble) log.info('the alert list is written again');
    if (!stored && !diskTrouble) log.error('the alert list cannot be written; live clients get their alerts');
    diskTrouble = !stored;
  };
  const store = async (entries: AlertEntry[], lastSequence: number): Promise<void> => {
    backlog.push({ entries, lastSequence });
    backlogAlerts += entries.length;
    for (;;) {
      const stored = storeBacklog();
      noteDisk(stored);
      if (stored || stop.signal.aborted || backlogAlerts < BACKLOG_ALERTS_MAX) return;
      await delay(DISK_RETRY_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  // Where no further alert comes, what waits must get in nevertheless.
  const diskRetry = setInterval(() => {
    if (backlog.length > 0) noteDisk(storeBacklog());
  }, DISK_RETRY_MS);
  diskRetry.unref();

  const hand = async (messages: SourceMessage[]): Promise<void> => {
    let portion: AlertEntry[] = [];
    let bytes = 0;
    for (const [position, message] of messages.entries()) {
      const entry = entryOf(message);
      if (entry === undefined) {
        // Not an alert and so nobody's alert: the metric shows it, the sequence tells where to look.
        metrics.alertFeedUnreadableTotal.inc();
        log.warn({ subject: message.subject, sequence: message.sequence }, 'message in the alert stream is no alert');
      } else {
        portion.push(entry);
        bytes += entry.json.length;
      }
      const isLast = position === messages.length - 1;
      const isFull = portion.length >= Math.min(PORTION_ALERTS_MAX, options.portionMax());
      if (isLast || isFull || bytes >= PORTION_BYTES_MAX) {
        await store(portion, message.sequence);
        if (stop.signal.aborted) return;
        head = message.sequence;
        options.onAlerts(portion, message.sequence);
        portion = [];
        bytes = 0;
        // Sockets are written and the engine runs between portions.
        if (!isLast) await nextTurn();
      }
    }
  };

  const follower = followStream({
    nc,
    jsm,
    stream: ALERTS_STREAM,
    log,
    pullMessages: PULL_MESSAGES,
    pullBytes: PULL_BYTES,
    position: () => ({ created: index.stream(), sequence: head }),
    onReplaced(now) {
      const isFirst = index.stream() === '';
      backlog.length = 0;
      backlogAlerts = 0;
      index.reset(now.created);
      head = 0;
      // A client that was quicker than the first look at the stream has nothing to begin again.
      if (isFirst) return;
      log.warn({ last: now.last }, 'alert stream is another one, alert index made anew');
      options.onStreamReplaced(now);
    },
    onMessages: hand,
  });

  const retention = setInterval(() => {
    if (!follower.reading()) return;
    extent().then(
      (now) => {
        if (!stop.signal.aborted && isSameStream(now)) index.forgetBefore(now.first);
      },
      () => {
        // No answer: the source notices it too, and the question is asked again in a minute.
      },
    );
  }, RETENTION_CHECK_MS);
  retention.unref();

  return {
    head: () => head,
    reading: follower.reading,
    caughtUp: follower.caughtUp,
    extent,
    openReplay: (startSequence) =>
      openSource(nc, {
        stream: ALERTS_STREAM,
        startSequence,
        streamCreated: index.stream(),
        pullMessages: REPLAY_PULL_MESSAGES,
        pullBytes: REPLAY_PULL_BYTES,
        onStall: (detail) => log.warn({ detail }, 'replay of the alert stream stalled'),
        signal: stop.signal,
      }),
    ended: follower.ended,
    async close() {
      clearInterval(retention);
      clearInterval(diskRetry);
      stop.abort();
      await follower.close();
    },
  };
}

const listedAlert = Compile(ListedAlertSchema);

/**
 * The alert in a message: `data` of a CloudEvent in structured mode, or the whole body in binary mode (`ce-*`
 * headers). Undefined where there is none, or none that could be passed on.
 */
export function entryOf(message: SourceMessage): AlertEntry | undefined {
  try {
    const { buffer, byteOffset, byteLength } = message.data;
    const body: unknown = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString());
    if (typeof body !== 'object' || body === null) return undefined;
    const alert = message.headers?.has('ce-specversion') ? body : 'data' in body ? body.data : undefined;
    if (!listedAlert.Check(alert)) return undefined;
    // The rest of the alert is passed on as its publisher wrote it.
    return { sequence: message.sequence, alert: alert as AlertData, json: JSON.stringify(alert) };
  } catch (error) {
    // No JSON; or JSON that is nested so deep that it can be read but not written.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}
