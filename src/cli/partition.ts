/**
 * One partition of `serve`: state restored from the newest checkpoint, its stream read from there on, alerts published,
 * the pipeline between them running.
 */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Engine, EngineMeta } from '../engine.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { type Pipeline, type PipelineOptions, startPipeline } from '../pipeline.ts';
import { parseRules, ruleError } from '../rules/load.ts';
import type { RulesMessage } from '../rules/message.ts';
import { type AlertPublisher, createAlertPublisher } from '../sinks/alert-publisher.ts';
import type { DeadLetterSink } from '../sinks/dead-letter.ts';
import type { DurablePublisher } from '../sinks/outbox.ts';
import { lookAt, lostBefore, type MarkState } from '../sinks/stream-mark.ts';
import { openSource, type Source } from '../source/jetstream.ts';
import { sequenceAt } from '../source/streams.ts';
import type { LoadedCheckpoint, PageMemory, Position, Refusal, StreamMark } from '../state/checkpoint.ts';
import type { SpilledLabels, SpillStore } from '../state/spill-store.ts';
import { partOf, wholeRulesMessage } from './rules-in-stream.ts';

export interface Partition {
  number: number;
  engine: Engine;
  source: Source;
  publisher: AlertPublisher;
  pipeline: Pipeline;
  spill: SpillStore | undefined;
  /** What it began with. `fresh`: there was no checkpoint; rules in force, and sequence of the last message in the state. */
  restored: { fresh: boolean; version: string; sequence: number };
}

export interface PartitionOptions {
  number: number;
  stream: string;
  /** Empty; state or `first` rules are put into it. */
  engine: Engine;
  /** In force where there is no checkpoint. */
  first: Pick<ReturnType<typeof parseRules>, 'sources' | 'lists'> & { version: string };
  /** Where the checkpoints of this partition are. */
  checkpoints: {
    /** The newest one that is whole and not refused; puts its pages into the memory. */
    load(
      memory: PageMemory<EngineMeta>,
      refuse: Refusal<EngineMeta>,
    ): Promise<{
      checkpoint: LoadedCheckpoint<EngineMeta> | undefined;
      rejected: { number: number; reason: string }[];
    }>;
    remove(number: number): Promise<void>;
    store: PipelineOptions['storeCheckpoint'];
  };
  /** Where cold keys go that memory has no room for; the engine has it too. */
  spill?: SpillStore;
  checkpointEveryMs: number;
  connection: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  deadLetters: DeadLetterSink;
  /** For what must reach the partition's own stream however long that takes. */
  control: DurablePublisher;
  publishRules(message: RulesMessage): Promise<void>;
  onRules(applied: boolean): void;
  /** `source` of the alerts' CloudEvents. */
  alertSource: string;
  allowDataLoss: boolean;
  metrics: Metrics;
  log: Log;
  onTrouble(sentence: string): void;
  /** Gets what must be closed at the end, also of a start that fails. */
  onOpened(close: () => Promise<void>): void;
  signal?: AbortSignal;
}

/** Resolves when records are being read. */
export async function startPartition(options: PartitionOptions): Promise<Partition> {
  const { number, stream, engine, first, checkpoints, connection, js, jsm, control, deadLetters, metrics, log } =
    options;
  const { spill } = options;
  let spilled: SpilledLabels | undefined;
  const checkpoint = await chooseCheckpoint(options, async (meta) => {
    spilled = undefined;
    if (meta.spilled === undefined) return undefined;
    if (spill === undefined) return 'its spilled keys are not at hand';
    const loaded = await spill.load(meta.spilled);
    if ('damage' in loaded) return loaded.damage;
    spilled = loaded.labels;
    return undefined;
  });
  // What was read for checkpoints that were passed over is forgotten.
  if (checkpoint?.meta.spilled === undefined) await spill?.load({ segments: [] });
  if (checkpoint === undefined) {
    engine.useRules(first.sources, first.version, [], first.lists);
  } else {
    const { sources, problems } = parseRules(checkpoint.meta.rules);
    const wrong =
      problems.length > 0
        ? problems
        : engine.restore(checkpoint.meta, sources, checkpoint.names, checkpoint.duplicates, spilled);
    if (wrong.length > 0) throw ruleError(wrong, 'checkpoint');
  }
  // The limits may have been lower when it was written.
  while (engine.makeRoom()) await spill?.room();
  const { version } = engine.ruleSet();

  const source = await openSource(connection, {
    stream,
    startSequence: checkpoint === undefined ? 0 : checkpoint.position.sequence + 1,
    ...(checkpoint !== undefined && { streamCreated: checkpoint.position.streamCreated }),
    allowGap: options.allowDataLoss,
    onGap: (gap) => log.error({ partition: number, ...gap }, 'records of the stream are lost'),
    onStall: (detail) => log.warn({ partition: number, detail }, 'reading stopped and starts again'),
    ...(options.signal && { signal: options.signal }),
  });
  options.onOpened(() => source.close());
  const marks = checkpoint?.position.marks ?? [];
  deadLetters.resume(marks);
  // One publisher a partition: it keeps what its own next checkpoint does not cover yet.
  const publisher = createAlertPublisher(js, jsm, {
    source: options.alertSource,
    marks,
    allowGap: options.allowDataLoss,
    onTrouble: options.onTrouble,
    onPublished(alert, _sequence, duplicate) {
      if (duplicate) return;
      const counter = alert.shadow === true ? metrics.shadowAlertsTotal : metrics.alertsTotal;
      counter.inc({ rule: alert.ruleId, desk: alert.desk, severity: alert.severity });
      if (alert.shadow === true) return;
      const firedAt = pipeline.firedBy(alert);
      if (firedAt !== undefined) metrics.observeEventToAlert(Math.max(0, Date.now() - firedAt) / 1000);
    },
  });
  options.onOpened(() => publisher.close());

  const { sequence } = source.position();
  const pipeline: Pipeline = startPipeline({
    partition: number,
    source,
    engine,
    publisher,
    deadLetters: options.deadLetters,
    stream,
    storeCheckpoint: checkpoints.store,
    spill,
    checkpointEveryMs: options.checkpointEveryMs,
    metrics,
    log,
    async publishTick(body) {
      await js.publish(`usage.${number}.tick`, body);
    },
    publishRules: options.publishRules,
    wholeRules: (body) => wholeRulesMessage(body, (part) => partOf(control, jsm, stream, part)),
    onRules: options.onRules,
    prepared: checkpoint?.meta.prepared,
    async openBackfill(from) {
      const startSequence = await control.insist(() => sequenceAt(jsm, stream, from));
      const second = await openSource(connection, {
        stream,
        startSequence,
        // What is gone can fill no window; since when they are filled stands in each.
        allowGap: true,
        onGap: (gap) => log.warn({ partition: number, ...gap }, 'old records for new rules are gone'),
        onStall: (detail) => log.warn({ partition: number, detail }, 'reading old records stopped and starts again'),
      });
      return { source: second, whole: startSequence <= 1 };
    },
  });
  // A bug or a lost stream in one partition ends the process; until then the promise must not float.
  pipeline.ended.catch(() => {});
  const { subscribers } = engine.stats();
  log.info({ partition: number, checkpoint: checkpoint?.number ?? null, sequence, subscribers }, 'state restored');
  return {
    number,
    engine,
    source,
    publisher,
    pipeline,
    spill,
    restored: { fresh: checkpoint === undefined, version, sequence },
  };
}

/**
 * The newest checkpoint that is whole and whose alerts and dead letters the broker still has; undefined where there is none yet.
 * @throws RingfenceError `streams.lost-messages` where none is older than a loss, and losses are not allowed
 */
async function chooseCheckpoint(
  options: PartitionOptions,
  loadSpilled: (meta: EngineMeta) => Promise<string | undefined>,
): Promise<LoadedCheckpoint<EngineMeta> | undefined> {
  const { number, stream, engine, checkpoints, control, jsm, log } = options;
  const losses: { mark: StreamMark; found: MarkState; reason: string }[] = [];
  const lossBefore = async ({ streamCreated, sequence, marks = [] }: Position): Promise<string | undefined> => {
    if (marks.length === 0) return undefined;
    const { created, state } = await control.insist(() => jsm.streams.info(stream));
    // Lost records are what the source asks about; an older checkpoint would hide them.
    if (String(created) !== streamCreated || state.last_seq < sequence) return undefined;
    for (const mark of marks) {
      const found = await lookAt(control, jsm, mark);
      if (found === 'there') continue;
      const reason = `message ${mark.sequence} of stream ${mark.stream}, which was stored before it, is ${found}`;
      losses.push({ mark, found, reason });
      return reason;
    }
    return undefined;
  };
  const { checkpoint, rejected } = await checkpoints.load(
    engine.pageMemory,
    async (position, meta) => (await lossBefore(position)) ?? (await loadSpilled(meta)),
  );
  for (const { number: bad, reason } of rejected)
    log.error({ partition: number, checkpoint: bad, reason }, 'checkpoint passed over');
  if (losses.length === 0) return checkpoint;
  if (checkpoint !== undefined) {
    // What they presuppose is made again now, in another order perhaps.
    for (const { number: bad, reason } of rejected)
      if (losses.some((loss) => loss.reason === reason)) await checkpoints.remove(bad);
    return checkpoint;
  }
  // What was only taken out by hand is nobody's loss.
  const lost = losses.find(({ found }) => found === 'lost');
  if (lost !== undefined && !options.allowDataLoss) throw lostBefore(lost.mark);
  log.error({ partition: number, lost: losses[0]!.mark }, 'going on without what the broker has lost');
  const newest = await checkpoints.load(engine.pageMemory, (_, meta) => loadSpilled(meta));
  const goesOn = newest.checkpoint;
  if (goesOn !== undefined) {
    const isLost = ({ stream }: StreamMark): boolean => losses.some(({ mark }) => mark.stream === stream);
    goesOn.position.marks = (goesOn.position.marks ?? []).filter((mark) => !isLost(mark));
  }
  return goesOn;
}
