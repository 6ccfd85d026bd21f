/** Which records a rule looks at, as far as its text says: their types. */
import { RECORD_TYPES, type RecordType } from '../record/usage-record.ts';
import { parseRule } from '../rules/rule.ts';

/** Types of all features of a rule; undefined where the text is no rule or leaves them open. */
export function recordTypesOf(ruleText: string): RecordType[] | undefined {
  const parsed = parseRule('rule.yaml', ruleText);
  if ('problems' in parsed) return undefined;
  const { on, features = {} } = parsed.source.rule;
  const seen = new Set<string>();
  for (const feature of [{ aggregate: 'count', on }, ...Object.values(features)]) {
    // A value made of other features looks at no records itself.
    if (feature.aggregate !== undefined) for (const type of [feature.on ?? []].flat()) seen.add(type);
  }
  const types = RECORD_TYPES.filter((type) => seen.has(type));
  return types.length === 0 ? undefined : types;
}
