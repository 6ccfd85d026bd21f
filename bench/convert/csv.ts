/**
 * What the converters share: CSV of the plain kind (no quotes, one header line) as rows by column name, and the frame of a
 * command that writes records as NDJSON.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ExitCode, RingfenceError } from '../../src/errors.ts';
import type { RawRecord } from '../../src/feed/raw-record.ts';
import { readLines } from '../../src/source/file.ts';

/** The data folder lies beside the repository. */
const DEFAULT_FOLDER = resolve(import.meta.dirname, '../../../shared/data');
const OUTPUT_BYTES = 1 << 16;

export type Row = Record<string, string>;

/**
 * Rows of a CSV file, plain or gzipped.
 * @throws RingfenceError `data.column` where a column of `columns` is missing in the header.
 */
export async function readRows(path: string, columns: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  let names: string[] | undefined;
  for await (const { lines } of readLines(path)) {
    for (const line of lines) {
      const cells = line.toString('utf8').trimEnd().split(',');
      if (names === undefined) {
        names = cells;
        const missing = columns.find((column) => !cells.includes(column));
        if (missing !== undefined) {
          throw new RingfenceError({
            code: 'data.column',
            message: `${path} has no column ${missing}.`,
            hint: `Its first line must name ${columns.join(', ')}.`,
          });
        }
      } else if (cells.length === names.length) {
        rows.push(Object.fromEntries(names.map((name, position) => [name, cells[position]])));
      }
    }
  }
  return rows;
}

/**
 * Path of a data set in the folder that the command line names, or in the default one.
 * @throws RingfenceError `data.absent` (exit code 3)
 */
export function dataFile(folder: string | undefined, name: string): string {
  const path = join(folder ?? DEFAULT_FOLDER, name);
  if (existsSync(path)) return path;
  throw new RingfenceError({
    code: 'data.absent',
    message: `There is no ${path}.`,
    hint: `Give the folder that holds ${name} as the argument; the evaluation data is not part of the repository.`,
  });
}

/** Writes records as NDJSON on stdout; waits where the reader is slower. */
export async function writeRecords(records: Iterable<RawRecord>): Promise<void> {
  let text = '';
  const flush = (): Promise<void> =>
    new Promise((done, failed) => process.stdout.write(text, (error) => (error ? failed(error) : done())));
  for (const record of records) {
    text += `${JSON.stringify(record)}\n`;
    if (text.length < OUTPUT_BYTES) continue;
    await flush();
    text = '';
  }
  await flush();
}

/** Runs a converter as a program: an error that a person can act on is one sentence on stderr and its exit code. */
export async function runConverter(convert: (folder: string | undefined) => Promise<void>): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    // `head` closed the pipe: it has all it wants.
    process.exit(ExitCode.ok);
  });
  try {
    await convert(process.argv[2]);
  } catch (error) {
    if (!(error instanceof RingfenceError)) throw error;
    process.stderr.write(`${error.message} ${error.hint}\n`);
    process.exitCode = error.exitCode;
  }
}
