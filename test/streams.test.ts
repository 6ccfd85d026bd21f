import { type JetStreamManager, jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream';
import { connect, type NatsConnection, type RequestOptions, TimeoutError } from '@nats-io/transport-node';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { ensureStreams, partitionOf, usageStream } from '../src/source/streams.ts';
import { natsServers, startConfigured } from './nats-servers.ts';

const retentionDays = { usage: 35, alerts: 400, deadletter: 90 };
const NANOS_PER_DAY = 86_400e9;

describe.each(natsServers)('$name', ({ binary }) => {
  let broker: Broker;
  let nc: NatsConnection;
  let jsm: JetStreamManager;

  beforeEach(async () => {
    broker = await startBroker(binary === undefined ? {} : { binary });
    nc = await connect({ servers: broker.url });
    jsm = await jetstreamManager(nc);
  });
  afterEach(async () => {
    await nc.close();
    await broker.stop();
  });

  test('missing streams are created as the contract names them', async () => {
    expect(await ensureStreams(nc, { partitions: 1, retentionDays })).toEqual({ warnings: [] });
    const table = [];
    for await (const { config } of jsm.streams.list()) {
      const { name, subjects, retention, storage, max_age, allow_direct } = config;
      table.push([name, subjects?.join(), retention, storage, max_age / NANOS_PER_DAY, allow_direct]);
    }
    expect(table.sort()).toEqual([
      ['ALERTS', 'alerts.>', 'limits', 'file', 400, true],
      ['CASES', 'cases.>', 'limits', 'file', 0, true],
      ['DEADLETTER', 'deadletter.>', 'limits', 'file', 90, true],
      ['RULES', 'rules.>', 'limits', 'file', 0, true],
      ['SHADOW', 'shadow.>', 'limits', 'file', 35, true],
      ['USAGE', 'usage.>', 'limits', 'file', 35, true],
    ]);
  });

  test('a second start changes nothing and warns of nothing', async () => {
    await ensureStreams(nc, { partitions: 1, retentionDays });
    await jetstream(nc).publish('usage.0.voice', '{}');
    expect(await ensureStreams(nc, { partitions: 1, retentionDays })).toEqual({ warnings: [] });
    expect((await jsm.streams.info('USAGE')).state.messages).toBe(1);
  });

  test('two processes that start together agree', async () => {
    const both = await Promise.all([1, 2].map(() => ensureStreams(nc, { partitions: 1, retentionDays })));
    expect(both).toEqual([{ warnings: [] }, { warnings: [] }]);
  });

  test('the first answer about each stream may be lost', async () => {
    const asked = new Map<string, number>();
    const late: NatsConnection = Object.create(nc, {
      request: {
        async value(subject: string, ...rest: [Uint8Array, RequestOptions]) {
          const answer = await nc.request(subject, ...rest);
          const times = (asked.get(subject) ?? 0) + 1;
          asked.set(subject, times);
          if (subject.includes('.STREAM.') && times === 1) throw new TimeoutError();
          return answer;
        },
      },
    });
    expect(await ensureStreams(late, { partitions: 1, retentionDays })).toEqual({ warnings: [] });
    expect(asked.get('$JS.API.STREAM.CREATE.USAGE')).toBe(2);
    expect((await jsm.streams.info('USAGE')).config.subjects).toEqual(['usage.>']);
  });

  test('each partition has its own stream and its own subjects', async () => {
    await ensureStreams(nc, { partitions: 3, retentionDays });
    const js = jetstream(nc);
    expect((await js.publish('usage.2.voice', '{}')).stream).toBe(usageStream(2, 3));
    expect((await js.publish('usage.0.batch', '[]')).stream).toBe('USAGE_0');
    await expect(js.publish('usage.3.voice', '{}')).rejects.toThrow();
  });

  test('the newest message of a subject can be read', async () => {
    await ensureStreams(nc, { partitions: 1, retentionDays });
    const js = jetstream(nc);
    await js.publish('alerts.fraud.a', 'first');
    await js.publish('alerts.fraud.a', 'second');
    const message = await jsm.streams.getMessage('ALERTS', { last_by_subj: 'alerts.fraud.a' });
    expect(message?.string()).toBe('second');
  });

  test('Nats-Msg-Id of a producer is honoured', async () => {
    await ensureStreams(nc, { partitions: 1, retentionDays });
    const js = jetstream(nc);
    expect((await js.publish('usage.0.voice', '{}', { msgID: 'm1' })).duplicate).toBe(false);
    expect((await js.publish('usage.0.voice', '{}', { msgID: 'm1' })).duplicate).toBe(true);
  });

  test.each([
    ['other subjects', { subjects: ['usage.*.voice'] }, 'streams.subjects', /usage\.\*\.voice instead of usage\.>/],
    ['more subjects', { subjects: ['usage.>', 'cdr.>'] }, 'streams.subjects', /cdr\.>, usage\.> instead of usage\.>/],
    ['work-queue retention', { retention: 'workqueue' as const }, 'streams.retention', /workqueue retention/],
    ['interest retention', { retention: 'interest' as const }, 'streams.retention', /interest retention/],
    ['another name', { name: 'CDR' }, 'streams.overlap', /another stream already holds usage\.>/],
  ])('a stream with %s is refused with exit code 3', async (_, difference, code, message) => {
    await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'], ...difference });
    await expect(ensureStreams(nc, { partitions: 1, retentionDays })).rejects.toMatchObject({
      name: 'RingfenceError',
      code,
      exitCode: 3,
      message: expect.stringMatching(message),
    });
  });

  test('other limits are used as they are, with a warning for each', async () => {
    await jsm.streams.add({
      name: 'USAGE',
      subjects: ['usage.>'],
      storage: StorageType.Memory,
      max_age: 2 * NANOS_PER_DAY,
      max_bytes: 1_000_000,
      allow_direct: true,
    });
    const { warnings } = await ensureStreams(nc, { partitions: 1, retentionDays });
    expect(warnings).toEqual([
      'stream USAGE is used as it is: its storage is memory, the default is file',
      'stream USAGE is used as it is: its age limit is 2 days, the default is 35 days',
      'stream USAGE is used as it is: its byte limit is 1000000, the default is none',
    ]);
    expect((await jsm.streams.info('USAGE')).config).toMatchObject({
      max_age: 2 * NANOS_PER_DAY,
      max_bytes: 1_000_000,
    });
  });
});

describe('partitions', () => {
  test('FNV-1a of known words', () => {
    const whole = 2 ** 32;
    // Test vectors of the function's authors.
    expect(partitionOf('', whole)).toBe(0x811c9dc5);
    expect(partitionOf('a', whole)).toBe(0xe40c292c);
    expect(partitionOf('foobar', whole)).toBe(0xbf9cf968);
  });

  test('every number has exactly one partition', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{5,15}$/), fc.integer({ min: 1, max: 64 }), (msisdn, partitions) => {
        const partition = partitionOf(msisdn, partitions);
        return Number.isInteger(partition) && partition >= 0 && partition < partitions;
      }),
    );
    expect(partitionOf('8613800000001', 1)).toBe(0);
  });

  test.each(natsServers)('the subject mapping of $name says the same', async ({ binary }) => {
    const partitions = 7;
    const server = await startConfigured(
      `mappings { "cdr.*": "usage.{{partition(${partitions},1)}}.{{wildcard(1)}}" }`,
      binary,
    );
    const nc = await connect({ servers: server.url });
    const numbers = fc.sample(fc.stringMatching(/^[0-9]{5,15}$/), 100);
    const mapped = nc.subscribe('usage.>', { max: numbers.length });
    for (const msisdn of numbers) nc.publish(`cdr.${msisdn}`);
    const subjects: string[] = [];
    for await (const { subject } of mapped) subjects.push(subject);
    expect(subjects).toEqual(numbers.map((msisdn) => `usage.${partitionOf(msisdn, partitions)}.${msisdn}`));
    await nc.close();
    await server.stop();
  });
});

test('a server without JetStream is named as such', async () => {
  const server = await startConfigured('');
  const nc = await connect({ servers: server.url });
  await expect(ensureStreams(nc, { partitions: 1, retentionDays })).rejects.toMatchObject({
    code: 'streams.unavailable',
    exitCode: 3,
  });
  await nc.close();
  await server.stop();
});
