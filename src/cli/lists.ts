/**
 * `lists import|check|list`: reference lists. An import checks the whole file before it touches the folder, and puts it there in
 * one step, so that a running engine never reads half a list.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Command } from 'commander';
import { DEFAULTS } from '../config.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import {
  isListFile,
  LIST_BYTES_MAX,
  type ListProblem,
  type ListSummary,
  listFile,
  listSummary,
  NUMBERING_PLAN,
  parseList,
  type ReferenceList,
} from '../reference/lists.ts';
import { readRuleFiles } from '../rules/load.ts';
import { requireForm } from './output.ts';

const describeSummary = ({ name, rows, kinds }: ListSummary): string =>
  `${name.padEnd(20)} ${String(rows).padStart(9)} rows  ${Object.entries(kinds)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ')}`;

const listError = (problems: readonly ListProblem[], path: string): RingfenceError =>
  new RingfenceError({
    code: 'lists.invalid',
    message: problems.map(({ line, column, message }) => `${path}:${line}:${column}: ${message}`).join('\n'),
    hint: 'Nothing was changed. The form of a list is described in rules/lists/README.md.',
    exitCode: ExitCode.ruleWrong,
  });

function readList(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > LIST_BYTES_MAX) throw new Error(`it is larger than ${LIST_BYTES_MAX} bytes`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new RingfenceError({
      code: 'lists.unreadable',
      message: `The list ${path} cannot be read: ${(error as Error).message}.`,
      hint: 'Give an existing CSV file.',
      cause: error,
    });
  }
}

/** The list of this name in the folder, undefined where there is none or it is broken. */
function existingList(directory: string, name: string): ReferenceList | undefined {
  try {
    const parsed = parseList(listFile(name), readFileSync(join(directory, listFile(name)), 'utf8'));
    return 'list' in parsed ? parsed.list : undefined;
  } catch {
    return undefined;
  }
}

/** Checks a file and makes it the list `name` of the folder. @throws RingfenceError with a line for everything that is wrong */
function importList(
  path: string,
  options: { rules: string; name: string },
): { imported: ListSummary; replacedRows: number | null; path: string } {
  const text = readList(path);
  if (basename(listFile(options.name)) === NUMBERING_PLAN) {
    throw new RingfenceError({
      code: 'lists.name',
      message: `${NUMBERING_PLAN} is no list: it has a form of its own and comes with the program.`,
      hint: 'Give the list another name with --name.',
      exitCode: ExitCode.ruleWrong,
    });
  }
  const parsed = parseList(listFile(options.name), text);
  if ('problems' in parsed) throw listError(parsed.problems, path);
  const replaced = existingList(options.rules, options.name);
  const target = join(options.rules, listFile(options.name));
  // Hidden and without the ending of a list, so that a running engine passes it over until it has its name.
  const written = join(dirname(target), `.${options.name}.${process.pid}.import`);
  try {
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(written, text);
    renameSync(written, target);
  } catch (error) {
    rmSync(written, { force: true });
    throw new RingfenceError({
      code: 'lists.folder',
      message: `The list cannot be written to ${target}: ${(error as Error).message}.`,
      hint: 'Give a folder of rules that can be written with --rules.',
      cause: error,
    });
  }
  return { imported: listSummary(parsed.list), replacedRows: replaced?.size ?? null, path: target };
}

/** All lists of a folder. @throws RingfenceError with a line for everything that is wrong */
function listsOf(directory: string): ListSummary[] {
  return readRuleFiles(directory)
    .filter(({ file }) => isListFile(file))
    .map(({ file, text }) => {
      const parsed = parseList(file, text);
      if ('problems' in parsed) throw listError(parsed.problems, join(directory, file));
      return listSummary(parsed.list);
    });
}

export function listsCommand(): Command {
  const lists = new Command('lists').description('Reference lists: hot ranges, cells, trunks, tariffs, holidays ...');
  lists
    .command('import')
    .description('Check a CSV file and put it among the lists of a rules folder.')
    .argument('<file>', 'CSV file in the form of rules/lists/README.md')
    .option('--rules <dir>', 'folder of the rule files', DEFAULTS.rules)
    .option('--name <name>', 'name of the list (default: that of the file without .csv)')
    .option('--output <form>', 'text or json', 'text')
    .action((file: string, flags: { rules: string; name?: string; output: string }) => {
      requireForm(flags.output);
      const result = importList(file, { rules: flags.rules, name: flags.name ?? basename(file).replace(/\.csv$/, '') });
      if (flags.output === 'json') {
        process.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      const { imported, replacedRows, path } = result;
      const before = replacedRows === null ? 'a new list' : `in place of ${replacedRows} rows`;
      process.stdout.write(`${describeSummary(imported).trimEnd()}, ${before}: ${path}\n`);
    });
  lists
    .command('list')
    .description('List the reference lists of a rules folder.')
    .argument('[dir]', 'folder of the rule files', DEFAULTS.rules)
    .option('--output <form>', 'text or json', 'text')
    .action((directory: string, flags: { output: string }) => {
      requireForm(flags.output);
      const found = listsOf(directory);
      process.stdout.write(
        flags.output === 'json'
          ? `${JSON.stringify(found)}\n`
          : found.map((one) => `${describeSummary(one).trimEnd()}\n`).join(''),
      );
    });
  return lists;
}
