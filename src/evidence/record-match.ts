/**
 * Which usage records are of a key: what a desk wants to see behind an alert. The engine answers the same question with all that
 * it remembers (an account of which a record says nothing); here a record is judged by itself and by the subscriber of the alert.
 */
import type { RecordType, UsageRecord } from '../record/usage-record.ts';

/** What is looked for: records of a key, within event times. */
export interface WantedRecords {
  key: { type: string; value: string };
  /** The subscriber of the alert, where the key is another one. */
  servedMsisdn?: string | undefined;
  /** Event time, from inclusive and to exclusive, epoch ms. */
  from: number;
  to: number;
  /** Undefined: of all types. */
  recordTypes?: readonly RecordType[] | undefined;
  direction?: UsageRecord['direction'] | undefined;
  /** Is wanted whatever its type. */
  triggerRecordId?: string | undefined;
}

const HASHES: Readonly<Record<string, string>> = {
  dealer: 'dealerId',
  idDocument: 'idDocHash',
  paymentToken: 'paymentTokenHash',
  address: 'addressHash',
};

/** What stands between the two parts of a composite key. */
const SIGNS: Readonly<Record<string, string>> = {
  'subscriber+prefix': '>',
  'carrier+country': '>',
  'imsi+servingPlmn': '@',
  'sender+range': '~',
};

function partsOf({ type, value }: WantedRecords['key']): [first: string, second: string] {
  const sign = SIGNS[type];
  const at = sign === undefined ? -1 : value.lastIndexOf(sign);
  return at < 0 ? [value, ''] : [value.slice(0, at), value.slice(at + 1)];
}

/**
 * Texts of which every record of the key holds at least one, as it was written: bytes without them need no decoding. An account
 * that a record does not name is that of its subscriber.
 */
export function needlesOf({ key, servedMsisdn }: WantedRecords): string[] {
  const [first] = partsOf(key);
  const own = key.type === 'account' || Object.hasOwn(HASHES, key.type) ? servedMsisdn : undefined;
  return [...new Set([first, ...(own === undefined ? [] : [own])])].filter((text) => text !== '');
}

function isOfKey(record: UsageRecord, { key, servedMsisdn }: WantedRecords): boolean {
  const { type, value } = key;
  const [first, second] = partsOf(key);
  switch (type) {
    case 'subscriber':
      return record.servedMsisdn === value;
    case 'account':
      if (record.accountId !== '') return record.accountId === value;
      return record.servedMsisdn === value || record.servedMsisdn === servedMsisdn;
    case 'imsi':
      return record.servedImsi === value;
    case 'imei':
      return record.servedImei === value;
    case 'cell':
      return record.cellId === value;
    case 'otherNumber':
      return record.otherNumber === value;
    case 'trunk':
      return record.trunkId === value;
    case 'carrier':
      return record.carrierId === value;
    // Which country a number belongs to is for the rule to say: all of the carrier's traffic is shown.
    case 'carrier+country':
      return record.carrierId === first;
    case 'servingPlmn':
      return record.servingPlmn === value;
    case 'subscriber+prefix':
      return record.servedMsisdn === first && record.otherNumber.startsWith(second);
    case 'otherRange':
      return record.otherNumber.startsWith(value);
    case 'imsi+servingPlmn':
      return record.servedImsi === first && record.servingPlmn === second;
    case 'sender+range':
      return record.otherNumber === first && record.servedMsisdn.startsWith(second);
    default: {
      const field = HASHES[type];
      const stated = field === undefined ? undefined : record.attributes?.[field];
      return stated === undefined ? record.servedMsisdn === servedMsisdn : stated === value;
    }
  }
}

export function isWanted(record: UsageRecord, wanted: WantedRecords): boolean {
  const { from, to, recordTypes, direction, triggerRecordId } = wanted;
  if (!(record.eventTime >= from && record.eventTime < to) || !isOfKey(record, wanted)) return false;
  if (record.recordId === triggerRecordId) return true;
  if (direction !== undefined && record.direction !== direction) return false;
  return recordTypes === undefined || recordTypes.includes(record.recordType);
}
