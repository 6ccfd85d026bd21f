/**
 * How right the churn formula has been, on the operations page: fit, calibration by tenth of the score, drift, and what offers
 * achieve.
 */
import { useEffect, useState } from 'preact/hooks';
import type { Feedback } from '../cases/feedback.ts';
import type { ChurnReport } from '../rules/churn-report.ts';
import { ApiError, getChurn } from './api.ts';
import { getFeedback } from './case-api.ts';
import { Fact } from './fact.tsx';
import { FailureNote } from './failure-note.tsx';
import { format, messages } from './locale.ts';
import { may } from './session.ts';
import { scorePartName } from './slugs.ts';

/** Figures change by the day. */
const POLL_MS = 60_000;
const NOT_FOUND = 404;

export function ChurnPanel() {
  const t = messages.value.churn;
  const [report, setReport] = useState<ChurnReport>();
  const [uplift, setUplift] = useState<Feedback['retention']['uplift']>(null);
  const [failure, setFailure] = useState('');
  const sees = may('getChurn');
  const seesOutcomes = may('getFeedback');
  useEffect(() => {
    if (!sees) return;
    const stopped = new AbortController();
    const load = async (): Promise<void> => {
      try {
        setReport(await getChurn(stopped.signal));
        if (seesOutcomes) setUplift((await getFeedback('retention', stopped.signal)).retention.uplift);
        setFailure('');
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        // Without a model there is nothing to watch; and who has not the desk sees no outcomes of it.
        setFailure(error.status === NOT_FOUND || error.status === 403 ? '' : error.message);
      }
    };
    void load();
    const timer = setInterval(() => void load(), POLL_MS);
    return () => {
      stopped.abort();
      clearInterval(timer);
    };
  }, [sees, seesOutcomes]);
  if (!sees || (report === undefined && failure === '')) return null;
  return (
    <section class="churn-panel" aria-labelledby="churn-heading">
      <h2 id="churn-heading">{t.heading}</h2>
      <FailureNote failure={failure} say={messages.value.operations.failed} />
      {report !== undefined && <Report report={report} uplift={uplift} />}
    </section>
  );
}

function Report({ report, uplift }: { report: ChurnReport; uplift: Feedback['retention']['uplift'] }) {
  const t = messages.value.churn;
  const f = format.value;
  const { model, forecasts, stability } = report;
  const decimal = (value: number | null): string => (value === null ? '–' : f.decimal(value, 3));
  const share = (value: number | null): string => (value === null ? '–' : f.percent(value));
  const psi = (value: number | null): string => (value === null ? '–' : f.decimal(value, 2));
  return (
    <>
      <p class="hint">{t.about(String(model.version), f.number(model.horizonDays))}</p>
      <dl class="facts">
        <Fact name={t.made}>{f.number(forecasts.made)}</Fact>
        <Fact name={t.observed}>{f.number(forecasts.observed)}</Fact>
        <Fact name={t.predicted}>{share(report.predicted)}</Fact>
        <Fact name={t.rate}>{share(report.rate)}</Fact>
        <Fact name={t.brier}>{decimal(report.brier)}</Fact>
        <Fact name={t.skill}>{decimal(report.skill)}</Fact>
        <Fact name={t.auc}>{decimal(report.auc)}</Fact>
        <Fact name={t.lift}>{report.lift === null ? '–' : f.decimal(report.lift, 1)}</Fact>
        {uplift !== null && (
          <Fact name={t.uplift}>{t.interval(share(uplift.estimate), share(uplift.low), share(uplift.high))}</Fact>
        )}
      </dl>
      {report.deciles.length === 0 ? (
        <p class="note">{t.none}</p>
      ) : (
        <table class="figures">
          <caption>{t.calibration}</caption>
          <thead>
            <tr>
              <th scope="col">{t.decile}</th>
              <th scope="col" class="numeric">
                {t.predicted}
              </th>
              <th scope="col" class="numeric">
                {t.rate}
              </th>
            </tr>
          </thead>
          <tbody>
            {report.deciles.map(({ decile, predicted, rate }) => (
              <tr key={decile}>
                <th scope="row">{f.number(decile)}</th>
                <td class="numeric">{share(predicted)}</td>
                <td class="numeric">{share(rate)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {stability.current !== null && stability.reference !== null && (
        <table class="figures">
          <caption>{t.drift(f.day(stability.reference), f.day(stability.current))}</caption>
          <thead>
            <tr>
              <th scope="col">{t.input}</th>
              <th scope="col" class="numeric">
                PSI
              </th>
              <th scope="col">{t.state}</th>
            </tr>
          </thead>
          <tbody>
            {[{ name: 'churnProbability', ...stability.score }, ...stability.inputs].map((row) => (
              <tr key={row.name}>
                <th scope="row">{scorePartName(row.name)}</th>
                <td class="numeric">{psi(row.psi)}</td>
                <td>{t.states[row.state]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
