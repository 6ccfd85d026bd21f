/**
 * Sends rejected records to the DEADLETTER stream, with the reason, the field, and where they came from.
 *
 * Delivery is at least once. A replay after a crash rejects the same records again; `Nats-Msg-Id`, made of source
 * stream position and index in the message, makes the broker drop those repetitions, but only within the stream's
 * duplicate window (2 min by default). After a longer outage a rejected record may be there twice, with the same
 * `Ringfence-Source-Seq` and the same id, and readers must take it so. Alerts need exactly once; a second copy of a bad
 * record harms nobody, and one subject for each (the way alerts do it) would make millions of subjects out of one broken
 * producer. Records that came over HTTP have no position and no id: the sender got an error and nobody replays them.
 */
import { JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import { headers, InvalidArgumentError, type MsgHdrs } from '@nats-io/transport-node';
import type { Rejection } from '../record/decode.ts';
import { ClosedError, createDurablePublisher, createLedger } from './outbox.ts';

/** Rejected records under way at a time, and their bytes: each may be as large as a message. */
export const LETTERS_IN_FLIGHT_MAX = 1_024;
export const LETTER_BYTES_IN_FLIGHT_MAX = 32 * 1024 * 1024;
/** `Ringfence-Truncated` with its number, added after the rest of the headers was measured. */
const TRUNCATED_HEADER_BYTES = 40;
/** Names of fields and subjects come from outside. */
const HEADER_VALUE_LENGTH_MAX = 512;
/** JetStream's error code for a message above the stream's own `max_msg_size`. */
const MESSAGE_TOO_LARGE_CODE = 10054;

export interface RejectionSource {
  /** Subject of the message, or `http`. */
  subject: string;
  /** Its sequence in its stream. */
  sequence?: number;
}

export interface DeadLetterSink {
  /** Takes a rejected record; never blocks. The body must stay as it is until it is stored. */
  publish(rejection: Rejection, source: RejectionSource): void;
  /** Resolves when at most LETTERS_IN_FLIGHT_MAX records and LETTER_BYTES_IN_FLIGHT_MAX bytes are under way. */
  room(): Promise<void>;
  /** Resolves when everything handed over so far is in DEADLETTER. */
  drained(): Promise<void>;
  inFlight(): number;
  inFlightBytes(): number;
  /** Ends everything; what is not acknowledged is forgotten, so drain first. */
  close(): Promise<void>;
}

/** room() and drained() reject with what trying again cannot mend; the sink is useless from then on. */
export function createDeadLetterSink(
  js: JetStreamClient,
  options: {
    inFlightMax?: number;
    inFlightBytesMax?: number;
    /** Gets one sentence for each new kind of trouble with NATS. */
    onTrouble?: (sentence: string) => void;
  } = {},
): DeadLetterSink {
  const ledger = createLedger({
    items: options.inFlightMax ?? LETTERS_IN_FLIGHT_MAX,
    bytes: options.inFlightBytesMax ?? LETTER_BYTES_IN_FLIGHT_MAX,
  });
  const outbound = createDurablePublisher(js, options.onTrouble ?? (() => {}));

  const store = async (rejection: Rejection, source: RejectionSource): Promise<void> => {
    // The server's limit may fall at a reconnect, and the stream may have a lower one of its own, which only the
    // refusal tells: then half of it is tried, down to headers alone.
    for (let limit = Number.POSITIVE_INFINITY; ; ) {
      limit = Math.min(limit, outbound.payloadBytesMax());
      const { header, body } = letterOf(rejection, source, limit);
      try {
        await outbound.publish(`deadletter.${rejection.reason}`, body, header);
        return;
      } catch (error) {
        const tooLarge =
          error instanceof InvalidArgumentError ||
          (error instanceof JetStreamApiError && error.code === MESSAGE_TOO_LARGE_CODE);
        if (!tooLarge || body.length === 0) throw error;
        limit = Math.floor(Math.min(limit, body.length + headerBytes(header)) / 2);
      }
    }
  };

  return {
    publish(rejection, source) {
      const bytes = rejection.body.length;
      const ticket = ledger.take(bytes);
      void store(rejection, source).then(
        () => ledger.done(ticket, bytes),
        (error: unknown) => ledger.fail(error instanceof Error ? error : new Error(String(error))),
      );
    },
    room: ledger.room,
    drained: ledger.drained,
    inFlight: ledger.inFlight,
    inFlightBytes: ledger.inFlightBytes,
    async close() {
      ledger.fail(new ClosedError('the dead-letter sink was closed'));
      outbound.close();
    },
  };
}

/** Headers and body of a rejected record, together no larger than the limit. */
function letterOf(
  { reason, field, index, body }: Rejection,
  { subject, sequence }: RejectionSource,
  limitBytes: number,
): { header: MsgHdrs; body: Uint8Array } {
  const header = headers();
  header.set('Ringfence-Reason', reason);
  header.set('Ringfence-Field', headerValue(field));
  header.set('Ringfence-Source-Subject', headerValue(subject));
  if (sequence !== undefined) {
    header.set('Ringfence-Source-Seq', String(sequence));
    // The subject says which partition's stream the sequence is of.
    header.set('Nats-Msg-Id', headerValue(`${subject}:${sequence}:${index}`));
  }
  const room = Math.max(0, limitBytes - headerBytes(header));
  if (body.length <= room) return { header, body };
  const kept = body.subarray(0, Math.max(0, room - TRUNCATED_HEADER_BYTES));
  header.set('Ringfence-Truncated', String(body.length - kept.length));
  return { header, body: kept };
}

/** Anything but a plain character becomes `?`: a line break would make a header of its own. */
function headerValue(value: string): string {
  return value.slice(0, HEADER_VALUE_LENGTH_MAX).replace(/[^\x20-\x7e]/g, '?');
}

/** Size on the wire: `NATS/1.0`, one `name: value` a line, an empty line. All values are plain ASCII. */
function headerBytes(header: MsgHdrs): number {
  let bytes = 'NATS/1.0\r\n\r\n'.length;
  for (const [name, values] of header)
    for (const value of values) bytes += name.length + value.length + ': \r\n'.length;
  return bytes;
}
