/** The second half of the seeds of simulation.test.ts. */
import { test } from 'vitest';
import { expectWorlds, range } from './simulation/expect-worlds.ts';

for (let from = 501; from <= 1_000; from += 100) {
  test(`seeds ${from} to ${from + 99}`, () => expectWorlds(range(from, 100)), 300_000);
}
