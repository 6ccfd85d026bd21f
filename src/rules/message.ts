/**
 * Rule sets on their way through the usage stream, so that a replay switches where the first run did.
 *
 * ```
 * usage.<p>.rules     this set, from here on; with `prepared`: the one announced there, its windows filled by now
 * usage.<p>.prepare   this set, as soon as the windows that it adds have been filled with `backfillMs` of old records
 * usage.<p>.part      a piece of a set that is larger than a message: nothing by itself
 * ```
 *
 * A set is gzip of JSON. One that came in parts is a plain {"parts": [sequence, ...]} in the place where it counts, so
 * that whoever reads it fetches the pieces from the stream, also after a restart between them.
 */
import { isAbsolute, normalize } from 'node:path/posix';
import { gunzipSync, gzipSync } from 'node:zlib';
import { RingfenceError } from '../errors.ts';

/** A rule set in the stream, unpacked: 2,000 files of 32 KB, or lists of some four million numbers. */
const RULES_BYTES_MAX = 64 * 1024 * 1024;
export const PARTS_MAX = 256;
/** What subject and headers of a message may take of the server's limit. */
const ENVELOPE_BYTES = 1_024;

export interface RuleFile {
  file: string;
  text: string;
}

export interface RulesMessage {
  version: string;
  files: RuleFile[];
  /** Sent by hand to whatever runs: a process that keeps a rules folder brings it in line with this set. */
  applied?: boolean;
  /** Only of an announcement: how far back records are read again. */
  backfillMs?: number;
  /** Sequence of the announcement. */
  prepared?: number;
}

/** A rule set that has been announced and waits for its windows; part of the checkpoint. */
export interface PreparedRules {
  /** Of the announcement. */
  sequence: number;
  version: string;
  files: RuleFile[];
  applied: boolean;
  /** Broker time from which on records are read again, Unix epoch ms. */
  from: number;
}

export function rulesMessage(message: RulesMessage): Uint8Array {
  return gzipSync(JSON.stringify(message));
}

interface PartList {
  parts: number[];
  /** As in the set, for who only looks for the end of a back-fill. */
  prepared?: number;
}

/** The pieces of a set that is larger than a message may be; the set itself where it is not, none where it takes too many. */
export function piecesOf(message: RulesMessage, payloadBytesMax: number): Uint8Array[] {
  const body = rulesMessage(message);
  const bytesMax = payloadBytesMax - ENVELOPE_BYTES;
  if (body.length <= bytesMax) return [body];
  if (bytesMax <= 0 || body.length > bytesMax * PARTS_MAX) return [];
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < body.length; from += bytesMax) pieces.push(body.subarray(from, from + bytesMax));
  return pieces;
}

/** What lies in the place of a set that came in parts. */
export function partList(list: PartList): Uint8Array {
  return Buffer.from(JSON.stringify(list));
}

export const rulesTooLarge = (bytesMax: number): RingfenceError =>
  new RingfenceError({
    code: 'rules.too-large',
    message: `Rules and reference lists take more than ${PARTS_MAX} messages of ${bytesMax} bytes when compressed.`,
    hint: 'Shorten the lists, or raise max_payload of the NATS server.',
  });

/** Undefined where the body is no list of parts. */
export function readPartList(body: Uint8Array): PartList | undefined {
  if (body[0] !== '{'.charCodeAt(0) || body.length > PARTS_MAX * 24) return undefined;
  let content: Partial<PartList>;
  try {
    content = JSON.parse(Buffer.from(body).toString());
  } catch {
    return undefined;
  }
  const { parts, prepared } = content;
  if (!Array.isArray(parts) || parts.length === 0 || parts.length > PARTS_MAX || !isWhole(prepared)) return undefined;
  if (!parts.every((seq) => Number.isSafeInteger(seq) && seq > 0)) return undefined;
  return { parts, ...(prepared !== undefined && { prepared }) };
}

/** Undefined where the body is anything else. */
export function readRulesMessage(body: Uint8Array): RulesMessage | undefined {
  let content: Partial<RulesMessage> | null;
  try {
    content = JSON.parse(gunzipSync(body, { maxOutputLength: RULES_BYTES_MAX }).toString());
  } catch {
    return undefined;
  }
  const { version, files, applied, backfillMs, prepared } = content ?? {};
  if (typeof version !== 'string' || !Array.isArray(files) || !files.every(isFile)) return undefined;
  if (!isWhole(backfillMs) || !isWhole(prepared)) return undefined;
  return {
    version,
    files,
    ...(applied === true && { applied }),
    ...(backfillMs !== undefined && { backfillMs }),
    ...(prepared !== undefined && { prepared }),
  };
}

const isWhole = (value: unknown): value is number | undefined =>
  value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);

/** Files may be written to a folder, so a name that leads out of it is none. */
const isFile = (entry: Partial<RuleFile> | null): boolean =>
  typeof entry?.file === 'string' &&
  typeof entry.text === 'string' &&
  !isAbsolute(entry.file) &&
  normalize(entry.file) === entry.file &&
  !entry.file.startsWith('..') &&
  !/[\\\0]/.test(entry.file);
