import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { createArena, PAGE_UNITS } from '../src/state/arena.ts';
import {
  CHECKPOINT_FORMAT,
  type CheckpointContent,
  type Disk,
  type DiskFile,
  GENERATIONS_KEPT,
  loadCheckpoint,
  OLDEST_FORMAT,
  type Position,
  writeCheckpoint,
} from '../src/state/checkpoint.ts';

const folder = await mkdtemp(join(tmpdir(), 'ringfence-checkpoint-'));
afterAll(() => rm(folder, { recursive: true, force: true }));
let folders = 0;
const freshFolder = (): string => join(folder, String(folders++));

const position = (sequence: number): Position => ({ stream: 'USAGE', streamCreated: '2026-03-02T10:00:00Z', sequence });

interface Meta {
  note: string;
  watermark: number | null;
}

/** A small state whose parts are all there: names, duplicates of which one is empty, pages of two sizes. */
function contentOf(note: string): CheckpointContent<Meta> & { arena: { release(): void } } {
  const arena = createArena();
  for (let n = 1; n <= 40; n++) {
    const address = arena.allocate(n % 2 === 0 ? 10 : 28);
    const page = Math.floor(address / PAGE_UNITS);
    arena.f64(page).fill(n, address % PAGE_UNITS, (address % PAGE_UNITS) + 10);
  }
  return {
    meta: { note, watermark: null },
    names: ['A-1', '账户', '\u0000', note],
    duplicates: [new Uint8Array([1, 2, 3]), new Uint8Array(0), new Uint8Array(Buffer.from(note)), new Uint8Array(9)],
    arena: arena.cut(),
  };
}

const fileOf = async (directory: string, number: number): Promise<string> =>
  join(directory, (await readdir(directory)).find((file) => Number(file.slice(-9)) === number)!);

describe('checkpoint', () => {
  test('comes back as it was written', async () => {
    const directory = freshFolder();
    const content = contentOf('first');
    // A page can be taken once, so what is expected comes from a second state of the same kind.
    const again = contentOf('first');
    const expected = Array.from({ length: again.arena.pages }, (_, page) => {
      const bytes = new Uint8Array(PAGE_UNITS * 8);
      return { ...again.arena.take(page, bytes), bytes };
    });
    await writeCheckpoint(directory, position(42), content);
    const { checkpoint, rejected } = await loadCheckpoint<Meta>(directory);
    expect(rejected).toEqual([]);
    expect(checkpoint).toMatchObject({ number: 1, position: position(42), meta: content.meta, names: content.names });
    expect(checkpoint!.duplicates.map((part) => [...part])).toEqual(content.duplicates.map((part) => [...part]));
    for (const [index, { sizeClass, used, bytes }] of expected.entries()) {
      const page = checkpoint!.pages[index]!;
      expect([page.sizeClass, page.used]).toEqual([sizeClass, used]);
      expect(Buffer.compare(page.bytes, bytes.subarray(0, page.bytes.length))).toBe(0);
      expect(bytes.subarray(page.bytes.length).every((byte) => byte === 0)).toBe(true);
    }
  });

  test('names and ids beyond one section come back in order', async () => {
    const directory = freshFolder();
    const names = Array.from({ length: 120_001 }, (_, n) => `account/${n}`);
    const ids = new Uint8Array(9_000_001).map((_, index) => (index * 31) >> 7);
    await writeCheckpoint(directory, position(1), {
      ...contentOf('large'),
      names,
      duplicates: [ids, new Uint8Array(4), ids, new Uint8Array(0)],
    });
    const { checkpoint } = await loadCheckpoint(directory);
    expect(checkpoint!.names).toEqual(names);
    expect(checkpoint!.duplicates.map((part) => part.length)).toEqual([9_000_001, 4, 9_000_001, 0]);
    expect(Buffer.compare(checkpoint!.duplicates[2]!, ids)).toBe(0);
  });

  test(`${GENERATIONS_KEPT} generations are kept, the newest one is loaded, and foreign files are left alone`, async () => {
    const directory = freshFolder();
    await mkdir(directory);
    await writeFile(join(directory, 'notes.txt'), 'mine');
    for (let n = 1; n <= 5; n++) {
      expect((await writeCheckpoint(directory, position(n), contentOf(`n${n}`))).number).toBe(n);
    }
    expect((await readdir(directory)).sort()).toEqual([
      'checkpoint-000000003',
      'checkpoint-000000004',
      'checkpoint-000000005',
      'notes.txt',
    ]);
    expect((await loadCheckpoint(directory)).checkpoint!.position.sequence).toBe(5);
  });

  test('without a folder, or with an empty one, there is none', async () => {
    const directory = freshFolder();
    expect(await loadCheckpoint(directory)).toEqual({ checkpoint: undefined, rejected: [] });
    await mkdir(directory);
    expect(await loadCheckpoint(directory)).toEqual({ checkpoint: undefined, rejected: [] });
  });

  test('what a crash left half written is no generation, and does not stand in the way', async () => {
    const directory = freshFolder();
    await writeCheckpoint(directory, position(1), contentOf('one'));
    await writeFile(join(directory, 'checkpoint-000000002.7-1.writing'), 'RINGFENC');
    expect((await loadCheckpoint(directory)).checkpoint!.number).toBe(1);
    expect((await writeCheckpoint(directory, position(2), contentOf('two'))).number).toBe(2);
    expect((await loadCheckpoint<Meta>(directory)).checkpoint!.meta.note).toBe('two');
    expect((await readdir(directory)).sort()).toEqual(['checkpoint-000000001', 'checkpoint-000000002']);
  });

  test('who was frozen while it wrote one does not touch that of who took its place', async () => {
    const directory = freshFolder();
    await writeCheckpoint(directory, position(1), contentOf('one'));
    const [frozen, thawed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const zombie: Disk = {
      ...{ writer: 'zombie', mkdir, readdir, rename, rm },
      async open(path, flags) {
        const file = await open(path, flags);
        const sync = file.sync.bind(file);
        file.sync = async () => {
          frozen.resolve();
          await thawed.promise;
          return sync();
        };
        return file;
      },
    };
    const late = writeCheckpoint(directory, position(2), contentOf('late'), zombie);
    await frozen.promise;
    expect((await writeCheckpoint(directory, position(3), contentOf('owner'))).number).toBe(2);
    thawed.resolve();
    await expect(late).rejects.toThrow('ENOENT');
    const { checkpoint, rejected } = await loadCheckpoint<Meta>(directory);
    expect([checkpoint!.number, checkpoint!.meta.note, rejected]).toEqual([2, 'owner', []]);
  });
});

describe('a damaged checkpoint', () => {
  const damaged = async () => {
    const directory = freshFolder();
    await writeCheckpoint(directory, position(1), contentOf('older'));
    await writeCheckpoint(directory, position(2), contentOf('newer'));
    const path = await fileOf(directory, 2);
    return { directory, path, bytes: await readFile(path) };
  };
  const expectOlder = async (directory: string): Promise<void> => {
    const { checkpoint, rejected } = await loadCheckpoint<Meta>(directory);
    expect(checkpoint).toMatchObject({ number: 1, meta: { note: 'older' }, position: position(1) });
    expect(rejected).toEqual([{ number: 2, reason: expect.stringMatching(/^(it is|it cannot|a checksum|sections)/) }]);
  };

  test('is passed over, whichever bit has flipped', async () => {
    const { directory, path, bytes } = await damaged();
    const where = fc.oneof(
      // The head, the first sections, and anywhere.
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: bytes.length - 1 }),
      fc.integer({ min: bytes.length - 16, max: bytes.length - 1 }),
    );
    await fc.assert(
      fc.asyncProperty(where, fc.integer({ min: 0, max: 7 }), async (at, bit) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 1 << bit;
        await writeFile(path, changed);
        await expectOlder(directory);
      }),
      { numRuns: 250 },
    );
    for (let at = 0; at < 16 * 8; at++) {
      const changed = Buffer.from(bytes);
      changed[at >> 3]! ^= 1 << (at & 7);
      await writeFile(path, changed);
      await expectOlder(directory);
    }
  });

  test('is passed over, wherever it was cut', async () => {
    const { directory, path, bytes } = await damaged();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0, max: bytes.length - 1 })),
        async (length) => {
          await writeFile(path, bytes.subarray(0, length));
          await expectOlder(directory);
        },
      ),
      { numRuns: 120 },
    );
  });

  test('is passed over where a stretch was lost, doubled, or filled with zeros', async () => {
    const { directory, path, bytes } = await damaged();
    const at = fc.integer({ min: 0, max: bytes.length - 1 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('lost', 'doubled', 'zeros'),
        at,
        fc.integer({ min: 1, max: 4_096 }),
        async (how, from, length) => {
          const to = Math.min(bytes.length, from + length);
          const middle =
            how === 'lost'
              ? []
              : how === 'doubled'
                ? [bytes.subarray(from, to), bytes.subarray(from, to)]
                : [Buffer.alloc(to - from)];
          const changed = Buffer.concat([bytes.subarray(0, from), ...middle, bytes.subarray(to)]);
          // What stands behind the end is not read.
          fc.pre(!changed.subarray(0, bytes.length).equals(bytes));
          await writeFile(path, changed);
          await expectOlder(directory);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('is passed over where whole sections are missing, although every checksum is right', async () => {
    const { directory, path, bytes } = await damaged();
    const sections: [from: number, to: number][] = [];
    for (let at = 16; at < bytes.length; ) {
      const to = at + 12 + bytes.readUInt32LE(at + 4);
      sections.push([at, to]);
      at = to;
    }
    expect(sections.length).toBeGreaterThan(6);
    for (const [from, to] of sections) {
      await writeFile(path, Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]));
      await expectOlder(directory);
    }
  });

  test('is passed over where it is another file altogether', async () => {
    const { directory, path } = await damaged();
    for (const text of ['', 'RINGFENC', 'a picture of a cat, long enough to be read as a head and a first section']) {
      await writeFile(path, text);
      await expectOlder(directory);
    }
  });

  test('leaves none where every generation is damaged, and says so of each', async () => {
    const { directory } = await damaged();
    for (const number of [1, 2]) await writeFile(await fileOf(directory, number), 'x');
    const { checkpoint, rejected } = await loadCheckpoint(directory);
    expect(checkpoint).toBeUndefined();
    expect(rejected.map(({ number }) => number)).toEqual([2, 1]);
  });

  test('of a form that no release has written is passed over and named', async () => {
    const { directory, path, bytes } = await damaged();
    const older = Buffer.from(bytes);
    older.writeUInt32LE(OLDEST_FORMAT - 1, 8);
    older.writeUInt32LE(crc32(older.subarray(0, 12)) >>> 0, 12);
    await writeFile(path, older);
    const { checkpoint, rejected } = await loadCheckpoint(directory);
    expect(checkpoint!.number).toBe(1);
    expect(rejected).toEqual([{ number: 2, reason: 'its format is older than any that was released' }]);
  });

  test('is passed over where the disk cannot give it back', async () => {
    const { directory, path, bytes } = await damaged();
    for (const [code, at] of [
      ['EIO', 0],
      ['EIO', bytes.length - 100],
      ['EBADMSG', 2_000],
    ] as const) {
      const disk: Disk = {
        ...{ writer: 'test', mkdir, readdir, rename, rm },
        async open(name, flags) {
          const file = await open(name, flags);
          const read = file.read.bind(file) as DiskFile['read'];
          const failing: DiskFile['read'] = async (into, offset, length, position) => {
            if (name === path && position <= at && at < position + length)
              throw Object.assign(new Error(`${code}: read`), { code, syscall: 'read' });
            return read(into, offset, length, position);
          };
          return Object.assign(file, { read: failing });
        },
      };
      const { checkpoint, rejected } = await loadCheckpoint<Meta>(directory, undefined, undefined, disk);
      expect(checkpoint).toMatchObject({ number: 1, meta: { note: 'older' } });
      expect(rejected).toEqual([{ number: 2, reason: `it cannot be read (${code})` }]);
    }
    await rm(path);
    await mkdir(path);
    await expectOlder(directory);
  });

  test('of a newer program is refused by name, not passed over', async () => {
    const { directory, path, bytes } = await damaged();
    const newer = Buffer.from(bytes);
    newer.writeUInt32LE(CHECKPOINT_FORMAT + 1, 8);
    newer.writeUInt32LE(crc32(newer.subarray(0, 12)) >>> 0, 12);
    await writeFile(path, newer);
    await expect(loadCheckpoint(directory)).rejects.toMatchObject({ code: 'checkpoint.newer-format', exitCode: 3 });
  });
});
