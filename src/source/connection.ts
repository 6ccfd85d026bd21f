/**
 * The connection to NATS: patient at the start, for ever afterwards.
 *
 * `connectNats` waits with back-off while no server answers and says so once for each kind of failure, not once for
 * each attempt. Later the client reconnects without end; pings find a half-open connection (the peer is gone, the
 * socket does not know) in 15 s. `connectionState` tells sources and sinks whether the connection is up, so that they
 * act at once instead of waiting for a request to time out.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { JetStreamApiError, JetStreamError } from '@nats-io/jetstream';
import {
  AuthorizationError,
  ClosedConnectionError,
  connect,
  DrainingConnectionError,
  type NatsConnection,
  type NodeConnectionOptions,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';

/** First pause between two attempts at the start; it doubles up to the longest one. */
const BACKOFF_FIRST_MS = 100;
const BACKOFF_LONGEST_MS = 5_000;
/** One attempt, from the first byte to the server's greeting. */
const ATTEMPT_LIMIT_MS = 5_000;
/** The last attempt begins at the limit: with less time than this it would tell of its own haste and not of the server. */
const LAST_ATTEMPT_MS = 1_000;
/** Pause between two attempts to reconnect, plus jitter: a restarted broker is found again in well under 5 s. */
const RECONNECT_PAUSE_MS = 250;
const RECONNECT_JITTER_MS = 250;
/** Two unanswered pings and the third is not sent: a dead peer is noticed after 3 x 5 s. */
const PING_INTERVAL_MS = 5_000;
const PINGS_UNANSWERED_MAX = 2;
/** After a connection is found dead, its socket must have gone by then, or it is destroyed. */
const DEAD_SOCKET_LIMIT_MS = 1_000;

export interface ConnectOptions {
  /** Shown by the server beside the connection. */
  name: string;
  /** Ends the waiting: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Ends the waiting too, with an error that says so; without it there is no end. */
  limitMs?: number;
  /** Gets one sentence for each change, e.g. `NATS at nats://... does not answer (connection refused): waiting`. */
  log?: (sentence: string) => void;
  /** Credentials, TLS and the like, as the NATS client names them. */
  connection?: Omit<NodeConnectionOptions, 'servers' | 'name'>;
}

/**
 * Connects to the first server that answers, however long that takes, or as long as the limit says.
 * @throws RingfenceError `nats.refused` where the server refuses the credentials or the address is no address,
 *   `nats.unreachable` at the limit.
 */
export async function connectNats(servers: string | string[], options: ConnectOptions): Promise<NatsConnection> {
  const { name, signal, limitMs = Number.POSITIVE_INFINITY, log = () => {} } = options;
  const shown = [servers].flat().map(withoutCredentials).join(', ');
  const deadline = performance.now() + limitMs;
  let reported = '';
  for (let pauseMs = BACKOFF_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BACKOFF_LONGEST_MS)) {
    signal?.throwIfAborted();
    const dial: Dial = {};
    const attemptMs = Math.min(ATTEMPT_LIMIT_MS, Math.max(LAST_ATTEMPT_MS, deadline - performance.now()));
    try {
      const nc = await dialling.run(dial, () =>
        connect({
          timeout: attemptMs,
          reconnectTimeWait: RECONNECT_PAUSE_MS,
          reconnectJitter: RECONNECT_JITTER_MS,
          pingInterval: PING_INTERVAL_MS,
          maxPingOut: PINGS_UNANSWERED_MAX,
          // A stack trace for each request costs more than the request.
          noAsyncTraces: true,
          // Credentials may be rotated on the server first: after a first success a refusal is a pause, not an end.
          ignoreAuthErrorAbort: true,
          ...options.connection,
          servers,
          name,
          maxReconnectAttempts: -1,
        }),
      );
      if (signal?.aborted) {
        await nc.close();
        signal.throwIfAborted();
      }
      if (reported !== '') log(`NATS at ${shown} answers: connected`);
      connectionState(nc).subscribe((event) => {
        if (event === 'disconnected') log(`the connection to NATS at ${shown} is lost: reconnecting`);
        if (event === 'connected') log(`connected to NATS at ${shown} again`);
      });
      return nc;
    } catch (error) {
      dial.socket?.destroy();
      if (signal?.aborted) throw signal.reason;
      const reason = error instanceof Error ? error.message || error.name : String(error);
      if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError) {
        throw refused(`NATS at ${shown} refuses the credentials (${reason}).`, error);
      }
      if (error instanceof TypeError) throw refused(`${shown} is not the address of a NATS server.`, error);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        throw new RingfenceError({
          code: 'nats.unreachable',
          message: `NATS at ${shown} did not answer within ${limitMs / 1000} s (${reason}).`,
          hint: 'Start it, or name the server that runs (flag --nats, or RINGFENCE_NATS in the environment).',
          cause: error,
        });
      }
      const kind = failureKind(error);
      if (kind !== reported) log(`NATS at ${shown} does not answer (${reason}): waiting`);
      reported = kind;
      await pause(Math.min(pauseMs, leftMs), signal);
    }
  }
}

/** The newest socket of a connection. */
interface Dial {
  socket?: Socket;
}

/**
 * A server that takes the connection and never speaks is given up by the client, but its socket stays open for as long as the server
 * likes, and with it a process that has nothing more to do. The client has no way to get at a socket that never became a
 * connection, so it is noted when it is made.
 */
const dialling = new AsyncLocalStorage<Dial>();
subscribe('net.client.socket', (message) => {
  const dial = dialling.getStore();
  if (dial === undefined) return;
  // A connection has one socket at a time: the client has given the one before up.
  dial.socket?.destroy();
  dial.socket = (message as { socket: Socket }).socket;
});

function refused(message: string, cause: unknown): RingfenceError {
  return new RingfenceError({
    code: 'nats.refused',
    message,
    hint: 'Check the address of NATS and its credentials (flag --nats, or the key nats of the configuration file).',
    cause,
  });
}

function withoutCredentials(server: string): string {
  return server.replace(/^([a-z+]+:\/\/)?[^@/]*@/, '$1');
}

/** The system error code (ECONNREFUSED, ENOTFOUND, ...) where there is one: attempts of one kind are reported once. */
function failureKind(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
  }
  return error instanceof Error ? error.name : 'unknown';
}

function pause(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted);
      resolve();
    }, durationMs);
    signal?.addEventListener('abort', aborted, { once: true });
  });
}

export type ConnectionEvent = 'connected' | 'disconnected' | 'closed';

export interface ConnectionState {
  connected(): boolean;
  /** Changes from now on; returns the function that ends the subscription. */
  subscribe(listener: (event: ConnectionEvent) => void): () => void;
  /**
   * Publishes that the server refused for want of permission: it tells so beside the connection, not as an answer, so
   * whoever waits for an answer to that subject must listen here. Returns the function that ends it.
   */
  onRefusal(listener: (refusal: PermissionViolationError) => void): () => void;
  /** Resolves as soon as the connection is up or closed for good. */
  settled(): Promise<void>;
}

/** One watcher for each connection, however many sources and sinks ask: the client's own status queues have no limit. */
const states = new WeakMap<NatsConnection, ConnectionState>();

export function connectionState(nc: NatsConnection): ConnectionState {
  const known = states.get(nc);
  if (known !== undefined) return known;

  // The client forgets the server's greeting while it reconnects, so its presence is the state at this moment.
  let connected = nc.info !== undefined && !nc.isClosed();
  const listeners = new Set<(event: ConnectionEvent) => void>();
  const refusalListeners = new Set<(refusal: PermissionViolationError) => void>();
  const emit = (event: ConnectionEvent): void => {
    connected = event === 'connected';
    for (const listener of [...listeners]) listener(event);
  };
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect' && connected) emit('disconnected');
      if (status.type === 'reconnect') emit('connected');
      if (status.type === 'error' && status.error instanceof PermissionViolationError) {
        for (const listener of [...refusalListeners]) listener(status.error);
      }
      if (status.type === 'staleConnection') {
        const dead = socketOf(nc);
        setTimeout(() => dead?.destroy(), DEAD_SOCKET_LIMIT_MS).unref();
      }
    }
  })();
  void nc.closed().then(() => emit('closed'));

  const state: ConnectionState = {
    connected: () => connected,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onRefusal(listener) {
      refusalListeners.add(listener);
      return () => refusalListeners.delete(listener);
    },
    settled: () =>
      new Promise((resolve) => {
        if (connected || nc.isClosed()) return resolve();
        const unsubscribe = state.subscribe((event) => {
          if (event === 'disconnected') return;
          unsubscribe();
          resolve();
        });
      }),
  };
  states.set(nc, state);
  return state;
}

/**
 * The socket under a connection. When pings stay unanswered the client flushes what it still has to send before it
 * closes the socket, and to a dead peer that flush never ends: measured, with 30 MB unsent there was no `disconnect`
 * and no reconnect, for ever. The client has no public way to drop such a socket, hence the look inside; where a
 * later client is built otherwise this finds nothing and only the system's own TCP limits remain.
 */
function socketOf(nc: NatsConnection): { destroy(): void } | undefined {
  const inside = nc as unknown as { protocol?: { transport?: { socket?: { destroy(): void } } } };
  return inside.protocol?.transport?.socket;
}

/** The want of permission behind an error, if that is what it is. */
export function permissionViolation(error: unknown): PermissionViolationError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof PermissionViolationError) return cause;
  }
  return undefined;
}

/** Whether an error of a request says that NATS did not answer, or cannot for now: it may be asked again. */
export function isNoAnswer(error: unknown): boolean {
  const kinds = [
    JetStreamApiError,
    JetStreamError,
    TimeoutError,
    RequestError,
    NoRespondersError,
    ClosedConnectionError,
    DrainingConnectionError,
  ];
  return kinds.some((kind) => error instanceof kind) || (error as Error).name === 'JetStreamNotEnabled';
}
