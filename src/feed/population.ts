/**
 * A believable population of subscribers as a stream of usage records in time order, with planted cases of fraud, arrears
 * and churn whose truth is known. It is the workload of the demo, the benchmarks and the tests.
 *
 * One generator owns the stream: it draws the next ordinary use of the network (a Poisson process over the whole
 * population whose rate follows the hour of the week) and takes what is planned before that (bills, payments, top-ups,
 * trips, the cases) from the agenda. Subscribers are functions of seed and index (`subscriber.ts`); what they must
 * remember (balance, when the current call ends, handset generation) lies in typed arrays, 18 bytes a subscriber, so a
 * million of them fit beside anything else. The same options give the same records, byte for byte.
 *
 * Ordinary subscribers rarely trip a rule, but some do, as in life: a few pay more than ten days late, a few
 * complaints stay open, a few go quiet for a week.
 */
import { createAgenda } from './agenda.ts';
import {
  CASE_KINDS,
  cents,
  homeNumber,
  PLANTED_IDS,
  type PlantedCase,
  type PlantedId,
  plantedCase,
  type Subject,
  type UsageChange,
} from './planted-case.ts';
import { between, createRandom, exponential, logNormal, mix, pick, poisson, type Random, zipfRank } from './random.ts';
import { arrivalOf, type RawRecord } from './raw-record.ts';
import { ACTIVITY_MAX, createSubscribers, DESTINATIONS, type Destination, HOME_PLMN, numberAt } from './subscriber.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The home network's clock: China Standard Time. Day and night of the usage follow it. */
const LOCAL_OFFSET_MS = 8 * HOUR_MS;
const BILLING_DAYS = 28;
const PAYMENT_TERM_MS = 20 * DAY_MS;
const RECORDS_PER_SUBSCRIBER_DAY = 20;
const PLANTED_SHARE = 0.01;
/** The longest ordinary call: below every long-call threshold of the catalogue. */
const CALL_SECONDS_MAX = 3000;
/** The process is redrawn at least this often, so that it follows the hour even in a tiny population. */
const REDRAW_MS = 15 * MINUTE_MS;
const A2P_SENDERS = ['BANK-OTP', 'PARCEL', 'CLINIC', 'AIRLINE', '10690001', '10690077'];

export interface PopulationOptions {
  seed: number;
  /** 1 to SUBSCRIBERS_MAX. */
  subscribers: number;
  /** Unix epoch milliseconds. */
  startAt: number;
  /** Unix epoch milliseconds, exclusive. Give this or `days`; Infinity for a stream without end. */
  endAt?: number;
  days?: number;
  /** Mean over all subscribers, both ends of a call inside the operator included; default 20. */
  recordsPerSubscriberDay?: number;
  /** Planted cases per subscriber, spread over the catalogue ids that fit into the period; default 0.01. */
  plantedShare?: number;
  /** Cases by catalogue id, instead of the share. */
  planted?: Partial<Record<PlantedId, number>>;
  /** By begin of usage (default), or as a network delivers: by its end. */
  order?: 'eventTime' | 'arrival';
  /** `daily`: busy hours, nights and weekends (default); `flat`: the same rate at all times. */
  curve?: 'daily' | 'flat';
  /** Profile events at the start (default), with the subscriber's first own record, or none. */
  profiles?: 'start' | 'firstUse' | 'none';
  /** Index of the first number, so that two populations do not share subscribers; default 0. */
  firstNumber?: number;
}

export interface Population {
  subscribers: number;
  msisdn(index: number): string;
  /** The planted cases, known before the first record is drawn. */
  labels: PlantedCase[];
  /** The stream; can be drawn once. */
  records(): Generator<RawRecord, void, undefined>;
}

export function population(options: PopulationOptions): Population {
  const { seed, startAt } = options;
  const endAt = options.endAt ?? (options.days === undefined ? Number.NaN : startAt + options.days * DAY_MS);
  if (!(endAt > startAt)) throw new RangeError('a population needs endAt or days, and an end after its start');
  const perDay = options.recordsPerSubscriberDay ?? RECORDS_PER_SUBSCRIBER_DAY;
  const order = options.order ?? 'eventTime';
  const profiles = options.profiles ?? 'start';
  const firstNumber = options.firstNumber ?? 0;
  const count = options.subscribers;
  const subscribers = createSubscribers({
    seed,
    count,
    firstNumber,
    startAt,
    // Measured over months of the mix below: 0.097 units for an average record.
    monthlyUsageCharge: 30 * perDay * 0.1,
  });
  const random = createRandom(mix(seed, firstNumber));

  let recordNumber = 0;
  const recordPrefix = `${mix(seed, firstNumber).toString(36)}.${startAt.toString(36)}.`;
  const nextRecordId = (): string => recordPrefix + (recordNumber++).toString(36);

  /** Until when the subscriber's own line is taken: one call at a time, so ordinary calls never collide. */
  const lineBusyUntil = new Float64Array(count);
  /** Prepaid: what is left. Postpaid: what will be on the next bill beside the fee. Currency units. */
  const money = new Float64Array(count);
  const handsetGeneration = new Uint8Array(count);
  /** Bit 0: a top-up is planned. Bit 1: the profile has been sent. */
  const flags = new Uint8Array(count);
  const trips = new Map<number, { until: number; destination: Destination }>();
  const usageChanges = new Map<number, UsageChange[]>();
  /** Subscribers in trouble: ordinary bills issued in that time are paid some weeks after its end. */
  const unpaidTimes = new Map<number, { from: number; until: number }>();

  type Planned = RawRecord | (() => RawRecord | undefined);
  const agenda = createAgenda<Planned>();
  /** Records that are ready: what the last draw gave, at most an outgoing call, its other end and a profile. */
  const ready: RawRecord[] = [];

  const planRecord = (record: RawRecord): void =>
    agenda.add(order === 'arrival' ? arrivalOf(record) : record.eventTime, record);
  const deliver = (record: RawRecord): void => {
    if (order === 'arrival' && record.durationSec) planRecord(record);
    else ready.push(record);
  };

  // -- subscribers as cases see them, and the plan of cases ------------------------------------------------------

  const subjectOf = (index: number, caseRandom: Random): Subject => ({
    servedMsisdn: subscribers.msisdn(index),
    servedImsi: subscribers.imsi(index),
    servedImei: subscribers.imei(index, 0),
    accountId: subscribers.accountId(index),
    cellId: subscribers.homeCell(index),
    creditLimit: subscribers.creditLimit(index),
    dailyUsage: perDay * subscribers.activity(index),
    random: caseRandom,
    nextRecordId,
  });
  const labels = plantCases();

  function plantCases(): PlantedCase[] {
    const made: PlantedCase[] = [];
    const caseRandom = createRandom(mix(seed, 7_000_003 + firstNumber));
    const feasible = PLANTED_IDS.filter(
      (id) => Number.isFinite(endAt) && endAt - startAt > CASE_KINDS[id].historyMs + CASE_KINDS[id].tailMs + HOUR_MS,
    );
    const total = Math.round((options.plantedShare ?? PLANTED_SHARE) * count);
    const taken = new Set<number>();
    for (const [position, catalogue] of feasible.entries()) {
      const kind = CASE_KINDS[catalogue];
      const even = Math.floor(total / feasible.length) + (position < total % feasible.length ? 1 : 0);
      const wanted = options.planted === undefined ? even : (options.planted[catalogue] ?? 0);
      for (let planted = 0; planted < wanted; planted++) {
        const index = freeSubscriber(catalogue, taken, caseRandom);
        if (index === undefined) break;
        taken.add(index);
        const earliest = startAt + Math.max(kind.historyMs, MINUTE_MS) + MINUTE_MS;
        const crossAt = Math.floor(earliest + caseRandom() * (endAt - kind.tailMs - earliest));
        const subject = subjectOf(index, caseRandom);
        const change = kind.usageChange?.(crossAt);
        if (change !== undefined) usageChanges.set(index, [change]);
        if (kind.unpaidMs !== undefined) unpaidTimes.set(index, { from: crossAt - kind.unpaidMs, until: crossAt });
        const records = kind.records(subject, crossAt, 3 * DAY_MS);
        let from = Math.max(startAt, crossAt - kind.leadMs);
        if (records.length > 0) from = Math.max(startAt, Math.min(...records.map((record) => record.eventTime)));
        for (const record of records) {
          // A bill from before the stream begins is carried over as an open item of the first moment.
          record.eventTime = Math.max(record.eventTime, startAt + SECOND_MS);
          agenda.add(order === 'arrival' ? arrivalOf(record) : record.eventTime, () => {
            if (record.charge !== undefined) money[index] += record.charge;
            return record;
          });
        }
        made.push(plantedCase(catalogue, subject, crossAt, from));
      }
    }
    return made.sort((one, other) => one.from - other.from);
  }

  /** Money cases and fraud happen to consumers with a bill, churn to any consumer; each to a subscriber of its own. */
  function freeSubscriber(catalogue: PlantedId, taken: Set<number>, caseRandom: Random): number | undefined {
    for (let attempt = 0; attempt < 1000; attempt++) {
      const index = Math.floor(caseRandom() * count);
      if (taken.has(index) || subscribers.isBusiness(index)) continue;
      if (CASE_KINDS[catalogue].desk !== 'retention' && subscribers.isPrepaid(index)) continue;
      return index;
    }
    return undefined;
  }

  // -- building records ------------------------------------------------------------------------------------------

  function bare(index: number, recordType: RawRecord['recordType'], eventTime: number): RawRecord {
    if (profiles === 'firstUse' && (flags[index] & 2) === 0) ready.push(profile(index, eventTime));
    const record: RawRecord = {
      recordId: nextRecordId(),
      recordType,
      eventTime,
      servedMsisdn: subscribers.msisdn(index),
      servedImsi: subscribers.imsi(index),
    };
    const accountId = subscribers.accountId(index);
    if (accountId !== undefined) record.accountId = accountId;
    return record;
  }

  function used(index: number, recordType: RawRecord['recordType'], eventTime: number): RawRecord {
    const record = bare(index, recordType, eventTime);
    const trip = trips.get(index);
    record.servedImei = subscribers.imei(index, handsetGeneration[index]);
    const local = eventTime + LOCAL_OFFSET_MS;
    if (trip === undefined) {
      record.cellId = subscribers.cellAt(index, Math.floor(local / HOUR_MS) % 24, isWeekend(local), random);
      record.servingPlmn = HOME_PLMN;
    } else {
      record.cellId = `${trip.destination.plmn}-${mix(index, 5) % 50}`;
      record.servingPlmn = trip.destination.plmn;
    }
    return record;
  }

  /** Books the price of a use; a prepaid subscriber that falls under its threshold tops up some time later. */
  function charge(index: number, record: RawRecord, price: number): void {
    const rounded = cents(price);
    record.charge = rounded;
    if (!subscribers.isPrepaid(index)) {
      money[index] += rounded;
      return;
    }
    money[index] = Math.max(0, cents(money[index] - rounded));
    record.balanceAfter = money[index];
    if (money[index] < 5 && (flags[index] & 1) === 0) {
      flags[index] |= 1;
      const at = record.eventTime + 2 * MINUTE_MS + Math.floor(exponential(random) * 3 * HOUR_MS);
      agenda.add(at, () => topUp(index, at));
    }
  }

  function topUp(index: number, at: number): RawRecord {
    const record = bare(index, 'topup', at);
    record.amount = [20, 30, 30, 50][mix(index, 3) % 4];
    record.channel = ['app', 'voucher', 'card', 'shop'][mix(index, 4) % 4];
    if (random() < 0.02) {
      record.outcome = 'failed';
      record.declineCode = 'soft';
      const again = at + between(random, 1, 30) * MINUTE_MS;
      agenda.add(again, () => topUp(index, again));
      return record;
    }
    money[index] = cents(money[index] + record.amount);
    record.balanceAfter = money[index];
    flags[index] &= ~1;
    return record;
  }

  function profile(index: number, at: number): RawRecord {
    flags[index] |= 2;
    const record = bare(index, 'account', at);
    const prepaid = subscribers.isPrepaid(index);
    record.event = 'profile';
    record.attributes = {
      activatedAt: subscribers.activatedAt(index),
      planId: prepaid ? 'prepaid-basic' : `postpaid-${subscribers.monthlyFee(index)}`,
      customerType: subscribers.isBusiness(index) ? 'business' : 'consumer',
      paymentType: prepaid ? 'prepaid' : 'postpaid',
      tier: subscribers.tier(index),
      homeCell: subscribers.homeCell(index),
    };
    if (!prepaid) {
      record.attributes.monthlyFee = subscribers.monthlyFee(index);
      record.attributes.creditLimit = subscribers.creditLimit(index);
      record.attributes.contractEndAt = subscribers.contractEndAt(index);
    }
    return record;
  }

  // -- one ordinary use of the network ---------------------------------------------------------------------------

  /** Share of its usual usage that the subscriber makes now. */
  function usageShare(index: number, at: number, outgoing: boolean): number {
    const changes = usageChanges.get(index);
    if (changes === undefined) return 1;
    let share = 1;
    for (const change of changes) {
      if (at >= change.from && at < change.until && (outgoing || !change.outgoingOnly)) share *= change.share;
    }
    return share;
  }

  function drawUsage(at: number): void {
    // More active subscribers are accepted more often.
    let index = Math.floor(random() * count);
    while (random() * ACTIVITY_MAX >= subscribers.activity(index)) index = Math.floor(random() * count);
    const kind = random();
    const outgoing = kind < 0.335 || kind >= 0.72;
    const share = usageShare(index, at, outgoing);
    if (share < 1 && random() >= share) return;
    if (kind < 0.25) callOut(index, at);
    else if (kind < 0.335) messageOut(index, at);
    else if (kind < 0.53) callIn(index, at, homeNumber(random));
    else if (kind < 0.72) messageIn(index, at, kind < 0.64);
    else dataSession(index, at);
  }

  function callOut(index: number, at: number): void {
    if (lineBusyUntil[index] > at || (subscribers.isPrepaid(index) && money[index] <= 0)) return;
    const abroad = subscribers.callsAbroad(index);
    const international = random() < (abroad === undefined ? 0.001 : 0.15);
    const record = used(index, 'voice', at);
    record.direction = 'mo';
    let other = -1;
    let ratePerMinute = subscribers.isPrepaid(index) ? 0.15 : 0.12;
    if (international) {
      const destination = abroad ?? pick(random, DESTINATIONS);
      // Two or three people abroad, not a new number every time.
      record.otherNumber = numberAt(destination, mix(index, between(random, 0, 2)));
      record.carrierId = `carrier-${1 + (mix(index, 6) % 3)}`;
      record.pddMs = Math.round(logNormal(random, 2200, 0.4));
      ratePerMinute = destination.ratePerMinute;
    } else {
      const contact = subscribers.contact(index, zipfRank(random, subscribers.circleSize(index)));
      record.otherNumber = contact.number;
      other = contact.subscriber;
    }
    const trip = trips.get(index);
    if (trip !== undefined) ratePerMinute = Math.max(ratePerMinute, 0.3);
    const otherBusy = other >= 0 && lineBusyUntil[other] > at;
    const failed = random();
    record.causeForTerm = otherBusy ? 'busy' : failed < 0.07 ? 'noAnswer' : failed < 0.075 ? 'dropped' : 'normal';
    const answered = record.causeForTerm === 'normal' || record.causeForTerm === 'dropped';
    record.durationSec = answered
      ? Math.min(international ? 900 : CALL_SECONDS_MAX, Math.max(1, Math.round(logNormal(random, 80, 0.6))))
      : 0;
    lineBusyUntil[index] = at + record.durationSec * SECOND_MS;
    charge(index, record, ratePerMinute * Math.ceil(record.durationSec / 60));
    deliver(record);
    if (other >= 0 && !otherBusy && usageShare(other, at, false) > 0) {
      const end = used(other, 'voice', at);
      end.direction = 'mt';
      end.otherNumber = record.servedMsisdn;
      end.durationSec = record.durationSec;
      end.causeForTerm = record.causeForTerm;
      lineBusyUntil[other] = Math.max(lineBusyUntil[other], lineBusyUntil[index]);
      deliver(end);
    }
  }

  function callIn(index: number, at: number, otherNumber: string): void {
    if (lineBusyUntil[index] > at) return;
    const record = used(index, 'voice', at);
    record.direction = 'mt';
    record.otherNumber = otherNumber;
    const answered = random() >= 0.08;
    record.durationSec = answered ? Math.min(CALL_SECONDS_MAX, Math.max(1, Math.round(logNormal(random, 80, 0.6)))) : 0;
    record.causeForTerm = answered ? 'normal' : 'noAnswer';
    lineBusyUntil[index] = at + record.durationSec * SECOND_MS;
    deliver(record);
  }

  function messageOut(index: number, at: number): void {
    if (subscribers.isPrepaid(index) && money[index] <= 0) return;
    const contact = subscribers.contact(index, zipfRank(random, subscribers.circleSize(index)));
    const record = used(index, 'sms', at);
    record.direction = 'mo';
    record.otherNumber = contact.number;
    record.smsClass = 'p2p';
    charge(index, record, 0.1);
    deliver(record);
    if (contact.subscriber >= 0 && usageShare(contact.subscriber, at, false) > 0) {
      const end = used(contact.subscriber, 'sms', at);
      end.direction = 'mt';
      end.otherNumber = record.servedMsisdn;
      end.smsClass = 'p2p';
      deliver(end);
    }
  }

  function messageIn(index: number, at: number, application: boolean): void {
    const record = used(index, 'sms', at);
    record.direction = 'mt';
    record.otherNumber = application ? pick(random, A2P_SENDERS) : homeNumber(random);
    record.smsClass = application ? 'a2p' : 'p2p';
    deliver(record);
  }

  function dataSession(index: number, at: number): void {
    if (subscribers.isPrepaid(index) && money[index] <= 0) return;
    const record = used(index, 'data', at);
    const megabytes = logNormal(random, 10, 0.4);
    record.bytesDown = Math.round(megabytes * 1e6);
    record.bytesUp = Math.round(megabytes * 1e6 * (0.05 + 0.15 * random()));
    record.durationSec = Math.min(3600, Math.max(5, Math.round(logNormal(random, 400, 0.8))));
    record.apn = 'internet';
    record.rat = mix(index, 7) % 3 === 0 ? 'EUTRAN' : 'NR';
    charge(index, record, megabytes * (trips.has(index) ? 0.025 : subscribers.isPrepaid(index) ? 0.012 : 0.009));
    deliver(record);
  }

  // -- what a day brings -----------------------------------------------------------------------------------------

  /** Plans bills, trips, new handsets, care contacts and quiet spells of one local day, then the next day. */
  function planDay(dayStart: number): void {
    const sometime = (): number => dayStart + Math.floor(random() * DAY_MS);
    const billingDay = Math.floor((dayStart + LOCAL_OFFSET_MS) / DAY_MS) % BILLING_DAYS;
    // Subscribers of one billing day lie BILLING_DAYS apart.
    for (let index = (billingDay + BILLING_DAYS - (firstNumber % BILLING_DAYS)) % BILLING_DAYS; index < count; ) {
      if (!subscribers.isPrepaid(index)) {
        const bill = index;
        const at = dayStart + HOUR_MS + Math.floor(random() * 4 * HOUR_MS);
        agenda.add(at, () => issueInvoice(bill, at));
      }
      index += BILLING_DAYS;
    }
    for (let trip = poisson(random, count / 400); trip > 0; trip--) {
      const index = Math.floor(random() * count);
      const at = sometime();
      const until = at + between(random, 2, 7) * DAY_MS;
      agenda.add(at, () => {
        if (!usageChanges.has(index)) trips.set(index, { until, destination: pick(random, DESTINATIONS) });
        return undefined;
      });
      agenda.add(until, () => {
        trips.delete(index);
        return undefined;
      });
    }
    for (let change = poisson(random, count / 900); change > 0; change--) {
      const index = Math.floor(random() * count);
      const at = sometime();
      agenda.add(at, () => {
        handsetGeneration[index] = (handsetGeneration[index] + 1) & 255;
        const record = bare(index, 'account', at);
        record.servedImei = subscribers.imei(index, handsetGeneration[index]);
        record.event = 'deviceChanged';
        record.attributes = {};
        return record;
      });
    }
    for (let contact = poisson(random, count / 250); contact > 0; contact--) {
      const index = Math.floor(random() * count);
      const at = sometime();
      agenda.add(at, () => careContact(index, at));
    }
    for (let spell = poisson(random, count / 8000); spell > 0; spell--) {
      const index = Math.floor(random() * count);
      if (usageChanges.has(index)) continue;
      const from = sometime();
      const until = from + between(random, 5, 9) * DAY_MS;
      usageChanges.set(index, [{ from, until, share: 0, outgoingOnly: false }]);
      agenda.add(until, () => {
        usageChanges.delete(index);
        return undefined;
      });
    }
    agenda.add(dayStart + DAY_MS, () => {
      planDay(dayStart + DAY_MS);
      return undefined;
    });
  }

  function careContact(index: number, at: number): RawRecord {
    const record = bare(index, 'care', at);
    const draw = random();
    record.reason = draw < 0.6 ? 'enquiry' : draw < 0.8 ? 'billing' : draw < 0.9 ? 'complaint' : 'quality';
    record.channel = random() < 0.7 ? 'call' : 'app';
    record.ticketId = `T${record.recordId}`;
    const atOnce = record.reason === 'enquiry';
    record.attributes = { resolved: atOnce };
    if (!atOnce) {
      const takes = random() < 0.97 ? 1 + 3 * random() : 6 + 3 * random();
      const resolvedAt = at + Math.round(takes * DAY_MS);
      const opened = record;
      agenda.add(resolvedAt, () => ({
        ...opened,
        recordId: nextRecordId(),
        eventTime: resolvedAt,
        attributes: { resolved: true },
      }));
    }
    return record;
  }

  function issueInvoice(index: number, at: number): RawRecord {
    const record = bare(index, 'invoice', at);
    record.invoiceId = `I${record.recordId}`;
    record.amount = cents(subscribers.monthlyFee(index) + money[index]);
    record.dueTime = at + PAYMENT_TERM_MS;
    money[index] = 0;
    const unpaid = unpaidTimes.get(index);
    const inTrouble = unpaid !== undefined && at >= unpaid.from && at < unpaid.until;
    const late = inTrouble || random() < subscribers.lateShare(index);
    // On time within the last twelve days of the term; late by one to eight days, rarely by eleven to fifteen.
    const shift = late ? (random() < 0.06 ? 11 + 4 * random() : 1 + 7 * random()) : -12 * random();
    const paidAt = Math.round(
      inTrouble ? Math.max(record.dueTime, unpaid.until) + 3 * shift * DAY_MS : record.dueTime + shift * DAY_MS,
    );
    const { amount, invoiceId } = record;
    agenda.add(paidAt, () => {
      const payment = bare(index, 'payment', paidAt);
      payment.amount = amount;
      payment.channel = ['directDebit', 'app', 'card', 'shop'][mix(index, 8) % 4];
      // Most payments name the bill; the others go to the oldest open one, which must not be the bill of a case.
      if (mix(index, 9) % 10 < 7 || unpaid !== undefined) payment.invoiceId = invoiceId;
      return payment;
    });
    return record;
  }

  // -- the stream ------------------------------------------------------------------------------------------------

  /** Uses per millisecond of the whole population at an average hour; 1.12 records come from one draw. */
  const drawsPerMs = (count * perDay) / DAY_MS / 1.12;
  const curve = options.curve === 'flat' ? new Float64Array(168).fill(1) : weeklyCurve();

  function* records(): Generator<RawRecord, void, undefined> {
    for (let index = 0; index < count; index++) {
      if (subscribers.isPrepaid(index)) money[index] = 5 + (mix(index, 1) % 40);
      // The first bill covers the part of the month before the stream began as well.
      else money[index] = cents(perDay * 0.1 * subscribers.activity(index) * ((mix(index, 2) % 24) + 2));
    }
    if (profiles === 'start') for (let index = 0; index < count; index++) yield profile(index, startAt);
    const localDay = Math.floor((startAt + LOCAL_OFFSET_MS) / DAY_MS);
    agenda.add((localDay + 1) * DAY_MS - LOCAL_OFFSET_MS, () => {
      planDay((localDay + 1) * DAY_MS - LOCAL_OFFSET_MS);
      return undefined;
    });

    let clock = startAt;
    for (;;) {
      const hourOfWeek = Math.floor((clock + LOCAL_OFFSET_MS) / HOUR_MS) % 168;
      const gap = exponential(random) / (drawsPerMs * curve[hourOfWeek]);
      const redraw = gap > REDRAW_MS;
      const next = clock + (redraw ? REDRAW_MS : gap);
      while (agenda.nextAt() <= next && agenda.nextAt() < endAt) {
        const planned = agenda.take();
        const record = typeof planned === 'function' ? planned() : planned;
        yield* drainReady();
        if (record !== undefined) yield record;
      }
      if (next >= endAt) return;
      clock = next;
      if (redraw) continue;
      drawUsage(Math.floor(clock));
      yield* drainReady();
    }
  }

  function* drainReady(): Generator<RawRecord, void, undefined> {
    for (const record of ready) yield record;
    ready.length = 0;
  }

  return { subscribers: count, msisdn: subscribers.msisdn, labels, records };
}

/**
 * Usage by local hour of the week with mean 1: a low night, three daily peaks (late morning, afternoon, evening), and
 * weekends that begin later and carry a seventh less. Index 0 is Thursday 00:00, where the Unix epoch began.
 */
function weeklyCurve(): Float64Array {
  const curve = Float64Array.from({ length: 168 }, (_, hourOfWeek) => {
    const hour = (hourOfWeek % 24) + 0.5;
    const weekend = isWeekend(hourOfWeek * HOUR_MS);
    const bump = (center: number, width: number): number => Math.exp(-(((hour - center) / width) ** 2) / 2);
    const day = 0.12 + bump(weekend ? 12 : 10.5, 2.2) + 0.8 * bump(15.5, 2) + 1.1 * bump(20, 2);
    return weekend ? day * 0.86 : day;
  });
  const mean = curve.reduce((sum, rate) => sum + rate, 0) / 168;
  return curve.map((rate) => rate / mean);
}

/** Saturday or Sunday; the epoch was a Thursday. */
function isWeekend(localMs: number): boolean {
  const day = Math.floor(localMs / DAY_MS) % 7;
  return day === 2 || day === 3;
}
