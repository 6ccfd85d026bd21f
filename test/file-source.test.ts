import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { RingfenceError } from '../src/errors.ts';
import { checkReadable, LINE_BYTES_MAX, readLines } from '../src/source/file.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-file-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function fileOf(content: string | Uint8Array, ending = '.ndjson'): string {
  const path = join(folder, `${files++}${ending}`);
  writeFileSync(path, content);
  return path;
}

interface Line {
  number: number;
  text: string;
  cutFromBytes: number;
}

async function linesOf(path: string): Promise<Line[]> {
  const read: Line[] = [];
  for await (const { firstLine, lines, cutFromBytes } of readLines(path)) {
    for (const [position, line] of lines.entries()) {
      read.push({ number: firstLine + position, text: line.toString(), cutFromBytes });
    }
  }
  return read;
}

/** Lines as a text editor counts them: what is behind the last line feed is a line only if there is something. */
function expected(content: string): Line[] {
  const parts = content.split('\n');
  if (parts.at(-1) === '') parts.pop();
  return parts.map((text, position) => ({
    number: position + 1,
    text: [...Buffer.from(text)].every((byte) => byte <= 32) ? '' : text,
    cutFromBytes: 0,
  }));
}

describe('readLines', () => {
  test('gives any text back line by line, plain and gzipped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme', maxLength: 30 }), { maxLength: 20 }), async (parts) => {
        const content = parts.join('\n').replaceAll('\uFEFF', '');
        expect(await linesOf(fileOf(content))).toEqual(expected(content));
        expect(await linesOf(fileOf(gzipSync(content)))).toEqual(expected(content));
      }),
      { numRuns: 50 },
    );
  });

  test('numbers lines across the borders of blocks', async () => {
    const content = Array.from({ length: 30_000 }, (_, line) => `${line} ${'x'.repeat((line * 7919) % 211)}`).join(
      '\n',
    );
    expect(content.length).toBeGreaterThan(3 << 20);
    for (const path of [fileOf(content), fileOf(gzipSync(content))]) {
      const read = await linesOf(path);
      expect(read).toHaveLength(30_000);
      expect(read.filter(({ number, text }) => !text.startsWith(`${number - 1} `))).toEqual([]);
      expect(read.map(({ text }) => text).join('\n')).toBe(content);
    }
  });

  test.each([
    ['an empty file', '', []],
    ['one line without an end', 'a', ['a']],
    ['empty lines in between', 'a\n\n\nb\n', ['a', '', '', 'b']],
    ['lines of white space alone', 'a\r\n\r\n \t\nb\r\n ', ['a\r', '', '', 'b\r', '']],
    ['Windows line ends, which stay', 'a\r\nb\r\n', ['a\r', 'b\r']],
    ['a byte order mark, which goes', '\uFEFFa\nb', ['a', 'b']],
    ['a byte order mark in the middle, which stays', 'a\n\uFEFFb', ['a', '\uFEFFb']],
  ])('reads %s', async (_, content, texts) => {
    for (const path of [fileOf(content), fileOf(gzipSync(content))]) {
      expect((await linesOf(path)).map(({ text }) => text)).toEqual(texts);
    }
  });

  test.each([
    ['that just fits', LINE_BYTES_MAX, 0],
    ['one byte too long', LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 1],
    ['of several blocks', 5 * LINE_BYTES_MAX + 17, 5 * LINE_BYTES_MAX + 17],
  ])('a line %s', async (_, bytes, cutFromBytes) => {
    const long = { length: LINE_BYTES_MAX < bytes ? LINE_BYTES_MAX : bytes, cutFromBytes };
    const shape = (lines: Line[]) => lines.map(({ number, text, cutFromBytes }) => [number, text.length, cutFromBytes]);
    for (const ending of ['\n', '']) {
      const inside = fileOf(`before\n${'y'.repeat(bytes)}\nafter${ending}`);
      expect(shape(await linesOf(inside))).toEqual([
        [1, 6, 0],
        [2, long.length, cutFromBytes],
        [3, 5, 0],
      ]);
      const last = fileOf(`before\n${'y'.repeat(bytes)}${ending}`);
      expect(shape(await linesOf(last))).toEqual([
        [1, 6, 0],
        [2, long.length, cutFromBytes],
      ]);
    }
  });

  test('a line without end does not fill the memory', async () => {
    const path = fileOf(gzipSync(Buffer.alloc(200 << 20, 'z')));
    const before = process.memoryUsage().heapUsed;
    const [line, ...others] = await linesOf(path);
    expect(others).toEqual([]);
    expect(line.text).toHaveLength(LINE_BYTES_MAX);
    expect(line.cutFromBytes).toBe(200 << 20);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 << 20);
  });

  test.each([
    ['plain', (content: string): string | Uint8Array => content],
    ['gzipped', (content: string): string | Uint8Array => gzipSync(content)],
  ])('reads standard input, %s', (_, pack) => {
    const program = `
      import { readLines } from ${JSON.stringify(new URL('../src/source/file.ts', import.meta.url).href)};
      for await (const { firstLine, lines } of readLines('-')) {
        lines.forEach((line, position) => console.log(firstLine + position, line.toString()));
      }`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { input: pack('a\nb\nc') });
    expect(output.toString()).toBe('1 a\n2 b\n3 c\n');
  });

  test('a reader may stop early', async () => {
    for await (const { lines } of readLines(fileOf(gzipSync('a\n'.repeat(1_000_000))))) {
      expect(lines.length).toBeGreaterThan(0);
      break;
    }
  });
});

describe('files that cannot be read', () => {
  const archive = gzipSync('{"a":1}\n'.repeat(100_000));
  mkdirSync(join(folder, 'folder'));

  test.each([
    ['a missing file', join(folder, 'missing.ndjson'), 'file.not-found', 'There is no file'],
    ['a folder', join(folder, 'folder'), 'file.unreadable', 'cannot be read'],
    ['half an archive', fileOf(archive.subarray(0, archive.length / 2)), 'file.unreadable', 'damaged gzip file'],
    ['an archive with a wrong bit', fileOf(flipped(archive)), 'file.unreadable', 'damaged gzip file'],
  ])('%s is an error with a sentence and exit code 3', async (_, path, code, sentence) => {
    const error = await linesOf(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RingfenceError);
    expect(error).toMatchObject({ code, exitCode: 3, message: expect.stringContaining(sentence) });
    expect((error as RingfenceError).message).toContain(path);
  });

  test('are found before work begins', async () => {
    const good = fileOf('a');
    await checkReadable([good, '-']);
    for (const bad of ['missing.ndjson', 'folder']) {
      await expect(checkReadable([good, join(folder, bad)])).rejects.toMatchObject({ exitCode: 3 });
    }
  });

  function flipped(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    copy[copy.length >> 1] ^= 0x55;
    return copy;
  }
});
