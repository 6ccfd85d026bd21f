/**
 * What an account owes. Invoices open, payments close the oldest first (or the one they name), a reversed payment opens
 * again what it had closed, and usage since the last invoice is not yet billed. Everything is in millionths of the
 * account currency, so a bill is either paid or it is not.
 *
 * ```
 * unit 0  unbilled charges          unit 1  issue time of the last invoice
 * unit 2  u32 number of invoices    unit 3  credit: money paid that met no open invoice
 * unit 4  issue time of the first   unit 5  id of the first invoice
 * then    [invoice id, due, amount, remaining] per invoice, oldest due first
 * ```
 *
 * A subscriber who is charged and never billed has the first two units only. Paid invoices stay until room is needed,
 * because a payment may be reversed; their remaining is 0, or less: then it is the number of the bill in the history.
 */
import type { BillHistory } from './bill-history.ts';
import type { Blocks, Cursor } from './block.ts';
import { fingerprint } from './key-table.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Invoices kept per account. Beyond it paid ones go first; then the two oldest debts become one with the older date. */
export const INVOICES_MAX = 48;
/** With more invoices than this, paid ones make room: the reversal of a payment comes within a few bills. */
const PAID_KEPT = 4;
const USAGE_UNITS = 2;
const HEADER = 6;
const UNBILLED = 0;
const ISSUED_AT = 1;
const COUNT = 2;
const CREDIT = 3;
const FIRST_AT = 4;
const FIRST_ID = 5;
const ENTRY = 4;
const DUE = 1;
const AMOUNT = 2;
const REMAINING = 3;
const MICROS_PER_UNIT = 1e6;
const DAY_MS = 86_400_000;

/** What is open, by the whole days since it was due, in currency units. */
export interface Ageing {
  current: number;
  days1To30: number;
  days31To60: number;
  days61To90: number;
  daysOver90: number;
}

export interface Ledger extends Operator {
  /** Where the bills that are paid are to be remembered; set where a rule asks for it. */
  history: BillHistory | undefined;
  /** All open amounts, currency units. */
  unpaid: Reader;
  /** Open amounts whose due time has passed. */
  overdue: Reader;
  /** Due time of the oldest invoice that is still open, epoch ms; NaN where nothing is open. */
  oldestDueAt: Reader;
  /** The first due time from now on of an open invoice, epoch ms; NaN where none is to come. */
  nextDueAt: Reader;
  /** The newest due time of an open invoice that has passed, epoch ms; NaN where none has. */
  lastDueAt: Reader;
  /** Time since the due time of the oldest, ms, at least 0; 0 where nothing is open. */
  pastDueMs: Reader;
  openInvoices: Reader;
  overdueInvoices: Reader;
  /** Charges since the last invoice, currency units. */
  unbilled: Reader;
  /** Open amounts and unbilled charges together. */
  exposure: Reader;
  /** Issue time of the first invoice ever, epoch ms; NaN before it. */
  firstInvoiceAt: Reader;
  /** Due time of the first invoice while it is open, epoch ms; NaN else. */
  firstDueAt: Reader;
  /** What is open of the first invoice, currency units. */
  firstUnpaid: Reader;
  ageing(scope: Scope): Ageing;
  invoices(scope: Scope): { invoiceId: string; dueAt: number; amount: number; remaining: number }[];
}

export function createLedger(options: { id: number; signature: string }): Ledger {
  const { id } = options;

  const countOf = ({ segmentAt, segmentUnits, u32 }: Cursor): number => {
    const segment = segmentAt[id]!;
    return segment === 0 || segmentUnits[id]! < HEADER ? 0 : u32[(segment + COUNT) * 2]!;
  };

  const removeAt = (cursor: Cursor, segment: number, index: number): void => {
    const count = countOf(cursor);
    const at = segment + HEADER + index * ENTRY;
    cursor.f64.copyWithin(at, at + ENTRY, segment + HEADER + count * ENTRY);
    cursor.u32[(segment + COUNT) * 2] = count - 1;
  };

  /** Makes room for one more invoice and returns the segment. */
  const makeRoom = (cursor: Cursor, blocks: Blocks): number => {
    const segment = cursor.segmentAt[id]!;
    const count = countOf(cursor);
    const capacity = (cursor.segmentUnits[id]! - HEADER) / ENTRY;
    if (count < capacity) return segment;
    for (let index = 0; index < count; index++) {
      if (cursor.f64[segment + HEADER + index * ENTRY + REMAINING]! <= 0 && count >= PAID_KEPT) {
        removeAt(cursor, segment, index);
        return segment;
      }
    }
    if (capacity < INVOICES_MAX) {
      const wanted = capacity < PAID_KEPT ? capacity + 1 : Math.min(INVOICES_MAX, capacity * 2);
      return blocks.resize(id, HEADER + wanted * ENTRY);
    }
    const first = segment + HEADER;
    cursor.f64[first + ENTRY + DUE] = cursor.f64[first + DUE]!;
    cursor.f64[first + ENTRY + AMOUNT]! += cursor.f64[first + AMOUNT]!;
    cursor.f64[first + ENTRY + REMAINING]! += cursor.f64[first + REMAINING]!;
    removeAt(cursor, segment, 0);
    return segment;
  };

  /** Marks an invoice of which nothing is left to pay. */
  const close = (scope: Scope, blocks: Blocks, index: number): void => {
    const { cursor, record } = scope;
    const at = HEADER + index * ENTRY;
    const lateMs = Math.max(0, record.eventTime - cursor.f64[cursor.segmentAt[id]! + at + DUE]!);
    // The history may need room, and the ledger then lies elsewhere.
    const bill = ledger.history === undefined ? 0 : ledger.history.paid(scope, blocks, lateMs);
    cursor.f64[cursor.segmentAt[id]! + at + REMAINING] = -bill;
  };

  /** Pays `micros` into the named invoice, then the oldest; what is left over becomes credit. */
  const settle = (scope: Scope, blocks: Blocks, micros: number, invoice: number): void => {
    const { cursor } = scope;
    const count = countOf(cursor);
    let left = micros;
    for (let pass = 0; pass < 2 && left > 0; pass++) {
      for (let index = 0; index < count && left > 0; index++) {
        const at = cursor.segmentAt[id]! + HEADER + index * ENTRY;
        const remaining = cursor.f64[at + REMAINING]!;
        if (remaining <= 0 || (pass === 0 && cursor.f64[at] !== invoice)) continue;
        const paid = Math.min(left, remaining);
        left -= paid;
        if (paid < remaining) cursor.f64[at + REMAINING] = remaining - paid;
        else close(scope, blocks, index);
      }
    }
    cursor.f64[cursor.segmentAt[id]! + CREDIT]! += left;
  };

  /** Takes a payment back: first out of the credit, then out of the named invoice, then the newest paid. */
  const reverse = (scope: Scope, micros: number, invoice: number): void => {
    const { cursor } = scope;
    const { f64 } = cursor;
    const segment = cursor.segmentAt[id]!;
    const count = countOf(cursor);
    let left = micros;
    const fromCredit = Math.min(left, f64[segment + CREDIT]!);
    f64[segment + CREDIT]! -= fromCredit;
    left -= fromCredit;
    for (let pass = 0; pass < 2 && left > 0; pass++) {
      for (let index = count - 1; index >= 0 && left > 0; index--) {
        const at = segment + HEADER + index * ENTRY;
        if (pass === 0 && f64[at] !== invoice) continue;
        const remaining = Math.max(0, f64[at + REMAINING]!);
        const opened = Math.min(left, f64[at + AMOUNT]! - remaining);
        if (opened <= 0) continue;
        if (f64[at + REMAINING]! < 0) ledger.history?.reopened(scope, -f64[at + REMAINING]!);
        f64[at + REMAINING] = remaining + opened;
        left -= opened;
      }
    }
  };

  const addInvoice = (scope: Scope, blocks: Blocks): void => {
    const { cursor, record } = scope;
    const at = makeRoom(cursor, blocks);
    const { f64 } = cursor;
    const count = countOf(cursor);
    let index = count;
    while (index > 0 && f64[at + HEADER + (index - 1) * ENTRY + DUE]! > record.dueTime) index--;
    const entry = at + HEADER + index * ENTRY;
    f64.copyWithin(entry + ENTRY, entry, at + HEADER + count * ENTRY);
    const covered = Math.min(f64[at + CREDIT]!, record.amountMicros);
    const name = fingerprint(record.invoiceId);
    f64[entry] = name;
    f64[entry + DUE] = record.dueTime;
    f64[entry + AMOUNT] = record.amountMicros;
    f64[entry + REMAINING] = record.amountMicros - covered;
    f64[at + CREDIT]! -= covered;
    cursor.u32[(at + COUNT) * 2] = count + 1;
    if (f64[at + FIRST_AT] === 0 || record.eventTime < f64[at + FIRST_AT]!) {
      f64[at + FIRST_AT] = record.eventTime;
      f64[at + FIRST_ID] = name;
    }
    if (covered === record.amountMicros) close(scope, blocks, index);
  };

  const update = (scope: Scope, blocks: Blocks): void => {
    const { record, cursor } = scope;
    let segment = cursor.segmentAt[id]!;
    const { recordType } = record;
    if (recordType !== 'payment' && recordType !== 'invoice') {
      if (!(record.chargeMicros > 0)) return;
      if (segment === 0) segment = blocks.ensure(id, USAGE_UNITS);
      const { f64 } = cursor;
      if (record.eventTime >= f64[segment + ISSUED_AT]!) f64[segment + UNBILLED]! += record.chargeMicros;
      return;
    }
    if (segment === 0 || cursor.segmentUnits[id]! < HEADER) segment = blocks.resize(id, HEADER);
    if (recordType === 'payment') {
      const invoice = record.invoiceId === '' ? 0 : fingerprint(record.invoiceId);
      // Some systems write a reversal, or money that goes back, with a minus.
      const micros = Math.abs(record.amountMicros);
      if (record.outcome === 'reversed' || (record.outcome === 'done' && record.amountMicros < 0))
        reverse(scope, micros, invoice);
      else if (record.outcome === 'done') settle(scope, blocks, micros, invoice);
      return;
    }
    if (record.eventTime >= cursor.f64[segment + ISSUED_AT]!) {
      cursor.f64[segment + ISSUED_AT] = record.eventTime;
      cursor.f64[segment + UNBILLED] = 0;
    }
    if (record.amountMicros > 0) addInvoice(scope, blocks);
    else settle(scope, blocks, -record.amountMicros, 0);
  };

  const sum = (scope: Scope, pick: (due: number, remaining: number) => number): number => {
    const { f64 } = scope.cursor;
    const first = scope.cursor.segmentAt[id]! + HEADER;
    let total = 0;
    for (let index = countOf(scope.cursor) - 1; index >= 0; index--) {
      const at = first + index * ENTRY;
      if (f64[at + REMAINING]! > 0) total += pick(f64[at + DUE]!, f64[at + REMAINING]!);
    }
    return total;
  };

  const unbilledMicros: Reader = ({ cursor }) => {
    const segment = cursor.segmentAt[id]!;
    return segment === 0 ? 0 : cursor.f64[segment + UNBILLED]!;
  };

  /** The first due time of an open invoice that is not before `from`. */
  const dueFrom = ({ cursor }: Scope, from: number): number => {
    const { f64 } = cursor;
    const first = cursor.segmentAt[id]! + HEADER;
    const count = countOf(cursor);
    for (let index = 0; index < count; index++) {
      const at = first + index * ENTRY;
      if (f64[at + REMAINING]! > 0 && f64[at + DUE]! >= from) return f64[at + DUE]!;
    }
    return Number.NaN;
  };
  const oldestDueAt: Reader = (scope) => dueFrom(scope, Number.NEGATIVE_INFINITY);

  /** Unit of the first invoice ever, 0 where it is paid or not known. */
  const firstInvoice = ({ cursor }: Scope): number => {
    const { f64 } = cursor;
    const segment = cursor.segmentAt[id]!;
    const count = countOf(cursor);
    for (let index = 0; index < count; index++) {
      const at = segment + HEADER + index * ENTRY;
      if (f64[at] === f64[segment + FIRST_ID] && f64[at + REMAINING]! > 0) return at;
    }
    return 0;
  };

  const ledger: Ledger = {
    id,
    signature: options.signature,
    unitsMax: HEADER + INVOICES_MAX * ENTRY,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: Number.POSITIVE_INFINITY,
    onArrival: false,
    history: undefined,
    update,
    unpaid: (scope) => sum(scope, (_due, remaining) => remaining) / MICROS_PER_UNIT,
    overdue: (scope) => sum(scope, (due, remaining) => (due < scope.now ? remaining : 0)) / MICROS_PER_UNIT,
    oldestDueAt,
    nextDueAt: (scope) => dueFrom(scope, scope.now),
    lastDueAt: ({ cursor, now }) => {
      const { f64 } = cursor;
      const first = cursor.segmentAt[id]! + HEADER;
      for (let index = countOf(cursor) - 1; index >= 0; index--) {
        const at = first + index * ENTRY;
        if (f64[at + REMAINING]! > 0 && f64[at + DUE]! < now) return f64[at + DUE]!;
      }
      return Number.NaN;
    },
    pastDueMs: (scope) => {
      const due = oldestDueAt(scope);
      return due < scope.now ? scope.now - due : 0;
    },
    openInvoices: (scope) => sum(scope, () => 1),
    overdueInvoices: (scope) => sum(scope, (due) => (due < scope.now ? 1 : 0)),
    unbilled: (scope) => unbilledMicros(scope) / MICROS_PER_UNIT,
    exposure: (scope) => (sum(scope, (_due, remaining) => remaining) + unbilledMicros(scope)) / MICROS_PER_UNIT,
    firstInvoiceAt: ({ cursor }) => {
      const segment = cursor.segmentAt[id]!;
      if (segment === 0 || cursor.segmentUnits[id]! < HEADER) return Number.NaN;
      return cursor.f64[segment + FIRST_AT]! || Number.NaN;
    },
    firstDueAt: (scope) => {
      const at = firstInvoice(scope);
      return at === 0 ? Number.NaN : scope.cursor.f64[at + DUE]!;
    },
    firstUnpaid: (scope) => {
      const at = firstInvoice(scope);
      return at === 0 ? 0 : scope.cursor.f64[at + REMAINING]! / MICROS_PER_UNIT;
    },
    ageing(scope) {
      const open = (from: number, to: number): number =>
        sum(scope, (due, remaining) => {
          const days = due < scope.now ? Math.floor((scope.now - due) / DAY_MS) : 0;
          return days >= from && days <= to ? remaining : 0;
        }) / MICROS_PER_UNIT;
      return {
        current: open(0, 0),
        days1To30: open(1, 30),
        days31To60: open(31, 60),
        days61To90: open(61, 90),
        daysOver90: open(91, Number.POSITIVE_INFINITY),
      };
    },
    invoices(scope) {
      const { f64 } = scope.cursor;
      const first = scope.cursor.segmentAt[id]! + HEADER;
      return Array.from({ length: countOf(scope.cursor) }, (_, index) => {
        const at = first + index * ENTRY;
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
  return ledger;
}
