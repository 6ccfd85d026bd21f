/**
 * Checkpoints: the whole state and the position in the stream from one cut, on disk, so that a restart goes on where the
 * last one left off and a replay makes the same alerts again.
 *
 * The cut itself copies nothing but a few small tables; pages are copied as they are written, or the first time the pipeline
 * changes them, whichever comes first (arena.ts). Writing goes on beside the pipeline, a page at a time.
 *
 * A file is `checkpoint-<number>`; three generations are kept. It is written under another name, flushed to the disk, and only
 * then renamed, so a crash leaves the older ones untouched. Head and sections carry a CRC-32, the first section says what
 * must follow; a file that was cut short or changed anywhere is passed over, and the one before it is used.
 *
 * ```
 * "RINGFENC" | u32 format | u32 CRC-32 of both | sections ... | end section
 * section: u32 kind | u32 length | payload | u32 CRC-32 of kind, length and payload
 * ```
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { RingfenceError } from '../errors.ts';
import { PAGE_UNITS, SIZE_CLASSES } from './arena.ts';

/** Format of the files; an engine that finds a newer one says so instead of guessing. */
export const CHECKPOINT_FORMAT = 2;
export const GENERATIONS_KEPT = 3;
const MAGIC = Buffer.from('RINGFENC');
const Section = { meta: 1, names: 2, duplicates: 3, page: 4, end: 5 } as const;
/** Names are written in pieces of this many, duplicates in pieces of this many bytes. */
const NAMES_PER_SECTION = 50_000;
const BYTES_PER_SECTION = 4 * 1024 * 1024;
/** A longer section is none of ours: its length is read before its checksum. */
const SECTION_BYTES_MAX = 1024 * 1024 * 1024;
const HEAD_BYTES = 16;
/** Sections are gathered to this size before they are written. */
const WRITE_BYTES = 1024 * 1024;
const FILE_NAME = /^checkpoint-(\d{9})$/;

/** Where in the stream the state stands. */
export interface Position {
  stream: string;
  /** When the stream was created (RFC 3339, as the broker gives it): another stream of the same name is not ours. */
  streamCreated: string;
  /** Sequence of the last message whose effects are in the state; 0 before the first. */
  sequence: number;
}

/** What a checkpoint needs of a file, as node:fs/promises has it. */
export interface DiskFile {
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  write(bytes: Uint8Array, offset: number): Promise<{ bytesWritten: number }>;
  stat(): Promise<{ size: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What a checkpoint needs of the disk. The other one is that of the simulation, which loses what was not flushed. */
export interface Disk {
  mkdir(path: string, options: { recursive: true }): Promise<unknown>;
  open(path: string, flags: 'r' | 'w'): Promise<DiskFile>;
  readdir(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
}

const realDisk: Disk = { mkdir, open, readdir, rename, rm };

/** What is stored; `meta` is plain data of the engine. The parts come from `engine.cut()`. */
export interface CheckpointContent<Meta> {
  meta: Meta;
  names: string[];
  duplicates: Uint8Array[];
  arena: {
    pages: number;
    take(page: number, into: Uint8Array): { sizeClass: number; used: number };
  };
}

export interface LoadedCheckpoint<Meta> {
  number: number;
  position: Position;
  meta: Meta;
  names: string[];
  duplicates: Uint8Array[];
  /** Hands the pages over in order. */
  pages: { sizeClass: number; used: number; bytes: Uint8Array }[];
}

/** What the sections behind the first one must add up to. */
interface Counts {
  pages: number;
  names: number;
  duplicateBytes: number[];
}

/** Writes the next generation and removes the ones beyond GENERATIONS_KEPT. Resolves when it is durable. */
export async function writeCheckpoint<Meta>(
  directory: string,
  position: Position,
  content: CheckpointContent<Meta>,
  disk: Disk = realDisk,
): Promise<{ number: number; bytes: number }> {
  await disk.mkdir(directory, { recursive: true });
  const number = ((await generations(directory, disk))[0] ?? 0) + 1;
  const path = join(directory, `checkpoint-${String(number).padStart(9, '0')}`);
  const file = await disk.open(`${path}.writing`, 'w');
  let bytes = 0;
  try {
    let pending: Uint8Array[] = [];
    let pendingBytes = 0;
    const flush = async (): Promise<void> => {
      if (pendingBytes === 0) return;
      await writeAll(file, Buffer.concat(pending, pendingBytes));
      bytes += pendingBytes;
      pending = [];
      pendingBytes = 0;
    };
    const put = async (kind: number, ...parts: Uint8Array[]): Promise<void> => {
      const length = parts.reduce((sum, part) => sum + part.length, 0);
      const head = Buffer.alloc(8);
      head.writeUInt32LE(kind, 0);
      head.writeUInt32LE(length, 4);
      let checksum = crc32(head);
      for (const part of parts) checksum = crc32(part, checksum);
      const tail = Buffer.alloc(4);
      tail.writeUInt32LE(checksum >>> 0, 0);
      pending.push(head, ...parts, tail);
      pendingBytes += length + 12;
      if (pendingBytes >= WRITE_BYTES) await flush();
    };
    const head = Buffer.alloc(HEAD_BYTES);
    MAGIC.copy(head);
    head.writeUInt32LE(CHECKPOINT_FORMAT, 8);
    head.writeUInt32LE(crc32(head.subarray(0, 12)) >>> 0, 12);
    pending.push(head);
    pendingBytes += head.length;

    const { meta, names, duplicates, arena } = content;
    const counts: Counts = {
      pages: arena.pages,
      names: names.length,
      duplicateBytes: duplicates.map((part) => part.length),
    };
    await put(Section.meta, Buffer.from(JSON.stringify({ position, counts, meta })));
    for (let from = 0; from < names.length; from += NAMES_PER_SECTION) {
      await put(Section.names, Buffer.from(JSON.stringify(names.slice(from, from + NAMES_PER_SECTION))));
    }
    for (const [part, content] of duplicates.entries()) {
      const which = Buffer.alloc(4);
      which.writeUInt32LE(part, 0);
      for (let from = 0; from === 0 || from < content.length; from += BYTES_PER_SECTION) {
        // The part shows memory that goes on being appended to, never changed; concatenating copies what is written.
        await put(Section.duplicates, which, content.subarray(from, from + BYTES_PER_SECTION));
      }
    }
    for (let page = 0; page < arena.pages; page++) {
      const copy = new Uint8Array(PAGE_UNITS * 8);
      const { sizeClass, used } = arena.take(page, copy);
      const head = Buffer.alloc(8);
      head.writeUInt32LE(sizeClass, 0);
      head.writeUInt32LE(used, 4);
      await put(Section.page, head, copy.subarray(0, used * SIZE_CLASSES[sizeClass]! * 8));
    }
    await put(Section.end, Buffer.alloc(0));
    await flush();
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(`${path}.writing`, path);
  await syncDirectory(directory, disk);
  for (const old of (await generations(directory, disk)).slice(GENERATIONS_KEPT)) {
    await disk.rm(join(directory, `checkpoint-${String(old).padStart(9, '0')}`), { force: true });
  }
  return { number, bytes };
}

/**
 * The newest checkpoint that is whole. `rejected` says why newer ones were passed over; with none left the caller starts at
 * the begin of the stream.
 */
export async function loadCheckpoint<Meta>(
  directory: string,
  disk: Disk = realDisk,
): Promise<{ checkpoint: LoadedCheckpoint<Meta> | undefined; rejected: { number: number; reason: string }[] }> {
  const rejected: { number: number; reason: string }[] = [];
  for (const number of await generations(directory, disk)) {
    const path = join(directory, `checkpoint-${String(number).padStart(9, '0')}`);
    const result = await read<Meta>(number, path, disk);
    if (typeof result !== 'string') return { checkpoint: result, rejected };
    rejected.push({ number, reason: result });
  }
  return { checkpoint: undefined, rejected };
}

/**
 * A whole checkpoint, or what is wrong with it. Read section by section: a state beyond 2 GiB fits into no single read.
 * @throws RingfenceError where a newer program has written it
 */
async function read<Meta>(number: number, path: string, disk: Disk): Promise<LoadedCheckpoint<Meta> | string> {
  const file = await disk.open(path, 'r');
  try {
    const { size } = await file.stat();
    let at = 0;
    /** The next bytes, undefined where the file ends before. */
    const take = async (length: number): Promise<Buffer | undefined> => {
      if (at + length > size) return undefined;
      const bytes = Buffer.allocUnsafe(length);
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, at + filled);
        if (bytesRead === 0) return undefined;
        filled += bytesRead;
      }
      at += length;
      return bytes;
    };

    const head = await take(HEAD_BYTES);
    if (head === undefined) return 'it is cut short';
    if (!head.subarray(0, 8).equals(MAGIC)) return 'it is no checkpoint';
    if (crc32(head.subarray(0, 12)) >>> 0 !== head.readUInt32LE(12)) return 'a checksum does not match';
    const format = head.readUInt32LE(8);
    if (format > CHECKPOINT_FORMAT) {
      throw new RingfenceError({
        code: 'checkpoint.newer-format',
        message: `Checkpoint ${number} has format ${format}; this program knows formats up to ${CHECKPOINT_FORMAT}.`,
        hint: 'Start the version that wrote it, or give another --data folder to rebuild the state from the stream.',
      });
    }
    if (format < CHECKPOINT_FORMAT) return 'its format is older than any that was released';
    const loaded: LoadedCheckpoint<Meta> = {
      number,
      position: { stream: '', streamCreated: '', sequence: 0 },
      meta: undefined as Meta,
      names: [],
      duplicates: [],
      pages: [],
    };
    const duplicateParts: Uint8Array[][] = [];
    let counts: Counts | undefined;
    for (;;) {
      const begin = await take(8);
      if (begin === undefined) return 'it is cut short';
      const kind = begin.readUInt32LE(0);
      const length = begin.readUInt32LE(4);
      if (length > SECTION_BYTES_MAX) return 'a checksum does not match';
      const payload = await take(length);
      const checksum = await take(4);
      if (payload === undefined || checksum === undefined) return 'it is cut short';
      if (crc32(payload, crc32(begin)) >>> 0 !== checksum.readUInt32LE(0)) return 'a checksum does not match';
      if (kind === Section.meta) {
        const content = JSON.parse(payload.toString()) as { position: Position; counts: Counts; meta: Meta };
        loaded.position = content.position;
        loaded.meta = content.meta;
        counts = content.counts;
      } else if (kind === Section.names) {
        for (const name of JSON.parse(payload.toString()) as string[]) loaded.names.push(name);
      } else if (kind === Section.duplicates) {
        const part = payload.readUInt32LE(0);
        duplicateParts[part] ??= [];
        duplicateParts[part].push(payload.subarray(4));
      } else if (kind === Section.page) {
        loaded.pages.push({
          sizeClass: payload.readUInt32LE(0),
          used: payload.readUInt32LE(4),
          bytes: payload.subarray(8),
        });
      } else if (kind === Section.end) {
        break;
      }
    }
    loaded.duplicates = duplicateParts.map((parts) => Buffer.concat(parts));
    const found: Counts = {
      pages: loaded.pages.length,
      names: loaded.names.length,
      duplicateBytes: loaded.duplicates.map((part) => part.length),
    };
    return JSON.stringify(found) === JSON.stringify(counts) ? loaded : 'sections are missing';
  } finally {
    await file.close();
  }
}

/** Numbers of the generations that are there, newest first. */
async function generations(directory: string, disk: Disk): Promise<number[]> {
  let files: string[];
  try {
    files = await disk.readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return files
    .map((file) => FILE_NAME.exec(file)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => b - a);
}

async function writeAll(file: DiskFile, bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) at += (await file.write(bytes, at)).bytesWritten;
}

/** A rename is durable only when its folder is. */
async function syncDirectory(directory: string, disk: Disk): Promise<void> {
  const handle = await disk.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
