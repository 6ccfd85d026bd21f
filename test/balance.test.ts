import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { createBalance } from '../src/state/balance.ts';
import { createKeyState } from './key-state.ts';
import { engineWith, recordAt, ruleWith, SUBSCRIBER } from './rule-engine.ts';

const BEGIN = 1_767_225_600_000;
const MICROS = 1_000_000;

function wallet() {
  const state = createKeyState();
  const balance = createBalance({ id: 2, signature: 'balance' });
  const take = (at: number, fields: Partial<UsageRecord>): number => {
    state.apply(1, { outcome: 'done', eventTime: BEGIN + at, ...fields }, balance);
    return balance.value(state.scope);
  };
  const topup = (amount: number): Partial<UsageRecord> => ({ recordType: 'topup', amountMicros: amount * MICROS });
  const charge = (amount: number): Partial<UsageRecord> => ({ recordType: 'voice', chargeMicros: amount * MICROS });
  const named = (amount: number): Partial<UsageRecord> => ({ balanceAfterMicros: amount * MICROS });
  return { state, take, topup, charge, named };
}

describe('a prepaid balance', () => {
  test('is what was topped up less what was charged', () => {
    const { take, topup, charge } = wallet();
    expect(take(0, topup(20))).toBe(20);
    expect(take(1, charge(1.5))).toBe(18.5);
    expect(take(2, topup(10))).toBe(28.5);
  });

  test('is the last one that a record names, and goes on from there', () => {
    const { take, topup, charge, named } = wallet();
    expect(take(0, { ...topup(20), ...named(23) })).toBe(23);
    expect(take(1, charge(3))).toBe(20);
    expect(take(2, { ...charge(1), ...named(7.25) })).toBe(7.25);
    expect(take(3, { ...named(0) })).toBe(0);
  });

  test('knows failed and reversed top-ups, and transfers both ways', () => {
    const { take, topup } = wallet();
    take(0, topup(20));
    expect(take(1, { ...topup(20), outcome: 'failed' })).toBe(20);
    expect(take(2, { ...topup(5), outcome: 'reversed' })).toBe(15);
    // Some write what is taken back with a minus.
    expect(take(3, { ...topup(-1), outcome: 'reversed' })).toBe(14);
    expect(take(4, { recordType: 'transfer', direction: 'mo', amountMicros: 4 * MICROS })).toBe(10);
    expect(take(5, { recordType: 'transfer', direction: 'mt', amountMicros: 2 * MICROS })).toBe(12);
  });

  test('is not known of who only pays bills, and takes no memory there', () => {
    const { take, charge, state } = wallet();
    expect(take(0, charge(3))).toBe(Number.NaN);
    expect(take(1, {})).toBe(Number.NaN);
    expect(state.scope.cursor.segmentAt[2]).toBe(0);
  });

  test('is never below zero: what was there before the first top-up nobody said', () => {
    const { take, topup, charge } = wallet();
    take(0, topup(5));
    expect(take(1, charge(8))).toBe(0);
    expect(take(2, topup(10))).toBe(10);
  });

  test('does not take what comes late and is in the named balance already', () => {
    const { take, topup, charge, named } = wallet();
    take(10, { ...topup(20), ...named(20) });
    expect(take(5, charge(3))).toBe(20);
    expect(take(6, named(90))).toBe(20);
    expect(take(10, charge(3))).toBe(17);
  });

  test('a record without price and balance leaves it', () => {
    const { take, topup } = wallet();
    take(0, topup(20));
    expect(take(1, { recordType: 'sms' })).toBe(20);
  });
});

describe('in rules and for people', () => {
  const low = ruleWith({
    id: 'retention.low',
    desk: 'retention',
    on: ['voice', 'topup'],
    bands: [{ severity: 'warning', if: 'balance < 2', score: 1 }],
    reason: { en: '{balance} left', 'zh-CN': '{balance}' },
  });

  test('is what was left when a rule looked, and is seen with the subscriber', () => {
    const engine = engineWith([low]);
    const alerts: AlertData[] = [];
    engine.apply(recordAt(0, { recordType: 'topup', amountMicros: 5 * MICROS, outcome: 'done' }), alerts);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.balance).toBe(5);
    engine.apply(recordAt(1_000, { chargeMicros: 3.5 * MICROS }), alerts);
    expect(alerts.map(({ reason }) => reason.en)).toEqual(['1.50 left']);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.balance).toBe(1.5);
  });

  test('is not shown where nobody knows it', () => {
    const engine = engineWith([low]);
    engine.apply(recordAt(0, { chargeMicros: MICROS }), []);
    expect(engine.inspectSubscriber(SUBSCRIBER)!.balance).toBeNull();
  });
});
