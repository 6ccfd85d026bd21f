import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { type CaseEvent, caseIdOf, caseSubject, isControl } from '../src/cases/case-event.ts';
import type { CaseDetail } from '../src/cases/case-list.ts';
import { CASE_POLICY } from '../src/cases/case-policy.ts';
import type { CaseSummary } from '../src/cases/case-view.ts';
import { alertWith, type Bench, connectLive, type RunningGateway, startBench } from './http-gateway.ts';
import { ringfence } from './serving.ts';

interface Answer<T> {
  status: number;
  body: T;
}
/** Gateways follow the streams at their own pace. */
const SETTLED = { timeout: 30_000 };
type CaseProblem = { code: string; detail: string; case: CaseDetail };

let subscribers = 0;
/** A subscriber of its own, so that the cases of one test are not those of another. */
const newSubscriber = (): string => `86139${String(++subscribers).padStart(8, '0')}`;

describe('cases over HTTP', () => {
  let bench: Bench;
  let running: RunningGateway;
  const folders: string[] = [];
  beforeAll(async () => {
    bench = await startBench();
    running = await bench.start();
  });
  afterAll(async () => {
    await bench.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  const extra: RunningGateway[] = [];
  afterEach(async () => {
    for (const gateway of extra.splice(0)) await gateway.close();
  });
  /** Another gateway with a folder of its own on the same broker. */
  const another = async (options: Parameters<Bench['start']>[0] = {}): Promise<RunningGateway> => {
    const dataDir = mkdtempSync(join(tmpdir(), 'ringfence-cases-'));
    folders.push(dataDir);
    const gateway = await bench.start({ dataDir, ...options });
    extra.push(gateway);
    return gateway;
  };

  const call = async <T>(method: string, path: string, body?: unknown, from = running): Promise<Answer<T>> => {
    const response = await fetch(from.url + path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  };
  const list = async (query: string, from = running): Promise<CaseSummary[]> =>
    (await call<{ cases: CaseSummary[] }>('GET', `/v1/cases?${query}`, undefined, from)).body.cases;
  const detail = async (caseId: string, from = running): Promise<CaseDetail> =>
    (await call<CaseDetail>('GET', `/v1/cases/${caseId}`, undefined, from)).body;
  const post = <T = CaseDetail>(caseId: string, event: object, from = running): Promise<Answer<T>> =>
    call<T>('POST', `/v1/cases/${caseId}/events`, event, from);

  /** Publishes an alert and waits until its case is seen. */
  const openCase = async (fields: Partial<AlertData> = {}): Promise<string> => {
    const servedMsisdn = fields.servedMsisdn ?? newSubscriber();
    const alert = alertWith({ servedMsisdn, ...fields });
    await bench.publishAlert(alert);
    const caseId = caseIdOf(alert.desk, caseKeyOf(alert), alert.alertId);
    await expect.poll(async () => (await detail(caseId)).caseId).toBe(caseId);
    return caseId;
  };

  it('open by themselves, gather the alerts of a subscriber, and show why', async () => {
    const servedMsisdn = newSubscriber();
    const caseId = await openCase({ servedMsisdn, score: 40 });
    await bench.publishAlert({ servedMsisdn, severity: 'critical', score: 90, ruleId: 'fraud.wangiri' });
    await expect.poll(async () => (await detail(caseId)).alerts).toBe(2);
    expect(await list(`servedMsisdn=${servedMsisdn}`)).toMatchObject([
      {
        caseId,
        desk: 'fraud',
        key: { type: 'subscriber', value: servedMsisdn },
        status: 'open',
        version: 0,
        severity: 'critical',
        score: 90,
        ruleIds: ['fraud.irsf-burst', 'fraud.wangiri'],
        sla: { isOverdue: false },
      },
    ]);
    const { alertList } = await detail(caseId);
    expect(alertList.map(({ ruleId }) => ruleId)).toEqual(['fraud.wangiri', 'fraud.irsf-burst']);
    const holding = async (query: string) => (await list(query)).map((one) => one.caseId);
    for (const { alertId } of alertList) expect(await holding(`alertId=${alertId}`)).toEqual([caseId]);
    expect(await holding(`alertId=${alertList[0]!.alertId}&desk=arrears`)).toEqual([]);
    expect(await holding('alertId=unknown')).toEqual([]);
    // Once merged it is found where it is worked on.
    const into = await openCase();
    await post(caseId, { type: 'merge', into, by: 'anna' });
    expect(await holding(`alertId=${alertList[0]!.alertId}`)).toEqual([into]);
  });

  it('keep who did what, when, in a timeline', async () => {
    const caseId = await openCase();
    await post(caseId, { type: 'assign', assignee: 'anna', by: 'lead' });
    await post(caseId, { type: 'acknowledge', by: 'anna' });
    await post(caseId, { type: 'note', note: '<b>客户</b> "called"', by: 'anna' });
    await post(caseId, { type: 'tag', add: ['vip', 'abroad'], by: 'anna' });
    const { status, body } = await post(caseId, { type: 'outcome', outcome: 'confirmed', reason: 'sure', by: 'anna' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: 'closed',
      assignee: 'anna',
      tags: ['abroad', 'vip'],
      outcome: 'confirmed',
      closing: { by: 'anna', reason: 'sure' },
    });
    expect(body.timeline.map(({ event, effect }) => [event.type, (event as CaseEvent).by, effect])).toEqual([
      ['assign', 'lead', 'applied'],
      ['acknowledge', 'anna', 'applied'],
      ['note', 'anna', 'applied'],
      ['tag', 'anna', 'applied'],
      ['outcome', 'anna', 'applied'],
    ]);
    expect(body.timeline[2]).toMatchObject({ event: { note: '<b>客户</b> "called"' } });
  });

  it('of two people who close one case on two gateways let one win and tell the other', async () => {
    const second = await another();
    const caseId = await openCase();
    await expect.poll(async () => (await detail(caseId, second)).caseId).toBe(caseId);
    const [one, two] = await Promise.all([
      post<CaseDetail & CaseProblem>(caseId, { type: 'outcome', outcome: 'confirmed', by: 'anna', version: 0 }),
      post<CaseDetail & CaseProblem>(
        caseId,
        { type: 'outcome', outcome: 'falsePositive', by: 'ben', version: 0 },
        second,
      ),
    ]);
    expect([one.status, two.status].sort()).toEqual([200, 409]);
    const lost = one.status === 409 ? one : two;
    expect(lost.body).toMatchObject({ status: 409, detail: expect.stringMatching(/nothing was changed/i) });
    await vi.waitFor(async () => {
      const [left, right] = await Promise.all([detail(caseId), detail(caseId, second)]);
      expect(left.status).toBe('closed');
      expect(left).toEqual(right);
    }, SETTLED);
    // Without a version the second one meets a closed case.
    const late = await post<CaseProblem>(caseId, { type: 'outcome', outcome: 'inconclusive', by: 'cara' }, second);
    expect(late).toMatchObject({ status: 409, body: { code: 'closed', case: { caseId, status: 'closed' } } });
    expect((await detail(caseId)).timeline).toHaveLength(1);
  });

  it('add notes of many people at once, none of them lost', async () => {
    const second = await another();
    const caseId = await openCase();
    await expect.poll(async () => (await detail(caseId, second)).caseId).toBe(caseId);
    const notes = Array.from({ length: 6 }, (_, n) =>
      post(caseId, { type: 'note', note: `note ${n}`, by: `p${n}` }, n % 2 === 0 ? running : second),
    );
    const statuses = (await Promise.all(notes)).map(({ status }) => status);
    const written = statuses.filter((status) => status === 200).length;
    // A gateway knows its own notes when it answers, and those of the other one a moment later.
    await expect.poll(async () => (await detail(caseId)).timeline).toHaveLength(written);
    expect(written).toBeGreaterThan(1);
    expect(statuses.every((status) => status === 200 || status === 409)).toBe(true);
  });

  it('do nothing when an event is sent again', async () => {
    const caseId = await openCase();
    const event = { type: 'note', note: 'once', id: 'abc', by: 'anna' };
    expect((await post(caseId, event)).status).toBe(200);
    expect((await post(caseId, event)).status).toBe(200);
    expect((await detail(caseId)).timeline).toHaveLength(1);
  });

  it.each<[string, object, number, string]>([
    ['an unknown type', { type: 'explode' }, 400, 'type must be one of acknowledge'],
    ['what is missing', { type: 'assign' }, 400, 'assignee is missing'],
    ['an outcome that no desk has', { type: 'outcome', outcome: 'maybe' }, 400, 'outcome must be one of'],
    ['an outcome of another desk', { type: 'outcome', outcome: 'paid' }, 409, 'The desk of this case'],
    ['a parameter too many', { type: 'acknowledge', bogus: 1 }, 400, 'There is no parameter bogus'],
    ['what only a gateway writes', { type: 'expired', snoozeId: 'x' }, 400, 'type must be one of'],
    ['reopening what is open', { type: 'reopen', reason: 'x' }, 409, 'not closed'],
    ['merging into nothing', { type: 'merge', into: '0'.repeat(32) }, 409, 'no such case'],
    ['a name with a line break', { type: 'assign', assignee: 'a\nb' }, 400, 'assignee'],
    [
      'an entry for lists that are not there',
      { type: 'listEntry', list: 'iprn', kind: 'number', value: '1' },
      422,
      'No lists',
    ],
  ])('refuse %s', async (_name, event, status, detailPart) => {
    const caseId = await openCase();
    const answer = await post<CaseProblem>(caseId, event);
    expect(answer.status).toBe(status);
    expect(answer.body.detail).toContain(detailPart);
    expect((await detail(caseId)).timeline).toEqual([]);
  });

  it('refuse what is no body, and know no case that is not there', async () => {
    const caseId = await openCase();
    const send = (body: string, type: string) =>
      fetch(`${running.url}/v1/cases/${caseId}/events`, { method: 'POST', body, headers: { 'Content-Type': type } });
    expect((await send('{', 'application/json')).status).toBe(400);
    expect((await send('{"type":"acknowledge"}', 'text/plain')).status).toBe(415);
    expect((await post('f'.repeat(32), { type: 'acknowledge' })).status).toBe(404);
    expect((await call('GET', '/v1/cases/nonsense')).status).toBe(400);
    expect((await call('GET', '/v1/cases?cursor=nonsense')).status).toBe(400);
  });

  it('are listed by what is asked for, page by page', async () => {
    const tag = 'paging';
    const made: string[] = [];
    for (const severity of ['info', 'critical', 'warning', 'critical', 'info'] as const) {
      const caseId = await openCase({ severity, desk: 'arrears', ruleId: 'arrears.first' });
      await post(caseId, { type: 'tag', add: [tag] });
      made.push(caseId);
    }
    const seen: string[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null; pages++) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const page: Answer<{ cases: CaseSummary[]; next: string | null; total: number }> = await call(
        'GET',
        `/v1/cases?desk=arrears&tag=${tag}&limit=2${query}`,
      );
      expect(page.body.total).toBe(5);
      seen.push(...page.body.cases.map(({ caseId }) => caseId));
      cursor = page.body.next;
      expect(pages).toBeLessThan(4);
    }
    // The most urgent ones first: critical, warning, info, each in the order of coming.
    expect(seen).toEqual([made[1], made[3], made[2], made[0], made[4]]);
    await post(made[0]!, { type: 'assign', assignee: 'anna' });
    await post(made[1]!, { type: 'acknowledge' });
    await post(made[2]!, { type: 'snooze', until: Date.now() + 86_400_000, reason: 'tomorrow' });
    await post(made[3]!, { type: 'outcome', outcome: 'paid' });
    const by = async (query: string) => (await list(`desk=arrears&tag=${tag}&${query}`)).map(({ caseId }) => caseId);
    expect(await by('assignee=anna')).toEqual([made[0]]);
    expect(await by('status=acknowledged')).toEqual([made[1]]);
    expect(await by('status=snoozed')).toEqual([made[2]]);
    expect(await by('status=closed&outcome=paid')).toEqual([made[3]]);
    expect((await by('status=open')).sort()).toEqual([made[0], made[4]].sort());
    expect(await by('active=true&assignee=&severity=critical')).toEqual([made[1]]);
    expect(await by('ruleId=arrears.other')).toEqual([]);
  });

  it('are taken one by one, each by one person, the most urgent first', async () => {
    const second = await another();
    const account = { type: 'account', value: 'take-next' };
    const made: string[] = [];
    for (const severity of ['warning', 'critical', 'info'] as const) {
      made.push(
        await openCase({
          severity,
          desk: 'retention',
          ruleId: 'retention.take',
          group: { ...account, value: `t-${severity}` },
        }),
      );
    }
    await expect.poll(async () => (await list('ruleId=retention.take', second)).length).toBe(3);
    const take = (by: string, from = running) =>
      call<CaseDetail | undefined>('POST', '/v1/cases/next', { desk: 'retention', by, ruleId: 'retention.take' }, from);
    const taken = await Promise.all([take('anna'), take('ben', second), take('cara', second)]);
    const cases = taken.map(({ body }) => body!);
    expect(new Set(cases.map(({ caseId }) => caseId))).toEqual(new Set(made));
    expect(cases.map(({ assignee }) => assignee)).toEqual(['anna', 'ben', 'cara']);
    expect(cases.find(({ severity }) => severity === 'critical')).toBeDefined();
    expect((await take('dora')).status).toBe(204);
  });

  it('do the same to many, and take it back where nobody has touched the case since', async () => {
    const made = [await openCase(), await openCase(), await openCase(), await openCase()];
    await post(made[3]!, { type: 'outcome', outcome: 'confirmed' });
    const bulk = await call<{ bulkId: string; done: { caseId: string }[]; refused: object[] }>(
      'POST',
      '/v1/cases/bulk',
      {
        by: 'anna',
        cases: [...made.map((caseId) => ({ caseId })), { caseId: 'e'.repeat(32) }],
        event: { type: 'outcome', outcome: 'falsePositive', reason: 'test traffic' },
      },
    );
    expect(bulk.status).toBe(200);
    expect(bulk.body.done.map(({ caseId }) => caseId).sort()).toEqual(made.slice(0, 3).sort());
    expect(bulk.body.refused).toEqual([
      { caseId: made[3], reason: 'closed' },
      { caseId: 'e'.repeat(32), reason: 'unknown' },
    ]);
    await post(made[0]!, { type: 'reopen', reason: 'no' });
    const undo = await call<{ done: { caseId: string }[]; refused: object[] }>(
      'POST',
      `/v1/cases/bulk/${bulk.body.bulkId}/undo`,
      { by: 'anna' },
    );
    expect(undo.body.done.map(({ caseId }) => caseId).sort()).toEqual(made.slice(1, 3).sort());
    expect(undo.body.refused).toEqual([{ caseId: made[0], reason: 'conflict' }]);
    for (const caseId of made.slice(1, 3)) {
      expect(await detail(caseId)).toMatchObject({ status: 'open', outcome: null });
      expect((await detail(caseId)).timeline.map(({ effect }) => effect)).toEqual(['undone', 'applied']);
    }
    expect((await call('POST', '/v1/cases/bulk/nothing/undo', {})).status).toBe(404);
    expect((await call('POST', '/v1/cases/bulk', { event: { type: 'acknowledge' } })).status).toBe(400);
  });

  it('do the same to all that match a filter', async () => {
    const keyValue = 'bulk-filter';
    const caseId = await openCase({ group: { type: 'account', value: keyValue } });
    const { body } = await call<{ done: object[] }>('POST', '/v1/cases/bulk', {
      filter: { keyValue, active: true },
      event: { type: 'assign', assignee: 'ben' },
    });
    expect(body.done).toHaveLength(1);
    expect((await detail(caseId)).assignee).toBe('ben');
  });

  it('are closed by another system over NATS, and keep what made no sense in the timeline', async () => {
    const unreadable = async (): Promise<number> => {
      const { body } = await running.metrics.expose(undefined);
      return Number(/^ringfence_case_feed_unreadable_total\{stream="CASES"\} (\d+)$/m.exec(body)?.[1] ?? 0);
    };
    const unreadableBefore = await unreadable();
    const caseId = await openCase({ desk: 'retention' });
    const publish = (event: object) => bench.js.publish(caseSubject('retention', caseId), JSON.stringify(event));
    await publish({
      type: 'offer',
      offerId: 'half-price',
      cost: 5,
      result: 'accepted',
      id: 'o1',
      by: 'contact-centre',
    });
    await publish({ type: 'outcome', outcome: 'confirmed', id: 'x1', by: 'contact-centre' });
    await publish({ type: 'outcome', outcome: 'saved', id: 'c1', by: 'contact-centre', control: false });
    await publish({ type: 'outcome', outcome: 'declined', id: 'c2', by: 'contact-centre' });
    await bench.js.publish(caseSubject('retention', caseId), 'no event');
    await bench.js.publish('cases.nowhere', JSON.stringify({ type: 'acknowledge', id: 'x', by: 'y' }));
    await vi.waitFor(async () => {
      const found = await detail(caseId);
      expect(found).toMatchObject({
        status: 'closed',
        outcome: 'saved',
        offers: [{ offerId: 'half-price', cost: 5, result: 'accepted', by: 'contact-centre' }],
      });
      expect(found.timeline.map(({ effect }) => effect)).toEqual(['applied', 'otherDesk', 'applied', 'closed']);
    }, SETTLED);
    // The two come after the outcome in the stream, so the case may be closed before they are read.
    await expect.poll(unreadable).toBe(unreadableBefore + 2);
  });

  it.each<[string, object]>([
    ['no key', { key: undefined }],
    ['a key that is a number', { key: { type: 'subscriber', value: 7 } }],
    ['no score', { score: undefined }],
    ['a subscriber that is an object', { servedMsisdn: { a: 1 } }],
    ['a group without a value', { group: { type: 'account' } }],
  ])('pass over an alert with %s, and go on', async (_name, fields) => {
    const data = { ...alertWith({ servedMsisdn: newSubscriber() }), ...fields };
    await bench.js.publish(`alerts.fraud.${data.alertId}`, JSON.stringify({ data }));
    const caseId = await openCase();
    expect((await detail(caseId)).alerts).toBe(1);
  });

  it('are worked on where an alert is stranger than what is written down of it', async () => {
    const strange = {
      ruleId: 'r'.repeat(100),
      servedMsisdn: 'no number',
      title: undefined,
      suggestedActions: undefined,
    };
    const caseId = await openCase(strange as unknown as Partial<AlertData>);
    expect((await post(caseId, { type: 'acknowledge' })).status).toBe(200);
    expect(await list(`ruleId=${strange.ruleId}`)).toMatchObject([{ caseId, title: null, status: 'acknowledged' }]);
  });

  it('note the end of a snooze once, whoever looks at it', async () => {
    const [second, third] = [await another(), await another()];
    const caseId = await openCase();
    await post(caseId, { type: 'snooze', until: Date.now() + 1, reason: 'a moment', id: 'sn' });
    const noted = (found: CaseDetail) => found.timeline.filter(({ event }) => (event as CaseEvent).type === 'expired');
    for (const gateway of [running, second, third])
      await expect.poll(async () => noted(await detail(caseId, gateway))).toHaveLength(1);
    expect(await detail(caseId)).toMatchObject({ status: 'open', snoozedUntil: null });
  });

  it('hold out the same subscribers on every gateway, make them no offers, and leave them out of the queue', async () => {
    const policy = { ...CASE_POLICY, controlShare: 0.5 };
    const third = await another({ casePolicy: policy });
    const keys = Array.from({ length: 12 }, (_, n) => ({ type: 'account', value: `held-${n}` }));
    const heldOut = keys.filter((key) => isControl(key, 0.5));
    expect(heldOut.length).toBeGreaterThan(0);
    expect(heldOut.length).toBeLessThan(keys.length);
    for (const group of keys) await openCase({ desk: 'retention', ruleId: 'retention.held', group });
    await expect.poll(() => list('ruleId=retention.held', third)).toHaveLength(keys.length);
    const held = await list('ruleId=retention.held&isControl=true', third);
    expect(held.map(({ key }) => key.value).sort()).toEqual(heldOut.map(({ value }) => value).sort());
    const offer = { type: 'offer', offerId: 'x', result: 'made' };
    expect(await post(held[0]!.caseId, offer, third)).toMatchObject({ status: 409, body: { code: 'heldOut' } });
    for (let taken = 0; taken < keys.length - heldOut.length; taken++) {
      const next = await call<CaseDetail>(
        'POST',
        '/v1/cases/next',
        { desk: 'retention', by: 'anna', ruleId: 'retention.held' },
        third,
      );
      expect(next.body.isControl).toBe(false);
    }
    expect((await call('POST', '/v1/cases/next', { desk: 'retention', ruleId: 'retention.held' }, third)).status).toBe(
      204,
    );
    // Closing writes down that nobody was called, whatever the share will be later.
    await post(held[0]!.caseId, { type: 'outcome', outcome: 'churnedAnyway' }, third);
    const { body } = await call<{ retention: { control: object } }>(
      'GET',
      '/v1/feedback?desk=retention',
      undefined,
      third,
    );
    expect(body.retention.control).toMatchObject({ cases: 1, churned: 1, saveRate: 0 });
  });

  it('say how precise a rule is, and which subscribers were what', async () => {
    const ruleId = 'fraud.judged';
    const outcomes = ['confirmed', 'confirmed', 'falsePositive', 'valuableAlert', 'inconclusive'];
    const judged: [string, string][] = [];
    for (const outcome of outcomes) {
      const servedMsisdn = newSubscriber();
      const caseId = await openCase({ ruleId, servedMsisdn });
      await post(caseId, { type: 'outcome', outcome });
      judged.push([servedMsisdn, outcome]);
    }
    const { body } = await call<{ rules: { ruleId: string }[]; desks: { desk: string }[] }>(
      'GET',
      '/v1/feedback?desk=fraud',
    );
    expect(body.rules.find((rule) => rule.ruleId === ruleId)).toEqual({
      ruleId,
      desk: 'fraud',
      closed: 5,
      right: 3,
      wrong: 1,
      precision: 0.75,
      outcomes: { confirmed: 2, falsePositive: 1, valuableAlert: 1, inconclusive: 1 },
    });
    expect(body.desks.map(({ desk }) => desk)).toEqual(['fraud']);
    const response = await fetch(`${running.url}/v1/labels?desk=fraud`);
    const [head, ...lines] = (await response.text()).trim().split('\n');
    expect(head).toBe('servedMsisdn,fraud,outcome,closedAt,caseId,control');
    const labels = new Map(lines.map((line) => [line.split(',')[0], line.split(',')[1]]));
    expect(judged.map(([msisdn]) => labels.get(msisdn))).toEqual(['1', '1', '0', '1', undefined]);
    const fresh = await another();
    await expect
      .poll(async () => (await fresh.metrics.expose(undefined)).body, { timeout: 60_000, interval: 1_000 })
      .toContain('ringfence_rule_precision_ratio{rule="fraud.judged",desk="fraud"} 0.75');
  });

  it('lose no event when a gateway restarts, and are the same when the projection is thrown away', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'ringfence-cases-'));
    folders.push(dataDir);
    let gateway = await bench.start({ dataDir });
    const caseId = await openCase();
    await expect.poll(async () => (await detail(caseId, gateway)).caseId).toBe(caseId);
    await post(caseId, { type: 'note', note: 'before', by: 'anna' }, gateway);
    const stopping = gateway.close();
    await post(caseId, { type: 'acknowledge', by: 'ben' });
    await stopping;
    await post(caseId, { type: 'note', note: 'while it was away', by: 'ben' });
    gateway = await bench.start({ dataDir });
    extra.push(gateway);
    const all = async (from: RunningGateway) => {
      const cases = await list('limit=200&order=newest', from);
      return Promise.all(cases.map(({ caseId: id }) => detail(id, from)));
    };
    await expect.poll(async () => (await detail(caseId, gateway)).timeline).toHaveLength(3);
    const fresh = await another();
    const expected = await all(running);
    expect(expected.length).toBeGreaterThan(10);
    await expect.poll(() => all(fresh)).toEqual(expected);
    expect(await all(gateway)).toEqual(expected);
    // What a desk sees of them first is the same too: their order, and how many have something in common.
    for (const path of [
      '/v1/cases?desk=fraud&limit=200',
      '/v1/cases/groups?desk=fraud&by=rule',
      '/v1/cases/groups?by=assignee',
    ]) {
      const [one, ...others] = await Promise.all(
        [running, gateway, fresh].map((from) => call('GET', path, undefined, from)),
      );
      expect([one!.status, ...others]).toEqual([200, one, one]);
    }
  });

  it('are pushed to the live clients that asked for them, and to no other', async () => {
    const asked = await connectLive(running.url, { cases: 'true', desk: 'fraud' });
    const other = await connectLive(running.url, { cases: 'true', desk: 'arrears' });
    const plain = await connectLive(running.url);
    const caseId = await openCase();
    await post(caseId, { type: 'assign', assignee: 'anna' });
    type Pushed = { kind: string; case?: CaseSummary };
    const pushed = (frames: readonly unknown[]) => (frames as Pushed[]).filter(({ kind }) => kind === 'case');
    await asked.until((frames) => pushed(frames).some((frame) => frame.case!.assignee === 'anna'));
    expect(pushed(asked.frames).at(-1)!.case).toMatchObject({ caseId, status: 'open', alerts: 1 });
    expect(pushed(other.frames)).toEqual([]);
    expect(pushed(plain.frames)).toEqual([]);
    for (const client of [asked, other, plain]) await client.close();
  });

  it('give the same labels on the command line, which `replay --labels` reads', async () => {
    const servedMsisdn = newSubscriber();
    const caseId = await openCase({ servedMsisdn });
    await post(caseId, { type: 'outcome', outcome: 'confirmed' });
    const over = await (await fetch(`${running.url}/v1/labels?desk=fraud`)).text();
    const { stdout, code, stderr } = await ringfence(['labels', '--desk', 'fraud', '--nats', bench.broker.url]).exited;
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(over);
    expect(stdout).toContain(`${servedMsisdn},1,confirmed,`);
    const wrong = await ringfence(['labels', '--desk', 'nothing', '--nats', bench.broker.url]).exited;
    expect(wrong).toMatchObject({ code: 3, stderr: expect.stringContaining('is no desk') });
  });

  it('are made anew when a stream is another one', async () => {
    const own = await startBench();
    const gateway = await own.start();
    const alert = alertWith({ servedMsisdn: newSubscriber() });
    await own.publishAlert(alert);
    const caseId = caseIdOf(alert.desk, caseKeyOf(alert), alert.alertId);
    await expect.poll(async () => (await detail(caseId, gateway)).caseId).toBe(caseId);
    await post(caseId, { type: 'note', note: 'kept', by: 'anna' }, gateway);
    const { config } = await own.jsm.streams.info('ALERTS');
    await own.jsm.streams.delete('ALERTS');
    await own.jsm.streams.add({ name: config.name, subjects: config.subjects });
    const later = alertWith({ servedMsisdn: newSubscriber() });
    await own.publishAlert(later);
    await expect.poll(async () => (await list('', gateway)).length).toBe(2);
    // Its alert is gone with the stream; what was done and what it was about is in CASES.
    expect(await detail(caseId, gateway)).toMatchObject({ alerts: 0, timeline: [{ event: { note: 'kept' } }] });
    await own.stop();
  });
});
