/**
 * Messages of the usage stream that are no records. Ringfence puts them between the records itself, so that whoever reads the
 * stream again does the same at the same place:
 *
 * ```
 * usage.<p>.tick                   time goes on although no record comes
 * usage.<p>.rules .prepare .part   rule sets on their way (rules/message.ts)
 * ```
 *
 * Whoever may publish records may publish on these subjects too, by mistake for one. What is none of ours there is refused like
 * a bad record, so each of ours can be told from a record: a tick and a rule set by what they hold, a part by its header, because it
 * is any piece of something compressed.
 */
export type ControlKind = 'tick' | 'rules' | 'prepare' | 'part';

const CONTROL_SUBJECT = /^usage\.[0-9]+\.(?:tick|rules|prepare|part)$/;
const TICK_TYPE = 'tick';
/** Far more than a tick has. */
const TICK_BYTES_MAX = 256;
const PART_HEADER = { name: 'Ringfence-Control', value: 'part' };

/** Undefined where the subject is one of records. Asked for every message: the pattern is tried on what ends right alone. */
export function controlKindOf(subject: string): ControlKind | undefined {
  const endsRight =
    subject.endsWith('.tick') ||
    subject.endsWith('.rules') ||
    subject.endsWith('.prepare') ||
    subject.endsWith('.part');
  if (!endsRight || !CONTROL_SUBJECT.test(subject)) return undefined;
  return subject.slice(subject.lastIndexOf('.') + 1) as ControlKind;
}

/** The body of a tick. What counts when it is read is the broker's time of the message; this one is for people. */
export function tickBody(eventTime: number): Uint8Array {
  return Buffer.from(JSON.stringify({ recordType: TICK_TYPE, eventTime }));
}

export function isTick(body: Uint8Array): boolean {
  if (body.length > TICK_BYTES_MAX) return false;
  try {
    return JSON.parse(Buffer.from(body).toString())?.recordType === TICK_TYPE;
  } catch {
    return false;
  }
}

/** Marks the headers of a message as those of a part. */
export function markPart(headers: { set(name: string, value: string): void }): void {
  headers.set(PART_HEADER.name, PART_HEADER.value);
}

export function isPart({ headers }: { headers?: { get(name: string): string } | undefined }): boolean {
  return headers?.get(PART_HEADER.name) === PART_HEADER.value;
}
