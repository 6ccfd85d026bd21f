/**
 * Records that come by HTTP: decoded to tell good from bad, then published to the USAGE stream as they were written,
 * fields unknown to us included. The answer waits for the broker: what is counted as accepted is durable, and what
 * is counted as rejected is in the dead-letter stream. After a failure the caller sends everything again, and records
 * that were published nevertheless are recognised by their id.
 */
import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Metrics } from '../metrics.ts';
import { decodeMessage } from '../record/decode.ts';
import type { DeadLetterSink } from '../sinks/dead-letter.ts';
import { beyondBroker, elementsOf, messagesOf, recordBytesMaxOf, type UsageElement } from '../source/usage-messages.ts';
import { ProblemError } from './problem.ts';
import type { UsageResult } from './schemas.ts';

/** Messages of all requests together that the broker has not acknowledged. */
const IN_FLIGHT_MAX = 1_024;
/** The broker acknowledges in milliseconds; a cluster that changes its leader may take some seconds. */
const ACK_LIMIT_MS = 5_000;
/** An event may be this far ahead of our clock; the engine checks again with the broker's. */
const FUTURE_MAX_MS = 10 * 60_000;

/** Takes a body. @throws ProblemError 503 where the broker did not acknowledge everything. */
export type UsageIntake = (body: Uint8Array, contentType: string | undefined) => Promise<UsageResult>;

export function createUsageIntake(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  partitions: number;
  deadLetters: DeadLetterSink;
  metrics: Metrics;
}): UsageIntake {
  const { nc, js, partitions, deadLetters, metrics } = options;
  let inFlight = 0;
  metrics.trackQueue('http_publish', IN_FLIGHT_MAX, () => inFlight);

  return async (body, contentType) => {
    const { records, rejections } = decodeMessage(body, {
      eventTimeMax: Date.now() + FUTURE_MAX_MS,
      contentType,
    });

    const recordBytesMax = recordBytesMaxOf(nc);
    const good: UsageElement[] = [];
    for (const element of elementsOf(body, contentType, records, rejections)) {
      if (element.bytes.length <= recordBytesMax) good.push(element);
      else rejections.push(beyondBroker(element, recordBytesMax));
    }

    // Good records first: if that fails nothing was rejected yet, and a second attempt rejects once.
    const messages = messagesOf(good, partitions, recordBytesMax);
    if (inFlight + messages.length > IN_FLIGHT_MAX) throw unavailable('Too many records wait for NATS.');
    inFlight += messages.length;
    const acks = await Promise.allSettled(
      messages.map(({ subject, payload }) => js.publish(subject, payload, { timeout: ACK_LIMIT_MS })),
    );
    inFlight -= messages.length;
    if (acks.some(({ status }) => status === 'rejected')) {
      throw unavailable('NATS did not acknowledge all records; send them again, those that arrived count once.');
    }

    if (rejections.length > 0 && !(await resolvesWithin(ACK_LIMIT_MS, deadLetters.room()))) {
      throw unavailable('Too many rejected records wait for NATS.');
    }
    for (const rejection of rejections) {
      deadLetters.publish(rejection, { subject: 'http' });
      metrics.countRecords(rejection.recordType ?? 'unknown', 'rejected');
      metrics.deadLettersTotal.inc({ reason: rejection.reason });
    }
    if (rejections.length > 0 && !(await resolvesWithin(ACK_LIMIT_MS, deadLetters.drained()))) {
      throw unavailable('NATS did not acknowledge the rejected records; send them again.');
    }
    return {
      accepted: good.length,
      rejected: rejections.length,
      errors: rejections
        .sort((a, b) => a.index - b.index)
        .map(({ index, recordId, field, reason, detail }) => ({ index, recordId, field, reason, detail })),
    };
  };
}

function unavailable(detail: string): ProblemError {
  return new ProblemError(503, detail, { headers: { 'Retry-After': '1' } });
}

/** False where the promise did not resolve in time. */
async function resolvesWithin(limitMs: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limitMs);
  const inTime = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}
