import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type AlertData, SEVERITIES } from '../src/alerts/alert.ts';
import { caseKeyOf } from '../src/cases/case-alert.ts';
import { type CaseEvent, caseIdOf } from '../src/cases/case-event.ts';
import { type CaseAlert, type CaseIndex, type CaseMessage, openCaseIndex } from '../src/cases/case-index.ts';
import { CASE_GROUPINGS, type CasePosition, createCaseList } from '../src/cases/case-list.ts';
import { CASE_POLICY } from '../src/cases/case-policy.ts';
import type { CaseSummary } from '../src/cases/case-view.ts';
import { type CaseWork, FOR_EVER, foldCase, takesAlertAt } from '../src/cases/case-work.ts';
import { alertWith } from './http-gateway.ts';

const opened: { index: CaseIndex; folder?: string }[] = [];
const open = (path = ':memory:', policy = CASE_POLICY): CaseIndex => {
  const index = openCaseIndex(path, policy);
  opened.push({ index });
  return index;
};
afterEach(() => {
  for (const { index } of opened.splice(0)) index.close();
});

const NOW = 1_000_000;
const idOf = (n: number): string => n.toString(16).padStart(32, '0');
/** Alert n of a lane: subscriber, rule, and when the broker stored it. */
const alertAt = (n: number, sequence: number, at: number, fields: Partial<AlertData> = {}): CaseAlert => {
  const alert = alertWith({ alertId: idOf(n), servedMsisdn: '8613800000001', ...fields });
  return { sequence, at, alert, json: JSON.stringify(alert) };
};
const caseOf = (alert: CaseAlert): string => caseIdOf(alert.alert.desk, caseKeyOf(alert.alert), alert.alert.alertId);
let eventsMade = 0;
type Body = CaseEvent extends infer E ? (E extends CaseEvent ? Omit<E, 'id' | 'by'> : never) : never;
const eventAt = (caseId: string, sequence: number, at: number, body: Body, id = `e${++eventsMade}`): CaseMessage => ({
  sequence,
  at,
  desk: 'fraud',
  caseId,
  event: { id, by: 'anna', ...body } as CaseEvent,
});

/** Everything that a desk could see, without what depends on the clock. */
function dump(index: CaseIndex) {
  const list = createCaseList(index.tables);
  const ids = index.tables.db.prepare('SELECT case_id FROM work_case ORDER BY case_id').all();
  return {
    alerts: index.tables.db.prepare('SELECT alert_id, case_id, hidden_by FROM case_alert ORDER BY alert_id').all(),
    cases: ids.map(({ case_id }) => list.detail(String(case_id), NOW) ?? { caseId: case_id, unknown: true }),
    queue: list.page({}, { order: 'due', limit: 200, now: NOW }),
  };
}

describe('cases', () => {
  it.each<[string, Partial<AlertData>, { type: string; value: string }]>([
    ['the account behind it', { group: { type: 'account', value: 'a1' } }, { type: 'account', value: 'a1' }],
    ['the subscriber where it has no account', {}, { type: 'subscriber', value: '8613800000001' }],
    [
      'the subscriber that is its own account',
      { group: { type: 'account', value: '8613800000001' } },
      { type: 'subscriber', value: '8613800000001' },
    ],
  ])('gather alerts by %s', (_name, fields, key) => {
    expect(caseKeyOf(alertWith(fields))).toEqual(key);
  });

  it('gather alerts by what the rule groups by where there is no subscriber', () => {
    const { servedMsisdn: _none, ...cell } = alertWith({ key: { type: 'cell', value: 'c9' } });
    expect(caseKeyOf(cell)).toEqual({ type: 'cell', value: 'c9' });
  });

  it('take alerts while they are open; a later alert opens a new one', () => {
    const index = open();
    const [a, b, c] = [alertAt(1, 1, 10), alertAt(2, 2, 20), alertAt(3, 3, 40)];
    index.applyAlerts([a, b], 2);
    index.applyEvents([eventAt(caseOf(a), 1, 30, { type: 'outcome', outcome: 'falsePositive' })], 1);
    index.applyAlerts([c], 3);
    const list = createCaseList(index.tables);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({ status: 'closed', alerts: 2, outcome: 'falsePositive' });
    expect(list.detail(caseOf(c), NOW)).toMatchObject({ status: 'open', alerts: 1 });
    expect(list.detail(caseOf(b), NOW)).toBeUndefined();
  });

  it('are where their stream was left when the disk took nothing, so that what it lacks is read again', () => {
    const index = open();
    index.applyAlerts([alertAt(1, 1, 10)], 1);
    const { db } = index.tables;
    const alerts = Array.from({ length: 200 }, (_, n) => alertAt(n + 2, n + 2, 20, { servedMsisdn: `86138${n}` }));
    const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count']);
    db.exec(`PRAGMA max_page_count = ${pages}`);
    expect(() => index.applyAlerts(alerts, 201)).toThrow('full');
    expect(index.position('ALERTS').sequence).toBe(1);
    db.exec('PRAGMA max_page_count = 100000');
    index.applyAlerts(alerts, 201);
    expect(index.position('ALERTS').sequence).toBe(201);
    expect(createCaseList(index.tables).page({}, { order: 'due', limit: 200, now: NOW }).total).toBe(201);
  });

  it('leave an alert that whoever closed had not seen to a new case', () => {
    const index = open();
    const [a, b] = [alertAt(1, 1, 10), alertAt(2, 2, 25)];
    index.applyAlerts([a, b], 2);
    index.applyEvents([eventAt(caseOf(a), 1, 30, { type: 'outcome', outcome: 'confirmed', seenUntil: 10 })], 1);
    const list = createCaseList(index.tables);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({ alerts: 1, status: 'closed' });
    expect(list.detail(caseOf(b), NOW)).toMatchObject({ alerts: 1, status: 'open' });
  });

  it('are due sooner when they are severe, for key accounts, and never later by a lower alert', () => {
    const index = open();
    const { sla } = CASE_POLICY;
    const a = alertAt(1, 1, 0, { severity: 'info' });
    index.applyAlerts([a], 1);
    const list = createCaseList(index.tables);
    const due = () => list.detail(caseOf(a), NOW)?.sla.dueAt;
    expect(due()).toBe(sla.standard.info.respondSec * 1000);
    index.applyAlerts([alertAt(2, 2, 1000, { severity: 'critical', value: { tier: 'vip' } })], 2);
    expect(due()).toBe(1000 + sla.vip.critical.respondSec * 1000);
    index.applyAlerts([alertAt(3, 3, 2000, { severity: 'warning' })], 3);
    expect(due()).toBe(1000 + sla.vip.critical.respondSec * 1000);
    index.applyEvents([eventAt(caseOf(a), 1, 3000, { type: 'acknowledge' })], 1);
    expect(due()).toBe(1000 + sla.vip.critical.closeSec * 1000);
    index.applyEvents([eventAt(caseOf(a), 2, 4000, { type: 'outcome', outcome: 'confirmed' })], 2);
    expect(due()).toBeNull();
  });

  it('show what was merged into them, and give it back on undo', () => {
    const index = open();
    const a = alertAt(1, 1, 10);
    const b = alertAt(2, 2, 11, { servedMsisdn: '8613800000002', severity: 'critical' });
    index.applyAlerts([a, b], 2);
    index.applyEvents([eventAt(caseOf(b), 1, 20, { type: 'merge', into: caseOf(a) }, 'm1')], 1);
    const list = createCaseList(index.tables);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({
      alerts: 2,
      severity: 'critical',
      mergedFrom: [caseOf(b)],
      servedMsisdns: ['8613800000001', '8613800000002'],
    });
    expect(list.page({}, { order: 'due', limit: 10, now: NOW }).cases).toHaveLength(1);
    // An alert of the other subscriber is seen where its case went.
    index.applyAlerts([alertAt(3, 3, 30, { servedMsisdn: '8613800000002' })], 3);
    expect(list.detail(caseOf(a), NOW)?.alerts).toBe(3);
    index.applyEvents([eventAt(caseOf(b), 2, 40, { type: 'undo', eventId: 'm1' })], 2);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({ alerts: 1, severity: 'warning', mergedFrom: [] });
    expect(list.detail(caseOf(b), NOW)).toMatchObject({ alerts: 2, status: 'open' });
  });

  it('send no more alerts to a case that is closed where they were merged to, whatever was read first', () => {
    const a = alertAt(1, 1, 10);
    const [b, late] = [2, 3].map((n) => alertAt(n, n, n * 20, { servedMsisdn: '8613800000002' }));
    const events = [
      eventAt(caseOf(b), 1, 45, { type: 'merge', into: caseOf(a) }),
      eventAt(caseOf(a), 2, 50, { type: 'outcome', outcome: 'confirmed' }),
    ];
    const [one, two] = [open(), open()];
    one.applyAlerts([a, b, late], 3);
    for (const event of events) one.applyEvents([event], event.sequence);
    two.applyEvents(events, 2);
    two.applyAlerts([a, b, late], 3);
    expect(dump(one)).toEqual(dump(two));
    expect(createCaseList(one.tables).detail(caseOf(late), NOW)).toMatchObject({ status: 'open', alerts: 1 });
  });

  it('hide a snoozed rule for one subscriber until the snooze ends, and count what it hid', () => {
    const index = open();
    const a = alertAt(1, 1, 10, { ruleId: 'fraud.a' });
    index.applyAlerts([a], 1);
    const close = eventAt(caseOf(a), 2, 21, { type: 'outcome', outcome: 'falsePositive' });
    const snooze = { type: 'snoozeRule', ruleId: 'fraud.a', until: 100, reason: 'known dialler' } as const;
    index.applyEvents([eventAt(caseOf(a), 1, 20, snooze, 's1'), close], 2);
    const [hidden, otherRule, later] = [
      alertAt(2, 2, 50, { ruleId: 'fraud.a' }),
      alertAt(3, 3, 60, { ruleId: 'fraud.b', servedMsisdn: '8613800000009' }),
      alertAt(4, 4, 100, { ruleId: 'fraud.a' }),
    ];
    index.applyAlerts([hidden, otherRule, later], 4);
    const list = createCaseList(index.tables);
    expect(list.detail(caseOf(a), NOW)?.ruleSnoozes).toMatchObject([{ id: 's1', hiddenAlerts: 1 }]);
    expect(
      list.page({ active: true }, { order: 'newest', limit: 9, now: NOW }).cases.map(({ caseId }) => caseId),
    ).toEqual([caseOf(later), caseOf(otherRule)]);
    expect(list.ended(99)).toEqual([]);
    expect(list.ended(100)).toEqual([{ caseId: caseOf(a), snoozeId: 's1' }]);
    expect(list.preview(caseOf(a), 'fraud.a', 1, 100)).toMatchObject({ alerts: 3, cases: 2, confirmed: 0 });
  });

  it('keep their work when their alerts are not kept any more', () => {
    const index = open();
    const a = alertAt(1, 1, 10);
    const b = alertAt(2, 2, 20);
    index.applyAlerts([a, b], 2);
    const about = { key: caseKeyOf(a.alert), openedAt: 10, ruleIds: ['fraud.x'], servedMsisdns: ['8613800000001'] };
    index.applyEvents([eventAt(caseOf(a), 1, 30, { type: 'note', note: 'called', about } as Body)], 1);
    index.forgetBefore(2);
    const list = createCaseList(index.tables);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({ alerts: 1, timeline: [{ event: { note: 'called' } }] });
    index.forgetBefore(3);
    expect(list.detail(caseOf(a), NOW)).toMatchObject({ alerts: 0, key: about.key, ruleIds: ['fraud.x'] });
    // A new gateway, which never saw those alerts, knows the same.
    const other = open();
    other.applyEvents([eventAt(caseOf(a), 1, 30, { type: 'note', note: 'called', about } as Body, 'e')], 1);
    other.applyAlerts([alertAt(3, 3, 40)], 3);
    expect(createCaseList(other.tables).detail(caseOf(a), NOW)).toMatchObject({ alerts: 1, openedAt: 10 });
  });

  it.each([
    ['is no database', 'this is no database'],
    ['is empty', ''],
  ])('are made anew where their file %s', (_name, content) => {
    const folder = mkdtempSync(join(tmpdir(), 'ringfence-cases-'));
    const path = join(folder, 'cases.sqlite');
    writeFileSync(path, content);
    const index = open(path);
    expect(index.position('ALERTS')).toEqual({ created: '', sequence: 0 });
    index.useStream('ALERTS', 'today');
    index.applyAlerts([alertAt(1, 1, 10)], 1);
    index.close();
    opened.length = 0;
    const again = openCaseIndex(path, CASE_POLICY);
    expect(again.position('ALERTS')).toEqual({ created: 'today', sequence: 1 });
    again.close();
    // Another policy means other times in every row.
    const changed = openCaseIndex(path, { ...CASE_POLICY, controlShare: 0.1 });
    expect(changed.position('ALERTS')).toEqual({ created: '', sequence: 0 });
    changed.close();
    rmSync(folder, { recursive: true });
  });
});

// -- the same whatever is read first -------------------------------------------------------------------------------------

const LANES = ['8613800000001', '8613800000002'];
const RULES = ['fraud.a', 'fraud.b'];

/** What is drawn: a history of both streams in broker time. */
const history = fc.array(
  fc.oneof(
    fc.record({ what: fc.constant('alert' as const), lane: fc.nat(1), rule: fc.nat(1), again: fc.nat(9) }),
    fc.record({
      what: fc.constant('event' as const),
      case: fc.nat(3),
      kind: fc.constantFrom(
        'acknowledge',
        'outcome',
        'outcome',
        'outcomeUnseen',
        'reopen',
        'merge',
        'merge',
        'snoozeRule',
        'unsnoozeRule',
        'undo',
        'note',
        'assign',
      ),
      other: fc.nat(3),
    }),
  ),
  { minLength: 10, maxLength: 40, size: 'max' },
);

type Step = typeof history extends fc.Arbitrary<(infer S)[]> ? S : never;

function streamsOf(steps: readonly Step[]): { alerts: CaseAlert[]; events: CaseMessage[] } {
  const alerts: CaseAlert[] = [];
  const events: CaseMessage[] = [];
  /** Cases that exist somewhere, or might: every alert may open one. */
  const cases: string[] = [];
  let at = 0;
  for (const step of steps) {
    at += 10;
    if (step.what === 'alert') {
      const sequence = alerts.length + 1;
      const earlier = alerts[step.again];
      if (earlier !== undefined && step.again % 3 === 0) {
        const alert = { ...earlier.alert, revision: sequence, severity: 'critical' as const };
        alerts.push({ sequence, at, alert, json: JSON.stringify(alert) });
        continue;
      }
      const made = alertAt(sequence, sequence, at, {
        servedMsisdn: LANES[step.lane]!,
        ruleId: RULES[step.rule]!,
        revision: 1,
        eventTime: at,
        triggerRecordId: `r${sequence}`,
      });
      alerts.push(made);
      cases.push(caseOf(made));
      continue;
    }
    const caseId = cases[step.case % Math.max(1, cases.length)];
    if (caseId === undefined) continue;
    const others = events.filter((event) => event.caseId === caseId);
    const target = others[step.other % Math.max(1, others.length)]?.event.id ?? 'none';
    const bodies: Record<typeof step.kind, Body> = {
      acknowledge: { type: 'acknowledge' },
      outcome: { type: 'outcome', outcome: 'falsePositive' },
      outcomeUnseen: { type: 'outcome', outcome: 'confirmed', seenUntil: at - 35 },
      reopen: { type: 'reopen', reason: 'again' },
      merge: { type: 'merge', into: cases[step.other % cases.length]! },
      snoozeRule: { type: 'snoozeRule', ruleId: RULES[step.other % 2]!, until: at + 60, reason: 'known' },
      unsnoozeRule: { type: 'unsnoozeRule', snoozeId: target },
      undo: { type: 'undo', eventId: target },
      note: { type: 'note', note: 'n' },
      assign: { type: 'assign', assignee: 'anna' },
    };
    const sequence = events.length + 1;
    events.push(eventAt(caseId, sequence, at, bodies[step.kind], `e${sequence}`));
  }
  return { alerts, events };
}

/**
 * The rule of the cases once more, as plainly as it can be said: everything is known, each alert is asked where it belongs.
 */
function oracle(alerts: readonly CaseAlert[], events: readonly CaseMessage[]): Map<string, string | null> {
  const works = new Map<string, CaseWork>();
  for (const { caseId } of events) {
    if (works.has(caseId)) continue;
    works.set(
      caseId,
      foldCase(
        'fraud',
        caseId,
        events.filter((event) => event.caseId === caseId),
      ),
    );
  }
  const mergeOf = (caseId: string) => works.get(caseId)?.mergedInto ?? null;
  /** Follows mergers; of those that go in a circle the newest does not count. */
  const isVoid = (caseId: string): boolean => {
    const circle: string[] = [];
    for (let id: string | undefined = caseId; id !== undefined && !circle.includes(id); id = mergeOf(id)?.caseId)
      circle.push(id);
    const closes = mergeOf(circle.at(-1)!)?.caseId === caseId;
    if (!closes) return false;
    const newest = Math.max(...circle.map((id) => mergeOf(id)!.sequence));
    return mergeOf(caseId)!.sequence === newest;
  };
  const takes = (caseId: string, at: number): boolean => {
    const work = works.get(caseId);
    if (work === undefined) return true;
    const merge = work.mergedInto;
    if (merge === null || at <= merge.at || isVoid(caseId)) return takesAlertAt(work, at);
    return takes(merge.caseId, at);
  };
  const found = new Map<string, string | null>();
  for (const lane of LANES) {
    const first = new Map<string, CaseAlert>();
    for (const one of alerts)
      if (one.alert.servedMsisdn === lane && !first.has(one.alert.alertId)) first.set(one.alert.alertId, one);
    const laneCases = new Set([...first.values()].map(caseOf));
    const open: string[] = [];
    for (const one of first.values()) {
      const own = caseOf(one);
      const isHidden = [...laneCases].some((caseId) =>
        (works.get(caseId)?.ruleSnoozes ?? []).some(
          ({ ruleId, from, until }) => ruleId === one.alert.ruleId && one.at >= from && one.at < until,
        ),
      );
      const taker = works.has(own) ? own : isHidden ? null : (open.findLast((id) => takes(id, one.at)) ?? own);
      if (taker === own) open.push(own);
      found.set(one.alert.alertId, taker);
    }
  }
  return found;
}

/** Feeds both streams in an order and in portions that `choice` decides. */
function feed(index: CaseIndex, alerts: CaseAlert[], events: CaseMessage[], choice: readonly number[]): void {
  let a = 0;
  let e = 0;
  let turn = 0;
  while (a < alerts.length || e < events.length) {
    const draw = choice[turn++ % choice.length]!;
    const portion = 1 + (draw >> 1);
    if ((draw % 2 === 0 && a < alerts.length) || e >= events.length) {
      const part = alerts.slice(a, a + portion);
      a += part.length;
      index.applyAlerts(part, part.at(-1)!.sequence);
    } else {
      const part = events.slice(e, e + portion);
      e += part.length;
      index.applyEvents(part, part.at(-1)!.sequence);
    }
  }
}

describe('two gateways', () => {
  it('come to the same cases in whatever order they read the two streams, and to those of the plain rule', () => {
    fc.assert(
      fc.property(
        history,
        fc.array(fc.nat(9), { minLength: 1, maxLength: 20 }),
        fc.array(fc.nat(9), { minLength: 1, maxLength: 20 }),
        (steps, first, second) => {
          const { alerts, events } = streamsOf(steps);
          const [one, two] = [open(), open()];
          feed(one, alerts, events, first);
          feed(two, alerts, events, second);
          const [left, right] = [dump(one), dump(two)];
          for (const { index } of opened.splice(0)) index.close();
          expect(left).toEqual(right);
          const placed = new Map(left.alerts.map(({ alert_id, case_id }) => [String(alert_id), case_id]));
          expect(placed).toEqual(oracle(alerts, events));
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('work on a case', () => {
  const fold = (...events: [Body, id?: string][]) =>
    foldCase(
      'fraud',
      idOf(1),
      events.map(([body, id], n) => {
        const { sequence, at, event } = eventAt(idOf(1), n + 1, (n + 1) * 10, body, id ?? `e${n}`);
        return { sequence, at, event };
      }),
    );
  const outcome: Body = { type: 'outcome', outcome: 'confirmed' };

  it.each<[string, [Body, string?][], string[]]>([
    ['a second closing', [[outcome], [{ type: 'outcome', outcome: 'falsePositive' }]], ['applied', 'closed']],
    ['an outcome of another desk', [[{ type: 'outcome', outcome: 'paid' }]], ['otherDesk']],
    [
      'an outcome by the name of what every object has',
      [[{ type: 'outcome', outcome: 'toString' as 'paid' }]],
      ['otherDesk'],
    ],
    ['a note on what is closed', [[outcome], [{ type: 'note', note: 'x' }]], ['applied', 'closed']],
    ['reopening what is open', [[{ type: 'reopen', reason: 'x' }]], ['notClosed']],
    [
      'a second one of the same id',
      [
        [{ type: 'note', note: 'x' }, 'n'],
        [{ type: 'note', note: 'y' }, 'n'],
      ],
      ['applied', 'duplicate'],
    ],
    ['a second acknowledgement', [[{ type: 'acknowledge' }], [{ type: 'acknowledge' }]], ['applied', 'notOpen']],
    ['a snooze of a rule for years', [[{ type: 'snoozeRule', ruleId: 'r', until: 1e13, reason: 'x' }]], ['tooLong']],
    ['merging into itself', [[{ type: 'merge', into: idOf(1) }]], ['intoItself']],
    ['an offer on another desk', [[{ type: 'offer', offerId: 'o', result: 'made' }]], ['otherDesk']],
    ['undoing what is not there', [[{ type: 'undo', eventId: 'x' }]], ['noSuchEvent']],
    [
      'undoing twice',
      [[{ type: 'note', note: 'x' }, 'n'], [{ type: 'undo', eventId: 'n' }], [{ type: 'undo', eventId: 'n' }]],
      ['undone', 'applied', 'noSuchEvent'],
    ],
    [
      'undoing what has gone out',
      [[{ type: 'action', action: 'bar' }, 'a'], [{ type: 'undo', eventId: 'a' }]],
      ['applied', 'noSuchEvent'],
    ],
  ])('knows that %s does nothing', (_name, events, effects) => {
    expect(fold(...events).timeline.map(({ effect }) => effect)).toEqual(effects);
  });

  it('is what it was before, once an event is undone', () => {
    const before = fold([{ type: 'acknowledge' }], [{ type: 'tag', add: ['a', 'b'] }]);
    const after = fold(
      [{ type: 'acknowledge' }],
      [{ type: 'tag', add: ['a', 'b'] }],
      [outcome, 'o'],
      [{ type: 'undo', eventId: 'o' }],
    );
    expect({ ...after, timeline: [] }).toEqual({ ...before, timeline: [] });
  });

  it('takes what follows an undone event as if that had never been', () => {
    const work = fold([outcome, 'o'], [{ type: 'note', note: 'late' }], [{ type: 'undo', eventId: 'o' }]);
    expect(work.notes).toBe(1);
    expect(work.timeline.map(({ effect }) => effect)).toEqual(['undone', 'applied', 'applied']);
  });

  it('takes no alerts while it is closed', () => {
    const work = fold([outcome], [{ type: 'reopen', reason: 'x' }], [outcome]);
    expect(work.closures).toEqual([
      { from: 10, to: 20 },
      { from: 30, to: FOR_EVER },
    ]);
    expect([10, 11, 20, 21, 30, 31].map((at) => takesAlertAt(work, at))).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
    ]);
  });
});

describe('groups', () => {
  it.each(CASE_GROUPINGS)('by %s: each says how many it has, and its filter finds them', async (by) => {
    const index = open();
    // Without a subscriber: the field must be absent, not undefined.
    const ofCell = (n: number) => ({ key: { type: 'cell', value: `cell-${n}` }, servedMsisdn: undefined as never });
    // More cases than are gathered at once, some of several rules, some of no subscriber.
    const alerts = Array.from({ length: 4_500 }, (_, n) =>
      alertAt(n, n + 1, 1_000, {
        ...(n % 9 === 0 ? ofCell(n) : { servedMsisdn: `8613800${String(n % 4_000).padStart(6, '0')}` }),
        ruleId: `fraud.r${n % 7}`,
        severity: SEVERITIES[n % 3]!,
      }),
    );
    index.applyAlerts(alerts, alerts.length);
    const events = alerts.slice(0, 60).flatMap((alert, n) => {
      const body: Body[] = [
        { type: 'assign', assignee: `p${n % 4}` },
        n % 3 === 0 ? { type: 'acknowledge' } : { type: 'snooze', until: NOW * 2, reason: 'later' },
      ];
      return body.map((one, part) => eventAt(caseOf(alert), n * 2 + part + 1, 2_000, one));
    });
    index.applyEvents(events, events.length);
    const list = createCaseList(index.tables);
    const filter = { desk: 'fraud', active: true } as const;
    const all: CaseSummary[] = [];
    let after: CasePosition | undefined;
    do {
      const page = list.page(filter, { order: 'score', limit: 200, after, now: NOW });
      all.push(...page.cases);
      after = page.next ?? undefined;
    } while (after !== undefined);

    const expected = new Map<string, number>();
    for (const one of all) {
      const values = {
        rule: one.ruleIds,
        subscriber: one.servedMsisdns.length === 0 ? [''] : one.servedMsisdns,
        severity: [one.severity],
        status: [one.status],
        assignee: [one.assignee ?? ''],
        lane: [one.lane ?? ''],
      }[by];
      for (const value of values) expected.set(value, (expected.get(value) ?? 0) + 1);
    }
    const { groups, more } = await list.groups(filter, { by, now: NOW });
    expect(groups.length + more).toBe(expected.size);
    for (const { filter: found, cases } of groups)
      expect([found, cases]).toEqual([found, expected.get(Object.values(found)[0]!)]);
    for (const { filter: found, cases, overdue } of groups.slice(0, 20)) {
      expect(list.page({ ...filter, ...found }, { order: 'due', limit: 1, now: NOW }).total).toBe(cases);
      expect(list.page({ ...filter, ...found, isOverdue: true }, { order: 'due', limit: 1, now: NOW }).total).toBe(
        overdue,
      );
    }
    if (by === 'severity')
      expect(groups.map(({ filter: { severity } }) => severity)).toEqual(['critical', 'warning', 'info']);
    else expect(groups.map(({ cases }) => cases)).toEqual(groups.map(({ cases }) => cases).sort((a, b) => b - a));
  });
});
