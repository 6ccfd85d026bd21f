import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Arena, createArena, PAGE_UNITS, SIZE_CLASSES } from '../src/state/arena.ts';
import { loadCheckpoint, type Position } from '../src/state/checkpoint.ts';
import { startCheckpointThread } from '../src/state/checkpoint-thread.ts';
import { createNames } from '../src/state/key-table.ts';

const folder = await mkdtemp(join(tmpdir(), 'ringfence-checkpoint-thread-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const position: Position = { stream: 'USAGE', streamCreated: '2026-03-02T10:00:00Z', sequence: 7 };
const put = (arena: Arena, address: number, value: number): void => {
  arena.beforeWrite(address);
  const unit = address % PAGE_UNITS;
  arena.f64(Math.floor(address / PAGE_UNITS)).fill(value, unit + 2, unit + arena.sizeOf(address));
};
const thread = () => {
  const started = startCheckpointThread();
  onTestFinished(() => started.close());
  return started;
};

describe('checkpoint thread', () => {
  test('writes the state of the cut while every block is written to, freed and made anew', {
    timeout: 60_000,
  }, async () => {
    const arena = createArena();
    // About 40 MiB, blocks of all sizes.
    const sizes = [10, 100, 400, 700, 5_000];
    const addresses = Array.from({ length: 4_000 }, (_, n) => arena.allocate(sizes[n % sizes.length]!));
    const names = createNames();
    for (let n = 0; n < 25_000; n++) names.numberOf(`cell-${n}`);
    const writer = thread();
    let round = 1;
    let kept = 0;
    for (const generation of [1, 2, 3]) {
      for (const [index, address] of addresses.entries()) put(arena, address, round * 10_000 + index);
      const expected = new Map(addresses.map((address, index) => [address, round * 10_000 + index]));
      const cut = arena.cut();
      const saved = names.snapshot();
      let writing = true;
      const content = {
        meta: { generation },
        names: saved,
        duplicates: [new Uint8Array(3_000_000).fill(generation)],
        arena: cut,
      };
      // At leisure, hurried on the way, and in a hurry from the begin.
      const hurry = new AbortController();
      if (generation === 3) hurry.abort();
      const written = writer.write(join(folder, 'busy'), position, content, hurry.signal).finally(() => {
        writing = false;
      });
      // From both ends, so that the two threads meet in the middle.
      for (let turn = 0; writing; turn++) {
        for (let step = 0; step < 40; step++) {
          const index = (addresses.length - 1 - turn * 40 - step) % addresses.length;
          const at = index < 0 ? index + addresses.length : index;
          put(arena, addresses[at]!, -1);
          if (step % 10 === 0) {
            const size = arena.sizeOf(addresses[at]!);
            arena.free(addresses[at]!);
            addresses[at] = arena.allocate(size);
          }
        }
        names.numberOf(`late-${generation}-${turn}`);
        if (generation === 2 && turn === 3) hurry.abort();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await written).toMatchObject({ number: generation });
      kept += cut.keptBytes();
      cut.release();

      const { checkpoint, rejected } = await loadCheckpoint<{ generation: number }>(join(folder, 'busy'));
      expect(rejected).toEqual([]);
      expect(checkpoint).toMatchObject({ number: generation, position, meta: { generation } });
      expect(checkpoint!.names).toHaveLength(saved.length);
      expect(checkpoint!.names.slice(0, 25_000)).toEqual(Array.from({ length: 25_000 }, (_, n) => `=cell-${n}`));
      expect(checkpoint!.duplicates[0]!.every((byte) => byte === generation)).toBe(true);
      const pages = checkpoint!.pages.map(({ sizeClass, bytes }) => {
        const copy = new Uint8Array(bytes);
        return { size: SIZE_CLASSES[sizeClass]!, units: new Float64Array(copy.buffer) };
      });
      for (const [address, value] of expected) {
        const { size, units } = pages[Math.floor(address / PAGE_UNITS)]!;
        const unit = address % PAGE_UNITS;
        if (!units.subarray(unit + 2, unit + size).every((found) => found === value))
          expect.fail(`the block at ${address} is not as it was at the cut`);
      }
      round++;
    }
    expect(kept).toBeGreaterThan(0);
  });

  test('says what is wrong with the disk, and writes again when it is right', async () => {
    const arena = createArena();
    const writer = thread();
    const content = () => ({ meta: 1, names: createNames().snapshot(), duplicates: [], arena: arena.cut() });
    const refused = content();
    await writeFile(join(folder, 'file'), 'no folder');
    await expect(writer.write(join(folder, 'file', 'below'), position, refused)).rejects.toThrow('ENOTDIR');
    refused.arena.release();
    const taken = content();
    expect(await writer.write(join(folder, 'again'), position, taken)).toMatchObject({ number: 1 });
    taken.arena.release();
  });

  test('a thread that has ended says so instead of leaving a checkpoint waiting', async () => {
    const writer = startCheckpointThread();
    await writer.close();
    const cut = createArena().cut();
    const content = { meta: 1, names: createNames().snapshot(), duplicates: [], arena: cut };
    await expect(writer.write(join(folder, 'closed'), position, content)).rejects.toThrow('ended');
  });
});
