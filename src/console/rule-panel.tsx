/** One rule: what is in force, the change that waits, the form with its back-test, and the history. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { NO_FILTERS } from './desk-queue.ts';
import { FailureNote } from './failure-note.tsx';
import { PanelHeader } from './list-page.tsx';
import { format, locale, messages } from './locale.ts';
import { formatPlace, NO_OPENED, place } from './location.ts';
import { getRule, getRuleChanges, type RuleChangesView, type RuleDetail, type RuleSummary } from './rule-api.ts';
import { RuleForm } from './rule-form.tsx';
import { History } from './rule-history.tsx';
import { RuleNotes } from './rule-parts.tsx';
import { Proposal } from './rule-proposal.tsx';
import { ruleText, statusName } from './rule-text.ts';
import { ownDesks } from './session.ts';

export function RulePanel(props: {
  ruleId: string;
  summary: RuleSummary | undefined;
  /** Of the proposal that the list knows: another one means that this page is old. */
  waitingId: string;
  mayChange: boolean;
  mayDecide: boolean;
  panelRef: { current: HTMLElement | null };
  onClose(): void;
  onChanged(): void;
}) {
  const { ruleId, summary, waitingId, mayChange, mayDecide, panelRef, onClose, onChanged } = props;
  const t = ruleText.value;
  const f = format.value;
  const [changes, setChanges] = useState<RuleChangesView>();
  const [rule, setRule] = useState<RuleDetail>();
  const [restores, setRestores] = useState<{ sequence: number; version: number }>();
  const [said, setSaid] = useState('');
  const [failure, setFailure] = useState('');
  const [reads, setReads] = useState(0);
  useEffect(() => {
    const stopped = new AbortController();
    Promise.all([getRuleChanges(ruleId, stopped.signal), getRule(ruleId, stopped.signal)]).then(
      ([view, detail]) => {
        setChanges(view);
        setRule(detail);
        setFailure('');
      },
      (error: unknown) => {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setFailure(error.status === 404 ? t.gone : t.failed(error.message));
      },
    );
    return () => stopped.abort();
  }, [ruleId, reads, waitingId, summary?.version]);
  const again = (): void => {
    setReads((count) => count + 1);
    onChanged();
  };
  return (
    <aside class="panel" ref={panelRef} tabIndex={-1} aria-labelledby="rule-heading">
      <PanelHeader
        id="rule-heading"
        look="info"
        title={(summary ?? rule)?.title[locale.value] ?? ruleId}
        close={t.close}
        onClose={onClose}
      >
        <code>{ruleId}</code>
        {changes !== undefined && (
          <>
            <span>{t.versionOf(f.number(changes.version))}</span>
            <span>{statusName(changes.form.status)}</span>
            {summary !== undefined && <span>{messages.value.nav[summary.desk]}</span>}
            {summary !== undefined && ownDesks().includes(summary.desk) && (
              <a
                href={formatPlace({
                  ...place.value,
                  ...NO_OPENED,
                  page: 'desk',
                  desk: summary.desk,
                  filters: { ...NO_FILTERS, ruleId },
                })}
              >
                {t.toAlerts}
              </a>
            )}
          </>
        )}
      </PanelHeader>
      <div class="panel-body rule">
        <FailureNote failure={failure} />
        {changes === undefined && failure === '' && <p class="note">{t.loading}</p>}
        <p role="status" class={said === '' ? 'visually-hidden' : 'said-done'}>
          {said}
        </p>
        {changes !== undefined && rule !== undefined && (
          <>
            <RuleNotes rule={rule} />
            {changes.layer !== null && (
              <p class={changes.layer.state === 'held-back' ? 'alarming' : 'note'}>
                {(changes.layer.state === 'held-back' ? t.heldBack : t.layered)(
                  changes.layer.file,
                  f.number(changes.layer.fileVersion),
                )}
                {!changes.layer.isInForce && ` ${t.filling}`}
              </p>
            )}
            {changes.proposal !== null && (
              <Proposal
                key={changes.proposal.id}
                ruleId={ruleId}
                proposal={changes.proposal}
                mayDecide={mayDecide}
                onDecided={(next, sentence) => {
                  setChanges(next);
                  setSaid(sentence);
                  again();
                }}
                onFailed={again}
              />
            )}
            <RuleForm
              key={`${changes.baseTag} ${restores?.sequence ?? ''}`}
              changes={changes}
              text={rule.text}
              restores={restores}
              mayChange={mayChange}
              onProposed={(next) => {
                setChanges(next);
                setRestores(undefined);
                setSaid(t.proposed);
                again();
              }}
              onRefused={again}
              onReset={() => setRestores(undefined)}
            />
            <History
              ruleId={ruleId}
              entries={changes.history}
              version={changes.version}
              mayChange={mayChange}
              onBringBack={(sequence, version) => {
                setRestores({ sequence, version });
                setSaid('');
                panelRef.current?.focus();
              }}
            />
          </>
        )}
      </div>
    </aside>
  );
}
