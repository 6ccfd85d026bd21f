/**
 * Things that happen in an order: three failed logins within two hours, then another contact address within a day.
 *
 * ```
 *   step 1   x    x x     x                3 times within 2 h: complete at the third and at the fourth
 *   step 2                     x           within 24 h of that: the sequence is complete
 *            ├──── 2 h ───┤
 *                         ├── 24 h ──...
 * ```
 *
 * A segment holds the newest times of each step in order, 0 for none: as many as the step needs, and SPARE_TIMES more, so that a
 * record that comes late finds its neighbours. Event times decide, not the order of arrival: where the last record to
 * arrive is one of an early step, it completes the sequence too.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

export const SEQUENCE_STEPS_MAX = 6;
export const SEQUENCE_COUNT_MAX = 32;
const SPARE_TIMES = 3;

export interface SequenceStep {
  /** A record counts for the first step that takes it. */
  takes: (scope: Scope) => boolean;
  /** So many records make the step. */
  count: number;
  /** First step: from its first record to its last. Later ones: from the end of the step before to the end of this one. */
  withinMs: number;
}

export interface Sequence extends Operator {
  /**
   * Where the record being applied completes the sequence: ms from the end of the first step to the end of the last. NaN where
   * it does not, or while a timer is evaluated.
   */
  tookMs: Reader;
}

export function createSequence(options: { id: number; signature: string; steps: readonly SequenceStep[] }): Sequence {
  const { id, steps } = options;
  if (steps.length > SEQUENCE_STEPS_MAX || steps.some(({ count }) => count > SEQUENCE_COUNT_MAX))
    throw new RangeError('the sequence is too long');
  const sizes = steps.map(({ count }) => count + SPARE_TIMES);
  const offsets = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
  const units = sizes.reduce((sum, size) => sum + size, 0);
  const reachMs = steps.reduce((sum, { count, withinMs }, index) => sum + (index > 0 || count > 1 ? withinMs : 0), 0);

  const stepOf = (scope: Scope): number => {
    for (let index = 0; index < steps.length; index++) if (steps[index]!.takes(scope)) return index;
    return -1;
  };

  // What is complete of the step before and of the one being looked at: when it ended, and when the first step of its chain did.
  const room = SEQUENCE_COUNT_MAX + SPARE_TIMES;
  let ends = new Float64Array(room);
  let origins = new Float64Array(room);
  let nextEnds = new Float64Array(room);
  let nextOrigins = new Float64Array(room);

  return {
    id,
    signature: options.signature,
    unitsMax: units,
    retentionMs: reachMs,
    lateAfterMs: reachMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const step = stepOf(scope);
      if (step < 0) return;
      const time = scope.record.eventTime;
      const { cursor } = scope;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, units);
      const { f64 } = cursor;
      const first = segment + offsets[step]!;
      // The oldest makes room; what is older than all of them does not come in.
      let at = first + sizes[step]! - 1;
      while (at >= first && f64[at]! > time) at--;
      if (at < first) return;
      f64.copyWithin(first, first + 1, at + 1);
      f64[at] = time;
    },
    tookMs: (scope) => {
      const { cursor, record } = scope;
      const segment = cursor.segmentAt[id]!;
      if (segment === 0 || !(record.eventTime > 0)) return Number.NaN;
      const own = stepOf(scope);
      if (own < 0) return Number.NaN;
      const { f64 } = cursor;
      let length = 0;
      for (let step = 0; step < steps.length; step++) {
        const { count, withinMs } = steps[step]!;
        const first = segment + offsets[step]!;
        let nextLength = 0;
        for (let last = count - 1; last < sizes[step]!; last++) {
          const begin = f64[first + last - count + 1]!;
          const end = f64[first + last]!;
          if (begin === 0) continue;
          // Of the chains only those that hold the record are followed beyond its step.
          if (step === own && (record.eventTime < begin || record.eventTime > end)) continue;
          let origin = Number.NaN;
          if (step === 0) {
            if (count === 1 || end - begin <= withinMs) origin = end;
          } else {
            // The latest end that lies before this step began; the times rise.
            let before = length - 1;
            while (before >= 0 && ends[before]! > begin) before--;
            if (before >= 0 && end - ends[before]! <= withinMs) origin = origins[before]!;
          }
          if (origin !== origin) continue;
          nextEnds[nextLength] = end;
          nextOrigins[nextLength++] = origin;
        }
        [ends, nextEnds] = [nextEnds, ends];
        [origins, nextOrigins] = [nextOrigins, origins];
        length = nextLength;
      }
      return length === 0 ? Number.NaN : ends[length - 1]! - origins[length - 1]!;
    },
  };
}
