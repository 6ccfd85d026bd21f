/**
 * What the fault tests have in common: how much of each is run, the line of figures that each prints, and the comparison
 * that all of them end with.
 *
 * `npm test` runs the short form, `npm run faults` the whole within a quarter of an hour, `npm run faults:long` within half an hour
 * the deaths of R1 over five million records and those of R2 over half a million. RINGFENCE_FAULTS_KILLS and
 * RINGFENCE_FAULTS_RECORDS make their numbers others.
 */
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, type TestContext, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import {
  copyRules,
  endProcesses,
  expectSameAlerts,
  forgetLogs,
  logTails,
  replayed,
  revisionOf,
  type temporaryFolder,
  writePopulation,
} from './serving.ts';

const form = process.env['RINGFENCE_FAULTS'];
export const isLong = form === 'long';
/** The whole, with pass marks that are times; they hold on a machine that does nothing else. */
export const isWhole = form === 'whole' || isLong;

export const killsWanted = Number(process.env['RINGFENCE_FAULTS_KILLS'] ?? (isLong ? 200 : isWhole ? 40 : 1));
export const recordsWanted = Number(
  process.env['RINGFENCE_FAULTS_RECORDS'] ?? (isLong ? 5_000_000 : isWhole ? 90_000 : 8_000),
);

/**
 * The rules that the few records set off, so that the alerts are those of all rules. A start parses and compiles what there is, and
 * the short form is mostly starts.
 */
const RULES_OF_FEW = [
  ...['retention', 'arrears'].map((name) => `models/${name}`),
  ...['ageing', 'bust-out', 'exposure', 'overdue-warning', 'payment-failed', 'soft-bar'].map(
    (name) => `arrears/${name}`,
  ),
  ...[
    'calls-per-minute',
    'collision',
    'handset-rotation',
    'international-burst',
    'long-call',
    'long-high-cost',
    'profile-deviation',
    'sequential-calls',
    'sim-box',
  ].map((name) => `fraud/${name}`),
  ...[
    'contact-circle-shrink',
    'contract-end',
    'data-moved',
    'growth-opportunity',
    'high-value-warning',
    'segment-migration',
    'silence',
    'usage-decline',
  ].map((name) => `retention/${name}`),
];

/** Gigabytes are removed in it after a long run. */
const HOOK_LIMIT_MS = 600_000;

/** What a test has measured; the reporter prints it in this order. */
export type Figures = Record<string, number | string>;

declare module 'vitest' {
  interface TaskMeta {
    fault?: string;
    figures?: Figures;
  }
}

/** A test of the fault list. `work` fills the figures in as it goes, so that a failure shows how far it came. */
export function fault(
  id: string,
  what: string,
  limitMs: number,
  work: (figures: Figures, context: TestContext) => Promise<void>,
): void {
  test(`${id} ${what}`, { timeout: limitMs }, async (context) => {
    const figures: Figures = {};
    context.task.meta.fault = id;
    context.task.meta.figures = figures;
    forgetLogs();
    try {
      await work(figures, context);
    } catch (error) {
      // Where a process has died, only its log says why.
      if (error instanceof Error) error.message += `\n${logTails()}`;
      throw error;
    }
  });
}

/**
 * Each fault gets a broker of its own and a data folder that is not there yet. At its end its processes are ended and the broker
 * that is in use by then is stopped. Returns what names one more file or folder.
 */
export function freshForEach(
  folder: ReturnType<typeof temporaryFolder>,
  use: { take(fresh: { broker: Broker; data: string }): void; broker(): Broker },
): (kind: string) => string {
  let paths = 0;
  const freshPath = (kind: string): string => join(folder.path, `${kind}-${paths++}`);
  if (!isWhole) process.env['RINGFENCE_RULES'] = copyRules(freshPath('rules'), ...RULES_OF_FEW);
  beforeEach(async () => use.take({ broker: await startBroker(), data: freshPath('data') }), HOOK_LIMIT_MS);
  afterEach(async () => {
    await endProcesses();
    await use.broker().stop();
  }, HOOK_LIMIT_MS);
  afterAll(() => folder.remove(), HOOK_LIMIT_MS);
  return freshPath;
}

/** Writes the few records with which most faults are tried; what an undisturbed run makes of them. */
export async function writeFew(file: string): Promise<{ records: number; expected: AlertData[] }> {
  const records = writePopulation(file, { seed: 12, subscribers: isWhole ? 100 : 40, recordsPerSubscriberDay: 2 });
  return { records, expected: await replayed(file) };
}

/** One value against another, with what explains a difference. */
export function expectSame(found: unknown, expected: unknown, why?: string): void {
  expect(found, why).toEqual(expected);
}

/** Counts what is lost and what is there twice, then compares contents as well. */
export function compareAlerts(figures: Figures, found: readonly AlertData[], expected: readonly AlertData[]): void {
  const names = new Set(found.map(revisionOf));
  figures['alerts'] = expected.length;
  figures['lost'] = expected.filter((alert) => !names.has(revisionOf(alert))).length;
  figures['duplicate'] = found.length - names.size;
  expectSameAlerts(found, expected);
}

/** Environment of a `serve` that kills itself at the n-th time that it comes to a step (crash-point.ts). */
export const crashingAt = (step: string, time = 1): Record<string, string> => ({
  NODE_OPTIONS: `--import=${join(import.meta.dirname, 'crash-point.ts')}`,
  RINGFENCE_TEST_CRASH: `${step}:${time}`,
});
