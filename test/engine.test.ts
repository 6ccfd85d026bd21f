import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AlertData, alertSubject } from '../src/alerts/alert.ts';
import { DEFAULTS } from '../src/config.ts';
import { createEngine, type Engine, type EngineMeta, RULE_ERRORS_MAX, TIMERS_STEP_MAX } from '../src/engine.ts';
import { population } from '../src/feed/population.ts';
import { decodeMessage } from '../src/record/decode.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseRules, readRuleFiles, versionOf } from '../src/rules/load.ts';
import { KEY_GROUPS, KEY_TYPES, type Rule } from '../src/rules/rule.ts';
import { PAGE_UNITS, SIZE_CLASSES } from '../src/state/arena.ts';
import {
  applyAll,
  BEGIN,
  DAY_MS,
  engineWith,
  HOUR_MS,
  lineOf,
  MINUTE_MS,
  numberingPlan,
  pass,
  recordAt,
  restarted,
  restartedFromDisk,
  ruleWith,
  SUBSCRIBER,
  sourceOf,
  utc,
} from './rule-engine.ts';

/** Calls of the last hour: a warning from 3, critical from 5. */
const burst = (fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    id: 'fraud.burst',
    features: { calls: { aggregate: 'count', window: '1h' } },
    bands: [
      { severity: 'warning', if: 'calls >= 3', score: 50 },
      { severity: 'critical', if: 'calls >= 5', score: 90 },
    ],
    reason: { en: '{calls} calls (threshold {threshold})', 'zh-CN': '{calls}次（阈值{threshold}）' },
    ...fields,
  });

/** Nothing for an hour. */
const silence = (fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    id: 'fraud.silence',
    features: { silentFor: { aggregate: 'sinceLast' }, lastAt: { aggregate: 'lastAt' } },
    evaluateAt: 'lastAt + 1h',
    bands: [{ severity: 'warning', if: 'silentFor >= 1h', score: 50 }],
    suppress: { for: '10m' },
    ...fields,
  });

const calls = (minutes: readonly number[], fields: Partial<UsageRecord> = {}): UsageRecord[] =>
  minutes.map((minute) => recordAt(minute * MINUTE_MS, fields));

describe('one record', () => {
  test('counts itself, and says why it fired', () => {
    const engine = engineWith([burst()]);
    const [third, fifth, ...others] = applyAll(engine, calls([0, 10, 20, 21, 22, 23]));
    expect(others).toEqual([]);
    expect(third).toMatchObject({
      revision: 1,
      status: 'firing',
      severity: 'warning',
      ruleId: 'fraud.burst',
      ruleVersion: 1,
      catalogue: 'F90',
      desk: 'fraud',
      key: { type: 'subscriber', value: SUBSCRIBER },
      servedMsisdn: SUBSCRIBER,
      eventTime: BEGIN + 20 * MINUTE_MS,
      reason: { en: '3 calls (threshold 3)', 'zh-CN': '3次（阈值3）' },
      evidence: [{ feature: 'calls', window: '1h', value: 3, threshold: 3, unit: 'count' }],
      score: 50,
      fraudType: 'irsf',
      enabler: 'subscription',
      suggestedActions: [],
      observedSince: BEGIN,
    });
    expect(fifth).toMatchObject({ revision: 2, severity: 'critical', score: 90, alertId: third!.alertId });
    expect(third!.alertId).toMatch(/^[0-9a-f]{32}$/);
  });

  test('that came before changes nothing, whatever else it says now', () => {
    const engine = engineWith([burst()]);
    const [first, ...more] = calls([0, 10, 20]);
    const alerts: AlertData[] = [];
    expect(
      [first!, first!, { ...first!, eventTime: first!.eventTime + 1, servedMsisdn: '861390000009' }].map((one) =>
        engine.apply(one, alerts),
      ),
    ).toEqual(['applied', 'duplicate', 'duplicate']);
    for (const record of more) engine.apply(record, alerts);
    expect(alerts.map(({ evidence }) => evidence[0]!.value)).toEqual([3]);
    expect(engine.counts()).toEqual({ applied: 3, duplicate: 2, late: 0 });
    expect(engine.inspectSubscriber('861390000009')).toBeUndefined();
  });

  test('out of order goes where it belongs, and rules look at the clock of the key', () => {
    const engine = engineWith([burst()]);
    const alerts = applyAll(engine, calls([50, 40, 0]));
    expect(alerts.map(lineOf)).toEqual(['1 warning firing 50']);
    expect(engine.inspectSubscriber(SUBSCRIBER)).toMatchObject({
      firstSeenAt: BEGIN,
      lastSeenAt: BEGIN + 50 * MINUTE_MS,
    });
  });

  test('older than every window of its type is late: counted, kept nowhere', () => {
    const engine = engineWith([
      burst(),
      ruleWith({
        id: 'fraud.sms',
        on: 'sms',
        features: { texts: { aggregate: 'count', window: '1d' } },
        bands: [{ severity: 'info', if: 'texts >= 1', score: 1 }],
      }),
    ]);
    const alerts: AlertData[] = [];
    engine.apply(recordAt(DAY_MS), alerts);
    // Calls have a window of an hour, texts one of a day.
    expect(engine.apply(recordAt(DAY_MS - HOUR_MS), alerts)).toBe('applied');
    expect(engine.apply(recordAt(DAY_MS - HOUR_MS - 1), alerts)).toBe('late');
    expect(engine.apply(recordAt(DAY_MS - HOUR_MS - 1, { recordType: 'sms' }), alerts)).toBe('applied');
    // Another subscriber, whose own clock is not that far.
    expect(engine.apply(recordAt(0, { servedMsisdn: '861390000002' }), alerts)).toBe('applied');
    expect(engine.counts()).toEqual({ applied: 4, duplicate: 0, late: 1 });
    expect(engine.inspectSubscriber(SUBSCRIBER)!.firstSeenAt).toBe(BEGIN + DAY_MS - HOUR_MS - 1);
  });

  test('of a type that no rule has a window for is never late', () => {
    const engine = engineWith([
      ruleWith({ id: 'fraud.long', bands: [{ severity: 'warning', if: 'durationSec >= 7200', score: 50 }] }),
    ]);
    const alerts: AlertData[] = [];
    engine.apply(recordAt(DAY_MS), alerts);
    expect(engine.apply(recordAt(0, { durationMs: 7_200_000 }), alerts)).toBe('applied');
    expect(engine.apply(recordAt(0, { recordType: 'topup' }), alerts)).toBe('applied');
    expect(alerts.map(lineOf)).toEqual([`1 warning firing ${DAY_MS / MINUTE_MS}`]);
  });

  test('that is late for the windows of other rules is still judged by a rule without windows', () => {
    const long = ruleWith({ id: 'fraud.long', bands: [{ severity: 'warning', if: 'durationSec >= 7200', score: 50 }] });
    const engine = engineWith([burst(), long]);
    const alerts = applyAll(engine, [recordAt(DAY_MS), recordAt(0, { durationMs: 7_200_000 })]);
    expect(alerts.map(({ ruleId }) => ruleId)).toEqual(['fraud.long']);
    expect(engine.counts().late).toBe(1);
  });
});

describe('keys', () => {
  const fields: Partial<
    Record<(typeof KEY_TYPES)[number], [same: Partial<UsageRecord>, other: Partial<UsageRecord>, value: string]>
  > = {
    subscriber: [{}, { servedMsisdn: '861390000002' }, SUBSCRIBER],
    account: [{ accountId: 'A/1' }, { accountId: 'A/2' }, 'A/1'],
    imsi: [{ servedImsi: '460001234567890' }, { servedImsi: '460001234567891' }, '460001234567890'],
    imei: [{ servedImei: '0035209900176148' }, { servedImei: '35209900176148' }, '0035209900176148'],
    cell: [{ cellId: 'c-1' }, { cellId: 'c-2' }, 'c-1'],
    otherNumber: [{ otherNumber: 'PARCEL' }, { otherNumber: 'parcel' }, 'PARCEL'],
    trunk: [{ trunkId: 't' }, { trunkId: 'u' }, 't'],
    carrier: [{ carrierId: 'c' }, { carrierId: 'd' }, 'c'],
    dealer: [{ attributes: { dealerId: '007' } }, { attributes: { dealerId: '7' } }, '007'],
    servingPlmn: [{ servingPlmn: '46000' }, { servingPlmn: '460001' }, '46000'],
    'subscriber+prefix': [{ otherNumber: '37112345678' }, { otherNumber: '5371234567' }, `${SUBSCRIBER}>371`],
    otherRange: [{ otherNumber: '37112345678' }, { otherNumber: '37112346678' }, '37112345'],
    'imsi+servingPlmn': [
      { servedImsi: '460001234567890', servingPlmn: '23415' },
      { servedImsi: '460001234567890', servingPlmn: '26201' },
      '460001234567890@23415',
    ],
    'carrier+country': [
      { carrierId: 'c', otherNumber: '37112345678' },
      { carrierId: 'c', otherNumber: '37212345678' },
      'c>LV',
    ],
    'sender+range': [
      { recordType: 'sms', otherNumber: 'PARCEL' },
      { recordType: 'sms', otherNumber: 'PARCEL', servedMsisdn: '861390100001' },
      `PARCEL~${SUBSCRIBER.slice(0, 7)}`,
    ],
    idDocument: [{ attributes: { idDocHash: 'a1b2' } }, { attributes: { idDocHash: 'a1b3' } }, 'a1b2'],
    paymentToken: [{ attributes: { paymentTokenHash: '12' } }, { attributes: { paymentTokenHash: '012' } }, '12'],
    address: [{ attributes: { addressHash: 'ä/1' } }, { attributes: { addressHash: 'ä/2' } }, 'ä/1'],
  };
  test.each(KEY_TYPES.filter((key) => KEY_GROUPS[key] === undefined))(
    '%s: three of the same are an alert, two and another are none',
    (key) => {
      const [same, other, value] = fields[key]!;
      const rule = burst({ key, on: same.recordType ?? 'voice' });
      expect(applyAll(engineWith([rule]), [...calls([0, 1], same), ...calls([2], other)])).toEqual([]);
      const alerts = applyAll(engineWith([rule]), calls([0, 1, 2], same));
      expect(alerts.map((alert) => alert.key)).toEqual([{ type: key, value }]);
      expect(alerts[0]!.servedMsisdn).toBe(SUBSCRIBER);
    },
  );

  test('a record without the key is passed over', () => {
    for (const key of KEY_TYPES.filter((one) => one !== 'subscriber' && one !== 'account')) {
      const engine = engineWith([burst({ key })]);
      expect(applyAll(engine, calls([0, 1, 2, 3], { otherNumber: '' }))).toEqual([]);
      expect(engine.stats().keys[key]).toBe(0);
    }
  });

  test('without an account the subscriber is its own', () => {
    const [alert] = applyAll(engineWith([burst({ key: 'account' })]), calls([0, 1, 2]));
    expect(alert).toMatchObject({ key: { type: 'account', value: SUBSCRIBER }, servedMsisdn: SUBSCRIBER });
  });
});

describe('an episode', () => {
  test('is one alert while the condition keeps coming back, and resolves after the pause', () => {
    const engine = engineWith([burst({ suppress: { for: '2h' } })]);
    const alerts = applyAll(engine, calls([0, 1, 2, 30, 31, 90, 150, 151, 152]));
    expect(alerts.map(lineOf)).toEqual(['1 warning firing 2', '2 critical firing 31']);
    // The last time three calls lay in one hour was minute 152.
    expect(pass(engine, 272 * MINUTE_MS - 1)).toEqual([]);
    const [resolved] = pass(engine, 272 * MINUTE_MS);
    expect(lineOf(resolved!)).toBe('3 critical resolved 272');
    expect(resolved).toMatchObject({
      alertId: alerts[0]!.alertId,
      triggerRecordId: `timer:${BEGIN + 272 * MINUTE_MS}`,
    });
  });

  test('says no more than that it is over where its sentence is about the record that made it fire', () => {
    const reason = { en: '{calls} calls, last to {otherNumber}', 'zh-CN': '{calls}次，最近{otherNumber}' };
    const engine = engineWith([burst({ suppress: { for: '2h' }, reason })]);
    applyAll(engine, calls([0, 1, 2]));
    expect(pass(engine, 200 * MINUTE_MS)[0]!.reason).toEqual({
      en: 'over, last true 2026-03-02 10:02 UTC',
      'zh-CN': '已解除，最后成立于2026-03-02 10:02 UTC',
    });
  });

  test('stays open where the window is still full at its end', () => {
    const engine = engineWith([burst({ suppress: { for: '10m' } })]);
    applyAll(engine, calls([0, 1, 2]));
    // Panes of five minutes: at 60 min the one of the first record has left.
    expect(pass(engine, 2 * HOUR_MS).map(lineOf)).toEqual(['2 warning resolved 62']);
  });

  test('that ended is followed by a new one with an id of its own', () => {
    const engine = engineWith([burst()]);
    const first = applyAll(engine, calls([0, 1, 2]));
    const between = applyAll(engine, calls([500]));
    const second = applyAll(engine, calls([501, 502]));
    expect([first, between, second].map((some) => some.map(lineOf))).toEqual([
      ['1 warning firing 2'],
      ['2 warning resolved 62'],
      ['1 warning firing 502'],
    ]);
    expect(second[0]!.alertId).not.toBe(first[0]!.alertId);
  });

  test('ids depend on rule, version, key and trigger, and on nothing else', () => {
    const idOf = (rule: Rule, records: UsageRecord[]): string => applyAll(engineWith([rule]), records)[0]!.alertId;
    const records = calls([0, 1, 2]);
    const id = idOf(burst(), records);
    expect(idOf(burst({ title: { en: 'x', 'zh-CN': 'y' }, suppress: { for: '5h' } }), records)).toBe(id);
    expect(idOf(burst(), [recordAt(-1), ...records.slice(1)])).toBe(id);
    const others = [
      idOf(burst({ id: 'fraud.other' }), records),
      idOf(burst({ version: 2 }), records),
      idOf(burst({ key: 'account' }), records),
      idOf(
        burst(),
        records.map((record) => ({ ...record, servedMsisdn: '861390000002' })),
      ),
      idOf(burst(), [...records.slice(0, 2), { ...records[2]!, recordId: 'another' }]),
    ];
    expect(new Set([id, ...others]).size).toBe(6);
  });

  test('two alerts never share an id because a sender puts line breaks into names', () => {
    const idOf = (accountId: string, recordId: string): string => {
      const records = calls([0, 1], { accountId });
      return applyAll(engineWith([burst({ key: 'account' })]), [...records, recordAt(2, { accountId, recordId })])[0]!
        .alertId;
    };
    expect(idOf('a\nb', 'c')).not.toBe(idOf('a', 'b\nc'));
  });
});

describe('timers', () => {
  test('fire when the watermark has passed them, not before', () => {
    const engine = engineWith([silence()]);
    applyAll(engine, calls([0]));
    const alerts: AlertData[] = [];
    // Another subscriber's records move the watermark.
    const other = (minute: number): UsageRecord => recordAt(minute * MINUTE_MS, { servedMsisdn: '861390000002' });
    engine.apply({ ...other(65), eventTime: BEGIN + 65 * MINUTE_MS - 1 }, alerts);
    expect(alerts).toEqual([]);
    engine.apply(other(65), alerts);
    expect(alerts).toMatchObject([
      { key: { value: SUBSCRIBER }, eventTime: BEGIN + HOUR_MS, triggerRecordId: `timer:${BEGIN + HOUR_MS}` },
    ]);
  });

  test('move on with every record, and a tick moves nothing but the clock', () => {
    const engine = engineWith([silence()]);
    applyAll(engine, calls([0, 30, 59, 100]));
    expect(engine.counts()).toEqual({ applied: 4, duplicate: 0, late: 0 });
    expect(pass(engine, 160 * MINUTE_MS - 1)).toEqual([]);
    expect(pass(engine, 160 * MINUTE_MS).map(lineOf)).toEqual(['1 warning firing 160']);
    expect(engine.counts().applied).toBe(4);
    expect(engine.watermark()).toBe(BEGIN + 160 * MINUTE_MS);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.lastSeenAt).toBe(BEGIN + 100 * MINUTE_MS);
  });

  test('all fire before a record is seen, however many are due', () => {
    const count = 5_000;
    const engine = engineWith([silence()]);
    const msisdn = (n: number): string => String(861_390_000_000 + n);
    applyAll(
      engine,
      Array.from({ length: count }, (_, n) => recordAt(0, { servedMsisdn: msisdn(n) })),
    );
    const alerts: AlertData[] = [];
    engine.apply(recordAt(10 * HOUR_MS, { servedMsisdn: msisdn(count - 1) }), alerts);
    const own = alerts.filter(({ key }) => key.value === msisdn(count - 1));
    // Alert, its end after ten minutes is put off while silence lasts, and the call of ten hours later ends nothing.
    expect(own.map(lineOf)).toEqual(['1 warning firing 60']);
    expect(engine.fireTimers(1, [])).toBe(0);
    expect(new Set(alerts.map(({ key }) => key.value)).size).toBe(count);
  });

  test('come in portions where the caller asks, in order of time, and a duplicate makes none due', () => {
    const count = TIMERS_STEP_MAX * 2 + 100;
    const msisdn = (n: number): string => String(861_390_000_000 + n);
    const begun = (): Engine => {
      const engine = engineWith([silence()], { horizonRecords: count * 2 });
      // Against the order of their numbers.
      applyAll(
        engine,
        Array.from({ length: count }, (_, n) =>
          recordAt(n, { recordId: `first-${n}`, servedMsisdn: msisdn(count - n) }),
        ),
      );
      return engine;
    };
    const record = recordAt(10 * HOUR_MS, { recordId: 'last', servedMsisdn: msisdn(3) });
    const whole: AlertData[] = [];
    begun().apply(record, whole);

    const engine = begun();
    expect(engine.fireDue(record.eventTime, 'first-7', [])).toBe(false);
    expect(engine.watermark()).toBeLessThan(BEGIN);
    const alerts: AlertData[] = [];
    let steps = 0;
    for (;;) {
      const before = alerts.length;
      const isMore = engine.fireDue(record.eventTime, record.recordId, alerts);
      expect(alerts.length - before).toBeLessThanOrEqual(TIMERS_STEP_MAX);
      steps++;
      if (!isMore) break;
    }
    expect(steps).toBeGreaterThan(2);
    engine.apply(record, alerts);
    expect(alerts).toEqual(whole);
    expect(alerts.map(({ eventTime }) => eventTime)).toEqual(
      alerts.map(({ eventTime }) => eventTime).toSorted((a, b) => a - b),
    );
  });

  test('give each key the same alerts, however they are portioned', () => {
    const stream = fc.array(
      fc.record({
        subscriber: fc.integer({ min: 1, max: 4 }),
        minutes: fc.integer({ min: 0, max: 90 }),
        fire: fc.integer({ min: 0, max: 5 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(stream, (steps) => {
        const run = (portioned: boolean): string[] => {
          const engine = engineWith([silence(), burst({ evaluateEvery: '10m' })]);
          const alerts: AlertData[] = [];
          let minute = 0;
          for (const [index, { subscriber, minutes, fire }] of steps.entries()) {
            minute += minutes;
            engine.apply(
              recordAt(minute * MINUTE_MS, { recordId: `r${index}`, servedMsisdn: `86139000000${subscriber}` }),
              alerts,
            );
            if (portioned) for (let n = 0; n < fire; n++) engine.fireTimers(1, alerts);
          }
          engine.tick(BEGIN + (minute + 300) * MINUTE_MS, alerts);
          while (engine.fireTimers(portioned ? 1 : 100, alerts) > 0);
          return alerts.map((alert) => `${alert.key.value} ${alert.ruleId} ${lineOf(alert)} ${alert.alertId}`).sort();
        };
        expect(run(true)).toEqual(run(false));
      }),
      { numRuns: 60 },
    );
  });

  test('regular looks go on while a value grows in silence', () => {
    // No evaluateAt: the rule looks every hour, and finds a silence of three days on the third.
    const engine = engineWith([
      ruleWith({
        features: { silentFor: { aggregate: 'sinceLast' } },
        evaluateEvery: '1h',
        bands: [{ severity: 'warning', if: 'silentFor >= 3d', score: 50 }],
      }),
    ]);
    applyAll(engine, calls([0]));
    const alerts = pass(engine, 4 * DAY_MS);
    expect(alerts.map(({ status }) => status)).toEqual(['firing']);
    expect(alerts[0]!.eventTime).toBeGreaterThanOrEqual(BEGIN + 3 * DAY_MS);
    expect(alerts[0]!.eventTime).toBeLessThan(BEGIN + 3 * DAY_MS + HOUR_MS);
  });

  test('regular looks see the windows empty once, and end', () => {
    const engine = engineWith([
      burst({ evaluateEvery: '1h', bands: [{ severity: 'info', if: 'calls < 1', score: 1 }] }),
    ]);
    applyAll(engine, calls([0]));
    expect(pass(engine, DAY_MS).map(({ status }) => status)).toEqual(['firing']);
    // The condition still holds, so the episode stays open: it is looked at every hour of the pause, and nothing else is.
    expect(engine.stats().timers).toBe(1);
  });

  test('see nothing of the record that came before them', () => {
    const rule = silence({
      features: { silentFor: { aggregate: 'sinceLast', on: 'voice' }, lastAt: { aggregate: 'lastAt', on: 'voice' } },
      reason: { en: '[{homeCountry}{destinationCountry}{durationSec}{night}]', 'zh-CN': '无' },
    });
    const { on: _, ...withoutOn } = rule;
    const engine = engineWith([withoutOn as Rule]);
    applyAll(engine, calls([0], { otherNumber: '37112345678' }));
    // A record of a foreign subscriber stands in the scope when the timer comes.
    const alerts = applyAll(engine, [
      recordAt(70 * MINUTE_MS, { servedMsisdn: '37112345678', otherNumber: '5371234567' }),
    ]);
    expect(alerts.map(({ reason }) => reason.en)).toEqual(['[n/an/an/ano]']);
  });
});

describe('a key that has nothing left', () => {
  const rules = [burst()];
  test('is forgotten when its windows are empty, and its memory is used again', () => {
    const engine = engineWith(rules);
    applyAll(engine, calls([0, 1]));
    expect(engine.stats()).toMatchObject({ subscribers: 1, timers: 1 });
    pass(engine, 61 * MINUTE_MS);
    expect(engine.stats()).toMatchObject({ subscribers: 1 });
    pass(engine, 61 * MINUTE_MS + 1);
    expect(engine.stats()).toMatchObject({ subscribers: 0, timers: 0, usedBytes: 0 });
    expect(engine.inspectSubscriber(SUBSCRIBER)).toBeUndefined();
  });

  test('stays while an alert is open', () => {
    const engine = engineWith([burst({ suppress: { for: '3h' } })]);
    applyAll(engine, calls([0, 1, 2]));
    expect(pass(engine, 182 * MINUTE_MS - 1)).toEqual([]);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.openAlerts).toHaveLength(1);
    expect(pass(engine, 182 * MINUTE_MS).map(lineOf)).toEqual(['2 warning resolved 182']);
    expect(engine.stats().subscribers).toBe(0);
  });

  test('stays while a rule wants to look at it', () => {
    const rule = ruleWith({
      evaluateAt: 'lastSeenAt + 7d',
      bands: [{ severity: 'warning', if: 'now - lastSeenAt >= 7d', score: 50 }],
    });
    const engine = engineWith([rule]);
    applyAll(engine, calls([0]));
    expect(pass(engine, 8 * DAY_MS).map(lineOf)).toEqual([`1 warning firing ${(7 * DAY_MS) / MINUTE_MS}`]);
  });

  test('is not forgotten where a rule asks how long it has been known', () => {
    const engine = engineWith([ruleWith({ bands: [{ severity: 'warning', if: 'knownFor < 1h', score: 50 }] })]);
    const alerts = [
      ...applyAll(engine, calls([0])),
      ...pass(engine, DAY_MS),
      ...applyAll(engine, calls([1_500, 3_000])),
    ];
    expect(alerts.map(lineOf)).toEqual(['1 warning firing 0', '2 warning resolved 60']);
  });

  test('a subscriber that was due to be forgotten has no clock that could make a record late', () => {
    // 400 others are due before it, so its turn has not come when the old record arrives.
    const engine = engineWith(rules);
    const old = Array.from({ length: 400 }, (_, n) => recordAt(0, { servedMsisdn: String(861_300_000_000 + n) }));
    applyAll(engine, [...old, recordAt(MINUTE_MS)]);
    const alerts: AlertData[] = [];
    engine.apply(recordAt(DAY_MS, { servedMsisdn: '861390000002' }), alerts);
    expect(engine.apply(recordAt(-2 * HOUR_MS), alerts)).toBe('applied');
  });
});

describe('a rule that throws', () => {
  test('is counted, switched off after a while, and stops neither the others nor its own open alert', () => {
    const failures: string[] = [];
    const dark = utc;
    let broken = false;
    const rule = burst({
      id: 'fraud.fragile',
      suppress: { for: '2h' },
      bands: [{ severity: 'warning', if: 'calls >= 2 && !isNight(now - 500d)', score: 50 }],
    });
    const engine = createEngine({
      numberingPlan,
      localTime: {
        ...dark,
        isNight: (at) => {
          if (broken) throw new RangeError('no such night');
          return dark.isNight(at);
        },
      },
      horizonRecords: 1_024,
      onRuleError: (ruleId, error) => failures.push(`${ruleId} ${(error as Error).message}`),
    });
    expect(engine.useRules([rule, burst({ suppress: { for: '1m' } })].map(sourceOf), 'v')).toEqual([]);
    const before = applyAll(engine, calls([0, 1]));
    expect(before.map(({ ruleId }) => ruleId)).toEqual(['fraud.fragile']);
    broken = true;
    const during = applyAll(engine, calls(Array.from({ length: 2 * RULE_ERRORS_MAX }, () => 2)));
    expect(failures).toHaveLength(RULE_ERRORS_MAX);
    expect(new Set(failures)).toEqual(new Set(['fraud.fragile no such night']));
    expect(during.map(({ ruleId }) => ruleId)).toEqual(['fraud.burst', 'fraud.burst']);
    const after = pass(engine, DAY_MS);
    expect(after.filter(({ ruleId }) => ruleId === 'fraud.fragile').map(lineOf)).toEqual(['2 warning resolved 121']);
    // A new rule set gives it another chance.
    broken = false;
    engine.useRules([sourceOf(rule)], 'w');
    expect(applyAll(engine, calls([3_000, 3_001])).map(lineOf)).toEqual(['1 warning firing 3001']);
  });
});

describe('a new rule set', () => {
  test('finds the windows as they were, whatever else has changed in the rule', () => {
    const engine = engineWith([burst()]);
    applyAll(engine, calls([0, 1]));
    expect(
      engine.useRules(
        [sourceOf(burst({ version: 2, bands: [{ severity: 'info', if: 'calls > 2', score: 1 }] }))],
        'next',
      ),
    ).toEqual([]);
    expect(engine.ruleSet().version).toBe('next');
    expect(applyAll(engine, calls([2]))).toMatchObject([{ severity: 'info', ruleVersion: 2, observedSince: BEGIN }]);
  });

  test('says since when a new feature has seen records', () => {
    const engine = engineWith([burst()]);
    applyAll(engine, calls([0, 1]));
    const texts = burst({
      id: 'fraud.texts',
      features: { calls: { aggregate: 'count', window: '1h', where: 'durationSec > 0' } },
    });
    engine.useRules([burst(), texts].map(sourceOf), 'next');
    const alerts = applyAll(engine, calls([2, 3, 4]));
    expect(alerts.map(({ ruleId, observedSince }) => [ruleId, (observedSince - BEGIN) / MINUTE_MS])).toEqual([
      ['fraud.burst', 0],
      ['fraud.burst', 0],
      ['fraud.texts', 1],
    ]);
  });

  test('that is wrong changes nothing', () => {
    const engine = engineWith([burst()]);
    applyAll(engine, calls([0, 1]));
    const problems = engine.useRules(
      [sourceOf(burst({ bands: [{ severity: 'info', if: 'cals > 2', score: 1 }] }))],
      'next',
    );
    expect(problems).toMatchObject([
      { file: 'fraud.burst.yaml', message: "'cals' is not known here; did you mean 'calls'?" },
    ]);
    expect(engine.checkRules([sourceOf(burst({ where: '1' }))])).toMatchObject([
      { message: "expected a boolean, '1' is a number" },
    ]);
    expect(engine.ruleSet().version).toBe('test');
    expect(applyAll(engine, calls([2])).map(lineOf)).toEqual(['1 warning firing 2']);
  });

  test('keeps an open alert of a rule that stays, and a shorter pause ends it soon', () => {
    const engine = engineWith([burst({ suppress: { for: '1d' } })]);
    const first = applyAll(engine, calls([0, 1, 2]));
    pass(engine, 2 * HOUR_MS);
    engine.useRules([sourceOf(burst({ suppress: { for: '1h' } }))], 'next');
    // The end was one hour after minute 2; that has passed, so the next look of the key ends it.
    const alerts = [...applyAll(engine, calls([150])), ...pass(engine, 3 * HOUR_MS)];
    expect(alerts.map(lineOf)).toEqual([expect.stringMatching(/^2 warning resolved/)]);
    expect(alerts[0]!.alertId).toBe(first[0]!.alertId);
  });

  test('resolves at its position what a removed rule had left open, and says so', () => {
    const engine = engineWith([burst(), silence()]);
    const first = applyAll(engine, calls([0, 1, 2]));
    applyAll(engine, calls([0, 3, 4, 5, 7], { servedMsisdn: '861390000002' }));
    const resolved: AlertData[] = [];
    expect(engine.episodesWithout([sourceOf(silence())])).toBe(2);
    expect(engine.useRules([sourceOf(silence())], 'without', resolved)).toEqual([]);
    expect(resolved.map(lineOf)).toEqual(['2 warning resolved 7', '3 critical resolved 7']);
    expect(resolved[0]).toMatchObject({
      alertId: first[0]!.alertId,
      triggerRecordId: 'rules:without',
      reason: {
        en: 'resolved because the rule was removed; over, last true 2026-03-02 10:02 UTC; now: 3 calls (threshold 3)',
        'zh-CN': expect.stringMatching(/^因规则已被移除而解除/),
      },
    });
    expect(engine.episodesWithout([])).toBe(0);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.openAlerts).toEqual([]);
    // It comes back as if it were new.
    engine.useRules([sourceOf(burst())], 'again');
    const alerts = applyAll(engine, calls([200, 201, 202]));
    expect(alerts.map(lineOf)).toEqual(['1 warning firing 202']);
    expect(alerts[0]!.alertId).not.toBe(first[0]!.alertId);
  });

  test('resolves in portions, in the same order after a restart', () => {
    const subscribers = Array.from({ length: 10 }, (_, n) => `86139000001${(n * 7) % 10}`);
    const records = subscribers.flatMap((servedMsisdn) => calls([0, 1, 2], { servedMsisdn }));
    const engine = engineWith([burst()]);
    applyAll(engine, records);
    const restored = restarted(engine);
    const portions: AlertData[] = [];
    expect(engine.endEpisodes([], 'none', 4, portions)).toBe(4);
    expect(engine.endEpisodes([], 'none', 4, portions)).toBe(4);
    expect(engine.endEpisodes([], 'none', 4, portions)).toBe(2);
    expect(engine.endEpisodes([], 'none', 4, portions)).toBe(0);
    const atOnce: AlertData[] = [];
    restored.useRules([], 'none', atOnce);
    expect(atOnce).toEqual(portions);
    expect(atOnce.map(({ key }) => key.value)).toEqual(subscribers.toSorted());
  });

  test('resolves what a rule had open that now groups by another key', () => {
    const engine = engineWith([burst()]);
    applyAll(engine, calls([0, 1, 2]));
    const resolved: AlertData[] = [];
    engine.useRules([sourceOf(burst({ key: 'account' }))], 'next', resolved);
    expect(resolved.map(lineOf)).toEqual(['2 warning resolved 2']);
    expect(resolved[0]).toMatchObject({
      key: { type: 'subscriber' },
      reason: { en: expect.stringMatching(/another key/) },
    });
  });

  test('turns a draft live, and a live rule into a draft, without a mix of their alerts', () => {
    const draft = burst({ status: 'experimental' });
    const engine = engineWith([draft]);
    const [shadow] = applyAll(engine, calls([0, 1, 2]));
    expect(shadow).toMatchObject({ shadow: true });
    expect(alertSubject(shadow!)).toBe(`shadow.fraud.${shadow!.alertId}`);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.openAlerts).toEqual([]);
    const swapped: AlertData[] = [];
    engine.useRules([sourceOf(burst())], 'live', swapped);
    expect(swapped.map(lineOf)).toEqual(['2 warning resolved 2']);
    expect(swapped[0]).toMatchObject({ shadow: true, alertId: shadow!.alertId });
    // The same windows: the draft's are the live rule's.
    const [live] = applyAll(engine, calls([3]));
    expect(live).toMatchObject({ revision: 1, status: 'firing', evidence: [{ value: 4 }] });
    expect(live).not.toHaveProperty('shadow');
    expect(alertSubject(live!)).toBe(`alerts.fraud.${live!.alertId}`);
    engine.useRules([sourceOf(draft)], 'draft', swapped);
    expect(swapped.slice(1).map(lineOf)).toEqual(['2 warning resolved 3']);
    expect(swapped[1]!.alertId).toBe(live!.alertId);
  });

  test('a draft fires alerts of its own, also on the record that makes the live rule of its version fire', () => {
    const ids = [burst(), burst({ status: 'experimental' })].map(
      (rule) =>
        applyAll(engineWith([rule]), calls([0, 1]).concat({ ...recordAt(2 * MINUTE_MS), recordId: 'third' }))[0]!,
    );
    expect(ids[0]!.triggerRecordId).toBe(ids[1]!.triggerRecordId);
    expect(ids[0]!.alertId).not.toBe(ids[1]!.alertId);
  });

  test('a rule that is taken away is silent, and its keys can be forgotten', () => {
    const engine = engineWith([
      burst(),
      ruleWith({
        id: 'fraud.other',
        features: { n: { aggregate: 'count', window: '2h' } },
        bands: [{ severity: 'info', if: 'n > 99', score: 1 }],
      }),
    ]);
    applyAll(engine, calls([0, 1, 2]));
    engine.useRules(
      [
        sourceOf(
          ruleWith({
            id: 'fraud.other',
            features: { n: { aggregate: 'count', window: '2h' } },
            bands: [{ severity: 'info', if: 'n > 99', score: 1 }],
          }),
        ),
      ],
      'next',
    );
    expect(applyAll(engine, calls([3, 4, 5]))).toEqual([]);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.openAlerts).toEqual([]);
    pass(engine, DAY_MS);
    expect(engine.stats().subscribers).toBe(0);
  });
});

describe('what a person sees of a subscriber', () => {
  test('are the windows at the clock of the partition, panes, ledger and open alerts', () => {
    const engine = engineWith([
      burst({
        features: {
          calls: { aggregate: 'count', window: '1h' },
          seconds: { aggregate: 'sum', of: 'durationSec', window: '1h' },
        },
      }),
      ruleWith({
        id: 'fraud.owes',
        key: 'account',
        on: ['invoice', 'payment', 'voice'],
        features: { creditLimit: { aggregate: 'last', on: 'account', of: 'attributes.creditLimit' } },
        bands: [{ severity: 'info', if: 'ledger.exposure > 1000', score: 1 }],
      }),
    ]);
    const accountId = 'A-7';
    const alerts = applyAll(engine, [
      recordAt(0, { recordType: 'account', accountId, attributes: { creditLimit: 100 }, durationMs: Number.NaN }),
      recordAt(1, {
        recordType: 'invoice',
        accountId,
        invoiceId: '0042',
        amountMicros: 49_990_000,
        dueTime: BEGIN + 10 * MINUTE_MS,
      }),
      recordAt(2, { recordType: 'payment', accountId, amountMicros: 20_000_000 }),
      ...calls([1, 2, 3], { accountId, chargeMicros: 10_000, durationMs: 1_500 }),
    ]);
    pass(engine, 30 * MINUTE_MS);
    const view = engine.inspectSubscriber(SUBSCRIBER)!;
    expect(view.features.find(({ feature }) => feature === 'seconds')).toEqual({
      feature: 'seconds',
      ruleIds: ['fraud.burst'],
      keyType: 'subscriber',
      keyValue: SUBSCRIBER,
      window: '1h',
      unit: 's',
      value: 4.5,
      panes: [{ startAt: BEGIN, value: 4.5 }],
      paneSec: 300,
    });
    expect(view.ledger).toEqual({
      openInvoices: [{ invoiceId: '0042', dueAt: BEGIN + 10 * MINUTE_MS, remaining: 29.99 }],
      unpaid: 29.99,
      overdue: 29.99,
      ageing: { current: 29.99, days1To30: 0, days31To60: 0, days61To90: 0, daysOver90: 0 },
      openDisputes: 0,
      promise: null,
      daysPastDue: 0,
      bucket: 'current',
      unbilled: 0.03,
      creditLimit: 100,
      exposureRatio: 0.3002,
      expectedLoss: null,
    });
    expect(view.openAlerts).toEqual([
      {
        alertId: alerts[0]!.alertId,
        ruleId: 'fraud.burst',
        severity: 'warning',
        desk: 'fraud',
        since: BEGIN + 3 * MINUTE_MS,
      },
    ]);
    pass(engine, 5 * DAY_MS + 20 * MINUTE_MS);
    expect(engine.inspectSubscriber(SUBSCRIBER)).toBeUndefined();
    expect(engine.inspectSubscriber('861399999999')).toBeUndefined();
  });

  test('looking changes nothing', () => {
    const records = calls([0, 1, 2, 3, 4, 5]);
    const watched = engineWith([burst(), silence()]);
    const alerts: AlertData[] = [];
    for (const record of records) {
      watched.apply(record, alerts);
      watched.inspectSubscriber(SUBSCRIBER);
    }
    alerts.push(...pass(watched, DAY_MS));
    const alone = engineWith([burst(), silence()]);
    expect(alerts).toEqual([...applyAll(alone, records), ...pass(alone, DAY_MS)]);
  });
});

describe('restored from a checkpoint', () => {
  const files = readRuleFiles(DEFAULTS.rules);
  const { sources } = parseRules(files);
  const fresh = (): Engine => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 4_096 });
    engine.useRules(sources, versionOf(files));
    return engine;
  };
  const stream = (): UsageRecord[] => {
    const options = {
      seed: 5,
      subscribers: 40,
      startAt: BEGIN,
      days: 100,
      recordsPerSubscriberDay: 3,
      order: 'arrival' as const,
      planted: { F03: 2, F05: 2, F06: 2, F07: 2, F09: 2, A02: 2, A07: 2, C01: 2, C02: 2, C06: 2 },
    };
    const records: UsageRecord[] = [];
    for (const raw of population(options).records()) {
      records.push(
        ...decodeMessage(Buffer.from(JSON.stringify(raw)), { eventTimeMax: Number.MAX_SAFE_INTEGER }).records,
      );
    }
    // Some come twice.
    return records.flatMap((record, index) => (index % 97 === 0 ? [record, record] : [record]));
  };
  const records = stream();
  const idsOf = (alerts: readonly AlertData[]): string[] => alerts.map((alert) => JSON.stringify(alert));

  const uninterrupted = fresh();
  const expected: AlertData[] = [];
  /** Alerts made up to each record. */
  const alertsUpTo = records.map((record) => {
    uninterrupted.apply(record, expected);
    return expected.length;
  });

  /** A new engine from a cut whose parts are taken while `onPage` goes on with the old one. */
  const restoredFrom = (engine: Engine, onPage: () => void): Engine => {
    const cut = engine.cut();
    const meta = JSON.parse(JSON.stringify(cut.meta)) as EngineMeta;
    onPage();
    const next = createEngine({ numberingPlan, localTime: utc, horizonRecords: 4_096 });
    for (let page = 0; page < cut.arena.pages; page++) {
      const bytes = new Uint8Array(PAGE_UNITS * 8);
      const { sizeClass, used } = cut.arena.take(page, bytes);
      next.arena.restorePage(sizeClass, used, bytes.subarray(0, used * SIZE_CLASSES[sizeClass]! * 8));
      onPage();
    }
    const names = cut.names.slice();
    const duplicates = cut.duplicates.map((part) => part.slice());
    cut.release();
    const own = parseRules(meta.rules);
    expect(own.problems).toEqual([]);
    expect(next.restore(meta, own.sources, names, duplicates)).toEqual([]);
    return next;
  };

  test('the stream has alerts of every kind to compare', () => {
    expect(records.length).toBeGreaterThan(10_000);
    expect(new Set(expected.map(({ ruleId }) => ruleId)).size).toBeGreaterThanOrEqual(8);
    expect(expected.filter(({ status }) => status === 'resolved').length).toBeGreaterThan(20);
    expect(expected.filter(({ triggerRecordId }) => triggerRecordId.startsWith('timer:')).length).toBeGreaterThan(20);
  });

  test('it gives the same alerts for the rest of the stream, also where records were applied before the cut was written', () => {
    const where = fc.integer({ min: 1, max: records.length - 1 });
    fc.assert(
      fc.property(where, fc.integer({ min: 0, max: 40 }), (at, perPage) => {
        const engine = fresh();
        const before = applyAll(engine, records.slice(0, at));
        expect(before.length).toBe(alertsUpTo[at - 1]);
        let position = at;
        const ignored: AlertData[] = [];
        const next = restoredFrom(engine, () => {
          for (let n = 0; n < perPage && position < records.length; n++) engine.apply(records[position++]!, ignored);
        });
        const rest = applyAll(next, records.slice(at));
        expect(idsOf(rest)).toEqual(idsOf(expected.slice(before.length)));
        expect(next.counts()).toEqual(uninterrupted.counts());
        const { keys, usedBytes, duplicateHorizon, subscribers } = uninterrupted.stats();
        expect(next.stats()).toMatchObject({ keys, usedBytes, duplicateHorizon, subscribers });
      }),
      { numRuns: 6 },
    );
  });

  test('it gives the same alerts after many restarts, one after the other, through files', async () => {
    let engine = fresh();
    const alerts: AlertData[] = [];
    const part = Math.ceil(records.length / 5);
    for (let from = 0; from < records.length; from += part) {
      for (const record of records.slice(from, from + part)) engine.apply(record, alerts);
      engine = await restartedFromDisk(engine, 4_096);
      expect(engine.ruleSet().version).toBe(versionOf(files));
    }
    expect(idsOf(alerts)).toEqual(idsOf(expected));
  });

  test('an engine that has seen nothing comes back as one', () => {
    const next = restoredFrom(fresh(), () => {});
    expect(next.watermark()).toBe(Number.NEGATIVE_INFINITY);
    expect(idsOf(applyAll(next, records))).toEqual(idsOf(expected));
  });

  test('fetching memory ahead changes nothing', () => {
    const engine = fresh();
    const alerts: AlertData[] = [];
    for (const [index, record] of records.entries()) {
      if (index % 200 === 0) engine.warm(records, index, Math.min(records.length, index + 200));
      engine.apply(record, alerts);
    }
    expect(idsOf(alerts)).toEqual(idsOf(expected));
  });
});
