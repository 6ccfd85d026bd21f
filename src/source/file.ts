/**
 * Files of records: NDJSON, plain or gzipped, or standard input. Lines are handed out in chunks, because a promise for
 * each line costs as much as the line (measured: 4.7 million lines/s in chunks, 2.6 million one by one). Lines are slices
 * of the bytes as read, never strings: who reads them decides whether to decode, send or count.
 *
 * Memory is bounded: one block in flight and at most one unfinished line of LINE_BYTES_MAX. A longer line is handed out
 * cut, with its true length, so that it can be rejected by name instead of filling the memory or ending the run.
 */
import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { RingfenceError } from '../errors.ts';

/** How much is read at once; a block of this size holds about 4,000 records. */
const BLOCK_BYTES = 1 << 20;
/** Sixteen times the largest record that is accepted, so that only nonsense is cut. */
export const LINE_BYTES_MAX = 1 << 20;
const LINE_FEED = 10;
const SPACE = 32;
const TAB = 9;
const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

export interface LineChunk {
  /** As given; `-` is standard input. */
  path: string;
  /** Number of the first line in its file, from 1; `lines[i]` has number `firstLine + i`. */
  firstLine: number;
  /** Without their line feed; a line of nothing but white space is an empty buffer. */
  lines: Buffer[];
  /** 0, or the full length in bytes of the only line of this chunk, which was cut to LINE_BYTES_MAX. */
  cutFromBytes: number;
}

/**
 * The lines of a file from its beginning. Gzip is recognised by its first bytes, whatever the name; a byte order mark
 * is dropped; the last line needs no line feed.
 * @throws RingfenceError `file.not-found`, `file.unreadable` (with exit code 3), also in the middle of a damaged archive.
 */
export async function* readLines(path: string): AsyncGenerator<LineChunk, void, undefined> {
  let firstLine = 1;
  let unfinished: Buffer = Buffer.alloc(0);
  /** The head and the length so far of a line that is too long, while its end is being looked for. */
  let cut: { head: Buffer; bytes: number } | undefined;

  for await (const block of contentOf(path)) {
    let data = block;
    if (cut !== undefined) {
      const end = data.indexOf(LINE_FEED);
      cut.bytes += end < 0 ? data.length : end;
      if (end < 0) continue;
      yield { path, firstLine: firstLine++, lines: [cut.head], cutFromBytes: cut.bytes };
      cut = undefined;
      data = data.subarray(end + 1);
    } else if (unfinished.length > 0) {
      data = Buffer.concat([unfinished, data]);
    }
    let lines: Buffer[] = [];
    let start = 0;
    for (let end = data.indexOf(LINE_FEED); end >= 0; end = data.indexOf(LINE_FEED, start)) {
      if (end - start > LINE_BYTES_MAX) {
        if (lines.length > 0) yield { path, firstLine, lines, cutFromBytes: 0 };
        firstLine += lines.length;
        lines = [];
        const head = data.subarray(start, start + LINE_BYTES_MAX);
        yield { path, firstLine: firstLine++, lines: [head], cutFromBytes: end - start };
      } else {
        lines.push(unlessBlank(data.subarray(start, end)));
      }
      start = end + 1;
    }
    if (lines.length > 0) yield { path, firstLine, lines, cutFromBytes: 0 };
    firstLine += lines.length;
    unfinished = data.subarray(start);
    if (unfinished.length > LINE_BYTES_MAX) {
      cut = { head: unfinished.subarray(0, LINE_BYTES_MAX), bytes: unfinished.length };
      unfinished = Buffer.alloc(0);
    }
  }
  if (cut !== undefined) yield { path, firstLine, lines: [cut.head], cutFromBytes: cut.bytes };
  else if (unfinished.length > 0) yield { path, firstLine, lines: [unlessBlank(unfinished)], cutFromBytes: 0 };
}

/**
 * Most lines begin with another byte, so that no further one is looked at. Other control characters are rubbish, and are said to
 * be.
 */
function unlessBlank(line: Buffer): Buffer {
  let at = 0;
  while (at < line.length && (line[at] === SPACE || (line[at]! >= TAB && line[at]! <= CARRIAGE_RETURN))) at++;
  return at === line.length ? line.subarray(0, 0) : line;
}

/**
 * Fails for the first path that cannot be read, before any work begins: nobody wants to learn after an hour of publishing
 * that the second file was misspelt.
 * @throws RingfenceError `file.not-found`, `file.unreadable`
 */
export async function checkReadable(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (path === '-') continue;
    try {
      await access(path, constants.R_OK);
      if ((await stat(path)).isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' });
    } catch (error) {
      throw fileError(path, error);
    }
  }
}

/** The bytes of a file without compression and byte order mark. */
async function* contentOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  const input: Readable = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: BLOCK_BYTES });
  const blocks = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    let head: Buffer = Buffer.alloc(0);
    let ended = false;
    // A pipe may give one byte at a time; three are needed to know what this is.
    while (head.length < BYTE_ORDER_MARK.length && !ended) {
      const block = await blocks.next();
      if (block.done) ended = true;
      else head = head.length === 0 ? block.value : Buffer.concat([head, block.value]);
    }
    const rest = async function* (): AsyncGenerator<Buffer, void, undefined> {
      yield head;
      while (!ended) {
        const block = await blocks.next();
        if (block.done) return;
        yield block.value;
      }
    };
    if (head.subarray(0, 2).equals(GZIP_MAGIC)) {
      const gunzip = createGunzip({ chunkSize: BLOCK_BYTES });
      // Errors surface through the iteration of `gunzip`; the callback keeps them from being thrown a second time.
      pipeline(Readable.from(rest(), { objectMode: false }), gunzip, () => undefined);
      yield* withoutMark(gunzip as AsyncIterable<Buffer>);
    } else {
      yield* withoutMark(rest());
    }
  } catch (error) {
    throw fileError(path, error);
  } finally {
    input.destroy();
  }
}

async function* withoutMark(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let first = true;
  for await (const block of blocks) {
    yield first && block.subarray(0, 3).equals(BYTE_ORDER_MARK) ? block.subarray(3) : block;
    first = false;
  }
}

function fileError(path: string, error: unknown): RingfenceError {
  const { code, message } = error as NodeJS.ErrnoException;
  const name = path === '-' ? 'standard input' : path;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new RingfenceError({
      code: 'file.not-found',
      message: `There is no file ${name}.`,
      hint: 'Check the path; a relative one starts at the current folder.',
      cause: error,
    });
  }
  const damaged = code?.startsWith('Z_') === true;
  return new RingfenceError({
    code: 'file.unreadable',
    message: damaged ? `${name} is a damaged gzip file: ${message}.` : `${name} cannot be read: ${message}.`,
    hint: damaged ? 'Copy or pack the file again.' : 'Check that it is a file and that you may read it.',
    cause: error,
  });
}
