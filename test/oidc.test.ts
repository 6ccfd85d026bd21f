/**
 * Signing in through an identity provider: a real one (oidc-provider) in this process, followed as a browser would; and one that
 * lies, to see that nothing it says is taken on trust.
 */
import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEntry } from '../src/access/audit.ts';
import { createOidcSignIn, type OidcSettings } from '../src/access/oidc.ts';
import { type AccessStore, openAccessStore, SESSION_OIDC_LONGEST_MS } from '../src/access/store.ts';
import type { SessionView } from '../src/http/schemas.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';

const SECRET = 'a secret of the client that is long enough';
const grants: OidcSettings['grants'] = [
  { value: 'fraud-analysts', roles: ['analyst'], desks: ['fraud'] },
  { value: 'arrears-leads', roles: ['lead'], desks: ['arrears'] },
  { value: 'sales', roles: ['retention'], desks: ['retention'] },
];
/** What the real provider says of those who sign in there. */
const groupsOf: Record<string, string[]> = {
  lin: ['fraud-analysts', 'everybody'],
  both: ['fraud-analysts', 'arrears-leads'],
  guest: ['everybody'],
  // Retention works on its own desk alone: these two do not go together.
  odd: ['sales', 'fraud-analysts'],
};

const listening = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};
const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

/** Follows redirects with cookies, as a browser does, and signs in at the pages of the real provider. */
function browser(): { go(url: string): Promise<{ url: string; response: Response }>; cookies: Map<string, string> } {
  const cookies = new Map<string, string>();
  const ask = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const { host } = new URL(url);
    const own = [...cookies].filter(([name]) => name.startsWith(`${host} `));
    const cookie = own.map(([name, value]) => `${name.split(' ')[1]}=${value}`).join('; ');
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      const name = `${host} ${pair.slice(0, at)}`;
      if (/max-age=0|expires=thu, 01 jan 1970/i.test(line)) cookies.delete(name);
      else cookies.set(name, pair.slice(at + 1));
    }
    return response;
  };
  return {
    cookies,
    async go(start) {
      let url = start;
      let response = await ask(url);
      for (let step = 0; step < 20; step++) {
        const location = response.headers.get('location');
        if (location === null) break;
        url = new URL(location, url).href;
        response = await ask(url);
      }
      return { url, response };
    },
  };
}

describe('an identity provider', () => {
  let bench: Bench;
  let running: RunningGateway;
  let store: AccessStore;
  let at: number;
  let issuerServer: Server;
  let issuer: string;
  let login = 'lin';

  beforeAll(async () => {
    bench = await startBench();
    issuerServer = createServer();
    issuer = await listening(issuerServer);
  });
  afterAll(async () => {
    await closed(issuerServer);
    await bench.stop();
  });

  const settings = (): OidcSettings & { label: string } => ({
    label: 'Example',
    issuer,
    clientId: 'ringfence',
    clientSecret: SECRET,
    publicUrl: 'http://127.0.0.1:1',
    scope: 'openid profile groups',
    signedWith: 'RS256',
    claim: 'groups',
    grants,
  });

  /** The address of the gateway has to be known before it listens, to be told to the provider. */
  const start = async (change: Partial<OidcSettings> = {}): Promise<void> => {
    const probe = createServer();
    const publicUrl = await listening(probe);
    await closed(probe);
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: 'ringfence',
          client_secret: SECRET,
          redirect_uris: [`${publicUrl}/v1/session/oidc/callback`],
          response_types: ['code'],
          grant_types: ['authorization_code'],
        },
      ],
      pkce: { required: () => true },
      claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
      scopes: ['openid', 'profile', 'groups'],
      features: { devInteractions: { enabled: false } },
      cookies: { keys: ['a key of this test'] },
      async findAccount(_context: unknown, id: string) {
        return { accountId: id, claims: async () => ({ sub: id, preferred_username: id, groups: groupsOf[id] ?? [] }) };
      },
      interactions: { url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    });
    const pages = provider.callback();
    issuerServer.removeAllListeners('request');
    issuerServer.on('request', async (request, response) => {
      if (!request.url?.startsWith('/interaction/')) return pages(request, response);
      // In the place of a page with a password: whoever the test says signs in and agrees.
      const details = await provider.interactionDetails(request, response);
      const { prompt, params, session } = details;
      if (prompt.name === 'login') {
        return provider.interactionFinished(request, response, { login: { accountId: login } });
      }
      const grant = new provider.Grant({ accountId: session?.accountId, clientId: String(params['client_id']) });
      grant.addOIDCScope(String(params['scope']));
      const grantId = await grant.save();
      return provider.interactionFinished(request, response, { consent: { grantId } });
    });
    running = await bench.start({
      access: store,
      oidc: { ...settings(), publicUrl, ...change },
      port: Number(new URL(publicUrl).port),
    });
  };
  beforeEach(() => {
    at = Date.now();
    store = openAccessStore(':memory:', { now: () => at });
  });
  afterEach(async () => {
    await running.close();
    store.close();
  });
  const entries = (): AuditEntry[] => [...store.auditRows()].map(({ text }) => JSON.parse(text) as AuditEntry);
  const sessionOf = async (cookies: Map<string, string>): Promise<SessionView> => {
    const host = new URL(running.url).host;
    const cookie = `ringfence_session=${cookies.get(`${host} ringfence_session`) ?? ''}`;
    return (await (await fetch(`${running.url}/v1/session`, { headers: { cookie } })).json()) as SessionView;
  };

  it('is reason enough to ask for a sign-in, and is on the page', async () => {
    await start();
    expect((await fetch(`${running.url}/v1/alerts`)).status).toBe(401);
    const view = (await (await fetch(`${running.url}/v1/session`)).json()) as SessionView;
    expect(view).toMatchObject({ signIn: 'required', person: null, providers: { password: false, oidc: 'Example' } });
  });

  it.each([
    ['lin', ['analyst'], ['fraud']],
    ['both', ['analyst', 'lead'], ['fraud', 'arrears']],
  ])('lets %s in, with the roles of the table', async (person, roles, desks) => {
    await start();
    login = person;
    const { go, cookies } = browser();
    const { url, response } = await go(`${running.url}/v1/session/oidc`);
    expect([url, response.status]).toEqual([`${running.url}/`, 200]);
    const view = await sessionOf(cookies);
    expect(view.person).toMatchObject({ name: `oidc:${person}`, roles, desks });
    expect(entries().at(-1)).toMatchObject({
      action: 'signIn',
      result: 'done',
      object: { provider: 'oidc', user: `oidc:${person}`, subject: person },
      after: { roles, desks },
    });
    // The way there is used up.
    expect([...cookies.keys()].some((name) => name.endsWith('ringfence_sign_in'))).toBe(false);
    at += SESSION_OIDC_LONGEST_MS;
    expect((await sessionOf(cookies)).person).toBeNull();
  });

  it.each(['guest', 'odd', 'nobody'])('does not let %s in, who has no role here', async (person) => {
    await start();
    login = person;
    const { go, cookies } = browser();
    const { url } = await go(`${running.url}/v1/session/oidc`);
    expect(url).toBe(`${running.url}/?sign-in=refused`);
    expect((await sessionOf(cookies)).person).toBeNull();
    expect(entries().at(-1)).toMatchObject({ action: 'signIn', result: 'failed', reason: 'no role here' });
  });

  it('with another secret, or another client, is none', async () => {
    await start({ clientSecret: 'a wrong secret that is long enough' });
    login = 'lin';
    const { url } = await browser().go(`${running.url}/v1/session/oidc`);
    expect(url).toBe(`${running.url}/?sign-in=failed`);
  });

  it('is asked by the browser that comes back, once', async () => {
    await start();
    login = 'lin';
    const honest = browser();
    // Stops before the way back: the code is in the address.
    const first = await fetch(`${running.url}/v1/session/oidc`, { redirect: 'manual' });
    const handle = first.headers.getSetCookie()[0]!.split(';')[0]!;
    expect(first.headers.getSetCookie()[0]).toMatch(/HttpOnly; SameSite=Lax/);
    const asked = new URL(first.headers.get('location')!);
    expect(asked.searchParams.get('code_challenge_method')).toBe('S256');
    for (const name of ['state', 'nonce', 'code_challenge']) expect(asked.searchParams.get(name)).toMatch(/.{30,}/);
    const back = await honest.go(asked.href);
    // That browser had no handle: another one has taken its place.
    expect(back.url).toBe(`${running.url}/?sign-in=failed`);
    const replay = (query: string, cookie = handle) =>
      fetch(`${running.url}/v1/session/oidc/callback?${query}`, { redirect: 'manual', headers: { cookie } });
    const wrong = await replay(`code=abc&state=${'A'.repeat(43)}`);
    expect(wrong.headers.get('location')).toMatch(/sign-in=failed/);
    // The handle is used up by any answer.
    const again = await replay(`code=abc&state=${asked.searchParams.get('state')}`);
    expect(again.headers.get('location')).toMatch(/sign-in=failed/);
    for (const response of [wrong, again])
      expect(response.headers.getSetCookie().join()).not.toContain('ringfence_session=');
  });

  it('may be away: that is said, and the next attempt asks again', async () => {
    await start();
    const listeners = issuerServer.listeners('request') as ((...args: unknown[]) => void)[];
    issuerServer.removeAllListeners('request');
    issuerServer.on('request', (_request, response) => response.writeHead(500).end());
    expect((await fetch(`${running.url}/v1/session/oidc`, { redirect: 'manual' })).status).toBe(503);
    issuerServer.removeAllListeners('request');
    for (const listener of listeners) issuerServer.on('request', listener);
    expect((await fetch(`${running.url}/v1/session/oidc`, { redirect: 'manual' })).status).toBe(302);
  });

  it('that is not configured has no address', async () => {
    running = await bench.start({ access: store, oidc: undefined });
    expect((await fetch(`${running.url}/v1/session/oidc`)).status).toBe(404);
    expect((await fetch(`${running.url}/v1/session/oidc/callback?code=1`)).status).toBe(404);
  });
});

describe('an identity provider that lies', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let server: Server;
  let issuer: string;
  let tokenFor: (nonce: string) => string;
  let nonce = '';

  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = (claims: object, key: KeyObject, header: object = { alg: 'RS256', kid: 'one' }): string => {
    const text = `${encode(header)}.${encode(claims)}`;
    return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`;
  };
  const claims = (change: object = {}): object => {
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: issuer,
      sub: 'lin',
      aud: 'ringfence',
      iat: now,
      exp: now + 300,
      nonce,
      groups: ['fraud-analysts'],
      ...change,
    };
  };

  beforeAll(async () => {
    server = createServer((request, response) => {
      const json = (body: object): void => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      if (request.url === '/.well-known/openid-configuration') {
        json({
          issuer,
          authorization_endpoint: `${issuer}/auth`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/jwks`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
        });
      } else if (request.url === '/jwks') {
        json({ keys: [{ ...rsa.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] });
      } else json({ access_token: 'x', token_type: 'bearer', expires_in: 60, id_token: tokenFor(nonce) });
    });
    issuer = await listening(server);
  });
  afterAll(() => closed(server));

  const attempt = async () => {
    const signIn = createOidcSignIn(
      {
        issuer,
        clientId: 'ringfence',
        clientSecret: SECRET,
        publicUrl: 'http://127.0.0.1:1',
        scope: 'openid',
        signedWith: 'RS256',
        claim: 'groups',
        grants,
      },
      Date.now,
    );
    const { address, handle } = await signIn.begin();
    const asked = new URL(address).searchParams;
    nonce = asked.get('nonce') ?? '';
    return signIn.finish(handle, new URLSearchParams({ code: 'abc', state: asked.get('state') ?? '' }));
  };

  it('is believed where all is right, so that the lies below fail for what they are', async () => {
    tokenFor = () => signed(claims(), rsa.privateKey);
    expect(await attempt()).toMatchObject({ kind: 'person', name: 'oidc:lin', roles: ['analyst'] });
  });

  const hour = 3_600;
  const nowSec = Math.floor(Date.now() / 1000);
  it.each<[string, () => string]>([
    ['a token signed by a stranger', () => signed(claims(), stranger.privateKey)],
    ['a token without a signature', () => `${encode({ alg: 'none' })}.${encode(claims())}.`],
    ['a token whose signature was cut off', () => signed(claims(), rsa.privateKey).replace(/[^.]*$/, '')],
    [
      'a token that takes the public key for a shared secret',
      () => signed(claims(), rsa.privateKey, { alg: 'HS256', kid: 'one' }),
    ],
    [
      'a token that brings its own key',
      () => signed(claims(), stranger.privateKey, { alg: 'RS256', jwk: stranger.publicKey.export({ format: 'jwk' }) }),
    ],
    [
      'a token with changed claims',
      () => {
        const [head, , tail] = signed(claims(), rsa.privateKey).split('.');
        return `${head}.${encode(claims({ groups: ['arrears-leads'] }))}.${tail}`;
      },
    ],
    ['a token for somebody else', () => signed(claims({ aud: 'another' }), rsa.privateKey)],
    ['a token of another issuer', () => signed(claims({ iss: 'https://evil.example' }), rsa.privateKey)],
    ['a token that has expired', () => signed(claims({ iat: nowSec - 2 * hour, exp: nowSec - hour }), rsa.privateKey)],
    ['a token of another attempt', () => signed(claims({ nonce: 'another' }), rsa.privateKey)],
    ['a token without a nonce', () => signed(claims({ nonce: undefined }), rsa.privateKey)],
    ['no token', () => ''],
  ])('%s proves nothing', async (_name, make) => {
    tokenFor = make;
    expect(await attempt()).toMatchObject({ kind: 'failed' });
  });

  it.each([
    ['text', 'fraud-analysts', 'person'],
    ['an object', { 'fraud-analysts': true }, 'refused'],
    ['a number', 7, 'refused'],
    ['nothing of ours', ['__proto__', 'constructor'], 'refused'],
    ['a list in a list', [['fraud-analysts']], 'refused'],
  ])('a claim that is %s', async (_name, groups, kind) => {
    tokenFor = () => signed(claims({ groups }), rsa.privateKey);
    expect(await attempt()).toMatchObject({ kind });
  });
});
