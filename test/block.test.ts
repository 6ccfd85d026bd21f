import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createArena, PAGE_UNITS } from '../src/state/arena.ts';
import {
  clockOf,
  createBlocks,
  firstSeenOf,
  HEADER_UNITS,
  keyOf,
  keyTypeOf,
  linkOf,
  OPERATORS_MAX,
  queuedAtOf,
  SEGMENT_UNITS_MAX,
  segmentCountOf,
  setClock,
  setFirstSeen,
  setLink,
  setQueuedAt,
} from '../src/state/block.ts';
import { cases } from './cases.ts';

/** What a block must hold, as a person would write it down. */
interface Model {
  keyType: number;
  clock: number;
  firstSeen: number;
  queuedAt: number;
  link: number;
  segments: Map<number, number[]>;
}

const operator = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: OPERATORS_MAX - 1 }) },
);
const units = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 10, max: 900 }) },
);
type Step =
  | { do: 'ensure' | 'resize'; key: number; operator: number; units: number }
  | { do: 'remove' | 'fill'; key: number; operator: number }
  | { do: 'header'; key: number; value: number };
const key = fc.integer({ min: 1, max: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('ensure' as const), key, operator, units }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resize' as const), key, operator, units }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), key, operator }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('fill' as const), key, operator }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('header' as const), key, value: fc.nat() }) },
);

describe('blocks', () => {
  test('segments keep their content, whatever happens to the others', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const arena = createArena();
        const blocks = createBlocks(arena);
        const { cursor } = blocks;
        const addresses = new Map<number, number>();
        const models = new Map<number, Model>();
        blocks.onMove((keyType, moved, address) => {
          expect(keyType).toBe(models.get(moved)!.keyType);
          addresses.set(moved, address);
        });
        let stamp = 0.5;

        const expectKey = (name: number): void => {
          const model = models.get(name)!;
          blocks.bind(addresses.get(name)!);
          expect(keyOf(cursor)).toBe(name);
          expect(keyTypeOf(cursor)).toBe(model.keyType);
          expect(clockOf(cursor)).toBe(model.clock);
          expect(firstSeenOf(cursor)).toBe(model.firstSeen);
          expect(queuedAtOf(cursor)).toBe(model.queuedAt);
          expect(linkOf(cursor)).toBe(model.link);
          expect(segmentCountOf(cursor)).toBe(model.segments.size);
          const ids = Array.from({ length: segmentCountOf(cursor) }, (_, index) => blocks.segmentIdAt(index));
          expect(new Set(ids)).toEqual(new Set(model.segments.keys()));
          for (const [id, content] of model.segments) {
            const at = cursor.segmentAt[id]!;
            expect(cursor.segmentUnits[id]).toBe(content.length);
            expect([...cursor.f64.subarray(at, at + content.length)]).toEqual(content);
          }
        };

        for (const now of steps) {
          let model = models.get(now.key);
          if (model === undefined) {
            const keyType = now.key % 11;
            addresses.set(now.key, blocks.create(keyType, now.key, 1_000 + now.key));
            model = {
              keyType,
              clock: 1_000 + now.key,
              firstSeen: 1_000 + now.key,
              queuedAt: Number.POSITIVE_INFINITY,
              link: 0,
              segments: new Map(),
            };
            models.set(now.key, model);
          }
          blocks.bind(addresses.get(now.key)!);
          const content = 'operator' in now ? model.segments.get(now.operator) : undefined;
          if (now.do === 'ensure') {
            const at = blocks.ensure(now.operator, now.units);
            expect(at).toBe(cursor.segmentAt[now.operator]);
            if (content === undefined) model.segments.set(now.operator, Array(now.units).fill(0));
          } else if (now.do === 'resize') {
            blocks.resize(now.operator, now.units);
            const kept = content ?? [];
            model.segments.set(
              now.operator,
              Array.from({ length: now.units }, (_, unit) => kept[unit] ?? 0),
            );
          } else if (now.do === 'remove') {
            blocks.remove(now.operator);
            model.segments.delete(now.operator);
          } else if (now.do === 'fill' && content !== undefined) {
            for (let unit = 0; unit < content.length; unit++) {
              content[unit] = stamp++;
              cursor.f64[cursor.segmentAt[now.operator]! + unit] = content[unit]!;
            }
          } else if (now.do === 'header') {
            setClock(cursor, now.value + 1);
            setFirstSeen(cursor, now.value + 2);
            setQueuedAt(cursor, now.value + 3);
            setLink(cursor, now.value + 4);
            Object.assign(model, {
              clock: now.value + 1,
              firstSeen: now.value + 2,
              queuedAt: now.value + 3,
              link: now.value + 4,
            });
          }
          expectKey(now.key);
        }

        for (const name of models.keys()) expectKey(name);
        // Every block in use belongs to a key, and no two of them overlap.
        const spans: [number, number][] = [];
        arena.walk((address) => spans.push([address, address + arena.sizeOf(address)]));
        expect(spans.map(([address]) => address)).toEqual([...addresses.values()].sort((a, b) => a - b));
        for (let index = 1; index < spans.length; index++) {
          expect(spans[index]![0]).toBeGreaterThanOrEqual(spans[index - 1]![1]);
        }
      }),
      { numRuns: cases(200) },
    );
  });

  test('a few keys that never grow hold no pages for the others', () => {
    const arena = createArena();
    const blocks = createBlocks(arena);
    const addresses = new Map<number, number>();
    blocks.onMove((_, moved, address) => addresses.set(moved, address));
    const keys = 20_000;
    for (let key = 1; key <= keys; key++) {
      addresses.set(key, blocks.create(4, key, key));
      blocks.bind(addresses.get(key)!);
      const at = blocks.ensure(1, 150);
      blocks.cursor.f64[at] = key;
    }
    for (const [operator, units] of [
      [2, 60],
      [3, 90],
      [4, 120],
    ] as const) {
      for (let key = 1; key <= keys; key++) {
        if (key % 10 === 0) continue;
        blocks.gather();
        blocks.bind(addresses.get(key)!);
        const at = blocks.ensure(operator, units);
        blocks.cursor.f64[at] = key + operator;
      }
    }
    for (let key = 1; key <= keys; key++) {
      const { f64, segmentAt } = blocks.bind(addresses.get(key)!);
      expect(keyOf(blocks.cursor)).toBe(key);
      expect([1, 2, 3, 4].map((operator) => (segmentAt[operator] === 0 ? 0 : f64[segmentAt[operator]!]))).toEqual(
        key % 10 === 0 ? [key, 0, 0, 0] : [key, key + 2, key + 3, key + 4],
      );
    }
    // Without gathering, the pages of the sizes between hold far more.
    expect(arena.bytes()).toBeLessThan(arena.usedBytes() * 1.15);
  });

  test('an operator of the key bound before is not seen at the next one', () => {
    const blocks = createBlocks(createArena());
    const first = blocks.create(0, 1, 1);
    const second = blocks.create(0, 2, 1);
    blocks.bind(first);
    blocks.ensure(7, 3);
    expect(blocks.bind(second).segmentAt[7]).toBe(0);
  });

  test('what a removed segment held does not come back', () => {
    const blocks = createBlocks(createArena());
    blocks.bind(blocks.create(0, 1, 1));
    const { cursor } = blocks;
    cursor.f64.fill(9, blocks.ensure(1, 40), cursor.segmentAt[1]! + 40);
    blocks.remove(1);
    const at = blocks.ensure(2, 40);
    expect([...cursor.f64.subarray(at, at + 40)]).toEqual(Array(40).fill(0));
  });

  test('a block grows to a whole page and no further', () => {
    const arena = createArena();
    const blocks = createBlocks(arena);
    blocks.bind(blocks.create(0, 1, 1));
    const full = Math.floor((PAGE_UNITS - HEADER_UNITS) / SEGMENT_UNITS_MAX);
    for (let operator = 1; operator <= full; operator++) blocks.ensure(operator, SEGMENT_UNITS_MAX);
    const directory = Math.ceil((full + 1) / 8) * 4;
    blocks.ensure(full + 1, PAGE_UNITS - full * SEGMENT_UNITS_MAX - HEADER_UNITS - directory);
    expect(arena.sizeOf(blocks.cursor.address)).toBe(PAGE_UNITS);
    expect(() => blocks.ensure(full + 2, 1)).toThrow(RangeError);
  });

  test('a segment whose size does not fit its directory entry is refused', () => {
    const blocks = createBlocks(createArena());
    blocks.bind(blocks.create(0, 1, 1));
    expect(() => blocks.ensure(1, SEGMENT_UNITS_MAX + 1)).toThrow(RangeError);
    expect(() => blocks.resize(1, SEGMENT_UNITS_MAX + 1)).toThrow(RangeError);
  });
});
