/** The alerts of a desk as a list: what its columns are, and what stands in a row. */
import type { ComponentChildren } from 'preact';
import { useCallback, useRef } from 'preact/hooks';
import type { AlertData, Desk } from '../alerts/alert.ts';
import { SeverityIcon, StatusIcon } from './icons.tsx';
import { GroupRow, type ListLayout, ListRow, ListTable, type RowPlace, type Touched } from './list-table.tsx';
import { format, locale, messages, now } from './locale.ts';
import { formatPlace, place } from './location.ts';
import { type AlertGroup, type AlertGrouping, isGroup, type QueueRow, rowId } from './queue-groups.ts';
import { keyTypeName } from './slugs.ts';

/**
 * One line a row where there is room; the style sheet leaves the reason out where an open alert has taken some of it, so that
 * opening one moves no row. Narrower, two, with the reason below the rule. On a phone the shape alone says the severity, and
 * subject and status are one touch away in the panel.
 */
const LAYOUTS: readonly ListLayout[] = [
  { fromPx: 720, rowPx: 34, columns: ['severity', 'score', 'time', 'rule', 'key', 'reason', 'status'] },
  { fromPx: 560, rowPx: 54, columns: ['severity', 'score', 'time', 'rule', 'key', 'status'], look: 'compact' },
  { fromPx: 0, rowPx: 54, columns: ['severity', 'score', 'time', 'rule'], look: 'compact phone' },
];

export interface AlertTableProps {
  desk: Desk;
  rows: readonly QueueRow[];
  /** What the rows are gathered by, and the group that is open. */
  group: AlertGrouping;
  openGroup: string;
  /** The highlighted row; below 0: none. */
  activeIndex: number;
  focusRequests: number;
  topRequests: number;
  onOpen(alertId: string): void;
  onToggle(group: string): void;
  onMove(step: number): void;
  onTouched(touched: Partial<Touched>): void;
}

export function AlertTable(props: AlertTableProps) {
  const { rows, group, openGroup, activeIndex, desk, focusRequests, topRequests, onMove, onTouched } = props;
  const { queue, nav } = messages.value;
  // The same function for ever: a row whose alert and place are as they were is not drawn again, ten times a second.
  const latest = useRef(props);
  latest.current = props;
  const open = useCallback((alertId: string) => latest.current.onOpen(alertId), []);
  const toggle = useCallback((value: string) => latest.current.onToggle(value), []);
  // What all rows link to but for the alert itself: it stays the same while one after the other is opened.
  const address = formatPlace({ ...place.value, alertId: '', msisdn: '' });
  return (
    <ListTable
      label={queue.table(nav[desk])}
      look="alerts"
      layouts={LAYOUTS}
      heads={(column) => queue[column as 'severity']}
      count={rows.length}
      keyOf={(index) => rowId(rows[index]!)}
      activeIndex={activeIndex}
      focusRequests={focusRequests}
      topRequests={topRequests}
      row={(where) => {
        const row = rows[where.index]!;
        if (!isGroup(row)) return <Row place={where} alert={row.alert} address={address} onOpen={open} />;
        return <Group place={where} by={group} group={row} open={row.value === openGroup} onToggle={toggle} />;
      }}
      onMove={onMove}
      onTouched={onTouched}
    />
  );
}

interface GroupProps {
  place: RowPlace;
  by: AlertGrouping;
  group: AlertGroup;
  open: boolean;
  onToggle(value: string): void;
}

function Group({ place: where, by, group, open, onToggle }: GroupProps) {
  const { value, example, alerts, severity } = group;
  const t = messages.value;
  const names: Record<AlertGrouping, () => ComponentChildren> = {
    '': () => value,
    rule: () => example.title[locale.value],
    severity: () => t.severity[severity],
    status: () => t.status[example.status],
    entity: () => (
      <>
        <span class="number">{example.key.value}</span> <span class="key-type">{keyTypeName(example.key.type)}</span>
      </>
    ),
  };
  return (
    <GroupRow place={where} open={open} onToggle={() => onToggle(value)}>
      <span class={`severity ${severity}`}>
        <SeverityIcon severity={severity} />
        <span class="visually-hidden">{t.severity[severity]}</span>
      </span>
      <span class="group-name">{names[by]()}</span>
      <span class="count">{t.queue.groupCount(alerts, format.value.number(alerts))}</span>
    </GroupRow>
  );
}

interface AlertRowProps {
  place: RowPlace;
  alert: AlertData;
  address: string;
  onOpen(alertId: string): void;
}

function Row({ place: where, alert, address, onOpen }: AlertRowProps) {
  const { columns } = where;
  const t = messages.value;
  const language = locale.value;
  const href = `${address}${address.includes('?') ? '&' : '?'}alert=${encodeURIComponent(alert.alertId)}`;
  return (
    <ListRow place={where} look={`${alert.severity} ${alert.status}`} onOpen={() => onOpen(alert.alertId)}>
      <td class="c-severity">
        <span class={`severity ${alert.severity}`}>
          <SeverityIcon severity={alert.severity} />
          {t.severity[alert.severity]}
        </span>
      </td>
      <td class="c-score">
        <Score score={alert.score} />
      </td>
      <td class="c-time">
        <Time atMs={alert.eventTime} />
      </td>
      <td class="c-rule">
        <a href={href} tabIndex={where.tabIndex} aria-current={where.active ? 'true' : undefined}>
          {alert.title[language]}
        </a>
        {!columns.includes('reason') && <span class="reason">{alert.reason[language]}</span>}
      </td>
      {columns.includes('key') && (
        <td class="c-key">
          <span class="number">{alert.key.value}</span>
          {alert.key.type !== 'subscriber' && <span class="key-type">{keyTypeName(alert.key.type)}</span>}
        </td>
      )}
      {columns.includes('reason') && (
        <td class="c-reason" title={alert.reason[language]}>
          {alert.reason[language]}
        </td>
      )}
      {columns.includes('status') && (
        <td class="c-status">
          <span class={`status ${alert.status}`}>
            <StatusIcon status={alert.status} />
            {t.status[alert.status]}
          </span>
        </td>
      )}
    </ListRow>
  );
}

export function Score({ score }: { score: number }) {
  return (
    <span class="score">
      <span class="score-number">{format.value.number(score)}</span>
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="6" />
        <rect class="fill" width={Math.max(0, Math.min(100, score))} height="6" />
      </svg>
    </span>
  );
}

function Time({ atMs }: { atMs: number }) {
  const age = format.value.span(now.value - atMs);
  return (
    <time dateTime={new Date(atMs).toISOString()}>
      {format.value.time(atMs)} <span class="age">{age}</span>
    </time>
  );
}
