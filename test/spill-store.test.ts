/**
 * The store of spilled keys together with the checkpoints: whatever is lost of them, and whenever the process dies, state and
 * spilled keys are those of one cut. Real files; a process that dies is a store and an engine that nobody asks any more.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { createEngine, type Engine, type EngineMeta } from '../src/engine.ts';
import { between, createRandom, pick, type Random } from '../src/feed/random.ts';
import type { UsageRecord } from '../src/record/usage-record.ts';
import { parseLists } from '../src/reference/lists.ts';
import type { Rule, RuleSource } from '../src/rules/rule.ts';
import { GENERATIONS_KEPT, loadCheckpoint, writeCheckpoint } from '../src/state/checkpoint.ts';
import { realDisk, type SpillDisk } from '../src/state/spill-disk.ts';
import { openSpillStore, type SpilledLabels, type SpillStore } from '../src/state/spill-store.ts';
import { DRAWN_SEED, drawnCase } from './drawn-case.ts';
import { CELL_LIST } from './oracle-patterns.ts';
import { MINUTE_MS, numberingPlan, recordAt, sourceOf, utc } from './rule-engine.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-spill-store-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;
const freshFolder = (): string => join(folder, String(folders++));
const { lists } = parseLists([CELL_LIST]);
/** A few blocks fill a segment. */
const SEGMENT_BYTES = 32_768;
/** Silence after the last record, in which much is due. */
const SILENCE_MS = 12 * 60 * MINUTE_MS;

interface World {
  sources: RuleSource[];
  records: UsageRecord[];
  latenessMs: number;
}

/** More subscribers than memory has room for; some share an account. */
function drawWorld(seed: number): World {
  const [drawn] = fc.sample(drawnCase, { seed, numRuns: 1 });
  const random = createRandom(seed);
  let at = 0;
  const records = Array.from({ length: 150 }, () => {
    const { record, jump } = pick(random, drawn!.stream);
    at += Math.min(jump, 60 * MINUTE_MS);
    const who = between(random, 1, 20);
    return recordAt(at, {
      ...record,
      servedMsisdn: `86139${String(who).padStart(7, '0')}`,
      servedImsi: random() < 0.8 ? `46000${String(who).padStart(10, '0')}` : '',
    });
  });
  const rules: Rule[] = drawn!.rules;
  return { sources: rules.map(sourceOf), records, latenessMs: drawn!.latenessMin * MINUTE_MS };
}

const shown = (alerts: readonly AlertData[]): string[] => alerts.map((alert) => JSON.stringify(alert));

/** Alerts of each record, without limits and without deaths; in the end what a tick makes. */
function undisturbed({ sources, records, latenessMs }: World): string[][] {
  const engine = createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords: 1_024 });
  expect(engine.useRules(sources, 'test', [], lists)).toEqual([]);
  return [...records, undefined].map((record) => {
    const alerts: AlertData[] = [];
    if (record === undefined) engine.tick(records.at(-1)!.eventTime + SILENCE_MS, alerts);
    else engine.apply(record, alerts);
    return shown(alerts);
  });
}

interface Started {
  engine: Engine;
  store: SpillStore;
  /** Records that are in the state. */
  from: number;
  generation: number;
  rejected: string[];
}

async function start(directory: string, { sources, latenessMs }: World, blocksMax: number): Promise<Started> {
  const store = openSpillStore(directory, { segmentBytes: SEGMENT_BYTES });
  const spill = { store, blocksMax, bytesMax: Number.POSITIVE_INFINITY };
  const engine = createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords: 1_024, spill });
  let labels: SpilledLabels | undefined;
  const { checkpoint, rejected } = await loadCheckpoint<EngineMeta>(directory, engine.pageMemory, async (_, meta) => {
    labels = undefined;
    const loaded = await store.load(meta.spilled ?? { segments: [] });
    if ('damage' in loaded) return loaded.damage;
    labels = loaded.labels;
    return undefined;
  });
  const reasons = rejected.map(({ reason }) => reason);
  if (checkpoint === undefined) {
    await store.load({ segments: [] });
    expect(engine.useRules(sources, 'test', [], lists)).toEqual([]);
    return { engine, store, from: 0, generation: 0, rejected: reasons };
  }
  const { meta, names, duplicates, position, number } = checkpoint;
  expect(engine.restore(meta, sources, names, duplicates, labels)).toEqual([]);
  return { engine, store, from: position.sequence, generation: number, rejected: reasons };
}

/** Writes a checkpoint as the pipeline does; `until` says after which step the process dies. */
const STEPS = ['cut', 'flushed', 'written', 'stored', 'tidied'] as const;
async function checkpoint({ engine, store }: Started, directory: string, sequence: number, until = 'tidied') {
  const cut = engine.cut();
  try {
    if (until === 'cut') return;
    await store.flush();
    if (until === 'flushed') return;
    await writeCheckpoint(directory, { stream: 'USAGE', streamCreated: 'then', sequence }, cut);
    if (until === 'written') return;
  } finally {
    cut.release();
  }
  await store.stored(cut.meta.spilled ?? { segments: [] });
  if (until !== 'stored') await store.tidy(engine.spilledMoved);
}

/** Applies some batches and writes some checkpoints, then dies; at the end of the stream it lives on. Checks every alert. */
async function live(started: Started, directory: string, world: World, expected: string[][], random: Random) {
  const { engine, store } = started;
  const { records } = world;
  const dying = between(random, 1, 12);
  let at = started.from;
  for (let batch = 0; at < records.length; batch++) {
    const ahead = records.slice(at, at + between(random, 1, 6));
    if (random() < 0.8) await store.fetch(engine.spilledOf(ahead));
    for (const record of ahead) {
      const alerts: AlertData[] = [];
      engine.apply(record, alerts);
      expect(shown(alerts), `record ${at}`).toEqual(expected[at]);
      at++;
    }
    while (engine.makeRoom());
    if (random() < 0.3) await checkpoint(started, directory, at);
    if (batch === dying) {
      if (random() < 0.5) await checkpoint(started, directory, at, pick(random, STEPS));
      return;
    }
  }
  const alerts: AlertData[] = [];
  engine.tick(records.at(-1)!.eventTime + SILENCE_MS, alerts);
  expect(shown(alerts)).toEqual(expected.at(-1));
}

const segmentsIn = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith('spill-'));

/** What the disk does to a file while nobody looks. */
function damage(path: string, random: Random): string {
  const kind = pick(random, ['flipped', 'cut', 'gone'] as const);
  const bytes = readFileSync(path);
  if (kind === 'gone' || bytes.length === 0) rmSync(path);
  else if (kind === 'cut') truncateSync(path, between(random, 0, bytes.length - 1));
  else {
    bytes[between(random, 0, bytes.length - 1)]! ^= 1 << between(random, 0, 7);
    writeFileSync(path, bytes);
  }
  return kind;
}

describe('a process that dies', () => {
  test('finds the spilled keys of the checkpoint that it begins with', { timeout: 240_000 }, async () => {
    let deaths = 0;
    let restored = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const random = createRandom(seed * 7 + DRAWN_SEED);
      const world = drawWorld(seed);
      const expected = undisturbed(world);
      const directory = freshFolder();
      const blocksMax = between(random, 0, 6);
      for (let life = 0; ; life++) {
        const started = await start(directory, world, blocksMax);
        expect(started.rejected).toEqual([]);
        if (started.engine.spilled() > 0) restored++;
        if (started.from >= world.records.length || life > 60) break;
        await live(started, directory, world, expected, random);
        await started.store.close();
        deaths++;
      }
    }
    expect(deaths).toBeGreaterThan(40);
    expect(restored).toBeGreaterThan(20);
  });

  test('begins with an older checkpoint, or from nothing, where segments are damaged', {
    timeout: 240_000,
  }, async () => {
    const begun: Record<string, number> = { newest: 0, older: 0, nothing: 0 };
    for (let seed = 1; seed <= 12; seed++) {
      const random = createRandom(seed * 11 + DRAWN_SEED);
      const world = drawWorld(seed);
      const expected = undisturbed(world);
      const directory = freshFolder();
      let started = await start(directory, world, 3);
      for (let at = 0; at < 100; at++) {
        started.engine.apply(world.records[at]!, []);
        while (started.engine.makeRoom());
        if (at % 12 === 11) await checkpoint(started, directory, at + 1);
      }
      await started.store.close();
      for (let hits = between(random, 1, 2); hits > 0; hits--) {
        const segments = segmentsIn(directory);
        if (segments.length > 0) damage(join(directory, pick(random, segments)), random);
      }
      started = await start(directory, world, 3);
      for (const reason of started.rejected) expect(reason).toMatch(/^segment \d+ of the spilled keys: /);
      begun[started.from === 96 ? 'newest' : started.from > 0 ? 'older' : 'nothing']!++;
      while (started.from < world.records.length) {
        await live(started, directory, world, expected, random);
        await started.store.close();
        started = await start(directory, world, 3);
      }
      await started.store.close();
    }
    for (const count of Object.values(begun)) expect(count, JSON.stringify(begun)).toBeGreaterThan(0);
  });
});

describe('the store', () => {
  const label = Float64Array.of(0, 1, 2);
  const block = (length: number, value: number): Float64Array => new Float64Array(length).fill(value);

  test('gives back what it took, written or not, long or short', async () => {
    const store = openSpillStore(freshFolder());
    const lengths = [8, 131_072, 8, 1_000, 70_000, 131_072, 9];
    const references = lengths.map((length, n) => store.put(label, label.length, block(length, n), 0, length));
    const expectBack = (n: number): void => {
      const image = store.take(references[n]!);
      expect([image.length, image[0], image.at(-1)]).toEqual([lengths[n], n, n]);
    };
    for (const n of [0, 5]) expectBack(n);
    await store.flush();
    await store.fetch([references[1]!, references[3]!]);
    for (const n of [1, 3, 2, 4, 6]) expectBack(n);
    expect(store.stats()).toMatchObject({
      blocks: 0,
      bytes: 0,
      chunksWaiting: 1,
      spilled: 7,
      // A long one is not read ahead.
      returned: { unwritten: 3, ahead: 1, within: 3 },
    });
    await store.close();
  });

  test('notices damage when a block comes back', async () => {
    const directory = freshFolder();
    const store = openSpillStore(directory, { segmentBytes: 4_096 });
    const references = [1, 2, 3].map((n) => store.put(label, label.length, block(300, n), 0, 300));
    await store.flush();
    const [first] = segmentsIn(directory);
    const bytes = readFileSync(join(directory, first!));
    bytes[100]! ^= 1;
    writeFileSync(join(directory, first!), bytes);
    await store.flush();
    store.put(label, label.length, block(8, 9), 0, 8);
    expect(() => store.take(references[0]!)).toThrow(expect.objectContaining({ code: 'spill.damaged' }));
    await store.close();
  });

  test('takes what the disk cannot give back for damage: when a block comes back, when it is read ahead, and at a start', async () => {
    const directory = freshFolder();
    let isBroken = false;
    const orFail = <Result>(result: Result): Result => {
      if (isBroken) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
      return result;
    };
    const disk: SpillDisk = {
      ...realDisk,
      readSync: (...read) => orFail(realDisk.readSync(...read)),
      read: async (...read) => orFail(await realDisk.read(...read)),
    };
    const store = openSpillStore(directory, { disk, segmentBytes: 2_048 });
    const references = [1, 2, 3].map((n) => store.put(label, label.length, block(300, n), 0, 300));
    await store.flush();
    // Entries wait in memory until the next segment is begun.
    store.put(label, label.length, block(8, 9), 0, 8);
    const cut = store.cut();
    isBroken = true;
    const damaged = expect.objectContaining({ code: 'spill.damaged', message: expect.stringContaining('EIO') });
    expect(() => store.take(references[0]!)).toThrow(damaged);
    await expect(store.fetch(references)).rejects.toEqual(damaged);
    await store.close();
    const next = openSpillStore(directory, { disk });
    expect(await next.load(cut)).toEqual({ damage: 'segment 1 of the spilled keys: it cannot be read (EIO)' });
    await next.close();
  });

  test('keeps a segment as long as one of the checkpoints needs it, and no longer', async () => {
    const directory = freshFolder();
    const store = openSpillStore(directory, { segmentBytes: 4_096 });
    const put = (n: number): number => store.put(label, label.length, block(400, n), 0, 400);
    const first = put(1);
    put(2);
    put(3);
    await store.flush();
    const cuts = [store.cut()];
    await store.stored(cuts[0]!);
    store.take(first);
    expect(segmentsIn(directory)).toHaveLength(3);
    for (let checkpoints = 1; checkpoints < GENERATIONS_KEPT; checkpoints++) {
      await store.stored(store.cut());
      expect(segmentsIn(directory)).toHaveLength(3);
    }
    await store.stored(store.cut());
    expect(segmentsIn(directory)).toHaveLength(2);
    await store.close();
  });

  test('moves what is left of segments that are mostly dead', async () => {
    const directory = freshFolder();
    const store = openSpillStore(directory, { segmentBytes: 16_384 });
    const references = new Map<number, number>();
    for (let n = 0; n < 400; n++) references.set(n, store.put(Float64Array.of(0, n), 2, block(100, n), 0, 100));
    await store.flush();
    for (let n = 0; n < 400; n++) {
      if (n % 10 === 0) continue;
      store.take(references.get(n)!);
      references.delete(n);
    }
    const before = store.stats();
    await store.tidy(([, n], from, to) => {
      expect(references.get(n!)).toBe(from);
      references.set(n!, to);
    });
    await store.flush();
    for (let checkpoints = 0; checkpoints < GENERATIONS_KEPT; checkpoints++) await store.stored(store.cut());
    expect(store.stats().bytes).toBe(before.bytes);
    expect(store.stats().diskBytes).toBeLessThan(before.diskBytes / 4);
    for (const [n, reference] of references) expect(store.take(reference)[99]).toBe(n);
    await store.close();
  });

  test('never writes into a file that is there', async () => {
    const directory = freshFolder();
    const [older, newer] = [openSpillStore(directory), openSpillStore(directory)];
    older.put(label, label.length, block(10, 1), 0, 10);
    newer.put(label, label.length, block(10, 2), 0, 10);
    await Promise.all([older.flush(), newer.flush()]);
    expect(segmentsIn(directory)).toHaveLength(2);
    await Promise.all([older.close(), newer.close()]);
  });

  test('waits for a disk that is full, and loses nothing', async (context) => {
    const directory = freshFolder();
    mkdirSync(directory);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'ringfence-test', directory], { stdio: 'ignore' });
    } catch {
      context.skip('only root can mount a small disk');
    }
    try {
      const filler = join(directory, 'filler');
      writeFileSync(filler, Buffer.alloc(6 * 1024 * 1024));
      const store = openSpillStore(directory, { segmentBytes: 1024 * 1024 });
      const references: number[] = [];
      const put = (): boolean => {
        const reference = store.put(label, label.length, block(1_000, references.length), 0, 1_000);
        if (reference !== 0) references.push(reference);
        return reference !== 0;
      };
      for (let n = 0; n < 500; n++) put();
      await expect(store.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
      // Until no more may wait in memory.
      for (let n = 0; n < 200_000 && put(); n++);
      expect(store.isFull()).toBe(true);
      expect(store.take(references.pop()!)[0]).toBe(references.length);
      const room = store.room();
      expect(store.trouble()).not.toBe('');
      expect(references.length).toBeLessThan(200_000);
      for (const reference of references.splice(600)) store.take(reference);
      rmSync(filler);
      execFileSync('mount', ['-o', 'remount,size=512m', directory]);
      await room;
      await store.flush();
      expect(store.trouble()).toBe('');
      for (const [n, reference] of references.entries()) expect(store.take(reference)[999]).toBe(n);
      await store.close();
    } finally {
      execFileSync('umount', ['--lazy', directory]);
    }
  });
});
