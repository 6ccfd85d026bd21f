/**
 * What happens in a simulated world whatever goes wrong: rules, records, and changes of the rules, all drawn from the seed. Times
 * and thresholds are such that conditions are now true and now false.
 */
import { join } from 'node:path';
import fc from 'fast-check';
import { between, pick, type Random } from '../../src/feed/random.ts';
import { readRuleFiles, versionOf } from '../../src/rules/load.ts';
import { type RuleFile, type RulesMessage, rulesMessage } from '../../src/rules/message.ts';
import type { Rule } from '../../src/rules/rule.ts';
import { drawnSwap } from '../drawn-case.ts';
import { MINUTE_MS } from '../rule-engine.ts';

const SECOND_MS = 1_000;
/** One world in so many runs the rules that are delivered, all of them; they take a hundred times as long to compile. */
const SHIPPED_EVERY = 200;

export interface Publication {
  /** After the begin, ms. */
  atMs: number;
  subject: string;
  body: Uint8Array;
}

export interface Workload {
  /** In force from the first record on. */
  files: RuleFile[];
  version: string;
  latenessMs: number;
  horizonRecords: number;
  publications: Publication[];
  /** Of the last publication. */
  endMs: number;
}

const shipped = readRuleFiles(join(import.meta.dirname, '../../rules'));
const fileOf = (rule: Rule): RuleFile => ({
  file: `${rule.desk}/${rule.id.slice(rule.desk.length + 1)}.yaml`,
  text: JSON.stringify(rule),
});

/** @param begin when the first record is published, Unix epoch ms */
export function drawWorkload(seed: number, random: Random, begin: number): Workload {
  const [drawn] = fc.sample(drawnSwap, { seed, numRuns: 1 });
  const { rules, swap, latenessMin } = drawn!;
  const sets =
    seed % SHIPPED_EVERY === 0
      ? [shipped, shipped.slice(0, -1)]
      : [rules.map(fileOf), swap!.rules.map(fileOf), rules.slice(1).map(fileOf)].filter((files) => files.length > 0);

  const messages = between(random, 20, 120);
  const gapMs = pick(random, [5, 50, 300]);
  /** How far the first records lie in the past; then they come up to the present. */
  const pastMs = pick(random, [0, 60 * MINUTE_MS, 26 * 60 * MINUTE_MS]);
  const batch = pick(random, [1, 1, 3, 12]);
  const subscribers = between(random, 1, 8);
  const badShare = pick(random, [0, 0.05, 0.2]);
  const repeatedShare = pick(random, [0, 0.1]);
  const changes = pick(random, [0, 0, 1, 3]);
  const silentFrom = random() < 0.15 ? between(random, 0, messages) : -1;

  const publications: Publication[] = [];
  const records: Record<string, unknown>[] = [];
  let atMs = 0;
  let recordsMade = 0;

  const record = (nowMs: number): Record<string, unknown> => {
    if (records.length > 0 && random() < repeatedShare) return pick(random, records);
    const ago =
      random() < 0.7
        ? 0
        : pick(random, [15 * SECOND_MS, 10 * MINUTE_MS, 200 * MINUTE_MS]) * (random() < 0.5 ? 1 : random());
    const type = pick(random, ['voice', 'voice', 'sms', 'data']);
    const one: Record<string, unknown> = {
      recordId: `r${++recordsMade}`,
      recordType: type,
      eventTime: Math.floor(nowMs - ago),
      servedMsisdn: `86139000000${between(random, 0, subscribers - 1)}`,
      ...(random() < 0.5 && { accountId: pick(random, ['9001', '9002']) }),
      ...(random() < 0.5 && { servedImsi: pick(random, ['460000000000001', '460000000000002']) }),
      ...(random() < 0.6 && { cellId: pick(random, ['A', 'B', '17']) }),
      ...(random() < 0.3 && { callId: pick(random, ['c1', 'c2']) }),
      ...(random() < 0.6 && { charge: between(random, 0, 500) / 100 }),
    };
    if (type === 'data')
      Object.assign(one, { bytesUp: between(random, 0, 9_999), bytesDown: between(random, 0, 99_999) });
    else Object.assign(one, { direction: pick(random, ['mo', 'mt']), otherNumber: '8613700000001' });
    if (type !== 'sms') one['durationSec'] = between(random, 0, 20) * 15;
    records.push(one);
    return one;
  };
  const bad = (nowMs: number): Record<string, unknown> =>
    pick(random, [
      { recordType: 'voice', eventTime: nowMs },
      { ...record(nowMs), recordId: `b${++recordsMade}`, eventTime: Math.floor(begin + atMs + 40 * MINUTE_MS) },
      { ...record(nowMs), recordId: `b${++recordsMade}`, recordType: 'fax' },
    ]);

  const changeAt = new Set(Array.from({ length: changes }, () => between(random, 1, messages - 1)));
  for (let message = 0; message < messages; message++) {
    atMs += random() * 2 * gapMs;
    if (message === silentFrom) atMs += between(random, 31, 45) * SECOND_MS;
    if (changeAt.has(message)) {
      const subject = random() < 0.6 ? 'usage.0.rules' : 'usage.0.prepare';
      const files = pick(random, sets);
      const set: RulesMessage = {
        version: versionOf(files),
        files,
        ...(random() < 0.5 && { applied: true }),
        ...(subject.endsWith('.prepare') && { backfillMs: pick(random, [0, 2 * SECOND_MS, 3_600_000]) }),
      };
      publications.push({ atMs, subject, body: random() < 0.1 ? Buffer.from('no rules') : rulesMessage(set) });
    }
    const nowMs = begin + atMs - pastMs * (1 - (message + 1) / messages);
    const list = Array.from({ length: between(random, 1, batch) }, () =>
      random() < badShare ? bad(nowMs) : record(nowMs),
    );
    const text = list.length === 1 ? JSON.stringify(list[0]) : JSON.stringify(list);
    publications.push({
      atMs,
      subject: `usage.0.${list.length === 1 ? String(list[0]!['recordType']) : 'batch'}`,
      body: Buffer.from(random() < badShare / 4 ? text.slice(0, -3) : text),
    });
  }
  return {
    files: sets[0]!,
    version: versionOf(sets[0]!),
    latenessMs: latenessMin * MINUTE_MS,
    horizonRecords: pick(random, [16, 1_024]),
    publications,
    endMs: atMs,
  };
}
