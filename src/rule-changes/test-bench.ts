/**
 * Tests and back-tests of drafts, in a thread of their own with a connection of its own: the pipeline's loop never waits for
 * them. Each job is a new thread that ends with it, so that calling one off is ending a thread, and nothing of it stays.
 *
 * A thread rests as long as it works: on two cores the pipeline and the broker need theirs.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Verdict } from '../cases/case-event.ts';
import { createEngine } from '../engine.ts';
import type { Metrics } from '../metrics.ts';
import { controlKindOf, isTick } from '../record/control-message.ts';
import { decodeMessage } from '../record/decode.ts';
import { localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import { parseRule } from '../rules/rule.ts';
import { connectNats } from '../source/connection.ts';
import { contentTypeOf } from '../source/delivery.ts';
import { openSource } from '../source/jetstream.ts';
import { sequenceAt, usageStream } from '../source/streams.ts';
import { stepBack } from '../thread-priority.ts';
import { createBackTest, EXAMPLES_MAX, precisionOf, warmUpMs } from './back-test.ts';
import type { BackTestResult, TestResult } from './change-event.ts';
import { runRuleTests } from './rule-test.ts';

/** Back-tests at once: each takes half a core. */
export const BACK_TESTS_RUNNING_MAX = 1;
/** Results that are kept for who asked for them. */
export const BACK_TESTS_KEPT_MAX = 20;
export const BACK_TEST_DAYS_MAX = 60;
const BACK_TEST_RECORDS_MAX = 50_000_000;
const BACK_TEST_LONGEST_MS = 30 * 60_000;
/** Of both engines; beyond it the test ends with what it has. */
const BACK_TEST_STATE_BYTES_MAX = 2 * 1024 ** 3;
/** Tests of one rule: the slowest that ships takes 2 s. */
const TESTS_LONGEST_MS = 60_000;
const TESTS_RUNNING_MAX = 2;

const WORK_MS = 20;
const REST_MS = 20;
const PROGRESS_EVERY_MS = 250;
/** As the pipeline has it: no record may lie further ahead of the broker's time. */
const FUTURE_MS_MAX = 600_000;
const PULL_MESSAGES = 1_024;
const PULL_BYTES = 4 * 1024 * 1024;

/** What both kinds of jobs need of the configuration. */
export interface TestSettings {
  numberingPlanFile: string;
  timeZone: string;
  latenessSec: number;
  duplicateHorizonRecords: number;
  homePlmns: readonly string[];
  currencyPerSdr: number;
  nats: readonly string[];
  partitions: number;
}

export interface BackTestRequest {
  /** The set in force. */
  files: readonly { file: string; text: string }[];
  ruleId: string;
  draft: string;
  days: number;
  verdicts: ReadonlyMap<string, Verdict>;
}

export interface BackTestView {
  id: string;
  ruleId: string;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  /** The draft that it is about. */
  draft: string;
  days: number;
  startedAt: number;
  /** Messages of the stream read, and how many there are to read. */
  read: number;
  total: number;
  /** Why it failed; empty where it did not. */
  failure: string;
  result: BackTestResult | undefined;
}

export interface TestBench {
  /** Runs the tests that stand in a rule; rejects with TestBenchBusy where too many run. */
  runTests(text: string): Promise<TestResult[]>;
  /** Undefined where as many run as may. */
  start(request: BackTestRequest): BackTestView | undefined;
  view(id: string): BackTestView | undefined;
  cancel(id: string): void;
  close(): Promise<void>;
}

export class TestBenchBusy extends Error {
  override name = 'TestBenchBusy';
}

type Job =
  | { kind: 'tests'; settings: TestSettings; text: string }
  | { kind: 'backTest'; settings: TestSettings; request: BackTestRequest };
type Answer =
  | { tests: TestResult[] }
  | { read: number; total: number }
  | { result: BackTestResult }
  | { failure: string };

export function createTestBench(settings: TestSettings, metrics: Metrics): TestBench {
  const kept = new Map<string, BackTestView>();
  const workers = new Map<string, Worker>();
  let testsRunning = 0;
  metrics.trackQueue('back_tests', BACK_TESTS_RUNNING_MAX, () => [...kept.values()].filter(isRunning).length);

  const startThread = (job: Job, onAnswer: (answer: Answer) => void, onEnd: (failure: string) => void): Worker => {
    const worker = new Worker(new URL(import.meta.url), { workerData: job, name: job.kind });
    worker.unref();
    let failure = 'the thread ended early';
    worker.on('message', onAnswer);
    worker.on('error', (error) => {
      failure = error instanceof Error ? error.message : String(error);
    });
    worker.on('exit', () => onEnd(failure));
    return worker;
  };

  return {
    async runTests(text) {
      if (testsRunning >= TESTS_RUNNING_MAX) throw new TestBenchBusy('tests of other drafts are running');
      testsRunning++;
      const { promise, resolve, reject } = Promise.withResolvers<TestResult[]>();
      const worker = startThread(
        { kind: 'tests', settings, text },
        (answer) => {
          if ('tests' in answer) resolve(answer.tests);
          else if ('failure' in answer) reject(new Error(answer.failure));
        },
        (failure) => reject(new Error(failure)),
      );
      const timer = setTimeout(
        () => resolve([{ name: '', ok: false, detail: `the tests take longer than ${TESTS_LONGEST_MS / 1000} s` }]),
        TESTS_LONGEST_MS,
      );
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        testsRunning--;
        await worker.terminate();
      }
    },
    start(request) {
      if ([...kept.values()].filter(isRunning).length >= BACK_TESTS_RUNNING_MAX) return undefined;
      const id = randomUUID();
      const view: BackTestView = {
        id,
        ruleId: request.ruleId,
        state: 'running',
        draft: request.draft,
        days: request.days,
        startedAt: Date.now(),
        read: 0,
        total: 0,
        failure: '',
        result: undefined,
      };
      for (const [old] of kept) {
        if (kept.size < BACK_TESTS_KEPT_MAX) break;
        kept.delete(old);
      }
      kept.set(id, view);
      const worker = startThread(
        { kind: 'backTest', settings, request },
        (answer) => {
          if ('result' in answer) Object.assign(view, { state: 'done', result: answer.result, read: view.total });
          else if ('failure' in answer) Object.assign(view, { state: 'failed', failure: answer.failure });
          else if ('read' in answer) Object.assign(view, answer);
        },
        (failure) => {
          workers.delete(id);
          if (isRunning(view)) Object.assign(view, { state: 'failed', failure });
        },
      );
      workers.set(id, worker);
      return view;
    },
    view: (id) => kept.get(id),
    cancel(id) {
      const view = kept.get(id);
      if (view !== undefined && isRunning(view)) view.state = 'cancelled';
      void workers.get(id)?.terminate();
    },
    async close() {
      await Promise.all([...workers.values()].map((worker) => worker.terminate()));
    },
  };
}

const isRunning = ({ state }: BackTestView): boolean => state === 'running';

// -- the side of the thread ----------------------------------------------------------------------------------------------

const engineOptions = (settings: TestSettings) => ({
  numberingPlan: loadNumberingPlan(settings.numberingPlanFile),
  localTime: localTime(settings.timeZone),
  latenessMs: settings.latenessSec * 1000,
  horizonRecords: settings.duplicateHorizonRecords,
  homePlmns: settings.homePlmns,
  currencyPerSdr: settings.currencyPerSdr,
});

function testsOf(settings: TestSettings, text: string): TestResult[] {
  const parsed = parseRule('rule.yaml', text);
  if ('problems' in parsed) throw new Error(parsed.problems[0]!.message);
  // The times of a test are those of UTC, and so is its clock: a rule's tests say the same to every operator.
  return runRuleTests(parsed.source, { ...engineOptions(settings), localTime: localTime('UTC') }).map(
    ({ test, ok, detail }) => ({
      name: test,
      ok,
      detail,
    }),
  );
}

async function backTestOf(
  settings: TestSettings,
  request: BackTestRequest,
  progress: (read: number, total: number) => void,
): Promise<BackTestResult> {
  const begun = performance.now();
  const engine = engineOptions(settings);
  const nc = await connectNats([...settings.nats], { name: 'ringfence back-test' });
  try {
    const jsm = await jetstreamManager(nc);
    const from = Date.now() - request.days * 86_400_000 - warmUpMs(request.files, request.ruleId, createEngine(engine));
    const spans = await Promise.all(
      Array.from({ length: settings.partitions }, async (_, partition) => {
        const stream = usageStream(partition, settings.partitions);
        const first = await sequenceAt(jsm, stream, from);
        const { state } = await jsm.streams.info(stream);
        return { stream, first: Math.max(first, state.first_seq), last: state.last_seq };
      }),
    );
    const total = spans.reduce((sum, { first, last }) => sum + Math.max(0, last - first + 1), 0);
    let readBefore = 0;
    let saidAt = performance.now();
    let sliceBegan = performance.now();
    let test = createBackTest({ ...request, engine });
    const parts: BackTestResult[] = [];
    let cut: BackTestResult['cut'] = null;
    progress(0, total);
    for (const { stream, first, last } of spans) {
      if (last < first || cut !== null) continue;
      // Keys of one partition are of no other, as in the pipelines.
      if (parts.length > 0) test = createBackTest({ ...request, engine });
      const source = await openSource(nc, {
        stream,
        startSequence: first,
        allowGap: true,
        pullMessages: PULL_MESSAGES,
        pullBytes: PULL_BYTES,
      });
      try {
        reading: for (;;) {
          const messages = await source.next();
          if (messages === undefined) break;
          for (const message of messages) {
            const { data, subject, sequence, timeMs } = message;
            if (sequence > last) break reading;
            const kind = controlKindOf(subject);
            if (kind === 'tick' && isTick(data)) test.tick(timeMs);
            else if (kind === undefined) {
              const { records } = decodeMessage(data, {
                eventTimeMax: timeMs + FUTURE_MS_MAX,
                contentType: contentTypeOf(message),
              });
              for (const record of records) cut ??= test.apply(record) ?? null;
            }
            const now = performance.now();
            if (now - sliceBegan > WORK_MS) {
              if (now - saidAt > PROGRESS_EVERY_MS) {
                progress(readBefore + sequence - first + 1, total);
                saidAt = now;
              }
              if (now - begun > BACK_TEST_LONGEST_MS) cut ??= 'time';
              if (test.stateBytes() > BACK_TEST_STATE_BYTES_MAX) cut ??= 'memory';
              await sleep(REST_MS);
              sliceBegan = performance.now();
            }
            if (test.records() > BACK_TEST_RECORDS_MAX) cut ??= 'records';
            if (cut !== null || sequence === last) break reading;
          }
        }
      } finally {
        await source.close();
      }
      readBefore += last - first + 1;
      parts.push(test.result(cut));
    }
    return parts.length === 0 ? test.result(null) : summed(parts, cut);
  } finally {
    await nc.close();
  }
}

/** The results of several partitions as one. */
function summed(parts: readonly BackTestResult[], cut: BackTestResult['cut']): BackTestResult {
  const [first] = parts;
  if (parts.length === 1) return first!;
  const sum = (of: (part: BackTestResult) => number): number => parts.reduce((total, part) => total + of(part), 0);
  const days = Math.max(...parts.map((part) => part.days));
  const judged = (of: (part: BackTestResult) => { alerts: number; right: number; wrong: number }) => {
    const right = sum((part) => of(part).right);
    const wrong = sum((part) => of(part).wrong);
    return { alerts: sum((part) => of(part).alerts), right, wrong, precision: precisionOf(right, wrong) };
  };
  const side = (name: 'now' | 'draft'): BackTestResult['now'] => ({
    ...judged((part) => part[name]),
    alertsPerDay: days === 0 ? 0 : sum((part) => part[name].alerts) / days,
    bands: first![name].bands.map(({ severity, score }, index) => ({
      severity,
      score,
      ...judged((part) => part[name].bands[index]!),
    })),
  });
  return {
    from: Math.min(...parts.map(({ from }) => from)),
    to: Math.max(...parts.map(({ to }) => to)),
    days,
    records: sum(({ records }) => records),
    now: side('now'),
    draft: side('draft'),
    same: sum(({ same }) => same),
    added: sum(({ added }) => added),
    gone: sum(({ gone }) => gone),
    others: summedOthers(parts),
    cut,
    addedExamples: parts.flatMap(({ addedExamples }) => addedExamples).slice(0, EXAMPLES_MAX),
    goneExamples: parts.flatMap(({ goneExamples }) => goneExamples).slice(0, EXAMPLES_MAX),
  };
}

/** Each rule once, with what became of its alerts in all partitions. */
function summedOthers(parts: readonly BackTestResult[]): NonNullable<BackTestResult['others']> {
  const all = parts.flatMap(({ others = [] }) => others);
  return [...Map.groupBy(all, ({ ruleId }) => ruleId)].map(([ruleId, ones]) => {
    const sum = (of: (one: (typeof all)[number]) => number): number => ones.reduce((total, one) => total + of(one), 0);
    const judged = (side: 'now' | 'draft') => {
      const right = sum((one) => one[side].right);
      const wrong = sum((one) => one[side].wrong);
      return { alerts: sum((one) => one[side].alerts), right, wrong, precision: precisionOf(right, wrong) };
    };
    return {
      ruleId,
      title: ones[0]!.title,
      now: judged('now'),
      draft: judged('draft'),
      added: sum(({ added }) => added),
      gone: sum(({ gone }) => gone),
      changed: sum(({ changed }) => changed),
    };
  });
}

const isOurs = (data: unknown): data is Job =>
  typeof data === 'object' && data !== null && 'kind' in data && (data.kind === 'tests' || data.kind === 'backTest');

if (!isMainThread && parentPort !== null && isOurs(workerData)) {
  stepBack();
  const port = parentPort;
  const job = workerData;
  const say = (answer: Answer): void => port.postMessage(answer);
  try {
    if (job.kind === 'tests') say({ tests: testsOf(job.settings, job.text) });
    else say({ result: await backTestOf(job.settings, job.request, (read, total) => say({ read, total })) });
  } catch (error) {
    say({ failure: (error as Error).message });
  }
}
