import { describe, expect, test } from 'vitest';
import { countedBy, handsetsOf } from '../src/console/record-tops.ts';
import type { UsageRecordView } from '../src/evidence/record-view.ts';

const record = (eventTime: number, fields: Partial<UsageRecordView>): UsageRecordView =>
  ({ recordId: `r${eventTime}`, recordType: 'voice', eventTime, ...fields }) as UsageRecordView;

describe('what records say at a glance', () => {
  test('the most frequent value first, of equal ones the latest; records without a value do not count', () => {
    const records = [
      record(5, { otherNumber: '111' }),
      record(1, { otherNumber: '222' }),
      record(9, { otherNumber: '333' }),
      record(3, { otherNumber: '222' }),
      record(7, { otherNumber: '' }),
      record(8, {}),
    ];
    expect(countedBy(records, ({ otherNumber }) => otherNumber)).toEqual([
      { value: '222', records: 2, first: 1, last: 3 },
      { value: '333', records: 1, first: 9, last: 9 },
      { value: '111', records: 1, first: 5, last: 5 },
    ]);
  });

  test('handsets stand in the order in which they came, however often each was used', () => {
    const records = [2, 3, 4].map((at) => record(at, { servedImei: 'old' }));
    records.push(record(6, { servedImei: 'new' }), record(7, { servedImei: 'old' }));
    expect(handsetsOf(records).map(({ value, first, last }) => [value, first, last])).toEqual([
      ['new', 6, 6],
      ['old', 2, 7],
    ]);
  });
});
