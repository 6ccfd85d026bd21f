import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { localTime } from '../src/reference/local-time.ts';
import { createRankings, DAYS_KEPT_MAX, LOOK_SPAN_MS, partOf, STEPS, stepOf } from '../src/state/rankings.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const DAY = 20_000;
const MIDNIGHT = DAY * DAY_MS;
const rankings = (zone = 'UTC') => createRankings({ localTime: localTime(zone), latenessMs: 300_000 });

describe('steps', () => {
  test('rise with the figure, and lie less than 1.6 % apart', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-4, max: 1e15, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (value, more) => {
          const other = value * (1 + more);
          expect(stepOf(other)).toBeGreaterThanOrEqual(stepOf(value));
          if (other >= value * 1.016) expect(stepOf(other)).toBeGreaterThan(stepOf(value));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('tell whole numbers apart up to 128', () => {
    const steps = Array.from({ length: 129 }, (_, value) => stepOf(value));
    expect(new Set(steps).size).toBe(129);
  });

  test('hold anything: what is not above zero first, what is beyond all limits last', () => {
    expect([Number.NEGATIVE_INFINITY, -1, -0, 0, Number.NaN].map(stepOf)).toEqual([0, 0, 0, 0, 0]);
    expect([Number.MIN_VALUE, 1e300, Number.POSITIVE_INFINITY].map(stepOf)).toEqual([1, STEPS - 1, STEPS - 1]);
  });
});

describe('ranks', () => {
  test('are the share below, with those of the same step half below, as sorting would give it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 128 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: 128 }),
        (values, asked) => {
          const ranks = rankings();
          for (const value of values) ranks.add('value', stepOf(value), DAY);
          const below = values.filter((value) => value < asked).length;
          const same = values.filter((value) => value === asked).length;
          const wanted = (below + same / 2) / values.length;
          expect(ranks.rank('value', stepOf(asked), DAY)).toBeCloseTo(wanted, 12);
          expect(ranks.rank('monetary', stepOf(asked), DAY)).toBeNaN();
          expect(ranks.rank('value', stepOf(asked), DAY + 1)).toBeNaN();
        },
      ),
      { numRuns: 500 },
    );
  });

  test('take in what is added after the first question', () => {
    const ranks = rankings();
    ranks.add('value', 10, DAY);
    expect(ranks.rank('value', 11, DAY)).toBe(1);
    ranks.add('value', 12, DAY);
    expect(ranks.rank('value', 11, DAY)).toBe(0.5);
  });

  test(`of more than ${DAYS_KEPT_MAX} days only the newest are kept, and a late look cannot bring an old one back`, () => {
    const ranks = rankings();
    for (let day = 0; day < 10; day++) ranks.add('value', day + 1, DAY + day);
    expect(ranks.snapshot().map(({ day }) => day - DAY)).toEqual([6, 7, 8, 9]);
    ranks.add('value', 1, DAY);
    expect(ranks.snapshot()).toHaveLength(DAYS_KEPT_MAX);
  });

  test('are the same from a snapshot that went through JSON', () => {
    const ranks = rankings();
    for (let value = 0; value < 100; value++) {
      ranks.add('value', stepOf(value), DAY);
      ranks.add('recency', stepOf(value % 7), DAY + 1);
    }
    const restored = rankings();
    restored.restore(JSON.parse(JSON.stringify(ranks.snapshot())));
    expect(restored.snapshot()).toEqual(ranks.snapshot());
    for (let value = 0; value < 100; value++) {
      expect(restored.rank('value', stepOf(value), DAY)).toBe(ranks.rank('value', stepOf(value), DAY));
      expect(restored.rank('recency', stepOf(value), DAY + 1)).toBe(ranks.rank('recency', stepOf(value), DAY + 1));
    }
  });
});

describe('days', () => {
  test('are settled an hour after their end', () => {
    const ranks = rankings();
    expect(ranks.dayBehind(MIDNIGHT + HOUR_MS - 1)).toBe(DAY - 2);
    expect(ranks.dayBehind(MIDNIGHT + HOUR_MS)).toBe(DAY - 1);
    expect(ranks.nextChangeAfter(MIDNIGHT + HOUR_MS - 1)).toBe(MIDNIGHT + HOUR_MS);
  });

  test.each(['UTC', 'Asia/Shanghai', 'America/New_York', 'Pacific/Auckland', 'Asia/Kathmandu', 'America/St_Johns'])(
    'no look is near midnight of %s, in summer and winter',
    (zone) => {
      const local = localTime(zone);
      const { lookFromMs } = rankings(zone);
      for (let month = 0; month < 12; month++) {
        const from = MIDNIGHT + month * 30 * DAY_MS + lookFromMs;
        for (const at of [from, from + LOOK_SPAN_MS - 1]) {
          expect(local.minuteOfDay(at)).toBeGreaterThanOrEqual(60);
          expect(local.minuteOfDay(at)).toBeLessThan(23 * 60);
        }
        expect(local.dayNumber(from)).toBe(local.dayNumber(from + LOOK_SPAN_MS - 1));
      }
    },
  );
});

test('parts of a rank: the first begins at 0, the last ends at 1', () => {
  expect([0, 0.1999, 0.2, 0.5, 0.8, 0.999, 1].map((rank) => partOf(rank, 5))).toEqual([1, 1, 2, 3, 5, 5, 5]);
  expect(partOf(Number.NaN, 5)).toBeNaN();
});
