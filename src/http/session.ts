/**
 * Signing in and out of the console, and what goes with it: the password, the ticket for the WebSocket, the audit log.
 *
 * A session is a cookie that scripts cannot read and other sites cannot send. Whatever is wrong with a sign-in, the answer
 * and the time it takes are the same, so nobody learns which names exist.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AuditEntry, AuditRow } from '../access/audit.ts';
import { hashingIsBusy, hashPassword, NO_PASSWORD, passwordMatches, passwordProblem } from '../access/password.ts';
import type { AccessStore } from '../access/store.ts';
import { ANONYMOUS, operationsOf, type Principal } from '../access/table.ts';
import type { Metrics } from '../metrics.ts';
import { type AccessGate, assertRate } from './access.ts';
import { ProblemError, RETRY_AFTER_SEC } from './problem.ts';
import { jsonReader } from './request.ts';
import { json, type Routes } from './route.ts';
import { type AuditQuery, AuditQuerySchema, PasswordChangeSchema, type SessionView, SignInSchema } from './schemas.ts';

/**
 * Attempts a minute: for one name from one address, for one name from everywhere, and from one address. A person who mistypes
 * stays below, a list of passwords does not; and who knocks from elsewhere does not lock the owner of a name out at once.
 */
const SIGN_INS_PER_PERSON_MAX = 10;
const SIGN_INS_PER_NAME_MAX = 60;
const SIGN_INS_PER_ADDRESS_MAX = 60;
const NAMES_REMEMBERED_MAX = 10_000;
const AUDIT_PAGE_DEFAULT = 100;

export function addSessionRoutes(
  app: FastifyInstance,
  routes: Routes,
  options: {
    gate: AccessGate;
    store: AccessStore;
    /** Name of the identity provider for the button of the console; undefined where there is none. */
    oidcLabel: string | undefined;
    timeZone: string;
    metrics: Metrics;
  },
): void {
  const { gate, store, oidcLabel, timeZone, metrics } = options;
  const readSignIn = jsonReader(SignInSchema);
  const readPasswordChange = jsonReader(PasswordChangeSchema);
  const perMinute = { timeWindow: 60_000, cache: NAMES_REMEMBERED_MAX };
  const nameOf = (request: FastifyRequest): string => request.trace.object?.['user'] ?? '';
  const personLimit = app.createRateLimit({
    ...perMinute,
    max: SIGN_INS_PER_PERSON_MAX,
    keyGenerator: (request) => `person ${request.ip} ${nameOf(request)}`,
  });
  const nameLimit = app.createRateLimit({
    ...perMinute,
    max: SIGN_INS_PER_NAME_MAX,
    keyGenerator: (request) => `name ${nameOf(request)}`,
  });
  const addressLimit = app.createRateLimit({
    ...perMinute,
    max: SIGN_INS_PER_ADDRESS_MAX,
    keyGenerator: (request) => `address ${request.ip}`,
  });

  const viewOf = (principal: Principal): SessionView => {
    const { kind, id, roles, scopes, desks, numbers, mustChangePassword, expiresAt } = principal;
    const person = { kind, name: id, roles: [...roles], scopes: [...scopes], desks: [...desks], numbers };
    return {
      signIn: gate.required() ? 'required' : 'open',
      person: kind === 'user' || kind === 'key' ? { ...person, kind: kind, mustChangePassword, expiresAt } : null,
      may: operationsOf(principal),
      providers: { password: store.users().length > 0, oidc: oidcLabel ?? null },
      timeZone,
    };
  };

  routes.add(
    {
      method: 'GET',
      url: '/v1/session',
      id: 'getSession',
      summary: 'Who is signed in here, and how to.',
      answers: { 200: { description: 'The session.', content: json('Session') } },
      problems: [401],
    },
    async (request, reply) => reply.header('Cache-Control', 'no-store').send(viewOf(request.principal)),
  );

  routes.add(
    {
      method: 'POST',
      url: '/v1/session',
      id: 'signIn',
      summary: 'Sign in with name and password.',
      description: 'Answers with a cookie. Machines use keys instead.',
      headers: { 'ringfence-request': '`1`: says that a page of ours, and not of another site, sends this.' },
      body: { description: 'Name and password.', content: json('SignIn') },
      answers: { 200: { description: 'Signed in.', content: json('Session'), headers: ['Set-Cookie'] } },
      problems: [400, 401, 403, 413, 415, 503],
    },
    async (request, reply) => {
      const { name, password } = readSignIn(request);
      request.trace.object = { user: name };
      // What was typed as a name may be a password: only a known name is written down, by `failed` below.
      request.traceWritten = true;
      const failed = (status: 401 | 429, detail: string): void => {
        metrics.signInsTotal.inc({ provider: 'local', result: status === 429 ? 'limited' : 'failed' });
        const known = store.user(name) !== undefined;
        const entry: AuditEntry = {
          at: new Date(store.now()).toISOString(),
          ...gate.authorOf(request, ANONYMOUS),
          action: 'signIn',
          object: { user: known ? name : '(unknown)', provider: 'local' },
          result: 'failed',
          status,
          reason: detail,
        };
        store.audit([entry]);
      };
      await assertRate(addressLimit, request);
      await assertRate(nameLimit, request);
      const limit = await personLimit(request);
      if (!limit.isAllowed && limit.isExceeded) {
        if (limit.ttlInSeconds >= 59) failed(429, 'Too many attempts.');
        throw new ProblemError(429, 'Too many attempts for this name. Wait a minute.', {
          headers: { 'Retry-After': String(limit.ttlInSeconds) },
        });
      }
      if (hashingIsBusy()) {
        throw new ProblemError(503, 'Too many people sign in at once.', {
          headers: { 'Retry-After': RETRY_AFTER_SEC },
        });
      }
      const stored = store.passwordOf(name);
      const matches = await passwordMatches(password, stored ?? NO_PASSWORD);
      // Asked for again: it may have been changed, or the user disabled, while the hash was worked out.
      if (stored === undefined || !matches || store.passwordOf(name) !== stored) {
        failed(401, 'Name or password is wrong.');
        throw new ProblemError(401, 'Name or password is wrong.');
      }
      const author = { ...gate.authorOf(request), who: { kind: 'user', id: name } };
      const token = store.beginSession({ name, provider: 'local' }, author);
      metrics.signInsTotal.inc({ provider: 'local', result: 'done' });
      reply.header('Set-Cookie', gate.sessionCookie(request, token)).header('Cache-Control', 'no-store');
      return viewOf(store.principalOfSession(token)!);
    },
  );

  routes.add(
    {
      method: 'DELETE',
      url: '/v1/session',
      id: 'signOut',
      summary: 'Sign out.',
      answers: { 204: { description: 'Signed out.', headers: ['Set-Cookie'] } },
      problems: [401, 403],
    },
    async (request, reply) => {
      const token = gate.sessionToken(request);
      if (token !== undefined) store.endSession(token);
      return reply.code(204).header('Set-Cookie', gate.sessionCookie(request, '')).send();
    },
  );

  routes.add(
    {
      method: 'PUT',
      url: '/v1/session/password',
      id: 'changePassword',
      summary: 'Change the own password; every other session of the person ends.',
      body: { description: 'The password now, and the new one.', content: json('PasswordChange') },
      answers: { 204: { description: 'Changed.', headers: ['Set-Cookie'] } },
      problems: [400, 401, 403, 409, 413, 415, 422, 503],
    },
    async (request, reply) => {
      const { principal } = request;
      const { current, next } = readPasswordChange(request);
      const name = principal.id;
      request.trace.object = { user: name };
      await assertRate(personLimit, request);
      const stored = store.passwordOf(name);
      if (principal.kind !== 'user' || stored === undefined) {
        throw new ProblemError(409, 'The password of this person is kept by the identity provider.');
      }
      if (hashingIsBusy()) {
        throw new ProblemError(503, 'Too many people sign in at once.', {
          headers: { 'Retry-After': RETRY_AFTER_SEC },
        });
      }
      if (!(await passwordMatches(current, stored))) throw new ProblemError(403, 'The present password is wrong.');
      const wrong = next === current ? 'must be another one' : passwordProblem(next, name);
      if (wrong !== undefined) throw new ProblemError(422, `The new password ${wrong}.`);
      const hash = await hashPassword(next);
      const author = gate.authorOf(request);
      store.changeUser(name, { password: { hash, mustChange: false } }, author);
      const token = store.beginSession({ name, provider: 'local' }, author);
      return reply.code(204).header('Set-Cookie', gate.sessionCookie(request, token)).send();
    },
  );

  routes.add(
    {
      method: 'POST',
      url: '/v1/ws-ticket',
      id: 'takeTicket',
      summary: 'A ticket for the WebSocket of live alerts: once, within 30 s.',
      answers: {
        201: { description: 'The value of `ticket` in the address of the WebSocket.', content: json('Ticket') },
      },
      problems: [401, 403],
    },
    async (request, reply) =>
      reply.code(201).header('Cache-Control', 'no-store').send(gate.takeTicket(request.principal)),
  );

  routes.add<AuditQuery>(
    {
      method: 'GET',
      url: '/v1/audit',
      id: 'listAudit',
      summary: 'Who did what, newest first.',
      query: AuditQuerySchema,
      answers: { 200: { description: 'A page.', content: json('AuditPage') } },
      problems: [400, 401, 403],
    },
    async (request) => {
      const { before = Number.MAX_SAFE_INTEGER, limit = AUDIT_PAGE_DEFAULT } = request.query;
      const rows = store.auditPage(before, limit);
      const entryOf = ({ seq, text, hash }: AuditRow) => ({ seq, hash, ...(JSON.parse(text) as AuditEntry) });
      return { entries: rows.map(entryOf), next: rows.length === limit ? rows.at(-1)!.seq : null };
    },
  );
}
