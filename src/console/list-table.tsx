/**
 * A list as a real table that draws only the rows in sight: 50,000 rows scroll as smoothly as fifty. All rows of a layout are
 * equally high, so where each stands is a product, and a list that grows ten times a second costs nothing for its length
 * (libraries for rows of any height look at each of them whenever their number changes). The rows left out are kept as empty
 * space, and `aria-rowcount` and `aria-rowindex` tell assistive technology the true numbers.
 * Keys step through the rows, with one tab stop for all of them.
 */
import { type ComponentChildren, Fragment, type VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';

const HEADER_PX = 32;
const OVERSCAN_ROWS = 8;
/** What of the active row takes the focus: its link, or the button of a group. */
const ACTIVE_CONTROL = 'tr.active :is(a, .group-toggle)';

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

/** What keeps a list from moving. */
export interface Touched {
  pointer: boolean;
  scrolled: boolean;
  focused: boolean;
}
export const UNTOUCHED_LIST: Touched = { pointer: false, scrolled: false, focused: false };

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
  /** Another row has come to stand where the focus is: rows are drawn by place, and the focus keeps its own. */
  onUnderFocus?(index: number): void;
  /** Whether a person's hand is on the list: pointer over the rows, scrolled away from the top, or the focus in a row. */
  onTouched?(touched: Partial<Touched>): void;
  /** Called while the end of what has been read is in sight: the last row, or the one before `readTo`. */
  onEnd?(): void;
  readTo?: number;
  /** Below the table. */
  children?: ComponentChildren;
}

export function ListTable(props: ListTableProps) {
  const { count, activeIndex, keyOf } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [layoutIndex, setLayoutIndex] = useState(0);
  const { rowPx, columns, look } = props.layouts[layoutIndex]!;
  /** Rows that would be in sight in an endless list: the first one, and how many fit. */
  const [sight, setSight] = useState({ first: 0, fits: 0 });
  const lookAgain = (): void => {
    const { scrollTop, clientHeight } = scroller.current!;
    const first = Math.floor(scrollTop / rowPx);
    const fits = Math.ceil(Math.max(0, clientHeight - HEADER_PX) / rowPx) + 1;
    setSight((before) => (before.first === first && before.fits === fits ? before : { first, fits }));
  };
  useLayoutEffect(lookAgain, [rowPx]);

  useLayoutEffect(() => {
    const measure = (): void => {
      const widthPx = scroller.current!.clientWidth;
      const fits = props.layouts.findIndex(({ fromPx }) => widthPx >= fromPx);
      setLayoutIndex(fits < 0 ? props.layouts.length - 1 : fits);
      lookAgain();
    };
    measure();
    const resizing = new ResizeObserver(measure);
    resizing.observe(scroller.current!);
    return () => resizing.disconnect();
  }, [props.layouts, rowPx]);

  // Before the next key is pressed, and not after the next paint: keys that follow quickly find the focus moved.
  useLayoutEffect(() => {
    if (props.focusRequests === 0 || activeIndex < 0) return;
    const { scrollTop, clientHeight } = scroller.current!;
    const topPx = activeIndex * rowPx;
    // The head stays above the rows and takes its part of the height.
    const bottomPx = topPx + rowPx + HEADER_PX - clientHeight;
    if (topPx < scrollTop) scroller.current!.scrollTop = topPx;
    else if (bottomPx > scrollTop) scroller.current!.scrollTop = bottomPx;
    scroller.current?.querySelector<HTMLElement>(ACTIVE_CONTROL)?.focus({ preventScroll: true });
  }, [props.focusRequests]);

  const focusedKey = useRef<string | number>(undefined);
  const focusedIndex = (): number => {
    const row = scroller.current?.querySelector('tbody tr[aria-rowindex]:focus-within');
    return Number(row?.getAttribute('aria-rowindex') ?? 1) - 2;
  };
  useLayoutEffect(() => {
    if (focusedKey.current === undefined || props.onUnderFocus === undefined) return;
    const index = focusedIndex();
    const key = index >= 0 && index < count ? keyOf(index) : undefined;
    if (key !== undefined && key !== focusedKey.current) props.onUnderFocus(index);
    focusedKey.current = key;
  });

  useEffect(() => {
    if ((props.topRequests ?? 0) > 0) scroller.current?.scrollTo({ top: 0 });
  }, [props.topRequests]);

  // One row can be reached with Tab, the others from there: a tab stop for each would be a trap of 50,000 steps.
  const from = Math.max(0, Math.min(sight.first, count - sight.fits) - OVERSCAN_ROWS);
  const to = Math.min(count, sight.first + sight.fits + OVERSCAN_ROWS);
  const drawn = Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
  // The active row is always drawn, wherever it is: otherwise scrolling on would throw the focus away.
  if (activeIndex >= 0 && activeIndex < from) drawn.unshift(activeIndex);
  else if (activeIndex >= to && activeIndex < count) drawn.push(activeIndex);
  const tabStop = activeIndex >= 0 ? activeIndex : 0;
  const lastDrawn = to - 1;
  const readTo = props.readTo ?? count;
  useEffect(() => {
    if (lastDrawn >= readTo - 1 && readTo > 0) props.onEnd?.();
  }, [lastDrawn, readTo]);
  let drawnTo = 0;
  // The same object for a row that stands as it stood: whoever draws it then has nothing to do.
  const placed = useRef(new Map<string | number, RowPlace>());
  const before = placed.current;
  placed.current = new Map();
  const placeOf = (index: number): RowPlace => {
    const next: RowPlace = { index, active: index === activeIndex, tabIndex: index === tabStop ? 0 : -1, columns };
    const known = before.get(keyOf(index));
    const isSame =
      known?.index === index &&
      known.active === next.active &&
      known.tabIndex === next.tabIndex &&
      known.columns === columns;
    const shown = isSame ? known : next;
    placed.current.set(keyOf(index), shown);
    return shown;
  };

  return (
    <div
      class="table-scroller"
      ref={scroller}
      onScroll={(event) => {
        lookAgain();
        props.onTouched?.({ scrolled: event.currentTarget.scrollTop > 0 });
      }}
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
          onFocusIn={() => {
            const index = focusedIndex();
            focusedKey.current = index >= 0 && index < count ? keyOf(index) : undefined;
            props.onTouched?.({ focused: true });
          }}
          onFocusOut={(event) => {
            if (!event.currentTarget.contains(event.relatedTarget as Node | null))
              props.onTouched?.({ focused: false });
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
          {drawn.map((index) => {
            const gapPx = (index - drawnTo) * rowPx;
            drawnTo = index + 1;
            // By place and not by what stands there: another filter then changes words in rows that there are, which costs a
            // fraction of making them anew.
            return (
              <Fragment key={index}>
                {gapPx > 0 && <Gap px={gapPx} columns={columns.length} />}
                {props.row(placeOf(index))}
              </Fragment>
            );
          })}
          <Gap px={Math.max(0, count - drawnTo) * rowPx} columns={columns.length} />
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

/** A row that stands for those that have something in common, and shows or hides them. */
export function GroupRow(props: {
  place: RowPlace;
  open: boolean;
  onToggle(): void;
  /** What the rows have in common, and how many they are. */
  children: ComponentChildren;
}) {
  const { place, open, onToggle } = props;
  return (
    <tr
      aria-rowindex={place.index + 2}
      class={place.active ? 'group active' : 'group'}
      onClick={(event) => {
        if (window.getSelection()?.type === 'Range') return;
        event.preventDefault();
        onToggle();
      }}
    >
      <td colSpan={place.columns.length}>
        <button type="button" class="group-toggle" tabIndex={place.tabIndex} aria-expanded={open}>
          <Icon name={open ? 'down' : 'next'} />
          {props.children}
        </button>
      </td>
    </tr>
  );
}

/** The row that stands `step` rows away from the active one; the first one where none is active, -1 where there is none. */
export function stepFrom(activeIndex: number, step: number, count: number): number {
  if (count === 0) return -1;
  return activeIndex < 0 ? 0 : Math.max(0, Math.min(count - 1, activeIndex + step));
}
