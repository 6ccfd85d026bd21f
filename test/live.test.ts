import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { alertEvent } from '../src/alerts/alert.ts';
import { CLIENT_BUFFER_BYTES_MAX } from '../src/http/live.ts';
import { startBroker } from '../src/source/broker.ts';
import { alertWith, type Bench, connectLive, refusedLive, startBench } from './http-gateway.ts';

/** Numbers from `first` to `last`. */
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Ids of the alerts that `GET /v1/alerts` lists. */
async function listed(url: string): Promise<string[]> {
  const { alerts } = (await (await fetch(`${url}/v1/alerts`)).json()) as { alerts: { alertId: string }[] };
  return alerts.map(({ alertId }) => alertId);
}

async function replaceStream({ jsm }: Bench): Promise<void> {
  const { config } = await jsm.streams.info('ALERTS');
  await jsm.streams.delete('ALERTS');
  await jsm.streams.add({ name: config.name, subjects: config.subjects });
}

describe('live alerts', () => {
  let bench: Bench;
  let last = 0;
  const publish = async (...fields: Parameters<Bench['publishAlert']>) => {
    last = await bench.publishAlert(...fields);
    return last;
  };
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench.stop());

  it('greets with the newest sequence and then sends new alerts only, in order', async () => {
    const { url, close } = await bench.start();
    for (let i = 0; i < 3; i++) await publish();
    const client = await connectLive(url);
    expect(client.frames).toEqual([{ kind: 'hello', seq: last }]);
    const begin = last;
    for (let i = 0; i < 5; i++) await publish({ title: { en: 'Line\u2028"quote"', 'zh-CN': '突发😀' } });
    await client.until(() => client.sequences().length === 5);
    expect(client.sequences()).toEqual(range(begin + 1, begin + 5));
    const frame = client.frames.at(-1);
    expect(frame).toMatchObject({ kind: 'alert', seq: last, alert: { desk: 'fraud', ruleId: 'fraud.irsf-burst' } });
    expect(frame?.kind === 'alert' && frame.alert.title).toEqual({ en: 'Line\u2028"quote"', 'zh-CN': '突发😀' });
    await client.close();
    await close();
  });

  it('sends only what the filters let through, live and on resume', async () => {
    const { url, close } = await bench.start();
    const begin = last;
    const client = await connectLive(url, { desk: 'arrears', severity: 'critical' });
    const wanted: number[] = [];
    for (const desk of ['fraud', 'arrears', 'retention'] as const) {
      for (const severity of ['info', 'warning', 'critical'] as const) {
        const sequence = await publish({ desk, severity });
        if (desk === 'arrears' && severity === 'critical') wanted.push(sequence);
      }
    }
    wanted.push(await publish({ desk: 'arrears', severity: 'critical' }));
    await client.until(() => client.sequences().includes(last));
    expect(client.sequences()).toEqual(wanted);
    const resumed = await connectLive(url, { desk: 'arrears', severity: 'critical', since: begin });
    await resumed.until(() => resumed.sequences().includes(last));
    expect(resumed.sequences()).toEqual(wanted);
    await close();
  });

  it.each([
    ['from the stream, after a start of the gateway', false],
    ['from the frames that are still in memory', true],
  ])('loses nothing and repeats nothing on resume %s, while alerts are being published', async (_name, warm) => {
    let gateway = await bench.start();
    const begin = last;
    const publishing = (async () => {
      for (let i = 0; i < 400; i++) await publish();
    })();
    const seen: number[] = [];
    let since = begin;
    while (seen.at(-1) !== begin + 400) {
      const client = await connectLive(gateway.url, { since });
      expect(client.frames[0].kind).toBe('hello');
      await client.until(() => client.sequences().length >= 40 || client.sequences().at(-1) === begin + 400);
      client.socket.terminate();
      seen.push(...client.sequences());
      since = seen.at(-1)!;
      if (!warm) {
        await gateway.close();
        gateway = await bench.start();
      }
    }
    await publishing;
    expect(seen).toEqual(range(begin + 1, begin + 400));
    await gateway.close();
  });

  it('sends everything that is kept for since=0', async () => {
    const { url, close } = await bench.start();
    const client = await connectLive(url, { since: 0 });
    await client.until(() => client.sequences().includes(last));
    expect(client.sequences()).toEqual(range(1, last));
    expect(client.frames[0]).toEqual({ kind: 'hello', seq: last });
    await close();
  });

  it('goes from old alerts to new ones without a seam, for many clients at once', async () => {
    const { url, close } = await bench.start();
    const begin = last;
    const publishing = (async () => {
      for (let i = 0; i < 200; i++) await publish();
    })();
    const clients = await Promise.all(range(0, 19).map(() => connectLive(url, { since: 0 })));
    await publishing;
    for (const client of clients) {
      await client.until(() => client.sequences().includes(begin + 200));
      expect(client.sequences()).toEqual(range(1, begin + 200));
    }
    await close();
  });

  it('answers a position beyond the end with a resync, and goes on with new alerts', async () => {
    const { url, metrics, close } = await bench.start();
    const client = await connectLive(url, { since: last + 1 });
    await client.until((frames) => frames.length === 2);
    expect(client.frames).toEqual([
      { kind: 'hello', seq: last },
      { kind: 'resync', seq: last },
    ]);
    const next = await publish();
    await client.until((frames) => frames.length === 3);
    expect(client.sequences()).toEqual([next]);
    expect((await metrics.expose(undefined)).body).toContain('\nringfence_ws_resyncs_total 1\n');
    await close();
  });

  it('answers a position that is no longer kept with a resync, but for 0 with what there is', async () => {
    const { url, close } = await bench.start();
    await bench.jsm.streams.purge('ALERTS', { seq: 50 });
    const tooOld = await connectLive(url, { since: 48 });
    await tooOld.until((frames) => frames.length === 2);
    expect(tooOld.frames[1]).toEqual({ kind: 'resync', seq: last });
    // 49 is the last one that is gone: all after it are there.
    for (const since of [49, 0]) {
      const client = await connectLive(url, { since });
      await client.until(() => client.sequences().includes(last));
      expect(client.sequences()).toEqual(range(50, last));
    }
    await close();
  });

  it('passes over messages that are no alerts, and counts them', async () => {
    const { url, metrics, close } = await bench.start();
    const client = await connectLive(url);
    await bench.js.publish('alerts.fraud.x', 'no json');
    await bench.js.publish('alerts.fraud.y', JSON.stringify({ specversion: '1.0', data: { alertId: 'y' } }));
    await bench.js.publish('alerts.fraud.z', JSON.stringify([]));
    const late = JSON.stringify({ specversion: '1.0', data: alertWith({ eventTime: 1e300 }) });
    await bench.js.publish('alerts.fraud.late', late);
    const event = JSON.stringify(alertEvent(alertWith({ triggerRecordId: 'HERE' }), '/test'));
    const deep = event.replace('"HERE"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    const { seq } = await bench.js.publish('alerts.fraud.deep', deep);
    const next = await publish();
    await client.until(() => client.sequences().includes(next));
    expect(client.sequences()).toEqual([next]);
    const resumed = await connectLive(url, { since: seq });
    await resumed.until(() => resumed.sequences().includes(next));
    expect(resumed.sequences()).toEqual([next]);
    expect((await metrics.expose(undefined)).body).toContain('\nringfence_alert_feed_unreadable_total 5\n');
    await close();
  });

  it('cuts a client that does not read, keeps the others going, and lets it resume', async () => {
    const { url, gateway, metrics, close } = await bench.start();
    const begin = last;
    const healthy = await connectLive(url);
    const slow = await connectLive(url);
    // The socket below the WebSocket stops reading: the kernel's buffers fill up, then ours.
    const { _socket: below } = slow.socket as unknown as { _socket: { pause(): void; resume(): void } };
    below.pause();
    const filler = 'x'.repeat(60_000);
    const total = 150;
    for (let i = 0; i < total; i++) await publish({ reason: { en: filler, 'zh-CN': '' } });
    await healthy.until(() => healthy.sequences().includes(last));
    expect(healthy.sequences()).toEqual(range(begin + 1, begin + total));
    expect(total * filler.length).toBeGreaterThan(8 * CLIENT_BUFFER_BYTES_MAX);
    below.resume();
    expect(await slow.closed).toBe(1013);
    const got = slow.sequences();
    expect(got.length).toBeLessThan(total);
    expect(got).toEqual(range(begin + 1, begin + got.length));
    expect(slow.frames.at(-1)).toEqual({ kind: 'resync', seq: got.at(-1) });
    const resumed = await connectLive(url, { since: got.at(-1)! });
    await resumed.until(() => resumed.sequences().includes(last));
    expect([...got, ...resumed.sequences()]).toEqual(range(begin + 1, begin + total));
    expect(gateway.reading()).toBe(true);
    // The server hears a moment after its client that the two are parted.
    await expect.poll(async () => (await metrics.expose(undefined)).body).toContain('\nringfence_ws_clients 2\n');
    await close();
  });

  it('refuses what it cannot serve with a problem', async () => {
    const { url, close } = await bench.start();
    const host = new URL(url).host;
    const cases: [query: string, headers: Record<string, string>, status: number, detail: RegExp][] = [
      ['?desk=billing', {}, 400, /desk must be one of fraud, arrears, retention/],
      ['?severity=Critical', {}, 400, /severity/],
      ['?since=-1', {}, 400, /since/],
      ['?since=1e3', {}, 400, /since/],
      ['?sinec=1', {}, 400, /no parameter sinec/],
      ['', { origin: 'https://evil.example' }, 403, /origin/],
      ['', { origin: 'null' }, 403, /origin/],
      ['', { host: 'evil.example' }, 421, /host name/],
      ['', { host: 'evil.example', origin: 'http://evil.example' }, 421, /host name/],
    ];
    for (const [query, headers, status, detail] of cases) {
      const refused = await refusedLive(url, query, headers);
      expect([query, headers, refused.status]).toEqual([query, headers, status]);
      expect(refused.type).toBe('application/problem+json');
      expect(refused.problem.status).toBe(status);
      expect(refused.problem.detail).toMatch(detail);
    }
    const own = await connectLive(url, {}, { origin: `http://${host}` });
    await own.close();
    await close();
    const proxied = await bench.start({ allowedOrigins: ['https://desk.example.com'] });
    const page = await connectLive(proxied.url, {}, { origin: 'https://desk.example.com', host: 'desk.example.com' });
    await page.close();
    await proxied.close();
  });

  it('closes a client that sends more than it may', async () => {
    const { url, close } = await bench.start();
    const client = await connectLive(url);
    client.socket.send('x'.repeat(64 * 1024 + 1));
    expect(await client.closed).toBe(1009);
    const polite = await connectLive(url);
    polite.socket.send('hello?');
    const next = await publish();
    await polite.until(() => polite.sequences().includes(next));
    await close();
  });

  it('ends a client that answers no ping, and keeps one that does', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { url, metrics, close } = await bench.start();
    try {
      const healthy = await connectLive(url);
      const frozen = await connectLive(url);
      const { _socket: below } = frozen.socket as unknown as { _socket: { pause(): void } };
      below.pause();
      for (let beat = 1; beat <= 3; beat++) {
        const pinged = new Promise((resolve) => healthy.socket.once('ping', resolve));
        vi.advanceTimersByTime(15_000);
        // The third beat ends the frozen one in place of a ping.
        await pinged;
        // Frames are read in order: once our own ping is answered, our pong before it has been read too.
        const answered = new Promise((resolve) => healthy.socket.once('pong', resolve));
        healthy.socket.ping();
        await answered;
      }
      await expect.poll(async () => (await metrics.expose(undefined)).body).toContain('\nringfence_ws_clients 1\n');
      const next = await publish();
      await healthy.until(() => healthy.sequences().includes(next));
    } finally {
      vi.useRealTimers();
      await close();
    }
  });

  it('survives sockets that break off in the middle of the handshake', async () => {
    const { url, close } = await bench.start();
    const { hostname, port } = new URL(url);
    for (let i = 0; i < 20; i++) {
      await new Promise<void>((resolve) => {
        const socket = createConnection({ host: hostname, port: Number(port) }, () => {
          socket.write(
            `GET /v1/alerts/live HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
              'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
            () => {
              socket.resetAndDestroy();
              resolve();
            },
          );
        });
        socket.on('error', () => {});
      });
    }
    const client = await connectLive(url);
    const next = await publish();
    await client.until(() => client.sequences().includes(next));
    await close();
  });

  it('says goodbye with 1001 when the gateway stops, and the client resumes at the next one', async () => {
    const first = await bench.start();
    const client = await connectLive(first.url, { since: last });
    const before = await publish();
    await client.until(() => client.sequences().includes(before));
    await first.close();
    expect(await client.closed).toBe(1001);
    const missed = [await publish(), await publish()];
    const second = await bench.start();
    const resumed = await connectLive(second.url, { since: before });
    const fresh = await publish();
    await resumed.until(() => resumed.sequences().includes(fresh));
    expect(resumed.sequences()).toEqual([...missed, fresh]);
    await second.close();
  });
});

describe('live alerts and other brokers and streams', () => {
  it('gives a frame that is larger than the limit of a client, alone', async () => {
    const bench = await startBench({ maxPayloadBytes: 4 * 1024 * 1024 });
    try {
      const { url } = await bench.start();
      const client = await connectLive(url);
      const next = await bench.publishAlert({ reason: { en: 'x'.repeat(2 * CLIENT_BUFFER_BYTES_MAX), 'zh-CN': '' } });
      await client.until(() => client.sequences().includes(next));
    } finally {
      await bench.stop();
    }
  });

  it('makes the list anew from a stream that replaced the old one while no gateway ran', async () => {
    const bench = await startBench();
    try {
      const first = await bench.start();
      await bench.publishAlert({ alertId: 'old' });
      await expect.poll(() => listed(first.url)).toEqual(['old']);
      await first.close();
      await replaceStream(bench);
      for (const alertId of ['new1', 'new2', 'new3']) await bench.publishAlert({ alertId });
      const second = await bench.start();
      expect(await listed(second.url)).toEqual(['new3', 'new2', 'new1']);
    } finally {
      await bench.stop();
    }
  });

  it('refuses new clients while NATS is away, keeps the old ones, and goes on by itself', async () => {
    const bench = await startBench();
    try {
      const { url, gateway, close } = await bench.start();
      const client = await connectLive(url);
      const before = await bench.publishAlert();
      await client.until(() => client.sequences().includes(before));
      const { port, storeDir } = bench.broker;
      await bench.broker.kill();
      await expect.poll(() => gateway.reading()).toBe(false);
      const refused = await refusedLive(url);
      expect(refused.status).toBe(503);
      bench.broker = await startBroker({ port, storeDir });
      await expect.poll(() => gateway.reading()).toBe(true);
      const after = await bench.publishAlert();
      await client.until(() => client.sequences().includes(after));
      expect(client.sequences()).toEqual([before, after]);
      await close();
    } finally {
      await bench.stop();
    }
  });

  it('starts again when the stream is made anew: clients resync, the list is empty', async () => {
    const bench = await startBench();
    try {
      const { url, gateway, close } = await bench.start();
      for (let i = 0; i < 5; i++) await bench.publishAlert();
      const client = await connectLive(url, { since: 0 });
      await client.until(() => client.sequences().length === 5);
      await replaceStream(bench);
      expect(await client.closed).toBe(1013);
      expect(client.frames.at(-1)?.kind).toBe('resync');
      await expect.poll(() => gateway.reading()).toBe(true);
      const next = await connectLive(url, { since: 0 });
      await bench.publishAlert({ alertId: 'new' });
      await next.until(() => next.sequences().includes(1));
      expect(next.frames.slice(1)).toMatchObject([{ kind: 'alert', seq: 1, alert: { alertId: 'new' } }]);
      expect(await listed(url)).toEqual(['new']);
      await close();
    } finally {
      await bench.stop();
    }
  });
});
