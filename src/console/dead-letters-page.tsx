/**
 * Records that were rejected: a list that can be narrowed by reason and source, and beside it the one that is open. New ones
 * come in at the top by asking every few seconds; nobody waits for a rejected record with a hand on the mouse.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { DeadLetterHeadView } from '../http/schemas.ts';
import { ApiError, getDeadLetters } from './api.ts';
import { DeadLetterPanel } from './dead-letter-panel.tsx';
import { Icon, StatusIcon } from './icons.tsx';
import { format, messages } from './locale.ts';
import { formatPlace, go, LETTER_REASONS, type LetterReason, place } from './location.ts';
import { useShortcuts } from './shortcuts.tsx';
import { letterReasonName } from './slugs.ts';

const POLL_MS = 5_000;
/** Letters that the list holds; older ones are found by narrowing it. */
const LETTERS_MAX = 5_000;

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
  const body = useRef<HTMLTableSectionElement>(null);
  const search = useRef<HTMLInputElement>(null);
  const panel = useRef<HTMLElement>(null);
  const panelOpen = openSeq > 0;
  const active = openSeq || highlighted;

  const open = (seq: number): void => {
    setHighlighted(seq);
    go({ letter: seq }, panelOpen ? 'replace' : 'push');
  };
  const close = (): void => {
    go({ letter: 0 });
    setFocusRequests((count) => count + 1);
  };
  const move = (step: number): void => {
    if (rows.length === 0) return;
    const from = rows.findIndex(({ seq }) => seq === active);
    const to = from < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, from + step));
    setHighlighted(rows[to]!.seq);
    if (panelOpen) go({ letter: rows[to]!.seq }, 'replace');
    setFocusRequests((count) => count + 1);
  };
  useShortcuts((key, event) => {
    if (key === 'j') move(1);
    else if (key === 'k') move(-1);
    else if (key === 'Enter' && highlighted > 0) open(highlighted);
    else if (key === 'Escape' && panelOpen) close();
    else if (key === '/') {
      event.preventDefault();
      search.current?.focus();
      search.current?.select();
    }
  });
  useLayoutEffect(() => {
    if (focusRequests > 0) body.current?.querySelector<HTMLElement>('tr.active a')?.focus();
  }, [focusRequests]);
  // Whoever opens a letter with the keyboard wants to read it: the panel takes the focus, and gives it back on closing.
  useLayoutEffect(() => {
    if (panelOpen && document.activeElement?.matches('tr.active a')) panel.current?.focus();
  }, [panelOpen]);

  const isFiltered = letterReason !== '' || letterSource !== '';
  const tabStop = rows.some(({ seq }) => seq === active) ? active : rows[0]?.seq;
  return (
    <div class={panelOpen ? 'desk with-panel' : 'desk'}>
      <section class="queue" aria-labelledby="letters-heading">
        <h1 id="letters-heading" class="visually-hidden">
          {t.heading}
        </h1>
        <search class="toolbar" aria-label={messages.value.queue.filters}>
          <select
            aria-label={t.reason}
            value={letterReason}
            onChange={(event) => go({ letterReason: event.currentTarget.value as LetterReason | '' }, 'replace')}
          >
            <option value="">{t.allReasons}</option>
            {LETTER_REASONS.map((reason) => (
              <option key={reason} value={reason}>
                {letterReasonName(reason)}
              </option>
            ))}
          </select>
          <div class="search">
            <Icon name="search" />
            <input
              ref={search}
              type="search"
              autocomplete="off"
              spellcheck={false}
              maxLength={64}
              aria-label={t.sourceLabel}
              placeholder={t.sourcePlaceholder}
              value={letterSource}
              onChange={(event) => go({ letterSource: event.currentTarget.value.trim() }, 'replace')}
            />
          </div>
          <button type="button" class="button last" onClick={refresh}>
            {t.refresh}
          </button>
        </search>
        <div class="queue-body">
          <div class="table-scroller">
            <table class="alerts letters" aria-label={t.heading}>
              <thead>
                <tr>
                  {(['storedAt', 'reason', 'field', 'source', 'size', 'replayed'] as const).map((column) => (
                    <th key={column} scope="col" class={`c-${column}`}>
                      {t[column]}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody
                ref={body}
                onKeyDown={(event) => {
                  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
                  const step = steps[event.key];
                  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
                  event.preventDefault();
                  move(step);
                }}
              >
                {rows.map((letter) => (
                  <Row
                    key={letter.seq}
                    letter={letter}
                    active={letter.seq === active}
                    tabStop={letter.seq === tabStop}
                    onOpen={open}
                  />
                ))}
              </tbody>
            </table>
            {next !== null && rows.length < LETTERS_MAX && (
              <p class="more">
                <button type="button" class="button" onClick={more}>
                  {t.older}
                </button>
              </p>
            )}
          </div>
          {rows.length === 0 && next === null && failure === '' && (
            <div class="empty">
              <p>{loading ? t.loading : isFiltered ? t.nothingMatches : t.empty}</p>
              {!loading && !isFiltered && <p class="hint">{t.emptyHint}</p>}
            </div>
          )}
        </div>
        <footer class="queue-footer">
          <span>{t.shown(format.value.number(rows.length))}</span>
          {failure !== '' && (
            <span class="alarming" role="alert">
              {t.failed(failure)}
            </span>
          )}
          <div class="button-group">
            <StepButton label={t.previous} icon="up" onClick={() => move(-1)} />
            <StepButton label={t.next} icon="down" onClick={() => move(1)} />
          </div>
        </footer>
      </section>
      {panelOpen && (
        <DeadLetterPanel key={openSeq} seq={openSeq} panelRef={panel} onClose={close} onReplayed={refresh} />
      )}
    </div>
  );
}

function StepButton({ label, icon, onClick }: { label: string; icon: 'up' | 'down'; onClick(): void }) {
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

interface RowProps {
  letter: DeadLetterHeadView;
  active: boolean;
  tabStop: boolean;
  onOpen(seq: number): void;
}

function Row({ letter, active, tabStop, onOpen }: RowProps) {
  const t = messages.value.deadLetters;
  const f = format.value;
  return (
    // The link inside is the control; the rest of the row only makes it larger for the mouse.
    <tr
      class={active ? 'active' : ''}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || window.getSelection()?.type === 'Range') return;
        event.preventDefault();
        onOpen(letter.seq);
      }}
    >
      <td class="c-storedAt">
        <time dateTime={new Date(letter.storedAt).toISOString()}>{f.time(letter.storedAt)}</time>
      </td>
      <td class="c-reason">
        <a
          href={formatPlace({ ...place.value, letter: letter.seq })}
          tabIndex={tabStop ? 0 : -1}
          aria-current={active ? 'true' : undefined}
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
    </tr>
  );
}
