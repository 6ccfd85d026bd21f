import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { createEngine } from '../src/engine.ts';
import { FEATURES_PER_RULE_MAX } from '../src/rules/features.ts';
import { describeProblem, type RuleProblem } from '../src/rules/form.ts';
import { parseRules } from '../src/rules/load.ts';
import type { Registry } from '../src/rules/registry.ts';
import { inBothLanguages, type Rule, type RuleFeature } from '../src/rules/rule.ts';
import { compileRuleSet, RULES_MAX } from '../src/rules/rule-set.ts';
import { OPERATORS_MAX } from '../src/state/block.ts';
import { createCalibration } from '../src/state/calibration.ts';
import { createNames } from '../src/state/key-table.ts';
import { createRankings } from '../src/state/rankings.ts';
import {
  BEGIN,
  DAY_MS,
  engineWith,
  HOUR_MS,
  MINUTE_MS,
  numberingPlan,
  recordAt,
  ruleWith,
  SUBSCRIBER,
  sourceOf,
  utc,
} from './rule-engine.ts';
import { placeOf, ruleText } from './rule-text.ts';

/** A right rule; tests change one place of it. */
const RIGHT = ruleText(`params: { most: 10, wait: 7d, risky: ['371', '53'] }
features:
  calls: { aggregate: count, window: 1h }
  seconds: { aggregate: sum, of: durationSec, window: 1h }
  lastAt: { aggregate: lastAt }
  share: { value: seconds / calls }
evaluateAt: lastAt + wait
bands:
  - { severity: warning, if: calls >= most, score: 50 }
  - { severity: critical, if: calls >= 2 * most && share > 30, score: 90 }
reason: { en: "{calls} calls, threshold {threshold}", zh-CN: "{calls}次，阈值{threshold}" }
suppress: { for: 1h }
tests:
  - { name: fires, steps: [{ record: { recordType: voice } }], expect: [] }
`);

function problemsOf(...texts: string[]): RuleProblem[] {
  const { sources, problems } = parseRules(texts.map((text, index) => ({ file: `${'fgh'[index]}.yaml`, text })));
  if (problems.length > 0) return expect.fail(problems.map(describeProblem).join('\n'));
  return createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 }).checkRules(sources);
}

describe('a rule set', () => {
  test('that is right has no problems', () => {
    expect(problemsOf(RIGHT)).toEqual([]);
  });

  test('takes notes on false positives in both languages, or in one for both', () => {
    const notes = 'falsePositives: [a campaign, { en: a fair, zh-CN: 展会 }]';
    const { sources, problems } = parseRules([{ file: 'f.yaml', text: `${RIGHT}${notes}\n` }]);
    expect(problems).toEqual([]);
    expect(sources[0]!.rule.falsePositives!.map(inBothLanguages)).toEqual([
      { en: 'a campaign', 'zh-CN': 'a campaign' },
      { en: 'a fair', 'zh-CN': '展会' },
    ]);
    const half = parseRules([{ file: 'f.yaml', text: `${RIGHT}falsePositives: [{ en: a fair }]\n` }]);
    expect(half.problems.map(({ message }) => message)).toEqual(["missing key 'zh-CN' in 'falsePositives.0'"]);
  });

  test.each<[from: string, to: string, message: string, at?: string]>([
    // What is changed, into what, message. ¦ marks the place of the error: in the new text, or else in the last column.
    ["where: direction == 'mo'", "where: ¦dirction == 'mo'", "'dirction' is not known here; did you mean 'direction'?"],
    [
      "where: direction == 'mo'",
      "where: direction == 'mo' && ¦calls > 2",
      "'calls' is not known here; did you mean 'callId'?",
    ],
    ["where: direction == 'mo'", 'where: ¦durationSec', "expected a boolean, 'durationSec' is a number"],
    ["where: direction == 'mo'", "where: direction ¦'mo'", "unexpected 'mo'"],
    ["where: direction == 'mo'", 'where: "direction == ¦\'mo"', 'the text is not closed'],
    ["where: direction == 'mo'", 'where: direction in ¦otherNumber', 'the items of a list must be fixed values'],
    ['of: durationSec', 'of: ¦durationSecs', "'durationSecs' is not known here; did you mean 'durationSec'?"],
    ['of: durationSec', 'of: durationSec ¦+ 1d', 'number + duration means nothing'],
    ['value: seconds / calls', 'value: seconds / ¦cals', "'cals' is not known here; did you mean 'calls'?"],
    ['value: seconds / calls', 'value: seconds ¦/ lastAt', 'number / time means nothing'],
    ['if: calls >= most', 'if: calls ¦>= wait', "a number cannot be compared with a duration ('(calls>=wait)')"],
    ['if: calls >= most', 'if: knownFor ¦>= 7', "a duration cannot be compared with a number ('(knownFor>=7)')"],
    ['if: calls >= most', 'if: "knownFor ¦>= 7"', "a duration cannot be compared with a number ('(knownFor>=7)')"],
    ['if: calls >= most', 'if: ¦calls', "expected a boolean, 'calls' is a number"],
    ['if: calls >= most', 'if: ¦ledger.overdue > 0', "'ledger.overdue' is not known here"],
    ['if: calls >= most', 'if: destinationPrefix in risky && ¦risky == 2', "'risky' is a list: use it after 'in'"],
    ['evaluateAt: lastAt + wait', 'evaluateAt: ¦wait', "expected a time, 'wait' is a duration"],
    ['evaluateAt: lastAt + wait', 'evaluateAt: [lastAt + wait, ¦lastTime + 1d]', "'lastTime' is not known here"],
    ['{calls} calls', '{¦cals} calls', "'cals' is not known here; did you mean 'calls'?"],
    ['{calls}次', '{¦call}次', "'call' is not known here; did you mean 'calls'?"],
    ['阈值{threshold}', '阈值¦{threshold', "'{' is not closed"],
    // What windows and aggregates need.
    ['{ aggregate: sum, of: durationSec, window: 1h }', '¦{ aggregate: sum, window: 1h }', "sum needs 'of', a number"],
    [
      '{ aggregate: sum, of: durationSec, window: 1h }',
      '¦{ aggregate: sum, of: cellId, window: 1h }',
      "sum needs 'of', a number",
    ],
    ['{ aggregate: count, window: 1h }', '¦{ aggregate: count }', "count needs 'window'"],
    ['{ aggregate: lastAt }', '¦{ aggregate: last }', "last needs 'of'"],
    [
      '{ aggregate: lastAt }',
      '{ aggregate: lastAt, while: ¦cals > 2 }',
      "'cals' is not known here; did you mean 'calls'?",
    ],
    ['{ aggregate: lastAt }', '{ aggregate: lastAt, while: ¦calls }', "expected a boolean, 'calls' is a number"],
    [
      '{ aggregate: count, window: 1h }',
      '¦{ aggregate: modeCount, window: 1h }',
      "modeCount needs 'of', a text or number",
    ],
    [
      '{ aggregate: count, window: 1h }',
      '¦{ aggregate: neighbourShare, of: durationSec, window: 1h }',
      "neighbourShare needs 'of', a text of digits",
    ],
    ['{ aggregate: count, window: 1h }', '¦{ aggregate: passedOn, of: charge, window: 1h }', "passedOn needs 'within'"],
    [
      '{ aggregate: lastAt }',
      '¦{ aggregate: hourOfWeekMean, of: cellId }',
      "hourOfWeekMean needs a number as 'of', or none to count records",
    ],
    ['{ aggregate: lastAt }', '¦{ aggregate: changedAt }', "changedAt needs 'of', a text or number"],
    ['{ aggregate: lastAt }', '¦{ aggregate: sequence }', "sequence needs 'steps'"],
    [
      '{ aggregate: lastAt }',
      "¦{ aggregate: sequence, steps: [{ where: direction == 'mo', count: 2 }, { where: direction == 'mt' }] }",
      "sequence needs 'within' in a first step that counts",
    ],
    [
      '{ aggregate: lastAt }',
      "{ aggregate: sequence, steps: [{ where: direction == 'mo' }, { where: ¦dirction == 'mt' }] }",
      "'dirction' is not known here; did you mean 'direction'?",
    ],
    [
      '{ aggregate: lastAt }',
      "{ aggregate: lastAt, steps: ¦[{ where: direction == 'mo' }, { where: direction == 'mt' }] }",
      "'steps' belong to a sequence, and take the place of 'where'",
    ],
    [
      '{ aggregate: lastAt }',
      "{ aggregate: sequence, steps: [{ where: direction == 'mo', count: ¦wait, within: 1h }, { where: direction == 'mt' }] }",
      "'wait' is no parameter that holds a number",
    ],
    [
      '{ aggregate: lastAt }',
      "{ aggregate: sequence, steps: [{ where: direction == 'mo' }, { where: direction == 'mt', within: ¦most }] }",
      "'most' is no parameter that holds a duration",
    ],
    ['{ aggregate: lastAt }', '¦{ aggregate: longCalls, window: 1h }', "longCalls needs 'longerThan'"],
    [
      '{ aggregate: lastAt }',
      '{ aggregate: longCalls, window: 1h, longerThan: ¦most }',
      "'most' is no parameter that holds a duration",
    ],
    [
      'aggregate: lastAt }',
      "aggregate: lastAt, resetBy: { on: ¦voice, where: direction == 'mt' } }",
      'a record cannot both count and begin the count anew: other record types are needed',
    ],
    [
      '{ aggregate: lastAt }',
      '¦{ aggregate: run, of: otherNumber, among: durationSec > 0, window: 1h }',
      "run counts records of a key 'subscriber+prefix'",
    ],
    [
      '{ aggregate: count, window: 1h }',
      '¦{ aggregate: distinct, of: zeroRated, window: 1h }',
      "distinct needs 'of', a text or number",
    ],
    [
      '{ aggregate: count, window: 1h }',
      '{ aggregate: count, of: ¦durationSec, window: 1h }',
      "count takes no 'of'; use 'where'",
    ],
    ['{ aggregate: count, window: 1h }', '¦{ window: 1h }', "'calls' needs 'aggregate' or 'value'"],
    [
      '{ value: seconds / calls }',
      '¦{ value: seconds / calls, aggregate: count }',
      "'value' and 'aggregate' exclude each other",
    ],
    [
      'count, window: 1h',
      'count, window: ¦10s',
      '10s over 12 panes gives panes of 833.3333333333334 ms; whole seconds are needed',
    ],
    ['count, window: 1h', 'count, window: ¦6s', '6s over 12 panes gives panes of 500 ms; whole seconds are needed'],
    ['count, window: 1h', 'count, window: ¦0s', '0s over 12 panes gives panes of 0 ms; whole seconds are needed'],
    [
      'count, window: 1h',
      'baselineMean, window: ¦36h',
      '36h over 1.5 panes gives panes of 86400000 ms; whole seconds are needed',
    ],
    ['count, window: 1h', 'count, window: 1h, before: ¦7m', "'before' must be a multiple of the pane length (300 s)"],
    [
      'count, window: 1h',
      'dailyMean, window: 1d, panes: ¦1',
      'a daily mean needs two panes: of one that has just begun there is no rate',
    ],
    [
      'count, window: 1h',
      'distinct, of: cellId, window: 1h, panes: ¦20, before: 1h',
      "a distinct count takes at most 32 panes with 'before'",
    ],
    ['count, window: 1h', 'topCount, of: cellId, window: 1h', "topCount needs 'top': how many values", 'calls: ¦{'],
    ['count, window: 1h', 'topLeft, of: durationSec, window: 1h, top: 3', "topLeft needs 'of', a text", 'calls: ¦{'],
    ['count, window: 1h', 'topLeft, of: cellId, top: 3', "topLeft needs 'window'", 'calls: ¦{'],
    ['count, window: 1h', 'topCount, of: cellId, window: 1h, top: 3, panes: 12', 'topCount has 8 panes', 'calls: ¦{'],
    [
      'count, window: 1h',
      'topCount, of: cellId, window: 4s, top: 3',
      'topCount needs panes of whole milliseconds, 1 s at least',
      'calls: ¦{',
    ],
    ['count, window: 1h', 'heldMax, of: charge', "heldMax needs 'window'", 'calls: ¦{'],
    ['count, window: 1h', 'heldMin, of: cellId, window: 1h', "heldMin needs 'of', a number", 'calls: ¦{'],
    [
      'suppress: { for: 1h }',
      'suppress: { for: 1h, by: account, falls: ¦true }',
      "'falls' is about the alert of one key; with 'by' several keys share one",
    ],
    ['count, window: 1h', 'distinct, of: cellId, window: 2h, panes: ¦72', 'a distinct count takes at most 60 panes'],
    [
      'count, window: 1h',
      'count, window: 1000m, panes: ¦1000, before: 1000m',
      'the window reaches over 2000 panes; at most 1024',
    ],
    // What a rule needs.
    ['id: fraud.burst', 'id: ¦arrears.burst', "the id must begin with its desk 'fraud.'"],
    ['fraudType: irsf\n', '', "a fraud rule needs both axes, 'fraudType' and 'enabler'", 'id: ¦fraud.burst'],
    ['on: voice\n', '', "'calls' needs 'on': the record types that it looks at (or the rule does)", 'calls: ¦{'],
    ['params: { most: 10', 'params: { amount: ¦3, most: 10', "'amount' is a field of the record already"],
    ['params: { most: 10', 'params: { share: 3, most: 10', "'share' is a parameter already", 'share: ¦{ value'],
    ['severity: critical,', 'severity: ¦info,', 'bands must rise in severity'],
    ['evaluateAt: lastAt + wait', 'evaluateEvery: ¦10s', 'at least 1m: every key pays for it'],
    ['evaluateAt: lastAt + wait', 'evaluateEvery: ¦0s', 'at least 1m: every key pays for it'],
    ['suppress: { for: 1h }', 'suppress: { for: ¦0s }', 'at least 1s, or an episode would end as it begins'],
  ])('%j -> %j: %s', (from, to, message, at) => {
    expect(RIGHT).toContain(from);
    const text = RIGHT.replace(from, () => to.replace('¦', ''));
    expect(problemsOf(text)).toContainEqual({ file: 'f.yaml', ...placeOf(at ?? to, text), message });
  });

  test('shows everything that is wrong at once, each with its file', () => {
    const first = RIGHT.replace('of: durationSec', 'of: durationSecs').replace(
      'if: calls >= most',
      'if: calls >= wait',
    );
    const second = RIGHT.replace("direction == 'mo'", 'direction == 1');
    const problems = problemsOf(first, second);
    expect(problems.map(({ file, message }) => `${file} ${message}`)).toEqual(
      expect.arrayContaining([
        "f.yaml 'durationSecs' is not known here; did you mean 'durationSec'?",
        "f.yaml a number cannot be compared with a duration ('(calls>=wait)')",
        "g.yaml a text cannot be compared with a number ('(direction==1)')",
        "g.yaml the id 'fraud.burst' is used by f.yaml already",
      ]),
    );
    expect(new Set(problems.map(describeProblem)).size).toBe(problems.length);
  });

  const quiet = (fields: Partial<Rule>): Rule =>
    ruleWith({ bands: [{ severity: 'info', if: 'durationSec < 0', score: 0 }], ...fields });
  const check = (rules: readonly Rule[]): string[] =>
    createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 })
      .checkRules(rules.map(sourceOf))
      .map(({ file, message }) => `${file}: ${message}`);

  test('has limits that are problems, not exceptions', () => {
    const counts = (count: number, make: (index: number) => RuleFeature): Record<string, RuleFeature> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, make(index)]));
    const hour = (index: number): RuleFeature => ({
      aggregate: 'count',
      window: '1h',
      where: `durationSec > ${index}`,
    });
    expect(check([quiet({ features: counts(FEATURES_PER_RULE_MAX + 1, hour) })])).toEqual([
      `fraud.drawn.yaml: more than ${FEATURES_PER_RULE_MAX} features`,
    ]);
    // 32 columns of 1,000 panes are more than one list can hold.
    expect(
      check([
        quiet({
          features: counts(32, (index) => ({
            aggregate: 'sum',
            of: `durationSec + ${index}`,
            window: '1000m',
            panes: 1_000,
          })),
        }),
      ])[0],
    ).toBe('fraud.drawn.yaml: 1000 panes of 32 values each are too many');
    // Seventeen sketches of 60 panes are more than one block.
    const sketches = (count: number) =>
      quiet({
        features: counts(count, (index) => ({
          aggregate: 'distinct',
          of: 'otherNumber',
          window: '1h',
          panes: 60,
          where: `durationSec > ${index}`,
        })),
      });
    expect(check([sketches(16)])).toEqual([]);
    expect(check([sketches(17)])).toEqual([
      "fraud.drawn.yaml: the windows of all rules of key 'subscriber', 'account', 'imsi', 'imei' may take 1025 KiB in all; at most 1024",
    ]);
    const many = (count: number): Rule[] =>
      Array.from({ length: count }, (_, index) => quiet({ id: `fraud.r${index}` }));
    expect(check(many(RULES_MAX))).toEqual([]);
    expect(check(many(RULES_MAX + 1))).toEqual([`fraud.r${RULES_MAX}.yaml: more than ${RULES_MAX} rules`]);
    const thick = Array.from({ length: 140 }, (_, index) =>
      quiet({
        id: `fraud.r${index}`,
        key: (['cell', 'imei', 'imsi', 'trunk'] as const)[index % 4]!,
        features: counts(32, (n) => ({ aggregate: 'sinceLast', where: `durationSec > ${index * 32 + n}` })),
      }),
    );
    expect(check(thick)).toEqual([
      `fraud.r139.yaml: with the rules before, more than ${OPERATORS_MAX} different features have been asked for`,
    ]);
  });

  test('a rule without records to look at is refused', () => {
    const { on: _, ...rule } = quiet({ bands: [{ severity: 'info', if: 'knownFor > 1d', score: 0 }] });
    expect(check([rule as Rule])).toEqual(["fraud.drawn.yaml: nothing triggers this rule: give it 'on' or features"]);
  });
});

describe('state is shared', () => {
  const idsOf = (...rules: Rule[]): (number | undefined)[] =>
    engineWith(rules)
      .ruleSet()
      .rules.flatMap(({ features }) => features.map(({ entry }) => entry?.id));
  const rule = (id: number, features: Record<string, RuleFeature>, fields: Partial<Rule> = {}): Rule =>
    ruleWith({
      id: `fraud.r${id}`,
      features,
      bands: [
        {
          severity: 'info',
          if: Object.keys(features)
            .map((name) => `has(${name})`)
            .join(' && '),
          score: 1,
        },
      ],
      ...fields,
    });
  const hour: RuleFeature = { aggregate: 'count', window: '1h' };

  test.each<[boolean, RuleFeature, RuleFeature]>([
    // shared or not
    [true, hour, { aggregate: 'count', window: '1h' }],
    [true, hour, { aggregate: 'sum', of: 'durationSec', window: '2h', panes: 24 }],
    [true, hour, { aggregate: 'max', of: 'charge', window: '5m', panes: 1, before: '5m' }],
    [
      true,
      { ...hour, where: "direction=='mo'&&durationSec>0" },
      { ...hour, where: "(direction == 'mo') && durationSec > 0" },
    ],
    [true, { ...hour, on: ['voice', 'sms'] }, { ...hour, on: ['sms', 'voice'] }],
    [true, { aggregate: 'lastAt' }, { aggregate: 'sinceLast' }],
    [true, { aggregate: 'callDuration' }, { aggregate: 'callStartAt' }],
    [false, hour, { ...hour, panes: 60 }],
    [false, hour, { ...hour, where: 'durationSec > 0' }],
    [false, { ...hour, where: 'durationSec > 0' }, { ...hour, where: 'durationSec > 1' }],
    [false, hour, { ...hour, on: ['voice', 'sms'] }],
    [false, { aggregate: 'last', of: 'cellId' }, { aggregate: 'last', of: 'servedImei' }],
    [
      false,
      { aggregate: 'distinct', of: 'cellId', window: '1h' },
      { aggregate: 'distinct', of: 'cellId', window: '2h', panes: 24 },
    ],
  ])('%s: %j and %j', (shared, one, other) => {
    const [first, second] = idsOf(rule(1, { one }), rule(2, { other }));
    expect(first === second).toBe(shared);
  });

  test('but not between kinds of keys', () => {
    const [first, second] = idsOf(rule(1, { hour }), rule(2, { hour }, { key: 'account' }));
    expect(first).not.toBe(second);
  });

  test('but not where a parameter of the same name has another value', () => {
    const sum: RuleFeature = { aggregate: 'sum', of: 'durationSec * factor', window: '1h' };
    const twice = [2, 3].map((factor, id) => rule(id, { sum }, { params: { factor } }));
    const engine = engineWith(twice);
    const alerts: AlertData[] = [];
    engine.apply(recordAt(0, { durationMs: 10_000 }), alerts);
    expect(alerts.map(({ evidence }) => evidence[0]!.value)).toEqual([20, 30]);
    const where = [5, 20].map((least, id) =>
      rule(id, { n: { ...hour, where: 'durationSec >= least' } }, { params: { least } }),
    );
    const [first, second] = idsOf(...where);
    expect(first).not.toBe(second);
  });
});

describe('the registry of operators', () => {
  const compile = (registry: Registry, since: number, ...rules: Rule[]) => {
    const result = compileRuleSet(rules.map(sourceOf), '', {
      registry,
      names: createNames(),
      localTime: utc,
      lists: undefined,
      rankings: createRankings({ localTime: utc, latenessMs: 0 }),
      calibration: createCalibration(),
      since,
    });
    if ('problems' in result) throw new Error(result.problems.map(({ message }) => message).join());
    return result.ruleSet;
  };
  const rule = (id: number, features: Record<string, RuleFeature>): Rule => ruleWith({ id: `fraud.r${id}`, features });
  const hour: RuleFeature = { aggregate: 'count', window: '1h' };

  test('gives the same thing the same number for ever, and a new thing a new one', () => {
    const registry: Registry = new Map();
    compile(registry, 0, rule(1, { hour }));
    const before = new Map([...registry].map(([signature, { id }]) => [signature, id]));
    compile(registry, 500, rule(2, { day: { aggregate: 'count', window: '1d', panes: 24 } }), rule(1, { hour }));
    for (const [signature, id] of before) expect(registry.get(signature)!.id).toBe(id);
    const ids = [...registry.values()].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });

  test('knows since when a feature, a column and a longer reach have been filled', () => {
    const registry: Registry = new Map();
    const entry = () => [...registry.values()].find(({ reach }) => reach > 0)!;
    compile(registry, 0, rule(1, { hour }));
    expect(entry()).toMatchObject({ since: 0, columns: [], reach: 12 });
    compile(registry, 7 * HOUR_MS, rule(1, { hour, sum: { aggregate: 'sum', of: 'durationSec', window: '1h' } }));
    expect(entry()).toMatchObject({ since: 0, columns: ['sum:durationSec'], columnsSince: [7 * HOUR_MS] });
    // Two hours reach back further than the one hour that was kept until now.
    compile(registry, 9 * HOUR_MS, rule(1, { hour, two: { aggregate: 'count', window: '2h', panes: 24 } }));
    expect(entry()).toMatchObject({ since: 8 * HOUR_MS, columnsSince: [null], reach: 24 });
    compile(registry, 10 * HOUR_MS, rule(2, { day: { aggregate: 'count', window: '1d', panes: 24 } }));
    expect(entry()).toMatchObject({ since: null });
    compile(registry, 11 * HOUR_MS, rule(1, { hour, sum: { aggregate: 'sum', of: 'durationSec', window: '1h' } }));
    expect(entry()).toMatchObject({ since: 11 * HOUR_MS, columnsSince: [11 * HOUR_MS], reach: 12 });
  });

  test('is left as it was by a set that is wrong', () => {
    const registry: Registry = new Map();
    compile(registry, 0, rule(1, { hour }));
    const before = JSON.stringify([...registry]);
    expect(() =>
      compile(registry, 5, rule(2, { day: { aggregate: 'count', window: '1d' } }), ruleWith({ where: 'nonsense' })),
    ).toThrow('nonsense');
    expect(JSON.stringify([...registry])).toBe(before);
  });

  test('a value that is new in a list of panes has no past: a baseline waits for samples of its own', () => {
    const daily = (fields: Record<string, RuleFeature>): Rule =>
      ruleWith({
        features: { n: { aggregate: 'baselineSamples', window: '28d' }, ...fields },
        bands: [{ severity: 'warning', if: 'has(usual) && durationSec > 3 * usual', score: 1 }],
      });
    const without = { usual: { aggregate: 'baselineMean', window: '28d', samplesMin: 99 } } satisfies Record<
      string,
      RuleFeature
    >;
    const engine = engineWith([daily(without)]);
    const alerts: AlertData[] = [];
    for (let day = 0; day < 20; day++) engine.apply(recordAt(day * DAY_MS), alerts);
    expect(
      engine.useRules(
        [sourceOf(daily({ usual: { aggregate: 'baselineMean', of: 'durationSec', window: '28d', samplesMin: 3 } }))],
        'next',
      ),
    ).toEqual([]);
    for (let day = 20; day < 30; day++) engine.apply(recordAt(day * DAY_MS), alerts);
    // With the zeros of the days before, a minute would have been more than three times the usual.
    expect(alerts).toEqual([]);
    const view = engine.inspectSubscriber(SUBSCRIBER)!.features;
    expect(view.find(({ feature }) => feature === 'usual')!.value).toBe(60);
    expect(view.find(({ feature }) => feature === 'n')!.value).toBe(28);
  });
});

describe('values', () => {
  /** What the features give at the clock after these records. */
  const valuesOf = (
    features: Record<string, RuleFeature>,
    records: Parameters<typeof recordAt>[],
  ): Record<string, unknown> => {
    const { on: _, ...rule } = ruleWith({
      features,
      on: ['voice', 'sms'],
      bands: [{ severity: 'info', if: 'durationSec < 0', score: 1 }],
    });
    const engine = engineWith([{ ...rule, on: ['voice', 'sms'] }], { latenessMs: 0 });
    for (const record of records) engine.apply(recordAt(...record), []);
    return Object.fromEntries(
      engine.inspectSubscriber(SUBSCRIBER)!.features.map(({ feature, value }) => [feature, value]),
    );
  };

  test('a mean is one over the records that have the value', () => {
    const mean: RuleFeature = { aggregate: 'mean', of: 'durationSec', window: '1h' };
    expect(
      valuesOf({ mean }, [
        [0, { durationMs: 10_000 }],
        [1, { recordType: 'sms', durationMs: Number.NaN }],
        [2, { durationMs: 20_000 }],
      ]),
    ).toEqual({ mean: 15 });
    expect(valuesOf({ mean }, [[1, { recordType: 'sms', durationMs: Number.NaN }]])).toEqual({ mean: null });
  });

  test('a number that is 0 is one of the different values', () => {
    const different: RuleFeature = { aggregate: 'distinct', of: 'durationSec', window: '1h' };
    expect(
      valuesOf({ different }, [
        [0, { durationMs: 0 }],
        [1, { durationMs: 1_500 }],
        [2, { durationMs: 1_000 }],
        [3, { durationMs: Number.NaN }],
        [4, { durationMs: 0 }],
      ]),
    ).toEqual({ different: 3 });
  });

  test('a daily mean counts the time that has passed of the newest pane', () => {
    const features: Record<string, RuleFeature> = {
      rate: { aggregate: 'dailyMean', window: '4d', panes: 4 },
      before: { aggregate: 'dailyMean', of: 'durationSec', window: '2d', panes: 2, before: '2d' },
    };
    const midnight = Date.parse('2026-03-06T00:00:00Z') - BEGIN;
    const noons = [-1, -2, -3, -4].map((day): [number, object] => [midnight + day * DAY_MS + 12 * HOUR_MS, {}]);
    // At noon of the fourth day three and a half days are covered, and four calls are in them.
    expect(valuesOf(features, [...noons.toReversed(), [midnight + 12 * HOUR_MS, {}]])).toEqual({
      rate: 1.142857,
      before: 60,
    });
  });

  test('a sum of a field that a condition chooses stays whole, however many bytes a week has', () => {
    const features: Record<string, RuleFeature> = {
      free: { aggregate: 'sum', of: 'zeroRated ? bytes : 0', window: '7d', panes: 7 },
    };
    const day = (at: number, zeroRated: boolean): [number, object] => [
      at * DAY_MS,
      { bytesUp: 1, bytesDown: 999_999_999_999_998, zeroRated },
    ];
    expect(valuesOf(features, [day(0, true), day(1, false), day(2, true)])).toEqual({ free: 1_999_999_999_999_998 });
  });

  test('a feature takes records only while its condition over others holds, whatever keeps it', () => {
    const onVoice: RuleFeature = { on: 'voice', while: 'sms >= 2' };
    const features: Record<string, RuleFeature> = {
      sms: { aggregate: 'count', on: 'sms', window: '1h' },
      calls: { ...onVoice, aggregate: 'count', window: '1h' },
      others: { ...onVoice, aggregate: 'distinct', of: 'otherNumber', window: '1h' },
      all: { aggregate: 'count', on: 'voice', window: '1h' },
    };
    const at = (minute: number, recordType: 'sms' | 'voice'): [number, object] => [
      minute * MINUTE_MS,
      { recordType, otherNumber: `861370000000${minute}` },
    ];
    expect(valuesOf(features, [at(0, 'voice'), at(1, 'sms'), at(2, 'voice'), at(3, 'sms'), at(4, 'voice')])).toEqual({
      sms: 2,
      calls: 1,
      others: 1,
      all: 3,
    });
  });

  test('the usual total of an hour of the week is that of the same rule set, counted and summed', () => {
    const features: Record<string, RuleFeature> = {
      usualCalls: { aggregate: 'hourOfWeekMean', samplesMin: 3 },
      usualSec: { aggregate: 'hourOfWeekMean', of: 'durationSec' },
    };
    const week = 7 * DAY_MS;
    const past = [0, 1, week].map((at): [number, object] => [at, { durationMs: 90_000 }]);
    expect(valuesOf(features, [...past, [4 * week, {}]])).toEqual({ usualCalls: 0.75, usualSec: 67.5 });
    expect(valuesOf(features, [...past, [5 * week, {}]])).toEqual({ usualCalls: null, usualSec: 22.5 });
  });

  test('texts, truths and times are remembered as what they are', () => {
    const features: Record<string, RuleFeature> = {
      cell: { aggregate: 'last', of: 'cellId' },
      free: { aggregate: 'last', of: 'zeroRated' },
      at: { aggregate: 'last', of: 'eventTime' },
      since: { aggregate: 'sinceLast' },
    };
    expect(
      valuesOf(features, [
        [0, { cellId: 'A', zeroRated: true }],
        [90_000, { cellId: '' }],
      ]),
    ).toEqual({ cell: 'A', free: 'false', at: Math.round((BEGIN + 90_000) / 1), since: 0 });
  });

  test('evidence holds the value, its window and the threshold of the band, either way round', () => {
    const rule = ruleWith({
      params: { most: 2, long: '90s' },
      features: {
        n: { aggregate: 'count', window: '1h' },
        sum: { aggregate: 'sum', of: 'durationSec', window: '10m', panes: 10 },
        gap: { aggregate: 'usualGap' },
        mean: { value: 'sum / n', unit: 's' },
      },
      bands: [
        {
          severity: 'warning',
          if: 'most <= n && (sum > 2 * 30 || mean > 99) && knownFor >= 1m && gap < long',
          score: 7,
        },
      ],
      reason: { en: '{n} ({threshold}), {sum} {mean} {gap} {durationSec} {otherNumber} {servedImei}', 'zh-CN': '{n}' },
    });
    const alerts: AlertData[] = [];
    const engine = engineWith([rule]);
    for (const at of [0, 1]) engine.apply(recordAt(at * MINUTE_MS), alerts);
    expect(alerts[0]!.evidence).toEqual([
      { feature: 'n', window: '1h', value: 2, threshold: 2, unit: 'count' },
      { feature: 'sum', window: '10m', value: 120, threshold: 60, unit: 's' },
      { feature: 'gap', window: '', value: 60, threshold: 90, unit: 's' },
      { feature: 'mean', window: '', value: 60, threshold: 99, unit: 's' },
      { feature: 'knownFor', window: '', value: 60, threshold: 60, unit: 's' },
    ]);
    expect(alerts[0]!.reason.en).toBe('2 (2), 120 s 60 s 60 s 60 s 8613700000000 n/a');
  });

  test('a distinct count of the time before, beside that of now, and the highest value in force', () => {
    const rule = ruleWith({
      features: {
        numbers: { aggregate: 'distinct', of: 'otherNumber', window: '1h' },
        before: { aggregate: 'distinct', of: 'otherNumber', window: '1h', before: '1h' },
        highest: { aggregate: 'heldMax', of: 'charge', window: '30m' },
        lowest: { aggregate: 'heldMin', of: 'charge', window: '30m' },
      },
      bands: [{ severity: 'info', if: 'numbers > 0 && durationSec > 0', score: 1 }],
      reason: { en: '{numbers} {before} {highest} {lowest}', 'zh-CN': '{numbers}' },
      suppress: { for: '1s' },
    });
    const engine = engineWith([rule]);
    const alerts: AlertData[] = [];
    for (const [minute, otherNumber, chargeMicros] of [
      [0, '1', 5e6],
      [20, '2', 2e6],
      [70, '2', 9e6],
      [85, '3', 1e6],
    ] as const)
      engine.apply(recordAt(minute * MINUTE_MS, { otherNumber, chargeMicros }), alerts);
    const fired = alerts.filter(({ status }) => status === 'firing').map(({ reason }) => reason.en);
    expect(fired).toEqual(['1 0 5 5', '2 0 5 2', '1 1 9 2', '2 2 9 1']);
  });

  test('a parameter is written in the unit of the feature that it is compared with', () => {
    const rule = ruleWith({
      params: { mostShare: 0.25, mostSec: 90, other: 5 },
      features: {
        n: { aggregate: 'count', window: '1h' },
        sum: { aggregate: 'sum', of: 'durationSec', window: '1h' },
        share: { value: 'n / 100', unit: 'share' },
      },
      bands: [{ severity: 'warning', if: 'n > 0 && sum < mostSec && share <= mostShare', score: 7 }],
      reason: { en: '{mostShare} {mostSec} {other}', 'zh-CN': '{n}' },
    });
    const alerts: AlertData[] = [];
    engineWith([rule]).apply(recordAt(0), alerts);
    expect(alerts[0]!.reason.en).toBe('25% 90 s 5');
  });
});
