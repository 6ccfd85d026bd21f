/**
 * Checks the types of an expression and turns it into one closure. Done once at load; per record only closures run
 * (17 ns for a condition of four terms, where interpreters of the same language take 200 to 1,700 ns).
 *
 * Types: number, boolean, text, time (epoch ms), duration (ms). `time - time` is a duration, a duration divided by a
 * duration is a number, and a bare number is never compared with a duration: `silentFor >= 7` is refused, `7d` is meant.
 *
 * Not known: a missing number is NaN and a missing text is `''`. Every comparison with one of them is false, `!=` too.
 */
import type { ContactHours } from '../reference/contact-hours.ts';
import {
  NUMBER_COLUMNS,
  type NumberColumn,
  type ReferenceList,
  TEXT_COLUMNS,
  type TextColumn,
} from '../reference/lists.ts';
import type { Scope } from '../state/operator.ts';
import { canonical, ExpressionError, type Node } from './expression.ts';

export type ValueType = 'number' | 'boolean' | 'text' | 'time' | 'duration';
export type Value = number | boolean | string;

export interface Compiled<T extends Value = Value> {
  type: ValueType;
  evaluate: (scope: Scope) => T;
  /** The same for every record: a literal or a parameter. */
  constant?: Value;
  /** A parameter that is `off`: of no type and never known, so no comparison with it holds. */
  off?: true;
}

export interface Binding extends Compiled {
  /** A list parameter, usable on the right of `in` only. */
  items?: Value[];
  /** Was it given? For booleans of which false does not say whether they were. */
  given?: (scope: Scope) => boolean;
}

/** What the names of an expression stand for. */
export interface Environment {
  resolve(name: string): Binding | undefined;
  /** Names for the "did you mean" of an error. */
  names(): string[];
  isNight(epochMs: number): boolean;
  /** When the key of this look may be contacted for what happened at `at`; see contact-hours.ts. */
  contactTime(scope: Scope, at: number, hours: ContactHours): number;
  /** Since local midnight, ms. */
  timeOfDayMs(epochMs: number): number;
  /** A time as texts have it, by the operator's clock; '' where no calendar has it. */
  written(epochMs: number): string;
  /** The reference list of this name, and which there are. */
  list(name: string): ReferenceList | undefined;
  listNames(): string[];
}

/** What a parameter that is `off` means. */
export const OFF: Compiled = { type: 'number', evaluate: () => Number.NaN, off: true };

type NumberOf = (scope: Scope) => number;
type BooleanOf = (scope: Scope) => boolean;
type TextOf = (scope: Scope) => string;

export const FUNCTIONS = [
  'min',
  'max',
  'abs',
  'sigmoid',
  'has',
  'startsWith',
  'isNumeric',
  'isNight',
  'contactTime',
  'timeOfDay',
  'inList',
  'fromList',
] as const;

/**
 * 39.92 of 49.90 is 0.8 and not a trifle more: thresholds are decimal numbers, as money is. Below a million a sum is rounded to nine
 * decimals, which a double still holds; products and quotients below a thousand to twelve, because shares may be that fine.
 */
const settledSum = (value: number): number => (value < 1e6 && value > -1e6 ? Math.round(value * 1e9) / 1e9 : value);
const settled = (value: number): number =>
  value < 1e3 && value > -1e3 ? Math.round(value * 1e12) / 1e12 : settledSum(value);

const NUMERIC: readonly ValueType[] = ['number', 'time', 'duration'];

export function compileExpression(root: Node, environment: Environment, expected?: ValueType): Compiled {
  const fail = (message: string, at: number): never => {
    throw new ExpressionError(message, at);
  };

  const numbers = (node: Node): { type: ValueType; read: NumberOf } => {
    const { type, evaluate } = compile(node);
    if (!NUMERIC.includes(type)) fail(`expected a number, '${canonical(node)}' is a ${type}`, node.at);
    return { type, read: evaluate as NumberOf };
  };
  const booleans = (node: Node): BooleanOf => {
    const { type, evaluate } = compile(node);
    if (type !== 'boolean') fail(`expected a condition, '${canonical(node)}' is a ${type}`, node.at);
    return evaluate as BooleanOf;
  };

  const compare = (node: Node & { kind: 'binary' }): Compiled => {
    const left = compile(node.left);
    const right = compile(node.right);
    if (left.off || right.off) return { type: 'boolean', evaluate: () => false };
    if (left.type !== right.type) {
      fail(`a ${left.type} cannot be compared with a ${right.type} ('${canonical(node)}')`, node.at);
    }
    const { operator } = node;
    if (left.type === 'text' || left.type === 'boolean') {
      if (operator !== '==' && operator !== '!=') fail(`'${operator}' does not compare ${left.type}s`, node.at);
      const a = left.evaluate as TextOf;
      const b = right.evaluate as TextOf;
      const constant = right.constant as string | undefined;
      if (left.type === 'boolean') {
        return operator === '=='
          ? { type: 'boolean', evaluate: (scope) => a(scope) === b(scope) }
          : { type: 'boolean', evaluate: (scope) => a(scope) !== b(scope) };
      }
      if (operator === '==') {
        if (constant !== undefined && constant !== '') {
          return { type: 'boolean', evaluate: (scope) => a(scope) === constant };
        }
        return {
          type: 'boolean',
          evaluate: (scope) => {
            const value = a(scope);
            return value !== '' && value === b(scope);
          },
        };
      }
      return {
        type: 'boolean',
        evaluate: (scope) => {
          const value = a(scope);
          const other = b(scope);
          return value !== '' && other !== '' && value !== other;
        },
      };
    }
    const a = left.evaluate as NumberOf;
    const b = right.evaluate as NumberOf;
    const evaluate: BooleanOf =
      operator === '<'
        ? (scope) => a(scope) < b(scope)
        : operator === '<='
          ? (scope) => a(scope) <= b(scope)
          : operator === '>'
            ? (scope) => a(scope) > b(scope)
            : operator === '>='
              ? (scope) => a(scope) >= b(scope)
              : operator === '=='
                ? (scope) => a(scope) === b(scope)
                : (scope) => {
                    const value = a(scope);
                    const other = b(scope);
                    return value < other || value > other;
                  };
    return { type: 'boolean', evaluate };
  };

  const calculate = (node: Node & { kind: 'binary' }): Compiled => {
    if (compile(node.left).off || compile(node.right).off) return OFF;
    const left = numbers(node.left);
    const right = numbers(node.right);
    const a = left.read;
    const b = right.read;
    const pair = `${left.type} ${node.operator} ${right.type}`;
    switch (node.operator) {
      case '+': {
        const type =
          left.type === right.type && left.type !== 'time'
            ? left.type
            : pair === 'time + duration' || pair === 'duration + time'
              ? 'time'
              : undefined;
        if (type === undefined) return fail(`${pair} means nothing`, node.at);
        return {
          type,
          evaluate: type === 'number' ? (scope) => settledSum(a(scope) + b(scope)) : (scope) => a(scope) + b(scope),
        };
      }
      case '-': {
        const type =
          pair === 'time - time'
            ? 'duration'
            : pair === 'time - duration'
              ? 'time'
              : left.type === right.type
                ? left.type
                : undefined;
        if (type === undefined) return fail(`${pair} means nothing`, node.at);
        return {
          type,
          evaluate: type === 'number' ? (scope) => settledSum(a(scope) - b(scope)) : (scope) => a(scope) - b(scope),
        };
      }
      case '*': {
        const type =
          pair === 'number * number'
            ? 'number'
            : pair === 'number * duration' || pair === 'duration * number'
              ? 'duration'
              : undefined;
        if (type === undefined) return fail(`${pair} means nothing`, node.at);
        return {
          type,
          evaluate: type === 'number' ? (scope) => settled(a(scope) * b(scope)) : (scope) => a(scope) * b(scope),
        };
      }
      case '/': {
        const type =
          pair === 'number / number' || pair === 'duration / duration'
            ? 'number'
            : pair === 'duration / number'
              ? 'duration'
              : undefined;
        if (type === undefined) return fail(`${pair} means nothing`, node.at);
        // 0 / 0 is not known; a share of nothing must not look like a large or small share.
        return {
          type,
          evaluate: (scope) => {
            const divisor = b(scope);
            return divisor === 0 ? Number.NaN : settled(a(scope) / divisor);
          },
        };
      }
      default: {
        if (pair !== 'number % number') return fail(`${pair} means nothing`, node.at);
        return { type: 'number', evaluate: (scope) => a(scope) % b(scope) };
      }
    }
  };

  /** The value that is looked up in a list. */
  const listed = (node: Node): TextOf => {
    const { type, evaluate } = compile(node);
    if (type !== 'text') fail(`a list is asked for a text, '${canonical(node)}' is a ${type}`, node.at);
    return evaluate as TextOf;
  };
  /** Which list it is stands when the rule is loaded, so that no record ever asks for one that is not there. */
  const fixedText = (node: Node, what: string): string => {
    const { constant } = compile(node);
    if (typeof constant !== 'string') return fail(`${what} must be a fixed text`, node.at);
    return constant;
  };
  const listNamed = (node: Node): ReferenceList => {
    const name = fixedText(node, 'the name of a list');
    const list = environment.list(name);
    if (list !== undefined) return list;
    const known = environment.listNames();
    const close = closestName(name, known);
    const hint =
      close !== undefined
        ? `did you mean '${close}'?`
        : known.length === 0
          ? 'the folder lists holds none'
          : `known are ${known.join(', ')}`;
    return fail(`there is no list '${name}'; ${hint}`, node.at);
  };

  const call = (node: Node & { kind: 'call' }): Compiled => {
    const count = node.arguments.length;
    const wants = (least: number, most: number): void => {
      if (count < least || count > most)
        fail(
          `${node.name}() takes ${least === most ? least : `${least} to ${most}`} argument${most === 1 ? '' : 's'}`,
          node.at,
        );
    };
    switch (node.name) {
      case 'min':
      case 'max': {
        wants(2, 8);
        const parts = node.arguments.filter((argument) => !compile(argument).off).map(numbers);
        if (parts.length === 0) return OFF;
        const type = parts[0]!.type;
        parts.forEach((part, index) => {
          if (part.type !== type) fail(`${node.name}() of a ${type} and a ${part.type}`, node.arguments[index]!.at);
        });
        const reads = parts.map((part) => part.read);
        const least = node.name === 'min';
        // What is not known is left out: max(7d, 3 * usualGap) is 7d while there is no usual gap.
        return {
          type,
          evaluate: (scope) => {
            let result = Number.NaN;
            for (const read of reads) {
              const value = read(scope);
              if (value === value && !(least ? value >= result : value <= result)) result = value;
            }
            return result;
          },
        };
      }
      case 'abs': {
        wants(1, 1);
        const { type, read } = numbers(node.arguments[0]!);
        return { type, evaluate: (scope) => Math.abs(read(scope)) };
      }
      case 'sigmoid': {
        wants(1, 1);
        const { type, read } = numbers(node.arguments[0]!);
        if (type !== 'number') fail('sigmoid() takes a number', node.at);
        return { type: 'number', evaluate: (scope) => 1 / (1 + Math.exp(-read(scope))) };
      }
      case 'has': {
        wants(1, 1);
        const [argument] = node.arguments;
        const given = argument!.kind === 'name' ? environment.resolve(argument!.name)?.given : undefined;
        if (given !== undefined) return { type: 'boolean', evaluate: given };
        const { type, evaluate } = compile(argument!);
        // Any other boolean field that was left out is false; whether it was there is not known any more.
        if (type === 'boolean') return fail('has() takes a value, not a condition', argument!.at);
        if (type === 'text') return { type: 'boolean', evaluate: (scope) => evaluate(scope) !== '' };
        return { type: 'boolean', evaluate: (scope) => !Number.isNaN(evaluate(scope) as number) };
      }
      case 'startsWith': {
        wants(2, 2);
        const [value, prefix] = node.arguments.map((argument) => compile(argument)) as [Compiled, Compiled];
        if (value.type !== 'text' || prefix.type !== 'text') fail('startsWith() takes two texts', node.at);
        const a = value.evaluate as TextOf;
        const b = prefix.evaluate as TextOf;
        return { type: 'boolean', evaluate: (scope) => a(scope).startsWith(b(scope)) && b(scope) !== '' };
      }
      case 'isNumeric': {
        wants(1, 1);
        const { type, evaluate } = compile(node.arguments[0]!);
        if (type !== 'text') return fail('isNumeric() takes a text', node.at);
        const read = evaluate as TextOf;
        return {
          type: 'boolean',
          evaluate: (scope) => {
            const value = read(scope);
            for (let index = 0; index < value.length; index++) {
              const digit = value.charCodeAt(index) ^ 0x30;
              if (digit > 9) return false;
            }
            return value !== '';
          },
        };
      }
      case 'isNight': {
        wants(1, 1);
        const { type, read } = numbers(node.arguments[0]!);
        if (type !== 'time') fail('isNight() takes a time', node.at);
        return {
          type: 'boolean',
          evaluate: (scope) => {
            const time = read(scope);
            return time === time && environment.isNight(time);
          },
        };
      }
      case 'timeOfDay': {
        wants(1, 1);
        const { type, read } = numbers(node.arguments[0]!);
        if (type !== 'time') fail('timeOfDay() takes a time', node.at);
        return { type: 'duration', evaluate: (scope) => environment.timeOfDayMs(read(scope)) };
      }
      case 'contactTime': {
        wants(4, 4);
        const [at, from, to, spread] = node.arguments.map(numbers) as { type: ValueType; read: NumberOf }[];
        if (at!.type !== 'time' || [from, to, spread].some((part) => part!.type !== 'duration'))
          fail('contactTime() takes a time and three durations', node.at);
        return {
          type: 'time',
          evaluate: (scope) =>
            environment.contactTime(scope, at!.read(scope), {
              fromMs: from!.read(scope),
              toMs: to!.read(scope),
              spreadMs: spread!.read(scope),
            }),
        };
      }
      case 'inList': {
        wants(2, 2);
        const value = listed(node.arguments[0]!);
        const list = listNamed(node.arguments[1]!);
        return { type: 'boolean', evaluate: (scope) => list.find(value(scope)) >= 0 };
      }
      case 'fromList': {
        wants(3, 3);
        const value = listed(node.arguments[0]!);
        const list = listNamed(node.arguments[1]!);
        const column = fixedText(node.arguments[2]!, 'the column of a list');
        if ((NUMBER_COLUMNS as readonly string[]).includes(column)) {
          const read = column as NumberColumn;
          return { type: 'number', evaluate: (scope) => list.numberAt(list.find(value(scope)), read) };
        }
        const known = [...TEXT_COLUMNS, ...NUMBER_COLUMNS];
        if (!(TEXT_COLUMNS as readonly string[]).includes(column))
          return fail(`a list has no column '${column}' to read; known are ${known.join(', ')}`, node.arguments[2]!.at);
        const read = column as TextColumn;
        return { type: 'text', evaluate: (scope) => list.textAt(list.find(value(scope)), read) };
      }
      default:
        return fail(`there is no function ${node.name}(); known are ${FUNCTIONS.join(', ')}`, node.at);
    }
  };

  const compile = (node: Node): Compiled => {
    switch (node.kind) {
      case 'number':
        return { type: 'number', evaluate: () => node.value, constant: node.value };
      case 'duration':
        return { type: 'duration', evaluate: () => node.valueMs, constant: node.valueMs };
      case 'text':
        return { type: 'text', evaluate: () => node.value, constant: node.value };
      case 'boolean':
        return { type: 'boolean', evaluate: () => node.value, constant: node.value };
      case 'name': {
        const binding = environment.resolve(node.name);
        if (binding === undefined) return fail(unknownName(node.name, environment.names()), node.at);
        if (binding.items !== undefined) return fail(`'${node.name}' is a list: use it after 'in'`, node.at);
        return binding;
      }
      case 'unary': {
        if (node.operator === '!') {
          const operand = booleans(node.operand);
          return { type: 'boolean', evaluate: (scope) => !operand(scope) };
        }
        const { type, evaluate, constant } = compile(node.operand);
        if (type !== 'number' && type !== 'duration') return fail(`a ${type} has no negative`, node.at);
        const read = evaluate as NumberOf;
        const negative: Compiled = { type, evaluate: (scope) => -read(scope) };
        return constant === undefined ? negative : { ...negative, constant: -(constant as number) };
      }
      case 'binary':
        if (node.operator === '&&' || node.operator === '||') {
          const left = booleans(node.left);
          const right = booleans(node.right);
          return node.operator === '&&'
            ? { type: 'boolean', evaluate: (scope) => left(scope) && right(scope) }
            : { type: 'boolean', evaluate: (scope) => left(scope) || right(scope) };
        }
        return ['+', '-', '*', '/', '%'].includes(node.operator) ? calculate(node) : compare(node);
      case 'conditional': {
        const test = booleans(node.test);
        const yes = compile(node.yes);
        const no = compile(node.no);
        if (yes.type !== no.type) return fail(`the branches are a ${yes.type} and a ${no.type}`, node.at);
        return { type: yes.type, evaluate: (scope) => (test(scope) ? yes.evaluate(scope) : no.evaluate(scope)) };
      }
      case 'in': {
        const value = compile(node.value);
        const only = node.items.length === 1 && node.items[0]!.kind === 'name' ? node.items[0]! : undefined;
        const binding = only?.kind === 'name' ? environment.resolve(only.name) : undefined;
        const items = new Set<Value>();
        if (binding?.items !== undefined) {
          if (binding.type !== value.type)
            return fail(`a list of ${binding.type}s does not hold a ${value.type}`, node.at);
          for (const item of binding.items) items.add(item);
        } else {
          for (const item of node.items) {
            const compiled = compile(item);
            if (compiled.constant === undefined) return fail('the items of a list must be fixed values', item.at);
            if (compiled.type !== value.type) return fail(`a ${compiled.type} in a list of ${value.type}s`, item.at);
            items.add(compiled.constant);
          }
        }
        // What is not known is in no list.
        items.delete('');
        const read = value.evaluate;
        return { type: 'boolean', evaluate: (scope) => items.has(read(scope)) };
      }
      case 'call':
        return call(node);
    }
  };

  const compiled = compile(root);
  if (expected !== undefined && compiled.type !== expected) {
    fail(`expected a ${expected}, '${canonical(root)}' is a ${compiled.type}`, root.at);
  }
  return compiled;
}

/** The known name that differs in at most two letters (one, if it is short), because most unknown names are slips. */
export function closestName(name: string, known: readonly string[]): string | undefined {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, index) => index);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length]!;
  };
  const slips = Math.min(2, Math.ceil(name.length / 3));
  return known
    .filter((candidate) => Math.abs(candidate.length - name.length) <= slips)
    .map((candidate) => ({ candidate, away: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ away }) => away <= slips)
    .sort((a, b) => a.away - b.away)[0]?.candidate;
}

export function unknownName(name: string, known: readonly string[]): string {
  const close = closestName(name, known);
  return `'${name}' is not known here${close === undefined ? '' : `; did you mean '${close}'?`}`;
}
