/**
 * The panel that says how right the churn formula is, in a real browser: every figure of fit, calibration, drift and uplift on the
 * page is the one that the API gives, made of real counts and of outcomes of real cases.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CASE_POLICY } from '../src/cases/case-policy.ts';
import type { Feedback } from '../src/cases/feedback.ts';
import { DEFAULTS } from '../src/config.ts';
import { type ChurnReport, churnReport } from '../src/rules/churn-report.ts';
import { type Model, parseModel } from '../src/rules/model.ts';
import { COHORT_DAYS, createCalibration } from '../src/state/calibration.ts';
import { PROBABILITY_STEPS } from '../src/state/forecast.ts';
import { buildIfStale, builtConsole, chromiumPath, seriousViolations } from './browser.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';
import { pagesForEach } from './pages.ts';
import { until } from './serving.ts';

const FILE = 'models/retention.yaml';
const model = (parseModel(FILE, readFileSync(join(DEFAULTS.rules, FILE), 'utf8')) as { model: Model }).model;
const FIRST_DAY = 20_010;
const CASES = 24;

/** Two cohorts: outcomes that follow the score, but less than it says; and one input that has moved far in the second. */
function filled() {
  const calibration = createCalibration();
  calibration.begin(7);
  for (const cohort of [0, 1]) {
    for (let index = 0; index < 300; index++) {
      const logs = new Float64Array(model.churn.inputs.length);
      logs[0] = cohort === 1 ? 1.2 : 0;
      const steps = Math.round((index / 300) * PROBABILITY_STEPS);
      const day = FIRST_DAY + cohort * COHORT_DAYS;
      calibration.made(day, steps, logs, 1.5);
      // A fixed pattern in the place of chance: half as many leave as the score says.
      if (cohort === 0) calibration.observed(day, steps, (index * 7) % 300 < index / 2);
    }
  }
  return calibration;
}

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('the churn panel (skipped where no Chromium is found)', () => {
  let bench: Bench;
  let gateway: RunningGateway;
  const calibration = filled();

  beforeAll(async () => {
    bench = await startBench();
    gateway = await bench.start({
      consoleDir: builtConsole,
      churn: () => churnReport(model, [calibration.snapshot()]),
      casePolicy: { ...CASE_POLICY, controlShare: 0.4 },
    });
    for (let index = 0; index < CASES; index++) {
      const msisdn = `86138000${String(index).padStart(5, '0')}`;
      await bench.publishAlert({ desk: 'retention', servedMsisdn: msisdn, key: { type: 'subscriber', value: msisdn } });
    }
    const cases = await until('all cases', async () => {
      const page = (await (await fetch(`${gateway.url}/v1/cases?desk=retention&limit=100`)).json()) as {
        cases: { caseId: string; isControl: boolean }[];
      };
      return page.cases.length === CASES && page.cases;
    });
    const seen = { true: 0, false: 0 };
    for (const { caseId, isControl } of cases) {
      const nth = seen[`${isControl}`]++;
      // Three of four stay who were made an offer, and one of three of the others.
      const outcome = (isControl ? nth % 3 === 0 : nth % 4 !== 0) ? 'saved' : 'churnedAnyway';
      const answer = await fetch(`${gateway.url}/v1/cases/${caseId}/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'outcome', outcome }),
      });
      expect(answer.status, await answer.clone().text()).toBe(200);
    }
    expect(Math.min(seen.true, seen.false)).toBeGreaterThan(2);
  }, 180_000);
  afterAll(async () => {
    await bench?.stop();
  });
  const newPage = pagesForEach();
  const open = async (language: string): Promise<Page> => {
    const page = await newPage({ viewport: { width: 1440, height: 1400 } });
    await page.goto(`${gateway.url}/#/operations?lang=${language}`);
    await page.locator('.churn-panel table').first().waitFor();
    return page;
  };

  test.each([
    ['en', { brier: 'Brier score', skill: 'Better than the mean', uplift: 'Uplift of offers', changed: 'Changed' }],
    ['zh-CN', { brier: 'Brier 分数', skill: '相对均值的改善', uplift: '挽留增益', changed: '已变' }],
  ])('in %s: every figure is that of the API', async (language, names) => {
    const page = await open(language);
    const report = (await (await fetch(`${gateway.url}/v1/churn`)).json()) as ChurnReport;
    const { retention } = (await (await fetch(`${gateway.url}/v1/feedback?desk=retention`)).json()) as Feedback;
    // Nothing of this is empty, or the comparison below would say nothing.
    expect(report.forecasts).toMatchObject({ made: 600, observed: 300 });
    expect(report.brier).toBeGreaterThan(0);
    expect(report.deciles).toHaveLength(10);
    expect(retention.uplift!.estimate).toBeGreaterThan(0.2);
    const decimal = (value: number | null): string =>
      new Intl.NumberFormat(language, { maximumFractionDigits: 3 }).format(value!);
    const share = (value: number | null): string =>
      new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 1 }).format(value!);
    const fact = (name: string) =>
      page.locator('.churn-panel .facts > *').filter({ hasText: name }).locator('dd').innerText();

    expect(await fact(names.brier)).toBe(decimal(report.brier));
    expect(await fact(names.skill)).toBe(decimal(report.skill));
    expect(await fact('AUC')).toBe(decimal(report.auc));
    // It is asked for behind the report, of which the others are.
    for (const figure of ['estimate', 'low', 'high'] as const)
      await expect.poll(() => fact(names.uplift)).toContain(share(retention.uplift![figure]));
    const [deciles, drift] = [page.locator('.churn-panel table').nth(0), page.locator('.churn-panel table').nth(1)];
    expect(await deciles.locator('tbody tr').allInnerTexts()).toEqual(
      report.deciles.map(({ decile, predicted, rate }) => [decile, share(predicted), share(rate)].join('\t')),
    );
    const states = await drift.locator('tbody tr').allInnerTexts();
    expect(states).toHaveLength(1 + model.churn.inputs.length);
    const moved = report.stability.inputs.findIndex(({ state }) => state === 'changed');
    expect(report.stability.inputs.filter(({ state }) => state === 'changed')).toHaveLength(1);
    const psi = new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(
      report.stability.inputs[moved]!.psi!,
    );
    expect(states[1 + moved]).toContain(`${psi}\t${names.changed}`);
    expect(await seriousViolations(page)).toEqual([]);
  });
});
