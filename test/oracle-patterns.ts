/**
 * What the oracle (oracle.ts) knows of values that follow from the order of records: each is worked out anew from all records
 * of a key, in the order in which they came, by its definition in words.
 */
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { RuleFeature } from '../src/rules/rule.ts';

/** A record that a feature takes, and the clock of its key when it came, itself included. */
export interface Taken {
  record: UsageRecord;
  clock: number;
}

export interface Look {
  feature: RuleFeature;
  /** In order of arrival. */
  taken: readonly Taken[];
  now: number;
  /** The record that made the rule look. */
  own: UsageRecord | undefined;
  of(record: UsageRecord): number | string | boolean;
  holds(where: string | undefined, record: UsageRecord): boolean;
  windowMs: number;
  withinMs: number;
  paneMs: number;
  /** Only for a run: what its subscriber did that takes part, in order of arrival, and whether it counts. */
  turns: readonly { record: UsageRecord; counts: boolean }[];
}

export const PATTERNS = [
  'heldMax',
  'heldMin',
  'passedOn',
  'neighbourShare',
  'speed',
  'distance',
  'members',
  'membersFailed',
  'membersDueAt',
  'membersNextDueAt',
  'run',
] as const;

/** Where the cells of drawn records stand, and the list that says so to the engine: 17 is on no list. */
const CELLS: Record<string, [latitude: number, longitude: number]> = {
  A: [39.9042, 116.4074],
  B: [40.5, 117.5],
};
export const CELL_LIST = {
  file: 'lists/cells.csv',
  text: `kind,value,latitude,longitude,note\n${Object.entries(CELLS)
    .map(([cell, [latitude, longitude]]) => `cell,${cell},${latitude},${longitude},`)
    .join('\n')}\n`,
};

export function patternValue(look: Look): number {
  switch (look.feature.aggregate) {
    case 'heldMax':
    case 'heldMin':
      return heldValue(look);
    case 'passedOn':
      return passedOn(look);
    case 'neighbourShare':
      return neighbourShare(look);
    case 'members':
    case 'membersFailed':
    case 'membersDueAt':
    case 'membersNextDueAt':
      return membersOf(look);
    case 'run':
      return runLength(look);
    default:
      return moved(look);
  }
}

/** A pattern keeps this much of a key in the engine; a case that asks for more is none. */
export const HELD_CHANGES_MAX = 8;
export class BeyondLimit extends Error {}

/** A value is in force from its record until the next one with another value. */
function heldValue({ feature, taken, now, of, windowMs }: Look): number {
  const stated: { at: number; value: number }[] = [];
  for (const { record } of taken) {
    const value = of(record) as number;
    if (Number.isNaN(value)) continue;
    const at = record.eventTime;
    const same = stated.findIndex((one) => one.at === at);
    if (same >= 0) stated.splice(same, 1);
    const next = stated.findIndex((one) => one.at > at);
    const place = next < 0 ? stated.length : next;
    if (stated[place]?.value === value) stated.splice(place, 1);
    if (stated[place - 1]?.value !== value) stated.splice(place, 0, { at, value });
  }
  const inForce = stated.filter((_, index) => (stated[index + 1]?.at ?? Number.POSITIVE_INFINITY) >= now - windowMs);
  if (stated.length > HELD_CHANGES_MAX) throw new BeyondLimit();
  if (inForce.length === 0) return Number.NaN;
  const values = inForce.map(({ value }) => value);
  return feature.aggregate === 'heldMax' ? Math.max(...values) : Math.min(...values);
}

/** What goes out uses up what came in within the time allowed and the window, the oldest first. */
function passedOn({ taken, now, of, windowMs, withinMs, paneMs }: Look): number {
  const came: { at: number; left: number; passed: number }[] = [];
  const isInside = (at: number, clock: number): boolean =>
    Math.floor(at / paneMs) > Math.floor(clock / paneMs) - windowMs / paneMs;
  for (const { record, clock } of taken) {
    const micros = Math.round((of(record) as number) * 1e6);
    const at = record.eventTime;
    if (micros > 0 && isInside(at, clock)) {
      const next = came.findIndex((one) => one.at > at);
      came.splice(next < 0 ? came.length : next, 0, { at, left: micros, passed: 0 });
    }
    let out = -micros;
    for (const one of came) {
      if (!(out > 0) || one.at > at || at - one.at > withinMs || !isInside(one.at, clock)) continue;
      const part = Math.min(out, one.left);
      one.left -= part;
      one.passed += part;
      out -= part;
    }
  }
  return came.filter(({ at }) => isInside(at, now)).reduce((sum, { passed }) => sum + passed, 0) / 1e6;
}

/** Of the different numbers of the window, those that have the number below or above beside them. */
function neighbourShare({ taken, now, of, windowMs, paneMs }: Look): number {
  const newest = Math.floor(now / paneMs);
  const inside = taken.filter(({ record }) => {
    const pane = Math.floor(record.eventTime / paneMs);
    return pane > newest - windowMs / paneMs && pane <= newest;
  });
  const numbers = new Set(inside.map(({ record }) => BigInt(of(record) as string)));
  const beside = [...numbers].filter((number) => numbers.has(number - 1n) || numbers.has(number + 1n));
  return numbers.size === 0 ? Number.NaN : beside.length / numbers.size;
}

const HOUR_MS = 3_600_000;
const PLACES = 4;
/** From the last place in time before the record, or the first one after it, whichever was faster; four places are known. */
function moved({ feature, taken, own, now, of, windowMs }: Look): number {
  let known: UsageRecord[] = [];
  let neighbours: (UsageRecord | undefined)[] = [];
  let last: UsageRecord | undefined;
  for (const { record, clock } of taken) {
    last = undefined;
    if (CELLS[record.cellId] === undefined || record.eventTime < clock - windowMs) continue;
    last = record;
    neighbours = [
      known.findLast(({ eventTime }) => eventTime <= record.eventTime),
      known.find(({ eventTime }) => eventTime > record.eventTime),
    ];
    const later = known.filter(({ eventTime }) => eventTime > record.eventTime);
    const earlier = known.filter(({ eventTime }) => eventTime <= record.eventTime);
    known = [...earlier, record, ...later].slice(-PLACES);
  }
  if (own === undefined || last !== own || now < own.eventTime) return Number.NaN;
  const least = feature.of === undefined ? 0 : (of(own) as number);
  let [speed, distance] = [Number.NaN, Number.NaN];
  for (const one of neighbours) {
    if (one === undefined || Math.abs(one.eventTime - own.eventTime) > windowMs) continue;
    const km = apartKm(CELLS[one.cellId]!, CELLS[own.cellId]!);
    if (!(km > least)) continue;
    const kmh = km / (Math.max(Math.abs(one.eventTime - own.eventTime), 1_000) / HOUR_MS);
    if (!(speed >= kmh)) [speed, distance] = [kmh, km];
  }
  return feature.aggregate === 'speed' ? speed : distance;
}

/** By the angle between the two directions from the centre of the earth. */
function apartKm([latitude, longitude]: [number, number], [toLatitude, toLongitude]: [number, number]): number {
  if (latitude === toLatitude && longitude === toLongitude) return 0;
  const [a, b, turn] = [latitude, toLatitude, toLongitude - longitude].map((degrees) => (degrees * Math.PI) / 180) as [
    number,
    number,
    number,
  ];
  return 6_371.0088 * Math.acos(Math.sin(a) * Math.sin(b) + Math.cos(a) * Math.cos(b) * Math.cos(turn));
}

/**
 * Who joined inside the window, and who of them failed or was not confirmed in time, or when the next one will not have been.
 * Times are those of whole seconds.
 */
function membersOf({ feature, taken, now, of, holds, windowMs, withinMs }: Look): number {
  const { join, confirm, fail, leave } = feature.members ?? {};
  const members = new Map<number | string | boolean, { joined: number; fate: '' | 'confirmed' | 'failed' }>();
  for (const { record, clock } of taken) {
    const who = of(record);
    if (who === '') continue;
    const member = members.get(who);
    const at = record.eventTime;
    if (leave !== undefined && holds(leave, record)) {
      if (member !== undefined && member.joined <= at) members.delete(who);
    } else if (fail !== undefined && holds(fail, record)) {
      if (member !== undefined) member.fate = 'failed';
    } else if (confirm !== undefined && holds(confirm, record)) {
      if (member !== undefined && at <= member.joined + withinMs && member.fate === '') member.fate = 'confirmed';
    } else if (holds(join, record)) {
      const joined = Math.floor(at / 1000) * 1000;
      if (joined > clock - windowMs && (member === undefined || joined > member.joined))
        members.set(who, { joined, fate: '' });
    }
  }
  const due = [...members.values()].filter(({ fate }) => fate === '').map(({ joined }) => joined + withinMs);
  const from = feature.aggregate === 'membersDueAt' ? now : now + 1;
  if (feature.aggregate!.endsWith('DueAt'))
    return due.filter((at) => at >= from).reduce((first, at) => (at >= first ? first : at), Number.NaN);
  const inside = [...members.values()].filter(({ joined }) => joined > now - windowMs);
  if (feature.aggregate === 'members') return inside.length;
  return inside.filter(({ joined, fate }) => fate === 'failed' || (fate === '' && now >= joined + withinMs)).length;
}

/**
 * Records that count since the newest one of another kind; one that only takes part finds the run as it is. A subscriber who has
 * made none that counts has nothing to end.
 */
function runLength({ taken, own, now, of, windowMs, turns }: Look): number {
  if (own === undefined || !turns.some(({ record }) => record === own)) return Number.NaN;
  const begun = turns.findIndex(({ counts }) => counts);
  const others = turns.slice(begun < 0 ? turns.length : begun).filter(({ record }) => of(record) !== of(own));
  const overAt = Math.max(now - windowMs, ...others.map(({ record }) => record.eventTime));
  return taken.filter(({ record }) => record.eventTime > overAt && turns.some((turn) => turn.record === record)).length;
}
