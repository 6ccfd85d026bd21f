/**
 * Saved views and routing of a desk over HTTP. A view is its owner's to change, a shared one also a lead's; which one the desk
 * opens with, and routing, are a lead's. What somebody keeps for themselves nobody else sees. Every change is an event of the
 * desk and an entry of the audit log.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { DESKS, type Desk } from '../alerts/alert.ts';
import type { CaseProjection } from '../cases/case-projection.ts';
import { deskSchema } from '../cases/case-view.ts';
import {
  DefaultViewSchema,
  type DeskSettings,
  type DeskSettingsEvent,
  RoutingSchema,
  VIEWS_MAX,
  ViewBodySchema,
  viewIdSchema,
} from '../cases/desk-settings.ts';
import { assertDesk } from './access.ts';
import { answered, natsAway, ProblemError } from './problem.ts';
import { jsonReader } from './request.ts';
import { json, type Routes } from './route.ts';

/** Changes that the history shows. */
const HISTORY_MAX = 100;

const closed = { additionalProperties: false } as const;
export const DeskSettingsSchema = Type.Object(
  {
    desk: deskSchema,
    version: Type.Integer({ description: 'Sequence of the newest change in CASES; 0: none.' }),
    views: Type.Array(Type.Object({ viewId: viewIdSchema, owner: Type.String(), ...ViewBodySchema.properties })),
    defaultViewId: DefaultViewSchema.properties.viewId,
    routing: Type.Ref('Routing'),
    history: Type.Array(
      Type.Object({
        sequence: Type.Integer(),
        at: Type.Integer(),
        by: Type.String(),
        type: Type.String(),
        routing: Type.Optional(Type.Ref('Routing')),
      }),
      { description: `Changes of the routing, newest first, at most ${HISTORY_MAX}.` },
    ),
  },
  { $id: 'DeskSettings' },
);
export const RoutingChangeSchema = Type.Object(
  {
    version: Type.Integer({
      minimum: 0,
      description: '`version` of the settings as the sender saw them; 409 where it is not.',
    }),
    routing: RoutingSchema,
  },
  { $id: 'RoutingChange', ...closed },
);
const DeskParamsSchema = Type.Object({ desk: Type.Enum([...DESKS], { type: 'string' }) });
const ViewParamsSchema = Type.Object({ desk: Type.Enum([...DESKS], { type: 'string' }), viewId: viewIdSchema });

export function addDeskSettingsRoutes(
  routes: Routes,
  options: { cases: CaseProjection; listable: Promise<unknown>; natsConnected(): boolean },
): void {
  const { cases, listable, natsConnected } = options;
  const readView = jsonReader(ViewBodySchema);
  const readRouting = jsonReader(RoutingChangeSchema);
  const readDefaultView = jsonReader(DefaultViewSchema);

  const viewOf = (request: FastifyRequest, desk: Desk): Static<typeof DeskSettingsSchema> => {
    const { version, views, defaultViewId, routing }: DeskSettings = cases.settings(desk);
    const me = whoIs(request);
    return {
      desk,
      version,
      views: views.filter(({ shared, owner }) => shared || owner === me),
      defaultViewId,
      routing,
      history: cases
        .settingsHistory(desk, HISTORY_MAX)
        .filter(({ event }) => event.type === 'routing')
        .map(({ sequence, at, event }) => ({
          sequence,
          at,
          by: event.by,
          type: event.type,
          ...(event.type === 'routing' && { routing: { lanes: event.lanes, people: event.people } }),
        })),
    };
  };
  const change = async (
    request: FastifyRequest,
    desk: Desk,
    version: number | undefined,
    event: DistributedOmit<DeskSettingsEvent, 'id' | 'by'>,
    by = whoIs(request),
  ): Promise<Static<typeof DeskSettingsSchema>> => {
    if (!natsConnected()) throw natsAway();
    const stored = await answered(
      cases.desk.changeSettings(desk, version, { ...event, id: randomUUID(), by } as DeskSettingsEvent),
      'look at the settings again.',
    );
    if (stored === undefined)
      throw new ProblemError(409, 'Somebody else changed this first; nothing was changed.', {
        members: { code: 'conflict' },
      });
    return viewOf(request, desk);
  };
  /** A view of somebody else that is not shared does not exist for others. */
  const assertOwn = (request: FastifyRequest, desk: Desk, viewId: string, mustExist: boolean): void => {
    const found = cases.settings(desk).views.find((view) => view.viewId === viewId);
    const isOwn = found?.owner === whoIs(request);
    if (found === undefined ? mustExist : !found.shared && !isOwn)
      throw new ProblemError(404, 'There is no such view.');
    if (found === undefined || isOwn || isLead(request)) return;
    throw new ProblemError(403, 'A shared view is changed by who made it, or by a lead.');
  };

  routes.add<unknown, { desk: Desk }>(
    {
      method: 'GET',
      url: '/v1/desks/:desk/settings',
      id: 'getDeskSettings',
      summary: 'Saved views of a desk that one may see, and its routing with its history.',
      params: DeskParamsSchema,
      answers: { 200: { description: 'Views and routing.', content: json('DeskSettings') } },
      problems: [400],
    },
    async (request) => {
      const { desk } = request.params;
      assertDesk(request, desk);
      await listable;
      return viewOf(request, desk);
    },
  );
  routes.add<unknown, { desk: Desk; viewId: string }>(
    {
      method: 'PUT',
      url: '/v1/desks/:desk/views/:viewId',
      id: 'putView',
      summary: 'Save a view under an id of the sender: for oneself, or for the desk.',
      params: ViewParamsSchema,
      body: { description: 'Name and filters.', content: json('CaseViewBody') },
      answers: { 200: { description: 'The settings with it.', content: json('DeskSettings') } },
      problems: [400, 404, 409, 413, 415, 503],
    },
    async (request) => {
      const { desk, viewId } = request.params;
      assertDesk(request, desk);
      const body = readView(request);
      assertOwn(request, desk, viewId, false);
      const { views } = cases.settings(desk);
      if (views.length >= VIEWS_MAX && !views.some((view) => view.viewId === viewId))
        throw new ProblemError(409, `A desk has at most ${VIEWS_MAX} views.`);
      return change(request, desk, undefined, { type: 'view', viewId, ...body });
    },
  );
  routes.add<unknown, { desk: Desk; viewId: string }>(
    {
      method: 'DELETE',
      url: '/v1/desks/:desk/views/:viewId',
      id: 'deleteView',
      summary: 'Remove a saved view.',
      params: ViewParamsSchema,
      answers: { 200: { description: 'The settings without it.', content: json('DeskSettings') } },
      problems: [400, 404, 409, 503],
    },
    async (request) => {
      const { desk, viewId } = request.params;
      assertDesk(request, desk);
      assertOwn(request, desk, viewId, true);
      return change(request, desk, undefined, { type: 'viewRemoved', viewId });
    },
  );
  routes.add<unknown, { desk: Desk }>(
    {
      method: 'PUT',
      url: '/v1/desks/:desk/default-view',
      id: 'putDefaultView',
      summary: 'Which shared view the list of cases opens with, for everybody on the desk.',
      params: DeskParamsSchema,
      body: { description: 'The view, or none.', content: json('DefaultView') },
      answers: { 200: { description: 'The settings with it.', content: json('DeskSettings') } },
      problems: [400, 409, 413, 415, 422, 503],
    },
    async (request) => {
      const { desk } = request.params;
      assertDesk(request, desk);
      const { viewId } = readDefaultView(request);
      const { version, views, defaultViewId } = cases.settings(desk);
      if (viewId !== null && !views.some((view) => view.shared && view.viewId === viewId))
        throw new ProblemError(422, 'The default of a desk is one of its shared views.');
      request.trace.before = { defaultViewId };
      request.trace.after = { defaultViewId: viewId };
      return change(request, desk, version, { type: 'defaultView', viewId });
    },
  );
  routes.add<unknown, { desk: Desk }>(
    {
      method: 'PUT',
      url: '/v1/desks/:desk/routing',
      id: 'putRouting',
      summary: 'Set the lanes of a desk and who takes from them; holds for all open cases at once.',
      params: DeskParamsSchema,
      body: { description: 'The whole routing.', content: json('RoutingChange') },
      answers: { 200: { description: 'The settings with it.', content: json('DeskSettings') } },
      problems: [400, 409, 413, 415, 422, 503],
    },
    async (request) => {
      const { desk } = request.params;
      assertDesk(request, desk);
      const { version, routing } = readRouting(request);
      const names = routing.lanes.map(({ name }) => name);
      if (new Set(names).size < names.length) throw new ProblemError(422, 'Two lanes have the same name.');
      const unknown = routing.people.flatMap(({ lanes }) => lanes).find((name) => !names.includes(name));
      if (unknown !== undefined) throw new ProblemError(422, `There is no lane ${unknown}.`);
      request.trace.before = cases.settings(desk).routing;
      request.trace.after = routing;
      return change(request, desk, version, { type: 'routing', ...routing });
    },
  );
}

type DistributedOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

const whoIs = ({ principal }: FastifyRequest): string => (principal.kind === 'open' ? 'anonymous' : principal.id);
const isLead = ({ principal }: FastifyRequest): boolean =>
  principal.kind === 'open' || principal.roles.includes('lead');
