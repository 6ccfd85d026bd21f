/** `GET /v1/churn`: how right the churn formula has been. Counts only, so it belongs to all desks. */
import { type ChurnReport, churnReport } from '../rules/churn-report.ts';
import type { RuleSet } from '../rules/rule-set.ts';
import type { CalibrationState } from '../state/calibration.ts';
import { ProblemError } from './problem.ts';
import { json, type Routes } from './route.ts';

interface Watched {
  ruleSet(): Pick<RuleSet, 'valuation'>;
  calibration(): CalibrationState;
}

/** Undefined where there is no model that is watched. */
export function churnReportOf(engines: readonly Watched[]): ChurnReport | undefined {
  const model = engines[0]?.ruleSet().valuation?.model;
  if (model?.churn.monitor === undefined) return undefined;
  return churnReport(
    model,
    engines.map((engine) => engine.calibration()),
  );
}

export function addChurnRoutes(routes: Routes, churn: () => ChurnReport | undefined): void {
  routes.add(
    {
      method: 'GET',
      url: '/v1/churn',
      id: 'getChurn',
      summary: 'How right the churn formula has been: calibration, ranking, drift.',
      answers: { 200: { description: 'Figures of the forecasts.', content: json('ChurnReport') } },
      problems: [404],
    },
    async () => {
      const report = churn();
      if (report === undefined) throw new ProblemError(404, 'There is no model whose churn formula is watched.');
      return report;
    },
  );
}
