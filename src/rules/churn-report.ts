/**
 * What the counts of the calibration say of the churn formula, for the API, the metrics and the console.
 *
 * ```
 * Brier    mean of (p - y)^2; that of always saying the mean is rate x (1 - rate), and skill = 1 - Brier / that
 * AUC      chance that one who left had the higher probability than one who stayed; equal ones count half
 * lift     share of those who left in the highest tenth of the scores / share of all
 * PSI      sum of (a - b) ln(a / b) over the bins of two distributions; from 0.1 a shift, from 0.25 another population
 * ```
 */
import { type Static, Type } from 'typebox';
import { type CalibrationState, COHORT_DAYS, type Cohort, INPUT_BINS, SCORE_BINS } from '../state/calibration.ts';
import { PROBABILITY_STEPS } from '../state/forecast.ts';
import { parseDuration } from './expression.ts';
import type { Model } from './model.ts';

const DECILES = 10;
const DAY_MS = 86_400_000;
/** Fewer forecasts are no distribution. */
const STABILITY_LEAST = 100;
const PSI_WARN = 0.1;
const PSI_ACT = 0.25;
/** Counts for a bin that is empty in one of two distributions, so that its logarithm has an end. */
const PSI_SMOOTHING = 0.5;

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const share = nullable(Type.Number());
const stability = {
  psi: share,
  state: Type.Enum(['unknown', 'stable', 'shifted', 'changed'], {
    type: 'string',
    description: `shifted: PSI of ${PSI_WARN} or more, changed: of ${PSI_ACT} or more.`,
  }),
};

export const ChurnReportSchema = Type.Object(
  {
    model: Type.Object({
      id: Type.String(),
      version: Type.Integer(),
      horizonDays: Type.Number({ description: 'From a forecast to the look at what became of it.' }),
      quietDays: Type.Number({ description: 'Who has nobody to cancel with has left after so long without revenue.' }),
    }),
    forecasts: Type.Object({ made: Type.Integer(), observed: Type.Integer(), churned: Type.Integer() }),
    rate: Type.Union([Type.Number(), Type.Null()], { description: 'Share of those observed who left.' }),
    predicted: Type.Union([Type.Number(), Type.Null()], { description: 'Mean probability of those observed.' }),
    brier: share,
    skill: Type.Union([Type.Number(), Type.Null()], {
      description: 'How much better than always saying the rate: 1 is perfect, 0 no better, below 0 worse.',
    }),
    auc: share,
    lift: Type.Union([Type.Number(), Type.Null()], { description: 'In the highest tenth of the scores.' }),
    deciles: Type.Array(
      Type.Object({ decile: Type.Integer(), observed: Type.Number(), predicted: Type.Number(), rate: Type.Number() }),
      { description: 'From the lowest tenth of the scores to the highest; empty before the first outcome.' },
    ),
    stability: Type.Object({
      reference: nullable(Type.Integer({ description: 'First day of the first cohort, Unix epoch ms.' })),
      current: nullable(Type.Integer({ description: 'Of the newest cohort that is large enough.' })),
      score: Type.Object(stability),
      inputs: Type.Array(Type.Object({ name: Type.String(), ...stability })),
    }),
    cohorts: Type.Array(
      Type.Object({
        from: Type.Integer({ description: 'Unix epoch ms.' }),
        made: Type.Integer(),
        observed: Type.Integer(),
        churned: Type.Integer(),
        brier: share,
        auc: share,
      }),
      { description: `By the ${COHORT_DAYS} days in which the forecasts were made, oldest first.` },
    ),
  },
  { $id: 'ChurnReport', description: 'How right the churn formula has been.' },
);
export type ChurnReport = Static<typeof ChurnReportSchema>;
type Stability = ChurnReport['stability']['score'];

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
const added = (a: readonly number[], b: readonly number[]): number[] => a.map((count, index) => count + b[index]!);

/** Two cohorts, or two parts of one, as one. */
function together(a: Cohort, b: Cohort): Cohort {
  return {
    day: Math.min(a.day, b.day),
    made: a.made + b.made,
    scores: added(a.scores, b.scores),
    inputs: a.inputs.map((counts, index) => added(counts, b.inputs[index]!)),
    observed: a.observed + b.observed,
    churned: a.churned + b.churned,
    observedByScore: added(a.observedByScore, b.observedByScore),
    churnedByScore: added(a.churnedByScore, b.churnedByScore),
    stepsByScore: added(a.stepsByScore, b.stepsByScore),
    squaredSteps: a.squaredSteps + b.squaredSteps,
    churnedSteps: a.churnedSteps + b.churnedSteps,
  };
}

/** sum of p^2 - 2 p y + y, over those observed */
function brierOf({ observed, churned, squaredSteps, churnedSteps }: Cohort): number | null {
  if (observed === 0) return null;
  return (squaredSteps / PROBABILITY_STEPS ** 2 - (2 * churnedSteps) / PROBABILITY_STEPS + churned) / observed;
}

function aucOf({ observed, churned, observedByScore, churnedByScore }: Cohort): number | null {
  const stayed = observed - churned;
  if (churned === 0 || stayed === 0) return null;
  let below = 0;
  let won = 0;
  for (let bin = 0; bin < SCORE_BINS; bin++) {
    const here = observedByScore[bin]! - churnedByScore[bin]!;
    won += churnedByScore[bin]! * (below + here / 2);
    below += here;
  }
  return won / (churned * stayed);
}

/** Ten equal parts by score; a bin that lies across a border counts on both sides by its share. */
function decilesOf(cohort: Cohort): ChurnReport['deciles'] {
  const { observed, observedByScore, churnedByScore, stepsByScore } = cohort;
  if (observed === 0) return [];
  const size = observed / DECILES;
  const deciles = Array.from({ length: DECILES }, (_, index) => ({ decile: index + 1, steps: 0, churned: 0 }));
  let from = 0;
  for (let bin = 0; bin < SCORE_BINS; bin++) {
    const count = observedByScore[bin]!;
    if (count === 0) continue;
    const to = from + count;
    for (let decile = Math.floor(from / size); decile < DECILES && decile * size < to; decile++) {
      const part = (Math.min(to, (decile + 1) * size) - Math.max(from, decile * size)) / count;
      if (part <= 0) continue;
      deciles[decile]!.steps += stepsByScore[bin]! * part;
      deciles[decile]!.churned += churnedByScore[bin]! * part;
    }
    from = to;
  }
  return deciles.map(({ decile, steps, churned }) => ({
    decile,
    observed: size,
    predicted: steps / PROBABILITY_STEPS / size,
    rate: churned / size,
  }));
}

/** Population stability index of two distributions over the same bins. */
export function psiOf(reference: readonly number[], current: readonly number[]): number {
  // Bins that are empty in both say nothing.
  const bins = reference.flatMap((count, index) =>
    count + current[index]! > 0 ? [[count, current[index]!] as const] : [],
  );
  const total = (side: 0 | 1): number => sumOf(bins.map((bin) => bin[side])) + bins.length * PSI_SMOOTHING;
  const totals = [total(0), total(1)] as const;
  let psi = 0;
  for (const [before, now] of bins) {
    const a = (now + PSI_SMOOTHING) / totals[1];
    const b = (before + PSI_SMOOTHING) / totals[0];
    psi += (a - b) * Math.log(a / b);
  }
  return psi;
}

/** Tenths of the reference are coarse enough for few forecasts: sixteen bins of the score are one. */
const coarse = (scores: readonly number[]): number[] => {
  const size = SCORE_BINS / INPUT_BINS;
  return Array.from({ length: INPUT_BINS }, (_, index) => sumOf(scores.slice(index * size, (index + 1) * size)));
};

const unknown: Stability = { psi: null, state: 'unknown' };
const stabilityOf = (reference: readonly number[], current: readonly number[]): Stability => {
  const psi = psiOf(reference, current);
  return { psi, state: psi >= PSI_ACT ? 'changed' : psi >= PSI_WARN ? 'shifted' : 'stable' };
};

/** @param states of the partitions; those of another model than the first are left out */
export function churnReport(model: Model, states: readonly CalibrationState[]): ChurnReport {
  const byDay = new Map<number, Cohort>();
  for (const { tag, cohorts } of states) {
    if (tag !== states[0]!.tag) continue;
    for (const cohort of cohorts) {
      const found = byDay.get(cohort.day);
      byDay.set(cohort.day, found === undefined ? cohort : together(found, cohort));
    }
  }
  const cohorts = [...byDay.values()].sort((a, b) => a.day - b.day);
  const whole = cohorts.length === 0 ? undefined : cohorts.reduce(together);
  const { made = 0, observed = 0, churned = 0 } = whole ?? {};
  const rate = observed === 0 ? null : churned / observed;
  const brier = whole === undefined ? null : brierOf(whole);
  const deciles = whole === undefined ? [] : decilesOf(whole);
  // The first cohort that is large enough is what the model began with.
  const large = cohorts.filter((cohort) => cohort.made >= STABILITY_LEAST);
  const reference = large[0];
  const current = large.length > 1 ? large.at(-1) : undefined;
  const dayAt = (cohort: Cohort | undefined): number | null => (cohort === undefined ? null : cohort.day * DAY_MS);
  return {
    model: {
      id: model.id,
      version: model.version,
      horizonDays: parseDuration(model.churn.monitor!.horizon)! / DAY_MS,
      quietDays: parseDuration(model.churn.monitor!.quietFor)! / DAY_MS,
    },
    forecasts: { made, observed, churned },
    rate,
    predicted: whole === undefined || observed === 0 ? null : sumOf(whole.stepsByScore) / PROBABILITY_STEPS / observed,
    brier,
    skill: brier === null || rate === null || rate === 0 || rate === 1 ? null : 1 - brier / (rate * (1 - rate)),
    auc: whole === undefined ? null : aucOf(whole),
    lift: rate === null || rate === 0 ? null : deciles.at(-1)!.rate / rate,
    deciles,
    stability: {
      reference: dayAt(reference),
      current: dayAt(current),
      score: current === undefined ? unknown : stabilityOf(coarse(reference!.scores), coarse(current.scores)),
      inputs: model.churn.inputs.map(({ name }, index) => ({
        name,
        ...(current === undefined ? unknown : stabilityOf(reference!.inputs[index]!, current.inputs[index]!)),
      })),
    },
    cohorts: cohorts.map((cohort) => ({
      from: cohort.day * DAY_MS,
      made: cohort.made,
      observed: cohort.observed,
      churned: cohort.churned,
      brier: brierOf(cohort),
      auc: aucOf(cohort),
    })),
  };
}
