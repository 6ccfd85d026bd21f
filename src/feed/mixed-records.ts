/**
 * The fast path for benchmarks: records of all types for a given number of subscribers, time moving forward evenly, no
 * story behind them. Where `population` asks what a subscriber would do, this only draws a key, a type and values, at
 * several hundred thousand records a second, so that a run can draw millions before the clock of the benchmark starts.
 *
 * Almost nothing here should alert: a subscriber stays in one cell (no collisions) and rarely calls abroad. Under Zipf
 * the hottest subscriber makes about one record in fifteen of a million, so a few of the hottest do trip volume rules.
 */
import { cents } from './planted-case.ts';
import { createRandom, mix, zipfRank } from './random.ts';
import type { RawRecord } from './raw-record.ts';
import { createSubscribers, DESTINATIONS, HOME_PLMN, numberAt, SUBSCRIBERS_MAX } from './subscriber.ts';

const DAY_MS = 86_400_000;
/** A prime above SUBSCRIBERS_MAX: multiplying a rank by it visits every subscriber once, in scattered order. */
const SCATTER = 850_000_009;

export interface MixedRecordsOptions {
  /** The population: who has which SIM, cell, plan. */
  seed: number;
  /** Another draw gives other records, with other ids, of the same population. Absent is 0. */
  draw?: number;
  subscribers: number;
  /** Choice of the subscriber of each record: Zipf with exponent 1, or all alike. */
  distribution: 'zipf' | 'uniform';
  /** Records in all; Infinity for a stream without end. */
  count: number;
  /** Begins with one profile of each subscriber, as a billing system would when it is connected. */
  profilesFirst?: boolean;
  /** Unix epoch milliseconds of the first record. */
  startAt: number;
  /** How fast event time moves: the records share out evenly, this many in each second. */
  recordsPerSecond: number;
}

export function* mixedRecords(options: MixedRecordsOptions): Generator<RawRecord, void, undefined> {
  const { seed, draw = 0, subscribers: count, distribution, startAt } = options;
  if (count * SCATTER > Number.MAX_SAFE_INTEGER) throw new RangeError(`at most ${SUBSCRIBERS_MAX} subscribers`);
  const subscribers = createSubscribers({ seed, count, firstNumber: 0, startAt, monthlyUsageCharge: 60 });
  const random = createRandom(draw === 0 ? seed : mix(seed, draw));
  const msPerRecord = 1000 / options.recordsPerSecond;
  const recordPrefix = `m${mix(mix(seed, count), draw).toString(36)}.`;

  for (let position = 0; position < options.count; position++) {
    const isFirstProfile = options.profilesFirst === true && position < count;
    const index = isFirstProfile
      ? position
      : distribution === 'uniform'
        ? Math.floor(random() * count)
        : (zipfRank(random, count) * SCATTER) % count;
    const eventTime = Math.floor(startAt + position * msPerRecord);
    const recordId = recordPrefix + position.toString(36);
    const servedMsisdn = subscribers.msisdn(index);
    const servedImsi = subscribers.imsi(index);
    const kind = isFirstProfile ? 1 : random();
    // One literal for each type keeps the number of object shapes small, for the generator and for JSON.stringify.
    if (kind < 0.5) {
      const outgoing = kind < 0.28;
      const durationSec = random() < 0.08 ? 0 : 1 + Math.floor(240 * random() * random());
      const otherNumber =
        outgoing && kind < 0.002
          ? numberAt(DESTINATIONS[index % DESTINATIONS.length], mix(index, 1))
          : subscribers.contact(index, Math.floor(12 * random() * random())).number;
      yield {
        recordId,
        recordType: 'voice',
        eventTime,
        servedMsisdn,
        servedImsi,
        servedImei: subscribers.imei(index, 0),
        direction: outgoing ? 'mo' : 'mt',
        otherNumber,
        durationSec,
        causeForTerm: durationSec === 0 ? 'noAnswer' : 'normal',
        cellId: subscribers.homeCell(index),
        servingPlmn: HOME_PLMN,
        charge: outgoing ? cents(0.12 * Math.ceil(durationSec / 60)) : 0,
      };
    } else if (kind < 0.68) {
      const outgoing = kind < 0.56;
      yield {
        recordId,
        recordType: 'sms',
        eventTime,
        servedMsisdn,
        servedImsi,
        direction: outgoing ? 'mo' : 'mt',
        otherNumber: subscribers.contact(index, Math.floor(12 * random() * random())).number,
        smsClass: 'p2p',
        cellId: subscribers.homeCell(index),
        servingPlmn: HOME_PLMN,
        charge: outgoing ? 0.1 : 0,
      };
    } else if (kind < 0.96) {
      const megabytes = 1 + 30 * random() * random();
      yield {
        recordId,
        recordType: 'data',
        eventTime,
        servedMsisdn,
        servedImsi,
        servedImei: subscribers.imei(index, 0),
        durationSec: 10 + Math.floor(1200 * random() * random()),
        bytesUp: Math.round(megabytes * 1e5),
        bytesDown: Math.round(megabytes * 1e6),
        apn: 'internet',
        rat: 'NR',
        cellId: subscribers.homeCell(index),
        servingPlmn: HOME_PLMN,
        charge: cents(megabytes * 0.01),
      };
    } else if (kind < 0.975) {
      const amount = 20 + 10 * Math.floor(4 * random());
      yield {
        recordId,
        recordType: 'topup',
        eventTime,
        servedMsisdn,
        amount,
        channel: 'app',
        balanceAfter: amount + Math.floor(20 * random()),
      };
    } else if (kind < 0.985) {
      yield {
        recordId,
        recordType: 'invoice',
        eventTime,
        servedMsisdn,
        invoiceId: recordId,
        dueTime: eventTime + 20 * DAY_MS,
        amount: subscribers.monthlyFee(index),
      };
    } else if (kind < 0.995) {
      yield {
        recordId,
        recordType: 'payment',
        eventTime,
        servedMsisdn,
        amount: subscribers.monthlyFee(index),
        channel: 'directDebit',
      };
    } else {
      yield {
        recordId,
        recordType: 'account',
        eventTime,
        servedMsisdn,
        servedImsi,
        event: 'profile',
        attributes: {
          activatedAt: subscribers.activatedAt(index),
          paymentType: subscribers.isPrepaid(index) ? 'prepaid' : 'postpaid',
          customerType: 'consumer',
          tier: subscribers.tier(index),
          creditLimit: subscribers.creditLimit(index),
          monthlyFee: subscribers.monthlyFee(index),
          homeCell: subscribers.homeCell(index),
        },
      };
    }
  }
}
