/** Access to a running gateway: who gets in, to what, how much of it they see, and what is written down. */
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fastifyRateLimit from '@fastify/rate-limit';
import { type FastifyInstance, fastify } from 'fastify';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AuditEntry, verifyChain } from '../src/access/audit.ts';
import { ROLES, type Role, SCOPES, type Scope } from '../src/access/grants.ts';
import { createNumberRefs } from '../src/access/numbers.ts';
import { hashPassword, NO_PASSWORD } from '../src/access/password.ts';
import { type AccessStore, openAccessStore } from '../src/access/store.ts';
import { type OperationId, ROUTE_ACCESS } from '../src/access/table.ts';
import { DESKS, type Desk } from '../src/alerts/alert.ts';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { caseIdOf } from '../src/cases/case-event.ts';
import { createAccessGate } from '../src/http/access.ts';
import { createAddressGuard } from '../src/http/address.ts';
import type { RuleDetail, SessionView, SubscriberView } from '../src/http/schemas.ts';
import type { GatewayOptions } from '../src/http/server.ts';
import { createLog } from '../src/log.ts';
import { createMetrics } from '../src/metrics.ts';
import {
  alertWith,
  type Bench,
  connectLive,
  type Frame,
  type RunningGateway,
  refusedLive,
  startBench,
} from './http-gateway.ts';

const MSISDN = '8613800001234';
const OTHER = '8613900005678';
const author = { who: { kind: 'command', id: 'test' } };
const PASSWORD = 'a long enough sentence';

const ruleOf = (desk: Desk): RuleDetail => ({
  id: `${desk}.rule`,
  version: 1,
  catalogue: 'F01',
  desk,
  status: 'stable',
  shadow: false,
  key: 'subscriber',
  title: { en: desk, 'zh-CN': desk },
  features: [],
  featureTitles: {},
  description: null,
  falsePositives: [],
  runbook: null,
  text: `id: ${desk}.rule`,
});
const rules: GatewayOptions['rules'] = {
  list: () => DESKS.map(ruleOf),
  get: (id) => DESKS.map(ruleOf).find((rule) => rule.id === id),
  check: () => [],
  save: async (id) => ({ kind: 'saved', rule: ruleOf(id.split('.')[0] as Desk), created: false }),
};
const subscriber: SubscriberView = {
  servedMsisdn: MSISDN,
  firstSeenAt: 1,
  lastSeenAt: 2,
  features: DESKS.map((desk) => ({
    feature: `of-${desk}`,
    ruleIds: [`${desk}.rule`],
    keyType: 'subscriber',
    keyValue: MSISDN,
    window: '1h',
    unit: 'count',
    value: 1,
  })),
  ledger: {
    openInvoices: [],
    unpaid: 1,
    overdue: 0,
    ageing: { current: 1, days1To30: 0, days31To60: 0, days61To90: 0, daysOver90: 0 },
    openDisputes: 0,
    promise: null,
    daysPastDue: 0,
    bucket: 'current',
    unbilled: 0,
    creditLimit: null,
    exposureRatio: null,
    expectedLoss: null,
  },
  balance: null,
  lifecycleStage: null,
  value: null,
  scores: [...DESKS, 'churnProbability', 'badDebtProbability'].map((name) => ({ name, value: 1, contributions: [] })),
  openAlerts: DESKS.map((desk) => ({ alertId: desk, ruleId: `${desk}.rule`, severity: 'info', desk, since: 1 })),
};

let bench: Bench;
let running: RunningGateway;
let store: AccessStore;
let url: string;
let at: number;

beforeAll(async () => {
  bench = await startBench();
  for (const desk of DESKS) {
    await bench.publishAlert({
      ...alertWith(),
      alertId: `alert-${desk}`,
      desk,
      servedMsisdn: MSISDN,
      key: { type: 'subscriber', value: MSISDN },
      reason: { en: `calls to ${OTHER}`, 'zh-CN': `呼叫${OTHER}` },
      evidence: [{ feature: 'target', window: '1h', value: OTHER, threshold: '', unit: '' }],
    });
  }
});
afterAll(() => bench.stop());

const start = async (options: Partial<GatewayOptions> = {}): Promise<void> => {
  running = await bench.start({
    access: store,
    rules,
    inspectSubscriber: (msisdn) => (msisdn === MSISDN ? subscriber : undefined),
    ...options,
  });
  ({ url } = running);
};
beforeEach(async () => {
  at = Date.now();
  store = openAccessStore(':memory:', { now: () => at });
  store.addUser({ name: 'first', roles: ['admin'], desks: [...DESKS], password: NO_PASSWORD }, author);
  store.changeUser('first', { password: { hash: NO_PASSWORD, mustChange: false } }, author);
  await start();
});
afterEach(async () => {
  await running.close();
  store.close();
});

type Headers = Record<string, string>;
let people = 0;
/** Somebody who has signed in, as the headers of a page. */
function person(roles: Role[], desks: Desk[] = [...DESKS]): Headers {
  people += 1;
  const name = `person-${people}`;
  store.addUser({ name, roles, desks, password: 'x' }, author);
  store.changeUser(name, { password: { hash: 'x', mustChange: false } }, author);
  const token = store.beginSession({ name, provider: 'local' }, author);
  return { cookie: `ringfence_session=${token}`, 'ringfence-request': '1' };
}
function key(scopes: Scope[], desks: Desk[] = [...DESKS], numbers: 'full' | 'masked' | 'own' = 'full'): Headers {
  const { secret } = store.addKey({ name: 'test', scopes, desks, numbers, expiresAt: at + 3_600_000 }, author);
  return { authorization: `Bearer ${secret}` };
}
const ask = (path: string, headers: Headers = {}, method = 'GET', body?: unknown): Promise<Response> =>
  fetch(url + path, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
const entries = (): AuditEntry[] => [...store.auditRows()].map(({ text }) => JSON.parse(text) as AuditEntry);

/** The addresses of all operations, with objects of a desk in them. */
async function operations(): Promise<Map<OperationId, { method: string; path: (desk: Desk) => string }>> {
  const document = (await (await ask('/openapi.json')).json()) as {
    paths: Record<string, Record<string, { operationId: OperationId }>>;
  };
  const found = new Map<OperationId, { method: string; path: (desk: Desk) => string }>();
  for (const [pattern, methods] of Object.entries(document.paths)) {
    for (const [method, { operationId }] of Object.entries(methods)) {
      const path = (desk: Desk) =>
        pattern
          .replace('{alertId}', `alert-${desk}`)
          .replace('{id}', `${desk}.rule`)
          .replace('{msisdn}', MSISDN)
          .replace('{bulkId}', 'none')
          .replace('{testId}', 'none')
          .replace('{proposalId}', 'none')
          .replace('{sequence}', '1')
          .replace('{seq}', '999')
          .replace('{desk}', desk)
          .replace('{viewId}', 'a1')
          .replace('{name}', 'nobody')
          .replace('{keyId}', 'none00000000');
      found.set(operationId, { method: method.toUpperCase(), path });
    }
  }
  return found;
}

/**
 * Who may what, written once more by hand: `+` may, `.` may not. `public` is for everybody, `all` for who has signed in. The last
 * column is the scope with which a key may.
 */
const MATRIX = `
  operation          analyst lead retention sre admin  scope
  postUsage             .     .      .       .    .    usage:write
  listAlerts            +     +      +       .    .    alerts:read
  followAlerts          +     +      +       .    .    alerts:read
  revealAlert           +     +      +       .    .    -
  listAlertRecords      +     +      +       .    .    alerts:read
  exportAlertRecords    +     +      .       .    .    -
  listCases             +     +      +       .    .    cases:read
  groupCases            +     +      +       .    .    cases:read
  getCase               +     +      +       .    .    cases:read
  postCaseEvent         +     +      +       .    .    cases:write
  previewSnooze         +     +      +       .    .    cases:read
  takeNextCase          +     +      +       .    .    cases:write
  bulkCases             +     +      +       .    .    cases:write
  undoBulk              +     +      +       .    .    cases:write
  getFeedback           +     +      +       .    .    cases:read
  getLabels             .     +      .       .    .    cases:read
  getSubscriber         +     +      +       .    .    subscribers:read
  revealSubscriber      +     +      +       .    .    -
  listSubscriberRecords +     +      +       .    .    subscribers:read
  exportSubscriberRecords +   +      .       .    .    -
  listRules             +     +      +       +    +    rules:read
  getRule               +     +      +       +    +    rules:read
  checkRule             .     +      .       +    .    rules:read
  putRule               .     .      .       .    .    rules:write
  listRuleProposals     +     +      +       +    +    rules:read
  getRuleChanges        +     +      +       +    +    rules:read
  getRuleChange         +     +      +       +    +    rules:read
  draftRule             .     +      .       .    .    rules:write
  startBackTest         .     +      .       .    .    rules:write
  getBackTest           .     +      .       .    .    rules:write
  cancelBackTest        .     +      .       .    .    rules:write
  proposeRule           .     +      .       .    .    rules:write
  decideRuleProposal    .     +      .       .    .    -
  listDeadLetters       .     +      .       +    .    deadletters:read
  getDeadLetter         .     +      .       +    .    deadletters:read
  replayDeadLetter      .     +      .       +    .    deadletters:write
  getDeskSettings       +     +      +       .    .    cases:read
  putView               +     +      +       .    .    -
  deleteView            +     +      +       .    .    -
  putDefaultView        .     +      .       .    .    -
  putRouting            .     +      .       .    .    -
  listLists             +     +      +       .    .    rules:read
  getListRows           +     +      .       .    .    rules:read
  importListRows        .     +      .       .    .    rules:write
  addListEntry          .     +      .       .    .    rules:write
  endListEntry          .     +      .       .    .    rules:write
  getOperations         +     +      +       +    +    operations:read
  getChurn              +     +      +       +    +    operations:read
  listUsers             .     .      .       .    +    -
  addUser               .     .      .       .    +    -
  changeUser            .     .      .       .    +    -
  resetPassword         .     .      .       .    +    -
  listKeys              .     .      .       .    +    -
  addKey                .     .      .       .    +    -
  revokeKey             .     .      .       .    +    -
  verifyAudit           .     .      .       .    +    audit:read
  listAudit             .     .      .       .    +    audit:read
  signOut               +     +      +       +    +    -
  changePassword        +     +      +       +    +    -
  takeTicket            +     +      +       +    +    any
  getOpenApi            public
  getAsyncApi           public
  getSession            public
  signIn                public
  beginOidc             public
  finishOidc            public
`
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => line.trim().split(/\s+/));

describe('the table of access', () => {
  it('has a row for every operation of the server, and the matrix of this test has one too', async () => {
    const served = [...(await operations()).keys()].sort();
    expect(Object.keys(ROUTE_ACCESS).sort()).toEqual(served);
    expect(MATRIX.map(([operation]) => operation).sort()).toEqual(served);
  });

  const cases = MATRIX.flatMap(([operation = '', ...cells]) => {
    const isPublic = cells[0] === 'public';
    const scope = cells[5];
    const keyMay = (one: Scope) => isPublic || scope === 'any' || scope === one;
    return [
      ...ROLES.map((role, index) => ({ operation, who: role as string, may: isPublic || cells[index] === '+' })),
      ...SCOPES.map((one) => ({ operation, who: one as string, may: keyMay(one) })),
      { operation, who: 'nobody', may: isPublic },
    ];
  });
  // Some thousand requests.
  it('decides for every role, every scope and nobody, on every desk', async () => {
    const all = await operations();
    const wrong: string[] = [];
    for (const desk of DESKS) {
      const headersOf: Record<string, Headers> = { nobody: { 'ringfence-request': '1' } };
      for (const role of ROLES) headersOf[role] = person([role], [role === 'retention' ? 'retention' : desk]);
      for (const scope of SCOPES) headersOf[scope] = key([scope], [desk]);
      for (const { operation, who, may } of cases) {
        const { method, path } = all.get(operation as OperationId)!;
        const target = who === 'retention' ? 'retention' : desk;
        // Signing out would end the session that the other cases need.
        const headers = operation === 'signOut' && may ? person([who as Role]) : headersOf[who]!;
        // A body that is none gets as far as the handler, and changes nothing. Who sees masked numbers may send no body there.
        const body = method === 'GET' || operation === 'replayDeadLetter' ? undefined : '{';
        const response = await ask(path(target), headers, method, body);
        await response.arrayBuffer();
        const expected = may ? 'allowed' : who === 'nobody' ? 401 : 403;
        const { status } = response;
        const got = status === 401 || status === 403 ? status : 'allowed';
        if (got !== expected) wrong.push(`${who} on ${desk}: ${operation} ${status}, expected ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('keeps a server from starting that has a route without a row', async () => {
    const startWith = async (add: (app: FastifyInstance) => void): Promise<void> => {
      const app = fastify();
      await app.register(fastifyRateLimit, { global: false });
      const gate = createAccessGate({
        store,
        refs: createNumberRefs(store.secret('test')),
        guard: createAddressGuard([]),
        alwaysRequired: false,
        metrics: createMetrics(),
        log: createLog({ level: 'silent' }),
      });
      gate.install(app);
      add(app);
      try {
        await app.ready();
      } finally {
        await app.close();
      }
    };
    const answer = async () => 'data';
    await expect(startWith((app) => app.get('/v1/secret', answer))).rejects.toThrow('GET /v1/secret has no row');
    await expect(
      startWith((app) => app.get('/v1/secret', { config: { operation: 'toString' as OperationId } }, answer)),
    ).rejects.toThrow('has no row');
    await startWith((app) => app.get('/v1/known', { config: { operation: 'listAlerts' } }, answer));
  });

  it('shows on no desk what is of another', async () => {
    for (const own of DESKS) {
      const caller = person(['lead'], [own]);
      const list = (await (await ask('/v1/alerts', caller)).json()) as { alerts: { desk: string }[] };
      expect(list.alerts.map(({ desk }) => desk)).toEqual([own]);
      const ruleList = (await (await ask('/v1/rules', caller)).json()) as { rules: { desk: string }[] };
      expect(ruleList.rules.map(({ desk }) => desk)).toEqual([own]);
      const view = (await (await ask(`/v1/subscribers/${MSISDN}`, caller)).json()) as SubscriberView;
      expect(view.features.map(({ feature }) => feature)).toEqual([`of-${own}`]);
      expect(view.openAlerts.map(({ desk }) => desk)).toEqual([own]);
      const model = { fraud: [], arrears: ['badDebtProbability'], retention: ['churnProbability'] }[own];
      expect(view.scores.map(({ name }) => name)).toEqual([own, ...model]);
      expect(view.ledger === null).toBe(own === 'fraud');
      for (const other of DESKS) {
        const mine = other === own;
        const body = { reason: 'the matrix' };
        expect((await ask(`/v1/alerts?desk=${other}`, caller)).status).toBe(mine ? 200 : 403);
        expect((await ask(`/v1/alerts/alert-${other}/reveal`, caller, 'POST', body)).status).toBe(mine ? 200 : 404);
        expect((await ask(`/v1/rules/${other}.rule`, caller)).status).toBe(mine ? 200 : 404);
        const put = await fetch(`${url}/v1/rules/${other}.rule`, {
          method: 'PUT',
          headers: { ...key(['rules:write'], [own]), 'content-type': 'application/yaml' },
          body: 'id: x',
        });
        expect(put.status).toBe(mine ? 200 : 404);
        const machine = key(['alerts:read'], [own]);
        if (mine) {
          const client = await connectLive(url, { since: 0 }, machine);
          await client.until((frames) => frames.some(({ kind }) => kind === 'alert'));
          await client.close();
          const desks = client.frames.flatMap((frame) => (frame.kind === 'alert' ? [frame.alert.desk] : []));
          expect(new Set(desks)).toEqual(new Set([own]));
        } else expect((await refusedLive(url, `?desk=${other}`, machine)).status).toBe(403);
      }
    }
  });
});

describe('without anybody set up', () => {
  it('everything is open on this machine, and closes with the first user', async () => {
    await running.close();
    store.close();
    store = openAccessStore(':memory:');
    await start();
    expect((await ask('/v1/alerts')).status).toBe(200);
    expect(((await (await ask('/v1/session')).json()) as SessionView).signIn).toBe('open');
    const client = await connectLive(url);
    store.addUser({ name: 'alice', roles: ['admin'], desks: [...DESKS], password: 'x' }, author);
    expect((await ask('/v1/alerts')).status).toBe(401);
    await bench.publishAlert();
    expect(await client.closed).toBe(4401);
    expect(client.sequences()).toEqual([]);
  });

  it('only this machine may connect; with somebody set up everybody may', async () => {
    const open = openAccessStore(':memory:');
    const second = await bench.start({ access: open, dataDir: ':memory:' });
    await expect(second.gateway.listen('0.0.0.0', 0)).rejects.toMatchObject({ code: 'http.not-loopback', exitCode: 3 });
    await second.close();
    const third = await bench.start({ access: store, dataDir: ':memory:' });
    await third.close();
    open.close();
  });
});

describe('signing in', () => {
  const signIn = (body: unknown, headers: Headers = { 'ringfence-request': '1' }) =>
    ask('/v1/session', headers, 'POST', body);
  const cookieOf = (response: Response): Headers => ({
    cookie: response.headers.getSetCookie()[0]!.split(';')[0]!,
    'ringfence-request': '1',
  });
  const addAlice = async (mustChange = false) => {
    const password = await hashPassword(PASSWORD);
    store.addUser({ name: 'alice', roles: ['lead'], desks: ['fraud'], password }, author);
    if (!mustChange) store.changeUser('alice', { password: { hash: password, mustChange: false } }, author);
  };

  it('takes the right password, gives a cookie that scripts cannot read, and takes it back', async () => {
    await addAlice();
    const response = await signIn({ name: 'alice', password: PASSWORD });
    expect(response.status).toBe(200);
    expect(response.headers.getSetCookie()[0]).toMatch(
      /^ringfence_session=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(await response.json()).toMatchObject({ signIn: 'required', person: { name: 'alice', roles: ['lead'] } });
    const cookie = cookieOf(response);
    expect((await ask('/v1/alerts', cookie)).status).toBe(200);
    const out = await ask('/v1/session', cookie, 'DELETE');
    expect(out.status).toBe(204);
    expect(out.headers.getSetCookie()[0]).toMatch(/Max-Age=0/);
    expect((await ask('/v1/alerts', cookie)).status).toBe(401);
  });

  it('says the same of a wrong name and a wrong password, and writes down neither password nor unknown name', async () => {
    await addAlice();
    const wrongs = [
      { name: 'alice', password: 'wrong-password-typed' },
      { name: 'nobody-of-that-name', password: PASSWORD },
    ];
    const answers = await Promise.all(wrongs.map(async (wrong) => (await signIn(wrong)).json()));
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 401, detail: 'Name or password is wrong.' });
    // Denied requests are written when the gateway ends, at the latest.
    await running.close();
    const log = JSON.stringify(entries());
    for (const secret of ['wrong-password-typed', 'nobody-of-that-name', PASSWORD]) expect(log).not.toContain(secret);
    expect(entries().filter(({ action, result }) => action === 'signIn' && result === 'failed')).toHaveLength(2);
  });

  it('is for nobody who was disabled', async () => {
    await addAlice();
    store.changeUser('alice', { disabled: true }, author);
    expect((await signIn({ name: 'alice', password: PASSWORD })).status).toBe(401);
  });

  it('stops who tries one name again and again', async () => {
    const tries = [];
    for (let index = 0; index < 12; index++) tries.push(await signIn({ name: 'first', password: `guess ${index}` }));
    expect(tries.slice(0, 10).map(({ status }) => status)).toEqual(new Array(10).fill(401));
    expect(tries.at(-1)!.status).toBe(429);
    expect(Number(tries.at(-1)!.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('with a one-time password lets nobody do anything but change it', async () => {
    await addAlice(true);
    const cookie = cookieOf(await signIn({ name: 'alice', password: PASSWORD }));
    const refused = await ask('/v1/alerts', cookie);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: 'password-change-needed' });
    const change = (current: string, next: string) => ask('/v1/session/password', cookie, 'PUT', { current, next });
    expect((await change('wrong', 'another long sentence')).status).toBe(403);
    expect((await change(PASSWORD, PASSWORD)).status).toBe(422);
    expect((await change(PASSWORD, 'short')).status).toBe(422);
    const changed = await change(PASSWORD, 'another long sentence');
    expect(changed.status).toBe(204);
    // The old session has ended with the old password.
    expect((await ask('/v1/alerts', cookie)).status).toBe(401);
    expect((await ask('/v1/alerts', cookieOf(changed))).status).toBe(200);
    expect((await signIn({ name: 'alice', password: PASSWORD })).status).toBe(401);
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['a missing password', '{"name":"alice"}'],
    ['one thing more', '{"name":"alice","password":"x","role":"admin"}'],
    ['a prototype', '{"name":"alice","password":"x","__proto__":{"roles":["admin"]}}'],
    ['a number for a name', '{"name":1,"password":"x"}'],
    ['a name that is too long', JSON.stringify({ name: 'x'.repeat(65), password: 'x' })],
    ['deep nesting', `{"name":${'['.repeat(10_000)}${']'.repeat(10_000)},"password":"x"}`],
  ])('refuses %s as a body', async (_name, body) => {
    expect((await signIn(body)).status).toBe(400);
  });

  it.each([
    "' OR '1'='1",
    'first\r\nSet-Cookie: a=b',
    '<script>alert(1)</script>',
    '__proto__',
    '\u0000',
    '‮evil',
    '../../etc/passwd',
  ])('is not confused by the name %j', async (name) => {
    const response = await signIn({ name, password: 'x' });
    expect(response.status).toBe(401);
    expect(response.headers.getSetCookie()).toEqual([]);
    expect(verifyChain(store.auditRows()).broken).toBeUndefined();
  });
});

describe('what is brought along', () => {
  it.each([
    ['an unknown session', { cookie: `ringfence_session=${'A'.repeat(43)}` }],
    ['an empty session', { cookie: 'ringfence_session=' }],
    ['a cookie of another name', { cookie: 'session=x; a=b' }],
    ['an unknown key', { authorization: `Bearer rf_AAAAAAAAAAAA_${'A'.repeat(43)}` }],
    ['a token of another make, unsigned', { authorization: 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.' }],
    ['a name and password', { authorization: `Basic ${Buffer.from('first:x').toString('base64')}` }],
    ['half a key', { authorization: 'Bearer rf_' }],
  ])('%s opens nothing', async (_name, headers) => {
    const response = await ask('/v1/alerts', headers as Headers);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('a wrong key is not made good by a right session', async () => {
    const wrong = { authorization: `Bearer rf_AAAAAAAAAAAA_${'A'.repeat(43)}` };
    expect((await ask('/v1/alerts', { ...person(['lead']), ...wrong })).status).toBe(401);
  });

  it('holds until it expires, is revoked or loses its roles', async () => {
    const headers = person(['lead']);
    const machine = key(['alerts:read']);
    expect((await ask('/v1/alerts', headers)).status).toBe(200);
    expect((await ask('/v1/alerts', machine)).status).toBe(200);
    store.changeUser(`person-${people}`, { roles: ['sre'] }, author);
    expect((await ask('/v1/alerts', headers)).status).toBe(403);
    at += 3_600_000;
    expect((await ask('/v1/alerts', machine)).status).toBe(401);
    const second = key(['alerts:read']);
    store.revokeKey(store.keys().at(-1)!.id, author);
    expect((await ask('/v1/alerts', second)).status).toBe(401);
    at += 13 * 3_600_000;
    expect((await ask('/v1/operations', headers)).status).toBe(401);
  });
});

describe('requests of other sites', () => {
  const put = (headers: Headers) =>
    fetch(`${url}/v1/rules/fraud.rule`, {
      method: 'PUT',
      headers: { 'content-type': 'application/yaml', ...headers },
      body: 'id: x',
    });
  const check = (headers: Headers) =>
    fetch(`${url}/v1/rules/check`, {
      method: 'POST',
      headers: { 'content-type': 'application/yaml', ...headers },
      body: 'id: x',
    });
  it('change nothing: they lack the header, or their origin gives them away', async () => {
    const { cookie = '' } = person(['lead']);
    const own = { cookie, 'ringfence-request': '1' };
    expect((await check(own)).status).toBe(200);
    expect((await check({ cookie })).status).toBe(403);
    expect((await check({ cookie, 'ringfence-request': '0' })).status).toBe(403);
    expect((await check({ ...own, origin: 'https://evil.example' })).status).toBe(403);
    expect((await check({ ...own, origin: 'null' })).status).toBe(403);
    // A program may send any header; fetch of Node would not send this one.
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { ...own, 'sec-fetch-site': 'cross-site', 'content-type': 'application/yaml' };
      httpRequest(`${url}/v1/rules/check`, { method: 'POST', headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end('id: x');
    });
    expect(status).toBe(403);
  });

  it('sign nobody in or out', async () => {
    const { cookie = '' } = person(['lead']);
    expect((await ask('/v1/session', { cookie }, 'DELETE')).status).toBe(403);
    expect((await ask('/v1/session', {}, 'POST', { name: 'first', password: 'x' })).status).toBe(403);
    expect((await ask('/v1/alerts', { cookie })).status).toBe(200);
  });

  it('a key needs no header: no browser sends it by itself', async () => {
    expect((await put(key(['rules:write']))).status).toBe(200);
  });
});

it('one person makes so many requests a minute, and no more', async () => {
  const headers = person(['sre']);
  const counts = new Map<number, number>();
  for (let round = 0; round < 13; round++) {
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask('/v1/session', headers)));
    for (const answer of answers) {
      await answer.arrayBuffer();
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
    }
  }
  expect([counts.get(200), counts.get(429)]).toEqual([1_200, 100]);
  expect((await ask('/v1/session', person(['sre']))).status).toBe(200);
});

describe('the WebSocket', () => {
  const ticketOf = async (headers: Headers): Promise<string> => {
    const response = await ask('/v1/ws-ticket', headers, 'POST');
    expect(response.status).toBe(201);
    return ((await response.json()) as { ticket: string }).ticket;
  };
  const statusWith = async (query: string, headers: Headers = {}) => (await refusedLive(url, query, headers)).status;

  it('takes a ticket once, from a page of ours', async () => {
    const ticket = await ticketOf(person(['lead']));
    const client = await connectLive(url, { ticket }, { origin: url });
    expect(client.frames[0]!.kind).toBe('hello');
    expect(await statusWith(`?ticket=${ticket}`, { origin: url })).toBe(401);
    await client.close();
  });

  it.each([
    ['no ticket and no key', {}, '', 401],
    ['a ticket that nobody gave out', {}, `?ticket=${'A'.repeat(43)}`, 401],
    ['a session without a ticket', { session: true }, '', 401],
    ['a ticket from another site', { ticket: true, origin: 'https://evil.example' }, '', 403],
    ['a ticket from a sandboxed page', { ticket: true, origin: 'null' }, '', 403],
    ['a ticket from nowhere', { ticket: true }, '', 403],
    ['a ticket that has grown old', { ticket: true, origin: 'own', ageMs: 31_000 }, '', 401],
    ['a ticket of somebody who may not', { ticket: true, origin: 'own', role: 'sre' }, '', 403],
  ] as const)('refuses %s', async (_name, options, query, status) => {
    const has = options as { session?: boolean; ticket?: boolean; origin?: string; ageMs?: number; role?: Role };
    const headers = person([has.role ?? 'lead']);
    const ticket = has.ticket === true ? await ticketOf(headers) : undefined;
    at += has.ageMs ?? 0;
    const origin = has.origin === 'own' ? url : has.origin;
    const sent = { ...(has.session === true && headers), ...(origin !== undefined && { origin }) };
    expect(await statusWith(ticket === undefined ? query : `?ticket=${ticket}`, sent)).toBe(status);
  });

  it('gives cases to who may see cases', async () => {
    expect(await statusWith('?cases=true', key(['alerts:read']))).toBe(403);
    const client = await connectLive(url, { cases: 'true' }, key(['alerts:read', 'cases:read']));
    await client.close();
  });

  it('gives no frame more to who was disabled, and other desks to who has changed them', async () => {
    const first = await connectLive(url, { ticket: await ticketOf(person(['lead'], ['fraud'])) }, { origin: url });
    const firstName = `person-${people}`;
    const second = await connectLive(url, { ticket: await ticketOf(person(['lead'], ['fraud'])) }, { origin: url });
    const seq = await bench.publishAlert({ desk: 'fraud' });
    for (const client of [first, second]) await client.until((frames) => frames.at(-1)?.seq === seq);
    store.changeUser(firstName, { disabled: true }, author);
    store.changeUser(`person-${people}`, { desks: ['arrears'] }, author);
    await bench.publishAlert({ desk: 'fraud' });
    const last = await bench.publishAlert({ desk: 'arrears' });
    expect(await first.closed).toBe(4401);
    expect(first.sequences()).toEqual([seq]);
    await second.until((frames) => frames.at(-1)?.seq === last);
    expect(second.sequences()).toEqual([seq, last]);
    await second.close();
  });

  it('ends with the session', async () => {
    const client = await connectLive(url, { ticket: await ticketOf(person(['lead'])) }, { origin: url });
    at += 13 * 3_600_000;
    await bench.publishAlert();
    expect(await client.closed).toBe(4401);
    expect(client.sequences()).toEqual([]);
  });
});

describe('numbers', () => {
  const seenBy = async (headers: Headers): Promise<string> => {
    const answers = [
      await ask(`/v1/alerts`, headers),
      await ask(`/v1/subscribers/${MSISDN}`, headers),
      await ask(`/v1/alerts?servedMsisdn=${MSISDN}&desk=retention`, headers),
      await ask('/v1/alerts?cursor=8613800001234x', headers),
    ];
    return (await Promise.all(answers.map((answer) => answer.text()))).join('\n');
  };

  it.each([
    ['a lead', ['lead'], true, true],
    ['an analyst', ['analyst'], false, false],
    ['retention', ['retention'], false, false],
  ] as const)('%s: own %s, others %s', async (_name, roles, own, others) => {
    const headers = person([...roles], roles.includes('retention' as never) ? ['retention'] : [...DESKS]);
    const text = await seenBy(headers);
    expect([text.includes(MSISDN), text.includes(OTHER)]).toEqual([own, others]);
    if (!own) expect(text).toContain('86138****1234');
    expect(text.includes('86139****5678')).toBe(roles.includes('analyst' as never));
  });

  it('are masked in live frames too, by what each client may see', async () => {
    const clients = await Promise.all(
      (['full', 'masked', 'own'] as const).map((numbers) =>
        connectLive(url, {}, key(['alerts:read'], ['fraud'], numbers)),
      ),
    );
    await bench.publishAlert({
      servedMsisdn: MSISDN,
      key: { type: 'subscriber', value: MSISDN },
      reason: { en: `to ${OTHER}`, 'zh-CN': '' },
    });
    const seen = [];
    for (const client of clients) {
      await client.until((frames) => frames.length === 2);
      const frame = client.frames[1] as Extract<Frame, { kind: 'alert' }>;
      seen.push([frame.alert.servedMsisdn, frame.alert.key.value, frame.alert.reason.en]);
      await client.close();
    }
    expect(seen).toEqual([
      [MSISDN, MSISDN, `to ${OTHER}`],
      ['86138****1234', '86138****1234', 'to 86139****5678'],
      ['86138****1234', '86138****1234', 'to ****'],
    ]);
  });

  it('are masked in answers that are no JSON too', async () => {
    const csvOf = async (numbers: 'full' | 'masked') =>
      (await ask('/v1/labels?desk=fraud', key(['cases:read'], ['fraud'], numbers))).text();
    const worker = key(['cases:read', 'cases:write'], ['fraud']);
    const { cases } = (await (await ask('/v1/cases?desk=fraud&limit=100', worker)).json()) as {
      cases: { caseId: string }[];
    };
    for (const { caseId } of cases) {
      const event = { type: 'outcome', outcome: 'confirmed' };
      expect((await ask(`/v1/cases/${caseId}/events`, worker, 'POST', event)).status).toBe(200);
    }
    await expect.poll(() => csvOf('full')).toContain(`${MSISDN},`);
    const masked = await csvOf('masked');
    expect(masked).not.toContain(MSISDN);
    expect(masked).toContain('86138****1234,');
  });

  it('can be asked for by reference, and revealed with a reason that is written down', async () => {
    const headers = person(['analyst'], ['fraud']);
    const { alerts } = (await (await ask('/v1/alerts', headers)).json()) as {
      alerts: { alertId: string; servedMsisdn: string; subscriberRef: string }[];
    };
    const { subscriberRef, servedMsisdn } = alerts.find(({ alertId }) => alertId === 'alert-fraud')!;
    expect(servedMsisdn).toBe('86138****1234');
    expect((await ask(`/v1/subscribers/${subscriberRef}`, headers)).status).toBe(200);
    expect((await ask(`/v1/subscribers/s_${'A'.repeat(60)}`, headers)).status).toBe(404);
    const byRef = (await (await ask(`/v1/alerts?servedMsisdn=${subscriberRef}`, headers)).json()) as {
      alerts: unknown[];
    };
    expect(byRef.alerts.length).toBeGreaterThan(0);

    const reveal = (path: string, body: unknown) => ask(`${path}/reveal`, headers, 'POST', body);
    expect((await reveal('/v1/alerts/alert-fraud', {})).status).toBe(400);
    expect((await reveal('/v1/alerts/alert-fraud', { reason: '' })).status).toBe(400);
    const alert = (await (await reveal('/v1/alerts/alert-fraud', { reason: 'customer on the phone' })).json()) as {
      servedMsisdn: string;
      evidence: { value: string }[];
    };
    expect([alert.servedMsisdn, alert.evidence[0]!.value]).toEqual([MSISDN, OTHER]);
    const number = await reveal(`/v1/subscribers/${subscriberRef}`, { reason: 'call back\r\n{"forged":1}' });
    expect(await number.json()).toEqual({ servedMsisdn: MSISDN });

    const written = entries().filter(({ action }) => action.startsWith('reveal'));
    expect(written.filter(({ result }) => result === 'done')).toMatchObject([
      { who: { id: `person-${people}` }, reason: 'customer on the phone', object: { alertId: 'alert-fraud' } },
      { who: { id: `person-${people}` }, reason: 'call back\r\n{"forged":1}', object: { subscriber: subscriberRef } },
    ]);
    expect(JSON.stringify(entries())).not.toContain(MSISDN);
  });

  it('are no number in what somebody sends who sees masked ones: the reference stands for it', async () => {
    const headers = person(['analyst'], ['fraud']);
    type Cases = { cases: { caseId: string; servedMsisdn: string; subscriberRef: string }[] };
    const { cases } = (await (await ask('/v1/cases?desk=fraud&limit=100', headers)).json()) as Cases;
    const { caseId, servedMsisdn, subscriberRef } = cases.find((one) => one.servedMsisdn === '86138****1234')!;
    const snooze = (number: string) =>
      ask(`/v1/cases/${caseId}/events`, headers, 'POST', {
        type: 'snoozeRule',
        ruleId: 'fraud.irsf-burst',
        servedMsisdn: number,
        until: Date.now() + 86_400_000,
        reason: 'known traffic',
      });
    expect((await snooze(servedMsisdn)).status).toBe(400);
    expect((await snooze(subscriberRef)).status).toBe(200);
    const whole = await (await ask(`/v1/cases/${caseId}`, key(['cases:read'], ['fraud']))).text();
    expect(whole).toContain(`"servedMsisdn":"${MSISDN}"`);
    expect(whole).not.toContain(subscriberRef);
  });

  it('retention never sees whom a subscriber calls, not even revealed', async () => {
    const headers = person(['retention'], ['retention']);
    const response = await ask('/v1/alerts/alert-retention/reveal', headers, 'POST', { reason: 'offer' });
    const text = await response.text();
    expect(text).toContain(MSISDN);
    expect(text).not.toContain(OTHER);
  });

  it('are revealed so many a minute, and no more', async () => {
    const headers = person(['analyst'], ['fraud']);
    const statuses = [];
    for (let index = 0; index < 22; index++) {
      statuses.push((await ask('/v1/alerts/alert-fraud/reveal', headers, 'POST', { reason: 'again' })).status);
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.at(-1)).toBe(429);
  });

  it('that somebody asks for by the whole number are written down', async () => {
    await ask(`/v1/subscribers/${MSISDN}`, person(['analyst']));
    expect(entries().at(-1)).toMatchObject({
      action: 'getSubscriber',
      object: { subscriber: /^s_/ },
      result: 'done',
    } as never);
    const { length } = entries();
    await ask(`/v1/subscribers/${MSISDN}`, person(['lead']));
    expect(
      entries()
        .slice(length)
        .some(({ action }) => action === 'getSubscriber'),
    ).toBe(false);
  });
});

describe('the audit log', () => {
  it('has one entry for each change, with what was before and after', async () => {
    const headers = key(['rules:write']);
    const { id } = store.keys().at(-1)!;
    const { length } = entries();
    const put = await fetch(`${url}/v1/rules/fraud.rule`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/yaml' },
      body: 'id: x',
    });
    expect(put.status).toBe(200);
    expect(entries().slice(length)).toMatchObject([
      {
        action: 'putRule',
        object: { id: 'fraud.rule' },
        result: 'done',
        status: 200,
        who: { kind: 'key', id },
        ip: '127.0.0.1',
        before: { version: 1 },
        after: { version: 1 },
      },
    ]);
  });

  it('has the view that the desk opened with, and the one that it opens with now', async () => {
    const headers = { ...person(['lead']), 'content-type': 'application/json' };
    const put = (path: string, body: object) =>
      fetch(`${url}/v1/desks/fraud/${path}`, { method: 'PUT', headers, body: JSON.stringify(body) });
    expect((await put('views/d1', { name: 'Opening', shared: true, filters: {} })).status).toBe(200);
    const { length } = entries();
    expect((await put('default-view', { viewId: 'd1' })).status).toBe(200);
    expect((await put('default-view', { viewId: null })).status).toBe(200);
    // What is refused has changed nothing.
    expect((await put('default-view', { viewId: 'e9' })).status).toBe(422);
    const done = { action: 'putDefaultView', object: { desk: 'fraud' }, who: { kind: 'user', id: `person-${people}` } };
    expect(entries().slice(length)).toMatchObject([
      { ...done, result: 'done', before: { defaultViewId: null }, after: { defaultViewId: 'd1' } },
      { ...done, result: 'done', before: { defaultViewId: 'd1' }, after: { defaultViewId: null } },
    ]);
  });

  it('and the letter itself say who has replayed a rejected record', async () => {
    // What was ahead of the clock when it came, and is not any more.
    const parties = { servedMsisdn: MSISDN, direction: 'mo', otherNumber: OTHER };
    const record = { recordId: 'by', recordType: 'voice', eventTime: at, durationSec: 1, ...parties };
    const { seq } = await bench.js.publish('deadletter.future', JSON.stringify(record));
    const headers = person(['sre']);
    const { length } = entries();
    const replay = await ask(`/v1/deadletters/${seq}/replay`, headers, 'POST');
    expect([replay.status, await replay.json()]).toMatchObject([200, { by: `person-${people}`, corrected: false }]);
    expect(entries().slice(length)).toMatchObject([
      { action: 'replayDeadLetter', result: 'done', who: { kind: 'user', id: `person-${people}` } },
    ]);
  });

  it('has both of two people who close one case, with who won and who was told', async () => {
    const alert = alertWith({ alertId: 'alert-closed-twice', servedMsisdn: OTHER });
    await bench.publishAlert(alert);
    const caseId = caseIdOf(alert.desk, caseKeyOf(alert), alert.alertId);
    const people = [person(['analyst']), person(['analyst'])];
    await expect.poll(async () => (await ask(`/v1/cases/${caseId}`, people[0])).status).toBe(200);
    const { length } = entries();
    const event = { type: 'outcome', outcome: 'confirmed', version: 0 };
    const path = `/v1/cases/${caseId}/events`;
    const answers = await Promise.all(people.map((headers) => ask(path, headers, 'POST', event)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    await running.close();
    const both = entries()
      .slice(length)
      .filter(({ action }) => action === 'postCaseEvent');
    expect(both.map(({ result, status, object }) => [result, status, object])).toEqual([
      ['done', 200, { id: caseId }],
      ['failed', 409, { id: caseId }],
    ]);
    expect(new Set(both.map(({ who }) => who.id)).size).toBe(2);
  });

  it('has what was denied, a flood of it in few entries', async () => {
    const headers = person(['sre']);
    for (let index = 0; index < 50; index++) await ask('/v1/alerts', headers);
    await running.close();
    const denied = entries().filter(({ result }) => result === 'denied');
    const total = denied.reduce((sum, { more = 0 }) => sum + 1 + more, 0);
    expect(total).toBe(50);
    expect(denied.length).toBeLessThan(10);
    expect(denied[0]).toMatchObject({ action: 'listAlerts', who: { id: `person-${people}` }, status: 403 });
    expect(verifyChain(store.auditRows()).broken).toBeUndefined();
  });

  it('that cannot be written lets nothing be changed, and nobody be shown a whole number, until it can', async () => {
    await running.close();
    store.close();
    const file = join(bench.dataDir, 'locked.sqlite');
    store = openAccessStore(file, { now: () => at });
    await start();
    const headers = person(['lead', 'analyst']);
    const machine = key(['rules:write']);
    const other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE');
    const put = () =>
      fetch(`${url}/v1/rules/fraud.rule`, {
        method: 'PUT',
        headers: { ...machine, 'content-type': 'application/yaml' },
        body: 'id: x',
      });
    // The first one learns that nothing can be written; from then on nothing begins.
    expect((await put()).status).toBe(500);
    expect((await put()).status).toBe(503);
    const reveal = await ask('/v1/alerts/alert-fraud/reveal', headers, 'POST', { reason: 'locked' });
    expect(reveal.status).toBe(503);
    expect((await ask('/v1/alerts', headers)).status).toBe(200);
    other.exec('ROLLBACK');
    other.close();
    expect((await put()).status).toBe(200);
    expect(verifyChain(store.auditRows()).broken).toBeUndefined();
  });

  it('can be read by an admin, newest first, in pages', async () => {
    const headers = person(['admin']);
    type Page = { entries: { seq: number }[]; next: number | null };
    const first = (await (await ask('/v1/audit?limit=2', headers)).json()) as Page;
    const second = (await (await ask(`/v1/audit?limit=2&before=${first.next}`, headers)).json()) as Page;
    const seqs = [...first.entries, ...second.entries].map(({ seq }) => seq);
    const { length } = entries();
    expect(seqs).toEqual([length, length - 1, length - 2, length - 3]);
    expect((await ask('/v1/audit?limit=100000', headers)).status).toBe(400);
  });
});
