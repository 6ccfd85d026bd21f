/**
 * What an account owes. Invoices open, payments close the oldest first (or the one they name), a reversed payment opens
 * again what it had closed, and usage since the last invoice is not yet billed. Everything is in millionths of the
 * account currency, so a bill is either paid or it is not.
 *
 * ```
 * unit 0  number of invoices        unit 1  credit: money paid that met no open invoice
 * unit 2  unbilled charges          unit 3  issue time of the last invoice
 * then    [invoice id, due, amount, remaining] per invoice, oldest due first
 * ```
 *
 * Paid invoices stay (remaining 0) until room is needed, because a payment may be reversed.
 */
import type { Blocks, Cursor } from './block.ts';
import { fingerprint } from './key-table.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Invoices kept per account. Beyond it paid ones go first; then the two oldest debts become one with the older date. */
export const INVOICES_MAX = 48;
const HEADER = 4;
const ENTRY = 4;
const DUE = 1;
const AMOUNT = 2;
const REMAINING = 3;
const MICROS_PER_UNIT = 1e6;

export interface Ledger extends Operator {
  /** All open amounts, currency units. */
  unpaid: Reader;
  /** Open amounts whose due time has passed. */
  overdue: Reader;
  /** Due time of the oldest invoice that is still open, epoch ms; NaN where nothing is open. */
  oldestDueAt: Reader;
  /** Time since then, ms, at least 0; 0 where nothing is open. */
  pastDueMs: Reader;
  openInvoices: Reader;
  overdueInvoices: Reader;
  /** Charges since the last invoice, currency units. */
  unbilled: Reader;
  /** Open amounts and unbilled charges together. */
  exposure: Reader;
  invoices(scope: Scope): { invoiceId: string; dueAt: number; amount: number; remaining: number }[];
}

export function createLedger(options: { id: number; signature: string }): Ledger {
  const { id } = options;

  const removeAt = (cursor: Cursor, segment: number, index: number): void => {
    const count = cursor.f64[segment]!;
    const at = segment + HEADER + index * ENTRY;
    cursor.f64.copyWithin(at, at + ENTRY, segment + HEADER + count * ENTRY);
    cursor.f64[segment] = count - 1;
  };

  /** Makes room for one more invoice and returns the segment. */
  const makeRoom = (cursor: Cursor, blocks: Blocks): number => {
    const segment = cursor.segmentAt[id]!;
    const count = cursor.f64[segment]!;
    const capacity = (cursor.segmentUnits[id]! - HEADER) / ENTRY;
    if (count < capacity) return segment;
    for (let index = 0; index < count; index++) {
      if (cursor.f64[segment + HEADER + index * ENTRY + REMAINING] === 0 && count >= 4) {
        removeAt(cursor, segment, index);
        return segment;
      }
    }
    if (capacity < INVOICES_MAX) return blocks.resize(id, HEADER + Math.min(INVOICES_MAX, capacity * 2) * ENTRY);
    const first = segment + HEADER;
    cursor.f64[first + ENTRY + DUE] = cursor.f64[first + DUE]!;
    cursor.f64[first + ENTRY + AMOUNT]! += cursor.f64[first + AMOUNT]!;
    cursor.f64[first + ENTRY + REMAINING]! += cursor.f64[first + REMAINING]!;
    removeAt(cursor, segment, 0);
    return segment;
  };

  /** Pays `micros` into the named invoice, then the oldest; what is left over becomes credit. */
  const settle = (f64: Float64Array, segment: number, micros: number, invoice: number): void => {
    const count = f64[segment]!;
    let left = micros;
    for (let pass = 0; pass < 2 && left > 0; pass++) {
      for (let index = 0; index < count && left > 0; index++) {
        const at = segment + HEADER + index * ENTRY;
        if (pass === 0 && f64[at] !== invoice) continue;
        const paid = Math.min(left, f64[at + REMAINING]!);
        f64[at + REMAINING]! -= paid;
        left -= paid;
      }
    }
    f64[segment + 1]! += left;
  };

  /** Takes a payment back: first out of the credit, then out of the named invoice, then the newest paid. */
  const reverse = (f64: Float64Array, segment: number, micros: number, invoice: number): void => {
    const count = f64[segment]!;
    let left = micros;
    const fromCredit = Math.min(left, f64[segment + 1]!);
    f64[segment + 1]! -= fromCredit;
    left -= fromCredit;
    for (let pass = 0; pass < 2 && left > 0; pass++) {
      for (let index = count - 1; index >= 0 && left > 0; index--) {
        const at = segment + HEADER + index * ENTRY;
        if (pass === 0 && f64[at] !== invoice) continue;
        const opened = Math.min(left, f64[at + AMOUNT]! - f64[at + REMAINING]!);
        f64[at + REMAINING]! += opened;
        left -= opened;
      }
    }
  };

  const update = (scope: Scope, blocks: Blocks): void => {
    const { record, cursor } = scope;
    const segment = cursor.segmentAt[id] === 0 ? blocks.ensure(id, HEADER + ENTRY) : cursor.segmentAt[id]!;
    if (record.recordType === 'payment') {
      const invoice = record.invoiceId === '' ? 0 : fingerprint(record.invoiceId);
      if (record.outcome === 'done') settle(cursor.f64, segment, record.amountMicros, invoice);
      else if (record.outcome === 'reversed') reverse(cursor.f64, segment, record.amountMicros, invoice);
    } else if (record.recordType === 'invoice') {
      if (record.eventTime >= cursor.f64[segment + 3]!) {
        cursor.f64[segment + 3] = record.eventTime;
        cursor.f64[segment + 2] = 0;
      }
      if (record.amountMicros <= 0) {
        settle(cursor.f64, segment, -record.amountMicros, 0);
        return;
      }
      const at = makeRoom(cursor, blocks);
      const { f64 } = cursor;
      const count = f64[at]!;
      let index = count;
      while (index > 0 && f64[at + HEADER + (index - 1) * ENTRY + DUE]! > record.dueTime) index--;
      const entry = at + HEADER + index * ENTRY;
      f64.copyWithin(entry + ENTRY, entry, at + HEADER + count * ENTRY);
      const covered = Math.min(f64[at + 1]!, record.amountMicros);
      f64[entry] = fingerprint(record.invoiceId);
      f64[entry + DUE] = record.dueTime;
      f64[entry + AMOUNT] = record.amountMicros;
      f64[entry + REMAINING] = record.amountMicros - covered;
      f64[at + 1]! -= covered;
      f64[at] = count + 1;
    } else if (record.chargeMicros > 0 && record.eventTime >= cursor.f64[segment + 3]!) {
      cursor.f64[segment + 2]! += record.chargeMicros;
    }
  };

  const sum = (scope: Scope, pick: (due: number, remaining: number) => number): number => {
    const { segmentAt, f64 } = scope.cursor;
    const segment = segmentAt[id]!;
    if (segment === 0) return 0;
    let total = 0;
    const count = f64[segment]!;
    for (let index = 0; index < count; index++) {
      const at = segment + HEADER + index * ENTRY;
      if (f64[at + REMAINING]! > 0) total += pick(f64[at + DUE]!, f64[at + REMAINING]!);
    }
    return total;
  };

  const unbilledMicros: Reader = (scope) => {
    const segment = scope.cursor.segmentAt[id]!;
    return segment === 0 ? 0 : scope.cursor.f64[segment + 2]!;
  };

  const oldestDueAt: Reader = (scope) => {
    const { segmentAt, f64 } = scope.cursor;
    const segment = segmentAt[id]!;
    if (segment === 0) return Number.NaN;
    const count = f64[segment]!;
    for (let index = 0; index < count; index++) {
      const at = segment + HEADER + index * ENTRY;
      if (f64[at + REMAINING]! > 0) return f64[at + DUE]!;
    }
    return Number.NaN;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: HEADER + INVOICES_MAX * ENTRY,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: Number.POSITIVE_INFINITY,
    onArrival: false,
    update,
    unpaid: (scope) => sum(scope, (_due, remaining) => remaining) / MICROS_PER_UNIT,
    overdue: (scope) => sum(scope, (due, remaining) => (due < scope.now ? remaining : 0)) / MICROS_PER_UNIT,
    oldestDueAt,
    pastDueMs: (scope) => {
      const due = oldestDueAt(scope);
      return due < scope.now ? scope.now - due : 0;
    },
    openInvoices: (scope) => sum(scope, () => 1),
    overdueInvoices: (scope) => sum(scope, (due) => (due < scope.now ? 1 : 0)),
    unbilled: (scope) => unbilledMicros(scope) / MICROS_PER_UNIT,
    exposure: (scope) => (sum(scope, (_due, remaining) => remaining) + unbilledMicros(scope)) / MICROS_PER_UNIT,
    invoices(scope) {
      const { segmentAt, f64 } = scope.cursor;
      const segment = segmentAt[id]!;
      const count = segment === 0 ? 0 : f64[segment]!;
      return Array.from({ length: count }, (_, index) => {
        const at = segment + HEADER + index * ENTRY;
        const name = f64[at]!;
        return {
          // Ids that are not digits are kept as a fingerprint only; people see the amounts and dates.
          invoiceId: name > 0 ? String(name).slice(1) : `#${Math.abs(name).toString(36)}`,
          dueAt: f64[at + DUE]!,
          amount: f64[at + AMOUNT]! / MICROS_PER_UNIT,
          remaining: f64[at + REMAINING]! / MICROS_PER_UNIT,
        };
      }).filter((invoice) => invoice.remaining > 0);
    },
  };
}
