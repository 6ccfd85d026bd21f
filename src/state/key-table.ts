/**
 * Finds a key's block: key text -> key number -> address.
 *
 * Every key becomes one number. Digits (MSISDN, IMSI, IMEI: at most 15) become the number they spell behind a leading 1,
 * which keeps leading zeros apart and stays below 2^53, so no string is hashed, compared or kept for them. Any other text
 * (cells, dealers, `msisdn>prefix`) is interned and becomes a negative number. Both ways back are exact.
 *
 * The table itself is open addressing over typed arrays: 16 bytes a slot, 50 to 75 % of them in use, where a Map with string
 * keys takes about 100. It is split into shards that grow one at a time, so that no insert ever pays for rehashing a million
 * entries (a shard of 1 M keys in 256 holds 4 k entries and rehashes in well under a millisecond).
 */

/** Distinct non-numeric texts that the state may hold at once (cells, accounts with letters, composite keys). */
export const NAMES_MAX = 8_000_000;

/** Texts that are made in the portions in which they are asked for. */
export interface NamesCut {
  length: number;
  slice(from?: number, to?: number): string[];
}

export interface Names {
  /** 0 for the empty text. Remembers the text for good. */
  numberOf(text: string): number;
  /** Like numberOf for a text that is not known: 0 instead of remembering it. */
  find(text: string): number;
  /**
   * Number of a composite key such as subscriber and destination. There are far more of them in a year than at any moment, so
   * `releasePair` forgets one when its key is gone; its number is used again. Each kind of pair has a sign of its own between the
   * parts, so that two kinds never share a number that one of them releases.
   */
  pairOf(first: string, second: string, sign?: string): number;
  releasePair(number: number): void;
  /** Number of a composite key by its whole text, remembered. */
  pairNamed(text: string): number;
  textOf(number: number): string;
  size(): number;
  /** All texts as of now, made as they are asked for: a million of them would take too long at once. */
  snapshot(): NamesCut;
  restore(texts: string[]): void;
}

const ZERO = 48;

/** Digits to their number behind a leading 1; 0 where the text is empty, longer than 15 or not all digits. */
function digitsNumber(text: string): number {
  const length = text.length;
  if (length === 0 || length > 15) return 0;
  let number = 1;
  for (let index = 0; index < length; index++) {
    const digit = text.charCodeAt(index) - ZERO;
    if (digit < 0 || digit > 9) return 0;
    number = number * 10 + digit;
  }
  return number;
}

export function createNames(): Names {
  /** Single texts and pairs are looked up apart, so that no cell can be named like a pair and be forgotten with it. */
  const singles = new Map<string, number>();
  const pairs = new Map<string, number>();
  let texts: string[] = [];
  /** 1 for the text of a pair. */
  let isPair = new Uint8Array(1_024);
  /** Numbers of released pairs. */
  let vacant: number[] = [];

  const note = (index: number, pair: boolean): void => {
    if (index >= isPair.length) {
      const wider = new Uint8Array(index * 2);
      wider.set(isPair);
      isPair = wider;
    }
    isPair[index] = pair ? 1 : 0;
  };

  const remember = (ids: Map<string, number>, text: string): number => {
    const known = ids.get(text);
    if (known !== undefined) return known;
    let id = vacant.pop();
    if (id === undefined) {
      if (texts.length >= NAMES_MAX) throw new RangeError(`more than ${NAMES_MAX} distinct texts in the state`);
      texts.push(text);
      id = -texts.length;
    } else {
      texts[-id - 1] = text;
    }
    ids.set(text, id);
    note(-id - 1, ids === pairs);
    return id;
  };

  return {
    numberOf: (text) => digitsNumber(text) || (text === '' ? 0 : remember(singles, text)),
    find: (text) => digitsNumber(text) || (singles.get(text) ?? 0),
    pairOf: (first, second, sign = '>') => remember(pairs, first + sign + second),
    releasePair(number) {
      const text = texts[-number - 1]!;
      if (pairs.get(text) !== number) return;
      pairs.delete(text);
      texts[-number - 1] = '';
      vacant.push(number);
    },
    pairNamed: (text) => remember(pairs, text),
    textOf: (number) => (number < 0 ? texts[-number - 1]! : number === 0 ? '' : String(number).slice(1)),
    size: () => texts.length - vacant.length,
    snapshot() {
      const saved = texts.slice();
      const kinds = isPair.slice(0, saved.length);
      return {
        length: saved.length,
        // The first character says which kind a text is; an empty one is a number to be used again.
        slice: (from = 0, to = saved.length) =>
          saved.slice(from, to).map((text, at) => (text === '' ? '' : (kinds[from + at] === 1 ? '>' : '=') + text)),
      };
    },
    restore(saved) {
      singles.clear();
      pairs.clear();
      vacant = [];
      texts = saved.map((entry, index) => {
        const pair = entry[0] === '>';
        if (entry === '') vacant.push(-index - 1);
        else (pair ? pairs : singles).set(entry.slice(1), -index - 1);
        note(index, pair);
        return entry.slice(1);
      });
    },
  };
}

/** The names of another engine, with composite keys of one's own. */
export interface BorrowedNames extends Names {
  isPair(number: number): boolean;
  /** Number of a composite key by its whole text, 0 where there is none. */
  findPair(text: string): number;
}

/**
 * For a second engine beside the first: single texts have the numbers that they have there, so what lies in a block means the
 * same in both. Composite keys are forgotten by each engine when its own key is gone; their numbers are apart.
 */
export function borrowNames(names: Names): BorrowedNames {
  const own = createNames();
  const isPair = (number: number): boolean => number < -NAMES_MAX;
  const outward = (number: number): number => number - NAMES_MAX;
  const pairNumbers = new Map<string, number>();
  const pairNamed = (text: string): number => {
    const number = outward(own.pairNamed(text));
    pairNumbers.set(text, number);
    return number;
  };
  return {
    ...names,
    pairNamed,
    pairOf: (first, second, sign = '>') => pairNamed(first + sign + second),
    releasePair(number) {
      pairNumbers.delete(own.textOf(number + NAMES_MAX));
      own.releasePair(number + NAMES_MAX);
    },
    textOf: (number) => (isPair(number) ? own.textOf(number + NAMES_MAX) : names.textOf(number)),
    isPair,
    findPair: (text) => pairNumbers.get(text) ?? 0,
  };
}

/**
 * A number for comparing values that are never shown: exact for digits, a 53-bit hash for other text (two texts in a million
 * distinct ones collide with probability 6e-5). Used where interning would let a sender's random names fill the memory.
 */
export function fingerprint(text: string): number {
  const digits = digitsNumber(text);
  if (digits !== 0 || text === '') return digits;
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return -(4294967296 * (2097151 & low) + (high >>> 0)) - 1;
}

/**
 * Key number of a text of which there may be as many as subscribers (a hash of an identity document). The text itself is
 * interned nowhere: it stands in the block of its key. Never a number that the names give.
 */
export function hashedNumber(text: string): number {
  const number = fingerprint(text);
  return number < 0 && number >= -NAMES_MAX ? number - NAMES_MAX : number;
}

export interface KeyTable {
  /** Address of the key's block, 0 where it has none. */
  get(key: number): number;
  set(key: number, address: number): void;
  delete(key: number): void;
  /** All keys, in no order that means anything. */
  keys(): number[];
  size(): number;
  bytes(): number;
  /** Room for so many keys at once, so that they need not move again and again. On an empty table. */
  reserve(keys: number): void;
  clear(): void;
}

const SHARDS = 256;
/** Slots of a shard are 2 or 3 times a power of two: doubling alone would leave up to 62 % of them empty. */
const SHARD_CAPACITY_MIN = 16;
const capacityAbove = (capacity: number): number =>
  (capacity & (capacity - 1)) === 0 ? capacity * 1.5 : (capacity / 3) * 4;
/** Every shard begins as this one free slot, so that a kind of key that no rule uses takes nothing. */
const EMPTY_SHARD = new Float64Array(2);

export function createKeyTable(): KeyTable {
  /** Pairs of key and address side by side: a look-up is one cache miss, not two. Key 0 is a free slot. */
  const shards: Float64Array[] = [];
  const sizes = new Int32Array(SHARDS);
  let total = 0;
  const clear = (): void => {
    for (let shard = 0; shard < SHARDS; shard++) shards[shard] = EMPTY_SHARD;
    sizes.fill(0);
    total = 0;
  };
  clear();

  const hashOf = (key: number): number => {
    // `| 0` takes a number modulo 2^32 without a division, also beyond 2^32.
    const high = (key * 2.3283064365386963e-10) | 0;
    let hash = Math.imul(key | 0, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x2c1b3c6d);
    return (hash ^ (hash >>> 13)) >>> 0;
  };

  /** Where a key belongs: the bits that did not choose its shard, as a share of the slots. Index of the pair. */
  const homeOf = (hash: number, pairs: Float64Array): number => (((hash >>> 8) * (pairs.length >> 1)) / 2 ** 24) << 1;

  const grow = (shard: number): void => {
    const old = shards[shard]!;
    const pairs = new Float64Array(Math.max(SHARD_CAPACITY_MIN, capacityAbove(old.length >> 1)) * 2);
    for (let index = 0; index < old.length; index += 2) {
      const key = old[index]!;
      if (key === 0) continue;
      let at = homeOf(hashOf(key), pairs);
      while (pairs[at] !== 0) at = at + 2 === pairs.length ? 0 : at + 2;
      pairs[at] = key;
      pairs[at + 1] = old[index + 1]!;
    }
    shards[shard] = pairs;
  };

  return {
    get(key) {
      const hash = hashOf(key);
      const pairs = shards[hash & (SHARDS - 1)]!;
      let at = homeOf(hash, pairs);
      for (;;) {
        const found = pairs[at]!;
        if (found === key) return pairs[at + 1]!;
        if (found === 0) return 0;
        at += 2;
        if (at === pairs.length) at = 0;
      }
    },
    set(key, address) {
      const hash = hashOf(key);
      const shard = hash & (SHARDS - 1);
      if ((sizes[shard]! + 1) * 8 > shards[shard]!.length * 3) grow(shard);
      const pairs = shards[shard]!;
      let at = homeOf(hash, pairs);
      while (pairs[at] !== 0 && pairs[at] !== key) at = at + 2 === pairs.length ? 0 : at + 2;
      if (pairs[at] === 0) {
        pairs[at] = key;
        sizes[shard]!++;
        total++;
      }
      pairs[at + 1] = address;
    },
    delete(key) {
      const hash = hashOf(key);
      const shard = hash & (SHARDS - 1);
      const pairs = shards[shard]!;
      const { length } = pairs;
      let gap = homeOf(hash, pairs);
      while (pairs[gap] !== key) {
        if (pairs[gap] === 0) return;
        gap = gap + 2 === length ? 0 : gap + 2;
      }
      // Backward shift: entries behind the gap move up where their own slot allows it, so no tombstones pile up.
      for (let next = gap; ; ) {
        next = next + 2 === length ? 0 : next + 2;
        if (pairs[next] === 0) break;
        const home = homeOf(hashOf(pairs[next]!), pairs);
        if ((next - home + length) % length >= (next - gap + length) % length) {
          pairs[gap] = pairs[next]!;
          pairs[gap + 1] = pairs[next + 1]!;
          gap = next;
        }
      }
      pairs[gap] = 0;
      pairs[gap + 1] = 0;
      sizes[shard]!--;
      total--;
    },
    keys() {
      const keys: number[] = [];
      for (const pairs of shards) {
        for (let index = 0; index < pairs.length; index += 2) if (pairs[index] !== 0) keys.push(pairs[index]!);
      }
      return keys;
    },
    size: () => total,
    bytes: () => shards.reduce((sum, shard) => sum + (shard === EMPTY_SHARD ? 0 : shard.byteLength), 0),
    reserve(keys) {
      // Spread evenly but for a few of them, which grow.
      const slots = Math.ceil((((keys / SHARDS) * 1.05) / 3) * 4);
      if (slots < SHARD_CAPACITY_MIN) return;
      let capacity = SHARD_CAPACITY_MIN;
      while (capacity < slots) capacity = capacityAbove(capacity);
      for (let shard = 0; shard < SHARDS; shard++) shards[shard] = new Float64Array(2 * capacity);
    },
    clear,
  };
}
