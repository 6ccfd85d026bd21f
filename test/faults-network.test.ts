/**
 * A network between `serve` and its broker that is slow, breaks connections off, or keeps them open and passes nothing any more:
 * records go on being read, and the alerts are those of a run without any of it.
 */
import { writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll } from 'vitest';
import { createRandom, type Random } from '../src/feed/random.ts';
import type { Broker } from '../src/source/broker.ts';
import { compareAlerts, expectSame, fault, freshForEach, isWhole, writeFew } from './faults.ts';
import {
  alertsIn,
  countIn,
  publishing,
  recordsTaken,
  replayed,
  startServe,
  storedRecords,
  temporaryFolder,
  until,
} from './serving.ts';

const MINUTE_MS = 60_000;
const LATENCY_MS = isWhole ? 200 : 50;
/** Of the pieces that pass. */
const RESET_SHARE = 0.01;
/** Half-open connections are noticed by pings after 15 s, so the short form does without. */
const HALF_OPEN_TIMES = isWhole ? 2 : 0;
/** From the moment at which nothing passes any more to the next record. */
const NOTICED_MS_MAX = 30_000;

const folder = temporaryFolder();
const file = join(folder.path, 'few.ndjson');
let records = 0;
let broker: Broker;
let data = '';
const freshPath = freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});
beforeAll(async () => {
  ({ records } = await writeFew(file));
}, 5 * MINUTE_MS);

interface Network {
  url: string;
  /** Connections of now stay open, and nothing passes them any more; new ones work. */
  halfOpen(): void;
  resets(): number;
  close(): void;
}

/** Every piece arrives late, and one in a hundred ends its connection instead. */
async function openNetwork(port: number, random: Random): Promise<Network> {
  const sockets = new Set<Socket>();
  let dead = new WeakSet<Socket>();
  let resets = 0;
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    const end = (): void => {
      // Where nothing passes, the end does not either.
      if (dead.has(client)) return;
      for (const socket of [client, upstream]) {
        socket.destroy();
        sockets.delete(socket);
      }
    };
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay();
      from.on('error', end);
      from.on('close', end);
      from.on('data', (piece) => {
        const isReset = random() < RESET_SHARE;
        setTimeout(() => {
          if (dead.has(client) || to.destroyed) return;
          if (!isReset) {
            to.write(piece);
            return;
          }
          resets++;
          client.resetAndDestroy();
          upstream.resetAndDestroy();
        }, LATENCY_MS);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the network has no port');
  return {
    url: `nats://127.0.0.1:${address.port}`,
    halfOpen() {
      for (const socket of sockets) dead.add(socket);
    },
    resets: () => resets,
    close() {
      dead = new WeakSet();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

fault('R6', 'network that is late, resets and goes half-open', 6 * MINUTE_MS, async (figures) => {
  figures['records'] = records;
  const network = await openNetwork(Number(broker.port), createRandom(6));
  try {
    const serving = await startServe({ nats: network.url, data, args: ['--checkpoint-interval-sec', '0.5'] });
    const seconds = 6 + 25 * HALF_OPEN_TIMES;
    const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / seconds))]);
    let noticedMs = 0;
    for (let time = 0; time < HALF_OPEN_TIMES; time++) {
      await sleep(3_000);
      network.halfOpen();
      const begun = performance.now();
      // What has arrived before is taken meanwhile.
      await sleep(1_000);
      const before = await recordsTaken(serving.ops);
      await until('the next record', async () => (await recordsTaken(serving.ops)) > before);
      noticedMs = Math.max(noticedMs, Math.round(performance.now() - begun));
      figures['half-open, ms at most'] = noticedMs;
    }
    expectSame((await sending.exited).code, 0);
    const stream = freshPath('stream.ndjson');
    writeFileSync(stream, `${(await storedRecords(broker.url)).join('\n')}\n`);
    const expected = await replayed(stream);
    await until('all records', async () => (await recordsTaken(serving.ops)) >= records, 3 * MINUTE_MS);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length, 3 * MINUTE_MS);
    figures['resets'] = network.resets();
    expectSame(network.resets() > 0, true, 'no connection was reset');
    expectSame((await serving.end()).code, 0);
    compareAlerts(figures, await alertsIn(broker.url), expected);
    if (isWhole) expectSame(noticedMs < NOTICED_MS_MAX, true, `${noticedMs} ms until the next record`);
  } finally {
    network.close();
  }
});
