/** `lists import | list` as users run them: exit codes, places of errors, what is left in the folder. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { run, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
let count = 0;
/** A rules folder of its own with the shipped lists and one rule that asks one of them. */
function rulesFolder(): string {
  const path = join(folder.path, `rules-${count++}`);
  cpSync(join(DEFAULTS.rules, 'lists'), join(path, 'lists'), { recursive: true });
  mkdirSync(join(path, 'fraud'));
  cpSync(join(DEFAULTS.rules, 'fraud/irsf-hot-range.yaml'), join(path, 'fraud/irsf-hot-range.yaml'));
  return path;
}
function fileWith(name: string, text: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
}

describe('lists import', () => {
  test('replaces a list, and the rules use it', async () => {
    const rules = rulesFolder();
    const text = 'kind,value,to\nnumber,4490980001,\nrange,4490980100,4490980199\n';
    const { code, stdout } = await run(['lists', 'import', fileWith('iprn.csv', text), '--rules', rules]);
    expect([code, stdout]).toEqual([
      0,
      `iprn                         2 rows  number 1, range 1, in place of 3 rows: ${rules}/lists/iprn.csv\n`,
    ]);
    expect(readFileSync(join(rules, 'lists/iprn.csv'), 'utf8')).toBe(text);
    const call = { recordType: 'voice', direction: 'mo', servedMsisdn: '861390000001', durationSec: 9 };
    const records = fileWith(
      'calls.ndjson',
      ['4490980150', '4490980200', '4490980001']
        .map((otherNumber, at) => JSON.stringify({ ...call, otherNumber, recordId: `r${at}`, eventTime: 1.78e12 + at }))
        .join('\n'),
    );
    const replay = await run(['replay', records, '--rules', rules]);
    const alerts = replay.stdout.trim().split('\n');
    expect(alerts.map((line) => JSON.parse(line).data.triggerRecordId)).toEqual(['r0']);
    expect(alerts[0]).toContain('last to 4490980150');
  });

  test('adds a list under a name of its own, as JSON too', async () => {
    const rules = rulesFolder();
    const file = fileWith('export 2026.csv', 'kind,value\nsender,BANK\n');
    const { code, stdout } = await run([
      'lists',
      'import',
      file,
      '--rules',
      rules,
      '--name',
      'senders-of-2026',
      '--output',
      'json',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      imported: { name: 'senders-of-2026', rows: 1, kinds: { sender: 1 } },
      replacedRows: null,
      path: join(rules, 'lists/senders-of-2026.csv'),
    });
    expect(readdirSync(join(rules, 'lists')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('exits 2 with file, line and column of everything that is wrong, and changes nothing', async () => {
    const rules = rulesFolder();
    const before = readFileSync(join(rules, 'lists/iprn.csv'), 'utf8');
    const file = fileWith('bad.csv', 'kind,value\nnumber,44x\nnumbr,44\nprefix,44\n');
    const { code, stdout, stderr } = await run(['lists', 'import', file, '--rules', rules, '--name', 'iprn']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.split('\n').slice(0, 3)).toEqual([
      `${file}:2:8: '44x' is no number: 2 to 15 digits`,
      expect.stringMatching(/:3:1: 'numbr' is no kind; known are number, /),
      'Nothing was changed. The form of a list is described in rules/lists/README.md.',
    ]);
    expect(readFileSync(join(rules, 'lists/iprn.csv'), 'utf8')).toBe(before);
  });

  test.each([
    [['nowhere.csv'], 3, /cannot be read/],
    [['plan.csv', '--name', 'numbering-plan'], 2, /is no list/],
    [['plan.csv', '--name', 'Hot'], 2, /'Hot' is no name of a list/],
    [['plan.csv', '--name', '../../x'], 2, /is no name of a list/],
    [['plan.csv', '--output', 'xml'], 3, /neither text nor json/],
  ])('%j exits %d', async (args, code, message) => {
    const rules = rulesFolder();
    fileWith('plan.csv', 'kind,value\nprefix,44\n');
    const [file, ...flags] = args;
    const result = await run(['lists', 'import', join(folder.path, file!), '--rules', rules, ...flags]);
    expect([result.code, result.stdout]).toEqual([code, '']);
    expect(result.stderr).toMatch(message);
    expect(existsSync(join(rules, 'x.csv'))).toBe(false);
  });
});

describe('lists list', () => {
  test('shows the lists that ship', async () => {
    const { code, stdout } = await run(['lists', 'list', '--output', 'json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(
      expect.arrayContaining([{ name: 'iprn', rows: 3, kinds: { number: 1, prefix: 1, range: 1 } }]),
    );
    const words = await run(['lists', 'list']);
    expect(words.stdout).toMatch(/^holidays +1 rows {2}date 1$/m);
  });
});

test('a list that a rule asks and that is not there is an error of the rule, with its place', async () => {
  const rules = rulesFolder();
  const file = join(rules, 'fraud/irsf-hot-range.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll("'iprn'", "'iprm'"));
  const { code, stderr } = await run(['rules', 'check', rules]);
  expect(code).toBe(2);
  expect(stderr).toContain("there is no list 'iprm'; did you mean 'iprn'?");
});
