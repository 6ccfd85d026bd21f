/** Who confirms a one-time password belongs to who sent the last message, and to nobody else. */
import { expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { SENDER_NOTED_MS } from '../src/state/sender-note.ts';
import { DAY_MS, engineWith, MINUTE_MS, recordAt, ruleWith } from './rule-engine.ts';

const rule = ruleWith({
  key: 'sender+range',
  on: ['sms', 'account'],
  where: "(recordType == 'sms' && direction == 'mt') || event == 'otpConfirmed'",
  features: {
    sent: { aggregate: 'count', on: 'sms', where: "direction == 'mt'", window: '1h' },
    confirmed: { aggregate: 'count', on: 'account', where: "event == 'otpConfirmed'", window: '1h' },
  },
  bands: [{ severity: 'warning', if: 'confirmed > 0', score: 1 }],
  reason: { en: '{confirmed} of {sent}', 'zh-CN': '{confirmed}' },
});
const sms = (at: number, otherNumber: string, more: Partial<UsageRecord> = {}): UsageRecord =>
  recordAt(at, { recordType: 'sms', direction: 'mt', otherNumber, ...more });
const confirmed = (at: number, more: Partial<UsageRecord> = {}): UsageRecord =>
  recordAt(at, { recordType: 'account', direction: '', otherNumber: '', event: 'otpConfirmed', ...more });

const keysOf = (...records: UsageRecord[]): string[] => {
  const engine = engineWith([rule]);
  const alerts: AlertData[] = [];
  for (const record of records) engine.apply(record, alerts);
  return alerts.filter(({ status }) => status === 'firing').map(({ key, reason }) => `${key.value} ${reason.en}`);
};

test('a confirmation counts for the sender of the last message', () => {
  expect(keysOf(sms(0, 'ACME'), sms(MINUTE_MS, 'OTHER'), confirmed(2 * MINUTE_MS))).toEqual(['OTHER~8613900 1 of 1']);
  // A message that comes late was not the last one.
  expect(keysOf(sms(MINUTE_MS, 'OTHER'), sms(0, 'ACME'), confirmed(2 * MINUTE_MS))).toEqual(['OTHER~8613900 1 of 1']);
});

test('a confirmation counts for nobody after an hour, of another subscriber, or after a message that the rule does not take', () => {
  expect(keysOf(sms(0, 'ACME'), confirmed(SENDER_NOTED_MS))).toEqual(['ACME~8613900 1 of 0']);
  expect(keysOf(sms(0, 'ACME'), confirmed(SENDER_NOTED_MS + 1))).toEqual([]);
  expect(keysOf(sms(0, 'ACME'), confirmed(1, { servedMsisdn: '861390000002' }))).toEqual([]);
  expect(keysOf(sms(0, 'ACME', { direction: 'mo' }), confirmed(1))).toEqual([]);
  expect(keysOf(confirmed(0))).toEqual([]);
});

test('keys of sender and range are forgotten when they are idle, and their numbers used again', () => {
  const engine = engineWith([rule]);
  for (let index = 0; index < 50; index++) engine.apply(sms(index, `S${index}`), []);
  const before = engine.stats();
  expect(before.keys['sender+range']).toBe(50);
  engine.tick(recordAt(DAY_MS).eventTime, []);
  while (engine.fireTimers(1_000, []) > 0);
  expect(engine.stats().keys).toMatchObject({ 'sender+range': 0, subscriber: 0 });
  expect(engine.stats().names).toBe(before.names - 50);
});
