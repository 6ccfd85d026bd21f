/**
 * Records that come by HTTP: decoded to tell good from bad, then published to the USAGE stream as they were written,
 * fields unknown to us included. The answer waits for the broker: what is counted as accepted is durable, and what
 * is counted as rejected is in the dead-letter stream. After a failure the caller sends everything again, and records
 * that were published nevertheless are recognised by their id.
 */
import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Metrics } from '../metrics.ts';
import { decodeMessage, type Rejection } from '../record/decode.ts';
import { messagePackElements } from '../record/message-pack.ts';
import type { UsageRecord } from '../record/usage-record.ts';
import type { DeadLetterSink } from '../sinks/dead-letter.ts';
import { partitionOf } from '../source/streams.ts';
import { ProblemError } from './problem.ts';
import type { UsageResult } from './schemas.ts';

/** Records in one message: what the engine reads in one go. */
const CHUNK_RECORDS_MAX = 256;
/** Share of the broker's largest message that several records may fill together; one alone may fill it all. */
const CHUNK_PAYLOAD_SHARE = 0.5;
/** Headers and protocol that the broker counts as part of a message. */
const MESSAGE_OVERHEAD_BYTES = 1_024;
/** Where the broker's greeting is not known: the default of every nats-server. */
const PAYLOAD_BYTES_DEFAULT = 1024 * 1024;
/** Messages of all requests together that the broker has not acknowledged. */
const IN_FLIGHT_MAX = 1_024;
/** The broker acknowledges in milliseconds; a cluster that changes its leader may take some seconds. */
const ACK_LIMIT_MS = 5_000;
/** An event may be this far ahead of our clock; the engine checks again with the broker's. */
const FUTURE_MAX_MS = 10 * 60_000;

/** Takes a body. @throws ProblemError 503 where the broker did not acknowledge everything. */
export type UsageIntake = (body: Uint8Array, contentType: string | undefined) => Promise<UsageResult>;

/** A good record, its place in the body, and the bytes that said it. */
interface Element {
  index: number;
  record: UsageRecord;
  bytes: Uint8Array;
}

export function createUsageIntake(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  partitions: number;
  deadLetters: DeadLetterSink;
  metrics: Metrics;
}): UsageIntake {
  const { nc, js, partitions, deadLetters, metrics } = options;
  let inFlight = 0;
  metrics.trackQueue('http_publish', IN_FLIGHT_MAX, () => inFlight);

  return async (body, contentType) => {
    const { records, rejections } = decodeMessage(body, {
      eventTimeMax: Date.now() + FUTURE_MAX_MS,
      ...(contentType !== undefined && { contentType }),
    });

    const payloadMax = (nc.info?.max_payload ?? PAYLOAD_BYTES_DEFAULT) - MESSAGE_OVERHEAD_BYTES;
    const good: Element[] = [];
    for (const element of elementsOf(body, contentType, records, rejections)) {
      if (element.bytes.length <= payloadMax) good.push(element);
      else rejections.push(tooLarge(element, payloadMax));
    }

    // Good records first: if that fails nothing was rejected yet, and a second attempt rejects once.
    const messages = messagesOf(good, partitions, payloadMax * CHUNK_PAYLOAD_SHARE);
    if (inFlight + messages.length > IN_FLIGHT_MAX) throw unavailable('Too many records wait for NATS.');
    inFlight += messages.length;
    const acks = await Promise.allSettled(
      messages.map(({ subject, payload }) => js.publish(subject, payload, { timeout: ACK_LIMIT_MS })),
    );
    inFlight -= messages.length;
    if (acks.some(({ status }) => status === 'rejected')) {
      throw unavailable('NATS did not acknowledge all records; send them again, those that arrived count once.');
    }

    if (rejections.length > 0 && !(await resolvesWithin(ACK_LIMIT_MS, deadLetters.room()))) {
      throw unavailable('Too many rejected records wait for NATS.');
    }
    for (const rejection of rejections) {
      deadLetters.publish(rejection, { subject: 'http' });
      metrics.countRecords(rejection.recordType ?? 'unknown', 'rejected');
      metrics.deadLettersTotal.inc({ reason: rejection.reason });
    }
    if (rejections.length > 0 && !(await resolvesWithin(ACK_LIMIT_MS, deadLetters.drained()))) {
      throw unavailable('NATS did not acknowledge the rejected records; send them again.');
    }
    return {
      accepted: good.length,
      rejected: rejections.length,
      errors: rejections
        .sort((a, b) => a.index - b.index)
        .map(({ index, recordId, field, reason, detail }) => ({ index, recordId, field, reason, detail })),
    };
  };
}

const utf8 = new TextDecoder();
/** A record as text begins with a brace; no MessagePack map does. */
const isText = (record: Uint8Array): boolean => record[0] === 0x7b;

/**
 * The good records of a body that was decoded, each as bytes of its own. What the body is follows from the fact that
 * it holds good records: MessagePack by its declared type or its borders, JSON where it parses, else lines.
 */
function elementsOf(
  body: Uint8Array,
  contentType: string | undefined,
  records: UsageRecord[],
  rejections: Rejection[],
): Element[] {
  if (records.length === 0) return [];
  const rejected = new Set(rejections.map(({ index }) => index));
  const places = Array.from({ length: records.length + rejections.length }, (_, index) => index).filter(
    (index) => !rejected.has(index),
  );
  const sliceAt = slicesOf(body, contentType);
  return records.map((record, position) => {
    const index = places[position];
    return { index, record, bytes: sliceAt(index) };
  });
}

/** Gives the bytes of an element. Only good ones are asked for: a bad one may be nested deeper than JSON can be written. */
function slicesOf(body: Uint8Array, contentType: string | undefined): (index: number) => Uint8Array {
  if (contentType === 'application/msgpack' || contentType === undefined) {
    const elements = messagePackElements(body);
    if (elements !== undefined) return (index) => body.subarray(elements[index].start, elements[index].end);
  }
  const text = utf8.decode(body);
  if (contentType !== 'application/x-ndjson') {
    try {
      const value: unknown = JSON.parse(text);
      const elements = Array.isArray(value) ? value : [value];
      return (index) => Buffer.from(JSON.stringify(elements[index]));
    } catch {
      // Not one JSON value, so one a line.
    }
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return (index) => Buffer.from(lines[index]);
}

/** Messages by partition, in the order of the body: a record alone as it is, several as an array. */
function messagesOf(
  elements: Element[],
  partitions: number,
  bytesMax: number,
): { subject: string; payload: Uint8Array }[] {
  const chunks: { partition: number; elements: Element[]; bytes: number }[] = [];
  /** The chunk of each partition that still takes records. */
  const open = new Map<number, (typeof chunks)[number]>();
  for (const element of elements) {
    const partition = partitionOf(element.record.servedMsisdn, partitions);
    let chunk = open.get(partition);
    const isFull =
      chunk !== undefined &&
      (chunk.elements.length === CHUNK_RECORDS_MAX || chunk.bytes + element.bytes.length > bytesMax);
    if (chunk === undefined || isFull) {
      chunk = { partition, elements: [], bytes: 0 };
      chunks.push(chunk);
      open.set(partition, chunk);
    }
    chunk.elements.push(element);
    // And a comma or bracket.
    chunk.bytes += element.bytes.length + 1;
  }
  return chunks.map(({ partition, elements }) => {
    const [first] = elements;
    if (elements.length === 1) {
      return { subject: `usage.${partition}.${first.record.recordType}`, payload: first.bytes };
    }
    return {
      subject: `usage.${partition}.batch`,
      payload: arrayOf(elements.map(({ bytes }) => bytes)),
    };
  });
}

/** Several records of one form as one array of that form. */
function arrayOf(elements: Uint8Array[]): Uint8Array {
  if (isText(elements[0])) {
    const comma = Buffer.from(',');
    const parts = elements.flatMap((bytes, index) => (index === 0 ? [bytes] : [comma, bytes]));
    return Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]);
  }
  // MessagePack `array 16`: its length in two bytes.
  const head = Buffer.from([0xdc, elements.length >> 8, elements.length & 0xff]);
  return Buffer.concat([head, ...elements]);
}

function tooLarge({ index, record, bytes }: Element, payloadMax: number): Rejection {
  return {
    index,
    reason: 'tooLarge',
    field: '',
    detail: `The record has ${bytes.length} bytes and the broker takes ${payloadMax}.`,
    recordId: record.recordId,
    recordType: record.recordType,
    body: bytes,
  };
}

function unavailable(detail: string): ProblemError {
  return new ProblemError(503, detail, { headers: { 'Retry-After': '1' } });
}

/** False where the promise did not resolve in time. */
async function resolvesWithin(limitMs: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limitMs);
  const inTime = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}
