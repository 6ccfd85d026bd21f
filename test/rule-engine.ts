/**
 * The engine with rules that a test writes as objects, and records with only the fields that matter. Numbers are dialled
 * under the real numbering plan; the operator's clock is UTC.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { numberingPlanFile } from '../src/config.ts';
import { createEngine, type Engine, type EngineMeta, type EngineOptions } from '../src/engine.ts';
import { BLANK_RECORD, type UsageRecord } from '../src/record/usage-record.ts';
import type { ReferenceLists } from '../src/reference/lists.ts';
import { localTime } from '../src/reference/local-time.ts';
import { loadNumberingPlan } from '../src/reference/numbering-plan.ts';
import type { Rule, RuleSource } from '../src/rules/rule.ts';
import { PAGE_UNITS, SIZE_CLASSES } from '../src/state/arena.ts';
import { loadCheckpoint, writeCheckpoint } from '../src/state/checkpoint.ts';

export const BEGIN = Date.parse('2026-03-02T10:00:00Z');
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
export const SUBSCRIBER = '861390000001';

export const numberingPlan = loadNumberingPlan(numberingPlanFile);
export const utc = localTime('UTC');

/** A rule of which only the parts that matter are given. */
export function ruleWith(fields: Partial<Rule>): Rule {
  return {
    id: 'fraud.drawn',
    version: 1,
    catalogue: 'F90',
    status: 'test',
    desk: 'fraud',
    title: { en: 'Drawn', 'zh-CN': '随机' },
    fraudType: 'irsf',
    enabler: 'subscription',
    key: 'subscriber',
    on: 'voice',
    bands: [{ severity: 'warning', if: 'durationSec >= 0', score: 50 }],
    reason: { en: 'drawn', 'zh-CN': '随机' },
    suppress: { for: '1h' },
    tests: [{ name: 'none', steps: [{}], expect: [] }],
    ...fields,
  };
}

/** As if it had been read from a file, but for the positions. */
export const sourceOf = (rule: Rule): RuleSource => ({
  file: `${rule.id}.yaml`,
  text: JSON.stringify(rule),
  rule,
  positionOf: () => ({ line: 1, column: 1 }),
});

/** An engine with these rules in force; rules that are wrong are a failure of the test. Those of files come with their models. */
export function engineWith(
  rules: readonly (Rule | RuleSource)[],
  options: Partial<EngineOptions> = {},
  lists?: ReferenceLists,
): Engine {
  const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024, ...options });
  const problems = engine.useRules(
    rules.map((rule) => ('positionOf' in rule ? rule : sourceOf(rule))),
    'test',
    [],
    lists,
  );
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n'));
  return engine;
}

/** The alerts of these records, in order. */
export function applyAll(engine: Engine, records: Iterable<UsageRecord>): AlertData[] {
  const alerts: AlertData[] = [];
  for (const record of records) engine.apply(record, alerts);
  return alerts;
}

/** Lets time pass on the whole partition until so long after BEGIN, and fires what is due. */
export function pass(engine: Engine, at: number, latenessMs = 5 * MINUTE_MS): AlertData[] {
  const alerts: AlertData[] = [];
  engine.tick(BEGIN + at + latenessMs, alerts);
  while (engine.fireTimers(1_000, alerts) > 0);
  return alerts;
}

/**
 * The same state in a new engine, as a restart finds it; with the same rules, or with those that `sourcesOf` makes of the
 * checkpoint.
 */
export function restarted(
  engine: Engine,
  horizonRecords = 1_024,
  sourcesOf: (meta: EngineMeta) => RuleSource[] = () => engine.ruleSet().sources,
): Engine {
  const cut = engine.cut();
  const next = createEngine({ numberingPlan, localTime: utc, horizonRecords });
  const bytes = new Uint8Array(PAGE_UNITS * 8);
  for (let page = 0; page < cut.arena.pages; page++) {
    const { sizeClass, used } = cut.arena.take(page, bytes);
    next.arena.restorePage(sizeClass, used, bytes.subarray(0, used * SIZE_CLASSES[sizeClass]! * 8));
  }
  const meta = JSON.parse(JSON.stringify(cut.meta)) as EngineMeta;
  expect(next.restore(meta, sourcesOf(meta), cut.names.slice(), cut.duplicates)).toEqual([]);
  cut.release();
  return next;
}

/** The same through files. */
export async function restartedFromDisk(engine: Engine, horizonRecords = 1_024): Promise<Engine> {
  const directory = await mkdtemp(join(tmpdir(), 'ringfence-engine-'));
  try {
    const cut = engine.cut();
    await writeCheckpoint(directory, { stream: 'USAGE', streamCreated: '', sequence: 1 }, cut);
    cut.release();
    const next = createEngine({ numberingPlan, localTime: utc, horizonRecords });
    const { checkpoint } = await loadCheckpoint<EngineMeta>(directory, next.pageMemory);
    const { meta, names, duplicates } = checkpoint!;
    expect(next.restore(meta, engine.ruleSet().sources, names, duplicates)).toEqual([]);
    return next;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

let recordsMade = 0;

/** `at` counts from BEGIN in ms. */
export function recordAt(at: number, fields: Partial<UsageRecord> = {}): UsageRecord {
  recordsMade++;
  return {
    ...BLANK_RECORD,
    recordId: `r-${recordsMade}`,
    recordType: 'voice',
    eventTime: BEGIN + at,
    servedMsisdn: SUBSCRIBER,
    direction: 'mo',
    otherNumber: '8613700000000',
    durationMs: 60_000,
    ...fields,
  };
}

/** What an alert says in one line: severity, status, minutes after BEGIN. */
export const lineOf = ({ severity, status, eventTime, revision }: AlertData): string =>
  `${revision} ${severity} ${status} ${(eventTime - BEGIN) / MINUTE_MS}`;
