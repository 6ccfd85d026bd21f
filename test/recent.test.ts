import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRecent, type RecentStatistic } from '../src/state/recent.ts';
import { createKeyState } from './key-state.ts';
import { engineWith, HOUR_MS, lineOf, recordAt, ruleWith } from './rule-engine.ts';

const BEGIN = 1_767_225_600_000;
const statistics: RecentStatistic[] = ['mean', 'min', 'max'];

/** Straight from the definition: cut the stretch out of everything that ever came. */
function naive(values: readonly number[], statistic: RecentStatistic, last: number, skip: number, least: number) {
  const stretch = values.slice(0, Math.max(0, values.length - skip)).slice(-last);
  if (stretch.length < least) return Number.NaN;
  if (statistic === 'mean') return stretch.reduce((sum, value) => sum + value, 0) / stretch.length;
  return statistic === 'min' ? Math.min(...stretch) : Math.max(...stretch);
}

describe('recent values', () => {
  test('are those of the definition, whatever comes and whichever stretch is asked for', () => {
    const amount = fc.oneof(fc.integer({ min: -5, max: 2_000 }), fc.constant(Number.NaN));
    const stretch = fc.record({
      statistic: fc.constantFrom(...statistics),
      last: fc.integer({ min: 1, max: 9 }),
      skip: fc.integer({ min: 0, max: 4 }),
      samplesMin: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(
        fc.array(amount, { maxLength: 40 }),
        fc.array(stretch, { minLength: 1, maxLength: 4 }),
        (all, asked) => {
          const state = createKeyState();
          const recent = createRecent({ id: 3, signature: 'recent', of: (scope) => scope.record.amountMicros });
          const readers = asked.map(({ statistic, last, skip, samplesMin }) => {
            recent.keep(last + skip);
            return recent.read(statistic, { last, skip, samplesMin: Math.min(last, samplesMin) }, 1);
          });
          const known: number[] = [];
          for (const value of all) {
            state.apply(1, { eventTime: BEGIN, amountMicros: value }, recent);
            if (!Number.isNaN(value)) known.push(value);
            readers.forEach((read, index) => {
              const { statistic, last, skip, samplesMin } = asked[index]!;
              expect(read(state.scope)).toBe(naive(known, statistic, last, skip, Math.min(last, samplesMin)));
            });
          }
          const longest = Math.max(...asked.map(({ last, skip }) => last + skip));
          const units = known.length === 0 ? 0 : 1 + Math.min(known.length, longest);
          expect(state.scope.cursor.segmentUnits[3] ?? 0).toBe(units);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('of a rule set that asks for fewer are those that it asks for', () => {
    const state = createKeyState();
    const of = (scope: typeof state.scope): number => scope.record.amountMicros;
    const before = createRecent({ id: 3, signature: 'recent', of });
    before.keep(9);
    for (let value = 1; value <= 9; value++) state.apply(1, { eventTime: BEGIN, amountMicros: value }, before);
    const after = createRecent({ id: 3, signature: 'recent', of });
    after.keep(3);
    state.apply(1, { eventTime: BEGIN, amountMicros: 10 }, after);
    expect(after.read('mean', { last: 3, skip: 0, samplesMin: 3 }, 1)(state.scope)).toBe(9);
    expect(after.read('min', { last: 9, skip: 0, samplesMin: 4 }, 1)(state.scope)).toBeNaN();
  });

  test('in a rule: a mean of money is exact, and rules share what they remember', () => {
    const rule = (id: string, last: number, condition: string) =>
      ruleWith({
        id,
        on: 'invoice',
        features: {
          usual: { aggregate: 'recentMean', of: 'amount', last, skip: 1, samplesMin: 3 },
          bill: { aggregate: 'recentMax', of: 'amount', last: 1 },
        },
        bands: [{ severity: 'warning', if: condition, score: 50 }],
      });
    const engine = engineWith([
      rule('fraud.first', 6, 'bill >= 2 * usual'),
      rule('fraud.second', 3, 'bill > 3 * usual'),
    ]);
    expect(engine.ruleSet().operators.size).toBe(1);
    const lines: string[] = [];
    [0.1, 0.1, 0.1, 0.3, 0.51].forEach((amount, index) => {
      const alerts: Parameters<typeof engine.apply>[1] = [];
      const record = recordAt(index * HOUR_MS * 2, { recordType: 'invoice', amountMicros: Math.round(amount * 1e6) });
      engine.apply(record, alerts);
      lines.push(
        ...alerts.filter(({ status }) => status === 'firing').map((alert) => `${alert.ruleId} ${lineOf(alert)}`),
      );
    });
    expect(lines).toEqual(['fraud.first 1 warning firing 360', 'fraud.second 1 warning firing 480']);
  });

  test('need a number and a length', () => {
    const problemOf = (feature: object): string => {
      try {
        engineWith([ruleWith({ features: { value: { aggregate: 'recentMean', ...feature } } })]);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(problemOf({ last: 3 })).toBe("recentMean needs 'of', a number");
    expect(problemOf({ of: 'cellId', last: 3 })).toBe("recentMean needs 'of', a number");
    expect(problemOf({ of: 'durationSec' })).toBe("recentMean needs 'last': how many values");
  });
});
