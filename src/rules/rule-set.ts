/**
 * A whole rule set, checked and compiled once: which operators exist, what each record type touches, and closures for every
 * condition. Nothing of a rule file is looked at again while records flow.
 *
 * Features that ask for the same thing share one operator, across rules and across rule sets: an operator is named by a
 * signature (key, record types, condition, pane length ...), and the registry gives each signature the same id for ever,
 * because ids are what stands in the state. A new rule set therefore finds the windows of the old one as they were.
 */
import { DESKS, type Desk, SEVERITIES } from '../alerts/alert.ts';
import { SEEN_TYPES, type SeenType } from '../record/usage-record.ts';
import { contactTime } from '../reference/contact-hours.ts';
import { EMPTY_LIST, type ReferenceLists } from '../reference/lists.ts';
import { holidaysOf, type LocalTime } from '../reference/local-time.ts';
import { PAGE_UNITS } from '../state/arena.ts';
import { type Balance, createBalance } from '../state/balance.ts';
import { type BillHistory, createBillHistory } from '../state/bill-history.ts';
import {
  clockOf,
  firstSeenOf,
  HEADER_UNITS,
  HOUSEMATES,
  keyOf,
  OPERATORS_MAX,
  SEGMENT_UNITS_MAX,
} from '../state/block.ts';
import { createCallTotal, createConcurrency, createOverlap } from '../state/calls.ts';
import { createDistinct, DISTINCT_PANES_MAX } from '../state/distinct.ts';
import { createFrequency } from '../state/frequency.ts';
import { createHeld, type HeldStatistic } from '../state/held.ts';
import { createHourOfWeek } from '../state/hour-of-week.ts';
import { fingerprint, type Names } from '../state/key-table.ts';
import { createChange, createFirst, createGaps, createLatest } from '../state/latest.ts';
import { createLedger, type Ledger } from '../state/ledger.ts';
import { createMembers } from '../state/members.ts';
import { createMoves } from '../state/moves.ts';
import { createNeighbours } from '../state/neighbours.ts';
import type { Operator, Reader, Scope } from '../state/operator.ts';
import {
  type ColumnKind,
  createPanes,
  PANE_MS_MIN,
  PANES_MAX,
  type Panes,
  readBaseline,
  readColumn,
  readCount,
  type Stretch,
} from '../state/panes.ts';
import { createPassage } from '../state/passage.ts';
import { createPeriodTotal } from '../state/period.ts';
import { createProfile, PROFILE_NAMES, type Profile, profileBinding } from '../state/profile.ts';
import { createPromises, type Promises } from '../state/promises.ts';
import { LOOK_SPAN_MS, type Rankings } from '../state/rankings.ts';
import { createRecent, type RecentStatistic } from '../state/recent.ts';
import { createReset } from '../state/reset.ts';
import { createRevenue, type Revenue } from '../state/revenue.ts';
import { createRun, createTurns } from '../state/run.ts';
import { createScore, type Score } from '../state/score.ts';
import { createSeenPanes, SEEN_PANES_MAX } from '../state/seen-panes.ts';
import { createSenderNote, type SenderNote } from '../state/sender-note.ts';
import { createSequence, SEQUENCE_COUNT_MAX } from '../state/sequence.ts';
import { createTickets, type Tickets } from '../state/tickets.ts';
import { createTopValues, TOP_PANES } from '../state/top-values.ts';
import {
  type Binding,
  type Compiled,
  compileExpression,
  type Environment,
  OFF,
  type Value,
  type ValueType,
} from './compile.ts';
import {
  canonical,
  ExpressionError,
  implies,
  type Node,
  namesIn,
  parseDuration,
  parseExpression,
} from './expression.ts';
import { LEDGER_GROWS, LEDGER_NAMES, LEDGER_VALUES } from './ledger-values.ts';
import { type Model, parseModel } from './model.ts';
import { RECORD_NAMES, type RecordBinding } from './names.ts';
import { createPlan, type Predicate, type Plan as RecordPlan, type Step as RecordStep } from './plan.ts';
import {
  isShadow,
  KEY_GROUPS,
  KEY_TYPES,
  type KeyType,
  type Rule,
  type RuleFeature,
  type RuleProblem,
  type RuleSource,
} from './rule.ts';
import { compileTemplate, type Template } from './template.ts';
import { createValuation, looksForMs, type Valuation } from './valuation.ts';

export const RULES_MAX = 1_000;
export const FEATURES_PER_RULE_MAX = 32;
/** What an open episode takes of a key's block; see alerts/episode.ts. */
export const EPISODE_UNITS = 5;
const PANES_DEFAULT = 12;
const DAY_MS = 86_400_000;
/** The longest shift, a weekend, with an hour for the change of the clocks. */
const SHIFT_MS_MAX = 57 * 3_600_000;
/** What the model keeps of revenue has one form, whatever its figures. */
const REVENUE_SIGNATURE = 'revenue|subscriber';
const REVENUE_TYPES = ['topup', 'payment', 'invoice', 'account'] as const;
/** How long single calls are kept where the rule does not say. */
const CALLS_KEPT_MS = 12 * 3_600_000;

export interface RegistryEntry {
  id: number;
  /**
   * Event time since which the operator has seen every record; 0: from the first one on. Null while no rule of the set in
   * force asks for it: it sees nothing until one does again, and then begins anew.
   */
  since: number | null;
  /** Columns of a pane list, only ever appended to. */
  columns: string[];
  /** Like `since`, for each column. */
  columnsSince: (number | null)[];
  /** Panes that a pane list keeps; 0 for other operators. */
  reach: number;
}

/** Ids of operators by signature; part of the checkpoint. */
export type Registry = Map<string, RegistryEntry>;

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
  /** Longest reach of its values: silence beyond it cannot change them any more. Infinity where one grows with time. */
  reachMs: number;
  /** Judged on arrival also where the record is late for every window: it has none, or looks at single calls. */
  onArrival: boolean;
  /** Asks how long a key has been known: its first record must not be forgotten. */
  asksKnownFor: boolean;
  /** Of the model: what a regular look does, instead of judging bands. */
  look?: (scope: Scope) => void;
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

type Step = RecordStep<CompiledRule>;
type Plan = RecordPlan<CompiledRule>;

export interface RuleSet {
  /** Hash over the files, hexadecimal; changes with any change of any rule. */
  version: string;
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
  score: Score;
  /** Derived values that any expression mentions; the others are not worked out. */
  uses: ReadonlySet<string>;
  /** Each feature once, for people to look at. */
  features: { keyType: number; feature: CompiledFeature; ruleIds: string[] }[];
  /**
   * Operators that have seen nothing before this set, or, where columns are named, a pane list of which those have, or that
   * reaches further back than before. These are what a back-fill brings.
   */
  fresh: Map<number, 'all' | ReadonlySet<number>>;
}

export interface CompileOptions {
  registry: Registry;
  names: Names;
  localTime: LocalTime;
  /** Undefined: every list is empty, whatever its name; what a rule alone is checked and tested with. */
  lists: ReferenceLists | undefined;
  /** Currency units of one special drawing right, in which operators settle; default 1. */
  currencyPerSdr?: number | undefined;
  rankings: Rankings;
  /** Event time of the swap; operators that are new begin here. 0 for the first set of an empty state. */
  since: number;
  /** Where the windows of new features are brought along, filled by records read again. */
  backfill?: BackfillSpan;
}

/** What the records that are read again cover. */
export interface BackfillSpan {
  /** Event time since which all of them have been read; 0: from the first one on. */
  since: number;
  /** A feature that began later than this is as good as new: it is filled too. */
  until: number;
}

/** Values that change while nothing happens. */
const GROWS_WITH_TIME: ReadonlySet<string> = new Set([
  'now',
  'knownFor',
  ...LEDGER_GROWS.map((name) => `ledger.${name}`),
  'tickets.oldestAge',
]);

/** A compiled condition on a record, and the text that tells it from others. */
interface Condition {
  text: string;
  holds: Predicate;
}

const anyOf = (conditions: readonly Condition[]): Condition => ({
  text: conditions.map(({ text }) => `(${text})`).join('||'),
  holds: (scope) => {
    for (let index = 0; index < conditions.length; index++) if (conditions[index]!.holds(scope)) return true;
    return false;
  },
});

const SUBSCRIBER = KEY_TYPES.indexOf('subscriber');
/** Keys that a record without them has from the profile of its subscriber. */
const PROFILE_KEYS: ReadonlySet<KeyType> = new Set(['dealer', 'idDocument', 'paymentToken', 'address']);
/** Keys that are the served subscriber, or something of its own. */
const PARTY_KEYS: ReadonlySet<KeyType> = new Set(['subscriber', 'account', 'imsi', 'imei', 'subscriber+prefix']);
/** Kinds that stand for several, or are made of two parts, name no single entity. */
const isEntity = (key: KeyType | undefined): boolean =>
  key === undefined || (KEY_GROUPS[key] === undefined && !key.includes('+'));
const keyIndex = (key: KeyType): number => KEY_TYPES.indexOf(key);
const asList = <T>(value: T | readonly T[] | undefined): readonly T[] | undefined =>
  value === undefined ? undefined : Array.isArray(value) ? (value as readonly T[]) : [value as T];

/**
 * The features that keep something of the records, and the event time since which they have seen all of them; 0: from the first
 * record on. A window that is longer than that is not full yet.
 */
export function observedFeatures(rule: CompiledRule): { name: string; window: string; since: number }[] {
  return rule.features.flatMap(({ name, window, entry, columnSince }) =>
    entry === undefined ? [] : [{ name, window, since: Math.max(entry.since ?? 0, columnSince ?? 0) }],
  );
}

/** Compiles a set, or says everything that is wrong with it. The registry only changes when the set is right. */
export function compileRuleSet(
  sources: RuleSource[],
  version: string,
  options: CompileOptions,
): { ruleSet: RuleSet } | { problems: RuleProblem[] } {
  const problems: RuleProblem[] = [];
  const { localTime, lists } = options;
  const currencyPerSdr = parameterBinding(options.currencyPerSdr ?? 1);
  const holidays = holidaysOf(lists?.get('holidays')?.valuesOf('date') ?? []);
  const functions: Omit<Environment, 'resolve' | 'names'> = {
    isNight: localTime.isNight,
    contactTime: ({ cursor }, at, hours) => {
      const key = keyOf(cursor);
      const mixed = Math.imul((key > 0 ? key : fingerprint(options.names.textOf(key))) | 0, 0x9e3779b1) >>> 0;
      return contactTime(at, hours, { localTime, holidays }, mixed / 0x1_0000_0000);
    },
    timeOfDayMs: localTime.timeOfDayMs,
    list: (name) => (lists === undefined ? EMPTY_LIST : lists.get(name)),
    listNames: () => lists?.names() ?? [],
  };
  const registry: Registry = new Map(
    [...options.registry].map(([key, entry]) => [
      key,
      { ...entry, columns: [...entry.columns], columnsSince: [...entry.columnsSince] },
    ]),
  );
  const operators = new Map<number, Operator>();

  const used = new Set<RegistryEntry>();
  const fresh = new Map<number, 'all' | Set<number>>();
  /** Alerts are not in the stream, so windows over them cannot be filled. */
  const backfillOf = (on: readonly SeenType[]): BackfillSpan | undefined =>
    on.includes('alert') ? undefined : options.backfill;
  const isNew = (since: number | null | undefined, on: readonly SeenType[]): boolean =>
    since === null || since === undefined || since > (backfillOf(on)?.until ?? Number.POSITIVE_INFINITY);
  /** `on`: the record types behind it, where alerts may be among them. */
  const entryOf = (signature: string, on: readonly SeenType[] = []): RegistryEntry => {
    let entry = registry.get(signature);
    if (entry === undefined) {
      entry = { id: registry.size + 1, since: null, columns: [], columnsSince: [], reach: 0 };
      registry.set(signature, entry);
    }
    if (!used.has(entry) && isNew(entry.since, on)) {
      entry.since = backfillOf(on)?.since ?? options.since;
      if (!on.includes('alert')) fresh.set(entry.id, 'all');
    }
    used.add(entry);
    return entry;
  };

  const steps = new Map<string, Step>();
  const always = (): boolean => true;
  const stepOf = (keyType: number, on: readonly SeenType[], where: string, holds: Predicate): Step => {
    const key = `${keyType}|${[...on].sort().join()}|${where}`;
    let step = steps.get(key);
    if (step === undefined) {
      step = { keyType, on, where, holds, operators: new Set(), rules: new Set() };
      steps.set(key, step);
    }
    return step;
  };

  /** Pane lists are made after all rules have been read, because only then their reach and columns are known. */
  interface PaneRequest {
    entry: RegistryEntry;
    signature: string;
    paneMs: number;
    reach: number;
    columns: Map<string, { kind: ColumnKind; of: Reader }>;
    asked: Set<number>;
    list: Panes | undefined;
  }
  const paneRequests = new Map<string, PaneRequest>();
  const finish: (() => void)[] = [];
  /** Conditions, timers and texts are compiled when every feature of every rule has its reader. */
  const conditions: (() => void)[] = [];
  const rules: CompiledRule[] = [];
  let ledger: Ledger | undefined;
  let senderNote: SenderNote | undefined;
  let promises: Promises | undefined;
  let disputes: Tickets | undefined;
  /** Operators that a record begins anew, by id; features that share one share that too. */
  const resets = new Set<number>();
  /** Operators that take records only while a condition holds. */
  const gated = new Set<number>();
  let balance: Balance | undefined;
  /** The subscriber notes who sent it what a rule over senders takes, because it is the one that answers. */
  const noteSenders = (where: Condition): void => {
    if (senderNote === undefined) {
      const signature = 'sender|subscriber';
      const entry = entryOf(signature);
      senderNote = createSenderNote({ id: entry.id, signature, names: options.names });
      operators.set(entry.id, senderNote);
    }
    stepOf(keyIndex('subscriber'), ['sms'], where.text, where.holds).operators.add(senderNote);
  };
  const seenIds = new Map<string, RuleSource>();
  let valuation: Valuation | undefined;
  let modelRule: CompiledRule | undefined;

  /** What belongs to an account as a whole is made once, when a rule first mentions it. */
  const accountType = keyIndex('account');
  const shared = <T extends Operator>(
    signature: string,
    create: (id: number) => T,
  ): { operator: T; entry: RegistryEntry } => {
    const entry = entryOf(signature, []);
    const operator = (operators.get(entry.id) as T | undefined) ?? create(entry.id);
    operators.set(entry.id, operator);
    return { operator, entry };
  };
  const billing = (): Step => stepOf(accountType, ['invoice', 'payment'], '', always);
  const ledgerOf = (): { operator: Ledger; entry: RegistryEntry } => {
    const signature = 'ledger|account|2';
    const made = shared(signature, (id) => createLedger({ id, signature }));
    ledger = made.operator;
    billing().operators.add(ledger);
    const charged = (scope: Scope): boolean => scope.record.chargeMicros > 0;
    stepOf(accountType, ['voice', 'sms', 'data'], '(charge>0)', charged).operators.add(ledger);
    return made;
  };
  const billHistoryOf = (): { operator: BillHistory; entry: RegistryEntry } => {
    const signature = 'bills|account';
    const made = shared(signature, (id) => createBillHistory({ id, signature }));
    const { operator } = ledgerOf();
    operator.history = made.operator;
    operator.feeds = [made.operator];
    billing().operators.add(made.operator);
    return made;
  };
  const accountPart = (part: 'promises' | 'disputes'): { operator: Operator; entry: RegistryEntry } => {
    const signature = `${part}|account`;
    if (part === 'promises') {
      const made = shared(signature, (id) => createPromises({ id, signature }));
      promises = made.operator;
      stepOf(accountType, ['payment'], '', always).operators.add(made.operator);
      const promised = (scope: Scope): boolean => scope.record.event === 'paymentPromised';
      stepOf(accountType, ['account'], "(event=='paymentPromised')", promised).operators.add(made.operator);
      return made;
    }
    const opens = (record: Scope['record']): boolean => record.reason === 'dispute';
    const made = shared(signature, (id) => createTickets({ id, signature, opens }));
    disputes = made.operator;
    stepOf(accountType, ['care'], '', always).operators.add(made.operator);
    return made;
  };
  const uses = new Set<string>();

  if (sources.length > RULES_MAX) {
    problems.push({ file: sources[RULES_MAX]!.file, line: 1, column: 1, message: `more than ${RULES_MAX} rules` });
  }

  let profile: Profile | undefined;
  /** Use is only looked at where a rule asks where subscribers are, or for their first use of a day. */
  const profileWants = { place: false, day: false };
  const theProfile = (): Profile => {
    if (profile !== undefined) return profile;
    const signature = 'profile|subscriber';
    const { id } = entryOf(signature, ['account']);
    profile = createProfile({
      id,
      signature,
      names: options.names,
      dayNumber: localTime.dayNumber,
      wants: profileWants,
    });
    operators.set(id, profile);
    stepOf(SUBSCRIBER, ['account'], '', always).operators.add(profile);
    return profile;
  };
  /** `profile.status` of the served subscriber, `other.status` of the other party, and the like. */
  const profileName = (name: string): Binding | undefined => {
    if (name === 'firstUseOfDay') {
      const own = theProfile();
      profileWants.day = true;
      return { type: 'boolean', evaluate: own.firstUseOfDay };
    }
    const [party, field] = name.split('.') as [string, string | undefined];
    if ((party !== 'profile' && party !== 'other') || field === undefined || !Object.hasOwn(PROFILE_NAMES, field))
      return undefined;
    const own = theProfile();
    if (['roaming', 'servingPlmn', 'servingAt'].includes(field)) {
      profileWants.place = true;
      uses.add('roaming');
    }
    return profileBinding(own, party, field, (number) => options.names.find(number));
  };
  const profileNames = (): string[] => [
    'firstUseOfDay',
    ...Object.keys(PROFILE_NAMES).flatMap((field) => [`profile.${field}`, `other.${field}`]),
  ];

  // The model comes first: on the same regular look a rule sees today's stage, not yesterday's.
  const modelFile = sources.find(({ model }) => model !== undefined)?.model;
  const parsedModel = modelFile === undefined ? undefined : parseModel(modelFile.file, modelFile.text);
  if (parsedModel !== undefined && 'problems' in parsedModel) problems.push(...parsedModel.problems);
  const model = parsedModel !== undefined && 'model' in parsedModel ? parsedModel : undefined;
  const modelNames = ['lifecycle.', 'value.', 'rfm.', 'churn.'];
  /** Kept whether or not a rule reads it: people see it, and a rule that asks for it later finds it. */
  const scoreEntry = entryOf('score|subscriber', ['alert']);
  const score = { operator: createScore(scoreEntry.id), entry: scoreEntry };

  /** A key that stands for several makes a rule for each of them. */
  const keyed = (model === undefined ? sources : [model.source, ...sources]).flatMap((source) =>
    (KEY_GROUPS[source.rule.key] ?? [source.rule.key]).map((key) => ({ source, key })),
  );
  for (const { source, key } of keyed) {
    const isModel = source === model?.source;
    const { file, positionOf } = source;
    const rule = key === source.rule.key ? source.rule : { ...source.rule, key };
    const problem = (path: readonly (string | number)[], message: string, offset = 0): void => {
      problems.push({ file, ...positionOf(path, offset), message });
    };
    const other = seenIds.get(rule.id);
    if (other !== undefined && other !== source)
      problem(['id'], `the id '${rule.id}' is used by ${other.file} already`);
    seenIds.set(rule.id, source);
    if (!rule.id.startsWith(`${rule.desk}.`)) problem(['id'], `the id must begin with its desk '${rule.desk}.'`);
    if (rule.desk === 'fraud' && (rule.fraudType === undefined || rule.enabler === undefined)) {
      problem(['id'], "a fraud rule needs both axes, 'fraudType' and 'enabler'");
    }

    if (!isEntity(rule.suppress.by)) problem(['suppress', 'by'], `'${rule.suppress.by}' is no single entity`);
    if (!isEntity(rule.groupBy)) problem(['groupBy'], `'${rule.groupBy}' is no single entity`);
    if (rule.suppress.missing !== undefined && rule.suppress.by === undefined)
      problem(['suppress', 'missing'], "'missing' says what holds where 'by' is not known; there is no 'by'");
    if (rule.inhibitedBy?.includes(rule.id)) problem(['inhibitedBy'], 'a rule cannot inhibit itself');

    const parse = (text: string, path: readonly (string | number)[]): Node | undefined => {
      try {
        return parseExpression(text);
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        problem(path, error.message, error.at);
        return undefined;
      }
    };
    const compile = (
      node: Node | undefined,
      environment: Environment,
      path: readonly (string | number)[],
      expected?: ValueType,
    ): Compiled | undefined => {
      if (node === undefined) return undefined;
      try {
        return compileExpression(node, environment, expected);
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        problem(path, error.message, error.at);
        return undefined;
      }
    };

    const keyType = keyIndex(key);
    if (PROFILE_KEYS.has(key)) theProfile();
    const parameters = new Map<string, Binding>();
    for (const [name, value] of Object.entries(rule.params ?? {})) {
      if (Object.hasOwn(RECORD_NAMES, name)) problem(['params', name], `'${name}' is a field of the record already`);
      parameters.set(name, parameterBinding(value));
    }
    const recordEnvironment: Environment = {
      resolve: (name) => {
        if (!Object.hasOwn(RECORD_NAMES, name)) return parameters.get(name) ?? profileName(name);
        uses.add(name);
        return RECORD_NAMES[name];
      },
      names: () => [...Object.keys(RECORD_NAMES), ...profileNames(), ...parameters.keys()],
      ...functions,
    };

    /** Where a limit of a feature is written as the name of a parameter: its value. */
    const parameterOf = (name: string, type: ValueType): number | undefined => {
      const parameter = parameters.get(name);
      return parameter?.type === type && parameter.items === undefined ? (parameter.constant as number) : undefined;
    };

    const ruleOn = asList(rule.on);
    /** Two rules that write the same but have other parameter values mean different things and must not share state. */
    const meaningOf = (node: Node): string => {
      const values = [...namesIn(node)]
        .filter((name) => parameters.has(name))
        .map((name) => `${name}=${JSON.stringify(rule.params?.[name])}`);
      return canonical(node) + (values.length > 0 ? `{${values.join()}}` : '');
    };
    const conditionOf = (where: string | undefined, path: readonly (string | number)[]): Condition => {
      if (where === undefined) return { text: '', holds: always };
      const node = parse(where, path);
      const compiled = compile(node, recordEnvironment, path, 'boolean');
      if (node === undefined || compiled === undefined) return { text: '', holds: always };
      const holds: Predicate = (scope) => compiled.evaluate(scope) === true;
      holds.terms = conjunctsOf(node).map((part) => ({
        text: meaningOf(part),
        holds: compile(part, recordEnvironment, path, 'boolean')!.evaluate as (scope: Scope) => boolean,
        isDear: asksElsewhere(part),
      }));
      return { text: meaningOf(node), holds };
    };
    const ruleWhere = conditionOf(rule.where, ['where']);
    /**
     * Reads a value in the whole small units that its field is kept in, also where a condition chooses between the field and
     * nothing: `zeroRated ? bytes : 0`. In millionths a week of gigabytes would pass 2^53.
     */
    const wholeOf = (node: Node): RecordBinding['whole'] => {
      if (node.kind === 'name') return (recordEnvironment.resolve(node.name) as RecordBinding | undefined)?.whole;
      if (node.kind !== 'conditional' || !(node.no.kind === 'number' && node.no.value === 0)) return undefined;
      const chosen = wholeOf(node.yes);
      if (chosen === undefined) return undefined;
      const test = compileExpression(node.test, recordEnvironment, 'boolean').evaluate as (scope: Scope) => boolean;
      return { read: (scope) => (test(scope) ? chosen.read(scope) : 0), perUnit: chosen.perUnit };
    };

    const compiled: CompiledRule = {
      rule: source.rule,
      key,
      keyType,
      episode: entryOf(`episode|${rule.id}${key === source.rule.key ? '' : `|${key}`}`, ['alert']).id,
      bands: [],
      features: [],
      operatorIds: [],
      evaluateAt: [],
      everyMs: rule.evaluateEvery === undefined ? 0 : parseDuration(rule.evaluateEvery)!,
      isTimed: rule.evaluateAt !== undefined || rule.evaluateEvery !== undefined,
      isRising: false,
      suppressMs: parseDuration(rule.suppress.for)!,
      reachMs: 0,
      onArrival: false,
      asksKnownFor: false,
      inhibitors: [],
      suppressBy: rule.suppress.by === undefined ? -1 : keyIndex(rule.suppress.by),
      suppression:
        rule.suppress.by === undefined
          ? -1
          : entryOf(`suppression|${rule.suppress.by}|${rule.id}|${key}`, ['alert']).id,
      groupBy: rule.groupBy === undefined ? -1 : keyIndex(rule.groupBy),
      scoresServed: rule.scores?.includes('served') ?? PARTY_KEYS.has(key),
      scoresOther: rule.scores?.includes('other') ?? key === 'otherNumber',
    };

    const features = new Map<string, CompiledFeature>();
    const featureEntries = Object.entries(rule.features ?? {});
    if (featureEntries.length > FEATURES_PER_RULE_MAX)
      problem(['features'], `more than ${FEATURES_PER_RULE_MAX} features`);
    const builtIns = new Map<string, CompiledFeature>();
    /** Values that every rule of this key may use; made when first mentioned. */
    const builtIn = (name: string): CompiledFeature | undefined => {
      let found = builtIns.get(name);
      if (found === undefined) {
        found = makeBuiltIn(name);
        if (found !== undefined) builtIns.set(name, found);
      }
      return found;
    };
    const ticketNames = ['open', 'oldestOpenedAt', 'oldestAge'];
    const makeBuiltIn = (name: string): CompiledFeature | undefined => {
      const plain = { window: '', entry: undefined };
      if (name === 'now') return { ...plain, name, unit: 'time', type: 'time', read: (scope) => scope.now };
      if (name === 'knownFor')
        return { ...plain, name, unit: 's', type: 'duration', read: (scope) => scope.now - firstSeenOf(scope.cursor) };
      if (name === 'lastSeenAt')
        return { ...plain, name, unit: 'time', type: 'time', read: (scope) => clockOf(scope.cursor) };
      const [group, value] = name.split('.') as [string, string | undefined];
      if (group === 'ledger' && rule.key === 'account' && value !== undefined && Object.hasOwn(LEDGER_VALUES, value)) {
        const { part, unit, type, read } = LEDGER_VALUES[value]!;
        const { operator, entry } = part === 'ledger' ? ledgerOf() : accountPart(part);
        return { name, window: '', entry, unit, type, read: read(operator as never) };
      }
      if (group === 'tickets' && key === 'subscriber' && value !== undefined && ticketNames.includes(value)) {
        const signature = 'tickets|subscriber';
        const entry = entryOf(signature, []);
        let operator = operators.get(entry.id) as ReturnType<typeof createTickets> | undefined;
        if (operator === undefined) {
          operator = createTickets({ id: entry.id, signature });
          operators.set(entry.id, operator);
          stepOf(keyType, ['care'], '', always).operators.add(operator);
        }
        const own = operator;
        const common = { name, window: '', entry };
        if (value === 'open') return { ...common, unit: 'count', type: 'number', read: own.open };
        if (value === 'oldestOpenedAt') return { ...common, unit: 'time', type: 'time', read: own.oldestOpenedAt };
        return { ...common, unit: 's', type: 'duration', read: (scope) => scope.now - own.oldestOpenedAt(scope) };
      }
      if (group === 'score' && key === 'subscriber' && (DESKS as readonly (string | undefined)[]).includes(value)) {
        const desk = value as Desk;
        return {
          name,
          window: '',
          entry: score.entry,
          unit: 'none',
          type: 'number',
          read: (scope) => score.operator.read(scope, desk),
        };
      }
      if (name === 'balance' && rule.key === 'subscriber') {
        const signature = 'balance|subscriber';
        const entry = entryOf(signature);
        if (balance === undefined) {
          balance = createBalance({ id: entry.id, signature });
          operators.set(entry.id, balance);
          stepOf(keyType, ['topup', 'transfer'], '', always).operators.add(balance);
          stepOf(
            keyType,
            ['voice', 'sms', 'data'],
            '(charge>0)||has(balanceAfter)',
            ({ record }) => record.chargeMicros > 0 || record.balanceAfterMicros === record.balanceAfterMicros,
          ).operators.add(balance);
        }
        return { name, window: '', unit: 'currency', type: 'number', read: balance.value, entry };
      }
      if (rule.key === 'subscriber' && !isModel && modelNames.some((prefix) => name.startsWith(prefix))) {
        // Made by the model, whose own features come first.
        const found = valuation?.names.get(name);
        if (found === undefined) return undefined;
        compiled.reachMs = Math.max(compiled.reachMs, looksForMs(valuation!.model));
        return { name, window: '', entry: registry.get(REVENUE_SIGNATURE), ...found };
      }
      return undefined;
    };
    const once = new Map<string, (scope: Scope) => Value>();
    const ruleEnvironment: Environment = {
      resolve: (name) => {
        const feature = features.get(name) ?? builtIn(name);
        if (feature === undefined) return name === 'currencyPerSdr' ? currencyPerSdr : recordEnvironment.resolve(name);
        let evaluate = once.get(name);
        if (evaluate === undefined) {
          evaluate =
            feature.type === 'text' || feature.type === 'boolean' ? feature.read : onceALook(feature.read as Reader);
          once.set(name, evaluate);
        }
        return { type: feature.type, evaluate };
      },
      names: () => [
        ...features.keys(),
        'now',
        'knownFor',
        'lastSeenAt',
        'currencyPerSdr',
        ...(rule.key === 'account' ? LEDGER_NAMES.map((name) => `ledger.${name}`) : []),
        ...(rule.key === 'subscriber' ? [...ticketNames.map((name) => `tickets.${name}`), 'balance'] : []),
        ...(rule.key === 'subscriber' && !isModel ? [...(valuation?.names.keys() ?? [])] : []),
        ...recordEnvironment.names(),
      ],
      ...functions,
    };

    /** A condition over features that stand before: what it means depends on what they mean. */
    const gateOf = (
      text: string,
      path: readonly (string | number)[],
    ): { text: string; compile(): ((scope: Scope) => boolean) | undefined } | undefined => {
      const node = parse(text, path);
      if (node === undefined) return undefined;
      const signatureOf = (entry: RegistryEntry | undefined): string | undefined =>
        [...registry].find(([, one]) => one === entry)?.[0];
      const meant = [...namesIn(node)].flatMap((name) =>
        features.has(name) ? [[rule.features![name], signatureOf(features.get(name)!.entry)]] : [],
      );
      const environment: Environment = {
        ...recordEnvironment,
        resolve: (name) => {
          const feature = features.get(name);
          // Read through the feature, because a window's reader comes when all rules have been read.
          return feature === undefined
            ? recordEnvironment.resolve(name)
            : { type: feature.type, evaluate: (scope) => feature.read(scope) };
        },
        names: () => [...features.keys(), ...recordEnvironment.names()],
      };
      return {
        text: `|while ${meaningOf(node)}${JSON.stringify(meant)}`,
        compile: () => compile(node, environment, path, 'boolean')?.evaluate as ((scope: Scope) => boolean) | undefined,
      };
    };

    let windowed = false;
    let looksAtCalls = false;
    const triggers = new Set<Step>();
    for (const [name, feature] of featureEntries) {
      const path = ['features', name];
      if (parameters.has(name)) problem(path, `'${name}' is a parameter already`);
      if (feature.value !== undefined) continue;
      const on = asList(feature.on) ?? ruleOn;
      if (on === undefined) {
        problem(path, `'${name}' needs 'on': the record types that it looks at (or the rule does)`);
        continue;
      }
      const sequenceSteps = feature.steps ?? [];
      if (feature.steps !== undefined && (feature.aggregate !== 'sequence' || feature.where !== undefined))
        problem([...path, 'steps'], "'steps' belong to a sequence, and take the place of 'where'");
      const sequenceConditions = sequenceSteps.map((one, index) =>
        conditionOf(one.where, [...path, 'steps', index, 'where']),
      );
      const where =
        sequenceConditions.length > 0
          ? anyOf(sequenceConditions)
          : feature.where !== undefined
            ? conditionOf(feature.where, [...path, 'where'])
            : feature.on !== undefined
              ? { text: '', holds: always }
              : ruleWhere;
      const step = stepOf(keyType, on, where.text, where.holds);
      if (rule.key === 'sender+range' && on.includes('sms')) noteSenders(where);
      const reset =
        feature.resetBy === undefined ? undefined : conditionOf(feature.resetBy.where, [...path, 'resetBy', 'where']);
      const resetOn = asList(feature.resetBy?.on) ?? [];
      if (resetOn.some((type) => on.includes(type)))
        problem(
          [...path, 'resetBy', 'on'],
          'a record cannot both count and begin the count anew: other record types are needed',
        );
      const resetText = reset === undefined ? '' : `|reset ${[...resetOn].sort().join()}|${reset.text}`;
      const gate = feature.while === undefined ? undefined : gateOf(feature.while, [...path, 'while']);
      const made = compileFeature(name, feature, path, step, {
        sequenceConditions,
        extraText: resetText + (gate?.text ?? ''),
      });
      if (made === undefined) continue;
      // Only now are all operators there; the gate itself reads what stands before it.
      if (gate !== undefined) {
        const { entry } = made;
        const holds = gate.compile();
        conditions.push(() => {
          if (entry === undefined || holds === undefined || gated.has(entry.id)) return;
          gated.add(entry.id);
          const operator = operators.get(entry.id)!;
          const { update } = operator;
          operator.update = (scope, blocks) => {
            if (holds(scope)) update(scope, blocks);
          };
        });
      }
      if (reset !== undefined && made.entry !== undefined && !resets.has(made.entry.id)) {
        resets.add(made.entry.id);
        stepOf(keyType, resetOn, reset.text, reset.holds).operators.add(createReset(made.entry.id));
      }
      features.set(name, made);
      triggers.add(step);
    }
    compiled.onArrival = looksAtCalls || !windowed;

    function compileFeature(
      name: string,
      feature: RuleFeature,
      path: (string | number)[],
      step: Step,
      { sequenceConditions, extraText }: { sequenceConditions: readonly Condition[]; extraText: string },
    ): CompiledFeature | undefined {
      const { aggregate } = feature;
      const sequenceSteps = feature.steps ?? [];
      if (aggregate === undefined) {
        problem(path, `'${name}' needs 'aggregate' or 'value'`);
        return undefined;
      }
      const ofNode = feature.of === undefined ? undefined : parse(feature.of, [...path, 'of']);
      if (feature.of !== undefined && ofNode === undefined) return undefined;
      const of = compile(ofNode, recordEnvironment, [...path, 'of']);
      if (feature.of !== undefined && of === undefined) return undefined;
      const ofText = ofNode === undefined ? '' : meaningOf(ofNode);
      const base = `${rule.key}|${[...step.on].sort().join()}|${step.where}${extraText}`;
      const needs = (present: boolean, message: string): boolean => {
        if (!present) problem(path, `${aggregate} ${message}`);
        return present;
      };
      const single = <T extends Operator>(
        signature: string,
        create: (id: number) => T,
      ): { operator: T; entry: RegistryEntry } => {
        const entry = entryOf(signature, step.on);
        let operator = operators.get(entry.id) as T | undefined;
        if (operator === undefined) {
          operator = create(entry.id);
          operators.set(entry.id, operator);
        }
        step.operators.add(operator);
        return { operator, entry };
      };
      /** Fields that are kept in whole small units are added up in those; anything else in millionths. */
      const wholeUnits = (node: Node, evaluate: Reader): { read: Reader; perUnit: number } => {
        return wholeOf(node) ?? { read: (scope) => Math.round(evaluate(scope) * 1e6), perUnit: 1e6 };
      };
      const inShift = feature.window === 'shift';
      const windowMs = feature.window === undefined || inShift ? undefined : parseDuration(feature.window)!;
      const keepMs = windowMs ?? CALLS_KEPT_MS;

      switch (aggregate) {
        case 'last': {
          if (!needs(of !== undefined, "needs 'of'")) return undefined;
          const { type, evaluate } = of!;
          const toNumber: Reader =
            type === 'text'
              ? (scope) => options.names.numberOf(evaluate(scope) as string) || Number.NaN
              : type === 'boolean'
                ? (scope) => (evaluate(scope) === true ? 1 : 0)
                : (evaluate as Reader);
          const signature = `latest|${base}|${ofText}`;
          const { operator, entry } = single(signature, (id) => createLatest({ id, signature, of: toNumber }));
          const read: (scope: Scope) => Value =
            type === 'text'
              ? (scope) => {
                  const value = operator.value(scope);
                  return value === value ? options.names.textOf(value) : '';
                }
              : type === 'boolean'
                ? (scope) => operator.value(scope) === 1
                : operator.value;
          return { name, window: '', unit: feature.unit ?? 'none', type, read, entry };
        }
        case 'lastAt':
        case 'sinceLast': {
          const signature = `latest|${base}|`;
          const { operator, entry } = single(signature, (id) => createLatest({ id, signature, of: undefined }));
          return aggregate === 'lastAt'
            ? { name, window: '', unit: 'time', type: 'time', read: operator.at, entry }
            : { name, window: '', unit: 's', type: 'duration', read: (scope) => scope.now - operator.at(scope), entry };
        }
        case 'firstAt': {
          const signature = `first|${base}`;
          const { operator, entry } = single(signature, (id) => createFirst({ id, signature }));
          return { name, window: '', unit: 'time', type: 'time', read: operator.at, entry };
        }
        case 'topCount':
        case 'topLeft': {
          if (!needs(of !== undefined && of.type === 'text', "needs 'of', a text")) return undefined;
          if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
          if (!needs(feature.top !== undefined, "needs 'top': how many values")) return undefined;
          if (!needs((feature.panes ?? TOP_PANES) === TOP_PANES, `has ${TOP_PANES} panes`)) return undefined;
          const paneMs = windowMs! / TOP_PANES;
          if (
            !needs(Number.isInteger(paneMs) && paneMs >= PANE_MS_MIN, 'needs panes of whole milliseconds, 1 s at least')
          )
            return undefined;
          compiled.reachMs = Math.max(compiled.reachMs, windowMs!);
          windowed = true;
          const value: Reader = (scope) => fingerprint(of!.evaluate(scope) as string);
          const signature = `top|${base}|${ofText}|${paneMs}`;
          const { operator, entry } = single(signature, (id) => createTopValues({ id, signature, paneMs, of: value }));
          const asked = { name, window: feature.window!, unit: 'count', type: 'number', entry } as const;
          if (aggregate === 'topCount') return { ...asked, read: operator.count(feature.top!) };
          const own = theProfile();
          const hasLeft = (scope: Scope, subscriber: number): boolean => {
            const status = own.status(scope, subscriber);
            if (status !== 'ceased' && status !== 'portedOut') return false;
            return own.statusAt(scope, subscriber) > scope.now - windowMs!;
          };
          return { ...asked, read: operator.countOf(feature.top!, hasLeft) };
        }
        case 'heldMax':
        case 'heldMin': {
          if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
          if (!needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
          const statistic = aggregate.slice('held'.length).toLowerCase() as HeldStatistic;
          const value = of!.evaluate as Reader;
          compiled.reachMs = Math.max(compiled.reachMs, windowMs!);
          const signature = `held|${base}|${ofText}|${statistic}|${windowMs}`;
          const { operator, entry } = single(signature, (id) =>
            createHeld({ id, signature, statistic, windowMs: windowMs!, of: value }),
          );
          const unit = feature.unit ?? unitOf(false, ofText);
          return { name, window: feature.window!, unit, type: 'number', read: operator.value, entry };
        }
        case 'changedAt': {
          if (!needs(of !== undefined && of.type !== 'boolean', "needs 'of', a text or number")) return undefined;
          const { type, evaluate } = of!;
          // Only ever compared: a name that a sender invents must not stay in memory.
          const value: Reader =
            type === 'text' ? (scope) => fingerprint(evaluate(scope) as string) || Number.NaN : (evaluate as Reader);
          const signature = `change|${base}|${ofText}`;
          const { operator, entry } = single(signature, (id) => createChange({ id, signature, of: value }));
          return { name, window: '', unit: 'time', type: 'time', read: operator.changedAt, entry };
        }
        case 'sequence': {
          if (!needs(feature.steps !== undefined, "needs 'steps'")) return undefined;
          /** A number or duration of a step, or the parameter of that name. */
          const limitOf = (index: number, limit: 'count' | 'within', type: ValueType, missing: number): number => {
            const given = sequenceSteps[index]![limit];
            if (given === undefined) return missing;
            const written = typeof given === 'number' ? given : parseDuration(given);
            if (written !== undefined) return written;
            const parameter = parameterOf(given as string, type);
            if (parameter !== undefined) return parameter;
            problem([...path, 'steps', index, limit], `'${given}' is no parameter that holds a ${type}`);
            return Number.NaN;
          };
          const withinMs = sequenceSteps.map((_, index) =>
            limitOf(index, 'within', 'duration', Number.POSITIVE_INFINITY),
          );
          const counts = sequenceSteps.map((_, index) => limitOf(index, 'count', 'number', 1));
          const isCount = (count: number): boolean =>
            Number.isInteger(count) && count >= 1 && count <= SEQUENCE_COUNT_MAX;
          counts.forEach((count, index) => {
            if (!isCount(count) && !Number.isNaN(count))
              problem([...path, 'steps', index, 'count'], `a step takes 1 to ${SEQUENCE_COUNT_MAX} records`);
          });
          if (!counts.every(isCount) || withinMs.some(Number.isNaN)) return undefined;
          if (
            !needs(
              counts[0] === 1 || sequenceSteps[0]!.within !== undefined,
              "needs 'within' in a first step that counts",
            )
          )
            return undefined;
          const signature = `sequence|${base}|${sequenceConditions
            .map(({ text }, index) => `${text}*${counts[index]}<${withinMs[index]}`)
            .join(' then ')}`;
          const { operator, entry } = single(signature, (id) =>
            createSequence({
              id,
              signature,
              steps: sequenceConditions.map(({ holds }, index) => ({
                takes: holds,
                count: counts[index]!,
                withinMs: withinMs[index]!,
              })),
            }),
          );
          compiled.reachMs = Math.max(compiled.reachMs, operator.retentionMs);
          windowed = true;
          return { name, window: '', unit: 's', type: 'duration', read: operator.tookMs, entry };
        }
        case 'run': {
          if (!needs(key === 'subscriber+prefix', "counts records of a key 'subscriber+prefix'")) return undefined;
          if (!needs(of !== undefined && of.type === 'text', "needs 'of', the text that ends a run when it changes"))
            return undefined;
          if (!needs(feature.among !== undefined, "needs 'among'")) return undefined;
          if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
          const among = conditionOf(feature.among, [...path, 'among']);
          const evaluate = of!.evaluate as (scope: Scope) => string;
          const turnsSignature = `turns|subscriber|${[...step.on].sort().join()}|${step.where}|${among.text}|${ofText}|${windowMs}`;
          const turnsEntry = entryOf(turnsSignature, step.on);
          let turns = operators.get(turnsEntry.id) as ReturnType<typeof createTurns> | undefined;
          if (turns === undefined) {
            turns = createTurns({
              id: turnsEntry.id,
              signature: turnsSignature,
              of: (scope) => fingerprint(evaluate(scope)),
              counts: step.holds,
              keepMs: windowMs!,
            });
            operators.set(turnsEntry.id, turns);
          }
          const own = turns;
          stepOf(keyIndex('subscriber'), step.on, among.text, among.holds).operators.add(own);
          const signature = `run|${base}|${turnsSignature}`;
          const { operator, entry } = single(signature, (id) =>
            createRun({ id, signature, keepMs: windowMs!, otherAt: own.otherAt }),
          );
          compiled.reachMs = Math.max(compiled.reachMs, windowMs!);
          windowed = true;
          return { name, window: feature.window!, unit: 'count', type: 'number', read: operator.length, entry };
        }
        case 'members':
        case 'membersFailed':
        case 'membersDueAt':
        case 'membersNextDueAt': {
          if (!needs(of !== undefined && of.type === 'text', "needs 'of', the text that names a member"))
            return undefined;
          if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
          const membership = feature.members ?? {};
          const part = (name: 'join' | 'confirm' | 'fail' | 'leave', otherwise: boolean): Condition =>
            membership[name] === undefined
              ? { text: '', holds: () => otherwise }
              : conditionOf(membership[name], [...path, 'members', name]);
          const [leave, fail, confirm, join] = [
            part('leave', false),
            part('fail', false),
            part('confirm', false),
            part('join', true),
          ];
          const atPath = [...path, 'members', 'at'];
          const atNode = membership.at === undefined ? undefined : parse(membership.at, atPath);
          const at = compile(atNode, recordEnvironment, atPath, 'time');
          if (membership.at !== undefined && (at === undefined || atNode === undefined)) return undefined;
          const withinMs =
            membership.within === undefined ? Number.POSITIVE_INFINITY : parseDuration(membership.within)!;
          const evaluate = of!.evaluate as (scope: Scope) => string;
          const signature = `members|${base}|${ofText}|${windowMs}|${withinMs}|${[join, confirm, fail, leave].map(({ text }) => `(${text})`).join()}|${atNode === undefined ? '' : meaningOf(atNode)}`;
          const { operator, entry } = single(signature, (id) =>
            createMembers({
              id,
              signature,
              windowMs: windowMs!,
              withinMs,
              of: (scope) => fingerprint(evaluate(scope)),
              at: at === undefined ? (scope) => scope.record.eventTime : (at.evaluate as Reader),
              leave: leave.holds,
              fail: fail.holds,
              confirm: confirm.holds,
              join: join.holds,
            }),
          );
          windowed = true;
          compiled.reachMs = Math.max(compiled.reachMs, windowMs!);
          const common = { name, window: feature.window!, entry };
          if (aggregate === 'membersDueAt') return { ...common, unit: 'time', type: 'time', read: operator.dueAt };
          if (aggregate === 'membersNextDueAt')
            return { ...common, unit: 'time', type: 'time', read: operator.nextDueAt };
          const read = aggregate === 'members' ? operator.count : operator.failed;
          return { ...common, unit: 'count', type: 'number', read };
        }
        case 'usualGap': {
          const signature = `gaps|${base}`;
          const { operator, entry } = single(signature, (id) => createGaps({ id, signature }));
          return { name, window: '', unit: 's', type: 'duration', read: operator.median, entry };
        }
        case 'overlap': {
          const signature = `overlap|${base}|${keepMs}|leg`;
          windowed = true;
          const { operator, entry } = single(signature, (id) => createOverlap({ id, signature, keepMs }));
          return { name, window: feature.window ?? '', unit: 's', type: 'duration', read: operator.overlapMs, entry };
        }
        case 'speed':
        case 'distance': {
          if (!needs(of === undefined || of.type === 'number', "takes as 'of' the least distance in km, a number"))
            return undefined;
          const signature = `moves|${base}|${keepMs}`;
          windowed = true;
          const cells = lists?.get('cells') ?? EMPTY_LIST;
          const { operator, entry } = single(signature, (id) => createMoves({ id, signature, keepMs, cells }));
          const leastKm = of?.evaluate as Reader | undefined;
          const common = { name, window: feature.window ?? '', type: 'number', entry } as const;
          return aggregate === 'speed'
            ? { ...common, unit: 'km/h', read: operator.speedKmh(leastKm) }
            : { ...common, unit: 'km', read: operator.distanceKm(leastKm) };
        }
        case 'concurrency':
        case 'longCalls': {
          const signature = `concurrency|${base}|${keepMs}`;
          windowed = true;
          const { operator, entry } = single(signature, (id) => createConcurrency({ id, signature, keepMs }));
          const common = { name, window: feature.window ?? '', unit: 'count', type: 'number', entry } as const;
          if (aggregate === 'concurrency') return { ...common, read: operator.concurrent };
          if (!needs(feature.longerThan !== undefined, "needs 'longerThan'")) return undefined;
          const limitMs = parseDuration(feature.longerThan!) ?? parameterOf(feature.longerThan!, 'duration');
          if (limitMs === undefined) {
            problem([...path, 'longerThan'], `'${feature.longerThan}' is no parameter that holds a duration`);
            return undefined;
          }
          compiled.reachMs = Math.max(compiled.reachMs, keepMs);
          return { ...common, read: operator.longerThan(limitMs) };
        }
        case 'callDuration':
        case 'callStartAt': {
          const signature = `calls|${base}|${keepMs}`;
          looksAtCalls = true;
          const { operator, entry } = single(signature, (id) => createCallTotal({ id, signature, keepMs }));
          return aggregate === 'callDuration'
            ? { name, window: '', unit: 's', type: 'duration', read: operator.durationMs, entry }
            : { name, window: '', unit: 'time', type: 'time', read: operator.startAt, entry };
        }
        case 'hourOfWeekMean': {
          if (of !== undefined && !needs(of.type === 'number', "needs a number as 'of', or none to count records"))
            return undefined;
          const whole = of === undefined ? undefined : wholeUnits(ofNode!, of.evaluate as Reader);
          const signature = `hourOfWeek|${base}|${ofText}`;
          const { operator, entry } = single(signature, (id) =>
            createHourOfWeek({ id, signature, of: whole?.read, hourNumber: localTime.hourNumber }),
          );
          windowed = true;
          compiled.reachMs = Math.max(compiled.reachMs, operator.retentionMs);
          const mean = { samplesMin: feature.samplesMin ?? 1, perUnit: whole?.perUnit ?? 1, since: entry.since! };
          return {
            name,
            window: '28d',
            unit: feature.unit ?? unitOf(of === undefined, ofText),
            type: 'number',
            read: operator.mean(mean),
            entry,
          };
        }
        case 'paidLate':
        case 'paidLateMax': {
          if (!needs(rule.key === 'account', "needs the key 'account'")) return undefined;
          const { operator, entry } = billHistoryOf();
          const common = { name, unit: 's', type: 'duration', entry } as const;
          if (aggregate === 'paidLateMax') {
            if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
            return { ...common, window: feature.window!, read: operator.worstLateMs(windowMs!) };
          }
          if (!needs(feature.last !== undefined, "needs 'last': how many bills")) return undefined;
          const { last = 1, skip = 0 } = feature;
          const samplesMin = Math.min(last, feature.samplesMin ?? last);
          operator.keep(last + skip);
          return { ...common, window: '', read: operator.meanLateMs({ last, skip, samplesMin }) };
        }
        case 'recentMean':
        case 'recentMin':
        case 'recentMax': {
          if (!needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
          if (!needs(feature.last !== undefined, "needs 'last': how many values")) return undefined;
          const { last = 1, skip = 0 } = feature;
          const samplesMin = Math.min(last, feature.samplesMin ?? last);
          const { perUnit, read } = wholeUnits(ofNode!, of!.evaluate as Reader);
          const signature = `recent|${base}|${ofText}`;
          const { operator, entry } = single(signature, (id) => createRecent({ id, signature, of: read }));
          operator.keep(last + skip);
          const statistic = aggregate.slice('recent'.length).toLowerCase() as RecentStatistic;
          return {
            name,
            window: '',
            unit: feature.unit ?? unitOf(false, ofText),
            type: 'number',
            read: operator.read(statistic, { last, skip, samplesMin }, perUnit),
            entry,
          };
        }
      }

      if (inShift) {
        if (!needs(aggregate === 'count' || aggregate === 'sum', "has no window 'shift'; count and sum have"))
          return undefined;
        const sums = aggregate === 'sum';
        if (sums && !needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
        if (!sums && of !== undefined) problem([...path, 'of'], "count takes no 'of'; use 'where'");
        const whole = sums ? wholeUnits(ofNode!, of!.evaluate as Reader) : undefined;
        const signature = `period|${base}|shift|${sums ? ofText : ''}`;
        const { operator, entry } = single(signature, (id) =>
          createPeriodTotal({
            id,
            signature,
            periodOf: (epochMs) => localTime.shiftNumber(epochMs, holidays),
            periodMsMax: SHIFT_MS_MAX,
            of: whole?.read,
          }),
        );
        windowed = true;
        compiled.reachMs = Math.max(compiled.reachMs, SHIFT_MS_MAX);
        const read: Reader = whole === undefined ? operator.count : (scope) => operator.sum(scope) / whole.perUnit;
        return { name, window: 'shift', unit: feature.unit ?? unitOf(!sums, ofText), type: 'number', read, entry };
      }
      if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
      const baseline = aggregate.startsWith('baseline');
      const everyMs = baseline ? parseDuration(feature.every ?? '1d')! : 0;
      const panes = baseline ? windowMs! / everyMs : (feature.panes ?? PANES_DEFAULT);
      const paneMs = windowMs! / panes;
      const shift = feature.before === undefined ? 0 : parseDuration(feature.before)! / paneMs;
      if (!Number.isInteger(panes) || !Number.isInteger(paneMs) || paneMs < PANE_MS_MIN) {
        problem(
          [...path, 'window'],
          `${feature.window} over ${panes} panes gives panes of ${paneMs} ms; whole seconds are needed`,
        );
        return undefined;
      }
      if (!Number.isInteger(shift)) {
        problem([...path, 'before'], `'before' must be a multiple of the pane length (${paneMs / 1000} s)`);
        return undefined;
      }
      const reach = panes + shift;
      windowed = true;
      compiled.reachMs = Math.max(compiled.reachMs, reach * paneMs);
      const stretch: Stretch = { panes, shift };

      if (aggregate === 'modeCount') {
        if (!needs(of !== undefined && (of.type === 'text' || of.type === 'number'), "needs 'of', a text or number"))
          return undefined;
        const evaluate = of!.evaluate;
        const value: Reader =
          of!.type === 'text' ? (scope) => fingerprint(evaluate(scope) as string) || Number.NaN : (evaluate as Reader);
        const signature = `mode|${base}|${ofText}|${paneMs}|${reach}`;
        const { operator, entry } = single(signature, (id) =>
          createFrequency({ id, signature, paneMs, reach, of: value }),
        );
        return { name, window: feature.window!, unit: 'count', type: 'number', read: operator.most(stretch), entry };
      }
      if (aggregate === 'passedOn') {
        if (!needs(of !== undefined && of.type === 'number', "needs 'of', a number: above 0 comes in, below goes out"))
          return undefined;
        if (!needs(feature.within !== undefined, "needs 'within'")) return undefined;
        const withinMs = parseDuration(feature.within!)!;
        const { perUnit, read } = wholeUnits(ofNode!, of!.evaluate as Reader);
        const signature = `passage|${base}|${ofText}|${withinMs}|${paneMs}|${reach}`;
        const { operator, entry } = single(signature, (id) =>
          createPassage({ id, signature, paneMs, reach, withinMs, of: read }),
        );
        const passed = operator.passed(stretch);
        return {
          name,
          window: feature.window!,
          unit: feature.unit ?? unitOf(false, ofText),
          type: 'number',
          read: (scope) => passed(scope) / perUnit,
          entry,
        };
      }
      if (aggregate === 'neighbourShare') {
        if (!needs(of !== undefined && of.type === 'text', "needs 'of', a text of digits")) return undefined;
        const evaluate = of!.evaluate as (scope: Scope) => string;
        const signature = `neighbours|${base}|${ofText}|${paneMs}|${reach}`;
        // The number of a text of digits is the one that it spells behind a 1, so neighbours stay neighbours.
        const { operator, entry } = single(signature, (id) =>
          createNeighbours({ id, signature, paneMs, reach, of: (scope) => fingerprint(evaluate(scope)) }),
        );
        return { name, window: feature.window!, unit: 'share', type: 'number', read: operator.share(stretch), entry };
      }

      if (aggregate === 'distinct') {
        if (!needs(of !== undefined && (of.type === 'text' || of.type === 'number'), "needs 'of', a text or number"))
          return undefined;
        // One that ends before now needs to know more of each value; a rule that compares the two reads both from that.
        const alike = featureEntries.filter(
          ([, other]) =>
            other.aggregate === 'distinct' &&
            other.of === feature.of &&
            other.where === feature.where &&
            String(other.on) === String(feature.on) &&
            other.window === feature.window &&
            other.panes === feature.panes,
        );
        const shifts = alike.map(([, { before }]) => (before === undefined ? 0 : parseDuration(before)! / paneMs));
        const bits = shifts.some((one) => one > 0);
        const keptPanes = bits ? panes + Math.max(...shifts) : reach;
        const panesMost = bits ? SEEN_PANES_MAX : DISTINCT_PANES_MAX;
        if (keptPanes > panesMost) {
          problem(
            [...path, 'panes'],
            `a distinct count takes at most ${panesMost} panes${bits ? " with 'before'" : ''}`,
          );
          return undefined;
        }
        const evaluate = of!.evaluate;
        // 0 stands for "none" in the list; a number that is 0 is a value like any other.
        const value: Reader =
          of!.type === 'text'
            ? (scope) => fingerprint(evaluate(scope) as string)
            : (scope) => {
                const number = (evaluate as Reader)(scope);
                return number === 0 ? Number.MIN_VALUE : number;
              };
        const signature = `${bits ? 'seen' : 'distinct'}|${base}|${ofText}|${paneMs}|${keptPanes}`;
        const { operator, entry } = single(signature, (id) =>
          (bits ? createSeenPanes : createDistinct)({ id, signature, paneMs, reach: keptPanes, of: value }),
        );
        return {
          name,
          window: feature.window!,
          unit: 'count',
          type: 'number',
          read: (scope) => operator.read(scope, stretch),
          entry,
        };
      }

      if (reach > PANES_MAX) {
        problem([...path, 'panes'], `the window reaches over ${reach} panes; at most ${PANES_MAX}`);
        return undefined;
      }
      const counts = aggregate === 'count' || ((baseline || aggregate === 'dailyMean') && of === undefined);
      if (aggregate === 'count' && of !== undefined) problem([...path, 'of'], "count takes no 'of'; use 'where'");
      if (!counts && !needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
      const signature = `panes|${base}|${paneMs}`;
      let request = paneRequests.get(signature);
      if (request === undefined) {
        request = {
          entry: entryOf(signature, step.on),
          signature,
          paneMs,
          reach: 1,
          columns: new Map(),
          asked: new Set(),
          list: undefined,
        };
        paneRequests.set(signature, request);
      }
      const own = request;
      own.reach = Math.max(own.reach, reach);
      const kind: ColumnKind = aggregate === 'min' || aggregate === 'max' ? aggregate : 'sum';
      const columnOf = (columnName: string, of: Reader): number => {
        own.columns.set(columnName, { kind, of });
        let index = own.entry.columns.indexOf(columnName);
        if (index < 0) index = own.entry.columns.push(columnName) - 1;
        if (!own.asked.has(index) && isNew(own.entry.columnsSince[index], step.on)) {
          own.entry.columnsSince[index] = backfillOf(step.on)?.since ?? options.since;
          const known = fresh.get(own.entry.id) ?? new Set();
          if (known !== 'all' && !step.on.includes('alert')) fresh.set(own.entry.id, known.add(index));
        }
        own.asked.add(index);
        return index;
      };
      let perUnit = 1;
      let column = -1;
      /** A mean is one over the records that have the value, so those are counted. */
      let known = -1;
      if (!counts) {
        const inWhole = wholeUnits(ofNode!, of!.evaluate as Reader);
        const { read } = inWhole;
        perUnit = inWhole.perUnit;
        column = columnOf(`${kind}:${ofText}`, read);
        if (aggregate === 'mean') {
          known = columnOf(`sum:known(${ofText})`, (scope) => (Number.isNaN(read(scope)) ? Number.NaN : 1));
        }
      }
      if (aggregate === 'dailyMean' && reach < 2)
        problem([...path, 'panes'], 'a daily mean needs two panes: of one that has just begun there is no rate');
      const result: CompiledFeature = {
        name,
        window: feature.window!,
        unit: feature.unit ?? unitOf(counts, ofText),
        type: 'number',
        read: always as never,
        entry: own.entry,
      };
      finish.push(() => {
        if (1 + own.reach * (1 + own.entry.columns.length) > SEGMENT_UNITS_MAX) {
          problem([...path, 'panes'], `${own.reach} panes of ${own.entry.columns.length} values each are too many`);
          return;
        }
        if (own.list === undefined) {
          // Before the change only panes of the shorter reach were kept.
          if (own.entry.reach > 0 && own.reach > own.entry.reach) {
            const seenSince = backfillOf(step.on)?.since ?? options.since - own.entry.reach * paneMs;
            own.entry.since = Math.max(own.entry.since!, seenSince);
            if (!fresh.has(own.entry.id) && !step.on.includes('alert')) fresh.set(own.entry.id, new Set());
          }
          own.entry.reach = own.reach;
          own.entry.columnsSince = own.entry.columns.map((wanted, index) =>
            own.columns.has(wanted) ? own.entry.columnsSince[index]! : null,
          );
          own.list = createPanes({
            id: own.entry.id,
            signature,
            paneMs,
            reach: own.reach,
            // A column that no rule asks for any more stays in place, so that the entries keep their form; nothing is added to it.
            columns: own.entry.columns.map(
              (wanted) => own.columns.get(wanted) ?? { kind: wanted.split(':')[0] as ColumnKind, of: () => Number.NaN },
            ),
          });
          operators.set(own.entry.id, own.list);
        }
        step.operators.add(own.list);
        if (column >= 0) result.columnSince = own.entry.columnsSince[column]!;
        if (aggregate === 'count') result.read = readCount(own.list, stretch);
        else if (aggregate === 'mean') {
          const count = readColumn(own.list, known, stretch, 1);
          const sum = readColumn(own.list, column, stretch, perUnit);
          result.read = (scope) => {
            const records = count(scope);
            return records === 0 ? Number.NaN : sum(scope) / records;
          };
        } else if (aggregate === 'dailyMean') {
          // The newest pane has only begun: dividing by the time that is covered so far keeps a steady key at its rate.
          const total = counts ? readCount(own.list, stretch) : readColumn(own.list, column, stretch, perUnit);
          result.read = (scope) => {
            const from = (Math.floor(scope.now / paneMs) - panes - shift + 1) * paneMs;
            const to = shift === 0 ? scope.now : from + panes * paneMs;
            return total(scope) / ((to - from) / DAY_MS);
          };
        } else if (baseline) {
          const statistic =
            aggregate === 'baselineMean' ? 'mean' : aggregate === 'baselineDeviation' ? 'deviation' : 'samples';
          result.read = readBaseline(own.list, column, stretch, {
            statistic,
            samplesMin: feature.samplesMin ?? 1,
            perUnit,
            since: Math.max(own.entry.since!, result.columnSince ?? 0),
          });
        } else result.read = readColumn(own.list, column, stretch, perUnit);
        result.panes = { list: own.list, stretch, column, perUnit };
      });
      return result;
    }

    conditions.push(() => {
      for (const [name, feature] of featureEntries) {
        if (feature.value === undefined) continue;
        const path = ['features', name];
        if (feature.aggregate !== undefined) problem(path, "'value' and 'aggregate' exclude each other");
        const value = compile(parse(feature.value, [...path, 'value']), ruleEnvironment, [...path, 'value']);
        if (value === undefined) continue;
        const unit = feature.unit ?? (value.type === 'duration' ? 's' : value.type === 'time' ? 'time' : 'none');
        features.set(name, { name, window: '', unit, type: value.type, read: value.evaluate, entry: undefined });
      }
      const evidenceNames = new Set<string>();
      let previousRank = -1;
      const bandNodes: Node[] = [];
      /** A parameter that a feature is compared with is written in the unit of the feature. */
      const unitOfParameter = new Map<string, string>();
      rule.bands.forEach((band, index) => {
        const path = ['bands', index, 'if'];
        const node = parse(band.if, path);
        const condition = compile(node, ruleEnvironment, path, 'boolean');
        const rank = SEVERITIES.indexOf(band.severity);
        if (rank < previousRank) problem(['bands', index, 'severity'], 'bands must rise in severity');
        previousRank = rank;
        if (node === undefined || condition === undefined) return;
        bandNodes.push(node);
        for (const name of namesIn(node)) if (features.has(name) || builtIns.has(name)) evidenceNames.add(name);
        const thresholds = new Map<string, (scope: Scope) => Value>();
        collectThresholds(
          node,
          (name) => features.has(name) || builtIns.has(name),
          (name, threshold) => {
            if (threshold.kind === 'name' && parameters.has(threshold.name))
              unitOfParameter.set(threshold.name, (features.get(name) ?? builtIns.get(name))!.unit);
            const value = compile(threshold, ruleEnvironment, path);
            if (value !== undefined && !thresholds.has(name)) thresholds.set(name, value.evaluate);
          },
        );
        // `{threshold}` is that of the first feature of the rule's own; a built-in one (how long is the key known) comes second.
        const first = [...thresholds].find(([name]) => features.has(name)) ?? [...thresholds][0];
        const firstFeature = first === undefined ? undefined : (features.get(first[0]) ?? builtIns.get(first[0]));
        const textEnvironment: Environment = {
          ...ruleEnvironment,
          resolve: (name) =>
            name === 'threshold' && first !== undefined && firstFeature !== undefined
              ? { type: firstFeature.type, evaluate: first[1] }
              : ruleEnvironment.resolve(name),
        };
        const template = (language: 'en' | 'zh-CN'): Template => {
          const own = band.reason !== undefined;
          const textPath = own ? ['bands', index, 'reason', language] : ['reason', language];
          const { template: made, error } = compileTemplate(
            (own ? band.reason! : rule.reason)[language],
            language,
            textEnvironment,
            (name) =>
              name === 'threshold'
                ? firstFeature?.unit
                : ((features.get(name) ?? builtIns.get(name))?.unit ?? unitOfParameter.get(name)),
          );
          if (error !== undefined) problem(textPath, error.message, error.at);
          return made;
        };
        compiled.bands.push({
          severity: band.severity,
          rank,
          holds: condition.evaluate as (scope: Scope) => boolean,
          score: band.score,
          reason: { en: template('en'), 'zh-CN': template('zh-CN') },
          thresholds,
        });
      });
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
      compiled.isRising =
        bandNodes.length > 1 &&
        bandNodes.every((node, index) => index === 0 || implies(node, bandNodes[index - 1]!, constantOf));
      asList(rule.evaluateAt)?.forEach((text, index) => {
        const path = Array.isArray(rule.evaluateAt) ? ['evaluateAt', index] : ['evaluateAt'];
        const node = parse(text, path);
        const time = compile(node, ruleEnvironment, path, 'time');
        if (time !== undefined) compiled.evaluateAt.push(time.evaluate as Reader);
      });
      if (rule.evaluateEvery !== undefined && compiled.everyMs < 60_000)
        problem(['evaluateEvery'], 'at least 1m: every key pays for it');
      if (compiled.suppressMs < 1_000)
        problem(['suppress', 'for'], 'at least 1s, or an episode would end as it begins');
      compiled.operatorIds = [...features.values(), ...builtIns.values()].flatMap(({ entry }) =>
        entry === undefined ? [] : [entry.id],
      );
      compiled.asksKnownFor = builtIns.has('knownFor');
      if (
        [...builtIns.keys()].some((name) => GROWS_WITH_TIME.has(name)) ||
        featureEntries.some(([, feature]) => feature.aggregate === 'sinceLast')
      ) {
        compiled.reachMs = Number.POSITIVE_INFINITY;
      }
      compiled.features = [
        ...[...features.values()],
        ...[...builtIns.values()].filter((feature) => evidenceNames.has(feature.name)),
      ];
    });
    if (isModel) {
      conditions.push(() => {
        const { model: written } = model;
        const time = (text: string, path: (string | number)[], type: ValueType): Reader => {
          const value = compile(parse(text, path), ruleEnvironment, path, type);
          return (value?.evaluate as Reader | undefined) ?? (() => Number.NaN);
        };
        valuation = valuationOf(written, {
          tenureMs: time(written.lifecycle.tenure, ['lifecycle', 'tenure'], 'duration'),
          lastUsageAt: time(written.lifecycle.lastUsageAt, ['lifecycle', 'lastUsageAt'], 'time'),
          signals: time(written.lifecycle.signals, ['lifecycle', 'signals'], 'number'),
          ratios: written.churn.inputs.map(({ ratio }, index) =>
            time(ratio, ['churn', 'inputs', index, 'ratio'], 'number'),
          ),
        });
        compiled.look = valuation.look;
        compiled.phase = { fromMs: options.rankings.lookFromMs, spanMs: LOOK_SPAN_MS };
        compiled.operatorIds = [valuation.revenue.id];
        compiled.reachMs = looksForMs(written);
        compiled.onArrival = false;
      });
      modelRule = compiled;
      continue;
    }
    rules.push(compiled);
    const addTriggers = (): void => {
      // What makes the rule look: its own `on` and `where`, or else the records that its features take.
      if (ruleOn !== undefined) {
        stepOf(keyType, ruleOn, ruleWhere.text, ruleWhere.holds).rules.add(compiled);
      } else {
        if ([...builtIns.keys()].some((name) => name.startsWith('ledger.')))
          triggers.add(stepOf(keyType, ['invoice', 'payment'], '', always));
        if ([...builtIns.keys()].some((name) => name.startsWith('tickets.')))
          triggers.add(stepOf(keyType, ['care'], '', always));
        if (builtIns.has('balance')) triggers.add(stepOf(keyType, ['topup', 'transfer'], '', always));
        if ([...builtIns.keys()].some((name) => modelNames.some((prefix) => name.startsWith(prefix))))
          triggers.add(stepOf(keyType, [...REVENUE_TYPES], '', always));
        if (triggers.size === 0) problem(['id'], "nothing triggers this rule: give it 'on' or features");
        for (const step of triggers) step.rules.add(compiled);
      }
    };
    // The built-in values that a rule mentions are known only after its conditions have been compiled.
    conditions.push(addTriggers);
  }

  /** The revenue of every subscriber is kept as soon as there is a model, because ranks are among all of them. */
  function valuationOf(written: Model, readers: Parameters<typeof createValuation>[0]['readers']): Valuation {
    const subscriber = keyIndex('subscriber');
    const entry = entryOf(REVENUE_SIGNATURE);
    const revenue: Revenue = createRevenue({
      id: entry.id,
      signature: REVENUE_SIGNATURE,
      graceMs: parseDuration(written.lifecycle.portOutGrace)!,
    });
    operators.set(entry.id, revenue);
    const charged = (scope: Scope): boolean => scope.record.chargeMicros > 0;
    for (const step of [
      stepOf(subscriber, [...REVENUE_TYPES], '', always),
      stepOf(subscriber, ['voice', 'sms', 'data'], '(charge>0)', charged),
    ]) {
      step.operators.add(revenue);
      step.rules.add(modelRule!);
    }
    return createValuation({ model: written, revenue, rankings: options.rankings, readers, since: () => entry.since! });
  }

  for (const complete of finish) complete();
  for (const complete of conditions) complete();
  if (profile !== undefined && (profileWants.place || profileWants.day)) {
    const own = profile;
    stepOf(SUBSCRIBER, ['voice', 'sms', 'data'], '(use for the profile)', own.takesUse).operators.add(own);
  }
  // All windows of a key lie in one block, with those of the keys that live together with it, and no block is larger than a page.
  for (const together of [KEY_TYPES.slice(0, HOUSEMATES), ...KEY_TYPES.slice(HOUSEMATES).map((key) => [key])]) {
    const own = rules.filter(({ key }) => together.includes(key));
    const kept = new Set(
      [...steps.values()].flatMap((step) => (together.includes(KEY_TYPES[step.keyType]!) ? [...step.operators] : [])),
    );
    let units = HEADER_UNITS + (kept.size + own.length + 8) / 2 + own.length * EPISODE_UNITS;
    for (const operator of kept) units += operator.unitsMax;
    if (units <= PAGE_UNITS) continue;
    const { file, positionOf } = keyed[rules.indexOf(own.at(-1)!)]!.source;
    const message = `the windows of all rules of key ${together.map((key) => `'${key}'`).join(', ')} may take ${Math.ceil(units / 128)} KiB in all; at most ${PAGE_UNITS / 128}`;
    problems.push({ file, ...positionOf(['key']), message });
  }
  if (registry.size >= OPERATORS_MAX) {
    const message = `with the rules before, more than ${OPERATORS_MAX} different features have been asked for`;
    problems.push({ file: sources.at(-1)!.file, line: 1, column: 1, message });
  }
  if (problems.length > 0) {
    const shown = new Map(
      problems.map((entry) => [`${entry.file}:${entry.line}:${entry.column}:${entry.message}`, entry]),
    );
    return { problems: [...shown.values()] };
  }
  options.registry.clear();
  for (const entry of registry.values()) if (!used.has(entry)) entry.since = null;
  for (const [signature, entry] of registry) options.registry.set(signature, entry);

  const planOf = (recordType: SeenType, only?: Parameters<typeof createPlan>[1]['only']): Plan => {
    const plan = createPlan(
      [...steps.values()].filter((step) => step.on.includes(recordType)),
      {
        keyTypes: KEY_TYPES.length,
        only,
        // A bill or a payment is never too old for the ledger; usage is, when it is too old for every window.
        reachOf: (operator) =>
          operator === ledger && recordType !== 'invoice' && recordType !== 'payment' ? 0 : operator.lateAfterMs,
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
  for (const [signature, { id }] of registry) {
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
      lists,
      rules,
      plans: plansOf(),
      plansOf: (newcomers, isNeeded) =>
        plansOf({
          isNeeded,
          keyTypes: new Set([
            keyIndex('subscriber'),
            ...[...steps.values()].flatMap((step) =>
              [...step.operators].some(({ id }) => newcomers.has(id)) ? [step.keyType] : [],
            ),
          ]),
        }),
      operators,
      timed: KEY_TYPES.map((_, keyType) =>
        (modelRule === undefined ? rules : [modelRule, ...rules]).filter(
          (rule) => rule.keyType === keyType && (rule.evaluateAt.length > 0 || rule.everyMs > 0),
        ),
      ),
      keyTypes,
      rulesByEpisode,
      uses,
      ledger,
      promises,
      disputes,
      balance,
      senderNote,
      profile,
      valuation,
      score: score.operator,
      features: [...shown.values()],
      fresh,
    },
  };
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

/** The parts of a condition that must all hold. */
function conjunctsOf(node: Node): Node[] {
  return node.kind === 'binary' && node.operator === '&&'
    ? [...conjunctsOf(node.left), ...conjunctsOf(node.right)]
    : [node];
}

/** Looks into a list, or at another subscriber: dearer than a field of the record. Only the order of asking depends on it. */
function asksElsewhere(node: Node): boolean {
  const text = canonical(node);
  return ['inList(', 'fromList(', 'other.'].some((part) => text.includes(part));
}

function parameterBinding(value: string | number | boolean | (string | number)[]): Binding {
  if (Array.isArray(value)) {
    const type = typeof value[0] === 'number' ? 'number' : 'text';
    return { type, evaluate: () => '', items: value };
  }
  if (typeof value === 'number') return { type: 'number', evaluate: () => value, constant: value };
  if (typeof value === 'boolean') return { type: 'boolean', evaluate: () => value, constant: value };
  if (value === 'off') return OFF;
  const duration = parseDuration(value);
  if (duration !== undefined) return { type: 'duration', evaluate: () => duration, constant: duration };
  return { type: 'text', evaluate: () => value, constant: value };
}

function unitOf(counts: boolean, of: string): string {
  if (counts) return 'count';
  if (of === 'durationSec') return 's';
  if (of.startsWith('bytes')) return 'bytes';
  if (of === 'charge' || of === 'amount' || of === 'balanceAfter') return 'currency';
  return 'none';
}

/**
 * Two bands, a timer and a derived feature may ask for the same window in one look at a key, and scanning it is what costs. The
 * value is kept in typed memory, because a number in a closure's variable would be allocated anew on every write.
 */
function onceALook(read: Reader): Reader {
  const kept = new Float64Array(2);
  return (scope) => {
    if (kept[0] === scope.look) return kept[1]!;
    const value = read(scope);
    kept[0] = scope.look;
    kept[1] = value;
    return value;
  };
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
