/**
 * The console in a real browser, served by the real server, with a real broker behind it: what people at the desks rely
 * on. An alert is one message on NATS; everything after that is what is tested here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { gzipSync } from 'node:zlib';
import { type JetStreamClient, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AlertData, alertEvent, alertSubject } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { buildIfStale, builtConsole, chromiumPath, seriousViolations } from './browser.ts';
import { pagesForEach } from './pages.ts';

const root = join(import.meta.dirname, '..');
const FIRST_LOAD_BYTES_MAX = 80 * 1024;

interface Server {
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** `ringfence serve` as an operator runs it; `port` 0 takes a free one. */
async function serve(broker: Broker, data: string, port = 0): Promise<Server> {
  const flags = ['--nats', broker.url, '--data', data, '--listen', `127.0.0.1:${port}`, '--ops-listen', '127.0.0.1:0'];
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await readyUrl(child);
  return {
    url,
    port: Number(new URL(url).port),
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  };
}

function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`serve ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const { ready, http } = JSON.parse(line) as { ready?: boolean; http?: string };
      if (ready && http !== undefined) resolve(http);
    });
  });
}

beforeAll(buildIfStale);

let made = 0;

/** An alert like those of the shipped rules; each has an id of its own. */
function makeAlert(change: Partial<AlertData> = {}): AlertData {
  made += 1;
  return {
    alertId: made.toString(16).padStart(32, '0'),
    revision: 1,
    status: 'firing',
    ruleId: 'fraud.international-burst',
    ruleVersion: 1,
    catalogue: 'F03',
    desk: 'fraud',
    severity: 'critical',
    title: { en: 'International call burst', 'zh-CN': '国际通话突增' },
    key: { type: 'subscriber', value: `86138${String(made).padStart(8, '0')}` },
    servedMsisdn: `86138${String(made).padStart(8, '0')}`,
    eventTime: Date.now(),
    triggerRecordId: `record-${made}`,
    reason: { en: `${3_000 + made} s of international calls within 1 h`, 'zh-CN': `1小时内国际通话${3_000 + made}秒` },
    evidence: [
      { feature: 'internationalSec1h', window: '1h', value: 3_000 + made, threshold: 3_000, unit: 's' },
      { feature: 'internationalCalls1h', window: '1h', value: 12, threshold: null, unit: 'count' },
    ],
    score: 90,
    fraudType: 'irsf',
    enabler: 'subscription',
    suggestedActions: ['call-subscriber'],
    observedSince: Date.now() - 86_400_000,
    ...change,
  };
}

describe('the built console', () => {
  test(`first load is at most ${FIRST_LOAD_BYTES_MAX / 1024} kB compressed`, () => {
    const html = readFileSync(join(builtConsole, 'index.html'), 'utf8');
    // What the page names is loaded at once; chunks that it does not name come when a chart is first shown.
    const named = [...html.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => path ?? '');
    expect(named.filter((path) => /\.(js|css|svg)$/.test(path)).length).toBeGreaterThanOrEqual(3);
    const bytes = ['index.html', ...named]
      .map((path) => gzipSync(readFileSync(join(builtConsole, path))).length)
      .reduce((sum, size) => sum + size, 0);
    expect(bytes).toBeLessThanOrEqual(FIRST_LOAD_BYTES_MAX);
  });

  test('nothing in it needs more than the content security policy allows', () => {
    const html = readFileSync(join(builtConsole, 'index.html'), 'utf8');
    expect(html).not.toMatch(/<style|style="|<script(?![^>]*src=)|\son\w+="/);
    const offenders = (folder: string, pattern: RegExp): string[] =>
      readdirSync(folder).filter(
        (name) => /\.(js|tsx?)$/.test(name) && pattern.test(readFileSync(join(folder, name), 'utf8')),
      );
    expect(offenders(join(builtConsole, 'assets'), /\beval\(|new Function\(/)).toEqual([]);
    expect(offenders(join(root, 'src/console'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write/i)).toEqual([]);
  });
});

describe.skipIf(chromiumPath === undefined)('in a browser (skipped where no Chromium is found)', () => {
  let broker: Broker;
  let nc: NatsConnection;
  let js: JetStreamClient;
  let data: string;
  let server: Server;

  beforeAll(async () => {
    broker = await startBroker();
    data = mkdtempSync(join(tmpdir(), 'ringfence-console-'));
    server = await serve(broker, data);
    nc = await connect({ servers: broker.url });
    js = jetstream(nc);
  });

  afterAll(async () => {
    await nc?.close();
    await server?.stop();
    await broker?.stop();
    rmSync(data, { recursive: true, force: true });
  });

  /** As the engine publishes: one subject an alert, one message a revision. */
  const publish = async (...alerts: AlertData[]): Promise<void> => {
    for (const alert of alerts) {
      await js.publish(alertSubject(alert), JSON.stringify(alertEvent(alert, '/ringfence/test')));
    }
  };

  const newPage = pagesForEach();
  /** Opens the console at a place and waits until it shows what exists and follows what comes. */
  const open = async (hash: string, options?: BrowserContextOptions): Promise<Page> => {
    const page = await newPage(options);
    await page.goto(`${server.url}/${hash}`);
    await page.locator('.connection.live').waitFor();
    return page;
  };

  const rows = (page: Page): Locator => page.locator('table.alerts tbody tr[aria-rowindex]');
  const row = (page: Page, alert: AlertData): Locator => rows(page).filter({ hasText: alert.key.value });
  const panel = (page: Page): Locator => page.getByRole('complementary');

  test('an alert published to NATS appears in the queue of its desk, and only there', async () => {
    const page = await open('#/desk/arrears?lang=en');
    const alert = makeAlert({ desk: 'arrears' });
    await publish(alert);
    await row(page, alert).waitFor();
    expect(await row(page, alert).innerText()).toContain(alert.reason.en);
    await page.getByRole('link', { name: /^Fraud/ }).click();
    await page.getByRole('table', { name: 'Alerts of the Fraud desk' }).waitFor();
    expect(await row(page, alert).count()).toBe(0);
  });

  test('usage records that break a rule become an alert on the screen, with the subscriber behind it', async () => {
    const page = await open('#/desk/fraud?lang=en');
    const servedMsisdn = '8613900001234';
    const records = Array.from({ length: 12 }, (_, call) => ({
      recordId: `call-${call}`,
      recordType: 'voice',
      eventTime: Date.now() - (12 - call) * 60_000,
      servedMsisdn,
      direction: 'mo',
      otherNumber: '37112345678',
      durationSec: 300,
    }));
    await js.publish('usage.0.batch', JSON.stringify(records));
    const fired = rows(page).filter({ hasText: servedMsisdn }).filter({ hasText: 'International call burst' });
    await fired.filter({ hasText: 'Critical' }).waitFor();
    await fired.getByRole('link', { name: 'International call burst' }).click();
    await panel(page)
      .getByRole('heading', { name: `Subscriber ${servedMsisdn}` })
      .waitFor();
    // Twelve calls of 300 s in the window of an hour, as a figure and as bars.
    await panel(page).getByText('Whole window 3,600s').waitFor();
    await panel(page)
      .getByRole('img', { name: /^Time of international calls over .*: 3,600s$/ })
      .locator('canvas')
      .waitFor();
    await panel(page).getByText('Panes as a table').click();
    await expect.poll(() => panel(page).getByRole('cell', { name: '300s', exact: true }).count()).toBe(12);
    expect(await panel(page).locator('details tbody tr').count()).toBe(60);
    // An alert about a destination of theirs is one of theirs.
    const toOne = makeAlert({ key: { type: 'pair', value: `${servedMsisdn}>371` }, servedMsisdn });
    await publish(toOne);
    await panel(page).locator(`.open-alerts a[href*="${toOne.alertId}"]`).waitFor();
    // The same subscriber without an alert, by way of the search.
    await panel(page).getByRole('button', { name: 'Close' }).click();
    await page.getByRole('searchbox').fill(servedMsisdn);
    await page.getByRole('button', { name: `Open subscriber ${servedMsisdn}` }).click();
    await panel(page).getByText('3,600s').first().waitFor();
    expect(page.url()).toContain(`subscriber=${servedMsisdn}`);
  });

  test('what was the matter with a subscriber before is read when somebody asks', async () => {
    const before = makeAlert({ desk: 'arrears', status: 'resolved', title: { en: 'Paid late', 'zh-CN': '迟付' } });
    const servedMsisdn = before.key.value;
    const now = makeAlert({ key: before.key, servedMsisdn });
    await publish({ ...before, servedMsisdn }, now);
    const page = await open('#/desk/fraud?lang=en');
    await row(page, now).getByRole('link').click();
    await panel(page).getByText('Earlier alerts').click();
    await panel(page).getByRole('link', { name: 'Paid late' }).click();
    await page.getByRole('table', { name: 'Alerts of the Arrears desk' }).waitFor();
    await panel(page).getByText(before.alertId).waitFor();
    // Whoever has none is said to have none.
    const other = makeAlert();
    await publish(other);
    await page.goto(`${server.url}/#/desk/fraud?lang=en&alert=${other.alertId}`);
    await panel(page).getByText('Earlier alerts').click();
    await panel(page).getByText('No earlier alerts are kept').waitFor();
  });

  test('a day of another year says its year', async () => {
    const years = 2 * 366 * 86_400_000;
    const evidence = [
      { feature: 'activatedAt', window: '', value: Date.now() - years, threshold: '', unit: 'time' },
      { feature: 'contractEnd', window: '', value: Date.now() - 3 * 86_400_000, threshold: '', unit: 'time' },
    ];
    const alert = makeAlert({ evidence });
    await publish(alert);
    const page = await open(`#/desk/fraud?lang=en&alert=${alert.alertId}`);
    const cells = panel(page).locator('table.evidence tbody tr');
    await cells.filter({ hasText: String(new Date(Date.now() - years).getFullYear()) }).waitFor();
    await cells.filter({ hasText: /\d\d:\d\d/ }).waitFor();
    expect(await cells.count()).toBe(2);
  });

  test.each(['en', 'zh-CN'])(
    '%s: on a small screen the filters take one line, and no row of tiles has a hole',
    async (language) => {
      const HOUR_MS = 3_600_000;
      const called = makeAlert({
        title: { en: 'Rapid calls to one destination', 'zh-CN': '短时高频呼叫同一目的地' },
        key: { type: 'subscriber+prefix', value: `861390000000${made % 10}>2526` },
        eventTime: Date.now() - 17 * HOUR_MS,
      });
      await publish(called);
      const page = await open(`#/desk/fraud?lang=${language}`);
      await page.setViewportSize({ width: 1280, height: 800 });
      // Name, time and subject are whole, beside an open alert too.
      const cut = (): Promise<string[]> =>
        row(page, called)
          .locator('td:not(.c-reason)')
          .evaluateAll((cells) =>
            (cells as unknown as { className: string; scrollWidth: number; clientWidth: number }[])
              .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
              .map(({ className }) => className),
          );
      await row(page, called).waitFor();
      expect(await cut()).toEqual([]);
      await row(page, called).getByRole('link').click();
      await panel(page).getByText(called.alertId).waitFor();
      expect(await cut()).toEqual([]);
      for (const address of ['desk/fraud', 'cases/fraud']) {
        await page.goto(`${server.url}/#/${address}?lang=${language}`);
        await page.locator('.toolbar').waitFor();
        await expect.poll(async () => (await page.locator('.toolbar').boundingBox())!.height).toBeLessThan(50);
      }
      await page.goto(`${server.url}/#/operations?lang=${language}`);
      await page.locator('.tiles > div').first().waitFor();
      const ends = await page
        .locator('.tiles > div')
        .evaluateAll((tiles) => tiles.map((tile) => Math.round(tile.getBoundingClientRect().right)));
      expect(ends.at(-1)).toBe(Math.max(...ends));
    },
  );

  test('an address with nothing behind it says so, or leads to where there is something', async () => {
    const page = await open('#/admin?lang=en');
    await page.locator('main').getByText('ringfence users add NAME --role admin').waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await page.goto(`${server.url}/#/records/fraud?lang=en`);
    await page.getByRole('table', { name: 'Alerts of the Fraud desk' }).waitFor();
  });

  test('a revision replaces its row where it stands', async () => {
    const [first, second] = [makeAlert({ severity: 'warning' }), makeAlert()];
    await publish(first, second);
    const page = await open('#/desk/fraud?lang=en');
    await row(page, first).waitFor();
    const at = await row(page, first).getAttribute('aria-rowindex');
    await publish({ ...first, revision: 2, severity: 'critical', eventTime: Date.now() + 1 });
    await row(page, first).getByText('Critical').waitFor();
    await publish({ ...first, revision: 3, status: 'resolved', eventTime: Date.now() + 2 });
    await row(page, first).getByText('Resolved').waitFor();
    expect([await row(page, first).count(), await row(page, first).getAttribute('aria-rowindex')]).toEqual([1, at]);
  });

  test('new alerts wait while somebody works in the list, and come in when asked', async () => {
    const known = makeAlert();
    await publish(known);
    const page = await open('#/desk/fraud?lang=en');
    await row(page, known).getByRole('link').click();
    await panel(page).getByRole('heading', { name: known.title.en }).waitFor();
    const before = await rows(page).allInnerTexts();
    const [one, two] = [makeAlert(), makeAlert()];
    await publish(one, two);
    const pill = page.getByRole('button', { name: '2 new alerts' });
    await pill.waitFor();
    expect((await rows(page).allInnerTexts()).length).toBe(before.length);
    expect(await row(page, one).count()).toBe(0);
    await pill.click();
    await row(page, two).waitFor();
    expect(await row(page, one).count()).toBe(1);
    expect(await pill.count()).toBe(0);
    // The open alert stays open: only the list has moved.
    expect(await panel(page).getByText(known.alertId).count()).toBe(1);
  });

  test('a restart of the server loses nothing and repeats nothing', async () => {
    const page = await open('#/desk/retention?lang=en');
    const before = makeAlert({ desk: 'retention' });
    await publish(before);
    await row(page, before).waitFor();
    await server.stop();
    // Between two attempts: during one it says that it connects.
    await page.locator('.connection.offline', { hasText: 'Offline' }).waitFor();
    const missed = Array.from({ length: 25 }, () => makeAlert({ desk: 'retention' }));
    const revised = { ...before, revision: 2, status: 'resolved' } as const;
    await publish(...missed, revised);
    server = await serve(broker, data, server.port);
    await page.locator('.connection.live').waitFor();
    const after = makeAlert({ desk: 'retention' });
    await publish(after);
    await row(page, after).waitFor();
    const shown = (await rows(page).locator('.c-key').allInnerTexts()).sort();
    expect(shown).toEqual([before, ...missed, after].map((alert) => alert.key.value).sort());
    expect(await row(page, before).getByText('Resolved').count()).toBe(1);
  });

  test('an alert stream that was made anew leaves no alert of the old one on the screen', async () => {
    const page = await open('#/desk/fraud?lang=en');
    const [old, fresh] = [makeAlert(), makeAlert()];
    await publish(old);
    await row(page, old).waitFor();
    await server.stop();
    const jsm = await jetstreamManager(nc);
    await jsm.streams.delete('ALERTS');
    // Every checkpoint may be younger than the alerts that are lost, and the engine then refuses to start. That is not what is tested.
    rmSync(join(data, 'partition-0'), { recursive: true });
    server = await serve(broker, data, server.port);
    await page.locator('.connection.live').waitFor();
    await publish(fresh);
    await row(page, fresh).waitFor();
    await row(page, old).waitFor({ state: 'detached' });
  });

  test('what others write is text and nothing else', async () => {
    const hostile = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>"'&{{7*7}}\u202e ${'long'.repeat(200)}`;
    const alert = makeAlert({
      title: { en: `${hostile} title`, 'zh-CN': hostile },
      key: { type: hostile, value: `${hostile} key` },
      reason: { en: `${hostile} reason`, 'zh-CN': hostile },
      evidence: [{ feature: hostile, window: hostile, value: hostile, threshold: hostile, unit: hostile }],
      triggerRecordId: hostile,
      suggestedActions: [hostile, '__proto__', 'constructor'],
      fraudType: hostile,
      enabler: '__proto__',
      catalogue: 'javascript:alert(1)',
    });
    const { alertId, revision, status, ruleId, desk, severity, eventTime } = makeAlert();
    const bare = { alertId, revision, status, ruleId, desk, severity, eventTime, key: 7, evidence: 'none', score: 'x' };
    const page = await open('#/desk/fraud?lang=en');
    await publish(alert, bare as unknown as AlertData);
    await rows(page).filter({ hasText: bare.ruleId }).first().waitFor();
    await row(page, alert).getByRole('link').click();
    await panel(page).getByText(alert.alertId).waitFor();
    const text = await panel(page).innerText();
    for (const part of [alert.title.en, alert.key.value, alert.reason.en, 'constructor', 'javascript:alert(1)']) {
      expect(text).toContain(part);
    }
    expect(await page.locator('img, script:not([src])').count()).toBe(0);
    expect(await page.evaluate('window.hit')).toBeUndefined();
    // A word that is longer than its line widens neither the page nor what is open.
    await panel(page).getByText('Suggested actions').waitFor();
    const overflow = (selector: string): Promise<number> =>
      page.evaluate(
        `(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('${selector}'))`,
      );
    expect([await overflow('html'), await overflow('.panel'), await overflow('.panel-body')]).toEqual([0, 0, 0]);
    // What turns the direction of writing ends with the text that it is in: the name of a kind stands behind its key.
    const places = await row(page, alert)
      .locator('.c-key span')
      .evaluateAll((spans) =>
        (spans as unknown as { getBoundingClientRect(): { left: number } }[]).map(
          (one) => one.getBoundingClientRect().left,
        ),
      );
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test('filters, order and the open alert live in the address', async () => {
    const [info, critical] = [makeAlert({ severity: 'info' }), makeAlert({ score: 99, ruleId: 'fraud.long-call' })];
    await publish(info, critical);
    const page = await open('#/desk/fraud?lang=en');
    await page.getByRole('button', { name: /^Critical/ }).click();
    await page.getByRole('button', { name: 'Score' }).click();
    await page.getByLabel('Rule', { exact: true }).selectOption('fraud.long-call');
    await page.getByRole('searchbox').fill(critical.key.value.slice(2));
    await row(page, critical).getByRole('link').click();
    await panel(page).waitFor();
    const address = page.url();
    for (const part of ['severity=critical', 'sort=score', 'rule=fraud.long-call', `alert=${critical.alertId}`]) {
      expect(address).toContain(part);
    }
    await page.reload();
    await panel(page).getByText(critical.reason.en).waitFor();
    await row(page, critical).waitFor();
    expect(await rows(page).count()).toBe(1);
    expect(await page.getByRole('searchbox').inputValue()).toBe(critical.key.value.slice(2));
    expect(await page.getByRole('button', { name: /^Critical/ }).getAttribute('aria-pressed')).toBe('true');
    await page.goBack();
    await panel(page).waitFor({ state: 'detached' });
  });

  test('times and groups narrow the list, are in the address, and are reached by keyboard', async () => {
    const DAY_MS = 86_400_000;
    const minute = Math.floor(Date.now() / 60_000) * 60_000;
    const [old, one, two] = [
      makeAlert({
        ruleId: 'fraud.grouped',
        eventTime: minute - 40 * DAY_MS,
        title: { en: 'Grouped', 'zh-CN': '分组的' },
      }),
      makeAlert({ ruleId: 'fraud.grouped', severity: 'critical', title: { en: 'Grouped', 'zh-CN': '分组的' } }),
      makeAlert({ ruleId: 'fraud.alone', severity: 'info', title: { en: 'Alone', 'zh-CN': '单独的' } }),
    ];
    await publish(old, one, two);
    const page = await open('#/desk/fraud?lang=en');
    await row(page, one).waitFor();
    await page.getByRole('combobox', { name: 'Time' }).selectOption('Last 30 days');
    await expect.poll(() => row(page, old).count()).toBe(0);
    expect(await row(page, one).count()).toBe(1);
    expect(page.url()).toContain('age=30d');
    // Moments of one's own, written so that they mean the same in any zone.
    const text = (at: number) => new Date(at).toISOString().slice(0, 16);
    await page.goto(
      `${server.url}/#/desk/fraud?from=${text(old.eventTime - 60_000)}Z&to=${text(old.eventTime + 60_000)}Z`,
    );
    await page.reload();
    await row(page, old).waitFor();
    expect(await rows(page).count()).toBe(1);
    expect(await page.getByRole('combobox', { name: 'Time' }).inputValue()).toBe('own');
    // The fields have the order and the clock of the browser; what they say is written as everywhere else, with its zone.
    const field = (name: string) => page.getByLabel(name, { exact: true });
    const [fromClock, toClock] = await Promise.all(
      ['From', 'To'].map(async (name) => (await field(name).inputValue()).slice(11)),
    );
    const chosen = page.locator('.time-bounds output');
    expect(await chosen.innerText()).toMatch(
      new RegExp(`^From \\w+ \\d+, \\d+, ${fromClock} \\S+ to \\w+ \\d+, \\d+, ${toClock} \\S+$`),
    );
    await page
      .getByLabel('From', { exact: true })
      .fill(text(old.eventTime + 60_000 - new Date().getTimezoneOffset() * 60_000));
    await page.getByText('No alert matches the filters').waitFor();
    expect(page.url()).toContain(`from=${text(old.eventTime + 60_000)}Z`);
    expect(await chosen.innerText()).toBe('The end is not after the beginning, so nothing can match.');
    await field('To').fill('');
    await row(page, one).waitFor();
    expect(await chosen.innerText()).toMatch(/^From .* on$/);
    // The way back to the whole list is there as long as something is left out.
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await row(page, old).waitFor();
    expect(page.url()).not.toContain('from=');
    expect(await page.getByRole('button', { name: 'Clear filters' }).count()).toBe(0);

    await page.goto(`${server.url}/#/desk/fraud?lang=en`);
    await page.getByRole('combobox', { name: 'Group by' }).selectOption('By rule');
    const group = (name: string) => page.getByRole('button', { name, expanded: false });
    await group('Critical Grouped 2 alerts').waitFor();
    await group('Info Alone 1 alert').waitFor();
    expect(await row(page, one).count()).toBe(0);
    await page.keyboard.press('Escape');
    await page.getByRole('combobox', { name: 'Group by' }).blur();
    await page.keyboard.press('j');
    await page.locator('tr.group.active .group-toggle:focus').waitFor();
    const focused = async () => String(await page.evaluate('document.activeElement.innerText'));
    for (let step = 0; step < 20 && !(await focused()).includes('Grouped'); step++) await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Critical Grouped 2 alerts', expanded: true }).waitFor();
    await row(page, one).waitFor();
    expect(page.url()).toContain('group=rule&open=fraud.grouped');
    await page.keyboard.press('j');
    await row(page, one).locator('a:focus').waitFor();
    await page.keyboard.press('Enter');
    await panel(page).getByText(one.alertId).waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await page.keyboard.press('j');
    await panel(page).getByText(old.alertId).waitFor();
    await page.reload();
    await row(page, one).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Critical Grouped 2 alerts', expanded: true }).click();
    await expect.poll(() => row(page, one).count()).toBe(0);
    for (const by of ['By severity', 'By subject', 'By status'])
      await page.getByRole('combobox', { name: 'Group by' }).selectOption(by);
    await page.getByRole('button', { name: /^Critical Firing \d+ alerts$/ }).waitFor();
  });

  test('the keyboard does everything', async () => {
    const [below, above] = [
      makeAlert({ eventTime: Date.now() + 60_000 }),
      makeAlert({ eventTime: Date.now() + 61_000 }),
    ];
    await publish(below, above);
    const page = await open('#/desk/fraud?lang=en');
    await row(page, above).waitFor();
    const focusedIn = (alert: AlertData) => row(page, alert).locator('a:focus').waitFor();
    await page.keyboard.press('j');
    await focusedIn(above);
    await page.keyboard.press('j');
    await focusedIn(below);
    await page.keyboard.press('k');
    await page.keyboard.press('ArrowDown');
    await focusedIn(below);
    await page.keyboard.press('Enter');
    await panel(page).getByText(below.alertId).waitFor();
    await page.locator('aside:focus').waitFor();
    await page.keyboard.press('k');
    await panel(page).getByText(above.alertId).waitFor();
    await page.keyboard.press('Escape');
    await panel(page).waitFor({ state: 'detached' });
    await focusedIn(above);
    await page.keyboard.press('/');
    await page.locator('input[type=search]:focus').waitFor();
    await page.keyboard.type('k?j');
    expect(await page.getByRole('searchbox').inputValue()).toBe('k?j');
    await page.getByRole('searchbox').fill('');
    await page.getByRole('searchbox').blur();
    await page.keyboard.press('?');
    const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    await help.getByLabel('Single-key shortcuts').uncheck();
    await page.keyboard.press('Escape');
    await help.waitFor({ state: 'hidden' });
    // Switched off, the letters do nothing; the buttons still do.
    await page.keyboard.press('?');
    expect(await help.isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Next alert' }).click();
    await focusedIn(below);
  });

  test('Chinese and dark, each remembered', async () => {
    const alert = makeAlert();
    await publish(alert);
    const page = await open('#/desk/fraud', { colorScheme: 'dark' });
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await background()).toBe('rgb(13, 16, 20)');
    await page.getByRole('button', { name: '中文' }).click();
    await page.waitForURL(/lang=zh-CN/);
    await expect.poll(() => page.locator('html').getAttribute('lang')).toBe('zh-CN');
    await expect.poll(() => page.title()).toBe('反欺诈 · Ringfence');
    await row(page, alert).filter({ hasText: alert.reason['zh-CN'] }).waitFor();
    await page.getByRole('button', { name: '浅色主题' }).click();
    await expect.poll(background).toBe('rgb(242, 244, 247)');
    await page.goto(`${server.url}/#/operations`);
    await page.reload();
    await page.getByText('已连接').waitFor();
    expect(await background()).toBe('rgb(242, 244, 247)');
    // What is left in Latin letters are names that have no other.
    const names = async () => {
      const texts = await page.locator('main').locator('h1, h2, dt, .legend .muted').allInnerTexts();
      return texts
        .join('\n')
        .match(/[A-Za-z]{2,}/g)
        ?.sort();
    };
    // What is said of the churn formula comes by a request of its own.
    await expect.poll(names).toEqual(['AUC', 'Brier', 'NATS', 'WebSocket']);
  });

  test('the operations page draws what the server says, once a second', async () => {
    const page = await open('#/operations?lang=en');
    const charts = page.locator('figure.chart-card');
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.getByText('Connected', { exact: true }).waitFor();
    await charts.last().locator('canvas').waitFor();
    await expect.poll(async () => (await charts.count()) - (await charts.locator('canvas').count())).toBe(0);
    await charts.filter({ hasText: 'WebSocket clients' }).getByText('1', { exact: true }).waitFor();
    const polls: string[] = [];
    page.on('response', (response) => polls.push(new URL(response.url()).pathname));
    await expect.poll(() => polls.filter((path) => path === '/v1/operations').length).toBeGreaterThan(1);
  });

  test('3,000 alerts are one table, of which only what is in sight is drawn', async () => {
    const many = Array.from({ length: 3_000 }, (_, at) =>
      makeAlert({ desk: 'arrears', eventTime: 1_700_000_000_000 + at }),
    );
    for (const alert of many) nc.publish(alertSubject(alert), JSON.stringify(alertEvent(alert, '/ringfence/test')));
    await nc.flush();
    const page = await open('#/desk/arrears?lang=en');
    const table = page.getByRole('table');
    await expect.poll(() => table.getAttribute('aria-rowcount').then(Number)).toBeGreaterThan(3_000);
    expect(await rows(page).count()).toBeLessThan(100);
    await page.keyboard.press('j');
    await page.keyboard.press('End');
    await row(page, many[0]!).locator('a:focus').waitFor();
    // Where the focus is stays drawn, however far the list is scrolled away from it.
    await page.locator('.table-scroller').evaluate((scroller: { scrollTop: number }) => {
      scroller.scrollTop = 0;
    });
    await rows(page).first().waitFor();
    expect(await row(page, many[0]!).locator('a:focus').count()).toBe(1);
  });

  test('axe-core finds nothing serious on any page, in light and dark', async () => {
    const alert = makeAlert({ severity: 'warning', status: 'resolved', revision: 2 });
    await publish(alert, makeAlert({ severity: 'info' }), makeAlert());
    const page = await open('#/desk/fraud?lang=en', { reducedMotion: 'reduce' });
    const serious = () => seriousViolations(page);
    await row(page, alert).waitFor();
    expect(await serious()).toEqual([]);
    await row(page, alert).getByRole('link').click();
    await panel(page).getByText('No usage of this number').waitFor();
    expect(await serious()).toEqual([]);
    await page.getByRole('button', { name: 'Keyboard shortcuts' }).click();
    expect(await serious()).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Operations' }).click();
    await page.locator('figure.chart-card canvas').last().waitFor();
    expect(await serious()).toEqual([]);
  });
});
