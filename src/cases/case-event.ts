/**
 * A case event: what somebody did to a case, one message on `cases.<desk>.<caseId>`. This schema is the one source of its
 * shape: requests and NATS messages are checked with it, and the OpenAPI and AsyncAPI documents are made of it.
 *
 * A case itself is never stored: it is what its alerts (stream ALERTS) and its events (stream CASES) amount to, the same on
 * every gateway (`case-index.ts`). It opens by itself with its first alert, so there is no event for that.
 */
import { createHash } from 'node:crypto';
import { type Static, type TProperties, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { LIST_KINDS } from '../reference/lists.ts';

/** What the outcomes of a desk say of the alerts behind them: right, wrong, or nothing. */
export type Verdict = 'right' | 'wrong' | 'none';

/**
 * Outcomes by desk. Fraud and arrears judge the alert. A retention case cannot: whoever was talked to might have stayed
 * anyway, so there the outcomes are compared with those of the control group instead.
 */
const OUTCOMES = {
  fraud: { confirmed: 'right', valuableAlert: 'right', falsePositive: 'wrong', inconclusive: 'none' },
  arrears: { paid: 'right', promise: 'right', brokenPromise: 'right', writtenOff: 'right', dispute: 'wrong' },
  retention: { saved: 'none', declined: 'none', unreachable: 'none', releasedByPolicy: 'none', churnedAnyway: 'none' },
} as const satisfies Record<Desk, Record<string, Verdict>>;
export const OUTCOME_NAMES = DESKS.flatMap((desk) => Object.keys(OUTCOMES[desk]));

/** The verdict of an outcome; undefined where the desk has no such outcome. */
export function verdictOf(desk: Desk, outcome: string): Verdict | undefined {
  const verdicts: Record<string, Verdict> = OUTCOMES[desk];
  return Object.hasOwn(verdicts, outcome) ? verdicts[outcome] : undefined;
}

export const CASE_STATUSES = ['open', 'acknowledged', 'snoozed', 'closed'] as const;
export type CaseStatus = (typeof CASE_STATUSES)[number];

export const NOTE_LENGTH_MAX = 4_000;
const REASON_LENGTH_MAX = 500;
const NAME_LENGTH_MAX = 128;
const TAGS_MAX = 20;
const EPOCH_MS_MAX = 8.64e15;

const closed = { additionalProperties: false } as const;
const id = (description: string) => Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description });
export const caseIdSchema = Type.String({ pattern: '^[0-9a-f]{32}$', description: 'Identity of a case.' });
const person = Type.String({ minLength: 1, maxLength: NAME_LENGTH_MAX, pattern: '^[^\\u0000-\\u001f\\u007f]+$' });
const reason = Type.String({ minLength: 1, maxLength: REASON_LENGTH_MAX });
const slug = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' });
const tag = Type.String({ minLength: 1, maxLength: 40, pattern: '^[^\\u0000-\\u001f\\u007f]+$' });
const instantMs = (description: string) =>
  Type.Integer({ minimum: 0, maximum: EPOCH_MS_MAX, description: `${description} Unix epoch milliseconds, UTC.` });
const cost = Type.Number({ minimum: 0, maximum: 1e15, description: 'Cost of the offer, account currency units.' });
const msisdn = Type.String({ pattern: '^[0-9]{5,15}$' });

/** What each type of event brings beside the type itself. */
const bodies = {
  acknowledge: {},
  assign: { assignee: Type.Union([person, Type.Null()], { description: 'Who works on it; null: nobody.' }) },
  note: { note: Type.String({ minLength: 1, maxLength: NOTE_LENGTH_MAX }) },
  tag: {
    add: Type.Optional(Type.Array(tag, { maxItems: TAGS_MAX })),
    remove: Type.Optional(Type.Array(tag, { maxItems: TAGS_MAX })),
  },
  snooze: { until: instantMs('When the case comes back.'), reason },
  unsnooze: {},
  outcome: {
    outcome: Type.Enum(OUTCOME_NAMES, { type: 'string', description: 'Closes the case; one of its desk.' }),
    reason: Type.Optional(reason),
    offerId: Type.Optional(slug),
    cost: Type.Optional(cost),
    control: Type.Optional(Type.Boolean({ description: 'The subscriber was held out: nobody made an offer.' })),
    seenUntil: Type.Optional(
      instantMs('When the broker stored the newest alert that whoever closed had seen. Later alerts open a new case.'),
    ),
  },
  reopen: { reason },
  merge: { into: caseIdSchema },
  snoozeRule: {
    ruleId: slug,
    servedMsisdn: Type.Optional(msisdn),
    until: instantMs('When the rule is heard again.'),
    reason,
  },
  unsnoozeRule: { snoozeId: id('Id of the event that snoozed the rule.') },
  offer: {
    offerId: slug,
    cost: Type.Optional(cost),
    channel: Type.Optional(slug),
    result: Type.Enum(['made', 'accepted', 'declined'], { type: 'string' }),
  },
  promise: {
    promiseAt: instantMs('When it is to be paid; the case comes back then.'),
    amount: Type.Optional(Type.Number({ minimum: 0, maximum: 1e15, description: 'Account currency units.' })),
  },
  action: { action: slug, note: Type.Optional(reason) },
  listEntry: {
    list: Type.String({ pattern: '^[a-z][A-Za-z0-9-]{0,63}$' }),
    kind: Type.Enum([...LIST_KINDS], { type: 'string' }),
    value: Type.String({ minLength: 1, maxLength: 256 }),
    note: Type.Optional(Type.String({ maxLength: 200 })),
  },
  undo: { eventId: id('Id of the event that is taken back.') },
  expired: { snoozeId: id('Id of the snooze that has ended.') },
} satisfies Record<string, TProperties>;
export type CaseEventType = keyof typeof bodies;
export const CASE_EVENT_TYPES = Object.keys(bodies) as CaseEventType[];

/** Written by a gateway into the stream only, never by a client. */
const GATEWAY_TYPES: ReadonlySet<CaseEventType> = new Set(['expired']);

/** What an alert may bring is longer than what this writes down; it is cut (`case-list.ts`). */
export const ABOUT_TEXT_MAX = 256;
export const ABOUT_ITEMS_MAX = 50;
const aboutText = Type.String({ maxLength: ABOUT_TEXT_MAX });
const about = Type.Object(
  {
    key: Type.Object({ type: Type.String({ maxLength: 4_096 }), value: Type.String({ maxLength: 4_096 }) }, closed),
    openedAt: instantMs('When its first alert was stored.'),
    ruleIds: Type.Array(aboutText, { maxItems: ABOUT_ITEMS_MAX }),
    servedMsisdns: Type.Array(aboutText, { maxItems: ABOUT_ITEMS_MAX }),
  },
  {
    ...closed,
    description: 'What the case was about when this was written, for the time when its alerts are not kept any more.',
  },
);

const variants = <Extra extends TProperties>(types: CaseEventType[], extra: Extra) =>
  types.map((type) => Type.Object({ type: Type.Literal(type), ...extra, ...bodies[type] }, closed));

/** What a client posts; who did it and what the case is about is added by the gateway. */
export const CaseEventInputSchema = Type.Union(
  variants(
    CASE_EVENT_TYPES.filter((type) => !GATEWAY_TYPES.has(type)),
    {
      id: Type.Optional(id('Chosen by the sender, so that sending again does nothing.')),
      by: Type.Optional(person),
      version: Type.Optional(
        Type.Integer({ minimum: 0, description: '`version` of the case as the sender saw it; 409 where it is not.' }),
      ),
    },
  ),
  { $id: 'CaseEventInput' },
);

export const CaseEventSchema = Type.Union(
  variants(CASE_EVENT_TYPES, {
    id: id('Unique in its case: the second one of an id does nothing.'),
    by: person,
    bulk: Type.Optional(id('The bulk action that this belongs to.')),
    about: Type.Optional(about),
  }),
  { $id: 'CaseEvent', description: 'One message on `cases.<desk>.<caseId>`.' },
);

type Bodies = { [T in CaseEventType]: { type: T } & Static<ReturnType<typeof Type.Object<(typeof bodies)[T]>>> };
/** An event as it is stored. */
export type CaseEvent = Bodies[CaseEventType] & {
  id: string;
  by: string;
  bulk?: string;
  about?: Static<typeof about>;
};
export type CaseEventInput = Bodies[Exclude<CaseEventType, 'expired'>] & { id?: string; by?: string; version?: number };
export type About = Static<typeof about>;

const checker = Compile(CaseEventSchema);
/** Whether every gateway will be able to read what this one is about to publish. */
export const isCaseEvent = (value: unknown): value is CaseEvent => checker.Check(value);

/** The event in a message; undefined where it is none. */
export function readCaseEvent(data: Uint8Array): CaseEvent | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
    return checker.Check(value) ? (value as CaseEvent) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** What a case gathers the alerts of: the account behind them, the subscriber, or whatever the rule groups by. */
export interface CaseKey {
  type: string;
  value: string;
}

/** The same alerts give the same case, whichever gateway sees them. */
export function caseIdOf(desk: Desk, key: CaseKey, firstAlertId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([desk, key.type, key.value, firstAlertId]))
    .digest('hex')
    .slice(0, 32);
}

export const caseSubject = (desk: Desk, caseId: string): string => `cases.${desk}.${caseId}`;

/** Desk and case of a subject; undefined where it is none of a case. */
export function caseOfSubject(subject: string): { desk: Desk; caseId: string } | undefined {
  const [head, desk, caseId, more] = subject.split('.');
  if (head !== 'cases' || more !== undefined || !(DESKS as readonly string[]).includes(desk ?? '')) return undefined;
  return /^[0-9a-f]{32}$/.test(caseId ?? '') ? { desk: desk as Desk, caseId: caseId! } : undefined;
}

/**
 * Whether a subscriber is held out: nobody calls it, so that what becomes of it shows what the desk's work is worth. It
 * depends on the key alone, so that every gateway and every later case agree.
 */
export function isControl(key: CaseKey, share: number): boolean {
  if (share <= 0) return false;
  const hash = createHash('sha256')
    .update(JSON.stringify(['control', key.type, key.value]))
    .digest();
  return hash.readUInt32BE(0) / 0x1_0000_0000 < share;
}
