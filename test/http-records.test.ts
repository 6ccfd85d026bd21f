/** Usage records over HTTP: what each role sees of them, the window of an alert, and files that are written down. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { AuditEntry } from '../src/access/audit.ts';
import type { Role } from '../src/access/grants.ts';
import { createNumberRefs } from '../src/access/numbers.ts';
import { type AccessStore, openAccessStore } from '../src/access/store.ts';
import { DESKS, type Desk } from '../src/alerts/alert.ts';
import type { UsageRecordView } from '../src/evidence/record-view.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';

const MSISDN = '8613800001234';
const OTHER = '8613900005678';
const HOUR_MS = 3_600_000;
const author = { who: { kind: 'command', id: 'test' } };
const now = Date.now();

interface Page {
  records: UsageRecordView[];
  truncated: boolean;
  next: string | null;
  from: number;
  to: number;
}

let bench: Bench;
let running: RunningGateway;
let store: AccessStore;

const call = (recordId: string, eventTime: number, fields: object = {}) => ({
  recordId,
  recordType: 'voice',
  eventTime,
  servedMsisdn: MSISDN,
  servedImsi: '460001000000001',
  direction: 'mo',
  otherNumber: OTHER,
  cellId: 'north',
  durationSec: 60,
  ...fields,
});
const alert = { servedMsisdn: MSISDN, key: { type: 'subscriber', value: MSISDN }, triggerRecordId: 'inside-2' };
const firedAt = now - 2 * HOUR_MS;

beforeAll(async () => {
  bench = await startBench();
  const records = [
    call('before', firedAt - HOUR_MS - 1),
    call('inside-1', firedAt - HOUR_MS),
    call('data', firedAt - 1_000, {
      recordType: 'data',
      direction: undefined,
      otherNumber: undefined,
      bytesUp: 12345678,
      bytesDown: 7,
    }),
    call('inside-2', firedAt, { otherNumber: '=cmd|calc' }),
    call('after', firedAt + 1),
    call('other', firedAt, { servedMsisdn: OTHER, otherNumber: MSISDN }),
  ];
  for (const record of records) await bench.js.publish('usage.0.voice', JSON.stringify(record));
  for (const desk of DESKS) await bench.publishAlert({ ...alert, alertId: `alert-${desk}`, desk, eventTime: firedAt });
  // Resolved an hour later by a timer: the records are still those of when it fired.
  for (const revision of [1, 2]) {
    const resolved = revision === 2;
    await bench.publishAlert({
      ...alert,
      alertId: 'resolved',
      revision,
      status: resolved ? 'resolved' : 'firing',
      eventTime: resolved ? firedAt + HOUR_MS : firedAt,
      triggerRecordId: resolved ? `timer:${firedAt + HOUR_MS}` : 'inside-2',
    });
  }
});
afterAll(() => bench?.stop());
beforeEach(async () => {
  store = openAccessStore(':memory:');
  store.addUser({ name: 'first', roles: ['admin'], desks: [...DESKS], password: 'x' }, author);
  running = await bench.start({ access: store });
});
afterEach(async () => {
  await running.close();
  store.close();
});

type Headers = Record<string, string>;
let people = 0;
function person(role: Role, desks: Desk[] = [...DESKS]): Headers {
  people += 1;
  const name = `${role}-${people}`;
  store.addUser({ name, roles: [role], desks, password: 'x' }, author);
  store.changeUser(name, { password: { hash: 'x', mustChange: false } }, author);
  return { cookie: `ringfence_session=${store.beginSession({ name, provider: 'local' }, author)}` };
}
const ask = (path: string, headers: Headers): Promise<Response> => fetch(running.url + path, { headers });
const page = async (path: string, headers: Headers): Promise<Page> =>
  (await ask(path, headers)).json() as Promise<Page>;
const exports = (): AuditEntry[] =>
  [...store.auditRows()]
    .map(({ text }) => JSON.parse(text) as AuditEntry)
    .filter(({ action }) => action.startsWith('export'));
const refOf = (): string => createNumberRefs(store.secret('subscriber-reference')).refOf(MSISDN);
const idsOf = ({ records }: Page): string[] => records.map(({ recordId }) => recordId);

it('a lead sees the records of a subscriber whole, newest first, filtered as asked', async () => {
  const lead = person('lead');
  const all = await page(`/v1/subscribers/${MSISDN}/records`, lead);
  expect(idsOf(all)).toEqual(['after', 'inside-2', 'data', 'inside-1', 'before']);
  expect(all).toMatchObject({ truncated: false, next: null });
  expect(all.records[0]).toMatchObject({ otherNumber: OTHER, cellId: 'north', durationSec: 60, direction: 'mo' });
  expect(idsOf(await page(`/v1/subscribers/${MSISDN}/records?recordType=data`, lead))).toEqual(['data']);
  expect(idsOf(await page(`/v1/subscribers/${MSISDN}/records?other=5678`, lead))).toEqual([
    'after',
    'inside-1',
    'before',
  ]);
  expect(idsOf(await page(`/v1/subscribers/${MSISDN}/records?from=${firedAt}&to=${firedAt + 1}`, lead))).toEqual([
    'inside-2',
  ]);
  const first = await page(`/v1/subscribers/${MSISDN}/records?limit=2`, lead);
  expect(first.truncated).toBe(true);
  const rest = await page(`/v1/subscribers/${MSISDN}/records?cursor=${first.next}`, lead);
  expect([...idsOf(first), ...idsOf(rest)].sort()).toEqual(idsOf(all).sort());
  expect((await ask(`/v1/subscribers/${MSISDN}/records?cursor=nonsense`, lead)).status).toBe(400);
});

it('an analyst sees masked numbers and can neither ask for more of them nor find them out', async () => {
  const analyst = person('analyst');
  const path = `/v1/subscribers/${refOf()}/records`;
  const { records } = await page(path, analyst);
  expect(records[0]).toMatchObject({ otherNumber: '86139****5678', cellId: 'north' });
  expect(JSON.stringify(records)).not.toContain(MSISDN);
  expect(JSON.stringify(records)).not.toContain('460001000000001');
  expect((await page(`${path}?other=${encodeURIComponent('****5678')}`, analyst)).records).toHaveLength(3);
  expect((await page(`${path}?other=00005678`, analyst)).records).toEqual([]);
});

it('who sells sees usage, and neither whom a subscriber called nor where', async () => {
  const retention = person('retention', ['retention']);
  const { records } = await page(`/v1/subscribers/${refOf()}/records`, retention);
  expect(records).toHaveLength(5);
  expect(records[0]).toMatchObject({ otherNumber: '****', durationSec: 60 });
  for (const record of records) {
    expect(record).not.toHaveProperty('cellId');
    expect(record).not.toHaveProperty('servedImsi');
  }
  expect((await ask(`/v1/subscribers/${refOf()}/records.csv`, retention)).status).toBe(403);
});

it('an alert has the records of its window up to when it fired, the trigger marked, also when it is resolved', async () => {
  const lead = person('lead');
  for (const id of ['alert-fraud', 'resolved']) {
    const found = await page(`/v1/alerts/${id}/records`, lead);
    expect(idsOf(found)).toEqual(['inside-2', 'data', 'inside-1']);
    expect(found.records.map(({ isTrigger }) => isTrigger)).toEqual([true, undefined, undefined]);
    expect([found.from, found.to]).toEqual([firedAt - HOUR_MS, firedAt + 1]);
  }
});

it('an alert of another desk has no records', async () => {
  for (const own of DESKS) {
    const caller = person('lead', [own]);
    for (const desk of DESKS) {
      const expected = desk === own ? 200 : 404;
      expect((await ask(`/v1/alerts/alert-${desk}/records`, caller)).status).toBe(expected);
      expect((await ask(`/v1/alerts/alert-${desk}/records.csv`, caller)).status).toBe(expected);
    }
  }
  expect((await ask('/v1/alerts/none/records', person('lead'))).status).toBe(404);
});

it('a file holds what the list shows, no formula, and is written down with who asked for what', async () => {
  const analyst = person('analyst');
  const answer = await ask(
    `/v1/subscribers/${refOf()}/records.csv?timeZone=Asia/Shanghai&from=${firedAt - 2_000}`,
    analyst,
  );
  expect(answer.headers.get('content-type')).toContain('text/csv');
  expect(answer.headers.get('content-disposition')).toContain('attachment');
  expect(answer.headers.get('ringfence-truncated')).toBe('false');
  const text = await answer.text();
  const [head, ...lines] = text.trim().split('\r\n');
  expect(head).toContain('eventTime,recordType,direction');
  expect(lines).toHaveLength(3);
  expect(text).toContain('+08:00');
  expect(text).toContain(`,'=cmd|calc,`);
  expect(text).toContain('86139****5678');
  expect(text).not.toContain(OTHER);
  // An amount of many digits is none of anybody's numbers.
  expect(text).toContain(',12345678,');
  expect(exports()).toMatchObject([
    {
      action: 'exportSubscriberRecords',
      result: 'done',
      object: { subscriber: refOf(), records: '3', from: String(firedAt - 2_000) },
    },
  ]);
  expect((await ask(`/v1/subscribers/${refOf()}/records.csv?timeZone=No/Where`, analyst)).status).toBe(400);
});

it('one person searches so often a minute, and no more', async () => {
  const lead = person('lead');
  const statuses = new Set<number>();
  for (let asked = 0; asked < 61; asked++) {
    const { status } = await ask('/v1/alerts/none/records', lead);
    statuses.add(status);
  }
  expect([...statuses]).toEqual([404, 429]);
});
