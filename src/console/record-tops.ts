/** How often values occur in usage records, and from when to when. */
import type { UsageRecordView } from '../evidence/record-view.ts';

export interface Counted {
  value: string;
  records: number;
  /** Event times, epoch milliseconds. */
  first: number;
  last: number;
}

/** How often each value occurs and from when to when; the most frequent first, of equal ones the latest. */
export function countedBy(
  records: readonly UsageRecordView[],
  read: (record: UsageRecordView) => string | undefined,
): Counted[] {
  const found = new Map<string, Counted>();
  for (const record of records) {
    const value = read(record);
    if (value === undefined || value === '') continue;
    const { eventTime } = record;
    const known = found.get(value);
    if (known === undefined) found.set(value, { value, records: 1, first: eventTime, last: eventTime });
    else {
      known.records++;
      known.first = Math.min(known.first, eventTime);
      known.last = Math.max(known.last, eventTime);
    }
  }
  return [...found.values()].sort((a, b) => b.records - a.records || b.last - a.last);
}

/** Handsets in the order in which they came: each one behind the first is a change. */
export const handsetsOf = (records: readonly UsageRecordView[]): Counted[] =>
  countedBy(records, ({ servedImei }) => servedImei).sort((a, b) => b.first - a.first);
