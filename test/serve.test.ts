/** `serve` against a real broker, as a process: the same records give the same alerts, whichever way they come. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import type { RuleSummary } from '../src/http/schemas.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import {
  alertsIn,
  countIn,
  endProcesses,
  expectSameAlerts,
  publish,
  replayed,
  rulesVersion,
  type Serving,
  send,
  startServe,
  storedIn,
  taken,
  temporaryFolder,
  until,
  writePopulation,
} from './serving.ts';

const folder = temporaryFolder();
let folders = 0;
const data = (): string => join(folder.path, `data-${folders++}`);
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
      const serving = await startServe({ nats: broker.url, data: data() });
      await publish(file, broker.url, ['--batch', String(batch)]);
      await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
      expect((await serving.end()).code).toBe(0);
      expectSameAlerts(await alertsIn(broker.url), expected);
    },
    60_000,
  );
});

describe('rules that change while it runs', () => {
  const rulesDir = (): string => join(folder.path, `rules-${folders++}`);
  /** F03 alone, with other limits; version and limits as given. */
  const burst = (version: number, warningSec: number): string =>
    readFileSync(join(projectFolder, 'rules/fraud/international-burst.yaml'), 'utf8')
      .replace(/^version: .*$/m, `version: ${version}`)
      .replace(/warningSec: \d+/, `warningSec: ${warningSec}`)
  const write = (directory: string, text: string): void => {
    mkdirSync(join(directory, 'fraud'), { recursive: true });
    writeFileSync(join(directory, 'fraud/international-burst.yaml'), text);
  };
  const inForce = async (serving: Serving): Promise<unknown> => {
    const { rules } = (await (await fetch(`${serving.http}/v1/rules`)).json()) as { rules: RuleSummary[] };
    return rules.map(({ id, version }) => `${id} ${version}`).join();
  };
  const changed = (serving: Serving, version: number): Promise<unknown> =>
    until(
      `version ${version} in force`,
      async () => (await inForce(serving)) === `fraud.international-burst ${version}`,
    );
  const call = (id: string, durationSec: number, more: object = {}): { subject: string; body: string } => ({
    subject: 'usage.0.voice',
    body: JSON.stringify({
      recordId: id,
      recordType: 'voice',
      eventTime: Date.UTC(2025, 0, 1),
      servedMsisdn: '8613900000001',
      direction: 'mo',
      otherNumber: '37112345678',
      durationSec,
      ...more,
    }),
  });
  const found = async (): Promise<unknown[]> =>
    (await alertsIn(broker.url)).map(({ ruleVersion, triggerRecordId, evidence }) => [
      ruleVersion,
      triggerRecordId,
      evidence[0]?.value,
    ]);

  test('a lower limit counts from then on, with what the window already holds', async () => {
    const rules = rulesDir();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: broker.url, data: data(), rules });
    const versionBefore = await rulesVersion(serving.ops);
    await send(broker.url, [call('a', 700)]);
    await taken(serving.ops, 1);
    write(rules, burst(4, 900));
    await changed(serving, 4);
    expect(await rulesVersion(serving.ops)).not.toBe(versionBefore);
    await send(broker.url, [call('b', 100), call('c', 150), call('d', 10)]);
    await until('the alert', async () => (await countIn(broker.url, 'ALERTS')) > 0);
    expect((await serving.end()).code).toBe(0);
    expect(await found()).toEqual([[4, 'c', 950]]);
  });

  test('a wrong file changes nothing and the log says where it is wrong; the next right one counts', async () => {
    const rules = rulesDir();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: broker.url, data: data(), rules });
    write(rules, burst(4, 900).replace('aggregate: sum', 'aggregate: summ'));
    await serving.said('changed rules refused');
    expect(serving.log()).toMatch(/fraud\/international-burst\.yaml:\d+:\d+: /);
    expect(await inForce(serving)).toBe('fraud.international-burst 3');
    await send(broker.url, [call('a', 1000), call('b', 300)]);
    write(rules, burst(5, 900));
    await changed(serving, 5);
    expect((await serving.end()).code).toBe(0);
    expect(await found()).toEqual([[3, 'b', 1300]]);
  });

  test('after kill -9 the change is made again at its place in the stream', async () => {
    const rules = rulesDir();
    const stay = { nats: broker.url, data: data(), rules, args: ['--checkpoint-interval-sec', '600'] };
    write(rules, burst(3, 1200));
    const first = await startServe(stay);
    await send(broker.url, [call('a', 700)]);
    await taken(first.ops, 1);
    write(rules, burst(4, 600));
    await changed(first, 4);
    await first.kill();

    const second = await startServe(stay);
    await changed(second, 4);
    await send(broker.url, [call('b', 5)]);
    await until('the alert', async () => (await countIn(broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    // Version 4 from the start would have fired at the first call.
    expect(await found()).toEqual([[4, 'b', 705]]);
    // And the restart had nothing to add to the stream.
    expect((await storedIn(broker.url, 'USAGE')).map(({ subject }) => subject)).toEqual([
      'usage.0.voice',
      'usage.0.rules',
      'usage.0.voice',
    ]);
  });

  test.each([
    ['a change that was taken back while it was away', (): string => burst(3, 1200), 'kept'],
    ['another change', (): string => burst(5, 1000), 'kept'],
    ['another change, with the state lost', (): string => burst(5, 1000), 'lost'],
  ])('%s is in force in the end, whatever is still in the stream', async (_what, text, state) => {
    const rules = rulesDir();
    const directory = data();
    const stay = { nats: broker.url, data: directory, rules, args: ['--checkpoint-interval-sec', '600'] };
    write(rules, burst(3, 1200));
    const first = await startServe(stay);
    await send(broker.url, [call('a', 10)]);
    write(rules, burst(4, 600));
    await changed(first, 4);
    await first.kill();
    if (state === 'lost') rmSync(directory, { recursive: true });

    write(rules, text());
    const version = Number(/^version: (\d+)/m.exec(text())![1]);
    const second = await startServe(stay);
    await changed(second, version);
    await send(broker.url, [call('b', 1500)]);
    await until('the alert', async () => (await countIn(broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    expect(await found()).toEqual([[version, 'b', 1510]]);
  });

  test('a change while NATS is away waits for it', async () => {
    const rules = rulesDir();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: broker.url, data: data(), rules });
    await broker.kill();
    await serving.said('is lost: reconnecting');
    write(rules, burst(4, 900));
    const put = await fetch(`${serving.http}/v1/rules/fraud.international-burst`, {
      method: 'PUT',
      headers: { 'content-type': 'application/yaml' },
      body: burst(5, 800),
    });
    expect(put.status).toBe(503);
    broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
    await changed(serving, 4);
    expect((await serving.end()).code).toBe(0);
  });
});
