import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, test, vi } from 'vitest';
import { RingfenceError } from '../src/errors.ts';
import { findNatsServer, startBroker } from '../src/source/broker.ts';
import { natsServers } from './nats-servers.ts';

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

describe.each(natsServers)('$name', ({ binary }) => {
  const named = binary === undefined ? {} : { binary };

  test('answers with JetStream once started, and leaves nothing behind when stopped', async () => {
    const broker = await startBroker(named);
    const nc = await connect({ servers: broker.url });
    expect(nc.info?.version).toBe(broker.version);
    const jsm = await jetstreamManager(nc);
    await jsm.streams.add({ name: 'S', subjects: ['s'] });
    await nc.close();
    expect(existsSync(broker.storeDir)).toBe(true);

    await broker.stop();
    expect(await listens(broker.port)).toBe(false);
    expect(existsSync(broker.storeDir)).toBe(false);
    await broker.stop();
  });

  test('comes back with its messages after kill -9, on the same port', async () => {
    const first = await startBroker(named);
    let nc = await connect({ servers: first.url });
    await (await jetstreamManager(nc)).streams.add({ name: 'S', subjects: ['s'] });
    await jetstream(nc).publish('s', 'kept');
    await nc.close();
    await first.kill();
    expect(await listens(first.port)).toBe(false);
    expect(existsSync(first.storeDir)).toBe(true);

    const second = await startBroker({ ...named, port: first.port, storeDir: first.storeDir });
    expect(second.port).toBe(first.port);
    nc = await connect({ servers: second.url });
    const message = await (await jetstreamManager(nc)).streams.getMessage('S', { seq: 1 });
    expect(message?.string()).toBe('kept');
    await nc.close();
    await second.stop();
    expect(existsSync(first.storeDir)).toBe(false);
  });

  test('takes the largest payload that it is told', async () => {
    const broker = await startBroker({ ...named, maxPayloadBytes: 4096 });
    const nc = await connect({ servers: broker.url });
    expect(nc.info?.max_payload).toBe(4096);
    await nc.close();
    await broker.stop();
  });

  test('two of them do not get in each other’s way, and a port that is taken is an error', async () => {
    const [one, two] = await Promise.all([startBroker(named), startBroker(named)]);
    expect(one.port).not.toBe(two.port);
    await expect(startBroker({ ...named, port: one.port })).rejects.toMatchObject({
      code: 'broker.start-failed',
      message: expect.stringContaining('address already in use'),
    });
    await Promise.all([one.stop(), two.stop()]);
  });
});

test('keeps a store that the caller named', async () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
  const broker = await startBroker({ storeDir });
  await broker.stop();
  expect(existsSync(storeDir)).toBe(true);
  rmSync(storeDir, { recursive: true });
});

test.each(['SIGKILL', 'SIGTERM', 'end of work'])('does not outlive a parent that goes by %s', async (way) => {
  const module = fileURLToPath(new URL('../src/source/broker.ts', import.meta.url));
  const script = `
    import { startBroker } from ${JSON.stringify(module)};
    const { port, storeDir } = await startBroker();
    console.log(JSON.stringify({ port, storeDir }));
    ${way === 'end of work' ? '' : 'setInterval(() => {}, 1000);'}`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((resolve) => {
    createInterface({ input: parent.stdout }).once('line', resolve);
  });
  const { port, storeDir } = JSON.parse(line) as { port: number; storeDir: string };
  const gone = new Promise((resolve) => parent.once('exit', resolve));
  if (way !== 'end of work') parent.kill(way as NodeJS.Signals);
  await gone;
  await expect.poll(() => listens(port)).toBe(false);
  await expect.poll(() => existsSync(storeDir)).toBe(false);
});

describe('finding the binary', () => {
  test('RINGFENCE_NATS_SERVER wins over everything else', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
    const path = join(folder, 'my-server');
    writeFileSync(path, '#!/bin/sh\n', { mode: 0o755 });
    vi.stubEnv('RINGFENCE_NATS_SERVER', path);
    expect(findNatsServer()).toBe(path);
    rmSync(folder, { recursive: true });
  });

  test('RINGFENCE_NATS_SERVER that names no program is an error, not a fallback', () => {
    vi.stubEnv('RINGFENCE_NATS_SERVER', tmpdir());
    expect(() => findNatsServer()).toThrow(RingfenceError);
  });

  test('PATH comes next', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
    writeFileSync(join(folder, 'nats-server'), '#!/bin/sh\n', { mode: 0o755 });
    vi.stubEnv('RINGFENCE_NATS_SERVER', '');
    vi.stubEnv('PATH', folder);
    expect(findNatsServer()).toBe(join(folder, 'nats-server'));
    rmSync(folder, { recursive: true });
  });
});

test('a binary that is no server gives its last words', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
  const binary = join(folder, 'nats-server');
  writeFileSync(binary, '#!/bin/sh\necho "not today" >&2\nexit 1\n', { mode: 0o755 });
  await expect(startBroker({ binary })).rejects.toMatchObject({
    code: 'broker.start-failed',
    message: expect.stringContaining('not today'),
  });
  await expect(startBroker({ binary: join(folder, 'absent') })).rejects.toMatchObject({ code: 'broker.start-failed' });
  rmSync(folder, { recursive: true });
});
