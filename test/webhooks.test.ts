import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { caseIdOf } from '../src/cases/case-event.ts';
import { readWebhooks } from '../src/cli/webhooks.ts';
import { allowEntryProblem, createAllowList } from '../src/webhooks/address.ts';
import type { Webhook } from '../src/webhooks/delivery.ts';
import { alertWith, type Bench, type RunningGateway, startBench } from './http-gateway.ts';

describe('where a webhook may go', () => {
  const allow = createAllowList(['hooks.example.com', '*.inside.example', '10.1.0.0/16', 'localhost', 'fd00:1::/32']);

  it.each([
    ['https://hooks.example.com/x', undefined],
    ['https://a.inside.example/', undefined],
    ['https://10.1.2.3/', undefined],
    ['http://10.1.2.3/', undefined],
    ['https://[fd00:1::5]/', undefined],
    ['https://other.example.com/', 'not in the list'],
    ['https://inside.example.evil.com/', 'not in the list'],
    ['https://evilinside.example/', 'not in the list'],
    ['https://HOOKS.example.com./', 'not in the list'],
    ['https://user:pass@hooks.example.com/', 'credentials'],
    ['https://10.2.0.1/', 'private'],
    ['https://127.0.0.1/', 'private'],
    ['https://2130706433/', 'private'],
    ['https://0x7f.1/', 'private'],
    ['https://0177.0.0.1/', 'private'],
    ['https://169.254.169.254/latest/meta-data', 'private'],
    ['https://[::1]/', 'private'],
    ['https://[::ffff:127.0.0.1]/', 'private'],
    ['https://[::ffff:7f00:1]/', 'private'],
    ['https://[64:ff9b::7f00:1]/', 'private'],
    ['https://[2002:7f00:1::]/', 'private'],
    ['https://[fe80::1]/', 'private'],
    ['https://[fd00:2::1]/', 'private'],
    ['https://0.0.0.0/', 'private'],
    ['https://[::]/', 'private'],
    ['http://8.8.8.8/', 'only https'],
    ['ftp://hooks.example.com/', 'no http'],
    ['file:///etc/passwd', 'no http'],
    ['hooks.example.com', 'no http'],
  ])('%s: %s', (url, problem) => {
    if (problem === undefined) expect(allow.urlProblem(url)).toBeUndefined();
    else expect(allow.urlProblem(url)).toContain(problem);
  });

  it('looks at what a name means, however trusted the name', async () => {
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    allow.lookup(true)('localhost', { all: true }, (error) => resolve(error));
    expect((await promise)?.message).toContain('private address');
  });

  it.each([
    ['hooks.example.com', undefined],
    ['*.example.com', undefined],
    ['10.0.0.0/8', undefined],
    ['fd00::/8', undefined],
    ['10.0.0.0/33', 'no network'],
    ['999.0.0.0/8', 'no network'],
    ['https://x', 'no host name'],
    ['*', 'no host name'],
  ])('an entry %s of the list: %s', (entry, problem) => {
    if (problem === undefined) expect(allowEntryProblem(entry)).toBeUndefined();
    else expect(allowEntryProblem(entry)).toContain(problem);
  });
});

describe('webhooks of the configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-hooks-'));
  const file = (text: string): string => {
    const path = join(folder, `${Buffer.from(text).toString('hex').slice(0, 20)}.key`);
    writeFileSync(path, text);
    return path;
  };
  afterAll(() => rmSync(folder, { recursive: true }));
  const target = {
    name: 'pager',
    url: 'https://hooks.example.com/x',
    form: 'cloudEvents' as const,
    secretFile: file('a secret of thirty-two bytes ....'),
    events: ['alert' as const],
  };
  const read = (fields: object = {}, allow = ['hooks.example.com']) =>
    readWebhooks({ allow, targets: [{ ...target, ...fields }] });

  it('are read with their keys', () => {
    const encoded = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    expect(read({ secretFile: file(encoded) }).list[0]).toMatchObject({ name: 'pager', secret: Buffer.alloc(32, 7) });
    expect(read({ secretFile: file('a plain key of more than 24 bytes\n') }).list[0]?.secret.toString()).toBe(
      'a plain key of more than 24 bytes',
    );
  });

  it.each<[string, () => unknown, string]>([
    ['a host that is not allowed', () => read({ url: 'https://other.example.com/' }), 'not in the list'],
    ['a private address', () => read({ url: 'https://192.168.1.1/' }), 'private'],
    ['an entry that is no host', () => read({}, ['http://x']), 'no host name'],
    ['a key that is too short', () => read({ secretFile: file('short') }), 'shorter than'],
    ['a key that is not there', () => read({ secretFile: '/nowhere/at/all' }), 'cannot be read'],
    ['case events for Alertmanager', () => read({ form: 'alertmanager', events: ['outcome'] }), 'alerts only'],
    ['a name twice', () => readWebhooks({ allow: ['hooks.example.com'], targets: [target, target] }), 'Two webhooks'],
  ])('are refused with %s', (_name, act, message) => {
    expect(act).toThrow(message);
  });
});

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A delivery is tried again after seconds. */
const SETTLED = { timeout: 30_000 };

describe('webhooks', () => {
  const secret = Buffer.from('a secret of thirty-two bytes ....');
  let bench: Bench;
  let receiver: Server;
  let url: string;
  const received: Received[] = [];
  /** Statuses to answer with, by path; 200 where there is none. */
  const answers = new Map<string, number[]>();
  const folders: string[] = [];
  beforeAll(async () => {
    bench = await startBench();
    receiver = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        received.push({ path: request.url!, headers: request.headers, body });
        const status = answers.get(request.url!)?.shift() ?? 200;
        response.writeHead(status, status === 302 ? { location: '/redirected' } : {}).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  });
  const running: RunningGateway[] = [];
  afterEach(async () => {
    for (const gateway of running.splice(0)) await gateway.close();
  });
  afterAll(async () => {
    receiver.close();
    await bench.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  const hook = (name: string, fields: Partial<Webhook> = {}): Webhook => ({
    name,
    url: `${url}/${name}`,
    form: 'cloudEvents',
    secret,
    events: new Set(['alert']),
    desks: new Set(),
    ...fields,
  });
  const start = async (hooks: Webhook[], allow = ['127.0.0.0/8']): Promise<RunningGateway> => {
    const dataDir = mkdtempSync(join(tmpdir(), 'ringfence-hooks-'));
    folders.push(dataDir);
    const gateway = await bench.start({ dataDir, webhooks: { list: hooks, allow: createAllowList(allow) } });
    running.push(gateway);
    // A consumer begins with what comes after it was made.
    await vi.waitFor(async () => {
      for (const { name, events } of hooks) {
        if (events.has('alert')) await bench.jsm.consumers.info('ALERTS', `webhook-${name}-alerts`);
        if ([...events].some((event) => event !== 'alert'))
          await bench.jsm.consumers.info('CASES', `webhook-${name}-cases`);
      }
    }, SETTLED);
    return gateway;
  };
  const at = (name: string): Received[] => received.filter(({ path }) => path === `/${name}`);
  const deliveries = async (gateway: RunningGateway): Promise<string> => (await gateway.metrics.expose(undefined)).body;

  it('bring alerts, signed', async () => {
    await start([hook('signed')]);
    const alert = alertWith({ title: { en: 'x', 'zh-CN': '突发' } });
    await bench.publishAlert(alert);
    await expect.poll(() => at('signed')).toHaveLength(1);
    const [{ headers, body }] = at('signed') as [Received];
    expect(JSON.parse(body)).toMatchObject({ type: 'com.ringfence.alert.v1', data: { alertId: alert.alertId } });
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    expect(headers['webhook-id']).toBe(`${alert.alertId}.1`);
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', secret).update(signed).digest('base64')}`);
    expect(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('bring what was done to cases, of the desks and types that were asked for, and only what counted', async () => {
    const gateway = await start([hook('cases', { events: new Set(['action', 'outcome']), desks: new Set(['fraud']) })]);
    const alert = alertWith({ servedMsisdn: '8613700000001' });
    await bench.publishAlert(alert);
    const caseId = caseIdOf('fraud', caseKeyOf(alert), alert.alertId);
    const post = (event: object) =>
      fetch(`${gateway.url}/v1/cases/${caseId}/events`, {
        method: 'POST',
        body: JSON.stringify(event),
        headers: { 'content-type': 'application/json' },
      });
    await expect.poll(async () => (await post({ type: 'note', note: 'x', id: 'n' })).status).toBe(200);
    await post({ type: 'action', action: 'bar-international', by: 'anna' });
    await post({ type: 'outcome', outcome: 'confirmed', by: 'anna' });
    const late = { type: 'outcome', outcome: 'falsePositive', id: 'late', by: 'elsewhere' };
    await bench.js.publish(`cases.fraud.${caseId}`, JSON.stringify(late));
    await bench.js.publish(`cases.fraud.${caseId}`, JSON.stringify({ type: 'reopen', reason: 'x', id: 're', by: 'b' }));
    await bench.js.publish(`cases.fraud.${caseId}`, JSON.stringify({ ...late, id: 'last', outcome: 'inconclusive' }));
    await expect.poll(() => at('cases')).toHaveLength(3);
    const events = at('cases').map(
      ({ body }) => JSON.parse(body) as { type: string; data: { event: { outcome?: string } } },
    );
    expect(events.map(({ type, data }) => [type, data.event.outcome]).sort()).toEqual([
      ['com.ringfence.case.action.v1', undefined],
      ['com.ringfence.case.outcome.v1', 'confirmed'],
      ['com.ringfence.case.outcome.v1', 'inconclusive'],
    ]);
  });

  it('come in the form of Alertmanager', async () => {
    await start([hook('manager', { form: 'alertmanager' })]);
    await bench.publishAlert({ status: 'resolved', revision: 2, severity: 'critical' });
    await expect.poll(() => at('manager')).toHaveLength(1);
    const payload = JSON.parse(at('manager')[0]!.body) as { alerts: Record<string, string>[] };
    expect(payload).toMatchObject({
      version: '4',
      status: 'resolved',
      receiver: 'manager',
      commonLabels: { alertname: 'fraud.irsf-burst', severity: 'critical', desk: 'fraud' },
    });
    expect(payload.alerts[0]).toMatchObject({
      status: 'resolved',
      fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(payload.alerts[0]!.endsAt).toBe(payload.alerts[0]!.startsAt);
  });

  it('come again where the receiver failed, and follow no redirect', async () => {
    answers.set('/again', [500, 302]);
    const gateway = await start([hook('again')]);
    await bench.publishAlert();
    await expect.poll(() => at('again'), { timeout: 60_000 }).toHaveLength(3);
    expect(new Set(at('again').map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(at('redirected')).toEqual([]);
    await vi.waitFor(async () => {
      const text = await deliveries(gateway);
      expect(text).toContain('ringfence_webhook_deliveries_total{webhook="again",result="failed"} 2');
      expect(text).toContain('ringfence_webhook_deliveries_total{webhook="again",result="delivered"} 1');
    }, SETTLED);
  });

  it('go nowhere private that is not allowed, and wait there until it is', async () => {
    const refused = await start([hook('private')], ['10.0.0.0/8']);
    await bench.publishAlert();
    await expect.poll(() => deliveries(refused)).toContain('{webhook="private",result="failed"}');
    expect(at('private')).toEqual([]);
    await refused.close();
    // What was not delivered is still there for the next gateway.
    await start([hook('private')]);
    await expect.poll(() => at('private'), { timeout: 60_000 }).toHaveLength(1);
  });

  it('are sent by one of several gateways', async () => {
    await start([hook('once')]);
    await start([hook('once')]);
    for (let n = 0; n < 8; n++) await bench.publishAlert();
    await expect.poll(() => at('once')).toHaveLength(8);
    const ids = at('once').map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(8);
  });
});
