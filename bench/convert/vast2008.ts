/**
 * The call set of the VAST Challenge 2008 (ten days of calls on an invented island) as voice records in time order.
 *
 *     node bench/convert/vast2008.ts [DATA FOLDER] > vast2008.ndjson
 *
 * One row is one call seen from the caller: its tower is the caller's. Both ends are subscribers of the set, so each call
 * becomes two records that share `callId`: outgoing for the caller with the cell, incoming for the called one without,
 * because the set does not say where that phone was. Subscriber numbers are made up from the ids of the set, and times, which
 * have no zone there, are read as UTC.
 */
import type { RawRecord } from '../../src/feed/raw-record.ts';
import { dataFile, type Row, readRows, runConverter, writeRecords } from './csv.ts';

const FILE = 'vast2008_calls.csv.gz';
const COLUMNS = ['row', 'From', 'To', 'DateTime', 'Duration.seconds.', 'Cell.Tower'];

/** Two records a row, in time order; rows may come in any order. */
function vastRecords(rows: readonly Row[]): RawRecord[] {
  const records = rows.flatMap((row): RawRecord[] => {
    const caller = msisdnOf(row.From);
    const called = msisdnOf(row.To);
    const call = {
      recordType: 'voice',
      eventTime: timeOf(row.DateTime),
      callId: `call-${row.row}`,
      durationSec: Number(row['Duration.seconds.']),
      causeForTerm: 'normal',
    } as const;
    return [
      {
        ...call,
        recordId: `${row.row}-mo`,
        servedMsisdn: caller,
        direction: 'mo',
        otherNumber: called,
        cellId: row['Cell.Tower'],
      },
      { ...call, recordId: `${row.row}-mt`, servedMsisdn: called, direction: 'mt', otherNumber: caller },
    ];
  });
  // The sort is stable: of calls in the same minute the set's own order counts.
  return records.sort((one, other) => one.eventTime - other.eventTime);
}

function msisdnOf(id: string): string {
  return `86139${String(102_000_000 + Number(id)).slice(1)}`;
}

/** A time written as month/day/year hour:minute, in UTC. */
function timeOf(text: string): number {
  const [date, clock] = text.split(' ');
  const [month, day, year] = date.split('/').map(Number);
  const [hour, minute] = clock.split(':').map(Number);
  return Date.UTC(year, month - 1, day, hour, minute);
}

if (import.meta.main) {
  await runConverter(async (folder) => writeRecords(vastRecords(await readRows(dataFile(folder, FILE), COLUMNS))));
}
