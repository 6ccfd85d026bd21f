import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { connectionState, connectNats } from '../src/source/connection.ts';
import { startConfigured } from './nats-servers.ts';

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

describe('at the start', () => {
  test('waits for a server that is not there yet and says each thing once', async () => {
    // Somebody who hangs up is there at first.
    let attempts = 0;
    const other = createServer((socket) => {
      attempts++;
      socket.destroy();
    });
    const port = await freePort();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const sentences: string[] = [];
    const connecting = connectNats(`nats://127.0.0.1:${port}`, { name: 'test', log: (s) => sentences.push(s) });
    await expect.poll(() => attempts).toBeGreaterThan(2);
    expect(sentences).toHaveLength(1);
    await new Promise((resolve) => other.close(resolve));
    await expect.poll(() => sentences).toHaveLength(2);
    const broker = await startBroker({ port });
    cleanUp.push(() => broker.stop());
    const nc = await connecting;
    cleanUp.push(() => nc.close());
    expect(sentences).toEqual([
      expect.stringMatching(/^NATS at nats:\/\/127\.0\.0\.1:\d+ does not answer \(.+\): waiting$/),
      `NATS at nats://127.0.0.1:${port} does not answer (connection refused): waiting`,
      `NATS at nats://127.0.0.1:${port} answers: connected`,
    ]);
    expect(connectionState(nc).connected()).toBe(true);
  });

  test('gives up where it has a limit, and says for how long it waited', async () => {
    const nats = `nats://me:secret@127.0.0.1:${await freePort()}`;
    const waiting = connectNats(nats, { name: 'test', limitMs: 300 });
    await expect(waiting).rejects.toMatchObject({
      code: 'nats.unreachable',
      exitCode: 3,
      message: expect.stringMatching(
        /^NATS at nats:\/\/127\.0\.0\.1:\d+ did not answer within 0\.3 s \(connection refused\)\.$/,
      ),
    });
  });

  test('gives up on a server that takes the connection and never speaks', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    cleanUp.push(() => new Promise<void>((resolve) => void silent.close(() => resolve())));
    const { port } = silent.address() as AddressInfo;
    const waiting = connectNats(`127.0.0.1:${port}`, { name: 'test', limitMs: 300 });
    await expect(waiting).rejects.toMatchObject({ code: 'nats.unreachable' });
  });

  test('can be called off', async () => {
    const port = await freePort();
    const stop = new AbortController();
    const connecting = connectNats(`127.0.0.1:${port}`, {
      name: 'test',
      signal: stop.signal,
      log: () => stop.abort(new Error('stopped')),
    });
    await expect(connecting).rejects.toThrow('stopped');
    await expect(connectNats(`127.0.0.1:${port}`, { name: 'test', signal: stop.signal })).rejects.toThrow('stopped');
  });

  test('does not wait where waiting is of no use', async () => {
    const server = await startConfigured('authorization { user: "engine", password: "right" }');
    cleanUp.push(() => server.stop());
    const address = server.url.replace('127.0.0.1', 'me:secret@127.0.0.1');
    const refused = connectNats(address, { name: 'test', connection: { user: 'engine', pass: 'wrong' } });
    await expect(refused).rejects.toMatchObject({ code: 'nats.refused', exitCode: 3 });
    await expect(refused).rejects.not.toThrow(/secret|wrong/);
    await expect(connectNats('nats://[', { name: 'test' })).rejects.toMatchObject({ code: 'nats.refused' });
    const nc = await connectNats(server.url, { name: 'test', connection: { user: 'engine', pass: 'right' } });
    await nc.close();
  });
});

test('tells of every change, for ever', async () => {
  let broker: Broker = await startBroker();
  cleanUp.push(() => broker.stop());
  const sentences: string[] = [];
  const nc = await connectNats(broker.url, { name: 'test', log: (sentence) => sentences.push(sentence) });
  cleanUp.push(() => nc.close());
  const state = connectionState(nc);
  expect(connectionState(nc)).toBe(state);
  const events: string[] = [];
  const unsubscribe = state.subscribe((event) => events.push(event));
  for (let i = 0; i < 2; i++) {
    await broker.kill();
    await expect.poll(() => state.connected()).toBe(false);
    const settled = state.settled();
    broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
    await settled;
    expect(state.connected()).toBe(true);
  }
  unsubscribe();
  await nc.close();
  await state.settled();
  expect(state.connected()).toBe(false);
  expect(events).toEqual(['disconnected', 'connected', 'disconnected', 'connected']);
  expect(sentences).toHaveLength(4);
});
