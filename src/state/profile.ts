/**
 * What is known of a subscriber from account records and from where it was last seen: status, identity, dealer, tier. Other
 * keys fall back to it (usage names no dealer, its subscriber's profile does), and rules read it of the served subscriber
 * (`profile.status`) and of the other party (`other.roaming`), whose block is only looked into, never changed.
 *
 * ```
 * unit 0   u32 fields that are there, one bit each | status << 24      u32 local day of the last use
 * unit 1   event time of the status
 * unit 2   event time of the newest account record, 0 where none has come
 * then     one unit for each field that is there, in the order of their bits
 * ```
 *
 * Account records make it; of a subscriber without one it is only made abroad, so a subscriber of whom nothing is known and
 * who stays at home pays nothing.
 */
import type { SeenRecord } from '../record/usage-record.ts';
import type { Blocks } from './block.ts';
import { hashedNumber, type Names } from './key-table.ts';
import type { Operator, Scope } from './operator.ts';

const HEADER_UNITS = 3;
const STATUSES = ['', 'active', 'suspended', 'ceased', 'portedOut'] as const;
export type Status = (typeof STATUSES)[number];

/** Bits of the fields; only ever appended to. */
const FIELDS = [
  'activatedAt',
  'idDocHash',
  'paymentTokenHash',
  'addressHash',
  'dealerId',
  'homeCell',
  'tier',
  'servingPlmn',
  'servingAt',
] as const;
export type ProfileField = (typeof FIELDS)[number];
const bitOf = (field: ProfileField): number => FIELDS.indexOf(field);
const ACTIVATED_AT = bitOf('activatedAt');
const SERVING_PLMN = bitOf('servingPlmn');
const SERVING_AT = bitOf('servingAt');
/** Kept as numbers of `hashedNumber`: there are as many of them as subscribers. */
const HASHED = new Set<ProfileField>(['idDocHash', 'paymentTokenHash', 'addressHash']);
const ATTRIBUTES = FIELDS.slice(1, SERVING_PLMN);

/** What an event says of the subscription; undefined where it says nothing. */
function statusAfter(event: string): Status | undefined {
  switch (event) {
    case 'activated':
    case 'resumed':
      return 'active';
    case 'suspended':
      return 'suspended';
    case 'ceased':
      return 'ceased';
    case 'portOutRequested':
      return 'portedOut';
    default:
      return undefined;
  }
}

export interface Profile extends Operator {
  /** An account record has named the subscriber. Keys are those of subscribers; 0 is nobody. */
  known(scope: Scope, subscriber: number): boolean;
  status(scope: Scope, subscriber: number): Status;
  statusAt(scope: Scope, subscriber: number): number;
  activatedAt(scope: Scope, subscriber: number): number;
  /** The last known serving network is not the home network. */
  roaming(scope: Scope, subscriber: number): boolean;
  servingAt(scope: Scope, subscriber: number): number;
  /** Number of the text that the field holds, as in the names (or hashed, see `hashedNumber`); 0 where it is not known. */
  number(scope: Scope, subscriber: number, field: ProfileField): number;
  text(scope: Scope, subscriber: number, field: ProfileField): string;
  /** The record at hand is the first use of a known subscriber in its local day. */
  firstUseOfDay(scope: Scope): boolean;
  /** Does the use at hand change the profile? Asked before the subscriber's block is touched for it. */
  takesUse(scope: Scope): boolean;
}

export function createProfile(options: {
  id: number;
  signature: string;
  names: Names;
  /** Days since 1970-01-01 on the operator's calendar. */
  dayNumber: (epochMs: number) => number;
  /** Does any rule ask where subscribers are, or for their first use of a day? Otherwise use is not looked at. */
  wants: { place: boolean; day: boolean };
}): Profile {
  const { id, names, dayNumber, wants } = options;

  /** Unit of the subscriber's segment in the page that `scope.segments` shows, 0 where it has none. */
  const find = (scope: Scope, subscriber: number): number =>
    subscriber === 0 ? 0 : scope.segments.find(subscriber, id);
  const unitOf = (u32: Uint32Array, segment: number, bit: number): number => {
    const present = u32[segment * 2]!;
    if ((present & (1 << bit)) === 0) return 0;
    let before = present & ((1 << bit) - 1);
    let unit = segment + HEADER_UNITS;
    for (; before !== 0; before &= before - 1) unit++;
    return unit;
  };
  const fieldOf = (scope: Scope, subscriber: number, bit: number): number => {
    const segment = find(scope, subscriber);
    if (segment === 0) return Number.NaN;
    const unit = unitOf(scope.segments.u32, segment, bit);
    return unit === 0 ? Number.NaN : scope.segments.f64[unit]!;
  };

  /** Writes a field of the bound block; may move it. */
  const set = (scope: Scope, blocks: Blocks, bit: number, value: number): void => {
    const { cursor } = scope;
    let segment = cursor.segmentAt[id]!;
    let unit = unitOf(cursor.u32, segment, bit);
    if (unit === 0) {
      const units = cursor.segmentUnits[id]!;
      segment = blocks.resize(id, units + 1);
      cursor.u32[segment * 2]! |= 1 << bit;
      unit = unitOf(cursor.u32, segment, bit);
      cursor.f64.copyWithin(unit + 1, unit, segment + units);
    }
    cursor.f64[unit] = value;
  };

  const takeAccount = (scope: Scope, blocks: Blocks, record: SeenRecord): void => {
    const { cursor } = scope;
    const { event, eventTime, attributes } = record;
    const segment = blocks.ensure(id, HEADER_UNITS);
    const status = statusAfter(event);
    if (status !== undefined && eventTime >= cursor.f64[segment + 1]!) {
      cursor.f64[segment + 1] = eventTime;
      cursor.u32[segment * 2] = (cursor.u32[segment * 2]! & 0xffffff) | (STATUSES.indexOf(status) << 24);
    }
    const newest = eventTime >= cursor.f64[segment + 2]!;
    if (newest) cursor.f64[segment + 2] = eventTime;
    const takes = (bit: number): boolean => newest || unitOf(cursor.u32, cursor.segmentAt[id]!, bit) === 0;
    const activatedAt = attributes?.['activatedAt'];
    if (typeof activatedAt === 'number') {
      if (takes(ACTIVATED_AT)) set(scope, blocks, ACTIVATED_AT, activatedAt);
    } else if (event === 'activated' && takes(ACTIVATED_AT)) set(scope, blocks, ACTIVATED_AT, eventTime);
    if (attributes === null) return;
    for (const field of ATTRIBUTES) {
      const text = attributes[field];
      if (typeof text !== 'string' || text === '' || !takes(bitOf(field))) continue;
      set(scope, blocks, bitOf(field), HASHED.has(field) ? hashedNumber(text) : names.numberOf(text));
    }
  };

  const takePlace = (scope: Scope, blocks: Blocks): void => {
    const { cursor, record } = scope;
    const segment = cursor.segmentAt[id]!;
    if (segment === 0 && !scope.roaming) return;
    if (segment === 0) blocks.ensure(id, HEADER_UNITS);
    const at = unitOf(cursor.u32, cursor.segmentAt[id]!, SERVING_AT);
    if (at !== 0 && cursor.f64[at]! > record.eventTime) return;
    set(scope, blocks, SERVING_AT, record.eventTime);
    // Below 0 at home: where a subscriber is and whether that is abroad is one number.
    const plmn = names.numberOf(record.servingPlmn);
    set(scope, blocks, SERVING_PLMN, scope.roaming ? plmn : -plmn);
  };

  const isFirstUse = (scope: Scope, segment: number, u32: Uint32Array, f64: Float64Array): boolean =>
    f64[segment + 2] !== 0 && dayNumber(scope.record.eventTime) > u32[segment * 2 + 1]!;

  /**
   * Several conditions ask the same of one record, and finding the segment is what costs. The answer of before the record was
   * taken stays for all of them.
   */
  const asked = { eventTime: Number.NaN, subscriber: 0, firstUse: false, wasAbroad: false };
  let askedOf: SeenRecord | undefined;
  const ask = (scope: Scope): typeof asked => {
    const { record, subscriber } = scope;
    if (record === askedOf && record.eventTime === asked.eventTime && subscriber === asked.subscriber) return asked;
    askedOf = record;
    asked.eventTime = record.eventTime;
    asked.subscriber = subscriber;
    asked.firstUse = false;
    asked.wasAbroad = false;
    const segment = find(scope, subscriber);
    if (segment === 0) return asked;
    const { u32, f64 } = scope.segments;
    asked.firstUse = isFirstUse(scope, segment, u32, f64);
    const unit = unitOf(u32, segment, SERVING_PLMN);
    asked.wasAbroad = unit !== 0 && f64[unit]! > 0;
    return asked;
  };

  const text = (scope: Scope, subscriber: number, field: ProfileField): string => {
    const number = profile.number(scope, subscriber, field);
    return number === 0 ? '' : names.textOf(number);
  };

  const profile: Profile = {
    id,
    signature: options.signature,
    unitsMax: HEADER_UNITS + FIELDS.length,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: 0,
    onArrival: false,
    update(scope, blocks) {
      const { record, cursor } = scope;
      if (record.recordType === 'account') {
        takeAccount(scope, blocks, record);
        return;
      }
      if (wants.place && record.servingPlmn !== '') takePlace(scope, blocks);
      const segment = cursor.segmentAt[id]!;
      if (wants.day && segment !== 0 && isFirstUse(scope, segment, cursor.u32, cursor.f64))
        cursor.u32[segment * 2 + 1] = dayNumber(record.eventTime);
    },
    takesUse(scope) {
      if (wants.place && scope.roaming) return true;
      const { firstUse, wasAbroad } = ask(scope);
      // At home only the way back from abroad is of interest.
      return (wants.day && firstUse) || (wants.place && wasAbroad && scope.record.servingPlmn !== '');
    },
    firstUseOfDay: (scope) => ask(scope).firstUse,
    known(scope, subscriber) {
      const segment = find(scope, subscriber);
      return segment !== 0 && scope.segments.f64[segment + 2] !== 0;
    },
    status(scope, subscriber) {
      const segment = find(scope, subscriber);
      return segment === 0 ? '' : STATUSES[scope.segments.u32[segment * 2]! >>> 24]!;
    },
    statusAt(scope, subscriber) {
      const segment = find(scope, subscriber);
      const at = segment === 0 ? 0 : scope.segments.f64[segment + 1]!;
      return at === 0 ? Number.NaN : at;
    },
    activatedAt: (scope, subscriber) => fieldOf(scope, subscriber, ACTIVATED_AT),
    roaming: (scope, subscriber) => fieldOf(scope, subscriber, SERVING_PLMN) > 0,
    servingAt: (scope, subscriber) => fieldOf(scope, subscriber, SERVING_AT),
    number(scope, subscriber, field) {
      const value = fieldOf(scope, subscriber, bitOf(field));
      if (value !== value) return 0;
      return field === 'servingPlmn' ? Math.abs(value) : value;
    },
    text,
  };
  return profile;
}

type Read<T> = (profile: Profile, scope: Scope, subscriber: number) => T;

/** For rules: `profile.status`, `other.roaming`. The type of each name, and how it is read of a subscriber. */
export const PROFILE_NAMES: Readonly<
  Record<
    string,
    | { type: 'boolean'; read: Read<boolean> }
    | { type: 'time'; read: Read<number>; ofRecord?: (record: SeenRecord) => number }
    | { type: 'text'; read: Read<string>; ofRecord?: (record: SeenRecord) => string }
  >
> = {
  known: { type: 'boolean', read: (profile, scope, subscriber) => profile.known(scope, subscriber) },
  status: {
    type: 'text',
    read: (profile, scope, subscriber) => profile.status(scope, subscriber),
    ofRecord: ({ event }) => statusAfter(event) ?? '',
  },
  statusAt: {
    type: 'time',
    read: (profile, scope, subscriber) => profile.statusAt(scope, subscriber),
    ofRecord: ({ event, eventTime }) => (statusAfter(event) === undefined ? Number.NaN : eventTime),
  },
  activatedAt: {
    type: 'time',
    read: (profile, scope, subscriber) => profile.activatedAt(scope, subscriber),
    ofRecord: ({ event, eventTime, attributes }) => {
      const stated = attributes?.['activatedAt'];
      return typeof stated === 'number' ? stated : event === 'activated' ? eventTime : Number.NaN;
    },
  },
  dealerId: textName('dealerId'),
  homeCell: textName('homeCell'),
  tier: textName('tier'),
  roaming: { type: 'boolean', read: (profile, scope, subscriber) => profile.roaming(scope, subscriber) },
  servingPlmn: textName('servingPlmn'),
  servingAt: { type: 'time', read: (profile, scope, subscriber) => profile.servingAt(scope, subscriber) },
};

function textName(field: ProfileField): {
  type: 'text';
  read: Read<string>;
  ofRecord: (record: SeenRecord) => string;
} {
  return {
    type: 'text',
    read: (profile, scope, subscriber) => profile.text(scope, subscriber, field),
    ofRecord: ({ attributes }) => {
      const stated = attributes?.[field];
      return typeof stated === 'string' ? stated : '';
    },
  };
}

/**
 * What such a name stands for in an expression. Conditions on records are asked before the profile has taken the record, so
 * what an account record itself says of its subscriber comes first.
 */
export function profileBinding(
  profile: Profile,
  party: 'profile' | 'other',
  field: string,
  numberOf: (msisdn: string) => number,
): { type: 'boolean' | 'time' | 'text'; evaluate: (scope: Scope) => boolean | number | string } {
  const name = PROFILE_NAMES[field]!;
  const { type, read } = name;
  if (party === 'other') return { type, evaluate: (scope) => read(profile, scope, numberOf(scope.record.otherNumber)) };
  if (name.type === 'boolean' || name.ofRecord === undefined)
    return { type, evaluate: (scope) => read(profile, scope, scope.subscriber) };
  const { ofRecord } = name;
  return {
    type,
    evaluate: (scope) => {
      if (scope.record.recordType === 'account') {
        const stated = ofRecord(scope.record);
        if (stated !== '' && stated === stated) return stated;
      }
      return read(profile, scope, scope.subscriber);
    },
  };
}
