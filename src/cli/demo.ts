/**
 * `demo`: everything on this machine, in a temporary folder that disappears with it: a private NATS server, the engine with API
 * and console, and a feed that first fills eighty days of windows and then runs live.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { DEFAULTS, loadConfig, parseAddress, projectFolder } from '../config.ts';
import { RingfenceError } from '../errors.ts';
import { demoFeed } from '../feed/demo-feed.ts';
import type { RawRecord } from '../feed/raw-record.ts';
import { createLog } from '../log.ts';
import { startBroker } from '../source/broker.ts';
import { connectNats } from '../source/connection.ts';
import type { Serving } from './serve.ts';
import { createUsagePublisher, type UsagePublisher } from './usage-publisher.ts';

/** Records of the past go in batches, live ones in small ones, as a mediation system sends them. */
const HISTORY_BATCH = 256;
const LIVE_BATCH = 16;
const LIVE_EVERY_MS = 200;
const ORPHAN_CHECK_MS = 500;

/** Runs until a signal; resolves when every process has ended and the folder is gone. */
async function demo(flags: {
  listen: string;
  opsListen: string;
  timeZone: string;
  seed: string;
  rate: string;
}): Promise<void> {
  const { endedEarly, serve } = await import('./serve.ts');
  const stopping = new AbortController();
  const onSignal = (): void => stopping.abort(endedEarly());
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // Made when signals are heard already: one that comes now leaves no folder behind.
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-demo-'));
  // Whatever ends this process, the folder goes with it.
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const say = (sentence: string): void => void process.stderr.write(`${sentence}\n`);

  const broker = await startBroker({ storeDir: join(folder, 'nats') }).catch((error: unknown) => {
    // Ctrl-C reaches every process of the job: a server that was made a moment before may die of it before it has left the job.
    throw stopping.signal.aborted ? stopping.signal.reason : error;
  });
  say(`NATS ${broker.version} on ${broker.url}`);
  const log = createLog({ level: 'warn' });
  const serveOn = (listen: string, opsListen: string): Promise<Serving> =>
    serve(
      loadConfig({
        flags: {
          nats: broker.url,
          data: join(folder, 'data'),
          listen,
          opsListen,
          timeZone: flags.timeZone,
          logLevel: 'warn',
        },
      }),
      { signal: stopping.signal, log },
    );
  const anyPort = (address: string): string => `${parseAddress(address).host}:0`;
  try {
    const serving = await serveOn(flags.listen, flags.opsListen).catch((error: unknown) => {
      // A port that is taken is no reason to stop a demo.
      if (error instanceof RingfenceError && error.code === 'http.cannot-listen')
        return serveOn(anyPort(flags.listen), anyPort(flags.opsListen));
      throw error;
    });
    process.stdout.write(`${JSON.stringify({ ready: true, http: serving.http, ops: serving.ops })}\n`);
    say(
      `\n  Console   ${serving.http}\n  Metrics   ${serving.ops}/metrics\n\nCtrl-C ends it and removes everything.\n`,
    );
    try {
      await Promise.race([runFeed(broker.url, flags, stopping.signal), serving.ended]);
    } finally {
      serving.stop();
      await serving.ended;
    }
  } finally {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The feed is a process of its own, as a mediation system is: drawing 200,000 records must not take the time of the engine that
 * reads them. Resolves when it has ended.
 */
async function runFeed(nats: string, flags: { seed: string; rate: string }, signal: AbortSignal): Promise<void> {
  const child = spawn(
    process.execPath,
    [
      ...[join(projectFolder, 'src/main.ts'), 'demo-feed', '--nats', nats, '--seed', flags.seed, '--rate', flags.rate],
      ...['--parent', String(process.pid)],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const kill = (): void => void child.kill('SIGTERM');
  process.on('exit', kill);
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  const [code] = (await once(child, 'exit')) as [number | null];
  process.off('exit', kill);
  if (code !== 0 && !signal.aborted) {
    throw new RingfenceError({
      code: 'demo.feed',
      message: `The sample feed ended with exit code ${code}.`,
      hint: 'Its own message stands above.',
    });
  }
}

interface FeedFlags {
  nats: string;
  seed: string;
  rate: string;
  parent?: string;
}

/** Runs until a signal. It holds nothing that could be lost, so it ends where it stands, also while NATS is away. */
async function feed({ nats, seed, rate, parent }: FeedFlags): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit());
  // A feed whose demo was killed has nobody to feed; that may have happened before this line.
  setInterval(() => {
    if (parent !== undefined && process.ppid !== Number(parent)) process.exit();
  }, ORPHAN_CHECK_MS);
  const say = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
  const nc = await connectNats(nats, { name: 'ringfence demo feed', log: say });
  const source = demoFeed({ seed: Number(seed), now: Date.now(), rate: Number(rate) });
  const send = async (publisher: UsagePublisher, records: Iterable<RawRecord>): Promise<number> => {
    let count = 0;
    for (const record of records) {
      publisher.record(Buffer.from(JSON.stringify(record)), record);
      count++;
      const room = publisher.room();
      if (room !== undefined) await room;
    }
    return count;
  };
  const past = createUsagePublisher(nc, { partitions: 1, batch: HISTORY_BATCH, log: say });
  const begun = performance.now();
  const count = await send(past, source.history());
  await past.drained();
  past.close();
  say(
    `${count.toLocaleString('en')} records of the past eighty days sent in ${((performance.now() - begun) / 1000).toFixed(1)} s; the feed is live now`,
  );
  const live = createUsagePublisher(nc, { partitions: 1, batch: LIVE_BATCH, log: say });
  for (;;) {
    await send(live, source.live(Date.now()));
    await sleep(LIVE_EVERY_MS);
  }
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('Private NATS server, engine, console and a live sample feed, all in a temporary folder.')
    .option('--listen <address>', 'HOST:PORT of the console; another port where it is taken', DEFAULTS.listen)
    .option('--ops-listen <address>', 'HOST:PORT of the metrics', DEFAULTS.opsListen)
    .option(
      '--time-zone <zone>',
      'IANA zone of nights, weekends and every time that is shown',
      new Intl.DateTimeFormat().resolvedOptions().timeZone,
    )
    .option('--seed <n>', 'seed of the sample population', '1')
    .option('--rate <n>', 'live records per second', '250')
    .action(demo);
}

/** The feed of the demo alone; started by the demo. */
export function demoFeedCommand(): Command {
  return new Command('demo-feed')
    .description('The sample feed of the demo.')
    .requiredOption('--nats <url>', 'NATS server')
    .option('--seed <n>', 'seed of the sample population', '1')
    .option('--rate <n>', 'live records per second', '250')
    .option('--parent <pid>', 'end with this process')
    .action(feed);
}
