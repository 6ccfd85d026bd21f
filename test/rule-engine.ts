/**
 * The engine with rules that a test writes as objects, and records with only the fields that matter. Numbers are dialled
 * under the real numbering plan; the operator's clock is UTC.
 */
import type { AlertData } from '../src/alerts/alert.ts';
import { numberingPlanFile } from '../src/config.ts';
import { createEngine, type Engine, type EngineOptions } from '../src/engine.ts';
import { BLANK_RECORD, type UsageRecord } from '../src/record/usage-record.ts';
import type { ReferenceLists } from '../src/reference/lists.ts';
import { localTime } from '../src/reference/local-time.ts';
import { loadNumberingPlan } from '../src/reference/numbering-plan.ts';
import type { Rule, RuleSource } from '../src/rules/rule.ts';

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

/** An engine with these rules in force; rules that are wrong are a failure of the test. */
export function engineWith(
  rules: readonly Rule[],
  options: Partial<EngineOptions> = {},
  lists?: ReferenceLists,
): Engine {
  const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024, ...options });
  const problems = engine.useRules(rules.map(sourceOf), 'test', [], lists);
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n'));
  return engine;
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
