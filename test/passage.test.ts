import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPassage, PASSAGE_ENTRIES_MAX } from '../src/state/passage.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const PANE_MS = 60_000;
const WITHIN_MS = 5 * PANE_MS;

function passage(reach: number) {
  const state = createKeyState();
  const operator = createPassage({
    id: 3,
    signature: 'passed',
    paneMs: PANE_MS,
    reach,
    withinMs: WITHIN_MS,
    of: ({ record }) => record.amountMicros,
  });
  const read = operator.passed({ panes: reach, shift: 0 });
  return {
    state,
    operator,
    read: (): number => read(state.scope),
    apply: (key: number, eventTime: number, amountMicros: number): void =>
      state.apply(key, { eventTime, amountMicros }, operator),
  };
}

describe('what came in and went out in time', () => {
  test('is what a coin by coin account says', () => {
    const transfers = fc.array(
      fc.record({
        jump: fc.integer({ min: -3 * PANE_MS, max: 4 * PANE_MS }),
        amount: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -9, max: 9 }) }, fc.constant(Number.NaN)),
        key: fc.integer({ min: 1, max: 2 }),
      }),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(transfers, fc.integer({ min: 1, max: 20 }), (all, reach) => {
        const { state, apply, read } = passage(reach);
        // Every coin by itself, with the time at which it came in.
        const coins: { key: number; at: number; spent: boolean }[] = [];
        let at = BEGIN;
        for (const { jump, amount, key } of all) {
          at += jump;
          apply(key, at, amount);
          const oldest = Math.floor(state.scope.now / PANE_MS) - reach + 1;
          if (amount > 0 && Math.floor(at / PANE_MS) >= oldest)
            for (let coin = 0; coin < amount; coin++) coins.push({ key, at, spent: false });
          coins.sort((a, b) => a.at - b.at);
          for (let coin = 0; coin < -amount; coin++) {
            const next = coins.find(
              (one) =>
                one.key === key &&
                !one.spent &&
                one.at <= at &&
                at - one.at <= WITHIN_MS &&
                Math.floor(one.at / PANE_MS) >= oldest,
            );
            if (next === undefined) break;
            next.spent = true;
          }
          const inside = coins.filter((one) => one.key === key && one.spent && Math.floor(one.at / PANE_MS) >= oldest);
          expect(read()).toBe(inside.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('beyond the limit it is added to the newest amount', () => {
    const { apply, read, state, operator } = passage(10);
    for (let index = 0; index < PASSAGE_ENTRIES_MAX + 50; index++) apply(1, BEGIN, 2);
    apply(1, BEGIN + 1, -700);
    expect(read()).toBe(2 * (PASSAGE_ENTRIES_MAX + 50));
    expect(state.scope.cursor.segmentUnits[3]).toBeLessThanOrEqual(operator.unitsMax);
  });
});
