/**
 * When a rule fires and what it says: its bands and timers, the features that are worked out of others, and for each band the
 * thresholds and texts of its alert. Compiled when every feature of every rule has its reader.
 */
import { SEVERITIES } from '../alerts/alert.ts';
import type { Reader, Scope } from '../state/operator.ts';
import type { BuiltInValues } from './built-in-values.ts';
import type { Environment, Value } from './compile.ts';
import type { CompiledFeature } from './compiled-rule.ts';
import { implies, type Node, namesIn } from './expression.ts';
import { unitOf } from './feature-request.ts';
import type { Path, RuleDraft } from './rule-draft.ts';
import { asList } from './set-draft.ts';
import { compileTemplate, type Template } from './template.ts';

export function compileBands(draft: RuleDraft, builtIns: BuiltInValues): void {
  const { rule, compiled, features, parameters, problem, parse, compile } = draft;
  const { environment, mentioned } = builtIns;
  const featureEntries = Object.entries(rule.features ?? {});
  for (const [name, feature] of featureEntries) {
    if (feature.value === undefined) continue;
    const path = ['features', name];
    if (feature.aggregate !== undefined) problem(path, "'value' and 'aggregate' exclude each other");
    const value = compile(parse(feature.value, [...path, 'value']), environment, [...path, 'value']);
    if (value === undefined) continue;
    const unit = feature.unit ?? (value.type === 'duration' ? 's' : value.type === 'time' ? 'time' : 'none');
    features.set(name, { name, window: '', unit, type: value.type, read: value.evaluate, entry: undefined });
  }

  const featureOf = (name: string): CompiledFeature | undefined => features.get(name) ?? mentioned.get(name);
  const isFeature = (name: string): boolean => featureOf(name) !== undefined;
  const evidenceNames = new Set<string>();
  let previousRank = -1;
  const bandNodes: Node[] = [];
  /** A parameter that a feature is compared with is written in the unit of the feature. */
  const unitOfParameter = new Map<string, string>();
  for (const [index, band] of rule.bands.entries()) {
    const path: Path = ['bands', index, 'if'];
    const node = parse(band.if, path);
    const condition = compile(node, environment, path, 'boolean');
    const rank = SEVERITIES.indexOf(band.severity);
    if (rank < previousRank) problem(['bands', index, 'severity'], 'bands must rise in severity');
    previousRank = rank;
    if (node === undefined || condition === undefined) continue;
    bandNodes.push(node);
    for (const name of namesIn(node)) if (isFeature(name)) evidenceNames.add(name);
    const thresholds = new Map<string, (scope: Scope) => Value>();
    collectThresholds(node, isFeature, (name, threshold) => {
      if (threshold.kind === 'name' && parameters.has(threshold.name))
        unitOfParameter.set(threshold.name, featureOf(name)!.unit);
      const value = compile(threshold, environment, path);
      if (value !== undefined && !thresholds.has(name)) thresholds.set(name, value.evaluate);
    });
    // `{threshold}` is that of the first feature of the rule's own; a built-in one (how long is the key known) comes second.
    const first = [...thresholds].find(([name]) => features.has(name)) ?? [...thresholds][0];
    const firstFeature = first === undefined ? undefined : featureOf(first[0]);
    const textEnvironment: Environment = {
      ...environment,
      resolve: (name) =>
        name === 'threshold' && first !== undefined && firstFeature !== undefined
          ? { type: firstFeature.type, evaluate: first[1] }
          : environment.resolve(name),
    };
    let saysRecord = false;
    const template = (language: 'en' | 'zh-CN'): Template => {
      const own = band.reason !== undefined;
      const textPath = own ? ['bands', index, 'reason', language] : ['reason', language];
      const {
        template: made,
        names,
        error,
      } = compileTemplate((own ? band.reason! : rule.reason)[language], language, textEnvironment, (name) =>
        name === 'threshold'
          ? firstFeature?.unit
          : (featureOf(name)?.unit ?? unitOfParameter.get(name) ?? unitOf(false, name)),
      );
      if (error !== undefined) problem(textPath, error.message, error.at);
      saysRecord ||= names.some((name) => name !== 'threshold' && !isFeature(name) && !parameters.has(name));
      return made;
    };
    compiled.bands.push({
      severity: band.severity,
      rank,
      holds: condition.evaluate as (scope: Scope) => boolean,
      score: band.score,
      reason: { en: template('en'), 'zh-CN': template('zh-CN') },
      saysRecord,
      thresholds,
    });
  }
  compiled.isRising = isRising(bandNodes, draft);

  asList(rule.evaluateAt)?.forEach((text, index) => {
    const path = Array.isArray(rule.evaluateAt) ? ['evaluateAt', index] : ['evaluateAt'];
    const time = compile(parse(text, path), environment, path, 'time');
    if (time !== undefined) compiled.evaluateAt.push(time.evaluate as Reader);
  });
  if (rule.evaluateEvery !== undefined && compiled.everyMs < 60_000)
    problem(['evaluateEvery'], 'at least 1m: every key pays for it');
  if (compiled.suppressMs < 1_000) problem(['suppress', 'for'], 'at least 1s, or an episode would end as it begins');

  compiled.operatorIds = [...features.values(), ...mentioned.values()].flatMap(({ entry }) =>
    entry === undefined ? [] : [entry.id],
  );
  compiled.asksKnownFor = mentioned.has('knownFor');
  if (builtIns.growWithTime() || featureEntries.some(([, feature]) => feature.aggregate === 'sinceLast')) {
    compiled.reachMs = Number.POSITIVE_INFINITY;
  }
  compiled.features = [...features.values(), ...[...mentioned.values()].filter(({ name }) => evidenceNames.has(name))];
}

/** Of two bands the higher one never holds without the lower one. */
function isRising(bands: readonly Node[], { parameters }: RuleDraft): boolean {
  const constantOf = (node: Node): number | undefined => {
    const value =
      node.kind === 'number'
        ? node.value
        : node.kind === 'duration'
          ? node.valueMs
          : node.kind === 'name'
            ? parameters.get(node.name)?.constant
            : undefined;
    return typeof value === 'number' ? value : undefined;
  };
  return bands.length > 1 && bands.every((node, index) => index === 0 || implies(node, bands[index - 1]!, constantOf));
}

/** Finds `feature >= threshold` in a condition, either way round, so that evidence can show value against threshold. */
function collectThresholds(
  node: Node,
  isFeature: (name: string) => boolean,
  found: (feature: string, threshold: Node) => void,
): void {
  const mentions = (side: Node): boolean => [...namesIn(side)].some(isFeature);
  switch (node.kind) {
    case 'binary':
      if (['<', '<=', '>', '>='].includes(node.operator)) {
        if (node.left.kind === 'name' && isFeature(node.left.name) && !sameName(node.left.name, node.right))
          found(node.left.name, node.right);
        else if (node.right.kind === 'name' && isFeature(node.right.name) && !mentions(node.left))
          found(node.right.name, node.left);
      } else {
        collectThresholds(node.left, isFeature, found);
        collectThresholds(node.right, isFeature, found);
      }
      break;
    case 'unary':
      collectThresholds(node.operand, isFeature, found);
      break;
    case 'conditional':
      collectThresholds(node.test, isFeature, found);
      collectThresholds(node.yes, isFeature, found);
      collectThresholds(node.no, isFeature, found);
      break;
  }
}

const sameName = (name: string, node: Node): boolean => namesIn(node).has(name);
