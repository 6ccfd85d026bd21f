/**
 * The values that a key had most records of, such as the ten numbers that a subscriber talks to most.
 *
 * Of each value the number itself is kept, so that others can be asked about it, and how many records it had in each of the
 * last eight panes, four bits a pane (more than 15 in a pane count as 15): 12 bytes a value.
 *
 * ```
 * [length (u32), newest pane (u32)]   value x capacity (f64)   counts x capacity (u32)
 * ```
 *
 * VALUES_MAX values are kept. Where more come, the one with the fewest records makes room, so who talks to hundreds has the
 * most frequent ones right and the rest by chance.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Values kept per key; somewhat more than are asked for, so that a new one can grow in. */
export const VALUES_MAX = 16;
/** How many may be asked for. */
export const TOP_MAX = 12;
/** Panes of a window. */
export const TOP_PANES = 8;
const BITS = 4;
const COUNT_MAX = 15;

export interface TopValues extends Operator {
  /** How many of the `top` values there are, at most `top`. */
  count(top: number): Reader;
  /** Of how many of them `holds`. Among values with as many records those come first that came first. */
  countOf(top: number, holds: (scope: Scope, value: number) => boolean): Reader;
}

/** Sum of the eight counts. */
function total(counts: number): number {
  const pairs = (counts & 0x0f0f0f0f) + ((counts >>> 4) & 0x0f0f0f0f);
  return Math.imul(pairs, 0x01010101) >>> 24;
}

const unitsOf = (capacity: number): number => 1 + capacity + (capacity >> 1);
const capacityOf = (units: number): number => Math.floor(((units - 1) * 2) / 3);

export function createTopValues(options: {
  id: number;
  signature: string;
  paneMs: number;
  /** Number that stands for the value; 0 or NaN where the record has none. */
  of: Reader;
}): TopValues {
  const { id, paneMs, of } = options;
  /** Values of the bound key that are in the window, most records first; the first `sorted` of them. */
  const sortedValues = new Float64Array(VALUES_MAX);
  const sortedTotals = new Int32Array(VALUES_MAX);

  const sort = (scope: Scope): number => {
    const { segmentAt, segmentUnits, f64, u32 } = scope.cursor;
    const segment = segmentAt[id]!;
    if (segment === 0) return 0;
    const ago = Math.floor(scope.now / paneMs) - u32[segment * 2 + 1]!;
    if (ago >= TOP_PANES) return 0;
    const countsAt = (segment + 1 + capacityOf(segmentUnits[id]!)) * 2;
    const length = u32[segment * 2]!;
    let sorted = 0;
    for (let index = 0; index < length; index++) {
      const records = total(u32[countsAt + index]! << (ago * BITS));
      if (records === 0) continue;
      let at = sorted++;
      while (at > 0 && sortedTotals[at - 1]! < records) {
        sortedTotals[at] = sortedTotals[at - 1]!;
        sortedValues[at] = sortedValues[at - 1]!;
        at--;
      }
      sortedTotals[at] = records;
      sortedValues[at] = f64[segment + 1 + index]!;
    }
    return sorted;
  };

  /** Moves on to a newer pane; values without a record in the window leave. Returns how many stay. */
  const moveOn = (scope: Scope, segment: number, countsAt: number, pane: number): number => {
    const { f64, u32 } = scope.cursor;
    const by = pane - u32[segment * 2 + 1]!;
    const length = u32[segment * 2]!;
    let staying = 0;
    for (let index = 0; index < length; index++) {
      const counts = by >= TOP_PANES ? 0 : (u32[countsAt + index]! << (by * BITS)) >>> 0;
      if (counts === 0) continue;
      f64[segment + 1 + staying] = f64[segment + 1 + index]!;
      u32[countsAt + staying] = counts;
      staying++;
    }
    u32[segment * 2] = staying;
    u32[segment * 2 + 1] = pane;
    return staying;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: unitsOf(VALUES_MAX),
    retentionMs: TOP_PANES * paneMs,
    lateAfterMs: TOP_PANES * paneMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value || value === 0) return;
      const { cursor } = scope;
      const pane = Math.floor(scope.record.eventTime / paneMs);
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) {
        if (pane <= Math.floor(scope.now / paneMs) - TOP_PANES) return;
        segment = blocks.ensure(id, unitsOf(2));
        cursor.u32[segment * 2 + 1] = pane;
      }
      let capacity = capacityOf(cursor.segmentUnits[id]!);
      let countsAt = (segment + 1 + capacity) * 2;
      let length = cursor.u32[segment * 2]!;
      if (pane > cursor.u32[segment * 2 + 1]!) length = moveOn(scope, segment, countsAt, pane);
      const ago = cursor.u32[segment * 2 + 1]! - pane;
      if (ago >= TOP_PANES) return;
      const shift = ago * BITS;
      for (let index = 0; index < length; index++) {
        if (cursor.f64[segment + 1 + index] !== value) continue;
        const counts = cursor.u32[countsAt + index]!;
        if (((counts >>> shift) & COUNT_MAX) < COUNT_MAX) cursor.u32[countsAt + index] = counts + 2 ** shift;
        return;
      }
      let index = length;
      if (length === VALUES_MAX) {
        // The last of those with the fewest records: the one that came first has had longer to show itself.
        index = 0;
        for (let other = 1; other < length; other++) {
          if (total(cursor.u32[countsAt + other]!) <= total(cursor.u32[countsAt + index]!)) index = other;
        }
      } else {
        if (length === capacity) {
          segment = blocks.resize(id, unitsOf(capacity * 2));
          const before = (segment + 1 + capacity) * 2;
          capacity *= 2;
          countsAt = (segment + 1 + capacity) * 2;
          cursor.u32.copyWithin(countsAt, before, before + length);
        }
        cursor.u32[segment * 2] = length + 1;
      }
      cursor.f64[segment + 1 + index] = value;
      cursor.u32[countsAt + index] = 2 ** shift;
    },
    count: (top) => (scope) => Math.min(top, sort(scope)),
    countOf: (top, holds) => (scope) => {
      const length = Math.min(top, sort(scope));
      let found = 0;
      for (let index = 0; index < length; index++) if (holds(scope, sortedValues[index]!)) found++;
      return found;
    },
  };
}
