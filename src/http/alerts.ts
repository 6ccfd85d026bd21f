/**
 * Alerts of the desks: the list, from the index, and the WebSocket that follows them. An upgrade passes no route of
 * Fastify, so the checks that its hooks make for the others are made here once more.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Compile } from 'typebox/compile';
import type { NumberRefs } from '../access/numbers.ts';
import { decide, maySeeDesk } from '../access/table.ts';
import { type AlertData, DESKS } from '../alerts/alert.ts';
import type { Metrics } from '../metrics.ts';
import { type AccessGate, assertDesk, numberOf, type Reveal } from './access.ts';
import { type AlertIndex, cursorOf, positionOf } from './alert-index.ts';
import type { LiveAlerts } from './live.ts';
import { natsAway, ProblemError, RETRY_AFTER_SEC, rawProblem } from './problem.ts';
import { jsonReader, sentenceOf, spanOf } from './request.ts';
import { json, type Routes } from './route.ts';
import {
  ALERT_PAGE_DEFAULT,
  AlertParamsSchema,
  type AlertsQuery,
  AlertsQuerySchema,
  LiveQuerySchema,
  RevealSchema,
} from './schemas.ts';

const LIVE_PATH = '/v1/alerts/live';

export interface AlertRoutesOptions {
  index: AlertIndex;
  live: LiveAlerts;
  gate: AccessGate;
  reveal: Reveal;
  refs: NumberRefs;
  /** Resolves when a list may be made: the index has caught up, or has had its time. */
  listable: Promise<unknown>;
  /** Refuses by address and origin, before anything else is looked at. */
  refuseByAddress(request: IncomingMessage): ProblemError | undefined;
  natsConnected(): boolean;
  /** True from the moment on when the gateway takes no new clients. */
  closing(): boolean;
  metrics: Metrics;
}

export function addAlertRoutes(app: FastifyInstance, routes: Routes, options: AlertRoutesOptions): void {
  const { index, live, gate, reveal, refs, listable, refuseByAddress, natsConnected, closing, metrics } = options;

  routes.add<AlertsQuery>(
    {
      method: 'GET',
      url: '/v1/alerts',
      id: 'listAlerts',
      summary: 'Alerts, newest event time first.',
      description:
        'Each alert once, in its latest revision. An alert that is revised while you page moves to the front and is ' +
        'not on a later page. The index keeps the newest alerts up to a limit; the ALERTS stream has them all.',
      query: AlertsQuerySchema,
      answers: { 200: { description: 'A page.', content: json('AlertPage') } },
      problems: [400, 503],
    },
    async (request, reply) => {
      const { cursor, limit = ALERT_PAGE_DEFAULT, from, to, servedMsisdn: asked, ...filter } = request.query;
      assertDesk(request, filter.desk);
      const after = cursor === undefined ? undefined : positionOf(cursor);
      if (cursor !== undefined && after === undefined) {
        throw new ProblemError(400, 'cursor must be the `next` of an earlier page.');
      }
      const times = spanOf({ from, to });
      const servedMsisdn = asked === undefined ? undefined : numberOf(request, asked, refs);
      const { desks } = request.principal;
      const own = filter.desk !== undefined || desks.length === DESKS.length ? undefined : desks;
      await listable;
      // Read before the query: whoever follows the live alerts from here on misses none that this page lacks.
      const sequence = index.lastSequence();
      const page = await index.query({ ...filter, ...times, servedMsisdn, desks: own }, { limit, after });
      const next = page.next === null ? 'null' : JSON.stringify(cursorOf(page.next));
      // The bodies are JSON already.
      return reply
        .type('application/json')
        .send(`{"alerts":[${page.alerts.join(',')}],"next":${next},"seq":${sequence}}`);
    },
  );
  const readReveal = jsonReader(RevealSchema);
  routes.add<unknown, { alertId: string }>(
    {
      method: 'POST',
      url: '/v1/alerts/:alertId/reveal',
      id: 'revealAlert',
      summary: 'One alert with its whole numbers; who asks and why is written down.',
      params: AlertParamsSchema,
      body: { description: 'The reason.', content: json('Reveal') },
      answers: { 200: { description: 'The alert.', content: json('Alert') } },
      problems: [400, 404, 413, 415],
    },
    async (request) => {
      const { reason } = readReveal(request);
      await listable;
      const text = index.get(request.params.alertId);
      const alert = text === undefined ? undefined : (JSON.parse(text) as AlertData);
      // That it is on another desk is nobody else's business.
      if (alert === undefined || !maySeeDesk(request.principal, alert.desk)) {
        throw new ProblemError(404, 'There is no alert of this id.');
      }
      return reveal(request, alert, reason);
    },
  );

  routes.add(
    {
      method: 'GET',
      url: LIVE_PATH,
      id: 'followAlerts',
      summary: 'Alerts as they happen: a WebSocket, described by asyncapi.json.',
      query: LiveQuerySchema,
      headers: { upgrade: 'websocket' },
      answers: { 101: { description: 'The WebSocket is open.' } },
      problems: [400, 403, 426, 503],
    },
    async () => {
      throw new ProblemError(426, 'This is a WebSocket.', { headers: { Upgrade: 'websocket', Connection: 'Upgrade' } });
    },
  );

  const liveQuery = Compile(LiveQuerySchema);
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until ws takes over, a reset must not bring the process down.
    socket.on('error', () => socket.destroy());
    const count = (status: number) =>
      metrics.httpRequestsTotal.inc({ route: LIVE_PATH, method: 'GET', status: String(status) });
    const refuse = (problem: ProblemError) => {
      count(problem.status);
      socket.end(rawProblem(problem));
    };
    const url = URL.parse(request.url ?? '', 'http://gateway');
    if (url === null || url.pathname !== LIVE_PATH || request.method !== 'GET') {
      return refuse(new ProblemError(404, `The WebSocket is GET ${LIVE_PATH}.`));
    }
    const refusal = refuseByAddress(request);
    if (refusal !== undefined) return refuse(refusal);
    const query: unknown = Object.fromEntries(url.searchParams);
    if (!liveQuery.Check(query)) {
      return refuse(new ProblemError(400, sentenceOf(liveQuery.Errors(query)[0])));
    }
    const retry = { headers: { 'Retry-After': RETRY_AFTER_SEC } };
    if (closing()) return refuse(new ProblemError(503, 'The server stops.', retry));
    if (!live.hasRoom()) return refuse(new ProblemError(503, 'As many live clients as allowed are connected.', retry));
    if (!natsConnected()) return refuse(natsAway());
    const { since, ticket, cases, ...filter } = query;
    const principal = gate.admit(request, ticket);
    if (principal instanceof ProblemError) return refuse(principal);
    if (cases === 'true' && decide('listCases', principal) !== 'allowed') {
      return refuse(new ProblemError(403, 'Your roles or scopes do not include cases.'));
    }
    if (filter.desk !== undefined && !maySeeDesk(principal, filter.desk)) {
      return refuse(new ProblemError(403, `The desk ${filter.desk} is not one of yours.`));
    }
    live
      .accept(request, socket, head, {
        ...filter,
        principal,
        cases: cases === 'true',
        ...(since !== undefined && { since: Number(since) }),
      })
      .then(
        () => count(101),
        () => refuse(natsAway()),
      );
  });
}
