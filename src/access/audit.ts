/**
 * The audit log: who did what, when, to what, and how it ended. Each entry carries the hash of the one before, so that an
 * entry that is changed, removed or put in later breaks the chain from there on. Why it lies in SQLite beside the users, and
 * what a copy outside is for, says `decisions/0007-audit-log.md`.
 */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Entries that are verified before the loop gets a turn: about a millisecond. */
const ENTRIES_PER_SLICE = 200;

export interface AuditEntry {
  /** UTC, RFC 3339. */
  at: string;
  who: { kind: string; id: string };
  /** Operation of the interface, or what a command did: `putRule`, `users.add`, `signIn`. */
  action: string;
  /** What it was done to: ids, never a whole number. */
  object: Record<string, string>;
  result: 'done' | 'failed' | 'denied';
  /** HTTP status, where it came over HTTP. */
  status?: number;
  ip?: string;
  requestId?: string;
  reason?: string;
  before?: unknown;
  after?: unknown;
  /** How many more of the same were not written one by one. */
  more?: number;
}

export interface AuditRow {
  seq: number;
  /** The entry as the text that was hashed. */
  text: string;
  hash: string;
}

export const AUDIT_TABLE = `
  CREATE TABLE audit (seq INTEGER PRIMARY KEY, text TEXT NOT NULL, hash TEXT NOT NULL);
  -- What was written stays: whoever wants to change it has to remove this first, and breaks the chain all the same.
  CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
  CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
`;

/** Before the first entry. */
const CHAIN_START = '0'.repeat(64);

export function chainHash(before: string, seq: number, text: string): string {
  return createHash('sha256').update(`${before}\n${seq}\n${text}`).digest('hex');
}

export interface AuditLog {
  /** Writes entries; inside a transaction of the caller they are written with it. */
  append(entries: readonly AuditEntry[]): void;
  /** Newest first, before a sequence. */
  page(before: number, limit: number): AuditRow[];
  /** Oldest first, after a sequence. */
  after(seq: number, limit: number): AuditRow[];
}

/** @param db must be inside `BEGIN IMMEDIATE` when `append` is called: the last hash is read and then followed. */
export function openAuditLog(db: DatabaseSync): AuditLog {
  const last = db.prepare('SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1');
  const insert = db.prepare('INSERT INTO audit (seq, text, hash) VALUES (?, ?, ?)');
  const newest = db.prepare('SELECT seq, text, hash FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?');
  const oldest = db.prepare('SELECT seq, text, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?');
  const rowOf = (row: Record<string, unknown>): AuditRow => ({
    seq: Number(row['seq']),
    text: String(row['text']),
    hash: String(row['hash']),
  });
  return {
    append(entries) {
      const row = last.get();
      let seq = Number(row?.['seq'] ?? 0);
      let hash = String(row?.['hash'] ?? CHAIN_START);
      for (const entry of entries) {
        seq += 1;
        const text = JSON.stringify(entry);
        hash = chainHash(hash, seq, text);
        insert.run(seq, text, hash);
      }
    },
    page: (before, limit) => newest.all(before, limit).map(rowOf),
    after: (seq, limit) => oldest.all(seq, limit).map(rowOf),
  };
}

export interface AuditVerdict {
  entries: number;
  lastHash: string;
  /** Where the chain breaks, and how; absent where it holds. */
  broken?: { seq: number; detail: string };
}

/**
 * Follows a chain from its first entry.
 * @param rows oldest first
 */
export function verifyChain(rows: Iterable<AuditRow>): AuditVerdict {
  let verdict: AuditVerdict = { entries: 0, lastHash: CHAIN_START };
  for (const row of rows) {
    verdict = verifyNext(verdict, row);
    if (verdict.broken !== undefined) break;
  }
  return verdict;
}

/** The same with pauses, for a process that has other things to do as well. */
export async function verifyChainInSlices(rows: Iterable<AuditRow>): Promise<AuditVerdict> {
  let verdict: AuditVerdict = { entries: 0, lastHash: CHAIN_START };
  for (const row of rows) {
    verdict = verifyNext(verdict, row);
    if (verdict.broken !== undefined) break;
    if (verdict.entries % ENTRIES_PER_SLICE === 0) await nextTurn();
  }
  return verdict;
}

function verifyNext({ entries, lastHash }: AuditVerdict, row: AuditRow): AuditVerdict {
  const expected = entries + 1;
  const broken = (detail: string): AuditVerdict => ({ entries, lastHash, broken: { seq: expected, detail } });
  if (row.seq !== expected) return broken(`the entry is missing; the next one there is number ${row.seq}`);
  if (row.hash !== chainHash(lastHash, row.seq, row.text)) {
    return broken('the entry is not the one that was written, or one before it is gone');
  }
  return { entries: expected, lastHash: row.hash };
}
