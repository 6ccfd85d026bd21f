/** Keeps one rule from a subscriber's desk for a while: what that would have hidden so far is shown before it is done. */
import { useEffect, useState } from 'preact/hooks';
import type { CaseEventInput } from '../cases/case-event.ts';
import { ApiError } from './api.ts';
import { type CaseDetail, getSnoozePreview, type SnoozePreview } from './case-api.ts';
import { Choice } from './list-page.tsx';
import { format, messages, now } from './locale.ts';
import { ruleLabel } from './rule-names.ts';

const DAY_MS = 86_400_000;
const DAYS = [1, 7, 30, 90, 180];
const REASON_MAX = 500;

export function RuleSnooze({ found, onAct }: { found: CaseDetail; onAct(event: CaseEventInput): void }) {
  const t = messages.value.ruleSnooze;
  const f = format.value;
  // The one rule of a case is the one that is meant.
  const [ruleId, setRuleId] = useState(found.ruleIds.length === 1 ? found.ruleIds[0]! : '');
  const [days, setDays] = useState(7);
  const [reason, setReason] = useState('');
  const [preview, setPreview] = useState<SnoozePreview>();
  useEffect(() => {
    setPreview(undefined);
    if (ruleId === '') return;
    const stopped = new AbortController();
    getSnoozePreview(found.caseId, ruleId, days, stopped.signal).then(setPreview, (error: unknown) => {
      if (!stopped.signal.aborted && !(error instanceof ApiError)) throw error;
    });
    return () => stopped.abort();
  }, [found.caseId, ruleId, days]);
  const running = found.ruleSnoozes.filter(({ until }) => until > now.value);
  return (
    <details class="rule-snooze">
      <summary>{t.heading}</summary>
      {running.map((snooze) => (
        <p key={snooze.id}>
          {t.running(
            ruleLabel(snooze.ruleId),
            f.dateTime(snooze.until),
            snooze.hiddenAlerts,
            f.number(snooze.hiddenAlerts),
          )}{' '}
          <button type="button" class="button" onClick={() => onAct({ type: 'unsnoozeRule', snoozeId: snooze.id })}>
            {t.end}
          </button>
        </p>
      ))}
      <form
        class="replay"
        onSubmit={(event) => {
          event.preventDefault();
          onAct({ type: 'snoozeRule', ruleId, until: Date.now() + days * DAY_MS, reason: reason.trim() });
        }}
      >
        <Choice
          label={t.rule}
          value={ruleId}
          options={[['', t.rule], ...found.ruleIds.map((id) => [id, ruleLabel(id)] as const)]}
          onChoose={setRuleId}
        />
        <Choice
          label={t.forHowLong}
          value={String(days)}
          options={DAYS.map((count) => [String(count), f.span(count * DAY_MS)])}
          onChoose={(count) => setDays(Number(count))}
        />
        <input
          aria-label={t.reason}
          placeholder={t.reason}
          maxLength={REASON_MAX}
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
        {preview !== undefined && (
          <p role="status">
            {t.preview(
              f.span(preview.days * DAY_MS),
              f.number(preview.alerts),
              f.number(preview.cases),
              f.number(preview.confirmed),
            )}
          </p>
        )}
        <div class="button-group">
          <button type="submit" class="button" disabled={ruleId === '' || reason.trim() === ''}>
            {t.snooze}
          </button>
        </div>
      </form>
    </details>
  );
}
