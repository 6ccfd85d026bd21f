/**
 * What offers achieve: subscribers who were made one against those of the control group, whom nobody called. The share that stays
 * without an offer is no merit of it, so only the difference counts.
 *
 * The interval is Newcombe's (hybrid of two Wilson intervals), which stays between -1 and 1 and is right for small groups.
 * `effect` is g of the formula of the save value: the share of those about to leave whom the offer keeps.
 */
export interface Group {
  saved: number;
  churned: number;
}

export interface Uplift {
  /** Save rate with an offer less save rate without. */
  estimate: number;
  /** Between these lies the true one with 95 %. */
  low: number;
  high: number;
  /** 1 - leave rate with an offer / leave rate without; null where nobody without one left. */
  effect: number | null;
}

/** Of the normal distribution, two-sided 95 %. */
const Z = 1.959964;

function wilson({ saved, churned }: Group): { rate: number; low: number; high: number } {
  const n = saved + churned;
  const rate = saved / n;
  const middle = (rate + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const half = (Z / (1 + Z ** 2 / n)) * Math.sqrt((rate * (1 - rate)) / n + Z ** 2 / (4 * n ** 2));
  return { rate, low: middle - half, high: middle + half };
}

/** Null where one of the groups has no outcome that counts. */
export function upliftOf(treated: Group, control: Group): Uplift | null {
  if (treated.saved + treated.churned === 0 || control.saved + control.churned === 0) return null;
  const with_ = wilson(treated);
  const without = wilson(control);
  const estimate = with_.rate - without.rate;
  return {
    estimate,
    low: estimate - Math.hypot(with_.rate - with_.low, without.high - without.rate),
    high: estimate + Math.hypot(with_.high - with_.rate, without.rate - without.low),
    effect: without.rate === 1 ? null : 1 - (1 - with_.rate) / (1 - without.rate),
  };
}
