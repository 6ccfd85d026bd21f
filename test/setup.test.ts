/**
 * deploy/setup.mjs on checkouts that lack this or that. The copies hold what setup looks at and no more; programs that it
 * would fetch things with (apt-get, go, docker) are small scripts here, because what they fetch lies outside of this
 * machine. The whole way, with real downloads, is what every run on a fresh clone takes.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
let checkout: string;
/** The only folder on the PATH of setup: what the machine offers. */
let machine: string;

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'ringfence-setup-'));
  machine = join(checkout, 'machine');
  for (const folder of ['deploy', 'node_modules/.bin', 'machine', 'home'])
    mkdirSync(join(checkout, folder), { recursive: true });
  for (const file of ['deploy/setup.mjs', 'package.json', 'package-lock.json'])
    cpSync(join(root, file), join(checkout, file));
  // As npm leaves it behind after installing exactly what the lock file says.
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  writeFileSync(join(checkout, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
  symlinkSync(process.execPath, join(checkout, 'node_modules/.bin/node'));
});

afterEach(() => rmSync(checkout, { recursive: true, force: true }));

/** Puts a shell script on the PATH of setup; it finds the ordinary tools by their full path. */
function offer(name: string, ...lines: string[]): void {
  const path = join(machine, name);
  writeFileSync(path, ['#!/bin/sh', 'set -e', 'PATH=/usr/bin:/bin', ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
}

function start(...args: string[]) {
  const child = spawn(process.execPath, [join(checkout, 'deploy/setup.mjs'), ...args], {
    cwd: checkout,
    env: { HOME: join(checkout, 'home'), PATH: machine },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += `stdout: ${chunk}`;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, output }));
  });
  return { ended, output: () => output, pid: child.pid as number };
}
const setup = (...args: string[]) => start(...args).ended;

/** Where setup looks beside the PATH; on a machine with a nats-server there it has nothing to do. */
const systemHasBroker = ['/usr/sbin', '/usr/local/sbin'].some((folder) => existsSync(join(folder, 'nats-server')));

test('says nothing and changes nothing where everything is there', async () => {
  offer('nats-server');
  offer('chromium');
  offer('schemathesis');
  offer('fc-list', 'echo Noto Sans CJK SC');
  expect(await setup()).toEqual({ code: 0, output: '' });
  expect(existsSync(join(checkout, '.ringfence'))).toBe(false);
});

test('an unknown target is exit code 3 and says which there are', async () => {
  const { code, output } = await setup('--for', 'everything');
  expect(code).toBe(3);
  expect(output).toBe('setup: Usage: node deploy/setup.mjs [--for cli | demo | test | screenshots]\n');
});

describe('packages', () => {
  test.each([
    [
      'a package of another version',
      (packages: Record<string, { version: string }>) => (packages['node_modules/yaml']!.version = '0.0.1'),
    ],
    [
      'a package that is missing',
      (packages: Record<string, { version: string }>) => delete packages['node_modules/fastify'],
    ],
  ])('%s brings npm ci, without install scripts', async (_, spoil) => {
    const file = join(checkout, 'node_modules/.package-lock.json');
    const installed = JSON.parse(readFileSync(file, 'utf8'));
    spoil(installed.packages);
    writeFileSync(file, JSON.stringify(installed));
    offer('npm', `echo "$@" > ${checkout}/npm-arguments`, 'echo noise; echo more noise >&2');
    expect(await setup('--for', 'cli')).toEqual({
      code: 0,
      output: 'setup: installing the packages of package-lock.json (npm ci)\n',
    });
    expect(readFileSync(join(checkout, 'npm-arguments'), 'utf8')).toMatch(/^ci --ignore-scripts /);
  });

  test('npm that fails is exit code 3 with its last lines', async () => {
    rmSync(join(checkout, 'node_modules/.package-lock.json'));
    offer('npm', 'echo "npm error the network is away" >&2', 'exit 1');
    const { code, output } = await setup('--for', 'cli');
    expect(code).toBe(3);
    expect(output).toContain('setup: The packages could not be installed.\n');
    expect(output).toContain('npm error the network is away');
  });

  test('a binary of another platform that npm left out is not missing', async () => {
    const file = join(checkout, 'node_modules/.package-lock.json');
    const installed = JSON.parse(readFileSync(file, 'utf8'));
    const left = Object.keys(installed.packages).filter((path) => installed.packages[path].optional);
    expect(left.length).toBeGreaterThan(5);
    for (const path of left) delete installed.packages[path];
    writeFileSync(file, JSON.stringify(installed));
    expect(await setup('--for', 'cli')).toEqual({ code: 0, output: '' });
  });
});

describe.skipIf(systemHasBroker)('nats-server (skipped where the system has one)', () => {
  const binary = () => join(checkout, '.ringfence/bin/nats-server');

  test('comes from the Debian package, unpacked and not installed', async () => {
    offer('apt-get', 'test "$2" = download', 'echo package > nats-server_2_amd64.deb');
    offer(
      'dpkg-deb',
      'mkdir -p "$3/usr/sbin"',
      'echo server > "$3/usr/sbin/nats-server"',
      'chmod +x "$3/usr/sbin/nats-server"',
    );
    offer('go', 'echo "go is not asked" >&2; exit 1');
    expect(await setup('--for', 'demo')).toEqual({
      code: 0,
      output: 'setup: unpacking nats-server from its Debian package into .ringfence/bin\n',
    });
    expect(readFileSync(binary(), 'utf8')).toBe('server\n');
    expect(await setup('--for', 'demo')).toEqual({ code: 0, output: '' });
  });

  test('comes from Go where apt-get has none', async () => {
    offer('apt-get', 'echo "E: Unable to locate package nats-server" >&2', 'exit 100');
    offer('dpkg-deb', 'exit 1');
    offer('go', 'echo server > "$GOBIN/nats-server"', 'chmod +x "$GOBIN/nats-server"');
    expect((await setup('--for', 'demo')).code).toBe(0);
    expect(readFileSync(binary(), 'utf8')).toBe('server\n');
  });

  test('comes from a container where there is no Go, and the container ends with its process', async () => {
    const log = join(checkout, 'docker.log');
    offer('docker', `echo "$@" >> ${log}`, 'if [ "$1" = run ]; then exec sleep 30; fi');
    expect((await setup('--for', 'demo')).code).toBe(0);
    const folder = join(checkout, 'store');
    mkdirSync(folder);
    const server = spawn(binary(), ['--config', join(folder, 'nats.conf')], {
      env: { PATH: `${machine}:/usr/bin:/bin` },
      stdio: 'ignore',
    });
    const logged = async (text: string) => {
      while (!readFileSync(log, 'utf8').includes(text)) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await logged(`run --rm --name ringfence-nats-${server.pid}`);
    expect(readFileSync(log, 'utf8')).toContain(`--volume ${folder}:${folder} `);
    server.kill('SIGKILL');
    await logged(`rm --force ringfence-nats-${server.pid}`);
  });

  test('one sentence says what to do where there is no way to get it', async () => {
    offer('docker', 'exit 1');
    const { code, output } = await setup('--for', 'demo');
    expect(code).toBe(3);
    expect(output).toMatch(
      /^setup: There is no nats-server, and no way to get one was found: .*RINGFENCE_NATS_SERVER.*\n$/,
    );
  });
});

test('no Chromium and no Python are no failure: one line says what to do', async () => {
  offer('nats-server');
  expect(await setup('--for', 'test')).toEqual({
    code: 0,
    output:
      'setup: no Chromium found; the browser tests will be skipped. Install Chromium or Chrome to run them.\n' +
      'setup: no Python found; the contract test will be skipped\n',
  });
});

test.runIf(process.platform === 'linux')('no Chinese font is no failure either (Linux only)', async () => {
  offer('nats-server');
  offer('chromium');
  offer('fc-list', 'true');
  expect(await setup('--for', 'screenshots')).toEqual({
    code: 0,
    output:
      'setup: no font with Chinese characters found; pictures in Chinese will show boxes. Install Noto Sans CJK or another one.\n',
  });
});

describe.skipIf(systemHasBroker)('two at once (skipped where the system has a nats-server)', () => {
  test('the second waits for the first, and then finds nothing to do', async () => {
    offer(
      'apt-get',
      `echo asked >> ${checkout}/asked`,
      `until test -e ${checkout}/go-on; do sleep 0.05; done`,
      'touch p.deb',
    );
    offer(
      'dpkg-deb',
      'mkdir -p "$3/usr/bin"',
      'echo server > "$3/usr/bin/nats-server"',
      'chmod +x "$3/usr/bin/nats-server"',
    );
    const first = start('--for', 'demo');
    while (!existsSync(join(checkout, 'asked'))) await new Promise((resolve) => setTimeout(resolve, 20));
    const second = start('--for', 'demo');
    while (!second.output().includes('\n')) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(second.output()).toBe(`setup: waiting for another setup of this checkout to end (process ${first.pid})\n`);
    writeFileSync(join(checkout, 'go-on'), '');
    expect((await first.ended).code).toBe(0);
    expect((await second.ended).code).toBe(0);
    expect(readFileSync(join(checkout, 'asked'), 'utf8')).toBe('asked\n');
  });

  test('the lock of a setup that is gone does not count', async () => {
    const gone = execFileSync('/bin/sh', ['-c', 'echo $$'], { encoding: 'utf8' }).trim();
    mkdirSync(join(checkout, '.ringfence'));
    writeFileSync(join(checkout, '.ringfence/setup.lock'), gone);
    offer('go', 'echo server > "$GOBIN/nats-server"', 'chmod +x "$GOBIN/nats-server"');
    expect((await setup('--for', 'demo')).code).toBe(0);
    expect(existsSync(join(checkout, '.ringfence/setup.lock'))).toBe(false);
  });
});
