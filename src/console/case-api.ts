/** The calls of the case API that the console makes. */
import type { Desk, Severity } from '../alerts/alert.ts';
import type { BulkResult } from '../cases/case-desk.ts';
import type { CaseEvent, CaseEventInput, CaseStatus } from '../cases/case-event.ts';
import type { CaseDetail, SnoozePreview } from '../cases/case-list.ts';
import type { CaseGroups, CaseSummary } from '../cases/case-view.ts';
import type { Routing, SavedView, ViewBody } from '../cases/desk-settings.ts';
import type { Feedback } from '../cases/feedback.ts';
import { get, send, sendJson } from './api.ts';

/** As many as one bulk action changes. */
export const BULK_CASES_MAX = 1_000;
/** The server's largest page. */
export const CASE_PAGE_MAX = 200;

export type { BulkResult, CaseDetail, CaseEvent, CaseStatus, CaseSummary, Feedback, SnoozePreview };

/** Filters as the server takes them; see `CasesQuerySchema`. */
export interface CaseQuery {
  desk: Desk;
  active?: boolean;
  status?: CaseStatus;
  severity?: Severity;
  /** The one that holds this alert. */
  alertId?: string;
  ruleId?: string;
  /** Empty: nobody. */
  assignee?: string;
  tag?: string;
  lane?: string;
  /** A number, or the reference of one. */
  servedMsisdn?: string;
  isKeyAccount?: boolean;
  isOverdue?: boolean;
  snoozeEndsBefore?: number;
  /** Opened at that time or later, and before. */
  from?: number;
  to?: number;
}

export interface CasePage {
  cases: CaseSummary[];
  next: string | null;
  total: number;
}

/** One page of cases; a cursor is the `next` of the page before. */
export function getCases(
  query: CaseQuery,
  page: { order?: string; limit?: number; cursor?: string | null },
  signal?: AbortSignal,
): Promise<CasePage> {
  const { order = 'due', limit = CASE_PAGE_MAX, cursor = null } = page;
  const given = Object.entries({ ...query, order, limit }).map(([name, value]) => [name, String(value)]);
  const parameters = new URLSearchParams(given);
  if (cursor !== null) parameters.set('cursor', cursor);
  return get(`v1/cases?${parameters}`, signal) as Promise<CasePage>;
}

export type CaseGroup = CaseGroups['groups'][number];

/** Counts of cases that have something in common, under the filters of a list. */
export function getCaseGroups(query: CaseQuery, by: string, signal?: AbortSignal): Promise<CaseGroups> {
  const given = Object.entries({ ...query, by }).map(([name, value]) => [name, String(value)]);
  return get(`v1/cases/groups?${new URLSearchParams(given)}`, signal) as Promise<CaseGroups>;
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

/** Cases that are named, or all that a filter finds. */
export type Subjects =
  | { kind: 'named'; cases: readonly { caseId: string; version: number }[] }
  | { kind: 'all'; filter: CaseQuery };

export function changeCases(subjects: Subjects, by: string, event: CaseEventInput): Promise<BulkResult> {
  const which =
    subjects.kind === 'all'
      ? { filter: subjects.filter }
      : { cases: subjects.cases.map(({ caseId, version }) => ({ caseId, version })) };
  return sendJson('v1/cases/bulk', 'POST', { ...which, event, ...(by !== '' && { by }) }) as Promise<BulkResult>;
}

export function undoChange(bulkId: string, by: string): Promise<BulkResult> {
  return sendJson(`v1/cases/bulk/${bulkId}/undo`, 'POST', by === '' ? {} : { by }) as Promise<BulkResult>;
}

/** Views and routing of a desk; see `DeskSettingsSchema`. */
export interface DeskSettings {
  version: number;
  views: SavedView[];
  defaultViewId: string | null;
  routing: Routing;
  history: { sequence: number; at: number; by: string; routing?: Routing }[];
}

export function getDeskSettings(desk: Desk, signal?: AbortSignal): Promise<DeskSettings> {
  return get(`v1/desks/${desk}/settings`, signal) as Promise<DeskSettings>;
}

export function putView(desk: Desk, viewId: string, view: ViewBody): Promise<DeskSettings> {
  return sendJson(`v1/desks/${desk}/views/${viewId}`, 'PUT', view) as Promise<DeskSettings>;
}

export function putDefaultView(desk: Desk, viewId: string | null): Promise<DeskSettings> {
  return sendJson(`v1/desks/${desk}/default-view`, 'PUT', { viewId }) as Promise<DeskSettings>;
}

export function deleteView(desk: Desk, viewId: string): Promise<DeskSettings> {
  return send(`v1/desks/${desk}/views/${viewId}`, 'DELETE') as Promise<DeskSettings>;
}

export function putRouting(desk: Desk, version: number, routing: Routing): Promise<DeskSettings> {
  return sendJson(`v1/desks/${desk}/routing`, 'PUT', { version, routing }) as Promise<DeskSettings>;
}

export async function getListNames(signal?: AbortSignal): Promise<string[]> {
  const { lists } = (await get('v1/lists', signal)) as { lists: { name: string }[] };
  return lists.map(({ name }) => name);
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
