/**
 * One rule while it is compiled: what its texts may name, and how they are parsed, checked and compared. Whatever is wrong is
 * added to the problems of the set with its line and column, and compiling goes on, so that one run finds all of it.
 */
import type { Reader, Scope } from '../state/operator.ts';
import { type Binding, type Compiled, compileExpression, type Environment, OFF, type ValueType } from './compile.ts';
import type { CompiledFeature, CompiledRule } from './compiled-rule.ts';
import { canonical, ExpressionError, type Node, namesIn, parseDuration, parseExpression } from './expression.ts';
import { RECORD_NAMES, type RecordBinding } from './names.ts';
import type { Predicate } from './plan.ts';
import { episodeSignature } from './registry.ts';
import { KEY_GROUPS, type KeyType, type Rule, type RuleSource } from './rule.ts';
import { always, type Condition, keyIndex, type SetDraft, type Step } from './set-draft.ts';
import type { SharedOperators } from './shared-operators.ts';

/** Keys that a record without them has from the profile of its subscriber. */
const PROFILE_KEYS: ReadonlySet<KeyType> = new Set(['dealer', 'idDocument', 'paymentToken', 'address']);
/** Keys that are the served subscriber, or something of its own. */
const PARTY_KEYS: ReadonlySet<KeyType> = new Set(['subscriber', 'account', 'imsi', 'imei', 'subscriber+prefix']);
/** Kinds that stand for several, or are made of two parts, name no single entity. */
const isEntity = (key: KeyType | undefined): boolean =>
  key === undefined || (KEY_GROUPS[key] === undefined && !key.includes('+'));

/** Where in its file something of a rule stands. */
export type Path = readonly (string | number)[];

export interface RuleDraft {
  source: RuleSource;
  /** As written, but with the one key that this draft is for. */
  rule: Rule;
  /** It is filled in while the rule is compiled. */
  compiled: CompiledRule;
  /** The rule is the model of life cycle, value and churn. */
  isModel: boolean;
  problem(path: Path, message: string, offset?: number): void;
  parse(text: string, path: Path): Node | undefined;
  compile(node: Node | undefined, environment: Environment, path: Path, expected?: ValueType): Compiled | undefined;
  parameters: ReadonlyMap<string, Binding>;
  /** Where a limit of a feature is written as the name of a parameter: its value. */
  parameterOf(name: string, type: ValueType): number | undefined;
  /** What conditions on records may name. */
  recordEnvironment: Environment;
  conditionOf(where: string | undefined, path: Path): Condition;
  /** Two rules that write the same but have other parameter values mean different things and must not share state. */
  meaningOf(node: Node): string;
  /** Fields that are kept in whole small units are added up in those; anything else in millionths. */
  wholeUnits(node: Node, evaluate: Reader): { read: Reader; perUnit: number };
  /** The rule's own condition on records. */
  where: Condition;
  /** One of its features is a window, or looks at single calls. */
  windowed: boolean;
  looksAtCalls: boolean;
  /** Those compiled so far. */
  features: Map<string, CompiledFeature>;
  /** What its features take, which makes it look where it does not say. */
  triggers: Set<Step>;
}

/** `key`: that of the rule, or one of those that it stands for. */
export function draftRule(
  source: RuleSource,
  { key, isModel, set, shared }: { key: KeyType; isModel: boolean; set: SetDraft; shared: SharedOperators },
): RuleDraft {
  const { file, positionOf } = source;
  const isGroup = key !== source.rule.key;
  const rule = isGroup ? { ...source.rule, key } : source.rule;

  const problem: RuleDraft['problem'] = (path, message, offset = 0) => {
    set.problems.push({ file, ...positionOf(path, offset), message });
  };
  const orProblem = <T>(path: Path, make: () => T): T | undefined => {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      problem(path, error.message, error.at);
      return undefined;
    }
  };
  const parse: RuleDraft['parse'] = (text, path) => orProblem(path, () => parseExpression(text));
  const compile: RuleDraft['compile'] = (node, environment, path, expected) =>
    node === undefined ? undefined : orProblem(path, () => compileExpression(node, environment, expected));

  if (!rule.id.startsWith(`${rule.desk}.`)) problem(['id'], `the id must begin with its desk '${rule.desk}.'`);
  if (rule.desk === 'fraud' && (rule.fraudType === undefined || rule.enabler === undefined)) {
    problem(['id'], "a fraud rule needs both axes, 'fraudType' and 'enabler'");
  }
  if (!isEntity(rule.suppress.by)) problem(['suppress', 'by'], `'${rule.suppress.by}' is no single entity`);
  if (!isEntity(rule.groupBy)) problem(['groupBy'], `'${rule.groupBy}' is no single entity`);
  if (rule.suppress.missing !== undefined && rule.suppress.by === undefined)
    problem(['suppress', 'missing'], "'missing' says what holds where 'by' is not known; there is no 'by'");
  if (rule.suppress.falls && rule.suppress.by !== undefined)
    problem(['suppress', 'falls'], "'falls' is about the alert of one key; with 'by' several keys share one");
  if (rule.inhibitedBy?.includes(rule.id)) problem(['inhibitedBy'], 'a rule cannot inhibit itself');

  if (PROFILE_KEYS.has(key)) shared.profile();
  const parameters = new Map<string, Binding>();
  for (const [name, value] of Object.entries(rule.params ?? {})) {
    if (Object.hasOwn(RECORD_NAMES, name)) problem(['params', name], `'${name}' is a field of the record already`);
    parameters.set(name, parameterBinding(value));
  }
  const recordEnvironment: Environment = {
    resolve: (name) => {
      if (!Object.hasOwn(RECORD_NAMES, name)) return parameters.get(name) ?? shared.profileName(name);
      set.uses.add(name);
      return RECORD_NAMES[name];
    },
    names: () => [...Object.keys(RECORD_NAMES), ...shared.profileNames(), ...parameters.keys()],
    ...set.functions,
  };

  const meaningOf = (node: Node): string => {
    const values = [...namesIn(node)]
      .filter((name) => parameters.has(name))
      .map((name) => `${name}=${JSON.stringify(rule.params?.[name])}`);
    return canonical(node) + (values.length > 0 ? `{${values.join()}}` : '');
  };
  const conditionOf = (where: string | undefined, path: Path): Condition => {
    if (where === undefined) return { text: '', holds: always };
    const node = parse(where, path);
    const compiled = compile(node, recordEnvironment, path, 'boolean');
    if (node === undefined || compiled === undefined) return { text: '', holds: always };
    const holds: Predicate = (scope) => compiled.evaluate(scope) === true;
    holds.terms = conjunctsOf(node).map((part) => ({
      text: meaningOf(part),
      holds: compile(part, recordEnvironment, path, 'boolean')!.evaluate as (scope: Scope) => boolean,
      isDear: asksElsewhere(part),
    }));
    return { text: meaningOf(node), holds };
  };
  /**
   * Reads a value in the whole small units that its field is kept in, also where a condition chooses between the field and
   * nothing: `zeroRated ? bytes : 0`. In millionths a week of gigabytes would pass 2^53.
   */
  const wholeOf = (node: Node): RecordBinding['whole'] => {
    if (node.kind === 'name') return (recordEnvironment.resolve(node.name) as RecordBinding | undefined)?.whole;
    if (node.kind !== 'conditional' || !(node.no.kind === 'number' && node.no.value === 0)) return undefined;
    const chosen = wholeOf(node.yes);
    if (chosen === undefined) return undefined;
    const test = compileExpression(node.test, recordEnvironment, 'boolean').evaluate as (scope: Scope) => boolean;
    return { read: (scope) => (test(scope) ? chosen.read(scope) : 0), perUnit: chosen.perUnit };
  };
  const where = conditionOf(rule.where, ['where']);

  const { by } = rule.suppress;
  const compiled: CompiledRule = {
    rule: source.rule,
    key,
    keyType: keyIndex(key),
    episode: set.registry.entryOf(episodeSignature(isGroup ? `${rule.id}|${key}` : rule.id), ['alert']).id,
    bands: [],
    features: [],
    operatorIds: [],
    evaluateAt: [],
    everyMs: rule.evaluateEvery === undefined ? 0 : parseDuration(rule.evaluateEvery)!,
    isTimed: rule.evaluateAt !== undefined || rule.evaluateEvery !== undefined,
    isRising: false,
    suppressMs: parseDuration(rule.suppress.for)!,
    falls: rule.suppress.falls ?? false,
    reachMs: 0,
    onArrival: false,
    asksKnownFor: false,
    inhibitors: [],
    suppressBy: by === undefined ? -1 : keyIndex(by),
    suppression: by === undefined ? -1 : set.registry.entryOf(`suppression|${by}|${rule.id}|${key}`, ['alert']).id,
    groupBy: rule.groupBy === undefined ? -1 : keyIndex(rule.groupBy),
    scoresServed: rule.scores?.includes('served') ?? PARTY_KEYS.has(key),
    scoresOther: rule.scores?.includes('other') ?? key === 'otherNumber',
  };

  return {
    source,
    rule,
    compiled,
    isModel,
    problem,
    parse,
    compile,
    parameters,
    parameterOf(name, type) {
      const parameter = parameters.get(name);
      return parameter?.type === type && parameter.items === undefined ? (parameter.constant as number) : undefined;
    },
    recordEnvironment,
    conditionOf,
    meaningOf,
    wholeUnits: (node, evaluate) =>
      wholeOf(node) ?? { read: (scope) => Math.round(evaluate(scope) * 1e6), perUnit: 1e6 },
    where,
    windowed: false,
    looksAtCalls: false,
    features: new Map(),
    triggers: new Set(),
  };
}

/** The parts of a condition that must all hold. */
function conjunctsOf(node: Node): Node[] {
  return node.kind === 'binary' && node.operator === '&&'
    ? [...conjunctsOf(node.left), ...conjunctsOf(node.right)]
    : [node];
}

/** Looks into a list, or at another subscriber: dearer than a field of the record. Only the order of asking depends on it. */
function asksElsewhere(node: Node): boolean {
  const text = canonical(node);
  return ['inList(', 'fromList(', 'other.'].some((part) => text.includes(part));
}

export function parameterBinding(value: string | number | boolean | (string | number)[]): Binding {
  if (Array.isArray(value)) {
    const type = typeof value[0] === 'number' ? 'number' : 'text';
    return { type, evaluate: () => '', items: value };
  }
  if (typeof value === 'number') return { type: 'number', evaluate: () => value, constant: value };
  if (typeof value === 'boolean') return { type: 'boolean', evaluate: () => value, constant: value };
  if (value === 'off') return OFF;
  const duration = parseDuration(value);
  if (duration !== undefined) return { type: 'duration', evaluate: () => duration, constant: duration };
  return { type: 'text', evaluate: () => value, constant: value };
}
