/** Usage records as the console asks for them: a search at a time, further back when somebody wants to, and as a file. */
import { computed } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import type { UsageRecordView } from '../evidence/record-view.ts';
import { ApiError, get, getText } from './api.ts';
import { format, locale, timeZone } from './locale.ts';
import { recordMessages } from './record-messages.ts';
import { recordMessagesZhCn } from './record-messages-zh-cn.ts';
import { AGES_MS, type Age } from './time-range.ts';

export type { UsageRecordView };
export const recordText = computed(() => (locale.value === 'zh-CN' ? recordMessagesZhCn : recordMessages));

const SEARCH_RECORDS = 1_000;
/** Whoever steps through alerts quickly wants none of their records: each is a search of the stream. */
const SETTLE_MS = 400;

interface RecordPage {
  records: UsageRecordView[];
  from: number;
  to: number;
  next: string | null;
  searchedTo: number | null;
}

/** Those that an alert is about, where there is one, else those of a subscriber. */
export interface RecordSubject {
  alertId: string;
  msisdn: string;
}

const pathOf = ({ alertId, msisdn }: RecordSubject): string =>
  alertId === ''
    ? `v1/subscribers/${encodeURIComponent(msisdn)}/records`
    : `v1/alerts/${encodeURIComponent(alertId)}/records`;

function queryOf(age: Age, more: Record<string, string>): URLSearchParams {
  const query = new URLSearchParams(Object.entries(more).filter(([, value]) => value !== ''));
  if (age !== '') query.set('from', String(Date.now() - AGES_MS[age]));
  return query;
}

export interface FoundRecords {
  /** Each once, in no particular order. */
  records: readonly UsageRecordView[];
  /** The time that was looked at; undefined before the first answer. */
  page: RecordPage | undefined;
  loading: boolean;
  failure: string;
  /** Searches on where the last search stopped; undefined where all was seen. */
  further: (() => void) | undefined;
  retry(): void;
}

export function useRecords({ alertId, msisdn }: RecordSubject, age: Age): FoundRecords {
  const nothing = { records: new Map<string, UsageRecordView>(), page: undefined, loading: true, failure: '' };
  const [found, setFound] = useState<{
    records: ReadonlyMap<string, UsageRecordView>;
    page: RecordPage | undefined;
    loading: boolean;
    failure: string;
  }>(nothing);
  /** Which search is wanted: the first of its subject, or one that goes on. */
  const [search, setSearch] = useState({ cursor: '', tries: 0 });
  const subject = `${alertId} ${msisdn} ${age}`;
  const [asked, setAsked] = useState(subject);
  if (asked !== subject) {
    // Records of another subject must not stand there for a moment.
    setAsked(subject);
    setFound(nothing);
    setSearch({ cursor: '', tries: 0 });
  }
  useEffect(() => {
    const stopped = new AbortController();
    const ask = async (): Promise<void> => {
      setFound((before) => ({ ...before, loading: true, failure: '' }));
      try {
        const query = queryOf(age, { limit: String(SEARCH_RECORDS), cursor: search.cursor });
        const page = (await get(`${pathOf({ alertId, msisdn })}?${query}`, stopped.signal)) as RecordPage;
        setFound((before) => {
          const records = new Map(before.records);
          for (const record of page.records) records.set(record.recordId, record);
          return { records, page, loading: false, failure: '' };
        });
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setFound((before) => ({ ...before, loading: false, failure: error.message }));
      }
    };
    const timer = setTimeout(() => void ask(), search.tries === 0 && search.cursor === '' ? SETTLE_MS : 0);
    return () => {
      clearTimeout(timer);
      stopped.abort();
    };
  }, [subject, search]);
  const next = found.page?.next ?? null;
  return {
    ...found,
    records: [...found.records.values()],
    further: next === null ? undefined : () => setSearch({ cursor: next, tries: 0 }),
    retry: () => setSearch(({ cursor, tries }) => ({ cursor, tries: tries + 1 })),
  };
}

/** Has the browser keep the records as a file. @returns whether the file may lack older records */
export async function exportRecords(
  subject: RecordSubject,
  age: Age,
  filters: { recordType: string; direction: string; other: string },
): Promise<boolean> {
  const query = queryOf(age, { ...filters, timeZone: timeZone.value });
  const { text, headers } = await getText(`${pathOf(subject)}.csv?${query}`);
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = `usage-records-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.csv`;
  link.click();
  URL.revokeObjectURL(address);
  return headers.get('ringfence-truncated') === 'true';
}

/** What was used: seconds, bytes or money, as far as the record says. */
export const durationText = ({ durationSec }: UsageRecordView): string =>
  durationSec === undefined ? '' : format.value.value(durationSec, 's');
export const volumeOf = ({ bytesUp, bytesDown }: UsageRecordView): number | undefined =>
  bytesUp === undefined && bytesDown === undefined ? undefined : (bytesUp ?? 0) + (bytesDown ?? 0);
export function volumeText(record: UsageRecordView): string {
  const bytes = volumeOf(record);
  return bytes === undefined ? '' : format.value.bytes(bytes);
}
export const moneyOf = ({ amount, charge }: UsageRecordView): number | undefined => amount ?? charge;
export function moneyText(record: UsageRecordView): string {
  const money = moneyOf(record);
  return money === undefined ? '' : format.value.value(money, 'currency');
}
export function directionText({ direction }: UsageRecordView): string {
  const names: Record<string, string> = recordText.value.directions;
  return direction === undefined ? '' : (names[direction] ?? direction);
}
/** A word that the record form knows, in the language of the page; others are shown as they are. */
export function wordText(word: string): string {
  const { words } = recordText.value;
  return Object.hasOwn(words, word) ? words[word as keyof typeof words] : word;
}
/** What a record without another number says: an event, a reason, a channel. */
export function saidText({ event, reason, channel, invoiceId }: UsageRecordView): string {
  const word = event ?? reason ?? channel;
  return word === undefined ? (invoiceId ?? '') : wordText(word);
}
