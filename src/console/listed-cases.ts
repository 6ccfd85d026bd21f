/**
 * The cases of a list as they have been read so far, page by page, and kept fresh in place: what changes elsewhere changes in
 * its row, and no row ever moves by itself. New cases are counted until somebody asks for them.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { CASE_PAGE_MAX, type CaseQuery, type CaseSummary, getCases } from './case-api.ts';
import { onCaseFrames } from './live-alerts.ts';

/** Pages that are read again after a change; what lies behind them is read when it comes into sight. */
const PAGES_READ_AGAIN_MAX = 5;
/** A list that could not be read for once is asked for again by itself. */
const RETRY_MS = 5_000;
/** More than a screen shows: what nobody waits for yet comes with the next page. */
const FIRST_PAGE = 60;
/** New cases that are counted; beyond it the number is a lower bound. */
const NEWER_MAX = 9_999;
/** Subscribers of a case that the server tells. */
const NUMBERS_TOLD_MAX = 20;

export interface ListedCases {
  rows: readonly CaseSummary[];
  /** Where the next page begins; null: all have been read. */
  next: string | null;
  total: number;
  loading: boolean;
  failure: string;
  /** The failure may pass by itself. */
  mayPass: boolean;
}

const NOTHING: ListedCases = { rows: [], next: null, total: 0, loading: true, failure: '', mayPass: false };

const mapOf = (rows: readonly CaseSummary[]): Map<string, number> =>
  new Map(rows.map(({ caseId }, index) => [caseId, index]));

/**
 * Whether a case that has changed may be among those that the filters find: false only where the case itself says so. What is
 * not told here may be what was looked for, and what depends on the time is left to the server.
 */
export function mayMatch(query: CaseQuery, found: CaseSummary): boolean {
  const { severity, assignee, lane, tag, ruleId, servedMsisdn, from, to } = query;
  const numbers = found.servedMsisdns;
  return (
    found.desk === query.desk &&
    (severity === undefined || found.severity === severity) &&
    (assignee === undefined || (found.assignee ?? '') === assignee) &&
    (lane === undefined || (found.lane ?? '') === lane) &&
    (tag === undefined || found.tags.includes(tag)) &&
    (ruleId === undefined || found.ruleIds.includes(ruleId)) &&
    (!servedMsisdn || found.subscriberRef === servedMsisdn || numbers.includes(servedMsisdn) || mayBeMore(numbers)) &&
    (from === undefined || found.openedAt >= from) &&
    (to === undefined || found.openedAt < to)
  );
}

/** Not every number is known here: some are masked, or there are more than the server tells. */
const mayBeMore = (numbers: readonly string[]): boolean =>
  numbers.length >= NUMBERS_TOLD_MAX || numbers.some((number) => number.includes('*'));

/** @param query undefined: nothing is listed. @param mayBelong whether a case that has changed may be one of the list */
export function useCases(
  query: CaseQuery | undefined,
  order: string,
  mayBelong: (found: CaseSummary) => boolean,
): {
  listed: ListedCases;
  /** Cases that are not in the list and may belong there. */
  newer: number;
  /** Row of a case; -1 where it is not in the list. */
  indexOf(caseId: string): number;
  more(): void;
  refresh(): void;
} {
  const [listed, setListed] = useState(NOTHING);
  const [newer, setNewer] = useState<ReadonlySet<string>>(new Set());
  const [reads, setReads] = useState(0);
  const places = useRef(new Map<string, number>());
  const reading = useRef(false);
  const latest = useRef(listed);
  latest.current = listed;
  const asked = JSON.stringify([query, order]);
  const belongs = useRef(mayBelong);
  belongs.current = mayBelong;

  const show = (next: ListedCases): void => {
    places.current = mapOf(next.rows);
    setListed(next);
  };
  const fail = (error: unknown): void => {
    if (!(error instanceof ApiError)) throw error;
    setListed((before) => ({ ...before, loading: false, failure: error.message, mayPass: error.mayPass }));
  };

  useEffect(() => {
    setNewer(new Set());
    show(query === undefined ? { ...NOTHING, loading: false } : NOTHING);
  }, [asked]);
  useEffect(() => {
    if (query === undefined) return;
    const stopped = new AbortController();
    const wanted = Math.min(latest.current.rows.length, PAGES_READ_AGAIN_MAX * CASE_PAGE_MAX);
    const readAgain = async (): Promise<void> => {
      reading.current = true;
      const rows: CaseSummary[] = [];
      let cursor: string | null = null;
      let total = 0;
      do {
        const limit = wanted === 0 ? FIRST_PAGE : CASE_PAGE_MAX;
        const page = await getCases(query, { order, cursor, limit }, stopped.signal);
        rows.push(...page.cases);
        ({ next: cursor, total } = page);
      } while (cursor !== null && rows.length < wanted);
      show({ rows, next: cursor, total, loading: false, failure: '', mayPass: false });
      setNewer(new Set());
    };
    readAgain()
      .catch((error: unknown) => stopped.signal.aborted || fail(error))
      .finally(() => {
        if (!stopped.signal.aborted) reading.current = false;
      });
    return () => stopped.abort();
  }, [asked, reads]);

  // An answer, even another failure, is another list: the next attempt is made from there.
  useEffect(() => {
    if (!listed.mayPass) return;
    const timer = setTimeout(() => setReads((count) => count + 1), RETRY_MS);
    return () => clearTimeout(timer);
  }, [listed]);

  useEffect(
    () =>
      onCaseFrames((frames) => {
        const changed = new Map<number, CaseSummary>();
        const unknown: string[] = [];
        let readsAgain = false;
        if (query === undefined) return;
        for (const frame of frames) {
          if (frame.kind === 'casesResync') readsAgain = true;
          if (frame.kind !== 'case' || frame.case.desk !== query.desk) continue;
          const { case: found } = frame;
          const at = places.current.get(found.caseId);
          if (at !== undefined) changed.set(at, found);
          else if (
            found.mergedInto === null &&
            (found.status !== 'closed' || query.status === 'closed') &&
            mayMatch(query, found) &&
            belongs.current(found)
          )
            unknown.push(found.caseId);
        }
        // Where nothing is shown, nothing can move.
        const isEmpty = latest.current.rows.length === 0 && !latest.current.loading;
        if (readsAgain || (isEmpty && unknown.length > 0)) return setReads((count) => count + 1);
        if (changed.size > 0) {
          setListed((before) => {
            const rows = [...before.rows];
            for (const [at, found] of changed) if (rows[at]?.caseId === found.caseId) rows[at] = found;
            return { ...before, rows };
          });
        }
        if (unknown.length > 0)
          setNewer((ids) => (ids.size >= NEWER_MAX ? ids : new Set([...ids, ...unknown].slice(0, NEWER_MAX))));
      }),
    [asked],
  );

  return {
    listed,
    newer: newer.size,
    indexOf: (caseId) => places.current.get(caseId) ?? -1,
    more() {
      if (reading.current || listed.next === null || query === undefined) return;
      reading.current = true;
      const begun = places.current;
      getCases(query, { order, cursor: listed.next })
        .then((page) => {
          // Another list has been read meanwhile.
          if (places.current !== begun) return;
          // A case that came or went between the two pages may be on both.
          const fresh = page.cases.filter(({ caseId }) => !begun.has(caseId));
          show({ ...latest.current, rows: [...latest.current.rows, ...fresh], next: page.next, total: page.total });
        })
        .catch(fail)
        .finally(() => {
          reading.current = false;
        });
    },
    refresh: () => setReads((count) => count + 1),
  };
}
