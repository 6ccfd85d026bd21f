/**
 * One key's block: a header, a directory, and one segment for each operator that has something to remember for this key.
 *
 * ```
 * unit 0      key number (see key-table.ts)
 * unit 1      clock: the largest event time applied to this key, epoch ms
 * unit 2      event time of the first record of this key
 * unit 3      the subscriber of the last record (for a subscriber: its last IMSI), as a key number
 * unit 4      when this key wants to be looked at again, Infinity where it does not
 * unit 5      u32 low: key type | number of segments << 8; u32 high: units in use
 * unit 6 ...  blocks of a subscriber only: the earliest unit 4 of all who live here, then units 0 to 4 once more for each guest
 * then        directory: one u32 a segment, operator id << 16 | size in units; room grows by eight of them at a time
 * then        the segments, in directory order
 * ```
 *
 * A record names a subscriber, an account, a SIM and a handset, and nearly always the same four together. So the block of a
 * subscriber (the host) has room for one key of each of the other kinds (the guests): one look-up and one piece of memory
 * instead of four. A guest has its own key, clock and segments, so what is worked out for it does not depend on where it
 * lives; a key that turns up with a host whose room is taken has a block of its own.
 *
 * A subscriber who never roams has no roaming segment and pays nothing for it. A rule set can change without touching a
 * single block: operators keep their ids while their definition stays the same, new ones find no segment and start cold.
 *
 * A cursor is the window through which operators see the block that it is bound to. There is one for the life of the
 * engine; binding decodes the directory into `segmentAt`, which costs about 1 ns a segment and makes each later access
 * an array read.
 */
import { type Arena, PAGE_UNITS } from './arena.ts';

const PAGE_BITS = 17;
const KEY = 0;
const CLOCK = 1;
const FIRST_SEEN = 2;
const LINK = 3;
const WAKE_AT = 4;
const META = 5;
const OWN_HEADER_UNITS = 6;
const EARLIEST = 6;
const FIRST_GUEST = 7;
const GUEST_UNITS = 5;
/** The kind of key whose blocks take guests in. */
export const HOST_TYPE = 0;
/** Kinds of keys below this number live in the block of a host: the host itself and its guests. */
export const HOUSEMATES = 4;
/** The larger header: that of a host. */
export const HEADER_UNITS = FIRST_GUEST + (HOUSEMATES - 1) * GUEST_UNITS;
/** Clock of a key that does not live here: before every time. */
const NOBODY = Number.NEGATIVE_INFINITY;
/** Segment sizes have 16 bits; no operator comes near. */
export const SEGMENT_UNITS_MAX = 16_384;
/** Operator ids have 16 bits and index `segmentAt`. */
export const OPERATORS_MAX = 4_096;
/** Room for the segments that a first record makes, of a key by itself and of a host: most move once or twice in their life. */
const FIRST_SEGMENTS_UNITS = 10;
const FIRST_HOST_SEGMENTS_UNITS = 90;
/** A block that moves gets so much more than it needs, so that it does not move again with the next segment. */
const SPARE_FACTOR = 1.08;
/** Entries of the directory come in groups of this many, because all segments move when it grows. */
const DIRECTORY_STEP = 8;
const DIRECTORY_STEP_UNITS = DIRECTORY_STEP / 2;
const directoryUnits = (segments: number): number => ((segments + DIRECTORY_STEP - 1) >>> 3) * DIRECTORY_STEP_UNITS;

export interface Cursor {
  f64: Float64Array;
  u32: Uint32Array;
  address: number;
  /** Unit of the block's start in its page. */
  base: number;
  /** Kind of the selected key, and the unit at which its key number stands: `base`, or that of a guest. */
  keyType: number;
  self: number;
  /** Unit of the directory. */
  directory: number;
  /** Unit of each operator's segment in the page, 0 where it has none. Index: operator id. */
  segmentAt: Int32Array;
  /** Sizes in units, valid where segmentAt is not 0. */
  segmentUnits: Int32Array;
}

/** A look into the block of another key than the bound one, which stays bound. Only for reading. */
export interface Segments {
  f64: Float64Array;
  u32: Uint32Array;
  /** Unit of the subscriber's segment for this operator in `f64`, 0 where there is none. */
  find(subscriber: number, operator: number): number;
}

export interface Blocks {
  cursor: Cursor;
  /** Unit of a segment of the block at this address, 0 where it has none. Its page comes to stand in `segments`. */
  peek(address: number, operator: number, segments: Segments): number;
  /** A block of its own for this key; of a host that is only needed for its guests, `eventTime` is absent. */
  create(keyType: number, key: number, eventTime?: number): number;
  /** Selects the key that the block was made for, which may be a host that is not there itself (see `isHere`). */
  bind(address: number): Cursor;
  /** A block as it was bound once, now at home in the arena again; `image` are its units in use. Binds nothing. */
  bringBack(image: Float64Array): number;
  /** Whether the key that the block was made for lives in it: a host may only be there for its guests. Binds nothing. */
  isHome(address: number): boolean;
  /** The newest clock of those who live in the block at this address. Binds nothing. */
  touchedAt(address: number): number;
  /** Forgets which block is bound, because it is free now. */
  unbind(): void;
  /** Moves the blocks of a page that is nearly empty together with others, if memory was taken since. Binds nothing. */
  gather(): void;
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
    keyType: 0,
    self: 0,
    directory: 0,
    segmentAt: new Int32Array(OPERATORS_MAX),
    segmentUnits: new Int32Array(OPERATORS_MAX),
  };
  /** Ids of the bound block's segments in directory order: an operator has one in a block at the most. */
  const present = new Int32Array(OPERATORS_MAX);
  let presentCount = 0;
  let moved: (keyType: number, key: number, address: number) => void = () => {};

  const bind = (address: number): Cursor => {
    const { segmentAt, segmentUnits } = cursor;
    for (let index = 0; index < presentCount; index++) segmentAt[present[index]!] = 0;
    const page = address >>> PAGE_BITS;
    arena.beforeWrite(address);
    const f64 = arena.f64(page);
    const u32 = arena.u32(page);
    const base = address & (PAGE_UNITS - 1);
    cursor.f64 = f64;
    cursor.u32 = u32;
    cursor.address = address;
    cursor.base = base;
    const meta = u32[(base + META) * 2]!;
    const keyType = meta & 0xff;
    const count = meta >>> 8;
    const first = base + (keyType === HOST_TYPE ? HEADER_UNITS : OWN_HEADER_UNITS);
    cursor.keyType = keyType;
    cursor.self = base;
    cursor.directory = first;
    let at = first + directoryUnits(count);
    const directory = first * 2;
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

  const usedOf = (): number => usedUnitsOf(cursor);
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
    cursor.self += shift;
    cursor.directory += shift;
    arena.free(from);
    moved(ownerTypeOf(cursor), ownerOf(cursor), address);
  };

  const append = (operator: number, units: number): void => {
    const { segmentAt, segmentUnits } = cursor;
    // When the directory is full it grows, and all segments move up.
    const widen = presentCount % DIRECTORY_STEP === 0 ? DIRECTORY_STEP_UNITS : 0;
    makeRoom(usedOf() + units + widen);
    const { f64, u32, base, directory } = cursor;
    const used = usedOf();
    if (widen > 0) {
      const first = directory + directoryUnits(presentCount);
      f64.copyWithin(first + widen, first, base + used);
      f64.fill(0, first, first + widen);
      for (let index = 0; index < presentCount; index++) segmentAt[present[index]!]! += widen;
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
    const { f64, u32, base, directory } = cursor;
    const used = usedOf();
    const tail = segmentAt[operator]! + before;
    f64.copyWithin(tail + delta, tail, base + used);
    if (delta > 0) f64.fill(0, tail, tail + delta);
    const slot = slotOf(operator);
    for (let index = slot + 1; index < presentCount; index++) segmentAt[present[index]!]! += delta;
    u32[directory * 2 + slot] = (operator << 16) | units;
    segmentUnits[operator] = units;
    setMeta(presentCount, used + delta);
  };

  /** Takes a segment and its entry in the directory out. */
  const drop = (operator: number): void => {
    change(operator, 0);
    const { f64, u32, base, directory } = cursor;
    const entries = directory * 2;
    const slot = slotOf(operator);
    u32.copyWithin(entries + slot, entries + slot + 1, entries + presentCount);
    u32[entries + presentCount - 1] = 0;
    const used = usedOf();
    // The last entry of its group leaves the room of one empty; the segments move down into it.
    const narrow = presentCount % DIRECTORY_STEP === 1 ? DIRECTORY_STEP_UNITS : 0;
    if (narrow > 0) {
      const first = directory + directoryUnits(presentCount);
      f64.copyWithin(first - narrow, first, base + used);
    }
    setMeta(presentCount - 1, used - narrow);
    const { address, keyType, self } = cursor;
    bind(address);
    cursor.keyType = keyType;
    cursor.self = self;
  };

  const unbind = (): void => {
    for (let index = 0; index < presentCount; index++) cursor.segmentAt[present[index]!] = 0;
    presentCount = 0;
    cursor.address = 0;
  };

  return {
    cursor,
    create(keyType, key, eventTime = NOBODY) {
      const headerUnits = keyType === HOST_TYPE ? HEADER_UNITS : OWN_HEADER_UNITS;
      const address = arena.allocate(
        headerUnits + (keyType === HOST_TYPE ? FIRST_HOST_SEGMENTS_UNITS : FIRST_SEGMENTS_UNITS),
      );
      const page = address >>> PAGE_BITS;
      const f64 = arena.f64(page);
      const base = address & (PAGE_UNITS - 1);
      f64[base + KEY] = key;
      f64[base + CLOCK] = eventTime;
      f64[base + FIRST_SEEN] = eventTime;
      f64[base + WAKE_AT] = Number.POSITIVE_INFINITY;
      if (keyType === HOST_TYPE) f64[base + EARLIEST] = Number.POSITIVE_INFINITY;
      for (let guest = FIRST_GUEST; guest < headerUnits; guest += GUEST_UNITS) f64[base + guest + CLOCK] = NOBODY;
      arena.u32(page)[(base + META) * 2] = keyType;
      arena.u32(page)[(base + META) * 2 + 1] = headerUnits;
      return address;
    },
    peek(address, operator, segments) {
      const page = address >>> PAGE_BITS;
      const u32 = arena.u32(page);
      const base = address & (PAGE_UNITS - 1);
      const meta = u32[(base + META) * 2]!;
      const count = meta >>> 8;
      const first = base + ((meta & 0xff) === HOST_TYPE ? HEADER_UNITS : OWN_HEADER_UNITS);
      const directory = first * 2;
      let at = first + directoryUnits(count);
      for (let index = 0; index < count; index++) {
        const entry = u32[directory + index]!;
        if (entry >>> 16 === operator) {
          segments.u32 = u32;
          segments.f64 = arena.f64(page);
          return at;
        }
        at += entry & 0xffff;
      }
      return 0;
    },
    bringBack(image) {
      const address = arena.allocate(image.length);
      arena.f64(address >>> PAGE_BITS).set(image, address & (PAGE_UNITS - 1));
      return address;
    },
    isHome: (address) => arena.f64(address >>> PAGE_BITS)[(address & (PAGE_UNITS - 1)) + CLOCK] !== NOBODY,
    touchedAt(address) {
      const page = address >>> PAGE_BITS;
      const f64 = arena.f64(page);
      const base = address & (PAGE_UNITS - 1);
      let newest = f64[base + CLOCK]!;
      if ((arena.u32(page)[(base + META) * 2]! & 0xff) !== HOST_TYPE) return newest;
      for (let guest = FIRST_GUEST; guest < HEADER_UNITS; guest += GUEST_UNITS) {
        const clock = f64[base + guest + CLOCK]!;
        if (clock > newest) newest = clock;
      }
      return newest;
    },
    bind,
    unbind,
    gather() {
      const page = arena.sparsePage();
      if (page < 0) return;
      unbind();
      const fromF64 = arena.f64(page);
      const fromU32 = arena.u32(page);
      arena.walkPage(page, (from) => {
        const base = from & (PAGE_UNITS - 1);
        const meta = (base + META) * 2;
        const address = arena.allocate(arena.sizeOf(from));
        arena
          .f64(address >>> PAGE_BITS)
          .set(fromF64.subarray(base, base + fromU32[meta + 1]!), address & (PAGE_UNITS - 1));
        moved(fromU32[meta]! & 0xff, fromF64[base + KEY]!, address);
        arena.free(from);
      });
    },
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

/** Unit at which the quarter of this housemate begins. */
const quarterOf = (cursor: Cursor, keyType: number): number =>
  keyType === HOST_TYPE ? cursor.base : cursor.base + FIRST_GUEST + (keyType - 1) * GUEST_UNITS;

/** Selects the host or a guest of the bound block: everything below that says "key" is about it from now on. */
export const select = (cursor: Cursor, keyType: number): void => {
  cursor.keyType = keyType;
  cursor.self = quarterOf(cursor, keyType);
};
/** Key number of the housemate of this kind in the bound block of a host; 0 where none lives here. */
export const housemateOf = (cursor: Cursor, keyType: number): number => {
  const quarter = quarterOf(cursor, keyType);
  return cursor.f64[quarter + CLOCK] === NOBODY ? 0 : cursor.f64[quarter + KEY]!;
};
/** Lets a key move in, as its first record comes, and selects it. The room must be free, or its own. */
export const moveIn = (cursor: Cursor, keyType: number, key: number, eventTime: number): void => {
  select(cursor, keyType);
  const { f64, self } = cursor;
  f64[self + KEY] = key;
  f64[self + CLOCK] = eventTime;
  f64[self + FIRST_SEEN] = eventTime;
  f64[self + LINK] = 0;
  f64[self + WAKE_AT] = Number.POSITIVE_INFINITY;
};
/** The selected key does not live here any more; its segments must have been removed. */
export const moveOut = (cursor: Cursor): void => {
  cursor.f64[cursor.self + CLOCK] = NOBODY;
};

export const keyOf = (cursor: Cursor): number => cursor.f64[cursor.self + KEY]!;
export const keyTypeOf = (cursor: Cursor): number => cursor.keyType;
/** Key and kind of key that the block was made for. */
export const ownerOf = (cursor: Cursor): number => cursor.f64[cursor.base + KEY]!;
export const ownerTypeOf = (cursor: Cursor): number => cursor.u32[(cursor.base + META) * 2]! & 0xff;
export const clockOf = (cursor: Cursor): number => cursor.f64[cursor.self + CLOCK]!;
export const firstSeenOf = (cursor: Cursor): number => cursor.f64[cursor.self + FIRST_SEEN]!;
/** When the selected key wants to be looked at again. */
export const wakeAtOf = (cursor: Cursor): number => cursor.f64[cursor.self + WAKE_AT]!;
/** When the first of those who live in the block wants to be looked at: the time of its entry in the timer queue. */
export const queuedAtOf = (cursor: Cursor): number =>
  cursor.f64[cursor.base + (ownerTypeOf(cursor) === HOST_TYPE ? EARLIEST : WAKE_AT)]!;
export const linkOf = (cursor: Cursor): number => cursor.f64[cursor.self + LINK]!;
export const setLink = (cursor: Cursor, key: number): void => {
  cursor.f64[cursor.self + LINK] = key;
};
export const setClock = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.self + CLOCK] = time;
};
export const setFirstSeen = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.self + FIRST_SEEN] = time;
};
export const setWakeAt = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.self + WAKE_AT] = time;
};
/** For a block of its own this is the time of its key; that of a host must be kept at the earliest of all. */
export const setQueuedAt = (cursor: Cursor, time: number): void => {
  cursor.f64[cursor.base + (ownerTypeOf(cursor) === HOST_TYPE ? EARLIEST : WAKE_AT)] = time;
};
/** Number of segments of the bound block. */
export const segmentCountOf = (cursor: Cursor): number => cursor.u32[(cursor.base + META) * 2]! >>> 8;
/** Units in use of the bound block, counted from its start. */
export const usedUnitsOf = (cursor: Cursor): number => cursor.u32[(cursor.base + META) * 2 + 1]!;
