import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CONCURRENT_CALLS_MAX,
  createCallTotal,
  createConcurrency,
  createOverlap,
  OPEN_CALLS_MAX,
  OVERLAP_CALLS_MAX,
} from '../src/state/calls.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const HOUR_MS = 3_600_000;

describe('overlap', () => {
  const call = fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    startMin: fc.integer({ min: 0, max: 600 }),
    durationMin: fc.oneof(fc.integer({ min: 0, max: 120 }), fc.constant(Number.NaN)),
    cell: fc.constantFrom('', '17', '18', 'cell-A', 'cell-B'),
  });

  test('is the longest one with a call at another place, whichever record came first', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: OVERLAP_CALLS_MAX }), (calls) => {
        const state = createKeyState();
        const overlap = createOverlap({ id: 1, signature: '', keepMs: 24 * HOUR_MS });
        const seen: typeof calls = [];
        for (const one of calls) {
          const eventTime = BEGIN + one.startMin * 60_000;
          state.apply(one.key, { eventTime, durationMs: one.durationMin * 60_000, cellId: one.cell }, overlap);
          const expected = seen
            .filter(
              (other) => other.key === one.key && other.cell !== '' && other.cell !== one.cell && other.durationMin > 0,
            )
            .map(
              (other) =>
                Math.min(one.startMin + one.durationMin, other.startMin + other.durationMin) -
                Math.max(one.startMin, other.startMin),
            )
            .reduce((longest, minutes) => Math.max(longest, minutes), 0);
          // A record that is no call at a place cannot be in two places.
          const isCall = one.durationMin > 0 && one.cell !== '';
          expect(overlap.overlapMs(state.scope)).toBe(isCall ? expected * 60_000 : Number.NaN);
          seen.push(one);
        }
      }),
      { numRuns: 300 },
    );
  });

  const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  test.each([
    // first call     second call     overlap
    ['10:00', 30, 'A', '10:10', 5, 'B', 5],
    ['10:00', 30, 'A', '10:29', 30, 'B', 1],
    ['10:00', 30, 'A', '10:30', 30, 'B', 0],
    ['10:10', 5, 'A', '10:00', 30, 'B', 5],
    ['10:00', 30, 'A', '10:10', 5, 'A', 0],
  ])('%s for %d min at %s, then %s for %d min at %s: %d min', (at1, min1, cell1, at2, min2, cell2, expected) => {
    const state = createKeyState();
    const overlap = createOverlap({ id: 1, signature: '', keepMs: 12 * HOUR_MS });
    for (const [at, duration, cellId] of [
      [at1, min1, cell1],
      [at2, min2, cell2],
    ] as const) {
      state.apply(1, { eventTime: BEGIN + minutes(at) * 60_000, durationMs: duration * 60_000, cellId }, overlap);
    }
    expect(overlap.overlapMs(state.scope)).toBe(expected * 60_000);
  });

  test('of more calls than are kept, the one that ended first makes room', () => {
    const state = createKeyState();
    const overlap = createOverlap({ id: 1, signature: '', keepMs: 12 * HOUR_MS });
    const at = (minute: number, duration: number, cellId: string): number => {
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: duration * 60_000, cellId }, overlap);
      return overlap.overlapMs(state.scope) / 60_000;
    };
    at(0, 240, 'long');
    for (let n = 0; n < 40; n++) at(n, 1, 'home');
    // The long call is still there, although 40 came after it.
    expect(at(100, 10, 'elsewhere')).toBe(10);
    expect(state.scope.cursor.segmentUnits[1]).toBe(1 + OVERLAP_CALLS_MAX * 3);
  });
});

describe('call total', () => {
  const part = fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    callId: fc.constantFrom('', 'a', 'b', 'c', '77'),
    startMin: fc.integer({ min: 0, max: 600 }),
    durationMin: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 60 }) }, fc.constant(Number.NaN)),
  });

  test('adds up the partial records of a call, in any order, and keeps calls and keys apart', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        const state = createKeyState();
        const total = createCallTotal({ id: 1, signature: '', keepMs: 24 * HOUR_MS });
        const seen = new Map<string, { startMin: number; durationMin: number }>();
        for (const { key, callId, startMin, durationMin } of parts) {
          const eventTime = BEGIN + startMin * 60_000;
          state.apply(key, { eventTime, durationMs: durationMin * 60_000, callId }, total);
          const name = `${key} ${callId}`;
          const before = callId === '' ? undefined : seen.get(name);
          const counts = durationMin >= 0 && callId !== '';
          const now = counts
            ? {
                startMin: Math.min(before?.startMin ?? startMin, startMin),
                durationMin: (before?.durationMin ?? 0) + durationMin,
              }
            : before;
          if (now !== undefined && counts) seen.set(name, now);
          expect(total.durationMs(state.scope)).toBe((now?.durationMin ?? durationMin) * 60_000);
          expect(total.startAt(state.scope)).toBe(BEGIN + (now?.startMin ?? startMin) * 60_000);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('of more open calls than are kept, the one that was heard of least recently makes room', () => {
    const state = createKeyState();
    const total = createCallTotal({ id: 1, signature: '', keepMs: 24 * HOUR_MS });
    const hear = (callId: string, minute: number): number => {
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: 60_000, callId }, total);
      return total.durationMs(state.scope) / 60_000;
    };
    for (let n = 0; n < OPEN_CALLS_MAX; n++) hear(`call-${n}`, n);
    expect(hear('call-0', 20)).toBe(2);
    hear('one more', 21);
    expect(hear('call-0', 22)).toBe(3);
    expect(hear('call-1', 23)).toBe(1);
    expect(state.scope.cursor.segmentUnits[1]).toBe(1 + OPEN_CALLS_MAX * 4);
  });

  test('while a timer is evaluated there is no call', () => {
    const state = createKeyState();
    const total = createCallTotal({ id: 1, signature: '', keepMs: 24 * HOUR_MS });
    state.apply(1, { eventTime: BEGIN, durationMs: 60_000, callId: 'a' }, total);
    state.look(1);
    expect([total.durationMs(state.scope), total.startAt(state.scope)]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe('concurrency', () => {
  const call = fc.record({
    key: fc.integer({ min: 1, max: 2 }),
    startMin: fc.integer({ min: 0, max: 300 }),
    durationMin: fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 60 }) }, fc.constant(Number.NaN)),
    callId: fc.oneof({ weight: 3, arbitrary: fc.constant('') }, fc.constantFrom('a', 'b', '77')),
  });

  test('is the most calls in progress at one minute of the call, itself included, whichever record came first', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: CONCURRENT_CALLS_MAX }), (calls) => {
        const state = createKeyState();
        const concurrency = createConcurrency({ id: 1, signature: '', keepMs: 24 * HOUR_MS });
        const seen: { key: number; callId: string; from: number; to: number }[] = [];
        for (const { key, startMin, durationMin, callId } of calls) {
          const eventTime = BEGIN + startMin * 60_000;
          state.apply(key, { eventTime, durationMs: durationMin * 60_000, callId }, concurrency);
          if (!(durationMin > 0)) {
            expect(concurrency.concurrent(state.scope)).toBe(Number.NaN);
            continue;
          }
          const same = callId === '' ? undefined : seen.find((one) => one.key === key && one.callId === callId);
          if (same === undefined) seen.push({ key, callId, from: startMin, to: startMin + durationMin });
          else {
            same.to = Math.max(same.to, startMin + durationMin);
            same.from = Math.min(same.from, startMin);
          }
          let most = 0;
          for (let minute = startMin; minute < startMin + durationMin; minute++) {
            most = Math.max(
              most,
              seen.filter((one) => one.key === key && one.from <= minute && minute < one.to).length,
            );
          }
          expect(concurrency.concurrent(state.scope)).toBe(most);
          expect(concurrency.longerThan(30 * 60_000)(state.scope)).toBe(
            seen.filter((one) => one.key === key && one.to - one.from > 30).length,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  test('takes the name of a call that is long over for that of another one', () => {
    const state = createKeyState();
    const concurrency = createConcurrency({ id: 1, signature: '', keepMs: 3 * HOUR_MS });
    const call = (minute: number, callId: string): void =>
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: 60_000, callId }, concurrency);
    call(0, 'a');
    call(300, 'a');
    // Else it would have lasted five hours, and been in progress now.
    call(200, 'b');
    expect(concurrency.concurrent(state.scope)).toBe(1);
  });

  test('long calls are those that began in the window', () => {
    const state = createKeyState();
    const concurrency = createConcurrency({ id: 1, signature: '', keepMs: 3 * HOUR_MS });
    const longer = concurrency.longerThan(HOUR_MS);
    const at = (minute: number, duration: number): number => {
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: duration * 60_000 }, concurrency);
      return longer(state.scope);
    };
    expect([at(0, 60), at(1, 61), at(60, 90), at(180, 1), at(181, 1)]).toEqual([0, 1, 2, 2, 1]);
    state.look(1, BEGIN + 4 * HOUR_MS);
    expect(longer(state.scope)).toBe(0);
    state.apply(2, { eventTime: BEGIN });
    expect(longer(state.scope)).toBe(0);
  });

  test('leaves out calls that ended longer ago than they are kept, also where they are still in memory', () => {
    const state = createKeyState();
    const concurrency = createConcurrency({ id: 1, signature: '', keepMs: 3 * HOUR_MS });
    const at = (minute: number, duration: number): number => {
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: duration * 60_000 }, concurrency);
      return concurrency.concurrent(state.scope);
    };
    at(100, 10);
    at(289, 1);
    expect(at(90, 180)).toBe(2);
    at(290, 1);
    expect(at(90, 181)).toBe(2);
  });

  test('of more calls than are kept, the one that ended first makes room', () => {
    const state = createKeyState();
    const concurrency = createConcurrency({ id: 1, signature: '', keepMs: 6 * HOUR_MS });
    const at = (minute: number, duration: number): number => {
      state.apply(1, { eventTime: BEGIN + minute * 60_000, durationMs: duration * 60_000 }, concurrency);
      return concurrency.concurrent(state.scope);
    };
    at(0, 300);
    at(0, 301);
    for (let n = 0; n < 100; n++) expect(at(n, 1)).toBe(3);
    expect(state.scope.cursor.segmentUnits[1]).toBe(1 + CONCURRENT_CALLS_MAX * 2);
  });

  test('while a timer is evaluated there is no call', () => {
    const state = createKeyState();
    const concurrency = createConcurrency({ id: 1, signature: '', keepMs: HOUR_MS });
    state.apply(1, { eventTime: BEGIN, durationMs: 60_000 }, concurrency);
    state.look(1);
    expect(concurrency.concurrent(state.scope)).toBe(Number.NaN);
  });
});
