/**
 * The gateway: REST and WebSocket for the desks, HTTP intake for records, and the console as files. It builds nothing
 * of the engine itself; what it needs is passed in, and it can be thrown away and started again at any time: alerts
 * are read from the ALERTS stream, records are written to the USAGE stream, and only the alert index is on disk.
 *
 * One reader follows ALERTS and feeds both the list (`alert-index.ts`) and the live clients (`live.ts`). Every route is
 * an entry of one table, from which Fastify validates requests and `/openapi.json` is made.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { basename, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import fastifyStatic from '@fastify/static';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import {
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaValidationError,
  fastify,
} from 'fastify';
import { Compile } from 'typebox/compile';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { UsageRecordSchema } from '../record/schema.ts';
import type { DeadLetterSink } from '../sinks/dead-letter.ts';
import { connectionState } from '../source/connection.ts';
import { assertLoopback, createAddressGuard, listenError } from './address.ts';
import { cursorOf, INDEX_ROWS_MAX, openAlertIndex, positionOf } from './alert-index.ts';
import { createAlertReader } from './alert-reader.ts';
import { asyncApiDocument, openApiDocument, type RouteDescription, ref } from './documents.ts';
import { createLiveAlerts } from './live.ts';
import { ProblemError, rawProblem, sendProblem } from './problem.ts';
import {
  ALERT_PAGE_DEFAULT,
  type AlertsQuery,
  AlertsQuerySchema,
  LiveQuerySchema,
  type OperationsView,
  type RuleDetail,
  type RuleFinding,
  RuleParamsSchema,
  type RuleSummary,
  SubscriberParamsSchema,
  type SubscriberView,
} from './schemas.ts';
import { createUsageIntake } from './usage-intake.ts';

/** Largest request body. */
export const BODY_BYTES_MAX = 1024 * 1024;
/** A whole request, body included, must arrive within this time. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** A connection on which nothing moves is closed. */
const CONNECTION_TIMEOUT_MS = 60_000;
const CONNECTIONS_MAX = 4_000;
/** Requests a minute and address: a runaway client is stopped, a busy producer is not. */
export const REQUESTS_PER_MINUTE_MAX = 60_000;
/** Bodies with records that are received or published at once: together at most 128 MiB. */
const USAGE_REQUESTS_MAX = 128;
/** Addresses whose rate is remembered. */
const RATE_ADDRESSES_MAX = 10_000;
/** How long after a start a list of alerts waits for the index; then it answers with what is there. */
const CATCH_UP_WAIT_MS = 2_000;
/** Seconds after which a caller may try again when NATS is away or everything is full. */
const RETRY_AFTER_SEC = '1';
const LIVE_PATH = '/v1/alerts/live';
const USAGE_PATH = '/v1/usage';

export interface RulesAccess {
  list(): RuleSummary[];
  get(id: string): RuleDetail | undefined;
  /** Findings of a rule text that is not saved; empty where it is right. */
  check(text: string): RuleFinding[];
  /** Validates, writes the file, and puts the new set in force. Calls never overlap. */
  save(id: string, text: string): Promise<SavedRule>;
}

export type SavedRule =
  | { kind: 'saved'; rule: RuleDetail; created: boolean }
  /** The text is no valid rule, or the set with it is none. */
  | { kind: 'invalid'; errors: RuleFinding[] }
  /** Valid, but it cannot take this place: another id, a version that was used, a file that changed on disk. */
  | { kind: 'conflict'; detail: string };

export interface GatewayOptions {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  partitions: number;
  deadLetters: DeadLetterSink;
  inspectSubscriber(msisdn: string): SubscriberView | undefined;
  rules: RulesAccess;
  operations(): Promise<OperationsView>;
  metrics: Metrics;
  log: Log;
  /** Folder of the built console; where it holds no index.html, a page says how to build it. */
  consoleDir: string;
  /** Folder for the alert index, or `:memory:`. */
  dataDir: string;
  /** Alerts that the index keeps. */
  alertIndexRowsMax?: number;
  /** Requests that one address may make in a minute. */
  requestsPerMinuteMax?: number;
  /** Origins beside our own whose pages may use the API, e.g. that of a reverse proxy. */
  allowedOrigins?: string[];
}

export interface Gateway {
  /** Begins to answer. @returns its URL. @throws RingfenceError, exit code 3, beyond loopback or on a taken port. */
  listen(host: string, port: number): Promise<string>;
  /** True while the ALERTS stream is being read. */
  reading(): boolean;
  /** Resolves after `close`; rejects with the bug that stopped the reader of ALERTS. */
  ended: Promise<void>;
  /** Tells live clients to come back later (1001), lets running requests end, and closes the index. */
  close(): Promise<void>;
}

/**
 * Content security policy: scripts, styles, images and connections (the WebSocket too) of our own origin only, nothing
 * inline, no eval, no string may become markup.
 */
const CONTENT_SECURITY_POLICY = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'"],
  'font-src': ["'self'"],
  'connect-src': ["'self'"],
  'manifest-src': ["'self'"],
  'object-src': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
  'require-trusted-types-for': ["'script'"],
};

const NO_CONSOLE_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ringfence</title></head>
<body>
<h1>Ringfence is running. The console has not been built.</h1>
<p>Run <code>npm run setup</code> in the checkout, then start Ringfence again.</p>
<p>The API is described in <a href="openapi.json">openapi.json</a> and <a href="asyncapi.json">asyncapi.json</a>.</p>
</body>
</html>
`;

const USAGE_MEDIA_TYPES = {
  'application/json': { oneOf: [ref('UsageRecord'), { type: 'array', items: ref('UsageRecord') }] },
  'application/x-ndjson': { type: 'string', description: 'One record a line.' },
  'application/msgpack': { description: 'A map, or an array of maps.' },
};
const YAML_MEDIA_TYPES = { 'application/yaml': { type: 'string', description: 'A rule file.' } };
const RULE_MEDIA_TYPES = {
  ...YAML_MEDIA_TYPES,
  'application/json': { type: 'object', description: 'The same as JSON.' },
};
/** Other names under which clients send the types above. */
const MEDIA_TYPE_ALIASES: Record<string, string> = {
  'application/ndjson': 'application/x-ndjson',
  'application/x-msgpack': 'application/msgpack',
  'application/vnd.msgpack': 'application/msgpack',
  'application/x-yaml': 'application/yaml',
  'text/yaml': 'application/yaml',
  'text/x-yaml': 'application/yaml',
};

/** Opens the index and begins to follow ALERTS; `listen` begins to answer. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { metrics, log, rules } = options;
  const connection = connectionState(options.nc);
  const guard = createAddressGuard(options.allowedOrigins ?? []);

  const indexRowsMax = options.alertIndexRowsMax ?? INDEX_ROWS_MAX;
  const indexPath = options.dataDir === ':memory:' ? ':memory:' : join(options.dataDir, 'alert-index.sqlite');
  const index = openAlertIndex(indexPath, { rowsMax: indexRowsMax });
  metrics.trackQueue('alert_index_rows', indexRowsMax, () => index.rows());

  const reader = createAlertReader({
    nc: options.nc,
    jsm: options.jsm,
    index,
    metrics,
    log,
    portionMax: () => live.portionMax(),
    onAlerts: (entries, head) => live.push(entries, head),
    onStreamReplaced: (extent) => live.streamReplaced(extent),
  });
  const live = createLiveAlerts({ reader, metrics, log });
  const intake = createUsageIntake({
    nc: options.nc,
    js: options.js,
    partitions: options.partitions,
    deadLetters: options.deadLetters,
    metrics,
  });
  /** Lists of alerts wait for this: a moment after the start, the index has caught up with the stream. */
  const listable = Promise.race([reader.caughtUp(), delay(CATCH_UP_WAIT_MS, undefined, { ref: false })]);
  let closing = false;

  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    forceCloseConnections: true,
    // Nothing that the caller sent is dropped or bent silently: an unknown parameter is a 400.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: true, allErrors: false } },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOf(error)),
    clientErrorHandler: (error, socket) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
      if (socket.writable)
        socket.end(rawProblem(new ProblemError(status, 'This is no HTTP request that we can read.')));
      else socket.destroy();
    },
  });
  app.server.maxConnections = CONNECTIONS_MAX;

  await app.register(fastifyHelmet, {
    contentSecurityPolicy: { useDefaults: false, directives: CONTENT_SECURITY_POLICY },
    crossOriginEmbedderPolicy: true,
    xFrameOptions: { action: 'deny' },
    // Counts only behind a proxy that speaks TLS; what else lives under that name is none of our business.
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
  });
  await app.register(fastifyRateLimit, {
    max: options.requestsPerMinuteMax ?? REQUESTS_PER_MINUTE_MAX,
    timeWindow: 60_000,
    cache: RATE_ADDRESSES_MAX,
    errorResponseBuilder: (_request, { max, after }) =>
      new ProblemError(429, `More than ${max} requests in a minute from one address. Try again in ${after}.`),
  });

  // Bodies stay bytes: each route knows what it takes, and checks the media type itself.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  app.addHook('onRequest', async (request) => {
    const refusal = refuseByAddress(request.raw);
    if (refusal !== undefined) throw refusal;
  });
  // Before the body is read: bodies are what takes memory.
  let usageRequests = 0;
  metrics.trackQueue('http_usage_requests', USAGE_REQUESTS_MAX, () => usageRequests);
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.url !== USAGE_PATH) return;
    if (usageRequests >= USAGE_REQUESTS_MAX) {
      throw new ProblemError(503, 'Too many requests bring records at once.', {
        headers: { 'Retry-After': RETRY_AFTER_SEC },
      });
    }
    usageRequests += 1;
    // Comes once, whether the answer was sent or the caller went away.
    reply.raw.once('close', () => {
      usageRequests -= 1;
    });
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.httpRequestsTotal.inc({ route, method: request.method, status: String(reply.statusCode) });
    metrics.httpRequestSeconds.observe({ route }, reply.elapsedTime / 1000);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new ProblemError(404, `There is nothing at ${request.method} ${pathOf(request.url)}.`)),
  );
  app.setErrorHandler((error: FastifyError | ProblemError, request, reply) => {
    const problem = problemOf(error);
    if (problem.status >= 500 && !(error instanceof ProblemError)) {
      // The pattern, not the path: paths hold subscriber numbers.
      log.error({ err: error, method: request.method, route: request.routeOptions.url }, 'request failed');
    }
    return sendProblem(reply, problem);
  });

  /** Foreign names and foreign pages; reading across origins is already impossible, so GET needs no origin check. */
  function refuseByAddress(request: IncomingMessage): ProblemError | undefined {
    if (!guard.hostAllowed(request.headers)) {
      return new ProblemError(421, 'This server is not known by that host name; see the allowed origins.');
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if ((!isRead || request.headers.upgrade !== undefined) && !guard.originAllowed(request.headers)) {
      return new ProblemError(403, 'Pages of another origin may not use this server.');
    }
    return undefined;
  }

  const routes: RouteDescription[] = [];
  const methodsOf = new Map<string, string[]>();
  const route = <Q = unknown, P = unknown>(
    description: RouteDescription,
    handler: (request: FastifyRequest<{ Querystring: Q; Params: P }>, reply: FastifyReply) => unknown,
  ): void => {
    routes.push(description);
    methodsOf.set(description.url, [...(methodsOf.get(description.url) ?? []), description.method]);
    const schema = {
      ...(description.params && { params: description.params }),
      ...(description.query && { querystring: description.query }),
    };
    app.route<{ Querystring: Q; Params: P }>({
      method: description.method,
      url: description.url,
      schema,
      handler: async (request, reply) => {
        const answer = await handler(request, reply);
        return answer === undefined ? reply : answer;
      },
    });
  };
  const json = (name: string) => ({ 'application/json': ref(name) });

  route(
    {
      method: 'POST',
      url: USAGE_PATH,
      id: 'postUsage',
      summary: 'Hand in usage records.',
      description:
        'Good records are published to NATS, bad ones go to the dead-letter stream. Records may be sent again after a ' +
        '503: a record id counts once.',
      body: { description: 'One record or many.', content: USAGE_MEDIA_TYPES },
      answers: {
        202: { description: 'At least one record was accepted.', content: json('UsageResult') },
        400: { description: 'No record was good.', content: json('UsageResult') },
      },
      problems: [413, 415, 503],
    },
    async (request, reply) => {
      const contentType = mediaTypeOf(request, Object.keys(USAGE_MEDIA_TYPES));
      const body = bodyOf(request);
      if (!connection.connected()) throw natsAway();
      const result = await intake(body, contentType);
      return reply.code(result.accepted > 0 ? 202 : 400).send(result);
    },
  );

  route<AlertsQuery>(
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
      const { cursor, limit = ALERT_PAGE_DEFAULT, from, to, ...filter } = request.query;
      const after = cursor === undefined ? undefined : positionOf(cursor);
      if (cursor !== undefined && after === undefined) {
        throw new ProblemError(400, 'cursor must be the `next` of an earlier page.');
      }
      const times = { from: instantOf('from', from), to: instantOf('to', to) };
      await listable;
      // Read before the query: whoever follows the live alerts from here on misses none that this page lacks.
      const sequence = index.lastSequence();
      const page = await index.query({ ...filter, ...times }, { limit, after });
      const next = page.next === null ? 'null' : JSON.stringify(cursorOf(page.next));
      // The bodies are JSON already.
      return reply
        .type('application/json')
        .send(`{"alerts":[${page.alerts.join(',')}],"next":${next},"seq":${sequence}}`);
    },
  );
  route(
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

  route<unknown, { msisdn: string }>(
    {
      method: 'GET',
      url: '/v1/subscribers/:msisdn',
      id: 'getSubscriber',
      summary: 'What the engine knows of a subscriber now.',
      params: SubscriberParamsSchema,
      answers: { 200: { description: 'Windows, ledger, scores and open alerts.', content: json('Subscriber') } },
      problems: [400, 404],
    },
    async (request) => {
      const view = options.inspectSubscriber(request.params.msisdn);
      if (view === undefined) throw new ProblemError(404, 'No record of this subscriber is in the state.');
      return view;
    },
  );

  route(
    {
      method: 'GET',
      url: '/v1/rules',
      id: 'listRules',
      summary: 'The rules in force.',
      answers: { 200: { description: 'All of them, in no particular order.', content: json('RuleList') } },
      problems: [],
    },
    async () => ({ rules: rules.list() }),
  );

  route<unknown, { id: string }>(
    {
      method: 'GET',
      url: '/v1/rules/:id',
      id: 'getRule',
      summary: 'One rule with its text.',
      params: RuleParamsSchema,
      answers: { 200: { description: 'The rule.', content: json('RuleDetail'), headers: ['ETag'] } },
      problems: [400, 404],
    },
    async (request, reply) => {
      const rule = rules.get(request.params.id);
      if (rule === undefined) throw new ProblemError(404, 'There is no rule of this id.');
      return reply.header('ETag', entityTagOf(rule)).send(rule);
    },
  );

  route(
    {
      method: 'POST',
      url: '/v1/rules/check',
      id: 'checkRule',
      summary: 'Validate a rule without saving it.',
      body: { description: 'A rule file.', content: RULE_MEDIA_TYPES },
      answers: {
        200: { description: 'Whether it is right, and every error with its place.', content: json('RuleCheck') },
      },
      problems: [400, 413, 415],
    },
    async (request) => {
      mediaTypeOf(request, Object.keys(RULE_MEDIA_TYPES));
      const errors = rules.check(textOf(request));
      return { ok: errors.length === 0, errors };
    },
  );

  /** Saves wait for each other, so that `If-Match` is compared with what the save replaces. */
  let lastSave: Promise<unknown> = Promise.resolve();
  route<unknown, { id: string }>(
    {
      method: 'PUT',
      url: '/v1/rules/:id',
      id: 'putRule',
      summary: 'Change a rule, or add one.',
      description: 'The new set is in force when this answers. An invalid rule changes nothing.',
      params: RuleParamsSchema,
      headers: {
        'if-match': 'ETag of the rule that is to be replaced; without it whatever is there is replaced.',
        'if-none-match': '`*`: only where there is no such rule yet.',
      },
      body: { description: 'The rule file.', content: YAML_MEDIA_TYPES },
      answers: {
        200: { description: 'Changed.', content: json('RuleDetail'), headers: ['ETag'] },
        201: { description: 'Added.', content: json('RuleDetail'), headers: ['ETag'] },
      },
      problems: [400, 409, 412, 413, 415, 422, 503],
    },
    async (request, reply) => {
      mediaTypeOf(request, Object.keys(YAML_MEDIA_TYPES));
      const { id } = request.params;
      const text = textOf(request);
      if (!connection.connected()) throw natsAway();
      const save = async (): Promise<SavedRule> => {
        const current = rules.get(id);
        const tag = current && entityTagOf(current);
        const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
        if (ifMatch !== undefined && !matchesTag(ifMatch, tag)) {
          throw new ProblemError(412, tag ? `The rule is now ${tag}.` : 'There is no rule of this id.');
        }
        if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, tag)) {
          throw new ProblemError(412, `The rule exists, as ${tag}.`);
        }
        return rules.save(id, text);
      };
      const saving = lastSave.then(save, save);
      lastSave = saving.catch(() => {});
      const saved = await saving;
      if (saved.kind === 'invalid') {
        throw new ProblemError(422, 'The rule is not valid; nothing was changed.', {
          members: { errors: saved.errors },
        });
      }
      if (saved.kind === 'conflict') throw new ProblemError(409, saved.detail);
      return reply
        .code(saved.created ? 201 : 200)
        .header('ETag', entityTagOf(saved.rule))
        .send(saved.rule);
    },
  );

  route(
    {
      method: 'GET',
      url: '/v1/operations',
      id: 'getOperations',
      summary: 'How the process is doing.',
      answers: { 200: { description: 'Counts and gauges.', content: json('Operations') } },
      problems: [],
    },
    () => options.operations(),
  );

  const document = (id: string, url: string, summary: string, make: () => object) => {
    let text: string | undefined;
    route(
      {
        method: 'GET',
        url,
        id,
        summary,
        answers: { 200: { description: 'The document.', content: { 'application/json': { type: 'object' } } } },
        problems: [],
      },
      async (_request, reply) => {
        text ??= JSON.stringify(make());
        return reply.type('application/json').send(text);
      },
    );
  };
  document('getOpenApi', '/openapi.json', 'This description.', () => openApiDocument(routes, UsageRecordSchema));
  document('getAsyncApi', '/asyncapi.json', 'The WebSocket and the NATS subjects, as AsyncAPI 3.0.', () =>
    asyncApiDocument(UsageRecordSchema),
  );

  // A path that exists is not a 404 for another method.
  for (const [url, methods] of methodsOf) {
    const allowed = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])];
    app.route({
      method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((method) => !methods.includes(method)),
      url,
      exposeHeadRoute: false,
      handler: async (request) => {
        throw new ProblemError(405, `${request.method} is not possible here, only ${allowed.join(', ')}.`, {
          headers: { Allow: allowed.join(', ') },
        });
      },
    });
  }

  if (existsSync(join(options.consoleDir, 'index.html'))) {
    await app.register(fastifyStatic, {
      root: options.consoleDir,
      wildcard: false,
      cacheControl: false,
      setHeaders: (reply, path) => {
        // Built files carry a hash of their content in their name; the page that names them is asked for each time.
        const hashed = /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/.test(basename(path));
        reply.header('Cache-Control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    });
  } else {
    app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(NO_CONSOLE_PAGE));
  }

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
    if (closing) return refuse(new ProblemError(503, 'The server stops.', retry));
    if (!live.hasRoom()) return refuse(new ProblemError(503, 'As many live clients as allowed are connected.', retry));
    if (!connection.connected()) return refuse(natsAway());
    const { since, ...filter } = query;
    live.accept(request, socket, head, { ...filter, ...(since !== undefined && { since: Number(since) }) }).then(
      () => count(101),
      () => refuse(natsAway()),
    );
  });

  await app.ready();

  return {
    async listen(host, port) {
      assertLoopback(host);
      try {
        return await app.listen({ host, port });
      } catch (error) {
        throw listenError(error, host, port);
      }
    },
    reading: () => reader.reading(),
    ended: reader.ended,
    async close() {
      closing = true;
      await live.close();
      await app.close();
      await reader.close();
      index.close();
    },
  };
}

/** Whatever was thrown while a request was answered, as the problem that the caller gets. */
function problemOf(error: FastifyError | ProblemError): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error.validation !== undefined) return new ProblemError(400, sentenceOf(error.validation[0]));
  const status = error.statusCode ?? 500;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new ProblemError(413, `The body is larger than ${BODY_BYTES_MAX} bytes; send less at a time.`);
  }
  // What went wrong inside is in the log; the caller could do nothing with it.
  if (status >= 500) return new ProblemError(500, 'The server failed to answer; its log says why.');
  return new ProblemError(status, `${error.message.replace(/\.$/, '')}.`);
}

/** What is wrong with a parameter, in words: `limit must be <= 500.` */
function sentenceOf({ instancePath, keyword, params, message }: FastifySchemaValidationError): string {
  const name = instancePath.slice(1);
  if (keyword === 'additionalProperties') return `There is no parameter ${params.additionalProperty}.`;
  // The same in the words of the validator of WebSocket queries.
  if (keyword === 'boolean') return `There is no parameter ${name}.`;
  if (keyword === 'enum') return `${name} must be one of ${[params.allowedValues].flat().join(', ')}.`;
  return `${name} ${message}.`;
}

function natsAway(): ProblemError {
  return new ProblemError(503, 'NATS does not answer; nothing was changed.', {
    headers: { 'Retry-After': RETRY_AFTER_SEC },
  });
}

function pathOf(url: string): string {
  return url.split('?', 1)[0];
}

/** The media type of a body, by its usual name; undefined where the request names none. */
function mediaTypeOf(request: FastifyRequest, allowed: string[]): string | undefined {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ProblemError(415, 'Compressed bodies are not read.', { headers: { 'Accept-Encoding': 'identity' } });
  }
  const header = request.headers['content-type'];
  if (header === undefined) return undefined;
  const name = header.split(';', 1)[0].trim().toLowerCase();
  const type = MEDIA_TYPE_ALIASES[name] ?? name;
  if (!allowed.includes(type)) {
    throw new ProblemError(415, `Content-Type must be one of ${allowed.join(', ')}.`, {
      headers: { Accept: allowed.join(', ') },
    });
  }
  return type;
}

function bodyOf(request: FastifyRequest): Buffer {
  if (!Buffer.isBuffer(request.body) || request.body.length === 0) throw new ProblemError(400, 'The body is empty.');
  return request.body;
}

function textOf(request: FastifyRequest): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bodyOf(request));
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(400, 'The body is not UTF-8 text.');
  }
}

/** Epoch ms of a query parameter that has passed its pattern. */
function instantOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const epochMs = /^[0-9]+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(epochMs)) throw new ProblemError(400, `${name}: no such date.`);
  return epochMs;
}

/** Strong entity tag of a rule: its version for people, a hash of its text for certainty. */
function entityTagOf(rule: RuleDetail): string {
  return `"${rule.version}-${createHash('sha256').update(rule.text).digest('hex').slice(0, 16)}"`;
}

/** Whether an If-Match or If-None-Match header names the tag; `*` names any that exists. */
function matchesTag(header: string, tag: string | undefined): boolean {
  if (tag === undefined) return false;
  return header.split(',').some((part) => part.trim() === '*' || part.trim() === tag);
}
