/** Reference lists: which there are, what is in one of them, entries added and ended, and CSV files taken over after a look. */
import { useEffect, useState } from 'preact/hooks';
import type { ListKind } from '../reference/lists.ts';
import { ApiError, get, sendJson, sendText } from './api.ts';
import { FailureNote } from './failure-note.tsx';
import { listMessages } from './list-messages.ts';
import { listMessagesZhCn } from './list-messages-zh-cn.ts';
import { SearchField } from './list-page.tsx';
import { format, locale } from './locale.ts';
import { go, place } from './location.ts';
import { serverSentence } from './server-sentence.ts';
import { may, session } from './session.ts';
import './lists.css';

/** What one entry may be; ranges have an end as well, and come by file. */
const ENTRY_KINDS = [
  'number',
  'prefix',
  'imsi',
  'imei',
  'cell',
  'trunk',
  'carrier',
  'plmn',
  'sender',
  'date',
] as const satisfies readonly ListKind[];

interface ListSummary {
  name: string;
  rows: number;
  kinds: Record<string, number>;
}
type Row = Record<string, string>;
interface Plan {
  applied: boolean;
  added: number;
  present: number;
  problems: { line: number; column: number; message: string }[];
}

const texts = () => (locale.value === 'zh-CN' ? listMessagesZhCn : listMessages);
const kindName = (kind: string): string => texts().kindNames[kind as ListKind] ?? kind;
function columnName(column: string): string {
  const names: Record<string, string> = texts().columnNames;
  return names[column] ?? column;
}
const pathOf = (name: string): string => `v1/lists/${encodeURIComponent(name)}`;
/** Whoever sees masked numbers can neither look for one nor say which one ends. */
const seesNumbers = (): boolean =>
  session.value?.signIn === 'open' || session.value?.person?.roles.includes('lead') === true;

/** What went wrong, as a sentence; anything but a refusal of the server is a bug. */
function failureOf(error: unknown): string {
  if (!(error instanceof ApiError)) throw error;
  return texts().failed(error.message);
}

export function ListsPage() {
  const t = texts();
  const f = format.value;
  const { listName } = place.value;
  const [lists, setLists] = useState<ListSummary[]>();
  const [reads, setReads] = useState(0);
  const [said, setSaid] = useState('');
  const [failure, setFailure] = useState('');
  useEffect(() => {
    const stopped = new AbortController();
    get('v1/lists', stopped.signal).then(
      (answer) => {
        setLists((answer as { lists: ListSummary[] }).lists);
        setFailure('');
      },
      (error: unknown) => {
        if (!stopped.signal.aborted) setFailure(failureOf(error));
      },
    );
    return () => stopped.abort();
  }, [reads]);
  const changed = (sentence: string): void => {
    setSaid(sentence);
    setReads((count) => count + 1);
  };
  const opened = lists?.find(({ name }) => name === listName);
  return (
    <div class="lists-page">
      <h1>{t.lists}</h1>
      <p class="note">{t.about}</p>
      <p role="status" class="lists-said">
        {said}
      </p>
      <div class="lists-columns">
        <section aria-label={t.lists}>
          <FailureNote failure={failure} onRetry={() => setReads((count) => count + 1)} />
          {lists === undefined && failure === '' && <p class="note">{t.loading}</p>}
          {lists?.length === 0 && <p class="note">{t.none}</p>}
          {lists !== undefined && lists.length > 0 && (
            <table class="data">
              <thead>
                <tr>
                  <th scope="col">{t.name}</th>
                  <th scope="col">{t.kinds}</th>
                  <th scope="col" class="numeric">
                    {t.rows}
                  </th>
                </tr>
              </thead>
              <tbody>
                {lists.map(({ name, rows, kinds }) => (
                  <tr key={name}>
                    <th scope="row">
                      <button
                        type="button"
                        class="button"
                        aria-pressed={name === listName}
                        onClick={() => go({ listName: name, listText: '' })}
                      >
                        <bdi>{name}</bdi>
                      </button>
                    </th>
                    <td>{f.list(Object.keys(kinds).map(kindName))}</td>
                    <td class="numeric">{f.number(rows)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          {may('importListRows') && lists !== undefined && <ImportForm lists={lists} onChanged={changed} />}
        </section>
        {opened === undefined ? (
          lists !== undefined && <p class="note">{t.choose}</p>
        ) : (
          <Rows key={opened.name} list={opened} reads={reads} onChanged={changed} />
        )}
      </div>
    </div>
  );
}

function Rows({ list, reads, onChanged }: { list: ListSummary; reads: number; onChanged(sentence: string): void }) {
  const t = texts();
  const { listText } = place.value;
  const [found, setFound] = useState<{ rows: Row[]; next: number | null; failure: string }>();
  const [ending, setEnding] = useState('');
  const read = async (cursor: number | undefined, signal?: AbortSignal): Promise<void> => {
    const query = new URLSearchParams({ ...(listText !== '' && { contains: listText }) });
    if (cursor !== undefined) query.set('cursor', String(cursor));
    try {
      const page = (await get(`${pathOf(list.name)}/rows?${query}`, signal)) as { rows: Row[]; next: number | null };
      setFound((before) => ({
        rows: cursor === undefined ? page.rows : [...(before?.rows ?? []), ...page.rows],
        next: page.next,
        failure: '',
      }));
    } catch (error) {
      if (!signal?.aborted) setFound({ rows: [], next: null, failure: failureOf(error) });
    }
  };
  useEffect(() => {
    const stopped = new AbortController();
    void read(undefined, stopped.signal);
    return () => stopped.abort();
  }, [list.name, listText, reads]);
  const end = async (row: Row): Promise<void> => {
    setEnding('');
    try {
      await sendJson(`${pathOf(list.name)}/entries/end`, 'POST', { kind: row['kind'], value: row['value'] });
      onChanged(t.ended(row['value'] ?? ''));
    } catch (error) {
      onChanged(failureOf(error));
    }
  };
  const mayEnd = may('endListEntry') && seesNumbers();
  return (
    <section aria-labelledby="list-heading">
      <div class="block-heading">
        <h2 id="list-heading">
          <bdi>{list.name}</bdi>
        </h2>
        {seesNumbers() && (
          <SearchField
            field={{ current: null }}
            label={t.contains}
            placeholder={t.containsPlaceholder}
            value={listText}
            onSearch={(text) => go({ listText: text }, 'replace')}
          />
        )}
      </div>
      {may('addListEntry') && <AddForm list={list} onChanged={onChanged} />}
      {found?.failure !== undefined && found.failure !== '' && <p role="alert">{found.failure}</p>}
      {found !== undefined && found.rows.length === 0 && found.failure === '' && <p class="note">{t.noRows}</p>}
      {found !== undefined && found.rows.length > 0 && (
        <>
          <table class="data">
            <thead>
              <tr>
                <th scope="col">{t.kind}</th>
                <th scope="col">{t.value}</th>
                <th scope="col">{t.rest}</th>
                <th scope="col">{t.note}</th>
                {mayEnd && (
                  <th scope="col">
                    <span class="visually-hidden">{t.end}</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {found.rows.map((row) => {
                const { kind = '', value = '', note = '', ...rest } = row;
                const key = `${kind} ${value}`;
                return (
                  <tr key={key}>
                    <td>{kindName(kind)}</td>
                    <th scope="row">
                      <bdi class="number">{value}</bdi>
                    </th>
                    <td>
                      {Object.entries(rest).map(([name, cell]) => (
                        <span key={name} class="pair">
                          <span class="muted">{columnName(name)}</span> <bdi>{cell}</bdi>{' '}
                        </span>
                      ))}
                    </td>
                    <td>
                      <bdi>{note}</bdi>
                    </td>
                    {mayEnd && (
                      <td class="numeric">
                        {ending === key ? (
                          <span class="really">
                            {t.reallyEnd}{' '}
                            <button type="button" class="button" onClick={() => void end(row)}>
                              {t.yes}
                            </button>{' '}
                            <button type="button" class="button" onClick={() => setEnding('')}>
                              {t.no}
                            </button>
                          </span>
                        ) : (
                          <button
                            type="button"
                            class="button"
                            aria-label={t.endRow(value)}
                            onClick={() => setEnding(key)}
                          >
                            {t.end}
                          </button>
                        )}
                      </td>
                    )}
                  </tr>
                );
              })}
            </tbody>
          </table>
          <p class="note">
            {t.shown(format.value.number(found.rows.length), format.value.number(list.rows))}{' '}
            {found.next !== null && (
              <button type="button" class="button" onClick={() => void read(found.next ?? undefined)}>
                {t.more}
              </button>
            )}
          </p>
        </>
      )}
    </section>
  );
}

function AddForm({ list, onChanged }: { list: ListSummary; onChanged(sentence: string): void }) {
  const t = texts();
  const [sending, setSending] = useState(false);
  const add = async (form: HTMLFormElement): Promise<void> => {
    const fields = new FormData(form);
    const [kind, value, note] = ['kind', 'value', 'note'].map((name) => String(fields.get(name)).trim());
    setSending(true);
    try {
      const entry = { kind, value, ...(note !== '' && { note }) };
      const { added } = (await sendJson(`${pathOf(list.name)}/entries`, 'POST', entry)) as Plan;
      onChanged(added === 1 ? t.added(value!) : t.present(value!));
      form.reset();
    } catch (error) {
      onChanged(failureOf(error));
    } finally {
      setSending(false);
    }
  };
  return (
    <form
      class="list-form"
      aria-label={t.add}
      onSubmit={(event) => {
        event.preventDefault();
        void add(event.currentTarget);
      }}
    >
      <label>
        {t.kind}
        <select name="kind">
          {ENTRY_KINDS.map((kind) => (
            <option key={kind} value={kind} selected={kind === Object.keys(list.kinds)[0]}>
              {t.kindNames[kind]}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t.value}
        <input name="value" required maxLength={256} autocomplete="off" />
      </label>
      <label>
        {t.note}
        <input name="note" maxLength={200} autocomplete="off" />
      </label>
      <button type="submit" class="button" disabled={sending}>
        {t.addButton}
      </button>
    </form>
  );
}

/** First a look at what a file would do, then the same file in force. */
function ImportForm({ lists, onChanged }: { lists: ListSummary[]; onChanged(sentence: string): void }) {
  const t = texts();
  const f = format.value;
  const [name, setName] = useState(place.peek().listName || lists[0]?.name || '');
  const [file, setFile] = useState<{ name: string; text: string } | undefined>();
  const [plan, setPlan] = useState<Plan>();
  const [sending, setSending] = useState(false);
  const send = async (preview: boolean): Promise<void> => {
    if (file === undefined) return;
    setSending(true);
    try {
      const answer = (await sendText(`${pathOf(name)}/import?preview=${preview}`, 'text/csv', file.text)) as Plan;
      setPlan(answer.applied ? undefined : answer);
      if (answer.applied) onChanged(t.applied(f.number(answer.added)));
    } catch (error) {
      onChanged(failureOf(error));
    } finally {
      setSending(false);
    }
  };
  const isGood = plan !== undefined && plan.problems.length === 0;
  return (
    <form
      class="list-form import"
      aria-labelledby="import-heading"
      onSubmit={(event) => {
        event.preventDefault();
        void send(!isGood);
      }}
    >
      <h2 id="import-heading">{t.importHeading}</h2>
      <p class="note">{t.importHint}</p>
      <label>
        {t.into}
        <input
          value={name}
          required
          pattern="[a-z][A-Za-z0-9\-]{0,63}"
          data-wrong={t.wrongListName}
          list="list-names"
          onInput={(event) => {
            setName(event.currentTarget.value.trim());
            setPlan(undefined);
          }}
        />
        <datalist id="list-names">
          {lists.map((one) => (
            <option key={one.name} value={one.name} />
          ))}
        </datalist>
      </label>
      <label>
        {t.file}
        {/* The browser would write the words of this field in its own language. */}
        <input
          type="file"
          class="visually-hidden"
          accept=".csv,text/csv"
          required
          onChange={(event) => {
            setPlan(undefined);
            const chosen = event.currentTarget.files?.[0];
            void chosen?.text().then((text) => setFile({ name: chosen.name, text }));
          }}
        />
        <span class="file-field">
          <span class="button">{t.chooseFile}</span> <bdi>{file?.name ?? t.noFile}</bdi>
        </span>
      </label>
      {!isGood && (
        <button type="submit" class="button" disabled={sending || file === undefined}>
          {t.preview}
        </button>
      )}
      {plan !== undefined && isGood && (
        <>
          <p role="status">{t.plan(f.number(plan.added), f.number(plan.present))}</p>
          <button type="submit" class="button primary" disabled={sending || plan.added === 0}>
            {t.apply(f.number(plan.added))}
          </button>
        </>
      )}
      {plan !== undefined && !isGood && (
        <>
          <p role="alert">{t.wrong(f.number(plan.problems.length))}</p>
          <table class="data">
            <thead>
              <tr>
                <th scope="col" class="numeric">
                  {t.line}
                </th>
                <th scope="col" class="numeric">
                  {t.column}
                </th>
                <th scope="col">{t.problem}</th>
              </tr>
            </thead>
            <tbody>
              {plan.problems.map(({ line, column, message }) => (
                <tr key={`${line} ${column} ${message}`}>
                  <td class="numeric">{f.number(line)}</td>
                  <td class="numeric">{f.number(column)}</td>
                  <td>
                    <bdi>{serverSentence.value(message)}</bdi>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </form>
  );
}
