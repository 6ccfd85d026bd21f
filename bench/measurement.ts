/**
 * What a suite gives: one line for each figure. The rate of a suite is the metric `records_per_second`.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

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

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** At most `digits` behind the point, which is all that a measurement on one machine can tell. */
export function rounded(value: number, digits = 0): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

let collect: (() => void) | undefined;

/**
 * Frees what the part of the run before has left, so that it is not paid for, or counted as memory, in the next. Twice, with
 * a turn of the event loop between: only then are large typed arrays gone.
 */
export async function collectGarbage(): Promise<void> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
  await new Promise((resolve) => setImmediate(resolve));
  collect();
}

/** Resident memory of this process now, in bytes; it holds what was freed and not given back as well. */
export const residentBytes = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
