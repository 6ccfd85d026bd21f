import { afterEach, expect, it } from 'vitest';
import { PLAIN_MEMORY } from '../src/state/arena.ts';
import { type PreparedMemory, startMemoryThread } from '../src/state/memory-thread.ts';

const MIB = 1024 * 1024;
let memory: PreparedMemory | undefined;
afterEach(() => memory?.close());

it.each([
  ['as the system gives it', () => PLAIN_MEMORY],
  ['of the thread, before it has made any', () => (memory = startMemoryThread())],
])('memory %s is zeroed and of the size that was asked for', (_, start) => {
  const given = start();
  given.prepare(MIB, 2);
  const taken = given.take(MIB);
  expect(taken.byteLength).toBe(MIB);
  expect(new Float64Array(taken).every((unit) => unit === 0)).toBe(true);
});

it('hands out what the thread has made, each piece once, and no more is made than was wanted', async () => {
  memory = startMemoryThread();
  memory.prepare(MIB, 3);
  // Asking again while the first order is under way asks for nothing more.
  memory.prepare(MIB, 3);
  await expect.poll(() => memory!.ready(MIB)).toBe(3);
  const taken = [1, 2, 3].map(() => memory!.take(MIB));
  expect(new Set(taken).size).toBe(3);
  expect(memory.ready(MIB)).toBe(0);
  memory.prepare(MIB, 1);
  memory.prepare(4 * MIB, 1);
  await expect.poll(() => [memory!.ready(MIB), memory!.ready(4 * MIB)]).toEqual([1, 1]);
});
