import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSequence, type Sequence } from '../src/state/sequence.ts';
import { createKeyState, type KeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const MINUTE_MS = 60_000;

interface Step {
  event: string;
  count: number;
  withinMin: number;
}
const sequenceOf = (steps: readonly Step[]): Sequence =>
  createSequence({
    id: 3,
    signature: '',
    steps: steps.map(({ event, count, withinMin }) => ({
      takes: ({ record }) => record.event === event,
      count,
      withinMs: withinMin * MINUTE_MS,
    })),
  });
const apply = (state: KeyState, sequence: Sequence, event: string, minute: number, key = 1): number => {
  state.apply(key, { event, eventTime: BEGIN + minute * MINUTE_MS }, sequence);
  return sequence.tookMs(state.scope) / MINUTE_MS;
};

/**
 * Every way to choose the records, tried one by one: groups of `count` neighbours in time of each step, each group behind the one
 * before it. Of the chains that hold the record, the one that ends last and began last.
 */
function naive(
  steps: readonly Step[],
  seen: readonly { event: string; minute: number }[],
  minute: number,
  event: string,
) {
  const own = steps.findIndex((step) => step.event === event);
  if (own < 0) return Number.NaN;
  let best: { end: number; origin: number } | undefined;
  const follow = (index: number, previousEnd: number, origin: number): void => {
    if (index === steps.length) {
      if (best === undefined || previousEnd > best.end || (previousEnd === best.end && origin > best.origin))
        best = { end: previousEnd, origin };
      return;
    }
    const step = steps[index]!;
    const times = seen
      .filter((one) => one.event === step.event)
      .map((one) => one.minute)
      .sort((a, b) => a - b);
    for (let last = step.count - 1; last < times.length; last++) {
      const begin = times[last - step.count + 1]!;
      const end = times[last]!;
      if (index === own && (minute < begin || minute > end)) continue;
      if (index === 0 ? step.count > 1 && end - begin > step.withinMin : end - previousEnd > step.withinMin) continue;
      if (begin < previousEnd) continue;
      follow(index + 1, end, index === 0 ? end : origin);
    }
  };
  follow(0, Number.NEGATIVE_INFINITY, Number.NaN);
  return best === undefined ? Number.NaN : best.end - best.origin;
}

describe('sequence', () => {
  const steps = fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 }), fc.boolean())
    .map(([first, second, third, three]): Step[] => [
      { event: 'a', count: first, withinMin: 30 },
      { event: 'b', count: second, withinMin: 60 },
      ...(three ? [{ event: 'c', count: third, withinMin: 45 }] : []),
    ]);
  const record = fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    event: fc.constantFrom('a', 'b', 'c', 'z'),
    minute: fc.integer({ min: 0, max: 200 }),
  });

  test('is complete where the records of all steps follow each other in time, in whatever order they arrive', () => {
    fc.assert(
      fc.property(steps, fc.array(record, { maxLength: 14 }), (drawn, records) => {
        const state = createKeyState();
        const sequence = sequenceOf(drawn);
        const seen: typeof records = [];
        for (const one of records) {
          // More of one kind than are kept would be another test.
          if (seen.filter(({ key, event }) => key === one.key && event === one.event).length > 3) continue;
          seen.push(one);
          const took = apply(state, sequence, one.event, one.minute, one.key);
          const mine = seen.filter(({ key }) => key === one.key);
          expect(took).toBe(naive(drawn, mine, one.minute, one.event));
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['at the limits of both steps', [0, 60, 120], 1560, 1440],
    ['a minute too late', [0, 60, 120], 1561, Number.NaN],
    ['after failures spread too wide', [0, 60, 121], 130, Number.NaN],
    ['after two failures', [0, 60], 70, Number.NaN],
    ['before the failures', [10, 20, 30], 5, Number.NaN],
    ['after more failures than needed, from the last one', [0, 1, 2, 3, 4, 5, 6, 7], 10, 3],
  ])('three failures within 2 h, then a change within 24 h: %s', (_name, failures, change, expected) => {
    const state = createKeyState();
    const sequence = sequenceOf([
      { event: 'loginFailed', count: 3, withinMin: 120 },
      { event: 'contactChanged', count: 1, withinMin: 1440 },
    ]);
    for (const minute of failures) expect(apply(state, sequence, 'loginFailed', minute)).toBe(Number.NaN);
    expect(apply(state, sequence, 'contactChanged', change)).toBe(expected);
  });

  test('a record counts for the first step that takes it, so it never follows itself', () => {
    const state = createKeyState();
    const sequence = sequenceOf([
      { event: 'a', count: 1, withinMin: 1 },
      { event: 'a', count: 1, withinMin: 60 },
    ]);
    expect(apply(state, sequence, 'a', 0)).toBe(Number.NaN);
    expect(apply(state, sequence, 'a', 1)).toBe(Number.NaN);
  });

  test('the newest of many records count, and a timer completes nothing', () => {
    const state = createKeyState();
    const sequence = sequenceOf([
      { event: 'a', count: 2, withinMin: 10 },
      { event: 'b', count: 1, withinMin: 60 },
    ]);
    for (let minute = 0; minute < 500; minute += 7) apply(state, sequence, 'a', minute);
    expect(apply(state, sequence, 'b', 500)).toBe(3);
    state.look(1);
    expect(sequence.tookMs(state.scope)).toBe(Number.NaN);
    expect(state.scope.cursor.segmentUnits[3]).toBe(5 + 4);
  });
});
