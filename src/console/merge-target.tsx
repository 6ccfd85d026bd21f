/** Which case the chosen ones go into: one of their own, or one that is found by its subscriber or its address. */
import { useEffect, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { type CaseSummary, getCase, getCases } from './case-api.ts';
import { format, locale, messages } from './locale.ts';

const CANDIDATES_MAX = 8;
const CASE_ID = /[0-9a-f]{32}/;

export interface MergeTargetProps {
  desk: Desk;
  cases: readonly CaseSummary[];
  chosen: string;
  onChoose(caseId: string): void;
}

export function MergeTarget({ desk, cases, chosen, onChoose }: MergeTargetProps) {
  const t = messages.value.cases;
  const [text, setText] = useState('');
  const [found, setFound] = useState<readonly CaseSummary[]>([]);
  useEffect(() => {
    const wanted = text.trim();
    const stopped = new AbortController();
    const id = CASE_ID.exec(wanted)?.[0];
    const look = async (): Promise<void> => {
      if (id !== undefined) return setFound([await getCase(id, stopped.signal)]);
      // Without a word said: what is open of the same subscriber.
      const servedMsisdn = wanted === '' ? (cases[0]?.subscriberRef ?? cases[0]?.servedMsisdn) : wanted;
      if (!servedMsisdn) return setFound([]);
      const page = await getCases({ desk, active: true, servedMsisdn }, { limit: CANDIDATES_MAX }, stopped.signal);
      setFound(page.cases);
    };
    look().catch((error: unknown) => {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFound([]);
    });
    return () => stopped.abort();
  }, [text, desk]);
  // Of several, all but one go into that one.
  const own = cases.length > 1 ? cases.slice(0, CANDIDATES_MAX) : [];
  const others = found.filter(
    ({ caseId, desk: of, status }) => of === desk && status !== 'closed' && !cases.some((one) => one.caseId === caseId),
  );
  const candidates = [...own, ...others];
  return (
    <>
      <label class="field">
        <span>{t.mergeSearch}</span>
        <input
          value={text}
          maxLength={200}
          autocomplete="off"
          onChange={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <fieldset class="choices">
        <legend>{t.mergeInto}</legend>
        {candidates.length === 0 && <p class="hint">{t.mergeNone}</p>}
        {candidates.map(({ caseId, title, key, openedAt }) => (
          <label key={caseId}>
            <input
              type="radio"
              name="into"
              value={caseId}
              checked={chosen === caseId}
              onChange={() => onChoose(caseId)}
            />
            <span>
              {title?.[locale.value] ?? t.case} <code>{key.value}</code>{' '}
              <span class="muted">{format.value.dateTime(openedAt)}</span>
            </span>
          </label>
        ))}
      </fieldset>
    </>
  );
}
