import { describe, expect, test } from 'vitest';
import { createSeenPanes, SEEN_PANES_MAX, VALUES_MAX } from '../src/state/seen-panes.ts';
import { assertExact, BEGIN, COUNTER_ID, type DistinctCounter, distinctCounter } from './distinct-counter.ts';

const counter = (options: { paneMs: number; reach: number }): DistinctCounter =>
  distinctCounter(createSeenPanes, options);

describe('values by the panes in which they were seen', () => {
  test('are counted in every window within reach, in any order of records', () => {
    assertExact(counter, { reachMax: SEEN_PANES_MAX, shifted: true, runs: 400 });
  });

  test('a record without the value is not counted', () => {
    const { apply, read } = counter({ paneMs: 1_000, reach: 8 });
    apply(1, BEGIN, Number.NaN);
    apply(1, BEGIN, 7);
    expect(read(8)).toBe(1);
    const none = counter({ paneMs: 1_000, reach: 8 });
    none.apply(1, BEGIN, 0);
    expect(none.read(8)).toBe(0);
  });

  test('take 8 bytes each, and no more than the limit of them', () => {
    const { apply, read, state } = counter({ paneMs: 1_000, reach: 8 });
    for (let value = 1; value <= 20; value++) apply(1, BEGIN, value);
    expect(state.scope.cursor.segmentUnits[COUNTER_ID]).toBeLessThanOrEqual(1 + 28);
    for (let value = 1; value <= 2_000; value++) apply(1, BEGIN + 1_000, value);
    expect(read(8)).toBe(VALUES_MAX);
    expect(state.scope.cursor.segmentUnits[COUNTER_ID]).toBe(1 + VALUES_MAX);
  });

  test('beyond the limit the value that was not seen for longest makes room', () => {
    const { apply, read } = counter({ paneMs: 1_000, reach: 8 });
    for (let value = 1; value <= VALUES_MAX; value++) apply(1, BEGIN + (value <= 10 ? 0 : 2_000), value);
    expect([read(1, 2), read(1)]).toEqual([10, VALUES_MAX - 10]);
    for (let value = 1_001; value <= 1_010; value++) apply(1, BEGIN + 2_000, value);
    expect([read(1, 2), read(1)]).toEqual([0, VALUES_MAX]);
    // One that comes so late that it would be the oldest is left out itself.
    apply(1, BEGIN + 1_000, 5_000);
    expect([read(1, 1), read(1)]).toEqual([0, VALUES_MAX]);
  });

  test('hardly ever share a hash', () => {
    const { apply, read } = counter({ paneMs: 1_000, reach: 8 });
    for (let key = 1; key <= 500; key++) {
      for (let value = 1; value <= 100; value++) apply(key, BEGIN, 1_861_390_000_000 + key * 1_000 + value * 7);
      expect(read(8)).toBe(100);
    }
  });

  test('windows of more panes than bits are refused', () => {
    expect(() => counter({ paneMs: 1_000, reach: SEEN_PANES_MAX + 1 })).toThrow(RangeError);
  });
});
