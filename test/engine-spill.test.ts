/**
 * Memory that is bounded changes no result: the same stream through an engine that may hold a few blocks and through one that holds
 * all. Alerts are compared as they are published, and what is kept of every subscriber.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import { createEngine, type Engine, type EngineOptions } from '../src/engine.ts';
import { population } from '../src/feed/population.ts';
import { createRandom } from '../src/feed/random.ts';
import { decodeMessage } from '../src/record/decode.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseLists } from '../src/reference/lists.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { openSpillStore, type SpillStore } from '../src/state/spill-store.ts';
import { CATALOGUE_CASES } from './catalogue-cases.ts';
import { DRAWN_SEED, drawnSwap } from './drawn-case.ts';
import { CELL_LIST } from './oracle-patterns.ts';
import { BEGIN, engineWith, MINUTE_MS, numberingPlan, recordAt, sourceOf, utc } from './rule-engine.ts';
import type { StoredMessage } from './simulation/broker.ts';
import { undisturbed } from './simulation/undisturbed.ts';
import { drawWorkload } from './simulation/workload.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-spill-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let stores = 0;
const newStore = (segmentBytes?: number): SpillStore => {
  stores++;
  return openSpillStore(join(folder, `store-${stores}`), segmentBytes === undefined ? {} : { segmentBytes });
};

const shipped = parseRules(readRuleFiles(join(projectFolder, 'rules')));
const shippedEngine = (options: Partial<EngineOptions> = {}): Engine => {
  const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 65_536, ...options });
  expect(engine.useRules(shipped.sources, 'shipped', [], shipped.lists)).toEqual([]);
  return engine;
};
const decoded = (records: readonly object[]): UsageRecord[] => {
  const all: UsageRecord[] = [];
  for (let from = 0; from < records.length; from += 500) {
    const body = Buffer.from(JSON.stringify(records.slice(from, from + 500)));
    const message = decodeMessage(body, { eventTimeMax: Number.MAX_SAFE_INTEGER });
    expect(message.rejections).toEqual([]);
    all.push(...message.records);
  }
  return all;
};

/** The same records through both, the first one with room made after each; what differs in the end. */
function runBoth(bounded: Engine, whole: Engine, records: readonly UsageRecord[]) {
  const [alerts, expected]: [AlertData[], AlertData[]] = [[], []];
  let inMemoryMax = 0;
  for (const record of records) {
    expect(bounded.apply(record, alerts)).toBe(whole.apply(record, expected));
    while (bounded.makeRoom());
    inMemoryMax = Math.max(inMemoryMax, bounded.stats().residentBlocks);
  }
  const end = whole.maxEventTime() + 8 * 24 * 60 * MINUTE_MS;
  const views = (engine: Engine) =>
    [...new Set(records.map(({ servedMsisdn }) => servedMsisdn))].map((msisdn) => engine.inspectSubscriber(msisdn));
  const both = { before: [views(bounded), views(whole)], after: [] as unknown[][] };
  bounded.tick(end, alerts);
  whole.tick(end, expected);
  both.after = [views(bounded), views(whole)];
  return { alerts, expected, views: both, inMemoryMax };
}

const expectSame = ({ alerts, expected, views }: ReturnType<typeof runBoth>): void => {
  expect(alerts.map((alert) => JSON.stringify(alert))).toEqual(expected.map((alert) => JSON.stringify(alert)));
  for (const [bounded, whole] of [views.before, views.after]) expect(bounded).toEqual(whole);
};

describe('an engine with room for a few blocks', () => {
  test('makes the alerts of the catalogue as one that holds all', { timeout: 300_000 }, () => {
    // Each case with a subscriber of its own; cells, trunks and other numbers are shared by all.
    const records = CATALOGUE_CASES.flatMap(({ records }, index) =>
      decoded(
        JSON.parse(
          JSON.stringify(records)
            .replaceAll('861390000001', `86139${String(index).padStart(7, '1')}`)
            .replaceAll('"recordId":"', `"recordId":"${index}.`),
        ),
      ),
    ).sort((a, b) => a.eventTime - b.eventTime);
    const store = newStore();
    const bounded = shippedEngine({ spill: { store, blocksMax: 3, bytesMax: Number.POSITIVE_INFINITY } });
    const result = runBoth(bounded, shippedEngine(), records);
    expectSame(result);
    expect(new Set(result.alerts.map(({ catalogue }) => catalogue)).size).toBeGreaterThan(60);
    expect(result.inMemoryMax).toBeLessThanOrEqual(3);
    expect(store.stats().returned.within + store.stats().returned.unwritten).toBeGreaterThan(records.length);
  });

  test('follows sixty subscribers for a hundred days', { timeout: 300_000 }, () => {
    const drawn = population({
      seed: 3,
      subscribers: 60,
      recordsPerSubscriberDay: 0.5,
      plantedShare: 0.3,
      startAt: BEGIN,
      days: 100,
    });
    const records = decoded([...drawn.records()]);
    const store = newStore();
    const bounded = shippedEngine({ spill: { store, blocksMax: 12, bytesMax: Number.POSITIVE_INFINITY } });
    const result = runBoth(bounded, shippedEngine(), records);
    expectSame(result);
    expect(result.alerts.length).toBeGreaterThan(20);
    expect(result.inMemoryMax).toBeLessThanOrEqual(12);
  });

  test('holds so many bytes as it may', () => {
    const store = newStore();
    const bytesMax = 16_384;
    const bounded = shippedEngine({ spill: { store, blocksMax: Number.POSITIVE_INFINITY, bytesMax } });
    const records = Array.from({ length: 2_000 }, (_, n) =>
      recordAt(n * 1_000, { servedMsisdn: `86139${String((n * 37) % 200).padStart(7, '0')}` }),
    );
    expectSame(runBoth(bounded, shippedEngine(), records));
    expect(bounded.spilled()).toBeGreaterThan(150);
    expect(bounded.stats().usedBytes).toBeLessThanOrEqual(bytesMax);
  });

  test('is right for drawn rules over drawn streams, across a change of the rules', () => {
    const { lists } = parseLists([CELL_LIST]);
    let returned = 0;
    fc.assert(
      fc.property(drawnSwap, fc.integer({ min: 0, max: 2 }), ({ rules, latenessMin, stream, swap }, blocksMax) => {
        const latenessMs = latenessMin * MINUTE_MS;
        const store = newStore();
        const spill = { store, blocksMax, bytesMax: Number.POSITIVE_INFINITY };
        const engines = [engineWith(rules, { latenessMs, spill }, lists), engineWith(rules, { latenessMs }, lists)];
        const alerts: AlertData[][] = [[], []];
        let at = 0;
        let recordId = 0;
        for (const [step, one] of stream.entries()) {
          at += one.jump;
          const record = recordAt(at - one.ago, { ...one.record, recordId: `r${recordId++}` });
          for (const [index, engine] of engines.entries()) {
            if (step === swap?.at) expect(engine.useRules(swap.rules.map(sourceOf), 'next', alerts[index])).toEqual([]);
            if (one.tick) engine.tick(BEGIN + at, alerts[index]!);
            else engine.apply(record, alerts[index]!);
            while (engine.makeRoom());
          }
          expect(engines[0]!.stats().residentBlocks).toBeLessThanOrEqual(blocksMax);
        }
        for (const [index, engine] of engines.entries()) engine.tick(BEGIN + at + 1e9, alerts[index]!);
        expect(alerts[0]!.map((alert) => JSON.stringify(alert))).toEqual(
          alerts[1]!.map((alert) => JSON.stringify(alert)),
        );
        const { returned: back } = store.stats();
        returned += back.unwritten + back.within;
      }),
      { numRuns: 150, seed: DRAWN_SEED },
    );
    expect(returned).toBeGreaterThan(1_000);
  });

  test('goes through back-fills, swaps and ticks of simulated worlds', () => {
    let backfills = 0;
    let back = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const workload = drawWorkload(seed, createRandom(seed), BEGIN);
      const messages: StoredMessage[] = workload.publications.map(({ atMs, subject, body }, at) => ({
        sequence: at + 1,
        subject,
        data: body,
        timeMs: Math.floor(BEGIN + atMs),
        header: undefined,
      }));
      backfills += messages.filter(({ subject }) => subject.endsWith('.prepare')).length;
      const { latenessMs, horizonRecords } = workload;
      const { sources, lists } = parseRules(workload.files);
      const course = (options: Partial<EngineOptions>) => {
        const engine = createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords, ...options });
        expect(engine.useRules(sources, workload.version, [], lists)).toEqual([]);
        const tight: Engine = {
          ...engine,
          apply(record, alerts) {
            while (engine.makeRoom());
            return engine.apply(record, alerts);
          },
        };
        const { alerts, applied } = undisturbed(tight, messages);
        return { alerts: alerts.map(({ sequence, alert }) => `${sequence} ${JSON.stringify(alert)}`), applied };
      };
      const store = newStore();
      const spill = { store, blocksMax: seed % 3, bytesMax: Number.POSITIVE_INFINITY };
      expect(course({ spill }), `seed ${seed}`).toEqual(course({}));
      back += store.stats().returned.unwritten + store.stats().returned.within;
    }
    expect(backfills).toBeGreaterThan(10);
    expect(back).toBeGreaterThan(1_000);
  });
});
