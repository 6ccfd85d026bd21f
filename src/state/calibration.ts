/**
 * How right the churn formula is: counts of forecasts when they are made, and of what became of them when their horizon has
 * passed. Only counts, no subscribers; all of them whole, so they are the same in whatever order they come, and those of
 * several partitions add up.
 *
 * Forecasts are gathered in cohorts of thirty local days by the day on which they were made. The first cohort stays for as long as
 * the model does, because drift is measured against it; of the others the newest are kept.
 *
 * ```
 *  cohort   made ──────────── horizon ───────────> observed
 *           score, inputs: histograms              scores and outcomes: histogram, sums
 * ```
 */
import { PROBABILITY_STEPS } from './forecast.ts';

export const COHORT_DAYS = 30;
/** The first one and a year of others. */
export const COHORTS_MAX = 14;
/** Log-odds from -8 to 8 in steps of a tenth; what lies beyond is in the outermost. */
export const SCORE_BINS = 160;
const ODDS_LEAST = -8;
const ODDS_PER_BIN = 0.1;
/** Between the limits of the logarithms of the inputs. */
export const INPUT_BINS = 10;

export interface Cohort {
  /** First local day of its thirty. */
  day: number;
  made: number;
  /** Forecasts by score when they are made. */
  scores: number[];
  /** For each input the forecasts by the logarithm of its ratio. */
  inputs: number[][];
  observed: number;
  churned: number;
  /** Of those observed by score: how many there were, how many left, and the sum of their probabilities in steps. */
  observedByScore: number[];
  churnedByScore: number[];
  stepsByScore: number[];
  /** Sums over those observed: squared probability, and probability of those who left; both in (squared) steps. */
  squaredSteps: number;
  churnedSteps: number;
}

/** Plain data, as it stands in a checkpoint. */
export interface CalibrationState {
  /** Which model the counts are of. */
  tag: number;
  cohorts: Cohort[];
}

export interface Calibration {
  /** Counts of another model are of no use any more. */
  begin(tag: number): void;
  /** @param logs logarithms of the ratios of the inputs, between -limit and limit */
  made(day: number, steps: number, logs: ArrayLike<number>, limit: number): void;
  observed(day: number, steps: number, churned: boolean): void;
  snapshot(): CalibrationState;
  restore(state: CalibrationState): void;
}

/** The bin of a probability in steps. */
export function scoreBinOf(steps: number): number {
  // The ends have no odds; half a step is nearest to them.
  const p = Math.min(PROBABILITY_STEPS - 0.5, Math.max(0.5, steps)) / PROBABILITY_STEPS;
  const bin = Math.floor((Math.log(p / (1 - p)) - ODDS_LEAST) / ODDS_PER_BIN);
  return Math.min(SCORE_BINS - 1, Math.max(0, bin));
}

const inputBinOf = (log: number, limit: number): number =>
  Math.min(INPUT_BINS - 1, Math.max(0, Math.floor(((log + limit) / (2 * limit)) * INPUT_BINS)));

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

function newCohort(day: number, inputs: number): Cohort {
  return {
    day,
    made: 0,
    scores: zeros(SCORE_BINS),
    inputs: Array.from({ length: inputs }, () => zeros(INPUT_BINS)),
    observed: 0,
    churned: 0,
    observedByScore: zeros(SCORE_BINS),
    churnedByScore: zeros(SCORE_BINS),
    stepsByScore: zeros(SCORE_BINS),
    squaredSteps: 0,
    churnedSteps: 0,
  };
}

export function createCalibration(): Calibration {
  let state: CalibrationState = { tag: 0, cohorts: [] };

  /** Oldest first. A day before the first cohort makes none, and neither does one whose cohort has been dropped. */
  const cohortOf = (day: number, inputs: number): Cohort | undefined => {
    const first = day - (((day % COHORT_DAYS) + COHORT_DAYS) % COHORT_DAYS);
    const { cohorts } = state;
    const found = cohorts.find((cohort) => cohort.day === first);
    if (found !== undefined || inputs < 0) return found;
    const newest = cohorts.at(-1);
    if (newest !== undefined && first < newest.day) return undefined;
    const cohort = newCohort(first, inputs);
    cohorts.push(cohort);
    if (cohorts.length > COHORTS_MAX) cohorts.splice(1, 1);
    return cohort;
  };

  return {
    begin(tag) {
      if (state.tag !== tag) state = { tag, cohorts: [] };
    },
    made(day, steps, logs, limit) {
      const cohort = cohortOf(day, logs.length);
      if (cohort === undefined) return;
      cohort.made++;
      cohort.scores[scoreBinOf(steps)]!++;
      for (let index = 0; index < logs.length; index++) cohort.inputs[index]![inputBinOf(logs[index]!, limit)]!++;
    },
    observed(day, steps, churned) {
      const cohort = cohortOf(day, -1);
      if (cohort === undefined) return;
      const bin = scoreBinOf(steps);
      cohort.observed++;
      cohort.observedByScore[bin]!++;
      cohort.stepsByScore[bin]! += steps;
      cohort.squaredSteps += steps * steps;
      if (!churned) return;
      cohort.churned++;
      cohort.churnedByScore[bin]!++;
      cohort.churnedSteps += steps;
    },
    snapshot: () => structuredClone(state),
    restore(saved) {
      state = structuredClone(saved);
    },
  };
}
