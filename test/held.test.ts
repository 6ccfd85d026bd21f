import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHANGES_MAX, createHeld } from '../src/state/held.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const WINDOW_MS = 1_000;

function holder(statistic: 'max' | 'min') {
  const state = createKeyState();
  let value = Number.NaN;
  const held = createHeld({ id: 3, signature: 'held', statistic, windowMs: WINDOW_MS, of: () => value });
  const seen: { at: number; value: number }[] = [];
  return {
    state,
    apply(at: number, one: number) {
      value = one;
      state.apply(1, { eventTime: at }, held);
      if (!Number.isNaN(one)) seen.push({ at, value: one });
    },
    read: (): number => held.value(state.scope),
    /** The definition: each value is in force until the next one; of two at the same time the later one to come stands. */
    expected(): number {
      const ordered = seen
        .filter(({ at }, index) => !seen.slice(index + 1).some((later) => later.at === at))
        .toSorted((a, b) => a.at - b.at);
      const from = state.scope.now - WINDOW_MS;
      const inForce = ordered.filter((one, index) => {
        // A value that is stated again goes on.
        const end = ordered.slice(index + 1).find((later) => later.value !== one.value)?.at ?? Number.POSITIVE_INFINITY;
        return end >= from;
      });
      if (inForce.length === 0) return Number.NaN;
      const values = inForce.map((one) => one.value);
      return statistic === 'max' ? Math.max(...values) : Math.min(...values);
    },
  };
}

describe('a value in force', () => {
  test.each(['max', 'min'] as const)('greatest or least (%s) of the window is that of its definition', (statistic) => {
    const stream = fc.record({
      // Few enough changes within a window: beyond CHANGES_MAX the result is an approximation.
      records: fc.array(
        fc.record({
          jump: fc.oneof(
            { weight: 5, arbitrary: fc.integer({ min: 150, max: 900 }) },
            { weight: 1, arbitrary: fc.constant(0) },
          ),
          value: fc.constantFrom(10, 20, 30, 40, 50),
        }),
        { maxLength: 40 },
      ),
      wait: fc.integer({ min: 0, max: 3_000 }),
    });
    fc.assert(
      fc.property(stream, ({ records, wait }) => {
        const { apply, read, expected, state } = holder(statistic);
        let at = BEGIN;
        for (const { jump, value } of records) {
          at += jump;
          apply(at, value);
          expect(read()).toBe(expected());
        }
        if (!state.look(1)) return;
        state.look(1, state.scope.now + wait);
        expect(read()).toBe(expected());
      }),
      { numRuns: 500 },
    );
  });

  test('holds from long before the window, and until exactly its length after it ended', () => {
    const { apply, read, state } = holder('max');
    apply(BEGIN, 100);
    apply(BEGIN + 50_000, 90);
    apply(BEGIN + 50_500, 75);
    expect(read()).toBe(100);
    state.look(1, BEGIN + 50_000 + WINDOW_MS);
    expect(read()).toBe(100);
    state.look(1, BEGIN + 50_001 + WINDOW_MS);
    expect(read()).toBe(90);
    state.look(1, BEGIN + 90_000);
    expect(read()).toBe(75);
  });

  test('that is stated again has not changed, and a record without it changes nothing', () => {
    const { apply, read, state } = holder('max');
    for (let index = 0; index < 100; index++) apply(BEGIN + index * 10, 40);
    apply(BEGIN + 1_000, Number.NaN);
    expect(read()).toBe(40);
    expect(state.scope.cursor.segmentUnits[3]).toBe(3);
  });

  test('that comes late lasts until the next change', () => {
    const { apply, read, state } = holder('max');
    apply(BEGIN, 40);
    apply(BEGIN + 700, 30);
    apply(BEGIN + 500, 90);
    expect(read()).toBe(90);
    // The same value as the change behind it is that change, a little earlier.
    apply(BEGIN + 600, 30);
    state.look(1, BEGIN + 600 + WINDOW_MS);
    expect(read()).toBe(90);
    state.look(1, BEGIN + 601 + WINDOW_MS);
    expect(read()).toBe(30);
  });

  test('is not known before the first record', () => {
    const { apply, read } = holder('min');
    apply(BEGIN, Number.NaN);
    expect(read()).toBe(Number.NaN);
  });

  test(`takes no more than ${CHANGES_MAX} changes; the greatest is never lost within the window`, () => {
    const { apply, read, state } = holder('max');
    apply(BEGIN, 100);
    for (let index = 1; index <= 50; index++) apply(BEGIN + index * 10, 50 + (index % 2));
    expect(read()).toBe(100);
    expect(state.scope.cursor.segmentUnits[3]).toBe(1 + CHANGES_MAX * 2);
    state.look(1, BEGIN + 10_000);
    expect(read()).toBe(50);
  });
});
