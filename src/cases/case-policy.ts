/** What the operator decides about cases: the SLA clock by severity and tier, and how many subscribers are held out. */
import type { SEVERITIES } from '../alerts/alert.ts';

/** Seconds until somebody should look at a case, and until it should be closed. */
export interface SlaTimes {
  respondSec: number;
  closeSec: number;
}
export interface CasePolicy {
  /** By severity, for key accounts (tier `vip`) and for everybody else. */
  sla: Record<'vip' | 'standard', Record<(typeof SEVERITIES)[number], SlaTimes>>;
  /** Share of the keys of the retention desk that are held out, 0 to 1. */
  controlShare: number;
}

export const CASE_POLICY: CasePolicy = {
  sla: {
    vip: {
      critical: { respondSec: 300, closeSec: 3_600 },
      warning: { respondSec: 1_800, closeSec: 14_400 },
      info: { respondSec: 7_200, closeSec: 86_400 },
    },
    standard: {
      critical: { respondSec: 900, closeSec: 14_400 },
      warning: { respondSec: 14_400, closeSec: 86_400 },
      info: { respondSec: 86_400, closeSec: 604_800 },
    },
  },
  controlShare: 0,
};
