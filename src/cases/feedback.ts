/**
 * What outcomes say of the rules: precision by rule and desk, what offers achieved against the control group, and labels for
 * training and for `replay --labels`. All of it is read from the cases, so it is as old as they are.
 */
import { type Static, Type } from 'typebox';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { type Verdict, verdictOf } from './case-event.ts';
import type { CaseTables } from './case-tables.ts';
import { deskSchema } from './case-view.ts';
import { upliftOf } from './uplift.ts';

/** Subscribers in one label file. */
export const LABELS_MAX = 1_000_000;

/** The label column of a desk, as `replay --labels` knows it, and what an outcome says; outcomes that are not there say nothing. */
const LABELS: Record<Desk, { column: string; outcomes: Readonly<Record<string, 0 | 1>> }> = {
  fraud: { column: 'fraud', outcomes: { confirmed: 1, valuableAlert: 1, falsePositive: 0 } },
  arrears: { column: 'default', outcomes: { writtenOff: 1, brokenPromise: 1, paid: 0 } },
  retention: { column: 'churn', outcomes: { churnedAnyway: 1, saved: 0 } },
};

const figures = {
  closed: Type.Integer({ description: 'Closed cases, whatever their outcome.' }),
  right: Type.Integer(),
  wrong: Type.Integer(),
  precision: Type.Union([Type.Number(), Type.Null()], {
    description: 'right / (right + wrong); null: none is judged.',
  }),
  outcomes: Type.Record(Type.String(), Type.Integer()),
};
const group = Type.Object({
  cases: Type.Integer(),
  saved: Type.Integer(),
  churned: Type.Integer(),
  saveRate: Type.Union([Type.Number(), Type.Null()], { description: 'saved / (saved + churned).' }),
  cost: Type.Number({ description: 'Of all offers of these cases, account currency units.' }),
});
export const FeedbackSchema = Type.Object(
  {
    desks: Type.Array(Type.Object({ desk: deskSchema, ...figures })),
    rules: Type.Array(Type.Object({ ruleId: Type.String(), desk: deskSchema, ...figures })),
    retention: Type.Object({
      treated: group,
      control: group,
      uplift: Type.Union(
        [
          Type.Object({
            estimate: Type.Number({ description: 'Save rate with an offer less that of the control group.' }),
            low: Type.Number({ description: 'Lower end of the 95 % interval.' }),
            high: Type.Number(),
            effect: Type.Union([Type.Number(), Type.Null()], {
              description: 'g of the save value: share of those about to leave whom the offer keeps.',
            }),
          }),
          Type.Null(),
        ],
        { description: 'null: one of the groups has no outcome.' },
      ),
    }),
  },
  { $id: 'Feedback', description: 'What the outcomes of cases say of the rules behind them.' },
);
export type Feedback = Static<typeof FeedbackSchema>;
type Figures = Omit<Feedback['desks'][number], 'desk'>;

const figuresOf = (desk: Desk, outcomes: Record<string, number>): Figures => {
  const sum = (verdict?: string): number =>
    Object.entries(outcomes).reduce(
      (total, [outcome, cases]) => total + (verdict === undefined || verdictOf(desk, outcome) === verdict ? cases : 0),
      0,
    );
  const right = sum('right');
  const wrong = sum('wrong');
  return { closed: sum(), right, wrong, precision: right + wrong === 0 ? null : right / (right + wrong), outcomes };
};

/** @param from cases closed at that time or later, Unix epoch ms */
export function readFeedback(
  { db }: CaseTables,
  filter: { desks?: readonly Desk[]; from?: number | undefined },
): Feedback {
  const { desks = DESKS, from = 0 } = filter;
  const wanted = [...desks, from];
  const where = `c.outcome IS NOT NULL AND c.desk IN (${desks.map(() => '?').join(', ')}) AND c.closed_at >= ?`;
  const byDesk = new Map<Desk, Record<string, number>>();
  for (const { desk, outcome, cases } of db
    .prepare(`SELECT c.desk, c.outcome, count(*) AS cases FROM work_case c WHERE ${where} GROUP BY c.desk, c.outcome`)
    .all(...wanted)) {
    const outcomes = byDesk.get(desk as Desk) ?? {};
    outcomes[String(outcome)] = Number(cases);
    byDesk.set(desk as Desk, outcomes);
  }
  const byRule = new Map<string, { desk: Desk; outcomes: Record<string, number> }>();
  for (const { rule_id, desk, outcome, cases } of db
    .prepare(
      `SELECT rule_id, desk, outcome, count(*) AS cases FROM (
         SELECT DISTINCT c.case_id, c.desk, c.outcome, a.rule_id FROM work_case c
           JOIN work_case m ON m.root_id = c.case_id JOIN case_alert a ON a.case_id = m.case_id WHERE ${where}
         UNION
         -- The alerts are not kept any more; the closing event says which rules they were of.
         SELECT c.case_id, c.desk, c.outcome, r.value FROM work_case c, json_each(c.work, '$.about.ruleIds') r
           WHERE c.alerts = 0 AND ${where}
       ) GROUP BY rule_id, desk, outcome`,
    )
    .all(...wanted, ...wanted)) {
    const key = `${desk} ${rule_id}`;
    const rule = byRule.get(key) ?? { desk: desk as Desk, outcomes: {} };
    rule.outcomes[String(outcome)] = Number(cases);
    byRule.set(key, rule);
  }
  const groups = { treated: emptyGroup(), control: emptyGroup() };
  for (const { control, outcome, cases, cost } of db
    .prepare(
      `SELECT coalesce(json_extract(c.work, '$.outcome.control'), c.control) AS control, c.outcome, count(*) AS cases,
         sum(coalesce((SELECT sum(o.value ->> 'cost') FROM json_each(c.work, '$.offers') o WHERE o.value ->> 'result' = 'accepted'),
           json_extract(c.work, '$.outcome.cost'), 0)) AS cost
       FROM work_case c WHERE ${where} AND c.desk = 'retention' GROUP BY control, c.outcome`,
    )
    .all(...wanted)) {
    const one = control === 1 ? groups.control : groups.treated;
    one.cases += Number(cases);
    one.cost += Number(cost);
    if (outcome === 'saved') one.saved += Number(cases);
    if (outcome === 'churnedAnyway') one.churned += Number(cases);
  }
  for (const one of [groups.treated, groups.control])
    one.saveRate = one.saved + one.churned === 0 ? null : one.saved / (one.saved + one.churned);
  return {
    desks: desks.map((desk) => ({
      desk,
      ...figuresOf(desk, byDesk.get(desk) ?? {}),
    })),
    rules: [...byRule].map(([key, { desk, outcomes }]) => ({
      ruleId: key.slice(desk.length + 1),
      desk,
      ...figuresOf(desk, outcomes),
    })),
    retention: { ...groups, uplift: upliftOf(groups.treated, groups.control) },
  };
}

const emptyGroup = (): Feedback['retention']['treated'] => ({
  cases: 0,
  saved: 0,
  churned: 0,
  saveRate: null,
  cost: 0,
});

/**
 * A label file: one line a subscriber of a closed case whose outcome says yes or no, the newest closing for each.
 * The first two columns are what `replay --labels` reads; the others say where the label comes from.
 */
export function labelFile({ db }: CaseTables, desk: Desk): string {
  const { column, outcomes } = LABELS[desk];
  const known = Object.keys(outcomes);
  const rows = db
    .prepare(
      `SELECT s.msisdn, c.outcome, c.closed_at, c.case_id,
         coalesce(json_extract(c.work, '$.outcome.control'), c.control) AS control,
         max(c.closed_at) FROM (
           SELECT m.root_id AS case_id, a.served_msisdn AS msisdn FROM case_alert a JOIN work_case m ON m.case_id = a.case_id
             WHERE a.desk = ? AND a.served_msisdn IS NOT NULL
           UNION
           SELECT c.case_id, n.value FROM work_case c, json_each(c.work, '$.about.servedMsisdns') n
             WHERE c.alerts = 0 AND c.desk = ?
         ) s JOIN work_case c ON c.case_id = s.case_id
       WHERE c.outcome IN (${known.map(() => '?').join(', ')}) GROUP BY s.msisdn ORDER BY s.msisdn LIMIT ?`,
    )
    .all(desk, desk, ...known, LABELS_MAX);
  const lines = rows.map(
    ({ msisdn, outcome, closed_at, case_id, control }) =>
      `${msisdn},${outcomes[String(outcome)]},${outcome},${closed_at},${case_id},${control === 1 ? 1 : 0}`,
  );
  return `${[`servedMsisdn,${column},outcome,closedAt,caseId,control`, ...lines].join('\n')}\n`;
}

/** Keys of cases whose verdict is read for one back-test. */
const VERDICTS_MAX = 500_000;

/** What the desk has found out about the keys of its cases, `<type>|<value>`: the verdict of the newest closing of each. */
export function readVerdicts({ db }: CaseTables, desk: Desk): Map<string, Verdict> {
  const rows = db
    .prepare(
      `SELECT c.key_type, c.key_value, r.outcome, max(r.closed_at) FROM work_case c JOIN work_case r ON r.case_id = c.root_id
         WHERE c.desk = ? AND r.outcome IS NOT NULL AND c.key_value IS NOT NULL GROUP BY c.key_type, c.key_value LIMIT ?`,
    )
    .all(desk, VERDICTS_MAX);
  return new Map(
    rows.map(({ key_type, key_value, outcome }) => [
      `${key_type}|${key_value}`,
      verdictOf(desk, String(outcome)) ?? 'none',
    ]),
  );
}
