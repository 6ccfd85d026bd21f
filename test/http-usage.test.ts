import { encode } from '@msgpack/msgpack';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeMessage } from '../src/record/decode.ts';
import { partitionOf, usageStream } from '../src/source/streams.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';

interface Result {
  accepted: number;
  rejected: number;
  errors: { index: number; recordId: string; field: string; reason: string; detail: string }[];
}

let made = 0;
const voice = (fields: object = {}) => {
  made += 1;
  return {
    recordId: `http-${made}`,
    recordType: 'voice',
    eventTime: Date.now(),
    servedMsisdn: `86138${String(made).padStart(8, '0')}`,
    direction: 'mo',
    otherNumber: '8613900000001',
    durationSec: 60,
    // Not ours, and kept all the same.
    tariff: { zone: 3, 名称: '夜间' },
    ...fields,
  };
};
type Voice = ReturnType<typeof voice>;

const forms: [name: string, contentType: string | undefined, write: (records: Voice[]) => Uint8Array][] = [
  ['JSON', 'application/json', (records) => Buffer.from(JSON.stringify(records, null, 1))],
  [
    'NDJSON',
    'application/x-ndjson',
    (records) => Buffer.from(records.map((record) => `${JSON.stringify(record)}\r\n\n`).join('')),
  ],
  ['MessagePack', 'application/msgpack', (records) => encode(records)],
  ['JSON without a media type', undefined, (records) => Buffer.from(` ${JSON.stringify(records)}`)],
  [
    'NDJSON without a media type',
    undefined,
    (records) => Buffer.from(records.map((record) => JSON.stringify(record)).join('\n')),
  ],
  ['MessagePack without a media type', undefined, (records) => encode(records)],
];

async function post(
  url: string,
  body: Uint8Array,
  contentType?: string,
): Promise<{ status: number; body: Result; headers: Headers }> {
  const response = await fetch(`${url}/v1/usage`, {
    method: 'POST',
    // A Blob without a type sends no Content-Type.
    body: new Blob([Uint8Array.from(body)]),
    headers: contentType === undefined ? {} : { 'content-type': contentType },
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Result };
}

/** Messages of a stream behind a sequence. */
async function messagesAfter({ jsm }: Bench, stream: string, sequence: number) {
  const { state } = await jsm.streams.info(stream);
  const messages = [];
  for (let seq = sequence + 1; seq <= state.last_seq; seq++)
    messages.push((await jsm.streams.getMessage(stream, { seq }))!);
  return messages;
}
const lastOf = async ({ jsm }: Bench, stream: string) => (await jsm.streams.info(stream)).state.last_seq;

/** The records of messages as their producers wrote them. */
function recordsIn(messages: { data: Uint8Array }[]): string[] {
  return messages.flatMap(({ data }) => {
    const { records, rejections } = decodeMessage(data, { eventTimeMax: Number.MAX_SAFE_INTEGER });
    expect(rejections).toEqual([]);
    return records.map(({ recordId }) => recordId);
  });
}

describe('POST /v1/usage', () => {
  let bench: Bench;
  let running: RunningGateway;
  beforeAll(async () => {
    bench = await startBench();
    running = await bench.start();
  });
  afterAll(() => bench.stop());

  it.each(forms)('takes %s: publishes the good ones, sets the bad ones apart', async (_name, contentType, write) => {
    const usageBefore = await lastOf(bench, 'USAGE');
    const deadBefore = await lastOf(bench, 'DEADLETTER');
    const records = [
      voice(),
      voice({ durationSec: -1 }),
      voice(),
      voice({ recordType: 'pigeon' }),
      voice({ eventTime: Date.now() + 3_600_000 }),
      voice(),
    ];
    const { status, body } = await post(running.url, write(records as Voice[]), contentType);
    expect(status).toBe(202);
    expect(body).toMatchObject({ accepted: 3, rejected: 3 });
    expect(body.errors).toMatchObject([
      { index: 1, recordId: records[1].recordId, field: 'durationSec', reason: 'schema' },
      { index: 3, recordId: records[3].recordId, field: 'recordType', reason: 'unknownType' },
      { index: 4, recordId: records[4].recordId, field: 'eventTime', reason: 'future' },
    ]);

    // The answer came after the broker's: everything is there now.
    const messages = await messagesAfter(bench, 'USAGE', usageBefore);
    expect(messages.map(({ subject }) => subject)).toEqual(['usage.0.batch']);
    expect(recordsIn(messages)).toEqual([records[0], records[2], records[5]].map(({ recordId }) => recordId));
    expect(Buffer.from(messages[0].data).includes('夜间')).toBe(true);
    const dead = await messagesAfter(bench, 'DEADLETTER', deadBefore);
    expect(dead.map(({ subject }) => subject).sort()).toEqual([
      'deadletter.future',
      'deadletter.schema',
      'deadletter.unknownType',
    ]);
    for (const letter of dead) {
      expect(letter.header.get('Ringfence-Source-Subject')).toBe('http');
      expect(letter.json<Voice>().tariff).toEqual({ zone: 3, 名称: '夜间' });
    }
  });

  it('publishes one record alone, under its type', async () => {
    const before = await lastOf(bench, 'USAGE');
    for (const [, contentType, write] of forms.filter(([name]) => !name.startsWith('NDJSON'))) {
      const record = voice();
      const [single] = contentType === 'application/msgpack' ? [encode(record)] : [Buffer.from(JSON.stringify(record))];
      expect((await post(running.url, single, contentType)).body).toEqual({ accepted: 1, rejected: 0, errors: [] });
      expect((await post(running.url, write([voice()]), contentType)).body.accepted).toBe(1);
    }
    const messages = await messagesAfter(bench, 'USAGE', before);
    expect(messages.length).toBe(8);
    expect(new Set(messages.map(({ subject }) => subject))).toEqual(new Set(['usage.0.voice']));
    expect(recordsIn(messages).length).toBe(8);
  });

  it('answers 400 with the same body where nothing was good', async () => {
    const dead = await lastOf(bench, 'DEADLETTER');
    const none = await post(running.url, Buffer.from('{"recordId":"x"}'), 'application/json');
    expect(none.status).toBe(400);
    expect(none.body).toMatchObject({
      accepted: 0,
      rejected: 1,
      errors: [{ index: 0, recordId: 'x', reason: 'schema' }],
    });
    const torn = await post(running.url, Buffer.from('[{"recordId":'), 'application/json');
    expect([torn.status, torn.body.errors[0]?.reason]).toEqual([400, 'malformed']);
    const letters = await messagesAfter(bench, 'DEADLETTER', dead);
    expect(letters.map(({ subject }) => subject)).toEqual(['deadletter.schema', 'deadletter.malformed']);
    expect(letters[1].string()).toBe('[{"recordId":');
  });

  it('refuses names that reach for the prototype, and leaves no trace of them', async () => {
    const text = `[${JSON.stringify(voice())},{"__proto__":{"polluted":1},"recordId":"evil"},${JSON.stringify(voice())}]`;
    const { body } = await post(running.url, Buffer.from(text), 'application/json');
    expect(body).toMatchObject({ accepted: 2, rejected: 1, errors: [{ index: 1, reason: 'schema' }] });
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('splits a large body into messages that keep its order', async () => {
    const before = await lastOf(bench, 'USAGE');
    const records = Array.from({ length: 1_000 }, () => voice());
    const { body } = await post(running.url, Buffer.from(JSON.stringify(records)), 'application/json');
    expect(body.accepted).toBe(1_000);
    const messages = await messagesAfter(bench, 'USAGE', before);
    expect(messages.length).toBe(4);
    expect(recordsIn(messages)).toEqual(records.map(({ recordId }) => recordId));
  });

  it('counts what it rejects', async () => {
    const { body } = await running.metrics.expose(undefined);
    expect(body).toMatch(/ringfence_records_total\{type="voice",result="rejected"\} [1-9]/);
    expect(body).toMatch(/ringfence_records_total\{type="unknown",result="rejected"\} [1-9]/);
    expect(body).toMatch(/ringfence_dead_letters_total\{reason="malformed"\} [1-9]/);
  });

  it('answers 503 while NATS is away, and takes the same records afterwards', async () => {
    const own = await startBench();
    try {
      const gateway = await own.start();
      const records = [voice(), voice()];
      const body = Buffer.from(JSON.stringify(records));
      await own.jsm.streams.delete('USAGE');
      const noStream = await post(gateway.url, body, 'application/json');
      expect([noStream.status, noStream.headers.get('retry-after')]).toEqual([503, '1']);
      expect(noStream.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      await own.jsm.streams.add({ name: 'USAGE', subjects: ['usage.>'] });
      expect((await post(gateway.url, body, 'application/json')).body.accepted).toBe(2);
      await own.broker.kill();
      await expect.poll(async () => (await post(gateway.url, body, 'application/json')).status).toBe(503);
    } finally {
      await own.stop();
    }
  });
});

describe('POST /v1/usage with several partitions and a small broker', () => {
  it('sends each record to the partition of its subscriber, and sets apart what the broker does not take', async () => {
    const bench = await startBench({ partitions: 3, maxPayloadBytes: 16 * 1024 });
    try {
      const { url } = await bench.start();
      const records = [
        ...Array.from({ length: 300 }, () => voice()),
        voice({ note: ['x'.repeat(4_000), ...Array(4).fill('x'.repeat(3_900))] }),
      ];
      const { body } = await post(url, encode(records), 'application/msgpack');
      expect(body).toMatchObject({
        accepted: 300,
        rejected: 1,
        errors: [{ index: 300, reason: 'tooLarge', recordId: records[300].recordId }],
      });
      for (let partition = 0; partition < 3; partition++) {
        const messages = await messagesAfter(bench, usageStream(partition, 3), 0);
        for (const { subject, data } of messages) {
          expect(subject).toBe(`usage.${partition}.batch`);
          expect(data.length).toBeLessThanOrEqual(8 * 1024);
        }
        const mine = records.slice(0, 300).filter(({ servedMsisdn }) => partitionOf(servedMsisdn, 3) === partition);
        expect(recordsIn(messages)).toEqual(mine.map(({ recordId }) => recordId));
      }
      const [letter] = await messagesAfter(bench, 'DEADLETTER', 0);
      expect(letter.subject).toBe('deadletter.tooLarge');
      expect(Number(letter.header.get('Ringfence-Truncated'))).toBeGreaterThan(0);
    } finally {
      await bench.stop();
    }
  });
});
