/** The same comparison as in oracle.test.ts: with the cases here and in oracle-weeks.test.ts ten thousand in all. */
import { describe, test } from 'vitest';
import { near } from './drawn-case.ts';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 7_500;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases over hours`, { timeout: 600_000 }, () => expectSameInDrawnCases(CASES, near));
});
