/**
 * How much a subscriber has been alerted about lately: the scores of its alerts added up for each desk, each of which has lost
 * half of its weight a day later. Three weak signs of one day say as much as one strong one, and a bad day is forgotten
 * within a week.
 *
 * `[time, fraud, arrears, retention]`, the sums as of that time. Points that come late are weighed as of then.
 */
import { DESKS, type Desk } from '../alerts/alert.ts';
import type { Blocks, Cursor } from './block.ts';
import type { Scope } from './operator.ts';

const SCORE_HALF_LIFE_MS = 86_400_000;
/** Below this nothing is shown: two weeks after an alert of 100 points. */
const SCORE_MIN = 0.01;

const weightAfter = (ms: number): number => 2 ** (-ms / SCORE_HALF_LIFE_MS);

export interface Score {
  id: number;
  /** Adds points to the bound subscriber. */
  add(cursor: Cursor, blocks: Blocks, desk: Desk, points: number, at: number): void;
  /** Of the bound subscriber as of `scope.now`; 0 where there is none. */
  read(scope: Scope, desk: Desk): number;
}

export function createScore(id: number): Score {
  return {
    id,
    add(cursor, blocks, desk, points, at) {
      const isNew = cursor.segmentAt[id] === 0;
      const segment = blocks.ensure(id, 1 + DESKS.length);
      const { f64 } = cursor;
      const time = isNew ? at : f64[segment]!;
      if (at > time) {
        for (let index = 1; index <= DESKS.length; index++) f64[segment + index]! *= weightAfter(at - time);
      }
      f64[segment] = Math.max(at, time);
      f64[segment + 1 + DESKS.indexOf(desk)]! += points * weightAfter(Math.max(0, time - at));
    },
    read(scope, desk) {
      const segment = scope.cursor.segmentAt[id]!;
      if (segment === 0) return 0;
      const { f64 } = scope.cursor;
      const value = f64[segment + 1 + DESKS.indexOf(desk)]! * weightAfter(Math.max(0, scope.now - f64[segment]!));
      return value < SCORE_MIN ? 0 : value;
    },
  };
}
