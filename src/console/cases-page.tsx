/**
 * The cases of a desk: what is due first, with filters and views, take next, and actions on one or many with undo. What changes
 * while somebody reads changes in its row; rows never move by themselves, new ones wait behind a button.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import type { CaseEventInput } from '../cases/case-event.ts';
import { ApiError } from './api.ts';
import { BULK_CASES_MAX, type CaseQuery, type CaseSummary, getCases, type Subjects, takeNextCase } from './case-api.ts';
import { CaseDialog, type CaseQuestion } from './case-dialog.tsx';
import { groupFilter, isInGroup, useCaseGroups } from './case-groups.ts';
import { CasePanel } from './case-panel.tsx';
import { type CaseRow, CaseTable, caseRowId, ENDING_SOON_MS, groupRowId, isCaseGroup } from './case-table.tsx';
import { CaseToolbar } from './case-toolbar.tsx';
import { CaseViews, useDefaultView, useDeskSettings } from './case-views.tsx';
import { askName, change, lastDone, myName, tellFailure, undo } from './case-work.ts';
import { FailureNote } from './failure-note.tsx';
import { FeedbackDialog } from './feedback-dialog.tsx';
import { Icon } from './icons.tsx';
import { ClearFilters, goToSearch, ListFooter, StepButtons, usePanelFocus } from './list-page.tsx';
import { stepFrom } from './list-table.tsx';
import { useCases } from './listed-cases.ts';
import { format, messages } from './locale.ts';
import { allCases, go, type Place, place } from './location.ts';
import { RoutingDialog } from './routing-dialog.tsx';
import { may } from './session.ts';
import { useShortcuts } from './shortcuts.tsx';
import { boundsOf } from './time-range.ts';

/** What is asked about many at once. */
const BULK_QUESTIONS = ['assign', 'tag', 'snooze', 'merge', 'close'] as const;
/** Times in a question are cut to this, so that the same filters ask the same question for a while. */
const STEP_MS = 60_000;
const ENDING_CHECK_MS = 60_000;

/** What the address asks of the server. */
function queryOf(desk: Desk, { cases, filters }: Pick<Place, 'cases' | 'filters'>, me: string): CaseQuery {
  const { status, who, assignee, severity, ruleId, tag, lane, time, keyAccounts, overdue, endingSoon } = cases;
  const { from, to } = boundsOf(time, Date.now());
  const minute = Math.floor(Date.now() / STEP_MS) * STEP_MS;
  return {
    desk,
    ...(status === 'active' ? { active: true } : { status }),
    ...(who !== 'all' && { assignee: who === 'mine' ? me : '' }),
    ...(assignee !== '' && { assignee }),
    ...(severity !== '' && { severity }),
    ...(ruleId !== '' && { ruleId }),
    ...(tag !== '' && { tag }),
    ...(lane !== '' && { lane }),
    ...(filters.subscriber !== '' && { servedMsisdn: filters.subscriber }),
    ...(keyAccounts && { isKeyAccount: true }),
    ...(overdue && { isOverdue: true }),
    ...(endingSoon && { snoozeEndsBefore: minute + ENDING_SOON_MS }),
    ...(from > -Infinity && { from }),
    ...(to < Infinity && { to }),
  };
}

export function CasesPage({ desk }: { desk: Desk }) {
  const t = messages.value.cases;
  const { cases: wanted, filters, alertId, caseId: openId, openGroup } = place.value;
  const { group: by } = wanted;
  /** Of what is closed nothing can be changed before it is reopened. */
  const isClosedList = wanted.status === 'closed';
  const me = myName();
  // Made anew only when the address changes: the passing of time alone must not read the list again.
  const asked = JSON.stringify([desk, { ...wanted, columns: [] }, filters.subscriber, wanted.who === 'mine' ? me : '']);
  const query = useRef<{ asked: string; query: CaseQuery }>(undefined);
  if (query.current?.asked !== asked) query.current = { asked, query: queryOf(desk, place.value, me) };
  const order = wanted.status === 'closed' && wanted.order === 'due' ? 'newest' : wanted.order;
  /** What the list shows: all that the filters find, or only what is in the group that is open. */
  const shownQuery = useMemo(() => {
    const all = query.current!.query;
    if (by === '') return all;
    return openGroup === '' ? undefined : { ...all, ...groupFilter(by, openGroup) };
  }, [query.current, by, openGroup]);
  const { listed, newer, indexOf, more, refresh } = useCases(
    shownQuery,
    order,
    (found) => by === '' || isInGroup(by, openGroup, found),
  );
  const [reads, setReads] = useState(0);
  const grouped = useCaseGroups(query.current.query, by, reads);
  const { rows, total } = listed;
  const loading = by === '' ? listed.loading : grouped.loading;
  const failure = listed.failure || grouped.failure;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  /** Not only what has been read, but all that the filters find. */
  const [choosesAll, setChoosesAll] = useState(false);
  const [highlighted, setHighlighted] = useState('');
  const [asking, setAsking] = useState<{ kind: CaseQuestion; cases: readonly CaseSummary[]; all: boolean }>();
  const [showsFeedback, setShowsFeedback] = useState(false);
  const [showsRouting, setShowsRouting] = useState(false);
  const { settings, set: setSettings } = useDeskSettings(desk);
  useDefaultView(settings);
  const [focusRequests, setFocusRequests] = useState(0);
  const [topRequests, setTopRequests] = useState(0);
  const search = useRef<HTMLInputElement>(null);
  const panelOpen = openId !== '';
  const panel = usePanelFocus(panelOpen);
  const active = openId || highlighted;
  const groupAt = grouped.groups.findIndex(({ value }) => value === openGroup);
  /** Rows of cases, among those of groups. */
  const table = useMemo<readonly CaseRow[]>(() => {
    if (by === '') return rows;
    return [
      ...grouped.groups.slice(0, groupAt + 1),
      ...(groupAt < 0 ? [] : rows),
      ...grouped.groups.slice(groupAt + 1),
    ];
  }, [by, rows, grouped.groups, groupAt]);
  /** Row of the active case among the cases; and of what is active in the table. */
  const caseIndex = active === '' || (by !== '' && groupAt < 0) ? -1 : indexOf(active);
  const activeIndex =
    caseIndex >= 0 ? caseIndex + groupAt + 1 : table.findIndex((row) => isCaseGroup(row) && caseRowId(row) === active);
  /** Where the active row stood last: what is done leaves the list, and what comes next stands there then. */
  const lastAt = useRef(-1);
  if (activeIndex >= 0) lastAt.current = activeIndex;
  const chosenRows = chosen.size === 0 ? [] : rows.filter(({ caseId }) => chosen.has(caseId));
  /** What an action is about: what is chosen, else the case that is open or highlighted. */
  const subject = chosenRows.length > 0 ? chosenRows : rows.slice(Math.max(0, caseIndex), caseIndex + 1);

  const choose = (ids: ReadonlySet<string>): void => {
    setChosen(ids);
    setChoosesAll(false);
  };
  useEffect(() => {
    choose(new Set());
    if (activeIndex < 0) lastAt.current = -1;
  }, [asked, openGroup]);

  const open = (caseId: string): void => {
    setHighlighted(caseId);
    go({ caseId }, panelOpen ? 'replace' : 'push');
  };
  const close = (): void => {
    const next = activeIndex < 0 && lastAt.current >= 0 ? table[Math.min(lastAt.current, table.length - 1)] : undefined;
    if (next !== undefined) setHighlighted(caseRowId(next));
    go({ caseId: '' });
    setFocusRequests((count) => count + 1);
  };
  useEffect(() => {
    if (alertId === '') return;
    const stopped = new AbortController();
    getCases({ desk, alertId }, { limit: 1 }, stopped.signal).then(
      ({ cases: [found] }) => {
        if (found === undefined) lastDone.value = { kind: 'noCase' };
        else setHighlighted(found.caseId);
        go({ alertId: '', caseId: found?.caseId ?? '' }, 'replace');
      },
      (error: unknown) => stopped.signal.aborted || tellFailure(error),
    );
    return () => stopped.abort();
  }, [desk, alertId]);
  const move = (step: number): void => {
    const from = activeIndex < 0 && lastAt.current >= 0 ? lastAt.current - (step > 0 ? 1 : 0) : activeIndex;
    const target = table[stepFrom(from, step, table.length)];
    // Beside the panel one goes from case to case; a group is none.
    if (target === undefined || (panelOpen && isCaseGroup(target))) return;
    const to = caseRowId(target);
    setHighlighted(to);
    if (panelOpen) go({ caseId: to }, 'replace');
    setFocusRequests((count) => count + 1);
  };
  const toggleGroup = (value: string): void => {
    setHighlighted(groupRowId(value));
    go({ openGroup: value === openGroup ? '' : value }, 'replace');
  };
  const toggle = (caseId: string): void => {
    const next = new Set(chosen);
    if (!next.delete(caseId)) next.add(caseId);
    choose(next);
  };
  const readAgain = (): void => {
    setReads((count) => count + 1);
    refresh();
  };
  const changed = (): void => {
    choose(new Set());
    readAgain();
  };
  const isNarrowed = filters.subscriber !== '' || JSON.stringify(wanted) !== JSON.stringify(allCases(wanted));
  const clearFilters = (): void =>
    go({ cases: allCases(wanted), filters: { ...filters, subscriber: '' }, viewId: '', openGroup: '' }, 'replace');
  const act = async (cases: readonly CaseSummary[], event: CaseEventInput, all = false): Promise<void> => {
    const subjects = event.type === 'merge' ? cases.filter(({ caseId }) => caseId !== event.into) : cases;
    if (subjects.length === 0) return;
    // What nobody has looked at must not be closed with it.
    const seen = event.type === 'outcome' && subjects.length === 1 ? { seenUntil: subjects[0]!.lastAlertAt } : {};
    const which: Subjects = all ? { kind: 'all', filter: shownQuery! } : { kind: 'named', cases: subjects };
    if ((await change(which, { ...event, ...seen } as CaseEventInput)) !== undefined) changed();
  };
  const takeNext = async (): Promise<void> => {
    if (me === '') {
      lastDone.value = { kind: 'nameFirst' };
      return askName();
    }
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
  const ask = (kind: CaseQuestion): void => {
    if (subject.length > 0) setAsking({ kind, cases: subject, all: choosesAll });
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Enter' && activeIndex >= 0) {
      const row = table[activeIndex]!;
      if (isCaseGroup(row)) toggleGroup(row.value);
      else open(row.caseId);
    } else if (key === 'Escape' && panelOpen) close();
    else if (key === 'x' && caseIndex >= 0) toggle(active);
    else if (key === 'a') void act(subject, { type: 'acknowledge' }, choosesAll);
    else if (key === 'e') ask('close');
    else if (key === 's') ask('snooze');
    else if (key === '/') goToSearch(search, event);
  });

  const knownRules = [...new Set(rows.slice(0, KNOWN_ROWS_MAX).flatMap(({ ruleIds }) => ruleIds))];
  const named = settings?.routing.people.map(({ name }) => name) ?? [];
  const assigned = rows.slice(0, KNOWN_ROWS_MAX).flatMap(({ assignee }) => assignee ?? []);
  const knownPeople = [...new Set([...named, ...assigned])].sort();
  const knownTags = [...new Set(rows.slice(0, KNOWN_ROWS_MAX).flatMap(({ tags }) => tags))].sort();
  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="cases-heading">
        <h1 id="cases-heading" class="visually-hidden">
          {t.heading(messages.value.nav[desk])}
        </h1>
        <CaseToolbar
          desk={desk}
          search={search}
          knownRules={knownRules}
          knownPeople={knownPeople}
          knownLanes={settings?.routing.lanes.map(({ name }) => name) ?? []}
          onRouting={settings !== undefined && may('putRouting') ? () => setShowsRouting(true) : undefined}
          onTakeNext={() => void takeNext()}
          onFeedback={() => setShowsFeedback(true)}
        >
          <CaseViews desk={desk} settings={settings} onChanged={setSettings} />
        </CaseToolbar>
        <div class="queue-body">
          {newer > 0 && (
            <button
              type="button"
              class="new-pill"
              onClick={() => {
                refresh();
                setTopRequests((count) => count + 1);
              }}
            >
              <Icon name="arrowUp" />
              {t.newer(newer, format.value.number(newer))}
            </button>
          )}
          <CaseTable
            desk={desk}
            rows={table}
            cases={rows}
            total={table.length + total - rows.length}
            readTo={by === '' ? rows.length : groupAt + 1 + rows.length}
            group={by}
            openGroup={openGroup}
            columns={wanted.columns}
            activeIndex={activeIndex}
            chosen={chosen}
            focusRequests={focusRequests}
            topRequests={topRequests}
            onOpen={open}
            onChoose={toggle}
            onToggle={toggleGroup}
            onChooseAll={(all) => choose(new Set(all ? rows.map(({ caseId }) => caseId) : []))}
            onMove={move}
            onUnderFocus={(index) => {
              if (!panelOpen) setHighlighted(caseRowId(table[index]!));
            }}
            onEnd={more}
          />
          {table.length === 0 && (
            <div class="empty">
              {failure !== '' ? (
                <FailureNote failure={failure} say={t.failed} onRetry={readAgain} />
              ) : loading ? (
                <p>{t.loading}</p>
              ) : (
                <>
                  <p>{isNarrowed ? t.empty : t.none}</p>
                  {isNarrowed && <ClearFilters onClear={clearFilters} />}
                  <p class="hint">{t.emptyHint}</p>
                </>
              )}
            </div>
          )}
        </div>
        <EndingSoon desk={desk} reads={reads} />
        <DoneBar onUndo={(bulkId) => void undo(bulkId).then((result) => result && changed())} />
        {chosen.size > 0 && (
          <div class="bulk-bar">
            <span>{t.chosen(format.value.number(choosesAll ? total : chosen.size))}</span>
            {chosen.size === rows.length && total > rows.length && !choosesAll && (
              <button type="button" class="button" onClick={() => setChoosesAll(true)}>
                {t.chooseMatching(format.value.number(Math.min(total, BULK_CASES_MAX)))}
              </button>
            )}
            {choosesAll && total > BULK_CASES_MAX && (
              <span class="muted">{t.chooseLimited(format.value.number(BULK_CASES_MAX))}</span>
            )}
            {!isClosedList && (
              <button
                type="button"
                class="button"
                onClick={() => void act(chosenRows, { type: 'acknowledge' }, choosesAll)}
              >
                {t.acknowledge}
              </button>
            )}
            {chosenRows.some(({ status }) => status === 'snoozed') && (
              <button
                type="button"
                class="button"
                onClick={() => void act(chosenRows, { type: 'unsnooze' }, choosesAll)}
              >
                {t.unsnooze}
              </button>
            )}
            {!isClosedList && me !== '' && (
              <button
                type="button"
                class="button"
                onClick={() => void act(chosenRows, { type: 'assign', assignee: me }, choosesAll)}
              >
                {t.assignToMe}
              </button>
            )}
            {(isClosedList ? (['reopen'] as const) : BULK_QUESTIONS).map(
              (kind) =>
                !(choosesAll && kind === 'merge') && (
                  <button key={kind} type="button" class="button" onClick={() => ask(kind)}>
                    {messages.value.caseQuestions[kind].button}
                  </button>
                ),
            )}
            <button type="button" class="button" onClick={() => choose(new Set())}>
              {t.chooseNone}
            </button>
          </div>
        )}
        <ListFooter
          shown={[
            ...(by === '' ? [] : [t.groupsShown(grouped.groups.length, format.value.number(grouped.groups.length))]),
            ...(grouped.more > 0 ? [t.groupsMore(format.value.number(grouped.more))] : []),
            ...(shownQuery === undefined
              ? []
              : [messages.value.queue.shown(format.value.number(rows.length), format.value.number(total))]),
          ].join(' · ')}
          failed={failure === '' || table.length === 0 ? '' : t.failed(failure)}
        >
          {isNarrowed && table.length > 0 && <ClearFilters onClear={clearFilters} />}
          <StepButtons previous={t.previous} next={t.next} onMove={move} />
        </ListFooter>
      </section>
      {panelOpen && (
        <CasePanel
          key={openId}
          caseId={openId}
          reads={reads}
          panelRef={panel}
          onAsk={(kind, found) => setAsking({ kind, cases: [found], all: false })}
          onChanged={changed}
          onClose={close}
        />
      )}
      {showsRouting && settings !== undefined && (
        <RoutingDialog
          desk={desk}
          settings={settings}
          onChanged={(next) => {
            setSettings(next);
            changed();
          }}
          onClose={() => setShowsRouting(false)}
        />
      )}
      {showsFeedback && <FeedbackDialog desk={desk} onClose={() => setShowsFeedback(false)} />}
      {asking !== undefined && (
        <CaseDialog
          kind={asking.kind}
          desk={desk}
          cases={asking.cases}
          count={asking.all ? Math.min(total, BULK_CASES_MAX) : asking.cases.length}
          knownPeople={knownPeople}
          knownTags={knownTags}
          onCancel={() => setAsking(undefined)}
          onDecide={(event) => {
            setAsking(undefined);
            void act(asking.cases, event, asking.all);
          }}
        />
      )}
    </div>
  );
}

/** Rows that are looked through for what a field offers. */
const KNOWN_ROWS_MAX = 1_000;

/** A snooze ends by itself; this says so before it does. */
function EndingSoon({ desk, reads }: { desk: Desk; reads: number }) {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const stopped = new AbortController();
    const look = (): void => {
      const query = { desk, active: true, snoozeEndsBefore: Date.now() + ENDING_SOON_MS };
      getCases(query, { limit: 1 }, stopped.signal).then(
        ({ total }) => setCount(total),
        (error: unknown) => {
          // It is asked again in a minute, and the list itself says that the server is away.
          if (!stopped.signal.aborted && !(error instanceof ApiError)) throw error;
        },
      );
    };
    look();
    const timer = setInterval(look, ENDING_CHECK_MS);
    return () => {
      stopped.abort();
      clearInterval(timer);
    };
  }, [desk, reads]);
  const { cases } = place.value;
  if (count === 0 || cases.endingSoon) return null;
  const t = messages.value.cases;
  return (
    <div class="done-bar" role="status">
      <span>{t.endingSoon(count, format.value.number(count))}</span>
      <button
        type="button"
        class="button"
        onClick={() => go({ cases: { ...cases, status: 'active', endingSoon: true } })}
      >
        {t.showThem}
      </button>
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
      {(done?.kind === 'nothingToTake' || done?.kind === 'nameFirst' || done?.kind === 'noCase') && (
        <span>{t[done.kind]}</span>
      )}
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
          {done.type !== 'undo' && done.type !== 'listEntry' && done.result.done.length > 0 && (
            <button type="button" class="button" onClick={() => onUndo(done.result.bulkId)}>
              {t.undo}
            </button>
          )}
        </>
      )}
    </div>
  );
}
