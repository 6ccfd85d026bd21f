/**
 * A real Chromium without a window for tests of the console. Where there is none, the tests that need it are skipped and
 * say so; `RINGFENCE_CHROMIUM` names one that is not found by itself.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { projectFolder } from '../src/config.ts';
import { findChromium, startChromium } from '../src/console/chromium.ts';

export const builtConsole = join(projectFolder, 'dist/console');
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

/** Nobody builds for longer: the lock is one that a killed run left behind. */
const BUILD_LIMIT_MS = 60_000;

/** A console that is older than its sources proves nothing; `npm test` has built it already. One file at a time builds. */
export async function buildIfStale(): Promise<void> {
  const sources = join(projectFolder, 'src/console');
  const newest = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .map((path) => statSync(join(sources, path)).mtimeMs)
    .reduce((latest, time) => Math.max(latest, time), 0);
  const page = join(builtConsole, 'index.html');
  const isFresh = (): boolean => existsSync(page) && statSync(page).mtimeMs >= newest;
  const lock = join(projectFolder, 'dist/.console-build');
  mkdirSync(dirname(lock), { recursive: true });
  while (!isFresh()) {
    try {
      mkdirSync(lock);
    } catch {
      const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (Date.now() - since > BUILD_LIMIT_MS) rmSync(lock, { recursive: true, force: true });
      await sleep(100);
      continue;
    }
    const vite = join(projectFolder, 'node_modules/vite/bin/vite.js');
    try {
      execFileSync(process.execPath, [vite, 'build', '--config', 'src/console/vite.config.ts'], {
        cwd: projectFolder,
        env: { ...process.env, NODE_ENV: 'production' },
      });
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }
  // Another file may be in the middle of a build that began earlier.
  while (existsSync(lock)) await sleep(100);
}

interface AxeResults {
  violations: { id: string; impact: string | null; nodes: { html: string }[] }[];
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The rules that go by colour: in dark nothing else is another page. */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];

/** What axe-core finds that keeps people out, in light and in dark, as sentences. */
export async function seriousViolations(page: Page): Promise<string[]> {
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(axeSource);
  const found: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const options = { resultTypes: ['violations'], ...(colorScheme === 'dark' && { runOnly: COLOUR_RULES }) };
    const { violations } = (await page.evaluate(`axe.run(${JSON.stringify(options)})`)) as AxeResults;
    for (const { id, impact, nodes } of violations) {
      if (impact !== 'serious' && impact !== 'critical') continue;
      found.push(...nodes.map((node) => `${colorScheme}, ${id}: ${node.html}`));
    }
  }
  return found;
}
