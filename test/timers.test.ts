import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTimers } from '../src/state/timers.ts';

type Entry = [time: number, keyType: number, key: number];
const inOrder = (a: Entry, b: Entry): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

describe('timers', () => {
  const entry = fc.tuple(
    fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1_767_225_600_000, max: 1_767_225_700_000 })),
    fc.integer({ min: 0, max: 10 }),
    fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer({ min: 10 ** 15, max: 10 ** 15 + 3 })),
  );

  test('come up by time, then kind of key, then key, whatever the order in which they were set', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 3, arbitrary: entry }, fc.constant('pop' as const)), { maxLength: 300 }),
        (steps) => {
          const timers = createTimers();
          const sorted: Entry[] = [];
          const pop = (): void => {
            const { popped } = timers;
            expect(timers.nextAt()).toBe(sorted[0]![0]);
            timers.pop();
            expect([popped.time, popped.keyType, popped.key]).toEqual(sorted.shift());
          };
          for (const step of steps) {
            if (step !== 'pop') {
              timers.push(...step);
              sorted.push(step);
              sorted.sort(inOrder);
            } else if (sorted.length > 0) pop();
            expect(timers.size()).toBe(sorted.length);
          }
          while (sorted.length > 0) pop();
          expect(timers.nextAt()).toBe(Number.POSITIVE_INFINITY);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('20,000 entries, more than the queue begins with, come out sorted', () => {
    const timers = createTimers();
    const entries = Array.from({ length: 20_000 }, (_, index): Entry => [(index * 7_919) % 10_007, index % 11, index]);
    for (const one of entries) timers.push(...one);
    const out: Entry[] = [];
    while (timers.size() > 0) {
      timers.pop();
      out.push([timers.popped.time, timers.popped.keyType, timers.popped.key]);
    }
    expect(out).toEqual(entries.sort(inOrder));
  });

  test('clear forgets all', () => {
    const timers = createTimers();
    timers.push(5, 1, 1);
    timers.clear();
    expect([timers.size(), timers.nextAt()]).toEqual([0, Number.POSITIVE_INFINITY]);
  });
});

test('what is due is shown without being taken', () => {
  const timers = createTimers();
  const times = Array.from({ length: 500 }, (_, n) => (n * 7_919) % 1_000);
  for (const [key, time] of times.entries()) timers.push(time, key % 3, key);
  const due: [number, number][] = [];
  timers.dueBy(300, (keyType, key) => due.push([keyType, key]) > 0);
  const expected = times.flatMap((time, key): [number, number][] => (time <= 300 ? [[key % 3, key]] : []));
  expect(due.sort(([, a], [, b]) => a - b)).toEqual(expected);
  expect(timers.size()).toBe(500);
  let seen = 0;
  timers.dueBy(300, () => ++seen < 5);
  expect(seen).toBe(5);
  createTimers().dueBy(1, () => expect.fail('nothing is due'));
});
