/**
 * What becomes of bad input, from the socket to the dead-letter stream, in a real `serve`: the decoder's own tables are in
 * decode.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { encode } from '@msgpack/msgpack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { UsageResult } from '../src/http/schemas.ts';
import { BODY_BYTES_MAX } from '../src/http/server.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { callRecord } from './call-record.ts';
import {
  countIn,
  endProcesses,
  rulesVersion,
  type Serving,
  type StoredMessage,
  scrape,
  send,
  startServe,
  storedIn,
  taken,
  temporaryFolder,
  until,
} from './serving.ts';

const NOW = Date.now();
const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;
const MEBIBYTE = 1024 * 1024;

type Raw = Record<string, unknown>;
let ids = 0;
const voice = (more: Raw = {}): Raw => callRecord(`r${ids++}`, { eventTime: NOW, ...more });
const without = (field: string): Raw => {
  const { [field]: _, ...rest } = voice();
  return rest;
};
/** Text put into the place of `"?"`, for what JSON.stringify cannot write. */
const voiceText = (field: string, text: string): string =>
  JSON.stringify(voice({ [field]: '?' })).replace('"?"', () => text);

/** `{"a":{"a":...}}` of so many levels. */
const deepText = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const deepMessagePack = (levels: number): Uint8Array => {
  const level = Buffer.from([0x81, 0xa1, 0x61]);
  return Buffer.concat([...Array.from({ length: levels }, () => level), Buffer.from([0x01])]);
};

/** One bad record as text; what MessagePack says otherwise is in the table below. */
const badRecords: [what: string, text: string, reason: string, field: string][] = [
  ['a missing id', JSON.stringify(without('recordId')), 'schema', 'recordId'],
  ['a missing time', JSON.stringify(without('eventTime')), 'schema', 'eventTime'],
  ['a missing field of its type', JSON.stringify(without('durationSec')), 'schema', 'durationSec'],
  ['an unknown type', JSON.stringify(voice({ recordType: 'mms' })), 'unknownType', 'recordType'],
  ['a type that is no text', JSON.stringify(voice({ recordType: 7 })), 'schema', 'recordType'],
  ['a number as text', JSON.stringify(voice({ durationSec: '60' })), 'schema', 'durationSec'],
  ['a text as number', JSON.stringify(voice({ servedMsisdn: 8613900000001 })), 'schema', 'servedMsisdn'],
  ['a negative duration', JSON.stringify(voice({ durationSec: -1 })), 'schema', 'durationSec'],
  ['a huge number', JSON.stringify(voice({ charge: 1e300 })), 'schema', 'charge'],
  ['a number beyond all', voiceText('charge', '1e999'), 'schema', 'charge'],
  ['a huge number in a field of no meaning', JSON.stringify(voice({ x: { y: [1e16] } })), 'schema', 'x.y.0'],
  ['the year 1970', JSON.stringify(voice({ eventTime: 0 })), 'schema', 'eventTime'],
  ['the year 1970 in words', JSON.stringify(voice({ eventTime: '1970-01-01T00:00:00Z' })), 'schema', 'eventTime'],
  ['the year 2106', JSON.stringify(voice({ eventTime: 4_294_967_295_000 })), 'future', 'eventTime'],
  ['an hour ahead', JSON.stringify(voice({ eventTime: NOW + 3_600_000 })), 'future', 'eventTime'],
  ['__proto__', voiceText('__proto__', '{"recordId":"p"}'), 'schema', '__proto__'],
  ['constructor, deep inside', JSON.stringify(voice({ x: { constructor: 1 } })), 'schema', 'x.constructor'],
  ['a text of a megabyte', JSON.stringify(voice({ cellId: 'x'.repeat(MEBIBYTE) })), 'tooLarge', 'cellId'],
  ['a record of a megabyte', JSON.stringify(voice({ x: Array(300).fill('y'.repeat(3_500)) })), 'tooLarge', ''],
  ['10,000 levels', voiceText('x', deepText(10_000)), 'schema', 'x.a.a.a.a.a.a.a'],
  ['half a surrogate pair', voiceText('cellId', '"\\ud800"'), 'schema', 'cellId'],
  ['an array for a record', '[[1]]', 'schema', ''],
];

/** Messages that are no records at all. */
const badMessages: [what: string, bytes: Uint8Array][] = [
  ['no bytes', new Uint8Array()],
  ['white space', Buffer.from(' \n\n ')],
  ['zeros', new Uint8Array(64)],
  ['a byte that MessagePack never uses', Buffer.from([0xc1])],
  ['noise', Buffer.concat([Buffer.from([0xff]), randomBytes(2_000)])],
  ['JSON cut short', Buffer.from(JSON.stringify(voice()).slice(0, -2))],
  ['NaN in JSON', Buffer.from(voiceText('durationSec', 'NaN'))],
  ['text that is not UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
  ['MessagePack cut short', encode(voice()).subarray(0, -3)],
  ['MessagePack with bytes behind it', Buffer.concat([encode(voice()), Buffer.from([0xc1])])],
  ['an array that claims four thousand million records', Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])],
  ['a map that claims as many fields', Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff])],
  ['10,000 opening brackets', Buffer.from('['.repeat(10_000))],
];

/** What only MessagePack can say; the body of the dead letter is JSON. */
const badMessagePacks: [what: string, bytes: Uint8Array, reason: string, field: string, body: Raw | undefined][] = (
  [
    ['NaN', voice({ durationSec: Number.NaN }), 'schema', 'durationSec', { durationSec: 'NaN' }],
    ['infinity', voice({ charge: -Infinity }), 'schema', 'charge', { charge: '-Infinity' }],
    ['bytes for text', voice({ cellId: new Uint8Array([1, 2]) }), 'schema', 'cellId', { cellId: 'AQI=' }],
    ['an integer of 64 bits', voice({ bytesUp: 2 ** 53 }), 'schema', 'bytesUp', { bytesUp: 2 ** 53 }],
  ] as [string, Raw, string, string, Raw][]
).map(([what, raw, reason, field, body]) => [what, encode(raw), reason, field, { ...raw, ...body }]);
badMessagePacks.push(['10,000 levels', deepMessagePack(10_000), 'schema', '', undefined]);

interface Expected {
  what: string;
  message: Uint8Array;
  contentType: string;
  /** Good records beside the bad one. */
  good: number;
  reason: string;
  field: string;
  /** Of the dead letter; undefined where it is not compared. */
  body: Uint8Array | undefined;
}

const table: Expected[] = [
  ...badRecords.flatMap(([what, text, reason, field]): Expected[] => {
    const neighbour = (): string => JSON.stringify(voice());
    const forms: [form: string, contentType: string, good: number, message: string][] = [
      ['JSON', 'application/json', 0, text.startsWith('[') ? `[${text}]` : text],
      ['JSON array', 'application/json', 2, `[${neighbour()}, ${text} ,${neighbour()}]`],
      ['NDJSON', 'application/x-ndjson', 2, `${neighbour()}\n${text}\n\n${neighbour()}\n`],
    ];
    return forms.map(([form, contentType, good, message]) => ({
      what: `${what}, ${form}`,
      message: Buffer.from(message),
      contentType,
      good,
      reason,
      field,
      body: Buffer.from(text),
    }));
  }),
  ...badMessages.map(([what, message]) => ({
    what,
    message,
    contentType: [0x7b, 0x5b, 0x20].includes(message[0] ?? 0) ? 'application/json' : 'application/msgpack',
    good: 0,
    reason: 'malformed',
    field: '',
    body: message,
  })),
  ...badMessagePacks.map(([what, message, reason, field, body]) => ({
    what: `${what}, MessagePack`,
    message,
    contentType: 'application/msgpack',
    good: 0,
    reason,
    field,
    body: body && Buffer.from(JSON.stringify(body)),
  })),
];

const folder = temporaryFolder();
let broker: Broker;
let serving: Serving;
beforeAll(async () => {
  broker = await startBroker({ maxPayloadBytes: MESSAGE_BYTES_MAX });
  serving = await startServe({ nats: broker.url, data: folder.path });
});
afterAll(async () => {
  await endProcesses();
  await broker.stop();
  folder.remove();
});

/** What the tables are compared with: everything that a dead letter says beside its body. */
const verdict = (letter: StoredMessage | undefined): string[] => [
  letter?.subject ?? 'no dead letter',
  ...['Reason', 'Field', 'Source-Subject'].map((name) => letter?.header(`Ringfence-${name}`) ?? ''),
];
const counts = async (): Promise<{ applied: number; duplicate: number; rejected: number }> => {
  const metrics = await scrape(serving.ops);
  const of = (result: string): number => metrics.value('ringfence_records_total', { result });
  return { applied: of('applied'), duplicate: of('duplicate'), rejected: of('rejected') };
};
const total = ({ applied, duplicate, rejected }: Awaited<ReturnType<typeof counts>>): number =>
  applied + duplicate + rejected;
const letters = (): Promise<StoredMessage[]> => storedIn(broker.url, 'DEADLETTER');
/** Whether the body is the expected one, as a word that shows in the difference; the bodies themselves are long. */
const bodyVerdict = (letter: StoredMessage | undefined, body: Uint8Array | undefined): string =>
  letter === undefined || (body !== undefined && Buffer.compare(letter.bytes, body) !== 0)
    ? 'another body'
    : 'its body';

test('bad records over NATS: each is in the dead-letter stream, and every good one is applied', async () => {
  const before = await counts();
  const messages = table.flatMap(({ message }) => [message, Buffer.from(JSON.stringify(voice()))]);
  await send(
    broker.url,
    messages.map((body) => ({ subject: 'usage.0.voice', body })),
  );
  const good = table.reduce((sum, row) => sum + row.good + 1, 0);
  await taken(serving.ops, total(before) + good + table.length);
  expect(await counts()).toEqual({
    ...before,
    applied: before.applied + good,
    rejected: before.rejected + table.length,
  });

  await until('all dead letters', async () => (await countIn(broker.url, 'DEADLETTER')) >= table.length);
  const stored = await letters();
  expect(stored).toHaveLength(table.length);
  const bySequence = new Map(stored.map((letter) => [Number(letter.header('Ringfence-Source-Seq')), letter]));
  // The stream was empty and each bad message is followed by a good one.
  const found = table.map(({ what, body }, row) => {
    const letter = bySequence.get(2 * row + 1);
    return [what, ...verdict(letter), bodyVerdict(letter, body)];
  });
  expect(found).toEqual(
    table.map(({ what, reason, field }) => [what, `deadletter.${reason}`, reason, field, 'usage.0.voice', 'its body']),
  );
});

test('bad records over HTTP: the sender is told, and each is in the dead-letter stream', async () => {
  const before = await counts();
  const storedBefore = (await letters()).length;
  const rows = table.filter(({ message }) => message.length > 0 && message.length <= BODY_BYTES_MAX);
  expect(rows.length).toBeGreaterThan(50);
  const answers: unknown[] = [];
  for (const { what, message, contentType } of rows) {
    const response = await fetch(`${serving.http}/v1/usage`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: Buffer.from(message),
    });
    const { accepted, rejected, errors } = (await response.json()) as UsageResult;
    answers.push([what, response.status, accepted, rejected, errors?.map(({ reason, field }) => [reason, field])]);
  }
  expect(answers).toEqual(
    rows.map(({ what, good, reason, field }) => [what, good > 0 ? 202 : 400, good, 1, [[reason, field]]]),
  );

  const stored = (await letters()).slice(storedBefore);
  expect(stored.map((letter, at) => [...verdict(letter), bodyVerdict(letter, rows[at]?.body)])).toEqual(
    rows.map(({ reason, field }) => [`deadletter.${reason}`, reason, field, 'http', 'its body']),
  );
  expect(stored.every((letter) => letter.header('Ringfence-Source-Seq') === '')).toBe(true);
  const good = rows.reduce((sum, row) => sum + row.good, 0);
  await taken(serving.ops, total(before) + good + rows.length);
  // They are those that came over NATS already.
  const duplicate = before.duplicate + good;
  expect(await counts()).toEqual({ ...before, duplicate, rejected: before.rejected + rows.length });
});

test.each([
  ['a body of more than a megabyte', Buffer.from(JSON.stringify(voice({ cellId: 'x'.repeat(MEBIBYTE) }))), 413],
  ['an empty body', Buffer.alloc(0), 400],
])('%s over HTTP is refused as a whole', async (_what, body, status) => {
  const storedBefore = (await letters()).length;
  const response = await fetch(`${serving.http}/v1/usage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  expect(response.status).toBe(status);
  expect(await letters()).toHaveLength(storedBefore);
});

test('a bad message as large as the server takes is cut, and says by how much', async () => {
  const storedBefore = (await letters()).length;
  const message = Buffer.alloc(MESSAGE_BYTES_MAX, 0xc1);
  await send(broker.url, [{ subject: 'usage.0.unknown', body: message }]);
  await until('the dead letter', async () => (await countIn(broker.url, 'DEADLETTER')) > storedBefore);
  const letter = (await letters()).at(-1)!;
  expect(verdict(letter)).toEqual(['deadletter.malformed', 'malformed', '', 'usage.0.unknown']);
  expect(letter.bytes.length + Number(letter.header('Ringfence-Truncated'))).toBe(MESSAGE_BYTES_MAX);
  expect(letter.bytes.length).toBeGreaterThan(MESSAGE_BYTES_MAX - 4_096);
});

describe('control messages that nobody of ours wrote', () => {
  const record = (): Uint8Array => Buffer.from(JSON.stringify(voice()));
  const ruleSet = (content: unknown): Uint8Array => gzipSync(JSON.stringify(content));
  test.each<[what: string, subject: string, body: Uint8Array, reason: string]>([
    ['a record on the subject of ticks', 'usage.0.tick', record(), 'schema'],
    ['records on the subject of ticks', 'usage.0.tick', Buffer.from(`[${record()},${record()}]`), 'schema'],
    ['noise on the subject of ticks', 'usage.0.tick', Buffer.from([0xff, 0x00]), 'schema'],
    ['a tick without bytes', 'usage.0.tick', new Uint8Array(), 'schema'],
    ['a record on the subject of parts', 'usage.0.part', record(), 'schema'],
    ['noise on the subject of parts', 'usage.0.part', gzipSync('part'), 'schema'],
    ['a record on the subject of rules', 'usage.0.rules', record(), 'malformed'],
    ['a record on the subject of announcements', 'usage.0.prepare', record(), 'malformed'],
    ['rules that are not compressed', 'usage.0.rules', Buffer.from('{"version":"1","files":[]}'), 'malformed'],
    ['rules without bytes', 'usage.0.rules', new Uint8Array(), 'malformed'],
    ['rules that are no JSON', 'usage.0.rules', gzipSync('rules'), 'malformed'],
    ['rules of nothing', 'usage.0.rules', ruleSet(null), 'malformed'],
    ['rules without files', 'usage.0.rules', ruleSet({ version: '1' }), 'malformed'],
    ['rules in files without text', 'usage.0.rules', ruleSet({ version: '1', files: [{ file: 'a' }] }), 'malformed'],
    ['rules that unpack to 128 MB', 'usage.0.rules', gzipSync(Buffer.alloc(128 * MEBIBYTE)), 'malformed'],
    [
      'rules with a wrong rule',
      'usage.0.rules',
      ruleSet({ version: '1', files: [{ file: 'fraud/a.yaml', text: 'id: 5' }] }),
      'schema',
    ],
  ])('%s go to the dead-letter stream and change nothing', async (_what, subject, body, reason) => {
    const version = (): Promise<string> => rulesVersion(serving.ops);
    const versionBefore = await version();
    const before = await counts();
    const storedBefore = (await letters()).length;
    await send(broker.url, [
      { subject, body },
      { subject: 'usage.0.voice', body: JSON.stringify(voice()) },
    ]);
    await until('the next record', async () => (await counts()).applied > before.applied);
    await until('the dead letter', async () => (await countIn(broker.url, 'DEADLETTER')) > storedBefore);
    const stored = (await letters()).slice(storedBefore);
    expect(stored.map(verdict)).toEqual([[`deadletter.${reason}`, reason, '', subject]]);
    expect(bodyVerdict(stored[0], body)).toBe('its body');
    expect(await counts()).toEqual({ ...before, applied: before.applied + 1, rejected: before.rejected + 1 });
    expect(await version()).toBe(versionBefore);
  });
});

test('a subject that only ends like that of a control message is one of records', async () => {
  const before = await counts();
  const subjects = ['usage.0.voice.tick', 'usage.0.x.part', 'usage.x.rules', 'usage.tick'];
  await send(
    broker.url,
    subjects.map((subject) => ({ subject, body: JSON.stringify(voice()) })),
  );
  await taken(serving.ops, total(before) + subjects.length);
  expect(await counts()).toEqual({ ...before, applied: before.applied + subjects.length });
});

test('what a message says that it is counts for more than its first byte', async () => {
  const before = await counts();
  const storedBefore = (await letters()).length;
  const text = JSON.stringify(voice());
  const rows: [contentType: string, body: Uint8Array | string, applied: number][] = [
    ['application/json', JSON.stringify([voice(), voice()]), 2],
    ['application/json; charset=utf-8', encode(voice()), 0],
    ['application/msgpack', encode([voice()]), 1],
    ['application/msgpack', text, 0],
    ['application/x-ndjson', `${JSON.stringify(voice())}\n${JSON.stringify(voice())}\n`, 2],
    // Of a form that is none of ours the first byte tells.
    ['text/plain', JSON.stringify(voice()), 1],
  ];
  await send(
    broker.url,
    rows.map(([contentType, body]) => ({ subject: 'usage.0.voice', contentType, body })),
  );
  const good = rows.reduce((sum, [, , applied]) => sum + applied, 0);
  const bad = rows.filter(([, , applied]) => applied === 0).length;
  await taken(serving.ops, total(before) + good + bad);
  expect(await counts()).toEqual({ ...before, applied: before.applied + good, rejected: before.rejected + bad });
  // A letter is counted before the broker has it.
  await until('the dead letters', async () => (await countIn(broker.url, 'DEADLETTER')) >= storedBefore + bad);
  const last = (await letters()).slice(storedBefore);
  expect(last.map(verdict)).toEqual(Array(bad).fill(['deadletter.malformed', 'malformed', '', 'usage.0.voice']));
});
