/**
 * How fast a card would have had to travel: between the record being applied and those of the same key just before and just
 * after it in time, at cells whose coordinates are known. Call records arrive when the call ends, so the one before in time may
 * well come later; every pair of neighbours is judged when its second record arrives.
 *
 * `[length]`, then `[time, latitude | longitude]` for each of the last few places, by time. A place is kept in ten-millionths
 * of a degree (1 cm), two to a unit, and not as a cell: what was measured does not change with the list of cells.
 */
import type { ReferenceList } from '../reference/lists.ts';
import type { Blocks, Cursor } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Places remembered per key. A record older than all of them is compared with the first. */
export const PLACES_MAX = 4;
const ENTRY = 2;
const DEGREE = 1e7;
const EARTH_RADIUS_KM = 6_371.0088;
const RADIAN = Math.PI / 180;
const HOUR_MS = 3_600_000;
/** Two records of one second in two places are as fast as this makes them, not infinitely fast. */
const APART_MS_MIN = 1_000;

/** Of the two moves, the faster one among those that are longer than `leastKm`; NaN where there is none. */
export interface Moves extends Operator {
  speedKmh(leastKm: Reader | undefined): Reader;
  distanceKm(leastKm: Reader | undefined): Reader;
}

/** On the great circle, degrees. */
export function distanceKm(latitude: number, longitude: number, toLatitude: number, toLongitude: number): number {
  const halfNorth = Math.sin(((toLatitude - latitude) * RADIAN) / 2);
  const halfEast = Math.sin(((toLongitude - longitude) * RADIAN) / 2);
  const chord =
    halfNorth * halfNorth + Math.cos(latitude * RADIAN) * Math.cos(toLatitude * RADIAN) * halfEast * halfEast;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(chord)));
}

export function createMoves(options: { id: number; signature: string; keepMs: number; cells: ReferenceList }): Moves {
  const { id, keepMs, cells } = options;
  /** Of the record that was taken in last, rounded as they are kept, and of its neighbours: time, latitude, longitude. */
  let latitude = Number.NaN;
  let longitude = Number.NaN;
  const before = new Float64Array(3);
  const after = new Float64Array(3);
  let taken: Scope['record'] | undefined;

  const locate = (cellId: string): boolean => {
    const row = cells.find(cellId);
    latitude = Math.round((cells.numberAt(row, 'latitude') + 90) * DEGREE);
    longitude = Math.round((cells.numberAt(row, 'longitude') + 180) * DEGREE);
    return latitude === latitude;
  };
  const copy = ({ f64, u32 }: Cursor, at: number, into: Float64Array): void => {
    into[0] = f64[at]!;
    into[1] = u32[(at + 1) * 2]!;
    into[2] = u32[(at + 1) * 2 + 1]!;
  };

  let speed = Number.NaN;
  let distance = Number.NaN;
  const compare = (eventTime: number, neighbour: Float64Array, leastKm: number): void => {
    const apartMs = Math.abs(eventTime - neighbour[0]!);
    if (!(apartMs <= keepMs) || (neighbour[1] === latitude && neighbour[2] === longitude)) return;
    const km = distanceKm(
      latitude / DEGREE - 90,
      longitude / DEGREE - 180,
      neighbour[1]! / DEGREE - 90,
      neighbour[2]! / DEGREE - 180,
    );
    if (!(km > leastKm)) return;
    const kmh = km / (Math.max(apartMs, APART_MS_MIN) / HOUR_MS);
    if (speed >= kmh) return;
    speed = kmh;
    distance = km;
  };
  /** Sets `speed` and `distance`; only the record that was taken in last has neighbours. */
  const measure = (scope: Scope, leastKm: Reader | undefined): void => {
    speed = Number.NaN;
    distance = Number.NaN;
    if (scope.record !== taken) return;
    const least = leastKm === undefined ? 0 : leastKm(scope);
    compare(taken.eventTime, before, least);
    compare(taken.eventTime, after, least);
  };

  return {
    id,
    signature: options.signature,
    unitsMax: 1 + PLACES_MAX * ENTRY,
    retentionMs: keepMs,
    lateAfterMs: keepMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      taken = undefined;
      if (record.cellId === '' || record.eventTime < scope.now - keepMs || !locate(record.cellId)) return;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, 1 + ENTRY);
      const length = cursor.u32[segment * 2]!;
      const capacity = (cursor.segmentUnits[id]! - 1) / ENTRY;
      if (length === capacity && capacity < PLACES_MAX)
        segment = blocks.resize(id, 1 + Math.min(PLACES_MAX, capacity * 2) * ENTRY);
      const { f64, u32 } = cursor;
      const placeOf = (index: number): number => segment + 1 + index * ENTRY;
      let slot = length;
      while (slot > 0 && f64[placeOf(slot - 1)]! > record.eventTime) slot--;
      taken = record;
      if (slot > 0) copy(cursor, placeOf(slot - 1), before);
      else before[0] = Number.NaN;
      if (slot < length) copy(cursor, placeOf(slot), after);
      else after[0] = Number.NaN;
      if (length === PLACES_MAX) {
        // The oldest makes room; what is older than all of them is not kept.
        if (slot === 0) return;
        f64.copyWithin(placeOf(0), placeOf(1), placeOf(slot));
        slot--;
      } else {
        f64.copyWithin(placeOf(slot + 1), placeOf(slot), placeOf(length));
        u32[segment * 2] = length + 1;
      }
      const at = placeOf(slot);
      f64[at] = record.eventTime;
      u32[(at + 1) * 2] = latitude;
      u32[(at + 1) * 2 + 1] = longitude;
    },
    speedKmh: (leastKm) => (scope) => {
      measure(scope, leastKm);
      return speed;
    },
    distanceKm: (leastKm) => (scope) => {
      measure(scope, leastKm);
      return distance;
    },
  };
}
