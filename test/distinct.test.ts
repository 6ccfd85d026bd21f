import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../src/feed/random.ts';
import { createDistinct, DISTINCT_PANES_MAX, EXACT_VALUES_MAX } from '../src/state/distinct.ts';
import { fingerprint } from '../src/state/key-table.ts';
import { cases } from './cases.ts';
import { assertExact, BEGIN, type DistinctCounter, distinctCounter } from './distinct-counter.ts';

/** 1.04 / sqrt(1024), of the paper. */
const STANDARD_ERROR = 1.04 / Math.sqrt(1_024);
const counter = (options: { paneMs: number; reach: number }): DistinctCounter =>
  distinctCounter(createDistinct, options);

describe('distinct', () => {
  test(`is exact up to ${EXACT_VALUES_MAX} values, in any order, for every window over the list`, () => {
    assertExact(counter, { reachMax: 24, shifted: false, runs: cases(300) });
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

  test('panes of a sketch together are the sketch of all their values, whatever their order and their panes', () => {
    const drawn = fc.record({
      seed: fc.nat(),
      more: fc.integer({ min: 1, max: 60 }),
      reach: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(drawn, ({ seed, more, reach }) => {
        const random = createRandom(seed);
        const values = [
          ...new Set(Array.from({ length: EXACT_VALUES_MAX + more }, () => 1 + Math.floor(random() * 1e9))),
        ];
        fc.pre(values.length > EXACT_VALUES_MAX);
        const [together, spread] = [counter({ paneMs: 1_000, reach }), counter({ paneMs: 1_000, reach })];
        const newest = BEGIN + reach * 1_000;
        for (const value of values) together.apply(1, newest, value);
        // The newest time first, so that both windows end there.
        spread.apply(1, newest, values[0]!);
        for (const value of values.toReversed()) spread.apply(1, newest - Math.floor(random() * reach) * 1_000, value);
        return spread.read() === together.read();
      }),
      { numRuns: cases(100) },
    );
  });

  test('a sketch moves on with its window, and late records go into their own pane', () => {
    const { apply, read, state, expected } = counter({ paneMs: 60_000, reach: 12 });
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
    expect(read(12)).toBeLessThan(expected(1, 12) * 1.15);
    state.look(1, now + 12 * 60_000);
    expect(read(12)).toBe(0);
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
