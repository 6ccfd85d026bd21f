/**
 * SQLite files that are projections of streams: what is in them can be made again, so a file that is damaged, of another form or
 * filled under another policy is removed and filled again. Each page has a checksum beside the file (projection-pages.ts), and
 * all are looked at when it is opened.
 *
 * Nothing is flushed to the disk, because a flush every thousand pages stopped the pipeline for 8 to 13 ms and was two thirds of
 * the cost of storing alerts (90 us for each transaction, 35 without). What a process wrote outlives it, but not the machine:
 * the run of the system stands beside the file (`.boot`), and a file that was left open in an earlier run is removed.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isDiskTrouble } from './errors.ts';
import { openPageSums, PAGE_BYTES, type PageSums, soundState } from './projection-pages.ts';

/** Page cache of SQLite, in KiB. */
const CACHE_KIB = 16_384;
/** Linux names each run of the system; where there is no such name, no file that was left open is trusted. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export interface ProjectionFile {
  db: DatabaseSync;
  /** All that `write` does, or nothing where it throws. */
  transaction<T>(write: () => T): T;
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
  const bootPath = `${path}.boot`;
  const remove = (): void => {
    for (const suffix of ['', '-wal', '-shm', '.pages']) rmSync(path + suffix, { force: true });
  };
  if (onDisk) {
    const boot = readIfThere(BOOT_ID) ?? '';
    const state = soundState(path);
    // A log that was there when the machine went down may have come back.
    if (state === 'closed') rmSync(`${path}-wal`, { force: true });
    else if (state === undefined || boot === '' || readIfThere(bootPath) !== boot) remove();
    writeFileSync(bootPath, boot);
  }

  const open = (): DatabaseSync | undefined => {
    const db = new DatabaseSync(path);
    try {
      db.exec(`
        PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        PRAGMA synchronous = OFF; PRAGMA cache_size = -${CACHE_KIB}`);
      const found = db.prepare('PRAGMA user_version').get()?.user_version;
      if (found === 0 && db.prepare('SELECT count(*) AS n FROM sqlite_master').get()?.n === 0) {
        db.exec(`BEGIN; ${tables}; PRAGMA user_version = ${form}; COMMIT`);
        if (policy !== undefined) db.prepare("INSERT INTO meta (name, value) VALUES ('policy', ?)").run(policy);
        return db;
      }
      const isSame = (): boolean =>
        policy === undefined || db.prepare("SELECT value FROM meta WHERE name = 'policy'").get()?.value === policy;
      if (found === form && isSame()) return db;
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
  const sums = onDisk ? openPageSums(path, opened) : undefined;
  return {
    db: opened,
    transaction(write) {
      sums?.moveLongLog();
      opened.exec('BEGIN IMMEDIATE');
      try {
        const result = write();
        opened.exec('COMMIT');
        return result;
      } catch (error) {
        // A disk that takes nothing has rolled it back already.
        if (opened.isTransaction) opened.exec('ROLLBACK');
        throw error;
      }
    },
    close() {
      const isMoved = sums === undefined || hasMoved(sums);
      opened.close();
      // Closing removes the log, unless another process has it open too.
      sums?.close(isMoved && readIfThere(`${path}-wal`) === undefined);
    },
  };
}

/** False where the disk takes nothing: the next start then makes the file anew. */
function hasMoved(sums: PageSums): boolean {
  try {
    sums.moveLog();
    return true;
  } catch (error) {
    if (!isDiskTrouble(error)) throw error;
    return false;
  }
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
