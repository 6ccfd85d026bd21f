/**
 * Single calls rather than totals: calls that overlap in time, how many are in progress at once, and the partial records of
 * one long call.
 */
import type { Blocks } from './block.ts';
import { fingerprint } from './key-table.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** A list of calls as `[length]`, then entries of one size, in the segment of an operator. */
interface CallList {
  id: number;
  /** Units of an entry. */
  entry: number;
  /** Unit of it that holds the time after which the call is forgotten. */
  time: number;
  callsMax: number;
  keepMs: number;
}

/** Unit at which one more call may be written: room behind the others, or that of the call whose time lies furthest back. */
function entryFor(scope: Scope, blocks: Blocks, { id, entry, time, callsMax, keepMs }: CallList): number {
  const { cursor } = scope;
  let segment = cursor.segmentAt[id]!;
  if (segment === 0) segment = blocks.ensure(id, 1 + entry);
  const length = cursor.u32[segment * 2]!;
  const capacity = ((cursor.segmentUnits[id]! - 1) / entry) | 0;
  if (length === capacity) {
    const { f64 } = cursor;
    const first = segment + 1;
    let earliest = first;
    for (let at = first + entry; at < first + length * entry; at += entry) {
      if (f64[at + time]! < f64[earliest + time]!) earliest = at;
    }
    if (capacity >= callsMax || f64[earliest + time]! < scope.now - keepMs) return earliest;
    // The block may move, so its place is taken from here on.
    segment = blocks.resize(id, 1 + Math.min(callsMax, capacity * 2) * entry);
  }
  cursor.u32[segment * 2] = length + 1;
  return segment + 1 + length * entry;
}

/** Calls remembered per key for overlap; the one that ended first makes room. */
export const OVERLAP_CALLS_MAX = 16;
const OVERLAP_ENTRY = 3;

/** Two primes whose product is below 2^53, so that place and call of a leg share one number. */
const PLACES = 67_108_859;
const CALLS = 67_108_837;

/** Place and call of a leg in one number; a leg without callId is call 0, which is nobody else's. */
function legOf(cellId: string, callId: string): number {
  const call = callId === '' ? 0 : 1 + (Math.abs(fingerprint(callId)) % (CALLS - 1));
  return (Math.abs(fingerprint(cellId)) % PLACES) * CALLS + call;
}

/**
 * Overlapping legs: `[length]`, then `[start, end, leg]` per call (leg: place and call). Call records arrive when the call
 * ends, so a long call arrives after short ones that began later; every pair is seen when its second record arrives.
 *
 * `overlapMs` is the longest overlap of the record being applied with a remembered call at another place (place: cell).
 * The same place twice is call waiting, not a clone, and two legs of one callId are one call (a handover, a conference); a
 * record without a place is compared with nothing.
 */
export interface Overlap extends Operator {
  overlapMs: Reader;
}

export function createOverlap(options: { id: number; signature: string; keepMs: number }): Overlap {
  const { id, keepMs } = options;
  const list: CallList = { id, entry: OVERLAP_ENTRY, time: 1, callsMax: OVERLAP_CALLS_MAX, keepMs };
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + OVERLAP_CALLS_MAX * OVERLAP_ENTRY,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      if (!(record.durationMs > 0) || record.cellId === '') return;
      const start = record.eventTime;
      const end = start + record.durationMs;
      if (end < scope.now - keepMs) return;
      const at = entryFor(scope, blocks, list);
      cursor.f64[at] = start;
      cursor.f64[at + 1] = end;
      cursor.f64[at + 2] = legOf(record.cellId, record.callId);
    },
    overlapMs: (scope) => {
      const { record, cursor } = scope;
      const segment = cursor.segmentAt[id]!;
      if (segment === 0 || !(record.durationMs > 0) || record.cellId === '') return Number.NaN;
      const start = record.eventTime;
      const end = start + record.durationMs;
      const leg = legOf(record.cellId, record.callId);
      const call = leg % CALLS;
      const place = (leg - call) / CALLS;
      const { f64 } = cursor;
      let longest = 0;
      for (let index = cursor.u32[segment * 2]! - 1; index >= 0; index--) {
        const at = segment + 1 + index * OVERLAP_ENTRY;
        const other = f64[at + 2]!;
        const otherCall = other % CALLS;
        if ((call !== 0 && otherCall === call) || (other - otherCall) / CALLS === place) continue;
        const overlap = Math.min(end, f64[at + 1]!) - Math.max(start, f64[at]!);
        if (overlap > longest) longest = overlap;
      }
      return longest;
    },
  };
}

/** Calls in progress remembered per key; the one that was heard of least recently makes room. */
export const OPEN_CALLS_MAX = 8;
const CALL_ENTRY = 4;

/**
 * Duration of one call so far: `[length]`, then `[callId, start, heard, duration ms]`. Partial records of one callId add
 * up; a record without callId is a whole call. Only calls with partial records take memory.
 */
export interface CallTotal extends Operator {
  /** Duration so far of the call that the record being applied belongs to, ms. */
  durationMs: Reader;
  /** When that call began, epoch ms. */
  startAt: Reader;
}

export function createCallTotal(options: { id: number; signature: string; keepMs: number }): CallTotal {
  const { id, keepMs } = options;
  const list: CallList = { id, entry: CALL_ENTRY, time: 2, callsMax: OPEN_CALLS_MAX, keepMs };
  const find = (scope: Scope): number => {
    const { record, cursor } = scope;
    const segment = cursor.segmentAt[id]!;
    if (segment === 0 || record.callId === '') return 0;
    const call = fingerprint(record.callId);
    for (let index = cursor.u32[segment * 2]! - 1; index >= 0; index--) {
      const at = segment + 1 + index * CALL_ENTRY;
      if (cursor.f64[at] === call) return at;
    }
    return 0;
  };
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + OPEN_CALLS_MAX * CALL_ENTRY,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: true,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      if (record.callId === '' || !(record.durationMs >= 0)) return;
      let at = find(scope);
      if (at === 0) {
        at = entryFor(scope, blocks, list);
        cursor.f64[at] = fingerprint(record.callId);
        cursor.f64[at + 1] = record.eventTime;
        cursor.f64[at + 2] = record.eventTime;
        cursor.f64[at + 3] = 0;
      }
      const { f64 } = cursor;
      f64[at + 1] = Math.min(f64[at + 1]!, record.eventTime);
      f64[at + 2] = Math.max(f64[at + 2]!, record.eventTime);
      f64[at + 3]! += record.durationMs;
    },
    durationMs: (scope) => {
      const at = find(scope);
      return at === 0 ? scope.record.durationMs : scope.cursor.f64[at + 3]!;
    },
    startAt: (scope) => {
      const at = find(scope);
      return at !== 0 ? scope.cursor.f64[at + 1]! : scope.record.eventTime > 0 ? scope.record.eventTime : Number.NaN;
    },
  };
}

/** Calls remembered per key for concurrency; the one that ended first makes room. Only busy telephone systems need so many. */
export const CONCURRENT_CALLS_MAX = 32;
const CONCURRENT_ENTRY = 2;

/**
 * Calls in progress at the same instant: `[length]`, then `[start, (duration ms, call)]` per call, the second unit as two u32.
 *
 * ```
 *   A  |-----------------|                 A record arrives when its call ends: C is seen first, then B, then A.
 *   B       |--------|                     When A arrives, three calls were in progress at the instant of C's begin,
 *   C          |-|                         the record's own among them.
 * ```
 *
 * A call lasts from its begin to before its end, so one that begins the moment another ends overlaps with nothing. Partial
 * records of one callId are one call, from the first begin to the last end. Calls that ended longer than `keepMs` ago are
 * left out.
 */
export interface Concurrency extends Operator {
  /** Most calls in progress at one instant of the call that the record being applied reports, itself included. */
  concurrent: Reader;
  /** Calls of the last `keepMs` that last longer than this, ms. */
  longerThan(limitMs: number): Reader;
}

export function createConcurrency(options: { id: number; signature: string; keepMs: number }): Concurrency {
  const { id, keepMs } = options;
  /** 0 where the record names no call. 32 bits do: only the calls of one key within hours are compared. */
  const callOf = (callId: string): number => (callId === '' ? 0 : (fingerprint(callId) | 0) >>> 0 || 1);
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + CONCURRENT_CALLS_MAX * CONCURRENT_ENTRY,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      const start = record.eventTime;
      const duration = Math.min(record.durationMs, 0xffffffff);
      if (!(duration > 0) || start + duration <= scope.now - keepMs) return;
      const call = callOf(record.callId);
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 1 + CONCURRENT_ENTRY);
      const length = cursor.u32[segment * 2]!;
      let slot = length;
      if (call !== 0) {
        for (let index = 0; index < length; index++) {
          const at = segment + 1 + index * CONCURRENT_ENTRY;
          if (cursor.u32[at * 2 + 3] !== call) continue;
          const from = cursor.f64[at]!;
          const end = from + cursor.u32[at * 2 + 2]!;
          // Switches use the names of calls again: so long after its end it is another call, and this one takes its place.
          const isOver = end <= scope.now - keepMs;
          const begin = isOver ? start : Math.min(from, start);
          cursor.f64[at] = begin;
          cursor.u32[at * 2 + 2] = isOver ? duration : Math.min(Math.max(end, start + duration) - begin, 0xffffffff);
          return;
        }
      }
      const capacity = ((cursor.segmentUnits[id]! - 1) / CONCURRENT_ENTRY) | 0;
      if (length === capacity) {
        let earliest = 0;
        let earliestEnd = Number.POSITIVE_INFINITY;
        for (let index = 0; index < length; index++) {
          const at = segment + 1 + index * CONCURRENT_ENTRY;
          const end = cursor.f64[at]! + cursor.u32[at * 2 + 2]!;
          if (end < earliestEnd) {
            earliest = index;
            earliestEnd = end;
          }
        }
        if (earliestEnd <= scope.now - keepMs || capacity >= CONCURRENT_CALLS_MAX) slot = earliest;
        else segment = blocks.resize(id, 1 + Math.min(CONCURRENT_CALLS_MAX, capacity * 2) * CONCURRENT_ENTRY);
      }
      if (slot === length) cursor.u32[segment * 2] = length + 1;
      const at = segment + 1 + slot * CONCURRENT_ENTRY;
      cursor.f64[at] = start;
      cursor.u32[at * 2 + 2] = duration;
      cursor.u32[at * 2 + 3] = call;
    },
    concurrent: (scope) => {
      const { record, cursor } = scope;
      const segment = cursor.segmentAt[id]!;
      if (segment === 0 || !(record.durationMs > 0)) return Number.NaN;
      const { f64, u32 } = cursor;
      const start = record.eventTime;
      const end = start + record.durationMs;
      const oldest = scope.now - keepMs;
      const first = segment + 1;
      const behind = first + u32[segment * 2]! * CONCURRENT_ENTRY;
      const inProgress = (instant: number): number => {
        let count = 0;
        for (let at = first; at < behind; at += CONCURRENT_ENTRY) {
          const to = f64[at]! + u32[at * 2 + 2]!;
          if (f64[at]! <= instant && instant < to && to > oldest) count++;
        }
        return count;
      };
      // The number only rises where a call begins, so those instants and the record's own begin are enough.
      let most = inProgress(start);
      for (let at = first; at < behind; at += CONCURRENT_ENTRY) {
        if (f64[at]! > start && f64[at]! < end) most = Math.max(most, inProgress(f64[at]!));
      }
      return most;
    },
    longerThan: (limitMs) => (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      const oldest = scope.now - keepMs;
      let count = 0;
      for (let index = u32[segment * 2]! - 1; index >= 0; index--) {
        const at = segment + 1 + index * CONCURRENT_ENTRY;
        if (u32[at * 2 + 2]! > limitMs && f64[at]! > oldest) count++;
      }
      return count;
    },
  };
}
