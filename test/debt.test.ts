/** The bad-debt score: the formula itself, the shipped model over records, and rules that ask for it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { DEFAULTS } from '../src/config.ts';
import { createEngine, type Engine } from '../src/engine.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { createDebtScore, type DebtModel, parseDebtModel } from '../src/rules/debt.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import type { Scope } from '../src/state/operator.ts';
import type { SubscriberView } from '../src/subscriber-view.ts';
import { BEGIN, DAY_MS, numberingPlan, recordAt, ruleWith, SUBSCRIBER, utc } from './rule-engine.ts';

const FILE = 'models/arrears.yaml';
const modelText = readFileSync(join(DEFAULTS.rules, FILE), 'utf8');
const model = (parseDebtModel(FILE, modelText) as { model: DebtModel }).model;
const nobody = {} as Scope;

describe('the formula', () => {
  const scoreOf = (values: readonly number[], exposure = 100, applies = true) =>
    createDebtScore(model, {
      applies: () => applies,
      exposure: () => exposure,
      values: values.map((value) => () => value),
    });
  const values = fc.array(fc.double({ min: 0, max: 20, noNaN: true }), {
    minLength: model.inputs.length,
    maxLength: model.inputs.length,
  });

  test('is a probability, and its contributions are its log-odds', () => {
    fc.assert(
      fc.property(values, (drawn) => {
        const score = scoreOf(drawn);
        const p = score.probability(nobody);
        const odds = score.contributions(nobody).reduce((sum, { value }) => sum + value, 0);
        expect(p).toBeGreaterThan(0);
        expect(p).toBeLessThan(1);
        expect(Math.log(p / (1 - p))).toBeCloseTo(odds, 6);
        expect(score.expectedLoss(nobody)).toBeCloseTo(p * 100 * model.lossGivenDefault, 9);
      }),
    );
  });

  test('more of anything bad never lowers it, and raises it up to what counts', () => {
    fc.assert(
      fc.property(
        values,
        fc.nat({ max: model.inputs.length - 1 }),
        fc.double({ min: 0.001, max: 10, noNaN: true }),
        (drawn, index, more) => {
          const before = scoreOf(drawn).probability(nobody);
          const after = scoreOf(drawn.with(index, drawn[index]! + more)).probability(nobody);
          expect(after).toBeGreaterThanOrEqual(before);
          if (drawn[index]! + more <= model.inputs[index]!.most) expect(after).toBeGreaterThan(before);
        },
      ),
    );
  });

  test('what is not known, or below nothing, counts nothing; what has no end counts as much as can be', () => {
    const least = 1 / (1 + Math.exp(-model.intercept));
    const none = model.inputs.map(() => Number.NaN);
    expect(scoreOf(none).probability(nobody)).toBeCloseTo(least, 12);
    expect(scoreOf(none.map(() => -3)).probability(nobody)).toBeCloseTo(least, 12);
    const endless = scoreOf(none.map(() => Number.POSITIVE_INFINITY));
    expect(
      endless
        .contributions(nobody)
        .slice(1)
        .map(({ value }) => value),
    ).toEqual(model.inputs.map(({ coefficient, most }) => coefficient * most));
  });

  test('there is none where the model does not apply, and nothing is lost of a credit', () => {
    expect(scoreOf([], 100, false).probability(nobody)).toBeNaN();
    expect(
      scoreOf(
        model.inputs.map(() => 1),
        -50,
      ).expectedLoss(nobody),
    ).toBe(0);
  });
});

const engineOf = (rules: Parameters<typeof ruleWith>[0][] = [], change = (text: string) => text): Engine => {
  const files = readRuleFiles(DEFAULTS.rules).filter(
    ({ file }) =>
      file.startsWith('models/') ||
      ['arrears/broken-promise.yaml', 'arrears/exposure.yaml', 'arrears/bust-out.yaml'].includes(file),
  );
  const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 4_096 });
  const drawn = rules.map((rule) => ({ file: `${rule.id}.yaml`, text: JSON.stringify(ruleWith(rule)) }));
  const changed = files.map(({ file, text }) => ({ file, text: file === FILE ? change(text) : text }));
  const { sources, problems } = parseRules([...changed, ...drawn]);
  expect([...problems, ...engine.useRules(sources, 'v')]).toEqual([]);
  return engine;
};
const plain = { direction: '' as const, otherNumber: '', durationMs: Number.NaN };
const profile = (day: number, attributes: Record<string, unknown>): UsageRecord =>
  recordAt(day * DAY_MS, { ...plain, recordType: 'account', event: 'profile', attributes });
const invoice = (day: number, dueDay: number, amount: number, invoiceId = `${day}`): UsageRecord =>
  recordAt(day * DAY_MS, {
    ...plain,
    recordType: 'invoice',
    invoiceId,
    dueTime: BEGIN + dueDay * DAY_MS,
    amountMicros: amount * 1e6,
  });
const payment = (day: number, amount: number): UsageRecord =>
  recordAt(day * DAY_MS, { ...plain, recordType: 'payment', amountMicros: amount * 1e6 });
const call = (day: number, charge: number): UsageRecord => recordAt(day * DAY_MS, { chargeMicros: charge * 1e6 });
const promise = (day: number, untilDay: number): UsageRecord =>
  recordAt(day * DAY_MS, {
    ...plain,
    recordType: 'account',
    event: 'paymentPromised',
    attributes: { promiseAt: BEGIN + untilDay * DAY_MS },
  });
const seenAt = (
  records: UsageRecord[],
  day: number,
  engine = engineOf(),
): { view: SubscriberView; alerts: AlertData[] } => {
  const alerts: AlertData[] = [];
  for (const record of records.toSorted((a, b) => a.eventTime - b.eventTime)) engine.apply(record, alerts);
  // The watermark is five minutes behind.
  engine.tick(BEGIN + day * DAY_MS + 300_000, alerts);
  return { view: engine.inspectSubscriber(SUBSCRIBER)!, alerts };
};
const partsOf = (view: SubscriberView): Record<string, number> => {
  const score = view.scores.find(({ name }) => name === 'badDebtProbability');
  return Object.fromEntries([
    ...(score?.contributions.map(({ name, value }): [string, number] => [name, value]) ?? []),
    ['p', score?.value ?? Number.NaN],
  ]);
};

describe('the shipped model', () => {
  const old = profile(-1, { activatedAt: BEGIN - 400 * DAY_MS, paymentType: 'postpaid', creditLimit: 200 });

  test('an account that owes nothing has the intercept alone', () => {
    const { view } = seenAt([old, invoice(0, 14, 100), payment(2, 100)], 10);
    const { p, ...parts } = partsOf(view);
    expect(Object.keys(parts)).toEqual(['intercept', ...model.inputs.map(({ name }) => name)]);
    expect(Object.values(parts).slice(1)).toEqual(model.inputs.map(() => 0));
    expect(p).toBeCloseTo(1 / (1 + Math.exp(-model.intercept)), 6);
    expect(view.ledger!.expectedLoss).toBe(0);
  });

  test('each input counts by its own figure', () => {
    const steady = Array.from({ length: 28 }, (_, day) => call(day + 0.1, 1));
    const { view } = seenAt(
      [
        profile(-30, { activatedAt: BEGIN - 30 * DAY_MS, paymentType: 'postpaid', creditLimit: 200 }),
        invoice(-1, 0, 100),
        ...steady,
        call(29.9, 5),
        promise(5, 10),
        promise(15, 20),
      ],
      30,
    );
    const parts = partsOf(view);
    const of = (name: string): number => model.inputs.find((input) => input.name === name)!.coefficient;
    expect(parts['daysOverdue']).toBeCloseTo(of('daysOverdue') * 1, 5);
    expect(parts['exposureRatio']).toBeCloseTo(of('exposureRatio') * ((100 + 28 + 5) / 200), 5);
    expect(parts['brokenPromises']).toBeCloseTo(of('brokenPromises') * 2, 5);
    expect(parts['newAccount']).toBeCloseTo(of('newAccount'), 5);
    expect(parts['usageSpike']).toBeCloseTo(of('usageSpike'), 5);
    const odds = Object.entries(parts).reduce((sum, [name, value]) => (name === 'p' ? sum : sum + value), 0);
    expect(parts['p']).toBeCloseTo(1 / (1 + Math.exp(-odds)), 5);
    expect(view.ledger!.expectedLoss).toBeCloseTo(parts['p']! * 133 * model.lossGivenDefault, 3);
  });

  test('a new account is one up to 90 days, not a moment longer', () => {
    const on = (day: number): number =>
      partsOf(seenAt([profile(0, { activatedAt: BEGIN, creditLimit: 10 })], day).view)['newAccount']!;
    expect([on(90) > 0, on(90.001) > 0]).toEqual([true, false]);
  });

  test('prepaid accounts, and those of which nothing is known, have no score', () => {
    const prepaid = profile(0, { paymentType: 'prepaid', creditLimit: 50 });
    expect(partsOf(seenAt([prepaid, call(1, 3)], 2).view)['p']).toBeNaN();
    expect(partsOf(seenAt([call(1, 3)], 2).view)['p']).toBeNaN();
    expect(seenAt([call(1, 3)], 2).view.ledger!.expectedLoss).toBeNull();
  });

  test('it rises with the time past due and with what is used, and falls with a payment', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 15, max: 90 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 500 }),
        (day, later, more) => {
          const bill = [old, invoice(0, 14, 100)];
          const p = partsOf(seenAt(bill, day).view)['p']!;
          expect(partsOf(seenAt(bill, day + later).view)['p']!).toBeGreaterThan(p);
          const used = partsOf(seenAt([...bill, call(day - 1, more)], day).view)['p']!;
          expect(used).toBeGreaterThan(p);
          expect(partsOf(seenAt([...bill, payment(day - 1, 100)], day).view)['p']!).toBeLessThan(p);
        },
      ),
      { numRuns: 10 },
    );
  });
});

describe('a rule that asks for it', () => {
  const rule = {
    id: 'arrears.likely-loss',
    catalogue: 'A90',
    desk: 'arrears' as const,
    key: 'account' as const,
    on: ['invoice', 'payment'] as ['invoice', 'payment'],
    evaluateEvery: '1h',
    bands: [{ severity: 'warning' as const, if: 'debt.probability >= 0.5 && debt.expectedLoss >= 60', score: 60 }],
    reason: {
      en: 'p {debt.probability}, loss {debt.expectedLoss}',
      'zh-CN': '概率{debt.probability}，损失{debt.expectedLoss}',
    },
  };
  // Log-odds of -1.2 + the months overdue; 0 after 1.2 months.
  const change = (text: string): string =>
    text
      .replace('intercept: -4', 'intercept: -1.2')
      .replace('coefficient: 1.1', 'coefficient: 1')
      .replace('coefficient: 0.8', 'coefficient: 0');

  test('fires with the first look at which both thresholds are reached', () => {
    const { alerts } = seenAt([invoice(0, 1, 200)], 40, engineOf([rule], change));
    const fired = alerts.filter(({ ruleId }) => ruleId === rule.id);
    expect(fired.map(({ status }) => status)).toEqual(['firing']);
    const day = (fired[0]!.eventTime - BEGIN) / DAY_MS;
    expect(day).toBeGreaterThanOrEqual(37);
    expect(day).toBeLessThan(37 + 1 / 24);
    expect(fired[0]!.reason.en).toMatch(/^p 50\.\d+%, loss 60/);
    expect(fired[0]!.value).toMatchObject({ exposure: 200, expectedLoss: expect.closeTo(60, 0) });
    expect(fired[0]!.value!.badDebtProbability).toBeCloseTo(0.5, 3);
  });

  test('just does not fire an hour before, or where less would be lost', () => {
    const silent = (day: number, amount: number): boolean =>
      !seenAt([invoice(0, 1, amount)], day, engineOf([rule], change)).alerts.some(({ ruleId }) => ruleId === rule.id);
    expect(silent(36.99, 200)).toBe(true);
    expect(silent(37.01, 199)).toBe(true);
  });

  test('is told that the name is not known where there is no model', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 64 });
    const { sources } = parseRules([{ file: 'arrears.likely-loss.yaml', text: JSON.stringify(ruleWith(rule)) }]);
    expect(engine.checkRules(sources)[0]!.message).toMatch(/^'debt\.probability' is not known here/);
  });
});

test('a model that is wrong is refused with its place', () => {
  const problemsOf = (change: (text: string) => string): string[] => {
    const { sources, problems } = parseRules([
      { file: FILE, text: change(modelText) },
      { file: 'fraud.drawn.yaml', text: JSON.stringify(ruleWith({})) },
    ]);
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 64 });
    return [...problems, ...engine.checkRules(sources)].map(({ file, line, message }) => `${file}:${line}: ${message}`);
  };
  const lineOf = (part: string): number => modelText.split('\n').findIndex((line) => line.includes(part)) + 1;
  expect(problemsOf((text) => text)).toEqual([]);
  expect(problemsOf((text) => text.replace('coefficient: 0.7', 'coefficient: -0.7'))[0]).toMatch(
    new RegExp(`^models/arrears.yaml:${lineOf('coefficient: 0.7')}: .*coefficient' must be >= 0`),
  );
  expect(problemsOf((text) => text.replace('exposure: ledger.exposure', 'exposure: ledger.expsure'))[0]).toMatch(
    new RegExp(`^models/arrears.yaml:${lineOf('exposure: ledger.exposure')}: 'ledger.expsure' is not known here`),
  );
});
