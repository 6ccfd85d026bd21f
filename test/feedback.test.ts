/** The closed loop as people live it: an alert, a case, an outcome, an entry in a hot list, and what the next caller sets off. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CaseSummary } from '../src/cases/case-view.ts';
import { alertsIn, brokerForEach, run, send, startServe, until } from './serving.ts';

const stand = brokerForEach();

const rule = (id: string, where: string, severity: string): string => `id: fraud.${id}
version: 1
catalogue: F90
status: stable
desk: fraud
title: { en: Calls, zh-CN: 呼叫 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
where: ${where}
features:
  many: { aggregate: count, window: 1d, panes: 24 }
bands:
  - { severity: ${severity}, if: many >= 1, score: 50 }
reason: { en: "{many} of them", zh-CN: "{many}次" }
suppress: { for: 1h }
tests:
  - { name: none, steps: [{ record: { direction: mt } }], expect: [] }
`;

test('a number that a case puts on a list sets off the next call to it, and the outcome labels the subscriber', async () => {
  const rules = join(stand.path, 'rules');
  for (const path of ['fraud', 'lists']) mkdirSync(join(rules, path), { recursive: true });
  writeFileSync(join(rules, 'fraud/long.yaml'), rule('long', "direction == 'mo' && durationSec > 100", 'warning'));
  writeFileSync(
    join(rules, 'fraud/hot.yaml'),
    rule('hot', "direction == 'mo' && inList(otherNumber, 'hot')", 'critical'),
  );
  const list = join(rules, 'lists/hot.csv');
  writeFileSync(list, '# Hot numbers\nkind,value,note\nnumber,12025550100,an example\n');
  const { http } = await startServe({ nats: stand.broker.url, data: join(stand.path, 'data'), rules });
  let records = 0;
  const call = (servedMsisdn: string, durationSec: number) =>
    send(stand.broker.url, [
      {
        subject: 'usage.0.voice',
        body: JSON.stringify({
          recordId: `call-${++records}`,
          recordType: 'voice',
          eventTime: Date.now(),
          servedMsisdn,
          direction: 'mo',
          otherNumber: '37112345678',
          durationSec,
        }),
      },
    ]);
  const ask = async <T>(path: string, body?: object): Promise<T> => {
    const init = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    return (await fetch(`${http}${path}`, body === undefined ? {} : init)).json() as Promise<T>;
  };
  const casesOf = async (servedMsisdn: string): Promise<CaseSummary[]> =>
    (await ask<{ cases: CaseSummary[] }>(`/v1/cases?servedMsisdn=${servedMsisdn}`)).cases;

  await call('8613900000001', 600);
  await until('a case of the long call', async () => (await casesOf('8613900000001')).length === 1);
  const [{ caseId }] = (await casesOf('8613900000001')) as [CaseSummary];
  const entry = { type: 'listEntry', list: 'hot', kind: 'number', value: '37112345678', note: 'seen in a case' };
  expect(await ask(`/v1/cases/${caseId}/events`, { ...entry, by: 'anna' })).toMatchObject({ caseId });
  // Put there twice it is there once, and what cannot be an entry changes neither list nor case.
  await ask(`/v1/cases/${caseId}/events`, { ...entry, by: 'ben' });
  expect(await ask(`/v1/cases/${caseId}/events`, { ...entry, value: 'no number' })).toMatchObject({ status: 422 });
  expect(readFileSync(list, 'utf8').match(/37112345678/g)).toHaveLength(1);
  expect(readFileSync(list, 'utf8')).toContain('# Hot numbers\n');

  await call('8613900000002', 5);
  await until('an alert of the list', async () =>
    (await alertsIn(stand.broker.url)).some(({ ruleId }) => ruleId === 'fraud.hot'),
  );
  const hot = (await alertsIn(stand.broker.url)).find(({ ruleId }) => ruleId === 'fraud.hot');
  expect(hot).toMatchObject({ servedMsisdn: '8613900000002', severity: 'critical' });

  const closing = { type: 'outcome', outcome: 'confirmed', by: 'anna' };
  expect(await ask(`/v1/cases/${caseId}/events`, closing)).toMatchObject({ status: 'closed' });
  const labels = await run(['labels', '--desk', 'fraud', '--nats', stand.broker.url]);
  const file = join(stand.path, 'labels.csv');
  writeFileSync(file, labels.stdout);
  const stream = join(stand.path, 'records.ndjson');
  const replayed = {
    recordId: 'r',
    recordType: 'voice',
    eventTime: Date.now(),
    servedMsisdn: '8613900000001',
    direction: 'mo',
    otherNumber: '1',
    durationSec: 600,
  };
  writeFileSync(stream, `${JSON.stringify(replayed)}\n`);
  const replay = await run(['replay', stream, '--rules', rules, '--labels', file, '--output', 'json']);
  expect(JSON.parse(replay.stderr)).toMatchObject({
    labels: { column: 'fraud', labelled: 1, positive: 1, precision: 1 },
  });
});
