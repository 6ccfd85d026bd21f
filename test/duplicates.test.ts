import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createDuplicates, type Duplicates } from '../src/state/duplicates.ts';
import { cases } from './cases.ts';

/** Room for characters of one generation: 40 for each id, at least 64 Ki. */
const charactersOf = (horizon: number): number => Math.max(horizon * 40, 65_536);

/** The horizon as it is documented: two generations, the older one forgotten whole when the newer one is full. */
function model(horizon: number) {
  let previous = new Set<string>();
  let current = new Set<string>();
  const characters = (set: Set<string>): number => [...set].reduce((sum, id) => sum + id.length, 0);
  return {
    seen(id: string): boolean {
      if (current.size === horizon || characters(current) + id.length > charactersOf(horizon)) {
        previous = current;
        current = new Set();
      }
      if (previous.has(id) || current.has(id)) return true;
      current.add(id);
      return false;
    },
    size: () => previous.size + current.size,
  };
}

const copyOf = (parts: readonly Uint8Array[]): Uint8Array[] => parts.map((part) => part.slice());
const restored = (horizon: number, parts: Uint8Array[]): Duplicates => {
  const duplicates = createDuplicates(horizon);
  duplicates.restore(parts);
  return duplicates;
};

describe('duplicates', () => {
  const id = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 0, max: 40 }).map((n) => `r-${n}`) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('', 'r', 'r-', 'r-1', 'R-1', 'r-1 ', '\u0000', '\ud800', '\udc00', 'é', 'e\u0301'),
    },
  );

  test('are recognised exactly inside the horizon, and nothing else is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.array(id, { maxLength: 200 }), (horizon, ids) => {
        const duplicates = createDuplicates(horizon);
        const expected = model(horizon);
        const fresh: string[] = [];
        for (const one of ids) {
          const known = new Set(fresh.slice(-horizon)).has(one);
          const has = duplicates.has(one);
          const seen = duplicates.seen(one);
          expect(has).toBe(seen);
          expect(seen).toBe(expected.seen(one));
          // What the users of a horizon of N rely on: the last N ids are known.
          if (known) expect(seen).toBe(true);
          if (!seen) fresh.push(one);
          expect(duplicates.size()).toBe(expected.size());
        }
      }),
      { numRuns: cases(300) },
    );
  });

  test('ids that are longer than usual turn the horizon over earlier, and none is lost before', () => {
    const duplicates = createDuplicates(2_000);
    const expected = model(2_000);
    const long = (n: number): string => `${'x'.repeat(110)}-${n}`;
    for (let n = 0; n < 3_000; n++) {
      for (const one of [long(n), long(Math.max(0, n - 500)), long(Math.max(0, n - 1_400))]) {
        expect(duplicates.seen(one)).toBe(expected.seen(one));
      }
    }
    expect(duplicates.size()).toBe(expected.size());
    expect(duplicates.size()).toBeLessThan(2_000);
  });

  test('100,000 ids that differ in one character, twice', () => {
    const duplicates = createDuplicates(131_072);
    const ids = Array.from({ length: 100_000 }, (_, n) => `gw-7.${n.toString(36)}`);
    expect(ids.filter((one) => duplicates.seen(one))).toEqual([]);
    expect(ids.filter((one) => !duplicates.seen(one))).toEqual([]);
  });

  test('a snapshot is the horizon of its moment, whatever is seen before it has been written', () => {
    const few = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(
        few,
        fc.array(id, { maxLength: 60 }),
        fc.array(id, { maxLength: 80 }),
        fc.array(id, { maxLength: 80 }),
        (horizon, before, between, after) => {
          const duplicates = createDuplicates(horizon);
          const expected = model(horizon);
          for (const one of before) expect(duplicates.seen(one)).toBe(expected.seen(one));
          const snapshot = duplicates.snapshot();
          const parts = copyOf(snapshot.parts);
          // The pipeline goes on while the parts lie there unread.
          for (const one of between) duplicates.seen(one);
          expect(copyOf(snapshot.parts)).toEqual(parts);
          snapshot.release();

          const again = restored(horizon, parts);
          expect(again.size()).toBe(expected.size());
          for (const one of after) expect(again.seen(one)).toBe(expected.seen(one));
        },
      ),
      { numRuns: cases(200) },
    );
  });

  test.each([
    // ids, their length, horizon before and after: the newest ones that fit are known
    [30, 5, 40, 10, 10],
    [30, 5, 10, 40, 20],
    [3_000, 100, 3_000, 1_600, 1_255],
  ])(
    '%d ids of %d characters, from a horizon of %d to one of %d: the last %d are known',
    (count, length, before, after, known) => {
      const duplicates = createDuplicates(before);
      const ids = Array.from({ length: count }, (_, n) => String(n).padStart(length, 'z'));
      for (const one of ids) duplicates.seen(one);
      const again = restored(after, copyOf(duplicates.snapshot().parts));
      expect(ids.slice(-known).filter((one) => !again.seen(one))).toEqual([]);
    },
  );
});
