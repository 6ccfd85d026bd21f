/**
 * The public late-payment set (invoices of a hundred customers with due and settled dates) as records in date order:
 * the arrears rules see real delays.
 *
 *     node bench/convert/late-payment.ts [DATA FOLDER] > late-payment.ndjson
 *
 * A customer is an account (its id) with one made-up subscriber number. Its first record is a profile, then come
 * invoices, disputes and payments as they happened. The set knows days only, so hours are set here: invoices at 08:00 UTC,
 * due at 12:00, disputes opened at 15:00 of the day after the invoice and resolved with the payment, payments at 18:00.
 * A bill settled N days after its due date is thus paid N days and 6 h after `dueTime`: whole days late agree with the
 * column DaysLate, and a rule that fires N days after the due time has fired before the payment.
 */
import type { RawRecord } from '../../src/feed/raw-record.ts';
import { dataFile, type Row, readRows, runConverter, writeRecords } from './csv.ts';

const FILE = 'late_payment.csv.gz';
const COLUMNS = ['customerID', 'invoiceNumber', 'InvoiceDate', 'DueDate', 'InvoiceAmount', 'Disputed', 'SettledDate'];
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Records of all rows in time order; rows may come in any order. */
function latePaymentRecords(rows: readonly Row[]): RawRecord[] {
  const customers = [...new Set(rows.map((row) => row.customerID))].sort();
  const msisdnOf = new Map(
    customers.map((customer, index) => [customer, `86139${String(101_000_000 + index).slice(1)}`]),
  );
  const records: RawRecord[] = [];
  const profiled = new Set<string>();
  const inDateOrder = [...rows].sort((one, other) => dayOf(one.InvoiceDate) - dayOf(other.InvoiceDate));

  for (const row of inDateOrder) {
    const { customerID, invoiceNumber } = row;
    const common = { servedMsisdn: msisdnOf.get(customerID) as string, accountId: customerID };
    const issuedAt = dayOf(row.InvoiceDate) + 8 * HOUR_MS;
    const settledAt = dayOf(row.SettledDate) + 18 * HOUR_MS;
    const amount = Number(row.InvoiceAmount);
    if (!profiled.has(customerID)) {
      profiled.add(customerID);
      records.push({
        recordId: `${customerID}-profile`,
        recordType: 'account',
        eventTime: issuedAt,
        ...common,
        event: 'profile',
        attributes: { paymentType: 'postpaid', customerType: 'business' },
      });
    }
    records.push({
      recordId: `${invoiceNumber}-invoice`,
      recordType: 'invoice',
      eventTime: issuedAt,
      ...common,
      invoiceId: invoiceNumber,
      amount,
      dueTime: dayOf(row.DueDate) + 12 * HOUR_MS,
    });
    if (row.Disputed === 'Yes') {
      const dispute = {
        recordType: 'care',
        ...common,
        reason: 'dispute',
        ticketId: `dispute-${invoiceNumber}`,
      } as const;
      const openedAt = Math.min(issuedAt - 8 * HOUR_MS + DAY_MS + 15 * HOUR_MS, settledAt);
      records.push(
        { ...dispute, recordId: `${invoiceNumber}-dispute`, eventTime: openedAt, attributes: { resolved: false } },
        { ...dispute, recordId: `${invoiceNumber}-resolved`, eventTime: settledAt, attributes: { resolved: true } },
      );
    }
    records.push({
      recordId: `${invoiceNumber}-payment`,
      recordType: 'payment',
      eventTime: settledAt,
      ...common,
      invoiceId: invoiceNumber,
      amount,
      outcome: 'done',
    });
  }
  // The sort is stable, so what one row brings stays in its order where times are equal.
  return records.sort((one, other) => one.eventTime - other.eventTime);
}

/** Start of a day written as month/day/year, in UTC. */
function dayOf(date: string): number {
  const [month, day, year] = date.split('/').map(Number);
  return Date.UTC(year, month - 1, day);
}

if (import.meta.main) {
  await runConverter(async (folder) =>
    writeRecords(latePaymentRecords(await readRows(dataFile(folder, FILE), COLUMNS))),
  );
}
