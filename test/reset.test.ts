import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPanes, readCount } from '../src/state/panes.ts';
import { createReset } from '../src/state/reset.ts';
import { createKeyState } from './key-state.ts';
import { BEGIN, engineWith, MINUTE_MS, recordAt, ruleWith } from './rule-engine.ts';

describe('reset', () => {
  test('makes its operator forget one key, and leaves other operators and keys as they are', () => {
    const record = fc.record({ key: fc.integer({ min: 1, max: 2 }), resets: fc.boolean() });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), (records) => {
        const state = createKeyState();
        const options = { signature: '', paneMs: 1_000, reach: 100, columns: [] };
        const since = createPanes({ id: 1, ...options });
        const all = createPanes({ id: 2, ...options });
        const reset = createReset(1);
        const counts = new Map<number, { since: number; all: number }>();
        records.forEach(({ key, resets }, index) => {
          const count = counts.get(key) ?? { since: 0, all: 0 };
          state.apply(key, { eventTime: BEGIN + index * 1_000 }, ...(resets ? [reset] : [all, since]));
          count.since = resets ? 0 : count.since + 1;
          count.all += resets ? 0 : 1;
          counts.set(key, count);
          const whole = { panes: 100, shift: 0 };
          expect({
            since: readCount(since, whole)(state.scope),
            all: readCount(all, whole)(state.scope),
          }).toEqual(count);
        });
      }),
      { numRuns: 200 },
    );
  });

  test('features that differ in it alone share no window', () => {
    const count = { aggregate: 'count', window: '1h' } as const;
    const engine = engineWith([
      ruleWith({
        on: 'voice',
        features: { calls: count, since: { ...count, resetBy: { on: 'account', where: "event == 'callForwardSet'" } } },
        bands: [{ severity: 'warning', if: 'calls >= 3', score: 50 }],
        reason: { en: '{calls} {since}', 'zh-CN': '{calls} {since}' },
      }),
    ]);
    const alerts: Parameters<typeof engine.apply>[1] = [];
    for (const minute of [0, 1]) engine.apply(recordAt(minute * MINUTE_MS), alerts);
    const account = { recordType: 'account', attributes: {} } as const;
    engine.apply(recordAt(2 * MINUTE_MS, { ...account, event: 'profile' }), alerts);
    engine.apply(recordAt(3 * MINUTE_MS, { ...account, event: 'callForwardSet' }), alerts);
    engine.apply(recordAt(4 * MINUTE_MS), alerts);
    expect(alerts.map(({ reason }) => reason.en)).toEqual(['3 1']);
  });
});
