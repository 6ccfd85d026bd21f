import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscardPolicy, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { publishCommand, publishFiles } from '../src/cli/publish.ts';
import { createUsagePublisher } from '../src/cli/usage-publisher.ts';
import { mixedRecords } from '../src/feed/mixed-records.ts';
import type { RawRecord } from '../src/feed/raw-record.ts';
import { type Broker, findNatsServer, startBroker } from '../src/source/broker.ts';
import { partitionOf, usageStream } from '../src/source/streams.ts';
import { countIn, until } from './serving.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-publish-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function fileOf(lines: readonly string[]): string {
  const path = join(folder, `${files++}.ndjson`);
  writeFileSync(path, lines.join('\n'));
  return path;
}

const records: RawRecord[] = [
  ...mixedRecords({
    seed: 9,
    subscribers: 500,
    distribution: 'uniform',
    count: 2_000,
    startAt: Date.UTC(2026, 0, 1),
    recordsPerSecond: 100,
  }),
];
const recordLines = records.map((record) => JSON.stringify(record));

interface Stored {
  subject: string;
  body: string;
}

/** All messages of a usage stream, in its order. */
async function storedIn(url: string, stream = 'USAGE'): Promise<Stored[]> {
  const nc = await connect({ servers: url });
  try {
    const consumer = await jetstream(nc).consumers.get(stream);
    const { num_pending } = await consumer.info();
    const stored: Stored[] = [];
    if (num_pending === 0) return stored;
    for await (const message of await consumer.consume()) {
      stored.push({ subject: message.subject, body: message.string() });
      if (stored.length === num_pending) break;
    }
    return stored;
  } finally {
    await nc.close();
  }
}

const recordsOf = ({ body }: Stored): RawRecord[] => [JSON.parse(body)].flat();

describe.skipIf(findNatsServer() === undefined)('publish (skipped where no nats-server is found)', () => {
  let broker: Broker;
  let sentences: string[] = [];
  const options = (more: { batch?: number; partitions?: number; rate?: number } = {}) => ({
    nats: broker.url,
    batch: 1,
    partitions: 1,
    log: (sentence: string) => void sentences.push(sentence),
    ...more,
  });

  beforeEach(async () => {
    sentences = [];
    broker = await startBroker();
  });
  afterEach(() => broker.stop());

  test('sends each record as it is, in order, on the subject of its type', async () => {
    const path = fileOf([...recordLines, '']);
    const summary = await publishFiles([path], options());
    expect(summary).toMatchObject({ records: 2_000, messages: 2_000, notObjects: 0, tooLarge: 0 });
    expect(summary.recordsPerSec).toBeGreaterThan(0);
    const stored = await storedIn(broker.url);
    expect(stored.map(({ body }) => body)).toEqual(recordLines);
    expect(stored.map(({ subject }) => subject)).toEqual(records.map(({ recordType }) => `usage.0.${recordType}`));
    expect(sentences).toEqual([]);
  });

  test.each([2, 256, 10_000])('groups %i records into a message', async (batch) => {
    const summary = await publishFiles([fileOf(recordLines)], options({ batch }));
    const stored = await storedIn(broker.url);
    expect(summary).toMatchObject({ records: 2_000, messages: stored.length });
    expect(stored.length).toBe(Math.ceil(2_000 / batch));
    expect(new Set(stored.map(({ subject }) => subject))).toEqual(new Set(['usage.0.batch']));
    expect(stored.flatMap(recordsOf)).toEqual(records);
  });

  test.each([1, 100])('sends each subscriber to its partition, %i records to a message', async (batch) => {
    const partitions = 3;
    await publishFiles([fileOf(recordLines)], options({ batch, partitions }));
    for (let partition = 0; partition < partitions; partition++) {
      const stored = await storedIn(broker.url, usageStream(partition, partitions));
      const own = records.filter(({ servedMsisdn }) => partitionOf(servedMsisdn, partitions) === partition);
      expect(own.length).toBeGreaterThan(400);
      expect(stored.flatMap(recordsOf)).toEqual(own);
      expect(stored.every(({ subject }) => subject.startsWith(`usage.${partition}.`))).toBe(true);
    }
  });

  test('sends lines that are no JSON object alone and as they are, and counts them', async () => {
    const odd = ['{"recordId":', '[1,2]', 'null', '17', '"text"', '\u0000\u0007', '{"a":1}{"b":2}'];
    const path = fileOf([recordLines[0], ...odd, '', '  \t\r', recordLines[1], '{"recordType":"us.age>"}']);
    const summary = await publishFiles([path], options({ batch: 3 }));
    expect(summary).toMatchObject({ records: 3, notObjects: odd.length, messages: odd.length + 1 });
    const stored = await storedIn(broker.url);
    expect(stored.slice(0, -1)).toEqual(odd.map((body) => ({ subject: 'usage.0.unknown', body })));
    expect(recordsOf(stored.at(-1) as Stored)).toEqual([records[0], records[1], { recordType: 'us.age>' }]);
    // An unknown type is no part of a subject.
    await publishFiles([fileOf(['{"recordType":"us.age>"}', '{"recordType":7}'])], options());
    expect((await storedIn(broker.url)).slice(-2).map(({ subject }) => subject)).toEqual([
      'usage.0.unknown',
      'usage.0.unknown',
    ]);
  });

  test('takes several files in their order', async () => {
    const summary = await publishFiles(
      [fileOf(recordLines.slice(0, 10)), fileOf(recordLines.slice(10, 20))],
      options(),
    );
    expect(summary.records).toBe(20);
    expect((await storedIn(broker.url)).map(({ body }) => body)).toEqual(recordLines.slice(0, 20));
  });

  test('is not faster than its rate', async () => {
    const summary = await publishFiles([fileOf(recordLines.slice(0, 300))], options({ rate: 500 }));
    expect(summary.records).toBe(300);
    expect(summary.seconds).toBeGreaterThan(0.55);
  });

  test('goes on after the broker was killed, and every record is stored', async () => {
    const many = [
      ...mixedRecords({
        seed: 10,
        subscribers: 500,
        distribution: 'uniform',
        count: 20_000,
        startAt: Date.UTC(2026, 0, 1),
        recordsPerSecond: 100,
      }),
    ];
    const path = fileOf(many.map((record) => JSON.stringify(record)));
    const publishing = publishFiles([path], options({ rate: 4_000 }));
    await until('some records', async () => (await countIn(broker.url, 'USAGE')) > 2_000);
    const { port, storeDir } = broker;
    await broker.kill();
    await sleep(300);
    broker = await startBroker({ port, storeDir });
    const summary = await publishing;
    expect(summary).toMatchObject({ records: 20_000, messages: 20_000 });
    const stored = await storedIn(broker.url);
    expect(new Set(stored.map(({ body }) => JSON.parse(body).recordId)).size).toBe(20_000);
    expect(stored.length).toBeLessThanOrEqual(20_000 + summary.resent);
    expect(sentences.some((sentence) => sentence.includes('lost'))).toBe(true);
  });

  test('waits for a broker that is not there yet, and says so once', async () => {
    const { port, storeDir, url: nats } = broker;
    await broker.kill();
    const publishing = publishFiles([fileOf(recordLines)], { ...options(), nats });
    await until('the sentence', () => sentences.length > 0);
    // Long enough for further attempts.
    await sleep(600);
    broker = await startBroker({ port, storeDir });
    expect(await publishing).toMatchObject({ records: 2_000 });
    expect(sentences.filter((sentence) => sentence.includes('does not answer'))).toHaveLength(1);
  });

  test('a record that the stream never takes is an error', async () => {
    await publishFiles([fileOf([])], options());
    const nc = await connect({ servers: broker.url });
    await (await jetstreamManager(nc)).streams.update('USAGE', { max_msg_size: 300 });
    await nc.close();
    const wide = JSON.stringify({ ...records[0], note: 'x'.repeat(400) });
    await expect(publishFiles([fileOf([wide])], options())).rejects.toMatchObject({
      code: 'publish.refused',
      exitCode: 3,
      message: expect.stringContaining('usage.0.'),
    });
  });

  test.each([
    [
      'is not there yet',
      async () => undefined,
      async (jsm: JetStreamManager) => void (await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] })),
    ],
    [
      'is full',
      async (jsm: JetStreamManager) =>
        void (await jsm.streams.add({
          name: 'USAGE',
          subjects: ['usage.>'],
          max_msgs: 1,
          discard: DiscardPolicy.New,
        })),
      async (jsm: JetStreamManager) => void (await jsm.streams.update('USAGE', { max_msgs: -1 })),
    ],
  ])('a stream that %s is waited for, and that is said once', async (_, before, repair) => {
    const nc = await connect({ servers: broker.url });
    const jsm = await jetstreamManager(nc);
    await before(jsm);
    const log = (sentence: string) => void sentences.push(sentence);
    const publisher = createUsagePublisher(nc, { partitions: 1, batch: 1, log });
    for (const [position, line] of recordLines.slice(0, 50).entries()) {
      expect(publisher.record(Buffer.from(line), records[position])).toBe(true);
    }
    const drained = publisher.drained();
    await until('the sentence', () => sentences.length > 0);
    // Long enough for the second attempt to fail as the first one did.
    await sleep(1_500);
    expect(sentences).toHaveLength(1);
    expect(sentences[0]).toContain('NATS does not take records');
    await repair(jsm);
    await drained;
    expect(sentences).toEqual([sentences[0], 'NATS takes records again']);
    expect(publisher.messages()).toBe(50);
    expect(publisher.resent()).toBeGreaterThanOrEqual(49);
    publisher.close();
    await nc.close();
    expect(new Set((await storedIn(broker.url)).map(({ body }) => body))).toEqual(new Set(recordLines.slice(0, 50)));
  });

  test('only so many messages are in flight', async () => {
    const nc = await connect({ servers: broker.url });
    const publisher = createUsagePublisher(nc, { partitions: 1, batch: 1 });
    let taken = 0;
    // No stream answers, so nothing is ever acknowledged.
    while (publisher.room() === undefined && taken < 100_000) {
      publisher.record(Buffer.from(recordLines[0]), records[0]);
      taken++;
    }
    expect(taken).toBe(1024);
    publisher.close();
    await nc.close();
  });
});

describe.skipIf(findNatsServer() === undefined)(
  'publish to a broker that takes 4,096 bytes (skipped where no nats-server is found)',
  () => {
    let broker: Broker;
    beforeEach(async () => {
      broker = await startBroker({ maxPayloadBytes: 4096 });
    });
    afterEach(() => broker.stop());

    test('batches stay below that; a larger line is named, counted and not sent', async () => {
      const sentences: string[] = [];
      const large = JSON.stringify({ ...records[0], note: 'x'.repeat(4096) });
      const path = fileOf([...recordLines.slice(0, 500), large, '"'.repeat(5000), ...recordLines.slice(500, 600)]);
      const log = (sentence: string) => void sentences.push(sentence);
      const summary = await publishFiles([path], { nats: broker.url, batch: 1000, partitions: 1, log });
      expect(summary).toMatchObject({ records: 600, notObjects: 0, tooLarge: 2 });
      const stored = await storedIn(broker.url);
      expect(stored.flatMap(recordsOf)).toEqual(records.slice(0, 600));
      const sizes = stored.map(({ body }) => Buffer.byteLength(body));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(4096);
      // Only the last message may be far from full.
      expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(4096 - 500);
      expect(sentences).toEqual([
        `${path}:501: ${large.length} bytes are too many for NATS: not sent`,
        `${path}:502: 5000 bytes are too many for NATS: not sent`,
      ]);
    });

    test('the command prints one line of JSON and exits with 0, or with 1 where a line was not sent', async () => {
      const good = await run(['--nats', broker.url, '--batch', '10', fileOf(recordLines.slice(0, 100))]);
      expect(good).toMatchObject({ code: 0, stderr: '' });
      expect(good.stdout.endsWith('}\n')).toBe(true);
      const { records: sent, messages, seconds, recordsPerSec } = JSON.parse(good.stdout);
      expect([sent, messages, typeof seconds, typeof recordsPerSec]).toEqual([100, 10, 'number', 'number']);
      const bad = await run([fileOf(['"'.repeat(5000)])], { RINGFENCE_NATS: broker.url });
      expect(bad.code).toBe(1);
      expect(JSON.parse(bad.stdout)).toMatchObject({ records: 0, tooLarge: 1 });
    });

    /** Runs the command as a program of its own, without main.ts. */
    async function run(args: string[], env = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
      const program = `
      import { publishCommand } from ${JSON.stringify(new URL('../src/cli/publish.ts', import.meta.url).href)};
      await publishCommand().parseAsync(process.argv.slice(1), { from: 'user' });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', ...args], {
        env: { ...process.env, ...env },
      });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (text) => {
        stdout += text;
      });
      child.stderr.on('data', (text) => {
        stderr += text;
      });
      const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
      return { code, stdout, stderr };
    }
  },
);

describe('wrong calls', () => {
  test.each([
    ['--rate', 'fast', 'a number above 0'],
    ['--rate', '0', 'a number above 0'],
    ['--rate', '', 'a number above 0'],
    ['--batch', '0', 'a whole number from 1'],
    ['--batch', '1.5', 'a whole number from 1'],
    ['--batch', '10001', 'a whole number from 1'],
    ['--partitions', '-1', 'a whole number from 1'],
  ])('%s %s', async (flag, value, sentence) => {
    const call = publishCommand().parseAsync([`${flag}=${value}`, 'a.ndjson'], { from: 'user' });
    await expect(call).rejects.toMatchObject({
      code: 'flag.wrong',
      exitCode: 3,
      message: expect.stringContaining(sentence),
    });
  });

  test('a missing file is found before NATS is asked for', async () => {
    // Nothing listens on port 1: a call that connects first would wait for ever.
    const call = publishCommand().parseAsync(['--nats', 'nats://127.0.0.1:1', join(folder, 'missing.ndjson')], {
      from: 'user',
    });
    await expect(call).rejects.toMatchObject({ code: 'file.not-found', exitCode: 3 });
  });
});
