/** Features over single records: the last value, the last few, calls at once, steps in an order, things in a row. */
import { EMPTY_LIST } from '../reference/lists.ts';
import { createCallTotal, createConcurrency, createOverlap } from '../state/calls.ts';
import { createHeld, type HeldStatistic } from '../state/held.ts';
import { createHourOfWeek } from '../state/hour-of-week.ts';
import { fingerprint } from '../state/key-table.ts';
import { createChange, createFirst, createGaps, createLatest } from '../state/latest.ts';
import { createMembers } from '../state/members.ts';
import { createMoves } from '../state/moves.ts';
import type { Reader, Scope } from '../state/operator.ts';
import { PANE_MS_MIN } from '../state/panes.ts';
import { createRecent, type RecentStatistic } from '../state/recent.ts';
import { createRun, createTurns } from '../state/run.ts';
import { createSequence, SEQUENCE_COUNT_MAX } from '../state/sequence.ts';
import { createTopValues, TOP_PANES } from '../state/top-values.ts';
import type { Value, ValueType } from './compile.ts';
import type { CompiledFeature } from './compiled-rule.ts';
import { parseDuration } from './expression.ts';
import { type FeatureRequest, unitOf } from './feature-request.ts';
import { type Condition, keyIndex } from './set-draft.ts';

/** How long single calls are kept where the rule does not say. */
const CALLS_KEPT_MS = 12 * 3_600_000;

/** Undefined where something is wrong with it; 'panes' where it is one over the panes of a window. */
export function compileEventFeature(request: FeatureRequest): CompiledFeature | undefined | 'panes' {
  const { draft, set, shared, name, feature, aggregate, path, step, sequence, of, ofNode, ofText, base } = request;
  const { windowMs, needs, single } = request;
  const { key } = draft.rule;
  const { lists, names, localTime } = set.options;
  const sequenceSteps = feature.steps ?? [];
  const keepMs = windowMs ?? CALLS_KEPT_MS;

  switch (aggregate) {
    case 'last': {
      if (!needs(of !== undefined, "needs 'of'")) return undefined;
      const { type, evaluate } = of!;
      const toNumber: Reader =
        type === 'text'
          ? (scope) => names.numberOf(evaluate(scope) as string) || Number.NaN
          : type === 'boolean'
            ? (scope) => (evaluate(scope) === true ? 1 : 0)
            : (evaluate as Reader);
      const signature = `latest|${base}|${ofText}`;
      const { operator, entry } = single(signature, (id) => createLatest({ id, signature, of: toNumber }));
      const read: (scope: Scope) => Value =
        type === 'text'
          ? (scope) => {
              const value = operator.value(scope);
              return value === value ? names.textOf(value) : '';
            }
          : type === 'boolean'
            ? (scope) => operator.value(scope) === 1
            : operator.value;
      const unit = feature.unit ?? (type === 'time' ? 'time' : type === 'duration' ? 's' : unitOf(false, ofText));
      return { name, window: '', unit, type, read, entry };
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
      if (!needs(Number.isInteger(paneMs) && paneMs >= PANE_MS_MIN, 'needs panes of whole milliseconds, 1 s at least'))
        return undefined;
      request.reaches(windowMs!);
      draft.windowed = true;
      const value: Reader = (scope) => fingerprint(of!.evaluate(scope) as string);
      const signature = `top|${base}|${ofText}|${paneMs}`;
      const { operator, entry } = single(signature, (id) => createTopValues({ id, signature, paneMs, of: value }));
      const asked = { name, window: feature.window!, unit: 'count', type: 'number', entry } as const;
      if (aggregate === 'topCount') return { ...asked, read: operator.count(feature.top!) };
      const own = shared.profile();
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
      request.reaches(windowMs!);
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
        const parameter = draft.parameterOf(given as string, type);
        if (parameter !== undefined) return parameter;
        draft.problem([...path, 'steps', index, limit], `'${given}' is no parameter that holds a ${type}`);
        return Number.NaN;
      };
      const withinMs = sequenceSteps.map((_, index) => limitOf(index, 'within', 'duration', Number.POSITIVE_INFINITY));
      const counts = sequenceSteps.map((_, index) => limitOf(index, 'count', 'number', 1));
      const isCount = (count: number): boolean => Number.isInteger(count) && count >= 1 && count <= SEQUENCE_COUNT_MAX;
      counts.forEach((count, index) => {
        if (!isCount(count) && !Number.isNaN(count))
          draft.problem([...path, 'steps', index, 'count'], `a step takes 1 to ${SEQUENCE_COUNT_MAX} records`);
      });
      if (!counts.every(isCount) || withinMs.some(Number.isNaN)) return undefined;
      if (
        !needs(counts[0] === 1 || sequenceSteps[0]!.within !== undefined, "needs 'within' in a first step that counts")
      )
        return undefined;
      const signature = `sequence|${base}|${sequence
        .map(({ text }, index) => `${text}*${counts[index]}<${withinMs[index]}`)
        .join(' then ')}`;
      const { operator, entry } = single(signature, (id) =>
        createSequence({
          id,
          signature,
          steps: sequence.map(({ holds }, index) => ({
            takes: holds,
            count: counts[index]!,
            withinMs: withinMs[index]!,
          })),
        }),
      );
      request.reaches(operator.retentionMs);
      draft.windowed = true;
      return { name, window: '', unit: 's', type: 'duration', read: operator.tookMs, entry };
    }
    case 'run': {
      if (!needs(key === 'subscriber+prefix', "counts records of a key 'subscriber+prefix'")) return undefined;
      if (!needs(of !== undefined && of.type === 'text', "needs 'of', the text that ends a run when it changes"))
        return undefined;
      if (!needs(feature.among !== undefined, "needs 'among'")) return undefined;
      if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
      const among = draft.conditionOf(feature.among, [...path, 'among']);
      const evaluate = of!.evaluate as (scope: Scope) => string;
      const turnsSignature = `turns|subscriber|${[...step.on].sort().join()}|${step.where}|${among.text}|${ofText}|${windowMs}`;
      const turnsEntry = set.registry.entryOf(turnsSignature, step.on);
      let turns = set.operators.get(turnsEntry.id) as ReturnType<typeof createTurns> | undefined;
      if (turns === undefined) {
        turns = createTurns({
          id: turnsEntry.id,
          signature: turnsSignature,
          of: (scope) => fingerprint(evaluate(scope)),
          counts: step.holds,
          keepMs: windowMs!,
        });
        set.operators.set(turnsEntry.id, turns);
      }
      const own = turns;
      set.stepOf(keyIndex('subscriber'), step.on, among.text, among.holds).operators.add(own);
      const signature = `run|${base}|${turnsSignature}`;
      const { operator, entry } = single(signature, (id) =>
        createRun({ id, signature, keepMs: windowMs!, otherAt: own.otherAt }),
      );
      request.reaches(windowMs!);
      draft.windowed = true;
      return { name, window: feature.window!, unit: 'count', type: 'number', read: operator.length, entry };
    }
    case 'members':
    case 'membersFailed':
    case 'membersDueAt':
    case 'membersNextDueAt': {
      if (!needs(of !== undefined && of.type === 'text', "needs 'of', the text that names a member")) return undefined;
      if (!needs(windowMs !== undefined, "needs 'window'")) return undefined;
      const membership = feature.members ?? {};
      const part = (name: 'join' | 'confirm' | 'fail' | 'leave', otherwise: boolean): Condition =>
        membership[name] === undefined
          ? { text: '', holds: () => otherwise }
          : draft.conditionOf(membership[name], [...path, 'members', name]);
      const [leave, fail, confirm, join] = [
        part('leave', false),
        part('fail', false),
        part('confirm', false),
        part('join', true),
      ];
      const atPath = [...path, 'members', 'at'];
      const atNode = membership.at === undefined ? undefined : draft.parse(membership.at, atPath);
      const at = draft.compile(atNode, draft.recordEnvironment, atPath, 'time');
      if (membership.at !== undefined && (at === undefined || atNode === undefined)) return undefined;
      const withinMs = membership.within === undefined ? Number.POSITIVE_INFINITY : parseDuration(membership.within)!;
      const evaluate = of!.evaluate as (scope: Scope) => string;
      const signature = `members|${base}|${ofText}|${windowMs}|${withinMs}|${[join, confirm, fail, leave].map(({ text }) => `(${text})`).join()}|${atNode === undefined ? '' : draft.meaningOf(atNode)}`;
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
      draft.windowed = true;
      request.reaches(windowMs!);
      const common = { name, window: feature.window!, entry };
      if (aggregate === 'membersDueAt') return { ...common, unit: 'time', type: 'time', read: operator.dueAt };
      if (aggregate === 'membersNextDueAt') return { ...common, unit: 'time', type: 'time', read: operator.nextDueAt };
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
      draft.windowed = true;
      const { operator, entry } = single(signature, (id) => createOverlap({ id, signature, keepMs }));
      return { name, window: feature.window ?? '', unit: 's', type: 'duration', read: operator.overlapMs, entry };
    }
    case 'speed':
    case 'distance': {
      if (!needs(of === undefined || of.type === 'number', "takes as 'of' the least distance in km, a number"))
        return undefined;
      const signature = `moves|${base}|${keepMs}`;
      draft.windowed = true;
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
      draft.windowed = true;
      const { operator, entry } = single(signature, (id) => createConcurrency({ id, signature, keepMs }));
      const common = { name, window: feature.window ?? '', unit: 'count', type: 'number', entry } as const;
      if (aggregate === 'concurrency') return { ...common, read: operator.concurrent };
      if (!needs(feature.longerThan !== undefined, "needs 'longerThan'")) return undefined;
      const limitMs = parseDuration(feature.longerThan!) ?? draft.parameterOf(feature.longerThan!, 'duration');
      if (limitMs === undefined) {
        draft.problem([...path, 'longerThan'], `'${feature.longerThan}' is no parameter that holds a duration`);
        return undefined;
      }
      request.reaches(keepMs);
      return { ...common, read: operator.longerThan(limitMs) };
    }
    case 'callDuration':
    case 'callStartAt': {
      const signature = `calls|${base}|${keepMs}`;
      draft.looksAtCalls = true;
      const { operator, entry } = single(signature, (id) => createCallTotal({ id, signature, keepMs }));
      return aggregate === 'callDuration'
        ? { name, window: '', unit: 's', type: 'duration', read: operator.durationMs, entry }
        : { name, window: '', unit: 'time', type: 'time', read: operator.startAt, entry };
    }
    case 'hourOfWeekMean': {
      if (of !== undefined && !needs(of.type === 'number', "needs a number as 'of', or none to count records"))
        return undefined;
      const whole = of === undefined ? undefined : draft.wholeUnits(ofNode!, of.evaluate as Reader);
      const signature = `hourOfWeek|${base}|${ofText}`;
      const { operator, entry } = single(signature, (id) =>
        createHourOfWeek({ id, signature, of: whole?.read, hourNumber: localTime.hourNumber }),
      );
      draft.windowed = true;
      request.reaches(operator.retentionMs);
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
      if (!needs(key === 'account', "needs the key 'account'")) return undefined;
      const { operator, entry } = shared.billHistory();
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
      const { perUnit, read } = draft.wholeUnits(ofNode!, of!.evaluate as Reader);
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
    default:
      return 'panes';
  }
}
