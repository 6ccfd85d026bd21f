import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../src/feed/random.ts';
import { createDistinct, DISTINCT_PANES_MAX, EXACT_VALUES_MAX } from '../src/state/distinct.ts';
import { fingerprint } from '../src/state/key-table.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
/** 1.04 / sqrt(1024), of the paper. */
const STANDARD_ERROR = 1.04 / Math.sqrt(1_024);

function counter(options: { paneMs: number; reach: number }) {
  const state = createKeyState();
  let value = 0;
  const distinct = createDistinct({ id: 5, signature: 'distinct', ...options, of: () => value });
  const seen: { key: number; at: number; value: number }[] = [];
  return {
    state,
    distinct,
    apply(key: number, at: number, one: number) {
      value = one;
      state.apply(key, { eventTime: at }, distinct);
      seen.push({ key, at, value: one });
    },
    read: (panes = options.reach): number => distinct.read(state.scope, { panes, shift: 0 }),
    /** The definition, over all records of a key. */
    expected(key: number, panes = options.reach): number {
      const newest = Math.floor(state.scope.now / options.paneMs);
      const inside = seen.filter((one) => {
        const pane = Math.floor(one.at / options.paneMs);
        return one.key === key && pane > newest - panes && pane <= newest;
      });
      return new Set(inside.map((one) => one.value)).size;
    },
  };
}

describe('distinct', () => {
  test(`is exact up to ${EXACT_VALUES_MAX} values, in any order, for every window over the list`, () => {
    const stream = fc
      .record({ paneMs: fc.constantFrom(1_000, 60_000), reach: fc.integer({ min: 1, max: 24 }) })
      .chain(({ paneMs, reach }) =>
        fc.record({
          paneMs: fc.constant(paneMs),
          reach: fc.constant(reach),
          windows: fc.array(fc.integer({ min: 1, max: reach }), { minLength: 1, maxLength: 3 }),
          records: fc.array(
            fc.record({
              key: fc.integer({ min: 1, max: 2 }),
              jump: fc.oneof(
                { weight: 6, arbitrary: fc.integer({ min: 0, max: paneMs * 2 }) },
                { weight: 2, arbitrary: fc.integer({ min: -paneMs * 5, max: 0 }) },
                { weight: 1, arbitrary: fc.integer({ min: -paneMs * 40, max: paneMs * 40 }) },
              ),
              value: fc.oneof(
                fc.integer({ min: 1, max: 12 }),
                fc.integer({ min: -300, max: -1 }),
                fc.integer({ min: 1, max: 300 }),
              ),
            }),
            { maxLength: 120 },
          ),
          wait: fc.integer({ min: 0, max: paneMs * 30 }),
        }),
      );
    fc.assert(
      fc.property(stream, ({ paneMs, reach, windows, records, wait }) => {
        const { apply, read, expected, state } = counter({ paneMs, reach });
        let at = BEGIN;
        for (const { key, jump, value } of records) {
          at += jump;
          apply(key, at, value);
          for (const panes of windows) expect(read(panes)).toBe(expected(key, panes));
        }
        for (const key of [1, 2]) {
          if (!state.look(key)) continue;
          state.look(key, state.scope.now + wait);
          for (const panes of windows) expect(read(panes)).toBe(expected(key, panes));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('the last exact count and the one behind it', () => {
    const { apply, read } = counter({ paneMs: 1_000, reach: 10 });
    for (let value = 1; value <= EXACT_VALUES_MAX; value++) {
      apply(1, BEGIN, value);
      expect(read()).toBe(value);
    }
    apply(1, BEGIN, EXACT_VALUES_MAX + 1);
    const error = Math.abs(read() / (EXACT_VALUES_MAX + 1) - 1);
    expect(error).toBeLessThan(4 * STANDARD_ERROR);
    // The values that stood there before are in the sketch: seeing one of them again changes nothing.
    const sketched = read();
    for (let value = 1; value <= EXACT_VALUES_MAX; value++) apply(1, BEGIN, value);
    expect(read()).toBe(sketched);
  });

  const forms: [string, (index: number) => number][] = [
    ['telephone numbers', (index) => fingerprint(String(861_390_000_000 + index))],
    ['cells', (index) => fingerprint(`460-00-${index >> 4}-${index & 15}`)],
    ['ids in random order', (index) => fingerprint(`ticket-${(index * 2_654_435_761) % 4_294_967_296}`)],
    ['small whole numbers', (index) => index + 1],
    ['fractions', (index) => (index + 1) / 1_000],
    ['negative amounts', (index) => -(index + 1) / 100],
  ];
  test.each(forms)('beyond, %s are counted within 4 standard errors', (_form, value) => {
    for (const count of [300, 1_000, 2_600, 10_000, 60_000]) {
      const { apply, read } = counter({ paneMs: 1_000, reach: 10 });
      for (let index = 0; index < count; index++) apply(1, BEGIN + (index % 10) * 1_000, value(index));
      expect(Math.abs(read() / count - 1)).toBeLessThan(4 * STANDARD_ERROR);
    }
  });

  test('a sketch moves on with its window, and late records go into their own pane', () => {
    const { apply, read, state, distinct, expected } = counter({ paneMs: 60_000, reach: 12 });
    const random = createRandom(5);
    for (let step = 0; step < 12_000; step++) {
      const now = BEGIN + step * 400;
      const late = step % 7 === 0 ? Math.floor(random() * 900_000) : 0;
      apply(1, now - late, 1 + Math.floor(random() * 4_000));
      if (step % 500 !== 499) continue;
      for (const panes of [12, 6]) {
        const truth = expected(1, panes);
        expect(Math.abs(read(panes) / truth - 1)).toBeLessThan(truth > 256 ? 4 * STANDARD_ERROR : 0.15);
      }
      // The same question again, from memory.
      expect(read()).toBe(read());
    }
    const now = state.scope.now;
    state.look(1, now + 11 * 60_000);
    expect(distinct.read(state.scope, { panes: 12, shift: 0 })).toBeLessThan(expected(1, 12) * 1.15);
    state.look(1, now + 12 * 60_000);
    expect(distinct.read(state.scope, { panes: 12, shift: 0 })).toBe(0);
  });

  test('a record without the value is not counted', () => {
    const { apply, read } = counter({ paneMs: 1_000, reach: 10 });
    apply(1, BEGIN, 0);
    apply(1, BEGIN, Number.NaN);
    expect(read()).toBe(0);
  });

  test('a key with few values takes little, one with many no more than a sketch', () => {
    const { apply, state } = counter({ paneMs: 1_000, reach: DISTINCT_PANES_MAX });
    apply(1, BEGIN, 7);
    expect(state.scope.cursor.segmentUnits[5]).toBe(4);
    for (let value = 1; value < 20_000; value++) apply(1, BEGIN + value, value);
    expect(state.scope.cursor.segmentUnits[5]).toBe(2 + DISTINCT_PANES_MAX / 2 + DISTINCT_PANES_MAX * 128);
  });

  test('windows whose sketch would be too large are refused', () => {
    expect(() => counter({ paneMs: 1_000, reach: DISTINCT_PANES_MAX + 1 })).toThrow(RangeError);
  });
});
