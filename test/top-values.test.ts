import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTopValues, TOP_PANES, VALUES_MAX } from '../src/state/top-values.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const PANE_MS = 1_000;

function counter() {
  const state = createKeyState();
  let value = 0;
  const operator = createTopValues({ id: 5, signature: 'top', paneMs: PANE_MS, of: () => value });
  const seen: { key: number; at: number; value: number }[] = [];
  return {
    state,
    apply(key: number, at: number, one: number) {
      value = one;
      state.apply(key, { eventTime: at }, operator);
      seen.push({ key, at, value: one });
    },
    count: (top: number): number => operator.count(top)(state.scope),
    /** Values in their order, by asking which ones are among the first n. */
    top(top: number): number[] {
      const found: number[] = [];
      operator.countOf(top, (_scope, one) => found.push(one) > 0)(state.scope);
      return found;
    },
    countOf: (top: number, holds: (value: number) => boolean): number =>
      operator.countOf(top, (_scope, one) => holds(one))(state.scope),
    /** The definition: records of each value in the window, at most 15 a pane. */
    expected(key: number): Map<number, number> {
      const newest = Math.floor(state.scope.now / PANE_MS);
      const panes = new Map<string, number>();
      for (const one of seen) {
        const pane = Math.floor(one.at / PANE_MS);
        if (one.key !== key || pane <= newest - TOP_PANES) continue;
        const name = `${one.value} ${pane}`;
        panes.set(name, Math.min(15, (panes.get(name) ?? 0) + 1));
      }
      const totals = new Map<number, number>();
      for (const [name, records] of panes) {
        const one = Number(name.split(' ')[0]);
        totals.set(one, (totals.get(one) ?? 0) + records);
      }
      return totals;
    },
  };
}

describe('the values with most records', () => {
  test('are those of the definition, in any order of records', () => {
    const stream = fc.record({
      records: fc.array(
        fc.record({
          key: fc.integer({ min: 1, max: 2 }),
          jump: fc.oneof(
            { weight: 6, arbitrary: fc.integer({ min: 0, max: PANE_MS }) },
            { weight: 2, arbitrary: fc.integer({ min: -PANE_MS * 3, max: 0 }) },
            { weight: 1, arbitrary: fc.integer({ min: -PANE_MS * 12, max: PANE_MS * 12 }) },
          ),
          repeat: fc.constantFrom(1, 1, 2, 20),
          value: fc.integer({ min: 1, max: VALUES_MAX }),
        }),
        { maxLength: 80 },
      ),
      wait: fc.integer({ min: 0, max: PANE_MS * 10 }),
      top: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(stream, ({ records, wait, top }) => {
        const all = counter();
        const check = (key: number): void => {
          const totals = all.expected(key);
          expect(all.count(top)).toBe(Math.min(top, totals.size));
          const found = all.top(top);
          expect(new Set(found).size).toBe(found.length);
          // Which of two values with as many records comes first is free here: their numbers of records are not.
          const most = [...totals.values()].sort((a, b) => b - a).slice(0, top);
          expect(found.map((one) => totals.get(one))).toEqual(most);
        };
        let at = BEGIN;
        for (const { key, jump, repeat, value } of records) {
          at += jump;
          for (let index = 0; index < repeat; index++) all.apply(key, at, value);
          check(key);
        }
        for (const key of [1, 2]) {
          if (!all.state.look(key)) continue;
          all.state.look(key, all.state.scope.now + wait);
          check(key);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('of equal ones those come first that came first', () => {
    const { apply, top } = counter();
    for (const value of [3, 1, 2, 1, 2]) apply(1, BEGIN, value);
    expect(top(2)).toEqual([1, 2]);
    expect(top(3)).toEqual([1, 2, 3]);
  });

  test('can be asked about, one by one', () => {
    const { apply, countOf, state } = counter();
    for (let value = 1; value <= 6; value++) apply(1, BEGIN, value);
    expect(countOf(5, (one) => one % 2 === 0)).toBe(2);
    expect(countOf(6, (one) => one % 2 === 0)).toBe(3);
    state.look(1, BEGIN + TOP_PANES * PANE_MS);
    expect(countOf(6, () => true)).toBe(0);
  });

  test('stay where hundreds of others come once each', () => {
    const { apply, top, state } = counter();
    for (let round = 0; round < 4; round++) {
      for (let value = 1; value <= 10; value++) apply(1, BEGIN + round * 900, value);
    }
    for (let value = 100; value < 900; value++) apply(1, BEGIN + 4_000 + value, value);
    expect(top(10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(state.scope.cursor.segmentUnits[5]).toBe(1 + VALUES_MAX * 1.5);
  });

  test('a record without the value is none', () => {
    const { apply, count, state } = counter();
    apply(1, BEGIN, Number.NaN);
    apply(1, BEGIN, 0);
    expect(count(5)).toBe(0);
    expect(state.scope.cursor.segmentAt[5]).toBe(0);
  });
});
