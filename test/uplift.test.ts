/** What offers achieve against the control group. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { upliftOf } from '../src/cases/uplift.ts';

const group = fc.record({ saved: fc.nat({ max: 500 }), churned: fc.nat({ max: 500 }) });
const size = ({ saved, churned }: { saved: number; churned: number }): number => saved + churned;

test('is the difference of the save rates, inside an interval that narrows with the groups', () => {
  fc.assert(
    fc.property(group, group, (treated, control) => {
      const uplift = upliftOf(treated, control);
      if (size(treated) === 0 || size(control) === 0) {
        expect(uplift).toBeNull();
        return;
      }
      const { estimate, low, high } = uplift!;
      expect(estimate).toBeCloseTo(treated.saved / size(treated) - control.saved / size(control), 12);
      expect(low).toBeLessThanOrEqual(estimate);
      expect(high).toBeGreaterThanOrEqual(estimate);
      expect(low).toBeGreaterThanOrEqual(-1 - 1e-9);
      expect(high).toBeLessThanOrEqual(1 + 1e-9);
      const tenfold = ({ saved, churned }: typeof treated) => ({ saved: saved * 10, churned: churned * 10 });
      const larger = upliftOf(tenfold(treated), tenfold(control))!;
      expect(larger.high - larger.low).toBeLessThan(high - low);
      // Groups that change places have the opposite.
      expect(upliftOf(control, treated)!.estimate).toBeCloseTo(-estimate, 12);
    }),
  );
});

test('agrees with the example of Newcombe (1998), 56 of 70 against 48 of 80', () => {
  const { estimate, low, high, effect } = upliftOf({ saved: 56, churned: 14 }, { saved: 48, churned: 32 })!;
  expect([estimate, low, high].map((value) => value.toFixed(4))).toEqual(['0.2000', '0.0524', '0.3339']);
  expect(effect).toBeCloseTo(0.5, 12);
});

test('has no effect to speak of where nobody in the control group left', () => {
  expect(upliftOf({ saved: 3, churned: 1 }, { saved: 4, churned: 0 })!.effect).toBeNull();
});
