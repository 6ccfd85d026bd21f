import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { isListFile } from '../src/reference/lists.ts';
import { describeProblem, FILE_BYTES_MAX, PROBLEMS_PER_FILE_MAX, type RuleProblem } from '../src/rules/form.ts';
import { readRuleFiles } from '../src/rules/load.ts';
import { isModelFile } from '../src/rules/model.ts';
import { KEY_TYPES, parseRule, ruleSchema } from '../src/rules/rule.ts';
import { cases } from './cases.ts';
import { changeText, ruleText } from './rule-text.ts';

const FEATURE_KEYS = Object.keys(Object.values(ruleSchema.properties.features.patternProperties)[0]!.properties);

/** A right rule, in the smallest form; tests put one thing into it that is wrong. */
const RIGHT = ruleText(`params: { most: 10, numbers: ['371', '53'], wait: 7d }
features:
  calls: { aggregate: count, window: 1h }
bands:
  - { severity: warning, if: calls >= most, score: 50 }
reason: { en: "{calls} calls", zh-CN: "{calls}次" }
suppress: { for: 1h }
tests:
  - { name: fires, steps: [{ repeat: 10, record: { recordType: voice } }], expect: [{ severity: warning }] }
`);

const problemsOf = (text: string): RuleProblem[] => {
  const parsed = parseRule('f.yaml', text);
  return 'problems' in parsed ? parsed.problems : [];
};

const changed = (from: string, to: string) => changeText(RIGHT, from, to);

describe('a rule file', () => {
  test('that is right has no problems and keeps its text', () => {
    const parsed = parseRule('f.yaml', RIGHT);
    expect(parsed).toMatchObject({
      source: { file: 'f.yaml', text: RIGHT, rule: { id: 'fraud.burst', params: { most: 10, wait: '7d' } } },
    });
  });

  test.each([
    // what is changed, into what (¦: place of the error), message
    [
      'on: voice',
      'on: ¦voise',
      "'on' must be one of voice, sms, data, topup, transfer, payment, invoice, account, care, roamingFile, alert or array",
    ],
    [
      'on: voice',
      'on: [voice, ¦voise]',
      "'on.1' must be one of voice, sms, data, topup, transfer, payment, invoice, account, care, roamingFile, alert",
    ],
    ['on: voice', 'on: ¦[]', "'on' must not have fewer than 1 items"],
    ['on: voice', 'on:\n  ¦- voice\n  - voice', "'on' must not have duplicate items"],
    ['key: subscriber', 'key: ¦subscriberr', `'key' must be one of ${KEY_TYPES.join(', ')}`],
    ['version: 1', 'version: ¦one', "'version' must be integer"],
    ['version: 1', 'version: ¦0', "'version' must be >= 1"],
    [
      'id: fraud.burst',
      'id: ¦Fraud.Burst',
      '\'id\' must match pattern "^(fraud|arrears|retention)\\.[a-z0-9]+(-[a-z0-9]+)*$"',
    ],
    ['catalogue: F90', 'catalogue: ¦F9', '\'catalogue\' must match pattern "^[A-Z][0-9]{2}$"'],
    ['severity: warning, if', 'severity: ¦high, if', "'bands.0.severity' must be one of info, warning, critical"],
    ['score: 50', 'score: ¦101', "'bands.0.score' must be <= 100"],
    [
      '  - { severity: warning, if: calls >= most, score: 50 }',
      '  - ¦{ severity: warning, if: calls >= most }',
      "missing key 'score' in 'bands.0'",
    ],
    ['  - { severity: warning, if: calls >= most, score: 50 }', '  - ¦soon', "'bands.0' must be object"],
    ['suppress: { for: 1h }', 'suppress: { for: ¦1 }', "'suppress.for' must be string"],
    [
      'suppress: { for: 1h }',
      'suppress: { for: ¦1 hour }',
      '\'suppress.for\' must match pattern "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w)$"',
    ],
    ['title: { en: Burst, zh-CN: 突增 }', 'title: ¦{ en: Burst }', "missing key 'zh-CN' in 'title'"],
    [
      'title: { en: Burst, zh-CN: 突增 }',
      'title:\n  en: Burst\n  zh-CN: "¦"',
      "'title.zh-CN' must not have fewer than 1 characters",
    ],
    ['aggregate: count', '¦agregate: count', "unknown key 'agregate'; did you mean 'aggregate'?"],
    [
      'aggregate: count',
      '¦stride: 5m, aggregate: count',
      // Nothing is near it, so all are named; a feature takes more of them with every aggregate that needs one.
      `unknown key 'stride'; known are ${FEATURE_KEYS.join(', ')}`,
    ],
    ['window: 1h', 'window: 1h, panes: ¦2000', "'features.calls.panes' must be <= 1024"],
    ['  calls: {', '  ¦Calls: {', "'Calls' is no name: a small letter, then letters and digits"],
    ['  calls: {', "  ¦'a b': 5\n  calls: {", "'a b' is no name: a small letter, then letters and digits"],
    ['most: 10', 'most: ¦{ a: 1 }', "'params.most' must be number or boolean or string or array"],
    ["['371', '53']", "['371', ¦53]", "'params.numbers.1' must be string"],
    ['suppress: {', '¦supress: {}\nsuppress: {', "unknown key 'supress'; did you mean 'suppress'?"],
    ['name: fires,', 'name: fires, ¦begn: 1, ', "unknown key 'begn'; did you mean 'begin'?"],
    ['repeat: 10', 'repeat: ¦0', "'tests.0.steps.0.repeat' must be >= 1"],
    [
      'expect: [{ severity: warning }]',
      'expect: [{ ¦severty: warning }]',
      "unknown key 'severty'; did you mean 'severity'?",
    ],
    // YAML itself
    ['version: 1', 'version: 1\n¦version: 2', 'Map keys must be unique'],
    [
      "where: direction == 'mo'",
      'where: ¦*direction',
      'Unresolved alias (the anchor must be set before the alias): direction',
    ],
    ['on: voice', '¦\ton: voice', 'Tabs are not allowed as indentation'],
  ])('%j -> %j', (from, to, message) => {
    const { text, line, column } = changed(from, to);
    expect(problemsOf(text)[0]).toEqual({ file: 'f.yaml', line, column, message });
  });

  test('names every key that is missing, and everything else that is wrong, at once', () => {
    expect(problemsOf('id: fraud.x\nversion: 1.5\nwindow: 1h\n').map(describeProblem)).toEqual([
      "f.yaml:1:1: missing key 'catalogue', 'status', 'desk', 'title', 'key', 'bands', 'reason', 'suppress', 'tests'",
      expect.stringMatching(/^f\.yaml:3:1: unknown key 'window'; known are /),
      "f.yaml:2:10: 'version' must be integer",
    ]);
  });

  test.each([
    ['', 'the file holds no keys and values'],
    ['- 1', 'the file holds no keys and values'],
    ['just text', 'the file holds no keys and values'],
    ['\u0000', 'the file holds no keys and values'],
  ])('%j: %s', (text, message) => {
    expect(problemsOf(text)).toEqual([{ file: 'f.yaml', line: 1, column: 1, message }]);
  });

  test('windows line ends, byte order mark and comments move nothing', () => {
    const { text, line, column } = changed('version: 1', 'version: ¦one');
    const windows = `\uFEFF# a comment\r\n${text.replaceAll('\n', '\r\n')}`;
    expect(problemsOf(windows)).toMatchObject([{ line: line + 1, column }]);
  });
});

describe('positions inside a rule', () => {
  const positionIn = (text: string, path: (string | number)[], offset: number): { line: number; column: number } => {
    const parsed = parseRule('f.yaml', text);
    if ('problems' in parsed) return expect.fail(parsed.problems.map(describeProblem).join('\n'));
    return parsed.source.positionOf(path, offset);
  };

  test.each([
    // form of the text, place of its character 4
    ['where: abcd¦efg', ['where']],
    ["where: 'abcd¦efg'", ['where']],
    ['where: "abcd¦efg"', ['where']],
    ['where:\n  abcd¦efg', ['where']],
  ])('%j', (form, path) => {
    const { text, line, column } = changed("where: direction == 'mo'", form);
    expect(positionIn(text, path, 4)).toEqual({ line, column });
  });

  test('in a folded text is that of its begin', () => {
    const { text, line, column } = changed("where: direction == 'mo'", 'where: ¦>-\n  abcd\n  efg');
    expect(positionIn(text, ['where'], 6)).toEqual({ line, column });
  });

  test.each<[string, string, (string | number)[]]>([
    ['if: calls', 'if: ¦calls', ['bands', 0, 'if']],
    ['  calls: {', '  calls: ¦{', ['features', 'calls']],
    ["'53']", "¦'53']", ['params', 'numbers', 1]],
    ['{ repeat', '¦{ repeat', ['tests', 0, 'steps', 0]],
    // What is not there is shown at the last part that is.
    ['  calls: {', '  calls: ¦{', ['features', 'calls', 'nothing', 'here']],
  ])('of %j', (from, to, path) => {
    const { text, line, column } = changed(from, to);
    const quoted = to.startsWith("¦'") ? 1 : 0;
    expect(positionIn(text, path, 0)).toEqual({ line, column: column + quoted });
  });
});

describe('hostile files', () => {
  test('nested brackets, alias bombs and masses of errors end as problems', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghij'.split('').map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[at]}`).join()}]`),
    ].join('\n');
    for (const text of [
      '['.repeat(50_000),
      '{a: '.repeat(50_000),
      '- '.repeat(100_000),
      '&a [*a]',
      bomb,
      'a: 1\n'.repeat(10_000),
    ]) {
      const problems = problemsOf(text);
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.length).toBeLessThanOrEqual(PROBLEMS_PER_FILE_MAX);
      for (const { line, column } of problems)
        expect([line, column].every((place) => Number.isInteger(place) && place > 0)).toBe(true);
    }
  });

  test('a file beyond the limit is not parsed', () => {
    expect(problemsOf(`${RIGHT}# ${'x'.repeat(FILE_BYTES_MAX)}`)).toMatchObject([
      { message: `the file is larger than ${FILE_BYTES_MAX} bytes` },
    ]);
  });

  test('no text makes the parser throw', () => {
    const lines = RIGHT.split('\n');
    const mangled = fc
      .tuple(
        fc.nat(lines.length - 1),
        fc.constantFrom(
          '',
          '*a',
          '&a',
          '- x',
          '? [a]',
          '!!js/function x',
          '"',
          ': :',
          '{',
          ']',
          '\t',
          '...',
          '---',
          '%TAG',
          'constructor: 1',
          '__proto__: { a: 1 }',
          'features: { __proto__: 5 }',
          'bands: [*x]',
        ),
        fc.boolean(),
      )
      .map(([at, text, replace]) => lines.toSpliced(at, replace ? 1 : 0, text).join('\n'));
    fc.assert(
      fc.property(fc.oneof(mangled, fc.string({ unit: 'binary', maxLength: 200 }), fc.json()), (text) => {
        for (const { line, column, message } of problemsOf(text)) {
          expect(line).toBeGreaterThan(0);
          expect(column).toBeGreaterThan(0);
          expect(message).not.toBe('');
        }
      }),
      { numRuns: cases(500) },
    );
  });
});

describe('the files that come with the program', () => {
  const files = readRuleFiles(DEFAULTS.rules).filter(({ file }) => !isListFile(file) && !isModelFile(file));
  test.each(files.map(({ file, text }) => [file, text]))(
    '%s has the form, and the editor is told its schema',
    (file, text) => {
      expect(problemsOf(text)).toEqual([]);
      const schema = /^# yaml-language-server: \$schema=(\S+)$/m.exec(text)?.[1];
      expect(schema).toBe(`${'../'.repeat(file.split('/').length - 1)}rule.schema.json`);
      const path = join(DEFAULTS.rules, file, '..', schema!);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ title: 'Ringfence rule' });
    },
  );
});
