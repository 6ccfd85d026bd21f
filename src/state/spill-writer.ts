/**
 * How entries of spilled keys reach the disk: they are gathered in chunks, one chunk after the other is written when it is full, and
 * a disk that takes nothing is tried again. Written is not durable; who needs that flushes the segments behind `writeAll`.
 */
import type { SpillDisk } from './spill-disk.ts';

/** Entries are gathered to this size before they are written. */
export const CHUNK_UNITS = 131_072;
/** So many chunks may wait for the disk before records wait for them: 16 MiB. */
export const CHUNKS_WAITING_MAX = 16;
/** Beyond this one is written at once, whoever waits for it: thousands of timers can be due at one record. */
const CHUNKS_BEFORE_SYNC = 24;
/** And beyond this nothing is taken any more, so that a disk that is full does not fill the memory: 128 MiB. */
export const CHUNKS_MAX = 128;
/** After a write that the disk did not take. */
export const RETRY_MS = 250;

/** What the writer knows of a segment. */
export interface SegmentFile {
  file: number;
  /** Where the next entry goes. */
  units: number;
  /** It has bytes that are not flushed. */
  dirty: boolean;
  /** What is not written yet, in order. */
  chunks: Chunk[];
}

export interface Chunk {
  segment: SegmentFile;
  /** Unit of its first entry in the segment. */
  start: number;
  f64: Float64Array;
  u32: Uint32Array;
  bytes: Uint8Array;
  filledUnits: number;
  writtenUnits: number;
  /** Nothing more is put into it. */
  closed: boolean;
}

export interface SpillWriter {
  /** The chunk into which an entry of so many units goes, behind the last one of the segment. */
  chunkFor(segment: SegmentFile, units: number): Chunk;
  /** Nothing more is put into the segment's last chunk. */
  endChunk(segment: SegmentFile): void;
  /** Chunks that are not written yet. */
  waiting(): number;
  /** Resolves when what can be written is, or the disk takes nothing. */
  writeClosed(): Promise<void>;
  /** Writes everything, then does `flush` before anything else is written. @throws what either of them throws */
  writeAll(flush: () => Promise<void>): Promise<void>;
  /** Why the disk takes nothing at the moment; empty where it does. */
  trouble(): string;
  /** What whoever begins a segment has met, or not any more. */
  setTrouble(detail: string): void;
  /** Resolves when nothing is on its way to the disk. */
  close(): Promise<void>;
}

export function createSpillWriter(disk: SpillDisk): SpillWriter {
  const queue: Chunk[] = [];
  let troubled = '';
  let retry: NodeJS.Timeout | undefined;

  const endChunk = (segment: SegmentFile): void => {
    const chunk = segment.chunks.at(-1);
    if (chunk === undefined || chunk.closed) return;
    chunk.closed = true;
    if (chunk.writtenUnits === chunk.filledUnits) drop(chunk);
    else void writeClosed();
  };
  const drop = (chunk: Chunk): void => {
    for (const list of [queue, chunk.segment.chunks]) {
      const index = list.indexOf(chunk);
      if (index >= 0) list.splice(index, 1);
    }
  };

  /** The chunk into which an entry of so many units goes. */
  const chunkFor = (segment: SegmentFile, units: number): Chunk => {
    const last = segment.chunks.at(-1);
    if (last !== undefined && !last.closed && last.filledUnits + units <= last.f64.length) return last;
    endChunk(segment);
    if (queue.length >= CHUNKS_BEFORE_SYNC) writeFirst();
    const f64 = new Float64Array(Math.max(CHUNK_UNITS, units));
    const chunk: Chunk = {
      segment,
      start: segment.units,
      f64,
      u32: new Uint32Array(f64.buffer),
      bytes: new Uint8Array(f64.buffer),
      filledUnits: 0,
      writtenUnits: 0,
      closed: false,
    };
    segment.chunks.push(chunk);
    queue.push(chunk);
    return chunk;
  };

  const written = (chunk: Chunk, upTo: number): void => {
    chunk.segment.dirty = true;
    chunk.writtenUnits = Math.max(chunk.writtenUnits, upTo);
    if (chunk.closed && chunk.writtenUnits === chunk.filledUnits) drop(chunk);
  };
  /** One after the other; an error ends the turn of who met it. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work);
    turn = done.catch(() => {});
    return done;
  };
  const writeChunk = async (chunk: Chunk): Promise<void> => {
    const upTo = chunk.filledUnits;
    for (let at = chunk.writtenUnits * 8; at < upTo * 8; ) {
      const { bytesWritten } = await disk.write(
        chunk.segment.file,
        chunk.bytes,
        at,
        upTo * 8 - at,
        chunk.start * 8 + at,
      );
      at += bytesWritten;
    }
    written(chunk, upTo);
    troubled = '';
  };
  /** Never rejects: a disk that takes nothing is tried again later. */
  const writeClosed = (): Promise<void> =>
    inTurn(async () => {
      try {
        while (queue[0]?.closed) await writeChunk(queue[0]);
      } catch (error) {
        troubled = (error as Error).message;
        retry ??= setTimeout(() => {
          retry = undefined;
          void writeClosed();
        }, RETRY_MS).unref();
      }
    });
  /** The first chunk, now. Where another write of it is on its way, both write the same. */
  const writeFirst = (): void => {
    const chunk = queue.find((one) => one.closed);
    if (chunk === undefined) return;
    try {
      const upTo = chunk.filledUnits * 8;
      for (let at = chunk.writtenUnits * 8; at < upTo; )
        at += disk.writeSync(chunk.segment.file, chunk.bytes, at, upTo - at, chunk.start * 8 + at);
      written(chunk, chunk.filledUnits);
    } catch (error) {
      troubled = (error as Error).message;
    }
  };

  return {
    chunkFor,
    endChunk,
    waiting: () => queue.length,
    writeClosed,
    writeAll: (flush) =>
      inTurn(async () => {
        for (const chunk of [...queue]) await writeChunk(chunk);
        await flush();
      }),
    trouble: () => troubled,
    setTrouble(detail) {
      troubled = detail;
    },
    async close() {
      clearTimeout(retry);
      await turn;
    },
  };
}
