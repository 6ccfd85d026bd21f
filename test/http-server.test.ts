import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Static } from 'typebox';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it, vi } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { RingfenceError } from '../src/errors.ts';
import { isLoopback } from '../src/http/address.ts';
import type { SavedRule } from '../src/http/rules.ts';
import {
  ALERT_PAGE_DEFAULT,
  ALERT_PAGE_MAX,
  type AlertSchema,
  type RuleDetail,
  type SubscriberView,
} from '../src/http/schemas.ts';
import { BODY_BYTES_MAX } from '../src/http/server.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';

interface Page {
  alerts: AlertData[];
  next: string | null;
}

const subscriber: SubscriberView = {
  servedMsisdn: '8613800000001',
  firstSeenAt: 1,
  lastSeenAt: 2,
  features: [
    {
      feature: 'calls1h',
      ruleIds: ['fraud.irsf-burst'],
      keyType: 'subscriber',
      keyValue: '8613800000001',
      window: '1h',
      unit: 'count',
      value: 3,
      panes: [{ startAt: 0, value: 3 }],
      paneSec: 300,
    },
  ],
  ledger: null,
  balance: 12.5,
  lifecycleStage: null,
  value: null,
  scores: [],
  openAlerts: [],
};

/** Rules kept in a map, as the rule store would keep files: a text with `bad` in it is wrong. */
function ruleShelf() {
  const shelf = new Map<string, RuleDetail>();
  const ruleOf = (id: string, text: string, version: number): RuleDetail => ({
    id,
    version,
    catalogue: 'F03',
    desk: 'fraud',
    status: 'stable',
    shadow: false,
    features: [],
    featureTitles: {},
    key: 'subscriber',
    title: { en: id, 'zh-CN': id },
    description: null,
    falsePositives: [{ en: 'A campaign', 'zh-CN': '营销活动' }],
    runbook: null,
    text,
  });
  shelf.set('fraud.irsf-burst', ruleOf('fraud.irsf-burst', 'id: fraud.irsf-burst\n', 1));
  const check = (text: string) =>
    text.includes('bad')
      ? [{ file: 'rule.yaml', line: 1, column: text.indexOf('bad') + 1, message: 'bad is bad' }]
      : [];
  return {
    list: () => [...shelf.values()].map(({ text: _text, ...summary }) => summary),
    get: (id: string) => shelf.get(id),
    check,
    async save(id: string, text: string): Promise<SavedRule> {
      const errors = check(text);
      if (errors.length > 0) return { kind: 'invalid', errors };
      if (!text.includes(id)) return { kind: 'conflict', detail: 'The text is of another rule.' };
      // Long enough for a second save to come in between.
      await new Promise((resolve) => setTimeout(resolve, 20));
      const before = shelf.get(id);
      const rule = ruleOf(id, text, (before?.version ?? 0) + 1);
      shelf.set(id, rule);
      return { kind: 'saved', rule, created: before === undefined };
    },
  };
}

describe('http server', () => {
  let bench: Bench;
  let running: RunningGateway;
  let url: string;
  beforeAll(async () => {
    bench = await startBench();
    running = await bench.start({
      inspectSubscriber: (msisdn) => (msisdn === subscriber.servedMsisdn ? subscriber : undefined),
      rules: ruleShelf(),
    });
    url = running.url;
  });
  afterAll(() => bench.stop());

  const get = async <T>(path: string, init?: RequestInit): Promise<{ status: number; headers: Headers; body: T }> => {
    const response = await fetch(url + path, init);
    return { status: response.status, headers: response.headers, body: (await response.json()) as T };
  };
  const send = (
    method: string,
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string>,
  ) => get<Record<string, unknown>>(path, { method, body, headers });

  describe('GET /v1/alerts', () => {
    const published: AlertData[] = [];
    beforeAll(async () => {
      const base = 1_750_000_000_000;
      let last = 0;
      for (let i = 0; i < 60; i++) {
        last = await bench.publishAlert({
          alertId: `list${i}`,
          desk: (['fraud', 'arrears', 'retention'] as const)[i % 3],
          severity: i % 10 === 0 ? 'critical' : 'info',
          servedMsisdn: `861380000000${i % 2}`,
          eventTime: base + i * 1_000,
        });
      }
      expect(last).toBe(60);
      await bench.publishAlert({ alertId: 'list3', revision: 2, status: 'resolved', eventTime: base + 90_000 });
      await vi.waitFor(
        async () => {
          published.splice(0, Number.POSITIVE_INFINITY, ...(await get<Page>('/v1/alerts?limit=500')).body.alerts);
          expect(published[0]?.alertId).toBe('list3');
        },
        { timeout: 30_000 },
      );
    });

    it('lists each alert once, in its newest revision, newest first', () => {
      expect(published.length).toBe(60);
      expect(published[0]).toMatchObject({ alertId: 'list3', revision: 2, status: 'resolved' });
      expect(published.map(({ eventTime }) => eventTime)).toEqual(
        published.map(({ eventTime }) => eventTime).sort((a, b) => b - a),
      );
      expectTypeOf<AlertData>().toExtend<Static<typeof AlertSchema>>();
      expectTypeOf<Static<typeof AlertSchema>>().toExtend<AlertData>();
    });

    it('takes a default page, and walks all pages with the cursor', async () => {
      const first = await get<Page>('/v1/alerts');
      expect(first.body.alerts.length).toBe(ALERT_PAGE_DEFAULT);
      const ids: string[] = [];
      let next: string | null = '';
      while (next !== null) {
        const page: Page = (await get<Page>(`/v1/alerts?limit=7${next && `&cursor=${next}`}`)).body;
        ids.push(...page.alerts.map(({ alertId }) => alertId));
        next = page.next;
      }
      expect(ids).toEqual(published.map(({ alertId }) => alertId));
    });

    it.each([
      ['desk=arrears', (alert: AlertData) => alert.desk === 'arrears'],
      ['severity=critical', (alert: AlertData) => alert.severity === 'critical'],
      ['status=resolved', (alert: AlertData) => alert.status === 'resolved'],
      ['ruleId=fraud.irsf-burst', () => true],
      ['ruleId=fraud.other', () => false],
      ['servedMsisdn=8613800000001', (alert: AlertData) => alert.servedMsisdn === '8613800000001'],
      [
        'from=1750000010000&to=1750000020000',
        ({ eventTime: t }: AlertData) => t >= 1_750_000_010_000 && t < 1_750_000_020_000,
      ],
      ['from=2025-06-15T15:06:50%2B00:00', ({ eventTime: t }: AlertData) => t >= Date.parse('2025-06-15T15:06:50Z')],
      [
        'to=2025-06-15T15:06:50Z&desk=fraud',
        (alert: AlertData) => alert.eventTime < Date.parse('2025-06-15T15:06:50Z') && alert.desk === 'fraud',
      ],
    ])('filters by %s', async (query, keeps) => {
      const { body } = await get<Page>(`/v1/alerts?limit=${ALERT_PAGE_MAX}&${query}`);
      expect(body.alerts).toEqual(published.filter(keeps));
      expect(body.next).toBeNull();
    });
  });

  it('shows a subscriber, and says when there is none', async () => {
    expect((await get('/v1/subscribers/8613800000001')).body).toEqual(subscriber);
    expect((await get('/v1/subscribers/8613800000002')).status).toBe(404);
  });

  it('lists, shows and checks rules', async () => {
    expect((await get<{ rules: object[] }>('/v1/rules')).body.rules).toMatchObject([
      { id: 'fraud.irsf-burst', version: 1 },
    ]);
    const { headers, body } = await get<RuleDetail>('/v1/rules/fraud.irsf-burst');
    expect(headers.get('etag')).toMatch(/^"1-[0-9a-f]{16}"$/);
    expect(body.text).toBe('id: fraud.irsf-burst\n');
    expect(body.falsePositives).toEqual([{ en: 'A campaign', 'zh-CN': '营销活动' }]);
    const yaml = { 'content-type': 'application/yaml' };
    expect((await send('POST', '/v1/rules/check', 'good', yaml)).body).toEqual({ ok: true, errors: [] });
    expect((await send('POST', '/v1/rules/check', '{"a":"bad"}', { 'content-type': 'application/json' })).body).toEqual(
      {
        ok: false,
        errors: [{ file: 'rule.yaml', line: 1, column: 7, message: 'bad is bad' }],
      },
    );
  });

  it('changes a rule only over the version that the caller has seen', async () => {
    const path = '/v1/rules/fraud.irsf-burst';
    const yaml = { 'content-type': 'application/yaml' };
    const tag = (await get(path)).headers.get('etag')!;
    const invalid = await send('PUT', path, 'bad', yaml);
    expect([invalid.status, invalid.body.errors]).toEqual([
      422,
      [{ file: 'rule.yaml', line: 1, column: 1, message: 'bad is bad' }],
    ]);
    expect((await send('PUT', path, 'id: fraud.other\n', yaml)).status).toBe(409);

    // Two at once with the same tag: one wins, the other is told.
    const both = await Promise.all(
      ['a', 'b'].map((name) => send('PUT', path, `id: fraud.irsf-burst # ${name}\n`, { ...yaml, 'if-match': tag })),
    );
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
    const winner = both.find(({ status }) => status === 200)!;
    expect(winner.headers.get('etag')).not.toBe(tag);
    expect((await get(path)).headers.get('etag')).toBe(winner.headers.get('etag'));

    const added = await send('PUT', '/v1/rules/fraud.new', 'id: fraud.new\n', { ...yaml, 'if-none-match': '*' });
    expect(added.status).toBe(201);
    expect(
      (await send('PUT', '/v1/rules/fraud.new', 'id: fraud.new\n', { ...yaml, 'if-none-match': '*' })).status,
    ).toBe(412);
    expect((await send('PUT', '/v1/rules/fraud.none', 'id: fraud.none\n', { ...yaml, 'if-match': '*' })).status).toBe(
      412,
    );
  });

  it('shows the figures of the process', async () => {
    expect((await get('/v1/operations')).body).toMatchObject({ records: { applied: 0 }, ready: true, wsClients: 0 });
  });

  it.each<[string, number, RegExp, RequestInit?]>([
    ['/nothing', 404, /nothing at GET \/nothing/],
    ['/v1/alerts/x', 404, /nothing/],
    ['/v1/rules/none', 404, /no rule/],
    ['/v1/alerts?limit=0', 400, /limit must be >= 1/],
    ['/v1/alerts?limit=501', 400, /limit must be <= 500/],
    ['/v1/alerts?limit=ten', 400, /limit must be integer/],
    ['/v1/alerts?desk=billing', 400, /desk must be one of fraud, arrears, retention/],
    ['/v1/alerts?desk=fraud&desk=arrears', 400, /desk/],
    ['/v1/alerts?dsek=fraud', 400, /no parameter dsek/],
    ['/v1/alerts?cursor=abc', 400, /cursor/],
    [
      '/v1/alerts?from=yesterday',
      400,
      /^from must be Unix epoch milliseconds, or RFC 3339 with an offset, such as .*Z\.$/,
    ],
    ['/v1/alerts?to=2025-02-03T00:00:00', 400, /^to must be Unix epoch milliseconds, or RFC 3339 with an offset/],
    ['/v1/alerts?from=2025-02-45T00:00:00Z', 400, /from: no such date/],
    ['/v1/alerts?from=2025-02-30T00:00:00Z', 400, /from: no such date/],
    ['/v1/alerts?from=2&to=1', 400, /^from must not be later than to\.$/],
    ['/v1/alerts?from=2025-02-03T00:00:00Z&to=2025-02-03T00:00:00%2B01:00', 400, /^from must not be later than to\.$/],
    ['/v1/deadletters?from=2&to=1', 400, /^from must not be later than to\.$/],
    ['/v1/cases?from=2&to=1', 400, /^from must not be later than to\.$/],
    ['/v1/cases/groups?by=rule&from=2&to=1', 400, /^from must not be later than to\.$/],
    ['/v1/alerts?servedMsisdn=%2B8613800000001', 400, /^servedMsisdn must be 5 to 15 digits without \+, or the sub/],
    ['/v1/subscribers/abc', 400, /^msisdn must be 5 to 15 digits/],
    ['/v1/deadletters?cursor=0', 400, /^cursor must be a whole number above 0 of at most 15 digits\.$/],
    ['/v1/subscribers/1234', 400, /msisdn/],
    ['/v1/rules/..%2f..%2fetc', 400, /id/],
    ['/%', 400, /url/],
    ['/v1/alerts', 405, /only GET, HEAD/, { method: 'DELETE' }],
    ['/v1/usage', 405, /only POST/],
    [
      '/v1/rules/x',
      405,
      /only GET, PUT, HEAD/,
      { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } },
    ],
    ['/v1/alerts/live', 426, /WebSocket/],
    ['/v1/usage', 400, /empty/, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '' }],
    [
      '/v1/usage',
      415,
      /application\/msgpack/,
      { method: 'POST', headers: { 'content-type': 'text/csv' }, body: 'a,b' },
    ],
    [
      '/v1/usage',
      415,
      /Compressed/,
      { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: '{}' },
    ],
    [
      '/v1/usage',
      413,
      /1048576 bytes/,
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: ' '.repeat(BODY_BYTES_MAX + 1) },
    ],
    [
      '/v1/usage',
      403,
      /origin/,
      { method: 'POST', headers: { 'content-type': 'application/json', origin: 'https://evil.example' }, body: '{}' },
    ],
    [
      '/v1/rules/check',
      400,
      /UTF-8/,
      { method: 'POST', headers: { 'content-type': 'application/yaml' }, body: new Uint8Array([0x61, 0xff]) },
    ],
    ['/v1/rules/x', 415, /yaml/, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{}' }],
  ])('answers %s with problem %i', async (path, status, detail, init) => {
    const { body, headers, ...response } = await get<Record<string, unknown>>(path, init);
    expect(response.status).toBe(status);
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(body).toMatchObject({ type: 'about:blank', status, title: expect.any(String) });
    expect(body.detail).toMatch(detail);
    if (status === 405) expect(headers.get('allow')).toBe(String(body.detail).match(/only (.*)\./)?.[1]);
  });

  it('answers requests that are no HTTP with a problem too', async () => {
    const { hostname, port } = new URL(url);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connectTcp(Number(port), hostname, () => socket.write('GARBAGE\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*application\/problem\+json[\s\S]*"status":400/);
  });

  it('is not fooled by a foreign host name that resolves to loopback', async () => {
    const { hostname, port } = new URL(url);
    const ask = (host: string) =>
      new Promise<number>((resolve, reject) => {
        httpRequest({ hostname, port, path: '/v1/alerts', headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        })
          .on('error', reject)
          .end();
      });
    expect(await ask('rebound.example')).toBe(421);
    expect(await ask(`rebound.example:${port}`)).toBe(421);
    expect(await ask(`localhost:${port}`)).toBe(200);
    expect(await ask('[::1]:8080')).toBe(200);
  });

  it('gives every answer the headers that keep a browser safe', async () => {
    for (const path of ['/', '/v1/alerts', '/nothing']) {
      const { headers } = await fetch(url + path);
      const policy = headers.get('content-security-policy');
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });

  it('counts requests by route pattern, never by path', async () => {
    await get('/v1/subscribers/8613899999999');
    const { body } = await running.metrics.expose(undefined);
    expect(body).toMatch(
      /ringfence_http_requests_total\{route="\/v1\/subscribers\/:msisdn",method="GET",status="404"\} \d/,
    );
    expect(body).not.toContain('8613899999999');
  });

  it('says how to build the console where it is not there', async () => {
    const page = await fetch(`${url}/`);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(await page.text()).toContain('npm run setup');
  });

  it('serves the console where it is built', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringfence-console-'));
    await mkdir(join(folder, 'assets'));
    writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Console</title>');
    writeFileSync(join(folder, 'assets', 'main-Ab3_x9Qz.js'), 'export {};');
    writeFileSync(join(folder, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
    const second = await bench.start({ consoleDir: folder, dataDir: ':memory:' });
    const ask = async (path: string) => {
      const response = await fetch(second.url + path);
      await response.text();
      return [response.status, response.headers.get('content-type'), response.headers.get('cache-control')];
    };
    expect(await ask('/')).toEqual([200, 'text/html; charset=utf-8', 'no-cache']);
    expect(await ask('/assets/main-Ab3_x9Qz.js')).toEqual([
      200,
      'application/javascript; charset=utf-8',
      'public, max-age=31536000, immutable',
    ]);
    expect(await ask('/favicon.svg')).toEqual([200, 'image/svg+xml', 'no-cache']);
    expect((await ask('/assets/none.js'))[0]).toBe(404);
    expect((await ask('/..%2f..%2fetc/passwd'))[0]).toBe(404);
    await second.close();
    rmSync(folder, { recursive: true });
  });

  it('answers the list from its file after a restart, though NATS is away', async () => {
    const own = await startBench();
    try {
      const first = await own.start();
      await own.publishAlert({ alertId: 'kept' });
      const list = async ({ url: base }: RunningGateway) =>
        ((await (await fetch(`${base}/v1/alerts`)).json()) as Page).alerts.map(({ alertId }) => alertId);
      await expect.poll(() => list(first)).toEqual(['kept']);
      await first.close();
      await own.broker.kill();
      const second = await own.start();
      expect(await list(second)).toEqual(['kept']);
      const usage = await fetch(`${second.url}/v1/usage`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      expect([usage.status, usage.headers.get('retry-after')]).toEqual([503, '1']);
      await usage.text();
    } finally {
      await own.stop();
    }
  });

  it('stops an address that asks too often, with the time to wait', async () => {
    const second = await bench.start({ requestsPerMinuteMax: 3, dataDir: ':memory:' });
    const ask = async () => {
      const response = await fetch(`${second.url}/v1/rules`);
      return { response, body: (await response.json()) as { status?: number } };
    };
    for (let i = 0; i < 3; i++) expect((await ask()).response.status).toBe(200);
    const { response, body } = await ask();
    expect([response.status, body.status]).toEqual([429, 429]);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    await second.close();
  });

  it('takes a bounded number of bodies at once, and has room again when callers go away', async () => {
    const { hostname, port } = new URL(url);
    const head = `POST /v1/usage HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[`;
    const stuck = Array.from({ length: 128 }, () => connectTcp(Number(port), hostname));
    for (const socket of stuck) socket.on('error', () => {}).write(head);
    const used = () =>
      running.metrics.expose(undefined).then(({ body }) => body.match(/http_usage_requests"\} (\d+)/)?.[1]);
    await expect.poll(used).toBe('128');
    const refused = await send('POST', '/v1/usage', '[]', { 'content-type': 'application/json' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    for (const socket of stuck) socket.destroy();
    await expect.poll(used).toBe('0');
    expect((await send('POST', '/v1/usage', '[]', { 'content-type': 'application/json' })).status).toBe(400);
  });

  it('listens on loopback only, and says what is wrong with a port', async () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'localhost', 'LOCALHOST']) {
      expect([host, isLoopback(host)]).toEqual([host, true]);
    }
    for (const host of [
      '0.0.0.0',
      '::',
      '',
      '10.0.0.1',
      '192.168.1.1',
      'example.com',
      '::ffff:10.0.0.1',
      '128.0.0.1',
    ]) {
      expect([host, isLoopback(host)]).toEqual([host, false]);
    }
    const second = await bench.start({ dataDir: ':memory:' });
    const refused = second.gateway.listen('0.0.0.0', 0);
    await expect(refused).rejects.toBeInstanceOf(RingfenceError);
    await expect(refused).rejects.toMatchObject({ code: 'http.not-loopback', exitCode: 3 });
    await second.close();
  });
});
