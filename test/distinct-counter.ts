/**
 * Counts different values with one of the operators that do, beside the definition over all records of a key; and streams of
 * values for both.
 */
import fc from 'fast-check';
import type { Operator, Reader, Scope } from '../src/state/operator.ts';
import type { Stretch } from '../src/state/panes.ts';
import { createKeyState, type KeyState } from './key-state.ts';

export const BEGIN = 1_767_225_600_000;
/** Operator id of the one that counts. */
export const COUNTER_ID = 5;

type Counting = Operator & { read(scope: Scope, stretch: Stretch): number };

export interface DistinctCounter {
  state: KeyState;
  apply(key: number, at: number, value: number): void;
  read(panes?: number, shift?: number): number;
  expected(key: number, panes?: number, shift?: number): number;
}

export function distinctCounter(
  create: (options: { id: number; signature: string; paneMs: number; reach: number; of: Reader }) => Counting,
  options: { paneMs: number; reach: number },
): DistinctCounter {
  const state = createKeyState();
  let value = 0;
  const operator = create({ id: COUNTER_ID, signature: 'distinct', ...options, of: () => value });
  const seen: { key: number; at: number; value: number }[] = [];
  return {
    state,
    apply(key, at, one) {
      value = one;
      state.apply(key, { eventTime: at }, operator);
      if (one !== 0) seen.push({ key, at, value: one });
    },
    read: (panes = options.reach, shift = 0) => operator.read(state.scope, { panes, shift }),
    expected(key, panes = options.reach, shift = 0) {
      const newest = Math.floor(state.scope.now / options.paneMs) - shift;
      const inside = seen.filter((one) => {
        const pane = Math.floor(one.at / options.paneMs);
        return one.key === key && pane > newest - panes && pane <= newest;
      });
      return new Set(inside.map((one) => one.value)).size;
    },
  };
}

interface DrawnValues {
  paneMs: number;
  reach: number;
  windows: Stretch[];
  /** `jump` leads from the time of one record to that of the next. */
  records: { key: number; jump: number; value: number }[];
  wait: number;
}

/** `shifted`: windows may end before now. */
const drawnValues = (reachMax: number, shifted: boolean): fc.Arbitrary<DrawnValues> =>
  fc
    .record({ paneMs: fc.constantFrom(1_000, 60_000), reach: fc.integer({ min: 1, max: reachMax }) })
    .chain(({ paneMs, reach }) =>
      fc.record({
        paneMs: fc.constant(paneMs),
        reach: fc.constant(reach),
        windows: fc.array(
          fc.integer({ min: 1, max: reach }).chain((panes) =>
            fc.record({
              panes: fc.constant(panes),
              shift: shifted ? fc.integer({ min: 0, max: reach - panes }) : fc.constant(0),
            }),
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

/** In any order of records, every window over the list counts what the definition says, also when nothing comes for a while. */
export function assertExact(
  counterOf: (options: { paneMs: number; reach: number }) => DistinctCounter,
  { reachMax, shifted, runs }: { reachMax: number; shifted: boolean; runs: number },
): void {
  fc.assert(
    fc.property(drawnValues(reachMax, shifted), ({ paneMs, reach, windows, records, wait }) => {
      const { apply, read, expected, state } = counterOf({ paneMs, reach });
      const differing = (key: number): unknown[] =>
        windows
          .map(({ panes, shift }) => ({ panes, shift, is: read(panes, shift), shouldBe: expected(key, panes, shift) }))
          .filter(({ is, shouldBe }) => is !== shouldBe);
      let at = BEGIN;
      for (const { key, jump, value } of records) {
        at += jump;
        apply(key, at, value);
        if (differing(key).length > 0) throw new Error(JSON.stringify(differing(key)));
      }
      for (const key of [1, 2]) {
        if (!state.look(key)) continue;
        state.look(key, state.scope.now + wait);
        if (differing(key).length > 0) throw new Error(`after ${wait} ms: ${JSON.stringify(differing(key))}`);
      }
    }),
    { numRuns: runs },
  );
}
