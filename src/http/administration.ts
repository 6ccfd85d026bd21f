/**
 * Who may sign in, and with which keys programs may: what `ringfence users` and `ringfence keys` do, for the page of an
 * administrator. The first person of an installation is added on the command line, so that nobody who can merely connect ever
 * becomes one. A password or key that is made here is in the answer once and stored nowhere.
 */
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { verifyChainInSlices } from '../access/audit.ts';
import { hashPassword, oneTimePassword } from '../access/password.ts';
import type { AccessStore, Key, User } from '../access/store.ts';
import { grantProblem } from '../access/table.ts';
import { DESKS } from '../alerts/alert.ts';
import { RingfenceError } from '../errors.ts';
import type { AccessGate } from './access.ts';
import {
  KeyParamsSchema,
  NameParamsSchema,
  NewKeySchema,
  NewUserSchema,
  UserChangeSchema,
} from './administration-schemas.ts';
import { ProblemError } from './problem.ts';
import { jsonReader } from './request.ts';
import { json, type Routes } from './route.ts';

const DAY_MS = 86_400_000;

export function addAdministrationRoutes(routes: Routes, options: { gate: AccessGate; store: AccessStore }): void {
  const { gate, store } = options;
  const readNewUser = jsonReader(NewUserSchema);
  const readChange = jsonReader(UserChangeSchema);
  const readNewKey = jsonReader(NewKeySchema);

  const assertSignIn = (): void => {
    if (gate.required()) return;
    throw new ProblemError(
      409,
      'Nobody has to sign in here yet. `ringfence users add NAME --role admin` adds the first person.',
    );
  };
  /** What the store refuses, as the caller gets it. */
  const stored = <T>(change: () => T): T => {
    try {
      return change();
    } catch (error) {
      if (!(error instanceof RingfenceError)) throw error;
      throw new ProblemError(error.code === 'access.unknown' ? 404 : 409, error.message);
    }
  };
  const assertGrant = (...[given, on]: Parameters<typeof grantProblem>): void => {
    const problem = grantProblem(given, on);
    if (problem !== undefined) throw new ProblemError(422, problem);
  };
  const userOr404 = (name: string): User => {
    const user = store.user(name);
    if (user === undefined) throw new ProblemError(404, 'There is no user of this name.');
    return user;
  };

  routes.add(
    {
      method: 'GET',
      url: '/v1/users',
      id: 'listUsers',
      summary: 'People who sign in with a password, the disabled too.',
      answers: { 200: { description: 'All of them.', content: json('Users') } },
      problems: [],
    },
    async () => ({ users: store.users() }),
  );

  routes.add(
    {
      method: 'POST',
      url: '/v1/users',
      id: 'addUser',
      summary: 'Add a person; the answer holds a one-time password.',
      body: { description: 'Name, roles and desks.', content: json('NewUser') },
      answers: { 201: { description: 'The person and the password.', content: json('OneTimePassword') } },
      problems: [400, 409, 413, 415, 422],
    },
    async (request, reply) => {
      const { name, roles: given, desks: on } = readNewUser(request);
      assertSignIn();
      assertGrant(given, on);
      const password = oneTimePassword();
      const hash = await hashPassword(password);
      stored(() => store.addUser({ name, roles: given, desks: on, password: hash }, gate.authorOf(request)));
      return reply.code(201).send({ user: store.user(name), oneTimePassword: password });
    },
  );

  routes.add<unknown, Static<typeof NameParamsSchema>>(
    {
      method: 'PUT',
      url: '/v1/users/:name',
      id: 'changeUser',
      summary: 'Give a person other roles or desks, or let them sign in no more.',
      params: NameParamsSchema,
      body: { description: 'What changes.', content: json('UserChange') },
      answers: { 200: { description: 'The person as they are now.', content: json('User') } },
      problems: [400, 404, 409, 413, 415, 422],
    },
    async (request) => {
      const { name } = request.params;
      const change = readChange(request);
      const before = userOr404(name);
      const { roles: given = before.roles, desks: on = before.desks, disabled } = change;
      assertGrant(given, on);
      const isOwn = request.principal.kind === 'user' && request.principal.id === name;
      if (isOwn && (disabled === true || !given.includes('admin'))) {
        throw new ProblemError(409, 'Administrators do not take their own right away: another one does.');
      }
      stored(() =>
        store.changeUser(
          name,
          { roles: given, desks: on, ...(disabled !== undefined && { disabled }) },
          gate.authorOf(request),
        ),
      );
      return userOr404(name);
    },
  );

  routes.add<unknown, Static<typeof NameParamsSchema>>(
    {
      method: 'POST',
      url: '/v1/users/:name/password',
      id: 'resetPassword',
      summary: 'A new one-time password for a person; ends their sessions.',
      params: NameParamsSchema,
      answers: { 200: { description: 'The person and the password.', content: json('OneTimePassword') } },
      problems: [400, 404],
    },
    async (request) => {
      const { name } = request.params;
      userOr404(name);
      const password = oneTimePassword();
      const hash = await hashPassword(password);
      stored(() => store.changeUser(name, { password: { hash, mustChange: true } }, gate.authorOf(request)));
      return { user: userOr404(name), oneTimePassword: password };
    },
  );

  routes.add(
    {
      method: 'GET',
      url: '/v1/keys',
      id: 'listKeys',
      summary: 'Keys of programs, the revoked too; never the keys themselves.',
      answers: { 200: { description: 'All of them.', content: json('Keys') } },
      problems: [],
    },
    async (): Promise<{ keys: Key[] }> => ({ keys: store.keys() }),
  );

  routes.add(
    {
      method: 'POST',
      url: '/v1/keys',
      id: 'addKey',
      summary: 'Make a key; the answer holds it.',
      body: { description: 'What it is for and what it may.', content: json('NewKey') },
      answers: { 201: { description: 'The key.', content: json('KeySecret') } },
      problems: [400, 409, 413, 415, 422],
    },
    async (request: FastifyRequest, reply) => {
      const { name, scopes, desks: on = [...DESKS], numbers, days } = readNewKey(request);
      assertSignIn();
      if (on.length === 0) throw new ProblemError(422, 'At least one desk is needed.');
      const expiresAt = store.now() + days * DAY_MS;
      const made = stored(() => store.addKey({ name, scopes, desks: on, numbers, expiresAt }, gate.authorOf(request)));
      return reply.code(201).send(made);
    },
  );

  routes.add<unknown, Static<typeof KeyParamsSchema>>(
    {
      method: 'DELETE',
      url: '/v1/keys/:keyId',
      id: 'revokeKey',
      summary: 'End a key; the next request with it is refused.',
      params: KeyParamsSchema,
      answers: { 204: { description: 'Ended.' } },
      problems: [400, 404],
    },
    async (request, reply) => {
      stored(() => store.revokeKey(request.params.keyId, gate.authorOf(request)));
      return reply.code(204).send();
    },
  );

  /** One at a time: it reads everything that was ever written. */
  let verifying: ReturnType<typeof verifyChainInSlices> | undefined;
  routes.add(
    {
      method: 'GET',
      url: '/v1/audit/verify',
      id: 'verifyAudit',
      summary: 'Whether the audit log is whole, from its first entry to its last.',
      answers: { 200: { description: 'What was found.', content: json('AuditVerdict') } },
      problems: [],
    },
    async () => {
      verifying ??= verifyChainInSlices(store.auditRows()).finally(() => {
        verifying = undefined;
      });
      return verifying;
    },
  );
}
