/**
 * What alert publisher and dead-letter sink have in common: a ledger of what was handed over and is not yet durable,
 * and a publish that does not give up.
 *
 * Nothing is ever dropped: while NATS is away, or has no leader, or no room, a publish is tried again with growing
 * pauses, at once after a reconnect. The ledger is what pushes back: `room()` resolves only while little is under way,
 * so the caller stops reading and the broker's stream is the buffer. Only what trying again cannot mend (no permission,
 * a message that the server will never take, a bug) is an error; it makes `room()` and `drained()` reject for good.
 */
import { type ApiError, JetStreamApiCodes, JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import {
  createInbox,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';
import { connectionState, permissionViolation } from '../source/connection.ts';

/** A broker that syncs its disk may take seconds; after that the acknowledgement is taken for lost. */
const ACKNOWLEDGEMENT_LIMIT_MS = 5_000;
/** How often overdue acknowledgements are looked for. */
const SWEEP_MS = 500;
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

export interface StoredMessage {
  sequence: number;
  /** The server knows the message's `Nats-Msg-Id` already. */
  duplicate: boolean;
}

export interface DurablePublisher {
  /**
   * Resolves when the broker has stored the message, however long that takes.
   * @throws what trying again cannot mend, JetStreamApiError included (an expectation that does not hold, for instance).
   */
  publish(subject: string, body: Uint8Array | string, header: MsgHdrs): Promise<StoredMessage>;
  /** The same patience for another request, e.g. to read a message. */
  insist<T>(request: () => Promise<T>): Promise<T>;
  /** The largest message, headers included, that the server takes; what it took last while it is away. */
  payloadBytesMax(): number;
  /** Called each time that the connection breaks, and that it is back. */
  onDisconnect(listener: () => void): void;
  onReconnect(listener: () => void): void;
  /** Everything that waits rejects with ClosedError. */
  close(): void;
}

export class ClosedError extends Error {
  override name = 'ClosedError';
}

/** No answer, for now. */
class InterruptedError extends Error {}

/**
 * The client's own `publish` of JetStream costs 47 us of CPU for an alert; most of that is an error object with its
 * stack, made for each request whether it is needed or not, a timer, and a system call for almost every message. Here
 * one subscription takes all acknowledgements, one sweep finds those that are overdue, and what is published in one turn
 * of the event loop leaves in one write: 24 us, 40,000 alerts/s beside the broker on two shared cores.
 */
export function createDurablePublisher(
  js: JetStreamClient,
  /** Gets one sentence for each new kind of trouble. */
  onTrouble: (sentence: string) => void,
): DurablePublisher {
  // Every JetStream client is made from a connection and gives it back, though its type does not say so.
  const nc = (js as unknown as { getConnection(): NatsConnection }).getConnection();
  const connection = connectionState(nc);
  let payloadBytesMax = PAYLOAD_BYTES_DEFAULT;
  let closed = false;
  let trouble = '';
  let unheard: Error | undefined;
  const disconnected: (() => void)[] = [];
  const reconnected: (() => void)[] = [];

  interface Pending {
    subject: string;
    resolve(stored: StoredMessage): void;
    reject(error: Error): void;
    sentAt: number;
  }
  const inbox = createInbox();
  /** Published and not acknowledged, by number; in the order of sending. The callers' ledgers bound it. */
  const pending = new Map<number, Pending>();
  let lastNumber = 0;
  /** Published in this turn of the event loop. */
  let outgoing: { number: number; subject: string; body: Uint8Array | string; header: MsgHdrs }[] = [];
  /** Rejects whatever else waits; a set, because racing a promise that lives long would leak. */
  const waiting = new Set<(error: Error) => void>();

  const interrupt = (error: Error): void => {
    for (const reject of [...waiting]) reject(error);
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  const interruptible = <T>(promise: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.add(reject);
      promise.then(resolve, reject).finally(() => waiting.delete(reject));
    });
  const unsubscribe = connection.subscribe((event) => {
    // An answer to what was asked over the broken connection will not come.
    if (event === 'disconnected') {
      for (const listener of disconnected) listener();
      interrupt(new InterruptedError('the connection was lost'));
    }
    if (event === 'connected') for (const listener of reconnected) listener();
  });

  const unsubscribeRefusals = connection.onRefusal((refusal) => {
    for (const [number, { subject, reject }] of pending) {
      if (subject !== refusal.subject) continue;
      pending.delete(number);
      reject(refusal);
    }
  });

  const subscription = nc.subscribe(`${inbox}.*`, {
    callback(error, message) {
      if (error !== null) {
        // The account may not subscribe to its inbox, so no acknowledgement will ever come.
        unheard = error;
        interrupt(error);
        return;
      }
      const number = Number(message.subject.slice(inbox.length + 1));
      const waiter = pending.get(number);
      // An answer after the limit, to a message that was sent again meanwhile.
      if (waiter === undefined) return;
      pending.delete(number);
      try {
        waiter.resolve(acknowledgementOf(message));
      } catch (refusal) {
        waiter.reject(refusal as Error);
      }
    },
  });
  const sweep = setInterval(() => {
    const overdue = performance.now() - ACKNOWLEDGEMENT_LIMIT_MS;
    for (const [number, { sentAt, reject }] of pending) {
      if (sentAt > overdue) break;
      pending.delete(number);
      reject(new InterruptedError('no acknowledgement'));
    }
  }, SWEEP_MS);
  sweep.unref();

  const flush = (): void => {
    const now = outgoing;
    outgoing = [];
    for (const { number, subject, body, header } of now) {
      try {
        nc.publish(subject, body, { headers: header, reply: `${inbox}.${number}` });
      } catch (error) {
        // Too large for the server, or the connection is closed.
        pending.get(number)?.reject(error as Error);
        pending.delete(number);
      }
    }
  };
  const request = (subject: string, body: Uint8Array | string, header: MsgHdrs): Promise<StoredMessage> =>
    new Promise((resolve, reject) => {
      if (unheard !== undefined) {
        reject(unheard);
        return;
      }
      const number = ++lastNumber;
      pending.set(number, { subject, resolve, reject, sentAt: performance.now() });
      if (outgoing.length === 0) setImmediate(flush);
      outgoing.push({ number, subject, body, header });
    });

  const insist = async <T>(attempt: () => Promise<T>): Promise<T> => {
    for (let pauseMs = BACKOFF_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BACKOFF_LONGEST_MS)) {
      if (!connection.connected()) await interruptible(connection.settled());
      if (closed || nc.isClosed()) throw new ClosedError('the connection was closed');
      try {
        const answer = await attempt();
        trouble = '';
        return answer;
      } catch (error) {
        if (!(error instanceof Error) || !isTemporary(error)) throw withHint(error);
        // A lost connection is reported by the connection itself.
        const kind = error instanceof JetStreamApiError ? `${error.code}` : error.message;
        if (kind !== trouble && connection.connected()) {
          trouble = kind;
          onTrouble(`NATS does not store messages for now (${error.message || error.name}): trying again`);
        }
      }
      if (connection.connected()) await pause(pauseMs);
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
    insist: (attempt) => insist(() => interruptible(attempt())),
    publish: (subject, body, header) => insist(() => request(subject, body, header)),
    payloadBytesMax() {
      payloadBytesMax = nc.info?.max_payload ?? payloadBytesMax;
      return payloadBytesMax;
    },
    onDisconnect(listener) {
      disconnected.push(listener);
    },
    onReconnect(listener) {
      reconnected.push(listener);
    },
    close() {
      closed = true;
      unsubscribe();
      unsubscribeRefusals();
      clearInterval(sweep);
      subscription.unsubscribe();
      interrupt(new ClosedError('the sink was closed'));
    },
  };
}

/** Reads the broker's answer to a publish; throws what it refuses. */
function acknowledgementOf(message: Msg): StoredMessage {
  if (message.data.length === 0 && message.headers?.code === 503) throw new NoRespondersError(message.subject);
  const answer = message.json<{ seq?: number; duplicate?: boolean; error?: ApiError }>();
  if (answer.error !== undefined) throw new JetStreamApiError(answer.error);
  if (typeof answer.seq !== 'number') throw new Error('the broker acknowledged a message without a sequence');
  return { sequence: answer.seq, duplicate: answer.duplicate === true };
}

/** No leader, no room, too much at once (429), not yet ready, no answer: all of it passes. */
function isTemporary(error: Error): boolean {
  if (error instanceof JetStreamApiError) {
    return error.status >= 500 || error.status === 429 || error.code === JetStreamApiCodes.StreamNotFound;
  }
  // Without a stream for the subject there is nobody to answer: like the one above, it may be on its way back.
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
  const violation = permissionViolation(error);
  if (violation === undefined) return error;
  return new RingfenceError({
    code: 'nats.not-permitted',
    message: `The NATS account may not store messages (${violation.message}).`,
    hint: 'Allow it to publish alerts.>, deadletter.> and $JS.API.>, and to subscribe to its inbox.',
    cause: violation,
  });
}
