/**
 * The usage record inside the engine: one object shape for all record types, so that property access stays monomorphic
 * on the hot path (measured: reading 20 fields from objects of many shapes costs more than parsing the JSON).
 *
 * Missing values: a missing string is `''`, a missing number is `NaN`. Every comparison with NaN is false, which is the
 * rule language's meaning of "not known" as well. Amounts are whole numbers, so that rolling sums never drift:
 * durations in milliseconds, money in millionths of the account currency.
 */

export const RECORD_TYPES = [
  'voice',
  'sms',
  'data',
  'topup',
  'transfer',
  'payment',
  'invoice',
  'account',
  'care',
  'roamingFile',
] as const;
export type RecordType = (typeof RECORD_TYPES)[number];

/** What rules may look at: usage, and `alert`, the engine's own alerts as records. Nobody can send those. */
export const SEEN_TYPES = [...RECORD_TYPES, 'alert'] as const;
export type SeenType = (typeof SEEN_TYPES)[number];

/** What a record of type `alert` says beside the fields of the record that made the alert fire. */
export interface AlertNote {
  ruleId: string;
  catalogue: string;
  severity: string;
  desk: string;
  score: number;
  /** 1 where an episode began, more where it rose to a higher band. */
  revision: number;
}

export interface UsageRecord {
  recordId: string;
  recordType: RecordType;
  /** Unix epoch milliseconds UTC at which the usage began. */
  eventTime: number;
  /** E.164 digits without `+`; `''` only for roamingFile. */
  servedMsisdn: string;
  servedImsi: string;
  servedImei: string;
  /** As received; `''` means that the subscriber is its own account. */
  accountId: string;
  direction: '' | 'mo' | 'mt' | 'forwarded';
  otherNumber: string;
  callId: string;
  partial: number;
  /** durationSec x 1000, rounded. */
  durationMs: number;
  causeForTerm: '' | 'normal' | 'noAnswer' | 'busy' | 'failed' | 'dropped';
  cellId: string;
  servingPlmn: string;
  trunkId: string;
  carrierId: string;
  pddMs: number;
  smsClass: '' | 'p2p' | 'a2p';
  bytesUp: number;
  bytesDown: number;
  apn: string;
  rat: string;
  ratingGroup: string;
  zeroRated: boolean;
  /** charge x 1e6, rounded. */
  chargeMicros: number;
  /** amount x 1e6, rounded. */
  amountMicros: number;
  /** `'done'` where the record left it out. */
  outcome: 'done' | 'failed' | 'reversed';
  declineCode: '' | 'soft' | 'hard';
  instrumentId: string;
  /** balanceAfter x 1e6, rounded. */
  balanceAfterMicros: number;
  channel: string;
  invoiceId: string;
  dueTime: number;
  event: string;
  /** Only account and care records carry attributes; null elsewhere. */
  attributes: Record<string, unknown> | null;
  reason: string;
  ticketId: string;
  availableTime: number;
  /** Only on records of type `alert`; null elsewhere. */
  alert: AlertNote | null;
}

/** A record as rules see it. */
export type SeenRecord = Omit<UsageRecord, 'recordType'> & { recordType: SeenType };

/** A record of which nothing is known yet. One literal makes all of them, so that the engine meets objects of one shape. */
export function blankRecord(): UsageRecord {
  return {
    recordId: '',
    recordType: 'account',
    eventTime: Number.NaN,
    servedMsisdn: '',
    servedImsi: '',
    servedImei: '',
    accountId: '',
    direction: '',
    otherNumber: '',
    callId: '',
    partial: Number.NaN,
    durationMs: Number.NaN,
    causeForTerm: '',
    cellId: '',
    servingPlmn: '',
    trunkId: '',
    carrierId: '',
    pddMs: Number.NaN,
    smsClass: '',
    bytesUp: Number.NaN,
    bytesDown: Number.NaN,
    apn: '',
    rat: '',
    ratingGroup: '',
    zeroRated: false,
    chargeMicros: Number.NaN,
    amountMicros: Number.NaN,
    outcome: 'done',
    declineCode: '',
    instrumentId: '',
    balanceAfterMicros: Number.NaN,
    channel: '',
    invoiceId: '',
    dueTime: Number.NaN,
    event: '',
    attributes: null,
    reason: '',
    ticketId: '',
    availableTime: Number.NaN,
    alert: null,
  };
}

/** What conditions see while a timer is evaluated. */
export const BLANK_RECORD: Readonly<UsageRecord> = blankRecord();
