/** What the outcomes of a desk say of its rules: how often each was right; for retention, offers against the control group. */
import { useEffect, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { type Feedback, getFeedback } from './case-api.ts';
import { Dialog } from './dialog.tsx';
import { Fact } from './fact.tsx';
import { FailureNote } from './failure-note.tsx';
import { format, messages } from './locale.ts';
import { ruleTitle } from './rule-names.ts';

export function FeedbackDialog({ desk, onClose }: { desk: Desk; onClose(): void }) {
  const t = messages.value.feedback;
  const f = format.value;
  const [feedback, setFeedback] = useState<Feedback>();
  const [failure, setFailure] = useState('');
  useEffect(() => {
    const stopped = new AbortController();
    getFeedback(desk, stopped.signal).then(setFeedback, (error: unknown) => {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    });
    return () => stopped.abort();
  }, [desk]);
  const share = (ratio: number | null): string => (ratio === null ? '–' : f.percent(ratio));
  const own = feedback?.desks[0];
  const rules = [...(feedback?.rules ?? [])].sort((a, b) => b.closed - a.closed);
  return (
    <Dialog id="feedback-heading" title={t.heading(messages.value.nav[desk])} wide dismiss={t.close} onClose={onClose}>
      <div class="dialog-body">
        <FailureNote failure={failure} say={messages.value.cases.failed} />
        {own !== undefined && (
          <dl class="facts">
            <Fact name={t.closed}>{f.number(own.closed)}</Fact>
            {desk !== 'retention' && <Fact name={t.precision}>{share(own.precision)}</Fact>}
            {desk === 'retention' && feedback !== undefined && (
              <>
                <Fact name={t.treated}>{share(feedback.retention.treated.saveRate)}</Fact>
                <Fact name={t.control}>{share(feedback.retention.control.saveRate)}</Fact>
                <Fact name={t.cost}>{f.decimal(feedback.retention.treated.cost, 2)}</Fact>
              </>
            )}
          </dl>
        )}
        {feedback !== undefined && rules.length === 0 && <p>{t.none}</p>}
        {rules.length > 0 && (
          <table class="figures">
            <thead>
              <tr>
                <th scope="col">{t.rule}</th>
                <th scope="col">{t.closed}</th>
                {desk !== 'retention' && (
                  <>
                    <th scope="col">{t.right}</th>
                    <th scope="col">{t.wrong}</th>
                    <th scope="col">{t.precision}</th>
                  </>
                )}
              </tr>
            </thead>
            <tbody>
              {rules.map((rule) => (
                <tr key={rule.ruleId}>
                  <th scope="row">
                    {ruleTitle(rule.ruleId)} <code>{rule.ruleId}</code>
                  </th>
                  <td>{f.number(rule.closed)}</td>
                  {desk !== 'retention' && (
                    <>
                      <td>{f.number(rule.right)}</td>
                      <td>{f.number(rule.wrong)}</td>
                      <td>{share(rule.precision)}</td>
                    </>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </Dialog>
  );
}
