import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createChange, createFirst, createGaps, createLatest, GAPS_MAX } from '../src/state/latest.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const records = fc.array(
  fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    jump: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 5_000_000 }) },
      fc.integer({ min: -5_000_000, max: 0 }),
      fc.constantFrom(0, 1, 499, 500, 999),
    ),
    value: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -50, max: 50 }) }, fc.constant(Number.NaN)),
  }),
  { maxLength: 60 },
);

describe('latest', () => {
  test('keeps the newest value by event time, of equals the one that came last', () => {
    fc.assert(
      fc.property(records, (stream) => {
        const state = createKeyState();
        let value = 0;
        const latest = createLatest({ id: 2, signature: '', of: () => value });
        const seen = new Map<number, { at: number; value: number }[]>();
        let at = BEGIN;
        for (const record of stream) {
          at += record.jump;
          value = record.value;
          state.apply(record.key, { eventTime: at }, latest);
          const mine = [...(seen.get(record.key) ?? []), ...(Number.isNaN(value) ? [] : [{ at, value }])];
          seen.set(record.key, mine);
          const newest = mine.reduce<{ at: number; value: number } | undefined>(
            (best, one) => (best === undefined || one.at >= best.at ? one : best),
            undefined,
          );
          expect(latest.value(state.scope)).toBe(newest?.value ?? Number.NaN);
          expect(latest.at(state.scope)).toBe(newest?.at ?? Number.NaN);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('is not known before there was one', () => {
    const state = createKeyState();
    const latest = createLatest({ id: 2, signature: '', of: () => Number.NaN });
    state.apply(1, { eventTime: BEGIN }, latest);
    expect([latest.value(state.scope), latest.at(state.scope)]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe('first', () => {
  test('is the earliest by event time, whichever came first', () => {
    fc.assert(
      fc.property(records, (stream) => {
        const state = createKeyState();
        const first = createFirst({ id: 2, signature: '' });
        const earliest = new Map<number, number>();
        let at = BEGIN;
        for (const { key, jump } of stream) {
          at += jump;
          state.apply(key, { eventTime: at }, first);
          earliest.set(key, Math.min(earliest.get(key) ?? at, at));
          expect(first.at(state.scope)).toBe(earliest.get(key));
        }
      }),
      { numRuns: 200 },
    );
  });

  test('is not known before there was one', () => {
    const state = createKeyState();
    state.apply(1, { eventTime: BEGIN });
    expect(createFirst({ id: 2, signature: '' }).at(state.scope)).toBe(Number.NaN);
  });
});

describe('change', () => {
  test('is the time of the newest record whose value is not that of the one before; old records make none', () => {
    fc.assert(
      fc.property(records, (stream) => {
        const state = createKeyState();
        let value = 0;
        const change = createChange({ id: 2, signature: '', of: () => value });
        const last = new Map<number, { at: number; value: number; changedAt: number }>();
        let at = BEGIN;
        for (const record of stream) {
          at += record.jump;
          value = record.value % 3;
          state.apply(record.key, { eventTime: at }, change);
          const before = last.get(record.key);
          if (!Number.isNaN(value) && (before === undefined || at >= before.at)) {
            const changed = before !== undefined && before.value !== value;
            last.set(record.key, { at, value, changedAt: changed ? at : (before?.changedAt ?? Number.NaN) });
          }
          expect(change.changedAt(state.scope)).toBe(last.get(record.key)?.changedAt ?? Number.NaN);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('takes room for a time only once there has been one', () => {
    const state = createKeyState();
    let value = 1;
    const change = createChange({ id: 2, signature: '', of: () => value });
    state.apply(1, { eventTime: BEGIN }, change);
    expect(state.scope.cursor.segmentUnits[2]).toBe(2);
    value = 2;
    state.apply(1, { eventTime: BEGIN }, change);
    expect(state.scope.cursor.segmentUnits[2]).toBe(3);
    expect(change.changedAt(state.scope)).toBe(BEGIN);
  });
});

describe('usual gap', () => {
  const median = (values: readonly number[]): number => {
    const sorted = values.toSorted((a, b) => a - b);
    const middle = sorted.length / 2;
    return sorted.length === 0
      ? Number.NaN
      : sorted.length % 2 === 1
        ? sorted[Math.floor(middle)]!
        : (sorted[middle - 1]! + sorted[middle]!) / 2;
  };

  test(`is the median of the last ${GAPS_MAX} gaps in whole seconds; what comes late makes none`, () => {
    fc.assert(
      fc.property(records, (stream) => {
        const state = createKeyState();
        const gaps = createGaps({ id: 2, signature: '' });
        const seen = new Map<number, { last: number; gaps: number[] }>();
        let at = BEGIN;
        for (const { key, jump } of stream) {
          at += jump;
          state.apply(key, { eventTime: at }, gaps);
          const mine = seen.get(key);
          if (mine === undefined) seen.set(key, { last: at, gaps: [] });
          else if (at > mine.last) {
            mine.gaps.push(Math.round((at - mine.last) / 1_000));
            mine.last = at;
          }
          expect(gaps.median(state.scope)).toBe(median(seen.get(key)!.gaps.slice(-GAPS_MAX)) * 1_000);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a changed habit is the usual one after eight events', () => {
    const state = createKeyState();
    const gaps = createGaps({ id: 2, signature: '' });
    let at = BEGIN;
    const wait = (hours: number): number => {
      at += hours * 3_600_000;
      state.apply(1, { eventTime: at }, gaps);
      return gaps.median(state.scope) / 3_600_000;
    };
    state.apply(1, { eventTime: at }, gaps);
    for (let n = 0; n < 30; n++) expect(wait(6)).toBe(6);
    const seen = Array.from({ length: 9 }, () => wait(48));
    expect(seen).toEqual([6, 6, 6, 6, 6, 6, 6, 27, 48]);
  });
});
