/**
 * A JetStream server as our code knows it, at the level of subjects, replies and payloads: the real client of JetStream, the
 * real source and the real sinks talk to it over a connection that is simulated. It has what they rely on (sequences, the
 * expected last sequence of a subject, message ids, pulls with their heartbeats and ends) and what goes wrong: acknowledgements
 * that are lost after the write, deliveries that are lost, doubled or swapped, consumers that fall silent or are gone, errors that
 * pass, connections that break, and restarts that lose what was acknowledged but not flushed.
 */
import {
  headers,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from '@nats-io/transport-node';
import type { Random } from '../../src/feed/random.ts';
import type { SimClock, SimProcess } from './clock.ts';

export interface StoredMessage {
  sequence: number;
  subject: string;
  data: Uint8Array;
  timeMs: number;
  header: MsgHdrs | undefined;
}

export interface SimStream {
  name: string;
  created: string;
  first: number;
  last: number;
  messages: Map<number, StoredMessage>;
  lastOfSubject: Map<string, number>;
  ids: Map<string, { sequence: number; timeMs: number }>;
  /** Up to here it outlives a power loss, whatever `mayLose` says. */
  flushed: number;
}

/** How often things go wrong, 0 to 1 each; all 0 in the liveness phase. */
export interface BrokerFaults {
  /** A message is not stored, or stored and the acknowledgement lost, or an error comes instead. */
  publishLost: number;
  acknowledgementLost: number;
  refused: number;
  /** Of a delivery. */
  deliveryLost: number;
  deliveryDoubled: number;
  deliverySwapped: number;
  consumerSilent: number;
  consumerGone: number;
  /** Longest time that a message takes, ms; a tenth of the messages take that long, the others a hundredth of it. */
  latencyMs: number;
}

export const NO_FAULTS: BrokerFaults = {
  publishLost: 0,
  acknowledgementLost: 0,
  refused: 0,
  deliveryLost: 0,
  deliveryDoubled: 0,
  deliverySwapped: 0,
  consumerSilent: 0,
  consumerGone: 0,
  latencyMs: 2,
};

/** Messages that go with one look of the server at a consumer. */
const DELIVERED_AT_ONCE_MAX = 40;
const DUPLICATE_WINDOW_MS = 120_000;
const PAYLOAD_BYTES_MAX = 1024 * 1024;
const RECONNECT_MS = 400;
/** Longest time until a process notices that its connection is dead. */
const NOTICED_MS_MAX = 15_000;

export interface SimBroker {
  streams: Map<string, SimStream>;
  faults: BrokerFaults;
  /** Stores without a network between: what producers did. */
  store(subject: string, data: Uint8Array, header?: MsgHdrs): { sequence: number; duplicate: boolean } | ApiError;
  connect(process: SimProcess): SimConnection;
  /** All connections break; with `flushes` nothing else happens, without it what was not flushed may be gone. */
  restart(downMs: number, flushes: boolean): void;
  /** No connection is broken, not even one whose process has not noticed. */
  whole(): boolean;
  /** Breaks the connections for a moment. */
  cut(): void;
  /** Consumers are gone, or do not say a word any more. */
  loseConsumers(silently: boolean): void;
  /** Takes a message out of the middle of a stream. */
  remove(stream: string, sequence: number): void;
  /** Retention: the stream begins later. */
  purge(stream: string, first: number): void;
  /** Largest sequence of a stream that any consumer was sent. */
  deliveredUpTo(stream: string): number;
}

export interface SimConnection {
  nc: NatsConnection;
  /** The process is gone: of what it had sent a part still arrives. */
  die(): void;
}

interface ApiError {
  error: { code: number; err_code: number; description: string };
}
const apiError = (code: number, errorCode: number, description: string): ApiError => ({
  error: { code, err_code: errorCode, description },
});

interface Outgoing {
  subject: string;
  data: Uint8Array;
  header: MsgHdrs | undefined;
  reply: string;
}
interface Incoming {
  subject: string;
  data: Uint8Array;
  header: MsgHdrs | undefined;
  reply: string;
}

interface Link {
  process: SimProcess;
  connected: boolean;
  /** Nothing passes any more, though the process may not know it yet. */
  broken: boolean;
  dead: boolean;
  sending: Outgoing[];
  receiving: Incoming[];
  listeners: Map<string, (error: Error | null, message: Msg) => void>;
  requests: Map<string, (message: Msg) => void>;
  statuses: { type: string }[];
  wake: (() => void) | undefined;
  arrive(): void;
  setConnected(connected: boolean): void;
}

interface Pull {
  reply: string;
  left: number;
  heartbeatMs: number;
  expiresAt: number;
}
interface Consumer {
  name: string;
  link: Link;
  stream: SimStream;
  next: number;
  delivered: number;
  pulls: Pull[];
  pumping: boolean;
  silent: boolean;
  gone: boolean;
}

const STREAM_OF: Record<string, string> = {
  usage: 'USAGE',
  alerts: 'ALERTS',
  shadow: 'SHADOW',
  deadletter: 'DEADLETTER',
};
const REQUEST = /^\$JS\.API\.(STREAM\.INFO|STREAM\.MSG\.GET|CONSUMER\.(?:CREATE|INFO|DELETE|MSG\.NEXT))\.(\w+)\.?(.*)$/;
const UNAVAILABLE = apiError(503, 10008, 'JetStream system temporarily unavailable');
const EMPTY = new Uint8Array(0);
/** As it stands in an answer; its own encoding is no part of its type. */
const encodedHeader = (header: MsgHdrs): string =>
  Buffer.from((header as unknown as { encode(): Uint8Array }).encode()).toString('base64');
const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

export function createBroker(options: {
  clock: SimClock;
  random: Random;
  faults: BrokerFaults;
  trace(line: string): void;
  onStored(stream: SimStream, message: StoredMessage): void;
  /** Sequence up to which a power loss keeps a stream. */
  keepsAtLeast(stream: SimStream): number;
}): SimBroker {
  const { clock, random, trace } = options;
  const streams = new Map<string, SimStream>();
  const links = new Set<Link>();
  const consumers = new Map<string, Consumer>();
  const delivered = new Map<string, number>();
  let down = false;
  let inboxes = 0;
  let consumersMade = 0;
  for (const name of Object.values(STREAM_OF)) {
    streams.set(name, {
      name,
      created: '2026-03-01T00:00:00Z',
      first: 1,
      last: 0,
      messages: new Map(),
      lastOfSubject: new Map(),
      ids: new Map(),
      flushed: 0,
    });
  }
  const chance = (share: number): boolean => share > 0 && random() < share;
  const latency = (): number => broker.faults.latencyMs * (random() < 0.1 ? random() : random() / 100);

  const streamOf = (subject: string): SimStream | undefined =>
    streams.get(STREAM_OF[subject.slice(0, subject.indexOf('.'))] ?? '');

  const store: SimBroker['store'] = (subject, data, header) => {
    const stream = streamOf(subject)!;
    const id = header?.get('Nats-Msg-Id') ?? '';
    const known = id === '' ? undefined : stream.ids.get(id);
    if (known !== undefined && clock.now() - known.timeMs < DUPLICATE_WINDOW_MS) {
      return { sequence: known.sequence, duplicate: true };
    }
    const expected = header?.get('Nats-Expected-Last-Subject-Sequence') ?? '';
    const last = stream.lastOfSubject.get(subject) ?? 0;
    if (expected !== '' && Number(expected) !== last) return apiError(400, 10071, `wrong last sequence: ${last}`);
    const message = { sequence: ++stream.last, subject, data, timeMs: Math.floor(clock.now()), header };
    stream.messages.set(message.sequence, message);
    stream.lastOfSubject.set(subject, message.sequence);
    if (id !== '') stream.ids.set(id, { sequence: message.sequence, timeMs: message.timeMs });
    trace(`${stream.name} ${message.sequence} ${subject}`);
    options.onStored(stream, message);
    for (const consumer of consumers.values()) if (consumer.stream === stream) pump(consumer);
    return { sequence: message.sequence, duplicate: false };
  };

  /** On its way to the client; what arrives together is read together, as from a socket. */
  const send = (link: Link, message: Incoming): void => {
    if (!link.connected || link.broken || link.dead) return;
    link.receiving.push(message);
    if (link.receiving.length === 1) clock.after(latency(), () => link.arrive(), link.process);
  };
  const status = (link: Link, subject: string, code: number, description: string): void =>
    send(link, { subject, data: EMPTY, header: headers(code, description), reply: '' });
  const answer = (link: Link, reply: string, value: unknown): void => {
    if (reply !== '') send(link, { subject: reply, data: encode(value), header: undefined, reply: '' });
  };

  // -- consumers ---------------------------------------------------------------------------------------------------------

  const behind = ({ stream, next }: Consumer): number => {
    let count = 0;
    for (const sequence of stream.messages.keys()) if (sequence >= next) count++;
    return count;
  };
  const end = (consumer: Consumer): void => {
    consumer.gone = true;
    consumers.delete(consumer.name);
  };
  /** Lets the server look at a consumer: what there is goes to the pulls that wait. */
  const pump = (consumer: Consumer): void => {
    if (consumer.pumping || consumer.gone || consumer.silent) return;
    consumer.pumping = true;
    clock.after(random() * 1.5, () => {
      consumer.pumping = false;
      deliver(consumer);
    });
  };
  const deliver = (consumer: Consumer): void => {
    const { stream, link } = consumer;
    if (!link.connected || link.broken || link.dead || down || consumer.gone || consumer.silent) return;
    const batch = 1 + Math.floor(random() * DELIVERED_AT_ONCE_MAX);
    let swapped: Incoming | undefined;
    consumer.next = Math.max(consumer.next, stream.first);
    for (let count = 0; count < batch; consumer.next++) {
      while (consumer.next <= stream.last && !stream.messages.has(consumer.next)) consumer.next++;
      const message = stream.messages.get(consumer.next);
      const pull = consumer.pulls[0];
      if (message === undefined || pull === undefined) break;
      if (chance(broker.faults.consumerSilent)) {
        trace(`consumer ${consumer.name} falls silent`);
        consumer.silent = true;
        break;
      }
      if (chance(broker.faults.consumerGone)) {
        trace(`consumer ${consumer.name} is gone`);
        end(consumer);
        if (random() < 0.5) status(link, pull.reply, 409, 'Consumer Deleted');
        break;
      }
      count++;
      consumer.delivered++;
      delivered.set(stream.name, Math.max(delivered.get(stream.name) ?? 0, message.sequence));
      const { sequence, subject, data, header, timeMs } = message;
      const pending = Math.max(0, stream.last - sequence);
      const packet: Incoming = {
        subject: pull.reply,
        data,
        header,
        reply: `$JS.ACK.${stream.name}.${consumer.name}.1.${sequence}.${consumer.delivered}.${timeMs}000000.${pending}`,
      };
      // The client sees the subject of the message; the subscription is found by that of the pull.
      const addressed = Object.assign(packet, { original: subject });
      if (--pull.left === 0) consumer.pulls.shift();
      if (chance(broker.faults.deliveryLost)) continue;
      if (swapped === undefined && chance(broker.faults.deliverySwapped)) {
        swapped = addressed;
        continue;
      }
      send(link, addressed);
      if (chance(broker.faults.deliveryDoubled)) send(link, addressed);
      if (swapped !== undefined) {
        send(link, swapped);
        swapped = undefined;
      }
    }
    if (swapped !== undefined) send(link, swapped);
    if (consumer.pulls.length > 0 && consumer.next <= stream.last) pump(consumer);
  };
  /** Heartbeats while a pull waits, and its end when its time is over. */
  const attend = (consumer: Consumer, pull: Pull): void => {
    clock.after(pull.heartbeatMs, () => {
      if (consumer.gone || consumer.link.dead || !consumer.pulls.includes(pull)) return;
      if (clock.now() >= pull.expiresAt) {
        consumer.pulls.splice(consumer.pulls.indexOf(pull), 1);
        if (!consumer.silent) status(consumer.link, pull.reply, 408, 'Request Timeout');
        return;
      }
      if (!consumer.silent) {
        const header = headers(100, 'Idle Heartbeat');
        header.set('Nats-Last-Consumer', String(consumer.delivered));
        send(consumer.link, { subject: pull.reply, data: EMPTY, header, reply: '' });
      }
      attend(consumer, pull);
    });
  };

  // -- requests ----------------------------------------------------------------------------------------------------------

  const infoOf = (stream: SimStream): unknown => ({
    config: { name: stream.name },
    created: stream.created,
    state: {
      messages: stream.messages.size,
      first_seq: stream.messages.size === 0 ? stream.last + 1 : stream.first,
      last_seq: stream.last,
    },
  });
  const consumerInfo = (consumer: Consumer, start: number): unknown => ({
    stream_name: consumer.stream.name,
    name: consumer.name,
    config: {},
    delivered: { consumer_seq: 0, stream_seq: start - 1 },
    num_pending: behind(consumer),
  });

  const manage = (
    link: Link,
    verb: string,
    stream: SimStream,
    rest: string,
    body: Record<string, unknown>,
  ): unknown => {
    if (verb === 'STREAM.INFO') return infoOf(stream);
    if (verb === 'STREAM.MSG.GET') {
      const sequence =
        typeof body['seq'] === 'number' ? body['seq'] : (stream.lastOfSubject.get(String(body['last_by_subj'])) ?? 0);
      const message = stream.messages.get(sequence);
      if (message === undefined) return apiError(404, 10037, 'no message found');
      return {
        message: {
          subject: message.subject,
          seq: message.sequence,
          data: Buffer.from(message.data).toString('base64'),
          ...(message.header !== undefined && { hdrs: encodedHeader(message.header) }),
          time: new Date(message.timeMs).toISOString(),
        },
      };
    }
    if (verb === 'CONSUMER.CREATE') {
      const config = body['config'] as { opt_start_seq?: number; opt_start_time?: string };
      let start = config.opt_start_seq ?? stream.first;
      if (config.opt_start_time !== undefined) {
        const from = Date.parse(config.opt_start_time);
        start = stream.first;
        while (start <= stream.last && (stream.messages.get(start)?.timeMs ?? 0) < from) start++;
      }
      const consumer: Consumer = {
        name: `c${++consumersMade}`,
        link,
        stream,
        next: start,
        delivered: 0,
        pulls: [],
        pumping: false,
        silent: false,
        gone: false,
      };
      consumers.set(consumer.name, consumer);
      return consumerInfo(consumer, start);
    }
    const consumer = consumers.get(rest);
    if (consumer === undefined) return apiError(404, 10014, 'consumer not found');
    if (verb === 'CONSUMER.INFO') return consumerInfo(consumer, consumer.next);
    end(consumer);
    return { success: true };
  };

  /** A publish arrives: what the server answers, undefined where the answer, or the message itself, is lost. */
  const publish = ({ subject, data, header }: Outgoing): unknown => {
    if (chance(broker.faults.publishLost)) {
      trace(`lost before the write: ${subject}`);
      return undefined;
    }
    if (chance(broker.faults.refused)) return UNAVAILABLE;
    const stored = store(subject, data, header);
    if (chance(broker.faults.acknowledgementLost)) {
      trace(`acknowledgement lost: ${subject}`);
      return undefined;
    }
    if ('error' in stored) return stored;
    const { sequence, duplicate } = stored;
    return { stream: streamOf(subject)!.name, seq: sequence, ...(duplicate && { duplicate }) };
  };
  const pullFrom = (link: Link, consumer: Consumer | undefined, { data, reply }: Outgoing): void => {
    if (consumer === undefined) {
      status(link, reply, 503, 'No Responders');
      return;
    }
    const asked = JSON.parse(Buffer.from(data).toString()) as {
      batch: number;
      expires: number;
      idle_heartbeat: number;
    };
    const pull = {
      reply,
      left: asked.batch,
      heartbeatMs: asked.idle_heartbeat / 1e6,
      expiresAt: clock.now() + asked.expires / 1e6,
    };
    consumer.pulls.push(pull);
    attend(consumer, pull);
    pump(consumer);
  };
  /** A message of a client arrives. */
  const receive = (link: Link, message: Outgoing): void => {
    if (down) return;
    const { subject, data, reply } = message;
    const request = REQUEST.exec(subject);
    if (request === null) {
      const acknowledgement = publish(message);
      if (acknowledgement !== undefined) answer(link, reply, acknowledgement);
      return;
    }
    const [, verb, name, rest] = request as unknown as [string, string, string, string];
    if (verb === 'CONSUMER.MSG.NEXT') {
      pullFrom(link, consumers.get(rest), message);
    } else if (chance(broker.faults.publishLost)) {
      trace(`request lost: ${subject}`);
    } else if (chance(broker.faults.refused)) {
      answer(link, reply, UNAVAILABLE);
    } else {
      const body = data.length === 0 ? {} : (JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>);
      answer(link, reply, manage(link, verb, streams.get(name)!, rest, body));
    }
  };

  // -- connections -------------------------------------------------------------------------------------------------------

  const messageOf = ({ subject, data, header, reply }: Incoming, original = subject): Msg =>
    ({
      subject: original,
      data,
      reply,
      headers: header,
      json: () => JSON.parse(Buffer.from(data).toString()),
      string: () => Buffer.from(data).toString(),
    }) as unknown as Msg;

  const connect = (process: SimProcess): SimConnection => {
    const info = { max_payload: PAYLOAD_BYTES_MAX, version: '2.10.0', jetstream: true };
    const link: Link = {
      process,
      connected: true,
      broken: false,
      dead: false,
      sending: [],
      receiving: [],
      listeners: new Map(),
      requests: new Map(),
      statuses: [],
      wake: undefined,
      arrive() {
        const messages = link.receiving;
        link.receiving = [];
        for (const message of messages) {
          const request = link.requests.get(message.subject);
          if (request !== undefined) {
            request(messageOf(message));
            continue;
          }
          const listener = link.listeners.get(message.subject.slice(0, message.subject.lastIndexOf('.')));
          listener?.(null, messageOf(message, (message as { original?: string }).original));
        }
      },
      setConnected(connected) {
        if (link.connected === connected || link.dead) return;
        link.connected = connected;
        link.sending = [];
        link.receiving = [];
        clock.after(
          0,
          () => {
            link.statuses.push({ type: connected ? 'reconnect' : 'disconnect' });
            link.wake?.();
          },
          process,
        );
      },
    };
    links.add(link);
    const transmit = (message: Outgoing): void => {
      process.step();
      if (!process.alive || !link.connected || link.broken) return;
      link.sending.push(message);
      if (link.sending.length > 1) return;
      clock.after(latency(), () => {
        const messages = link.sending;
        link.sending = [];
        // Of what a process had sent when it died, a part arrives.
        const arriving = link.dead ? messages.slice(0, Math.floor(random() * (messages.length + 1))) : messages;
        for (const one of arriving) receive(link, one);
      });
    };
    const bytesOf = (data: Uint8Array | string | undefined): Uint8Array =>
      data === undefined ? EMPTY : typeof data === 'string' ? Buffer.from(data) : data;

    const nc = {
      options: { inboxPrefix: '_INBOX' },
      features: { get: () => ({ ok: true, min: '2.9.0' }), supports: () => true },
      get info() {
        return link.connected ? info : undefined;
      },
      isClosed: () => false,
      closed: () => new Promise<void>(() => {}),
      async *status() {
        for (;;) {
          while (link.statuses.length > 0) yield link.statuses.shift()!;
          await new Promise<void>((resolve) => {
            link.wake = resolve;
          });
        }
      },
      subscribe(subject: string, { callback }: { callback: (error: Error | null, message: Msg) => void }) {
        const prefix = subject.slice(0, subject.lastIndexOf('.'));
        link.listeners.set(prefix, callback);
        return { unsubscribe: () => link.listeners.delete(prefix) };
      },
      publish(subject: string, data?: Uint8Array | string, more: { headers?: MsgHdrs; reply?: string } = {}) {
        transmit({ subject, data: bytesOf(data), header: more.headers, reply: more.reply ?? '' });
      },
      request(subject: string, data?: Uint8Array | string, more: { headers?: MsgHdrs; timeout?: number } = {}) {
        const reply = `_INBOX.request.${++inboxes}`;
        return new Promise<Msg>((resolve, reject) => {
          const called = clock.after(
            more.timeout ?? 5_000,
            () => {
              link.requests.delete(reply);
              reject(new TimeoutError());
            },
            process,
          );
          link.requests.set(reply, (message) => {
            link.requests.delete(reply);
            called();
            if (message.headers?.code === 503) {
              const cause = new NoRespondersError(subject);
              reject(new RequestError(cause.message, { cause }));
            } else resolve(message);
          });
          transmit({ subject, data: bytesOf(data), header: more.headers, reply });
        });
      },
    } as unknown as NatsConnection;

    return {
      nc,
      die() {
        link.dead = true;
        links.delete(link);
        for (const consumer of consumers.values()) if (consumer.link === link) end(consumer);
      },
    };
  };

  const disconnect = (link: Link, forMs: number): void => {
    // Some of what is under way arrives, the rest is lost with the connection.
    const arriving = link.sending.splice(0, Math.floor(random() * (link.sending.length + 1)));
    for (const message of arriving) receive(link, message);
    link.sending = [];
    link.receiving = [];
    if (link.broken) return;
    link.broken = true;
    const again = (): void => {
      if (down) clock.after(RECONNECT_MS, again);
      else {
        link.broken = false;
        link.setConnected(true);
      }
    };
    // Where the machine is gone and not just the program, only pings tell.
    clock.after(random() < 0.7 ? 0 : random() * NOTICED_MS_MAX, () => {
      link.setConnected(false);
      clock.after(forMs + random() * RECONNECT_MS, again);
    });
  };

  /** The machine of the broker lost its power: what was not flushed may be gone. */
  const loseTail = (stream: SimStream): void => {
    const kept = Math.max(stream.flushed, options.keepsAtLeast(stream));
    if (kept >= stream.last) return;
    const last = kept + Math.floor(random() * (stream.last - kept + 1));
    if (last === stream.last) return;
    trace(`${stream.name} loses ${last + 1} to ${stream.last}`);
    for (let sequence = last + 1; sequence <= stream.last; sequence++) stream.messages.delete(sequence);
    stream.last = last;
    stream.lastOfSubject.clear();
    stream.ids.clear();
    for (const message of stream.messages.values()) {
      stream.lastOfSubject.set(message.subject, message.sequence);
      const id = message.header?.get('Nats-Msg-Id') ?? '';
      if (id !== '') stream.ids.set(id, { sequence: message.sequence, timeMs: message.timeMs });
    }
  };

  const broker: SimBroker = {
    streams,
    faults: options.faults,
    store,
    connect,
    restart(downMs, flushes) {
      trace(`broker ${flushes ? 'restarts' : 'loses power'}`);
      for (const link of [...links]) disconnect(link, 0);
      down = true;
      for (const consumer of [...consumers.values()]) end(consumer);
      if (!flushes) for (const stream of streams.values()) loseTail(stream);
      for (const stream of streams.values()) stream.flushed = stream.last;
      clock.after(downMs, () => {
        down = false;
      });
    },
    whole: () => [...links].every(({ connected, broken }) => connected && !broken),
    cut() {
      trace('connections break');
      for (const link of [...links]) disconnect(link, random() * 2_000);
    },
    loseConsumers(silently) {
      trace(silently ? 'consumers fall silent' : 'consumers are gone');
      for (const consumer of [...consumers.values()]) {
        if (silently) consumer.silent = true;
        else end(consumer);
      }
    },
    remove(name, sequence) {
      const stream = streams.get(name)!;
      if (!stream.messages.delete(sequence)) return;
      trace(`${name} ${sequence} is deleted`);
      while (stream.first <= stream.last && !stream.messages.has(stream.first)) stream.first++;
    },
    purge(name, first) {
      const stream = streams.get(name)!;
      trace(`${name} begins at ${first}`);
      for (let sequence = stream.first; sequence < first; sequence++) stream.messages.delete(sequence);
      stream.first = first;
    },
    deliveredUpTo: (name) => delivered.get(name) ?? 0,
  };
  return broker;
}
