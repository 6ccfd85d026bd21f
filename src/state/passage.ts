/**
 * What came in and soon went out again. Each amount that comes in is remembered with what is left of it; an amount that goes out
 * uses up what came in within the time allowed, oldest first. What is older than that stays: it is not passing through.
 *
 * ```
 * [length]  time, left, passed on  x capacity, by time        10:00 +100    10:20 +50    10:40 -120    within 1 h
 *                                                             100 passed    20 passed, 30 left
 * ```
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';
import type { Stretch } from './panes.ts';

/** Amounts that came in remembered per key; beyond, what comes in is added to the newest one. */
export const PASSAGE_ENTRIES_MAX = 256;
const ENTRY = 3;
const LEFT = 1;
const PASSED = 2;

export interface Passage extends Operator {
  paneMs: number;
  /** Of what came in during the stretch, the part that went out in time; whole units. */
  passed(stretch: Stretch): Reader;
}

export function createPassage(options: {
  id: number;
  signature: string;
  paneMs: number;
  reach: number;
  withinMs: number;
  /** Whole units that come in (above 0) or go out (below). */
  of: Reader;
}): Passage {
  const { id, paneMs, reach, withinMs, of } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + PASSAGE_ENTRIES_MAX * ENTRY,
    paneMs,
    retentionMs: reach * paneMs,
    lateAfterMs: reach * paneMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const amount = of(scope);
      if (!(amount > 0 || amount < 0)) return;
      const { cursor } = scope;
      const time = scope.record.eventTime;
      let segment = cursor.segmentAt[id]!;
      let length = segment === 0 ? 0 : cursor.u32[segment * 2]!;
      const oldest = Math.floor(scope.now / paneMs) - reach + 1;
      if (amount < 0) {
        const { f64 } = cursor;
        let out = -amount;
        for (let index = 0; index < length && out > 0; index++) {
          const at = segment + 1 + index * ENTRY;
          if (f64[at]! > time) break;
          // What has left the window may be forgotten or not: that must make no difference.
          if (time - f64[at]! > withinMs || Math.floor(f64[at]! / paneMs) < oldest) continue;
          const part = Math.min(out, f64[at + LEFT]!);
          f64[at + LEFT]! -= part;
          f64[at + PASSED]! += part;
          out -= part;
        }
        return;
      }
      if (Math.floor(time / paneMs) < oldest) return;
      if (segment === 0) segment = blocks.ensure(id, 1 + ENTRY);
      const capacity = ((cursor.segmentUnits[id]! - 1) / ENTRY) | 0;
      if (length === capacity) {
        let expired = 0;
        while (expired < length && Math.floor(cursor.f64[segment + 1 + expired * ENTRY]! / paneMs) < oldest) expired++;
        const first = segment + 1;
        cursor.f64.copyWithin(first, first + expired * ENTRY, first + length * ENTRY);
        length -= expired;
        if (length === PASSAGE_ENTRIES_MAX) {
          cursor.f64[first + (length - 1) * ENTRY + LEFT]! += amount;
          return;
        }
        if (length === capacity) segment = blocks.resize(id, 1 + Math.min(PASSAGE_ENTRIES_MAX, capacity * 2) * ENTRY);
      }
      const { f64 } = cursor;
      let index = length;
      while (index > 0 && f64[segment + 1 + (index - 1) * ENTRY]! > time) index--;
      const at = segment + 1 + index * ENTRY;
      f64.copyWithin(at + ENTRY, at, segment + 1 + length * ENTRY);
      f64[at] = time;
      f64[at + LEFT] = amount;
      f64[at + PASSED] = 0;
      cursor.u32[segment * 2] = length + 1;
    },
    passed: (stretch) => (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      const length = u32[segment * 2]!;
      const last = Math.floor(scope.now / paneMs) - stretch.shift;
      const first = last - stretch.panes;
      let sum = 0;
      for (let index = 0; index < length; index++) {
        const at = segment + 1 + index * ENTRY;
        const pane = Math.floor(f64[at]! / paneMs);
        if (pane > first && pane <= last) sum += f64[at + PASSED]!;
      }
      return sum;
    },
  };
}
