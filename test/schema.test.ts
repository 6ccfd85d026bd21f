import { Ajv2020 } from 'ajv/dist/2020.js';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { parseDateTime } from '../src/record/date-time.ts';
import { expectationOf, FIELDS, type FieldName, NEEDED_FIELDS, UsageRecordSchema } from '../src/record/schema.ts';
import { RECORD_TYPES } from '../src/record/usage-record.ts';
import { callRecord } from './call-record.ts';

/** What producers see: plain JSON, read by a validator that knows nothing of this repository. */
const published: unknown = JSON.parse(JSON.stringify(UsageRecordSchema));
const ajv = new Ajv2020({
  strict: false,
  formats: { 'date-time': (text: string) => !Number.isNaN(parseDateTime(text)) },
});
const others = ajv.compile(published as object);
const ours = Compile(UsageRecordSchema);

const call = callRecord('v1', { eventTime: 1_780_000_000_000 });

const account = (attributes: object): object => ({ ...call, recordType: 'account', event: 'profile', attributes });
const roamingFile = {
  recordId: 'f1',
  recordType: 'roamingFile',
  eventTime: 1_780_000_000_000,
  servingPlmn: '26201',
  availableTime: 1_780_000_100_000,
};

describe('the published schema', () => {
  test.each<[name: string, raw: unknown, valid: boolean]>([
    ['a call', call, true],
    ['a call at an RFC 3339 time', { ...call, eventTime: '2026-06-01T00:00:00+08:00' }, true],
    ['a call at no time', { ...call, eventTime: 'yesterday' }, false],
    ['a call with more fields', { ...call, note: { any: [1, null] } }, true],
    ['a call without a direction', { ...call, direction: undefined }, false],
    ['a call in an unknown direction', { ...call, direction: 'up' }, false],
    ['a call of 1999', { ...call, eventTime: 946_684_799_999 }, false],
    ['a text that lacks nothing', { ...call, recordType: 'sms', durationSec: undefined }, true],
    ['an invoice that lacks its due time', { ...call, recordType: 'invoice', amount: 5, invoiceId: 'i' }, false],
    ['an account record with a null attribute', account({ tier: null, activatedAt: 0 }), true],
    ['an account record with an unknown tier', account({ tier: 'gold' }), false],
    ['a roaming file, which has no subscriber', roamingFile, true],
    ['an unknown type', { ...call, recordType: 'mms' }, false],
    ['an array', [call], false],
    ['null', null, false],
  ])('%s: %j is %s', (_name, raw, valid) => {
    const sent: unknown = JSON.parse(JSON.stringify(raw));
    expect(others(sent)).toBe(valid);
    expect(ours.Check(sent)).toBe(valid);
  });

  test('names every record type with the fields that it needs, and no others', () => {
    const { oneOf } = published as { oneOf: { properties: { recordType: { const: string } }; required: string[] }[] };
    expect(
      Object.fromEntries(oneOf.map(({ properties, required }) => [properties.recordType.const, required])),
    ).toEqual(NEEDED_FIELDS);
    expect(oneOf).toHaveLength(RECORD_TYPES.length);
  });

  test('describes every field', () => {
    for (const [name, schema] of Object.entries(FIELDS)) {
      expect((schema as { description?: string }).description, name).toMatch(/\.$/);
    }
  });
});

test.each<[FieldName, string]>([
  ['servedMsisdn', 'a string that matches ^[0-9]{5,15}$'],
  ['cellId', 'a string'],
  ['zeroRated', 'a boolean'],
  ['attributes', 'an object'],
  ['bytesUp', 'an integer from 0 to 1e15'],
  ['pddMs', 'an integer of at most 1e15 in size'],
  ['charge', 'a finite number of at most 1e15 in size'],
  ['outcome', 'one of done, failed, reversed'],
  ['dueTime', 'a time: integer Unix epoch milliseconds, or RFC 3339 with an offset'],
])('%s must be %s', (name, expectation) => {
  expect(expectationOf(FIELDS[name])).toBe(expectation);
});
