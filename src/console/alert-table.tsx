/**
 * The queue as a real table that draws only the rows in sight: 50,000 alerts scroll as smoothly as fifty. The rows left
 * out are kept as empty space, and `aria-rowcount` and `aria-rowindex` tell assistive technology the true numbers.
 */
import {
  defaultRangeExtractor,
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type Range,
  Virtualizer,
} from '@tanstack/virtual-core';
import { Fragment } from 'preact';
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';
import type { AlertData, Desk } from '../alerts/alert.ts';
import type { QueueEntry } from './desk-queue.ts';
import { SeverityIcon, StatusIcon } from './icons.tsx';
import { format, locale, messages, now } from './locale.ts';
import { formatPlace, place } from './location.ts';
import { keyTypeName } from './slugs.ts';

const HEADER_PX = 32;
/**
 * One line a row where there is room. Narrower, two, with the reason below the rule. On a phone the shape alone says the
 * severity, and subject and status are one touch away in the panel.
 */
const LAYOUTS = {
  wide: { fromPx: 980, rowPx: 34, columns: ['severity', 'score', 'time', 'rule', 'key', 'reason', 'status'] },
  compact: { fromPx: 560, rowPx: 54, columns: ['severity', 'score', 'time', 'rule', 'key', 'status'] },
  phone: { fromPx: 0, rowPx: 54, columns: ['severity', 'score', 'time', 'rule'] },
} as const;
type Layout = keyof typeof LAYOUTS;
const OVERSCAN_ROWS = 8;

export interface AlertTableProps {
  desk: Desk;
  rows: readonly QueueEntry[];
  /** The highlighted row; empty: none. */
  activeId: string;
  /** Counts up to ask that the active row be brought into sight and get the focus. */
  focusRequests: number;
  /** Counts up to ask for the top of the list. */
  topRequests: number;
  onOpen(alertId: string): void;
  onMove(step: number): void;
  /** Whether a person's hand is on the list: pointer over the rows, or scrolled away from the top. */
  onTouched(touched: { pointer?: boolean; scrolled?: boolean }): void;
}

export function AlertTable(props: AlertTableProps) {
  const { rows, activeId } = props;
  const t = messages.value;
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const [layout, setLayout] = useState<Layout>('wide');
  const { rowPx, columns } = LAYOUTS[layout];
  const activeIndex = activeId === '' ? -1 : rows.findIndex((entry) => entry.alert.alertId === activeId);

  const options = {
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    getItemKey: (index: number) => rows[index]!.alert.alertId,
    overscan: OVERSCAN_ROWS,
    scrollMargin: HEADER_PX,
    scrollPaddingStart: HEADER_PX,
    // The active row is always drawn, wherever it is: otherwise scrolling on would throw the focus away.
    rangeExtractor: (range: Range) => {
      const drawn = defaultRangeExtractor(range);
      if (activeIndex < 0 || drawn.includes(activeIndex)) return drawn;
      return activeIndex < drawn[0]! ? [activeIndex, ...drawn] : [...drawn, activeIndex];
    },
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(0),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLDivElement, HTMLTableRowElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  useLayoutEffect(() => virtualizer.measure(), [rowPx]);

  useLayoutEffect(() => {
    const measure = (): void => {
      const widthPx = scroller.current!.clientWidth;
      setLayout((['wide', 'compact'] as const).find((wider) => widthPx >= LAYOUTS[wider].fromPx) ?? 'phone');
    };
    measure();
    const resizing = new ResizeObserver(measure);
    resizing.observe(scroller.current!);
    return () => resizing.disconnect();
  }, []);

  // Before the next key is pressed, and not after the next paint: keys that follow quickly find the focus moved.
  useLayoutEffect(() => {
    if (props.focusRequests === 0 || activeIndex < 0) return;
    virtualizer.scrollToIndex(activeIndex, { align: 'auto' });
    scroller.current?.querySelector<HTMLElement>('tr.active a')?.focus({ preventScroll: true });
  }, [props.focusRequests]);

  useEffect(() => {
    if (props.topRequests > 0) scroller.current?.scrollTo({ top: 0 });
  }, [props.topRequests]);

  // One row can be reached with Tab, the others from there: a tab stop for each would be a trap of 50,000 steps.
  const items = virtualizer.getVirtualItems();
  const tabStop = activeIndex >= 0 ? activeIndex : 0;
  let drawnToPx = HEADER_PX;

  return (
    <div
      ref={scroller}
      class="table-scroller"
      onScroll={(event) => props.onTouched({ scrolled: event.currentTarget.scrollTop > 0 })}
      onPointerLeave={() => props.onTouched({ pointer: false })}
    >
      <table
        class={layout === 'wide' ? 'alerts' : `alerts compact ${layout}`}
        aria-label={t.queue.table(t.nav[props.desk])}
        aria-rowcount={rows.length + 1}
      >
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column} scope="col" class={`c-${column}`}>
                {t.queue[column]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody
          onPointerMove={(event) => {
            if (event.pointerType === 'mouse') props.onTouched({ pointer: true });
          }}
          onKeyDown={(event) => {
            const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[
              event.key
            ];
            if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
            event.preventDefault();
            props.onMove(step);
          }}
        >
          {items.map((item) => {
            const gapPx = item.start - drawnToPx;
            drawnToPx = item.end;
            const { alert } = rows[item.index]!;
            return (
              <Fragment key={item.key}>
                {gapPx > 0 && <Gap px={gapPx} columns={columns.length} />}
                <Row
                  alert={alert}
                  index={item.index}
                  active={item.index === activeIndex}
                  tabStop={item.index === tabStop}
                  columns={columns}
                  onOpen={props.onOpen}
                />
              </Fragment>
            );
          })}
          <Gap px={Math.max(0, virtualizer.getTotalSize() + HEADER_PX - drawnToPx)} columns={columns.length} />
        </tbody>
      </table>
    </div>
  );
}

function Gap({ px, columns }: { px: number; columns: number }) {
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it takes the focus; it only keeps the place of rows.
    <tr class="gap" aria-hidden="true">
      <td colSpan={columns} style={{ height: `${px}px` }} />
    </tr>
  );
}

interface RowProps {
  alert: AlertData;
  index: number;
  active: boolean;
  tabStop: boolean;
  columns: readonly string[];
  onOpen(alertId: string): void;
}

function Row({ alert, index, active, tabStop, columns, onOpen }: RowProps) {
  const t = messages.value;
  const language = locale.value;
  const address = formatPlace({ ...place.value, alertId: alert.alertId, msisdn: '' });
  return (
    // The link inside is the control; the rest of the row only makes it larger for the mouse.
    <tr
      aria-rowindex={index + 2}
      class={`${alert.severity} ${alert.status}${active ? ' active' : ''}`}
      onClick={(event) => {
        // A click that selects text, or that wants a new tab, is none of ours.
        if (event.ctrlKey || event.metaKey || event.shiftKey || window.getSelection()?.type === 'Range') return;
        event.preventDefault();
        onOpen(alert.alertId);
      }}
    >
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
        <a href={address} tabIndex={tabStop ? 0 : -1} aria-current={active ? 'true' : undefined}>
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
    </tr>
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
