/**
 * What the churn formula has said of a subscriber and is still to be proved right or wrong: one open forecast in 8 bytes, only
 * of subscribers of whom one was made.
 *
 * ```
 * word 0  local day on which it was made
 * word 1  probability in ten-thousandths | tag of the model << 16
 * ```
 *
 * A forecast of another model than the one in force is none.
 */
import type { Blocks } from './block.ts';
import type { Scope } from './operator.ts';

/** Probabilities are kept in so many steps, so that sums over them are whole numbers. */
export const PROBABILITY_STEPS = 10_000;
const STEP_MASK = 0xffff;

export interface Forecast {
  /** Local day of the open forecast of the bound subscriber; -1 where there is none of this model. */
  madeOn(scope: Scope, tag: number): number;
  /** Its probability in steps. */
  stepsOf(scope: Scope): number;
  make(scope: Scope, blocks: Blocks, forecast: { day: number; steps: number; tag: number }): void;
  close(scope: Scope): void;
}

export function createForecast(id: number): Forecast {
  return {
    madeOn({ cursor }, tag) {
      const word = cursor.segmentAt[id]! * 2;
      return word === 0 || cursor.u32[word]! === 0 || cursor.u32[word + 1]! >>> 16 !== tag ? -1 : cursor.u32[word]!;
    },
    stepsOf: ({ cursor }) => cursor.u32[cursor.segmentAt[id]! * 2 + 1]! & STEP_MASK,
    make({ cursor }, blocks, { day, steps, tag }) {
      const word = blocks.ensure(id, 1) * 2;
      cursor.u32[word] = day;
      cursor.u32[word + 1] = ((tag << 16) | steps) >>> 0;
    },
    close({ cursor }) {
      cursor.u32[cursor.segmentAt[id]! * 2] = 0;
    },
  };
}
