/** Rules that look at alerts: what such a record says, in which order it is looked at, and where it ends. */
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { LOOPBACK_DEPTH_MAX, LOOPBACK_RECORDS_MAX } from '../src/alerts/loopback.ts';
import { DEFAULTS } from '../src/config.ts';
import type { Engine } from '../src/engine.ts';
import { decodeMessage } from '../src/record/decode.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { runRuleTests } from '../src/rule-changes/rule-test.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import type { Rule } from '../src/rules/rule.ts';
import {
  applyAll,
  BEGIN,
  engineWith,
  HOUR_MS,
  MINUTE_MS,
  numberingPlan,
  pass,
  recordAt,
  restartedFromDisk,
  ruleWith,
  sourceOf,
  utc,
} from './rule-engine.ts';

const CARDS = ['460000000000001', '460000000000002', '460000000000003'];

/** Two calls of one card: a warning; four: critical. */
const busyCard = (fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    id: 'fraud.busy-card',
    catalogue: 'F91',
    key: 'imsi',
    on: 'voice',
    features: { calls: { aggregate: 'count', window: '1h' } },
    bands: [
      { severity: 'warning', if: 'calls >= 2', score: 40 },
      { severity: 'critical', if: 'calls >= 4', score: 80 },
    ],
    ...fields,
  });
/** Alerts of that rule for two cards of one cell. */
const busyCell = (fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    id: 'fraud.busy-cell',
    catalogue: 'F92',
    key: 'cell',
    on: 'alert',
    where: "alertCatalogue == 'F91'",
    features: { cards: { aggregate: 'distinct', of: 'servedImsi', window: '24h' } },
    bands: [{ severity: 'warning', if: 'cards >= 2', score: 50 }],
    reason: { en: '{cards} cards', 'zh-CN': '{cards}张卡' },
    ...fields,
  });

const call = (minute: number, card: number, fields: Partial<UsageRecord> = {}): UsageRecord =>
  recordAt(minute * MINUTE_MS, { servedImsi: CARDS[card]!, cellId: 'north', ...fields });
const lines = (alerts: readonly AlertData[]): string[] =>
  alerts.map(({ catalogue, key, severity, status }) => `${catalogue} ${key.value} ${severity} ${status}`);

describe('an alert as a record', () => {
  test('of a timer comes before what its key has due later, also where time jumps', () => {
    const rules = [
      ruleWith({
        id: 'fraud.quiet',
        catalogue: 'F91',
        features: { lastCallAt: { aggregate: 'lastAt' } },
        evaluateAt: 'lastCallAt + 2h',
        bands: [{ severity: 'warning', if: 'now - lastCallAt >= 2h && now - lastCallAt < 3h', score: 40 }],
      }),
      ruleWith({
        id: 'fraud.after-quiet',
        catalogue: 'F92',
        on: 'alert',
        where: "alertCatalogue == 'F91'",
        features: { alerts: { aggregate: 'count', window: '6h' } },
        evaluateEvery: '1h',
        bands: [{ severity: 'warning', if: 'alerts >= 1', score: 50 }],
      }),
      ruleWith({
        id: 'fraud.decline',
        catalogue: 'F93',
        features: { calls: { aggregate: 'count', window: '4h' }, callsOfDay: { aggregate: 'count', window: '24h' } },
        evaluateEvery: '1h',
        bands: [{ severity: 'warning', if: 'calls == 0 && callsOfDay > 0', score: 50 }],
      }),
    ];
    const run = (tickHours: number): string[] => {
      const engine = engineWith(rules);
      const alerts = applyAll(engine, [call(0, 0)]);
      for (let hour = tickHours; hour <= 72; hour += tickHours) alerts.push(...pass(engine, hour * HOUR_MS));
      return alerts.map(({ catalogue, status, eventTime }) => `${eventTime} ${catalogue} ${status}`);
    };
    const slow = run(1);
    expect(slow.map((line) => line.slice(14)).toSorted()).toEqual(
      ['F91', 'F92', 'F93'].flatMap((id) => [`${id} firing`, `${id} resolved`]),
    );
    expect(run(72)).toEqual(slow);
  });

  test('is looked at right after the record that made it fire, with the fields of that record', () => {
    const engine = engineWith([busyCell(), busyCard()]);
    const records = [call(0, 0), call(1, 0), call(2, 1), call(3, 1)];
    const alerts = applyAll(engine, records);
    expect(lines(alerts)).toEqual([
      `F91 ${CARDS[0]} warning firing`,
      `F91 ${CARDS[1]} warning firing`,
      'F92 north warning firing',
    ]);
    expect(alerts[2]).toMatchObject({
      triggerRecordId: records[3]!.recordId,
      eventTime: records[3]!.eventTime,
      reason: { en: '2 cards' },
    });
  });

  test('groups by the cell of the last call, so cells are kept apart', () => {
    const engine = engineWith([busyCell(), busyCard()]);
    const south = { cellId: 'south' };
    expect(lines(applyAll(engine, [call(0, 0), call(1, 0), call(2, 1, south), call(3, 1, south)]))).toEqual([
      `F91 ${CARDS[0]} warning firing`,
      `F91 ${CARDS[1]} warning firing`,
    ]);
  });

  test('is no applied record, and nothing that anyone can send', () => {
    const engine = engineWith([busyCell(), busyCard()]);
    applyAll(engine, [call(0, 0), call(1, 0)]);
    expect(engine.counts()).toEqual({ applied: 2, duplicate: 0, late: 0 });
    const raw = { recordId: 'x', recordType: 'alert', eventTime: BEGIN, servedMsisdn: '861390000001' };
    const { records, rejections } = decodeMessage(Buffer.from(JSON.stringify(raw)), { eventTimeMax: BEGIN * 2 });
    expect(records).toEqual([]);
    expect(rejections[0]).toMatchObject({ reason: 'unknownType', field: 'recordType' });
  });

  test('comes again when the alert rises, and says so', () => {
    const rose = busyCell({
      id: 'fraud.rose',
      catalogue: 'F93',
      where: "alertRule == 'fraud.busy-card' && alertRevision == 2 && alertSeverity == 'critical' && alertScore == 80",
      features: { cards: { aggregate: 'count', window: '24h' } },
      bands: [{ severity: 'warning', if: "cards >= 1 && alertDesk == 'fraud'", score: 50 }],
    });
    const engine = engineWith([rose, busyCard()]);
    expect(lines(applyAll(engine, [call(0, 0), call(1, 0), call(2, 0)]))).toEqual([`F91 ${CARDS[0]} warning firing`]);
    expect(lines(applyAll(engine, [call(3, 0)]))).toEqual([
      `F91 ${CARDS[0]} critical firing`,
      'F93 north warning firing',
    ]);
  });

  test('that resolves is none', () => {
    const engine = engineWith([busyCell({ bands: [{ severity: 'warning', if: 'cards >= 1', score: 1 }] }), busyCard()]);
    applyAll(engine, [call(0, 0), call(1, 0)]);
    const later = pass(engine, 30 * HOUR_MS);
    expect(lines(later)).toEqual([`F91 ${CARDS[0]} warning resolved`, 'F92 north warning resolved']);
  });

  test('fills in the field of its key: account, handset, dealer and the others', () => {
    const made = (key: Rule['key'], fields: Partial<UsageRecord>, over: Rule['key'] = key): string[] => {
      const first = busyCard({ key, bands: [{ severity: 'warning', if: 'calls >= 1', score: 40 }] });
      const second = busyCell({ key: over, bands: [{ severity: 'warning', if: 'cards >= 0', score: 40 }] });
      return applyAll(engineWith([first, second]), [recordAt(0, fields)]).map(({ key: { value } }) => value);
    };
    expect(made('account', { accountId: 'A-1' })).toEqual(['A-1', 'A-1']);
    // A subscriber without an account is its own; so is the alert's.
    expect(made('account', {})).toEqual(['861390000001', '861390000001']);
    expect(made('imei', { servedImei: '35000000000001' })).toEqual(['35000000000001', '35000000000001']);
    expect(made('otherNumber', {})).toEqual(['8613700000000', '8613700000000']);
    expect(made('trunk', { trunkId: 't' })).toEqual(['t', 't']);
    expect(made('carrier', { carrierId: 'c' })).toEqual(['c', 'c']);
    expect(made('servingPlmn', { servingPlmn: '46000' })).toEqual(['46000', '46000']);
    expect(made('dealer', { attributes: { dealerId: 'd' } })).toEqual(['d', 'd']);
    expect(made('subscriber+prefix', { otherNumber: '442071234567' }, 'subscriber')[1]).toBe('861390000001');
  });

  test('knows of a timer what the key says: subscriber, account and card behind it', () => {
    const silence = ruleWith({
      id: 'fraud.silence',
      catalogue: 'F91',
      features: { lastAt: { aggregate: 'lastAt' } },
      evaluateAt: 'lastAt + 1h',
      bands: [{ severity: 'warning', if: 'now - lastAt >= 1h', score: 50 }],
      suppress: { for: '10m' },
    });
    const account = busyCell({
      id: 'fraud.by-account',
      key: 'account',
      features: { alerts: { aggregate: 'count', window: '24h' }, at: { aggregate: 'last', of: 'eventTime' } },
      bands: [{ severity: 'warning', if: 'alerts >= 1 && !has(otherNumber)', score: 50 }],
      reason: { en: '{alerts} alerts', 'zh-CN': '{alerts}' },
    });
    const engine = engineWith([silence, account]);
    applyAll(engine, [recordAt(0, { accountId: 'A-1' })]);
    const alerts = pass(engine, 2 * HOUR_MS);
    expect(lines(alerts)).toEqual(['F91 861390000001 warning firing', 'F92 A-1 warning firing']);
    expect(alerts.map(({ triggerRecordId }) => triggerRecordId)).toEqual(Array(2).fill(`timer:${BEGIN + HOUR_MS}`));
    expect(alerts[1]).toMatchObject({ servedMsisdn: '861390000001', eventTime: BEGIN + HOUR_MS });
  });
});

describe('alerts over alerts', () => {
  /** Rule n looks at the alerts of rule n - 1. */
  const chain = (length: number): Rule[] =>
    Array.from({ length }, (_, n) =>
      ruleWith({
        id: `fraud.link-${n}`,
        on: n === 0 ? 'voice' : 'alert',
        ...(n === 0 ? {} : { where: `alertRule == 'fraud.link-${n - 1}'` }),
        features: { seen: { aggregate: 'count', window: '1h' } },
        bands: [{ severity: 'warning', if: 'seen >= 1', score: 50 }],
      }),
    );

  test('go to a limited depth, and what is beyond is counted', () => {
    const engine = engineWith(chain(LOOPBACK_DEPTH_MAX + 2));
    const alerts = applyAll(engine, [recordAt(0)]);
    expect(alerts.map(({ ruleId }) => ruleId)).toEqual(
      Array.from({ length: LOOPBACK_DEPTH_MAX + 1 }, (_, n) => `fraud.link-${n}`),
    );
    expect(engine.stats().loopbacksCut).toBe(1);
  });

  test('a rule that looks at its own alerts holds its episode, and that is all', () => {
    const self = ruleWith({
      id: 'fraud.self',
      on: ['voice', 'alert'],
      bands: [{ severity: 'info', if: 'now == now', score: 1 }],
    });
    const engine = engineWith([self]);
    expect(applyAll(engine, [recordAt(0), recordAt(MINUTE_MS)])).toHaveLength(1);
    expect(engine.stats().loopbacksCut).toBe(0);
  });

  test('one record leads to a limited number of them', () => {
    const many = Array.from({ length: LOOPBACK_RECORDS_MAX + 10 }, (_, n) => ruleWith({ id: `fraud.one-${n}` }));
    const over = busyCell({
      key: 'subscriber',
      where: 'alertScore > 0',
      features: { alerts: { aggregate: 'count', window: '24h' } },
      bands: [{ severity: 'warning', if: `alerts >= ${LOOPBACK_RECORDS_MAX}`, score: 1 }],
      reason: { en: '{alerts}', 'zh-CN': '{alerts}' },
    });
    const engine = engineWith([...many, over]);
    const alerts = applyAll(engine, [recordAt(0)]);
    expect(alerts).toHaveLength(LOOPBACK_RECORDS_MAX + 11);
    // Ten of the record itself, and the one over them, for which there was no room either.
    expect(engine.stats().loopbacksCut).toBe(11);
    // The next record begins afresh.
    expect(applyAll(engine, [recordAt(MINUTE_MS)])).toEqual([]);
  });

  test('nothing is kept or looked at where no rule asks for alerts', () => {
    const engine = engineWith([busyCard()]);
    applyAll(engine, [call(0, 0), call(1, 0)]);
    expect(engine.stats().loopbacksCut).toBe(0);
    expect(engine.ruleSet().plans.alert.isEmpty).toBe(true);
  });
});

test('a restored engine goes on the same', async () => {
  const rules = [busyCell(), busyCard()];
  const records = [call(0, 0), call(1, 0), call(2, 1), call(3, 1), call(4, 2), call(5, 2), call(6, 2), call(7, 2)];
  const expected = applyAll(engineWith(rules), records);
  expect(expected.length).toBeGreaterThan(3);
  for (let at = 1; at < records.length; at++) {
    const engine = engineWith(rules);
    const alerts = applyAll(engine, records.slice(0, at));
    expect([...alerts, ...applyAll(await restartedFromDisk(engine), records.slice(at))]).toEqual(expected);
  }
});

describe('in the tests of a rule', () => {
  const resultsOf = (rule: Rule): (boolean | string)[] =>
    runRuleTests(sourceOf(rule), { numberingPlan, localTime: utc }).map(({ ok, detail }) => ok || detail);

  test('a step gives an alert of another rule in place of its record', () => {
    const alertOf = (n: number) => ({
      alert: { catalogue: 'F91' },
      record: {
        recordType: 'voice',
        direction: 'mo',
        otherNumber: '8613',
        durationSec: 1,
        cellId: 'north',
        servedImsi: CARDS[n],
      },
    });
    const tests: Rule['tests'] = [
      { name: 'two cards', steps: [alertOf(0), alertOf(1)], expect: [{ severity: 'warning', key: 'north' }] },
      { name: 'one card twice', steps: [alertOf(0), alertOf(0)], expect: [] },
      {
        name: 'of another rule',
        steps: [alertOf(0), { ...alertOf(1), alert: { catalogue: 'F01' } }],
        expect: [],
      },
      { name: 'the records alone', steps: [{ record: alertOf(0).record }, { record: alertOf(1).record }], expect: [] },
    ];
    expect(resultsOf(busyCell({ tests }))).toEqual([true, true, true, true]);
  });

  test('an alert without a record is one of a timer', () => {
    const tests: Rule['tests'] = [
      { name: 'of the subscriber', steps: [{ alert: { severity: 'critical' } }], expect: [{ key: '861390000001' }] },
      { name: 'not severe', steps: [{ alert: {} }], expect: [] },
    ];
    const rule = busyCell({
      key: 'subscriber',
      where: "alertSeverity == 'critical'",
      features: { alerts: { aggregate: 'count', window: '1h' } },
      bands: [{ severity: 'warning', if: 'alerts >= 1', score: 1 }],
      reason: { en: '{alerts}', 'zh-CN': '{alerts}' },
      tests,
    });
    expect(resultsOf(rule)).toEqual([true, true]);
  });
});

describe('the shipped rules over alerts', () => {
  const { sources } = parseRules(readRuleFiles(DEFAULTS.rules));
  const shipped = (...catalogue: string[]): Engine =>
    engineWith(sources.flatMap(({ rule }) => (catalogue.includes(rule.catalogue) ? [rule] : [])));

  test('F28 sees the cards that F27 finds in one cell', () => {
    const engine = shipped('F27', 'F28');
    const records = Array.from({ length: 5 * 80 }, (_, n) =>
      recordAt(n * MINUTE_MS, {
        servedImsi: `46000000000000${n % 5}`,
        servedMsisdn: `86139000000${n % 5}`,
        otherNumber: `8613700${100_000 + n}`,
        cellId: 'north',
      }),
    );
    const alerts = applyAll(engine, records);
    expect(alerts.filter(({ catalogue }) => catalogue === 'F27')).toHaveLength(5);
    expect(lines(alerts.filter(({ catalogue }) => catalogue === 'F28'))).toEqual(['F28 north warning firing']);
  });

  test('F44 sees the first bills that A08 finds unpaid, though only a timer speaks of them', () => {
    const engine = shipped('A08', 'F44');
    const day = 24 * HOUR_MS;
    const alerts: AlertData[] = [];
    const lines20 = Array.from({ length: 20 }, (_, n) => `8613900000${10 + n}`);
    const give = (at: number, fields: Partial<UsageRecord>): void => {
      engine.apply(recordAt(at, { direction: '', otherNumber: '', ...fields }), alerts);
    };
    for (const servedMsisdn of lines20) {
      const accountId = `A-${servedMsisdn}`;
      const attributes = { dealerId: 'd-1' };
      give(0, { recordType: 'account', event: 'activated', servedMsisdn, accountId, attributes });
    }
    // Every line is used; six do not pay.
    for (const servedMsisdn of lines20) give(day, { servedMsisdn, direction: 'mo', otherNumber: '8613700000000' });
    for (const [n, servedMsisdn] of lines20.entries()) {
      const bill = { servedMsisdn, accountId: `A-${servedMsisdn}`, invoiceId: `I-${n}` };
      const amountMicros = 50_000_000;
      give(2 * day, { ...bill, recordType: 'invoice', amountMicros, dueTime: BEGIN + 10 * day });
      if (n >= 6) give(3 * day, { ...bill, recordType: 'payment', amountMicros });
    }
    alerts.push(...pass(engine, 18 * day));
    expect(alerts.filter(({ catalogue }) => catalogue === 'A08')).toHaveLength(6);
    const [dealer, ...more] = alerts.filter(({ catalogue }) => catalogue === 'F44');
    expect(dealer).toMatchObject({ key: { value: 'd-1' }, triggerRecordId: `timer:${dealer!.eventTime}` });
    expect(dealer!.reason.en).toContain('6 of 20');
    expect(more).toEqual([]);
  });
});
