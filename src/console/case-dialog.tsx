/** The question before a case is closed or snoozed: a typed outcome, or an end, each with a reason. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import type { CaseEventInput } from '../cases/case-event.ts';
import { Icon } from './icons.tsx';
import { format, messages } from './locale.ts';

/** Outcomes by desk, in the order in which they are asked for; the server refuses any other. */
const OUTCOMES = {
  fraud: ['confirmed', 'valuableAlert', 'falsePositive', 'inconclusive'],
  arrears: ['paid', 'promise', 'brokenPromise', 'dispute', 'writtenOff'],
  retention: ['saved', 'declined', 'unreachable', 'releasedByPolicy', 'churnedAnyway'],
} as const satisfies Record<Desk, readonly string[]>;

const HOUR_MS = 3_600_000;
const SNOOZES_MS = [HOUR_MS, 4 * HOUR_MS, 24 * HOUR_MS, 168 * HOUR_MS];
const REASON_MAX = 500;

export interface CaseDialogProps {
  kind: 'close' | 'snooze';
  desk: Desk;
  cases: number;
  onDecide(event: CaseEventInput): void;
  onCancel(): void;
}

export function CaseDialog({ kind, desk, cases, onDecide, onCancel }: CaseDialogProps) {
  const t = messages.value.cases;
  const dialog = useRef<HTMLDialogElement>(null);
  const [outcome, setOutcome] = useState('');
  const [snoozeMs, setSnoozeMs] = useState(SNOOZES_MS[0]!);
  const [reason, setReason] = useState('');
  const [offerId, setOfferId] = useState('');
  const [cost, setCost] = useState('');
  useEffect(() => dialog.current?.showModal(), []);
  const decide = (): void => {
    const said = reason.trim();
    if (kind === 'snooze') {
      onDecide({ type: 'snooze', until: Date.now() + snoozeMs, reason: said });
      return;
    }
    onDecide({
      type: 'outcome',
      outcome,
      ...(said !== '' && { reason: said }),
      ...(offerId.trim() !== '' && { offerId: offerId.trim() }),
      ...(cost !== '' && { cost: Number(cost) }),
    } as CaseEventInput);
  };
  const isComplete = kind === 'close' ? outcome !== '' : reason.trim() !== '';
  return (
    <dialog ref={dialog} class="case-dialog" aria-labelledby="case-dialog-heading" onClose={onCancel}>
      <header>
        <h2 id="case-dialog-heading">
          {kind === 'close'
            ? t.closeCases(cases, format.value.number(cases))
            : t.snoozeCases(cases, format.value.number(cases))}
        </h2>
        <button type="button" class="icon-button" aria-label={t.cancel} onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </header>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (isComplete) decide();
        }}
      >
        {kind === 'close' ? (
          <fieldset class="choices">
            <legend>{t.outcome}</legend>
            {OUTCOMES[desk].map((name) => (
              <label key={name}>
                <input type="radio" name="outcome" value={name} onChange={() => setOutcome(name)} />
                <span>{messages.value.outcomes[name]}</span>
              </label>
            ))}
          </fieldset>
        ) : (
          <label class="field">
            <span>{t.snoozeFor}</span>
            <select value={String(snoozeMs)} onChange={(event) => setSnoozeMs(Number(event.currentTarget.value))}>
              {SNOOZES_MS.map((ms) => (
                <option key={ms} value={ms}>
                  {format.value.span(ms)}
                </option>
              ))}
            </select>
          </label>
        )}
        {kind === 'close' && desk === 'retention' && (
          <div class="field-pair">
            <label class="field">
              <span>{t.offer}</span>
              <input
                value={offerId}
                maxLength={64}
                pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
                onInput={(event) => setOfferId(event.currentTarget.value)}
              />
            </label>
            <label class="field">
              <span>{t.cost}</span>
              <input
                type="number"
                min="0"
                step="0.01"
                value={cost}
                onInput={(event) => setCost(event.currentTarget.value)}
              />
            </label>
          </div>
        )}
        <label class="field">
          <span>{kind === 'close' ? t.reasonOptional : t.reason}</span>
          <textarea
            rows={3}
            maxLength={REASON_MAX}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <div class="button-group">
          <button type="button" class="button" onClick={() => dialog.current?.close()}>
            {t.cancel}
          </button>
          <button type="submit" class="button primary" disabled={!isComplete}>
            {kind === 'close' ? t.close : t.snooze}
          </button>
        </div>
      </form>
    </dialog>
  );
}
