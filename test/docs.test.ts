import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generatedDocuments } from '../src/cli/docs.ts';
import { projectFolder } from '../src/config.ts';
import { FUNCTIONS } from '../src/rules/compile.ts';
import { LEDGER_NAMES } from '../src/rules/ledger-values.ts';
import { AGGREGATES, features, KEY_TYPES, STATUSES } from '../src/rules/rule.ts';
import { PROFILE_NAMES } from '../src/state/profile.ts';

describe('generated references', async () => {
  const documents = await generatedDocuments();
  it.each(Object.keys(documents))('%s is what `npm run docs` writes', (file) => {
    expect(readFileSync(join(projectFolder, file), 'utf8')).toBe(documents[file]);
  });
});

describe('the page on writing rules', () => {
  const page = readFileSync(join(projectFolder, 'rules/LANGUAGE.md'), 'utf8');
  const firstCells = page.split('\n').flatMap((line) => (line.startsWith('| ') ? [line.split(' | ')[0]!] : []));
  const rowsOf = (name: string): number => firstCells.filter((cell) => cell.includes(`\`${name}\``)).length;

  it.each([...AGGREGATES, ...KEY_TYPES])('has one row for %s', (name) => {
    expect(rowsOf(name)).toBe(1);
  });

  it.each([...FUNCTIONS])('has one row for %s()', (name) => {
    expect(firstCells.filter((cell) => cell.includes(`\`${name}(`))).toHaveLength(1);
  });

  it('names everything else that a rule may write', () => {
    const parts = new Set(page.match(/[A-Za-z][A-Za-z0-9]*/g));
    const feature = Object.values(features.patternProperties)[0] as { properties: object };
    const names = [...LEDGER_NAMES, ...Object.keys(PROFILE_NAMES), ...Object.keys(feature.properties), ...STATUSES];
    expect(names.filter((name) => !parts.has(name))).toEqual([]);
  });
});
