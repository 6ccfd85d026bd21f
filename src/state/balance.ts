/**
 * Prepaid balance of a subscriber as far as the records tell: `[as of, millionths]`.
 *
 * A record that names the balance after it settles it. Where none does, top-ups and received transfers are added, charges and
 * sent transfers taken off, beginning with the first top-up: what was there before nobody said, and a prepaid balance is never
 * below zero, so charges before it are no debt. The two go together: a network that names the balance at top-ups only is
 * followed charge by charge in between.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

const MICROS_PER_UNIT = 1e6;

export interface Balance extends Operator {
  /** Currency units; NaN where neither a balance nor a top-up has been seen. */
  value: Reader;
}

export function createBalance(options: { id: number; signature: string }): Balance {
  const { id } = options;

  /** What the record adds, in millionths. */
  const changeOf = ({ record }: Scope): number => {
    if (record.recordType === 'topup') {
      return record.outcome === 'done'
        ? record.amountMicros
        : record.outcome === 'reversed'
          ? -Math.abs(record.amountMicros)
          : Number.NaN;
    }
    if (record.recordType !== 'transfer') return -record.chargeMicros;
    return record.direction === 'mt' ? record.amountMicros : -record.amountMicros;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: 2,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      const named = record.balanceAfterMicros;
      let segment = cursor.segmentAt[id]!;
      // A record from before the named balance is in it already.
      if (segment !== 0 && record.eventTime < cursor.f64[segment]!) return;
      if (named === named) {
        if (segment === 0) segment = blocks.ensure(id, 2);
        cursor.f64[segment] = record.eventTime;
        cursor.f64[segment + 1] = named;
        return;
      }
      const change = changeOf(scope);
      if (change !== change) return;
      if (segment === 0) {
        if (change <= 0) return;
        segment = blocks.ensure(id, 2);
        // Adding does not depend on the order, so only a named balance fixes the time.
        cursor.f64[segment] = Number.NEGATIVE_INFINITY;
      }
      cursor.f64[segment + 1] = Math.max(0, cursor.f64[segment + 1]! + change);
    },
    value: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      return segment === 0 ? Number.NaN : scope.cursor.f64[segment + 1]! / MICROS_PER_UNIT;
    },
  };
}
