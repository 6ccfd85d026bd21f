/** A rule as it runs: its features and bands as closures, and what the engine asks of it without looking at its file again. */
import type { SEVERITIES } from '../alerts/alert.ts';
import type { Blocks } from '../state/block.ts';
import type { Reader, Scope } from '../state/operator.ts';
import type { Panes, Stretch } from '../state/panes.ts';
import type { Value, ValueType } from './compile.ts';
import type { RegistryEntry } from './registry.ts';
import type { KeyType, Rule } from './rule.ts';
import type { Template } from './template.ts';

/** What an open episode takes of a key's block; see alerts/episode.ts. */
export const EPISODE_UNITS = 5;

export interface CompiledFeature {
  name: string;
  window: string;
  unit: string;
  type: ValueType;
  read: (scope: Scope) => Value;
  /** Where the values of single panes can be shown. */
  panes?: { list: Panes; stretch: Stretch; column: number; perUnit: number };
  /** Where the operator behind it began. */
  entry: RegistryEntry | undefined;
  /** Event time since which its column has been filled, where it is one of a pane list. */
  columnSince?: number;
}

export interface CompiledBand {
  severity: (typeof SEVERITIES)[number];
  /** Rank of the severity. */
  rank: number;
  holds: (scope: Scope) => boolean;
  score: number;
  reason: { en: Template; 'zh-CN': Template };
  /** The reason names fields of the record that made it fire; without a record it says nothing. */
  saysRecord: boolean;
  /** Thresholds of this band by feature name. */
  thresholds: Map<string, (scope: Scope) => Value>;
}

export interface CompiledRule {
  rule: Rule;
  /** That of the rule, or one of those that it stands for. */
  key: KeyType;
  keyType: number;
  /** Operator id of the episode of this rule in a key's block. */
  episode: number;
  /** Rising. */
  bands: CompiledBand[];
  /** Features and built-in values that the rule mentions, for evidence. */
  features: CompiledFeature[];
  /** Operators behind its features and built-in values. */
  operatorIds: number[];
  evaluateAt: Reader[];
  everyMs: number;
  /** Wants to be looked at at times of its own. */
  isTimed: boolean;
  /** Of two bands the higher one never holds without the lower one. */
  isRising: boolean;
  suppressMs: number;
  /** The band of an open episode falls with the condition. */
  falls: boolean;
  /** Longest reach of its values: silence beyond it cannot change them any more. Infinity where one grows with time. */
  reachMs: number;
  /** Judged on arrival also where the record is late for every window: it has none, or looks at single calls. */
  onArrival: boolean;
  /** Asks how long a key has been known: its first record must not be forgotten. */
  asksKnownFor: boolean;
  /** Of the model: what a regular look does, instead of judging bands. */
  look?: (scope: Scope, blocks: Blocks) => void;
  /** Where in its interval it looks; anywhere where it does not say. */
  phase?: { fromMs: number; spanMs: number };
  /** Rules in force whose open alert for the same party keeps this one from firing. */
  inhibitors: CompiledRule[];
  /** Kind of the entity that has one alert at a time, and the operator id of what its block remembers; -1: every key has its own. */
  suppressBy: number;
  suppression: number;
  /** Kind of key that its alerts are grouped by; -1: the account behind them. */
  groupBy: number;
  /** Whose score its alerts add to. */
  scoresServed: boolean;
  scoresOther: boolean;
}

/**
 * The features that keep something of the records, and the event time since which they have seen all of them; 0: from the first
 * record on. A window that is longer than that is not full yet.
 */
export function observedFeatures(rule: CompiledRule): { name: string; window: string; since: number }[] {
  return rule.features.flatMap(({ name, window, entry, columnSince }) =>
    entry === undefined ? [] : [{ name, window, since: Math.max(entry.since ?? 0, columnSince ?? 0) }],
  );
}
