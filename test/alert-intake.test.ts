/** What the console makes of alerts that other programs publish, whatever they leave out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { completeAlert } from '../src/console/alert-intake.ts';

/** The fields that the server insists on. */
const listed = {
  alertId: 'a1',
  revision: 1,
  status: 'firing',
  ruleId: 'fraud.long-call',
  desk: 'fraud',
  severity: 'critical',
  eventTime: 1_700_000_000_000,
} as const;

const received = (alert: object): AlertData => ({ ...listed, ...alert }) as AlertData;

test('a complete alert stays as it is', () => {
  const alert = received({
    ruleVersion: 3,
    catalogue: 'F09',
    title: { en: 'Long call', 'zh-CN': '超长通话' },
    key: { type: 'imsi', value: '460001234567890' },
    servedMsisdn: '8613800000001',
    triggerRecordId: 'r1',
    reason: { en: 'Long.', 'zh-CN': '长。' },
    evidence: [{ feature: 'callSec', window: '', value: 7300, threshold: 7200, unit: 's' }],
    score: 60,
    fraudType: 'irsf',
    enabler: 'subscription',
    suggestedActions: ['call-subscriber'],
    value: { tier: 'vip', churnProbability: 0.4, expectedSaveValue: 12.5, exposure: 3, lifecycleStage: 'mature' },
    observedSince: 1_600_000_000_000,
  });
  expect(completeAlert(alert)).toEqual(alert);
});

test('what is missing gets a value that can be shown', () => {
  expect(completeAlert(received({ servedMsisdn: '8613800000001' }))).toMatchObject({
    title: { en: 'fraud.long-call', 'zh-CN': 'fraud.long-call' },
    key: { type: 'subscriber', value: '8613800000001' },
    reason: { en: '', 'zh-CN': '' },
    evidence: [],
    score: 0,
    suggestedActions: [],
    observedSince: listed.eventTime,
  });
});

test('whatever comes, it can be shown and is bounded', () => {
  const anything = fc.record({
    title: fc.anything(),
    key: fc.anything(),
    reason: fc.anything(),
    evidence: fc.anything(),
    score: fc.anything(),
    suggestedActions: fc.anything(),
    value: fc.anything(),
    observedSince: fc.anything(),
    eventTime: fc.integer(),
  });
  fc.assert(
    fc.property(anything, (fields) => {
      const alert = completeAlert(received(fields));
      for (const text of [alert.title.en, alert.title['zh-CN'], alert.reason.en, alert.key.value]) {
        expect(typeof text).toBe('string');
        expect(text.length).toBeLessThanOrEqual(2_000);
      }
      expect(Number.isFinite(alert.score)).toBe(true);
      // Formatting throws for a time that is none.
      new Date(alert.eventTime).toISOString();
      new Date(alert.observedSince).toISOString();
      for (const item of alert.evidence) expect(typeof item.feature).toBe('string');
      for (const action of alert.suggestedActions) expect(typeof action).toBe('string');
    }),
  );
});
