/**
 * The life of a record, in one function: next -> decode -> apply -> publish -> checkpoint.
 *
 * Nothing is acknowledged to the broker. The position is ours: it lies in the checkpoint beside the state that it belongs to,
 * so the two can never disagree. After a crash the records behind the newest checkpoint are read again; they make the
 * same alerts with the same ids, and the publisher finds those that are already there.
 *
 * The loop works in slices of a few milliseconds and then lets the event loop run, so that acknowledgements, WebSockets
 * and HTTP never wait for a large batch.
 */
import type { AlertData } from './alerts/alert.ts';
import { type BackfillRun, type BackfillSource, startBackfill } from './backfill.ts';
import type { Engine, EngineCut } from './engine.ts';
import { isDiskTrouble, RingfenceError } from './errors.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { controlKindOf, isPart, isTick, tickBody } from './record/control-message.ts';
import { type DecodedMessage, decodeMessage, type Rejection } from './record/decode.ts';
import type { UsageRecord } from './record/usage-record.ts';
import { parseRules } from './rules/load.ts';
import { type PreparedRules, type RulesMessage, readRulesMessage } from './rules/message.ts';
import type { AlertPublisher } from './sinks/alert-publisher.ts';
import type { DeadLetterSink } from './sinks/dead-letter.ts';
import { contentTypeOf, type SourceMessage } from './source/delivery.ts';
import type { Source } from './source/jetstream.ts';
import type { Position } from './state/checkpoint.ts';
import type { SpillStore } from './state/spill-store.ts';

/** A record that claims to come from further ahead of the broker's clock is refused: one wrong clock must not move time. */
export const FUTURE_MS_MAX = 600_000;
/** Longest stretch of work between two turns of the event loop. */
const SLICE_MS = 4;
/**
 * Records that are decoded before the first of them is applied, and whose state is fetched together (`engine.warm`). More would
 * push each other out of the cache again: with 200,000 subscribers a record took 6.2 us without, 4.8 with 16, 4.9
 * with 64 and 5.3 with 256.
 */
export const RECORDS_AHEAD = 64;
/** Alerts handed over and not yet durable, beyond which no further message is taken. */
const ALERTS_IN_FLIGHT_MAX = 1_024;
/** After so much silence the owner of a partition writes a tick into it, so that silence itself can be noticed. */
const TICK_AFTER_MS = 30_000;
/** An end that waits for NATS for ever would be a kill in the end; orchestrators give ten seconds or more. */
const DRAIN_LIMIT_MS = 7_000;
/** Only a live feed is ticked: one whose watermark is within an hour of the broker's clock. */
const LIVE_WITHIN_MS = 3_600_000;
/** A large state takes seconds to write: no more than a quarter of the time goes into checkpoints, whatever the interval. */
const CHECKPOINT_PAUSE_FACTOR = 3;

export interface PipelineOptions {
  partition: number;
  source: Source;
  engine: Engine;
  publisher: AlertPublisher;
  deadLetters: DeadLetterSink;
  /** Name of the stream that is read, for the position in the checkpoint. */
  stream: string;
  /** Makes state and position durable, at leisure until `hurry` is aborted; what it resolves with is for the log. */
  storeCheckpoint(position: Position, cut: EngineCut, hurry: AbortSignal): Promise<{ number: number; bytes: number }>;
  /** Where the engine puts cold keys. */
  spill?: SpillStore | undefined;
  checkpointEveryMs: number;
  metrics: Metrics;
  log: Log;
  /** Puts a tick into the partition's own stream. */
  publishTick(body: Uint8Array): Promise<void>;
  /** Puts a rule set into the partition's own stream. */
  publishRules(message: RulesMessage): Promise<void>;
  /** The body of the message of a rule set, put together where it came in parts; undefined where some are gone. */
  wholeRules(body: Uint8Array): Promise<Uint8Array | undefined>;
  /** A rule set has been swapped in. `applied`: it did not come from the folder of whoever owns the pipeline. */
  onRules(applied: boolean): void;
  /** The rule set that waited for its windows when the checkpoint was cut. */
  prepared?: PreparedRules | undefined;
  /** A second reader of the stream, from the first message on that was stored at this time or later. */
  openBackfill(from: number): Promise<BackfillSource>;
}

export interface Pipeline {
  /**
   * Resolves after `stop`, when the last checkpoint is durable, or DRAIN_LIMIT_MS later while NATS does not take what comes
   * before it; rejects with what ended it otherwise.
   */
  ended: Promise<void>;
  stop(): void;
  position(): Position;
  /** A checkpoint now; resolves when it is durable. */
  checkpoint(): Promise<void>;
  /** Why the disk takes no checkpoints at the moment; empty where it does. */
  diskTrouble(): string;
  /** Messages that a back-fill has still to read; 0 where there is none. */
  backfillPending(): number;
  /** Broker time of the message that made this alert fire, for the latency metric. */
  firedBy(alert: AlertData): number | undefined;
}

export function startPipeline(options: PipelineOptions): Pipeline {
  const { source, engine, publisher, deadLetters, spill, metrics, log, partition } = options;
  /** While messages that were handed out are being applied: the last one that is; else -1, and the source knows. */
  let appliedSequence = -1;
  const position = (): Position => ({
    stream: options.stream,
    ...(appliedSequence >= 0 ? { streamCreated: source.streamCreated, sequence: appliedSequence } : source.position()),
  });
  /** Forgotten with the alert itself. */
  const firedAt = new WeakMap<AlertData, number>();
  const alerts: AlertData[] = [];
  /** The messages decoded ahead, undefined where one is a control message, and all their records. */
  const decoded: (DecodedMessage | undefined)[] = [];
  const ahead: UsageRecord[] = [];
  let stopping = false;
  let lastCheckpointAt = performance.now();
  let lastCheckpointMs = 0;
  let lastMessageAt = performance.now();
  let ticking = false;
  let checkpointing: Promise<void> | undefined;
  let diskTrouble = '';
  let failure: unknown;
  let { prepared } = options;
  let backfill: BackfillRun | undefined;
  /** The windows of a back-fill are being taken over: a checkpoint now would have to wait for all of them at once. */
  let takingOver = false;
  const stopped = Promise.withResolvers<undefined>();
  const hurry = new AbortController();

  const handOver = (brokerTimeMs: number): void => {
    for (const alert of alerts) {
      firedAt.set(alert, brokerTimeMs);
      publisher.publish(alert);
    }
    alerts.length = 0;
  };

  /**
   * One cut of state and position, then: first every effect of what is in the cut must be durable, then the cut itself. The
   * other way round a crash in between would skip alerts that nobody has.
   */
  const checkpoint = (): Promise<void> => {
    if (checkpointing !== undefined) return checkpointing;
    const begun = performance.now();
    const cut = engine.cut();
    cut.meta.prepared = prepared;
    const stored = publisher.cut();
    const at = position();
    const cutMs = performance.now() - begun;
    log.debug({ partition, sequence: at.sequence, cutMs }, 'checkpoint cut');
    checkpointing = (async () => {
      try {
        const [alertMarks, letterMarks] = await Promise.all([
          publisher.drained(),
          deadLetters.drained(),
          spill?.flush(),
        ]);
        const { number, bytes } = await options.storeCheckpoint(
          { ...at, marks: [...alertMarks, ...letterMarks] },
          cut,
          hurry.signal,
        );
        if (diskTrouble !== '') log.info({ partition }, 'checkpoints are written again');
        diskTrouble = '';
        // Alerts before the cut need not be kept for a broker that loses what it acknowledged.
        stored(alertMarks);
        await spill?.stored(cut.meta.spilled ?? { segments: [] });
        const seconds = (performance.now() - begun) / 1000;
        const keptBytes = cut.arena.keptBytes();
        metrics.observeCheckpoint(seconds);
        metrics.checkpointKeptBytes.set(keptBytes);
        log.debug({ partition, number, bytes, keptBytes, sequence: at.sequence, seconds }, 'checkpoint written');
      } finally {
        cut.release();
        lastCheckpointAt = performance.now();
        lastCheckpointMs = lastCheckpointAt - begun;
        checkpointing = undefined;
      }
      if (!stopping) spill?.tidy(engine.spilledMoved).catch((error: unknown) => fail(error));
    })();
    return checkpointing;
  };

  /**
   * The same beside the loop. A disk that takes nothing is trouble that passes: the older checkpoints still hold, records go on
   * being applied and alerts published, and a crash meanwhile only makes the next start read more of them again.
   */
  const tryCheckpoint = async (): Promise<void> => {
    try {
      await checkpoint();
    } catch (error) {
      if (!isDiskTrouble(error)) throw error;
      const detail = (error as Error).message;
      metrics.checkpointFailuresTotal.inc();
      if (diskTrouble === '') log.error({ partition, detail }, 'checkpoints cannot be written; trying again');
      diskTrouble = detail;
    }
  };

  /** Between two portions of timers that time, which has jumped, made due at once, or of keys whose looks it may have made due. */
  const giveWay = async (sequence: number, brokerTimeMs: number): Promise<void> => {
    metrics.timerStepsTotal.inc();
    // A checkpoint that is cut meanwhile stands before the message; those of its records that were applied are known then.
    appliedSequence = sequence - 1;
    handOver(brokerTimeMs);
    if (publisher.inFlight() > ALERTS_IN_FLIGHT_MAX) await publisher.room();
    await breathe();
  };

  const refuse = (rejection: Rejection, subject: string, sequence: number): void => {
    metrics.countRecords(rejection.recordType ?? 'unknown', 'rejected');
    metrics.deadLettersTotal.inc({ reason: rejection.reason });
    deadLetters.publish(rejection, { subject, sequence });
  };

  /** Reads old records again for the set that was announced. What is wrong with it is returned, and nothing begins. */
  const beginBackfill = (set: PreparedRules): string | undefined => {
    const { sequence, version, files, applied, from } = set;
    const { sources, lists, problems } = parseRules(files);
    const begun = problems.length > 0 ? { problems } : engine.beginBackfill(sources, version, from, lists);
    if ('problems' in begun) return begun.problems[0]!.message;
    backfill?.stop();
    prepared = set;
    const { backfill: second } = begun;
    backfill = startBackfill({
      backfill: second,
      sequence,
      futureMsMax: FUTURE_MS_MAX,
      open: () => options.openBackfill(from),
      async onCaughtUp() {
        log.info(
          { partition, version, records: second.applied(), bytes: second.bytes() },
          'windows of new rules filled',
        );
        await options.publishRules({ version, files, applied, prepared: sequence });
      },
    });
    backfill.ready.catch((error: unknown) => fail(error));
    log.info({ partition, version, sequence, from }, 'windows of new rules are being filled');
    return undefined;
  };

  const endBackfill = (): void => {
    backfill?.stop();
    backfill = undefined;
    prepared = undefined;
  };

  /** Brings the filled windows in, some keys at a time; then they are made durable, because filling them took long. */
  const takeOver = async (): Promise<void> => {
    takingOver = true;
    while (!stopping && engine.takeOver()) await breathe();
    takingOver = false;
    await checkpointing?.catch(() => {});
    if (!stopping) await tryCheckpoint();
  };

  /**
   * A rule set travels with its lists in the stream itself, so a replay switches at the same place. False where the pipeline
   * ends before the windows of the set are there: the message is read again by the next start.
   */
  const takeRules = async ({ data: body, subject, sequence, timeMs }: SourceMessage): Promise<boolean> => {
    const refuseSet = (reason: 'malformed' | 'schema', detail: string): void => {
      log.error({ partition, sequence, detail }, 'rule set in the stream refused, the one in force stays');
      refuse({ index: 0, reason, field: '', detail, recordId: '', body }, subject, sequence);
    };
    // Whoever may publish records may also publish here, and a message that stops the engine would stop it for ever.
    const whole = await options.wholeRules(body);
    const set = whole === undefined ? undefined : readRulesMessage(whole);
    if (set === undefined) {
      refuseSet('malformed', whole === undefined ? 'A part of the rule set is gone.' : 'The message is no rule set.');
      return true;
    }
    const { version, files, applied = false } = set;
    if (subject.endsWith('.prepare')) {
      const from = timeMs - (set.backfillMs ?? 0);
      const wrong = beginBackfill({ sequence, version, files, applied, from });
      if (wrong !== undefined) refuseSet('schema', wrong);
      return true;
    }
    // Of an announcement that another one has overtaken, or of two owners of the partition the one who came second.
    if (set.prepared !== undefined && set.prepared !== prepared?.sequence) return true;
    if (set.prepared === undefined && version === engine.ruleSet().version) return true;
    const filled = set.prepared === undefined ? undefined : await Promise.race([backfill!.ready, stopped.promise]);
    if (stopping) return false;
    const { sources, lists, problems } = parseRules(files);
    // A removed rule may leave more alerts open than memory holds as messages. Those beyond are resolved in portions before the
    // swap, so that a crash in between finds the old set still in force, reads this message again and resolves the rest.
    if (problems.length === 0 && engine.episodesWithout(sources) > ALERTS_IN_FLIGHT_MAX) {
      const refused = engine.checkRules(sources, lists);
      while (refused.length === 0 && engine.endEpisodes(sources, version, ALERTS_IN_FLIGHT_MAX, alerts) > 0) {
        handOver(Date.now());
        await publisher.room();
      }
    }
    endBackfill();
    const wrong = problems.length > 0 ? problems : engine.useRules(sources, version, alerts, lists, filled);
    if (wrong.length > 0) {
      // Sets are checked before they are published, so this one is of a newer program.
      refuseSet('schema', wrong[0]!.message);
      return true;
    }
    // From here on a checkpoint holds the set, so it must stand behind its message, and wait for the alerts of the swap.
    appliedSequence = sequence;
    handOver(timeMs);
    log.info({ partition, version, rules: sources.length, sequence, filled: filled !== undefined }, 'rule set swapped');
    options.onRules(applied);
    if (filled !== undefined) takeOver().catch((error: unknown) => fail(error));
    return true;
  };

  if (prepared !== undefined) {
    const wrong = beginBackfill(prepared);
    if (wrong !== undefined) throw new Error(`the announced rules were right before the restart: ${wrong}`);
  }

  const run = async (): Promise<void> => {
    let sliceBegan = performance.now();
    while (!stopping) {
      const waitBegan = performance.now();
      const messages = await source.next();
      if (messages === undefined) break;
      metrics.observeStage('next', (performance.now() - waitBegan) / 1000);
      lastMessageAt = performance.now();
      sliceBegan = lastMessageAt;
      let decodeMs = 0;
      let applyMs = 0;

      for (let first = 0; first < messages.length && !stopping; ) {
        // A few messages are decoded before the first of them is applied, so that the engine can fetch what they all need.
        const decodeBegan = performance.now();
        let beyond = first;
        ahead.length = 0;
        while (beyond < messages.length && ahead.length < RECORDS_AHEAD) {
          const received = messages[beyond]!;
          if (controlKindOf(received.subject) !== undefined) {
            decoded[beyond - first] = undefined;
          } else {
            const message = decodeMessage(received.data, {
              eventTimeMax: received.timeMs + FUTURE_MS_MAX,
              contentType: contentTypeOf(received),
            });
            decoded[beyond - first] = message;
            for (let at = 0; at < message.records.length; at++) ahead.push(message.records[at]!);
          }
          beyond++;
        }
        if (engine.spilled() > 0) {
          // A checkpoint that is cut while this waits stands before the message.
          if (appliedSequence < 0) appliedSequence = messages[first]!.sequence - 1;
          const fetchBegan = performance.now();
          await spill!.fetch(engine.spilledOf(ahead));
          metrics.spillReadSeconds.observe({ when: 'ahead' }, (performance.now() - fetchBegan) / 1000);
        }
        const applyBegan = performance.now();
        decodeMs += applyBegan - decodeBegan;
        let appliedAhead = 0;
        let warmAhead = 0;

        for (let index = first; index < beyond && !stopping; index++) {
          const received = messages[index]!;
          const { subject, sequence, timeMs } = received;
          const message = decoded[index - first];
          if (message === undefined) {
            const kind = controlKindOf(subject);
            if (kind === 'tick' && isTick(received.data)) {
              while (!stopping && takingOver && engine.takeOverBefore(timeMs)) await giveWay(sequence, timeMs);
              while (!stopping && engine.fireDue(timeMs, '', alerts)) await giveWay(sequence, timeMs);
              engine.tick(timeMs, alerts);
            } else if (kind === 'rules' || kind === 'prepare') {
              // A checkpoint that is cut while this waits stands before the message.
              appliedSequence = sequence - 1;
              if (!(await takeRules(received))) break;
            } else if (kind !== 'part' || !isPart(received)) {
              const detail = 'This subject is for messages of Ringfence itself.';
              const stray = { index: 0, field: '', detail, recordId: '', body: received.data };
              refuse({ reason: 'schema', ...stray }, subject, sequence);
            }
          } else {
            const { records, rejections } = message;
            if (takingOver) {
              for (const { eventTime } of records)
                while (!stopping && engine.takeOverBefore(eventTime)) await giveWay(sequence, timeMs);
            }
            for (let at = 0; at < records.length; at++) {
              if (appliedAhead === warmAhead) {
                warmAhead = Math.min(appliedAhead + RECORDS_AHEAD, ahead.length);
                engine.warm(ahead, appliedAhead, warmAhead);
              }
              appliedAhead++;
              const record = records[at]!;
              while (!stopping && engine.fireDue(record.eventTime, record.recordId, alerts))
                await giveWay(sequence, timeMs);
              metrics.countRecords(record.recordType, engine.apply(record, alerts));
            }
            for (let at = 0; at < rejections.length; at++) refuse(rejections[at]!, subject, sequence);
          }
          appliedSequence = sequence;
          if (alerts.length > 0) handOver(timeMs);
          // The broker is the buffer: while alerts or rejected records cannot be stored, no further message is taken.
          if (publisher.inFlight() > ALERTS_IN_FLIGHT_MAX) await publisher.room();
        }
        first = beyond;
        while (engine.makeRoom() || spill?.isFull()) {
          if (stopping) break;
          await Promise.race([spill!.room(), stopped.promise]);
        }
        const now = performance.now();
        applyMs += now - applyBegan;
        if (now - sliceBegan > SLICE_MS) {
          await breathe();
          sliceBegan = performance.now();
        }
      }
      metrics.observeStage('decode', decodeMs / 1000);
      metrics.observeStage('apply', applyMs / 1000);
      const publishBegan = performance.now();
      await deadLetters.room();
      metrics.observeStage('publish', (performance.now() - publishBegan) / 1000);
      if (failure !== undefined) throw failure;
      if (!stopping) appliedSequence = -1;
    }
  };

  /** Beside the loop: checkpoints, and ticks while nothing comes. */
  const housekeeping = setInterval(() => {
    if (stopping) return;
    const now = performance.now();
    const pauseMs = Math.max(options.checkpointEveryMs, lastCheckpointMs * CHECKPOINT_PAUSE_FACTOR);
    if (now - lastCheckpointAt >= pauseMs && checkpointing === undefined && !takingOver) {
      lastCheckpointAt = now;
      const begun = performance.now();
      tryCheckpoint().catch((error: unknown) => fail(error));
      metrics.observeStage('checkpoint', (performance.now() - begun) / 1000);
    }
    const brokerTime = Date.now();
    const watermark = engine.watermark();
    if (
      now - lastMessageAt >= TICK_AFTER_MS &&
      !ticking &&
      source.connected() &&
      Math.abs(brokerTime - watermark) < LIVE_WITHIN_MS
    ) {
      ticking = true;
      lastMessageAt = now;
      options.publishTick(tickBody(brokerTime)).then(
        () => {
          ticking = false;
        },
        (error: unknown) => {
          ticking = false;
          log.warn({ partition, detail: (error as Error).message }, 'tick not written');
        },
      );
    }
  }, 100);

  const fail = (error: unknown): void => {
    failure = error;
    stopping = true;
    stopped.resolve(undefined);
    backfill?.stop();
    void source.close();
  };

  /** All the work, and at its end one more checkpoint, so that the next start replays nothing. */
  const work = async (): Promise<void> => {
    await run();
    if (failure !== undefined) throw failure;
    // Whatever is wrong with it is said beside the loop; what counts is the last one.
    await checkpointing?.catch(() => {});
    try {
      await checkpoint();
    } catch (error) {
      if (!isDiskTrouble(error)) throw error;
      throw new RingfenceError({
        code: 'checkpoint.disk',
        message: `The last checkpoint could not be written: ${(error as Error).message}.`,
        hint: 'Nothing is lost: the next start reads the records behind the checkpoint before it again.',
        cause: error,
      });
    }
  };
  const drainLimit = Promise.withResolvers<void>();
  let drainTimer: NodeJS.Timeout | undefined;
  const ended = (async () => {
    try {
      await Promise.race([work(), drainLimit.promise]);
    } finally {
      clearInterval(housekeeping);
      clearTimeout(drainTimer);
    }
  })();

  return {
    ended,
    stop() {
      if (stopping) return;
      stopping = true;
      hurry.abort();
      stopped.resolve(undefined);
      backfill?.stop();
      void source.close();
      drainTimer = setTimeout(() => {
        const waiting = { alerts: publisher.inFlight(), deadLetters: deadLetters.inFlight() };
        log.warn({ partition, ...waiting }, 'stopped before all was stored: the next start reads those records again');
        drainLimit.resolve();
      }, DRAIN_LIMIT_MS);
    },
    position,
    diskTrouble: () => diskTrouble || (spill?.trouble() ?? ''),
    backfillPending: () => backfill?.pending() ?? 0,
    async checkpoint() {
      await checkpointing;
      await checkpoint();
    },
    firedBy: (alert) => firedAt.get(alert),
  };
}

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
