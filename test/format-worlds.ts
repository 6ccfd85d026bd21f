/**
 * Small worlds with a checkpoint from their middle, as a program of this format writes it: `node test/format-worlds.ts` puts
 * them into `format-<n>-worlds.json.gz`, once for each format, by the last program that wrote it. Later programs must go on from
 * them (checkpoint-format.test.ts).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { AlertData } from '../src/alerts/alert.ts';
import { createEngine } from '../src/engine.ts';
import { createRandom } from '../src/feed/random.ts';
import { parseRules } from '../src/rules/load.ts';
import type { RuleFile } from '../src/rules/message.ts';
import { CHECKPOINT_FORMAT, writeCheckpoint } from '../src/state/checkpoint.ts';
import { BEGIN, numberingPlan, utc } from './rule-engine.ts';
import { undisturbed } from './simulation/undisturbed.ts';
import { drawWorkload } from './simulation/workload.ts';

export interface FormatWorld {
  version: string;
  files: RuleFile[];
  latenessMs: number;
  horizonRecords: number;
  messages: { sequence: number; subject: string; timeMs: number; text: string }[];
  /** Messages whose effects are in the checkpoint. */
  position: number;
  /** base64 */
  checkpoint: string;
  /** What the program that wrote it made of all messages: message, alert and revision. */
  alerts: string[];
}

export const pathOfFormat = (format: number): string => join(import.meta.dirname, `format-${format}-worlds.json.gz`);
export const alertLine = (sequence: number, alert: Pick<AlertData, 'alertId' | 'revision'>): string =>
  `${sequence} ${alert.alertId}.${alert.revision}`;

/** Worlds with alerts on both sides of their middle and no change of rules. */
const SEEDS = [8, 37, 55];

async function makeWorld(seed: number): Promise<FormatWorld> {
  const { files, version, latenessMs, horizonRecords, publications } = drawWorkload(seed, createRandom(seed), BEGIN);
  const messages = publications.map(({ atMs, subject, body }, at) => ({
    sequence: at + 1,
    subject,
    data: body,
    timeMs: Math.floor(BEGIN + atMs),
    header: undefined,
  }));
  const freshEngine = () => {
    const engine = createEngine({ numberingPlan, localTime: utc, latenessMs, horizonRecords });
    const { sources, lists } = parseRules(files);
    engine.useRules(sources, version, [], lists);
    return engine;
  };
  const { alerts } = undisturbed(freshEngine(), messages);
  const position = Math.floor(messages.length / 2);
  const engine = freshEngine();
  undisturbed(engine, messages.slice(0, position));
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-format-'));
  const cut = engine.cut();
  await writeCheckpoint(folder, { stream: 'USAGE', streamCreated: 'then', sequence: position }, cut);
  cut.release();
  const checkpoint = readFileSync(join(folder, readdirSync(folder)[0]!)).toString('base64');
  rmSync(folder, { recursive: true });
  return {
    ...{ version, files, latenessMs, horizonRecords, position, checkpoint },
    messages: messages.map(({ sequence, subject, timeMs, data }) => ({
      ...{ sequence, subject, timeMs },
      text: Buffer.from(data).toString(),
    })),
    alerts: alerts.map(({ sequence, alert }) => alertLine(sequence, alert)),
  };
}

if (import.meta.main) {
  const worlds = await Promise.all(SEEDS.map(makeWorld));
  writeFileSync(pathOfFormat(CHECKPOINT_FORMAT), gzipSync(JSON.stringify(worlds), { level: 9 }));
}
