/**
 * What is photographed: every page of the console, its dialogs and its longer panels, each with the way there. `screenshots.ts`
 * takes the pictures in both languages and both themes. A page that has none here fails the type check.
 */
import type { Page as Tab } from 'playwright-core';
import { DESKS } from '../alerts/alert.ts';
import { en } from './messages.ts';
import { zhCn } from './messages-zh-cn.ts';
import type { PageName } from './pages.ts';
import { ruleMessages } from './rule-messages.ts';
import { ruleMessagesZhCn } from './rule-messages-zh-cn.ts';

export const LANGUAGES = { en: { t: en, r: ruleMessages }, 'zh-CN': { t: zhCn, r: ruleMessagesZhCn } } as const;
export type Language = keyof typeof LANGUAGES;

/** What leads to a picture works with: the tab, the texts on it, and the way to a page by its address. */
export interface Visit {
  tab: Tab;
  t: typeof en;
  r: typeof ruleMessages;
  /** Loads the console anew at that place, without the language. */
  open(place: string): Promise<void>;
  /** First row of the list: opens it. */
  openFirst(): Promise<void>;
  button(name: string): ReturnType<Tab['getByRole']>;
}

export interface Picture {
  name: string;
  /** Tall enough for what would be scrolled; the usual height where it is absent. */
  heightPx?: number;
  widthPx?: number;
  /** Who looks at it: whoever comes, one of `PEOPLE`, or somebody who is not signed in. Absent: nobody has to sign in. */
  as?: Visitor;
  prepare(visit: Visit): Promise<void>;
  /** What has to be on the picture. */
  shows: string;
}

/** People of the second half, when the console asks who comes: with a password of their own, and with one that has to be changed. */
export const PEOPLE = {
  ada: { roles: ['admin', 'lead'], desks: ['all'] },
  lin: { roles: ['analyst'], desks: ['fraud'] },
  mei: { roles: ['retention'], desks: ['retention'] },
  new: { roles: ['lead'], desks: ['arrears'] },
} as const;
export type Visitor = keyof typeof PEOPLE | 'nobody';

/** A panel with all that it holds. */
const WHOLE_PX = 2_600;
const PHONE = { widthPx: 390, heightPx: 844 };
/** A rule whose alerts come all day in the demo, and one of which a change waits (`workOn` of `screenshots.ts`). */
export const RULE = 'fraud.calls-per-minute';
export const WAITING_RULE = 'fraud.international-burst';
export const CHANGED_RULE = 'fraud.long-call';
const BACK_TEST_LIMIT_MS = 180_000;

/** Until the search for the records of an alert has come to its end, whatever it finds. */
const contributingRead = ({ tab }: Visit): Promise<void> =>
  tab.locator('.contributing[aria-busy=false]').first().waitFor();

async function openCase(visit: Visit, desk: string): Promise<void> {
  // A promise to pay lets its case rest until then.
  await visit.open(`cases/${desk}?status=${desk === 'arrears' ? 'snoozed' : 'acknowledged'}`);
  await visit.openFirst();
}

/** Dialogs of a case by the desk on which they make most sense. */
const QUESTION_DESKS = {
  close: 'fraud',
  snooze: 'fraud',
  assign: 'fraud',
  tag: 'fraud',
  merge: 'fraud',
  listEntry: 'fraud',
  offer: 'retention',
  promise: 'arrears',
  reopen: 'fraud',
} satisfies Record<keyof typeof en.caseQuestions, string>;

const questions = Object.entries(QUESTION_DESKS).map(
  ([question, desk]): Picture => ({
    name: `case-${question}`,
    shows: 'dialog[open] button',
    async prepare(visit) {
      if (question === 'reopen') {
        await visit.open(`cases/${desk}?status=closed`);
        await visit.openFirst();
      } else await openCase(visit, desk);
      const name = visit.t.caseQuestions[question as keyof typeof QUESTION_DESKS].button;
      await visit.tab.locator('.case-actions').getByRole('button', { name, exact: true }).click();
    },
  }),
);

export const PICTURES: Record<PageName | 'signIn', readonly Picture[]> = {
  operations: [{ name: 'operations', shows: 'canvas', prepare: (visit) => visit.open('operations') }],

  desk: [
    ...DESKS.flatMap((desk): Picture[] => [
      { name: `desk-${desk}`, shows: 'table.alerts tbody a', prepare: (visit) => visit.open(`desk/${desk}`) },
      ...[900, WHOLE_PX].map(
        (heightPx): Picture => ({
          name: heightPx === WHOLE_PX ? `alert-${desk}-whole` : `alert-${desk}`,
          heightPx,
          shows: '.panel .subscriber .facts',
          async prepare(visit) {
            await visit.open(`desk/${desk}?sort=score`);
            await visit.openFirst();
            await contributingRead(visit);
          },
        }),
      ),
    ]),
    {
      name: 'alert-records',
      heightPx: WHOLE_PX,
      shows: '.contributing table',
      async prepare(visit) {
        await visit.open(`desk/fraud?rule=${RULE}`);
        await visit.openFirst();
      },
    },
    {
      name: 'desk-nothing-matches',
      shows: '.empty button',
      prepare: (visit) => visit.open('desk/fraud?q=nobody'),
    },
    { name: 'desk-phone', ...PHONE, shows: 'table.alerts', prepare: (visit) => visit.open('desk/fraud') },
    {
      name: 'alert-phone',
      ...PHONE,
      shows: '.panel .facts',
      async prepare(visit) {
        await visit.open('desk/fraud?sort=score');
        await visit.openFirst();
      },
    },
    {
      name: 'help',
      shows: 'dialog[open] kbd',
      async prepare(visit) {
        await visit.open('desk/fraud');
        await visit.button(visit.t.toolbar.help).click();
      },
    },
    {
      name: 'desk-analyst',
      as: 'lin',
      shows: '.panel form.reveal',
      async prepare(visit) {
        await visit.open('desk/fraud?sort=score');
        await visit.openFirst();
        await visit.button(visit.t.reveal.open).click();
      },
    },
    {
      name: 'desk-retention-only',
      as: 'mei',
      shows: '.panel .facts',
      async prepare(visit) {
        await visit.open('desk/retention?sort=score');
        await visit.openFirst();
      },
    },
  ],

  cases: [
    ...DESKS.flatMap((desk): Picture[] => [
      { name: `cases-${desk}`, shows: 'table.cases tbody a', prepare: (visit) => visit.open(`cases/${desk}`) },
      {
        name: `case-${desk}-whole`,
        heightPx: WHOLE_PX,
        shows: '.panel .timeline li',
        prepare: (visit) => openCase(visit, desk),
      },
    ]),
    { name: 'case', shows: '.panel .facts', prepare: (visit) => openCase(visit, 'fraud') },
    { name: 'cases-phone', ...PHONE, shows: 'table.cases', prepare: (visit) => visit.open('cases/fraud') },
    {
      name: 'case-columns',
      shows: 'table.cases tbody a',
      prepare: (visit) =>
        visit.open(
          'cases/retention?columns=severity,due,case,subject,score,value,alerts,rules,tags,lane,opened,assignee,status',
        ),
    },
    ...questions,
    {
      name: 'case-closed',
      heightPx: WHOLE_PX,
      shows: '.panel .timeline li',
      async prepare(visit) {
        await visit.open('cases/fraud?status=closed');
        await visit.openFirst();
      },
    },
    {
      name: 'case-records',
      heightPx: WHOLE_PX,
      shows: '.panel details[open] table',
      async prepare(visit) {
        await openCase(visit, 'fraud');
        await visit.tab.locator('.panel summary', { hasText: visit.t.cases.records }).first().click();
        await contributingRead(visit);
      },
    },
    {
      name: 'case-rule-snooze',
      heightPx: WHOLE_PX,
      shows: '.rule-snooze[open] form',
      async prepare(visit) {
        await openCase(visit, 'fraud');
        await visit.tab.locator('.rule-snooze summary').click();
      },
    },
    {
      name: 'case-filters',
      shows: '.more-filters[open]',
      async prepare(visit) {
        await visit.open('cases/fraud');
        await visit.tab.locator('.more-filters summary').click();
      },
    },
    {
      name: 'case-bulk',
      shows: '.bulk-bar',
      async prepare(visit) {
        await visit.open('cases/fraud');
        await visit.tab.locator('table.cases tbody a').first().waitFor();
        // While further cases are read the box goes on from "all" to "some", so its state is not waited for.
        await visit.tab.locator('table.cases thead input[type=checkbox]').click();
      },
    },
    {
      name: 'case-feedback',
      shows: 'dialog[open] table',
      async prepare(visit) {
        await visit.open('cases/fraud');
        await visit.button(visit.t.feedback.open).click();
      },
    },
    {
      name: 'case-uplift',
      shows: 'dialog[open]',
      async prepare(visit) {
        await visit.open('cases/retention');
        await visit.button(visit.t.feedback.open).click();
      },
    },
    {
      name: 'case-routing',
      shows: 'dialog[open] button',
      async prepare(visit) {
        await visit.open('cases/fraud');
        await visit.button(visit.t.routing.open).click();
      },
    },
    {
      name: 'case-view',
      shows: 'dialog[open] input',
      async prepare(visit) {
        await visit.open('cases/fraud?severity=critical');
        await visit.button(visit.t.views.save).click();
      },
    },
  ],

  records: [
    {
      name: 'records',
      shows: 'table.records tbody a',
      async prepare(visit) {
        await visit.open('desk/fraud?sort=score');
        await visit.openFirst();
        await visit.tab.locator('.contributing a.button').click();
        await visit.tab.locator('table.records tbody a').first().waitFor();
      },
    },
    {
      name: 'record-summary',
      shows: '.record-summary[open] table',
      async prepare(visit) {
        await visit.open('desk/fraud?sort=score');
        await visit.openFirst();
        await visit.tab.locator('.records-link').click();
        await visit.tab.locator('.record-summary > summary').click();
      },
    },
    {
      name: 'record',
      shows: '.panel .facts, .panel table',
      async prepare(visit) {
        await visit.open('desk/fraud?sort=score');
        await visit.openFirst();
        await visit.tab.locator('.records-link').click();
        await visit.tab.locator('table.records tbody a').first().click();
      },
    },
  ],

  rules: [
    { name: 'rules', shows: 'table.rules tbody a', prepare: (visit) => visit.open('rules') },
    { name: 'rules-waiting', shows: 'table.rules tbody a', prepare: (visit) => visit.open('rules?waiting=yes') },
    { name: 'rule', shows: '.rule-form', prepare: (visit) => visit.open(`rules?rule=${RULE}`) },
    {
      name: 'rule-form',
      heightPx: WHOLE_PX,
      shows: '.back-test-figures',
      async prepare({ tab, r, open, button }) {
        await open(`rules?rule=${RULE}`);
        await tab.getByLabel('warningCalls', { exact: true }).fill('5');
        await button(r.check).click();
        await tab.locator('.diff .added').first().waitFor();
        await button(r.runBackTest).click();
        await tab.locator('.back-test-figures').waitFor({ timeout: BACK_TEST_LIMIT_MS });
      },
    },
    {
      name: 'rule-wrong',
      heightPx: WHOLE_PX,
      shows: '.field-problem',
      async prepare({ tab, r, open, button }) {
        await open(`rules?rule=${RULE}`);
        await tab.getByLabel('warningCalls', { exact: true }).fill('many');
        await button(r.check).click();
      },
    },
    {
      name: 'rule-text',
      heightPx: WHOLE_PX,
      shows: '.rule-form textarea',
      async prepare({ r, open, button }) {
        await open(`rules?rule=${RULE}`);
        await button(r.editAsText).click();
      },
    },
    {
      name: 'rule-proposal',
      heightPx: WHOLE_PX,
      shows: '.proposal .diff',
      prepare: (visit) => visit.open(`rules?rule=${WAITING_RULE}`),
    },
    {
      name: 'rule-history',
      heightPx: WHOLE_PX,
      shows: '.panel .timeline li',
      prepare: (visit) => visit.open(`rules?rule=${CHANGED_RULE}`),
    },
  ],

  lists: [
    { name: 'lists', shows: '.lists-page table button', prepare: (visit) => visit.open('lists') },
    {
      name: 'list',
      heightPx: 1_600,
      shows: '.list-form',
      prepare: (visit) => visit.open('lists?list=iprn'),
    },
  ],

  deadletters: [
    { name: 'deadletters', shows: 'table tbody a', prepare: (visit) => visit.open('deadletters') },
    {
      name: 'deadletter',
      heightPx: 1_600,
      shows: '.panel-body section',
      async prepare(visit) {
        await visit.open('deadletters');
        await visit.openFirst();
      },
    },
  ],

  audit: [
    {
      name: 'audit',
      as: 'ada',
      shows: 'table.audit tbody tr',
      async prepare(visit) {
        await visit.open('audit');
        await visit.button(visit.t.audit.verify).click();
        await visit.tab.locator('.audit-verdict').getByText(/\d/).waitFor();
      },
    },
  ],

  admin: [
    { name: 'admin', as: 'ada', shows: '.admin table tbody th', prepare: (visit) => visit.open('admin') },
    {
      name: 'admin-forms',
      as: 'ada',
      heightPx: 1_600,
      shows: '.admin-form[open]',
      async prepare(visit) {
        await visit.open('admin');
        await visit.tab.locator('.admin-form').first().waitFor();
        for (const form of await visit.tab.locator('.admin-form > summary').all()) await form.click();
      },
    },
    {
      name: 'admin-person',
      as: 'ada',
      shows: 'dialog[open] input',
      async prepare(visit) {
        await visit.open('admin');
        await visit.button(visit.t.admin.edit).first().click();
      },
    },
  ],

  signIn: [
    { name: 'sign-in', as: 'nobody', shows: 'input[name=password]', prepare: (visit) => visit.open('desk/fraud') },
    {
      name: 'sign-in-wrong',
      as: 'nobody',
      shows: '.sign-in-problem:not(.visually-hidden)',
      async prepare(visit) {
        await visit.open('desk/fraud');
        await visit.tab.locator('input[name=name]').fill('ada');
        await visit.tab.locator('input[name=password]').fill('not her password');
        await visit.tab.locator('button[type=submit]').click();
        await visit.tab.locator('.sign-in-problem:not(.visually-hidden)').waitFor();
      },
    },
    { name: 'password', as: 'new', shows: 'input[name=next]', prepare: (visit) => visit.open('desk/arrears') },
  ],
};
