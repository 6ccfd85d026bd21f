/**
 * The benchmarks: each suite measures on this machine, in this run, so that ratios between suites hold.
 */

import type { Measurement, Report } from './measurement.ts';
import { decodeSuite } from './suites/decode.ts';
import { endToEndSuite } from './suites/end-to-end.ts';
import { engineSuite } from './suites/engine.ts';
import { transportSuite } from './suites/transport.ts';

const SUITES: Record<string, (report: Report) => Promise<void>> = {
  decode: decodeSuite,
  engine: engineSuite,
  transport: transportSuite,
  'end-to-end': endToEndSuite,
};

export const suiteNames = Object.keys(SUITES);

/** Runs the suites in order and hands every figure over as it comes. */
export async function runBenchmarks(names: readonly string[], show: (measurement: Measurement) => void): Promise<void> {
  for (const suite of names) await SUITES[suite]!((measurement) => show({ suite, ...measurement }));
}
