/**
 * Rule sets into the usage stream and out of it again, in parts where they are larger than a message; the form is that of
 * rules/message.ts.
 */
import { partList, piecesOf, type RulesMessage, readPartList } from '../rules/message.ts';

/**
 * Puts a set into the stream, in parts where it is larger than a message may be.
 * @param publish puts one message into the stream and says its sequence
 * @returns sequence of the message that counts, undefined where the set would take too many parts
 */
export async function publishRulesMessage(
  message: RulesMessage,
  payloadBytesMax: number,
  publish: (kind: 'rules' | 'prepare' | 'part', body: Uint8Array) => Promise<number>,
): Promise<number | undefined> {
  const { prepared, backfillMs } = message;
  const kind = backfillMs === undefined ? 'rules' : 'prepare';
  const pieces = piecesOf(message, payloadBytesMax);
  if (pieces.length === 0) return undefined;
  if (pieces.length === 1) return publish(kind, pieces[0]!);
  const parts: number[] = [];
  for (const piece of pieces) parts.push(await publish('part', piece));
  return publish(kind, partList({ parts, ...(prepared !== undefined && { prepared }) }));
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
