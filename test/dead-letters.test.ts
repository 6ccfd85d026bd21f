/** Rejected records as a person works on them: the list, the letter, the replay that counts once. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encode } from '@msgpack/msgpack';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decodeMessage } from '../src/record/decode.ts';
import { createDeadLetterSink, type DeadLetterSink } from '../src/sinks/dead-letter.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { type DeadLetters, matchesSubject, openDeadLetters } from '../src/source/dead-letters.ts';
import { ensureStreams, partitionOf } from '../src/source/streams.ts';
import { callRecord } from './call-record.ts';
import { natsServers } from './nats-servers.ts';
import {
  copyRules,
  countIn,
  endProcesses,
  ringfence,
  run,
  scrape,
  send,
  startServe,
  storedIn,
  taken,
  temporaryFolder,
  until,
} from './serving.ts';

const NOW = Date.now();
const folder = temporaryFolder();
const rules = copyRules(join(folder.path, 'rules'), 'fraud/long-call');
afterAll(() => folder.remove());

type Raw = Record<string, unknown>;
const voice = (recordId: string, more: Raw = {}): Raw => callRecord(recordId, { eventTime: NOW, ...more });
const bytesOf = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

describe.each(natsServers)('dead letters on $name', ({ binary }) => {
  let broker: Broker;
  let nc: NatsConnection;
  let sink: DeadLetterSink;
  let deadLetters: DeadLetters;
  const partitions = 2;
  beforeEach(async () => {
    broker = await startBroker(binary === undefined ? {} : { binary });
    nc = await connect({ servers: broker.url });
    await ensureStreams(nc, { partitions, retentionDays: { usage: 35, alerts: 400, deadletter: 90 } });
    const js = jetstream(nc);
    const jsm = await jetstreamManager(nc);
    sink = createDeadLetterSink(js, jsm);
    deadLetters = openDeadLetters({ nc, js, jsm, partitions });
  });
  afterEach(async () => {
    await sink.close();
    await nc.close();
    await broker.stop();
  });

  /** Rejects a message as the engine does. */
  const reject = async (body: Uint8Array, subject: string, sequence?: number): Promise<void> => {
    const { rejections } = decodeMessage(body, { eventTimeMax: NOW + 600_000 });
    expect(rejections.length).toBeGreaterThan(0);
    for (const rejection of rejections) {
      sink.publish(rejection, { subject, ...(sequence !== undefined && { sequence }) });
      await sink.drained();
    }
  };
  const usage = async (): Promise<{ subject: string; ids: string[]; replayOf: string }[]> => {
    const stored = [...(await storedIn(broker.url, 'USAGE_0')), ...(await storedIn(broker.url, 'USAGE_1'))];
    return stored.map(({ subject, bytes, header }) => ({
      subject,
      ids: decodeMessage(bytes, { eventTimeMax: NOW + 600_000 }).records.map(({ recordId }) => recordId),
      replayOf: header('Ringfence-Replay-Of'),
    }));
  };

  test('are listed newest first, in pages, by reason, source and time', async () => {
    const bodies: [Uint8Array, string, number | undefined][] = [
      [bytesOf('{"broken'), 'usage.0.voice', 7],
      [bytesOf(voice('a', { durationSec: -1 })), 'usage.1.batch', 9],
      [bytesOf(voice('b', { recordType: 'mms' })), 'http', undefined],
      [bytesOf(voice('c', { durationSec: -1 })), 'http', undefined],
    ];
    for (const [body, subject, sequence] of bodies) await reject(body, subject, sequence);
    const all = await deadLetters.list({}, { limit: 10 });
    expect(
      all.letters.map(({ seq, reason, field, sourceSubject, sourceSeq }) => [
        seq,
        reason,
        field,
        sourceSubject,
        sourceSeq,
      ]),
    ).toEqual([
      [4, 'schema', 'durationSec', 'http', null],
      [3, 'unknownType', 'recordType', 'http', null],
      [2, 'schema', 'durationSec', 'usage.1.batch', 9],
      [1, 'malformed', '', 'usage.0.voice', 7],
    ]);
    expect(all.letters.map(({ bytes }) => bytes)).toEqual(bodies.map(([body]) => body.length).reverse());
    expect(all.next).toBeNull();

    const pages: number[][] = [];
    for (let before: number | undefined, more = true; more; ) {
      const { letters, next } = await deadLetters.list({}, { limit: 3, before });
      pages.push(letters.map(({ seq }) => seq));
      more = next !== null;
      before = next ?? undefined;
    }
    expect(pages).toEqual([[4, 3, 2], [1]]);

    const found = async (filter: Parameters<DeadLetters['list']>[0]): Promise<number[]> =>
      (await deadLetters.list(filter, { limit: 10 })).letters.map(({ seq }) => seq);
    const times = all.letters.map(({ storedAt }) => storedAt);
    expect(await found({ reason: 'schema' })).toEqual([4, 2]);
    expect(await found({ reason: 'future' })).toEqual([]);
    expect(await found({ subject: 'http' })).toEqual([4, 3]);
    expect(await found({ subject: 'usage.*.batch' })).toEqual([2]);
    expect(await found({ subject: 'usage.>', reason: 'malformed' })).toEqual([1]);
    expect(await found({ from: times[0]! + 1 })).toEqual([]);
    expect(await found({ to: times[3]! })).toEqual([]);
    expect(await found({ from: times[3]!, to: times[0]! + 1 })).toEqual([4, 3, 2, 1]);
  });

  test('that match are found however many others lie between them', async () => {
    await reject(bytesOf('{"first'), 'http');
    for (let at = 0; at < 6_000; at++) {
      sink.publish(
        { index: 0, reason: 'schema', field: 'x', detail: '', recordId: '', body: bytesOf('{}') },
        { subject: 'usage.0.voice', sequence: at + 1 },
      );
      if (at % 500 === 0) await sink.room();
    }
    await sink.drained();
    await reject(bytesOf('{"last'), 'http');
    const sparse = await deadLetters.list({ reason: 'malformed' }, { limit: 10 });
    expect(sparse.letters.map(({ seq }) => seq)).toEqual([6_002, 1]);
    expect(sparse.next).toBeNull();
    const bySubject = await deadLetters.list({ subject: 'http' }, { limit: 10 });
    expect(bySubject.letters.map(({ seq }) => seq)).toEqual([6_002, 1]);
  });

  test('are replayed once, to the partition and subject of the record, and say so', async () => {
    await reject(bytesOf(voice('ahead', { eventTime: NOW + 86_400_000 })), 'usage.0.voice', 1);
    // What is ahead of the clock today is not tomorrow: the letter is as good as one that was corrected.
    const before = await deadLetters.replay(1);
    expect(before).toMatchObject({ kind: 'refused', errors: [{ reason: 'future' }] });
    expect(await usage()).toEqual([]);

    const corrected = bytesOf(voice('ahead'));
    const first = await deadLetters.replay(1, { body: corrected, at: 1_000, by: 'a.turing' });
    const subject = `usage.${partitionOf('8613900000001', partitions)}.voice`;
    const replay = { at: 1_000, corrected: true, records: 1, by: 'a.turing', messages: [{ subject, seq: 1 }] };
    expect(first).toEqual({ kind: 'replayed', duplicate: false, replay });
    expect(await deadLetters.replay(1, { body: bytesOf(voice('another')) })).toEqual({
      kind: 'replayed',
      duplicate: true,
      replay,
    });
    expect(await usage()).toEqual([{ subject, ids: ['ahead'], replayOf: '1' }]);
    expect((await deadLetters.get(1))?.replay).toEqual(replay);
    // The mark is no letter.
    const { letters } = await deadLetters.list({}, { limit: 10 });
    expect(letters.map(({ seq, replay: listed }) => [seq, listed])).toEqual([[1, replay]]);
    expect(await deadLetters.get(2)).toBeUndefined();
    expect(await deadLetters.replay(2)).toEqual({ kind: 'missing' });
  });

  test('are replayed once even where the mark was not written any more', async () => {
    await reject(bytesOf(voice('x', { durationSec: -1 })), 'http');
    const body = bytesOf(voice('x'));
    // Two at once look for the mark before either has written it: what a crash between the two leaves.
    const both = await Promise.all([deadLetters.replay(1, { body }), deadLetters.replay(1, { body })]);
    expect(both.map((result) => result.kind === 'replayed' && result.duplicate).sort()).toEqual([false, true]);
    expect((await usage()).map(({ ids }) => ids)).toEqual([['x']]);
  });

  test('of a whole message are replayed as the records that were meant, each to its partition', async () => {
    const numbers = ['8613900000001', '8613900000002', '8613900000003', '8613900000004'];
    const records = numbers.map((servedMsisdn, at) => voice(`m${at}`, { servedMsisdn }));
    const lines = records.map((record) => JSON.stringify(record)).join('\n');
    await reject(bytesOf(lines.slice(1)), 'usage.0.batch', 3);
    for (const [body, contentType] of [
      [bytesOf(lines), undefined],
      [bytesOf(lines), 'application/x-ndjson'],
      [encode(records), undefined],
    ] as const) {
      expect(deadLetters.check(body, contentType)).toEqual([]);
    }
    expect(await deadLetters.replay(1, { body: encode(records) })).toMatchObject({ duplicate: false });
    const expected = numbers.map((servedMsisdn, at) => [`m${at}`, partitionOf(servedMsisdn, partitions)]);
    const found = (await usage()).flatMap(({ subject, ids }) => ids.map((id) => [id, Number(subject.split('.')[1])]));
    expect(found.sort()).toEqual(expected);
  });

  test('that were cut are replayed with a whole body only', async () => {
    const body = bytesOf(voice('cut'));
    sink.publish(
      { index: 0, reason: 'malformed', field: '', detail: '', recordId: '', body: new Uint8Array(2 * 1024 * 1024) },
      { subject: 'usage.0.voice', sequence: 1 },
    );
    await sink.drained();
    const { truncatedBytes } = (await deadLetters.get(1))!;
    expect(truncatedBytes).toBeGreaterThan(1024 * 1024);
    expect(await deadLetters.replay(1)).toEqual({ kind: 'truncated', truncatedBytes });
    expect(await deadLetters.replay(1, { body })).toMatchObject({ kind: 'replayed', duplicate: false });
  });
});

test.each([
  ['usage.0.voice', 'usage.0.voice', true],
  ['usage.0.voice', 'usage.*.voice', true],
  ['usage.0.voice', 'usage.>', true],
  ['usage.0.voice', '>', true],
  ['usage.0.voice', '*', false],
  ['usage.0.voice', 'usage.0.voice.>', false],
  ['usage.0.voice', 'usage.0', false],
  ['usage.0', 'usage.0.voice', false],
  ['http', 'http', true],
  ['http', 'usage.>', false],
  ['usage.0.v', 'usage.>.v', false],
])('source %s, asked for %s: %s', (subject, pattern, matches) => {
  expect(matchesSubject(subject, pattern)).toBe(matches);
});

describe('the command line', () => {
  let broker: Broker;
  beforeEach(async () => {
    broker = await startBroker();
  });
  afterEach(async () => {
    await endProcesses();
    await broker.stop();
  });
  const deadletter = (...args: string[]) => run(['deadletter', ...args, '--nats', broker.url]);

  test('lists, shows, corrects and replays what a running engine rejected, and the record counts once', async () => {
    const serving = await startServe({ nats: broker.url, data: join(folder.path, 'cli'), rules });
    const bad = JSON.stringify(voice('fixed', { durationSec: -60, cellId: 'a\u001b[31m\u202e' }));
    const noise = Buffer.from([0xc1, 0x00, 0x1b, 0x5b]);
    await send(broker.url, [
      { subject: 'usage.0.voice', body: bad },
      { subject: 'usage.0.voice', body: noise },
    ]);
    await until('the dead letters', async () => (await countIn(broker.url, 'DEADLETTER')) === 2);

    const listed = await deadletter('list');
    expect(listed.code, listed.stderr).toBe(0);
    expect(
      listed.stdout.split('\n').map((line) =>
        line
          .trim()
          .split(/\s{2,}/)
          .slice(2, 5),
      ),
    ).toEqual([
      ['reason', 'field', 'source'],
      ['malformed', 'usage.0.voice 2', '4'],
      ['schema', 'durationSec', 'usage.0.voice 1'],
      [],
    ]);
    const json = await deadletter('list', '--reason', 'schema', '--output', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject([
      { seq: 1, reason: 'schema', bytes: Buffer.byteLength(bad), replay: null },
    ]);

    const shown = await deadletter('show', '1');
    expect(shown.code, shown.stderr).toBe(0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape itself must not be there
    expect(shown.stdout).not.toMatch(/[\u001b\u202e]/);
    expect(shown.stdout).toContain('reason   schema in durationSec');
    expect(shown.stdout).toContain('  Ringfence-Source-Subject: usage.0.voice');
    expect(shown.stdout).toContain('A replay as it is would be rejected again:');
    expect(shown.stdout).toContain('\\u{202e}');
    const shownNoise = await deadletter('show', '2');
    expect(shownNoise.stdout).toContain('00000000  c1 00 1b 5b                                      ...[');
    expect(JSON.parse((await deadletter('show', '2', '--output', 'json')).stdout)).toMatchObject({
      seq: 2,
      body: { text: null, base64: noise.toString('base64') },
      errors: [{ reason: 'malformed' }],
    });
    expect((await deadletter('show', '1', '--raw')).stdout).toBe(bad);

    const again = await deadletter('replay', '1', '2');
    expect([again.code, again.stdout]).toEqual([1, '']);
    expect(again.stderr).toMatch(
      /^1: it would be rejected again, nothing was sent:\n {2}record 0: schema in durationSec/,
    );
    const file = join(folder.path, 'fixed.json');
    writeFileSync(file, bad.replace('-60', '60'));
    const replayed = await deadletter('replay', '1', '--body', file);
    expect([replayed.code, replayed.stdout], replayed.stderr).toEqual([0, '1: 1 record to usage.0.voice 3\n']);
    await taken(serving.ops, 3);
    const second = await deadletter('replay', '1', '--body', file, '--output', 'json');
    expect([second.code, JSON.parse(second.stdout)]).toMatchObject([0, { seq: 1, kind: 'replayed', duplicate: true }]);
    expect((await scrape(serving.ops)).value('ringfence_records_total', { result: 'applied' })).toBe(1);
    expect((await deadletter('show', '1')).stdout).toMatch(/^replayed \S+Z, corrected: usage\.0\.voice 3$/m);
    expect((await serving.end()).code).toBe(0);
    expect(await countIn(broker.url, 'USAGE')).toBe(3);
  });

  test('takes the corrected body from standard input', async () => {
    const serving = await startServe({ nats: broker.url, data: join(folder.path, 'stdin'), rules });
    await send(broker.url, [{ subject: 'usage.0.voice', body: '{"broken' }]);
    await until('the dead letter', async () => (await countIn(broker.url, 'DEADLETTER')) === 1);
    const replay = ringfence(['deadletter', 'replay', '1', '--body', '-', '--nats', broker.url], {
      input: JSON.stringify(voice('stdin')),
    });
    expect(await replay.exited).toMatchObject({ code: 0, stdout: '1: 1 record to usage.0.voice 2\n' });
    await taken(serving.ops, 2);
    expect((await serving.end()).code).toBe(0);
  });

  test.each<[string, string[], number, RegExp]>([
    ['a letter that is not there', ['show', '99'], 1, /^There is no letter 99\.\n$/],
    ['a replay of it', ['replay', '99'], 1, /^99: there is no such letter\n$/],
    ['a sequence that is none', ['show', 'x'], 3, /^A letter is named by its sequence/],
    ['a reason that is none', ['list', '--reason', 'bad'], 3, /Allowed choices are malformed, schema/],
    ['a time that is none', ['list', '--from', 'yesterday'], 3, /^--from is epoch milliseconds or a time like/],
    ['a time without an offset', ['list', '--to', '2026-11-22T08:00:00'], 3, /^--to is epoch milliseconds/],
    ['a limit that is none', ['list', '--limit', '0'], 3, /^--limit is a whole number/],
    ['an output that is none', ['list', '--output', 'xml'], 3, /neither text nor json/],
    ['one body for two letters', ['replay', '1', '2', '--body', 'x'], 3, /^--body is for one letter\./],
    ['a body that is not there', ['replay', '1', '--body', '/nowhere/x'], 3, /^The body \/nowhere\/x cannot be read/],
  ])('says what is wrong with %s', async (_what, args, code, sentence) => {
    const nc = await connect({ servers: broker.url });
    await ensureStreams(nc, { partitions: 1, retentionDays: { usage: 35, alerts: 400, deadletter: 90 } });
    await nc.close();
    const exit = await deadletter(...args);
    expect([exit.code, exit.stdout], exit.stderr).toEqual([code, '']);
    expect(exit.stderr).toMatch(sentence);
  });

  test('says where no engine has ever run', async () => {
    const { code, stderr } = await deadletter('list');
    expect([code, stderr]).toEqual([3, expect.stringMatching(/^There is no stream USAGE on this NATS server\./)]);
  });
});
