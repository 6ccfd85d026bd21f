/**
 * What a rule costs: memory of a key, time of a record. Both are measured, because neither follows from the file alone: a window
 * takes what its records fill, and most conditions are over after their first term.
 *
 * A rule is measured alone. Rules that ask for the same window share it, so together they cost less than the sum; and the
 * records are ordinary traffic, which a rule about roaming or lists hardly touches.
 */
import type { AlertData } from '../alerts/alert.ts';
import { createEngine, type Engine, type EngineOptions } from '../engine.ts';
import { mixedRecords } from '../feed/mixed-records.ts';
import { decodeMessage } from '../record/decode.ts';
import type { UsageRecord } from '../record/usage-record.ts';
import type { ReferenceLists } from '../reference/lists.ts';
import { runRuleTest } from '../rule-changes/rule-test.ts';
import { EPISODE_UNITS } from '../rules/compiled-rule.ts';
import { describeProblem } from '../rules/form.ts';
import type { RuleSource } from '../rules/rule.ts';
import { createBlocks, segmentCountOf } from '../state/block.ts';

const UNIT_BYTES = 8;
/** Each segment has an entry in the directory of its block. */
const ENTRY_BYTES = 4;
const START_AT = Date.UTC(2026, 2, 2);
const SUBSCRIBERS = 2_000;
const RECORDS_PER_SECOND = (SUBSCRIBERS * 100) / 86_400;
/** Applied first, to fill the state; then so many groups, of which the one in the middle counts: a pause spoils few. */
const RECORDS_BEFORE = 6_000;
const GROUPS = 11;
const GROUP_RECORDS = 1_000;
/** Records of the whole set, enough to compile what all rules share for all of them. */
const RECORDS_WHOLE = 4_000;

export interface RuleCost {
  /** Bytes that a key takes after the first of the rule's own tests that fires: its windows, and the open alert. */
  bytesPerKey: number;
  /** The same with every pane, list and table of it as long as it may become. */
  mostBytesPerKey: number;
  /** Time of a record with this rule alone, less that without any, on this machine. */
  nanosecondsPerRecord: number;
}

type World = Pick<EngineOptions, 'numberingPlan' | 'localTime'>;

/** Measures rules one after the other, over the same records, in an engine that has run the whole set before. */
export function createRuleCosts(
  all: readonly RuleSource[],
  lists: ReferenceLists | undefined,
  world: World,
): (source: RuleSource) => RuleCost {
  const records = drawnRecords();
  const engineWith = (sources: readonly RuleSource[]): Engine => {
    const engine = createEngine({ ...world, horizonRecords: records.length });
    const problems = engine.useRules([...sources], 'cost', [], lists);
    if (problems.length > 0) throw new Error(describeProblem(problems[0]!));
    return engine;
  };
  // A single rule would be compiled for itself and run faster than it ever does beside others.
  const whole = engineWith(all);
  apply(whole, records, 0, RECORDS_WHOLE);
  const asksModel = new Set(
    whole.ruleSet().rules.flatMap(({ rule, operatorIds }) => {
      const revenue = whole.ruleSet().valuation?.revenue.id;
      return revenue !== undefined && operatorIds.includes(revenue) ? [rule.id] : [];
    }),
  );
  for (const { rule, text } of all) if (/\bdebt\./.test(text)) asksModel.add(rule.id);

  return (source) => {
    const { models: _, ...plain } = source;
    const alone = asksModel.has(source.rule.id) ? source : plain;
    return { ...memoryOf(alone, world), nanosecondsPerRecord: timeOf(engineWith([alone]), engineWith([]), records) };
  };
}

function memoryOf(source: RuleSource, world: World): Pick<RuleCost, 'bytesPerKey' | 'mostBytesPerKey'> {
  const test = source.rule.tests.find(({ expect }) => expect.length > 0) ?? source.rule.tests[0]!;
  const { engine } = runRuleTest(source, test, world);
  const { rules, operators } = engine.ruleSet();
  const ids = new Set([...operators.keys(), ...rules.flatMap(({ episode, suppression }) => [episode, suppression])]);
  const blocks = createBlocks(engine.arena);
  let bytesPerKey = 0;
  engine.arena.walk((address) => {
    const cursor = blocks.bind(address);
    let bytes = 0;
    for (let index = segmentCountOf(cursor) - 1; index >= 0; index--) {
      const id = blocks.segmentIdAt(index);
      if (ids.has(id)) bytes += ENTRY_BYTES + UNIT_BYTES * cursor.segmentUnits[id]!;
    }
    bytesPerKey = Math.max(bytesPerKey, bytes);
  });
  let mostBytesPerKey = ENTRY_BYTES + UNIT_BYTES * EPISODE_UNITS;
  for (const { unitsMax } of operators.values()) mostBytesPerKey += ENTRY_BYTES + UNIT_BYTES * unitsMax;
  return { bytesPerKey, mostBytesPerKey: Math.max(bytesPerKey, mostBytesPerKey) };
}

/** The two engines take turns, group by group, so that whatever else this machine does slows both. */
function timeOf(withRule: Engine, without: Engine, records: readonly UsageRecord[]): number {
  apply(withRule, records, 0, RECORDS_BEFORE);
  apply(without, records, 0, RECORDS_BEFORE);
  const differences: number[] = [];
  for (let from = RECORDS_BEFORE; from < records.length; from += GROUP_RECORDS) {
    const rest = apply(without, records, from, GROUP_RECORDS);
    differences.push(apply(withRule, records, from, GROUP_RECORDS) - rest);
  }
  differences.sort((a, b) => a - b);
  return Math.max(0, Math.round((differences[differences.length >> 1]! / GROUP_RECORDS) * 1e6));
}

/** Milliseconds that these records take. */
function apply(engine: Engine, records: readonly UsageRecord[], from: number, count: number): number {
  const alerts: AlertData[] = [];
  const begun = performance.now();
  for (let index = from; index < from + count; index++) engine.apply(records[index]!, alerts);
  return performance.now() - begun;
}

/** One profile of each subscriber, then what they do, decoded as a batch message would be. */
function drawnRecords(): UsageRecord[] {
  const count = RECORDS_BEFORE + GROUPS * GROUP_RECORDS;
  const raw = [
    ...mixedRecords({
      seed: 1,
      subscribers: SUBSCRIBERS,
      distribution: 'uniform',
      count,
      profilesFirst: true,
      startAt: START_AT,
      recordsPerSecond: RECORDS_PER_SECOND,
    }),
  ];
  const records: UsageRecord[] = [];
  for (let from = 0; from < count; from += 250) {
    const bytes = Buffer.from(JSON.stringify(raw.slice(from, from + 250)));
    for (const record of decodeMessage(bytes, { eventTimeMax: Number.MAX_SAFE_INTEGER }).records) records.push(record);
  }
  return records;
}
