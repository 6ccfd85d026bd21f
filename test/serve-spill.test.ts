/**
 * `serve` with room in memory for a tenth of the subscribers, killed at work and begun again with damaged segments: the alerts are
 * those of a replay without limits, and so is what it says of each subscriber.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createRandom } from '../src/feed/random.ts';
import {
  alertsIn,
  brokerForEach,
  countIn,
  expectSameAlerts,
  get,
  publishing,
  replayed,
  ringfence,
  type Serving,
  scrape,
  serveArguments,
  startServe,
  taken,
  until,
  whenReady,
  writePopulation,
} from './serving.ts';

const MINUTE_MS = 60_000;
const KILLS = 4;
const SUBSCRIBERS = 200;
const DAMAGE_EVERY = 5_000;
const stand = brokerForEach();

test('ten times the subscribers that memory has room for, killed and damaged', { timeout: 6 * MINUTE_MS }, async () => {
  const file = join(stand.path, 'records.ndjson');
  const records = writePopulation(file, { seed: 19, subscribers: SUBSCRIBERS, recordsPerSubscriberDay: 1 });
  const expected = await replayed(file);
  expect(expected.length).toBeGreaterThan(5);
  const random = createRandom(19);
  const data = join(stand.path, 'bounded');
  const stay = {
    nats: stand.broker.url,
    data,
    args: ['--checkpoint-interval-sec', '0.3', '--resident-keys-max', String(SUBSCRIBERS / 10)],
  };
  const sending = publishing(file, stand.broker.url, ['--rate', String(Math.ceil(records / (KILLS * 4)))]);
  const partition = join(data, 'partition-0');
  let rejected = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const running = ringfence(serveArguments(stay));
    const serving = (await whenReady(running))!;
    await until('spilled keys', async () => (await scrape(serving.ops)).value('ringfence_spilled_blocks') > 0);
    const checkpoints = async (): Promise<number> =>
      (await scrape(serving.ops)).value('ringfence_checkpoint_seconds_count');
    const before = await checkpoints();
    await until('a checkpoint that notes them', async () => (await checkpoints()) > before + 1);
    await sleep(random() * 2_000);
    await running.kill();
    if (running.log().includes('checkpoint passed over')) rejected++;
    if (kill === KILLS - 2) {
      // Bits here and there, because much of a segment counts no more, or came after the checkpoint.
      for (const name of readdirSync(partition).filter((one) => one.startsWith('spill-'))) {
        const bytes = readFileSync(join(partition, name));
        for (let at = DAMAGE_EVERY; at < bytes.length; at += DAMAGE_EVERY) bytes[at]! ^= 4;
        writeFileSync(join(partition, name), bytes);
      }
    }
  }
  expect(rejected).toBe(1);
  const bounded = await startServe(stay);
  expect((await sending.exited).code).toBe(0);
  await until('all alerts', async () => (await countIn(stand.broker.url, 'ALERTS')) >= expected.length);
  const whole = await startServe({ nats: stand.broker.url, data: join(stand.path, 'whole') });
  await taken(whole.ops, records);
  await until(
    'the stream to be read',
    async () => (await scrape(bounded.ops)).value('ringfence_stream_lag_messages') === 0,
  );
  const numbers = new Set(
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line) => /"servedMsisdn":"(\d+)"/.exec(line)?.[1] ?? []),
  );
  expect(numbers.size).toBeGreaterThanOrEqual(SUBSCRIBERS);
  const view = async ({ http }: Serving, number: string): Promise<unknown> =>
    (await get(`${http}/v1/subscribers/${number}`)).json();
  for (const number of numbers) expect(await view(bounded, number)).toEqual(await view(whole, number));
  const figures = await scrape(bounded.ops);
  expect(figures.value('ringfence_queue_limit', { queue: 'resident_blocks' })).toBe(SUBSCRIBERS / 10);
  expect(figures.value('ringfence_spilled_blocks')).toBeGreaterThan(SUBSCRIBERS / 2);
  expect(figures.value('ringfence_spill_returns_total')).toBeGreaterThan(0);
  expect(figures.value('ringfence_evictions_total')).toBeGreaterThan(0);
  for (const serving of [bounded, whole]) expect((await serving.end()).code).toBe(0);
  expectSameAlerts(await alertsIn(stand.broker.url), expected);
});
