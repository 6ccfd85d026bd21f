/**
 * The values of an alert: what its rule saw, against which threshold, and what account and subscriber are worth. The engine finds
 * the keys; everything here reads the one that is bound.
 */
import type { Value, ValueType } from '../rules/compile.ts';
import type { CompiledBand, CompiledRule } from '../rules/compiled-rule.ts';
import type { RuleSet } from '../rules/rule-set.ts';
import type { Valuation } from '../rules/valuation.ts';
import type { Scope } from '../state/operator.ts';
import type { AlertData, Evidence } from './alert.ts';

type Worth = NonNullable<AlertData['value']>;

/** To a millionth: sums are whole numbers of millionths, and their quotients need no more. */
export const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** Durations are shown in seconds, the base unit; what is not known is null. */
export function evidenceValue(value: Value, type: ValueType): number | string | null {
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return value === '' ? null : value;
  if (!Number.isFinite(value)) return null;
  return rounded(type === 'duration' ? value / 1000 : value);
}

/** Every value that the rule mentions, beside the threshold of this band where it has one. */
export const evidenceOf = (rule: CompiledRule, band: CompiledBand, scope: Scope): Evidence[] =>
  rule.features.map((feature) => {
    const threshold = band.thresholds.get(feature.name);
    return {
      feature: feature.name,
      window: feature.window,
      value: evidenceValue(feature.read(scope), feature.type),
      threshold: threshold === undefined ? null : evidenceValue(threshold(scope), feature.type),
      unit: feature.unit,
    };
  });

/** What the bound account owes, and what is expected of it. */
export function accountWorth({ ledger, debt }: RuleSet, scope: Scope): Worth {
  const worth: Worth = {};
  if (ledger !== undefined) worth.exposure = rounded(ledger.unpaid(scope) + ledger.unbilled(scope));
  if (debt === undefined) return worth;
  const probability = debt.probability(scope);
  if (Number.isNaN(probability)) return worth;
  worth.badDebtProbability = rounded(probability);
  worth.expectedLoss = rounded(debt.expectedLoss(scope));
  return worth;
}

/** What the model says of the bound subscriber, as far as it is known. */
export function subscriberWorth(valuation: Valuation, scope: Scope): Worth {
  const worth: Worth = {};
  const stage = valuation.stage(scope);
  const tier = valuation.tier(scope);
  const probability = valuation.probability(scope);
  const expectedSave = valuation.expectedSave(scope);
  if (tier !== '') worth.tier = tier;
  if (!Number.isNaN(probability)) worth.churnProbability = rounded(probability);
  if (!Number.isNaN(expectedSave)) worth.expectedSaveValue = rounded(expectedSave);
  if (stage !== '') worth.lifecycleStage = stage;
  return worth;
}
