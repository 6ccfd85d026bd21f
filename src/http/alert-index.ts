/**
 * The list of alerts that desks page through: a projection of the ALERTS stream in SQLite, the newest revision of each
 * alert in one row. It owns nothing: the stream is the truth, and a file that is missing, damaged, of another form or
 * made from another stream is thrown away and filled again. It stores the sequence up to which it has read in the same
 * transaction as the rows, so after any crash it goes on exactly behind them.
 *
 * SQLite runs in the engine's thread, so nothing here may be slow: writes come in small batches, and a query whose
 * filter has no index of its own looks at SLICE_ROWS rows at a time and lets the loop breathe between slices.
 */
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AlertData } from '../alerts/alert.ts';
import { openProjection } from '../projection-file.ts';

/** One message of the ALERTS stream. */
export interface AlertEntry {
  sequence: number;
  alert: AlertData;
  /** `alert` as JSON, written once for the index and for every client. */
  json: string;
}

export interface AlertFilter {
  desk?: string | undefined;
  /** Any of these; undefined: all. */
  desks?: readonly string[] | undefined;
  severity?: string | undefined;
  ruleId?: string | undefined;
  status?: string | undefined;
  servedMsisdn?: string | undefined;
  /** Event time, inclusive, epoch ms. */
  from?: number | undefined;
  /** Event time, exclusive, epoch ms. */
  to?: number | undefined;
}

/** A place in the order newest first: alerts of a page lie strictly behind it. */
export interface AlertPosition {
  eventTime: number;
  sequence: number;
}

export interface AlertIndex {
  /** Sequence of the newest message that is in the index; 0 before the first. */
  lastSequence(): number;
  /** Creation time of the stream that the rows come from; '' before the first reset. */
  stream(): string;
  /** Empties the index: what follows comes from the stream created at that time. */
  reset(stream: string): void;
  /** Adds entries in stream order; `lastSequence` counts as read even where its message was not an alert. */
  apply(entries: AlertEntry[], lastSequence: number): void;
  /** Forgets alerts whose newest revision the stream no longer keeps. */
  forgetBefore(sequence: number): void;
  /** A page of alert bodies, newest (event time, sequence) first. Never blocks the loop for more than one slice. */
  query(
    filter: AlertFilter,
    page: { limit: number; after?: AlertPosition | undefined },
  ): Promise<{ alerts: string[]; next: AlertPosition | null }>;
  /** The body of one alert; undefined where it is not kept. */
  get(alertId: string): string | undefined;
  rows(): number;
  close(): void;
}

/** Rows kept when the caller does not say: about 500 MB on disk, and 250 days of a thousand alerts a day. */
export const INDEX_ROWS_MAX = 250_000;
/** The oldest rows go in portions, so that a full index does not pay a delete for every insert. */
const PRUNE_PORTION_ROWS = 500;
/** Rows that a filter without an index looks at before the loop gets a turn; measured: 1 ms a slice, 33 ms for 250,000 rows. */
const SLICE_ROWS = 5_000;
/** Counts up when the tables change; a file of another form is filled again. */
const FORM = 1;

const TABLES = `
  CREATE TABLE alert (
    seq INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL UNIQUE,
    event_time INTEGER NOT NULL,
    desk TEXT NOT NULL,
    severity TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    status TEXT NOT NULL,
    served_msisdn TEXT,
    json TEXT NOT NULL
  );
  -- Holds every column that a filter can name, so that a slice is looked through without touching the rows.
  CREATE INDEX alert_newest ON alert (event_time, seq, desk, severity, rule_id, status);
  CREATE INDEX alert_of_subscriber ON alert (served_msisdn, event_time, seq) WHERE served_msisdn IS NOT NULL;
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
`;

/**
 * Opens the index in a file, or in memory for `:memory:`.
 * @param options.rowsMax the oldest alerts beyond this many are not listed any more; the stream still has them.
 */
export function openAlertIndex(path: string, options: { rowsMax?: number } = {}): AlertIndex {
  const rowsMax = options.rowsMax ?? INDEX_ROWS_MAX;
  const file = openProjection(path, { form: FORM, tables: TABLES });
  const { db, transaction } = file;

  const insert = db.prepare(
    `INSERT OR REPLACE INTO alert (seq, alert_id, event_time, desk, severity, rule_id, status, served_msisdn, json)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const countRows = db.prepare('SELECT count(*) AS rows FROM alert');
  const prune = db.prepare('DELETE FROM alert WHERE seq IN (SELECT seq FROM alert ORDER BY event_time, seq LIMIT ?)');
  const forget = db.prepare('DELETE FROM alert WHERE seq < ?');
  const byId = db.prepare('SELECT json FROM alert WHERE alert_id = ?');
  const readMeta = db.prepare('SELECT value FROM meta WHERE name = ?');
  const writeMeta = db.prepare('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)');
  /** One statement for each set of filters that was asked for: at most 2^7 times 2, times the three numbers of desks. */
  const queries = new Map<string, StatementSync>();

  let sequence = Number(readMeta.get('sequence')?.value ?? 0);
  let stream = String(readMeta.get('stream')?.value ?? '');
  let rows = Number(countRows.get()?.rows);

  const prepared = (sql: string): StatementSync => {
    let statement = queries.get(sql);
    if (statement === undefined) {
      statement = db.prepare(sql);
      queries.set(sql, statement);
    }
    return statement;
  };

  return {
    lastSequence: () => sequence,
    stream: () => stream,
    rows: () => rows,
    get(alertId) {
      const row = byId.get(alertId);
      return row && String(row.json);
    },
    reset(newStream) {
      transaction(() => {
        db.exec('DELETE FROM alert');
        writeMeta.run('sequence', 0);
        writeMeta.run('stream', newStream);
      });
      sequence = 0;
      stream = newStream;
      rows = 0;
    },
    apply(entries, lastSequence) {
      transaction(() => {
        for (const { sequence: seq, alert, json } of entries) {
          // A later revision replaces the row of the one before, by the unique alert id.
          insert.run(
            seq,
            alert.alertId,
            alert.eventTime,
            alert.desk,
            alert.severity,
            alert.ruleId,
            alert.status,
            alert.servedMsisdn ?? null,
            json,
          );
        }
        writeMeta.run('sequence', lastSequence);
        // Counted rather than tracked: a replaced row is no new one. It is counted only near the limit.
        rows += entries.length;
        if (rows > rowsMax) {
          rows = Number(countRows.get()?.rows);
          if (rows > rowsMax) {
            prune.run(rows - rowsMax + Math.min(PRUNE_PORTION_ROWS, rowsMax >> 1));
            rows = Number(countRows.get()?.rows);
          }
        }
      });
      sequence = lastSequence;
    },
    forgetBefore(firstSequence) {
      rows -= Number(forget.run(firstSequence).changes);
    },
    async query(filter, page) {
      const conditions: string[] = [];
      const values: SQLInputValue[] = [];
      const columns = [
        ['desk', filter.desk],
        ['severity', filter.severity],
        ['rule_id', filter.ruleId],
        ['status', filter.status],
        ['served_msisdn', filter.servedMsisdn],
      ] as const;
      for (const [column, value] of columns) {
        if (value === undefined) continue;
        conditions.push(`${column} = ?`);
        values.push(value);
      }
      if (filter.desks !== undefined) {
        conditions.push(`desk IN (${filter.desks.map(() => '?').join(', ')})`);
        values.push(...filter.desks);
      }
      if (filter.from !== undefined) {
        conditions.push('event_time >= ?');
        values.push(filter.from);
      }
      // The upper end of the time range and the cursor are both a position: the one that lies further back holds.
      let after: AlertPosition = page.after ?? { eventTime: Number.MAX_SAFE_INTEGER, sequence: 0 };
      if (filter.to !== undefined && filter.to <= after.eventTime) after = { eventTime: filter.to, sequence: 0 };

      const select = (lower: string) => `
        SELECT event_time AS eventTime, seq AS sequence, json FROM alert
        WHERE (event_time, seq) < (?, ?) ${lower} ${conditions.map((condition) => `AND ${condition}`).join(' ')}
        ORDER BY event_time DESC, seq DESC LIMIT ?`;
      // One more than asked for tells whether there is a next page.
      const wanted = page.limit + 1;
      const found: Record<string, unknown>[] = [];
      const hasOwnIndex = conditions.length === 0 || filter.servedMsisdn !== undefined;
      if (hasOwnIndex) {
        found.push(...prepared(select('')).all(after.eventTime, after.sequence, ...values, wanted));
      } else {
        const lastOfSlice = prepared(
          `SELECT event_time AS eventTime, seq AS sequence FROM alert WHERE (event_time, seq) < (?, ?)
           ORDER BY event_time DESC, seq DESC LIMIT 1 OFFSET ${SLICE_ROWS - 1}`,
        );
        const inSlice = prepared(select('AND (event_time, seq) >= (?, ?)'));
        for (;;) {
          const last = lastOfSlice.get(after.eventTime, after.sequence);
          const lower = last ?? { eventTime: Number.MIN_SAFE_INTEGER, sequence: 0 };
          found.push(
            ...inSlice.all(
              after.eventTime,
              after.sequence,
              lower.eventTime,
              lower.sequence,
              ...values,
              wanted - found.length,
            ),
          );
          const tooOld = filter.from !== undefined && Number(lower.eventTime) < filter.from;
          if (last === undefined || found.length >= wanted || tooOld) break;
          after = { eventTime: Number(last.eventTime), sequence: Number(last.sequence) };
          await nextTurn();
        }
      }
      const onPage = found.slice(0, page.limit);
      const lastRow = found.length > page.limit ? onPage.at(-1) : undefined;
      return {
        alerts: onPage.map((row) => String(row.json)),
        next: lastRow ? { eventTime: Number(lastRow.eventTime), sequence: Number(lastRow.sequence) } : null,
      };
    },
    close: () => file.close(),
  };
}

/** A position as the opaque cursor of the API. */
export function cursorOf(position: AlertPosition): string {
  return Buffer.from(`${position.eventTime}.${position.sequence}`).toString('base64url');
}

/** The position in a cursor; undefined where it is none of ours. */
export function positionOf(cursor: string): AlertPosition | undefined {
  const match = /^(-?\d{1,16})\.(\d{1,16})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (match === null) return undefined;
  const position = { eventTime: Number(match[1]), sequence: Number(match[2]) };
  return Number.isSafeInteger(position.eventTime) && Number.isSafeInteger(position.sequence) ? position : undefined;
}
