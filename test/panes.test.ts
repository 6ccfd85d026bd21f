import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Column,
  type ColumnKind,
  createPanes,
  type Panes,
  readBaseline,
  readColumn,
  readCount,
  type Stretch,
} from '../src/state/panes.ts';
import { cases } from './cases.ts';
import { createKeyState } from './key-state.ts';

/** What the model keeps: every record, for ever. */
interface Seen {
  at: number;
  values: readonly number[];
}

const BEGIN = 1_767_225_600_000;
const KINDS: readonly ColumnKind[] = ['sum', 'min', 'max', 'sum'];
const NO_VALUES = [Number.NaN, Number.NaN, Number.NaN, Number.NaN] as const;

/** The definition: records whose pane is one of the last ones, counted back from the pane of now. */
function inWindow(seen: readonly Seen[], paneMs: number, now: number, { panes, shift }: Stretch): Seen[] {
  const newest = Math.floor(now / paneMs) - shift;
  return seen.filter(({ at }) => {
    const pane = Math.floor(at / paneMs);
    return pane <= newest && pane > newest - panes;
  });
}

function columnOf(seen: readonly Seen[], column: number, kind: ColumnKind): number {
  const values = seen.map(({ values: all }) => all[column]!).filter((value) => !Number.isNaN(value));
  if (kind === 'sum') return values.reduce((sum, value) => sum + value, 0);
  if (values.length === 0) return Number.NaN;
  return kind === 'min' ? Math.min(...values) : Math.max(...values);
}

function baselineOf(
  seen: readonly Seen[],
  column: number,
  paneMs: number,
): { samples: number; mean: number; deviation: number } {
  const panes = new Map<number, number>();
  for (const { at, values } of seen) {
    const pane = Math.floor(at / paneMs);
    const value = column < 0 ? 1 : values[column]!;
    panes.set(pane, (panes.get(pane) ?? 0) + (Number.isNaN(value) ? 0 : value));
  }
  const samples = [...panes.values()];
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
  const variance = samples.reduce((sum, value) => sum + (value - mean) ** 2, 0) / samples.length;
  return { samples: samples.length, mean, deviation: Math.max(Math.sqrt(variance), Math.abs(mean) / 10, 1) };
}

/** A list of panes over four columns of which only the first are asked for. */
function listOf(state: ReturnType<typeof createKeyState>, options: { paneMs: number; reach: number; columns: number }) {
  const current = { values: NO_VALUES as readonly number[] };
  const columns = KINDS.slice(0, options.columns).map(
    (kind, index): Column => ({ kind, of: () => current.values[index]! }),
  );
  const panes = createPanes({ id: 3, signature: 'panes', paneMs: options.paneMs, reach: options.reach, columns });
  return {
    panes,
    apply(key: number, { at, values }: Seen) {
      current.values = values;
      state.apply(key, { eventTime: at }, panes);
    },
  };
}

const expectSame = (
  state: ReturnType<typeof createKeyState>,
  panes: Panes,
  seen: readonly Seen[],
  stretch: Stretch,
  /** Since when each column has been filled. */
  since: readonly number[] = [0, 0, 0, 0],
): void => {
  const { scope } = state;
  const window = inWindow(seen, panes.paneMs, scope.now, stretch);
  expect(readCount(panes, stretch)(scope)).toBe(window.length);
  for (const [column, { kind }] of panes.columns.entries()) {
    expect(readColumn(panes, column, stretch, 1)(scope)).toBe(columnOf(window, column, kind));
  }
  for (const column of [-1, ...panes.columns.keys()].filter((one) => one < 0 || KINDS[one] === 'sum')) {
    const filledSince = column < 0 ? 0 : since[column]!;
    const filled = window.filter(({ at }) => Math.floor(at / panes.paneMs) * panes.paneMs > filledSince);
    const { samples, mean, deviation } = baselineOf(filled, column, panes.paneMs);
    const read = (statistic: 'mean' | 'deviation' | 'samples', samplesMin: number): number =>
      readBaseline(panes, column, stretch, { statistic, samplesMin, perUnit: 1, since: filledSince })(scope);
    expect(read('samples', 1)).toBe(samples);
    expect(read('mean', samples + 1)).toBeNaN();
    if (samples === 0) continue;
    expect(read('mean', samples)).toBeCloseTo(mean, 6);
    expect(read('deviation', samples)).toBeCloseTo(deviation, 4);
  }
};

/** Steps in time: mostly on, now and then far, sometimes back, also further than any window reaches. */
const jump = (paneMs: number) =>
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 0, max: paneMs }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: paneMs * 8 }) },
    { weight: 2, arbitrary: fc.integer({ min: -paneMs * 6, max: 0 }) },
    { weight: 1, arbitrary: fc.integer({ min: -paneMs * 40, max: paneMs * 40 }) },
    { weight: 1, arbitrary: fc.constantFrom(paneMs, -paneMs, paneMs - 1, 1, -1) },
  );
const value = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -1_000, max: 100_000 }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const stream = fc
  .record({ paneMs: fc.constantFrom(1_000, 60_000, 3_600_000), reach: fc.integer({ min: 1, max: 24 }) })
  .chain(({ paneMs, reach }) =>
    fc.record({
      paneMs: fc.constant(paneMs),
      reach: fc.constant(reach),
      columns: fc.integer({ min: 0, max: 4 }),
      records: fc.array(
        fc.record({
          key: fc.integer({ min: 1, max: 2 }),
          jump: jump(paneMs),
          values: fc.tuple(value, value, value, value),
        }),
        { maxLength: 80 },
      ),
      stretches: fc.array(
        fc
          .integer({ min: 1, max: reach })
          .chain((panes) =>
            fc.record({ panes: fc.constant(panes), shift: fc.integer({ min: 0, max: reach - panes }) }),
          ),
        { minLength: 1, maxLength: 3 },
      ),
      later: fc.array(fc.integer({ min: 0, max: paneMs * 30 }), { maxLength: 3 }),
    }),
  );

describe('panes', () => {
  test('read what the definition gives from all records, early, late and in any order', () => {
    fc.assert(
      fc.property(stream, ({ paneMs, reach, columns, records, stretches, later }) => {
        const state = createKeyState();
        const list = listOf(state, { paneMs, reach, columns });
        const seen = new Map<number, Seen[]>();
        let at = BEGIN;
        for (const { key, jump: by, values } of records) {
          at += by;
          list.apply(key, { at, values });
          seen.set(key, [...(seen.get(key) ?? []), { at, values }]);
          for (const stretch of stretches) expectSame(state, list.panes, seen.get(key)!, stretch);
        }
        // Also from a later moment, as a timer looks at it.
        for (const [key, mine] of seen) {
          const clock = Math.max(...mine.map((one) => one.at));
          for (const wait of [0, ...later]) {
            state.look(key, clock + wait);
            for (const stretch of stretches) expectSame(state, list.panes, mine, stretch);
          }
        }
      }),
      { numRuns: cases(250) },
    );
  });

  test('a rule set that adds columns finds the old ones as they were and the new ones cold', () => {
    fc.assert(
      fc.property(
        stream,
        fc.integer({ min: 0, max: 3 }),
        fc.nat(),
        ({ paneMs, reach, records, stretches }, before, at) => {
          const state = createKeyState();
          const old = listOf(state, { paneMs, reach, columns: before });
          const wide = listOf(state, { paneMs, reach, columns: 4 });
          const swapAt = at % (records.length + 1);
          const seen = new Map<number, Seen[]>();
          let time = BEGIN;
          let newest = 0;
          let since: number[] = [];
          for (const [index, { key, jump: by, values }] of records.entries()) {
            time += by;
            if (index === swapAt) since = KINDS.map((_, column) => (column < before ? 0 : newest));
            newest = Math.max(newest, time);
            const known = index < swapAt ? values.map((one, column) => (column < before ? one : Number.NaN)) : values;
            (index < swapAt ? old : wide).apply(key, { at: time, values });
            seen.set(key, [...(seen.get(key) ?? []), { at: time, values: known }]);
            if (index >= swapAt)
              for (const stretch of stretches) expectSame(state, wide.panes, seen.get(key)!, stretch, since);
          }
          // A key that nothing has touched since the change: its new columns hold nothing, its old ones are there.
          for (const [key, mine] of seen) {
            state.look(key);
            const window = inWindow(mine, paneMs, state.scope.now, stretches[0]!);
            expect(readCount(wide.panes, stretches[0]!)(state.scope)).toBe(window.length);
            for (let column = 0; column < 4; column++) {
              expect(readColumn(wide.panes, column, stretches[0]!, 1)(state.scope)).toBe(
                columnOf(window, column, KINDS[column]!),
              );
            }
          }
        },
      ),
      { numRuns: cases(150) },
    );
  });

  test('a burst across a border is one window', () => {
    const state = createKeyState();
    const { panes, apply } = listOf(state, { paneMs: 300_000, reach: 12, columns: 0 });
    const border = Math.ceil(BEGIN / 3_600_000) * 3_600_000;
    for (let n = 0; n < 10; n++) apply(1, { at: border - 2_000 + n * 500, values: NO_VALUES });
    expect(readCount(panes, { panes: 12, shift: 0 })(state.scope)).toBe(10);
  });

  test.each([
    // window of 12 panes of 5 min; the record lies at 10:00:00
    ['10:54:59.999', 1],
    ['10:59:59.999', 1],
    ['11:00:00.000', 0],
    ['11:04:59.999', 0],
  ])('at %s the record of 10:00 counts %d times', (time, count) => {
    const state = createKeyState();
    const { panes, apply } = listOf(state, { paneMs: 300_000, reach: 12, columns: 0 });
    apply(1, { at: Date.parse('2026-03-02T10:00:00Z'), values: NO_VALUES });
    state.look(1, Date.parse(`2026-03-02T${time}Z`));
    expect(readCount(panes, { panes: 12, shift: 0 })(state.scope)).toBe(count);
  });

  test('sums of money are exact, and what reaches a threshold is not below it', () => {
    const state = createKeyState();
    const { panes, apply } = listOf(state, { paneMs: 1_000, reach: 60, columns: 1 });
    const read = readColumn(panes, 0, { panes: 60, shift: 0 }, 1e6);
    for (let n = 1; n <= 5_000; n++) {
      apply(1, { at: BEGIN, values: [10_000, 0, 0, 0] });
      // 0.01 added n times is n cents to the last bit, which floating-point addition would not give.
      expect(read(state.scope)).toBe(n / 100);
    }
  });

  test('shows the panes of a window with their start', () => {
    const state = createKeyState();
    const { panes, apply } = listOf(state, { paneMs: 60_000, reach: 10, columns: 1 });
    const minute = Math.floor(BEGIN / 60_000);
    for (const offset of [0, 1, 1, 5]) apply(1, { at: BEGIN + offset * 60_000, values: [7, 0, 0, 0] });
    expect(panes.list(state.scope, minute, minute + 10, 0)).toEqual([
      { startAt: BEGIN + 60_000, value: 14 },
      { startAt: BEGIN + 300_000, value: 7 },
    ]);
    expect(panes.list(state.scope, minute - 1, minute, -1)).toEqual([{ startAt: BEGIN, value: 1 }]);
    expect(panes.list(state.scope, minute, minute + 10, 1)).toEqual([]);
    state.apply(2, { eventTime: BEGIN });
    expect(panes.list(state.scope, 0, minute, -1)).toEqual([]);
  });

  test('a quiet key takes a few panes, a busy one never more than the window has', () => {
    const state = createKeyState();
    const { apply } = listOf(state, { paneMs: 1_000, reach: 60, columns: 2 });
    apply(1, { at: BEGIN, values: NO_VALUES });
    expect(state.scope.cursor.segmentUnits[3]).toBe(1 + 3);
    for (let second = 0; second < 10_000; second++) apply(1, { at: BEGIN + second * 1_000, values: NO_VALUES });
    expect(state.scope.cursor.segmentUnits[3]).toBe(1 + 60 * 3);
  });

  test('windows that could not fit a segment are refused', () => {
    expect(() => createPanes({ id: 1, signature: '', paneMs: 1_000, reach: 16_384, columns: [] })).toThrow(RangeError);
  });
});
