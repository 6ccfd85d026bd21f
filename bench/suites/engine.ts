/**
 * The engine alone, in process, on one core: records that are decoded already go through `apply` with the whole shipped rule
 * set. Every subscriber is made resident first, so that the measured records meet a state of full size, and the cache
 * misses that belong to it.
 */
import { readFileSync } from 'node:fs';
import type { AlertData } from '../../src/alerts/alert.ts';
import { DEFAULTS, numberingPlanFile } from '../../src/config.ts';
import { createEngine, type Engine } from '../../src/engine.ts';
import { mixedRecords } from '../../src/feed/mixed-records.ts';
import { decodeMessage } from '../../src/record/decode.ts';
import type { UsageRecord } from '../../src/record/usage-record.ts';
import { localTime } from '../../src/reference/local-time.ts';
import { loadNumberingPlan } from '../../src/reference/numbering-plan.ts';
import { parseRules, readRuleFiles, versionOf } from '../../src/rules/load.ts';
import type { Report } from '../measurement.ts';

/** Records drawn and decoded outside the clock before they are applied inside it. */
const CHUNK = 100_000;
const START_AT = Date.UTC(2026, 2, 2);

export function newEngine(rulesFolder = DEFAULTS.rules): Engine {
  const engine = createEngine({ numberingPlan: loadNumberingPlan(numberingPlanFile), localTime: localTime('UTC') });
  const files = readRuleFiles(rulesFolder);
  const problems = engine.useRules(parseRules(files).sources, versionOf(files));
  if (problems.length > 0) throw new Error(`the shipped rules are wrong: ${problems[0]!.message}`);
  return engine;
}

/** Draws the next records and decodes them, as a batch message would be. */
export function nextChunk(source: Iterator<object>, size: number): UsageRecord[] {
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

export async function engineSuite(
  report: Report,
  options: { subscribers?: number; records?: number } = {},
): Promise<void> {
  const subscribers = options.subscribers ?? 1_000_000;
  const measured = options.records ?? 2_000_000;
  for (const distribution of ['uniform', 'zipf'] as const) {
    const engine = newEngine();
    const alerts: AlertData[] = [];
    // Three draws for each subscriber leave 5 % of a uniform population untouched; those come in while measuring.
    const fill = mixedRecords({
      seed: 1,
      subscribers,
      distribution: 'uniform',
      count: subscribers * 3,
      startAt: START_AT,
      recordsPerSecond: 20_000,
    });
    for (let chunk = nextChunk(fill, CHUNK); chunk.length > 0; chunk = nextChunk(fill, CHUNK)) {
      for (const record of chunk) engine.apply(record, alerts);
      alerts.length = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const startAt = engine.maxEventTime();
    const source = mixedRecords({
      seed: 2,
      subscribers,
      distribution,
      count: measured,
      startAt,
      recordsPerSecond: 20_000,
    });
    let seconds = 0;
    let fired = 0;
    let longestMs = 0;
    for (let chunk = nextChunk(source, CHUNK); chunk.length > 0; chunk = nextChunk(source, CHUNK)) {
      const begun = process.hrtime.bigint();
      for (let index = 0; index < chunk.length; index++) engine.apply(chunk[index]!, alerts);
      const elapsed = Number(process.hrtime.bigint() - begun) / 1e9;
      seconds += elapsed;
      longestMs = Math.max(longestMs, (elapsed * 1e3 * 1_000) / chunk.length);
      fired += alerts.length;
      alerts.length = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const stats = engine.stats();
    const variant = distribution;
    report({ metric: 'records_per_second', value: Math.round(measured / seconds), unit: '1/s', subscribers, variant });
    report({
      metric: 'nanoseconds_per_record',
      value: Math.round((seconds / measured) * 1e9),
      unit: 'ns',
      subscribers,
      variant,
    });
    report({
      metric: 'slowest_thousand_records',
      value: Math.round(longestMs * 100) / 100,
      unit: 'ms',
      subscribers,
      variant,
    });
    report({ metric: 'alerts', value: fired, unit: 'count', subscribers, variant });
    report({ metric: 'subscribers_resident', value: stats.subscribers, unit: 'count', subscribers, variant });
    report({
      metric: 'state_bytes_per_subscriber',
      value: Math.round(stats.stateBytes / stats.subscribers),
      unit: 'bytes',
      subscribers,
      variant,
    });
    report({ metric: 'resident_set_bytes', value: residentBytes(), unit: 'bytes', subscribers, variant });
  }
}

/** Resident memory of this process now, in bytes. */
const residentBytes = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
