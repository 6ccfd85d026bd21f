/**
 * What the state says about one subscriber at this moment, for people: windows, ledger, value, scores. The engine finds the keys
 * (`inspectSubscriber`); everything here reads the one that is bound. Nothing here changes the state, and no alert depends on it.
 */
import { evidenceValue, rounded } from './alerts/evidence.ts';
import type { CompiledFeature } from './rules/compiled-rule.ts';
import type { DebtScore } from './rules/debt.ts';
import { KEY_TYPES } from './rules/rule.ts';
import type { RuleSet } from './rules/rule-set.ts';
import type { Valuation } from './rules/valuation.ts';
import type { Ageing } from './state/ledger.ts';
import type { Scope } from './state/operator.ts';
import type { Promises } from './state/promises.ts';

export interface FeatureView {
  feature: string;
  ruleIds: string[];
  keyType: string;
  keyValue: string;
  window: string;
  unit: string;
  value: number | string | null;
  panes?: { startAt: number; value: number }[];
  paneSec?: number;
}

export interface SubscriberView {
  servedMsisdn: string;
  firstSeenAt: number;
  lastSeenAt: number;
  features: FeatureView[];
  ledger: {
    openInvoices: { invoiceId: string; dueAt: number; remaining: number }[];
    unpaid: number;
    overdue: number;
    /** What is open by the whole days since it was due. */
    ageing: Ageing;
    /** Dunning is paused while one is open. */
    openDisputes: number;
    promise: { until: number; amount: number | null; paid: number } | null;
    daysPastDue: number;
    bucket: 'current' | '1-30' | '31-60' | '61-90' | '90+';
    unbilled: number;
    creditLimit: number | null;
    exposureRatio: number | null;
    /** By the bad-debt model, currency units; null where there is none for the account. */
    expectedLoss: number | null;
  } | null;
  balance: number | null;
  lifecycleStage: string | null;
  value: Record<string, number | string> | null;
  scores: { name: string; value: number; contributions: { name: string; value: number }[] }[];
  openAlerts: { alertId: string; ruleId: string; severity: string; desk: string; since: number }[];
}

const ACCOUNT = KEY_TYPES.indexOf('account');

/** What rules call it and what the API does. */
const WORTH_NAMES: Readonly<Record<string, string>> = {
  'lifecycle.since': 'lifecycleSince',
  'value.tier': 'tier',
  'value.decile': 'decile',
  'value.percentile': 'percentile',
  'value.lifetime': 'lifetimeValue',
  'value.expectedSave': 'expectedSaveValue',
  'rfm.recency': 'recency',
  'rfm.frequency': 'frequency',
  'rfm.monetary': 'monetary',
  'rfm.sum': 'rfmSum',
  'rfm.fall': 'rfmFall',
  'churn.probability': 'churnProbability',
};

/** A feature of the bound key, with the panes of its window where it has some. */
export function featureView(
  scope: Scope,
  { keyType, feature, ruleIds }: { keyType: number; feature: CompiledFeature; ruleIds: string[] },
  keyValue: string,
): FeatureView {
  const view: FeatureView = {
    feature: feature.name,
    ruleIds,
    keyType: KEY_TYPES[keyType]!,
    keyValue,
    window: feature.window,
    unit: feature.unit,
    value: evidenceValue(feature.read(scope), feature.type),
  };
  if (feature.panes !== undefined) {
    const { list, stretch, column, perUnit } = feature.panes;
    const last = Math.floor(scope.now / list.paneMs) - stretch.shift;
    view.panes = list
      .list(scope, last - stretch.panes, last, column)
      .map(({ startAt, value }) => ({ startAt, value: rounded(value / (column < 0 ? 1 : perUnit)) }));
    view.paneSec = list.paneMs / 1000;
  }
  return view;
}

/** What the bound account owes; null where no rule keeps a ledger. `expectedLoss` is that of the bad-debt model. */
export function ledgerView(
  scope: Scope,
  { ledger, disputes, promises, features }: RuleSet,
  expectedLoss: number | null,
): SubscriberView['ledger'] {
  if (ledger === undefined) return null;
  const days = Math.floor(ledger.pastDueMs(scope) / 86_400_000);
  const unpaid = ledger.unpaid(scope);
  const unbilled = ledger.unbilled(scope);
  const limit = features.find(({ keyType, feature }) => keyType === ACCOUNT && feature.name === 'creditLimit');
  const creditLimit = limit === undefined ? Number.NaN : (limit.feature.read(scope) as number);
  return {
    openInvoices: ledger
      .invoices(scope)
      .map(({ invoiceId, dueAt, remaining }) => ({ invoiceId, dueAt, remaining: rounded(remaining) })),
    unpaid: rounded(unpaid),
    overdue: rounded(ledger.overdue(scope)),
    ageing: ledger.ageing(scope),
    openDisputes: disputes?.open(scope) ?? 0,
    promise: promiseView(scope, promises),
    daysPastDue: days,
    bucket: days < 1 ? 'current' : days <= 30 ? '1-30' : days <= 60 ? '31-60' : days <= 90 ? '61-90' : '90+',
    unbilled: rounded(unbilled),
    creditLimit: creditLimit > 0 ? creditLimit : null,
    exposureRatio: creditLimit > 0 ? rounded((unpaid + unbilled) / creditLimit) : null,
    expectedLoss,
  };
}

function promiseView(scope: Scope, promises: Promises | undefined): NonNullable<SubscriberView['ledger']>['promise'] {
  const until = promises?.promiseAt(scope) ?? Number.NaN;
  if (promises === undefined || Number.isNaN(until)) return null;
  const amount = promises.promiseAmount(scope);
  return {
    until,
    amount: Number.isNaN(amount) ? null : rounded(amount),
    paid: rounded(promises.paidSincePromise(scope)),
  };
}

/** What the model of life cycle, value and churn says about the bound subscriber. */
export function worthView(
  scope: Scope,
  valuation: Valuation,
): Pick<SubscriberView, 'lifecycleStage' | 'value' | 'scores'> {
  const value: Record<string, number | string> = {};
  for (const [name, { type, read }] of valuation.names) {
    const shown = evidenceValue(read(scope), type);
    // `lifecycle.stage` stands beside it; the rest goes by its own name, the probability by that of the alert.
    if (shown !== null && name !== 'lifecycle.stage') value[WORTH_NAMES[name] ?? name] = shown;
  }
  const churn = scoreView('churnProbability', valuation.probability(scope), () => valuation.contributions(scope));
  return {
    lifecycleStage: valuation.stage(scope) || null,
    value: Object.keys(value).length === 0 ? null : value,
    scores: churn === undefined ? [] : [churn],
  };
}

/** What the bad-debt model says about the bound account; undefined where it does not apply. */
export function debtView(
  scope: Scope,
  debt: DebtScore,
): { score: SubscriberView['scores'][number]; expectedLoss: number } | undefined {
  const score = scoreView('badDebtProbability', debt.probability(scope), () => debt.contributions(scope));
  return score === undefined ? undefined : { score, expectedLoss: rounded(debt.expectedLoss(scope)) };
}

function scoreView(
  name: string,
  probability: number,
  contributions: () => readonly { name: string; value: number }[],
): SubscriberView['scores'][number] | undefined {
  if (Number.isNaN(probability)) return undefined;
  return {
    name,
    value: rounded(probability),
    contributions: contributions().map((one) => ({ name: one.name, value: rounded(one.value) })),
  };
}
