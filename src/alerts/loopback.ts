/**
 * An alert as a record, so that rules can look at alerts (`on: alert`): five cards of one cell with a SIM box alert are a
 * different thing from five anywhere. When an episode begins or rises, the engine looks at such a record after the one that
 * made the alert fire. It is never published or counted, belongs to no duplicate horizon, moves no clock but that of its
 * keys, and is never late.
 *
 * It has the fields of the record that made the alert fire; of an alert that a timer made, only what its key says is known.
 */
import type { AlertNote, SeenRecord } from '../record/usage-record.ts';
import type { KeyType } from '../rules/rule.ts';
import type { AlertData } from './alert.ts';

/** An alert that a rule raises over an alert is a record again, and so on, but no further than this. */
export const LOOPBACK_DEPTH_MAX = 4;
/** Alert records that one usage record or timer may lead to; those beyond are counted and not looked at. */
export const LOOPBACK_RECORDS_MAX = 256;

const alertNote = (alert: AlertData): AlertNote => ({
  ruleId: alert.ruleId,
  catalogue: alert.catalogue,
  severity: alert.severity,
  desk: alert.desk,
  score: alert.score,
  revision: alert.revision,
});

/** `accountId` is the account of the subscriber as far as the state knows it, for a trigger that says nothing. */
export function alertRecord(trigger: SeenRecord, alert: AlertData, accountId: string): SeenRecord {
  const record: SeenRecord = {
    ...trigger,
    recordType: 'alert',
    recordId: alert.triggerRecordId,
    eventTime: alert.eventTime,
    servedMsisdn: trigger.servedMsisdn === '' ? (alert.servedMsisdn ?? '') : trigger.servedMsisdn,
    accountId: trigger.accountId === '' ? accountId : trigger.accountId,
    alert: alertNote(alert),
  };
  const { value } = alert.key;
  // A composite key begins with the one that names a party.
  const first = value.includes('>') ? value.slice(0, value.indexOf('>')) : value;
  switch (alert.key.type as KeyType) {
    case 'subscriber':
    case 'subscriber+prefix':
      record.servedMsisdn = first;
      break;
    case 'account':
      record.accountId = value;
      break;
    case 'imsi':
      record.servedImsi = value;
      break;
    case 'imei':
      record.servedImei = value;
      break;
    case 'cell':
      record.cellId = value;
      break;
    case 'otherNumber':
      record.otherNumber = value;
      break;
    case 'trunk':
      record.trunkId = value;
      break;
    case 'carrier':
      record.carrierId = value;
      break;
    case 'servingPlmn':
      record.servingPlmn = value;
      break;
    case 'otherRange':
      if (record.otherNumber === '') record.otherNumber = value;
      break;
    case 'imsi+servingPlmn':
      [record.servedImsi, record.servingPlmn] = value.split('@') as [string, string];
      break;
    case 'dealer':
      record.attributes = { ...trigger.attributes, dealerId: value };
      break;
    case 'idDocument':
      record.attributes = { ...trigger.attributes, idDocHash: value };
      break;
    case 'paymentToken':
      record.attributes = { ...trigger.attributes, paymentTokenHash: value };
      break;
    case 'address':
      record.attributes = { ...trigger.attributes, addressHash: value };
      break;
  }
  return record;
}
