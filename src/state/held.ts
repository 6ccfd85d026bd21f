/**
 * What a value was over a time, where records only tell when it changes: a plan's price, a credit limit. A value is in force
 * from its record until the next record with another one, so the greatest value of the last 30 days may be one that was set
 * a year ago:
 *
 * ```
 *  100            90       75          greatest value in force within 30 days: 100
 *   |--------------|--------|---->     of it, 75 are left: the two steps add up
 *              [    30 days     ] now
 * ```
 *
 * `[length, (time, value) ...]`, oldest first; of the changes before the window only the last is kept. A value that ended
 * exactly a window ago still counts. A value that comes late lasts until the next change; that the one before was stated
 * again in between is not remembered.
 */
import type { Blocks, Cursor } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/**
 * Changes remembered per key. Where more come within the window, the two oldest become one that lasts as long as both and has
 * the value that counts: the result stays right until the older of them would have left.
 */
export const CHANGES_MAX = 8;
const ENTRY = 2;

export type HeldStatistic = 'max' | 'min';

export interface Held extends Operator {
  /** Greatest or least value in force within the window, NaN where there was none. */
  value: Reader;
}

export function createHeld(options: {
  id: number;
  signature: string;
  statistic: HeldStatistic;
  windowMs: number;
  of: Reader;
}): Held {
  const { id, statistic, windowMs, of } = options;
  const further = statistic === 'max' ? Math.max : Math.min;

  const drop = (cursor: Cursor, segment: number, index: number, length: number): void => {
    const at = segment + 1 + index * ENTRY;
    cursor.f64.copyWithin(at, at + ENTRY, segment + 1 + length * ENTRY);
  };

  return {
    id,
    signature: options.signature,
    unitsMax: 1 + CHANGES_MAX * ENTRY,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value) return;
      const { cursor } = scope;
      const time = scope.record.eventTime;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 1 + ENTRY);
      let length = cursor.u32[segment * 2]!;
      const timeAt = (index: number): number => cursor.f64[segment + 1 + index * ENTRY]!;
      const valueAt = (index: number): number => cursor.f64[segment + 2 + index * ENTRY]!;

      // What ended before the window is of no use any more.
      while (length > 1 && timeAt(1) < scope.now - windowMs) drop(cursor, segment, 0, length--);
      let index = length;
      while (index > 0 && timeAt(index - 1) > time) index--;
      if (index > 0 && timeAt(index - 1) === time) {
        // Of two at the same time the one that came later stands.
        index--;
        drop(cursor, segment, index, length--);
      }
      if (index < length && valueAt(index) === value) {
        drop(cursor, segment, index, length--);
      }
      if (index === 0 || valueAt(index - 1) !== value) {
        if (length === CHANGES_MAX) {
          cursor.f64[segment + 2] = further(valueAt(0), valueAt(1));
          drop(cursor, segment, 1, length--);
          index = Math.max(1, index - 1);
        }
        const capacity = (cursor.segmentUnits[id]! - 1) / ENTRY;
        if (length === capacity) segment = blocks.resize(id, 1 + Math.min(CHANGES_MAX, capacity * 2) * ENTRY);
        const at = segment + 1 + index * ENTRY;
        cursor.f64.copyWithin(at + ENTRY, at, segment + 1 + length * ENTRY);
        cursor.f64[at] = time;
        cursor.f64[at + 1] = value;
        length++;
      }
      cursor.u32[segment * 2] = length;
    },
    value: (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return Number.NaN;
      const from = scope.now - windowMs;
      const length = u32[segment * 2]!;
      let result = Number.NaN;
      for (let index = length - 1; index >= 0; index--) {
        const value = f64[segment + 2 + index * ENTRY]!;
        result = result === result ? further(result, value) : value;
        // The one before was in force up to here.
        if (f64[segment + 1 + index * ENTRY]! < from) break;
      }
      return result;
    },
  };
}
