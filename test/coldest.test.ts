/**
 * Old blocks leave first, as far as a sample can tell, and whoever asks for room gets it while there is anything left.
 */
import { expect, test } from 'vitest';
import { createRandom } from '../src/feed/random.ts';
import { type Arena, createArena } from '../src/state/arena.ts';
import { createBlocks } from '../src/state/block.ts';
import { createColdest } from '../src/state/coldest.ts';

/** Blocks of keys 1 to `count`; the clock of each is its number, wherever it lies. */
function world(count: number): { arena: Arena; touchedAt(address: number): number } {
  const arena = createArena();
  const blocks = createBlocks(arena);
  const random = createRandom(1);
  const order = Array.from({ length: count }, (_, n) => n + 1).sort(() => random() - 0.5);
  for (const key of order) blocks.create(key % 4, key, key);
  return { arena, touchedAt: blocks.touchedAt };
}

test('the oldest leave first', () => {
  const { arena, touchedAt } = world(20_000);
  const coldest = createColdest(arena, touchedAt);
  const left: number[] = [];
  for (let round = 0; round < 40; round++) {
    let taken = 0;
    coldest.sweep((address) => {
      left.push(touchedAt(address));
      arena.free(address);
      return ++taken === 100;
    });
  }
  expect(left).toHaveLength(4_000);
  // A fifth of all: none of the newer half, and nearly all of the oldest tenth.
  expect(Math.max(...left)).toBeLessThan(10_000);
  expect(left.filter((clock) => clock <= 2_000).length).toBeGreaterThan(1_600);
});

test('everything leaves where that is asked for, keys of one age too', () => {
  const { arena } = world(5_000);
  const coldest = createColdest(arena, () => 7);
  let taken = 0;
  const sweep = (enough: number): boolean =>
    coldest.sweep((address) => {
      arena.free(address);
      return ++taken === enough;
    });
  expect(sweep(4_000)).toBe(true);
  expect(sweep(Number.POSITIVE_INFINITY)).toBe(false);
  expect(taken).toBe(5_000);
  expect(arena.usedBlocks()).toBe(0);
  expect(createColdest(createArena(), () => 7).sweep(() => true)).toBe(false);
});
