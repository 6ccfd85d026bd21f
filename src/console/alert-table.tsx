/** The alerts of a desk as a list: what its columns are, and what stands in a row. */
import { useCallback, useRef } from 'preact/hooks';
import type { AlertData, Desk } from '../alerts/alert.ts';
import type { QueueEntry } from './desk-queue.ts';
import { SeverityIcon, StatusIcon } from './icons.tsx';
import { type ListLayout, ListRow, ListTable, type RowPlace } from './list-table.tsx';
import { format, locale, messages, now } from './locale.ts';
import { formatPlace, place } from './location.ts';
import { keyTypeName } from './slugs.ts';

/**
 * One line a row where there is room. Narrower, two, with the reason below the rule. On a phone the shape alone says the
 * severity, and subject and status are one touch away in the panel.
 */
const LAYOUTS: readonly ListLayout[] = [
  { fromPx: 980, rowPx: 34, columns: ['severity', 'score', 'time', 'rule', 'key', 'reason', 'status'] },
  { fromPx: 560, rowPx: 54, columns: ['severity', 'score', 'time', 'rule', 'key', 'status'], look: 'compact' },
  { fromPx: 0, rowPx: 54, columns: ['severity', 'score', 'time', 'rule'], look: 'compact phone' },
];

export interface AlertTableProps {
  desk: Desk;
  rows: readonly QueueEntry[];
  /** The highlighted row; empty: none. */
  activeId: string;
  focusRequests: number;
  topRequests: number;
  onOpen(alertId: string): void;
  onMove(step: number): void;
  onTouched(touched: { pointer?: boolean; scrolled?: boolean }): void;
}

export function AlertTable(props: AlertTableProps) {
  const { rows, activeId, desk, focusRequests, topRequests, onMove, onTouched } = props;
  const { queue, nav } = messages.value;
  // The same function for ever: a row whose alert and place are as they were is not drawn again, ten times a second.
  const latest = useRef(props.onOpen);
  latest.current = props.onOpen;
  const open = useCallback((alertId: string) => latest.current(alertId), []);
  const activeIndex = activeId === '' ? -1 : rows.findIndex((entry) => entry.alert.alertId === activeId);
  return (
    <ListTable
      label={queue.table(nav[desk])}
      look="alerts"
      layouts={LAYOUTS}
      heads={(column) => queue[column as 'severity']}
      count={rows.length}
      keyOf={(index) => rows[index]!.alert.alertId}
      activeIndex={activeIndex}
      focusRequests={focusRequests}
      topRequests={topRequests}
      row={(where) => <Row place={where} alert={rows[where.index]!.alert} onOpen={open} />}
      onMove={onMove}
      onTouched={onTouched}
    />
  );
}

function Row(props: { place: RowPlace; alert: AlertData; onOpen(alertId: string): void }) {
  const { place: where, alert, onOpen } = props;
  const { columns } = where;
  const t = messages.value;
  const language = locale.value;
  const address = formatPlace({ ...place.value, alertId: alert.alertId, msisdn: '' });
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
        <a href={address} tabIndex={where.tabIndex} aria-current={where.active ? 'true' : undefined}>
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
      {columns.includes('reason') && <td class="c-reason">{alert.reason[language]}</td>}
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
