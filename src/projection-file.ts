/**
 * SQLite files that are projections of streams: what is in them can be made again, so a file that is damaged, of another form or
 * filled under another policy is removed and filled again.
 *
 * SQLite itself has no checksums: a bit that flips in a text is served as it is. So a file that is closed in order leaves its size
 * and CRC-32 beside it (`.sum`), and is taken up again only where they are the same. After a kill there is no sum, and the file is
 * looked at as far as SQLite can look.
 *
 * Nothing is flushed to the disk, because a flush every thousand pages stopped the pipeline for 8 to 13 ms and was two thirds of
 * the cost of storing alerts (90 us for each transaction, 35 without). What a process wrote outlives it, but not the machine:
 * the run of the system stands beside the file (`.boot`), and a file that was left open in an earlier run is removed.
 */
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';

/** Page cache of SQLite, in KiB. */
const CACHE_KIB = 16_384;
/** Linux names each run of the system; where there is no such name, no file that was left open is trusted. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** Read at a time for the sum: half a gigabyte takes half a second. */
const PIECE_BYTES = 1024 * 1024;

export interface ProjectionFile {
  db: DatabaseSync;
  close(): void;
}

/**
 * Opens the file, or memory for `:memory:`.
 * @param options.form stands in `user_version`, counts up when the tables change
 * @param options.policy what else the rows depend on; stands in the table `meta` (name, value), which `tables` must make
 */
export function openProjection(
  path: string,
  options: { form: number; tables: string; policy?: string },
): ProjectionFile {
  const { form, tables, policy } = options;
  const onDisk = path !== ':memory:';
  const sumPath = `${path}.sum`;
  const bootPath = `${path}.boot`;
  const remove = (): void => {
    for (const suffix of ['', '-wal', '-shm', '.sum']) rmSync(path + suffix, { force: true });
  };
  if (onDisk) {
    const sum = readIfThere(sumPath);
    const boot = readIfThere(BOOT_ID) ?? '';
    const isTrusted = sum !== undefined ? sum === sumOf(path) : boot !== '' && readIfThere(bootPath) === boot;
    if (!isTrusted) remove();
    writeFileSync(bootPath, boot);
    // From here on the file changes.
    rmSync(sumPath, { force: true });
  }

  const open = (): DatabaseSync | undefined => {
    const db = new DatabaseSync(path);
    try {
      db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -${CACHE_KIB}`);
      const found = db.prepare('PRAGMA user_version').get()?.user_version;
      if (found === 0 && db.prepare('SELECT count(*) AS n FROM sqlite_master').get()?.n === 0) {
        db.exec(`BEGIN; ${tables}; PRAGMA user_version = ${form}; COMMIT`);
        if (policy !== undefined) db.prepare("INSERT INTO meta (name, value) VALUES ('policy', ?)").run(policy);
        return db;
      }
      const sound = found === form && db.prepare('PRAGMA quick_check(1)').get()?.quick_check === 'ok';
      const same = (): boolean =>
        policy === undefined || db.prepare("SELECT value FROM meta WHERE name = 'policy'").get()?.value === policy;
      if (sound && same()) return db;
    } catch (error) {
      db.close();
      if (!onDisk || !isSqliteError(error)) throw error;
      return undefined;
    }
    db.close();
    return undefined;
  };
  let db = open();
  if (db === undefined) {
    remove();
    db = open();
  }
  if (db === undefined) throw new Error(`a new database in ${path} is not usable`);
  const opened = db;
  return {
    db: opened,
    close() {
      opened.close();
      // Closing takes the write-ahead log into the file, unless another process has it open too.
      if (onDisk && readIfThere(`${path}-wal`) === undefined) writeFileSync(sumPath, sumOf(path));
    },
  };
}

function isSqliteError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Size and CRC-32 of a file; of one that is not there '', which no sum is. */
function sumOf(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let size = 0;
    let sum = 0;
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      sum = crc32(piece.subarray(0, read), sum);
      size += read;
    }
    return `${size} ${(sum >>> 0).toString(16).padStart(8, '0')}\n`;
  } finally {
    closeSync(file);
  }
}
