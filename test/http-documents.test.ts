import { readdirSync, readFileSync } from 'node:fs';
import asyncApiSpecs from '@asyncapi/specs';
import { Ajv, type AnySchema } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WORDS_OF_PATTERN } from '../src/http/request.ts';
import { alertWith, type Bench, connectLive, type RunningGateway, startBench } from './http-gateway.ts';

type Json = Record<string, unknown>;
interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json> };
}
interface Operation {
  operationId: string;
  summary: string;
  parameters?: { name: string; in: string; required: boolean; schema: Json }[];
  requestBody?: { content: Record<string, unknown> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>;
}

/** Every `$ref` in a document. */
function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === '$ref' ? [String(inner)] : refsIn(inner)));
}

/** Every pattern that a text has to fit. */
function patternsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === 'pattern' && typeof inner === 'string' ? [inner] : patternsIn(inner),
  );
}

function resolve(document: unknown, ref: string): unknown {
  const steps = ref
    .slice(2)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  return steps.reduce<unknown>((value, step) => (value as Json | undefined)?.[step], document);
}

/** A validator for a named schema of a document. */
function validatorOf(document: { components: { schemas: Record<string, Json> } }, name: string) {
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': true } });
  ajv.addSchema({ $id: 'document', components: document.components });
  return ajv.compile({ $ref: `document#/components/schemas/${name}` });
}

describe('descriptions', () => {
  let bench: Bench;
  let running: RunningGateway;
  let openApi: OpenApi;
  let asyncApi: OpenApi & {
    channels: Record<string, { address: string; messages?: Record<string, { $ref: string }> }>;
    asyncapi: string;
  };
  beforeAll(async () => {
    bench = await startBench();
    running = await bench.start();
    openApi = (await (await fetch(`${running.url}/openapi.json`)).json()) as typeof openApi;
    asyncApi = (await (await fetch(`${running.url}/asyncapi.json`)).json()) as typeof asyncApi;
  });
  afterAll(() => bench.stop());

  it('describe every route that the server has, and no other', async () => {
    expect(openApi.openapi).toMatch(/^3\.1\./);
    const described = Object.entries(openApi.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual(
      [
        'GET /asyncapi.json',
        'GET /v1/cases',
        'GET /v1/cases/groups',
        'GET /v1/cases/{id}',
        'GET /v1/cases/{id}/snooze-preview',
        'GET /v1/feedback',
        'GET /v1/labels',
        'GET /v1/keys',
        'GET /v1/desks/{desk}/settings',
        'PUT /v1/desks/{desk}/views/{viewId}',
        'DELETE /v1/desks/{desk}/views/{viewId}',
        'PUT /v1/desks/{desk}/default-view',
        'PUT /v1/desks/{desk}/routing',
        'POST /v1/keys',
        'DELETE /v1/keys/{keyId}',
        'GET /v1/users',
        'POST /v1/users',
        'PUT /v1/users/{name}',
        'POST /v1/users/{name}/password',
        'GET /v1/lists',
        'GET /v1/lists/{name}/rows',
        'POST /v1/lists/{name}/import',
        'POST /v1/lists/{name}/entries',
        'POST /v1/lists/{name}/entries/end',
        'POST /v1/cases/bulk',
        'POST /v1/cases/bulk/{bulkId}/undo',
        'POST /v1/cases/next',
        'POST /v1/cases/{id}/events',
        'GET /openapi.json',
        'GET /v1/alerts',
        'GET /v1/alerts/live',
        'GET /v1/alerts/{alertId}/records',
        'GET /v1/alerts/{alertId}/records.csv',
        'GET /v1/audit',
        'GET /v1/audit/verify',
        'GET /v1/session',
        'GET /v1/session/oidc',
        'GET /v1/session/oidc/callback',
        'DELETE /v1/session',
        'POST /v1/session',
        'PUT /v1/session/password',
        'POST /v1/ws-ticket',
        'POST /v1/alerts/{alertId}/reveal',
        'POST /v1/subscribers/{msisdn}/reveal',
        'GET /v1/deadletters',
        'GET /v1/deadletters/{seq}',
        'POST /v1/deadletters/{seq}/replay',
        'GET /v1/operations',
        'GET /v1/churn',
        'GET /v1/rules',
        'GET /v1/rules/{id}',
        'GET /v1/subscribers/{msisdn}',
        'GET /v1/subscribers/{msisdn}/records',
        'GET /v1/subscribers/{msisdn}/records.csv',
        'POST /v1/rules/check',
        'POST /v1/usage',
        'PUT /v1/rules/{id}',
        'GET /v1/rule-proposals',
        'GET /v1/rules/{id}/changes',
        'GET /v1/rules/{id}/changes/{sequence}',
        'POST /v1/rules/{id}/draft',
        'POST /v1/rules/{id}/back-tests',
        'GET /v1/rules/{id}/back-tests/{testId}',
        'DELETE /v1/rules/{id}/back-tests/{testId}',
        'POST /v1/rules/{id}/proposals',
        'POST /v1/rules/{id}/proposals/{proposalId}/decision',
      ].sort(),
    );
    // The sources register routes of the API through one function, which also describes them.
    const folder = new URL('../src/http/', import.meta.url);
    const source = readdirSync(folder)
      .map((file) => readFileSync(new URL(file, folder), 'utf8'))
      .join('');
    const registered = [...source.matchAll(/url: '(\/[^']+)'/g)].map(([, url]) => url.replace(/:(\w+)/g, '{$1}'));
    expect(registered.length).toBeGreaterThan(5);
    for (const path of registered) expect(Object.keys(openApi.paths)).toContain(path);
    // What is described is there: nothing of it answers 404 for want of a route.
    for (const [path, operations] of Object.entries(openApi.paths)) {
      // Without an identity provider there is nothing at its addresses; oidc.test.ts has one.
      if (path.startsWith('/v1/session/oidc')) continue;
      for (const method of Object.keys(operations)) {
        const response = await fetch(running.url + path.replace('{msisdn}', '1').replace('{id}', '-'), { method });
        expect([method, path, response.status]).not.toEqual([method, path, 404]);
        expect(Object.keys(operations[method].responses)).toContain(String(response.status));
        await response.arrayBuffer();
      }
    }
  });

  it('ask for no pattern that an answer could not put into words', () => {
    // What is wrong with a record is said by its decoder.
    const { UsageRecord: _record, ...schemas } = openApi.components.schemas;
    const patterns = new Set(patternsIn([openApi.paths, schemas]));
    expect(patterns.size).toBeGreaterThan(10);
    expect([...patterns].filter((pattern) => !WORDS_OF_PATTERN.has(pattern))).toEqual([]);
  });

  it('are sound: references resolve, schemas compile, operations are complete', () => {
    for (const document of [openApi, asyncApi]) {
      for (const ref of refsIn(document)) expect([ref, resolve(document, ref)]).not.toEqual([ref, undefined]);
      for (const name of Object.keys(document.components.schemas)) {
        expect(() => validatorOf(document, name)).not.toThrow();
      }
    }
    const ids = new Set<string>();
    for (const [path, operations] of Object.entries(openApi.paths)) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const { operationId, summary, parameters = [], responses } of Object.values(operations)) {
        expect(ids.has(operationId)).toBe(false);
        ids.add(operationId);
        expect(summary).not.toBe('');
        const declared = parameters.filter(({ in: place }) => place === 'path').map(({ name }) => name);
        expect(declared).toEqual(inPath);
        for (const [status, { content = {} }] of Object.entries(responses)) {
          const isUsageResult = path === '/v1/usage' && status === '400';
          if (Number(status) >= 400 && !isUsageResult) {
            expect(Object.keys(content)).toEqual(['application/problem+json']);
          }
        }
      }
    }
    expect(Object.keys(openApi.paths['/v1/usage'].post.requestBody!.content)).toEqual([
      'application/json',
      'application/x-ndjson',
      'application/msgpack',
    ]);
  });

  it('hold for what the server answers', async () => {
    await bench.publishAlert();
    await expect
      .poll(async () => ((await (await fetch(`${running.url}/v1/alerts`)).json()) as { alerts: [] }).alerts.length)
      .toBe(1);
    const answers: [path: string, schema: string, init?: RequestInit][] = [
      ['/v1/alerts', 'AlertPage'],
      ['/v1/operations', 'Operations'],
      ['/v1/churn', 'ChurnReport'],
      ['/v1/rules', 'RuleList'],
      ['/v1/usage', 'UsageResult', { method: 'POST', body: '[{}]', headers: { 'content-type': 'application/json' } }],
      ['/v1/deadletters', 'DeadLetterPage'],
      ['/v1/deadletters/1', 'DeadLetter'],
      ['/v1/deadletters/1/replay', 'Problem', { method: 'POST' }],
      ['/nothing', 'Problem'],
      ['/v1/alerts?limit=0', 'Problem'],
    ];
    for (const [path, schema, init] of answers) {
      const valid = validatorOf(openApi, schema);
      const body = await (await fetch(running.url + path, init)).json();
      valid(body);
      expect([path, valid.errors]).toEqual([path, null]);
    }
  });

  it('hold for every frame of the WebSocket, whatever its kind', async () => {
    const { messages } = asyncApi.channels['live']!;
    const validators = Object.values(messages!).map(({ $ref }) => {
      const { payload } = resolve(asyncApi, $ref) as { payload: { $ref: string } };
      return validatorOf(asyncApi, payload.$ref.split('/').at(-1)!);
    });
    const all = await connectLive(running.url, { since: 0, cases: 'true' });
    const beyond = await connectLive(running.url, { since: 1_000_000 });
    await bench.publishAlert();
    await bench.publishAlert({ status: 'resolved' });
    const kindsOf = (frames: readonly { kind: string }[]) => new Set(frames.map(({ kind }) => kind));
    await all.until((frames) => kindsOf(frames).has('case') && kindsOf(frames).has('alert'));
    await beyond.until((frames) => kindsOf(frames).has('resync'));
    const frames = [...all.frames, ...beyond.frames];
    expect([...kindsOf(frames)].sort()).toEqual(['alert', 'case', 'hello', 'resync']);
    for (const frame of frames) {
      // Each is one of the messages of the channel, and of no two.
      expect([frame.kind, validators.filter((valid) => valid(frame)).length]).toEqual([frame.kind, 1]);
    }
    expect(validators.some((valid) => valid({ ...frames[0], seq: 'last' }))).toBe(false);
    for (const client of [all, beyond]) await client.close();
  });

  it('tell a good record from a bad one, and an alert from none', () => {
    const record = validatorOf(openApi, 'UsageRecord');
    expect(
      record({
        recordId: '1',
        recordType: 'sms',
        eventTime: 1.7e12,
        servedMsisdn: '86138',
        direction: 'mo',
        otherNumber: '1',
      }),
    ).toBe(true);
    expect(record({ recordId: '1', recordType: 'sms', eventTime: 1.7e12, servedMsisdn: '86138' })).toBe(false);
    const alert = validatorOf(asyncApi, 'Alert');
    expect(alert(alertWith())).toBe(true);
    expect(alert({ ...alertWith(), desk: 'billing' })).toBe(false);
  });

  it('are AsyncAPI as its own schema has it', () => {
    // The schema of AsyncAPI carries that of JSON Schema itself, which Ajv knows already.
    const ajv = new Ajv({ strict: false, meta: false, validateSchema: false, validateFormats: false });
    const valid = ajv.compile(asyncApiSpecs.schemas['3.0.0'] as AnySchema);
    valid(asyncApi);
    expect(valid.errors).toBe(null);
    // It would notice.
    expect(valid({ ...asyncApi, asyncapi: '2.6.0' })).toBe(false);
    expect(
      valid({ ...asyncApi, operations: { push: { action: 'shout', channel: { $ref: '#/channels/live' } } } }),
    ).toBe(false);
    expect(valid({ ...asyncApi, channels: { live: { addres: '/v1/alerts/live' } } })).toBe(false);
  });

  it('name the WebSocket and the subjects', () => {
    expect(asyncApi.asyncapi).toBe('3.0.0');
    expect(Object.values(asyncApi.channels).map(({ address }) => address)).toEqual([
      '/v1/alerts/live',
      'usage.{partition}.{recordType}',
      'alerts.{desk}.{alertId}',
      'cases.{desk}.{caseId}',
      'rules.{desk}.{slug}',
      'cases.{desk}.settings',
      'deadletter.{reason}',
    ]);
  });
});
