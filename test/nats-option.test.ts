/** Commands that do one thing and end, where there is no NATS, or not the one that they need. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startBroker } from '../src/source/broker.ts';
import { startConfigured } from './nats-servers.ts';
import { copyRules, createLineWriter, ringfence, run, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

const records = join(folder.path, 'records.ndjson');
createLineWriter(records).end();
const rules = copyRules(join(folder.path, 'rules'), 'fraud/long-call');
const commands = [
  ['publish', records],
  ['deadletter', 'list'],
  ['deadletter', 'show', '1'],
  ['deadletter', 'replay', '1'],
  ['labels', '--desk', 'fraud'],
  ['rules', 'apply', rules],
  ['rules', 'export', rules],
];

test('each waits for ten seconds and then exits with 3 and a sentence', async () => {
  const nats = `nats://127.0.0.1:${await freePort()}`;
  const exits = await Promise.all(
    commands.map(
      (command, index) =>
        // By flag and by environment alike.
        ringfence(index % 2 === 0 ? [...command, '--nats', nats] : command, { environment: { RINGFENCE_NATS: nats } })
          .exited,
    ),
  );
  expect(exits.map(({ code, stdout }) => [code, stdout])).toEqual(commands.map(() => [3, '']));
  for (const { stderr } of exits) {
    expect(stderr.trim().split('\n')).toEqual([
      `NATS at ${nats} does not answer (connection refused): waiting`,
      `NATS at ${nats} did not answer within 10 s (connection refused).`,
      'Start it, or name the server that runs (flag --nats, or RINGFENCE_NATS in the environment).',
    ]);
  }
});

test('each exits with 3 and a sentence where the server has no JetStream', async () => {
  const server = await startConfigured('');
  const exits = await Promise.all(commands.map((command) => run([...command, '--nats', server.url])));
  await server.stop();
  expect(exits.map(({ code, stdout }) => [code, stdout])).toEqual(commands.map(() => [3, '']));
  for (const { stderr } of exits) {
    expect(stderr).toMatch(
      /^(NATS did not answer: |JetStream does not answer on this NATS server \()jetstream is not enabled/,
    );
    expect(stderr.trim().split('\n')).toHaveLength(2);
  }
});

test('each that reads what a deployment has made exits with 3 where none was', async () => {
  const broker = await startBroker();
  const reading = commands.filter(([name, what]) => name !== 'publish' && what !== 'export');
  const exits = await Promise.all(reading.map((command) => run([...command, '--nats', broker.url])));
  await broker.stop();
  expect(exits.map(({ code, stdout }) => [code, stdout])).toEqual(reading.map(() => [3, '']));
  for (const { stderr } of exits)
    expect(stderr).toMatch(/^There is no stream (USAGE|ALERTS) on this NATS server\.\n.*\n$/);
});
