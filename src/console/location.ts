/**
 * What the page shows lives in its address, so that every view can be sent to a colleague and survives a reload:
 *
 *     #/desk/fraud?severity=critical,warning&status=firing&rule=fraud.irsf-burst&q=8613&sort=score&alert=…&lang=zh-CN
 *     #/operations?lang=en
 *
 * It is the part behind `#`, since the server then needs to know no page of the console.
 */
import { signal } from '@preact/signals';
import { DESKS, type Desk, SEVERITIES } from '../alerts/alert.ts';
import { NO_FILTERS, type QueueFilters, type QueueSort } from './desk-queue.ts';

export const LOCALES = ['en', 'zh-CN'] as const;
export type Locale = (typeof LOCALES)[number];

export interface Place {
  page: 'desk' | 'operations';
  desk: Desk;
  filters: QueueFilters;
  sort: QueueSort;
  /** Open in the panel; empty: none. */
  alertId: string;
  /** A subscriber opened without an alert; empty: none. */
  msisdn: string;
  /** Empty: not said, the remembered one counts. */
  locale: Locale | '';
}

/** No alert and no subscriber open, no filters: how another page begins. */
export const NO_OPENED = { alertId: '', msisdn: '', filters: NO_FILTERS } satisfies Partial<Place>;

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
    page: page === 'operations' ? 'operations' : 'desk',
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
  if (place.locale !== '') query.set('lang', place.locale);
  const path = place.page === 'desk' ? `/desk/${place.desk}` : '/operations';
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
