import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createNeighbours, NEIGHBOUR_NUMBERS_MAX } from '../src/state/neighbours.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const PANE_MS = 60_000;

function neighbours(reach: number) {
  const state = createKeyState();
  let number = 0;
  const operator = createNeighbours({ id: 3, signature: 'near', paneMs: PANE_MS, reach, of: () => number });
  const read = operator.share({ panes: reach, shift: 0 });
  return {
    state,
    operator,
    read: (): number => read(state.scope),
    apply(key: number, at: number, one: number): void {
      number = one;
      state.apply(key, { eventTime: at }, operator);
    },
  };
}

describe('the share of numbers with a neighbour', () => {
  test('is the one of the definition, in any order', () => {
    const records = fc.array(
      fc.record({
        jump: fc.integer({ min: -4 * PANE_MS, max: 4 * PANE_MS }),
        number: fc.oneof(
          { weight: 8, arbitrary: fc.integer({ min: 1, max: 30 }) },
          { weight: 2, arbitrary: fc.integer({ min: 8_613_700_000_000, max: 8_613_700_000_010 }) },
          { weight: 1, arbitrary: fc.constantFrom(Number.NaN, -5, 0) },
        ),
        key: fc.integer({ min: 1, max: 2 }),
      }),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 12 }), (all, reach) => {
        const { state, apply, read } = neighbours(reach);
        const seen: { key: number; at: number; number: number }[] = [];
        let at = BEGIN;
        for (const { jump, number, key } of all) {
          at += jump;
          apply(key, at, number);
          seen.push({ key, at, number });
          const newest = Math.floor(state.scope.now / PANE_MS);
          const inside = new Set(
            seen
              .filter((one) => {
                const pane = Math.floor(one.at / PANE_MS);
                return one.key === key && one.number >= 1 && pane > newest - reach && pane <= newest;
              })
              .map((one) => one.number),
          );
          const near = [...inside].filter((one) => inside.has(one - 1) || inside.has(one + 1));
          expect(read()).toBe(inside.size === 0 ? Number.NaN : near.length / inside.size);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('beyond the limit it is that of the numbers that came first, until they leave', () => {
    const { apply, read, state, operator } = neighbours(10);
    for (let index = 0; index < NEIGHBOUR_NUMBERS_MAX; index++) apply(1, BEGIN, 1_000_000 + index * 5);
    expect(read()).toBe(0);
    for (let index = 0; index < 100; index++) apply(1, BEGIN, 9_000_000 + index);
    expect(read()).toBe(0);
    expect(state.scope.cursor.segmentUnits[3]).toBeLessThanOrEqual(operator.unitsMax);
    for (let index = 0; index < 100; index++) apply(1, BEGIN + 11 * PANE_MS, 9_000_000 + index);
    expect(read()).toBe(1);
  });
});
