/**
 * Disks that are full, damaged or of another time: what was durable stays so, what cannot be written is said, and the
 * alerts are those of a run without any of it.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { beforeAll } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { CHECKPOINT_FORMAT } from '../src/state/checkpoint.ts';
import { compareAlerts, expectSame, fault, freshForEach, isWhole, writeFew } from './faults.ts';
import {
  alertsIn,
  countIn,
  createFollower,
  endProcesses,
  expectSameAlerts,
  get,
  linesOf,
  publish,
  publishing,
  readiness,
  recordsTaken,
  replayed,
  type Serving,
  scrape,
  startServe,
  storedRecords,
  taken,
  temporaryFolder,
  tryServe,
  until,
} from './serving.ts';

const MINUTE_MS = 60_000;
const MEBIBYTE = 1024 * 1024;
const DISK_BYTES = 64 * MEBIBYTE;

const folder = temporaryFolder();
const file = join(folder.path, 'few.ndjson');
let records = 0;
let expected: AlertData[] = [];
let broker: Broker;
beforeAll(async () => {
  ({ records, expected } = await writeFew(file));
}, 5 * MINUTE_MS);
let data = '';
freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});

const oftenCheckpointed = ['--checkpoint-interval-sec', '0.5'];
/** With room in memory for few of the subscribers, so that the folder has segments of spilled keys too. */
const boundedArgs = [...oftenCheckpointed, '--resident-keys-max', '20'];
const serveArgs = () => ({ nats: broker.url, data, args: oftenCheckpointed });
const allAlerts = (): Promise<boolean> =>
  until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= expected.length);
/** All items of a list of the interface, page by page. */
async function pages<Item>(url: string, name: string): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor = ''; ; ) {
    const answer = await get(cursor === '' ? url : `${url}&cursor=${cursor}`);
    const page = (await answer.json()) as Record<string, Item[]> & { next: string | null };
    items.push(...page[name]!);
    if (page.next === null) return items;
    cursor = page.next;
  }
}
const listedAlerts = ({ http }: Serving): Promise<AlertData[]> => pages(`${http}/v1/alerts?limit=500`, 'alerts');
/** Alerts as their cases show them. */
async function alertsOfCases({ http }: Serving): Promise<AlertData[]> {
  const cases = await pages<{ caseId: string }>(`${http}/v1/cases?limit=200`, 'cases');
  const details = cases.map(async ({ caseId }) => {
    const { alertList } = (await (await get(`${http}/v1/cases/${caseId}`)).json()) as { alertList: AlertData[] };
    return alertList;
  });
  return (await Promise.all(details)).flat();
}
/** Newest revisions, each once. */
const newestRevisions = (alerts: readonly AlertData[]): AlertData[] => [
  ...new Map(alerts.toSorted((a, b) => a.revision - b.revision).map((alert) => [alert.alertId, alert])).values(),
];

/** Waits until alerts and cases show all that there is; they must show it as it is in the stream. */
async function expectWholeLists(serving: Serving): Promise<void> {
  const all = newestRevisions(expected);
  for (const list of [listedAlerts, alertsOfCases]) {
    await until('the whole list', async () => (await list(serving)).length >= all.length);
    expectSameAlerts(await list(serving), all);
  }
}

/** Somebody else fills the disk to the last byte. */
function fillDisk(path: string): void {
  for (let part = 0; statfsSync(path).bavail > 0; part++) {
    const { bavail, bsize } = statfsSync(path);
    try {
      writeFileSync(join(path, `filler-${part}`), Buffer.alloc(Math.min(bavail * bsize, 8 * MEBIBYTE)));
    } catch {
      break;
    }
  }
}
function emptyDisk(path: string): void {
  for (const name of readdirSync(path)) if (name.startsWith('filler')) rmSync(join(path, name));
}

/** A small disk of its own at this path; false where this user may not make one. */
function mountSmallDisk(path: string): boolean {
  mkdirSync(path, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'ringfence-test', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

fault('R16', 'state disk full, then room again', 4 * MINUTE_MS, async (figures, context) => {
  if (!mountSmallDisk(data)) context.skip('only root can mount a small disk');
  const follower = createFollower();
  try {
    figures['records'] = records;
    const serving = await startServe(serveArgs());
    follower.follow(serving.http);
    const durable = async (): Promise<number> =>
      (await scrape(serving.ops)).value('ringfence_checkpoint_last_success_timestamp_seconds');
    const failures = async (): Promise<number> =>
      (await scrape(serving.ops)).value('ringfence_checkpoint_failures_total');
    const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / 8))]);
    await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > expected.length / 10);

    fillDisk(data);
    await until('a checkpoint that fails', async () => (await failures()) > 0);
    const last = await durable();
    const away = await until('not ready', async () => {
      const answer = await readiness(serving.ops);
      return answer.status === 503 && answer;
    });
    expectSame(/durable \(.*(ENOSPC|no space)/i.test(away.text), true, away.text);
    // The desks get their alerts all the same, and the newest durable position stays where it was.
    expectSame((await sending.exited).code, 0);
    await until('all records', async () => (await recordsTaken(serving.ops)) >= records);
    await allAlerts();
    await until('all alerts at the client', () => follower.frames.length >= expected.length);
    expectSame(await durable(), last);
    figures['failed checkpoints'] = await failures();

    emptyDisk(data);
    await until('ready', async () => (await readiness(serving.ops)).status === 200);
    await until('a checkpoint', async () => (await durable()) > last);
    await expectWholeLists(serving);
    expectSame((await serving.end()).code, 0);
    const again = await startServe(serveArgs());
    expectSame(await recordsTaken(again.ops), 0);
    expectSame((await again.end()).code, 0);
    compareAlerts(figures, follower.alerts(), expected);
    compareAlerts(figures, await alertsIn(broker.url), expected);
  } finally {
    follower.close();
    await endProcesses();
    execFileSync('umount', ['--lazy', data]);
  }
});

fault('R16', 'state disk full when serve ends', 3 * MINUTE_MS, async (figures, context) => {
  if (!mountSmallDisk(data)) context.skip('only root can mount a small disk');
  try {
    const serving = await startServe({ nats: broker.url, data });
    await publish(file, broker.url, ['--batch', '64']);
    await until('all records', async () => (await recordsTaken(serving.ops)) >= records);
    fillDisk(data);
    const ended = await serving.end();
    expectSame(ended.code, 3, ended.stderr);
    expectSame(/^The last checkpoint could not be written: ENOSPC/m.test(ended.stderr), true, ended.stderr);
    // From here on the records are read once more.
    emptyDisk(data);
    const again = await startServe({ nats: broker.url, data });
    await until('all records', async () => (await recordsTaken(again.ops)) >= records);
    await allAlerts();
    figures['records read again'] = await recordsTaken(again.ops);
    expectSame((await again.end()).code, 0);
    compareAlerts(figures, await alertsIn(broker.url), expected);
  } finally {
    await endProcesses();
    execFileSync('umount', ['--lazy', data]);
  }
});

fault('R16', 'disk of the broker full, then room again', 4 * MINUTE_MS, async (figures, context) => {
  const store = `${data}-store`;
  if (!mountSmallDisk(store)) context.skip('only root can mount a small disk');
  const { port } = broker;
  await broker.stop();
  broker = await startBroker({ port, storeDir: join(store, 'nats') });
  try {
    const serving = await startServe(serveArgs());
    const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / 8))]);
    await until('some alerts', async () => (await countIn(broker.url, 'ALERTS')) > expected.length / 10);
    fillDisk(store);
    // Nothing comes in any more, and nothing goes out; 2.9 says so, later servers just do not answer.
    await until('a standstill', async () => {
      const before = await recordsTaken(serving.ops);
      await sleep(2_000);
      return (await recordsTaken(serving.ops)) === before;
    });
    figures['records before'] = await recordsTaken(serving.ops);
    expectSame(figures['records before'] < records, true, 'the disk was full too late');
    emptyDisk(store);
    await broker.kill();
    broker = await startBroker({ port, storeDir: join(store, 'nats') });
    expectSame((await sending.exited).code, 0);
    const stream = join(folder.path, 'of-the-full-broker.ndjson');
    writeFileSync(stream, `${(await storedRecords(broker.url)).join('\n')}\n`);
    const oracle = await replayed(stream);
    await until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= oracle.length);
    await until('ready', async () => (await readiness(serving.ops)).status === 200);
    expectSame((await serving.end()).code, 0);
    figures['records'] = records;
    compareAlerts(figures, await alertsIn(broker.url), oracle);
    expectSame(oracle.length, expected.length);
  } finally {
    await endProcesses();
    await broker.stop();
    execFileSync('umount', ['--lazy', store]);
  }
});

const damages: Record<string, (path: string) => void> = {
  'a flipped bit': (path) => {
    const bytes = readFileSync(path);
    const at = Math.floor(bytes.length / 2);
    if (bytes.length > 0) bytes[at] = bytes[at]! ^ 0x10;
    writeFileSync(path, bytes);
  },
  'a flipped bit in a text': (path) => {
    const bytes = readFileSync(path);
    const at = bytes.lastIndexOf('"triggerRecordId"');
    expectSame(at > 0, true, `${path} holds no alert`);
    bytes[at + 3] = bytes[at + 3]! ^ 0x01;
    writeFileSync(path, bytes);
  },
  'half of it': (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
  'no bytes': (path) => truncateSync(path, 0),
};

/** Every file below a folder. */
const filesIn = (path: string): string[] =>
  readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile())
    .sort();

/** What one start made of a damaged folder. */
interface Outcome {
  passedOver: number;
  alerts: AlertData[];
}

/**
 * A start with copies of the folder and of the broker's store as they were when the process died: each damage meets the same
 * world, and half of the alerts are still to be made. @param world folder with `data` and `store`
 */
async function startDamaged(world: string, at: string, hurt: (data: string) => void): Promise<Outcome> {
  for (const part of ['data', 'store']) cpSync(join(world, part), join(at, part), { recursive: true });
  hurt(join(at, 'data'));
  const own = await startBroker({ storeDir: join(at, 'store') });
  try {
    const serving = await startServe({ nats: own.url, data: join(at, 'data'), args: boundedArgs });
    const begun = serving.log();
    await until('all alerts', async () => (await countIn(own.url, 'ALERTS')) >= expected.length);
    await until('the end of the stream', async () => {
      const { value } = await scrape(serving.ops);
      return value('ringfence_stream_lag_messages') === 0 && value('ringfence_records_total') > 0;
    });
    await expectWholeLists(serving);
    expectSame((await serving.end()).code, 0);
    return { passedOver: begun.split('checkpoint passed over').length - 1, alerts: await alertsIn(own.url) };
  } finally {
    await own.stop();
    rmSync(at, { recursive: true });
  }
}

fault('R17', 'each file of the state folder damaged', (isWhole ? 20 : 8) * MINUTE_MS, async (figures) => {
  const world = `${data}-world`;
  const original = join(world, 'data');
  const own = await startBroker({ storeDir: join(world, 'store') });
  const [aQuarter, aHalf] = [expected.length / 4, expected.length / 2];
  const alertsStored = (): Promise<number> => countIn(own.url, 'ALERTS');
  const before = await startServe({ nats: own.url, data: original, args: boundedArgs });
  const sending = publishing(file, own.url, ['--rate', String(Math.ceil(records / 6))]);
  await until('first alerts', async () => (await alertsStored()) > aQuarter);
  await before.kill();
  // What the first life had in the logs of its lists is in their files in the second one.
  const first = await startServe({ nats: own.url, data: original, args: boundedArgs });
  await until('three checkpoints', () => checkpoints(original).length === 3);
  await until('spilled keys', async () => (await scrape(first.ops)).value('ringfence_spilled_blocks') > 0);
  await until('some alerts', async () => (await alertsStored()) > aHalf);
  await first.kill();
  expectSame((await sending.exited).code, 0);
  await own.stop();
  figures['records'] = records;
  // Who may sign in is no state that could be made anew: a damaged access store is refused instead (access-store.test.ts).
  const files = filesIn(original)
    .map((path) => relative(original, path))
    .filter((name) => !name.startsWith('access.sqlite'));
  const every = files.filter((name) => /checkpoint-\d+$/.test(name));
  const segments = files.filter((name) => name.includes('spill-'));
  const [oldest, newest] = [every[0], every.at(-1)];
  // Who dies between writing one and removing the oldest leaves four.
  expectSame([every.length >= 3, segments.length > 0], [true, true], files.join(', '));
  const ofTexts = 'a flipped bit in a text';
  const withTexts = files.filter((name) => /\.sqlite(-wal)?$/.test(name));
  expectSame(withTexts.length, 4, withTexts.join(', '));
  const all = files.flatMap((name) =>
    Object.keys(damages)
      .filter((damage) => damage !== ofTexts || withTexts.includes(name))
      .map((damage) => ({ names: [name], damage })),
  );
  // And all checkpoints at once: the state is then made anew from the stream.
  const cases = isWhole
    ? [...all, { names: every, damage: 'a flipped bit' }]
    : [
        { names: [newest!], damage: 'half of it' },
        { names: [newest!, oldest!], damage: 'a flipped bit' },
        { names: withTexts.filter((name) => !name.endsWith('-wal')), damage: ofTexts },
        { names: [...every, ...segments], damage: 'no bytes' },
      ];
  figures['files'] = files.length;
  figures['damages'] = 0;
  figures['passed over'] = 0;
  const tryNext = async (): Promise<void> => {
    for (let at = tried++; at < cases.length; at = tried++) {
      const { names, damage } = cases[at]!;
      const { passedOver, alerts } = await startDamaged(world, `${data}-damaged-${at}`, (folder) => {
        for (const name of names) damages[damage]!(join(folder, name));
      });
      figures['damages'] = (figures['damages'] as number) + 1;
      figures['passed over'] = (figures['passed over'] as number) + passedOver;
      if (names.includes(newest!)) expectSame(passedOver > 0, true, `${names.join(', ')}: ${damage} was not noticed`);
      compareAlerts(figures, alerts, expected);
    }
  };
  let tried = 0;
  // Each of them waits for its disk and its processes half of the time.
  await Promise.all([tryNext(), tryNext()]);
  expectSame(figures['damages'], cases.length);
});

fault('R29', 'data folder and streams copied to an empty host', 4 * MINUTE_MS, async (figures) => {
  const lines = linesOf(file);
  const half = Math.floor(lines.length / 2);
  const parts = [lines.slice(0, half), lines.slice(half)].map((part, at) => {
    const path = join(folder.path, `part-${at}.ndjson`);
    writeFileSync(path, `${part.join('\n')}\n`);
    return path;
  });
  const subscribers = [...new Set(lines.map((line) => String(JSON.parse(line).servedMsisdn)))];
  /** What the state says of everybody. */
  const stateOf = ({ http }: Serving): Promise<unknown[]> =>
    Promise.all(subscribers.map(async (msisdn) => (await get(`${http}/v1/subscribers/${msisdn}`)).json()));

  const [host, other] = [`${data}-host`, `${data}-other`];
  const own = await startBroker({ storeDir: join(host, 'store') });
  const first = await startServe({ nats: own.url, data: join(host, 'data'), args: boundedArgs });
  await publish(parts[0]!, own.url, ['--batch', '16']);
  await taken(first.ops, half);
  const before = await stateOf(first);
  const unknown = before.filter((view) => !Object.hasOwn(view as object, 'features'));
  expectSame(unknown, []);
  expectSame((await first.end()).code, 0);
  await own.stop();
  cpSync(host, other, { recursive: true });
  rmSync(host, { recursive: true });

  const moved = await startBroker({ storeDir: join(other, 'store') });
  try {
    const second = await startServe({ nats: moved.url, data: join(other, 'data'), args: boundedArgs });
    figures['subscribers'] = subscribers.length;
    expectSame(await stateOf(second), before);
    expectSame(await recordsTaken(second.ops), 0);
    await publish(parts[1]!, moved.url, ['--batch', '16']);
    await taken(second.ops, lines.length - half);
    await until('all alerts', async () => (await countIn(moved.url, 'ALERTS')) >= expected.length);
    await expectWholeLists(second);
    expectSame((await second.end()).code, 0);
    figures['records'] = records;
    compareAlerts(figures, await alertsIn(moved.url), expected);
  } finally {
    await moved.stop();
    rmSync(other, { recursive: true });
  }
});

fault('R18', 'a checkpoint of a newer program', 3 * MINUTE_MS, async (figures) => {
  const serving = await startServe(serveArgs());
  expectSame((await serving.end()).code, 0);
  const newest = checkpoints(data).at(-1)!;
  const bytes = readFileSync(newest);
  bytes.writeUInt32LE(CHECKPOINT_FORMAT + 1, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 12)) >>> 0, 12);
  writeFileSync(newest, bytes);
  const { running, ready } = await tryServe(serveArgs());
  expectSame(ready, undefined);
  const { code, stderr } = await running.exited;
  expectSame(code, 3, stderr);
  expectSame(/has format \d+; this program knows formats up to \d+\./.test(stderr), true, stderr);
  figures['exit code'] = 3;
});

/** Checkpoints of the only partition, oldest first. */
function checkpoints(directory: string): string[] {
  const partition = join(directory, 'partition-0');
  if (!existsSync(partition)) return [];
  return readdirSync(partition)
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .sort()
    .map((name) => join(partition, name));
}
