/**
 * The same comparison as in oracle.test.ts: with the cases here, in oracle-weeks.test.ts and in oracle-order.test.ts ten
 * thousand in all.
 */
import { describe, test } from 'vitest';
import { near } from './drawn-case.ts';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 5_000;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases over hours`, { timeout: 600_000 }, () => expectSameInDrawnCases(CASES, near));
});
