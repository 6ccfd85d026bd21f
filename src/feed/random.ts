/**
 * Seeded randomness. Two kinds are needed: a sequence (what happens next) and a hash (what is always true of subscriber
 * 4711), so that a million subscribers keep their handset, cells and contacts without one object each.
 */

export type Random = () => number;

/** A sequence of uniform numbers in [0, 1): sfc32, 128 bits of state, so that long feeds do not repeat. */
export function createRandom(seed: number): Random {
  let a = seed | 0;
  let b = mix(seed, 1);
  let c = mix(seed, 2);
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  // The first outputs of sfc32 still resemble the seed.
  for (let round = 0; round < 12; round++) next();
  return next;
}

/** Two whole numbers to 32 well-mixed bits (the finalizer of MurmurHash3 after each). */
export function mix(first: number, second: number): number {
  let h = Math.imul(first | 0, 0x9e3779b1) ^ 0x85ebca6b;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ Math.imul(second | 0, 0xc2b2ae35), 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Whole number in [low, high]. */
export function between(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item;
}

/** Mean 1; multiply by the mean gap. */
export function exponential(random: Random): number {
  return -Math.log(1 - random());
}

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/**
 * Log-normal by its median; `spread` is the standard deviation of the logarithm. Durations and volumes of real usage
 * have this long right tail.
 */
export function logNormal(random: Random, median: number, spread: number): number {
  return median * Math.exp(spread * gaussian(random));
}

/** Number of events when `mean` are expected; the normal approximation above 30 is off by less than one event. */
export function poisson(random: Random, mean: number): number {
  if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * gaussian(random)));
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > limit; product *= random()) count++;
  return count;
}

/**
 * Rank in [0, size) where rank k comes up about as often as 1/(k+1): Zipf with exponent 1, by inverting the
 * continuous distribution, which needs one draw and no table whatever the size.
 */
export function zipfRank(random: Random, size: number): number {
  return Math.min(size - 1, Math.floor((size + 1) ** random()) - 1);
}
