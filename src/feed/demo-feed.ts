/**
 * The feed of the demo: a compact past, then the present.
 *
 *    80 days ago                                   now
 *    |-- a small population, at its natural rate --|-- and on --------------------------> a few records a second
 *    |        lives that lead to live cases -------|-- crossing a threshold, desk after desk ------------------->
 *                                              |---|-- a large population, a few hundred records a second ------>
 *    '--------------- history() -------------------'------------------- live(now) -------------------------------'
 *
 * The past fills windows, baselines and bills, so that the rules which need weeks of data can fire at once. It is handed
 * out as fast as it is read. Live records are pulled with the clock as argument, so nothing here waits or looks at a clock,
 * and no record ever lies in the future: usage is handed out when it ends.
 *
 * Timers (A02, C02, an open complaint of C09) run out at a planned event time, but the engine's watermark is some
 * minutes behind the newest record. Their plan begins that much before `now`, so that the desks see them from the first second
 * whatever the allowed lateness is.
 */
import { createAgenda } from './agenda.ts';
import {
  CASE_KINDS,
  growingExposure,
  homeNumber,
  openComplaint,
  outgoingCall,
  type PlantedCase,
  type PlantedId,
  plantedCase,
  profileRecord,
  repeatedComplaint,
  type Subject,
} from './planted-case.ts';
import { population } from './population.ts';
import { createRandom, mix } from './random.ts';
import { arrivalOf, type RawRecord } from './raw-record.ts';
import { createSubscribers } from './subscriber.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const HISTORY_DAYS = 80;
const HISTORY_SUBSCRIBERS = 200;
const HISTORY_RECORDS_PER_DAY = 8;
/** The small population is planned this far ahead, its rare cases of each kind included. */
const AHEAD_DAYS = 30;
const BACKGROUND_SUBSCRIBERS = 50_000;
const BACKGROUND_RECORDS_PER_SECOND = 250;
/** Calls under way when the demo begins, so that the rate is there from the first second. */
const BACKGROUND_LEAD_MS = 2 * MINUTE_MS;
/** First numbers of the three groups. */
const CASES_FROM = 1_000_000;
const BACKGROUND_FROM = 5_000_000;
const CASE_SUBSCRIBERS_MAX = 4_000_000;
/** One call of `live` hands out no more, so that a machine that slept catches up in steps. */
export const LIVE_RECORDS_MAX = 5_000;
/** The labels of the last day or so; older ones are forgotten while the demo goes on. */
const LABELS_MAX = 100_000;
/** Above the default allowed lateness of five minutes. */
const TIMER_LEAD_MS = 6 * MINUTE_MS;

/** Cases of one kind that cross their threshold one after the other. */
interface CaseSeries {
  catalogue: PlantedId;
  /** Offsets from `now` at which cases cross, rising; a generator because most series have no end. */
  crossings(): Generator<number, void, undefined>;
  /** How long before the crossing the first record of a case lies, at most. */
  leadMs: number;
  records(subject: Subject, crossAt: number): RawRecord[];
}

function* every(
  periodMs: number,
  firstMs: number,
  count = Number.POSITIVE_INFINITY,
): Generator<number, void, undefined> {
  for (let turn = 0; turn < count; turn++) yield firstMs + turn * periodMs;
}

/** Dense while somebody is likely to watch the start, then sparse for half a day: each of these costs history. */
function* timerCrossings(firstMs: number): Generator<number, void, undefined> {
  let at = firstMs - TIMER_LEAD_MS;
  for (; at < 10 * MINUTE_MS; at += 8 * SECOND_MS) yield at;
  for (; at < 12 * HOUR_MS; at += 45 * SECOND_MS) yield at;
}

/** Calls of a minute at even distances: a baseline without noise, which nothing but the case itself can leave. */
function evenCalls(subject: Subject, count: number, from: number, until: number): RawRecord[] {
  const gap = (until - from) / count;
  return Array.from({ length: count }, (_, call) => shortCall(subject, from + (call + 0.5) * gap));
}

function shortCall(subject: Subject, eventTime: number): RawRecord {
  const otherNumber = homeNumber(subject.random);
  return outgoingCall(subject, { eventTime, durationSec: 60, otherNumber, charge: 0.15 });
}

/**
 * Seventy-one days after which spend has just fallen to six tenths at `crossAt` (C01 by days of UTC: the day of the
 * crossing and the 13 before it, against the 56 before those). Spend sinks by a third of a percent an hour when nothing
 * is charged, and a rule that looks once a day would see the crossing at some time of the next day; a call without charge
 * at `crossAt` makes it look then.
 */
function decliningSpend(subject: Subject, crossAt: number): RawRecord[] {
  const recentFrom = (Math.floor(crossAt / DAY_MS) - 13) * DAY_MS;
  const recentDays = (crossAt - recentFrom) / DAY_MS;
  const recent = Math.ceil(3 * recentDays);
  const before = Math.ceil((56 * recent) / recentDays / 0.6);
  return [
    shortCall(subject, crossAt - 71 * DAY_MS),
    ...evenCalls(subject, before, recentFrom - 56 * DAY_MS, recentFrom),
    ...evenCalls(subject, recent, recentFrom, crossAt - 10 * MINUTE_MS),
    { ...shortCall(subject, crossAt - MINUTE_MS), charge: 0 },
  ];
}

const RECOVERY_MS = 20 * MINUTE_MS;

const SERIES: readonly CaseSeries[] = [
  // Fraud: all six kinds end in records, so they go on for as long as the demo runs.
  scripted('F23', 10 * SECOND_MS, 500),
  scripted('F03', 12 * SECOND_MS, 4_000),
  scripted('F05', 14 * SECOND_MS, 7_000),
  scripted('F26', 20 * SECOND_MS, 9_000),
  scripted('F09', 45 * SECOND_MS, 15_000),
  scripted('F27', 60 * SECOND_MS, 25_000),
  // Arrears.
  {
    catalogue: 'A07',
    crossings: () => every(8 * SECOND_MS, 2_000),
    leadMs: 41 * MINUTE_MS,
    records: (subject, crossAt) => growingExposure(subject, crossAt, RECOVERY_MS, 40 * MINUTE_MS),
  },
  {
    catalogue: 'A02',
    crossings: () => timerCrossings(1_000),
    leadMs: CASE_KINDS.A02.leadMs + MINUTE_MS,
    records: (subject, crossAt) => CASE_KINDS.A02.records(subject, crossAt, RECOVERY_MS),
  },
  {
    catalogue: 'A10',
    crossings: () => every(20 * SECOND_MS, 5_000, 60),
    leadMs: 31 * DAY_MS,
    records: (subject, crossAt) => [
      ...evenCalls(subject, 30 * subject.dailyUsage, crossAt - 30 * DAY_MS, crossAt - 12 * MINUTE_MS),
      ...CASE_KINDS.A10.records(subject, crossAt, RECOVERY_MS),
    ],
  },
  // Retention.
  {
    catalogue: 'C09',
    crossings: () => every(8 * SECOND_MS, 3_000),
    leadMs: 31 * MINUTE_MS,
    records: (subject, crossAt) => repeatedComplaint(subject, crossAt, 30 * MINUTE_MS),
  },
  {
    catalogue: 'C09',
    crossings: () => every(40 * SECOND_MS, -TIMER_LEAD_MS, 40),
    leadMs: 5 * DAY_MS + MINUTE_MS,
    records: openComplaint,
  },
  {
    catalogue: 'C02',
    crossings: () => timerCrossings(3_000),
    leadMs: 21 * DAY_MS,
    records: (subject, crossAt) => [
      ...evenCalls(subject, 7, crossAt - 20 * DAY_MS, crossAt - 8 * DAY_MS),
      shortCall(subject, crossAt - 7 * DAY_MS),
    ],
  },
  {
    catalogue: 'C01',
    crossings: () => every(25 * SECOND_MS, 8_000, 40),
    leadMs: 72 * DAY_MS,
    records: decliningSpend,
  },
];

function scripted(catalogue: PlantedId, periodMs: number, firstMs: number): CaseSeries {
  const kind = CASE_KINDS[catalogue];
  return {
    catalogue,
    crossings: () => every(periodMs, firstMs),
    leadMs: kind.leadMs + MINUTE_MS,
    records: (subject, crossAt) => kind.records(subject, crossAt, RECOVERY_MS),
  };
}

export interface DemoFeedOptions {
  seed: number;
  /** Unix epoch milliseconds at which history ends and live begins. */
  now: number;
  /** Subscribers with a long history; default 200. About 650 records each. */
  subscribers?: number;
  /** Live records per second; default 250. */
  rate?: number;
}

export interface DemoFeed {
  /** Everything before `now`, in order of arrival: about 200,000 records. To be drawn once, before `live`. */
  history(): Generator<RawRecord, void, undefined>;
  /** What has arrived since the last call, up to `now` and at most LIVE_RECORDS_MAX records. */
  live(now: number): RawRecord[];
  /** Cases planned so far; the list grows as the feed goes on. */
  labels(): PlantedCase[];
}

export function demoFeed(options: DemoFeedOptions): DemoFeed {
  const { seed, now } = options;
  const startAt = now - HISTORY_DAYS * DAY_MS;
  const rate = options.rate ?? BACKGROUND_RECORDS_PER_SECOND;
  const small = population({
    seed,
    subscribers: options.subscribers ?? HISTORY_SUBSCRIBERS,
    startAt,
    days: HISTORY_DAYS + AHEAD_DAYS,
    recordsPerSubscriberDay: HISTORY_RECORDS_PER_DAY,
    plantedShare: 0.15,
    order: 'arrival',
  });
  const large = population({
    seed,
    subscribers: BACKGROUND_SUBSCRIBERS,
    startAt: now - BACKGROUND_LEAD_MS,
    endAt: Number.POSITIVE_INFINITY,
    recordsPerSubscriberDay: (rate * DAY_MS) / SECOND_MS / BACKGROUND_SUBSCRIBERS,
    plantedShare: 0,
    order: 'arrival',
    curve: 'flat',
    profiles: 'firstUse',
    firstNumber: BACKGROUND_FROM,
  });

  // The cases have subscribers of their own, each used once, so that no case disturbs another.
  const caseSubscribers = createSubscribers({
    seed,
    count: CASE_SUBSCRIBERS_MAX,
    firstNumber: CASES_FROM,
    startAt,
    monthlyUsageCharge: 20,
  });
  const random = createRandom(mix(seed, CASES_FROM));
  const planned: PlantedCase[] = [];
  const agenda = createAgenda<RawRecord | (() => void)>();
  let subjects = 0;
  let recordNumber = 0;
  const nextRecordId = (): string => `c${startAt.toString(36)}.${(recordNumber++).toString(36)}`;

  function planSeries(series: CaseSeries): void {
    const crossings = series.crossings();
    const planNext = (): void => {
      const crossing = crossings.next();
      if (crossing.done) return;
      const crossAt = now + crossing.value;
      agenda.add(crossAt - series.leadMs, () => {
        planCase(series, crossAt);
        planNext();
      });
    };
    planNext();
  }

  function planCase(series: CaseSeries, crossAt: number): void {
    const index = subjects++ % CASE_SUBSCRIBERS_MAX;
    const subject: Subject = {
      servedMsisdn: caseSubscribers.msisdn(index),
      servedImsi: caseSubscribers.imsi(index),
      servedImei: caseSubscribers.imei(index, 0),
      accountId: undefined,
      cellId: caseSubscribers.homeCell(index),
      creditLimit: caseSubscribers.creditLimit(index),
      dailyUsage: 3,
      random,
      nextRecordId,
    };
    const records = series.records(subject, crossAt);
    let from = Number.POSITIVE_INFINITY;
    for (const record of records) from = Math.min(from, record.eventTime);
    records.push(
      profileRecord(subject, from - SECOND_MS, {
        activatedAt: caseSubscribers.activatedAt(index),
        planId: `postpaid-${caseSubscribers.monthlyFee(index)}`,
        customerType: 'consumer',
        paymentType: 'postpaid',
        tier: caseSubscribers.tier(index),
        homeCell: subject.cellId,
        monthlyFee: caseSubscribers.monthlyFee(index),
        creditLimit: subject.creditLimit,
        contractEndAt: caseSubscribers.contractEndAt(index),
      }),
    );
    for (const record of records) agenda.add(arrivalOf(record), record);
    if (planned.length >= LABELS_MAX) planned.splice(0, LABELS_MAX / 2);
    planned.push(plantedCase(series.catalogue, subject, crossAt, from));
  }

  for (const series of SERIES) planSeries(series);

  const streams = [small.records(), large.records()].map((records) => ({ records, head: records.next().value }));

  /** The next record that has arrived by `until`, over both populations and the cases; undefined where none has. */
  function nextUntil(until: number): RawRecord | undefined {
    for (;;) {
      let earliest = Math.min(agenda.nextAt(), until + 1);
      let from: (typeof streams)[number] | undefined;
      for (const stream of streams) {
        if (stream.head !== undefined && arrivalOf(stream.head) < earliest) {
          earliest = arrivalOf(stream.head);
          from = stream;
        }
      }
      if (from !== undefined) {
        const record = from.head;
        from.head = from.records.next().value ?? undefined;
        return record ?? undefined;
      }
      if (agenda.nextAt() > until) return undefined;
      const item = agenda.take();
      if (typeof item !== 'function') return item;
      item();
    }
  }

  return {
    *history() {
      for (let record = nextUntil(now); record !== undefined; record = nextUntil(now)) yield record;
    },
    live(until) {
      const records: RawRecord[] = [];
      while (records.length < LIVE_RECORDS_MAX) {
        const record = nextUntil(until);
        if (record === undefined) break;
        records.push(record);
      }
      return records;
    },
    labels: () => [...small.labels, ...planned],
  };
}
