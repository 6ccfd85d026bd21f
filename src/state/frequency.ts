/**
 * How often the most frequent value of a window came: four top-ups of the same small amount are a pattern, four of
 * different amounts are not.
 *
 * `[length]`, then `[value, pane and records (u32 each)]`: one entry for each value in each pane. Such values are few (top-ups of a
 * subscriber), so a read compares each with each.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';
import type { Stretch } from './panes.ts';

/** Values by pane remembered per key; the oldest makes room. */
export const FREQUENCY_ENTRIES_MAX = 64;
const ENTRY = 2;

export interface Frequency extends Operator {
  paneMs: number;
  /** Records of the value that came most often in the stretch; 0 where there is none. */
  most(stretch: Stretch): Reader;
}

export function createFrequency(options: {
  id: number;
  signature: string;
  paneMs: number;
  reach: number;
  /** Number that stands for the value; NaN where the record has none, which is not counted. */
  of: Reader;
}): Frequency {
  const { id, paneMs, reach, of } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + FREQUENCY_ENTRIES_MAX * ENTRY,
    paneMs,
    retentionMs: reach * paneMs,
    lateAfterMs: reach * paneMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value) return;
      const { cursor } = scope;
      const pane = Math.floor(scope.record.eventTime / paneMs);
      const oldest = Math.floor(scope.now / paneMs) - reach + 1;
      if (pane < oldest) return;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 1 + ENTRY);
      let length = cursor.u32[segment * 2]!;
      for (let index = length - 1; index >= 0; index--) {
        const at = segment + 1 + index * ENTRY;
        if (cursor.f64[at] !== value || cursor.u32[(at + 1) * 2] !== pane) continue;
        cursor.u32[(at + 1) * 2 + 1]!++;
        return;
      }
      const capacity = ((cursor.segmentUnits[id]! - 1) / ENTRY) | 0;
      if (length === capacity) {
        const { f64, u32 } = cursor;
        let kept = 0;
        let earliest = 0;
        for (let index = 0; index < length; index++) {
          const from = segment + 1 + index * ENTRY;
          if (u32[(from + 1) * 2]! < oldest) continue;
          const to = segment + 1 + kept * ENTRY;
          if (to !== from) f64.copyWithin(to, from, from + ENTRY);
          if (u32[(to + 1) * 2]! < u32[(segment + 1 + earliest * ENTRY + 1) * 2]!) earliest = kept;
          kept++;
        }
        length = kept;
        if (length === FREQUENCY_ENTRIES_MAX) {
          const at = segment + 1 + earliest * ENTRY;
          f64.copyWithin(at, at + ENTRY, segment + 1 + length * ENTRY);
          length--;
        } else if (length === capacity) {
          segment = blocks.resize(id, 1 + Math.min(FREQUENCY_ENTRIES_MAX, capacity * 2) * ENTRY);
        }
      }
      const at = segment + 1 + length * ENTRY;
      cursor.f64[at] = value;
      cursor.u32[(at + 1) * 2] = pane;
      cursor.u32[(at + 1) * 2 + 1] = 1;
      cursor.u32[segment * 2] = length + 1;
    },
    most: (stretch) => (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      const length = u32[segment * 2]!;
      const last = Math.floor(scope.now / paneMs) - stretch.shift;
      const first = last - stretch.panes;
      let most = 0;
      for (let index = 0; index < length; index++) {
        const at = segment + 1 + index * ENTRY;
        let records = 0;
        for (let other = index; other < length; other++) {
          const otherAt = segment + 1 + other * ENTRY;
          if (f64[otherAt] !== f64[at]) continue;
          const pane = u32[(otherAt + 1) * 2]!;
          if (pane > first && pane <= last) records += u32[(otherAt + 1) * 2 + 1]!;
        }
        if (records > most) most = records;
      }
      return most;
    },
  };
}
