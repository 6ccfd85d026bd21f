/**
 * A whole rule set, checked and compiled once: which operators exist, what each record type touches, and closures for every
 * condition. Nothing of a rule file is looked at again while records flow.
 *
 * Rule by rule its features find or make their operators (features.ts); when all have been read, pane lists are laid out, for
 * only then their reach and columns are known; then bands, timers and texts are compiled (bands.ts), and last the plan of each
 * record type (plan.ts).
 */
import { SEEN_TYPES, type SeenType } from '../record/usage-record.ts';
import type { ReferenceLists } from '../reference/lists.ts';
import { PAGE_UNITS } from '../state/arena.ts';
import type { Balance } from '../state/balance.ts';
import { HEADER_UNITS, HOUSEMATES, OPERATORS_MAX } from '../state/block.ts';
import { createForecast } from '../state/forecast.ts';
import type { Ledger } from '../state/ledger.ts';
import type { Operator, Reader } from '../state/operator.ts';
import type { Profile } from '../state/profile.ts';
import type { Promises } from '../state/promises.ts';
import { LOOK_SPAN_MS } from '../state/rankings.ts';
import type { Score } from '../state/score.ts';
import type { SenderNote } from '../state/sender-note.ts';
import type { Tickets } from '../state/tickets.ts';
import { compileBands } from './bands.ts';
import { type BuiltInValues, builtInValues } from './built-in-values.ts';
import type { ValueType } from './compile.ts';
import { type CompiledFeature, type CompiledRule, EPISODE_UNITS } from './compiled-rule.ts';
import { createDebtScore, type DebtModel, type DebtScore, isDebtModelFile, parseDebtModel } from './debt.ts';
import { parseDuration } from './expression.ts';
import { compileFeatures } from './features.ts';
import type { RuleProblem } from './form.ts';
import { type Model, parseModel } from './model.ts';
import { createPlan, type Plan as RecordPlan } from './plan.ts';
import type { Fresh } from './registry.ts';
import { isOff, isShadow, KEY_GROUPS, KEY_TYPES, type KeyType, type RuleSource } from './rule.ts';
import { draftRule, type RuleDraft } from './rule-draft.ts';
import { asList, type CompileOptions, draftRuleSet, keyIndex, type SetDraft } from './set-draft.ts';
import { createSharedOperators, type SharedOperators } from './shared-operators.ts';
import { createValuation, looksForMs, type Valuation } from './valuation.ts';

export const RULES_MAX = 1_000;

type Plan = RecordPlan<CompiledRule>;

export interface RuleSet {
  /** Hash over the files, hexadecimal; changes with any change of any rule. */
  version: string;
  /** All of them, those that are off too. */
  sources: RuleSource[];
  /** The reference lists that its rules ask. */
  lists: ReferenceLists | undefined;
  rules: CompiledRule[];
  plans: Record<SeenType, Plan>;
  /** The same plans without rules for the kinds of keys that have a fresh operator; lateness and clocks as in the whole set. */
  plansOf(newcomers: ReadonlyMap<number, unknown>, isNeeded: (operator: Operator) => boolean): Record<SeenType, Plan>;
  operators: Map<number, Operator>;
  /** Rules that ask for timers, by key type. */
  timed: CompiledRule[][];
  /** Kind of key that an operator or episode belongs to. Index: operator id; undefined for a rule that is gone. */
  keyTypes: (number | undefined)[];
  /** Index: operator id of the episode. */
  rulesByEpisode: (CompiledRule | undefined)[];
  ledger: Ledger | undefined;
  promises: Promises | undefined;
  disputes: Tickets | undefined;
  balance: Balance | undefined;
  /** What notes the sender of a subscriber's last SMS, where a rule groups by senders. */
  senderNote: SenderNote | undefined;
  /** Where any rule asks for it, or groups by a key that falls back to it. */
  profile: Profile | undefined;
  /** Life cycle, value and churn, where there is a model beside the rules. */
  valuation: Valuation | undefined;
  /** How likely an account is not to pay, where there is a model of that. */
  debt: DebtScore | undefined;
  score: Score;
  /** Derived values that any expression mentions; the others are not worked out. */
  uses: ReadonlySet<string>;
  /** Each feature once, for people to look at. */
  features: { keyType: number; feature: CompiledFeature; ruleIds: string[] }[];
  fresh: Fresh;
}

/** Compiles a set, or says everything that is wrong with it. The registry only changes when the set is right. */
export function compileRuleSet(
  sources: RuleSource[],
  version: string,
  options: CompileOptions,
): { ruleSet: RuleSet } | { problems: RuleProblem[] } {
  const set = draftRuleSet(options);
  const { problems, operators, registry } = set;
  const shared = createSharedOperators(set);
  if (sources.length > RULES_MAX) {
    problems.push({ file: sources[RULES_MAX]!.file, line: 1, column: 1, message: `more than ${RULES_MAX} rules` });
  }

  // The model comes first: on the same regular look a rule sees today's stage, not yesterday's.
  const models = sources.find((source) => source.models !== undefined)?.models ?? [];
  const parsedAs = <T extends object>(
    isKind: (file: string) => boolean,
    parse: (file: string, text: string) => T | { problems: RuleProblem[] },
  ): T | undefined => {
    const found = models.find(({ file }) => isKind(file));
    if (found === undefined) return undefined;
    const parsed = parse(found.file, found.text);
    if (!('problems' in parsed)) return parsed;
    problems.push(...parsed.problems);
    return undefined;
  };
  const model = parsedAs((file) => !isDebtModelFile(file), parseModel);
  const debt = parsedAs(isDebtModelFile, parseDebtModel);
  const modelSources = [model, debt].flatMap((parsed) => (parsed === undefined ? [] : [parsed.source]));

  /** A key that stands for several makes a rule for each of them. */
  const running = sources.filter(({ rule }) => !isOff(rule));
  const keyed = [...modelSources, ...running].flatMap((source) =>
    (KEY_GROUPS[source.rule.key] ?? [source.rule.key]).map((key) => ({ source, key })),
  );
  const seenIds = new Map<string, RuleSource>();
  const drafts = keyed.map(({ source, key }) => {
    const isModel = modelSources.includes(source);
    const draft = draftRule(source, { key, isModel, set, shared });
    const other = seenIds.get(source.rule.id);
    if (other !== undefined && other !== source)
      draft.problem(['id'], `the id '${source.rule.id}' is used by ${other.file} already`);
    seenIds.set(source.rule.id, source);
    const builtIns = builtInValues(draft, set, shared);
    compileFeatures(draft, set, shared);
    // What a rule mentions of its built-in values, and so what makes it look, is known only after its conditions.
    set.whenLaidOut.push(() => {
      compileBands(draft, builtIns);
      if (source === model?.source) compileModel(model.model, { draft, builtIns, set, shared });
      else if (source === debt?.source) compileDebtModel(debt.model, { draft, builtIns, set, shared });
      else addTriggers(draft, builtIns, set);
    });
    return draft;
  });
  for (const source of sources) {
    const { rule, file, positionOf } = source;
    const other = seenIds.get(rule.id);
    if (isOff(rule) && other !== undefined && other !== source)
      problems.push({ file, ...positionOf(['id']), message: `the id '${rule.id}' is used by ${other.file} already` });
    seenIds.set(rule.id, source);
  }
  for (const complete of set.whenRead) complete();
  for (const complete of set.whenLaidOut) complete();
  shared.settleProfile();

  const all = drafts.map(({ compiled }) => compiled);
  const rules = drafts.filter(({ isModel }) => !isModel).map(({ compiled }) => compiled);
  const steps = set.steps();
  // All windows of a key lie in one block, with those of the keys that live together with it, and no block is larger than a page.
  for (const together of [KEY_TYPES.slice(0, HOUSEMATES), ...KEY_TYPES.slice(HOUSEMATES).map((key) => [key])]) {
    const own = rules.filter(({ key }) => together.includes(key));
    const kept = new Set(
      steps.flatMap((step) => (together.includes(KEY_TYPES[step.keyType]!) ? [...step.operators] : [])),
    );
    let units = HEADER_UNITS + (kept.size + own.length + 8) / 2 + own.length * EPISODE_UNITS;
    for (const operator of kept) units += operator.unitsMax;
    if (units <= PAGE_UNITS) continue;
    const { file, positionOf } = drafts.find(({ compiled }) => compiled === own.at(-1))!.source;
    const message = `the windows of all rules of key ${together.map((key) => `'${key}'`).join(', ')} may take ${Math.ceil(units / 128)} KiB in all; at most ${PAGE_UNITS / 128}`;
    problems.push({ file, ...positionOf(['key']), message });
  }
  if (registry.size() >= OPERATORS_MAX) {
    const message = `with the rules before, more than ${OPERATORS_MAX} different features have been asked for`;
    problems.push({ file: sources.at(-1)!.file, line: 1, column: 1, message });
  }
  if (problems.length > 0) {
    const shown = new Map(
      problems.map((entry) => [`${entry.file}:${entry.line}:${entry.column}:${entry.message}`, entry]),
    );
    return { problems: [...shown.values()] };
  }
  registry.commit();

  const planOf = (recordType: SeenType, only?: Parameters<typeof createPlan>[1]['only']): Plan => {
    const plan = createPlan(
      steps.filter((step) => step.on.includes(recordType)),
      {
        keyTypes: KEY_TYPES.length,
        only,
        // A bill or a payment is never too old for the ledger; usage is, when it is too old for every window.
        reachOf: (operator) =>
          operator === shared.made.ledger && recordType !== 'invoice' && recordType !== 'payment'
            ? 0
            : operator.lateAfterMs,
      },
    );
    // An alert is looked at when it is made, however old the record is that made it.
    return recordType === 'alert' ? { ...plan, lateAfterMs: Number.POSITIVE_INFINITY } : plan;
  };
  const plansOf = (only?: Parameters<typeof planOf>[1]): RuleSet['plans'] =>
    Object.fromEntries(SEEN_TYPES.map((type) => [type, planOf(type, only)])) as RuleSet['plans'];

  const shown = new Map<string, { keyType: number; feature: CompiledFeature; ruleIds: string[] }>();
  for (const rule of rules) {
    for (const feature of rule.features) {
      const key = `${rule.keyType}|${feature.name}|${feature.window}|${feature.entry?.id ?? rule.rule.id}`;
      const found = shown.get(key);
      if (found === undefined) shown.set(key, { keyType: rule.keyType, feature, ruleIds: [rule.rule.id] });
      else found.ruleIds.push(rule.rule.id);
    }
  }

  for (const rule of rules) {
    const parents = new Set(rule.rule.inhibitedBy);
    rule.inhibitors = rules.filter((parent) => parents.has(parent.rule.id) && !isShadow(parent.rule));
  }

  const rulesByEpisode: (CompiledRule | undefined)[] = [];
  const keyTypes: (number | undefined)[] = [];
  // The second part of an operator's signature is the kind of its key.
  for (const [signature, { id }] of registry.entries()) {
    const keyType = keyIndex(signature.split('|')[1] as KeyType);
    if (keyType >= 0) keyTypes[id] = keyType;
  }
  for (const rule of rules) {
    rulesByEpisode[rule.episode] = rule;
    keyTypes[rule.episode] = rule.keyType;
  }

  return {
    ruleSet: {
      version,
      sources,
      lists: options.lists,
      rules,
      plans: plansOf(),
      plansOf: (newcomers, isNeeded) =>
        plansOf({
          isNeeded,
          keyTypes: new Set([
            keyIndex('subscriber'),
            ...steps.flatMap((step) => ([...step.operators].some(({ id }) => newcomers.has(id)) ? [step.keyType] : [])),
          ]),
        }),
      operators,
      timed: KEY_TYPES.map((_, keyType) =>
        all.filter((rule) => rule.keyType === keyType && (rule.evaluateAt.length > 0 || rule.everyMs > 0)),
      ),
      keyTypes,
      rulesByEpisode,
      uses: set.uses,
      ...shared.made,
      valuation: set.valuation,
      debt: set.debt,
      score: shared.score.operator,
      features: [...shown.values()],
      fresh: registry.fresh,
    },
  };
}

/** The files that it was made of: models, rules in their order, and the lists that they ask. */
export function filesInForce({ sources, lists }: RuleSet): { file: string; text: string }[] {
  const models = sources.find((source) => source.models !== undefined)?.models ?? [];
  return [...models, ...sources, ...(lists?.files ?? [])].map(({ file, text }) => ({ file, text }));
}

/**
 * The set as a second engine runs it that reads old records again: keys, clocks and lateness are those of the whole set, but
 * only fresh operators remember anything, and no rule looks. Kinds of keys without a fresh operator are left out, except the
 * subscriber, whose clock says what is late.
 */
export function observingOnly(ruleSet: RuleSet): RuleSet {
  const isNeeded = (operator: Operator): boolean =>
    ruleSet.fresh.has(operator.id) ||
    operator === ruleSet.senderNote ||
    (operator.feeds?.some(({ id }) => ruleSet.fresh.has(id)) ?? false);
  return {
    ...ruleSet,
    plans: ruleSet.plansOf(ruleSet.fresh, isNeeded),
    timed: ruleSet.timed.map(() => []),
    rulesByEpisode: [],
  };
}

/** What makes the rule look: its own `on` and `where`, or else the records that change what it mentions. */
function addTriggers(draft: RuleDraft, builtIns: BuiltInValues, set: SetDraft): void {
  const { rule, compiled, where, triggers } = draft;
  const on = asList(rule.on);
  if (on !== undefined) {
    set.stepOf(compiled.keyType, on, where.text, where.holds).rules.add(compiled);
    return;
  }
  builtIns.addTriggers();
  if (triggers.size === 0) draft.problem(['id'], "nothing triggers this rule: give it 'on' or features");
  for (const step of triggers) step.rules.add(compiled);
}

interface ModelParts {
  draft: RuleDraft;
  builtIns: BuiltInValues;
  set: SetDraft;
  shared: SharedOperators;
}

/** Compiles an expression of a model. */
const readerOf =
  (draft: RuleDraft, builtIns: BuiltInValues) =>
  (text: string, path: (string | number)[], type: ValueType): Reader => {
    const value = draft.compile(draft.parse(text, path), builtIns.environment, path, type);
    return (value?.evaluate as Reader | undefined) ?? (() => Number.NaN);
  };

/** The score is worked out when a rule or a person asks; the model itself never looks. */
function compileDebtModel(model: DebtModel, parts: ModelParts): void {
  const { draft, builtIns, set, shared } = parts;
  const reader = readerOf(draft, builtIns);
  const applies = draft.compile(draft.parse(model.applies, ['applies']), builtIns.environment, ['applies'], 'boolean');
  // People see its ledger beside it, whatever the formula asks.
  shared.ledger();
  set.debt = createDebtScore(model, {
    applies: (scope) => applies?.evaluate(scope) === true,
    exposure: reader(model.exposure, ['exposure'], 'number'),
    values: model.inputs.map(({ value }, index) => reader(value, ['inputs', index, 'value'], 'number')),
  });
}

/**
 * Turns the draft into what looks at each subscriber once a day instead of judging bands. Revenue is kept of every subscriber
 * as soon as there is a model, because ranks are among all of them.
 */
function compileModel(model: Model, { draft, builtIns, set, shared }: ModelParts): void {
  const { compiled } = draft;
  const { lifecycle, churn } = model;
  const reader = readerOf(draft, builtIns);
  const readers = {
    tenureMs: reader(lifecycle.tenure, ['lifecycle', 'tenure'], 'duration'),
    lastUsageAt: reader(lifecycle.lastUsageAt, ['lifecycle', 'lastUsageAt'], 'time'),
    signals: reader(lifecycle.signals, ['lifecycle', 'signals'], 'number'),
    ratios: churn.inputs.map(({ ratio }, index) => reader(ratio, ['churn', 'inputs', index, 'ratio'], 'number')),
  };
  const revenue = shared.revenue(parseDuration(lifecycle.portOutGrace)!);
  for (const step of revenue.steps) step.rules.add(compiled);
  const { rankings, calibration } = set.options;
  set.valuation = createValuation({
    model,
    revenue: revenue.operator,
    rankings,
    readers,
    since: () => revenue.entry.since!,
    forecast: createForecast(set.registry.entryOf('forecast|subscriber', ['alert']).id),
    calibration,
  });
  compiled.look = set.valuation.look;
  compiled.phase = { fromMs: rankings.lookFromMs, spanMs: LOOK_SPAN_MS };
  compiled.operatorIds = [revenue.operator.id];
  compiled.reachMs = looksForMs(model);
  compiled.onArrival = false;
}
