/**
 * `deadletter list|show|replay`: rejected records, from the terminal. Nothing of a letter reaches the terminal as it is, but
 * by `show --raw` into a file: what a stranger sent may hold escape sequences.
 */
import { readFileSync } from 'node:fs';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Command, Option } from 'commander';
import { ExitCode, RingfenceError } from '../errors.ts';
import { parseDateTime } from '../record/date-time.ts';
import type { Rejection } from '../record/decode.ts';
import {
  type DeadLetter,
  type DeadLetterHead,
  type DeadLetters,
  LETTER_PAGE_MAX,
  openDeadLetters,
  type ReplayResult,
} from '../source/dead-letters.ts';
import { partitionsFound } from '../source/streams.ts';
import { natsOption, withNats } from './nats-option.ts';
import { requireForm } from './output.ts';

const LIST_DEFAULT = 50;
const LIST_MAX = 100_000;
/** Bytes of a body that `show` prints. */
const SHOWN_BYTES_MAX = 4_096;
const HEX_COLUMNS = 16;
/** A corrected body; the largest message of a NATS server with generous settings. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const REASONS = ['malformed', 'schema', 'unknownType', 'future', 'tooLarge'];

interface ListFlags {
  nats: string;
  reason?: string;
  subject?: string;
  from?: number;
  to?: number;
  limit: number;
  output: string;
}

const withDeadLetters = <T>(nats: string, work: (deadLetters: DeadLetters) => Promise<T>): Promise<T> =>
  withNats(nats, 'ringfence deadletter', async (nc) => {
    const jsm = await jetstreamManager(nc);
    return work(openDeadLetters({ nc, js: jetstream(nc), jsm, partitions: await partitionsFound(jsm) }));
  });

async function listAll(deadLetters: DeadLetters, { limit, ...filter }: ListFlags): Promise<DeadLetterHead[]> {
  const all: DeadLetterHead[] = [];
  for (let before: number | undefined; all.length < limit; ) {
    const page = await deadLetters.list(filter, { limit: Math.min(limit - all.length, LETTER_PAGE_MAX), before });
    all.push(...page.letters);
    if (page.next === null) break;
    before = page.next;
  }
  return all;
}

const instant = (epochMs: number): string => new Date(epochMs).toISOString();

function listLines(letters: readonly DeadLetterHead[]): string[] {
  const rows = letters.map((letter) => [
    String(letter.seq),
    instant(letter.storedAt),
    letter.reason,
    letter.field,
    letter.sourceSeq === null ? letter.sourceSubject : `${letter.sourceSubject} ${letter.sourceSeq}`,
    String(letter.bytes),
    letter.replay === null ? '' : instant(letter.replay.at),
  ]);
  const table = [['seq', 'stored', 'reason', 'field', 'source', 'bytes', 'replayed'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) =>
    row
      .map((cell, column) => printable(cell).padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/** Control and format characters as escapes, so that a terminal shows them and obeys none. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\n' ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** `00000000  7b 22 ...  {"...`, a line for every sixteen bytes. */
function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += HEX_COLUMNS) {
    const row = bytes.subarray(at, at + HEX_COLUMNS);
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(HEX_COLUMNS * 3 - 1)}  ${text}`);
  }
  return lines;
}

/** The body as text; undefined where it is none. */
function textOf(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return undefined;
  }
}

const errorLine = ({ index, field, reason, detail }: Rejection): string =>
  printable(`  record ${index}: ${reason}${field === '' ? '' : ` in ${field}`}: ${detail}`);

function showLines(letter: DeadLetter, errors: Rejection[]): string[] {
  const { replay, body } = letter;
  const shown = body.subarray(0, SHOWN_BYTES_MAX);
  const text = textOf(body)?.slice(0, SHOWN_BYTES_MAX);
  const more = body.length > shown.length ? [`... ${body.length - shown.length} more bytes; --raw gives all`] : [];
  const replayed =
    replay === null
      ? 'no'
      : `${instant(replay.at)}${replay.corrected ? ', corrected' : ''}${replay.by === null ? '' : `, by ${replay.by}`}: ` +
        replay.messages.map(({ subject, seq }) => `${subject} ${seq}`).join(', ');
  return [
    `letter   ${letter.seq}, stored ${instant(letter.storedAt)}`,
    `reason   ${letter.reason}${letter.field === '' ? '' : ` in ${letter.field}`}`,
    `source   ${letter.sourceSubject}${letter.sourceSeq === null ? '' : `, sequence ${letter.sourceSeq}`}`,
    `body     ${body.length} bytes${letter.truncatedBytes > 0 ? `, ${letter.truncatedBytes} more were cut off` : ''}`,
    `replayed ${printable(replayed)}`,
    errors.length === 0 ? 'A replay as it is would be accepted now.' : 'A replay as it is would be rejected again:',
    ...errors.map(errorLine),
    'headers:',
    ...Object.entries(letter.headers).map(([name, value]) => printable(`  ${name}: ${value}`)),
    ...(text === undefined ? ['bytes, which are no text:'] : ['text:', printable(text), 'bytes:']),
    ...hexLines(shown),
    ...more,
  ];
}

function describeReplay(seq: number, result: ReplayResult): { line: string; failed: boolean } {
  switch (result.kind) {
    case 'replayed': {
      const { records, messages, at } = result.replay;
      const where = messages.map((message) => `${message.subject} ${message.seq}`).join(', ');
      return {
        line: result.duplicate
          ? `${seq}: replayed before, at ${instant(at)} to ${where}; nothing was sent`
          : `${seq}: ${records} ${records === 1 ? 'record' : 'records'} to ${where}`,
        failed: false,
      };
    }
    case 'missing':
      return { line: `${seq}: there is no such letter`, failed: true };
    case 'truncated':
      return {
        line: `${seq}: ${result.truncatedBytes} bytes of it were cut off; give the whole body with --body`,
        failed: true,
      };
    case 'empty':
      return { line: `${seq}: there is no record in the body, nothing was sent`, failed: true };
    default:
      return {
        line: [`${seq}: it would be rejected again, nothing was sent:`, ...result.errors.map(errorLine)].join('\n'),
        failed: true,
      };
  }
}

function readBody(path: string): Uint8Array {
  let body: Uint8Array;
  try {
    body = readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    throw new RingfenceError({
      code: 'deadletter.body',
      message: `The body ${path} cannot be read: ${(error as Error).message}.`,
      hint: 'Give a file, or - for standard input.',
      cause: error,
    });
  }
  if (body.length > 0 && body.length <= BODY_BYTES_MAX) return body;
  throw new RingfenceError({
    code: 'deadletter.body',
    message: `The body ${path} ${body.length === 0 ? 'is empty' : `is larger than ${BODY_BYTES_MAX} bytes`}.`,
    hint: '`ringfence deadletter show SEQ --raw` writes the one of the letter.',
  });
}

const flagError = (message: string): RingfenceError =>
  new RingfenceError({ code: 'flag.wrong', message, hint: 'See `ringfence deadletter --help`.' });

function sequenceArgument(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text);
  throw flagError(`A letter is named by its sequence, a whole number, not ${JSON.stringify(text)}.`);
}

/** Epoch milliseconds, or a date and time with an offset. */
const instantFlag =
  (flag: string) =>
  (text: string): number => {
    const epochMs = /^\d{1,15}$/.test(text) ? Number(text) : parseDateTime(text);
    if (!Number.isNaN(epochMs)) return epochMs;
    throw flagError(`${flag} is epoch milliseconds or a time like 2026-11-22T08:00:00Z, not ${JSON.stringify(text)}.`);
  };

function limitFlag(text: string): number {
  if (/^[1-9][0-9]*$/.test(text) && Number(text) <= LIST_MAX) return Number(text);
  throw flagError(`--limit is a whole number from 1 to ${LIST_MAX}, not ${JSON.stringify(text)}.`);
}

/** The subcommands; a letter that cannot be shown or replayed is exit code 1. */
export function deadLetterCommand(): Command {
  const command = new Command('deadletter').description('Rejected records: list, show, correct and replay them.');
  command
    .command('list')
    .description('List rejected records, newest first.')
    .addOption(natsOption())
    .addOption(new Option('--reason <reason>', 'only these').choices(REASONS))
    .option('--subject <subject>', 'only what came on this subject (`http`, `usage.0.*`, `usage.>`)')
    .option('--from <time>', 'stored then or later: epoch ms, or RFC 3339', instantFlag('--from'))
    .option('--to <time>', 'stored before then', instantFlag('--to'))
    .option('--limit <n>', 'at most so many', limitFlag, LIST_DEFAULT)
    .option('--output <form>', 'text or json', 'text')
    .action(async (flags: ListFlags) => {
      requireForm(flags.output);
      if ((flags.from ?? 0) > (flags.to ?? Number.POSITIVE_INFINITY))
        throw flagError('--from must not be later than --to.');
      const letters = await withDeadLetters(flags.nats, (deadLetters) => listAll(deadLetters, flags));
      if (flags.output === 'json') process.stdout.write(`${JSON.stringify(letters)}\n`);
      else for (const line of listLines(letters)) process.stdout.write(`${line}\n`);
    });
  command
    .command('show')
    .description('Show one of them: headers, reason, field and the original bytes.')
    .argument('<seq>', 'its sequence', sequenceArgument)
    .addOption(natsOption())
    .option('--raw', 'the original bytes alone, as they are')
    .option('--output <form>', 'text or json', 'text')
    .action(async (seq: number, flags: { nats: string; raw?: boolean; output: string }) => {
      requireForm(flags.output);
      const found = await withDeadLetters(flags.nats, async (deadLetters) => {
        const letter = await deadLetters.get(seq);
        return letter && { letter, errors: deadLetters.check(letter.body) };
      });
      if (found === undefined) {
        process.stderr.write(`There is no letter ${seq}.\n`);
        process.exitCode = ExitCode.findings;
        return;
      }
      const { letter, errors } = found;
      if (flags.raw === true) process.stdout.write(letter.body);
      else if (flags.output === 'json') {
        const { body, ...head } = letter;
        const wrong = errors.map(({ body: _body, ...error }) => error);
        const bytes = { text: textOf(body) ?? null, base64: Buffer.from(body).toString('base64') };
        process.stdout.write(`${JSON.stringify({ ...head, body: bytes, errors: wrong })}\n`);
      } else for (const line of showLines(letter, errors)) process.stdout.write(`${line}\n`);
    });
  command
    .command('replay')
    .description('Send them to the usage stream, as they are or corrected; a second time sends nothing.')
    .argument('<seq...>', 'their sequences')
    .addOption(natsOption())
    .option('--body <file>', 'a corrected body in the place of the one of the letter; - is standard input')
    .option('--output <form>', 'text or json', 'text')
    .action(async (names: string[], flags: { nats: string; body?: string; output: string }) => {
      requireForm(flags.output);
      const sequences = names.map(sequenceArgument);
      if (flags.body !== undefined && sequences.length > 1) throw flagError('--body is for one letter.');
      const body = flags.body === undefined ? undefined : readBody(flags.body);
      await withDeadLetters(flags.nats, async (deadLetters) => {
        for (const seq of sequences) {
          const result = await deadLetters.replay(seq, { body });
          const { line, failed } = describeReplay(seq, result);
          if (failed) process.exitCode = ExitCode.findings;
          const errors = result.kind === 'refused' && result.errors.map(({ body: _body, ...error }) => error);
          const shown = flags.output === 'json' ? JSON.stringify({ seq, ...result, ...(errors && { errors }) }) : line;
          (failed && flags.output !== 'json' ? process.stderr : process.stdout).write(`${shown}\n`);
        }
      });
    });
  return command;
}
