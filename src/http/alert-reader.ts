/**
 * The one reader of the ALERTS stream in a gateway. It follows the stream from where the index stopped and gives every
 * alert first to the index and then to the live clients, so that whoever was told of an alert also finds it in a list.
 *
 * States: waiting for NATS -> comparing the index with the stream (another stream: the index is made anew) -> reading,
 * until the source ends; then from the beginning, until `close`.
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Compile } from 'typebox/compile';
import type { AlertData } from '../alerts/alert.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { connectionState } from '../source/connection.ts';
import { openSource, type Source, type SourceMessage } from '../source/jetstream.ts';
import { ALERTS_STREAM } from '../source/streams.ts';
import type { AlertEntry, AlertIndex } from './alert-index.ts';
import { ListedAlertSchema } from './schemas.ts';

/** Pauses between attempts to read while the stream cannot be read. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
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
  /** Most alerts to hand on at once, as far as the live clients are concerned. */
  portionMax(): number;
  /** Called after the index has them, in stream order. */
  onAlerts(entries: AlertEntry[], head: number): void;
  /** The stream is another one than before: all sequences known so far mean nothing any more. */
  onStreamReplaced(extent: StreamExtent): void;
}): AlertReader {
  const { nc, jsm, index, metrics, log } = options;
  const connection = connectionState(nc);
  let source: Source | undefined;
  let closed = false;
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
  const first = Promise.withResolvers<void>();

  const extent = async (): Promise<StreamExtent> => {
    const { created, state } = await jsm.streams.info(ALERTS_STREAM);
    return {
      first: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
      last: state.last_seq,
      created: String(created),
    };
  };
  const open = (startSequence: number, pullMessages: number, pullBytes: number): Promise<Source> =>
    openSource(nc, {
      stream: ALERTS_STREAM,
      startSequence,
      streamCreated: index.stream(),
      pullMessages,
      pullBytes,
      onStall: (detail) => log.warn({ detail }, 'alert stream stalled'),
      signal: stop.signal,
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
      const isFull = portion.length >= Math.min(PORTION_ALERTS_MAX, options.portionMax());
      if (isLast || isFull || bytes >= PORTION_BYTES_MAX) {
        index.apply(portion, message.sequence);
        options.onAlerts(portion, message.sequence);
        portion = [];
        bytes = 0;
        // Sockets are written and the engine runs between portions.
        if (!isLast) await nextTurn();
      }
    }
  };

  let pauseMs = RETRY_MIN_MS;
  /** The broker does not answer, or the stream cannot be read: says so and waits. Bugs never come here. */
  const trouble = async (error: unknown): Promise<undefined> => {
    if (closed) return;
    log.warn({ err: error, pauseMs }, 'alert stream not readable, waiting');
    await Promise.race([delay(pauseMs), stopped]);
    pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS);
  };

  const read = async (): Promise<void> => {
    while (!closed) {
      await Promise.race([connection.settled(), stopped]);
      const now = await Promise.race([extent(), stopped]).catch(trouble);
      if (closed || now === undefined) continue;
      if (!isSameStream(now)) {
        const isFirst = index.stream() === '';
        index.reset(now.created);
        // A client that was quicker than the first look at the stream has nothing to begin again.
        if (!isFirst) {
          log.warn({ last: now.last }, 'alert stream is another one, alert index made anew');
          options.onStreamReplaced(now);
        }
      }
      // What retention took before we read it is nobody's alert any more.
      const start = Math.max(index.lastSequence() + 1, now.first);
      source = await open(start, PULL_MESSAGES, PULL_BYTES).catch(trouble);
      if (source === undefined) continue;
      pauseMs = RETRY_MIN_MS;
      for (;;) {
        if (index.lastSequence() >= now.last || start > now.last) first.resolve();
        const messages = await source.next().catch(trouble);
        if (messages === undefined) break;
        await hand(messages);
      }
      await source.close();
      source = undefined;
    }
  };

  const retention = setInterval(() => {
    if (source === undefined) return;
    extent().then(
      (now) => {
        if (!closed && isSameStream(now)) index.forgetBefore(now.first);
      },
      () => {
        // No answer: the source notices it too, and the question is asked again in a minute.
      },
    );
  }, RETENTION_CHECK_MS);
  retention.unref();

  const ended = read();
  return {
    head: () => index.lastSequence(),
    reading: () => source?.connected() ?? false,
    caughtUp: () => first.promise,
    extent,
    openReplay: (startSequence) => open(startSequence, REPLAY_PULL_MESSAGES, REPLAY_PULL_BYTES),
    ended,
    async close() {
      closed = true;
      clearInterval(retention);
      stop.abort();
      await source?.close();
      await ended;
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
