/**
 * `serve`: engine, API and console in one process. The order of the start is the order of trust: configuration and rules are
 * checked before anything is touched, health is answered before NATS is there, and the ready line is printed when the state
 * is restored and records are being read.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { type AccessStore, openAccessStore } from '../access/store.ts';
import { type Config, numberingPlanFile, parseAddress, projectFolder } from '../config.ts';
import { createEngine, type Engine, type EngineMeta, type EngineOptions } from '../engine.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { createRecordSearch } from '../evidence/search-thread.ts';
import { assertLoopback, OPERATIONS_LISTEN_HINT } from '../http/address.ts';
import { churnReportOf } from '../http/churn.ts';
import { createOperations } from '../http/operations.ts';
import { createOperationsListener } from '../http/operations-listener.ts';
import { createGateway, type GatewayOptions } from '../http/server.ts';
import { createLog, type Log } from '../log.ts';
import { createMetrics, type Metrics, SPILL_READS } from '../metrics.ts';
import { localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import { openRuleDesk } from '../rule-changes/rule-desk.ts';
import { createTestBench } from '../rule-changes/test-bench.ts';
import { isShadow } from '../rules/rule.ts';
import { ALERTS_IN_FLIGHT_MAX, ALERTS_KEPT_MAX } from '../sinks/alert-publisher.ts';
import {
  createDeadLetterSink,
  type DeadLetterSink,
  LETTER_BYTES_IN_FLIGHT_MAX,
  LETTERS_IN_FLIGHT_MAX,
} from '../sinks/dead-letter.ts';
import { createDurablePublisher } from '../sinks/outbox.ts';
import { connectionState, connectNats } from '../source/connection.ts';
import { PULLED_BYTES_MAX, PULLED_MESSAGES_MAX } from '../source/jetstream.ts';
import { ensureStreams, partitionOf, usageStream } from '../source/streams.ts';
import { loadCheckpoint, removeCheckpoint } from '../state/checkpoint.ts';
import { startCheckpointThread } from '../state/checkpoint-thread.ts';
import { startMemoryThread } from '../state/memory-thread.ts';
import { openSpillStore, SEGMENTS_MAX, type SpillStats } from '../state/spill-store.ts';
import { CHUNKS_WAITING_MAX } from '../state/spill-writer.ts';
import { type Partition, startPartition } from './partition.ts';
import { lastRuleSet, publishRuleSet } from './rules-in-stream.ts';
import { createServedRules, readFolder } from './served-rules.ts';
import { accessFileOf } from './users.ts';
import { readWebhooks } from './webhooks.ts';

const ACCESS_COPY_MS = 10 * 60_000;

export interface Serving {
  http: string;
  ops: string;
  /** Resolves when everything has ended after `stop`; rejects with what ended it otherwise. */
  ended: Promise<void>;
  stop(): void;
}

/** Reason of the signal where a person or an orchestrator ends the waiting for NATS: an end, not an error. */
export function endedEarly(): RingfenceError {
  return new RingfenceError({
    code: 'serve.stopped',
    message: 'Stopped before NATS was there.',
    hint: 'Nothing was started.',
    exitCode: ExitCode.ok,
  });
}

/**
 * Starts everything and resolves when records are being read.
 * @param signal ends the waiting for NATS; rejects with its reason then
 */
export async function serve(config: Config, options: { signal?: AbortSignal; log?: Log } = {}): Promise<Serving> {
  const log = options.log ?? createLog({ level: config.logLevel });
  const metrics = createMetrics();
  const listen = parseAddress(config.listen);
  const opsListen = parseAddress(config.opsListen);
  const accessFile = accessFileOf(config);
  const oidc = oidcSettings(config);
  if (!existsSync(accessFile) && oidc === undefined) assertLoopback(listen.host);
  assertLoopback(opsListen.host, OPERATIONS_LISTEN_HINT);

  const webhooks = readWebhooks(config.webhooks);

  // Rules and reference data: wrong ones stop the start, before anything else is touched.
  const numberingPlan = loadNumberingPlan(numberingPlanFile);
  const time = localTime(config.timeZone);
  const newEngine = (state: Pick<EngineOptions, 'spill' | 'memory'> = {}): Engine =>
    createEngine({
      ...state,
      numberingPlan,
      localTime: time,
      latenessMs: config.latenessSec * 1000,
      horizonRecords: config.duplicateHorizonRecords,
      homePlmns: config.homePlmns,
      currencyPerSdr: config.currencyPerSdr,
      onRuleError(ruleId, error) {
        metrics.ruleErrorsTotal.inc({ rule: ruleId });
        log.error({ rule: ruleId, err: error }, 'rule failed');
      },
    });
  const folder = readFolder(config, newEngine);

  const access = openAccessStore(accessFile);
  if (!access.configured() && oidc === undefined) assertLoopback(listen.host);
  const copies = keepCopies(access, log);

  // Health answers from here on, so that an orchestrator sees why a start takes its time.
  let nc: NatsConnection | undefined;
  let partitions: Partition[] = [];
  let restored = false;
  const natsConnected = (): boolean => nc !== undefined && connectionState(nc).connected();
  const opsListener = createOperationsListener({
    metrics,
    checks: {
      restored: () => ({ ok: restored, detail: restored ? 'state restored' : 'state not restored yet' }),
      natsConnected: () => ({ ok: natsConnected(), detail: natsConnected() ? 'connected' : 'waiting for NATS' }),
      reading: () => {
        const ok = partitions.length > 0 && partitions.every(({ source }) => source.connected());
        return { ok, detail: ok ? 'records are being read' : 'records are not being read' };
      },
      durable: () => {
        const trouble = partitions.map(({ pipeline }) => pipeline.diskTrouble()).find((detail) => detail !== '');
        return { ok: trouble === undefined, detail: trouble ?? 'checkpoints are written' };
      },
    },
    figures: () =>
      Object.fromEntries(partitions.map(({ number, source }) => [`lagMessages.${number}`, source.pending()])),
  });
  const opsUrl = await opsListener.listen(opsListen.host, opsListen.port);

  const closers: (() => Promise<void> | void)[] = [
    () => copies.close().then(() => access.close()),
    () => opsListener.close(),
  ];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.reverse()) await close();
  };

  try {
    const connection = await connectNats(config.nats.split(','), {
      name: 'ringfence',
      ...(options.signal && { signal: options.signal }),
      log: (sentence) => log.warn({ detail: sentence }, 'nats connection'),
    });
    nc = connection;
    closers.push(() => connection.close());
    const { warnings } = await ensureStreams(connection, {
      partitions: config.partitions,
      retentionDays: config.retentionDays,
    });
    for (const warning of warnings) log.warn({ detail: warning }, 'stream settings');
    const js = jetstream(connection);
    // It answers: the streams are there.
    const jsm = await jetstreamManager(connection, { checkAPI: false });

    const onTrouble = (sentence: string): void => log.warn({ detail: sentence }, 'publishing waits');
    const deadLetters = createDeadLetterSink(js, jsm, { onTrouble, allowGap: config.allowDataLoss });
    closers.push(() => deadLetters.close());
    // A rule set must reach the stream however long that takes; a tick that does not is followed by another.
    const control = createDurablePublisher(js, onTrouble);
    closers.push(() => control.close());
    const desk = await openRuleDesk({ nc: connection, js, jsm, metrics, log, signal: options.signal });
    desk.ended.catch(() => {});
    closers.push(() => desk.close());
    const served = createServedRules({ config, folder, desk, control, jsm, metrics, log });
    const { first } = served;
    const declareRules = (): void => {
      const { version, rules } = partitions[0]!.engine.ruleSet();
      metrics.declareRules(
        version,
        rules.map(({ rule }) => ({ ...rule, shadow: isShadow(rule) })),
      );
    };

    const dataFolder = claimDataFolder(config.data);
    const memory = startMemoryThread();
    closers.push(() => memory.close());
    for (let number = 0; number < config.partitions; number++) {
      const directory = join(config.data, `partition-${number}`);
      const stream = usageStream(number, config.partitions);
      const checkpoints = startCheckpointThread();
      closers.push(() => checkpoints.close());
      const spill = openSpillStore(directory, {
        onRead: (seconds) => metrics.spillReadSeconds.observe({ when: 'within' }, seconds),
      });
      closers.push(() => spill.close());
      const partition = await startPartition({
        number,
        stream,
        engine: newEngine({ spill: { store: spill, ...residentLimits(config) }, memory }),
        first,
        spill,
        checkpoints: {
          load: (memory, refuse) => loadCheckpoint<EngineMeta>(directory, memory, refuse),
          remove: (bad) => removeCheckpoint(directory, bad),
          async store(position, cut, hurry) {
            dataFolder.assertOurs();
            try {
              return await checkpoints.write(directory, position, cut, hurry);
            } catch (error) {
              // Frozen in the middle of it and replaced: what was begun was cleared away by the new owner.
              dataFolder.assertOurs();
              throw error;
            }
          },
        },
        checkpointEveryMs: config.checkpointIntervalSec * 1000,
        connection,
        js,
        jsm,
        deadLetters,
        control,
        publishRules: (message) => publishRuleSet(control, number, message),
        onRules(applied) {
          declareRules();
          if (number === 0) served.swapped(partition.engine, applied);
        },
        alertSource: config.source,
        allowDataLoss: config.allowDataLoss,
        metrics,
        log,
        onTrouble,
        onOpened: (close) => closers.push(close),
        ...(options.signal && { signal: options.signal }),
      });
      const { restored: from } = partition;
      partitions = [...partitions, partition];
      // The rules of the very first record must be known after a crash too, so the empty state is written at once.
      if (from.fresh) await partition.pipeline.checkpoint();
      // What is in force when the stream has been read to its end, sets in the part that is still to be read included.
      const pending = await lastRuleSet(control, jsm, stream, number);
      const version = pending !== undefined && pending.sequence > from.sequence ? pending.version : from.version;
      // A folder that is as it was does not undo what has been applied since.
      if (version === first.version) continue;
      const seen = served.folderSeen();
      if (seen === 'damaged') log.error({}, 'the note about the rules folder is damaged, so rules in force stay');
      if (seen === 'changed') await publishRuleSet(control, number, { version: first.version, files: first.files });
      else
        log.info(
          { partition: number, version },
          'the rules folder has not changed, other rules have been applied since',
        );
    }
    restored = true;
    declareRules();
    watchFigures(metrics, partitions, deadLetters, residentLimits(config));

    const engineOf = (msisdn: string): Engine => partitions[partitionOf(msisdn, config.partitions)]!.engine;
    served.start(partitions);
    closers.push(() => served.close());
    const bench = createTestBench({ ...config, numberingPlanFile, nats: config.nats.split(',') }, metrics);
    closers.push(() => bench.close());

    const records = createRecordSearch({ nats: config.nats.split(','), partitions: config.partitions }, metrics);
    closers.push(() => records.close());

    const consoleDir = join(projectFolder, 'dist/console');
    const gateway = await createGateway({
      nc: connection,
      js,
      jsm,
      partitions: config.partitions,
      deadLetters,
      inspectSubscriber: (msisdn) => engineOf(msisdn).inspectSubscriber(msisdn),
      records,
      rules: served.rules,
      ruleChanges: { ...served.changes, bench },
      lists: served.lists,
      churn: () => churnReportOf(partitions.map(({ engine }) => engine)),
      operations: createOperations({ metrics, ready: () => opsListener.ready(), natsConnected }),
      access,
      oidc,
      timeZone: config.timeZone,
      metrics,
      log,
      consoleDir,
      dataDir: config.data,
      allowedOrigins: [...config.allowedOrigins],
      webhooks,
      source: config.source,
      casePolicy: { sla: config.caseSla, controlShare: config.controlGroupShare },
    });
    closers.push(() => gateway.close());
    gateway.ended.catch(() => {});
    const httpUrl = await gateway.listen(listen.host, listen.port);

    let stopped = false;
    const stop = (): void => {
      if (stopped) return;
      stopped = true;
      for (const { pipeline } of partitions) pipeline.stop();
    };
    const ended = (async () => {
      try {
        await Promise.race([Promise.all(partitions.map(({ pipeline }) => pipeline.ended)), gateway.ended, desk.ended]);
      } finally {
        stop();
        await Promise.allSettled(partitions.map(({ pipeline }) => pipeline.ended));
        await closeAll();
      }
    })();
    return { http: httpUrl, ops: opsUrl, ended, stop };
  } catch (error) {
    for (const { pipeline } of partitions) pipeline.stop();
    await closeAll();
    throw error;
  }
}

/**
 * Takes the data folder from whoever had it. A process that was stopped, given up and continued finds that out at its next
 * checkpoint and ends: two owners would publish the same alerts, which the broker sees to, but would also replace each
 * other's checkpoints.
 */
function claimDataFolder(data: string): { assertOurs(): void } {
  const note = join(data, 'owner');
  const owner = `${randomUUID()} process ${process.pid}\n`;
  try {
    mkdirSync(data, { recursive: true });
    writeFileSync(note, owner);
  } catch (error) {
    throw new RingfenceError({
      code: 'data.unwritable',
      message: `The data folder ${data} cannot be written: ${(error as Error).message}.`,
      hint: 'Give a folder on a disk with room with --data.',
      cause: error,
    });
  }
  return {
    assertOurs() {
      const found = existsSync(note) ? readFileSync(note, 'utf8') : owner;
      if (found === owner) return;
      throw new RingfenceError({
        code: 'data.taken-over',
        message: `Another process has taken over the data folder ${data} (${found.trim().replace(/^\S+ /, '')}).`,
        hint: 'One process serves a data folder. Nothing is lost: the other one goes on from the last checkpoint.',
      });
    },
  };
}

function reportChurn(metrics: Metrics, partitions: Partition[]): void {
  const { churnForecasts, churnFit, churnDecile, churnPsi } = metrics;
  for (const gauge of [churnForecasts, churnFit, churnDecile, churnPsi]) gauge.reset();
  const report = churnReportOf(partitions.map(({ engine }) => engine));
  if (report === undefined) return;
  const { forecasts, brier, skill, auc, lift, rate, predicted, deciles, stability } = report;
  for (const [state, count] of Object.entries(forecasts)) churnForecasts.set({ state }, count);
  for (const [figure, value] of Object.entries({ brier, skill, auc, lift, rate, predicted }))
    if (value !== null) churnFit.set({ figure }, value);
  for (const { decile, predicted: mean, rate: left } of deciles) {
    churnDecile.set({ decile: String(decile), figure: 'predicted' }, mean);
    churnDecile.set({ decile: String(decile), figure: 'rate' }, left);
  }
  for (const { name, psi } of [{ name: 'score', ...stability.score }, ...stability.inputs])
    if (psi !== null) churnPsi.set({ of: name }, psi);
}

/** The share of one partition; 0 in the configuration is no limit. */
const residentLimits = ({ residentKeysMax, residentBytesMax, partitions }: Config) => ({
  blocksMax: residentKeysMax === 0 ? Number.POSITIVE_INFINITY : Math.ceil(residentKeysMax / partitions),
  bytesMax: residentBytesMax === 0 ? Number.POSITIVE_INFINITY : Math.ceil(residentBytesMax / partitions),
});

function watchFigures(
  metrics: Metrics,
  partitions: Partition[],
  deadLetters: DeadLetterSink,
  limits: ReturnType<typeof residentLimits>,
): void {
  const sumOf = (of: (partition: Partition) => number) => () => partitions.reduce((sum, one) => sum + of(one), 0);
  const many = partitions.length;
  metrics.trackQueue(
    'pulled_messages',
    PULLED_MESSAGES_MAX * many,
    sumOf(({ source }) => source.pulled().messages),
  );
  metrics.trackQueue(
    'pulled_bytes',
    PULLED_BYTES_MAX * many,
    sumOf(({ source }) => source.pulled().bytes),
  );
  metrics.trackQueue(
    'alerts_in_flight',
    ALERTS_IN_FLIGHT_MAX * many,
    sumOf(({ publisher }) => publisher.inFlight()),
  );
  metrics.trackQueue(
    'alerts_kept',
    ALERTS_KEPT_MAX * many,
    sumOf(({ publisher }) => publisher.kept()),
  );
  metrics.trackQueue('dead_letters_in_flight', LETTERS_IN_FLIGHT_MAX, deadLetters.inFlight);
  metrics.trackQueue('dead_letter_bytes_in_flight', LETTER_BYTES_IN_FLIGHT_MAX, deadLetters.inFlightBytes);
  const { blocksMax, bytesMax } = limits;
  if (blocksMax < Number.POSITIVE_INFINITY)
    metrics.trackQueue(
      'resident_blocks',
      blocksMax * many,
      sumOf(({ engine }) => engine.stats().residentBlocks),
    );
  if (bytesMax < Number.POSITIVE_INFINITY)
    metrics.trackQueue(
      'resident_bytes',
      bytesMax * many,
      sumOf(({ engine }) => engine.stats().usedBytes),
    );
  metrics.trackQueue(
    'spill_chunks_waiting',
    CHUNKS_WAITING_MAX * many,
    sumOf(({ spill }) => spill?.stats().chunksWaiting ?? 0),
  );
  metrics.trackQueue(
    'spill_segments',
    SEGMENTS_MAX * many,
    sumOf(({ spill }) => spill?.stats().segments ?? 0),
  );
  /** Counters of the stores as of the last scrape. */
  let seen = { spilled: 0, ahead: 0, within: 0, unwritten: 0 };
  metrics.onScrape(() => {
    const stores = partitions.flatMap(({ spill }) => (spill === undefined ? [] : [spill.stats()]));
    const total = (of: (stats: SpillStats) => number): number => stores.reduce((sum, stats) => sum + of(stats), 0);
    metrics.spilledBlocks.set(total(({ blocks }) => blocks));
    metrics.spilledBytes.set(total(({ bytes }) => bytes));
    metrics.spillDiskBytes.set(total(({ diskBytes }) => diskBytes));
    const now = { ...seen, spilled: total(({ spilled }) => spilled) };
    for (const read of SPILL_READS) {
      now[read] = total(({ returned }) => returned[read]);
      metrics.spillReturnsTotal.inc({ read }, now[read] - seen[read]);
    }
    metrics.evictionsTotal.inc(now.spilled - seen.spilled);
    seen = now;
  });
  metrics.onScrape(() => {
    let subscribers = 0;
    let blocks = 0;
    let bytes = 0;
    let timers = 0;
    let horizon = 0;
    for (const { number, engine, source, pipeline } of partitions) {
      const stats = engine.stats();
      subscribers += stats.subscribers - stats.spilledSubscribers;
      blocks += stats.residentBlocks;
      bytes += stats.stateBytes;
      timers += stats.timers;
      horizon += stats.duplicateHorizon;
      metrics.streamLagMessages.set({ partition: String(number) }, source.pending());
      metrics.backfillLagMessages.set({ partition: String(number) }, pipeline.backfillPending());
      const watermark = engine.watermark();
      if (Number.isFinite(watermark))
        metrics.watermarkLagSeconds.set({ partition: String(number) }, (Date.now() - watermark) / 1000);
    }
    reportChurn(metrics, partitions);
    metrics.subscribersResident.set(subscribers);
    metrics.residentBlocks.set(blocks);
    metrics.stateBytes.set(bytes);
    metrics.timersPending.set(timers);
    metrics.duplicateHorizonRecords.set(horizon);
    metrics.alertPublishInFlight.set(partitions.reduce((sum, { publisher }) => sum + publisher.inFlight(), 0));
  });
}

/** A copy of users, keys and audit log at the start and whenever something has changed, at most so often. */
function keepCopies(access: AccessStore, log: Log): { close(): Promise<void> } {
  let copied = -1;
  let running: Promise<void> = Promise.resolve();
  const keep = (): void => {
    const version = access.version();
    if (version === copied || !access.configured()) return;
    copied = version;
    running = access.keepCopy().catch((error: unknown) => {
      // The file itself is as good as before; the next turn tries again.
      copied = -1;
      log.error({ err: error }, 'no copy of the access file can be kept');
    });
  };
  keep();
  const timer = setInterval(() => void running.then(keep), ACCESS_COPY_MS);
  timer.unref();
  return {
    close() {
      clearInterval(timer);
      return running;
    },
  };
}

/** The identity provider of the configuration, with its secret; undefined where there is none. */
function oidcSettings({ access }: Config): GatewayOptions['oidc'] {
  const { oidc } = access;
  if (oidc === undefined) return undefined;
  const { clientSecretFile, scope = 'openid profile', signedWith = 'RS256', ...settings } = oidc;
  if (clientSecretFile === undefined) return { ...settings, scope, signedWith, clientSecret: undefined };
  try {
    return { ...settings, scope, signedWith, clientSecret: readFileSync(clientSecretFile, 'utf8').trim() };
  } catch (error) {
    throw new RingfenceError({
      code: 'config.secret',
      message: `The secret of the identity provider cannot be read: ${(error as Error).message}.`,
      hint: 'access.oidc.clientSecretFile names a file that the user of this process can read.',
    });
  }
}
