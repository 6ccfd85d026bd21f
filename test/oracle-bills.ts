/**
 * What the oracle (oracle.ts) knows of bills: an account book with a line for each bill, paid by hand. Money that names a bill goes
 * there first, the rest to the bill that fell due first, and what is left over waits for the next bill.
 */
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { RuleFeature } from '../src/rules/rule.ts';

interface Bill {
  id: string;
  due: number;
  open: number;
}

/** By how much the last bills were paid late on average, or the worst of those that were paid inside the window. */
export function paidLate(feature: RuleFeature, seen: readonly UsageRecord[], now: number, windowMs: number): number {
  const bills: Bill[] = [];
  const closed: { at: number; late: number }[] = [];
  let credit = 0;
  const pay = (bill: Bill, record: UsageRecord, money: number): number => {
    const part = Math.min(bill.open, money);
    bill.open -= part;
    // Kept in whole seconds.
    if (part > 0 && bill.open === 0) {
      const late = Math.floor(Math.max(0, record.eventTime - bill.due) / 1000) * 1000;
      closed.push({ at: Math.floor(record.eventTime / 1000) * 1000, late });
    }
    return money - part;
  };
  for (const record of seen) {
    if (record.recordType === 'invoice') {
      const bill = { id: record.invoiceId, due: record.dueTime, open: record.amountMicros };
      bills.push(bill);
      credit = pay(bill, record, credit);
      continue;
    }
    let money = record.amountMicros;
    for (const bill of bills) if (bill.id === record.invoiceId) money = pay(bill, record, money);
    for (const bill of bills.toSorted((a, b) => a.due - b.due)) money = pay(bill, record, money);
    credit += money;
  }
  if (feature.aggregate === 'paidLateMax') {
    const inside = closed.filter(({ at }) => at > now - windowMs);
    return Math.max(0, ...inside.map(({ late }) => late));
  }
  const { last = 1, skip = 0 } = feature;
  const looked = closed.slice(0, Math.max(0, closed.length - skip)).slice(-last);
  if (looked.length < Math.min(last, feature.samplesMin ?? last)) return Number.NaN;
  return looked.reduce((sum, { late }) => sum + late, 0) / looked.length;
}
