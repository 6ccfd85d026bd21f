/**
 * The SQLite file of the cases: its tables, and how it is opened. A file that is damaged, of another form, or made under
 * another policy (times of the SLA clock, share of the control group) is removed and filled again from the streams.
 */
import { rmSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';

/** Counts up when the tables change. */
const FORM = 1;
/** Page cache of SQLite, in KiB. */
const CACHE_KIB = 16_384;

const TABLES = `
  -- One row an alert, in its newest revision. case_id: where it belongs; null where a snoozed rule hides it.
  CREATE TABLE case_alert (
    alert_id TEXT PRIMARY KEY,
    desk TEXT NOT NULL, key_type TEXT NOT NULL, key_value TEXT NOT NULL,
    own_case TEXT NOT NULL, case_id TEXT, hidden_by TEXT,
    first_seq INTEGER NOT NULL, first_at INTEGER NOT NULL, seq INTEGER NOT NULL,
    rule_id TEXT NOT NULL, severity INTEGER NOT NULL, status TEXT NOT NULL, score REAL NOT NULL, tier TEXT,
    served_msisdn TEXT, respond_by INTEGER NOT NULL, close_by INTEGER NOT NULL,
    json TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX case_alert_lane ON case_alert (desk, key_type, key_value, first_seq);
  CREATE INDEX case_alert_case ON case_alert (case_id);
  CREATE INDEX case_alert_own ON case_alert (own_case);
  CREATE INDEX case_alert_seq ON case_alert (seq);
  CREATE INDEX case_alert_subscriber ON case_alert (served_msisdn);
  CREATE TABLE case_event (
    seq INTEGER PRIMARY KEY,
    case_id TEXT NOT NULL, desk TEXT NOT NULL, at INTEGER NOT NULL, bulk TEXT, json TEXT NOT NULL
  );
  CREATE INDEX case_event_case ON case_event (case_id, seq);
  CREATE INDEX case_event_bulk ON case_event (bulk) WHERE bulk IS NOT NULL;
  -- One row a case that has alerts or events; its key is unknown where only a foreign event has come so far.
  CREATE TABLE work_case (
    case_id TEXT PRIMARY KEY,
    desk TEXT NOT NULL, key_type TEXT, key_value TEXT,
    opened_at INTEGER NOT NULL, opened_seq INTEGER NOT NULL,
    root_id TEXT NOT NULL, merged_into TEXT, merge_seq INTEGER, control INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 0, work TEXT,
    status TEXT NOT NULL DEFAULT 'open', assignee TEXT, snoozed_until INTEGER NOT NULL DEFAULT 0, snooze_ends_at INTEGER NOT NULL DEFAULT 0,
    outcome TEXT, closed_at INTEGER,
    alerts INTEGER NOT NULL DEFAULT 0, firing INTEGER NOT NULL DEFAULT 0, severity INTEGER NOT NULL DEFAULT 0,
    score REAL NOT NULL DEFAULT 0, vip INTEGER NOT NULL DEFAULT 0, last_alert_at INTEGER NOT NULL DEFAULT 0,
    respond_by INTEGER NOT NULL DEFAULT 0, close_by INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE INDEX work_case_lane ON work_case (desk, key_type, key_value, opened_seq);
  CREATE INDEX work_case_root ON work_case (root_id);
  CREATE INDEX work_case_merged ON work_case (merged_into) WHERE merged_into IS NOT NULL;
  CREATE INDEX work_case_due ON work_case (desk, due_at, case_id);
  CREATE INDEX work_case_opened ON work_case (desk, opened_at, case_id);
  CREATE INDEX work_case_score ON work_case (desk, score, case_id);
  CREATE INDEX work_case_snoozed ON work_case (snooze_ends_at) WHERE snooze_ends_at > 0;
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  PRAGMA user_version = ${FORM};
`;

export interface CaseTables {
  db: DatabaseSync;
  transaction<T>(write: () => T): T;
  /** Removes alerts whose newest revision lies before a sequence. @returns their lanes, each once. */
  forgottenLanes(alertSequence: number): Record<string, SQLOutputValue>[];
}

/** @param policy a file that was filled under another one is filled again */
export function openCaseTables(path: string, policy: string): CaseTables {
  const db = openDatabase(path, policy);
  const lanes = db.prepare('SELECT DISTINCT desk, key_type, key_value FROM case_alert WHERE seq < ?');
  const forget = db.prepare('DELETE FROM case_alert WHERE seq < ?');
  return {
    db,
    transaction(write) {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = write();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        // A disk that takes nothing has rolled it back already.
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error;
      }
    },
    forgottenLanes(alertSequence) {
      const found = lanes.all(alertSequence);
      forget.run(alertSequence);
      return found;
    },
  };
}

function openDatabase(path: string, policy: string): DatabaseSync {
  const onDisk = path !== ':memory:';
  const open = (): DatabaseSync | undefined => {
    const db = new DatabaseSync(path);
    try {
      // WAL with NORMAL: a commit is a write without fsync; what a power cut takes is read again from the streams.
      db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${CACHE_KIB}`);
      const form = db.prepare('PRAGMA user_version').get()?.user_version;
      if (form === 0 && db.prepare('SELECT count(*) AS n FROM sqlite_master').get()?.n === 0) {
        db.exec(`BEGIN; ${TABLES} COMMIT`);
        db.prepare("INSERT INTO meta (name, value) VALUES ('policy', ?)").run(policy);
        return db;
      }
      if (
        form === FORM &&
        db.prepare('PRAGMA quick_check(1)').get()?.quick_check === 'ok' &&
        db.prepare("SELECT value FROM meta WHERE name = 'policy'").get()?.value === policy
      )
        return db;
    } catch (error) {
      db.close();
      const isSqlite = error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
      if (!onDisk || !isSqlite) throw error;
      return undefined;
    }
    db.close();
    return undefined;
  };
  const db = open();
  if (db !== undefined) return db;
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  const again = open();
  if (again === undefined) throw new Error(`a new database in ${path} is not usable`);
  return again;
}
