/** One rejected record: why, from where, its bytes as text and in hex, and the form that sends it, corrected or as it is. */
import { useEffect, useState } from 'preact/hooks';
import type { DeadLetterView } from '../http/schemas.ts';
import { ApiError, getDeadLetter, replayDeadLetter } from './api.ts';
import { Fact } from './fact.tsx';
import { FailureNote } from './failure-note.tsx';
import { PanelHeader } from './list-page.tsx';
import { format, messages } from './locale.ts';
import { serverSentence } from './server-sentence.ts';
import { letterReasonName } from './slugs.ts';

/** Bytes that are drawn; a whole message may be a megabyte. */
const SHOWN_BYTES_MAX = 16 * 1024;
const HEX_COLUMNS = 16;

type Errors = DeadLetterView['errors'];

export interface DeadLetterPanelProps {
  seq: number;
  panelRef: { current: HTMLElement | null };
  onClose(): void;
  onReplayed(): void;
}

export function DeadLetterPanel({ seq, panelRef, onClose, onReplayed }: DeadLetterPanelProps) {
  const t = messages.value.deadLetters;
  const [letter, setLetter] = useState<DeadLetterView>();
  const [failure, setFailure] = useState('');
  const [reads, setReads] = useState(0);
  useEffect(() => {
    const stopped = new AbortController();
    getDeadLetter(seq, stopped.signal).then(setLetter, (error: unknown) => {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.status === 404 ? messages.peek().deadLetters.gone : error.message);
    });
    return () => stopped.abort();
  }, [seq, reads]);
  return (
    <aside class="panel" ref={panelRef} tabIndex={-1} aria-labelledby="letter-heading">
      <PanelHeader
        id="letter-heading"
        look="warning"
        title={letter === undefined ? t.letter : letterReasonName(letter.reason)}
        close={t.close}
        onClose={onClose}
      >
        {letter !== undefined && (
          <time dateTime={new Date(letter.storedAt).toISOString()}>{format.value.dateTime(letter.storedAt)}</time>
        )}
      </PanelHeader>
      <div class="panel-body">
        <FailureNote failure={failure} say={t.failed} />
        {letter === undefined && failure === '' && <p class="note">{t.loading}</p>}
        {letter !== undefined && (
          <>
            <LetterFacts letter={letter} />
            <ReplayForm
              letter={letter}
              onReplayed={() => {
                setReads((count) => count + 1);
                onReplayed();
              }}
            />
            <Bytes letter={letter} />
            <Headers headers={letter.headers} />
          </>
        )}
      </div>
    </aside>
  );
}

function LetterFacts({ letter }: { letter: DeadLetterView }) {
  const t = messages.value.deadLetters;
  const f = format.value;
  return (
    <dl class="facts">
      <Fact name={t.field}>{letter.field === '' ? t.noField : <code>{letter.field}</code>}</Fact>
      <Fact name={t.source}>
        <code>{letter.sourceSubject}</code>
        {letter.sourceSeq !== null && <span class="muted"> {f.number(letter.sourceSeq)}</span>}
      </Fact>
      <Fact name={t.size}>
        {f.bytes(letter.bytes)}
        {letter.truncatedBytes > 0 && <span class="alarming"> {t.truncated(f.bytes(letter.truncatedBytes))}</span>}
      </Fact>
      <Fact name={t.sequence}>{f.number(letter.seq)}</Fact>
    </dl>
  );
}

/** What the engine says about the bytes, record by record. */
function ErrorList({ errors }: { errors: Errors }) {
  return (
    <ul class="letter-errors">
      {errors.map((error) => (
        <li key={error.index}>
          {letterReasonName(error.reason)}
          {error.field !== '' && (
            <>
              {' '}
              <code>{error.field}</code>
            </>
          )}
          <span> {serverSentence.value(error.detail)}</span>
        </li>
      ))}
    </ul>
  );
}

function ReplayForm({ letter, onReplayed }: { letter: DeadLetterView; onReplayed(): void }) {
  const t = messages.value.deadLetters;
  const original = letter.body.text ?? '';
  const [text, setText] = useState(original);
  const [sending, setSending] = useState(false);
  const [outcome, setOutcome] = useState<{ failure?: string; errors?: Errors }>({});
  const { replay } = letter;
  if (replay !== null) {
    return (
      <section aria-labelledby="replay-heading">
        <h3 id="replay-heading">{t.replay}</h3>
        <p role="status">
          {t.replayedAt(
            format.value.dateTime(replay.at),
            replay.records,
            replay.messages.map((message) => `${message.subject} ${message.seq}`).join(', '),
          )}{' '}
          {replay.corrected ? t.sentCorrected : t.sentAsIs}
        </p>
      </section>
    );
  }
  const isCorrected = text !== original;
  const mustBeCorrected = letter.errors.length > 0 || letter.truncatedBytes > 0;
  const send = async (): Promise<void> => {
    setSending(true);
    setOutcome({});
    try {
      await replayDeadLetter(letter.seq, isCorrected ? text : undefined);
      onReplayed();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setOutcome({ failure: error.message, ...(error.errors !== undefined && { errors: error.errors as Errors }) });
    } finally {
      setSending(false);
    }
  };
  return (
    <section aria-labelledby="replay-heading">
      <h3 id="replay-heading">{t.replay}</h3>
      {mustBeCorrected ? <p>{t.wouldBeRejected}</p> : <p>{t.wouldBeAccepted}</p>}
      <ErrorList errors={letter.errors} />
      <form
        class="replay"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label for="letter-body">{letter.body.text === null ? t.bodyOfBytes : t.body}</label>
        <textarea
          id="letter-body"
          rows={10}
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <div class="button-group">
          {isCorrected && (
            <button type="button" class="button" onClick={() => setText(original)}>
              {t.restore}
            </button>
          )}
          <button
            type="submit"
            class="button primary"
            disabled={sending || (isCorrected ? text.trim() === '' : mustBeCorrected)}
          >
            {isCorrected ? t.sendCorrected : t.sendAsIs}
          </button>
        </div>
      </form>
      {outcome.failure !== undefined && (
        <div class="note" role="alert">
          <p>{outcome.errors === undefined ? t.failed(outcome.failure) : t.stillRejected}</p>
          {outcome.errors !== undefined && <ErrorList errors={outcome.errors} />}
        </div>
      )}
    </section>
  );
}

function Bytes({ letter }: { letter: DeadLetterView }) {
  const t = messages.value.deadLetters;
  const bytes = Uint8Array.from(atob(letter.body.base64), (character) => character.charCodeAt(0));
  const shown = bytes.subarray(0, SHOWN_BYTES_MAX);
  const { text } = letter.body;
  return (
    <>
      {bytes.length > shown.length && (
        <p class="note">{t.shownBytes(format.value.bytes(shown.length), format.value.bytes(bytes.length))}</p>
      )}
      {text !== null && (
        <section aria-labelledby="text-heading">
          <h3 id="text-heading">{t.asText}</h3>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
          <pre class="bytes text" tabIndex={0}>
            {visible(text.slice(0, SHOWN_BYTES_MAX))}
          </pre>
        </section>
      )}
      <section aria-labelledby="hex-heading">
        <h3 id="hex-heading">{t.asHex}</h3>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
        <pre class="bytes" tabIndex={0}>
          {hexDump(shown)}
        </pre>
      </section>
    </>
  );
}

function Headers({ headers }: { headers: Record<string, string> }) {
  const t = messages.value.deadLetters;
  return (
    <section aria-labelledby="headers-heading">
      <h3 id="headers-heading">{t.headers}</h3>
      <dl class="facts">
        {Object.entries(headers).map(([name, value]) => (
          <Fact key={name} name={<code>{name}</code>}>
            <code>{visible(value)}</code>
          </Fact>
        ))}
      </dl>
    </section>
  );
}

/** What has no shape of its own, or would turn the direction of the text, as its number. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\n' ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += HEX_COLUMNS) {
    const row = [...bytes.subarray(at, at + HEX_COLUMNS)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(HEX_COLUMNS * 3 - 1)}  ${text}`);
  }
  return lines.join('\n');
}
