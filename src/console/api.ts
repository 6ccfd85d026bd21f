/**
 * The calls of the HTTP API that the console makes. Addresses are relative to the page, so that a reverse proxy may put
 * both under any path.
 */
import type { AlertData, Desk, Severity } from '../alerts/alert.ts';
import type {
  AuditPageView,
  DeadLetterHeadView,
  DeadLetterReplayView,
  DeadLetterView,
  OperationsView,
  SessionView,
  SubscriberView,
} from '../http/schemas.ts';
import type { ChurnReport } from '../rules/churn-report.ts';

/** The server's largest page. */
const ALERT_PAGE_MAX = 500;
/** A call that takes longer counts as failed; the slowest page of alerts takes some tens of milliseconds. */
const CALL_TIMEOUT_MS = 15_000;

export interface AlertPage {
  alerts: AlertData[];
  next: string | null;
  /** Sequence in ALERTS up to which the list is complete, where the server says so. */
  seq?: number;
}

export type FeatureView = SubscriberView['features'][number];

/** What the server said instead of an answer (RFC 9457), or that it said nothing. */
export class ApiError extends Error {
  /** HTTP status; 0 where there was no answer at all. */
  readonly status: number;
  /** How long the server asks to wait; 0 where it does not. */
  readonly retryAfterSec: number;
  /** What is wrong with what was sent, item by item, where the server says so. */
  readonly errors: unknown;
  /** The kind of refusal, where one status has several; empty where the server does not say. */
  readonly code: string;

  constructor(status: number, detail: string, retryAfterSec = 0, problem: { errors?: unknown; code?: unknown } = {}) {
    super(translate(detail));
    this.name = 'ApiError';
    this.status = status;
    this.retryAfterSec = retryAfterSec;
    this.errors = problem.errors;
    this.code = typeof problem.code === 'string' ? problem.code : '';
  }

  /** Whether the same question may be answered a while later: nobody was there, or had no time. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let translate = (sentence: string): string => sentence;
/** Gives the sentences of the server to the page in its language. */
export function translateSentences(by: (sentence: string) => string): void {
  translate = by;
}

let sessionLost = (): void => {};
/** Called when the server says that nobody is signed in any more. */
export function onSessionLost(listener: () => void): void {
  sessionLost = listener;
}

export const get = (path: string, signal?: AbortSignal): Promise<unknown> => call(path, {}, signal);

async function call(path: string, init: RequestInit, signal?: AbortSignal): Promise<unknown> {
  const response = await respond(path, init, signal);
  return response.json().catch(() => {
    // Called off while the body came in: that is no empty answer.
    signal?.throwIfAborted();
    return undefined;
  });
}

/** An answer that is a file. */
export async function getText(path: string): Promise<{ text: string; headers: Headers }> {
  const response = await respond(path, { headers: { accept: 'text/csv' } });
  return { text: await response.text(), headers: response.headers };
}

/** @throws ApiError where the server refuses, or there is no answer */
async function respond(path: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      ...init,
      // Says that a page of ours sends this; the server takes no change from a browser without it.
      headers: { accept: 'application/json', 'ringfence-request': '1', ...init.headers },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'The server does not answer.');
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => {
    signal?.throwIfAborted();
    return undefined;
  });
  if (response.status === 401) sessionLost();
  const problem = (body ?? {}) as { title?: string; detail?: string; errors?: unknown; code?: unknown };
  throw new ApiError(
    response.status,
    problem.detail ?? problem.title ?? response.statusText,
    Number(response.headers.get('retry-after')) || 0,
    problem,
  );
}

export interface AlertListFilter {
  desk: Desk;
  severity?: Severity;
  status?: AlertData['status'];
}

/** One page of a desk's alerts, newest first. */
export function getAlerts(filter: AlertListFilter, cursor: string | null, signal?: AbortSignal): Promise<AlertPage> {
  const query = new URLSearchParams({ ...filter, limit: String(ALERT_PAGE_MAX) });
  if (cursor !== null) query.set('cursor', cursor);
  return get(`v1/alerts?${query}`, signal) as Promise<AlertPage>;
}

const SUBSCRIBER_ALERTS_MAX = 50;

/** The newest alerts of a subscriber, of all desks that one may see, whose condition holds or holds no more. */
export function getAlertsOf(
  servedMsisdn: string,
  status: AlertData['status'],
  signal?: AbortSignal,
): Promise<AlertPage> {
  const query = new URLSearchParams({ servedMsisdn, status, limit: String(SUBSCRIBER_ALERTS_MAX) });
  return get(`v1/alerts?${query}`, signal) as Promise<AlertPage>;
}

/** Resolves where the server answers at all. */
export async function probe(): Promise<void> {
  await get('v1/alerts?limit=1');
}

export function getSubscriber(msisdn: string, signal?: AbortSignal): Promise<SubscriberView> {
  return get(`v1/subscribers/${encodeURIComponent(msisdn)}`, signal) as Promise<SubscriberView>;
}

export interface DeadLetterPage {
  deadLetters: DeadLetterHeadView[];
  next: string | null;
}

/** One page of rejected records, newest first; empty filters filter nothing. */
export function getDeadLetters(
  filter: { reason: string; subject: string },
  cursor: string | null,
  signal?: AbortSignal,
): Promise<DeadLetterPage> {
  const query = new URLSearchParams();
  if (filter.reason !== '') query.set('reason', filter.reason);
  if (filter.subject !== '') query.set('subject', filter.subject);
  if (cursor !== null) query.set('cursor', cursor);
  return get(`v1/deadletters?${query}`, signal) as Promise<DeadLetterPage>;
}

export function getDeadLetter(seq: number, signal?: AbortSignal): Promise<DeadLetterView> {
  return get(`v1/deadletters/${seq}`, signal) as Promise<DeadLetterView>;
}

/** Sends a letter to the usage stream; a text in the place of its own body where one is given. */
export function replayDeadLetter(seq: number, text: string | undefined): Promise<DeadLetterReplayView> {
  // Which form the text has, one record, an array or lines, its first characters tell.
  const body = text === undefined ? {} : { body: new Blob([text]) };
  return call(`v1/deadletters/${seq}/replay`, { method: 'POST', ...body }) as Promise<DeadLetterReplayView>;
}

export function getOperations(signal?: AbortSignal): Promise<OperationsView> {
  return get('v1/operations', signal) as Promise<OperationsView>;
}

export function getChurn(signal?: AbortSignal): Promise<ChurnReport> {
  return get('v1/churn', signal) as Promise<ChurnReport>;
}

/** A call without a body. */
export const send = (path: string, method: string): Promise<unknown> => call(path, { method });

export function getSession(): Promise<SessionView> {
  return get('v1/session') as Promise<SessionView>;
}

export const sendJson = (path: string, method: string, body: unknown): Promise<unknown> =>
  call(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

export const sendText = (path: string, type: string, body: string): Promise<unknown> =>
  call(path, { method: 'POST', headers: { 'content-type': type }, body });

export function signIn(name: string, password: string): Promise<SessionView> {
  return sendJson('v1/session', 'POST', { name, password }) as Promise<SessionView>;
}

export async function signOut(): Promise<void> {
  await send('v1/session', 'DELETE');
}

export async function changePassword(current: string, next: string): Promise<void> {
  await sendJson('v1/session/password', 'PUT', { current, next });
}

export type AuditEntryView = AuditPageView['entries'][number];

/** One page of the audit log, newest first; `before` is the `next` of the page before. */
export function getAudit(before: number | undefined, signal?: AbortSignal): Promise<AuditPageView> {
  return get(`v1/audit?limit=100${before === undefined ? '' : `&before=${before}`}`, signal) as Promise<AuditPageView>;
}

/** The alert with its whole numbers, as far as the role ever sees them. */
export function revealAlert(alertId: string, reason: string): Promise<AlertData> {
  return sendJson(`v1/alerts/${encodeURIComponent(alertId)}/reveal`, 'POST', { reason }) as Promise<AlertData>;
}

/** Address of the socket, with a ticket where somebody has to sign in: a socket sends no header that says who it is. */
export async function liveAddress(since: number | undefined, withTicket: boolean): Promise<string> {
  const address = new URL('v1/alerts/live?cases=true', document.baseURI);
  if (withTicket) {
    const { ticket } = (await send('v1/ws-ticket', 'POST')) as { ticket: string };
    address.searchParams.set('ticket', ticket);
  }
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  if (since !== undefined) address.searchParams.set('since', String(since));
  return address.href;
}
