import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createFrequency, FREQUENCY_ENTRIES_MAX } from '../src/state/frequency.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const PANE_MS = 60_000;

describe('the most frequent value of a window', () => {
  test('is counted as the definition says, in any order', () => {
    const records = fc.array(
      fc.record({
        jump: fc.integer({ min: -4 * PANE_MS, max: 4 * PANE_MS }),
        value: fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) }, fc.constant(Number.NaN)),
        key: fc.integer({ min: 1, max: 2 }),
      }),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 12 }), (all, reach) => {
        const state = createKeyState();
        const operator = createFrequency({
          id: 3,
          signature: 'most',
          paneMs: PANE_MS,
          reach,
          of: ({ record }) => record.amountMicros,
        });
        const read = operator.most({ panes: reach, shift: 0 });
        const seen: { key: number; at: number; value: number }[] = [];
        let at = BEGIN;
        for (const { jump, value, key } of all) {
          at += jump;
          state.apply(key, { eventTime: at, amountMicros: value }, operator);
          seen.push({ key, at, value });
          const newest = Math.floor(state.scope.now / PANE_MS);
          const counts = new Map<number, number>();
          for (const one of seen) {
            const pane = Math.floor(one.at / PANE_MS);
            if (one.key !== key || Number.isNaN(one.value) || pane <= newest - reach || pane > newest) continue;
            counts.set(one.value, (counts.get(one.value) ?? 0) + 1);
          }
          expect(read(state.scope)).toBe(Math.max(0, ...counts.values()));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('the oldest makes room, so that memory stays', () => {
    const state = createKeyState();
    const operator = createFrequency({
      id: 3,
      signature: 'most',
      paneMs: PANE_MS,
      reach: 1_000,
      of: ({ record }) => record.amountMicros,
    });
    const read = operator.most({ panes: 1_000, shift: 0 });
    for (let index = 0; index < 3 * FREQUENCY_ENTRIES_MAX; index++) {
      state.apply(1, { eventTime: BEGIN + index * PANE_MS, amountMicros: index }, operator);
    }
    expect(state.scope.cursor.segmentUnits[3]).toBe(operator.unitsMax);
    expect(read(state.scope)).toBe(1);
    for (let index = 0; index < 5; index++) {
      state.apply(1, { eventTime: BEGIN + (900 + index) * PANE_MS, amountMicros: 7 }, operator);
    }
    expect(read(state.scope)).toBe(5);
  });
});
