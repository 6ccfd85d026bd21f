/**
 * More than there is room for: clients that do not read, more records than the engine takes, more subscribers than were
 * planned for. Memory stays bounded, the others are served, and nothing is lost.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { alertEvent, alertSubject } from '../src/alerts/alert.ts';
import type { Broker } from '../src/source/broker.ts';
import { compareAlerts, expectSame, type Figures, fault, freshForEach, isWhole } from './faults.ts';
import { alertWith, type Frame } from './http-gateway.ts';
import {
  alertsIn,
  countIn,
  get,
  publish,
  readiness,
  recordsTaken,
  replayed,
  type Serving,
  scrape,
  send,
  startServe,
  taken,
  temporaryFolder,
  until,
  writePopulation,
} from './serving.ts';

const MINUTE_MS = 60_000;
const MEBIBYTE = 1024 * 1024;
const CLIENTS = 100;
const FROZEN = 10;
/** Some 3 KB each: what is sent to one client in all is far more than what may wait for it. */
const BURST_ALERTS = isWhole ? 4_500 : 2_400;
/**
 * Twenty together at times that are fixed before, whoever is slow: 200 a second are 18,000 frames for the readers, which live in one
 * process, and more than desks ever get. With four times as many that process alone made a queue of seconds.
 */
const ALERTS_TOGETHER = 20;
const BEAT_MS = 100;
/** Far less than what may wait for a client. */
const BEHIND_MAX = 100;
/** Of two figures of one shared machine, at least. */
const NOISE_MS = 30;
/** Most of it is the heap of the program itself; a backlog must not show in it. */
const RSS_MAX = 1024 * MEBIBYTE;
const RSS_GROWTH_MAX = 64 * MEBIBYTE;
const RECORDS = isWhole ? 120_000 : 10_000;

/** Minutes of the same work; of the memory an hour tells something. RINGFENCE_FAULTS_SOAK_MIN=480 is a shift. */
const SOAK_MIN = Number(process.env['RINGFENCE_FAULTS_SOAK_MIN'] ?? (isWhole ? 0.2 : 0));
const SOAK_ROUNDS_MIN = 9;
const SLOPE_JUDGED_MIN = 60;
const RSS_SLOPE_MAX = 1;

const folder = temporaryFolder();
let broker: Broker;
let data = '';
freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});

/** Resident memory of a process, bytes. */
const residentBytes = ({ pid }: Serving): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;

interface Reader {
  socket: WebSocket;
  sequences: number[];
  delaysMs: number[];
}

/** A client that reads all, and knows from each alert when it was published. */
async function openReader(serving: Serving): Promise<Reader> {
  const socket = new WebSocket(`${serving.http.replace('http', 'ws')}/v1/alerts/live`);
  const reader: Reader = { socket, sequences: [], delaysMs: [] };
  const hello = Promise.withResolvers<void>();
  socket.on('message', (text) => {
    const frame = JSON.parse(text.toString()) as Frame;
    if (frame.kind === 'hello') hello.resolve();
    if (frame.kind !== 'alert') return;
    reader.sequences.push(frame.seq);
    reader.delaysMs.push(performance.now() - Number(frame.alert.triggerRecordId));
  });
  await hello.promise;
  return reader;
}

/** A client that shakes hands and never reads again. */
async function openFrozen(serving: Serving): Promise<Socket> {
  const { hostname, port } = new URL(serving.http);
  const socket = createConnection(Number(port), hostname);
  socket.on('error', () => {
    // The server cuts it in the end.
  });
  const lines = [
    'GET /v1/alerts/live HTTP/1.1',
    `Host: ${hostname}:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  socket.pause();
  return socket;
}

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;

fault('R21', `${CLIENTS} live clients of which ${FROZEN} never read`, 12 * MINUTE_MS, async (figures) => {
  const serving = await startServe({ nats: broker.url, data });
  const nc = await connect({ servers: broker.url });
  const js = jetstream(nc);
  const readers: Reader[] = [];
  for (let at = 0; at < CLIENTS - FROZEN; at++) readers.push(await openReader(serving));
  /** Publishes alerts in small bursts; resolves when all readers have them. @returns the 99th percentile, ms */
  const burst = async (alerts: number): Promise<number> => {
    const before = readers.map(({ sequences }) => sequences.length);
    for (const reader of readers) reader.delaysMs = [];
    const begun = performance.now();
    const stored: Promise<unknown>[] = [];
    for (let sent = 0; sent < alerts; sent += ALERTS_TOGETHER) {
      const dueAt = begun + (sent / ALERTS_TOGETHER) * BEAT_MS;
      await sleep(Math.max(0, dueAt - performance.now()));
      // Where times are not judged the machine may be too busy for ninety readers at once, and who falls behind is cut, rightly.
      if (!isWhole)
        await until('the readers to follow', () =>
          readers.every(({ sequences }, at) => sequences.length >= before[at]! + sent - BEHIND_MAX),
        );
      const some = Array.from({ length: Math.min(ALERTS_TOGETHER, alerts - sent) }, () =>
        alertWith({
          // Delays count from the time at which it should have been sent: a sender that is held up hides none.
          triggerRecordId: String(dueAt),
          title: { en: 'x'.repeat(1_000), 'zh-CN': 'y'.repeat(1_000) },
        }),
      );
      for (const alert of some)
        stored.push(js.publish(alertSubject(alert), JSON.stringify(alertEvent(alert, '/test'))));
    }
    await Promise.all(stored);
    await until('all alerts at all readers', () =>
      readers.every(({ sequences }, at) => sequences.length >= before[at]! + alerts),
    );
    return p99(readers.flatMap(({ delaysMs }) => delaysMs));
  };
  // Rings and caches fill up first: what grows later is what the frozen ones cost.
  await burst(BURST_ALERTS / 2);
  const healthyBefore = await burst(BURST_ALERTS / 2);
  const before = residentBytes(serving);
  const frozen: Socket[] = [];
  for (let at = 0; at < FROZEN; at++) frozen.push(await openFrozen(serving));
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, residentBytes(serving));
  }, 100);
  let mixedMs = 0;
  try {
    mixedMs = await burst(BURST_ALERTS);
  } finally {
    clearInterval(watch);
  }
  for (const socket of frozen) socket.destroy();
  const healthyAfter = await burst(BURST_ALERTS / 2);
  figures['alerts'] = BURST_ALERTS;
  figures['growth MiB'] = Math.round((most - before) / MEBIBYTE);
  figures['p99 ms without'] = `${Math.round(healthyBefore)} before, ${Math.round(healthyAfter)} after`;
  figures['p99 ms with'] = Math.round(mixedMs);
  const metrics = await scrape(serving.ops);
  figures['cut'] = metrics.value('ringfence_ws_resyncs_total');
  expectSame(figures['cut'], FROZEN);
  figures['lost'] = 0;
  figures['duplicate'] = 0;
  for (const { sequences } of readers) {
    figures['duplicate'] += sequences.length - new Set(sequences).size;
    figures['lost'] += sequences.at(-1)! - sequences[0]! + 1 - sequences.length;
  }
  expectSame([figures['lost'], figures['duplicate']], [0, 0]);
  expect(most - before, 'growth of memory').toBeLessThan(RSS_GROWTH_MAX);
  // The noise is what two bursts without them differ by, and what a pause of the collector takes.
  const noiseMs = Math.max(NOISE_MS, Math.abs(healthyBefore - healthyAfter));
  const unchangedMs = Math.max(healthyBefore, healthyAfter) + noiseMs;
  if (isWhole) expect(mixedMs, 'p99 of those who read').toBeLessThan(unchangedMs);
  for (const { socket } of readers) socket.terminate();
  await nc.close();
  expectSame((await serving.end()).code, 0);
});

/** Of the resident memory, least squares, in percent of its mean an hour. */
function slopePercentAnHour(samples: readonly { atMs: number; bytes: number }[]): number {
  const mean = (of: (sample: (typeof samples)[number]) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [atMs, bytes] = [mean((sample) => sample.atMs), mean((sample) => sample.bytes)];
  const rise = mean((sample) => (sample.atMs - atMs) * (sample.bytes - bytes));
  const run = mean((sample) => (sample.atMs - atMs) ** 2);
  return ((rise / run) * 3_600_000 * 100) / bytes;
}

fault('R26', 'the same work over and over', 5 * MINUTE_MS + SOAK_MIN * MINUTE_MS, async (figures) => {
  const serving = await startServe({ nats: broker.url, data, args: ['--checkpoint-interval-sec', '1'] });
  const entriesOf = (kind: 'fd' | 'task'): number => readdirSync(`/proc/${serving.pid}/${kind}`).length;
  let made = 0;
  /** What a shift sees: calls of the same subscribers, one in fifty long enough for an alert, bad records, desks that come and go. */
  const work = async (): Promise<void> => {
    const messages = Array.from({ length: 500 }, (_, at) => {
      const isBad = at % 100 === 99;
      const record = {
        recordId: `soak-${made++}`,
        recordType: 'voice',
        eventTime: Date.now(),
        servedMsisdn: `86139${String(at % 200).padStart(8, '0')}`,
        direction: 'mo',
        otherNumber: `86137${String(at % 37).padStart(8, '0')}`,
        durationSec: isBad ? -1 : at % 50 === 0 ? 14_400 : 60,
      };
      return { subject: 'usage.0.voice', body: JSON.stringify(record) };
    });
    await send(broker.url, messages);
    const readers = await Promise.all(Array.from({ length: 10 }, () => openReader(serving)));
    for (const path of [
      'alerts?limit=50',
      'cases?limit=50',
      'subscribers/8613900000000',
      'operations',
      'rules',
      'deadletters',
    ])
      expectSame((await get(`${serving.http}/v1/${path}`)).status, 200, path);
    await taken(serving.ops, made);
    for (const { socket } of readers) {
      socket.terminate();
      await new Promise((resolve) => socket.once('close', resolve));
    }
  };
  const samples: { atMs: number; bytes: number; files: number; threads: number }[] = [];
  const begun = performance.now();
  while (samples.length < SOAK_ROUNDS_MIN || performance.now() - begun < SOAK_MIN * MINUTE_MS) {
    await work();
    // Connections of this round have gone by then, or are a leak.
    await until('the clients gone', async () => (await scrape(serving.ops)).value('ringfence_ws_clients') === 0);
    const [files, threads] = [entriesOf('fd'), entriesOf('task')];
    samples.push({ atMs: performance.now(), bytes: residentBytes(serving), files, threads });
  }
  const settled = samples.slice(Math.floor(samples.length / 3));
  const most = (of: 'files' | 'threads', part: typeof samples): number => Math.max(...part.map((sample) => sample[of]));
  const half = Math.floor(settled.length / 2);
  const [earlier, later] = [settled.slice(0, half), settled.slice(half)];
  figures['rounds'] = samples.length;
  figures['records'] = made;
  figures['files at most'] = `${most('files', earlier)}, then ${most('files', later)}`;
  figures['threads at most'] = `${most('threads', earlier)}, then ${most('threads', later)}`;
  figures['RSS MiB'] = Math.round(settled.at(-1)!.bytes / MEBIBYTE);
  const slope = slopePercentAnHour(settled);
  figures['RSS % an hour'] = SOAK_MIN >= SLOPE_JUDGED_MIN ? slope.toFixed(2) : 'too short to be judged';
  // One client of the list, of the broker or of the test may come a moment earlier or later.
  expect(most('files', later), 'open files').toBeLessThanOrEqual(most('files', earlier) + 2);
  expect(most('threads', later), 'threads').toBeLessThanOrEqual(most('threads', earlier));
  if (SOAK_MIN >= SLOPE_JUDGED_MIN) expect(slope, 'growth of memory, % an hour').toBeLessThan(RSS_SLOPE_MAX);
  expectSame((await serving.end()).code, 0);
});

/** Publishes as fast as the broker takes it and watches the process meanwhile. */
async function flood(figures: Figures, file: string, records: number): Promise<void> {
  const serving = await startServe({ nats: broker.url, data, args: ['--checkpoint-interval-sec', '1'] });
  let [lagMost, rssMost, notReady] = [0, 0, 0];
  let done = false;
  const watching = (async () => {
    while (!done) {
      const metrics = await scrape(serving.ops);
      lagMost = Math.max(lagMost, metrics.value('ringfence_stream_lag_messages'));
      rssMost = Math.max(rssMost, residentBytes(serving));
      if ((await readiness(serving.ops)).status !== 200) notReady++;
      await sleep(200);
    }
  })();
  await publish(file, broker.url);
  await until('the end of the stream', async () => (await recordsTaken(serving.ops)) >= records, 10 * MINUTE_MS);
  done = true;
  await watching;
  figures['records'] = records;
  figures['lag at most'] = lagMost;
  figures['RSS MiB at most'] = Math.round(rssMost / MEBIBYTE);
  expect(rssMost, 'resident memory').toBeLessThan(RSS_MAX);
  figures['subscribers'] = (await scrape(serving.ops)).value('ringfence_subscribers_resident');
  const expected = await replayed(file);
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
  expectSame((await serving.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), expected);
  // Being behind is no reason for a restart.
  expectSame(notReady, 0);
}

fault('R20', 'records as fast as the broker takes them', 12 * MINUTE_MS, async (figures) => {
  const file = join(folder.path, 'many.ndjson');
  const records = writePopulation(file, { seed: 20, subscribers: RECORDS / 200, recordsPerSubscriberDay: 2 });
  await flood(figures, file, records);
  expect(figures['lag at most']).toBeGreaterThan(0);
});

fault('R19', 'ten times the subscribers', 12 * MINUTE_MS, async (figures) => {
  const file = join(folder.path, 'wide.ndjson');
  const records = writePopulation(file, { seed: 19, subscribers: RECORDS / 20, recordsPerSubscriberDay: 0.2 });
  await flood(figures, file, records);
});
