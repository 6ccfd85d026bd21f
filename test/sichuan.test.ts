/**
 * A stream made from the real profiles of some thousand mobile subscribers, where that data is at hand: the same alerts from the
 * file, twice, and over NATS. The data is not part of this repository.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectFolder } from '../src/config.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import {
  alertsIn,
  countIn,
  endProcesses,
  expectSameAlerts,
  parseAlerts,
  publish,
  run,
  scrape,
  startServe,
  taken,
  temporaryFolder,
  until,
} from './serving.ts';

const generator = join(projectFolder, '../shared/data/sichuan-stream.mjs');
const missing = !existsSync(generator);
const RECORDS = 191_250;

const folder = temporaryFolder();
const file = join(folder.path, 'sichuan.ndjson');
const labels = join(folder.path, 'labels.csv');
let broker: Broker;
beforeAll(async () => {
  if (missing) return;
  broker = await startBroker();
  const output = openSync(file, 'w');
  const args = ['--users', '300', '--months', '2', '--from', '2020-02', '--labels', labels];
  const { status, stderr } = spawnSync(process.execPath, [generator, ...args], { stdio: ['ignore', output, 'pipe'] });
  closeSync(output);
  expect(status, stderr.toString()).toBe(0);
});
afterAll(async () => {
  await endProcesses();
  await broker?.stop();
  folder.remove();
});

const replay = async (name: string): Promise<{ alerts: string; summary: Record<string, unknown> }> => {
  const alerts = join(folder.path, name);
  const { code, stderr } = await run([
    'replay',
    file,
    '--labels',
    labels,
    '--alerts',
    alerts,
    '--output',
    'json',
    '--time-zone',
    'Asia/Shanghai',
  ]);
  expect(code, stderr).toBe(0);
  return { alerts: readFileSync(alerts, 'utf8'), summary: JSON.parse(stderr) };
};
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

test.skipIf(missing)(
  `${RECORDS} records give the same alerts, byte for byte, each time, and over NATS${missing ? ' (the data is not here)' : ''}`,
  async () => {
    const first = await replay('first.ndjson');
    expect(first.summary).toMatchObject({ records: RECORDS, applied: RECORDS, rejected: 0, duplicates: 0, late: 0 });
    expect(first.summary['labels']).toMatchObject({ labelled: 300 });
    const second = await replay('second.ndjson');
    expect(digest(second.alerts)).toBe(digest(first.alerts));
    const expected = parseAlerts(first.alerts);
    expect(expected.length).toBe(first.summary['revisions']);

    const data = join(folder.path, 'data');
    const serving = await startServe({ nats: broker.url, data, args: ['--time-zone', 'Asia/Shanghai'] });
    await publish(file, broker.url, ['--batch', '256']);
    await taken(serving.ops, RECORDS);
    expect((await scrape(serving.ops)).value('ringfence_records_total', { result: 'applied' })).toBe(RECORDS);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
    expect((await serving.end()).code).toBe(0);
    expectSameAlerts(await alertsIn(broker.url), expected);
  },
  120_000,
);
