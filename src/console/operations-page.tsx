/**
 * How the machine itself is doing: one reading of `/v1/operations` a second. The server gives totals; rates are
 * differences between two readings, so that a page that slept for a while shows the mean and not a spike.
 */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { OperationsView } from '../http/schemas.ts';
import { ApiError, getOperations } from './api.ts';
import { ChurnPanel } from './churn-panel.tsx';
import { FailureNote } from './failure-note.tsx';
import { format, messages, now } from './locale.ts';
import type { PlotData, PlotSeries } from './plot.ts';
import { TimePlot } from './time-plot.tsx';

const POLL_MS = 1_000;
/** Ten minutes: long enough to see a checkpoint, a restart, a burst. */
const READINGS_MAX = 600;
const GAP_MS = 5 * POLL_MS;
const CHART_HEIGHT_PX = 172;
/** Longer times read better in seconds, and in hours and days. */
const LONG_MS = 10_000;
const LONG_SEC = 36_000;
const duration = (ms: number): string =>
  ms < LONG_MS ? format.value.milliseconds(ms < 100 ? ms : Math.round(ms)) : format.value.value(ms / 1_000, 's');
/** Of the hash of the rule set: enough to tell two sets apart. */
const RULES_VERSION_LETTERS = 8;

const COLUMNS = [
  'applied',
  'duplicate',
  'late',
  'rejected',
  'alerts',
  'p50',
  'p99',
  'max',
  'lag',
  'watermark',
  'checkpointAge',
  'clients',
  'subscribers',
] as const;
type Column = (typeof COLUMNS)[number];
type Reading = { atMs: number } & Record<Column, number | null>;

function nothingRead(atMs: number): Reading {
  const blank = Object.fromEntries(COLUMNS.map((column) => [column, null])) as Record<Column, null>;
  return { atMs, ...blank };
}

/** Kept beyond the page, so that coming back to it shows what was seen before. */
const readings = signal<Reading[]>([]);
const newest = signal<OperationsView | undefined>(undefined);
const failure = signal('');

/** Rates over the time since `before`; null where there is none, or where the process has started anew since. */
function reading(view: OperationsView, before: OperationsView | undefined): Reading {
  const elapsedSec = before === undefined ? 0 : (view.atMs - before.atMs) / 1000;
  const continues = before !== undefined && elapsedSec > 0 && view.uptimeSec >= before.uptimeSec;
  const rate = (total: number, totalBefore: number | undefined): number | null =>
    continues && totalBefore !== undefined && total >= totalBefore ? (total - totalBefore) / elapsedSec : null;
  return {
    atMs: view.atMs,
    applied: rate(view.records.applied, before?.records.applied),
    duplicate: rate(view.records.duplicate, before?.records.duplicate),
    late: rate(view.records.late, before?.records.late),
    rejected: rate(view.records.rejected, before?.records.rejected),
    alerts: rate(view.alertsTotal, before?.alertsTotal),
    p50: view.eventToAlertMs?.p50 ?? null,
    p99: view.eventToAlertMs?.p99 ?? null,
    max: view.eventToAlertMs?.max ?? null,
    lag: view.lagMessages,
    watermark: view.watermarkLagSec,
    checkpointAge:
      view.checkpoint.lastSuccessAt === null ? null : Math.max(0, view.atMs - view.checkpoint.lastSuccessAt) / 1000,
    clients: view.wsClients,
    subscribers: view.subscribersResident,
  };
}

async function poll(signal: AbortSignal): Promise<void> {
  try {
    const view = await getOperations(signal);
    const before = newest.peek();
    // Where readings are missing the lines break off, instead of running across.
    const gap = before !== undefined && view.atMs - before.atMs > GAP_MS;
    const added = gap ? [nothingRead(before.atMs + POLL_MS), reading(view, before)] : [reading(view, before)];
    readings.value = [...readings.peek(), ...added].slice(-READINGS_MAX);
    newest.value = view;
    failure.value = '';
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    failure.value = error.message;
  }
}

interface ChartSpec {
  heading: string;
  columns: { column: Column; label: string; color: string; dash?: number[]; area?: boolean }[];
  format(value: number): string;
  integers?: boolean;
  wide?: boolean;
}

export function OperationsPage() {
  const t = messages.value.operations;
  const f = format.value;
  useEffect(() => {
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const next = async (): Promise<void> => {
      const startedAt = Date.now();
      await poll(stopped.signal);
      if (!stopped.signal.aborted)
        timer = setTimeout(() => void next(), Math.max(0, POLL_MS - (Date.now() - startedAt)));
    };
    void next();
    return () => {
      stopped.abort();
      clearTimeout(timer);
    };
  }, []);

  const perSecond = (value: number): string => t.perSecond(f.rate(value));
  const charts: ChartSpec[] = [
    {
      heading: t.throughput,
      wide: true,
      format: perSecond,
      columns: [
        { column: 'applied', label: t.applied, color: '--series-1', area: true },
        { column: 'duplicate', label: t.duplicate, color: '--series-2', dash: [6, 3] },
        { column: 'late', label: t.late, color: '--series-3', dash: [2, 3] },
        { column: 'rejected', label: t.rejected, color: '--series-4', dash: [8, 3, 2, 3] },
      ],
    },
    {
      heading: t.latency,
      format: duration,
      columns: [
        { column: 'p50', label: t.p50, color: '--series-1', area: true },
        { column: 'p99', label: t.p99, color: '--series-3', dash: [6, 3] },
        { column: 'max', label: t.max, color: '--series-4', dash: [2, 3] },
      ],
    },
    {
      heading: t.alertRate,
      format: perSecond,
      columns: [{ column: 'alerts', label: t.alertRate, color: '--series-1', area: true }],
    },
    {
      heading: t.lag,
      integers: true,
      format: f.compact,
      columns: [{ column: 'lag', label: t.lagSeries, color: '--series-1', area: true }],
    },
    {
      heading: t.watermark,
      format: (sec) => (sec < LONG_SEC ? f.secondsRounded(sec) : f.value(sec, 's')),
      columns: [{ column: 'watermark', label: t.watermarkSeries, color: '--series-1', area: true }],
    },
    {
      heading: t.checkpoint,
      format: (sec) => (sec < LONG_SEC ? f.secondsRounded(sec) : f.value(sec, 's')),
      columns: [{ column: 'checkpointAge', label: t.checkpointAge, color: '--series-1', area: true }],
    },
    {
      heading: t.clients,
      integers: true,
      format: f.number,
      columns: [{ column: 'clients', label: t.clientsSeries, color: '--series-1', area: true }],
    },
    {
      heading: t.subscribers,
      integers: true,
      format: f.compact,
      columns: [{ column: 'subscribers', label: t.subscribers, color: '--series-1', area: true }],
    },
  ];
  const view = newest.value;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls and holds nothing to focus must be reached by the keyboard itself.
    <section class="operations" aria-label={t.heading} tabIndex={0}>
      <header class="page-heading">
        <h1>{t.heading}</h1>
        <p class="hint">{t.window(f.minutes(READINGS_MAX / 60))}</p>
      </header>
      <FailureNote failure={failure.value} say={t.failed} />
      {view !== undefined && <Tiles view={view} />}
      <div class="charts">
        {charts.map((chart) => (
          <Chart key={chart.heading} chart={chart} />
        ))}
      </div>
      <ChurnPanel />
    </section>
  );
}

function Tiles({ view }: { view: OperationsView }) {
  const t = messages.value.operations;
  const f = format.value;
  const { records, checkpoint } = view;
  const checkpointAgeMs = checkpoint.lastSuccessAt === null ? null : now.value - checkpoint.lastSuccessAt;
  return (
    <dl class="tiles">
      <Tile name={t.service}>
        <span class={view.ready ? 'good' : 'bad'}>{view.ready ? t.ready : t.notReady}</span>
      </Tile>
      <Tile name={t.nats}>
        <span class={view.natsConnected ? 'good' : 'bad'}>{view.natsConnected ? t.natsConnected : t.natsAway}</span>
      </Tile>
      <Tile name={t.uptime}>{f.span(view.uptimeSec * 1000)}</Tile>
      <Tile
        name={t.rules}
        detail={t.rulesVersion(f.number(view.rules.catalogueCount), view.rules.version.slice(0, RULES_VERSION_LETTERS))}
      >
        {f.number(view.rules.count)}
      </Tile>
      <Tile name={t.recordsTotal}>
        {f.compact(records.applied + records.duplicate + records.late + records.rejected)}
      </Tile>
      <Tile name={t.alertsTotal}>{f.compact(view.alertsTotal)}</Tile>
      <Tile name={t.inFlight}>{f.number(view.inFlightAlerts)}</Tile>
      <Tile name={t.subscribers}>{f.compact(view.subscribersResident)}</Tile>
      <Tile name={t.state}>{f.bytes(view.stateBytes)}</Tile>
      <Tile
        name={t.checkpoint}
        {...(checkpoint.durationSec === null
          ? {}
          : { detail: t.checkpointTook(duration(checkpoint.durationSec * 1000)) })}
      >
        {checkpointAgeMs === null ? t.noData : f.span(checkpointAgeMs)}
      </Tile>
    </dl>
  );
}

function Tile({ name, detail, children }: { name: string; detail?: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {children}
        {detail !== undefined && <span class="detail">{detail}</span>}
      </dd>
    </div>
  );
}

function Chart({ chart }: { chart: ChartSpec }) {
  const t = messages.value.operations;
  const [pointedAt, setPointedAt] = useState<number | null>(null);
  const shown = readings.value;
  const data: PlotData = [
    shown.map((one) => one.atMs),
    ...chart.columns.map(({ column }) => shown.map((one) => one[column])),
  ];
  const read = shown[pointedAt ?? shown.length - 1];
  const text = (column: Column): string => {
    const value = read?.[column] ?? null;
    return value === null ? t.noData : chart.format(value);
  };
  const series = chart.columns.map(
    ({ label, color, dash, area }): PlotSeries => ({
      label,
      color,
      kind: area ? 'area' : 'line',
      ...(dash === undefined ? {} : { dash }),
    }),
  );
  return (
    <figure class={chart.wide ? 'chart-card wide' : 'chart-card'}>
      <figcaption>
        <h2>{chart.heading}</h2>
        <ul class="legend">
          {chart.columns.map(({ column, label, color, dash }) => (
            <li key={column}>
              <svg class={color.slice(2)} viewBox="0 0 18 8" width="18" height="8" aria-hidden="true">
                <path d="M0 4h18" stroke-dasharray={dash?.join(' ')} />
              </svg>
              {chart.columns.length > 1 && <span class="muted">{label}</span>}
              <strong>{text(column)}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <TimePlot
        label={t.chart(chart.heading, text(chart.columns[0]!.column))}
        series={series}
        data={data}
        heightPx={CHART_HEIGHT_PX}
        formatValue={chart.format}
        integers={chart.integers === true}
        syncKey="operations"
        onCursor={setPointedAt}
      />
    </figure>
  );
}
