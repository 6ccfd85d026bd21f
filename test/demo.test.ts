/** The demo as a job of a shell: alerts of all desks come by themselves, and Ctrl-C leaves nothing behind. */
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DESKS, type Desk } from '../src/alerts/alert.ts';
import { createFollower, endProcesses, type Running, ringfence, temporaryFolder, until, whenReady } from './serving.ts';

/** An alert of the live feed, not of the months before it. */
const LIVE_WITHIN_MS = 15 * 60_000;

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  await endProcesses();
  folder.remove();
});

const start = (listen = '127.0.0.1:0', environment: Record<string, string> = {}): Running =>
  ringfence(['demo', '--listen', listen, '--ops-listen', '127.0.0.1:0'], {
    // Its own folder then lies in ours, and whatever it starts can be told by its arguments.
    environment: { TMPDIR: folder.path, ...environment },
    asJob: true,
  });

/** Command lines of the processes that belong to a demo: the broker's names its folder, the feed's names the broker. */
function processesOf(...marks: string[]): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (marks.some((mark) => words.includes(mark))) found.push(words);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** What the demo says of its broker. */
const brokerOf = (demo: Running): string => /nats:\/\/\S+/.exec(demo.log())![0];

test('live alerts of all three desks arrive; Ctrl-C ends every process and removes the folder', async () => {
  const demo = start();
  const { http } = (await whenReady(demo))!;
  const readyAt = Date.now();
  const follower = createFollower();
  follower.follow(http);
  const liveDesks = (): Set<Desk> => {
    const live = follower.alerts().filter(({ eventTime }) => Math.abs(eventTime - readyAt) < LIVE_WITHIN_MS);
    return new Set(live.map(({ desk }) => desk));
  };
  await until('live alerts of all desks', () => liveDesks().size === DESKS.length);
  if (process.env['RINGFENCE_FAULTS'] === 'whole') {
    console.info(`all desks ${Date.now() - readyAt} ms after the ready line, ${follower.frames.length} alerts`);
  }
  follower.close();

  const marks = [folder.path, brokerOf(demo)];
  const programs = processesOf(...marks).join('\n');
  expect(programs).toContain('nats-server');
  expect(programs).toContain('demo-feed');
  const { code, stderr } = await demo.end('SIGINT');
  expect(code, stderr).toBe(0);
  await until('the last process to end', () => processesOf(...marks).length === 0);
  expect(readdirSync(folder.path)).toEqual([]);
});

test.each([
  ['before it has a broker', async () => sleep(0)],
  ['when it has a broker', (demo: Running) => demo.said('nats://')],
  ['when it is ready', whenReady],
])('Ctrl-C %s ends it in order', async (_when, moment: (demo: Running) => Promise<unknown>) => {
  const demo = start();
  await until('its own folder', () => readdirSync(folder.path).length > 0);
  await moment(demo);
  const { code, stderr } = await demo.end('SIGINT');
  expect(code, stderr).toBe(0);
  expect(stderr).not.toMatch(/^\s+at /m);
  await until('the last process to end', () => processesOf(folder.path).length === 0);
  expect(readdirSync(folder.path)).toEqual([]);
});

test('Ctrl-C that the server dies of before it has started ends it in order too', async () => {
  const server = join(folder.path, 'nats-server');
  writeFileSync(server, '#!/bin/sh\nkill -INT $PPID\n', { mode: 0o755 });
  const { code, stderr } = await start(undefined, { RINGFENCE_NATS_SERVER: server }).exited;
  expect([code, stderr]).toEqual([0, '']);
  expect(readdirSync(folder.path)).toEqual(['nats-server']);
});

test('kill -9 leaves no process behind', async () => {
  const demo = start();
  await whenReady(demo);
  const marks = [folder.path, brokerOf(demo)];
  process.kill(demo.pid, 'SIGKILL');
  await until('the last process to end', () => processesOf(...marks).length === 0);
});

test('another port is taken where the usual one is not free', async () => {
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  const { port } = busy.address() as AddressInfo;
  const demo = start(`127.0.0.1:${port}`);
  const { http } = (await whenReady(demo))!;
  expect(new URL(http).port).not.toBe(String(port));
  expect((await fetch(`${http}/v1/rules`)).status).toBe(200);
  expect((await demo.end('SIGINT')).code).toBe(0);
  busy.close();
});
