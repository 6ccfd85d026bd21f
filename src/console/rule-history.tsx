/** Who changed a rule, when, why, and who approved; what each version changed, and the way back to it. */
import { useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { format } from './locale.ts';
import { type ChangeView, getRuleChange, type HistoryEntry } from './rule-api.ts';
import { Difference } from './rule-diff.tsx';
import { authorName, ruleText } from './rule-text.ts';

export function History(props: {
  ruleId: string;
  entries: readonly HistoryEntry[];
  version: number;
  mayChange: boolean;
  onBringBack(sequence: number, version: number): void;
}) {
  const t = ruleText.value;
  return (
    <section aria-labelledby="history-heading">
      <h3 id="history-heading">{t.history}</h3>
      {props.entries.length === 0 && <p class="note">{t.noHistory}</p>}
      <ol class="timeline">
        {props.entries.map((entry) => (
          <Entry key={entry.sequence} entry={entry} {...props} />
        ))}
      </ol>
    </section>
  );
}

function Entry(props: {
  entry: HistoryEntry;
  ruleId: string;
  version: number;
  mayChange: boolean;
  onBringBack(sequence: number, version: number): void;
}) {
  const { entry, ruleId, version, mayChange, onBringBack } = props;
  const t = ruleText.value;
  const f = format.value;
  const [shown, setShown] = useState<ChangeView>();
  const [failure, setFailure] = useState('');
  const show = async (): Promise<void> => {
    if (shown !== undefined) return setShown(undefined);
    setFailure('');
    try {
      setShown(await getRuleChange(ruleId, entry.sequence));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(t.failed(error.message));
    }
  };
  return (
    <li class={entry.isVoid ? 'void' : ''}>
      <p>
        <bdi class="who">{authorName(entry)}</bdi> {entry.by.kind === 'process' ? '' : t.events[entry.type]}
        {entry.version > 0 && ` · ${t.versionOf(f.number(entry.version))}`}
        {entry.isVoid && ` · ${t.isVoid}`}
        {entry.by.kind === 'open' && <span class="muted"> · {t.byName}</span>}
      </p>
      <time dateTime={new Date(entry.at).toISOString()}>{f.dateTime(entry.at)}</time>
      {entry.reason !== '' && (
        <p class="said">
          <bdi>{entry.reason}</bdi>
        </p>
      )}
      {entry.version > 0 && (
        <div class="button-row">
          <button type="button" class="button" aria-expanded={shown !== undefined} onClick={() => void show()}>
            {shown === undefined ? t.show : t.hide}
          </button>
          {mayChange && entry.version !== version && (
            <button type="button" class="button" onClick={() => onBringBack(entry.sequence, entry.version)}>
              {t.bringBack}
            </button>
          )}
        </div>
      )}
      {failure !== '' && <p role="alert">{failure}</p>}
      {shown !== undefined && <Difference hunks={shown.diff} label={t.versionOf(f.number(shown.version))} />}
    </li>
  );
}
