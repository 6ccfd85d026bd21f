/**
 * Things done in a row: how many calls to one destination, with no call to another one between them.
 *
 * ```
 *   calls of a subscriber    A  B  A  A  A  C  A  A        the run of A is 2: what came before C is over
 *                                           └─ of another kind
 * ```
 *
 * The key that counts (subscriber and prefix) does not see the calls that end its run, and telling every prefix of a subscriber
 * about every call would cost a key for each. So there are two operators. The subscriber keeps two times, whatever the number
 * of destinations: those of its newest call and of the newest one that went elsewhere. From them follows for every
 * destination when the newest call to any other one was. The counting key keeps the times of the run itself. Keys of subscribers are
 * updated before all others (KEY_TYPES), so the second finds what the first has just worked out for the same record.
 *
 * Only event times count, so the order in which records arrive does not matter. A subscriber who has made no record that
 * counts (who never calls abroad) has nothing to end and keeps nothing.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Records counted of one run; a longer one counts as so many. */
export const RUN_MAX = 64;

/** Per subscriber: `[kind of the newest record, its time, time of the newest record of any other kind]`. */
export interface Turns extends Operator {
  /** Of the record being applied: when the newest record of another kind was, 0 where there was none; NaN where it took no part. */
  otherAt: Reader;
}

export function createTurns(options: {
  id: number;
  signature: string;
  /** Number that stands for the kind of a record. */
  of: Reader;
  /** Does the record count for a run? The others only end one. */
  counts: (scope: Scope) => boolean;
  keepMs: number;
}): Turns {
  const { id, of, counts, keepMs } = options;
  /** What was found for `judged`; it is read while another key of the same record is bound. */
  let judged: unknown;
  const found = new Float64Array(1);
  return {
    id,
    signature: options.signature,
    unitsMax: 3,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      let segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) {
        if (!counts(scope)) return;
        segment = blocks.ensure(id, 3);
      }
      const kind = of(scope);
      const time = scope.record.eventTime;
      const { f64 } = scope.cursor;
      if (f64[segment] === kind) {
        if (time > f64[segment + 1]!) f64[segment + 1] = time;
      } else if (time > f64[segment + 1]!) {
        f64[segment + 2] = f64[segment + 1]!;
        f64[segment] = kind;
        f64[segment + 1] = time;
      } else if (time > f64[segment + 2]!) {
        f64[segment + 2] = time;
      }
      judged = scope.record;
      found[0] = f64[segment] === kind ? f64[segment + 2]! : f64[segment + 1]!;
    },
    otherAt: (scope) => (scope.record === judged ? found[0]! : Number.NaN),
  };
}

/** Per counting key: `[length]`, then the times of the run of now in order. */
export interface Run extends Operator {
  /** Records of the run that the record being applied belongs to; NaN while a timer is evaluated. */
  length: Reader;
}

export function createRun(options: { id: number; signature: string; keepMs: number; otherAt: Reader }): Run {
  const { id, keepMs, otherAt } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + RUN_MAX,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { cursor } = scope;
      const since = Math.max(otherAt(scope), scope.now - keepMs);
      const time = scope.record.eventTime;
      if (since !== since || time <= since) return;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 1 + 2);
      let length = cursor.u32[segment * 2]!;
      // What is over stays over: neither limit ever moves back.
      let over = 0;
      while (over < length && cursor.f64[segment + 1 + over]! <= since) over++;
      const capacity = cursor.segmentUnits[id]! - 1;
      if (over === 0 && length === capacity) {
        if (capacity < RUN_MAX) segment = blocks.resize(id, 1 + Math.min(RUN_MAX, capacity * 2));
        else over = 1;
      }
      const { f64, u32 } = cursor;
      const first = segment + 1;
      if (over > 0) {
        f64.copyWithin(first, first + over, first + length);
        length -= over;
      }
      let at = first + length;
      while (at > first && f64[at - 1]! > time) {
        f64[at] = f64[at - 1]!;
        at--;
      }
      f64[at] = time;
      u32[segment * 2] = length + 1;
    },
    length: (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const since = Math.max(otherAt(scope), scope.now - keepMs);
      if (since !== since) return Number.NaN;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      let count = 0;
      for (let index = u32[segment * 2]! - 1; index >= 0 && f64[segment + 1 + index]! > since; index--) count++;
      return count;
    },
  };
}
