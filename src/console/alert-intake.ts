/**
 * Alerts as they come in. The server passes an alert on as its publisher wrote it and checks only what it sorts by
 * (id, revision, status, rule, desk, severity, event time). Whatever else is missing or of another type gets a value that
 * can be shown, so that one odd alert from another program cannot take the page away from a desk.
 */
import type { AlertData, Evidence, LocalizedText } from '../alerts/alert.ts';

/** A longer sentence is nothing that a person reads in a queue; a megabyte of it would freeze the page. */
const TEXT_MAX = 2_000;
const EVIDENCE_MAX = 64;
const ACTIONS_MAX = 32;
/** Dates end here (ECMA-262): formatting a later one throws. */
const TIME_MAX_MS = 8.64e15;

type Unchecked<T> = { [K in keyof T]?: unknown };

function text(value: unknown, otherwise = ''): string {
  return typeof value === 'string' ? value.slice(0, TEXT_MAX) : otherwise;
}

function number(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}

function time(value: unknown, otherwise: number): number {
  return Math.max(-TIME_MAX_MS, Math.min(TIME_MAX_MS, number(value, otherwise)));
}

function object<T>(value: unknown): Unchecked<T> {
  return typeof value === 'object' && value !== null ? value : {};
}

function list(value: unknown, max: number): unknown[] {
  return Array.isArray(value) ? value.slice(0, max) : [];
}

function localized(value: unknown, otherwise: string): LocalizedText {
  const texts = object<LocalizedText>(value);
  const en = text(texts.en, otherwise);
  return { en, 'zh-CN': text(texts['zh-CN'], en) };
}

function measure(value: unknown): number | string | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : typeof value === 'string' ? text(value) : null;
}

function evidence(value: unknown): Evidence {
  const item = object<Evidence>(value);
  return {
    feature: text(item.feature),
    window: text(item.window),
    value: measure(item.value),
    threshold: measure(item.threshold),
    unit: text(item.unit),
  };
}

/** An alert with every field that the pages read. */
export function completeAlert(received: AlertData): AlertData {
  const raw: Unchecked<AlertData> = received;
  const { alertId, revision, status, ruleId, desk, severity } = received;
  const eventTime = time(raw.eventTime, 0);
  const key = object<AlertData['key']>(raw.key);
  const value = object<NonNullable<AlertData['value']>>(raw.value);
  return {
    alertId,
    revision,
    status,
    ruleId,
    desk,
    severity,
    eventTime,
    ruleVersion: number(raw.ruleVersion, 0),
    catalogue: text(raw.catalogue),
    title: localized(raw.title, ruleId),
    key: { type: text(key.type, 'subscriber'), value: text(key.value, text(raw.servedMsisdn)) },
    triggerRecordId: text(raw.triggerRecordId),
    reason: localized(raw.reason, ''),
    evidence: list(raw.evidence, EVIDENCE_MAX).map(evidence),
    score: number(raw.score, 0),
    suggestedActions: list(raw.suggestedActions, ACTIONS_MAX).map((action) => text(action)),
    observedSince: time(raw.observedSince, eventTime),
    value: {
      ...(typeof value.tier === 'string' ? { tier: text(value.tier) } : {}),
      ...(typeof value.churnProbability === 'number' ? { churnProbability: value.churnProbability } : {}),
      ...(typeof value.expectedSaveValue === 'number' ? { expectedSaveValue: value.expectedSaveValue } : {}),
      ...(typeof value.exposure === 'number' ? { exposure: value.exposure } : {}),
      ...(typeof value.lifecycleStage === 'string' ? { lifecycleStage: text(value.lifecycleStage) } : {}),
    },
    ...(typeof raw.servedMsisdn === 'string' ? { servedMsisdn: text(raw.servedMsisdn) } : {}),
    ...(typeof raw.subscriberRef === 'string' ? { subscriberRef: text(raw.subscriberRef) } : {}),
    ...(typeof raw.fraudType === 'string' ? { fraudType: text(raw.fraudType) } : {}),
    ...(typeof raw.enabler === 'string' ? { enabler: text(raw.enabler) } : {}),
  };
}
