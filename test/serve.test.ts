/** `serve` against a real broker, as a process: the same records give the same alerts, whichever way they come. */
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import type { RuleSummary, SubscriberView } from '../src/http/schemas.ts';
import { tickBody } from '../src/record/control-message.ts';
import { startBroker } from '../src/source/broker.ts';
import { callRecord } from './call-record.ts';
import {
  alertsIn,
  brokerForEach,
  countIn,
  expectSameAlerts,
  linesOf,
  publish,
  readiness,
  recordsTaken,
  replayed,
  ringfence,
  rulesVersion,
  run,
  type Serving,
  scrape,
  send,
  serveArguments,
  startServe,
  storedIn,
  taken,
  until,
  whenReady,
  writePopulation,
} from './serving.ts';

const stand = brokerForEach();

describe('the same records give the same alerts', () => {
  const file = join(stand.path, 'population.ndjson');
  let records = 0;
  let expected: AlertData[] = [];
  beforeAll(async () => {
    records = writePopulation(file, { seed: 11, subscribers: 300, recordsPerSubscriberDay: 2 });
    expected = await replayed(file);
  });

  test('the stream has cases of many rules and all desks', () => {
    expect(records).toBeGreaterThan(60_000);
    expect(new Set(expected.map(({ catalogue }) => catalogue)).size).toBeGreaterThanOrEqual(12);
    expect(new Set(expected.map(({ desk }) => desk)).size).toBe(3);
  });

  test('over NATS as from the file, in messages of one record and of many', { timeout: 90_000 }, async () => {
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder() });
    const lines = linesOf(file);
    for (const [part, batch] of [1, 7, 256].entries()) {
      const third = join(stand.path, `batches-of-${batch}.ndjson`);
      const [begin, end] = [part, part + 1].map((at) => Math.ceil((at * records) / 3));
      writeFileSync(third, lines.slice(begin, end).join('\n'));
      await publish(third, stand.broker.url, ['--batch', String(batch)]);
    }
    await until('all alerts', async () => (await countIn(stand.broker.url, 'ALERTS')) >= expected.length);
    expect((await serving.end()).code).toBe(0);
    expectSameAlerts(await alertsIn(stand.broker.url), expected);
  });
});

describe('rules that change while it runs', () => {
  /** F03 alone, with other limits; version and limits as given. */
  const burst = (version: number, warningSec: number): string =>
    readFileSync(join(projectFolder, 'rules/fraud/international-burst.yaml'), 'utf8')
      .replace(/^version: .*$/m, `version: ${version}`)
      .replace(/warningSec: \d+/, `warningSec: ${warningSec}`);
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
    (await alertsIn(stand.broker.url)).map(({ ruleVersion, triggerRecordId, evidence }) => [
      ruleVersion,
      triggerRecordId,
      evidence[0]?.value,
    ]);

  test('a lower limit counts from then on, with what the window already holds', async () => {
    const rules = stand.newFolder();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    const versionBefore = await rulesVersion(serving.ops);
    await send(stand.broker.url, [call('a', 700)]);
    await taken(serving.ops, 1);
    write(rules, burst(4, 900));
    await changed(serving, 4);
    expect(await rulesVersion(serving.ops)).not.toBe(versionBefore);
    await send(stand.broker.url, [call('b', 100), call('c', 150), call('d', 10)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect((await serving.end()).code).toBe(0);
    expect(await found()).toEqual([[4, 'c', 950]]);
  });

  test('a wrong file changes nothing and the log says where it is wrong; the next right one counts', async () => {
    const rules = stand.newFolder();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    write(rules, burst(4, 900).replace('aggregate: sum', 'aggregate: summ'));
    await serving.said('changed rules refused');
    expect(serving.log()).toMatch(/fraud\/international-burst\.yaml:\d+:\d+: /);
    expect(await inForce(serving)).toBe('fraud.international-burst 3');
    await send(stand.broker.url, [call('a', 1000), call('b', 300)]);
    write(rules, burst(5, 900));
    await changed(serving, 5);
    expect((await serving.end()).code).toBe(0);
    expect(await found()).toEqual([[3, 'b', 1300]]);
  });

  test('after kill -9 the change is made again at its place in the stream', async () => {
    const rules = stand.newFolder();
    const stay = { nats: stand.broker.url, data: stand.newFolder(), rules, args: ['--checkpoint-interval-sec', '600'] };
    write(rules, burst(3, 1200));
    const first = await startServe(stay);
    await send(stand.broker.url, [call('a', 700)]);
    await taken(first.ops, 1);
    write(rules, burst(4, 600));
    await changed(first, 4);
    await first.kill();

    const second = await startServe(stay);
    await changed(second, 4);
    await send(stand.broker.url, [call('b', 5)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    // Version 4 from the start would have fired at the first call.
    expect(await found()).toEqual([[4, 'b', 705]]);
    // And the restart had nothing to add to the stream.
    expect((await storedIn(stand.broker.url, 'USAGE')).map(({ subject }) => subject)).toEqual([
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
    const rules = stand.newFolder();
    const directory = stand.newFolder();
    const stay = { nats: stand.broker.url, data: directory, rules, args: ['--checkpoint-interval-sec', '600'] };
    write(rules, burst(3, 1200));
    const first = await startServe(stay);
    await send(stand.broker.url, [call('a', 10)]);
    write(rules, burst(4, 600));
    await changed(first, 4);
    await first.kill();
    if (state === 'lost') rmSync(directory, { recursive: true });

    write(rules, text());
    const version = Number(/^version: (\d+)/m.exec(text())![1]);
    const second = await startServe(stay);
    await changed(second, version);
    await send(stand.broker.url, [call('b', 1500)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    expect(await found()).toEqual([[version, 'b', 1510]]);
  });

  test('a list that is imported counts from its place in the stream on, also when that is read again after kill -9', async () => {
    const rules = stand.rulesOf('fraud/irsf-hot-range');
    const hot = async (number: string): Promise<void> => {
      const file = join(stand.path, 'hot.csv');
      writeFileSync(file, `kind,value\nnumber,${number}\n`);
      expect(await run(['lists', 'import', file, '--name', 'iprn', '--rules', rules])).toMatchObject({ code: 0 });
    };
    const callTo = (id: string, otherNumber: string): { subject: string; body: string } =>
      call(id, 60, { otherNumber, servedMsisdn: `861390000000${id}` });
    await hot('37112345001');
    const stay = { nats: stand.broker.url, data: stand.newFolder(), rules, args: ['--checkpoint-interval-sec', '600'] };
    const first = await startServe(stay);
    const versionBefore = await rulesVersion(first.ops);
    await send(stand.broker.url, [callTo('1', '37112345001'), callTo('2', '37112345002')]);
    await taken(first.ops, 2);
    await hot('37112345002');
    await until('the new list', async () => (await rulesVersion(first.ops)) !== versionBefore);
    const versionAfter = await rulesVersion(first.ops);
    await send(stand.broker.url, [callTo('3', '37112345001'), callTo('4', '37112345002')]);
    await until('the alerts', async () => (await countIn(stand.broker.url, 'ALERTS')) === 2);
    await first.kill();

    const second = await startServe(stay);
    await until('the new list', async () => (await rulesVersion(second.ops)) === versionAfter);
    await send(stand.broker.url, [callTo('5', '37112345001'), callTo('6', '37112345002')]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) === 3);
    // A list with an error changes nothing, and the log says where.
    writeFileSync(join(rules, 'lists/iprn.csv'), 'kind,value\nnumber,+44\n');
    await second.said('changed rules refused');
    expect(second.log()).toMatch(/lists\/iprn\.csv:2:8: '\+44' is no number/);
    expect(await rulesVersion(second.ops)).toBe(versionAfter);
    expect((await second.end()).code).toBe(0);
    expect((await found()).map((alert) => (alert as unknown[])[1])).toEqual(['1', '4', '6']);
  });

  test('a list larger than a message travels in parts, and is read again after kill -9', async () => {
    await stand.broker.stop();
    stand.broker = await startBroker({ maxPayloadBytes: 16_384 });
    const rules = stand.rulesOf('fraud/irsf-hot-range');
    mkdirSync(join(rules, 'lists'));
    const hot = (...more: string[]): void => {
      // Steps that do not repeat: some 100 KB when compressed.
      const numbers = Array.from({ length: 30_000 }, (_, at) => 44_909_800_000 + ((at * at * 7_919) % 99_999_989));
      const rows = [...new Set(numbers), ...more].map((number) => `number,${number}\n`);
      writeFileSync(join(rules, 'lists/iprn.csv'), `kind,value\n${rows.join('')}`);
    };
    hot();
    const stay = { nats: stand.broker.url, data: stand.newFolder(), rules, args: ['--checkpoint-interval-sec', '600'] };
    const first = await startServe(stay);
    const versionBefore = await rulesVersion(first.ops);
    await send(stand.broker.url, [call('1', 60)]);
    await taken(first.ops, 1);
    hot('37112345678');
    await until('the new list', async () => (await rulesVersion(first.ops)) !== versionBefore);
    await first.kill();
    expect(await countIn(stand.broker.url, 'USAGE')).toBeGreaterThan(4);

    const second = await startServe(stay);
    await until('the new list', async () => (await rulesVersion(second.ops)) !== versionBefore);
    await send(stand.broker.url, [call('2', 60)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    expect((await found()).map((alert) => (alert as unknown[])[1])).toEqual(['2']);
  });

  test('a change by the API is a change of the file, and is still there after a restart', async () => {
    const rules = stand.newFolder();
    const directory = stand.newFolder();
    write(rules, burst(3, 1200));
    const first = await startServe({ nats: stand.broker.url, data: directory, rules });
    const put = (text: string): Promise<number> =>
      fetch(`${first.http}/v1/rules/fraud.international-burst`, {
        method: 'PUT',
        headers: { 'content-type': 'application/yaml' },
        body: text,
      }).then(({ status }) => status);
    expect(await put(burst(3, 900))).toBe(409);
    expect(await put(burst(4, 900).replace('aggregate: sum', 'aggregate: summ'))).toBe(422);
    expect(await inForce(first)).toBe('fraud.international-burst 3');
    expect(await put(burst(4, 900))).toBe(200);
    expect(await inForce(first)).toBe('fraud.international-burst 4');
    expect(readFileSync(join(rules, 'fraud/international-burst.yaml'), 'utf8')).toBe(burst(4, 900));
    expect((await first.end()).code).toBe(0);

    const second = await startServe({ nats: stand.broker.url, data: directory, rules });
    expect(await inForce(second)).toBe('fraud.international-burst 4');
    await send(stand.broker.url, [call('a', 950)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect((await second.end()).code).toBe(0);
    expect(await found()).toEqual([[4, 'a', 950]]);
    const control = (await storedIn(stand.broker.url, 'USAGE')).filter(({ subject }) => subject === 'usage.0.rules');
    expect(control).toHaveLength(1);
  });

  test('a change while NATS is away waits for it', async () => {
    const rules = stand.newFolder();
    write(rules, burst(3, 1200));
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    await stand.broker.kill();
    await serving.said('is lost: reconnecting');
    write(rules, burst(4, 900));
    const put = await fetch(`${serving.http}/v1/rules/fraud.international-burst`, {
      method: 'PUT',
      headers: { 'content-type': 'application/yaml' },
      body: burst(5, 800),
    });
    expect(put.status).toBe(503);
    stand.broker = await startBroker({ port: stand.broker.port, storeDir: stand.broker.storeDir });
    await changed(serving, 4);
    expect((await serving.end()).code).toBe(0);
  });
});

describe('NATS', () => {
  test('that is away at the start and later is waited for, and readiness says so', async () => {
    const opsPort = await freePort();
    const url = stand.broker.url;
    const { port, storeDir } = stand.broker;
    await stand.broker.kill();
    const running = ringfence([
      ...serveArguments({ nats: url, data: stand.newFolder(), rules: stand.rulesOf('fraud/long-call') }),
      '--ops-listen',
      `127.0.0.1:${opsPort}`,
    ]);
    await running.said('does not answer');
    const ops = `http://127.0.0.1:${opsPort}`;
    const away = await readiness(ops);
    expect(away.status).toBe(503);
    expect(away.text).toContain('natsConnected (waiting for NATS)');

    stand.broker = await startBroker({ port, storeDir });
    const serving = (await whenReady(running))!;
    expect(await readiness(ops)).toEqual({ status: 200, text: 'ok\n' });

    await stand.broker.kill();
    const lost = await until('not ready', async () => (await readiness(ops)).status === 503 && readiness(ops));
    expect(lost.text).toMatch(/natsConnected \(waiting for NATS\).*reading/);
    const refused = await fetch(`${serving.http}/v1/usage`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(invoice('a')),
    });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    stand.broker = await startBroker({ port, storeDir });
    await until('ready again', async () => (await readiness(ops)).status === 200);
    await send(stand.broker.url, [message(invoice('b'))]);
    await taken(ops, 1);
    expect((await running.end()).code).toBe(0);
  });

  test('that never comes does not keep serve from ending', async () => {
    const { url } = stand.broker;
    await stand.broker.kill();
    const running = ringfence(
      serveArguments({ nats: url, data: stand.newFolder(), rules: stand.rulesOf('fraud/long-call') }),
    );
    await running.said('does not answer');
    const { code, stdout } = await running.end();
    expect([code, stdout]).toEqual([0, '']);
  });

  test.each([
    ['other subjects', { subjects: ['usage.0.>'] }, /^Stream USAGE exists with the subjects usage\.0\.> instead of/m],
    [
      'work-queue retention',
      { retention: RetentionPolicy.Workqueue },
      /^Stream USAGE exists with workqueue retention/m,
    ],
  ])('with a stream of %s is refused', async (_what, config, sentence) => {
    const nc = await connect({ servers: stand.broker.url });
    await (await jetstreamManager(nc)).streams.add({ name: 'USAGE', subjects: ['usage.>'], ...config });
    await nc.close();
    const { code, stdout, stderr } = await run(
      serveArguments({ nats: stand.broker.url, data: stand.newFolder(), rules: stand.rulesOf('fraud/long-call') }),
    );
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(sentence);
  });
});

describe('a start that cannot be', () => {
  const wrongRule = join(stand.path, 'wrong-rule');
  const wrongConfig = join(stand.path, 'wrong.yaml');
  const busy = createServer().listen(0, '127.0.0.1');
  beforeAll(() => {
    mkdirSync(wrongRule);
    const text = readFileSync(join(projectFolder, 'rules/fraud/long-call.yaml'), 'utf8');
    writeFileSync(join(wrongRule, 'long.yaml'), text.replace('callDuration >=', 'callDurations >='));
    writeFileSync(wrongConfig, 'partitions: 1\nlatenes: 5\n');
  });
  afterAll(() => busy.close());
  const taken = (): string => `127.0.0.1:${(busy.address() as AddressInfo).port}`;

  test.each<[what: string, args: () => string[], code: number, sentence: RegExp]>([
    ['beyond loopback', () => ['--listen', '0.0.0.0:0'], 3, /^Refusing to listen on 0\.0\.0\.0: .*\n/],
    ['metrics beyond loopback', () => ['--ops-listen', '[::]:0'], 3, /^Refusing to listen on ::: .*\n/],
    [
      'on a taken port',
      () => ['--listen', taken()],
      3,
      /^Cannot listen on 127\.0\.0\.1:\d+: another process listens there\.\n/m,
    ],
    [
      'metrics on a taken port',
      () => ['--ops-listen', taken()],
      3,
      /^Cannot listen on 127\.0\.0\.1:\d+: another process/,
    ],
    ['with no address', () => ['--listen', 'here'], 3, /^'here' is no HOST:PORT\.\n/],
    [
      'without rules',
      () => ['--rules', join(stand.path, 'nowhere')],
      3,
      /^The rules folder .*nowhere cannot be read: .*\n/,
    ],
    ['with a wrong rule', () => ['--rules', wrongRule], 2, /^.*wrong-rule\/long\.yaml:\d+:\d+: .*callDurations.*\n/],
    [
      'with an unknown key',
      () => ['--config', wrongConfig],
      3,
      /^.*wrong\.yaml:2:1: 'latenes' is no configuration key\n/,
    ],
    ['with a file for data folder', () => ['--data', wrongConfig], 3, /^The data folder .* cannot be made: EEXIST.*\n/],
    ['with data in a file', () => ['--data', join(wrongConfig, 'data')], 3, /^The data folder .* cannot be made: .*\n/],
    ['with a wrong value', () => ['--partitions', '0'], 3, /^--partitions: '0' .*\n/],
    ['with an unknown flag', () => ['--lissten', 'x'], 3, /^error: unknown option '--lissten'/],
    ['with no NATS address', () => ['--nats', 'nats://bad host:x'], 3, /^.* is not the address of a NATS server\.\n/],
  ])('%s ends with the exit code and one clear line', async (_what, args, code, sentence) => {
    const exit = await run([
      ...serveArguments({ nats: stand.broker.url, data: stand.newFolder(), rules: stand.rulesOf('fraud/long-call') }),
      ...args(),
    ]);
    expect([exit.code, exit.stdout], exit.stderr).toEqual([code, '']);
    expect(exit.stderr).toMatch(sentence);
    expect(exit.stderr.trim().split('\n').length).toBeLessThanOrEqual(3);
  });
});

describe('records that are not new', () => {
  test('count once, before a restart and after it', async () => {
    const stay = { nats: stand.broker.url, data: stand.newFolder(), rules: stand.rulesOf('arrears/overdue-warning') };
    const first = await startServe(stay);
    const messages = ['a', 'b', 'a', 'c', 'b'].map((id) => message(invoice(id)));
    await send(stand.broker.url, messages);
    await taken(first.ops, 5);
    const countsOf = async ({ ops }: Serving): Promise<number[]> => {
      const metrics = await scrape(ops);
      return ['applied', 'duplicate', 'late'].map((result) => metrics.value('ringfence_records_total', { result }));
    };
    expect(await countsOf(first)).toEqual([3, 2, 0]);
    expect((await first.end()).code).toBe(0);

    const second = await startServe(stay);
    await send(stand.broker.url, [...messages, message(invoice('d'))]);
    await taken(second.ops, 6);
    expect(await countsOf(second)).toEqual([1, 5, 0]);
    expect((await second.end()).code).toBe(0);
  });

  test('that are older than every window are counted, and rules on the record itself fire', async () => {
    // Others remember for ever, an account's open invoices for instance, so that nothing is too old for them.
    const rules = stand.rulesOf('fraud/long-call', 'fraud/international-burst');
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    const at = Date.UTC(2025, 5, 1);
    const old = at - 400 * DAY_MS;
    await send(stand.broker.url, [
      message(voice('now', at, 10)),
      message(voice('short', old, 10)),
      message(voice('long', old, 20_000)),
    ]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    const metrics = await scrape(serving.ops);
    expect(metrics.value('ringfence_records_total', { type: 'voice', result: 'late' })).toBe(2);
    expect((await serving.end()).code).toBe(0);
    const alerts = await alertsIn(stand.broker.url);
    expect(alerts.map(({ catalogue, triggerRecordId }) => [catalogue, triggerRecordId])).toEqual([['F09', 'long']]);
  });
});

test('a tick moves the clock of a silent partition, so that what is due then fires', async () => {
  const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder() });
  const issuedAt = Date.now() - 60 * DAY_MS;
  await send(stand.broker.url, [message(invoice('a', issuedAt, issuedAt + 14 * DAY_MS))]);
  await taken(serving.ops, 1);
  expect(await countIn(stand.broker.url, 'ALERTS')).toBe(0);
  await send(stand.broker.url, [{ subject: 'usage.0.tick', body: tickBody(Date.now()) }]);
  await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
  // A tick is no record.
  expect(await recordsTaken(serving.ops)).toBe(1);
  expect((await serving.end()).code).toBe(0);
  // Overdue for 46 days: every stage of dunning that has passed by then.
  expect((await alertsIn(stand.broker.url)).map(({ catalogue }) => catalogue)).toEqual(['A05', 'A02', 'A03', 'A05']);
});

test('two partitions have a stream each, and the API knows the subscribers of both', async () => {
  const file = join(stand.path, 'two.ndjson');
  const records = writePopulation(file, { seed: 13, subscribers: 40, recordsPerSubscriberDay: 2 });
  const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), args: ['--partitions', '2'] });
  await publish(file, stand.broker.url, ['--partitions', '2', '--batch', '16']);
  await taken(serving.ops, records);

  // Each partition is an engine of its own, so the oracle is a replay of each stream.
  const expected: AlertData[] = [];
  const subscribers: Set<string>[] = [];
  for (const stream of ['USAGE_0', 'USAGE_1']) {
    const lines = (await storedIn(stand.broker.url, stream)).flatMap(({ bytes }) =>
      JSON.parse(Buffer.from(bytes).toString()),
    );
    const part = join(stand.path, `${stream}.ndjson`);
    writeFileSync(part, lines.map((record) => `${JSON.stringify(record)}\n`).join(''));
    expected.push(...(await replayed(part)));
    subscribers.push(new Set(lines.map(({ servedMsisdn }) => servedMsisdn as string)));
  }
  expect(subscribers.map((set) => set.size > 10)).toEqual([true, true]);
  expect([...subscribers[0]!].filter((msisdn) => subscribers[1]!.has(msisdn))).toEqual([]);

  for (const set of subscribers) {
    const [msisdn] = set;
    const view = (await (await fetch(`${serving.http}/v1/subscribers/${msisdn}`)).json()) as SubscriberView;
    expect(view.servedMsisdn).toBe(msisdn);
    expect(view.features.length).toBeGreaterThan(0);
  }
  expect((await fetch(`${serving.http}/v1/subscribers/12345`)).status).toBe(404);
  await until('all alerts', async () => (await countIn(stand.broker.url, 'ALERTS')) >= expected.length);
  expect((await serving.end()).code).toBe(0);
  expectSameAlerts(await alertsIn(stand.broker.url), expected);
});

const DAY_MS = 86_400_000;

function invoice(recordId: string, eventTime = Date.UTC(2025, 0, 1), dueTime = eventTime + 14 * DAY_MS): object {
  const servedMsisdn = '8613900000001';
  return { recordId, recordType: 'invoice', eventTime, servedMsisdn, invoiceId: recordId, amount: 50, dueTime };
}

const voice = (recordId: string, eventTime: number, durationSec: number): object =>
  callRecord(recordId, { eventTime, durationSec });

function message(record: object): { subject: string; body: string } {
  return { subject: 'usage.0.voice', body: JSON.stringify(record) };
}

/** A port that nobody listens on at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
