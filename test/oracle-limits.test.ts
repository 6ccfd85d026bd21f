/** The comparison of oracle.test.ts over one thing at a time (drawn-limits.ts): limits, accounts, entities, alerts that timers make. */
import { describe, test } from 'vitest';
import { accounts, atOnce, awaited, bills, due, entities, limits, places } from './drawn-limits.ts';
import { expectSameInDrawnCases } from './same-alerts.ts';

describe('the engine gives what the oracle gives', () => {
  test('where records lie just at the limits of members, runs and what is passed on', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(300, limits, ['fired']),
  );
  test('where a rule looks when a member should have been confirmed', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(300, due, ['fired', 'timed']),
  );
  test('of places just beside each other in time', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(400, places, ['fired']),
  );
  test('of calls at once and long ones that are remembered for ten minutes', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(500, atOnce, ['fired']),
  );
  test('of bills and how late they were paid', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(800, bills, ['fired']),
  );
  test('of what accounts owe, have paid and promised', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(800, accounts, ['fired', 'resolved', 'timed']),
  );
  test('of one alert for all keys of an entity', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(600, entities, ['fired', 'resolved', 'raised']),
  );
  test('where rules look at alerts that timers have made', { timeout: 300_000 }, () =>
    expectSameInDrawnCases(600, awaited, ['fired', 'resolved', 'timed']),
  );
});
