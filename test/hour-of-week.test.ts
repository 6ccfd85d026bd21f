import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { localTime } from '../src/reference/local-time.ts';
import { createHourOfWeek, HOUR_RECORDS_MAX } from '../src/state/hour-of-week.ts';
import { createKeyState } from './key-state.ts';

const HOUR_MS = 3_600_000;
const WEEK_MS = 168 * HOUR_MS;
/** Two weeks before the clocks of Berlin go forward, on the last Sunday of March. */
const BEGIN = Date.parse('2026-03-16T00:20:00Z');
const berlin = localTime('Europe/Berlin');
const utc = localTime('UTC');

/** The local hour of a time without the code under test: what Intl shows, as a text. */
function wallHour(zone: string): (at: number) => string {
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
  });
  return (at) => format.format(at);
}

/** Texts of the same hour of the week in the four weeks before. */
function hoursBefore(text: string): string[] {
  const [date, hour] = text.split(' ');
  return [1, 2, 3, 4].map(
    (week) => `${new Date(Date.parse(`${date}T00:00:00Z`) - week * WEEK_MS).toISOString().slice(0, 10)} ${hour}`,
  );
}

describe('the usual total of an hour of the week', () => {
  test.each(['UTC', 'Europe/Berlin', 'Australia/Lord_Howe'])('is the one of the definition in %s', (zone) => {
    const { hourNumber } = localTime(zone);
    const wall = wallHour(zone);
    const jump = fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 2 * HOUR_MS }) },
      { weight: 3, arbitrary: fc.constantFrom(WEEK_MS, WEEK_MS - HOUR_MS, 24 * HOUR_MS, HOUR_MS) },
      { weight: 1, arbitrary: fc.integer({ min: -6 * HOUR_MS, max: 0 }) },
      { weight: 1, arbitrary: fc.integer({ min: -5 * WEEK_MS, max: 9 * WEEK_MS }) },
    );
    const records = fc.array(
      fc.record({
        jump,
        key: fc.integer({ min: 1, max: 2 }),
        value: fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 9_000 }) }, fc.constant(Number.NaN)),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(
        records,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 5 * WEEK_MS }),
        (all, samplesMin, wait) => {
          const state = createKeyState();
          const counted = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber });
          const summed = createHourOfWeek({
            id: 7,
            signature: 'sum',
            of: ({ record }) => record.durationMs,
            hourNumber,
          });
          const usual = { samplesMin, perUnit: 1_000, since: 0 };
          const meanCount = counted.mean({ ...usual, perUnit: 1 });
          const meanSum = summed.mean(usual);
          const seen: { key: number; at: number; value: number }[] = [];
          const check = (key: number): void => {
            const cells = hoursBefore(wall(state.scope.now));
            const inCells = seen.filter((one) => one.key === key && cells.includes(wall(one.at)));
            expect(meanCount(state.scope)).toBe(inCells.length < samplesMin ? Number.NaN : inCells.length / 4);
            const known = inCells.filter(({ value }) => !Number.isNaN(value));
            const total = known.reduce((sum, { value }) => sum + value, 0);
            expect(meanSum(state.scope)).toBe(known.length < samplesMin ? Number.NaN : total / 4 / 1_000);
          };
          let at = BEGIN;
          for (const { jump: by, key, value } of all) {
            at += by;
            state.apply(key, { eventTime: at, durationMs: value }, counted, summed);
            seen.push({ key, at, value });
            check(key);
          }
          for (const key of [1, 2]) {
            if (!state.look(key)) continue;
            state.look(key, state.scope.now + wait);
            check(key);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('compares nine in the morning with nine in the morning when the clocks have changed', () => {
    const state = createKeyState();
    const operator = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber: berlin.hourNumber });
    const mean = operator.mean({ samplesMin: 1, perUnit: 1, since: 0 });
    for (let count = 0; count < 8; count++)
      state.apply(1, { eventTime: Date.parse('2026-03-25T09:10:00+01:00') }, operator);
    state.look(1, Date.parse('2026-04-01T09:50:00+02:00'));
    expect(mean(state.scope)).toBe(2);
    state.look(1, Date.parse('2026-04-01T10:10:00+02:00'));
    expect(mean(state.scope)).toBeNaN();
  });

  test('leaves the hour that runs out, and forgets what is more than four weeks back', () => {
    const state = createKeyState();
    const operator = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber: utc.hourNumber });
    const mean = operator.mean({ samplesMin: 1, perUnit: 1, since: 0 });
    for (let count = 0; count < 12; count++) state.apply(1, { eventTime: BEGIN }, operator);
    expect(mean(state.scope)).toBeNaN();
    state.look(1, BEGIN + 4 * WEEK_MS);
    expect(mean(state.scope)).toBe(3);
    state.look(1, BEGIN + 5 * WEEK_MS);
    expect(mean(state.scope)).toBeNaN();
  });

  test('takes 4 bytes an hour, however many weeks a number is called in every hour', () => {
    const state = createKeyState();
    const operator = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber: utc.hourNumber });
    for (let hour = 0; hour < 12 * 168; hour++) state.apply(1, { eventTime: BEGIN + hour * HOUR_MS }, operator);
    expect(state.scope.cursor.segmentUnits[4]! * 8).toBeLessThanOrEqual(8 + 676 * 4);
    expect(operator.mean({ samplesMin: 4, perUnit: 1, since: 0 })(state.scope)).toBe(1);
    state.apply(2, { eventTime: BEGIN }, operator);
    expect(state.scope.cursor.segmentUnits[4]).toBe(2);
  });

  test('counts an hour up to a limit', () => {
    const state = createKeyState();
    const operator = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber: utc.hourNumber });
    state.apply(1, { eventTime: BEGIN }, operator);
    const { cursor } = state.scope;
    cursor.u32[(cursor.segmentAt[4]! + 1) * 2]! += HOUR_RECORDS_MAX - 2;
    for (let count = 0; count < 3; count++) state.apply(1, { eventTime: BEGIN }, operator);
    state.look(1, BEGIN + WEEK_MS);
    expect(operator.mean({ samplesMin: 1, perUnit: 1, since: 0 })(state.scope)).toBe(HOUR_RECORDS_MAX / 4);
  });

  test('divides by the weeks that it has seen, where it began in the middle of the stream', () => {
    const state = createKeyState();
    const operator = createHourOfWeek({ id: 4, signature: 'n', of: undefined, hourNumber: utc.hourNumber });
    const since = BEGIN - 2 * HOUR_MS;
    const mean = operator.mean({ samplesMin: 10, perUnit: 1, since });
    for (let count = 0; count < 12; count++) state.apply(1, { eventTime: BEGIN }, operator);
    for (const [weeks, expected] of [
      [1, 12],
      [2, 6],
      [4, 3],
    ] as const) {
      state.look(1, BEGIN + weeks * WEEK_MS);
      expect(mean(state.scope)).toBe(expected);
    }
  });
});
