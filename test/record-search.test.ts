/** Usage records looked for in the stream: found whatever their form, in pages that meet, against all records by hand. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encode } from '@msgpack/msgpack';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { isWanted, needlesOf, type WantedRecords } from '../src/evidence/record-match.ts';
import { type SearchRequest, searchRecords } from '../src/evidence/record-search.ts';
import type { UsageRecordView } from '../src/evidence/record-view.ts';
import { recordTypesOf } from '../src/evidence/rule-records.ts';
import { createRecordSearch, SEARCHES_WAITING_MAX } from '../src/evidence/search-thread.ts';
import { csvCell, recordsCsv } from '../src/http/records-csv.ts';
import { createMetrics } from '../src/metrics.ts';
import { decodeMessage } from '../src/record/decode.ts';
import { KEY_TYPES } from '../src/rules/rule.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { ensureStreams, partitionOf } from '../src/source/streams.ts';

const MSISDN = '8613800001234';
const OTHER = '8613900005678';
const PARTITIONS = 2;
const now = Date.now();

type Sent = Record<string, unknown> & { recordId: string; eventTime: number };
let made = 0;
const call = (fields: Record<string, unknown> = {}): Sent => {
  made += 1;
  return {
    recordId: `r${String(made).padStart(5, '0')}`,
    recordType: 'voice',
    eventTime: now - 3_600_000 + made * 1_000,
    servedMsisdn: MSISDN,
    direction: 'mo',
    otherNumber: '37112345678',
    durationSec: 60,
    ...fields,
  };
};
const wanted = (fields: Partial<WantedRecords> = {}): WantedRecords => ({
  key: { type: 'subscriber', value: MSISDN },
  servedMsisdn: MSISDN,
  from: 0,
  to: 8.64e15,
  ...fields,
});

describe('in the stream', () => {
  let broker: Broker;
  let nc: Awaited<ReturnType<typeof connect>>;
  let search: (request: Partial<SearchRequest>) => ReturnType<typeof searchRecords>;
  const own: Sent[] = [];

  beforeAll(async () => {
    broker = await startBroker();
    nc = await connect({ servers: broker.url });
    await ensureStreams(nc, { partitions: PARTITIONS, retentionDays: { usage: 35, alerts: 400, deadletter: 90 } });
    const js = jetstream(nc);
    const jsm = await jetstreamManager(nc);
    const partition = partitionOf(MSISDN, PARTITIONS);
    const publish = (records: readonly Sent[], form: 'one' | 'array' | 'lines' | 'messagePack' | 'escaped') => {
      own.push(...records.filter(({ servedMsisdn }) => servedMsisdn === MSISDN));
      const header = headers();
      const text = records.map((record) => JSON.stringify(record));
      let body: Uint8Array = Buffer.from(form === 'array' ? `[${text.join(',')}]` : text.join('\n'));
      if (form === 'messagePack') {
        body = encode(records);
        header.set('Content-Type', 'application/msgpack');
      }
      // The first digit of the number by its code: the same text in JSON, and other bytes.
      if (form === 'escaped') body = Buffer.from(text.join('\n').replaceAll(MSISDN, `\\u0038${MSISDN.slice(1)}`));
      return js.publish(`usage.${partition}.${records.length === 1 ? 'voice' : 'batch'}`, body, { headers: header });
    };
    const stranger = (): Sent => call({ servedMsisdn: '8613812345678' });
    for (let round = 0; round < 300; round++) await publish([stranger()], 'one');
    await publish([call()], 'one');
    await publish([stranger(), call(), call({ recordType: 'sms', durationSec: undefined })], 'array');
    await publish([call(), stranger()], 'lines');
    await publish([call({ direction: 'mt' }), stranger()], 'messagePack');
    await publish([call()], 'escaped');
    for (let round = 0; round < 700; round++) await publish([stranger()], 'one');
    const twice = call();
    await publish([twice], 'one');
    await publish([twice], 'one');
    await js.publish(`usage.${partition}.voice`, `{"servedMsisdn":"${MSISDN}","broken":`);
    await publish([call({ otherNumber: OTHER }), call({ eventTime: now - 86_400_000 * 3 })], 'array');
    // Of the number of somebody else, in the record of a stranger: the bytes hold it, the key does not.
    await publish([{ ...stranger(), otherNumber: MSISDN }], 'one');
    search = (request) =>
      searchRecords(
        { js, jsm, partitionCount: PARTITIONS },
        { wanted: wanted(), partitions: [partition], limit: 1_000, ...request },
      );
  });
  afterAll(async () => {
    await nc?.close();
    await broker?.stop();
  });

  const newestFirst = (records: readonly Sent[]): string[] =>
    [...new Map(records.map((record) => [record.recordId, record])).values()]
      .sort((a, b) => b.eventTime - a.eventTime)
      .map(({ recordId }) => recordId);
  const idsOf = (records: readonly UsageRecordView[]): string[] => records.map(({ recordId }) => recordId);

  it('finds every record of the key in whatever form it came, each once, newest first', async () => {
    const { records, next, searchedTo } = await search({});
    expect(idsOf(records)).toEqual(newestFirst(own));
    expect([next, searchedTo]).toEqual([null, null]);
    expect(records.at(-2)).toMatchObject({ recordType: 'voice', durationSec: 60, otherNumber: '37112345678' });
    expect(records[0]).not.toHaveProperty('chargeMicros');
    expect(records[0]).not.toHaveProperty('bytesUp');
  });

  it('goes on where it stopped: pages of any size together are everything once', async () => {
    for (const limit of [1, 2, 3]) {
      const pages: UsageRecordView[] = [];
      let cursor: string | undefined;
      let answers = 0;
      do {
        const { records, next } = await search({ limit, cursor });
        pages.push(...records);
        cursor = next ?? undefined;
        answers += 1;
      } while (cursor !== undefined && answers < 100);
      expect([...new Set(idsOf(pages))].sort()).toEqual(newestFirst(own).sort());
      expect(answers).toBeGreaterThan(1);
    }
  });

  it('takes times, types and direction into account, and the trigger in any case', async () => {
    const from = now - 2 * 3_600_000;
    const expected = own.filter(({ eventTime, recordType }) => eventTime >= from && recordType === 'voice');
    const voice = await search({ wanted: wanted({ from, recordTypes: ['voice'] }) });
    expect(idsOf(voice.records)).toEqual(newestFirst(expected));
    const sms = own.find(({ recordType }) => recordType === 'sms')!;
    const withTrigger = await search({
      wanted: wanted({ from, recordTypes: ['voice'], triggerRecordId: sms.recordId }),
    });
    expect(withTrigger.records.filter(({ isTrigger }) => isTrigger)).toMatchObject([{ recordId: sms.recordId }]);
    expect(withTrigger.records).toHaveLength(voice.records.length + 1);
    const incoming = await search({ wanted: wanted({ direction: 'mt' }) });
    expect(incoming.records).toHaveLength(own.filter(({ direction }) => direction === 'mt').length);
  });

  it('looks at no more than what was stored before, and says how far back it has come', async () => {
    expect((await search({ storedBefore: now - 60_000 })).records).toEqual([]);
    const cut = await search({ limit: 1 });
    expect(cut.next).toMatch(/^\d+\.\d+$/);
    expect(cut.searchedTo).toBeGreaterThan(now - 1_000);
  });

  it('looks for keys of everybody in all partitions', async () => {
    const { records } = await search({
      wanted: wanted({ key: { type: 'otherNumber', value: OTHER }, servedMsisdn: undefined }),
      partitions: [0, 1],
    });
    expect(records).toHaveLength(1);
  });
});

describe('in a thread', () => {
  it('answers one after the other, tells who comes when too many wait, and ends with its owner', async () => {
    // Nobody listens there: every search waits.
    const thread = createRecordSearch({ nats: ['nats://127.0.0.1:9'], partitions: 1 }, createMetrics());
    const request = { wanted: wanted(), partitions: [0], limit: 1 };
    const waiting = Array.from({ length: SEARCHES_WAITING_MAX }, () => thread.search(request));
    expect(await thread.search(request)).toEqual({ kind: 'busy' });
    await thread.close();
    expect(new Set((await Promise.all(waiting)).map(({ kind }) => kind))).toEqual(new Set(['away']));
  });
});

describe('of a key', () => {
  const decoded = (fields: Record<string, unknown>) =>
    decodeMessage(Buffer.from(JSON.stringify(call(fields))), { eventTimeMax: now }).records[0]!;
  const full = decoded({
    accountId: 'acc-1',
    servedImsi: '460001000000001',
    servedImei: '351234567890123',
    otherNumber: '8613900005678',
    cellId: 'north',
    servingPlmn: '46001',
    trunkId: 'T1',
    carrierId: 'C1',
  });
  const account = decoded({
    recordType: 'account',
    event: 'profile',
    attributes: { dealerId: 'D1', idDocHash: 'i1', paymentTokenHash: 'p1', addressHash: 'a1' },
  });
  const values: Record<string, [own: string, other: string]> = {
    subscriber: [MSISDN, OTHER],
    account: ['acc-1', 'acc-2'],
    imsi: ['460001000000001', '460001000000002'],
    imei: ['351234567890123', '351234567890124'],
    cell: ['north', 'south'],
    otherNumber: [OTHER, MSISDN],
    trunk: ['T1', 'T2'],
    carrier: ['C1', 'C2'],
    dealer: ['D1', 'D2'],
    servingPlmn: ['46001', '46002'],
    'subscriber+prefix': [`${MSISDN}>86139`, `${MSISDN}>371`],
    otherRange: ['8613900', '8613800'],
    'imsi+servingPlmn': ['460001000000001@46001', '460001000000001@46002'],
    'carrier+country': ['C1>CN', 'C2>CN'],
    'sender+range': [`${OTHER}~8613800`, `${OTHER}~8613900`],
    idDocument: ['i1', 'i2'],
    paymentToken: ['p1', 'p2'],
    address: ['a1', 'a2'],
  };

  it.each(KEY_TYPES.filter((type) => type !== 'identity'))('%s: takes its records and no others', (type) => {
    const record = ['dealer', 'idDocument', 'paymentToken', 'address'].includes(type) ? account : full;
    const [value, another] = values[type]!;
    const asked = wanted({ key: { type, value }, servedMsisdn: undefined });
    expect(isWanted(record, asked)).toBe(true);
    expect(isWanted(record, { ...asked, key: { type, value: another } })).toBe(false);
    // Whatever is found by its key holds one of the texts that the bytes are searched for.
    const text = JSON.stringify(record);
    expect(needlesOf(asked).some((needle) => text.includes(needle))).toBe(true);
  });

  it('an account has the records of its subscriber that name none', () => {
    const plain = decoded({});
    const asked = wanted({ key: { type: 'account', value: 'acc-1' } });
    expect(isWanted(plain, asked)).toBe(true);
    expect(needlesOf(asked)).toEqual(['acc-1', MSISDN]);
    expect(isWanted(decoded({ accountId: 'acc-2' }), asked)).toBe(false);
  });
});

describe('the types of a rule', () => {
  it('are those of its features, and all where the text says nothing', () => {
    const ruleOf = (file: string): string => readFileSync(join(DEFAULTS.rules, file), 'utf8');
    expect(recordTypesOf(ruleOf('fraud/account-takeover.yaml'))).toEqual(['account']);
    expect(recordTypesOf(ruleOf('fraud/international-burst.yaml'))).toEqual(['voice']);
    expect(recordTypesOf('nothing: like a rule')).toBeUndefined();
  });
});

describe('as CSV', () => {
  it('no cell is a formula, and every cell comes back as it was', () => {
    for (const text of ['=1+1', '+8613', '-2', '@SUM(A1)', '\tx', '\rx']) expect(csvCell(text)).toMatch(/^"?'/);
    expect(csvCell(-2.5)).toBe('-2.5');
    expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
    expect(csvCell('=HYPERLINK("http://x","y")')).toBe(`"'=HYPERLINK(""http://x"",""y"")"`);
    expect(csvCell(undefined)).toBe('');
  });

  it('times are those of the zone, with its offset', () => {
    const record: UsageRecordView = {
      recordId: 'r',
      recordType: 'sms',
      eventTime: Date.UTC(2026, 2, 1, 16),
      storedAt: 1,
    };
    expect(recordsCsv([record], 'Asia/Shanghai')).toContain('2026-03-02T00:00:00.000+08:00,sms');
    expect(recordsCsv([record], 'UTC')).toContain('2026-03-01T16:00:00.000+00:00,sms');
    expect(Date.parse(recordsCsv([record], 'America/St_Johns').split('\r\n')[1]!.split(',')[0]!)).toBe(
      record.eventTime,
    );
  });
});
