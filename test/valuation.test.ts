/** Life cycle, value and churn in the engine, with the model and the retention rules that come with the program. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { DEFAULTS } from '../src/config.ts';
import { createEngine, type Engine } from '../src/engine.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { DAY_MS, HOUR_MS, numberingPlan, recordAt, restarted, sourceOf, utc } from './rule-engine.ts';

const modelText = readFileSync(join(DEFAULTS.rules, 'models/retention.yaml'), 'utf8');
const files = readRuleFiles(DEFAULTS.rules).filter(({ file }) =>
  [
    'models/retention.yaml',
    'retention/win-back.yaml',
    'retention/high-value-warning.yaml',
    'retention/care-contacts.yaml',
  ].includes(file),
);
const engineOf = (texts = files): Engine => {
  const engine = createEngine({
    numberingPlan,
    localTime: utc,
    horizonRecords: 65_536,
    onRuleError(_ruleId, error) {
      throw error;
    },
  });
  const { sources, problems } = parseRules(texts);
  expect([...problems, ...engine.useRules(sources, 'v')]).toEqual([]);
  return engine;
};
const withModel = (change: (text: string) => string): typeof files =>
  files.map(({ file, text }) => (file === 'models/retention.yaml' ? { file, text: change(text) } : { file, text }));

const number = (index: number): string => `8613900${String(index).padStart(5, '0')}`;
const topup = (day: number, index: number, amount: number): UsageRecord =>
  recordAt(day * DAY_MS, {
    recordType: 'topup',
    servedMsisdn: number(index),
    amountMicros: amount * 1e6,
    direction: '',
    otherNumber: '',
    durationMs: Number.NaN,
  });
const call = (day: number, index: number, charge: number): UsageRecord =>
  recordAt(day * DAY_MS, { servedMsisdn: number(index), chargeMicros: charge * 1e6 });
const account = (day: number, index: number, event: string, attributes: Record<string, unknown> = {}): UsageRecord =>
  recordAt(day * DAY_MS, {
    recordType: 'account',
    servedMsisdn: number(index),
    event,
    attributes,
    direction: '',
    otherNumber: '',
    durationMs: Number.NaN,
  });
const run = (engine: Engine, records: UsageRecord[], timersAtOnce = 0): AlertData[] => {
  const alerts: AlertData[] = [];
  for (const record of records.toSorted((a, b) => a.eventTime - b.eventTime)) {
    engine.apply(record, alerts);
    if (timersAtOnce > 0) engine.fireTimers(timersAtOnce, alerts);
  }
  return alerts;
};
/** Ten subscribers, each with a call a day that costs as much as its number says. */
const steady = (days: number, from = 0): UsageRecord[] =>
  Array.from({ length: days }, (_, day) =>
    Array.from({ length: 10 }, (_, index) => call(from + day + index / 100, index + 1, index + 1)),
  ).flat();

describe('what the subscriber view says', () => {
  test('value, ranks and stage, once two nights have passed', () => {
    const engine = engineOf();
    run(engine, steady(1));
    expect(engine.inspectSubscriber(number(10))!.value).not.toHaveProperty('decile');
    run(engine, steady(99, 1));
    const best = engine.inspectSubscriber(number(10))!;
    expect(best.lifecycleStage).toBe('mature');
    expect(best.value).toMatchObject({ tier: 'high', decile: 10, monetary: 5, recency: 3, frequency: 3 });
    // 10 a day, a margin of 35 %, 18 months of 30 days.
    expect((best.value!['lifetimeValue'] as number) / (0.35 * 300 * 18)).toBeCloseTo(1, 1);
    expect(engine.inspectSubscriber(number(1))!.value).toMatchObject({ tier: 'low', decile: 1, monetary: 1 });
    expect(engine.inspectSubscriber(number(5))!.value).toMatchObject({ tier: 'medium', decile: 5, monetary: 3 });
  });

  test('the probability with contributions that add up to it, each under the name of the model', () => {
    const engine = engineOf();
    run(engine, [account(0, 1, 'activated'), ...steady(100)]);
    const { scores } = engine.inspectSubscriber(number(1))!;
    expect(scores).toHaveLength(1);
    const [{ value, contributions }] = scores as [(typeof scores)[0]];
    const names = [...modelText.matchAll(/^ {4}- name: (\w+)$/gm)].map(([, name]) => name);
    expect(contributions.map(({ name }) => name)).toEqual(['intercept', ...names]);
    const odds = contributions.reduce((sum, contribution) => sum + contribution.value, 0);
    expect(value).toBeCloseTo(1 / (1 + Math.exp(-odds)), 5);
    const of = Object.fromEntries(contributions.map((contribution) => [contribution.name, contribution.value]));
    expect(of['tenure']).toBeCloseTo(-0.3 * Math.log(99 / 365), 1);
    // Nothing is known of contract, complaints or quality: they count nothing.
    expect([of['contractEnd'], of['careContacts'], of['poorQuality']]).toEqual([0, 0, 0]);
  });

  test('nothing where there is no model', () => {
    const engine = engineOf(files.filter(({ file }) => file === 'retention/care-contacts.yaml'));
    run(engine, [
      ...steady(3),
      recordAt(0, { recordType: 'care', servedMsisdn: number(1), ticketId: 'T', reason: 'complaint' }),
    ]);
    expect(engine.inspectSubscriber(number(1))).toMatchObject({ lifecycleStage: null, value: null, scores: [] });
  });

  test('an offer pays where the value is high and leaving likely, and costs more than it brings where it is not', () => {
    const engine = engineOf();
    run(engine, steady(100));
    const saved = (index: number): number =>
      engine.inspectSubscriber(number(index))!.value!['expectedSaveValue'] as number;
    const { churnProbability: p, lifetimeValue: value } = engine.inspectSubscriber(number(10))!.value as Record<
      string,
      number
    >;
    expect(saved(10)).toBeCloseTo(p! * 0.25 * (value! - 5) - (1 - p!) * 0.2 * 5 - 1, 3);
    expect(saved(10)).toBeGreaterThan(0);
    expect(saved(1)).toBeLessThan(0);
  });
});

describe('stages', () => {
  const stageAfter = (...records: UsageRecord[][]): string | null => {
    const engine = engineOf();
    run(engine, records.flat());
    return engine.inspectSubscriber(number(1))!.lifecycleStage;
  };
  const daily = (from: number, days: number, charge: (day: number) => number): UsageRecord[] =>
    Array.from({ length: days }, (_, day) => call(from + day, 1, charge(from + day)));
  /** Somebody whose records move time on. */
  const clock = (days: number): UsageRecord[] => Array.from({ length: days }, (_, day) => call(day + 0.5, 2, 1));

  test('acquisition for 90 days after the activation', () => {
    const activated = [account(0, 1, 'activated')];
    expect(
      stageAfter(
        activated,
        daily(0, 88, () => 1),
      ),
    ).toBe('acquisition');
    expect(
      stageAfter(
        activated,
        daily(0, 95, () => 1),
      ),
    ).toBe('mature');
    expect(stageAfter(daily(0, 30, () => 1))).toBe('mature');
  });

  test('acquisition ends with the ninetieth day, to the millisecond', () => {
    const known = (tenureMs: number): string | null => {
      const profile = recordAt(0, { recordType: 'account', event: 'profile', servedMsisdn: number(1) });
      return stageAfter([{ ...profile, attributes: { activatedAt: profile.eventTime - tenureMs } }]);
    };
    expect([known(90 * DAY_MS), known(90 * DAY_MS + 1)]).toEqual(['acquisition', 'mature']);
  });

  test('growth where 30 days bring 10 % more twice running, mature where they do so once', () => {
    expect(stageAfter(daily(0, 95, (day) => 10 + Math.floor(day / 30) * 3))).toBe('growth');
    expect(stageAfter(daily(0, 95, (day) => (day < 62 ? 10 : 13)))).toBe('mature');
    expect(stageAfter(daily(0, 95, (day) => 100 + Math.floor(day / 30) * 5))).toBe('mature');
  });

  test('decline where they bring 20 % less twice running', () => {
    expect(stageAfter(daily(0, 95, (day) => 100 - Math.floor(day / 30) * 30))).toBe('decline');
    expect(stageAfter(daily(0, 95, (day) => 100 - Math.floor(day / 30) * 15))).toBe('mature');
  });

  test('dormant after 15 quiet days, churned after 60 without revenue, unless an invoice comes anyhow', () => {
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        clock(35),
      ),
    ).toBe('mature');
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        clock(38),
      ),
    ).toBe('dormant');
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        clock(79),
      ),
    ).toBe('dormant');
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        clock(83),
      ),
    ).toBe('churned');
    const postpaid = [account(0, 1, 'profile', { paymentType: 'postpaid' })];
    expect(
      stageAfter(
        postpaid,
        daily(0, 20, () => 1),
        clock(83),
      ),
    ).toBe('dormant');
  });

  test('churned at once by a cease; back after two days of use', () => {
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        [account(20, 1, 'ceased')],
      ),
    ).toBe('churned');
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        [account(20, 1, 'ceased')],
        daily(21, 1, () => 1),
      ),
    ).toBe('churned');
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        [account(20, 1, 'ceased')],
        daily(21, 5, () => 1),
      ),
    ).toBe('mature');
  });

  test('one quiet look changes nothing: a stage needs two days running', () => {
    // Fifteen days and a half without a sign, then one: exactly one look lies in between.
    expect(
      stageAfter(
        daily(0, 20, () => 1),
        clock(34),
        [call(34.7, 1, 1), call(35, 2, 1)],
      ),
    ).toBe('mature');
  });

  test('a lead changes the thresholds in the file', () => {
    const engine = engineOf(withModel((text) => text.replace('dormantAfter: 15d', 'dormantAfter: 5d')));
    run(engine, [...daily(0, 20, () => 1), ...clock(28)]);
    expect(engine.inspectSubscriber(number(1))!.lifecycleStage).toBe('dormant');
  });
});

describe('the same records give the same ranks', () => {
  const records = [
    ...steady(6),
    // A quiet night, so that many looks are due at once.
    ...Array.from({ length: 200 }, (_, index) => topup(index % 2, 100 + index, 1 + (index % 37))),
    ...steady(3, 9.2),
    account(10, 7, 'ceased'),
  ];
  const stateOf = (engine: Engine): unknown =>
    Array.from({ length: 10 }, (_, index) => {
      const { lifecycleStage, value, scores } = engine.inspectSubscriber(number(index + 1))!;
      return { lifecycleStage, value, scores };
    });

  test('however fast timers are fired', () => {
    const slow = engineOf();
    const fast = engineOf();
    const alerts = run(slow, records);
    expect(run(fast, records, 1_000)).toEqual(alerts);
    expect(stateOf(fast)).toEqual(stateOf(slow));
  });

  test('from a checkpoint in between, whatever the day', () => {
    const whole = engineOf();
    const sorted = records.toSorted((a, b) => a.eventTime - b.eventTime);
    const expected = run(whole, sorted);
    for (const at of [37, 120, sorted.length - 25]) {
      const first = engineOf();
      const alerts = run(first, sorted.slice(0, at));
      const next = restarted(first, 65_536, ({ rules }) => {
        expect(rules.map(({ file }) => file)).toContain('models/retention.yaml');
        return parseRules(rules).sources;
      });
      alerts.push(...run(next, sorted.slice(at)));
      expect(alerts).toEqual(expected);
      expect(stateOf(next)).toEqual(stateOf(whole));
    }
  });
});

test('the model reads the windows of the rules: it costs each subscriber its revenue, and the warnings where there are some', () => {
  const all = readRuleFiles(DEFAULTS.rules);
  const asks = (text: string): boolean => /\b(lifecycle|value|rfm|churn)\./.test(text);
  const operatorsOf = (texts: typeof all): number => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    const { sources, lists } = parseRules(texts);
    expect(engine.useRules(sources, 'v', [], lists)).toEqual([]);
    return engine.ruleSet().operators.size;
  };
  const others = all.filter(
    ({ file, text }) => file === 'models/retention.yaml' || file.endsWith('.csv') || !asks(text),
  );
  const without = others.filter(({ file }) => file !== 'models/retention.yaml');
  expect(operatorsOf(others) - operatorsOf(without)).toBe(2);
});

test('an alert says what its subscriber is worth', () => {
  const engine = engineOf();
  run(engine, steady(4));
  const care = (hour: number, ticketId: string): UsageRecord =>
    recordAt(4 * DAY_MS + hour * HOUR_MS, {
      recordType: 'care',
      servedMsisdn: number(10),
      reason: 'complaint',
      ticketId,
      attributes: { resolved: true },
    });
  const alerts = run(engine, [care(0, 'A'), care(1, 'B')]);
  expect(alerts).toHaveLength(1);
  expect(alerts[0]!.value).toEqual({
    tier: 'high',
    churnProbability: expect.any(Number),
    expectedSaveValue: expect.any(Number),
    lifecycleStage: 'mature',
  });
});

describe('a model that is wrong', () => {
  const problemsOf = (change: (text: string) => string): string[] => {
    const { sources, problems } = parseRules(withModel(change));
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    return [...problems, ...engine.checkRules(sources)].map(({ file, line, message }) => `${file}:${line}: ${message}`);
  };
  const lineOf = (part: string): number => modelText.split('\n').findIndex((line) => line.includes(part)) + 1;

  test('is refused with the place', () => {
    const first = (change: (text: string) => string): string => problemsOf(change)[0]!;
    expect(first((text) => text.replace('margin: 0.35', 'margin: 35'))).toBe(
      `models/retention.yaml:${lineOf('margin: 0.35')}: 'value.margin' must be <= 1`,
    );
    expect(problemsOf((text) => text.replace('dormantAfter', 'dormantAfer'))).toContainEqual(
      expect.stringMatching(/did you mean 'dormantAfter'/),
    );
    expect(first((text) => text.replace('ratio: 1 + complaints30d', 'ratio: 1 + complaints'))).toMatch(
      new RegExp(`^models/retention.yaml:${lineOf('ratio: 1 + complaints30d')}: 'complaints' is not known here`),
    );
    expect(first((text) => text.replace('tenure: now - activatedAt', 'tenure: activatedAt'))).toMatch(
      /expected a duration/,
    );
  });

  test('is one for all rules, so a second one is refused', () => {
    const { problems } = parseRules([...files, { file: 'models/second.yaml', text: modelText }]);
    expect(problems.map(({ message }) => message)).toEqual(['models/retention.yaml is the model already']);
  });

  test('a rule that asks for it alone is told the name is not known', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    const rule = parseRules(files).sources.find(({ rule: { catalogue } }) => catalogue === 'C20')!.rule;
    expect(engine.checkRules([sourceOf(rule)])[0]!.message).toMatch(/^'(lifecycle|value)\.\w+' is not known here/);
  });
});
