import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AlertData, DESKS, SEVERITIES } from '../src/alerts/alert.ts';
import {
  type AlertEntry,
  type AlertFilter,
  type AlertIndex,
  type AlertPosition,
  cursorOf,
  openAlertIndex,
  positionOf,
} from '../src/http/alert-index.ts';

function entry(sequence: number, fields: Partial<AlertData> = {}): AlertEntry {
  const alert: AlertData = {
    alertId: `a${sequence}`,
    revision: 1,
    status: 'firing',
    ruleId: 'fraud.irsf-burst',
    ruleVersion: 1,
    catalogue: 'F03',
    desk: 'fraud',
    severity: 'warning',
    title: { en: 'Burst', 'zh-CN': '突发' },
    key: { type: 'subscriber', value: '8613800000001' },
    servedMsisdn: '8613800000001',
    eventTime: 1_700_000_000_000 + sequence,
    triggerRecordId: `r${sequence}`,
    reason: { en: 'Because.', 'zh-CN': '因为。' },
    evidence: [],
    score: 50,
    suggestedActions: [],
    observedSince: 0,
    ...fields,
  };
  return { sequence, alert, json: JSON.stringify(alert) };
}

async function idsOf(index: AlertIndex, filter: AlertFilter = {}, limit = 500): Promise<string[]> {
  const { alerts } = await index.query(filter, { limit });
  return alerts.map((json) => (JSON.parse(json) as AlertData).alertId);
}

/** All pages one after the other. */
async function walk(index: AlertIndex, filter: AlertFilter, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let after: AlertPosition | undefined;
  do {
    const page = await index.query(filter, { limit, after });
    ids.push(...page.alerts.map((json) => (JSON.parse(json) as AlertData).alertId));
    after = page.next ?? undefined;
  } while (after !== undefined);
  return ids;
}

describe('alert index', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringfence-index-'));
    path = join(folder, 'alert-index.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('lists the latest revision of an alert once, at its newest place', async () => {
    const index = openAlertIndex(':memory:');
    index.apply([entry(1, { alertId: 'x', eventTime: 100 }), entry(2, { alertId: 'y', eventTime: 200 })], 2);
    expect(await idsOf(index)).toEqual(['y', 'x']);
    index.apply([entry(3, { alertId: 'x', eventTime: 300, revision: 2, severity: 'critical' })], 3);
    expect(await idsOf(index)).toEqual(['x', 'y']);
    const { alerts } = await index.query({ severity: 'critical' }, { limit: 5 });
    expect(alerts.map((json) => JSON.parse(json))).toMatchObject([{ alertId: 'x', revision: 2 }]);
    expect(await idsOf(index, { severity: 'warning' })).toEqual(['y']);
  });

  it('answers every filter as a list that keeps everything would', async () => {
    const desk = fc.constantFrom(...DESKS);
    const severity = fc.constantFrom(...SEVERITIES);
    const status = fc.constantFrom('firing' as const, 'resolved' as const);
    const ruleId = fc.constantFrom('r1', 'r2');
    const servedMsisdn = fc.constantFrom('8613800000001', '8613800000002');
    const eventTime = fc.integer({ min: 0, max: 20 });
    const alerts = fc.array(
      fc.record({
        alertId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
        desk,
        severity,
        status,
        ruleId,
        eventTime,
        servedMsisdn,
      }),
      { maxLength: 40 },
    );
    const filters = fc.record(
      { desk, severity, status, ruleId, servedMsisdn, from: eventTime, to: eventTime },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(alerts, filters, fc.integer({ min: 1, max: 7 }), async (drawn, filter, limit) => {
        const index = openAlertIndex(':memory:');
        const latest = new Map<string, AlertEntry>();
        for (const [position, fields] of drawn.entries()) {
          const made = entry(position + 1, fields);
          index.apply([made], made.sequence);
          latest.set(fields.alertId, made);
        }
        const expected = [...latest.values()]
          .filter(
            ({ alert }) =>
              (filter.desk ?? alert.desk) === alert.desk &&
              (filter.severity ?? alert.severity) === alert.severity &&
              (filter.status ?? alert.status) === alert.status &&
              (filter.ruleId ?? alert.ruleId) === alert.ruleId &&
              (filter.servedMsisdn ?? alert.servedMsisdn) === alert.servedMsisdn &&
              alert.eventTime >= (filter.from ?? 0) &&
              alert.eventTime < (filter.to ?? 21),
          )
          .sort((a, b) => b.alert.eventTime - a.alert.eventTime || b.sequence - a.sequence)
          .map(({ alert }) => alert.alertId);
        expect(await walk(index, filter, limit)).toEqual(expected);
        index.close();
      }),
      { numRuns: 300 },
    );
  });

  it('finds rare alerts behind many others, slice by slice', async () => {
    const index = openAlertIndex(':memory:');
    const many = Array.from({ length: 12_000 }, (_, i) =>
      entry(i + 1, { severity: i % 5_000 === 7 ? 'critical' : 'info', status: i === 11_999 ? 'resolved' : 'firing' }),
    );
    index.apply(many, many.length);
    expect(await walk(index, { severity: 'critical' }, 2)).toEqual(['a10008', 'a5008', 'a8']);
    expect(await idsOf(index, { desk: 'arrears' })).toEqual([]);
    expect(await idsOf(index, { status: 'resolved' })).toEqual(['a12000']);
    expect(await idsOf(index, { severity: 'critical', from: 1_700_000_000_000 + 5_009 })).toEqual(['a10008']);
    index.close();
  });

  it('goes on from a cursor though alerts arrive in between', async () => {
    const index = openAlertIndex(':memory:');
    index.apply(
      [1, 2, 3, 4, 5].map((n) => entry(n)),
      5,
    );
    const first = await index.query({}, { limit: 2 });
    expect(first.next).not.toBeNull();
    index.apply([entry(6), entry(7)], 7);
    const second = await index.query({}, { limit: 2, after: positionOf(cursorOf(first.next!)) });
    const ids = [...first.alerts, ...second.alerts].map((json) => (JSON.parse(json) as AlertData).alertId);
    expect(ids).toEqual(['a5', 'a4', 'a3', 'a2']);
  });

  it('refuses cursors that are none of ours', () => {
    expect(positionOf(cursorOf({ eventTime: -5, sequence: 9 }))).toEqual({ eventTime: -5, sequence: 9 });
    for (const text of [
      '',
      'x',
      '%%%',
      Buffer.from('1').toString('base64url'),
      Buffer.from("1.1'").toString('base64url'),
    ]) {
      expect(positionOf(text)).toBeUndefined();
    }
  });

  it('keeps the newest alerts up to its limit', async () => {
    const index = openAlertIndex(':memory:', { rowsMax: 100 });
    for (let n = 1; n <= 1_000; n++) {
      // Event time runs against the sequence at first: what counts as old is the event.
      index.apply([entry(n, { eventTime: n <= 500 ? 10_000 - n : 20_000 + n })], n);
      expect(index.rows()).toBeLessThanOrEqual(100);
    }
    const ids = await idsOf(index);
    expect(ids.length).toBeGreaterThanOrEqual(50);
    expect(ids).toEqual(Array.from({ length: ids.length }, (_, i) => `a${1000 - i}`));
    expect(index.lastSequence()).toBe(1_000);
  });

  it('remembers its position and its stream, in one piece with the rows', async () => {
    const index = openAlertIndex(path);
    index.reset('2026-11-22T00:00:00Z');
    index.apply([entry(3), entry(4)], 9);
    index.close();
    const again = openAlertIndex(path);
    expect([again.lastSequence(), again.stream(), again.rows()]).toEqual([9, '2026-11-22T00:00:00Z', 2]);
    again.forgetBefore(4);
    expect(await idsOf(again)).toEqual(['a4']);
    again.reset('another');
    expect([again.lastSequence(), again.stream(), again.rows()]).toEqual([0, 'another', 0]);
    again.close();
  });

  it.each([
    ['text', (file: string) => writeFileSync(file, 'This is no database at all, and it is long enough to be read.')],
    [
      'a torn page',
      (file: string) => {
        const bytes = readFileSync(file);
        bytes.fill(0xa5, 4096, Math.min(bytes.length, 20_480));
        writeFileSync(file, bytes);
      },
    ],
    [
      'another form',
      (file: string) => {
        const db = new DatabaseSync(file);
        db.exec('PRAGMA user_version = 999');
        db.close();
      },
    ],
  ])('throws a file away that holds %s, and starts empty', async (_name, damage) => {
    const index = openAlertIndex(path);
    index.apply(
      Array.from({ length: 200 }, (_, i) => entry(i + 1)),
      200,
    );
    index.close();
    expect(existsSync(path)).toBe(true);
    damage(path);
    const again = openAlertIndex(path);
    expect([again.lastSequence(), again.rows()]).toEqual([0, 0]);
    again.apply([entry(1)], 1);
    expect(await idsOf(again)).toEqual(['a1']);
    again.close();
  });
});
