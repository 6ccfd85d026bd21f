import { describe, expect, test } from 'vitest';
import { demoFeed, LIVE_RECORDS_MAX } from '../src/feed/demo-feed.ts';
import { type MixedRecordsOptions, mixedRecords } from '../src/feed/mixed-records.ts';
import { CASE_KINDS, PLANTED_IDS, type PlantedId } from '../src/feed/planted-case.ts';
import { type PopulationOptions, population } from '../src/feed/population.ts';
import { arrivalOf, type RawRecord } from '../src/feed/raw-record.ts';
import { decodeMessage } from '../src/record/decode.ts';
import { allNumbers, labelLines } from './population-labels.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const startAt = Date.UTC(2026, 0, 5, 3, 20);

const drawn = (options: Partial<PopulationOptions> = {}): RawRecord[] => [
  ...population({ seed: 7, subscribers: 200, startAt, days: 3, ...options }).records(),
];

/** One long population that several tests look at; 12 detections, three cases of each. */
const long = population({
  seed: 11,
  subscribers: 240,
  startAt,
  days: 90,
  recordsPerSubscriberDay: 10,
  planted: Object.fromEntries(PLANTED_IDS.map((id) => [id, 3])),
});
const longRecords = [...long.records()];

describe('population', () => {
  test('the same options give the same records, another seed gives others', () => {
    const once = JSON.stringify(drawn());
    expect(JSON.stringify(drawn())).toBe(once);
    expect(JSON.stringify(drawn({ seed: 8 }))).not.toBe(once);
  });

  test('records come in order of event time, inside the period, each with its own id', () => {
    expect(backwardSteps(longRecords.map((record) => record.eventTime))).toBe(0);
    expect(longRecords[0].eventTime).toBe(startAt);
    expect(longRecords.at(-1)?.eventTime).toBeLessThan(startAt + 90 * DAY_MS);
    expect(new Set(longRecords.map((record) => record.recordId)).size).toBe(longRecords.length);
  });

  test('in order of arrival a long call stands behind shorter ones that began later', () => {
    const records = drawn({ order: 'arrival' });
    expect(backwardSteps(records.map(arrivalOf))).toBe(0);
    expect(backwardSteps(records.map((record) => record.eventTime))).toBeGreaterThan(records.length / 10);
  });

  test('the mean rate is the one that was asked for', () => {
    for (const recordsPerSubscriberDay of [5, 20, 60]) {
      const records = drawn({ subscribers: 500, recordsPerSubscriberDay, plantedShare: 0, profiles: 'none' });
      const rate = records.length / 500 / 3;
      expect(rate).toBeGreaterThan(0.85 * recordsPerSubscriberDay);
      expect(rate).toBeLessThan(1.15 * recordsPerSubscriberDay);
    }
  });

  test('every record passes the decoder', () => {
    expect(rejectedBy(longRecords)).toEqual([]);
    expect(rejectedBy(mixed('zipf', 20_000))).toEqual([]);
  });

  test('usage follows the clock of the home network, and contacts a few favourites', () => {
    const byHour = new Array<number>(24).fill(0);
    const calls = new Map<string, Map<string, number>>();
    for (const record of longRecords) {
      if (record.recordType !== 'voice' || record.direction !== 'mo') continue;
      byHour[new Date(record.eventTime + 8 * HOUR_MS).getUTCHours()]++;
      const contacts = calls.get(record.servedMsisdn) ?? new Map<string, number>();
      calls.set(record.servedMsisdn, contacts);
      contacts.set(record.otherNumber ?? '', (contacts.get(record.otherNumber ?? '') ?? 0) + 1);
    }
    const night = byHour[2] + byHour[3] + byHour[4];
    const evening = byHour[19] + byHour[20] + byHour[21];
    expect(evening).toBeGreaterThan(5 * night);
    const topShares = [...calls.values()].map((contacts) => {
      const counts = [...contacts.values()];
      return Math.max(...counts) / counts.reduce((sum, count) => sum + count, 0);
    });
    const meanTopShare = topShares.reduce((sum, share) => sum + share, 0) / topShares.length;
    // The first of 10 to 60 contacts gets a sixth to a third of the calls under Zipf, at most a tenth without.
    expect(meanTopShare).toBeGreaterThan(0.15);
    expect(meanTopShare).toBeLessThan(0.45);
  });

  test('the parts of a subscriber fit together: one account id, a balance that adds up, bills that are paid once', () => {
    const accounts = new Map<string, string>();
    const balances = new Map<string, number>();
    const invoices = new Map<string, { amount: number; paid: number }>();
    let changedAccounts = 0;
    let wrongBalances = 0;
    let unnamedBills = 0;
    for (const record of longRecords) {
      const account = record.accountId ?? '';
      if ((accounts.get(record.servedMsisdn) ?? account) !== account) changedAccounts++;
      accounts.set(record.servedMsisdn, account);
      if (record.balanceAfter !== undefined) {
        const before = balances.get(record.servedMsisdn);
        const after = (before ?? 0) + (record.recordType === 'topup' ? (record.amount ?? 0) : -(record.charge ?? 0));
        if (before !== undefined && Math.abs(record.balanceAfter - Math.max(0, after)) > 1e-6) wrongBalances++;
        balances.set(record.servedMsisdn, record.balanceAfter);
      }
      if (record.recordType === 'invoice')
        invoices.set(record.invoiceId ?? '', { amount: record.amount ?? 0, paid: 0 });
      if (record.recordType === 'payment' && record.outcome !== 'failed' && record.invoiceId !== undefined) {
        const invoice = invoices.get(record.invoiceId);
        expect(invoice).toBeDefined();
        if (invoice !== undefined) invoice.paid += record.amount ?? 0;
      }
    }
    for (const { amount, paid } of invoices.values()) {
      if (paid === 0) unnamedBills++;
      else expect(paid).toBeCloseTo(amount, 6);
    }
    expect({ changedAccounts, wrongBalances }).toEqual({ changedAccounts: 0, wrongBalances: 0 });
    expect(accounts.size).toBe(240);
    expect([...accounts.values()].some((account) => account !== '')).toBe(true);
    expect(balances.size).toBeGreaterThan(60);
    // Without a payment that names them: bills of the last weeks, and those that are paid without naming them.
    expect(unnamedBills).toBeLessThan(0.6 * invoices.size);
  });

  test('profiles can come first, with the first use, or not at all', () => {
    const kinds = (profiles: 'start' | 'firstUse' | 'none') =>
      drawn({ profiles, subscribers: 50 }).filter((record) => record.event === 'profile');
    expect(kinds('start').map((record) => record.eventTime)).toEqual(new Array(50).fill(startAt));
    expect(kinds('none')).toEqual([]);
    const seen = new Set<string>();
    for (const record of drawn({ profiles: 'firstUse', subscribers: 50, plantedShare: 0 })) {
      expect(record.event === 'profile').toBe(!seen.has(record.servedMsisdn));
      seen.add(record.servedMsisdn);
    }
    expect(seen.size).toBe(50);
  });

  test('two populations with different first numbers share no subscriber', () => {
    const numbers = (firstNumber: number): string[] => [
      ...allNumbers(population({ seed: 1, subscribers: 100, startAt, days: 1, firstNumber })),
    ];
    expect(new Set([...numbers(0), ...numbers(100)]).size).toBe(200);
  });

  test.each([
    ['no period', { subscribers: 10 }],
    ['an end before the start', { subscribers: 10, endAt: startAt - 1 }],
    ['no subscribers', { subscribers: 0, days: 1 }],
    ['more subscribers than numbers', { subscribers: 10_000_001, days: 1 }],
  ])('refuses %s', (_, options) => {
    expect(() => population({ seed: 1, startAt, ...options })).toThrow(RangeError);
  });

  test('a million subscribers need no object each', () => {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
    const large = population({
      seed: 1,
      subscribers: 1_000_000,
      // A minute before a day begins on the home network, so that the day's bills are planned too.
      startAt: Date.UTC(2026, 0, 5, 15, 59),
      days: 400,
      plantedShare: 0,
      profiles: 'none',
    });
    const records = large.records();
    for (let count = 0; count < 100_000; count++) records.next();
    const grown = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers - before;
    expect(grown).toBeLessThan(200e6);
  });
});

describe('planted cases', () => {
  const detected = detect(longRecords, startAt + 90 * DAY_MS);

  test.each(PLANTED_IDS.map((id) => [id, CASE_KINDS[id].description]))('%s: %s', (id) => {
    const cases = long.labels.filter((label) => label.catalogue === id);
    expect(cases).toHaveLength(3);
    for (const { servedMsisdn, from, to } of cases) {
      const at = detected.get(id as PlantedId)?.get(servedMsisdn);
      expect(at, `${servedMsisdn} shows its case`).toBeDefined();
      expect(at).toBeGreaterThanOrEqual(from);
      expect(at).toBeLessThanOrEqual(to);
    }
  });

  test('ordinary subscribers rarely trip a detection', () => {
    const planted = new Set(long.labels.map((label) => label.servedMsisdn));
    const ordinary = 240 - planted.size;
    const falsePositives: [string, number][] = [];
    for (const [id, subscribers] of detected) {
      const share = [...subscribers.keys()].filter((msisdn) => !planted.has(msisdn)).length / ordinary;
      falsePositives.push([id, share]);
    }
    expect(falsePositives.filter(([, share]) => share > 0.05)).toEqual([]);
  });

  test('cases are planted only where the period is long enough for them', () => {
    const kinds = (days: number): string[] => {
      const { labels } = population({ seed: 3, subscribers: 1000, startAt, days, plantedShare: 0.05 });
      return [...new Set(labels.map((label) => label.catalogue))].sort();
    };
    expect(kinds(1)).toEqual(['A07', 'F03', 'F05', 'F09', 'F23', 'F26', 'F27']);
    expect(kinds(90)).toEqual([...PLANTED_IDS].sort());
  });

  test('labels are one line a subscriber, with a column for each desk', () => {
    const lines = [...labelLines(allNumbers(long), long.labels)];
    expect(lines[0]).toBe('servedMsisdn,fraud,arrears,churn,catalogue\n');
    expect(lines).toHaveLength(241);
    const label = long.labels.find(({ catalogue }) => catalogue === 'A07');
    expect(lines).toContain(`${label?.servedMsisdn},0,1,0,A07\n`);
    expect(lines.filter((line) => line.endsWith(',0,0,0,\n'))).toHaveLength(240 - 36);
    const churn = [...labelLines(allNumbers(long), long.labels, ['retention'])];
    expect(churn[0]).toBe('servedMsisdn,churn,catalogue\n');
    expect(churn).toContain(`${label?.servedMsisdn},0,A07\n`);
    expect(churn.filter((line) => /,1,C0[129]\n$/.test(line))).toHaveLength(9);
  });
});

describe('mixedRecords', () => {
  test('draws the count, moves time evenly, repeats with the seed', () => {
    const records = mixed('uniform', 10_000);
    expect(records).toHaveLength(10_000);
    expect(records[9_999].eventTime).toBe(startAt + 9_999);
    expect(JSON.stringify(mixed('uniform', 10_000))).toBe(JSON.stringify(records));
    expect(new Set(records.map((record) => record.recordId)).size).toBe(10_000);
  });

  test('another draw has other ids and the same subscribers in the same cells', () => {
    const options = {
      seed: 4,
      subscribers: 50,
      distribution: 'uniform',
      count: 2_000,
      startAt,
      recordsPerSecond: 1000,
    };
    const [first, second] = [0, 1].map((draw) => [...mixedRecords({ ...(options as MixedRecordsOptions), draw })]);
    const cells = (records: RawRecord[]): unknown =>
      Object.fromEntries(
        records
          .filter(({ recordType }) => recordType === 'voice')
          .map(({ servedMsisdn, servedImsi, cellId }) => [servedMsisdn, `${servedImsi} ${cellId}`])
          .sort(),
      );
    expect(cells(second)).toEqual(cells(first));
    expect(new Set([...first, ...second].map(({ recordId }) => recordId)).size).toBe(4_000);
  });

  test('Zipf has a few hot subscribers, uniform has none', () => {
    const hottestShare = (distribution: 'zipf' | 'uniform'): number => {
      const counts = new Map<string, number>();
      for (const { servedMsisdn } of mixed(distribution, 50_000)) {
        counts.set(servedMsisdn, (counts.get(servedMsisdn) ?? 0) + 1);
      }
      return Math.max(...counts.values()) / 50_000;
    };
    // 1 / ln(10,000) is 0.11; the continuous inversion gives the first rank ln 2 of that.
    expect(hottestShare('zipf')).toBeGreaterThan(0.06);
    expect(hottestShare('zipf')).toBeLessThan(0.12);
    expect(hottestShare('uniform')).toBeLessThan(0.002);
  });
});

describe('demoFeed', () => {
  const now = Date.UTC(2026, 5, 10, 9, 30);
  const feed = demoFeed({ seed: 5, now });
  const history = [...feed.history()];

  test('history ends before now, in order of arrival, and is small enough to be digested at once', () => {
    const arrivals = history.map(arrivalOf);
    expect(backwardSteps(arrivals)).toBe(0);
    expect(arrivals.at(-1)).toBeLessThanOrEqual(now);
    expect(history.length).toBeGreaterThan(100_000);
    expect(history.length).toBeLessThan(300_000);
    expect(
      rejectedBy(history.filter((record, position) => record.recordType !== 'voice' || position % 10 === 0)),
    ).toEqual([]);
  });

  test('in the first ten seconds cases of all three desks come to their threshold, and they go on', () => {
    const records = [...history];
    let known = crossedCases(records, now);
    for (let second = 10; second <= 60; second += 10) {
      const until = now + second * SECOND_MS;
      for (let at = until - 9 * SECOND_MS; at <= until; at += SECOND_MS) {
        const live = feed.live(at);
        expect(live.filter((record) => record.eventTime > at)).toEqual([]);
        records.push(...live);
      }
      const crossed = crossedCases(records, until);
      const fresh = [...crossed].filter((found) => !known.has(found));
      const desks = new Set(fresh.map((found) => CASE_KINDS[found.slice(0, 3) as PlantedId].desk));
      expect([...desks].sort(), `seconds ${second - 10} to ${second}`).toEqual(['arrears', 'fraud', 'retention']);
      known = crossed;
    }
    const rate = (records.length - history.length) / 60;
    expect(rate).toBeGreaterThan(150);
    expect(rate).toBeLessThan(400);
    expect(rejectedBy(records.slice(history.length))).toEqual([]);
  });

  test('after a long sleep it catches up in bounded steps', () => {
    const records = feed.live(now + DAY_MS);
    expect(records).toHaveLength(LIVE_RECORDS_MAX);
  });

  /** Kind and subscriber of each case of the three desks that has come to its threshold by then, lateness included. */
  function crossedCases(records: RawRecord[], at: number): Set<string> {
    const planted = new Map(feed.labels().map((label) => [label.servedMsisdn, label.catalogue]));
    const cases = records.filter((record) => planted.has(record.servedMsisdn));
    const found = detect(
      cases.sort((one, other) => one.eventTime - other.eventTime),
      at - 5 * MINUTE_MS,
    );
    return new Set(
      [...found].flatMap(([id, subscribers]) =>
        [...subscribers.keys()].filter((msisdn) => planted.get(msisdn) === id).map((msisdn) => `${id} ${msisdn}`),
      ),
    );
  }
});

function backwardSteps(times: number[]): number {
  return times.filter((time, position) => position > 0 && time < times[position - 1]).length;
}

function mixed(distribution: 'zipf' | 'uniform', count: number): RawRecord[] {
  return [...mixedRecords({ seed: 4, subscribers: 10_000, distribution, count, startAt, recordsPerSecond: 1000 })];
}

function rejectedBy(records: RawRecord[]): unknown[] {
  const bytes = Buffer.from(records.map((record) => JSON.stringify(record)).join('\n'));
  const { records: accepted, rejections } = decodeMessage(bytes, { eventTimeMax: Date.UTC(2027, 0, 1) });
  expect(accepted.length + rejections.length).toBe(records.length);
  return rejections.slice(0, 3).map(({ reason, field, detail }) => ({ reason, field, detail }));
}

/**
 * The first twelve detections, as naive as can be: for each catalogue id, subscriber to the first event time at which
 * it shows. `records` in order of event time; timers that run out by `until` count. Shares nothing with the feed.
 */
function detect(records: RawRecord[], until: number): Map<PlantedId, Map<string, number>> {
  const found = new Map<PlantedId, Map<string, number>>(PLANTED_IDS.map((id) => [id, new Map()]));
  const bySubscriber = new Map<string, RawRecord[]>();
  for (const record of records) {
    const own = bySubscriber.get(record.servedMsisdn);
    if (own === undefined) bySubscriber.set(record.servedMsisdn, [record]);
    else own.push(record);
  }
  for (const [msisdn, own] of bySubscriber) {
    const hit = (id: PlantedId, at: number): void => {
      const hits = found.get(id);
      if (hits !== undefined && at < (hits.get(msisdn) ?? Number.POSITIVE_INFINITY)) hits.set(msisdn, at);
    };
    const calls = own.filter((record) => record.recordType === 'voice' && record.direction === 'mo');
    const since = (list: RawRecord[], from: number, to: number): RawRecord[] =>
      list.slice(firstFrom(list, from + 1), firstFrom(list, to + 1));

    const parts = new Map<string, number>();
    for (const [position, call] of calls.entries()) {
      const at = call.eventTime;
      const abroad = (record: RawRecord): boolean => record.otherNumber?.startsWith('86') === false;
      if (abroad(call)) {
        const lastHour = since(calls, at - HOUR_MS, at).filter(abroad);
        if (sum(lastHour, (record) => record.durationSec) >= 1200) hit('F03', at);
        const prefix = call.otherNumber?.slice(0, 5) ?? '';
        const lastMinute = since(calls, at - MINUTE_MS, at).filter((one) => one.otherNumber?.startsWith(prefix));
        if (lastMinute.length >= 3) hit('F05', at);
      }
      const key = call.callId ?? call.recordId;
      parts.set(key, (parts.get(key) ?? 0) + (call.durationSec ?? 0));
      if ((parts.get(key) ?? 0) >= 7200) hit('F09', at);
      for (const earlier of calls.slice(Math.max(0, position - 5), position)) {
        const overlap = Math.min(arrivalOf(earlier), arrivalOf(call)) - at;
        if (overlap >= 5 * SECOND_MS && earlier.cellId !== call.cellId) hit('F23', at);
      }
      const day = since(calls, at - DAY_MS, at);
      if (new Set(day.map((one) => one.servedImei)).size >= 3) hit('F26', at);
      if (day.length >= 80) {
        const everything = since(own, at - DAY_MS, at);
        const incoming = everything.filter((one) => one.direction === 'mt' && one.recordType === 'voice').length;
        const others = everything.filter((one) => one.recordType === 'sms' || one.recordType === 'data').length;
        const distinct = new Set(day.map((one) => one.otherNumber)).size;
        const signs = [
          distinct / day.length >= 0.85,
          incoming / day.length <= 0.05,
          new Set(day.map((one) => one.cellId)).size <= 2,
          others === 0,
        ];
        if (signs.filter(Boolean).length >= 3) hit('F27', at);
      }
    }
    detectArrears(own, until, hit);
    detectChurn(own, until, hit);
  }
  return found;
}

function detectArrears(own: RawRecord[], until: number, hit: (id: PlantedId, at: number) => void): void {
  let open: { invoiceId: string; dueTime: number; remaining: number }[] = [];
  let unbilled = 0;
  let creditLimit = Number.NaN;
  let overdueFrom = Number.POSITIVE_INFINITY;
  const usage: RawRecord[] = [];
  for (const record of own) {
    const at = record.eventTime;
    for (const { dueTime } of open) if (dueTime + 10 * DAY_MS <= at) hit('A02', dueTime + 10 * DAY_MS);
    if (typeof record.attributes?.creditLimit === 'number') creditLimit = record.attributes.creditLimit;
    if (record.recordType === 'invoice') {
      open.push({ invoiceId: record.invoiceId ?? '', dueTime: record.dueTime ?? 0, remaining: record.amount ?? 0 });
      unbilled = 0;
    } else if (record.recordType === 'payment' && record.outcome !== 'failed') {
      let left = record.amount ?? 0;
      open.sort((one, other) => one.dueTime - other.dueTime);
      for (const invoice of open) {
        if (record.invoiceId !== undefined && record.invoiceId !== invoice.invoiceId) continue;
        const paid = Math.min(left, invoice.remaining);
        invoice.remaining -= paid;
        left -= paid;
      }
      open = open.filter((invoice) => invoice.remaining > 0.001);
    }
    unbilled += record.charge ?? 0;
    const exposure = unbilled + open.reduce((total, invoice) => total + invoice.remaining, 0);
    if (exposure / creditLimit >= 0.8) hit('A07', at);
    overdueFrom = Math.min(...open.map((invoice) => invoice.dueTime));
    if (record.recordType === 'voice' || record.recordType === 'sms' || record.recordType === 'data') {
      usage.push(record);
      if (overdueFrom >= at) continue;
      const today = usage.length - firstFrom(usage, at - DAY_MS + 1);
      const days = new Map<number, number>();
      for (const one of usage.slice(firstFrom(usage, at - 28 * DAY_MS), firstFrom(usage, at - DAY_MS))) {
        const day = Math.floor(one.eventTime / DAY_MS);
        days.set(day, (days.get(day) ?? 0) + 1);
      }
      const mean = [...days.values()].reduce((total, count) => total + count, 0) / days.size;
      if (days.size >= 10 && today >= 3 * mean) hit('A10', at);
    }
  }
  for (const { dueTime } of open) if (dueTime + 10 * DAY_MS <= until) hit('A02', dueTime + 10 * DAY_MS);
}

function detectChurn(own: RawRecord[], until: number, hit: (id: PlantedId, at: number) => void): void {
  const active = own.filter(
    (record) =>
      record.recordType === 'data' ||
      record.recordType === 'topup' ||
      ((record.recordType === 'voice' || record.recordType === 'sms') && record.direction === 'mo'),
  );
  for (const { eventTime: at } of active) {
    if (at - own[0].eventTime < 70 * DAY_MS) continue;
    const from14 = firstFrom(active, at - 14 * DAY_MS + 1);
    const recent = firstFrom(active, at + 1) - from14;
    const prior = from14 - firstFrom(active, at - 70 * DAY_MS + 1);
    if (recent / 14 <= (0.6 * prior) / 56) hit('C01', at);
  }
  const outgoing = own.filter((record) => record.direction === 'mo').map((record) => record.eventTime);
  const gaps: number[] = [];
  for (const [position, at] of outgoing.entries()) {
    const next = outgoing[position + 1] ?? until;
    const median = [...gaps].sort((one, other) => one - other)[Math.floor(gaps.length / 2)] ?? 0;
    const limit = Math.max(7 * DAY_MS, 3 * median);
    if (next - at >= limit) hit('C02', at + limit);
    gaps.push(next - at);
    // The median of the last few gaps is enough here, and keeps this from becoming quadratic.
    if (gaps.length > 25) gaps.shift();
  }
  const complaints = own.filter((record) => record.recordType === 'care' && record.reason === 'complaint');
  const openedAt = new Map<string, number>();
  const opened: number[] = [];
  for (const { eventTime: at, ticketId = '', attributes } of [
    ...complaints,
    { eventTime: until, ticketId: undefined, attributes: undefined },
  ]) {
    for (const since of openedAt.values()) if (at - since > 5 * DAY_MS) hit('C09', since + 5 * DAY_MS);
    if (attributes === undefined) break;
    if (attributes.resolved === true) {
      openedAt.delete(ticketId);
    } else {
      openedAt.set(ticketId, at);
      opened.push(at);
      if (opened.filter((earlier) => earlier > at - 30 * DAY_MS).length >= 2) hit('C09', at);
    }
  }
}

function sum(records: RawRecord[], value: (record: RawRecord) => number | undefined): number {
  return records.reduce((total, record) => total + (value(record) ?? 0), 0);
}

/** Index of the first record at or after `at` in a list in order of event time. */
function firstFrom(records: RawRecord[], at: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (records[middle].eventTime < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
