/**
 * What the page shows lives in its address, so that every view can be sent to a colleague and survives a reload:
 *
 *     #/desk/fraud?severity=critical,warning&status=firing&rule=fraud.irsf-burst&q=8613&sort=score&alert=…&lang=zh-CN
 *     #/desk/fraud?from=2026-03-01T08:00Z&to=2026-03-01T12:00Z&group=rule&open=fraud.irsf-burst
 *     #/deadletters?reason=schema&source=usage.0.voice&letter=7
 *     #/cases/fraud?status=active&who=mine&severity=critical&rule=fraud.irsf-burst&tag=call-back&q=8613&view=…&case=…
 *     #/cases/fraud?age=24h&group=assignee&open=anna
 *     #/cases/fraud?alert=…
 *     #/records/fraud?subscriber=8613…&type=voice&dir=mo&age=24h&q=371&sort=longest&record=…
 *     #/records/fraud?alert=…
 *     #/rules?desk=fraud&waiting=yes&q=burst&rule=fraud.international-burst
 *     #/lists?list=iprn&q=371
 *     #/operations?lang=en
 *     #/audit
 *     #/admin
 *
 * It is the part behind `#`, since the server then needs to know no page of the console.
 */
import { signal } from '@preact/signals';
import { DESKS, type Desk, SEVERITIES, type Severity } from '../alerts/alert.ts';
import { RECORD_TYPES, type RecordType } from '../record/usage-record.ts';
import { NO_FILTERS, type QueueFilters, type QueueSort } from './desk-queue.ts';
import { PAGES, type PageName } from './pages.ts';
import { ALERT_GROUPINGS, type AlertGrouping } from './queue-groups.ts';
import { AGES, type Age, ANY_TIME, readTimeRange, type TimeRange, writeTimeRange } from './time-range.ts';

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
const CASE_ORDERS = ['due', 'score', 'newest'] as const;
/** What the list of cases can be gathered by; see `CASE_GROUPINGS` of the server. Empty: not at all. */
export const CASE_GROUP_CHOICES = ['', 'rule', 'severity', 'subscriber', 'status', 'assignee', 'lane'] as const;
export type CaseGroupChoice = (typeof CASE_GROUP_CHOICES)[number];
/** Columns of the list of cases, in their order; what a case is about always stands in it. */
export const CASE_COLUMNS = [
  'severity',
  'due',
  'case',
  'subject',
  'score',
  'value',
  'alerts',
  'rules',
  'tags',
  'lane',
  'opened',
  'assignee',
  'status',
] as const;
export type CaseColumn = (typeof CASE_COLUMNS)[number];
const COLUMNS_SHOWN: readonly CaseColumn[] = ['severity', 'due', 'case', 'subject', 'alerts', 'assignee', 'status'];

export const RECORD_DIRECTIONS = ['mo', 'mt', 'forwarded'] as const;
export const RECORD_ORDERS = ['newest', 'oldest', 'longest', 'largest', 'dearest'] as const;

/** Which usage records are shown, and in which order. */
export interface RecordFilters {
  recordType: RecordType | '';
  direction: (typeof RECORD_DIRECTIONS)[number] | '';
  /** The other number contains this. */
  other: string;
  age: Age;
  order: (typeof RECORD_ORDERS)[number];
}
export const NO_RECORD_FILTERS: RecordFilters = { recordType: '', direction: '', other: '', age: '', order: 'newest' };

/** Which cases are listed, and how: what a view keeps. */
export interface CaseFilters {
  status: CaseFilterStatus;
  who: CaseWho;
  /** Whom a case is assigned to; empty: as `who` says. */
  assignee: string;
  severity: Severity | '';
  ruleId: string;
  tag: string;
  lane: string;
  /** When a case was opened. */
  time: TimeRange;
  /** Only cases of key accounts, that are overdue, or with a snooze that ends within the hour. */
  keyAccounts: boolean;
  overdue: boolean;
  endingSoon: boolean;
  order: (typeof CASE_ORDERS)[number];
  group: CaseGroupChoice;
  columns: readonly CaseColumn[];
}
const NO_CASE_FILTERS: CaseFilters = {
  status: 'active',
  who: 'all',
  assignee: '',
  severity: '',
  ruleId: '',
  tag: '',
  lane: '',
  time: ANY_TIME,
  keyAccounts: false,
  overdue: false,
  endingSoon: false,
  order: 'due',
  group: '',
  columns: COLUMNS_SHOWN,
};

/** What narrows the list of cases, gone; how it is laid out stays. */
export const allCases = ({ order, group, columns }: CaseFilters): CaseFilters => ({
  ...NO_CASE_FILTERS,
  order,
  group,
  columns,
});

export interface Place {
  page: PageName;
  desk: Desk;
  filters: QueueFilters;
  sort: QueueSort;
  /** What the alerts of a desk are gathered by. */
  group: AlertGrouping;
  /** Of a list that is gathered, alerts or cases: the group that shows what is in it; empty: none. */
  openGroup: string;
  /** Open in the panel, or on the page of cases the one whose case is to be opened; empty: none. */
  alertId: string;
  /** A subscriber opened without an alert; empty: none. */
  msisdn: string;
  /** The case that is open; empty: none. */
  caseId: string;
  cases: CaseFilters;
  records: RecordFilters;
  /** The usage record that is open; empty: none. */
  recordId: string;
  /** The reference list that is open, and what its rows contain; empty: none, and all. */
  listName: string;
  listText: string;
  /** The saved view that was chosen; empty: none. */
  viewId: string;
  /** Rejected records: empty, all of them. */
  letterReason: LetterReason | '';
  letterSource: string;
  /** The rejected record that is open; 0: none. */
  letter: number;
  /** Rules of one desk; empty: of all. */
  ruleDesk: Desk | '';
  ruleText: string;
  /** Only rules with a change that waits for its decision. */
  rulesWaiting: boolean;
  /** The rule that is open; empty: none. */
  ruleId: string;
  /** Empty: not said, the remembered one counts. */
  locale: Locale | '';
}

/** No alert and no subscriber open, no filters: how another page begins. */
export const NO_OPENED = {
  alertId: '',
  msisdn: '',
  filters: NO_FILTERS,
  group: '',
  openGroup: '',
  caseId: '',
  cases: NO_CASE_FILTERS,
  records: NO_RECORD_FILTERS,
  recordId: '',
  listName: '',
  listText: '',
  viewId: '',
  letterReason: '',
  letterSource: '',
  letter: 0,
  ruleDesk: '',
  ruleText: '',
  rulesWaiting: false,
  ruleId: '',
} satisfies Partial<Place>;

const TEXT_MAX = 128;

function oneOf<T extends string>(values: readonly T[], text: string | null | undefined): T | undefined {
  return values.find((value) => value === text);
}

/** Reads filters from the texts of an address or of a saved view; what it does not understand is as if absent. */
export function readCaseFilters(texts: Readonly<Record<string, string | undefined>>): CaseFilters {
  const text = (name: string): string => (texts[name] ?? '').slice(0, TEXT_MAX);
  const columns = text('columns').split(',');
  const shown = CASE_COLUMNS.filter((column) => column === 'case' || columns.includes(column));
  return {
    status: oneOf(CASE_FILTERS, texts['status']) ?? 'active',
    who: oneOf(CASE_WHO, texts['who']) ?? 'all',
    assignee: text('assignee'),
    severity: oneOf(SEVERITIES, texts['severity']) ?? '',
    ruleId: text('rule'),
    tag: text('tag'),
    lane: text('lane'),
    time: readTimeRange(texts),
    keyAccounts: texts['key'] === 'yes',
    overdue: texts['overdue'] === 'yes',
    endingSoon: texts['ending'] === 'yes',
    order: oneOf(CASE_ORDERS, texts['order']) ?? 'due',
    group: oneOf(CASE_GROUP_CHOICES, texts['group']) ?? '',
    columns: texts['columns'] === undefined ? COLUMNS_SHOWN : shown,
  };
}

/** The same as texts, without what is as it always is. */
export function writeCaseFilters(filters: CaseFilters): Record<string, string> {
  const columns = filters.columns.join(',');
  const texts = {
    status: filters.status === 'active' ? '' : filters.status,
    who: filters.who === 'all' ? '' : filters.who,
    assignee: filters.assignee,
    severity: filters.severity,
    rule: filters.ruleId,
    tag: filters.tag,
    lane: filters.lane,
    ...writeTimeRange(filters.time),
    key: filters.keyAccounts ? 'yes' : '',
    overdue: filters.overdue ? 'yes' : '',
    ending: filters.endingSoon ? 'yes' : '',
    order: filters.order === 'due' ? '' : filters.order,
    group: filters.group,
    columns: columns === COLUMNS_SHOWN.join(',') ? '' : columns,
  };
  return Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== ''));
}

/** Reads any address; what it does not understand is as if absent. */
function parsePlace(hash: string): Place {
  const [path = '', queryText = ''] = hash.replace(/^#/, '').split('?', 2);
  const [, page, desk] = path.split('/');
  const query = new URLSearchParams(queryText);
  const text = (name: string): string => (query.get(name) ?? '').slice(0, TEXT_MAX);
  // Records are always those of somebody or of an alert.
  const isOfNobody = page === 'records' && text('subscriber') === '' && text('alert') === '';
  return {
    page: (isOfNobody ? undefined : oneOf(PAGES, page)) ?? 'desk',
    desk: oneOf(DESKS, desk) ?? 'fraud',
    filters: {
      severities: SEVERITIES.filter((severity) => text('severity').split(',').includes(severity)),
      status: oneOf(['firing', 'resolved'] as const, query.get('status')) ?? '',
      ruleId: text('rule'),
      subscriber: text('q'),
      time: readTimeRange(Object.fromEntries(query)),
    },
    group: oneOf(ALERT_GROUPINGS, query.get('group')) ?? '',
    openGroup: text('open'),
    sort: query.get('sort') === 'score' ? 'score' : 'newest',
    alertId: text('alert'),
    msisdn: text('subscriber'),
    caseId: text('case'),
    cases: readCaseFilters(Object.fromEntries(query)),
    records: {
      recordType: oneOf(RECORD_TYPES, query.get('type')) ?? '',
      direction: oneOf(RECORD_DIRECTIONS, query.get('dir')) ?? '',
      other: text('q'),
      age: oneOf(AGES, query.get('age')) ?? '',
      order: oneOf(RECORD_ORDERS, query.get('sort')) ?? 'newest',
    },
    recordId: text('record'),
    listName: text('list'),
    listText: text('q'),
    viewId: /^[0-9a-f-]{1,40}$/.test(text('view')) ? text('view') : '',
    letterReason: oneOf(LETTER_REASONS, query.get('reason')) ?? '',
    letterSource: text('source'),
    letter: /^[1-9][0-9]{0,14}$/.test(text('letter')) ? Number(text('letter')) : 0,
    ruleDesk: oneOf(DESKS, query.get('desk')) ?? '',
    ruleText: text('q'),
    rulesWaiting: query.get('waiting') === 'yes',
    ruleId: text('rule'),
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
    for (const [name, value] of Object.entries(writeTimeRange(place.filters.time)))
      if (value !== '') query.set(name, value);
    if (place.sort !== 'newest') query.set('sort', place.sort);
    if (place.group !== '') query.set('group', place.group);
    if (place.group !== '' && place.openGroup !== '') query.set('open', place.openGroup);
    if (place.alertId !== '') query.set('alert', place.alertId);
    if (place.msisdn !== '') query.set('subscriber', place.msisdn);
  }
  if (place.page === 'cases') {
    for (const [name, value] of Object.entries(writeCaseFilters(place.cases))) query.set(name, value);
    if (place.viewId !== '') query.set('view', place.viewId);
    if (place.filters.subscriber !== '') query.set('q', place.filters.subscriber);
    if (place.cases.group !== '' && place.openGroup !== '') query.set('open', place.openGroup);
    if (place.caseId !== '') query.set('case', place.caseId);
    else if (place.alertId !== '') query.set('alert', place.alertId);
  }
  if (place.page === 'records') {
    const { recordType, direction, other, age, order } = place.records;
    if (place.msisdn !== '') query.set('subscriber', place.msisdn);
    if (place.alertId !== '') query.set('alert', place.alertId);
    if (recordType !== '') query.set('type', recordType);
    if (direction !== '') query.set('dir', direction);
    if (other !== '') query.set('q', other);
    if (age !== '') query.set('age', age);
    if (order !== 'newest') query.set('sort', order);
    if (place.recordId !== '') query.set('record', place.recordId);
  }
  if (place.page === 'lists') {
    if (place.listName !== '') query.set('list', place.listName);
    if (place.listText !== '') query.set('q', place.listText);
  }
  if (place.page === 'deadletters') {
    if (place.letterReason !== '') query.set('reason', place.letterReason);
    if (place.letterSource !== '') query.set('source', place.letterSource);
    if (place.letter > 0) query.set('letter', String(place.letter));
  }
  if (place.page === 'rules') {
    if (place.ruleDesk !== '') query.set('desk', place.ruleDesk);
    if (place.rulesWaiting) query.set('waiting', 'yes');
    if (place.ruleText !== '') query.set('q', place.ruleText);
    if (place.ruleId !== '') query.set('rule', place.ruleId);
  }
  if (place.locale !== '') query.set('lang', place.locale);
  const path = isDeskPage(place) ? `/${place.page}/${place.desk}` : `/${place.page}`;
  const queryText = query.toString().replaceAll('%2C', ',').replaceAll('%3A', ':');
  return queryText === '' ? `#${path}` : `#${path}?${queryText}`;
}

/** Whether it is a page of one desk. */
export const isDeskPage = ({ page }: Pick<Place, 'page'>): boolean =>
  page === 'desk' || page === 'cases' || page === 'records';

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
