/** Rules as a form: whatever is changed in it, the file has the new values and nothing else is another. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { layered } from '../src/rule-changes/layers.ts';
import {
  asVersion,
  BANDS_MAX,
  differenceOf,
  editRule,
  formOf,
  type ParameterValue,
  type RuleEdits,
} from '../src/rule-changes/rule-edit.ts';
import { readRuleFiles } from '../src/rules/load.ts';
import { isModelFile } from '../src/rules/model.ts';
import { parseRule, type RuleSource, STATUSES } from '../src/rules/rule.ts';

const sources = readRuleFiles(DEFAULTS.rules).flatMap(({ file, text }): RuleSource[] => {
  const parsed = file.endsWith('.yaml') && !isModelFile(file) ? parseRule(file, text) : { problems: [] };
  return 'source' in parsed ? [parsed.source] : [];
});
const parsedAgain = (text: string) => {
  const parsed = parseRule('rule.yaml', text);
  if ('problems' in parsed) throw new Error(`${parsed.problems[0]!.message}\n${text}`);
  return parsed.source.rule;
};

/** Texts that YAML would take for something else, or end a line, a comment or a collection with. */
const hostile = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.constantFrom(
    'yes',
    'null',
    '~',
    '0x1F',
    '1e3',
    '- a',
    'a: b',
    'a # b',
    '#',
    '}',
    ']',
    ', x',
    '&a',
    '*a',
    '!!js',
    '|',
    '>',
    "'",
    '"',
  ),
  fc.constantFrom('a\nb: c', '\t', ' a ', '\\', '\u2028', '\u0000', '__proto__', '{{x}}', '%', '@', '`', '---', '...'),
);
/** JSON and YAML know no -0, and neither does a threshold. */
const double = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }).map((value) => value + 0);

const anotherOf = (value: ParameterValue): fc.Arbitrary<ParameterValue> => {
  if (Array.isArray(value)) {
    return typeof value[0] === 'number'
      ? fc.array(double, {
          minLength: 1,
          maxLength: 5,
        })
      : fc.array(hostile, { maxLength: 5 });
  }
  if (typeof value === 'number') return double;
  if (typeof value === 'boolean') return fc.boolean();
  return /^[0-9.]+[a-z]+$/.test(value) ? fc.constantFrom('30m', '4h', '1.5d', '7d') : hostile;
};

describe('the form', () => {
  test('finds every rule that ships', () => {
    expect(sources.length).toBeGreaterThan(80);
  });

  test('in drawn changes of every rule, the text says what was changed and all else as before', {
    timeout: 120_000,
  }, () => {
    for (const { text, rule } of sources) {
      const form = formOf(rule);
      const edits = fc.record({
        status: fc.constantFrom(...STATUSES),
        suppressFor: fc.constantFrom('30m', '4h', '7d'),
        parameters: fc.record(Object.fromEntries(form.parameters.map(({ name, value }) => [name, anotherOf(value)])), {
          requiredKeys: [],
        }),
        bands: fc.tuple(
          ...form.bands.map(() =>
            fc.option(
              fc.record(
                {
                  severity: fc.constantFrom('info', 'warning', 'critical'),
                  if: hostile.filter((one) => one.trim() !== ''),
                  score: fc.integer({ min: 0, max: 100 }),
                },
                { requiredKeys: [] },
              ),
            ),
          ),
        ),
      });
      fc.assert(
        fc.property(edits, (drawn) => {
          const edited = editRule(text, rule, drawn as RuleEdits);
          if ('problems' in edited) throw new Error(JSON.stringify(edited.problems));
          const isChanged = edited.text !== text;
          expect(parsedAgain(edited.text)).toEqual({
            ...rule,
            version: isChanged ? rule.version + 1 : rule.version,
            status: drawn.status,
            suppress: { ...rule.suppress, for: drawn.suppressFor },
            ...(rule.params && { params: { ...rule.params, ...drawn.parameters } }),
            bands: rule.bands.map((band, index) => ({ ...band, ...drawn.bands[index] })),
          });
          // Comments stay, whatever was replaced beside them.
          const comments = (one: string) => one.match(/(^|\s)# .*$/gm)?.length ?? 0;
          if (!JSON.stringify(drawn).includes('#')) expect(comments(edited.text)).toBe(comments(text));
        }),
        { numRuns: 5 },
      );
    }
  });

  test('bands go and come in every rule, in the order of their severity, and all else stays', {
    timeout: 120_000,
  }, () => {
    const ranks = ['info', 'warning', 'critical'];
    for (const { text, rule } of sources) {
      const drawnBands = fc.record({
        removedBands: fc.subarray([...rule.bands.keys()], { maxLength: rule.bands.length - 1 }),
        added: fc.array(
          fc.record({
            severity: fc.constantFrom(...ranks),
            if: hostile.filter((one) => one.trim() !== ''),
            score: fc.integer({ min: 0, max: 100 }),
          }),
          { maxLength: BANDS_MAX - rule.bands.length },
        ),
      });
      fc.assert(
        fc.property(drawnBands, ({ removedBands, added }) => {
          const edited = editRule(text, rule, { bands: [...rule.bands.map(() => null), ...added], removedBands });
          if ('problems' in edited) throw new Error(JSON.stringify(edited.problems));
          const left = [...rule.bands, ...added]
            .map((band, at) => ({ band, at }))
            .filter(({ at }) => !removedBands.includes(at))
            .sort((a, b) => ranks.indexOf(a.band.severity) - ranks.indexOf(b.band.severity));
          expect(parsedAgain(edited.text)).toEqual({
            ...rule,
            version: edited.text === text ? rule.version : rule.version + 1,
            bands: left.map(({ band }) => band),
          });
          expect(edited.bandOrder).toEqual(left.map(({ at }) => at));
        }),
        { numRuns: 8 },
      );
    }
  });

  test.each([
    ['[{ severity: warning, if: a > 1, score: 5 }, { severity: critical, if: a > 2, score: 9 }]', 'in one line'],
    [
      '\n- severity: warning\n  if: >-\n    a > 1\n  score: 5\n# why\n- { severity: critical, if: a > 2, score: 9 } # last',
      'in lines',
    ],
  ])('a list of bands %s', (bands) => {
    const text = sources[0]!.text.replace(/^bands:\n(?:[ #-].*\n)+/m, `bands: ${bands}\n`);
    const rule = parsedAgain(text);
    const added = { severity: 'warning', if: 'a > 1 && b', score: 7 };
    const ifsOf = (edits: RuleEdits): string[] => {
      const edited = editRule(text, rule, edits);
      if ('problems' in edited) throw new Error(JSON.stringify(edited.problems));
      return parsedAgain(edited.text).bands.map((band) => band.if);
    };
    expect(ifsOf({ bands: [null, null, added] })).toEqual(['a > 1', 'a > 1 && b', 'a > 2']);
    expect(ifsOf({ bands: [null, null, added], removedBands: [0] })).toEqual(['a > 1 && b', 'a > 2']);
    expect(ifsOf({ bands: [null, null, added], removedBands: [0, 1] })).toEqual(['a > 1 && b']);
    expect(ifsOf({ removedBands: [1] })).toEqual(['a > 1']);
  });

  test.each([
    ['no band is left', { removedBands: [0, 1] }, 'bands', 'bands'],
    [
      'there are too many',
      { bands: [null, null, ...Array(7).fill({ severity: 'info', if: 'a', score: 1 })] },
      'bands',
      'bands',
    ],
    ['a band that is not there goes', { removedBands: [5] }, 'bands.5', 'unknown'],
    ['a new band says nothing', { bands: [null, null, {}] }, 'bands.2.severity', 'choice'],
  ] as [string, RuleEdits, string, string][])('is refused where %s', (_case, edits, field, code) => {
    const { text, rule } = sources.find(({ rule: one }) => one.bands.length === 2)!;
    const edited = editRule(text, rule, edits);
    expect('problems' in edited ? edited.problems : []).toContainEqual(expect.objectContaining({ field, code }));
  });

  test('what a parameter does is read from the conditions', () => {
    const { rule } = sources.find(({ rule: one }) => one.id === 'fraud.calls-per-minute')!;
    const { parameters } = formOf(rule, [{ name: 'calls60s', window: '60s', unit: 'count' }]);
    expect(parameters.map(({ name, unit, bands, raising }) => [name, unit, bands, raising])).toEqual([
      ['warningCalls', 'count', [0], 'fewer'],
      ['criticalCalls', 'count', [1], 'fewer'],
      ['nightCriticalCalls', 'count', [1], 'fewer'],
    ]);
  });

  test.each([
    ['a >= limit', 'fewer'],
    ['a < limit', 'more'],
    ['!(a < limit)', 'fewer'],
    ['limit > a', 'more'],
    ['a > max(limit, 3)', 'fewer'],
    ['a - limit > 0', 'fewer'],
    ['a > limit && b < 4 * limit', ''],
    ['a > limit || b < limit', ''],
    ['limit == 3', ''],
    ['a > 1', ''],
  ])('a higher limit in "%s" makes %s', (condition, raising) => {
    const base = sources.find(({ rule: one }) => one.bands.length === 2)!.rule;
    const bands = [{ ...base.bands[0]!, if: condition }];
    expect(formOf({ ...base, params: { limit: 3 }, features: {}, bands }).parameters).toMatchObject([{ raising }]);
  });

  test('an older text comes back as a version of its own, and a difference shows what changed', () => {
    for (const { text, rule } of sources) {
      const next = asVersion(text, 77);
      expect(parsedAgain(next)).toEqual({ ...rule, version: 77 });
      const lines = differenceOf(text, next).flatMap((hunk) => hunk.lines.filter((line) => !line.startsWith(' ')));
      expect(lines).toEqual([`-version: ${rule.version}`, '+version: 77']);
    }
    expect(differenceOf('a\n', 'a\n')).toEqual([]);
    // Texts that have nothing in common take no longer than a moment.
    const many = (mark: string) => Array.from({ length: 20_000 }, (_, index) => `${mark}${index}`).join('\n');
    expect(differenceOf(many('a'), many('b'))[0]!.lines.length).toBe(40_000);
  });
});

describe('approved changes over files', () => {
  const { text, rule } = sources[0]!;
  const approvedText = asVersion(text, 5);
  const approved = new Map([
    [rule.id, { rule: { version: 5, text: approvedText }, base: { version: rule.version, text } }],
  ]);
  const other = { file: 'lists/a.csv', text: 'kind,value\n' };
  test.each([
    ['the file as it was', text, 'layered', approvedText],
    ['the file that says the same', approvedText, 'same', approvedText],
    ['a file that was changed as well', asVersion(text, 4), 'held-back', approvedText],
    ['a changed file of the same version', `${approvedText}# more\n`, 'held-back', approvedText],
    ['a file of a higher version', asVersion(text, 6), 'superseded', asVersion(text, 6)],
    ['a file that is no rule', 'id: [', undefined, 'id: ['],
  ])('%s', (_name, found, state, expected) => {
    const result = layered([{ file: 'a.yaml', text: found }, other], approved);
    expect(result.files).toEqual([{ file: 'a.yaml', text: expected }, other]);
    expect(result.layers.map((layer) => layer.state)).toEqual(state === undefined ? [] : [state]);
  });
  test('a file that is gone brings nothing back', () => {
    expect(layered([other], approved)).toEqual({ files: [other], layers: [] });
  });
});
