/**
 * What people call rules and the values in them. The list of rules is read once, when the first name is wanted, and again where one
 * is not known: rules come and change while a page is open.
 */
import { signal } from '@preact/signals';
import type { LocalizedText } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { alertedRuleTitle } from './live-alerts.ts';
import { locale } from './locale.ts';
import { getRules, type RuleSummary } from './rule-api.ts';
import { may } from './session.ts';

/** An alert may outlive its rule: what is not known is not asked for again at once. */
const ASK_AGAIN_MS = 60_000;

const known = signal<ReadonlyMap<string, RuleSummary>>(new Map());
let askedAt = Number.NEGATIVE_INFINITY;
/** The list of rules has been read, or cannot be: what it does not name has no other name than its id. */
const settled = signal(false);

export function rememberRules(rules: readonly RuleSummary[]): void {
  known.value = new Map(rules.map((rule) => [rule.id, rule]));
}

async function ask(): Promise<void> {
  if (performance.now() - askedAt < ASK_AGAIN_MS) return;
  askedAt = performance.now();
  try {
    if (may('listRules')) rememberRules(await getRules());
  } catch (error) {
    // Names in place of titles until the next try: nothing on the page depends on them.
    if (!(error instanceof ApiError)) throw error;
  }
  settled.value = true;
}

/** Undefined where neither the list of rules nor an alert on this page has said. */
export function ruleTitle(ruleId: string): string | undefined {
  const title: LocalizedText | undefined = known.value.get(ruleId)?.title ?? alertedRuleTitle(ruleId);
  if (title === undefined) void ask();
  return title?.[locale.value];
}

/** What stands for a rule where there is room for words only: its title, its id where it has none, and nothing yet while that is asked. */
export const ruleLabel = (ruleId: string): string => ruleTitle(ruleId) ?? (settled.value ? ruleId : '…');

/** The title of a value that a rule reads; undefined where the rule gives it none. */
export function featureTitle(ruleId: string, feature: string): string | undefined {
  const rule = known.value.get(ruleId);
  const title = rule?.featureTitles[feature];
  if (title === undefined) void ask();
  return title?.[locale.value];
}
