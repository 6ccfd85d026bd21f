/**
 * Which lane of its desk a case is in, and what the lane says of its times. One statement decides it for one case that changed and
 * for all open cases of a desk whose routing changed, so that both come to the same: what a case is in depends on the case as it is
 * and the routing as it is, never on which came first. Closed cases are in no lane.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { type Desk, SEVERITIES } from '../alerts/alert.ts';
import { tagsColumn } from './case-tables.ts';
import { FOR_EVER } from './case-work.ts';
import type { Lane, Routing } from './desk-settings.ts';

const MINUTE_MS = 60_000;

export interface CaseRouting {
  /** The routing of a desk from now on; its open cases are still where they were. */
  use(desk: Desk, routing: Routing): void;
  /** Puts one open case where it belongs. */
  routeCase(desk: Desk, caseId: string): void;
  /** The same for all open cases of a desk. */
  routeDesk(desk: Desk): void;
}

interface Statements {
  one: StatementSync;
  all: StatementSync;
  values: SQLInputValue[];
}

export function createCaseRouting(db: DatabaseSync): CaseRouting {
  const routed = new Map<Desk, Statements>();
  const unroute = db.prepare(
    `UPDATE work_case SET lane = NULL, respond_by = alert_respond_by, close_by = alert_close_by,
       due_at = ${dueAt('alert_respond_by', 'alert_close_by')} WHERE desk = ? AND queue = 'active'`,
  );
  return {
    use(desk, { lanes }) {
      if (lanes.length === 0) {
        routed.delete(desk);
        return;
      }
      const values: SQLInputValue[] = [];
      /** What each lane gives, where all that it asks holds. */
      const choose = (give: (lane: Lane) => [sql: string, ...values: SQLInputValue[]], otherwise: string): string => {
        const cases = lanes.map((lane) => {
          const condition = conditionOf(lane, values);
          const [sql, ...given] = give(lane);
          values.push(...given);
          return `WHEN ${condition} THEN ${sql}`;
        });
        return `CASE ${cases.join(' ')} ELSE ${otherwise} END`;
      };
      const after = (minutes: number | undefined, otherwise: string): [string, ...SQLInputValue[]] =>
        minutes === undefined ? [otherwise] : ['c.opened_at + ?', minutes * MINUTE_MS];
      const lane = choose(({ name }) => ['?', name], 'NULL');
      const respondBy = choose(({ respondMin }) => after(respondMin, 'c.alert_respond_by'), 'c.alert_respond_by');
      const closeBy = choose(({ closeMin }) => after(closeMin, 'c.alert_close_by'), 'c.alert_close_by');
      const update = (which: string): StatementSync =>
        db.prepare(
          `WITH placed AS (SELECT c.case_id, ${lane} AS lane, ${respondBy} AS respond_by, ${closeBy} AS close_by
             FROM work_case c WHERE ${which} AND c.queue = 'active')
           UPDATE work_case SET lane = placed.lane, respond_by = placed.respond_by, close_by = placed.close_by,
             due_at = ${dueAt('placed.respond_by', 'placed.close_by')}
           FROM placed WHERE work_case.case_id = placed.case_id`,
        );
      routed.set(desk, { one: update('c.case_id = ?'), all: update('c.desk = ?'), values });
    },
    routeCase(desk, caseId) {
      const statements = routed.get(desk);
      statements?.one.run(...statements.values, caseId);
    },
    routeDesk(desk) {
      const statements = routed.get(desk);
      if (statements === undefined) unroute.run(desk);
      else statements.all.run(...statements.values, desk);
    },
  };
}

/** The same that `case-index.ts` works out for a case without routing. */
const dueAt = (respondBy: string, closeBy: string): string =>
  `CASE WHEN work_case.status = 'closed' THEN ${FOR_EVER} ELSE max(
     CASE WHEN json_extract(work_case.work, '$.acknowledgedAt') IS NULL THEN ${respondBy} ELSE ${closeBy} END,
     work_case.snoozed_until) END`;

/** What a lane asks of a case; its values go behind those that are there. */
function conditionOf({ keyAccounts, severities, ruleIds, tags }: Lane, values: SQLInputValue[]): string {
  const conditions = ['true'];
  const marks = (given: readonly SQLInputValue[]): string => {
    values.push(...given);
    return given.map(() => '?').join(', ');
  };
  if (keyAccounts === true) conditions.push('c.vip = 1');
  if (severities !== undefined && severities.length > 0)
    conditions.push(`c.severity IN (${marks(severities.map((name) => SEVERITIES.indexOf(name)))})`);
  if (ruleIds !== undefined && ruleIds.length > 0) {
    conditions.push(
      `EXISTS (SELECT 1 FROM work_case m JOIN case_alert a ON a.case_id = m.case_id
         WHERE m.root_id = c.case_id AND a.rule_id IN (${marks(ruleIds)}))`,
    );
  }
  if (tags !== undefined && tags.length > 0) {
    const any = tags.map((tag) => {
      values.push(tagsColumn([tag]));
      return 'instr(c.tags, ?) > 0';
    });
    conditions.push(`(${any.join(' OR ')})`);
  }
  return conditions.join(' AND ');
}
