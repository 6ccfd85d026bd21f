/**
 * Records that were rejected: a list that can be narrowed by reason and source, and beside it the one that is open. New ones
 * come in at the top by asking every few seconds; nobody waits for a rejected record with a hand on the mouse.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { DeadLetterHeadView } from '../http/schemas.ts';
import { ApiError, getDeadLetters } from './api.ts';
import { DeadLetterPanel } from './dead-letter-panel.tsx';
import { StatusIcon } from './icons.tsx';
import { Choice, ClearFilters, goToSearch, ListFooter, SearchField, StepButtons, usePanelFocus } from './list-page.tsx';
import { type ListLayout, ListRow, ListTable, type RowPlace, stepFrom } from './list-table.tsx';
import { format, messages } from './locale.ts';
import { formatPlace, go, LETTER_REASONS, type LetterReason, place } from './location.ts';
import { useShortcuts } from './shortcuts.tsx';
import { letterReasonName } from './slugs.ts';

const POLL_MS = 5_000;
/** Letters that the list holds; older ones are found by narrowing it. */
const LETTERS_MAX = 5_000;
const LAYOUTS: readonly ListLayout[] = [
  { fromPx: 0, rowPx: 34, columns: ['storedAt', 'reason', 'field', 'source', 'size', 'replayed'] },
];

interface Letters {
  /** Newest first. */
  rows: DeadLetterHeadView[];
  /** Where the next older page begins; null: there is none. */
  next: string | null;
  loading: boolean;
  failure: string;
}

const NOTHING: Letters = { rows: [], next: null, loading: true, failure: '' };

/** Each letter once, as it was read last, newest first. */
function merged(before: readonly DeadLetterHeadView[], read: readonly DeadLetterHeadView[]): DeadLetterHeadView[] {
  const bySeq = new Map([...before, ...read].map((letter) => [letter.seq, letter]));
  return [...bySeq.values()].sort((a, b) => b.seq - a.seq).slice(0, LETTERS_MAX);
}

function useLetters(reason: string, source: string): { letters: Letters; more(): void; refresh(): void } {
  const [letters, setLetters] = useState(NOTHING);
  const [refreshes, setRefreshes] = useState(0);
  const read = async (cursor: string | null, signal?: AbortSignal): Promise<void> => {
    try {
      const page = await getDeadLetters({ reason, subject: source }, cursor, signal);
      setLetters((before) => {
        const [newestBefore] = before.rows;
        const oldestRead = page.deadLetters.at(-1);
        // More have come than one page holds: what lies between is on the pages behind this one.
        const isApart = newestBefore !== undefined && oldestRead !== undefined && oldestRead.seq > newestBefore.seq;
        const startsAnew = newestBefore === undefined || (cursor === null && isApart && page.next !== null);
        return {
          rows: merged(startsAnew ? [] : before.rows, page.deadLetters),
          // A newer first page says nothing about where the older ones go on.
          next: cursor === null && !startsAnew ? before.next : page.next,
          loading: false,
          failure: '',
        };
      });
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setLetters((before) => ({ ...before, loading: false, failure: error.message }));
    }
  };
  useEffect(() => {
    setLetters(NOTHING);
  }, [reason, source]);
  useEffect(() => {
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const poll = async (): Promise<void> => {
      await read(null, stopped.signal);
      if (!stopped.signal.aborted) timer = setTimeout(() => void poll(), POLL_MS);
    };
    void poll();
    return () => {
      stopped.abort();
      clearTimeout(timer);
    };
  }, [reason, source, refreshes]);
  return {
    letters,
    more: () => void read(letters.next),
    refresh: () => setRefreshes((count) => count + 1),
  };
}

export function DeadLettersPage() {
  const t = messages.value.deadLetters;
  const { letterReason, letterSource, letter: openSeq } = place.value;
  const { letters, more, refresh } = useLetters(letterReason, letterSource);
  const { rows, next, loading, failure } = letters;
  const [highlighted, setHighlighted] = useState(0);
  const [focusRequests, setFocusRequests] = useState(0);
  const search = useRef<HTMLInputElement>(null);
  const panelOpen = openSeq > 0;
  const panel = usePanelFocus(panelOpen);
  const active = openSeq || highlighted;
  const activeIndex = rows.findIndex(({ seq }) => seq === active);

  const open = (seq: number): void => {
    setHighlighted(seq);
    go({ letter: seq }, panelOpen ? 'replace' : 'push');
  };
  const close = (): void => {
    go({ letter: 0 });
    setFocusRequests((count) => count + 1);
  };
  const move = (step: number): void => {
    const to = rows[stepFrom(activeIndex, step, rows.length)]?.seq;
    if (to === undefined) return;
    setHighlighted(to);
    if (panelOpen) go({ letter: to }, 'replace');
    setFocusRequests((count) => count + 1);
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Enter' && highlighted > 0) open(highlighted);
    else if (key === 'Escape' && panelOpen) close();
    else if (key === '/') goToSearch(search, event);
  });

  const isFiltered = letterReason !== '' || letterSource !== '';
  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="letters-heading">
        <h1 id="letters-heading" class="visually-hidden">
          {t.heading}
        </h1>
        <search class="toolbar" aria-label={messages.value.queue.filters}>
          <Choice<LetterReason | ''>
            label={t.reason}
            value={letterReason}
            options={[
              ['', t.allReasons],
              ...LETTER_REASONS.map((reason) => [reason, letterReasonName(reason)] as const),
            ]}
            onChoose={(reason) => go({ letterReason: reason }, 'replace')}
          />
          <SearchField
            field={search}
            label={t.sourceLabel}
            placeholder={t.sourcePlaceholder}
            value={letterSource}
            onSearch={(source) => go({ letterSource: source }, 'replace')}
          />
          <button type="button" class="button last" onClick={refresh}>
            {t.refresh}
          </button>
        </search>
        <div class="queue-body">
          <ListTable
            label={t.heading}
            look="alerts letters"
            layouts={LAYOUTS}
            heads={(column) => t[column as 'reason']}
            count={rows.length}
            keyOf={(index) => rows[index]!.seq}
            activeIndex={activeIndex}
            focusRequests={focusRequests}
            row={(where) => <Row place={where} letter={rows[where.index]!} onOpen={open} />}
            onMove={move}
          >
            {next !== null && rows.length < LETTERS_MAX && (
              <p class="more">
                <button type="button" class="button" onClick={more}>
                  {t.older}
                </button>
              </p>
            )}
          </ListTable>
          {rows.length === 0 && next === null && failure === '' && (
            <div class="empty">
              <p>{loading ? t.loading : isFiltered ? t.nothingMatches : t.empty}</p>
              {!loading && !isFiltered && <p class="hint">{t.emptyHint}</p>}
              {!loading && isFiltered && (
                <ClearFilters onClear={() => go({ letterReason: '', letterSource: '' }, 'replace')} />
              )}
            </div>
          )}
        </div>
        <ListFooter shown={t.shown(format.value.number(rows.length))} failed={failure === '' ? '' : t.failed(failure)}>
          <StepButtons previous={t.previous} next={t.next} onMove={move} />
        </ListFooter>
      </section>
      {panelOpen && (
        <DeadLetterPanel key={openSeq} seq={openSeq} panelRef={panel} onClose={close} onReplayed={refresh} />
      )}
    </div>
  );
}

function Row(props: { place: RowPlace; letter: DeadLetterHeadView; onOpen(seq: number): void }) {
  const { place: where, letter, onOpen } = props;
  const t = messages.value.deadLetters;
  const f = format.value;
  return (
    <ListRow place={where} look="" onOpen={() => onOpen(letter.seq)}>
      <td class="c-storedAt">
        <time dateTime={new Date(letter.storedAt).toISOString()}>{f.time(letter.storedAt)}</time>
      </td>
      <td class="c-reason">
        <a
          href={formatPlace({ ...place.value, letter: letter.seq })}
          tabIndex={where.tabIndex}
          aria-current={where.active ? 'true' : undefined}
        >
          {letterReasonName(letter.reason)}
        </a>
      </td>
      <td class="c-field">{letter.field !== '' && <code>{letter.field}</code>}</td>
      <td class="c-source">
        <code>{letter.sourceSubject}</code>
        {letter.sourceSeq !== null && <span class="muted"> {f.number(letter.sourceSeq)}</span>}
      </td>
      <td class="c-size">{f.bytes(letter.bytes)}</td>
      <td class="c-replayed">
        {letter.replay !== null && (
          <span class="status resolved">
            <StatusIcon status="resolved" />
            {letter.replay.corrected ? t.sentCorrected : t.sentAsIs}
          </span>
        )}
      </td>
    </ListRow>
  );
}
