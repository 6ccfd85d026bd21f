/**
 * The last few values of a key, one a record: bills, top-ups. `[length, value ...]`, oldest first, in the order in which the
 * records arrived. Values are whole small units (millionths of the currency, ms, bytes), so that a mean is exact.
 *
 * ```
 *             skip 1
 * 40 42 41 40 | 75        mean of the last 6 before the newest one, where at least 3 are known: 40.75
 * ```
 *
 * Room is made as values come, one at a time up to the longest stretch that a rule asks for: most keys have few.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Most values that a rule looks at, and most that it leaves out before them: a key keeps twice as many at most. */
export const RECENT_MAX = 32;

export type RecentStatistic = 'mean' | 'min' | 'max';

export interface RecentStretch {
  /** How many values are looked at. */
  last: number;
  /** How many of the newest are left out before them. */
  skip: number;
  /** With fewer values than this the result is not known. */
  samplesMin: number;
}

export interface Recent extends Operator {
  /** Keeps at least so many values from now on. */
  keep(values: number): void;
  /** Statistic over a stretch, divided by `perUnit`; NaN where too few values are known. */
  read(statistic: RecentStatistic, stretch: RecentStretch, perUnit: number): Reader;
}

export function createRecent(options: { id: number; signature: string; of: Reader }): Recent {
  const { id, of } = options;
  let reach = 1;
  const recent: Recent = {
    id,
    signature: options.signature,
    unitsMax: 1 + reach,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    keep(values) {
      reach = Math.max(reach, values);
      recent.unitsMax = 1 + reach;
    },
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value) return;
      const { cursor } = scope;
      let segment = cursor.segmentAt[id]!;
      let length = segment === 0 ? 0 : cursor.u32[segment * 2]!;
      if (length < reach && (segment === 0 || 1 + length === cursor.segmentUnits[id])) {
        segment = blocks.resize(id, 2 + length);
      }
      const { f64, u32 } = cursor;
      // A rule that asked for more may have gone: then the oldest ones go too.
      if (length >= reach) {
        f64.copyWithin(segment + 1, segment + 2 + length - reach, segment + 1 + length);
        length = reach - 1;
      }
      f64[segment + 1 + length] = value;
      u32[segment * 2] = length + 1;
    },
    read:
      (statistic, { last, skip, samplesMin }, perUnit) =>
      (scope) => {
        const { segmentAt, f64, u32 } = scope.cursor;
        const segment = segmentAt[id]!;
        if (segment === 0) return Number.NaN;
        const to = u32[segment * 2]! - skip;
        const from = Math.max(0, to - last);
        if (to - from < samplesMin) return Number.NaN;
        let result = f64[segment + 1 + from]!;
        for (let index = from + 1; index < to; index++) {
          const value = f64[segment + 1 + index]!;
          if (statistic === 'mean') result += value;
          else if (statistic === 'min') result = value < result ? value : result;
          else result = value > result ? value : result;
        }
        return result / (statistic === 'mean' ? to - from : 1) / perUnit;
      },
  };
  return recent;
}
