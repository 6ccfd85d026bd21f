/**
 * What a usage record may look like, written once: field by field with types, ranges and allowed values, and which
 * fields each record type needs. JSON Schema comes out of it for OpenAPI and for producers, the sentences of
 * rejections are made of it, and `decode.ts` takes its limits and lists from here. Fields that are not named here are
 * allowed: they are no concern of ours, only their size and depth are.
 *
 * The decoder checks records in one hand-written loop, because a checker compiled from this schema costs 600 ns a record
 * on top of 860 ns for JSON.parse, and the loop 320 ns with normalisation included. A property test draws records and
 * holds both to the same verdict.
 */
import { type Static, type TSchema, Type } from 'typebox';
import { RECORD_TYPES, type RecordType } from './usage-record.ts';

/** Largest size of a number, in either direction. It keeps whole numbers exact with room for sums. */
export const NUMBER_MAX = 1e15;
/** Longest string anywhere in a record, in bytes of UTF-8. Names of fields count as strings. */
export const STRING_BYTES_MAX = 4096;
/** Largest record, in bytes of its JSON without white space. */
export const RECORD_BYTES_MAX = 65_536;
/** Deepest nesting; the record itself is level 1. */
export const NESTING_MAX = 8;
/** Field names that would reach the prototype of an object. They are refused at every level. */
export const FORBIDDEN_NAMES: readonly string[] = ['__proto__', 'constructor', 'prototype'];
/** 2000-01-01T00:00:00Z. An earlier time is a clock that was never set, or seconds instead of milliseconds. */
export const EVENT_TIME_MIN = 946_684_800_000;
export const RECORD_ID_LENGTH_MAX = 128;

export const DIRECTIONS = ['mo', 'mt', 'forwarded'] as const;
export const CAUSES_FOR_TERM = ['normal', 'noAnswer', 'busy', 'failed', 'dropped'] as const;
export const SMS_CLASSES = ['p2p', 'a2p'] as const;
export const OUTCOMES = ['done', 'failed', 'reversed'] as const;
export const DECLINE_CODES = ['soft', 'hard'] as const;
export const ACCOUNT_EVENTS = [
  'profile',
  'activated',
  'suspended',
  'resumed',
  'ceased',
  'simChanged',
  'deviceChanged',
  'planChanged',
  'portOutRequested',
  'callForwardSet',
  'loginFailed',
  'contactChanged',
  'contractRenewed',
  'paymentPromised',
  'mandateCancelled',
  'simOrdered',
  'addOnAdded',
  'addOnRemoved',
  'otpConfirmed',
  'outage',
] as const;
export const CARE_REASONS = ['complaint', 'enquiry', 'quality', 'billing', 'cancellation', 'dispute'] as const;
/** Attributes that are times: like every time they may come as RFC 3339 and leave as epoch milliseconds. */
export const TIME_ATTRIBUTES = ['activatedAt', 'contractEndAt', 'cardExpiryAt', 'promiseAt'] as const;

const text = (description: string) => Type.String({ maxLength: STRING_BYTES_MAX, description });
const digits = (pattern: string, description: string) =>
  Type.String({ pattern, maxLength: STRING_BYTES_MAX, description });
const oneOf = <const V extends readonly string[]>(values: V, description: string) =>
  Type.Enum(values, { type: 'string', description });
const integer = (minimum: number, description: string) => Type.Integer({ minimum, maximum: NUMBER_MAX, description });
const number = (minimum: number, description: string) => Type.Number({ minimum, maximum: NUMBER_MAX, description });
const boolean = (description: string) => Type.Boolean({ description });
const time = (minimum: number, description: string) =>
  Type.Union(
    [Type.Integer({ minimum, maximum: NUMBER_MAX }), Type.String({ format: 'date-time', maxLength: STRING_BYTES_MAX })],
    { description: `${description} Unix epoch milliseconds UTC, or RFC 3339 with an offset.` },
  );
/** An attribute may be null: it is known to be none, and replaces an earlier value. */
const attribute = <S extends TSchema>(schema: S) => Type.Optional(Type.Union([schema, Type.Null()]));

/** What is known of a subscriber beyond single usage. Names that are not listed are kept too. */
export const AttributesSchema = Type.Object(
  {
    activatedAt: attribute(time(-NUMBER_MAX, 'First activation.')),
    planId: attribute(text('Price plan.')),
    planValue: attribute(number(-NUMBER_MAX, 'Value of the plan in currency units a month.')),
    monthlyFee: attribute(number(-NUMBER_MAX, 'Currency units.')),
    creditLimit: attribute(number(-NUMBER_MAX, 'Currency units.')),
    contractEndAt: attribute(time(-NUMBER_MAX, 'End of the minimum term.')),
    customerType: attribute(oneOf(['consumer', 'business'], 'Kind of customer.')),
    paymentType: attribute(oneOf(['prepaid', 'postpaid'], 'Who pays first.')),
    tier: attribute(oneOf(['vip', 'standard'], 'Service tier.')),
    homeCell: attribute(text('The cell where the subscriber is most of the time.')),
    idDocHash: attribute(text('Hash of the identity document.')),
    dealerId: attribute(text('Who sold the subscription.')),
    paymentTokenHash: attribute(text('Hash of the stored means of payment.')),
    addressHash: attribute(text('Hash of the postal address.')),
    dualSim: attribute(boolean('The subscriber uses two SIM cards.')),
    cardExpiryAt: attribute(time(-NUMBER_MAX, 'Expiry of the stored card.')),
    subscriptionsOnSameId: attribute(number(0, 'Subscriptions under the same identity document.')),
    promiseAt: attribute(time(-NUMBER_MAX, 'Until when a payment is promised.')),
    promiseAmount: attribute(number(-NUMBER_MAX, 'Promised amount, currency units.')),
    forwardTo: attribute(text('Target of call forwarding.')),
    forwardType: attribute(
      oneOf(['unconditional', 'busy', 'noAnswer', 'unreachable', 'none'], 'When calls are forwarded.'),
    ),
    resolved: attribute(boolean('Care records: the ticket is resolved.')),
  },
  { description: 'Later values replace earlier ones.' },
);

export const FIELDS = {
  recordId: Type.String({
    minLength: 1,
    maxLength: RECORD_ID_LENGTH_MAX,
    description: 'Unique id of the record: duplicates of it count once.',
  }),
  recordType: oneOf(RECORD_TYPES, 'Kind of usage.'),
  eventTime: time(EVENT_TIME_MIN, 'When the usage began (voice: answer or seizure; invoice: issue).'),
  servedMsisdn: digits('^[0-9]{5,15}$', 'The subscriber, E.164 without +.'),
  servedImsi: digits('^[0-9]+$', '3GPP TS 32.298 servedIMSI.'),
  servedImei: digits('^[0-9]+$', '3GPP TS 32.298 servedIMEI.'),
  accountId: text('Billing account; absent: the subscriber is its own account.'),
  direction: oneOf(DIRECTIONS, 'Seen from the served subscriber (transfer: mo sent, mt received).'),
  otherNumber: Type.String({
    pattern: '^(?![+][0-9]+$)',
    maxLength: STRING_BYTES_MAX,
    description: 'The other party: digits E.164 without +, a short code, or an alphanumeric SMS sender.',
  }),
  callId: text('Ties the partial records of one long call or session together.'),
  partial: integer(1, 'Number of the partial record: 1, 2, ... in order.'),
  durationSec: number(0, 'Answered duration in seconds; 0 = not answered.'),
  causeForTerm: oneOf(CAUSES_FOR_TERM, 'Why it ended.'),
  cellId: text('Serving cell or site.'),
  servingPlmn: digits('^[0-9]{5,6}$', 'MCC+MNC of the serving network; not the home network = roaming.'),
  trunkId: text('Interconnect trunk group.'),
  carrierId: text('Interconnect carrier.'),
  pddMs: integer(-NUMBER_MAX, 'Post-dial delay in milliseconds.'),
  smsClass: oneOf(SMS_CLASSES, 'Kind of SMS.'),
  bytesUp: integer(0, 'Volume sent.'),
  bytesDown: integer(0, 'Volume received.'),
  apn: text('Access point name.'),
  rat: text('Radio access technology.'),
  ratingGroup: text('Rating group.'),
  zeroRated: boolean('The volume costs the subscriber nothing.'),
  charge: number(-NUMBER_MAX, 'Rated price of the usage, account currency units, before tax.'),
  amount: number(-NUMBER_MAX, 'Money moved or billed, currency units.'),
  outcome: oneOf(OUTCOMES, 'What became of the top-up or payment; absent: done.'),
  declineCode: oneOf(DECLINE_CODES, 'Whether a failed payment may be tried again.'),
  instrumentId: text('Hash of the card or token used.'),
  balanceAfter: number(-NUMBER_MAX, 'Prepaid balance after this record, currency units.'),
  channel: text('voucher, card, directDebit, cash, app, call, shop ...'),
  invoiceId: text('The invoice; a payment without it pays the oldest open invoice first.'),
  dueTime: time(-NUMBER_MAX, 'When the invoice is due.'),
  event: oneOf(ACCOUNT_EVENTS, 'What happened to the account.'),
  attributes: AttributesSchema,
  reason: oneOf(CARE_REASONS, 'Why the subscriber got in touch.'),
  ticketId: text('The care ticket; a later record of the same ticket may resolve it.'),
  availableTime: time(-NUMBER_MAX, 'When the roaming file arrived.'),
} as const;
export type FieldName = keyof typeof FIELDS;

const usageOf = (...more: FieldName[]): readonly FieldName[] => [
  'recordId',
  'recordType',
  'eventTime',
  'servedMsisdn',
  ...more,
];
/** The fields without which a record of the type says nothing. */
export const NEEDED_FIELDS: Readonly<Record<RecordType, readonly FieldName[]>> = {
  voice: usageOf('direction', 'otherNumber', 'durationSec'),
  sms: usageOf('direction', 'otherNumber'),
  data: usageOf('durationSec', 'bytesUp', 'bytesDown'),
  topup: usageOf('amount'),
  transfer: usageOf('direction', 'otherNumber', 'amount'),
  payment: usageOf('amount'),
  invoice: usageOf('amount', 'invoiceId', 'dueTime'),
  account: usageOf('event', 'attributes'),
  care: usageOf('reason', 'ticketId'),
  roamingFile: ['recordId', 'recordType', 'eventTime', 'servingPlmn', 'availableTime'],
};

const optionalFields = Object.fromEntries(
  Object.entries(FIELDS).map(([name, schema]) => [name, Type.Optional(schema)]),
);

/** The usage record as JSON Schema 2020-12: all fields, and for each record type those that it needs. */
export const UsageRecordSchema = Type.Unsafe<RawUsageRecord>({
  $id: 'UsageRecord',
  ...Type.Object(optionalFields),
  description:
    'One flat object. Further fields are allowed. Limits: ' +
    `record ${RECORD_BYTES_MAX} bytes, string ${STRING_BYTES_MAX} bytes, nesting ${NESTING_MAX}, ` +
    `numbers finite and at most 1e15 in size; the names ${FORBIDDEN_NAMES.join(', ')} are refused at every level.`,
  oneOf: RECORD_TYPES.map((type) => ({
    title: type,
    properties: { recordType: { const: type } },
    required: NEEDED_FIELDS[type],
  })),
});

type Fields = typeof FIELDS;
/** A record as producers send it, before decoding. */
export type RawUsageRecord = { [name in FieldName]?: Static<Fields[name]> } & {
  recordId: string;
  recordType: RecordType;
};

/** What a value of this schema is, as the end of a sentence: `an integer of 0 or more`. */
export function expectationOf(schema: TSchema): string {
  const { type, anyOf, pattern, minimum, minLength, maxLength } = schema as Shape;
  if ('enum' in schema) return `one of ${(schema.enum as readonly string[]).join(', ')}`;
  if (anyOf !== undefined) {
    const [first] = anyOf;
    if (first.type !== 'integer' || anyOf.length < 2 || anyOf[1].type !== 'string') return expectationOf(first);
    const from = first.minimum === EVENT_TIME_MIN ? ' from 2000-01-01 on' : '';
    return `a time${from}: integer Unix epoch milliseconds, or RFC 3339 with an offset`;
  }
  if (pattern !== undefined) return `a string that matches ${pattern}`;
  if (minLength !== undefined) return `a string of ${minLength} to ${maxLength} characters`;
  if (type === 'integer' || type === 'number') {
    const name = type === 'integer' ? 'an integer' : 'a finite number';
    return minimum === -NUMBER_MAX ? `${name} of at most 1e15 in size` : `${name} from ${minimum} to 1e15`;
  }
  return type === 'object' ? 'an object' : `a ${type}`;
}

interface Shape {
  type: string;
  anyOf?: [Shape & TSchema, Shape & TSchema];
  pattern?: string;
  minimum?: number;
  minLength?: number;
  maxLength?: number;
}
