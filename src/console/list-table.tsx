/**
 * A list as a real table that draws only the rows in sight: 50,000 rows scroll as smoothly as fifty. The rows left out are
 * kept as empty space, and `aria-rowcount` and `aria-rowindex` tell assistive technology the true numbers.
 * Keys step through the rows, with one tab stop for all of them.
 */
import {
  defaultRangeExtractor,
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type Range,
  Virtualizer,
} from '@tanstack/virtual-core';
import { type ComponentChildren, Fragment, type VNode } from 'preact';
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';

const HEADER_PX = 32;
const OVERSCAN_ROWS = 8;

/** How wide the list must be for a layout, and what it looks like then. The last one is for whatever is narrower. */
export interface ListLayout {
  fromPx: number;
  rowPx: number;
  columns: readonly string[];
  /** Class of the table beside those of the list. */
  look?: string;
}

/** What a row must carry: its attributes on the `tr`, its tab stop on the link inside. */
export interface RowPlace {
  index: number;
  active: boolean;
  tabIndex: 0 | -1;
  columns: readonly string[];
}

export interface ListTableProps {
  label: string;
  /** Classes of the table. */
  look: string;
  layouts: readonly ListLayout[];
  heads(column: string): ComponentChildren;
  count: number;
  /** Rows that there are in all, where more can be read. */
  total?: number;
  keyOf(index: number): string | number;
  /** The highlighted row; below 0: none. */
  activeIndex: number;
  /** Counts up to ask that the active row be brought into sight and get the focus. */
  focusRequests: number;
  /** Counts up to ask for the top of the list. */
  topRequests?: number;
  row(place: RowPlace): VNode;
  onMove(step: number): void;
  /** Whether a person's hand is on the list: pointer over the rows, or scrolled away from the top. */
  onTouched?(touched: { pointer?: boolean; scrolled?: boolean }): void;
  /** Called while the end of what has been read is in sight. */
  onEnd?(): void;
  /** Below the table. */
  children?: ComponentChildren;
}

export function ListTable(props: ListTableProps) {
  const { count, activeIndex, keyOf } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useReducer((drawn: number) => drawn + 1, 0);
  const [layoutIndex, setLayoutIndex] = useState(0);
  const { rowPx, columns, look } = props.layouts[layoutIndex]!;

  const options = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    getItemKey: keyOf,
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
      const fits = props.layouts.findIndex(({ fromPx }) => widthPx >= fromPx);
      setLayoutIndex(fits < 0 ? props.layouts.length - 1 : fits);
    };
    measure();
    const resizing = new ResizeObserver(measure);
    resizing.observe(scroller.current!);
    return () => resizing.disconnect();
  }, [props.layouts]);

  // Before the next key is pressed, and not after the next paint: keys that follow quickly find the focus moved.
  useLayoutEffect(() => {
    if (props.focusRequests === 0 || activeIndex < 0) return;
    virtualizer.scrollToIndex(activeIndex, { align: 'auto' });
    scroller.current?.querySelector<HTMLElement>('tr.active a')?.focus({ preventScroll: true });
  }, [props.focusRequests]);

  useEffect(() => {
    if ((props.topRequests ?? 0) > 0) scroller.current?.scrollTo({ top: 0 });
  }, [props.topRequests]);

  // One row can be reached with Tab, the others from there: a tab stop for each would be a trap of 50,000 steps.
  const items = virtualizer.getVirtualItems();
  const tabStop = activeIndex >= 0 ? activeIndex : 0;
  const lastDrawn = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (lastDrawn >= count - 1 && count > 0) props.onEnd?.();
  }, [lastDrawn, count]);
  let drawnToPx = HEADER_PX;

  return (
    <div
      class="table-scroller"
      ref={scroller}
      onScroll={(event) => props.onTouched?.({ scrolled: event.currentTarget.scrollTop > 0 })}
      onPointerLeave={() => props.onTouched?.({ pointer: false })}
    >
      <table
        class={look === undefined ? props.look : `${props.look} ${look}`}
        aria-label={props.label}
        aria-rowcount={(props.total ?? count) + 1}
      >
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column} scope="col" class={`c-${column}`}>
                {props.heads(column)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody
          onPointerMove={(event) => {
            if (event.pointerType === 'mouse') props.onTouched?.({ pointer: true });
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
            const { index } = item;
            return (
              <Fragment key={item.key}>
                {gapPx > 0 && <Gap px={gapPx} columns={columns.length} />}
                {props.row({ index, active: index === activeIndex, tabIndex: index === tabStop ? 0 : -1, columns })}
              </Fragment>
            );
          })}
          <Gap px={Math.max(0, virtualizer.getTotalSize() + HEADER_PX - drawnToPx)} columns={columns.length} />
        </tbody>
      </table>
      {props.children}
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

/**
 * A row of which the link inside is the control; the rest of the row only makes it larger for the mouse.
 * @param look its classes, without `active`
 */
export function ListRow(props: { place: RowPlace; look: string; onOpen(): void; children: ComponentChildren }) {
  const { place, look, onOpen } = props;
  return (
    <tr
      aria-rowindex={place.index + 2}
      class={place.active ? `${look} active` : look}
      onClick={(event) => {
        // A click that selects text, that wants a new tab, or that is for a box in the row, is none of ours.
        if (event.ctrlKey || event.metaKey || event.shiftKey || window.getSelection()?.type === 'Range') return;
        if ((event.target as HTMLElement).closest('input') !== null) return;
        event.preventDefault();
        onOpen();
      }}
    >
      {props.children}
    </tr>
  );
}

/** The row that stands `step` rows away from the active one; the first one where none is active, -1 where there is none. */
export function stepFrom(activeIndex: number, step: number, count: number): number {
  if (count === 0) return -1;
  return activeIndex < 0 ? 0 : Math.max(0, Math.min(count - 1, activeIndex + step));
}
