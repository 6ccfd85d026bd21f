/** Shapes of changes of rules as they cross the HTTP border; those of the events themselves stand in rule-changes/. */
import { type Static, Type } from 'typebox';
import { SEVERITIES } from '../alerts/alert.ts';
import {
  AuthorSchema,
  BackTestFiguresSchema,
  BackTestResultSchema,
  REASON_LENGTH_MAX,
  TestResultSchema,
} from '../rule-changes/change-event.ts';
import { BANDS_MAX, PARAMETER_KINDS } from '../rule-changes/rule-edit.ts';
import { BACK_TEST_DAYS_MAX } from '../rule-changes/test-bench.ts';
import { STATUSES } from '../rules/rule.ts';

const closed = { additionalProperties: false } as const;
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' });
const ruleId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' });
const epochMs = (description: string) => Type.Integer({ minimum: 0, maximum: 8.64e15, description });
const ruleText = Type.String({ minLength: 1, maxLength: 300_000, description: 'A rule file, YAML.' });
const reason = Type.String({ minLength: 1, maxLength: REASON_LENGTH_MAX, pattern: '\\S' });
const by = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\u0000-\\u001f\\u007f]*[^\\s\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$',
  description: 'Who does it; only where nobody has to sign in.',
});
const parameterValue = Type.Union([
  Type.Number(),
  Type.Boolean(),
  Type.String({ maxLength: 2_000 }),
  Type.Array(Type.String({ maxLength: 200 }), { maxItems: 1_000 }),
  Type.Array(Type.Number(), { maxItems: 1_000 }),
]);

export const ChangeParamsSchema = Type.Object({
  id: ruleId,
  sequence: Type.Integer({ minimum: 1, maximum: 2 ** 53 - 1 }),
});
export const BackTestParamsSchema = Type.Object({ id: ruleId, testId: id });
export const ProposalParamsSchema = Type.Object({ id: ruleId, proposalId: id });

/** What stands in the place of the rule: a whole text, changed values, or a text of its history. */
const draftOf = {
  text: Type.Optional(ruleText),
  edits: Type.Optional(
    Type.Object(
      {
        status: Type.Optional(Type.String({ maxLength: 40 })),
        suppressFor: Type.Optional(Type.String({ maxLength: 40 })),
        parameters: Type.Optional(
          Type.Record(Type.String({ pattern: '^[a-z][A-Za-z0-9]{0,79}$' }), parameterValue, closed),
        ),
        bands: Type.Optional(
          Type.Array(
            nullable(
              Type.Object(
                {
                  severity: Type.Optional(Type.String({ maxLength: 40 })),
                  if: Type.Optional(Type.String({ maxLength: 4_000 })),
                  score: Type.Optional(Type.Number()),
                },
                closed,
              ),
            ),
            { maxItems: 2 * BANDS_MAX, description: 'By their place; those behind the last one of the rule are new.' },
          ),
        ),
        removedBands: Type.Optional(
          Type.Array(Type.Integer({ minimum: 0, maximum: BANDS_MAX }), { maxItems: BANDS_MAX, uniqueItems: true }),
        ),
      },
      { ...closed, description: 'Changed values of the form; what is not named stays.' },
    ),
  ),
  restores: Type.Optional(Type.Integer({ minimum: 1, description: 'Sequence in the history whose text comes back.' })),
};
const DRAFT = 'One of `text`, `edits` and `restores`.';

export const RuleDraftInputSchema = Type.Object(
  { ...draftOf, tests: Type.Optional(Type.Boolean({ description: 'Run its tests as well; they take seconds.' })) },
  { ...closed, $id: 'RuleDraftInput', description: DRAFT },
);
export type DraftInput = Static<typeof RuleDraftInputSchema>;

const hunk = Type.Object({
  oldStart: Type.Integer(),
  newStart: Type.Integer(),
  lines: Type.Array(Type.String(), { description: 'Each begins with a space, `-` or `+`.' }),
});
const hunks = Type.Array(hunk, { description: 'What has changed, with a few lines around.' });

export const RuleDraftSchema = Type.Object(
  {
    ok: Type.Boolean(),
    errors: Type.Array(
      Type.Object({
        field: Type.String({ description: 'Of the form: `parameters.warningSec`, `bands.0.if`; empty: none of its.' }),
        code: Type.String(),
        message: Type.String({ description: 'What was expected.' }),
        line: Type.Integer({ description: 'In `text`, from 1; 0 where there is none yet.' }),
        column: Type.Integer(),
      }),
    ),
    text: nullable(Type.String({ description: 'The draft as a rule file; null where the values make none.' })),
    version: Type.Integer(),
    baseTag: Type.String({ description: 'ETag of the rule in force that the draft was made from.' }),
    diff: hunks,
    tests: nullable(Type.Array(TestResultSchema)),
  },
  { $id: 'RuleDraft' },
);
export type DraftView = Static<typeof RuleDraftSchema>;

export const BackTestInputSchema = Type.Object(
  { ...draftOf, days: Type.Integer({ minimum: 1, maximum: BACK_TEST_DAYS_MAX }) },
  { ...closed, $id: 'BackTestInput', description: DRAFT },
);

export const BackTestSchema = Type.Object(
  {
    id,
    ruleId: Type.String(),
    state: Type.Enum(['running', 'done', 'failed', 'cancelled'], { type: 'string' }),
    days: Type.Integer(),
    startedAt: epochMs('When it was started.'),
    read: Type.Integer({ description: 'Messages of the stream read so far.' }),
    total: Type.Integer({ description: 'Messages to read; 0 where that is not known yet.' }),
    failure: Type.String(),
    result: nullable(BackTestResultSchema),
  },
  { $id: 'BackTest' },
);

export const RuleProposalInputSchema = Type.Object(
  {
    ...draftOf,
    baseTag: Type.String({
      minLength: 1,
      maxLength: 80,
      description: '`baseTag` of the draft; 409 where it is not in force.',
    }),
    reason,
    backTestId: Type.Optional(id),
    backfillDays: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 60,
        description: 'Fill new windows with the records of so many days first.',
      }),
    ),
    acceptFailedTests: Type.Optional(
      Type.Boolean({ description: 'Its tests may fail; which ones is shown to who decides.' }),
    ),
    by: Type.Optional(by),
  },
  { ...closed, $id: 'RuleProposalInput', description: DRAFT },
);

export const RuleDecisionSchema = Type.Object(
  {
    decision: Type.Enum(['approve', 'reject', 'withdraw'], { type: 'string' }),
    reason: Type.Optional(reason),
    by: Type.Optional(by),
  },
  { ...closed, $id: 'RuleDecision' },
);

const proposalHead = {
  id,
  ruleId: Type.String(),
  sequence: Type.Integer(),
  at: epochMs('When it was proposed.'),
  by: AuthorSchema,
  reason: Type.String(),
  version: Type.Integer(),
  baseVersion: Type.Integer(),
  isStale: Type.Boolean({ description: 'What it was made from is not in force any more: it cannot be approved.' }),
  failedTests: Type.Integer(),
};
export const RuleProposalSchema = Type.Object(
  {
    ...proposalHead,
    text: Type.String(),
    diff: hunks,
    tests: Type.Array(TestResultSchema),
    backTest: nullable(BackTestFiguresSchema),
    backfillDays: nullable(Type.Number()),
  },
  { $id: 'RuleProposal' },
);
export type ProposalView = Static<typeof RuleProposalSchema>;

export const RuleProposalListSchema = Type.Object(
  { proposals: Type.Array(Type.Object(proposalHead)) },
  { $id: 'RuleProposalList' },
);

export const RuleChangesSchema = Type.Object(
  {
    ruleId: Type.String(),
    version: Type.Integer({ description: 'In force.' }),
    baseTag: Type.String(),
    form: Type.Object({
      status: Type.Enum([...STATUSES], { type: 'string' }),
      suppressFor: Type.String(),
      parameters: Type.Array(
        Type.Object({
          name: Type.String(),
          kind: Type.Enum([...PARAMETER_KINDS], { type: 'string' }),
          value: parameterValue,
          unit: Type.String({ description: 'Empty: not known.' }),
          bands: Type.Array(Type.Integer(), { description: 'Places of the bands that ask it.' }),
          features: Type.Array(Type.String(), { description: 'Features that ask it.' }),
          raising: Type.Enum(['fewer', 'more', ''], {
            type: 'string',
            description: 'Alerts with a higher value; empty: that depends.',
          }),
        }),
      ),
      values: Type.Array(Type.Object({ name: Type.String(), window: Type.String(), unit: Type.String() }), {
        description: 'What conditions may ask; empty where the rule does not run.',
      }),
      bands: Type.Array(
        Type.Object({
          severity: Type.Enum([...SEVERITIES], { type: 'string' }),
          if: Type.String(),
          score: Type.Integer(),
        }),
      ),
    }),
    proposal: nullable(Type.Ref('RuleProposal')),
    layer: nullable(
      Type.Object(
        {
          state: Type.Enum(['layered', 'held-back'], {
            type: 'string',
            description: 'held-back: the file was changed as well, and waits.',
          }),
          file: Type.String(),
          fileVersion: Type.Integer(),
          isInForce: Type.Boolean({ description: 'false: approved, and its windows are still being filled.' }),
        },
        { description: 'An approved change over the file of the folder.' },
      ),
    ),
    history: Type.Array(
      Type.Object({
        sequence: Type.Integer(),
        at: epochMs('When the broker stored it.'),
        type: Type.Enum(['proposed', 'approved', 'rejected', 'withdrawn', 'changed'], { type: 'string' }),
        by: AuthorSchema,
        proposalId: Type.String(),
        version: Type.Integer({ description: 'Version of the rule that it brings; 0: none.' }),
        reason: Type.String(),
        origin: Type.String({ description: 'Of a change without a proposal: file, api, applied.' }),
        isVoid: Type.Boolean({ description: 'It came too late, or from whoever may not, and does nothing.' }),
      }),
      { description: 'Newest first.' },
    ),
  },
  { $id: 'RuleChanges' },
);
export type RuleChangesView = Omit<Static<typeof RuleChangesSchema>, 'proposal'> & { proposal: ProposalView | null };

export const RuleChangeSchema = Type.Object(
  {
    sequence: Type.Integer(),
    version: Type.Integer(),
    text: Type.String(),
    diff: Type.Array(hunk, { description: 'Against what was in force before.' }),
    fromNow: Type.Array(hunk, { description: 'From what is in force now to this text.' }),
    tests: Type.Array(TestResultSchema),
    backTest: nullable(BackTestFiguresSchema),
  },
  { $id: 'RuleChange' },
);
