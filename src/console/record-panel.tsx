/** One usage record, with everything that it says. */
import type { ComponentChildren } from 'preact';
import { CopyButton } from './copy-button.tsx';
import { Fact } from './fact.tsx';
import { PanelHeader } from './list-page.tsx';
import { format } from './locale.ts';
import { formatPlace, NO_OPENED, place } from './location.ts';
import { directionText, recordText, type UsageRecordView, wordText } from './record-source.ts';

const WORDS: readonly string[] = ['causeForTerm', 'outcome', 'channel', 'event', 'reason'];
const UNITS: Readonly<Record<string, string>> = {
  durationSec: 's',
  bytesUp: 'bytes',
  bytesDown: 'bytes',
  charge: 'currency',
  amount: 'currency',
  balanceAfter: 'currency',
};

export function RecordPanel(props: {
  record: UsageRecordView;
  panelRef: { current: HTMLElement | null };
  onClose(): void;
}) {
  const { record, panelRef, onClose } = props;
  const t = recordText.value;
  const f = format.value;
  const shownOf = (name: keyof typeof t.fields): ComponentChildren => {
    const value = record[name];
    if (value === undefined) return undefined;
    if (name === 'eventTime' || name === 'storedAt') return f.dateTime(Number(value));
    if (name === 'direction') return directionText(record);
    if (typeof value === 'number') return f.value(value, UNITS[name] ?? '');
    if (WORDS.includes(name)) return wordText(value);
    return (
      <>
        <bdi class="number">{value}</bdi>
        {(name === 'otherNumber' || name === 'recordId') && <CopyButton text={value} />}
      </>
    );
  };
  const subscriber = record.subscriberRef ?? record.servedMsisdn ?? '';
  return (
    <aside class="panel" ref={panelRef} tabIndex={-1} aria-labelledby="record-heading">
      <PanelHeader id="record-heading" look="info" title={t.types[record.recordType]} close={t.close} onClose={onClose}>
        {record.isTrigger === true && <span class="strong">{t.trigger}</span>}
        <time dateTime={new Date(record.eventTime).toISOString()}>{f.dateTime(record.eventTime)}</time>
      </PanelHeader>
      <div class="panel-body">
        <dl class="facts">
          {(Object.keys(t.fields) as (keyof typeof t.fields)[]).map((name) => {
            const shown = shownOf(name);
            return shown === undefined ? null : (
              <Fact key={name} name={t.fields[name]}>
                {shown}
              </Fact>
            );
          })}
        </dl>
        {subscriber !== '' && (
          <a class="button" href={formatPlace({ ...place.value, ...NO_OPENED, page: 'desk', msisdn: subscriber })}>
            {t.openSubscriber}
          </a>
        )}
      </div>
    </aside>
  );
}
