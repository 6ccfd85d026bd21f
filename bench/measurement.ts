/**
 * What a suite gives: one line for each figure. The rate of a suite is the metric `records_per_second`.
 */
export interface Measurement {
  suite: string;
  metric: string;
  value: number;
  unit: string;
  /** Subscribers of the run, where that matters. */
  subscribers?: number;
  /** Records to a message, where that matters. */
  batch?: number;
  /** Whatever else tells two lines of one suite apart: `zipf`, `20000/s`. */
  variant?: string;
}

export type Report = (measurement: Omit<Measurement, 'suite'>) => void;

/** The value below which `share` of the sorted values lie. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
