/** What the rule of an alert tells people: what it detects, where it may be lawful, and what to do. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { FailureNote } from './failure-note.tsx';
import { getRule, type RuleDetail } from './rule-api.ts';
import { RuleNotes } from './rule-parts.tsx';
import { ruleText } from './rule-text.ts';

export function AlertRuleNotes({ ruleId, ruleVersion }: { ruleId: string; ruleVersion: number }) {
  const [rule, setRule] = useState<RuleDetail>();
  const [failure, setFailure] = useState('');
  useEffect(() => {
    const stopped = new AbortController();
    getRule(ruleId, stopped.signal).then(
      (found) => {
        setRule(found);
        setFailure('');
      },
      (error: unknown) => {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        // An alert may outlive its rule, and another program may have published it.
        setFailure(error.status === 404 ? '' : ruleText.peek().failed(error.message));
      },
    );
    return () => stopped.abort();
  }, [ruleId, ruleVersion]);
  if (failure !== '') return <FailureNote failure={failure} />;
  return rule?.id === ruleId ? <RuleNotes rule={rule} /> : null;
}
