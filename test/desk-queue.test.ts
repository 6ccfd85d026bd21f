/** The queue of a desk: what is on the screen never moves under a hand, and nothing is missing once it lets go. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData, Severity } from '../src/alerts/alert.ts';
import { createDeskQueue, type DeskQueue, NO_FILTERS, type QueueFilters } from '../src/console/desk-queue.ts';
import { groupRows, isGroup, rowId } from '../src/console/queue-groups.ts';
import { ANY_TIME, boundsOf, NO_BOUNDS, readTimeRange, writeTimeRange } from '../src/console/time-range.ts';

function alert(alertId: string, change: Partial<AlertData> = {}): AlertData {
  return {
    alertId,
    revision: 1,
    status: 'firing',
    ruleId: 'fraud.long-call',
    ruleVersion: 1,
    catalogue: 'F09',
    desk: 'fraud',
    severity: 'warning',
    title: { en: 'Long call', 'zh-CN': '超长通话' },
    key: { type: 'subscriber', value: '8613800000001' },
    eventTime: 1_000,
    triggerRecordId: 'r1',
    reason: { en: '', 'zh-CN': '' },
    evidence: [],
    score: 50,
    suggestedActions: [],
    observedSince: 0,
    ...change,
  };
}

const ids = (queue: DeskQueue): string[] => queue.rows().map((entry) => entry.alert.alertId);

function filled(...alerts: AlertData[]): DeskQueue {
  const queue = createDeskQueue();
  queue.arrange(NO_FILTERS, 'newest');
  for (const one of alerts) queue.upsert(one);
  queue.flush();
  return queue;
}

describe('order', () => {
  const three = [
    alert('old', { eventTime: 1, score: 90 }),
    alert('new', { eventTime: 3, score: 10 }),
    alert('mid', { eventTime: 2, score: 90 }),
  ];

  test.each([
    ['newest', ['new', 'mid', 'old']],
    ['score', ['mid', 'old', 'new']],
  ] as const)('by %s', (sort, expected) => {
    const queue = filled(...three);
    queue.arrange(NO_FILTERS, sort);
    expect(ids(queue)).toEqual(expected);
  });

  test('a revision replaces its row where it stands', () => {
    const queue = filled(...three);
    queue.upsert(alert('old', { revision: 2, eventTime: 99, status: 'resolved' }));
    queue.flush();
    expect(ids(queue)).toEqual(['new', 'mid', 'old']);
    expect(queue.rows()[2]?.alert.status).toBe('resolved');
  });

  test('an older or equal revision is no news', () => {
    const queue = filled(alert('a', { revision: 3, severity: 'critical' }));
    expect([2, 3, 4].map((revision) => queue.upsert(alert('a', { revision })))).toEqual([false, false, true]);
  });
});

describe('filters', () => {
  const alerts = [
    alert('1', { severity: 'critical', ruleId: 'fraud.x' }),
    alert('2', { status: 'resolved', key: { type: 'imsi', value: '46000999' }, servedMsisdn: '8613911112222' }),
    alert('3', { severity: 'info' }),
  ];
  const cases: [string, Partial<QueueFilters>, string[]][] = [
    ['nothing', {}, ['1', '2', '3']],
    ['severities', { severities: ['critical', 'info'] }, ['1', '3']],
    ['status', { status: 'resolved' }, ['2']],
    ['rule', { ruleId: 'fraud.x' }, ['1']],
    ['part of the key', { subscriber: '0999' }, ['2']],
    ['part of the subscriber', { subscriber: '39111' }, ['2']],
    ['two at once', { severities: ['critical'], status: 'resolved' }, []],
  ];
  test.each(cases)('%s', (_name, change, expected) => {
    const queue = filled(...alerts);
    queue.arrange({ ...NO_FILTERS, ...change }, 'newest');
    expect(ids(queue).sort()).toEqual(expected);
  });

  test('counts of severities leave out the filter of severities only', () => {
    const queue = filled(...alerts);
    queue.arrange({ ...NO_FILTERS, severities: ['critical'], status: 'firing' }, 'newest');
    expect(queue.counts()).toEqual({
      severity: { critical: 1, warning: 0, info: 1 },
      criticalFiring: 1,
      total: 3,
    });
  });

  test('an alert that comes to match by a revision comes in', () => {
    const queue = filled(alert('a', { severity: 'warning' }));
    queue.arrange({ ...NO_FILTERS, severities: ['critical'] }, 'newest');
    expect(ids(queue)).toEqual([]);
    queue.upsert(alert('a', { revision: 2, severity: 'critical' }));
    queue.flush();
    expect(ids(queue)).toEqual(['a']);
  });
});

describe('a held list', () => {
  test('counts new alerts and shows them when asked', () => {
    const queue = filled(alert('a'));
    queue.hold(true);
    queue.upsert(alert('b', { eventTime: 2_000 }));
    queue.upsert(alert('a', { revision: 2, severity: 'critical' }));
    queue.flush();
    expect([ids(queue), queue.waiting(), queue.rows()[0]?.alert.severity]).toEqual([['a'], 1, 'critical']);
    queue.admit();
    expect([ids(queue), queue.waiting()]).toEqual([['b', 'a'], 0]);
  });

  test('takes in what belongs below its last row, which moves nothing', () => {
    const queue = filled(alert('a'), alert('b', { eventTime: 900 }));
    queue.hold(true);
    queue.upsert(alert('older', { eventTime: 500 }));
    queue.upsert(alert('between', { eventTime: 950 }));
    queue.flush();
    expect([ids(queue), queue.waiting()]).toEqual([['a', 'b', 'older'], 1]);
  });

  test('keeps a row that stopped matching until it is let go', () => {
    const queue = filled(alert('a'));
    queue.arrange({ ...NO_FILTERS, status: 'firing' }, 'newest');
    queue.hold(true);
    queue.upsert(alert('a', { revision: 2, status: 'resolved' }));
    queue.flush();
    expect(ids(queue)).toEqual(['a']);
    queue.hold(false);
    expect(ids(queue)).toEqual([]);
  });

  const severity = fc.constantFrom<Severity>('info', 'warning', 'critical');
  const step = fc.oneof(
    fc.record({
      do: fc.constant('upsert' as const),
      id: fc.integer({ min: 0, max: 30 }),
      revision: fc.integer({ min: 1, max: 4 }),
      severity,
      eventTime: fc.integer({ min: 0, max: 50 }),
      score: fc.integer({ min: 0, max: 100 }),
      status: fc.constantFrom('firing' as const, 'resolved' as const),
    }),
    fc.record({ do: fc.constant('flush' as const) }),
    fc.record({ do: fc.constant('hold' as const), held: fc.boolean() }),
    fc.record({ do: fc.constant('admit' as const) }),
    fc.record({ do: fc.constant('arrange' as const), sort: fc.constantFrom('newest' as const, 'score' as const) }),
  );
  const filters = fc.record({
    severities: fc.subarray<Severity>(['info', 'warning', 'critical']),
    status: fc.constantFrom('' as const, 'firing' as const),
    ruleId: fc.constant(''),
    subscriber: fc.constant(''),
    time: fc.constant(ANY_TIME),
  });
  const bounds = fc.constantFrom(NO_BOUNDS, { from: 10, to: 40 }, { from: 25, to: Infinity });

  test('no row moves while held, and in the end everything that matches is there once', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 80 }),
        filters,
        fc.constantFrom('newest', 'score'),
        bounds,
        fc.constantFrom(0, 3, 2_000),
        (steps, filter, firstSort, times, unplacedMax) => {
          const queue = createDeskQueue(undefined, unplacedMax);
          let sort = firstSort;
          queue.arrange(filter, sort, times);
          const newest = new Map<string, AlertData>();
          let held = false;
          for (const one of steps) {
            const before = ids(queue);
            if (one.do === 'upsert') {
              const { do: _do, id, ...change } = one;
              const sent = alert(`a${id}`, change);
              const known = newest.get(sent.alertId);
              if (known === undefined || sent.revision > known.revision) newest.set(sent.alertId, sent);
              queue.upsert(sent);
            } else if (one.do === 'flush') queue.flush();
            else if (one.do === 'admit') queue.admit();
            else if (one.do === 'arrange') {
              sort = one.sort;
              queue.arrange(filter, sort, times);
            } else {
              held = one.held;
              queue.hold(held);
            }
            if (held && one.do !== 'admit' && one.do !== 'arrange')
              expect(ids(queue).slice(0, before.length)).toEqual(before);
          }
          queue.flush();
          queue.hold(false);
          queue.flush();
          const expected = [...newest.values()]
            .filter((known) => filter.severities.length === 0 || filter.severities.includes(known.severity))
            .filter((known) => filter.status === '' || known.status === filter.status)
            .filter(({ eventTime }) => eventTime >= times.from && eventTime < times.to)
            .map((known) => known.alertId);
          expect(ids(queue).sort()).toEqual(expected.sort());
          for (const { alert: shown } of queue.rows()) expect(shown).toEqual(newest.get(shown.alertId));

          // Laid out anew, the rows are in the order of what they show.
          queue.arrange(filter, sort, times);
          const rank = ({ score, eventTime }: AlertData) => (sort === 'score' ? score * 1_000 + eventTime : eventTime);
          const shown = queue.rows().map((entry) => entry.alert);
          const inOrder = [...shown].sort((a, b) => rank(b) - rank(a) || (a.alertId < b.alertId ? -1 : 1));
          expect(shown).toEqual(inOrder);
          // What the chips say is what pressing them would show.
          const counted = Object.values(queue.counts().severity).reduce((sum, one) => sum + one);
          queue.arrange({ ...filter, severities: [] }, sort, times);
          expect(counted).toBe(queue.rows().length);
        },
      ),
    );
  });
});

describe('limits and reloads', () => {
  test('the oldest alerts go when there are too many', () => {
    const queue = createDeskQueue(100);
    queue.arrange(NO_FILTERS, 'newest');
    for (let at = 0; at < 5_000; at++) queue.upsert(alert(`a${at}`, { eventTime: at, ruleId: `r${at}` }));
    queue.flush();
    expect([queue.rows().length, queue.counts().total, queue.rules().length]).toEqual([100, 100, 100]);
    expect([ids(queue)[0], ids(queue)[99]]).toEqual(['a4999', 'a4900']);
  });

  test('of alerts of one time, the first that came go first', () => {
    const queue = createDeskQueue(100);
    queue.arrange(NO_FILTERS, 'newest');
    for (let at = 0; at < 5_000; at++) queue.upsert(alert(`a${at}`, { eventTime: at < 4_950 ? 1 : 2 }));
    queue.flush();
    const kept = Array.from({ length: 100 }, (_, at) => `a${4_900 + at}`);
    expect(ids(queue).sort()).toEqual(kept);
  });

  test('a reload forgets what the server no longer names, but not what came in meanwhile', () => {
    const queue = filled(alert('gone'), alert('kept'));
    queue.beginReload();
    queue.upsert(alert('kept'));
    queue.upsert(alert('live', { eventTime: 5 }));
    queue.endReload();
    queue.flush();
    expect(ids(queue).sort()).toEqual(['kept', 'live']);
    expect(queue.find('gone')).toBeUndefined();
  });
});

describe('groups', () => {
  const some = [
    alert('a', { ruleId: 'fraud.b', severity: 'warning', eventTime: 5 }),
    alert('b', { ruleId: 'fraud.a', severity: 'info', eventTime: 4, status: 'resolved' }),
    alert('c', { ruleId: 'fraud.b', severity: 'critical', eventTime: 3 }),
    alert('d', { key: { type: 'cell', value: '460-00-1' }, eventTime: 2, severity: 'info' }),
    alert('e', { key: { type: 'subscriber', value: '86138****0001' }, subscriberRef: 's_1', eventTime: 1 }),
    alert('f', { key: { type: 'subscriber', value: '86138****0001' }, subscriberRef: 's_2', eventTime: 0 }),
  ];
  const shown = (by: 'rule' | 'severity' | 'entity' | 'status', open = '') =>
    groupRows(filled(...some).rows(), by, open).map((row) =>
      isGroup(row) ? `${row.value}: ${row.alerts} ${row.severity}` : rowId(row),
    );

  test('each says how many it holds, and the one that is open shows them in the order of the list', () => {
    expect(shown('severity', 'info')).toEqual(['critical: 1 critical', 'warning: 3 warning', 'info: 2 info', 'b', 'd']);
    expect(shown('status')).toEqual(['firing: 5 critical', 'resolved: 1 info']);
    expect(shown('rule').slice(0, 1)).toEqual(['fraud.long-call: 3 warning']);
    expect(shown('rule', 'fraud.b')).toEqual([
      'fraud.long-call: 3 warning',
      'fraud.b: 2 critical',
      'a',
      'c',
      'fraud.a: 1 info',
    ]);
    expect(shown('rule', 'fraud.nothing')).toEqual(shown('rule'));
  });

  test('numbers that look the same because they are masked are not gathered', () => {
    expect(shown('entity', 's_2')).toEqual(expect.arrayContaining(['s_1: 1 warning', 's_2: 1 warning', 'f']));
  });
});

describe('times', () => {
  test.each([
    [{}, {}],
    [{ age: '24h' }, { age: '24h' }],
    [{ from: '2026-03-01T08:00Z' }, { from: '2026-03-01T08:00Z' }],
    [
      { from: '2026-03-01T08:00Z', to: '2026-03-02T00:30Z' },
      { from: '2026-03-01T08:00Z', to: '2026-03-02T00:30Z' },
    ],
    // An age says it all; what cannot be understood is as if absent.
    [{ age: '1h', from: '2026-03-01T08:00Z' }, { age: '1h' }],
    [{ age: '2h', from: '2026-13-01T08:00Z', to: 'now' }, {}],
  ])('%j in an address is %j', (texts, expected) => {
    const written = Object.entries(writeTimeRange(readTimeRange(texts))).filter(([, text]) => text !== '');
    expect(Object.fromEntries(written)).toEqual(expected);
  });

  test('an age begins at a whole minute', () => {
    const nowMs = Date.UTC(2026, 2, 1, 8, 30, 59);
    expect(boundsOf({ ...ANY_TIME, age: '1h' }, nowMs)).toEqual({ from: Date.UTC(2026, 2, 1, 7, 30), to: Infinity });
    expect(boundsOf({ age: '', from: 5, to: 7 }, nowMs)).toEqual({ from: 5, to: 7 });
    expect(boundsOf(ANY_TIME, nowMs)).toEqual(NO_BOUNDS);
  });
});
