/**
 * Sends rejected records to the DEADLETTER stream, with the reason, the field, and where they came from.
 *
 * Delivery is at least once. A replay after a crash rejects the same records again; `Nats-Msg-Id`, made of source
 * stream position and index in the message, makes the broker drop those repetitions, but only within the stream's
 * duplicate window (2 min by default). After a longer outage a rejected record may be there twice, with the same
 * `Ringfence-Source-Seq` and the same id, and readers must take it so. Alerts need exactly once; a second copy of a bad
 * record harms nobody, and one subject for each (the way alerts do it) would make millions of subjects out of one broken
 * producer. Records that came over HTTP have no position and no id: the sender got an error and nobody replays them.
 *
 * They are not kept for a broker that loses what it acknowledged. The last one is looked for after every reconnect and at
 * every start (stream-mark.ts); where it is lost, the records are read again from a checkpoint before it.
 */
import { JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { headers, InvalidArgumentError, type MsgHdrs } from '@nats-io/transport-node';
import type { Rejection } from '../record/decode.ts';
import type { StreamMark } from '../state/checkpoint.ts';
import { ClosedError, createDurablePublisher, createLedger } from './outbox.ts';
import { lookAt, lostMeanwhile } from './stream-mark.ts';

const DEADLETTER_STREAM = 'DEADLETTER';

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
  /**
   * Resolves when everything handed over so far is in DEADLETTER, and the broker that has it is there; with a mark of the last one.
   */
  drained(): Promise<StreamMark[]>;
  /** Looks after these too, which are of the checkpoint that an engine begins with. */
  resume(marks: readonly StreamMark[]): void;
  inFlight(): number;
  inFlightBytes(): number;
  /** Ends everything; what is not acknowledged is forgotten, so drain first. */
  close(): Promise<void>;
}

/** room() and drained() reject with what trying again cannot mend; the sink is useless from then on. */
export function createDeadLetterSink(
  js: JetStreamClient,
  jsm: JetStreamManager,
  options: {
    /** Goes on without letters that the broker has lost. */
    allowGap?: boolean;
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
  const { onTrouble = () => {} } = options;
  const outbound = createDurablePublisher(js, onTrouble);
  /** The last letter of a message of a stream. Those that came over HTTP cannot be made again, so nobody looks for them. */
  let newest: StreamMark | undefined;
  const note = (mark: StreamMark): void => {
    if (newest === undefined || mark.sequence > newest.sequence) newest = mark;
  };
  /** Counts how often the connection broke or came back. */
  let turns = 0;
  outbound.onDisconnect(() => turns++);
  /** @throws RingfenceError `streams.lost-messages` where the broker has lost the last letter */
  const verify = async (): Promise<StreamMark[]> => {
    const mark = newest;
    if (mark === undefined) return [];
    if ((await lookAt(outbound, jsm, mark)) === 'there') return [mark];
    const error = lostMeanwhile(mark);
    if (options.allowGap !== true) throw error;
    onTrouble(error.message);
    if (newest === mark) newest = undefined;
    return [];
  };
  /** Until it has been looked, nothing counts as drained. */
  const verifyFirst = (): void => {
    if (newest === undefined) return;
    const ticket = ledger.take(0);
    verify().then(
      () => ledger.done(ticket, 0),
      (error: Error) => ledger.fail(error),
    );
  };
  outbound.onReconnect(() => {
    turns++;
    verifyFirst();
  });

  const store = async (rejection: Rejection, source: RejectionSource): Promise<void> => {
    // The server's limit may fall at a reconnect, and the stream may have a lower one of its own, which only the
    // refusal tells: then half of it is tried, down to headers alone.
    for (let limit = Number.POSITIVE_INFINITY; ; ) {
      limit = Math.min(limit, outbound.payloadBytesMax());
      const { header, body } = letterOf(rejection, source, limit);
      try {
        const subject = `deadletter.${rejection.reason}`;
        const { sequence } = await outbound.publish(subject, body, header);
        const messageId = header.get('Nats-Msg-Id');
        if (messageId !== '') note({ stream: DEADLETTER_STREAM, sequence, subject, messageId, storedAt: '' });
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
    async drained() {
      for (;;) {
        const turn = turns;
        await ledger.drained();
        const marks = await verify();
        if (turn === turns) return marks;
      }
    },
    resume(marks) {
      for (const mark of marks) if (mark.stream === DEADLETTER_STREAM) note(mark);
      verifyFirst();
    },
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
