/**
 * JetStream alone: the messages of the usage stream are read by our own source, one after the other, and nothing is done with
 * them. This is the ceiling for the whole: what `end-to-end` does with the same records is compared with it.
 */
import { openSource } from '../../src/source/jetstream.ts';
import { collectGarbage, median, type Report, rounded } from '../measurement.ts';
import { type Bench, fillUsageStream, openBench, STREAM } from '../usage-stream.ts';

const REPETITIONS = 5;

export async function transportSuite(
  report: Report,
  options: { records?: number; subscribers?: number; repetitions?: number } = {},
): Promise<void> {
  const count = options.records ?? 1_000_000;
  const subscribers = options.subscribers ?? 200_000;
  const bench = await openBench();
  try {
    for (const batch of [1, 256]) {
      const lastSequence = await fillUsageStream(bench, { count, subscribers, batch });
      const readings: Reading[] = [];
      for (let repetition = 0; repetition < (options.repetitions ?? REPETITIONS); repetition++) {
        readings.push(await readUsageStream(bench, lastSequence));
      }
      const seconds = median(readings.map((reading) => reading.seconds));
      const cpuSeconds = median(readings.map((reading) => reading.cpuSeconds));
      const { messages, bytes } = readings[0]!;
      report({ metric: 'records_per_second', value: rounded(count / seconds), unit: '1/s', batch });
      report({ metric: 'messages_per_second', value: rounded(messages / seconds), unit: '1/s', batch });
      report({
        metric: 'cpu_microseconds_per_record',
        value: rounded((cpuSeconds / count) * 1e6, 2),
        unit: 'us',
        batch,
      });
      report({ metric: 'bytes_per_second', value: rounded(bytes / seconds), unit: 'bytes/s', batch });
    }
  } finally {
    await bench.close();
  }
}

export interface Reading {
  messages: number;
  bytes: number;
  /** From the request for the first message to the arrival of the last one. */
  seconds: number;
  /** Processor time of this process meanwhile. */
  cpuSeconds: number;
}

/** Reads the usage stream from its beginning to the given sequence. */
export async function readUsageStream({ nc }: Bench, lastSequence: number): Promise<Reading> {
  await collectGarbage();
  const source = await openSource(nc, { stream: STREAM, startSequence: 0 });
  const begun = performance.now();
  const cpuBegun = process.cpuUsage();
  let messages = 0;
  let bytes = 0;
  for (let sequence = 0; sequence < lastSequence; ) {
    const portion = await source.next();
    if (portion === undefined) throw new Error('the source was closed');
    for (const message of portion) {
      messages++;
      bytes += message.data.length;
    }
    sequence = portion.at(-1)!.sequence;
  }
  const seconds = (performance.now() - begun) / 1e3;
  const { user, system } = process.cpuUsage(cpuBegun);
  await source.close();
  return { messages, bytes, seconds, cpuSeconds: (user + system) / 1e6 };
}
