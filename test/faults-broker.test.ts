/**
 * Brokers that lose alerts and dead letters which they had acknowledged, as a machine does that loses power before its disk is
 * flushed: the streams that `serve` writes are set back to what they were, the usage stream is not. What is gone is made
 * again from a checkpoint of before the loss, once, or the start says what is missing.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { compareAlerts, expectSame, fault, freshForEach, writeFew } from './faults.ts';
import {
  alertsIn,
  countIn,
  linesOf,
  recordsTaken,
  type Serving,
  scrape,
  send,
  startServe,
  storedIn,
  taken,
  temporaryFolder,
  tryServe,
  until,
} from './serving.ts';

const MINUTE_MS = 60_000;
/** So seldom that what is written before a loss is still there after it, on a slow machine too. */
const CHECKPOINT_SEC = 6;
/** One bad record in so many. */
const BAD_EVERY = 200;

const folder = temporaryFolder();
const file = join(folder.path, 'few.ndjson');
let lines: string[] = [];
let expected: AlertData[] = [];
beforeAll(async () => {
  ({ expected } = await writeFew(file));
  lines = linesOf(file);
}, 5 * MINUTE_MS);
let broker: Broker;
let data = '';
const freshPath = freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});

/** A third of the records, with bad ones between them. */
const sendPart = (part: number): Promise<void> => {
  const size = Math.ceil(lines.length / 3);
  const messages = lines.slice(part * size, (part + 1) * size).flatMap((body, at) => {
    const good = { subject: 'usage.0.voice', body };
    return at % BAD_EVERY === 0 ? [{ subject: 'usage.0.voice', body: `letter ${part} ${at}` }, good] : [good];
  });
  return send(broker.url, messages);
};
const lettersExpected = (): number => {
  const size = Math.ceil(lines.length / 3);
  return [0, 1, 2].reduce(
    (sum, part) => sum + Math.ceil(lines.slice(part * size, (part + 1) * size).length / BAD_EVERY),
    0,
  );
};
const startOften = (sec = CHECKPOINT_SEC): Promise<Serving> =>
  startServe({ nats: broker.url, data, args: ['--checkpoint-interval-sec', String(sec)] });
const allTaken = (serving: Serving): Promise<boolean> =>
  until('the end of the stream', async () => {
    const { value } = await scrape(serving.ops);
    return (
      value('ringfence_stream_lag_messages') === 0 &&
      value('ringfence_queue_items', { queue: 'alerts_in_flight' }) === 0
    );
  });

const WRITTEN = ['ALERTS', 'DEADLETTER'];
const pathOf = (storeDir: string, stream: string): string => join(storeDir, 'jetstream/$G/streams', stream);
/** What the streams hold now is what a loss leaves. */
async function rememberStreams(): Promise<{ lose(): Promise<number> }> {
  const copy = freshPath('streams');
  await broker.stop();
  for (const stream of WRITTEN) cpSync(pathOf(broker.storeDir, stream), join(copy, stream), { recursive: true });
  const { storeDir, port } = broker;
  broker = await startBroker({ port, storeDir });
  const alerts = await countIn(broker.url, 'ALERTS');
  return {
    /** Returns how many alerts are gone. */
    async lose() {
      const lost = (await countIn(broker.url, 'ALERTS')) - alerts;
      await broker.kill();
      for (const stream of WRITTEN) {
        rmSync(pathOf(storeDir, stream), { recursive: true });
        cpSync(join(copy, stream), pathOf(storeDir, stream), { recursive: true });
      }
      broker = await startBroker({ port, storeDir });
      return lost;
    },
  };
}
/** Everything is in the streams: alerts once, each bad record at least once. */
async function compareAll(figures: Record<string, number | string>): Promise<void> {
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
  const letters = async (): Promise<number> =>
    new Set((await storedIn(broker.url, 'DEADLETTER')).map(({ header }) => header('Nats-Msg-Id'))).size;
  await until('all dead letters', async () => (await letters()) === lettersExpected());
  figures['records'] = lines.length;
  figures['dead letters'] = lettersExpected();
  compareAlerts(figures, await alertsIn(broker.url), expected);
}

fault('R7', 'alerts and dead letters lost by the broker while serve is away', 3 * MINUTE_MS, async (figures) => {
  const ownStore = { port: broker.port, storeDir: freshPath('store') };
  await broker.stop();
  broker = await startBroker(ownStore);
  const first = await startOften(3_600);
  await sendPart(0);
  await allTaken(first);
  expectSame((await first.end()).code, 0);
  const streams = await rememberStreams();
  const second = await startOften(3_600);
  await sendPart(1);
  await allTaken(second);
  expectSame((await second.end()).code, 0);
  figures['lost by the broker'] = await streams.lose();
  expectSame((figures['lost by the broker'] as number) > 0, true);

  const third = await startOften(3_600);
  expectSame(
    /"reason":"message \d+ of stream \w+, which was stored before it, is lost"/.test(third.log()),
    true,
    third.log(),
  );
  await sendPart(2);
  await compareAll(figures);
  expectSame((await third.end()).code, 0);
});

fault('R7', 'alerts lost that no checkpoint is older than', 3 * MINUTE_MS, async (figures) => {
  const ownStore = { port: broker.port, storeDir: freshPath('store') };
  await broker.stop();
  broker = await startBroker(ownStore);
  const first = await startOften(0.5);
  await until('streams', async () => (await recordsTaken(first.ops)) === 0);
  const streams = await rememberStreams();
  await sendPart(0);
  await allTaken(first);
  const durable = async (): Promise<number> =>
    (await scrape(first.ops)).value('ringfence_checkpoint_last_success_timestamp_seconds');
  // Three more, so that none is of before the alerts.
  for (let checkpoint = 0; checkpoint < 4; checkpoint++) {
    const last = await durable();
    await until('a checkpoint', async () => (await durable()) > last);
  }
  await first.kill();
  figures['lost by the broker'] = await streams.lose();
  const { running, ready } = await tryServe({ nats: broker.url, data });
  expectSame(ready, undefined);
  const { code, stderr } = await running.exited;
  expectSame(code, 3, stderr);
  expectSame(
    /^Stream ALERTS has lost message \d+, .* No checkpoint is older than the loss\.$/m.test(stderr),
    true,
    stderr,
  );
  // Allowed, it goes on without them, also with the next revisions of those alerts.
  const allowing = await startServe({ nats: broker.url, data, config: 'allowDataLoss: true\n' });
  expectSame(allowing.log().includes('going on without what the broker has lost'), true, allowing.log());
  await sendPart(1);
  await taken(allowing.ops, Math.ceil(lines.length / 3));
  expectSame((await allowing.end()).code, 0);
  figures['exit code'] = 3;
});

fault('R7', 'alerts and dead letters lost by the broker while serve runs', 4 * MINUTE_MS, async (figures) => {
  const ownStore = { port: broker.port, storeDir: freshPath('store') };
  await broker.stop();
  broker = await startBroker(ownStore);
  const first = await startOften();
  await sendPart(0);
  await allTaken(first);
  const durable = async (): Promise<number> =>
    (await scrape(first.ops)).value('ringfence_checkpoint_last_success_timestamp_seconds');
  const before = await durable();
  await until('a checkpoint with the first alerts', async () => (await durable()) > before);
  const streams = await rememberStreams();
  await sendPart(1);
  await allTaken(first);
  // Alerts that a durable checkpoint has behind it are not kept any more.
  await until('a checkpoint with all alerts', async () => {
    const { value } = await scrape(first.ops);
    return value('ringfence_queue_items', { queue: 'alerts_kept' }) === 0;
  });
  figures['lost by the broker'] = await streams.lose();
  const { code, stderr } = await first.exited;
  expectSame(code, 1, stderr);
  expectSame(/^Stream \w+ has lost message \d+, which the broker had acknowledged/m.test(stderr), true, stderr);
  const second = await startOften();
  await sendPart(2);
  await compareAll(figures);
  expectSame((await second.end()).code, 0);
});
