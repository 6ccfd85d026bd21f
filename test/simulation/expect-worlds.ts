import { expect } from 'vitest';
import { replayCommand, simulate } from './simulate.ts';

export const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

/** Fails with what is wrong in each of these worlds, and with the command that shows it again. */
export async function expectWorlds(seeds: readonly number[]): Promise<void> {
  const failures: string[] = [];
  const sums = { alerts: 0, deadLetters: 0, deaths: 0, checkpoints: 0, faults: 0, spilled: 0 };
  for (const seed of seeds) {
    const { problems, figures } = await simulate(seed);
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += figures[name];
    if (problems.length > 0) failures.push(`${problems[0]}\n    ${replayCommand(seed)}`);
  }
  expect(failures).toEqual([]);
  // Worlds in which nothing happens would be no test.
  for (const [name, sum] of Object.entries(sums)) expect(sum, name).toBeGreaterThan(seeds.length);
}
