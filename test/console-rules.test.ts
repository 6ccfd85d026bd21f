/**
 * A rule changed without code, in a real browser against a real `serve`: one lead drafts, tests, back-tests and proposes, another
 * one approves, and a record that did not fire before does.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { buildIfStale, chromiumPath, seriousViolations } from './browser.ts';
import { addPeople, pagesForEach, signIn } from './pages.ts';
import {
  alertsIn,
  callsFrom,
  endProcesses,
  type Serving,
  send,
  startServe,
  temporaryFolder,
  until,
} from './serving.ts';

const HOSTILE = '<img src=x onerror=alert(1)> \u202e{{7*7}} "; DROP TABLE';
const RULE = 'fraud.calls';
const FILE = `id: ${RULE}
version: 1
catalogue: F90
status: stable
desk: fraud
title: { en: "Many <b>calls</b>", zh-CN: 大量呼叫 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
params:
  least: 10
features:
  many: { aggregate: count, window: 1d, panes: 24 }
bands:
  - { severity: warning, if: many >= least, score: 50 }
reason: { en: "{many} calls", zh-CN: "{many}次呼叫" }
suppress: { for: 1h }
falsePositives: [{ en: "A <b>campaign</b>", zh-CN: 营销活动 }]
tests:
  - name: fires at ten
    steps: [{ repeat: 10, every: 1s, record: { recordType: voice, direction: mo, otherNumber: "37112345678", durationSec: 5 } }]
    expect: [{ severity: warning, reason: "10 calls" }]
`;
const calls = callsFrom(Date.now() - 3_600_000);

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('rules in the console (skipped where no Chromium is found)', () => {
  const folder = temporaryFolder();
  let broker: Broker;
  let server: Serving;

  const rulesOf = (name: string): string => {
    const path = join(folder.path, name);
    mkdirSync(path);
    writeFileSync(join(path, 'calls.yaml'), FILE);
    return path;
  };
  beforeAll(async () => {
    broker = await startBroker();
  });
  afterAll(async () => {
    await endProcesses();
    await broker?.stop();
    folder.remove();
  });
  afterEach(async () => {
    await server?.end();
  });
  const newPage = pagesForEach();
  const firing = async (): Promise<unknown[]> =>
    (await alertsIn(broker.url))
      .filter(({ status }) => status === 'firing')
      .map(({ servedMsisdn, ruleVersion }) => [servedMsisdn, ruleVersion]);

  test('a lead changes a threshold, sees tests and back-test, proposes; another approves; the effect is live', {
    timeout: 180_000,
  }, async () => {
    const data = join(folder.path, 'data');
    mkdirSync(data);
    await addPeople(data, [
      { name: 'lin', role: 'lead', desk: 'fraud' },
      { name: 'mei', role: 'lead', desk: 'fraud' },
      { name: 'anna', role: 'analyst', desk: 'fraud' },
    ]);
    server = await startServe({ nats: broker.url, data, rules: rulesOf('rules') });
    await send(broker.url, [...calls('8613900000001', 0, 11), ...calls('8613900000002', 20, 26)]);
    await until('the first alert', async () => (await firing()).length === 1);

    const signedIn = async (name: string, language: string): Promise<Page> => {
      const page = await newPage();
      await page.goto(`${server.http}/#/rules?rule=${RULE}&lang=${language}`);
      await signIn(page, name);
      await page.locator('.panel.rule, .panel-body.rule').waitFor();
      return page;
    };
    const lin = await signedIn('lin', 'en');
    const least = lin.getByLabel('least', { exact: true });
    await least.waitFor();
    expect(await least.inputValue()).toBe('10');
    await lin.getByRole('heading', { name: 'Many <b>calls</b>' }).waitFor();
    await lin.getByText('A <b>campaign</b>', { exact: true }).waitFor();

    // What is wrong stands at its field, and says what is expected.
    await least.fill('five');
    await lin.getByLabel('Band 1: Condition').fill('mny >= least');
    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin.getByText('Expected: a number.').waitFor();
    await least.fill('5');
    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin
      .locator('.field-problem')
      .getByText(/did you mean 'many'|mny/)
      .waitFor();
    expect(await seriousViolations(lin)).toEqual([]);
    await lin.getByLabel('Band 1: Condition').fill('many >= least');

    // A band comes without a line of YAML, in the order of severity, and goes again.
    await lin.getByRole('button', { name: 'Add a band' }).click();
    await lin.getByLabel('Band 2: Severity').selectOption('critical');
    await lin.getByLabel('Band 2: Score').fill('900');
    await lin.getByLabel('Band 2: Condition').fill('many >= 2 * least');
    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin.getByText('Expected: a whole number from 0 to 100.').waitFor();
    await lin.getByLabel('Band 2: Score').fill('90');
    await lin.getByRole('button', { name: 'Band 1: Remove' }).click();
    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin.locator('.diff .added', { hasText: 'severity: critical, if: many >= 2 * least, score: 90' }).waitFor();
    await lin.locator('.diff .removed', { hasText: 'severity: warning' }).waitFor();
    expect(await seriousViolations(lin)).toEqual([]);
    await lin.getByRole('button', { name: 'Band 1: Keep' }).click();
    await lin.getByRole('button', { name: 'Band 2: Remove' }).click();
    await lin.getByText('Higher: fewer alerts').waitFor();

    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin.locator('.diff .added', { hasText: 'least: 5' }).waitFor();
    await lin.getByText('1 of 1 tests fail with this change:').waitFor();
    await lin.getByRole('button', { name: 'Run the back-test' }).click();
    await lin.locator('.figure-added dd', { hasText: '1' }).waitFor();
    expect(await lin.locator('.figure-same dd').textContent()).toBe('1');
    expect(await lin.locator('.figure-gone dd').textContent()).toBe('0');
    await lin.getByText('Alerts that would be new (1)').click();
    await lin.getByText('8613900000002').waitFor();

    const submit = lin.getByRole('button', { name: 'Propose', exact: true });
    expect(await submit.isDisabled()).toBe(true);
    await lin.getByLabel(/^Why/).fill(HOSTILE);
    await lin.getByLabel(/Propose it although tests fail/).check();
    await submit.click();
    await lin.getByText('Proposed. Another lead of the desk decides.').waitFor();
    // Nobody decides on what is their own.
    await lin.getByText('You proposed this. It takes another person to decide.').waitFor();
    expect(await lin.getByRole('button', { name: 'Approve' }).count()).toBe(0);
    expect(await seriousViolations(lin)).toEqual([]);

    // An analyst sees it and can do nothing.
    const anna = await signedIn('anna', 'en');
    await anna.getByText('Change that waits for a decision').waitFor();
    expect(await anna.getByRole('button', { name: /Approve|Reject|Check and run/ }).count()).toBe(0);
    expect(await anna.getByLabel('least', { exact: true }).isDisabled()).toBe(true);

    const mei = await signedIn('mei', 'zh-CN');
    await mei.getByText('营销活动', { exact: true }).waitFor();
    await mei.locator('.proposal blockquote', { hasText: HOSTILE }).waitFor();
    await mei.locator('.proposal .diff .added', { hasText: 'least: 5' }).waitFor();
    await mei.locator('.proposal').getByText('草稿新增').waitFor();
    expect(await seriousViolations(mei)).toEqual([]);
    await mei.getByRole('button', { name: '批准' }).click();
    await mei.getByText('已批准，变更已生效。').waitFor();
    await mei.locator('.timeline').getByText('版本 2').first().waitFor();
    // The page of the other one follows by itself.
    await expect.poll(() => lin.getByLabel('least', { exact: true }).inputValue(), { timeout: 20_000 }).toBe('5');

    // Six calls were not enough before; the seventh is beyond five now.
    await send(broker.url, calls('8613900000002', 26, 27));
    await until('the second alert', async () => (await firing()).length === 2);
    expect(await firing()).toEqual([
      ['8613900000001', 1],
      ['8613900000002', 2],
    ]);
    await mei.goto(`${server.http}/#/desk/fraud?lang=zh-CN`);
    await mei.locator('table.alerts tbody').getByText('8613900000002').first().waitFor();

    // The way back is a proposal like any other.
    await lin.getByRole('button', { name: 'Bring this version back' }).first().waitFor({ state: 'detached' });
    await least.fill('12');
    await lin.getByRole('button', { name: 'Check and run its tests' }).click();
    await lin.getByLabel(/^Why/).fill('too many');
    const accept = lin.getByLabel(/Propose it although tests fail/);
    if ((await accept.count()) > 0) await accept.check();
    await submit.click();
    await lin.getByText('Proposed. Another lead of the desk decides.').waitFor();
    await mei.goto(`${server.http}/#/rules?rule=${RULE}&lang=en&waiting=yes`);
    await mei.getByRole('button', { name: 'Approve' }).click();
    await mei.getByText('Approved. The change is in force.').waitFor();
    await mei.getByRole('button', { name: 'Bring this version back' }).first().click();
    await mei.getByText('Brings back version 2.').waitFor();
    await mei.getByRole('button', { name: 'Check and run its tests' }).click();
    await mei.locator('.diff .added', { hasText: 'version: 4' }).waitFor();
  });

  test('where nobody signs in, people say who they are, and one name is one person', { timeout: 120_000 }, async () => {
    const data = join(folder.path, 'open-data');
    server = await startServe({ nats: broker.url, data, rules: rulesOf('open-rules') });
    const page = await newPage();
    await page.goto(`${server.http}/#/rules?lang=en`);
    await page.locator('table.rules tbody a').first().click();
    await page.getByRole('button', { name: 'Edit the whole rule as text' }).click();
    const text = page.locator('.rule-form textarea');
    const present = await text.inputValue();
    const version = Number(/^version: (\d+)$/m.exec(present)![1]) + 1;
    await text.fill(present.replace(/^version: .*$/m, `version: ${version}`).replace('score: 50', 'score: 500'));
    await page.getByRole('button', { name: 'Check and run its tests' }).click();
    await page.locator('.rule-form .letter-errors').getByText(/score/).waitFor();
    await text.fill(present.replace(/^version: .*$/m, `version: ${version}`).replace('score: 50', 'score: 55'));
    await page.getByRole('button', { name: 'Check and run its tests' }).click();
    await page.getByLabel(/^Why/).fill('a round figure');
    await page.locator('.my-name').fill('lin');
    const accept = page.getByLabel(/Propose it although tests fail/);
    if ((await accept.count()) > 0) await accept.check();
    await page.getByRole('button', { name: 'Propose', exact: true }).click();
    await page.getByText('You proposed this.').waitFor();
    await page.locator('.my-name').first().fill('mei');
    await page.getByLabel('Remark, needed to reject').fill('not now');
    await page.getByRole('button', { name: 'Reject' }).click();
    await page.getByText('Rejected.').waitFor();
    await page.locator('.timeline').getByText('not now').waitFor();
    await page.locator('.timeline').getByText('name as given').first().waitFor();
  });
});
