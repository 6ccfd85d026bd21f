/**
 * Records that a person or a program handed in as one body, as messages of the usage stream: each record as it was
 * written, fields unknown to us included, in a message of its own partition, several of them together where they fit.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Rejection } from '../record/decode.ts';
import { messagePackElements } from '../record/message-pack.ts';
import type { UsageRecord } from '../record/usage-record.ts';
import { partitionOf } from './streams.ts';

/** Records in one message: what the engine reads in one go. */
const CHUNK_RECORDS_MAX = 256;
/** Share of the broker's largest message that several records may fill together; one alone may fill it all. */
const CHUNK_PAYLOAD_SHARE = 0.5;
/** Headers and protocol that the broker counts as part of a message. */
const MESSAGE_OVERHEAD_BYTES = 1_024;
/** Where the broker's greeting is not known: the default of every nats-server. */
const PAYLOAD_BYTES_DEFAULT = 1024 * 1024;

/** A good record, its place in the body, and the bytes that said it. */
export interface UsageElement {
  index: number;
  record: UsageRecord;
  bytes: Uint8Array;
}

/** The largest record that the broker takes in a message of its own. */
export function recordBytesMaxOf(nc: NatsConnection): number {
  return (nc.info?.max_payload ?? PAYLOAD_BYTES_DEFAULT) - MESSAGE_OVERHEAD_BYTES;
}

const utf8 = new TextDecoder();
/** A record as text begins with a brace; no MessagePack map does. */
const isText = (record: Uint8Array): boolean => record[0] === 0x7b;

/**
 * The good records of a body that was decoded, each as bytes of its own. What the body is follows from the fact that
 * it holds good records: MessagePack by its declared type or its borders, JSON where it parses, else lines.
 */
export function elementsOf(
  body: Uint8Array,
  contentType: string | undefined,
  records: UsageRecord[],
  rejections: Rejection[],
): UsageElement[] {
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
export function messagesOf(
  elements: UsageElement[],
  partitions: number,
  recordBytesMax: number,
): { subject: string; payload: Uint8Array }[] {
  const bytesMax = recordBytesMax * CHUNK_PAYLOAD_SHARE;
  const chunks: { partition: number; elements: UsageElement[]; bytes: number }[] = [];
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

/** The rejection of a record that is good but larger than the broker takes. */
export function beyondBroker({ index, record, bytes }: UsageElement, recordBytesMax: number): Rejection {
  return {
    index,
    reason: 'tooLarge',
    field: '',
    detail: `The record has ${bytes.length} bytes and the broker takes ${recordBytesMax}.`,
    recordId: record.recordId,
    recordType: record.recordType,
    body: bytes,
  };
}
