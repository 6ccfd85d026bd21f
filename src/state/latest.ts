/**
 * The last of something: its value, when it was, when it became another, and how long it usually takes until the next; and
 * when it was for the first time.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Last value by event time: `[time, value]`. A record without the value leaves it. */
export interface Latest extends Operator {
  value: Reader;
  /** Epoch ms of the last such record, NaN where there was none. */
  at: Reader;
}

export function createLatest(options: { id: number; signature: string; of: Reader | undefined }): Latest {
  const { id, of } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 2,
    retentionMs: Number.POSITIVE_INFINITY,
    // A last value (a credit limit, a home cell) is never too old to be the newest that is known.
    lateAfterMs: of === undefined ? 0 : Number.POSITIVE_INFINITY,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of === undefined ? 0 : of(scope);
      if (value !== value) return;
      let segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 2);
      const { f64 } = scope.cursor;
      if (scope.record.eventTime < f64[segment]!) return;
      f64[segment] = scope.record.eventTime;
      f64[segment + 1] = value;
    },
    value: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      return segment === 0 ? Number.NaN : scope.cursor.f64[segment + 1]!;
    },
    at: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      return segment === 0 ? Number.NaN : scope.cursor.f64[segment]!;
    },
  };
}

/** Time of the first such record: `[time]`. */
export interface First extends Operator {
  /** Epoch ms, NaN where there was none. */
  at: Reader;
}

export function createFirst(options: { id: number; signature: string }): First {
  const { id } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 1,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      let segment = scope.cursor.segmentAt[id]!;
      const time = scope.record.eventTime;
      if (segment === 0) {
        // The block may move, so its memory is looked up afterwards.
        segment = blocks.ensure(id, 1);
        scope.cursor.f64[segment] = time;
      } else if (time < scope.cursor.f64[segment]!) scope.cursor.f64[segment] = time;
    },
    at: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      return segment === 0 ? Number.NaN : scope.cursor.f64[segment]!;
    },
  };
}

/**
 * When a value last became another: `[time, value]`, and `[changed]` behind them once it has. The first value is no change; a
 * record that is older than the newest one is none either, because what was before it is not known any more.
 */
export interface Change extends Operator {
  /** Epoch ms of the record that brought the value of now, NaN while there has been one value only. */
  changedAt: Reader;
}

export function createChange(options: { id: number; signature: string; of: Reader }): Change {
  const { id, of } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 3,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value) return;
      const { cursor } = scope;
      const time = scope.record.eventTime;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) {
        segment = blocks.ensure(id, 2);
      } else {
        if (time < cursor.f64[segment]!) return;
        if (cursor.f64[segment + 1] !== value) {
          if (cursor.segmentUnits[id] === 2) segment = blocks.resize(id, 3);
          cursor.f64[segment + 2] = time;
        }
      }
      cursor.f64[segment] = time;
      cursor.f64[segment + 1] = value;
    },
    changedAt: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      return segment === 0 || scope.cursor.segmentUnits[id] === 2 ? Number.NaN : scope.cursor.f64[segment + 2]!;
    },
  };
}

/** Gaps remembered per key. The median of the last 16 follows a changed habit within 8 events. */
export const GAPS_MAX = 16;

/**
 * The usual gap between events of a key: `[last time, count, gap x 16 (u32 seconds)]`, a ring. Records that come late make
 * no gap. The median of an even number of gaps is the mean of the middle two. It is kept beside the count (in half seconds,
 * plus 1; 0 where it is to be worked out), because a rule may ask at every call how often a subscriber tops up.
 */
export interface Gaps extends Operator {
  /** Median of the remembered gaps in ms, NaN before the first. */
  median: Reader;
}

export function createGaps(options: { id: number; signature: string }): Gaps {
  const { id } = options;
  const sorted = new Float64Array(GAPS_MAX);
  return {
    id,
    signature: options.signature,
    unitsMax: 2 + GAPS_MAX / 2,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      let segment = scope.cursor.segmentAt[id]!;
      const time = scope.record.eventTime;
      if (segment === 0) {
        segment = blocks.ensure(id, 2);
        scope.cursor.f64[segment] = time;
        return;
      }
      const last = scope.cursor.f64[segment]!;
      if (time <= last) return;
      const count = scope.cursor.u32[(segment + 1) * 2]!;
      const held = scope.cursor.segmentUnits[id]! - 2;
      // Two gaps to a unit; room doubles up to the limit.
      if (count < GAPS_MAX && count === held * 2) {
        segment = blocks.resize(id, 2 + Math.min(GAPS_MAX / 2, Math.max(1, held * 2)));
      }
      const { f64, u32 } = scope.cursor;
      u32[(segment + 2) * 2 + (count % GAPS_MAX)] = Math.min(0xffffffff, Math.round((time - last) / 1000));
      u32[(segment + 1) * 2] = count + 1;
      u32[(segment + 1) * 2 + 1] = 0;
      f64[segment] = time;
    },
    median: (scope) => {
      const segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) return Number.NaN;
      const { u32 } = scope.cursor;
      const kept = u32[(segment + 1) * 2 + 1]!;
      if (kept !== 0) return (kept - 1) * 500;
      const length = Math.min(GAPS_MAX, u32[(segment + 1) * 2]!);
      if (length === 0) return Number.NaN;
      for (let index = 0; index < length; index++) {
        const gap = u32[(segment + 2) * 2 + index]!;
        let at = index;
        while (at > 0 && sorted[at - 1]! > gap) {
          sorted[at] = sorted[at - 1]!;
          at--;
        }
        sorted[at] = gap;
      }
      const middle = length >> 1;
      const halves = (length & 1) === 1 ? sorted[middle]! * 2 : sorted[middle - 1]! + sorted[middle]!;
      // Gaps of 68 years are worked out every time.
      if (halves < 0xffffffff) u32[(segment + 1) * 2 + 1] = halves + 1;
      return halves * 500;
    },
  };
}
