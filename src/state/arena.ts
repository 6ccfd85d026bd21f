/**
 * The memory that holds every key's state: pages of 1 MiB, each cut into blocks of one size.
 *
 * A key (one subscriber, one account, one IMSI ...) owns exactly one block, so that everything a record touches for a key
 * lies in a few neighbouring cache lines, and only what a rule needs is allocated. Pages make three things cheap:
 * growing (no copy of a gigabyte), walking all keys (a page's blocks have one size), and cutting a checkpoint while the
 * pipeline goes on (a page is copied the first time it is written after the cut, and only then: copy-on-write).
 *
 * Everything is counted in units of 8 bytes. An address is `page * PAGE_UNITS + unit`, so it fits in 32 bits up to 32 GiB.
 */

export const PAGE_UNITS = 131_072;
const PAGE_BITS = 17;
const PAGE_BYTES = PAGE_UNITS * 8;
const SLAB_PAGES_MAX = 32;
/** Most of a block that `touch` reads: 12 cache lines; few blocks are larger. */
const TOUCH_UNITS_MAX = 96;
/** 2^32 units are 32 GiB, more than a process here is given; the byte cap of the configuration is reached long before. */
export const PAGES_MAX = 32_768;

/**
 * Sizes of blocks in units, each about a quarter above the one before: at most 22 % of a block is slack, 9 % on
 * average. The largest is a whole page.
 */
export const SIZE_CLASSES: readonly number[] = (() => {
  const sizes: number[] = [];
  for (let size = 8; size < PAGE_UNITS; size = Math.max(size + 2, Math.ceil((size * 1.22) / 2) * 2)) sizes.push(size);
  sizes.push(PAGE_UNITS);
  return sizes;
})();

/** Unit 1 of every block: its key's clock, which is never negative; this value marks a block as free. */
const FREE = -1;
const CLOCK = 1;

export interface Arena {
  /** Views of one page over the same bytes. */
  f64(page: number): Float64Array;
  u32(page: number): Uint32Array;
  /** A zeroed block of at least `units`; its size is `sizeOf(address)`. */
  allocate(units: number): number;
  free(address: number): void;
  /** Size of the block at this address, in units. */
  sizeOf(address: number): number;
  /** Must be called before a page is written, so that a running checkpoint keeps the page as it was at the cut. */
  beforeWrite(page: number): void;
  /** Reads a block's lines, to have them in the cache; the sum means nothing. */
  touch(address: number): number;
  pageCount(): number;
  /** Bytes that blocks in use take, and bytes of all pages. */
  usedBytes(): number;
  bytes(): number;
  /** Calls `visit` with the address of every block in use. */
  walk(visit: (address: number) => void): void;
  /** The same for one page. */
  walkPage(page: number, visit: (address: number) => void): void;
  /** Fixes the content of all pages as of now; `take` hands them out in order, each exactly as it was at this moment. */
  cut(): ArenaCut;
  /** Puts pages back as `ArenaCut` handed them out. Only on an empty arena. */
  restorePage(sizeClass: number, used: number, bytes: Uint8Array): void;
  /** After the last page: rebuilds the free lists. */
  restored(): void;
}

export interface ArenaCut {
  pages: number;
  /** Size class and number of blocks ever used of a page at the cut, and a copy of the bytes; `into` holds PAGE_BYTES. */
  take(page: number, into: Uint8Array): { sizeClass: number; used: number };
  /** Ends the cut: pages not taken are no longer preserved. */
  release(): void;
}

export function createArena(): Arena {
  const pagesF64: Float64Array[] = [];
  const pagesU32: Uint32Array[] = [];
  const pageClass: number[] = [];
  /** Blocks of the page that have been handed out at least once; those behind have never been touched. */
  const pageUsed: number[] = [];
  /** Memory is taken in slabs, each as large as all before it up to 32 MiB, so that the system can back it with large pages. */
  let slab = new ArrayBuffer(0);
  let slabUsed = 0;
  const openPage = new Int32Array(SIZE_CLASSES.length).fill(-1);
  /** Head of the list of freed blocks per class; unit 0 of a freed block is the next one, 0 ends the list. */
  const freeHead = new Float64Array(SIZE_CLASSES.length);
  let usedUnits = 0;
  let cutState: { pending: Uint8Array; copies: Map<number, Uint8Array>; used: number[] } | undefined;

  // Address 0 means "none" everywhere, so the first block of the first page is never handed out.
  const classOf = (units: number): number => {
    let low = 0;
    let high = SIZE_CLASSES.length - 1;
    if (units > PAGE_UNITS) throw new RangeError(`a block of ${units} units is larger than a page`);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (SIZE_CLASSES[middle]! >= units) high = middle;
      else low = middle + 1;
    }
    return low;
  };

  const addPage = (sizeClass: number): number => {
    const page = pagesF64.length;
    if (page >= PAGES_MAX) throw new RangeError('the state arena is full');
    if (slabUsed === slab.byteLength) {
      slab = new ArrayBuffer(Math.min(SLAB_PAGES_MAX, Math.max(1, page)) * PAGE_BYTES);
      slabUsed = 0;
    }
    pagesF64.push(new Float64Array(slab, slabUsed, PAGE_UNITS));
    pagesU32.push(new Uint32Array(slab, slabUsed, PAGE_UNITS * 2));
    slabUsed += PAGE_BYTES;
    pageClass.push(sizeClass);
    pageUsed.push(page === 0 ? 1 : 0);
    if (page === 0) pagesF64[0]![CLOCK] = FREE;
    return page;
  };

  const bytesOf = (page: number): Uint8Array => {
    const { buffer, byteOffset } = pagesF64[page]!;
    return new Uint8Array(buffer, byteOffset, PAGE_BYTES);
  };

  const beforeWrite = (page: number): void => {
    if (cutState === undefined || page >= cutState.pending.length || cutState.pending[page] === 0) return;
    cutState.pending[page] = 0;
    cutState.copies.set(page, bytesOf(page).slice());
  };

  const allocate = (units: number): number => {
    const sizeClass = classOf(units);
    const size = SIZE_CLASSES[sizeClass]!;
    usedUnits += size;
    const freed = freeHead[sizeClass]!;
    if (freed !== 0) {
      const page = Math.floor(freed / PAGE_UNITS);
      const offset = freed & (PAGE_UNITS - 1);
      const f64 = pagesF64[page]!;
      beforeWrite(page);
      freeHead[sizeClass] = f64[offset]!;
      f64.fill(0, offset, offset + size);
      return freed;
    }
    let page = openPage[sizeClass]!;
    if (page < 0 || (pageUsed[page]! + 1) * size > PAGE_UNITS) {
      page = addPage(sizeClass);
      // A class as large as a page would never fit behind the reserved block of page 0.
      if (page === 0 && size * 2 > PAGE_UNITS) page = addPage(sizeClass);
      openPage[sizeClass] = page;
    }
    beforeWrite(page);
    const offset = pageUsed[page]! * size;
    pageUsed[page]!++;
    return page * PAGE_UNITS + offset;
  };

  const free = (address: number): void => {
    const page = address >>> PAGE_BITS;
    const offset = address & (PAGE_UNITS - 1);
    const sizeClass = pageClass[page]!;
    beforeWrite(page);
    const f64 = pagesF64[page]!;
    f64[offset] = freeHead[sizeClass]!;
    f64[offset + CLOCK] = FREE;
    freeHead[sizeClass] = address;
    usedUnits -= SIZE_CLASSES[sizeClass]!;
  };

  const forEachBlockOf = (page: number, visit: (address: number, live: boolean) => void): void => {
    const size = SIZE_CLASSES[pageClass[page]!]!;
    const f64 = pagesF64[page]!;
    for (let index = page === 0 ? 1 : 0; index < pageUsed[page]!; index++) {
      const offset = index * size;
      visit(page * PAGE_UNITS + offset, f64[offset + CLOCK] !== FREE);
    }
  };
  const forEachBlock = (visit: (address: number, live: boolean) => void): void => {
    for (let page = 0; page < pagesF64.length; page++) forEachBlockOf(page, visit);
  };

  return {
    f64: (page) => pagesF64[page]!,
    u32: (page) => pagesU32[page]!,
    allocate,
    free,
    sizeOf: (address) => SIZE_CLASSES[pageClass[address >>> PAGE_BITS]!]!,
    beforeWrite,
    touch(address) {
      const page = address >>> PAGE_BITS;
      const f64 = pagesF64[page]!;
      const at = address & (PAGE_UNITS - 1);
      const end = at + Math.min(SIZE_CLASSES[pageClass[page]!]!, TOUCH_UNITS_MAX);
      // Eight units are a cache line.
      let sum = 0;
      for (let unit = at; unit < end; unit += 8) sum += f64[unit]!;
      return sum;
    },
    pageCount: () => pagesF64.length,
    usedBytes: () => usedUnits * 8,
    bytes: () => pagesF64.length * PAGE_BYTES,
    walk: (visit) => forEachBlock((address, live) => live && visit(address)),
    walkPage: (page, visit) => forEachBlockOf(page, (address, live) => live && visit(address)),
    cut() {
      if (cutState !== undefined) throw new Error('a cut is open already');
      const state = {
        pending: new Uint8Array(pagesF64.length).fill(1),
        copies: new Map<number, Uint8Array>(),
        used: pageUsed.slice(),
      };
      cutState = state;
      return {
        pages: state.pending.length,
        take(page, into) {
          const copy = state.copies.get(page);
          if (copy !== undefined) {
            into.set(copy);
            state.copies.delete(page);
          } else {
            into.set(bytesOf(page));
            state.pending[page] = 0;
          }
          return { sizeClass: pageClass[page]!, used: state.used[page]! };
        },
        release() {
          // A release that comes twice must not end the cut of somebody else.
          if (cutState === state) cutState = undefined;
        },
      };
    },
    restorePage(sizeClass, used, bytes) {
      const page = addPage(sizeClass);
      bytesOf(page).set(bytes);
      pageUsed[page] = used;
      if ((used + 1) * SIZE_CLASSES[sizeClass]! <= PAGE_UNITS) openPage[sizeClass] = page;
    },
    restored() {
      freeHead.fill(0);
      usedUnits = 0;
      forEachBlock((address, live) => {
        const page = address >>> PAGE_BITS;
        const sizeClass = pageClass[page]!;
        if (live) {
          usedUnits += SIZE_CLASSES[sizeClass]!;
        } else {
          pagesF64[page]![address & (PAGE_UNITS - 1)] = freeHead[sizeClass]!;
          freeHead[sizeClass] = address;
        }
      });
    },
  };
}
