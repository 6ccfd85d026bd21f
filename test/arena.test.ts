import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Arena, createArena, PAGE_UNITS, SIZE_CLASSES } from '../src/state/arena.ts';

const PAGE_BYTES = PAGE_UNITS * 8;
const pageOf = (address: number): number => Math.floor(address / PAGE_UNITS);
const unitOf = (address: number): number => address % PAGE_UNITS;
const contentOf = (arena: Arena, address: number): number[] => [
  ...arena.f64(pageOf(address)).subarray(unitOf(address), unitOf(address) + arena.sizeOf(address)),
];
const liveIn = (arena: Arena): number[] => {
  const found: number[] = [];
  arena.walk((address) => found.push(address));
  return found;
};

/** Sizes around the smallest, the largest, and everything between. */
const units = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 60 }) },
  { weight: 3, arbitrary: fc.integer({ min: 61, max: 4_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 4_001, max: PAGE_UNITS }) },
  // Five to a page: few steps make pages that are nearly empty.
  { weight: 4, arbitrary: fc.constant(25_000) },
);
type Step = { do: 'allocate'; units: number } | { do: 'free' | 'write'; which: number } | { do: 'gather' };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: units.map((size): Step => ({ do: 'allocate', units: size })) },
  { weight: 2, arbitrary: fc.nat().map((which): Step => ({ do: 'free', which })) },
  { weight: 2, arbitrary: fc.nat().map((which): Step => ({ do: 'write', which })) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'gather' }) },
);

/** The arena and beside it what every block in use must hold. */
function worked(steps: readonly Step[], arena = createArena(), blocks = new Map<number, number[]>()) {
  let stamp = 1;
  for (const now of steps) {
    if (now.do === 'allocate') {
      const address = arena.allocate(now.units);
      expect(blocks.has(address)).toBe(false);
      expect(arena.sizeOf(address)).toBeGreaterThanOrEqual(now.units);
      const content = contentOf(arena, address);
      expect(content.every((value) => value === 0)).toBe(true);
      blocks.set(address, content);
      continue;
    }
    if (now.do === 'gather') {
      const page = arena.sparsePage();
      for (const [from, content] of page < 0 ? [] : [...blocks].filter(([address]) => pageOf(address) === page)) {
        const address = arena.allocate(content.length);
        expect(pageOf(address)).not.toBe(page);
        arena.f64(pageOf(address)).set(content, unitOf(address));
        arena.free(from);
        blocks.delete(from);
        blocks.set(address, content);
      }
      continue;
    }
    const address = [...blocks.keys()][now.which % Math.max(1, blocks.size)];
    if (address === undefined) continue;
    if (now.do === 'free') {
      arena.free(address);
      blocks.delete(address);
    } else {
      arena.beforeWrite(address);
      const content = blocks.get(address)!.map((_, unit) => stamp * 100_000 + unit);
      stamp++;
      arena.f64(pageOf(address)).set(content, unitOf(address));
      blocks.set(address, content);
    }
  }
  return { arena, blocks };
}

function expectSame(arena: Arena, blocks: ReadonlyMap<number, number[]>): void {
  expect(liveIn(arena)).toEqual([...blocks.keys()].sort((a, b) => a - b));
  for (const [address, content] of blocks) expect(contentOf(arena, address)).toEqual(content);
  expect(arena.usedBytes()).toBe([...blocks.values()].reduce((sum, content) => sum + content.length * 8, 0));
}

describe('arena', () => {
  test('size classes rise up to a whole page, and no block has more than 11 % of slack', () => {
    expect(SIZE_CLASSES[0]).toBe(8);
    expect(SIZE_CLASSES.at(-1)).toBe(PAGE_UNITS);
    for (let index = 1; index < SIZE_CLASSES.length; index++) {
      const size = SIZE_CLASSES[index]!;
      const least = SIZE_CLASSES[index - 1]! + 1;
      expect(least).toBeLessThanOrEqual(size);
      expect((size - least) / size).toBeLessThanOrEqual(0.11);
    }
  });

  test('blocks keep what was written, start zeroed, and never share a unit', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { arena, blocks } = worked(steps);
        // Contents carry a stamp of their own, so two blocks over the same units could not both be right.
        expectSame(arena, blocks);
      }),
      { numRuns: 150 },
    );
  });

  test('address 0 is never handed out, whatever the first block is', () => {
    for (const size of SIZE_CLASSES) expect(createArena().allocate(size)).toBeGreaterThan(0);
  });

  test('freed blocks are used again before a page is added', () => {
    const arena = createArena();
    const first = Array.from({ length: 10_000 }, () => arena.allocate(20));
    const pages = arena.pageCount();
    for (const address of first) arena.free(address);
    expect(arena.usedBytes()).toBe(0);
    const second = Array.from({ length: 10_000 }, () => arena.allocate(20));
    expect(arena.pageCount()).toBe(pages);
    expect(new Set(second)).toEqual(new Set(first));
  });

  test('a page that is empty is cut into blocks of another size, zeroed', () => {
    const arena = createArena();
    const first = Array.from({ length: 50_000 }, () => arena.allocate(20));
    for (const address of first) arena.f64(pageOf(address)).fill(7, unitOf(address), unitOf(address) + 20);
    const pages = arena.pageCount();
    for (const address of first) arena.free(address);
    const second = Array.from({ length: 8_900 }, () => arena.allocate(100));
    expect(arena.pageCount()).toBe(pages);
    for (const address of second) expect(contentOf(arena, address).every((value) => value === 0)).toBe(true);
  });

  test('a block larger than a page is refused', () => {
    expect(() => createArena().allocate(PAGE_UNITS + 1)).toThrow(RangeError);
  });
});

describe('cut', () => {
  test('hands out every page as it was, whatever is written, freed and allocated in between', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.array(fc.array(step, { maxLength: 12 }), { minLength: 1, maxLength: 12 }),
        (before, between) => {
          const { arena, blocks } = worked(before);
          const atCut = new Map([...blocks].map(([address, content]) => [address, [...content]]));
          const usedBytes = arena.usedBytes();
          const pages = Array.from(
            { length: arena.pageCount() },
            (_, page) => new Uint8Array(arena.u32(page).slice().buffer),
          );
          const cut = arena.cut();
          expect(cut.pages).toBe(pages.length);
          const into = new Uint8Array(PAGE_BYTES);
          const copy = createArena();
          for (let page = 0; page < cut.pages; page++) {
            worked(between[page % between.length]!, arena, blocks);
            into.fill(0xff);
            const { sizeClass, used } = cut.take(page, into);
            const bytes = used * SIZE_CLASSES[sizeClass]! * 8;
            expect(Buffer.compare(into.subarray(0, bytes), pages[page]!.subarray(0, bytes))).toBe(0);
            copy.restorePage(sizeClass, used, into.slice(0, bytes));
          }
          cut.release();
          expectSame(arena, blocks);
          // The copy is the arena of the cut, and goes on working as an arena.
          copy.restored();
          expectSame(copy, atCut);
          expect(copy.usedBytes()).toBe(usedBytes);
          worked(between.flat(), copy, atCut);
          expectSame(copy, atCut);
        },
      ),
      { numRuns: 80 },
    );
  });

  test('there is one at a time', () => {
    const arena = createArena();
    const address = arena.allocate(8);
    const first = arena.cut();
    expect(() => arena.cut()).toThrow('open');
    first.release();
    const second = arena.cut();
    // A release that comes twice must not end the cut of somebody else.
    first.release();
    arena.beforeWrite(address);
    arena.f64(0)[unitOf(address)] = 42;
    const into = new Uint8Array(PAGE_BYTES);
    second.take(0, into);
    expect(new Float64Array(into.buffer)[unitOf(address)]).toBe(0);
    second.release();
  });

  test('a restored arena fills freed blocks and open pages before it adds one', () => {
    const arena = createArena();
    const addresses = Array.from({ length: 5_000 }, () => arena.allocate(14));
    for (const address of addresses.filter((_, index) => index % 3 === 0)) arena.free(address);
    const cut = arena.cut();
    const copy = createArena();
    for (let page = 0; page < cut.pages; page++) {
      const into = new Uint8Array(PAGE_BYTES);
      const { sizeClass, used } = cut.take(page, into);
      copy.restorePage(sizeClass, used, into);
    }
    copy.restored();
    const pages = copy.pageCount();
    for (let index = 0; index < 1_667; index++) copy.allocate(14);
    expect(copy.pageCount()).toBe(pages);
    expect(copy.usedBytes()).toBe(arena.usedBytes() + 1_667 * 14 * 8);
  });
});

test('touching reads what is there and changes nothing; the address of no block reads nothing', () => {
  const arena = createArena();
  expect(arena.touch(0)).toBe(0);
  const address = arena.allocate(40);
  arena.f64(0)[address] = 7;
  expect(arena.touch(address)).toBeGreaterThanOrEqual(7);
  expect(arena.f64(0)[address]).toBe(7);
});
