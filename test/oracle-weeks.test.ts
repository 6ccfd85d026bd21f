/** The same comparison as in oracle.test.ts, over streams of weeks. */
import { describe, test } from 'vitest';
import { far } from './drawn-case.ts';
import { expectSameInDrawnCases } from './same-alerts.ts';

const CASES = 1_500;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases over weeks`, { timeout: 600_000 }, () => expectSameInDrawnCases(CASES, far));
});
