/**
 * Where a subscriber stands among all others: streaming quantiles of a few figures, made anew every night.
 *
 * Nobody walks over a million subscribers at midnight. Each is looked at once a day anyhow, at a moment of its own, and puts
 * its figures into the counts of that local day. At its next look the day before has ended, and its figures of that day are
 * ranked by the counts of that day: like is compared with like, also where a whole network is billed on the same morning.
 *
 * ```
 *        looks of day 1              looks of day 2
 *   |   .:..:.:.:..:.::.   |   .:..:.::.:..:.:.   |
 *   00:00    ^ figures     00:00    ^ figures of day 1 are ranked by the counts of day 1, those of day 2 kept
 * ```
 *
 * Counts go by the leading bits of the number itself: 64 steps from one power of two to the next, so two figures share a step
 * only where they differ by less than 1.6 %, and whole numbers up to 128 never do. A rank is the share of subscribers below,
 * with those of the same step half below. Counts of two engines add up. There are no subscribers in here, only counts: a
 * day takes 64 KiB however many there are.
 */

export const METRICS = ['recency', 'frequency', 'monetary', 'value'] as const;
export type Metric = (typeof METRICS)[number];

const STEPS_PER_OCTAVE_BITS = 6;
const OCTAVES = 64;
/** Anything from 2^-14 to 2^50; what lies beyond shares the last step. Step 0 holds what is not above zero. */
const LEAST_EXPONENT = -14;
export const STEPS = OCTAVES << STEPS_PER_OCTAVE_BITS;
const FIRST = (1023 + LEAST_EXPONENT) << STEPS_PER_OCTAVE_BITS;
/** Today, yesterday, and two more for looks that come late. */
export const DAYS_KEPT_MAX = 4;
/**
 * Looks lie between 02:00 and 22:00 local time (01:00 and 23:00 where the clocks have changed): when the first of a day comes,
 * the last of the day before is over.
 */
export const LOOK_SPAN_MS = 20 * 3_600_000;
const LOOK_FROM_MS = 2 * 3_600_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const QUARTER_MS = 900_000;
/** Midnight UTC of a day by which the difference of a zone is told, 2026-01-01. */
const REFERENCE_AT = 1_767_225_600_000;

/** A day's counts as plain data: for each metric `[step, count, step, count, ...]`. */
export interface RankingDay {
  day: number;
  counts: number[][];
}

export interface Rankings {
  /** Counts the step of one subscriber's figure on a local day. */
  add(metric: Metric, step: number, day: number): void;
  /** Share of subscribers below, 0 to 1; NaN where there are no counts of that day. */
  rank(metric: Metric, step: number, day: number): number;
  /** Local day of a moment. */
  dayOf(at: number): number;
  /** The newest local day that has ended so long before `at` that all its looks can be in. */
  dayBehind(at: number): number;
  /** When `dayBehind` may change next. */
  nextChangeAfter(at: number): number;
  /** The part of the (UTC) day in which subscribers are looked at, so that no look is near midnight. */
  lookFromMs: number;
  snapshot(): RankingDay[];
  restore(days: readonly RankingDay[]): void;
}

interface Counted {
  counts: Uint32Array;
  /** The steps that have a count lie between these two. */
  least: number;
  most: number;
  /** Running totals from `least` on, made when the first rank is asked for. A few subscribers share few steps of 4,096. */
  below: Float64Array | undefined;
}
/** By metric. */
type Day = Counted[];

const bits = new Float64Array(1);
const words = new Uint32Array(bits.buffer);

/** Step of a figure; rises with it. */
export function stepOf(value: number): number {
  if (!(value > 0)) return 0;
  bits[0] = value;
  const step = (words[1]! >>> (20 - STEPS_PER_OCTAVE_BITS)) - FIRST;
  return step < 1 ? 1 : step >= STEPS ? STEPS - 1 : step;
}

export function createRankings(options: {
  localTime: { dayNumber(at: number): number; minuteOfDay(at: number): number };
  latenessMs: number;
}): Rankings {
  const { localTime, latenessMs } = options;
  const dayOf = localTime.dayNumber;
  /** A day is settled so long after midnight; a multiple of a quarter of an hour. */
  const settledAfterMs = Math.max(HOUR_MS, Math.ceil(latenessMs / QUARTER_MS) * QUARTER_MS);
  const days = new Map<number, Day>();

  const dayFor = (number: number): Day | undefined => {
    let day = days.get(number);
    if (day !== undefined) return day;
    if (days.size >= DAYS_KEPT_MAX) {
      const oldest = Math.min(...days.keys());
      if (number < oldest) return undefined;
      days.delete(oldest);
    }
    day = METRICS.map(() => ({ counts: new Uint32Array(STEPS), least: STEPS, most: -1, below: undefined }));
    days.set(number, day);
    return day;
  };

  const addCount = (counted: Counted, step: number, count: number): void => {
    counted.counts[step]! += count;
    counted.least = Math.min(counted.least, step);
    counted.most = Math.max(counted.most, step);
    counted.below = undefined;
  };

  const totalsOf = (counted: Counted): Float64Array => {
    if (counted.below !== undefined) return counted.below;
    const { counts, least, most } = counted;
    const below = new Float64Array(most - least + 2);
    for (let step = least; step <= most; step++) below[step - least + 1] = below[step - least]! + counts[step]!;
    counted.below = below;
    return below;
  };

  return {
    add(metric, step, number) {
      const day = dayFor(number);
      if (day !== undefined) addCount(day[METRICS.indexOf(metric)]!, step, 1);
    },
    rank(metric, step, number) {
      const counted = days.get(number)?.[METRICS.indexOf(metric)];
      if (counted === undefined || counted.most < 0) return Number.NaN;
      const { least, most } = counted;
      if (step < least) return 0;
      if (step > most) return 1;
      const below = totalsOf(counted);
      return (below[step - least]! + below[step - least + 1]!) / 2 / below.at(-1)!;
    },
    dayOf,
    dayBehind: (at) => dayOf(at - settledAfterMs) - 1,
    lookFromMs: (LOOK_FROM_MS - localTime.minuteOfDay(REFERENCE_AT) * 60_000 + DAY_MS) % DAY_MS,
    // Every zone is ahead of UTC by a multiple of a quarter of an hour.
    nextChangeAfter: (at) => (Math.floor(at / QUARTER_MS) + 1) * QUARTER_MS,
    snapshot: () =>
      [...days]
        .sort(([a], [b]) => a - b)
        .map(([day, ofMetrics]) => ({
          day,
          counts: ofMetrics.map(({ counts, least, most }) => {
            const sparse: number[] = [];
            for (let step = least; step <= most; step++) if (counts[step]! > 0) sparse.push(step, counts[step]!);
            return sparse;
          }),
        })),
    restore(saved) {
      days.clear();
      for (const { day: number, counts } of saved) {
        const day = dayFor(number)!;
        counts.forEach((sparse, metric) => {
          for (let index = 0; index < sparse.length; index += 2)
            addCount(day[metric]!, sparse[index]!, sparse[index + 1]!);
        });
      }
    },
  };
}

/** 1 to `parts`, rising with the rank; NaN where that is not known. */
export const partOf = (rank: number, parts: number): number =>
  rank === rank ? Math.min(parts, Math.floor(rank * parts + 1e-9) + 1) : Number.NaN;
