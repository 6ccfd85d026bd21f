/**
 * Rule sets into the usage stream and out of it again, in parts where they are larger than a message; the form is that of
 * rules/message.ts.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { type ControlKind, controlKindOf, markPart } from '../record/control-message.ts';
import {
  partList,
  piecesOf,
  type RuleFile,
  type RulesMessage,
  readPartList,
  readRulesMessage,
  rulesTooLarge,
} from '../rules/message.ts';
import type { DurablePublisher } from '../sinks/outbox.ts';

/**
 * Puts a set into the stream, in parts where it is larger than a message may be.
 * @param publish puts one message into the stream and says its sequence
 * @returns sequence of the message that counts, undefined where the set would take too many parts
 */
export async function publishRulesMessage(
  message: RulesMessage,
  payloadBytesMax: number,
  publish: (kind: ControlKind, body: Uint8Array, header: MsgHdrs) => Promise<number>,
): Promise<number | undefined> {
  const { prepared, backfillMs } = message;
  const kind = backfillMs === undefined ? 'rules' : 'prepare';
  const pieces = piecesOf(message, payloadBytesMax);
  if (pieces.length === 0) return undefined;
  if (pieces.length === 1) return publish(kind, pieces[0]!, headers());
  const parts: number[] = [];
  for (const piece of pieces) {
    const header = headers();
    markPart(header);
    parts.push(await publish('part', piece, header));
  }
  return publish(kind, partList({ parts, ...(prepared !== undefined && { prepared }) }), headers());
}

/** The whole body of a set; undefined where a part of it is gone. `fetchPart` gives the body of a `part` message. */
export async function wholeRulesMessage(
  body: Uint8Array,
  fetchPart: (sequence: number) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array | undefined> {
  const list = readPartList(body);
  if (list === undefined) return body;
  const pieces: Uint8Array[] = [];
  for (const sequence of list.parts) {
    const piece = await fetchPart(sequence);
    if (piece === undefined) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Puts a set into a partition's stream, however long that takes. */
export async function publishRuleSet(
  control: DurablePublisher,
  partition: number,
  message: RulesMessage,
): Promise<void> {
  const bytesMax = control.payloadBytesMax();
  const sequence = await publishRulesMessage(message, bytesMax, async (kind, body, header) => {
    const stored = await control.publish(`usage.${partition}.${kind}`, body, header);
    return stored.sequence;
  });
  if (sequence === undefined) throw rulesTooLarge(bytesMax);
}

/** A piece of a rule set; undefined where the message is gone, or is none. */
export async function partOf(
  control: DurablePublisher,
  jsm: JetStreamManager,
  stream: string,
  sequence: number,
): Promise<Uint8Array | undefined> {
  const message = await control.insist(() => jsm.streams.getMessage(stream, { seq: sequence }));
  return message !== null && controlKindOf(message.subject) === 'part' ? message.data : undefined;
}

/** The newest rule set in a partition's stream, or the newest that was announced, whether it has been read or not. */
export async function lastRuleSet(
  control: DurablePublisher,
  jsm: JetStreamManager,
  stream: string,
  partition: number,
  kind: 'rules' | 'prepare' = 'rules',
): Promise<{ sequence: number; version: string; files: RuleFile[] } | undefined> {
  const last = { last_by_subj: `usage.${partition}.${kind}` };
  const message = await control.insist(() => jsm.streams.getMessage(stream, last));
  // A message that is no rule set changes nothing when it is read, but what came before it is not looked for.
  if (message === null) return undefined;
  const whole = await wholeRulesMessage(message.data, (sequence) => partOf(control, jsm, stream, sequence));
  const { version = '', files = [] } = (whole && readRulesMessage(whole)) ?? {};
  return { sequence: message.seq, version, files };
}
