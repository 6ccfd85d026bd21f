/**
 * The one reader of the ALERTS stream in a gateway. It follows the stream from where the index stopped, gives every
 * alert first to the index and then to the live clients (so whoever was told of an alert also finds it in a list), and
 * watches for the two things that a reader alone cannot see: that the stream was made anew, and that retention
 * took alerts away.
 *
 * States: waiting for NATS (asks again with growing pauses) -> reading -> waiting ... until `close`.
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Compile } from 'typebox/compile';
import type { AlertData } from '../alerts/alert.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { openSource, type Source, type SourceMessage } from '../source/jetstream.ts';
import type { AlertEntry, AlertIndex } from './alert-index.ts';
import { ListedAlertSchema } from './schemas.ts';

export const ALERT_STREAM = 'ALERTS';
/** Pauses between attempts to read while NATS or the stream is away. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** How often the stream is asked whether it is still the same one and what it still keeps. */
const STREAM_CHECK_MS = 10_000;
/** Alerts and bytes handed on before the loop gets a turn: some 5 ms of index and push. */
const PORTION_ALERTS_MAX = 128;
const PORTION_BYTES_MAX = 256 * 1024;

/** What the stream holds now. */
export interface StreamExtent {
  /** First sequence that is still kept; `last + 1` in an empty stream. */
  first: number;
  /** Newest sequence; 0 before the first message. */
  last: number;
  /** Creation time: two streams of one name differ in it. */
  created: string;
}

export interface AlertReader {
  /** Everything up to this sequence was given to the index and to the live clients. */
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
  /** Called after the index has them, in stream order. */
  onAlerts(entries: AlertEntry[], head: number): void;
  /** The stream is another one than before: all sequences known so far mean nothing any more. */
  onStreamReplaced(extent: StreamExtent): void;
}): AlertReader {
  const { nc, jsm, index, metrics, log } = options;
  let source: Source | undefined;
  let closed = false;
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();

  const extent = async (): Promise<StreamExtent> => {
    const { created, state } = await jsm.streams.info(ALERT_STREAM);
    return {
      first: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
      last: state.last_seq,
      created: String(created),
    };
  };
  const openReplay = (startSequence: number): Promise<Source> =>
    openSource(nc, {
      stream: ALERT_STREAM,
      startSequence,
      onStall: (detail) => log.warn({ detail }, 'alert stream stalled, reading again'),
    });

  /** The stream is the one that the index was made from, and the index is not ahead of it. */
  const isSameStream = (now: StreamExtent) => now.created === index.stream() && now.last >= index.lastSequence();

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
      if (isLast || portion.length >= PORTION_ALERTS_MAX || bytes >= PORTION_BYTES_MAX) {
        index.apply(portion, message.sequence);
        options.onAlerts(portion, message.sequence);
        portion = [];
        bytes = 0;
        // Sockets are written and the engine runs between portions.
        if (!isLast) await nextTurn();
      }
    }
  };

  const read = async (): Promise<void> => {
    let pauseMs = RETRY_MIN_MS;
    while (!closed) {
      let goal: number;
      try {
        const now = await extent();
        if (!isSameStream(now)) {
          if (index.stream() !== '') log.warn({ last: now.last }, 'alert stream is another one, alert index made anew');
          index.reset(now.created);
          options.onStreamReplaced(now);
        }
        goal = now.last;
        source = await openReplay(index.lastSequence() + 1);
      } catch (error) {
        if (closed) break;
        log.warn({ err: error, pauseMs }, 'alert stream not readable, waiting');
        await delay(pauseMs, undefined, { signal: stop.signal }).catch(() => {});
        pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS);
        continue;
      }
      pauseMs = RETRY_MIN_MS;
      if (index.lastSequence() >= goal) first.resolve();
      for (;;) {
        const messages = await source.next();
        if (messages === undefined) break;
        await hand(messages);
        if (index.lastSequence() >= goal) first.resolve();
      }
      source = undefined;
    }
  };

  const check = setInterval(() => {
    if (source === undefined) return;
    extent().then(
      (now) => {
        if (closed) return;
        if (!isSameStream(now)) void source?.close();
        else index.forgetBefore(now.first);
      },
      // Not answering is the reader's own business: its source notices and waits.
      () => {},
    );
  }, STREAM_CHECK_MS);
  check.unref();

  const ended = read();
  return {
    head: () => index.lastSequence(),
    reading: () => source?.connected() ?? false,
    caughtUp: () => first.promise,
    extent,
    openReplay,
    ended,
    async close() {
      closed = true;
      clearInterval(check);
      stop.abort();
      await source?.close();
      await ended;
    },
  };
}

const listedAlert = Compile(ListedAlertSchema);

/**
 * The alert in a message: `data` of a CloudEvent in structured mode, or the whole body in binary mode (`ce-*`
 * headers). Undefined where there is none.
 */
export function entryOf(message: SourceMessage): AlertEntry | undefined {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength).toString());
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null) return undefined;
  const alert = message.headers?.has('ce-specversion') ? body : 'data' in body ? body.data : undefined;
  if (!listedAlert.Check(alert)) return undefined;
  // The rest of the alert is passed on as its publisher wrote it.
  return { sequence: message.sequence, alert: alert as AlertData, json: JSON.stringify(alert) };
}
