/** The page of rejected records in a real browser: found, read, corrected and sent, with the engine that rejected them. */
import { join } from 'node:path';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { buildIfStale, chromiumPath, seriousViolations } from './browser.ts';
import { callRecord } from './call-record.ts';
import { pagesForEach } from './pages.ts';
import {
  copyRules,
  countIn,
  endProcesses,
  type Serving,
  scrape,
  send,
  startServe,
  temporaryFolder,
  until,
} from './serving.ts';

let made = 0;
const voice = (more: object = {}): string =>
  JSON.stringify(callRecord(`c-${++made}`, { eventTime: Date.now(), ...more }));

describe.skipIf(chromiumPath === undefined)('rejected records (skipped where no Chromium is found)', () => {
  const folder = temporaryFolder();
  let broker: Broker;
  let serving: Serving;

  beforeAll(async () => {
    await buildIfStale();
    broker = await startBroker();
    const rules = copyRules(join(folder.path, 'rules'), 'fraud/long-call');
    serving = await startServe({ nats: broker.url, data: join(folder.path, 'data'), rules });
  });
  afterAll(async () => {
    await endProcesses();
    await broker.stop();
    folder.remove();
  });

  const newPage = pagesForEach();
  const open = async (hash: string, options?: BrowserContextOptions): Promise<Page> => {
    const page = await newPage(options);
    await page.goto(`${serving.http}/${hash}`);
    await page.locator('.connection.live').waitFor();
    return page;
  };
  /** Sends what the engine rejects; resolves with the sequences of the letters, in this order. */
  const reject = async (...bodies: (string | Uint8Array)[]): Promise<number[]> => {
    const before = await countIn(broker.url, 'DEADLETTER');
    await send(
      broker.url,
      bodies.map((body) => ({ subject: 'usage.0.voice', body })),
    );
    await until('the letters', async () => (await countIn(broker.url, 'DEADLETTER')) >= before + bodies.length);
    return bodies.map((_, at) => before + 1 + at);
  };
  const rows = (page: Page): Locator => page.locator('table.letters tbody tr[aria-rowindex]');
  /** All that have been read, in sight or not. */
  const listed = async (page: Page): Promise<number> =>
    Number(await page.locator('table.letters').getAttribute('aria-rowcount')) - 1;
  const panel = (page: Page): Locator => page.getByRole('complementary');
  const applied = async (): Promise<number> =>
    (await scrape(serving.ops)).value('ringfence_records_total', { result: 'applied' });

  test('a rejected record is found, read, corrected and applied; what is still wrong is not sent', async () => {
    const appliedBefore = await applied();
    const [seq] = await reject(voice({ durationSec: -60 }), 'not even JSON');
    const page = await open('#/desk/fraud?lang=en');
    await page.getByRole('link', { name: 'Rejected' }).click();
    await expect.poll(() => rows(page).count()).toBe(2);
    expect(await page.title()).toBe('Rejected · Ringfence');
    await page.getByLabel('Reason', { exact: true }).selectOption('schema');
    await expect.poll(() => rows(page).count()).toBe(1);
    await rows(page).getByRole('link', { name: 'Against the schema' }).click();
    await expect.poll(() => page.url()).toContain(`reason=schema&letter=${seq}`);
    await panel(page).getByText('durationSec must be a finite number').waitFor();
    await panel(page).getByText('Ringfence-Source-Subject').waitFor();
    const send = panel(page).getByRole('button', { name: /^Send/ });
    expect(await send.isDisabled()).toBe(true);

    const editor = panel(page).getByRole('textbox');
    const original = await editor.inputValue();
    await editor.fill(original.replace('-60', '-61'));
    await panel(page).getByRole('button', { name: 'Send corrected' }).click();
    await panel(page).getByRole('alert').getByText('It would be rejected again').waitFor();
    await panel(page).getByRole('button', { name: 'Back to the original' }).click();
    expect(await editor.inputValue()).toBe(original);
    await editor.fill('');
    expect(await send.isDisabled()).toBe(true);
    await editor.fill(original.replace('-60', '60'));
    await panel(page).getByRole('button', { name: 'Send corrected' }).click();
    await panel(page)
      .getByText(/^Sent on .* to usage\.0\.voice \d+\. Corrected$/)
      .waitFor();
    await rows(page).getByText('Corrected').waitFor();
    await until('the record', async () => (await applied()) === appliedBefore + 1);
    // Whoever opens it later sees that it was sent, and has nothing to send.
    await page.reload();
    await panel(page)
      .getByText(/^Sent on/)
      .waitFor();
    expect(await panel(page).getByRole('textbox').count()).toBe(0);
  });

  test('bytes that are no text, and text that would act, are shown and do nothing', async () => {
    const hostile = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\u0007\u202e{"recordId"';
    const [asText, asBytes] = await reject(hostile, Buffer.from([0xc1, 0x00, 0xff, 0x3c]));
    const page = await open(`#/deadletters?lang=en&letter=${asText}`);
    const text = await panel(page).locator('pre').first().innerText();
    expect(text).toContain('<script>window.hit=1</script>\\u{7}\\u{202e}{"recordId"');
    expect(await page.locator('img, script:not([src])').count()).toBe(0);
    expect(await page.evaluate('window.hit')).toBeUndefined();
    await page.goto(`${serving.http}/#/deadletters?lang=en&letter=${asBytes}`);
    await panel(page).getByText('c1 00 ff 3c').waitFor();
    expect(await panel(page).locator('pre').innerText()).toBe(`000000  c1 00 ff 3c${' '.repeat(38)}...<`);
    expect(await panel(page).getByRole('textbox').inputValue()).toBe('');
  });

  test('the keyboard does everything, and new ones come by themselves', async () => {
    const [first, second] = await reject(voice({ recordType: 'mms' }), voice({ recordType: 'fax' }));
    const page = await open('#/deadletters?lang=en&reason=unknownType');
    await rows(page).first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    await page.locator('tr.active a:focus').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('aside:focus').waitFor();
    expect(page.url()).toContain(`letter=${second}`);
    await page.keyboard.press('j');
    await expect.poll(() => page.url()).toContain(`letter=${first}`);
    await page.keyboard.press('Escape');
    await panel(page).waitFor({ state: 'detached' });
    await page.locator('tr.active a:focus').waitFor();
    await page.keyboard.press('/');
    await page.locator('input[type=search]:focus').waitFor();
    await page.keyboard.type('http');
    await page.keyboard.press('Enter');
    await page.getByText('No rejected record matches the filters').waitFor();
    await page.getByRole('searchbox').fill('usage.>');
    await page.getByRole('searchbox').press('Enter');
    await expect.poll(() => rows(page).count()).toBe(2);
    await reject(voice({ recordType: 'telex' }));
    await expect.poll(() => rows(page).count()).toBe(3);
  });

  test('more than a page is shown when asked for', async () => {
    await reject(...Array.from({ length: 60 }, () => voice({ durationSec: -1, recordType: 'data' })));
    const page = await open('#/deadletters?lang=en');
    await expect.poll(() => listed(page)).toBe(50);
    await page.getByRole('button', { name: 'Show older ones' }).click();
    await expect.poll(() => listed(page)).toBeGreaterThan(60);
    expect(await page.getByRole('button', { name: 'Show older ones' }).count()).toBe(0);
  });

  test('axe-core finds nothing serious, in light and dark; Chinese leaves no English sentence', async () => {
    const [seq] = await reject(voice({ durationSec: -1 }));
    const page = await open('#/deadletters?lang=en', { reducedMotion: 'reduce' });
    await rows(page).first().waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await page.goto(`${serving.http}/#/deadletters?lang=en&letter=${seq}`);
    await panel(page).getByRole('textbox').waitFor();
    expect(await seriousViolations(page)).toEqual([]);
    await page.goto(`${serving.http}/#/deadletters?lang=zh-CN&letter=${seq}`);
    await panel(page).getByRole('heading', { name: '不符合格式' }).waitFor();
    const words = async () => {
      const texts = await page.locator('main').locator('h1, h2, h3, th, button, label').allInnerTexts();
      return texts.join('\n').match(/[A-Za-z]{2,}/g);
    };
    await expect.poll(words).toEqual(['JSON']);
  });
});
