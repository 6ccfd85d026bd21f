/**
 * What the model says about the bound subscriber. Probability and save value are worked out when a rule or a person asks. What
 * cannot be worked out again is kept (state/revenue.ts): the stage with its hysteresis, the value while it was still earned,
 * ranks, and the RFM sums of the last weeks. Once a day each subscriber is looked at for that, at a moment of its own.
 */
import { type Blocks, firstSeenOf, keyOf } from '../state/block.ts';
import type { Calibration } from '../state/calibration.ts';
import { type Forecast, PROBABILITY_STEPS } from '../state/forecast.ts';
import { fingerprint } from '../state/key-table.ts';
import type { Reader, Scope } from '../state/operator.ts';
import { METRICS, type Metric, partOf, type Rankings, stepOf } from '../state/rankings.ts';
import {
  CHURNED,
  DORMANT,
  PANE_MS,
  REVENUE_MS,
  type Revenue,
  STAGES,
  type Stage,
  stageNumber,
} from '../state/revenue.ts';
import type { ValueType } from './compile.ts';
import { parseDuration } from './expression.ts';
import type { Model } from './model.ts';

const DAY_MS = 86_400_000;
const MONTH_MS = 30 * DAY_MS;
const YEAR_MS = 365 * DAY_MS;
const QUINTILES = 5;
const DECILES = 10;
const PHASE_MIXER = 0x9e3779b1;
/** The day of the figures is kept with 11 bits. */
const FIGURES_DAY_MASK = 2_047;

/** A part of a score as a person sees it. */
export interface Contribution {
  name: string;
  value: number;
}

export interface Valuation {
  model: Model;
  revenue: Revenue;
  /** Names that rules of key subscriber may use, with their types and units. */
  names: ReadonlyMap<string, { type: ValueType; unit: string; read: (scope: Scope) => number | string }>;
  /** The daily look: figures go into the rankings, stage and value are kept. */
  look(scope: Scope, blocks: Blocks): void;
  stage(scope: Scope): Stage | '';
  tier(scope: Scope): string;
  probability: Reader;
  /** The intercept and each coefficient times its logarithm; they add up to the log-odds. */
  contributions(scope: Scope): Contribution[];
  expectedSave: Reader;
}

/** Features of the model, compiled. */
export interface ModelReaders {
  tenureMs: Reader;
  lastUsageAt: Reader;
  signals: Reader;
  /** In the order of the model's inputs. */
  ratios: Reader[];
}

/**
 * How long a subscriber of whom nothing more comes is still looked at: until it has churned, and for two months or the horizon of a
 * forecast more.
 */
export const looksForMs = ({ lifecycle, churn }: Model): number =>
  parseDuration(lifecycle.churnedAfter)! + Math.max(2 * MONTH_MS, parseDuration(churn.monitor?.horizon ?? '0d')!);

/** Tells forecasts of one formula from those of another. */
const tagOf = ({ version, params, features, churn }: Model): number =>
  fingerprint(JSON.stringify([version, params, features, churn])) & 0xffff;

export function createValuation(options: {
  model: Model;
  revenue: Revenue;
  rankings: Rankings;
  readers: ModelReaders;
  /** Event time since which revenue has been seen. */
  since: () => number;
  forecast: Forecast;
  calibration: Calibration;
}): Valuation {
  const { model, revenue, rankings, readers, since, forecast, calibration } = options;
  const { lifecycle, value: worth, churn, save } = model;
  const acquisitionMs = parseDuration(lifecycle.acquisitionFor)!;
  const dormantMs = parseDuration(lifecycle.dormantAfter)!;
  const churnedMs = parseDuration(lifecycle.churnedAfter)!;
  const fallPanes = parseDuration(model.rfm.fallOver)! / PANE_MS;

  /** Since when all revenue of the subscriber has been seen. */
  const observedFrom = (scope: Scope): number => Math.max(firstSeenOf(scope.cursor), since());

  const monetary: Reader = (scope) =>
    revenue.has(scope)
      ? Math.max(0, revenue.amount(scope, revenue.sourceOf(scope), scope.now - REVENUE_MS, scope.now + 1))
      : Number.NaN;
  const frequency: Reader = (scope) =>
    revenue.has(scope)
      ? revenue.events(scope, revenue.sourceOf(scope), scope.now - REVENUE_MS, scope.now + 1)
      : Number.NaN;
  /** Whole days; of one who never brought any revenue since it was first seen. */
  const recencyDays: Reader = (scope) => {
    if (!revenue.has(scope)) return Number.NaN;
    const lastAt = revenue.lastAt(scope);
    return Math.max(0, Math.floor((scope.now - (lastAt === lastAt ? lastAt : firstSeenOf(scope.cursor))) / DAY_MS));
  };

  /** 5 is best: the most recent, the most often, the most money. Each as of the last night. */
  const quintile =
    (metric: Metric): Reader =>
    (scope) =>
      revenue.quintile(scope, METRICS.indexOf(metric));
  const sum: Reader = (scope) => revenue.quintile(scope, 0) + revenue.quintile(scope, 1) + revenue.quintile(scope, 2);
  /**
   * How recent the last revenue is goes up and down with every top-up, and so does its quintile. So the lower of two means of
   * ten days then is compared with the higher of two now: only who fell and stayed there has fallen. Both must be told by a
   * month of revenue at least.
   */
  const fall: Reader = (scope) => {
    if (scope.now - fallPanes * PANE_MS - observedFrom(scope) < MONTH_MS) return Number.NaN;
    const then = Math.min(revenue.sumBefore(scope, fallPanes), revenue.sumBefore(scope, fallPanes - 1));
    return then - Math.max(revenue.sumNow(scope), revenue.sumBefore(scope, 1));
  };

  /** Worth of a subscriber who stays: what it pays now, for as long as its like have stayed. */
  const earnedValue: Reader = (scope) => {
    const observedMs = Math.min(REVENUE_MS, Math.max(MONTH_MS, scope.now - observedFrom(scope)));
    const monthly = (monetary(scope) / observedMs) * MONTH_MS;
    const tenureMs = readers.tenureMs(scope);
    const years = tenureMs > 0 ? tenureMs / YEAR_MS : 0;
    const base = revenue.postpaid(scope) ? worth.lifeMonthsPostpaid : worth.lifeMonthsPrepaid;
    const life = Math.min(worth.lifeMonthsMost, base + worth.lifeMonthsPerTenureYear * years);
    return worth.margin * monthly * life;
  };
  /** Of one who has gone quiet, the last value before: it is what could be won back. */
  const lifetimeValue: Reader = (scope) => {
    const kept = revenue.value(scope);
    const stage = stageOf(scope);
    return (stage === DORMANT || stage === CHURNED) && kept === kept ? kept : earnedValue(scope);
  };
  const decile: Reader = (scope) => partOf(revenue.percentile(scope) / 100, DECILES);

  const tier = (scope: Scope): string => {
    const reached = decile(scope);
    for (const { name, decileLeast } of worth.tiers) if (reached >= decileLeast) return name;
    return '';
  };

  /** Rises (1) or falls (-1) of 30-day values, `windows` times running; 0 where neither, or where it is not known yet. */
  const trend = (scope: Scope): number => {
    const { now } = scope;
    const { windows, growthLeast, declineLeast } = lifecycle;
    if (now - (windows + 1) * MONTH_MS < observedFrom(scope)) return 0;
    // What is used shows the month; bills are paid now and then. Only where usage is not rated, money paid in has to do.
    const source = revenue.amount(scope, 'charges', now - (windows + 1) * MONTH_MS, now + 1) > 0 ? 'charges' : 'paidIn';
    let rises = 0;
    let falls = 0;
    let later = revenue.amount(scope, source, now - MONTH_MS, now + 1);
    for (let window = 1; window <= windows; window++) {
      const to = now - window * MONTH_MS;
      const earlier = revenue.amount(scope, source, to - MONTH_MS, to);
      if (earlier > 0 && later >= earlier * (1 + growthLeast)) rises++;
      if (earlier > 0 && later <= earlier * (1 - declineLeast)) falls++;
      later = earlier;
    }
    return falls === windows ? -1 : rises === windows ? 1 : 0;
  };

  /** The stage that the subscriber shows today, and since when where that can be told. */
  const found = { stage: 0, since: 0 };
  const find = (scope: Scope): void => {
    const { now, cursor } = scope;
    // Of what is measured, the first of the days running.
    found.since = revenue.stage(scope) === 0 ? now : now - (lifecycle.evaluations - 1) * DAY_MS;
    const goneAt = revenue.goneAt(scope);
    const revenueAt = revenue.lastAt(scope);
    const usageAt = readers.lastUsageAt(scope);
    let activeAt = usageAt > revenueAt ? usageAt : revenueAt;
    if (activeAt !== activeAt) activeAt = usageAt === usageAt ? usageAt : firstSeenOf(cursor);
    const paidAt = revenueAt === revenueAt ? revenueAt : activeAt;
    const tenureMs = readers.tenureMs(scope);
    if (goneAt === goneAt) {
      found.stage = CHURNED;
      found.since = goneAt;
    } else if (!revenue.postpaid(scope) && now - paidAt >= churnedMs) {
      found.stage = CHURNED;
      found.since = paidAt + churnedMs;
    } else if (now - activeAt >= dormantMs) {
      found.stage = DORMANT;
      found.since = activeAt + dormantMs;
    } else if (tenureMs <= acquisitionMs) {
      found.stage = stageNumber('acquisition');
      found.since = now - tenureMs;
    } else {
      const direction = trend(scope);
      found.stage = stageNumber(
        direction < 0 || readers.signals(scope) >= lifecycle.signalsLeast
          ? 'decline'
          : direction > 0
            ? 'growth'
            : 'mature',
      );
    }
  };
  /** Before the first daily look it is what it would be then. */
  const stageOf = (scope: Scope): number => {
    const kept = revenue.stage(scope);
    if (kept !== 0 || !revenue.has(scope)) return kept;
    find(scope);
    return found.stage;
  };
  const stage = (scope: Scope): Stage | '' => STAGES[stageOf(scope) - 1] ?? '';
  const stageSince: Reader = (scope) => {
    if (revenue.stage(scope) !== 0 || !revenue.has(scope)) return revenue.stageSince(scope);
    find(scope);
    return found.since;
  };

  const steps = new Uint16Array(METRICS.length);
  const ranks = new Float64Array(METRICS.length);
  const quintiles = new Uint8Array(3);
  /** The figures of the last look among those of everyone on that day, which has ended since. */
  const rankFigures = (scope: Scope): void => {
    const today = rankings.dayOf(scope.now);
    const day = today - ((today - revenue.figuresDay(scope)) & FIGURES_DAY_MASK);
    if (day > rankings.dayBehind(scope.now)) return;
    for (let metric = 0; metric < METRICS.length; metric++) {
      const rank = rankings.rank(METRICS[metric]!, revenue.figure(scope, metric), day);
      if (rank !== rank) return;
      ranks[metric] = rank;
    }
    quintiles[0] = QUINTILES + 1 - partOf(ranks[0]!, QUINTILES);
    quintiles[1] = partOf(ranks[1]!, QUINTILES);
    quintiles[2] = partOf(ranks[2]!, QUINTILES);
    revenue.keepRanks(scope, ranks[3]! * 100 + 1e-9, quintiles);
    revenue.keepSum(scope, quintiles[0]! + quintiles[1]! + quintiles[2]!);
  };

  const logOf = (ratio: number): number => {
    if (ratio !== ratio) return 0;
    const log = ratio > 0 ? Math.log(ratio) : Number.NEGATIVE_INFINITY;
    return Math.max(-churn.limit, Math.min(churn.limit, log));
  };
  const probability: Reader = (scope) => {
    if (!revenue.has(scope)) return Number.NaN;
    let odds = churn.intercept;
    for (let index = 0; index < readers.ratios.length; index++) {
      odds += churn.inputs[index]!.coefficient * logOf(readers.ratios[index]!(scope));
    }
    return 1 / (1 + Math.exp(-odds));
  };
  const expectedSave: Reader = (scope) => {
    const p = probability(scope);
    return (
      p * save.effect * (lifetimeValue(scope) - save.offerCost) -
      (1 - p) * save.spillover * save.offerCost -
      save.contactCost
    );
  };

  const tag = tagOf(model);
  const horizonDays = parseDuration(churn.monitor?.horizon ?? '0d')! / DAY_MS;
  const quietMs = parseDuration(churn.monitor?.quietFor ?? '0d')!;
  const logs = new Float64Array(readers.ratios.length);
  /**
   * Settles the forecast whose horizon is over, and makes a new one on the subscriber's own day of the horizon, so that every
   * day sees about as many made and as many settled.
   */
  const watch = (scope: Scope, blocks: Blocks, isChurned: boolean): void => {
    calibration.begin(tag);
    const today = rankings.dayOf(scope.now);
    const madeOn = forecast.madeOn(scope, tag);
    if (madeOn >= 0 && today >= madeOn + horizonDays) {
      calibration.observed(madeOn, forecast.stepsOf(scope), isGone(scope));
      forecast.close(scope);
    }
    const phase = Math.abs(Math.imul(keyOf(scope.cursor) | 0, PHASE_MIXER)) % horizonDays;
    if (isChurned || today % horizonDays !== phase || forecast.madeOn(scope, tag) >= 0) return;
    // Of who is hardly known most inputs are not: such forecasts would say more of cold windows than of the formula.
    if (scope.now - observedFrom(scope) < horizonDays * DAY_MS) return;
    const p = probability(scope);
    if (p !== p) return;
    for (let index = 0; index < logs.length; index++) logs[index] = logOf(readers.ratios[index]!(scope));
    const steps = Math.round(p * PROBABILITY_STEPS);
    calibration.made(today, steps, logs, churn.limit);
    forecast.make(scope, blocks, { day: today, steps, tag });
  };
  const isGone = (scope: Scope): boolean => {
    const goneAt = revenue.goneAt(scope);
    if (goneAt === goneAt) return true;
    const paidAt = revenue.lastAt(scope);
    return !revenue.postpaid(scope) && scope.now - (paidAt === paidAt ? paidAt : firstSeenOf(scope.cursor)) >= quietMs;
  };

  const number = (unit: string, read: Reader) => ({ type: 'number' as const, unit, read });
  return {
    model,
    revenue,
    names: new Map<string, { type: ValueType; unit: string; read: (scope: Scope) => number | string }>([
      ['lifecycle.stage', { type: 'text', unit: 'none', read: stage }],
      ['lifecycle.since', { type: 'time', unit: 'time', read: stageSince }],
      ['value.tier', { type: 'text', unit: 'none', read: tier }],
      ['value.decile', number('none', decile)],
      ['value.percentile', number('none', revenue.percentile)],
      ['value.lifetime', number('currency', lifetimeValue)],
      ['value.expectedSave', number('currency', expectedSave)],
      ['rfm.recency', number('none', quintile('recency'))],
      ['rfm.frequency', number('none', quintile('frequency'))],
      ['rfm.monetary', number('none', quintile('monetary'))],
      ['rfm.sum', number('none', sum)],
      ['rfm.fall', number('none', fall)],
      ['churn.probability', number('share', probability)],
    ]),
    look(scope, blocks) {
      rankFigures(scope);
      find(scope);
      revenue.evaluateStage(scope, found.stage, found.since, lifecycle.evaluations);
      const kept = revenue.stage(scope);
      if (kept !== DORMANT && kept !== CHURNED) revenue.keepValue(scope, earnedValue(scope));
      const day = rankings.dayOf(scope.now);
      steps[0] = stepOf(recencyDays(scope));
      steps[1] = stepOf(frequency(scope));
      steps[2] = stepOf(monetary(scope));
      steps[3] = stepOf(lifetimeValue(scope));
      revenue.keepFigures(scope, day, steps);
      if (horizonDays > 0) watch(scope, blocks, kept === CHURNED);
      // Those who have gone are ranked, but are no yardstick for those who are there.
      if (kept === CHURNED) return;
      for (let metric = 0; metric < METRICS.length; metric++) rankings.add(METRICS[metric]!, steps[metric]!, day);
    },
    stage,
    tier,
    probability,
    contributions: (scope) => [
      { name: 'intercept', value: churn.intercept },
      ...churn.inputs.map(({ name, coefficient }, index) => ({
        name,
        // `+ 0` makes no difference but for the minus of a zero.
        value: coefficient * logOf(readers.ratios[index]!(scope)) + 0,
      })),
    ],
    expectedSave,
  };
}
