/**
 * What one record of a type does: which keys it touches, which operators take it, which rules look. Worked out once for a rule
 * set and asked for every record, so that a rule that has nothing to do with a record costs it next to nothing.
 *
 * Two ideas. First, conditions share their parts: `direction == 'mo' && international` and `direction == 'mo' && roaming` are
 * two leaves of one tree, and where the part they begin with is false, neither is asked further. The tree lies in arrays in
 * the order of asking; a part that is false skips its branch:
 *
 * ```
 * direction == 'mo'      true: on, false: skip 3
 *   international        -> condition 0
 *   roaming              -> condition 1
 * direction == 'mt'      -> condition 2
 * ```
 *
 * Second, records are much alike: which conditions hold together is one of a few hundred patterns, and for each pattern the lists
 * of operators and rules are put together once and then only looked up.
 */
import type { SeenType } from '../record/usage-record.ts';
import type { Operator, Scope } from '../state/operator.ts';

/** Patterns remembered of one record type; a sender that makes more of them only makes them be put together again. */
export const PATTERNS_MAX = 4_096;

/** A condition, and the parts that must all hold for it, where it is a conjunction. */
export type Predicate = ((scope: Scope) => boolean) & { terms?: readonly Term[] };

export interface Term {
  /** The same text means the same. */
  text: string;
  holds: (scope: Scope) => boolean;
  /** Asks lists or another subscriber: comes after what only looks at the record. */
  isDear: boolean;
}

/** What a plan needs to know of a rule. */
export interface Looking {
  /** Judges late records too. */
  onArrival: boolean;
}

/** What happens to one kind of key under one condition. */
export interface Step<Rule extends Looking> {
  keyType: number;
  on: readonly SeenType[];
  where: string;
  holds: Predicate;
  operators: Set<Operator>;
  rules: Set<Rule>;
}

/** What a record does to one of its keys. */
export interface KeyPlan<Rule extends Looking> {
  keyType: number;
  operators: Operator[];
  rules: Rule[];
  /** One of the rules judges late records too. */
  onArrival: boolean;
}

export interface Pattern<Rule extends Looking> {
  keys: KeyPlan<Rule>[];
  /** The longest of the windows that take the record; Infinity where there is none. */
  lateAfterMs: number;
}

export interface Plan<Rule extends Looking> {
  /** Nothing looks at records of this type. */
  isEmpty: boolean;
  /** The shortest of all windows: a record that is not further behind is late for nothing. */
  lateAfterMs: number;
  /** What the record in the scope does. */
  patternOf(scope: Scope): Pattern<Rule>;
}

/** `reachOf` says how far behind its key's clock a record of this type may come and still be of use to an operator. */
export function createPlan<Rule extends Looking>(
  steps: readonly Step<Rule>[],
  options: {
    keyTypes: number;
    reachOf: (operator: Operator) => number;
    /** Only these operators take records, only these kinds of keys are touched (all alike, for their clocks), and no rule looks. */
    only?: { isNeeded: (operator: Operator) => boolean; keyTypes: ReadonlySet<number> } | undefined;
  },
): Plan<Rule> {
  const { only } = options;
  const mine = steps.filter(({ operators, rules }) => operators.size > 0 || rules.size > 0);
  const conditions = new Map<string, number>();
  const termLists: (readonly Term[])[] = [];
  const conditionOf = new Map<Step<Rule>, number>();
  for (const step of mine) {
    let condition = conditions.get(step.where);
    if (condition === undefined) {
      const whole: Term = { text: step.where, holds: step.holds, isDear: false };
      condition = termLists.push(step.holds.terms ?? (step.where === '' ? [] : [whole])) - 1;
      conditions.set(step.where, condition);
    }
    conditionOf.set(step, condition);
  }
  const words = Math.max(1, Math.ceil(termLists.length / 32));

  // What many conditions ask is asked first, so that most branches hang below it.
  const frequency = new Map<string, number>();
  for (const terms of termLists) for (const { text } of terms) frequency.set(text, (frequency.get(text) ?? 0) + 1);
  interface Branch {
    term: Term | undefined;
    /** Conditions of which this is the last part. */
    ends: number[];
    below: Map<string, Branch>;
  }
  const root: Branch = { term: undefined, ends: [], below: new Map() };
  termLists.forEach((terms, condition) => {
    const ordered = [...new Map(terms.map((term) => [term.text, term])).values()].sort(
      (a, b) =>
        Number(a.isDear) - Number(b.isDear) ||
        frequency.get(b.text)! - frequency.get(a.text)! ||
        (a.text < b.text ? -1 : 1),
    );
    let branch = root;
    for (const term of ordered) {
      let next = branch.below.get(term.text);
      if (next === undefined) {
        next = { term, ends: [], below: new Map() };
        branch.below.set(term.text, next);
      }
      branch = next;
    }
    branch.ends.push(condition);
  });
  const holds: ((scope: Scope) => boolean)[] = [];
  const skip: number[] = [];
  const ends: number[][] = [];
  const lay = (branch: Branch): void => {
    for (const next of branch.below.values()) {
      const at = holds.push(next.term!.holds) - 1;
      ends.push(next.ends);
      skip.push(0);
      lay(next);
      skip[at] = holds.length;
    }
  };
  lay(root);
  const count = holds.length;

  const always = new Uint32Array(words);
  for (const condition of root.ends) always[condition >> 5]! |= 1 << (condition & 31);
  const truth = new Uint32Array(words);

  const isTrue = (step: Step<Rule>): boolean => {
    const condition = conditionOf.get(step)!;
    return (truth[condition >> 5]! & (1 << (condition & 31))) !== 0;
  };
  const putTogether = (): Pattern<Rule> => {
    const keys: KeyPlan<Rule>[] = [];
    let lateAfterMs = 0;
    for (let keyType = 0; keyType < options.keyTypes; keyType++) {
      const touching = mine.filter((step) => step.keyType === keyType && isTrue(step));
      if (touching.length === 0) continue;
      const all = touching.flatMap((step) => [...step.operators]);
      for (const operator of all) lateAfterMs = Math.max(lateAfterMs, options.reachOf(operator));
      // A key that is there because a rule judged a late record is there after a back-fill too, though no rule looks then.
      const onArrival = mine.some((step) => step.keyType === keyType && [...step.rules].some((rule) => rule.onArrival));
      if (only !== undefined) {
        const operators = all.filter(only.isNeeded);
        if (only.keyTypes.has(keyType)) keys.push({ keyType, operators, rules: [], onArrival });
        continue;
      }
      // In the order in which the rules stand in the set, also where an earlier step lets a later rule look.
      const looking = new Set(touching.flatMap((step) => [...step.rules]));
      const rules = [...new Set(mine.flatMap((step) => [...step.rules]))].filter((rule) => looking.has(rule));
      keys.push({ keyType, operators: all, rules, onArrival });
    }
    return { keys, lateAfterMs: lateAfterMs === 0 ? Number.POSITIVE_INFINITY : lateAfterMs };
  };

  // Open addressing over the words of a pattern.
  const slots = PATTERNS_MAX * 2;
  const seen = new Uint32Array(slots * words);
  const patterns: (Pattern<Rule> | undefined)[] = new Array(slots).fill(undefined);
  let known = 0;
  const patternOf = (scope: Scope): Pattern<Rule> => {
    truth.set(always);
    for (let at = 0; at < count; ) {
      if (!holds[at]!(scope)) {
        at = skip[at]!;
        continue;
      }
      const ending = ends[at]!;
      for (let index = 0; index < ending.length; index++) {
        const condition = ending[index]!;
        truth[condition >> 5]! |= 1 << (condition & 31);
      }
      at++;
    }
    let hash = 0x811c9dc5;
    for (let word = 0; word < words; word++) hash = Math.imul(hash ^ truth[word]!, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = (hash >>> 0) % slots; ; slot = (slot + 1) % slots) {
      const pattern = patterns[slot];
      if (pattern !== undefined) {
        let word = 0;
        while (word < words && seen[slot * words + word] === truth[word]) word++;
        if (word === words) return pattern;
        continue;
      }
      if (known === PATTERNS_MAX) {
        patterns.fill(undefined);
        known = 0;
      }
      const made = putTogether();
      // After a new beginning the slot at hand may not be the first free one, which costs a repetition at worst.
      patterns[slot] = made;
      seen.set(truth, slot * words);
      known++;
      return made;
    }
  };

  const reaches = mine
    .map(({ operators }) => Math.max(0, ...[...operators].map(options.reachOf)))
    .filter((reach) => reach > 0);
  return { isEmpty: mine.length === 0, lateAfterMs: Math.min(Number.POSITIVE_INFINITY, ...reaches), patternOf };
}
