/**
 * Features over a window: totals, different values, means of days and baselines over its panes, and totals of the current
 * shift. All totals over the same records and panes share one list, with a column for each value that is added up.
 */
import { SEGMENT_UNITS_MAX } from '../state/block.ts';
import { createDistinct, DISTINCT_PANES_MAX } from '../state/distinct.ts';
import { createFrequency } from '../state/frequency.ts';
import { fingerprint } from '../state/key-table.ts';
import { createNeighbours } from '../state/neighbours.ts';
import type { Reader, Scope } from '../state/operator.ts';
import {
  type ColumnKind,
  createPanes,
  PANE_MS_MIN,
  PANES_MAX,
  readBaseline,
  readColumn,
  readCount,
  type Stretch,
} from '../state/panes.ts';
import { createPassage } from '../state/passage.ts';
import { createPeriodTotal } from '../state/period.ts';
import { createSeenPanes, SEEN_PANES_MAX } from '../state/seen-panes.ts';
import type { CompiledFeature } from './compiled-rule.ts';
import { parseDuration } from './expression.ts';
import { type FeatureRequest, unitOf } from './feature-request.ts';
import { always } from './set-draft.ts';

const PANES_DEFAULT = 12;
const DAY_MS = 86_400_000;
/** The longest shift, a weekend, with an hour for the change of the clocks. */
const SHIFT_MS_MAX = 57 * 3_600_000;

/** Undefined where something is wrong with it. */
export function compilePaneFeature(request: FeatureRequest): CompiledFeature | undefined {
  const { draft, feature, aggregate, path, needs, windowMs } = request;
  if (feature.window === 'shift') return shiftTotal(request);
  if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
  const baseline = aggregate.startsWith('baseline');
  const everyMs = baseline ? parseDuration(feature.every ?? '1d')! : 0;
  const panes = baseline ? windowMs! / everyMs : (feature.panes ?? PANES_DEFAULT);
  const paneMs = windowMs! / panes;
  const shift = feature.before === undefined ? 0 : parseDuration(feature.before)! / paneMs;
  if (!Number.isInteger(panes) || !Number.isInteger(paneMs) || paneMs < PANE_MS_MIN) {
    draft.problem(
      [...path, 'window'],
      `${feature.window} over ${panes} panes gives panes of ${paneMs} ms; whole seconds are needed`,
    );
    return undefined;
  }
  if (!Number.isInteger(shift)) {
    draft.problem([...path, 'before'], `'before' must be a multiple of the pane length (${paneMs / 1000} s)`);
    return undefined;
  }
  const reach = panes + shift;
  draft.windowed = true;
  request.reaches(reach * paneMs);
  const stretch: Stretch = { panes, shift };
  const window: PaneWindow = { paneMs, panes, reach, stretch };
  switch (aggregate) {
    case 'modeCount':
    case 'passedOn':
    case 'neighbourShare':
    case 'distinct':
      return valuesOfPanes(request, window);
    default:
      return totalOfPanes(request, window);
  }
}

interface PaneWindow {
  paneMs: number;
  /** Panes of the window, and with those between its end and now. */
  panes: number;
  reach: number;
  stretch: Stretch;
}

/** Since the current shift began. */
function shiftTotal(request: FeatureRequest): CompiledFeature | undefined {
  const { draft, set, name, feature, aggregate, path, of, ofNode, ofText, base, needs, single } = request;
  const { localTime } = set.options;
  if (!needs(aggregate === 'count' || aggregate === 'sum', "has no window 'shift'; count and sum have"))
    return undefined;
  const sums = aggregate === 'sum';
  if (sums && !needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
  if (!sums && of !== undefined) draft.problem([...path, 'of'], "count takes no 'of'; use 'where'");
  const whole = sums ? draft.wholeUnits(ofNode!, of!.evaluate as Reader) : undefined;
  const signature = `period|${base}|shift|${sums ? ofText : ''}`;
  const { operator, entry } = single(signature, (id) =>
    createPeriodTotal({
      id,
      signature,
      periodOf: (epochMs) => localTime.shiftNumber(epochMs, set.holidays),
      periodMsMax: SHIFT_MS_MAX,
      of: whole?.read,
    }),
  );
  draft.windowed = true;
  request.reaches(SHIFT_MS_MAX);
  const read: Reader = whole === undefined ? operator.count : (scope) => operator.sum(scope) / whole.perUnit;
  return { name, window: 'shift', unit: feature.unit ?? unitOf(!sums, ofText), type: 'number', read, entry };
}

/** Different values, the most frequent one, neighbouring ones, money that passes through. */
function valuesOfPanes(
  request: FeatureRequest,
  { paneMs, panes, reach, stretch }: PaneWindow,
): CompiledFeature | undefined {
  const { draft, name, feature, aggregate, path, of, ofNode, ofText, base, needs, single } = request;
  if (aggregate === 'modeCount') {
    if (!needs(of !== undefined && (of.type === 'text' || of.type === 'number'), "needs 'of', a text or number"))
      return undefined;
    const evaluate = of!.evaluate;
    const value: Reader =
      of!.type === 'text' ? (scope) => fingerprint(evaluate(scope) as string) || Number.NaN : (evaluate as Reader);
    const signature = `mode|${base}|${ofText}|${paneMs}|${reach}`;
    const { operator, entry } = single(signature, (id) => createFrequency({ id, signature, paneMs, reach, of: value }));
    return { name, window: feature.window!, unit: 'count', type: 'number', read: operator.most(stretch), entry };
  }
  if (aggregate === 'passedOn') {
    if (!needs(of !== undefined && of.type === 'number', "needs 'of', a number: above 0 comes in, below goes out"))
      return undefined;
    if (!needs(feature.within !== undefined, "needs 'within'")) return undefined;
    const withinMs = parseDuration(feature.within!)!;
    const { perUnit, read } = draft.wholeUnits(ofNode!, of!.evaluate as Reader);
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
    const alike = Object.values(draft.rule.features ?? {}).filter(
      (other) =>
        other.aggregate === 'distinct' &&
        other.of === feature.of &&
        other.where === feature.where &&
        String(other.on) === String(feature.on) &&
        other.window === feature.window &&
        other.panes === feature.panes,
    );
    const shifts = alike.map(({ before }) => (before === undefined ? 0 : parseDuration(before)! / paneMs));
    const bits = shifts.some((one) => one > 0);
    const keptPanes = bits ? panes + Math.max(...shifts) : reach;
    const panesMost = bits ? SEEN_PANES_MAX : DISTINCT_PANES_MAX;
    if (keptPanes > panesMost) {
      draft.problem(
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
}

/** Counts, sums, extremes and means, of the window as a whole or of its days. */
function totalOfPanes(
  request: FeatureRequest,
  { paneMs, panes, reach, stretch }: PaneWindow,
): CompiledFeature | undefined {
  const { draft, set, name, feature, aggregate, path, step, of, ofNode, ofText, base, needs } = request;
  const { shift } = stretch;
  const baseline = aggregate.startsWith('baseline');
  if (reach > PANES_MAX) {
    draft.problem([...path, 'panes'], `the window reaches over ${reach} panes; at most ${PANES_MAX}`);
    return undefined;
  }
  const counts = aggregate === 'count' || ((baseline || aggregate === 'dailyMean') && of === undefined);
  if (aggregate === 'count' && of !== undefined) draft.problem([...path, 'of'], "count takes no 'of'; use 'where'");
  if (!counts && !needs(of !== undefined && of.type === 'number', "needs 'of', a number")) return undefined;
  const signature = `panes|${base}|${paneMs}`;
  let own = set.paneLists.get(signature);
  if (own === undefined) {
    own = { entry: set.registry.entryOf(signature, step.on), reach: 1, columns: new Map(), list: undefined };
    set.paneLists.set(signature, own);
  }
  const { entry, columns } = own;
  own.reach = Math.max(own.reach, reach);
  const kind: ColumnKind = aggregate === 'min' || aggregate === 'max' ? aggregate : 'sum';
  const columnOf = (column: string, of: Reader): number => {
    columns.set(column, { kind, of });
    return set.registry.columnOf(entry, column, step.on);
  };
  let perUnit = 1;
  let column = -1;
  /** A mean is one over the records that have the value, so those are counted. */
  let known = -1;
  if (!counts) {
    const inWhole = draft.wholeUnits(ofNode!, of!.evaluate as Reader);
    const { read } = inWhole;
    perUnit = inWhole.perUnit;
    column = columnOf(`${kind}:${ofText}`, read);
    if (aggregate === 'mean') {
      known = columnOf(`sum:known(${ofText})`, (scope) => (Number.isNaN(read(scope)) ? Number.NaN : 1));
    }
  }
  if (aggregate === 'dailyMean' && reach < 2)
    draft.problem([...path, 'panes'], 'a daily mean needs two panes: of one that has just begun there is no rate');
  const result: CompiledFeature = {
    name,
    window: feature.window!,
    unit: feature.unit ?? unitOf(counts, ofText),
    type: 'number',
    read: always as never,
    entry,
  };
  set.whenRead.push(() => {
    if (1 + own.reach * (1 + entry.columns.length) > SEGMENT_UNITS_MAX) {
      draft.problem([...path, 'panes'], `${own.reach} panes of ${entry.columns.length} values each are too many`);
      return;
    }
    if (own.list === undefined) {
      set.registry.settlePanes(entry, {
        reach: own.reach,
        paneMs,
        isAsked: (column) => columns.has(column),
        on: step.on,
      });
      own.list = createPanes({
        id: entry.id,
        signature,
        paneMs,
        reach: own.reach,
        // A column that no rule asks for any more stays in place, so that the entries keep their form; nothing is added to it.
        columns: entry.columns.map(
          (wanted) => columns.get(wanted) ?? { kind: wanted.split(':')[0] as ColumnKind, of: () => Number.NaN },
        ),
      });
      set.operators.set(entry.id, own.list);
    }
    const { list } = own;
    step.operators.add(list);
    if (column >= 0) result.columnSince = entry.columnsSince[column]!;
    if (aggregate === 'count') result.read = readCount(list, stretch);
    else if (aggregate === 'mean') {
      const count = readColumn(list, known, stretch, 1);
      const sum = readColumn(list, column, stretch, perUnit);
      result.read = (scope) => {
        const records = count(scope);
        return records === 0 ? Number.NaN : sum(scope) / records;
      };
    } else if (aggregate === 'dailyMean') {
      // The newest pane has only begun: dividing by the time that is covered so far keeps a steady key at its rate.
      const total = counts ? readCount(list, stretch) : readColumn(list, column, stretch, perUnit);
      result.read = (scope) => {
        const from = (Math.floor(scope.now / paneMs) - panes - shift + 1) * paneMs;
        const to = shift === 0 ? scope.now : from + panes * paneMs;
        return total(scope) / ((to - from) / DAY_MS);
      };
    } else if (baseline) {
      const statistic =
        aggregate === 'baselineMean' ? 'mean' : aggregate === 'baselineDeviation' ? 'deviation' : 'samples';
      result.read = readBaseline(list, column, stretch, {
        statistic,
        samplesMin: feature.samplesMin ?? 1,
        perUnit,
        since: Math.max(entry.since!, result.columnSince ?? 0),
      });
    } else result.read = readColumn(list, column, stretch, perUnit);
    result.panes = { list, stretch, column, perUnit };
  });
  return result;
}
