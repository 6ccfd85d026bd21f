import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { createPromises } from '../src/state/promises.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const HOUR_MS = 3_600_000;

describe('promises to pay', () => {
  test('are what a list of all records says', () => {
    const entry = fc.oneof(
      fc.record({
        what: fc.constant('promise' as const),
        hour: fc.integer({ min: 0, max: 30 }),
        until: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }),
        amount: fc.option(fc.integer({ min: 1, max: 90 }), { nil: undefined }),
      }),
      fc.record({
        what: fc.constant('payment' as const),
        hour: fc.integer({ min: 0, max: 40 }),
        amount: fc.integer({ min: 1, max: 50 }),
        minus: fc.boolean(),
        outcome: fc.constantFrom<UsageRecord['outcome']>('done', 'done', 'failed', 'reversed'),
      }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 30 }), (entries) => {
        const state = createKeyState();
        const promises = createPromises({ id: 6, signature: 'promises' });
        let made: { at: number; until: number; amount: number } | undefined;
        let inTime = Number.NaN;
        let inAll = Number.NaN;
        for (const entry of entries) {
          const eventTime = BEGIN + entry.hour * HOUR_MS;
          if (entry.what === 'promise') {
            const attributes = {
              ...(entry.until === undefined ? {} : { promiseAt: BEGIN + entry.until * HOUR_MS }),
              ...(entry.amount === undefined ? {} : { promiseAmount: entry.amount }),
            };
            state.apply(1, { recordType: 'account', event: 'paymentPromised', eventTime, attributes }, promises);
            if (entry.until !== undefined && !(eventTime < (made?.at ?? 0))) {
              made = { at: eventTime, until: attributes.promiseAt!, amount: entry.amount ?? Number.NaN };
              inTime = 0;
              inAll = 0;
            }
          } else {
            const { amount, outcome } = entry;
            const amountMicros = amount * (outcome === 'reversed' && entry.minus ? -1e6 : 1e6);
            state.apply(1, { recordType: 'payment', eventTime, amountMicros, outcome }, promises);
            if (made !== undefined && eventTime >= made.at && outcome !== 'failed') {
              const sign = outcome === 'reversed' ? -1 : 1;
              inAll = Math.max(0, inAll + sign * amount);
              if (sign < 0 || eventTime <= made.until) inTime = Math.max(0, inTime + sign * amount);
            }
          }
          const { scope } = state;
          expect([
            promises.promiseAt(scope),
            promises.promiseAmount(scope),
            promises.promisePaid(scope),
            promises.paidSincePromise(scope),
          ]).toEqual([made?.until ?? Number.NaN, made?.amount ?? Number.NaN, inTime, inAll]);
        }
        if (made === undefined) expect(state.scope.cursor.segmentAt[6] ?? 0).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
