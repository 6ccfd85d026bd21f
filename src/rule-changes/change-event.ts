/**
 * An event in the life of a rule, one message on `rules.<desk>.<slug>` of the stream RULES: somebody proposes a change, somebody
 * decides, or the rule has changed by another way (decisions/0010). This schema is the one source of its shape.
 */
import { type Static, type TProperties, Type } from 'typebox';
import { Compile } from 'typebox/compile';

export const REASON_LENGTH_MAX = 1_000;
const TESTS_MAX = 60;
/** Other rules of a back-test: as many as a set may have. */
const OTHERS_MAX = 2_000;

const closed = { additionalProperties: false } as const;
const id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' });
const reason = Type.String({ minLength: 1, maxLength: REASON_LENGTH_MAX });
const ruleText = Type.Object({ version: Type.Integer(), text: Type.String() }, closed);

/** Who did it. `open`: nobody had to sign in, the name is what the request said. `process`: Ringfence itself. */
export const AuthorSchema = Type.Object(
  {
    kind: Type.Enum(['open', 'user', 'key', 'process'], { type: 'string' }),
    id: Type.String({ maxLength: 128 }),
  },
  { ...closed, $id: 'RuleChangeAuthor' },
);
export type ChangeAuthor = Static<typeof AuthorSchema>;

export const TestResultSchema = Type.Object(
  {
    name: Type.String(),
    ok: Type.Boolean(),
    detail: Type.String({ description: 'What came instead, where it failed.' }),
  },
  { ...closed, $id: 'RuleTestResult' },
);
export type TestResult = Static<typeof TestResultSchema>;

const side = Type.Object(
  {
    alerts: Type.Integer(),
    alertsPerDay: Type.Number(),
    right: Type.Integer({ description: 'Alerts of keys whose newest outcome says that there was something.' }),
    wrong: Type.Integer(),
    precision: Type.Union([Type.Number(), Type.Null()], { description: 'right / (right + wrong).' }),
    bands: Type.Array(
      Type.Object(
        {
          severity: Type.String(),
          score: Type.Integer(),
          alerts: Type.Integer(),
          right: Type.Integer(),
          wrong: Type.Integer(),
          precision: Type.Union([Type.Number(), Type.Null()]),
        },
        closed,
      ),
      { description: 'By the highest band that each alert reached.' },
    ),
  },
  closed,
);
const judged = Type.Object(
  {
    alerts: Type.Integer(),
    right: Type.Integer(),
    wrong: Type.Integer(),
    precision: Type.Union([Type.Number(), Type.Null()]),
  },
  closed,
);
const otherRule = Type.Object(
  {
    ruleId: Type.String({ maxLength: 128 }),
    title: Type.Object({ en: Type.String(), 'zh-CN': Type.String() }, closed),
    now: judged,
    draft: judged,
    added: Type.Integer(),
    gone: Type.Integer(),
    changed: Type.Integer({ description: 'Alerts that both have, of another severity or score.' }),
  },
  closed,
);
const exampleSchema = Type.Object(
  {
    key: Type.Object({ type: Type.String(), value: Type.String() }, closed),
    eventTime: Type.Integer(),
    severity: Type.String(),
    reason: Type.Object({ en: Type.String(), 'zh-CN': Type.String() }, closed),
    verdict: Type.Enum(['right', 'wrong', 'none'], { type: 'string' }),
  },
  closed,
);
const figures = {
  from: Type.Integer({ description: 'Event time from which on alerts count, epoch ms.' }),
  to: Type.Integer({ description: 'Newest event time, epoch ms.' }),
  days: Type.Number(),
  records: Type.Integer({ description: 'Records read, those that only fill windows included.' }),
  now: side,
  draft: side,
  same: Type.Integer({ description: 'Alerts of one key that overlap.' }),
  added: Type.Integer({ description: 'Alerts that only the draft has.' }),
  gone: Type.Integer({ description: 'Alerts that only the rule in force has.' }),
  others: Type.Optional(
    Type.Array(otherRule, {
      maxItems: OTHERS_MAX,
      description:
        'Other rules whose alerts differ, since they heed those of this one; only those of desks that one may see.',
    }),
  ),
  cut: Type.Union([Type.Enum(['alerts', 'records', 'time', 'memory'], { type: 'string' }), Type.Null()], {
    description: 'The limit at which reading ended before the end of the stream.',
  }),
};
export const BackTestFiguresSchema = Type.Object(figures, { ...closed, $id: 'BackTestFigures' });
export type BackTestFigures = Static<typeof BackTestFiguresSchema>;
export const BackTestResultSchema = Type.Object(
  {
    ...figures,
    addedExamples: Type.Array(exampleSchema),
    goneExamples: Type.Array(exampleSchema),
  },
  { ...closed, $id: 'BackTestResult' },
);
export type BackTestResult = Static<typeof BackTestResultSchema>;
export type BackTestExample = Static<typeof exampleSchema>;

/** How a rule came to be another one without a proposal. */
export const ORIGINS = ['file', 'api', 'applied'] as const;

const bodies = {
  proposed: {
    rule: ruleText,
    base: ruleText,
    reason,
    tests: Type.Array(TestResultSchema, { maxItems: TESTS_MAX }),
    backTest: Type.Optional(BackTestFiguresSchema),
    backfillMs: Type.Optional(Type.Integer({ minimum: 1 })),
    restores: Type.Optional(Type.Integer({ description: 'Sequence of the older text that this brings back.' })),
  },
  approved: { proposalId: id, reason: Type.Optional(reason) },
  rejected: { proposalId: id, reason },
  withdrawn: { proposalId: id, reason: Type.Optional(reason) },
  changed: {
    rule: ruleText,
    base: Type.Optional(ruleText),
    origin: Type.Enum([...ORIGINS], { type: 'string' }),
  },
} satisfies Record<string, TProperties>;
export type ChangeEventType = keyof typeof bodies;

export const RuleChangeEventSchema = Type.Union(
  (Object.keys(bodies) as ChangeEventType[]).map((type) =>
    Type.Object({ type: Type.Literal(type), id, by: AuthorSchema, ...bodies[type] }, closed),
  ),
  { $id: 'RuleChangeEvent', description: 'One message on `rules.<desk>.<slug>`.' },
);
type Bodies = { [T in ChangeEventType]: { type: T } & Static<ReturnType<typeof Type.Object<(typeof bodies)[T]>>> };
export type ChangeEvent = Bodies[ChangeEventType] & { id: string; by: ChangeAuthor };
export type RuleText = Static<typeof ruleText>;

const checker = Compile(RuleChangeEventSchema);
export const isChangeEvent = (value: unknown): value is ChangeEvent => checker.Check(value);

/** The event in a message; undefined where it is none. */
export function readChangeEvent(data: Uint8Array): ChangeEvent | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
    return checker.Check(value) ? (value as ChangeEvent) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A rule's id is its desk and its slug, so it is a subject as it stands. */
export const changeSubject = (ruleId: string): string => `rules.${ruleId}`;

export function ruleOfSubject(subject: string): string | undefined {
  const [, ruleId] = /^rules\.((?:fraud|arrears|retention)\.[a-z0-9-]{1,80})$/.exec(subject) ?? [];
  return ruleId;
}
