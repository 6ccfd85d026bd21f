/** `rules apply` against a running `serve`: new windows filled from the stream, nothing lost by a crash, the folder in line. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { RuleSummary } from '../src/http/schemas.ts';
import { readRuleFiles, versionOf } from '../src/rules/load.ts';
import { rulesMessage } from '../src/rules/message.ts';
import {
  alertsIn,
  brokerForEach,
  countIn,
  rulesVersion,
  run,
  type Serving,
  send,
  startServe,
  storedIn,
  taken,
  until,
} from './serving.ts';

const stand = brokerForEach();

/** A rule that fires from so many records of a kind in a day. */
const counting = (id: string, on: string, least: number, status = 'stable'): string => `id: fraud.${id}
version: 1
catalogue: F90
status: ${status}
desk: fraud
title: { en: Many, zh-CN: 多 }
fraudType: irsf
enabler: subscription
key: subscriber
on: ${on}
features:
  many: { aggregate: count, window: 1d, panes: 24 }
bands:
  - { severity: warning, if: many >= ${least}, score: 50 }
reason: { en: "{many} of them", zh-CN: "{many}次" }
suppress: { for: 1h }
tests:
  - { name: none, steps: [{ record: {} }], expect: [] }
`;
const BEGIN = Date.UTC(2025, 0, 1, 12);
const record = (recordType: string, n: number, servedMsisdn = '8613900000001') => ({
  subject: `usage.0.${recordType}`,
  body: JSON.stringify({
    recordId: `${recordType}-${servedMsisdn}-${n}`,
    recordType,
    eventTime: BEGIN + n * 1_000,
    servedMsisdn,
    direction: 'mo',
    otherNumber: '8613700000000',
    ...(recordType === 'voice' ? { durationSec: 5 } : {}),
  }),
});
const many = (recordType: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => record(recordType, from + index));

const found = async (): Promise<unknown[]> =>
  (await alertsIn(stand.broker.url)).map(({ ruleId, status, triggerRecordId, evidence }) => [
    ruleId,
    status,
    triggerRecordId,
    evidence[0]?.value,
  ]);
const apply = (rules: string, args: string[] = []) =>
  run(['rules', 'apply', rules, '--nats', stand.broker.url, '--output', 'json', ...args]);
const inForce = async (serving: Serving, version: string): Promise<void> => {
  await until(`version ${version} in force`, async () => (await rulesVersion(serving.ops)) === version);
};

/** Two folders: what runs, and what is to run. */
function twoFolders(): { running: string; next: string } {
  const [running, next] = [stand.newFolder(), stand.newFolder()];
  writeFileSync(join(running, 'calls.yaml'), counting('calls', 'voice', 1_000));
  writeFileSync(join(next, 'calls.yaml'), counting('calls', 'voice', 1_000));
  writeFileSync(join(next, 'texts.yaml'), counting('texts', 'sms', 5));
  return { running, next };
}

describe('rules apply', () => {
  test('fills what is new before it goes live, and says since when it has seen data', async () => {
    const { running, next } = twoFolders();
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: running });
    await send(stand.broker.url, [...many('sms', 0, 4), ...many('voice', 4, 8)]);
    await taken(serving.ops, 8);
    const { code, stdout } = await apply(next, ['--backfill', '7d']);
    expect(code).toBe(0);
    const sent = JSON.parse(stdout) as { version: string };
    expect(sent).toMatchObject({ rules: 2, partitions: 1, backfillMs: 7 * 86_400_000 });
    await inForce(serving, sent.version);
    await send(stand.broker.url, [record('sms', 8)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    // Four of the five came before anybody counted them.
    expect(await found()).toEqual([['fraud.texts', 'firing', 'sms-8613900000001-8', 5]]);

    const listed = await run(['rules', 'list', '--url', serving.http, '--output', 'json']);
    const rules = JSON.parse(listed.stdout) as RuleSummary[];
    expect(rules.map(({ id, shadow, features }) => [id, shadow, features])).toEqual([
      ['fraud.calls', false, [{ name: 'many', window: '1d', since: 0 }]],
      ['fraud.texts', false, [{ name: 'many', window: '1d', since: 0 }]],
    ]);
    // The folder that is served is the one that was applied.
    expect(readdirSync(running).toSorted()).toEqual(['calls.yaml', 'texts.yaml']);
    expect((await storedIn(stand.broker.url, 'USAGE')).slice(8).map(({ subject }) => subject)).toEqual([
      'usage.0.prepare',
      'usage.0.rules',
      'usage.0.sms',
    ]);
    expect((await serving.end()).code).toBe(0);
  });

  test('without a back-fill goes live at once, starts cold and says so', async () => {
    const { running, next } = twoFolders();
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: running });
    await send(stand.broker.url, many('sms', 0, 4));
    await taken(serving.ops, 4);
    const { version } = JSON.parse((await apply(next)).stdout) as { version: string };
    await inForce(serving, version);
    await send(stand.broker.url, many('sms', 4, 9));
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    expect(await found()).toEqual([['fraud.texts', 'firing', 'sms-8613900000001-8', 5]]);
    const { stdout } = await run(['rules', 'list', '--url', serving.http]);
    expect(stdout).toMatch(/fraud\.calls .* from the first record/);
    expect(stdout).toMatch(/fraud\.texts .* since 2025-01-01T12:00Z/);
    expect((await serving.end()).code).toBe(0);
  });

  test('is in force after kill -9 and a restart, at the same place, also where the folder could not follow', async () => {
    const { running, next } = twoFolders();
    const stay = {
      nats: stand.broker.url,
      data: stand.newFolder(),
      rules: running,
      args: ['--checkpoint-interval-sec', '600'],
    };
    const first = await startServe(stay);
    await send(stand.broker.url, many('sms', 0, 4));
    await taken(first.ops, 4);
    const { version } = JSON.parse((await apply(next, ['--backfill', '1d'])).stdout) as { version: string };
    await inForce(first, version);
    await send(stand.broker.url, [record('sms', 4)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    await first.kill();
    // As it is where the folder is read-only: it still has what was there before, and that has been seen.
    rmSync(join(running, 'texts.yaml'));
    const seen = versionOf(readRuleFiles(running));
    writeFileSync(join(stay.data, 'rules-folder'), `${seen} ${crc32(seen).toString(16)}\n`);
    const again = await startServe(stay);
    await inForce(again, version);
    await send(stand.broker.url, many('sms', 5, 7));
    await taken(again.ops, 2);
    expect((await again.end()).code).toBe(0);
    expect(await found()).toEqual([['fraud.texts', 'firing', 'sms-8613900000001-4', 5]]);
  });

  test('that was announced while nobody was there is filled when the stream is read, with a restart in the middle', async () => {
    const { running, next } = twoFolders();
    const stay = { nats: stand.broker.url, data: stand.newFolder(), rules: running };
    const first = await startServe(stay);
    await send(stand.broker.url, many('sms', 0, 3));
    await taken(first.ops, 3);
    expect((await first.end()).code).toBe(0);
    const { version } = JSON.parse((await apply(next, ['--backfill', '1d'])).stdout) as { version: string };
    await send(stand.broker.url, [record('sms', 3)]);
    const second = await startServe(stay);
    await inForce(second, version);
    await send(stand.broker.url, [record('sms', 4)]);
    await until('the alert', async () => (await countIn(stand.broker.url, 'ALERTS')) > 0);
    await second.kill();
    const third = await startServe(stay);
    await inForce(third, version);
    expect((await third.end()).code).toBe(0);
    expect(await found()).toEqual([['fraud.texts', 'firing', 'sms-8613900000001-4', 5]]);
  });

  test('that announces wrong rules changes nothing and is kept with its reason', async () => {
    const { running } = twoFolders();
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: running });
    const before = await rulesVersion(serving.ops);
    const wrong = [
      rulesMessage({ version: 'x', files: [{ file: 'a.yaml', text: 'id: nothing' }], backfillMs: 1_000 }),
      rulesMessage({ version: 'x', files: [{ file: '../a.yaml', text: counting('a', 'sms', 1) }], backfillMs: 1_000 }),
    ];
    await send(
      stand.broker.url,
      wrong.map((body) => ({ subject: 'usage.0.prepare', body })),
    );
    await until('two refusals', async () => (await countIn(stand.broker.url, 'DEADLETTER')) === 2);
    expect(await rulesVersion(serving.ops)).toBe(before);
    // What claims to have been prepared, and was not, is passed over.
    const body = rulesMessage({
      version: 'y',
      files: [{ file: 'a.yaml', text: counting('a', 'sms', 1) }],
      prepared: 99,
    });
    await send(stand.broker.url, [{ subject: 'usage.0.rules', body }, record('sms', 0)]);
    await taken(serving.ops, 1);
    expect(await rulesVersion(serving.ops)).toBe(before);
    expect((await serving.end()).code).toBe(0);
  });

  test('exits 2 where a rule is wrong and 3 where the duration is none, without a connection', async () => {
    const path = stand.newFolder();
    writeFileSync(join(path, 'a.yaml'), counting('a', 'sms', 1).replace('count', 'cout'));
    expect((await run(['rules', 'apply', path, '--nats', 'nats://127.0.0.1:1'])).code).toBe(2);
    const { code, stderr } = await run(['rules', 'apply', '--backfill', 'a week']);
    expect([code, stderr]).toEqual([3, expect.stringMatching(/'a week' is no duration/)]);
  });
});

test('a draft fires into its own stream and is counted apart; no desk sees it', async () => {
  const rules = stand.newFolder();
  writeFileSync(join(rules, 'texts.yaml'), counting('texts', 'sms', 2, 'experimental'));
  writeFileSync(join(rules, 'calls.yaml'), counting('calls', 'voice', 2));
  const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
  await send(stand.broker.url, [...many('sms', 0, 2), ...many('voice', 2, 4)]);
  await until(
    'both alerts',
    async () => (await countIn(stand.broker.url, 'ALERTS')) + (await countIn(stand.broker.url, 'SHADOW')) === 2,
  );
  const [draft] = await storedIn(stand.broker.url, 'SHADOW');
  expect(draft!.subject).toMatch(/^shadow\.fraud\.[0-9a-f]{32}$/);
  expect(JSON.parse(Buffer.from(draft!.bytes).toString())).toMatchObject({
    data: { shadow: true, ruleId: 'fraud.texts' },
  });
  await until('the live alert in the list', async () => {
    const { alerts } = (await (await fetch(`${serving.http}/v1/alerts`)).json()) as { alerts: { ruleId: string }[] };
    return alerts.map(({ ruleId }) => ruleId).join() === 'fraud.calls';
  });
  const metrics = await (await fetch(`${serving.ops}/metrics`)).text();
  expect(metrics).toMatch(/ringfence_shadow_alerts_total\{rule="fraud.texts",desk="fraud",severity="warning"\} 1/);
  expect(metrics).not.toMatch(/ringfence_alerts_total\{rule="fraud.texts"/);
  expect((await serving.end()).code).toBe(0);
});
