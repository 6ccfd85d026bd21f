/**
 * Reads a JetStream stream in order from a position that is ours, not the broker's.
 *
 * The position lives in the checkpoint beside the state that it belongs to, so nothing is acknowledged: the consumer
 * is ephemeral, keeps its state in the server's memory, and is thrown away and made again at "last received + 1"
 * whenever anything looks wrong. Each such consumer is one *generation*:
 *
 *      opening ──> reading ──> reading ended: disconnected, consumer gone, no heartbeat, delivery lost, ...
 *         ^                          │
 *         └──────── back-off <───────┘        failed: data loss, stream replaced, no permission (next() rejects)
 *
 * What next() hands out is strictly rising in sequence, without repeats. A hole in the sequences is either a message
 * that somebody deleted, which is fine, or a message that retention removed before we read it, which is data loss.
 * The stream's own state tells which, so messages behind a hole are held back until the stream has been asked.
 *
 * Pulls are our own requests to CONSUMER.MSG.NEXT, in two slots that overlap, because the client's ready-made ways
 * do not fit (500,000 single 200-byte messages, current server, two shared cores, client CPU in brackets):
 *   - consume() with a callback: 480-550 k/s (1.4-1.9 us) and 400-450 k/s (2.2-2.4 us) once the sequence of each
 *     message is read, since the library splits the reply subject into tokens and parses all of them. It bounds
 *     messages or bytes but not both, cannot be paused, and may hang after a reconnect.
 *   - fetch() is consume() for one batch: a round trip without messages after each.
 *   - this: 500-580 k/s (1.5-1.6 us) with sequence, time and subject read.
 * Policy `all` instead of `none` costs a third of the rate (340 k/s): the server keeps a list of what is unacknowledged.
 *
 * Every pull is bounded in messages and in bytes: a pull of many large messages overruns the server's 64 MB limit for
 * a connection, which is then cut off as a slow consumer. No pull is sent while the buffer has no room for all of it.
 */
import { AckPolicy, DeliverPolicy, JetStreamApiError, jetstreamManager, type StreamInfo } from '@nats-io/jetstream';
import { createInbox, type Msg, type NatsConnection, nanos, type Subscription } from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';
import { connectionState, permissionViolation } from './connection.ts';
import { type Delivery, deliveryOffset, ReceivedMessage, readDelivery, type SourceMessage } from './delivery.ts';

export interface Source {
  /**
   * Resolves as soon as there is anything, with all that has been received, at most NEXT_MESSAGES_MAX, in stream order;
   * undefined after close(). The event loop always gets a turn before it resolves, so a caller in a tight loop starves
   * nobody. Rejects with the RingfenceError that ended the source, after everything before it was handed out.
   */
  next(): Promise<SourceMessage[] | undefined>;
  /** Messages in the stream behind the last one handed out. */
  pending(): number;
  /** Of those, what has been pulled and waits here: at most PULLED_MESSAGES_MAX. */
  pulled(): { messages: number; bytes: number };
  /** True while the stream is being read: connected, and the consumer is there. */
  connected(): boolean;
  /** Creation time of the stream that next() handed out from last: two streams of one name differ in it. */
  streamCreated: string;
  /**
   * What a checkpoint stores when everything handed out so far is in it: the sequence before the next one to be handed out,
   * and the stream that it counts in. After a gap that is allowed this is beyond the gap, in the new stream even
   * before its first message has come: else the gap would be met again, or what came in the meantime passed over.
   */
  position(): { streamCreated: string; sequence: number };
  close(): Promise<void>;
}

export interface SourceGap {
  code: 'source.data-loss' | 'source.position-ahead' | 'source.stream-replaced';
  /** First and last sequence that is gone; `to` is `from - 1` where none is known to be gone. */
  from: number;
  to: number;
}

export interface SourceOptions {
  stream: string;
  /** First sequence to deliver; 0 = the first one that the stream still has, whatever that is. */
  startSequence: number;
  /** `streamCreated` of the stream that startSequence belongs to: a stream that was made anew is then noticed. */
  streamCreated?: string;
  /** Goes on after data loss, from the first message that is there, instead of failing. */
  allowGap?: boolean;
  /** With allowGap: what is missing. */
  onGap?: (gap: SourceGap) => void;
  /** One sentence each time that reading stops and starts again. */
  onStall?: (detail: string) => void;
  /** Ends the waiting for NATS while the source opens. */
  signal?: AbortSignal;
  /** How long the server may be silent before reading starts again. */
  silenceLimitMs?: number;
  /** Size of one pull; the buffer holds PULLS_BUFFERED_MAX of them. A pull always has room for the largest message. */
  pullMessages?: number;
  pullBytes?: number;
}

/** Most messages that one next() hands out. */
export const NEXT_MESSAGES_MAX = 2_000;
/** One pull: 8,192 messages are some 15 ms of work, far more than the round trip that has to be hidden. */
const PULL_MESSAGES = 8_192;
const PULL_BYTES = 8 * 1024 * 1024;
/**
 * While the reader is the slower side, pulls are a quarter of that, and no more than one full pull is buffered or under
 * way. Messages that wait for long outlive the young generation of the garbage collector, which then copies them: beside
 * the engine its collections took 17 ms each and 9 % of the time with four full pulls buffered, 5 ms and 3 % with this.
 */
const PULL_SHARE_BEHIND = 1 / 4;
/** Pulls under way. Two: while one is being delivered the next is already at the server. */
const PULL_SLOTS = 2;
/** Received and not yet handed out, together with what is still under way, in pulls. */
const PULLS_BUFFERED_MAX = 4;
export const PULLED_MESSAGES_MAX = PULLS_BUFFERED_MAX * PULL_MESSAGES;
/** Where no single message needs a larger pull. */
export const PULLED_BYTES_MAX = PULLS_BUFFERED_MAX * PULL_BYTES;
/** Room for subject, headers and reply subject of a message of the largest size, which must fit into one pull. */
const PULL_ENVELOPE_BYTES = 64 * 1024;
/** A pull never asks for more: the server's limit for a connection is 64 MB. */
const PULL_BYTES_MAX = 48 * 1024 * 1024;
/** The server closes a pull after this time; an idle source asks again. */
const PULL_EXPIRES_MS = 30_000;
/** Silence after which a generation is given up, although the server should have sent heartbeats meanwhile. */
const SILENCE_LIMIT_MS = 12_000;
/** Heartbeats that fit into that silence, and looks that the watch takes at it (so it acts within 14 s). */
const HEARTBEATS_PER_SILENCE = 3;
const WATCHES_PER_SILENCE = 6;
/** The server removes a consumer that nobody has pulled from for so long; an engine may pause that long. */
const CONSUMER_KEPT_MS = 300_000;
/** Between two generations without a message. */
const BACKOFF_FIRST_MS = 20;
const BACKOFF_LONGEST_MS = 2_000;
/** A stream that is missing for longer is missing: a cluster that elects a leader may not know it for a moment. */
const STREAM_MISSING_LIMIT_MS = 15_000;
/** Counted for each buffered message besides its data: the objects around it. */
const MESSAGE_OVERHEAD_BYTES = 300;
const NEXT_SUBJECT = '$JS.API.CONSUMER.MSG.NEXT';
/** Descriptions of status 409 that end a pull and nothing else; 2.9 does not say "completed". */
const PULL_ENDED = /batch completed|message size exceeds maxbytes/i;
const PULL_TOO_SMALL = /message size exceeds maxbytes/i;

interface Chunk {
  messages: SourceMessage[];
  bytes: number;
  /** Creation time of their stream. */
  created: string;
}

interface Slot {
  subscription: Subscription;
  inbox: string;
  /** Number of the pull that is under way, 0 if none: the last token of its inbox, so late words of older pulls are known. */
  pull: number;
  /** Messages that it may still deliver. */
  left: number;
  received: boolean;
}

interface Generation {
  consumer: string;
  slots: Slot[];
  delivered: number;
  replyOffset: number;
  ended: boolean;
  end(reason: string): void;
  /** Resolves with the reason. */
  whenEnded: Promise<string>;
}

/**
 * Opens a stream for reading. Waits while NATS or JetStream is away.
 * @throws RingfenceError `source.data-loss` (the stream begins after startSequence), `source.position-ahead` (it ends
 *   before startSequence - 1), `source.stream-replaced`, `source.stream-missing`, `source.not-permitted`.
 *   The same errors reject next() when they happen later.
 */
export async function openSource(nc: NatsConnection, options: SourceOptions): Promise<Source> {
  const { stream, onStall = () => {}, onGap = () => {}, signal } = options;
  const pullMessages = options.pullMessages ?? PULL_MESSAGES;
  const silenceLimitMs = options.silenceLimitMs ?? SILENCE_LIMIT_MS;
  const connection = connectionState(nc);
  const jsm = await jetstreamManager(nc, { checkAPI: false });

  /** Next sequence that may be received: everything before it was received or is known to be absent. */
  let expected = options.startSequence;
  let created = options.streamCreated ?? '';
  let generation: Generation | undefined;
  let closed = false;
  let failure: Error | undefined;

  /** Ready to be handed out. */
  let ready: Chunk[] = [];
  /** Behind a hole in the sequences that the stream has not yet been asked about. */
  let held: Chunk[] = [];
  /** First missing sequence before what is held; 0 where nothing is held. */
  let heldFrom = 0;
  /** Missing sequences `from` to `to - 1` that the stream has not been asked about; no more than buffered messages. */
  const holes: { from: number; to: number }[] = [];
  let bufferedMessages = 0;
  let bufferedBytes = 0;
  let streamPending = 0;
  /** Counts everything that the server sends; the watch compares it. */
  let signsOfLife = 0;
  let pulls = 0;
  /** Grows when a single message does not fit into a pull. */
  let pullBytes = options.pullBytes ?? PULL_BYTES;
  /** Resolves the next() that waits; nothing where none does. */
  let wake = (): void => {};
  const delivery: Delivery = { sequence: 0, deliverySequence: 0, timeMs: 0, pending: 0 };

  const fail = (error: Error): void => {
    failure ??= error;
    generation?.end('failed');
    wake();
  };

  const lost = (code: SourceGap['code'], message: string): RingfenceError =>
    new RingfenceError({
      code,
      message,
      hint: 'Find out why the messages are gone; to go on without them, allow the gap in the configuration.',
    });

  /** Compares our position with the stream. Throws, or moves the position where gaps are allowed. */
  const checkPosition = (info: StreamInfo): void => {
    const { state } = info;
    const first = state.messages === 0 ? state.last_seq + 1 : state.first_seq;
    const now = String(info.created);
    const replaced = created !== '' && created !== now;
    let gap: SourceGap | undefined;
    let sentence = '';
    if (replaced) {
      gap = { code: 'source.stream-replaced', from: expected, to: expected - 1 };
      sentence = `Stream ${stream} was made anew on ${now}, so position ${expected} means nothing in it.`;
    } else if (expected > state.last_seq + 1) {
      gap = { code: 'source.position-ahead', from: state.last_seq + 1, to: expected - 1 };
      sentence = `Stream ${stream} ends at ${state.last_seq}, before position ${expected}: messages that were read are gone.`;
    } else if (expected > 0 && expected < first) {
      gap = { code: 'source.data-loss', from: expected, to: first - 1 };
      sentence = `Stream ${stream} begins at ${first}, after position ${expected}: ${first - expected} messages were removed before they were read.`;
    }
    if (gap !== undefined) {
      if (options.allowGap !== true) throw lost(gap.code, sentence);
      onGap(gap);
      // A stream that was set back goes on where it ends: what it still has was read. A new one is read from its start.
      expected = gap.code === 'source.position-ahead' ? state.last_seq + 1 : first;
    }
    created = now;
    if (expected === 0) expected = first;
  };

  const pull = (current: Generation, slot: Slot): void => {
    if (current.ended || slot.pull !== 0) return;
    const underWay = current.slots.filter((other) => other.pull !== 0);
    const isBehind = bufferedMessages > NEXT_MESSAGES_MAX;
    // The server serves waiting pulls in turn. Half a batch for the first of them keeps their ends apart, so that one
    // is always under way while the other is asked for.
    const share = isBehind ? PULL_SHARE_BEHIND : underWay.length === 0 ? 1 / 2 : 1;
    const batch = Math.ceil(pullMessages * share);
    const messagesMax = isBehind ? pullMessages : PULLS_BUFFERED_MAX * pullMessages;
    const messages = bufferedMessages + underWay.reduce((sum, other) => sum + other.left, 0);
    const roomBytes = (PULLS_BUFFERED_MAX - underWay.length - 1) * pullBytes - bufferedBytes;
    if (messages + batch > messagesMax || roomBytes < 0) return;
    slot.pull = ++pulls;
    slot.received = false;
    slot.left = batch;
    const request = JSON.stringify({
      batch,
      max_bytes: pullBytes,
      expires: nanos(PULL_EXPIRES_MS),
      idle_heartbeat: nanos(silenceLimitMs / HEARTBEATS_PER_SILENCE),
    });
    try {
      nc.publish(`${NEXT_SUBJECT}.${stream}.${current.consumer}`, request, {
        reply: `${slot.inbox}.${slot.pull}`,
      });
    } catch (error) {
      // The connection is closing: pull() is called from receive(), which must not throw.
      current.end(sentenceOf(error));
    }
  };
  const pullAll = (): void => {
    if (generation !== undefined && connection.connected()) {
      for (const slot of generation.slots) pull(generation, slot);
    }
  };

  /** A word of the server about a pull: heartbeat, end of the pull, or trouble. */
  const receiveStatus = (current: Generation, slot: Slot, message: Msg): void => {
    const code = message.headers?.code ?? 0;
    const description = message.headers?.description ?? '';
    if (code === 100) {
      // A heartbeat comes behind what was delivered before it. A message that was lost on its way between servers would else be
      // missed only when another one follows.
      const deliveredByServer = Number(message.headers?.get('Nats-Last-Consumer'));
      if (deliveredByServer > current.delivered) current.end(`delivery ${current.delivered + 1} was lost`);
    } else if (code === 503) {
      current.end('the consumer is gone');
    } else if (code === 400) {
      fail(new Error(`the server refuses our pull: ${description}`));
    } else if (code === 404 || code === 408 || (code === 409 && PULL_ENDED.test(description))) {
      // A late word about an older pull of the slot has that pull's number.
      if (message.subject !== `${slot.inbox}.${slot.pull}`) return;
      if (PULL_TOO_SMALL.test(description) && !slot.received) {
        // The next message alone is larger than a pull.
        if (pullBytes >= PULL_BYTES_MAX) fail(tooLarge(stream, expected - 1));
        pullBytes = Math.min(pullBytes * 2, PULL_BYTES_MAX);
      }
      slot.pull = 0;
      pull(current, slot);
    } else {
      current.end(`the server says ${code} ${description}`.trim());
    }
  };

  /** The hot path: the client calls it for each message. It must not throw, or the client stops reading its socket. */
  const receive = (current: Generation, slot: Slot, error: Error | null, message: Msg): void => {
    if (current.ended) return;
    if (error !== null) {
      const violation = permissionViolation(error);
      if (violation === undefined) current.end(error.message);
      else fail(notPermitted(stream, violation));
      return;
    }
    signsOfLife++;
    const reply = message.reply;
    if (reply === undefined || reply === '') {
      receiveStatus(current, slot, message);
      return;
    }
    if (current.replyOffset === 0) current.replyOffset = deliveryOffset(reply);
    if (current.replyOffset < 0) {
      fail(new Error(`not the reply subject of a JetStream message: ${reply}`));
      return;
    }
    readDelivery(reply, current.replyOffset, delivery);
    if (delivery.deliverySequence !== current.delivered + 1 || delivery.sequence < expected) {
      current.end(
        `delivery ${delivery.deliverySequence} (sequence ${delivery.sequence}) came after delivery ${current.delivered} (sequence ${expected - 1})`,
      );
      return;
    }
    current.delivered++;
    if (delivery.sequence > expected) {
      holes.push({ from: expected, to: delivery.sequence });
      if (heldFrom === 0) {
        heldFrom = expected;
        void askAboutHoles(current);
      }
    }
    expected = delivery.sequence + 1;
    streamPending = delivery.pending;
    const chunks = heldFrom === 0 ? ready : held;
    let chunk = chunks.at(-1);
    if (chunk === undefined || chunk.messages.length >= NEXT_MESSAGES_MAX || chunk.created !== created) {
      chunk = { messages: [], bytes: 0, created };
      chunks.push(chunk);
    }
    const received = new ReceivedMessage(message, delivery);
    const bytes = received.data.length + MESSAGE_OVERHEAD_BYTES;
    chunk.messages.push(received);
    chunk.bytes += bytes;
    bufferedMessages++;
    bufferedBytes += bytes;
    slot.received = true;
    if (--slot.left === 0) {
      slot.pull = 0;
      pull(current, slot);
    }
    if (heldFrom === 0) wake();
  };

  /**
   * Asks the stream where it begins now. If it begins at or before a missing sequence, retention has not come so far:
   * the message was deleted on its own and nobody is to read it. One answer settles all holes seen before the
   * question, so a stream full of holes costs one question for a buffer full of messages.
   */
  const askAboutHoles = async (current: Generation): Promise<void> => {
    while (holes.length > 0) {
      const asked = holes.length;
      let first: number;
      try {
        first = (await jsm.streams.info(stream)).state.first_seq;
      } catch (error) {
        current.end(`the stream does not say where it begins (${sentenceOf(error)})`);
        return;
      }
      if (current.ended) return;
      for (const hole of holes.splice(0, asked)) {
        if (first <= hole.from) continue;
        const gap: SourceGap = { code: 'source.data-loss', from: hole.from, to: Math.min(first, hole.to) - 1 };
        if (options.allowGap !== true) {
          fail(
            lost(
              gap.code,
              `Messages ${gap.from} to ${gap.to} of stream ${stream} were removed before they were read; it begins at ${first} now.`,
            ),
          );
          return;
        }
        onGap(gap);
      }
    }
    heldFrom = 0;
    ready.push(...held);
    held = [];
    wake();
  };

  const begin = async (): Promise<Generation> => {
    checkPosition(await jsm.streams.info(stream));
    const consumer = await jsm.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: expected,
      inactive_threshold: nanos(CONSUMER_KEPT_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    streamPending = consumer.num_pending;
    const ended = Promise.withResolvers<string>();
    const current: Generation = {
      consumer: consumer.name,
      slots: [],
      delivered: 0,
      replyOffset: 0,
      ended: false,
      whenEnded: ended.promise,
      end(reason) {
        if (current.ended) return;
        current.ended = true;
        for (const slot of current.slots) slot.subscription.unsubscribe();
        // What lies behind an open hole is read again by the next generation, from the hole on.
        if (heldFrom !== 0) expected = heldFrom;
        heldFrom = 0;
        holes.length = 0;
        for (const chunk of held) {
          bufferedMessages -= chunk.messages.length;
          bufferedBytes -= chunk.bytes;
        }
        held = [];
        ended.resolve(reason);
      },
    };
    for (let i = 0; i < PULL_SLOTS; i++) {
      const inbox = createInbox();
      const slot: Slot = {
        inbox,
        pull: 0,
        left: 0,
        received: false,
        subscription: nc.subscribe(`${inbox}.*`, {
          callback: (error, message) => receive(current, slot, error, message),
        }),
      };
      current.slots.push(slot);
    }
    return current;
  };

  /** Removes the server's side of a generation; where that fails the server does it itself after CONSUMER_KEPT_MS. */
  const retire = async (old: Generation): Promise<void> => {
    old.end('retired');
    if (connection.connected()) await jsm.consumers.delete(stream, old.consumer).catch(() => {});
  };

  const opened = Promise.withResolvers<void>();
  const stop = Promise.withResolvers<void>();
  const pause = async (attempt: number): Promise<void> => {
    if (attempt === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const elapsed = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 10), BACKOFF_LONGEST_MS));
    });
    await Promise.race([stop.promise, elapsed]);
    clearTimeout(timer);
  };

  /** Requests that were under way when the connection broke get no answer, so what waits for them is called off. */
  let interrupted = Promise.withResolvers<void>();
  const unsubscribeRefusals = connection.onRefusal((refusal) => {
    if (refusal.subject.startsWith(`${NEXT_SUBJECT}.${stream}.`)) fail(notPermitted(stream, refusal));
  });
  const unsubscribe = connection.subscribe((event) => {
    if (event === 'closed') {
      void close();
    } else if (event === 'disconnected') {
      interrupted.resolve();
      interrupted = Promise.withResolvers<void>();
      generation?.end('the connection was lost');
    }
  });

  /** The life of the source: generation after generation, until it is closed or fails. */
  const run = async (): Promise<void> => {
    let fruitless = 0;
    let missingSince = 0;
    let reported = '';
    while (!closed && failure === undefined) {
      await Promise.race([connection.settled(), stop.promise]);
      if (closed) break;
      const positionBefore = expected;
      let current: Generation | undefined;
      try {
        // A message of the largest size that this server accepts must fit into a pull.
        pullBytes = Math.min(Math.max(pullBytes, (nc.info?.max_payload ?? 0) + PULL_ENVELOPE_BYTES), PULL_BYTES_MAX);
        const calledOff = Promise.race([interrupted.promise, stop.promise]).then(() => undefined);
        const beginning = begin();
        current = await Promise.race([calledOff, beginning]);
        if (current === undefined || closed) {
          void beginning.then(retire, () => {});
          continue;
        }
        missingSince = 0;
        reported = '';
      } catch (error) {
        if (error instanceof RingfenceError) fail(error);
        const violation = permissionViolation(error);
        if (violation !== undefined) fail(notPermitted(stream, violation));
        const notFound = error instanceof JetStreamApiError && error.status === 404;
        missingSince = notFound ? missingSince || Date.now() : 0;
        if (notFound && Date.now() - missingSince > STREAM_MISSING_LIMIT_MS) fail(missing(stream));
        const sentence = sentenceOf(error);
        if (sentence !== reported && failure === undefined && connection.connected()) {
          onStall(`stream ${stream} cannot be read: ${sentence}`);
        }
        reported = sentence;
        if (failure === undefined) await pause(++fruitless);
        continue;
      }
      generation = current;
      if (!connection.connected()) current.end('the connection was lost');
      opened.resolve();
      pullAll();
      const reason = await current.whenEnded;
      generation = undefined;
      void retire(current);
      if (closed || failure !== undefined) break;
      onStall(`reading of stream ${stream} starts again at ${expected}: ${reason}`);
      fruitless = expected > positionBefore ? 0 : fruitless + 1;
      await pause(fruitless);
    }
  };

  let lastSigns = -1;
  let silentWatches = 0;
  const watch = setInterval(() => {
    const waiting = generation?.slots.some((slot) => slot.pull !== 0) ?? false;
    silentWatches = waiting && signsOfLife === lastSigns ? silentWatches + 1 : 0;
    lastSigns = signsOfLife;
    if (silentWatches >= WATCHES_PER_SILENCE) {
      silentWatches = 0;
      generation?.end(`nothing was heard for ${silenceLimitMs / 1000} s, not even a heartbeat`);
    } else if (generation !== undefined && !waiting) {
      // The engine is behind and we do not pull, so no message tells how the stream grows: ask.
      const { consumer } = generation;
      void jsm.consumers.info(stream, consumer).then(
        (info) => {
          if (generation?.consumer === consumer && !generation.slots.some((slot) => slot.pull !== 0)) {
            streamPending = info.num_pending;
          }
        },
        () => {
          // The watch only refreshes a figure; whatever is wrong with the consumer shows at the next pull.
        },
      );
    }
  }, silenceLimitMs / WATCHES_PER_SILENCE);
  watch.unref();

  /** Before the first message that next() has not handed out. */
  const position = (): { streamCreated: string; sequence: number } => {
    const next = ready[0];
    if (next !== undefined) return { streamCreated: next.created, sequence: next.messages[0].sequence - 1 };
    return { streamCreated: created, sequence: (heldFrom === 0 ? expected : heldFrom) - 1 };
  };
  let closedAt: { streamCreated: string; sequence: number } | undefined;

  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    clearInterval(watch);
    unsubscribe();
    unsubscribeRefusals();
    // What is still buffered was never handed out.
    closedAt = position();
    ready = [];
    stop.resolve();
    wake();
    if (generation !== undefined) await retire(generation);
  };
  const onAbort = (): void => void close();
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();

  void run().catch(fail).then(opened.resolve);
  await opened.promise;
  signal?.removeEventListener('abort', onAbort);
  if (closed || failure !== undefined) {
    await close();
    throw failure ?? signal?.reason ?? new Error('the connection was closed');
  }

  let waiting = false;
  let handedOutOf = created;
  return {
    async next() {
      if (waiting) throw new Error('next() was called again before it had resolved');
      waiting = true;
      if (ready.length > 0) await new Promise<void>((resolve) => setImmediate(resolve));
      while (ready.length === 0 && failure === undefined && !closed) {
        await new Promise<void>((resolve) => {
          wake = () => {
            wake = () => {};
            resolve();
          };
        });
      }
      waiting = false;
      const chunk = ready.shift();
      if (chunk === undefined) {
        if (closed) return undefined;
        throw failure;
      }
      bufferedMessages -= chunk.messages.length;
      bufferedBytes -= chunk.bytes;
      handedOutOf = chunk.created;
      pullAll();
      return chunk.messages;
    },
    pending: () => streamPending + bufferedMessages,
    pulled: () => ({ messages: bufferedMessages, bytes: bufferedBytes }),
    connected: () => connection.connected() && generation !== undefined,
    get streamCreated() {
      return handedOutOf;
    },
    position: () => closedAt ?? position(),
    close,
  };
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

function notPermitted(stream: string, cause: Error): RingfenceError {
  return new RingfenceError({
    code: 'source.not-permitted',
    message: `The NATS account may not read stream ${stream} (${cause.message}).`,
    hint: 'Allow it to publish $JS.API.> and $JS.ACK.> and to subscribe to its inbox.',
    cause,
  });
}

function tooLarge(stream: string, after: number): RingfenceError {
  return new RingfenceError({
    code: 'source.message-too-large',
    message: `Stream ${stream} holds a message of more than ${PULL_BYTES_MAX} bytes after sequence ${after}.`,
    hint: 'Delete that message from the stream: no usage record is that large.',
  });
}

function missing(stream: string): RingfenceError {
  return new RingfenceError({
    code: 'source.stream-missing',
    message: `There is no stream ${stream} any more.`,
    hint: 'Restore the stream, or start again without the checkpoint that was made from it.',
  });
}
