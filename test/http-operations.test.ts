import { connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createOperationsListener, type OperationsListener } from '../src/http/operations-listener.ts';
import { createMetrics, type Metrics } from '../src/metrics.ts';

describe('operations listener', () => {
  const health = { restored: true, natsConnected: true, reading: true, durable: true };
  let metrics: Metrics;
  let listener: OperationsListener;
  let url: string;
  beforeEach(async () => {
    Object.assign(health, { restored: true, natsConnected: true, reading: true, durable: true });
    metrics = createMetrics();
    const check = (name: keyof typeof health, bad: string) => () => ({
      ok: health[name],
      detail: health[name] ? 'yes' : bad,
    });
    listener = createOperationsListener({
      metrics,
      checks: {
        restored: check('restored', 'replaying'),
        natsConnected: check('natsConnected', 'waiting for 127.0.0.1:4222'),
        reading: check('reading', 'no source'),
        durable: check('durable', 'no space left on device'),
      },
      figures: () => ({ lagMessages0: 12_345 }),
    });
    url = await listener.listen('127.0.0.1', 0);
  });
  afterEach(() => listener.close());

  it('serves the metrics in the format that is asked for', async () => {
    metrics.countRecords('voice', 'applied', 3);
    const plain = await fetch(`${url}/metrics`);
    expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await plain.text()).toContain('ringfence_records_total{type="voice",result="applied"} 3\n');
    const open = await fetch(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } });
    expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(await open.text()).toMatch(/# EOF\n$/);
  });

  it('is alive whatever happens, and ready only when everything holds', async () => {
    expect(await (await fetch(`${url}/readyz`)).text()).toBe('ok\n');
    expect(listener.ready()).toBe(true);
    for (const name of Object.keys(health) as (keyof typeof health)[]) {
      health[name] = false;
      expect((await fetch(`${url}/livez`)).status).toBe(200);
      for (const path of ['/readyz', '/healthz']) {
        const response = await fetch(url + path);
        expect(response.status).toBe(503);
        expect(response.headers.get('content-type')).toBe('application/problem+json');
        expect(await response.json()).toMatchObject({ status: 503, detail: expect.stringContaining(name) });
      }
      expect(listener.ready()).toBe(false);
      health[name] = true;
    }
  });

  it('tells more when asked', async () => {
    const ready = await fetch(`${url}/readyz?verbose`);
    expect(await ready.json()).toEqual({
      ok: true,
      checks: {
        restored: { ok: true, detail: 'yes' },
        natsConnected: { ok: true, detail: 'yes' },
        reading: { ok: true, detail: 'yes' },
        durable: { ok: true, detail: 'yes' },
      },
      figures: { lagMessages0: 12_345 },
    });
    health.natsConnected = false;
    const unready = await fetch(`${url}/readyz?verbose`);
    expect(unready.status).toBe(503);
    expect(await unready.json()).toMatchObject({
      checks: { natsConnected: { ok: false, detail: 'waiting for 127.0.0.1:4222' } },
      figures: { lagMessages0: 12_345 },
    });
  });

  it('knows nothing else', async () => {
    for (const [path, method, status] of [
      ['/', 'GET', 404],
      ['/v1/alerts', 'GET', 404],
      ['/metrics/x', 'GET', 404],
      ['/metrics', 'POST', 405],
    ] as const) {
      const response = await fetch(url + path, { method });
      expect([path, method, response.status]).toEqual([path, method, status]);
      expect(await response.json()).toMatchObject({ status });
    }
    const head = await fetch(`${url}/readyz`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it('refuses addresses beyond loopback and ports that are taken', async () => {
    const second = createOperationsListener({
      metrics,
      checks: { restored: ok, natsConnected: ok, reading: ok, durable: ok },
    });
    await expect(second.listen('0.0.0.0', 0)).rejects.toMatchObject({ code: 'http.not-loopback', exitCode: 3 });
    await expect(second.listen('127.0.0.1', Number(new URL(url).port))).rejects.toMatchObject({
      code: 'http.cannot-listen',
      exitCode: 3,
    });
    expect(await second.listen('::1', 0)).toMatch(/^http:\/\/\[::1\]:\d+$/);
    await second.close();
  });

  it('ends though somebody keeps a connection open', async () => {
    const { hostname, port } = new URL(url);
    const idle = connectTcp(Number(port), hostname);
    await new Promise((resolve) => idle.once('connect', resolve));
    idle.write('GET /livez HTTP/1.1\r\n');
    const gone = new Promise((resolve) => idle.once('close', resolve));
    idle.on('error', () => {});
    await listener.close();
    await gone;
  });
});

const ok = () => ({ ok: true, detail: '' });
