/**
 * The expression language of rules: text to syntax tree. A small subset of CEL with durations (`7d`), no loops, no
 * regular expressions, no side effects; every node knows where it stands, so that every later error has a line and column.
 *
 * ```
 * direction == 'mo' && international && durationSec > 0
 * silentFor >= max(7d, 3 * usualGap)
 * callSec >= (isNight(callStartAt) ? nightWarningSec : warningSec)
 * causeForTerm in ['failed', 'dropped']
 * ```
 *
 * Parsing never runs anything: compile.ts turns a checked tree into closures once, at load.
 */

export const EXPRESSION_LENGTH_MAX = 2_000;
export const EXPRESSION_DEPTH_MAX = 32;
export const LIST_ITEMS_MAX = 1_000;

export type BinaryOperator = '||' | '&&' | '==' | '!=' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | '/' | '%';

/** `at` is where an error about the node is shown: its first character, or its operator where it has one between two parts. */
export type Node =
  | { kind: 'number'; value: number; at: number }
  | { kind: 'duration'; valueMs: number; at: number }
  | { kind: 'text'; value: string; at: number }
  | { kind: 'boolean'; value: boolean; at: number }
  | { kind: 'name'; name: string; at: number }
  | { kind: 'unary'; operator: '!' | '-'; operand: Node; at: number }
  | { kind: 'binary'; operator: BinaryOperator; left: Node; right: Node; at: number }
  | { kind: 'conditional'; test: Node; yes: Node; no: Node; at: number }
  | { kind: 'in'; value: Node; items: Node[]; at: number }
  | { kind: 'call'; name: string; arguments: Node[]; at: number };

/** What is wrong with an expression and at which character. */
export class ExpressionError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** A map, because an object would know `constructor` as a unit. */
const UNIT_MS = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 604_800_000],
]);

/** `90s`, `1h`, `14d` to milliseconds; undefined where the text is no duration. */
export function parseDuration(text: string): number | undefined {
  let index = 0;
  while (index < text.length && ((text[index]! >= '0' && text[index]! <= '9') || text[index] === '.')) index++;
  const unit = UNIT_MS.get(text.slice(index));
  if (unit === undefined || index === 0) return undefined;
  const valueMs = Math.round(Number(text.slice(0, index)) * unit);
  return Number.isFinite(valueMs) ? valueMs : undefined;
}

type Token = {
  kind: 'number' | 'duration' | 'text' | 'name' | 'sign' | 'end';
  text: string;
  value: number;
  at: number;
};

const SIGNS = [
  '||',
  '&&',
  '==',
  '!=',
  '<=',
  '>=',
  '<',
  '>',
  '+',
  '-',
  '*',
  '/',
  '%',
  '!',
  '(',
  ')',
  '[',
  ']',
  ',',
  '?',
  ':',
];
const isDigit = (code: string): boolean => code >= '0' && code <= '9';
const isLetter = (code: string): boolean =>
  (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code === '_';

function tokenize(text: string): Token[] {
  if (text.length > EXPRESSION_LENGTH_MAX) {
    throw new ExpressionError(
      `the expression is longer than ${EXPRESSION_LENGTH_MAX} characters`,
      EXPRESSION_LENGTH_MAX,
    );
  }
  const tokens: Token[] = [];
  let index = 0;
  while (index < text.length) {
    const at = index;
    const code = text[index]!;
    if (code === ' ' || code === '\n' || code === '\t' || code === '\r') {
      index++;
    } else if (isDigit(code)) {
      while (index < text.length && (isDigit(text[index]!) || text[index] === '_')) index++;
      if (text[index] === '.' && isDigit(text[index + 1] ?? '')) {
        index++;
        while (index < text.length && isDigit(text[index]!)) index++;
      }
      const digits = text.slice(at, index).replaceAll('_', '');
      const unitAt = index;
      while (index < text.length && isLetter(text[index]!)) index++;
      if (index === unitAt) {
        if (!Number.isFinite(Number(digits))) throw new ExpressionError('the number is too large', at);
        tokens.push({ kind: 'number', text: digits, value: Number(digits), at });
      } else {
        const valueMs = parseDuration(digits + text.slice(unitAt, index));
        if (valueMs === undefined)
          throw new ExpressionError(`'${text.slice(at, index)}' is no number or duration (s, m, h, d, w)`, at);
        tokens.push({ kind: 'duration', text: text.slice(at, index), value: valueMs, at });
      }
    } else if (isLetter(code)) {
      while (index < text.length && (isLetter(text[index]!) || isDigit(text[index]!) || text[index] === '.')) index++;
      tokens.push({ kind: 'name', text: text.slice(at, index), value: 0, at });
    } else if (code === "'" || code === '"') {
      const end = text.indexOf(code, index + 1);
      if (end < 0) throw new ExpressionError('the text is not closed', at);
      tokens.push({ kind: 'text', text: text.slice(index + 1, end), value: 0, at });
      index = end + 1;
    } else {
      const sign = SIGNS.find((candidate) => text.startsWith(candidate, index));
      if (sign === undefined) throw new ExpressionError(`unexpected character '${code}'`, at);
      tokens.push({ kind: 'sign', text: sign, value: 0, at });
      index += sign.length;
    }
  }
  tokens.push({ kind: 'end', text: 'the end of the expression', value: 0, at: text.length });
  return tokens;
}

/** Binding strength of the binary operators, weakest first. */
const STRENGTH: Record<string, number> = {
  '||': 1,
  '&&': 2,
  '==': 3,
  '!=': 3,
  in: 3,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
}; // prettier-ignore

/** Parses one expression. Throws ExpressionError with the character where it goes wrong. */
export function parseExpression(text: string): Node {
  const tokens = tokenize(text);
  let position = 0;
  const peek = (): Token => tokens[position]!;
  const isSign = (sign: string): boolean => peek().kind === 'sign' && peek().text === sign;
  const expect = (sign: string): void => {
    if (!isSign(sign)) throw new ExpressionError(`expected '${sign}' before ${describe(peek())}`, peek().at);
    position++;
  };
  const describe = (token: Token): string => (token.kind === 'end' ? token.text : `'${token.text}'`);
  const list = (close: string, depth: number): Node[] => {
    const items: Node[] = [];
    while (!isSign(close)) {
      if (items.length > 0) expect(',');
      if (items.length >= LIST_ITEMS_MAX) throw new ExpressionError(`more than ${LIST_ITEMS_MAX} items`, peek().at);
      items.push(conditional(depth + 1));
    }
    expect(close);
    return items;
  };

  const primary = (depth: number): Node => {
    const token = peek();
    if (depth > EXPRESSION_DEPTH_MAX)
      throw new ExpressionError(`nested deeper than ${EXPRESSION_DEPTH_MAX} levels`, token.at);
    position++;
    switch (token.kind) {
      case 'number':
        return { kind: 'number', value: token.value, at: token.at };
      case 'duration':
        return { kind: 'duration', valueMs: token.value, at: token.at };
      case 'text':
        return { kind: 'text', value: token.text, at: token.at };
      case 'name':
        if (token.text === 'true' || token.text === 'false') {
          return { kind: 'boolean', value: token.text === 'true', at: token.at };
        }
        if (isSign('(')) {
          position++;
          return { kind: 'call', name: token.text, arguments: list(')', depth), at: token.at };
        }
        return { kind: 'name', name: token.text, at: token.at };
      case 'sign':
        if (token.text === '!' || token.text === '-') {
          return { kind: 'unary', operator: token.text, operand: primary(depth + 1), at: token.at };
        }
        if (token.text === '(') {
          const inner = conditional(depth + 1);
          expect(')');
          return inner;
        }
    }
    throw new ExpressionError(`expected a value before ${describe(token)}`, token.at);
  };

  const binary = (weakest: number, depth: number): Node => {
    let left = primary(depth);
    for (;;) {
      const token = peek();
      const operator = token.kind === 'sign' || (token.kind === 'name' && token.text === 'in') ? token.text : '';
      const strength = STRENGTH[operator] ?? 0;
      if (strength === 0 || strength < weakest) return left;
      position++;
      if (operator === 'in') {
        if (isSign('[')) {
          position++;
          left = { kind: 'in', value: left, items: list(']', depth), at: token.at };
        } else {
          // A parameter that holds a list.
          const name = primary(depth + 1);
          left = { kind: 'in', value: left, items: [name], at: token.at };
        }
        continue;
      }
      const right = binary(strength + 1, depth + 1);
      left = { kind: 'binary', operator: operator as BinaryOperator, left, right, at: token.at };
    }
  };

  const conditional = (depth: number): Node => {
    const test = binary(1, depth);
    if (!isSign('?')) return test;
    const at = peek().at;
    position++;
    const yes = conditional(depth + 1);
    expect(':');
    const no = conditional(depth + 1);
    return { kind: 'conditional', test, yes, no, at };
  };

  const root = conditional(0);
  if (peek().kind !== 'end') throw new ExpressionError(`unexpected ${describe(peek())}`, peek().at);
  return root;
}

/** All names that a tree mentions. */
export function namesIn(node: Node, into: Set<string> = new Set()): Set<string> {
  switch (node.kind) {
    case 'name':
      into.add(node.name);
      break;
    case 'unary':
      namesIn(node.operand, into);
      break;
    case 'binary':
      namesIn(node.left, into);
      namesIn(node.right, into);
      break;
    case 'conditional':
      namesIn(node.test, into);
      namesIn(node.yes, into);
      namesIn(node.no, into);
      break;
    case 'in':
      namesIn(node.value, into);
      for (const item of node.items) namesIn(item, into);
      break;
    case 'call':
      for (const argument of node.arguments) namesIn(argument, into);
      break;
  }
  return into;
}

/** One text per meaning: white space and redundant brackets do not count. Equal texts share state. */
export function canonical(node: Node): string {
  switch (node.kind) {
    case 'number':
      return String(node.value);
    case 'duration':
      return `${node.valueMs}ms`;
    case 'text':
      return JSON.stringify(node.value);
    case 'boolean':
      return String(node.value);
    case 'name':
      return node.name;
    case 'unary':
      return `${node.operator}${canonical(node.operand)}`;
    case 'binary':
      return `(${canonical(node.left)}${node.operator}${canonical(node.right)})`;
    case 'conditional':
      return `(${canonical(node.test)}?${canonical(node.yes)}:${canonical(node.no)})`;
    case 'in':
      return `(${canonical(node.value)} in [${node.items.map(canonical).join()}])`;
    case 'call':
      return `${node.name}(${node.arguments.map(canonical).join()})`;
  }
}

/**
 * Does `weak` hold whenever `strong` does, as far as the form tells? `a >= 5 && b` implies `a >= 3`. False where it cannot be
 * seen. `constantOf` gives the number that a node stands for, where it is the same for every record.
 */
export function implies(strong: Node, weak: Node, constantOf: (node: Node) => number | undefined): boolean {
  if (canonical(strong) === canonical(weak)) return true;
  if (weak.kind === 'binary' && weak.operator === '&&') {
    return implies(strong, weak.left, constantOf) && implies(strong, weak.right, constantOf);
  }
  if (strong.kind === 'binary' && strong.operator === '||') {
    return implies(strong.left, weak, constantOf) && implies(strong.right, weak, constantOf);
  }
  if (
    strong.kind === 'binary' &&
    strong.operator === '&&' &&
    (implies(strong.left, weak, constantOf) || implies(strong.right, weak, constantOf))
  ) {
    return true;
  }
  if (weak.kind !== 'binary') return false;
  if (weak.operator === '||') {
    return implies(strong, weak.left, constantOf) || implies(strong, weak.right, constantOf);
  }
  if (strong.kind !== 'binary' || canonical(strong.left) !== canonical(weak.left)) return false;
  const more = constantOf(strong.right);
  const less = constantOf(weak.right);
  if (more === undefined || less === undefined) return false;
  switch (weak.operator) {
    case '>=':
      return (strong.operator === '>=' || strong.operator === '>') && more >= less;
    case '>':
      return strong.operator === '>' ? more >= less : strong.operator === '>=' && more > less;
    case '<=':
      return (strong.operator === '<=' || strong.operator === '<') && more <= less;
    case '<':
      return strong.operator === '<' ? more <= less : strong.operator === '<=' && more < less;
    default:
      return false;
  }
}
