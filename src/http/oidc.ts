/**
 * The two addresses of signing in through an identity provider: the way there and the way back. They are followed by a
 * browser, so they answer with redirects, and what went wrong becomes a word that the console knows.
 */
import type { FastifyInstance } from 'fastify';
import { ATTEMPT_LIFE_MS, ATTEMPTS_MAX, type OidcSignIn } from '../access/oidc.ts';
import type { AccessStore } from '../access/store.ts';
import { ANONYMOUS } from '../access/table.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { type AccessGate, assertRate } from './access.ts';
import { ProblemError, RETRY_AFTER_SEC } from './problem.ts';
import type { Routes } from './route.ts';

const PATH = '/v1/session/oidc';
/** It has to come along from the provider's site, so it is Lax where the session is Strict. It opens nothing by itself. */
const HANDLE_COOKIE = 'ringfence_sign_in';
const HANDLE = /(?:^|;) *ringfence_sign_in=([A-Za-z0-9_-]{43})(?:;|$)/;
const ATTEMPTS_PER_MINUTE_MAX = 60;

export interface OidcRoutesOptions {
  /** Undefined where no provider is configured: then there is nothing at these addresses. */
  signIn: OidcSignIn | undefined;
  gate: AccessGate;
  store: AccessStore;
  metrics: Metrics;
  log: Log;
}

export function addOidcRoutes(app: FastifyInstance, routes: Routes, options: OidcRoutesOptions): void {
  const { signIn, gate, store, metrics, log } = options;
  if (signIn !== undefined) metrics.trackQueue('oidc_attempts', ATTEMPTS_MAX, () => signIn.attempts());
  const limit = app.createRateLimit({
    max: ATTEMPTS_PER_MINUTE_MAX,
    timeWindow: 60_000,
    keyGenerator: (request) => `oidc ${request.ip}`,
  });
  const provider = (): OidcSignIn => {
    if (signIn === undefined) throw new ProblemError(404, 'No identity provider is configured.');
    return signIn;
  };

  routes.add(
    {
      method: 'GET',
      url: PATH,
      id: 'beginOidc',
      summary: 'Sends the browser to the identity provider.',
      answers: { 302: { description: 'To the provider.', headers: ['Location', 'Set-Cookie'] } },
      problems: [404, 503],
    },
    async (request, reply) => {
      const to = provider();
      await assertRate(limit, request);
      try {
        const { address, handle } = await to.begin();
        const secure = gate.isSecure(request) ? '; Secure' : '';
        const cookie = `${HANDLE_COOKIE}=${handle}; Path=${PATH}; HttpOnly; SameSite=Lax; Max-Age=${ATTEMPT_LIFE_MS / 1000}${secure}`;
        return reply.header('Cache-Control', 'no-store').header('Set-Cookie', cookie).redirect(address, 302);
      } catch (error) {
        log.warn({ err: error }, 'identity provider does not answer');
        throw new ProblemError(503, 'The identity provider does not answer.', {
          headers: { 'Retry-After': RETRY_AFTER_SEC },
        });
      }
    },
  );

  routes.add(
    {
      method: 'GET',
      url: `${PATH}/callback`,
      id: 'finishOidc',
      summary: 'Where the identity provider sends the browser back.',
      answers: { 302: { description: 'To the console.', headers: ['Location', 'Set-Cookie'] } },
      problems: [404],
    },
    async (request, reply) => {
      const from = provider();
      await assertRate(limit, request);
      const handle = HANDLE.exec(request.headers.cookie ?? '')?.[1];
      const outcome = await from.finish(handle, new URL(request.url, 'http://gateway').searchParams);
      const done = `${HANDLE_COOKIE}=; Path=${PATH}; HttpOnly; SameSite=Lax; Max-Age=0`;
      reply.header('Cache-Control', 'no-store').header('Referrer-Policy', 'no-referrer');
      if (outcome.kind === 'person') {
        const { name, subject, roles, desks } = outcome;
        const author = { ...gate.authorOf(request, ANONYMOUS), who: { kind: 'user', id: name } };
        const token = store.beginSession({ name, provider: 'oidc', subject, roles, desks }, author);
        metrics.signInsTotal.inc({ provider: 'oidc', result: 'done' });
        return reply.header('Set-Cookie', [done, gate.sessionCookie(request, token)]).redirect('../../../', 302);
      }
      metrics.signInsTotal.inc({ provider: 'oidc', result: 'failed' });
      const known = outcome.kind === 'refused';
      store.audit([
        {
          at: new Date(store.now()).toISOString(),
          ...gate.authorOf(request, ANONYMOUS),
          action: 'signIn',
          object: { provider: 'oidc', ...(known && { user: outcome.name, subject: outcome.subject }) },
          result: 'failed',
          reason: known ? 'no role here' : outcome.reason,
        },
      ]);
      return reply.header('Set-Cookie', done).redirect(`../../../?sign-in=${outcome.kind}`, 302);
    },
  );
}
