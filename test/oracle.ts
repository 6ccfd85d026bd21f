/**
 * A second engine, written to be obviously right and not to be fast: it keeps every record for ever, recomputes each window from
 * its definition whenever a rule looks, and interprets the syntax tree of every condition. It shares the parser with the
 * engine and nothing else. What it gives is what engine and rules promise:
 *
 * - a window of n panes covers, at time t, the panes pane(t)-n+1 ... pane(t), pane(t) = floor(t / length of a pane);
 * - a record is taken once; one that is older than every window that takes it, by the clock of its subscriber, is late and
 *   changes nothing;
 * - rules look when a record arrives that they or their features take, at the clock of the key;
 * - timers come up when the watermark has passed them, in order of time: at `evaluateAt`, every `evaluateEvery`, at the end of
 *   an episode. A record that comes late may make a time of `evaluateAt` due that has passed; regular looks of the past are
 *   not made good. A key of which no window can hold anything any more, without an open episode and without a timer, is
 *   forgotten.
 */
import type { AlertData } from '../src/alerts/alert.ts';
import { BLANK_RECORD, type SeenRecord, type SeenType, type UsageRecord } from '../src/record/usage-record.ts';
import { type Node, parseExpression } from '../src/rules/expression.ts';
import { KEY_TYPES, type Rule, type RuleFeature } from '../src/rules/rule.ts';
import { paidLate } from './oracle-bills.ts';
import { ledgerValue } from './oracle-ledger.ts';
import { PATTERNS, patternValue } from './oracle-patterns.ts';
import { numberingPlan } from './rule-engine.ts';

export type OracleAlert = Pick<
  AlertData,
  'ruleId' | 'eventTime' | 'revision' | 'severity' | 'status' | 'triggerRecordId'
> & { key: string };

type Value = number | string | boolean;

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
const durationOf = (text: string): number => {
  const known = durations.get(text);
  if (known !== undefined) return known;
  const unit = text.replace(/[0-9.]/g, '');
  const duration = Number(text.slice(0, text.length - unit.length)) * UNITS[unit]!;
  durations.set(text, duration);
  return duration;
};
const durations = new Map<string, number>();
const listOf = <T>(value: T | T[] | undefined): T[] | undefined =>
  value === undefined ? undefined : Array.isArray(value) ? value : [value];

/** A field of a record by the name that rules give it. */
function fieldOf(record: UsageRecord, name: string): Value | undefined {
  switch (name) {
    case 'durationSec':
      return record.durationMs / 1000;
    case 'charge':
      return record.chargeMicros / 1e6;
    case 'amount':
      return record.amountMicros / 1e6;
    case 'bytes':
      return record.bytesUp + record.bytesDown;
    case 'destinationPrefix':
      return numberingPlan.lookup(record.otherNumber)?.prefix ?? '';
    case 'alertRule':
      return (record as SeenRecord).alert?.ruleId ?? '';
    default: {
      const value = (record as unknown as Record<string, unknown>)[name];
      return typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' ? value : undefined;
    }
  }
}

const missing = (value: Value): boolean => value === '' || (typeof value === 'number' && Number.isNaN(value));

/** As decimal numbers are: fifteen digits hold, of which three or six stand before the point. */
const asDecimal = (value: number, decimals: number): number =>
  Math.abs(value) < 1e6 ? Math.round(value * 10 ** decimals) / 10 ** decimals : value;
const asQuotient = (value: number): number => asDecimal(value, Math.abs(value) < 1e3 ? 12 : 9);

/** Walks the tree; what is not known makes every comparison false. */
function evaluate(node: Node, name: (name: string) => Value): Value {
  const of = (part: Node): Value => evaluate(part, name);
  switch (node.kind) {
    case 'number':
    case 'text':
    case 'boolean':
      return node.value;
    case 'duration':
      return node.valueMs;
    case 'name':
      return name(node.name);
    case 'unary':
      return node.operator === '!' ? !of(node.operand) : -(of(node.operand) as number);
    case 'conditional':
      return of(node.test) ? of(node.yes) : of(node.no);
    case 'in':
      return node.items.map(of).some((item) => item === of(node.value) && !missing(item));
    case 'call': {
      const known = node.arguments.map(of).filter((one) => !missing(one)) as number[];
      if (node.name === 'has') return known.length > 0;
      if (node.name === 'sigmoid') return 1 / (1 + Math.exp(-(of(node.arguments[0]!) as number)));
      if (node.name === 'abs') return Math.abs(of(node.arguments[0]!) as number);
      if (known.length === 0) return Number.NaN;
      return node.name === 'min' ? Math.min(...known) : Math.max(...known);
    }
    case 'binary': {
      const left = of(node.left);
      const right = of(node.right);
      const [a, b] = [left as number, right as number];
      switch (node.operator) {
        case '&&':
          return left === true && right === true;
        case '||':
          return left === true || right === true;
        case '+':
          return asDecimal(a + b, 9);
        case '-':
          return asDecimal(a - b, 9);
        case '*':
          return asQuotient(a * b);
        case '/':
          return b === 0 ? Number.NaN : asQuotient(a / b);
        case '%':
          return a % b;
      }
      if (missing(left) || missing(right)) return false;
      switch (node.operator) {
        case '==':
          return left === right;
        case '!=':
          return left !== right;
        case '<':
          return a < b;
        case '<=':
          return a <= b;
        case '>':
          return a > b;
        default:
          return a >= b;
      }
    }
  }
}

/** A rule as one text, to look for names in it. */
const textOf = (rule: Rule): string => {
  const text = texts.get(rule) ?? JSON.stringify(rule);
  texts.set(rule, text);
  return text;
};
const texts = new WeakMap<Rule, string>();

const ofLedger = (rule: Rule): boolean => textOf(rule).includes('ledger.');

const trees = new Map<string, Node>();
const treeOf = (text: string): Node => {
  const tree = trees.get(text) ?? parseExpression(text);
  trees.set(text, tree);
  return tree;
};

const recordHolds = (where: string | undefined, record: UsageRecord): boolean =>
  where === undefined || evaluate(treeOf(where), (name) => fieldOf(record, name) ?? Number.NaN) === true;

/** What a feature looks at: its own `on` and `where`, or those of the rule. */
function filterOf(rule: Rule, feature: RuleFeature): { on: SeenType[]; where: string | undefined } {
  const anyStep = feature.steps?.map((step) => `(${step.where})`).join(' || ');
  const where = anyStep ?? feature.where ?? (feature.on === undefined ? rule.where : undefined);
  return { on: listOf(feature.on ?? rule.on)!.toSorted(), where };
}

/** What makes a rule look. */
function triggersOf(rule: Rule): { on: SeenType[]; where: string | undefined }[] {
  if (rule.on !== undefined) return [{ on: listOf(rule.on)!, where: rule.where }];
  return aggregatesOf(rule).map(([, feature]) => filterOf(rule, feature));
}

const aggregatesOf = (rule: Rule): [string, RuleFeature][] => {
  const found =
    aggregates.get(rule) ??
    Object.entries(rule.features ?? {}).filter(([, feature]) => feature.aggregate !== undefined);
  aggregates.set(rule, found);
  return found;
};
const aggregates = new WeakMap<Rule, [string, RuleFeature][]>();

const takes = (filter: { on: SeenType[]; where: string | undefined }, record: UsageRecord): boolean =>
  filter.on.includes(record.recordType) && recordHolds(filter.where, record);

const paneOf = (feature: RuleFeature): number =>
  feature.aggregate!.startsWith('baseline')
    ? durationOf(feature.every ?? '1d')
    : durationOf(feature.window!) / (feature.panes ?? 12);

/** A record as it came: with the clock of its key then, itself included. Late ones only count for single calls. */
interface Arrival {
  record: UsageRecord;
  clock: number;
  late: boolean;
}

const HOUR_MS = 3_600_000;
/** Look at single calls, which are kept for so long where the rule does not say. */
const CALLS = ['overlap', 'concurrency', 'longCalls', 'callDuration', 'callStartAt'];
const ofCalls = ({ aggregate }: RuleFeature): boolean => aggregate === 'callDuration' || aggregate === 'callStartAt';
/** Remember for ever, in the order of arrival or of time. */
const LASTING = [
  'last',
  'lastAt',
  'sinceLast',
  'firstAt',
  'changedAt',
  'usualGap',
  'recentMean',
  'recentMin',
  'recentMax',
  'heldMax',
  'heldMin',
];
/** Look at single records within a time. */
const NEITHER: readonly string[] = [
  'speed',
  'distance',
  'members',
  'membersFailed',
  'membersDueAt',
  'membersNextDueAt',
  'run',
];
const ofPatterns = ({ aggregate }: RuleFeature): boolean => (PATTERNS as readonly string[]).includes(aggregate!);
const ofBills = ({ aggregate }: RuleFeature): boolean => aggregate === 'paidLate' || aggregate === 'paidLateMax';
const inPanes = ({ aggregate }: RuleFeature): boolean =>
  aggregate !== undefined &&
  ![...CALLS, ...LASTING, ...NEITHER, 'sequence', 'hourOfWeekMean', 'paidLate', 'paidLateMax'].includes(aggregate);

/** A rule that judges single calls, or has no window at all, looks at late records too. */
const onArrival = (rule: Rule): boolean =>
  aggregatesOf(rule).some(([, feature]) => ofCalls(feature)) ||
  aggregatesOf(rule).every(([, { aggregate }]) => LASTING.includes(aggregate!));

/** How far back a feature can look, 0 where it has no window, Infinity where it never forgets. */
function memoryOf(feature: RuleFeature): { retention: number; lateAfter: number } {
  const { aggregate } = feature;
  if (CALLS.includes(aggregate!)) {
    const kept = durationOf(feature.window ?? '12h');
    return { retention: kept, lateAfter: kept };
  }
  if (aggregate === 'sequence') {
    const steps = feature.steps!.map(({ count = 1, within = 'Infinityms' }, index) =>
      index > 0 || (count as number) > 1 ? limitOf(within) : 0,
    );
    const reach = steps.reduce((sum, within) => sum + within, 0);
    return { retention: reach, lateAfter: reach };
  }
  if (ofBills(feature)) return { retention: Number.POSITIVE_INFINITY, lateAfter: Number.POSITIVE_INFINITY };
  if (aggregate === 'hourOfWeekMean') return { retention: 675 * HOUR_MS, lateAfter: 675 * HOUR_MS };
  if (feature.aggregate === 'last') return { retention: Number.POSITIVE_INFINITY, lateAfter: Number.POSITIVE_INFINITY };
  if (aggregate === 'heldMax' || aggregate === 'heldMin') return { retention: Number.POSITIVE_INFINITY, lateAfter: 0 };
  if (feature.window === undefined) return { retention: Number.POSITIVE_INFINITY, lateAfter: 0 };
  const reach = durationOf(feature.window) + (feature.before === undefined ? 0 : durationOf(feature.before));
  return { retention: reach, lateAfter: reach };
}

const limitOf = (within: string): number => (within === 'Infinityms' ? Number.POSITIVE_INFINITY : durationOf(within));

/** Which step of a sequence a record counts for; -1 for none. */
const stepOf = (feature: RuleFeature, record: UsageRecord): number =>
  feature.steps!.findIndex(({ where }) => recordHolds(where, record));

/**
 * The chain of steps that the record completes or belongs to: each step is so many records in a row, each begins no earlier than
 * the one before ended, and follows the latest such end. Of each step the newest records are looked at, three more than it needs.
 */
function sequenceValue(feature: RuleFeature, seen: readonly UsageRecord[], own: UsageRecord | undefined): number {
  const ownStep = own === undefined ? -1 : stepOf(feature, own);
  if (ownStep < 0) return Number.NaN;
  let chains: { end: number; origin: number }[] = [];
  for (const [index, { count = 1, within = 'Infinityms' }] of feature.steps!.entries()) {
    const needed = count as number;
    const times = seen
      .filter((record) => stepOf(feature, record) === index)
      .map(({ eventTime }) => eventTime)
      .sort((a, b) => a - b)
      .slice(-(needed + 3));
    const next: { end: number; origin: number }[] = [];
    for (let last = needed - 1; last < times.length; last++) {
      const begin = times[last - needed + 1]!;
      const end = times[last]!;
      if (index === ownStep && (own!.eventTime < begin || own!.eventTime > end)) continue;
      if (index === 0) {
        if (needed === 1 || end - begin <= limitOf(within)) next.push({ end, origin: end });
      } else {
        const before = chains.findLast((chain) => chain.end <= begin);
        if (before !== undefined && end - before.end <= limitOf(within)) next.push({ end, origin: before.origin });
      }
    }
    chains = next;
  }
  const done = chains.at(-1);
  return done === undefined ? Number.NaN : done.end - done.origin;
}

/** Records of one name are one call. One that ended so long ago is forgotten; its name may be that of another one by then. */
function callsAmong(feature: RuleFeature, taken: readonly Arrival[]): { callId: string; from: number; to: number }[] {
  const keptMs = memoryOf(feature).retention;
  const calls: { callId: string; from: number; to: number }[] = [];
  for (const { record, clock } of taken) {
    const one = { callId: record.callId, from: record.eventTime, to: record.eventTime + record.durationMs };
    if (!(record.durationMs > 0) || one.to <= clock - keptMs) continue;
    const known = one.callId === '' ? undefined : calls.find(({ callId }) => callId === one.callId);
    if (known === undefined) calls.push(one);
    else if (known.to <= clock - keptMs) Object.assign(known, one);
    else Object.assign(known, { from: Math.min(known.from, one.from), to: Math.max(known.to, one.to) });
  }
  return calls;
}

/** What is known of the call that the record at hand belongs to, and of those beside it. */
function callValue(feature: RuleFeature, taken: readonly Arrival[], now: number, own: UsageRecord | undefined): number {
  const { aggregate } = feature;
  const seen = taken.map(({ record }) => record);
  if (aggregate === 'callDuration' || aggregate === 'callStartAt') {
    if (own === undefined) return Number.NaN;
    const parts = seen.filter(({ callId, durationMs }) => callId !== '' && callId === own.callId && durationMs >= 0);
    if (aggregate === 'callStartAt')
      return parts.length === 0 ? own.eventTime : Math.min(...parts.map(({ eventTime }) => eventTime));
    return parts.length === 0 ? own.durationMs : parts.reduce((sum, { durationMs }) => sum + durationMs, 0);
  }
  if (aggregate === 'longCalls') {
    const limit = durationOf(feature.longerThan!);
    const from = now - durationOf(feature.window!);
    return callsAmong(feature, taken).filter((call) => call.from > from && call.to - call.from > limit).length;
  }
  if (own === undefined || !(own.durationMs > 0)) return Number.NaN;
  const [start, end] = [own.eventTime, own.eventTime + own.durationMs];
  if (aggregate === 'overlap') {
    const held = seen.filter(({ durationMs }) => durationMs > 0);
    const placed = held.filter(({ cellId }) => cellId !== '');
    if (own.cellId === '' || placed.length === 0) return Number.NaN;
    const elsewhere = placed.filter(
      ({ cellId, callId }) => cellId !== own.cellId && (callId === '' || callId !== own.callId),
    );
    return Math.max(
      0,
      ...elsewhere.map((call) => Math.min(end, call.eventTime + call.durationMs) - Math.max(start, call.eventTime)),
    );
  }
  const calls = callsAmong(feature, taken);
  if (calls.length === 0) return Number.NaN;
  const kept = calls.filter(({ to }) => to > now - memoryOf(feature).retention);
  const instants = [start, ...kept.map(({ from }) => from).filter((from) => from > start && from < end)];
  return Math.max(...instants.map((at) => kept.filter(({ from, to }) => from <= at && at < to).length));
}

function featureValue(
  rule: Rule,
  feature: RuleFeature,
  arrivals: readonly Arrival[],
  now: number,
  own: UsageRecord | undefined,
  since: number,
  /** Of the subscriber behind the key; only a run looks at them. */
  ofSubscriber: readonly Arrival[],
): Value {
  const filter = filterOf(rule, feature);
  const taken = arrivals.filter(({ record, late }) => (!late || ofCalls(feature)) && takes(filter, record));
  const seen = taken.map(({ record }) => record);
  const of = (record: UsageRecord): Value =>
    feature.of === undefined ? 1 : evaluate(treeOf(feature.of), (name) => fieldOf(record, name) ?? Number.NaN);
  const { aggregate } = feature;
  if (ofPatterns(feature)) {
    const windowMs = durationOf(feature.window ?? '12h');
    return patternValue({
      feature,
      taken,
      now,
      own,
      of,
      holds: recordHolds,
      windowMs,
      withinMs:
        (feature.members?.within ?? feature.within) === undefined
          ? Infinity
          : durationOf((feature.members?.within ?? feature.within)!),
      paneMs: windowMs / (feature.panes ?? 12),
      turns: ofSubscriber
        .filter(
          ({ record, late }) => !late && filter.on.includes(record.recordType) && recordHolds(feature.among, record),
        )
        .map(({ record }) => ({ record, counts: takes(filter, record) })),
    });
  }
  if (aggregate === 'last') {
    const known = seen.filter((record) => !missing(of(record)));
    const newest = Math.max(...known.map(({ eventTime }) => eventTime));
    const last = known.findLast(({ eventTime }) => eventTime === newest);
    return last === undefined ? (feature.of === 'cellId' ? '' : Number.NaN) : of(last);
  }
  if (aggregate === 'lastAt' || aggregate === 'sinceLast') {
    const newest = seen.length === 0 ? Number.NaN : Math.max(...seen.map(({ eventTime }) => eventTime));
    return aggregate === 'lastAt' ? newest : now - newest;
  }
  if (aggregate === 'firstAt')
    return seen.length === 0 ? Number.NaN : Math.min(...seen.map(({ eventTime }) => eventTime));
  if (aggregate === 'changedAt') {
    let newest: UsageRecord | undefined;
    let changedAt = Number.NaN;
    for (const record of seen.filter((one) => !missing(of(one)))) {
      if (newest !== undefined && record.eventTime < newest.eventTime) continue;
      if (newest !== undefined && of(newest) !== of(record)) changedAt = record.eventTime;
      newest = record;
    }
    return changedAt;
  }
  if (aggregate === 'sequence') return sequenceValue(feature, seen, own);
  if (ofBills(feature))
    return paidLate(feature, seen, now, feature.window === undefined ? 0 : durationOf(feature.window));
  if (CALLS.includes(aggregate!)) return callValue(feature, taken, now, own);
  if (aggregate!.startsWith('recent')) {
    const values = seen.map(of).filter((value) => !missing(value)) as number[];
    const { last = 0, skip = 0 } = feature;
    const looked = values.slice(0, Math.max(0, values.length - skip)).slice(-last);
    if (looked.length < Math.min(last, feature.samplesMin ?? last)) return Number.NaN;
    if (aggregate === 'recentMin') return Math.min(...looked);
    if (aggregate === 'recentMax') return Math.max(...looked);
    return looked.reduce((sum, value) => sum + Math.round(value * 1e6), 0) / looked.length / 1e6;
  }
  if (aggregate === 'hourOfWeekMean') {
    const hourOf = (time: number): number => Math.floor(time / HOUR_MS);
    const same = seen.filter((one) => {
      const hoursAgo = hourOf(now) - hourOf(one.eventTime);
      return hoursAgo > 0 && hoursAgo % 168 === 0 && hoursAgo <= 4 * 168 && !missing(of(one));
    });
    if (same.length < (feature.samplesMin ?? 1)) return Number.NaN;
    return same.reduce((sum, one) => sum + Math.round((of(one) as number) * 1e6), 0) / 4 / 1e6;
  }
  if (aggregate === 'usualGap') {
    const gaps: number[] = [];
    let newest = Number.NaN;
    for (const { eventTime } of seen) {
      if (eventTime > newest) gaps.push(Math.round((eventTime - newest) / 1000) * 1000);
      if (!(eventTime <= newest)) newest = eventTime;
    }
    const sorted = gaps.slice(-16).sort((a, b) => a - b);
    const half = sorted.length / 2;
    if (sorted.length === 0) return Number.NaN;
    return sorted.length % 2 === 1 ? sorted[Math.floor(half)]! : (sorted[half - 1]! + sorted[half]!) / 2;
  }

  const paneMs = paneOf(feature);
  const panes = durationOf(feature.window!) / paneMs;
  const newest = Math.floor(now / paneMs) - (feature.before === undefined ? 0 : durationOf(feature.before) / paneMs);
  const window = seen.filter(({ eventTime }) => {
    const pane = Math.floor(eventTime / paneMs);
    return pane > newest - panes && pane <= newest;
  });
  const known = window.map(of).filter((value) => !missing(value));
  // In millionths, as the records have them: what a person adds up on paper.
  const sum = (values: readonly Value[]): number =>
    values.reduce<number>((total, value) => total + Math.round((value as number) * 1e6), 0) / 1e6;
  switch (aggregate) {
    case 'count':
      return window.length;
    case 'sum':
      return sum(known);
    case 'min':
      return known.length === 0 ? Number.NaN : Math.min(...(known as number[]));
    case 'max':
      return known.length === 0 ? Number.NaN : Math.max(...(known as number[]));
    case 'mean':
      return known.length === 0 ? Number.NaN : sum(known) / known.length;
    case 'distinct':
      return new Set(known).size;
    case 'modeCount':
      return Math.max(0, ...[...new Set(known)].map((value) => known.filter((one) => one === value).length));
    case 'dailyMean': {
      const from = (newest - panes + 1) * paneMs;
      const to = feature.before === undefined ? now : from + panes * paneMs;
      return (feature.of === undefined ? window.length : sum(known)) / ((to - from) / 864e5);
    }
    default: {
      // Baselines: one sample for each pane in which something happened and that the rule has seen whole.
      const happened = [...new Set(window.map(({ eventTime }) => Math.floor(eventTime / paneMs)))];
      const whole = happened.filter((pane) => pane * paneMs > since);
      const samples = whole.map((pane) => {
        const inPane = window.filter(({ eventTime }) => Math.floor(eventTime / paneMs) === pane);
        return sum(inPane.map(of).filter((value) => !missing(value)));
      });
      if (aggregate === 'baselineSamples') return samples.length;
      if (samples.length < (feature.samplesMin ?? 1)) return Number.NaN;
      const mean = samples.reduce((total, sample) => total + sample, 0) / samples.length;
      if (aggregate === 'baselineMean') return mean;
      const variance = samples.reduce((total, sample) => total + (sample - mean) ** 2, 0) / samples.length;
      return Math.max(Math.sqrt(variance), 0.1 * Math.abs(mean), 1);
    }
  }
}

interface Key {
  type: string;
  text: string;
  arrivals: Arrival[];
  clock: number;
  firstSeen: number;
  /** The subscriber of its last record. */
  user: string;
  /** The key has been looked at as an idle one up to this time. */
  idleSettled: number;
  /** Rules that have looked, or whose features have taken a record: only those have times of their own. */
  seenBy: Set<Rule>;
  /** Next time of `evaluateAt` and next regular look of `evaluateEvery`, as worked out when the rule or a timer looked last. */
  ownAt: Map<Rule, number>;
  regularAt: Map<Rule, number>;
  episodes: Map<Rule, { held: number; band: number; revision: number }>;
}

export interface Oracle {
  apply(record: UsageRecord): 'applied' | 'duplicate' | 'late';
  tick(eventTime: number): void;
  /** Swaps the rules. Those with an id that was there before go on; others see nothing of what came before. */
  swap(next: readonly Rule[], version: string): void;
  alerts: OracleAlert[];
}

export function createOracle(first: readonly Rule[], options: { latenessMs: number }): Oracle {
  let rules = first;
  /** Records that came before a rule did, by its id. */
  const before = new Map<string, ReadonlySet<string>>();
  /** Time of the swap that brought a rule, by its id. */
  const began = new Map<string, number>();
  const keys = new Map<string, Key>();
  const taken = new Set<string>();
  const alerts: OracleAlert[] = [];
  let newest = Number.NEGATIVE_INFINITY;
  const watermark = (): number => newest - options.latenessMs;
  const rulesOf = (type: string): Rule[] => rules.filter(({ key }) => key === type);
  const usesKnownFor = (type: string): boolean => rulesOf(type).some((rule) => textOf(rule).includes('knownFor'));

  /** How long a key of the type is kept without records; empty again when rules are swapped. */
  const idle = new Map<string, number>();
  const idleMs = (type: string): number => {
    const known = idle.get(type);
    if (known !== undefined) return known;
    const retentions = rulesOf(type).flatMap((rule) =>
      aggregatesOf(rule).map(([, feature]) => memoryOf(feature).retention),
    );
    const forEver = usesKnownFor(type) || rulesOf(type).some(ofLedger);
    const longest = forEver ? Number.POSITIVE_INFINITY : Math.max(0, ...retentions);
    idle.set(type, longest);
    return longest;
  };

  /** The longest window that takes the record: what is older than that, by the clock of its subscriber, is late. */
  const lateAfter = (record: UsageRecord): number => {
    const reaches = rules.flatMap((rule) =>
      aggregatesOf(rule).flatMap(([, feature]) =>
        takes(filterOf(rule, feature), record) ||
        (feature.among !== undefined && takes({ ...filterOf(rule, feature), where: feature.among }, record))
          ? [memoryOf(feature).lateAfter]
          : [],
      ),
    );
    const longest = Math.max(0, ...reaches);
    return longest === 0 ? Number.POSITIVE_INFINITY : longest;
  };

  const keyText = (type: string, record: UsageRecord): string => {
    if (type === 'subscriber') return record.servedMsisdn;
    if (type === 'account') return record.accountId === '' ? record.servedMsisdn : record.accountId;
    if (type === 'subscriber+prefix') {
      const prefix = fieldOf(record, 'destinationPrefix');
      return prefix === '' || record.servedMsisdn === '' ? '' : `${record.servedMsisdn}>${prefix}`;
    }
    return type === 'imsi' ? record.servedImsi : record.cellId;
  };

  /** An alert is a record for other rules, with the fields of the record that made it fire and the key of its rule. */
  const pending: UsageRecord[] = [];
  const accounts = new Map<string, string>();
  const alertRecordOf = (rule: Rule, key: Key, now: number, record: UsageRecord): UsageRecord => {
    const account = rule.key === 'subscriber' ? (accounts.get(key.text) ?? '') : '';
    const made: SeenRecord = {
      ...record,
      recordType: 'alert',
      eventTime: now,
      accountId: record.accountId === '' ? account : record.accountId,
      alert: { ruleId: rule.id } as NonNullable<SeenRecord['alert']>,
    };
    if (rule.key === 'account') made.accountId = key.text;
    if (rule.key === 'imsi') made.servedImsi = key.text;
    return made as UsageRecord;
  };

  /** A timer has no record: of the party behind the alert only what its key says is known, and who used the key last. */
  const timerRecordOf = (rule: Rule, key: Key, now: number): UsageRecord => ({
    ...BLANK_RECORD,
    recordId: `timer:${now}`,
    servedMsisdn: rule.key === 'subscriber' ? key.text : key.user,
  });

  const seenBy = (rule: Rule, key: Key): Arrival[] =>
    key.arrivals.filter(({ record }) => before.get(rule.id)?.has(record.recordId) !== true);

  const namesFor = (rule: Rule, key: Key, now: number, record: UsageRecord | undefined): ((name: string) => Value) => {
    const resolve = (name: string): Value => {
      const feature = rule.features?.[name];
      if (feature?.value !== undefined) return evaluate(treeOf(feature.value), resolve);
      if (feature !== undefined)
        return featureValue(
          rule,
          feature,
          seenBy(rule, key),
          now,
          record,
          began.get(rule.id) ?? 0,
          keys.get(`subscriber ${key.text.split('>')[0]}`)?.arrivals ?? [],
        );
      if (name.startsWith('ledger.')) {
        const seen = seenBy(rule, key).filter(({ late }) => !late);
        return ledgerValue(
          name.slice('ledger.'.length),
          seen.map(({ record }) => record),
          now,
        );
      }
      if (name === 'now') return now;
      if (name === 'knownFor') return now - key.firstSeen;
      if (name === 'lastSeenAt') return key.clock;
      const parameter = rule.params?.[name];
      if (parameter !== undefined && !Array.isArray(parameter)) {
        return typeof parameter === 'string' && /^[0-9.]+[a-z]+$/.test(parameter) ? durationOf(parameter) : parameter;
      }
      const field = record === undefined ? undefined : fieldOf(record, name);
      return field ?? (['durationSec', 'charge', 'amount', 'bytes'].includes(name) ? Number.NaN : '');
    };
    return resolve;
  };

  /** Keep their own panes, with values in them. */
  const alone = ({ aggregate }: RuleFeature): boolean => aggregate === 'distinct' || aggregate === 'modeCount';

  /** Does one of the rule's features keep something of this record? */
  const sees = (rule: Rule, key: Key, record: UsageRecord): boolean =>
    aggregatesOf(rule).length === 0 ||
    aggregatesOf(rule).some(([, feature]) => {
      const filter = filterOf(rule, feature);
      if (!takes(filter, record)) return false;
      const { aggregate, of } = feature;
      const isVoid = !(record.durationMs > 0);
      if (aggregate === 'sequence') return stepOf(feature, record) >= 0;
      if (ofCalls(feature)) return record.callId !== '' && record.durationMs >= 0;
      if (aggregate === 'concurrency' || aggregate === 'longCalls') return !isVoid;
      if (aggregate === 'overlap') return !isVoid && record.cellId !== '';
      const needsValue =
        of !== undefined && ['last', 'distinct', 'changedAt', 'modeCount', 'hourOfWeekMean'].includes(aggregate!);
      const names = (name: string): Value => fieldOf(record, name) ?? Number.NaN;
      if ((needsValue || aggregate!.startsWith('recent')) && missing(evaluate(treeOf(of!), names))) return false;
      if (aggregate === 'hourOfWeekMean')
        return Math.floor(record.eventTime / HOUR_MS) > Math.floor(key.clock / HOUR_MS) - 675;
      if (!inPanes(feature)) return true;
      // Features over the same records with panes of the same length keep them together, as long as the longest needs.
      const paneMs = paneOf(feature);
      const same = rulesOf(rule.key).flatMap((other) =>
        aggregatesOf(other)
          .filter(([, one]) => inPanes(one) && paneOf(one) === paneMs && !alone(one))
          .filter(([, one]) => JSON.stringify(filterOf(other, one)) === JSON.stringify(filter))
          .map(([, one]) => memoryOf(one).retention),
      );
      const reach = alone(feature) ? memoryOf(feature).retention : Math.max(...same);
      return Math.floor(record.eventTime / paneMs) > Math.floor(key.clock / paneMs) - reach / paneMs;
    });

  /** For `suppress.by`: which key of an entity had the last alert, how high, and when the condition last held for any of them. */
  const entities = new Map<string, { owner: string; band: number; held: number }>();
  const isHeldBack = (rule: Rule, key: Key, now: number, band: number, record: UsageRecord | undefined): boolean => {
    const { by, missing } = rule.suppress;
    if (by === undefined) return false;
    // A timer has no record; it knows the subscriber that used the key last.
    const named = record !== undefined ? keyText(by, record) : by === 'subscriber' ? key.user : '';
    if (named === '' && missing !== 'suppress') return false;
    const host = keys.get(`${by} ${named}`);
    if (host !== undefined && record === undefined) host.clock = Math.max(host.clock, now);
    const name = `${rule.id} ${named}`;
    const entity = entities.get(name);
    if (entity === undefined || now >= entity.held + durationOf(rule.suppress.for)) {
      entities.set(name, { owner: key.text, band, held: now });
      return false;
    }
    entity.held = Math.max(entity.held, now);
    if (entity.owner !== key.text && band <= entity.band) return true;
    Object.assign(entity, { owner: key.text, band: Math.max(band, entity.band) });
    return false;
  };

  /** Looks once with one rule. */
  const look = (rule: Rule, key: Key, now: number, record: UsageRecord | undefined, atEnd: boolean): void => {
    const names = namesFor(rule, key, now, record);
    const band = rule.bands.findLastIndex(({ if: condition }) => evaluate(treeOf(condition), names) === true);
    const episode = key.episodes.get(rule);
    const emit = (reached: number, revision: number, status: 'firing' | 'resolved'): void => {
      alerts.push({
        ruleId: rule.id,
        key: key.text,
        eventTime: now,
        revision,
        severity: rule.bands[reached]!.severity,
        status,
        triggerRecordId: record?.recordId ?? `timer:${now}`,
      });
      if (status === 'firing') pending.push(alertRecordOf(rule, key, now, record ?? timerRecordOf(rule, key, now)));
    };
    const inhibited = (): boolean =>
      record !== undefined &&
      (rule.inhibitedBy ?? []).some((id) => {
        const parent = rules.find((one) => one.id === id)!;
        return keys.get(`${parent.key} ${keyText(parent.key, record)}`)?.episodes.has(parent) === true;
      });
    if (band < 0) {
      if (!atEnd || episode === undefined) return;
      emit(episode.band, episode.revision + 1, 'resolved');
      key.episodes.delete(rule);
    } else if (episode === undefined) {
      if (inhibited() || isHeldBack(rule, key, now, band, record)) return;
      key.episodes.set(rule, { held: now, band, revision: 1 });
      emit(band, 1, 'firing');
    } else {
      episode.held = Math.max(episode.held, now);
      const before = episode.band;
      if (rule.suppress.falls) episode.band = Math.min(episode.band, band);
      const isHeld = band > before && inhibited();
      // An open alert goes on holding the others back, but not by a band that it has not reached.
      if (isHeldBack(rule, key, now, isHeld ? before : band, record)) return;
      if (band > before && !isHeld) {
        episode.band = band;
        episode.revision++;
        emit(band, episode.revision, 'firing');
      }
    }
  };

  const atTimes = (rule: Rule, key: Key, now: number): number[] =>
    (listOf(rule.evaluateAt) ?? []).map((text) =>
      Math.ceil(evaluate(treeOf(text), namesFor(rule, key, now, undefined)) as number),
    );

  /** What was planned before stays, where it comes earlier: it is worked out anew when it comes up. */
  const plan = (rule: Rule, key: Key, after: number, regularAfter: number): void => {
    const own = atTimes(rule, key, Math.max(key.clock, after)).filter((time) => time > after);
    key.ownAt.set(rule, Math.min(key.ownAt.get(rule) ?? Number.POSITIVE_INFINITY, ...own));
    if (rule.evaluateEvery === undefined) return;
    const grows = /"sinceLast"|\b(now|knownFor)\b/.test(textOf(rule));
    const windows = aggregatesOf(rule).filter(
      ([, feature]) => inPanes(feature) || ['sequence', 'hourOfWeekMean'].includes(feature.aggregate!),
    );
    const reach = Math.max(0, ...windows.map(([, feature]) => memoryOf(feature).retention));
    const every = durationOf(rule.evaluateEvery);
    // Each key looks at its own moment of the interval: a multiplication of its number behind a leading 1, modulo 2^32.
    const product = (BigInt(`1${key.text}`) * 0x9e3779b1n) & 0xffffffffn;
    const phase = Number(product >= 0x80000000n ? 0x100000000n - product : product) % every;
    const next = (Math.floor((regularAfter - phase) / every) + 1) * every + phase;
    // The last one is the first at which the windows are empty.
    const wanted = grows || next - every <= key.clock + reach ? next : Number.POSITIVE_INFINITY;
    key.regularAt.set(rule, Math.min(key.regularAt.get(rule) ?? Number.POSITIVE_INFINITY, wanted));
  };

  const endOf = (key: Key, rule: Rule): number => key.episodes.get(rule)!.held + durationOf(rule.suppress.for);
  const plannedOf = (key: Key): number => Math.min(...key.ownAt.values(), ...key.regularAt.values());
  const idleAtOf = (key: Key): number => key.clock + idleMs(key.type) + 1;
  /** When the key wants to be looked at next. */
  const dueOf = (key: Key): number => {
    const ends = [...key.episodes.keys()].map((rule) => endOf(key, rule));
    const idleAt = idleAtOf(key);
    return Math.min(plannedOf(key), ...ends, ...(idleAt > key.idleSettled ? [idleAt] : []));
  };

  /** Everything that is due up to the watermark, in order of time; what an alert of a timer leads to comes before the next one. */
  const settleAll = (): void => {
    for (;;) {
      let first: Key | undefined;
      let time = Number.POSITIVE_INFINITY;
      for (const key of keys.values()) {
        const due = dueOf(key);
        if (first === undefined || due < time) [first, time] = [key, due];
      }
      if (first === undefined || time > watermark()) return;
      settle(first, time);
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) takeIn(next, false, time);
    }
  };

  /** Everything of this key that is due up to then. */
  const settle = (key: Key, until: number): void => {
    const timed = rulesOf(key.type).filter(({ evaluateAt, evaluateEvery }) => evaluateAt ?? evaluateEvery);
    for (;;) {
      const idleAt = idleAtOf(key);
      const time = dueOf(key);
      if (time > until) return;
      const now = Math.max(key.clock, time);
      for (const rule of timed) {
        const due = atTimes(rule, key, now).includes(time) || key.regularAt.get(rule) === time;
        key.ownAt.delete(rule);
        key.regularAt.delete(rule);
        if (!key.seenBy.has(rule)) continue;
        if (due && !(key.episodes.has(rule) && endOf(key, rule) === time)) look(rule, key, now, undefined, false);
        plan(rule, key, time, time);
      }
      for (const rule of [...key.episodes.keys()]) if (endOf(key, rule) === time) look(rule, key, now, undefined, true);
      key.idleSettled = time;
      if (idleAt <= time && key.episodes.size === 0 && plannedOf(key) === Number.POSITIVE_INFINITY) {
        keys.delete(`${key.type} ${key.text}`);
        return;
      }
    }
  };

  /** Every key that the record names takes it in and its rules look. */
  const takeIn = (record: UsageRecord, late: boolean, settledTo = Number.NEGATIVE_INFINITY): void => {
    for (const type of KEY_TYPES.filter((one) => rules.some(({ key }) => key === one))) {
      const own = rulesOf(type);
      const looking = own.filter((rule) => triggersOf(rule).some((trigger) => takes(trigger, record)));
      const touched =
        looking.length > 0 ||
        own.some((rule) => aggregatesOf(rule).some(([, feature]) => takes(filterOf(rule, feature), record)));
      const text = keyText(type, record);
      const judging = own.filter(
        (rule) => onArrival(rule) && triggersOf(rule).some(({ on }) => on.includes(record.recordType)),
      );
      if (!touched || text === '' || (late && judging.length === 0)) continue;
      const name = `${type} ${text}`;
      let key = keys.get(name);
      // Of two that are due at one moment, the one that an alert of the other looks at comes first.
      if (key !== undefined) settle(key, settledTo);
      key = keys.get(name);
      if (key === undefined) {
        key = {
          type,
          text,
          arrivals: [],
          clock: record.eventTime,
          firstSeen: record.eventTime,
          user: '',
          idleSettled: Number.NEGATIVE_INFINITY,
          seenBy: new Set(),
          ownAt: new Map(),
          regularAt: new Map(),
          episodes: new Map(),
        };
        keys.set(name, key);
      }
      key.clock = Math.max(key.clock, record.eventTime);
      if (record.servedMsisdn !== '') key.user = record.servedMsisdn;
      if (type === 'subscriber' && record.accountId !== '') accounts.set(text, record.accountId);
      if (!late) key.firstSeen = Math.min(key.firstSeen, record.eventTime);
      key.arrivals.push({ record, clock: key.clock, late });
      key.idleSettled = Number.NEGATIVE_INFINITY;
      for (const rule of own) if ((!late || onArrival(rule)) && sees(rule, key, record)) key.seenBy.add(rule);
      for (const rule of looking) {
        if (late && !onArrival(rule)) continue;
        look(rule, key, key.clock, record, false);
        plan(rule, key, Math.min(key.clock, watermark()), watermark());
      }
    }
  };

  return {
    alerts,
    swap(next, version) {
      settleAll();
      for (const key of keys.values()) {
        for (const [rule, episode] of [...key.episodes]) {
          if (next.some(({ id }) => id === rule.id)) continue;
          key.episodes.delete(rule);
          alerts.push({
            ruleId: rule.id,
            key: key.text,
            eventTime: newest,
            revision: episode.revision + 1,
            severity: rule.bands[episode.band]!.severity,
            status: 'resolved',
            triggerRecordId: `rules:${version}`,
          });
        }
        for (const known of [key.ownAt, key.regularAt, key.episodes] as Map<Rule, unknown>[]) {
          for (const [rule, value] of [...known]) {
            const successor = next.find(({ id }) => id === rule.id);
            known.delete(rule);
            if (successor !== undefined) known.set(successor, value);
          }
        }
        key.seenBy = new Set(next.filter((rule) => [...key.seenBy].some(({ id }) => id === rule.id)));
      }
      for (const { id } of next) {
        if (rules.some((rule) => rule.id === id)) continue;
        before.set(id, new Set(taken));
        began.set(id, Math.max(0, newest));
      }
      rules = next;
      idle.clear();
    },
    tick(eventTime) {
      newest = Math.max(newest, eventTime);
      settleAll();
    },
    apply(record) {
      if (taken.has(record.recordId)) return 'duplicate';
      taken.add(record.recordId);
      newest = Math.max(newest, record.eventTime);
      settleAll();

      const subscriber = keys.get(`subscriber ${record.servedMsisdn}`);
      const late = subscriber !== undefined && record.eventTime < subscriber.clock - lateAfter(record);
      takeIn(record, late);
      // Alerts of rules over alerts stand behind those that are looked at.
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) takeIn(next, false);
      return late ? 'late' : 'applied';
    },
  };
}
