/**
 * What the oracle (oracle.ts) says of an account: everything that it was billed, paid and promised is gone through from the first
 * record on, each time somebody asks.
 */
import type { UsageRecord } from '../src/record/usage-record.ts';

interface Invoice {
  id: string;
  due: number;
  amount: number;
  open: number;
}

/** Money in millionths, as records have it. */
function bookOf(seen: readonly UsageRecord[]) {
  /** By due time; of one due time, in the order in which they came. */
  let invoices: Invoice[] = [];
  let first: { at: number; id: string } | undefined;
  let credit = 0;
  let unbilled = 0;
  let billedAt = Number.NEGATIVE_INFINITY;
  const pay = (money: number, id: string): void => {
    for (const invoice of [...invoices.filter((one) => one.id === id), ...invoices]) {
      const part = Math.min(money, invoice.open);
      invoice.open -= part;
      money -= part;
    }
    credit += money;
  };
  const takeBack = (money: number, id: string): void => {
    const ofCredit = Math.min(money, credit);
    credit -= ofCredit;
    money -= ofCredit;
    const newestFirst = invoices.toReversed();
    for (const invoice of [...newestFirst.filter((one) => one.id === id), ...newestFirst]) {
      const part = Math.min(money, invoice.amount - invoice.open);
      invoice.open += part;
      money -= part;
    }
  };
  for (const record of seen) {
    const { recordType, amountMicros, outcome, eventTime, invoiceId } = record;
    if (recordType === 'payment' && outcome !== 'failed') {
      if (outcome === 'reversed' || amountMicros < 0) takeBack(Math.abs(amountMicros), invoiceId || 'none');
      else pay(amountMicros, invoiceId || 'none');
    } else if (recordType === 'invoice') {
      if (eventTime >= billedAt) {
        billedAt = eventTime;
        unbilled = 0;
      }
      if (amountMicros > 0) {
        const covered = Math.min(credit, amountMicros);
        credit -= covered;
        invoices = [
          ...invoices,
          { id: invoiceId, due: record.dueTime, amount: amountMicros, open: amountMicros - covered },
        ].sort((a, b) => a.due - b.due);
        if (first === undefined || eventTime < first.at) first = { at: eventTime, id: invoiceId };
      } else pay(-amountMicros, 'none');
    } else if (['voice', 'sms', 'data'].includes(recordType) && record.chargeMicros > 0 && eventTime >= billedAt)
      unbilled += record.chargeMicros;
  }
  return { open: invoices.filter(({ open }) => open > 0), first, unbilled };
}

/** The newest promise, and what came since it was made: what bounces was not paid. */
function promiseOf(seen: readonly UsageRecord[]) {
  let promise: { made: number; at: number; amount: number; paidInTime: number; paid: number } | undefined;
  for (const { recordType, event, eventTime, attributes, amountMicros, outcome } of seen) {
    if (recordType === 'account' && event === 'paymentPromised') {
      const { promiseAt, promiseAmount = Number.NaN } = attributes as { promiseAt: number; promiseAmount?: number };
      if (promise === undefined || eventTime >= promise.made)
        promise = { made: eventTime, at: promiseAt, amount: promiseAmount, paidInTime: 0, paid: 0 };
    } else if (recordType === 'payment' && outcome !== 'failed' && promise !== undefined && eventTime >= promise.made) {
      const money = outcome === 'reversed' ? -Math.abs(amountMicros) : amountMicros;
      promise.paid = Math.max(0, promise.paid + money);
      if (money < 0 || eventTime <= promise.at) promise.paidInTime = Math.max(0, promise.paidInTime + money);
    }
  }
  return promise;
}

/** Of each ticket that began as a dispute, what its newest record says. */
function disputesOf(seen: readonly UsageRecord[]): number {
  const tickets = new Map<string, { at: number; resolved: boolean }>();
  for (const { recordType, ticketId, reason, eventTime, attributes } of seen) {
    if (recordType !== 'care') continue;
    const known = tickets.get(ticketId);
    if (known === undefined ? reason !== 'dispute' : eventTime < known.at) continue;
    tickets.set(ticketId, { at: eventTime, resolved: attributes?.['resolved'] === true });
  }
  return [...tickets.values()].filter(({ resolved }) => !resolved).length;
}

/** `ledger.<name>` of an account at a time; NaN where it is not known. */
export function ledgerValue(name: string, seen: readonly UsageRecord[], now: number): number {
  const { open, first, unbilled } = bookOf(seen);
  const overdue = open.filter(({ due }) => due < now);
  const money = (invoices: readonly Invoice[]): number => invoices.reduce((sum, one) => sum + one.open, 0);
  const firstOpen = open.find(({ id }) => id === first?.id);
  const promise = promiseOf(seen);
  switch (name) {
    case 'unpaid':
      return money(open) / 1e6;
    case 'overdue':
      return money(overdue) / 1e6;
    case 'pastDue':
      return overdue.length === 0 ? 0 : now - overdue[0]!.due;
    case 'oldestDueAt':
      return open[0]?.due ?? Number.NaN;
    case 'nextDueAt':
      return open.find(({ due }) => due >= now)?.due ?? Number.NaN;
    case 'lastDueAt':
      return overdue.at(-1)?.due ?? Number.NaN;
    case 'openInvoices':
      return open.length;
    case 'overdueInvoices':
      return overdue.length;
    case 'unbilled':
      return unbilled / 1e6;
    case 'exposure':
      return (money(open) + unbilled) / 1e6;
    case 'firstInvoiceAt':
      return first?.at ?? Number.NaN;
    case 'firstDueAt':
      return firstOpen?.due ?? Number.NaN;
    case 'firstUnpaid':
      return (firstOpen?.open ?? 0) / 1e6;
    case 'disputes':
      return disputesOf(seen);
    case 'promiseAt':
      return promise?.at ?? Number.NaN;
    case 'promiseAmount':
      return promise?.amount ?? Number.NaN;
    case 'promisePaid':
      return promise === undefined ? Number.NaN : promise.paidInTime / 1e6;
    case 'paidSincePromise':
      return promise === undefined ? Number.NaN : promise.paid / 1e6;
    default:
      throw new Error(`The oracle does not know ledger.${name}.`);
  }
}
