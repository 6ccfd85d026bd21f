/**
 * Runs the tests that stand in a rule file through the real engine, with that rule alone. Time is what the test says it is.
 */
import type { AlertData } from '../alerts/alert.ts';
import { createEngine, type Engine, type EngineOptions, LATENESS_MS_DEFAULT } from '../engine.ts';
import { decodeMessage } from '../record/decode.ts';
import type { AlertNote } from '../record/usage-record.ts';
import { EMPTY_LIST, listFile, listText, parseLists } from '../reference/lists.ts';
import { parseDuration } from '../rules/expression.ts';
import { describeProblem } from '../rules/form.ts';
import { isOff, type RuleSource, type RuleTest, type RuleTestStep } from '../rules/rule.ts';

const BEGIN_DEFAULT = '2026-03-02T10:00:00Z';
/** The subscriber of a test record that names none; the number is from a range that no operator assigns. */
const SUBSCRIBER_DEFAULT = '861390000001';

export interface RuleTestResult {
  ruleId: string;
  catalogue: string;
  test: string;
  ok: boolean;
  /** What was expected and what came, where it failed. */
  detail: string;
}

export function runRuleTests(
  source: RuleSource,
  options: Pick<EngineOptions, 'numberingPlan' | 'localTime'>,
): RuleTestResult[] {
  return source.rule.tests.map((test) => {
    const { detail } = runRuleTest(source, test, options);
    return { ruleId: source.rule.id, catalogue: source.rule.catalogue, test: test.name, ok: detail === '', detail };
  });
}

/** Runs one test; `detail` says what went wrong, and the engine is as the test left it. */
export function runRuleTest(
  source: RuleSource,
  test: RuleTest,
  options: Pick<EngineOptions, 'numberingPlan' | 'localTime'>,
): { engine: Engine; detail: string } {
  const engine = createEngine({ ...options, horizonRecords: 16_384 });
  const files = Object.entries(test.lists ?? {}).map(([name, rows]) => ({
    file: listFile(name),
    text: listText(rows),
  }));
  const read = parseLists(files);
  // A list that the test does not bring is empty, whatever the folder holds: its rows are the operator's.
  const lists = { ...read.lists, get: (name: string) => read.lists.get(name) ?? EMPTY_LIST };
  // One that is off is tested as it would run.
  const tested = isOff(source.rule) ? { ...source, rule: { ...source.rule, status: 'stable' as const } } : source;
  const problems = read.problems.length > 0 ? read.problems : engine.useRules([tested], 'test', [], lists);
  return { engine, detail: problems.length > 0 ? describeProblem(problems[0]!) : applySteps(engine, source, test) };
}

function applySteps(engine: Engine, source: RuleSource, test: RuleTest): string {
  const begin = Date.parse(test.begin ?? BEGIN_DEFAULT);
  if (Number.isNaN(begin)) return `'begin' is no RFC 3339 time: ${test.begin}`;
  const alerts: AlertData[] = [];
  let now = begin;
  let count = 0;
  const timeOf = (text: string): number => {
    const offset = parseDuration(text);
    return offset === undefined ? Date.parse(text) : begin + offset;
  };

  for (const step of test.steps) {
    if (step.at !== undefined) now = timeOf(step.at);
    if (Number.isNaN(now)) return `'at' is neither a duration nor an RFC 3339 time: ${step.at}`;
    if (step.advance !== undefined) {
      now += parseDuration(step.advance)!;
      // The watermark trails the largest event time by the allowed lateness.
      engine.tick(now + LATENESS_MS_DEFAULT, alerts);
      while (engine.fireTimers(1_000, alerts) > 0);
    }
    const everyMs = parseDuration(step.every ?? '1s')!;
    const repeat = step.repeat ?? 1;
    for (let n = 1; n <= repeat; n++) {
      if (n > 1) now += everyMs;
      for (const fields of recordsOf(step)) {
        count++;
        const raw = {
          recordId: `test-${count}`,
          eventTime: now,
          servedMsisdn: SUBSCRIBER_DEFAULT,
          // An alert that a timer made has no record behind it; only the fields of its key are given.
          ...(step.alert === undefined ? {} : { recordType: 'account', event: 'profile', attributes: {} }),
          ...numbered(fields, n, timeOf),
        };
        const { records, rejections } = decodeMessage(Buffer.from(JSON.stringify(raw)), {
          eventTimeMax: Number.MAX_SAFE_INTEGER,
        });
        const rejection = rejections[0];
        if (rejection !== undefined) return `record ${count} is not valid: ${rejection.detail}`;
        if (step.alert === undefined) engine.apply(records[0]!, alerts);
        else engine.applyAlert(records[0]!, noteOf(step.alert), alerts);
      }
    }
  }

  const withResolved = test.expect.some((expected) => expected.status === 'resolved');
  const revisions = alerts.filter(
    (alert) => alert.ruleId === source.rule.id && (withResolved || alert.status === 'firing'),
  );
  const shown = (alert: AlertData): string =>
    `${alert.severity} ${alert.status} after ${(alert.eventTime - begin) / 1000} s: ${alert.reason.en}`;
  if (revisions.length !== test.expect.length) {
    return `expected ${test.expect.length} alerts, got ${revisions.length}${revisions.length > 0 ? `: ${revisions.map(shown).join('; ')}` : ''}`;
  }
  for (const [index, expected] of test.expect.entries()) {
    const alert = revisions[index]!;
    const wrong =
      (expected.severity !== undefined && expected.severity !== alert.severity) ||
      (expected.status !== undefined && expected.status !== alert.status) ||
      (expected.key !== undefined && expected.key !== alert.key.value) ||
      (expected.at !== undefined && timeOf(expected.at) !== alert.eventTime) ||
      (expected.reason !== undefined && !alert.reason.en.includes(expected.reason));
    if (wrong)
      return `alert ${index + 1}: expected ${JSON.stringify(expected)}, got ${shown(alert)} (key ${alert.key.value})`;
  }
  return '';
}

/** The alert that a step gives, with an ordinary one in place of what it leaves out. */
const noteOf = (alert: NonNullable<RuleTestStep['alert']>): AlertNote => ({
  ruleId: alert.rule ?? '',
  catalogue: alert.catalogue ?? '',
  severity: alert.severity ?? 'warning',
  desk: alert.desk ?? 'fraud',
  score: alert.score ?? 50,
  revision: alert.revision ?? 1,
});

const recordsOf = (step: RuleTestStep): Record<string, unknown>[] => [
  ...(step.record === undefined ? [] : [step.record]),
  ...(step.records ?? []),
  ...(step.alert !== undefined && step.record === undefined && step.records === undefined ? [{}] : []),
];

/**
 * `{n}` in a text becomes the number of the repetition, `{n:4}` with leading zeros to four digits; a text that is `+10d` becomes
 * the time so long after the begin, for due dates.
 */
function numbered(
  fields: Record<string, unknown>,
  n: number,
  timeOf: (text: string) => number,
): Record<string, unknown> {
  const value = (input: unknown): unknown => {
    if (typeof input === 'string') {
      if (input.startsWith('+') && parseDuration(input.slice(1)) !== undefined) return timeOf(input.slice(1));
      if (input.startsWith('-') && parseDuration(input.slice(1)) !== undefined)
        return 2 * timeOf('0s') - timeOf(input.slice(1));
      return input.replaceAll('{n}', String(n)).replaceAll('{n:4}', String(n).padStart(4, '0'));
    }
    if (input !== null && typeof input === 'object' && !Array.isArray(input))
      return numbered(input as Record<string, unknown>, n, timeOf);
    return input;
  };
  return Object.fromEntries(Object.entries(fields).map(([key, input]) => [key, value(input)]));
}
