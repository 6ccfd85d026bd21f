import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ACCOUNT_EVENTS } from '../src/record/schema.ts';
import { RECORD_TYPES } from '../src/record/usage-record.ts';
import { localTime } from '../src/reference/local-time.ts';
import type { Binding, Environment, ValueType } from '../src/rules/compile.ts';
import { spoken } from '../src/rules/spoken.ts';
import { compileTemplate, formatNumber, formatValue, singular } from '../src/rules/template.ts';
import { createKeyState } from './key-state.ts';

const { scope } = createKeyState();
const { written } = localTime('UTC');
const bindings: Record<string, Binding> = {
  calls: { type: 'number', evaluate: () => 12 },
  sum: { type: 'number', evaluate: () => 1_234.567 },
  number: { type: 'text', evaluate: () => '<b>37112345678</b>' },
  risky: { type: 'text', evaluate: () => '', items: ['a'] },
  since: { type: 'time', evaluate: () => Date.parse('2026-03-02T10:20:30Z') },
};
const environment: Environment = {
  resolve: (name) => (Object.hasOwn(bindings, name) ? bindings[name] : undefined),
  names: () => Object.keys(bindings),
  isNight: () => false,
  contactTime: () => Number.NaN,
  timeOfDayMs: () => 0,
  written,
  list: () => undefined,
  listNames: () => [],
};

describe('a value in a sentence', () => {
  test.each<[number | string | boolean, ValueType, string | undefined, string, string]>([
    // value, type, unit -> English, Chinese
    [12, 'number', 'count', '12', '12'],
    [0.1 + 0.2, 'number', 'none', '0.3', '0.3'],
    [1 / 3, 'number', 'currency', '0.33', '0.33'],
    [49.9, 'number', 'currency', '49.90', '49.90'],
    [40, 'number', 'currency', '40', '40'],
    [-7.5, 'number', 'currency', '-7.50', '-7.50'],
    [0.00412, 'number', 'currency', '0.0041', '0.0041'],
    [-0.001, 'number', 'none', '-0.001', '-0.001'],
    [0.57, 'number', 'share', '57%', '57%'],
    [90.5, 'number', 's', '90.5 s', '90.5秒'],
    [999, 'number', 'bytes', '999 B', '999 B'],
    [999_999, 'number', 'bytes', '1000 kB', '1000 kB'],
    [1_500_000, 'number', 'bytes', '1.5 MB', '1.5 MB'],
    [2_000_000_000, 'number', 'bytes', '2 GB', '2 GB'],
    [0, 'duration', 's', '0 s', '0秒'],
    [7_199_000, 'duration', 's', '7199 s', '7199秒'],
    [7_200_000, 'duration', 's', '2 h', '2小时'],
    [13_199_000, 'duration', 's', '3 h 39 min 59 s', '3小时39分钟59秒'],
    [86_400_000, 'duration', 's', '24 h', '24小时'],
    [172_799_999, 'duration', 's', '47 h 59 min 59 s', '47小时59分钟59秒'],
    [1_209_599_999, 'duration', 's', '13 d 23 h', '13天23小时'],
    [-604_800_000, 'duration', 's', '-7 d', '-7天'],
    [-30_000, 'duration', 's', '-30 s', '-30秒'],
    [172_800_000, 'duration', 's', '2 d', '2天'],
    [Date.parse('2026-03-02T10:20:59Z'), 'time', 'none', '2026-03-02 10:20 UTC', '2026-03-02 10:20 UTC'],
    ['A-1', 'text', 'none', 'A-1', 'A-1'],
    ['', 'text', 'none', 'n/a', '无'],
    [true, 'boolean', 'none', 'yes', '是'],
    [false, 'boolean', 'none', 'no', '否'],
    [Number.NaN, 'number', 'share', 'n/a', '无'],
    [Number.POSITIVE_INFINITY, 'duration', 's', 'n/a', '无'],
    [8.64e15 + 1, 'time', 'none', 'n/a', '无'],
    [-1e20, 'time', 'none', 'n/a', '无'],
  ])('%s as %s in %s', (value, type, unit, english, chinese) => {
    expect(formatValue(value, type, unit, 'en', written)).toBe(english);
    expect(formatValue(value, type, unit, 'zh-CN', written)).toBe(chinese);
  });

  test('no number of any type and unit throws', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e30, max: 1e30 }),
        fc.constantFrom<ValueType>('number', 'time', 'duration'),
        fc.constantFrom(undefined, 's', 'bytes', 'share', 'currency', 'count', 'none'),
        (value, type, unit) => {
          expect(formatValue(value, type, unit, 'en', written)).not.toMatch(/NaN|Infinity/);
        },
      ),
      { numRuns: 1_000 },
    );
    expect(formatNumber(1e15)).toBe('1000000000000000');
  });
});

describe('a template', () => {
  const written = (text: string): string => {
    const { template, error } = compileTemplate(text, 'en', environment, (name) =>
      name === 'sum' ? 'bytes' : undefined,
    );
    expect(error).toBeUndefined();
    return template(scope);
  };

  test.each([
    ['nothing to replace', 'nothing to replace'],
    ['', ''],
    ['{calls} calls, {sum} of {number}', '12 calls, 1.23 kB of <b>37112345678</b>'],
    ['{calls}{calls}', '1212'],
    ['a } b', 'a } b'],
    ['since {since}', 'since 2026-03-02 10:20 UTC'],
  ])('%j becomes %j', (text, expected) => {
    expect(written(text)).toBe(expected);
  });

  test('words of a record are written as an analyst says them, others as they are', () => {
    const said = (value: string): string[] =>
      (['en', 'zh-CN'] as const).map((language) => {
        const one: Environment = { ...environment, resolve: () => ({ type: 'text', evaluate: () => value }) };
        return compileTemplate('{event}, {otherNumber}', language, one, () => undefined).template(scope);
      });
    expect(said('deviceChanged')).toEqual(['change of handset, deviceChanged', '更换终端, deviceChanged']);
    expect(said('constructor')).toEqual(['constructor, constructor', 'constructor, constructor']);
    expect(ACCOUNT_EVENTS.flatMap((event) => (spoken('event', event, 'en') === undefined ? [event] : []))).toEqual([]);
    expect(RECORD_TYPES.flatMap((type) => (spoken('recordType', type, 'zh-CN') === undefined ? [type] : []))).toEqual(
      [],
    );
  });

  test('a value is put in once: braces and dollar signs in it mean nothing', () => {
    bindings['number'] = { type: 'text', evaluate: () => '{calls} $& $1' };
    expect(written('to {number}')).toBe('to {calls} $& $1');
  });

  test.each([
    ['to {¦cals}', "'cals' is not known here; did you mean 'calls'?"],
    ['to ¦{calls', "'{' is not closed"],
    ['to {¦}', "'' is not known here"],
    ['to {¦calls + 1}', "'calls + 1' is not known here"],
    ['to {¦{calls}}', "'{calls' is not known here; did you mean 'calls'?"],
    ['to {¦risky}', "'risky' is a list and has no text"],
  ])('%j: %s', (marked, message) => {
    const { error } = compileTemplate(marked.replace('¦', ''), 'en', environment, () => undefined);
    expect([error?.message, error?.at]).toEqual([message, marked.indexOf('¦')]);
  });
});

describe('one of something', () => {
  test.each([
    [' calls to listed hot ranges', ' call to listed hot ranges'],
    [' different handsets within 24 h', ' different handset within 24 h'],
    [' parties within 24 h', ' party within 24 h'],
    [' IMSIs without a subscriber', ' IMSI without a subscriber'],
    [' add-ons removed', ' add-on removed'],
    [' calls, ', ' call, '],
    [' invoices are past due', ' invoice is past due'],
    [' subscribers have called back', ' subscriber has called back'],
    [' different callers were seen', ' different caller was seen'],
    // Not the noun that the number counts, or none.
    [' SMS sent to numbers', ' SMS sent to numbers'],
    [' of 3 calls', ' of 3 calls'],
    [' incoming, 2 cells', ' incoming, 2 cells'],
    [' within 21 days', ' within 21 days'],
    ['%', '%'],
    ['', ''],
  ])('%j -> %j', (many, one) => {
    expect(singular(many)).toBe(one);
  });

  test('is written so in English where a count is 1, and nowhere else', () => {
    const one: Environment = { ...environment, resolve: () => ({ type: 'number', evaluate: () => 1 }) };
    const written = (language: 'en' | 'zh-CN', unit: string): string =>
      compileTemplate('{calls} calls within {calls} days', language, one, () => unit).template(scope);
    expect([written('en', 'count'), written('en', 'none'), written('zh-CN', 'count')]).toEqual([
      '1 call within 1 day',
      '1 calls within 1 days',
      '1 calls within 1 days',
    ]);
  });
});
