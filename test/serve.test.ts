/** `serve` against a real broker, as a process: the same records give the same alerts, whichever way they come. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import {
  alertsIn,
  countIn,
  endProcesses,
  expectSameAlerts,
  publish,
  replayed,
  startServe,
  temporaryFolder,
  until,
  writePopulation,
} from './serving.ts';

const folder = temporaryFolder();
let broker: Broker;
beforeEach(async () => {
  broker = await startBroker();
});
afterEach(async () => {
  await endProcesses();
  await broker.stop();
});
afterAll(() => folder.remove());

describe('the same records give the same alerts', () => {
  const file = join(folder.path, 'population.ndjson');
  let records = 0;
  let expected: AlertData[] = [];
  beforeAll(async () => {
    records = writePopulation(file, { seed: 11, subscribers: 300, recordsPerSubscriberDay: 2 });
    expected = await replayed(file);
  });

  test('the stream has cases for every rule that ships', () => {
    expect(records).toBeGreaterThan(60_000);
    expect(new Set(expected.map(({ catalogue }) => catalogue)).size).toBe(12);
    expect(new Set(expected.map(({ desk }) => desk)).size).toBe(3);
  });

  test.each([1, 7, 256])(
    'over NATS in batches of %i as from the file',
    async (batch) => {
      const serving = await startServe({ nats: broker.url, data: join(folder.path, `batch-${batch}`) });
      await publish(file, broker.url, ['--batch', String(batch)]);
      await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
      expect((await serving.end()).code).toBe(0);
      expectSameAlerts(await alertsIn(broker.url), expected);
    },
    60_000,
  );
});
