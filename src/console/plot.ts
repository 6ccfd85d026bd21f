/**
 * The only file that knows uPlot: one canvas plot of lines or bars over time. It is loaded when the first chart is
 * shown, so that a queue without charts does not pay its 22 kB.
 *
 * A canvas knows no CSS variables: colours are read from the page when the plot is made, and the plot is made again
 * when the theme changes.
 */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface PlotSeries {
  label: string;
  /** Custom property that holds the colour, e.g. `--series-1`. */
  color: string;
  kind: 'line' | 'area' | 'bars';
  /** Dashes tell lines apart without colour; lengths in CSS pixels. */
  dash?: number[];
}

export interface PlotOptions {
  series: PlotSeries[];
  heightPx: number;
  language: string;
  /** IANA name. */
  timeZone: string;
  formatValue(value: number): string;
  /** Values are whole numbers: no tick lies between two of them. */
  integers?: boolean;
  /** Width of a bar in seconds; the time of a bar is its beginning. Absent for lines. */
  barSec?: number;
  /** Plots with the same key share the position of the pointer. */
  syncKey?: string;
  /** Index of the reading under the pointer; null where it is elsewhere. */
  onCursor(index: number | null): void;
}

const INTEGER_STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Over the first seconds of a line its times would all be the same one. */
const LINE_SPAN_MIN_MS = 60_000;

/** Times in epoch ms, then one column a series; null is a gap. */
export type PlotData = [number[], ...(number | null)[][]];

export interface Plot {
  setData(data: PlotData): void;
  remove(): void;
}

export function createPlot(host: HTMLElement, options: PlotOptions): Plot {
  const barMs = (options.barSec ?? 0) * 1000;
  const probe = document.createElement('span');
  host.append(probe);
  const color = (property: string, alpha = 1): string => {
    probe.style.color = `color-mix(in srgb, var(${property}) ${alpha * 100}%, transparent)`;
    return getComputedStyle(probe).color;
  };
  const textColor = color('--text-2');
  const font = `11px ${getComputedStyle(host).fontFamily}`;
  const gridColor = color('--line');

  const times = (form: Intl.DateTimeFormatOptions): Intl.DateTimeFormat =>
    new Intl.DateTimeFormat(options.language, { hourCycle: 'h23', timeZone: options.timeZone, ...form });
  const withSeconds = times({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const withMinutes = times({ hour: '2-digit', minute: '2-digit' });
  const withDay = times({ month: 'short', day: 'numeric' });

  const axis = { stroke: textColor, font, ticks: { show: false }, grid: { stroke: gridColor, width: 1 } };
  const plot = new uPlot(
    {
      width: Math.max(host.clientWidth, 1),
      height: options.heightPx,
      ms: 1,
      tzDate: (atMs) => uPlot.tzDate(new Date(atMs), options.timeZone),
      padding: [8, 20, 0, 0],
      legend: { show: false },
      // Dragging would zoom, which says nothing on a chart that moves on by itself.
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { size: 6 },
        ...(options.syncKey === undefined ? {} : { sync: { key: options.syncKey } }),
      },
      scales: {
        x: {
          time: true,
          range: (_plot, min, max) =>
            barMs > 0 ? [min - barMs / 2, max + barMs / 2] : [Math.min(min, max - LINE_SPAN_MIN_MS), max],
        },
        y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.12 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 24,
          gap: 4,
          space: 72,
          values: (_plot, splits, _axis, _space, stepMs) =>
            splits.map((atMs) =>
              (stepMs >= 86_400_000 ? withDay : stepMs >= 60_000 ? withMinutes : withSeconds).format(atMs),
            ),
        },
        {
          ...axis,
          ...(options.integers === true ? { incrs: INTEGER_STEPS } : {}),
          size: 58,
          gap: 6,
          space: 34,
          values: (_plot, splits) => splits.map((value) => (value === null ? '' : options.formatValue(value))),
        },
      ],
      series: [
        {},
        ...options.series.map(
          (series): uPlot.Series => ({
            label: series.label,
            stroke: color(series.color),
            width: series.kind === 'bars' ? 0 : 1.5,
            points: { show: false },
            spanGaps: false,
            ...(series.kind === 'line' ? {} : { fill: color(series.color, series.kind === 'bars' ? 0.85 : 0.14) }),
            ...(series.dash === undefined ? {} : { dash: series.dash }),
            ...(series.kind === 'bars' ? { paths: uPlot.paths.bars!({ size: [0.82, 48, 1] }) } : {}),
          }),
        ),
      ],
      hooks: { setCursor: [(shown) => options.onCursor(shown.cursor.idx ?? null)] },
    },
    [[], ...options.series.map(() => [])],
    host,
  );
  probe.remove();

  const resizing = new ResizeObserver(() => {
    if (host.clientWidth > 0 && host.clientWidth !== plot.width) {
      plot.setSize({ width: host.clientWidth, height: options.heightPx });
    }
  });
  resizing.observe(host);

  return {
    setData([startsMs, ...columns]) {
      // A bar is drawn around its time: the middle of what it covers.
      const centres = barMs > 0 ? startsMs.map((startMs) => startMs + barMs / 2) : startsMs;
      plot.setData([centres, ...columns] as uPlot.AlignedData);
    },
    remove() {
      resizing.disconnect();
      plot.destroy();
    },
  };
}
