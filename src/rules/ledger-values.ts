/**
 * The values of an account that every rule of key `account` may use under `ledger.`: which part of its state each comes
 * from, and how it is shown. The parts are made when a rule first mentions one of their values.
 */
import type { Ledger } from '../state/ledger.ts';
import type { Reader } from '../state/operator.ts';
import type { Promises } from '../state/promises.ts';
import type { Tickets } from '../state/tickets.ts';
import type { ValueType } from './compile.ts';

interface Parts {
  ledger: Ledger;
  promises: Promises;
  disputes: Tickets;
}
export type LedgerPart = keyof Parts;

export interface LedgerValue<Part extends LedgerPart = LedgerPart> {
  part: Part;
  type: ValueType;
  unit: string;
  read(part: Parts[Part]): Reader;
}

const of =
  <Part extends LedgerPart>(part: Part, type: ValueType, unit: string) =>
  (read: (part: Parts[Part]) => Reader): LedgerValue =>
    ({ part, type, unit, read }) as unknown as LedgerValue;
const money = of('ledger', 'number', 'currency');
const count = of('ledger', 'number', 'count');
const time = of('ledger', 'time', 'time');
const promised = of('promises', 'number', 'currency');

export const LEDGER_VALUES: Readonly<Record<string, LedgerValue>> = {
  unpaid: money(({ unpaid }) => unpaid),
  overdue: money(({ overdue }) => overdue),
  pastDue: of('ledger', 'duration', 's')(({ pastDueMs }) => pastDueMs),
  oldestDueAt: time(({ oldestDueAt }) => oldestDueAt),
  nextDueAt: time(({ nextDueAt }) => nextDueAt),
  lastDueAt: time(({ lastDueAt }) => lastDueAt),
  openInvoices: count(({ openInvoices }) => openInvoices),
  overdueInvoices: count(({ overdueInvoices }) => overdueInvoices),
  unbilled: money(({ unbilled }) => unbilled),
  exposure: money(({ exposure }) => exposure),
  firstInvoiceAt: time(({ firstInvoiceAt }) => firstInvoiceAt),
  firstDueAt: time(({ firstDueAt }) => firstDueAt),
  firstUnpaid: money(({ firstUnpaid }) => firstUnpaid),
  disputes: of('disputes', 'number', 'count')(({ open }) => open),
  promiseAt: of('promises', 'time', 'time')(({ promiseAt }) => promiseAt),
  promiseAmount: promised(({ promiseAmount }) => promiseAmount),
  promisePaid: promised(({ promisePaid }) => promisePaid),
  paidSincePromise: promised(({ paidSincePromise }) => paidSincePromise),
};

export const LEDGER_NAMES: readonly string[] = Object.keys(LEDGER_VALUES);
/** Values that change while nothing happens. */
export const LEDGER_GROWS: readonly string[] = ['pastDue', 'overdue', 'overdueInvoices', 'nextDueAt', 'lastDueAt'];
