/** How right the churn formula is: counts against a naive reckoning over single forecasts, and the whole way in the engine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { createEngine, type Engine } from '../src/engine.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { churnReport, psiOf } from '../src/rules/churn-report.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { type Model, parseModel } from '../src/rules/model.ts';
import { COHORT_DAYS, COHORTS_MAX, createCalibration, scoreBinOf } from '../src/state/calibration.ts';
import { PROBABILITY_STEPS } from '../src/state/forecast.ts';
import { DAY_MS, numberingPlan, recordAt, restarted, utc } from './rule-engine.ts';

const FILE = 'models/retention.yaml';
const modelText = readFileSync(join(DEFAULTS.rules, FILE), 'utf8');
const model = (parseModel(FILE, modelText) as { model: Model }).model;
const NONE = new Float64Array(model.churn.inputs.length);

interface One {
  day: number;
  steps: number;
  churned: boolean;
}
const forecasts = fc.array(
  fc.record({
    day: fc.integer({ min: 20_000, max: 20_100 }),
    steps: fc.nat({ max: PROBABILITY_STEPS }),
    churned: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);
const counted = (all: readonly One[]) => {
  const calibration = createCalibration();
  calibration.begin(1);
  for (const { day, steps } of all.toSorted((a, b) => a.day - b.day)) calibration.made(day, steps, NONE, 1.5);
  for (const { day, steps, churned } of all) calibration.observed(day, steps, churned);
  return calibration;
};
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('what the counts say', () => {
  test('is what single forecasts say', () => {
    fc.assert(
      fc.property(forecasts, (all) => {
        const report = churnReport(model, [counted(all).snapshot()]);
        const ps = all.map(({ steps }) => steps / PROBABILITY_STEPS);
        const ys = all.map(({ churned }) => (churned ? 1 : 0));
        expect(report.forecasts).toEqual({
          made: all.length,
          observed: all.length,
          churned: ys.filter((y) => y === 1).length,
        });
        expect(report.brier).toBeCloseTo(mean(ps.map((p, index) => (p - ys[index]!) ** 2)), 9);
        expect(report.rate).toBeCloseTo(mean(ys), 12);
        expect(report.predicted).toBeCloseTo(mean(ps), 9);
        // Pair by pair; what shares a bin is a tie.
        const left = all.filter(({ churned }) => churned);
        const stayed = all.filter(({ churned }) => !churned);
        if (left.length === 0 || stayed.length === 0) expect(report.auc).toBeNull();
        else {
          const wins = left.flatMap((a) =>
            stayed.map((b) => (Math.sign(scoreBinOf(a.steps) - scoreBinOf(b.steps)) + 1) / 2),
          );
          expect(report.auc).toBeCloseTo(mean(wins), 9);
        }
      }),
    );
  });

  test('adds up over deciles, and rises from one to the next in what was predicted', () => {
    fc.assert(
      fc.property(forecasts, (all) => {
        const { deciles, rate, predicted, lift } = churnReport(model, [counted(all).snapshot()]);
        expect(deciles.map(({ decile }) => decile)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        expect(mean(deciles.map((one) => one.predicted))).toBeCloseTo(predicted!, 9);
        expect(mean(deciles.map((one) => one.rate))).toBeCloseTo(rate!, 9);
        for (const [index, { predicted: p }] of deciles.entries())
          if (index > 0) expect(p).toBeGreaterThanOrEqual(deciles[index - 1]!.predicted - 1e-9);
        if (rate! > 0) expect(lift).toBeCloseTo(deciles[9]!.rate / rate!, 9);
      }),
    );
  });

  test('is the same in whatever order outcomes come, and over partitions together', () => {
    fc.assert(
      fc.property(forecasts, fc.nat({ max: 60 }), (all, at) => {
        const whole = churnReport(model, [counted(all).snapshot()]);
        expect(churnReport(model, [counted(all.toReversed()).snapshot()])).toEqual(whole);
        const parts = [counted(all.slice(0, at)), counted(all.slice(at))].map((part) => part.snapshot());
        expect(churnReport(model, parts)).toEqual(whole);
      }),
    );
  });

  test('is nothing before the first forecast', () => {
    const report = churnReport(model, [createCalibration().snapshot()]);
    expect(report).toMatchObject({ brier: null, auc: null, lift: null, skill: null, deciles: [], cohorts: [] });
    expect(report.stability.score).toEqual({ psi: null, state: 'unknown' });
  });
});

describe('drift', () => {
  test('is none between equal shares, and far where nothing is as it was', () => {
    expect(psiOf([10, 20, 30], [10, 20, 30])).toBeCloseTo(0, 12);
    expect(psiOf([100, 200, 300], [1_000, 2_000, 3_000])).toBeLessThan(0.001);
    expect(psiOf([500, 500, 0], [0, 500, 500])).toBeGreaterThan(1);
    expect(psiOf([500, 500], [650, 350])).toBeCloseTo(0.15 * Math.log(650 / 500) - 0.15 * Math.log(350 / 500), 2);
  });

  test('is measured against the first cohort, which stays when others go', () => {
    const calibration = createCalibration();
    calibration.begin(7);
    const input = NONE.length - 1;
    for (let cohort = 0; cohort < COHORTS_MAX + 6; cohort++) {
      for (let index = 0; index < 200; index++) {
        const logs = NONE.slice();
        logs[input] = cohort > 10 ? 1 : 0;
        calibration.made(20_010 + cohort * COHORT_DAYS, 500, logs, 1.5);
      }
    }
    const report = churnReport(model, [calibration.snapshot()]);
    expect(report.cohorts).toHaveLength(COHORTS_MAX);
    expect(report.stability.reference).toBe(report.cohorts[0]!.from);
    expect(report.stability.current).toBe(report.cohorts.at(-1)!.from);
    expect(report.stability.score.state).toBe('stable');
    expect(report.stability.inputs.map(({ state }) => state)).toEqual(
      model.churn.inputs.map((_, index) => (index === input ? 'changed' : 'stable')),
    );
    // What becomes of a cohort that was dropped is not counted for another.
    calibration.observed(20_010 + 3 * COHORT_DAYS, 500, true);
    expect(churnReport(model, [calibration.snapshot()]).forecasts.observed).toBe(0);
    calibration.begin(8);
    expect(calibration.snapshot().cohorts).toEqual([]);
  });
});

describe('in the engine', () => {
  const SUBSCRIBERS = 120;
  const files = readRuleFiles(DEFAULTS.rules).filter(
    ({ file }) => file === FILE || file === 'retention/care-contacts.yaml',
  );
  const engineOf = (change = (text: string) => text): Engine => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 262_144 });
    const { sources } = parseRules(files.map(({ file, text }) => ({ file, text: change(text) })));
    expect(engine.useRules(sources, 'v')).toEqual([]);
    return engine;
  };
  const msisdn = (index: number): string => `8613900${String(index).padStart(5, '0')}`;
  /** A call every second day until the day on which a subscriber falls silent; some cease instead. */
  const records = (days: number): UsageRecord[] =>
    Array.from({ length: days }, (_, day) =>
      Array.from({ length: SUBSCRIBERS }, (_, index): UsageRecord[] => {
        const at = (day + index / 1_000) * DAY_MS;
        const until = index % 4 === 0 ? 100 : index % 4 === 1 ? 110 : days;
        if (index % 4 === 1 && day === until)
          return [
            recordAt(at, {
              recordType: 'account',
              event: 'ceased',
              servedMsisdn: msisdn(index),
              direction: '',
              otherNumber: '',
            }),
          ];
        if (day >= until || (day + index) % 2 === 1) return [];
        return [recordAt(at, { servedMsisdn: msisdn(index), chargeMicros: 1_000_000 })];
      }).flat(),
    ).flat();
  const run = (engine: Engine, all: readonly UsageRecord[], timersAtOnce = 0): void => {
    for (const record of all) {
      engine.apply(record, []);
      if (timersAtOnce > 0) engine.fireTimers(timersAtOnce, []);
    }
  };
  const all = records(200);

  test('each subscriber has a forecast in a horizon, and what became of it is seen at its end', () => {
    const engine = engineOf();
    run(engine, all);
    const { forecasts: counts, cohorts } = churnReport(model, [engine.calibration()]);
    // Known for sixty days, one forecast each until the day 120 and one more until the day 180 of those who are still there.
    expect(counts.made).toBeGreaterThanOrEqual(SUBSCRIBERS * 1.6);
    expect(counts.made).toBeLessThanOrEqual(SUBSCRIBERS * 2.4);
    // Every forecast that was made until the day 139 has been settled; nobody else's.
    expect(counts.observed).toBeGreaterThanOrEqual(SUBSCRIBERS);
    expect(counts.observed).toBeLessThan(counts.made);
    // A quarter fell silent on the day 100 and a quarter ceased ten days later, a few of them before their first forecast.
    expect(counts.churned).toBeGreaterThanOrEqual(SUBSCRIBERS * 0.4);
    expect(counts.churned).toBeLessThanOrEqual(SUBSCRIBERS * 0.75);
    expect(cohorts[0]!.observed).toBe(cohorts[0]!.made);
  });

  test('they are the same however fast timers are fired, and from a checkpoint in between', () => {
    const whole = engineOf();
    run(whole, all);
    const fast = engineOf();
    run(fast, all, 1_000);
    expect(fast.calibration()).toEqual(whole.calibration());
    const at = Math.floor(all.length * 0.55);
    const first = engineOf();
    run(first, all.slice(0, at));
    const next = restarted(first, 262_144, ({ rules }) => parseRules(rules).sources);
    run(next, all.slice(at));
    expect(next.calibration()).toEqual(whole.calibration());
    expect(whole.calibration().cohorts.length).toBeGreaterThan(1);
  });

  test('another formula begins anew, and what the old one had said is not settled by it', () => {
    const engine = engineOf();
    const half = all.findIndex(({ eventTime }) => eventTime >= all[0]!.eventTime + 130 * DAY_MS);
    run(engine, all.slice(0, half));
    const { tag } = engine.calibration();
    expect(engine.calibration().cohorts.length).toBeGreaterThan(0);
    const changed = files.map(({ file, text }) => ({ file, text: text.replace('intercept: -3.3', 'intercept: -3') }));
    expect(engine.useRules(parseRules(changed).sources, 'w')).toEqual([]);
    run(engine, all.slice(half, half + 500));
    expect(engine.calibration().tag).not.toBe(tag);
    expect(churnReport(model, [engine.calibration()]).forecasts.observed).toBe(0);
  });

  test('without `monitor` nothing is kept', () => {
    const engine = engineOf((text) => text.replace(/^ {2}monitor: .*$/m, ''));
    run(engine, all.slice(0, 6_000));
    expect(engine.calibration().cohorts).toEqual([]);
  });
});
