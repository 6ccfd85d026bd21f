/** Fewer alerts that say the same: one for each entity, none beside the one that says it all, and what they add up to. */
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import type { Engine } from '../src/engine.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { Rule } from '../src/rules/rule.ts';
import {
  applyAll,
  engineWith,
  HOUR_MS,
  MINUTE_MS,
  pass,
  recordAt,
  restartedFromDisk,
  ruleWith,
  SUBSCRIBER,
} from './rule-engine.ts';

const OTHER = '861390000002';
const lines = (alerts: readonly AlertData[]): string[] =>
  alerts.map(({ ruleId, key, severity, status }) => `${ruleId.slice(6)} ${key.value} ${severity} ${status}`);
const call = (minute: number, fields: Partial<UsageRecord> = {}): UsageRecord => recordAt(minute * MINUTE_MS, fields);

describe('one alert for each entity', () => {
  /** Two calls to a number: a warning; three: critical. */
  const repeated = (suppress: Rule['suppress'], fields: Partial<Rule> = {}): Rule =>
    ruleWith({
      id: 'fraud.repeated',
      key: 'otherNumber',
      features: { calls: { aggregate: 'count', window: '1h' } },
      bands: [
        { severity: 'warning', if: 'calls >= 2', score: 40 },
        { severity: 'critical', if: 'calls >= 3', score: 80 },
      ],
      reason: { en: '{calls}', 'zh-CN': '{calls}' },
      suppress,
      ...fields,
    });
  const twice = (minute: number, otherNumber: string, fields: Partial<UsageRecord> = {}): UsageRecord[] => [
    call(minute, { otherNumber, ...fields }),
    call(minute + 1, { otherNumber, ...fields }),
  ];

  test('fires for the first key, and not for others of the same entity', () => {
    const records = [...twice(0, '8613700000001'), ...twice(3, '8613700000002'), ...twice(6, '8613700000003')];
    expect(applyAll(engineWith([repeated({ for: '1h' })]), records)).toHaveLength(3);
    const engine = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
    expect(lines(applyAll(engine, records))).toEqual(['repeated 8613700000001 warning firing']);
    // Another subscriber is another entity.
    expect(applyAll(engine, twice(9, '8613700000004', { servedMsisdn: OTHER }))).toHaveLength(1);
  });

  test('lets a higher band through, once', () => {
    const engine = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
    applyAll(engine, [...twice(0, '8613700000001'), ...twice(3, '8613700000002')]);
    expect(lines(applyAll(engine, [call(6, { otherNumber: '8613700000002' })]))).toEqual([
      'repeated 8613700000002 critical firing',
    ]);
    // The first key is no longer the one that the entity's alert is about.
    expect(applyAll(engine, [call(7, { otherNumber: '8613700000001' })])).toEqual([]);
  });

  test('the key that fired goes on as ever', () => {
    const engine = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
    const alerts = applyAll(engine, [...twice(0, '8613700000001'), call(2, { otherNumber: '8613700000001' })]);
    alerts.push(...pass(engine, 3 * HOUR_MS));
    expect(lines(alerts)).toEqual([
      'repeated 8613700000001 warning firing',
      'repeated 8613700000001 critical firing',
      'repeated 8613700000001 critical resolved',
    ]);
  });

  test('ends when nothing has held for so long, counting what was held back', () => {
    const held = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
    applyAll(held, [...twice(0, '8613700000001'), ...twice(40, '8613700000002')]);
    // 59 minutes after the second key held.
    expect(lines(applyAll(held, twice(99, '8613700000003')))).toEqual(['repeated 8613700000001 warning resolved']);
    expect(lines(applyAll(held, twice(161, '8613700000004')))).toEqual(['repeated 8613700000004 warning firing']);
  });

  test('ends at the millisecond', () => {
    const secondCallAt = (ms: number): AlertData[] => {
      const engine = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
      applyAll(engine, twice(0, '8613700000001'));
      const fields = { otherNumber: '8613700000002' };
      return applyAll(engine, [call(60, fields), recordAt(ms, fields)]);
    };
    expect(secondCallAt(61 * MINUTE_MS - 1)).toEqual([]);
    expect(lines(secondCallAt(61 * MINUTE_MS))).toEqual(['repeated 8613700000002 warning firing']);
  });

  test('what comes late does not set its time back', () => {
    const engine = engineWith([repeated({ for: '1h', by: 'subscriber' })]);
    applyAll(engine, twice(59, '8613700000001'));
    expect(applyAll(engine, [...twice(10, '8613700000002'), ...twice(100, '8613700000003')])).toEqual([]);
  });

  test('remembers the highest band, also where its key holds at a lower one later', () => {
    const engine = engineWith([repeated({ for: '3h', by: 'subscriber' })]);
    const first = [...twice(0, '8613700000001'), call(2, { otherNumber: '8613700000001' })];
    expect(applyAll(engine, [...first, ...twice(100, '8613700000001')])).toHaveLength(2);
    const second = [...twice(110, '8613700000002'), call(112, { otherNumber: '8613700000002' })];
    expect(applyAll(engine, second)).toEqual([]);
  });

  test('where the entity is not known each key fires, or all count as one', () => {
    const records = [...twice(0, '8613700000001'), ...twice(3, '8613700000002')];
    const by = 'cell' as const;
    expect(applyAll(engineWith([repeated({ for: '1h', by })]), records)).toHaveLength(2);
    expect(applyAll(engineWith([repeated({ for: '1h', by, missing: 'fire' })]), records)).toHaveLength(2);
    expect(applyAll(engineWith([repeated({ for: '1h', by, missing: 'suppress' })]), records)).toHaveLength(1);
    const named = records.map((record, n) => ({ ...record, recordId: `n-${n}`, cellId: n < 2 ? 'a' : '' }));
    expect(applyAll(engineWith([repeated({ for: '1h', by, missing: 'suppress' })]), named)).toHaveLength(2);
  });

  test('what another alert inhibits holds nobody back', () => {
    const parent = ruleWith({
      id: 'fraud.parent',
      key: 'cell',
      on: 'sms',
      bands: [{ severity: 'warning', if: 'true', score: 1 }],
    });
    const rule = repeated({ for: '1h', by: 'subscriber' }, { inhibitedBy: ['fraud.parent'] });
    const engine = engineWith([parent, rule]);
    applyAll(engine, [call(0, { recordType: 'sms', cellId: 'a' }), ...twice(1, '8613700000001', { cellId: 'a' })]);
    expect(lines(applyAll(engine, twice(4, '8613700000002', { cellId: 'b' })))).toEqual([
      'repeated 8613700000002 warning firing',
    ]);
  });

  test('a new key that takes the number of a forgotten one is not that one', () => {
    const engine = engineWith([
      ruleWith({
        key: 'subscriber+prefix',
        features: { calls: { aggregate: 'count', window: '10m' } },
        bands: [{ severity: 'warning', if: 'calls >= 1', score: 40 }],
        suppress: { for: '1h', by: 'subscriber' },
      }),
    ]);
    const to = (minute: number, otherNumber: string): string[] =>
      lines(applyAll(engine, [call(minute, { otherNumber })]));
    expect(to(0, '37120000001')).toEqual([`drawn ${SUBSCRIBER}>3712 warning firing`]);
    expect(to(55, '37250000001')).toEqual([]);
    // The first key is over and forgotten; the second still holds.
    expect(to(66, '33612345678')).toEqual([`drawn ${SUBSCRIBER}>3712 warning resolved`]);
  });

  test('stays suppressed after a restart', async () => {
    const rules = [repeated({ for: '1h', by: 'subscriber' })];
    const engine = engineWith(rules);
    applyAll(engine, twice(0, '8613700000001'));
    expect(applyAll(await restartedFromDisk(engine), twice(3, '8613700000002'))).toEqual([]);
  });

  test('what makes no sense is refused', () => {
    const refused = (fields: Partial<Rule>): string => {
      try {
        engineWith([ruleWith(fields)]);
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refused({ suppress: { for: '1h', by: 'subscriber+prefix' } })).toMatch(/no single entity/);
    expect(refused({ suppress: { for: '1h', missing: 'fire' } })).toMatch(/there is no 'by'/);
    expect(refused({ groupBy: 'identity' })).toMatch(/no single entity/);
    expect(refused({ inhibitedBy: ['fraud.drawn'] })).toMatch(/cannot inhibit itself/);
  });
});

describe('a rule inhibited by another', () => {
  const parent = (fields: Partial<Rule> = {}): Rule =>
    ruleWith({
      id: 'fraud.parent',
      where: 'durationSec >= 600',
      features: { longCalls: { aggregate: 'count', window: '1h', panes: 60 } },
      bands: [{ severity: 'critical', if: 'longCalls >= 1', score: 90 }],
      reason: { en: '{longCalls}', 'zh-CN': '{longCalls}' },
      ...fields,
    });
  const child = (fields: Partial<Rule> = {}): Rule =>
    ruleWith({
      id: 'fraud.child',
      features: { calls: { aggregate: 'count', window: '1h', panes: 60 } },
      bands: [
        { severity: 'warning', if: 'calls >= 2', score: 40 },
        { severity: 'critical', if: 'calls >= 4', score: 80 },
      ],
      reason: { en: '{calls}', 'zh-CN': '{calls}' },
      inhibitedBy: ['fraud.parent'],
      ...fields,
    });
  const long = (minute: number, fields: Partial<UsageRecord> = {}): UsageRecord =>
    call(minute, { durationMs: 600_000, ...fields });

  test('does not fire while the parent is open for the same party, and does once it is not', () => {
    const engine = engineWith([parent(), child()]);
    expect(lines(applyAll(engine, [long(0), call(1), call(2)]))).toEqual([`parent ${SUBSCRIBER} critical firing`]);
    // Of another party the parent says nothing.
    expect(lines(applyAll(engine, [call(3, { servedMsisdn: OTHER }), call(4, { servedMsisdn: OTHER })]))).toEqual([
      `child ${OTHER} warning firing`,
    ]);
    const later = [...pass(engine, 2 * HOUR_MS), ...applyAll(engine, [call(130), call(131)])];
    expect(lines(later)).toContain(`parent ${SUBSCRIBER} critical resolved`);
    expect(lines(later).at(-1)).toBe(`child ${SUBSCRIBER} warning firing`);
  });

  test('does not rise either, but ends in order', () => {
    const engine = engineWith([parent(), child()]);
    const alerts = applyAll(engine, [call(0), call(1), long(2), call(3), call(4)]);
    expect(lines(alerts)).toEqual([`child ${SUBSCRIBER} warning firing`, `parent ${SUBSCRIBER} critical firing`]);
    expect(lines(pass(engine, 5 * HOUR_MS)).toSorted()).toEqual([
      `child ${SUBSCRIBER} warning resolved`,
      `parent ${SUBSCRIBER} critical resolved`,
    ]);
  });

  test('the parent may have another kind of key: that of the same record', () => {
    const engine = engineWith([parent({ key: 'imsi' }), child()]);
    const servedImsi = '460000000000001';
    const records = [long(0, { servedImsi }), call(1, { servedImsi }), call(2, { servedImsi })];
    expect(lines(applyAll(engine, records))).toEqual([`parent ${servedImsi} critical firing`]);
  });

  test('a timer of the subscriber knows its account and its card', () => {
    // One without an account is its own.
    for (const [key, accountId] of [
      ['account', 'A'],
      ['account', ''],
      ['imsi', 'A'],
    ] as const) {
      const silence = ruleWith({
        id: 'fraud.silence',
        features: { lastAt: { aggregate: 'lastAt' } },
        evaluateAt: 'lastAt + 10m',
        bands: [{ severity: 'warning', if: 'now - lastAt >= 10m', score: 50 }],
        inhibitedBy: ['fraud.parent'],
      });
      const engine = engineWith([parent({ key }), silence]);
      applyAll(engine, [long(0, { accountId, servedImsi: '460000000000001' }), call(0, { servedMsisdn: OTHER })]);
      expect(lines(pass(engine, 20 * MINUTE_MS))).toEqual([`silence ${OTHER} warning firing`]);
    }
  });

  test('an alert whose end has passed when it fires inhibits for its own record, wherever the other key lives', () => {
    const rules = [
      parent({ suppress: { for: '1h' } }),
      child({ key: 'account', bands: [{ severity: 'warning', if: 'calls >= 1', score: 40 }] }),
    ];
    const servedImsi = '460000000000001';
    const now = call(180, { servedMsisdn: OTHER, accountId: 'B' });
    // It began three hours ago and comes only now: the end of the alert that it makes has passed already.
    const late = long(0, { accountId: 'A', servedImsi });
    const seen = (...records: UsageRecord[]): string[] => {
      const engine = engineWith(rules);
      applyAll(engine, records.slice(0, -1));
      return lines(applyAll(engine, records.slice(-1)));
    };
    const expected = [`parent ${SUBSCRIBER} critical firing`, `parent ${SUBSCRIBER} critical resolved`];
    // The account lives with its subscriber; with another one, who paid from it before; and is another one's own number.
    expect(seen(now, late)).toEqual(expected);
    expect(seen(call(-400, { servedMsisdn: OTHER, accountId: 'A' }), now, late)).toEqual(expected);
    expect(seen(now, { ...late, accountId: OTHER })).toEqual(expected);
  });

  test('a draft inhibits nothing, nor does a rule that is not there', () => {
    expect(applyAll(engineWith([parent({ status: 'experimental' }), child()]), [long(0), call(1)]).at(-1)!.ruleId).toBe(
      'fraud.child',
    );
    expect(applyAll(engineWith([child()]), [long(0), call(1)])).toHaveLength(1);
  });

  test('stays inhibited after a restart', async () => {
    const rules = [parent(), child()];
    const engine = engineWith(rules);
    applyAll(engine, [long(0), call(1)]);
    expect(applyAll(await restartedFromDisk(engine), [call(2), call(3), call(4)])).toEqual([]);
  });
});

describe('the score of a subscriber', () => {
  const points = (id: string, where: string, score: number, fields: Partial<Rule> = {}): Rule =>
    ruleWith({
      id,
      desk: id.split('.')[0] as Rule['desk'],
      where,
      // Not true for a timer: the episode ends.
      bands: [{ severity: 'warning', if: 'durationSec >= 0', score }],
      suppress: { for: '1m' },
      ...fields,
    });
  /** Keeps a subscriber for ever. */
  const remembering = ruleWith({ id: 'fraud.never', bands: [{ severity: 'info', if: 'knownFor < 0s', score: 1 }] });
  const scoreOf = (engine: Engine, msisdn = SUBSCRIBER): Record<string, number> =>
    Object.fromEntries(engine.inspectSubscriber(msisdn)!.scores.map(({ name, value }) => [name, value]));

  test('adds up the alerts of each desk and loses half of it in a day', () => {
    const engine = engineWith(
      [
        points('fraud.a', "cellId == 'a'", 40),
        points('fraud.b', "cellId == 'b'", 30),
        points('retention.c', "cellId == 'c'", 10),
        remembering,
      ],
      { latenessMs: 0 },
    );
    applyAll(engine, [call(0, { cellId: 'a' }), call(0, { cellId: 'b' }), call(0, { cellId: 'c' })]);
    expect(scoreOf(engine)).toEqual({ fraud: 70, retention: 10 });
    expect(engine.inspectSubscriber(SUBSCRIBER)!.scores[0]!.contributions).toEqual([
      { name: 'fraud.a', value: 40 },
      { name: 'fraud.b', value: 30 },
    ]);
    applyAll(engine, [call(24 * 60)]);
    expect(scoreOf(engine)).toEqual({ fraud: 35, retention: 5 });
    applyAll(engine, [call(48 * 60, { cellId: 'a' })]);
    expect(scoreOf(engine).fraud).toBeCloseTo(57.5);
    applyAll(engine, [call(30 * 24 * 60)]);
    expect(scoreOf(engine)).toEqual({});
  });

  test('of an alert that rises grows by the difference', () => {
    const rising = points('fraud.rising', 'durationSec > 0', 40, {
      features: { calls: { aggregate: 'count', window: '1h' } },
      bands: [
        { severity: 'warning', if: 'calls >= 1', score: 40 },
        { severity: 'critical', if: 'calls >= 2', score: 90 },
      ],
      reason: { en: '{calls}', 'zh-CN': '{calls}' },
    });
    const engine = engineWith([rising]);
    applyAll(engine, [call(0), call(0), call(0)]);
    expect(scoreOf(engine)).toEqual({ fraud: 90 });
  });

  test('is a value that rules read, of the alert at hand already', () => {
    const sum = ruleWith({
      id: 'fraud.sum',
      on: 'alert',
      where: "alertRule != 'fraud.sum'",
      bands: [{ severity: 'critical', if: 'score.fraud >= 70', score: 0 }],
      reason: { en: 'score {score.fraud}', 'zh-CN': '{score.fraud}分' },
    });
    const engine = engineWith([sum, points('fraud.a', "cellId == 'a'", 40), points('fraud.b', "cellId == 'b'", 30)]);
    expect(lines(applyAll(engine, [call(0, { cellId: 'a' })]))).toEqual([`a ${SUBSCRIBER} warning firing`]);
    const alerts = applyAll(engine, [call(0, { cellId: 'b' })]);
    expect(lines(alerts)).toEqual([`b ${SUBSCRIBER} warning firing`, `sum ${SUBSCRIBER} critical firing`]);
    expect(alerts[1]!.reason.en).toBe('score 70');
  });

  test('is added to both ends of a call where the rule says so, and to nobody for a cell', () => {
    const known = recordAt(0, { servedMsisdn: OTHER, cellId: 'none' });
    const to = { otherNumber: OTHER, cellId: 'a' };
    const scored = (fields: Partial<Rule>): (Record<string, number> | undefined)[] => {
      const engine = engineWith([
        points('fraud.a', "cellId == 'a'", 40, fields),
        points('fraud.z', "cellId == 'none'", 0),
      ]);
      applyAll(engine, [known, call(1, to)]);
      return [SUBSCRIBER, OTHER].map((msisdn) =>
        engine.inspectSubscriber(msisdn) === undefined ? undefined : scoreOf(engine, msisdn),
      );
    };
    expect(scored({})).toEqual([{ fraud: 40 }, {}]);
    expect(scored({ scores: ['served', 'other'] })).toEqual([{ fraud: 40 }, { fraud: 40 }]);
    // A number that is alerted about is the other end; who called it is not known to have done wrong.
    expect(scored({ key: 'otherNumber' })[1]).toEqual({ fraud: 40 });
    expect(scored({ key: 'cell' })[1]).toEqual({});
    expect(scored({ scores: [] })).toEqual([{}, {}]);
  });

  test('of a stranger is not kept', () => {
    const engine = engineWith([points('fraud.a', 'durationSec > 0', 40, { scores: ['other'] })]);
    applyAll(engine, [call(0, { otherNumber: OTHER })]);
    expect(engine.inspectSubscriber(OTHER)).toBeUndefined();
  });

  test('a draft adds nothing', () => {
    const engine = engineWith([points('fraud.a', 'durationSec > 0', 40, { status: 'experimental' })]);
    applyAll(engine, [call(0)]);
    expect(scoreOf(engine)).toEqual({});
  });

  test('survives a restart', async () => {
    const rules = [points('fraud.a', "cellId == 'a'", 40), remembering];
    const engine = engineWith(rules);
    applyAll(engine, [call(0, { cellId: 'a' })]);
    const next = await restartedFromDisk(engine);
    applyAll(next, [call(24 * 60)]);
    expect(scoreOf(next)).toEqual({ fraud: 20 });
  });
});

describe('what a desk sees together', () => {
  const groupOf = (fields: Partial<Rule>, record: Partial<UsageRecord>): AlertData['group'] =>
    applyAll(engineWith([ruleWith(fields)]), [recordAt(0, { cellId: 'c', trunkId: 't', ...record })])[0]!.group;

  test('is the account behind the alert, or the key where there is none', () => {
    expect(groupOf({}, { accountId: 'A' })).toEqual({ type: 'account', value: 'A' });
    expect(groupOf({}, {})).toEqual({ type: 'account', value: SUBSCRIBER });
    expect(groupOf({ key: 'imsi' }, { accountId: 'A', servedImsi: '46000' })).toEqual({ type: 'account', value: 'A' });
    expect(groupOf({ key: 'cell' }, { accountId: 'A' })).toEqual({ type: 'cell', value: 'c' });
  });

  test('is what the rule says, where that is known', () => {
    expect(groupOf({ groupBy: 'trunk' }, {})).toEqual({ type: 'trunk', value: 't' });
    expect(groupOf({ groupBy: 'carrier' }, {})).toEqual({ type: 'subscriber', value: SUBSCRIBER });
  });
});
