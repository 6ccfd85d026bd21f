/** The calls of the case API that the console makes. */
import type { Desk, Severity } from '../alerts/alert.ts';
import type { BulkResult } from '../cases/case-desk.ts';
import type { CaseEvent, CaseEventInput, CaseStatus } from '../cases/case-event.ts';
import type { CaseDetail, SnoozePreview } from '../cases/case-list.ts';
import type { CaseSummary } from '../cases/case-view.ts';
import type { Feedback } from '../cases/feedback.ts';
import { get, sendJson } from './api.ts';

/** Cases that the list shows at most; more are found by narrowing it. */
export const CASES_SHOWN_MAX = 200;

export type { BulkResult, CaseDetail, CaseEvent, CaseStatus, CaseSummary, Feedback, SnoozePreview };

export interface CaseQuery {
  desk: Desk;
  /** `active`: all but the closed ones. */
  status: CaseStatus | 'active';
  severity: Severity | '';
  /** Undefined: everybody; empty: nobody. */
  assignee: string | undefined;
  /** A number, or the reference of one. */
  subscriber: string;
}

export interface CasePage {
  cases: CaseSummary[];
  next: string | null;
  total: number;
}

/** The cases that are due first. */
export function getCases(query: CaseQuery, signal?: AbortSignal): Promise<CasePage> {
  const { desk, status, severity, assignee, subscriber } = query;
  const parameters = new URLSearchParams({ desk, limit: String(CASES_SHOWN_MAX) });
  if (status === 'active') parameters.set('active', 'true');
  else parameters.set('status', status);
  if (status === 'closed') parameters.set('order', 'newest');
  if (severity !== '') parameters.set('severity', severity);
  if (assignee !== undefined) parameters.set('assignee', assignee);
  if (subscriber !== '') parameters.set('servedMsisdn', subscriber);
  return get(`v1/cases?${parameters}`, signal) as Promise<CasePage>;
}

export function getCase(caseId: string, signal?: AbortSignal): Promise<CaseDetail> {
  return get(`v1/cases/${caseId}`, signal) as Promise<CaseDetail>;
}

export function postCaseEvent(caseId: string, event: CaseEventInput): Promise<CaseDetail> {
  return sendJson(`v1/cases/${caseId}/events`, 'POST', event) as Promise<CaseDetail>;
}

/** Undefined: nothing is left to take. */
export function takeNextCase(desk: Desk, by: string): Promise<CaseDetail | undefined> {
  return sendJson('v1/cases/next', 'POST', { desk, ...(by !== '' && { by }) }) as Promise<CaseDetail | undefined>;
}

export function changeCases(
  cases: readonly { caseId: string; version: number }[],
  by: string,
  event: CaseEventInput,
): Promise<BulkResult> {
  const named = cases.map(({ caseId, version }) => ({ caseId, version }));
  return sendJson('v1/cases/bulk', 'POST', { cases: named, event, ...(by !== '' && { by }) }) as Promise<BulkResult>;
}

export function undoChange(bulkId: string, by: string): Promise<BulkResult> {
  return sendJson(`v1/cases/bulk/${bulkId}/undo`, 'POST', by === '' ? {} : { by }) as Promise<BulkResult>;
}

export function getFeedback(desk: Desk, signal?: AbortSignal): Promise<Feedback> {
  return get(`v1/feedback?desk=${desk}`, signal) as Promise<Feedback>;
}

export function getSnoozePreview(
  caseId: string,
  ruleId: string,
  days: number,
  signal?: AbortSignal,
): Promise<SnoozePreview> {
  const query = new URLSearchParams({ ruleId, days: String(days) });
  return get(`v1/cases/${caseId}/snooze-preview?${query}`, signal) as Promise<SnoozePreview>;
}
