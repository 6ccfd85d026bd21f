/**
 * The cases of a desk: what is due first, with filters, take next, and actions on one or many with undo. What changes while
 * somebody reads changes in its row; rows never move by themselves, new ones wait behind a button.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type Desk, SEVERITIES, type Severity } from '../alerts/alert.ts';
import type { CaseEventInput } from '../cases/case-event.ts';
import { ApiError } from './api.ts';
import { type CaseQuery, type CaseSummary, getCases, takeNextCase } from './case-api.ts';
import { CaseDialog } from './case-dialog.tsx';
import { CasePanel } from './case-panel.tsx';
import { change, giveName, lastDone, myName, nameIsGiven, tellFailure, undo } from './case-work.ts';
import { FeedbackDialog } from './feedback-dialog.tsx';
import { Icon, SeverityIcon } from './icons.tsx';
import { onCaseFrame } from './live-alerts.ts';
import { format, locale, messages, now } from './locale.ts';
import { CASE_FILTERS, type CaseFilterStatus, type CaseWho, formatPlace, go, place } from './location.ts';
import { useShortcuts } from './shortcuts.tsx';

interface Listed {
  rows: CaseSummary[];
  total: number;
  loading: boolean;
  failure: string;
}

const NOTHING: Listed = { rows: [], total: 0, loading: true, failure: '' };

/** The list, kept fresh in place; `newer` counts cases that are not in it and may belong there. */
function useCases(query: CaseQuery): { listed: Listed; newer: number; refresh(): void } {
  const [listed, setListed] = useState(NOTHING);
  const [newer, setNewer] = useState<ReadonlySet<string>>(new Set());
  const [reads, setReads] = useState(0);
  const asked = JSON.stringify(query);
  useEffect(() => setListed(NOTHING), [asked]);
  useEffect(() => {
    const stopped = new AbortController();
    getCases(query, stopped.signal).then(
      ({ cases, total }) => {
        setListed({ rows: cases, total, loading: false, failure: '' });
        setNewer(new Set());
      },
      (error: unknown) => {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setListed((before) => ({ ...before, loading: false, failure: error.message }));
      },
    );
    return () => stopped.abort();
  }, [asked, reads]);
  useEffect(
    () =>
      onCaseFrame((frame) => {
        if (frame.kind === 'casesResync') return setReads((count) => count + 1);
        if (frame.kind !== 'case' || frame.case.desk !== query.desk) return;
        const { case: changed } = frame;
        setListed((before) => {
          const at = before.rows.findIndex(({ caseId }) => caseId === changed.caseId);
          if (at >= 0) return { ...before, rows: before.rows.with(at, changed) };
          // Where nothing is shown, nothing can move.
          if (before.rows.length === 0) setReads((count) => count + 1);
          else if (changed.mergedInto === null && (changed.status !== 'closed' || query.status === 'closed'))
            setNewer((ids) => new Set([...ids, changed.caseId]));
          return before;
        });
      }),
    [asked],
  );
  return { listed, newer: newer.size, refresh: () => setReads((count) => count + 1) };
}

export function CasesPage({ desk }: { desk: Desk }) {
  const t = messages.value.cases;
  const { caseStatus, caseWho, caseSeverity, filters, caseId: openId } = place.value;
  const me = myName();
  const assignee = caseWho === 'mine' ? me : caseWho === 'nobody' ? '' : undefined;
  const { listed, newer, refresh } = useCases({
    desk,
    status: caseStatus,
    severity: caseSeverity,
    assignee,
    subscriber: filters.subscriber,
  });
  const { rows, total, loading, failure } = listed;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [highlighted, setHighlighted] = useState('');
  const [asking, setAsking] = useState<{ kind: 'close' | 'snooze'; cases: CaseSummary[] }>();
  const [showsFeedback, setShowsFeedback] = useState(false);
  const [reads, setReads] = useState(0);
  const [focusRequests, setFocusRequests] = useState(0);
  const body = useRef<HTMLTableSectionElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const panel = useRef<HTMLElement>(null);
  const panelOpen = openId !== '';
  const active = openId || highlighted;
  const chosenRows = rows.filter(({ caseId }) => chosen.has(caseId));
  /** What an action is about: what is chosen, else the case that is open or highlighted. */
  const subject = chosenRows.length > 0 ? chosenRows : rows.filter(({ caseId }) => caseId === active);

  const open = (caseId: string): void => {
    setHighlighted(caseId);
    go({ caseId }, panelOpen ? 'replace' : 'push');
  };
  const close = (): void => {
    go({ caseId: '' });
    setFocusRequests((count) => count + 1);
  };
  const move = (step: number): void => {
    if (rows.length === 0) return;
    const from = rows.findIndex(({ caseId }) => caseId === active);
    const to = from < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, from + step));
    setHighlighted(rows[to]!.caseId);
    if (panelOpen) go({ caseId: rows[to]!.caseId }, 'replace');
    setFocusRequests((count) => count + 1);
  };
  const toggle = (caseId: string): void => {
    const next = new Set(chosen);
    if (!next.delete(caseId)) next.add(caseId);
    setChosen(next);
  };
  const changed = (): void => {
    setChosen(new Set());
    setReads((count) => count + 1);
    refresh();
  };
  const act = async (cases: CaseSummary[], event: CaseEventInput): Promise<void> => {
    if (cases.length === 0) return;
    // What nobody has looked at must not be closed with it.
    const seen = event.type === 'outcome' && cases.length === 1 ? { seenUntil: cases[0]!.lastAlertAt } : {};
    if ((await change(cases, { ...event, ...seen } as CaseEventInput)) !== undefined) changed();
  };
  const takeNext = async (): Promise<void> => {
    try {
      const taken = await takeNextCase(desk, me);
      if (taken === undefined) lastDone.value = { kind: 'nothingToTake' };
      else {
        lastDone.value = undefined;
        refresh();
        open(taken.caseId);
      }
    } catch (error) {
      tellFailure(error);
    }
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Enter' && highlighted !== '') open(highlighted);
    else if (key === 'Escape' && panelOpen) close();
    else if (key === 'x' && active !== '') toggle(active);
    else if (key === 'a') void act(subject, { type: 'acknowledge' });
    else if (key === 'e' && subject.length > 0) setAsking({ kind: 'close', cases: subject });
    else if (key === 's' && subject.length > 0) setAsking({ kind: 'snooze', cases: subject });
    else if (key === '/') {
      event.preventDefault();
      search.current?.focus();
      search.current?.select();
    }
  });
  useLayoutEffect(() => {
    if (focusRequests > 0) body.current?.querySelector<HTMLElement>('tr.active a')?.focus();
  }, [focusRequests]);
  useLayoutEffect(() => {
    if (panelOpen && document.activeElement?.matches('tr.active a')) panel.current?.focus();
  }, [panelOpen]);

  const tabStop = rows.some(({ caseId }) => caseId === active) ? active : rows[0]?.caseId;
  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="cases-heading">
        <h1 id="cases-heading" class="visually-hidden">
          {t.heading(messages.value.nav[desk])}
        </h1>
        <search class="toolbar" aria-label={messages.value.queue.filters}>
          <a class="button" href={formatPlace({ ...place.value, page: 'desk', caseId: '' })}>
            {t.toAlerts}
          </a>
          <select
            aria-label={t.status}
            value={caseStatus}
            onChange={(event) => go({ caseStatus: event.currentTarget.value as CaseFilterStatus }, 'replace')}
          >
            {CASE_FILTERS.map((name) => (
              <option key={name} value={name}>
                {name === 'active' ? t.allActive : messages.value.caseStatuses[name]}
              </option>
            ))}
          </select>
          <select
            aria-label={t.assignee}
            value={caseWho}
            onChange={(event) => go({ caseWho: event.currentTarget.value as CaseWho }, 'replace')}
          >
            <option value="all">{t.everybody}</option>
            <option value="mine">{t.mine}</option>
            <option value="nobody">{t.nobodys}</option>
          </select>
          <select
            aria-label={messages.value.queue.severity}
            value={caseSeverity}
            onChange={(event) => go({ caseSeverity: event.currentTarget.value as Severity | '' }, 'replace')}
          >
            <option value="">{t.anySeverity}</option>
            {[...SEVERITIES].reverse().map((severity) => (
              <option key={severity} value={severity}>
                {messages.value.severity[severity]}
              </option>
            ))}
          </select>
          <div class="search">
            <Icon name="search" />
            <input
              ref={search}
              type="search"
              autocomplete="off"
              spellcheck={false}
              maxLength={64}
              aria-label={t.searchLabel}
              placeholder={t.searchPlaceholder}
              value={filters.subscriber}
              onChange={(event) =>
                go({ filters: { ...filters, subscriber: event.currentTarget.value.trim() } }, 'replace')
              }
            />
          </div>
          {nameIsGiven() && (
            <input
              class="my-name"
              autocomplete="username"
              maxLength={64}
              aria-label={t.myName}
              placeholder={t.myName}
              value={me}
              onChange={(event) => giveName(event.currentTarget.value.trim())}
            />
          )}
          <button type="button" class="button last" onClick={() => setShowsFeedback(true)}>
            {messages.value.feedback.open}
          </button>
          <button type="button" class="button primary" disabled={me === ''} onClick={() => void takeNext()}>
            {t.takeNext}
          </button>
        </search>
        <DoneBar onUndo={(bulkId) => void undo(bulkId).then((result) => result && changed())} />
        {chosen.size > 0 && (
          <div class="bulk-bar">
            <span>{t.chosen(format.value.number(chosen.size))}</span>
            <button type="button" class="button" onClick={() => void act(chosenRows, { type: 'acknowledge' })}>
              {t.acknowledge}
            </button>
            {me !== '' && (
              <button
                type="button"
                class="button"
                onClick={() => void act(chosenRows, { type: 'assign', assignee: me })}
              >
                {t.assignToMe}
              </button>
            )}
            <button type="button" class="button" onClick={() => setAsking({ kind: 'snooze', cases: chosenRows })}>
              {t.snooze}
            </button>
            <button type="button" class="button" onClick={() => setAsking({ kind: 'close', cases: chosenRows })}>
              {t.close}
            </button>
            <button type="button" class="button" onClick={() => setChosen(new Set())}>
              {t.chooseNone}
            </button>
          </div>
        )}
        <div class="queue-body">
          {newer > 0 && (
            <button type="button" class="new-pill" onClick={refresh}>
              <Icon name="arrowUp" />
              {t.newer(newer, format.value.number(newer))}
            </button>
          )}
          <div class="table-scroller">
            <table class="alerts cases" aria-label={t.heading(messages.value.nav[desk])}>
              <thead>
                <tr>
                  <th scope="col" class="c-choose">
                    <input
                      type="checkbox"
                      aria-label={t.chooseAll}
                      checked={rows.length > 0 && chosen.size === rows.length}
                      onChange={(event) =>
                        setChosen(new Set(event.currentTarget.checked ? rows.map(({ caseId }) => caseId) : []))
                      }
                    />
                  </th>
                  {(['severity', 'due', 'case', 'subject', 'alerts', 'assignee', 'status'] as const).map((column) => (
                    <th key={column} scope="col" class={`c-case-${column}`}>
                      {column === 'severity' ? messages.value.queue.severity : t[column]}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody
                ref={body}
                onKeyDown={(event) => {
                  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
                  const step = steps[event.key];
                  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
                  event.preventDefault();
                  move(step);
                }}
              >
                {rows.map((row) => (
                  <Row
                    key={row.caseId}
                    row={row}
                    active={row.caseId === active}
                    chosen={chosen.has(row.caseId)}
                    tabStop={row.caseId === tabStop}
                    onOpen={open}
                    onChoose={toggle}
                  />
                ))}
              </tbody>
            </table>
          </div>
          {rows.length === 0 && failure === '' && (
            <div class="empty">
              <p>{loading ? t.loading : t.empty}</p>
              {!loading && <p class="hint">{t.emptyHint}</p>}
            </div>
          )}
        </div>
        <footer class="queue-footer">
          <span>{messages.value.queue.shown(format.value.number(rows.length), format.value.number(total))}</span>
          {failure !== '' && (
            <span class="alarming" role="alert">
              {t.failed(failure)}
            </span>
          )}
          <div class="button-group">
            <button
              type="button"
              class="icon-button"
              aria-label={t.previous}
              title={t.previous}
              onClick={() => move(-1)}
            >
              <Icon name="up" />
            </button>
            <button type="button" class="icon-button" aria-label={t.next} title={t.next} onClick={() => move(1)}>
              <Icon name="down" />
            </button>
          </div>
        </footer>
      </section>
      {panelOpen && (
        <CasePanel
          key={openId}
          caseId={openId}
          reads={reads}
          panelRef={panel}
          onAsk={(kind, found) => setAsking({ kind, cases: [found] })}
          onChanged={changed}
          onClose={close}
        />
      )}
      {showsFeedback && <FeedbackDialog desk={desk} onClose={() => setShowsFeedback(false)} />}
      {asking !== undefined && (
        <CaseDialog
          kind={asking.kind}
          desk={desk}
          cases={asking.cases.length}
          onCancel={() => setAsking(undefined)}
          onDecide={(event) => {
            setAsking(undefined);
            void act(asking.cases, event);
          }}
        />
      )}
    </div>
  );
}

/** What was done last, and the way back. */
function DoneBar({ onUndo }: { onUndo(bulkId: string): void }) {
  const t = messages.value.cases;
  const done = lastDone.value;
  return (
    <div class="done-bar" role="status">
      {done?.kind === 'failed' && <span class="alarming">{t.failed(done.detail)}</span>}
      {done?.kind === 'nothingToTake' && <span>{t.nothingToTake}</span>}
      {done?.kind === 'changed' && (
        <>
          <span>
            {t.done(
              messages.value.caseEvents[done.type],
              done.result.done.length,
              format.value.number(done.result.done.length),
            )}
          </span>
          {done.result.refused.length > 0 && (
            <span class="alarming">
              {t.refused(done.result.refused.length, format.value.number(done.result.refused.length))}
            </span>
          )}
          {done.type !== 'undo' && done.result.done.length > 0 && (
            <button type="button" class="button" onClick={() => onUndo(done.result.bulkId)}>
              {t.undo}
            </button>
          )}
        </>
      )}
    </div>
  );
}

interface RowProps {
  row: CaseSummary;
  active: boolean;
  chosen: boolean;
  tabStop: boolean;
  onOpen(caseId: string): void;
  onChoose(caseId: string): void;
}

function Row({ row, active, chosen, tabStop, onOpen, onChoose }: RowProps) {
  const t = messages.value.cases;
  const { caseId, severity, sla, key } = row;
  const title = row.title?.[locale.value] ?? t.case;
  const leftMs = sla.dueAt === null ? 0 : sla.dueAt - now.value;
  return (
    // The link inside is the control; the rest of the row only makes it larger for the mouse.
    <tr
      class={`${severity}${active ? ' active' : ''}`}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || window.getSelection()?.type === 'Range') return;
        if ((event.target as HTMLElement).closest('input') !== null) return;
        event.preventDefault();
        onOpen(caseId);
      }}
    >
      <td class="c-choose">
        <input type="checkbox" aria-label={t.choose(title)} checked={chosen} onChange={() => onChoose(caseId)} />
      </td>
      <td class="c-case-severity">
        <SeverityIcon severity={severity} /> {messages.value.severity[severity]}
      </td>
      <td class={`c-case-due${sla.dueAt !== null && leftMs < 0 ? ' alarming' : ''}`}>
        {sla.dueAt !== null && (
          <time dateTime={new Date(sla.dueAt).toISOString()} title={format.value.dateTime(sla.dueAt)}>
            {leftMs < 0 ? t.overdueBy(format.value.span(-leftMs)) : t.dueIn(format.value.span(leftMs))}
          </time>
        )}
      </td>
      <td class="c-case-case">
        <a
          href={formatPlace({ ...place.value, caseId })}
          tabIndex={tabStop ? 0 : -1}
          aria-current={active ? 'true' : undefined}
        >
          {title}
        </a>
      </td>
      <td class="c-case-subject">
        <code>{key.value}</code>
      </td>
      <td class="c-case-alerts">{format.value.number(row.alerts)}</td>
      <td class="c-case-assignee">{row.assignee ?? ''}</td>
      <td class="c-case-status">
        <span class={`case-status ${row.status}`}>{messages.value.caseStatuses[row.status]}</span>
      </td>
    </tr>
  );
}
