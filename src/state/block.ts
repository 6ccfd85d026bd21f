/**
 * One key's block: a header, a directory, and one segment for each operator that has something to remember for this key.
 *
 * ```
 * unit 0      key number (see key-table.ts)
 * unit 1      clock: the largest event time applied to this key, epoch ms
 * unit 2      event time of the first record of this key
 * unit 3      time of this key's entry in the timer queue, Infinity where it has none
 * unit 4      u32 low: key type | number of segments << 8; u32 high: units in use
 * unit 5      the subscriber of the last record (for a subscriber: its last IMSI), as a key number
 * unit 6 ...  directory: one u32 a segment, operator id << 16 | size in units; two to a unit
 * then        the segments, in directory order
 * ```
 *
 * A subscriber who never roams has no roaming segment and pays nothing for it. A rule set can change without touching a
 * single block: operators keep their ids while their definition stays the same, new ones find no segment and start cold.
 *
 * A cursor is the window through which operators see the block that it is bound to. There is one for the life of the
 * engine; binding decodes the directory into `segmentAt`, which costs about 1 ns a segment and makes each later access
 * an array read.
 */
import { type Arena, PAGE_UNITS } from './arena.ts';

const PAGE_BITS = 15;
export const HEADER_UNITS = 6;
const KEY = 0;
const CLOCK = 1;
const FIRST_SEEN = 2;
const QUEUED_AT = 3;
const META = 4;
const LINK = 5;
/** Segment sizes have 16 bits; no operator comes near. */
export const SEGMENT_UNITS_MAX = 16_384;
/** Operator ids have 16 bits and index `segmentAt`. */
export const OPERATORS_MAX = 4_096;
/** Room for the segments that a first record makes; with it most keys move once or twice in their life. */
const FIRST_SEGMENTS_UNITS = 10;
/** A block that moves gets so much more than it needs: half as many moves for about a tenth more memory. */
const SPARE_FACTOR = 1.2;
/** The number of segments has 24 bits in the header; a block could not hold more than this many operators anyway. */
export const SEGMENTS_MAX = OPERATORS_MAX;

export interface Cursor {
  f64: Float64Array;
  u32: Uint32Array;
  address: number;
  /** Unit of the block's start in its page. */
  base: number;
  /** Unit of each operator's segment in the page, 0 where it has none. Index: operator id. */
  segmentAt: Int32Array;
  /** Sizes in units, valid where segmentAt is not 0. */
  segmentUnits: Int32Array;
}

export interface Blocks {
  cursor: Cursor;
  create(keyType: number, key: number, eventTime: number): number;
  bind(address: number): Cursor;
  /** Unit of the operator's segment; made, zeroed, with `units` where the key has none yet. May move the block. */
  ensure(operator: number, units: number): number;
  /** Grows or shrinks a segment, keeping its first units. May move the block. Returns the segment's new unit. */
  resize(operator: number, units: number): number;
  remove(operator: number): void;
  /** Operator id of the bound block's segment number `index`. */
  segmentIdAt(index: number): number;
  /** Called with (key type, key, new address) whenever a block moves. */
  onMove(listener: (keyType: number, key: number, address: number) => void): void;
}

export function createBlocks(arena: Arena): Blocks {
  const cursor: Cursor = {
    f64: new Float64Array(0),
    u32: new Uint32Array(0),
    address: 0,
    base: 0,
    segmentAt: new Int32Array(OPERATORS_MAX),
    segmentUnits: new Int32Array(OPERATORS_MAX),
  };
  /** Ids of the bound block's segments in directory order. */
  const present = new Int32Array(SEGMENTS_MAX);
  let presentCount = 0;
  let moved: (keyType: number, key: number, address: number) => void = () => {};

  const bind = (address: number): Cursor => {
    const { segmentAt, segmentUnits } = cursor;
    for (let index = 0; index < presentCount; index++) segmentAt[present[index]!] = 0;
    const page = address >>> PAGE_BITS;
    arena.beforeWrite(page);
    const f64 = arena.f64(page);
    const u32 = arena.u32(page);
    const base = address & (PAGE_UNITS - 1);
    cursor.f64 = f64;
    cursor.u32 = u32;
    cursor.address = address;
    cursor.base = base;
    const count = u32[(base + META) * 2]! >>> 8;
    let at = base + HEADER_UNITS + ((count + 1) >> 1);
    const directory = (base + HEADER_UNITS) * 2;
    for (let index = 0; index < count; index++) {
      const entry = u32[directory + index]!;
      const operator = entry >>> 16;
      const units = entry & 0xffff;
      segmentAt[operator] = at;
      segmentUnits[operator] = units;
      present[index] = operator;
      at += units;
    }
    presentCount = count;
    return cursor;
  };

  /** Units in use of the bound block, counted from its start. */
  const usedOf = (): number => cursor.u32[(cursor.base + META) * 2 + 1]!;
  const setMeta = (count: number, used: number): void => {
    const at = (cursor.base + META) * 2;
    cursor.u32[at] = (cursor.u32[at]! & 0xff) | (count << 8);
    cursor.u32[at + 1] = used;
  };

  /** Moves the bound block where it has no room for `units` in all, with some more to spare for what comes next. */
  const makeRoom = (units: number): void => {
    const from = cursor.address;
    if (units <= arena.sizeOf(from)) return;
    const address = arena.allocate(Math.max(units, Math.min(PAGE_UNITS, Math.ceil(units * SPARE_FACTOR))));
    const page = address >>> PAGE_BITS;
    const base = address & (PAGE_UNITS - 1);
    const f64 = arena.f64(page);
    f64.set(cursor.f64.subarray(cursor.base, cursor.base + usedOf()), base);
    const shift = base - cursor.base;
    for (let index = 0; index < presentCount; index++) cursor.segmentAt[present[index]!]! += shift;
    cursor.f64 = f64;
    cursor.u32 = arena.u32(page);
    cursor.address = address;
    cursor.base = base;
    arena.free(from);
    moved(keyTypeOf(cursor), keyOf(cursor), address);
  };

  const append = (operator: number, units: number): void => {
    const { segmentAt, segmentUnits } = cursor;
    // The directory grows by a unit with every other segment; then all segments move up by one.
    const widen = presentCount & 1 ? 0 : 1;
    makeRoom(usedOf() + units + widen);
    const { f64, u32, base } = cursor;
    const used = usedOf();
    const directory = base + HEADER_UNITS;
    if (widen === 1) {
      const first = directory + (presentCount >> 1);
      f64.copyWithin(first + 1, first, base + used);
      f64[first] = 0;
      for (let index = 0; index < presentCount; index++) segmentAt[present[index]!]!++;
    }
    const at = base + used + widen;
    f64.fill(0, at, at + units);
    u32[directory * 2 + presentCount] = (operator << 16) | units;
    segmentAt[operator] = at;
    segmentUnits[operator] = units;
    present[presentCount++] = operator;
    setMeta(presentCount, used + widen + units);
  };

  const slotOf = (operator: number): number => {
    let slot = 0;
    while (present[slot] !== operator) slot++;
    return slot;
  };

  /** Changes the size of a segment that is there; those behind it move. */
  const change = (operator: number, units: number): void => {
    const { segmentAt, segmentUnits } = cursor;
    const before = segmentUnits[operator]!;
    const delta = units - before;
    makeRoom(usedOf() + delta);
    const { f64, u32, base } = cursor;
    const used = usedOf();
    const tail = segmentAt[operator]! + before;
    f64.copyWithin(tail + delta, tail, base + used);
    if (delta > 0) f64.fill(0, tail, tail + delta);
    const slot = slotOf(operator);
    for (let index = slot + 1; index < presentCount; index++) segmentAt[present[index]!]! += delta;
    u32[(base + HEADER_UNITS) * 2 + slot] = (operator << 16) | units;
    segmentUnits[operator] = units;
    setMeta(presentCount, used + delta);
  };

  /** Takes a segment and its entry in the directory out. */
  const drop = (operator: number): void => {
    change(operator, 0);
    const { f64, u32, base, address } = cursor;
    const entries = (base + HEADER_UNITS) * 2;
    const slot = slotOf(operator);
    u32.copyWithin(entries + slot, entries + slot + 1, entries + presentCount);
    u32[entries + presentCount - 1] = 0;
    const used = usedOf();
    // An odd last entry leaves a unit of the directory empty; the segments move down into it.
    const narrow = presentCount & 1;
    if (narrow === 1) {
      const first = base + HEADER_UNITS + ((presentCount + 1) >> 1);
      f64.copyWithin(first - 1, first, base + used);
    }
    setMeta(presentCount - 1, used - narrow);
    bind(address);
  };

  return {
    cursor,
    create(keyType, key, eventTime) {
      const address = arena.allocate(HEADER_UNITS + FIRST_SEGMENTS_UNITS);
      const page = address >>> PAGE_BITS;
      const f64 = arena.f64(page);
      const base = address & (PAGE_UNITS - 1);
      f64[base + KEY] = key;
      f64[base + CLOCK] = eventTime;
      f64[base + FIRST_SEEN] = eventTime;
      f64[base + QUEUED_AT] = Number.POSITIVE_INFINITY;
      arena.u32(page)[(base + META) * 2] = keyType;
      arena.u32(page)[(base + META) * 2 + 1] = HEADER_UNITS;
      return address;
    },
    bind,
    ensure(operator, units) {
      if (cursor.segmentAt[operator] === 0) {
        assertSize(operator, units);
        append(operator, units);
      }
      return cursor.segmentAt[operator]!;
    },
    resize(operator, units) {
      assertSize(operator, units);
      if (cursor.segmentAt[operator] === 0) append(operator, units);
      else change(operator, units);
      return cursor.segmentAt[operator]!;
    },
    remove(operator) {
      if (cursor.segmentAt[operator] !== 0) drop(operator);
    },
    segmentIdAt: (index) => present[index]!,
    onMove(listener) {
      moved = listener;
    },
  };
}

function assertSize(operator: number, units: number): void {
  if (units > SEGMENT_UNITS_MAX) throw new RangeError(`operator ${operator} asked for ${units} units`);
}

export const keyOf = (cursor: Cursor): number => cursor.f64[cursor.base + KEY]!;
export const keyTypeOf = (cursor: Cursor): number => cursor.u32[(cursor.base + META) * 2]! & 0xff;
export const clockOf = (cursor: Cursor): number => cursor.f64[cursor.base + CLOCK]!;
export const firstSeenOf = (cursor: Cursor): number => cursor.f64[cursor.base + FIRST_SEEN]!;
export const queuedAtOf = (cursor: Cursor): number => cursor.f64[cursor.base + QUEUED_AT]!;
export const linkOf = (cursor: Cursor): number => cursor.f64[cursor.base + LINK]!;
export const setLink = (cursor: Cursor, key: number): void => {
  cursor.f64[cursor.base + LINK] = key;
};
export const setClock = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.base + CLOCK] = time;
};
export const setFirstSeen = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.base + FIRST_SEEN] = time;
};
export const setQueuedAt = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.base + QUEUED_AT] = time;
};
/** Number of segments of the bound block. */
export const segmentCountOf = (cursor: Cursor): number => cursor.u32[(cursor.base + META) * 2]! >>> 8;
