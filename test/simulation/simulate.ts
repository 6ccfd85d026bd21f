/**
 * One simulated world, from a seed: the real source, engine, pipeline, sinks and checkpoints, on simulated time, broker and disk
 * (README.md says how). In the safety phase everything may go wrong; in the liveness phase nothing does, and everything must come
 * to its end. Then what came out is held against the undisturbed course of the same engine over the same stream.
 */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { alertEvent, alertSubject } from '../../src/alerts/alert.ts';
import { type Partition, startPartition } from '../../src/cli/partition.ts';
import { publishRuleSet } from '../../src/cli/rules-in-stream.ts';
import { createEngine, type Engine, type EngineMeta } from '../../src/engine.ts';
import { ExitCode, RingfenceError } from '../../src/errors.ts';
import { between, createRandom, exponential, pick } from '../../src/feed/random.ts';
import type { Log } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';
import { parseRules } from '../../src/rules/load.ts';
import { createDeadLetterSink, type DeadLetterSink } from '../../src/sinks/dead-letter.ts';
import { createDurablePublisher } from '../../src/sinks/outbox.ts';
import {
  type Disk,
  GENERATIONS_KEPT,
  loadCheckpoint,
  type Position,
  removeCheckpoint,
  writeCheckpoint,
} from '../../src/state/checkpoint.ts';
import { shownContent } from '../../src/state/checkpoint-thread.ts';
import { openSpillStore, type SpilledLabels, type SpillStore } from '../../src/state/spill-store.ts';
import { numberingPlan, utc } from '../rule-engine.ts';
import { type BrokerFaults, createBroker, NO_FAULTS, type SimConnection } from './broker.ts';
import { createClock, type SimProcess } from './clock.ts';
import { createDisk } from './disk.ts';
import { appliedLine, swapLine, tickLine, undisturbed } from './undisturbed.ts';
import { drawWorkload } from './workload.ts';

const BEGIN = Date.parse('2026-03-02T10:00:00Z');
const SECOND_MS = 1_000;
const DIRECTORY = '/state/partition-0';
const ALERT_SOURCE = 'simulation';
/** In the liveness phase everything must have come to its end after so long. */
const SAFETY_LIMIT_MS = 3_600_000;
const DRAIN_LIMIT_MS = 300 * SECOND_MS;
/** A process that is killed over and over does not get anywhere; then the safety phase ends. */
const DEATHS_MAX = 25;
/** Mean of the steps of the disk until a process dies in one: a checkpoint takes some twenty. */
const DISK_FUSE_MEAN = 40;
const SLOW_WRITE_MS = 50;
/** Apart from all else that is drawn, so that what is drawn here changes no world without it. */
const BOUNDED_SEED = 0x5b11;
/** Of the worlds so many have room in memory for a few keys only, and in so many the state is written as another thread sees it. */
const BOUNDED_SHARE = 0.3;
const THREADED_SHARE = 0.5;
const RESIDENT_MAX = 8;
/** Small, so that there are many, and some of them are mostly dead. */
const SEGMENT_BYTES = [32_768, 131_072];
/** A question of the thread and its answer. */
const MESSAGE_MS = 20;
/** What is quiet for so long has come to its end. */
const QUIET_MS = 3_000;

/** Mistakes that the simulation must find; the tests of the simulation make them. */
export const MUTATIONS = [
  // The position goes on as soon as a message has come, before the state has.
  'position-on-receipt',
  // State and position are not of one moment.
  'position-late',
  'position-early',
  // An alert counts as published when it has been sent.
  'outbox-skipped',
  // A revision is published whatever is there before.
  'expectation-skipped',
  // A checkpoint is taken whatever the broker has lost of what came before it.
  'marks-ignored',
] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** What shows a world again, with all that happened in it. */
export const replayCommand = (seed: number, mutation?: Mutation): string =>
  `npm run simulate -- --seed ${seed}${mutation === undefined ? '' : ` --mutation ${mutation}`}`;

export interface Outcome {
  seed: number;
  /** What is wrong; empty where nothing is. */
  problems: string[];
  figures: Record<
    'messages' | 'alerts' | 'deadLetters' | 'deaths' | 'checkpoints' | 'swaps' | 'events' | 'faults' | 'spilled',
    number
  >;
  /** Changes where anything happened otherwise or at another time. */
  trace: string[];
}

interface Incarnation extends SimProcess {
  number: number;
  /** Steps until it dies, all of them or those of the disk. */
  fuse: number;
  fuseOf: 'all' | 'disk';
  connection: SimConnection | undefined;
  partition: Partition | undefined;
  deadLetters: DeadLetterSink | undefined;
  spill: SpillStore | undefined;
  /** Sequence of the message that its state began behind; undefined until it is known. */
  from: number | undefined;
  applied: string[];
  /** Counters of the program when it began; they go on from process to process. */
  countsBefore: Record<string, number>;
  countsAfter: Record<string, number> | undefined;
  /** It was asked to end, and has ended in order. */
  stopping: boolean;
  ended: boolean;
}

/** One for all: they are many, and the processes of a world live one after the other. */
const metrics = createMetrics();

export async function simulate(seed: number, mutation?: Mutation): Promise<Outcome> {
  const random = createRandom(seed);
  const clock = createClock(BEGIN, pick(random, [0, 0, 0.05, 1.5]));
  try {
    return await world(seed, random, clock, mutation);
  } finally {
    clock.remove();
  }
}

async function world(
  seed: number,
  random: () => number,
  clock: ReturnType<typeof createClock>,
  mutation: Mutation | undefined,
): Promise<Outcome> {
  const problems: string[] = [];
  const lines: string[] = [];
  const trace = (line: string): void => {
    lines.push(`${((clock.now() - BEGIN) / SECOND_MS).toFixed(3)} ${line}`);
  };
  const problem = (sentence: string): void => {
    trace(`PROBLEM ${sentence}`);
    problems.push(sentence);
  };
  const chance = (share: number): boolean => random() < share;
  const workload = drawWorkload(seed, random, BEGIN);
  const bounded = createRandom(seed + BOUNDED_SEED);
  const residentMax = bounded() < BOUNDED_SHARE ? between(bounded, 1, RESIDENT_MAX) : undefined;
  const isThreaded = bounded() < THREADED_SHARE;
  const segmentBytes = pick(bounded, SEGMENT_BYTES);
  const first = { ...parseRules(workload.files), version: workload.version };
  let faults = 0;
  let checkpoints = 0;
  let deaths = 0;
  let spilled = 0;
  let safety = true;
  let finished = false;

  // -- broker ------------------------------------------------------------------------------------------------------------

  const rare = (share: number): number => (chance(0.5) ? 0 : share * random());
  const drawnFaults: BrokerFaults = {
    publishLost: rare(0.05),
    acknowledgementLost: rare(0.1),
    refused: rare(0.05),
    deliveryLost: rare(0.02),
    deliveryDoubled: rare(0.02),
    deliverySwapped: rare(0.02),
    consumerSilent: rare(0.01),
    consumerGone: rare(0.01),
    latencyMs: pick(random, [2, 50, 2_000]),
  };
  /** When each revision was in ALERTS or SHADOW for the first time, by its event id. */
  const storedAt = new Map<string, number>();
  const broker = createBroker({
    clock,
    random,
    faults: drawnFaults,
    trace,
    onStored(stream, { subject, data, sequence }) {
      if (stream.name !== 'ALERTS' && stream.name !== 'SHADOW') return;
      const { id, data: alert } = JSON.parse(Buffer.from(data).toString()) as {
        id: string;
        data: { alertId: string; revision: number };
      };
      if (!storedAt.has(id)) storedAt.set(id, clock.now());
      let before = 0;
      for (const message of stream.messages.values()) {
        if (message.subject === subject && message.sequence < sequence) before++;
      }
      if (alert.revision !== before + 1)
        problem(`revision ${alert.revision} of ${subject} is stored behind ${before} others`);
    },
    keepsAtLeast({ name, last }) {
      // A record that was read and then lost by the broker cannot be right; the tests of the source have that case.
      if (name === 'USAGE') return broker.deliveredUpTo('USAGE');
      // Beyond the oldest checkpoint that is still there after the next one nobody could make again what is lost.
      const files = [...disk.checkpoints()].sort(([a], [b]) => (a < b ? -1 : 1));
      if (files.length === 0) return 0;
      const oldest = files.slice(1 - GENERATIONS_KEPT).find(([path]) => !damaged.has(path));
      if (oldest === undefined) return last;
      return headOf(oldest[1]).position.marks?.find(({ stream }) => stream === name)?.sequence ?? 0;
    },
  });

  // -- disk --------------------------------------------------------------------------------------------------------------

  /** Every checkpoint that was ever durable: how far it goes, what it says to have applied, and when. */
  const durable: (CheckpointHead & { at: number })[] = [];
  const damaged = new Set<string>();
  const disk = createDisk({
    clock,
    random,
    latencyMs: pick(random, [1, 20, 400]),
    trace,
    onDurable(path, content) {
      damaged.delete(path);
      checkpoints++;
      durable.push({ ...headOf(content), at: clock.now() });
    },
  });

  // -- processes ---------------------------------------------------------------------------------------------------------

  const incarnations: Incarnation[] = [];
  let live: Incarnation | undefined;
  const checkpointEveryMs = pick(random, [300, 1_000, 5_000]);
  const fuseMean = pick(random, [200, 600, 3_000, 20_000]);

  const newEngine = (spill?: SpillStore): Engine =>
    createEngine({
      ...(spill && { spill: { store: spill, blocksMax: residentMax ?? 0, bytesMax: Number.POSITIVE_INFINITY } }),
      numberingPlan,
      localTime: utc,
      latenessMs: workload.latenessMs,
      horizonRecords: workload.horizonRecords,
    });
  /** The same engine, with what is applied to it written down; what a dead process still does until it waits has no effect. */
  const watched = (process: Incarnation): Engine => {
    const engine = newEngine(process.spill);
    return {
      ...engine,
      apply(record, alerts) {
        const result = engine.apply(record, alerts);
        if (process.alive) process.applied.push(appliedLine(record.recordId, result));
        return result;
      },
      tick(eventTime, alerts) {
        if (process.alive) process.applied.push(tickLine(eventTime));
        engine.tick(eventTime, alerts);
      },
      useRules(sources, version, alerts, lists, backfill) {
        if (process.alive && process.from !== undefined) process.applied.push(swapLine(version));
        return engine.useRules(sources, version, alerts, lists, backfill);
      },
    };
  };

  const die = (process: Incarnation, how: string): void => {
    if (!process.alive) return;
    process.alive = false;
    process.countsAfter = metrics.recordsByResult();
    spilled += process.spill?.stats().spilled ?? 0;
    process.connection?.die();
    deaths++;
    trace(`process ${process.number} ${how}`);
    live = undefined;
    if (safety && chance(0.25)) {
      trace('the machine goes down');
      disk.crash();
      if (chance(0.3)) {
        const damage = disk.damage();
        if (damage !== undefined) {
          trace(`damaged: ${damage.path}: ${damage.how}`);
          damaged.add(damage.path);
        }
      }
      if (residentMax !== undefined && bounded() < 0.3) {
        const damage = disk.damageSpilled(bounded);
        if (damage !== undefined) {
          trace(`damaged: ${damage.path}: ${damage.how}`);
          for (const [path, content] of disk.checkpoints()) if (needs(content, damage.path)) damaged.add(path);
        }
      }
      if (chance(0.3)) broker.restart(between(random, 100, 2_000), false);
    }
    clock.after(between(random, 10, safety ? 3_000 : 100), start);
  };

  const start = (): void => {
    if (finished) return;
    const fuseOf = chance(0.3) ? 'disk' : 'all';
    const process: Incarnation = {
      number: incarnations.length + 1,
      alive: true,
      clockAheadMs: chance(0.2) ? between(random, -600_000, 600_000) : 0,
      fuse: safety
        ? Math.ceil(exponential(random) * (fuseOf === 'disk' ? DISK_FUSE_MEAN : fuseMean))
        : Number.POSITIVE_INFINITY,
      fuseOf,
      connection: undefined,
      partition: undefined,
      deadLetters: undefined,
      spill: undefined,
      from: undefined,
      applied: [],
      stopping: false,
      ended: false,
      countsBefore: metrics.recordsByResult(),
      countsAfter: undefined,
      step(part) {
        if (!process.alive || (process.fuseOf === 'disk' && part !== 'disk')) return;
        if (--process.fuse <= 0) die(process, 'is killed');
      },
      failed(error) {
        if (!process.alive) return;
        // Without room a first start ends, and so does the last checkpoint; both say so.
        const code = (error as { code?: string } | undefined)?.code;
        if (code === 'ENOSPC' || code === 'checkpoint.disk') {
          die(process, 'ends: disk full');
          return;
        }
        // What was lost is noticed later, in the liveness phase perhaps; starting again mends it.
        if (!finished && error instanceof RingfenceError && error.exitCode === ExitCode.findings) {
          die(process, `ends: ${error.message}`);
          return;
        }
        problem(`process ${process.number} failed: ${error instanceof Error ? error.stack : String(error)}`);
        die(process, 'fails');
      },
    };
    incarnations.push(process);
    live = process;
    trace(`process ${process.number} starts`);
    clock.after(0, () => void serve(process).catch((error: unknown) => process.failed(error)), process);
  };

  /** What `serve` does, without HTTP and the folder of rules. */
  const serve = async (process: Incarnation): Promise<void> => {
    const log = logOf((sentence) => trace(`process ${process.number}: ${sentence}`));
    const onTrouble = (sentence: string): void => log.warn(sentence);
    process.connection = broker.connect(process);
    const connection = mutated(process.connection.nc, mutation);
    const js = jetstream(connection);
    const jsm = await jetstreamManager(connection, { checkAPI: false });
    const deadLetters = createDeadLetterSink(js, jsm, { onTrouble });
    process.deadLetters = deadLetters;
    const control = createDurablePublisher(js, onTrouble);
    const files = disk.of(process);
    if (residentMax !== undefined)
      process.spill = openSpillStore(DIRECTORY, { disk: disk.spillOf(process), segmentBytes });
    const engine = watched(process);
    let earlier: Position | undefined;
    process.partition = await startPartition({
      number: 0,
      stream: 'USAGE',
      engine,
      first,
      checkpoints: {
        async load(memory, refuse) {
          if (mutation !== 'marks-ignored') return loadCheckpoint<EngineMeta>(DIRECTORY, memory, refuse, files);
          const { checkpoint, rejected } = await loadCheckpoint<EngineMeta>(DIRECTORY, memory, undefined, files);
          delete checkpoint?.position.marks;
          return { checkpoint, rejected };
        },
        remove: (bad) => removeCheckpoint(DIRECTORY, bad, files),
        async store(position, cut) {
          // A large state takes long to write.
          if (mutation === 'position-late') await new Promise((resolve) => setTimeout(resolve, SLOW_WRITE_MS));
          let at = position;
          if (mutation === 'position-on-receipt') at = { ...position, sequence: broker.deliveredUpTo('USAGE') };
          if (mutation === 'position-late') at = process.partition!.pipeline.position();
          if (mutation === 'position-early') at = earlier ?? position;
          earlier = position;
          if (!isThreaded) return writeCheckpoint(DIRECTORY, at, cut, files);
          const { meta, names, duplicates, arena } = cut;
          const pieces: Uint8Array[] = [];
          arena.onKept((piece) => pieces.push(piece));
          const job = { meta: structuredClone(meta), names: names.length, duplicates, shown: arena.shown };
          const content = shownContent(
            job,
            async (from, to) => {
              await new Promise((resolve) => setTimeout(resolve, bounded() * MESSAGE_MS));
              return names.slice(from, to);
            },
            () => pieces.shift(),
          );
          try {
            return await writeCheckpoint(DIRECTORY, at, content, files);
          } finally {
            arena.onKept(() => {});
          }
        },
      },
      ...(process.spill && { spill: process.spill }),
      checkpointEveryMs,
      connection,
      js,
      jsm,
      deadLetters,
      control,
      publishRules: (message) => publishRuleSet(control, 0, message),
      onRules() {},
      alertSource: ALERT_SOURCE,
      allowDataLoss: false,
      metrics,
      log,
      onTrouble,
      onOpened() {},
    });
    const { pipeline, restored } = process.partition;
    process.from = restored.sequence;
    trace(`process ${process.number} goes on behind ${restored.sequence}`);
    if (restored.fresh) await pipeline.checkpoint();
    await pipeline.ended;
    process.ended = true;
    die(process, 'has ended');
  };

  // -- the safety phase --------------------------------------------------------------------------------------------------

  for (const { atMs, subject, body } of workload.publications) {
    clock.after(atMs, () => broker.store(subject, body));
  }
  const disturb = (): void => {
    if (!safety) return;
    faults++;
    const kind = between(random, 0, 8);
    if (kind === 0) broker.restart(between(random, 50, 5_000), true);
    else if (kind === 1) broker.restart(between(random, 50, 5_000), false);
    else if (kind === 2) broker.cut();
    else if (kind === 3) broker.loseConsumers(chance(0.5));
    else if (kind === 4 && live !== undefined) {
      live.clockAheadMs = between(random, -7_200_000, 7_200_000);
      trace('the clock of the process jumps');
    } else if (kind === 5 && live?.partition !== undefined && !live.stopping) {
      const process = live;
      process.stopping = true;
      trace(`process ${process.number} is asked to end`);
      clock.after(0, () => process.partition!.pipeline.stop(), process);
    } else if (kind === 6) {
      const sequence = broker.deliveredUpTo('USAGE') + between(random, 2, 10);
      if (sequence < broker.streams.get('USAGE')!.last) broker.remove('USAGE', sequence);
    } else if (kind === 7) {
      trace('the disk is full');
      disk.fill(true);
      clock.after(between(random, 10, 2_000), () => disk.fill(false));
    } else if (kind === 8 && live !== undefined) die(live, 'is killed');
    clock.after(exponential(random) * disturbEveryMs, disturb);
  };
  const disturbEveryMs = pick(random, [500, 5_000, 60_000]);
  clock.after(exponential(random) * disturbEveryMs, disturb);
  start();
  let published = false;
  clock.after(workload.endMs + between(random, 0, 3_000), () => {
    published = true;
  });
  await clock.until(() => published || deaths >= DEATHS_MAX || problems.length > 0, SAFETY_LIMIT_MS);

  // -- the liveness phase ------------------------------------------------------------------------------------------------

  trace('faults end');
  safety = false;
  broker.faults = NO_FAULTS;
  disk.fill(false);
  for (const process of incarnations) process.fuse = Number.POSITIVE_INFINITY;
  const usage = broker.streams.get('USAGE')!;
  let quietSince = Number.POSITIVE_INFINITY;
  const quiet = (): boolean => {
    if (problems.length > 0) return true;
    const isQuiet =
      published &&
      live?.partition !== undefined &&
      !live.stopping &&
      broker.whole() &&
      live.partition.source.connected() &&
      // The last one of all may have been deleted.
      live.partition.pipeline.position().sequence >= ([...usage.messages.keys()].at(-1) ?? 0) &&
      live.partition.publisher.inFlight() === 0 &&
      live.deadLetters?.inFlight() === 0 &&
      live.partition.pipeline.backfillPending() === 0;
    quietSince = isQuiet ? Math.min(quietSince, clock.now()) : Number.POSITIVE_INFINITY;
    return clock.now() - quietSince > QUIET_MS;
  };
  const drained = await clock.until(quiet, workload.endMs + DRAIN_LIMIT_MS);
  if (!drained) problem(`what is there does not come to its end: ${stateOf(live)}`);
  if (problems.length === 0) {
    const process = live!;
    finished = true;
    process.stopping = true;
    clock.after(0, () => process.partition!.pipeline.stop(), process);
    const ended = await clock.until(() => process.ended || problems.length > 0, DRAIN_LIMIT_MS);
    if (!ended) problem('the last process does not end');
  }

  // -- what came of it ---------------------------------------------------------------------------------------------------

  // A tick may have come after the last process had read to the end.
  const end = durable.at(-1)?.position.sequence ?? 0;
  const messages = [...usage.messages.values()].filter(({ sequence }) => sequence <= end);
  const engine = newEngine();
  engine.useRules(first.sources, first.version, [], first.lists);
  const course = undisturbed(engine, messages);
  const counts = { swaps: course.applied.filter(({ line }) => line.startsWith('rules ')).length };
  if (problems.length === 0) {
    checkAlerts();
    checkApplied();
    checkDeadLetters();
    checkDurable();
    if (course.prepared !== undefined) problem(`the rules announced in ${course.prepared.sequence} never went live`);
    await checkGenerations();
  }
  return {
    seed,
    problems,
    figures: {
      messages: messages.length,
      alerts: course.alerts.length,
      deadLetters: course.rejected.length,
      deaths,
      checkpoints,
      ...counts,
      events: clock.events(),
      faults,
      spilled,
    },
    trace: lines,
  };

  /** For the trace of a world that gets stuck. */
  function stateOf(process: Incarnation | undefined): string {
    if (process?.partition === undefined) return 'no process runs';
    const { source, pipeline, publisher } = process.partition;
    const under = { alerts: publisher.inFlight(), deadLetters: process.deadLetters!.inFlight() };
    const reading = { connected: source.connected(), pending: source.pending(), backfill: pipeline.backfillPending() };
    return JSON.stringify({ position: pipeline.position().sequence, last: usage.last, ...under, ...reading });
  }

  /** Each revision of the undisturbed course is there once, in order, and nothing else is. */
  function checkAlerts(): void {
    const seen = new Set<string>();
    // A look at a moment that has passed, which a late record asks for again, finds the same alert of that moment again.
    const isFirst = (name: string): boolean => !seen.has(name) && seen.add(name) !== undefined;
    const expected = bySubject(
      course.alerts
        .filter(({ alert }) => isFirst(`${alert.alertId}.${alert.revision}`))
        .map(({ alert }) => ({
          subject: alertSubject(alert),
          body: JSON.stringify(alertEvent(alert, ALERT_SOURCE)),
        })),
    );
    const found = bySubject(
      ['ALERTS', 'SHADOW'].flatMap((name) =>
        [...broker.streams.get(name)!.messages.values()].map(({ subject, data }) => ({
          subject,
          body: Buffer.from(data).toString(),
        })),
      ),
    );
    for (const [subject, bodies] of expected) {
      const there = found.get(subject) ?? [];
      if (there.length !== bodies.length)
        problem(`${subject} has ${there.length} revisions instead of ${bodies.length}`);
      else
        for (const [at, body] of bodies.entries())
          if (there[at] !== body) problem(`${subject} differs: ${there[at]} instead of ${body}`);
    }
    for (const subject of found.keys()) if (!expected.has(subject)) problem(`${subject} should not be there`);
  }

  /** Each process applied just what the undisturbed course applied behind its position: nothing twice, nothing left out. */
  function checkApplied(): void {
    for (const { number, from, applied } of incarnations) {
      if (from === undefined) continue;
      const expected = course.applied.filter(({ sequence }) => sequence > from).map(({ line }) => line);
      const wrong = applied.findIndex((line, at) => line !== expected[at]);
      if (wrong >= 0) {
        problem(
          `process ${number}, which began behind ${from}: ${applied[wrong]} instead of ${expected[wrong]} as number ${wrong + 1}`,
        );
      }
    }
  }

  /** Each bad record is there at least once, nothing else is, and each was counted where it was met. */
  function checkDeadLetters(): void {
    const expected = new Set(course.rejected.map(({ id }) => id));
    const found = new Set(
      [...broker.streams.get('DEADLETTER')!.messages.values()].map(({ header }) => header?.get('Nats-Msg-Id') ?? ''),
    );
    for (const id of expected) if (!found.has(id)) problem(`the dead letter ${id} is missing`);
    for (const id of found) if (!expected.has(id)) problem(`the dead letter ${id} should not be there`);
    for (const { number, from, applied, countsBefore, countsAfter } of incarnations) {
      if (from === undefined || countsAfter === undefined) continue;
      const counts = (result: string): number => countsAfter[result]! - countsBefore[result]!;
      const records = applied.filter((line) => !/^(tick|rules) /.test(line)).length;
      const counted = counts('applied') + counts('duplicate') + counts('late');
      const rejected = counts('rejected');
      if (records !== counted) problem(`process ${number} took ${records} records and counted ${counted}`);
      const met = course.rejected.filter(({ sequence }) => sequence > from).length;
      if (rejected > met) problem(`process ${number} refused ${rejected} records of ${met}`);
    }
  }

  /** A checkpoint holds the records up to its position and no other, and when it became durable their alerts were in ALERTS. */
  function checkDurable(): void {
    for (const { position, meta, at } of durable) {
      const { sequence } = position;
      const of = (result: string): number =>
        course.applied.filter((one) => one.sequence <= sequence && one.line.endsWith(` ${result}`)).length;
      const [found, expected] = [
        [meta.applied, meta.duplicates, meta.late],
        [of('applied'), of('duplicate'), of('late')],
      ].map(String);
      if (found !== expected)
        problem(`a checkpoint of position ${sequence} holds ${found} records instead of ${expected}`);
      for (const { sequence: firedBy, alert } of course.alerts) {
        if (firedBy > sequence) break;
        const id = `${alert.alertId}.${alert.revision}`;
        if (!((storedAt.get(id) ?? Number.POSITIVE_INFINITY) <= at)) {
          problem(
            `a checkpoint of position ${sequence} was durable before alert ${id} of message ${firedBy} was stored`,
          );
        }
      }
    }
  }

  /** From the oldest and the newest generation that are left, the rest of the stream makes the rest of the alerts. */
  async function checkGenerations(): Promise<void> {
    const reader: SimProcess = { alive: true, clockAheadMs: 0, step() {}, failed: (error) => problem(String(error)) };
    let done = false;
    const read = async (): Promise<void> => {
      const generations = [...disk.checkpoints().keys()];
      for (const path of new Set([generations.at(0)!, generations.at(-1)!])) {
        const spill = openSpillStore(DIRECTORY, { disk: disk.spillOf(reader), segmentBytes });
        const restored = newEngine(spill);
        const onlyThis = only(disk.of(reader), path);
        let labels: SpilledLabels | undefined;
        const { checkpoint } = await loadCheckpoint<EngineMeta>(
          DIRECTORY,
          restored.pageMemory,
          async (_, { spilled: noted }) => {
            if (noted === undefined) return undefined;
            const loaded = await spill.load(noted);
            if ('damage' in loaded) return loaded.damage;
            ({ labels } = loaded);
            return undefined;
          },
          onlyThis,
        );
        if (checkpoint === undefined) continue;
        const { meta, position } = checkpoint;
        restored.restore(meta, parseRules(meta.rules).sources, checkpoint.names, checkpoint.duplicates, labels);
        const rest = undisturbed(restored, messages, position.sequence, meta.prepared);
        const expected = course.alerts.filter(({ sequence }) => sequence > position.sequence);
        const [left, right] = [rest, { alerts: expected }].map(({ alerts }) =>
          alerts.map(({ sequence, alert }) => `${sequence} ${JSON.stringify(alertEvent(alert, ALERT_SOURCE))}`),
        );
        const wrong = right!.findIndex((line, at) => line !== left![at]);
        if (wrong >= 0 || left!.length !== right!.length) {
          problem(`from ${path} on, ${left![wrong] ?? 'nothing'} instead of ${right![wrong] ?? 'nothing'}`);
        }
      }
      done = true;
    };
    clock.after(0, () => void read().catch((error: unknown) => reader.failed(error)), reader);
    await clock.until(() => done || problems.length > 0, DRAIN_LIMIT_MS);
  }
}

interface CheckpointHead {
  position: Position;
  meta: Pick<EngineMeta, 'applied' | 'duplicates' | 'late' | 'spilled'>;
}

/** What the first section of a checkpoint tells. */
const headOf = (content: Buffer): CheckpointHead =>
  JSON.parse(content.subarray(24, 24 + content.readUInt32LE(20)).toString()) as CheckpointHead;

/** Whether this segment of spilled keys belongs to a checkpoint. One that is damaged already tells nothing. */
function needs(content: Buffer, segment: string): boolean {
  try {
    return (headOf(content).meta.spilled?.segments ?? []).some(({ number }) => number === Number(segment.slice(-9)));
  } catch {
    return true;
  }
}

/** Bodies by subject, in order. */
function bySubject(messages: readonly { subject: string; body: string }[]): Map<string, string[]> {
  const bodies = new Map<string, string[]>();
  for (const { subject, body } of messages) {
    const list = bodies.get(subject);
    if (list === undefined) bodies.set(subject, [body]);
    else list.push(body);
  }
  return bodies;
}

/** A disk on which there is one file. */
const only = (disk: Disk, path: string): Disk => ({
  ...disk,
  readdir: async () => [path.slice(DIRECTORY.length + 1)],
});

/** Says what is worth a line of the trace. */
function logOf(say: (sentence: string) => void): Log {
  const line = (fields: unknown, sentence?: string): void =>
    say(sentence === undefined ? String(fields) : `${sentence} ${JSON.stringify(fields)}`);
  return { debug() {}, info: line, warn: line, error: line } as unknown as Log;
}

/** The connection of a program whose outbox has a mistake. */
function mutated(nc: NatsConnection, mutation: Mutation | undefined): NatsConnection {
  if (mutation !== 'outbox-skipped' && mutation !== 'expectation-skipped') return nc;
  const listeners = new Map<string, (error: Error | null, message: Msg) => void>();
  const isAlert = (subject: string): boolean => /^(alerts|shadow)\./.test(subject);
  const mistaken: Partial<NatsConnection> = {
    subscribe(subject, options) {
      listeners.set(subject.slice(0, -2), options!.callback!);
      return nc.subscribe(subject, options);
    },
    publish(subject, body, options) {
      if (!isAlert(subject)) return nc.publish(subject, body, options);
      if (mutation === 'expectation-skipped') {
        options!.headers!.delete('Nats-Expected-Last-Subject-Sequence');
        return nc.publish(subject, body, options);
      }
      const { reply = '', ...rest } = options!;
      nc.publish(subject, body, rest);
      const answer = { subject: reply, data: Buffer.from('{}'), json: () => ({ stream: 'ALERTS', seq: 1 }) };
      queueMicrotask(() => listeners.get(reply.slice(0, reply.lastIndexOf('.')))!(null, answer as unknown as Msg));
    },
  };
  return new Proxy(nc, { get: (target, name) => Reflect.get(name in mistaken ? mistaken : target, name) });
}
