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
import type { SeenType, UsageRecord } from '../src/record/usage-record.ts';
import { type Node, parseExpression } from '../src/rules/expression.ts';
import type { Rule, RuleFeature } from '../src/rules/rule.ts';

export type OracleAlert = Pick<
  AlertData,
  'ruleId' | 'eventTime' | 'revision' | 'severity' | 'status' | 'triggerRecordId'
> & { key: string };

type Value = number | string | boolean;

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
const durationOf = (text: string): number => {
  const unit = text.replace(/[0-9.]/g, '');
  return Number(text.slice(0, text.length - unit.length)) * UNITS[unit]!;
};
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
    default: {
      const value = (record as unknown as Record<string, unknown>)[name];
      return typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' ? value : undefined;
    }
  }
}

const missing = (value: Value): boolean => value === '' || (typeof value === 'number' && Number.isNaN(value));

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
          return a + b;
        case '-':
          return a - b;
        case '*':
          return a * b;
        case '/':
          return b === 0 ? Number.NaN : a / b;
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
  const where = feature.where ?? (feature.on === undefined ? rule.where : undefined);
  return { on: listOf(feature.on ?? rule.on)!.toSorted(), where };
}

/** What makes a rule look. */
function triggersOf(rule: Rule): { on: SeenType[]; where: string | undefined }[] {
  if (rule.on !== undefined) return [{ on: listOf(rule.on)!, where: rule.where }];
  return aggregatesOf(rule).map(([, feature]) => filterOf(rule, feature));
}

const aggregatesOf = (rule: Rule): [string, RuleFeature][] =>
  Object.entries(rule.features ?? {}).filter(([, feature]) => feature.aggregate !== undefined);

const takes = (filter: { on: SeenType[]; where: string | undefined }, record: UsageRecord): boolean =>
  filter.on.includes(record.recordType) && recordHolds(filter.where, record);

const paneOf = (feature: RuleFeature): number =>
  feature.aggregate!.startsWith('baseline')
    ? durationOf(feature.every ?? '1d')
    : durationOf(feature.window!) / (feature.panes ?? 12);

/** How far back a feature can look, 0 where it has no window, Infinity where it never forgets. */
function memoryOf(feature: RuleFeature): { retention: number; lateAfter: number } {
  if (feature.aggregate === 'last') return { retention: Number.POSITIVE_INFINITY, lateAfter: Number.POSITIVE_INFINITY };
  if (feature.window === undefined) return { retention: Number.POSITIVE_INFINITY, lateAfter: 0 };
  const reach = durationOf(feature.window) + (feature.before === undefined ? 0 : durationOf(feature.before));
  return { retention: reach, lateAfter: reach };
}

function featureValue(rule: Rule, feature: RuleFeature, records: readonly UsageRecord[], now: number): Value {
  const filter = filterOf(rule, feature);
  const seen = records.filter((record) => takes(filter, record));
  const of = (record: UsageRecord): Value =>
    feature.of === undefined ? 1 : evaluate(treeOf(feature.of), (name) => fieldOf(record, name) ?? Number.NaN);
  const { aggregate } = feature;
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
    case 'dailyMean': {
      const from = (newest - panes + 1) * paneMs;
      const to = feature.before === undefined ? now : from + panes * paneMs;
      return (feature.of === undefined ? window.length : sum(known)) / ((to - from) / 864e5);
    }
    default: {
      // Baselines: one sample for each pane in which something happened.
      const samples = [...new Set(window.map(({ eventTime }) => Math.floor(eventTime / paneMs)))].map((pane) => {
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
  records: UsageRecord[];
  clock: number;
  firstSeen: number;
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
  alerts: OracleAlert[];
}

export function createOracle(rules: readonly Rule[], options: { latenessMs: number }): Oracle {
  const keys = new Map<string, Key>();
  const taken = new Set<string>();
  const alerts: OracleAlert[] = [];
  let newest = Number.NEGATIVE_INFINITY;
  const watermark = (): number => newest - options.latenessMs;
  const rulesOf = (type: string): Rule[] => rules.filter(({ key }) => key === type);
  const usesKnownFor = (type: string): boolean =>
    rulesOf(type).some((rule) => JSON.stringify(rule).includes('knownFor'));

  const idleMs = (type: string): number =>
    usesKnownFor(type)
      ? Number.POSITIVE_INFINITY
      : Math.max(
          0,
          ...rulesOf(type).flatMap((rule) => aggregatesOf(rule).map(([, feature]) => memoryOf(feature).retention)),
        );

  /** The longest window that takes the record: what is older than that, by the clock of its subscriber, is late. */
  const lateAfter = (record: UsageRecord): number => {
    const reaches = rules.flatMap((rule) =>
      aggregatesOf(rule).flatMap(([, feature]) =>
        takes(filterOf(rule, feature), record) ? [memoryOf(feature).lateAfter] : [],
      ),
    );
    const longest = Math.max(0, ...reaches);
    return longest === 0 ? Number.POSITIVE_INFINITY : longest;
  };

  const keyText = (type: string, record: UsageRecord): string => {
    if (type === 'subscriber') return record.servedMsisdn;
    if (type === 'account') return record.accountId === '' ? record.servedMsisdn : record.accountId;
    return type === 'imsi' ? record.servedImsi : record.cellId;
  };

  const namesFor = (rule: Rule, key: Key, now: number, record: UsageRecord | undefined): ((name: string) => Value) => {
    const resolve = (name: string): Value => {
      const feature = rule.features?.[name];
      if (feature?.value !== undefined) return evaluate(treeOf(feature.value), resolve);
      if (feature !== undefined) return featureValue(rule, feature, key.records, now);
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

  /** Does one of the rule's features keep something of this record? */
  const sees = (rule: Rule, key: Key, record: UsageRecord): boolean =>
    aggregatesOf(rule).length === 0 ||
    aggregatesOf(rule).some(([, feature]) => {
      const filter = filterOf(rule, feature);
      if (!takes(filter, record)) return false;
      const needsValue = feature.aggregate === 'last' || feature.aggregate === 'distinct';
      const names = (name: string): Value => fieldOf(record, name) ?? Number.NaN;
      if (needsValue && missing(evaluate(treeOf(feature.of!), names))) return false;
      if (feature.window === undefined) return true;
      // Features over the same records with panes of the same length keep them together, as long as the longest needs.
      const paneMs = paneOf(feature);
      const same = rulesOf(rule.key).flatMap((other) =>
        aggregatesOf(other)
          .filter(([, one]) => one.window !== undefined && paneOf(one) === paneMs && one.aggregate !== 'distinct')
          .filter(([, one]) => JSON.stringify(filterOf(other, one)) === JSON.stringify(filter))
          .map(([, one]) => memoryOf(one).retention),
      );
      const reach = feature.aggregate === 'distinct' ? memoryOf(feature).retention : Math.max(...same);
      return Math.floor(record.eventTime / paneMs) > Math.floor(key.clock / paneMs) - reach / paneMs;
    });

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
    };
    if (band < 0) {
      if (!atEnd || episode === undefined) return;
      emit(episode.band, episode.revision + 1, 'resolved');
      key.episodes.delete(rule);
    } else if (episode === undefined) {
      key.episodes.set(rule, { held: now, band, revision: 1 });
      emit(band, 1, 'firing');
    } else {
      episode.held = Math.max(episode.held, now);
      if (band > episode.band) {
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
    const grows = /"sinceLast"|\b(now|knownFor)\b/.test(JSON.stringify(rule));
    const windows = aggregatesOf(rule).filter(([, { window }]) => window !== undefined);
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

  /** Everything of this key that is due up to the watermark, in order of time. */
  const settle = (key: Key): void => {
    const timed = rulesOf(key.type).filter(({ evaluateAt, evaluateEvery }) => evaluateAt ?? evaluateEvery);
    const endOf = (rule: Rule): number => key.episodes.get(rule)!.held + durationOf(rule.suppress.for);
    const planned = (): number => Math.min(...key.ownAt.values(), ...key.regularAt.values());
    for (;;) {
      const idleAt = key.clock + idleMs(key.type) + 1;
      const ends = [...key.episodes.keys()].map(endOf);
      const time = Math.min(planned(), ...ends, ...(idleAt > key.idleSettled ? [idleAt] : []));
      if (time > watermark()) return;
      const now = Math.max(key.clock, time);
      for (const rule of timed) {
        const due = atTimes(rule, key, now).includes(time) || key.regularAt.get(rule) === time;
        key.ownAt.delete(rule);
        key.regularAt.delete(rule);
        if (!key.seenBy.has(rule)) continue;
        if (due && !(key.episodes.has(rule) && endOf(rule) === time)) look(rule, key, now, undefined, false);
        plan(rule, key, time, time);
      }
      for (const rule of [...key.episodes.keys()]) if (endOf(rule) === time) look(rule, key, now, undefined, true);
      key.idleSettled = time;
      if (idleAt <= time && key.episodes.size === 0 && planned() === Number.POSITIVE_INFINITY) {
        keys.delete(`${key.type} ${key.text}`);
        return;
      }
    }
  };

  return {
    alerts,
    tick(eventTime) {
      newest = Math.max(newest, eventTime);
      for (const key of [...keys.values()]) settle(key);
    },
    apply(record) {
      if (taken.has(record.recordId)) return 'duplicate';
      taken.add(record.recordId);
      newest = Math.max(newest, record.eventTime);
      for (const key of [...keys.values()]) settle(key);

      const subscriber = keys.get(`subscriber ${record.servedMsisdn}`);
      const late = subscriber !== undefined && record.eventTime < subscriber.clock - lateAfter(record);
      for (const type of new Set(rules.map(({ key }) => key))) {
        const own = rulesOf(type);
        const looking = own.filter((rule) => triggersOf(rule).some((trigger) => takes(trigger, record)));
        const touched =
          looking.length > 0 ||
          own.some((rule) => aggregatesOf(rule).some(([, feature]) => takes(filterOf(rule, feature), record)));
        const text = keyText(type, record);
        const windowless = (rule: Rule): boolean => aggregatesOf(rule).every(([, { window }]) => window === undefined);
        const onArrival = own.filter(
          (rule) => windowless(rule) && triggersOf(rule).some(({ on }) => on.includes(record.recordType)),
        );
        if (!touched || text === '' || (late && onArrival.length === 0)) continue;
        const name = `${type} ${text}`;
        let key = keys.get(name);
        if (key === undefined) {
          key = {
            type,
            text,
            records: [],
            clock: record.eventTime,
            firstSeen: record.eventTime,
            idleSettled: Number.NEGATIVE_INFINITY,
            seenBy: new Set(),
            ownAt: new Map(),
            regularAt: new Map(),
            episodes: new Map(),
          };
          keys.set(name, key);
        }
        key.clock = Math.max(key.clock, record.eventTime);
        if (!late) {
          key.firstSeen = Math.min(key.firstSeen, record.eventTime);
          key.records.push(record);
        }
        key.idleSettled = Number.NEGATIVE_INFINITY;
        for (const rule of own) if (!late && sees(rule, key, record)) key.seenBy.add(rule);
        for (const rule of looking) {
          if (late && !windowless(rule)) continue;
          look(rule, key, key.clock, record, false);
          plan(rule, key, Math.min(key.clock, watermark()), watermark());
        }
      }
      return late ? 'late' : 'applied';
    },
  };
}
