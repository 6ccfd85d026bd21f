/**
 * The whole pipeline in simulated worlds: simulation/README.md says what is real in them, what goes wrong and what they cannot
 * show. The other half of the seeds is in simulation-more.test.ts, so that both cores have work.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectWorlds, range } from './simulation/expect-worlds.ts';
import { MUTATIONS, simulate } from './simulation/simulate.ts';

const kept = readFileSync(join(import.meta.dirname, 'simulation/seeds.txt'), 'utf8')
  .split('\n')
  .filter((line) => /^\d+$/.test(line))
  .map(Number);

describe('simulated worlds', () => {
  test('seeds that once found something', () => expectWorlds(kept), 300_000);

  for (let from = 1; from <= 500; from += 100) {
    test(`seeds ${from} to ${from + 99}`, () => expectWorlds(range(from, 100)), 300_000);
  }

  test('the same seed is the same world, to the last event', async () => {
    for (const seed of [3, 28]) {
      const [first, second] = [await simulate(seed), await simulate(seed)];
      expect(second.trace).toEqual(first.trace);
      expect(second.figures).toEqual(first.figures);
    }
  });
});

/** Worlds in which a mistake must show at the latest. */
const WORLDS_MAX = 60;

describe('a simulation that finds nothing proves nothing', () => {
  test.each(MUTATIONS)(
    '%s makes it fail',
    async (mutation) => {
      for (const seed of range(1, WORLDS_MAX)) {
        const { problems } = await simulate(seed, mutation);
        if (problems.length > 0) return;
      }
      expect.fail(`not found in ${WORLDS_MAX} worlds`);
    },
    120_000,
  );
});
