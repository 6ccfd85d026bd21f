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

  /**
   * Lays the bound block out anew with `operator` at `units` (0: without it): in place where it fits, else in a larger
   * block. Rebuilding through a scratch copy keeps one code path for growing, shrinking and removing.
   */
  const scratch = new Float64Array(PAGE_UNITS);
  const scratchU32 = new Uint32Array(scratch.buffer);
  const layOut = (operator: number, units: number): void => {
    if (units > SEGMENT_UNITS_MAX) throw new RangeError(`operator ${operator} asked for ${units} units`);
    const { f64, u32, base, segmentAt, segmentUnits } = cursor;
    const had = segmentAt[operator] !== 0;
    const count = presentCount + (units > 0 && !had ? 1 : 0) - (units === 0 && had ? 1 : 0);
    const directoryUnits = (count + 1) >> 1;
    for (let unit = 0; unit < HEADER_UNITS; unit++) scratch[unit] = f64[base + unit]!;
    let at = HEADER_UNITS + directoryUnits;
    let index = 0;
    if ((count & 1) === 1) scratchU32[(HEADER_UNITS + directoryUnits) * 2 - 1] = 0;
    const put = (id: number, from: number, keep: number, size: number): void => {
      scratchU32[HEADER_UNITS * 2 + index++] = (id << 16) | size;
      for (let unit = 0; unit < size; unit++) scratch[at + unit] = unit < keep ? f64[from + unit]! : 0;
      at += size;
    };
    for (let slot = 0; slot < presentCount; slot++) {
      const id = present[slot]!;
      if (id !== operator) put(id, segmentAt[id]!, segmentUnits[id]!, segmentUnits[id]!);
      else if (units > 0) put(id, segmentAt[id]!, Math.min(units, segmentUnits[id]!), units);
    }
    if (units > 0 && !had) put(operator, 0, 0, units);
    const keyType = u32[(base + META) * 2]! & 0xff;
    scratchU32[META * 2] = keyType | (count << 8);
    scratchU32[META * 2 + 1] = at;
    let address = cursor.address;
    if (at > arena.sizeOf(address)) {
      const key = f64[base + KEY]!;
      address = arena.allocate(at);
      const page = address >>> PAGE_BITS;
      arena.f64(page).set(scratch.subarray(0, at), address & (PAGE_UNITS - 1));
      arena.free(cursor.address);
      moved(keyType, key, address);
    } else {
      f64.set(scratch.subarray(0, at), base);
    }
    bind(address);
  };

  return {
    cursor,
    create(keyType, key, eventTime) {
      const address = arena.allocate(HEADER_UNITS + 1);
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
      if (cursor.segmentAt[operator] === 0) layOut(operator, units);
      return cursor.segmentAt[operator]!;
    },
    resize(operator, units) {
      layOut(operator, units);
      return cursor.segmentAt[operator]!;
    },
    remove(operator) {
      if (cursor.segmentAt[operator] !== 0) layOut(operator, 0);
    },
    segmentIdAt: (index) => present[index]!,
    onMove(listener) {
      moved = listener;
    },
  };
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
