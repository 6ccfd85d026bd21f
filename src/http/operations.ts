/**
 * What the operations page shows, read from the metrics: the page and Prometheus can never disagree.
 */
import type { Metrics } from '../metrics.ts';
import { json, type Routes } from './route.ts';
import type { OperationsView } from './schemas.ts';

/** A function that reads the state of the process now. */
export function createOperations(options: {
  metrics: Metrics;
  ready(): boolean;
  natsConnected(): boolean;
}): () => Promise<OperationsView> {
  const { metrics } = options;
  const startedAt = performance.now();
  return async () => {
    metrics.refresh();
    const lag = await valuesOf(metrics.streamLagMessages);
    const watermarkLag = await valuesOf(metrics.watermarkLagSeconds);
    const recent = metrics.recentEventToAlert();
    const checkpoint = metrics.lastCheckpoint();
    return {
      atMs: Date.now(),
      records: metrics.recordsByResult(),
      alertsTotal: sum(await valuesOf(metrics.alertsTotal)),
      lagMessages: sum(lag),
      // The partition that is furthest behind.
      watermarkLagSec: watermarkLag.length === 0 ? null : Math.max(...watermarkLag),
      eventToAlertMs:
        recent === null ? null : { p50: recent.p50 * 1000, p99: recent.p99 * 1000, max: recent.max * 1000 },
      subscribersResident: sum(await valuesOf(metrics.subscribersResident)),
      stateBytes: sum(await valuesOf(metrics.stateBytes)),
      checkpoint: {
        lastSuccessAt: checkpoint?.finishedAt ?? null,
        durationSec: checkpoint?.durationSec ?? null,
      },
      wsClients: sum(await valuesOf(metrics.wsClients)),
      inFlightAlerts: sum(await valuesOf(metrics.alertPublishInFlight)),
      ready: options.ready(),
      natsConnected: options.natsConnected(),
      rules: metrics.rulesInForce(),
      uptimeSec: (performance.now() - startedAt) / 1000,
    };
  };
}

export function addOperationsRoutes(routes: Routes, operations: () => Promise<OperationsView>): void {
  routes.add(
    {
      method: 'GET',
      url: '/v1/operations',
      id: 'getOperations',
      summary: 'How the process is doing.',
      answers: { 200: { description: 'Counts and gauges.', content: json('Operations') } },
      problems: [],
    },
    () => operations(),
  );
}

async function valuesOf(metric: { get(): Promise<{ values: { value: number }[] }> }): Promise<number[]> {
  return (await metric.get()).values.map(({ value }) => value);
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
