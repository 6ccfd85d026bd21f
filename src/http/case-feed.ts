/**
 * Cases that change, for the live clients that asked for them: each case as it is now, at most every FLUSH_MS, whatever
 * happened to it in between. There is no position to resume from: who was away reads the list again.
 */
import type { CaseProjection } from '../cases/case-projection.ts';
import type { CaseSummary } from '../cases/case-view.ts';
import type { Metrics } from '../metrics.ts';

const FLUSH_MS = 100;
/** Cases that wait for the next flush; when more change at once (a projection that is being filled), lists are read again. */
const CASES_WAITING_MAX = 2_000;

/** `desk` decides who gets it; undefined: everybody. */
export type CaseFrame =
  | { kind: 'case'; desk: string; case: CaseSummary }
  | { kind: 'caseGone'; desk?: undefined; caseId: string }
  | { kind: 'casesResync'; desk?: undefined };

export function startCaseFeed(options: {
  cases: Pick<CaseProjection, 'onChange' | 'list'>;
  /** Whether anybody would see the frames. */
  hasListeners(): boolean;
  push(frames: readonly CaseFrame[]): void;
  metrics: Metrics;
}): { close(): void } {
  const { cases, hasListeners, push, metrics } = options;
  const waiting = new Set<string>();
  let isLost = false;
  let timer: NodeJS.Timeout | undefined;
  metrics.trackQueue('case_feed', CASES_WAITING_MAX, () => waiting.size);

  const flush = (): void => {
    timer = undefined;
    const ids = [...waiting];
    waiting.clear();
    if (isLost) push([{ kind: 'casesResync' }]);
    else {
      const now = Date.now();
      push(
        ids.map((caseId): CaseFrame => {
          const summary = cases.list.summary(caseId, now);
          if (summary === undefined) return { kind: 'caseGone', caseId };
          return { kind: 'case', desk: summary.desk, case: summary };
        }),
      );
    }
    isLost = false;
  };
  const unsubscribe = cases.onChange((caseIds) => {
    if (!hasListeners()) return;
    if (caseIds === undefined || waiting.size + caseIds.size > CASES_WAITING_MAX) isLost = true;
    else for (const caseId of caseIds) waiting.add(caseId);
    timer ??= setTimeout(flush, FLUSH_MS);
  });
  return {
    close() {
      unsubscribe();
      clearTimeout(timer);
    },
  };
}
