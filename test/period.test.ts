/** Totals of the current shift, against one that keeps every record. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { createEngine } from '../src/engine.ts';
import { parseLists } from '../src/reference/lists.ts';
import { holidaysOf, localTime } from '../src/reference/local-time.ts';
import { BEGIN, HOUR_MS, numberingPlan, recordAt, ruleWith, sourceOf } from './rule-engine.ts';

const NONE: ReadonlySet<number> = new Set();

describe('a shift', () => {
  // A week of March 2026 in Shanghai: Monday the 2nd.
  test.each([
    ['2026-03-02T05:59', 'weekend', '2026-02-27T22:00'],
    ['2026-03-02T06:00', 'evening', '2026-03-02T06:00'],
    ['2026-03-02T08:59', 'evening', '2026-03-02T06:00'],
    ['2026-03-02T09:00', 'day', '2026-03-02T09:00'],
    ['2026-03-02T16:59', 'day', '2026-03-02T09:00'],
    ['2026-03-02T17:00', 'evening', '2026-03-02T17:00'],
    ['2026-03-02T21:59', 'evening', '2026-03-02T17:00'],
    ['2026-03-02T22:00', 'night', '2026-03-02T22:00'],
    ['2026-03-03T05:59', 'night', '2026-03-02T22:00'],
    ['2026-03-06T21:59', 'evening', '2026-03-06T17:00'],
    ['2026-03-06T22:00', 'weekend', '2026-03-06T22:00'],
    ['2026-03-08T12:00', 'weekend', '2026-03-06T22:00'],
  ])('%s is %s since %s', (at, shift, since) => {
    const local = localTime('Asia/Shanghai');
    const time = Date.parse(`${at}:00+08:00`);
    expect(local.shiftOf(time, NONE)).toBe(shift);
    expect(local.shiftNumber(time, NONE)).toBe(Date.parse(`${since}:00Z`) / HOUR_MS);
    expect(local.timeOfDayMs(time)).toBe(Date.parse(`1970-01-01T${at.slice(11)}:00Z`));
  });

  test('of a holiday is a weekend of one day', () => {
    const local = localTime('UTC');
    const holidays = holidaysOf(['2026-03-04']);
    const at = (text: string) => [
      local.shiftOf(Date.parse(`${text}:00Z`), holidays),
      new Date(local.shiftNumber(Date.parse(`${text}:00Z`), holidays) * HOUR_MS).toISOString().slice(0, 13),
    ];
    expect(at('2026-03-03T23:00')).toEqual(['night', '2026-03-03T22']);
    expect(at('2026-03-04T00:00')).toEqual(['weekend', '2026-03-04T00']);
    expect(at('2026-03-04T23:59')).toEqual(['weekend', '2026-03-04T00']);
    expect(at('2026-03-05T00:00')).toEqual(['night', '2026-03-04T22']);
  });

  test('is not known of a time that is not', () => {
    const local = localTime('UTC');
    expect(local.shiftOf(Number.NaN, NONE)).toBe('');
    expect(local.shiftNumber(Number.NaN, NONE)).toBeNaN();
  });
});

describe('count and sum of the current shift', () => {
  const rule = ruleWith({
    features: {
      calls: { aggregate: 'count', window: 'shift' },
      seconds: { aggregate: 'sum', of: 'durationSec', window: 'shift' },
      longer: { aggregate: 'sum', of: 'durationSec + 0.5', window: 'shift' },
    },
    bands: [{ severity: 'warning', if: 'calls >= 1 && seconds >= 0 && longer >= 0', score: 50 }],
    reason: { en: '{calls} {seconds} {longer} {shift} {holiday}', 'zh-CN': '随机' },
    // So short that each record has an alert of its own.
    suppress: { for: '1s' },
  });

  test('agree with a reader that keeps every record', () => {
    const local = localTime('Asia/Shanghai');
    const { lists } = parseLists([{ file: 'lists/holidays.csv', text: 'kind,value\ndate,2026-03-04\n' }]);
    const holidays = holidaysOf(['2026-03-04']);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 10 * 24 * 60 }), { minLength: 1, maxLength: 40 }), (minutes) => {
        const engine = createEngine({ numberingPlan, localTime: local, horizonRecords: 1_024 });
        expect(engine.useRules([sourceOf(rule)], 'v', [], lists)).toEqual([]);
        let latest = 0;
        const shifts: number[] = [];
        for (const [index, minute] of minutes.sort((a, b) => a - b).entries()) {
          // Every third record comes a little late.
          const at = index % 3 === 2 ? Math.max(0, minute - 30) : minute;
          latest = Math.max(latest, at);
          const shiftOf = (value: number): number => local.shiftNumber(BEGIN + value * 60_000, holidays);
          shifts.push(shiftOf(at));
          const current = shiftOf(latest);
          const own = shifts.filter((shift) => shift === current);
          engine.tick(BEGIN + latest * 60_000, []);
          const alerts: AlertData[] = [];
          engine.apply(recordAt(at * 60_000, { durationMs: 7_000 }), alerts);
          const firing = alerts.filter(({ status }) => status === 'firing');
          if (own.length === 0 || firing.length === 0) continue;
          expect(firing.at(-1)!.evidence.map(({ value }) => value)).toEqual([
            own.length,
            own.length * 7,
            own.length * 7.5,
          ]);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('begin anew with the shift, and leave an earlier one alone', () => {
    const engine = createEngine({ numberingPlan, localTime: localTime('UTC'), horizonRecords: 1_024 });
    const counted = ruleWith({
      features: { calls: { aggregate: 'count', window: 'shift' } },
      bands: [{ severity: 'warning', if: 'calls >= 3', score: 50 }],
    });
    engine.useRules([sourceOf(counted)], 'v');
    const alerts: AlertData[] = [];
    // 10:00 to 16:59 is the day, 17:00 the evening.
    for (const hours of [0, 6.9, 7, 8, 6.95]) engine.apply(recordAt(hours * HOUR_MS), alerts);
    expect(alerts).toEqual([]);
    engine.apply(recordAt(9 * HOUR_MS), alerts);
    expect(alerts).toHaveLength(1);
  });

  test('are only for count and sum', () => {
    const engine = createEngine({ numberingPlan, localTime: localTime('UTC'), horizonRecords: 1_024 });
    const wrong = (fields: object) =>
      engine.checkRules([sourceOf(ruleWith({ features: { calls: { window: 'shift', ...fields } as never } }))])[0]
        ?.message;
    expect(wrong({ aggregate: 'max', of: 'durationSec' })).toBe("max has no window 'shift'; count and sum have");
    expect(wrong({ aggregate: 'sum' })).toBe("sum needs 'of', a number");
    expect(wrong({ aggregate: 'count', of: 'durationSec' })).toBe("count takes no 'of'; use 'where'");
  });
});
