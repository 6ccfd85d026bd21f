/**
 * What a crash leaves behind: nothing lost, nothing twice. Real processes, killed for real; the oracle is `replay` of the
 * same records without any of it.
 *
 * `npm test` kills once, in a small stream. By hand: RINGFENCE_TEST_KILLS=20 RINGFENCE_TEST_RECORDS=200000
 * npm run test:unit -- recovery.
 */
import { cpSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { createRandom } from '../src/feed/random.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { loadCheckpoint } from '../src/state/checkpoint.ts';
import {
  alertsIn,
  countIn,
  createFollower,
  endProcesses,
  expectSameAlerts,
  publishing,
  recordsTaken,
  replayed,
  ringfence,
  scrape,
  send,
  serveArguments,
  startServe,
  storedIn,
  taken,
  temporaryFolder,
  tryServe,
  until,
  whenReady,
  writePopulation,
} from './serving.ts';

const kills = Number(process.env['RINGFENCE_TEST_KILLS'] ?? 1);
const recordsWanted = Number(process.env['RINGFENCE_TEST_RECORDS'] ?? 20_000);
const seed = Number(process.env['RINGFENCE_TEST_SEED'] ?? 1);
/** Publishing takes about as long as this many restarts, so that each kill has a stream that still grows. */
const SECONDS_PER_KILL = 2.5;
const TEST_LIMIT_MS = 90_000 + kills * 10_000;

const folder = temporaryFolder();
const file = join(folder.path, 'population.ndjson');
const rate = (records: number): string[] =>
  kills > 1 ? ['--rate', String(Math.ceil(records / (kills * SECONDS_PER_KILL)))] : ['--batch', '16'];
let records = 0;
let expected: AlertData[] = [];
let broker: Broker;
beforeAll(async () => {
  records = writePopulation(file, { seed: 12, subscribers: recordsWanted / 200, recordsPerSubscriberDay: 2 });
  expected = await replayed(file);
});
let folders = 0;
let data = '';
beforeEach(async () => {
  broker = await startBroker();
  data = join(folder.path, `data-${folders++}`);
});
afterEach(async () => {
  await endProcesses();
  await broker.stop();
});
afterAll(() => folder.remove());

const oftenCheckpointed = ['--checkpoint-interval-sec', '0.5'];
const serveArgs = () => ({ nats: broker.url, data, args: oftenCheckpointed });

/** Figures of a run by hand. */
const report = (sentence: string): void => {
  if (kills > 1) console.info(sentence);
};

/** The stream as it is, as a file: with an outage in it, records may be in it twice and in another order than sent. */
async function dump(nats: string, stream: string): Promise<string> {
  const path = join(folder.path, `${stream}-${folders++}.ndjson`);
  const stored = await storedIn(nats, stream);
  const lines = stored
    .filter(({ subject }) => !/\.(tick|rules)$/.test(subject))
    .flatMap(({ bytes }) => [JSON.parse(Buffer.from(bytes).toString())].flat().map((record) => JSON.stringify(record)));
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

describe(`kill -9 of serve, ${kills} times in ${recordsWanted} records`, () => {
  test(
    'loses no alert and repeats none, in the stream and at a client that resumes',
    async () => {
      const random = createRandom(seed);
      const follower = createFollower();
      const sending = publishing(file, broker.url, rate(records));
      let inRestore = 0;
      try {
        for (let kill = 0; kill < kills; kill++) {
          const running = ringfence(serveArguments(serveArgs()));
          if (kill % 3 === 2) {
            // Somewhere between the start of the process and its first records.
            await sleep(random() * 1_500);
            inRestore++;
          } else {
            const serving = (await whenReady(running))!;
            follower.follow(serving.http);
            const enough = (expected.length * (kill + random())) / kills;
            await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) >= enough);
          }
          await running.kill();
        }
        const serving = await startServe(serveArgs());
        follower.follow(serving.http);
        expect((await sending.exited).code).toBe(0);
        await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
        await until('all alerts at the client', () => follower.frames.length >= expected.length);
        expect((await serving.end()).code).toBe(0);

        const alerts = await alertsIn(broker.url);
        report(
          `${kills} kills (${inRestore} while starting), ${records} records, ${expected.length} revisions expected, ` +
            `${alerts.length} in ALERTS, ${follower.frames.length} at the client over ${follower.connections()} connections`,
        );
        expectSameAlerts(alerts, expected);
        expectSameAlerts(follower.alerts(), expected);
        expect(follower.resyncs()).toBe(0);
      } finally {
        follower.close();
      }
    },
    TEST_LIMIT_MS,
  );
});

describe('kill -9 of the broker', () => {
  test(
    'serve goes on by itself when it is back, with nothing lost and nothing twice',
    async () => {
      const follower = createFollower();
      try {
        const serving = await startServe(serveArgs());
        follower.follow(serving.http);
        const sending = publishing(file, broker.url, rate(records));
        for (let kill = 0; kill < kills; kill++) {
          const enough = (records * (kill + 0.5)) / (kills + 1);
          await until('some records', async () => (await recordsTaken(serving.ops)) >= enough);
          await broker.kill();
          broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
        }
        expect((await sending.exited).code).toBe(0);

        const oracle = await replayed(await dump(broker.url, 'USAGE'));
        await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= oracle.length);
        await until('all alerts at the client', () => follower.frames.length >= oracle.length);
        expect((await serving.end()).code).toBe(0);
        const alerts = await alertsIn(broker.url);
        report(
          `${kills} kills of the broker, ${records} records, ${oracle.length} revisions expected, ` +
            `${alerts.length} in ALERTS, ${follower.frames.length} at the client over ${follower.connections()} connections`,
        );
        expectSameAlerts(alerts, oracle);
        expectSameAlerts(follower.alerts(), oracle);
      } finally {
        follower.close();
      }
    },
    TEST_LIMIT_MS,
  );
});

describe('SIGTERM', () => {
  test('under load ends with 0, and the next start takes up with the next record', async () => {
    const first = await startServe({ nats: broker.url, data });
    const sending = publishing(file, broker.url);
    await until('some records', async () => (await recordsTaken(first.ops)) > records / 5);
    const beforeEnd = recordsTaken(first.ops);
    expect((await first.end()).code).toBe(0);
    expect(await beforeEnd).toBeLessThan(records);
    expect((await sending.exited).code).toBe(0);

    const sequence = await sequenceOf(data);
    const second = await startServe({ nats: broker.url, data });
    // Single records, so sequences count them.
    await taken(second.ops, records - sequence);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
    expect(await recordsTaken(second.ops)).toBe(records - sequence);
    expect((await scrape(second.ops)).value('ringfence_records_total', { result: 'duplicate' })).toBe(0);
    expect((await second.end()).code).toBe(0);
    expectSameAlerts(await alertsIn(broker.url), expected);
  }, 60_000);

  test('while the broker is away ends with 0 too, and nothing is lost', async () => {
    const first = await startServe({ nats: broker.url, data });
    const sending = publishing(file, broker.url, ['--batch', '64']);
    await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > expected.length / 10);
    await broker.kill();
    await first.said('is lost: reconnecting');
    const { code, stderr } = await first.end();
    expect(code, stderr).toBe(0);

    broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
    const second = await startServe({ nats: broker.url, data });
    expect((await sending.exited).code).toBe(0);
    const oracle = await replayed(await dump(broker.url, 'USAGE'));
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= oracle.length);
    expect((await second.end()).code).toBe(0);
    expectSameAlerts(await alertsIn(broker.url), oracle);
  }, 60_000);
});

describe('records that the stream no longer has', () => {
  const voice = (id: string): { subject: string; body: string } => ({
    subject: 'usage.0.voice',
    body: JSON.stringify({
      recordId: id,
      recordType: 'voice',
      eventTime: Date.UTC(2025, 0, 1),
      servedMsisdn: '8613900000001',
      direction: 'mo',
      otherNumber: '8613700000001',
      durationSec: 60,
    }),
  });
  const voices = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => voice(`${prefix}${at}`));
  const manage = async (work: (jsm: JetStreamManager) => Promise<unknown>): Promise<void> => {
    const nc = await connect({ servers: broker.url });
    await work(await jetstreamManager(nc));
    await nc.close();
  };
  const allowed = 'allowDataLoss: true\n';

  /** A serve that has taken ten records and ended in order; what follows happens while it is away. */
  const served = async (): Promise<void> => {
    const serving = await startServe({ nats: broker.url, data });
    await send(broker.url, voices('a', 10));
    await taken(serving.ops, 10);
    expect((await serving.end()).code).toBe(0);
  };
  const refusal = async (): Promise<string> => {
    const { running, ready } = await tryServe({ nats: broker.url, data });
    expect(ready).toBeUndefined();
    const { code, stderr } = await running.exited;
    expect(code, stderr).toBe(3);
    return stderr;
  };
  /** Serves with the gap allowed, records taken, and then without: the gap is behind it. */
  const goesOn = async (records: number): Promise<void> => {
    const serving = await startServe({ nats: broker.url, data, config: allowed });
    await taken(serving.ops, records);
    await send(broker.url, voices('late', 1));
    await taken(serving.ops, records + 1);
    expect(serving.log()).toContain('records of the stream are lost');
    expect((await serving.end()).code).toBe(0);
    const again = await startServe({ nats: broker.url, data });
    await send(broker.url, voices('later', 2));
    await taken(again.ops, 2);
    expect(await recordsTaken(again.ops)).toBe(2);
    expect((await again.end()).code).toBe(0);
  };

  test('a stream that was made anew stops the start, unless that is allowed', async () => {
    await served();
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    await send(broker.url, voices('b', 12));
    expect(await refusal()).toMatch(/^Stream USAGE was made anew on .*\n.*allow the gap in the configuration\.$/m);
    await goesOn(12);
  }, 60_000);

  test('a stream that was purged beyond the checkpoint stops the start, unless that is allowed', async () => {
    await served();
    await send(broker.url, voices('b', 10));
    await manage((jsm) => jsm.streams.purge('USAGE', { seq: 16 }));
    expect(await refusal()).toMatch(/^Stream USAGE begins at 16, after position 11: 5 messages were removed/m);
    await goesOn(5);
  }, 60_000);

  test('a stream that ends before the checkpoint stops the start, unless that is allowed', async () => {
    const earlier = join(folder.path, `earlier-${folders++}`);
    const serving = await startServe({ nats: broker.url, data });
    await send(broker.url, voices('a', 5));
    await taken(serving.ops, 5);
    // The store of the broker as it was: what a restored backup brings back.
    await broker.kill();
    cpSync(broker.storeDir, earlier, { recursive: true });
    broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
    await send(broker.url, voices('b', 5));
    await taken(serving.ops, 10);
    expect((await serving.end()).code).toBe(0);
    await broker.stop();
    broker = await startBroker({ storeDir: earlier });

    expect(await refusal()).toMatch(
      /^Stream USAGE ends at 5, before position 11: messages that were read are gone\.$/m,
    );
    await goesOn(0);
  }, 60_000);

  test('a gap that was allowed is not forgotten before the next record comes', async () => {
    await served();
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    const serving = await startServe({ nats: broker.url, data, config: allowed });
    expect((await serving.end()).code).toBe(0);
    await send(broker.url, voices('b', 20));
    const again = await startServe({ nats: broker.url, data });
    await taken(again.ops, 20);
    expect(await recordsTaken(again.ops)).toBe(20);
    expect((await again.end()).code).toBe(0);
  }, 60_000);

  test('a stream that is made anew while it is read ends serve', async () => {
    const serving = await startServe({ nats: broker.url, data });
    await send(broker.url, voices('a', 10));
    await taken(serving.ops, 10);
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    const { code, stderr } = await serving.exited;
    expect(code).toBe(3);
    expect(stderr).toContain('Stream USAGE was made anew');
  }, 60_000);
});

describe('a damaged checkpoint', () => {
  test('is passed over: the one before it is used, and the alerts are the same', async () => {
    const first = await startServe(serveArgs());
    const sending = publishing(file, broker.url, ['--batch', '16']);
    await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > expected.length / 4);
    await until('a third checkpoint', () => checkpoints(data).length === 3);
    await first.kill();
    const newest = checkpoints(data).at(-1)!;
    truncateSync(newest, Math.floor(statSync(newest).size / 2));
    const second = await startServe(serveArgs());
    expect(second.log()).toContain('checkpoint passed over');
    expect((await sending.exited).code).toBe(0);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
    expect((await second.end()).code).toBe(0);
    expectSameAlerts(await alertsIn(broker.url), expected);
  }, 60_000);
});

/** Checkpoints of the only partition, oldest first. */
function checkpoints(directory: string): string[] {
  const partition = join(directory, 'partition-0');
  return readdirSync(partition)
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .sort()
    .map((name) => join(partition, name));
}

/** Position in the newest checkpoint. */
async function sequenceOf(directory: string): Promise<number> {
  const { checkpoint } = await loadCheckpoint(join(directory, 'partition-0'));
  return checkpoint!.position.sequence;
}
