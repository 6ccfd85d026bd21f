import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JetStreamManager, jetstream, jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Rejection } from '../src/record/decode.ts';
import { createDeadLetterSink, type DeadLetterSink } from '../src/sinks/dead-letter.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { connectionState, connectNats } from '../src/source/connection.ts';
import { ensureStreams } from '../src/source/streams.ts';
import { natsServers } from './nats-servers.ts';

const retentionDays = { usage: 1, alerts: 1, deadletter: 1 };
const rejection = (changes: Partial<Rejection> = {}): Rejection => ({
  index: 0,
  reason: 'schema',
  field: 'durationSec',
  detail: 'durationSec must be a number of at least 0.',
  recordId: 'r1',
  body: Buffer.from('{"recordId":"r1","durationSec":-1}'),
  ...changes,
});

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

interface Side {
  nc: NatsConnection;
  jsm: JetStreamManager;
  sink: DeadLetterSink;
}
async function side(broker: Broker, options: Parameters<typeof createDeadLetterSink>[2] = {}): Promise<Side> {
  const nc = await connectNats(broker.url, { name: 'test' });
  cleanUp.push(() => nc.close());
  const jsm = await jetstreamManager(nc);
  const sink = createDeadLetterSink(jetstream(nc), jsm, options);
  cleanUp.push(() => sink.close());
  return { nc, jsm, sink };
}
async function stored(jsm: JetStreamManager): Promise<StoredMsg[]> {
  const { last_seq } = (await jsm.streams.info('DEADLETTER')).state;
  const messages = await Promise.all(
    Array.from({ length: last_seq }, (_, i) => jsm.streams.getMessage('DEADLETTER', { seq: i + 1 })),
  );
  return messages.filter((message) => message !== null);
}
const headersOf = ({ header }: StoredMsg): Record<string, string> =>
  Object.fromEntries([...header].map(([name, values]) => [name, values.join(', ')]));

describe.each(natsServers)('$name', ({ binary }) => {
  const named = binary === undefined ? {} : { binary };
  const maxPayloadBytes = 4_096;
  let broker: Broker;
  beforeEach(async () => {
    const started = await startBroker({ ...named, maxPayloadBytes });
    broker = started;
    cleanUp.push(() => started.stop());
    const nc = await connectNats(broker.url, { name: 'test' });
    await ensureStreams(nc, { partitions: 1, retentionDays });
    await nc.close();
  });

  test('says why, which field, and where from', async () => {
    const { jsm, sink } = await side(broker);
    sink.publish(rejection(), { subject: 'usage.0.voice', sequence: 42 });
    sink.publish(rejection({ reason: 'malformed', field: '', body: Buffer.from([0xc1, 0x00]) }), { subject: 'http' });
    await sink.drained();
    const [first, second] = (await stored(jsm)) as [StoredMsg, StoredMsg];
    expect(first.subject).toBe('deadletter.schema');
    expect(first.string()).toBe('{"recordId":"r1","durationSec":-1}');
    expect(headersOf(first)).toEqual({
      'Ringfence-Reason': 'schema',
      'Ringfence-Field': 'durationSec',
      'Ringfence-Source-Subject': 'usage.0.voice',
      'Ringfence-Source-Seq': '42',
      'Nats-Msg-Id': 'usage.0.voice:42:0',
    });
    expect(second.subject).toBe('deadletter.malformed');
    expect([...second.data]).toEqual([0xc1, 0x00]);
    expect(headersOf(second)).toEqual({
      'Ringfence-Reason': 'malformed',
      'Ringfence-Field': '',
      'Ringfence-Source-Subject': 'http',
    });
  });

  test('a replay after a crash adds nothing within the duplicate window', async () => {
    const from = { subject: 'usage.0.batch', sequence: 7 };
    for (let run = 0; run < 2; run++) {
      const { sink } = await side(broker);
      for (let index = 0; index < 20; index++) sink.publish(rejection({ index }), from);
      sink.publish(rejection(), { ...from, sequence: 8 });
      sink.publish(rejection(), { ...from, subject: 'usage.1.batch' });
      await sink.drained();
    }
    const { jsm } = await side(broker);
    expect(await stored(jsm)).toHaveLength(22);
  });

  test.each([
    ['just fits', maxPayloadBytes - 180],
    ['is too large', 10_000],
    ['is far too large', 1_000_000],
  ])('a body that %s is stored, cut where it must be', async (_, size) => {
    const { jsm, sink } = await side(broker);
    const body = Buffer.from(Array.from({ length: size }, (_, i) => i % 251));
    sink.publish(rejection({ reason: 'tooLarge', field: '', body }), { subject: 'usage.0.voice', sequence: 1 });
    await sink.drained();
    const [message] = (await stored(jsm)) as [StoredMsg];
    const kept = Buffer.from(message.data);
    expect(kept.equals(body.subarray(0, kept.length))).toBe(true);
    const cut = message.header.get('Ringfence-Truncated');
    expect(cut).toBe(kept.length === size ? '' : String(size - kept.length));
    // Nothing is cut that had room: headers take some 200 bytes.
    expect(kept.length).toBeGreaterThanOrEqual(Math.min(size, maxPayloadBytes - 250));
  });

  test('a stream with a limit of its own gets what it takes', async () => {
    const { jsm, sink } = await side(broker);
    await jsm.streams.update('DEADLETTER', { max_msg_size: 1_024 });
    sink.publish(rejection({ body: Buffer.alloc(3_500, 'x') }), { subject: 'usage.0.voice', sequence: 1 });
    await sink.drained();
    const [message] = (await stored(jsm)) as [StoredMsg];
    expect(message.data.length).toBeGreaterThan(300);
    expect(Number(message.header.get('Ringfence-Truncated'))).toBe(3_500 - message.data.length);
  });

  test('names from outside make no headers of their own', async () => {
    const { jsm, sink } = await side(broker);
    const fields = ['a\r\nNats-Rollup: all', '用户', 'x'.repeat(5_000), 'tab\tbell\u0007', '\ud800', ' spaced '];
    for (const field of fields) sink.publish(rejection({ field }), { subject: `usage.0.${field}` });
    await sink.drained();
    const found = (await stored(jsm)).map((message) => {
      expect(Object.keys(headersOf(message))).toEqual([
        'Ringfence-Reason',
        'Ringfence-Field',
        'Ringfence-Source-Subject',
      ]);
      return message.header.get('Ringfence-Field');
    });
    expect(found).toEqual(['a??Nats-Rollup: all', '??', 'x'.repeat(512), 'tab?bell?', '?', 'spaced']);
  });

  test('any field, subject and body arrive', async () => {
    const { jsm, sink } = await side(broker);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 600 }),
        fc.string({ unit: 'binary', maxLength: 600 }),
        fc.uint8Array({ maxLength: 6_000 }),
        async (field, subject, body) => {
          sink.publish(rejection({ field, body }), { subject });
          await sink.drained();
          const message = await jsm.streams.getMessage('DEADLETTER', { seq: ++count });
          const kept = Buffer.from(message?.data ?? []);
          return (
            kept.equals(Buffer.from(body).subarray(0, kept.length)) &&
            (body.length > 2_500 || kept.length === body.length)
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  test('room() bounds records and bytes under way', async () => {
    const { jsm, sink } = await side(broker, { inFlightMax: 20, inFlightBytesMax: 5_000 });
    for (let i = 0; i < 100; i++) sink.publish(rejection({ body: Buffer.alloc(10) }), { subject: 'http' });
    await sink.room();
    expect(sink.inFlight()).toBeLessThanOrEqual(20);
    for (let i = 0; i < 15; i++) sink.publish(rejection({ body: Buffer.alloc(1_000) }), { subject: 'http' });
    expect(sink.inFlightBytes()).toBeGreaterThan(5_000);
    await sink.room();
    expect(sink.inFlightBytes()).toBeLessThanOrEqual(5_000);
    await sink.drained();
    expect(sink.inFlight()).toBe(0);
    expect(await stored(jsm)).toHaveLength(115);
  });
});

test.each(natsServers)('$name: loses nothing while the broker is away', async ({ binary }) => {
  const named = binary === undefined ? {} : { binary };
  let broker = await startBroker(named);
  cleanUp.push(() => broker.stop());
  const { nc, jsm, sink } = await side(broker);
  await ensureStreams(nc, { partitions: 1, retentionDays });
  for (let sequence = 1; sequence <= 500; sequence++) {
    sink.publish(rejection(), { subject: 'usage.0.voice', sequence });
    if (sequence === 100) await sink.drained();
    if (sequence === 200) await broker.kill();
  }
  expect(sink.inFlight()).toBeGreaterThanOrEqual(300);
  let drained = false;
  const draining = sink.drained().then(() => {
    drained = true;
  });
  await expect.poll(() => connectionState(nc).connected()).toBe(false);
  expect(drained).toBe(false);
  broker = await startBroker({ ...named, port: broker.port, storeDir: broker.storeDir });
  await draining;
  const sequences = (await stored(jsm)).map((message) => Number(message.header.get('Ringfence-Source-Seq')));
  expect(new Set(sequences).size).toBe(500);
  expect(sequences).toHaveLength(500);
});

test.each(natsServers)('$name: letters that the broker has lost end the sink', async ({ binary }) => {
  const storeDir = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
  const backup = `${storeDir}-backup`;
  cleanUp.push(async () => {
    for (const folder of [storeDir, backup]) rmSync(folder, { recursive: true, force: true });
  });
  const named = { ...(binary === undefined ? {} : { binary }), storeDir };
  let broker = await startBroker(named);
  cleanUp.push(() => broker.stop());
  const { nc, jsm, sink } = await side(broker);
  await ensureStreams(nc, { partitions: 1, retentionDays });
  sink.publish(rejection(), { subject: 'usage.0.voice', sequence: 1 });
  const early = await sink.drained();
  expect(early).toMatchObject([{ stream: 'DEADLETTER', sequence: 1, messageId: 'usage.0.voice:1:0' }]);
  await broker.stop();
  cpSync(storeDir, backup, { recursive: true });
  broker = await startBroker({ ...named, port: broker.port });
  sink.publish(rejection(), { subject: 'usage.0.voice', sequence: 2 });
  // Nobody could make it again, so nobody looks for it.
  sink.publish(rejection(), { subject: 'http' });
  const late = await sink.drained();
  expect(late).toMatchObject([{ messageId: 'usage.0.voice:2:0' }]);

  await broker.kill();
  rmSync(storeDir, { recursive: true });
  cpSync(backup, storeDir, { recursive: true });
  broker = await startBroker({ ...named, port: broker.port });
  sink.publish(rejection(), { subject: 'usage.0.voice', sequence: 3 });
  const lost = { code: 'streams.lost-messages', exitCode: 1 };
  await expect(sink.drained()).rejects.toMatchObject(lost);

  const [older, newer, allowing] = [await side(broker), await side(broker), await side(broker, { allowGap: true })];
  older.sink.resume(early);
  expect(await older.sink.drained()).toEqual(early);
  newer.sink.resume(late);
  await expect(newer.sink.drained()).rejects.toMatchObject(lost);
  allowing.sink.resume(late);
  expect(await allowing.sink.drained()).toEqual([]);
  // What was worked on is taken out.
  await jsm.streams.purge('DEADLETTER');
  expect(await older.sink.drained()).toEqual(early);
});
