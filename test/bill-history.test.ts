import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBillHistory, WORST_BILLS_MAX } from '../src/state/bill-history.ts';
import { createLedger } from '../src/state/ledger.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const DAY_MS = 86_400_000;
const MICROS = 1_000_000;

describe('how late bills were paid', () => {
  test('is what a list of all bills says: means over stretches, and the worst of a window', () => {
    const bill = fc.record({
      after: fc.integer({ min: 0, max: 40 }),
      late: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 90 })),
      reopen: fc.boolean(),
    });
    const stretch = fc.record({ last: fc.integer({ min: 1, max: 6 }), skip: fc.integer({ min: 0, max: 4 }) });
    fc.assert(
      fc.property(
        fc.array(bill, { maxLength: 30 }),
        fc.array(stretch, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 300 }),
        (bills, stretches, windowDays) => {
          const state = createKeyState();
          const history = createBillHistory({ id: 5, signature: 'bills' });
          const longest = Math.max(...stretches.map(({ last, skip }) => last + skip));
          history.keep(longest);
          const means = stretches.map(({ last, skip }) => history.meanLateMs({ last, skip, samplesMin: 1 }));
          const worst = history.worstLateMs(windowDays * DAY_MS);
          const paid: { at: number; late: number; void: boolean }[] = [];
          let at = BEGIN;
          let voided = 0;
          let lateOnes = 0;
          for (const { after, late, reopen } of bills) {
            at += after * DAY_MS;
            const lateDays = late > 0 && ++lateOnes <= WORST_BILLS_MAX ? late : 0;
            state.apply(1, { eventTime: at });
            const number = history.paid(state.scope, state.blocks, lateDays * DAY_MS);
            expect(number).toBe(paid.push({ at, late: lateDays, void: false }));
            // More bills than three that are taken back at once are few: one of the last is.
            if (reopen && voided < 3) {
              voided++;
              history.reopened(state.scope, number);
              paid.at(-1)!.void = true;
            }
            const valid = paid.filter((one) => !one.void);
            stretches.forEach(({ last, skip }, index) => {
              const values = valid.slice(0, Math.max(0, valid.length - skip)).slice(-last);
              const mean = values.reduce((sum, one) => sum + one.late * DAY_MS, 0) / values.length;
              expect(means[index]!(state.scope)).toBe(mean);
            });
            const inWindow = paid.filter((one) => one.at > at - windowDays * DAY_MS).map((one) => one.late * DAY_MS);
            expect(worst(state.scope)).toBe(Math.max(0, ...inWindow));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('needs as many bills as it is asked for, and forgets the oldest of many late ones', () => {
    const state = createKeyState();
    const history = createBillHistory({ id: 5, signature: 'bills' });
    history.keep(3);
    const mean = history.meanLateMs({ last: 3, skip: 0, samplesMin: 3 });
    const worst = history.worstLateMs(10_000 * DAY_MS);
    state.apply(1, { eventTime: BEGIN });
    expect([mean(state.scope), worst(state.scope)]).toEqual([Number.NaN, 0]);
    for (let day = 30; day > 30 - WORST_BILLS_MAX - 2; day--) {
      state.apply(1, { eventTime: BEGIN + (40 - day) * DAY_MS });
      history.paid(state.scope, state.blocks, day * DAY_MS);
      if (day > 28) expect(mean(state.scope)).toBeNaN();
    }
    expect(worst(state.scope)).toBe(28 * DAY_MS);
    expect(mean(state.scope)).toBe(22 * DAY_MS);
    expect(history.unitsMax).toBeGreaterThanOrEqual(state.scope.cursor.segmentUnits[5]!);
  });

  test('is told by the ledger: in time, late, by credit, taken back and paid again', () => {
    const state = createKeyState();
    const ledger = createLedger({ id: 4, signature: 'ledger' });
    const history = createBillHistory({ id: 5, signature: 'bills' });
    history.keep(4);
    ledger.history = history;
    const mean = history.meanLateMs({ last: 4, skip: 0, samplesMin: 1 });
    const days = (): number => mean(state.scope) / DAY_MS;
    const invoice = (day: number, due: number, amount: number, invoiceId: string): void =>
      state.apply(
        1,
        {
          recordType: 'invoice',
          eventTime: BEGIN + day * DAY_MS,
          dueTime: BEGIN + due * DAY_MS,
          amountMicros: amount * MICROS,
          invoiceId,
        },
        ledger,
      );
    const payment = (day: number, amount: number, outcome: 'done' | 'reversed' = 'done'): void =>
      state.apply(
        1,
        { recordType: 'payment', eventTime: BEGIN + day * DAY_MS, amountMicros: amount * MICROS, outcome },
        ledger,
      );
    invoice(0, 14, 10, '1');
    invoice(1, 15, 10, '2');
    expect(days()).toBeNaN();
    payment(10, 15);
    expect(days()).toBe(0);
    payment(19, 10);
    // The second was four days late; five are left over, and cover half of the third.
    expect(days()).toBe(2);
    invoice(20, 30, 10, '3');
    expect(ledger.unpaid(state.scope)).toBe(5);
    payment(33, 5);
    expect(days()).toBeCloseTo(7 / 3, 6);
    payment(34, 5, 'reversed');
    expect(days()).toBe(2);
    expect(ledger.oldestDueAt(state.scope)).toBe(BEGIN + 30 * DAY_MS);
    payment(40, 15);
    expect(days()).toBeCloseTo(14 / 3, 6);
    // Ten were left over: the fourth is paid when it comes.
    invoice(45, 44, 10, '4');
    expect(ledger.openInvoices(state.scope)).toBe(0);
    expect(days()).toBeCloseTo(15 / 4, 6);
  });
});
