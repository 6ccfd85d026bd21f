/**
 * A case as a desk sees it: shapes of what the API answers and what live clients get. The documents of the API are made of
 * the same schemas.
 */
import { type Static, Type } from 'typebox';
import { DESKS, SEVERITIES } from '../alerts/alert.ts';
import { CASE_STATUSES, caseIdSchema, OUTCOME_NAMES } from './case-event.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const epochMs = (description: string) => Type.Integer({ description: `${description} Unix epoch milliseconds, UTC.` });
export const deskSchema = Type.Enum([...DESKS], { type: 'string', description: 'The desk that works on the case.' });
const localizedText = Type.Object({ en: Type.String(), 'zh-CN': Type.String() });

const summary = {
  caseId: caseIdSchema,
  desk: deskSchema,
  key: Type.Object({ type: Type.String(), value: Type.String() }, { description: 'What its alerts have in common.' }),
  servedMsisdn: nullable(Type.String({ description: 'The first of its subscribers.' })),
  subscriberRef: Type.Optional(Type.String({ description: 'Names that subscriber where the number is masked.' })),
  servedMsisdns: Type.Array(Type.String(), { description: 'Subscribers of its alerts, at most 20.' }),
  status: Type.Enum([...CASE_STATUSES], { type: 'string' }),
  version: Type.Integer({ description: 'Sequence of its newest event in CASES; 0: nobody has touched it yet.' }),
  severity: Type.Enum([...SEVERITIES], { type: 'string', description: 'The highest of its alerts.' }),
  score: Type.Number(),
  title: nullable(localizedText),
  ruleIds: Type.Array(Type.String()),
  alerts: Type.Integer(),
  firing: Type.Integer({ description: 'Alerts whose condition still holds.' }),
  isKeyAccount: Type.Boolean(),
  value: nullable(Type.Unsafe<object>({ type: 'object', description: 'Value of the customer, where an alert tells.' })),
  suggestedActions: Type.Array(Type.String()),
  lane: nullable(Type.String({ description: 'Where the routing of its desk puts it.' })),
  assignee: nullable(Type.String()),
  tags: Type.Array(Type.String()),
  snoozedUntil: nullable(Type.Integer()),
  outcome: nullable(Type.Enum(OUTCOME_NAMES, { type: 'string' })),
  closedAt: nullable(Type.Integer()),
  isControl: Type.Boolean({ description: 'Held out: nobody makes an offer.' }),
  openedAt: epochMs('When its first alert was stored.'),
  lastAlertAt: epochMs('When its newest alert was stored.'),
  sla: Type.Object({
    respondBy: epochMs('When somebody should have acknowledged it.'),
    closeBy: epochMs('When it should be closed.'),
    dueAt: nullable(Type.Integer({ description: 'The one of the two that counts now; null: closed.' })),
    isOverdue: Type.Boolean(),
  }),
  mergedInto: nullable(caseIdSchema),
};
export const CaseSummarySchema = Type.Object(summary, { $id: 'CaseSummary' });
export type CaseSummary = Static<typeof CaseSummarySchema>;

export const CaseDetailSchema = Type.Object(
  {
    ...summary,
    mergedFrom: Type.Array(caseIdSchema),
    alertList: Type.Array(Type.Ref('Alert'), { description: 'Its newest alerts, at most 200.' }),
    timeline: Type.Array(
      Type.Object({
        sequence: Type.Integer({ description: 'Sequence in CASES.' }),
        at: epochMs('When the broker stored it.'),
        effect: Type.String({ description: '`applied`, `undone`, or why it did nothing.' }),
        event: Type.Ref('CaseEvent'),
      }),
      { description: 'What was done, oldest first; what was done to cases merged into this one stands in those.' },
    ),
    ruleSnoozes: Type.Array(
      Type.Object({
        id: Type.String(),
        ruleId: Type.String(),
        servedMsisdn: nullable(Type.String()),
        from: Type.Integer(),
        until: Type.Integer(),
        reason: Type.String(),
        by: Type.String(),
        hiddenAlerts: Type.Integer({ description: 'Alerts that it keeps from the desk.' }),
      }),
    ),
    offers: Type.Array(
      Type.Object({
        offerId: Type.String(),
        cost: nullable(Type.Number()),
        channel: nullable(Type.String()),
        result: Type.String(),
        at: Type.Integer(),
        by: Type.String(),
      }),
    ),
    promises: Type.Array(
      Type.Object({
        promiseAt: epochMs('When it is to be paid.'),
        amount: nullable(Type.Number()),
        at: Type.Integer(),
        by: Type.String(),
      }),
    ),
    closing: nullable(
      Type.Object({
        outcome: Type.String(),
        reason: nullable(Type.String()),
        at: Type.Integer(),
        by: Type.String(),
        offerId: nullable(Type.String()),
        cost: nullable(Type.Number()),
        control: nullable(Type.Boolean()),
      }),
    ),
  },
  { $id: 'CaseDetail' },
);

export const CasePageSchema = Type.Object(
  {
    cases: Type.Array(Type.Ref('CaseSummary')),
    next: nullable(Type.String()),
    total: Type.Integer({ description: 'Cases that match the filters, this page included.' }),
  },
  { $id: 'CasePage' },
);

export const CaseGroupsSchema = Type.Object(
  {
    groups: Type.Array(
      Type.Object({
        filter: Type.Object(
          {
            ruleId: Type.Optional(Type.String()),
            severity: Type.Optional(Type.Enum([...SEVERITIES], { type: 'string' })),
            servedMsisdn: Type.Optional(Type.String({ description: 'Empty: alerts of no subscriber.' })),
            subscriberRef: Type.Optional(
              Type.String({ description: 'In the place of the number where that is masked.' }),
            ),
            status: Type.Optional(Type.Enum([...CASE_STATUSES], { type: 'string' })),
            assignee: Type.Optional(Type.String({ description: 'Empty: nobody.' })),
            lane: Type.Optional(Type.String({ description: 'Empty: none.' })),
          },
          { description: 'What its cases have in common: with it, `GET /v1/cases` finds them.' },
        ),
        cases: Type.Integer(),
        overdue: Type.Integer(),
      }),
      { description: 'The largest first, at most 500; of severities the highest first.' },
    ),
    more: Type.Integer({ description: 'Groups beyond these.' }),
  },
  { $id: 'CaseGroups' },
);
export type CaseGroups = Static<typeof CaseGroupsSchema>;

export const CaseFrameSchema = Type.Union(
  [
    Type.Object({ kind: Type.Literal('case'), case: Type.Ref('CaseSummary') }),
    Type.Object({ kind: Type.Literal('caseGone'), caseId: caseIdSchema }),
    Type.Object({ kind: Type.Literal('casesResync') }),
  ],
  {
    $id: 'CaseFrame',
    description:
      'A case as it is now; a case that is seen nowhere any more, because its alerts moved; or: more has changed than is ' +
      'sent one by one, read the list again. A connection begins with no cases: read the list after `hello`.',
  },
);

export const SnoozePreviewSchema = Type.Object(
  {
    ruleId: Type.String(),
    days: Type.Integer(),
    alerts: Type.Integer({
      description: 'Alerts of the rule for this key in that time: what a snooze would have hidden.',
    }),
    cases: Type.Integer({ description: 'Cases that would not have been opened at all.' }),
    confirmed: Type.Integer({ description: 'Of these cases, those whose outcome says that the alert was right.' }),
    newest: Type.Array(Type.Ref('Alert')),
  },
  { $id: 'SnoozePreview' },
);
