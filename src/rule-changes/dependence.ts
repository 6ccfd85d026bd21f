/**
 * Which rules would do something else without a rule, or with another text of it: a rule that it keeps from firing, one that looks
 * at its alerts, one that reads a score that its alerts make, and so on from those. Read from the rules alone; where a condition
 * leaves open whether an alert is taken, it is.
 */
import { type Node, parseExpression } from '../rules/expression.ts';
import type { Rule, RuleSource } from '../rules/rule.ts';

type Known = number | string | boolean | readonly (number | string)[];

/** The rules whose alerts may change when those of this one do, itself not among them. */
export function affectedBy(sources: readonly RuleSource[], ruleId: string): Set<string> {
  const affected = closure([ruleId], (id) => {
    const cause = sources.find(({ rule }) => rule.id === id);
    return cause === undefined ? [] : sources.filter((one) => heeds(one, cause)).map(({ rule }) => rule.id);
  });
  affected.delete(ruleId);
  return affected;
}

/** These rules and all without which they would do something else. */
export function neededFor(sources: readonly RuleSource[], ruleIds: Iterable<string>): RuleSource[] {
  const needed = closure([...ruleIds], (id) => {
    const reader = sources.find(({ rule }) => rule.id === id);
    return reader === undefined ? [] : sources.filter((one) => heeds(reader, one)).map(({ rule }) => rule.id);
  });
  return sources.filter(({ rule }) => needed.has(rule.id));
}

function closure(begin: readonly string[], next: (id: string) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const wanted = [...begin];
  for (let id = wanted.pop(); id !== undefined; id = wanted.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    wanted.push(...next(id));
  }
  return found;
}

/** Whether alerts of one rule, or that it has one, mean something to another. */
function heeds({ rule: reader, text }: RuleSource, { rule: cause }: RuleSource): boolean {
  if (reader.inhibitedBy?.includes(cause.id)) return true;
  if (text.includes(`score.${cause.desk}`)) return true;
  const taken = [
    { on: reader.on, where: reader.where },
    ...Object.values(reader.features ?? {}).flatMap(({ on, where }) => (on === undefined ? [] : [{ on, where }])),
  ];
  return taken.some(({ on, where }) => [on].flat().includes('alert') && mayTake(reader, where, cause));
}

function mayTake(reader: Rule, where: string | undefined, cause: Rule): boolean {
  if (where === undefined) return true;
  const known = new Map<string, Known>([
    ...Object.entries(reader.params ?? {}),
    ['recordType', 'alert'],
    ['alertRule', cause.id],
    ['alertCatalogue', cause.catalogue],
    ['alertDesk', cause.desk],
  ]);
  return knownValue(parseExpression(where), known) !== false;
}

/** What an expression is as far as that is known; undefined where it hangs on what is not. */
function knownValue(node: Node, known: ReadonlyMap<string, Known>): Known | undefined {
  switch (node.kind) {
    case 'number':
    case 'text':
    case 'boolean':
      return node.value;
    case 'name':
      return known.get(node.name);
    case 'unary': {
      const value = knownValue(node.operand, known);
      return node.operator === '!' && typeof value === 'boolean' ? !value : undefined;
    }
    case 'conditional': {
      const test = knownValue(node.test, known);
      if (typeof test === 'boolean') return knownValue(test ? node.yes : node.no, known);
      const [yes, no] = [knownValue(node.yes, known), knownValue(node.no, known)];
      return yes === no ? yes : undefined;
    }
    case 'in': {
      const value = knownValue(node.value, known);
      const items = node.items.flatMap((item) => knownValue(item, known));
      if (value === undefined) return undefined;
      if (items.includes(value as string)) return true;
      return items.includes(undefined) ? undefined : false;
    }
    case 'binary': {
      const [left, right] = [knownValue(node.left, known), knownValue(node.right, known)];
      switch (node.operator) {
        case '&&':
          return left === false || right === false ? false : left === true && right === true ? true : undefined;
        case '||':
          return left === true || right === true ? true : left === false && right === false ? false : undefined;
        case '==':
          return left === undefined || right === undefined ? undefined : left === right;
        case '!=':
          return left === undefined || right === undefined ? undefined : left !== right;
        default:
          return undefined;
      }
    }
    default:
      return undefined;
  }
}
