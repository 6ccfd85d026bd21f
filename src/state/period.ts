/**
 * Totals of the current period of the local calendar (a shift), which begins at a fixed moment and then from nothing, unlike
 * a rolling window: `[period number, count, sum]`. A record of an earlier period that comes late changes nothing.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

export interface PeriodTotal extends Operator {
  /** Records of the period that the key's time lies in; 0 where there was none. */
  count: Reader;
  /** Sum of `of` over them, in its whole units. */
  sum: Reader;
}

const UNITS = 3;

export function createPeriodTotal(options: {
  id: number;
  signature: string;
  /** Number of the period that a time lies in; rises with time. */
  periodOf: (epochMs: number) => number;
  /** No period is longer. */
  periodMsMax: number;
  /** Whole number to take in; a record for which it is NaN counts all the same. */
  of: Reader | undefined;
}): PeriodTotal {
  const { id, of, periodOf, periodMsMax } = options;
  const read = (at: 1 | 2): Reader => {
    return (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) return 0;
      const { f64 } = scope.cursor;
      return f64[segment] === periodOf(scope.now) ? f64[segment + at]! : 0;
    };
  };
  return {
    id,
    signature: options.signature,
    unitsMax: UNITS,
    retentionMs: periodMsMax,
    lateAfterMs: periodMsMax,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const period = periodOf(scope.record.eventTime);
      let segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) {
        segment = blocks.ensure(id, UNITS);
        scope.cursor.f64[segment] = Number.NEGATIVE_INFINITY;
      }
      const { f64 } = scope.cursor;
      if (period < f64[segment]!) return;
      if (period > f64[segment]!) {
        f64[segment] = period;
        f64[segment + 1] = 0;
        f64[segment + 2] = 0;
      }
      f64[segment + 1]! += 1;
      const value = of === undefined ? 0 : of(scope);
      if (value === value) f64[segment + 2]! += value;
    },
    count: read(1),
    sum: read(2),
  };
}
