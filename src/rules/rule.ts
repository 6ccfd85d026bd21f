/**
 * The rule file: one YAML document a rule, its tests beside its thresholds. This schema is the only one: it checks files,
 * feeds the editor's schema (`rules/rule.schema.json`) and the API description.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DESKS, type LocalizedText, SEVERITIES } from '../alerts/alert.ts';
import { SEEN_TYPES } from '../record/usage-record.ts';
import { RECENT_MAX } from '../state/recent.ts';
import { SEQUENCE_COUNT_MAX, SEQUENCE_STEPS_MAX } from '../state/sequence.ts';
import { TOP_MAX } from '../state/top-values.ts';
import { type PositionOf, parseForm, type RuleProblem, type SchemaNode } from './form.ts';

export const KEY_TYPES = [
  'subscriber',
  'account',
  'imsi',
  'imei',
  'cell',
  'otherNumber',
  'trunk',
  'carrier',
  'dealer',
  'servingPlmn',
  'subscriber+prefix',
  'otherRange',
  'imsi+servingPlmn',
  'carrier+country',
  'sender+range',
  'idDocument',
  'paymentToken',
  'address',
  'identity',
] as const;
export type KeyType = (typeof KEY_TYPES)[number];
/** Kinds of keys that stand for several: a rule that groups by such a one groups by each of them apart. */
export const KEY_GROUPS: Partial<Record<KeyType, readonly KeyType[]>> = {
  identity: ['idDocument', 'paymentToken', 'address'],
};

export const AGGREGATES = [
  'count',
  'sum',
  'min',
  'max',
  'mean',
  'dailyMean',
  'distinct',
  'last',
  'lastAt',
  'sinceLast',
  'firstAt',
  'changedAt',
  'usualGap',
  'sequence',
  'run',
  'overlap',
  'concurrency',
  'longCalls',
  'callDuration',
  'callStartAt',
  'baselineMean',
  'baselineDeviation',
  'baselineSamples',
  'hourOfWeekMean',
  'modeCount',
  'neighbourShare',
  'passedOn',
  'recentMean',
  'recentMin',
  'recentMax',
  'paidLate',
  'paidLateMax',
  'heldMax',
  'heldMin',
  'topCount',
  'topLeft',
  'speed',
  'distance',
  'members',
  'membersFailed',
  'membersDueAt',
  'membersNextDueAt',
] as const;

/**
 * `experimental` is a draft: it runs beside the live rules, in shadow. `test` (new, watched closely), `stable` and `deprecated`
 * (to be removed soon) are live; they differ for people only. `off` does not run at all: its file stays, its windows do not.
 */
export const STATUSES = ['experimental', 'test', 'stable', 'deprecated', 'off'] as const;

/** The alerts of this rule are marked and sent to no desk. */
export const isShadow = ({ status }: Pick<Rule, 'status'>): boolean => status === 'experimental';

/** This rule remembers nothing and never fires. */
export const isOff = ({ status }: Pick<Rule, 'status'>): boolean => status === 'off';

export const closed = { additionalProperties: false } as const;
const text = (description: string) => Type.String({ minLength: 1, maxLength: 4_000, description });
export const expression = (description: string) => Type.String({ minLength: 1, maxLength: 2_000, description });
const DURATION = '[0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w)';
const NAME = '[a-z][A-Za-z0-9]*';
export const duration = (description: string) => Type.String({ pattern: `^${DURATION}$`, description });
const parameterName = Type.String({ pattern: `^${NAME}$` });
export const localized = (description: string) =>
  Type.Object({ en: text(description), 'zh-CN': text(description) }, closed);
const actions = (description: string) => Type.Array(Type.String({ maxLength: 60 }), { maxItems: 20, description });
const recordTypes = Type.Union(
  [Type.Enum([...SEEN_TYPES]), Type.Array(Type.Enum([...SEEN_TYPES]), { minItems: 1, uniqueItems: true })],
  { description: 'Record types that this looks at; `alert` is an alert of any rule that begins or rises.' },
);

const sequenceStep = Type.Object(
  {
    where: expression('Records that this step takes; a record counts for the first step that takes it.'),
    count: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: SEQUENCE_COUNT_MAX }), parameterName], {
        description: 'So many of them, as a number or the name of a parameter; default 1.',
      }),
    ),
    within: Type.Optional(
      Type.String({
        pattern: `^(${DURATION}|${NAME})$`,
        description:
          'Duration or name of a parameter. First step: from its first record to its last. Later: from the end of the step before.',
      }),
    ),
  },
  closed,
);

/** Who joins a key, and what becomes of each. A record does the first of these that holds: leave, fail, confirm, join. */
const membership = Type.Object(
  {
    join: Type.Optional(expression('The member joins, or joins anew. Default: what none of the others takes.')),
    at: Type.Optional(expression('When it joined. Default: eventTime.')),
    confirm: Type.Optional(expression('The member has done what is expected of it.')),
    within: Type.Optional(duration('A member that has not been confirmed so long after it joined has failed.')),
    fail: Type.Optional(expression('The member has failed.')),
    leave: Type.Optional(expression('The member is none any more.')),
  },
  closed,
);

const feature = Type.Object(
  {
    title: Type.Optional(
      localized(
        'What people read in place of the name, without the window, which stands beside it. Default: the name.',
      ),
    ),
    aggregate: Type.Optional(Type.Enum([...AGGREGATES], { description: 'What is kept of the records.' })),
    of: Type.Optional(expression('The value that is summed, compared, counted once or remembered.')),
    value: Type.Optional(expression('Instead of an aggregate: a value made from other features of this rule.')),
    on: Type.Optional(recordTypes),
    where: Type.Optional(expression('Only records for which this holds. Default: that of the rule.')),
    window: Type.Optional(
      Type.String({
        pattern: '^(shift|[0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w))$',
        description: "Length of the rolling window; 'shift' for the current shift of the operator's clock.",
      }),
    ),
    panes: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1024, description: 'Steps in which the window moves; default 12.' }),
    ),
    while: Type.Optional(
      expression('Records are taken only while this holds: a condition over features that stand before this one.'),
    ),
    within: Type.Optional(duration('passedOn: how soon what came in must go out again.')),
    before: Type.Optional(duration('The window ends this long before now instead of now.')),
    every: Type.Optional(duration('Baselines: length of one sample; default 1d.')),
    samplesMin: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'Baselines and recent values: with fewer samples the value is not known.',
      }),
    ),
    last: Type.Optional(Type.Integer({ minimum: 1, maximum: RECENT_MAX, description: 'Recent values: how many.' })),
    top: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: TOP_MAX,
        description: 'topCount, topLeft: how many of the most frequent values.',
      }),
    ),
    skip: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: RECENT_MAX,
        description: 'Recent values: how many of the newest are left out.',
      }),
    ),
    steps: Type.Optional(
      Type.Array(sequenceStep, {
        minItems: 2,
        maxItems: SEQUENCE_STEPS_MAX,
        description: 'Sequences: what must happen, in this order.',
      }),
    ),
    resetBy: Type.Optional(
      Type.Object(
        { on: recordTypes, where: expression('Records that begin the feature anew.') },
        { ...closed, description: 'Forgets what came before such a record; of other record types than its own.' },
      ),
    ),
    members: Type.Optional(membership),
    longerThan: Type.Optional(
      Type.String({
        pattern: `^(${DURATION}|${NAME})$`,
        description: 'Long calls: how long they must last, as a duration or the name of a parameter.',
      }),
    ),
    among: Type.Optional(
      expression('Runs: records of the subscriber that belong to the run or end it, as their `of` says.'),
    ),
    unit: Type.Optional(Type.Enum(['s', 'ms', 'bytes', 'currency', 'count', 'share', 'km', 'km/h', 'none'])),
  },
  closed,
);

const band = Type.Object(
  {
    severity: Type.Enum([...SEVERITIES]),
    if: expression('The condition of this band.'),
    score: Type.Integer({ minimum: 0, maximum: 100 }),
    reason: Type.Optional(localized('Reason of this band, instead of that of the rule.')),
    suggestedActions: Type.Optional(actions('What to do at this band, instead of the actions of the rule.')),
  },
  closed,
);

export const params = Type.Record(
  Type.String({ pattern: '^[a-z][A-Za-z0-9]*$' }),
  Type.Union([
    Type.Number(),
    Type.Boolean(),
    Type.String(),
    Type.Array(Type.String(), { maxItems: 1000 }),
    Type.Array(Type.Number(), { maxItems: 1000 }),
  ]),
  { ...closed, description: 'Thresholds, to be changed without touching a condition. Durations are written 7d.' },
);

export const features = Type.Record(Type.String({ pattern: '^[a-z][A-Za-z0-9]*$' }), feature, closed);

const testStep = Type.Object(
  {
    at: Type.Optional(
      Type.String({
        description: 'Time after the begin of the test (`90m`), or RFC 3339. Default: where the step before ended.',
      }),
    ),
    repeat: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'How often; `{n}` in a text counts from 1.' }),
    ),
    every: Type.Optional(duration('Distance between repetitions; default 1s.')),
    record: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'Fields of the usage record; recordId, eventTime and servedMsisdn are filled in.',
      }),
    ),
    records: Type.Optional(
      Type.Array(Type.Record(Type.String(), Type.Unknown()), { description: 'Several records at the same time.' }),
    ),
    alert: Type.Optional(
      Type.Object(
        {
          rule: Type.Optional(Type.String()),
          catalogue: Type.Optional(Type.String()),
          severity: Type.Optional(Type.Enum([...SEVERITIES])),
          desk: Type.Optional(Type.Enum([...DESKS])),
          score: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
          revision: Type.Optional(Type.Integer({ minimum: 1 })),
        },
        {
          ...closed,
          description: 'Instead of the record itself the rule sees an alert of another rule that the record made fire.',
        },
      ),
    ),
    advance: Type.Optional(duration('Lets this much event time pass without a record of this key.')),
  },
  closed,
);

const ruleTest = Type.Object(
  {
    name: text('What the test shows.'),
    begin: Type.Optional(
      Type.String({ description: 'RFC 3339 time of the first step; default 2026-03-02T10:00:00Z, a Monday.' }),
    ),
    lists: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[a-z][A-Za-z0-9-]{0,63}$' }),
        Type.Array(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])), { maxItems: 1_000 }),
        { ...closed, description: 'Reference lists of this test, by name; all others are empty while it runs.' },
      ),
    ),
    steps: Type.Array(testStep, { minItems: 1, maxItems: 200 }),
    expect: Type.Array(
      Type.Object(
        {
          severity: Type.Optional(Type.Enum([...SEVERITIES])),
          status: Type.Optional(Type.Enum(['firing', 'resolved'])),
          key: Type.Optional(Type.String()),
          at: Type.Optional(Type.String({ description: 'Time after the begin of the test.' })),
          reason: Type.Optional(Type.String({ description: 'Text that the English reason must contain.' })),
        },
        closed,
      ),
      { description: 'Revisions of this rule in order; resolved ones only where one is named.' },
    ),
  },
  closed,
);

export const ruleSchema = Type.Object(
  {
    id: Type.String({
      pattern: '^(fraud|arrears|retention)\\.[a-z0-9]+(-[a-z0-9]+)*$',
      maxLength: 80,
      description: 'Stable name: desk and slug.',
    }),
    version: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: 'Goes up with every change; pinned in each alert.',
    }),
    catalogue: Type.String({ pattern: '^[A-Z][0-9]{2}$', description: 'Id in the catalogue of detections.' }),
    status: Type.Enum([...STATUSES], {
      description:
        'Maturity. An experimental rule is a draft: it runs beside the others, but its alerts go to no desk. One that is off does not run.',
    }),
    desk: Type.Enum([...DESKS]),
    title: localized('Short name of the detection.'),
    description: Type.Optional(localized('What is looked for and why it matters.')),
    fraudType: Type.Optional(
      Type.String({ maxLength: 40, description: 'How money is made (irsf, bypass_simbox, ...).' }),
    ),
    enabler: Type.Optional(
      Type.String({ maxLength: 40, description: 'How access was gained (subscription, cloning, ...).' }),
    ),
    key: Type.Enum([...KEY_TYPES], { description: 'The entity that the rule groups by.' }),
    on: Type.Optional(recordTypes),
    where: Type.Optional(expression('Records that the rule and its features look at.')),
    params: Type.Optional(params),
    features: Type.Optional(features),
    evaluateAt: Type.Optional(
      Type.Union([
        expression('Event time at which to look again.'),
        Type.Array(expression('Event time at which to look again.'), { minItems: 1, maxItems: 8 }),
      ]),
    ),
    evaluateEvery: Type.Optional(duration('Looks again this often in event time, also when nothing happens.')),
    bands: Type.Array(band, { minItems: 1, maxItems: 8, description: 'Rising: the last band that holds counts.' }),
    reason: localized('One sentence with the values; {name} is replaced, {threshold} is that of the reached band.'),
    suppress: Type.Object(
      {
        for: duration('An episode ends when this long has passed without the condition.'),
        by: Type.Optional(
          Type.Enum([...KEY_TYPES], { description: 'One alert for each of these, however many keys fire meanwhile.' }),
        ),
        missing: Type.Optional(
          Type.Enum(['fire', 'suppress'], {
            description: 'Where `by` is not known: an alert for each key (default), or one for all of them.',
          }),
        ),
        falls: Type.Optional(
          Type.Boolean({
            description:
              'The band of an open alert falls with the condition, so that a later rise is a new revision; default false: only a band that was never reached is.',
          }),
        ),
      },
      closed,
    ),
    inhibitedBy: Type.Optional(
      Type.Array(Type.String({ pattern: '^(fraud|arrears|retention)\\.[a-z0-9]+(-[a-z0-9]+)*$', maxLength: 80 }), {
        minItems: 1,
        maxItems: 20,
        uniqueItems: true,
        description: 'Ids of rules whose open alert for the same party says all that this one would.',
      }),
    ),
    scores: Type.Optional(
      Type.Array(Type.Enum(['served', 'other']), {
        maxItems: 2,
        uniqueItems: true,
        description: 'Whose score the alert adds to. Default: that of the party of its key.',
      }),
    ),
    groupBy: Type.Optional(
      Type.Enum([...KEY_TYPES], { description: 'What the desk sees together. Default: the account behind the alert.' }),
    ),
    suggestedActions: Type.Optional(actions('What to do, as slugs.')),
    falsePositives: Type.Optional(
      Type.Array(
        Type.Union([
          localized('A lawful reason for the same picture.'),
          text('The same in one language, as earlier rule files have it: it stands for both.'),
        ]),
        { maxItems: 20 },
      ),
    ),
    runbook: Type.Optional(localized('What to do, in order.')),
    tests: Type.Array(ruleTest, { minItems: 1, maxItems: 60 }),
  },
  { ...closed, title: 'Ringfence rule' },
);

export type Rule = Static<typeof ruleSchema>;

/** A text of one language stands for both. */
export const inBothLanguages = (note: string | LocalizedText): LocalizedText =>
  typeof note === 'string' ? { en: note, 'zh-CN': note } : note;

export type RuleFeature = Static<typeof feature>;
export type RuleBand = Static<typeof band>;
export type RuleTest = Static<typeof ruleTest>;
export type RuleTestStep = Static<typeof testStep>;

/** A rule with the way back from its parts to lines and columns of its file. */
export interface RuleSource {
  file: string;
  text: string;
  rule: Rule;
  /** The models that lie in the same folder of rules: of life cycle, value and churn (model.ts), of bad debt (debt.ts). */
  models?: readonly { file: string; text: string }[];
  positionOf: PositionOf;
}

const checker = Compile(ruleSchema);

/** Parses and checks the form of one rule file. Expressions are checked when the set is compiled. */
export function parseRule(file: string, content: string): { source: RuleSource } | { problems: RuleProblem[] } {
  const parsed = parseForm<Rule>(file, content, { checker, schema: ruleSchema as SchemaNode });
  if ('problems' in parsed) return parsed;
  return { source: { file, text: content, rule: parsed.value, positionOf: parsed.positionOf } };
}
