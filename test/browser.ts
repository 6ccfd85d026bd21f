/**
 * A real Chromium without a window for tests of the console. Where there is none, the tests that need it are skipped and
 * say so; `RINGFENCE_CHROMIUM` names one that is not found by itself.
 */
import type { Browser, Page } from 'playwright-core';
import { findChromium, startChromium } from '../src/console/screenshots.ts';

export const chromiumPath = findChromium();

if (chromiumPath === undefined) {
  console.warn(
    'No Chromium on this machine: the browser tests are skipped. Run `npm run setup`, or set RINGFENCE_CHROMIUM.',
  );
}

export async function openBrowser(): Promise<Browser> {
  if (chromiumPath === undefined) throw new Error('no Chromium on this machine');
  return startChromium(chromiumPath);
}

/**
 * What a page must never say: errors of its scripts, and violations of the content security policy. Failed requests are
 * not among them: a console whose server is away sees those, and has to live with them.
 */
export function watchProblems(page: Page): string[] {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`script: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    const isNetwork = /^Failed to load resource|^WebSocket connection to .* failed/.test(text);
    if (message.type() === 'error' && !isNetwork) problems.push(`console: ${text}`);
  });
  return problems;
}
