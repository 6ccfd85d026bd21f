/** Rejected records over HTTP, from the request that was refused to the one that sends it corrected. */
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callRecord } from './call-record.ts';
import { type Bench, type RunningGateway, startBench } from './http-gateway.ts';

interface Letter {
  seq: number;
  reason: string;
  field: string;
  sourceSubject: string;
  replay: { corrected: boolean; messages: { subject: string; seq: number }[] } | null;
}

let made = 0;
const voice = (more: object = {}): object => callRecord(`letter-${++made}`, { eventTime: Date.now(), ...more });

describe('dead letters over HTTP', () => {
  let bench: Bench;
  let gateway: RunningGateway;
  beforeAll(async () => {
    bench = await startBench();
    gateway = await bench.start();
  });
  afterAll(() => bench.stop());

  // biome-ignore lint/suspicious/noExplicitAny: what comes is compared as a whole; the schemas are held elsewhere
  const call = async (path: string, init: RequestInit = {}): Promise<{ status: number; body: any }> => {
    const response = await fetch(`${gateway.url}${path}`, init);
    return { status: response.status, body: await response.json() };
  };
  const post = (path: string, body?: string, contentType = 'application/json') =>
    call(path, { method: 'POST', ...(body !== undefined && { body, headers: { 'content-type': contentType } }) });
  const usageMessages = async (): Promise<number> => (await bench.jsm.streams.info('USAGE')).state.messages;
  const replays = async (result: string): Promise<number> => {
    const { body } = await gateway.metrics.expose(undefined);
    return Number(new RegExp(`dead_letter_replays_total\\{result="${result}"\\} (\\d+)`).exec(body)?.[1]);
  };

  it('lists nothing where nothing was ever rejected, at any time that can be named', async () => {
    for (const query of ['', '?to=0', '?from=0', '?from=999999999999999', '?to=1']) {
      const { status, body } = await call(`/v1/deadletters${query}`);
      expect([query, status, body.deadLetters]).toEqual([query, 200, []]);
    }
  });

  it('lists in pages, shows every byte, refuses what is still wrong and sends what is right, once', async () => {
    const broken = '{"recordId": "x", \u0001<b>';
    const bad = [voice({ durationSec: -1 }), voice({ recordType: 'mms' })].map((record) => JSON.stringify(record));
    for (const body of [broken, ...bad]) expect((await post('/v1/usage', body)).status).toBe(400);

    const first = await call('/v1/deadletters?limit=2');
    expect(first.status).toBe(200);
    expect(first.body.deadLetters.map((letter: Letter) => [letter.seq, letter.reason, letter.sourceSubject])).toEqual([
      [3, 'unknownType', 'http'],
      [2, 'schema', 'http'],
    ]);
    const second = await call(`/v1/deadletters?limit=2&cursor=${first.body.next}`);
    expect([second.body.deadLetters.map(({ seq }: Letter) => seq), second.body.next]).toEqual([[1], null]);
    const filtered = await call('/v1/deadletters?reason=schema&subject=http&from=2020-01-01T00:00:00Z');
    expect(filtered.body.deadLetters.map(({ seq }: Letter) => seq)).toEqual([2]);

    const shown = await call('/v1/deadletters/1');
    expect(shown.body).toMatchObject({
      seq: 1,
      reason: 'malformed',
      headers: { 'Ringfence-Reason': 'malformed', 'Ringfence-Source-Subject': 'http' },
      body: { text: broken, base64: Buffer.from(broken).toString('base64') },
      errors: [{ index: 0, reason: 'malformed' }],
      replay: null,
    });

    const refused = await post('/v1/deadletters/2/replay');
    expect([refused.status, refused.body.errors]).toMatchObject([422, [{ field: 'durationSec', reason: 'schema' }]]);
    expect(await usageMessages()).toBe(0);
    const corrected = bad[0]!.replace(':-1', ':1');
    const sent = await post('/v1/deadletters/2/replay', corrected);
    const messages = [{ subject: 'usage.0.voice', seq: 1 }];
    expect([sent.status, sent.body]).toMatchObject([200, { duplicate: false, corrected: true, records: 1, messages }]);
    const again = await post('/v1/deadletters/2/replay', corrected);
    expect([again.status, again.body]).toEqual([200, { ...sent.body, duplicate: true }]);
    expect(await usageMessages()).toBe(1);
    expect((await bench.jsm.streams.getMessage('USAGE', { seq: 1 }))?.string()).toBe(corrected);
    const { body: listed } = await call('/v1/deadletters');
    expect(listed.deadLetters.map(({ seq, replay }: Letter) => [seq, replay?.messages])).toEqual([
      [3, undefined],
      [2, messages],
      [1, undefined],
    ]);
    expect(await Promise.all(['sent', 'duplicate', 'refused'].map(replays))).toEqual([1, 1, 1]);
  });

  it('takes a correction in any form that records have', async () => {
    const lines = [voice(), voice({ servedMsisdn: '8613900000002' })]
      .map((record) => JSON.stringify(record))
      .join('\n');
    const sent = await post('/v1/deadletters/1/replay', lines, 'application/x-ndjson');
    expect([sent.status, sent.body]).toMatchObject([200, { records: 2, messages: [{ subject: 'usage.0.batch' }] }]);
  });

  it.each<[string, () => Promise<{ status: number; body: { detail: string } }>, number, string]>([
    ['a letter that is not there', () => call('/v1/deadletters/99'), 404, 'There is no rejected record'],
    ['a mark of a replay, which is no letter', () => call('/v1/deadletters/4'), 404, 'There is no rejected record'],
    ['a replay of none', () => post('/v1/deadletters/99/replay'), 404, 'There is no rejected record'],
    ['a sequence that is none', () => call('/v1/deadletters/x'), 400, 'seq must be a whole number above 0'],
    ['a reason that is none', () => call('/v1/deadletters?reason=bad'), 400, 'reason must be one of malformed'],
    ['an unknown parameter', () => call('/v1/deadletters?color=red'), 400, 'There is no parameter color.'],
    ['a time that is none', () => call('/v1/deadletters?from=2026-13-40T00:00:00Z'), 400, 'from: no such date.'],
    ['a cursor that is none', () => call('/v1/deadletters?cursor=0'), 400, 'cursor must be a whole number above 0'],
    ['another media type', () => post('/v1/deadletters/3/replay', 'x', 'text/csv'), 415, 'Content-Type must be one of'],
  ])('says what is wrong with %s', async (_what, request, status, sentence) => {
    const { status: found, body } = await request();
    expect([found, body.detail]).toEqual([status, expect.stringContaining(sentence)]);
  });

  it('does not take a correction without a record for one that was sent', async () => {
    await post('/v1/usage', JSON.stringify(voice({ durationSec: -1 })));
    const [letter] = (await call('/v1/deadletters?limit=1')).body.deadLetters as Letter[];
    for (const body of ['[]', '\n']) {
      const { status } = await post(`/v1/deadletters/${letter!.seq}/replay`, body, 'application/x-ndjson');
      expect(status).toBe(422);
    }
    expect((await call(`/v1/deadletters/${letter!.seq}`)).body.replay).toBeNull();
  });

  it('says that a letter was cut and needs a whole body', async () => {
    const { js } = bench;
    const header = headers();
    header.set('Ringfence-Reason', 'tooLarge');
    header.set('Ringfence-Truncated', '77');
    const { seq } = await js.publish('deadletter.tooLarge', JSON.stringify(voice()), { headers: header });
    const cut = await post(`/v1/deadletters/${seq}/replay`);
    expect([cut.status, cut.body.detail]).toEqual([
      409,
      '77 bytes of this letter were cut off; send a whole body in its place.',
    ]);
    expect((await post(`/v1/deadletters/${seq}/replay`, JSON.stringify(voice()))).status).toBe(200);
  });

  it('answers 503 while the stream cannot be asked', async () => {
    const { config } = await bench.jsm.streams.info('DEADLETTER');
    await bench.jsm.streams.delete('DEADLETTER');
    const { status, body } = await call('/v1/deadletters');
    expect([status, body.detail]).toEqual([503, 'NATS does not answer; nothing was changed.']);
    await bench.jsm.streams.add({ name: config.name, subjects: config.subjects });
  });
});
