/**
 * The promise to pay that an account has given last, and what came since: `[made, until, amount, paid in time, paid]`, money
 * in millionths. A new promise takes the place of the one before it. A payment that is taken back was not made. Only
 * accounts that have promised something have this.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

const MADE_AT = 0;
const UNTIL = 1;
const AMOUNT = 2;
const PAID_IN_TIME = 3;
const PAID = 4;
const UNITS = 5;
const MICROS_PER_UNIT = 1e6;

export interface Promises extends Operator {
  /** Until when the account has promised to pay, epoch ms; NaN where it has not. */
  promiseAt: Reader;
  /** What it has promised, currency units; NaN where it did not say. */
  promiseAmount: Reader;
  /** What it has paid since the promise up to that time, currency units. */
  promisePaid: Reader;
  /** What it has paid since the promise up to now. */
  paidSincePromise: Reader;
}

export function createPromises(options: { id: number; signature: string }): Promises {
  const { id } = options;
  const read =
    (field: number, perUnit: number): Reader =>
    ({ cursor }) => {
      const segment = cursor.segmentAt[id]!;
      return segment === 0 ? Number.NaN : cursor.f64[segment + field]! / perUnit;
    };
  return {
    id,
    signature: options.signature,
    unitsMax: UNITS,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: Number.POSITIVE_INFINITY,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      const segment = cursor.segmentAt[id]!;
      if (record.recordType === 'payment') {
        if (segment === 0 || record.eventTime < cursor.f64[segment + MADE_AT]! || record.outcome === 'failed') return;
        const { f64 } = cursor;
        // Some systems write a reversal with a minus already.
        const micros = record.outcome === 'reversed' ? -Math.abs(record.amountMicros) : record.amountMicros;
        f64[segment + PAID] = Math.max(0, f64[segment + PAID]! + micros);
        // A payment that bounces after the date had not been made by the date.
        if (micros < 0 || record.eventTime <= f64[segment + UNTIL]!)
          f64[segment + PAID_IN_TIME] = Math.max(0, f64[segment + PAID_IN_TIME]! + micros);
        return;
      }
      const until = record.attributes?.['promiseAt'];
      if (record.event !== 'paymentPromised' || typeof until !== 'number') return;
      const at = segment === 0 ? blocks.ensure(id, UNITS) : segment;
      const { f64 } = cursor;
      if (record.eventTime < f64[at + MADE_AT]!) return;
      const amount = record.attributes!['promiseAmount'];
      f64[at + MADE_AT] = record.eventTime;
      f64[at + UNTIL] = until;
      f64[at + AMOUNT] = typeof amount === 'number' ? Math.round(amount * MICROS_PER_UNIT) : Number.NaN;
      f64[at + PAID_IN_TIME] = 0;
      f64[at + PAID] = 0;
    },
    promiseAt: read(UNTIL, 1),
    promiseAmount: read(AMOUNT, MICROS_PER_UNIT),
    promisePaid: read(PAID_IN_TIME, MICROS_PER_UNIT),
    paidSincePromise: read(PAID, MICROS_PER_UNIT),
  };
}
