import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLANK_RECORD, type UsageRecord } from '../src/record/usage-record.ts';
import { parseLists } from '../src/reference/lists.ts';
import {
  type Binding,
  compileExpression,
  type Environment,
  FUNCTIONS,
  unknownName,
  type Value,
  type ValueType,
} from '../src/rules/compile.ts';
import { ExpressionError, parseExpression } from '../src/rules/expression.ts';
import { RECORD_NAMES } from '../src/rules/names.ts';
import { cases } from './cases.ts';
import { createKeyState } from './key-state.ts';

const { scope } = createKeyState();
const HOUR_MS = 3_600_000;

/** What the expressions of this file may name; `un...` are those that are not known. */
const bindings: Record<string, Binding> = {
  n: { type: 'number', evaluate: () => 4 },
  zero: { type: 'number', evaluate: () => 0 },
  unNumber: { type: 'number', evaluate: () => Number.NaN },
  text: { type: 'text', evaluate: () => 'abc' },
  unText: { type: 'text', evaluate: () => '' },
  yes: { type: 'boolean', evaluate: () => true },
  no: { type: 'boolean', evaluate: () => false },
  at: { type: 'time', evaluate: () => 10 * HOUR_MS },
  unTime: { type: 'time', evaluate: () => Number.NaN },
  wait: { type: 'duration', evaluate: () => 7 * 24 * HOUR_MS },
  unWait: { type: 'duration', evaluate: () => Number.NaN },
  limit: { type: 'number', evaluate: () => 4, constant: 4 },
  words: { type: 'text', evaluate: () => '', items: ['abc', 'def', ''] },
  numbers: { type: 'number', evaluate: () => 0, items: [1, 4] },
};
const { lists } = parseLists([
  { file: 'lists/hot.csv', text: 'kind,value,class,ratePerMin\nsender,abc,loud,0.25\n' },
  { file: 'lists/far.csv', text: 'kind,value\nprefix,44\n' },
]);
const environment: Environment = {
  resolve: (name) => (Object.hasOwn(bindings, name) ? bindings[name] : undefined),
  names: () => Object.keys(bindings),
  isNight: (epochMs) => epochMs < 6 * HOUR_MS,
  contactTime: (_scope, at, { fromMs }) => at + fromMs,
  timeOfDayMs: (epochMs) => epochMs % (24 * HOUR_MS),
  written: () => '',
  list: (name) => lists.get(name),
  listNames: () => lists.names(),
};
const compiled = (text: string, expected?: ValueType) =>
  compileExpression(parseExpression(text), environment, expected);
const resultOf = (text: string): Value => compiled(text).evaluate(scope);

function errorOf(text: string, expected?: ValueType): ExpressionError {
  try {
    compiled(text, expected);
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  return expect.fail(`'${text}' was accepted`);
}

describe('values', () => {
  test.each<[string, Value]>([
    ['n + 2 * 3', 10],
    ['-n', -4],
    ['n % 3', 1],
    ['n / 8', 0.5],
    // As decimal numbers, not as a computer has them.
    ['39.92 / 49.9 <= 0.8', true],
    ['0.88 / 1.1 >= 0.8', true],
    ['1.4 / 7 == 0.2', true],
    ['60.1 - 40.1 == 20', true],
    ['0.1 + 0.2 == 0.3', true],
    ['33.33 * 1.1 == 36.663', true],
    ['400000.1 - 399999.8 == 0.3', true],
    ['95000000100 / 100000000000 > 0.95', true],
    ['0 - 0.88 / 1.1 == 0 - 0.8', true],
    ['3000000.1 * 1 == 3000000.1', true],
    ['wait / 1d', 7],
    ['wait / 2 == 84h', true],
    ['2 * wait == wait * 2', true],
    ['at - at == 0s', true],
    ['at + 1h > at', true],
    ['1h + at == at + 1h', true],
    ['at - 1h < at', true],
    ['min(n, 2, 9)', 2],
    ['max(n, 2, 9)', 9],
    ['abs(-3)', 3],
    ['sigmoid(0)', 0.5],
    ['sigmoid(-1000)', 0],
    ['text == "abc"', true],
    ['text != "abc"', false],
    ['text == text', true],
    ['"abc" == text', true],
    ['yes == !no', true],
    ['yes != no', true],
    ['text in ["x", "abc"]', true],
    ['text in words', true],
    ['n in numbers', true],
    ['n in [limit]', true],
    ['-4 in [-4, 4]', true],
    ['1d in [24h]', true],
    ['n > 3 ? text : "none"', 'abc'],
    ['startsWith(text, "ab")', true],
    ['startsWith(text, "b")', false],
    ["isNumeric('0010')", true],
    ["isNumeric('ACME')", false],
    ["isNumeric('86139a')", false],
    ["isNumeric('')", false],
    ['isNight(at)', false],
    ['isNight(at - 5h)', true],
    ['timeOfDay(at) >= 10h && timeOfDay(at) < 601m', true],
    ["inList(text, 'hot')", true],
    ["inList(text, 'far')", false],
    ["inList(unText, 'hot')", false],
    ["fromList(text, 'hot', 'class') == 'loud'", true],
    ["fromList(text, 'hot', 'ratePerMin')", 0.25],
    ["has(fromList(text, 'far', 'ratePerMin'))", false],
    ['has(n) && has(text) && has(at) && has(zero)', true],
    ['yes && no || yes', true],
    ['n >= 4 && n <= 4 && !(n > 4) && !(n < 4)', true],
  ])('%s is %j', (text, value) => {
    expect(resultOf(text)).toBe(value);
  });

  test.each<[string, ValueType]>([
    ['at - at', 'duration'],
    ['at - 1h', 'time'],
    ['wait + wait', 'duration'],
    ['wait * 3', 'duration'],
    ['wait / 3', 'duration'],
    ['wait / wait', 'number'],
    ['max(7d, 3 * wait)', 'duration'],
    ['yes ? 1d : wait', 'duration'],
    ['n in [1]', 'boolean'],
  ])('%s is a %s', (text, type) => {
    expect(compiled(text).type).toBe(type);
  });
});

describe('what is not known', () => {
  const operators = ['==', '!=', '<', '<=', '>', '>='];
  test.each([
    'unNumber OP 3',
    '3 OP unNumber',
    'unNumber OP unNumber',
    'unWait OP 1d',
    'unTime OP at',
    'at OP unTime',
    'zero / zero OP 1',
    'n / zero OP 1',
    'n / unNumber OP 1',
    'at - unTime OP 1h',
    '-unNumber OP 1',
    'n % zero OP 1',
  ])('makes `%s` false for every comparison', (form) => {
    expect(operators.filter((operator) => resultOf(form.replace('OP', operator)))).toEqual([]);
  });

  test.each([
    'unText == "abc"',
    'unText != "abc"',
    '"abc" != unText',
    'unText == unText',
    'unText != unText',
    'unText == ""',
    'text != unText',
    'unText in words',
    'unText in [""]',
    'unNumber in numbers',
    'startsWith(unText, "a")',
    'startsWith(text, unText)',
    'startsWith(unText, unText)',
    'isNight(unTime)',
    'has(unNumber)',
    'has(unText)',
    'has(unTime)',
  ])('makes `%s` false', (text) => {
    expect(resultOf(text)).toBe(false);
  });

  test('is left out of min and max', () => {
    expect(resultOf('max(7d, 3 * unWait) == 7d')).toBe(true);
    expect(resultOf('min(unNumber, 5, unNumber, 3)')).toBe(3);
    expect(resultOf('max(unNumber, unNumber)')).toBeNaN();
  });

  test('holds for every field of a record that says nothing', () => {
    const blank = { ...scope, record: BLANK_RECORD };
    const records: Environment = { ...environment, resolve: (name) => RECORD_NAMES[name] };
    const known = [
      'recordType',
      'outcome',
      'zeroRated',
      'otherIsNumber',
      'international',
      'roaming',
      'night',
      'weekend',
      'holiday',
      'attributes.dualSim',
      'attributes.resolved',
    ];
    for (const [name, { type }] of Object.entries(RECORD_NAMES)) {
      if (known.includes(name)) continue;
      const other = type === 'text' ? "'x'" : type === 'number' ? '0' : 'eventTime';
      for (const operator of type === 'text' ? ['==', '!='] : operators) {
        const { evaluate } = compileExpression(parseExpression(`${name} ${operator} ${other}`), records);
        expect([name, operator, evaluate(blank)]).toEqual([name, operator, false]);
      }
    }
  });
});

describe('types', () => {
  test.each([
    // ¦ stands before the character that the error points at
    ['wait ¦>= 7', "a duration cannot be compared with a number ('(wait>=7)')"],
    ['n ¦== "4"', 'a number cannot be compared with a text (\'(n=="4")\')'],
    ['at ¦> 1h', "a time cannot be compared with a duration ('(at>3600000ms)')"],
    ['text ¦< "b"', "'<' does not compare texts"],
    ['yes ¦>= no', "'>=' does not compare booleans"],
    ['¦n && yes', "expected a condition, 'n' is a number"],
    ['yes || ¦text', "expected a condition, 'text' is a text"],
    ['!¦n', "expected a condition, 'n' is a number"],
    ['¦n ? 1 : 2', "expected a condition, 'n' is a number"],
    ['yes ¦? 1 : "b"', 'the branches are a number and a text'],
    ['at ¦+ at', 'time + time means nothing'],
    ['n ¦- wait', 'number - duration means nothing'],
    ['wait ¦* wait', 'duration * duration means nothing'],
    ['n ¦/ wait', 'number / duration means nothing'],
    ['wait ¦% 2', 'duration % number means nothing'],
    ['n + ¦text', "expected a number, 'text' is a text"],
    ['¦-text', 'a text has no negative'],
    ['¦-at', 'a time has no negative'],
    ['n > 1 && ¦nn > 2', "'nn' is not known here; did you mean 'n'?"],
    ['¦txet == "abc"', "'txet' is not known here; did you mean 'text'?"],
    ['¦velocity > 3', "'velocity' is not known here"],
    ['¦constructor == "x"', "'constructor' is not known here"],
    ['¦__proto__ == "x"', "'__proto__' is not known here"],
    ['¦words == "abc"', "'words' is a list: use it after 'in'"],
    ['n ¦in words', 'a list of texts does not hold a number'],
    ['n in [1, ¦"a"]', 'a text in a list of numbers'],
    ['n in [1, ¦zero]', 'the items of a list must be fixed values'],
    ['n in ¦zero', 'the items of a list must be fixed values'],
    ['¦avg(n)', `there is no function avg(); known are ${FUNCTIONS.join(', ')}`],
    ['¦toString()', `there is no function toString(); known are ${FUNCTIONS.join(', ')}`],
    ['¦min(n)', 'min() takes 2 to 8 arguments'],
    ['¦max(n,n,n,n,n,n,n,n,n)', 'max() takes 2 to 8 arguments'],
    ['¦abs()', 'abs() takes 1 argument'],
    ['¦sigmoid(5d)', 'sigmoid() takes a number'],
    ['max(n, ¦wait)', 'max() of a number and a duration'],
    ['min(n, ¦text)', "expected a number, 'text' is a text"],
    ['has(¦yes)', 'has() takes a value, not a condition'],
    ['¦startsWith(text, n)', 'startsWith() takes two texts'],
    ['¦isNight(n)', 'isNight() takes a time'],
    ['¦isNumeric(n)', 'isNumeric() takes a text'],
    ['¦timeOfDay(wait)', 'timeOfDay() takes a time'],
    ["inList(¦n, 'hot')", "a list is asked for a text, 'n' is a number"],
    ["inList(text, ¦'hut')", "there is no list 'hut'; did you mean 'hot'?"],
    ["inList(text, ¦'elsewhere')", "there is no list 'elsewhere'; known are hot, far"],
    ['inList(text, ¦text)', 'the name of a list must be a fixed text'],
    [
      "fromList(text, 'hot', ¦'colour')",
      "a list has no column 'colour' to read; known are kind, class, latitude, longitude, ratePerMin",
    ],
    ["¦fromList(text, 'hot')", 'fromList() takes 3 arguments'],
  ])('%j: %s', (marked, message) => {
    const error = errorOf(marked.replace('¦', ''));
    expect([error.message, error.at]).toEqual([message, marked.indexOf('¦')]);
  });

  test('what an expression must be is said as well', () => {
    expect(errorOf('n + 1', 'boolean').message).toBe("expected a boolean, '(n+1)' is a number");
    expect(errorOf('wait', 'time').message).toBe("expected a time, 'wait' is a duration");
    expect(compiled('at + wait', 'time').evaluate(scope)).toBe(10 * HOUR_MS + 7 * 24 * HOUR_MS);
  });

  test('what the type check accepts never throws and gives its type', () => {
    const word = fc.constantFrom(
      ...Object.keys(bindings),
      '1',
      '0',
      '7d',
      "'abc'",
      "''",
      'true',
      '(',
      ')',
      ',',
      '&&',
      '||',
      '==',
      '!=',
      '<',
      '>=',
      '+',
      '-',
      '*',
      '/',
      '%',
      '!',
      '?',
      ':',
      'in',
      '[',
      ']',
      'max(',
      'has(',
      'abs(',
      'isNight(',
    );
    let accepted = 0;
    const check = (text: string): void => {
      let result: ReturnType<typeof compiled>;
      try {
        result = compiled(text);
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        return;
      }
      accepted++;
      const value = result.evaluate(scope);
      expect(typeof value).toBe(result.type === 'text' ? 'string' : result.type === 'boolean' ? 'boolean' : 'number');
    };
    const leaf = fc.constantFrom(...Object.keys(bindings), '1', '0', '7d', "'abc'", 'true');
    const { tree } = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3, depthIdentifier: 'tree' },
        leaf,
        fc
          .tuple(
            tie('tree'),
            fc.constantFrom('&&', '||', '==', '!=', '<', '>=', '+', '-', '*', '/', '%', 'in'),
            tie('tree'),
          )
          .map((parts) => `(${parts.join(' ')})`),
        fc.tuple(tie('tree'), tie('tree'), tie('tree')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
        fc.tuple(fc.constantFrom('!', '-', 'has', 'abs', 'isNight'), tie('tree')).map(([sign, a]) => `${sign}(${a})`),
        fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `max(${a}, ${b})`),
      ),
    }));
    fc.assert(
      fc.property(
        fc.oneof(
          tree,
          fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
        ),
        check,
      ),
      { numRuns: cases(4_000) },
    );
    expect(accepted).toBeGreaterThan(200);
  });
});

describe('names of a record', () => {
  const record: UsageRecord = {
    ...BLANK_RECORD,
    durationMs: 4_350,
    chargeMicros: 100_000,
    amountMicros: 49_990_000,
    bytesUp: 2_000,
    bytesDown: 3_000,
    otherNumber: '1390000',
    attributes: { creditLimit: 80, planId: 'M', resolved: true, tier: 7, contractEndAt: '2026' },
  };
  test.each<[string, Value]>([
    ['durationSec >= 4.35', true],
    ['charge >= 0.1', true],
    ['amount >= 49.99', true],
    ['amount == 49.99', true],
    ['bytes == 5000', true],
    ['attributes.creditLimit >= 80', true],
    ["attributes.planId == 'M'", true],
    ['attributes.resolved', true],
    // A field of another type than it should have is not known.
    ["attributes.tier != 'vip'", false],
    ['attributes.contractEndAt > eventTime', false],
    ['has(attributes.monthlyFee)', false],
    ['has(attributes.resolved)', true],
    ['has(attributes.dualSim)', false],
    ['otherIsNumber', true],
  ])('%s is %j', (text, value) => {
    const { evaluate } = compileExpression(parseExpression(text), {
      ...environment,
      resolve: (name) => RECORD_NAMES[name],
    });
    expect(evaluate({ ...scope, record })).toBe(value);
  });

  test.each(['', '110', '139000', 'BANK', '1390000A', '+1390000'])('%j is no telephone number', (otherNumber) => {
    expect(RECORD_NAMES['otherIsNumber']!.evaluate({ ...scope, record: { ...BLANK_RECORD, otherNumber } })).toBe(false);
  });

  test('every amount in cents reaches the threshold that is written like it', () => {
    const charge = RECORD_NAMES['charge']!.evaluate;
    const duration = RECORD_NAMES['durationSec']!.evaluate;
    const wrong: number[] = [];
    for (let cents = 0; cents <= 200_000; cents++) {
      const written = Number(`${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`);
      const own = { ...scope, record: { ...BLANK_RECORD, chargeMicros: cents * 10_000, durationMs: cents * 10 } };
      if (charge(own) !== written || duration(own) !== written) wrong.push(cents);
    }
    expect(wrong).toEqual([]);
  });
});

describe('a suggestion', () => {
  test.each([
    ['durationSecs', ['durationSec', 'eventTime'], "'durationSecs' is not known here; did you mean 'durationSec'?"],
    ['DURATIONSEC', ['durationSec'], "'DURATIONSEC' is not known here; did you mean 'durationSec'?"],
    ['overdu', ['overdue', 'unpaid'], "'overdu' is not known here; did you mean 'overdue'?"],
    ['abc', ['xyz'], "'abc' is not known here"],
    ['abc', [], "'abc' is not known here"],
  ])('for %s among %j', (name, known, message) => {
    expect(unknownName(name, known)).toBe(message);
  });
});
