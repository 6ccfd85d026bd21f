import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canonical,
  EXPRESSION_DEPTH_MAX,
  EXPRESSION_LENGTH_MAX,
  ExpressionError,
  LIST_ITEMS_MAX,
  type Node,
  namesIn,
  parseDuration,
  parseExpression,
} from '../src/rules/expression.ts';
import { cases } from './cases.ts';

/** The expression with a marker removed, and where the marker stood. */
function marked(text: string): { text: string; at: number } {
  return { text: text.replace('¦', ''), at: text.indexOf('¦') };
}

function errorOf(text: string): ExpressionError {
  try {
    parseExpression(text);
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  return expect.fail(`'${text}' was accepted`);
}

describe('an expression', () => {
  test.each([
    ['a', 'a'],
    ['1_000.5', '1000.5'],
    ["'x y'", '"x y"'],
    ['"it\'s"', '"it\'s"'],
    ['true && false', '(true&&false)'],
    ['90s', '90000ms'],
    ['1.5h', '5400000ms'],
    ['a+b*c', '(a+(b*c))'],
    ['a*b+c', '((a*b)+c)'],
    ['a-b-c', '((a-b)-c)'],
    ['a/b/c', '((a/b)/c)'],
    ['a%2 == 0', '((a%2)==0)'],
    ['a < b == c > d', '((a<b)==(c>d))'],
    ['a || b && c', '(a||(b&&c))'],
    ['(a || b) && c', '((a||b)&&c)'],
    ['!a && b', '(!a&&b)'],
    ['-a * b', '(-a*b)'],
    ['!!a', '!!a'],
    ['a ? b : c ? d : e', '(a?b:(c?d:e))'],
    ['a && b ? c + 1 : d', '((a&&b)?(c+1):d)'],
    ['x in [1, 2] && y', '((x in [1,2])&&y)'],
    ['x in risky', '(x in [risky])'],
    ['x in []', '(x in [])'],
    ['max(7d, 3 * usualGap)', 'max(604800000ms,(3*usualGap))'],
    ['f()', 'f()'],
    ['ledger.pastDue >= 10d', '(ledger.pastDue>=864000000ms)'],
    [' a\n\t&&\r\n b ', '(a&&b)'],
  ])('%j means %s', (text, expected) => {
    expect(canonical(parseExpression(text))).toBe(expected);
  });

  test.each([
    // ¦ stands before the character that the error points at
    ['¦', 'expected a value before the end of the expression'],
    ['a &&¦', 'expected a value before the end of the expression'],
    ['a && ¦&& b', "expected a value before '&&'"],
    ['a ¦b', "unexpected 'b'"],
    ['(a¦', "expected ')' before the end of the expression"],
    ['a¦)', "unexpected ')'"],
    ['f(a ¦b)', "expected ',' before 'b'"],
    ['f(a, ¦)', "expected a value before ')'"],
    ['x in [1, ¦]', "expected a value before ']'"],
    ['x in ¦', 'expected a value before the end of the expression'],
    ['a ? b¦', "expected ':' before the end of the expression"],
    ['a ¦= b', "unexpected character '='"],
    ['a ¦& b', "unexpected character '&'"],
    ['a == ¦“x”', "unexpected character '“'"],
    ["a == ¦'x", 'the text is not closed'],
    ['a >= ¦7days', "'7days' is no number or duration (s, m, h, d, w)"],
    ['a >= ¦7constructor', "'7constructor' is no number or duration (s, m, h, d, w)"],
    ['a >= ¦1e5', "'1e' is no number or duration (s, m, h, d, w)"],
    ['a >= 1¦.', "unexpected character '.'"],
    ['a >= ¦.5', "unexpected character '.'"],
    [`a > ¦${'9'.repeat(400)}`, 'the number is too large'],
    ['a ¦\u0000', "unexpected character '\u0000'"],
    ['¦一 > 2', "unexpected character '一'"],
    ['a ==¦= b', "unexpected character '='"],
  ])('%j: %s', (expression, message) => {
    const { text, at } = marked(expression);
    const error = errorOf(text);
    expect(error.message).toBe(message);
    expect(error.at).toBe(at);
  });

  test('names are found wherever they stand', () => {
    const node = parseExpression("a.b > 1 ? !c : d in [e, 'f'] || max(g, -h) == i");
    expect([...namesIn(node)]).toEqual(['a.b', 'c', 'd', 'e', 'g', 'h', 'i']);
  });

  test.each([
    ['90s', 90_000],
    ['1500ms', 1_500],
    ['15m', 900_000],
    ['1.5h', 5_400_000],
    ['14d', 1_209_600_000],
    ['2w', 1_209_600_000],
    ['0s', 0],
    ['0.0004s', 0],
    ['7', undefined],
    ['d', undefined],
    ['', undefined],
    ['-7d', undefined],
    ['7 d', undefined],
    ['7D', undefined],
    ['1.2.3s', undefined],
    ['.s', undefined],
    [`${'9'.repeat(308)}w`, undefined],
    ['5constructor', undefined],
    ['5__proto__', undefined],
  ])('duration %j is %s ms', (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });
});

describe('hostile expressions', () => {
  test.each([
    ['brackets', `${'('.repeat(EXPRESSION_DEPTH_MAX + 2)}a${')'.repeat(EXPRESSION_DEPTH_MAX + 2)}`],
    ['negations', `${'!'.repeat(1_000)}a`],
    ['calls', 'f('.repeat(600)],
    ['conditions', 'a?'.repeat(900)],
    ['else branches', `${'a?b:'.repeat(400)}c`],
    ['lists', 'a in ['.repeat(300)],
    ['powers of the right side', `${'a==(b+'.repeat(100)}`],
  ])('nested %s are refused, not followed', (_what, text) => {
    expect(errorOf(text).message).toBe(`nested deeper than ${EXPRESSION_DEPTH_MAX} levels`);
  });

  test('length and items have a limit', () => {
    expect(errorOf('a'.repeat(EXPRESSION_LENGTH_MAX + 1)).message).toContain('longer than');
    expect(parseExpression('a'.repeat(EXPRESSION_LENGTH_MAX)).kind).toBe('name');
    const list = (count: number): string => `a in [${Array(count).fill('1').join()}]`;
    expect(() => parseExpression(list(990))).not.toThrow();
    expect(LIST_ITEMS_MAX * 2).toBeGreaterThanOrEqual(EXPRESSION_LENGTH_MAX);
  });

  test('a long chain of operators is no depth', () => {
    const chain = Array(400).fill('a').join(' && ');
    expect(namesIn(parseExpression(chain)).size).toBe(1);
  });

  test('no text makes the parser throw anything but its own error, with a place inside the text', () => {
    const words = [
      'a',
      'in',
      'true',
      '1',
      '7d',
      "'",
      '"',
      '(',
      ')',
      '[',
      ']',
      ',',
      '?',
      ':',
      '!',
      '-',
      '&&',
      '||',
      '==',
      '<',
      ' ',
      '.',
      '_',
      '999',
      'f(',
      '一',
      '\ud800',
      '\n',
    ];
    const soup = fc.oneof(
      fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(...'()[]!-?:,a1'), maxLength: 300 }),
    );
    fc.assert(
      fc.property(soup, (text) => {
        try {
          const node = parseExpression(text);
          // What was accepted has one meaning: its canonical form parses to itself, but for the marks of durations.
          canonical(node);
          namesIn(node);
        } catch (error) {
          if (!(error instanceof ExpressionError)) throw error;
          expect(error.at).toBeGreaterThanOrEqual(0);
          expect(error.at).toBeLessThanOrEqual(text.length);
          expect(error.message).not.toBe('');
        }
      }),
      { numRuns: cases(4_000) },
    );
  });
});

describe('parsing what a tree says', () => {
  const name = fc.constantFrom('a', 'b', 'ledger.unpaid', 'in_', 'truely');
  const { tree } = fc.letrec<{ tree: Node }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, depthIdentifier: 'tree' },
      name.map((one): Node => ({ kind: 'name', name: one, at: 0 })),
      fc.integer({ min: 0, max: 99_999 }).map((n): Node => ({ kind: 'number', value: n / 100, at: 0 })),
      fc.integer({ min: 0, max: 900 }).map((n): Node => ({ kind: 'duration', valueMs: n * 1_000, at: 0 })),
      fc
        .string({ unit: 'grapheme', maxLength: 6 })
        .map((text): Node => ({ kind: 'text', value: text.replaceAll("'", ''), at: 0 })),
      fc.boolean().map((value): Node => ({ kind: 'boolean', value, at: 0 })),
      fc
        .tuple(fc.constantFrom('!' as const, '-' as const), tie('tree'))
        .map(([operator, operand]): Node => ({ kind: 'unary', operator, operand, at: 0 })),
      fc
        .tuple(
          fc.constantFrom('||', '&&', '==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%'),
          tie('tree'),
          tie('tree'),
        )
        .map(([operator, left, right]): Node => ({ kind: 'binary', operator, left, right, at: 0 })),
      fc
        .tuple(tie('tree'), tie('tree'), tie('tree'))
        .map(([yes, test, no]): Node => ({ kind: 'conditional', test, yes, no, at: 0 })),
      fc
        .tuple(tie('tree'), fc.array(tie('tree'), { maxLength: 3 }))
        .map(([value, items]): Node => ({ kind: 'in', value, items, at: 0 })),
      fc
        .tuple(name, fc.array(tie('tree'), { maxLength: 3 }))
        .map(([one, list]): Node => ({ kind: 'call', name: one, arguments: list, at: 0 })),
    ),
  }));

  /** Every part in brackets of its own, so that nothing depends on which operator binds closer. */
  const written = (node: Node): string => {
    switch (node.kind) {
      case 'name':
        return node.name;
      case 'number':
      case 'boolean':
        return String(node.value);
      case 'duration':
        return `${node.valueMs}ms`;
      case 'text':
        return `'${node.value}'`;
      case 'unary':
        return `${node.operator} (${written(node.operand)})`;
      case 'binary':
        return `(${written(node.left)}) ${node.operator}\n(${written(node.right)})`;
      case 'conditional':
        return `(${written(node.test)}) ? (${written(node.yes)}) : (${written(node.no)})`;
      case 'in':
        return `(${written(node.value)}) in [ ${node.items.map(written).join(' , ')} ]`;
      case 'call':
        return `${node.name}( ${node.arguments.map(written).join(' , ')} )`;
    }
  };

  test('gives the tree back', () => {
    fc.assert(
      fc.property(tree, (node) => {
        const text = written(node);
        fc.pre(text.length <= EXPRESSION_LENGTH_MAX);
        expect(canonical(parseExpression(text))).toBe(canonical(node));
      }),
      { numRuns: cases(500) },
    );
  });
});
