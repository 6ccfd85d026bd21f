/** Who did what, newest first, as the audit log has it, and whether the log is whole. */
import { useEffect, useState } from 'preact/hooks';
import { type AuditVerdict, verifyAudit } from './admin-api.ts';
import { ApiError, type AuditEntryView, getAudit } from './api.ts';
import { auditMessages } from './audit-messages.ts';
import { auditMessagesZhCn } from './audit-messages-zh-cn.ts';
import { ListFooter } from './list-page.tsx';
import { format, locale, messages } from './locale.ts';
import { serverSentence } from './server-sentence.ts';

/** Entries that the page holds; what is older, `ringfence audit export` has. */
const ENTRIES_MAX = 5_000;

export function AuditPage() {
  const t = messages.value.audit;
  const [entries, setEntries] = useState<AuditEntryView[]>([]);
  const [next, setNext] = useState<number | null>(null);
  const [loading, setLoading] = useState(true);
  const [failure, setFailure] = useState('');
  const [verdict, setVerdict] = useState<AuditVerdict>();
  const [verifying, setVerifying] = useState(false);
  const verify = async (): Promise<void> => {
    setVerifying(true);
    try {
      setVerdict(await verifyAudit());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    }
    setVerifying(false);
  };
  const read = async (before: number | undefined, signal?: AbortSignal): Promise<void> => {
    setLoading(true);
    try {
      const page = await getAudit(before, signal);
      setEntries((known) => (before === undefined ? page.entries : [...known, ...page.entries]));
      setNext(page.next);
      setFailure('');
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    }
    setLoading(false);
  };
  useEffect(() => {
    const stopped = new AbortController();
    void read(undefined, stopped.signal);
    return () => stopped.abort();
  }, []);
  return (
    <div class="desk">
      <section class="queue" aria-labelledby="audit-heading">
        <h1 id="audit-heading" class="visually-hidden">
          {t.heading}
        </h1>
        <div class="toolbar">
          <p class={`note audit-verdict${verdict?.broken === undefined ? '' : ' alarming'}`} role="status">
            {verifying ? t.verifying : verdict === undefined ? t.note : verdictText(verdict)}
          </p>
          <button type="button" class="button last" disabled={verifying} onClick={() => void verify()}>
            {t.verify}
          </button>
          <button type="button" class="button" disabled={loading} onClick={() => void read(undefined)}>
            {t.refresh}
          </button>
        </div>
        <div class="queue-body">
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls and holds nothing to focus must be reached by the keyboard itself. */}
          <section class="table-scroller" aria-label={t.heading} tabIndex={0}>
            <table class="alerts audit" aria-label={t.heading}>
              <thead>
                <tr>
                  {(['at', 'who', 'action', 'object', 'result', 'details'] as const).map((column) => (
                    <th key={column} scope="col" class={`c-${column}`}>
                      {column === 'at' ? t.at(format.value.zone()) : t[column]}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {entries.map((entry) => (
                  <Row key={entry.seq} entry={entry} />
                ))}
              </tbody>
            </table>
            {entries.length === 0 && !loading && failure === '' && <p class="note elsewhere">{t.empty}</p>}
            {next !== null && entries.length < ENTRIES_MAX && (
              <p class="more">
                <button type="button" class="button" disabled={loading} onClick={() => void read(next)}>
                  {t.older}
                </button>
              </p>
            )}
          </section>
        </div>
        <ListFooter
          shown={loading ? t.loading : t.shown(format.value.number(entries.length))}
          failed={failure === '' ? '' : t.failed(failure)}
        />
      </section>
    </div>
  );
}

function verdictText({ entries, lastHash, broken }: AuditVerdict): string {
  const t = messages.value.audit;
  const count = format.value.number(entries);
  if (broken !== undefined) return t.broken(format.value.number(broken.seq), count);
  return t.unbroken(count, lastHash.slice(0, 12));
}

/** An action or object that has no name, because another version of the program wrote it, is shown as it is. */
const named = (names: Record<string, string>, name: string): string =>
  Object.hasOwn(names, name) ? names[name]! : name;

function Row({ entry }: { entry: AuditEntryView }) {
  const t = messages.value.audit;
  const names = locale.value === 'zh-CN' ? auditMessagesZhCn : auditMessages;
  const { at, who, action, object, result, ip, reason, status, more } = entry;
  const details = [
    reason === undefined ? undefined : serverSentence.value(reason),
    ip,
    status === undefined ? undefined : `HTTP ${status}`,
    more === undefined ? undefined : t.more(format.value.number(more)),
  ].filter((detail) => detail !== undefined);
  return (
    <tr>
      <td class="c-at">
        <time dateTime={at}>{format.value.second(Date.parse(at))}</time>
      </td>
      <td class="c-who">{who.id === '' ? t.nobody : <bdi>{who.id}</bdi>}</td>
      <td class="c-action">
        <span title={action}>{named(names.actions, action)}</span>
      </td>
      <td class="c-object">
        {Object.entries(object).map(([name, value]) => (
          <span key={name} class="pair">
            <span class="muted" title={name}>
              {named(names.objects, name)}
            </span>{' '}
            <bdi>
              <code title={value}>{named(names.values, value)}</code>
            </bdi>
          </span>
        ))}
      </td>
      <td class={`c-result ${result}`}>{t.results[result]}</td>
      <td class="c-details">
        {/* Each by itself: what somebody wrote must not turn the direction of what stands beside it. */}
        {details.map((detail, index) => (
          <bdi key={detail}>{index === 0 ? detail : ` · ${detail}`}</bdi>
        ))}
      </td>
    </tr>
  );
}
