import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRun, createTurns, RUN_MAX } from '../src/state/run.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const SECOND_MS = 1_000;
const KEEP_MS = 600 * SECOND_MS;

/** Subscriber 1; the keys that count are 10 + kind. */
function harness(counted: (kind: number) => boolean = () => true) {
  const state = createKeyState();
  let kind = 0;
  const turns = createTurns({ id: 1, signature: '', of: () => kind, counts: () => counted(kind), keepMs: KEEP_MS });
  const run = createRun({ id: 2, signature: '', keepMs: KEEP_MS, otherAt: turns.otherAt });
  return {
    state,
    run,
    call(of: number, second: number): number {
      kind = of;
      // One record: the subscriber's key first, then the key that counts, as the engine does it.
      const record = { eventTime: BEGIN + second * SECOND_MS };
      state.apply(1, record, turns);
      const judged = state.scope.record;
      if (!counted(of)) return Number.NaN;
      state.applySame(10 + of, judged, run);
      return run.length(state.scope);
    },
  };
}

describe('run', () => {
  test('counts the records since the newest of another kind, in whatever order they arrive', () => {
    const call = fc.record({ kind: fc.integer({ min: 1, max: 3 }), jump: fc.integer({ min: -120, max: 200 }) });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
        const { call: apply } = harness();
        const seen: { kind: number; at: number }[] = [];
        const clocks = new Map<number, number>();
        let at = 1_000;
        for (const { kind, jump } of calls) {
          at += jump;
          seen.push({ kind, at });
          const now = Math.max(clocks.get(kind) ?? 0, at);
          clocks.set(kind, now);
          const otherAt = Math.max(0, ...seen.filter((one) => one.kind !== kind).map((one) => one.at));
          const since = Math.max(otherAt, now - KEEP_MS / SECOND_MS);
          expect(apply(kind, at)).toBe(seen.filter((one) => one.kind === kind && one.at > since).length);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('is ended by a kind that nobody counts', () => {
    const { call } = harness((kind) => kind === 1);
    expect([call(1, 0), call(1, 1), call(2, 2), call(1, 3), call(1, 4)]).toEqual([1, 2, Number.NaN, 1, 2]);
  });

  test('keeps nothing for a subscriber of whom nothing has counted yet', () => {
    const { call, state } = harness((kind) => kind === 1);
    call(2, 0);
    expect(state.scope.cursor.segmentAt[1]).toBe(0);
    expect([call(1, 1), call(2, 2), call(1, 3)]).toEqual([1, Number.NaN, 1]);
  });

  test('stops at its limit and keeps counting behind it', () => {
    const { call, state } = harness();
    let length = 0;
    for (let second = 0; second < 200; second++) length = call(1, second);
    expect(length).toBe(RUN_MAX);
    expect(state.scope.cursor.segmentUnits[2]).toBe(1 + RUN_MAX);
    call(2, 200);
    expect(call(1, 201)).toBe(1);
  });

  test('is not known while a timer is evaluated', () => {
    const { call, state, run } = harness();
    call(1, 0);
    state.look(11);
    expect(run.length(state.scope)).toBe(Number.NaN);
  });
});
