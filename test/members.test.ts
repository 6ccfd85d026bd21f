/** Members of a key against a list of everything that happened: who is in, who failed, who will. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMembers, MEMBERS_MAX, type Members } from '../src/state/members.ts';
import { createKeyState } from './key-state.ts';

const SECOND_MS = 1_000;
const BEGIN = 1_700_000_000_000;
const KEY = 1_861;
const membersOf = (windowMs: number, withinMs = Number.POSITIVE_INFINITY): Members =>
  createMembers({
    id: 1,
    signature: 'members',
    windowMs,
    withinMs,
    of: ({ record }) => record.durationMs,
    at: ({ record }) => (Number.isNaN(record.dueTime) ? record.eventTime : record.dueTime),
    leave: ({ record }) => record.event === 'leave',
    fail: ({ record }) => record.event === 'fail',
    confirm: ({ record }) => record.event === 'confirm',
    join: ({ record }) => record.event === 'join',
  });

describe('members of a key', () => {
  test('are those that a list of everything gives', () => {
    const happening = fc.record({
      event: fc.constantFrom('join', 'join', 'join', 'confirm', 'fail', 'leave', 'other'),
      member: fc.integer({ min: 1, max: 6 }),
      jump: fc.integer({ min: 0, max: 40 }),
      ago: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 150 })),
    });
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
        const windowMs = 100 * SECOND_MS;
        const withinMs = 30 * SECOND_MS;
        const members = membersOf(windowMs, withinMs);
        const state = createKeyState();
        const naive = new Map<number, { joined: number; confirmed: boolean; failed: boolean }>();
        let clock = BEGIN;
        let at = BEGIN;
        for (const { event, member, jump, ago } of happenings) {
          at += jump * SECOND_MS;
          const eventTime = at - ago * SECOND_MS;
          clock = state.look(KEY) ? Math.max(clock, eventTime) : eventTime;
          state.apply(KEY, { eventTime, event, durationMs: member }, members);
          const found = naive.get(member);
          if (event === 'leave' && found !== undefined && found.joined <= eventTime) naive.delete(member);
          if (event === 'fail' && found !== undefined) found.failed = true;
          if (event === 'confirm' && found !== undefined && eventTime <= found.joined + withinMs)
            found.confirmed = true;
          if (event === 'join' && eventTime > clock - windowMs && (found === undefined || eventTime > found.joined))
            naive.set(member, { joined: eventTime, confirmed: false, failed: false });

          for (const now of [clock, clock + 20 * SECOND_MS]) {
            state.look(KEY, now);
            const inside = [...naive.values()].filter(({ joined }) => joined > now - windowMs);
            const failed = inside.filter(
              ({ joined, confirmed, failed }) => failed || (!confirmed && now >= joined + withinMs),
            );
            const due = [...naive.values()]
              .filter(({ confirmed, failed }) => !confirmed && !failed)
              .map(({ joined }) => joined + withinMs);
            const least = (times: number[]): number => (times.length === 0 ? Number.NaN : Math.min(...times));
            expect(members.count(state.scope)).toBe(inside.length);
            expect(members.failed(state.scope)).toBe(failed.length);
            expect(members.dueAt(state.scope)).toBe(least(due.filter((time) => time >= now)));
            expect(members.nextDueAt(state.scope)).toBe(least(due.filter((time) => time > now)));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test('count at their limits: one who leaves in the second of joining has left, a confirmation at the last moment counts', () => {
    const withinMs = 30 * SECOND_MS;
    const ending = (...happenings: [event: string, at: number][]): [count: number, failed: number] => {
      const members = membersOf(100 * SECOND_MS, withinMs);
      const state = createKeyState();
      for (const [event, at] of happenings) state.apply(KEY, { eventTime: BEGIN + at, event, durationMs: 1 }, members);
      state.look(KEY, BEGIN + 60 * SECOND_MS);
      return [members.count(state.scope), members.failed(state.scope)];
    };
    expect(ending(['join', 0], ['leave', 0])).toEqual([0, 0]);
    // Who left before joining is in.
    expect(ending(['join', 1_000], ['leave', 999])).toEqual([1, 1]);
    expect(ending(['join', 0], ['confirm', withinMs])).toEqual([1, 0]);
    expect(ending(['join', 0], ['confirm', withinMs + 1])).toEqual([1, 1]);
  });

  test('of which nothing has been seen are none', () => {
    const members = membersOf(SECOND_MS);
    const state = createKeyState();
    state.apply(KEY, { eventTime: BEGIN, event: 'confirm', durationMs: 7 }, members);
    state.apply(KEY, { eventTime: BEGIN, event: 'join' }, members);
    expect(members.count(state.scope)).toBe(0);
    expect(members.failed(state.scope)).toBe(0);
    expect(members.dueAt(state.scope)).toBeNaN();
    expect(state.scope.cursor.segmentAt[1]).toBe(0);
  });

  test('joined when the record says, not when it came', () => {
    const members = membersOf(100 * SECOND_MS);
    const state = createKeyState();
    state.apply(KEY, { eventTime: BEGIN, dueTime: BEGIN - 99 * SECOND_MS, event: 'join', durationMs: 1 }, members);
    state.apply(KEY, { eventTime: BEGIN, dueTime: BEGIN - 100 * SECOND_MS, event: 'join', durationMs: 2 }, members);
    expect(members.count(state.scope)).toBe(1);
    state.look(KEY, BEGIN + SECOND_MS);
    expect(members.count(state.scope)).toBe(0);
  });

  test('beyond the limit are the newest, and memory stays where it is', () => {
    const members = membersOf(1e9 * SECOND_MS);
    const state = createKeyState();
    for (let n = 1; n <= MEMBERS_MAX + 100; n++) {
      state.apply(KEY, { eventTime: BEGIN + n * SECOND_MS, event: 'join', durationMs: n }, members);
    }
    expect(members.count(state.scope)).toBe(MEMBERS_MAX);
    expect(state.scope.cursor.segmentUnits[1]).toBe(members.unitsMax);
    // The first hundred have made room: taking them out changes nothing.
    for (let n = 1; n <= 101; n++) {
      state.apply(KEY, { eventTime: BEGIN + 5_000 * SECOND_MS, event: 'leave', durationMs: n }, members);
    }
    expect(members.count(state.scope)).toBe(MEMBERS_MAX - 1);
  });

  test('that the window has left make room before the list grows', () => {
    const members = membersOf(10 * SECOND_MS);
    const state = createKeyState();
    for (let n = 1; n <= 500; n++) {
      state.apply(KEY, { eventTime: BEGIN + n * SECOND_MS, event: 'join', durationMs: n }, members);
    }
    expect(members.count(state.scope)).toBe(10);
    expect(state.scope.cursor.segmentUnits[1]).toBeLessThan(50);
  });
});
