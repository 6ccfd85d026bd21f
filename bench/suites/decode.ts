/**
 * Bytes to checked records, alone on one core, in each form that a message may have. `JSON.parse` of the same bytes, which
 * checks nothing and makes objects of whatever shape comes, runs beside it as the measure of what is possible.
 */
import { encode } from '@msgpack/msgpack';
import { mixedRecords } from '../../src/feed/mixed-records.ts';
import { decodeMessage } from '../../src/record/decode.ts';
import { collectGarbage, median, type Report, rounded } from '../measurement.ts';

const BATCH = 256;
const START_AT = Date.UTC(2026, 2, 2);
/** A round goes through all forms, so that a disturbance of the machine meets them all alike. The first is warm-up. */
const ROUNDS = 8;

export async function decodeSuite(
  report: Report,
  options: { records?: number; roundSeconds?: number } = {},
): Promise<void> {
  // More text than the caches hold, so that every message is met cold, as one from the network is.
  const count = options.records ?? 51_200;
  const roundSeconds = options.roundSeconds ?? 0.4;
  const records = [
    ...mixedRecords({
      seed: 1,
      subscribers: 1_000_000,
      distribution: 'uniform',
      count,
      startAt: START_AT,
      recordsPerSecond: 20_000,
    }),
  ];
  const batches: object[][] = [];
  for (let from = 0; from < records.length; from += BATCH) batches.push(records.slice(from, from + BATCH));
  const json = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));
  const single = records.map(json);
  const batched = batches.map(json);

  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const eventTimeMax = Number.MAX_SAFE_INTEGER;
  const parse = (bytes: Uint8Array): number => {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return Array.isArray(value) ? value.length : 1;
  };
  const decode = (bytes: Uint8Array): number => decodeMessage(bytes, { eventTimeMax }).records.length;
  const forms: { variant: string; batch: number; messages: Uint8Array[]; take(bytes: Uint8Array): number }[] = [
    { variant: 'JSON.parse alone', batch: 1, messages: single, take: parse },
    { variant: 'JSON.parse alone', batch: BATCH, messages: batched, take: parse },
    { variant: 'json', batch: 1, messages: single, take: decode },
    { variant: 'json', batch: BATCH, messages: batched, take: decode },
    {
      variant: 'ndjson',
      batch: BATCH,
      messages: batches.map((batch) => Buffer.from(batch.map((record) => JSON.stringify(record)).join('\n'))),
      take: decode,
    },
    { variant: 'messagePack', batch: 1, messages: records.map((record) => encode(record)), take: decode },
    { variant: 'messagePack', batch: BATCH, messages: batches.map((batch) => encode(batch)), take: decode },
  ];

  const rates = forms.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    await collectGarbage();
    for (const [index, { messages, take }] of forms.entries()) {
      let taken = 0;
      let passes = 0;
      const begun = performance.now();
      let seconds = 0;
      // Whole passes only: the mixture of record types is then the same in all forms.
      while (seconds < roundSeconds) {
        for (const bytes of messages) taken += take(bytes);
        passes++;
        seconds = (performance.now() - begun) / 1e3;
      }
      if (taken !== count * passes) throw new Error(`${taken} of ${count * passes} records were decoded`);
      if (round > 0) rates[index]!.push(taken / seconds);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  const bytesPerRecord = single.reduce((sum, { length }) => sum + length, 0) / count;
  report({ metric: 'json_bytes_per_record', value: rounded(bytesPerRecord), unit: 'bytes' });
  for (const [index, { variant, batch }] of forms.entries()) {
    report({ metric: 'records_per_second', value: rounded(median(rates[index]!)), unit: '1/s', batch, variant });
  }
}
