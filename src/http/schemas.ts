/**
 * Shapes of everything that crosses the HTTP and WebSocket border, written once: Fastify validates requests with
 * them, the OpenAPI and AsyncAPI documents are made of them, and the types of the handlers come from them.
 */
import { type Static, Type } from 'typebox';
import { ROLES, SCOPES } from '../access/grants.ts';
import { DESKS, SEVERITIES } from '../alerts/alert.ts';

/** The most alerts in one page, and how many where the caller does not say. */
export const ALERT_PAGE_MAX = 500;
export const ALERT_PAGE_DEFAULT = 50;
/** The most entries of the audit log in one page. */
const AUDIT_PAGE_MAX = 500;
/** Longest text of an identifier in a path or query. */
const ID_LENGTH_MAX = 128;

const desk = Type.Enum(DESKS, { type: 'string', description: 'The desk that works on the alert.' });
const severity = Type.Enum(SEVERITIES, { type: 'string' });
const alertStatus = Type.Enum(['firing', 'resolved'], { type: 'string' });
/** The last millisecond that a date can have; larger numbers would not survive a cursor. */
const EPOCH_MS_MAX = 8.64e15;
const epochMs = (description: string) =>
  Type.Integer({ minimum: 0, maximum: EPOCH_MS_MAX, description: `${description} Unix epoch milliseconds, UTC.` });
const localizedText = Type.Object({ en: Type.String(), 'zh-CN': Type.String() });
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
export const SUBSCRIBER_PATTERN = '^([0-9]{5,15}|s_[A-Za-z0-9_-]{40,80})$';
/** The subscriber's number as the main key spells it, or the reference that stands beside a masked one. */
const subscriber = Type.String({
  pattern: SUBSCRIBER_PATTERN,
  description: 'E.164 digits without +, or the `subscriberRef` that comes with a masked number.',
});
const ruleId = Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' });
/** A + that its sender did not encode arrives as a blank. */
export const INSTANT_PATTERN =
  '^([0-9]{1,15}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+ -][0-9]{2}:[0-9]{2}))$';
/** The handler turns both forms into a number. */
const instant = (description: string) =>
  Type.String({
    description: `${description} Unix epoch milliseconds, or RFC 3339 with an offset.`,
    pattern: INSTANT_PATTERN,
  });

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'A name for the kind of problem; `about:blank` where the status says it all.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
  },
  { $id: 'Problem', description: 'RFC 9457 problem details. Some problems carry members of their own.' },
);
export type Problem = Static<typeof ProblemSchema>;

export const AlertSchema = Type.Object(
  {
    alertId: Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX, description: 'Deterministic identity.' }),
    revision: Type.Integer({ minimum: 1 }),
    status: alertStatus,
    ruleId: Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX }),
    ruleVersion: Type.Integer(),
    catalogue: Type.String({ description: 'Id of the detection in the rule catalogue, e.g. F03.' }),
    desk,
    shadow: Type.Optional(
      Type.Literal(true, { description: 'The alert is one of a draft rule: it is in no list and on no desk.' }),
    ),
    severity,
    title: localizedText,
    key: Type.Object({ type: Type.String(), value: Type.String() }, { description: 'What the rule groups by.' }),
    group: Type.Optional(
      Type.Object(
        { type: Type.String(), value: Type.String() },
        { description: 'What a desk sees together: the account behind the alert, unless the rule says otherwise.' },
      ),
    ),
    servedMsisdn: Type.Optional(Type.String({ description: 'The subscriber, where there is one.' })),
    subscriberRef: Type.Optional(
      Type.String({ description: 'Names the subscriber for this interface where the number is masked.' }),
    ),
    eventTime: epochMs('Event time of the record or timer that made this revision.'),
    triggerRecordId: Type.String({
      description: 'recordId, `timer:<epoch ms>`, or `rules:<version>` where a change of the rules resolved it.',
    }),
    reason: localizedText,
    evidence: Type.Array(
      Type.Object({
        feature: Type.String(),
        window: Type.String(),
        value: Type.Union([Type.Number(), Type.String(), Type.Null()]),
        threshold: Type.Union([Type.Number(), Type.String(), Type.Null()]),
        unit: Type.String(),
      }),
    ),
    score: Type.Number({ description: '0-100.' }),
    fraudType: Type.Optional(Type.String()),
    enabler: Type.Optional(Type.String()),
    suggestedActions: Type.Array(Type.String()),
    value: Type.Optional(
      Type.Object({
        tier: Type.Optional(Type.String()),
        churnProbability: Type.Optional(Type.Number()),
        expectedSaveValue: Type.Optional(Type.Number()),
        exposure: Type.Optional(Type.Number()),
        badDebtProbability: Type.Optional(Type.Number()),
        expectedLoss: Type.Optional(Type.Number()),
        lifecycleStage: Type.Optional(Type.String()),
      }),
    ),
    observedSince: epochMs('Since when every feature of the rule has seen records of this key.'),
  },
  { $id: 'Alert' },
);

/** What must be there for an alert to be listed and pushed; the rest of a message is passed on as it is. */
export const ListedAlertSchema = Type.Pick(AlertSchema, [
  'alertId',
  'revision',
  'status',
  'ruleId',
  'desk',
  'severity',
  'servedMsisdn',
  'eventTime',
]);

export const AlertEventSchema = Type.Object(
  {
    specversion: Type.Literal('1.0'),
    id: Type.String({ description: 'alertId, a dot, revision.' }),
    type: Type.Literal('com.ringfence.alert.v1'),
    source: Type.String(),
    time: Type.String({ format: 'date-time' }),
    subject: Type.String(),
    datacontenttype: Type.Literal('application/json'),
    data: Type.Ref('Alert'),
  },
  { $id: 'AlertEvent', description: 'CloudEvents 1.0, structured JSON mode.' },
);

export const AlertsQuerySchema = Type.Object(
  {
    desk: Type.Optional(desk),
    severity: Type.Optional(severity),
    ruleId: Type.Optional(ruleId),
    status: Type.Optional(alertStatus),
    servedMsisdn: Type.Optional(subscriber),
    from: Type.Optional(instant('Earliest event time, inclusive.')),
    to: Type.Optional(instant('Latest event time, exclusive.')),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: ALERT_PAGE_MAX, default: ALERT_PAGE_DEFAULT })),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX, description: '`next` of the page before.' }),
    ),
  },
  { additionalProperties: false },
);
export type AlertsQuery = Static<typeof AlertsQuerySchema>;

export const AlertPageSchema = Type.Object(
  {
    alerts: Type.Array(Type.Ref('Alert')),
    next: nullable(Type.String()),
    seq: Type.Integer({
      description: 'Sequence in ALERTS that this page knows: `since` for the live alerts behind it.',
    }),
  },
  { $id: 'AlertPage', description: 'The latest revision of each alert, newest event time first.' },
);

export const LiveQuerySchema = Type.Object(
  {
    desk: Type.Optional(desk),
    severity: Type.Optional(severity),
    cases: Type.Optional(
      Type.Enum(['true', 'false'], { type: 'string', description: 'Changed cases as well, in frames of their own.' }),
    ),
    since: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,15}$',
        description: 'Sequence of the last alert seen: everything after it comes. 0: everything that is kept.',
      }),
    ),
    ticket: Type.Optional(
      Type.String({
        maxLength: ID_LENGTH_MAX,
        description:
          'Of `POST /v1/ws-ticket`, where somebody has to sign in; a key may come as a bearer token instead.',
      }),
    ),
  },
  { additionalProperties: false },
);

const seq = Type.Integer({ minimum: 0, description: 'Sequence in the ALERTS stream.' });
export const HelloFrameSchema = Type.Object({ kind: Type.Literal('hello'), seq }, { $id: 'HelloFrame' });
export const AlertFrameSchema = Type.Object(
  { kind: Type.Literal('alert'), seq, alert: Type.Ref('Alert') },
  { $id: 'AlertFrame' },
);
export const ResyncFrameSchema = Type.Object({ kind: Type.Literal('resync'), seq }, { $id: 'ResyncFrame' });

export const UsageResultSchema = Type.Object(
  {
    accepted: Type.Integer({ minimum: 0, description: 'Records that the broker has acknowledged.' }),
    rejected: Type.Integer({ minimum: 0, description: 'Records that went to the dead-letter stream.' }),
    errors: Type.Array(
      Type.Object({
        index: Type.Integer({
          description: 'Place of the record in the body, from 0; blank lines of NDJSON do not count.',
        }),
        recordId: Type.String({ description: 'Empty where it is not known.' }),
        field: Type.String({ description: 'Empty where it is not one field.' }),
        reason: Type.String({ description: 'malformed, schema, unknownType, future or tooLarge.' }),
        detail: Type.String(),
      }),
    ),
  },
  { $id: 'UsageResult' },
);
export type UsageResult = Static<typeof UsageResultSchema>;

/** Letters in one page, at most and where the caller does not say. */
export const DEAD_LETTER_PAGE_MAX = 500;
export const DEAD_LETTER_PAGE_DEFAULT = 50;
const REJECTION_REASONS = ['malformed', 'schema', 'unknownType', 'future', 'tooLarge'];
const letterSequence = '^[1-9][0-9]{0,14}$';

export const DeadLettersQuerySchema = Type.Object(
  {
    reason: Type.Optional(Type.Enum(REJECTION_REASONS, { type: 'string' })),
    subject: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        description: 'Subject that it came on, with the wildcards of NATS; `http` where it came over HTTP.',
      }),
    ),
    from: Type.Optional(instant('Earliest time of storing, inclusive.')),
    to: Type.Optional(instant('Latest time of storing, exclusive.')),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: DEAD_LETTER_PAGE_MAX, default: DEAD_LETTER_PAGE_DEFAULT }),
    ),
    cursor: Type.Optional(Type.String({ pattern: letterSequence, description: '`next` of the page before.' })),
  },
  { additionalProperties: false },
);
export type DeadLettersQuery = Static<typeof DeadLettersQuerySchema>;
export const DeadLetterParamsSchema = Type.Object({ seq: Type.String({ pattern: letterSequence }) });

const letterReplay = {
  at: epochMs('When it was replayed.'),
  corrected: Type.Boolean({ description: 'Whether another body was sent than the one of the letter.' }),
  records: Type.Integer({ minimum: 1 }),
  by: nullable(Type.String({ description: 'Who asked for it.' })),
  messages: Type.Array(Type.Object({ subject: Type.String(), seq: Type.Integer() }), {
    description: 'Where the records went in the usage stream.',
  }),
};
const deadLetterHead = {
  seq: Type.Integer({ minimum: 1, description: 'Sequence in the DEADLETTER stream: the name of the letter.' }),
  storedAt: epochMs('When the broker stored it.'),
  reason: Type.String({ description: 'malformed, schema, unknownType, future or tooLarge.' }),
  field: Type.String({ description: 'Empty where it is not one field.' }),
  sourceSubject: Type.String({ description: 'Subject that it came on, or `http`.' }),
  sourceSeq: nullable(Type.Integer({ description: 'Sequence of its message in the usage stream.' })),
  bytes: Type.Integer({ minimum: 0 }),
  truncatedBytes: Type.Integer({
    minimum: 0,
    description: 'Bytes that were cut off; a replay then needs a whole body.',
  }),
  replay: nullable(Type.Object(letterReplay)),
};
export const DeadLetterHeadSchema = Type.Object(deadLetterHead, { $id: 'DeadLetterHead' });
export type DeadLetterHeadView = Static<typeof DeadLetterHeadSchema>;
export const DeadLetterPageSchema = Type.Object(
  { deadLetters: Type.Array(Type.Ref('DeadLetterHead')), next: nullable(Type.String()) },
  { $id: 'DeadLetterPage', description: 'Newest first. A page may be short though there is a next one.' },
);
const letterError = Type.Object({
  index: Type.Integer({ description: 'Place of the record in the body, from 0.' }),
  recordId: Type.String(),
  field: Type.String(),
  reason: Type.String(),
  detail: Type.String(),
});
export const DeadLetterSchema = Type.Object(
  {
    ...deadLetterHead,
    headers: Type.Record(Type.String(), Type.String()),
    body: Type.Object({
      text: nullable(Type.String({ description: 'Null where the bytes are not UTF-8.' })),
      base64: Type.String(),
    }),
    errors: Type.Array(letterError, { description: 'What would be wrong with it if it were replayed as it is now.' }),
  },
  { $id: 'DeadLetter' },
);
export type DeadLetterView = Static<typeof DeadLetterSchema>;
export const DeadLetterReplaySchema = Type.Object(
  {
    duplicate: Type.Boolean({ description: 'It had been replayed before, and nothing was sent.' }),
    ...letterReplay,
  },
  { $id: 'DeadLetterReplay' },
);
export type DeadLetterReplayView = Static<typeof DeadLetterReplaySchema>;

const contribution = Type.Object({ name: Type.String(), value: Type.Number() });
export const SubscriberSchema = Type.Object(
  {
    servedMsisdn: Type.String(),
    subscriberRef: Type.Optional(Type.String({ description: 'Where the number is masked.' })),
    firstSeenAt: epochMs('First record.'),
    lastSeenAt: epochMs('Newest record.'),
    features: Type.Array(
      Type.Object({
        feature: Type.String(),
        ruleIds: Type.Array(Type.String()),
        keyType: Type.String(),
        keyValue: Type.String(),
        window: Type.String(),
        unit: Type.String(),
        value: Type.Union([Type.Number(), Type.String(), Type.Null()]),
        panes: Type.Optional(Type.Array(Type.Object({ startAt: Type.Integer(), value: Type.Number() }))),
        paneSec: Type.Optional(Type.Number()),
      }),
    ),
    ledger: nullable(
      Type.Object({
        openInvoices: Type.Array(
          Type.Object({ invoiceId: Type.String(), dueAt: Type.Integer(), remaining: Type.Number() }),
        ),
        unpaid: Type.Number(),
        overdue: Type.Number(),
        ageing: Type.Object({
          current: Type.Number(),
          days1To30: Type.Number(),
          days31To60: Type.Number(),
          days61To90: Type.Number(),
          daysOver90: Type.Number(),
        }),
        openDisputes: Type.Integer(),
        promise: nullable(Type.Object({ until: Type.Integer(), amount: nullable(Type.Number()), paid: Type.Number() })),
        daysPastDue: Type.Number(),
        bucket: Type.Enum(['current', '1-30', '31-60', '61-90', '90+'], { type: 'string' }),
        unbilled: Type.Number(),
        creditLimit: nullable(Type.Number()),
        exposureRatio: nullable(Type.Number()),
        expectedLoss: nullable(Type.Number()),
      }),
    ),
    balance: nullable(Type.Number()),
    lifecycleStage: nullable(Type.String()),
    value: nullable(Type.Unsafe<object>({ type: 'object' })),
    scores: Type.Array(
      Type.Object({ name: Type.String(), value: Type.Number(), contributions: Type.Array(contribution) }),
    ),
    openAlerts: Type.Array(
      Type.Object({
        alertId: Type.String(),
        ruleId: Type.String(),
        severity: Type.String(),
        desk: Type.String(),
        since: Type.Integer(),
      }),
    ),
  },
  { $id: 'Subscriber' },
);
export type SubscriberView = Static<typeof SubscriberSchema>;

export const SubscriberParamsSchema = Type.Object({ msisdn: subscriber });

export const RuleParamsSchema = Type.Object({ id: ruleId });

const ruleSummary = {
  id: Type.String(),
  version: Type.Integer(),
  catalogue: Type.String(),
  desk,
  status: Type.String({ description: 'Maturity, as the rule file states it.' }),
  shadow: Type.Boolean({ description: 'A draft (status `experimental`): it runs, but its alerts go to no desk.' }),
  key: Type.String({ description: 'What the rule groups by.' }),
  title: localizedText,
  features: Type.Array(
    Type.Object({
      name: Type.String(),
      window: Type.String({ description: 'As the rule writes it; empty where it has none.' }),
      since: epochMs('Event time since which it has seen every record; 0: from the first one on.'),
    }),
    { description: 'What the rule keeps of the records.' },
  ),
  featureTitles: Type.Record(Type.String(), localizedText, {
    description: 'What people read in place of the names in its evidence, by name.',
  }),
};
export const RuleSummarySchema = Type.Object(ruleSummary, { $id: 'RuleSummary' });
export type RuleSummary = Static<typeof RuleSummarySchema>;

export const RuleDetailSchema = Type.Object(
  {
    ...ruleSummary,
    description: nullable(localizedText),
    falsePositives: Type.Array(localizedText, { description: 'Lawful reasons for the same picture.' }),
    runbook: nullable(localizedText),
    text: Type.String({ description: 'The rule file, YAML.' }),
  },
  { $id: 'RuleDetail' },
);
export type RuleDetail = Static<typeof RuleDetailSchema>;

export const RuleListSchema = Type.Object({ rules: Type.Array(Type.Ref('RuleSummary')) }, { $id: 'RuleList' });

export const RuleFindingSchema = Type.Object(
  {
    file: Type.String(),
    line: Type.Integer({ description: 'From 1.' }),
    column: Type.Integer({ description: 'From 1.' }),
    message: Type.String(),
  },
  { $id: 'RuleFinding' },
);
export type RuleFinding = Static<typeof RuleFindingSchema>;

export const RuleCheckSchema = Type.Object(
  { ok: Type.Boolean(), errors: Type.Array(Type.Ref('RuleFinding')) },
  { $id: 'RuleCheck' },
);

export const OperationsSchema = Type.Object(
  {
    atMs: epochMs('When this was read.'),
    records: Type.Object({
      applied: Type.Integer(),
      duplicate: Type.Integer(),
      late: Type.Integer(),
      rejected: Type.Integer(),
    }),
    alertsTotal: Type.Integer(),
    lagMessages: Type.Integer(),
    watermarkLagSec: nullable(Type.Number()),
    eventToAlertMs: nullable(Type.Object({ p50: Type.Number(), p99: Type.Number(), max: Type.Number() })),
    subscribersResident: Type.Integer(),
    stateBytes: Type.Integer(),
    checkpoint: Type.Object({ lastSuccessAt: nullable(Type.Integer()), durationSec: nullable(Type.Number()) }),
    wsClients: Type.Integer(),
    inFlightAlerts: Type.Integer(),
    ready: Type.Boolean(),
    natsConnected: Type.Boolean(),
    rules: Type.Object({
      version: Type.String(),
      count: Type.Integer(),
      catalogueCount: Type.Integer({ description: 'Different catalogue numbers among them.' }),
    }),
    uptimeSec: Type.Number(),
  },
  { $id: 'Operations', description: 'Totals since the process started; rates are differences between two of these.' },
);
export type OperationsView = Static<typeof OperationsSchema>;

export const AlertParamsSchema = Type.Object({
  alertId: Type.String({ minLength: 1, maxLength: ID_LENGTH_MAX, pattern: '^[A-Za-z0-9._-]+$' }),
});

/** Longest reason that a person gives for something that is written down. */
const REASON_LENGTH_MAX = 500;
export const RevealSchema = Type.Object(
  {
    reason: Type.String({
      minLength: 3,
      maxLength: REASON_LENGTH_MAX,
      description: 'Why; it goes into the audit log.',
    }),
  },
  { $id: 'Reveal', additionalProperties: false },
);
export const RevealedSubscriberSchema = Type.Object({ servedMsisdn: Type.String() }, { $id: 'RevealedSubscriber' });

const userName = Type.String({ minLength: 1, maxLength: 64 });
const password = Type.String({ minLength: 1, maxLength: 256 });
export const SignInSchema = Type.Object({ name: userName, password }, { $id: 'SignIn', additionalProperties: false });
export const PasswordChangeSchema = Type.Object(
  { current: password, next: password },
  { $id: 'PasswordChange', additionalProperties: false },
);
export const SessionSchema = Type.Object(
  {
    signIn: Type.Enum(['open', 'required'], { type: 'string', description: '`open`: nobody has to sign in here.' }),
    person: nullable(
      Type.Object({
        kind: Type.Enum(['user', 'key'], { type: 'string' }),
        name: Type.String(),
        roles: Type.Array(Type.Enum([...ROLES], { type: 'string' })),
        scopes: Type.Array(Type.Enum([...SCOPES], { type: 'string' })),
        desks: Type.Array(desk),
        numbers: Type.Enum(['full', 'masked', 'own'], { type: 'string', description: 'How much of numbers is shown.' }),
        mustChangePassword: Type.Boolean(),
        expiresAt: epochMs('When the session ends if it is not used.'),
      }),
    ),
    may: Type.Array(Type.String(), {
      description: 'Operations of this interface that are allowed, by their operationId.',
    }),
    providers: Type.Object({
      password: Type.Boolean({ description: 'There are local users.' }),
      oidc: nullable(Type.String({ description: 'Name of the identity provider.' })),
    }),
    timeZone: Type.String({
      description: "IANA name of the operator's time zone: that of shifts, and of times in reasons.",
    }),
  },
  { $id: 'Session' },
);
export type SessionView = Static<typeof SessionSchema>;

export const TicketSchema = Type.Object(
  { ticket: Type.String(), expiresAt: epochMs('It holds once, and until then.') },
  { $id: 'Ticket' },
);

export const AuditQuerySchema = Type.Object(
  {
    before: Type.Optional(Type.Integer({ minimum: 1, description: '`next` of the page before.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: AUDIT_PAGE_MAX })),
  },
  { additionalProperties: false },
);
export type AuditQuery = Static<typeof AuditQuerySchema>;
export const AuditPageSchema = Type.Object(
  {
    entries: Type.Array(
      Type.Object({
        seq: Type.Integer(),
        hash: Type.String({ description: 'SHA-256 of the hash before, the sequence and the entry.' }),
        at: Type.String({ format: 'date-time' }),
        who: Type.Object({ kind: Type.String(), id: Type.String() }),
        action: Type.String({ description: 'An operation of this interface, or of the command line.' }),
        object: Type.Record(Type.String(), Type.String()),
        result: Type.Enum(['done', 'failed', 'denied'], { type: 'string' }),
        status: Type.Optional(Type.Integer()),
        ip: Type.Optional(Type.String()),
        requestId: Type.Optional(Type.String()),
        reason: Type.Optional(Type.String()),
        before: Type.Optional(Type.Unknown()),
        after: Type.Optional(Type.Unknown()),
        more: Type.Optional(Type.Integer({ description: 'How many more of the same were not written one by one.' })),
      }),
    ),
    next: nullable(Type.Integer()),
  },
  { $id: 'AuditPage' },
);
export type AuditPageView = Static<typeof AuditPageSchema>;
