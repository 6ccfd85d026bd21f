/**
 * Rule files of a folder, in a fixed order, with one version over all of them.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { LRUCache } from 'lru-cache';
import { ExitCode, RingfenceError } from '../errors.ts';
import {
  isListFile,
  LIST_BYTES_MAX,
  LISTS_FOLDER,
  NUMBERING_PLAN,
  parseLists,
  type ReferenceLists,
} from '../reference/lists.ts';
import { isDebtModelFile } from './debt.ts';
import { describeProblem, type RuleProblem } from './form.ts';
import { isModelFile } from './model.ts';
import { parseRule, type RuleSource } from './rule.ts';

export const RULE_FILES_MAX = 2_000;

/**
 * A change mostly touches one file of eighty. Parsing all of them takes 350 ms, in which no record is applied; what has been
 * parsed before is taken as it was. The text itself is the key, so nothing can be mistaken for something else.
 */
const parsedFiles = new LRUCache<string, ReturnType<typeof parseRule>>({ max: RULE_FILES_MAX });
const parseOnce = (file: string, text: string): ReturnType<typeof parseRule> => {
  const key = `${file}\n${text}`;
  let parsed = parsedFiles.get(key);
  if (parsed === undefined) {
    parsed = parseRule(file, text);
    parsedFiles.set(key, parsed);
  }
  return parsed;
};

/** Changes with any change of any file, and with nothing else. */
export function versionOf(files: readonly { file: string; text: string }[]): string {
  const hash = createHash('sha256');
  for (const { file, text } of files) hash.update(`${file}\n${text.length}\n${text}`);
  return hash.digest('hex').slice(0, 16);
}

/**
 * Parses files that are already in memory (a checkpoint, a control message): rules, and the lists that they ask. A set without any
 * list leaves them open: every list is empty then, whatever its name.
 */
export function parseRules(files: readonly { file: string; text: string }[]): {
  sources: RuleSource[];
  lists: ReferenceLists | undefined;
  problems: RuleProblem[];
} {
  const sources: RuleSource[] = [];
  const { lists, problems } = parseLists(files);
  const models = files.filter(({ file }) => isModelFile(file));
  const retention = models.find(({ file }) => !isDebtModelFile(file));
  const debt = models.find(({ file }) => isDebtModelFile(file));
  for (const { file, text } of files) {
    if (isListFile(file)) continue;
    if (isModelFile(file)) {
      const first = (isDebtModelFile(file) ? debt : retention)!;
      if (file !== first.file)
        problems.push({ file, line: 1, column: 1, message: `${first.file} is the model already` });
      continue;
    }
    const parsed = parseOnce(file, text);
    if ('source' in parsed) sources.push(models.length === 0 ? parsed.source : { ...parsed.source, models });
    else problems.push(...parsed.problems);
  }
  return { sources, lists: lists.files.length === 0 ? undefined : lists, problems };
}

/**
 * All `*.yaml` and `*.yml` files of a folder and the folders in it, by name, and the reference lists in its folder `lists`
 * (`*.csv`): together they are the rule set, and change together. File names are relative to the folder, so that the
 * version does not depend on where it stands.
 */
export function readRuleFiles(directory: string): { file: string; text: string }[] {
  const files: { file: string; text: string }[] = [];
  let rules = 0;
  const visitLists = (parent: string, folder: string): void => {
    if (parent !== directory) return;
    for (const name of readdirSync(folder).sort()) {
      if (!name.endsWith('.csv') || name.startsWith('.') || name === NUMBERING_PLAN) continue;
      const path = join(folder, name);
      if (statSync(path).size > LIST_BYTES_MAX) throw new Error(`${path} is larger than ${LIST_BYTES_MAX} bytes`);
      files.push({ file: `${LISTS_FOLDER}/${name}`, text: readFileSync(path, 'utf8') });
    }
  };
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (entry.name === LISTS_FOLDER) visitLists(folder, path);
        else if (!entry.name.startsWith('.')) visit(path);
      } else if (entry.name.endsWith('.yaml') || entry.name.endsWith('.yml')) {
        if (++rules > RULE_FILES_MAX) throw tooMany(directory);
        files.push({ file: relative(directory, path), text: readFileSync(path, 'utf8') });
      }
    }
  };
  try {
    if (!statSync(directory).isDirectory()) throw new Error('not a folder');
    visit(directory);
  } catch (error) {
    if (error instanceof RingfenceError) throw error;
    throw new RingfenceError({
      code: 'rules.folder',
      message: `The rules folder ${directory} cannot be read: ${(error as Error).message}.`,
      hint: 'Name the folder that holds the rule files: as an argument of `ringfence rules`, with --rules elsewhere.',
      cause: error,
    });
  }
  if (rules === 0) {
    throw new RingfenceError({
      code: 'rules.empty',
      message: `There is no rule file (*.yaml) in ${directory}.`,
      hint: 'Name the folder that holds the rule files: as an argument of `ringfence rules`, with --rules elsewhere.',
    });
  }
  return files;
}

const tooMany = (directory: string): RingfenceError =>
  new RingfenceError({
    code: 'rules.too-many',
    message: `There are more than ${RULE_FILES_MAX} rule files in ${directory}.`,
    hint: 'Split the folder and run one engine for each part.',
  });

/** One error for everything that is wrong, a line each. */
export function ruleError(problems: RuleProblem[], directory: string): RingfenceError {
  const lines = problems.map((problem) => describeProblem({ ...problem, file: join(directory, problem.file) }));
  return new RingfenceError({
    code: 'rules.invalid',
    message: lines.join('\n'),
    hint: 'Correct the lines above; `ringfence rules check` shows them again.',
    exitCode: ExitCode.ruleWrong,
  });
}
