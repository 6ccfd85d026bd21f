import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { CHURNED, createRevenue, PANE_MS, PANES, REVENUE_MS } from '../src/state/revenue.ts';
import { createKeyState, type KeyState } from './key-state.ts';

const DAY_MS = 86_400_000;
const BEGIN = 2_046 * PANE_MS;
const revenue = createRevenue({ id: 3, signature: '', graceMs: 7 * DAY_MS });

const voice = (charge: number): Partial<UsageRecord> => ({ recordType: 'voice', chargeMicros: charge * 1e6 });
const money = (recordType: 'topup' | 'payment', amount: number, outcome: UsageRecord['outcome'] = 'done') => ({
  recordType,
  amountMicros: amount * 1e6,
  outcome,
});
const account = (event: string, attributes: Record<string, unknown> = {}): Partial<UsageRecord> => ({
  recordType: 'account',
  event,
  attributes,
});
/** Applies records at days after BEGIN to one key and leaves it bound at the last. */
const stateAfter = (...records: [number, Partial<UsageRecord>][]): KeyState => {
  const state = createKeyState();
  for (const [day, fields] of records) state.apply(1, { eventTime: BEGIN + day * DAY_MS, ...fields }, revenue);
  return state;
};
const figures = ({ scope }: KeyState) => {
  const source = revenue.sourceOf(scope);
  const from = scope.now - REVENUE_MS;
  return {
    source,
    amount: revenue.amount(scope, source, from, scope.now + 1),
    events: revenue.events(scope, source, from, scope.now + 1),
  };
};

describe('nothing counts twice', () => {
  test('of an account that says nothing, the charges, but top-ups where they are more than twice as much', () => {
    expect(figures(stateAfter([0, money('topup', 8)], [1, voice(4)]))).toEqual({
      source: 'charges',
      amount: 4,
      events: 1,
    });
    expect(figures(stateAfter([0, voice(3)], [1, voice(4)]))).toEqual({ source: 'charges', amount: 7, events: 2 });
    expect(figures(stateAfter([0, money('topup', 10)], [1, voice(4)]))).toEqual({
      source: 'paidIn',
      amount: 10,
      events: 1,
    });
    expect(figures(stateAfter([0, money('topup', 2)], [1, voice(4)]))).toEqual({
      source: 'charges',
      amount: 4,
      events: 1,
    });
  });

  test('of a prepaid account, payments are what top-ups were bought with', () => {
    const state = stateAfter(
      [0, account('profile', { paymentType: 'prepaid' })],
      [1, money('topup', 10)],
      [1, money('payment', 10)],
    );
    expect(figures(state)).toEqual({ source: 'paidIn', amount: 10, events: 1 });
    expect(revenue.postpaid(state.scope)).toBe(false);
  });

  test('of a postpaid account, paid invoices; the charges while none was paid', () => {
    const postpaid = account('profile', { paymentType: 'postpaid' });
    expect(figures(stateAfter([0, postpaid], [1, voice(40)]))).toEqual({ source: 'charges', amount: 40, events: 1 });
    const paid = stateAfter(
      [0, postpaid],
      [1, voice(40)],
      [2, { recordType: 'invoice', amountMicros: 3e7 }],
      [3, money('payment', 30)],
    );
    expect(figures(paid)).toEqual({ source: 'paidIn', amount: 30, events: 1 });
    expect(revenue.postpaid(paid.scope)).toBe(true);
  });

  test('an account with an invoice that says nothing is postpaid', () => {
    expect(revenue.postpaid(stateAfter([0, { recordType: 'invoice', amountMicros: 3e7 }]).scope)).toBe(true);
    expect(revenue.postpaid(stateAfter([0, money('topup', 5)]).scope)).toBe(false);
  });

  test('what failed is none, what was reversed is taken off', () => {
    const state = stateAfter(
      [0, money('topup', 10)],
      [1, money('topup', 20, 'failed')],
      [2, money('topup', 10, 'reversed')],
    );
    expect(figures(state)).toMatchObject({ amount: 0, events: 0 });
    expect(revenue.lastAt(state.scope)).toBe(BEGIN);
  });

  test('free usage is no revenue and takes no room for it', () => {
    const state = stateAfter([0, voice(0)]);
    expect(revenue.lastAt(state.scope)).toBeNaN();
    expect(state.scope.cursor.segmentUnits[3]).toBe(4);
  });
});

describe('panes', () => {
  test('agree with a sum over all records wherever a span begins and ends at a pane', () => {
    const records = fc.array(
      fc.record({
        day: fc.integer({ min: 0, max: 250 }),
        charge: fc.integer({ min: 1, max: 100 }),
        paid: fc.boolean(),
      }),
      { minLength: 1, maxLength: 80 },
    );
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 }), (drawn, first, length) => {
        const state = createKeyState();
        let clock = 0;
        const kept: typeof drawn = [];
        for (const record of drawn) {
          state.apply(
            1,
            {
              eventTime: BEGIN + record.day * DAY_MS,
              ...(record.paid ? money('topup', record.charge) : voice(record.charge)),
            },
            revenue,
          );
          // Older than all panes when it came.
          if (Math.floor(record.day / 10) > Math.floor(clock / 10) - PANES) kept.push(record);
          clock = Math.max(clock, record.day);
        }
        const pane = Math.floor(clock / 10);
        const from = Math.max(0, pane - first);
        const to = Math.min(pane, from + length);
        state.look(1, BEGIN + (pane + 1) * PANE_MS - 1);
        const inside = kept.filter(
          ({ day }) => day >= from * 10 && day < (to + 1) * 10 && Math.floor(day / 10) > pane - PANES,
        );
        for (const source of ['charges', 'paidIn'] as const) {
          const mine = inside.filter(({ paid }) => paid === (source === 'paidIn'));
          const span = [BEGIN + from * PANE_MS, BEGIN + (to + 1) * PANE_MS] as const;
          expect(revenue.amount(state.scope, source, ...span)).toBe(mine.reduce((sum, { charge }) => sum + charge, 0));
          expect(revenue.events(state.scope, source, ...span)).toBe(mine.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a steady subscriber has the same sum wherever the span ends', () => {
    const state = createKeyState();
    for (let hour = 0; hour < 200 * 24; hour++)
      state.apply(1, { eventTime: BEGIN + hour * 3_600_000, ...voice(1) }, revenue);
    for (let back = 0; back < 50; back += 0.5) {
      const to = state.scope.now - back * DAY_MS;
      expect(Math.abs(revenue.amount(state.scope, 'charges', to - 30 * DAY_MS, to) - 720)).toBeLessThan(8);
    }
  });
});

describe('stages', () => {
  test('the first is taken at once, each later one after so many evaluations running', () => {
    const state = stateAfter([0, voice(1)]);
    const { scope } = state;
    const found: number[] = [];
    for (const stage of [3, 4, 3, 4, 4, 5, 6, 5, 5]) {
      scope.now += DAY_MS;
      revenue.evaluateStage(scope, stage, scope.now, 2);
      found.push(revenue.stage(scope));
    }
    expect(found).toEqual([3, 3, 3, 3, 4, 4, 4, 4, 5]);
    expect(revenue.stageSince(scope)).toBe(BEGIN + 9 * DAY_MS);
  });

  test('a cease is told, not measured', () => {
    const state = stateAfter([0, voice(1)], [3, account('ceased')]);
    expect([revenue.stage(state.scope), revenue.stageSince(state.scope)]).toEqual([CHURNED, BEGIN + 3 * DAY_MS]);
    expect(revenue.goneAt(state.scope)).toBe(BEGIN + 3 * DAY_MS);
  });

  test('who uses the card again has come back; a last bill is no return, nor usage while the number is being ported', () => {
    const gone = (...records: [number, Partial<UsageRecord>][]): boolean =>
      !Number.isNaN(revenue.goneAt(stateAfter(...records).scope));
    expect(gone([0, account('ceased')], [1, money('payment', 5)])).toBe(true);
    expect(gone([0, account('ceased')], [1, voice(1)])).toBe(false);
    expect(gone([0, account('ceased')], [1, account('resumed')])).toBe(false);
    expect(gone([0, account('portOutRequested')], [7, voice(1)])).toBe(true);
    expect(gone([0, account('portOutRequested')], [8, voice(1)])).toBe(false);
    expect(gone([0, account('portOutRequested')], [1, account('contractRenewed')])).toBe(false);
  });
});

test('of the RFM sums the mean of each pane is remembered, and that of about the last ten looks', () => {
  const looks = fc.array(
    fc.record({
      days: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 120 })),
      sum: fc.integer({ min: 3, max: 15 }),
    }),
    { minLength: 1, maxLength: 150 },
  );
  fc.assert(
    fc.property(looks, (drawn) => {
      const { scope } = stateAfter([0, voice(1)]);
      const panes = new Map<number, number[]>();
      const mean = (sums: readonly number[] | undefined): number =>
        sums === undefined ? Number.NaN : Math.round(sums.reduce((total, sum) => total + sum, 0) / sums.length);
      for (const { days, sum } of drawn) {
        scope.now += days * DAY_MS;
        const pane = Math.floor(scope.now / PANE_MS);
        panes.set(pane, [...(panes.get(pane) ?? []), sum]);
        revenue.keepSum(scope, sum);
        const wanted = Array.from({ length: 8 }, (_, back) => mean(panes.get(pane - 1 - back)));
        expect(wanted.map((_, back) => revenue.sumBefore(scope, back + 1))).toEqual(wanted);
        const running = panes.get(pane)!;
        const before = mean(panes.get(pane - 1));
        const filled = Number.isNaN(before) ? running : [...running, ...Array(10 - running.length).fill(before)];
        expect(revenue.sumNow(scope)).toBe(mean(filled));
        scope.now += 10 * DAY_MS;
        expect([1, 2].map((back) => revenue.sumBefore(scope, back))).toEqual([Number.NaN, mean(panes.get(pane - 1))]);
        expect(revenue.sumNow(scope)).toBe(mean(running));
        scope.now -= 10 * DAY_MS;
      }
    }),
    { numRuns: 200 },
  );
});

test('figures and ranks are kept beside each other, and each can be changed alone', () => {
  const cases = fc.record({
    day: fc.integer({ min: 0, max: 2047 }),
    steps: fc.array(fc.integer({ min: 0, max: 4095 }), { minLength: 4, maxLength: 4 }),
    percentile: fc.integer({ min: 0, max: 100 }),
    quintiles: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 3, maxLength: 3 }),
    figuresLast: fc.boolean(),
  });
  fc.assert(
    fc.property(cases, ({ day, steps, percentile, quintiles, figuresLast }) => {
      const { scope } = stateAfter([0, account('profile', { paymentType: 'postpaid' })], [0, voice(1)]);
      expect([revenue.percentile(scope), revenue.quintile(scope, 0)]).toEqual([Number.NaN, Number.NaN]);
      const write = [
        () => revenue.keepFigures(scope, day, steps),
        () => revenue.keepRanks(scope, percentile, quintiles),
      ];
      for (const step of figuresLast ? write.toReversed() : write) step();
      expect([0, 1, 2, 3].map((metric) => revenue.figure(scope, metric))).toEqual(steps);
      expect([0, 1, 2].map((metric) => revenue.quintile(scope, metric))).toEqual(quintiles);
      expect([revenue.figuresDay(scope), revenue.percentile(scope)]).toEqual([day, percentile]);
      expect([revenue.postpaid(scope), revenue.amount(scope, 'charges', 0, scope.now + 1)]).toEqual([true, 1]);
    }),
  );
});

test('a value is kept exactly enough, and zero is a value', () => {
  const { scope } = stateAfter([0, voice(1)]);
  expect(revenue.value(scope)).toBeNaN();
  revenue.keepValue(scope, 1234.5);
  expect(revenue.value(scope)).toBe(1234.5);
  revenue.keepValue(scope, 0);
  expect(revenue.value(scope)).toBeCloseTo(0, 20);
  revenue.keepValue(scope, -3);
  expect(revenue.value(scope)).toBeCloseTo(0, 20);
});
