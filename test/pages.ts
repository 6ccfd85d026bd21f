/**
 * Pages of a real browser for the tests of a file, each in a context of its own as another person would have it, and people who
 * sign in there.
 */
import { join } from 'node:path';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Role } from '../src/access/grants.ts';
import { hashPassword } from '../src/access/password.ts';
import { openAccessStore } from '../src/access/store.ts';
import type { Desk } from '../src/alerts/alert.ts';
import { openBrowser, watchProblems } from './browser.ts';

/** Shorter than the limit of a test, so that a failure names what was not there. */
const LOCATOR_LIMIT_MS = 60_000;

/**
 * One browser for the file. Behind each test its pages are closed, and none of them may have had a script that failed or broken
 * the content security policy.
 * @returns what opens an empty page
 */
export function pagesForEach(): (options?: BrowserContextOptions) => Promise<Page> {
  let browser: Browser;
  const contexts: BrowserContext[] = [];
  const problems: string[][] = [];
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    await Promise.all(contexts.splice(0).map((context) => context.close()));
    expect(problems.splice(0).flat()).toEqual([]);
  });
  afterAll(() => browser?.close());
  return async (options) => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB', ...options });
    contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(LOCATOR_LIMIT_MS);
    problems.push(watchProblems(page));
    return page;
  };
}

const PASSWORD = 'a long enough sentence';

/** Fills in the form that the page shows and sends it. */
export async function signIn(page: Page, name: string, password = PASSWORD): Promise<void> {
  await page.locator('input[name=name]').fill(name);
  await page.locator('input[name=password]').fill(password);
  await page.locator('button[type=submit]').click();
}

/** Adds people who sign in with `PASSWORD` to a data folder that no `serve` has yet. */
export async function addPeople(data: string, people: { name: string; role: Role; desk: Desk }[]): Promise<void> {
  const author = { who: { kind: 'command', id: 'test' } };
  const store = openAccessStore(join(data, 'access.sqlite'));
  const hash = await hashPassword(PASSWORD);
  for (const { name, role, desk } of people) {
    store.addUser({ name, roles: [role], desks: [desk], password: hash }, author);
    store.changeUser(name, { password: { hash, mustChange: false } }, author);
  }
  store.close();
}
