/**
 * The engine against a second one that is as simple as can be (oracle.ts): small random rule sets over small random streams,
 * with records out of order, duplicates and late ones. More cases, beside these: oracle-at-length.test.ts, oracle-weeks.test.ts,
 * oracle-order.test.ts, oracle-limits.test.ts and, with the rules swapped in the middle, oracle-swaps.test.ts.
 */
import { describe, test } from 'vitest';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 1_000;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases`, { timeout: 300_000 }, () => expectSameInDrawnCases(CASES));
});
