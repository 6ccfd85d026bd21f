/**
 * The memory that holds every key's state: pages of 1 MiB, each cut into blocks of one size.
 *
 * A key (one subscriber, one account, one IMSI ...) owns exactly one block, so that everything a record touches for a key
 * lies in a few neighbouring cache lines, and only what a rule needs is allocated. Pages make three things cheap:
 * growing (no copy of a gigabyte), walking all keys (a page's blocks have one size), and cutting a checkpoint while the
 * pipeline goes on.
 *
 * A cut is copied by another thread, which sees the same memory. It is kept block by block: whoever comes first to a block,
 * the pipeline that is about to change it or the writer, copies it, and one word for each block says who it was. Records come
 * in no order of keys, so within moments of a cut every page is written to: keeping whole pages stopped the pipeline for 0.9 s
 * with 200,000 subscribers, and chunks of 4 KiB copied five times what a record changes.
 *
 * Keys grow, so their blocks move from size to size. A page whose last block has moved away is empty and may be cut into blocks of
 * another size. A few keys never grow and would hold page after page for nothing (8 % of a page in use, 1,000 bytes a
 * subscriber lost), so with each page that is taken the emptiest one is offered for its blocks to be moved together.
 *
 * Everything is counted in units of 8 bytes. An address is `page * PAGE_UNITS + unit`, so it fits in 32 bits up to 32 GiB.
 */

export const PAGE_UNITS = 131_072;
const PAGE_BITS = 17;
const PAGE_BYTES = PAGE_UNITS * 8;
const SLAB_PAGES_MAX = 32;
/** Blocks that were kept lie in pieces of 4 MiB, as close as they fit. */
const KEPT_PIECE_UNITS = 524_288;
const KEPT_PIECE_BYTES = KEPT_PIECE_UNITS * 8;
/** Pieces that are made ready for the first cut, if the state is as large as that; later ones have what those before needed. */
const KEPT_PIECES_FIRST = 64;
/** From cut to cut by so much less is held than was needed at most, so that one busy hour is not remembered for ever. */
const KEPT_FADE = 7 / 8;
/** While a cut is open, so many more are made ready before the pipeline comes to them: 50 ms at 100,000 records a second. */
const KEPT_PIECES_AHEAD = 4;
/** Word of a block that nobody has copied, and of one that the writer has; any other is its place among the kept ones, from 1 on. */
const NOT_COPIED = 0;
const WRITTEN = -1;
/** Words for a cut, at least. */
const WORDS_MIN = 16_384;
/**
 * A page with less than this of its units in use is worth emptying. Three quarters of a page are copied at most to win one, in
 * 0.5 ms, once for each page that is taken.
 */
const SPARSE_SHARE = 3 / 4;
/** Most of a block that `touch` reads: 12 cache lines; few blocks are larger. */
const TOUCH_UNITS_MAX = 96;
/** 2^32 units are 32 GiB, more than a process here is given; the byte cap of the configuration is reached long before. */
export const PAGES_MAX = 32_768;

/** Sizes of blocks in units up to format 3 of the checkpoints, each about a quarter above the one before; the largest is a whole page. */
const COARSE_SIZES: readonly number[] = (() => {
  const sizes: number[] = [];
  for (let size = 8; size < PAGE_UNITS; size = Math.max(size + 2, Math.ceil((size * 1.22) / 2) * 2)) sizes.push(size);
  sizes.push(PAGE_UNITS);
  return sizes;
})();

/**
 * The same with one between each two, about a tenth apart: at most 11 % of a block is slack. With less to spare in a block that
 * moves and pages emptied earlier this took the state from 2,720 to 2,367 bytes a subscriber (300,000, all rules), for no
 * processor time that could be measured.
 */
export const SIZE_CLASSES: readonly number[] = COARSE_SIZES.flatMap((size, at) => {
  const next = COARSE_SIZES[at + 1] ?? size;
  const between = 2 * Math.round(Math.sqrt(size * next) / 2);
  return size < between && between < next ? [size, between] : [size];
});

/** Class of the blocks of a page that a checkpoint of format 3 or older says is of this one; -1 where there was no such class. */
export const classOfCoarse = (coarse: number): number => SIZE_CLASSES.indexOf(COARSE_SIZES[coarse] ?? -1);

/** Unit 1 of every block: its key's clock, which is never negative; this value marks a block as free. */
const FREE = -1;
const CLOCK = 1;

/** Where the memory comes from. */
export interface Memory {
  /** Zeroed. */
  take(bytes: number): SharedArrayBuffer;
  /** So many of this size will be wanted soon. */
  prepare(bytes: number, count: number): void;
}

/** Memory as the system gives it. */
export const PLAIN_MEMORY: Memory = { take: (bytes) => new SharedArrayBuffer(bytes), prepare() {} };

export interface Arena {
  /** Views of one page over the same bytes. */
  f64(page: number): Float64Array;
  u32(page: number): Uint32Array;
  /** A zeroed block of at least `units`; its size is `sizeOf(address)`. */
  allocate(units: number): number;
  free(address: number): void;
  /** Size of the block at this address, in units. */
  sizeOf(address: number): number;
  /** Must be called before a block is written to, so that an open cut keeps it as it was. */
  beforeWrite(address: number): void;
  /** Reads a block's lines, to have them in the cache; the sum means nothing. */
  touch(address: number): number;
  /**
   * A page that is nearly empty, since memory was last taken; -1 where there is none. From now on it hands nothing out: its blocks
   * are to be moved elsewhere at once.
   */
  sparsePage(): number;
  pageCount(): number;
  /** Blocks in use, the bytes that they take, and bytes of all pages. */
  usedBlocks(): number;
  usedBytes(): number;
  bytes(): number;
  /** Calls `visit` with the address of every block in use. */
  walk(visit: (address: number) => void): void;
  /** The same for one page. */
  walkPage(page: number, visit: (address: number) => void): void;
  /** Places for blocks of a page that have been used, and the address of the block in one of them: 0 where it is free. */
  placesOf(page: number): number;
  blockAt(page: number, place: number): number;
  /** Fixes the content of all pages as of now; `take` hands them out in order, each exactly as it was at this moment. */
  cut(): ArenaCut;
  /** Takes a page as `ArenaCut` handed it out; its blocks are to be written to the memory that is returned. On an empty arena. */
  addPage(sizeClass: number, used: number): Uint8Array;
  restorePage(sizeClass: number, used: number, bytes: Uint8Array): void;
  /** So many pages will be added: their memory is made ready meanwhile. */
  expectPages(count: number): void;
  /** The content of the next added page is in it: counts its blocks and calls `visit` with the address of each that is in use. */
  pageRestored(visit: (address: number) => void): void;
  /** After the last page; those that were not yet said to be restored are now. */
  restored(visit?: (address: number) => void): void;
  /** Forgets all pages. */
  clear(): void;
}

/** What a cut shows to the thread that writes it: shared memory, and lists that stay as they are. */
export interface CutPages {
  pages: number;
  /** The memory of the pages, one behind the other. */
  slabs: SharedArrayBuffer[];
  /** Of each page. */
  sizeClass: Uint8Array;
  /** Blocks of each page that had been handed out at the cut. */
  used: Int32Array;
  /** A word for each of those blocks, page after page, and where those of each page begin. */
  words: Int32Array;
  firstWord: Int32Array;
}

export interface ArenaCut {
  pages: number;
  /** `takePage` in this thread. */
  take(page: number, into: Uint8Array): { sizeClass: number; used: number };
  shown: CutPages;
  /** Called with each piece of memory for kept blocks, in order, before any word points into it. */
  onKept(listener: (piece: Uint8Array) => void): void;
  /** Bytes that the pipeline had to copy so far. */
  keptBytes(): number;
  /** Ends the cut: what has not been written is not kept any more. Nobody may read it from now on. */
  release(): void;
}

/**
 * Copies a page as it was at the cut, which works once; `into` holds a page. Runs beside the pipeline, in whatever thread: the
 * copy of a block counts only where its word can be set afterwards, because the pipeline sets it before it changes the block.
 * `keptPiece` finds the memory of kept blocks by its number.
 */
export function takePage(
  { slabs, sizeClass, used, words, firstWord }: CutPages,
  keptPiece: (index: number) => Uint8Array,
  page: number,
  into: Uint8Array,
): { sizeClass: number; used: number } {
  let slab = 0;
  let inSlab = page;
  while (inSlab * PAGE_BYTES >= slabs[slab]!.byteLength) inSlab -= slabs[slab++]!.byteLength / PAGE_BYTES;
  const bytes = SIZE_CLASSES[sizeClass[page]!]! * 8;
  const blocks = used[page]!;
  into.set(new Uint8Array(slabs[slab]!, inSlab * PAGE_BYTES, blocks * bytes));
  for (let index = 0; index < blocks; index++) {
    const word = Atomics.compareExchange(words, firstWord[page]! + index, NOT_COPIED, WRITTEN);
    if (word <= 0) continue;
    const place = word - 1;
    const from = (place % KEPT_PIECE_UNITS) * 8;
    into.set(keptPiece(Math.floor(place / KEPT_PIECE_UNITS)).subarray(from, from + bytes), index * bytes);
  }
  return { sizeClass: sizeClass[page]!, used: blocks };
}

interface OpenCut {
  shown: CutPages;
  kept: Uint8Array[];
  /** Units of `kept` that are taken. */
  keptUnits: number;
  tell(piece: Uint8Array): void;
}

export function createArena(memory: Memory = PLAIN_MEMORY): Arena {
  const pagesF64: Float64Array[] = [];
  const pagesU32: Uint32Array[] = [];
  const pageClass: number[] = [];
  /** Blocks of the page that have been handed out at least once since it got its size. */
  const pageUsed: number[] = [];
  /** Blocks of the page that are in use. */
  const pageLive: number[] = [];
  /** Head of the list of the page's freed blocks; unit 0 of a freed block is the address of the next one, 0 ends the list. */
  const pageFree: number[] = [];
  /** The page was cut into blocks of another size before: what has not been handed out yet is not zero. */
  const pageReused: boolean[] = [];
  /** Of each class, the pages that have freed blocks; the last one is filled first. */
  const withFree: number[][] = SIZE_CLASSES.map(() => []);
  const emptyPages: number[] = [];
  /** A page was taken since the sparsest one was looked for. */
  let hasGrown = false;
  /** The page that is being emptied, -1 where none is. */
  let leaving = -1;
  /** Memory is taken in slabs, each as large as all before it up to 32 MiB, so that the system can back it with large pages. */
  const slabs: SharedArrayBuffer[] = [];
  let slabUsed = 0;
  const openPage = new Int32Array(SIZE_CLASSES.length).fill(-1);
  let usedUnits = 0;
  let usedBlocks = 0;
  /** Between `expectPages` and `restored`; pages that are restored so far. */
  let isRestoring = false;
  let pagesRestored = 0;
  let open: OpenCut | undefined;
  /** From cut to cut. */
  let words = new Int32Array(new SharedArrayBuffer(0));
  const spare: Uint8Array[] = [];
  /** Pieces that cuts needed so far, the later the more it counts. */
  let keptBefore = 0;

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

  /** Of the slab that begins with this page. */
  const slabBytes = (page: number): number => Math.min(SLAB_PAGES_MAX, Math.max(1, page)) * PAGE_BYTES;
  /** At most three quarters of the state: what records that come as fast as they can touch before the writer comes to it. */
  const piecesWanted = (): number =>
    Math.min(
      Math.max(KEPT_PIECES_FIRST, Math.ceil(keptBefore)),
      Math.floor((pagesF64.length * PAGE_BYTES * 0.75) / KEPT_PIECE_BYTES),
    );

  /** A page of blocks of this class, none of them handed out. */
  const addPage = (sizeClass: number): number => {
    hasGrown = true;
    const empty = emptyPages.pop();
    if (empty !== undefined) {
      pageClass[empty] = sizeClass;
      return empty;
    }
    const page = pagesF64.length;
    if (page >= PAGES_MAX) throw new RangeError('the state arena is full');
    let slab = slabs.at(-1);
    if (slab === undefined || slabUsed === slab.byteLength) {
      slab = memory.take(slabBytes(page));
      slabs.push(slab);
      slabUsed = 0;
      memory.prepare(slabBytes(page + slab.byteLength / PAGE_BYTES), 1);
      // Pages of a checkpoint come as fast as the system gives memory, and no cut before the last of them.
      if (!isRestoring) memory.prepare(KEPT_PIECE_BYTES, piecesWanted() - spare.length);
    }
    pagesF64.push(new Float64Array(slab, slabUsed, PAGE_UNITS));
    pagesU32.push(new Uint32Array(slab, slabUsed, PAGE_UNITS * 2));
    slabUsed += PAGE_BYTES;
    pageClass.push(sizeClass);
    pageUsed.push(page === 0 ? 1 : 0);
    // The first block of the first page counts as one in use, so that page is never empty.
    pageLive.push(page === 0 ? 1 : 0);
    pageFree.push(0);
    pageReused.push(false);
    if (page === 0) pagesF64[0]![CLOCK] = FREE;
    return page;
  };

  const noteFree = (page: number, address: number): void => {
    if (page === leaving) return;
    if (pageFree[page] === 0) withFree[pageClass[page]!]!.push(page);
    pagesF64[page]![address & (PAGE_UNITS - 1)] = pageFree[page]!;
    pageFree[page] = address;
  };

  /** The page hands nothing out any more. */
  const takeOff = (page: number): void => {
    const sizeClass = pageClass[page]!;
    if (openPage[sizeClass] === page) openPage[sizeClass] = -1;
    const others = withFree[sizeClass]!;
    const at = others.lastIndexOf(page);
    if (at >= 0) others.splice(at, 1);
  };

  /** The last block of the page has been freed: it may get another size. */
  const emptyPage = (page: number): void => {
    takeOff(page);
    if (leaving === page) leaving = -1;
    pageFree[page] = 0;
    pageUsed[page] = 0;
    pageReused[page] = true;
    emptyPages.push(page);
  };

  const sparsePage = (): number => {
    if (!hasGrown) return -1;
    hasGrown = false;
    let least = PAGE_UNITS * SPARSE_SHARE;
    let found = -1;
    for (let page = 1; page < pageLive.length; page++) {
      const sizeClass = pageClass[page]!;
      const units = pageLive[page]! * SIZE_CLASSES[sizeClass]!;
      // Its blocks go into the room that other pages of the size have, or nothing would be won.
      if (units === 0 || units >= least || openPage[sizeClass] === page || withFree[sizeClass]!.length < 2) continue;
      least = units;
      found = page;
    }
    if (found >= 0) {
      takeOff(found);
      leaving = found;
    }
    return found;
  };

  const bytesOf = (page: number): Uint8Array => {
    const { buffer, byteOffset } = pagesF64[page]!;
    return new Uint8Array(buffer, byteOffset, PAGE_BYTES);
  };

  /** Keeps what the cut has where this block lies, unless the writer has been there. */
  const keep = (cut: OpenCut, address: number): void => {
    const { shown, kept } = cut;
    const page = address >>> PAGE_BITS;
    if (page >= shown.pages) return;
    const from = address & (PAGE_UNITS - 1);
    // Since the cut the page may have been emptied and cut into blocks of another size.
    const size = SIZE_CLASSES[shown.sizeClass[page]!]!;
    const end = from + SIZE_CLASSES[pageClass[page]!]!;
    const count = Math.min(shown.used[page]!, Math.ceil(end / size));
    for (let index = Math.floor(from / size); index < count; index++) {
      const word = shown.firstWord[page]! + index;
      if (Atomics.load(shown.words, word) !== NOT_COPIED) continue;
      let place = cut.keptUnits;
      const left = kept.length * KEPT_PIECE_UNITS - place;
      if (left < size) {
        place += left;
        const piece = spare.pop() ?? new Uint8Array(memory.take(KEPT_PIECE_BYTES));
        if (spare.length < KEPT_PIECES_AHEAD) memory.prepare(KEPT_PIECE_BYTES, KEPT_PIECES_AHEAD);
        kept.push(piece);
        cut.tell(piece);
      }
      const block = bytesOf(page).subarray(index * size * 8, (index + 1) * size * 8);
      kept.at(-1)!.set(block, (place % KEPT_PIECE_UNITS) * 8);
      // Where the writer was quicker its copy is as good, and the place is used for the next block.
      const isKept = Atomics.compareExchange(shown.words, word, NOT_COPIED, place + 1) === NOT_COPIED;
      cut.keptUnits = isKept ? place + size : place;
    }
  };

  const beforeWrite = (address: number): void => {
    if (open !== undefined) keep(open, address);
  };

  const allocate = (units: number): number => {
    const sizeClass = classOf(units);
    const size = SIZE_CLASSES[sizeClass]!;
    usedUnits += size;
    usedBlocks++;
    const freeIn = withFree[sizeClass]!.at(-1);
    if (freeIn !== undefined) {
      const address = pageFree[freeIn]!;
      const offset = address & (PAGE_UNITS - 1);
      const f64 = pagesF64[freeIn]!;
      beforeWrite(address);
      pageFree[freeIn] = f64[offset]!;
      if (pageFree[freeIn] === 0) withFree[sizeClass]!.pop();
      pageLive[freeIn]!++;
      f64.fill(0, offset, offset + size);
      return address;
    }
    let page = openPage[sizeClass]!;
    if (page < 0 || (pageUsed[page]! + 1) * size > PAGE_UNITS) {
      page = addPage(sizeClass);
      // A class as large as a page would never fit behind the reserved block of page 0.
      if (page === 0 && size * 2 > PAGE_UNITS) page = addPage(sizeClass);
      openPage[sizeClass] = page;
    }
    const offset = pageUsed[page]! * size;
    const address = page * PAGE_UNITS + offset;
    pageUsed[page]!++;
    pageLive[page]!++;
    // A new page is zero, and here is behind everything that a cut has of it.
    if (pageReused[page]) {
      beforeWrite(address);
      pagesF64[page]!.fill(0, offset, offset + size);
    }
    return address;
  };

  const free = (address: number): void => {
    const page = address >>> PAGE_BITS;
    beforeWrite(address);
    pagesF64[page]![(address & (PAGE_UNITS - 1)) + CLOCK] = FREE;
    noteFree(page, address);
    usedBlocks--;
    usedUnits -= SIZE_CLASSES[pageClass[page]!]!;
    if (--pageLive[page]! === 0) emptyPage(page);
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

  const pageRestored = (visit: (address: number) => void): void => {
    const page = pagesRestored++;
    const size = SIZE_CLASSES[pageClass[page]!]!;
    forEachBlockOf(page, (address, live) => {
      if (live) {
        usedUnits += size;
        usedBlocks++;
        pageLive[page]!++;
        visit(address);
      } else noteFree(page, address);
    });
  };

  const takePageBack = (sizeClass: number, used: number): Uint8Array => {
    const page = addPage(sizeClass);
    pageUsed[page] = used;
    if ((used + 1) * SIZE_CLASSES[sizeClass]! <= PAGE_UNITS) openPage[sizeClass] = page;
    return bytesOf(page);
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
    sparsePage,
    pageCount: () => pagesF64.length,
    usedBlocks: () => usedBlocks,
    usedBytes: () => usedUnits * 8,
    bytes: () => pagesF64.length * PAGE_BYTES,
    walk: (visit) => forEachBlock((address, live) => live && visit(address)),
    walkPage: (page, visit) => forEachBlockOf(page, (address, live) => live && visit(address)),
    placesOf: (page) => pageUsed[page]!,
    blockAt(page, place) {
      const offset = place * SIZE_CLASSES[pageClass[page]!]!;
      return pagesF64[page]![offset + CLOCK] === FREE ? 0 : page * PAGE_UNITS + offset;
    },
    cut() {
      if (open !== undefined) throw new Error('a cut is open already');
      const pages = pagesF64.length;
      const firstWord = new Int32Array(pages);
      let blocks = 0;
      for (let page = 0; page < pages; page++) {
        firstWord[page] = blocks;
        blocks += pageUsed[page]!;
      }
      if (words.length < blocks) {
        // In powers of two, so that the next larger ones can be made ready: a million fresh words took 15 ms.
        const bytes = 2 ** Math.ceil(Math.log2(Math.max(blocks, WORDS_MIN) * 4));
        words = new Int32Array(memory.take(bytes));
        memory.prepare(bytes * 2, 1);
      }
      words.fill(NOT_COPIED, 0, blocks);
      const shown: CutPages = {
        pages,
        slabs: slabs.slice(),
        sizeClass: Uint8Array.from(pageClass),
        used: Int32Array.from(pageUsed),
        words,
        firstWord,
      };
      const kept: Uint8Array[] = [];
      const cut: OpenCut = { shown, kept, keptUnits: 0, tell() {} };
      open = cut;
      return {
        pages,
        take: (page, into) => takePage(shown, (index) => kept[index]!, page, into),
        shown,
        onKept(listener) {
          cut.tell = listener;
          for (const piece of kept) listener(piece);
        },
        keptBytes: () => cut.keptUnits * 8,
        release() {
          // A release that comes twice must not end the cut of somebody else.
          if (open !== cut) return;
          open = undefined;
          keptBefore = Math.max(kept.length, keptBefore * KEPT_FADE);
          spare.push(...kept);
          spare.length = Math.min(spare.length, piecesWanted());
        },
      };
    },
    addPage: takePageBack,
    restorePage(sizeClass, used, bytes) {
      takePageBack(sizeClass, used).set(bytes);
    },
    expectPages(count) {
      isRestoring = true;
      let largest = 0;
      for (let page = 0; page < count; page += slabBytes(page) / PAGE_BYTES)
        if (slabBytes(page) === SLAB_PAGES_MAX * PAGE_BYTES) largest++;
      memory.prepare(SLAB_PAGES_MAX * PAGE_BYTES, largest);
    },
    pageRestored,
    restored(visit = () => {}) {
      while (pagesRestored < pagesF64.length) pageRestored(visit);
      for (let page = pagesF64.length - 1; page >= 0; page--) if (pageLive[page] === 0) emptyPage(page);
      isRestoring = false;
      memory.prepare(KEPT_PIECE_BYTES, piecesWanted() - spare.length);
    },
    clear() {
      for (const list of [pagesF64, pagesU32, pageClass, pageUsed, pageLive, pageFree, pageReused, slabs])
        list.length = 0;
      for (const pages of withFree) pages.length = 0;
      emptyPages.length = 0;
      hasGrown = false;
      isRestoring = false;
      pagesRestored = 0;
      leaving = -1;
      openPage.fill(-1);
      usedUnits = 0;
      usedBlocks = 0;
    },
  };
}
