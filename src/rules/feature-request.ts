/** What a feature of a rule asks for: the parts that most aggregates have in common, read and checked once. */
import type { Operator } from '../state/operator.ts';
import type { Compiled } from './compile.ts';
import type { Node } from './expression.ts';
import { parseDuration } from './expression.ts';
import type { RegistryEntry } from './registry.ts';
import type { RuleFeature } from './rule.ts';
import type { Path, RuleDraft } from './rule-draft.ts';
import type { Condition, SetDraft, Step } from './set-draft.ts';
import type { SharedOperators } from './shared-operators.ts';

type Aggregate = NonNullable<RuleFeature['aggregate']>;

export interface FeatureRequest {
  draft: RuleDraft;
  set: SetDraft;
  shared: SharedOperators;
  name: string;
  feature: RuleFeature;
  aggregate: Aggregate;
  path: Path;
  /** The records that it takes. */
  step: Step;
  /** One for each step of a sequence. */
  sequence: readonly Condition[];
  of: Compiled | undefined;
  ofNode: Node | undefined;
  ofText: string;
  /** What all signatures of operators over these records begin with. */
  base: string;
  /** Undefined where there is none, or where it is the shift. */
  windowMs: number | undefined;
  /** Says what the aggregate is missing. */
  needs(present: boolean, message: string): boolean;
  /** The operator of this signature; it takes the records of the step. */
  single<T extends Operator>(signature: string, create: (id: number) => T): { operator: T; entry: RegistryEntry };
  /** How long a record can change the value. */
  reaches(ms: number): void;
}

export function requestOf(
  name: string,
  feature: RuleFeature,
  asked: { draft: RuleDraft; set: SetDraft; shared: SharedOperators; step: Step; sequence: readonly Condition[] },
  extraText: string,
): FeatureRequest | undefined {
  const { draft, set, step } = asked;
  const { compiled, rule } = draft;
  const path = ['features', name];
  const { aggregate } = feature;
  if (aggregate === undefined) {
    draft.problem(path, `'${name}' needs 'aggregate' or 'value'`);
    return undefined;
  }
  const ofNode = feature.of === undefined ? undefined : draft.parse(feature.of, [...path, 'of']);
  if (feature.of !== undefined && ofNode === undefined) return undefined;
  const of = draft.compile(ofNode, draft.recordEnvironment, [...path, 'of']);
  if (feature.of !== undefined && of === undefined) return undefined;
  return {
    ...asked,
    name,
    feature,
    aggregate,
    path,
    of,
    ofNode,
    ofText: ofNode === undefined ? '' : draft.meaningOf(ofNode),
    base: `${rule.key}|${[...step.on].sort().join()}|${step.where}${extraText}`,
    windowMs: feature.window === undefined || feature.window === 'shift' ? undefined : parseDuration(feature.window)!,
    needs(present, message) {
      if (!present) draft.problem(path, `${aggregate} ${message}`);
      return present;
    },
    single(signature, create) {
      const made = set.operatorOf(signature, step.on, create);
      step.operators.add(made.operator);
      return made;
    },
    reaches(ms) {
      compiled.reachMs = Math.max(compiled.reachMs, ms);
    },
  };
}

/** Unit of a value that does not state one. */
export function unitOf(counts: boolean, of: string): string {
  if (counts) return 'count';
  if (of === 'durationSec') return 's';
  if (of.startsWith('bytes')) return 'bytes';
  if (of === 'charge' || of === 'amount' || of === 'balanceAfter') return 'currency';
  return 'none';
}
