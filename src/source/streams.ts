/**
 * The JetStream streams and their settings: USAGE (one per partition), ALERTS, SHADOW (alerts of draft rules, kept as long as
 * records), DEADLETTER, CASES, RULES (what was proposed, decided and changed of rules).
 *
 * All use file storage and limits retention: work-queue retention has repeated reports of loss, and a replay needs the
 * records that were already read. What is missing is created. A stream that somebody else made is used as it is: only
 * other subjects or another retention policy make it unusable; other limits give a warning and are left alone.
 *
 * `Nats-Msg-Id` is honoured where a producer sends it: each stream keeps the server's duplicate window of 2 min.
 * That window is a convenience for producers; nothing here relies on it, because an outage may be longer.
 */
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';

export const ALERTS_STREAM = 'ALERTS';
const SHADOW_STREAM = 'SHADOW';
export const DEADLETTER_STREAM = 'DEADLETTER';
export const CASES_STREAM = 'CASES';
export const RULES_STREAM = 'RULES';

/** A server with JetStream may need to recover its streams, a cluster to elect a leader. */
const JETSTREAM_READY_LIMIT_MS = 30_000;
/** A server that announces no JetStream of its own may still be connected to one that has it. */
const JETSTREAM_FOUND_LIMIT_MS = 2_000;
const JETSTREAM_READY_PAUSE_MS = 250;
const ATTEMPTS_MIN = 3;
const CONSUMER_KEPT_NANOS = 10e9;
const NANOS_PER_DAY = 86_400e9;

export interface StreamRetention {
  /** Days that records, alerts and rejected records are kept; cases and changes of rules are kept for ever. */
  usage: number;
  alerts: number;
  deadletter: number;
}

/** Name of the stream that holds a partition. */
export function usageStream(partition: number, partitions: number): string {
  return partitions === 1 ? 'USAGE' : `USAGE_${partition}`;
}

/**
 * Partition of a subscriber: FNV-1a over the bytes, 32 bits, modulo P. It is the function behind the NATS subject
 * mapping `{{partition(P, token)}}`, so a mapping on the server and a producer here always agree.
 */
export function partitionOf(servedMsisdn: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < servedMsisdn.length; i++) {
    // An MSISDN is ASCII digits, so its UTF-16 units are its bytes.
    hash = Math.imul(hash ^ servedMsisdn.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % partitions;
}

/** How many partitions the streams of a broker have. @throws RingfenceError `streams.none` */
export async function partitionsFound(jsm: JetStreamManager): Promise<number> {
  const names = await streamNames(jsm);
  if (names.has(usageStream(0, 1))) return 1;
  let partitions = 0;
  while (names.has(usageStream(partitions, 2))) partitions++;
  if (partitions > 0) return partitions;
  throw noStream('USAGE');
}

/** @throws RingfenceError `streams.none` where one of them is not there */
export async function requireStreams(jsm: JetStreamManager, wanted: readonly string[]): Promise<void> {
  const names = await streamNames(jsm);
  const missing = wanted.find((name) => !names.has(name));
  if (missing !== undefined) throw noStream(missing);
}

async function streamNames(jsm: JetStreamManager): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const name of jsm.streams.names()) names.add(name);
  return names;
}

const noStream = (name: string): RingfenceError =>
  new RingfenceError({
    code: 'streams.none',
    message: `There is no stream ${name} on this NATS server.`,
    hint: 'Give the server of the running deployment with --nats.',
  });

/** The server takes the first instant of 1970 for none at all, and no year of more than four digits. */
const START_TIME_MS_MIN = 1;
const START_TIME_MS_MAX = Date.UTC(9999, 11, 31);

/** Sequence of the first message that was stored at this time or later; one behind the last where there is none. */
export async function sequenceAt(jsm: JetStreamManager, stream: string, timeMs: number): Promise<number> {
  const { name, delivered } = await jsm.consumers.add(stream, {
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(Math.min(Math.max(timeMs, START_TIME_MS_MIN), START_TIME_MS_MAX)).toISOString(),
    ack_policy: AckPolicy.None,
    inactive_threshold: CONSUMER_KEPT_NANOS,
    mem_storage: true,
    num_replicas: 1,
  });
  // The server has looked it up already, so nothing needs to be pulled. Where it is gone by now, or the connection is, the server
  // has removed it or will.
  await jsm.consumers.delete(stream, name).catch(() => {});
  return delivered.stream_seq + 1;
}

/**
 * Creates the streams that are missing and checks those that exist.
 * @throws RingfenceError (exit 3) `streams.subjects`, `streams.retention`, `streams.overlap`, `streams.unavailable`.
 */
export async function ensureStreams(
  nc: NatsConnection,
  options: { partitions: number; retentionDays: StreamRetention },
): Promise<{ warnings: string[] }> {
  const { partitions, retentionDays } = options;
  const wanted = Array.from({ length: partitions }, (_, partition) =>
    streamConfig(
      usageStream(partition, partitions),
      partitions === 1 ? 'usage.>' : `usage.${partition}.>`,
      retentionDays.usage,
    ),
  );
  wanted.push(
    streamConfig(ALERTS_STREAM, 'alerts.>', retentionDays.alerts),
    streamConfig(SHADOW_STREAM, 'shadow.>', retentionDays.usage),
    streamConfig(DEADLETTER_STREAM, 'deadletter.>', retentionDays.deadletter),
    streamConfig(CASES_STREAM, 'cases.>', 0),
    streamConfig(RULES_STREAM, 'rules.>', 0),
  );
  const jsm = await readyManager(nc);
  const warnings: string[] = [];
  for (const config of wanted) {
    const found = await existing(nc, jsm, config.name);
    if (found !== undefined) {
      warnings.push(...compare(config, found));
      continue;
    }
    try {
      await answered(nc, JETSTREAM_READY_LIMIT_MS, () => jsm.streams.add(config), isApiError);
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
      // A second process may have created it since we looked.
      const created = await existing(nc, jsm, config.name);
      if (created === undefined) throw creationFailed(config, error);
      warnings.push(...compare(config, created));
    }
  }
  return { warnings };
}

type WantedStream = Pick<
  StreamConfig,
  'name' | 'subjects' | 'storage' | 'retention' | 'discard' | 'max_age' | 'allow_direct'
>;

function streamConfig(name: string, subject: string, days: number): WantedStream {
  return {
    name,
    subjects: [subject],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: days * NANOS_PER_DAY,
    // The last message of a subject (the newest revision of an alert) can be read from any replica.
    allow_direct: true,
  };
}

const readyManager = (nc: NatsConnection): Promise<JetStreamManager> =>
  answered(nc, nc.info?.jetstream === true ? JETSTREAM_READY_LIMIT_MS : JETSTREAM_FOUND_LIMIT_MS, () =>
    jetstreamManager(nc),
  );

/**
 * Asks again where no answer comes: a server that starts, elects a leader or is busy takes its time. An error that is `final` is
 * one.
 */
async function answered<T>(
  nc: NatsConnection,
  limitMs: number,
  request: () => Promise<T>,
  isFinal: (error: unknown) => boolean = () => false,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await request();
    } catch (error) {
      if (isFinal(error)) throw error;
      // The clock goes on while this machine stands still, so one attempt is not enough.
      if ((Date.now() > deadline && attempt >= ATTEMPTS_MIN) || nc.isClosed()) {
        throw new RingfenceError({
          code: 'streams.unavailable',
          message: `JetStream does not answer on this NATS server (${error instanceof Error ? error.message : error}).`,
          hint: 'Start nats-server with JetStream (-js), and check that the account may use it.',
          cause: error,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, JETSTREAM_READY_PAUSE_MS));
    }
  }
}

const isApiError = (error: unknown): boolean => error instanceof JetStreamApiError;

/** The configuration of a stream, undefined where there is none. */
async function existing(nc: NatsConnection, jsm: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await answered(nc, JETSTREAM_READY_LIMIT_MS, () => jsm.streams.info(name), isApiError)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** Warnings about limits that differ; refuses what cannot work. */
function compare(wanted: WantedStream, found: StreamConfig): string[] {
  const subjects = [...(found.subjects ?? [])].sort().join(', ');
  if (subjects !== wanted.subjects.join(', ')) {
    throw new RingfenceError({
      code: 'streams.subjects',
      message: `Stream ${wanted.name} exists with the subjects ${subjects || '(none)'} instead of ${wanted.subjects.join(', ')}.`,
      hint: `Rename or delete that stream, or change its subjects with \`nats stream edit ${wanted.name}\`.`,
    });
  }
  if (found.retention !== wanted.retention) {
    throw new RingfenceError({
      code: 'streams.retention',
      message: `Stream ${wanted.name} exists with ${found.retention} retention instead of limits retention.`,
      hint: 'The retention policy of a stream cannot be changed in place: rename or delete that stream.',
    });
  }
  const age = (nanos: number): string => (nanos === 0 ? 'for ever' : `${nanos / NANOS_PER_DAY} days`);
  const limit = (value: number): string => (value <= 0 ? 'none' : String(value));
  const differences: [what: string, is: string, expected: string][] = [
    ['storage', found.storage, wanted.storage],
    ['age limit', age(found.max_age), age(wanted.max_age)],
    ['message limit', limit(found.max_msgs), 'none'],
    ['byte limit', limit(found.max_bytes), 'none'],
    ['message size limit', limit(found.max_msg_size), 'none'],
    ['message limit for each subject', limit(found.max_msgs_per_subject), 'none'],
    ['discard policy', found.discard, wanted.discard],
    ['direct get', String(found.allow_direct ?? false), 'true'],
  ];
  return differences
    .filter(([, is, expected]) => is !== expected)
    .map(
      ([what, is, expected]) =>
        `stream ${wanted.name} is used as it is: its ${what} is ${is}, the default is ${expected}`,
    );
}

/** JetStream's error codes for subjects that another stream already holds. */
const SUBJECTS_OVERLAP_CODES = [10065, 10052];

function creationFailed(config: WantedStream, error: JetStreamApiError): RingfenceError {
  const subjects = config.subjects.join(', ');
  const overlap = SUBJECTS_OVERLAP_CODES.includes(error.code);
  return new RingfenceError({
    code: overlap ? 'streams.overlap' : 'streams.not-created',
    message: overlap
      ? `Stream ${config.name} cannot be created because another stream already holds ${subjects}.`
      : `Stream ${config.name} cannot be created: ${error.message}.`,
    hint: overlap
      ? 'Look for it with `nats stream ls --subject`, then rename it or take the subjects from it.'
      : 'Check the limits and permissions of the account.',
    cause: error,
  });
}
