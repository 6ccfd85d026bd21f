import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { createLedger, INVOICES_MAX } from '../src/state/ledger.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const DAY_MS = 86_400_000;
const MICROS = 1_000_000;

/** An account as a clerk would keep it on paper, in millionths. */
function paperLedger() {
  let open: { name: string; dueAt: number; amount: number; remaining: number }[] = [];
  let credit = 0;
  let unbilled = 0;
  let issuedAt = 0;
  const payInto = (invoice: (typeof open)[number], money: number): number => {
    const paid = Math.min(money, invoice.remaining);
    invoice.remaining -= paid;
    return money - paid;
  };
  const pay = (money: number, name: string): void => {
    let left = money;
    for (const invoice of open) if (name !== '' && invoice.name === name) left = payInto(invoice, left);
    for (const invoice of open) left = payInto(invoice, left);
    credit += left;
  };
  return {
    apply(record: Partial<UsageRecord>): void {
      const {
        recordType,
        eventTime = 0,
        amountMicros = 0,
        chargeMicros = 0,
        invoiceId = '',
        dueTime = 0,
        outcome = 'done',
      } = record;
      if (recordType === 'payment') {
        if (outcome === 'done') pay(amountMicros, invoiceId);
        if (outcome === 'reversed') {
          let left = amountMicros;
          const fromCredit = Math.min(left, credit);
          credit -= fromCredit;
          left -= fromCredit;
          const newestFirst = open.toReversed();
          const named = newestFirst.filter(({ name }) => invoiceId !== '' && name === invoiceId);
          for (const invoice of [...named, ...newestFirst]) {
            const opened = Math.min(left, invoice.amount - invoice.remaining);
            invoice.remaining += opened;
            left -= opened;
          }
        }
      } else if (recordType === 'invoice') {
        if (eventTime >= issuedAt) {
          issuedAt = eventTime;
          unbilled = 0;
        }
        if (amountMicros <= 0) pay(-amountMicros, '');
        else {
          const covered = Math.min(credit, amountMicros);
          credit -= covered;
          open.push({ name: invoiceId, dueAt: dueTime, amount: amountMicros, remaining: amountMicros - covered });
          open = open.toSorted((a, b) => a.dueAt - b.dueAt);
        }
      } else if (chargeMicros > 0 && eventTime >= issuedAt) unbilled += chargeMicros;
    },
    view(now: number) {
      const sum = (list: typeof open): number => list.reduce((total, { remaining }) => total + remaining, 0);
      const unpaid = open.filter(({ remaining }) => remaining > 0);
      const toCome = unpaid.filter(({ dueAt }) => dueAt >= now);
      const passed = unpaid.filter(({ dueAt }) => dueAt < now);
      const aged = (from: number, to: number): number =>
        sum(
          unpaid.filter(
            ({ dueAt }) => Math.max(0, Math.floor((now - dueAt) / DAY_MS)) >= from && (now - dueAt) / DAY_MS < to,
          ),
        ) / MICROS;
      const overdue = passed;
      return {
        unpaid: sum(unpaid) / MICROS,
        overdue: sum(overdue) / MICROS,
        oldestDueAt: unpaid[0]?.dueAt ?? Number.NaN,
        nextDueAt: toCome[0]?.dueAt ?? Number.NaN,
        lastDueAt: passed.at(-1)?.dueAt ?? Number.NaN,
        ageing: {
          current: aged(0, 1),
          days1To30: aged(1, 31),
          days31To60: aged(31, 61),
          days61To90: aged(61, 91),
          daysOver90: aged(91, Number.POSITIVE_INFINITY),
        },
        pastDueMs: overdue.length === 0 ? 0 : now - overdue[0]!.dueAt,
        openInvoices: unpaid.length,
        overdueInvoices: overdue.length,
        unbilled: unbilled / MICROS,
        exposure: (sum(unpaid) + unbilled) / MICROS,
      };
    },
  };
}

function ledgerOf() {
  const state = createKeyState();
  const ledger = createLedger({ id: 4, signature: 'ledger' });
  return {
    state,
    ledger,
    apply: (record: Partial<UsageRecord>) => state.apply(1, record, ledger),
    view() {
      const { scope } = state;
      return {
        unpaid: ledger.unpaid(scope),
        overdue: ledger.overdue(scope),
        oldestDueAt: ledger.oldestDueAt(scope),
        nextDueAt: ledger.nextDueAt(scope),
        lastDueAt: ledger.lastDueAt(scope),
        ageing: ledger.ageing(scope),
        pastDueMs: ledger.pastDueMs(scope),
        openInvoices: ledger.openInvoices(scope),
        overdueInvoices: ledger.overdueInvoices(scope),
        unbilled: ledger.unbilled(scope),
        exposure: ledger.exposure(scope),
      };
    },
  };
}

const day = fc.integer({ min: 0, max: 60 });
/** Far enough to see every bucket. */
const lookDay = fc.integer({ min: 0, max: 200 });
const cents = fc.integer({ min: 1, max: 20_000 }).map((amount) => amount * 10_000);
const name = fc.constantFrom('1', '2', '3', 'INV/4', 'INV/5');
const issued = fc.record({
  what: fc.constant('invoice' as const),
  day,
  name,
  amount: fc.oneof(
    { weight: 8, arbitrary: cents },
    cents.map((amount) => -amount),
    fc.constant(0),
  ),
  term: fc.integer({ min: -3, max: 30 }),
});
const paid = (outcomes: readonly UsageRecord['outcome'][]) =>
  fc.record({
    what: fc.constant('payment' as const),
    day,
    name: fc.oneof(fc.constant(''), name),
    amount: cents,
    outcome: fc.constantFrom(...outcomes),
  });
const used = fc.record({ what: fc.constant('charge' as const), day, amount: cents });
type Entry = {
  what: 'invoice' | 'payment' | 'charge';
  day: number;
  amount: number;
  name?: string;
  term?: number;
  outcome?: UsageRecord['outcome'];
};

function recordOf(entry: Entry): Partial<UsageRecord> {
  const eventTime = BEGIN + entry.day * DAY_MS;
  switch (entry.what) {
    case 'charge':
      return { recordType: 'voice', eventTime, chargeMicros: entry.amount };
    case 'invoice':
      return {
        recordType: 'invoice',
        eventTime,
        amountMicros: entry.amount,
        invoiceId: entry.name!,
        dueTime: eventTime + entry.term! * DAY_MS,
      };
    case 'payment':
      return {
        recordType: 'payment',
        eventTime,
        amountMicros: entry.amount,
        invoiceId: entry.name!,
        outcome: entry.outcome!,
      };
  }
}

function follow(entries: readonly Entry[], look: number): void {
  const { state, apply, view } = ledgerOf();
  const paper = paperLedger();
  for (const entry of entries) {
    const record = recordOf(entry);
    apply(record);
    paper.apply(record);
    expect(view()).toEqual(paper.view(state.scope.now));
  }
  if (!state.look(1, BEGIN + look * DAY_MS)) return;
  expect(view()).toEqual(paper.view(state.scope.now));
}

describe('ledger', () => {
  test('keeps the books of a clerk: partial, named and reversed payments, credit, any order', () => {
    const entry = fc.oneof(
      { weight: 1, arbitrary: issued },
      { weight: 3, arbitrary: paid(['done', 'reversed', 'failed']) },
      { weight: 1, arbitrary: used },
    );
    // Four invoices: paid ones are forgotten only where there are more, and a reversal may then find less to open again.
    const few = fc.array(entry, { maxLength: 40 }).map((entries) => {
      let invoices = 0;
      return entries.filter(({ what }) => what !== 'invoice' || invoices++ < 4);
    });
    fc.assert(fc.property(few, lookDay, follow), { numRuns: 400 });
  });

  test(`keeps up to ${INVOICES_MAX} open invoices, and any number of paid ones`, () => {
    const entry = fc.oneof(
      { weight: 3, arbitrary: issued },
      { weight: 2, arbitrary: paid(['done', 'failed']) },
      { weight: 1, arbitrary: used },
    );
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 120 }).map((entries) => {
          let invoices = 0;
          return entries.filter(({ what }) => what !== 'invoice' || invoices++ < INVOICES_MAX);
        }),
        day,
        follow,
      ),
      { numRuns: 150 },
    );
    const { apply, view, state } = ledgerOf();
    for (let month = 0; month < 200; month++) {
      apply(recordOf({ what: 'invoice', day: month, name: String(month), amount: 5_000_000, term: 14 }));
      apply(recordOf({ what: 'payment', day: month, name: '', amount: 5_000_000, outcome: 'done' }));
    }
    expect(view()).toMatchObject({ unpaid: 0, openInvoices: 0 });
    expect(state.scope.cursor.segmentUnits[4]).toBe(6 + 4 * 4);
  });

  test('of more debts than are kept, the two oldest become one: neither the amount nor the age is lost', () => {
    const { apply, view } = ledgerOf();
    for (let month = 0; month < INVOICES_MAX + 20; month++) {
      apply(recordOf({ what: 'invoice', day: month, name: String(month), amount: 1_230_000, term: 1 }));
    }
    expect(view()).toMatchObject({
      unpaid: ((INVOICES_MAX + 20) * 123) / 100,
      openInvoices: INVOICES_MAX,
      oldestDueAt: BEGIN + DAY_MS,
    });
    apply(recordOf({ what: 'payment', day: 90, name: '', amount: 68 * 1_230_000, outcome: 'done' }));
    expect(view()).toMatchObject({ unpaid: 0, openInvoices: 0 });
  });

  test('a bill paid in cents is paid, and what is left is the last cent', () => {
    const { apply, view } = ledgerOf();
    apply(recordOf({ what: 'invoice', day: 0, name: '1', amount: 49_990_000, term: 14 }));
    expect(view().unpaid).toBe(49.99);
    for (let n = 0; n < 4_998; n++)
      apply(recordOf({ what: 'payment', day: 1, name: '1', amount: 10_000, outcome: 'done' }));
    expect(view().unpaid).toBe(0.01);
    apply(recordOf({ what: 'payment', day: 1, name: '1', amount: 10_000, outcome: 'done' }));
    expect(view()).toMatchObject({ unpaid: 0, oldestDueAt: Number.NaN });
  });

  test('takes a reversal, and money that goes back, with a minus or without', () => {
    for (const [outcome, amount] of [
      ['reversed', 7_000_000],
      ['reversed', -7_000_000],
      ['done', -7_000_000],
    ] as const) {
      const { apply, view } = ledgerOf();
      apply(recordOf({ what: 'invoice', day: 0, name: '1', amount: 20_000_000, term: 14 }));
      apply(recordOf({ what: 'payment', day: 1, name: '', amount: 25_000_000, outcome: 'done' }));
      apply(recordOf({ what: 'payment', day: 2, name: '', amount, outcome }));
      expect(view().unpaid).toBe(2);
      apply(recordOf({ what: 'payment', day: 3, name: '', amount, outcome: 'failed' }));
      expect(view().unpaid).toBe(2);
    }
  });

  test('shows the open invoices with their numbers', () => {
    const { apply, ledger, state } = ledgerOf();
    apply(recordOf({ what: 'invoice', day: 0, name: '00123', amount: 20_000_000, term: 14 }));
    apply(recordOf({ what: 'invoice', day: 1, name: 'INV/4', amount: 10_000_000, term: 14 }));
    apply(recordOf({ what: 'invoice', day: 2, name: '77', amount: 5_000_000, term: 3 }));
    apply(recordOf({ what: 'payment', day: 3, name: '77', amount: 6_500_000, outcome: 'done' }));
    const [first, second, ...others] = ledger.invoices(state.scope);
    expect(first).toEqual({ invoiceId: '00123', dueAt: BEGIN + 14 * DAY_MS, amount: 20, remaining: 18.5 });
    // Letters are kept as a fingerprint only.
    expect(second).toMatchObject({ dueAt: BEGIN + 15 * DAY_MS, amount: 10, remaining: 10 });
    expect(second!.invoiceId).toMatch(/^#[0-9a-z]+$/);
    expect(others).toEqual([]);
  });

  test('remembers its first invoice, by issue, until that is paid', () => {
    const { apply, ledger, state } = ledgerOf();
    const first = (): number[] => {
      const { scope } = state;
      return [ledger.firstInvoiceAt(scope), ledger.firstDueAt(scope)].map((time) => (time - BEGIN) / DAY_MS);
    };
    apply({ recordType: 'voice', eventTime: BEGIN, chargeMicros: 1 });
    expect(first()).toEqual([Number.NaN, Number.NaN]);
    // Who is charged and never billed takes two units.
    expect(state.scope.cursor.segmentUnits[4]).toBe(2);
    apply(recordOf({ what: 'invoice', day: 5, name: 'second', amount: 20_000_000, term: 14 }));
    apply(recordOf({ what: 'invoice', day: 2, name: 'first', amount: 10_000_000, term: 30 }));
    apply(recordOf({ what: 'payment', day: 6, name: 'second', amount: 20_000_000, outcome: 'done' }));
    expect([...first(), ledger.firstUnpaid(state.scope)]).toEqual([2, 32, 10]);
    apply(recordOf({ what: 'payment', day: 7, name: '', amount: 10_000_000, outcome: 'done' }));
    expect([...first(), ledger.firstUnpaid(state.scope)]).toEqual([2, Number.NaN, 0]);
    apply(recordOf({ what: 'payment', day: 8, name: 'first', amount: 4_000_000, outcome: 'reversed' }));
    expect([...first(), ledger.firstUnpaid(state.scope)]).toEqual([2, 32, 4]);
    for (let month = 1; month < 20; month++) {
      apply(recordOf({ what: 'payment', day: month * 30, name: '', amount: 9_000_000, outcome: 'done' }));
      apply(recordOf({ what: 'invoice', day: month * 30, name: String(month), amount: 5_000_000, term: 14 }));
    }
    expect(first()).toEqual([2, Number.NaN]);
  });

  test('an account without records owes nothing', () => {
    const { state, view } = ledgerOf();
    state.apply(1, { eventTime: BEGIN });
    expect(view()).toEqual(paperLedger().view(BEGIN));
  });
});
