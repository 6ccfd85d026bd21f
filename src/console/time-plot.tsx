/** A chart in the page: brings the plotting code when it is first needed and redraws on new data, theme or language. */
import { useEffect, useRef } from 'preact/hooks';
import { locale, timeZone } from './locale.ts';
import type { Plot, PlotData, PlotSeries } from './plot.ts';
import { shownTheme } from './theme.ts';

export interface TimePlotProps {
  /** What a screen reader says instead of the picture. */
  label: string;
  series: PlotSeries[];
  data: PlotData;
  heightPx: number;
  formatValue(value: number): string;
  integers?: boolean;
  barSec?: number;
  syncKey?: string;
  onCursor(index: number | null): void;
}

export function TimePlot(props: TimePlotProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | undefined>(undefined);
  // The plot calls back long after it was made, and always means the newest properties.
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify([props.series, props.barSec, props.heightPx]);
  const [theme, language] = [shownTheme.value, locale.value];

  useEffect(() => {
    let wanted = true;
    void import('./plot.ts').then(({ createPlot }) => {
      if (!wanted || host.current === null) return;
      const { series, heightPx, integers, barSec, syncKey } = latest.current;
      plot.current = createPlot(host.current, {
        series,
        heightPx,
        language,
        timeZone: timeZone.peek(),
        formatValue: (value) => latest.current.formatValue(value),
        onCursor: (index) => latest.current.onCursor(index),
        ...(integers === undefined ? {} : { integers }),
        ...(barSec === undefined ? {} : { barSec }),
        ...(syncKey === undefined ? {} : { syncKey }),
      });
      plot.current.setData(latest.current.data);
    });
    return () => {
      wanted = false;
      plot.current?.remove();
      plot.current = undefined;
    };
  }, [shape, theme, language]);

  useEffect(() => plot.current?.setData(props.data), [props.data]);

  return <div class="plot" ref={host} role="img" aria-label={props.label} />;
}
