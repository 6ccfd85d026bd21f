/**
 * The whole: usage records in JetStream, `serve` as a process of its own, and a WebSocket client that sees the alerts.
 *
 * Rate: records are in the stream already, and `serve` starts with an empty state. The first records, three for each
 * subscriber, make the subscribers resident; then the clock runs from the alert of the last of them to the alert of the last
 * record, both as they arrive at the client. What a start from nothing costs is told beside it. Each run has a reading of
 * the same stream without `serve` beside it, so that their ratio holds on a machine whose speed changes. All alerts must
 * come, each once, and all records must have been applied, or the suite fails.
 *
 * Latency: records are published at a steady rate; the long calls among them carry the time at which they were published.
 *
 * The suite `checkpoint` is the same latency at a million subscribers, told apart by whether a checkpoint was being written
 * between the publishing of a record and the arrival of its alert.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { AlertData } from '../../src/alerts/alert.ts';
import { DEFAULTS, projectFolder } from '../../src/config.ts';
import { parseRules, readRuleFiles } from '../../src/rules/load.ts';
import { median, quantile, type Report, rounded } from '../measurement.ts';
import { monotonicMs, publishedAt, publishPaced } from '../paced-publisher.ts';
import { type Bench, fillUsageStream, LONG_CALL, longCallsAmong, openBench, TWELVE } from '../usage-stream.ts';
import { readUsageStream } from './transport.ts';

const REPETITIONS = 3;
/** Of pino. */
const WARN_LEVEL = 40;
/** All shipped rules, and the twelve that the floors of rate and latency were set for. */
const PACKS = ['all rules', 'twelve rules'] as const;
type Pack = (typeof PACKS)[number];
/** Longer than any run should take: what hangs ends with a message. */
const RUN_LIMIT_MS = 300_000;
/** After the last record of a latency run its alert has so long. */
const ALERT_LIMIT_MS = 30_000;
const APPLIED_POLL_MS = 200;

export interface Load {
  /** Records in a second. */
  rate: number;
  /** Records to a message. */
  batch: number;
}

export interface EndToEndOptions {
  /** Records whose rate is measured, behind those that make the subscribers resident. */
  records?: number;
  subscribers?: number;
  /** Whole thousands. */
  residentRecords?: number;
  repetitions?: number;
  loads?: Load[];
  warmUpSeconds?: number;
  /** Contains a checkpoint, which is written every 15 s. */
  measuredSeconds?: number;
  recordsPerLongCall?: number;
  packs?: readonly Pack[];
}

export async function endToEndSuite(report: Report, options: EndToEndOptions = {}): Promise<void> {
  const { packs = PACKS, subscribers = 200_000 } = options;
  const bench = await openBench();
  const twelve = folderOfTwelve();
  try {
    await measureRate(bench, report, {
      measured: options.records ?? 1_000_000,
      resident: options.residentRecords ?? subscribers * 4,
      subscribers,
      repetitions: options.repetitions ?? REPETITIONS,
      packs,
      folders: { 'all rules': DEFAULTS.rules, 'twelve rules': twelve },
    });
    for (const pack of packs) {
      await measureLatency(bench, report, {
        pack,
        folder: pack === 'all rules' ? DEFAULTS.rules : twelve,
        subscribers,
        byCheckpoint: false,
        residentRecords: 0,
        loads: options.loads ?? [
          { rate: 20_000, batch: 1 },
          { rate: 50_000, batch: 1 },
        ],
        warmUpSeconds: options.warmUpSeconds ?? 20,
        measuredSeconds: options.measuredSeconds ?? 25,
        recordsPerLongCall: options.recordsPerLongCall ?? 1_000,
      });
    }
  } finally {
    rmSync(twelve, { recursive: true, force: true });
    await bench.close();
  }
}

/** Alone in its message a record costs the broker and the publisher, which share the cores here, more than `serve`. */
const CHECKPOINT_LOADS: readonly Load[] = [
  { rate: 50_000, batch: 1 },
  { rate: 50_000, batch: 16 },
];

export interface CheckpointOptions {
  subscribers?: number;
  residentRecords?: number;
  /** Each has a life of `serve` of its own. */
  loads?: readonly Load[];
  warmUpSeconds?: number;
  measuredSeconds?: number;
  recordsPerLongCall?: number;
  packs?: readonly Pack[];
  checkpointIntervalSec?: number;
}

export async function checkpointSuite(report: Report, options: CheckpointOptions = {}): Promise<void> {
  const bench = await openBench();
  const twelve = folderOfTwelve();
  try {
    for (const pack of options.packs ?? PACKS) {
      for (const load of options.loads ?? CHECKPOINT_LOADS) {
        await measureLatency(bench, report, {
          pack,
          folder: pack === 'all rules' ? DEFAULTS.rules : twelve,
          subscribers: options.subscribers ?? 1_000_000,
          byCheckpoint: true,
          checkpointIntervalSec: options.checkpointIntervalSec,
          // A million profiles, and one more record for each.
          residentRecords: options.residentRecords ?? 2_000_000,
          loads: [load],
          warmUpSeconds: options.warmUpSeconds ?? 10,
          measuredSeconds: options.measuredSeconds ?? 90,
          recordsPerLongCall: options.recordsPerLongCall ?? 500,
        });
      }
    }
  } finally {
    rmSync(twelve, { recursive: true, force: true });
    await bench.close();
  }
}

/** A rules folder with the twelve and all lists, as a operator with few rules has it. */
function folderOfTwelve(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-bench-rules-'));
  const files = readRuleFiles(DEFAULTS.rules);
  const rules = parseRules(files).sources.filter(({ rule }) => TWELVE.includes(rule.catalogue));
  const kept = new Set(rules.map(({ file }) => file));
  for (const { file, text } of files) {
    if (!kept.has(file) && !file.endsWith('.csv')) continue;
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  return folder;
}

async function measureRate(
  bench: Bench,
  report: Report,
  options: {
    measured: number;
    resident: number;
    subscribers: number;
    repetitions: number;
    packs: readonly Pack[];
    folders: Record<Pack, string>;
  },
): Promise<void> {
  const { measured, resident, subscribers, repetitions, packs, folders } = options;
  const count = resident + measured;
  for (const batch of [1, 256]) {
    const lastSequence = await fillUsageStream(bench, { count, subscribers, batch });
    // The first reading is warm-up for this process.
    await readUsageStream(bench, lastSequence);
    for (const pack of packs) {
      const transportRates: number[] = [];
      const runs: Digestion[] = [];
      for (let repetition = 0; repetition < repetitions; repetition++) {
        transportRates.push(count / (await readUsageStream(bench, lastSequence)).seconds);
        runs.push(await digest(bench, resident, count, folders[pack]));
      }
      const show = (metric: string, value: number, unit: string): void =>
        report({ metric, value, unit, subscribers, batch, variant: pack });
      const middle = (figure: (run: Digestion, at: number) => number): number => median(runs.map(figure));
      const rate = (run: Digestion): number => run.recordsPerSecond;
      show('records_per_second', rounded(middle(rate)), '1/s');
      show('transport_records_per_second', rounded(median(transportRates)), '1/s');
      show(
        'share_of_transport',
        rounded(
          middle((run, at) => rate(run) / transportRates[at]!),
          3,
        ),
        'ratio',
      );
      show('cold_start_records_per_second', rounded(middle((run) => run.coldStartRecordsPerSecond)), '1/s');
      show(
        'cpu_microseconds_per_record',
        rounded(
          middle((run) => run.cpuMicrosecondsPerRecord),
          2,
        ),
        'us',
      );
      show('alerts', longCallsAmong(count), 'count');
      show('resident_set_bytes', Math.max(...runs.map((run) => run.residentSetBytes)), 'bytes');
    }
  }
}

interface Digestion {
  recordsPerSecond: number;
  /** From the ready line on, with nothing compiled and nobody resident. */
  coldStartRecordsPerSecond: number;
  /** Processor time of `serve` for a record, over the same records as `recordsPerSecond`. */
  cpuMicrosecondsPerRecord: number;
  residentSetBytes: number;
}

/** One life of `serve` over the records that are in the stream. */
async function digest(bench: Bench, resident: number, count: number, rules: string): Promise<Digestion> {
  await bench.jsm.streams.purge('ALERTS');
  const server = await startServer(bench.broker.url, rules);
  try {
    const atReady = { ...(await server.figures()), at: performance.now() };
    const expected = longCallsAmong(count);
    const seen = new Set<string>();
    const { promise: allCame, resolve, reject } = Promise.withResolvers<void>();
    let residentAt = Number.NaN;
    let atResident = Promise.resolve(atReady);
    const client = connectClient(`${server.http}?since=0`, reject, ({ triggerRecordId, catalogue, revision }) => {
      // One rule of the several that a very long call sets off, and only its first word.
      if (!triggerRecordId.startsWith(LONG_CALL) || catalogue !== 'F09' || revision > 1) return;
      if (seen.has(triggerRecordId)) reject(new Error(`the alert of ${triggerRecordId} came twice`));
      seen.add(triggerRecordId);
      if (triggerRecordId === LONG_CALL + resident) {
        residentAt = performance.now();
        atResident = server.figures().then((figures) => ({ ...figures, at: residentAt }));
        atResident.catch(reject);
      }
      if (seen.size === expected) resolve();
    });
    await within(RUN_LIMIT_MS, () => `${seen.size} of ${expected} alerts came`, allCame, server.died);
    const endAt = performance.now();
    client.close();
    const atEnd = await server.figures();
    if (atEnd.applied !== count) throw new Error(`${atEnd.applied} of ${count} records were applied`);
    const measuredFrom = await atResident;
    const rate = (records: number, from: number): number => (records / (endAt - from)) * 1e3;
    return {
      recordsPerSecond: rate(count - resident, residentAt),
      coldStartRecordsPerSecond: rate(count - atReady.applied, atReady.at),
      // Of a stream so small that it was applied before anybody could ask there is nothing to tell.
      cpuMicrosecondsPerRecord:
        atEnd.applied > measuredFrom.applied
          ? ((atEnd.cpuSeconds - measuredFrom.cpuSeconds) / (atEnd.applied - measuredFrom.applied)) * 1e6
          : 0,
      residentSetBytes: atEnd.residentSetBytes,
    };
  } finally {
    await server.stop();
  }
}

/** An alert: when its record was published and when it came to the client, on the monotonic clock. */
interface Sample {
  published: number;
  arrived: number;
  latencyMs: number;
}

async function measureLatency(
  bench: Bench,
  report: Report,
  options: {
    pack: Pack;
    /** The rules folder. */
    folder: string;
    subscribers: number;
    /** Tells the latency while a checkpoint was written, and that of the time between, instead of one for all. */
    byCheckpoint: boolean;
    checkpointIntervalSec?: number | undefined;
    /** Of the first load; more than one load has none. */
    residentRecords: number;
    loads: readonly Load[];
    warmUpSeconds: number;
    measuredSeconds: number;
    recordsPerLongCall: number;
  },
): Promise<void> {
  const { pack, folder, subscribers, byCheckpoint, checkpointIntervalSec, loads, ...pace } = options;
  await bench.jsm.streams.purge('USAGE');
  await bench.jsm.streams.purge('ALERTS');
  let server = await startServer(bench.broker.url, folder, checkpointIntervalSec);
  try {
    const samples: Sample[] = [];
    let arrived = () => {};
    const failed = Promise.withResolvers<never>();
    const client = connectClient(`${server.http}?since=0`, failed.reject, (alert) => {
      const now = monotonicMs();
      const published = publishedAt(alert.triggerRecordId);
      if (published === undefined || alert.catalogue !== 'F09' || alert.revision > 1) return;
      samples.push({ published, arrived: now, latencyMs: now - published });
      arrived();
    });
    const applied = async (): Promise<void> => {
      while ((await server.figures()).applied < pace.residentRecords) await sleep(APPLIED_POLL_MS);
    };
    for (const [index, { rate, batch }] of loads.entries()) {
      samples.length = 0;
      const published = await within(
        RUN_LIMIT_MS,
        () => 'the publisher did not end',
        publishPaced({ ...pace, nats: bench.broker.url, rate, batch, subscribers, draw: index + 1 }, applied),
        server.died,
        failed.promise,
      );
      const { promise: all, resolve } = Promise.withResolvers<void>();
      arrived = () => {
        if (samples.length >= published.longCalls) resolve();
      };
      arrived();
      await within(
        ALERT_LIMIT_MS,
        () => `${samples.length} of ${published.longCalls} alerts came`,
        all,
        server.died,
        failed.promise,
      );
      const show = (metric: string, value: number, unit: string, when = ''): void =>
        report({ metric, value, unit, subscribers, batch, variant: `${rate}/s, ${pack}${when}` });
      const showLatency = (counted: readonly Sample[], when?: string): void => {
        const latencies = Float64Array.from(counted, ({ latencyMs }) => latencyMs).sort();
        show('publish_to_client_p50', rounded(quantile(latencies, 0.5), 2), 'ms', when);
        show('publish_to_client_p99', rounded(quantile(latencies, 0.99), 2), 'ms', when);
        show('publish_to_client_max', rounded(latencies.at(-1) ?? Number.NaN, 2), 'ms', when);
        show('publish_to_client_alerts', latencies.length, 'count', when);
      };
      const counted = samples.filter((sample) => sample.published >= published.measuredFrom);
      if (byCheckpoint) {
        const met = server.checkpoints.filter(({ endedAt }) => endedAt >= published.measuredFrom);
        const isDuring = (sample: Sample): boolean =>
          met.some(({ begunAt, endedAt }) => sample.published <= endedAt && sample.arrived >= begunAt);
        showLatency(
          counted.filter((sample) => !isDuring(sample)),
          ', between checkpoints',
        );
        showLatency(counted.filter(isDuring), ', during a checkpoint');
        const spans = met.map(({ begunAt, endedAt }) => Math.min(endedAt, monotonicMs()) - begunAt);
        show('checkpoints', met.length, 'count');
        show('checkpoint_cut_max', rounded(Math.max(0, ...met.map(({ cutMs }) => cutMs)), 2), 'ms');
        show('checkpoint_written_max', rounded(Math.max(0, ...spans)), 'ms');
      } else {
        showLatency(counted);
      }
      show('published_records_per_second', rounded(published.recordsPerSecond), '1/s');
      show('publisher_behind_plan_max', rounded(published.behindMsMax, 2), 'ms');
    }
    client.close();
    if (byCheckpoint) {
      const { data } = server;
      await server.end();
      const begun = monotonicMs();
      server = await startServer(bench.broker.url, folder, checkpointIntervalSec, data);
      const value = rounded(monotonicMs() - begun);
      report({ metric: 'start_to_ready', value, unit: 'ms', subscribers, variant: pack });
    }
  } finally {
    await server.stop();
  }
}

/** When a checkpoint was cut and when it was durable, on the monotonic clock, and how long the cut kept records waiting. */
interface Checkpoint {
  begunAt: number;
  /** Infinity until it is durable. */
  endedAt: number;
  cutMs: number;
}

interface Server {
  /** Address of the console and the API. */
  url: string;
  /** Address of the live alerts. */
  http: string;
  /** As they are cut and written. */
  checkpoints: readonly Checkpoint[];
  figures(): Promise<{ applied: number; cpuSeconds: number; residentSetBytes: number }>;
  /** Rejects when the process ends on its own. */
  died: Promise<never>;
  /** Its data folder. */
  data: string;
  /** Ends it in order. */
  end(): Promise<void>;
  /** The same, and removes the folder. */
  stop(): Promise<void>;
}

/** `serve` on free ports, with an empty state where no folder is given; resolves at its ready line. */
export async function startServer(
  nats: string,
  rules: string,
  checkpointIntervalSec = DEFAULTS.checkpointIntervalSec,
  data = mkdtempSync(join(tmpdir(), 'ringfence-bench-')),
): Promise<Server> {
  const child = spawn(
    process.execPath,
    [
      join(projectFolder, 'src/main.ts'),
      ...['serve', '--nats', nats, '--data', data, '--rules', rules, '--log-level', 'debug'],
      ...['--checkpoint-interval-sec', String(checkpointIntervalSec)],
      ...['--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const checkpoints: Checkpoint[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    // A crash says more than log lines.
    if (!line.startsWith('{')) {
      process.stderr.write(`${line}\n`);
      return;
    }
    const { level, time, msg, cutMs } = JSON.parse(line) as { level: number; time: string; msg: string; cutMs: number };
    const at = Date.parse(time) - Date.now() + monotonicMs();
    if (msg === 'checkpoint cut') checkpoints.push({ begunAt: at - cutMs, endedAt: Number.POSITIVE_INFINITY, cutMs });
    else if (msg === 'checkpoint written') checkpoints.at(-1)!.endedAt = at;
    else if (level >= WARN_LEVEL) process.stderr.write(`${line}\n`);
  });
  const killChild = (): void => void child.kill('SIGKILL');
  process.once('exit', killChild);
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const died = exited.then((code) => Promise.reject(new Error(`serve ended with code ${code}`)));
  // Nobody may be waiting for it when the process is stopped.
  died.catch(() => {});
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    process.off('exit', killChild);
  };
  const stop = async (): Promise<void> => {
    await end();
    rmSync(data, { recursive: true, force: true });
  };
  try {
    const ready = new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
    const line = await within(RUN_LIMIT_MS, () => 'serve did not become ready', ready, died);
    const { http, ops } = JSON.parse(line) as { http: string; ops: string };
    return {
      url: http,
      http: `${http.replace(/^http/, 'ws')}/v1/alerts/live`,
      async figures() {
        const page = await (await fetch(`${ops}/metrics`)).text();
        const sum = (pattern: RegExp): number =>
          [...page.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
        return {
          applied: sum(/^ringfence_records_total\{[^}]*result="applied"[^}]*\} (\S+)/gm),
          cpuSeconds: sum(/^process_cpu_seconds_total (\S+)/gm),
          residentSetBytes: sum(/^process_resident_memory_bytes (\S+)/gm),
        };
      },
      checkpoints,
      died,
      data,
      end,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function connectClient(url: string, fail: (error: Error) => void, take: (alert: AlertData) => void): WebSocket {
  const client = new WebSocket(url);
  client.on('error', fail);
  client.on('message', (bytes) => {
    const frame = JSON.parse(String(bytes)) as { kind: string; alert?: AlertData };
    if (frame.kind === 'resync') fail(new Error('the client was too slow or its position was lost'));
    if (frame.alert !== undefined) take(frame.alert);
  });
  return client;
}

/** The first of the promises, or an error that says how far it came. */
async function within<T>(limitMs: number, progress: () => string, ...promises: Promise<T>[]): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${progress()} within ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([...promises, late]);
  } finally {
    clearTimeout(timer);
  }
}
