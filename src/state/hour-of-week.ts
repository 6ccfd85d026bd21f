/**
 * What a key usually does at this hour of the week: its total in the same local hour of the four weeks before, divided by
 * four. Sunday night is compared with Sunday nights, and a week in which the clocks change still compares nine o'clock with
 * nine o'clock.
 *
 * ```
 * now: Thursday 10:37          total of Thursday 10:00-10:59 one, two, three and four weeks ago, divided by 4
 * [length, newest hour]        hour modulo 1024 and records (u32) x capacity       total (f64) x capacity
 * ```
 *
 * Only hours in which something happened are stored, oldest first: 4 bytes an hour for a count, 12 for a sum. Called numbers
 * carry this by the million, so the hour is kept in 10 bits: at most 675 of them are alive, and the newest one is known whole.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

const HOUR_MS = 3_600_000;
const WEEK_HOURS = 168;
const WEEKS = 4;
/** The current hour and four weeks before, and two hours more for zones whose clocks were set back. */
const KEPT_HOURS = WEEKS * WEEK_HOURS + 3;
/** Hours alive at once are told apart by so many bits. */
const HOUR_MASK = 1_023;
const COUNT_BITS = 22;
/** Records counted in one hour of one key; more are as good as that. */
export const HOUR_RECORDS_MAX = 2 ** COUNT_BITS - 1;
/** Hours are made room for in pairs, because two fit a unit. */
const CAPACITY_MIN = 2;
const CAPACITY_MAX = KEPT_HOURS + (KEPT_HOURS & 1);

export interface HourOfWeek extends Operator {
  /**
   * Total of the same hour of the week in the four weeks before, divided by four and by `perUnit`; not known with fewer than
   * `samplesMin` records. An operator that has seen records only since `since` (epoch ms; 0: for ever) divides by the
   * weeks that it has seen.
   */
  mean(options: { samplesMin: number; perUnit: number; since: number }): Reader;
}

export function createHourOfWeek(options: {
  id: number;
  signature: string;
  /** Whole number to add up; a record for which it is NaN is no sample. Without it records are counted. */
  of: Reader | undefined;
  /** Hours of the local calendar since 1970. */
  hourNumber(epochMs: number): number;
}): HourOfWeek {
  const { id, of, hourNumber } = options;
  const unitsOf = (capacity: number): number => 1 + (capacity >> 1) + (of === undefined ? 0 : capacity);
  const capacityOf = (units: number): number =>
    of === undefined ? (units - 1) * 2 : Math.floor(((units - 1) * 2) / 3) & ~1;
  /** Entries begin at this index of the words, their totals at this unit. */
  const entriesAt = (segment: number): number => (segment + 1) * 2;
  const totalsAt = (segment: number, capacity: number): number => segment + 1 + (capacity >> 1);

  const update = (scope: Scope, blocks: Blocks): void => {
    const value = of === undefined ? 1 : of(scope);
    if (value !== value) return;
    const { cursor, record, now } = scope;
    const hour = hourNumber(record.eventTime);
    const nowHour = record.eventTime === now ? hour : hourNumber(now);
    if (hour <= nowHour - KEPT_HOURS) return;
    let segment = cursor.segmentAt[id]!;
    if (segment === 0) {
      segment = blocks.ensure(id, unitsOf(CAPACITY_MIN));
      cursor.u32[segment * 2 + 1] = hour;
    }
    let { f64, u32 } = cursor;
    let length = u32[segment * 2]!;
    const newest = u32[segment * 2 + 1]!;
    let capacity = capacityOf(cursor.segmentUnits[id]!);
    let words = entriesAt(segment);
    if (hour > newest) {
      // What lies too far back goes as soon as time moves on, or its hour could be taken for a later one.
      let expired = 0;
      while (
        expired < length &&
        newest - ((newest - (u32[words + expired]! >>> COUNT_BITS)) & HOUR_MASK) <= hour - KEPT_HOURS
      )
        expired++;
      if (expired > 0) {
        u32.copyWithin(words, words + expired, words + length);
        if (of !== undefined) {
          const totals = totalsAt(segment, capacity);
          f64.copyWithin(totals, totals + expired, totals + length);
        }
        length -= expired;
      }
      u32[segment * 2 + 1] = hour;
    } else if (hour <= newest - KEPT_HOURS) return;
    const last = Math.max(hour, newest);
    // Records come nearly in order, so the place is found from the end.
    let index = length;
    while (index > 0 && last - ((last - (u32[words + index - 1]! >>> COUNT_BITS)) & HOUR_MASK) > hour) index--;
    const stored = hour & HOUR_MASK;
    if (index > 0 && u32[words + index - 1]! >>> COUNT_BITS === stored) {
      u32[segment * 2] = length;
      const at = words + index - 1;
      if ((u32[at]! & HOUR_RECORDS_MAX) < HOUR_RECORDS_MAX) u32[at]!++;
      if (of !== undefined) f64[totalsAt(segment, capacity) + index - 1]! += value;
      return;
    }
    if (length === capacity) {
      const larger = Math.min(CAPACITY_MAX, (capacity + Math.max(2, capacity >> 1) + 1) & ~1);
      segment = blocks.resize(id, unitsOf(larger));
      ({ f64, u32 } = cursor);
      if (of !== undefined) {
        const from = totalsAt(segment, capacity);
        f64.copyWithin(totalsAt(segment, larger), from, from + length);
      }
      capacity = larger;
      words = entriesAt(segment);
    }
    u32.copyWithin(words + index + 1, words + index, words + length);
    u32[words + index] = ((stored << COUNT_BITS) | 1) >>> 0;
    if (of !== undefined) {
      const totals = totalsAt(segment, capacity);
      f64.copyWithin(totals + index + 1, totals + index, totals + length);
      f64[totals + index] = value;
    }
    u32[segment * 2] = length + 1;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: unitsOf(CAPACITY_MAX),
    retentionMs: KEPT_HOURS * HOUR_MS,
    lateAfterMs: KEPT_HOURS * HOUR_MS,
    onArrival: false,
    update,
    mean:
      ({ samplesMin, perUnit, since }) =>
      (scope) => {
        const { segmentAt, segmentUnits, f64, u32 } = scope.cursor;
        const segment = segmentAt[id]!;
        if (segment === 0) return Number.NaN;
        const length = u32[segment * 2]!;
        const newest = u32[segment * 2 + 1]!;
        const words = entriesAt(segment);
        const totals = totalsAt(segment, capacityOf(segmentUnits[id]!));
        const nowHour = hourNumber(scope.now);
        let samples = 0;
        let total = 0;
        let weeks = 0;
        for (let week = 1; week <= WEEKS; week++) {
          if (scope.now - (week * WEEK_HOURS + 1) * HOUR_MS >= since || since === 0) weeks++;
          const hour = nowHour - week * WEEK_HOURS;
          const age = newest - hour;
          if (age < 0 || age >= KEPT_HOURS) continue;
          let low = 0;
          let high = length;
          while (low < high) {
            const middle = (low + high) >> 1;
            if (((newest - (u32[words + middle]! >>> COUNT_BITS)) & HOUR_MASK) > age) low = middle + 1;
            else high = middle;
          }
          if (low === length) continue;
          const entry = u32[words + low]!;
          if (entry >>> COUNT_BITS !== (hour & HOUR_MASK)) continue;
          samples += entry & HOUR_RECORDS_MAX;
          total += of === undefined ? entry & HOUR_RECORDS_MAX : f64[totals + low]!;
        }
        return samples < samplesMin || weeks === 0 ? Number.NaN : total / weeks / perUnit;
      },
  };
}
