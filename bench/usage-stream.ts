/**
 * A private broker with usage records in it, for the suites that read them back: `transport` and `end-to-end` read the same
 * records. Among them, evenly spread and always the last one, are calls of 8,000 s: each is the first thing that is heard of
 * its subscriber, and each makes rule F09 fire, so it is known which alerts must come out.
 */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { createUsagePublisher } from '../src/cli/usage-publisher.ts';
import { DEFAULTS } from '../src/config.ts';
import { mixedRecords } from '../src/feed/mixed-records.ts';
import type { RawRecord } from '../src/feed/raw-record.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { connectNats } from '../src/source/connection.ts';
import { ensureStreams, usageStream } from '../src/source/streams.ts';

/** The rules that the first floor is about; with the whole pack many more windows and rules see each record. */
export const TWELVE = ['F03', 'F05', 'F09', 'F23', 'F26', 'F27', 'A02', 'A07', 'A10', 'C01', 'C02', 'C09'];
/** Of the usage streams of the benchmarks there is one. */
export const STREAM = usageStream(0, 1);
/** A long call in so many records of a filled stream. */
const RECORDS_PER_LONG_CALL = 1_000;
/**
 * How fast event time moves, whatever the rate on the wire: so many records of a subscriber in a day are what operators see.
 * At 20,000 records a second of 200,000 subscribers a clock like that of the wall would make everybody's minute that of a fraudster.
 */
const RECORDS_PER_SUBSCRIBER_DAY = 100;
export const eventRecordsPerSecond = (subscribers: number): number =>
  (subscribers * RECORDS_PER_SUBSCRIBER_DAY) / 86_400;
/** What the record ids of long calls begin with; in a filled stream their position follows. */
export const LONG_CALL = 'long-call.';
/** The numbers of their callers lie outside the population's. */
const CALLER_PREFIX = '86188';
const CALLERS_PER_DRAW = 10_000_000;

/** Fires F09 at once: two hours and a quarter, by day and by night. */
function longCall(number: number, recordId: string, eventTime: number): RawRecord {
  const caller = String(number).padStart(8, '0');
  return {
    recordId,
    recordType: 'voice',
    eventTime,
    servedMsisdn: CALLER_PREFIX + caller,
    servedImsi: `4600088${caller}`,
    direction: 'mo',
    otherNumber: '8613700000000',
    durationSec: 8_000,
    causeForTerm: 'normal',
    cellId: '460-00-100-1000',
    servingPlmn: '46000',
    charge: 13.4,
  };
}

export interface UsageRecordsOptions {
  count: number;
  subscribers: number;
  startAt: number;
  /** How fast event time moves. */
  recordsPerSecond: number;
  /** Every so manieth record is a long call, and the last one. */
  recordsPerLongCall: number;
  /** Begins with a profile of each subscriber, or each would be a ghost to rule F42. */
  profilesFirst: boolean;
  /** Another draw has other ids, and other callers of long calls. */
  draw?: number;
  /** Record id of a long call; made when it is drawn, so it can carry the time. */
  longCallId?(number: number): string;
}

/** Records in the order of their event times. */
export function* usageRecords(options: UsageRecordsOptions): Generator<RawRecord, void, undefined> {
  const { count, recordsPerLongCall, draw = 0, longCallId = (number) => `${LONG_CALL}${number}` } = options;
  let position = 0;
  for (const record of mixedRecords({ ...options, seed: 1, draw, distribution: 'uniform' })) {
    position++;
    if (position % recordsPerLongCall === 0 || position === count) {
      const number = draw * CALLERS_PER_DRAW + position;
      yield longCall(number, longCallId(number), record.eventTime);
    } else {
      yield record;
    }
  }
}

/** Long calls among so many records of a filled stream. */
export const longCallsAmong = (count: number): number => Math.ceil(count / RECORDS_PER_LONG_CALL);

export interface Bench {
  broker: Broker;
  nc: NatsConnection;
  jsm: JetStreamManager;
  close(): Promise<void>;
}

/** A broker of our own with empty streams. */
export async function openBench(): Promise<Bench> {
  const broker = await startBroker();
  const nc = await connectNats(broker.url, { name: 'ringfence bench' });
  await ensureStreams(nc, { partitions: 1, retentionDays: DEFAULTS.retentionDays });
  return {
    broker,
    nc,
    jsm: await jetstreamManager(nc),
    async close() {
      await nc.close();
      await broker.stop();
    },
  };
}

/** Replaces what is in the usage stream. Resolves with the sequence of its last message. */
export async function fillUsageStream(
  { nc, jsm }: Bench,
  options: { count: number; subscribers: number; batch: number },
): Promise<number> {
  await jsm.streams.purge(STREAM);
  const { count, subscribers, batch } = options;
  const recordsPerSecond = eventRecordsPerSecond(subscribers);
  // It ends a minute before now, however long that stretch of event time is.
  const startAt = Date.now() - 60_000 - (count / recordsPerSecond) * 1_000;
  const records = usageRecords({
    count,
    subscribers,
    startAt,
    recordsPerSecond,
    recordsPerLongCall: RECORDS_PER_LONG_CALL,
    profilesFirst: true,
  });
  const publisher = createUsagePublisher(nc, { partitions: 1, batch });
  try {
    for (const record of records) {
      publisher.record(Buffer.from(JSON.stringify(record)), record);
      const room = publisher.room();
      if (room !== undefined) await room;
    }
    await publisher.drained();
  } finally {
    publisher.close();
  }
  return (await jsm.streams.info(STREAM)).state.last_seq;
}
