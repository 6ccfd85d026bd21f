/**
 * Usage records behind what a desk looks at: those of a subscriber, and those that an alert is about, as a list and as CSV.
 * Nothing is kept for it; the usage stream is searched (evidence/record-search.ts), and an answer that does not hold all of
 * the time says so and where to go on.
 *
 * Numbers are masked by role as everywhere. Where a subscriber was, with which card and handset, and over which trunk is for
 * the fraud desk: the others are shown usage and money. A file leaves the house, so it is for analysts and leads alone, holds
 * nothing that the list would not show them, and is written down.
 */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { maskNumbers, type NumberRefs } from '../access/numbers.ts';
import { maySeeDesk } from '../access/table.ts';
import { type AlertData, type AlertEvent, alertSubject } from '../alerts/alert.ts';
import type { WantedRecords } from '../evidence/record-match.ts';
import {
  FOUND_RECORDS_MAX,
  isSearchCursor,
  readMessages,
  SearchInterrupted,
  type SearchResult,
} from '../evidence/record-search.ts';
import { type UsageRecordView, UsageRecordViewSchema } from '../evidence/record-view.ts';
import type { RecordQuestion, RecordSearch } from '../evidence/search-thread.ts';
import { RECORD_TYPES } from '../record/usage-record.ts';
import { parseDuration } from '../rules/expression.ts';
import { isNoAnswer } from '../source/connection.ts';
import { ALERTS_STREAM, partitionOf } from '../source/streams.ts';
import { assertRate, numberOf } from './access.ts';
import type { AlertIndex } from './alert-index.ts';
import { natsAway, ProblemError, RETRY_AFTER_SEC } from './problem.ts';
import { recordsCsv } from './records-csv.ts';
import { spanOf } from './request.ts';
import { json, type RouteDescription, type Routes } from './route.ts';
import type { RulesAccess } from './rules.ts';
import { AlertParamsSchema, AlertsQuerySchema, SubscriberParamsSchema } from './schemas.ts';

const RECORD_PAGE_DEFAULT = 500;
/** Searches a minute of one person or key: each may read a good part of the stream. */
const SEARCHES_PER_MINUTE_MAX = 60;
/** Files an hour of one person: a tool of work, and no way to copy the stream. */
const EXPORTS_PER_HOUR_MAX = 60;
/** Searches behind one file. */
const EXPORT_SEARCHES_MAX = 4;
const HOUR_MS = 3_600_000;
/** Where the evidence names no window: an alert of a timer, or on a single record. */
const WINDOW_DEFAULT_MS = 24 * HOUR_MS;
/** Longer than records are kept where nobody says otherwise. */
const WINDOW_LONGEST_MS = 35 * 24 * HOUR_MS;
/** What made an alert fire was stored before it; this is for clocks of brokers that differ. */
const STORED_SLACK_MS = 60_000;
/** The last millisecond that a date can have. */
const EVENT_TIME_MAX = 8.64e15;

const filterProperties = {
  from: Type.Optional(AlertsQuerySchema.properties.from),
  to: Type.Optional(AlertsQuerySchema.properties.to),
  recordType: Type.Optional(Type.Enum([...RECORD_TYPES], { type: 'string' })),
  direction: Type.Optional(Type.Enum(['mo', 'mt', 'forwarded'], { type: 'string' })),
  other: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 32,
      description:
        'The other number contains this, as the caller sees it: who sees masked numbers asks for masked ones.',
    }),
  ),
};
const RecordsQuerySchema = Type.Object(
  {
    ...filterProperties,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: FOUND_RECORDS_MAX, default: RECORD_PAGE_DEFAULT })),
    cursor: Type.Optional(
      Type.String({ minLength: 3, maxLength: 1_000, description: '`next` of the search before: goes on from there.' }),
    ),
  },
  { additionalProperties: false },
);
type RecordsQuery = Static<typeof RecordsQuerySchema>;

const ExportQuerySchema = Type.Object(
  {
    ...filterProperties,
    timeZone: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9+_/-]{1,64}$',
        description: 'IANA name of the zone that times are written in, e.g. Asia/Shanghai; UTC where there is none.',
      }),
    ),
  },
  { additionalProperties: false },
);
type ExportQuery = Static<typeof ExportQuerySchema>;

export const RecordPageSchema = Type.Object(
  {
    records: Type.Array(Type.Ref('UsageRecordView')),
    from: Type.Integer({ description: 'Event time from which records were looked for, epoch ms; 0: from the first.' }),
    to: Type.Integer({ description: 'Event time before which they were looked for, epoch ms.' }),
    truncated: Type.Boolean({ description: 'Not all of that time was seen: `next` goes on.' }),
    next: Type.Union([Type.String(), Type.Null()]),
    searchedTo: Type.Union([Type.Integer(), Type.Null()], {
      description:
        'Everything that was stored after this was seen, epoch ms; null where that cannot be said, or all was.',
    }),
  },
  { $id: 'RecordPage', description: 'Usage records, newest event time first.' },
);
type RecordPage = Static<typeof RecordPageSchema>;

export { UsageRecordViewSchema };

export interface RecordRoutesOptions {
  records: RecordSearch;
  partitions: number;
  index: AlertIndex;
  js: JetStreamClient;
  jsm: JetStreamManager;
  rules: RulesAccess;
  refs: NumberRefs;
  listable: Promise<unknown>;
  natsConnected(): boolean;
}

/** Which records, without what the query says. */
type Subject = Pick<RecordQuestion, 'partitions' | 'storedBefore' | 'ruleText'> & {
  wanted: Pick<WantedRecords, 'key' | 'servedMsisdn' | 'triggerRecordId' | 'from' | 'to'>;
};

export function addRecordRoutes(app: FastifyInstance, routes: Routes, options: RecordRoutesOptions): void {
  const { records, partitions, index, js, jsm, rules, refs, listable, natsConnected } = options;
  const searchLimit = app.createRateLimit({
    max: SEARCHES_PER_MINUTE_MAX,
    timeWindow: 60_000,
    keyGenerator: (request) => `records ${request.principal.kind} ${request.principal.id}`,
  });
  const exportLimit = app.createRateLimit({
    max: EXPORTS_PER_HOUR_MAX,
    timeWindow: HOUR_MS,
    keyGenerator: (request) => `record files ${request.principal.id}`,
  });
  const allPartitions = Array.from({ length: partitions }, (_, partition) => partition);
  const partitionsOf = (msisdn: string | undefined): number[] =>
    msisdn === undefined || msisdn === '' ? allPartitions : [partitionOf(msisdn, partitions)];

  const subscriberSubject = (request: FastifyRequest, msisdn: string): Subject => {
    const value = numberOf(request, msisdn, refs);
    const wanted = { key: { type: 'subscriber', value }, servedMsisdn: value, from: 0, to: EVENT_TIME_MAX };
    return { wanted, partitions: partitionsOf(value) };
  };

  /** The revision that fired last, and when it was stored; of a resolved alert it is not the newest one. */
  const lastFiring = async (alert: AlertData): Promise<{ alert: AlertData; storedAt: number | undefined }> => {
    let found: { alert: AlertData; storedAt: number | undefined } = { alert, storedAt: undefined };
    const span = { stream: ALERTS_STREAM, begin: 1, end: index.lastSequence() + 1, subject: alertSubject(alert) };
    await readMessages({ js, jsm }, span, (message) => {
      const { data } = JSON.parse(Buffer.from(message.data).toString()) as AlertEvent;
      if (data.status === 'firing') found = { alert: data, storedAt: message.time.getTime() };
    });
    return found;
  };

  const alertSubjectOf = async (request: FastifyRequest, alertId: string): Promise<Subject> => {
    await listable;
    const text = index.get(alertId);
    const listed = text === undefined ? undefined : (JSON.parse(text) as AlertData);
    // That it is on another desk is nobody else's business.
    if (listed === undefined || !maySeeDesk(request.principal, listed.desk)) {
      throw new ProblemError(404, 'There is no alert of this id.');
    }
    const { alert, storedAt } = await lastFiring(listed);
    const { key, servedMsisdn, eventTime, triggerRecordId } = alert;
    return {
      wanted: { key, servedMsisdn, triggerRecordId, from: Math.max(0, eventTime - windowMs(alert)), to: eventTime + 1 },
      partitions: partitionsOf(servedMsisdn),
      storedBefore: storedAt === undefined ? undefined : storedAt + STORED_SLACK_MS,
      ruleText: rules.get(alert.ruleId)?.text,
    };
  };

  const asked = async (
    request: FastifyRequest,
    subject: Subject,
    query: ExportQuery & { cursor?: string | undefined },
    limit: number,
  ): Promise<SearchResult> => {
    const { from, to } = narrowed(subject, query);
    const { recordType, direction, cursor } = query;
    if (cursor !== undefined && !isSearchCursor(cursor)) {
      throw new ProblemError(400, 'cursor must be the `next` of an earlier answer.');
    }
    const answer = await records.search({
      ...subject,
      wanted: {
        ...subject.wanted,
        from,
        to,
        direction,
        ...(recordType !== undefined && { recordTypes: [recordType] }),
      },
      limit,
      cursor,
    });
    const retry = { headers: { 'Retry-After': RETRY_AFTER_SEC } };
    if (answer.kind === 'busy') throw new ProblemError(503, 'As many searches as allowed are waiting.', retry);
    if (answer.kind === 'away')
      throw new ProblemError(503, 'NATS did not answer; nothing was found or changed.', retry);
    return { ...answer.result, records: shownTo(request, answer.result.records, query.other, refs) };
  };

  const page = async (request: FastifyRequest, find: () => Promise<Subject> | Subject, query: RecordsQuery) => {
    await assertRate(searchLimit, request);
    if (!natsConnected()) throw natsAway();
    const subject = await answering(find);
    const { limit = RECORD_PAGE_DEFAULT } = query;
    const { records: found, next, searchedTo } = await asked(request, subject, query, limit);
    const { from, to } = narrowed(subject, query);
    return { records: found, from, to, truncated: next !== null, next, searchedTo } satisfies RecordPage;
  };

  /** As much as some searches find, as a file; what it is about is written down. */
  const file = async (request: FastifyRequest, find: () => Promise<Subject> | Subject, query: ExportQuery) => {
    await assertRate(exportLimit, request);
    const { timeZone = 'UTC' } = query;
    if (!isZone(timeZone)) throw new ProblemError(400, `There is no time zone ${timeZone}.`);
    if (!natsConnected()) throw natsAway();
    const subject = await answering(find);
    const found: UsageRecordView[] = [];
    let cursor: string | undefined;
    for (let searches = 0; searches < EXPORT_SEARCHES_MAX; searches++) {
      const { records: some, next } = await asked(request, subject, { ...query, cursor }, FOUND_RECORDS_MAX);
      found.push(...some);
      cursor = next ?? undefined;
      if (cursor === undefined) break;
    }
    const { key, servedMsisdn } = subject.wanted;
    const { timeZone: _, ...filters } = query;
    request.trace.object = {
      ...(servedMsisdn !== undefined && { subscriber: refs.refOf(servedMsisdn) }),
      ...(key.type !== 'subscriber' && { key: key.type }),
      records: String(found.length),
      ...filters,
    };
    // What may be seen of the numbers was decided cell by cell: amounts of many digits are no numbers of subscribers.
    request.numbersRevealed = true;
    return { text: recordsCsv(found, timeZone), truncated: cursor !== undefined };
  };

  const list = (id: 'listSubscriberRecords' | 'listAlertRecords', rest: Partial<RouteDescription>) =>
    ({
      method: 'GET',
      id,
      query: RecordsQuerySchema,
      answers: { 200: { description: 'What one search has found.', content: json('RecordPage') } },
      problems: [400, 404, 503],
      ...rest,
    }) as RouteDescription;
  const csv = (id: 'exportSubscriberRecords' | 'exportAlertRecords', rest: Partial<RouteDescription>) =>
    ({
      method: 'GET',
      id,
      query: ExportQuerySchema,
      description: 'The header `Ringfence-Truncated` is true where not all of the time was seen.',
      answers: {
        200: {
          description: 'One line a record, times in the zone that was asked for.',
          content: { 'text/csv': { type: 'string' } },
          headers: ['Ringfence-Truncated'],
        },
      },
      problems: [400, 404, 503],
      ...rest,
    }) as RouteDescription;

  routes.add<RecordsQuery, { msisdn: string }>(
    list('listSubscriberRecords', {
      url: '/v1/subscribers/:msisdn/records',
      summary: 'Usage records of a subscriber, newest first.',
      description:
        'The usage stream is searched backwards. Where a search has had its share, `next` goes on from there.',
      params: SubscriberParamsSchema,
    }),
    (request) => page(request, () => subscriberSubject(request, request.params.msisdn), request.query),
  );
  routes.add<RecordsQuery, { alertId: string }>(
    list('listAlertRecords', {
      url: '/v1/alerts/:alertId/records',
      summary: 'Usage records that an alert is about: of its key, within the longest window of its evidence.',
      params: AlertParamsSchema,
    }),
    (request) => page(request, () => alertSubjectOf(request, request.params.alertId), request.query),
  );
  const answerFile = async (
    reply: { header(name: string, value: string): unknown; type(type: string): { send(text: string): unknown } },
    made: Promise<{ text: string; truncated: boolean }>,
  ) => {
    const { text, truncated } = await made;
    reply.header('Ringfence-Truncated', String(truncated));
    reply.header('Content-Disposition', 'attachment; filename="usage-records.csv"');
    return reply.type('text/csv; charset=utf-8').send(text);
  };
  routes.add<ExportQuery, { msisdn: string }>(
    csv('exportSubscriberRecords', {
      url: '/v1/subscribers/:msisdn/records.csv',
      summary: 'Usage records of a subscriber as CSV; written down.',
      params: SubscriberParamsSchema,
    }),
    (request, reply) =>
      answerFile(
        reply,
        file(request, () => subscriberSubject(request, request.params.msisdn), request.query),
      ),
  );
  routes.add<ExportQuery, { alertId: string }>(
    csv('exportAlertRecords', {
      url: '/v1/alerts/:alertId/records.csv',
      summary: 'Usage records that an alert is about as CSV; written down.',
      params: AlertParamsSchema,
    }),
    (request, reply) =>
      answerFile(
        reply,
        file(request, () => alertSubjectOf(request, request.params.alertId), request.query),
      ),
  );
}

/** The longest window of the evidence: within it everything happened that the values were made of. */
function windowMs({ evidence }: AlertData): number {
  const lengths = evidence.map(({ window }) => parseDuration(window) ?? 0);
  const longest = Math.max(0, ...lengths);
  return Math.min(WINDOW_LONGEST_MS, longest === 0 ? WINDOW_DEFAULT_MS : longest);
}

/** Event times that are looked at: those of the subject, narrowed by the query. */
function narrowed({ wanted }: Subject, query: { from?: string; to?: string }): { from: number; to: number } {
  const { from = 0, to = EVENT_TIME_MAX } = spanOf(query);
  return { from: Math.max(wanted.from, from), to: Math.min(wanted.to, to) };
}

const FRAUD_ONLY = ['cellId', 'servedImsi', 'servedImei', 'trunkId', 'carrierId'] as const;

/** Records as the caller may see them; whoever sees masked numbers filters by masked ones, or could find the others out. */
function shownTo(
  { principal }: FastifyRequest,
  found: readonly UsageRecordView[],
  other: string | undefined,
  refs: NumberRefs,
): UsageRecordView[] {
  const seesPlaces = maySeeDesk(principal, 'fraud');
  const own = found.map((record) => {
    if (seesPlaces) return record;
    const rest: Partial<UsageRecordView> = { ...record };
    for (const name of FRAUD_ONLY) delete rest[name];
    return rest as UsageRecordView;
  });
  const masked = maskNumbers(own, principal.numbers, refs);
  return other === undefined ? masked : masked.filter(({ otherNumber }) => otherNumber?.includes(other) === true);
}

function isZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    return false;
  }
}

async function answering<T>(question: () => Promise<T> | T): Promise<T> {
  try {
    return await question();
  } catch (error) {
    if (isNoAnswer(error) || error instanceof SearchInterrupted) throw natsAway();
    throw error;
  }
}
