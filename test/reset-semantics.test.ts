/**
 * When counters begin anew: never by a clock, never because another rule or another subscriber fired. Each of these went wrong
 * in fraud modules of switches that count from one reset to the next.
 */
import { describe, expect, test } from 'vitest';
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { Rule } from '../src/rules/rule.ts';
import { applyAll, DAY_MS, engineWith, HOUR_MS, lineOf, MINUTE_MS, recordAt, ruleWith } from './rule-engine.ts';

const OTHER = '861390000002';
const counting = (fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    features: { calls: { aggregate: 'count', window: '1h', panes: 60 } },
    bands: [{ severity: 'warning', if: 'calls >= most', score: 50 }],
    params: { most: 6 },
    reason: { en: '{calls}', 'zh-CN': '{calls}' },
    suppress: { for: '4h' },
    ...fields,
  });
const calls = (from: number, count: number, everyMs: number, fields: Partial<UsageRecord> = {}): UsageRecord[] =>
  Array.from({ length: count }, (_, n) => recordAt(from + n * everyMs, fields));

describe('a threshold that is off', () => {
  test('never holds, whatever it is compared with, and the other band stays', () => {
    const rule = counting({
      params: { most: 'off', longest: 'off', least: 3 },
      features: { calls: { aggregate: 'count', window: '1h' }, gap: { aggregate: 'sinceLast' } },
      bands: [
        { severity: 'warning', if: 'calls >= least', score: 10 },
        { severity: 'critical', if: 'calls >= most || gap > longest || calls >= 2 * most || longest < 3s', score: 90 },
      ],
    });
    expect(applyAll(engineWith([rule]), calls(0, 500, 1_000)).map(({ severity }) => severity)).toEqual(['warning']);
  });

  test('is left out of a least and a most of several', () => {
    const rule = counting({
      params: { most: 'off' },
      bands: [{ severity: 'info', if: 'calls >= min(most, 4)', score: 1 }],
    });
    expect(applyAll(engineWith([rule]), calls(0, 5, 1_000))).toHaveLength(1);
  });
});

describe('counters', () => {
  test('go on over the border of an hour and over midnight', () => {
    const midnight = 14 * HOUR_MS;
    expect(applyAll(engineWith([counting()]), calls(midnight - 3 * MINUTE_MS, 6, MINUTE_MS)).map(lineOf)).toEqual([
      `1 warning firing ${(midnight + 2 * MINUTE_MS) / MINUTE_MS}`,
    ]);
  });

  test('forget by themselves what the window has left: five calls a day are no burst', () => {
    expect(applyAll(engineWith([counting()]), calls(0, 60, 5 * HOUR_MS))).toEqual([]);
    expect(
      applyAll(
        engineWith([counting({ features: { calls: { aggregate: 'count', window: '1d', panes: 24 } } })]),
        calls(0, 60, 5 * HOUR_MS),
      ),
    ).toEqual([]);
  });

  test('may be as short as seconds', () => {
    const rule = counting({ features: { calls: { aggregate: 'count', window: '10s', panes: 10 } } });
    expect(applyAll(engineWith([rule]), calls(0, 60, 2_000))).toEqual([]);
    expect(applyAll(engineWith([rule]), calls(0, 6, 1_800)).map(({ eventTime }) => eventTime)).toHaveLength(1);
  });

  test('of one subscriber are untouched by another, however much that one calls', () => {
    const engine = engineWith([counting()]);
    applyAll(engine, calls(0, 5, MINUTE_MS));
    applyAll(engine, calls(0, 500, 1_000, { servedMsisdn: OTHER }));
    expect(applyAll(engine, calls(10 * MINUTE_MS, 1, 1))).toHaveLength(1);
  });

  test('are untouched when another rule fires: the alert comes with the sixth call of the minute, not hours later', () => {
    const from = 15 * HOUR_MS + 40 * MINUTE_MS;
    const prefix = counting({
      id: 'fraud.prefix',
      key: 'subscriber+prefix',
      features: { calls: { aggregate: 'count', window: '1m', panes: 60 } },
    });
    // Fires with every call, to whatever it goes.
    const noisy = ruleWith({ id: 'fraud.noisy', suppress: { for: '1s' } });
    const records = [
      ...calls(from, 6, 9_000, { otherNumber: '81012345678' }),
      ...calls(from + 1, 6, 9_000, { otherNumber: '442071234567' }),
    ].toSorted((a, b) => a.eventTime - b.eventTime);
    const times = (rules: Rule[]): number[] =>
      applyAll(engineWith(rules), records)
        .filter(({ ruleId }) => ruleId === 'fraud.prefix')
        .map(({ eventTime }) => eventTime);
    expect(times([prefix, noisy])).toEqual(times([prefix]));
    expect(times([prefix, noisy])).toEqual([records.at(-2)!.eventTime, records.at(-1)!.eventTime]);
  });

  test('are not begun anew by an alert: what goes on keeps the episode open, and a higher band is still reached', () => {
    const rule = counting({
      bands: [
        { severity: 'warning', if: 'calls >= 6', score: 50 },
        { severity: 'critical', if: 'calls >= 12', score: 90 },
      ],
    });
    expect(applyAll(engineWith([rule]), calls(0, 12, MINUTE_MS)).map(lineOf)).toEqual([
      '1 warning firing 5',
      '2 critical firing 11',
    ]);
  });

  test('of a run of calls begin anew with a call elsewhere, and only with that', () => {
    const run = ruleWith({
      key: 'subscriber+prefix',
      features: { inRow: { aggregate: 'run', of: 'destinationPrefix', among: "direction == 'mo'", window: '1d' } },
      bands: [{ severity: 'warning', if: 'inRow >= 4', score: 50 }],
      reason: { en: '{inRow}', 'zh-CN': '{inRow}' },
    });
    const abroad = { otherNumber: '37112345678' };
    const same = calls(0, 3, HOUR_MS, abroad);
    const fires = (between: UsageRecord[]): number =>
      applyAll(engineWith([run]), [...same, ...between, ...calls(5 * HOUR_MS, 1, 1, abroad)]).length;
    expect(fires([])).toBe(1);
    expect(fires(calls(4 * HOUR_MS, 1, 1, { otherNumber: '442071234567' }))).toBe(0);
    // Incoming calls, other kinds of records and other subscribers are no part of the run.
    expect(fires(calls(4 * HOUR_MS, 1, 1, { otherNumber: '442071234567', direction: 'mt' }))).toBe(1);
    expect(fires(calls(4 * HOUR_MS, 1, 1, { otherNumber: '442071234567', servedMsisdn: OTHER }))).toBe(1);
    expect(fires([recordAt(4 * HOUR_MS, { recordType: 'data' })])).toBe(1);
  });

  test('come back to nothing for a subscriber without usage, who is then forgotten', () => {
    const engine = engineWith([counting()]);
    applyAll(engine, calls(0, 5, MINUTE_MS));
    applyAll(engine, calls(2 * DAY_MS, 1, 1, { servedMsisdn: OTHER }));
    expect(engine.inspectSubscriber('861390000001')).toBeUndefined();
  });
});
