import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AlertData, AlertEvent } from '../src/alerts/alert.ts';
import { type AlertPublisher, type AlertPublisherOptions, createAlertPublisher } from '../src/sinks/alert-publisher.ts';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { connectionState, connectNats } from '../src/source/connection.ts';
import { ensureStreams } from '../src/source/streams.ts';
import { natsServers, startConfigured } from './nats-servers.ts';

function alert(id: number, revision: number, changes: Partial<AlertData> = {}): AlertData {
  return {
    alertId: id.toString(16).padStart(32, '0'),
    revision,
    status: 'firing',
    ruleId: 'fraud.irsf-burst',
    ruleVersion: 1,
    catalogue: 'F03',
    desk: 'fraud',
    severity: revision > 1 ? 'critical' : 'warning',
    title: { en: 'Burst', 'zh-CN': '突发' },
    key: { type: 'subscriber', value: '8613800000001' },
    servedMsisdn: '8613800000001',
    eventTime: 1_763_780_000_000 + revision,
    triggerRecordId: `r${id}`,
    reason: { en: '12 calls in 1 h.', 'zh-CN': '1小时12次。' },
    evidence: [{ feature: 'calls1h', window: '1h', unit: 'count', value: 12, threshold: 10 }],
    score: 91,
    suggestedActions: ['bar-international'],
    observedSince: 0,
    ...changes,
  };
}

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const retentionDays = { usage: 1, alerts: 1, deadletter: 1 };

interface Side {
  nc: NatsConnection;
  jsm: JetStreamManager;
  publisher: AlertPublisher;
}

/** A connection of its own with a publisher: what one process has. */
async function side(broker: { url: string }, options: Partial<AlertPublisherOptions> = {}): Promise<Side> {
  const nc = await connectNats(broker.url, { name: 'test' });
  cleanUp.push(() => nc.close());
  const jsm = await jetstreamManager(nc);
  const publisher = createAlertPublisher(jetstream(nc), jsm, { source: '/ringfence/test', ...options });
  cleanUp.push(() => publisher.close());
  return { nc, jsm, publisher };
}

/** `alert.revision` of everything in the stream, in stream order. */
async function stored(jsm: JetStreamManager): Promise<string[]> {
  const { state } = await jsm.streams.info('ALERTS');
  const messages = await Promise.all(
    Array.from({ length: state.last_seq }, (_, i) => jsm.streams.getMessage('ALERTS', { seq: i + 1 })),
  );
  return messages.flatMap((message) => {
    if (message === null) return [];
    const { id, data } = message.json<AlertEvent>();
    expect(message.subject).toBe(`alerts.fraud.${data.alertId}`);
    expect(id).toBe(`${data.alertId}.${data.revision}`);
    return `${Number.parseInt(data.alertId, 16)}.${data.revision}`;
  });
}

describe.each(natsServers)('$name', ({ binary }) => {
  const named = binary === undefined ? {} : { binary };

  describe('on a broker that stays', () => {
    let broker: Broker;
    beforeEach(async () => {
      const started = await startBroker(named);
      broker = started;
      cleanUp.push(() => started.stop());
      const nc = await connectNats(broker.url, { name: 'test' });
      await ensureStreams(nc, { partitions: 1, retentionDays });
      await nc.close();
    });

    test('each revision is a CloudEvent on the subject of its alert, with its severity in a header', async () => {
      const published: [string, number, boolean][] = [];
      const { jsm, publisher } = await side(broker, {
        onPublished: (data, sequence, duplicate) => published.push([`${data.revision}`, sequence, duplicate]),
      });
      publisher.publish(alert(7, 1));
      publisher.publish(alert(7, 2));
      publisher.publish(alert(7, 3, { status: 'resolved', severity: 'info' }));
      await publisher.drained();
      expect(published).toEqual([
        ['1', 1, false],
        ['2', 2, false],
        ['3', 3, false],
      ]);
      const message = await jsm.streams.getMessage('ALERTS', { seq: 2 });
      expect(message?.subject).toBe('alerts.fraud.00000000000000000000000000000007');
      expect(message?.header.get('Ringfence-Severity')).toBe('critical');
      expect(message?.json()).toEqual({
        specversion: '1.0',
        id: '00000000000000000000000000000007.2',
        type: 'com.ringfence.alert.v1',
        source: '/ringfence/test',
        time: '2025-11-22T02:53:20.002Z',
        subject: '8613800000001',
        datacontenttype: 'application/json',
        data: alert(7, 2),
      });
    });

    test('alerts of drafts go to a stream of their own, revision by revision', async () => {
      const { jsm, publisher } = await side(broker);
      publisher.publish(alert(7, 1, { shadow: true }));
      publisher.publish(alert(7, 2, { shadow: true }));
      await publisher.drained();
      const again = await side(broker);
      again.publisher.publish(alert(7, 2, { shadow: true }));
      await again.publisher.drained();
      expect((await jsm.streams.info('ALERTS')).state.messages).toBe(0);
      expect((await jsm.streams.info('SHADOW')).state.messages).toBe(2);
      const last = await jsm.streams.getMessage('SHADOW', { last_by_subj: `shadow.fraud.${alert(7, 1).alertId}` });
      expect(last?.json<AlertEvent>().data).toEqual(alert(7, 2, { shadow: true }));
    });

    test('a replay by a new process finds what is there and adds what is not', async () => {
      const first = await side(broker);
      for (const [id, revision] of [
        [1, 1],
        [2, 1],
        [1, 2],
        [3, 1],
        [1, 3],
      ] as const)
        first.publisher.publish(alert(id, revision));
      await first.publisher.drained();
      const published: string[] = [];
      const { jsm, publisher } = await side(broker, {
        onPublished: (data, _, duplicate) =>
          published.push(`${Number.parseInt(data.alertId, 16)}.${data.revision}${duplicate ? ' again' : ''}`),
      });
      for (const [id, revision] of [
        [1, 1],
        [2, 1],
        [1, 2],
        [3, 1],
        [1, 3],
        [2, 2],
        [4, 1],
      ] as const) {
        publisher.publish(alert(id, revision));
      }
      await publisher.drained();
      expect(published.sort()).toEqual(['1.1 again', '1.2 again', '1.3 again', '2.1 again', '2.2', '3.1 again', '4.1']);
      expect((await stored(jsm)).sort()).toEqual(['1.1', '1.2', '1.3', '2.1', '2.2', '3.1', '4.1']);
    });

    test('a later revision finds its predecessor in the stream', async () => {
      const first = await side(broker);
      first.publisher.publish(alert(1, 1));
      await first.publisher.drained();
      const { jsm, publisher } = await side(broker);
      publisher.publish(alert(1, 2));
      await publisher.drained();
      expect(await stored(jsm)).toEqual(['1.1', '1.2']);
    });

    test('a missing predecessor is an error of room() and drained(), unless gaps are allowed', async () => {
      const { publisher } = await side(broker);
      publisher.publish(alert(1, 1));
      await publisher.drained();
      const second = await side(broker);
      second.publisher.publish(alert(1, 3));
      const failure = {
        code: 'alerts.revision-missing',
        message: expect.stringContaining('the stream ALERTS holds revision 1 as the last one on alerts.fraud.0'),
      };
      await expect(second.publisher.drained()).rejects.toMatchObject(failure);
      await expect(second.publisher.room()).rejects.toMatchObject(failure);
      second.publisher.publish(alert(2, 1));
      await expect(second.publisher.drained()).rejects.toMatchObject(failure);

      const third = await side(broker, { allowGap: true });
      third.publisher.publish(alert(1, 3));
      third.publisher.publish(alert(5, 2));
      await third.publisher.drained();
      expect((await stored(third.jsm)).sort()).toEqual(['1.1', '1.3', '5.2']);
    });

    test('two owners that both believe to be alone publish every revision once', async () => {
      const owners = await Promise.all([side(broker), side(broker), side(broker)]);
      await Promise.all(
        owners.map(async ({ publisher }) => {
          for (let revision = 1; revision <= 3; revision++) {
            for (let id = 0; id < 200; id++) {
              publisher.publish(alert(id, revision));
              if (id % 50 === 0) await publisher.room();
            }
          }
          await publisher.drained();
        }),
      );
      const all = await stored((owners[0] as Side).jsm);
      expect(all).toHaveLength(600);
      expect(new Set(all).size).toBe(600);
      // In the order of revisions for each alert.
      for (let id = 0; id < 200; id++) {
        expect(all.filter((name) => name.startsWith(`${id}.`))).toEqual([`${id}.1`, `${id}.2`, `${id}.3`]);
      }
    });

    test('room() holds back whoever publishes faster than the broker stores', async () => {
      const { jsm, publisher } = await side(broker, { inFlightMax: 10 });
      for (let id = 0; id < 300; id++) publisher.publish(alert(id, 1));
      expect(publisher.inFlight()).toBe(300);
      await publisher.room();
      expect(publisher.inFlight()).toBeLessThanOrEqual(10);
      await publisher.drained();
      expect(publisher.inFlight()).toBe(0);
      expect((await jsm.streams.info('ALERTS')).state.messages).toBe(300);
    });

    test('drained() waits for what was handed over before it and for nothing else', async () => {
      const { publisher } = await side(broker, { inFlightMax: 2 });
      publisher.publish(alert(1, 1));
      let drained = false;
      const draining = publisher.drained().then(() => {
        drained = true;
      });
      // Somebody who never stops, and is ahead of the broker all the time, must not keep a checkpoint waiting.
      let id = 2;
      for (const begun = performance.now(); !drained && performance.now() - begun < 30_000; id += 10) {
        for (let i = 0; i < 10; i++) publisher.publish(alert(id + i, 1));
        // Far ahead there is no hurry: a broker that is slow to answer gets its time, and memory stays bounded.
        await (id < 20_000 ? nextTurn() : sleep(5));
      }
      expect(drained).toBe(true);
      expect(publisher.inFlight()).toBeGreaterThan(0);
      await draining;
      await publisher.drained();
      expect(publisher.inFlight()).toBe(0);
    });

    test('alerts are kept from the last durable checkpoint on', async () => {
      const { publisher } = await side(broker);
      for (let id = 0; id < 10; id++) publisher.publish(alert(id, 1));
      const durable = publisher.cut();
      for (let id = 0; id < 4; id++) publisher.publish(alert(id, 2));
      const marks = await publisher.drained();
      expect(publisher.kept()).toBe(14);
      durable(marks);
      // Not before the broker has been heard once more.
      expect(publisher.kept()).toBe(14);
      await expect.poll(() => publisher.kept()).toBe(4);
      publisher.cut()(marks);
      durable(marks);
      await expect.poll(() => publisher.kept()).toBe(0);
    });

    test('what somebody else put on the subject of an alert is not overwritten', async () => {
      const { nc, publisher } = await side(broker);
      await jetstream(nc).publish(`alerts.fraud.${alert(9, 1).alertId}`, '{"data":{}}');
      publisher.publish(alert(9, 1));
      await expect(publisher.drained()).rejects.toThrow(/is no alert/);
    });

    test('close() ends everything that waits', async () => {
      const { publisher } = await side(broker);
      publisher.publish(alert(1, 1));
      const drained = publisher.drained();
      await publisher.close();
      await expect(drained).rejects.toThrow('the alert publisher was closed');
    });
  });

  test('nothing is lost and nothing repeated when the broker is killed again and again', async () => {
    let broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const trouble: string[] = [];
    const { nc, jsm, publisher } = await side(broker, { onTrouble: (sentence) => trouble.push(sentence) });
    await ensureStreams(nc, { partitions: 1, retentionDays });
    const expected: string[] = [];
    let publishing = true;
    const published = (async () => {
      for (let round = 0; publishing || round < 10; round++) {
        for (let i = 0; i < 100; i++) {
          const id = round * 100 + i;
          for (const revision of [1, 2]) {
            publisher.publish(alert(id, revision));
            expected.push(`${id}.${revision}`);
          }
        }
        await publisher.room();
        await sleep(5);
      }
      await publisher.drained();
    })();
    // Where the test fails before it waits for this, that is one failure and not two.
    published.catch(() => {});
    for (let kill = 0; kill < 3; kill++) {
      const before = expected.length;
      await expect.poll(() => expected.length).toBeGreaterThan(before + 400);
      await broker.kill();
      broker = await startBroker({ ...named, port: broker.port, storeDir: broker.storeDir });
    }
    publishing = false;
    await published;
    expect((await stored(jsm)).sort()).toEqual(expected.sort());
  });

  test('a broker that comes back without what it had acknowledged gets it again', async () => {
    const storeDir = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
    const backup = `${storeDir}-backup`;
    cleanUp.push(async () => {
      for (const folder of [storeDir, backup]) rmSync(folder, { recursive: true, force: true });
    });
    let broker = await startBroker({ ...named, storeDir });
    cleanUp.push(() => broker.stop());
    const told: string[] = [];
    const { nc, jsm, publisher } = await side(broker, { onPublished: ({ revision }) => told.push(`${revision}`) });
    await ensureStreams(nc, { partitions: 1, retentionDays });
    for (let id = 0; id < 5; id++) publisher.publish(alert(id, 1));
    publisher.cut()(await publisher.drained());
    await expect.poll(() => publisher.kept()).toBe(0);
    await broker.stop();
    cpSync(storeDir, backup, { recursive: true });

    broker = await startBroker({ ...named, storeDir, port: broker.port });
    for (let id = 3; id < 8; id++) for (const revision of id < 5 ? [2] : [1, 2]) publisher.publish(alert(id, revision));
    await publisher.drained();
    const complete = (await stored(jsm)).sort();
    expect(complete).toEqual([
      '0.1',
      '1.1',
      '2.1',
      '3.1',
      '3.2',
      '4.1',
      '4.2',
      '5.1',
      '5.2',
      '6.1',
      '6.2',
      '7.1',
      '7.2',
    ]);

    // The machine lost power: what was written after the copy is gone. Alert 7 has just gone on.
    await broker.kill();
    rmSync(storeDir, { recursive: true });
    cpSync(backup, storeDir, { recursive: true });
    publisher.publish(alert(7, 3));
    broker = await startBroker({ ...named, storeDir, port: broker.port });
    await publisher.drained();
    expect((await stored(jsm)).sort()).toEqual([...complete, '7.3'].sort());

    // Again, and a checkpoint is due while the broker is away: it must wait until what is gone is there again.
    await broker.kill();
    await expect.poll(() => connectionState(nc).connected()).toBe(false);
    rmSync(storeDir, { recursive: true });
    cpSync(backup, storeDir, { recursive: true });
    const drained = publisher.drained();
    broker = await startBroker({ ...named, storeDir, port: broker.port });
    await drained;
    expect((await stored(jsm)).sort()).toEqual([...complete, '7.3'].sort());
    // Who was told once is not told again.
    expect(told).toHaveLength(14);
  });

  test.each([false, true])(
    'alerts that are lost and not kept any more end the publisher (gaps allowed: %s)',
    async (allowGap) => {
      const storeDir = mkdtempSync(join(tmpdir(), 'ringfence-test-'));
      const backup = `${storeDir}-backup`;
      cleanUp.push(async () => {
        for (const folder of [storeDir, backup]) rmSync(folder, { recursive: true, force: true });
      });
      let broker = await startBroker({ ...named, storeDir });
      cleanUp.push(() => broker.stop());
      const first = await side(broker, { allowGap });
      await ensureStreams(first.nc, { partitions: 1, retentionDays });
      first.publisher.publish(alert(1, 1));
      await first.publisher.drained();
      await broker.stop();
      cpSync(storeDir, backup, { recursive: true });
      broker = await startBroker({ ...named, storeDir, port: broker.port });
      first.publisher.publish(alert(2, 1));
      const marks = await first.publisher.drained();
      expect(marks).toMatchObject([{ stream: 'ALERTS', sequence: 2, subject: `alerts.fraud.${alert(2, 1).alertId}` }]);
      first.publisher.cut()(marks);
      await expect.poll(() => first.publisher.kept()).toBe(0);

      // The machine lost power, and another alert has the place of the one that is gone before anybody looks.
      await broker.kill();
      rmSync(storeDir, { recursive: true });
      cpSync(backup, storeDir, { recursive: true });
      first.publisher.publish(alert(3, 1));
      const drained = first.publisher.drained();
      drained.catch(() => {});
      broker = await startBroker({ ...named, storeDir, port: broker.port });
      const lost = { code: 'streams.lost-messages', exitCode: 1 };
      if (!allowGap) await expect(drained).rejects.toMatchObject(lost);
      else expect(await drained).toMatchObject([{ sequence: 2, subject: `alerts.fraud.${alert(3, 1).alertId}` }]);
      // So does one that begins with a checkpoint of before the loss.
      const second = await side(broker, { marks });
      await expect(second.publisher.drained()).rejects.toMatchObject(lost);
    },
  );

  test('waits for a stream that is missing for a while, and says so', async () => {
    const broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const trouble = Promise.withResolvers<string>();
    const { nc, jsm, publisher } = await side(broker, { onTrouble: trouble.resolve });
    publisher.publish(alert(1, 1));
    expect(await trouble.promise).toMatch(/^NATS does not store messages for now \(.+\): trying again$/);
    await ensureStreams(nc, { partitions: 1, retentionDays });
    await publisher.drained();
    expect(await stored(jsm)).toEqual(['1.1']);
  });
});

test('an account without permission is named as such', async () => {
  const server = await startConfigured(`
    jetstream { store_dir: $STORE }
    authorization { users: [
      { user: "all", password: "p" },
      { user: "some", password: "p", permissions: { publish: { deny: "alerts.>" } } }
    ] }`);
  cleanUp.push(() => server.stop());
  const all = await connectNats(server.url, { name: 'test', connection: { user: 'all', pass: 'p' } });
  cleanUp.push(() => all.close());
  await ensureStreams(all, { partitions: 1, retentionDays });
  const some = await connectNats(server.url, { name: 'test', connection: { user: 'some', pass: 'p' } });
  cleanUp.push(() => some.close());
  const publisher = createAlertPublisher(jetstream(some), await jetstreamManager(some), { source: 'test' });
  cleanUp.push(() => publisher.close());
  publisher.publish(alert(1, 1));
  await expect(publisher.drained()).rejects.toMatchObject({ code: 'nats.not-permitted', exitCode: 3 });
});
