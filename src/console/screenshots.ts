/**
 * Takes a picture of every page in both languages and both themes from a running Ringfence:
 *
 *     node src/console/screenshots.ts http://127.0.0.1:8080 pictures/
 *
 * Also the place that knows how to start Chromium without a window, which the browser tests use.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { DESKS } from '../alerts/alert.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const LANGUAGES = ['en', 'zh-CN'] as const;
const THEMES = ['light', 'dark'] as const;
const VIEWPORT = { width: 1440, height: 900 };
const PIXEL_RATIO = 1.5;
/** Charts of the operations page begin empty: this many seconds of readings make a picture. */
const OPERATIONS_READINGS_SEC = 30;
/** For what follows a change on the page: loading a chart, drawing it. */
const SETTLE_MS = 700;

/** The browser to use: RINGFENCE_CHROMIUM, else the first of the usual names on the PATH; undefined where there is none. */
export function findChromium(): string | undefined {
  const named = process.env['RINGFENCE_CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin'];
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

/** A browser without a window. `--no-sandbox` because containers run as root, where Chromium refuses its sandbox. */
export function startChromium(executablePath: string): Promise<Browser> {
  const asRoot = process.getuid?.() === 0;
  return chromium.launch({ executablePath, args: asRoot ? ['--no-sandbox'] : [] });
}

/** Shoots every page; returns the paths of the pictures, `<page>-<language>-<theme>.png`. */
async function takeScreenshots(
  baseUrl: string,
  folder: string,
  options: { readingsSec?: number; executablePath?: string } = {},
): Promise<string[]> {
  const executablePath = options.executablePath ?? findChromium();
  if (executablePath === undefined) throw new Error('no Chromium found; set RINGFENCE_CHROMIUM to its path');
  mkdirSync(folder, { recursive: true });
  const browser = await startChromium(executablePath);
  const written: string[] = [];
  try {
    const page = await browser.newPage({ viewport: VIEWPORT, deviceScaleFactor: PIXEL_RATIO, colorScheme: 'light' });
    const shoot = async (name: string, prepare: (language: string) => Promise<void>): Promise<void> => {
      for (const language of LANGUAGES) {
        await prepare(language);
        for (const theme of THEMES) {
          await page.emulateMedia({ colorScheme: theme });
          await page.waitForTimeout(SETTLE_MS);
          const path = join(folder, `${name}-${language}-${theme}.png`);
          await page.screenshot({ path });
          written.push(path);
        }
      }
    };

    await page.goto(new URL('/#/operations?lang=en', baseUrl).href);
    // Without it there is no console there, and every picture would be empty.
    await page.locator('.connection.live').waitFor();
    await page.waitForTimeout((options.readingsSec ?? OPERATIONS_READINGS_SEC) * 1000);
    // Only what is behind # changes, so nothing is loaded again and the charts keep what they have seen.
    await shoot('operations', (language) => goTo(page, `#/operations?lang=${language}`));
    for (const desk of DESKS) {
      await shoot(`desk-${desk}`, (language) => goTo(page, `#/desk/${desk}?lang=${language}`));
      await shoot(`alert-${desk}`, async (language) => {
        await goTo(page, `#/desk/${desk}?lang=${language}&sort=score`);
        const first = page.locator('table.alerts tbody a').first();
        if ((await first.count()) > 0) await first.click();
        await page.waitForTimeout(SETTLE_MS);
      });
    }
    await shoot('records', async (language) => {
      await goTo(page, `#/desk/fraud?lang=${language}&sort=score`);
      const first = page.locator('table.alerts tbody a').first();
      if ((await first.count()) > 0) await first.click();
      await page.locator('.contributing a.button').click();
      await page.locator('table.records tbody a').first().click();
      await page.waitForTimeout(SETTLE_MS);
    });
    for (const desk of DESKS) {
      await shoot(`cases-${desk}`, async (language) => {
        await goTo(page, `#/cases/${desk}?lang=${language}`);
        const first = page.locator('table.cases tbody a').first();
        if ((await first.count()) > 0) await first.click();
        await page.waitForTimeout(SETTLE_MS);
      });
    }
    await shoot('rules', async (language) => {
      await goTo(page, `#/rules?lang=${language}`);
      const first = page.locator('table.rules tbody a').first();
      if ((await first.count()) > 0) await first.click();
      await page.waitForTimeout(SETTLE_MS);
    });
    for (const [name, what] of [
      ['case-close', '.case-actions .primary'],
      ['case-merge', '[data-question=merge]'],
      ['case-list-entry', '[data-question=listEntry]'],
    ] as const) {
      await shoot(name, async (language) => {
        await page.keyboard.press('Escape');
        await goTo(page, `#/cases/fraud?lang=${language}`);
        await page.locator('table.cases tbody a').first().click();
        await page.locator(what).click();
      });
    }
    await page.keyboard.press('Escape');
    await shoot('case-filters', async (language) => {
      await goTo(page, `#/cases/fraud?lang=${language}`);
      await page.locator('.more-filters:not([open]) summary').click();
    });
    await shoot('deadletters', (language) => goTo(page, `#/deadletters?lang=${language}`));
    await shoot('help', async (language) => {
      await goTo(page, `#/desk/fraud?lang=${language}`);
      await page.keyboard.press('Escape');
      await page.locator('.bar-tools > .icon-button').click();
    });
  } finally {
    await browser.close();
  }
  return written;
}

async function goTo(page: Page, hash: string): Promise<void> {
  // Away from the rows: a list under the pointer stands still.
  await page.mouse.move(0, 0);
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.waitForTimeout(SETTLE_MS);
}

if (import.meta.main) {
  const [baseUrl, folder] = process.argv.slice(2);
  if (baseUrl === undefined || folder === undefined) {
    console.error('usage: node src/console/screenshots.ts <address of a running Ringfence> <folder for the pictures>');
    process.exit(3);
  }
  for (const path of await takeScreenshots(baseUrl, folder)) console.log(path);
}
