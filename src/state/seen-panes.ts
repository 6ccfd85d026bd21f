/**
 * How many different values a key saw in a window that ended some time ago as well as in the one that ends now: of each value
 * it is known in which panes it was seen, a bit a pane.
 *
 * ```
 *   pane       newest - 27 ...................... newest
 *   value A    0000000000000110010000000000000000001   seen now and before
 *   value B    0000010000100000000000000000000000000   only before
 * ```
 *
 * A value takes 8 bytes: 32 bits of its hash and 32 panes. Two values of one key that share a hash count as one: with 100
 * values that happens to one key in 870,000. Beyond VALUES_MAX values the one that was not seen for longest makes room, so
 * a count is then too small, and that of the time before more than that of now.
 *
 * `[length (u32), newest pane (u32)]`, then `[hash (u32), panes (u32)]` for each value.
 */
import type { Blocks } from './block.ts';
import { mix } from './distinct.ts';
import type { Operator, Reader, Scope } from './operator.ts';
import type { Stretch } from './panes.ts';

/** Values remembered per key: more contacts within eight weeks has a call centre, and no person. */
export const VALUES_MAX = 256;
/** A bit each. */
export const SEEN_PANES_MAX = 32;
/** Room for the first values. */
const VALUES_FIRST = 2;

export interface SeenPanes extends Operator {
  paneMs: number;
  read(scope: Scope, stretch: Stretch): number;
}

export function createSeenPanes(options: {
  id: number;
  signature: string;
  paneMs: number;
  reach: number;
  /** Number that stands for the value; 0 or NaN where the record has none, which is not counted. */
  of: Reader;
}): SeenPanes {
  const { id, paneMs, reach, of } = options;
  if (reach > SEEN_PANES_MAX) throw new RangeError('the window has too many panes');

  /** Panes within reach of the newest. */
  const kept = reach === 32 ? 0xffffffff : (1 << reach) - 1;

  /** Moves on to a newer pane; values that were seen in none of the panes within reach leave. Returns how many stay. */
  const moveOn = (u32: Uint32Array, segment: number, pane: number): number => {
    const by = pane - u32[segment * 2 + 1]!;
    const length = u32[segment * 2]!;
    let staying = 0;
    for (let index = 0; index < length; index++) {
      const at = (segment + 1 + index) * 2;
      const panes = by >= SEEN_PANES_MAX ? 0 : ((u32[at + 1]! << by) & kept) >>> 0;
      if (panes === 0) continue;
      const to = (segment + 1 + staying) * 2;
      u32[to] = u32[at]!;
      u32[to + 1] = panes;
      staying++;
    }
    u32[segment * 2] = staying;
    u32[segment * 2 + 1] = pane;
    return staying;
  };

  /** Index of the value that was not seen for longest; of several the first. */
  const longestUnseen = (u32: Uint32Array, segment: number, length: number): number => {
    let found = 0;
    let farthest = -1;
    for (let index = 0; index < length; index++) {
      const panes = u32[(segment + 1 + index) * 2 + 1]!;
      const ago = 31 - Math.clz32(panes & -panes);
      if (ago > farthest) {
        farthest = ago;
        found = index;
      }
    }
    return found;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: 1 + VALUES_MAX,
    paneMs,
    retentionMs: reach * paneMs,
    lateAfterMs: reach * paneMs,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const value = of(scope);
      if (value !== value || value === 0) return;
      const { cursor } = scope;
      const pane = Math.floor(scope.record.eventTime / paneMs);
      let segment = cursor.segmentAt[id]!;
      if (segment === 0) {
        if (pane <= Math.floor(scope.now / paneMs) - reach) return;
        segment = blocks.ensure(id, 1 + VALUES_FIRST);
        cursor.u32[segment * 2 + 1] = pane;
      }
      let { u32 } = cursor;
      let length = u32[segment * 2]!;
      if (pane > u32[segment * 2 + 1]!) length = moveOn(u32, segment, pane);
      const ago = u32[segment * 2 + 1]! - pane;
      if (ago >= reach) return;
      const bit = (1 << ago) >>> 0;
      const hash = mix(value);
      for (let index = 0; index < length; index++) {
        const at = (segment + 1 + index) * 2;
        if (u32[at] !== hash) continue;
        u32[at + 1] = (u32[at + 1]! | bit) >>> 0;
        return;
      }
      const capacity = cursor.segmentUnits[id]! - 1;
      let index = length;
      if (length < VALUES_MAX) {
        if (length === capacity) {
          segment = blocks.resize(id, 1 + Math.min(VALUES_MAX, capacity + Math.max(2, capacity >> 1)));
          u32 = cursor.u32;
        }
        u32[segment * 2] = length + 1;
      } else {
        index = longestUnseen(u32, segment, length);
        // One that comes late may be the oldest of all.
        const panes = u32[(segment + 1 + index) * 2 + 1]!;
        if (31 - Math.clz32(panes & -panes) < ago) return;
      }
      u32[(segment + 1 + index) * 2] = hash;
      u32[(segment + 1 + index) * 2 + 1] = bit;
    },
    read(scope, stretch) {
      const { segmentAt, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      // Bits of the window, counted back from the newest pane; it may begin beyond the newest pane, where nothing was seen.
      const newest = u32[segment * 2 + 1]! - Math.floor(scope.now / paneMs) + stretch.shift;
      const end = Math.min(SEEN_PANES_MAX, newest + stretch.panes);
      const begin = Math.max(0, newest);
      if (end <= begin) return 0;
      const window = (end === 32 ? 0xffffffff : (1 << end) - 1) & ~((1 << begin) - 1);
      let count = 0;
      for (let index = u32[segment * 2]!; index > 0; index--) {
        if ((u32[(segment + index) * 2 + 1]! & window) !== 0) count++;
      }
      return count;
    },
  };
}
