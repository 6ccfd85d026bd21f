/**
 * Who has joined a key lately, and what became of each: the activations of a dealer and which of them were never used, the
 * subscribers on one identity document and which have left. Unlike a count of distinct values, a member can be taken out
 * again, confirmed or failed one by one, and times are exact to the second instead of to the pane.
 *
 * ```
 *   joins          confirmed within the time     fine
 *     ├── within ──┤
 *     │            └─ not confirmed: failed from here on; `fail` fails at once, `leave` takes out
 * ```
 *
 * `[length, 0] ([value] [joined (u32, s) | flags (u32)]) x capacity`. A member is kept while the window reaches it. When the
 * list is full, the one that joined first makes room, so that of a key with more members than that the newest are judged.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** 64 KiB of one key. A document or dealer with as many joins in a window is far beyond every threshold. */
export const MEMBERS_MAX = 4_096;

const CONFIRMED = 1;
const FAILED = 2;

export interface Members extends Operator {
  /** Members that joined inside the window. */
  count: Reader;
  /** Those of them that failed, or were not confirmed in time. */
  failed: Reader;
  /** When the next member will have failed for want of a confirmation: not before now, or after now. NaN where none is left. */
  dueAt: Reader;
  nextDueAt: Reader;
}

type Condition = (scope: Scope) => boolean;

export function createMembers(options: {
  id: number;
  signature: string;
  windowMs: number;
  /** Time in which a member must be confirmed, ms; Infinity where none needs to be. */
  withinMs: number;
  /** Number that stands for the member; 0 or NaN where the record names none. */
  of: Reader;
  /** When the member joined; epoch ms. */
  at: Reader;
  /** What a record does, the first that holds: `leave`, `fail`, `confirm`, `join`. */
  leave: Condition;
  fail: Condition;
  confirm: Condition;
  join: Condition;
}): Members {
  const { id, windowMs, withinMs, of, at, leave, fail, confirm, join } = options;

  /** Unit of the member in the list, 0 where it is none. */
  const find = (scope: Scope, segment: number, value: number): number => {
    const { f64, u32 } = scope.cursor;
    for (let unit = segment + 1 + (u32[segment * 2]! - 1) * 2; unit > segment; unit -= 2) {
      if (f64[unit] === value) return unit;
    }
    return 0;
  };

  const remove = (scope: Scope, segment: number, unit: number): void => {
    const { f64, u32 } = scope.cursor;
    const last = segment + 1 + (u32[segment * 2]! - 1) * 2;
    f64[unit] = f64[last]!;
    f64[unit + 1] = f64[last + 1]!;
    u32[segment * 2]!--;
  };

  /** Makes room for one more: forgets what the window has left, else grows, else gives up the one that joined first. */
  const makeRoom = (scope: Scope, blocks: Blocks): void => {
    const { cursor } = scope;
    let segment = cursor.segmentAt[id]!;
    const capacity = (cursor.segmentUnits[id]! - 1) >> 1;
    if (cursor.u32[segment * 2]! < capacity) return;
    const after = Math.floor((scope.now - windowMs) / 1000);
    let oldest = segment + 1;
    for (let unit = segment + 1 + (capacity - 1) * 2; unit > segment; unit -= 2) {
      if (cursor.u32[(unit + 1) * 2]! < after) remove(scope, segment, unit);
      else if (cursor.u32[(unit + 1) * 2]! <= cursor.u32[(oldest + 1) * 2]!) oldest = unit;
    }
    if (cursor.u32[segment * 2]! < capacity) return;
    if (capacity >= MEMBERS_MAX) remove(scope, segment, oldest);
    else segment = blocks.resize(id, 1 + Math.min(MEMBERS_MAX, capacity * 2) * 2);
  };

  const inside = (scope: Scope, unit: number): boolean =>
    scope.cursor.u32[(unit + 1) * 2]! * 1000 > scope.now - windowMs;

  const due = (scope: Scope, after: number): number => {
    const segment = scope.cursor.segmentAt[id]!;
    if (segment === 0) return Number.NaN;
    const { u32 } = scope.cursor;
    let next = Number.POSITIVE_INFINITY;
    for (let unit = segment + 1 + (u32[segment * 2]! - 1) * 2; unit > segment; unit -= 2) {
      if (u32[(unit + 1) * 2 + 1] !== 0) continue;
      const time = u32[(unit + 1) * 2]! * 1000 + withinMs;
      if (time > after && time < next) next = time;
    }
    return next === Number.POSITIVE_INFINITY ? Number.NaN : next;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: 1 + MEMBERS_MAX * 2,
    retentionMs: windowMs,
    lateAfterMs: windowMs,
    onArrival: false,
    update(scope, blocks) {
      const value = of(scope);
      if (value !== value || value === 0) return;
      const { cursor } = scope;
      let segment = cursor.segmentAt[id]!;
      let unit = segment === 0 ? 0 : find(scope, segment, value);
      const time = scope.record.eventTime;
      if (leave(scope)) {
        if (unit !== 0 && cursor.u32[(unit + 1) * 2]! * 1000 <= time) remove(scope, segment, unit);
      } else if (fail(scope)) {
        if (unit !== 0) cursor.u32[(unit + 1) * 2 + 1]! |= FAILED;
      } else if (confirm(scope)) {
        if (unit !== 0 && time <= cursor.u32[(unit + 1) * 2]! * 1000 + withinMs)
          cursor.u32[(unit + 1) * 2 + 1]! |= CONFIRMED;
      } else if (join(scope)) {
        const joined = Math.floor(at(scope) / 1000);
        if (!(joined * 1000 > scope.now - windowMs)) return;
        if (segment === 0) segment = blocks.ensure(id, 3);
        if (unit === 0) {
          makeRoom(scope, blocks);
          segment = cursor.segmentAt[id]!;
          unit = segment + 1 + cursor.u32[segment * 2]! * 2;
          cursor.u32[segment * 2]!++;
          cursor.f64[unit] = value;
        } else if (joined <= cursor.u32[(unit + 1) * 2]!) return;
        // One that joins again begins anew.
        cursor.u32[(unit + 1) * 2] = joined;
        cursor.u32[(unit + 1) * 2 + 1] = 0;
      }
    },
    count: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) return 0;
      let count = 0;
      for (let unit = segment + 1 + (scope.cursor.u32[segment * 2]! - 1) * 2; unit > segment; unit -= 2) {
        if (inside(scope, unit)) count++;
      }
      return count;
    },
    failed: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) return 0;
      const { u32 } = scope.cursor;
      let count = 0;
      for (let unit = segment + 1 + (u32[segment * 2]! - 1) * 2; unit > segment; unit -= 2) {
        if (!inside(scope, unit)) continue;
        const flags = u32[(unit + 1) * 2 + 1]!;
        if ((flags & FAILED) !== 0 || (flags === 0 && scope.now >= u32[(unit + 1) * 2]! * 1000 + withinMs)) count++;
      }
      return count;
    },
    dueAt: (scope) => due(scope, scope.now - 1),
    nextDueAt: (scope) => due(scope, scope.now),
  };
}
