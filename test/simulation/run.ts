/**
 * `npm run simulate`: many worlds, on all cores; or one, with all that happened in it.
 *
 *     npm run simulate -- --seeds 10000 [--from 1]
 *     npm run simulate -- --seed 4711
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { MUTATIONS, type Mutation, type Outcome, replayCommand, simulate } from './simulate.ts';

/** Worlds that a worker simulates before it asks for more. */
const SEEDS_AT_ONCE = 25;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    mutation: { type: 'string' },
    worker: { type: 'boolean', default: false },
  },
});
const mutation = values.mutation as Mutation | undefined;
if (mutation !== undefined && !MUTATIONS.includes(mutation)) {
  throw new Error(`--mutation is one of ${MUTATIONS.join(', ')}`);
}
const whole = (name: 'seed' | 'seeds' | 'from'): number => {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a whole number`);
  return value;
};

type Summary = Pick<Outcome, 'seed' | 'problems' | 'figures'>;

if (values.worker) {
  process.on('message', async (seeds: number[]) => {
    const outcomes: Summary[] = [];
    for (const seed of seeds) {
      const { problems, figures } = await simulate(seed, mutation);
      outcomes.push({ seed, problems, figures });
    }
    process.send!(outcomes);
  });
} else if (values.seed !== undefined) {
  const { problems, figures, trace } = await simulate(whole('seed'), mutation);
  for (const line of trace) console.info(line);
  console.info(JSON.stringify(figures));
  for (const sentence of problems) console.info(`wrong: ${sentence}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
} else {
  const began = performance.now();
  const from = whole('from');
  const beyond = from + whole('seeds');
  let next = from;
  let failed = 0;
  const sums: Record<string, number> = {};
  const take = ({ seed, problems, figures }: Summary): void => {
    for (const [name, figure] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + figure;
    if (problems.length === 0) return;
    failed++;
    console.info(`seed ${seed}: ${problems[0]}\n  ${replayCommand(seed, mutation)}`);
  };
  const worker = async (): Promise<void> => {
    const args = ['--worker', ...(mutation === undefined ? [] : ['--mutation', mutation])];
    const child = fork(import.meta.filename, args);
    let seeds: number[] = [];
    const exited = new Promise<never>((_, reject) => {
      child.once('exit', (code) => reject(new Error(`the worker of the seeds ${seeds.join(', ')} ended with ${code}`)));
    });
    exited.catch(() => {});
    while (next < beyond) {
      seeds = Array.from({ length: Math.min(SEEDS_AT_ONCE, beyond - next) }, () => next++);
      const answer = new Promise<Summary[]>((resolve) =>
        child.once('message', (outcomes: Summary[]) => resolve(outcomes)),
      );
      child.send(seeds);
      for (const outcome of await Promise.race([answer, exited])) take(outcome);
    }
    child.disconnect();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.info(`${beyond - from} worlds in ${seconds} s, ${failed} failed: ${JSON.stringify(sums)}`);
  process.exitCode = failed > 0 ? 1 : 0;
}
