/**
 * The names of a record that expressions may use, with their types. Record fields carry the names of the usage record
 * form; values that the engine derives (is this number abroad, is it night) stand beside them.
 */
import type { Scope } from '../state/operator.ts';
import type { Binding } from './compile.ts';

/**
 * A field that is kept in whole small units: `read` gives those, `perUnit` of them are one unit of the name. They are
 * divided, not multiplied by a fraction: 100,000 / 1e6 is 0.1, but 100,000 * 1e-6 is a little less, and so are 29 % of all
 * amounts up to 10,000.00, which would then stay below a threshold that they have reached.
 */
export interface RecordBinding extends Binding {
  whole?: { read: (scope: Scope) => number; perUnit: number };
}

const text = (evaluate: (scope: Scope) => string): RecordBinding => ({ type: 'text', evaluate });
const boolean = (evaluate: (scope: Scope) => boolean): RecordBinding => ({ type: 'boolean', evaluate });
const time = (evaluate: (scope: Scope) => number): RecordBinding => ({ type: 'time', evaluate });
const whole = (read: (scope: Scope) => number, perUnit = 1): RecordBinding => ({
  type: 'number',
  evaluate: perUnit === 1 ? read : (scope) => read(scope) / perUnit,
  whole: { read, perUnit },
});

/** The shortest number that is one of a subscriber; what is shorter is a service. */
const NUMBER_DIGITS_MIN = 7;

/** Neither a short code nor the name of a sender. */
function isTelephoneNumber(text: string): boolean {
  if (text.length < NUMBER_DIGITS_MIN) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 48 || code > 57) return false;
  }
  return true;
}

const attribute = (name: string, type: 'text' | 'number' | 'time' | 'boolean'): RecordBinding => {
  const value = (scope: Scope): unknown =>
    scope.record.attributes === null ? undefined : scope.record.attributes[name];
  switch (type) {
    case 'text':
      return text((scope) => {
        const found = value(scope);
        return typeof found === 'string' ? found : '';
      });
    case 'boolean':
      return { ...boolean((scope) => value(scope) === true), given: (scope) => typeof value(scope) === 'boolean' };
    default:
      return {
        type,
        evaluate: (scope) => {
          const found = value(scope);
          return typeof found === 'number' ? found : Number.NaN;
        },
      };
  }
};

/** In whole millionths, so that 0.29 for 87 s is 0.20 a minute and not a little less. NaN for what has no duration. */
const chargePerMinMicros = ({ record: { chargeMicros, durationMs } }: Scope): number =>
  durationMs > 0 ? Math.round((chargeMicros * 60_000) / durationMs) : Number.NaN;

export const RECORD_NAMES: Readonly<Record<string, RecordBinding>> = {
  recordType: text((scope) => scope.record.recordType),
  eventTime: time((scope) => scope.record.eventTime),
  servedMsisdn: text((scope) => scope.record.servedMsisdn),
  servedImsi: text((scope) => scope.record.servedImsi),
  servedImei: text((scope) => scope.record.servedImei),
  accountId: text((scope) => scope.record.accountId),
  direction: text((scope) => scope.record.direction),
  otherNumber: text((scope) => scope.record.otherNumber),
  callId: text((scope) => scope.record.callId),
  partial: whole((scope) => scope.record.partial),
  durationSec: whole((scope) => scope.record.durationMs, 1e3),
  causeForTerm: text((scope) => scope.record.causeForTerm),
  cellId: text((scope) => scope.record.cellId),
  servingPlmn: text((scope) => scope.record.servingPlmn),
  trunkId: text((scope) => scope.record.trunkId),
  carrierId: text((scope) => scope.record.carrierId),
  pddMs: whole((scope) => scope.record.pddMs),
  smsClass: text((scope) => scope.record.smsClass),
  bytesUp: whole((scope) => scope.record.bytesUp),
  bytesDown: whole((scope) => scope.record.bytesDown),
  bytes: whole((scope) => scope.record.bytesUp + scope.record.bytesDown),
  apn: text((scope) => scope.record.apn),
  rat: text((scope) => scope.record.rat),
  ratingGroup: text((scope) => scope.record.ratingGroup),
  zeroRated: boolean((scope) => scope.record.zeroRated),
  charge: whole((scope) => scope.record.chargeMicros, 1e6),
  chargePerMin: whole(chargePerMinMicros, 1e6),
  amount: whole((scope) => scope.record.amountMicros, 1e6),
  outcome: text((scope) => scope.record.outcome),
  declineCode: text((scope) => scope.record.declineCode),
  instrumentId: text((scope) => scope.record.instrumentId),
  balanceAfter: whole((scope) => scope.record.balanceAfterMicros, 1e6),
  channel: text((scope) => scope.record.channel),
  invoiceId: text((scope) => scope.record.invoiceId),
  dueTime: time((scope) => scope.record.dueTime),
  event: text((scope) => scope.record.event),
  reason: text((scope) => scope.record.reason),
  ticketId: text((scope) => scope.record.ticketId),
  availableTime: time((scope) => scope.record.availableTime),
  alertRule: text((scope) => scope.record.alert?.ruleId ?? ''),
  alertCatalogue: text((scope) => scope.record.alert?.catalogue ?? ''),
  alertSeverity: text((scope) => scope.record.alert?.severity ?? ''),
  alertDesk: text((scope) => scope.record.alert?.desk ?? ''),
  alertScore: whole((scope) => scope.record.alert?.score ?? Number.NaN),
  alertRevision: whole((scope) => scope.record.alert?.revision ?? Number.NaN),
  otherIsNumber: boolean((scope) => isTelephoneNumber(scope.record.otherNumber)),
  international: boolean((scope) => scope.international),
  roaming: boolean((scope) => scope.roaming),
  night: boolean((scope) => scope.night),
  weekend: boolean((scope) => scope.weekend),
  shift: text((scope) => scope.shift),
  holiday: boolean((scope) => scope.holiday),
  homeCountry: text((scope) => scope.homeCountry),
  destinationCountry: text((scope) => (scope.destination === undefined ? '' : scope.destination.country)),
  destinationPrefix: text((scope) => (scope.destination === undefined ? '' : scope.destination.prefix)),
  destinationClass: text((scope) => (scope.destination === undefined ? '' : scope.destination.numberClass)),
  ...Object.fromEntries(
    (
      [
        ['activatedAt', 'time'],
        ['planId', 'text'],
        ['planValue', 'number'],
        ['monthlyFee', 'number'],
        ['creditLimit', 'number'],
        ['contractEndAt', 'time'],
        ['customerType', 'text'],
        ['paymentType', 'text'],
        ['tier', 'text'],
        ['homeCell', 'text'],
        ['idDocHash', 'text'],
        ['dealerId', 'text'],
        ['paymentTokenHash', 'text'],
        ['addressHash', 'text'],
        ['dualSim', 'boolean'],
        ['cardExpiryAt', 'time'],
        ['subscriptionsOnSameId', 'number'],
        ['promiseAt', 'time'],
        ['promiseAmount', 'number'],
        ['forwardTo', 'text'],
        ['forwardType', 'text'],
        ['resolved', 'boolean'],
      ] as const
    ).map(([name, type]) => [`attributes.${name}`, attribute(name, type)]),
  ),
};
