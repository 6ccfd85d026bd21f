/**
 * `bench`: the benchmarks of the checkout. They are no part of an installed program, so they are loaded only when asked for.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Measurement } from '../../bench/measurement.ts';
import { projectFolder } from '../config.ts';
import { RingfenceError } from '../errors.ts';

export function benchCommand(): Command {
  return new Command('bench')
    .description('Run the benchmarks of bench/ on this machine.')
    .option('--suite <name>', 'only this suite')
    .option('--json', 'one JSON line for each figure')
    .option('--save', 'keep the figures, and what they were measured on, in bench/results/')
    .action(async (flags: { suite?: string; json?: boolean; save?: boolean }) => {
      if (!existsSync(join(projectFolder, 'bench/run.ts'))) {
        throw new RingfenceError({
          code: 'bench.absent',
          message: 'The benchmarks are not here.',
          hint: 'Run them in a checkout of the source.',
        });
      }
      const { describeRun, runBenchmarks, saveRun, suiteNames } = await import('../../bench/run.ts');
      if (flags.suite !== undefined && !suiteNames.includes(flags.suite)) {
        throw new RingfenceError({
          code: 'bench.suite',
          message: `--suite: there is no suite '${flags.suite}'.`,
          hint: `Known are ${suiteNames.join(', ')}.`,
        });
      }
      const header = describeRun();
      const measurements: Measurement[] = [];
      await runBenchmarks(flags.suite === undefined ? suiteNames : [flags.suite], (measurement) => {
        measurements.push(measurement);
        if (flags.json === true) {
          process.stdout.write(`${JSON.stringify(measurement)}\n`);
          return;
        }
        const { suite, metric, value, unit, subscribers, batch, variant } = measurement;
        const about = [
          ...(variant === undefined ? [] : [variant]),
          ...(subscribers === undefined ? [] : [`${subscribers.toLocaleString('en')} subscribers`]),
          ...(batch === undefined ? [] : [`batch ${batch}`]),
        ].join(', ');
        process.stdout.write(
          `${suite.padEnd(12)}${metric.padEnd(32)}${value.toLocaleString('en').padStart(16)} ${unit.padEnd(8)}${about}\n`,
        );
      });
      if (flags.save === true) process.stderr.write(`kept in ${saveRun(header, measurements)}\n`);
    });
}
