/** The cases of a desk gathered by what they have in common: how many each group has is counted by the server, again and again. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { type CaseGroup, type CaseQuery, type CaseSummary, getCaseGroups } from './case-api.ts';
import { onCaseFrames } from './live-alerts.ts';
import type { CaseGroupChoice } from './location.ts';

type Grouping = Exclude<CaseGroupChoice, ''>;

/** Counting looks at every case, so what happens meanwhile is counted together. */
const COUNTED_AGAIN_MS = 5_000;
/** In an address, a group of nobody, of no lane or of no subscriber. */
const NONE = '~';

/** A group as it stands in the list. */
export interface ShownGroup extends CaseGroup {
  value: string;
}

export interface CaseGroups {
  groups: readonly ShownGroup[];
  /** Groups beyond these. */
  more: number;
  loading: boolean;
  failure: string;
}
const NOTHING: CaseGroups = { groups: [], more: 0, loading: true, failure: '' };

const FIELDS = {
  rule: 'ruleId',
  severity: 'severity',
  subscriber: 'servedMsisdn',
  status: 'status',
  assignee: 'assignee',
  lane: 'lane',
} as const satisfies Record<Grouping, keyof CaseQuery>;

const valueIn = (by: Grouping, { filter }: CaseGroup): string =>
  (by === 'subscriber' ? filter.subscriberRef : undefined) ?? (filter[FIELDS[by]] || NONE);

/** What finds the cases of a group beside the filters of the list. */
export const groupFilter = (by: Grouping, value: string): Partial<CaseQuery> => ({
  [FIELDS[by]]: value === NONE ? '' : value,
});

/** Whether a case that has changed may be one of a group. */
export function isInGroup(by: Grouping, value: string, found: CaseSummary): boolean {
  const is = (one: string | null | undefined): boolean => (one || NONE) === value;
  switch (by) {
    case 'rule':
      return found.ruleIds.includes(value);
    case 'subscriber':
      return is(found.subscriberRef ?? found.servedMsisdn) || found.servedMsisdns.includes(value);
    default:
      return is(found[by]);
  }
}

/** Groups that were there keep their places while their counts change: nothing moves under a hand. */
function inPlace(before: readonly ShownGroup[], now: readonly ShownGroup[]): ShownGroup[] {
  const left = new Map(now.map((group) => [group.value, group]));
  const kept = before.flatMap(({ value }) => {
    const group = left.get(value);
    left.delete(value);
    return group === undefined ? [] : [group];
  });
  return [...kept, ...left.values()];
}

/** @param by empty: nothing is gathered, and nothing asked. @param reads counts up when something was done */
export function useCaseGroups(query: CaseQuery, by: CaseGroupChoice, reads: number): CaseGroups {
  const asked = JSON.stringify([query, by]);
  const [shown, setShown] = useState({ asked, ...NOTHING });
  const latest = useRef('');
  useEffect(() => {
    if (by === '') return;
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const isNew = latest.current !== asked;
    latest.current = asked;
    if (isNew) setShown({ asked, ...NOTHING });
    const read = async (): Promise<void> => {
      timer = undefined;
      try {
        const { groups, more } = await getCaseGroups(query, by, stopped.signal);
        const named = groups.map((group) => ({ ...group, value: valueIn(by, group) }));
        setShown((before) => ({ asked, groups: inPlace(before.groups, named), more, loading: false, failure: '' }));
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setShown((before) => ({ ...before, loading: false, failure: error.message }));
        if (error.mayPass) timer ??= setTimeout(() => void read(), COUNTED_AGAIN_MS);
      }
    };
    void read();
    const end = onCaseFrames(() => {
      timer ??= setTimeout(() => void read(), COUNTED_AGAIN_MS);
    });
    return () => {
      end();
      clearTimeout(timer);
      stopped.abort();
    };
  }, [asked, reads]);
  // Until the effect has run, what stands here answers the question before: groups of a status would be drawn as lanes.
  return by === '' || shown.asked !== asked ? NOTHING : shown;
}
