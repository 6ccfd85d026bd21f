/**
 * The SQLite file of the cases: its tables, and how it is opened. A file that is damaged, of another form, or made under
 * another policy (times of the SLA clock, share of the control group) is removed and filled again from the streams.
 */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { openProjection } from '../projection-file.ts';
import type { CaseEvent } from './case-event.ts';
import type { StoredEvent } from './case-work.ts';

/** Counts up when the tables change. */
const FORM = 4;

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
  CREATE INDEX case_alert_rule ON case_alert (rule_id, case_id);
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
    -- Tags, each between two separators; which list shows it: active, closed, or none of them.
    tags TEXT NOT NULL DEFAULT '', queue TEXT NOT NULL DEFAULT '', lane TEXT,
    alerts INTEGER NOT NULL DEFAULT 0, firing INTEGER NOT NULL DEFAULT 0, severity INTEGER NOT NULL DEFAULT 0,
    score REAL NOT NULL DEFAULT 0, vip INTEGER NOT NULL DEFAULT 0, last_alert_at INTEGER NOT NULL DEFAULT 0,
    -- As the alerts say; and as the lane says, where it says something.
    alert_respond_by INTEGER NOT NULL DEFAULT 0, alert_close_by INTEGER NOT NULL DEFAULT 0,
    respond_by INTEGER NOT NULL DEFAULT 0, close_by INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE INDEX work_case_lane ON work_case (desk, key_type, key_value, opened_seq);
  CREATE INDEX work_case_root ON work_case (root_id);
  CREATE INDEX work_case_merged ON work_case (merged_into) WHERE merged_into IS NOT NULL;
  -- Holds every column that a filter can name, so that 50,000 cases are looked through without touching the rows.
  CREATE INDEX work_case_due ON work_case (desk, queue, due_at, case_id, status, snoozed_until, severity, assignee, vip,
    control, opened_at, outcome, tags, key_value, lane);
  CREATE INDEX work_case_opened ON work_case (desk, queue, opened_at, case_id);
  CREATE INDEX work_case_score ON work_case (desk, queue, score, case_id);
  CREATE INDEX work_case_snoozed ON work_case (snooze_ends_at) WHERE snooze_ends_at > 0;
  -- Saved views and routing of the desks, as they were changed.
  CREATE TABLE desk_event (seq INTEGER PRIMARY KEY, desk TEXT NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
`;

export interface CaseTables {
  db: DatabaseSync;
  transaction<T>(write: () => T): T;
  /** The events of a case in the order of the stream. */
  eventsOf(caseId: string): StoredEvent[];
  /** Removes alerts whose newest revision lies before a sequence. @returns their lanes, each once. */
  forgottenLanes(alertSequence: number): Record<string, SQLOutputValue>[];
  close(): void;
}

/** @param policy a file that was filled under another one is filled again */
export function openCaseTables(path: string, policy: string): CaseTables {
  const file = openProjection(path, { form: FORM, tables: TABLES, policy });
  const { db, transaction } = file;
  const lanes = db.prepare('SELECT DISTINCT desk, key_type, key_value FROM case_alert WHERE seq < ?');
  const forget = db.prepare('DELETE FROM case_alert WHERE seq < ?');
  const events = db.prepare('SELECT seq, at, json FROM case_event WHERE case_id = ? ORDER BY seq');
  return {
    db,
    transaction,
    eventsOf: (caseId) =>
      events.all(caseId).map(({ seq, at, json }) => ({
        sequence: Number(seq),
        at: Number(at),
        event: JSON.parse(String(json)) as CaseEvent,
      })),
    forgottenLanes(alertSequence) {
      const found = lanes.all(alertSequence);
      forget.run(alertSequence);
      return found;
    },
    close: () => file.close(),
  };
}

/** Between any two of them stands what no tag can hold, so that one is found by a search for it with both its separators. */
export function tagsColumn(tags: readonly string[]): string {
  return tags.length === 0 ? '' : `\n${tags.join('\n')}\n`;
}
