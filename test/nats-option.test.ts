/** Commands that do one thing and end, where there is no NATS. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { copyRules, createLineWriter, ringfence, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

test('each waits for ten seconds and then exits with 3 and a sentence', { timeout: 90_000 }, async () => {
  const records = join(folder.path, 'records.ndjson');
  createLineWriter(records).end();
  const rules = copyRules(join(folder.path, 'rules'), 'fraud/long-call');
  const nats = `nats://127.0.0.1:${await freePort()}`;
  const commands = [
    ['publish', records],
    ['deadletter', 'list'],
    ['deadletter', 'show', '1'],
    ['deadletter', 'replay', '1'],
    ['labels', '--desk', 'fraud'],
    ['rules', 'apply', rules],
    ['rules', 'export', rules],
  ];
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
