/**
 * What a new user does first, in a browser and in both languages, on the demo as `npm run demo` starts it: from an alert to its
 * case and to an outcome, an offer that keeps a customer, and a threshold that one person changes and another one approves, until
 * alerts carry it. Only what a page shows is used; nothing is known beforehand.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { latinTextsOn } from '../src/console/latin-words.ts';
import { en as words } from '../src/console/messages.ts';
import { zhCn as wordsZhCn } from '../src/console/messages-zh-cn.ts';
import { ruleMessages } from '../src/console/rule-messages.ts';
import { ruleMessagesZhCn } from '../src/console/rule-messages-zh-cn.ts';
import { buildIfStale, chromiumPath, seriousViolations } from './browser.ts';
import { pagesForEach } from './pages.ts';
import { endProcesses, ringfence, temporaryFolder, until, whenReady } from './serving.ts';

const LOCATOR_LIMIT_MS = 30_000;
/** A back-test shares the machine with the engine and the feed of the demo. */
const BACK_TEST_LIMIT_MS = 180_000;
const RECENT_MS = 15 * 60_000;

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('a new user and the demo (skipped where no Chromium is found)', () => {
  const folder = temporaryFolder();
  let address: string;

  beforeAll(async () => {
    const demo = ringfence(['demo', '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'], {
      environment: { TMPDIR: folder.path },
      asJob: true,
    });
    address = (await whenReady(demo))!.http;
    // The eighty days of the past come first, and a back-test looks at the last few of them.
    await until('an alert of today', async () => {
      const response = await fetch(`${address}/v1/alerts?ruleId=fraud.calls-per-minute&limit=1`);
      const { alerts } = (await response.json()) as { alerts: AlertData[] };
      return alerts.some(({ eventTime }) => eventTime > Date.now() - RECENT_MS);
    });
  }, 120_000);
  afterAll(async () => {
    await endProcesses();
    folder.remove();
  });
  const newPage = pagesForEach();

  test.each([
    // The second one finds what the first one has left: thresholds go up, and down again.
    {
      language: 'EN',
      t: words,
      r: ruleMessages,
      alert: 'Rapid calls to one destination',
      calls: 'Calls',
      from: '3',
      to: '4',
    },
    {
      language: '中文',
      t: wordsZhCn,
      r: ruleMessagesZhCn,
      alert: '短时高频呼叫同一目的地',
      calls: '呼叫数',
      from: '4',
      to: '3',
    },
  ])(
    'confirms a fraud, saves a customer, changes a threshold with a second person, sees it in alerts: $language',
    { timeout: 400_000 },
    async ({ language, t, r, alert, calls, from, to }) => {
      const page = await newPage({ viewport: { width: 1440, height: 1000 } });
      page.setDefaultTimeout(LOCATOR_LIMIT_MS);
      const button = (name: string) => page.getByRole('button', { name, exact: true });
      const link = (name: string) => page.getByRole('link', { name, exact: true });
      const isInLanguage = async (): Promise<void> => {
        // Names of rules come a moment after the page.
        if (language !== 'EN') await expect.poll(() => latinTextsOn(page)).toEqual([]);
      };

      // An alert, why it fired, and the case that it is worked on in.
      await page.goto(address);
      await button(language).click();
      await page.getByLabel(t.signIn.yourName).fill('Anna Li');
      await page.locator('table.alerts tbody tr', { hasText: alert }).first().getByRole('link').click();
      await page.getByRole('heading', { name: alert, level: 2 }).waitFor();
      await page.locator('table.evidence').getByText(calls, { exact: true }).waitFor();
      // What its rule says of it stands beside.
      for (const name of [r.falsePositives, r.runbook])
        await page.getByRole('heading', { name, exact: true }).waitFor();
      await isInLanguage();
      expect(await seriousViolations(page)).toEqual([]);
      await link(t.panel.toCases).click();
      await button(t.cases.close).click();
      await page.getByLabel(t.outcomes.confirmed, { exact: true }).check();
      await page.locator('dialog[open]').getByRole('button', { name: t.cases.close, exact: true }).click();
      await page.locator('.timeline li', { hasText: 'Anna Li' }).getByText(t.outcomes.confirmed).waitFor();
      await isInLanguage();

      // An offer to a customer who is about to leave, and that it worked.
      await page.getByRole('navigation').getByRole('link', { name: t.nav.retention }).click();
      await link(t.queue.toCases).click();
      await page.locator('table.cases tbody tr').first().getByRole('link').click();
      await button(t.caseQuestions.offer.button).click();
      const offer = page.locator('dialog[open]');
      await offer.getByLabel(t.cases.offer, { exact: true }).fill('renewal-12');
      await offer.getByLabel(t.cases.cost, { exact: true }).fill('9.5');
      await offer.getByLabel(t.offerResults.accepted, { exact: true }).check();
      await isInLanguage();
      await offer.locator('button[type=submit]').click();
      await page.getByRole('rowheader', { name: 'renewal-12' }).waitFor();
      await button(t.cases.close).click();
      await page.getByLabel(t.outcomes.saved, { exact: true }).check();
      await page.locator('dialog[open]').getByRole('button', { name: t.cases.close, exact: true }).click();
      await page.locator('.timeline li', { hasText: 'Anna Li' }).getByText(t.outcomes.saved).waitFor();

      // The rule of the alert: another threshold, what it would have changed, and why.
      await page.getByRole('navigation').getByRole('link', { name: t.nav.rules, exact: true }).click();
      await page.getByLabel(r.searchLabel).fill(alert);
      await link(alert).click();
      const threshold = page.getByLabel('warningCalls', { exact: true });
      await expect.poll(() => threshold.inputValue()).toBe(from);
      await threshold.fill(to);
      await button(r.check).click();
      await page.locator('.diff .added', { hasText: `warningCalls: ${to}` }).waitFor();
      await button(r.runBackTest).click();
      await page.locator('.back-test-figures').waitFor({ timeout: BACK_TEST_LIMIT_MS });
      // The case that was confirmed is one of those that the alerts are judged by.
      await page.locator('.back-test-figures').getByText('100%').first().waitFor();
      await page.getByLabel(r.why).fill('what was too loud, and too quiet');
      const acceptsFailed = page.getByLabel(r.acceptFailed);
      if ((await acceptsFailed.count()) > 0) await acceptsFailed.check();
      await isInLanguage();
      await button(r.submit).click();
      await page.getByText(r.ownProposal).waitFor();
      expect(await button(r.approve).count()).toBe(0);

      // Another person decides.
      await button(r.beOther).click();
      await page.keyboard.type('Bo');
      await page.locator('.proposal .back-test-figures').waitFor();
      await isInLanguage();
      await button(r.approve).click();
      await page.locator('.said-done').waitFor();
      await expect.poll(() => threshold.inputValue(), { timeout: LOCATOR_LIMIT_MS }).toBe(to);
      const version = await page.locator('.panel-state').innerText();

      // Alerts that come from now on are of the new version.
      await link(r.toAlerts).click();
      const nextVersion = t.panel.ruleVersion(/\d+/.exec(version.replace(/.*?calls-per-minute/s, ''))![0]);
      await expect
        .poll(
          async () => {
            // The list stands still while somebody works in it; new alerts wait behind a button.
            const newer = page.locator('.new-pill');
            if (await newer.isVisible()) await newer.click();
            await page.locator('table.alerts tbody tr').first().getByRole('link').click();
            return page.locator('.panel .facts').first().innerText();
          },
          { timeout: 90_000, interval: 1_000 },
        )
        .toContain(nextVersion);
    },
  );

  test.each([
    ['operations', 'canvas'],
    ['desk/fraud?sort=score', 'table tbody a', '.panel .contributing table'],
    ['desk/arrears', 'table tbody a', '.panel .subscriber .facts'],
    ['desk/retention', 'table tbody a', '.panel .subscriber .facts'],
    ['cases/arrears', 'table tbody a', '.panel .timeline li'],
    ['cases/retention', 'table tbody a', '.panel .timeline li'],
    ['rules', 'table tbody a', '.panel .rule-form'],
    ['lists?list=iprn', '.list-form'],
    ['deadletters', '.desk'],
  ])('no page has a word in Chinese that is not Chinese: %s', async (place, shows, opened = '') => {
    const page = await newPage({ viewport: { width: 1440, height: 1000 } });
    page.setDefaultTimeout(LOCATOR_LIMIT_MS);
    await page.goto(`${address}/#/${place}${place.includes('?') ? '&' : '?'}lang=zh-CN`);
    await page.locator(shows).first().waitFor();
    if (opened !== '') {
      await page.locator(shows).first().click();
      await page.locator(opened).first().waitFor();
    }
    await expect.poll(() => latinTextsOn(page)).toEqual([]);
  });
});
