/** Saved views and routing of a desk: events that every gateway folds to the same, and lanes that cases go into. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { caseIdOf } from '../src/cases/case-event.ts';
import type { CaseSummary } from '../src/cases/case-view.ts';
import type { DeskSettings } from '../src/cases/desk-settings.ts';
import { alertWith, type Bench, type RunningGateway, startBench } from './http-gateway.ts';

const NO_ROUTING = { lanes: [], people: [] };
const MINUTE_MS = 60_000;

describe('views and routing', () => {
  let bench: Bench;
  let one: RunningGateway;
  let other: RunningGateway;
  beforeAll(async () => {
    bench = await startBench();
    one = await bench.start();
    other = await bench.start({ dataDir: ':memory:' });
  });
  afterAll(() => bench.stop());

  const ask = async <T = DeskSettings>(path: string, method = 'GET', body?: object, gateway = one) => {
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    return { status: response.status, body: (await response.json()) as T };
  };
  const settings = async (gateway = one) => (await ask('/v1/desks/fraud/settings', 'GET', undefined, gateway)).body;
  let made = 0;
  const publish = async (fields: Parameters<typeof alertWith>[0] = {}): Promise<string> => {
    made += 1;
    const number = `86136${String(made).padStart(8, '0')}`;
    const alert = alertWith({ servedMsisdn: number, key: { type: 'subscriber', value: number }, ...fields });
    await bench.publishAlert(alert);
    return caseIdOf(alert.desk, caseKeyOf(alert), alert.alertId);
  };
  const found = async (caseId: string, gateway = one): Promise<CaseSummary | undefined> => {
    const { status, body } = await ask<CaseSummary>(`/v1/cases/${caseId}`, 'GET', undefined, gateway);
    return status === 200 ? body : undefined;
  };
  const laneOf = async (caseId: string, gateway = one) => (await found(caseId, gateway))?.lane;

  test('a view is kept, seen by every gateway, replaced and removed', async () => {
    const view = { name: 'Critical <b>', shared: true, filters: { severity: 'critical', columns: 'due,case' } };
    expect((await ask('/v1/desks/fraud/views/a1', 'PUT', view)).status).toBe(200);
    await expect.poll(async () => (await settings(other)).views).toMatchObject([{ viewId: 'a1', ...view }]);
    expect((await ask('/v1/desks/fraud/views/a1', 'PUT', { ...view, name: 'Critical' }, other)).status).toBe(200);
    await expect.poll(async () => (await settings()).views.map(({ name }) => name)).toEqual(['Critical']);
    expect((await ask('/v1/desks/arrears/settings')).body.views).toEqual([]);
    expect((await ask('/v1/desks/fraud/views/a1', 'DELETE')).status).toBe(200);
    expect((await ask('/v1/desks/fraud/views/a1', 'DELETE')).status).toBe(404);
    expect((await ask('/v1/desks/fraud/views/a1', 'PUT', { ...view, more: 1 })).status).toBe(400);
    await expect.poll(async () => (await settings(other)).views).toEqual([]);
  });

  test('one shared view is the default of the desk, until it is gone or private', async () => {
    const view = { name: 'Critical', shared: true, filters: { severity: 'critical' } };
    const defaultOf = async (gateway = one) => (await settings(gateway)).defaultViewId;
    const choose = (viewId: string | null, gateway = one) =>
      ask('/v1/desks/fraud/default-view', 'PUT', { viewId }, gateway);
    await ask('/v1/desks/fraud/views/d1', 'PUT', view);
    await ask('/v1/desks/fraud/views/d2', 'PUT', { ...view, shared: false });
    expect(await defaultOf()).toBe(null);
    expect((await choose('d2')).status).toBe(422);
    expect((await choose('e9')).status).toBe(422);
    expect((await choose('d1')).body.defaultViewId).toBe('d1');
    await expect.poll(() => defaultOf(other)).toBe('d1');
    expect((await ask('/v1/desks/arrears/settings')).body.defaultViewId).toBe(null);
    // A gateway that starts now reads the same from the stream.
    const late = await bench.start({ dataDir: ':memory:' });
    await expect.poll(() => defaultOf(late)).toBe('d1');

    await ask('/v1/desks/fraud/views/d1', 'PUT', { ...view, name: 'Another name' });
    expect(await defaultOf()).toBe('d1');
    await ask('/v1/desks/fraud/views/d1', 'PUT', { ...view, shared: false });
    expect(await defaultOf()).toBe(null);
    await ask('/v1/desks/fraud/views/d1', 'PUT', view);
    await choose('d1');
    expect((await choose(null)).body.defaultViewId).toBe(null);
    await choose('d1');
    await ask('/v1/desks/fraud/views/d1', 'DELETE');
    await expect.poll(() => defaultOf(other)).toBe(null);
    await ask('/v1/desks/fraud/views/d2', 'DELETE');
  });

  test('cases go into the first lane that fits, with its times, on every gateway and after every change', async () => {
    const vip = await publish({ value: { tier: 'vip' }, severity: 'warning' });
    const sim = await publish({ ruleId: 'fraud.sim-box', severity: 'critical' });
    const plain = await publish({ severity: 'info' });
    await expect.poll(() => found(plain)).toBeDefined();
    const before = (await found(plain))!.sla;
    const lanes = [
      { name: 'Key accounts', keyAccounts: true, respondMin: 5, closeMin: 30 },
      { name: 'SIM boxes', ruleIds: ['fraud.sim-box'] },
      { name: 'Mandarin', tags: ['zh'], respondMin: 10 },
    ];
    const { version } = await settings();
    const first = await ask('/v1/desks/fraud/routing', 'PUT', { version, routing: { lanes, people: [] } });
    expect(first.status).toBe(200);
    // The version was of before: somebody else was quicker.
    expect((await ask('/v1/desks/fraud/routing', 'PUT', { version, routing: NO_ROUTING }, other)).status).toBe(409);
    for (const gateway of [one, other]) {
      await expect.poll(() => laneOf(vip, gateway)).toBe('Key accounts');
      await expect.poll(() => laneOf(sim, gateway)).toBe('SIM boxes');
      await expect.poll(() => laneOf(plain, gateway)).toBeNull();
      const { sla, openedAt } = (await found(vip, gateway))!;
      expect(sla).toMatchObject({ respondBy: openedAt + 5 * MINUTE_MS, dueAt: openedAt + 5 * MINUTE_MS });
    }
    // One that comes now, and one that is tagged now.
    const later = await publish({ value: { tier: 'vip' } });
    await expect.poll(() => laneOf(later, other)).toBe('Key accounts');
    await ask(`/v1/cases/${plain}/events`, 'POST', { type: 'tag', add: ['zh'] });
    await expect.poll(() => laneOf(plain, other)).toBe('Mandarin');
    const total = async () => (await ask<{ total: number }>('/v1/cases?desk=fraud&lane=Key%20accounts')).body.total;
    await expect.poll(total).toBe(2);
    // A gateway that begins with nothing comes to the same.
    const third = await bench.start({ dataDir: ':memory:' });
    for (const caseId of [vip, sim, plain, later]) {
      await expect.poll(() => laneOf(caseId, third)).toBe(await laneOf(caseId));
      expect((await found(caseId, third))!.sla).toEqual((await found(caseId))!.sla);
    }
    await third.close();
    const closed = await ask(`/v1/cases/${later}/events`, 'POST', { type: 'outcome', outcome: 'confirmed' });
    expect([closed.status, await laneOf(later)]).toEqual([200, null]);
    // Without lanes everything is as the alerts say.
    await ask('/v1/desks/fraud/routing', 'PUT', { version: (await settings()).version, routing: NO_ROUTING });
    for (const gateway of [one, other]) await expect.poll(() => laneOf(plain, gateway)).toBeNull();
    expect((await found(plain))!.sla.respondBy).toBe(before.respondBy);
  });

  test('who has lanes takes from those alone; a routing that names no lane is refused', async () => {
    const lanes = [{ name: 'Critical', severities: ['critical'] }];
    const people = [{ name: 'Anna', lanes: ['Critical'] }];
    const put = async (routing: object) =>
      (await ask('/v1/desks/fraud/routing', 'PUT', { version: (await settings()).version, routing })).status;
    expect(await put({ lanes, people: [{ name: 'Anna', lanes: ['Nowhere'] }] })).toBe(422);
    expect(await put({ lanes: [...lanes, ...lanes], people })).toBe(422);
    expect(await put({ lanes, people })).toBe(200);
    const wanted = await publish({ severity: 'critical', ruleId: 'fraud.other' });
    await expect.poll(() => laneOf(wanted)).toBe('Critical');
    const taken = new Set<string>();
    for (;;) {
      const response = await fetch(`${one.url}/v1/cases/next`, {
        method: 'POST',
        body: JSON.stringify({ desk: 'fraud', by: 'Anna' }),
        headers: { 'content-type': 'application/json' },
      });
      if (response.status === 204) break;
      const { caseId, lane } = (await response.json()) as CaseSummary;
      expect(lane).toBe('Critical');
      taken.add(caseId);
    }
    expect(taken).toContain(wanted);
    const { status, body } = await ask<CaseSummary>('/v1/cases/next', 'POST', { desk: 'fraud', by: 'Ben' });
    expect([status, body.lane]).toEqual([200, null]);
  });
});
