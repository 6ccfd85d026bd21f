/** Signing in, in a real browser against a real `serve`: what stands before the desks, and what each person then sees of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AuditEntry } from '../src/access/audit.ts';
import type { Role } from '../src/access/grants.ts';
import { hashPassword, passwordMatches } from '../src/access/password.ts';
import { type AccessStore, openAccessStore } from '../src/access/store.ts';
import { alertEvent, alertSubject, DESKS, type Desk } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { buildIfStale, chromiumPath, seriousViolations } from './browser.ts';
import { alertWith } from './http-gateway.ts';
import { pagesForEach, signIn } from './pages.ts';
import { endProcesses, type Serving, startServe } from './serving.ts';

const MSISDN = '8613800001234';
const OTHER = '8613900005678';
const PASSWORD = 'a long enough sentence';
const author = { who: { kind: 'command', id: 'test' } };

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('signing in (skipped where no Chromium is found)', () => {
  let broker: Broker;
  let nc: NatsConnection;
  let js: JetStreamClient;
  let page: Page;
  let data: string;
  let store: AccessStore;
  let server: Serving;
  let hash: string;

  const addPerson = (name: string, roles: Role[], desks: Desk[], mustChange = false) => {
    store.addUser({ name, roles, desks, password: hash }, author);
    store.changeUser(name, { password: { hash, mustChange } }, author);
  };
  const publish = async (desk: Desk, alertId: string): Promise<void> => {
    const alert = alertWith({
      alertId,
      desk,
      eventTime: Date.now(),
      servedMsisdn: MSISDN,
      key: { type: 'subscriber', value: MSISDN },
      reason: { en: `12 calls to ${OTHER}`, 'zh-CN': `呼叫${OTHER}共12次` },
      evidence: [{ feature: 'target', window: '1h', value: OTHER, threshold: '', unit: '' }],
    });
    await js.publish(alertSubject(alert), JSON.stringify(alertEvent(alert, '/ringfence/test')));
  };
  const comesIn = async (name: string, password: string, language = 'en'): Promise<void> => {
    await page.goto(`${server.http}/#/desk/fraud?lang=${language}`);
    await signIn(page, name, password);
  };
  const entries = (): AuditEntry[] => [...store.auditRows()].map(({ text }) => JSON.parse(text) as AuditEntry);

  beforeAll(async () => {
    broker = await startBroker();
    data = mkdtempSync(join(tmpdir(), 'ringfence-console-access-'));
    store = openAccessStore(join(data, 'access.sqlite'));
    hash = await hashPassword(PASSWORD);
    addPerson('lin', ['analyst'], ['fraud']);
    addPerson('mei', ['retention'], ['retention']);
    addPerson('sam', ['sre'], [...DESKS]);
    server = await startServe({ nats: broker.url, data });
    nc = await connect({ servers: broker.url });
    js = jetstream(nc);
    await publish('fraud', 'alert-fraud');
    await publish('retention', 'alert-retention');
  });
  afterAll(async () => {
    await nc?.close();
    await server?.end();
    store.close();
    await endProcesses();
    await broker?.stop();
    rmSync(data, { recursive: true, force: true });
  });
  const newPage = pagesForEach();
  beforeEach(async () => {
    page = await newPage();
  });

  test.each([
    ['en', 'Sign in', 'Name or password is wrong.'],
    ['zh-CN', '登录', '用户名或密码错误。'],
  ])(
    'in %s: the page says what is wrong, keeps nobody out, and lets the right one in',
    async (language, heading, wrong) => {
      await comesIn('lin', 'not the password', language);
      await page.getByRole('heading', { name: heading }).waitFor();
      await page.getByRole('alert').getByText(wrong).waitFor();
      expect(await seriousViolations(page)).toEqual([]);
      // No data before the sign-in: neither rows nor a live connection.
      expect(await page.locator('table.alerts').count()).toBe(0);
      await page.locator('input[name=password]').fill(PASSWORD);
      await page.locator('button[type=submit]').click();
      await page.locator('.connection.live').waitFor();
      await page.locator('table.alerts tbody a').first().waitFor();
      await page.locator('.signed-in .person').getByText('lin').waitFor();
      expect(await seriousViolations(page)).toEqual([]);
    },
  );

  test('each person sees the desks and pages of their roles', async () => {
    const links = () =>
      page.locator('header nav a').evaluateAll((all) => all.map(({ textContent }) => textContent?.replace(/\d.*/, '')));
    await comesIn('lin', PASSWORD);
    await page.locator('.connection.live').waitFor();
    await expect.poll(links).toEqual(['Fraud', 'Rules', 'Lists', 'Operations']);
    await page.locator('.signed-in button').click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await comesIn('mei', PASSWORD);
    await page.locator('.connection.live').waitFor();
    await expect.poll(links).toEqual(['Retention', 'Rules', 'Operations']);
    // An address that somebody else has sent says why there is nothing to see.
    for (const [address, says] of [
      ['audit', 'This page is not open to your roles.'],
      ['admin', 'This page is not open to your roles.'],
      ['desk/fraud', 'This desk is not one of yours.'],
    ] as const) {
      await page.goto(`${server.http}/#/${address}`);
      await page.locator('main').getByText(says).waitFor();
      await page.locator('.connection').getByText('Live', { exact: true }).first().waitFor();
    }
    await page.goto(`${server.http}/#/desk/retention`);
    await expect.poll(() => page.locator('table.alerts tbody a').count()).toBe(1);
    await page.locator('.signed-in button').click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await comesIn('sam', PASSWORD);
    await page.locator('.signed-in').waitFor();
    await expect.poll(links).toEqual(['Rules', 'Rejected', 'Operations']);
  });

  test('a number is masked until somebody says why they need it', async () => {
    await comesIn('lin', PASSWORD);
    await page.locator('table.alerts tbody a').first().click();
    await page.locator('.panel .reason-sentence').getByText('86139****5678').waitFor();
    const shown = () => page.content();
    for (const number of [MSISDN, OTHER]) expect(await shown()).not.toContain(number);
    await page.locator('button.reveal').click();
    await page.locator('form.reveal input').fill('<img src=x onerror=alert(1)> customer calls');
    expect(await seriousViolations(page)).toEqual([]);
    await page.locator('form.reveal button[type=submit]').click();
    await page.locator('.panel .reason-sentence').getByText(OTHER).waitFor();
    await page.locator('.panel dd .number').getByText(MSISDN).waitFor();
    expect(entries().findLast(({ action }) => action === 'revealAlert')).toMatchObject({
      who: { kind: 'user', id: 'lin' },
      object: { alertId: 'alert-fraud' },
      reason: '<img src=x onerror=alert(1)> customer calls',
      result: 'done',
    });
  });

  test.each([
    ['en', 'Choose a password of your own', 'The two new passwords differ.'],
    ['zh-CN', '请设置您自己的密码', '两次输入的新密码不一致。'],
  ])('in %s: a one-time password has to be changed', async (language, heading, differ) => {
    const name = `new-${language}`;
    addPerson(name, ['lead'], ['fraud'], true);
    await comesIn(name, PASSWORD, language);
    await page.getByRole('heading', { name: heading }).waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    const fill = async (current: string, next: string, again: string): Promise<void> => {
      for (const [field, value] of Object.entries({ current, next, again })) {
        await page.locator(`input[name=${field}]`).fill(value);
      }
      await page.locator('button[type=submit]').click();
    };
    await fill(PASSWORD, 'quite another sentence', 'quite an other sentence');
    await page.getByRole('alert').getByText(differ).waitFor();
    await fill(PASSWORD, 'quite another sentence', 'quite another sentence');
    await page.locator('.connection.live').waitFor();
    expect(store.user(name)?.mustChangePassword).toBe(false);
  });

  test.each([
    ['en', 'Audit', 'Signed in', 'Done'],
    ['zh-CN', '审计', '登录', '成功'],
  ])('in %s: an administrator reads who did what, as text', async (language, name, signedIn, done) => {
    const admin = `admin-${language}`;
    const hostile = '<img src=x onerror=alert(1)> "\u202Egnp';
    const at = new Date().toISOString();
    store.audit([
      { at, ...author, action: 'putRule', object: { id: hostile }, result: 'denied', reason: hostile, more: 3 },
    ]);
    addPerson(admin, ['admin'], [...DESKS]);
    await comesIn(admin, PASSWORD, language);
    await page.getByRole('link', { name, exact: true }).click();
    const rows = page.locator('table.audit tbody tr');
    await rows.filter({ hasText: signedIn }).first().getByText(done).waitFor();
    // The reason that somebody gave is shown, and is no markup.
    await rows.filter({ hasText: hostile }).first().waitFor();
    expect(await page.locator('table.audit img').count()).toBe(0);
    // A text that turns the direction of writing turns its own only.
    expect(await page.locator('table.audit bdi').filter({ hasText: hostile }).count()).toBeGreaterThan(1);
    expect(await seriousViolations(page)).toEqual([]);
  });

  test.each([
    {
      language: 'en',
      words: {
        page: 'Administration',
        add: 'Add a person',
        wrong: 'without spaces',
        key: 'Make a key',
        whole: /^Whole: /,
      },
    },
    {
      language: 'zh-CN',
      words: { page: '管理', add: '添加人员', wrong: '不含空格', key: '创建密钥', whole: /^完整：/ },
    },
  ])(
    'in $language: an administrator adds a person and a key, and sees each secret once',
    async ({ language, words }) => {
      // A second try finds the people of the first.
      const round = `${language}-${store.users().length}`;
      const [admin, person, program] = [`boss-${round}`, `kai-${round}`, `crm-${round}`];
      addPerson(admin, ['admin'], [...DESKS]);
      await comesIn(admin, PASSWORD, language);
      // The lists come late: a form that somebody has opened meanwhile stays open.
      const opened = Promise.withResolvers<void>();
      await page.route('**/v1/users', (route) => opened.promise.then(() => route.continue()));
      await page.getByRole('link', { name: words.page, exact: true }).click();
      const dialog = page.getByRole('dialog');
      const secret = async (): Promise<string> => {
        await dialog.locator('.secret code').waitFor();
        expect(await seriousViolations(page)).toEqual([]);
        const text = await dialog.locator('.secret code').innerText();
        await dialog.locator('button.primary').click();
        // A dialog is closed a moment before it is gone.
        await expect.poll(() => page.content()).not.toContain(text);
        return text;
      };
      const people = page.locator('section').first();
      await people.getByText(words.add).first().click();
      await people.locator('input[required]').fill(person);
      await people.locator('input[value=analyst]').check();
      opened.resolve();
      await people.getByRole('row', { name: admin }).waitFor();
      await people.locator('input[value=fraud]').check();
      expect(await seriousViolations(page)).toEqual([]);
      const nameField = people.locator('input[required]');
      await nameField.fill('two words');
      await people.locator('button[type=submit]').click();
      await people.getByRole('alert').getByText(words.wrong).waitFor();
      expect(await seriousViolations(page)).toEqual([]);
      await nameField.fill(person);
      await people.locator('button[type=submit]').click();
      const password = await secret();
      expect(store.user(person)).toMatchObject({ roles: ['analyst'], desks: ['fraud'], mustChangePassword: true });
      expect(await passwordMatches(password, store.passwordOf(person)!)).toBe(true);
      // Other roles, and away with the person.
      const row = people.getByRole('row', { name: person });
      await row.getByRole('button').first().click();
      await dialog.locator('input[value=lead]').check();
      await dialog.locator('button[type=submit]').click();
      await expect.poll(() => store.user(person)?.roles).toEqual(['analyst', 'lead']);
      await row.getByRole('button').last().click();
      await expect.poll(() => store.user(person)?.disabledAt).not.toBeNull();
      // Nobody takes their own right away: there is no button for it.
      expect(await people.getByRole('row', { name: admin }).getByRole('button').count()).toBe(2);

      const programs = page.locator('section').last();
      await programs.getByText(words.key).first().click();
      await programs.locator('input[required]').fill(program);
      await programs.locator('input[value="alerts:read"]').check();
      await programs.locator('button[type=submit]').click();
      const key = await secret();
      const ask = async () =>
        (await fetch(`${server.http}/v1/alerts`, { headers: { authorization: `Bearer ${key}` } })).status;
      expect(await ask()).toBe(200);
      await programs.getByRole('row', { name: program }).getByRole('button').click();
      await expect.poll(ask).toBe(401);
      expect(
        entries()
          .slice(-20)
          .map(({ action }) => action),
      ).toEqual(expect.arrayContaining(['users.add', 'users.change', 'keys.add', 'keys.revoke']));
      // No secret is in the log that says who made it.
      expect(JSON.stringify(entries())).not.toContain(password);

      await page.getByRole('link', { name: language === 'en' ? 'Audit' : '审计', exact: true }).click();
      await page.locator('.toolbar button').first().click();
      await page.locator('.audit-verdict').getByText(words.whole).waitFor();
    },
  );

  test('who is disabled is back before the page at once, with nothing left on it', async () => {
    addPerson('kim', ['lead'], ['fraud']);
    await comesIn('kim', PASSWORD);
    await page.locator('table.alerts tbody a').first().waitFor();
    store.changeUser('kim', { disabled: true }, author);
    await publish('fraud', 'alert-after');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.content()).not.toContain('alert-after');
  });
});
