/**
 * The command line: composition root and exit codes. Data goes to standard output, everything else to standard error.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { DEFAULTS, type Flag, loadConfig, projectFolder } from '../config.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { auditCommand } from './audit.ts';
import { benchCommand } from './bench.ts';
import { deadLetterCommand } from './dead-letter.ts';
import { demoCommand, demoFeedCommand } from './demo.ts';
import { docsCommand } from './docs.ts';
import { keysCommand } from './keys.ts';
import { labelsCommand } from './labels.ts';
import { listsCommand } from './lists.ts';
import { publishCommand } from './publish.ts';
import { replayCommand } from './replay.ts';
import { rulesCommand } from './rules.ts';
import { usersCommand } from './users.ts';
import { whatifCommand } from './whatif.ts';

const program = new Command('ringfence')
  .description('Real-time fraud, arrears and churn rules over telecom usage records on NATS JetStream.')
  .version(JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')).version, '--version')
  .showHelpAfterError('(--help shows the options)')
  .exitOverride();

program
  .command('serve')
  .description('Engine, API and console in one process.')
  .option('--config <file>', 'YAML file; flags and RINGFENCE_<FLAG> in the environment go before it')
  .option('--nats <url>', `NATS server (default ${DEFAULTS.nats})`)
  .option('--rules <dir>', 'folder of the rule files (default: those that come with the program)')
  .option('--data <dir>', `folder of checkpoints and alert index (default ${DEFAULTS.data})`)
  .option('--listen <address>', `HOST:PORT of API and console, port 0 for a free one (default ${DEFAULTS.listen})`)
  .option('--ops-listen <address>', `HOST:PORT of metrics and health (default ${DEFAULTS.opsListen})`)
  .option('--log-level <level>', `least level of a log line (default ${DEFAULTS.logLevel})`)
  .option(
    '--time-zone <zone>',
    `IANA zone of nights, weekends and every time that people read (default ${DEFAULTS.timeZone})`,
  )
  .option('--partitions <n>', 'partitions of the usage stream (default 1)')
  .option('--checkpoint-interval-sec <n>', `seconds between checkpoints (default ${DEFAULTS.checkpointIntervalSec})`)
  .option('--resident-keys-max <n>', 'keys in memory, colder ones are on disk (default 0: no limit)')
  .option('--resident-bytes-max <n>', 'bytes of keys in memory, colder ones are on disk (default 0: no limit)')
  .action(async (flags: Partial<Record<Flag, string>> & { config?: string }) => {
    const config = loadConfig({ file: flags.config, flags });
    // Half of the program is loaded for this command alone.
    const { endedEarly, serve } = await import('./serve.ts');
    const stopping = new AbortController();
    let stop = (): void => {};
    const onSignal = (): void => {
      stopping.abort(endedEarly());
      stop();
    };
    process.once('SIGINT', onSignal);
    process.once('SIGTERM', onSignal);
    const serving = await serve(config, { signal: stopping.signal });
    stop = serving.stop;
    if (stopping.signal.aborted) stop();
    process.stdout.write(`${JSON.stringify({ ready: true, http: serving.http, ops: serving.ops })}\n`);
    await serving.ended;
  });
program.addCommand(deadLetterCommand());
program.addCommand(demoCommand());
program.addCommand(demoFeedCommand(), { hidden: true });
program.addCommand(docsCommand());
program.addCommand(labelsCommand());
program.addCommand(listsCommand());
program.addCommand(publishCommand());
program.addCommand(replayCommand());
program.addCommand(rulesCommand());
program.addCommand(usersCommand());
program.addCommand(whatifCommand());
program.addCommand(keysCommand());
program.addCommand(auditCommand());
program.addCommand(benchCommand());

// Commands made elsewhere do not inherit what was set above.
const inherit = (command: Command): void => {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
};
inherit(program);

// A reader that goes away (`| head`) ends the program quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitCode.ok);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.environmentWrong;
  } else if (error instanceof RingfenceError) {
    if (error.exitCode !== ExitCode.ok) process.stderr.write(`${error.message}\n${error.hint}\n`);
    process.exitCode = error.exitCode;
  } else {
    throw error;
  }
}
