/**
 * Cases over HTTP: the queue, one case, work on it, the next one to take, bulk actions with undo, and what outcomes say of the
 * rules. Every change is one event; the answer is the case as it is with it.
 */
import type { FastifyRequest } from 'fastify';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { NumberRefs } from '../access/numbers.ts';
import { maySeeDesk, type Principal } from '../access/table.ts';
import { DESKS, type Desk } from '../alerts/alert.ts';
import { BULK_CASES_MAX, type BulkResult, type Posted } from '../cases/case-desk.ts';
import { type CaseEventInput, CaseEventInputSchema } from '../cases/case-event.ts';
import { type CaseFilter, caseCursorOf, casePositionOf } from '../cases/case-list.ts';
import type { CaseProjection } from '../cases/case-projection.ts';
import { labelFile, readFeedback } from '../cases/feedback.ts';
import { assertDesk, numberOf } from './access.ts';
import {
  BulkParamsSchema,
  BulkSchema,
  BulkUndoSchema,
  CASE_PAGE_DEFAULT,
  type CaseGroupsQuery,
  CaseGroupsQuerySchema,
  CaseParamsSchema,
  type CasesQuery,
  CasesQuerySchema,
  DeskQuerySchema,
  type FeedbackQuery,
  FeedbackQuerySchema,
  type SnoozePreviewQuery,
  SnoozePreviewQuerySchema,
  TakeNextSchema,
} from './case-schemas.ts';
import type { ListsAccess } from './lists.ts';
import { answered, natsAway, ProblemError } from './problem.ts';
import { assertSpan, jsonReader, sentenceOf } from './request.ts';
import { json, type Routes } from './route.ts';

/** Who acts where nobody has signed in and the request names nobody. */
const NOBODY = 'anonymous';

/** An event that comes twice under one id counts once. */
const SEND_AGAIN = 'send it again with the same id.';

export function addCaseRoutes(
  routes: Routes,
  options: {
    cases: CaseProjection;
    refs: NumberRefs;
    /** Resolves when a list may be made: the projection has caught up, or has had its time. */
    listable: Promise<unknown>;
    natsConnected(): boolean;
    addListEntry: ListsAccess['add'];
  },
): void {
  const { cases, refs, listable, natsConnected, addListEntry } = options;
  const { list, desk: caseDesk, tables } = cases;

  /** That a case is on another desk is nobody else's business. */
  const caseOr404 = (request: FastifyRequest, caseId: string) => {
    const found = list.detail(caseId, Date.now());
    if (found === undefined || !maySeeDesk(request.principal, found.desk))
      throw new ProblemError(404, 'There is no case of this id.');
    return found;
  };

  const posted = (request: FastifyRequest, caseId: string, result: Posted) => {
    switch (result.kind) {
      case 'done':
        return caseOr404(request, caseId);
      case 'unknown':
        throw new ProblemError(404, 'There is no case of this id.');
      case 'conflict':
        throw new ProblemError(409, 'Somebody else changed this case first; nothing was changed.', {
          members: { code: 'conflict', case: caseOr404(request, caseId) },
        });
      case 'refused':
        throw new ProblemError(409, `${REFUSALS[result.refusal]} Nothing was changed.`, {
          members: { code: result.refusal, case: caseOr404(request, caseId) },
        });
    }
  };

  routes.add<CasesQuery>(
    {
      method: 'GET',
      url: '/v1/cases',
      id: 'listCases',
      summary: 'Cases, by default what is due first.',
      description:
        'A case gathers the alerts of one account, subscriber or other key on one desk, and opens by itself with the first ' +
        'one. A case that was merged into another one is seen there.',
      query: CasesQuerySchema,
      answers: { 200: { description: 'A page.', content: json('CasePage') } },
      problems: [400],
    },
    async (request) => {
      const { order = 'due', limit = CASE_PAGE_DEFAULT, cursor, ...asked } = request.query;
      assertDesk(request, asked.desk);
      assertSpan(asked);
      const filter = filterOf(request, asked, refs);
      const after = cursor === undefined ? undefined : casePositionOf(cursor);
      if (cursor !== undefined && after === undefined) {
        throw new ProblemError(400, 'cursor must be the `next` of an earlier page.');
      }
      await listable;
      const page = list.page(filter, { order, limit, after, now: Date.now() });
      return { ...page, next: page.next === null ? null : caseCursorOf(page.next) };
    },
  );

  routes.add<CaseGroupsQuery>(
    {
      method: 'GET',
      url: '/v1/cases/groups',
      id: 'groupCases',
      summary: 'Cases gathered by rule, severity, subscriber, status, assignee or lane.',
      description:
        'Takes the filters of the list. Each group says how many cases it has and the filter that finds them; a case of several ' +
        'rules or subscribers is in the group of each.',
      query: CaseGroupsQuerySchema,
      answers: { 200: { description: 'Groups.', content: json('CaseGroups') } },
      problems: [400],
    },
    async (request) => {
      const { by, ...asked } = request.query;
      assertDesk(request, asked.desk);
      assertSpan(asked);
      const filter = filterOf(request, asked, refs);
      await listable;
      return list.groups(filter, { by, now: Date.now() });
    },
  );

  routes.add<unknown, { id: string }>(
    {
      method: 'GET',
      url: '/v1/cases/:id',
      id: 'getCase',
      summary: 'One case with its alerts and its timeline.',
      params: CaseParamsSchema,
      answers: { 200: { description: 'The case.', content: json('CaseDetail') } },
      problems: [400, 404],
    },
    async (request) => {
      await listable;
      return caseOr404(request, request.params.id);
    },
  );

  const readEvent = eventReader<CaseEventInput>(CaseEventInputSchema, refs);
  routes.add<unknown, { id: string }>(
    {
      method: 'POST',
      url: '/v1/cases/:id/events',
      id: 'postCaseEvent',
      summary: 'Work on a case: assign, acknowledge, note, outcome ...',
      description:
        'With `version` the event counts only while nobody else has changed the case. Without it a note or a tag is added ' +
        'whatever came in between, but a case is still closed only once. With an `id` it may be sent again.',
      params: CaseParamsSchema,
      body: { description: 'The event.', content: json('CaseEventInput') },
      answers: { 200: { description: 'The case with the event.', content: json('CaseDetail') } },
      problems: [400, 404, 409, 413, 415, 422, 503],
    },
    async (request) => {
      const { id } = request.params;
      const event = readEvent(request);
      if (!natsConnected()) throw natsAway();
      caseOr404(request, id);
      if (event.type === 'listEntry') {
        // First the list: an entry that is there twice is one, while a timeline that says it is there must be right.
        const { kind, value, note } = event;
        const result = await addListEntry(event.list, { kind, value, ...(note !== undefined && { note }) });
        if ('problem' in result) throw new ProblemError(422, `${result.problem} Nothing was changed.`);
      }
      return posted(request, id, await answered(caseDesk.post(id, actorOf(request, event.by), event), SEND_AGAIN));
    },
  );

  routes.add<SnoozePreviewQuery, { id: string }>(
    {
      method: 'GET',
      url: '/v1/cases/:id/snooze-preview',
      id: 'previewSnooze',
      summary: 'What a snooze of a rule would have hidden, had it been there.',
      params: CaseParamsSchema,
      query: SnoozePreviewQuerySchema,
      answers: { 200: { description: 'Counts and the newest alerts.', content: json('SnoozePreview') } },
      problems: [400, 404],
    },
    async (request) => {
      const { ruleId, days = 30 } = request.query;
      await listable;
      caseOr404(request, request.params.id);
      const preview = list.preview(request.params.id, ruleId, days, Date.now());
      if (preview === undefined) throw new ProblemError(404, 'There is no case of this id.');
      return preview;
    },
  );

  const readTakeNext = jsonReader(TakeNextSchema);
  routes.add(
    {
      method: 'POST',
      url: '/v1/cases/next',
      id: 'takeNextCase',
      summary: 'Take the most urgent case that nobody works on.',
      body: { description: 'The desk, and what the case should be like.', content: json('TakeNext') },
      answers: {
        200: { description: 'The case, assigned.', content: json('CaseDetail') },
        204: { description: 'There is none.' },
      },
      problems: [400, 413, 415, 503],
    },
    async (request, reply) => {
      const { desk, by, ...filter } = readTakeNext(request);
      assertDesk(request, desk);
      if (!natsConnected()) throw natsAway();
      await listable;
      const caseId = await answered(caseDesk.takeNext(desk, actorOf(request, by), filter), SEND_AGAIN);
      return caseId === undefined ? reply.code(204).send() : caseOr404(request, caseId);
    },
  );

  const readBulk = eventReader<Omit<Static<typeof BulkSchema>, 'event'> & { event: CaseEventInput }>(BulkSchema, refs);
  routes.add(
    {
      method: 'POST',
      url: '/v1/cases/bulk',
      id: 'bulkCases',
      summary: 'Do the same to many cases.',
      description: 'Each case for itself: those that somebody else changed first are refused, the others are done.',
      body: { description: 'The event, and the cases or a filter.', content: json('CaseBulk') },
      answers: { 200: { description: 'What was done and what was not.', content: json('CaseBulkResult') } },
      problems: [400, 413, 415, 503],
    },
    async (request): Promise<BulkResult> => {
      const { event, by, cases: named, filter } = readBulk(request);
      if ((named === undefined) === (filter === undefined)) {
        throw new ProblemError(400, 'Name either cases or a filter.');
      }
      if (event.type === 'listEntry') throw new ProblemError(400, 'Entries of lists are added one by one.');
      if (!natsConnected()) throw natsAway();
      await listable;
      assertDesk(request, filter?.desk);
      const isOwn = (caseId: string): boolean => maySeeDesk(request.principal, list.state(caseId)?.desk ?? '');
      const chosen =
        named?.filter(({ caseId }) => isOwn(caseId)) ??
        list
          .ids(filterOf(request, filter!, refs), { limit: BULK_CASES_MAX, now: Date.now() })
          .map((caseId) => ({ caseId }));
      const result = await answered(caseDesk.bulk(chosen, actorOf(request, by ?? event.by), event), SEND_AGAIN);
      const foreign = named?.filter(({ caseId }) => !isOwn(caseId)) ?? [];
      result.refused.push(...foreign.map(({ caseId }) => ({ caseId, reason: 'unknown' })));
      return result;
    },
  );

  const readUndo = jsonReader(BulkUndoSchema);
  routes.add<unknown, { bulkId: string }>(
    {
      method: 'POST',
      url: '/v1/cases/bulk/:bulkId/undo',
      id: 'undoBulk',
      summary: 'Take back a bulk action, where nobody has touched the case since.',
      params: BulkParamsSchema,
      body: { description: 'Who takes it back.', content: json('CaseBulkUndo') },
      answers: { 200: { description: 'What was taken back and what was not.', content: json('CaseBulkResult') } },
      problems: [400, 404, 413, 415, 503],
    },
    async (request): Promise<BulkResult> => {
      const { bulkId } = request.params;
      const { by } = readUndo(request);
      if (!natsConnected()) throw natsAway();
      const touched = list.bulk(bulkId).map(({ caseId }) => list.state(caseId)?.desk ?? '');
      if (touched.length === 0 || !touched.every((desk) => maySeeDesk(request.principal, desk)))
        throw new ProblemError(404, 'There is no bulk action of this id.');
      return answered(caseDesk.undoBulk(bulkId, actorOf(request, by)), SEND_AGAIN);
    },
  );

  routes.add<FeedbackQuery>(
    {
      method: 'GET',
      url: '/v1/feedback',
      id: 'getFeedback',
      summary: 'Precision by rule and desk, and offers against the control group, from the outcomes of cases.',
      query: FeedbackQuerySchema,
      answers: { 200: { description: 'Figures.', content: json('Feedback') } },
      problems: [400],
    },
    async (request) => {
      await listable;
      const { desk, from } = request.query;
      assertDesk(request, desk);
      return readFeedback(tables, { desks: desk === undefined ? request.principal.desks : [desk], from });
    },
  );

  routes.add<{ desk: Desk }>(
    {
      method: 'GET',
      url: '/v1/labels',
      id: 'getLabels',
      summary: 'Labels of subscribers from the outcomes of cases, as `replay --labels` reads them.',
      query: DeskQuerySchema,
      answers: {
        200: {
          description: 'CSV: servedMsisdn, the label, and where it comes from.',
          content: { 'text/csv': { type: 'string' } },
        },
      },
      problems: [400],
    },
    async (request, reply) => {
      assertDesk(request, request.query.desk);
      await listable;
      return reply.type('text/csv; charset=utf-8').send(labelFile(tables, request.query.desk));
    },
  );
}

/** Who did it: the person or key that has signed in; where nobody has to, whom the request names. */
function actorOf({ principal }: FastifyRequest, named: string | undefined): string {
  return principal.kind === 'open' ? (named ?? NOBODY) : principal.id;
}

/** A filter within the desks of the caller; a subscriber may be named by reference. */
function filterOf<F extends CaseFilter>(request: FastifyRequest, asked: F, refs: NumberRefs): F {
  const { desks }: Principal = request.principal;
  return {
    ...asked,
    ...(asked.servedMsisdn && { servedMsisdn: numberOf(request, asked.servedMsisdn, refs) }),
    ...(asked.desk === undefined && desks.length < DESKS.length && { desks }),
  };
}

/** Why a case cannot take an event, in words. */
const REFUSALS: Record<Extract<Posted, { kind: 'refused' }>['refusal'], string> = {
  duplicate: 'An event of this id is there already.',
  closed: 'The case is closed; reopen it first.',
  notClosed: 'The case is not closed.',
  notOpen: 'Somebody has acknowledged the case already.',
  notSnoozed: 'Nothing of this is snoozed.',
  otherDesk: 'The desk of this case has no such outcome or event.',
  intoItself: 'A case cannot be merged into itself.',
  merged: 'The case was merged into another one; work on that.',
  noSuchTarget: 'There is no such case on this desk.',
  noSuchEvent: 'There is no such event that could be taken back.',
  full: 'The case cannot take more of these.',
  tooLong: 'A rule may be snoozed for at most 180 days.',
  heldOut: 'The subscriber belongs to the control group: no offer is made.',
};

/**
 * Reads bodies with an event, which may name a subscriber by reference; what is wrong with the event is said of its own form.
 * Its schema is made from a table, so its type has to be named.
 */
const eventReader = <T>(schema: TSchema, refs: NumberRefs) =>
  jsonReader(schema, {
    prepare: (value) => resolveSubscriber(value, refs),
    problemOf: eventProblem,
  }) as (request: FastifyRequest) => T;

/** Who sees masked numbers names a subscriber by reference; the event holds the number. What is no reference is not touched. */
function resolveSubscriber(value: unknown, refs: NumberRefs): void {
  if (typeof value !== 'object' || value === null) return;
  if ('event' in value) resolveSubscriber(value.event, refs);
  if (!('servedMsisdn' in value) || typeof value.servedMsisdn !== 'string') return;
  value.servedMsisdn = refs.numberOf(value.servedMsisdn) ?? value.servedMsisdn;
}

const EVENT_FORMS = (
  CaseEventInputSchema as unknown as { anyOf: (TSchema & { properties: { type: { const: string } } })[] }
).anyOf;

/** What is wrong with the event of a body, which is one of many forms: only the one that its `type` names is of interest. */
function eventProblem(value: unknown): string | undefined {
  const isEvent = (one: unknown): one is { type: string } => typeof one === 'object' && one !== null && 'type' in one;
  const event = isEvent(value) ? value : (value as { event?: unknown } | null)?.event;
  if (!isEvent(event)) return undefined;
  const form = EVENT_FORMS.find(({ properties }) => properties.type.const === event.type);
  if (form === undefined)
    return `type must be one of ${EVENT_FORMS.map(({ properties }) => properties.type.const).join(', ')}.`;
  const [first] = Compile(form).Errors(event);
  return first && sentenceOf(first);
}
