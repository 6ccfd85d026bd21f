import { ExtData, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { parseDateTime } from '../src/record/date-time.ts';
import { type DecodedMessage, decodeMessage } from '../src/record/decode.ts';
import {
  ACCOUNT_EVENTS,
  CARE_REASONS,
  CAUSES_FOR_TERM,
  DECLINE_CODES,
  DIRECTIONS,
  EVENT_TIME_MIN,
  FIELDS,
  type FieldName,
  NEEDED_FIELDS,
  OUTCOMES,
  SMS_CLASSES,
  UsageRecordSchema,
} from '../src/record/schema.ts';
import { BLANK_RECORD, RECORD_TYPES, type RecordType, type UsageRecord } from '../src/record/usage-record.ts';
import { callRecord } from './call-record.ts';

const NOW = Date.UTC(2026, 5, 1);
const LATEST = NOW + 600_000;

type Raw = Record<string, unknown>;
const voice = (more: Raw = {}): Raw => callRecord('v1', { eventTime: NOW, durationSec: 60.5, ...more });
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const json = (value: unknown): Uint8Array => bytesOf(JSON.stringify(value));
const decode = (bytes: Uint8Array, contentType?: string): DecodedMessage =>
  decodeMessage(bytes, { eventTimeMax: LATEST, ...(contentType === undefined ? {} : { contentType }) });
const one = (raw: unknown): UsageRecord => {
  const { records, rejections } = decode(json(raw));
  expect(rejections).toEqual([]);
  return records[0];
};
const textOf = (body: Uint8Array): string => new TextDecoder().decode(body);
/** What a table compares: ids of the good records, and `reason field` of each bad one. */
const verdict = ({ records, rejections }: DecodedMessage): string => {
  const good = records.map(({ recordId }) => recordId);
  return [...good, ...rejections.map(({ index, reason, field }) => `${index}:${reason} ${field}`.trim())].join(', ');
};

describe('a record', () => {
  test('comes out in the shape of the engine, missing values as empty text and NaN', () => {
    expect(one(voice())).toEqual({
      ...BLANK_RECORD,
      recordId: 'v1',
      recordType: 'voice',
      eventTime: NOW,
      servedMsisdn: '8613900000001',
      direction: 'mo',
      otherNumber: '8613700000001',
      durationMs: 60_500,
    } satisfies UsageRecord);
  });

  test('keeps the same order of fields whatever its type and the order in which they came', () => {
    const reversed = Object.fromEntries(Object.entries(voice()).reverse());
    const care = { ...voice(), recordType: 'care', reason: 'billing', ticketId: 't' };
    const orders = [voice(), reversed, care].map((raw) => Object.keys(one(raw)).join());
    expect(new Set(orders).size).toBe(1);
  });

  test.each([
    // field        sent            field of the engine   value
    ['durationSec', 0.0005, 'durationMs', 1],
    ['durationSec', 13_200, 'durationMs', 13_200_000],
    ['charge', 0.1 + 0.2, 'chargeMicros', 300_000],
    ['charge', -1.234567, 'chargeMicros', -1_234_567],
    ['amount', 19.99, 'amountMicros', 19_990_000],
    ['balanceAfter', -0, 'balanceAfterMicros', 0],
    ['bytesUp', -0, 'bytesUp', 0],
    ['pddMs', -20, 'pddMs', -20],
    ['zeroRated', true, 'zeroRated', true],
    ['outcome', 'reversed', 'outcome', 'reversed'],
    ['accountId', '', 'accountId', ''],
    ['cellId', 'a\u0000b', 'cellId', 'a\u0000b'],
    ['dueTime', '2026-07-01T00:00:00+08:00', 'dueTime', Date.UTC(2026, 5, 30, 16)],
    ['eventTime', '2026-05-31T23:59:59.5Z', 'eventTime', NOW - 500],
  ] as const)('%s %j becomes %s %j', (name, sent, field, value) => {
    const text = JSON.stringify(voice()).replace(
      /}$/,
      `,"${name}":${Object.is(sent, -0) ? '-0' : JSON.stringify(sent)}}`,
    );
    expect(decode(bytesOf(text)).records[0][field]).toBe(value);
  });

  test('keeps attributes of account and care records only, times in milliseconds', () => {
    const attributes = { activatedAt: '2026-01-01T00:00:00Z', tier: null, dualSim: true, hobby: { chess: [1, 2] } };
    const account = { ...voice(), recordType: 'account', event: 'profile', attributes };
    expect(one(account).attributes).toEqual({ ...attributes, activatedAt: Date.UTC(2026, 0, 1) });
    expect(one(voice({ attributes })).attributes).toBeNull();
  });

  test('of type roamingFile has no subscriber', () => {
    const raw = { recordId: 'f', recordType: 'roamingFile', eventTime: NOW, servingPlmn: '26201', availableTime: NOW };
    expect(one(raw)).toMatchObject({ servedMsisdn: '', servingPlmn: '26201', availableTime: NOW });
    expect(one({ ...raw, servedMsisdn: '8613900000001' }).servedMsisdn).toBe('');
  });

  test('may hold fields that are not known', () => {
    const extra = { extra: [{ deep: null }], 'odd name\n': 1, toString: 'x', hasOwnProperty: 'y', valueOf: 1, '0': 2 };
    expect(one(voice(extra)).recordId).toBe('v1');
  });
});

/** `[[[...]]]` with that many levels. */
const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));

describe('one bad record', () => {
  test.each<[name: string, raw: unknown, verdict: string]>([
    ['null', null, '0:malformed'],
    ['a number', 5, '0:malformed'],
    ['no type', { ...voice(), recordType: undefined }, '0:schema recordType'],
    ['a type that is no string', voice({ recordType: 7 }), '0:schema recordType'],
    ['an unknown type', voice({ recordType: 'mms' }), '0:unknownType recordType'],
    [
      'an unknown type with a field of another meaning',
      { ...voice({ direction: 'north' }), recordType: 'mms' },
      '0:unknownType recordType',
    ],
    ['a type that objects inherit', voice({ recordType: 'toString' }), '0:unknownType recordType'],
    ['an empty id', voice({ recordId: '' }), '0:schema recordId'],
    ['an id of 128 characters', voice({ recordId: 'x'.repeat(128) }), 'x'.repeat(128)],
    ['an id of 129 characters', voice({ recordId: 'x'.repeat(129) }), '0:schema recordId'],
    ['an id of 128 characters beyond the basic plane', voice({ recordId: '😀'.repeat(128) }), '😀'.repeat(128)],
    ['an id of 129 characters beyond the basic plane', voice({ recordId: '😀'.repeat(129) }), '0:schema recordId'],
    ['four digits', voice({ servedMsisdn: '1234' }), '0:schema servedMsisdn'],
    ['five digits', voice({ servedMsisdn: '12345' }), 'v1'],
    ['fifteen digits', voice({ servedMsisdn: '123456789012345' }), 'v1'],
    ['sixteen digits', voice({ servedMsisdn: '1234567890123456' }), '0:schema servedMsisdn'],
    ['a number with a plus', voice({ servedMsisdn: '+8613900000001' }), '0:schema servedMsisdn'],
    ['a number that is a number', voice({ servedMsisdn: 8613900000001 }), '0:schema servedMsisdn'],
    ['the character behind 9', voice({ servedMsisdn: '1234:' }), '0:schema servedMsisdn'],
    ['the character before 0', voice({ servedMsisdn: '/2345' }), '0:schema servedMsisdn'],
    ['a network of four digits', voice({ servingPlmn: '4600' }), '0:schema servingPlmn'],
    ['a network of six digits', voice({ servingPlmn: '460001' }), 'v1'],
    ['a network of seven digits', voice({ servingPlmn: '4600011' }), '0:schema servingPlmn'],
    ['an Arabic digit', voice({ servedMsisdn: '861390000000٣' }), '0:schema servedMsisdn'],
    ['the other party with a plus', voice({ otherNumber: '+8613700000001' }), '0:schema otherNumber'],
    ['a sender that begins with a plus', voice({ otherNumber: '+Plus' }), 'v1'],
    ['a withheld number', voice({ otherNumber: '' }), 'v1'],
    ['an unknown direction', voice({ direction: 'MO' }), '0:schema direction'],
    ['null where a string belongs', voice({ cellId: null }), '0:schema cellId'],
    ['a negative duration', voice({ durationSec: -1 }), '0:schema durationSec'],
    ['a duration in words', voice({ durationSec: '60' }), '0:schema durationSec'],
    ['a fraction of a byte', voice({ bytesUp: 0.5 }), '0:schema bytesUp'],
    ['negative bytes', voice({ bytesDown: -1 }), '0:schema bytesDown'],
    ['a partial record 0', voice({ partial: 0 }), '0:schema partial'],
    ['1e15', voice({ charge: 1e15 }), 'v1'],
    ['more than 1e15', voice({ charge: 1.1e15 }), '0:schema charge'],
    ['a huge number in a field that is not known', voice({ x: { y: [1e16] } }), '0:schema x.y.0'],
    ['a boolean in words', voice({ zeroRated: 'true' }), '0:schema zeroRated'],
    ['an unknown reason', { ...voice(), recordType: 'care', reason: 'boredom', ticketId: 't' }, '0:schema reason'],
    ['an unknown event', { ...voice(), recordType: 'account', event: 'moved', attributes: {} }, '0:schema event'],
    [
      'attributes in an array',
      { ...voice(), recordType: 'account', event: 'profile', attributes: [] },
      '0:schema attributes',
    ],
    ['an attribute of the wrong type', voice({ attributes: { creditLimit: '5' } }), '0:schema attributes.creditLimit'],
    ['an unknown tier', voice({ attributes: { tier: 'gold' } }), '0:schema attributes.tier'],
    [
      'a day that does not exist',
      voice({ attributes: { promiseAt: '2026-02-29T00:00:00Z' } }),
      '0:schema attributes.promiseAt',
    ],
    ['a time of 1970', voice({ eventTime: 0 }), '0:schema eventTime'],
    ['a time in seconds', voice({ eventTime: Math.floor(NOW / 1000) }), '0:schema eventTime'],
    ['the last millisecond of 1999', voice({ eventTime: EVENT_TIME_MIN - 1 }), '0:schema eventTime'],
    ['the first millisecond of 2000', voice({ eventTime: EVENT_TIME_MIN }), 'v1'],
    ['1999 as text', voice({ eventTime: '1999-12-31T23:59:59Z' }), '0:schema eventTime'],
    ['a time without offset', voice({ eventTime: '2026-05-31T00:00:00' }), '0:schema eventTime'],
    ['a fraction of a millisecond', voice({ eventTime: NOW + 0.5 }), '0:schema eventTime'],
    ['the last time allowed', voice({ eventTime: LATEST }), 'v1'],
    ['a millisecond later', voice({ eventTime: LATEST + 1 }), '0:future eventTime'],
    ['2106', voice({ eventTime: Date.UTC(2106, 1, 7) }), '0:future eventTime'],
    ['a future in text', voice({ eventTime: '2026-06-01T00:10:00.001Z' }), '0:future eventTime'],
    ['a string of 4096 bytes', voice({ cellId: 'x'.repeat(4096) }), 'v1'],
    ['a string of 4097 bytes', voice({ cellId: 'x'.repeat(4097) }), '0:tooLarge cellId'],
    ['a string of 4098 bytes in 1366 characters', voice({ cellId: '漢'.repeat(1366) }), '0:tooLarge cellId'],
    ['a string of 4095 bytes in 1365 characters', voice({ cellId: '漢'.repeat(1365) }), 'v1'],
    ['a string of 1 MB', voice({ note: 'x'.repeat(1 << 20) }), '0:tooLarge note'],
    ['a long string deep inside', voice({ note: [{ x: 'x'.repeat(4097) }] }), '0:tooLarge note.0.x'],
    ['a long name', voice({ ['n'.repeat(4097)]: 1 }), `0:tooLarge ${'n'.repeat(128)}`],
    ['eight levels', voice({ x: nested(7) }), 'v1'],
    ['nine levels', voice({ x: nested(8) }), '0:schema x.0.0.0.0.0.0.0'],
    ['65,000 bytes', voice({ x: Array.from({ length: 16 }, () => 'x'.repeat(4050)) }), 'v1'],
    ['66,000 bytes', voice({ x: Array.from({ length: 17 }, () => 'x'.repeat(3880)) }), '0:tooLarge'],
    ['100 KB of small numbers', voice({ x: Array.from({ length: 50_000 }, () => 1) }), '0:tooLarge'],
    ['half of a surrogate pair', voice({ cellId: 'a\ud83d' }), '0:schema cellId'],
    ['half of a pair in an attribute', voice({ attributes: { x: '\udc00' } }), '0:schema attributes.x'],
    ['half of a pair in a name', voice({ '\ud83d': 1 }), '0:schema ?'],
    ['a whole pair in escapes', voice({ cellId: '\\u😀' }), 'v1'],
  ])('%s', (_name, raw, expected) => {
    expect(verdict(decode(json(raw)))).toBe(expected);
    // In a batch it is the same, and its neighbours do not suffer.
    if (raw === 5 || raw === null) return;
    const [a, b] = [voice({ recordId: 'a' }), voice({ recordId: 'b' })];
    const parts = expected.startsWith('0:') ? ['a', 'b', expected.replace('0:', '1:')] : ['a', expected, 'b'];
    expect(verdict(decode(json([a, raw, b])))).toBe(parts.join(', '));
  });

  test.each(['__proto__', 'constructor', 'prototype'])('the name %s at any level', (name) => {
    const text = JSON.stringify(voice()).slice(0, -1);
    expect(verdict(decode(bytesOf(`${text},"${name}":1}`)))).toBe(`0:schema ${name}`);
    expect(verdict(decode(bytesOf(`${text},"x":[{"${name}":{}}]}`)))).toBe(`0:schema x.0.${name}`);
    expect(verdict(decode(bytesOf(`${text},"attributes":{"${name}":{"a":1}}}`)))).toBe(`0:schema attributes.${name}`);
    expect(verdict(decode(bytesOf(`${text},"\\u005f${name.slice(1)}":1}`)))).toBe(
      name === '__proto__' ? '0:schema __proto__' : 'v1',
    );
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect('a' in {}).toBe(false);
  });

  test('a million levels of JSON, alone and in a batch', () => {
    const deep = `{"recordId":"deep","recordType":"voice","x":${'['.repeat(1e6)}${']'.repeat(1e6)}}`;
    const alone = decode(bytesOf(deep)).rejections[0];
    expect(alone).toMatchObject({ reason: 'schema', recordId: 'deep', recordType: 'voice' });
    const { records, rejections } = decode(bytesOf(`[${JSON.stringify(voice())}, ${deep}]`));
    expect(records).toHaveLength(1);
    expect(textOf(rejections[0].body)).toBe(deep);
  });

  test.each(RECORD_TYPES)('a %s record without a field that it needs', (type) => {
    const whole = rawOfType(type);
    expect(verdict(decode(json(whole)))).toBe('id');
    for (const name of NEEDED_FIELDS[type]) {
      const { rejections } = decode(json({ ...whole, [name]: undefined }));
      expect(rejections).toMatchObject([{ reason: 'schema', field: name, detail: `${name} is missing.` }]);
    }
  });

  test('is told in one sentence that names the field and no value', () => {
    const detail = (more: Raw): string => decode(json(voice(more))).rejections[0].detail;
    expect(detail({ durationSec: 'x' })).toBe('durationSec must be a finite number from 0 to 1e15.');
    expect(detail({ direction: 'x' })).toBe('direction must be one of mo, mt, forwarded.');
    expect(detail({ servedMsisdn: 'x' })).toBe('servedMsisdn must be a string that matches ^[0-9]{5,15}$.');
    expect(detail({ recordId: '' })).toBe('recordId must be a string of 1 to 128 characters.');
    expect(detail({ eventTime: 0 })).toBe(
      'eventTime must be a time from 2000-01-01 on: integer Unix epoch milliseconds, or RFC 3339 with an offset.',
    );
    expect(detail({ attributes: { contractEndAt: 'soon' } })).toBe(
      'attributes.contractEndAt must be a time: integer Unix epoch milliseconds, or RFC 3339 with an offset.',
    );
    expect(detail({ attributes: { tier: 'gold' } })).toBe('attributes.tier must be one of vip, standard.');
    expect(decode(bytesOf('{"a":"secret')).rejections[0].detail).not.toContain('secret');
  });

  test('has a path that is safe in a header', () => {
    const { field } = decode(json(voice({ 'a\r\nX-Evil: 1': { 漢: 1e300 } }))).rejections[0];
    expect(field).toBe('a??X-Evil??1.?');
  });

  test('says id and type where they can be known', () => {
    const of = (raw: Raw): unknown => {
      const { recordId, recordType } = decode(json(raw)).rejections[0];
      return [recordId, recordType];
    };
    expect(of(voice({ direction: 1 }))).toEqual(['v1', 'voice']);
    expect(of(voice({ recordType: 'mms' }))).toEqual(['v1', 'unknown']);
    expect(of(voice({ recordId: 'x'.repeat(300) }))).toEqual(['', 'voice']);
    expect(of(voice({ recordId: 5 }))).toEqual(['', 'voice']);
  });
});

describe('a message', () => {
  const good = (id: string): string => JSON.stringify(voice({ recordId: id }));
  const BAD = '{"recordId":"bad","recordType":"voice"}';
  const pretty = JSON.stringify([voice({ recordId: 'a' }), voice({ recordId: 'b' })], null, 2);

  test.each<[name: string, text: string, contentType: string | undefined, verdict: string]>([
    ['nothing', '', undefined, '0:malformed'],
    ['white space', ' \r\n\t', undefined, '0:malformed'],
    ['white space that is said to be JSON', '  ', 'application/json', '0:malformed'],
    ['white space that is said to be NDJSON', '\n\n', 'application/x-ndjson', '0:malformed'],
    ['an empty array', '[]', undefined, ''],
    ['one record', good('a'), undefined, 'a'],
    ['white space around it', ` \n ${good('a')} \n`, undefined, 'a'],
    ['a byte order mark', `\ufeff${good('a')}`, undefined, 'a'],
    ['an array', `[${good('a')},${good('b')}]`, undefined, 'a, b'],
    ['a good and a bad one', `[${BAD},${good('a')}]`, undefined, 'a, 0:schema eventTime'],
    [
      'elements that are no objects',
      `[1,"x",null,[${good('a')}],${good('b')}]`,
      undefined,
      'b, 0:schema, 1:schema, 2:schema, 3:schema',
    ],
    ['a string', '"text"', 'application/json', '0:schema'],
    ['plain text', 'not json at all', undefined, '0:malformed'],
    ['a cut record', good('a').slice(0, -5), undefined, '0:malformed'],
    ['garbage behind a record', `${good('a')} x`, undefined, '0:malformed'],
    ['two records on one line', `${good('a')}${good('b')}`, undefined, '0:malformed'],
    ['NaN', good('a').replace('60.5', 'NaN'), undefined, '0:malformed'],
    ['a number beyond double', good('a').replace('60.5', '1e999'), undefined, '0:schema durationSec'],
    ['a name twice: the last one counts', good('a').replace('{', '{"durationSec":-1,'), undefined, 'a'],
    ['NDJSON', `${good('a')}\n${good('b')}\n`, undefined, 'a, b'],
    ['NDJSON with CRLF and blank lines', `\r\n${good('a')}\r\n\r\n${good('b')}\r\n`, undefined, 'a, b'],
    ['NDJSON with a bad line', `${good('a')}\nnot json\n${good('b')}`, undefined, 'a, b, 1:malformed'],
    ['NDJSON with a bad first line', `{"recordId":\n${good('b')}`, undefined, 'b, 0:malformed'],
    ['NDJSON with a cut last line', `${good('a')}\n${good('b').slice(0, 30)}`, undefined, 'a, 1:malformed'],
    ['NDJSON with a bad record', `${good('a')}\n\n${BAD}`, undefined, 'a, 1:schema eventTime'],
    ['lines of which none is a record', 'x: 1\n{\n', undefined, '0:malformed'],
    ['an array in a line', `${good('a')}\n[${good('b')}]`, undefined, 'a, 1:schema'],
    ['one line that is said to be NDJSON', good('a'), 'application/x-ndjson; charset=utf-8', 'a'],
    ['bad lines that are said to be NDJSON', 'x\ny', 'application/x-ndjson', '0:malformed, 1:malformed'],
    ['NDJSON that is said to be JSON', `${good('a')}\n${good('b')}`, 'application/json', '0:malformed'],
    ['a content type in capitals', good('a'), 'Application/JSON', 'a'],
    ['a content type of others', good('a'), 'text/plain', 'a'],
    ['JSON that is said to be MessagePack', good('a'), 'application/msgpack', '0:malformed'],
    ['pretty-printed', pretty, undefined, 'a, b'],
    ['pretty-printed and cut', pretty.slice(0, -4), undefined, '0:malformed'],
    ['pretty-printed with a bad line', pretty.replace('"durationSec"', 'durationSec'), undefined, '0:malformed'],
    ['an array of lines, broken in one', `[\n${good('a')},\n{bad},\n${good('b')}\n]`, undefined, '0:malformed'],
    [
      'an object over lines, broken, one inner object whole',
      `{\n"attributes":\n{"a":1}\n,,}`,
      undefined,
      '0:malformed',
    ],
  ])('of %s', (_name, text, contentType, expected) => {
    expect(verdict(decode(bytesOf(text), contentType))).toBe(expected);
  });

  test('of bytes that are not UTF-8 is malformed as a whole', () => {
    const bytes = Buffer.concat([bytesOf(good('a').slice(0, -2)), Uint8Array.of(0xc3, 0x28), bytesOf('"}')]);
    const { records, rejections } = decode(bytes);
    expect(records).toEqual([]);
    expect(rejections).toMatchObject([{ reason: 'malformed', detail: 'The bytes are not valid UTF-8.' }]);
    expect(Buffer.from(rejections[0].body).equals(bytes)).toBe(true);
  });

  test('gives back what it refused as it came', () => {
    const odd = '{ "recordId":"o", "recordType" : "voice", "eventTime":9007199254740993, "x":"[{\\"]" }';
    const bodies = (text: string): string[] => decode(bytesOf(text)).rejections.map(({ body }) => textOf(body));
    expect(bodies(odd)).toEqual([odd]);
    expect(bodies(`[${good('a')}, ${odd} ,1.50, [ [] , "," ],"\\\\"]`)).toEqual([
      odd,
      '1.50',
      '[ [] , "," ]',
      '"\\\\"',
    ]);
    expect(bodies(`${good('a')}\n${odd}\n{cut`)).toEqual([odd, '{cut']);
    expect(bodies('{cut')).toEqual(['{cut']);
  });

  test('may be reused by its owner: nothing refers to its bytes', () => {
    for (const bytes of [bytesOf('{cut'), bytesOf(BAD), encode([5]), Uint8Array.of(0xc1)]) {
      const { rejections } = decode(bytes);
      const before = textOf(rejections[0].body);
      bytes.fill(0x20);
      expect(textOf(rejections[0].body)).toBe(before);
    }
  });
});

describe('MessagePack', () => {
  const [a, b] = [voice({ recordId: 'a' }), voice({ recordId: 'b' })];
  /** `count` records as they are, one behind the other, without the head of the array. */
  const parts = (...records: Uint8Array[]): Uint8Array =>
    Buffer.concat([Uint8Array.of(0x90 | records.length), ...records]);

  test.each<[name: string, bytes: Uint8Array, verdict: string]>([
    ['a map', encode(a), 'a'],
    ['an array of maps', encode([a, b]), 'a, b'],
    ['300 maps', encode(Array.from({ length: 300 }, () => a)), Array.from({ length: 300 }, () => 'a').join(', ')],
    ['an empty array', encode([]), ''],
    ['a map and a number', encode([a, 7, b]), 'a, b, 1:schema'],
    ['an array inside an array', encode([[a], b]), 'b, 0:schema'],
    ['one small number', Uint8Array.of(0xff), '0:malformed'],
    ['the head that is never used', Uint8Array.of(0xc1), '0:malformed'],
    ['a cut map', encode(a).subarray(0, 40), '0:malformed'],
    ['a byte too many', Buffer.concat([encode(a), Uint8Array.of(0xc0)]), '0:malformed'],
    ['two maps without an array', Buffer.concat([encode(a), encode(b)]), '0:malformed'],
    ['an array that claims 4 billion elements', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff), '0:malformed'],
    [
      'a million nested claims of a million',
      Buffer.alloc(1_000_000, Uint8Array.of(0xdd, 0, 0x0f, 0, 0)),
      '0:malformed',
    ],
    ['eight levels', encode({ ...a, x: nested(7) }), 'a'],
    ['nine levels', encode({ ...a, x: nested(8) }), '0:schema'],
    ['half a million levels', Buffer.concat([Buffer.alloc(500_000, 0x91), Uint8Array.of(0xc0)]), '0:schema'],
    [
      'a good one beside deep ones',
      parts(encode(a), Buffer.concat([Buffer.alloc(500, 0x91), Uint8Array.of(0xc0)])),
      'a, 1:schema',
    ],
    [
      '__proto__',
      parts(encode(a), Buffer.concat([Uint8Array.of(0x81), encode('__proto__'), encode(1)]), encode(b)),
      'a, b, 1:schema __proto__',
    ],
    ['constructor', encode({ ...a, constructor: 1 }), '0:schema constructor'],
    ['a name that is no text', parts(Uint8Array.of(0x81, 0xc0, 0xc0), encode(a)), 'a, 0:malformed'],
    ['a name that is a number', parts(Uint8Array.of(0x81, 0x05, 0xc0), encode(a)), 'a, 0:schema recordType'],
    ['NaN', encode({ ...a, durationSec: Number.NaN }), '0:schema durationSec'],
    ['infinity in a field that is not known', encode({ ...a, x: [Number.NEGATIVE_INFINITY] }), '0:schema x.0'],
    ['a 64-bit number', encode({ ...a, x: 2n ** 63n }, { useBigInt64: true }), '0:schema x'],
    ['binary instead of text', encode({ ...a, cellId: Uint8Array.of(65) }), '0:schema cellId'],
    ['binary in a field that is not known', encode({ ...a, x: Uint8Array.of(65) }), 'a'],
    ['5 kB of binary', encode({ ...a, x: new Uint8Array(5000) }), '0:tooLarge x'],
    ['a timestamp instead of milliseconds', encode({ ...a, eventTime: new Date(NOW) }), '0:schema eventTime'],
    ['a timestamp in a field that is not known', encode({ ...a, insertedAt: new Date(NOW) }), 'a'],
    ['a timestamp among attributes', encode({ ...a, attributes: { x: [new Date(NOW)] } }), '0:schema attributes.x.0'],
    ['a broken timestamp', encode({ ...a, x: new ExtData(-1, Uint8Array.of(1, 2, 3)) }), '0:malformed'],
    ['an extension', encode({ ...a, x: new ExtData(7, new Uint8Array(20)) }), 'a'],
    ['an RFC 3339 time', encode({ ...a, eventTime: '2026-06-01T00:00:00Z' }), 'a'],
  ])('%s', (_name, bytes, expected) => {
    expect(verdict(decode(bytes))).toBe(expected);
    expect(verdict(decode(Buffer.from(bytes), 'application/x-msgpack'))).toBe(expected);
  });

  test.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong A', [0xc1, 0x81]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a cut character', [0xe6, 0xbc]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ])('text that is not UTF-8: %s', (_name, tail) => {
    for (const length of [0, 3, 300]) {
      const text = Buffer.concat([bytesOf('x'.repeat(length)), Uint8Array.from(tail)]);
      const head = Uint8Array.of(0xda, text.length >> 8, text.length & 0xff);
      const bytes = Buffer.concat([Uint8Array.of(0x81), encode('cellId'), head, text]);
      expect(verdict(decode(bytes))).toBe('0:malformed');
    }
  });

  test('is refused as JSON where it could be decoded', () => {
    const bad = { ...a, durationSec: Number.NaN, x: Uint8Array.of(1, 2), at: new Date(NOW) };
    const [{ body, recordId }] = decode(encode([bad])).rejections;
    expect(recordId).toBe('a');
    expect(JSON.parse(textOf(body))).toEqual({
      ...bad,
      durationSec: 'NaN',
      x: 'AQI=',
      at: new Date(NOW).toISOString(),
    });
  });
});

// Drawn records

const text = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'binary', maxLength: 8 }));
const digitString = (minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(...'0123456789'), { minLength, maxLength }).map((digits) => digits.join(''));
const amount = fc.oneof(
  fc.integer({ min: -1e6, max: 1e6 }).map((cents) => cents / 100),
  fc.double({ min: -1e15, max: 1e15, noNaN: true }),
);
const epoch = fc.integer({ min: EVENT_TIME_MIN, max: LATEST });
const time = fc.oneof(
  epoch,
  epoch.map((at) => new Date(at).toISOString()),
);
const natural = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 1e15 }));
const attributes = fc.record(
  {
    activatedAt: fc.option(time),
    planId: text,
    creditLimit: amount,
    tier: fc.constantFrom('vip', 'standard', null),
    dualSim: fc.boolean(),
    resolved: fc.boolean(),
    other: fc.array(fc.record({ name: text, value: fc.nat() }), { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const values: { [name in FieldName]: fc.Arbitrary<unknown> } = {
  recordId: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
  recordType: fc.constantFrom(...RECORD_TYPES),
  eventTime: time,
  servedMsisdn: digitString(5, 15),
  servedImsi: digitString(1, 15),
  servedImei: digitString(1, 16),
  accountId: text,
  direction: fc.constantFrom(...DIRECTIONS),
  otherNumber: fc.oneof(digitString(3, 15), fc.constantFrom('MyBank', '10086', '', '+Info')),
  callId: text,
  partial: fc.integer({ min: 1, max: 99 }),
  durationSec: fc.oneof(natural, fc.double({ min: 0, max: 1e5, noNaN: true })),
  causeForTerm: fc.constantFrom(...CAUSES_FOR_TERM),
  cellId: text,
  servingPlmn: digitString(5, 6),
  trunkId: text,
  carrierId: text,
  pddMs: natural,
  smsClass: fc.constantFrom(...SMS_CLASSES),
  bytesUp: natural,
  bytesDown: natural,
  apn: text,
  rat: text,
  ratingGroup: text,
  zeroRated: fc.boolean(),
  charge: amount,
  amount,
  outcome: fc.constantFrom(...OUTCOMES),
  declineCode: fc.constantFrom(...DECLINE_CODES),
  instrumentId: text,
  balanceAfter: amount,
  channel: text,
  invoiceId: text,
  dueTime: time,
  event: fc.constantFrom(...ACCOUNT_EVENTS),
  attributes,
  reason: fc.constantFrom(...CARE_REASONS),
  ticketId: text,
  availableTime: time,
};
const optional = fc.record(values, { requiredKeys: [] });
const record = fc
  .constantFrom(...RECORD_TYPES)
  .chain((type) =>
    fc
      .tuple(optional, fc.record(Object.fromEntries(NEEDED_FIELDS[type].map((name) => [name, values[name]]))))
      .map(([some, needed]): Raw => ({ ...some, ...needed, recordType: type })),
  );
function rawOfType(type: RecordType): Raw {
  const whole: Raw = {
    ...voice({ recordId: 'id', bytesUp: 1, bytesDown: 2, amount: 5, invoiceId: 'i', dueTime: NOW, event: 'profile' }),
    ...{ attributes: {}, reason: 'billing', ticketId: 't', servingPlmn: '26201', availableTime: NOW },
  };
  return Object.fromEntries(NEEDED_FIELDS[type].map((name) => [name, name === 'recordType' ? type : whole[name]]));
}
/** Values that are wrong for some fields and right for others. */
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    '1234',
    '12345',
    '123456',
    '1234567',
    '123456789012345',
    '1234567890123456',
    '1234:',
    '/2345',
  ),
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0,
    0.5,
    1e15,
    2e15,
    '',
    'x',
    '5',
    '+5',
    'mo',
    'done',
    'p2p',
    'normal',
    'soft',
  ),
  fc.constantFrom<unknown>(
    [],
    {},
    [1],
    { a: 1 },
    '2026-01-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-01-01',
    946_684_799_999,
  ),
  fc.constantFrom<unknown>(
    { tier: 'gold' },
    { dualSim: 1 },
    { promiseAt: '1' },
    { planId: 'p' },
    'voice',
    'profile',
    'billing',
  ),
);
const mutated = fc
  .tuple(record, fc.array(fc.tuple(fc.constantFrom(...(Object.keys(FIELDS) as FieldName[])), odd), { maxLength: 2 }))
  .map(([raw, changes]): Raw => ({ ...raw, ...Object.fromEntries(changes) }));
const anyJson = fc.jsonValue({ maxDepth: 4 });

describe('whatever comes', () => {
  const schema = Compile(UsageRecordSchema);
  /** The schema leaves to the decoder whether a day exists, and the first and last event time where it is text. */
  const TIMES = ['eventTime', 'dueTime', 'availableTime'];
  const timesAreReal = (raw: Raw): boolean => {
    const named = (raw['attributes'] ?? {}) as Raw;
    const times = [
      ...TIMES.map((name) => raw[name]),
      ...['activatedAt', 'contractEndAt', 'cardExpiryAt', 'promiseAt'].map((name) => named[name]),
    ];
    const real = times.every((value) => typeof value !== 'string' || !Number.isNaN(parseDateTime(value)));
    const { eventTime } = raw;
    return real && (typeof eventTime !== 'string' || parseDateTime(eventTime) >= EVENT_TIME_MIN);
  };

  test('records as they should be are accepted', () => {
    fc.assert(
      fc.property(record, (raw) => {
        expect(decode(json(raw)).rejections).toEqual([]);
        expect(schema.Check(raw)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('the decoder accepts exactly what the schema accepts', () => {
    let refused = 0;
    fc.assert(
      fc.property(mutated, (raw) => {
        const { rejections } = decodeMessage(json(raw), { eventTimeMax: Number.POSITIVE_INFINITY });
        const accepted = rejections.length === 0;
        expect(accepted).toBe(schema.Check(raw) && timesAreReal(raw));
        if (!accepted) refused++;
      }),
      { numRuns: 4_000 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  test('MessagePack and JSON of the same record give the same record', () => {
    fc.assert(
      fc.property(fc.array(mutated, { maxLength: 3 }), (raws) => {
        const packed = decode(encode(raws));
        const plain = decode(json(raws));
        expect(packed.records).toEqual(plain.records);
        const say = ({ rejections }: DecodedMessage) => rejections.map(({ body, ...rest }) => rest);
        expect(say(packed)).toEqual(say(plain));
      }),
      { numRuns: 500 },
    );
  });

  test('one message or many, an array or lines: the records are the same', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(mutated, fc.constant({ bad: 1 })), { minLength: 2, maxLength: 5 }), (raws) => {
        const lines = raws.map((raw) => JSON.stringify(raw));
        const batch = decode(bytesOf(`[${lines.join(',')}]`));
        const ndjson = decode(bytesOf(lines.join('\n')), 'application/x-ndjson');
        const singles = lines.map((line) => decode(bytesOf(line)));
        expect(ndjson).toEqual(batch);
        expect(singles.flatMap(({ records }) => records)).toEqual(batch.records);
        expect(singles.flatMap(({ rejections }) => rejections.map(({ body }) => textOf(body)))).toEqual(
          batch.rejections.map(({ body }) => textOf(body)),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('each record of a message is either kept or refused, and nothing throws', () => {
    const element = fc.oneof(mutated, anyJson, fc.dictionary(fc.string(), anyJson));
    fc.assert(
      fc.property(fc.array(element, { maxLength: 4 }), (elements) => {
        const packed = elements.filter((each) => JSON.stringify(each).includes('"__proto__"')).length === 0;
        for (const bytes of [json(elements), ...(packed ? [encode(elements)] : [])]) {
          const { records, rejections } = decode(bytes);
          expect(records.length + rejections.length).toBe(elements.length);
          for (const { field } of rejections) expect(field).toMatch(/^[\w$.?-]{0,128}$/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('no bytes make it throw', () => {
    const flipped = fc
      .tuple(
        fc.constantFrom(
          encode([voice(), { ...voice(), x: { y: [1.5, 'ü', new Date(NOW)] } }]),
          json([voice(), voice()]),
        ),
        fc.nat(),
        fc.nat(255),
        fc.nat(),
      )
      .map(([bytes, at, value, cut]) => {
        const copy = Uint8Array.from(bytes.subarray(0, cut % 3 === 0 ? cut % bytes.length : bytes.length));
        if (copy.length > 0) copy[at % copy.length] = value;
        return copy;
      });
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 64 }), flipped, fc.string().map(bytesOf));
    fc.assert(
      fc.property(
        bytes,
        fc.constantFrom(undefined, 'application/json', 'application/x-ndjson', 'application/msgpack'),
        (drawn, type) => {
          const { records, rejections } = decode(drawn, type);
          for (const { recordId, eventTime } of records) expect(recordId !== '' && eventTime <= LATEST).toBe(true);
          const order = rejections.map(({ index }) => index);
          expect(order).toEqual([...new Set(order)].sort((a, b) => a - b));
        },
      ),
      { numRuns: 20_000 },
    );
  });
});

describe('RFC 3339', () => {
  test.each([
    ['2026-06-01T08:00:00+08:00', '2026-06-01T00:00:00.000Z'],
    ['2026-05-31T20:30:00-03:30', '2026-06-01T00:00:00.000Z'],
    ['2026-06-01t00:00:00z', '2026-06-01T00:00:00.000Z'],
    ['2026-06-01T00:00:00-00:00', '2026-06-01T00:00:00.000Z'],
    ['2026-06-01T00:00:00.1Z', '2026-06-01T00:00:00.100Z'],
    ['2026-06-01T00:00:00.123999999Z', '2026-06-01T00:00:00.123Z'],
    ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59.000Z'],
    ['0050-01-01T00:00:00Z', '0050-01-01T00:00:00.000Z'],
  ])('%s is %s', (sent, instant) => {
    expect(new Date(parseDateTime(sent)).toISOString()).toBe(instant);
  });

  test.each([
    '2026-06-01T00:00:00',
    '2026-06-01 00:00:00Z',
    '2026-06-01T00:00Z',
    '2026-06-01',
    '2026-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-06-01T24:00:00Z',
    '2026-06-01T00:60:00Z',
    '2016-12-31T23:59:60Z',
    '2026-06-01T00:00:00+24:00',
    '2026-06-01T00:00:00+0800',
    '2026-06-01T00:00:00.Z',
    ' 2026-06-01T00:00:00Z',
    '2026-06-01T00:00:00Z\n',
    '٢٠٢٦-06-01T00:00:00Z',
    `2026-06-01T00:00:00.${'0'.repeat(100)}Z`,
    '',
  ])('%j is no time', (sent) => {
    expect(parseDateTime(sent)).toBeNaN();
  });

  test('agrees with Date for every instant', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true }),
        (date) => {
          expect(parseDateTime(date.toISOString())).toBe(date.getTime());
        },
      ),
    );
  });
});
