/** Shapes of what is asked of the cases over HTTP; what is answered stands in cases/case-view.ts. */
import { type Static, Type } from 'typebox';
import { SEVERITIES } from '../alerts/alert.ts';
import { CASE_STATUSES, CaseEventInputSchema, caseIdSchema, OUTCOME_NAMES } from '../cases/case-event.ts';
import { CASE_GROUPINGS, CASE_ORDERS } from '../cases/case-list.ts';
import { deskSchema } from '../cases/case-view.ts';

export const CASE_PAGE_MAX = 200;
export const CASE_PAGE_DEFAULT = 50;
/** As many as the desk changes at once; see BULK_CASES_MAX. */
const BULK_MAX = 1_000;
const PREVIEW_DAYS_MAX = 400;

const closed = { additionalProperties: false } as const;
const text = (lengthMax: number, description: string) =>
  Type.String({ minLength: 1, maxLength: lengthMax, description });
const instantMs = (description: string) => Type.Integer({ minimum: 0, maximum: 8.64e15, description });
const person = Type.String({ minLength: 1, maxLength: 128, pattern: '^[^\\u0000-\\u001f\\u007f]+$' });

const filters = {
  desk: Type.Optional(deskSchema),
  status: Type.Optional(Type.Enum([...CASE_STATUSES], { type: 'string' })),
  active: Type.Optional(Type.Boolean({ description: 'All but the closed ones.' })),
  severity: Type.Optional(Type.Enum([...SEVERITIES], { type: 'string' })),
  alertId: Type.Optional(text(128, 'The one that holds this alert.')),
  ruleId: Type.Optional(text(128, 'With an alert of this rule.')),
  assignee: Type.Optional(Type.String({ maxLength: 128, description: 'Who works on it; empty: nobody.' })),
  outcome: Type.Optional(Type.Enum(OUTCOME_NAMES, { type: 'string' })),
  tag: Type.Optional(text(40, 'With this tag.')),
  lane: Type.Optional(Type.String({ maxLength: 64, description: 'In this lane of its desk; empty: in none.' })),
  servedMsisdn: Type.Optional(
    Type.String({ maxLength: 64, description: 'With an alert of this subscriber; empty: with an alert of none.' }),
  ),
  keyValue: Type.Optional(text(256, 'Of this account, subscriber, cell ...')),
  isControl: Type.Optional(Type.Boolean()),
  isKeyAccount: Type.Optional(Type.Boolean()),
  isOverdue: Type.Optional(Type.Boolean()),
  snoozeEndsBefore: Type.Optional(
    instantMs('A snooze of it or of one of its rules ends before that time, Unix epoch ms.'),
  ),
  from: Type.Optional(instantMs('Opened at that time or later, Unix epoch ms.')),
  to: Type.Optional(instantMs('Opened before that time, Unix epoch ms.')),
};

export const CasesQuerySchema = Type.Object(
  {
    ...filters,
    order: Type.Optional(
      Type.Enum([...CASE_ORDERS], {
        type: 'string',
        default: 'due',
        description: 'due: what the SLA clock says first.',
      }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: CASE_PAGE_MAX, default: CASE_PAGE_DEFAULT })),
    cursor: Type.Optional(text(128, '`next` of the page before.')),
  },
  closed,
);
export type CasesQuery = Static<typeof CasesQuerySchema>;

export const CaseGroupsQuerySchema = Type.Object(
  {
    ...filters,
    by: Type.Enum([...CASE_GROUPINGS], { type: 'string', description: 'What the cases of a group have in common.' }),
  },
  closed,
);
export type CaseGroupsQuery = Static<typeof CaseGroupsQuerySchema>;

export const CaseParamsSchema = Type.Object({ id: caseIdSchema });
export const BulkParamsSchema = Type.Object({ bulkId: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }) });

export const SnoozePreviewQuerySchema = Type.Object(
  {
    ruleId: text(128, 'The rule that would be snoozed.'),
    days: Type.Optional(Type.Integer({ minimum: 1, maximum: PREVIEW_DAYS_MAX, default: 30 })),
  },
  closed,
);
export type SnoozePreviewQuery = Static<typeof SnoozePreviewQuerySchema>;

export const TakeNextSchema = Type.Object(
  {
    desk: deskSchema,
    by: Type.Optional(person),
    severity: filters.severity,
    ruleId: filters.ruleId,
    tag: filters.tag,
    isKeyAccount: filters.isKeyAccount,
  },
  { $id: 'TakeNext', ...closed },
);

export const BulkSchema = Type.Object(
  {
    event: CaseEventInputSchema,
    by: Type.Optional(person),
    cases: Type.Optional(
      Type.Array(Type.Object({ caseId: caseIdSchema, version: Type.Optional(Type.Integer({ minimum: 0 })) }, closed), {
        minItems: 1,
        maxItems: BULK_MAX,
      }),
    ),
    filter: Type.Optional(
      Type.Object(filters, {
        ...closed,
        description: `All that match, at most ${BULK_MAX}, in the place of \`cases\`.`,
      }),
    ),
  },
  { $id: 'CaseBulk', ...closed },
);

export const BulkUndoSchema = Type.Object({ by: Type.Optional(person) }, { $id: 'CaseBulkUndo', ...closed });

export const BulkResultSchema = Type.Object(
  {
    bulkId: Type.String({ description: 'For undoing it.' }),
    done: Type.Array(Type.Object({ caseId: caseIdSchema, sequence: Type.Integer() })),
    refused: Type.Array(
      Type.Object({
        caseId: caseIdSchema,
        reason: Type.String({
          description: '`conflict`: somebody changed it first; else why it cannot take the event.',
        }),
      }),
    ),
  },
  { $id: 'CaseBulkResult' },
);

export const DeskQuerySchema = Type.Object({ desk: deskSchema }, closed);
export const FeedbackQuerySchema = Type.Object(
  {
    desk: Type.Optional(deskSchema),
    from: Type.Optional(instantMs('Cases closed at that time or later, Unix epoch ms.')),
  },
  closed,
);
export type FeedbackQuery = Static<typeof FeedbackQuerySchema>;
