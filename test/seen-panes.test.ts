import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSeenPanes, SEEN_PANES_MAX, VALUES_MAX } from '../src/state/seen-panes.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;

function counter(options: { paneMs: number; reach: number }) {
  const state = createKeyState();
  let value = 0;
  const operator = createSeenPanes({ id: 5, signature: 'seen', ...options, of: () => value });
  const seen: { key: number; at: number; value: number }[] = [];
  return {
    state,
    operator,
    apply(key: number, at: number, one: number) {
      value = one;
      state.apply(key, { eventTime: at }, operator);
      seen.push({ key, at, value: one });
    },
    read: (panes: number, shift = 0): number => operator.read(state.scope, { panes, shift }),
    /** The definition, over all records of a key. */
    expected(key: number, panes: number, shift = 0): number {
      const newest = Math.floor(state.scope.now / options.paneMs) - shift;
      const inside = seen.filter((one) => {
        const pane = Math.floor(one.at / options.paneMs);
        return one.key === key && pane > newest - panes && pane <= newest;
      });
      return new Set(inside.map((one) => one.value)).size;
    },
  };
}

describe('values by the panes in which they were seen', () => {
  test('are counted in every window within reach, in any order of records', () => {
    const stream = fc
      .record({ paneMs: fc.constantFrom(1_000, 60_000), reach: fc.integer({ min: 1, max: SEEN_PANES_MAX }) })
      .chain(({ paneMs, reach }) =>
        fc.record({
          paneMs: fc.constant(paneMs),
          reach: fc.constant(reach),
          windows: fc.array(
            fc
              .integer({ min: 1, max: reach })
              .chain((panes) =>
                fc.record({ panes: fc.constant(panes), shift: fc.integer({ min: 0, max: reach - panes }) }),
              ),
            { minLength: 1, maxLength: 4 },
          ),
          records: fc.array(
            fc.record({
              key: fc.integer({ min: 1, max: 2 }),
              jump: fc.oneof(
                { weight: 6, arbitrary: fc.integer({ min: 0, max: paneMs * 3 }) },
                { weight: 2, arbitrary: fc.integer({ min: -paneMs * 8, max: 0 }) },
                { weight: 1, arbitrary: fc.integer({ min: -paneMs * 50, max: paneMs * 50 }) },
              ),
              value: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: -300, max: 300 })),
            }),
            { maxLength: 120 },
          ),
          wait: fc.integer({ min: 0, max: paneMs * 40 }),
        }),
      );
    fc.assert(
      fc.property(stream, ({ paneMs, reach, windows, records, wait }) => {
        const { apply, read, expected, state } = counter({ paneMs, reach });
        let at = BEGIN;
        for (const { key, jump, value } of records) {
          at += jump;
          if (value !== 0) apply(key, at, value);
          if (!state.look(key)) continue;
          for (const { panes, shift } of windows) expect(read(panes, shift)).toBe(expected(key, panes, shift));
        }
        for (const key of [1, 2]) {
          if (!state.look(key)) continue;
          state.look(key, state.scope.now + wait);
          for (const { panes, shift } of windows) expect(read(panes, shift)).toBe(expected(key, panes, shift));
        }
      }),
      { numRuns: 400 },
    );
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
    expect(state.scope.cursor.segmentUnits[5]).toBeLessThanOrEqual(1 + 28);
    for (let value = 1; value <= 2_000; value++) apply(1, BEGIN + 1_000, value);
    expect(read(8)).toBe(VALUES_MAX);
    expect(state.scope.cursor.segmentUnits[5]).toBe(1 + VALUES_MAX);
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
