/** The cases in a real browser, served by a real gateway on a real broker. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { caseIdOf } from '../src/cases/case-event.ts';
import { en } from '../src/console/messages.ts';
import { zhCn } from '../src/console/messages-zh-cn.ts';
import type { GatewayOptions } from '../src/http/server.ts';
import { buildIfStale, builtConsole, chromiumPath, seriousViolations } from './browser.ts';
import { alertWith, type Bench, type RunningGateway, startBench } from './http-gateway.ts';
import { pagesForEach } from './pages.ts';

/** A list that might be read later would have been asked for again. */
const RETRIED_BY_THEN_MS = 6_000;
const HOSTILE = '<img src=x onerror="document.title=1">\u202e"\'`{{7*7}}';

beforeAll(buildIfStale);

describe.skipIf(chromiumPath === undefined)('cases in a browser (skipped where no Chromium is found)', () => {
  let bench: Bench;
  let gateway: RunningGateway;
  const entries: object[] = [];
  const lists: GatewayOptions['lists'] = {
    all: () => [{ name: 'hotNumbers', rows: 1, kinds: { number: 1 } }],
    async add(list, entry) {
      if (list !== 'hotNumbers') return { problem: `There is no list ${list}.` };
      entries.push({ list, ...entry });
      return { added: true };
    },
    text: () => undefined,
    importRows: async () => ({ added: 0, present: 0, problems: [] }),
    remove: async () => false,
  };
  beforeAll(async () => {
    bench = await startBench();
    gateway = await bench.start({ consoleDir: builtConsole, lists });
  });
  afterAll(async () => {
    await bench?.stop();
  });

  const newPage = pagesForEach();
  const open = async (hash: string, name = 'Anna'): Promise<Page> => {
    const page = await newPage();
    await page.addInitScript(`localStorage.setItem('ringfence.name', ${JSON.stringify(name)})`);
    await page.goto(`${gateway.url}/${hash}`);
    await page.locator('.connection.live').waitFor();
    return page;
  };
  let made = 0;
  /** An alert that opens a case of its own. @returns id of the case */
  const publish = async (fields: Partial<AlertData> = {}): Promise<{ caseId: string; number: string }> => {
    made += 1;
    const number = `86137${String(made).padStart(8, '0')}`;
    const key = { type: 'subscriber', value: number };
    const alert = alertWith({ servedMsisdn: number, key, suggestedActions: ['call-subscriber'], ...fields });
    await bench.publishAlert(alert);
    return { caseId: caseIdOf(alert.desk, caseKeyOf(alert), alert.alertId), number };
  };
  const rows = (page: Page) => page.locator('table.cases tbody tr[aria-rowindex]');
  const row = (page: Page, number: string) => rows(page).filter({ hasText: number });
  const panel = (page: Page) => page.getByRole('complementary');
  /** The gateway reads an alert a moment after it was stored; until then its case does not exist. */
  const post = (caseId: string, event: object): Promise<void> =>
    expect
      .poll(async () => {
        const { status } = await fetch(`${gateway.url}/v1/cases/${caseId}/events`, {
          method: 'POST',
          body: JSON.stringify(event),
          headers: { 'content-type': 'application/json' },
        });
        return status;
      })
      .toBe(200);

  test('from the first alert to the outcome and back: take next, note, close, undo', async () => {
    const page = await open('#/cases/arrears?lang=en');
    const { number } = await publish({
      desk: 'arrears',
      severity: 'critical',
      title: { en: 'Bill unpaid', 'zh-CN': '账单未付' },
    });
    await row(page, number).waitFor();
    await page.getByRole('button', { name: 'Take next' }).click();
    await panel(page).getByRole('heading', { name: 'Bill unpaid' }).waitFor();
    await row(page, number).getByText('Anna').waitFor();
    await panel(page).getByLabel('Note').fill(HOSTILE);
    await panel(page).getByRole('button', { name: 'Add note' }).click();
    await panel(page).locator('.timeline').getByText(HOSTILE).waitFor();
    await panel(page).getByRole('button', { name: 'Close case' }).click();
    const dialog = page.getByRole('dialog');
    // Without an outcome there is no closing, and the outcomes are those of the desk.
    expect(await dialog.getByRole('button', { name: 'Close case' }).isDisabled()).toBe(true);
    expect(await dialog.getByRole('radio').count()).toBe(5);
    await dialog.getByLabel('Promised to pay').check();
    await dialog.getByLabel('Reason').fill('on Friday');
    await dialog.getByRole('button', { name: 'Close case' }).click();
    await page.getByText('1 case closed.').waitFor();
    await panel(page).getByText('Promised to pay: on Friday').waitFor();
    await panel(page).getByRole('button', { name: 'Reopen' }).waitFor();
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('1 case put back.').waitFor();
    await panel(page).getByRole('button', { name: 'Close case' }).waitFor();
    await panel(page).getByText('(taken back)').waitFor();
    // A sentence for each step, also where nobody is given the case any more.
    await panel(page).getByRole('button', { name: 'Give back' }).click();
    await panel(page).locator('.timeline').getByText('Anna gave the case back').waitFor();
    await panel(page).locator('.timeline').getByText('Anna took the last step back').waitFor();
    expect(page.url()).toMatch(/case=[0-9a-f]{32}/);
  });

  test('from an alert to its case, closed or not; an address of no case, and taking one without a name, are told', async () => {
    const { caseId, number } = await publish({ desk: 'arrears' });
    await post(caseId, { type: 'outcome', outcome: 'paid', by: 'Ben' });
    const { alertList } = (await (await fetch(`${gateway.url}/v1/cases/${caseId}`)).json()) as {
      alertList: AlertData[];
    };
    const page = await open(`#/desk/arrears?alert=${alertList[0]!.alertId}&lang=en`, '');
    await panel(page).getByRole('link', { name: 'Its case' }).click();
    await panel(page).getByRole('button', { name: 'Reopen' }).waitFor();
    await panel(page).getByText(number).first().waitFor();
    expect(page.url()).toContain(`case=${caseId}`);
    await page.goBack();
    await panel(page).getByRole('link', { name: 'Its case' }).waitFor();
    await page.goto(`${gateway.url}/#/cases/arrears?alert=unknown&lang=en`);
    await page.getByRole('status').getByText('This alert is in no case').waitFor();
    for (const address of ['nonsense', '0'.repeat(32)]) {
      await page.goto(`${gateway.url}/#/cases/arrears?case=${address}&lang=en`);
      await panel(page).getByText('There is no such case on your desks').waitFor();
    }
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Take next' }).click();
    await page.getByRole('status').getByText('Say who you are first').waitFor();
    await page.locator('.my-name:focus').waitFor();
  });

  test('no row moves when cases are chosen and changed, and when it is told', async () => {
    const [first, second] = [await publish(), await publish()];
    const page = await open('#/cases/fraud?lang=en');
    await row(page, second.number).waitFor();
    const top = async () => (await rows(page).first().boundingBox())!.y;
    const before = await top();
    await row(page, first.number).getByRole('checkbox').check();
    await page.getByText('1 chosen').waitFor();
    expect(await top()).toBe(before);
    await page.locator('.bulk-bar').getByRole('button', { name: 'Acknowledge' }).click();
    await page.getByText('1 case acknowledged.').waitFor();
    expect(await top()).toBe(before);
  });

  test('what others do appears in its row, new cases wait, and nothing moves', async () => {
    const first = await publish({ severity: 'info' });
    const page = await open('#/cases/fraud?lang=en');
    await row(page, first.number).waitFor();
    await page.waitForLoadState('networkidle');
    const newer = page.getByRole('button', { name: '1 case is new or back' });
    const urgent: string[] = [];
    let before = 0;
    // A case that comes while the page reads its list once more, because the live feed has begun, is in the list at once.
    do {
      before = await rows(page).count();
      urgent.push((await publish({ severity: 'critical' })).number);
      await newer
        .or(row(page, urgent.at(-1)!))
        .first()
        .waitFor();
    } while (urgent.length < 5 && !(await newer.isVisible()));
    await newer.waitFor();
    // What the filters do not find is none of the new cases.
    await publish({ severity: 'warning' });
    const severe = await open(`#/cases/fraud?lang=en&severity=critical`);
    await row(severe, urgent.at(-1)!).waitFor();
    const mild = await publish({ severity: 'info' });
    await page.getByRole('button', { name: /cases are new or back/ }).waitFor();
    await post(mild.caseId, { type: 'note', note: 'seen', by: 'Ben' });
    expect(await severe.getByRole('button', { name: /new or back/ }).count()).toBe(0);
    await severe.close();
    await post(first.caseId, { type: 'assign', assignee: 'Ben', by: 'Ben' });
    await row(page, first.number).getByText('Ben').waitFor();
    expect(await rows(page).count()).toBe(before);
    await page.getByRole('button', { name: /cases are new or back/ }).click();
    await row(page, urgent.at(-1)!).waitFor();
    // What is due first stands first.
    expect(await rows(page).first().innerText()).toContain(urgent[0]);
  });

  test('many at once, with the keyboard, and who was too late is told', async () => {
    const [one, two] = [await publish({ desk: 'retention' }), await publish({ desk: 'retention' })];
    const page = await open('#/cases/retention?lang=en');
    await row(page, two.number).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.getByText('2 chosen').waitFor();
    await page.keyboard.press('e');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('heading', { name: 'Close 2 cases' }).waitFor();
    await dialog.getByLabel('Saved').check();
    await dialog.getByLabel('Offer', { exact: true }).fill('half-price');
    await dialog.getByLabel('Cost of the offer').fill('5');
    // Somebody else was quicker, and has not been seen yet.
    await post(one.caseId, { type: 'outcome', outcome: 'unreachable', by: 'Ben' });
    await dialog.getByRole('button', { name: 'Close case' }).click();
    await page.getByText('1 case closed.').waitFor();
    await page.getByText('1 case was changed by somebody else first.').waitFor();
    const { closing } = (await (await fetch(`${gateway.url}/v1/cases/${two.caseId}`)).json()) as { closing: object };
    expect(closing).toMatchObject({ outcome: 'saved', offerId: 'half-price', cost: 5, by: 'Anna' });
  });

  test('keys are about the case that has the focus, and go on where one has left the list', async () => {
    const ruleId = 'fraud.by-keys';
    const five: { caseId: string; number: string }[] = [];
    while (five.length < 5) five.push(await publish({ ruleId }));
    const page = await open('#/cases/fraud?lang=en&status=open&rule=fraud.by-keys');
    await row(page, five[4]!.number).waitFor();
    const numberAt = async (at: number): Promise<string> =>
      (await rows(page).nth(at).locator('.c-case-subject').innerText()).trim();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    const [second, third, fourth, fifth] = [await numberAt(1), await numberAt(2), await numberAt(3), await numberAt(4)];
    // Acknowledged, it leaves the list of the open ones; another case comes under the focus.
    await page.keyboard.press('a');
    await row(page, second).waitFor({ state: 'detached' });
    await page.locator('tr.active a:focus').waitFor();
    await page.keyboard.press('e');
    const dialog = page.getByRole('dialog');
    // It begins in the first field: the first key pressed there chooses.
    await dialog.locator('input[name=outcome]:focus').first().waitFor();
    await page.keyboard.press('Space');
    await page.keyboard.press('Enter');
    await row(page, third).waitFor({ state: 'detached' });
    const statusOf = async (number: string): Promise<string> => {
      const { caseId } = five.find((one) => one.number === number)!;
      return ((await (await fetch(`${gateway.url}/v1/cases/${caseId}`)).json()) as { status: string }).status;
    };
    expect([await statusOf(second), await statusOf(third)]).toEqual(['acknowledged', 'closed']);
    // With its panel open, a closed case leaves the list too: the next key goes to what has come in its place.
    await page.locator('tr.active a:focus').waitFor();
    await page.keyboard.press('Enter');
    await panel(page).locator('.subscribers').getByText(fourth).waitFor();
    await page.keyboard.press('e');
    await dialog.locator('input[name=outcome]:focus').first().waitFor();
    await page.keyboard.press('Space');
    await page.keyboard.press('Enter');
    await row(page, fourth).waitFor({ state: 'detached' });
    await page.keyboard.press('j');
    await panel(page).locator('.subscribers').getByText(fifth).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('tr.active a:focus').waitFor();
  });

  test('the further filters go away with Escape, with a click elsewhere, and for a dialog', async () => {
    const { caseId } = await publish();
    const page = await open(`#/cases/fraud?lang=en&case=${caseId}`);
    const columns = page.getByRole('group', { name: 'Columns' });
    const more = page.locator('.more-filters > summary');
    await panel(page).getByRole('button', { name: 'Snooze', exact: true }).waitFor();
    await more.click();
    await columns.waitFor();
    await page.keyboard.press('Escape');
    await columns.waitFor({ state: 'hidden' });
    await page.locator('.more-filters > summary:focus').waitFor();
    // The panel is another thing, which the next Escape is for.
    expect(await panel(page).count()).toBe(1);
    await more.click();
    await columns.getByRole('checkbox').first().click();
    await columns.waitFor();
    await panel(page).getByRole('button', { name: 'Snooze', exact: true }).click();
    await page.getByRole('dialog').waitFor();
    await columns.waitFor({ state: 'hidden' });
  });

  test('a case leads to its subscriber, and says how long is left', async () => {
    const { caseId, number } = await publish({ desk: 'arrears', severity: 'critical' });
    const page = await open(`#/cases/arrears?lang=en&case=${caseId}`);
    await panel(page)
      .getByText(/ · in \d+m$/)
      .waitFor();
    await panel(page).getByRole('link', { name: number, exact: true }).click();
    await page.waitForURL(`**subscriber=${number}*`);
    await page.goBack();
    await panel(page).getByRole('button', { name: 'Close case' }).waitFor();
  });

  test('who writes from the right to the left, or turns it, does so in the own words alone', async () => {
    const { caseId } = await publish();
    await post(caseId, { type: 'note', note: 'a note', by: '\u202eoB' });
    await post(caseId, { type: 'tag', add: ['\u202ebadger', 'second'], by: 'Anna' });
    const page = await open(`#/cases/fraud?lang=en&case=${caseId}`);
    const timeline = panel(page).locator('.timeline');
    // Where a text begins on the screen, whatever stands around it.
    const leftOf = (text: string): Promise<number> =>
      page.evaluate(`(() => {
        const texts = document.createTreeWalker(document.querySelector('.timeline'), NodeFilter.SHOW_TEXT);
        while (texts.nextNode() !== null) {
          const at = texts.currentNode.data.indexOf('${text}');
          if (at < 0) continue;
          const range = document.createRange();
          range.setStart(texts.currentNode, at);
          range.setEnd(texts.currentNode, at + ${text.length});
          return range.getBoundingClientRect().left;
        }
        return document.querySelector('.timeline').innerText;
      })()`);
    await timeline.getByText('second').waitFor();
    expect(await leftOf('oB')).toBeLessThan(await leftOf('wrote'));
    expect(await leftOf('badger')).toBeLessThan(await leftOf('second'));
  });

  test('a rule is snoozed for one subscriber, after a look at what that would have hidden; outcomes are counted', async () => {
    const { caseId, number } = await publish({ desk: 'arrears', ruleId: 'arrears.snoozed' });

    const page = await open(`#/cases/arrears?q=${number}&case=${caseId}&lang=en`);
    await panel(page).getByText('Snooze a rule here').click();
    // Its only rule is chosen already.
    expect(await panel(page).getByRole('combobox', { name: 'Rule' }).inputValue()).toBe('arrears.snoozed');
    await panel(page).getByText('it would have hidden alerts: 1; cases: 1').waitFor();
    await panel(page).getByRole('textbox', { name: 'Reason' }).fill('a known dialler');
    await panel(page).getByRole('button', { name: 'Snooze the rule' }).click();
    await page.getByText('1 case with a rule snoozed.').waitFor();
    await panel(page).locator('.timeline').getByText('a known dialler').waitFor();
    await publish({ desk: 'arrears', ruleId: 'arrears.snoozed', servedMsisdn: number });
    await page.keyboard.press('e');
    await page.getByRole('dialog').getByLabel('Disputed').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Close case' }).click();
    await page.getByText('1 case closed.').waitFor();
    await page.getByRole('button', { name: 'Outcomes' }).click();
    const figures = page.getByRole('dialog').getByRole('row', { name: 'arrears.snoozed' });
    expect((await figures.innerText()).split(/\s+/).slice(-5)).toEqual(['arrears.snoozed', '1', '0', '1', '0%']);
    expect(await seriousViolations(page)).toEqual([]);
  });

  test.each([
    {
      language: 'en',
      texts: en,
      words: { done: '1 case with a promise recorded.', promise: '120.00 by', entry: 'hotNumbers:' },
    },
    {
      language: 'zh-CN',
      texts: zhCn,
      words: { done: '1 个案件已记录付款承诺。', promise: '付款120.00', entry: 'hotNumbers:' },
    },
  ])(
    'in $language: a promise to pay lets the case sleep, an offer and an entry of a list are written down',
    async ({ language, texts, words }) => {
      const ask = (page: Page, question: string) => panel(page).locator(`button[data-question=${question}]`).click();
      const dialog = (page: Page) => page.getByRole('dialog');
      const owed = await publish({ desk: 'arrears' });
      let page = await open(`#/cases/arrears?case=${owed.caseId}&lang=${language}`);
      await ask(page, 'promise');
      expect(await seriousViolations(page)).toEqual([]);
      const day = new Date(Date.now() + 3 * 86_400_000).toISOString().slice(0, 10);
      await dialog(page).locator('input[name=promiseAt]').fill(day);
      // The field has the browser's order of day and month; below it stands the date as the console writes it.
      const written = new Intl.DateTimeFormat(language, { year: 'numeric', month: 'short', day: 'numeric' });
      await dialog(page)
        .getByText(written.format(new Date(`${day}T12:00`)))
        .waitFor();
      const amount = dialog(page).locator('input[name=amount]');
      await amount.fill('-3');
      await dialog(page).locator('button[type=submit]').click();
      await dialog(page).getByRole('alert').getByText(texts.cases.wrongAmount).waitFor();
      await dialog(page).locator('input[name=amount]:focus').waitFor();
      expect(await seriousViolations(page)).toEqual([]);
      await amount.fill('120');
      await dialog(page).getByRole('alert').waitFor({ state: 'detached' });
      await dialog(page).locator('button[type=submit]').click();
      await page.getByText(words.done).waitFor();
      await panel(page).locator('.case-promises').getByText(words.promise).waitFor();
      const { status, snoozedUntil } = (await (await fetch(`${gateway.url}/v1/cases/${owed.caseId}`)).json()) as {
        status: string;
        snoozedUntil: number;
      };
      expect([status, new Date(snoozedUntil).toISOString().slice(0, 10)]).toEqual(['snoozed', day]);
      await page.close();

      const leaving = await publish({ desk: 'retention' });
      page = await open(`#/cases/retention?case=${leaving.caseId}&lang=${language}`);
      await ask(page, 'offer');
      await dialog(page).locator('input[name=offerId]').fill('10 GB more');
      await dialog(page).locator('input[value=accepted]').check();
      await dialog(page).locator('button[type=submit]').click();
      await dialog(page).getByRole('alert').getByText(texts.cases.wrongSlug).waitFor();
      await dialog(page).locator('input[name=offerId]').fill('bonus-10gb');
      await dialog(page).locator('input[name=cost]').fill('7.5');
      await dialog(page).locator('input[value=accepted]').check();
      await dialog(page).locator('button[type=submit]').click();
      await panel(page).locator('table.data').getByText('bonus-10gb').waitFor();
      expect(await seriousViolations(page)).toEqual([]);
      await page.close();

      const caller = await publish();
      page = await open(`#/cases/fraud?case=${caller.caseId}&lang=${language}`);
      await ask(page, 'listEntry');
      // The number of the case is there already.
      expect(await dialog(page).locator('input[name=value]').inputValue()).toBe(caller.number);
      await dialog(page).locator('input[name=list]').fill('hotNumbers');
      await dialog(page).locator('input[name=note]').fill(HOSTILE);
      await dialog(page).locator('button[type=submit]').click();
      await panel(page).locator('.timeline').getByText(words.entry).waitFor();
      expect(entries.at(-1)).toEqual({ list: 'hotNumbers', kind: 'number', value: caller.number, note: HOSTILE });
    },
  );

  test('cases are merged, tagged and given to somebody; all that match are changed at once, and put back', async () => {
    const [one, two] = [await publish(), await publish()];
    const page = await open('#/cases/fraud?lang=en&columns=severity,due,tags,status,assignee');
    const dialog = page.getByRole('dialog');
    await row(page, two.number).waitFor({ state: 'detached' });
    await page.getByText('More filters').click();
    await page.getByRole('checkbox', { name: 'Subject', exact: true }).check();
    await page.getByText('More filters').click();
    await row(page, one.number).getByRole('checkbox').check();
    await row(page, two.number).getByRole('checkbox').check();
    await page.locator('.bulk-bar').getByRole('button', { name: 'Merge' }).click();
    await dialog.locator(`input[value="${one.caseId}"]`).check();
    await dialog.getByRole('button', { name: 'Merge' }).click();
    await page.getByText('1 case merged into another.').waitFor();
    await row(page, two.number).waitFor({ state: 'detached' });
    await row(page, one.number).getByRole('checkbox').check();
    await page.locator('.bulk-bar').getByRole('button', { name: 'Tag' }).click();
    await dialog.getByLabel('Add, with commas between').fill(`call back, ${HOSTILE.slice(0, 30)}`);
    await dialog.getByRole('button', { name: 'Tag' }).click();
    await row(page, one.number).getByText('call back').waitFor();
    // Everything with the tag, whether it is on the screen or not.
    await page.goto(`${gateway.url}/#/cases/fraud?lang=en&tag=call+back`);
    // The rows of before stand until the filtered ones come.
    await expect.poll(() => rows(page).count()).toBe(1);
    await page.getByRole('checkbox', { name: 'Choose all' }).check();
    await page.locator('.bulk-bar').getByRole('button', { name: 'Assign', exact: true }).click();
    await dialog.getByLabel('Assignee').fill('Ben');
    await dialog.getByRole('button', { name: 'Assign' }).click();
    await row(page, one.number).getByText('Ben').waitFor();
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('1 case put back.').waitFor();
    await row(page, one.number).getByText('Ben').waitFor({ state: 'detached' });
  });

  test('a snooze that ends soon is said before it does', async () => {
    const { caseId, number } = await publish({ desk: 'retention' });
    await post(caseId, { type: 'snooze', until: Date.now() + 20 * 60_000, reason: 'calls back', by: 'Ben' });
    const page = await open('#/cases/retention?lang=en');
    await page.getByText('1 snooze ends within an hour.').waitFor();
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await row(page, number)
      .getByText(/^Snoozed, \d+ (min|minutes?) left|^Snoozed, .* left/)
      .waitFor();
    expect(page.url()).toContain('ending=yes');
  });

  test.each([
    { language: 'en', words: { ...en.views, routing: 'Routing', add: 'Add a lane', lane: 'Name of the lane' } },
    { language: 'zh-CN', words: { ...zhCn.views, routing: '分派', add: '添加队列', lane: '队列名称' } },
  ])(
    'in $language: filters are saved as a view, which the desk opens with, and a lead routes cases into a lane',
    async ({ language, words }) => {
      const name = `Key ${language}`;
      const { number } = await publish({ desk: 'retention', severity: 'critical', value: { tier: 'vip' } });
      let page = await open(`#/cases/retention?lang=${language}&severity=critical&columns=due,lane,subject`);
      await row(page, number).waitFor();
      await page.getByRole('button', { name: words.save }).click();
      await page.getByRole('dialog').locator('input#view-name').fill(name);
      await page.getByRole('dialog').getByRole('checkbox').check();
      expect(await seriousViolations(page)).toEqual([]);
      await page.getByRole('dialog').locator('button[type=submit]').click();
      await page.waitForURL(/view=/);
      await page.getByRole('button', { name: words.makeDefault }).click();
      await page.getByRole('button', { name: words.endDefault }).waitFor();
      await page.getByRole('button', { name: words.routing }).click();
      const dialog = page.getByRole('dialog');
      await dialog.locator('button[type=submit]').waitFor();
      const lanes = await dialog.locator('.lane').count();
      await dialog.getByRole('button', { name: words.add }).click();
      const lane = dialog.locator('.lane').nth(lanes);
      await lane.getByLabel(words.lane).fill(name);
      await lane.getByRole('checkbox').first().check();
      // Before whatever others have set.
      for (let step = 0; step < lanes; step++)
        await dialog
          .locator('.lane')
          .nth(lanes - step)
          .getByRole('button')
          .first()
          .click();
      expect(await seriousViolations(page)).toEqual([]);
      await dialog.locator('button[type=submit]').click();
      await dialog.waitFor({ state: 'detached' });
      await row(page, number).getByText(name).waitFor();
      await page.close();
      // Somebody else asks for nothing and gets the view of the desk; who then wants none has none.
      page = await open(`#/cases/retention?lang=${language}`, 'Ben');
      await page.waitForURL(/severity=critical.*view=/);
      await row(page, number).getByText(name).waitFor();
      const views = page.getByRole('combobox', { name: words.label });
      await views.selectOption(words.none);
      await page.waitForURL((url) => !url.hash.includes('view='));
      // Whoever asks for something gets that.
      await page.goto(page.url().replace(/#.*/, `#/cases/retention?lang=${language}&severity=warning`));
      await page.reload();
      await views.locator('option', { hasText: words.isDefault(name) }).waitFor({ state: 'attached' });
      expect(page.url()).not.toContain('view=');
      await views.selectOption({ label: words.isDefault(name) });
      await page.getByRole('button', { name: words.endDefault }).click();
      await page.getByRole('button', { name: words.makeDefault }).waitFor();
    },
  );

  test('every filter is in the address, and a case has one too', async () => {
    const { caseId, number } = await publish({ severity: 'critical' });
    const page = await open(`#/cases/fraud?who=nobody&severity=critical&q=${number}&case=${caseId}&lang=en`);
    await panel(page).getByText('Opened with its first alert').waitFor();
    // The list comes by a request of its own.
    await expect.poll(() => rows(page).count()).toBe(1);
    await page.getByRole('combobox', { name: 'Status' }).selectOption('Closed');
    await page.getByText('No case matches the filters').waitFor();
    expect(page.url()).toContain('status=closed');
    await page.reload();
    await page.getByText('No case matches the filters').waitFor();
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await row(page, number).waitFor();
    for (const filter of ['who=', 'severity=', 'q=', 'status=']) expect(page.url()).not.toContain(filter);
    // Own times are written out in the language of the page, with their zone.
    await page.goto(`${gateway.url}/#/cases/fraud?from=2026-01-02T03:04Z&lang=zh-CN`);
    await page.locator('.more-filters summary').click();
    await page.getByText(/^2026年1月2日 03:04 UTC起$/).waitFor();
    await page.goto(`${gateway.url}/#/cases/fraud?lang=en`);
    await page.getByRole('link', { name: 'Alerts', exact: true }).click();
    await page.locator('table.alerts tbody tr[aria-rowindex]').first().waitFor();
    await page.getByRole('link', { name: 'Cases', exact: true }).click();
    await page.getByRole('button', { name: 'Take next' }).waitFor();
  });

  test('a list that cannot be read says so in its place, is asked for again by itself, and at once when somebody wants it', {
    timeout: 120_000,
  }, async () => {
    const { number, caseId } = await publish();
    const page = await open('#/desk/fraud?lang=en');
    let isAway = true;
    await page.route(/\/v1\/cases/, (route) => (isAway ? route.abort() : route.continue()));
    await page.getByRole('link', { name: 'Cases', exact: true }).click();
    const failure = page.locator('.empty').getByRole('alert');
    await failure.getByText('The server does not answer.').waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    isAway = false;
    await failure.getByRole('button', { name: 'Retry now' }).click();
    await row(page, number).waitFor();

    isAway = true;
    await page.goto(`${gateway.url}/#/cases/fraud?case=${caseId}&lang=en`);
    await panel(page).getByRole('alert').getByText('The server does not answer.').waitFor();
    await page.getByRole('combobox', { name: 'Severity' }).selectOption('Warning');
    await failure.waitFor();
    isAway = false;
    await panel(page).getByRole('button', { name: 'Retry now' }).click();
    await panel(page).getByText('Opened with its first alert').waitFor();
    await row(page, number).waitFor();

    isAway = true;
    await page.getByRole('combobox', { name: 'Group by' }).selectOption('By severity');
    await failure.waitFor();
    isAway = false;
    await page.getByRole('button', { name: /^Warning \d+ cases?$/ }).waitFor();

    // What the server refuses for good is said, and not asked again and again.
    let asked = 0;
    await page.unrouteAll();
    page.on('request', (request) => {
      if (request.url().includes('from=')) asked += 1;
    });
    await page.goto(`${gateway.url}/#/cases/fraud?from=2026-01-02T00:00Z&to=2026-01-01T00:00Z&lang=en`);
    await failure.waitFor();
    await page.waitForTimeout(RETRIED_BY_THEN_MS);
    expect(asked).toBe(1);
  });

  test('cases are gathered by what they have in common, and those of a group are worked on as a whole', async () => {
    // Of this try alone: a try before it has left cases of its own.
    const name = `Gathered ${made}`;
    const ruleId = `fraud.gathered-${made}`;
    const title = { en: name, 'zh-CN': '归并' };
    const [one, two] = [await publish({ ruleId, title, severity: 'critical' }), await publish({ ruleId, title })];
    await post(two.caseId, { type: 'assign', assignee: 'Bert', by: 'Bert' });
    await publish({ title: { en: 'Another', 'zh-CN': '别的' } });
    const page = await open('#/cases/fraud?age=1h&lang=en');
    await page.getByRole('combobox', { name: 'Group by' }).selectOption('By rule');
    const group = page.getByRole('button', { name: `${name} 2 cases` });
    await group.waitFor();
    expect(await group.getAttribute('aria-expanded')).toBe('false');
    await group.click();
    await row(page, one.number).waitFor();
    await row(page, two.number).waitFor();
    for (const part of ['age=1h', 'group=rule', `open=${ruleId}`]) expect(page.url()).toContain(part);
    expect(await seriousViolations(page)).toEqual([]);
    // What comes in is counted, and what is chosen is of this group alone.
    const late = await publish({ ruleId, title });
    await page.getByRole('button', { name: `${name} 3 cases` }).waitFor();
    await page.getByRole('button', { name: '1 case is new or back' }).click();
    await row(page, late.number).waitFor();
    await page.getByRole('checkbox', { name: 'Choose all' }).check();
    await page.getByText('3 chosen').waitFor();
    await page.locator('.bulk-bar').getByRole('button', { name: 'Assign to me' }).click();
    await page.getByText('3 cases assigned.').waitFor();
    await page.getByRole('combobox', { name: 'Group by' }).selectOption('By assignee');
    await page.getByRole('button', { name: /^Anna \d+ case/ }).waitFor();
    await page.getByRole('button', { name: /^nobody \d+ case/ }).click();
    await page.waitForURL(/open=%7E/);
    await expect.poll(() => row(page, one.number).count()).toBe(0);
    // Groups of one kind are never drawn as groups of the next: all of a severity would be called "in no lane".
    await page.evaluate(`
      namesTwice = [];
      new MutationObserver(() => {
        const names = [...document.querySelectorAll('.group-name')].map(({ textContent }) => textContent);
        namesTwice.push(...names.filter((each, index) => names.indexOf(each) < index));
      }).observe(document.body, { subtree: true, childList: true, characterData: true });
    `);
    for (const [by, group] of [
      ['By subscriber', one.number],
      ['By severity', 'Critical'],
      ['By status', 'Open'],
      ['By severity', 'Critical'],
      ['By lane', 'In no lane'],
    ] as const) {
      await page.getByRole('combobox', { name: 'Group by' }).selectOption(by);
      await page.getByRole('button', { name: new RegExp(`^${group} \\d+ case`) }).waitFor();
    }
    expect(await page.evaluate('namesTwice')).toEqual([]);
    // The keyboard goes from group to group, into one and out of it.
    await page.getByRole('combobox', { name: 'Group by' }).blur();
    await page.keyboard.press('j');
    await page.locator('tr.group.active .group-toggle:focus').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('td.c-choose').first().waitFor();
    await page.keyboard.press('j');
    await page.locator('tr.active a:focus').waitFor();
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('td.c-choose').count()).toBe(0);
  });

  test('what a colleague has closed is found, reopened together, and closed again by undo', async () => {
    const two = [await publish(), await publish()];
    for (const { caseId } of two) {
      await post(caseId, { type: 'assign', assignee: 'Clara', by: 'Clara' });
      await post(caseId, { type: 'outcome', outcome: 'falsePositive', by: 'Clara' });
    }
    const page = await open('#/cases/fraud?status=closed&assignee=Clara&lang=en');
    await expect.poll(() => rows(page).count()).toBe(2);
    await page.getByRole('checkbox', { name: 'Choose all' }).check();
    const bar = page.locator('.bulk-bar');
    await expect.poll(() => bar.getByRole('button').allInnerTexts()).toEqual(['Reopen', 'Choose none']);
    await bar.getByRole('button', { name: 'Reopen' }).click();
    const dialog = page.getByRole('dialog', { name: 'Reopen 2 cases' });
    const submit = dialog.getByRole('button', { name: 'Reopen' });
    expect(await submit.isDisabled()).toBe(true);
    await dialog.getByLabel('Reason').fill('Another complaint');
    await submit.click();
    await page.getByText('2 cases reopened.').waitFor();
    await page.getByRole('combobox', { name: 'Status' }).selectOption('Not closed');
    expect(await page.getByRole('combobox', { name: 'Assignee' }).inputValue()).toBe('@Clara');
    await expect.poll(() => rows(page).count()).toBe(2);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('No case matches the filters').waitFor();
    await page.getByRole('combobox', { name: 'Assignee' }).selectOption('Everybody');
    await page.waitForURL((url) => !url.hash.includes('assignee'));
  });

  test('are usable in Chinese and without a mouse or good eyes', async () => {
    const { caseId, number } = await publish({ severity: 'critical' });
    await post(caseId, { type: 'note', note: '已致电', by: '王芳' });
    const page = await open('#/cases/fraud?lang=zh-CN');
    await row(page, number).getByRole('link').click();
    await panel(page).getByText('已致电').waitFor();
    await panel(page).getByText('随第一条告警自动建立').waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await panel(page).getByRole('button', { name: '关闭案件' }).click();
    await page.getByRole('dialog').getByLabel('确认属实').waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    // Nothing of the other language is left on the page.
    const words = (await page.locator('body').innerText()).match(/[A-Za-z]{4,}/g) ?? [];
    expect(words.filter((word) => !['Ringfence', 'Anna', 'Bert', 'Clara'].includes(word))).toEqual([]);
  });
});
