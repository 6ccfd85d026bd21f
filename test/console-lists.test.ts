/**
 * Reference lists in a real browser against a real `serve`: a lead looks at a CSV file, is told what is wrong with it, takes it
 * over, adds and ends entries; and a rule that asks the list fires by what it holds then.
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

const HOSTILE = '<img src=x onerror=alert(1)> =cmd|calc';
const RULE = `id: fraud.hot
version: 1
catalogue: F90
status: stable
desk: fraud
title: { en: Call to a hot number, zh-CN: 呼叫高风险号码 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
where: inList(otherNumber, 'hot')
features:
  many: { aggregate: count, window: 1h }
bands:
  - { severity: warning, if: many >= 1, score: 50 }
reason: { en: "{many} calls", zh-CN: "{many}次呼叫" }
suppress: { for: 1h }
tests:
  - name: fires at a number of the list
    lists: { hot: [{ kind: number, value: "37112345678" }] }
    steps: [{ record: { recordType: voice, direction: mo, otherNumber: "37112345678", durationSec: 5 } }]
    expect: [{ severity: warning }]
`;
let made = 0;
const call = (servedMsisdn: string, otherNumber: string) => {
  made += 1;
  const record = { recordId: `r${made}`, recordType: 'voice', eventTime: Date.now(), servedMsisdn, direction: 'mo' };
  return { subject: 'usage.0.voice', body: JSON.stringify({ ...record, otherNumber, durationSec: 5 }) };
};

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('lists in the console (skipped where no Chromium is found)', () => {
  const folder = temporaryFolder();
  const rules = join(folder.path, 'rules');
  const data = join(folder.path, 'data');
  let broker: Broker;
  let server: Serving;

  beforeAll(async () => {
    broker = await startBroker();
    mkdirSync(join(rules, 'lists'), { recursive: true });
    mkdirSync(data);
    writeFileSync(join(rules, 'hot.yaml'), RULE);
    writeFileSync(join(rules, 'lists/hot.csv'), '# of the operator\nkind,value,note\nnumber,37100000001,first\n');
    await addPeople(data, [
      { name: 'lena', role: 'lead', desk: 'fraud' },
      { name: 'ana', role: 'analyst', desk: 'fraud' },
    ]);
    server = await startServe({ nats: broker.url, rules, data });
  }, 120_000);
  afterAll(async () => {
    await server?.end();
    await endProcesses();
    await broker?.stop();
    folder.remove();
  });
  const newPage = pagesForEach();
  const signedIn = async (name: string, hash: string): Promise<Page> => {
    const page = await newPage();
    await page.goto(`${server.http}/${hash}`);
    await signIn(page, name);
    await page.locator('.lists-page h1').waitFor();
    return page;
  };
  const csv = (text: string) => ({ name: 'hot.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  const alertedSubscribers = async (): Promise<(string | undefined)[]> =>
    (await alertsIn(broker.url)).map(({ servedMsisdn }) => servedMsisdn);

  test('a lead imports a file, adds and ends entries, and rules go by it', { timeout: 240_000 }, async () => {
    const page = await signedIn('lena', '#/lists?list=hot&lang=en');
    await page.getByRole('rowheader', { name: '37100000001' }).waitFor();

    // A file with mistakes changes nothing, and says where they are.
    await page
      .locator('input[type=file]')
      .setInputFiles(csv(`kind,value,note\nnumber,37122222222,${HOSTILE}\nnumber,abc,\n`));
    await page.getByRole('button', { name: 'Look at it' }).click();
    await page.getByText('The file cannot be taken over. Problems found: 1.').waitFor();
    expect(await page.locator('.import tbody').innerText()).toMatch(/3\s+8\s+'abc' is no number/);
    expect(await seriousViolations(page)).toEqual([]);
    expect(readFileSync(join(rules, 'lists/hot.csv'), 'utf8')).not.toContain('37122222222');

    await page
      .locator('input[type=file]')
      .setInputFiles(csv(`value,kind,note\n37122222222,number,${HOSTILE}\n37100000001,number,again\n`));
    await page.getByRole('button', { name: 'Look at it' }).click();
    await page.getByText('Rows to add: 1. In the list already: 1.').waitFor();
    await page.getByRole('button', { name: 'Add them (1)' }).click();
    await page.getByText('Rows added: 1.').waitFor();
    await page.getByRole('cell', { name: HOSTILE }).waitFor();
    await send(broker.url, [call('8613800000001', '37122222222'), call('8613800000002', '37133333333')]);
    await until('the alert of the imported number', async () => (await alertedSubscribers()).includes('8613800000001'));
    expect(await alertedSubscribers()).toEqual(['8613800000001']);

    await page.getByLabel('Value', { exact: true }).fill('37133333333');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByText('37133333333 is in the list.').waitFor();
    await page.getByRole('button', { name: 'End 37122222222' }).click();
    await page.getByRole('button', { name: 'End the entry' }).click();
    await page.getByText('37122222222 is no longer in the list.').waitFor();
    await page.getByRole('rowheader', { name: '37122222222' }).waitFor({ state: 'detached' });
    await send(broker.url, [call('8613800000003', '37122222222'), call('8613800000004', '37133333333')]);
    await until('the alert of the added number', async () => (await alertedSubscribers()).includes('8613800000004'));
    expect(await alertedSubscribers()).not.toContain('8613800000003');
    // The file stays the operator's own: comment, order and first row are as they were.
    expect(readFileSync(join(rules, 'lists/hot.csv'), 'utf8')).toBe(
      '# of the operator\nkind,value,note\nnumber,37100000001,first\nnumber,37133333333,\n',
    );

    const store = openAccessStore(join(data, 'access.sqlite'));
    const actions = [...store.auditRows()]
      .map(({ text }) => JSON.parse(text) as { action: string; who: { id: string }; object: Record<string, string> })
      .filter(({ action }) => /List/.test(action));
    store.close();
    expect(actions.map(({ action, who, object }) => [action, who.id, object['preview'] ?? ''])).toEqual([
      ['importListRows', 'lena', 'true'],
      ['importListRows', 'lena', 'true'],
      ['importListRows', 'lena', 'false'],
      ['addListEntry', 'lena', ''],
      ['endListEntry', 'lena', ''],
    ]);
  });

  test.each([
    { language: 'en', submit: 'Add', missing: 'Fill in this field.', wrong: 'A name begins with a small letter' },
    { language: 'zh-CN', submit: '添加', missing: '请填写此字段。', wrong: '名称须以小写字母开头' },
  ])(
    'in $language: what is wrong with a field is said in the language of the page, and holds nothing up once it is right',
    { timeout: 120_000 },
    async ({ language, submit, missing, wrong }) => {
      const page = await signedIn('lena', `#/lists?list=hot&lang=${language}`);
      const value = page.locator('input[name=value]');
      const said = async (field = value) =>
        field.evaluate((one) => (one as unknown as { validationMessage: string }).validationMessage);
      await page.getByRole('button', { name: submit, exact: true }).click();
      expect(await said()).toBe(missing);
      await value.fill('37144444444');
      expect(await said()).toBe('');
      const name = page.locator('.import input[list]');
      await name.fill('Not a name');
      await page.locator('.import input[type=file]').setInputFiles(csv('kind,value\nnumber,37155555555\n'));
      await page.locator('.import button[type=submit]').click();
      expect(await said(name)).toContain(wrong);
      await name.fill('hot');
      await page.locator('.import button[type=submit]').click();
      await page.locator('.import button.primary').waitFor();
    },
  );

  test('an analyst sees masked rows in Chinese, and changes nothing', { timeout: 120_000 }, async () => {
    const page = await signedIn('ana', '#/lists?list=hot&lang=zh-CN');
    await page.getByRole('rowheader', { name: '371****0001' }).waitFor();
    expect(await page.locator('main').innerText()).not.toContain('37100000001');
    expect(await page.getByRole('button', { name: /移除|预览|添加/ }).count()).toBe(0);
    expect(await seriousViolations(page)).toEqual([]);
    // Where the server is away, that is said in the place of the lists, with the way to try again.
    await page.route(/\/v1\/lists$/, (route) => route.abort());
    await page.reload();
    const failure = page.locator('.lists-page').getByRole('alert');
    await failure.getByText('服务器没有应答').waitFor();
    expect(await page.getByText('正在加载').count()).toBe(0);
    await page.unrouteAll();
    await failure.getByRole('button', { name: '立即重试' }).click();
    await page.getByRole('rowheader', { name: '371****0001' }).waitFor();
  });
});
