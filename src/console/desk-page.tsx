/** One desk: filters, the live queue, and beside it the alert or subscriber that is open. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Desk, SEVERITIES, type Severity } from '../alerts/alert.ts';
import { AlertPanel } from './alert-panel.tsx';
import { AlertTable } from './alert-table.tsx';
import { QUEUE_ALERTS_MAX, type QueueCounts, type QueueFilters, type QueueRule } from './desk-queue.ts';
import { Icon, SeverityIcon } from './icons.tsx';
import { Choice, ClearFilters, goToSearch, SearchField, StepButtons, usePanelFocus } from './list-page.tsx';
import { stepFrom, UNTOUCHED_LIST } from './list-table.tsx';
import { flushDesks, liveDesks } from './live-alerts.ts';
import { format, locale, messages, now } from './locale.ts';
import { formatPlace, go, NO_OPENED, place } from './location.ts';
import { ALERT_GROUPINGS, type AlertGrouping, groupRows, isGroup, type QueueRow, rowId } from './queue-groups.ts';
import { useShortcuts } from './shortcuts.tsx';
import { TimeFilter } from './time-filter.tsx';
import { boundsOf } from './time-range.ts';

/** A screen reader is told of new critical alerts at most this often, and of all of them at once. */
const ANNOUNCE_MS = 10_000;
const MINUTE_MS = 60_000;
const MSISDN = /^\d{5,15}$/;

export function DeskPage({ desk }: { desk: Desk }) {
  const { queue, version, loading } = liveDesks[desk];
  version.value;
  const { filters, sort, group, openGroup, alertId, msisdn } = place.value;
  const t = messages.value;
  const search = useRef<HTMLInputElement>(null);
  const [highlightedId, setHighlightedId] = useState('');
  const [touched, setTouched] = useState(UNTOUCHED_LIST);
  const [focusRequests, setFocusRequests] = useState(0);
  const [topRequests, setTopRequests] = useState(0);

  const activeId = alertId || highlightedId;
  // An alert that the address names is open before the list is there: that must not keep the list from coming.
  const held = Object.values(touched).includes(true) || (activeId !== '' && !loading.value);
  // What happened an hour ago falls out of the last hour minute by minute, but not under a hand.
  const minute = useRef(0);
  if (!held && filters.time.age !== '') minute.current = Math.floor(now.value / MINUTE_MS);
  // Laid out while rendering, so that no frame shows the old order under the new filters.
  useMemo(
    () => queue.arrange(filters, sort, boundsOf(filters.time, Date.now())),
    [queue, JSON.stringify(filters), sort, minute.current],
  );
  useLayoutEffect(() => {
    queue.hold(held);
    if (!held) flushDesks();
  }, [queue, held]);
  useEffect(() => () => queue.hold(false), [queue]);

  const alerts = queue.rows();
  const shownVersion = held ? 0 : version.value;
  const rows = useMemo<readonly QueueRow[]>(
    () => (group === '' ? alerts : groupRows(alerts, group, openGroup)),
    [alerts, group, openGroup, shownVersion],
  );
  const activeIndex = useMemo(
    () => (activeId === '' ? -1 : rows.findIndex((row) => rowId(row) === activeId)),
    [rows, activeId],
  );
  const counts = queue.counts();
  const panelOpen = alertId !== '' || msisdn !== '';
  const panel = usePanelFocus(panelOpen);

  const open = (id: string): void => {
    setHighlightedId(id);
    go({ alertId: id, msisdn: '' }, panelOpen ? 'replace' : 'push');
  };
  const close = (): void => {
    go({ alertId: '', msisdn: '' });
    setFocusRequests((count) => count + 1);
  };
  // The same function for ever: what is open is not drawn again, ten times a second.
  const latestClose = useRef(close);
  latestClose.current = close;
  const closePanel = useCallback(() => latestClose.current(), []);
  const move = (step: number): void => {
    const target = rows[stepFrom(activeIndex, step, rows.length)];
    if (target === undefined) return;
    // Beside the panel one goes from alert to alert; a group is none.
    if (panelOpen && isGroup(target)) return;
    const id = rowId(target);
    setHighlightedId(id);
    if (panelOpen) go({ alertId: id, msisdn: '' }, 'replace');
    setFocusRequests((count) => count + 1);
  };
  const toggle = (value: string): void => {
    setHighlightedId(`group ${value}`);
    go({ openGroup: value === openGroup ? '' : value }, 'replace');
  };
  const isNarrowed = JSON.stringify(filters) !== JSON.stringify(NO_OPENED.filters);
  const clearFilters = (): void => go({ filters: NO_OPENED.filters }, 'replace');
  const showNew = (): void => {
    queue.admit();
    setHighlightedId('');
    setTopRequests((count) => count + 1);
    flushDesks();
  };

  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Enter' && highlightedId !== '') {
      const row = rows[activeIndex];
      if (row !== undefined && isGroup(row)) toggle(row.value);
      else open(highlightedId);
    } else if (key === 'Escape') {
      if (panelOpen) close();
      else {
        setHighlightedId('');
        (document.activeElement as HTMLElement | null)?.blur();
      }
    } else if (key === '/') goToSearch(search, event);
  });

  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="queue-heading">
        <h1 id="queue-heading" class="visually-hidden">
          {t.queue.heading(t.nav[desk])}
        </h1>
        <Toolbar filters={filters} counts={counts} rules={queue.rules()} search={search} />
        <div class="queue-body">
          {queue.waiting() > 0 && (
            <button type="button" class="new-pill" onClick={showNew} title={t.queue.heldHint}>
              <Icon name="arrowUp" />
              {t.queue.newAlerts(queue.waiting(), format.value.number(queue.waiting()))}
            </button>
          )}
          <AlertTable
            desk={desk}
            rows={rows}
            group={group}
            openGroup={openGroup}
            activeIndex={activeIndex}
            focusRequests={focusRequests}
            topRequests={topRequests}
            onOpen={open}
            onToggle={toggle}
            onMove={move}
            onTouched={(change) =>
              setTouched((before) => {
                const next = { ...before, ...change };
                return JSON.stringify(next) === JSON.stringify(before) ? before : next;
              })
            }
          />
          {alerts.length === 0 && (
            <div class="empty">
              {loading.value ? (
                <p>{t.queue.loading}</p>
              ) : counts.total === 0 ? (
                <>
                  <p>{t.queue.empty}</p>
                  <p class="hint">{t.queue.emptyHint}</p>
                </>
              ) : (
                <>
                  <p>{t.queue.nothingMatches}</p>
                  <ClearFilters onClear={clearFilters} />
                </>
              )}
            </div>
          )}
        </div>
        <footer class="queue-footer">
          <span>{t.queue.shown(format.value.number(alerts.length), format.value.number(counts.total))}</span>
          {isNarrowed && alerts.length > 0 && <ClearFilters onClear={clearFilters} />}
          {counts.total >= QUEUE_ALERTS_MAX && <span>{t.queue.limited(format.value.number(QUEUE_ALERTS_MAX))}</span>}
          {held && <span class="hint">{t.queue.heldHint}</span>}
          <StepButtons previous={t.queue.previous} next={t.queue.next} onMove={move} />
        </footer>
      </section>
      {panelOpen && (
        <AlertPanel
          panelRef={panel}
          alert={alertId === '' ? undefined : queue.find(alertId)?.alert}
          missing={alertId !== '' && !loading.value}
          msisdn={msisdn}
          onClose={closePanel}
        />
      )}
      <Announcer desk={desk} />
    </div>
  );
}

interface ToolbarProps {
  filters: QueueFilters;
  counts: QueueCounts;
  rules: QueueRule[];
  search: { current: HTMLInputElement | null };
}

function Toolbar({ filters, counts, rules, search }: ToolbarProps) {
  const t = messages.value.queue;
  const { severity: severityNames, status: statusNames } = messages.value;
  const change = (next: Partial<QueueFilters>): void => go({ filters: { ...filters, ...next } }, 'replace');
  const toggle = (severity: Severity): void => {
    const chosen = filters.severities.includes(severity)
      ? filters.severities.filter((other) => other !== severity)
      : [...filters.severities, severity];
    change({ severities: SEVERITIES.filter((known) => chosen.includes(known)) });
  };
  // A rule named in the address may have no alert yet; the choice must show it all the same.
  const ruleOptions = rules.some((rule) => rule.ruleId === filters.ruleId)
    ? rules
    : [...rules, { ruleId: filters.ruleId, title: { en: filters.ruleId, 'zh-CN': filters.ruleId }, alerts: 0 }];
  return (
    <search class="toolbar" aria-label={t.filters}>
      <a class="button" href={formatPlace({ ...place.value, ...NO_OPENED, page: 'cases' })}>
        {t.toCases}
      </a>
      <fieldset class="severity-chips">
        <legend class="visually-hidden">{t.severity}</legend>
        {[...SEVERITIES].reverse().map((severity) => (
          <button
            key={severity}
            type="button"
            class={`chip ${severity}`}
            aria-pressed={filters.severities.includes(severity)}
            onClick={() => toggle(severity)}
          >
            <SeverityIcon severity={severity} />
            {severityNames[severity]}
            <span class="count">{format.value.number(counts.severity[severity])}</span>
          </button>
        ))}
      </fieldset>
      <fieldset class="segments">
        <legend class="visually-hidden">{t.statusFilter}</legend>
        {(['', 'firing', 'resolved'] as const).map((status) => (
          <button
            key={status}
            type="button"
            aria-pressed={filters.status === status}
            onClick={() => change({ status })}
          >
            {status === '' ? t.allStatuses : statusNames[status]}
          </button>
        ))}
      </fieldset>
      <Choice
        label={t.ruleFilter}
        value={filters.ruleId}
        options={[
          ['', t.allRules],
          ...ruleOptions
            .filter((rule) => rule.ruleId !== '')
            .map(
              (rule) =>
                [rule.ruleId, t.ruleWithCount(rule.title[locale.value], format.value.number(rule.alerts))] as const,
            ),
        ]}
        onChoose={(ruleId) => change({ ruleId })}
      />
      <TimeFilter label={t.time} names={t.times} range={filters.time} onChange={(time) => change({ time })} />
      <Choice<AlertGrouping>
        label={t.groupLabel}
        value={place.value.group}
        options={ALERT_GROUPINGS.map((by) => [by, t.groups[by]])}
        onChoose={(group) => go({ group, openGroup: '' }, 'replace')}
      />
      <SearchField
        field={search}
        label={t.searchLabel}
        placeholder={t.searchPlaceholder}
        value={filters.subscriber}
        whileTyping
        onSearch={(subscriber) => change({ subscriber })}
      />
      {MSISDN.test(filters.subscriber) && (
        <button
          type="button"
          class="button open-subscriber"
          onClick={() => go({ msisdn: filters.subscriber, alertId: '' })}
        >
          {t.openSubscriber(filters.subscriber)}
        </button>
      )}
      <fieldset class="segments last">
        <legend class="visually-hidden">{t.sortLabel}</legend>
        {(['newest', 'score'] as const).map((sort) => (
          <button
            key={sort}
            type="button"
            aria-pressed={place.value.sort === sort}
            onClick={() => go({ sort }, 'replace')}
          >
            {sort === 'newest' ? t.sortNewest : t.sortScore}
          </button>
        ))}
      </fieldset>
    </search>
  );
}

/** Tells a screen reader about new critical alerts, without talking all the time. */
function Announcer({ desk }: { desk: Desk }) {
  const [text, setText] = useState('');
  useEffect(() => {
    const { criticalArrivals } = liveDesks[desk];
    let told = criticalArrivals.peek();
    const timer = setInterval(() => {
      const arrived = criticalArrivals.peek() - told;
      told = criticalArrivals.peek();
      if (arrived === 0) return;
      const { queue, nav } = messages.peek();
      setText(queue.announceNew(arrived, format.peek().number(arrived), nav[desk]));
    }, ANNOUNCE_MS);
    return () => clearInterval(timer);
  }, [desk]);
  return (
    <p class="visually-hidden" aria-live="polite">
      {text}
    </p>
  );
}
