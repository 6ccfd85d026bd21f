/**
 * What alert publisher and dead-letter sink have in common: a ledger of what was handed over and is not yet durable,
 * and a publish that does not give up.
 *
 * Nothing is ever dropped: while NATS is away, or has no leader, or no room, a publish is tried again with growing
 * pauses, at once after a reconnect. The ledger is what pushes back: `room()` resolves only while little is under way,
 * so the caller stops reading and the broker's stream is the buffer. Only what trying again cannot mend (no permission,
 * a message that the server will never take, a bug) is an error; it makes `room()` and `drained()` reject for good.
 */
import { JetStreamApiError, type JetStreamClient, type JetStreamPublishOptions, type PubAck } from '@nats-io/jetstream';
import {
  type NatsConnection,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
} from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';
import { connectionState } from '../source/connection.ts';

/** A broker that syncs its disk may take seconds; after that the acknowledgement is taken for lost. */
const ACKNOWLEDGEMENT_LIMIT_MS = 5_000;
const BACKOFF_FIRST_MS = 50;
/** What a server allows unless it says otherwise. */
const PAYLOAD_BYTES_DEFAULT = 1024 * 1024;
const BACKOFF_LONGEST_MS = 2_000;

export interface Ledger {
  /** Counts one more under way; the ticket is for `done`. */
  take(bytes: number): number;
  done(ticket: number, bytes: number): void;
  /** The first error counts; everything that waits rejects with it. */
  fail(error: Error): void;
  failed(): boolean;
  room(): Promise<void>;
  drained(): Promise<void>;
  inFlight(): number;
  inFlightBytes(): number;
}

export function createLedger(limit: { items: number; bytes: number }): Ledger {
  /** Tickets are 1, 2, 3, ...; all up to this one are done, and those of `doneBeyond`, at most as many as are under way. */
  let doneUpTo = 0;
  let lastTicket = 0;
  const doneBeyond = new Set<number>();
  let items = 0;
  let bytesUnderWay = 0;
  let failure: Error | undefined;
  interface Waiter {
    ready(): boolean;
    resolve(): void;
    reject(error: Error): void;
  }
  let waiters: Waiter[] = [];

  const settle = (): void => {
    if (waiters.length === 0) return;
    const waiting = waiters;
    waiters = [];
    for (const waiter of waiting) {
      if (failure !== undefined) waiter.reject(failure);
      else if (waiter.ready()) waiter.resolve();
      else waiters.push(waiter);
    }
  };
  const when = (ready: () => boolean): Promise<void> => {
    if (failure !== undefined) return Promise.reject(failure);
    if (ready()) return Promise.resolve();
    return new Promise((resolve, reject) => waiters.push({ ready, resolve, reject }));
  };

  return {
    take(bytes) {
      items++;
      bytesUnderWay += bytes;
      return ++lastTicket;
    },
    done(ticket, bytes) {
      items--;
      bytesUnderWay -= bytes;
      doneBeyond.add(ticket);
      while (doneBeyond.delete(doneUpTo + 1)) doneUpTo++;
      settle();
    },
    fail(error) {
      failure ??= error;
      settle();
    },
    failed: () => failure !== undefined,
    room: () => when(() => items <= limit.items && bytesUnderWay <= limit.bytes),
    drained() {
      const upTo = lastTicket;
      return when(() => doneUpTo >= upTo);
    },
    inFlight: () => items,
    inFlightBytes: () => bytesUnderWay,
  };
}

export interface DurablePublisher {
  /**
   * Resolves when the broker has stored the message, however long that takes.
   * @throws what trying again cannot mend, JetStreamApiError included (`expect` that does not hold, for instance).
   */
  publish(subject: string, body: Uint8Array | string, options: Partial<JetStreamPublishOptions>): Promise<PubAck>;
  /** The same patience for another request, e.g. to read a message. */
  insist<T>(request: () => Promise<T>): Promise<T>;
  /** The largest message, headers included, that the server takes; what it took last while it is away. */
  payloadBytesMax(): number;
  /** Called each time that the connection is back. */
  onReconnect(listener: () => void): void;
  /** Everything that waits rejects with ClosedError. */
  close(): void;
}

export class ClosedError extends Error {
  override name = 'ClosedError';
}

class InterruptedError extends Error {}

export function createDurablePublisher(
  js: JetStreamClient,
  /** Gets one sentence for each new kind of trouble. */
  onTrouble: (sentence: string) => void,
): DurablePublisher {
  // Every JetStream client is made from a connection and gives it back, though its type does not say so.
  const nc = (js as unknown as { getConnection(): NatsConnection }).getConnection();
  const connection = connectionState(nc);
  let payloadBytesMax = PAYLOAD_BYTES_DEFAULT;
  /** Rejects everything that waits for an answer; a set, because racing a promise that lives long would leak. */
  const waiting = new Set<(error: Error) => void>();
  let closed = false;
  let trouble = '';
  const reconnected: (() => void)[] = [];

  const interrupt = (error: Error): void => {
    for (const reject of [...waiting]) reject(error);
  };
  const interruptible = <T>(promise: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.add(reject);
      promise.then(resolve, reject).finally(() => waiting.delete(reject));
    });
  const unsubscribe = connection.subscribe((event) => {
    // An answer to what was asked over the broken connection will not come.
    if (event === 'disconnected') interrupt(new InterruptedError('the connection was lost'));
    if (event === 'connected') for (const listener of reconnected) listener();
  });

  const insist = async <T>(request: () => Promise<T>): Promise<T> => {
    for (let attempt = 0; ; attempt++) {
      if (!connection.connected()) await interruptible(connection.settled());
      if (closed || nc.isClosed()) throw new ClosedError('the connection was closed');
      try {
        const answer = await interruptible(request());
        trouble = '';
        return answer;
      } catch (error) {
        if (!(error instanceof Error) || !isTemporary(error)) throw withHint(error);
        const kind = error instanceof JetStreamApiError ? `${error.code}` : error.constructor.name;
        if (kind !== trouble && !(error instanceof InterruptedError)) {
          trouble = kind;
          onTrouble(`NATS does not store messages for now (${error.message || error.name}): trying again`);
        }
      }
      await pause(Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 10), BACKOFF_LONGEST_MS));
    }
  };

  const pause = async (durationMs: number): Promise<void> => {
    let timer: NodeJS.Timeout | undefined;
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, durationMs);
    });
    try {
      await interruptible(elapsed);
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    insist,
    publish: (subject, body, options) =>
      insist(() => js.publish(subject, body, { ...options, timeout: ACKNOWLEDGEMENT_LIMIT_MS })),
    payloadBytesMax() {
      payloadBytesMax = nc.info?.max_payload ?? payloadBytesMax;
      return payloadBytesMax;
    },
    onReconnect(listener) {
      reconnected.push(listener);
    },
    close() {
      closed = true;
      unsubscribe();
      interrupt(new ClosedError('the sink was closed'));
    },
  };
}

/** No leader, no room, too much at once (429), not yet ready, no answer: all of it passes. */
function isTemporary(error: Error): boolean {
  if (error instanceof JetStreamApiError) return error.status >= 500 || error.status === 429;
  // Without a stream for the subject there is nobody to answer either: it may be on its way back.
  const reason = error.name === 'JetStreamNotEnabled' ? error.cause : error;
  return (
    error instanceof InterruptedError ||
    reason instanceof TimeoutError ||
    reason instanceof NoRespondersError ||
    (reason instanceof RequestError && (reason.cause === undefined || reason.isNoResponders())) ||
    error.name === 'JetStreamNotEnabled'
  );
}

function withHint(error: unknown): unknown {
  const cause = error instanceof RequestError ? error.cause : error;
  if (!(cause instanceof PermissionViolationError)) return error;
  return new RingfenceError({
    code: 'nats.not-permitted',
    message: `The NATS account may not publish what it has to (${cause.message}).`,
    hint: 'Allow it to publish alerts.>, deadletter.> and $JS.API.>, and to subscribe to its inbox.',
    cause,
  });
}
