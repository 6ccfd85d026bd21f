/** `users`, `keys` and `audit` as an administrator types them, beside a `serve` that goes by what they write. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SessionView } from '../src/http/schemas.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { copyRules, endProcesses, run, type Serving, serveArguments, startServe, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
const data = join(folder.path, 'data');
const rules = copyRules(join(folder.path, 'rules'), 'fraud/long-call');
let broker: Broker;
beforeAll(async () => {
  broker = await startBroker();
});
afterAll(async () => {
  await endProcesses();
  await broker.stop();
  folder.remove();
});
const command = (...args: string[]) => run([...args, '--data', data]);
const ask = (server: Serving, path: string, headers: Record<string, string> = {}, method = 'GET', body?: object) =>
  fetch(server.http.replace('0.0.0.0', '127.0.0.1') + path, {
    method,
    headers: { 'ringfence-request': '1', 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

describe('before anybody was added', () => {
  test('there is nothing, and looking makes nothing', async () => {
    const listed = await command('users', 'list', '--output', 'json');
    expect([listed.code, JSON.parse(listed.stdout)]).toEqual([0, []]);
    expect((await command('keys', 'list')).stdout).toBe('');
    const verified = await command('audit', 'verify');
    expect([verified.code, verified.stderr]).toEqual([3, expect.stringMatching(/no access file/)]);
    expect(existsSync(data)).toBe(false);
  });

  test.each([
    [['users', 'add', 'x y', '--role', 'sre'], /no user name/],
    [['users', 'add', '--role', 'sre', '--', '-x'], /no user name/],
    [['users', 'add', 'x'], /--role/],
    [['users', 'add', 'x', '--role', 'boss'], /boss/],
    [['users', 'add', 'x', '--role', 'analyst'], /At least one desk/],
    [['users', 'add', 'x', '--role', 'retention', '--desk', 'fraud'], /retention alone/],
    [['keys', 'add', 'x'], /--scope/],
    [['keys', 'add', 'x', '--scope', 'usage:write', '--days', '0'], /1 to 366 days/],
    [['keys', 'add', 'x', '--scope', 'usage:write', '--days', 'soon'], /1 to 366 days/],
  ])('%j is refused and leaves nothing behind', async (args, sentence) => {
    const { code, stdout, stderr } = await run([...args.slice(0, 2), '--data', data, ...args.slice(2)]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(sentence);
    expect(existsSync(data)).toBe(false);
  });
});

test('the first user opens every address, signs in, and is locked out again; the log of it holds', {
  timeout: 180_000,
}, async () => {
  const beyond = serveArguments({ nats: broker.url, data, args: ['--listen', '0.0.0.0:0'] });
  expect((await run(beyond)).code).toBe(3);

  const added = await command('users', 'add', 'alice', '--role', 'admin', '--role', 'lead', '--desk', 'all');
  const password = added.stdout.trim();
  expect([added.code, password]).toEqual([0, expect.stringMatching(/^(\w{5}-){3}\w{5}$/)]);
  const key = await command('keys', 'add', 'mediation', '--scope', 'usage:write');
  const secret = key.stdout.trim();
  expect(secret).toMatch(/^rf_/);

  const server = await startServe({ nats: broker.url, data, rules, args: ['--listen', '0.0.0.0:0'] });
  expect((await ask(server, '/v1/alerts')).status).toBe(401);
  expect((await ask(server, '/v1/usage', { authorization: `Bearer ${secret}` }, 'POST', {})).status).toBe(400);
  expect((await ask(server, '/v1/alerts', { authorization: `Bearer ${secret}` })).status).toBe(403);

  const signedIn = await ask(server, '/v1/session', {}, 'POST', { name: 'alice', password });
  expect((await signedIn.json()) as SessionView).toMatchObject({ person: { name: 'alice', mustChangePassword: true } });
  const cookie = { cookie: signedIn.headers.getSetCookie()[0]!.split(';')[0]! };
  const next = 'a sentence of her own';
  const changed = await ask(server, '/v1/session/password', cookie, 'PUT', { current: password, next });
  const own = { cookie: changed.headers.getSetCookie()[0]!.split(';')[0]! };
  expect((await ask(server, '/v1/alerts', own)).status).toBe(200);

  // Another process says so, and the next request goes by it.
  expect((await command('users', 'change', 'alice', '--role', 'sre')).code).toBe(0);
  expect((await ask(server, '/v1/alerts', own)).status).toBe(403);
  expect((await command('users', 'disable', 'alice')).stdout).toMatch(/disabled/);
  expect((await ask(server, '/v1/operations', own)).status).toBe(401);
  const [{ id }] = JSON.parse((await command('keys', 'list', '--output', 'json')).stdout) as [{ id: string }];
  expect((await command('keys', 'revoke', id)).stdout).toMatch(/revoked/);
  expect((await ask(server, '/v1/usage', { authorization: `Bearer ${secret}` }, 'POST', {})).status).toBe(401);
  const { stderr } = await server.end();

  // What somebody could sign in with is in no log and no file.
  const exported = await command('audit', 'export');
  const files = ['access.sqlite', 'access.sqlite-wal'].map((name) => join(data, name)).filter(existsSync);
  const everything = [stderr, exported.stdout, ...files.map((file) => readFileSync(file, 'latin1'))].join('\n');
  for (const canary of [password, next, secret.slice(-43), cookie.cookie.slice(-43), own.cookie.slice(-43)]) {
    expect(everything).not.toContain(canary);
  }

  const actions = exported.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { action: string }).action);
  for (const action of [
    'users.add',
    'keys.add',
    'signIn',
    'users.password',
    'users.change',
    'keys.revoke',
    'listAlerts',
  ]) {
    expect(actions).toContain(action);
  }
  const whole = await command('audit', 'verify');
  expect([whole.code, whole.stdout]).toEqual([0, expect.stringContaining(`${actions.length} entries, unbroken`)]);

  const db = new DatabaseSync(join(data, 'access.sqlite'));
  db.exec("DROP TRIGGER audit_no_update; UPDATE audit SET text = replace(text, 'alice', 'mallory') WHERE seq = 1");
  db.close();
  const broken = await command('audit', 'verify', '--output', 'json');
  expect([broken.code, JSON.parse(broken.stdout)]).toMatchObject([1, { broken: { seq: 1 } }]);
});

test('a damaged access file stops the start with a sentence, and is left as it is', async () => {
  const file = join(folder.path, 'damaged/access.sqlite');
  const made = await run(['users', 'add', 'bob', '--role', 'sre', '--data', join(folder.path, 'damaged')]);
  expect(made.code).toBe(0);
  for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  const db = new DatabaseSync(file);
  db.exec('PRAGMA user_version = 7');
  db.close();
  const { code, stderr } = await run(serveArguments({ nats: broker.url, data: join(folder.path, 'damaged') }));
  expect(code).toBe(3);
  expect(stderr).toMatch(/access file .* form 7/);
  expect(existsSync(file)).toBe(true);
});

test('an identity provider of the configuration asks for a sign-in too', async () => {
  const config = `access:
  oidc:
    issuer: http://127.0.0.1:9
    clientId: ringfence
    publicUrl: https://ringfence.example.com
    label: Example
    claim: groups
    grants:
      - { value: leads, roles: [lead], desks: [fraud] }
`;
  const server = await startServe({ nats: broker.url, data: join(folder.path, 'oidc'), rules, config });
  expect((await ask(server, '/v1/alerts')).status).toBe(401);
  expect(await (await ask(server, '/v1/session')).json()).toMatchObject({ providers: { oidc: 'Example' } });
  await server.end();
  for (const [from, to, sentence] of [
    ['roles: [lead]', 'roles: [boss]', /access\.oidc\.grants\.0\.roles/],
    ['issuer: http://127.0.0.1:9', 'issuer: http://id.example.com', /issuer/],
    ['label: Example', 'label: Example\n    clientSecretFile: /nowhere', /secret .* cannot be read/],
  ] as const) {
    const wrong = serveArguments({
      nats: broker.url,
      data: join(folder.path, 'wrong'),
      config: config.replace(from, to),
    });
    const { code, stderr } = await run(wrong);
    expect(code).toBe(3);
    expect(stderr).toMatch(sentence);
  }
});
