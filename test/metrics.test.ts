import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { createOperations } from '../src/http/operations.ts';
import { createMetrics, type Metrics, RECORD_RESULTS } from '../src/metrics.ts';
import { RECORD_TYPES } from '../src/record/usage-record.ts';

/** Lines of a page as `name{labels}` to value. */
async function page(metrics: Metrics, accept?: string): Promise<Map<string, number>> {
  const { body } = await metrics.expose(accept);
  const samples = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

/** Every name that the contract promises. */
const PROMISED = `
  ringfence_records_total ringfence_alerts_total ringfence_event_to_alert_seconds ringfence_stage_seconds
  ringfence_stream_lag_messages ringfence_watermark_lag_seconds ringfence_checkpoint_seconds
  ringfence_checkpoint_last_success_timestamp_seconds ringfence_subscribers_resident ringfence_state_bytes
  ringfence_evictions_total ringfence_rule_errors_total ringfence_rules_info ringfence_ws_clients
  ringfence_ws_resyncs_total`
  .trim()
  .split(/\s+/);

describe('metrics', () => {
  it('shows every promised metric, and every record series from 0', async () => {
    const metrics = createMetrics();
    const { body } = await metrics.expose(undefined);
    for (const name of PROMISED) expect(body).toContain(`# TYPE ${name} `);
    const samples = await page(metrics);
    for (const type of [...RECORD_TYPES, 'unknown']) {
      for (const result of RECORD_RESULTS) {
        expect(samples.get(`ringfence_records_total{type="${type}",result="${result}"}`)).toBe(0);
      }
    }
  });

  it('counts records through the tally, once each, over several scrapes', async () => {
    const metrics = createMetrics();
    metrics.countRecords('voice', 'applied');
    metrics.countRecords('voice', 'applied', 255);
    metrics.countRecords('unknown', 'rejected');
    expect((await page(metrics)).get('ringfence_records_total{type="voice",result="applied"}')).toBe(256);
    metrics.countRecords('voice', 'applied', 4);
    metrics.countRecords('sms', 'applied');
    const samples = await page(metrics);
    expect(samples.get('ringfence_records_total{type="voice",result="applied"}')).toBe(260);
    expect(samples.get('ringfence_records_total{type="sms",result="applied"}')).toBe(1);
    expect(samples.get('ringfence_records_total{type="unknown",result="rejected"}')).toBe(1);
    expect(metrics.recordsByResult()).toEqual({ applied: 261, duplicate: 0, late: 0, rejected: 1 });
  });

  it('answers both text formats, in any order, from the same numbers', async () => {
    const metrics = createMetrics();
    metrics.countRecords('data', 'late', 7);
    const openMetrics = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';
    for (const accept of [undefined, openMetrics, undefined, openMetrics]) {
      const { contentType, body } = await metrics.expose(accept);
      expect(body).toContain('ringfence_records_total{type="data",result="late"} 7\n');
      if (accept === undefined) {
        expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
        expect(body).toContain('# TYPE ringfence_records_total counter\n');
        expect(body).not.toContain('# EOF');
      } else {
        expect(contentType).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
        expect(body).toContain('# TYPE ringfence_records counter\n');
        expect(body).toMatch(/# EOF\n$/);
      }
    }
  });

  it('starts the series of declared rules and replaces the version', async () => {
    const metrics = createMetrics();
    metrics.declareRules('a1', [{ id: 'fraud.irsf-burst', desk: 'fraud' }]);
    metrics.declareRules('b2', [{ id: 'fraud.irsf-burst', desk: 'fraud' }]);
    const samples = await page(metrics);
    expect(samples.get('ringfence_rules_info{version="b2"}')).toBe(1);
    expect(samples.has('ringfence_rules_info{version="a1"}')).toBe(false);
    expect(samples.get('ringfence_rule_errors_total{rule="fraud.irsf-burst"}')).toBe(0);
    expect(samples.get('ringfence_alerts_total{rule="fraud.irsf-burst",desk="fraud",severity="critical"}')).toBe(0);
  });

  it('shows a tracked queue beside its limit', async () => {
    const metrics = createMetrics();
    const queue = ['a', 'b'];
    metrics.trackQueue('letters', 10, () => queue.length);
    queue.push('c');
    const samples = await page(metrics);
    expect(samples.get('ringfence_queue_items{queue="letters"}')).toBe(3);
    expect(samples.get('ringfence_queue_limit{queue="letters"}')).toBe(10);
  });

  it('gives the operations page the same numbers as a scrape', async () => {
    const metrics = createMetrics();
    metrics.declareRules('r1', [{ id: 'x', desk: 'arrears' }]);
    metrics.countRecords('voice', 'applied', 10);
    metrics.alertsTotal.inc({ rule: 'x', desk: 'arrears', severity: 'info' }, 2);
    metrics.streamLagMessages.set({ partition: '0' }, 5);
    metrics.streamLagMessages.set({ partition: '1' }, 6);
    metrics.watermarkLagSeconds.set({ partition: '0' }, 3);
    metrics.watermarkLagSeconds.set({ partition: '1' }, 9);
    metrics.onScrape(() => metrics.subscribersResident.set(77));
    const operations = createOperations({ metrics, ready: () => true, natsConnected: () => false });
    expect(await operations()).toMatchObject({
      records: { applied: 10, rejected: 0 },
      alertsTotal: 2,
      lagMessages: 11,
      watermarkLagSec: 9,
      eventToAlertMs: null,
      subscribersResident: 77,
      checkpoint: { lastSuccessAt: null, durationSec: null },
      ready: true,
      natsConnected: false,
      rules: { version: 'r1', count: 1, catalogueCount: 1 },
    });
    for (const ms of [1, 2, 3, 4, 1000]) metrics.observeEventToAlert(ms / 1000);
    metrics.observeCheckpoint(0.25);
    const view = await operations();
    expect(view.eventToAlertMs).toEqual({ p50: 3, p99: 1000, max: 1000 });
    expect(view.checkpoint.durationSec).toBe(0.25);
    expect(view.checkpoint.lastSuccessAt).toBeGreaterThan(1.7e12);
  });

  it('passes the linter of Prometheus', async ({ skip }) => {
    const promtool = findPromtool();
    if (promtool === undefined) skip('promtool is not installed (Debian package prometheus)');
    const metrics = createMetrics();
    metrics.declareRules('v', [{ id: 'x', desk: 'fraud' }]);
    metrics.observeEventToAlert(0.2);
    const { body } = await metrics.expose(undefined);
    const ours = body.split('\n\n').filter((block) => block.includes('ringfence_'));
    expect(() => execFileSync(promtool!, ['check', 'metrics'], { input: `${ours.join('\n')}\n` })).not.toThrow();
  });
});

function findPromtool(): string | undefined {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return 'promtool';
  } catch {
    return undefined;
  }
}
