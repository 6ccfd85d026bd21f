/**
 * Processes that die, freeze or are told to end: nothing is lost and nothing is there twice. Real processes, killed for
 * real; the oracle is `replay` of the same records without any of it.
 */
import { cpSync, createReadStream, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import { createRandom } from '../src/feed/random.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { CHECKPOINT_FORMAT, loadCheckpoint } from '../src/state/checkpoint.ts';
import { CHECKPOINT_STEPS, PUBLISH_STEPS } from './crash-point.ts';
import {
  compareAlerts,
  crashingAt,
  expectSame,
  type Figures,
  fault,
  freshForEach,
  isLong,
  isWhole,
  killsWanted,
  recordsWanted,
  writeFew,
} from './faults.ts';
import {
  alertsIn,
  countIn,
  createFollower,
  createLineWriter,
  dumpRecords,
  type Exit,
  publish,
  publishing,
  recordsTaken,
  replayed,
  ringfence,
  type Serving,
  scrape,
  send,
  serveArguments,
  startServe,
  taken,
  temporaryFolder,
  tryServe,
  until,
  whenReady,
  writePopulation,
} from './serving.ts';

const seed = Number(process.env['RINGFENCE_FAULTS_SEED'] ?? 1);
/** A start takes two seconds, a life half of these on average: publishing takes as long as all of them, so the stream still grows. */
const SECONDS_PER_KILL = isLong ? 3 : 2;
/** Of the kills of R1 one in so many takes the broker too. */
const BROKER_TOO_EVERY = 10;
const BROKER_KILLS = isWhole ? 20 : 1;
/** On a busy machine half of the records must still be to come when the broker dies. */
const SECONDS_PER_BROKER_KILL = isWhole ? 2.5 : 6;
/** Of millions of records fewer are planted cases: what came of them must fit into memory. */
const MANY = {
  seed: 12,
  subscribers: recordsWanted / 200,
  recordsPerSubscriberDay: 2,
  ...(isLong && { plantedShare: 0.02 }),
};
/** Of R2 in its long form: each of its processes has a sixteenth of them. */
const STEPS_MANY = { ...MANY, subscribers: MANY.subscribers / 10 };
/** A start with the rest of a stream to read again, on a busy machine. */
const MINUTE_MS = 60_000;
/** The slowest that all records are written, published, read or compared, on a busy machine too; limits follow from it. */
const RECORDS_PER_SEC_MIN = 1_500;
const PASS_LIMIT_MS = 2 * MINUTE_MS + (recordsWanted / RECORDS_PER_SEC_MIN) * 1_000;
/** Of R1: population, publishing, reading to the end, dump, replay, client. */
const PASSES = 6;
/** A start, its life, its death. */
const KILL_LIMIT_MS = 30_000;
/** A process comes to its step within this time, behind all that the ones before it have left. */
const STEP_LIMIT_MS = isLong ? PASS_LIMIT_MS : 90_000;
/** After a broker is back, records flow again within this time. */
const RESUME_LIMIT_MS = 5_000;

const folder = temporaryFolder();
const [manyFile, fewFile] = [join(folder.path, 'many.ndjson'), join(folder.path, 'few.ndjson')];
let few = 0;
let fewAlerts: AlertData[] = [];
let broker: Broker;
beforeAll(async () => {
  ({ records: few, expected: fewAlerts } = await writeFew(fewFile));
}, 5 * MINUTE_MS);
let data = '';
const freshPath = freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});

const serveArgs = (more: string[] = []) => ({
  nats: broker.url,
  data,
  args: ['--checkpoint-interval-sec', '0.5', ...more],
});

/** The stream as it is, as a file: with an outage in it, records may be in it twice and in another order than sent. */
async function dump(): Promise<string> {
  const path = freshPath('stream.ndjson');
  await dumpRecords(broker.url, path);
  return path;
}
const allTaken = (serving: Serving): Promise<boolean> =>
  until(
    'the end of the stream',
    async () => {
      const { value } = await scrape(serving.ops);
      const waiting = ['pulled_messages', 'alerts_in_flight'].map((queue) => value('ringfence_queue_items', { queue }));
      return value('ringfence_stream_lag_messages') === 0 && waiting.every((items) => items === 0);
    },
    PASS_LIMIT_MS,
  );

/** Puts down how long each part of a long test took, in seconds. */
function stopwatch(figures: Figures): (part: string) => void {
  let begun = performance.now();
  return (part) => {
    const now = performance.now();
    figures[`s of ${part}`] = Math.round((now - begun) / 1_000);
    begun = now;
  };
}

fault(
  'R1',
  'SIGKILL of serve and broker at random points',
  killsWanted * KILL_LIMIT_MS + PASSES * PASS_LIMIT_MS,
  async (figures) => {
    figures['kills'] = 0;
    figures['kills of the broker'] = 0;
    const took = stopwatch(figures);
    const many = writePopulation(manyFile, MANY);
    figures['records'] = many;
    took('population');
    let readySec = 0;
    let readyTimes = 0;
    const rate = Math.ceil(many / (killsWanted * SECONDS_PER_KILL));
    const random = createRandom(seed);
    const follower = createFollower();
    const sending = publishing(manyFile, broker.url, ['--batch', '8', '--rate', String(rate)]);
    try {
      for (let kill = 0; kill < killsWanted; kill++) {
        const running = ringfence(serveArguments(serveArgs()));
        // One in three dies somewhere between its start and its first records, the others at work.
        if (kill % 3 === 2) await sleep(random() * 1_500);
        else {
          const begun = performance.now();
          const serving = (await whenReady(running))!;
          readySec += (performance.now() - begun) / 1_000;
          figures['s to ready'] = Number((readySec / ++readyTimes).toFixed(2));
          follower.follow(serving.http);
          await sleep(random() * 1_000 * SECONDS_PER_KILL);
        }
        if (kill % BROKER_TOO_EVERY === BROKER_TOO_EVERY - 1) {
          await broker.kill();
          await sleep(random() * 500);
          // Every other time serve is gone before the broker is back.
          if (kill % (2 * BROKER_TOO_EVERY) >= BROKER_TOO_EVERY) await running.kill();
          broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
          await sleep(random() * 1_000);
          figures['kills of the broker']++;
        }
        await running.kill();
        figures['kills'] = kill + 1;
      }
      took('kills');
      const serving = await startServe(serveArgs());
      follower.follow(serving.http);
      expectSame((await sending.exited).code, 0);
      took('rest of publishing');
      await allTaken(serving);
      took('rest of the stream');
      // Before this process has other work: a client that does not read for seconds is cut, and rightly.
      const stored = await countIn(broker.url, 'ALERTS');
      await until('all alerts at the client', () => follower.frames.length >= stored, PASS_LIMIT_MS);
      took('client');
      const dumped = await dump();
      took('dump');
      const expected = await replayed(dumped);
      took('replay');
      expectSame((await serving.end()).code, 0);
      figures['connections'] = follower.connections();
      figures['resyncs'] = follower.resyncs();
      compareAlerts(figures, await alertsIn(broker.url), expected);
      compareAlerts(figures, follower.alerts(), expected);
      expectSame(follower.resyncs(), 0);
      took('comparison');
    } finally {
      follower.close();
    }
  },
);

/** Each of these steps is one more death of the same stream, and at the end nothing may be missing. */
const steps: readonly string[] = isWhole
  ? [...CHECKPOINT_STEPS, ...PUBLISH_STEPS]
  : ['checkpoint half written', 'checkpoint renamed', 'alert half sent', 'alert acknowledged'];
fault(
  'R2',
  'SIGKILL of serve at each step of checkpoint and publish',
  steps.length * STEP_LIMIT_MS + PASSES * PASS_LIMIT_MS,
  async (figures) => {
    figures['steps'] = 0;
    const file = isLong ? manyFile : fewFile;
    const records = isLong ? writePopulation(manyFile, STEPS_MANY) : few;
    figures['records'] = records;
    const expected = isLong ? await replayed(manyFile) : fewAlerts;
    /** The next records of the stream, so that there is work for each process however long its start takes. */
    const portions = await portionsOf(file, Math.ceil(records / (steps.length + 1)));
    const publishNext = (at: number): Promise<void> =>
      publish(portions[at]!, broker.url, isLong ? ['--batch', '8'] : []);
    let letters = 0;
    for (const [at, step] of steps.entries()) {
      const isLetter = step.startsWith('dead letter');
      // Old checkpoints are there to be removed from the third on; the second time of a step is one at work.
      const running = ringfence(serveArguments(serveArgs()), { environment: crashingAt(step, isLetter ? 1 : 2) });
      await publishNext(at);
      if (isLetter) {
        await send(broker.url, [{ subject: 'usage.0.voice', body: `letter ${at}` }]);
        letters++;
      }
      let exit: Exit | undefined;
      void running.exited.then((ended) => {
        exit = ended;
      });
      const { signal } = await until(step, () => exit, STEP_LIMIT_MS);
      expectSame(`${step}: ${signal}`, `${step}: SIGKILL`, running.log());
      figures['steps'] = at + 1;
    }
    await publishNext(steps.length);
    const serving = await startServe(serveArgs());
    await allTaken(serving);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length, PASS_LIMIT_MS);
    await until('the dead letters', async () => (await countIn(broker.url, 'DEADLETTER')) >= letters);
    expectSame((await serving.end()).code, 0);
    compareAlerts(figures, await alertsIn(broker.url), expected);
    figures['dead letters'] = await countIn(broker.url, 'DEADLETTER');
    expectSame(figures['dead letters'], letters);
  },
);

/** A file in pieces of so many lines. */
async function portionsOf(file: string, size: number): Promise<string[]> {
  const portions: string[] = [];
  let writer: ReturnType<typeof createLineWriter> | undefined;
  let written = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (written++ % size === 0) {
      writer?.end();
      portions.push(freshPath('portion.ndjson'));
      writer = createLineWriter(portions.at(-1)!);
    }
    writer!.write(line);
  }
  writer?.end();
  return portions;
}

fault(
  'R3',
  'SIGKILL of the broker while it is written and read',
  BROKER_KILLS * 15_000 + 2 * MINUTE_MS,
  async (figures) => {
    figures['kills'] = 0;
    figures['records'] = few;
    const follower = createFollower();
    let resumeMs = 0;
    try {
      const serving = await startServe(serveArgs());
      follower.follow(serving.http);
      const sending = publishing(fewFile, broker.url, [
        '--rate',
        String(Math.ceil(few / (BROKER_KILLS * SECONDS_PER_BROKER_KILL))),
      ]);
      for (let kill = 0; kill < BROKER_KILLS; kill++) {
        const enough = (few * (kill + 0.5)) / (BROKER_KILLS + 1);
        await until('some records', async () => (await recordsTaken(serving.ops)) >= enough);
        await broker.kill();
        broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
        const [back, before] = [performance.now(), await recordsTaken(serving.ops)];
        await until('the next record', async () => (await recordsTaken(serving.ops)) > before);
        resumeMs = Math.max(resumeMs, Math.round(performance.now() - back));
        figures['kills'] = kill + 1;
        figures['resume ms at most'] = resumeMs;
      }
      expectSame((await sending.exited).code, 0);
      const expected = await replayed(await dump());
      await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
      await until('all alerts at the client', () => follower.frames.length >= expected.length);
      expectSame((await serving.end()).code, 0);
      compareAlerts(figures, follower.alerts(), expected);
      compareAlerts(figures, await alertsIn(broker.url), expected);
      if (isWhole) expectSame(resumeMs < RESUME_LIMIT_MS, true, `${resumeMs} ms until the next record`);
    } finally {
      follower.close();
    }
  },
);

fault('R4', 'SIGSTOP of serve, another takes over, SIGCONT', 3 * MINUTE_MS, async (figures) => {
  figures['records'] = few;
  const zombie = await startServe(serveArgs());
  const sending = publishing(fewFile, broker.url, ['--batch', '4', '--rate', String(Math.ceil(few / 4))]);
  await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > fewAlerts.length / 10);
  process.kill(zombie.pid, 'SIGSTOP');
  const owner = await startServe(serveArgs());
  await until('more alerts', async () => (await countIn(broker.url, 'ALERTS')) > fewAlerts.length / 2);
  process.kill(zombie.pid, 'SIGCONT');
  const { code, stderr } = await zombie.exited;
  expectSame(code, 3, stderr);
  expectSame(/^Another process has taken over the data folder/m.test(stderr), true, stderr);
  expectSame((await sending.exited).code, 0);
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= fewAlerts.length);
  expectSame((await owner.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), fewAlerts);
});

/** The program as another version of it, whose checkpoints have another format. */
function versionOfProgram(version: string, format: number): string {
  const root = freshPath(`version-${version}`);
  for (const part of ['src', 'package.json']) cpSync(join(projectFolder, part), join(root, part), { recursive: true });
  for (const part of ['rules', 'node_modules']) symlinkSync(join(projectFolder, part), join(root, part));
  const replace = (path: string, from: string, to: string): void => {
    const text = readFileSync(join(root, path), 'utf8');
    expectSame(text.includes(from), true, `${path} has no ${from}`);
    writeFileSync(join(root, path), text.replace(from, to));
  };
  replace('package.json', '"version": "', `"version": "${version}", "was": "`);
  replace('src/state/checkpoint.ts', `CHECKPOINT_FORMAT = ${CHECKPOINT_FORMAT}`, `CHECKPOINT_FORMAT = ${format}`);
  return root;
}

fault('R24', 'upgrades and ways back under load, the last one to a newer format', 5 * MINUTE_MS, async (figures) => {
  const [next, newer] = [
    versionOfProgram('998.0.0', CHECKPOINT_FORMAT),
    versionOfProgram('999.0.0', CHECKPOINT_FORMAT + 1),
  ];
  const formatNow = (): number => {
    const partition = join(data, 'partition-0');
    const names = readdirSync(partition).filter((name) => /^checkpoint-\d+$/.test(name));
    return readFileSync(join(partition, names.sort().at(-1)!)).readUInt32LE(8);
  };
  figures['records'] = few;
  const versions = [undefined, next, undefined, newer];
  /** A part of the stream for each of them, so that there is work however long a start takes; and one for the last start. */
  const portions = await portionsOf(fewFile, Math.ceil(few / (versions.length + 1)));
  figures['versions'] = 0;
  for (const [at, root] of versions.entries()) {
    const serving = await startServe({ ...serveArgs(), root });
    const isFirst = figures['versions'] === 0;
    const { log } = serving;
    expectSame(/"checkpoint":\d+,.*"msg":"state restored"/.test(log()), !isFirst, log());
    const before = await countIn(broker.url, 'ALERTS');
    const sending = publishing(portions[at]!, broker.url, ['--rate', String(Math.ceil(few / 10))]);
    await until('some records', async () => (await recordsTaken(serving.ops)) > few / 20);
    await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > before);
    expectSame((await serving.end()).code, 0);
    expectSame((await sending.exited).code, 0);
    expectSame(formatNow(), root === newer ? CHECKPOINT_FORMAT + 1 : CHECKPOINT_FORMAT);
    figures['versions']++;
  }
  const { running, ready } = await tryServe(serveArgs());
  expectSame(ready, undefined);
  const refused = await running.exited;
  expectSame(refused.code, 3, refused.stderr);
  expectSame(/has format \d+; this program knows formats up to \d+\.$/m.test(refused.stderr), true, refused.stderr);
  // As it says: the state is made anew from the stream, and every alert is there already or still to come.
  data = freshPath('data');
  const back = await startServe(serveArgs());
  await publish(portions.at(-1)!, broker.url);
  await taken(back.ops, few);
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= fewAlerts.length);
  expectSame((await back.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), fewAlerts);
});

fault('R23', 'SIGTERM under load', 2 * MINUTE_MS, async (figures) => {
  const first = await startServe({ nats: broker.url, data });
  // As fast as the broker takes them, a busy machine would see the end of them before it has told the process to end.
  const sending = publishing(fewFile, broker.url, isWhole ? [] : ['--rate', String(Math.ceil(few / 5))]);
  await until('some records', async () => (await recordsTaken(first.ops)) > few / 5);
  const begun = performance.now();
  expectSame((await first.end()).code, 0);
  figures['drain ms'] = Math.round(performance.now() - begun);
  expectSame((await sending.exited).code, 0);

  const { checkpoint } = await loadCheckpoint(join(data, 'partition-0'));
  const { sequence } = checkpoint!.position;
  expectSame(sequence < few, true, 'the end came when all had been read');
  const second = await startServe({ nats: broker.url, data });
  // Single records, so sequences count them.
  await taken(second.ops, few - sequence);
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= fewAlerts.length);
  figures['records'] = few;
  figures['replayed'] = (await recordsTaken(second.ops)) - (few - sequence);
  expectSame(figures['replayed'], 0);
  expectSame((await scrape(second.ops)).value('ringfence_records_total', { result: 'duplicate' }), 0);
  expectSame((await second.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), fewAlerts);
  if (isWhole) expectSame((figures['drain ms'] as number) < 10_000, true);
});

fault('R23', 'SIGTERM while the broker is away', 2 * MINUTE_MS, async (figures) => {
  const first = await startServe({ nats: broker.url, data });
  const sending = publishing(fewFile, broker.url, ['--batch', '64']);
  await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > fewAlerts.length / 10);
  await broker.kill();
  await first.said('is lost: reconnecting');
  const begun = performance.now();
  const { code, stderr } = await first.end();
  figures['drain ms'] = Math.round(performance.now() - begun);
  expectSame(code, 0, stderr);

  broker = await startBroker({ port: broker.port, storeDir: broker.storeDir });
  const second = await startServe({ nats: broker.url, data });
  expectSame((await sending.exited).code, 0);
  const expected = await replayed(await dump());
  await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
  expectSame((await second.end()).code, 0);
  figures['records'] = few;
  compareAlerts(figures, await alertsIn(broker.url), expected);
  if (isWhole) expectSame((figures['drain ms'] as number) < 10_000, true);
});
