/**
 * What the page shows lives in its address, so that every view can be sent to a colleague and survives a reload:
 *
 *     #/desk/fraud?severity=critical,warning&status=firing&rule=fraud.irsf-burst&q=8613&sort=score&alert=…&lang=zh-CN
 *     #/deadletters?reason=schema&source=usage.0.voice&letter=7
 *     #/cases/fraud?status=active&who=mine&severity=critical&q=8613&case=…
 *     #/operations?lang=en
 *     #/audit
 *
 * It is the part behind `#`, since the server then needs to know no page of the console.
 */
import { signal } from '@preact/signals';
import { DESKS, type Desk, SEVERITIES, type Severity } from '../alerts/alert.ts';
import { NO_FILTERS, type QueueFilters, type QueueSort } from './desk-queue.ts';

export const LOCALES = ['en', 'zh-CN'] as const;
export type Locale = (typeof LOCALES)[number];

/** Why a record was rejected. */
export const LETTER_REASONS = ['malformed', 'schema', 'unknownType', 'future', 'tooLarge'] as const;
export type LetterReason = (typeof LETTER_REASONS)[number];

/** `active`: all but the closed ones. */
export const CASE_FILTERS = ['active', 'open', 'acknowledged', 'snoozed', 'closed'] as const;
export type CaseFilterStatus = (typeof CASE_FILTERS)[number];
const CASE_WHO = ['all', 'mine', 'nobody'] as const;
export type CaseWho = (typeof CASE_WHO)[number];

const PAGES = ['desk', 'cases', 'deadletters', 'operations', 'audit'] as const;

export interface Place {
  page: (typeof PAGES)[number];
  desk: Desk;
  filters: QueueFilters;
  sort: QueueSort;
  /** Open in the panel; empty: none. */
  alertId: string;
  /** A subscriber opened without an alert; empty: none. */
  msisdn: string;
  /** The case that is open; empty: none. */
  caseId: string;
  caseStatus: CaseFilterStatus;
  caseWho: CaseWho;
  caseSeverity: Severity | '';
  /** Rejected records: empty, all of them. */
  letterReason: LetterReason | '';
  letterSource: string;
  /** The rejected record that is open; 0: none. */
  letter: number;
  /** Empty: not said, the remembered one counts. */
  locale: Locale | '';
}

/** No alert and no subscriber open, no filters: how another page begins. */
export const NO_OPENED = {
  alertId: '',
  msisdn: '',
  filters: NO_FILTERS,
  caseId: '',
  caseStatus: 'active',
  caseWho: 'all',
  caseSeverity: '',
  letterReason: '',
  letterSource: '',
  letter: 0,
} satisfies Partial<Place>;

const TEXT_MAX = 64;

function oneOf<T extends string>(values: readonly T[], text: string | null | undefined): T | undefined {
  return values.find((value) => value === text);
}

/** Reads any address; what it does not understand is as if absent. */
export function parsePlace(hash: string): Place {
  const [path = '', queryText = ''] = hash.replace(/^#/, '').split('?', 2);
  const [, page, desk] = path.split('/');
  const query = new URLSearchParams(queryText);
  const text = (name: string): string => (query.get(name) ?? '').slice(0, TEXT_MAX);
  return {
    page: oneOf(PAGES, page) ?? 'desk',
    desk: oneOf(DESKS, desk) ?? 'fraud',
    filters: {
      severities: SEVERITIES.filter((severity) => text('severity').split(',').includes(severity)),
      status: oneOf(['firing', 'resolved'] as const, query.get('status')) ?? '',
      ruleId: text('rule'),
      subscriber: text('q'),
    },
    sort: query.get('sort') === 'score' ? 'score' : 'newest',
    alertId: text('alert'),
    msisdn: text('subscriber'),
    caseId: /^[0-9a-f]{32}$/.test(text('case')) ? text('case') : '',
    caseStatus: oneOf(CASE_FILTERS, query.get('status')) ?? 'active',
    caseWho: oneOf(CASE_WHO, query.get('who')) ?? 'all',
    caseSeverity: oneOf(SEVERITIES, query.get('severity')) ?? '',
    letterReason: oneOf(LETTER_REASONS, query.get('reason')) ?? '',
    letterSource: text('source'),
    letter: /^[1-9][0-9]{0,14}$/.test(text('letter')) ? Number(text('letter')) : 0,
    locale: oneOf(LOCALES, query.get('lang')) ?? '',
  };
}

export function formatPlace(place: Place): string {
  const query = new URLSearchParams();
  if (place.page === 'desk') {
    if (place.filters.severities.length > 0) query.set('severity', place.filters.severities.join(','));
    if (place.filters.status !== '') query.set('status', place.filters.status);
    if (place.filters.ruleId !== '') query.set('rule', place.filters.ruleId);
    if (place.filters.subscriber !== '') query.set('q', place.filters.subscriber);
    if (place.sort !== 'newest') query.set('sort', place.sort);
    if (place.alertId !== '') query.set('alert', place.alertId);
    if (place.msisdn !== '') query.set('subscriber', place.msisdn);
  }
  if (place.page === 'cases') {
    if (place.caseStatus !== 'active') query.set('status', place.caseStatus);
    if (place.caseWho !== 'all') query.set('who', place.caseWho);
    if (place.caseSeverity !== '') query.set('severity', place.caseSeverity);
    if (place.filters.subscriber !== '') query.set('q', place.filters.subscriber);
    if (place.caseId !== '') query.set('case', place.caseId);
  }
  if (place.page === 'deadletters') {
    if (place.letterReason !== '') query.set('reason', place.letterReason);
    if (place.letterSource !== '') query.set('source', place.letterSource);
    if (place.letter > 0) query.set('letter', String(place.letter));
  }
  if (place.locale !== '') query.set('lang', place.locale);
  const path = place.page === 'desk' || place.page === 'cases' ? `/${place.page}/${place.desk}` : `/${place.page}`;
  const queryText = query.toString().replaceAll('%2C', ',');
  return queryText === '' ? `#${path}` : `#${path}?${queryText}`;
}

export const place = signal<Place>(parsePlace(location.hash));

window.addEventListener('popstate', () => {
  place.value = parsePlace(location.hash);
});

/**
 * Goes to a changed place. `push` where the way back should lead here again (another page, an opened alert), `replace`
 * for all that is only an adjustment.
 */
export function go(change: Partial<Place>, history: 'push' | 'replace' = 'push'): void {
  place.value = { ...place.peek(), ...change };
  const address = formatPlace(place.peek());
  if (address === location.hash) return;
  if (history === 'push') window.history.pushState(null, '', address);
  else window.history.replaceState(null, '', address);
}
