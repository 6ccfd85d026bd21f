/**
 * Bytes to usage records: JSON, NDJSON or MessagePack, one record or many, everything that breaks the form of the record
 * set apart with reason, field and original bytes. Nothing here throws, whatever the bytes are, and nothing keeps a
 * reference to them.
 *
 * A record that is accepted comes out as one object shape, whatever fields it came with (`usage-record.ts` says why).
 * `readRecord` does the whole work on it in one loop over the fields that are there. Measured on JSON voice records of
 * 13 to 18 fields (355 bytes) in batches of 256, one core of a shared machine, nanoseconds a record:
 *
 *     JSON.parse of the text                                                    860
 *     + hostile walk, checker compiled from the schema, normaliser of 38 reads  +1000
 *     + hostile walk, 38 reads that are checked by hand                         +460
 *     + this loop                                                               +320
 *
 * The loop touches only what the record has; the alternatives look 38 fields up in objects of many shapes. A record alone
 * in its message costs 250 more, a bad one about twice a good one. The walk over MessagePack costs 330, against 1,200 of
 * its decoder. The `decode` suite of the benchmarks measures the whole.
 */
import { Decoder } from '@msgpack/msgpack';
import { Compile } from 'typebox/compile';
import { parseDateTime } from './date-time.ts';
import { messagePackElements } from './message-pack.ts';
import {
  ACCOUNT_EVENTS,
  AttributesSchema,
  CARE_REASONS,
  CAUSES_FOR_TERM,
  DECLINE_CODES,
  DIRECTIONS,
  EVENT_TIME_MIN,
  expectationOf,
  FIELDS,
  type FieldName,
  FORBIDDEN_NAMES,
  NEEDED_FIELDS,
  NESTING_MAX,
  NUMBER_MAX,
  OUTCOMES,
  RECORD_BYTES_MAX,
  RECORD_ID_LENGTH_MAX,
  SMS_CLASSES,
  STRING_BYTES_MAX,
  TIME_ATTRIBUTES,
} from './schema.ts';
import { blankRecord, RECORD_TYPES, type RecordType, type UsageRecord } from './usage-record.ts';

export type RejectionReason = 'malformed' | 'schema' | 'unknownType' | 'future' | 'tooLarge';

export interface Rejection {
  /** Position of the record in its message, from 0; blank lines of NDJSON do not count. */
  index: number;
  reason: RejectionReason;
  /** Path of the offending field (`attributes.promiseAt`), `''` if none. Safe for a header: no control characters. */
  field: string;
  /** One sentence for a person. It names no values, so that it may be logged. */
  detail: string;
  /** `''` if unknown. */
  recordId: string;
  /** The whole message where it could not be decoded, else this one record as JSON, as received where it was JSON. */
  body: Uint8Array;
  /** Label for metrics: the record type if it is one of ours, else `unknown`. */
  recordType?: RecordType | 'unknown';
}

export interface DecodedMessage {
  records: UsageRecord[];
  rejections: Rejection[];
}

export interface DecodeOptions {
  /** Epoch ms; a later eventTime is reason `future`. */
  eventTimeMax: number;
  /** Of the HTTP request or message header. Without it, or where it is none of ours, the first byte tells the form. */
  contentType?: string | undefined;
}

/** Decodes one message. Good records beside bad ones are kept. Never throws. */
export function decodeMessage(bytes: Uint8Array, options: DecodeOptions): DecodedMessage {
  const message: DecodedMessage = { records: [], rejections: [] };
  const form = formOf(bytes, options.contentType);
  if (form === 'messagePack') {
    decodeMessagePack(bytes, options.eventTimeMax, message);
    return message;
  }

  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    rejectWhole(message, bytes, 'The bytes are not valid UTF-8.');
    return message;
  }
  if (form === 'ndjson') {
    decodeLines(linesOf(text), options.eventTimeMax, message);
    if (message.records.length + message.rejections.length === 0) rejectWhole(message, bytes, EMPTY);
    return message;
  }

  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const lines = form === 'unstated' ? linesOf(text) : [];
    if (lines.length === 0 && text.trim() === '') rejectWhole(message, bytes, EMPTY);
    else if (isNdjson(lines)) decodeLines(lines, options.eventTimeMax, message);
    else rejectWhole(message, bytes, notJson(error));
    return message;
  }

  // A backslash is the only way for half a surrogate pair into text that was valid UTF-8.
  const wellFormed = !text.includes('\\');
  if (!Array.isArray(value)) {
    const record = readRecord(value, options.eventTimeMax, wellFormed);
    if (record === undefined) reject(message, 0, value, new Uint8Array(bytes));
    else message.records.push(record);
    return message;
  }
  let slices: string[] | undefined;
  for (let index = 0; index < value.length; index++) {
    const record = readRecord(value[index], options.eventTimeMax, wellFormed);
    if (record === undefined) {
      slices ??= elementSlices(text);
      reject(message, index, value[index], Buffer.from(slices[index]));
    } else {
      message.records.push(record);
    }
  }
  return message;
}

/** Strips a byte order mark, refuses bytes that are not UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true });
const EMPTY = 'The message holds no record.';

/** `unstated` is JSON by its first byte, which may turn out to be NDJSON. */
type Form = 'json' | 'ndjson' | 'messagePack' | 'unstated';

function formOf(bytes: Uint8Array, contentType: string | undefined): Form {
  if (contentType !== undefined) {
    switch (contentType.split(';', 1)[0].trim().toLowerCase()) {
      case 'application/json':
        return 'json';
      case 'application/x-ndjson':
      case 'application/ndjson':
      case 'application/jsonl':
        return 'ndjson';
      case 'application/msgpack':
      case 'application/x-msgpack':
      case 'application/vnd.msgpack':
        return 'messagePack';
    }
  }
  switch (bytes[0]) {
    case 0x7b: // {
    case 0x5b: // [
    case 0x20:
    case 0x09:
    case 0x0a:
    case 0x0d:
    case 0xef: // A byte order mark; in MessagePack it would be a lone small number, which is no record.
    case undefined:
      return 'unstated';
    default:
      return 'messagePack';
  }
}

// NDJSON

/** The lines that are not blank. */
function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

/**
 * Whether text that is not one JSON value is to be read line by line. A single document that was written over several
 * lines and is broken somewhere must not be taken apart, though a part of it may be an object on a line of its own: it
 * begins with a line that only opens something. Otherwise one line that is an object on its own is enough.
 */
function isNdjson(lines: string[]): boolean {
  if (lines.length < 2) return false;
  const first = lines[0].trim();
  if (first === '{' || (first.startsWith('[') && parseLine(first) === undefined)) return false;
  return lines.some((line) => typeof parseLine(line) === 'object');
}

function decodeLines(lines: string[], eventTimeMax: number, message: DecodedMessage): void {
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index];
    const value = parseLine(line);
    if (value === undefined) refuse('malformed', '', `Line ${index + 1} (blank ones not counted) is not valid JSON.`);
    const record = value === undefined ? undefined : readRecord(value, eventTimeMax, !line.includes('\\'));
    if (record === undefined) reject(message, index, value, Buffer.from(line));
    else message.records.push(record);
  }
}

/** undefined where the line is not JSON. */
function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** V8's message quotes the text around the fault, which may be a subscriber's number: only the position is taken. */
function notJson(error: unknown): string {
  const position = error instanceof SyntaxError ? /at position \d+/.exec(error.message) : null;
  return `The bytes are not valid JSON${position === null ? '' : ` (${position[0]})`}.`;
}

/** The source text of each element of a JSON array, for rejections: as received, however deep or odd it is. */
function elementSlices(text: string): string[] {
  const slices: string[] = [];
  let depth = 0;
  let start = 0;
  for (let position = 0; position < text.length; position++) {
    switch (text.charCodeAt(position)) {
      case 0x22: // A string: on to its closing quote.
        for (position++; text.charCodeAt(position) !== 0x22; position++) {
          if (text.charCodeAt(position) === 0x5c) position++;
        }
        break;
      case 0x5b:
      case 0x7b:
        depth++;
        if (depth === 1) start = position + 1;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        if (depth === 0) slices.push(text.slice(start, position).trim());
        break;
      case 0x2c:
        if (depth === 1) {
          slices.push(text.slice(start, position).trim());
          start = position + 1;
        }
        break;
    }
  }
  return slices;
}

// MessagePack

const messagePack = new Decoder();

function decodeMessagePack(bytes: Uint8Array, eventTimeMax: number, message: DecodedMessage): void {
  const elements = messagePackElements(bytes);
  if (elements === undefined) {
    rejectWhole(message, bytes, 'The bytes are not one MessagePack map or array with text in UTF-8.');
    return;
  }
  for (let index = 0; index < elements.length; index++) {
    const { start, end, depth } = elements[index];
    // A view of the plain kind: what Buffer.subarray gives would turn up inside the record as a Buffer.
    const slice = new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
    let value: unknown;
    let record: UsageRecord | undefined;
    if (depth > NESTING_MAX) {
      // Not decoded at all: a million levels in a message of 1 MB would cost a hundred times its size.
      refuse('schema', '', TOO_DEEP);
    } else {
      try {
        value = messagePack.decode(slice);
        record = readRecord(value, eventTimeMax, true);
      } catch (error) {
        const forbidden = error instanceof Error && error.message.includes('__proto__');
        if (forbidden) refuse('schema', '__proto__', 'The field name __proto__ is refused at every level.');
        else refuse('malformed', '', 'The MessagePack map has a key that is no string, or a broken timestamp.');
      }
    }
    if (record !== undefined) message.records.push(record);
    else reject(message, index, value, value === undefined ? slice.slice() : jsonOf(value));
  }
}

/** The record as JSON for the dead-letter stream. What JSON cannot say (NaN, binary) is written as a string. */
function jsonOf(value: unknown): Uint8Array {
  const text = JSON.stringify(value, (_key, field) => {
    if (typeof field === 'number' && !Number.isFinite(field)) return String(field);
    if (field instanceof Uint8Array) return Buffer.from(field).toString('base64');
    return field;
  });
  return Buffer.from(text);
}

// Rejections

/** Why the last `readRecord` or step said no. One variable, because decoding is synchronous and it is read at once. */
let refusal: { reason: RejectionReason; field: string; detail: string } = {
  reason: 'malformed',
  field: '',
  detail: '',
};

function refuse(reason: RejectionReason, field: string, detail: string): undefined {
  refusal = { reason, field, detail };
  return undefined;
}

function reject(message: DecodedMessage, index: number, value: unknown, body: Uint8Array): void {
  const { recordId, recordType } = isObject(value) ? value : NOTHING;
  message.rejections.push({
    index,
    reason: refusal.reason,
    field: refusal.field,
    detail: refusal.detail,
    recordId: isText(recordId) && isRecordId(recordId) ? recordId : '',
    body,
    recordType: isOneOf(RECORD_TYPES, recordType) ? recordType : 'unknown',
  });
}

function rejectWhole(message: DecodedMessage, bytes: Uint8Array, detail: string): void {
  refuse('malformed', '', detail);
  reject(message, 0, undefined, new Uint8Array(bytes));
}

const NOTHING: Record<string, unknown> = {};
const TOO_DEEP = `The record is nested deeper than ${NESTING_MAX} levels.`;

/** Names from outside end up in headers and tables: what is not a plain character becomes `?`, the rest is cut. */
const PATH_LENGTH_MAX = 128;
function pathOf(parent: string, name: string): string {
  const clean = name.slice(0, PATH_LENGTH_MAX).replaceAll(/[^\w$-]/g, '?');
  return (parent === '' ? clean : `${parent}.${clean}`).slice(0, PATH_LENGTH_MAX);
}

// One record

const accountEvents: ReadonlySet<unknown> = new Set(ACCOUNT_EVENTS);
const attributesCheck = Compile(AttributesSchema);

/** Strings up to here are below the limit in bytes whatever they hold: a UTF-16 unit takes at most 3 bytes of UTF-8. */
const STRING_UNITS_SAFE = Math.floor(STRING_BYTES_MAX / 3);
/** Upper bound for the JSON of one field beside its strings: quotes, colon, comma, and 24 characters of a number. */
const FIELD_BYTES = 32;
/** A UTF-16 unit takes at most 6 bytes of JSON (`\u0000`). */
const UNIT_BYTES = 6;

function isObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Object.getPrototypeOf(value) === Object.prototype;
}

/**
 * Checks one decoded value against schema and limits and brings it into the shape of the engine; undefined, with
 * `refusal` set, where it breaks either. `wellFormed` says that its strings cannot hold half a surrogate pair.
 */
function readRecord(value: unknown, eventTimeMax: number, wellFormed: boolean): UsageRecord | undefined {
  if (!isObject(value)) return refuse('schema', '', 'A record must be an object.');
  const record = blankRecord();

  // Which of the fields that some type needs are there.
  let seen = 0;
  // Rises with everything that the record holds; only a record that could be too large is measured exactly.
  let units = 0;
  for (const name in value) {
    const field = value[name];
    if (typeof field === 'string') {
      if (field.length > STRING_UNITS_SAFE && isTooLong(field)) return refuseLength(pathOf('', name));
      if (!wellFormed && !field.isWellFormed()) return refuseHalfPair(pathOf('', name));
      units += field.length;
    }
    units += FIELD_BYTES;
    switch (name) {
      case 'recordId':
        if (!isText(field) || !isRecordId(field)) return refuseField(value, name);
        record.recordId = field;
        seen |= Bit.recordId;
        break;
      case 'recordType':
        if (!isOneOf(RECORD_TYPES, field)) return refuseField(value, name);
        record.recordType = field;
        seen |= Bit.recordType;
        break;
      case 'eventTime': {
        const time = timeOf(field);
        if (!(time >= EVENT_TIME_MIN)) return refuseField(value, name);
        record.eventTime = time;
        seen |= Bit.eventTime;
        break;
      }
      case 'servedMsisdn':
        if (!isDigits(field, 5, 15)) return refuseField(value, name);
        record.servedMsisdn = field;
        seen |= Bit.servedMsisdn;
        break;
      case 'servedImsi':
        if (!isDigits(field, 1, STRING_BYTES_MAX)) return refuseField(value, name);
        record.servedImsi = field;
        break;
      case 'servedImei':
        if (!isDigits(field, 1, STRING_BYTES_MAX)) return refuseField(value, name);
        record.servedImei = field;
        break;
      case 'accountId':
        if (!isText(field)) return refuseField(value, name);
        record.accountId = field;
        break;
      case 'direction':
        if (!isOneOf(DIRECTIONS, field)) return refuseField(value, name);
        record.direction = field;
        seen |= Bit.direction;
        break;
      case 'otherNumber':
        if (!isText(field) || isPlusNumber(field)) return refuseField(value, name);
        record.otherNumber = field;
        seen |= Bit.otherNumber;
        break;
      case 'callId':
        if (!isText(field)) return refuseField(value, name);
        record.callId = field;
        break;
      case 'partial':
        if (!isInteger(field, 1)) return refuseField(value, name);
        record.partial = field;
        break;
      case 'durationSec':
        if (!isNumber(field, 0)) return refuseField(value, name);
        record.durationMs = scaled(field, 1e3);
        seen |= Bit.durationSec;
        break;
      case 'causeForTerm':
        if (!isOneOf(CAUSES_FOR_TERM, field)) return refuseField(value, name);
        record.causeForTerm = field;
        break;
      case 'cellId':
        if (!isText(field)) return refuseField(value, name);
        record.cellId = field;
        break;
      case 'servingPlmn':
        if (!isDigits(field, 5, 6)) return refuseField(value, name);
        record.servingPlmn = field;
        seen |= Bit.servingPlmn;
        break;
      case 'trunkId':
        if (!isText(field)) return refuseField(value, name);
        record.trunkId = field;
        break;
      case 'carrierId':
        if (!isText(field)) return refuseField(value, name);
        record.carrierId = field;
        break;
      case 'pddMs':
        if (!isInteger(field, -NUMBER_MAX)) return refuseField(value, name);
        record.pddMs = field + 0;
        break;
      case 'smsClass':
        if (!isOneOf(SMS_CLASSES, field)) return refuseField(value, name);
        record.smsClass = field;
        break;
      case 'bytesUp':
        if (!isInteger(field, 0)) return refuseField(value, name);
        record.bytesUp = field + 0;
        seen |= Bit.bytesUp;
        break;
      case 'bytesDown':
        if (!isInteger(field, 0)) return refuseField(value, name);
        record.bytesDown = field + 0;
        seen |= Bit.bytesDown;
        break;
      case 'apn':
        if (!isText(field)) return refuseField(value, name);
        record.apn = field;
        break;
      case 'rat':
        if (!isText(field)) return refuseField(value, name);
        record.rat = field;
        break;
      case 'ratingGroup':
        if (!isText(field)) return refuseField(value, name);
        record.ratingGroup = field;
        break;
      case 'zeroRated':
        if (typeof field !== 'boolean') return refuseField(value, name);
        record.zeroRated = field;
        break;
      case 'charge':
        if (!isNumber(field, -NUMBER_MAX)) return refuseField(value, name);
        record.chargeMicros = scaled(field, 1e6);
        break;
      case 'amount':
        if (!isNumber(field, -NUMBER_MAX)) return refuseField(value, name);
        record.amountMicros = scaled(field, 1e6);
        seen |= Bit.amount;
        break;
      case 'outcome':
        if (!isOneOf(OUTCOMES, field)) return refuseField(value, name);
        record.outcome = field;
        break;
      case 'declineCode':
        if (!isOneOf(DECLINE_CODES, field)) return refuseField(value, name);
        record.declineCode = field;
        break;
      case 'instrumentId':
        if (!isText(field)) return refuseField(value, name);
        record.instrumentId = field;
        break;
      case 'balanceAfter':
        if (!isNumber(field, -NUMBER_MAX)) return refuseField(value, name);
        record.balanceAfterMicros = scaled(field, 1e6);
        break;
      case 'channel':
        if (!isText(field)) return refuseField(value, name);
        record.channel = field;
        break;
      case 'invoiceId':
        if (!isText(field)) return refuseField(value, name);
        record.invoiceId = field;
        seen |= Bit.invoiceId;
        break;
      case 'dueTime': {
        const time = timeOf(field);
        if (Number.isNaN(time)) return refuseField(value, name);
        record.dueTime = time;
        seen |= Bit.dueTime;
        break;
      }
      case 'event':
        if (!isText(field) || !accountEvents.has(field)) return refuseField(value, name);
        record.event = field;
        seen |= Bit.event;
        break;
      case 'attributes': {
        if (!isObject(field)) return refuseField(value, name);
        const inner = inspect(field, name, 2, wellFormed);
        if (inner < 0) return undefined;
        units += inner;
        if (!readAttributes(field)) return undefined;
        record.attributes = field;
        seen |= Bit.attributes;
        break;
      }
      case 'reason':
        if (!isOneOf(CARE_REASONS, field)) return refuseField(value, name);
        record.reason = field;
        seen |= Bit.reason;
        break;
      case 'ticketId':
        if (!isText(field)) return refuseField(value, name);
        record.ticketId = field;
        seen |= Bit.ticketId;
        break;
      case 'availableTime': {
        const time = timeOf(field);
        if (Number.isNaN(time)) return refuseField(value, name);
        record.availableTime = time;
        seen |= Bit.availableTime;
        break;
      }
      default: {
        // A field that is none of ours. It is not used, but neither may it harm whoever looks at the record later.
        const inner = inspectField(name, field, '', 1, wellFormed);
        if (inner < 0) return undefined;
        units += inner;
      }
    }
  }

  const type = record.recordType;
  if ((seen & NEEDED_BITS[type]) !== NEEDED_BITS[type] || (seen & Bit.recordType) === 0) return refuseMissing(value);
  if (units * UNIT_BYTES > RECORD_BYTES_MAX && Buffer.byteLength(JSON.stringify(value)) > RECORD_BYTES_MAX) {
    return refuse('tooLarge', '', `The record is larger than ${RECORD_BYTES_MAX} bytes.`);
  }
  if (record.eventTime > eventTimeMax) {
    return refuse('future', 'eventTime', 'eventTime is later than any clock of the network can be right now.');
  }
  if (type !== 'account' && type !== 'care') record.attributes = null;
  if (type === 'roamingFile') record.servedMsisdn = '';
  return record;
}

/** One bit for each field that some record type needs: comparing two numbers tells whether all are there. */
const Bit = {
  recordId: 1 << 0,
  recordType: 1 << 1,
  eventTime: 1 << 2,
  servedMsisdn: 1 << 3,
  direction: 1 << 4,
  otherNumber: 1 << 5,
  durationSec: 1 << 6,
  servingPlmn: 1 << 7,
  bytesUp: 1 << 8,
  bytesDown: 1 << 9,
  amount: 1 << 10,
  invoiceId: 1 << 11,
  dueTime: 1 << 12,
  event: 1 << 13,
  attributes: 1 << 14,
  reason: 1 << 15,
  ticketId: 1 << 16,
  availableTime: 1 << 17,
} as const satisfies Partial<FieldBits>;
const NEEDED_BITS = Object.fromEntries(
  RECORD_TYPES.map((type) => [type, NEEDED_FIELDS[type].reduce((bits, name) => bits | (Bit as FieldBits)[name], 0)]),
) as Record<RecordType, number>;
type FieldBits = Record<FieldName, number>;

function refuseMissing(value: Record<string, unknown>): undefined {
  const { recordType } = value;
  const needed: readonly FieldName[] = isOneOf(RECORD_TYPES, recordType) ? NEEDED_FIELDS[recordType] : ['recordType'];
  const name = needed.find((each) => value[each] === undefined) ?? '';
  return refuse('schema', name, `${name} is missing.`);
}

/** A type that we do not know may give our names another meaning: then the type is what is wrong. */
function refuseField(value: Record<string, unknown>, name: FieldName): undefined {
  const { recordType } = value;
  if (typeof recordType === 'string' && !isOneOf(RECORD_TYPES, recordType)) {
    return refuse('unknownType', 'recordType', `recordType must be ${expectationOf(FIELDS.recordType)}.`);
  }
  return refuse('schema', name, `${name} must be ${expectationOf(FIELDS[name])}.`);
}

function refuseLength(path: string): undefined {
  return refuse('tooLarge', path, `${path} is longer than ${STRING_BYTES_MAX} bytes.`);
}

function refuseHalfPair(path: string): undefined {
  return refuse('schema', path, `${path} holds half of a surrogate pair, which is no character.`);
}

function isTooLong(text: string): boolean {
  return text.length > STRING_UNITS_SAFE && Buffer.byteLength(text) > STRING_BYTES_MAX;
}

const isText = (field: unknown): field is string => typeof field === 'string';

/** The limit counts characters, as JSON Schema does: up to 128 UTF-16 units are at most 128 characters. */
function isRecordId(text: string): boolean {
  if (text === '') return false;
  return (
    text.length <= RECORD_ID_LENGTH_MAX ||
    (text.length <= 2 * RECORD_ID_LENGTH_MAX && [...text].length <= RECORD_ID_LENGTH_MAX)
  );
}

function isDigits(field: unknown, lengthMin: number, lengthMax: number): field is string {
  if (typeof field !== 'string' || field.length < lengthMin || field.length > lengthMax) return false;
  for (let index = 0; index < field.length; index++) {
    // The codes of 0 to 9 are 0x30 to 0x39.
    if ((field.charCodeAt(index) ^ 0x30) > 9) return false;
  }
  return true;
}

/** `+` and digits only: an E.164 number in the notation that the record form does not use. */
function isPlusNumber(text: string): boolean {
  return text.charCodeAt(0) === 0x2b && isDigits(text.slice(1), 1, STRING_BYTES_MAX);
}

function isOneOf<V extends string>(values: readonly V[], field: unknown): field is V {
  for (let index = 0; index < values.length; index++) if (values[index] === field) return true;
  return false;
}

function isNumber(field: unknown, minimum: number): field is number {
  return typeof field === 'number' && field >= minimum && field <= NUMBER_MAX;
}

function isInteger(field: unknown, minimum: number): field is number {
  return isNumber(field, minimum) && Number.isInteger(field);
}

/** Whole small units. Zero has one sign, so that equal amounts are equal bytes in a snapshot. */
function scaled(field: number, factor: number): number {
  return Math.round(field * factor) + 0;
}

/** Epoch milliseconds of an integer or RFC 3339 text, NaN for anything else. */
function timeOf(field: unknown): number {
  if (typeof field === 'string') return parseDateTime(field);
  return isInteger(field, -NUMBER_MAX) ? field + 0 : Number.NaN;
}

/** Types of the known attributes; times become epoch milliseconds in place, the object is ours. */
function readAttributes(attributes: Record<string, unknown>): boolean {
  if (!attributesCheck.Check(attributes)) {
    const [first] = attributesCheck.Errors(attributes);
    refuseAttribute(first.instancePath.slice(1) as AttributeName);
    return false;
  }
  for (const name of TIME_ATTRIBUTES) {
    if (typeof attributes[name] !== 'string') continue;
    const time = parseDateTime(attributes[name]);
    if (Number.isNaN(time)) {
      refuseAttribute(name);
      return false;
    }
    attributes[name] = time;
  }
  return true;
}

type AttributeName = keyof typeof AttributesSchema.properties;

function refuseAttribute(name: AttributeName): void {
  const path = `attributes.${name}`;
  refuse('schema', path, `${path} must be ${expectationOf(AttributesSchema.properties[name])}.`);
}

/**
 * Looks through an object or array inside a record: names, strings, numbers, depth. Returns how many units it adds to
 * the size of the record, or -1 with `refusal` set. The depth limit bounds the recursion.
 */
function inspect(container: object, path: string, depth: number, wellFormed: boolean): number {
  if (depth > NESTING_MAX) {
    refuse('schema', path, TOO_DEEP);
    return -1;
  }
  let units = 0;
  for (const [name, field] of Object.entries(container)) {
    const inner = inspectField(name, field, path, depth, wellFormed);
    if (inner < 0) return -1;
    units += inner;
  }
  return units;
}

/** One field of an object at level `depth`, and its name. Returns units or -1, as `inspect` does. */
function inspectField(name: string, field: unknown, parent: string, depth: number, wellFormed: boolean): number {
  let units = name.length + FIELD_BYTES;
  if (FORBIDDEN_NAMES.includes(name)) {
    refuse('schema', pathOf(parent, name), `The field name ${name} is refused at every level.`);
    return -1;
  }
  if (isTooLong(name)) {
    refuse('tooLarge', pathOf(parent, name), `The name of a field is longer than ${STRING_BYTES_MAX} bytes.`);
    return -1;
  }
  if (!wellFormed && !name.isWellFormed()) {
    refuseHalfPair(pathOf(parent, name));
    return -1;
  }
  if (typeof field === 'string') {
    if (isTooLong(field)) {
      refuseLength(pathOf(parent, name));
      return -1;
    }
    if (!wellFormed && !field.isWellFormed()) {
      refuseHalfPair(pathOf(parent, name));
      return -1;
    }
    units += field.length;
  } else if (typeof field === 'number') {
    if (!isNumber(field, -NUMBER_MAX)) {
      const path = pathOf(parent, name);
      refuse('schema', path, `${path} must be a finite number of at most 1e15 in size.`);
      return -1;
    }
  } else if (typeof field === 'object' && field !== null) {
    const path = pathOf(parent, name);
    if (!(Array.isArray(field) || isObject(field)) && (parent === 'attributes' || parent.startsWith('attributes.'))) {
      refuse('schema', path, `${path} is a MessagePack extension or binary, which attributes cannot hold.`);
      return -1;
    }
    if (field instanceof Uint8Array) {
      if (field.length > STRING_BYTES_MAX) {
        refuseLength(path);
        return -1;
      }
      return units + 2 * field.length;
    }
    const inner = inspect(field, path, depth + 1, wellFormed);
    if (inner < 0) return -1;
    units += inner;
  }
  return units;
}
