/**
 * The stages of dunning together: reminder, bar, hand-over. Each counts from the due date of the oldest invoice that is open
 * at that moment, so whatever is paid in between, no stage comes without the one before it.
 *
 * A peer (killbill/killbill#2297) plans its next look from the day of the last look. Where older invoices are paid in
 * between, the looks no longer meet the stages and an account goes from clear to blocked without a warning.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { DEFAULTS } from '../src/config.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import type { Rule } from '../src/rules/rule.ts';
import { BEGIN, DAY_MS, engineWith, HOUR_MS, recordAt, restarted } from './rule-engine.ts';

// With the model of bad debt, of which one of the rules speaks.
const { sources } = parseRules(
  readRuleFiles(DEFAULTS.rules).filter(({ file }) => file.startsWith('arrears/') || file === 'models/arrears.yaml'),
);
const STAGES = [
  ['A02', 10],
  ['A03', 14],
  ['A04', 60],
] as const;
const rules: Rule[] = sources.map(({ rule }) => rule).filter(({ catalogue }) => /^A0[234]$|^A14$/.test(catalogue));

const invoice = (hour: number, dueDay: number, amount: number): UsageRecord =>
  recordAt(hour * HOUR_MS, {
    recordType: 'invoice',
    invoiceId: `${hour}`,
    dueTime: BEGIN + dueDay * DAY_MS,
    amountMicros: amount * 1e6,
  });
const payment = (hour: number, amount: number): UsageRecord =>
  recordAt(hour * HOUR_MS, { recordType: 'payment', amountMicros: amount * 1e6 });

/** Alerts of these records, in order, until `days` have passed. */
function alertsOf(records: readonly UsageRecord[], days: number): AlertData[] {
  const engine = engineWith(rules);
  const alerts: AlertData[] = [];
  for (const record of records) engine.apply(record, alerts);
  engine.tick(BEGIN + days * DAY_MS, alerts);
  while (engine.fireTimers(100, alerts) > 0);
  return alerts;
}
const lines = (alerts: readonly AlertData[]): string[] =>
  alerts.map(({ catalogue, status, eventTime }) => `${catalogue} ${status} ${(eventTime - BEGIN) / DAY_MS}`);

describe('dunning', () => {
  test('goes from reminder to bar to hand-over', () => {
    expect(lines(alertsOf([invoice(0, 14, 50)], 120))).toEqual(['A02 firing 24', 'A03 firing 28', 'A04 firing 74']);
  });

  test('counts anew when older invoices are paid: no stage is skipped', () => {
    // Due on days 14, 19 and 24; the first two are paid one after the other just before the bar.
    const records = [
      invoice(0, 14, 50),
      invoice(1, 19, 50),
      invoice(2, 24, 50),
      payment(23 * 24, 50),
      payment(28 * 24 + 12, 50),
    ];
    expect(lines(alertsOf(records, 120))).toEqual(['A02 firing 34', 'A03 firing 38', 'A04 firing 84']);
  });

  test('ends a stage that the new oldest invoice has not reached, and comes back to it', () => {
    const records = [invoice(0, 14, 50), invoice(1, 22, 50), payment(30 * 24, 50)];
    expect(lines(alertsOf(records, 45))).toEqual([
      'A02 firing 24',
      'A03 firing 28',
      'A02 resolved 30',
      'A03 resolved 30',
      'A02 firing 32',
      'A03 firing 36',
    ]);
  });

  test('a key account is called instead of barred, whatever is paid in between', () => {
    const profile = recordAt(0, { recordType: 'account', event: 'profile', attributes: { tier: 'vip' } });
    const records = [profile, invoice(0, 14, 50), invoice(1, 22, 50), payment(20 * 24, 50)];
    expect(lines(alertsOf(records, 100))).toEqual(['A02 firing 32', 'A14 firing 36', 'A04 firing 82']);
    const standard = recordAt(33 * 24 * HOUR_MS, {
      recordType: 'account',
      event: 'profile',
      attributes: { tier: 'standard' },
    });
    expect(lines(alertsOf([...records, standard], 40))).toEqual(['A02 firing 32', 'A03 firing 36']);
  });

  test('goes on after a restart as if there had been none, with every rule of the desk', () => {
    const at = (hour: number, fields: Partial<UsageRecord>): UsageRecord => ({
      ...recordAt(hour * HOUR_MS, fields),
      recordId: `${hour}-${fields.recordType}`,
    });
    const records: UsageRecord[] = [
      at(0, {
        recordType: 'account',
        event: 'profile',
        attributes: { creditLimit: 100, cardExpiryAt: BEGIN + 12 * DAY_MS },
      }),
      at(1, { recordType: 'payment', amountMicros: 5e6, outcome: 'failed', declineCode: 'soft' }),
    ];
    for (let month = 0; month < 10; month++) {
      const day = month * 30;
      const amountMicros = (month === 8 ? 90 : 40) * 1e6;
      const dueTime = BEGIN + (day + 14) * DAY_MS;
      records.push(at(day * 24 + 2, { recordType: 'invoice', invoiceId: `I-${month}`, amountMicros, dueTime }));
      const paidOn = day + (month < 6 ? 10 : 27);
      if (month === 7) records.push(at((day + 5) * 24, { recordType: 'care', reason: 'dispute', ticketId: 'T-1' }));
      if (month === 7) {
        const attributes = { promiseAt: BEGIN + (day + 20) * DAY_MS, promiseAmount: 40 };
        records.push(at((day + 18) * 24, { recordType: 'account', event: 'paymentPromised', attributes }));
      }
      if (month < 9) records.push(at(paidOn * 24, { recordType: 'payment', amountMicros }));
    }
    records.sort((a, b) => a.eventTime - b.eventTime);

    const alertsWith = (restartEvery: number): AlertData[] => {
      let engine = engineWith(sources);
      const alerts: AlertData[] = [];
      records.forEach((record, index) => {
        if (index % restartEvery === restartEvery - 1) engine = restarted(engine);
        engine.apply(record, alerts);
      });
      engine = restarted(engine);
      engine.tick(BEGIN + 400 * DAY_MS, alerts);
      while (engine.fireTimers(100, alerts) > 0);
      return alerts;
    };
    const once = alertsWith(1_000);
    expect(alertsWith(1)).toEqual(once);
    for (const id of ['A01', 'A02', 'A05', 'A09', 'A11', 'A12', 'A13']) expect(lines(once).join()).toContain(id);
  });

  test('is where the books say it is, whatever is billed and paid, and no stage comes without the one before', () => {
    // The bar leaves balances below 5 alone; here there are none.
    const fives = fc.integer({ min: 1, max: 15 }).map((number) => number * 5);
    const bill = fc.record({ hour: fc.integer({ min: 0, max: 90 * 24 }), amount: fives });
    const paid = fc.record({ hour: fc.integer({ min: 0, max: 150 * 24 }), amount: fives });
    fc.assert(
      fc.property(
        fc.array(bill, { minLength: 1, maxLength: 6 }),
        fc.array(paid, { maxLength: 8 }),
        (bills, payments) => {
          const records = [
            ...bills.map(({ hour, amount }) => invoice(hour, hour / 24 + 14, amount)),
            ...payments.map(({ hour, amount }) => payment(hour, amount)),
          ].sort((a, b) => a.eventTime - b.eventTime);
          const alerts = alertsOf(records, 260);

          // The books: payments close the oldest first, so what is open follows from the totals.
          const due = records.filter(({ recordType }) => recordType === 'invoice');
          const pastDueDays = (at: number): number => {
            const money = records
              .filter(({ recordType, eventTime }) => recordType === 'payment' && eventTime <= at)
              .reduce((sum, { amountMicros }) => sum + amountMicros, 0);
            let billed = 0;
            for (const { eventTime, dueTime, amountMicros } of due) {
              billed += amountMicros;
              if (eventTime <= at && billed > money) return (at - dueTime) / DAY_MS;
            }
            return Number.NEGATIVE_INFINITY;
          };
          const open = new Set<string>();
          let next = 0;
          const wrong: string[] = [];
          for (let hour = 0; hour <= 250 * 24; hour++) {
            const at = BEGIN + hour * HOUR_MS;
            for (; next < alerts.length && alerts[next]!.eventTime <= at; next++) {
              const { catalogue, status, eventTime } = alerts[next]!;
              if (status === 'resolved') open.delete(catalogue);
              else {
                open.add(catalogue);
                const reached = STAGES.find(([id]) => id === catalogue)![1];
                if (!(pastDueDays(eventTime) >= reached)) wrong.push(`${catalogue} too early at ${hour}`);
                for (const [id, days] of STAGES)
                  if (days < reached && !open.has(id)) wrong.push(`${catalogue} without ${id} at ${hour}`);
              }
            }
            const daysNow = pastDueDays(at);
            for (const [id, days] of STAGES) {
              if (daysNow >= days && !open.has(id)) wrong.push(`${id} missing at ${hour}`);
            }
          }
          expect(wrong.slice(0, 3)).toEqual([]);
          expect(alerts.every(({ catalogue }) => catalogue !== 'A14')).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});
