/** One case: what it is about, what can be done with it, its alerts with their reasons, and what was done, in order. */
import { useEffect, useState } from 'preact/hooks';
import type { CaseEventInput } from '../cases/case-event.ts';
import { completeAlert } from './alert-intake.ts';
import { ApiError } from './api.ts';
import { type CaseDetail, type CaseEvent, getCase, postCaseEvent } from './case-api.ts';
import type { CaseQuestion } from './case-dialog.tsx';
import { change, myName, tellFailure, UNNAMED } from './case-work.ts';
import { Fact } from './fact.tsx';
import { FailureNote } from './failure-note.tsx';
import { SeverityIcon, StatusIcon } from './icons.tsx';
import { later, useIdle } from './later.tsx';
import { PanelHeader } from './list-page.tsx';
import { onCaseFrames } from './live-alerts.ts';
import { format, isolated, locale, messages, now } from './locale.ts';
import { formatPlace, NO_OPENED, place } from './location.ts';
import { ruleTitle } from './rule-names.ts';
import { RuleSnooze } from './rule-snooze.tsx';
import { may } from './session.ts';
import { actionName, keyTypeName } from './slugs.ts';

const ContributingRecords = later(async () => (await import('./contributing-records.tsx')).ContributingRecords);

const NOTE_MAX = 4_000;
/** What an address says may be no id at all. */
const CASE_ID = /^[0-9a-f]{32}$/;

export interface CasePanelProps {
  caseId: string;
  /** Counts up when something was done outside of the panel. */
  reads: number;
  panelRef: { current: HTMLElement | null };
  onAsk(kind: CaseQuestion, found: CaseDetail): void;
  onChanged(): void;
  onClose(): void;
}

export function CasePanel({ caseId, reads, panelRef, onAsk, onChanged, onClose }: CasePanelProps) {
  const t = messages.value.cases;
  const [found, setFound] = useState<CaseDetail>();
  const [failure, setFailure] = useState('');
  const [seen, setSeen] = useState(0);
  const idle = useIdle();
  useEffect(() => {
    if (!CASE_ID.test(caseId)) return setFailure(messages.peek().cases.gone);
    const stopped = new AbortController();
    getCase(caseId, stopped.signal).then(
      (read) => {
        setFound(read);
        setFailure('');
      },
      (error: unknown) => {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setFailure(error.status === 404 ? messages.peek().cases.gone : error.message);
      },
    );
    return () => stopped.abort();
  }, [caseId, reads, seen]);
  useEffect(
    () =>
      onCaseFrames((frames) => {
        const isAbout = frames.some(
          (frame) => frame.kind === 'casesResync' || (frame.kind === 'case' && frame.case.caseId === caseId),
        );
        if (isAbout) setSeen((count) => count + 1);
      }),
    [caseId],
  );
  const act = async (event: CaseEventInput): Promise<void> => {
    if (found === undefined) return;
    if ((await change({ kind: 'named', cases: [found] }, event)) !== undefined) onChanged();
  };
  const title = found?.title?.[locale.value] ?? t.case;
  return (
    <aside class="panel" ref={panelRef} tabIndex={-1} aria-labelledby="case-heading">
      <PanelHeader
        id="case-heading"
        look={found?.severity ?? 'info'}
        title={title}
        close={t.closePanel}
        onClose={onClose}
      >
        {found !== undefined && (
          <>
            <span class={`severity ${found.severity}`}>
              <SeverityIcon severity={found.severity} />
              {messages.value.severity[found.severity]}
            </span>
            <span class={`case-status ${found.status}`}>{messages.value.caseStatuses[found.status]}</span>
          </>
        )}
      </PanelHeader>
      <div class="panel-body">
        <FailureNote failure={failure} say={t.failed} onRetry={() => setSeen((count) => count + 1)} />
        {found === undefined && failure === '' && <p class="note">{t.loading}</p>}
        {found !== undefined && (
          <>
            <Actions found={found} onAsk={(kind) => onAsk(kind, found)} onAct={(event) => void act(event)} />
            <Facts found={found} />
            <Offers found={found} />
            {idle && <Alerts found={found} />}
            {idle && found.mergedInto === null && (
              <RuleSnooze key={`${found.caseId} ${found.version}`} found={found} onAct={(event) => void act(event)} />
            )}
            <NoteForm
              key={found.caseId}
              found={found}
              onWritten={(changed) => {
                setFound(changed);
                onChanged();
              }}
            />
            {idle && <Timeline found={found} />}
          </>
        )}
      </div>
    </aside>
  );
}

interface ActionsProps {
  found: CaseDetail;
  onAsk(kind: CaseQuestion): void;
  onAct(event: CaseEventInput): void;
}

function Actions({ found, onAsk, onAct }: ActionsProps) {
  const t = messages.value.cases;
  const me = myName();
  if (found.mergedInto !== null) {
    return (
      <p class="note">
        {t.merged} <a href={formatPlace({ ...place.value, caseId: found.mergedInto })}>{t.openMerged}</a>
      </p>
    );
  }
  const questions: CaseQuestion[] = [
    'assign',
    'tag',
    'merge',
    ...(found.desk === 'fraud' ? (['listEntry'] as const) : []),
    ...(found.desk === 'arrears' ? (['promise'] as const) : []),
    // Whoever is held out gets none, or the comparison would be worth nothing.
    ...(found.desk === 'retention' && !found.isControl ? (['offer'] as const) : []),
  ];
  if (found.status === 'closed') {
    return (
      <div class="case-actions">
        <button type="button" class="button" onClick={() => onAsk('reopen')}>
          {t.reopen}
        </button>
      </div>
    );
  }
  return (
    <div class="case-actions">
      {found.status === 'open' && (
        <button type="button" class="button" onClick={() => onAct({ type: 'acknowledge' })}>
          {t.acknowledge}
        </button>
      )}
      {me !== '' && found.assignee !== me && (
        <button type="button" class="button" onClick={() => onAct({ type: 'assign', assignee: me })}>
          {t.assignToMe}
        </button>
      )}
      {found.assignee !== null && (
        <button type="button" class="button" onClick={() => onAct({ type: 'assign', assignee: null })}>
          {t.unassign}
        </button>
      )}
      {found.status === 'snoozed' ? (
        <button type="button" class="button" onClick={() => onAct({ type: 'unsnooze' })}>
          {t.unsnooze}
        </button>
      ) : (
        <button type="button" class="button" onClick={() => onAsk('snooze')}>
          {t.snooze}
        </button>
      )}
      {questions.map((kind) => (
        <button key={kind} type="button" class="button" data-question={kind} onClick={() => onAsk(kind)}>
          {messages.value.caseQuestions[kind].button}
        </button>
      ))}
      <button type="button" class="button primary" onClick={() => onAsk('close')}>
        {t.close}
      </button>
    </div>
  );
}

function Facts({ found }: { found: CaseDetail }) {
  const t = messages.value.cases;
  const f = format.value;
  const { sla, key, closing } = found;
  const leftMs = (sla.dueAt ?? 0) - now.value;
  // A masked number names nobody; its reference does, and there is one for the first of them.
  const subscribers =
    found.subscriberRef === undefined
      ? found.servedMsisdns.map((number) => ({ number, msisdn: number }))
      : [{ number: found.servedMsisdn ?? '', msisdn: found.subscriberRef }];
  return (
    <dl class="facts">
      {(key.type !== 'subscriber' || subscribers.length === 0) && (
        <Fact name={keyTypeName(key.type)}>
          <code>{key.value}</code>
        </Fact>
      )}
      {subscribers.length > 0 && (
        <Fact name={keyTypeName('subscriber')}>
          <span class="subscribers">
            {subscribers.map(({ number, msisdn }) => (
              <a key={msisdn} class="number" href={formatPlace({ ...place.value, ...NO_OPENED, page: 'desk', msisdn })}>
                {number}
              </a>
            ))}
          </span>
        </Fact>
      )}
      <Fact name={t.assignee}>{found.assignee === null ? t.nobody : <bdi>{found.assignee}</bdi>}</Fact>
      {sla.dueAt !== null && (
        <Fact name={t.due}>
          <span class={leftMs < 0 ? 'alarming' : ''}>
            {t.dueAt(f.dateTime(sla.dueAt), leftMs < 0 ? t.overdueBy(f.span(-leftMs)) : t.dueIn(f.span(leftMs)))}
          </span>
        </Fact>
      )}
      <Fact name={t.openedAt}>{f.dateTime(found.openedAt)}</Fact>
      {found.snoozedUntil !== null && <Fact name={t.snoozedUntil}>{f.dateTime(found.snoozedUntil)}</Fact>}
      {closing !== null && (
        <Fact name={t.outcome}>
          {messages.value.outcomes[closing.outcome as keyof typeof messages.value.outcomes]}
          {closing.reason !== null && <bdi class="muted"> {closing.reason}</bdi>}
        </Fact>
      )}
      {found.tags.length > 0 && (
        <Fact name={t.tags}>
          <bdi>{f.list(found.tags)}</bdi>
        </Fact>
      )}
      {found.isControl && <Fact name={t.control}>{t.controlHint}</Fact>}
      {found.suggestedActions.length > 0 && (
        <Fact name={t.suggested}>{f.list(found.suggestedActions.map(actionName))}</Fact>
      )}
    </dl>
  );
}

/** What was offered and what came of it; what was promised. */
function Offers({ found }: { found: CaseDetail }) {
  const t = messages.value.cases;
  const f = format.value;
  const { offers, promises, closing } = found;
  return (
    <>
      {offers.length > 0 && (
        <section aria-labelledby="case-offers">
          <h3 id="case-offers">{t.offers}</h3>
          <table class="data">
            <thead>
              <tr>
                <th scope="col">{t.offer}</th>
                <th scope="col">{t.result}</th>
                <th scope="col" class="numeric">
                  {t.cost}
                </th>
                <th scope="col">{t.agent}</th>
                <th scope="col">{t.recordedAt}</th>
              </tr>
            </thead>
            <tbody>
              {offers.map((offer) => (
                <tr key={`${offer.at} ${offer.offerId} ${offer.result}`}>
                  <th scope="row">
                    <code>{offer.offerId}</code>
                  </th>
                  <td>{messages.value.offerResults[offer.result as 'made']}</td>
                  <td class="numeric">{offer.cost === null ? '–' : f.value(offer.cost, 'currency')}</td>
                  <td>
                    <bdi>{offer.by}</bdi>
                  </td>
                  <td>{f.time(offer.at)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {closing?.offerId != null && (
        <dl class="facts">
          <Fact name={t.offer}>
            <code>{closing.offerId}</code>
          </Fact>
          {closing.cost !== null && <Fact name={t.cost}>{f.value(closing.cost, 'currency')}</Fact>}
        </dl>
      )}
      {promises.length > 0 && (
        <section aria-labelledby="case-promises">
          <h3 id="case-promises">{t.promises}</h3>
          <ul class="case-promises">
            {promises.map((promise) => (
              <li key={promise.at} class={promise.promiseAt < now.value && found.status !== 'closed' ? 'alarming' : ''}>
                <bdi>
                  {promise.amount === null
                    ? t.promiseUntil(f.day(promise.promiseAt), isolated(promise.by))
                    : t.promiseOf(f.value(promise.amount, 'currency'), f.day(promise.promiseAt), isolated(promise.by))}
                </bdi>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Alerts({ found }: { found: CaseDetail }) {
  const t = messages.value.cases;
  return (
    <section aria-labelledby="case-alerts">
      <h3 id="case-alerts">{t.alertsOf(found.alerts, format.value.number(found.alerts))}</h3>
      <ul class="case-alerts">
        {found.alertList.map(completeAlert).map((alert) => (
          <li key={alert.alertId}>
            <StatusIcon status={alert.status} />
            <a
              href={formatPlace({
                ...place.value,
                ...NO_OPENED,
                page: 'desk',
                desk: found.desk,
                alertId: alert.alertId,
              })}
            >
              {alert.title[locale.value]}
            </a>
            <time class="muted" dateTime={new Date(alert.eventTime).toISOString()}>
              {format.value.time(alert.eventTime)}
            </time>
            <p>{alert.reason[locale.value]}</p>
            {may('listAlertRecords') && <RecordsOf alertId={alert.alertId} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The records of an alert are a search of the stream each: nobody looks before somebody asks. */
function RecordsOf({ alertId }: { alertId: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{messages.value.cases.records}</summary>
      {open && <ContributingRecords alertId={alertId} />}
    </details>
  );
}

function NoteForm({ found, onWritten }: { found: CaseDetail; onWritten(changed: CaseDetail): void }) {
  const t = messages.value.cases;
  const [text, setText] = useState('');
  const [sending, setSending] = useState(false);
  if (found.status === 'closed') return null;
  const send = async (): Promise<void> => {
    setSending(true);
    try {
      const by = myName();
      onWritten(await postCaseEvent(found.caseId, { type: 'note', note: text.trim(), ...(by !== '' && { by }) }));
      setText('');
    } catch (error) {
      tellFailure(error);
    } finally {
      setSending(false);
    }
  };
  return (
    <form
      class="replay"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label for="case-note">{t.note}</label>
      <textarea
        id="case-note"
        rows={3}
        maxLength={NOTE_MAX}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <div class="button-group">
        <button type="submit" class="button" disabled={sending || text.trim() === ''}>
          {t.addNote}
        </button>
      </div>
    </form>
  );
}

function Timeline({ found }: { found: CaseDetail }) {
  const t = messages.value.cases;
  const f = format.value;
  return (
    <section aria-labelledby="case-timeline">
      <h3 id="case-timeline">{t.timeline}</h3>
      <ol class="timeline">
        <li>
          <time dateTime={new Date(found.openedAt).toISOString()}>{f.dateTime(found.openedAt)}</time>
          <p>{t.openedByItself}</p>
        </li>
        {found.timeline.map(({ sequence, at, effect, event }) => (
          <li key={sequence} class={effect === 'applied' ? '' : 'void'}>
            <time dateTime={new Date(at).toISOString()}>{f.dateTime(at)}</time>
            <p>
              <bdi class="who">{event.by === UNNAMED ? t.unnamed : event.by}</bdi> {deedOf(event)}
              {effect !== 'applied' && <span class="muted"> {effect === 'undone' ? t.undone : t.noEffect}</span>}
            </p>
            {detailOf(event) !== '' && <p class="said">{detailOf(event)}</p>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function deedOf(event: CaseEvent): string {
  const { caseDeeds } = messages.value;
  return event.type === 'assign' && event.assignee === null ? caseDeeds.unassign : caseDeeds[event.type];
}

/** What an event says beside its type. */
function detailOf(event: CaseEvent): string {
  const { outcomes } = messages.value;
  const f = format.value;
  switch (event.type) {
    case 'assign':
      return event.assignee ?? '';
    case 'note':
      return event.note;
    case 'tag':
      return f.list([...(event.add ?? []), ...(event.remove ?? []).map((tag) => `−${tag}`)]);
    case 'snooze':
      return messages.value.cases.untilBecause(f.dateTime(event.until), event.reason);
    case 'snoozeRule':
      return messages.value.cases.ruleUntil(
        isolated(ruleTitle(event.ruleId) ?? event.ruleId),
        f.dateTime(event.until),
        event.reason,
      );
    case 'outcome': {
      const name = outcomes[event.outcome as keyof typeof outcomes];
      return event.reason === undefined ? name : messages.value.cases.outcomeBecause(name, event.reason);
    }
    case 'reopen':
      return event.reason;
    case 'offer':
      return messages.value.cases.offerResult(isolated(event.offerId), messages.value.offerResults[event.result]);
    case 'promise': {
      const day = f.day(event.promiseAt);
      return event.amount === undefined ? day : messages.value.cases.promised(f.value(event.amount, 'currency'), day);
    }
    case 'action':
      return actionName(event.action);
    case 'listEntry':
      return `${isolated(event.list)}: ${event.value}`;
    default:
      return '';
  }
}
