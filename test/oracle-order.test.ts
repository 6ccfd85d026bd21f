/**
 * The comparison of oracle.test.ts over values that follow from the order of records: many of one moment or just as far apart as a
 * limit, with alerts as records, inhibition, runs, members, places and what is held.
 */
import { describe, test } from 'vitest';
import { order } from './drawn-case.ts';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 3_500;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases of few moments`, { timeout: 600_000 }, () =>
    expectSameInDrawnCases(CASES, order, ['fired', 'resolved', 'late']),
  );
});
