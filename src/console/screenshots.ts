/**
 * Takes the pictures of `pictures.ts` in both languages and both themes:
 *
 *     npm run screenshots -- FOLDER [NAME...]
 *
 * It starts a demo of its own, does some work on it, and looks at it first as whoever comes; then it adds people to that demo, so
 * that the console asks who comes, and looks with their eyes.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connect } from '@nats-io/transport-node';
import type { Browser, Page as Tab } from 'playwright-core';
import { findChromium, startChromium } from './chromium.ts';
import { latinTextsOn } from './latin-words.ts';
import {
  CHANGED_RULE,
  LANGUAGES,
  type Language,
  PEOPLE,
  PICTURES,
  type Picture,
  RULE,
  type Visit,
  type Visitor,
  WAITING_RULE,
} from './pictures.ts';

const THEMES = ['light', 'dark'] as const;
const WIDTH_PX = 1440;
const HEIGHT_PX = 900;
const PIXEL_RATIO = 1.5;
/** Charts of the operations page begin empty: this many seconds of readings make a picture. */
const OPERATIONS_READINGS_MS = 30_000;
/** For what follows a change on the page: loading a chart, drawing it. */
const SETTLE_MS = 500;
const LOCATOR_LIMIT_MS = 60_000;
/** The demo fills eighty days first, which takes minutes where others work too, and its live cases come one after the other. */
const DEMO_LIMIT_MS = 600_000;
const POLL_MS = 1_000;
const PASSWORD = 'one that nobody else uses';
const DAY_MS = 86_400_000;
const RECENT_MS = 15 * 60_000;

const program = fileURLToPath(new URL('../main.ts', import.meta.url));

/** What a mediation system sends where something is wrong with it; the page of rejected records shows them. */
const REJECTED = [
  '{"type":"voice","eventTime":"yesterday","recordId":"r1"}',
  '{"type":"fax","eventTime":1763780000000,"recordId":"r2"}',
  'not a record at all',
];

interface Demo {
  address: string;
  nats: string;
  /** Where its users are. */
  data: string;
  end(): Promise<void>;
}

async function startDemo(): Promise<Demo> {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-screenshots-'));
  const args = ['demo', '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0', '--time-zone', 'Asia/Shanghai'];
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let nats = '';
  createInterface({ input: child.stderr }).on('line', (line) => {
    nats = /^NATS .* (nats:\S+)$/.exec(line)?.[1] ?? nats;
    console.error(line);
  });
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const first = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>,
      exited.then(() => undefined),
    ]);
    if (first === undefined) throw new Error('the demo did not start; its own message stands above');
    const demoFolder = readdirSync(folder).find((name) => name.startsWith('ringfence-demo-'));
    const { http } = JSON.parse(first[0]) as { http: string };
    return { address: http, nats, data: join(folder, demoFolder!, 'data'), end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Work of some people on some cases and rules, so that the pictures have something to show. */
async function workOn({ address, nats }: Demo): Promise<void> {
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(new URL(path, address), {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answers ${response.status}: ${text}`);
    return JSON.parse(text) as T;
  };
  const nc = await connect({ servers: nats });
  for (const text of REJECTED) nc.publish('usage.0.voice', text);
  await nc.drain();
  // The past comes first, and with it cases that end again by themselves.
  for (const begun = Date.now(); ; await sleep(POLL_MS)) {
    const { alerts } = await call<{ alerts: { eventTime: number }[] }>('GET', `/v1/alerts?ruleId=${RULE}&limit=1`);
    if (alerts.some(({ eventTime }) => eventTime > Date.now() - RECENT_MS)) break;
    if (Date.now() - begun > DEMO_LIMIT_MS) throw new Error(`no alert of ${RULE} came`);
  }
  interface Found {
    cases: { caseId: string }[];
  }
  const cases = async (desk: string, least: number): Promise<string[]> => {
    for (const begun = Date.now(); ; await sleep(POLL_MS)) {
      const found = await call<Found>('GET', `/v1/cases?desk=${desk}&active=true&order=score&limit=${least}`);
      if (found.cases.length >= least) return found.cases.map(({ caseId }) => caseId);
      if (Date.now() - begun > DEMO_LIMIT_MS) throw new Error(`fewer than ${least} cases came on the desk ${desk}`);
    }
  };
  const act = (caseId: string | undefined, by: string, event: object) =>
    call('POST', `/v1/cases/${caseId}/events`, { ...event, by });
  const inDays = (days: number): number => Date.now() + days * DAY_MS;

  const fraud = await cases('fraud', 6);
  await act(fraud[0], 'Anna Li', { type: 'acknowledge' });
  await act(fraud[0], 'Anna Li', { type: 'assign', assignee: 'Anna Li' });
  await act(fraud[0], 'Anna Li', { type: 'tag', add: ['call-back', 'roaming'] });
  await act(fraud[0], 'Anna Li', {
    type: 'note',
    note: 'Owner does not know the numbers that were called; SIM barred.',
  });
  await act(fraud[1], 'Bo', { type: 'outcome', outcome: 'confirmed', reason: 'Owner did not make these calls.' });
  await act(fraud[2], 'Bo', { type: 'outcome', outcome: 'falsePositive', reason: 'A call centre of ours.' });
  await act(fraud[3], 'Bo', { type: 'snooze', until: Date.now() + DAY_MS / 48, reason: 'Owner calls back at ten.' });
  const arrears = await cases('arrears', 2);
  await act(arrears[0], 'Chen', { type: 'acknowledge' });
  await act(arrears[0], 'Chen', { type: 'promise', promiseAt: inDays(3), amount: 120 });
  await act(arrears[1], 'Chen', { type: 'outcome', outcome: 'paid' });
  const retention = await cases('retention', 2);
  await act(retention[0], 'Mei', { type: 'acknowledge' });
  await act(retention[0], 'Mei', { type: 'offer', offerId: 'renewal-12', cost: 9.5, channel: 'call', result: 'made' });
  await act(retention[1], 'Mei', { type: 'outcome', outcome: 'saved', offerId: 'renewal-12', cost: 9.5 });

  interface Changes {
    baseTag: string;
    proposal: { id: string } | null;
  }
  const propose = async (ruleId: string, parameters: object, reason: string): Promise<string> => {
    const { baseTag } = await call<Changes>('GET', `/v1/rules/${ruleId}/changes`);
    const proposal = { edits: { parameters }, baseTag, reason, acceptFailedTests: true, by: 'Anna Li' };
    return (await call<Changes>('POST', `/v1/rules/${ruleId}/proposals`, proposal)).proposal!.id;
  };
  await propose(WAITING_RULE, { warningSec: 1500 }, 'Families abroad call this long; most of these alerts were wrong.');
  const id = await propose(CHANGED_RULE, { warning: '8100s' }, 'Conferences of two hours are common here.');
  await call('POST', `/v1/rules/${CHANGED_RULE}/proposals/${id}/decision`, { decision: 'approve', by: 'Bo' });
}

/** Adds the people to the running demo; each answer is a one-time password. */
async function addPeople(data: string): Promise<Record<string, string>> {
  const passwords: Record<string, string> = {};
  for (const [name, { roles, desks }] of Object.entries(PEOPLE)) {
    const args = ['users', 'add', name, '--data', data, '--output', 'json', '--role', ...roles, '--desk', ...desks];
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args]);
    passwords[name] = (JSON.parse(stdout) as { oneTimePassword: string }).oneTimePassword;
  }
  return passwords;
}

async function newTab(browser: Browser): Promise<Tab> {
  const context = await browser.newContext({ deviceScaleFactor: PIXEL_RATIO });
  // Who works here, where nobody has to sign in.
  await context.addInitScript(`localStorage.setItem('ringfence.name', 'Bo')`);
  const tab = await context.newPage();
  tab.setDefaultTimeout(LOCATOR_LIMIT_MS);
  return tab;
}

/** Signs in with the one-time password; all but `new` then choose their own. */
async function signIn(tab: Tab, address: string, name: string, oneTime: string): Promise<void> {
  await tab.goto(address);
  await tab.locator('input[name=name]').fill(name);
  await tab.locator('input[name=password]').fill(oneTime);
  await tab.locator('button[type=submit]').click();
  await tab.locator('input[name=next]').waitFor();
  if (name === 'new') return;
  await tab.locator('input[name=current]').fill(oneTime);
  for (const field of ['next', 'again']) await tab.locator(`input[name=${field}]`).fill(PASSWORD);
  await tab.locator('button[type=submit]').click();
  await tab.locator('.connection.live').waitFor();
}

function visitOf(tab: Tab, address: string, language: Language): Visit {
  return {
    tab,
    ...LANGUAGES[language],
    async open(place) {
      // Another place behind # alone would leave dialogs and folds as they are.
      await tab.goto('about:blank');
      await tab.goto(`${address}/#/${place}${place.includes('?') ? '&' : '?'}lang=${language}`);
    },
    openFirst: () => tab.locator('table tbody a').first().click(),
    button: (name) => tab.getByRole('button', { name, exact: true }),
  };
}

/** One picture in each language and theme; calls `written` with the path of each, and `found` with what is wrong on it. */
async function take(
  tab: Tab,
  address: string,
  folder: string,
  picture: Picture,
  written: (path: string) => void,
  found: (problem: string) => void,
) {
  const { name, prepare, shows, widthPx = WIDTH_PX, heightPx = HEIGHT_PX } = picture;
  await tab.setViewportSize({ width: widthPx, height: heightPx });
  for (const language of Object.keys(LANGUAGES) as Language[]) {
    // A list under the pointer stands still, and a row under it looks chosen.
    await tab.mouse.move(0, 0);
    await prepare(visitOf(tab, address, language));
    await tab.locator(shows).first().waitFor();
    if (picture.as !== 'nobody' && picture.as !== 'new') await tab.locator('.connection.live').waitFor();
    if (name === 'operations') await sleep(OPERATIONS_READINGS_MS);
    // What is known of rules comes behind the page.
    await sleep(SETTLE_MS);
    const untranslated = language === 'en' ? [] : await latinTextsOn(tab);
    if (untranslated.length > 0) found(`not Chinese: ${untranslated.join(' | ')}`);
    for (const theme of THEMES) {
      await tab.emulateMedia({ colorScheme: theme });
      await sleep(SETTLE_MS);
      const path = join(folder, `${name}-${language}-${theme}.png`);
      await tab.screenshot({ path });
      written(path);
    }
  }
}

/** @param only names of pictures; none: all */
async function takeScreenshots(folder: string, only: readonly string[]): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) throw new Error('no Chromium found; set RINGFENCE_CHROMIUM to its path');
  const wanted = Object.values(PICTURES)
    .flat()
    .filter(({ name }) => only.length === 0 || only.includes(name));
  if (wanted.length === 0) throw new Error(`none of the pictures is named ${only.join(' or ')}`);
  mkdirSync(folder, { recursive: true });
  const demo = await startDemo();
  const browser = await startChromium(chromium);
  /** One that fails must not keep the others from being taken. */
  const failures: string[] = [];
  try {
    const shoot = async (tab: Tab, picture: Picture): Promise<void> => {
      try {
        const found = (problem: string): void => void failures.push(`${picture.name}: ${problem}`);
        await take(tab, demo.address, folder, picture, (path) => console.log(path), found);
      } catch (error) {
        failures.push(`${picture.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    };
    await workOn(demo);
    const tab = await newTab(browser);
    for (const picture of wanted) if (picture.as === undefined) await shoot(tab, picture);

    if (wanted.some(({ as }) => as !== undefined)) {
      const passwords = await addPeople(demo.data);
      for (const visitor of [...Object.keys(PEOPLE), 'nobody'] as Visitor[]) {
        const pictures = wanted.filter(({ as }) => as === visitor);
        if (pictures.length === 0) continue;
        const own = await newTab(browser);
        if (visitor !== 'nobody') await signIn(own, demo.address, visitor, passwords[visitor]!);
        for (const picture of pictures) await shoot(own, picture);
      }
    }
  } finally {
    await browser.close();
    await demo.end();
  }
  if (failures.length > 0) throw new Error(`${failures.length} of ${wanted.length} failed\n${failures.join('\n')}`);
}

if (import.meta.main) {
  const [folder, ...only] = process.argv.slice(2);
  if (folder === undefined) {
    console.error('usage: node src/console/screenshots.ts FOLDER [NAME...]');
    process.exit(3);
  }
  await takeScreenshots(folder, only);
}
