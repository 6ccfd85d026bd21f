/**
 * Who the subscribers are. Everything here is a pure function of seed and index: number, SIM, handset, cells, contacts,
 * plan and credit limit cost no memory however many subscribers there are. Numbers look like numbers but are made up:
 * the home range is an unassigned-looking block of 86 139, foreign numbers come from ranges that regulators keep for
 * fiction where there is one (NANP 555-01xx, Ofcom 07700 900xxx, ACMA 0491 570 xxx, ARCEP 06 39 98).
 */
import { mix, type Random } from './random.ts';

/** Eight digits behind 86139; the upper part is kept for contacts outside the population. */
export const SUBSCRIBERS_MAX = 10_000_000;
const OFF_NET_MSISDN_PREFIX = '86137';
export const HOME_PLMN = '46000';

/** A destination outside the home country: its fictional number range, its price, and the network met when roaming. */
export interface Destination {
  country: string;
  /** Digits in front of `suffixDigits` free ones. */
  range: string;
  suffixDigits: number;
  ratePerMinute: number;
  plmn: string;
}

export const DESTINATIONS: readonly Destination[] = [
  { country: 'US', range: '121255501', suffixDigits: 2, ratePerMinute: 0.3, plmn: '310260' },
  { country: 'GB', range: '447700900', suffixDigits: 3, ratePerMinute: 0.35, plmn: '23415' },
  { country: 'FR', range: '3363998', suffixDigits: 4, ratePerMinute: 0.35, plmn: '20801' },
  { country: 'AU', range: '61491570', suffixDigits: 3, ratePerMinute: 0.4, plmn: '50501' },
  { country: 'DE', range: '491713920', suffixDigits: 3, ratePerMinute: 0.35, plmn: '26201' },
  { country: 'JP', range: '81901000', suffixDigits: 4, ratePerMinute: 0.4, plmn: '44010' },
  { country: 'SG', range: '65810000', suffixDigits: 2, ratePerMinute: 0.25, plmn: '52501' },
  { country: 'TH', range: '66810000', suffixDigits: 3, ratePerMinute: 0.3, plmn: '52001' },
];

/** Dear destinations that revenue-share fraud likes; normal subscribers do not call them. */
export const HIGH_COST_DESTINATIONS: readonly Destination[] = [
  { country: 'LV', range: '3712000', suffixDigits: 4, ratePerMinute: 1.9, plmn: '24701' },
  { country: 'CU', range: '535000', suffixDigits: 4, ratePerMinute: 2.2, plmn: '36801' },
  { country: 'SO', range: '25261500', suffixDigits: 4, ratePerMinute: 2.8, plmn: '63701' },
  { country: 'SL', range: '23276100', suffixDigits: 3, ratePerMinute: 2.5, plmn: '61901' },
  { country: 'MV', range: '960790', suffixDigits: 4, ratePerMinute: 2.4, plmn: '47201' },
];

export function numberAt(destination: Destination, draw: number): string {
  return destination.range + String(draw % 10 ** destination.suffixDigits).padStart(destination.suffixDigits, '0');
}

const MONTHLY_FEES = [38, 58, 88, 128, 188];
const HANDSET_MODELS = 400;
/** Quantiles of a log-normal activity with spread 0.4, cut at 0.6 and 2.5 times the usual: heavy users
 * exist, and light users still have enough events for a baseline. */
const ACTIVITY_QUANTILES = Float64Array.from({ length: 256 }, (_, step) =>
  Math.min(2.5, Math.max(0.6, Math.exp(0.4 * normalQuantile((step + 0.5) / 256)))),
);
export const ACTIVITY_MAX = 2.5;
const ACTIVITY_MEAN = ACTIVITY_QUANTILES.reduce((sum, activity) => sum + activity, 0) / 256;

/** Which property a hash is for; any distinct numbers do. */
const Trait = {
  activity: 11,
  payment: 12,
  customer: 13,
  tier: 14,
  plan: 15,
  cell: 16,
  circle: 17,
  caller: 18,
  handset: 19,
  payer: 20,
  activation: 21,
  contact: 1000,
} as const;

export interface Subscribers {
  count: number;
  msisdn(index: number): string;
  imsi(index: number): string;
  /** A subscriber that changes handsets has the next generation in its hand. */
  imei(index: number, generation: number): string;
  isPrepaid(index: number): boolean;
  isBusiness(index: number): boolean;
  /** Business subscribers have a billing account of their own id; everybody else is the account itself. */
  accountId(index: number): string | undefined;
  tier(index: number): 'vip' | 'standard';
  /** Usage against the average subscriber, ACTIVITY_MAX at most. */
  activity(index: number): number;
  /** Cell for the local hour: home at night, work on weekdays, three other places in between. */
  cellAt(index: number, hour: number, isWeekend: boolean, random: Random): string;
  homeCell(index: number): string;
  /** How many people the subscriber is in touch with: 10 to 60. */
  circleSize(index: number): number;
  /** The contact of that rank: another subscriber (`subscriber` >= 0) or a number outside. */
  contact(index: number, rank: number): { number: string; subscriber: number };
  /** Where the subscriber has family or business abroad; undefined for most. */
  callsAbroad(index: number): Destination | undefined;
  /** Share of bills that this subscriber pays a few days late. */
  lateShare(index: number): number;
  monthlyFee(index: number): number;
  /** About four usual months, in steps of 50: a normal subscriber stays under half of it. */
  creditLimit(index: number): number;
  activatedAt(index: number): number;
  contractEndAt(index: number): number;
}

const DAY_MS = 86_400_000;

export function createSubscribers(options: {
  seed: number;
  count: number;
  /** Index of the first number, so that two populations do not share numbers. */
  firstNumber: number;
  /** Unix epoch milliseconds against which contracts and activations are placed. */
  startAt: number;
  /** What an average subscriber spends on usage in a month, currency units; credit limits follow it. */
  monthlyUsageCharge: number;
}): Subscribers {
  const { seed, count, firstNumber, startAt, monthlyUsageCharge } = options;
  if (!Number.isInteger(count) || count < 1 || firstNumber + count > SUBSCRIBERS_MAX) {
    throw new RangeError(`a population has 1 to ${SUBSCRIBERS_MAX} subscribers, not ${count} from ${firstNumber}`);
  }
  const trait = (index: number, which: number): number => mix(seed + which, firstNumber + index);
  const share = (index: number, which: number): number => trait(index, which) / 4294967296;

  const isPrepaid = (index: number): boolean => share(index, Trait.payment) < 0.55;
  const isBusiness = (index: number): boolean => !isPrepaid(index) && share(index, Trait.customer) < 0.12;
  const activity = (index: number): number => ACTIVITY_QUANTILES[trait(index, Trait.activity) & 255] / ACTIVITY_MEAN;
  const monthlyFee = (index: number): number =>
    MONTHLY_FEES[Math.floor(share(index, Trait.plan) ** 2 * MONTHLY_FEES.length)];
  const callsAbroad = (index: number): Destination | undefined => {
    const draw = trait(index, Trait.caller);
    return draw % 100 < 8 ? DESTINATIONS[(draw >>> 8) % DESTINATIONS.length] : undefined;
  };
  /** Cells are named 460-00-<area>-<cell>; place 0 is home, 1 work, 2 to 4 elsewhere in the same area. */
  const cell = (index: number, place: number): string => {
    const draw = mix(trait(index, Trait.cell), place);
    return `460-00-${100 + (trait(index, Trait.cell) % 400)}-${1000 + (draw % 60)}`;
  };
  const activatedAt = (index: number): number => startAt - DAY_MS * (100 + (trait(index, Trait.activation) % 2500));

  return {
    count,
    msisdn: (index) => `86139${String(100_000_000 + firstNumber + index).slice(1)}`,
    imsi: (index) => `${HOME_PLMN}${String(10_000_000_000 + firstNumber + index).slice(1)}`,
    imei(index, generation) {
      const draw = mix(trait(index, Trait.handset), generation);
      // Type allocation codes that begin with 00 are test handsets; the last digit of a transmitted IMEI is 0.
      return `00${440_000 + (draw % HANDSET_MODELS)}${String(1_000_000 + ((draw >>> 9) % 1_000_000)).slice(1)}0`;
    },
    isPrepaid,
    isBusiness,
    accountId: (index) => (isBusiness(index) ? `B${10_000_000 + firstNumber + index}` : undefined),
    tier: (index) => (!isPrepaid(index) && share(index, Trait.tier) < 0.06 ? 'vip' : 'standard'),
    activity,
    homeCell: (index) => cell(index, 0),
    cellAt(index, hour, isWeekend, random) {
      if (hour < 7 || hour >= 22) return cell(index, 0);
      const draw = random();
      if (!isWeekend && hour >= 9 && hour < 18) return cell(index, draw < 0.8 ? 1 : 2 + (Math.floor(draw * 1000) % 3));
      return cell(index, draw < 0.6 ? 0 : 2 + (Math.floor(draw * 1000) % 3));
    },
    circleSize: (index) => 10 + (trait(index, Trait.circle) % 51),
    contact(index, rank) {
      const draw = trait(index, Trait.contact + rank);
      const other = draw % count;
      // A third of the contacts use the same operator, so that both ends of their calls are in the stream.
      if ((draw >>> 24) % 3 === 0 && other !== index) {
        return { number: `86139${String(100_000_000 + firstNumber + other).slice(1)}`, subscriber: other };
      }
      return { number: OFF_NET_MSISDN_PREFIX + String(100_000_000 + (draw % 100_000_000)).slice(1), subscriber: -1 };
    },
    callsAbroad,
    lateShare: (index) => (share(index, Trait.payer) < 0.04 ? 0.6 : 0.005),
    monthlyFee,
    creditLimit(index) {
      const usage = monthlyUsageCharge * activity(index) * (callsAbroad(index) === undefined ? 1 : 2.5);
      return 50 * Math.ceil((4 * (monthlyFee(index) + usage)) / 50);
    },
    activatedAt,
    contractEndAt: (index) => {
      const tenureDays = Math.round((startAt - activatedAt(index)) / DAY_MS);
      // Contracts run for two years and renew.
      return activatedAt(index) + DAY_MS * 730 * (Math.floor(tenureDays / 730) + 1);
    },
  };
}

/** Quantile of the standard normal distribution (Abramowitz and Stegun 26.2.23, error below 0.0005). */
function normalQuantile(probability: number): number {
  const q = probability - 0.5;
  const t = Math.sqrt(-2 * Math.log(q < 0 ? probability : 1 - probability));
  const x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return q < 0 ? -x : x;
}
