/**
 * Streams, networks and producers that misbehave: what can be made good is, what cannot is counted and said. Real brokers,
 * real processes; the oracle is `replay` of what the stream holds.
 */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { beforeAll, describe, expect } from 'vitest';
import type { AlertData, AlertEvent } from '../src/alerts/alert.ts';
import { createRandom } from '../src/feed/random.ts';
import type { SubscriberView } from '../src/http/schemas.ts';
import { rulesMessage } from '../src/rules/message.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { callRecord } from './call-record.ts';
import { compareAlerts, expectSame, fault, freshForEach, isWhole, writeFew } from './faults.ts';
import {
  alertsIn,
  copyRules,
  countIn,
  createFollower,
  get,
  linesOf,
  publish,
  publishing,
  recordsTaken,
  replayed,
  ringfence,
  run,
  scrape,
  send,
  serveArguments,
  startServe,
  storedIn,
  storedRecords,
  taken,
  temporaryFolder,
  tryServe,
  until,
  whenReady,
} from './serving.ts';

const MINUTE_MS = 60_000;
/** How long the broker stands still: shorter and longer than a connection is trusted, and longer than it knows message ids. */
const STANDSTILLS_MS = isWhole ? [1_000, 20_000] : [1_000];
const RELOADS = isWhole ? 1_000 : 40;
const BEAT_MS = 20;
const BEATS_BEFORE = isWhole ? 250 : 10;
/** What reloads may add to the 99th percentile from record to alert. */
const GAP_MAX_MS = 50;
/** A good record is taken within this time of the poison before it, its way through the broker included. */
const NEXT_RECORD_MAX_MS = 10;
const POISON_ROUNDS = isWhole ? 20 : 2;
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
const DAY_SEC = 86_400;

const folder = temporaryFolder();
const file = join(folder.path, 'few.ndjson');
let records = 0;
let expected: AlertData[] = [];
let broker: Broker;
beforeAll(async () => {
  ({ records, expected } = await writeFew(file));
}, 5 * MINUTE_MS);
let data = '';
const freshPath = freshForEach(folder, {
  take(fresh) {
    ({ broker, data } = fresh);
  },
  broker: () => broker,
});

const serveArgs = (config?: string) => ({
  nats: broker.url,
  data,
  args: ['--checkpoint-interval-sec', '0.5'],
  ...(config !== undefined && { config }),
});
const allAlerts = (wanted = expected.length): Promise<boolean> =>
  until('all alerts', async () => (await countIn(broker.url, 'ALERTS')) >= wanted);
const write = (lines: readonly string[]): string => {
  const path = freshPath('lines.ndjson');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
};
const result = async (ops: string, name: string): Promise<number> =>
  (await scrape(ops)).value('ringfence_records_total', { result: name });

fault('R5', 'broker stands still (SIGSTOP)', 4 * MINUTE_MS, async (figures) => {
  figures['records'] = records;
  const serving = await startServe(serveArgs());
  // Shorter than the longest standstill: nothing may rely on what the broker remembers of message ids.
  const nc = await connect({ servers: broker.url });
  const jsm = await jetstreamManager(nc);
  await jsm.streams.update('ALERTS', { duplicate_window: 1e9 });
  await nc.close();
  const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / (STANDSTILLS_MS.length * 4)))]);
  figures['standstills s'] = STANDSTILLS_MS.map((ms) => ms / 1_000).join(' and ');
  for (const [at, standstillMs] of STANDSTILLS_MS.entries()) {
    const enough = (records * (at + 0.5)) / (STANDSTILLS_MS.length + 1);
    await until('some records', async () => (await recordsTaken(serving.ops)) >= enough);
    process.kill(broker.pid, 'SIGSTOP');
    await sleep(standstillMs);
    process.kill(broker.pid, 'SIGCONT');
  }
  expectSame((await sending.exited).code, 0);
  const oracle = await replayed(write(await storedRecords(broker.url)));
  await allAlerts(oracle.length);
  expectSame((await serving.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), oracle);
});

/** Each tenth record again: near, well inside the horizon, or far beyond it. */
const HORIZON_RECORDS = 1_024;
fault('R9', 'one record in ten twice, inside and beyond the horizon', 2 * MINUTE_MS, async (figures) => {
  const lines = linesOf(file);
  const [near, far] = [200, 4 * HORIZON_RECORDS];
  const repeated = lines.flatMap((line, at) => {
    const again = [];
    if (at % 10 === 5 && at >= near) again.push(lines[at - near]!);
    if (at % 1_000 === 999 && at >= far) again.push(lines[at - far]!);
    return [line, ...again];
  });
  const inside = lines.filter((_, at) => at % 10 === 5 && at >= near).length;
  const beyond = repeated.length - lines.length - inside;
  const serving = await startServe(serveArgs(`duplicateHorizonRecords: ${HORIZON_RECORDS}\n`));
  await publish(write(repeated), broker.url, ['--batch', '16']);
  await taken(serving.ops, repeated.length);
  figures['records'] = repeated.length;
  figures['known again'] = await result(serving.ops, 'duplicate');
  figures['beyond the horizon'] = beyond;
  expectSame(figures['known again'], inside);
  expectSame((await serving.end()).code, 0);

  // With a horizon that holds them all, they change nothing.
  data = freshPath('data');
  await broker.stop();
  broker = await startBroker();
  const wide = await startServe(serveArgs());
  await publish(write(repeated), broker.url, ['--batch', '16']);
  await taken(wide.ops, repeated.length);
  expectSame(await result(wide.ops, 'duplicate'), inside + beyond);
  await allAlerts();
  expectSame((await wide.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), expected);
});

fault('R10', 'records up to five minutes out of order', 3 * MINUTE_MS, async (figures) => {
  const random = createRandom(10);
  const lines = linesOf(file);
  const shuffled = lines
    .map((line) => ({ line, at: (JSON.parse(line) as { eventTime: number }).eventTime + (random() - 0.5) * 600_000 }))
    .sort((a, b) => a.at - b.at)
    .map(({ line }) => line);
  figures['records'] = records;
  figures['out of place'] = shuffled.filter((line, at) => line !== lines[at]).length;
  const numbers = [...new Set(lines.map((line) => (JSON.parse(line) as { servedMsisdn: string }).servedMsisdn))];
  /** What the windows of all subscribers hold at the end: totals are exact whatever the order. */
  const windowsOf = async (order: readonly string[]): Promise<Record<string, unknown>> => {
    await broker.stop();
    broker = await startBroker();
    data = freshPath('data');
    const serving = await startServe(serveArgs());
    await publish(write(order), broker.url, ['--batch', '16']);
    await taken(serving.ops, order.length);
    const windows: Record<string, unknown> = {};
    for (const msisdn of numbers) {
      const answer = await get(`${serving.http}/v1/subscribers/${msisdn}`);
      const { features } = (await answer.json()) as SubscriberView;
      for (const { feature, window, keyType, keyValue, panes, value } of features) {
        if (panes !== undefined) windows[`${msisdn} ${feature} ${window} ${keyType} ${keyValue}`] = { value, panes };
      }
    }
    expectSame(await result(serving.ops, 'late'), 0);
    const oracle = await replayed(write(order));
    await allAlerts(oracle.length);
    expectSame((await serving.end()).code, 0);
    compareAlerts(figures, await alertsIn(broker.url), oracle);
    return windows;
  };
  const ordered = await windowsOf(lines);
  figures['windows'] = Object.keys(ordered).length;
  expect(await windowsOf(shuffled)).toEqual(ordered);
});

fault('R11', 'clock of the machine a day ahead and a day behind', 3 * MINUTE_MS, async (figures, context) => {
  if (!existsSync(FAKETIME)) context.skip('libfaketime is not installed');
  figures['records'] = records;
  const clock = join(folder.path, 'clock');
  writeFileSync(clock, '+0');
  const environment = {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_NO_CACHE: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
  const serving = (await whenReady(ringfence(serveArguments(serveArgs()), { environment })))!;
  const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / 5))]);
  for (const [at, offset] of [DAY_SEC, -DAY_SEC, 0].entries()) {
    await until('some records', async () => (await recordsTaken(serving.ops)) > (records * (at + 1)) / 5);
    writeFileSync(clock, offset < 0 ? String(offset) : `+${offset}`);
  }
  figures['jumps'] = 3;
  expectSame((await sending.exited).code, 0);
  await allAlerts();
  expectSame(await result(serving.ops, 'rejected'), 0);
  expectSame((await serving.end()).code, 0);
  compareAlerts(figures, await alertsIn(broker.url), expected);
});

fault('R13', 'poison between good records', 3 * MINUTE_MS, async (figures) => {
  let made = 0;
  const voice = (more: object = {}): Record<string, unknown> => callRecord(`p${made++}`, more);
  const inField = (text: string): string => JSON.stringify(voice({ cellId: '?' })).replace('"?"', () => text);
  const poison = (): (Uint8Array | string)[] => [
    '{"broken',
    Buffer.from([0xc1, 0x00]),
    Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    inField(JSON.stringify('x'.repeat(1_000_000))),
    inField(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`),
    inField('"?","__proto__":{"recordId":"y"}'),
    inField('"a\u0000b"'),
    inField('"\\ud800"'),
    JSON.stringify(voice({ eventTime: Date.UTC(2106, 1, 7) })),
    JSON.stringify(voice({ eventTime: 0 })),
    JSON.stringify(voice({ recordType: '' })),
  ];
  const serving = await startServe(serveArgs());
  let good = 0;
  let bad = 0;
  const roundsMs: number[] = [];
  for (let round = 0; round < POISON_ROUNDS; round++) {
    const messages = poison().flatMap((body) => [body, JSON.stringify(voice())]);
    bad += messages.length / 2;
    good += messages.length / 2;
    const begun = performance.now();
    await send(
      broker.url,
      messages.map((body) => ({ subject: 'usage.0.voice', body })),
    );
    await taken(serving.ops, good + bad);
    roundsMs.push((performance.now() - begun) / messages.length);
  }
  figures['poison'] = bad;
  figures['good'] = good;
  const typicalMs = roundsMs.sort((a, b) => a - b)[Math.floor(roundsMs.length / 2)]!;
  figures['ms a message'] = typicalMs.toFixed(1);
  expectSame([await result(serving.ops, 'applied'), await result(serving.ops, 'rejected')], [good, bad]);
  if (isWhole) expect(typicalMs, 'ms a message').toBeLessThan(NEXT_RECORD_MAX_MS);
  await until('all dead letters', async () => (await countIn(broker.url, 'DEADLETTER')) === bad);
  const replay = await run(['deadletter', 'replay', '9', '10', '--nats', broker.url]);
  expectSame([replay.code, replay.stdout], [1, '']);
  const corrected = write([JSON.stringify(voice())]);
  for (let time = 0; time < 2; time++) {
    expectSame((await run(['deadletter', 'replay', '1', '--body', corrected, '--nats', broker.url])).code, 0);
  }
  await taken(serving.ops, good + bad + 1);
  expectSame(await result(serving.ops, 'applied'), good + 1);
  figures['replayed'] = 1;
  expectSame((await serving.end()).code, 0);
  expectSame(await countIn(broker.url, 'USAGE'), good + bad + 1);
});

fault('R15', 'rules exchanged under load, right and wrong ones', 5 * MINUTE_MS, async (figures) => {
  const rules = copyRules(freshPath('rules'), 'fraud/long-call');
  const text = readFileSync(join(rules, 'fraud/long-call.yaml'), 'utf8');
  const serving = await startServe({ ...serveArgs(), rules });
  const nc = await connect({ servers: broker.url });
  const js = jetstream(nc);
  /** Every fifth set is wrong and must change nothing. */
  const isWrong = (reload: number): boolean => reload % 5 === 4;
  const setOf = (reload: number): Uint8Array => {
    const changed = text.replace('version: 1', `version: ${reload + 2}`).replace('7200s', `${7_200 - (reload % 50)}s`);
    const file = {
      file: 'fraud/long-call.yaml',
      text: isWrong(reload) ? changed.replace('callDuration >=', 'nothing >=') : changed,
    };
    return rulesMessage({ version: `reload-${reload}`, files: [file] });
  };
  let callers = 0;
  const call = (): string => {
    const servedMsisdn = `86139${String(callers++).padStart(8, '0')}`;
    const usage = { recordType: 'voice', direction: 'mo', otherNumber: '8613700000000', durationSec: 8_000 };
    return JSON.stringify({
      ...usage,
      recordId: servedMsisdn,
      servedMsisdn,
      eventTime: Date.UTC(2025, 0, 1, 10) + callers,
    });
  };
  /** Five calls at each beat, whoever is slow, with a set of rules before them or without. */
  const load = async (beats: number, before: (beat: number) => Promise<unknown>[]): Promise<void> => {
    const begun = performance.now();
    const sent: Promise<unknown>[] = [];
    for (let beat = 0; beat < beats; beat++) {
      await sleep(Math.max(0, begun + beat * BEAT_MS - performance.now()));
      sent.push(...before(beat));
      for (let record = 0; record < 5; record++) sent.push(js.publish('usage.0.voice', call()));
    }
    await Promise.all(sent);
  };
  await load(BEATS_BEFORE, () => []);
  const callersBefore = callers;
  await load(RELOADS, (reload) => [js.publish('usage.0.rules', setOf(reload))]);
  await taken(serving.ops, callers);
  await allAlerts(callers);
  expectSame((await serving.end()).code, 0);
  await nc.close();

  // The stream says which set was in force at each record.
  const versionOf = new Map<string, number>();
  const storedAt = new Map<string, number>();
  let version = 1;
  let reloads = 0;
  for (const { subject, bytes, storedMs } of await storedIn(broker.url, 'USAGE')) {
    if (subject === 'usage.0.rules') {
      if (!isWrong(reloads)) version = reloads + 2;
      reloads++;
    } else {
      const { recordId } = JSON.parse(Buffer.from(bytes).toString()) as { recordId: string };
      versionOf.set(recordId, version);
      storedAt.set(recordId, storedMs);
    }
  }
  const found = (await storedIn(broker.url, 'ALERTS')).map(({ bytes, storedMs }) => {
    const alert = (JSON.parse(Buffer.from(bytes).toString()) as AlertEvent).data;
    return { alert, delayMs: storedMs - storedAt.get(alert.triggerRecordId)! };
  });
  const alerts = found.map(({ alert }) => alert);
  // Ids count up, so those of before the first reload are known by their number; both times are those of the broker.
  const p99 = (isBefore: boolean): number => {
    const delays = found.filter(({ alert }) => Number(alert.triggerRecordId.slice(5)) < callersBefore === isBefore);
    return delays.map(({ delayMs }) => delayMs).sort((a, b) => a - b)[Math.floor(delays.length * 0.99)]!;
  };
  figures['reloads'] = reloads;
  figures['records'] = callers;
  figures['alerts'] = alerts.length;
  figures['by another version'] = alerts.filter(
    (alert) => versionOf.get(alert.triggerRecordId) !== alert.ruleVersion,
  ).length;
  figures['lost'] = callers - new Set(alerts.map(({ triggerRecordId }) => triggerRecordId)).size;
  figures['duplicate'] = alerts.length - new Set(alerts.map(({ triggerRecordId }) => triggerRecordId)).size;
  figures['p99 to the alert ms'] = `${p99(false).toFixed(1)} (${p99(true).toFixed(1)} without reloads)`;
  expectSame([figures['by another version'], figures['lost'], figures['duplicate']], [0, 0, 0]);
  expectSame(
    await countIn(broker.url, 'DEADLETTER'),
    Array.from({ length: RELOADS }, (_, at) => at).filter(isWrong).length,
  );
  // A machine on which alerts wait for so long without any reload measures its other work.
  const isQuiet = p99(true) < GAP_MAX_MS;
  if (!isQuiet) figures['p99'] = 'not judged, the machine is busy';
  if (isWhole && isQuiet) expect(p99(false) - p99(true), 'p99, ms more than without').toBeLessThan(GAP_MAX_MS);
});

fault('R22', 'live connection cut again and again in a burst of alerts', 2 * MINUTE_MS, async (figures) => {
  figures['records'] = records;
  const serving = await startServe(serveArgs());
  const follower = createFollower();
  try {
    follower.follow(serving.http);
    const sending = publishing(file, broker.url, ['--rate', String(Math.ceil(records / 4))]);
    while (follower.frames.length < expected.length) {
      await sleep(100);
      // Breaks the connection off where it is and makes another, with the last sequence that came.
      follower.follow(serving.http);
      await until('a connection', () => follower.connected());
      if ((await countIn(broker.url, 'ALERTS')) >= expected.length) break;
    }
    expectSame((await sending.exited).code, 0);
    await until('all alerts at the client', () => follower.frames.length >= expected.length);
    figures['connections'] = follower.connections();
    expectSame(follower.resyncs(), 0);
    expectSame((await serving.end()).code, 0);
    compareAlerts(figures, follower.alerts(), expected);
  } finally {
    follower.close();
  }
});

describe('records that the stream no longer has (R7, R8)', () => {
  const voice = (id: string): { subject: string; body: string } => ({
    subject: 'usage.0.voice',
    body: JSON.stringify(callRecord(id)),
  });
  const voices = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => voice(`${prefix}${at}`));
  const manage = async (work: (jsm: JetStreamManager) => Promise<unknown>): Promise<void> => {
    const nc = await connect({ servers: broker.url });
    await work(await jetstreamManager(nc));
    await nc.close();
  };
  const allowed = 'allowDataLoss: true\n';
  const rules = copyRules(freshPath('rules'), 'fraud/long-call');

  /** A serve that has taken ten records and ended in order; what follows happens while it is away. */
  const served = async (): Promise<void> => {
    const serving = await startServe({ nats: broker.url, data, rules });
    await send(broker.url, voices('a', 10));
    await taken(serving.ops, 10);
    expect((await serving.end()).code).toBe(0);
  };
  const refusal = async (): Promise<string> => {
    const { running, ready } = await tryServe({ nats: broker.url, data, rules });
    expect(ready).toBeUndefined();
    const { code, stderr } = await running.exited;
    expect(code, stderr).toBe(3);
    return stderr;
  };
  /** Serves with the gap allowed, records taken, and then without: the gap is behind it. */
  const goesOn = async (records: number): Promise<void> => {
    const serving = await startServe({ nats: broker.url, data, rules, config: allowed });
    await taken(serving.ops, records);
    await send(broker.url, voices('late', 1));
    await taken(serving.ops, records + 1);
    expect(serving.log()).toContain('records of the stream are lost');
    expect((await serving.end()).code).toBe(0);
    const again = await startServe({ nats: broker.url, data, rules });
    await send(broker.url, voices('later', 2));
    await taken(again.ops, 2);
    expect(await recordsTaken(again.ops)).toBe(2);
    expect((await again.end()).code).toBe(0);
  };

  fault('R7', 'stream made anew while serve is away', 3 * MINUTE_MS, async (figures) => {
    await served();
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    await send(broker.url, voices('b', 12));
    expect(await refusal()).toMatch(/^Stream USAGE was made anew on .*\n.*allow the gap in the configuration\.$/m);
    await goesOn(12);
    figures['noticed'] = 1;
  });

  fault('R8', 'stream purged beyond the checkpoint', 3 * MINUTE_MS, async (figures) => {
    await served();
    await send(broker.url, voices('b', 10));
    await manage((jsm) => jsm.streams.purge('USAGE', { seq: 16 }));
    expect(await refusal()).toMatch(/^Stream USAGE begins at 16, after position 11: 5 messages were removed/m);
    await goesOn(5);
    figures['gap counted'] = 5;
  });

  fault('R7', 'store of the broker rolled back', 3 * MINUTE_MS, async (figures) => {
    const earlier = freshPath('earlier');
    const serving = await startServe({ nats: broker.url, data, rules });
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
    figures['noticed'] = 1;
  });

  fault('R7', 'an allowed gap before the next record', 3 * MINUTE_MS, async (figures) => {
    await served();
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    const serving = await startServe({ nats: broker.url, data, rules, config: allowed });
    expect((await serving.end()).code).toBe(0);
    await send(broker.url, voices('b', 20));
    const again = await startServe({ nats: broker.url, data, rules });
    await taken(again.ops, 20);
    expect(await recordsTaken(again.ops)).toBe(20);
    figures['records'] = 20;
    expect((await again.end()).code).toBe(0);
  });

  fault('R7', 'stream made anew while it is read', 3 * MINUTE_MS, async (figures) => {
    const serving = await startServe({ nats: broker.url, data, rules });
    await send(broker.url, voices('a', 10));
    await taken(serving.ops, 10);
    await manage(async (jsm) => {
      await jsm.streams.delete('USAGE');
      await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    });
    const { code, stderr } = await serving.exited;
    expect(code).toBe(3);
    expect(stderr).toContain('Stream USAGE was made anew');
    figures['exit code'] = 3;
  });
});
