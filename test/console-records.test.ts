/**
 * Usage records in a real browser against a real `serve`: those that made an alert fire, all of a subscriber as a table with
 * filters in the address, and as a file; what each role sees of them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAccessStore } from '../src/access/store.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { buildIfStale, chromiumPath, seriousViolations } from './browser.ts';
import { addPeople, pagesForEach, signIn } from './pages.ts';
import { alertsIn, endProcesses, type Serving, send, startServe, temporaryFolder, until } from './serving.ts';

const MSISDN = '8613800001234';
const HOSTILE = '<b>x</b>\u202e{{7*7}}';
const FILE = `id: fraud.calls
version: 1
catalogue: F90
status: stable
desk: fraud
title: { en: Many calls, zh-CN: 大量呼叫 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
features:
  many: { aggregate: count, window: 1h }
bands:
  - { severity: critical, if: many >= 10, score: 50 }
reason: { en: "{many} calls", zh-CN: "{many}次呼叫" }
suppress: { for: 1h }
tests:
  - name: fires at ten
    steps: [{ repeat: 10, every: 1s, record: { recordType: voice, direction: mo, otherNumber: "37112345678", durationSec: 5 } }]
    expect: [{ severity: critical, reason: "10 calls" }]
`;
const begin = Date.now() - 1_800_000;
const usage = [
  ...Array.from({ length: 10 }, (_, index) => ({
    recordId: `call-${index}`,
    recordType: 'voice',
    eventTime: begin + index * 60_000,
    direction: index === 3 ? 'mt' : 'mo',
    otherNumber: index === 4 ? '=cmd|calc' : `3711234567${index}`,
    durationSec: 10 * (index + 1),
    charge: 0.5,
    cellId: index === 5 ? HOSTILE : 'north',
  })),
  ...Array.from({ length: 30 }, (_, index) => ({
    recordId: `data-${index}`,
    recordType: 'data',
    eventTime: begin - 7_200_000 + index * 60_000,
    bytesUp: 1_000 * index,
    bytesDown: 12_345_678,
    durationSec: 60,
  })),
].map((record) => ({ ...record, servedMsisdn: MSISDN }));

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('usage records (skipped where no Chromium is found)', () => {
  const folder = temporaryFolder();
  let broker: Broker;
  let server: Serving;

  beforeAll(async () => {
    broker = await startBroker();
    const rules = join(folder.path, 'rules');
    const data = join(folder.path, 'data');
    for (const path of [rules, data]) mkdirSync(path);
    writeFileSync(join(rules, 'calls.yaml'), FILE);
    await addPeople(data, [
      { name: 'lena', role: 'lead', desk: 'fraud' },
      { name: 'ana', role: 'analyst', desk: 'fraud' },
      { name: 'rita', role: 'retention', desk: 'retention' },
    ]);
    server = await startServe({ nats: broker.url, rules, data, args: ['--time-zone', 'Asia/Shanghai'] });
    const messages = [...usage].sort((a, b) => a.eventTime - b.eventTime);
    await send(
      broker.url,
      messages.map((record) => ({ subject: `usage.0.${record.recordType}`, body: JSON.stringify(record) })),
    );
    await until('the alert', async () => (await alertsIn(broker.url)).length > 0);
  });
  afterAll(async () => {
    await server?.end();
    await endProcesses();
    await broker?.stop();
    folder.remove();
  });
  const newPage = pagesForEach();
  const signedIn = async (name: string, hash: string): Promise<Page> => {
    // Times are those of the operator, wherever somebody looks at them.
    const page = await newPage({ timezoneId: 'America/New_York' });
    await page.goto(`${server.http}/${hash}`);
    await signIn(page, name);
    await page.locator('.connection.live').waitFor();
    return page;
  };
  const rows = (page: Page) => page.locator('table.records tbody tr:not(.gap)');
  const footer = (page: Page) => page.locator('.queue-footer [role=status]');

  test('an alert shows the records of its window; all of them stand in a table that the address describes', {
    timeout: 180_000,
  }, async () => {
    const page = await signedIn('lena', '#/desk/fraud?lang=en');
    await page.locator('table.alerts tbody a').first().click();
    const section = page.locator('.contributing');
    await section.locator('tr.trigger').waitFor();
    // Of the ten calls the newest eight; the data of two hours ago are outside the window, and no calls.
    expect(await section.locator('tbody tr').count()).toBe(8);
    expect(await section.locator('tr.trigger').innerText()).toContain('Made the alert fire');
    expect(await section.locator('tbody').innerText()).toContain('37112345679');
    expect(await seriousViolations(page)).toEqual([]);
    await section.scrollIntoViewIfNeeded();
    await section.getByRole('link', { name: 'All 10 in the table' }).click();

    await page.getByText('10 of 10 records').waitFor();
    expect(await rows(page).first().innerText()).toMatch(/Call.*Trigger.*Outgoing.*37112345679/s);
    await page.locator('.record-summary summary').click();
    expect(await page.getByRole('table', { name: 'Most frequent numbers' }).innerText()).toContain('37112345679');
    expect(await page.getByRole('table', { name: 'Handsets, newest first' }).innerText()).toContain(
      'None in these records.',
    );
    expect(await seriousViolations(page)).toEqual([]);
    await page.locator('.record-summary summary').click();
    expect(await page.locator('table.records').innerText()).toContain(HOSTILE);
    await page.getByLabel('Direction').selectOption('mt');
    await page.getByText('1 of 10 records').waitFor();
    await page.getByLabel('Direction').selectOption('');
    await page.getByLabel('Order').selectOption('longest');
    await page.getByLabel('Other number contains').fill('371');
    await page.getByText('9 of 10 records').waitFor();
    const address = new URL(page.url()).hash;
    expect(address).toContain('alert=');
    expect(address).toContain('q=371');
    expect(address).toContain('sort=longest');
    // What the address says survives a reload.
    await page.reload();
    await page.getByText('9 of 10 records').waitFor();
    expect(await rows(page).first().innerText()).toContain('37112345679');
    await page.locator('#records-heading').click();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.locator('#record-heading').waitFor();
    await page.locator('.panel .facts', { hasText: 'call-8' }).waitFor();
    expect(await page.evaluate("document.activeElement.closest('tr.active') !== null")).toBe(true);
    expect(await seriousViolations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.locator('#record-heading').waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Back to the alert' }).click();
    await page.locator('.contributing').waitFor();
  });

  test('an analyst opens the table of a subscriber, in Chinese, and writes the file that is filtered', {
    timeout: 180_000,
  }, async () => {
    const page = await signedIn('ana', '#/desk/fraud?lang=zh-CN');
    await page.locator('table.alerts tbody a').first().click();
    await page.getByRole('link', { name: '以表格查看话单' }).click();
    await page.getByText('40条，共40条').waitFor();
    const text = await page.locator('main').innerText();
    expect(text).not.toContain(MSISDN);
    expect(text).toContain('371****5679');
    expect(await seriousViolations(page)).toEqual([]);
    await page.getByLabel('话单类型').selectOption('voice');
    await page.getByText('10条，共40条').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: '导出CSV' }).click(),
    ]);
    const path = join(folder.path, 'export.csv');
    await download.saveAs(path);
    const file = readFileSync(path, 'utf8');
    expect(file.trim().split('\r\n')).toHaveLength(11);
    expect(file).toContain("'=cmd|calc");
    expect(file).toContain('+08:00');
    expect(file).not.toContain('37112345679');
    await page.getByText('已记入审计日志').waitFor();
    const store = openAccessStore(join(folder.path, 'data/access.sqlite'));
    const entries = [...store.auditRows()].map(
      ({ text: entry }) => JSON.parse(entry) as { action: string; who: object },
    );
    store.close();
    expect(entries.filter(({ action }) => action === 'exportSubscriberRecords')).toMatchObject([
      { who: { id: 'ana' }, object: { records: '10', recordType: 'voice' } },
    ]);
    await page.getByLabel('时间').selectOption('1h');
    await page.getByText('10条，共10条').waitFor();
    expect(await footer(page).innerText()).toContain('10条');
  });

  test('who sells sees usage without numbers and places, and can make no file', { timeout: 180_000 }, async () => {
    const page = await signedIn('rita', `#/records/retention?lang=en&subscriber=${MSISDN}&type=voice`);
    await page.getByText('10 of 40 records').waitFor();
    const text = await page.locator('table.records').innerText();
    expect(text).toContain('****');
    expect(text).not.toContain('371');
    expect(text).not.toContain('north');
    expect(await page.getByRole('button', { name: 'Export CSV' }).count()).toBe(0);
  });
});
