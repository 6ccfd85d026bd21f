/**
 * The gate of the gateway: who makes a request, whether they may, how much of a number goes out to them, and what of it is
 * written down. It stands between the router and the routes, so that a route cannot forget it:
 *
 *     onRequest    who: a key (`Authorization: Bearer rf_...`), a session (cookie), or nobody
 *     preParsing   may they: the row of the route in access/table.ts, forgery from other sites, their own rate
 *     handler      on what: desks, by `request.principal`
 *     onSend       numbers masked, audit entry written; only then does the answer leave
 *
 * While neither a user nor a key nor an identity provider is set up, everybody who can connect may do everything: `serve`
 * then listens on loopback alone.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AuditEntry } from '../access/audit.ts';
import { maskNumbers, type NumberRefs } from '../access/numbers.ts';
import { type AccessStore, type Author, isStoreError } from '../access/store.ts';
import {
  type Access,
  ANONYMOUS,
  decide,
  maySeeDesk,
  OPEN,
  type OperationId,
  type Principal,
  ROUTE_ACCESS,
} from '../access/table.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { AddressGuard } from './address.ts';
import { ProblemError, RETRY_AFTER_SEC } from './problem.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who makes this request. */
    principal: Principal;
    /** What the audit entry of this request says beside its parameters; handlers add to it. */
    trace: { object?: Record<string, string>; reason?: string; before?: unknown; after?: unknown };
    /** The handler writes the entries of this request itself. */
    traceWritten: boolean;
    /** The handler has decided itself what of the numbers may be seen, and has said so in `trace`. */
    numbersRevealed: boolean;
  }
  interface FastifyContextConfig {
    /** The row of the table that this route goes by. */
    operation?: OperationId;
    /** Files of the console and answers to wrong methods: the same for everybody, without any data. */
    harmless?: boolean;
  }
}

/** Requests a minute of one person; a page that is open makes a few dozen. Machines have the limit of an address. */
const PERSON_REQUESTS_PER_MINUTE_MAX = 1_200;
/** Changes a minute by one key: each is a write to disk in the thread of the engine. */
const KEY_CHANGES_PER_MINUTE_MAX = 6_000;
/** Numbers a minute that one person may see whole: enough for a queue, too few for a list. */
const REVEALS_PER_MINUTE_MAX = 20;
/** A browser sends it only for a page of ours: another site would have to ask first, and is told no. */
const FORGERY_HEADER = 'ringfence-request';
const SESSION_COOKIE = 'ringfence_session';
/** Browsers take a cookie of this name only over TLS and from this very host. */
const SECURE_SESSION_COOKIE = `__Host-${SESSION_COOKIE}`;
const TICKET_LIFE_MS = 30_000;
const TICKETS_MAX = 10_000;
/** Different refused requests that wait to be written down together; beyond it they are only counted. */
const REFUSALS_WAITING_MAX = 256;
const REFUSALS_PAUSE_MS = 1_000;
/** Each attempt may wait for a lock, and the engine with it. */
const REFUSALS_RETRY_MS = 15_000;

export interface AccessGate {
  /** Whether somebody has to sign in here. */
  required(): boolean;
  /** Sets the hooks, before any route and behind the plugin that limits rates. */
  install(app: FastifyInstance): void;
  /** A ticket for one WebSocket of this principal. */
  takeTicket(principal: Principal): { ticket: string; expiresAt: number };
  /** Who opens a WebSocket, or why they may not. */
  admit(request: IncomingMessage, ticket: string | undefined): Principal | ProblemError;
  /** What a connected principal may do now; undefined where it is nothing any more. */
  renew(principal: Principal): Principal | undefined;
  /** Changes whenever `renew` may answer something else than before. */
  version(): string;
  now(): number;
  /** An answer as this principal may see it. */
  mask<T>(principal: Principal, answer: T): T;
  /** Whether the browser reached us over TLS, so that a cookie may say that it needs it. */
  isSecure(request: FastifyRequest): boolean;
  sessionCookie(request: FastifyRequest, token: string): string;
  sessionToken(request: FastifyRequest): string | undefined;
  authorOf(request: FastifyRequest, principal?: Principal): Author;
  /** Writes down what was refused and is still waiting. */
  close(): void;
}

export function createAccessGate(options: {
  store: AccessStore;
  refs: NumberRefs;
  guard: AddressGuard;
  /** An identity provider is set up, so somebody has to sign in even where there is no local user. */
  alwaysRequired: boolean;
  metrics: Metrics;
  log: Log;
}): AccessGate {
  const { store, refs, guard, alwaysRequired, metrics, log } = options;
  const required = (): boolean => alwaysRequired || store.configured();

  /** Tickets by their text, oldest first. */
  const tickets = new Map<string, { principal: Principal; expiresAt: number }>();
  metrics.trackQueue('ws_tickets', TICKETS_MAX, () => tickets.size);

  /** Undefined: a key that is none, or is none any more. */
  const principalOf = (request: IncomingMessage): Principal | undefined => {
    if (!required()) return OPEN;
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const [, secret] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
      return secret === undefined ? undefined : store.principalOfKey(secret);
    }
    const token = cookieOf(request);
    // A session that has ended is as if nobody had signed in: the console shows its page for that.
    return (token !== undefined && store.principalOfSession(token)) || ANONYMOUS;
  };

  // -- what was refused --------------------------------------------------------------------------------------------------

  const refusals = new Map<string, AuditEntry>();
  let refusalsTimer: NodeJS.Timeout | undefined;
  metrics.trackQueue('access_refusals', REFUSALS_WAITING_MAX, () => refusals.size);
  /** The last entry could not be written: until one can, nothing is changed that would have to be written down. */
  let logFails = false;
  const write = (entries: readonly AuditEntry[]): void => {
    try {
      store.audit(entries);
      logFails = false;
    } catch (error) {
      logFails = true;
      throw error;
    }
  };
  const writeRefusals = (): void => {
    clearTimeout(refusalsTimer);
    refusalsTimer = undefined;
    try {
      write([...refusals.values()]);
      refusals.clear();
    } catch (error) {
      if (!isStoreError(error)) throw error;
      // They wait, and those that come meanwhile are counted with them.
      log.error({ err: error, waiting: refusals.size }, 'the audit log cannot be written');
      refusalsTimer = setTimeout(writeRefusals, REFUSALS_RETRY_MS);
      refusalsTimer.unref();
    }
  };
  /** Nothing was changed. Who knocks a thousand times a second must not make a thousand writes to disk a second. */
  const noteRefusal = (entry: AuditEntry): void => {
    if (entry.result === 'denied') metrics.accessDeniedTotal.inc({ status: String(entry.status) });
    const same = JSON.stringify([entry.who, entry.action, entry.ip, entry.status]);
    const key = refusals.has(same) || refusals.size < REFUSALS_WAITING_MAX ? same : '';
    const waiting = refusals.get(key);
    if (waiting === undefined) refusals.set(key, entry);
    else waiting.more = (waiting.more ?? 0) + 1;
    refusalsTimer ??= setTimeout(writeRefusals, REFUSALS_PAUSE_MS);
    refusalsTimer.unref();
  };

  // -- may they ----------------------------------------------------------------------------------------------------------

  /** Requests of other sites that a browser would send with our cookie. */
  const isForged = (request: FastifyRequest): boolean => {
    if (isRead(request)) return false;
    const { [FORGERY_HEADER]: header, 'sec-fetch-site': site } = request.headers;
    return header !== '1' || (site !== undefined && site !== 'same-origin' && site !== 'none');
  };
  const refusalOf = (operation: OperationId, principal: Principal): ProblemError | undefined => {
    const decision = decide(operation, principal);
    if (decision === 'signInFirst') return signInFirst();
    if (decision === 'passwordFirst') {
      return new ProblemError(403, 'The one-time password has to be changed first.', {
        members: { code: 'password-change-needed' },
      });
    }
    return decision === 'forbidden' ? new ProblemError(403, 'Your roles or scopes do not include this.') : undefined;
  };

  const authorOf = (request: FastifyRequest, principal = request.principal): Author => ({
    who: { kind: principal.kind, id: principal.id },
    ip: request.ip,
    requestId: request.id,
  });

  const traced = (request: FastifyRequest, reply: FastifyReply, operation: OperationId): void => {
    if (request.traceWritten) return;
    const row: Access = ROUTE_ACCESS[operation];
    const status = reply.statusCode;
    const denied = status === 401 || status === 403;
    if (!denied && (row.audit === false || (isRead(request) && request.trace.object === undefined))) return;
    // What is only read is not written down, unless a handler has said that it matters.
    const { object, ...told } = request.trace;
    const entry: AuditEntry = {
      at: new Date(store.now()).toISOString(),
      ...authorOf(request),
      action: operation,
      object: object ?? objectOf(request, refs),
      result: denied ? 'denied' : status < 400 ? 'done' : 'failed',
      status,
      ...told,
    };
    if (status >= 400 && status < 500) noteRefusal(entry);
    else write([entry]);
  };

  const assertWritable = (): void => {
    try {
      store.probe();
      logFails = false;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      throw new ProblemError(503, 'The audit log cannot be written, so nothing can be changed now.', {
        headers: { 'Retry-After': RETRY_AFTER_SEC },
      });
    }
  };

  const mask: AccessGate['mask'] = (principal, answer) => maskNumbers(answer, principal.numbers, refs);

  return {
    required,
    now: store.now,
    mask,
    authorOf,
    install(app) {
      const routes: {
        method: string | string[];
        url: string;
        config?: { operation?: OperationId; harmless?: boolean };
      }[] = [];
      app.addHook('onRoute', (route) => void routes.push(route));
      app.addHook('onReady', async () => {
        for (const { method, url, config } of routes) {
          const known = config?.operation !== undefined && Object.hasOwn(ROUTE_ACCESS, config.operation);
          if (!known && config?.harmless !== true) {
            throw new Error(`${method} ${url} has no row in access/table.ts, so nobody knows who may use it`);
          }
        }
      });
      app.decorateRequest('principal');
      app.decorateRequest('trace');
      app.decorateRequest('traceWritten', false);
      app.decorateRequest('numbersRevealed', false);

      app.addHook('onRequest', async (request) => {
        request.trace = {};
        request.principal = ANONYMOUS;
        const principal = principalOf(request.raw);
        if (principal === undefined) throw signInFirst('The key is unknown, expired or revoked.');
        request.principal = principal;
      });
      const personLimit = app.createRateLimit({
        max: PERSON_REQUESTS_PER_MINUTE_MAX,
        timeWindow: 60_000,
        keyGenerator: (request) => `person ${request.principal.id}`,
      });
      const keyLimit = app.createRateLimit({
        max: KEY_CHANGES_PER_MINUTE_MAX,
        timeWindow: 60_000,
        keyGenerator: (request) => `key ${request.principal.id}`,
      });
      app.addHook('preParsing', async (request) => {
        const { operation } = request.routeOptions.config;
        if (operation === undefined) return;
        const { principal } = request;
        const refusal = refusalOf(operation, principal);
        if (refusal !== undefined) throw refusal;
        const usesCookie = principal.kind === 'user' || principal.kind === 'anonymous';
        if (usesCookie && isForged(request)) {
          throw new ProblemError(
            403,
            `Requests of a page that change something carry the header ${FORGERY_HEADER}: 1.`,
          );
        }
        if (principal.kind === 'user') await assertRate(personLimit, request);
        const row: Access = ROUTE_ACCESS[operation];
        if (row.audit === false || isRead(request)) return;
        if (principal.kind === 'key') await assertRate(keyLimit, request);
        if (logFails) assertWritable();
      });
      app.addHook('onSend', async (request, reply, payload) => {
        const { operation } = request.routeOptions.config;
        if (operation === undefined) return payload;
        let answer = payload;
        const { principal } = request;
        // What was made for one person is in no cache for the next.
        if (principal.kind !== 'open' && ROUTE_ACCESS[operation].may !== 'public')
          reply.header('Cache-Control', 'no-store');
        const isMasked =
          principal.numbers !== 'full' && !request.numbersRevealed && ROUTE_ACCESS[operation].may !== 'public';
        if (isMasked && payload !== undefined && payload !== null && payload !== '') {
          if (typeof payload !== 'string') throw new Error('an answer that cannot be masked');
          answer = isJson(reply) ? JSON.stringify(mask(principal, JSON.parse(payload))) : mask(principal, payload);
          reply.header('content-length', Buffer.byteLength(answer as string));
        }
        traced(request, reply, operation);
        return answer;
      });
    },
    takeTicket(principal) {
      const at = store.now();
      for (const [ticket, { expiresAt }] of tickets) {
        if (expiresAt > at && tickets.size < TICKETS_MAX) break;
        tickets.delete(ticket);
      }
      const ticket = randomBytes(32).toString('base64url');
      const expiresAt = at + TICKET_LIFE_MS;
      tickets.set(ticket, { principal, expiresAt });
      return { ticket, expiresAt };
    },
    admit(request, ticket) {
      const refuse = (principal: Principal, problem: ProblemError): ProblemError => {
        noteRefusal({
          at: new Date(store.now()).toISOString(),
          who: { kind: principal.kind, id: principal.id },
          action: 'followAlerts',
          object: {},
          result: 'denied',
          status: problem.status,
          ip: request.socket.remoteAddress ?? '',
        });
        return problem;
      };
      if (!required()) return OPEN;
      let principal: Principal | undefined;
      if (ticket !== undefined) {
        const held = tickets.get(ticket);
        tickets.delete(ticket);
        if (held !== undefined && held.expiresAt > store.now()) principal = store.renew(held.principal);
      } else if (request.headers.authorization !== undefined) principal = principalOf(request);
      if (principal === undefined) {
        return refuse(ANONYMOUS, signInFirst('A ticket of POST /v1/ws-ticket is needed; it holds once, for 30 s.'));
      }
      // A person's ticket is for a page, and a page says where it comes from.
      if (
        principal.kind === 'user' &&
        (request.headers.origin === undefined || !guard.originAllowed(request.headers))
      ) {
        return refuse(principal, new ProblemError(403, 'Only pages of this server may use such a ticket.'));
      }
      const refusal = refusalOf('followAlerts', principal);
      return refusal === undefined ? principal : refuse(principal, refusal);
    },
    renew(principal) {
      const renewed = principal.kind === 'open' ? (required() ? undefined : OPEN) : store.renew(principal);
      return renewed !== undefined && decide('followAlerts', renewed) === 'allowed' ? renewed : undefined;
    },
    version: () => `${store.version()}${required()}`,
    isSecure: (request) => guard.isSecure(request.headers),
    sessionCookie(request, token) {
      const secure = guard.isSecure(request.headers);
      const name = secure ? SECURE_SESSION_COOKIE : SESSION_COOKIE;
      const life = token === '' ? '; Max-Age=0' : '';
      return `${name}=${token}; Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}${life}`;
    },
    sessionToken: (request) => cookieOf(request.raw),
    close() {
      writeRefusals();
      clearTimeout(refusalsTimer);
    },
  };
}

function signInFirst(detail = 'Sign in first.'): ProblemError {
  return new ProblemError(401, detail, { headers: { 'WWW-Authenticate': 'Bearer' } });
}

/** The session that a request brings; that of TLS goes first, because nobody else can have set it. */
function cookieOf(request: IncomingMessage): string | undefined {
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  for (const name of [SECURE_SESSION_COOKIE, SESSION_COOKIE]) {
    const pair = pairs.find((one) => one.startsWith(`${name}=`));
    if (pair !== undefined) return pair.slice(name.length + 1);
  }
  return undefined;
}

const isRead = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD';

function isJson(reply: FastifyReply): boolean {
  return /^application\/(problem\+)?json/.test(String(reply.getHeader('content-type')));
}

/** What a request is about, by the parameters of its path; a number becomes the reference of its subscriber. */
function objectOf(request: FastifyRequest, refs: NumberRefs): Record<string, string> {
  const params = Object.entries((request.params ?? {}) as Record<string, string>);
  return Object.fromEntries(
    params.map(([name, value]) => [name, name === 'msisdn' && /^\d+$/.test(value) ? refs.refOf(value) : value]),
  );
}

/** Answers 429 where a limit made by `createRateLimit` is passed. */
export async function assertRate(
  check: ReturnType<FastifyInstance['createRateLimit']>,
  request: FastifyRequest,
): Promise<void> {
  const limit = await check(request);
  if (limit.isAllowed || !limit.isExceeded) return;
  throw new ProblemError(429, 'Too many requests in a minute.', {
    headers: { 'Retry-After': String(limit.ttlInSeconds) },
  });
}

/**
 * The number that a parameter names, itself or by reference. Somebody who sees masked numbers and asks by a whole one knows
 * it from elsewhere, or tries them one after the other: that is written down.
 * @throws ProblemError 404 where the reference is none of ours
 */
export function numberOf(request: FastifyRequest, text: string, refs: NumberRefs): string {
  if (text.startsWith('s_')) {
    const number = refs.numberOf(text);
    if (number === undefined) throw new ProblemError(404, 'This reference names no subscriber here.');
    return number;
  }
  if (request.principal.numbers !== 'full') request.trace.object = { subscriber: refs.refOf(text) };
  return text;
}

/** Answers with whole numbers, as far as the role ever sees them, and has it written down. */
export type Reveal = <T extends { servedMsisdn?: string | undefined }>(
  request: FastifyRequest,
  answer: T,
  reason: string,
) => Promise<T>;

export function createReveal(app: FastifyInstance, refs: NumberRefs, metrics: Metrics): Reveal {
  const limit = app.createRateLimit({
    max: REVEALS_PER_MINUTE_MAX,
    timeWindow: 60_000,
    keyGenerator: (request) => `reveal ${request.principal.id}`,
  });
  return async (request, answer, reason) => {
    await assertRate(limit, request);
    const { servedMsisdn } = answer;
    request.trace.object = {
      ...objectOf(request, refs),
      ...(servedMsisdn !== undefined && { subscriber: refs.refOf(servedMsisdn) }),
    };
    request.trace.reason = reason;
    request.numbersRevealed = true;
    metrics.numbersRevealedTotal.inc();
    const view = request.principal.numbers === 'own' ? 'own' : 'full';
    return maskNumbers(answer, view, refs, { showServed: true });
  };
}

/** @throws ProblemError 403 where somebody asks for a desk that is not theirs. */
export function assertDesk(request: FastifyRequest, desk: string | undefined): void {
  if (desk === undefined || maySeeDesk(request.principal, desk)) return;
  throw new ProblemError(403, `The desk ${desk} is not one of yours.`);
}
