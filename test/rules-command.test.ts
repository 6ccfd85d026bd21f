/** `rules check | test | list | explain` as users run them: exit codes, standard output, standard error. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { run, temporaryFolder } from './serving.ts';

const SHIPPED = parseRules(readRuleFiles(DEFAULTS.rules)).sources.length;

/** Commands that run every test or measure every rule, also on a busy machine. */
const ALL_RULES_MS = 120_000;

const folder = temporaryFolder();
afterAll(() => folder.remove());
let folders = 0;
/** A folder of rules: those that ship, each changed by `change`, or only the files given. */
function rulesWith(files: Record<string, string>, options: { shipped?: string[] } = {}): string {
  const path = join(folder.path, String(folders++));
  mkdirSync(path);
  for (const file of options.shipped ?? []) cpSync(join(DEFAULTS.rules, file), join(path, file));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}
const shipped = (file: string): string => readFileSync(join(DEFAULTS.rules, file), 'utf8');
const silence = shipped('retention/silence.yaml');
const longCall = shipped('fraud/long-call.yaml');

describe('rules check', () => {
  test('says that the shipped rules are right, in words and as JSON', async () => {
    const [words, json] = await Promise.all([
      run(['rules', 'check']),
      run(['rules', 'check', DEFAULTS.rules, '--output', 'json']),
    ]);
    expect(words).toMatchObject({ code: 0, stdout: `${SHIPPED} rules are right\n`, stderr: '' });
    expect(json).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(json.stdout)).toEqual({ ok: true, rules: SHIPPED });
  });

  test('exits 2 and names file, line and column of everything that is wrong', async () => {
    const path = rulesWith({
      'a.yaml': silence.replace('leastSilence: 7d', 'leastSilence: 7'),
      'b.yaml': longCall
        .replace('severity: warning, if: "callDuration', 'severity: warning, if: "calDuration')
        .replace('on: voice', 'on: voise'),
    });
    const form = await run(['rules', 'check', path]);
    expect([form.code, form.stdout]).toEqual([2, '']);
    // The form of all files comes first; meanings are looked at when it is right.
    expect(form.stderr).toMatch(
      new RegExp(`^${path}/b\\.yaml:\\d+:5: 'on' must be one of voice, sms, .*\nCorrect the lines above`),
    );
    writeFileSync(join(path, 'b.yaml'), longCall.replace('if: "callDuration', 'if: "calDuration'));
    const meaning = await run(['rules', 'check', path, '--output', 'json']);
    expect([meaning.code, meaning.stdout]).toEqual([2, '']);
    const lineOf = (text: string, part: string): number => text.slice(0, text.indexOf(part)).split('\n').length;
    const columnOf = (text: string, part: string): number =>
      text.slice(0, text.indexOf(part)).split('\n').at(-1)!.length + 1;
    expect(meaning.stderr.split('\n')).toEqual(
      expect.arrayContaining([
        `${path}/a.yaml:${lineOf(silence, 'silentFor >=')}:${columnOf(silence, 'silentFor >=') + 10}: a duration cannot be compared with a number ('(silentFor>=leastSilence)')`,
        `${path}/b.yaml:${lineOf(longCall, 'if: "callDuration')}:${columnOf(longCall, 'if: "callDuration') + 5}: 'calDuration' is not known here; did you mean 'callDuration'?`,
      ]),
    );
  });

  test('refuses two rules of one id, and a file that is no YAML', async () => {
    const path = rulesWith({ 'a.yaml': silence, 'b.yml': silence, 'notes.txt': '{' });
    const twice = await run(['rules', 'check', path]);
    expect(twice.code).toBe(2);
    expect(twice.stderr).toContain(`${path}/b.yml:2:5: the id 'retention.silence' is used by a.yaml already`);
    const broken = await run(['rules', 'check', rulesWith({ 'a.yaml': 'id: [' })]);
    expect(broken.code).toBe(2);
    expect(broken.stderr).toMatch(/a\.yaml:1:\d+: /);
  });

  test('exits 3 where there is no folder, rule, form of output, zone, deployment or flag of that name', async () => {
    const empty = rulesWith({ 'readme.md': 'no rules here' });
    const results = await Promise.all([
      run(['rules', 'check', join(folder.path, 'nowhere')]),
      run(['rules', 'check', empty]),
      run(['rules', 'check', '--output', 'xml']),
      run(['rules', 'check', '--time-zone', 'Mars/Olympus']),
      run(['rules', 'check', '--strict']),
      run(['rules', 'chek']),
      run(['rules', 'explain', '--rule', 'fraud.nothing']),
      run(['rules', 'list', '--url', 'nowhere']),
      run(['rules', 'list', '--url', 'localhost:8080']),
      run(['rules', 'list', '--url', 'http://127.0.0.1:1']),
    ]);
    expect(results.map(({ code, stdout }) => [code, stdout])).toEqual(results.map(() => [3, '']));
    const said = [
      'nowhere cannot be read',
      `There is no rule file (*.yaml) in ${empty}.`,
      "'xml' is neither text nor json",
      'Mars/Olympus',
      "unknown option '--strict'",
      "unknown command 'chek'",
      "There is no rule 'fraud.nothing'",
      "--url: 'nowhere' is no HTTP address.",
      "--url: 'localhost:8080' is no HTTP address.",
      'http://127.0.0.1:1/v1/rules does not answer: ',
    ];
    for (const [index, text] of said.entries()) expect(results[index]!.stderr).toContain(text);
  });
});

describe('rules test', () => {
  test(
    'passes for the shipped rules, a line each and a sum',
    async () => {
      const { code, stdout, stderr } = await run(['rules', 'test']);
      expect([code, stderr]).toEqual([0, '']);
      const lines = stdout.trimEnd().split('\n');
      expect(lines.at(-1)).toMatch(new RegExp(`^(\\d+) of \\1 tests of ${SHIPPED} rules passed$`));
      for (const line of lines.slice(0, -1)) expect(line).toMatch(/^ok {3}[A-Z]\d\d (fraud|arrears|retention)\.\S+: ./);
    },
    ALL_RULES_MS,
  );

  test('exits 1 where one fails, and shows what was expected and what came', async () => {
    const path = rulesWith({
      'a.yaml': silence.replace('severity: warning, at: 222h', 'severity: critical, at: 222h'),
      'b.yaml': longCall,
    });
    const [words, json] = await Promise.all([
      run(['rules', 'test', path]),
      run(['rules', 'test', path, '--output', 'json']),
    ]);
    expect([words.code, words.stderr]).toEqual([1, '']);
    expect(words.stdout).toMatch(
      /^FAIL C02 retention\.silence: fires after seven days\n {5}alert 1: expected \{"severity":"critical",.*\}, got warning firing after 799200 s: no outgoing usage for 7 d/m,
    );
    expect(words.stdout).toMatch(/^ok {3}F09 fraud\.long-call: /m);
    const results = JSON.parse(json.stdout) as { ruleId: string; ok: boolean; detail: string }[];
    expect(json.code).toBe(1);
    expect(results.filter(({ ok }) => !ok)).toMatchObject([
      {
        ruleId: 'retention.silence',
        catalogue: 'C02',
        test: 'fires after seven days',
        detail: expect.stringContaining('got warning'),
      },
    ]);
    expect(words.stdout).toContain(`${results.length - 1} of ${results.length} tests of 2 rules passed`);
  });

  test('does not run rules that are wrong', async () => {
    const { code, stdout } = await run([
      'rules',
      'test',
      rulesWith({ 'a.yaml': silence.replace('sinceLast', 'sinceLst') }),
    ]);
    expect([code, stdout]).toEqual([2, '']);
  });
});

describe('rules list and explain', () => {
  test('list shows id, version, catalogue, desk, status, draft or not, key and title of each, by catalogue', async () => {
    const [words, json] = await Promise.all([run(['rules', 'list']), run(['rules', 'list', '--output', 'json'])]);
    expect([words.code, json.code, words.stderr, json.stderr]).toEqual([0, 0, '', '']);
    const list = JSON.parse(json.stdout) as Record<string, unknown>[];
    expect(list).toHaveLength(SHIPPED);
    for (const rule of list)
      expect(Object.keys(rule)).toEqual(['id', 'version', 'catalogue', 'desk', 'status', 'shadow', 'key', 'title']);
    expect(list.map(({ catalogue }) => catalogue)).toEqual(list.map(({ catalogue }) => catalogue).toSorted());
    expect(list.find(({ catalogue }) => catalogue === 'C02')).toMatchObject({
      id: 'retention.silence',
      desk: 'retention',
      key: 'subscriber',
      title: { en: 'Unusual silence', 'zh-CN': '异常沉默' },
    });
    const lines = words.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(SHIPPED);
    expect(lines[0]).toMatch(/^A01 {2}arrears\.\S+ +v\d+ +arrears +stable +account +\S/);
  });

  test(
    'explain shows windows, bands, memory and time of one rule, by id or catalogue id, or of all',
    async () => {
      const [byId, byCatalogue, json, all] = await Promise.all([
        run(['rules', 'explain', '--rule', 'fraud.international-burst']),
        run(['rules', 'explain', '--rule', 'F03']),
        run(['rules', 'explain', '--rule', 'F03', '--output', 'json']),
        run(['rules', 'explain']),
      ]);
      expect([byId, byCatalogue, json, all].map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      const exceptTime = ({ stdout }: { stdout: string }): string => stdout.replace(/\d+ ns/, 'ns');
      expect(exceptTime(byCatalogue)).toBe(exceptTime(byId));
      for (const part of [
        'fraud.international-burst (F03) version',
        '60 panes of 60 s',
        'parameters:',
        'critical score',
        'bytes a key after its first test that fires',
      ])
        expect(byId.stdout).toContain(part);
      expect(byId.stdout).toMatch(/^ {2}time: \d+ ns a record of .*, measured on this machine$/m);
      const [rule] = JSON.parse(json.stdout) as {
        id: string;
        bytesPerKey: number;
        mostBytesPerKey: number;
        nanosecondsPerRecord: number;
        features: { window: string }[];
      }[];
      expect(rule).toMatchObject({ id: 'fraud.international-burst' });
      // The episode is open, and of the window some panes hold something.
      expect(rule!.bytesPerKey).toBeGreaterThan(40);
      expect(rule!.mostBytesPerKey).toBeGreaterThan(rule!.bytesPerKey);
      expect(rule!.nanosecondsPerRecord).toBeGreaterThanOrEqual(0);
      expect(rule!.features.some(({ window }) => window === '1h')).toBe(true);
      expect(all.stdout.match(/^\S+ \([A-Z]\d\d\) version/gm)).toHaveLength(SHIPPED);
      // Also a rule without panes takes something: a ledger, the last value, or its open alert alone.
      const bytes = [...all.stdout.matchAll(/^ {2}memory: (\d+) bytes a key .*, at most (\d+);/gm)];
      expect(bytes).toHaveLength(SHIPPED);
      for (const [, own, most] of bytes) {
        expect(Number(own)).toBeGreaterThan(40);
        expect(Number(most)).toBeGreaterThanOrEqual(Number(own));
      }
      expect(all.stdout.match(/^ {2}time: \d+ ns a record/gm)).toHaveLength(SHIPPED);
    },
    ALL_RULES_MS,
  );
});
