/**
 * Checkpoints of every format that a program here has written: each was written by the program of its time, and goes on in this one
 * as if it had been this one all along. Where a layout in the blocks changes, this fails until the format has a new number and a
 * way from the old one.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { createEngine, type Engine, type EngineMeta } from '../src/engine.ts';
import { parseRules } from '../src/rules/load.ts';
import { CHECKPOINT_FORMAT, loadCheckpoint, OLDEST_FORMAT, writeCheckpoint } from '../src/state/checkpoint.ts';
import { alertLine, type FormatWorld, pathOfFormat } from './format-worlds.ts';
import { numberingPlan, utc } from './rule-engine.ts';
import { undisturbed } from './simulation/undisturbed.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-formats-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const formats = Array.from({ length: CHECKPOINT_FORMAT - OLDEST_FORMAT + 1 }, (_, at) => OLDEST_FORMAT + at);
const worldsOf = (format: number): FormatWorld[] =>
  JSON.parse(gunzipSync(readFileSync(pathOfFormat(format))).toString()) as FormatWorld[];

const newEngine = ({ latenessMs, horizonRecords }: FormatWorld): Engine =>
  createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords });
/** The state that a folder holds, in a new engine. */
async function restored(directory: string, world: FormatWorld): Promise<Engine> {
  const engine = newEngine(world);
  const { checkpoint, rejected } = await loadCheckpoint<EngineMeta>(directory, engine.pageMemory);
  expect(rejected).toEqual([]);
  const { meta, names, duplicates, position } = checkpoint!;
  expect(position.sequence).toBe(world.position);
  expect(engine.restore(meta, parseRules(meta.rules).sources, names, duplicates)).toEqual([]);
  return engine;
}

test('each format has checkpoints here, written by the program of its time', () => {
  for (const format of formats) {
    expect(existsSync(pathOfFormat(format)), `no checkpoints of format ${format}: node test/format-worlds.ts`).toBe(
      true,
    );
    for (const { checkpoint } of worldsOf(format)) {
      expect(Buffer.from(checkpoint, 'base64').readUInt32LE(8)).toBe(format);
    }
  }
});

describe.each(formats)('a checkpoint of format %i', (format) => {
  test.each(worldsOf(format).map((world, at) => ({ at, world })))(
    'goes on with the alerts of who never stopped, and is written in the format of today (world $at)',
    async ({ at, world }) => {
      const messages = world.messages.map(({ text, ...message }) => ({
        ...message,
        data: Buffer.from(text),
        header: undefined,
      }));
      const fresh = newEngine(world);
      const { sources, lists } = parseRules(world.files);
      expect(fresh.useRules(sources, world.version, [], lists)).toEqual([]);
      const whole = undisturbed(fresh, messages).alerts;
      const rest = whole.filter(({ sequence }) => sequence > world.position);
      expect(rest.length).toBeGreaterThan(0);
      expect(rest.length).toBeLessThan(whole.length);
      // What was published before the upgrade counts too.
      expect(whole.map(({ sequence, alert }) => alertLine(sequence, alert))).toEqual(world.alerts);

      const old = join(folder, `${format}-${at}-old`);
      mkdirSync(old);
      writeFileSync(join(old, 'checkpoint-000000001'), Buffer.from(world.checkpoint, 'base64'));
      const engine = await restored(old, world);
      const now = join(folder, `${format}-${at}-now`);
      const cut = engine.cut();
      await writeCheckpoint(now, { stream: 'USAGE', streamCreated: 'then', sequence: world.position }, cut);
      cut.release();
      expect(undisturbed(engine, messages, world.position).alerts).toEqual(rest);
      expect(undisturbed(await restored(now, world), messages, world.position).alerts).toEqual(rest);
    },
  );
});
