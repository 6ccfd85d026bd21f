/**
 * The dead-letter stream as a person works on it: listed newest first, shown as it was received, and replayed, as it is or
 * corrected, into the usage stream.
 *
 * A replay counts once. Its messages carry an id made of the letter, so the broker drops a repetition within its
 * duplicate window, and once they are stored a mark is put beside the letters: `deadletter.replayed.<sequence>`, of which
 * the broker takes one only. Whoever finds the mark publishes nothing. A crash between the two leaves a replay without a
 * mark; repeating it later than the duplicate window puts the records into the stream twice, where the engine knows them by
 * their recordId.
 *
 * Nothing is replayed that would be rejected again: a body is decoded first, with the checks of the engine.
 */
import {
  AckPolicy,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { decodeMessage, type Rejection } from '../record/decode.ts';
import { DEADLETTER_STREAM, sequenceAt } from './streams.ts';
import { beyondBroker, elementsOf, messagesOf, recordBytesMaxOf, type UsageElement } from './usage-messages.ts';

/** Most letters in one page. */
export const LETTER_PAGE_MAX = 500;
/** Sequences that are looked through in one go, at first and at most: letters that match may stand far apart. */
const WINDOW_FIRST = 512;
const WINDOW_MAX = 16_384;
/** Sequences that one page looks through; where it then is not full, it says where to go on. */
const SEQUENCES_PER_PAGE_MAX = 262_144;
const CONSUMER_KEPT_NANOS = 10e9;
const FETCH_LIMIT_MS = 5_000;
/** The broker acknowledges in milliseconds; a cluster that changes its leader may take some seconds. */
const ACK_LIMIT_MS = 5_000;
/** As the engine: a record may be this far ahead of the broker's clock. */
const FUTURE_MS_MAX = 10 * 60_000;
const MARK_SUBJECT = 'deadletter.replayed';

/** A rejected record, without its body. */
export interface DeadLetterHead {
  /** Sequence in DEADLETTER: its name. */
  seq: number;
  /** When the broker stored it, epoch ms. */
  storedAt: number;
  reason: string;
  /** Path of the field, empty where it is none in particular. */
  field: string;
  /** Subject that it came on, or `http`. */
  sourceSubject: string;
  /** Sequence of its message in the usage stream; null where it came over HTTP. */
  sourceSeq: number | null;
  /** Size of the body, and how many bytes of it were cut off because NATS takes no more. */
  bytes: number;
  truncatedBytes: number;
  /** Null where it has not been replayed. */
  replay: LetterReplay | null;
}

export interface LetterReplay {
  /** Epoch ms. */
  at: number;
  /** Whether another body was sent than the one of the letter. */
  corrected: boolean;
  records: number;
  /** Who asked for it; null where it was the command line. */
  by: string | null;
  /** Where the records went. */
  messages: { subject: string; seq: number }[];
}

export interface DeadLetter extends DeadLetterHead {
  headers: Record<string, string>;
  body: Uint8Array;
}

export interface LetterFilter {
  reason?: string | undefined;
  /** Source subject, with the wildcards of NATS. */
  subject?: string | undefined;
  /** Epoch ms of storing, inclusive and exclusive. */
  from?: number | undefined;
  to?: number | undefined;
}

export interface LetterPage {
  letters: DeadLetterHead[];
  /** Sequence before which the next page begins; null where there is none. */
  next: number | null;
}

export type ReplayResult =
  /** `duplicate`: it had been replayed before, and nothing was sent. */
  | { kind: 'replayed'; duplicate: boolean; replay: LetterReplay }
  | { kind: 'missing' }
  /** The letter holds only a part of what was sent, so a whole body must be given. */
  | { kind: 'truncated'; truncatedBytes: number }
  /** What was to be sent holds no record. */
  | { kind: 'empty' }
  /** The body would be rejected again. */
  | { kind: 'refused'; errors: Rejection[] };

export interface DeadLetters {
  /** @param options.before sequence, exclusive; undefined: from the newest one on */
  list(filter: LetterFilter, options: { limit: number; before?: number | undefined }): Promise<LetterPage>;
  get(seq: number): Promise<DeadLetter | undefined>;
  /** What would be wrong with this body if it were replayed now. */
  check(body: Uint8Array, contentType?: string): Rejection[];
  /** Without a body, that of the letter is sent. Rejects where NATS does not store it; nothing is then marked. */
  replay(
    seq: number,
    options?: {
      body?: Uint8Array | undefined;
      contentType?: string | undefined;
      by?: string | undefined;
      /** Epoch ms for the mark. */
      at?: number;
    },
  ): Promise<ReplayResult>;
}

export function openDeadLetters(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  partitions: number;
}): DeadLetters {
  const { nc, js, jsm, partitions } = options;

  const replayOf = async (seq: number): Promise<LetterReplay | null> => {
    const mark = await jsm.streams.getMessage(DEADLETTER_STREAM, { last_by_subj: `${MARK_SUBJECT}.${seq}` });
    return mark === null ? null : mark.json<LetterReplay>();
  };

  /** Letters from `begin` to before `end`, newest last, without bodies. */
  const readWindow = async (reason: string, begin: number, end: number): Promise<DeadLetterHead[]> => {
    const info = await jsm.consumers.add(DEADLETTER_STREAM, {
      filter_subject: `deadletter.${reason}`,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: begin,
      ack_policy: AckPolicy.None,
      headers_only: true,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: CONSUMER_KEPT_NANOS,
    });
    const heads: DeadLetterHead[] = [];
    try {
      const wanted = Math.min(info.num_pending, end - begin);
      if (wanted === 0) return heads;
      const consumer = await js.consumers.get(DEADLETTER_STREAM, info.name);
      let received = 0;
      for await (const message of await consumer.fetch({ max_messages: wanted, expires: FETCH_LIMIT_MS })) {
        received++;
        if (message.seq >= end) break;
        const bytes = Number(message.headers?.get('Nats-Msg-Size') ?? 0);
        heads.push(headOf(message.seq, message.time.getTime(), message.headers, bytes));
        if (received === wanted) break;
      }
      return heads;
    } finally {
      await jsm.consumers.delete(DEADLETTER_STREAM, info.name);
    }
  };

  const decoded = (
    body: Uint8Array,
    contentType: string | undefined,
  ): { good: UsageElement[]; rejections: Rejection[] } => {
    const { records, rejections } = decodeMessage(body, {
      eventTimeMax: Date.now() + FUTURE_MS_MAX,
      contentType,
    });
    const bytesMax = recordBytesMaxOf(nc);
    const good: UsageElement[] = [];
    for (const element of elementsOf(body, contentType, records, rejections)) {
      if (element.bytes.length <= bytesMax) good.push(element);
      else rejections.push(beyondBroker(element, bytesMax));
    }
    return { good, rejections };
  };

  const get = async (seq: number): Promise<DeadLetter | undefined> => {
    const message = await jsm.streams.getMessage(DEADLETTER_STREAM, { seq });
    if (message === null || message.subject.startsWith(`${MARK_SUBJECT}.`)) return undefined;
    const head = headOf(seq, message.time.getTime(), message.header, message.data.length);
    const listed: Record<string, string> = {};
    for (const [name, values] of message.header ?? []) listed[name] = values.join(', ');
    return { ...head, replay: await replayOf(seq), headers: listed, body: message.data };
  };

  return {
    async list({ reason = '*', subject, from, to }, { limit, before }) {
      const { state } = await jsm.streams.info(DEADLETTER_STREAM);
      let end = Math.min(before ?? Number.POSITIVE_INFINITY, state.last_seq + 1);
      if (to !== undefined) end = Math.min(end, await sequenceAt(jsm, DEADLETTER_STREAM, to));
      // A stream that nothing was ever in says that it begins at 0, and takes no question for that.
      const begin = Math.max(
        1,
        state.first_seq,
        from === undefined ? 0 : await sequenceAt(jsm, DEADLETTER_STREAM, from),
      );
      const stopAt = Math.max(begin, end - SEQUENCES_PER_PAGE_MAX);
      const found: DeadLetterHead[] = [];
      for (let span = WINDOW_FIRST; end > stopAt && found.length <= limit; span = Math.min(span * 4, WINDOW_MAX)) {
        const start = Math.max(stopAt, end - span);
        const window = await readWindow(reason, start, end);
        for (const head of window.reverse()) {
          if (subject === undefined || matchesSubject(head.sourceSubject, subject)) found.push(head);
        }
        end = start;
      }
      const letters = found.slice(0, limit);
      const replays = await Promise.all(letters.map(({ seq }) => replayOf(seq)));
      for (const [at, letter] of letters.entries()) letter.replay = replays[at];
      if (found.length > limit) return { letters, next: letters.at(-1)!.seq };
      return { letters, next: end > begin ? end : null };
    },
    get,
    check: (body, contentType) => decoded(body, contentType).rejections,
    async replay(seq, { body: given, contentType, by, at = Date.now() } = {}) {
      const letter = await get(seq);
      if (letter === undefined) return { kind: 'missing' };
      if (letter.replay !== null) return { kind: 'replayed', duplicate: true, replay: letter.replay };
      if (given === undefined && letter.truncatedBytes > 0) {
        return { kind: 'truncated', truncatedBytes: letter.truncatedBytes };
      }
      const { good, rejections } = decoded(given ?? letter.body, contentType);
      if (rejections.length > 0) return { kind: 'refused', errors: rejections };
      // Nothing would be sent, and the letter would count as sent.
      if (good.length === 0) return { kind: 'empty' };

      const messages: { subject: string; seq: number }[] = [];
      let duplicate = true;
      for (const [index, { subject, payload }] of messagesOf(good, partitions, recordBytesMaxOf(nc)).entries()) {
        const header = headers();
        header.set('Ringfence-Replay-Of', String(seq));
        // A stream that was made anew counts from 1 again, so the sequence alone would not be the letter's name.
        const msgID = `deadletter.${seq}.${letter.storedAt}.${index}`;
        const stored = await js.publish(subject, payload, { headers: header, msgID, timeout: ACK_LIMIT_MS });
        messages.push({ subject, seq: stored.seq });
        duplicate &&= stored.duplicate;
      }
      const replay: LetterReplay = {
        at,
        corrected: given !== undefined && Buffer.compare(given, letter.body) !== 0,
        records: good.length,
        by: by ?? null,
        messages,
      };
      try {
        await js.publish(`${MARK_SUBJECT}.${seq}`, JSON.stringify(replay), {
          expect: { lastSubjectSequence: 0 },
          timeout: ACK_LIMIT_MS,
        });
      } catch (error) {
        if (!isMarked(error)) throw error;
        // Somebody else was quicker, and the broker knew the messages.
        return { kind: 'replayed', duplicate: true, replay: (await replayOf(seq)) ?? replay };
      }
      return { kind: 'replayed', duplicate, replay };
    },
  };
}

function headOf(seq: number, storedAt: number, header: MsgHdrs | undefined, bytes: number): DeadLetterHead {
  const value = (name: string): string => header?.get(`Ringfence-${name}`) ?? '';
  const sourceSeq = value('Source-Seq');
  return {
    seq,
    storedAt,
    reason: value('Reason'),
    field: value('Field'),
    sourceSubject: value('Source-Subject'),
    sourceSeq: sourceSeq === '' ? null : Number(sourceSeq),
    bytes,
    truncatedBytes: Number(value('Truncated') || 0),
    replay: null,
  };
}

/** `*` is one token, `>` at the end is one or more. */
export function matchesSubject(subject: string, pattern: string): boolean {
  const tokens = subject.split('.');
  const wanted = pattern.split('.');
  for (const [at, token] of wanted.entries()) {
    if (token === '>' && at === wanted.length - 1) return tokens.length > at;
    if (tokens[at] === undefined || (token !== '*' && token !== tokens[at])) return false;
  }
  return tokens.length === wanted.length;
}

function isMarked(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
      error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}
