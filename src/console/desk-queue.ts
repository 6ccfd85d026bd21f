/**
 * The alerts of one desk as its queue shows them.
 *
 * Two things are kept apart: what is known (every alert of the desk, newest revision) and what is on the screen (the
 * rows, in order). A revision replaces its row where it stands. A new alert goes where the order wants it, unless the
 * list is held because a person points at it, has scrolled, or has something open: then it waits, is counted, and
 * comes in when the person asks or lets go. So no row ever moves under a hand.
 *
 * No DOM and no clock in here: the order of calls decides everything.
 */
import { type AlertData, SEVERITIES, type Severity } from '../alerts/alert.ts';
import { ANY_TIME, NO_BOUNDS, type TimeBounds, type TimeRange } from './time-range.ts';

/**
 * Alerts kept for a desk; beyond it those with the oldest event time go. 50,000 alerts of 2 kB are 100 MB, which a
 * desk computer carries.
 */
export const QUEUE_ALERTS_MAX = 50_000;

/** Evicting sorts everything, so it is done for this many at once. */
const EVICTION_BATCH = 2_000;
/** Alerts that have no place in the order of all yet; more are given one, which looks at each alert once. */
const UNPLACED_MAX = 2_000;

export interface QueueFilters {
  /** Empty: all. */
  severities: Severity[];
  status: AlertData['status'] | '';
  ruleId: string;
  /** Part of the subscriber's number or of the key's value; empty: all. */
  subscriber: string;
  /** Of the event; which times that are, `arrange` is told. */
  time: TimeRange;
}

export type QueueSort = 'newest' | 'score';

export const NO_FILTERS: QueueFilters = { severities: [], status: '', ruleId: '', subscriber: '', time: ANY_TIME };

export interface QueueEntry {
  /** The newest revision known. */
  alert: AlertData;
  place: 'rows' | 'waiting' | 'out';
  /** Order as it was when the entry took its place: a revision must not move its row. */
  placedTime: number;
  placedScore: number;
  /** Load in which the server last named this alert; see `endReload`. */
  load: number;
  changed: boolean;
  /** Has no place in the order of all, or one that its newest revision has made wrong. */
  unplaced: boolean;
  /** Not known any more. */
  gone: boolean;
}

export interface QueueCounts {
  /** By severity, over the alerts that pass every filter but that of severity. */
  severity: Record<Severity, number>;
  /** Firing and critical, whatever the filters: the badge of the desk. */
  criticalFiring: number;
  total: number;
}

export interface QueueRule {
  ruleId: string;
  title: AlertData['title'];
  alerts: number;
}

/** A rule with its alerts by severity and status, so that counting does not look at each of 50,000. */
interface CountedRule extends QueueRule {
  tally: Record<AlertData['status'], Record<Severity, number>>;
}

export interface DeskQueue {
  /** Takes a revision; an older or equal one than the known changes nothing. True where it was news. */
  upsert(alert: AlertData): boolean;
  /** Brings the changes since the last call onto the screen. */
  flush(): void;
  /**
   * Sets filters and order and lays all rows out again.
   * @param bounds what the time of the filters means now
   */
  arrange(filters: QueueFilters, sort: QueueSort, bounds?: TimeBounds): void;
  /**
   * While held, rows keep their places; what belongs above the last of them waits. Letting go brings it in at the next
   * `flush`.
   */
  hold(held: boolean): void;
  /** Brings the waiting alerts in now, held or not. */
  admit(): void;
  /** A full reload begins: the server will name every alert that still exists. */
  beginReload(): void;
  /** The reload is complete: alerts that it did not name, and that did not arrive meanwhile, are gone. */
  endReload(): void;
  find(alertId: string): QueueEntry | undefined;
  rows(): readonly QueueEntry[];
  waiting(): number;
  counts(): QueueCounts;
  rules(): QueueRule[];
  /** Undefined where it has no alert here. */
  ruleTitle(ruleId: string): AlertData['title'] | undefined;
}

export function createDeskQueue(alertsMax: number = QUEUE_ALERTS_MAX, unplacedMax: number = UNPLACED_MAX): DeskQueue {
  const entries = new Map<string, QueueEntry>();
  const rules = new Map<string, CountedRule>();
  /** All but the unplaced, the newest first: whoever asks for another filter or order does not wait for 50,000 to be sorted. */
  let ordered: QueueEntry[] = [];
  let unplaced: QueueEntry[] = [];
  let rows: QueueEntry[] = [];
  let waiting: QueueEntry[] = [];
  let changed: QueueEntry[] = [];
  let filters = NO_FILTERS;
  let subscriberText = '';
  let times = NO_BOUNDS;
  let sort: QueueSort = 'newest';
  let held = false;
  let load = 0;
  let counts: QueueCounts = { severity: { info: 0, warning: 0, critical: 0 }, criticalFiring: 0, total: 0 };

  /** Counts an alert, or with -1 counts it no more. */
  const tallied = ({ ruleId, title, status, severity }: AlertData, by: 1 | -1): void => {
    let rule = rules.get(ruleId);
    if (rule === undefined) {
      const none = { info: 0, warning: 0, critical: 0 };
      rule = { ruleId, title, alerts: 0, tally: { firing: none, resolved: { ...none } } };
      rules.set(ruleId, rule);
    }
    rule.alerts += by;
    rule.tally[status][severity] += by;
    if (rule.alerts === 0) rules.delete(ruleId);
  };

  /** Looks at an alert only where it must: 50,000 of them lie all over the memory. */
  const passesExceptSeverity = (alert: AlertData): boolean =>
    (filters.status === '' || alert.status === filters.status) &&
    (filters.ruleId === '' || alert.ruleId === filters.ruleId) &&
    (times.from === -Infinity || alert.eventTime >= times.from) &&
    (times.to === Infinity || alert.eventTime < times.to) &&
    (subscriberText === '' ||
      alert.key.value.toLowerCase().includes(subscriberText) ||
      (alert.servedMsisdn ?? '').includes(subscriberText));

  const passes = (alert: AlertData): boolean =>
    (filters.severities.length === 0 || filters.severities.includes(alert.severity)) && passesExceptSeverity(alert);

  const newestFirst = (a: QueueEntry, b: QueueEntry): number =>
    b.placedTime - a.placedTime || (a.alert.alertId < b.alert.alertId ? -1 : 1);
  const before = (a: QueueEntry, b: QueueEntry): number =>
    (sort === 'score' ? b.placedScore - a.placedScore : 0) || newestFirst(a, b);

  const stamp = (entry: QueueEntry): void => {
    entry.placedTime = entry.alert.eventTime;
    entry.placedScore = entry.alert.score;
  };

  const insert = (newcomers: QueueEntry[]): void => {
    if (newcomers.length === 0) return;
    for (const entry of newcomers) {
      stamp(entry);
      entry.place = 'rows';
    }
    rows = merged(rows, newcomers.sort(before), before);
  };

  /** Gives the unplaced their place in the order of all; a row that must not move yet stays unplaced. */
  const place = (rowsMayMove: boolean): void => {
    const fixed: QueueEntry[] = [];
    const placed: QueueEntry[] = [];
    for (const entry of unplaced) {
      if (entry.gone) continue;
      const { alert, placedTime, placedScore } = entry;
      const moves = placedTime !== alert.eventTime || placedScore !== alert.score;
      if (!rowsMayMove && entry.place === 'rows' && moves) fixed.push(entry);
      else {
        stamp(entry);
        placed.push(entry);
      }
    }
    ordered = ordered.filter((entry) => !entry.gone && !entry.unplaced);
    for (const entry of placed) entry.unplaced = false;
    ordered = merged(ordered, placed.sort(newestFirst), newestFirst);
    unplaced = fixed;
  };
  const leavesItsPlace = (entry: QueueEntry): void => {
    if (entry.unplaced) return;
    entry.unplaced = true;
    unplaced.push(entry);
  };

  const leaveOut = (entry: QueueEntry): void => {
    entry.place = 'out';
  };

  /** Rows that stopped matching (resolved, for instance, in a list of firing ones) go only while the list is not held. */
  const dropUnmatched = (candidates: readonly QueueEntry[]): void => {
    let dropped = false;
    for (const entry of candidates) {
      if (entry.place !== 'rows' || passes(entry.alert)) continue;
      leaveOut(entry);
      dropped = true;
    }
    if (dropped) rows = rows.filter((entry) => entry.place === 'rows');
  };

  const forget = (entry: QueueEntry): void => {
    leaveOut(entry);
    entry.gone = true;
    entries.delete(entry.alert.alertId);
    tallied(entry.alert, -1);
  };

  /** Where the rows themselves must go, the held list gives way: better than showing alerts that are gone. */
  const removeForgotten = (): void => {
    rows = rows.filter((entry) => entry.place === 'rows');
    waiting = waiting.filter((entry) => entry.place === 'waiting');
    changed = changed.filter((entry) => entries.has(entry.alert.alertId));
  };

  const evict = (): void => {
    // Numbers sort ten times as fast as alerts, and this happens while somebody works in the list.
    const tooMany = entries.size - alertsMax;
    const ascending = Float64Array.from(entries.values(), ({ alert }) => alert.eventTime).sort();
    const keptFrom = ascending[tooMany]!;
    for (const entry of entries.values()) if (entry.alert.eventTime < keptFrom) forget(entry);
    // Of several at that very time, those that came first.
    for (const entry of entries.values()) {
      if (entries.size === alertsMax) break;
      if (entry.alert.eventTime === keptFrom) forget(entry);
    }
    ordered = ordered.filter((entry) => !entry.gone);
    unplaced = unplaced.filter((entry) => !entry.gone);
    removeForgotten();
  };

  const count = (): void => {
    const severity: QueueCounts['severity'] = { info: 0, warning: 0, critical: 0 };
    // What a text is in and when it was, only the alerts themselves know.
    const looksAtEach = subscriberText !== '' || times.from > -Infinity || times.to < Infinity;
    let criticalFiring = 0;
    for (const { ruleId, tally } of rules.values()) {
      criticalFiring += tally.firing.critical;
      if (looksAtEach || (filters.ruleId !== '' && filters.ruleId !== ruleId)) continue;
      for (const status of ['firing', 'resolved'] as const) {
        if (filters.status !== '' && filters.status !== status) continue;
        for (const one of SEVERITIES) severity[one] += tally[status][one];
      }
    }
    if (looksAtEach)
      for (const { alert } of entries.values()) if (passesExceptSeverity(alert)) severity[alert.severity] += 1;
    counts = { severity, criticalFiring, total: entries.size };
  };

  const admit = (): void => {
    insert(waiting);
    waiting = [];
  };

  return {
    upsert(alert) {
      const known = entries.get(alert.alertId);
      if (known !== undefined) {
        known.load = load;
        if (alert.revision <= known.alert.revision) return false;
        tallied(alert, 1);
        tallied(known.alert, -1);
        known.alert = alert;
        if (alert.eventTime !== known.placedTime || alert.score !== known.placedScore) leavesItsPlace(known);
        if (!known.changed) {
          known.changed = true;
          changed.push(known);
        }
        return true;
      }
      const entry: QueueEntry = {
        alert,
        place: 'out',
        placedTime: 0,
        placedScore: 0,
        load,
        changed: true,
        unplaced: true,
        gone: false,
      };
      entries.set(alert.alertId, entry);
      unplaced.push(entry);
      changed.push(entry);
      tallied(alert, 1);
      return true;
    },

    flush() {
      if (entries.size > alertsMax + EVICTION_BATCH) evict();
      const newcomers: QueueEntry[] = [];
      let unmatched = false;
      for (const entry of changed) {
        entry.changed = false;
        const wanted = passes(entry.alert);
        if (entry.place === 'out' && wanted) newcomers.push(entry);
        else if (entry.place === 'waiting' && !wanted) {
          leaveOut(entry);
          unmatched = true;
        }
      }
      if (unmatched) waiting = waiting.filter((entry) => entry.place === 'waiting');
      if (held) {
        // What belongs below the last row moves nothing: older alerts that are still being read come in at once.
        const last = rows.at(-1);
        for (const entry of newcomers) stamp(entry);
        const below = newcomers.filter((entry) => last === undefined || before(last, entry) < 0);
        insert(below);
        const above = newcomers.filter((entry) => entry.place === 'out');
        for (const entry of above) entry.place = 'waiting';
        waiting.push(...above);
      } else {
        dropUnmatched(changed);
        admit();
        insert(newcomers);
      }
      changed = [];
      if (unplaced.length > unplacedMax) place(false);
      count();
    },

    arrange(nextFilters, nextSort, bounds = NO_BOUNDS) {
      times = bounds;
      filters = nextFilters;
      subscriberText = nextFilters.subscriber.toLowerCase();
      sort = nextSort;
      rows = [];
      waiting = [];
      for (const entry of changed) entry.changed = false;
      changed = [];
      place(true);
      for (const entry of ordered) {
        entry.place = passes(entry.alert) ? 'rows' : 'out';
        if (entry.place === 'rows') rows.push(entry);
      }
      if (sort === 'score') rows = byScore(rows);
      count();
    },

    hold(nextHeld) {
      if (held && !nextHeld) dropUnmatched(rows);
      held = nextHeld;
    },

    admit,

    beginReload() {
      load += 1;
    },

    endReload() {
      for (const entry of entries.values()) if (entry.load < load) forget(entry);
      removeForgotten();
      count();
    },

    find: (alertId) => entries.get(alertId),
    rows: () => rows,
    waiting: () => waiting.length,
    counts: () => counts,
    ruleTitle: (ruleId) => rules.get(ruleId)?.title,
    rules: () =>
      [...rules.values()]
        .map(({ ruleId, title, alerts }) => ({ ruleId, title, alerts }))
        .sort((a, b) => (a.ruleId < b.ruleId ? -1 : 1)),
  };
}

/** Both are in order, so the few need not be compared with each of the many: 20 among 50,000 cost a millisecond. */
function merged(
  many: readonly QueueEntry[],
  few: readonly QueueEntry[],
  before: (a: QueueEntry, b: QueueEntry) => number,
): QueueEntry[] {
  const all: QueueEntry[] = new Array(many.length + few.length);
  let taken = 0;
  let at = 0;
  for (const entry of few) {
    let low = taken;
    let high = many.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(many[middle]!, entry) < 0) low = middle + 1;
      else high = middle;
    }
    while (taken < low) all[at++] = many[taken++]!;
    all[at++] = entry;
  }
  while (taken < many.length) all[at++] = many[taken++]!;
  return all;
}

/** The highest score first, those of one score in their order: there are few scores, and many alerts of each. */
function byScore(rows: readonly QueueEntry[]): QueueEntry[] {
  const ofScore = new Map<number, QueueEntry[]>();
  for (const row of rows) {
    const same = ofScore.get(row.placedScore);
    if (same === undefined) ofScore.set(row.placedScore, [row]);
    else same.push(row);
  }
  return [...ofScore.keys()].sort((a, b) => b - a).flatMap((score) => ofScore.get(score)!);
}
