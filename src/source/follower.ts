/**
 * Follows a stream for a projection of it: from where the projection stopped, over losses of the connection, until `close`.
 *
 * States: waiting for NATS -> comparing the projection's position with the stream (another stream, or one that ends before
 * the position: the projection is made anew) -> reading, until the source ends; then from the beginning.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { isDiskTrouble } from '../errors.ts';
import type { Log } from '../log.ts';
import { connectionState } from './connection.ts';
import type { SourceMessage } from './delivery.ts';
import { openSource, type Source } from './jetstream.ts';

/** Pauses between attempts to read while the stream cannot be read. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/** What a stream holds now. */
export interface StreamExtent {
  /** First sequence that is still kept; `last + 1` in an empty stream. */
  first: number;
  /** Newest sequence; 0 before the first message. */
  last: number;
  /** Creation time: two streams of one name differ in it. */
  created: string;
}

export async function streamExtent(jsm: JetStreamManager, stream: string): Promise<StreamExtent> {
  const { created, state } = await jsm.streams.info(stream);
  return {
    first: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
    last: state.last_seq,
    created: String(created),
  };
}

export interface Follower {
  /** True while the stream is being read. */
  reading(): boolean;
  /** Resolves when the projection has come to what was the end of the stream when reading began. */
  caughtUp(): Promise<void>;
  /** Reads on from the position as it is now, because it was moved. */
  restart(): void;
  /** Resolves when following has ended; rejects with the bug that ended it. */
  ended: Promise<void>;
  close(): Promise<void>;
}

export function followStream(options: {
  nc: NatsConnection;
  jsm: JetStreamManager;
  stream: string;
  log: Log;
  pullMessages: number;
  pullBytes: number;
  /** How far the projection has come, and in which stream; `created` is '' before the first. */
  position(): { created: string; sequence: number };
  /** The position means nothing in the stream as it is now. Afterwards `position` lies in that stream. */
  onReplaced(extent: StreamExtent): void;
  /** Afterwards `position` lies behind the last message. */
  onMessages(messages: SourceMessage[]): Promise<void>;
}): Follower {
  const { nc, jsm, stream, log } = options;
  const connection = connectionState(nc);
  let source: Source | undefined;
  let closed = false;
  /** Counts up when the position was moved by hand: what was received before belongs to the old one. */
  let turn = 0;
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
  const first = Promise.withResolvers<void>();

  let pauseMs = RETRY_MIN_MS;
  /** The broker does not answer, the stream cannot be read, or the disk is full: says so and waits. Bugs never come here. */
  const trouble = async (error: unknown): Promise<undefined> => {
    if (closed) return;
    log.warn({ err: error, stream, pauseMs }, 'stream not followed, waiting');
    await Promise.race([delay(pauseMs), stopped]);
    pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS);
  };

  const read = async (): Promise<void> => {
    while (!closed) {
      const mine = turn;
      await Promise.race([connection.settled(), stopped]);
      const now = await Promise.race([streamExtent(jsm, stream), stopped]).catch(trouble);
      if (closed || now === undefined) continue;
      const { created, sequence } = options.position();
      if (now.created !== created || now.last < sequence) options.onReplaced(now);
      // What retention took before it was read is nobody's any more.
      const start = Math.max(options.position().sequence + 1, now.first);
      source = await openSource(nc, {
        stream,
        startSequence: start,
        streamCreated: now.created,
        pullMessages: options.pullMessages,
        pullBytes: options.pullBytes,
        onStall: (detail) => log.warn({ detail, stream }, 'stream stalled'),
        signal: stop.signal,
      }).catch(trouble);
      if (source === undefined) continue;
      pauseMs = RETRY_MIN_MS;
      for (;;) {
        if (options.position().sequence >= now.last || start > now.last) first.resolve();
        const messages = await source.next().catch(trouble);
        if (messages === undefined || turn !== mine) break;
        try {
          await options.onMessages(messages);
        } catch (error) {
          // A disk that takes nothing now: what it lacks is read again from where the projection stands.
          if (!isDiskTrouble(error)) throw error;
          await trouble(error);
          break;
        }
      }
      await source.close();
      source = undefined;
    }
  };

  const ended = read();
  return {
    reading: () => source?.connected() ?? false,
    caughtUp: () => first.promise,
    restart() {
      turn++;
      void source?.close();
    },
    ended,
    async close() {
      closed = true;
      stop.abort();
      await source?.close();
      await ended;
    },
  };
}
