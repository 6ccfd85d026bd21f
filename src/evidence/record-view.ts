/** A usage record as a desk sees it: what was said of the usage, in the units of the contract, without what was not said. */
import { type Static, Type } from 'typebox';
import { RECORD_TYPES, type UsageRecord } from '../record/usage-record.ts';

const text = Type.Optional(Type.String());
const number = Type.Optional(Type.Number());

export const UsageRecordViewSchema = Type.Object(
  {
    recordId: Type.String(),
    recordType: Type.Enum([...RECORD_TYPES], { type: 'string' }),
    eventTime: Type.Integer({ description: 'When the usage began, Unix epoch milliseconds, UTC.' }),
    storedAt: Type.Integer({ description: 'When the broker stored the record, Unix epoch milliseconds, UTC.' }),
    servedMsisdn: text,
    subscriberRef: Type.Optional(Type.String({ description: 'Names the subscriber where the number is masked.' })),
    servedImsi: text,
    servedImei: text,
    direction: text,
    otherNumber: text,
    durationSec: number,
    causeForTerm: text,
    cellId: text,
    servingPlmn: text,
    trunkId: text,
    carrierId: text,
    bytesUp: number,
    bytesDown: number,
    charge: number,
    amount: number,
    balanceAfter: number,
    outcome: text,
    channel: text,
    event: text,
    reason: text,
    invoiceId: text,
    isTrigger: Type.Optional(Type.Literal(true, { description: 'The record that made the alert fire.' })),
  },
  { $id: 'UsageRecordView' },
);
export type UsageRecordView = Static<typeof UsageRecordViewSchema>;

const MICROS = 1_000_000;
const PAID: ReadonlySet<string> = new Set(['topup', 'payment', 'transfer']);

export function recordView(
  record: UsageRecord,
  storedAt: number,
  triggerRecordId: string | undefined,
): UsageRecordView {
  const all = {
    servedMsisdn: record.servedMsisdn,
    servedImsi: record.servedImsi,
    servedImei: record.servedImei,
    direction: record.direction,
    otherNumber: record.otherNumber,
    durationSec: record.durationMs / 1000,
    causeForTerm: record.causeForTerm,
    cellId: record.cellId,
    servingPlmn: record.servingPlmn,
    trunkId: record.trunkId,
    carrierId: record.carrierId,
    bytesUp: record.bytesUp,
    bytesDown: record.bytesDown,
    charge: record.chargeMicros / MICROS,
    amount: record.amountMicros / MICROS,
    balanceAfter: record.balanceAfterMicros / MICROS,
    // Where a record leaves it out it is said to be done, which means something of money alone.
    outcome: PAID.has(record.recordType) ? record.outcome : '',
    channel: record.channel,
    event: record.event,
    reason: record.reason,
    invoiceId: record.invoiceId,
  };
  // What a record does not say is an empty text or no number.
  const said = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== '' && !Number.isNaN(value)));
  return {
    recordId: record.recordId,
    recordType: record.recordType,
    eventTime: record.eventTime,
    storedAt,
    ...said,
    ...(record.recordId === triggerRecordId && { isTrigger: true as const }),
  };
}
