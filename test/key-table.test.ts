import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKeyTable, createNames, fingerprint } from '../src/state/key-table.ts';

const digits = (length: fc.Arbitrary<number>) =>
  length.chain((size) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: size, maxLength: size }));

describe('key table', () => {
  /** Few keys, so that they are set, deleted and set again; and some that share their low 32 bits. */
  const key = fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: -40, max: -1 }),
    fc.integer({ min: 0, max: 20 }).map((high) => high * 2 ** 32 + 5),
    fc.integer({ min: 10 ** 11, max: 2 * 10 ** 15 }),
  );
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('set' as const), key, address: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), key }) },
  );

  test('answers like a Map', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = createKeyTable();
        const model = new Map<number, number>();
        const asked = new Set<number>();
        for (const now of steps) {
          asked.add(now.key);
          if (now.do === 'set') {
            table.set(now.key, now.address);
            model.set(now.key, now.address);
          } else if (now.do === 'delete') {
            table.delete(now.key);
            model.delete(now.key);
          } else if (now.key % 17 === 0) {
            table.clear();
            model.clear();
          }
          expect(table.size()).toBe(model.size);
        }
        for (const one of asked) expect(table.get(one)).toBe(model.get(one) ?? 0);
      }),
      { numRuns: 400 },
    );
  });

  test('holds 200,000 keys, half of them deleted again, in any order', () => {
    const table = createKeyTable();
    const keys = Array.from({ length: 200_000 }, (_, index) => (index % 2 === 0 ? 861_390_000_000 + index : -index));
    for (const [index, one] of keys.entries()) table.set(one, index + 1);
    for (let index = 0; index < keys.length; index += 2) table.delete(keys[(index * 7_919) % keys.length]!);
    const gone = new Set(Array.from({ length: 100_000 }, (_, index) => (index * 2 * 7_919) % keys.length));
    expect(table.size()).toBe(keys.length - gone.size);
    const wrong = keys.filter((one, index) => table.get(one) !== (gone.has(index) ? 0 : index + 1));
    expect(wrong).toEqual([]);
  });

  test('a kind of key that no rule uses takes nothing', () => {
    const table = createKeyTable();
    table.delete(5);
    expect([table.bytes(), table.get(5), table.get(0), table.size()]).toEqual([0, 0, 0, 0]);
  });
});

describe('names', () => {
  const text = fc.oneof(
    digits(fc.integer({ min: 1, max: 18 })),
    fc.string({ maxLength: 20, unit: 'grapheme' }),
    fc.constantFrom('', '0', '00', '1', '01', '-1', '1e5', '٣٤٥', '__proto__'),
  );

  test('every text becomes a number of its own and comes back', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 60 }), (texts) => {
        const names = createNames();
        const numbers = texts.map((one) => names.numberOf(one));
        expect(numbers.map((number) => names.textOf(number))).toEqual(texts);
        expect(new Set(numbers).size).toBe(new Set(texts).size);
        expect(texts.map((one) => names.find(one))).toEqual(numbers);
        expect(numbers.every((number) => Number.isSafeInteger(number))).toBe(true);

        const restored = createNames();
        restored.restore(names.snapshot().slice());
        expect(texts.map((one) => restored.find(one))).toEqual(numbers);
        expect(numbers.map((number) => restored.textOf(number))).toEqual(texts);
        expect(restored.numberOf('one more')).toBe(names.numberOf('one more'));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['', 0],
    ['0', 10],
    ['00', 100],
    ['8613900000001', 18613900000001],
    ['999999999999999', 1_999_999_999_999_999],
    // Sixteen digits, and everything that is no digit, are remembered as text.
    ['9999999999999999', -1],
    ['A-1', -2],
    ['8613>371', -3],
  ])('%j is number %d', (name, number) => {
    const names = createNames();
    for (const before of ['9999999999999999', 'A-1', '8613>371']) names.numberOf(before);
    expect(names.numberOf(name)).toBe(number);
    expect(names.textOf(number)).toBe(name);
  });

  test('digits take no memory, and looking for a name does not remember it', () => {
    const names = createNames();
    for (let index = 0; index < 1_000; index++) names.numberOf(String(861_390_000_000 + index));
    expect(names.find('nobody')).toBe(0);
    expect(names.size()).toBe(0);
  });

  test('a snapshot does not change with what is remembered after it', () => {
    const names = createNames();
    names.numberOf('one');
    const snapshot = names.snapshot();
    names.numberOf('two');
    expect(snapshot.slice()).toEqual(['=one']);
  });
});

describe('fingerprint', () => {
  test('digits are what they are; 300,000 other texts do not meet', () => {
    expect(fingerprint('')).toBe(0);
    expect(fingerprint('0042')).toBe(10_042);
    const seen = new Set<number>();
    for (let index = 0; index < 100_000; index++) {
      for (const form of [`cell-${index}`, `INV/${index}/2026`, index.toString(36).padStart(8, '-')])
        seen.add(fingerprint(form));
    }
    expect(seen.size).toBe(300_000);
    for (const value of seen) {
      if (value >= 0 || !Number.isSafeInteger(value)) expect.fail(`${value} can be taken for digits`);
    }
  });

  test('forgets a released pair and uses its number again, but never a text that looks like one', () => {
    const names = createNames();
    const cell = names.numberOf('8613>371');
    const pair = names.pairOf('8613', '371');
    expect(names.textOf(pair)).toBe('8613>371');
    expect(pair).not.toBe(cell);
    names.releasePair(cell);
    names.releasePair(pair);
    expect(names.textOf(cell)).toBe('8613>371');
    expect(names.size()).toBe(1);
    const restored = createNames();
    restored.restore(names.snapshot().slice());
    expect(restored.find('8613>371')).toBe(cell);
    for (const one of [names, restored]) {
      expect(one.pairOf('8614', '53')).toBe(pair);
      expect(one.textOf(pair)).toBe('8614>53');
    }
  });
});
