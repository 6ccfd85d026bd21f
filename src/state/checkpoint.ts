/**
 * Checkpoints: the whole state and the position in the stream from one cut, on disk, so that a restart goes on where the
 * last one left off and a replay makes the same alerts again.
 *
 * The cut itself copies nothing but a few small tables; memory is copied as it is written, or when the pipeline is about to
 * change it, whichever comes first (arena.ts). `serve` writes in a thread of its own (checkpoint-thread.ts).
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
import { RingfenceError, unreadable } from '../errors.ts';
import { classOfCoarse, PAGE_UNITS, SIZE_CLASSES } from './arena.ts';

/**
 * Format of the files; an engine that finds a newer one says so instead of guessing. In format 2 no key was ever spilled; up to
 * format 3 there were half as many sizes of blocks.
 */
export const CHECKPOINT_FORMAT = 4;
const COARSE_FORMAT = 3;
export const OLDEST_FORMAT = 2;
export const GENERATIONS_KEPT = 3;
const MAGIC = Buffer.from('RINGFENC');
const Section = { meta: 1, names: 2, duplicates: 3, page: 4, end: 5 } as const;
/** Names are written in pieces of this many, which take the pipeline about a millisecond; duplicates in pieces of this many bytes. */
const NAMES_PER_SECTION = 10_000;
const BYTES_PER_SECTION = 1024 * 1024;
/** A longer section is none of ours: its length is read before its checksum. */
const SECTION_BYTES_MAX = 1024 * 1024 * 1024;
const HEAD_BYTES = 16;
/** Sections are gathered to this size before they are written; a page must fit. */
const WRITE_BYTES = 2 * 1024 * 1024;
/** So much at most waits to be flushed: a flush of half a gigabyte at the end would hold up the broker's writes on the same disk. */
const SYNC_BYTES = 32 * 1024 * 1024;
/** Read beyond a page, for what stands between it and the next one. */
const READ_AHEAD_BYTES = 4 * 1024;
/**
 * Pages that are read at once, in threads of their own: a page of memory that nobody has written to yet costs more than what is
 * read into it. Node has four such threads, and one is for the heads.
 */
const PAGES_UNDER_WAY = 3;
const SECTION_HEAD_BYTES = 8;
const SECTION_TAIL_BYTES = 4;
const PAGE_BYTES = PAGE_UNITS * 8;
/** Size class and number of blocks. */
const PAGE_HEAD_BYTES = 8;
const FILE_NAME = /^checkpoint-(\d{9})$/;
const UNFINISHED = /^checkpoint-.*\.writing$/;

/** Where in the stream the state stands. */
export interface Position {
  stream: string;
  /** When the stream was created (RFC 3339, as the broker gives it): another stream of the same name is not ours. */
  streamCreated: string;
  /** Sequence of the last message whose effects are in the state; 0 before the first. */
  sequence: number;
  /** What came of everything up to there, and was stored when the checkpoint was written. */
  marks?: StreamMark[];
}

/** A message of another stream, by which a loss of the broker is found (sinks/stream-mark.ts). */
export interface StreamMark {
  stream: string;
  sequence: number;
  subject: string;
  /** Of messages whose subject is not theirs alone. */
  messageId?: string;
  /**
   * When the broker stored it, to the nanosecond as it says: whatever takes the sequence later has another time. Empty until
   * asked.
   */
  storedAt: string;
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
  /**
   * Names the process in what it has begun to write. One that was frozen in the middle of it and replaced must not write on in
   * the file of who came after.
   */
  writer: string;
  mkdir(path: string, options: { recursive: true }): Promise<unknown>;
  open(path: string, flags: 'r' | 'w'): Promise<DiskFile>;
  readdir(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true }): Promise<void>;
}

const realDisk: Disk = {
  writer: `${process.pid}-${Math.floor(performance.timeOrigin)}`,
  mkdir,
  open,
  readdir,
  rename,
  rm,
};

/** What is stored; `meta` is plain data of the engine. The parts come from `engine.cut()`. */
export interface CheckpointContent<Meta> {
  meta: Meta;
  /** Written in portions; an array will do. */
  names: { length: number; slice(from: number, to: number): string[] | Promise<string[]> };
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
  /** In order, each where the memory put it. */
  pages: { sizeClass: number; used: number; bytes: Uint8Array }[];
}

/** Where a checkpoint is read to. */
export interface PageMemory<Meta = unknown> {
  /** All but the pages has been read; so many of them follow. */
  begin?(content: Pick<LoadedCheckpoint<Meta>, 'meta' | 'names' | 'duplicates'>, pages: number): void;
  /** Memory for the blocks of the next page. */
  addPage(sizeClass: number, used: number): Uint8Array;
  /** This page, counted from 0, is in the memory and right; the ones behind it are still being read. */
  checked?(page: number): void;
  /** Forgets all pages: the checkpoint that they are of turned out to be broken. */
  clear(): void;
}

const memoryOfTheirOwn: PageMemory = {
  addPage: (sizeClass, used) => new Uint8Array(used * SIZE_CLASSES[sizeClass]! * 8),
  clear() {},
};

/** What the sections behind the first one must add up to. */
interface Counts {
  pages: number;
  names: number;
  duplicateBytes: number[];
}

/**
 * Writes the next generation and removes the ones beyond GENERATIONS_KEPT. Resolves when it is durable. `rest` is called after
 * each piece, and may take its time.
 */
export async function writeCheckpoint<Meta>(
  directory: string,
  position: Position,
  content: CheckpointContent<Meta>,
  disk: Disk = realDisk,
  rest: () => void = () => {},
): Promise<{ number: number; bytes: number }> {
  await disk.mkdir(directory, { recursive: true });
  const names = await namesIn(directory, disk);
  const number = (generationsOf(names)[0] ?? 0) + 1;
  const path = pathOf(directory, number);
  const unfinished = `${path}.${disk.writer}.writing`;
  // What others have begun and will not finish takes room.
  for (const name of names) {
    const other = join(directory, name);
    if (UNFINISHED.test(name) && other !== unfinished) await disk.rm(other, { force: true });
  }
  const file = await disk.open(unfinished, 'w');
  let bytes = 0;
  try {
    const gathered = Buffer.allocUnsafe(WRITE_BYTES);
    let filled = 0;
    const write = async (from: Uint8Array, length: number): Promise<void> => {
      for (let at = 0; at < length; ) at += (await file.write(from.subarray(0, length), at)).bytesWritten;
      bytes += length;
    };
    let syncedBytes = 0;
    const flush = async (): Promise<void> => {
      await write(gathered, filled);
      filled = 0;
      if (bytes - syncedBytes > SYNC_BYTES) {
        await file.sync();
        syncedBytes = bytes;
      }
      rest();
    };
    /** Puts a section of at most `room` bytes; `fill` writes its payload and returns how long it is. */
    const put = async (kind: number, room: number, fill: (payload: Buffer) => number): Promise<void> => {
      const whole = SECTION_HEAD_BYTES + room + SECTION_TAIL_BYTES;
      if (filled + whole > WRITE_BYTES) await flush();
      const section = whole > WRITE_BYTES ? Buffer.allocUnsafe(whole) : gathered.subarray(filled, filled + whole);
      const length = fill(section.subarray(SECTION_HEAD_BYTES, SECTION_HEAD_BYTES + room));
      section.writeUInt32LE(kind, 0);
      section.writeUInt32LE(length, 4);
      const end = SECTION_HEAD_BYTES + length;
      section.writeUInt32LE(crc32(section.subarray(0, end)) >>> 0, end);
      if (section.buffer !== gathered.buffer) await write(section, end + SECTION_TAIL_BYTES);
      else filled += end + SECTION_TAIL_BYTES;
    };
    const putText = async (kind: number, text: string): Promise<void> => {
      const encoded = Buffer.from(text);
      await put(kind, encoded.length, (payload) => encoded.copy(payload));
    };
    MAGIC.copy(gathered);
    gathered.writeUInt32LE(CHECKPOINT_FORMAT, 8);
    gathered.writeUInt32LE(crc32(gathered.subarray(0, 12)) >>> 0, 12);
    filled = HEAD_BYTES;

    const { meta, names, duplicates, arena } = content;
    const counts: Counts = {
      pages: arena.pages,
      names: names.length,
      duplicateBytes: duplicates.map((part) => part.length),
    };
    await putText(Section.meta, JSON.stringify({ position, counts, meta }));
    for (let from = 0; from < names.length; from += NAMES_PER_SECTION) {
      await putText(Section.names, JSON.stringify(await names.slice(from, from + NAMES_PER_SECTION)));
    }
    for (const [part, content] of duplicates.entries()) {
      for (let from = 0; from === 0 || from < content.length; from += BYTES_PER_SECTION) {
        // The part shows memory that goes on being appended to, never changed.
        const piece = content.subarray(from, from + BYTES_PER_SECTION);
        await put(Section.duplicates, 4 + piece.length, (payload) => {
          payload.writeUInt32LE(part, 0);
          payload.set(piece, 4);
          return payload.length;
        });
      }
    }
    for (let page = 0; page < arena.pages; page++) {
      await put(Section.page, PAGE_HEAD_BYTES + PAGE_BYTES, (payload) => {
        const { sizeClass, used } = arena.take(page, payload.subarray(PAGE_HEAD_BYTES));
        payload.writeUInt32LE(sizeClass, 0);
        payload.writeUInt32LE(used, 4);
        return PAGE_HEAD_BYTES + used * SIZE_CLASSES[sizeClass]! * 8;
      });
    }
    await put(Section.end, 0, () => 0);
    await flush();
    await file.sync();
  } catch (error) {
    // A full disk needs the room of what was begun.
    await disk.rm(unfinished, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await disk.rename(unfinished, path);
  await syncDirectory(directory, disk);
  for (const old of generationsOf(await namesIn(directory, disk)).slice(GENERATIONS_KEPT)) {
    await disk.rm(pathOf(directory, old), { force: true });
  }
  return { number, bytes };
}

/**
 * Why a checkpoint is not to be used although it is whole: what belongs to it elsewhere is gone or damaged; undefined where it is.
 * Asked before the pages are read.
 */
export type Refusal<Meta> = (position: Position, meta: Meta) => Promise<string | undefined>;

/**
 * The newest checkpoint that is whole and not refused. `rejected` says why newer ones were passed over; with none left the caller
 * starts at the begin of the stream. With a `memory`, an arena for one, pages are read straight into it.
 */
export async function loadCheckpoint<Meta>(
  directory: string,
  memory: PageMemory<Meta> = memoryOfTheirOwn,
  refuse: Refusal<Meta> = async () => undefined,
  disk: Disk = realDisk,
): Promise<{ checkpoint: LoadedCheckpoint<Meta> | undefined; rejected: { number: number; reason: string }[] }> {
  const rejected: { number: number; reason: string }[] = [];
  for (const number of generationsOf(await namesIn(directory, disk))) {
    const path = pathOf(directory, number);
    const result = await read<Meta>(number, path, disk, memory, refuse).catch(unreadable);
    if (typeof result !== 'string') return { checkpoint: result, rejected };
    memory.clear();
    rejected.push({ number, reason: result });
  }
  return { checkpoint: undefined, rejected };
}

/**
 * A whole checkpoint, or what is wrong with it. Read section by section: a state beyond 2 GiB fits into no single read.
 * @throws RingfenceError where a newer program has written it
 */
async function read<Meta>(
  number: number,
  path: string,
  disk: Disk,
  memory: PageMemory<Meta>,
  refuse: Refusal<Meta>,
): Promise<LoadedCheckpoint<Meta> | string> {
  const file = await disk.open(path, 'r');
  /** Pages whose content is on its way, in their order. */
  const underWay: { filling: Promise<boolean>; headSum: number; blocks: Uint8Array; checksum: number }[] = [];
  try {
    const { size } = await file.stat();
    let at = 0;
    /** What has been read beyond `at`: heads and checksums are too small for reads of their own. */
    let atHand: Uint8Array = new Uint8Array(0);
    /** Fills `into` with the next bytes; false where the file ends before. */
    const fill = async (into: Uint8Array): Promise<boolean> => {
      const from = at;
      at += into.length;
      if (at > size) return false;
      const known = Math.min(atHand.length, into.length);
      into.set(atHand.subarray(0, known));
      atHand = atHand.subarray(known);
      for (let filled = known; filled < into.length; ) {
        const { bytesRead } = await file.read(into, filled, into.length - filled, from + filled);
        if (bytesRead === 0) return false;
        filled += bytesRead;
      }
      return true;
    };
    /** The next bytes, undefined where the file ends before. */
    const take = async (length: number): Promise<Buffer | undefined> => {
      if (at + length > size) return undefined;
      if (length <= READ_AHEAD_BYTES && atHand.length < length) {
        const ahead = Buffer.allocUnsafe(Math.min(READ_AHEAD_BYTES, size - at));
        const from = at;
        if (!(await fill(ahead))) return undefined;
        at = from;
        atHand = ahead;
      }
      const bytes = Buffer.allocUnsafe(length);
      return (await fill(bytes)) ? bytes : undefined;
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
    if (format < OLDEST_FORMAT) return 'its format is older than any that was released';
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
    let checked = 0;
    /** Waits until no more than so many pages are under way; what is wrong with one that has come, or undefined. */
    const settle = async (left: number): Promise<string | undefined> => {
      while (underWay.length > left) {
        const { filling, headSum, blocks, checksum } = underWay[0]!;
        if (!(await filling)) return 'it is cut short';
        if (crc32(blocks, headSum) >>> 0 !== checksum) return 'a checksum does not match';
        underWay.shift();
        memory.checked?.(checked++);
      }
      return undefined;
    };
    /** All sections before the pages have been read; false where some are missing. */
    const beginPages = (): boolean => {
      loaded.duplicates = duplicateParts.map((parts) => Buffer.concat(parts));
      const duplicateBytes = loaded.duplicates.map((part) => part.length);
      if (counts === undefined || loaded.names.length !== counts.names) return false;
      if (JSON.stringify(duplicateBytes) !== JSON.stringify(counts.duplicateBytes)) return false;
      memory.begin?.(loaded, counts.pages);
      return true;
    };
    for (;;) {
      const begin = await take(SECTION_HEAD_BYTES);
      if (begin === undefined) return 'it is cut short';
      const kind = begin.readUInt32LE(0);
      const length = begin.readUInt32LE(4);
      if (length > SECTION_BYTES_MAX) return 'a checksum does not match';
      if (kind === Section.page && length >= PAGE_HEAD_BYTES) {
        const pageHead = await take(PAGE_HEAD_BYTES);
        if (pageHead === undefined) return 'it is cut short';
        const classRead = pageHead.readUInt32LE(0);
        const sizeClass = format <= COARSE_FORMAT ? classOfCoarse(classRead) : classRead;
        const used = pageHead.readUInt32LE(4);
        const bytes = used * (SIZE_CLASSES[sizeClass] ?? Number.NaN) * 8;
        // What is no page must not take memory before its checksum is known.
        if (bytes !== length - PAGE_HEAD_BYTES || bytes > PAGE_BYTES) return 'a checksum does not match';
        const wrong = await settle(PAGES_UNDER_WAY - 1);
        if (wrong !== undefined) return wrong;
        if (loaded.pages.length === 0 && !beginPages()) return 'sections are missing';
        const blocks = memory.addPage(sizeClass, used).subarray(0, bytes);
        const filling = fill(blocks);
        // An error is met where the page is waited for.
        filling.catch(() => {});
        const checksum = await take(SECTION_TAIL_BYTES);
        if (checksum === undefined) return 'it is cut short';
        const headSum = crc32(pageHead, crc32(begin));
        underWay.push({ filling, headSum, blocks, checksum: checksum.readUInt32LE(0) });
        loaded.pages.push({ sizeClass, used, bytes: blocks });
        continue;
      }
      const wrong = await settle(0);
      if (wrong !== undefined) return wrong;
      const payload = await take(length);
      const checksum = await take(SECTION_TAIL_BYTES);
      if (payload === undefined || checksum === undefined) return 'it is cut short';
      if (crc32(payload, crc32(begin)) >>> 0 !== checksum.readUInt32LE(0)) return 'a checksum does not match';
      if (kind === Section.meta) {
        const content = JSON.parse(payload.toString()) as { position: Position; counts: Counts; meta: Meta };
        loaded.position = content.position;
        loaded.meta = content.meta;
        counts = content.counts;
        const reason = await refuse(content.position, content.meta);
        if (reason !== undefined) return reason;
      } else if (kind === Section.names) {
        for (const name of JSON.parse(payload.toString()) as string[]) loaded.names.push(name);
      } else if (kind === Section.duplicates) {
        const part = payload.readUInt32LE(0);
        duplicateParts[part] ??= [];
        duplicateParts[part].push(payload.subarray(4));
      } else if (kind === Section.end) {
        break;
      }
    }
    if (loaded.pages.length === 0 && !beginPages()) return 'sections are missing';
    return loaded.pages.length === counts?.pages ? loaded : 'sections are missing';
  } finally {
    await Promise.allSettled(underWay.map(({ filling }) => filling));
    await file.close();
  }
}

/** Removes one that must not be used any more: it would take the place of one that may. */
export const removeCheckpoint = (directory: string, number: number, disk: Disk = realDisk): Promise<void> =>
  disk.rm(pathOf(directory, number), { force: true });

const pathOf = (directory: string, number: number): string =>
  join(directory, `checkpoint-${String(number).padStart(9, '0')}`);

async function namesIn(directory: string, disk: Disk): Promise<string[]> {
  try {
    return await disk.readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Numbers of the generations that are there, newest first. */
const generationsOf = (names: readonly string[]): number[] =>
  names
    .map((name) => FILE_NAME.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => b - a);

/** A rename is durable only when its folder is. */
async function syncDirectory(directory: string, disk: Disk): Promise<void> {
  const handle = await disk.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
