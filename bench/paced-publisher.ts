/**
 * A worker thread that publishes live usage records at a steady rate. It has a thread of its own so that the client in the
 * main thread, whose clock ends each measurement, never waits for it. The record id of a long call is the moment
 * at which it was handed to the broker's client, on the monotonic clock that all threads of a machine share.
 *
 * All records are drawn and written as JSON before the first is published: that takes 8 us each, more than publishing them,
 * and a load of 50,000 a second would take from `serve` the core that it is measured on.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { createUsagePublisher, type UsagePublisher } from '../src/cli/usage-publisher.ts';
import type { RawRecord } from '../src/feed/raw-record.ts';
import { connectNats } from '../src/source/connection.ts';
import { eventRecordsPerSecond, LONG_CALL, usageRecords } from './usage-stream.ts';

export interface PacedOptions {
  nats: string;
  /** Records in a second. */
  rate: number;
  /** Records to a message. */
  batch: number;
  /** Of the first records: published as fast as they can be, and waited for, before the pace begins. */
  residentRecords: number;
  /** Before anything counts. */
  warmUpSeconds: number;
  measuredSeconds: number;
  subscribers: number;
  recordsPerLongCall: number;
  draw: number;
}

export interface PacedResult {
  /** What was really sent in the measured time, records in a second. */
  recordsPerSecond: number;
  /** How far the publisher was behind its own plan at worst, in the measured time. */
  behindMsMax: number;
  /** Monotonic time at which the measured part began; long calls of before do not count. */
  measuredFrom: number;
  longCalls: number;
}

/** Milliseconds on the clock that all threads and processes of a machine share. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Time at which the record of that id was published; undefined where it is not one of ours. */
export function publishedAt(recordId: string): number | undefined {
  return recordId.startsWith(LONG_CALL) ? Number(recordId.slice(LONG_CALL.length)) : undefined;
}

/**
 * Publishes in a thread of its own; resolves when the broker has stored everything. `resident` is awaited between the resident
 * records and those at a pace.
 */
export function publishPaced(options: PacedOptions, resident: () => Promise<void>): Promise<PacedResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: options });
    worker.on('message', (message: PacedResult | typeof RESIDENT) => {
      if (message !== RESIDENT) resolve(message);
      else resident().then(() => worker.postMessage(RESIDENT), reject);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the publisher ended with code ${code}`)));
  });
}

/** Said by the publisher when the resident records are stored, and to it when they have been applied. */
const RESIDENT = 'resident';
const RESIDENT_BATCH = 256;
/** The clock ticks in whole milliseconds, so this is the finest pace there is. */
const PACE_MS = 1;

/** JSON of many records, without an object for each. */
interface Bodies {
  slabs: Buffer[];
  /** Of each record: its slab, where it begins in it, and its length. */
  slab: Uint16Array;
  at: Uint32Array;
  length: Uint16Array;
  recordType: string[];
  /** The long calls by position: they get their id, and so their JSON, when they are published. */
  longCalls: Map<number, RawRecord>;
}

const SLAB_BYTES = 64 * 1024 * 1024;
/** More than any record of the workload has. */
const BODY_BYTES_MAX = 4_096;

function drawBodies(records: Iterable<RawRecord>, count: number): Bodies {
  const bodies: Bodies = {
    slabs: [],
    slab: new Uint16Array(count),
    at: new Uint32Array(count),
    length: new Uint16Array(count),
    recordType: [],
    longCalls: new Map(),
  };
  let used = SLAB_BYTES;
  let position = 0;
  for (const record of records) {
    bodies.recordType.push(record.recordType);
    if (record.recordId === LONG_CALL) {
      bodies.longCalls.set(position++, record);
      continue;
    }
    if (used + BODY_BYTES_MAX > SLAB_BYTES) {
      bodies.slabs.push(Buffer.allocUnsafeSlow(SLAB_BYTES));
      used = 0;
    }
    const length = bodies.slabs.at(-1)!.write(JSON.stringify(record), used);
    bodies.slab[position] = bodies.slabs.length - 1;
    bodies.at[position] = used;
    bodies.length[position++] = length;
    used += length;
  }
  return bodies;
}

async function publish(options: PacedOptions, port: MessagePort): Promise<PacedResult> {
  const { rate, batch, residentRecords, warmUpSeconds, measuredSeconds } = options;
  const warmUp = Math.floor(rate * warmUpSeconds);
  const count = residentRecords + Math.ceil(rate * (warmUpSeconds + measuredSeconds));
  const recordsPerSecond = eventRecordsPerSecond(options.subscribers);
  const bodies = drawBodies(
    usageRecords({
      ...options,
      count,
      // The last record is of about the moment at which the first is published.
      startAt: Date.now() - (count / recordsPerSecond) * 1e3,
      recordsPerSecond,
      profilesFirst: true,
      longCallId: () => LONG_CALL,
    }),
    count,
  );
  const take = (publisher: UsagePublisher, position: number): Promise<void> | undefined => {
    const longCall = bodies.longCalls.get(position);
    const at = bodies.at[position]!;
    const body =
      longCall === undefined
        ? bodies.slabs[bodies.slab[position]!]!.subarray(at, at + bodies.length[position]!)
        : Buffer.from(JSON.stringify({ ...longCall, recordId: `${LONG_CALL}${monotonicMs().toFixed(3)}` }));
    publisher.record(body, { recordType: bodies.recordType[position] });
    return publisher.room();
  };
  const nc = await connectNats(options.nats, { name: 'ringfence bench publisher' });
  if (residentRecords > 0) {
    const publisher = createUsagePublisher(nc, { partitions: 1, batch: RESIDENT_BATCH });
    for (let position = 0; position < residentRecords; position++) {
      const room = take(publisher, position);
      if (room !== undefined) await room;
    }
    await publisher.drained();
    publisher.close();
    port.postMessage(RESIDENT);
    await once(port, 'message');
  }
  const publisher = createUsagePublisher(nc, { partitions: 1, batch });
  const begun = performance.now();
  let behindMsMax = 0;
  let measuredBegun = begun;
  let measuredFrom = monotonicMs();
  for (let position = residentRecords; position < count; position++) {
    const room = take(publisher, position);
    if (room !== undefined) await room;
    const sent = position + 1 - residentRecords;
    let aheadMs = (sent / rate) * 1e3 - (performance.now() - begun);
    if (sent > warmUp) behindMsMax = Math.max(behindMsMax, -aheadMs);
    while (aheadMs > 0) {
      await sleep(PACE_MS);
      aheadMs = (sent / rate) * 1e3 - (performance.now() - begun);
    }
    if (sent === warmUp) {
      measuredBegun = performance.now();
      measuredFrom = monotonicMs();
    }
  }
  const seconds = (performance.now() - measuredBegun) / 1e3;
  await publisher.drained();
  publisher.close();
  await nc.close();
  return {
    recordsPerSecond: (count - residentRecords - warmUp) / seconds,
    behindMsMax,
    measuredFrom,
    longCalls: bodies.longCalls.size,
  };
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(await publish(workerData as PacedOptions, parentPort));
