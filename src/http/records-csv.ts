/** Usage records as CSV (RFC 4180), for spreadsheets: a cell that one would take for a formula is text. */
import type { UsageRecordView } from '../evidence/record-view.ts';

const COLUMNS = [
  'eventTime',
  'recordType',
  'direction',
  'servedMsisdn',
  'otherNumber',
  'durationSec',
  'bytesUp',
  'bytesDown',
  'charge',
  'amount',
  'balanceAfter',
  'outcome',
  'causeForTerm',
  'cellId',
  'servingPlmn',
  'servedImsi',
  'servedImei',
  'trunkId',
  'carrierId',
  'channel',
  'event',
  'reason',
  'invoiceId',
  'recordId',
] as const satisfies readonly (keyof UsageRecordView)[];

/** Spreadsheets run what begins so, whatever quotes stand around it. */
const FORMULA = /^[=+\-@\t\r]/;
/** A byte order mark: without it spreadsheets do not take UTF-8 for what it is. */
const MARK = '\ufeff';

/** A cell; numbers of ours are numbers, and whatever somebody wrote is text. */
export function csvCell(value: string | number | undefined): string {
  if (value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param timeZone IANA name; times are written with its offset, so that no reader has to know it */
export function recordsCsv(records: readonly UsageRecordView[], timeZone: string): string {
  const timeOf = zonedTime(timeZone);
  const lines = records.map((record) =>
    COLUMNS.map((column) => csvCell(column === 'eventTime' ? timeOf(record.eventTime) : record[column])).join(','),
  );
  return `${MARK}${[COLUMNS.join(','), ...lines].join('\r\n')}\r\n`;
}

/** RFC 3339 with the offset of a zone: `2026-03-02T08:00:00.000+08:00`. */
function zonedTime(timeZone: string): (atMs: number) => string {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    timeZoneName: 'longOffset',
  });
  return (atMs) => {
    const of = Object.fromEntries(parts.formatToParts(atMs).map(({ type, value }) => [type, value]));
    // `GMT+08:00`, and `GMT` alone where there is none.
    const offset = of['timeZoneName']!.slice('GMT'.length) || '+00:00';
    const { year, month, day, hour, minute, second, fractionalSecond } = of;
    return `${year}-${month}-${day}T${hour}:${minute}:${second}.${fractionalSecond}${offset}`;
  };
}
