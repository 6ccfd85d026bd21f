import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Measurement, median, quantile, type Report } from '../bench/measurement.ts';
import { describeRun, saveRun, suiteNames } from '../bench/run.ts';
import { consoleSuite } from '../bench/suites/console.ts';
import { decodeSuite } from '../bench/suites/decode.ts';
import { checkpointSuite, endToEndSuite } from '../bench/suites/end-to-end.ts';
import { engineSuite } from '../bench/suites/engine.ts';
import { transportSuite } from '../bench/suites/transport.ts';
import { buildIfStale, chromiumPath } from './browser.ts';

const main = join(import.meta.dirname, '../src/main.ts');

/** The figures of a suite, by what a reader tells them apart by. */
async function figuresOf(run: (report: Report) => Promise<void>): Promise<Map<string, number>> {
  const figures = new Map<string, number>();
  await run(({ metric, value, unit, batch, variant }) => {
    expect(metric).toMatch(/^[a-z]+[a-z0-9_]*$/);
    expect(unit).toMatch(/^(1\/s|bytes|bytes\/s|ns|us|ms|count|ratio)$/);
    expect(value, metric).toSatisfy(Number.isFinite);
    // The memory of a few hundred subscribers is less than what else is freed meanwhile.
    if (metric !== 'memory_bytes_per_subscriber') expect(value, metric).toBeGreaterThanOrEqual(0);
    const key = [metric, variant, batch === undefined ? undefined : `batch ${batch}`].filter(Boolean).join(' ');
    expect(figures.has(key), `${key} is told twice`).toBe(false);
    figures.set(key, value);
  });
  return figures;
}

describe('each suite runs and says what it measured', () => {
  test('decode', async () => {
    const figures = await figuresOf((report) => decodeSuite(report, { records: 512, roundSeconds: 0.01 }));
    for (const form of ['JSON.parse alone', 'json', 'messagePack']) {
      for (const batch of [1, 256]) expect(figures.get(`records_per_second ${form} batch ${batch}`)).toBeGreaterThan(0);
    }
    expect(figures.get('records_per_second ndjson batch 256')).toBeGreaterThan(0);
  });

  test.skipIf(chromiumPath === undefined)('console (skipped where no Chromium is found)', async () => {
    await buildIfStale();
    const figures = await figuresOf((report) =>
      consoleSuite(report, { alerts: 600, newPerSecond: 20, interactions: 4 }),
    );
    for (const what of [
      'desk, next row',
      'desk, filter',
      'desk, group by',
      'cases, next row',
      'cases, row clicked',
      'cases, severity',
      'cases, all chosen',
    ])
      expect(figures.get(`interaction_max_ms ${what}`), what).toBeGreaterThan(0);
  });

  test('engine', async () => {
    const small = { subscribers: 200, records: 2_000 };
    const figures = await figuresOf((report) =>
      engineSuite(report, [
        { ...small, distribution: 'uniform' },
        { ...small, distribution: 'zipf' },
        { ...small, distribution: 'uniform', twelve: true },
      ]),
    );
    for (const distribution of ['uniform', 'zipf', 'uniform, twelve rules']) {
      expect(figures.get(`records_per_second ${distribution}`)).toBeGreaterThan(0);
      expect(figures.get(`subscribers_resident ${distribution}`)).toBeGreaterThan(150);
      expect(figures.get(`state_bytes_per_subscriber ${distribution}`)).toBeGreaterThan(0);
    }
    expect(figures.get('rules_reload_pause uniform')).toBeGreaterThan(0);
  });

  test('transport', async () => {
    const figures = await figuresOf((report) =>
      transportSuite(report, { records: 1_024, subscribers: 100, repetitions: 1 }),
    );
    for (const batch of [1, 256]) expect(figures.get(`records_per_second batch ${batch}`)).toBeGreaterThan(0);
  });

  test('end-to-end', async () => {
    const figures = await figuresOf((report) =>
      endToEndSuite(report, {
        records: 1_500,
        residentRecords: 1_000,
        subscribers: 100,
        repetitions: 1,
        loads: [
          { rate: 500, batch: 1 },
          { rate: 600, batch: 4 },
        ],
        warmUpSeconds: 0.1,
        measuredSeconds: 0.4,
        recordsPerLongCall: 20,
        packs: ['twelve rules'],
      }),
    );
    for (const batch of ['twelve rules batch 1', 'twelve rules batch 256']) {
      expect(figures.get(`records_per_second ${batch}`)).toBeGreaterThan(0);
      expect(figures.get(`share_of_transport ${batch}`)).toBeGreaterThan(0);
      // Every thousandth record and the last one.
      expect(figures.get(`alerts ${batch}`)).toBe(3);
    }
    for (const load of ['500/s, twelve rules batch 1', '600/s, twelve rules batch 4']) {
      const [p50, p99, max] = ['p50', 'p99', 'max'].map((which) => figures.get(`publish_to_client_${which} ${load}`)!);
      expect(p50).toBeGreaterThan(0);
      expect(p99).toBeGreaterThanOrEqual(p50!);
      expect(max).toBeGreaterThanOrEqual(p99!);
      expect(figures.get(`published_records_per_second ${load}`)).toBeGreaterThan(0);
    }
    // Of 250 records the first 50 do not count; long calls are the 60th, 80th, ... 240th, and the last.
    expect(figures.get('publish_to_client_alerts 500/s, twelve rules batch 1')).toBe(11);
  });
});

test('a checkpoint suite tells alerts during a checkpoint from those between', async () => {
  const figures = await figuresOf((report) =>
    checkpointSuite(report, {
      subscribers: 100,
      residentRecords: 200,
      loads: [{ rate: 500, batch: 1 }],
      warmUpSeconds: 0.2,
      measuredSeconds: 3,
      recordsPerLongCall: 5,
      packs: ['twelve rules'],
      checkpointIntervalSec: 0.3,
    }),
  );
  const load = '500/s, twelve rules';
  expect(figures.get(`checkpoints ${load} batch 1`)).toBeGreaterThan(0);
  expect(figures.get(`checkpoint_cut_max ${load} batch 1`)).toBeGreaterThan(0);
  const [between, during] = ['between checkpoints', 'during a checkpoint'].map(
    (when) => figures.get(`publish_to_client_alerts ${load}, ${when} batch 1`)!,
  );
  expect(between).toBeGreaterThan(0);
  expect(during).toBeGreaterThan(0);
  // Of 1,800 records the first 300 do not count.
  expect(between! + during!).toBe(300);
  expect([...figures].filter(([figure, ms]) => figure.startsWith('start_to_ready') && ms > 0)).toHaveLength(1);
});

test('a run is kept by version and day, with the machine in the first line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
  try {
    const header = { ...describeRun(), version: '9.9.9', startedAt: '2026-05-04T03:02:01.000Z' };
    const figure: Measurement = { suite: 'decode', metric: 'records_per_second', value: 1, unit: '1/s', batch: 1 };
    saveRun(header, [figure, figure], folder);
    const path = saveRun(header, [figure], folder);
    expect(path).toBe(join(folder, '9.9.9', '2026-05-04.jsonl'));
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([header, figure]);
    expect(header).toMatchObject({ node: process.version, natsServer: expect.stringContaining('nats-server') });
    expect(header.cpus).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the command knows its suites and refuses others with one sentence', () => {
  expect(suiteNames.toSorted()).toEqual([
    'checkpoint',
    'console',
    'decode',
    'end-to-end',
    'engine',
    'engine-large',
    'transport',
  ]);
  expect(execFileSync(process.execPath, [main, 'bench', '--help'], { encoding: 'utf8' })).toContain('--suite <name>');
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'bench', '--suite', 'speed'], {
    encoding: 'utf8',
  });
  expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
  expect(stderr).toContain("--suite: there is no suite 'speed'.");
});

test.each([
  ['quantile of one value', quantile([7], 0.99), 7],
  ['median in order', quantile([1, 2, 3, 4, 5], 0.5), 3],
  [
    'p99 of a hundred',
    quantile(
      Array.from({ length: 100 }, (_, at) => at + 1),
      0.99,
    ),
    100,
  ],
  ['quantile of nothing', quantile([], 0.5), Number.NaN],
  ['median of an odd number', median([3, 1, 2]), 2],
  ['median of an even number', median([4, 1, 2, 10]), 3],
])('%s', (_what, value, expected) => expect(value).toBe(expected));
