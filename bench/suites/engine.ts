/**
 * The engine alone, in process, on one core: records that are decoded already go through `warm` and `apply`, as the pipeline
 * calls them, with the whole shipped rule set. The subscribers are made resident first, so that the measured records
 * meet a state of full size, and the cache misses that belong to it.
 *
 * Each run has a process of its own, as a rule set has in `serve`: code that has seen all rules is compiled for all of them, and
 * ran the twelve at 299,852 records a second instead of 347,318. Nor does its memory hold what a run before has left.
 */
import { fork } from 'node:child_process';
import type { AlertData } from '../../src/alerts/alert.ts';
import { DEFAULTS, numberingPlanFile } from '../../src/config.ts';
import { createEngine, type Engine } from '../../src/engine.ts';
import { mixedRecords } from '../../src/feed/mixed-records.ts';
import { RECORDS_AHEAD } from '../../src/pipeline.ts';
import { decodeMessage } from '../../src/record/decode.ts';
import type { UsageRecord } from '../../src/record/usage-record.ts';
import { localTime } from '../../src/reference/local-time.ts';
import { loadNumberingPlan } from '../../src/reference/numbering-plan.ts';
import { parseRules, readRuleFiles, versionOf } from '../../src/rules/load.ts';
import { collectGarbage, type Report, residentBytes, rounded } from '../measurement.ts';
import { TWELVE } from '../usage-stream.ts';

/**
 * Records drawn and decoded outside the clock before they are applied inside it: as many as the pipeline may have decoded
 * ahead, so that they are in the caches as they are there.
 */
const CHUNK = 2_048;
/** Groups that the clock is stopped for together: what one of them costs more than others is a pause. */
const GROUPS_TIMED = 16;
const START_AT = Date.UTC(2026, 2, 2);
/** How often a subscriber is heard of in a day of event time, as on a network where people use data. */
const RECORDS_PER_SUBSCRIBER_DAY = 100;

interface Run {
  subscribers: number;
  records: number;
  distribution: 'uniform' | 'zipf';
  /** Only the twelve rules. */
  twelve?: boolean;
}

const files = readRuleFiles(DEFAULTS.rules);
const parsed = parseRules(files);

function newEngine({ twelve = false }: Run): Engine {
  const engine = createEngine({ numberingPlan: loadNumberingPlan(numberingPlanFile), localTime: localTime('UTC') });
  // The models of churn and bad debt came later than the twelve.
  const sources = twelve
    ? parsed.sources.filter(({ rule }) => TWELVE.includes(rule.catalogue)).map(({ models: _, ...source }) => source)
    : parsed.sources;
  const problems = engine.useRules(sources, versionOf(files), [], parsed.lists);
  if (problems.length > 0) throw new Error(`the shipped rules are wrong: ${problems[0]!.message}`);
  return engine;
}

/** What stands still while a threshold is changed: files parsed, checked and compiled, operators taken over, in ms. */
function reloadPause(engine: Engine): number {
  const changed = files.map(({ file, text }) =>
    file.endsWith('international-burst.yaml')
      ? { file, text: text.replace(/warningSec: \d+/, 'warningSec: 1201') }
      : { file, text },
  );
  const begun = performance.now();
  const { sources, lists } = parseRules(changed);
  const problems = engine.useRules(sources, versionOf(changed), [], lists);
  const pauseMs = performance.now() - begun;
  if (problems.length > 0) throw new Error(`the changed rules are wrong: ${problems[0]!.message}`);
  return pauseMs;
}

/** Draws the next records and decodes them, as a batch message would be. */
function nextChunk(source: Iterator<object>, size: number): UsageRecord[] {
  const raw: object[] = [];
  while (raw.length < size) {
    const next = source.next();
    if (next.done) break;
    raw.push(next.value);
  }
  const records: UsageRecord[] = [];
  for (let from = 0; from < raw.length; from += 256) {
    const bytes = Buffer.from(JSON.stringify(raw.slice(from, from + 256)));
    for (const record of decodeMessage(bytes, { eventTimeMax: Number.MAX_SAFE_INTEGER }).records) records.push(record);
  }
  return records;
}

const RECORDS = 2_000_000;
const RUNS: readonly Run[] = [
  { subscribers: 10_000, records: RECORDS, distribution: 'uniform' },
  { subscribers: 100_000, records: RECORDS, distribution: 'uniform' },
  { subscribers: 1_000_000, records: RECORDS, distribution: 'uniform', twelve: true },
  { subscribers: 1_000_000, records: RECORDS, distribution: 'uniform' },
  { subscribers: 1_000_000, records: RECORDS, distribution: 'zipf' },
];

export async function engineSuite(report: Report, runs: readonly Run[] = RUNS): Promise<void> {
  for (const run of runs) await measureApart(report, run);
}

/** Five million subscribers take about 10 GB and several minutes, so they are a suite of their own. */
export async function largeEngineSuite(report: Report): Promise<void> {
  await measureApart(report, { subscribers: 5_000_000, records: RECORDS, distribution: 'uniform' });
}

function measureApart(report: Report, run: Run): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, [JSON.stringify(run)]);
    const killChild = (): void => void child.kill('SIGKILL');
    process.once('exit', killChild);
    child.on('message', report);
    child.once('exit', (code) => {
      process.off('exit', killChild);
      if (code === 0) resolve();
      else reject(new Error(`the run of the engine ended with code ${code}`));
    });
  });
}

async function measure(report: Report, run: Run): Promise<void> {
  const { subscribers, records: measured, distribution, twelve = false } = run;
  const variant = twelve ? `${distribution}, twelve rules` : distribution;
  const show = (metric: string, value: number, unit: string): void =>
    report({ metric, value, unit, subscribers, variant });
  await collectGarbage();
  const memoryBefore = residentBytes();
  const engine = newEngine(run);
  const alerts: AlertData[] = [];
  // A profile and three draws for each subscriber.
  const population = { seed: 1, subscribers, recordsPerSecond: (subscribers * RECORDS_PER_SUBSCRIBER_DAY) / 86_400 };
  const fill = mixedRecords({
    ...population,
    distribution: 'uniform',
    count: subscribers * 4,
    profilesFirst: true,
    startAt: START_AT,
  });
  for (let chunk = nextChunk(fill, CHUNK); chunk.length > 0; chunk = nextChunk(fill, CHUNK)) {
    for (let from = 0; from < chunk.length; from += RECORDS_AHEAD) applyTogether(engine, chunk, from, alerts);
    alerts.length = 0;
    await breathe();
  }
  await collectGarbage();
  // Of shared memory, in which the state lies, only the system keeps count.
  const memoryGrowth = residentBytes() - memoryBefore;
  const filled = engine.stats();

  const source = mixedRecords({
    ...population,
    draw: 1,
    distribution,
    count: measured,
    startAt: engine.maxEventTime(),
  });
  let seconds = 0;
  let cpuSeconds = 0;
  let slowestMs = 0;
  let fired = 0;
  let applied = 0;
  for (let chunk = nextChunk(source, CHUNK); chunk.length > 0; chunk = nextChunk(source, CHUNK)) {
    const cpuBegun = process.cpuUsage();
    const begun = performance.now();
    let groupsBegan = begun;
    for (let from = 0, groups = 1; from < chunk.length; from += RECORDS_AHEAD, groups++) {
      applied += applyTogether(engine, chunk, from, alerts);
      if (groups % GROUPS_TIMED !== 0) continue;
      const now = performance.now();
      slowestMs = Math.max(slowestMs, now - groupsBegan);
      groupsBegan = now;
    }
    seconds += (performance.now() - begun) / 1e3;
    const { user, system } = process.cpuUsage(cpuBegun);
    cpuSeconds += (user + system) / 1e6;
    fired += alerts.length;
    alerts.length = 0;
    await breathe();
  }
  if (applied !== measured) throw new Error(`${applied} of ${measured} records were applied`);

  show('records_per_second', rounded(measured / seconds), '1/s');
  show('cpu_microseconds_per_record', rounded((cpuSeconds / measured) * 1e6, 2), 'us');
  show(`slowest_${GROUPS_TIMED * RECORDS_AHEAD}_records`, rounded(slowestMs, 2), 'ms');
  show('alerts', fired, 'count');
  show('subscribers_resident', engine.stats().subscribers, 'count');
  show('state_bytes_per_subscriber', rounded(engine.stats().stateBytes / engine.stats().subscribers), 'bytes');
  show('memory_bytes_per_subscriber', rounded(memoryGrowth / filled.subscribers), 'bytes');
  show('resident_set_bytes', residentBytes(), 'bytes');
  if (!twelve) show('rules_reload_pause', rounded(reloadPause(engine), 1), 'ms');
}

/** One group, as the pipeline does it; returns how many records were applied. */
function applyTogether(engine: Engine, records: readonly UsageRecord[], from: number, alerts: AlertData[]): number {
  const to = Math.min(from + RECORDS_AHEAD, records.length);
  let applied = 0;
  engine.warm(records, from, to);
  for (let index = from; index < to; index++) if (engine.apply(records[index]!, alerts) === 'applied') applied++;
  return applied;
}

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

if (process.argv[1] === import.meta.filename) {
  await measure((measurement) => process.send!(measurement), JSON.parse(process.argv[2]!) as Run);
  process.disconnect();
}
