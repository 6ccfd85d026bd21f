/** The comparison of oracle.test.ts where the rules are swapped in the middle of the stream. */
import { describe, test } from 'vitest';
import { expectSameAcrossSwaps } from './same-alerts.ts';

const CASES = 1_000;

describe('the engine gives what the oracle gives', () => {
  test(`in ${CASES} drawn cases with a swap of the rules`, { timeout: 300_000 }, () => expectSameAcrossSwaps(CASES));
});
