/**
 * Which share of the different numbers of a window has a neighbour in it, a number one above or one below. People are sent
 * messages as they come; who pumps traffic counts through a range.
 *
 * `[length]  number x capacity (f64), rising  pane in which each was last seen x capacity (u32)`
 *
 * Rising order makes a read one pass. Numbers beyond the limit are left out until others have left the window: the share is then
 * one over those that came first.
 */
import type { Blocks } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';
import type { Stretch } from './panes.ts';

export const NEIGHBOUR_NUMBERS_MAX = 2_048;

export interface Neighbours extends Operator {
  paneMs: number;
  /** Share of the different numbers that have a neighbour; NaN where there is no number. */
  share(stretch: Stretch): Reader;
}

const unitsOf = (capacity: number): number => 1 + capacity + (capacity >> 1);
const capacityOf = (units: number): number => Math.floor(((units - 1) * 2) / 3) & ~1;

export function createNeighbours(options: {
  id: number;
  signature: string;
  paneMs: number;
  reach: number;
  /** The number; NaN or below 1 where the record has none. */
  of: Reader;
}): Neighbours {
  const { id, paneMs, reach, of } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: unitsOf(NEIGHBOUR_NUMBERS_MAX),
    paneMs,
    retentionMs: reach * paneMs,
    lateAfterMs: reach * paneMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const number = of(scope);
      if (!(number >= 1)) return;
      const { cursor } = scope;
      const pane = Math.floor(scope.record.eventTime / paneMs);
      const oldest = Math.floor(scope.now / paneMs) - reach + 1;
      if (pane < oldest) return;
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) segment = blocks.ensure(id, unitsOf(2));
      let { f64, u32 } = cursor;
      let capacity = capacityOf(cursor.segmentUnits[id]!);
      let length = u32[segment * 2]!;
      let panesAt = (segment + 1 + capacity) * 2;
      const place = (): number => {
        let low = 0;
        let high = length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (f64[segment + 1 + middle]! < number) low = middle + 1;
          else high = middle;
        }
        return low;
      };
      let index = place();
      if (index < length && f64[segment + 1 + index] === number) {
        if (u32[panesAt + index]! < pane) u32[panesAt + index] = pane;
        return;
      }
      if (length === capacity) {
        let kept = 0;
        for (let from = 0; from < length; from++) {
          if (u32[panesAt + from]! < oldest) continue;
          f64[segment + 1 + kept] = f64[segment + 1 + from]!;
          u32[panesAt + kept] = u32[panesAt + from]!;
          kept++;
        }
        u32[segment * 2] = kept;
        if (kept === length) {
          if (capacity >= NEIGHBOUR_NUMBERS_MAX) return;
          const larger = Math.min(NEIGHBOUR_NUMBERS_MAX, capacity * 2);
          segment = blocks.resize(id, unitsOf(larger));
          ({ f64, u32 } = cursor);
          const from = (segment + 1 + capacity) * 2;
          panesAt = (segment + 1 + larger) * 2;
          u32.copyWithin(panesAt, from, from + length);
          capacity = larger;
        }
        length = kept;
        index = place();
      }
      f64.copyWithin(segment + 2 + index, segment + 1 + index, segment + 1 + length);
      u32.copyWithin(panesAt + index + 1, panesAt + index, panesAt + length);
      f64[segment + 1 + index] = number;
      u32[panesAt + index] = pane;
      u32[segment * 2] = length + 1;
    },
    share: (stretch) => (scope) => {
      const { segmentAt, segmentUnits, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return Number.NaN;
      const panesAt = (segment + 1 + capacityOf(segmentUnits[id]!)) * 2;
      const length = u32[segment * 2]!;
      const last = Math.floor(scope.now / paneMs) - stretch.shift;
      const first = last - stretch.panes;
      let numbers = 0;
      let withNeighbour = 0;
      let before = -1;
      let beforeCounted = false;
      for (let index = 0; index < length; index++) {
        const pane = u32[panesAt + index]!;
        if (pane <= first || pane > last) continue;
        const number = f64[segment + 1 + index]!;
        numbers++;
        const follows = number === before + 1;
        if (follows) withNeighbour += beforeCounted ? 1 : 2;
        before = number;
        beforeCounted = follows;
      }
      return numbers === 0 ? Number.NaN : withNeighbour / numbers;
    },
  };
}
