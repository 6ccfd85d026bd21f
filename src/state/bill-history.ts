/**
 * How late an account paid its bills. The ledger forgets a bill some time after it was paid; what stays is by how much each
 * of the last few was late, and the worst of the last years.
 *
 * ```
 * unit 0    u32 bills paid in all          u32 entries of the worst | entries of the last bills << 8
 * worst     [u32 s paid at, u32 s late]    oldest first, each less late than the one before: a later bill that was as
 *                                          late hides all before it, so the first one inside a window is its worst
 * last      u32 s late, two to a unit      oldest first; VOID for one whose payment was taken back
 * ```
 *
 * An account that always pays in time has no worst, and room for the last bills is made as they come.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';
import type { RecentStretch } from './recent.ts';

/** Most bills whose lateness is remembered one by one. */
export const PAID_BILLS_MAX = 64;
/** Bills kept beyond those that are asked for, in place of those whose payment was taken back. */
const VOID_BILLS = 3;
/** Most late bills remembered with their time; beyond it the oldest goes, which leaves every window first. */
export const WORST_BILLS_MAX = 8;
const VOID = 0xffff_ffff;

export interface BillHistory extends Operator {
  /** A bill was closed at the time of the record being applied. Returns its number, from 1 on. */
  paid(scope: Scope, blocks: Blocks, lateMs: number): number;
  /** The payment that closed this bill was taken back. */
  reopened(scope: Scope, bill: number): void;
  /** Remembers at least so many bills one by one from now on. */
  keep(bills: number): void;
  /** Mean time after the due date at which the bills of a stretch were paid, ms; early ones count 0. */
  meanLateMs(stretch: RecentStretch): Reader;
  /** The longest time after its due date at which a bill of the window was paid, ms; 0 where none was late. */
  worstLateMs(windowMs: number): Reader;
}

export function createBillHistory(options: { id: number; signature: string }): BillHistory {
  const { id } = options;
  let reach = 0;
  const worstCount = (u32: Uint32Array, segment: number): number => u32[segment * 2 + 1]! & 0xff;
  const lastCount = (u32: Uint32Array, segment: number): number => u32[segment * 2 + 1]! >>> 8;

  /** Puts a late bill behind those that were later still. */
  const addWorst = (scope: Scope, blocks: Blocks, paidAt: number, late: number): void => {
    const { cursor } = scope;
    let segment = cursor.segmentAt[id]!;
    const before = worstCount(cursor.u32, segment);
    const last = lastCount(cursor.u32, segment);
    let kept = before;
    let at = paidAt;
    // A bill whose payment comes out of order counts from the newest one on: nearly the same, and the order stays.
    if (before > 0) at = Math.max(at, cursor.u32[(segment + before) * 2]!);
    while (kept > 0 && cursor.u32[(segment + kept) * 2 + 1]! <= late) kept--;
    const dropped = kept === WORST_BILLS_MAX ? 1 : 0;
    const after = kept - dropped + 1;
    const lastUnits = (last + 1) >> 1;
    if (1 + after + lastUnits > cursor.segmentUnits[id]!) segment = blocks.resize(id, 1 + after + lastUnits);
    const { f64, u32 } = cursor;
    const first = segment + 1;
    f64.copyWithin(first + after, first + before, first + before + lastUnits);
    if (dropped === 1) f64.copyWithin(first, first + 1, first + kept);
    u32[(first + after - 1) * 2] = at;
    u32[(first + after - 1) * 2 + 1] = late;
    u32[segment * 2 + 1] = after | (last << 8);
  };

  /** Puts a bill behind the last ones. */
  const addLast = (scope: Scope, blocks: Blocks, late: number): void => {
    const { cursor } = scope;
    let segment = cursor.segmentAt[id]!;
    const worst = worstCount(cursor.u32, segment);
    let last = lastCount(cursor.u32, segment);
    if (last < reach && 1 + worst + ((last + 2) >> 1) > cursor.segmentUnits[id]!)
      segment = blocks.resize(id, 1 + worst + ((last + 2) >> 1));
    const { u32 } = cursor;
    const first = (segment + 1 + worst) * 2;
    if (last >= reach) {
      u32.copyWithin(first, first + 1 + last - reach, first + last);
      last = reach - 1;
    }
    u32[first + last] = late;
    u32[segment * 2 + 1] = worst | ((last + 1) << 8);
  };

  const history: BillHistory = {
    id,
    signature: options.signature,
    unitsMax: 1 + WORST_BILLS_MAX,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: Number.POSITIVE_INFINITY,
    onArrival: false,
    // The ledger says what was paid.
    update() {},
    keep(bills) {
      reach = Math.max(reach, Math.min(PAID_BILLS_MAX, bills) + VOID_BILLS);
      history.unitsMax = 1 + WORST_BILLS_MAX + ((reach + 1) >> 1);
    },
    paid(scope, blocks, lateMs) {
      const late = Math.min(VOID - 1, Math.floor(lateMs / 1000));
      if (scope.cursor.segmentAt[id] === 0) blocks.ensure(id, 1);
      if (late > 0) addWorst(scope, blocks, Math.floor(scope.record.eventTime / 1000), late);
      if (reach > 0) addLast(scope, blocks, late);
      const segment = scope.cursor.segmentAt[id]!;
      return ++scope.cursor.u32[segment * 2]!;
    },
    reopened(scope, bill) {
      const { segmentAt, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return;
      const last = lastCount(u32, segment);
      const index = bill - 1 - (u32[segment * 2]! - last);
      if (index >= 0) u32[(segment + 1 + worstCount(u32, segment)) * 2 + index] = VOID;
    },
    meanLateMs:
      ({ last, skip, samplesMin }) =>
      (scope) => {
        const { segmentAt, u32 } = scope.cursor;
        const segment = segmentAt[id]!;
        if (segment === 0) return Number.NaN;
        const first = (segment + 1 + worstCount(u32, segment)) * 2;
        let skipped = 0;
        let samples = 0;
        let sum = 0;
        for (let index = lastCount(u32, segment) - 1; index >= 0 && samples < last; index--) {
          const late = u32[first + index]!;
          if (late === VOID || skipped++ < skip) continue;
          samples++;
          sum += late;
        }
        return samples < samplesMin || samples === 0 ? Number.NaN : (sum * 1000) / samples;
      },
    worstLateMs: (windowMs) => (scope) => {
      const { segmentAt, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      const count = worstCount(u32, segment);
      for (let index = 1; index <= count; index++) {
        const at = (segment + index) * 2;
        if (u32[at]! * 1000 > scope.now - windowMs) return u32[at + 1]! * 1000;
      }
      return 0;
    },
  };
  return history;
}
