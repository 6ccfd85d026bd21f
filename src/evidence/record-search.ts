/**
 * Usage records of a key, looked for in the usage stream itself. The engine keeps windows and no records, and the stream
 * keeps records by time and not by subscriber; so the stream is read backwards, a window of messages after the other, until
 * enough is found, all of the time in question has been seen, or the search has had its share. It then says where to go on.
 *
 * Messages that do not hold the key's text as bytes are not decoded, which is nearly all of them.
 *
 * Where a search may begin and end: no record lies further ahead of the broker's clock than FUTURE_MS_MAX, so whatever has an
 * event time from `from` on was stored after `from` less that. How late a record comes is not bounded, so the other end is what
 * the caller says (`storedBefore`): what made an alert fire was stored before the alert.
 */
import { AckPolicy, DeliverPolicy, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { controlKindOf } from '../record/control-message.ts';
import { decodeMessage } from '../record/decode.ts';
import { contentTypeOf } from '../source/delivery.ts';
import { sequenceAt, usageStream } from '../source/streams.ts';
import { isWanted, needlesOf, type WantedRecords } from './record-match.ts';
import { recordView, type UsageRecordView } from './record-view.ts';

/** What one search may read: at 100 MB/s a matter of two seconds. */
export const SEARCH_BYTES_MAX = 256 * 1024 * 1024;
export const SEARCH_MESSAGES_MAX = 1_000_000;
const SEARCH_LONGEST_MS = 4_000;
/** Records in one answer; what a single message holds beyond it comes with it. */
export const FOUND_RECORDS_MAX = 2_000;

/** As the pipeline has it: no record may lie further ahead of the broker's time. */
const FUTURE_MS_MAX = 600_000;
/** Messages are read in windows of about so many bytes, and at most so many messages. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const WINDOW_MESSAGES_MAX = 8_192;
const WINDOW_MESSAGES_FIRST = 512;
const CONSUMER_KEPT_NANOS = 10e9;
const FETCH_LIMIT_MS = 5_000;
/** Share of the time in which the search rests: the pipeline and the broker need the processor too. */
const REST_SHARE = 1 / 3;

export interface SearchRequest {
  wanted: WantedRecords;
  /** Partitions that may hold records of the key. */
  partitions: readonly number[];
  limit: number;
  /** Only what was stored before, epoch ms; undefined: everything. */
  storedBefore?: number | undefined;
  /** `next` of the search before. */
  cursor?: string | undefined;
}

export interface SearchResult {
  /** Newest event time first. */
  records: UsageRecordView[];
  /** Where to go on; null where all of the time has been seen. */
  next: string | null;
  /** Whatever was stored after this has been seen, epoch ms; null where `next` is, and where a partition has not been read. */
  searchedTo: number | null;
}

/** What is still to be read of a partition: sequences from `begin` to before `end`. */
interface Span {
  partition: number;
  stream: string;
  begin: number;
  end: number;
  /** Messages of the next window, and of the largest one. */
  window: number;
  windowMax: number;
  /** When the message at `end` was stored. */
  reachedAt: number;
}

/** The stream was not read as far as was asked: NATS went away, and what was found may lack something. */
export class SearchInterrupted extends Error {
  override name = 'SearchInterrupted';
}

/** Ends of what is still to be read, by partition: `12.0-7.3` is sequence 12 of partition 0 and 7 of partition 3. */
const CURSOR = /^[0-9]{1,15}\.[0-9]{1,4}(-[0-9]{1,15}\.[0-9]{1,4})*$/;
export const isSearchCursor = (text: string): boolean => CURSOR.test(text);

export async function searchRecords(
  { js, jsm, partitionCount }: { js: JetStreamClient; jsm: JetStreamManager; partitionCount: number },
  { wanted, partitions, limit, storedBefore, cursor }: SearchRequest,
): Promise<SearchResult> {
  const begun = performance.now();
  const needles = needlesOf(wanted).map((text) => Buffer.from(text));
  /** In JSON a character may be written by its number, so that the bytes of a text are not to be found. */
  const escaped = Buffer.from('\\u');
  const mayHold = (data: Uint8Array): boolean => {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return needles.some((needle) => bytes.includes(needle)) || bytes.includes(escaped);
  };
  const ends = new Map(
    (cursor ?? '').split('-').flatMap((part) => {
      const [end, partition] = part.split('.');
      return partition === undefined ? [] : [[Number(partition), Number(end)] as const];
    }),
  );

  const spans: Span[] = [];
  for (const partition of partitions) {
    // A search that goes on knows nothing more of partitions that it has seen to the end.
    if (cursor !== undefined && !ends.has(partition)) continue;
    const stream = usageStream(partition, partitionCount);
    const { state } = await jsm.streams.info(stream);
    const begin = Math.max(1, state.first_seq, await sequenceAt(jsm, stream, wanted.from - FUTURE_MS_MAX));
    const last = storedBefore === undefined ? state.last_seq + 1 : await sequenceAt(jsm, stream, storedBefore);
    const end = Math.min(ends.get(partition) ?? Number.POSITIVE_INFINITY, last, state.last_seq + 1);
    const windowMax = Math.ceil(
      Math.min(WINDOW_MESSAGES_MAX, WINDOW_BYTES / (state.bytes / Math.max(1, state.messages))),
    );
    const window = Math.min(WINDOW_MESSAGES_FIRST, windowMax);
    spans.push({ partition, stream, begin, end, window, windowMax, reachedAt: Number.POSITIVE_INFINITY });
  }

  const found = new Map<string, UsageRecordView>();
  let bytes = 0;
  let messages = 0;
  const isSpent = (): boolean =>
    bytes >= SEARCH_BYTES_MAX || messages >= SEARCH_MESSAGES_MAX || performance.now() - begun >= SEARCH_LONGEST_MS;

  while (found.size < limit && !isSpent()) {
    // The one with most to read goes first, so that all come back about as far.
    const open = spans.filter(({ begin, end }) => end > begin);
    if (open.length === 0) break;
    const span = open.reduce((most, one) => (one.end - one.begin > most.end - most.begin ? one : most));
    const start = Math.max(span.begin, span.end - span.window);
    const windowBegan = performance.now();
    const firstOfWindow = messages + 1;
    /** Records of each message that holds some, in the order of the stream. */
    const held: { sequence: number; records: UsageRecordView[] }[] = [];
    await readMessages({ js, jsm }, { stream: span.stream, begin: start, end: span.end }, (message) => {
      bytes += message.data.length;
      messages += 1;
      const storedAt = message.time.getTime();
      if (messages === firstOfWindow) span.reachedAt = storedAt;
      if (controlKindOf(message.subject) !== undefined || !mayHold(message.data)) return;
      const { records } = decodeMessage(message.data, {
        eventTimeMax: storedAt + FUTURE_MS_MAX,
        contentType: contentTypeOf(message),
      });
      const own = records.filter((record) => isWanted(record, wanted));
      if (own.length === 0) return;
      held.push({
        sequence: message.seq,
        records: own.map((record) => recordView(record, storedAt, wanted.triggerRecordId)),
      });
    });
    span.end = start;
    for (const { sequence, records } of held.reverse()) {
      if (found.size >= limit) {
        // The rest of this window is for the next search.
        span.end = sequence + 1;
        span.reachedAt = records[0]!.storedAt;
        break;
      }
      // What was sent twice counts once: the engine took the first, which comes last here.
      for (const record of records) found.set(record.recordId, record);
    }
    span.window = Math.min(span.window * 2, span.windowMax);
    await new Promise((resolve) => setTimeout(resolve, (performance.now() - windowBegan) * REST_SHARE));
  }

  const rest = spans.filter(({ begin, end }) => end > begin);
  const searchedTo = Math.max(...rest.map(({ reachedAt }) => reachedAt));
  return {
    records: [...found.values()].sort(
      (a, b) => b.eventTime - a.eventTime || (a.recordId < b.recordId ? 1 : a.recordId > b.recordId ? -1 : 0),
    ),
    next: rest.length === 0 ? null : rest.map(({ end, partition }) => `${end}.${partition}`).join('-'),
    searchedTo: Number.isFinite(searchedTo) ? searchedTo : null,
  };
}

type StreamMessage = {
  seq: number;
  data: Uint8Array;
  subject: string;
  time: Date;
  headers?: { get(name: string): string };
};

/**
 * Hands out the messages from sequence `begin` to before `end`, oldest first; of one subject, where it is given.
 * @throws SearchInterrupted where not all of them came
 */
export async function readMessages(
  { js, jsm }: { js: JetStreamClient; jsm: JetStreamManager },
  { stream, begin, end, subject }: { stream: string; begin: number; end: number; subject?: string },
  onMessage: (message: StreamMessage) => void,
): Promise<void> {
  const info = await jsm.consumers.add(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: begin,
    ...(subject !== undefined && { filter_subject: subject }),
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: CONSUMER_KEPT_NANOS,
  });
  try {
    const wanted = Math.min(info.num_pending, end - begin);
    if (wanted === 0) return;
    const consumer = await js.consumers.get(stream, info.name);
    let received = 0;
    for await (const message of await consumer.fetch({ max_messages: wanted, expires: FETCH_LIMIT_MS })) {
      received += 1;
      // Where sequences are missing, what comes lies behind the window at last.
      if (message.seq >= end) return;
      onMessage(message as StreamMessage);
      if (received === wanted) return;
    }
    throw new SearchInterrupted('the stream was not read to the end of what was asked');
  } finally {
    await jsm.consumers.delete(stream, info.name).catch(() => false);
  }
}
