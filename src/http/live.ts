/**
 * Live alerts over WebSocket: `GET /v1/alerts/live?desk&severity&since`.
 *
 * A client is a position: `next`, the first sequence that it has not been given. It is in one of two states:
 *
 *     catching up --(next is in the ring)--> live        live: every portion of the reader is offered to it at once
 *         |  reads older alerts itself, at              |
 *         |  the speed that its socket takes             |
 *         +--(no byte taken for long)--> cut <--(more than CLIENT_BUFFER_BYTES_MAX would wait for it)
 *
 * The ring holds the newest frames that the reader handed out. The step from catching up to live happens in one
 * synchronous piece of code, when the client's position lies in the ring, so no alert can fall between the two or be
 * in both. Most resumes (a network that was away for a moment) are answered from the ring alone; older ones open a
 * bounded reader on the stream, only a few at a time.
 *
 * A WebSocket does not push back: what a client does not read piles up in this process. So the bytes that wait are
 * counted, the next frame included, before each send; over the limit the client is told where it stopped (`resync`),
 * closed with 1013, and resumes when it can. An alert is written as JSON once, whoever gets it.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import type { NumberView } from '../access/grants.ts';
import { maySeeDesk, type Principal } from '../access/table.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { StreamExtent } from '../source/follower.ts';
import type { Source } from '../source/jetstream.ts';
import type { AccessGate } from './access.ts';
import type { AlertEntry } from './alert-index.ts';
import { type AlertReader, entryOf } from './alert-reader.ts';
import type { CaseFrame } from './case-feed.ts';

/** Most clients at once; the next one is told to come back later. */
export const CLIENTS_MAX = 1_000;
/** Bytes that may wait for one live client, the next frame included. */
export const CLIENT_BUFFER_BYTES_MAX = 1024 * 1024;
/** Largest frame that a client may send. It has nothing to say, so this is generous. */
const CLIENT_FRAME_BYTES_MAX = 64 * 1024;
/** Sends in one turn of the loop: some 5 ms, at 2.5 us a send. With many clients a portion of alerts is smaller. */
const SENDS_PER_TURN_MAX = 2_048;
/** Frames and bytes of the newest alerts that are kept for quick resumes. */
const RING_FRAMES_MAX = 4_096;
const RING_BYTES_MAX = 8 * 1024 * 1024;
/** Clients that may read old alerts from the stream at once; the others wait their turn. */
const REPLAYS_MAX = 8;
/** Alerts of a replay that are given before the loop gets a turn. */
const REPLAY_PORTION_ALERTS = 128;
/** A client that catches up and takes nothing for this long is cut. */
const REPLAY_STALL_MS = 30_000;
/** Each client is pinged this often; one that answers none of HEARTBEATS_MISSED_MAX in a row is gone. */
const HEARTBEAT_MS = 15_000;
const HEARTBEATS_MISSED_MAX = 2;
/**
 * How long a client may take to answer the close frame when the gateway stops. Otherwise ws gives it 30 s, so that a
 * slow one can still take what waits for it, and destroys the socket then.
 */
const SHUTDOWN_LIMIT_MS = 1_000;

/** RFC 6455 and the IANA registry: going away, internal error, try again later. */
const CLOSE_GOING_AWAY = 1001;
const CLOSE_INTERNAL_ERROR = 1011;
const CLOSE_TRY_AGAIN_LATER = 1013;
/** Ours: the session or key has ended. */
const CLOSE_SIGN_IN = 4401;

export interface LiveQuery {
  desk?: string;
  severity?: string;
  /** Changed cases as well. */
  cases?: boolean;
  /** Sequence of the last alert seen; undefined: only new ones; 0: all that are kept. */
  since?: number;
  /** Who follows: only alerts of their desks, with the numbers that they may see. */
  principal: Principal;
}

export interface LiveAlerts {
  /** Most alerts that one `push` should bring, so that it does not hold up the loop. */
  portionMax(): number;
  /** Offers a portion of the reader to every live client. */
  push(entries: AlertEntry[], head: number): void;
  /** Offers changed cases to the clients that asked for them. */
  pushCases(frames: readonly CaseFrame[]): void;
  /** Whether any client asked for cases. */
  hasCaseListeners(): boolean;
  /** All positions are void: every client is told to start again. */
  streamReplaced(extent: StreamExtent): void;
  /** Answers an upgrade request whose path, origin and query were checked. Rejects where NATS does not answer. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, query: LiveQuery): Promise<void>;
  /** False: as many clients as allowed are connected. */
  hasRoom(): boolean;
  clients(): number;
  close(): Promise<void>;
}

interface Frame {
  sequence: number;
  desk: string;
  severity: string;
  bytes: Buffer;
  /** The same with masked numbers, by how much is masked; made when the first such client gets it. */
  masked?: Partial<Record<NumberView, Buffer>>;
}

interface Client {
  socket: WebSocket;
  /** The connection below the WebSocket: it knows whether the kernel still takes bytes. */
  connection: Duplex;
  desk: string | undefined;
  severity: string | undefined;
  principal: Principal;
  /** Gets changed cases as well. */
  wantsCases: boolean;
  /** First sequence that this client was not given or that its filter did not pass over. */
  next: number;
  /** Where it resumes: the last alert sent to it, or where it began. */
  lastSent: number;
  state: 'catchingUp' | 'live' | 'cut';
  heartbeatsMissed: number;
}

export function createLiveAlerts(options: {
  reader: Pick<AlertReader, 'head' | 'extent' | 'openReplay'>;
  gate: Pick<AccessGate, 'renew' | 'version' | 'mask' | 'now'>;
  metrics: Metrics;
  log: Log;
}): LiveAlerts {
  const { reader, gate, metrics, log } = options;
  const clients = new Set<Client>();
  /** Upgrades that wait for the broker's answer; they count against CLIENTS_MAX. */
  let accepting = 0;
  const ring = createRing(reader.head());
  const replays = createTurnstile(REPLAYS_MAX);
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: CLIENT_FRAME_BYTES_MAX,
    // Alerts are small and compression state costs some 300 KB a client.
    perMessageDeflate: false,
  });

  /** Counted here and shown at a scrape: a counter costs more than the filter and the send decision together. */
  let framesSent = 0;
  metrics.onScrape(() => {
    metrics.wsClients.set(clients.size);
    metrics.wsFramesTotal.inc(framesSent);
    framesSent = 0;
  });
  metrics.trackQueue('ws_clients', CLIENTS_MAX, () => clients.size + accepting);
  metrics.trackQueue('ws_ring_frames', RING_FRAMES_MAX, () => ring.size());
  metrics.trackQueue('ws_replays', REPLAYS_MAX, () => replays.inside());

  const sendControl = (client: Client, kind: 'hello' | 'resync', seq: number): void => {
    if (kind === 'resync') metrics.wsResyncsTotal.inc();
    client.socket.send(JSON.stringify({ kind, seq }));
  };

  /** Tells a client where it stopped and ends it. A frozen one never reads this and sees only the cut. */
  const cut = (client: Client, reason: string): void => {
    if (client.state === 'cut') return;
    client.state = 'cut';
    sendControl(client, 'resync', client.lastSent);
    client.socket.close(CLOSE_TRY_AGAIN_LATER, reason);
  };

  /** Moves the client past the frame, and sends it where the filter lets it through. */
  const give = (client: Client, frame: Frame): void => {
    client.next = frame.sequence + 1;
    if (client.desk !== undefined && client.desk !== frame.desk) return;
    if (client.severity !== undefined && client.severity !== frame.severity) return;
    if (!maySeeDesk(client.principal, frame.desk)) return;
    client.socket.send(bytesFor(client, frame), { binary: false });
    client.lastSent = frame.sequence;
    framesSent += 1;
  };

  const maskedJson = (principal: Principal, { bytes }: Frame): string => {
    const { alert } = JSON.parse(bytes.toString()) as { alert: unknown };
    return JSON.stringify(gate.mask(principal, alert));
  };
  /** A frame as the client may see it. The alert is parsed and masked once, however many see it so. */
  const bytesFor = ({ principal }: Client, frame: Frame): Buffer => {
    const { numbers } = principal;
    if (numbers === 'full') return frame.bytes;
    frame.masked ??= {};
    frame.masked[numbers] ??= bytesOf(frame.sequence, maskedJson(principal, frame));
    return frame.masked[numbers];
  };

  /** Whoever has signed out, was disabled or has grown too old gets no further frame; new desks and roles hold at once. */
  let checkedVersion = gate.version();
  let checkedUntil = Number.POSITIVE_INFINITY;
  const checkClients = (): void => {
    const version = gate.version();
    if (version === checkedVersion && gate.now() < checkedUntil) return;
    checkedVersion = version;
    checkedUntil = Number.POSITIVE_INFINITY;
    for (const client of clients) {
      const principal = gate.renew(client.principal);
      if (principal === undefined) {
        client.state = 'cut';
        client.socket.close(CLOSE_SIGN_IN, 'sign in again');
      } else {
        client.principal = principal;
        checkedUntil = Math.min(checkedUntil, principal.expiresAt);
      }
    }
  };

  /** A frame that is larger than the limit by itself may pass alone, else its client could never get beyond it. */
  const hasRoomFor = (client: Client, frame: Frame): boolean => {
    const waiting = client.socket.bufferedAmount;
    return waiting === 0 || waiting + frame.bytes.length <= CLIENT_BUFFER_BYTES_MAX;
  };

  /** Resolves when the kernel has taken what waits for the client, or the client is gone or cut. */
  const drained = async (client: Client): Promise<void> => {
    const { connection } = client;
    if (!connection.writableNeedDrain || connection.destroyed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stalled = setTimeout(() => cut(client, 'too slow'), REPLAY_STALL_MS);
    for (const event of ['drain', 'close']) connection.once(event, resolve);
    client.socket.once('close', resolve);
    await promise;
    clearTimeout(stalled);
    for (const event of ['drain', 'close']) connection.off(event, resolve);
    client.socket.off('close', resolve);
  };

  const isOpen = (client: Client): boolean =>
    client.state === 'catchingUp' && client.socket.readyState === client.socket.OPEN;

  /** Brings a client from its position to the head of the reader and makes it live. */
  const catchUp = async (client: Client): Promise<void> => {
    let replay: Source | undefined;
    let holdsTurn = false;
    // A client that leaves ends the wait for its next message.
    const endReplay = () => void replay?.close();
    client.socket.once('close', endReplay);
    try {
      while (isOpen(client)) {
        if (client.next >= ring.start()) {
          endReplay();
          replay = undefined;
          let full = false;
          for (const frame of ring.from(client.next)) {
            if (full) break;
            give(client, frame);
            full = client.connection.writableNeedDrain;
          }
          // Everything up to the head has been given, and nothing else runs before the next portion comes.
          if (!full || client.next >= ring.end()) {
            client.state = 'live';
            return;
          }
          await drained(client);
          continue;
        }
        if (!holdsTurn) {
          holdsTurn = await replays.enter(() => isOpen(client));
          // The ring may have come to meet the client while it waited.
          continue;
        }
        replay ??= await reader.openReplay(client.next);
        const messages = await replay.next();
        if (!isOpen(client)) return;
        checkClients();
        if (!isOpen(client)) return;
        if (messages === undefined) throw new Error('the replay of the alert stream ended');
        for (const [position, message] of messages.entries()) {
          const entry = entryOf(message);
          if (entry === undefined) client.next = message.sequence + 1;
          else give(client, frameOf(entry));
          if (client.connection.writableNeedDrain) await drained(client);
          else if (position % REPLAY_PORTION_ALERTS === REPLAY_PORTION_ALERTS - 1) await nextTurn();
          if (!isOpen(client)) return;
        }
      }
    } finally {
      client.socket.off('close', endReplay);
      await replay?.close();
      if (holdsTurn) replays.leave();
    }
  };

  const heartbeat = setInterval(() => {
    checkClients();
    for (const client of clients) {
      if (client.heartbeatsMissed >= HEARTBEATS_MISSED_MAX) {
        client.socket.terminate();
        continue;
      }
      client.heartbeatsMissed += 1;
      client.socket.ping();
    }
  }, HEARTBEAT_MS);
  heartbeat.unref();

  return {
    portionMax: () => Math.max(1, Math.floor(SENDS_PER_TURN_MAX / Math.max(1, clients.size))),
    push(entries, head) {
      const frames = entries.map(frameOf);
      for (const frame of frames) ring.push(frame);
      ring.readTo(head);
      checkClients();
      for (const client of clients) {
        if (client.state !== 'live') continue;
        // One write to the kernel for the whole portion: a frame alone is two small writes.
        client.connection.cork();
        for (const frame of frames) {
          // A client that began behind the reader's head has been promised only what comes after its position.
          if (frame.sequence < client.next) continue;
          if (!hasRoomFor(client, frame)) {
            cut(client, 'too slow');
            break;
          }
          give(client, frame);
        }
        client.connection.uncork();
      }
    },
    pushCases(frames) {
      checkClients();
      for (const client of clients) {
        if (!client.wantsCases || client.state === 'cut') continue;
        for (const frame of frames) {
          const { desk, ...told } = frame;
          if (desk !== undefined && client.desk !== undefined && client.desk !== desk) continue;
          if (desk !== undefined && !maySeeDesk(client.principal, desk)) continue;
          const text = JSON.stringify(gate.mask(client.principal, told));
          if (client.socket.bufferedAmount + text.length > CLIENT_BUFFER_BYTES_MAX) {
            cut(client, 'too slow');
            break;
          }
          client.socket.send(text);
        }
      }
    },
    hasCaseListeners: () => [...clients].some(({ wantsCases }) => wantsCases),
    streamReplaced(extent) {
      // The reader begins the new stream at its first message.
      ring.clear(0);
      for (const client of clients) {
        client.lastSent = extent.last;
        cut(client, 'alert stream replaced');
      }
    },
    async accept(request, connection, head, query) {
      accepting += 1;
      let extent: StreamExtent;
      try {
        extent = await reader.extent();
      } finally {
        accepting -= 1;
      }
      if (connection.destroyed) return;
      webSockets.handleUpgrade(request, connection, head, (socket) => {
        const { since } = query;
        const beyondEnd = since !== undefined && since > extent.last;
        // `since=0` asks for everything that is kept, so it cannot be too old.
        const tooOld = since !== undefined && since > 0 && since + 1 < extent.first;
        const begin = since === undefined || beyondEnd || tooOld ? extent.last : since;
        const client: Client = {
          socket,
          connection,
          desk: query.desk,
          severity: query.severity,
          principal: query.principal,
          wantsCases: query.cases === true,
          next: Math.max(begin + 1, since === 0 ? extent.first : 0),
          lastSent: begin,
          state: 'catchingUp',
          heartbeatsMissed: 0,
        };
        clients.add(client);
        // It may have lost its right while the broker was asked, and its own end may be nearer than that of all others.
        checkedUntil = Math.min(checkedUntil, query.principal.expiresAt);
        checkClients();
        socket.on('close', () => clients.delete(client));
        socket.on('pong', () => {
          client.heartbeatsMissed = 0;
        });
        // A broken frame or a reset: ws closes the socket itself, and 'close' follows.
        socket.on('error', (error) => log.debug({ err: error }, 'live client failed'));
        sendControl(client, 'hello', extent.last);
        if (beyondEnd || tooOld) sendControl(client, 'resync', extent.last);
        catchUp(client).catch((error) => {
          // The broker went away in the middle of a replay; the client resumes where it stopped.
          log.warn({ err: error }, 'replay of alerts failed');
          client.state = 'cut';
          socket.close(CLOSE_INTERNAL_ERROR, 'alert stream not readable');
        });
      });
    },
    hasRoom: () => clients.size + accepting < CLIENTS_MAX,
    clients: () => clients.size,
    async close() {
      clearInterval(heartbeat);
      const gone = [...clients].map((client) => new Promise((resolve) => client.socket.once('close', resolve)));
      for (const client of clients) client.socket.close(CLOSE_GOING_AWAY, 'server stops');
      const limit = setTimeout(() => {
        for (const client of clients) client.socket.terminate();
      }, SHUTDOWN_LIMIT_MS);
      await Promise.all(gone);
      clearTimeout(limit);
    },
  };
}

function frameOf({ sequence, alert, json }: AlertEntry): Frame {
  return {
    sequence,
    desk: alert.desk,
    severity: alert.severity,
    bytes: bytesOf(sequence, json),
  };
}

function bytesOf(sequence: number, json: string): Buffer {
  return Buffer.from(`{"kind":"alert","seq":${sequence},"alert":${json}}`);
}

/**
 * The newest frames in stream order. It covers the sequences from `start()` to before `end()` without a gap: what is
 * not in it in that range does not exist in the stream, or is no alert.
 */
function createRing(head: number) {
  const slots: (Frame | undefined)[] = new Array(RING_FRAMES_MAX);
  let oldest = 0;
  let count = 0;
  let bytes = 0;
  let start = head + 1;
  let end = head + 1;

  const dropOldest = (): void => {
    const frame = slots[oldest]!;
    slots[oldest] = undefined;
    oldest = (oldest + 1) % RING_FRAMES_MAX;
    count -= 1;
    bytes -= frame.bytes.length;
    start = frame.sequence + 1;
  };

  return {
    push(frame: Frame): void {
      if (count === RING_FRAMES_MAX) dropOldest();
      slots[(oldest + count) % RING_FRAMES_MAX] = frame;
      count += 1;
      bytes += frame.bytes.length;
      while (bytes > RING_BYTES_MAX) dropOldest();
    },
    /** The reader is past this sequence; its last messages may have been no alerts. */
    readTo(sequence: number): void {
      end = sequence + 1;
    },
    clear(sequence: number): void {
      while (count > 0) dropOldest();
      start = sequence + 1;
      end = sequence + 1;
    },
    start: () => start,
    end: () => end,
    size: () => count,
    /** Frames at or after a sequence; the ring must not change while they are taken. */
    *from(sequence: number): Generator<Frame> {
      let low = 0;
      let high = count;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (slots[(oldest + middle) % RING_FRAMES_MAX]!.sequence < sequence) low = middle + 1;
        else high = middle;
      }
      for (; low < count; low++) yield slots[(oldest + low) % RING_FRAMES_MAX]!;
    },
  };
}

/** Lets a few through at a time, first come first served; who has left meanwhile is passed over. */
function createTurnstile(insideMax: number) {
  const waiting: (() => void)[] = [];
  let inside = 0;
  return {
    /** Resolves when it is the caller's turn; false where it does not want to go in any more. */
    async enter(stillWanted: () => boolean): Promise<boolean> {
      if (inside >= insideMax) await new Promise<void>((resolve) => waiting.push(resolve));
      else inside += 1;
      if (stillWanted()) return true;
      this.leave();
      return false;
    },
    /** The place is handed to the next one in line, so it never shows as free between the two. */
    leave(): void {
      const next = waiting.shift();
      if (next === undefined) inside -= 1;
      else next();
    },
    inside: () => inside,
  };
}
