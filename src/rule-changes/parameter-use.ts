/**
 * What a parameter of a rule does, read from the rule's own conditions: the unit it is written in, the bands and features that ask
 * it, and whether a higher value makes more alerts or fewer. Where a condition leaves that open, nothing is said.
 */
import { type Node, namesIn, parseExpression } from '../rules/expression.ts';
import type { Rule } from '../rules/rule.ts';

/** A value that conditions of the rule may ask. */
export interface MeasuredValue {
  name: string;
  window: string;
  /** `count`, `s`, `share`, `currency`, `bytes` ...; `none` where it has none. */
  unit: string;
}

export interface ParameterUse {
  /** Empty: not known. */
  unit: string;
  /** By their place. */
  bands: number[];
  features: string[];
  /** Of a higher value; empty where it depends. */
  raising: 'fewer' | 'more' | '';
}

/** Names of fields and parameters end in their unit; longer endings first. */
const UNIT_ENDINGS: readonly [ending: RegExp, unit: string][] = [
  [/(sec|Sec)$/, 's'],
  [/(share|Share|probability|Probability)$/, 'share'],
  [/Kmh$/, 'km/h'],
  [/Km$/, 'km'],
  [/Bytes$/, 'bytes'],
];

/** Undefined for a text that is no expression; the compiler says what is wrong with it. */
function parsed(text: string): Node | undefined {
  try {
    return parseExpression(text);
  } catch {
    return undefined;
  }
}

const isPositive = (node: Node): boolean => node.kind === 'number' && node.value > 0;

/** @param values what the rule measures, with units; empty where it does not run */
export function parameterUses(rule: Rule, values: readonly MeasuredValue[]): Map<string, ParameterUse> {
  const uses = new Map<string, ParameterUse>();
  for (const name of Object.keys(rule.params ?? {})) uses.set(name, { unit: '', bands: [], features: [], raising: '' });
  const unitOf = new Map(values.map(({ name, unit }) => [name, unit]));
  /** The signs with which a parameter stands in the conditions; 0: that depends. */
  const signs = new Map<string, Set<number>>();
  const note = (name: string, sign: number, unit: string): void => {
    const use = uses.get(name);
    if (use === undefined) return;
    signs.set(name, (signs.get(name) ?? new Set()).add(sign));
    if (use.unit === '') use.unit = unit;
  };
  const noteAll = (node: Node): void => {
    for (const name of namesIn(node)) note(name, 0, '');
  };

  /** @param sign 1 where a larger number makes the condition hold more often */
  const number = (node: Node, sign: number, unit: string): void => {
    if (node.kind === 'name') note(node.name, sign, unit);
    else if (node.kind === 'unary') number(node.operand, -sign, unit);
    else if (node.kind === 'conditional') {
      noteAll(node.test);
      number(node.yes, sign, unit);
      number(node.no, sign, unit);
    } else if (node.kind === 'call' && (node.name === 'max' || node.name === 'min'))
      for (const argument of node.arguments) number(argument, sign, unit);
    else if (node.kind === 'binary' && (node.operator === '+' || node.operator === '-')) {
      number(node.left, sign, unit);
      number(node.right, node.operator === '+' ? sign : -sign, unit);
    } else if (node.kind === 'binary' && node.operator === '*' && isPositive(node.right)) number(node.left, sign, unit);
    else if (node.kind === 'binary' && node.operator === '*' && isPositive(node.left)) number(node.right, sign, unit);
    else if (node.kind === 'binary' && node.operator === '/' && isPositive(node.right)) number(node.left, sign, unit);
    else noteAll(node);
  };
  const condition = (node: Node, sign: number): void => {
    if (node.kind === 'unary') condition(node.operand, -sign);
    else if (node.kind === 'conditional') {
      noteAll(node.test);
      condition(node.yes, sign);
      condition(node.no, sign);
    } else if (node.kind === 'binary' && (node.operator === '&&' || node.operator === '||')) {
      condition(node.left, sign);
      condition(node.right, sign);
    } else if (node.kind === 'binary' && ['<', '<=', '>', '>='].includes(node.operator)) {
      const { operator, left, right } = node;
      const rises = operator === '>' || operator === '>=' ? sign : -sign;
      const unitIn = (side: Node): string => (side.kind === 'name' ? (unitOf.get(side.name) ?? '') : '');
      number(left, rises, unitIn(right));
      number(right, -rises, unitIn(left));
    } else noteAll(node);
  };

  for (const [index, band] of rule.bands.entries()) {
    const node = parsed(band.if);
    if (node === undefined) continue;
    condition(node, 1);
    for (const name of namesIn(node)) uses.get(name)?.bands.push(index);
  }
  for (const [feature, definition] of Object.entries(rule.features ?? {})) {
    const texts = Object.values(definition).filter((value) => typeof value === 'string');
    const names = new Set(
      texts.flatMap((text) => [...namesIn(parsed(text) ?? { kind: 'boolean', value: true, at: 0 })]),
    );
    for (const name of names) {
      note(name, 0, '');
      uses.get(name)?.features.push(feature);
    }
  }
  for (const [name, use] of uses) {
    const found = [...(signs.get(name) ?? [])];
    if (found.length === 1 && found[0] !== 0) use.raising = found[0] === 1 ? 'more' : 'fewer';
    if (use.unit === '') use.unit = UNIT_ENDINGS.find(([ending]) => ending.test(name))?.[1] ?? '';
    if (use.unit === 'none' || use.unit === 'time') use.unit = '';
  }
  return uses;
}
