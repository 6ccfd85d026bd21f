/**
 * A message as JetStream delivers it. Sequence, time and lag stand in its reply subject, which the client's library splits into
 * tokens and parses whole, for every message; here they are read where they stand.
 */
import type { Msg, MsgHdrs } from '@nats-io/transport-node';

const ZERO = 48;
const NANOSECOND_DIGITS = 6;

export interface SourceMessage {
  data: Uint8Array;
  subject: string;
  /** Sequence in the stream. */
  sequence: number;
  /** When the broker stored it, Unix epoch milliseconds. */
  timeMs: number;
  /** Decoded when asked for; undefined where the producer sent none. */
  headers?: MsgHdrs;
}

/**
 * What its producer says that a message is; undefined where nothing is said. Headers are decoded for this, 1 us for each message
 * that has any.
 */
export function contentTypeOf({
  headers,
}: {
  headers?: { get(name: string): string } | undefined;
}): string | undefined {
  return headers?.get('Content-Type') || undefined;
}

/** What the reply subject of a delivered message tells. */
export interface Delivery {
  /** Sequence in the stream. */
  sequence: number;
  /** Sequence in the consumer: 1, 2, 3, ... without holes. */
  deliverySequence: number;
  timeMs: number;
  /** Messages in the stream behind this one. */
  pending: number;
}

/**
 * Where the part that changes from message to message begins, in the reply subject of a delivered message:
 *   $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time ns>.<pending>
 *   $JS.ACK.<domain>.<account hash>.<stream>.<consumer>.<delivered>.<...>.<pending>[.<random>]
 * The part before is the same for all messages of a consumer. -1 where it is no such subject.
 */
export function deliveryOffset(reply: string): number {
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return -1;
  if (tokens.length === 9) return tokens.slice(0, 4).join('.').length + 1;
  if (tokens.length === 11 || tokens.length === 12) return tokens.slice(0, 6).join('.').length + 1;
  return -1;
}

/** Reads that part without splitting it: 60 ns instead of 600. The time loses its digits below a millisecond. */
export function readDelivery(reply: string, offset: number, into: Delivery): void {
  const sequenceAt = reply.indexOf('.', offset) + 1;
  const deliverySequenceAt = reply.indexOf('.', sequenceAt) + 1;
  const timeAt = reply.indexOf('.', deliverySequenceAt) + 1;
  const pendingAt = reply.indexOf('.', timeAt) + 1;
  const end = reply.indexOf('.', pendingAt);
  into.sequence = integerAt(reply, sequenceAt, deliverySequenceAt - 1);
  into.deliverySequence = integerAt(reply, deliverySequenceAt, timeAt - 1);
  into.timeMs = integerAt(reply, timeAt, pendingAt - 1 - NANOSECOND_DIGITS);
  into.pending = integerAt(reply, pendingAt, end < 0 ? reply.length : end);
}

function integerAt(text: string, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 10 + (text.charCodeAt(i) - ZERO);
  return value;
}

/** A class because its headers are a getter: decoding them costs more than everything else here together. */
export class ReceivedMessage implements SourceMessage {
  readonly data: Uint8Array;
  readonly subject: string;
  readonly sequence: number;
  readonly timeMs: number;
  readonly #message: Msg;

  constructor(message: Msg, delivery: Delivery) {
    this.data = message.data;
    this.subject = message.subject;
    this.sequence = delivery.sequence;
    this.timeMs = delivery.timeMs;
    this.#message = message;
  }

  get headers(): MsgHdrs {
    // The interface says "absent or headers"; a getter can only say undefined, which readers cannot tell apart.
    return this.#message.headers as MsgHdrs;
  }
}
