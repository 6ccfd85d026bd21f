/**
 * Sends usage records to JetStream as fast as acknowledgements allow: many messages in flight, each kept until the broker
 * has stored it. Used by `publish`, the demo and the benchmarks.
 *
 * It does not use the client's request per message: one subscription takes all acknowledgements, which is twice as
 * fast (measured on two shared cores: 75,000 against 32,000 single records/s). A message whose
 * acknowledgement does not come is sent again, after a reconnect at once. It can then be in the stream twice; the engine
 * counts a recordId once.
 */
import { createInbox, type NatsConnection } from '@nats-io/transport-node';
import { RingfenceError } from '../errors.ts';
import { RECORD_TYPES } from '../record/usage-record.ts';
import { connectionState } from '../source/connection.ts';
import { partitionOf } from '../source/streams.ts';

/** Both bounds hold; the first is for single records, the second for batches. */
const IN_FLIGHT_MESSAGES_MAX = 1024;
const IN_FLIGHT_BYTES_MAX = 16 << 20;
/** A broker that syncs its disk can take seconds; after that the message is taken for lost. */
const ACKNOWLEDGEMENT_LIMIT_MS = 5_000;
/** How often lost messages and batches that wait for more records are looked for. */
const SWEEP_MS = 500;
/** A batch that is not full leaves after this long, so that a slow feed is still a live one. */
const BATCH_WAIT_MS = 500;
/** Pause before a message is sent again that the broker refused for now. */
const REFUSED_PAUSE_MS = 500;
/** What the server allows unless it says otherwise. */
const MAX_PAYLOAD_DEFAULT = 1 << 20;

const KNOWN_TYPES: ReadonlySet<string> = new Set(RECORD_TYPES);
const OPENING = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']');

/** Where a record goes; all that is read of it. */
export interface RecordAddress {
  recordType?: unknown;
  servedMsisdn?: unknown;
  servingPlmn?: unknown;
}

export interface UsagePublisher {
  /**
   * Takes one record as JSON; the bytes must stay as they are until they are stored. False where the record alone is
   * larger than the server takes: it is not sent.
   */
  record(json: Uint8Array, address: RecordAddress): boolean;
  /** Sends bytes that are no record as a message of their own, so that the engine can reject them. False as above. */
  opaque(bytes: Uint8Array): boolean;
  /** Undefined where there is room for more; else resolves when there is. To be awaited before each record. */
  room(): Promise<void> | undefined;
  /** Resolves when all that was taken is stored; rejects where the broker refuses it for good. */
  drained(): Promise<void>;
  /** Messages handed to the broker so far, repetitions not counted. */
  messages(): number;
  /** Messages that were sent again for want of an acknowledgement. */
  resent(): number;
  /** Ends timers and the subscription; what is not acknowledged is forgotten. */
  close(): void;
}

interface Message {
  subject: string;
  payload: Uint8Array;
  sentAt: number;
}

export function createUsagePublisher(
  nc: NatsConnection,
  options: {
    partitions: number;
    /** Records to a message; 1 sends each on its own. */
    batch: number;
    /** Gets one sentence for each new trouble. */
    log?: (sentence: string) => void;
  },
): UsagePublisher {
  const { partitions, batch, log = () => {} } = options;
  const connection = connectionState(nc);
  const payloadBytesMax = nc.info?.max_payload ?? MAX_PAYLOAD_DEFAULT;
  const inbox = createInbox();

  /** By number, in the order of sending. */
  const inFlight = new Map<number, Message>();
  let inFlightBytes = 0;
  let messageNumber = 0;
  let resent = 0;
  let failure: Error | undefined;
  let lastTrouble = '';
  let waiters: { until: 'room' | 'drained'; resolve(): void; reject(error: Error): void }[] = [];
  /** Records that wait for their message to fill up, by partition. */
  const open = Array.from({ length: partitions }, () => ({ records: [] as Uint8Array[], bytes: 0, since: 0 }));

  const hasRoom = (): boolean => inFlight.size < IN_FLIGHT_MESSAGES_MAX && inFlightBytes < IN_FLIGHT_BYTES_MAX;

  function wake(): void {
    if (waiters.length === 0) return;
    // Half empty, so that the next burst is worth its system call.
    const room = inFlight.size <= IN_FLIGHT_MESSAGES_MAX / 2 && inFlightBytes <= IN_FLIGHT_BYTES_MAX / 2;
    const waiting = waiters;
    waiters = [];
    for (const waiter of waiting) {
      if (failure !== undefined) waiter.reject(failure);
      else if (waiter.until === 'room' ? room : inFlight.size === 0) waiter.resolve();
      else waiters.push(waiter);
    }
  }

  function wait(until: 'room' | 'drained'): Promise<void> {
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise((resolve, reject) => {
      waiters.push({ until, resolve, reject });
      wake();
    });
  }

  function fail(code: string, message: string, hint: string): void {
    failure ??= new RingfenceError({ code, message, hint });
    wake();
  }

  function transmit(number: number, message: Message): void {
    message.sentAt = performance.now();
    // While the connection is down the client would drop it; the reconnect below sends it.
    if (connection.connected()) nc.publish(message.subject, message.payload, { reply: `${inbox}.${number}` });
  }

  function send(subject: string, payload: Uint8Array): void {
    const message = { subject, payload, sentAt: 0 };
    inFlight.set(messageNumber, message);
    inFlightBytes += payload.length;
    transmit(messageNumber++, message);
  }

  function sendOpen(partition: number): void {
    const { records, bytes } = open[partition];
    if (records.length === 0) return;
    const parts: Uint8Array[] = [OPENING];
    for (const [position, json] of records.entries()) {
      if (position > 0) parts.push(COMMA);
      parts.push(json);
    }
    parts.push(CLOSING);
    open[partition] = { records: [], bytes: 0, since: 0 };
    send(`usage.${partition}.batch`, Buffer.concat(parts, bytes + records.length + 1));
  }

  function retryLater(number: number, trouble: string): void {
    if (trouble !== lastTrouble) log(`NATS does not take records (${trouble}): trying again`);
    lastTrouble = trouble;
    const message = inFlight.get(number);
    // The sweep sends it when the limit has passed; only the pause is left of it.
    if (message !== undefined) message.sentAt = performance.now() - ACKNOWLEDGEMENT_LIMIT_MS + REFUSED_PAUSE_MS;
  }

  const acknowledgements = nc.subscribe(`${inbox}.*`, {
    callback(error, reply) {
      if (error !== null) return fail('publish.no-inbox', `NATS: ${error.message}`, 'Allow subscriptions to _INBOX.>.');
      const number = Number(reply.subject.slice(inbox.length + 1));
      const message = inFlight.get(number);
      // The first acknowledgement of a message that was sent twice has settled it.
      if (message === undefined) return;
      if (reply.headers?.code === 503) return retryLater(number, 'no stream holds their subject');
      const refused = reply.json<{ error?: { code: number; description: string } }>().error;
      if (refused !== undefined) {
        if (refused.code !== 400) return retryLater(number, refused.description);
        return fail(
          'publish.refused',
          `NATS refuses a message on ${message.subject}: ${refused.description}.`,
          'Check the limits of the stream USAGE.',
        );
      }
      if (lastTrouble !== '') log('NATS takes records again');
      lastTrouble = '';
      inFlight.delete(number);
      inFlightBytes -= message.payload.length;
      wake();
    },
  });

  const unsubscribe = connection.subscribe((event) => {
    if (event === 'closed') {
      fail('publish.closed', 'The connection to NATS was closed before all records were stored.', 'Publish again.');
    }
    if (event !== 'connected') return;
    for (const [number, message] of inFlight) {
      resent++;
      transmit(number, message);
    }
  });

  const sweep = setInterval(() => {
    const now = performance.now();
    for (const [partition, { records, since }] of open.entries()) {
      if (records.length > 0 && now - since >= BATCH_WAIT_MS) sendOpen(partition);
    }
    if (!connection.connected()) return;
    for (const [number, message] of inFlight) {
      if (now - message.sentAt < ACKNOWLEDGEMENT_LIMIT_MS) continue;
      resent++;
      transmit(number, message);
    }
  }, SWEEP_MS);

  return {
    record(json, { recordType, servedMsisdn, servingPlmn }) {
      // A roaming file has no subscriber; its network is its key. What has neither is rejected in any partition.
      const key = typeof servedMsisdn === 'string' ? servedMsisdn : typeof servingPlmn === 'string' ? servingPlmn : '';
      const partition = partitions === 1 ? 0 : partitionOf(key, partitions);
      if (batch === 1) {
        if (json.length > payloadBytesMax) return false;
        const token = typeof recordType === 'string' && KNOWN_TYPES.has(recordType) ? recordType : 'unknown';
        send(`usage.${partition}.${token}`, json);
        return true;
      }
      // Brackets, and a comma for each record.
      if (json.length + 2 > payloadBytesMax) return false;
      if (open[partition].bytes + open[partition].records.length + 2 + json.length > payloadBytesMax) {
        sendOpen(partition);
      }
      const target = open[partition];
      if (target.records.length === 0) target.since = performance.now();
      target.records.push(json);
      target.bytes += json.length;
      if (target.records.length >= batch) sendOpen(partition);
      return true;
    },
    opaque(bytes) {
      if (bytes.length > payloadBytesMax) return false;
      send('usage.0.unknown', bytes);
      return true;
    },
    room: () => (hasRoom() && failure === undefined ? undefined : wait('room')),
    drained() {
      for (let partition = 0; partition < partitions; partition++) sendOpen(partition);
      return wait('drained');
    },
    messages: () => messageNumber,
    resent: () => resent,
    close() {
      clearInterval(sweep);
      unsubscribe();
      acknowledgements.unsubscribe();
    },
  };
}
