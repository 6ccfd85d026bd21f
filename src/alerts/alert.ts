/**
 * The alert as other programs see it: a CloudEvents 1.0 envelope whose `data` says what fired, for which key, and why.
 * Every field of `data` is always present unless its comment says otherwise.
 */

export const DESKS = ['fraud', 'arrears', 'retention'] as const;
export type Desk = (typeof DESKS)[number];

/** In rising order: the index is the rank that a revision compares. */
export const SEVERITIES = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Every sentence that a desk reads exists in both languages. */
export interface LocalizedText {
  en: string;
  'zh-CN': string;
}

export interface Evidence {
  /** Name of the feature in the rule file, e.g. `internationalSec1h`. */
  feature: string;
  /** Window as the rule writes it, e.g. `1h`; empty where the feature has none. */
  window: string;
  value: number | string | null;
  /** The threshold that the value was compared with, null where the feature is context only. */
  threshold: number | string | null;
  /** Unit of value and threshold: `s`, `bytes`, `currency`, `count`, `share`, `none` ... */
  unit: string;
}

export interface AlertData {
  /** Deterministic: the same records under the same rule version give the same id. 32 lower-case hex digits. */
  alertId: string;
  /** 1 at first firing; +1 when the severity rises, a higher band is reached, or the alert resolves. */
  revision: number;
  status: 'firing' | 'resolved';
  ruleId: string;
  ruleVersion: number;
  catalogue: string;
  desk: Desk;
  /** Only of a draft rule (status `experimental`): the alert is in the stream SHADOW and no desk sees it. */
  shadow?: true;
  severity: Severity;
  title: LocalizedText;
  key: { type: string; value: string };
  /** What a desk sees together: the account behind the alert, unless the rule says otherwise. */
  group?: { type: string; value: string };
  /** The subscriber, where there is one. */
  servedMsisdn?: string;
  /** Names the subscriber for the API where the number is masked; set on the way to a page, never in the stream. */
  subscriberRef?: string;
  /** Unix epoch milliseconds of the record or timer that made this revision. */
  eventTime: number;
  /** recordId of that record, `timer:<epoch ms>`, or `rules:<version>` where a swap of the rules resolved it. */
  triggerRecordId: string;
  reason: LocalizedText;
  evidence: Evidence[];
  /** 0-100. */
  score: number;
  fraudType?: string;
  enabler?: string;
  suggestedActions: string[];
  /** Where known. */
  value?: {
    tier?: string;
    churnProbability?: number;
    expectedSaveValue?: number;
    exposure?: number;
    badDebtProbability?: number;
    expectedLoss?: number;
    lifecycleStage?: string;
  };
  /** Event time since which every feature of the rule has seen this key's records; a cold feature says so here. */
  observedSince: number;
}

/** CloudEvents 1.0, structured JSON mode: the message body on `alerts.<desk>.<alertId>`. */
export interface AlertEvent {
  specversion: '1.0';
  /** alertId + `.` + revision. */
  id: string;
  type: 'com.ringfence.alert.v1';
  source: string;
  /** RFC 3339 event time. */
  time: string;
  /** The key's value. */
  subject: string;
  datacontenttype: 'application/json';
  data: AlertData;
}

export function alertEvent(data: AlertData, source: string): AlertEvent {
  return {
    specversion: '1.0',
    id: `${data.alertId}.${data.revision}`,
    type: 'com.ringfence.alert.v1',
    source,
    time: new Date(data.eventTime).toISOString(),
    subject: data.key.value,
    datacontenttype: 'application/json',
    data,
  };
}

/**
 * Subject of an alert: one subject an alert, one message a revision. Alerts of drafts lie in a stream of their own, so that
 * nobody who reads `alerts.>` can take one for real.
 */
export function alertSubject(data: Pick<AlertData, 'desk' | 'alertId' | 'shadow'>): string {
  return `${data.shadow === true ? 'shadow' : 'alerts'}.${data.desk}.${data.alertId}`;
}
