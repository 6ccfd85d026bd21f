/**
 * Runs the engine and the oracle (oracle.ts) over the same drawn cases. Every alert must be the same: rule, key, time, revision,
 * severity, status and what made it fire.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseLists } from '../src/reference/lists.ts';
import { DRAWN_SEED, type DrawnCase, drawnCase, drawnSwap } from './drawn-case.ts';
import { createOracle } from './oracle.ts';
import { BeyondLimit, CELL_LIST } from './oracle-patterns.ts';
import { BEGIN, engineWith, MINUTE_MS, recordAt, sourceOf } from './rule-engine.ts';

/** Alerts by rule and key, each in its order: which of two keys comes first at one moment is nobody's business. */
const shown = (
  alerts: readonly {
    ruleId: string;
    key: string;
    eventTime: number;
    revision: number;
    severity: string;
    status: string;
    triggerRecordId: string;
  }[],
): string[] =>
  alerts
    .map((alert, index) => ({ alert, index }))
    .sort((a, b) => {
      const [left, right] = [`${a.alert.ruleId} ${a.alert.key}`, `${b.alert.ruleId} ${b.alert.key}`];
      return left < right ? -1 : left > right ? 1 : a.index - b.index;
    })
    .map(
      ({ alert }) =>
        `${alert.ruleId} ${alert.key} ${new Date(alert.eventTime).toISOString()} r${alert.revision} ${alert.severity} ${alert.status} by ${alert.triggerRecordId}`,
    );

const { lists } = parseLists([CELL_LIST]);

function runBoth({ rules: own, latenessMin, stream: steps, silenceMin, swap }: DrawnCase) {
  const latenessMs = latenessMin * MINUTE_MS;
  const engine = engineWith(own, { latenessMs }, lists);
  const oracle = createOracle(own, { latenessMs });
  const alerts: AlertData[] = [];
  const records: UsageRecord[] = [];
  const results: [engine: string, oracle: string][] = [];
  let at = 0;
  let swapAt = swap?.at ?? -1;
  const tick = (): void => {
    engine.tick(BEGIN + at, alerts);
    while (engine.fireTimers(1_000, alerts) > 0);
    oracle.tick(BEGIN + at);
  };
  for (const step of steps) {
    if (swapAt-- === 0) {
      expect(engine.useRules(swap!.rules.map(sourceOf), 'next', alerts)).toEqual([]);
      oracle.swap(swap!.rules, 'next');
    }
    at += step.jump;
    if (step.tick) tick();
    else {
      const one =
        step.again >= 0 && records.length > 0
          ? records[step.again % records.length]!
          : recordAt(at - step.ago, { ...step.record, recordId: `r${records.length}` });
      records.push(one);
      results.push([engine.apply(one, alerts), oracle.apply(one)]);
    }
  }
  at += silenceMin * MINUTE_MS;
  tick();
  return { alerts, oracle, results, engine };
}

/** The rules are swapped in the middle: some go, some come, of some the conditions change. */
export const expectSameAcrossSwaps = (cases: number): void => expectSameInDrawnCases(cases, drawnSwap);

/** What must come up often enough. */
const SEEN = ['fired', 'resolved', 'raised', 'timed', 'late'] as const;
type Seen = (typeof SEEN)[number];

/** Fails with the smallest case that it finds where the two differ. */
export function expectSameInDrawnCases(
  cases: number,
  drawn: fc.Arbitrary<DrawnCase> = drawnCase,
  seen: readonly Seen[] = SEEN,
): void {
  const counts: Record<Seen, number> = { fired: 0, resolved: 0, raised: 0, timed: 0, late: 0 };
  let withAlerts = 0;
  fc.assert(
    fc.property(drawn, (one) => {
      let both: ReturnType<typeof runBoth>;
      try {
        both = runBoth(one);
      } catch (error) {
        if (error instanceof BeyondLimit) return fc.pre(false);
        throw error;
      }
      const { alerts, oracle, results } = both;
      expect(results.filter(([mine, theirs]) => mine !== theirs)).toEqual([]);
      expect(shown(alerts.map((alert) => ({ ...alert, key: alert.key.value })))).toEqual(shown(oracle.alerts));
      withAlerts += alerts.length > 0 ? 1 : 0;
      counts.late += results.filter(([mine]) => mine === 'late').length;
      for (const alert of alerts) {
        if (alert.status === 'resolved') counts.resolved++;
        else if (alert.revision > 1) counts.raised++;
        else counts.fired++;
        if (alert.status === 'firing' && alert.triggerRecordId.startsWith('timer:')) counts.timed++;
      }
    }),
    { numRuns: cases, seed: DRAWN_SEED },
  );
  // A comparison of nothing with nothing would prove nothing.
  expect(withAlerts).toBeGreaterThan(cases / 5);
  for (const what of seen) expect(counts[what], what).toBeGreaterThan(cases / 400);
}
