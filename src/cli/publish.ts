/**
 * `ringfence publish`: sends NDJSON files of usage records to NATS, in their order, and waits until the broker has stored
 * every one of them. A line that is no JSON object is sent as it is, as a message of its own: the engine puts it into the
 * dead-letter stream, where somebody looks for it, and it cannot spoil the records that would have shared its message.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { ExitCode, RingfenceError } from '../errors.ts';
import { checkReadable, readLines } from '../source/file.ts';
import { ensureStreams } from '../source/streams.ts';
import { connectCommand, natsOption } from './nats-option.ts';
import { createUsagePublisher, type RecordAddress } from './usage-publisher.ts';

/** Upper ends of the flags; none of them is a goal. */
const RATE_MAX = 10_000_000;
const BATCH_MAX = 10_000;
const PARTITIONS_MAX = 256;
/** Pause of a paced run; at 20,000 records/s 200 records leave together. */
const PACE_MS = 10;
const PROGRESS_MS = 500;
/** Lines that could not be sent are named up to here; all are counted. */
const UNSENT_NAMED_MAX = 20;

export interface PublishOptions {
  /** Address of NATS. */
  nats: string;
  /** Records per second; undefined is as fast as the broker takes them. */
  rate?: number;
  /** Records to a message. */
  batch: number;
  partitions: number;
  /** Gets sentences about trouble; they are for people, on stderr. */
  log(sentence: string): void;
  /** Called about twice a second. */
  progress?(recordsSent: number, seconds: number): void;
}

export interface PublishSummary {
  /** JSON objects sent; whether they are good records is the engine's to say. */
  records: number;
  messages: number;
  /** Lines that are no JSON object, sent alone as they are. */
  notObjects: number;
  /** Lines that are larger than the server takes, not sent. */
  tooLarge: number;
  /** Messages sent again for want of an acknowledgement; their records may be in the stream twice. */
  resent: number;
  seconds: number;
  recordsPerSec: number;
}

/**
 * Publishes files in the order given; `-` is standard input. Once connected, waits for NATS as long as it takes.
 * @throws RingfenceError where a file cannot be read, or NATS refuses credentials, streams or records.
 */
export async function publishFiles(files: readonly string[], options: PublishOptions): Promise<PublishSummary> {
  const { batch, partitions, rate, log } = options;
  await checkReadable(files);
  const nc = await connectCommand(options.nats, 'ringfence publish', log);
  try {
    const { warnings } = await ensureStreams(nc, {
      partitions,
      retentionDays: { usage: 35, alerts: 400, deadletter: 90 },
    });
    for (const warning of warnings) log(warning);
    const publisher = createUsagePublisher(nc, { partitions, batch, log });
    const summary = { records: 0, notObjects: 0, tooLarge: 0 };
    const startedAt = performance.now();
    const secondsSoFar = (): number => (performance.now() - startedAt) / 1000;
    const progress = setInterval(() => options.progress?.(summary.records, secondsSoFar()), PROGRESS_MS);
    try {
      for (const path of files) {
        for await (const { lines, firstLine, cutFromBytes } of readLines(path)) {
          for (const [position, line] of lines.entries()) {
            if (isBlank(line)) continue;
            const address = cutFromBytes > 0 ? undefined : addressOf(line);
            const sent =
              cutFromBytes === 0 && (address === undefined ? publisher.opaque(line) : publisher.record(line, address));
            if (!sent) {
              summary.tooLarge++;
              if (summary.tooLarge <= UNSENT_NAMED_MAX) {
                log(
                  `${path}:${firstLine + position}: ${cutFromBytes || line.length} bytes are too many for NATS: not sent`,
                );
              }
            } else if (address === undefined) {
              summary.notObjects++;
            } else {
              summary.records++;
            }
            const room = publisher.room();
            if (room !== undefined) await room;
            if (rate !== undefined) {
              while (summary.records + summary.notObjects > secondsSoFar() * rate) await sleep(PACE_MS);
            }
          }
        }
      }
      await publisher.drained();
    } finally {
      clearInterval(progress);
      publisher.close();
    }
    const seconds = secondsSoFar();
    return {
      ...summary,
      messages: publisher.messages(),
      resent: publisher.resent(),
      seconds: Math.round(seconds * 1000) / 1000,
      recordsPerSec: Math.round(summary.records / seconds),
    };
  } finally {
    await nc.close();
  }
}

/** White space alone, as behind the last line of a file with Windows line ends. */
function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false;
  return true;
}

/** What decides about partition and subject; undefined where the line is no JSON object. */
function addressOf(line: Buffer): RecordAddress | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The subcommand; prints the summary as one JSON line on stdout, exit code 1 where a line could not be sent. */
export function publishCommand(): Command {
  return new Command('publish')
    .description('Send usage records of NDJSON files to NATS; - is standard input, .gz is understood.')
    .argument('<file...>', 'files with one JSON record a line')
    .addOption(natsOption())
    .option('--rate <n>', 'records per second (default: as fast as NATS takes them)', numberFlag('--rate', RATE_MAX))
    .option('--batch <n>', 'records to a message', wholeFlag('--batch', BATCH_MAX), 1)
    .option('--partitions <n>', 'partitions of the usage stream', wholeFlag('--partitions', PARTITIONS_MAX), 1)
    .action(async (files: string[], flags: { nats: string; rate?: number; batch: number; partitions: number }) => {
      const isTerminal = process.stderr.isTTY === true;
      const clearLine = (): void => void (isTerminal && process.stderr.write('\r\x1b[K'));
      const summary = await publishFiles(files, {
        ...flags,
        log(sentence) {
          clearLine();
          process.stderr.write(`${sentence}\n`);
        },
        ...(isTerminal && {
          progress(records: number, seconds: number) {
            clearLine();
            const perSec = Math.round(records / seconds);
            process.stderr.write(`${records.toLocaleString('en')} records, ${perSec.toLocaleString('en')}/s`);
          },
        }),
      });
      clearLine();
      process.stdout.write(`${JSON.stringify(summary)}\n`);
      if (summary.tooLarge > 0) process.exitCode = ExitCode.findings;
    });
}

/** Parser of a flag with a number above 0; an error is one sentence and exit code 3. */
function numberFlag(flag: string, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value > 0 && value <= max) return value;
    throw new RingfenceError({
      code: 'flag.wrong',
      message: `${flag} is a number above 0, at most ${max}, not ${JSON.stringify(text)}.`,
      hint: 'See `ringfence publish --help`.',
    });
  };
}

function wholeFlag(flag: string, max: number): (text: string) => number {
  return (text) => {
    if (/^[1-9][0-9]*$/.test(text) && Number(text) <= max) return Number(text);
    throw new RingfenceError({
      code: 'flag.wrong',
      message: `${flag} is a whole number from 1 to ${max}, not ${JSON.stringify(text)}.`,
      hint: 'See `ringfence publish --help`.',
    });
  };
}
