/**
 * Blocks of cold keys on disk: what memory has no room for is appended here and read back when its key is touched.
 *
 * A store is a folder of segments, `spill-<number>`, that are only ever appended to. An entry says which keys live in its block,
 * then comes the block as it was in memory. What says whether an entry still counts is one bit in memory; a checkpoint holds the bits
 * and the lengths of its own moment, so state and spilled keys come from one cut, and nothing that a kept checkpoint needs is ever
 * changed:
 *
 * - a key that is spilled after the cut lies in the arena of the checkpoint; its entry lies behind the length that it notes;
 * - a key that came back after the cut has its bit in the checkpoint, and its entry is still there: a segment is deleted when
 *   neither memory nor any of the generations that are kept has a bit in it;
 * - a new process never appends to a segment of an old one.
 *
 * ```
 * entry: u32 CRC-32 of the rest | u32 units behind the head | u32 number in its segment | u32 segment | u32 units of the label | 0
 *        label (see engine.ts) | block
 * ```
 *
 * Entries wait in memory until they are written, some megabytes at most; written is not durable: `flush` before a checkpoint
 * is. Reading ahead (`fetch`) changes nothing but where `take` finds an entry.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { isDiskTrouble, RingfenceError, unreadable } from '../errors.ts';
import { PAGE_UNITS } from './arena.ts';
import { GENERATIONS_KEPT } from './checkpoint.ts';
import { realDisk, type SpillDisk } from './spill-disk.ts';
import {
  CHUNK_UNITS,
  CHUNKS_MAX,
  CHUNKS_WAITING_MAX,
  type Chunk,
  createSpillWriter,
  RETRY_MS,
  type SegmentFile,
} from './spill-writer.ts';

/** A reference is `segment * SEGMENT_UNITS + unit`: 64 MiB a segment. */
const SEGMENT_UNITS = 8_388_608;
const SEGMENT_BYTES = SEGMENT_UNITS * 8;
/** 256 GiB. A disk is full before; references would go on far beyond. */
export const SEGMENTS_MAX = 4_096;
const HEAD_UNITS = 3;
const HEAD_BYTES = HEAD_UNITS * 8;
/** Longer labels are none of ours. */
const LABEL_UNITS_MAX = 1_024;
const ENTRY_UNITS_MAX = HEAD_UNITS + LABEL_UNITS_MAX + PAGE_UNITS;
/** Entries that are read ahead at once; what else a batch needs is read when it is met. */
const FETCHED_MAX = 8_192;
/**
 * An entry that the system has in its cache takes 4 us to read at once and 10 us through the pool of threads. When the reads of a
 * batch have taken so long, the disk is being waited for, and the rest is read many at a time while other work goes on.
 */
const READS_IN_TURN_MS = 2;
const READS_AT_ONCE = 16;
/** Most blocks are shorter, and come with one read. */
const READ_BYTES = 8_192;
/** Memory for entries that are read ahead comes in pieces for so many: 1 MiB. */
const ENTRIES_OF_PIECE = 128;
const FILE_NAME = /^spill-(\d{9})$/;

/** What a checkpoint notes of the store; plain data. `live`: base64 of one bit an entry. */
export interface SpilledCut {
  segments: { number: number; units: number; entries: number; live: string }[];
}

/** What the engine needs of it. */
export interface Spill {
  /** Takes a block of `units` at `from` with its label; returns its reference, 0 where the disk has no room for it now. */
  put(label: Float64Array, labelUnits: number, f64: Float64Array, from: number, units: number): number;
  /** The block comes back into memory: its bytes, until the next call. @throws RingfenceError where they are damaged */
  take(reference: number): Float64Array;
  cut(): SpilledCut;
}

/** Labels of a checkpoint's spilled blocks. */
export type SpilledLabels = (visit: (reference: number, label: Float64Array) => void) => void;

export interface SpillStats {
  /** Blocks in the store, what they take, and what all segments take on disk. */
  blocks: number;
  bytes: number;
  diskBytes: number;
  segments: number;
  chunksWaiting: number;
  /** Since the start. */
  spilled: number;
  /** Blocks that came back: read before their records were applied, or while they were, or not written yet. */
  returned: { ahead: number; within: number; unwritten: number };
}

export interface SpillStore extends Spill {
  /** Reads these entries, so that `take` finds them in memory; those of the call before are forgotten. */
  fetch(references: readonly number[]): Promise<void>;
  /** More waits for the disk than should. */
  isFull(): boolean;
  /** Resolves when it is not. A disk that is full is tried again and again. */
  room(): Promise<void>;
  /** Why the disk takes nothing at the moment; empty where it does. */
  trouble(): string;
  /** Resolves when all that was put is durable. */
  flush(): Promise<void>;
  /** A checkpoint with this cut is durable: what only older ones needed may go. */
  stored(cut: SpilledCut): Promise<void>;
  /** Makes the store what it was at the cut of a checkpoint; or says what is damaged. Before anything is put. */
  load(cut: SpilledCut): Promise<{ labels: SpilledLabels } | { damage: string }>;
  /**
   * Moves entries out of segments that are mostly dead, while there is more dead than alive. `moved` must note the new reference
   * of a block, before it returns.
   */
  tidy(moved: (label: Float64Array, from: number, to: number) => void): Promise<void>;
  stats(): SpillStats;
  close(): Promise<void>;
}

interface Segment extends SegmentFile {
  number: number;
  entries: number;
  liveEntries: number;
  liveUnits: number;
  /** One bit an entry: whether it still counts. */
  live: Uint8Array;
}

export interface SpillStoreOptions {
  /** For tests: segments of another length. */
  segmentBytes?: number;
  disk?: SpillDisk;
  /** A block was read while its record was being applied, after so long. */
  onRead?(seconds: number): void;
}

const segmentPath = (directory: string, number: number): string =>
  join(directory, `spill-${String(number).padStart(9, '0')}`);

export function openSpillStore(directory: string, options: SpillStoreOptions = {}): SpillStore {
  const { disk = realDisk } = options;
  const segmentUnits = Math.min(SEGMENT_UNITS, (options.segmentBytes ?? SEGMENT_BYTES) / 8);
  /** All segments whose files are there and that this process has opened, by number. */
  const segments = new Map<number, Segment>();
  let tail: Segment | undefined;
  /** Numbers of files that are there from the time before; undefined until the folder has been read. */
  let strangers: Set<number> | undefined;
  let lastNumber = 0;
  let folderChanged = false;
  const writer = createSpillWriter(disk);
  const fetched = new Map<number, Float64Array>();
  /** Segments of the newest checkpoints of this process. */
  const kept: Set<number>[] = [];
  let blocks = 0;
  let liveUnits = 0;
  let spilled = 0;
  const returned = { ahead: 0, within: 0, unwritten: 0 };
  let closed = false;
  /** Is being emptied. */
  let tidying: Segment | undefined;
  /** Grows to the longest entry. */
  let scratch = new Float64Array(READ_BYTES / 8);

  const readFolder = (): Set<number> => {
    if (strangers !== undefined) return strangers;
    let names: string[] = [];
    try {
      names = disk.readdirSync(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    strangers = new Set(names.flatMap((name) => (FILE_NAME.test(name) ? [Number(name.slice(6))] : [])));
    lastNumber = Math.max(lastNumber, ...strangers);
    return strangers;
  };

  // -- putting and taking ------------------------------------------------------------------------------------------------

  const beginSegment = (): Segment => {
    readFolder();
    if (segments.size >= SEGMENTS_MAX) {
      throw new RingfenceError({
        code: 'spill.full',
        message: `The store of spilled keys has ${SEGMENTS_MAX} segments of ${SEGMENT_BYTES / 1024 ** 2} MiB.`,
        hint: 'Raise residentKeysMax and residentBytesMax, or spread the subscribers over more partitions.',
      });
    }
    if (tail !== undefined) writer.endChunk(tail);
    disk.mkdirSync(directory, { recursive: true });
    let file = -1;
    while (file < 0) {
      try {
        // Never a file that is there: it may be that of a process which does not know yet that it was replaced.
        file = disk.openSync(segmentPath(directory, ++lastNumber), 'wx+');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
    }
    folderChanged = true;
    tail = {
      number: lastNumber,
      file,
      units: 0,
      entries: 0,
      liveEntries: 0,
      liveUnits: 0,
      live: new Uint8Array(1_024),
      dirty: false,
      chunks: [],
    };
    segments.set(tail.number, tail);
    return tail;
  };

  const put: Spill['put'] = (label, labelUnits, f64, from, units) => {
    const whole = HEAD_UNITS + labelUnits + units;
    let segment = tail;
    if (writer.waiting() >= CHUNKS_MAX) return 0;
    if (segment === undefined || segment.units + whole > segmentUnits) {
      try {
        segment = beginSegment();
      } catch (error) {
        if (!isDiskTrouble(error)) throw error;
        writer.setTrouble((error as Error).message);
        return 0;
      }
    }
    const chunk = writer.chunkFor(segment, whole);
    const at = chunk.filledUnits;
    const { u32, bytes } = chunk;
    u32[at * 2 + 1] = labelUnits + units;
    u32[at * 2 + 2] = segment.entries;
    u32[at * 2 + 3] = segment.number;
    u32[at * 2 + 4] = labelUnits;
    for (let unit = 0; unit < labelUnits; unit++) chunk.f64[at + HEAD_UNITS + unit] = label[unit]!;
    chunk.f64.set(f64.subarray(from, from + units), at + HEAD_UNITS + labelUnits);
    u32[at * 2] = crc32(bytes.subarray(at * 8 + 4, (at + whole) * 8));
    chunk.filledUnits += whole;
    const reference = segment.number * SEGMENT_UNITS + segment.units;
    segment.units += whole;
    const entry = segment.entries++;
    if (entry >> 3 >= segment.live.length) {
      const wider = new Uint8Array(segment.live.length * 2);
      wider.set(segment.live);
      segment.live = wider;
    }
    segment.live[entry >> 3]! |= 1 << (entry & 7);
    segment.liveEntries++;
    segment.liveUnits += whole;
    blocks++;
    liveUnits += whole;
    return reference;
  };

  const bury = (segment: Segment, entry: number, whole: number): void => {
    segment.live[entry >> 3]! &= ~(1 << (entry & 7));
    segment.liveEntries--;
    segment.liveUnits -= whole;
    blocks--;
    liveUnits -= whole;
  };

  /** What is wrong with the entry that begins at unit `at` of these; '' where nothing is. */
  const check = (u32: Uint32Array, bytes: Uint8Array, at: number, segment: number): string => {
    const head = at * 2;
    const units = HEAD_UNITS + u32[head + 1]!;
    if (u32[head + 3] !== segment || u32[head + 4]! > u32[head + 1]! || at + units > bytes.length / 8)
      return 'an entry is no entry';
    return crc32(bytes.subarray(at * 8 + 4, (at + units) * 8)) === u32[head] ? '' : 'a checksum does not match';
  };

  const damaged = (segment: number, detail: string): RingfenceError =>
    new RingfenceError({
      code: 'spill.damaged',
      message: `Segment ${segmentPath(directory, segment)} of the spilled keys is damaged: ${detail}.`,
      hint: 'Start again: an older checkpoint is taken, or the state is made anew from the stream.',
    });

  /** The entry in memory where it waits for the disk, as the unit at which it begins in its chunk. */
  const waiting = (segment: Segment, at: number): Chunk | undefined => {
    for (const chunk of segment.chunks) if (at >= chunk.start && at < chunk.start + chunk.filledUnits) return chunk;
    return undefined;
  };

  /** Memory for what is read ahead, from batch to batch. */
  const piecesAhead: Float64Array[] = [];
  const roomAhead = (index: number): Float64Array => {
    const piece = Math.floor(index / ENTRIES_OF_PIECE);
    piecesAhead[piece] ??= new Float64Array((ENTRIES_OF_PIECE * READ_BYTES) / 8);
    const at = ((index % ENTRIES_OF_PIECE) * READ_BYTES) / 8;
    return piecesAhead[piece].subarray(at, at + READ_BYTES / 8);
  };

  const readNow = (segment: Segment, at: number): Float64Array => {
    const begun = performance.now();
    const fill = (fromUnit: number, toUnit: number): number => {
      const into = new Uint8Array(scratch.buffer, fromUnit * 8, (toUnit - fromUnit) * 8);
      try {
        return disk.readSync(segment.file, into, 0, into.length, (at + fromUnit) * 8);
      } catch (error) {
        throw damaged(segment.number, unreadable(error));
      }
    };
    const first = fill(0, READ_BYTES / 8);
    if (first < HEAD_BYTES) throw damaged(segment.number, 'it is cut short');
    const units = HEAD_UNITS + new Uint32Array(scratch.buffer)[1]!;
    if (units > ENTRY_UNITS_MAX) throw damaged(segment.number, 'an entry is no entry');
    let bytes = first - (first % 8);
    if (units * 8 > bytes) {
      if (units > scratch.length) {
        const longer = new Float64Array(units);
        longer.set(scratch);
        scratch = longer;
      }
      bytes += fill(bytes / 8, units);
      if (bytes < units * 8) throw damaged(segment.number, 'it is cut short');
    }
    options.onRead?.((performance.now() - begun) / 1000);
    return scratch.subarray(0, units);
  };

  const take = (reference: number): Float64Array => {
    const number = Math.floor(reference / SEGMENT_UNITS);
    const at = reference % SEGMENT_UNITS;
    const segment = segments.get(number);
    if (segment === undefined) throw new Error(`no segment ${number} of spilled keys`);
    const chunk = waiting(segment, at);
    let entry = fetched.get(reference);
    if (chunk !== undefined) {
      const begin = at - chunk.start;
      entry = chunk.f64.subarray(begin, begin + HEAD_UNITS + chunk.u32[begin * 2 + 1]!);
      returned.unwritten++;
    } else if (entry !== undefined) {
      fetched.delete(reference);
      returned.ahead++;
    } else {
      entry = readNow(segment, at);
      returned.within++;
    }
    const u32 = new Uint32Array(entry.buffer, entry.byteOffset, HEAD_UNITS * 2);
    if (chunk === undefined) {
      const bytes = new Uint8Array(entry.buffer, entry.byteOffset, entry.byteLength);
      const wrong = check(u32, bytes, 0, number);
      if (wrong !== '') throw damaged(number, wrong);
    }
    bury(segment, u32[2]!, entry.length);
    return entry.subarray(HEAD_UNITS + u32[4]!);
  };

  // -- writing -----------------------------------------------------------------------------------------------------------

  const syncAll = async (): Promise<void> => {
    for (const segment of segments.values()) {
      if (!segment.dirty) continue;
      segment.dirty = false;
      try {
        await disk.sync(segment.file);
      } catch (error) {
        // What a failed flush has lost is not written by the next one. The checkpoint before this still holds.
        throw new RingfenceError({
          code: 'spill.sync',
          message: `Spilled keys could not be flushed to the disk: ${(error as Error).message}.`,
          hint: 'Look at the disk of the data folder, then start again: the last checkpoint is taken.',
          cause: error,
        });
      }
    }
    if (!folderChanged) return;
    folderChanged = false;
    await disk.syncFolder(directory);
  };

  // -- a checkpoint, and what follows from it ----------------------------------------------------------------------------

  const cut = (): SpilledCut => ({
    segments: [...segments.values()]
      .filter(({ liveEntries }) => liveEntries > 0)
      .map(({ number, units, entries, live }) => ({
        number,
        units,
        entries,
        live: Buffer.from(live.buffer, live.byteOffset, Math.ceil(entries / 8)).toString('base64'),
      })),
  });

  const remove = async (number: number): Promise<void> => {
    const segment = segments.get(number);
    segments.delete(number);
    readFolder().delete(number);
    if (segment !== undefined) await disk.close(segment.file);
    disk.rmSync(segmentPath(directory, number), { force: true });
  };

  /**
   * Goes through the entries of a segment up to `units`; what is wrong is returned. `visit` gets each one as the units at `at` of a
   * piece and its place in the segment, and may wait.
   */
  const walk = async (
    { number, file }: Pick<Segment, 'number' | 'file'>,
    units: number,
    visit: (
      piece: Float64Array,
      at: number,
      units: number,
      place: number,
      u32: Uint32Array,
    ) => Promise<void> | undefined,
  ): Promise<string> => {
    const piece = new Float64Array(ENTRY_UNITS_MAX);
    const u32 = new Uint32Array(piece.buffer);
    const bytes = new Uint8Array(piece.buffer);
    let held = 0;
    let from = 0;
    while (from < units) {
      const wanted = Math.min(piece.length, units - from) * 8;
      while (held < wanted) {
        const read = await disk.read(file, bytes, held, wanted - held, from * 8 + held).catch(unreadable);
        if (typeof read === 'string') return read;
        if (read.bytesRead === 0) return 'it is cut short';
        held += read.bytesRead;
      }
      let at = 0;
      const end = wanted / 8;
      while (at + HEAD_UNITS <= end) {
        const whole = HEAD_UNITS + u32[at * 2 + 1]!;
        if (whole > ENTRY_UNITS_MAX) return 'an entry is no entry';
        if (at + whole > end) break;
        const wrong = check(u32, bytes, at, number);
        if (wrong !== '') return wrong;
        // Waiting for nothing a million times takes a second.
        const waits = visit(piece, at, whole, from + at, u32);
        if (waits !== undefined) await waits;
        at += whole;
      }
      if (at === 0) return 'an entry is no entry';
      from += at;
      piece.copyWithin(0, at, end);
      held -= at * 8;
      if (from >= units) break;
    }
    return '';
  };

  const store: SpillStore = {
    put(label, labelUnits, f64, from, units) {
      const reference = put(label, labelUnits, f64, from, units);
      if (reference !== 0) spilled++;
      return reference;
    },
    take,
    cut,
    async fetch(references) {
      fetched.clear();
      const wanted = references
        .slice(0, FETCHED_MAX)
        .sort((a, b) => a - b)
        .filter((reference, index, all) => reference !== all[index - 1]);
      let next = 0;
      let used = 0;
      /** The next entry, and the memory for it; undefined where it needs none. */
      const toRead = (): { segment: Segment; reference: number; entry: Float64Array } | undefined => {
        const reference = wanted[next++]!;
        const segment = segments.get(Math.floor(reference / SEGMENT_UNITS));
        if (segment === undefined || waiting(segment, reference % SEGMENT_UNITS) !== undefined) return undefined;
        return { segment, reference, entry: roomAhead(used++) };
      };
      const keep = (reference: number, entry: Float64Array, bytes: number): void => {
        const units = HEAD_UNITS + new Uint32Array(entry.buffer, entry.byteOffset, 2)[1]!;
        // One that is too long is read by who takes it.
        if (bytes >= HEAD_BYTES && units * 8 <= bytes) fetched.set(reference, entry.subarray(0, units));
      };
      const limit = performance.now() + READS_IN_TURN_MS;
      while (next < wanted.length && performance.now() < limit) {
        const read = toRead();
        if (read === undefined) continue;
        const { segment, reference, entry } = read;
        const at = (reference % SEGMENT_UNITS) * 8;
        const into = new Uint8Array(entry.buffer, entry.byteOffset, READ_BYTES);
        try {
          keep(reference, entry, disk.readSync(segment.file, into, 0, READ_BYTES, at));
        } catch (error) {
          throw damaged(segment.number, unreadable(error));
        }
      }
      const readSome = async (): Promise<void> => {
        while (next < wanted.length) {
          const read = toRead();
          if (read === undefined) continue;
          const { segment, reference, entry } = read;
          const at = (reference % SEGMENT_UNITS) * 8;
          try {
            const { bytesRead } = await disk.read(
              segment.file,
              new Uint8Array(entry.buffer, entry.byteOffset, READ_BYTES),
              0,
              READ_BYTES,
              at,
            );
            keep(reference, entry, bytesRead);
          } catch {
            // The segment may have been emptied and closed meanwhile; anything else is met again by who takes the entry.
          }
        }
      };
      if (next < wanted.length) await Promise.all(Array.from({ length: READS_AT_ONCE }, readSome));
    },
    isFull: () => writer.waiting() > CHUNKS_WAITING_MAX,
    async room() {
      for (;;) {
        await writer.writeClosed();
        if (closed || (writer.trouble() === '' && writer.waiting() <= CHUNKS_WAITING_MAX)) return;
        // A new segment that could not be begun has nothing that is tried again by itself.
        if (writer.waiting() <= CHUNKS_WAITING_MAX) writer.setTrouble('');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    },
    trouble: writer.trouble,
    flush: () => writer.writeAll(syncAll),
    async stored({ segments: noted }) {
      kept.push(new Set(noted.map(({ number }) => number)));
      if (kept.length < GENERATIONS_KEPT) return;
      if (kept.length > GENERATIONS_KEPT) kept.shift();
      const isNeeded = (number: number): boolean => kept.some((numbers) => numbers.has(number));
      for (const number of [...readFolder()]) if (!isNeeded(number) && !segments.has(number)) await remove(number);
      for (const segment of [...segments.values()]) {
        const { number, liveEntries } = segment;
        if (liveEntries > 0 || segment === tail || segment === tidying || isNeeded(number)) continue;
        if (segment.chunks.length === 0) await remove(number);
      }
    },
    async load({ segments: noted }) {
      for (const { file } of segments.values()) await disk.close(file);
      segments.clear();
      blocks = 0;
      liveUnits = 0;
      readFolder();
      /** Of each block its reference, the length of its label, and the label; in pieces, because they are many. */
      const pieces: { f64: Float64Array; filled: number }[] = [];
      for (const { number, units, entries, live } of noted) {
        let file: number;
        try {
          file = disk.openSync(segmentPath(directory, number), 'r');
        } catch (error) {
          return { damage: `segment ${number} of the spilled keys: ${(error as Error).message}` };
        }
        const bits = new Uint8Array(Buffer.from(live, 'base64'));
        const segment: Segment = {
          number,
          file,
          units,
          entries,
          liveEntries: 0,
          liveUnits: 0,
          live: bits,
          dirty: false,
          chunks: [],
        };
        segments.set(number, segment);
        let found = 0;
        const wrong = await walk(segment, units, (entries, at, whole, place, u32) => {
          const ordinal = u32[at * 2 + 2]!;
          if (ordinal === found) found++;
          if (((bits[ordinal >> 3] ?? 0) & (1 << (ordinal & 7))) === 0) return undefined;
          segment.liveEntries++;
          segment.liveUnits += whole;
          const labelUnits = u32[at * 2 + 4]!;
          let piece = pieces.at(-1);
          if (piece === undefined || piece.filled + 2 + labelUnits > piece.f64.length) {
            piece = { f64: new Float64Array(CHUNK_UNITS), filled: 0 };
            pieces.push(piece);
          }
          const { f64, filled } = piece;
          f64[filled] = number * SEGMENT_UNITS + place;
          f64[filled + 1] = labelUnits;
          for (let unit = 0; unit < labelUnits; unit++) f64[filled + 2 + unit] = entries[at + HEAD_UNITS + unit]!;
          piece.filled += 2 + labelUnits;
          return undefined;
        });
        if (wrong !== '') return { damage: `segment ${number} of the spilled keys: ${wrong}` };
        if (found !== entries) return { damage: `segment ${number} of the spilled keys: entries are missing` };
        blocks += segment.liveEntries;
        liveUnits += segment.liveUnits;
      }
      return {
        labels(visit) {
          for (const { f64, filled } of pieces) {
            for (let at = 0; at < filled; ) {
              const end = at + 2 + f64[at + 1]!;
              visit(f64[at]!, f64.subarray(at + 2, end));
              at = end;
            }
          }
        },
      };
    },
    async tidy(moved) {
      if (tidying !== undefined || closed) return;
      try {
        for (;;) {
          let worst: Segment | undefined;
          let dead = 0;
          for (const segment of segments.values()) {
            if (segment === tail || segment.liveEntries === 0 || segment.chunks.length > 0) continue;
            dead += segment.units - segment.liveUnits;
            if (worst === undefined || segment.liveUnits * worst.units < worst.liveUnits * segment.units)
              worst = segment;
          }
          if (worst === undefined || dead <= liveUnits + segmentUnits) return;
          const from = worst;
          tidying = from;
          const wrong = await walk(from, from.units, (entries, at, whole, place, u32) => {
            const ordinal = u32[at * 2 + 2]!;
            if ((from.live[ordinal >> 3]! & (1 << (ordinal & 7))) === 0) return undefined;
            const labelUnits = u32[at * 2 + 4]!;
            const block = at + HEAD_UNITS + labelUnits;
            const label = entries.subarray(at + HEAD_UNITS, block);
            const to = put(label, labelUnits, entries, block, at + whole - block);
            // A disk that is full: it stays where it is.
            if (to === 0) return undefined;
            bury(from, ordinal, whole);
            moved(label, from.number * SEGMENT_UNITS + place, to);
            return writer.waiting() > CHUNKS_WAITING_MAX ? store.room() : undefined;
          });
          if (wrong !== '') throw damaged(from.number, wrong);
          if (closed || from.liveEntries > 0) return;
        }
      } finally {
        tidying = undefined;
      }
    },
    stats() {
      let diskUnits = 0;
      for (const { units } of segments.values()) diskUnits += units;
      return {
        blocks,
        bytes: liveUnits * 8,
        diskBytes: diskUnits * 8,
        segments: segments.size,
        chunksWaiting: writer.waiting(),
        spilled,
        returned: { ...returned },
      };
    },
    async close() {
      closed = true;
      await writer.close();
      for (const { file } of segments.values()) await disk.close(file);
      segments.clear();
    },
  };
  return store;
}
