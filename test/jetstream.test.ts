import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../src/source/broker.ts';
import { connectNats } from '../src/source/connection.ts';
import { deliveryOffset, readDelivery, type SourceMessage } from '../src/source/delivery.ts';
import { openSource, type Source, type SourceGap, type SourceOptions } from '../src/source/jetstream.ts';
import { natsServers } from './nats-servers.ts';

describe('reply subjects', () => {
  const forms = {
    'short form': '$JS.ACK.USAGE.oc_x1.1.12345.67.1763780000123456789.890',
    'long form without a domain': '$JS.ACK._.kXw9.USAGE.oc_x1.1.12345.67.1763780000123456789.890.aZ3',
    'long form with a domain, without the random end':
      '$JS.ACK.hub.kXw9.USAGE.oc_x1.1.12345.67.1763780000123456789.890',
  };
  test.each(Object.entries(forms))('%s', (_, reply) => {
    const delivery = { sequence: 0, deliverySequence: 0, timeMs: 0, pending: 0 };
    readDelivery(reply, deliveryOffset(reply), delivery);
    expect(delivery).toEqual({ sequence: 12345, deliverySequence: 67, timeMs: 1763780000123, pending: 890 });
  });
  test.each(['', '_INBOX.abc', '$JS.ACK.too.few', '$KV.ACK.USAGE.c.1.2.3.4.5'])('%j is none', (reply) => {
    expect(deliveryOffset(reply)).toBe(-1);
  });
});

type Connection = NonNullable<Parameters<typeof connectNats>[1]['connection']>;

/** What the tests need from a broker and a connection, cleaned up after each test. */
interface Stage {
  broker: Broker;
  nc: NatsConnection;
  jsm: JetStreamManager;
}

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function connected(broker: Broker, address = broker.url, connection: Connection = {}): Promise<Stage> {
  const nc = await connectNats(address, { name: 'test', connection });
  cleanUp.push(() => nc.close());
  return { broker, nc, jsm: await jetstreamManager(nc) };
}

async function open(nc: NatsConnection, options: Partial<SourceOptions> = {}): Promise<Source> {
  const source = await openSource(nc, { stream: 'USAGE', startSequence: 1, ...options });
  cleanUp.push(() => source.close());
  return source;
}

async function publish(nc: NatsConnection, from: number, to: number, bytes = 0): Promise<void> {
  const js = jetstream(nc);
  const padding = Buffer.alloc(bytes, 32).toString();
  for (let i = from; i < to; i++) nc.publish(`usage.0.voice`, `${i}${padding}`);
  await js.publish('usage.0.voice', `${to}${padding}`);
}

/** Reads `count` messages and checks that the sequence rises. */
async function read(source: Source, count: number): Promise<SourceMessage[]> {
  const messages: SourceMessage[] = [];
  while (messages.length < count) {
    const next = await source.next();
    if (next === undefined) break;
    for (const message of next) {
      expect(message.sequence).toBeGreaterThan(messages.at(-1)?.sequence ?? 0);
      messages.push(message);
    }
  }
  return messages;
}
const numbers = (messages: SourceMessage[]): number[] => messages.map((m) => Number(Buffer.from(m.data).toString()));
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Where every stall is counted: longer than a busy machine keeps a process from its turn. */
const SILENCE_MS = 3_000;

/** A proxy that can change or withhold what passes. */
async function startProxy(
  port: number,
  hooks: { toServer?: (text: string) => string; toClient?: (text: string) => string },
): Promise<{ url: string; freeze(): void; cut(): void }> {
  const sockets = new Set<Socket>();
  let pairs: [Socket, Socket][] = [];
  const server = createServer((client) => {
    const upstream = connectSocket(port, '127.0.0.1');
    const pass = (from: Socket, to: Socket, change?: (text: string) => string): void => {
      sockets.add(from);
      // What is changed is changed in whole lines: where the network cuts, the text that is looked for may be in two pieces.
      let rest = '';
      from.on('data', (data) => {
        if (change === undefined) return void to.write(data);
        const text = rest + data.toString('latin1');
        const end = text.lastIndexOf('\n') + 1;
        rest = text.slice(end);
        if (end > 0) to.write(Buffer.from(change(text.slice(0, end)), 'latin1'));
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    };
    pass(client, upstream, hooks.toServer);
    pass(upstream, client, hooks.toClient);
    pairs.push([client, upstream]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    url: `nats://127.0.0.1:${address.port}`,
    // Connections of now stay open but nothing passes any more; new ones work.
    freeze() {
      for (const pair of pairs) for (const socket of pair) socket.pause().removeAllListeners('data');
      pairs = [];
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

describe.each(natsServers)('$name', ({ binary }) => {
  const named = binary === undefined ? {} : { binary };

  describe('on a broker that stays', () => {
    let broker: Broker;
    let stage: Stage;
    const begin = async (messages: number, bytes = 0): Promise<Stage> => {
      const started = await startBroker({ ...named, maxPayloadBytes: 64 * 1024 });
      broker = started;
      cleanUp.push(() => started.stop());
      stage = await connected(broker);
      await stage.jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
      if (messages > 0) await publish(stage.nc, 1, messages, bytes);
      return stage;
    };
    const delivered = async (): Promise<number> => {
      for await (const consumer of stage.jsm.consumers.list('USAGE')) return consumer.delivered.stream_seq;
      return -1;
    };

    test('hands out everything in order, with subject, sequence, time and pending', async () => {
      const { nc, jsm } = await begin(5_000);
      const source = await open(nc);
      expect(source.connected()).toBe(true);
      expect(source.pending()).toBe(5_000);
      const messages = await read(source, 5_000);
      expect(numbers(messages)).toEqual(range(1, 5_000));
      expect(messages.map((message) => message.sequence)).toEqual(range(1, 5_000));
      expect(source.pending()).toBe(0);
      const stored = await jsm.streams.getMessage('USAGE', { seq: 777 });
      expect(messages[776]).toMatchObject({
        subject: 'usage.0.voice',
        timeMs: Math.floor(stored?.time.getTime() ?? 0),
      });
      expect(messages[776]?.headers).toBeUndefined();
    });

    test('begins where it is told', async () => {
      const { nc } = await begin(100);
      expect(numbers(await read(await open(nc, { startSequence: 42 }), 59))).toEqual(range(42, 100));
      // One behind the end is the position of a reader that has read everything.
      const source = await open(nc, { startSequence: 101 });
      await publish(nc, 101, 101);
      expect(numbers(await read(source, 1))).toEqual([101]);
    });

    test('a waiting reader gets what arrives, with its headers', async () => {
      const { nc } = await begin(0);
      const source = await open(nc);
      const next = source.next();
      const withHeaders = headers();
      withHeaders.set('Content-Type', 'application/json');
      await jetstream(nc).publish('usage.0.batch', '[]', { headers: withHeaders });
      const [message] = (await next) ?? [];
      expect(message?.subject).toBe('usage.0.batch');
      expect(message?.headers?.get('Content-Type')).toBe('application/json');
    });

    test('pulls no more messages than fit while the reader is behind', async () => {
      const { nc } = await begin(3_000);
      const source = await open(nc, { pullMessages: 100, silenceLimitMs: 600 });
      await expect.poll(delivered).toBeGreaterThan(200);
      await publish(nc, 3_001, 3_500);
      // The watch asks the stream meanwhile, so the lag is known although nothing is pulled.
      await expect.poll(() => source.pending()).toBe(3_500);
      expect(await delivered()).toBeLessThanOrEqual(400);
      expect(numbers(await read(source, 3_500))).toEqual(range(1, 3_500));
    });

    test('asks for nothing more once the reader is behind and a pull is buffered', async () => {
      const { nc } = await begin(10_000);
      const source = await open(nc, { pullMessages: 6_000, silenceLimitMs: 600 });
      // Half a pull and a whole one were asked for before the first message came.
      await expect.poll(delivered).toBe(9_000);
      await publish(nc, 10_001, 10_002);
      await expect.poll(() => source.pending()).toBe(10_002);
      expect(await delivered()).toBe(9_000);
      expect(source.pulled().messages).toBe(9_000);
      expect(source.pulled().bytes).toBeGreaterThan(9_000);
      expect(numbers(await read(source, 10_002))).toEqual(range(1, 10_002));
      expect(source.pulled()).toEqual({ messages: 0, bytes: 0 });
    });

    test('pulls no more bytes than fit while the reader is behind', async () => {
      const { nc } = await begin(100, 60_000);
      const source = await open(nc, { pullBytes: 1 });
      await expect.poll(delivered).toBeGreaterThan(2);
      await publish(nc, 101, 101);
      // A pull of the smallest size has room for one message of the largest size and its envelope: 128 KiB.
      expect(await delivered()).toBeLessThanOrEqual(8);
      const messages = await read(source, 101);
      expect(numbers(messages)).toEqual(range(1, 101));
    });

    test('a consumer that somebody deletes is made again without loss or repeat', async () => {
      const { nc, jsm } = await begin(3_000);
      const stalls: string[] = [];
      const source = await open(nc, {
        pullMessages: 100,
        silenceLimitMs: SILENCE_MS,
        onStall: (detail) => stalls.push(detail),
      });
      const first = await read(source, 500);
      for await (const consumer of jsm.consumers.list('USAGE')) await jsm.consumers.delete('USAGE', consumer.name);
      const rest = await read(source, 3_000 - first.length);
      expect(numbers([...first, ...rest])).toEqual(range(1, 3_000));
      expect(stalls).toHaveLength(1);
      // Servers before 2.10 say nothing to a pull from a consumer that is gone: the missing heartbeats tell.
      expect(stalls[0]).toMatch(/the server says 409 Consumer Deleted|the consumer is gone|not even a heartbeat/);
    });

    test('a consumer that is deleted while the stream is silent is made again', async () => {
      const { nc, jsm } = await begin(10);
      const stalled = Promise.withResolvers<string>();
      const source = await open(nc, { onStall: stalled.resolve });
      await read(source, 10);
      for await (const consumer of jsm.consumers.list('USAGE')) await jsm.consumers.delete('USAGE', consumer.name);
      await stalled.promise;
      await publish(nc, 11, 20);
      expect(numbers(await read(source, 10))).toEqual(range(11, 20));
    });

    test('messages that were deleted on their own leave holes that are no loss', async () => {
      const { nc, jsm } = await begin(2_000);
      const kept = range(1, 2_000).filter((i) => i % 7 !== 0 && i > 5);
      // The first ones too: the stream then begins later, which is what data loss looks like, so a reader of that time
      // starts behind them.
      for (const i of range(1, 2_000)) if (!kept.includes(i)) await jsm.streams.deleteMessage('USAGE', i, false);
      const gaps: SourceGap[] = [];
      const source = await open(nc, {
        startSequence: 6,
        pullMessages: 300,
        allowGap: true,
        onGap: (gap) => gaps.push(gap),
      });
      expect(numbers(await read(source, kept.length))).toEqual(kept);
      expect(gaps).toEqual([]);
    });

    test('a stream that begins after the position is data loss', async () => {
      const { nc, jsm } = await begin(50);
      await jsm.streams.purge('USAGE', { seq: 31 });
      await expect(open(nc, { startSequence: 11 })).rejects.toMatchObject({
        code: 'source.data-loss',
        exitCode: 3,
        message: 'Stream USAGE begins at 31, after position 11: 20 messages were removed before they were read.',
      });
      // A reader without a position takes what is there.
      expect(numbers(await read(await open(nc, { startSequence: 0 }), 20))).toEqual(range(31, 50));
      const gaps: SourceGap[] = [];
      const source = await open(nc, { startSequence: 11, allowGap: true, onGap: (gap) => gaps.push(gap) });
      expect(numbers(await read(source, 20))).toEqual(range(31, 50));
      expect(gaps).toEqual([{ code: 'source.data-loss', from: 11, to: 30 }]);
    });

    test('an emptied stream is data loss for those who had not read it', async () => {
      const { nc, jsm } = await begin(50);
      await jsm.streams.purge('USAGE');
      await expect(open(nc, { startSequence: 50 })).rejects.toMatchObject({ code: 'source.data-loss' });
      const source = await open(nc, { startSequence: 51 });
      await publish(nc, 51, 51);
      expect(numbers(await read(source, 1))).toEqual([51]);
    });

    test('messages that retention takes from under a slow reader are counted to the last one', async () => {
      for (const allowGap of [false, true]) {
        const { nc, jsm } = await begin(3_000);
        const gaps: SourceGap[] = [];
        const source = await open(nc, { pullMessages: 50, allowGap, onGap: (gap) => gaps.push(gap) });
        await expect.poll(delivered).toBeGreaterThan(100);
        await jsm.streams.purge('USAGE', { seq: 2_001 });
        const messages: SourceMessage[] = [];
        const reading = (async () => {
          while (messages.at(-1)?.sequence !== 3_000) messages.push(...((await source.next()) ?? []));
        })();
        if (allowGap) {
          await reading;
          const [gap] = gaps as [SourceGap];
          expect(gaps).toHaveLength(1);
          expect(gap.to).toBe(2_000);
          expect(numbers(messages)).toEqual([...range(1, gap.from - 1), ...range(2_001, 3_000)]);
        } else {
          const failure = await reading.catch((error: Error) => error);
          expect(failure).toMatchObject({
            code: 'source.data-loss',
            message: expect.stringContaining(`Messages ${messages.length + 1} to 2000 of stream USAGE were removed`),
          });
          expect(numbers(messages)).toEqual(range(1, messages.length));
          await expect(source.next()).rejects.toMatchObject({ code: 'source.data-loss' });
        }
      }
    });

    test('a position behind the end of the stream is refused', async () => {
      const { nc } = await begin(20);
      await expect(open(nc, { startSequence: 22 })).rejects.toMatchObject({
        code: 'source.position-ahead',
        message: 'Stream USAGE ends at 20, before position 22: messages that were read are gone.',
      });
      const gaps: SourceGap[] = [];
      const source = await open(nc, { startSequence: 22, allowGap: true, onGap: (gap) => gaps.push(gap) });
      expect(gaps).toEqual([{ code: 'source.position-ahead', from: 21, to: 21 }]);
      await publish(nc, 21, 21);
      expect(numbers(await read(source, 1))).toEqual([21]);
    });

    test('a stream that was made anew is not taken for the old one, even if it is long enough', async () => {
      const first = await begin(20);
      const source = await open(first.nc);
      await read(source, 20);
      const { streamCreated } = source;
      const { nc } = await begin(30);
      await expect(open(nc, { startSequence: 21, streamCreated })).rejects.toMatchObject({
        code: 'source.stream-replaced',
      });
      const again = await open(nc, { startSequence: 21, streamCreated, allowGap: true });
      expect(numbers(await read(again, 30))).toEqual(range(1, 30));
      expect(again.streamCreated).not.toBe(streamCreated);
    });

    test('close() ends a waiting reader and leaves no consumer behind', async () => {
      const { nc, jsm } = await begin(10);
      const source = await open(nc);
      await read(source, 10);
      const next = source.next();
      await source.close();
      expect(await next).toBeUndefined();
      expect(await source.next()).toBeUndefined();
      expect(source.connected()).toBe(false);
      expect((await jsm.streams.info('USAGE')).state.consumer_count).toBe(0);
    });

    test('a reader in a tight loop does not starve timers', async () => {
      const { nc } = await begin(20_000);
      const source = await open(nc);
      await expect.poll(delivered).toBeGreaterThan(10_000);
      let turns = 0;
      const timer = setInterval(() => turns++, 0);
      await read(source, 20_000);
      clearInterval(timer);
      expect(turns).toBeGreaterThan(0);
    });

    test.each([
      ['a delivery that is lost on the way', '1000.1009', 'delivery 1009 (sequence 1000)'],
      ['a message that comes a second time', '0999.1000', 'delivery 1000 (sequence 999)'],
    ])('%s starts reading again where it was', async (_, sequences, reason) => {
      await begin(2_000);
      // The 1,000th delivery says that it is another one, or that it brings another message.
      let changed = 0;
      const proxy = await startProxy(broker.port, {
        toClient: (text) =>
          text.replace(/(\$JS\.ACK\.[^ ]*\.1\.)1000\.1000\./, (_whole, head: string) => {
            changed++;
            return `${head}${sequences}.`;
          }),
      });
      const { nc } = await connected(broker, proxy.url);
      const stalls: string[] = [];
      const source = await open(nc, { onStall: (detail) => stalls.push(detail) });
      expect(numbers(await read(source, 2_000))).toEqual(range(1, 2_000));
      expect(changed).toBe(1);
      expect(stalls).toEqual([expect.stringContaining(`starts again at 1000: ${reason} came after`)]);
    });

    test('a pull that nobody answers is noticed by its missing heartbeats', async () => {
      await begin(100);
      // The first pulls name an inbox that nobody listens to.
      let misled = 0;
      const proxy = await startProxy(broker.port, {
        toServer: (text) =>
          text.replace(/(MSG\.NEXT\.[^ ]* )_INBOX/g, (all, head: string) => (++misled <= 2 ? `${head}_NOBOX` : all)),
      });
      const { nc } = await connected(broker, proxy.url);
      const stalls: string[] = [];
      const source = await open(nc, { silenceLimitMs: SILENCE_MS, onStall: (detail) => stalls.push(detail) });
      expect(numbers(await read(source, 100))).toEqual(range(1, 100));
      expect(stalls).toEqual([expect.stringContaining('not even a heartbeat')]);
    });

    test('a delivery that was lost on its way is noticed though nothing follows it', async () => {
      await begin(3);
      const { nc } = await connected(broker);
      let lost = false;
      const subscribe: NatsConnection['subscribe'] = (subject, options) =>
        nc.subscribe(subject, {
          ...options,
          callback(error, message) {
            // Between the servers of a cluster that can happen; here it happens in front of the source.
            if (!lost && message.reply?.startsWith('$JS.ACK.') && Buffer.from(message.data).toString() === '3')
              lost = true;
            else void options?.callback?.(error, message);
          },
        });
      const lossy = new Proxy(nc, {
        get: (target, name) => {
          const value: unknown = name === 'subscribe' ? subscribe : Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      const stalls: string[] = [];
      const source = await open(lossy, { silenceLimitMs: SILENCE_MS, onStall: (detail) => stalls.push(detail) });
      expect(numbers(await read(source, 3))).toEqual([1, 2, 3]);
      expect(stalls).toEqual(['reading of stream USAGE starts again at 3: delivery 3 was lost']);
    });

    test('what is held back behind a hole is read again when the connection breaks meanwhile', async () => {
      const { jsm } = await begin(100);
      await jsm.streams.deleteMessage('USAGE', 50, false);
      // The first question about the stream is that of the opening; the second one, about the hole, gets no answer.
      let questions = 0;
      const proxy = await startProxy(broker.port, {
        toServer: (text) =>
          text.replace(/\$JS\.API\.STREAM\.INFO/g, (subject) => {
            if (++questions !== 2) return subject;
            setTimeout(() => proxy.cut(), 50);
            return '$JS.API.STREAM.NONE';
          }),
      });
      const { nc } = await connected(broker, proxy.url);
      const source = await open(nc);
      expect(numbers(await read(source, 99))).toEqual(range(1, 100).filter((i) => i !== 50));
      expect(questions).toBeGreaterThan(2);
    });

    test('a half-open connection is noticed, even with much unsent, and reading goes on', async () => {
      await begin(100);
      const proxy = await startProxy(broker.port, {});
      // A connection of the others stands a pause of the machine, and this one shall be found dead soon.
      const { nc } = await connected(broker, proxy.url, { pingInterval: 500, timeout: 1_000 });
      const source = await open(nc, { pullMessages: 10 });
      const first = await read(source, 20);
      proxy.freeze();
      for (let i = 0; i < 400; i++) nc.publish('elsewhere', Buffer.alloc(60_000));
      const rest = await read(source, 100 - first.length);
      expect(numbers([...first, ...rest])).toEqual(range(1, 100));
    });
  });

  test('goes on after kill -9 of the broker, without loss or repeat', async () => {
    let broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const { nc, jsm } = await connected(broker);
    await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    await publish(nc, 1, 5_000);
    const stalls: string[] = [];
    const source = await open(nc, { pullMessages: 200, onStall: (detail) => stalls.push(detail) });
    const messages = await read(source, 1_000);
    await broker.kill();
    await expect.poll(() => source.connected()).toBe(false);
    broker = await startBroker({ ...named, port: broker.port, storeDir: broker.storeDir });
    messages.push(...(await read(source, 5_000 - messages.length)));
    await publish(nc, 5_001, 6_000);
    messages.push(...(await read(source, 1_000)));
    expect(numbers(messages)).toEqual(range(1, 6_000));
    expect(source.connected()).toBe(true);
    expect(stalls[0]).toMatch(/^reading of stream USAGE starts again at \d+: the connection was lost$/);
  });

  test('notices that the broker came back with another store', async () => {
    let broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const { nc, jsm } = await connected(broker);
    await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    await publish(nc, 1, 100);
    const source = await open(nc);
    await read(source, 100);
    const { port } = broker;
    await broker.stop();
    broker = await startBroker({ ...named, port });
    const second = await connected(broker);
    await second.jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    await publish(second.nc, 1, 200);
    await expect(source.next()).rejects.toMatchObject({ code: 'source.stream-replaced', exitCode: 3 });
  });

  test('waits for a broker that is away while the source opens', async () => {
    let broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const { nc, jsm } = await connected(broker);
    await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    await publish(nc, 1, 10);
    await broker.kill();

    const givenUp = new AbortController();
    const abandoned = openSource(nc, { stream: 'USAGE', startSequence: 1, signal: givenUp.signal });
    const opening = open(nc);
    givenUp.abort(new Error('no longer wanted'));
    await expect(abandoned).rejects.toThrow('no longer wanted');
    broker = await startBroker({ ...named, port: broker.port, storeDir: broker.storeDir });
    expect(numbers(await read(await opening, 10))).toEqual(range(1, 10));
  });

  test('reads a message that is larger than a pull', async () => {
    let broker = await startBroker(named);
    cleanUp.push(() => broker.stop());
    const { nc, jsm } = await connected(broker);
    await jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
    await publish(nc, 1, 3, 900_000);
    await broker.kill();
    // The limit was lowered afterwards, so pulls are made for smaller messages.
    broker = await startBroker({ ...named, port: broker.port, storeDir: broker.storeDir, maxPayloadBytes: 4_096 });
    const source = await open(nc, { pullBytes: 1 });
    const messages = await read(source, 3);
    expect(messages.map((message) => message.data.length)).toEqual([900_001, 900_001, 900_001]);
  });
});
