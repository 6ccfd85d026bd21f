/**
 * The calls of the HTTP API that the console makes. Addresses are relative to the page, so that a reverse proxy may put
 * both under any path.
 */
import type { AlertData, Desk, Severity } from '../alerts/alert.ts';
import type { OperationsView, SubscriberView } from '../http/schemas.ts';

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

  constructor(status: number, detail: string, retryAfterSec = 0) {
    super(detail);
    this.name = 'ApiError';
    this.status = status;
    this.retryAfterSec = retryAfterSec;
  }
}

async function get(path: string, signal?: AbortSignal): Promise<unknown> {
  const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      headers: { accept: 'application/json' },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body;
  const problem = (body ?? {}) as { title?: string; detail?: string };
  throw new ApiError(
    response.status,
    problem.detail ?? problem.title ?? response.statusText,
    Number(response.headers.get('retry-after')) || 0,
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

/** Resolves where the server answers at all. */
export async function probe(): Promise<void> {
  await get('v1/alerts?limit=1');
}

export function getSubscriber(msisdn: string, signal?: AbortSignal): Promise<SubscriberView> {
  return get(`v1/subscribers/${encodeURIComponent(msisdn)}`, signal) as Promise<SubscriberView>;
}

export function getOperations(signal?: AbortSignal): Promise<OperationsView> {
  return get('v1/operations', signal) as Promise<OperationsView>;
}

export function liveAddress(since: number | undefined): string {
  const address = new URL('v1/alerts/live', document.baseURI);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  if (since !== undefined) address.searchParams.set('since', String(since));
  return address.href;
}
