/**
 * The gateway: REST and WebSocket for the desks, HTTP intake for records, and the console as files. It builds nothing
 * of the engine itself; what it needs is passed in, and it can be thrown away and started again at any time: alerts
 * are read from the ALERTS stream, cases from ALERTS and CASES, records are written to the USAGE stream, and only what
 * was made of those streams is on disk.
 *
 * One reader follows ALERTS and feeds both the list (`alert-index.ts`) and the live clients (`live.ts`). Here stand the
 * limits and guards that hold for every request; the routes are one file a group and add themselves to one table
 * (`route.ts`).
 */
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { type FastifyError, fastify } from 'fastify';
import { createNumberRefs } from '../access/numbers.ts';
import { createOidcSignIn, type OidcSettings } from '../access/oidc.ts';
import type { AccessStore } from '../access/store.ts';
import type { CasePolicy } from '../cases/case-policy.ts';
import { createCaseProjection } from '../cases/case-projection.ts';
import type { RecordSearch } from '../evidence/search-thread.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ChurnReport } from '../rules/churn-report.ts';
import type { DeadLetterSink } from '../sinks/dead-letter.ts';
import { connectionState } from '../source/connection.ts';
import { openDeadLetters } from '../source/dead-letters.ts';
import { createAllowList, type WebhookAllowList } from '../webhooks/address.ts';
import { startWebhooks, type Webhook } from '../webhooks/delivery.ts';
import { createAccessGate, createReveal } from './access.ts';
import { assertLoopback, createAddressGuard, listenError } from './address.ts';
import { addAdministrationRoutes } from './administration.ts';
import { INDEX_ROWS_MAX, openAlertIndex } from './alert-index.ts';
import { createAlertReader, entryOf } from './alert-reader.ts';
import { addAlertRoutes } from './alerts.ts';
import { startCaseFeed } from './case-feed.ts';
import { addCaseRoutes } from './cases.ts';
import { addChurnRoutes } from './churn.ts';
import { addConsoleFiles } from './console-files.ts';
import { addDeadLetterRoutes } from './dead-letters.ts';
import { addDeskSettingsRoutes } from './desk-settings.ts';
import { addDocumentRoutes } from './documents.ts';
import { addListRoutes, type ListsAccess } from './lists.ts';
import { createLiveAlerts } from './live.ts';
import { addOidcRoutes } from './oidc.ts';
import { addOperationsRoutes } from './operations.ts';
import { ProblemError, rawProblem, sendProblem } from './problem.ts';
import { addRecordRoutes } from './records.ts';
import { pathOf, sentenceOf } from './request.ts';
import { createRoutes } from './route.ts';
import { addRuleChangeRoutes, type RuleChangesAccess } from './rule-changes.ts';
import { addRuleRoutes, type RulesAccess } from './rules.ts';
import type { OperationsView, SubscriberView } from './schemas.ts';
import { addSessionRoutes } from './session.ts';
import { addSubscriberRoutes } from './subscribers.ts';
import { addUsageRoutes } from './usage.ts';
import { createUsageIntake } from './usage-intake.ts';

/** Largest request body. */
export const BODY_BYTES_MAX = 1024 * 1024;
/** A whole request, body included, must arrive within this time. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** A connection on which nothing moves is closed. */
const CONNECTION_TIMEOUT_MS = 60_000;
const PARAM_LENGTH_MAX = 1_024;
const CONNECTIONS_MAX = 4_000;
/** Requests a minute and address: a runaway client is stopped, a busy producer is not. */
export const REQUESTS_PER_MINUTE_MAX = 60_000;
/** Addresses whose rate is remembered. */
const RATE_ADDRESSES_MAX = 10_000;
/** How long after a start a list of alerts waits for the index; then it answers with what is there. */
const CATCH_UP_WAIT_MS = 2_000;
export interface GatewayOptions {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  partitions: number;
  deadLetters: DeadLetterSink;
  inspectSubscriber(msisdn: string): SubscriberView | undefined;
  /** Finds usage records in the stream; whoever made it closes it. */
  records: RecordSearch;
  rules: RulesAccess;
  lists: ListsAccess;
  ruleChanges: RuleChangesAccess;
  operations(): Promise<OperationsView>;
  /** How right the churn formula has been; undefined where none is watched. */
  churn(): ChurnReport | undefined;
  metrics: Metrics;
  log: Log;
  /** Folder of the built console; where it holds no index.html, a page says how to build it. */
  consoleDir: string;
  /** Users, keys, sessions and audit log; whoever opened it closes it. */
  access: AccessStore;
  /** An identity provider beside the local users; its label stands on the button. */
  oidc?: (OidcSettings & { label: string }) | undefined;
  /** IANA name; every time that people read is told by its clock. */
  timeZone: string;
  /** Folder for the alert index and the cases, or `:memory:`. */
  dataDir: string;
  /** Times of the SLA clock and share of the control group. */
  casePolicy?: CasePolicy;
  /** Where alerts and case events go, and where they may. */
  webhooks?: { list: readonly Webhook[]; allow: WebhookAllowList };
  /** CloudEvents source of what webhooks send. */
  source?: string;
  /** Alerts that the index keeps. */
  alertIndexRowsMax?: number;
  /** Requests that one address may make in a minute. */
  requestsPerMinuteMax?: number;
  /** Origins beside our own whose pages may use the API, e.g. that of a reverse proxy. */
  allowedOrigins?: string[];
}

export interface Gateway {
  /** Begins to answer. @returns its URL. @throws RingfenceError, exit code 3, beyond loopback without sign-in, or on a taken port. */
  listen(host: string, port: number): Promise<string>;
  /** True while the streams of alerts and cases are being read. */
  reading(): boolean;
  /** Resolves after `close`; rejects with the bug that stopped a reader. */
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

/** Opens the index and begins to follow ALERTS; `listen` begins to answer. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { metrics, log } = options;
  const connection = connectionState(options.nc);
  const { access, oidc } = options;
  const oidcSignIn = oidc && createOidcSignIn(oidc, access.now);
  const guard = createAddressGuard(
    [...(options.allowedOrigins ?? []), ...(oidc ? [new URL(oidc.publicUrl).origin] : [])],
    () => gate.required(),
  );
  const refs = createNumberRefs(access.secret('subscriber-reference'));
  const gate = createAccessGate({ store: access, refs, guard, alwaysRequired: oidc !== undefined, metrics, log });

  const indexRowsMax = options.alertIndexRowsMax ?? INDEX_ROWS_MAX;
  const fileOf = (name: string): string => (options.dataDir === ':memory:' ? ':memory:' : join(options.dataDir, name));
  const index = openAlertIndex(fileOf('alert-index.sqlite'), { rowsMax: indexRowsMax });
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
  const live = createLiveAlerts({ reader, gate, metrics, log });
  const cases = createCaseProjection({
    nc: options.nc,
    js: options.js,
    jsm: options.jsm,
    metrics,
    log,
    path: fileOf('cases.sqlite'),
    policy: options.casePolicy,
    alertOf: entryOf,
  });
  const caseFeed = startCaseFeed({
    cases,
    hasListeners: live.hasCaseListeners,
    push: live.pushCases,
    metrics,
  });
  const webhooks = startWebhooks({
    nc: options.nc,
    js: options.js,
    jsm: options.jsm,
    webhooks: options.webhooks?.list ?? [],
    allow: options.webhooks?.allow ?? createAllowList([]),
    cases,
    alertOf: entryOf,
    source: options.source ?? 'urn:ringfence',
    metrics,
    log,
  });
  const intake = createUsageIntake({
    nc: options.nc,
    js: options.js,
    partitions: options.partitions,
    deadLetters: options.deadLetters,
    metrics,
  });
  /** Lists of alerts wait for this: a moment after the start, the index has caught up with the stream. */
  const inTime = (caughtUp: Promise<unknown>) =>
    Promise.race([caughtUp, delay(CATCH_UP_WAIT_MS, undefined, { ref: false })]);
  const listable = inTime(reader.caughtUp());
  const casesListable = inTime(cases.reader.caughtUp());
  let closing = false;

  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    forceCloseConnections: true,
    // Longer than the longest id that a route takes, so that its own schema says what is wrong.
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
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

  gate.install(app);
  app.addHook('onRequest', async (request) => {
    const refusal = refuseByAddress(request.raw);
    if (refusal !== undefined) throw refusal;
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

  const reveal = createReveal(app, refs, metrics);

  const natsConnected = (): boolean => connection.connected();
  const routes = createRoutes(app);
  addUsageRoutes(app, routes, { intake, natsConnected, metrics });
  addAlertRoutes(app, routes, {
    index,
    live,
    gate,
    reveal,
    refs,
    listable,
    refuseByAddress,
    natsConnected,
    closing: () => closing,
    metrics,
  });
  addRecordRoutes(app, routes, {
    records: options.records,
    partitions: options.partitions,
    index,
    js: options.js,
    jsm: options.jsm,
    rules: options.rules,
    refs,
    listable,
    natsConnected,
  });
  addSubscriberRoutes(routes, { inspectSubscriber: options.inspectSubscriber, reveal, refs });
  const { lists } = options;
  addCaseRoutes(routes, { cases, refs, listable: casesListable, natsConnected, addListEntry: lists.add });
  addDeskSettingsRoutes(routes, { cases, listable: casesListable, natsConnected });
  addListRoutes(routes, lists);
  addRuleRoutes(routes, { rules: options.rules, natsConnected });
  addRuleChangeRoutes(routes, { changes: options.ruleChanges, cases, natsConnected });
  const { nc, js, jsm, partitions } = options;
  addDeadLetterRoutes(routes, { deadLetters: openDeadLetters({ nc, js, jsm, partitions }), natsConnected, metrics });
  addOperationsRoutes(routes, options.operations);
  addChurnRoutes(routes, options.churn);
  addSessionRoutes(app, routes, { gate, store: access, oidcLabel: oidc?.label, timeZone: options.timeZone, metrics });
  addAdministrationRoutes(routes, { gate, store: access });
  addOidcRoutes(app, routes, { signIn: oidcSignIn, gate, store: access, metrics, log });
  addDocumentRoutes(routes);
  routes.close();
  await addConsoleFiles(app, options.consoleDir);

  await app.ready();

  return {
    async listen(host, port) {
      if (!gate.required()) assertLoopback(host);
      try {
        return await app.listen({ host, port });
      } catch (error) {
        throw listenError(error, host, port);
      }
    },
    reading: () => reader.reading() && cases.reader.reading(),
    ended: Promise.race([reader.ended, cases.reader.ended, webhooks.ended]),
    async close() {
      closing = true;
      caseFeed.close();
      await live.close();
      await app.close();
      gate.close();
      await reader.close();
      index.close();
      await webhooks.close();
      await cases.close();
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
