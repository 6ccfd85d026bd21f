/** How a Chromium without a window is found and started: for the pictures of the console, its tests and its benchmark. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

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
