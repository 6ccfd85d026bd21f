/** The features of a rule: which records each takes, when, and until when, with the operator behind it. */
import type { Scope } from '../state/operator.ts';
import { createReset } from '../state/reset.ts';
import type { Environment } from './compile.ts';
import type { CompiledFeature } from './compiled-rule.ts';
import { compileEventFeature } from './event-feature.ts';
import { namesIn } from './expression.ts';
import { requestOf } from './feature-request.ts';
import { compilePaneFeature } from './pane-feature.ts';
import type { RegistryEntry } from './registry.ts';
import type { Path, RuleDraft } from './rule-draft.ts';
import { always, asList, type Condition, type SetDraft } from './set-draft.ts';
import type { SharedOperators } from './shared-operators.ts';

export const FEATURES_PER_RULE_MAX = 32;

/** Adds the features that take records; those that are worked out of others come with the conditions (bands.ts). */
export function compileFeatures(draft: RuleDraft, set: SetDraft, shared: SharedOperators): void {
  const { rule, compiled, features, problem } = draft;
  const { keyType } = compiled;
  const ruleOn = asList(rule.on);
  const entries = Object.entries(rule.features ?? {});
  if (entries.length > FEATURES_PER_RULE_MAX) problem(['features'], `more than ${FEATURES_PER_RULE_MAX} features`);

  for (const [name, feature] of entries) {
    const path = ['features', name];
    if (draft.parameters.has(name)) problem(path, `'${name}' is a parameter already`);
    if (feature.value !== undefined) continue;
    const on = asList(feature.on) ?? ruleOn;
    if (on === undefined) {
      problem(path, `'${name}' needs 'on': the record types that it looks at (or the rule does)`);
      continue;
    }
    if (feature.steps !== undefined && (feature.aggregate !== 'sequence' || feature.where !== undefined))
      problem([...path, 'steps'], "'steps' belong to a sequence, and take the place of 'where'");
    const sequence = (feature.steps ?? []).map((one, index) =>
      draft.conditionOf(one.where, [...path, 'steps', index, 'where']),
    );
    const where =
      sequence.length > 0
        ? anyOf(sequence)
        : feature.where !== undefined
          ? draft.conditionOf(feature.where, [...path, 'where'])
          : feature.on !== undefined
            ? { text: '', holds: always }
            : draft.where;
    const step = set.stepOf(keyType, on, where.text, where.holds);
    if (rule.key === 'sender+range' && on.includes('sms')) shared.noteSenders(where);

    const reset =
      feature.resetBy === undefined
        ? undefined
        : draft.conditionOf(feature.resetBy.where, [...path, 'resetBy', 'where']);
    const resetOn = asList(feature.resetBy?.on) ?? [];
    if (resetOn.some((type) => on.includes(type)))
      problem(
        [...path, 'resetBy', 'on'],
        'a record cannot both count and begin the count anew: other record types are needed',
      );
    const resetText = reset === undefined ? '' : `|reset ${[...resetOn].sort().join()}|${reset.text}`;
    const gate = feature.while === undefined ? undefined : gateOf(draft, set, feature.while, [...path, 'while']);

    const request = requestOf(name, feature, { draft, set, shared, step, sequence }, resetText + (gate?.text ?? ''));
    if (request === undefined) continue;
    const made = compileEventFeature(request);
    const compiledFeature = made === 'panes' ? compilePaneFeature(request) : made;
    if (compiledFeature === undefined) continue;
    const { entry } = compiledFeature;
    if (gate !== undefined) {
      const holds = gate.compile();
      if (entry !== undefined && holds !== undefined) set.whenLaidOut.push(() => addGate(set, entry, holds));
    }
    if (reset !== undefined && entry !== undefined && !set.resets.has(entry.id)) {
      set.resets.add(entry.id);
      set.stepOf(keyType, resetOn, reset.text, reset.holds).operators.add(createReset(entry.id));
    }
    features.set(name, compiledFeature);
    draft.triggers.add(step);
  }
  compiled.onArrival = draft.looksAtCalls || !draft.windowed;
}

/** A condition over features that stand before: what it means depends on what they mean. */
function gateOf(
  draft: RuleDraft,
  set: SetDraft,
  text: string,
  path: Path,
): { text: string; compile(): ((scope: Scope) => boolean) | undefined } | undefined {
  const { features, recordEnvironment, rule } = draft;
  const node = draft.parse(text, path);
  if (node === undefined) return undefined;
  const signatureOf = (entry: RegistryEntry | undefined): string | undefined =>
    [...set.registry.entries()].find(([, one]) => one === entry)?.[0];
  const meant = [...namesIn(node)].flatMap((name) =>
    features.has(name) ? [[rule.features![name], signatureOf(features.get(name)!.entry)]] : [],
  );
  const environment: Environment = {
    ...recordEnvironment,
    resolve: (name) => {
      const feature: CompiledFeature | undefined = features.get(name);
      // Read through the feature, because a window's reader comes when all rules have been read.
      return feature === undefined
        ? recordEnvironment.resolve(name)
        : { type: feature.type, evaluate: (scope) => feature.read(scope) };
    },
    names: () => [...features.keys(), ...recordEnvironment.names()],
  };
  return {
    text: `|while ${draft.meaningOf(node)}${JSON.stringify(meant)}`,
    compile: () =>
      draft.compile(node, environment, path, 'boolean')?.evaluate as ((scope: Scope) => boolean) | undefined,
  };
}

/** The operator takes records only while the condition holds. Only when all operators are there; features share one. */
function addGate(set: SetDraft, entry: RegistryEntry, holds: (scope: Scope) => boolean): void {
  const operator = set.operators.get(entry.id);
  if (set.gated.has(entry.id) || operator === undefined) return;
  set.gated.add(entry.id);
  const { update } = operator;
  operator.update = (scope, blocks) => {
    if (holds(scope)) update(scope, blocks);
  };
}

const anyOf = (conditions: readonly Condition[]): Condition => ({
  text: conditions.map(({ text }) => `(${text})`).join('||'),
  holds: (scope) => {
    for (let index = 0; index < conditions.length; index++) if (conditions[index]!.holds(scope)) return true;
    return false;
  },
});
