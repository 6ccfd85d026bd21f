/**
 * The usage record as producers send it: the JSON form of the public contract, before decoding. The feed and the
 * converters of `bench/convert/` make these; what the engine works on is `record/usage-record.ts`.
 */
import type { RecordType } from '../record/usage-record.ts';

export interface RawRecord {
  recordId: string;
  recordType: RecordType;
  /** Unix epoch milliseconds UTC at which the usage began. */
  eventTime: number;
  servedMsisdn: string;
  servedImsi?: string;
  servedImei?: string;
  accountId?: string;
  direction?: 'mo' | 'mt' | 'forwarded';
  otherNumber?: string;
  callId?: string;
  partial?: number;
  durationSec?: number;
  causeForTerm?: 'normal' | 'noAnswer' | 'busy' | 'failed' | 'dropped';
  cellId?: string;
  servingPlmn?: string;
  carrierId?: string;
  pddMs?: number;
  smsClass?: 'p2p' | 'a2p';
  bytesUp?: number;
  bytesDown?: number;
  apn?: string;
  rat?: string;
  /** Currency units of the account, at most two decimals. */
  charge?: number;
  /** Currency units, at most two decimals. */
  amount?: number;
  outcome?: 'done' | 'failed' | 'reversed';
  declineCode?: 'soft' | 'hard';
  balanceAfter?: number;
  channel?: string;
  invoiceId?: string;
  dueTime?: number;
  event?: string;
  attributes?: Record<string, string | number | boolean>;
  reason?: string;
  ticketId?: string;
}

/**
 * Unix epoch milliseconds at which a network would hand the record over: usage is recorded when it ends, everything
 * else at once. A stream in this order has long calls behind shorter ones that began later, as real streams do.
 */
export function arrivalOf(record: RawRecord): number {
  return record.eventTime + Math.round((record.durationSec ?? 0) * 1000);
}
