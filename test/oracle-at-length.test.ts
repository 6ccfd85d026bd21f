/** The same comparison as in oracle.test.ts, with the cases that make it ten thousand in all. */
import { describe, test } from 'vitest';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 9_000;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases more`, { timeout: 600_000 }, () => expectSameInDrawnCases(CASES));
});
