/** `audit verify|export`: whether the audit log is whole, and all of it as NDJSON for another system. */
import { Command } from 'commander';
import { verifyChain } from '../access/audit.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { type AccessFlags, accessFileExists, withAccessFlags, withStore } from './users.ts';

export function auditCommand(): Command {
  const audit = new Command('audit').description('The audit log: verify its chain, export it.');
  withAccessFlags(
    audit
      .command('verify')
      .description('Follow the chain of hashes from the first entry; exit code 1 where it is broken.'),
  ).action(async (flags: AccessFlags) => {
    assertExists(flags);
    await withStore(flags, (store) => {
      const verdict = verifyChain(store.auditRows());
      const { entries, lastHash, broken } = verdict;
      if (flags.output === 'json') process.stdout.write(`${JSON.stringify(verdict)}\n`);
      else if (broken === undefined)
        process.stdout.write(`${entries} entries, unbroken; the last hash is ${lastHash}\n`);
      else
        process.stdout.write(
          `broken at entry ${broken.seq}: ${broken.detail}; ${entries} entries before it are whole\n`,
        );
      if (broken !== undefined) process.exitCode = ExitCode.findings;
    });
  });
  withAccessFlags(audit.command('export').description('Write all entries to standard output, one a line.'))
    .option('--after <seq>', 'only those after this one', '0')
    .action(async (flags: AccessFlags & { after: string }) => {
      assertExists(flags);
      await withStore(flags, (store) => {
        for (const { seq, text, hash } of store.auditRows(Number(flags.after) || 0)) {
          process.stdout.write(`${JSON.stringify({ seq, hash, ...JSON.parse(text) })}\n`);
        }
      });
    });
  return audit;
}

function assertExists(flags: AccessFlags): void {
  if (accessFileExists(flags)) return;
  throw new RingfenceError({
    code: 'audit.missing',
    message: 'There is no access file in this data folder.',
    hint: 'Give the data folder of `serve` with --data, or its configuration with --config.',
  });
}
