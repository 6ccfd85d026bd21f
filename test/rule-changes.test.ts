/** Changes of rules by people, end to end against a real `serve`: drafts, back-tests, proposals, decisions, files, restarts. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Role } from '../src/access/grants.ts';
import { openAccessStore } from '../src/access/store.ts';
import { DESKS, type Desk } from '../src/alerts/alert.ts';
import type { DraftView, ProposalView, RuleChangesView } from '../src/http/rule-change-schemas.ts';
import type { BackTestResult } from '../src/rule-changes/change-event.ts';
import {
  alertsIn,
  brokerForEach,
  callsFrom,
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

/** Fires from so many calls in a day; its comments and layout must survive every change. */
const counting = (id: string, least: number, version = 1): string => `# Of the night shift: do not raise above 50.
id: fraud.${id}
version: ${version}
catalogue: F90
status: stable
desk: fraud
title: { en: Many, zh-CN: 多 }
fraudType: irsf
enabler: subscription
key: subscriber
on: voice
params:
  least: ${least} # calls
  quiet: 2h
features:
  many: { aggregate: count, window: 1d, panes: 24 }
bands:
  - { severity: warning, if: many >= least, score: 50 }
  - { severity: critical, if: many >= least * 2, score: 90 }
reason: { en: "{many} of them, from {threshold} on", zh-CN: "{many}次，阈值{threshold}" }
suppress: { for: 1h }
tests:
  - name: fires at ten
    steps: [{ repeat: 10, every: 1s, record: { recordType: voice, direction: mo, otherNumber: "37112345678", durationSec: 5 } }]
    expect: [{ severity: warning }]
`;
const RULE = 'fraud.calls';
const calls = callsFrom(Date.now() - 3 * 3_600_000);

const rulesFolder = (): string => {
  const path = stand.newFolder();
  writeFileSync(join(path, 'calls.yaml'), counting('calls', 10));
  writeFileSync(join(path, 'other.yaml'), counting('other', 1_000));
  return path;
};

interface Answer<T> {
  status: number;
  body: T & { code?: string; detail?: string };
}
const ask =
  (serving: Serving, headers: Record<string, string> = {}) =>
  async <T>(method: string, path: string, body?: unknown): Promise<Answer<T>> => {
    const response = await fetch(serving.http + path, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer<T>['body'] };
  };
type Ask = ReturnType<typeof ask>;

const changesOf = async (call: Ask, rule = RULE): Promise<RuleChangesView> =>
  (await call<RuleChangesView>('GET', `/v1/rules/${rule}/changes`)).body;
/** Proposes another threshold. */
async function propose(call: Ask, least: number, extra: object = {}): Promise<Answer<RuleChangesView>> {
  const { baseTag } = await changesOf(call);
  return call('POST', `/v1/rules/${RULE}/proposals`, {
    edits: { parameters: { least } },
    baseTag,
    reason: `${least} is what the desk can look at`,
    acceptFailedTests: true,
    by: 'lin',
    ...extra,
  });
}
const decide = (call: Ask, proposal: ProposalView | null, decision: string, extra: object = {}) =>
  call<RuleChangesView>('POST', `/v1/rules/${RULE}/proposals/${proposal!.id}/decision`, {
    decision,
    by: 'mei',
    ...(decision === 'reject' && { reason: 'no' }),
    ...extra,
  });
const firing = async (): Promise<unknown[]> =>
  (await alertsIn(stand.broker.url))
    .filter(({ status, ruleId }) => status === 'firing' && ruleId === RULE)
    .map(({ servedMsisdn, ruleVersion, severity }) => [servedMsisdn, ruleVersion, severity]);

describe('a draft', () => {
  let call: Ask;
  beforeEach(async () => {
    call = ask(await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() }));
  });
  const draft = (body: object) => call<DraftView>('POST', `/v1/rules/${RULE}/draft`, body);

  test('changes what was changed and nothing else, says what its tests say, and stores nothing', async () => {
    const { form } = await changesOf(call);
    expect(form).toEqual({
      status: 'stable',
      suppressFor: '1h',
      parameters: [
        { name: 'least', kind: 'number', value: 10, unit: 'count', features: [], bands: [0, 1], raising: 'fewer' },
        { name: 'quiet', kind: 'duration', value: '2h', unit: '', features: [], bands: [], raising: '' },
      ],
      values: [{ name: 'many', unit: 'count', window: '1d' }],
      bands: [
        { severity: 'warning', if: 'many >= least', score: 50 },
        { severity: 'critical', if: 'many >= least * 2', score: 90 },
      ],
    });
    const edits = {
      status: 'experimental',
      suppressFor: '4h',
      parameters: { least: 20 },
      bands: [null, { severity: 'warning', if: "many >= least * 3 and otherNumber != '#1'", score: 91 }],
    };
    const { body } = await draft({ edits, tests: true });
    expect(body.errors).toMatchObject([{ field: 'bands.1.if' }]);
    const right = await draft({
      edits: { ...edits, bands: [null, { severity: 'warning', if: 'many >= least * 3', score: 91 }] },
      tests: true,
    });
    expect(right.body).toMatchObject({ ok: true, errors: [], version: 2 });
    expect(right.body.diff.flatMap(({ lines }) => lines.filter((line) => !line.startsWith(' ')))).toEqual([
      '-version: 1',
      '+version: 2',
      '-status: stable',
      '+status: experimental',
      '-  least: 10 # calls',
      '+  least: 20 # calls',
      '-  - { severity: critical, if: many >= least * 2, score: 90 }',
      '+  - { severity: warning, if: many >= least * 3, score: 91 }',
      '-suppress: { for: 1h }',
      '+suppress: { for: 4h }',
    ]);
    expect(right.body.tests).toMatchObject([{ name: 'fires at ten', ok: false }]);
    expect((await changesOf(call)).history).toEqual([]);
    expect((await storedIn(stand.broker.url, 'RULES')).length).toBe(0);
  });

  test('is refused at the field that is wrong, and cannot be proposed', async () => {
    const wrong: [edits: object, field: string, code: string][] = [
      [{ parameters: { least: 'ten' } }, 'parameters.least', 'number'],
      [{ parameters: { quiet: 7 } }, 'parameters.quiet', 'duration'],
      [{ parameters: { most: 7 } }, 'parameters.most', 'unknown'],
      [{ parameters: { constructor: 7 } }, 'parameters.constructor', 'unknown'],
      [{ bands: [{ score: 101 }] }, 'bands.0.score', 'score'],
      [{ bands: [null, { severity: 'loud' }] }, 'bands.1.severity', 'choice'],
      [{ bands: [{ if: 'mny >= 3' }] }, 'bands.0.if', 'rule'],
      [{ bands: [{ if: 'many' }] }, 'bands.0.if', 'rule'],
      [{ status: 'loud' }, 'status', 'choice'],
      [{ suppressFor: 'soon' }, 'suppressFor', 'duration'],
      [{ bands: [{ if: 'many >= 3 }\n  - { severity: info' }] }, 'bands.0.if', 'rule'],
      [{ bands: [{ if: '<script>alert(1)</script>' }] }, 'bands.0.if', 'rule'],
      [{ bands: [{ if: 'constructor.constructor(1)' }] }, 'bands.0.if', 'rule'],
    ];
    const { baseTag } = await changesOf(call);
    for (const [edits, field, code] of wrong) {
      const { status, body } = await draft({ edits });
      expect([status, body.ok, body.errors[0]]).toMatchObject([200, false, { field, code }]);
      const proposal = { edits, baseTag, reason: 'try', by: 'lin' };
      expect((await call('POST', `/v1/rules/${RULE}/proposals`, proposal)).status).toBe(422);
    }
    const bodies: [body: object, status: number][] = [
      [{}, 400],
      [{ text: 'id: x', edits: {} }, 400],
      [{ edits: { ['__proto__']: 1 } }, 400],
      [{ edits: { nothing: 1 } }, 400],
      [{ text: 'x'.repeat(300_001) }, 400],
      [{ restores: 999 }, 404],
      [{ text: '\u0000' }, 200],
      [{ text: '[a: &a [*a]]' }, 200],
      [{ text: counting('other', 3, 2) }, 200],
      [{ text: counting('calls', 3, 1) }, 200],
    ];
    for (const [body, status] of bodies) {
      const answer = await draft(body);
      expect([body, answer.status]).toEqual([body, status]);
      if (status === 200) expect(answer.body.ok).toBe(false);
    }
  });
});

describe('a proposal', () => {
  test('of one person is decided by another, goes live, and an older text comes back the same way', async () => {
    const rules = rulesFolder();
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    const call = ask(serving);
    await send(stand.broker.url, calls('8613900000001', 0, 9));
    await taken(serving.ops, 9);
    const failing = await propose(call, 5, { acceptFailedTests: false });
    // Ten calls are twice five: the test sees a second, critical, revision.
    expect([failing.status, failing.body]).toMatchObject([422, { code: 'tests', tests: [{ ok: false }] }]);
    const proposed = await propose(call, 5);
    expect(proposed.status).toBe(201);
    const { proposal } = proposed.body;
    expect(proposal).toMatchObject({ by: { kind: 'open', id: 'lin' }, version: 2, baseVersion: 1, isStale: false });
    const listed = await call<{ proposals: { ruleId: string }[] }>('GET', '/v1/rule-proposals');
    expect(listed.body.proposals.map(({ ruleId }) => ruleId)).toEqual([RULE]);

    for (const by of ['lin', 'LIN', ' lin '])
      expect(await decide(call, proposal, 'approve', { by })).toMatchObject({
        status: 409,
        body: { code: 'ownProposal' },
      });
    expect((await decide(call, proposal, 'reject', { by: 'lin' })).body.code).toBe('ownProposal');
    expect((await decide(call, proposal, 'withdraw')).body.code).toBe('notOwn');
    expect((await decide(call, proposal, 'approve', { by: undefined })).status).toBe(400);
    expect((await decide(call, proposal, 'reject', { reason: undefined })).status).toBe(400);
    expect(await firing()).toEqual([]);

    const approved = await decide(call, proposal, 'approve', { reason: 'agreed' });
    expect(approved).toMatchObject({ status: 200, body: { version: 2, proposal: null, layer: { state: 'layered' } } });
    expect((await decide(call, proposal, 'approve')).body.code).toBe('notOpen');
    // The windows are as they were: the tenth call is beyond five, and would not have been the eleventh of ten.
    await send(stand.broker.url, calls('8613900000001', 9, 10));
    await until('the alert', async () => (await firing()).length > 0);
    expect(await firing()).toEqual([['8613900000001', 2, 'critical']]);
    // The file is as its author left it; the change lies over it.
    expect(readFileSync(join(rules, 'calls.yaml'), 'utf8')).toBe(counting('calls', 10));

    const { history } = await changesOf(call);
    expect(history.map(({ type, by, version, reason }) => [type, by.id, version, reason])).toEqual([
      ['approved', 'mei', 2, 'agreed'],
      ['proposed', 'lin', 2, '5 is what the desk can look at'],
    ]);
    const change = await call<{ text: string; diff: { lines: string[] }[] }>(
      'GET',
      `/v1/rules/${RULE}/changes/${history[0]!.sequence}`,
    );
    expect(change.body.diff.flatMap(({ lines }) => lines)).toContain('+  least: 5 # calls');
    expect((await call('GET', `/v1/rules/fraud.other/changes/${history[0]!.sequence}`)).status).toBe(404);

    // Back to ten, by a proposal like any other.
    const back = await propose(call, 10);
    await decide(call, back.body.proposal, 'approve');
    expect((await changesOf(call)).version).toBe(3);
    const restored = await call<DraftView>('POST', `/v1/rules/${RULE}/draft`, { restores: history[1]!.sequence });
    expect(restored.body).toMatchObject({ ok: true, version: 4 });
    expect(restored.body.text).toContain('least: 5 # calls');
    expect((await serving.end()).code).toBe(0);
  });

  test('is one at a time for a rule: one of two gets through, the other is told', async () => {
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
    const second = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
    const [here, there] = [ask(serving), ask(second)];
    const answers = await Promise.all([propose(here, 5), propose(there, 6, { by: 'wang' })]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
    const refused = answers.find(({ status }) => status === 409)!;
    expect(refused.body).toMatchObject({ code: 'conflict', proposal: { ruleId: RULE } });
    const views = [
      await changesOf(here),
      await until('the same there', async () => {
        const view = await changesOf(there);
        return view.proposal !== null && view;
      }),
    ];
    expect(views[0]!.proposal).toEqual(views[1]!.proposal);
    // Approved at the other gateway, in force at both.
    const winner = views[0]!.proposal!;
    expect((await decide(there, winner, 'approve')).status).toBe(200);
    await until('both', async () => (await rulesVersion(serving.ops)) === (await rulesVersion(second.ops)));
    expect((await changesOf(here)).version).toBe(2);
  });

  test('that was made from an older version is told so, and cannot be approved', async () => {
    const rules = rulesFolder();
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    const call = ask(serving);
    const { baseTag } = await changesOf(call);
    const { body } = await propose(call, 5);
    writeFileSync(join(rules, 'calls.yaml'), counting('calls', 7, 5));
    await until('the file', async () => (await changesOf(call)).version === 5);
    const stale = await changesOf(call);
    expect(stale.proposal!.isStale).toBe(true);
    expect(await decide(call, body.proposal, 'approve')).toMatchObject({ status: 409, body: { code: 'stale' } });
    expect((await decide(call, body.proposal, 'withdraw', { by: 'lin' })).status).toBe(200);
    expect(await propose(call, 6, { baseTag })).toMatchObject({ status: 409, body: { code: 'stale' } });
    expect((await propose(call, 6)).status).toBe(201);
    const { history } = await changesOf(call);
    expect(history.map(({ type, origin, by }) => [type, origin, by.id])).toEqual([
      ['proposed', '', 'lin'],
      ['withdrawn', '', 'lin'],
      ['changed', 'file', 'rules folder'],
      ['proposed', '', 'lin'],
    ]);
  });

  test('switches a rule off, its open alerts with it, and on again', async () => {
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
    const call = ask(serving);
    await send(stand.broker.url, calls('8613900000001', 0, 10));
    await until('the alert', async () => (await firing()).length > 0);
    const off = await propose(call, 10, { edits: { status: 'off' } });
    await decide(call, off.body.proposal, 'approve');
    await until('the end', async () => (await alertsIn(stand.broker.url)).some(({ status }) => status === 'resolved'));
    expect((await alertsIn(stand.broker.url)).at(-1)!.reason.en).toMatch(/switched off/);
    const rule = await call<{ status: string }>('GET', `/v1/rules/${RULE}`);
    expect(rule.body).toMatchObject({ status: 'off', shadow: false, features: [] });
    const on = await propose(call, 10, { edits: { status: 'stable' }, backfillDays: 7 });
    expect(on.status).toBe(201);
    expect((await decide(call, on.body.proposal, 'approve')).status).toBe(200);
    // Filled from the records that the stream still holds.
    await until('the windows', async () => (await changesOf(call)).version === 3);
    await send(stand.broker.url, calls('8613900000001', 10, 11));
    await until('the second alert', async () => (await firing()).length > 1);
  });
});

describe('who may', () => {
  const author = { who: { kind: 'command', id: 'test' } };
  test('two leads of the desk, each with a session of their own; a key proposes and never decides', async () => {
    const data = stand.newFolder();
    const store = openAccessStore(join(data, 'access.sqlite'));
    const person = (name: string, roles: Role[], desks: Desk[]) => {
      store.addUser({ name, roles, desks, password: 'x' }, author);
      store.changeUser(name, { password: { hash: 'x', mustChange: false } }, author);
      const token = store.beginSession({ name, provider: 'local' }, author);
      return { cookie: `ringfence_session=${token}`, 'ringfence-request': '1' };
    };
    const lin = person('lin', ['lead'], ['fraud']);
    const mei = person('mei', ['lead'], ['fraud']);
    const elsewhere = person('zhao', ['lead'], ['arrears']);
    const analyst = person('anna', ['analyst'], ['fraud']);
    const { secret } = store.addKey(
      {
        name: 'ci',
        scopes: ['rules:read', 'rules:write'],
        desks: [...DESKS],
        numbers: 'full',
        expiresAt: Date.now() + 3_600_000,
      },
      author,
    );
    const machine = { authorization: `Bearer ${secret}` };
    const serving = await startServe({ nats: stand.broker.url, data, rules: rulesFolder() });
    const as = (headers: Record<string, string>) => ask(serving, headers);

    // A name that somebody gives is nobody's: the session says who it is.
    const proposed = await propose(as(lin), 5, { by: 'mei' });
    expect(proposed).toMatchObject({ status: 201, body: { proposal: { by: { kind: 'user', id: 'lin' } } } });
    const { proposal } = proposed.body;
    expect((await decide(as(lin), proposal, 'approve')).body.code).toBe('ownProposal');
    expect((await decide(as(analyst), proposal, 'approve')).status).toBe(403);
    expect((await decide(as(machine), proposal, 'approve')).status).toBe(403);
    expect((await decide(as(elsewhere), proposal, 'approve')).status).toBe(404);
    expect((await as(elsewhere)('GET', `/v1/rules/${RULE}/changes`)).status).toBe(404);
    expect((await as(elsewhere)<{ proposals: [] }>('GET', '/v1/rule-proposals')).body.proposals).toEqual([]);
    expect((await as(analyst)('GET', `/v1/rules/${RULE}/changes`)).status).toBe(200);
    expect((await as(analyst)('POST', `/v1/rules/${RULE}/draft`, { edits: {} })).status).toBe(403);
    // Nobody goes round it in one step.
    const put = await fetch(`${serving.http}/v1/rules/${RULE}`, {
      method: 'PUT',
      headers: { ...lin, 'content-type': 'application/yaml' },
      body: counting('calls', 3, 9),
    });
    expect(put.status).toBe(403);
    expect((await decide(as(mei), proposal, 'approve')).status).toBe(200);
    const byMachine = await propose(as(machine), 6);
    expect(byMachine).toMatchObject({ status: 201, body: { proposal: { by: { kind: 'key' } } } });
    expect((await decide(as(lin), byMachine.body.proposal, 'reject')).status).toBe(200);
    const entries = [...store.auditRows()].map(
      ({ text }) => JSON.parse(text) as { action: string; who: { id: string } },
    );
    const acted = entries.filter(({ action }) => /propose|decide/.test(action));
    expect(acted).toContainEqual(expect.objectContaining({ action: 'proposeRule', who: { kind: 'user', id: 'lin' } }));
    expect(acted).toContainEqual(
      expect.objectContaining({
        action: 'decideRuleProposal',
        who: { kind: 'user', id: 'mei' },
        object: { id: RULE, proposalId: proposal!.id },
        result: 'done',
        before: { version: 1, tag: expect.any(String) },
        after: { decision: 'approve' },
      }),
    );
    store.close();
  });
});

describe('a back-test', () => {
  const finished = async (call: Ask, id: string) =>
    until('the back-test', async () => {
      const { body } = await call<{ state: string; result: BackTestResult }>(
        'GET',
        `/v1/rules/${RULE}/back-tests/${id}`,
      );
      return body.state !== 'running' && body;
    });

  test('says what would have been new and gone, by band, and how right it was', async () => {
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
    const call = ask(serving);
    // Of three subscribers one fires now, two would, and one never does.
    await send(stand.broker.url, [
      ...calls('8613900000001', 0, 12),
      ...calls('8613900000002', 20, 26),
      ...calls('8613900000003', 40, 43),
    ]);
    await taken(serving.ops, 21);
    const closed = await until('the case', async () => {
      const { body } = await call<{ cases: { caseId: string }[] }>('GET', '/v1/cases?desk=fraud');
      return body.cases?.[0];
    });
    const outcome = { type: 'outcome', outcome: 'confirmed', by: 'lin' };
    expect((await call('POST', `/v1/cases/${closed.caseId}/events`, outcome)).status).toBe(200);

    const begun = await call<{ id: string }>('POST', `/v1/rules/${RULE}/back-tests`, {
      edits: { parameters: { least: 5 } },
      days: 7,
    });
    expect(begun.status).toBe(202);
    const busy = await call('POST', `/v1/rules/${RULE}/back-tests`, { edits: { parameters: { least: 6 } }, days: 7 });
    expect(busy).toMatchObject({ status: 409, body: { code: 'busy' } });
    // It answers all the while.
    expect((await call('GET', '/v1/rules')).status).toBe(200);
    const { state, result } = await finished(call, begun.body.id);
    expect([state, result.records, result.same, result.added, result.gone, result.cut]).toEqual([
      'done',
      21,
      1,
      1,
      0,
      null,
    ]);
    expect(result.now).toMatchObject({ alerts: 1, right: 1, wrong: 0, precision: 1 });
    expect(result.draft).toMatchObject({ alerts: 2, right: 1, precision: 1 });
    expect(result.now.bands.map(({ alerts }) => alerts)).toEqual([1, 0]);
    expect(result.draft.bands.map(({ alerts }) => alerts)).toEqual([1, 1]);
    expect(result.addedExamples).toMatchObject([
      { key: { value: '8613900000002' }, severity: 'warning', verdict: 'none' },
    ]);
    expect((await changesOf(call)).version).toBe(1);

    const other = await propose(call, 6, { backTestId: begun.body.id });
    expect(other).toMatchObject({ status: 422, body: { code: 'backTest' } });
    const proposed = await propose(call, 5, { backTestId: begun.body.id });
    expect(proposed.body.proposal!.backTest).toMatchObject({ added: 1, gone: 0 });
    // A stricter draft loses the alert.
    const stricter = await call<{ id: string }>('POST', `/v1/rules/${RULE}/back-tests`, {
      edits: { parameters: { least: 100 } },
      days: 7,
    });
    expect((await finished(call, stricter.body.id)).result).toMatchObject({ same: 0, added: 0, gone: 1 });
    expect((await call('GET', `/v1/rules/fraud.other/back-tests/${stricter.body.id}`)).status).toBe(404);
  });

  test('names the rules that heed this one and what becomes of their alerts, on the own desks alone', async () => {
    const rules = rulesFolder();
    const other = (id: string, catalogue: string, lines: string) =>
      counting('calls', 6)
        .replace('id: fraud.calls', `id: ${id}`)
        .replace('catalogue: F90', `catalogue: ${catalogue}`)
        .replace(/^ {2}- \{ severity: critical.*\n/m, '')
        .replace('tests:\n', `${lines}tests:\n`);
    writeFileSync(join(rules, 'shy.yaml'), other('fraud.shy', 'F91', `inhibitedBy: [${RULE}]\n`));
    writeFileSync(
      join(rules, 'echo.yaml'),
      other('retention.echo', 'C90', `where: alertRule == '${RULE}'\n`)
        .replace('desk: fraud', 'desk: retention')
        .replace(/^(fraudType|enabler): .*\n/gm, '')
        .replace('on: voice', 'on: alert')
        .replace('least: 6', 'least: 1'),
    );
    const data = stand.newFolder();
    const store = openAccessStore(join(data, 'access.sqlite'));
    const author = { who: { kind: 'command', id: 'test' } };
    const headersOf = (name: string, desks: Desk[]) => {
      store.addUser({ name, roles: ['lead'], desks, password: 'x' }, author);
      store.changeUser(name, { password: { hash: 'x', mustChange: false } }, author);
      const token = store.beginSession({ name, provider: 'local' }, author);
      return { cookie: `ringfence_session=${token}`, 'ringfence-request': '1' };
    };
    const [both, one] = [headersOf('lin', ['fraud', 'retention']), headersOf('mei', ['fraud'])];
    store.close();
    const serving = await startServe({ nats: stand.broker.url, data, rules });
    const call = ask(serving, both);
    await send(stand.broker.url, [...calls('8613900000001', 0, 12), ...calls('8613900000002', 20, 26)]);
    await taken(serving.ops, 18);

    // From the fifth call on the rule keeps the shy one, which waits for six, from firing; and each alert has its echo.
    const begun = await call<{ id: string }>('POST', `/v1/rules/${RULE}/back-tests`, {
      edits: { parameters: { least: 5 } },
      days: 7,
    });
    const { result } = await finished(call, begun.body.id);
    expect(result).toMatchObject({ same: 1, added: 1, gone: 0 });
    const figures = result.others!.map(({ ruleId, now, draft, added, gone }) => [
      ...[ruleId, now.alerts, draft.alerts, added, gone],
    ]);
    expect(figures).toEqual([
      ['retention.echo', 1, 2, 1, 0],
      ['fraud.shy', 2, 0, 0, 2],
    ]);
    const proposed = await propose(call, 5, { backTestId: begun.body.id });
    const namesOf = (view: RuleChangesView) => view.proposal!.backTest!.others!.map(({ ruleId }) => ruleId);
    expect(namesOf(proposed.body)).toEqual(['retention.echo', 'fraud.shy']);
    // Whoever is not of the retention desk does not hear of its rule.
    const restricted = ask(serving, one);
    expect(namesOf(await changesOf(restricted))).toEqual(['fraud.shy']);
    const seen = await finished(restricted, begun.body.id);
    expect(seen.result.others!.map(({ ruleId }) => ruleId)).toEqual(['fraud.shy']);
  });

  test('can be called off', async () => {
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
    const call = ask(serving);
    const batch = (from: number) =>
      calls(`86139${String(from).padStart(8, '0')}`, 0, 500)
        .map(({ body }) => body)
        .join('\n');
    await send(
      stand.broker.url,
      Array.from({ length: 60 }, (_, index) => ({ subject: 'usage.0.batch', body: batch(index * 500) })),
    );
    const begun = await call<{ id: string }>('POST', `/v1/rules/${RULE}/back-tests`, { edits: {}, days: 7 });
    const cancelled = await call<{ state: string }>('DELETE', `/v1/rules/${RULE}/back-tests/${begun.body.id}`);
    expect(cancelled.body.state).toBe('cancelled');
    const next = await call<{ id: string }>('POST', `/v1/rules/${RULE}/back-tests`, { edits: {}, days: 7 });
    expect(next.status).toBe(202);
    expect((await finished(call, next.body.id)).result.records).toBe(30_000);
    expect((await finished(call, begun.body.id)).state).toBe('cancelled');
  });
});

describe('files and approved changes', () => {
  /** `serve` with a rule that was changed from 10 to 5 by approval. */
  const changed = async () => {
    const rules = rulesFolder();
    const data = stand.newFolder();
    const serving = await startServe({ nats: stand.broker.url, data, rules });
    const call = ask(serving);
    const { body } = await propose(call, 5);
    expect((await decide(call, body.proposal, 'approve')).status).toBe(200);
    return { rules, data, serving, call };
  };
  const leastOf = async (call: Ask): Promise<unknown> => (await changesOf(call)).form.parameters[0]!.value;

  test('a restart loses nothing, also after a kill and with a data folder that is gone', async () => {
    const { rules, data, serving, call } = await changed();
    await propose(call, 6, { by: 'wang' });
    const before = await changesOf(call);
    await serving.kill();
    for (const folderOfData of [data, stand.newFolder()]) {
      const again = await startServe({ nats: stand.broker.url, data: folderOfData, rules });
      expect(await changesOf(ask(again))).toEqual(before);
      await again.kill();
    }
  });

  test('what was approved and did not reach the stream is put in force by the next start', async () => {
    const { rules, data, serving, call } = await changed();
    const { body } = await propose(call, 6);
    await serving.end();
    // The gateway that took the approval was killed right behind it.
    const event = { type: 'approved', id: 'a', by: { kind: 'user', id: 'mei' }, proposalId: body.proposal!.id };
    await send(stand.broker.url, [{ subject: `rules.${RULE}`, body: JSON.stringify(event) }]);
    const again = ask(await startServe({ nats: stand.broker.url, data, rules }));
    await until('six', async () => (await leastOf(again)) === 6);
  });

  test('another file that changes undoes no approved change; the same file waits; a higher version takes over', async () => {
    const { rules, call, serving } = await changed();
    writeFileSync(join(rules, 'other.yaml'), counting('other', 900, 2));
    await until('the other file', async () => (await changesOf(call, 'fraud.other')).version === 2);
    expect([await leastOf(call), (await changesOf(call)).layer?.state]).toEqual([5, 'layered']);

    writeFileSync(join(rules, 'calls.yaml'), counting('calls', 8, 2));
    await serving.said('a change that was approved holds');
    expect([await leastOf(call), (await changesOf(call)).layer]).toMatchObject([
      5,
      { state: 'held-back', fileVersion: 2 },
    ]);

    writeFileSync(join(rules, 'calls.yaml'), counting('calls', 8, 3));
    await until('eight', async () => (await leastOf(call)) === 8);
    const { layer, history } = await changesOf(call);
    expect([layer, history[0]]).toMatchObject([null, { type: 'changed', origin: 'file', version: 3 }]);
  });

  test('`rules export` writes approved changes into files, and never over a file that was changed as well', async () => {
    const { rules, call } = await changed();
    const exportTo = (...args: string[]) => run(['rules', 'export', rules, '--nats', stand.broker.url, ...args]);
    expect((await exportTo()).code).toBe(0);
    const text = readFileSync(join(rules, 'calls.yaml'), 'utf8');
    expect(text).toBe(counting('calls', 5, 2));
    expect(await leastOf(call)).toBe(5);
    await until('the same', async () => (await changesOf(call)).layer === null);
    writeFileSync(join(rules, 'calls.yaml'), counting('calls', 8, 2));
    expect(await exportTo()).toMatchObject({ code: 1 });
    expect(readFileSync(join(rules, 'calls.yaml'), 'utf8')).toBe(counting('calls', 8, 2));
    expect((await exportTo('--overwrite')).code).toBe(0);
    expect(readFileSync(join(rules, 'calls.yaml'), 'utf8')).toBe(text);
  });

  test('`rules apply` of an older folder keeps approved changes', async () => {
    const { call, serving } = await changed();
    const other = stand.newFolder();
    writeFileSync(join(other, 'calls.yaml'), counting('calls', 10));
    writeFileSync(join(other, 'third.yaml'), counting('third', 3));
    const applied = await run(['rules', 'apply', other, '--nats', stand.broker.url, '--output', 'json']);
    expect(applied.code).toBe(0);
    const { version } = JSON.parse(applied.stdout) as { version: string };
    await until('the set', async () => (await rulesVersion(serving.ops)) === version);
    expect(await leastOf(call)).toBe(5);
  });

  test('a folder with a model keeps it when rules are applied by hand', async () => {
    const rules = rulesFolder();
    const model = readFileSync(join(import.meta.dirname, '../rules/models/retention.yaml'), 'utf8');
    mkdirSync(join(rules, 'models'));
    writeFileSync(join(rules, 'models/retention.yaml'), model);
    const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules });
    const applied = await run(['rules', 'apply', rules, '--nats', stand.broker.url]);
    expect(applied.code).toBe(0);
    const call = ask(serving);
    const { body } = await propose(call, 5);
    await decide(call, body.proposal, 'approve');
    expect(await leastOf(call)).toBe(5);
    expect(readdirSync(join(rules, 'models'))).toEqual(['retention.yaml']);
  });
});

test('messages that are no change of a rule are passed over', async () => {
  const serving = await startServe({ nats: stand.broker.url, data: stand.newFolder(), rules: rulesFolder() });
  const call = ask(serving);
  const proposal = (await propose(call, 5)).body.proposal!;
  await send(stand.broker.url, [
    { subject: `rules.${RULE}`, body: 'no json' },
    { subject: `rules.${RULE}`, body: '{"type":"approved"}' },
    { subject: 'rules.fraud', body: '{}' },
    { subject: 'rules.fraud.__proto__', body: '{}' },
    // Whoever proposed, by the stream: in the history, without effect.
    {
      subject: `rules.${RULE}`,
      body: JSON.stringify({ type: 'approved', id: 'x', by: { kind: 'user', id: 'lin' }, proposalId: proposal.id }),
    },
    {
      subject: `rules.${RULE}`,
      body: JSON.stringify({ type: 'approved', id: 'y', by: { kind: 'key', id: 'robot' }, proposalId: proposal.id }),
    },
  ]);
  const view = await until('the events', async () => {
    const seen = await changesOf(call);
    return seen.history.length === 3 && seen;
  });
  expect(view.history.map(({ type, isVoid }) => [type, isVoid])).toEqual([
    ['approved', true],
    ['approved', true],
    ['proposed', false],
  ]);
  expect([view.version, view.proposal?.id]).toEqual([1, proposal.id]);
  // The next one follows what lies there, whatever it was.
  expect((await decide(call, proposal, 'approve')).status).toBe(200);
});
