import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { decodeMessage } from '../src/record/decode.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-convert-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a converter over an invented data set, as a person would. */
function convert(name: string, file: string, csv: string): { status: number | null; stdout: string; stderr: string } {
  const data = mkdtempSync(join(folder, 'data-'));
  if (csv !== '') writeFileSync(join(data, file), gzipSync(csv));
  const program = fileURLToPath(new URL(`../bench/convert/${name}.ts`, import.meta.url));
  return spawnSync(process.execPath, [program, data], { encoding: 'utf8' });
}

/** One line a record: time, type, subscriber and what matters, aligned by hand in the expectation. */
function shown(stdout: string): string[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map((record) => {
      const time = new Date(record.eventTime as number).toISOString().slice(0, 16);
      const { recordType, servedMsisdn, direction, otherNumber, durationSec, cellId, invoiceId, amount } = record;
      const resolved = (record.attributes as Record<string, unknown> | undefined)?.resolved;
      const due = record.dueTime === undefined ? undefined : new Date(record.dueTime as number).toISOString();
      const details = [direction, otherNumber, durationSec, cellId, invoiceId, amount, due?.slice(0, 16), resolved];
      return [time, recordType, servedMsisdn, ...details.filter((detail) => detail !== undefined)].join(' ');
    });
}

function rejections(stdout: string): unknown[] {
  return decodeMessage(Buffer.from(stdout), { eventTimeMax: Date.UTC(2030, 0, 1) }).rejections;
}

describe('late-payment', () => {
  const header =
    'countryCode,customerID,PaperlessDate,invoiceNumber,InvoiceDate,DueDate,InvoiceAmount,Disputed,SettledDate,PaperlessBill,DaysToSettle,DaysLate';
  const csv = [
    header,
    '1,ZED-1,1/1/2020,1002,3/10/2020,4/9/2020,70.5,Yes,4/25/2020,Paper,46,16',
    '1,ZED-1,1/1/2020,1001,2/1/2020,3/2/2020,50,No,2/20/2020,Paper,19,0',
    '1,ABE-2,1/1/2020,1003,2/20/2020,3/21/2020,10.25,No,3/21/2020,Electronic,30,0',
    '',
  ].join('\r\n');

  test('makes profiles, invoices, disputes and payments in date order', () => {
    const { status, stdout, stderr } = convert('late-payment', 'late_payment.csv.gz', csv);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(shown(stdout)).toEqual([
      '2020-02-01T08:00 account 8613901000001',
      '2020-02-01T08:00 invoice 8613901000001 1001 50 2020-03-02T12:00',
      '2020-02-20T08:00 account 8613901000000',
      '2020-02-20T08:00 invoice 8613901000000 1003 10.25 2020-03-21T12:00',
      '2020-02-20T18:00 payment 8613901000001 1001 50',
      '2020-03-10T08:00 invoice 8613901000001 1002 70.5 2020-04-09T12:00',
      '2020-03-11T15:00 care 8613901000001 false',
      '2020-03-21T18:00 payment 8613901000000 1003 10.25',
      '2020-04-25T18:00 care 8613901000001 true',
      '2020-04-25T18:00 payment 8613901000001 1002 70.5',
    ]);
    expect(rejections(stdout)).toEqual([]);
  });

  test('whole days between due time and payment are the days late of the set', () => {
    const records = convert('late-payment', 'late_payment.csv.gz', csv)
      .stdout.trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { recordType: string; invoiceId: string; eventTime: number; dueTime: number });
    const dueTimes = new Map(records.filter(({ dueTime }) => dueTime).map((one) => [one.invoiceId, one.dueTime]));
    const daysLate = records
      .filter(({ recordType }) => recordType === 'payment')
      .map((one) => [one.invoiceId, Math.floor((one.eventTime - (dueTimes.get(one.invoiceId) ?? 0)) / 86_400_000)]);
    expect(Object.fromEntries(daysLate)).toEqual({ 1001: -11, 1002: 16, 1003: 0 });
  });
});

describe('vast2008', () => {
  const header = 'row,From,To,DateTime,Duration.seconds.,Cell.Tower';

  test('makes both ends of each call, in time order', () => {
    const csv = [header, '1,7,250,6/1/2006 0:08,1200,4', '2,250,9,5/31/2006 23:59,30,11', ''].join('\n');
    const { status, stdout, stderr } = convert('vast2008', 'vast2008_calls.csv.gz', csv);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(shown(stdout)).toEqual([
      '2006-05-31T23:59 voice 8613902000250 mo 8613902000009 30 11',
      '2006-05-31T23:59 voice 8613902000009 mt 8613902000250 30',
      '2006-06-01T00:08 voice 8613902000007 mo 8613902000250 1200 4',
      '2006-06-01T00:08 voice 8613902000250 mt 8613902000007 1200',
    ]);
    expect(rejections(stdout)).toEqual([]);
  });
});

describe('without its data', () => {
  test.each([
    ['late-payment', 'late_payment.csv.gz'],
    ['vast2008', 'vast2008_calls.csv.gz'],
  ])('%s says so and exits with 3', (name, file) => {
    const absent = convert(name, file, '');
    expect(absent.status).toBe(3);
    expect(absent.stderr).toMatch(new RegExp(`^There is no .*${file}[.] Give the folder .*\n$`));
    const wrong = convert(name, file, 'a,b\n1,2\n');
    expect(wrong.status).toBe(3);
    expect(wrong.stderr).toMatch(/^.* has no column \w+[.] Its first line must name .*\n$/);
  });
});
