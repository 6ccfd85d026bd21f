/**
 * Rules that are swapped in with windows filled by records read again, against an engine that has had these rules from the
 * beginning: from the swap on both must know the same of every key.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import type { Engine } from '../src/engine.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { KEY_TYPES, type Rule } from '../src/rules/rule.ts';
import type { FeatureView } from '../src/subscriber-view.ts';
import { DRAWN_SEED, type DrawnCase, drawnCase } from './drawn-case.ts';
import { BEGIN, engineWith, MINUTE_MS, recordAt, ruleWith, SUBSCRIBER, sourceOf } from './rule-engine.ts';

const CASES = 500;

/** Reads the records again for these rules and swaps them in. */
function swapFilled(engine: Engine, rules: readonly Rule[], again: readonly UsageRecord[], alerts: AlertData[]): void {
  const sources = rules.map(sourceOf);
  const begun = engine.beginBackfill(sources, 'next', Number.POSITIVE_INFINITY);
  if ('problems' in begun) throw new Error(begun.problems[0]!.message);
  for (const record of again) begun.backfill.apply(record);
  expect(engine.useRules(sources, 'next', alerts, undefined, begun.backfill)).toEqual([]);
}

/** What the engine knows of every subscriber, with account and IMSI, in the windows of `chosen`. */
function known(
  engine: Engine,
  subscribers: readonly string[],
  chosen: ReadonlySet<string>,
): (FeatureView[] | undefined)[] {
  return subscribers.map((msisdn) =>
    engine
      .inspectSubscriber(msisdn)
      ?.features.filter(({ ruleIds, keyType, feature }) => chosen.has(`${ruleIds} ${keyType} ${feature}`)),
  );
}

interface Drawn extends DrawnCase {
  kept: number;
  at: number;
  takenEarly: number;
}
const drawn: fc.Arbitrary<Drawn> = fc
  .tuple(drawnCase, fc.nat(2), fc.nat(30), fc.nat(8))
  .map(([one, kept, at, takenEarly]) => ({ ...one, kept, at, takenEarly }));

/**
 * @param inOrder Without records that come late. Which records are too late for every window depends on the windows that there
 * are, so a feature that was there before may have seen others than it would have under the rules that come.
 */
function compare(one: Drawn, inOrder: boolean): number {
  const options = { latenessMs: one.latenessMin * MINUTE_MS };
  // None of them ever fires or looks by itself: an open alert and a look to come keep a key whose windows are empty.
  const rules = one.rules.map(({ evaluateEvery: _every, ...rule }) => ({
    ...rule,
    bands: [{ ...rule.bands[0]!, if: 'now < lastSeenAt' }],
  }));
  let time = 0;
  const records = one.stream.map(({ jump, ago, record }, n) => {
    time += jump;
    return recordAt(inOrder ? time : time - ago, { ...record, recordId: `r${n}` });
  });
  const subscribers = [...new Set(records.map(({ servedMsisdn }) => servedMsisdn))];
  const swapAt = Math.min(one.at, records.length);
  const engine = engineWith(rules.slice(0, one.kept % rules.length), options);
  const whole = engineWith(rules, options);
  const alerts: AlertData[] = [];
  const both = (portion: readonly UsageRecord[]): void => {
    for (const record of portion) {
      engine.apply(record, alerts);
      whole.apply(record, alerts);
    }
  };
  both(records.slice(0, swapAt));
  swapFilled(engine, rules, records.slice(0, swapAt), alerts);
  // Whether a key is taken over when it is touched or before makes no difference.
  for (let page = 0; page < one.takenEarly - 4; page++) engine.takeOver();
  both(records.slice(swapAt));
  while (engine.takeOver());
  for (const each of [engine, whole]) while (each.fireTimers(1_000, alerts) > 0);
  const { features, fresh } = engine.ruleSet();
  const chosen = new Set(
    features
      .filter(({ feature: { entry } }) => entry !== undefined && (inOrder || fresh.get(entry.id) === 'all'))
      .map(({ ruleIds, keyType, feature }) => `${ruleIds} ${KEY_TYPES[keyType]} ${feature.name}`),
  );
  const views = known(engine, subscribers, chosen);
  expect(views).toEqual(known(whole, subscribers, chosen));
  return views.flat().some((view) => typeof view?.value === 'number' && view.value > 0) ? 1 : 0;
}

describe('filled windows are those of an engine that had the rules from the beginning', () => {
  test.each([
    [CASES, 'in order, where windows grow too', true],
    [CASES, 'with late records, for features that are new', false],
  ])('in %i drawn streams %s', (runs, _name, inOrder) => {
    let filled = 0;
    fc.assert(
      fc.property(drawn, (one) => {
        filled += compare(one, inOrder);
      }),
      { numRuns: runs, seed: DRAWN_SEED },
    );
    expect(filled).toBeGreaterThan(runs / 4);
  });
});

test('a SIM that only a late record has named is known after a back-fill as well', () => {
  const rules = [
    ruleWith({ id: 'fraud.window', features: { calls: { aggregate: 'count', window: '1h' } } }),
    ruleWith({
      id: 'fraud.recent',
      key: 'imsi',
      where: "direction == 'mo'",
      features: { mean: { aggregate: 'recentMean', of: 'durationSec', last: 1 } },
      bands: [{ severity: 'info', score: 1, if: 'mean > 60' }],
    }),
  ];
  const [other, servedImsi] = ['861390000002', '460000000000002'];
  const before = [
    recordAt(0, { recordId: 'first', servedMsisdn: other }),
    recordAt(-61 * MINUTE_MS, { recordId: 'late for every window', servedMsisdn: other, servedImsi }),
  ];
  const after = [recordAt(0, { recordId: 'names it, and counts for nothing', servedImsi, direction: 'mt' })];
  const alerts: AlertData[] = [];
  const engine = engineWith([]);
  for (const record of before) engine.apply(record, alerts);
  swapFilled(engine, rules, before, alerts);
  const whole = engineWith(rules);
  for (const record of before) whole.apply(record, alerts);
  for (const each of [engine, whole]) for (const record of after) each.apply(record, alerts);
  while (engine.takeOver());
  for (const msisdn of [SUBSCRIBER, other])
    expect(engine.inspectSubscriber(msisdn)?.features).toEqual(whole.inspectSubscriber(msisdn)?.features);
});

test('a look that falls due while windows are taken over comes with the same record as if that had been done at once', () => {
  const other = '861390000002';
  const rule = ruleWith({
    id: 'fraud.silence',
    evaluateAt: 'lastAt + 1h',
    features: {
      calls: { aggregate: 'count', window: '6h' },
      lastAt: { aggregate: 'last', of: 'eventTime', window: '6h' },
    },
    bands: [{ severity: 'info', score: 1, if: 'calls >= 2 && now >= lastAt + 1h' }],
  });
  const before = [0, 1].map((minute) => recordAt(minute * MINUTE_MS, { recordId: `b${minute}`, servedMsisdn: other }));
  const after = [30, 65, 67, 69].map((minute) => recordAt(minute * MINUTE_MS, { recordId: `a${minute}` }));
  const courses = [true, false].map((atOnce) => {
    const engine = engineWith([]);
    const alerts: AlertData[] = [];
    for (const record of before) engine.apply(record, alerts);
    swapFilled(engine, [rule], before, alerts);
    while (atOnce && engine.takeOver());
    return after.map((record) => {
      engine.apply(record, alerts);
      return alerts.splice(0).map(({ key, eventTime }) => `${key.value} ${eventTime - BEGIN}`);
    });
  });
  expect(courses[1]).toEqual(courses[0]);
  expect(courses[0]!.flat()).toEqual([`${other} ${61 * MINUTE_MS}`]);
});

test('what a condition asks of a subscriber is known before the subscriber has been taken over', () => {
  const other = '861390000002';
  const account = (servedMsisdn: string): UsageRecord =>
    recordAt(0, {
      recordId: `a${servedMsisdn}`,
      servedMsisdn,
      recordType: 'account',
      event: 'activated',
      attributes: {},
    });
  const before = [SUBSCRIBER, other].map(account);
  const call = recordAt(MINUTE_MS, { recordId: 'call', direction: 'mo', otherNumber: other, cellId: 'c1' });
  for (const where of ["profile.status == 'active'", 'other.known']) {
    const rule = ruleWith({
      id: 'fraud.asks',
      key: 'cell',
      where,
      features: { calls: { aggregate: 'count', window: '1h' } },
      bands: [{ severity: 'info', score: 1, if: 'calls == 1' }],
    });
    const engine = engineWith([]);
    const alerts: AlertData[] = [];
    for (const record of before) engine.apply(record, alerts);
    swapFilled(engine, [rule], before, alerts);
    engine.apply(call, alerts);
    expect(
      alerts.map(({ triggerRecordId }) => triggerRecordId),
      where,
    ).toEqual(['call']);
  }
});

test('the sender of the last message is known after a back-fill as well', () => {
  const rule = ruleWith({
    id: 'fraud.sender',
    key: 'sender+range',
    on: 'account',
    features: { messages: { aggregate: 'count', window: '1h', on: 'sms' } },
    bands: [{ severity: 'info', score: 1, if: 'messages == 1' }],
  });
  const sms = recordAt(0, { recordId: 'sms', recordType: 'sms', direction: 'mt', otherNumber: 'BANK' });
  const confirmed = recordAt(MINUTE_MS, {
    recordId: 'otp',
    recordType: 'account',
    event: 'otpConfirmed',
    attributes: {},
  });
  const other = ruleWith({ id: 'fraud.pairs', key: 'imsi+servingPlmn' });
  const named = recordAt(0, { recordId: 'pair', servedImsi: '460000000000001', servingPlmn: '26201' });
  const whole = engineWith([other, rule]);
  const engine = engineWith([other]);
  const alerts: AlertData[] = [];
  for (const each of [whole, engine]) for (const record of [named, sms]) each.apply(record, alerts);
  swapFilled(engine, [other, rule], [named, sms], alerts);
  const after = [whole, engine].map((each) => {
    alerts.length = 0;
    each.apply(confirmed, alerts);
    return alerts.map(({ key }) => key);
  });
  expect(after[0]).toHaveLength(1);
  expect(after[1]).toEqual(after[0]);
});
