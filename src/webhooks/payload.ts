/** What a webhook sends: CloudEvents, or alerts in the form that Alertmanager's receivers take; and how it is signed. */
import { createHash, createHmac } from 'node:crypto';
import type { AlertData } from '../alerts/alert.ts';
import type { CaseEvent } from '../cases/case-event.ts';
import type { CaseSummary } from '../cases/case-view.ts';

/**
 * Headers by which a receiver knows who sent this, and when (Standard Webhooks): an HMAC with SHA-256 over id, time and body.
 * A receiver refuses what is older than a few minutes, and an id that it has seen.
 */
export function signatureOf(secret: Buffer, id: string, timestampSec: number, body: string): Record<string, string> {
  const signature = createHmac('sha256', secret).update(`${id}.${timestampSec}.${body}`).digest('base64');
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSec),
    'webhook-signature': `v1,${signature}`,
  };
}

/** A case event as a CloudEvent, with the case as it is since then. */
export function caseCloudEvent(
  event: CaseEvent,
  at: number,
  sequence: number,
  summary: CaseSummary,
  source: string,
): object {
  const { about: _about, ...told } = event;
  return {
    specversion: '1.0',
    id: `${summary.caseId}.${sequence}`,
    type: `com.ringfence.case.${event.type}.v1`,
    source,
    time: new Date(at).toISOString(),
    subject: summary.key.value,
    datacontenttype: 'application/json',
    data: { event: told, case: summary },
  };
}

/** One alert as Alertmanager (webhook version 4) would send it, so that whatever takes its webhooks takes ours. */
export function alertmanagerPayload(alert: AlertData, receiver: string, source: string): object {
  const labels: Record<string, string> = {
    alertname: alert.ruleId,
    severity: alert.severity,
    desk: alert.desk,
    catalogue: alert.catalogue,
    key_type: alert.key.type,
    key: alert.key.value,
  };
  const annotations = {
    // Whoever publishes alerts beside us may have left the words out.
    summary: alert.title?.en ?? alert.ruleId,
    summary_zh_cn: alert.title?.['zh-CN'] ?? alert.ruleId,
    description: alert.reason?.en ?? '',
    description_zh_cn: alert.reason?.['zh-CN'] ?? '',
  };
  const groupLabels = { alertname: alert.ruleId, key: alert.key.value };
  const at = new Date(alert.eventTime).toISOString();
  return {
    version: '4',
    groupKey: `{}:{alertname=${JSON.stringify(alert.ruleId)}, key=${JSON.stringify(alert.key.value)}}`,
    truncatedAlerts: 0,
    status: alert.status,
    receiver,
    groupLabels,
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: source,
    alerts: [
      {
        status: alert.status,
        labels,
        annotations,
        startsAt: at,
        endsAt: alert.status === 'resolved' ? at : '0001-01-01T00:00:00Z',
        generatorURL: '',
        fingerprint: createHash('sha256').update(alert.alertId).digest('hex').slice(0, 16),
      },
    ],
  };
}
