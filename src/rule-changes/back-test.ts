/**
 * A rule as it is in force and as a draft would have it, side by side over the same old records: two engines, each with that
 * rule, the rules that heed it, and what these depend on. What comes out is compared alert by alert, of the changed rule and of
 * the others; whether an alert was right is read from what the desk has found out about its key since.
 */
import type { AlertData, LocalizedText } from '../alerts/alert.ts';
import { caseKeyOf } from '../cases/case-alert.ts';
import type { Verdict } from '../cases/case-event.ts';
import { createEngine, type Engine, type EngineOptions } from '../engine.ts';
import type { UsageRecord } from '../record/usage-record.ts';
import { describeProblem } from '../rules/form.ts';
import { parseRules } from '../rules/load.ts';
import type { Rule } from '../rules/rule.ts';
import type { BackTestExample, BackTestResult } from './change-event.ts';
import { affectedBy, neededFor } from './dependence.ts';

/** Alerts of one side that are remembered, of all its rules; a draft that fires more often is judged by these. */
export const BACK_TEST_ALERTS_MAX = 50_000;
/** Of alerts that are new and of those that are gone. */
export const EXAMPLES_MAX = 50;
const DAY_MS = 86_400_000;
/** Fewer days than an hour's worth would make any rate look absurd. */
const DAYS_MIN = 1 / 24;

/** What the desk has found out: `<key type>|<key value>` of a case to the verdict of its newest outcome. */
export type Verdicts = ReadonlyMap<string, Verdict>;

interface SeenAlert {
  ruleId: string;
  key: AlertData['key'];
  /** Of the first firing and of the end, event time. */
  begin: number;
  end: number;
  severity: AlertData['severity'];
  score: number;
  reason: LocalizedText;
  verdict: Verdict;
}

export interface BackTest {
  /** Undefined while there is room; else the limit that was met. */
  apply(record: UsageRecord): 'alerts' | undefined;
  tick(eventTime: number): void;
  stateBytes(): number;
  records(): number;
  /** @param cut the limit at which reading ended, null where it came to the end */
  result(cut: BackTestResult['cut']): BackTestResult;
}

/** How far back the values of a rule look, as far as that is bounded: so much is read before what counts. */
export function warmUpMs(files: readonly { file: string; text: string }[], ruleId: string, engine: Engine): number {
  const { sources, lists } = parseRules(files);
  const judged = new Set([ruleId, ...affectedBy(sources, ruleId)]);
  engine.useRules(neededFor(sources, judged), '', [], lists);
  const reaches = engine
    .ruleSet()
    .rules.filter(({ rule }) => judged.has(rule.id))
    .map(({ reachMs }) => reachMs);
  return Math.max(0, ...reaches.filter(Number.isFinite));
}

/**
 * @param files the set in force; the draft takes the place of the file of its rule
 * @param days days before the newest record that count; what lies before fills windows
 */
export function createBackTest(options: {
  files: readonly { file: string; text: string }[];
  ruleId: string;
  draft: string;
  days: number;
  verdicts: Verdicts;
  engine: EngineOptions;
}): BackTest {
  const { files, ruleId, draft, days, verdicts } = options;
  const sideOf = (set: readonly { file: string; text: string }[], version: string) => {
    const { sources, lists, problems } = parseRules(set);
    const engine = createEngine(options.engine);
    const wrong = problems.length > 0 ? problems : engine.useRules(neededFor(sources, judged), version, [], lists);
    if (wrong.length > 0) throw new Error(describeProblem(wrong[0]!));
    const source = sources.find(({ rule }) => rule.id === ruleId)!;
    return { engine, rule: source.rule, seen: new Map<string, SeenAlert>() };
  };
  const { sources } = parseRules(files);
  const own = sources.find(({ rule }) => rule.id === ruleId)!;
  const changed = files.map((one) => (one.file === own.file ? { file: one.file, text: draft } : one));
  // A draft may be heeded by others than the rule in force: its catalogue id may be another one.
  const affected = new Set([...affectedBy(sources, ruleId), ...affectedBy(parseRules(changed).sources, ruleId)]);
  const judged: ReadonlySet<string> = new Set([ruleId, ...affected]);
  const now = sideOf(files, 'now');
  const next = sideOf(changed, 'draft');
  type Side = typeof now;
  const alerts: AlertData[] = [];
  let records = 0;
  let firstTime = Number.POSITIVE_INFINITY;

  const note = ({ seen }: Side): void => {
    for (const alert of alerts) {
      if (!judged.has(alert.ruleId)) continue;
      const known = seen.get(alert.alertId);
      if (known === undefined) {
        const { type, value } = caseKeyOf(alert);
        seen.set(alert.alertId, {
          ruleId: alert.ruleId,
          key: alert.key,
          begin: alert.eventTime,
          end: alert.status === 'resolved' ? alert.eventTime : Number.POSITIVE_INFINITY,
          severity: alert.severity,
          score: alert.score,
          reason: alert.reason,
          verdict: verdicts.get(`${type}|${value}`) ?? 'none',
        });
        continue;
      }
      if (alert.status === 'resolved') known.end = alert.eventTime;
      else if (alert.score >= known.score) {
        known.severity = alert.severity;
        known.score = alert.score;
        known.reason = alert.reason;
      }
    }
    alerts.length = 0;
  };

  return {
    records: () => records,
    stateBytes: () => now.engine.stats().stateBytes + next.engine.stats().stateBytes,
    apply(record) {
      records++;
      if (record.eventTime < firstTime) firstTime = record.eventTime;
      for (const side of [now, next]) {
        side.engine.apply(record, alerts);
        if (alerts.length > 0) note(side);
      }
      return now.seen.size > BACK_TEST_ALERTS_MAX || next.seen.size > BACK_TEST_ALERTS_MAX ? 'alerts' : undefined;
    },
    tick(eventTime) {
      for (const side of [now, next]) {
        side.engine.tick(eventTime, alerts);
        if (alerts.length > 0) note(side);
      }
    },
    result(cut) {
      const to = now.engine.maxEventTime();
      const from = Math.max(Math.min(firstTime, to), to - days * DAY_MS);
      const counted = ({ seen }: Side, of: string): SeenAlert[] =>
        [...seen.values()].filter(({ begin, ruleId: one }) => one === of && begin >= from);
      const span = records === 0 ? 0 : Math.max((to - from) / DAY_MS, DAYS_MIN);
      const before = counted(now, ruleId);
      const after = counted(next, ruleId);
      const pairs = paired(before, after);
      const gone = before.filter((alert) => !pairs.has(alert));
      const added = after.filter((alert) => !pairs.has(alert));
      return {
        from: records === 0 ? 0 : from,
        to: records === 0 ? 0 : to,
        days: span,
        records,
        now: figuresOf(before, now.rule, span),
        draft: figuresOf(after, next.rule, span),
        same: before.length - gone.length,
        added: added.length,
        gone: gone.length,
        others: sources.flatMap(({ rule }) =>
          affected.has(rule.id) ? effectOn(rule, counted(now, rule.id), counted(next, rule.id)) : [],
        ),
        cut,
        addedExamples: examplesOf(added),
        goneExamples: examplesOf(gone),
      };
    },
  };
}

/** What became of the alerts of another rule; nothing where they are as they were. */
function effectOn(
  { id, title }: Rule,
  before: readonly SeenAlert[],
  after: readonly SeenAlert[],
): NonNullable<BackTestResult['others']> {
  const pairs = paired(before, after);
  const gone = before.filter((alert) => !pairs.has(alert)).length;
  const added = after.filter((alert) => !pairs.has(alert)).length;
  const changed = after.filter((alert) => {
    const partner = pairs.get(alert);
    return partner !== undefined && (partner.severity !== alert.severity || partner.score !== alert.score);
  }).length;
  if (added + gone + changed === 0) return [];
  return [{ ruleId: id, title, now: judgedOf(before), draft: judgedOf(after), added, gone, changed }];
}

/** Alerts of one key that overlap are the same thing seen by both, each with one partner at most; either leads to the other. */
function paired(before: readonly SeenAlert[], after: readonly SeenAlert[]): Map<SeenAlert, SeenAlert> {
  const byKey = new Map<string, SeenAlert[]>();
  const keyOf = ({ key }: SeenAlert): string => `${key.type}|${key.value}`;
  for (const alert of before) byKey.set(keyOf(alert), [...(byKey.get(keyOf(alert)) ?? []), alert]);
  const pairs = new Map<SeenAlert, SeenAlert>();
  for (const alert of after) {
    const partner = byKey
      .get(keyOf(alert))
      ?.find((one) => !pairs.has(one) && one.begin <= alert.end && alert.begin <= one.end);
    if (partner === undefined) continue;
    pairs.set(partner, alert).set(alert, partner);
  }
  return pairs;
}

const countOf = (alerts: readonly SeenAlert[], verdict: Verdict): number =>
  alerts.reduce((sum, alert) => sum + (alert.verdict === verdict ? 1 : 0), 0);

export const precisionOf = (right: number, wrong: number): number | null =>
  right + wrong === 0 ? null : right / (right + wrong);

function judgedOf(alerts: readonly SeenAlert[]): {
  alerts: number;
  right: number;
  wrong: number;
  precision: number | null;
} {
  const right = countOf(alerts, 'right');
  const wrong = countOf(alerts, 'wrong');
  return { alerts: alerts.length, right, wrong, precision: precisionOf(right, wrong) };
}

function figuresOf(alerts: readonly SeenAlert[], rule: Rule, days: number): BackTestResult['now'] {
  // An alert says severity and score of its band, not which one it was.
  const bandOf = ({ severity, score }: SeenAlert): number => {
    const exact = rule.bands.findLastIndex((band) => band.severity === severity && band.score === score);
    return exact >= 0 ? exact : rule.bands.findLastIndex((band) => band.severity === severity);
  };
  const bands = alerts.map(bandOf);
  return {
    ...judgedOf(alerts),
    alertsPerDay: days === 0 ? 0 : alerts.length / days,
    bands: rule.bands.map(({ severity, score }, index) => ({
      severity,
      score,
      ...judgedOf(alerts.filter((_, at) => bands[at] === index)),
    })),
  };
}

/** The newest first. */
const examplesOf = (alerts: readonly SeenAlert[]): BackTestExample[] =>
  [...alerts]
    .sort((a, b) => b.begin - a.begin)
    .slice(0, EXAMPLES_MAX)
    .map(({ key, begin, severity, reason, verdict }) => ({ key, eventTime: begin, severity, reason, verdict }));
