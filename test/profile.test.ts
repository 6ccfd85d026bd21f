/** What is remembered of a subscriber, who reads it, and which keys fall back to it. */
import { describe, expect, test } from 'vitest';
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { Rule } from '../src/rules/rule.ts';
import {
  applyAll,
  BEGIN,
  DAY_MS,
  engineWith,
  HOUR_MS,
  MINUTE_MS,
  recordAt,
  ruleWith,
  SUBSCRIBER,
} from './rule-engine.ts';

const OTHER = '861390000002';
const account = (at: number, event: string, fields: Partial<UsageRecord> = {}): UsageRecord =>
  recordAt(at, { recordType: 'account', event, attributes: {}, direction: '', otherNumber: '', ...fields });
/** Fires on each call for which the condition holds; says what it is told to say. */
const whenever = (condition: string, says = 'x', fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    key: 'otherNumber',
    where: condition,
    bands: [{ severity: 'info', if: 'now == now', score: 1 }],
    reason: { en: says, 'zh-CN': says },
    suppress: { for: '1s' },
    ...fields,
  });
/** Does the condition hold for a call that comes after these records? */
const holds = (condition: string, before: readonly UsageRecord[], call: Partial<UsageRecord> = {}): boolean => {
  const engine = engineWith([whenever(condition)]);
  const alerts = applyAll(engine, [...before, recordAt(100 * DAY_MS, { otherNumber: OTHER, ...call })]);
  return alerts.some(({ eventTime }) => eventTime === BEGIN + 100 * DAY_MS);
};

describe('the profile of the served subscriber', () => {
  test('is known from an account record on, not from use', () => {
    expect(holds('profile.known', [account(0, 'profile')])).toBe(true);
    expect(holds('profile.known', [recordAt(0)])).toBe(false);
    expect(holds('profile.known', [account(0, 'profile', { servedMsisdn: OTHER })])).toBe(false);
    expect(holds('!profile.known', [])).toBe(true);
  });

  test.each([
    ['activated', 'active'],
    ['suspended', 'suspended'],
    ['resumed', 'active'],
    ['ceased', 'ceased'],
    ['portOutRequested', 'portedOut'],
  ])('after %s is %s', (event, status) => {
    expect(holds(`profile.status == '${status}'`, [account(0, event)])).toBe(true);
    expect(holds(`profile.status == '${status}'`, [account(0, 'profile')])).toBe(false);
    // What comes late does not undo what is newer; another event leaves it.
    const late = event === 'suspended' ? 'ceased' : 'suspended';
    expect(holds(`profile.status == '${status}'`, [account(2, event), account(1, late)])).toBe(true);
    expect(
      holds(`profile.status == '${status}'`, [account(1, late), account(2, event), account(3, 'planChanged')]),
    ).toBe(true);
    expect(holds('eventTime - profile.statusAt == 99d', [account(DAY_MS, event)])).toBe(true);
  });

  test('keeps attributes until a later record changes them', () => {
    const stating = (at: number, attributes: Record<string, unknown>): UsageRecord =>
      account(at, 'profile', { attributes });
    const before = [stating(1, { dealerId: 'D', tier: 'vip', homeCell: 'c1' }), stating(2, { tier: 'standard' })];
    const all = "profile.dealerId == 'D' && profile.tier == 'standard' && profile.homeCell == 'c1'";
    expect(holds(all, before)).toBe(true);
    // A late record fills what is not known, and changes nothing else.
    expect(holds(all, [before[1]!, stating(0, { dealerId: 'D', homeCell: 'c1', tier: 'gold' })])).toBe(true);
    expect(holds(all, [...before, stating(3, { dealerId: 'E' })])).toBe(false);
  });

  test('knows the activation as stated, else from the event', () => {
    const day = 'eventTime - profile.activatedAt == 99d';
    expect(holds(day, [account(DAY_MS, 'activated')])).toBe(true);
    expect(holds(day, [account(5, 'activated', { attributes: { activatedAt: BEGIN + DAY_MS } })])).toBe(true);
    expect(holds(day, [account(5, 'profile', { attributes: { activatedAt: BEGIN + DAY_MS } })])).toBe(true);
    expect(holds('has(profile.activatedAt)', [account(5, 'profile')])).toBe(false);
  });

  test('an account record is seen with what it says itself', () => {
    const rule = whenever("profile.status == 'ceased' && profile.dealerId == 'D'", 'x', {
      key: 'subscriber',
      on: 'account',
    });
    expect(applyAll(engineWith([rule]), [account(0, 'ceased', { attributes: { dealerId: 'D' } })])).toHaveLength(1);
    expect(applyAll(engineWith([rule]), [account(0, 'activated', { attributes: { dealerId: 'D' } })])).toHaveLength(0);
  });

  test('is there for a timer too', () => {
    const silence = ruleWith({
      features: { lastAt: { aggregate: 'lastAt' } },
      evaluateAt: 'lastAt + 1h',
      bands: [{ severity: 'warning', if: "now - lastAt >= 1h && profile.status == 'active'", score: 50 }],
    });
    const engine = engineWith([silence]);
    const alerts = applyAll(engine, [account(0, 'activated'), recordAt(0), recordAt(0, { servedMsisdn: OTHER })]);
    engine.tick(BEGIN + 3 * HOUR_MS, alerts);
    expect(alerts.map(({ key }) => key.value)).toEqual([SUBSCRIBER]);
  });
});

describe('the other party', () => {
  const abroad = { servedMsisdn: OTHER, servedImsi: '460001111111111', servingPlmn: '26201' };
  const home = { ...abroad, servingPlmn: '46000' };

  test('is known, active or gone as its own account records say', () => {
    expect(holds('other.known', [account(0, 'profile', { servedMsisdn: OTHER })])).toBe(true);
    expect(holds('other.known', [account(0, 'profile')])).toBe(false);
    const gone = "other.status in ['ceased', 'portedOut'] && eventTime - other.statusAt <= 60d";
    expect(holds(gone, [account(41 * DAY_MS, 'ceased', { servedMsisdn: OTHER })])).toBe(true);
    expect(holds(gone, [account(39 * DAY_MS, 'ceased', { servedMsisdn: OTHER })])).toBe(false);
    expect(holds(gone, [account(50 * DAY_MS, 'activated', { servedMsisdn: OTHER })])).toBe(false);
  });

  test('is roaming by its last serving network', () => {
    expect(holds('other.roaming', [recordAt(0, abroad)])).toBe(true);
    expect(holds("other.servingPlmn == '26201'", [recordAt(0, abroad)])).toBe(true);
    expect(holds('other.roaming', [recordAt(0, home)])).toBe(false);
    expect(holds('other.roaming', [recordAt(0, abroad), recordAt(1, home)])).toBe(false);
    expect(holds('other.roaming', [recordAt(0, home), recordAt(1, abroad)])).toBe(true);
    // What comes late does not bring it home; a record without a network says nothing.
    expect(holds('other.roaming', [recordAt(5, abroad), recordAt(1, home)])).toBe(true);
    expect(holds('other.roaming', [recordAt(0, abroad), recordAt(1, { ...abroad, servingPlmn: '' })])).toBe(true);
  });

  test('that is nobody, or a name, is not known', () => {
    for (const otherNumber of ['', 'PARCEL', '110'])
      expect(holds('other.known || other.roaming', [account(0, 'profile')], { otherNumber })).toBe(false);
  });

  test('is looked into, never made', () => {
    const engine = engineWith([whenever('!other.known')]);
    applyAll(engine, [recordAt(0, { otherNumber: OTHER })]);
    expect(engine.inspectSubscriber(OTHER)).toBeUndefined();
  });
});

describe('the first use of a day', () => {
  const rule = (): Rule =>
    ruleWith({
      on: ['voice', 'sms', 'data'],
      where: 'firstUseOfDay',
      features: { days: { aggregate: 'count', window: '30d', panes: 30 } },
      bands: [{ severity: 'info', if: 'days >= 3', score: 1 }],
    });
  const use = (at: number): UsageRecord => recordAt(at);

  test('is one a day, of subscribers with a profile', () => {
    const records = [0, 1, 2, 3].map((hour) => use(hour * HOUR_MS));
    expect(applyAll(engineWith([rule()]), [account(0, 'profile'), ...records])).toEqual([]);
    // 10:00 plus 14 h is the next day.
    const days = [0, 1, 14, 15, 38, 39].map((hour) => use(hour * HOUR_MS));
    const alerts = applyAll(engineWith([rule()]), [account(0, 'profile'), ...days]);
    expect(alerts.map(({ eventTime }) => (eventTime - BEGIN) / HOUR_MS)).toEqual([38]);
    expect(applyAll(engineWith([rule()]), days)).toEqual([]);
  });

  test('that comes late is none', () => {
    const engine = engineWith([rule()]);
    const days = [38, 39, 14, 62, 0].map((hour) => use(hour * HOUR_MS));
    expect(applyAll(engine, [account(0, 'profile'), ...days])).toEqual([]);
  });
});

describe('keys that usage does not name', () => {
  const counting = (key: Rule['key']): Rule =>
    ruleWith({
      key,
      on: ['voice', 'account'],
      features: { calls: { aggregate: 'count', on: 'voice', window: '1d' } },
      bands: [{ severity: 'info', if: 'calls >= 2', score: 1 }],
      reason: { en: '{calls}', 'zh-CN': '{calls}' },
    });
  test.each([
    ['dealer', 'dealerId', 'D-1'],
    ['idDocument', 'idDocHash', 'a'.repeat(64)],
    ['paymentToken', 'paymentTokenHash', 'ü/t'],
    ['address', 'addressHash', '0042'],
  ] as const)('%s is that of the profile', (key, attribute, value) => {
    const of = (servedMsisdn: string, text: string): UsageRecord =>
      account(0, 'profile', { servedMsisdn, attributes: { [attribute]: text } });
    const calls = [recordAt(MINUTE_MS), recordAt(2 * MINUTE_MS, { servedMsisdn: OTHER })];
    const engine = engineWith([counting(key)]);
    expect(applyAll(engine, [of(SUBSCRIBER, value), of(OTHER, value), ...calls]).map((alert) => alert.key)).toEqual([
      { type: key, value },
    ]);
    expect(applyAll(engineWith([counting(key)]), [of(SUBSCRIBER, value), of(OTHER, 'else'), ...calls])).toEqual([]);
    expect(applyAll(engineWith([counting(key)]), calls)).toEqual([]);
  });

  test('a rule over identities looks at each kind apart, with one id', () => {
    const engine = engineWith([counting('identity')]);
    const attributes = { idDocHash: 'x-1', paymentTokenHash: 'x-2', addressHash: 'x-1' };
    const alerts = applyAll(engine, [
      account(0, 'profile', { attributes }),
      recordAt(MINUTE_MS),
      recordAt(2 * MINUTE_MS),
    ]);
    expect(alerts.map(({ ruleId, key }) => `${ruleId} ${key.type} ${key.value}`)).toEqual([
      'fraud.drawn idDocument x-1',
      'fraud.drawn paymentToken x-2',
      'fraud.drawn address x-1',
    ]);
    expect(new Set(alerts.map(({ alertId }) => alertId)).size).toBe(3);
    // Swapping the same set leaves them open; without the rule each is resolved.
    expect(engine.episodesWithout(engine.ruleSet().sources)).toBe(0);
    expect(engine.episodesWithout([])).toBe(3);
  });

  test('texts as many as subscribers are not interned', () => {
    const engine = engineWith([counting('identity')]);
    const before = engine.stats().names;
    applyAll(
      engine,
      Array.from({ length: 50 }, (_, n) => account(n, 'profile', { attributes: { idDocHash: `doc-${n}` } })),
    );
    expect(engine.stats().names).toBe(before);
    expect(engine.stats().keys['idDocument']).toBe(50);
  });
});
