/**
 * The cases of all desks: a projection of the streams ALERTS and CASES in SQLite. It owns nothing. The two streams are read
 * side by side, so their messages meet here in any order; yet every gateway must come to the same cases. Hence which
 * case an alert belongs to is a function of what is in the streams, never of what was read first:
 *
 * - A *lane* is a desk and a key (account, subscriber, cell ...). Its alerts are taken in the order of ALERTS.
 * - An alert joins the newest case of its lane that takes alerts at the time when the broker first stored the alert; where
 *   none does, it opens one, named after itself. A case takes no alerts while it is closed; one that was merged into
 *   another takes them as long as that one does, because there they are seen.
 * - An alert whose own case somebody has worked on always opens that case, so no work is ever orphaned.
 * - An alert of a rule that is snoozed for its lane at that time is hidden: it is in no case.
 *
 * A new alert is placed by these sentences alone. An event that changes when a case takes alerts, or what is snoozed, has its
 * lane placed anew from the first alert on. The positions in both streams are stored in the same transaction as the rows.
 */
import type { SQLOutputValue, StatementSync } from 'node:sqlite';
import { type AlertData, type Desk, SEVERITIES } from '../alerts/alert.ts';
import { caseKeyOf } from './case-alert.ts';
import { type CaseEvent, type CaseKey, caseIdOf, isControl } from './case-event.ts';
import type { CasePolicy } from './case-policy.ts';
import { createCaseRouting } from './case-routing.ts';
import { type CaseTables, openCaseTables, tagsColumn } from './case-tables.ts';
import { type CaseWork, FOR_EVER, foldCase, takesAlertAt, UNTOUCHED } from './case-work.ts';
import {
  type DeskSettings,
  type DeskSettingsEvent,
  NO_SETTINGS,
  type SettingsMessage,
  withSettings,
} from './desk-settings.ts';

/** One message of ALERTS, as the index needs it. */
export interface CaseAlert {
  sequence: number;
  /** When the broker stored it, Unix epoch ms. */
  at: number;
  alert: AlertData;
  json: string;
}

/** One message of CASES. */
export interface CaseMessage {
  sequence: number;
  at: number;
  desk: Desk;
  caseId: string;
  event: CaseEvent;
}

export type StreamName = 'ALERTS' | 'CASES';

export interface CaseIndex {
  tables: CaseTables;
  /** Creation time of the stream that the rows come from, '' before the first; and the last sequence in the rows. */
  position(stream: StreamName): { created: string; sequence: number };
  /**
   * What follows comes from the stream created at that time. Where rows came from another one everything is emptied, and both
   * streams are to be read from their beginning. @returns whether it was.
   */
  useStream(stream: StreamName, created: string): boolean;
  /** Adds alerts in stream order. @returns the cases that look different now. */
  applyAlerts(alerts: readonly CaseAlert[], lastSequence: number): Set<string>;
  applyEvents(events: readonly CaseMessage[], lastSequence: number, changes?: readonly SettingsMessage[]): Set<string>;
  /** Views and routing of a desk. */
  settings(desk: Desk): DeskSettings;
  /** Its changes, newest first. */
  settingsHistory(desk: Desk, limit: number): SettingsMessage[];
  /** Forgets alerts whose newest revision ALERTS no longer keeps; their lanes are placed anew. */
  forgetBefore(alertSequence: number): Set<string>;
  close(): void;
}

interface LaneCase {
  caseId: string;
  openedAt: number;
  openedSequence: number;
  work: CaseWork;
}

interface Lane {
  desk: Desk;
  key: CaseKey;
}

type Row = Record<string, SQLOutputValue>;

/** @param path a file, or `:memory:` */
export function openCaseIndex(path: string, policy: CasePolicy): CaseIndex {
  const tables = openCaseTables(path, JSON.stringify(policy));
  const { db, eventsOf } = tables;
  const prepare = (sql: string): StatementSync => db.prepare(sql);

  const readMeta = prepare('SELECT value FROM meta WHERE name = ?');
  const writeMeta = prepare('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)');
  const findAlert = prepare('SELECT case_id, hidden_by, respond_by, close_by FROM case_alert WHERE alert_id = ?');
  const insertAlert = prepare(
    `INSERT INTO case_alert (alert_id, desk, key_type, key_value, own_case, case_id, hidden_by, first_seq, first_at, seq,
       rule_id, severity, status, score, tier, served_msisdn, respond_by, close_by, json)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const reviseAlert = prepare(
    `UPDATE case_alert SET seq = ?, severity = ?, status = ?, score = ?, tier = ?, respond_by = ?,
       close_by = ?, json = ? WHERE alert_id = ?`,
  );
  const moveAlert = prepare('UPDATE case_alert SET case_id = ?, hidden_by = ? WHERE alert_id = ?');
  const alertsOfLane = prepare(
    `SELECT alert_id, own_case, case_id, hidden_by, first_seq, first_at, rule_id, served_msisdn FROM case_alert
     WHERE desk = ? AND key_type = ? AND key_value = ? ORDER BY first_seq`,
  );
  const laneOfOwnCase = prepare('SELECT desk, key_type, key_value FROM case_alert WHERE own_case = ?');
  const findCase = prepare('SELECT * FROM work_case WHERE case_id = ?');
  const casesOfLane = prepare(
    `SELECT case_id, opened_at, opened_seq, work, version FROM work_case
     WHERE desk = ? AND key_type = ? AND key_value = ? ORDER BY opened_seq DESC, opened_at DESC, case_id`,
  );
  const insertCase = prepare(
    `INSERT INTO work_case (case_id, desk, key_type, key_value, opened_at, opened_seq, root_id, control)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const placeCase = prepare(
    'UPDATE work_case SET key_type = ?, key_value = ?, opened_at = ?, opened_seq = ?, control = ? WHERE case_id = ?',
  );
  const unplaceCase = prepare('UPDATE work_case SET key_type = NULL, key_value = NULL WHERE case_id = ?');
  const removeCase = prepare('DELETE FROM work_case WHERE case_id = ?');
  const writeWork = prepare(
    `UPDATE work_case SET version = ?, work = ?, status = ?, assignee = ?, snoozed_until = ?, snooze_ends_at = ?, outcome = ?, closed_at = ?, tags = ?,
       merged_into = ?, merge_seq = ? WHERE case_id = ?`,
  );
  const setRoot = prepare('UPDATE work_case SET root_id = ? WHERE case_id = ?');
  const mergedIn = prepare('SELECT case_id FROM work_case WHERE merged_into = ?');
  const insertEvent = prepare('INSERT INTO case_event (seq, case_id, desk, at, bulk, json) VALUES (?, ?, ?, ?, ?, ?)');
  const countAlerts = prepare(
    `SELECT count(*) AS alerts, sum(a.status = 'firing') AS firing, max(a.severity) AS severity, max(a.score) AS score,
       max(a.first_at) AS last_at, min(a.respond_by) AS respond_by, min(a.close_by) AS close_by,
       max(a.tier = 'vip') AS vip
     FROM work_case c JOIN case_alert a ON a.case_id = c.case_id WHERE c.root_id = ?`,
  );
  const writeCounts = prepare(
    `UPDATE work_case SET alerts = ?, firing = ?, severity = ?, score = ?, last_alert_at = ?, respond_by = ?,
       close_by = ?, alert_respond_by = ?, alert_close_by = ?, vip = ?, due_at = ?, queue = ?, lane = NULL WHERE case_id = ?`,
  );

  const insertSettings = prepare('INSERT INTO desk_event (seq, desk, at, json) VALUES (?, ?, ?, ?)');
  const historyOf = prepare('SELECT seq, at, json FROM desk_event WHERE desk = ? ORDER BY seq DESC LIMIT ?');
  const routing = createCaseRouting(db);
  const settings = new Map<Desk, DeskSettings>();
  const takeSettings = (message: SettingsMessage): void => {
    const after = withSettings(settings.get(message.desk) ?? NO_SETTINGS, message);
    settings.set(message.desk, after);
    if (message.event.type === 'routing') routing.use(message.desk, after.routing);
  };
  for (const { seq, desk, at, json } of prepare('SELECT * FROM desk_event ORDER BY seq').all()) {
    const event = JSON.parse(String(json)) as DeskSettingsEvent;
    takeSettings({ sequence: Number(seq), desk: desk as Desk, at: Number(at), event });
  }

  const workOf = (row: Row | undefined): CaseWork =>
    typeof row?.work === 'string' ? (JSON.parse(row.work) as CaseWork) : UNTOUCHED;
  const laneOf = (row: Row): Lane => ({
    desk: String(row.desk) as Desk,
    key: { type: String(row.key_type), value: String(row.key_value) },
  });

  /** The case that a case is seen in. Mergers that go round in a circle end with the newest of them. */
  const rootOf = (caseId: string): string => {
    const path: { id: string; sequence: number }[] = [];
    for (let id = caseId; ; ) {
      const row = findCase.get(id);
      if (row === undefined || row.merged_into === null) return id;
      const start = path.findIndex((step) => step.id === id);
      if (start >= 0) return path.slice(start).reduce((a, b) => (a.sequence > b.sequence ? a : b)).id;
      path.push({ id, sequence: Number(row.merge_seq) });
      id = String(row.merged_into);
    }
  };

  const takes = (caseId: string, work: CaseWork, at: number): boolean => {
    const { mergedInto } = work;
    if (mergedInto === null || at <= mergedInto.at) return takesAlertAt(work, at);
    const root = rootOf(caseId);
    // A merger that closes a circle is void.
    if (root === caseId) return takesAlertAt(work, at);
    // Step by step, because a case on the way may have been merged later than this alert came.
    const next = findCase.get(mergedInto.caseId);
    return takes(mergedInto.caseId, workOf(next), at);
  };

  interface Placing {
    ownCase: string;
    firstAt: number;
    ruleId: string;
    servedMsisdn: string | null;
  }
  /** Where an alert belongs, given the cases of its lane that were opened before it, newest first. */
  const place = (
    alert: Placing,
    before: readonly LaneCase[],
    snoozes: CaseWork['ruleSnoozes'],
    ownIsTouched: boolean,
  ): { caseId: string | null; hiddenBy: string | null } => {
    if (ownIsTouched) return { caseId: alert.ownCase, hiddenBy: null };
    const snooze = snoozes.find(
      ({ ruleId, servedMsisdn, from, until }) =>
        ruleId === alert.ruleId &&
        (servedMsisdn === null || servedMsisdn === alert.servedMsisdn) &&
        alert.firstAt >= from &&
        alert.firstAt < until,
    );
    if (snooze !== undefined) return { caseId: null, hiddenBy: snooze.id };
    const taker = before.find(
      ({ caseId, openedAt, work }) => openedAt <= alert.firstAt && takes(caseId, work, alert.firstAt),
    );
    return { caseId: taker?.caseId ?? alert.ownCase, hiddenBy: null };
  };

  /** Snoozes of a lane in a fixed order, so that the same one always hides an alert. */
  const snoozesOf = (works: readonly CaseWork[]): CaseWork['ruleSnoozes'] =>
    works.flatMap(({ ruleSnoozes }) => ruleSnoozes).sort((a, b) => a.from - b.from || (a.id < b.id ? -1 : 1));

  const openCase = ({ desk, key }: Lane, caseId: string, openedAt: number, openedSequence: number): void => {
    const control = desk === 'retention' && isControl(key, policy.controlShare) ? 1 : 0;
    if (findCase.get(caseId) === undefined)
      insertCase.run(caseId, desk, key.type, key.value, openedAt, openedSequence, caseId, control);
    else placeCase.run(key.type, key.value, openedAt, openedSequence, control, caseId);
  };

  const dueAt = (work: CaseWork, respondBy: number, closeBy: number): number => {
    if (work.status === 'closed') return FOR_EVER;
    return Math.max(work.acknowledgedAt === null ? respondBy : closeBy, work.snoozedUntil);
  };

  /** Figures of a case that is seen, over its own alerts and those of the cases merged into it. */
  const recount = (rootId: string): void => {
    const row = findCase.get(rootId);
    if (row === undefined) return;
    const count = countAlerts.get(rootId)!;
    const alerts = Number(count.alerts);
    const openedAt = Number(row.opened_at);
    /** Not merged into another one, and with something to see. */
    const isSeen = row.root_id === rootId && row.key_type !== null && (alerts > 0 || Number(row.version) > 0);
    const times = policy.sla.standard.info;
    const respondBy = alerts > 0 ? Number(count.respond_by) : openedAt + times.respondSec * 1000;
    const closeBy = alerts > 0 ? Number(count.close_by) : openedAt + times.closeSec * 1000;
    writeCounts.run(
      alerts,
      Number(count.firing ?? 0),
      Number(count.severity ?? 0),
      Number(count.score ?? 0),
      Number(count.last_at ?? openedAt),
      respondBy,
      closeBy,
      respondBy,
      closeBy,
      Number(count.vip ?? 0),
      dueAt(workOf(row), respondBy, closeBy),
      isSeen ? (row.status === 'closed' ? 'closed' : 'active') : '',
      rootId,
    );
    if (isSeen && row.status !== 'closed') routing.routeCase(String(row.desk) as Desk, rootId);
  };

  /** Places all alerts of a lane anew, with the cases that they make. */
  const placeLane = (lane: Lane, changed: Set<string>): void => {
    const rows = casesOfLane.all(lane.desk, lane.key.type, lane.key.value);
    const alerts = alertsOfLane.all(lane.desk, lane.key.type, lane.key.value);
    const own = new Set(alerts.map((alert) => String(alert.own_case)));
    const worked = new Map<string, CaseWork>();
    for (const row of rows) {
      const work = workOf(row);
      // Neither its first alert nor a word of what it is about is kept any more: nobody can say whose case it was.
      const isKnown = own.has(String(row.case_id)) || work.about !== null;
      if (Number(row.version) > 0 && isKnown) worked.set(String(row.case_id), work);
    }
    /** Newest first. Cases whose first alert is not kept any more were there before all others. */
    const cases: LaneCase[] = [...worked]
      .filter(([caseId]) => !own.has(caseId))
      .map(([caseId, work]) => ({ caseId, openedAt: work.about!.openedAt, openedSequence: 0, work }))
      .sort((a, b) => b.openedAt - a.openedAt || (a.caseId < b.caseId ? -1 : 1));
    const snoozes = snoozesOf([...worked.values()]);
    const placed = new Set(cases.map(({ caseId }) => caseId));
    for (const { caseId, openedAt } of cases) openCase(lane, caseId, openedAt, 0);
    for (const row of alerts) {
      const ownCase = String(row.own_case);
      const alert: Placing = {
        ownCase,
        firstAt: Number(row.first_at),
        ruleId: String(row.rule_id),
        servedMsisdn: row.served_msisdn === null ? null : String(row.served_msisdn),
      };
      const { caseId, hiddenBy } = place(alert, cases, snoozes, worked.has(ownCase));
      if (caseId !== null && !placed.has(caseId)) {
        const openedSequence = Number(row.first_seq);
        openCase(lane, caseId, alert.firstAt, openedSequence);
        cases.unshift({ caseId, openedAt: alert.firstAt, openedSequence, work: worked.get(caseId) ?? UNTOUCHED });
        placed.add(caseId);
      }
      if (row.case_id === caseId && row.hidden_by === hiddenBy) continue;
      moveAlert.run(caseId, hiddenBy, String(row.alert_id));
      if (row.case_id !== null) changed.add(String(row.case_id));
      if (caseId !== null) changed.add(caseId);
    }
    for (const row of rows) {
      const caseId = String(row.case_id);
      if (placed.has(caseId)) continue;
      if (Number(row.version) > 0) unplaceCase.run(caseId);
      else removeCase.run(caseId);
      changed.add(caseId);
    }
  };

  const slaOf = (alert: AlertData, at: number): { respondBy: number; closeBy: number } => {
    const times = policy.sla[alert.value?.tier === 'vip' ? 'vip' : 'standard'][alert.severity];
    return { respondBy: at + times.respondSec * 1000, closeBy: at + times.closeSec * 1000 };
  };

  const applyAlert = ({ sequence, at, alert, json }: CaseAlert, changed: Set<string>): void => {
    const severity = SEVERITIES.indexOf(alert.severity);
    const tier = alert.value?.tier ?? null;
    const { respondBy, closeBy } = slaOf(alert, at);
    const before = findAlert.get(alert.alertId);
    if (before !== undefined) {
      reviseAlert.run(
        sequence,
        severity,
        alert.status,
        alert.score,
        tier,
        // What rises in severity is due sooner, never later.
        Math.min(Number(before.respond_by), respondBy),
        Math.min(Number(before.close_by), closeBy),
        json,
        alert.alertId,
      );
      if (before.case_id !== null) changed.add(String(before.case_id));
      return;
    }
    const lane: Lane = { desk: alert.desk, key: caseKeyOf(alert) };
    const ownCase = caseIdOf(lane.desk, lane.key, alert.alertId);
    const rows = casesOfLane.all(lane.desk, lane.key.type, lane.key.value);
    const cases = rows.map((row) => ({
      caseId: String(row.case_id),
      openedAt: Number(row.opened_at),
      openedSequence: Number(row.opened_seq),
      work: workOf(row),
    }));
    const servedMsisdn = alert.servedMsisdn ?? null;
    /** Its events came before its first alert. */
    const ownRow = findCase.get(ownCase);
    const ownIsTouched = ownRow !== undefined;
    const { caseId, hiddenBy } = place(
      { ownCase, firstAt: at, ruleId: alert.ruleId, servedMsisdn },
      cases.filter((one) => one.caseId !== ownCase),
      snoozesOf(cases.map(({ work }) => work)),
      ownIsTouched,
    );
    if (caseId === ownCase) openCase(lane, ownCase, at, sequence);
    insertAlert.run(
      alert.alertId,
      lane.desk,
      lane.key.type,
      lane.key.value,
      ownCase,
      caseId,
      hiddenBy,
      sequence,
      at,
      sequence,
      alert.ruleId,
      severity,
      alert.status,
      alert.score,
      tier,
      servedMsisdn,
      respondBy,
      closeBy,
      json,
    );
    if (caseId !== null) changed.add(caseId);
    if (!ownIsTouched) return;
    // Only now is it known which lane its events are of, and what they snooze there.
    placeLane(lane, changed);
    if (ownRow.key_type !== null) placeLane(laneOf(ownRow), changed);
  };

  const applyEvent = (message: CaseMessage, lanes: Map<string, Lane>, changed: Set<string>): void => {
    const { sequence, at, desk, caseId, event } = message;
    insertEvent.run(sequence, caseId, desk, at, event.bulk ?? null, JSON.stringify(event));
    const row = findCase.get(caseId);
    const before = workOf(row);
    const { timeline: _timeline, ...kept } = foldCase(desk, caseId, eventsOf(caseId));
    const work: CaseWork = { ...kept, timeline: [] };
    if (row === undefined) {
      const lane = laneOfOwnCase.get(caseId);
      const key = lane === undefined ? work.about?.key : laneOf(lane).key;
      insertCase.run(caseId, desk, key?.type ?? null, key?.value ?? null, work.about?.openedAt ?? at, 0, caseId, 0);
    }
    writeWork.run(
      sequence,
      JSON.stringify(work),
      work.status,
      work.assignee,
      work.snoozedUntil,
      nextSnoozeEnd(work),
      work.outcome?.outcome ?? null,
      work.outcome?.at ?? null,
      tagsColumn(work.tags),
      work.mergedInto?.caseId ?? null,
      work.mergedInto?.sequence ?? null,
      caseId,
    );
    changed.add(caseId);
    const same = (read: (from: CaseWork) => unknown): boolean =>
      JSON.stringify(read(before)) === JSON.stringify(read(work));
    if (!same(({ mergedInto }) => mergedInto)) reroot(caseId, changed);
    const placesAnew =
      Number(row?.version ?? 0) === 0 ||
      !same(({ closures, ruleSnoozes, mergedInto, about }) => [closures, ruleSnoozes, mergedInto, about?.openedAt]);
    if (!placesAnew) return;
    // Whoever was merged into this case takes alerts as long as it does.
    for (const id of [caseId, ...descendants(caseId)]) {
      const one = findCase.get(id);
      if (one === undefined || one.key_type === null) continue;
      const lane = laneOf(one);
      lanes.set(JSON.stringify(lane), lane);
    }
  };

  /** Every case that was merged into this one, however many steps away. */
  const descendants = (caseId: string): string[] => {
    const found = new Set<string>();
    const waiting = [caseId];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      for (const row of mergedIn.all(id)) {
        const child = String(row.case_id);
        if (child === caseId || found.has(child)) continue;
        found.add(child);
        waiting.push(child);
      }
    }
    return [...found];
  };

  const reroot = (caseId: string, changed: Set<string>): void => {
    for (const id of [caseId, ...descendants(caseId)]) {
      const row = findCase.get(id);
      if (row === undefined) continue;
      changed.add(String(row.root_id));
      const root = rootOf(id);
      // A target whose alerts have not come yet has no row; the case is its own until then.
      setRoot.run(root, id);
      changed.add(root);
      changed.add(id);
    }
  };

  /** Brings the figures of whatever changed up to date; in the end the set holds the cases that are seen. */
  const settle = (changed: Set<string>): Set<string> => {
    const roots = new Set<string>();
    for (const caseId of changed) {
      roots.add(caseId);
      const root = findCase.get(caseId)?.root_id;
      if (typeof root === 'string') roots.add(root);
    }
    for (const root of roots) recount(root);
    return roots;
  };

  const positions: Record<StreamName, { created: string; sequence: number }> = {
    ALERTS: { created: '', sequence: 0 },
    CASES: { created: '', sequence: 0 },
  };
  for (const stream of ['ALERTS', 'CASES'] as const) {
    positions[stream] = {
      created: String(readMeta.get(`${stream}.created`)?.value ?? ''),
      sequence: Number(readMeta.get(`${stream}.sequence`)?.value ?? 0),
    };
  }
  const advance = (stream: StreamName, sequence: number): void => {
    writeMeta.run(`${stream}.sequence`, sequence);
    positions[stream] = { created: positions[stream].created, sequence };
  };
  /** What a full disk has not taken is read again: the positions stay with the rows. */
  const transaction = <T>(write: () => T): T => {
    const before = { ...positions };
    try {
      return tables.transaction(write);
    } catch (error) {
      Object.assign(positions, before);
      throw error;
    }
  };

  return {
    tables,
    position: (stream) => positions[stream],
    useStream(stream, created) {
      const isFirst = positions[stream].created === '';
      transaction(() => {
        if (!isFirst) {
          db.exec('DELETE FROM case_alert; DELETE FROM case_event; DELETE FROM work_case; DELETE FROM desk_event');
          for (const desk of settings.keys()) routing.use(desk, NO_SETTINGS.routing);
          settings.clear();
        }
        for (const name of ['ALERTS', 'CASES'] as const) {
          if (isFirst && name !== stream) continue;
          positions[name] = { created: name === stream ? created : '', sequence: 0 };
          writeMeta.run(`${name}.created`, positions[name].created);
          writeMeta.run(`${name}.sequence`, 0);
        }
      });
      return !isFirst;
    },
    applyAlerts(alerts, lastSequence) {
      const changed = new Set<string>();
      return transaction(() => {
        for (const alert of alerts) applyAlert(alert, changed);
        advance('ALERTS', lastSequence);
        return settle(changed);
      });
    },
    applyEvents(events, lastSequence, changes = []) {
      const changed = new Set<string>();
      return transaction(() => {
        const lanes = new Map<string, Lane>();
        for (const event of events) applyEvent(event, lanes, changed);
        for (const lane of lanes.values()) placeLane(lane, changed);
        advance('CASES', lastSequence);
        const desks = new Set<Desk>();
        for (const change of changes) {
          insertSettings.run(change.sequence, change.desk, change.at, JSON.stringify(change.event));
          takeSettings(change);
          if (change.event.type === 'routing') desks.add(change.desk);
        }
        const roots = settle(changed);
        for (const desk of desks) routing.routeDesk(desk);
        return roots;
      });
    },
    forgetBefore(alertSequence) {
      const changed = new Set<string>();
      return transaction(() => {
        const gone = tables.forgottenLanes(alertSequence);
        for (const row of gone) {
          const lane = laneOf(row);
          for (const { case_id } of casesOfLane.all(lane.desk, lane.key.type, lane.key.value))
            changed.add(String(case_id));
          placeLane(lane, changed);
        }
        return settle(changed);
      });
    },
    settings: (desk) => settings.get(desk) ?? NO_SETTINGS,
    settingsHistory: (desk, limit) =>
      historyOf.all(desk, limit).map(({ seq, at, json }) => ({
        sequence: Number(seq),
        at: Number(at),
        desk,
        event: JSON.parse(String(json)) as DeskSettingsEvent,
      })),
    close: () => tables.close(),
  };
}

/** When the first snooze ends whose end is not noted yet; 0: none. */
function nextSnoozeEnd({ snooze, snoozedUntil, ruleSnoozes }: CaseWork): number {
  const ends = ruleSnoozes.filter(({ expiredNoted }) => !expiredNoted).map(({ until }) => until);
  if (snooze !== null && !snooze.expiredNoted) ends.push(snoozedUntil);
  return ends.length === 0 ? 0 : Math.min(...ends);
}
