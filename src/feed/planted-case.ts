/**
 * The cases that a feed plants among normal subscribers: one script for each of the first twelve detections of the
 * catalogue. A script is written around `crossAt`, the moment at which the record arrives (or the timer runs out) that
 * takes the subscriber over the first threshold; everything that leads there lies before it, at most `leadMs` earlier.
 *
 * C01 and C02 are the absence of usage, so their scripts add nothing: they say how the subscriber's normal usage changes.
 */
import type { Desk } from '../alerts/alert.ts';
import { between, pick, type Random } from './random.ts';
import type { RawRecord } from './raw-record.ts';
import { HIGH_COST_DESTINATIONS, HOME_PLMN, numberAt } from './subscriber.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export const PLANTED_IDS = [
  'F03',
  'F05',
  'F09',
  'F23',
  'F26',
  'F27',
  'A02',
  'A07',
  'A10',
  'C01',
  'C02',
  'C09',
] as const;
/** Catalogue id of a detection that the feed can plant. */
export type PlantedId = (typeof PLANTED_IDS)[number];

/** The truth about one planted case, for labels and for precision and recall. */
export interface PlantedCase {
  servedMsisdn: string;
  desk: Desk;
  catalogue: PlantedId;
  /** Event time of the first record that belongs to the case. */
  from: number;
  /** Event time by which the detection has had all it needs. */
  to: number;
  description: string;
  /** Key of the alert that is expected; for F05 (subscriber and prefix) its subscriber part. */
  expectedKey: { type: 'subscriber' | 'imsi' | 'account'; value: string };
}

/** The subscriber that a case happens to. */
export interface Subject {
  servedMsisdn: string;
  servedImsi: string;
  servedImei: string;
  accountId: string | undefined;
  cellId: string;
  /** Currency units. */
  creditLimit: number;
  /** Usage records of a usual day; a bust-out is measured against it. */
  dailyUsage: number;
  random: Random;
  nextRecordId(): string;
}

/** A change of the subscriber's normal usage; 0 is none at all, 1 is as always. */
export interface UsageChange {
  from: number;
  until: number;
  share: number;
  /** Only what the subscriber does itself stops; calls and messages to it go on. */
  outgoingOnly: boolean;
}

export interface CaseKind {
  desk: Desk;
  keyType: PlantedCase['expectedKey']['type'];
  description: string;
  /** How long before `crossAt` the first record of the case lies, at most. */
  leadMs: number;
  /** For how long the subscriber must have been seen before `crossAt`, lead included. */
  historyMs: number;
  /** How long after `crossAt` the case goes on. */
  tailMs: number;
  /** From when the subscriber pays nothing, as time before `crossAt`; undefined where payments are not touched. */
  unpaidMs?: number;
  usageChange?(crossAt: number): UsageChange;
  /** Records of the case in no particular order; `recoveryMs` is about how long after the crossing an arrears case is paid. */
  records(subject: Subject, crossAt: number, recoveryMs: number): RawRecord[];
}

function record(subject: Subject, recordType: RawRecord['recordType'], eventTime: number): RawRecord {
  const made: RawRecord = {
    recordId: subject.nextRecordId(),
    recordType,
    eventTime: Math.round(eventTime),
    servedMsisdn: subject.servedMsisdn,
    servedImsi: subject.servedImsi,
  };
  if (subject.accountId !== undefined) made.accountId = subject.accountId;
  return made;
}

/** Prices are rounded to hundredths, so that no sum carries binary dust. */
export function cents(value: number): number {
  return Math.round(value * 100) / 100;
}

export interface OutgoingCall {
  eventTime: number;
  durationSec: number;
  otherNumber: string;
  cellId?: string;
  servedImei?: string;
  charge?: number;
}

export function outgoingCall(subject: Subject, call: OutgoingCall): RawRecord {
  return {
    ...record(subject, 'voice', call.eventTime),
    servedImei: call.servedImei ?? subject.servedImei,
    direction: 'mo',
    otherNumber: call.otherNumber,
    durationSec: call.durationSec,
    causeForTerm: 'normal',
    cellId: call.cellId ?? subject.cellId,
    servingPlmn: HOME_PLMN,
    charge: call.charge ?? cents(0.15 * Math.ceil(call.durationSec / 60)),
  };
}

/** A number of the home country outside the population. */
export function homeNumber(random: Random): string {
  return `86137${String(100_000_000 + Math.floor(random() * 100_000_000)).slice(1)}`;
}

export function profileRecord(
  subject: Subject,
  eventTime: number,
  attributes: Record<string, string | number | boolean>,
): RawRecord {
  return { ...record(subject, 'account', eventTime), event: 'profile', attributes };
}

function invoice(subject: Subject, issuedAt: number, dueTime: number, amount: number): RawRecord {
  const made = record(subject, 'invoice', issuedAt);
  return { ...made, invoiceId: `I${made.recordId}`, dueTime: Math.round(dueTime), amount };
}

function payment(subject: Subject, eventTime: number, bill: RawRecord, failed: boolean): RawRecord {
  const made: RawRecord = {
    ...record(subject, 'payment', eventTime),
    amount: bill.amount ?? 0,
    channel: failed ? 'directDebit' : 'app',
    outcome: failed ? 'failed' : 'done',
  };
  if (bill.invoiceId !== undefined) made.invoiceId = bill.invoiceId;
  if (failed) made.declineCode = 'soft';
  return made;
}

function care(subject: Subject, eventTime: number, ticketId: string, resolved: boolean): RawRecord {
  return {
    ...record(subject, 'care', eventTime),
    reason: 'complaint',
    channel: 'call',
    ticketId,
    attributes: { resolved },
  };
}

/** Half of the debtors pay soon, the others take eight times as long. */
function recoveredAfter(subject: Subject, recoveryMs: number): number {
  return recoveryMs * (subject.random() < 0.5 ? 1 : 8) * (0.5 + subject.random());
}

/** Six data sessions take unbilled usage and the open bill over four fifths of the limit, ten over the whole of it. */
export function growingExposure(subject: Subject, crossAt: number, recoveryMs: number, billAgeMs: number): RawRecord[] {
  const { creditLimit } = subject;
  const bill = invoice(subject, crossAt - billAgeMs, crossAt + 10 * DAY_MS, cents(0.45 * creditLimit));
  // 0.45 of the limit is billed and open; the sixth session takes it to 0.81, the tenth to 1.05.
  const sessions = Array.from(
    { length: 10 },
    (_, session): RawRecord => ({
      ...record(subject, 'data', crossAt - 240 * SECOND_MS + (session - 5) * 300 * SECOND_MS),
      durationSec: 240,
      bytesUp: 20_000_000,
      bytesDown: 1_500_000_000,
      apn: 'internet',
      cellId: subject.cellId,
      servingPlmn: HOME_PLMN,
      charge: cents(0.06 * creditLimit),
    }),
  );
  return [bill, ...sessions, payment(subject, crossAt + HOUR_MS + recoveredAfter(subject, recoveryMs), bill, false)];
}

/** A complaint that nobody resolves: after five days it counts without another record. */
export function openComplaint(subject: Subject, crossAt: number): RawRecord[] {
  return [care(subject, crossAt - 5 * DAY_MS, `T${subject.nextRecordId()}`, false)];
}

/** Two complaints on different tickets, the first one resolved in between. */
export function repeatedComplaint(subject: Subject, crossAt: number, gapMs: number): RawRecord[] {
  const first = `T${subject.nextRecordId()}`;
  return [
    care(subject, crossAt - gapMs, first, false),
    care(subject, crossAt - gapMs / 2, first, true),
    care(subject, crossAt, `T${subject.nextRecordId()}`, false),
  ];
}

/**
 * While the script uses the SIM, the subscriber does not: a normal call at the same time from another cell would be a
 * collision (F23) that no label knows of. The longest script and the longest normal call decide the margin.
 */
const scriptOnly = (crossAt: number): UsageChange => ({
  from: crossAt - 3 * HOUR_MS,
  until: crossAt + 3 * HOUR_MS,
  share: 0,
  outgoingOnly: true,
});

export const CASE_KINDS: Record<PlantedId, CaseKind> = {
  F03: {
    desk: 'fraud',
    keyType: 'subscriber',
    description: 'six calls to a dear destination inside an hour, two at a time',
    leadMs: 11 * MINUTE_MS,
    historyMs: 11 * MINUTE_MS,
    tailMs: 20 * MINUTE_MS,
    usageChange: scriptOnly,
    records(subject, crossAt) {
      const destination = pick(subject.random, HIGH_COST_DESTINATIONS);
      // Pairs of 620, 480 and 480 s: 1,240 s reach the warning as the first pair ends, 3,160 s the critical band later.
      const pairs = [
        { startsAt: crossAt - 620 * SECOND_MS, durationSec: 620 },
        { startsAt: crossAt + 30 * SECOND_MS, durationSec: 480 },
        { startsAt: crossAt + 540 * SECOND_MS, durationSec: 480 },
      ];
      return pairs.flatMap(({ startsAt, durationSec }) =>
        [0, 1].map((leg) =>
          outgoingCall(subject, {
            // The legs end together, so that the second one to arrive is the one that crosses.
            eventTime: startsAt - leg * SECOND_MS,
            durationSec: durationSec + leg,
            otherNumber: numberAt(destination, between(subject.random, 0, 9999)),
            charge: cents((destination.ratePerMinute * durationSec) / 60),
          }),
        ),
      );
    },
  },
  F05: {
    desk: 'fraud',
    keyType: 'subscriber',
    description: 'eight very short calls to one foreign prefix within a minute',
    leadMs: MINUTE_MS,
    historyMs: MINUTE_MS,
    tailMs: MINUTE_MS,
    usageChange: scriptOnly,
    records(subject, crossAt) {
      const destination = pick(subject.random, HIGH_COST_DESTINATIONS);
      return Array.from({ length: 8 }, (_, call) =>
        outgoingCall(subject, {
          eventTime: crossAt - 24 * SECOND_MS + call * 5 * SECOND_MS,
          durationSec: 3,
          otherNumber: numberAt(destination, between(subject.random, 0, 9999)),
          charge: destination.ratePerMinute,
        }),
      );
    },
  },
  F09: {
    desk: 'fraud',
    keyType: 'subscriber',
    description: 'one call of four hours that arrives as eight partial records',
    leadMs: 2 * HOUR_MS + MINUTE_MS,
    historyMs: 2 * HOUR_MS + MINUTE_MS,
    tailMs: 2 * HOUR_MS + MINUTE_MS,
    usageChange: scriptOnly,
    records(subject, crossAt) {
      const otherNumber = homeNumber(subject.random);
      const callId = `call-${subject.nextRecordId()}`;
      return Array.from({ length: 8 }, (_, part) => ({
        ...outgoingCall(subject, {
          eventTime: crossAt - 2 * HOUR_MS + part * 30 * MINUTE_MS,
          durationSec: 1800,
          otherNumber,
          charge: 4.5,
        }),
        callId,
        partial: part + 1,
      }));
    },
  },
  F23: {
    desk: 'fraud',
    keyType: 'imsi',
    description: 'two outgoing calls of one SIM at the same time in distant cells',
    leadMs: 3 * MINUTE_MS,
    historyMs: 3 * MINUTE_MS,
    tailMs: MINUTE_MS,
    usageChange: scriptOnly,
    records(subject, crossAt) {
      const elsewhere = `460-00-${between(subject.random, 600, 900)}-${between(subject.random, 1000, 1059)}`;
      return [
        outgoingCall(subject, {
          eventTime: crossAt - 150 * SECOND_MS,
          durationSec: 150,
          otherNumber: homeNumber(subject.random),
        }),
        outgoingCall(subject, {
          eventTime: crossAt - 110 * SECOND_MS,
          durationSec: 90,
          otherNumber: homeNumber(subject.random),
          cellId: elsewhere,
        }),
      ];
    },
  },
  F26: {
    desk: 'fraud',
    keyType: 'imsi',
    description: 'one SIM in six handsets within a quarter of an hour',
    leadMs: 6 * MINUTE_MS,
    historyMs: 6 * MINUTE_MS,
    tailMs: 10 * MINUTE_MS,
    usageChange: scriptOnly,
    records(subject, crossAt) {
      return Array.from({ length: 6 }, (_, handset) =>
        outgoingCall(subject, {
          eventTime: crossAt - 30 * SECOND_MS + (handset - 2) * 2 * MINUTE_MS,
          durationSec: 30,
          otherNumber: homeNumber(subject.random),
          servedImei: `00449${900 + handset}${between(subject.random, 100_000, 999_999)}0`,
        }),
      );
    },
  },
  F27: {
    desk: 'fraud',
    keyType: 'imsi',
    description: 'SIM box: 95 outgoing calls to 95 numbers from one cell, nothing incoming, no messages, no data',
    leadMs: 135 * MINUTE_MS,
    historyMs: 135 * MINUTE_MS,
    tailMs: 30 * MINUTE_MS,
    // The SIM does nothing else on that day.
    usageChange: (crossAt) => ({
      from: crossAt - DAY_MS - 3 * HOUR_MS,
      until: crossAt + HOUR_MS,
      share: 0,
      outgoingOnly: false,
    }),
    records(subject, crossAt) {
      return Array.from({ length: 95 }, (_, call) =>
        outgoingCall(subject, {
          // The 80th call, index 79, ends at crossAt; every call ends before the next begins.
          eventTime: crossAt - 60 * SECOND_MS + (call - 79) * 100 * SECOND_MS,
          durationSec: call === 79 ? 60 : between(subject.random, 30, 90),
          otherNumber: homeNumber(subject.random),
        }),
      );
    },
  },
  A02: {
    desk: 'arrears',
    keyType: 'account',
    description: 'the direct debit fails and the bill is still open ten days after it was due',
    leadMs: 30 * DAY_MS,
    historyMs: 0,
    tailMs: DAY_MS,
    unpaidMs: 30 * DAY_MS,
    records(subject, crossAt, recoveryMs) {
      const dueTime = crossAt - 10 * DAY_MS;
      const bill = invoice(subject, dueTime - 20 * DAY_MS, dueTime, between(subject.random, 40, 180));
      const made = [bill, payment(subject, dueTime - 9 * HOUR_MS, bill, true)];
      made.push(payment(subject, crossAt + recoveredAfter(subject, recoveryMs), bill, false));
      return made;
    },
  },
  A07: {
    desk: 'arrears',
    keyType: 'account',
    description: 'unbilled usage and open bills grow past the credit limit within an hour',
    leadMs: 10 * DAY_MS,
    historyMs: 31 * MINUTE_MS,
    tailMs: HOUR_MS,
    unpaidMs: 10 * DAY_MS,
    records: (subject, crossAt, recoveryMs) => growingExposure(subject, crossAt, recoveryMs, 10 * DAY_MS),
  },
  A10: {
    desk: 'arrears',
    keyType: 'account',
    description: 'usage of several days within minutes while a bill is overdue',
    leadMs: 25 * DAY_MS,
    // Twelve days of its own usage, so that the ten that the baseline needs are there.
    historyMs: 12 * DAY_MS,
    tailMs: HOUR_MS,
    unpaidMs: 25 * DAY_MS,
    usageChange: scriptOnly,
    records(subject, crossAt, recoveryMs) {
      const dueTime = crossAt - 5 * DAY_MS;
      const bill = invoice(subject, dueTime - 20 * DAY_MS, dueTime, between(subject.random, 40, 180));
      const untilCross = Math.ceil(3.5 * subject.dailyUsage);
      const total = Math.ceil(5 * subject.dailyUsage);
      // Ten minutes lead up to the crossing, whatever the number of records.
      const gapMs = (10 * MINUTE_MS) / untilCross;
      const burst = Array.from({ length: total }, (_, use) =>
        outgoingCall(subject, {
          eventTime: crossAt - 8 * SECOND_MS + (use + 1 - untilCross) * gapMs,
          durationSec: 8,
          otherNumber: homeNumber(subject.random),
          charge: 1,
        }),
      );
      return [
        bill,
        payment(subject, dueTime - 9 * HOUR_MS, bill, true),
        ...burst,
        payment(subject, crossAt + HOUR_MS + Math.min(recoveryMs * (0.5 + subject.random()), 4 * DAY_MS), bill, false),
      ];
    },
  },
  C01: {
    desk: 'retention',
    keyType: 'subscriber',
    description: 'usage falls to a fifth and stays there',
    leadMs: 8 * DAY_MS,
    historyMs: 71 * DAY_MS,
    tailMs: 4 * DAY_MS,
    usageChange: (crossAt) => ({
      from: crossAt - 8 * DAY_MS,
      until: Number.POSITIVE_INFINITY,
      share: 0.2,
      outgoingOnly: false,
    }),
    records: () => [],
  },
  C02: {
    desk: 'retention',
    keyType: 'subscriber',
    description: 'the subscriber stops using the phone; only calls and messages to it go on',
    leadMs: 7 * DAY_MS,
    historyMs: 10 * DAY_MS,
    tailMs: DAY_MS,
    usageChange: (crossAt) => ({
      from: crossAt - 7 * DAY_MS,
      until: Number.POSITIVE_INFINITY,
      share: 0,
      outgoingOnly: true,
    }),
    records: () => [],
  },
  C09: {
    desk: 'retention',
    keyType: 'subscriber',
    description: 'a second complaint within a month, or a complaint that nobody resolves for five days',
    leadMs: 5 * DAY_MS,
    historyMs: 5 * DAY_MS,
    tailMs: HOUR_MS,
    records: (subject, crossAt) =>
      subject.random() < 0.5
        ? openComplaint(subject, crossAt)
        : repeatedComplaint(subject, crossAt, between(subject.random, 1, 4) * DAY_MS),
  },
};

/** What the labels say about a case: when it begins and by when its detection has had all it needs. */
export function plantedCase(
  catalogue: PlantedId,
  subject: Subject,
  crossAt: number,
  firstRecordAt: number,
): PlantedCase {
  const kind = CASE_KINDS[catalogue];
  return {
    servedMsisdn: subject.servedMsisdn,
    desk: kind.desk,
    catalogue,
    from: firstRecordAt,
    to: crossAt + kind.tailMs,
    description: kind.description,
    expectedKey: {
      type: kind.keyType,
      value:
        kind.keyType === 'imsi'
          ? subject.servedImsi
          : kind.keyType === 'account'
            ? (subject.accountId ?? subject.servedMsisdn)
            : subject.servedMsisdn,
    },
  };
}
