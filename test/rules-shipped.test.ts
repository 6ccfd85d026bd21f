/** The rules that come with the program: their own tests, and what every one of them must have. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { en } from '../src/console/messages.ts';
import { zhCn } from '../src/console/messages-zh-cn.ts';
import { createEngine } from '../src/engine.ts';
import { runRuleTests } from '../src/rule-changes/rule-test.ts';
import { BUILT_IN_TITLES, featureTitles } from '../src/rules/feature-titles.ts';
import { describeProblem } from '../src/rules/form.ts';
import { LEDGER_NAMES } from '../src/rules/ledger-values.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { KEY_GROUPS, type RuleSource, type RuleTest } from '../src/rules/rule.ts';
import { numberingPlan, utc } from './rule-engine.ts';

const { sources, lists, problems } = parseRules(readRuleFiles(DEFAULTS.rules));
const each = sources.map((source): [string, RuleSource] => [source.rule.id, source]);
const hasChinese = (text: string): boolean => /[\u4e00-\u9fff]/.test(text);
const namesIn = (text: string): string[] => [...text.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!).sort();
const fires = ({ expect: expected }: RuleTest): boolean => expected.length > 0;

describe('the shipped rules', () => {
  test('are read and compiled together without a problem', () => {
    expect(problems.map(describeProblem)).toEqual([]);
    // Every list that a rule names is among those that come with them.
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    expect(engine.checkRules(sources, lists)).toEqual([]);
    // As they were read, because the model goes with the rules.
    expect(engine.useRules(sources, 'shipped')).toEqual([]);
    // A key that stands for several makes a rule for each of them.
    const kinds = sources.flatMap(({ rule }) => KEY_GROUPS[rule.key] ?? [rule.key]);
    expect(engine.ruleSet().rules).toHaveLength(kinds.length);
  });

  test('come with lists that are examples, and say so', () => {
    expect(lists!.names().length).toBeGreaterThan(5);
    for (const { file, text } of lists!.files) {
      expect([file, text.startsWith('# EXAMPLE, to be replaced')]).toEqual([file, true]);
    }
  });

  test('call every value in their evidence by a name that people read, in both languages', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    engine.useRules(sources, 'shipped');
    for (const compiled of engine.ruleSet().rules) {
      const titles = featureTitles(compiled.rule, compiled);
      for (const { name } of compiled.features) {
        const { en: english = '', 'zh-CN': chinese = '' } = titles[name] ?? {};
        expect([compiled.rule.id, name, english !== '', hasChinese(chinese)]).toEqual([
          compiled.rule.id,
          name,
          true,
          true,
        ]);
      }
    }
    const builtIn = ['now', 'knownFor', 'lastSeenAt', 'balance', ...LEDGER_NAMES.map((name) => `ledger.${name}`)];
    const { valuation, debt } = engine.ruleSet();
    for (const name of [...builtIn, ...valuation!.names.keys(), ...debt!.names.keys()])
      expect([name, BUILT_IN_TITLES.has(name)]).toEqual([name, true]);
  });

  test('carry each catalogue id once, ids named after desk and folder', () => {
    const catalogue = sources.map(({ rule }) => rule.catalogue).sort();
    expect(catalogue).toEqual([...new Set(catalogue)]);
    expect(new Set(sources.map(({ rule }) => rule.id)).size).toBe(sources.length);
    for (const { file, rule } of sources) expect(file).toBe(`${rule.id.replace('.', '/')}.yaml`);
    const letters = { fraud: 'F', arrears: 'A', retention: 'C' };
    // A first bill that is never paid is a matter of arrears by its picture and of fraud by its cause.
    const elsewhere: Record<string, string> = { A08: 'fraud' };
    for (const { rule } of sources) {
      if (rule.catalogue in elsewhere) expect(rule.desk).toBe(elsewhere[rule.catalogue]);
      else expect(rule.catalogue[0]).toBe(letters[rule.desk]);
    }
  });

  describe.each(each)('%s', (_id, source) => {
    const { rule } = source;

    test('passes its own tests', () => {
      const results = runRuleTests(source, { numberingPlan, localTime: utc });
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(results).toHaveLength(rule.tests.length);
    });

    test('has tests that fire and tests that stay silent, and each band is reached by one', () => {
      expect(rule.tests.filter(fires).length).toBeGreaterThan(0);
      expect(rule.tests.filter((one) => !fires(one)).length).toBeGreaterThan(0);
      const reached = new Set(rule.tests.flatMap(({ expect: expected }) => expected.map(({ severity }) => severity)));
      for (const { severity } of rule.bands) expect(reached).toContain(severity);
    });

    test('says everything in both languages, with the same values', () => {
      const texts = [
        rule.title,
        rule.description,
        rule.reason,
        rule.runbook,
        ...(rule.falsePositives ?? []).filter((note) => typeof note !== 'string'),
        ...rule.bands.map(({ reason }) => reason),
      ].filter((text) => text !== undefined);
      expect(texts.length).toBeGreaterThanOrEqual(4);
      for (const text of texts) {
        expect(text.en).not.toBe('');
        expect(hasChinese(text.en)).toBe(false);
        expect(hasChinese(text['zh-CN'])).toBe(true);
        expect(namesIn(text['zh-CN'])).toEqual(namesIn(text.en));
      }
      // A reason without a value says nothing that the title did not.
      expect(namesIn(rule.reason.en).length).toBeGreaterThan(0);
    });

    test('tells the desk what to do and what may be lawful, and never cries critical on a list of numbers alone', () => {
      expect(rule.suggestedActions?.length).toBeGreaterThan(0);
      expect(rule.falsePositives?.length).toBeGreaterThan(0);
      expect(rule.falsePositives!.filter((note) => typeof note === 'string')).toEqual([]);
      const actions = [rule, ...rule.bands].flatMap(({ suggestedActions }) => suggestedActions ?? []);
      for (const action of actions) expect(action).toMatch(/^[a-z]+(-[a-z0-9]+)*$/);
      // The console would show the slug itself.
      for (const messages of [en, zhCn]) {
        expect(actions.filter((action) => !(action in messages.actions))).toEqual([]);
        expect(rule.fraudType ?? '').toBeOneOf(['', ...Object.keys(messages.fraudTypes)]);
        expect(rule.enabler ?? '').toBeOneOf(['', ...Object.keys(messages.enablers)]);
      }
    });
  });

  test('a test that expects something else fails, and says what came', () => {
    const [source] = sources.filter(({ rule }) => rule.catalogue === 'F03');
    const wrong = (
      expected: RuleTest['expect'],
      steps: RuleTest['steps'] = source!.rule.tests.find(fires)!.steps,
    ): string => {
      const tests = [{ name: 'wrong', steps, expect: expected }];
      const [result] = runRuleTests(
        { ...source!, rule: { ...source!.rule, tests } },
        { numberingPlan, localTime: utc },
      );
      expect(result!.ok).toBe(false);
      return result!.detail;
    };
    const right = source!.rule.tests.find(fires)!.expect;
    expect(wrong([])).toMatch(/^expected 0 alerts, got \d+: (warning|critical) firing after \d+ s: /);
    expect(wrong([...right, ...right])).toMatch(/^expected \d+ alerts, got \d+/);
    expect(wrong(right.map((one) => ({ ...one, severity: 'info' as const })))).toMatch(
      /^alert 1: expected \{.*"severity":"info"/,
    );
    expect(wrong(right.map((one) => ({ ...one, at: '3s' })))).toMatch(/^alert 1: /);
    expect(wrong(right.map((one) => ({ ...one, reason: 'something else' })))).toMatch(/^alert 1: /);
    expect(wrong(right.map((one) => ({ ...one, key: 'nobody' })))).toMatch(/^alert 1: /);
    expect(wrong(right.map((one) => ({ ...one, status: 'resolved' as const })))).toMatch(/^alert 1: |^expected/);
    expect(wrong(right, [{ record: { recordType: 'voise' } }])).toMatch(/^record 1 is not valid: recordType/);
    expect(wrong(right, [{ at: 'soon', record: { recordType: 'voice' } }])).toBe(
      "'at' is neither a duration nor an RFC 3339 time: soon",
    );
  });

  test('the numbering plan says where it comes from', () => {
    const plan = readFileSync(join(DEFAULTS.rules, 'lists/numbering-plan.csv'), 'utf8');
    expect(plan.split('\n').length).toBeGreaterThan(200);
    expect(plan.slice(0, 2_000)).toMatch(/source|from|made/i);
  });
});
