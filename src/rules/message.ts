/**
 * Rule sets on their way through the usage stream, so that a replay switches where the first run did.
 *
 * ```
 * usage.<p>.rules     this set, from here on; with `prepared`: the one announced there, its windows filled by now
 * usage.<p>.prepare   this set, as soon as the windows that it adds have been filled with `backfillMs` of old records
 * ```
 */
import { isAbsolute, normalize } from 'node:path/posix';
import { gunzipSync, gzipSync } from 'node:zlib';

/** A rule set in the stream, unpacked: 2,000 files of 32 KB. */
const RULES_BYTES_MAX = 64 * 1024 * 1024;

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
