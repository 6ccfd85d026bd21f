/**
 * The benchmarks: each suite measures on this machine, in this run, so that ratios between suites hold. The engine comes
 * last, because the million subscribers that it leaves to the garbage collector would be felt by the suites behind it.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { findNatsServer } from '../src/source/broker.ts';
import { collectGarbage, type Measurement, type Report } from './measurement.ts';
import { consoleSuite } from './suites/console.ts';
import { decodeSuite } from './suites/decode.ts';
import { checkpointSuite, endToEndSuite } from './suites/end-to-end.ts';
import { engineSuite, largeEngineSuite } from './suites/engine.ts';
import { transportSuite } from './suites/transport.ts';

const SUITES: Record<string, (report: Report) => Promise<void>> = {
  decode: decodeSuite,
  transport: transportSuite,
  'end-to-end': endToEndSuite,
  checkpoint: checkpointSuite,
  console: consoleSuite,
  engine: engineSuite,
  'engine-large': largeEngineSuite,
};

export const suiteNames = Object.keys(SUITES);

/** Runs the suites in order and hands every figure over as it comes. */
export async function runBenchmarks(names: readonly string[], show: (measurement: Measurement) => void): Promise<void> {
  for (const suite of names) {
    await collectGarbage();
    await SUITES[suite]!((measurement) => show({ suite, ...measurement }));
  }
}

/** What the figures were measured on, and when: the first line of a file of results. */
export interface RunHeader {
  version: string;
  /** RFC 3339, begin of the run. */
  startedAt: string;
  cpus: number;
  cpuModel: string;
  memoryBytes: number;
  platform: string;
  node: string;
  natsServer: string;
  /** Of the minute before the run: what else the machine had to do. */
  loadAverage: number;
}

export function describeRun(): RunHeader {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
  };
  const natsServer = findNatsServer();
  return {
    version,
    startedAt: new Date().toISOString(),
    cpus: cpus().length,
    cpuModel: cpus()[0]?.model ?? '',
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    natsServer: natsServer === undefined ? '' : execFileSync(natsServer, ['--version'], { encoding: 'utf8' }).trim(),
    loadAverage: loadavg()[0]!,
  };
}

/** Keeps a run as `<folder>/<version>/<date>.jsonl`, in the place of an earlier one of that day. Returns the path. */
export function saveRun(
  header: RunHeader,
  measurements: readonly Measurement[],
  folder = join(import.meta.dirname, 'results'),
): string {
  const path = join(folder, header.version, `${header.startedAt.slice(0, 10)}.jsonl`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, [header, ...measurements].map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
}
