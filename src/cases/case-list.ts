/**
 * What desks ask of the cases: the queue with its filters, one case with everything about it, the next one to take. Reads
 * the tables of `case-index.ts`; a filter that no index answers looks at one desk's cases, which are thousands, not millions.
 */
import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AlertData, type Desk, SEVERITIES } from '../alerts/alert.ts';
import {
  ABOUT_ITEMS_MAX,
  ABOUT_TEXT_MAX,
  type About,
  type CaseEvent,
  type CaseStatus,
  verdictOf,
} from './case-event.ts';
import { type CaseTables, tagsColumn } from './case-tables.ts';
import type { CaseSummary } from './case-view.ts';
import { type CaseWork, FOR_EVER, foldCase, UNTOUCHED } from './case-work.ts';

/** Alerts that one case shows; the others are counted. */
const ALERTS_SHOWN_MAX = 200;
const SUBSCRIBERS_SHOWN_MAX = 20;
const RULES_SHOWN_MAX = ABOUT_ITEMS_MAX;
const PREVIEW_ALERTS_MAX = 20;
/** Groups of a list, the largest of them; the others are counted. */
export const CASE_GROUPS_MAX = 500;
/** Cases that are gathered before the loop gets a turn: some milliseconds, beside which records are processed. */
const GROUPED_AT_ONCE = 2_000;
const DAY_MS = 86_400_000;

export const CASE_GROUPINGS = ['rule', 'severity', 'subscriber', 'status', 'assignee', 'lane'] as const;
export type CaseGrouping = (typeof CASE_GROUPINGS)[number];

export const CASE_ORDERS = ['due', 'score', 'newest'] as const;
export type CaseOrder = (typeof CASE_ORDERS)[number];

export interface CaseFilter {
  desk?: Desk | undefined;
  /** Only these; undefined: all. */
  desks?: readonly Desk[] | undefined;
  status?: CaseStatus | undefined;
  /** All but the closed ones; what a queue shows. */
  active?: boolean | undefined;
  severity?: string | undefined;
  /** The case that holds this alert, or that it was merged into. */
  alertId?: string | undefined;
  ruleId?: string | undefined;
  /** Empty: nobody. */
  assignee?: string | undefined;
  outcome?: string | undefined;
  /** Empty: none. */
  lane?: string | undefined;
  /** In one of these lanes. */
  lanes?: readonly string[] | undefined;
  tag?: string | undefined;
  /** Empty: with an alert of no subscriber. */
  servedMsisdn?: string | undefined;
  keyValue?: string | undefined;
  isControl?: boolean | undefined;
  isKeyAccount?: boolean | undefined;
  isOverdue?: boolean | undefined;
  /** A snooze of it or of a rule ends before that time, Unix epoch ms. */
  snoozeEndsBefore?: number | undefined;
  /** Opened at or after, and before; Unix epoch ms. */
  from?: number | undefined;
  to?: number | undefined;
}

type Row = Record<string, SQLOutputValue>;

/** The columns and the direction behind each order; the case id decides between equals. */
const ORDERS: Record<CaseOrder, { column: string; descending: boolean }> = {
  due: { column: 'due_at', descending: false },
  score: { column: 'score', descending: true },
  newest: { column: 'opened_at', descending: true },
};

export interface CaseList {
  page(
    filter: CaseFilter,
    options: { order: CaseOrder; limit: number; after?: CasePosition | undefined; now: number },
  ): { cases: CaseSummary[]; next: CasePosition | null; total: number };
  /**
   * The cases that match, gathered: the largest groups first, of severities the highest. A case of several rules or subscribers is
   * in the group of each. Never blocks the loop for more than GROUPED_AT_ONCE cases.
   */
  groups(
    filter: CaseFilter,
    options: { by: CaseGrouping; now: number },
  ): Promise<{ groups: CaseGroup[]; more: number }>;
  /** Ids of the cases that match, at most `limit`, in the order of `due`. */
  ids(filter: CaseFilter, options: { limit: number; now: number }): string[];
  summary(caseId: string, now: number): CaseSummary | undefined;
  /** Everything about a case; undefined where there is none whose key is known. */
  detail(caseId: string, now: number): CaseDetail | undefined;
  /** What an event is checked against; undefined where there is no such case. */
  state(caseId: string): { desk: Desk; version: number; work: CaseWork; about: About; seenUntil: number } | undefined;
  /** Cases that somebody could take next, the most urgent first. */
  candidates(desk: Desk, filter: CaseFilter, options: { limit: number; now: number }): string[];
  /** The events of a bulk action. */
  bulk(bulkId: string): { caseId: string; sequence: number; event: CaseEvent }[];
  /** Snoozes of cases and of rules whose end has come and is not noted yet. */
  ended(now: number): { caseId: string; snoozeId: string }[];
  preview(caseId: string, ruleId: string, days: number, now: number): SnoozePreview | undefined;
  countByStatus(now: number): { desk: Desk; status: CaseStatus; cases: number }[];
}

export interface CaseGroup {
  /** What its cases have in common: finds them beside the filter that they were gathered under. */
  filter: Pick<CaseFilter, 'ruleId' | 'severity' | 'servedMsisdn' | 'status' | 'assignee' | 'lane'>;
  cases: number;
  overdue: number;
}

/** Behind every id of a case, which are hexadecimal. */
const BEHIND_ALL = 'z';

/** What a case is gathered by, as a column, and the filter that finds a group. Values are what columns hold; null: none. */
const GROUPINGS: Record<
  CaseGrouping,
  { column: string; ofAlerts?: boolean; filter(value: SQLOutputValue): CaseGroup['filter'] }
> = {
  rule: { column: 'a.rule_id', ofAlerts: true, filter: (value) => ({ ruleId: String(value) }) },
  subscriber: { column: 'a.served_msisdn', ofAlerts: true, filter: (value) => ({ servedMsisdn: textOrNone(value) }) },
  severity: { column: 'c.severity', filter: (value) => ({ severity: SEVERITIES[Number(value)]! }) },
  // The one parameter is the time.
  status: {
    column: "CASE WHEN c.queue = 'closed' THEN 'closed' WHEN c.snoozed_until > ? THEN 'snoozed' ELSE c.status END",
    filter: (value) => ({ status: String(value) as CaseStatus }),
  },
  assignee: { column: 'c.assignee', filter: (value) => ({ assignee: textOrNone(value) }) },
  lane: { column: 'c.lane', filter: (value) => ({ lane: textOrNone(value) }) },
};
const textOrNone = (value: SQLOutputValue): string => (value === null ? '' : String(value));

export interface CasePosition {
  value: number;
  caseId: string;
}

export interface CaseDetail extends CaseSummary {
  mergedFrom: string[];
  alertList: AlertData[];
  timeline: { sequence: number; at: number; effect: string; event: CaseEvent }[];
  ruleSnoozes: (Omit<CaseWork['ruleSnoozes'][number], 'expiredNoted'> & { hiddenAlerts: number })[];
  offers: CaseWork['offers'];
  promises: CaseWork['promises'];
  closing: CaseWork['outcome'];
}

export interface SnoozePreview {
  ruleId: string;
  days: number;
  alerts: number;
  cases: number;
  confirmed: number;
  newest: AlertData[];
}

export function createCaseList({ db, eventsOf }: CaseTables): CaseList {
  /** One statement for each set of filters that was asked for. */
  const statements = new Map<string, StatementSync>();
  const prepared = (sql: string): StatementSync => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = db.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  };
  const findCase = db.prepare('SELECT * FROM work_case WHERE case_id = ?');
  const leadAlert = db.prepare(
    `SELECT a.json FROM work_case c JOIN case_alert a ON a.case_id = c.case_id WHERE c.root_id = ?
     ORDER BY a.severity DESC, a.score DESC, a.first_seq LIMIT 1`,
  );
  const rulesOf = db.prepare(
    `SELECT DISTINCT a.rule_id FROM work_case c JOIN case_alert a ON a.case_id = c.case_id WHERE c.root_id = ?
     ORDER BY a.rule_id LIMIT ${RULES_SHOWN_MAX}`,
  );
  const subscribersOf = db.prepare(
    `SELECT DISTINCT a.served_msisdn FROM work_case c JOIN case_alert a ON a.case_id = c.case_id
     WHERE c.root_id = ? AND a.served_msisdn IS NOT NULL ORDER BY a.served_msisdn LIMIT ${SUBSCRIBERS_SHOWN_MAX}`,
  );
  const alertsOf = db.prepare(
    `SELECT a.json FROM work_case c JOIN case_alert a ON a.case_id = c.case_id WHERE c.root_id = ?
     ORDER BY a.first_seq DESC LIMIT ${ALERTS_SHOWN_MAX}`,
  );
  const mergedFrom = db.prepare('SELECT case_id FROM work_case WHERE root_id = ? AND case_id <> ? ORDER BY case_id');
  const hiddenBy = db.prepare(
    'SELECT count(*) AS n FROM case_alert WHERE desk = ? AND key_type = ? AND key_value = ? AND hidden_by = ?',
  );
  const bulkEvents = db.prepare('SELECT seq, case_id, json FROM case_event WHERE bulk = ? ORDER BY seq');
  const snoozed = db.prepare('SELECT case_id, work FROM work_case WHERE snooze_ends_at > 0 AND snooze_ends_at <= ?');
  const ofRule = db.prepare(
    `SELECT json, own_case, case_id FROM case_alert
     WHERE desk = ? AND key_type = ? AND key_value = ? AND rule_id = ? AND first_at >= ? ORDER BY first_seq DESC`,
  );
  const otherRules = db.prepare('SELECT count(*) AS n FROM case_alert WHERE case_id = ? AND rule_id <> ?');

  const workOf = (row: Row): CaseWork =>
    typeof row.work === 'string' ? (JSON.parse(row.work) as CaseWork) : UNTOUCHED;
  const isKnown = (row: Row | undefined): row is Row => row !== undefined && row.key_type !== null;

  const summaryOf = (row: Row, now: number): CaseSummary => {
    const caseId = String(row.case_id);
    const work = workOf(row);
    const leadJson = leadAlert.get(caseId)?.json;
    const lead = leadJson === undefined ? undefined : (JSON.parse(String(leadJson)) as AlertData);
    const isSnoozed = work.status !== 'closed' && work.snoozedUntil > now;
    const dueAt = Number(row.due_at);
    const rules = rulesOf.all(caseId).map((rule) => String(rule.rule_id));
    const known = subscribersOf.all(caseId).map((one) => String(one.served_msisdn));
    const servedMsisdns = lead === undefined ? (work.about?.servedMsisdns ?? []) : known;
    return {
      caseId,
      desk: String(row.desk) as Desk,
      key: { type: String(row.key_type), value: String(row.key_value) },
      servedMsisdn: servedMsisdns[0] ?? null,
      servedMsisdns,
      status: isSnoozed ? 'snoozed' : work.status,
      version: Number(row.version),
      severity: SEVERITIES[Number(row.severity)]!,
      score: Number(row.score),
      title: lead?.title ?? null,
      ruleIds: lead === undefined ? (work.about?.ruleIds ?? []) : rules,
      alerts: Number(row.alerts),
      firing: Number(row.firing),
      isKeyAccount: row.vip === 1,
      value: lead?.value ?? null,
      suggestedActions: lead?.suggestedActions ?? [],
      lane: row.lane === null ? null : String(row.lane),
      assignee: work.assignee,
      tags: work.tags,
      snoozedUntil: isSnoozed ? work.snoozedUntil : null,
      outcome: (work.outcome?.outcome ?? null) as CaseSummary['outcome'],
      closedAt: work.outcome?.at ?? work.mergedInto?.at ?? null,
      isControl: work.outcome?.control ?? row.control === 1,
      openedAt: Number(row.opened_at),
      lastAlertAt: Number(row.last_alert_at),
      sla: {
        respondBy: Number(row.respond_by),
        closeBy: Number(row.close_by),
        dueAt: dueAt === FOR_EVER ? null : dueAt,
        isOverdue: dueAt < now,
      },
      mergedInto: row.root_id === row.case_id ? null : String(row.root_id),
    };
  };

  const conditionsOf = (filter: CaseFilter, now: number): { sql: string; values: SQLInputValue[] } => {
    const isActive = filter.active === true || (filter.status !== undefined && filter.status !== 'closed');
    const conditions = [
      isActive ? "c.queue = 'active'" : filter.status === 'closed' ? "c.queue = 'closed'" : "c.queue <> ''",
    ];
    const values: SQLInputValue[] = [];
    const add = (condition: string, ...given: SQLInputValue[]): void => {
      conditions.push(condition);
      values.push(...given);
    };
    const ofAlerts = (condition: string): string =>
      `c.case_id IN (SELECT m.root_id FROM case_alert a JOIN work_case m ON m.case_id = a.case_id WHERE ${condition})`;
    if (filter.desk !== undefined) add('c.desk = ?', filter.desk);
    if (filter.desks !== undefined) add(`c.desk IN (${filter.desks.map(() => '?').join(', ')})`, ...filter.desks);
    // Active and closed are told apart by the queue already.
    if (filter.active === true && filter.status === 'closed') conditions.push('false');
    else if (filter.status === 'snoozed') add('c.snoozed_until > ?', now);
    else if (filter.status !== undefined && filter.status !== 'closed')
      add('c.status = ? AND c.snoozed_until <= ?', filter.status, now);
    if (filter.severity !== undefined) add('c.severity = ?', SEVERITIES.indexOf(filter.severity as never));
    if (filter.assignee === '') add('c.assignee IS NULL');
    else if (filter.assignee !== undefined) add('c.assignee = ?', filter.assignee);
    if (filter.outcome !== undefined) add('c.outcome = ?', filter.outcome);
    if (filter.lane === '') add('c.lane IS NULL');
    else if (filter.lane !== undefined) add('c.lane = ?', filter.lane);
    if (filter.lanes !== undefined) add(`c.lane IN (${filter.lanes.map(() => '?').join(', ')})`, ...filter.lanes);
    if (filter.tag !== undefined) add('instr(c.tags, ?) > 0', tagsColumn([filter.tag]));
    if (filter.alertId !== undefined) add(ofAlerts('a.alert_id = ?'), filter.alertId);
    if (filter.ruleId !== undefined) add(ofAlerts('a.rule_id = ?'), filter.ruleId);
    if (filter.servedMsisdn === '') add(ofAlerts('a.served_msisdn IS NULL'));
    else if (filter.servedMsisdn !== undefined) add(ofAlerts('a.served_msisdn = ?'), filter.servedMsisdn);
    if (filter.keyValue !== undefined) add('c.key_value = ?', filter.keyValue);
    if (filter.isControl !== undefined) add('c.control = ?', filter.isControl ? 1 : 0);
    if (filter.isKeyAccount !== undefined) add('c.vip = ?', filter.isKeyAccount ? 1 : 0);
    if (filter.isOverdue !== undefined) add(filter.isOverdue ? 'c.due_at < ?' : 'c.due_at >= ?', now);
    // By its own index, which has the few that are snoozed: as a condition on all it would look at 50,000 rows for one.
    if (filter.snoozeEndsBefore !== undefined)
      add(
        'c.case_id IN (SELECT s.case_id FROM work_case s WHERE s.snooze_ends_at > 0 AND s.snooze_ends_at < ?)',
        filter.snoozeEndsBefore,
      );
    if (filter.from !== undefined) add('c.opened_at >= ?', filter.from);
    if (filter.to !== undefined) add('c.opened_at < ?', filter.to);
    return { sql: conditions.join(' AND '), values };
  };

  return {
    page(filter, { order, limit, after, now }) {
      const { sql, values } = conditionsOf(filter, now);
      const { column, descending } = ORDERS[order];
      const behind = after === undefined ? '' : `AND (c.${column}, c.case_id) ${descending ? '<' : '>'} (?, ?)`;
      const direction = descending ? 'DESC' : 'ASC';
      const rows = prepared(
        `SELECT c.case_id, c.${column} FROM work_case c WHERE ${sql} ${behind}
         ORDER BY c.${column} ${direction}, c.case_id ${direction} LIMIT ?`,
      ).all(...values, ...(after === undefined ? [] : [after.value, after.caseId]), limit + 1);
      const total = Number(prepared(`SELECT count(*) AS n FROM work_case c WHERE ${sql}`).get(...values)?.n);
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        cases: shown.map((row) => summaryOf(findCase.get(row.case_id)!, now)),
        next: last === undefined ? null : { value: Number(last[column]), caseId: String(last.case_id) },
        total,
      };
    },
    async groups(filter, { by, now }) {
      const { sql, values } = conditionsOf(filter, now);
      const { column, ofAlerts, filter: filterOf } = GROUPINGS[by];
      const alertsToo = ofAlerts
        ? 'JOIN work_case m ON m.root_id = c.case_id JOIN case_alert a ON a.case_id = m.case_id'
        : '';
      const place = '(c.due_at, c.case_id)';
      const lastOfSlice = prepared(
        `SELECT c.due_at AS dueAt, c.case_id AS caseId FROM work_case c WHERE ${sql} AND ${place} > (?, ?)
         ORDER BY c.due_at, c.case_id LIMIT 1 OFFSET ${GROUPED_AT_ONCE - 1}`,
      );
      const inSlice = prepared(
        `SELECT value, count(*) AS cases, sum(overdue) AS overdue FROM (
           SELECT DISTINCT ${column} AS value, c.case_id, c.due_at < ? AS overdue FROM work_case c ${alertsToo}
           WHERE ${sql} AND ${place} > (?, ?) AND ${place} <= (?, ?)) GROUP BY value`,
      );
      const found = new Map<SQLOutputValue, CaseGroup>();
      let after: [number, string] = [-1, ''];
      for (;;) {
        const last = lastOfSlice.get(...values, ...after);
        const until: [number, string] = last ? [Number(last.dueAt), String(last.caseId)] : [FOR_EVER, BEHIND_ALL];
        const given = by === 'status' ? [now, now] : [now];
        for (const { value, cases, overdue } of inSlice.all(...given, ...values, ...after, ...until)) {
          const group = found.get(value!) ?? { filter: filterOf(value!), cases: 0, overdue: 0 };
          group.cases += Number(cases);
          group.overdue += Number(overdue);
          found.set(value!, group);
        }
        if (last === undefined) break;
        after = until;
        await nextTurn();
      }
      const rank = ({ filter: { severity }, cases }: CaseGroup): number =>
        severity === undefined ? cases : SEVERITIES.indexOf(severity as never);
      const groups = [...found.values()].sort((a, b) => rank(b) - rank(a));
      return { groups: groups.slice(0, CASE_GROUPS_MAX), more: Math.max(0, groups.length - CASE_GROUPS_MAX) };
    },
    ids(filter, { limit, now }) {
      const { sql, values } = conditionsOf(filter, now);
      const rows = prepared(`SELECT c.case_id FROM work_case c WHERE ${sql} ORDER BY c.due_at, c.case_id LIMIT ?`);
      return rows.all(...values, limit).map((row) => String(row.case_id));
    },
    summary(caseId, now) {
      const row = findCase.get(caseId);
      return isKnown(row) ? summaryOf(row, now) : undefined;
    },
    detail(caseId, now) {
      const row = findCase.get(caseId);
      if (!isKnown(row)) return undefined;
      const desk = String(row.desk) as Desk;
      const work = foldCase(desk, caseId, eventsOf(caseId));
      return {
        ...summaryOf(row, now),
        mergedFrom: mergedFrom.all(caseId, caseId).map((one) => String(one.case_id)),
        alertList: alertsOf.all(caseId).map((one) => JSON.parse(String(one.json)) as AlertData),
        timeline: work.timeline,
        ruleSnoozes: work.ruleSnoozes.map(({ expiredNoted: _noted, ...snooze }) => ({
          ...snooze,
          hiddenAlerts: Number(hiddenBy.get(desk, row.key_type, row.key_value, snooze.id)?.n),
        })),
        offers: work.offers,
        promises: work.promises,
        closing: work.outcome,
      };
    },
    state(caseId) {
      const row = findCase.get(caseId);
      if (!isKnown(row)) return undefined;
      const desk = String(row.desk) as Desk;
      const work = workOf(row);
      const rules = rulesOf.all(caseId).map((rule) => String(rule.rule_id));
      const subscribers = subscribersOf.all(caseId).map((one) => String(one.served_msisdn));
      return {
        desk,
        version: Number(row.version),
        work: foldCase(desk, caseId, eventsOf(caseId)),
        about: {
          key: { type: String(row.key_type), value: String(row.key_value) },
          openedAt: Number(row.opened_at),
          ruleIds: Number(row.alerts) > 0 ? rules.map(cut) : (work.about?.ruleIds ?? []),
          servedMsisdns: Number(row.alerts) > 0 ? subscribers.map(cut) : (work.about?.servedMsisdns ?? []),
        },
        seenUntil: Number(row.last_alert_at),
      };
    },
    candidates(desk, filter, { limit, now }) {
      const wanted: CaseFilter = { ...filter, desk, active: true, assignee: '', isControl: false };
      const { sql, values } = conditionsOf(wanted, now);
      const rows = prepared(
        `SELECT c.case_id FROM work_case c WHERE ${sql} AND c.snoozed_until <= ?
         ORDER BY c.due_at, c.case_id LIMIT ?`,
      ).all(...values, now, limit);
      return rows.map((row) => String(row.case_id));
    },
    bulk: (bulkId) =>
      bulkEvents.all(bulkId).map((row) => ({
        caseId: String(row.case_id),
        sequence: Number(row.seq),
        event: JSON.parse(String(row.json)) as CaseEvent,
      })),
    ended: (now) =>
      snoozed.all(now).flatMap((row) => {
        const { snooze, snoozedUntil, ruleSnoozes } = workOf(row);
        const caseId = String(row.case_id);
        const ids = ruleSnoozes.filter((one) => one.until <= now && !one.expiredNoted).map(({ id }) => id);
        if (snooze !== null && snoozedUntil <= now && !snooze.expiredNoted) ids.push(snooze.id);
        return ids.map((snoozeId) => ({ caseId, snoozeId }));
      }),
    preview(caseId, ruleId, days, now) {
      const row = findCase.get(caseId);
      if (!isKnown(row)) return undefined;
      const desk = String(row.desk) as Desk;
      const alerts = ofRule.all(desk, row.key_type, row.key_value, ruleId, now - days * DAY_MS);
      const opened = [
        ...new Set(alerts.filter((one) => one.own_case === one.case_id).map((one) => String(one.case_id))),
      ];
      const only = opened.filter((id) => Number(otherRules.get(id, ruleId)?.n) === 0);
      const outcomes = only.map((id) => findCase.get(id)?.outcome).filter((outcome) => typeof outcome === 'string');
      return {
        ruleId,
        days,
        alerts: alerts.length,
        cases: only.length,
        confirmed: outcomes.filter((outcome) => verdictOf(desk, String(outcome)) === 'right').length,
        newest: alerts.slice(0, PREVIEW_ALERTS_MAX).map((one) => JSON.parse(String(one.json)) as AlertData),
      };
    },
    countByStatus(now) {
      const rows = prepared(
        `SELECT c.desk, CASE WHEN c.queue = 'active' AND c.snoozed_until > ? THEN 'snoozed' ELSE c.status END AS shown,
           count(*) AS cases FROM work_case c WHERE c.queue <> '' GROUP BY c.desk, shown`,
      ).all(now);
      return rows.map((row) => ({
        desk: String(row.desk) as Desk,
        status: String(row.shown) as CaseStatus,
        cases: Number(row.cases),
      }));
    },
  };
}

const cut = (text: string): string => text.slice(0, ABOUT_TEXT_MAX);

/** A position as the opaque cursor of the API. */
export function caseCursorOf({ value, caseId }: CasePosition): string {
  return Buffer.from(`${value}/${caseId}`).toString('base64url');
}

/** The position in a cursor; undefined where it is none of ours. */
export function casePositionOf(cursor: string): CasePosition | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,20})?)\/([0-9a-f]{32})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  return match === null ? undefined : { value: Number(match[1]), caseId: match[2]! };
}
