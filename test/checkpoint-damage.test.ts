/**
 * Damage to the files of the state: bits that flipped, files that were cut short. It must be found wherever it is, and what is started
 * from the older generation, or from nothing, must make the alerts of who never stopped.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { alertEvent } from '../src/alerts/alert.ts';
import { createEngine, type Engine, type EngineMeta } from '../src/engine.ts';
import { between, createRandom } from '../src/feed/random.ts';
import { parseRules } from '../src/rules/load.ts';
import { GENERATIONS_KEPT, loadCheckpoint, type PageMemory, writeCheckpoint } from '../src/state/checkpoint.ts';
import { BEGIN, numberingPlan, utc } from './rule-engine.ts';
import type { StoredMessage } from './simulation/broker.ts';
import { type Course, undisturbed } from './simulation/undisturbed.ts';
import { drawWorkload } from './simulation/workload.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-damage-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Every byte of the head and the first section's begin, and so many others. */
const HEAD_BYTES = 32;
const OTHER_PLACES = 40;

const shown = ({ alerts }: Pick<Course, 'alerts'>, after = 0): string[] =>
  alerts
    .filter(({ sequence }) => sequence > after)
    .map(({ sequence, alert }) => `${sequence} ${JSON.stringify(alertEvent(alert, 'test'))}`);

describe.each([4, 9, 17])('checkpoints of the world %i', (seed) => {
  const random = createRandom(seed);
  const workload = drawWorkload(seed, random, BEGIN);
  const messages: StoredMessage[] = workload.publications.map(({ atMs, subject, body }, at) => ({
    sequence: at + 1,
    subject,
    data: body,
    timeMs: Math.floor(BEGIN + atMs),
    header: undefined,
  }));
  const newEngine = (): Engine => {
    const { latenessMs, horizonRecords } = workload;
    return createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords });
  };
  const freshEngine = (engine = newEngine()): Engine => {
    const { sources, lists } = parseRules(workload.files);
    engine.useRules(sources, workload.version, [], lists);
    return engine;
  };
  const expected = undisturbed(freshEngine(), messages);

  const directory = join(folder, `world-${seed}`);
  /** Three generations, at a quarter, a half and three quarters of the stream. */
  const write = async (): Promise<void> => {
    const engine = freshEngine();
    let at = 0;
    let prepared: Course['prepared'];
    for (let generation = 1; generation <= GENERATIONS_KEPT; generation++) {
      const upTo = Math.floor((messages.length * generation) / (GENERATIONS_KEPT + 1));
      ({ prepared } = undisturbed(engine, messages.slice(0, upTo), at, prepared));
      at = upTo;
      const cut = engine.cut();
      cut.meta.prepared = prepared;
      await writeCheckpoint(directory, { stream: 'USAGE', streamCreated: 'then', sequence: at }, cut);
      cut.release();
    }
  };
  /** A generation that is whole is the same each time, so what it leads to is looked at once, and once behind pages of a broken one. */
  const followed = new Set<string>();
  /** Starts as the program does: which generation it took. The rest of the alerts must be right. */
  const start = async (): Promise<number> => {
    const engine = newEngine();
    let broken = 0;
    const memory: PageMemory<EngineMeta> = {
      ...engine.pageMemory,
      clear() {
        if (engine.arena.pageCount() > 0) broken++;
        engine.pageMemory.clear();
      },
    };
    const { checkpoint } = await loadCheckpoint<EngineMeta>(directory, memory);
    const generation = checkpoint?.number ?? 0;
    const way = `${generation} behind ${broken}`;
    if (followed.has(way)) return generation;
    followed.add(way);
    if (checkpoint === undefined) {
      expect(shown(undisturbed(freshEngine(engine), messages))).toEqual(shown(expected));
      return generation;
    }
    const { meta, names, duplicates, position } = checkpoint;
    expect(engine.restore(meta, parseRules(meta.rules).sources, names, duplicates)).toEqual([]);
    const { sequence } = position;
    expect(shown(undisturbed(engine, messages, sequence, meta.prepared))).toEqual(shown(expected, sequence));
    return generation;
  };

  test('lead to the one before, or to the begin of the stream, wherever they are damaged', async () => {
    await write();
    expect(shown(expected).length).toBeGreaterThan(0);
    expect(await start()).toBe(GENERATIONS_KEPT);
    const names = readdirSync(directory).sort();
    expect(names).toHaveLength(GENERATIONS_KEPT);
    // The newest first; it stays damaged while the one before it is tried.
    for (const [older, name] of [...names.entries()].reverse()) {
      const path = join(directory, name);
      const whole = readFileSync(path);
      const places = [
        ...Array.from({ length: HEAD_BYTES }, (_, at) => at),
        ...Array.from({ length: OTHER_PLACES }, () => between(random, HEAD_BYTES, whole.length - 1)),
        whole.length - 1,
      ];
      for (const at of places) {
        const flipped = Buffer.from(whole);
        flipped[at]! ^= 1 << between(random, 0, 7);
        for (const damaged of [flipped, whole.subarray(0, at)]) {
          writeFileSync(path, damaged);
          expect(await start(), `${name}, byte ${at}`).toBe(older);
        }
      }
    }
    // Up to all three were read to their pages in vain.
    expect([...followed].map((way) => way.at(-1))).toContain(String(GENERATIONS_KEPT));
  });
});
