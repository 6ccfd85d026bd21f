/**
 * Checksums of the pages of a SQLite file, which has none itself: a bit that flips in a text would be served as it is.
 *
 * ```
 * commit ──> .sqlite-wal, whose frames have checksums of SQLite's
 *               │ when it has become long: pages into the file, then their sums
 *            .sqlite, not written otherwise     .pages: state, number of sums, CRC-32 of each page
 * ```
 *
 * So whatever is written between two of these moves is in the log, of which SQLite takes nothing behind a damaged frame: the file
 * is then as of an earlier commit, which is as good. While pages move, the state says so, and a file that is found so is not
 * trusted. A loadable extension of SQLite keeps sums inside the pages (cksumvfs), but would have to be compiled for each machine.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';

export const PAGE_BYTES = 4_096;
/** So many pages in the log are moved into the file: 4 MB. */
const LOG_FRAMES_MAX = 1_000;
/** The log as SQLite writes it: a header, and before each page another one, with its number from 1 on, and the salts of the first. */
const LOG_HEADER_BYTES = 32;
const LOG_SALTS_AT = 16;
const FRAME_HEADER_BYTES = 24;
const FRAME_SALTS_AT = 8;
const SALTS_BYTES = 8;
const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;
/** Read at a time for the sums: half a gigabyte takes half a second. */
const PIECE_BYTES = 256 * PAGE_BYTES;

/** Of `.pages`: one of these, and the number of sums; all little-endian. A sum of 0 is that of a page that was never written. */
const HEADER_BYTES = 8;
const SUM_BYTES = 4;
const STATES = { moving: 0x4d4f5645, settled: 0x53455454, closed: 0x434c4f53 } as const;

export interface PageSums {
  /** Moves the log into the file where it has become long. Not inside a transaction. */
  moveLongLog(): void;
  /** The same however long it is. */
  moveLog(): void;
  /** After the database has been closed. @param inOrder all has been moved, and no other process has the file open */
  close(inOrder: boolean): void;
}

const pagesPathOf = (path: string): string => `${path}.pages`;

/**
 * How the file was left, where each page is as it was written: `closed` in order, or `settled`, and what came later is in its log.
 * Undefined where a page is not, or nobody knows. Not to be called while this process has the file open: closing it here would let
 * go of the locks that SQLite has on it.
 */
export function soundState(path: string): 'closed' | 'settled' | undefined {
  if (!existsSync(path) || !existsSync(pagesPathOf(path))) return undefined;
  const sums = readFileSync(pagesPathOf(path));
  if (sums.length < HEADER_BYTES) return undefined;
  const state = (['closed', 'settled'] as const).find((one) => STATES[one] === sums.readUInt32LE(0));
  const count = sums.readUInt32LE(SUM_BYTES);
  if (state === undefined || sums.length !== HEADER_BYTES + count * SUM_BYTES) return undefined;
  const sumAt = (page: number): number => sums.readUInt32LE(HEADER_BYTES + page * SUM_BYTES);
  const file = openSync(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let page = 0;
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      for (let at = 0; at < read; at += PAGE_BYTES, page++) {
        const sum = page < count ? sumAt(page) : 0;
        if (sum !== 0 && sum !== sumOf(piece.subarray(at, Math.min(at + PAGE_BYTES, read)))) return undefined;
      }
    }
    for (; page < count; page++) if (sumAt(page) !== 0) return undefined;
  } finally {
    closeSync(file);
  }
  return state;
}

/** @param db the file, new or sound, in WAL mode, with pages of PAGE_BYTES and nobody else to move the log */
export function openPageSums(path: string, db: DatabaseSync): PageSums {
  const pagesPath = pagesPathOf(path);
  const logPath = `${path}-wal`;
  const isNew = !existsSync(pagesPath);
  const sums = openSync(pagesPath, isNew ? 'wx' : 'r+');
  // Stays open as long as the database: see soundState.
  const file = openSync(path, 'r');
  /** Header and sums as they are in `.pages`, and room for more. */
  let known = isNew ? Buffer.alloc(HEADER_BYTES) : readFileSync(pagesPath);
  let count = isNew ? 0 : known.readUInt32LE(SUM_BYTES);
  const say = (state: keyof typeof STATES): void => {
    known.writeUInt32LE(STATES[state], 0);
    known.writeUInt32LE(count, SUM_BYTES);
    writeSync(sums, known, 0, HEADER_BYTES, 0);
  };
  const pageBytes = Buffer.alloc(PAGE_BYTES);
  /** Puts down the sums of pages as they are in the file; of those beyond its end there are none. */
  const note = (pages: Iterable<number>): void => {
    let first = Number.POSITIVE_INFINITY;
    let last = -1;
    for (const page of pages) {
      if (readSync(file, pageBytes, 0, PAGE_BYTES, page * PAGE_BYTES) < PAGE_BYTES) continue;
      const at = HEADER_BYTES + page * SUM_BYTES;
      if (at + SUM_BYTES > known.length) {
        const longer = Buffer.alloc(2 * (at + SUM_BYTES));
        known.copy(longer);
        known = longer;
      }
      known.writeUInt32LE(sumOf(pageBytes), at);
      first = Math.min(first, at);
      last = Math.max(last, at + SUM_BYTES);
      count = Math.max(count, page + 1);
    }
    // In one piece: half a megabyte takes less than hundreds of single sums.
    if (last >= 0) writeSync(sums, known, first, last - first, first);
  };

  /** SQLite writes a log from its begin again once all of it has been moved, under other salts; the rest of the file is old then. */
  let movedSalts = '';
  let log: number | undefined;
  const readLog = (into: Buffer, at: number): boolean => {
    log ??= existsSync(logPath) ? openSync(logPath, 'r') : undefined;
    return log !== undefined && readSync(log, into, 0, into.length, at) === into.length;
  };
  const logHeader = Buffer.alloc(LOG_HEADER_BYTES);
  const frameHeader = Buffer.alloc(FRAME_HEADER_BYTES);
  const saltsOf = (bytes: Buffer, at: number): string => bytes.toString('latin1', at, at + SALTS_BYTES);

  const moveLog = (): void => {
    if (!readLog(logHeader, 0)) return;
    const salts = saltsOf(logHeader, LOG_SALTS_AT);
    // Some may not count: those are in the file as they were.
    const pages = new Set<number>();
    for (let at = LOG_HEADER_BYTES; readLog(frameHeader, at); at += FRAME_BYTES) {
      if (saltsOf(frameHeader, FRAME_SALTS_AT) !== salts) break;
      pages.add(frameHeader.readUInt32BE(0) - 1);
    }
    pages.delete(-1);
    say('moving');
    const moved = db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
    note(pages);
    // Where another process is in it, the rest is moved the next time, and nothing is trusted until then.
    if (moved?.['busy'] !== 0 || moved['log'] !== moved['checkpointed']) return;
    say('settled');
    movedSalts = salts;
  };

  // What came before the log is in the file.
  if (isNew) note(Array.from({ length: Math.ceil(fstatSync(file).size / PAGE_BYTES) }, (_, page) => page));
  say('settled');
  moveLog();
  return {
    moveLongLog() {
      if (!readLog(frameHeader, LOG_HEADER_BYTES + LOG_FRAMES_MAX * FRAME_BYTES)) return;
      readLog(logHeader, 0);
      const salts = saltsOf(logHeader, LOG_SALTS_AT);
      if (salts !== movedSalts && saltsOf(frameHeader, FRAME_SALTS_AT) === salts) moveLog();
    },
    moveLog,
    close(inOrder) {
      if (inOrder) say('closed');
      for (const one of [file, sums, log]) if (one !== undefined) closeSync(one);
    },
  };
}

/** CRC-32, never 0. */
const sumOf = (bytes: Uint8Array): number => crc32(bytes) >>> 0 || 1;
