/** The newest usage records that an alert is about, and the way to all of them. */
import { format, messages } from './locale.ts';
import { formatPlace, go, NO_OPENED, place } from './location.ts';
import {
  directionText,
  durationText,
  moneyText,
  recordText,
  saidText,
  type UsageRecordView,
  useRecords,
  volumeText,
} from './record-source.ts';
import './records.css';

const SHOWN_MAX = 8;

export function ContributingRecords({ alertId }: { alertId: string }) {
  const t = recordText.value;
  const f = format.value;
  const { records, page, loading, failure, further, retry } = useRecords({ alertId, msisdn: '' }, '');
  const newest = [...records].sort((a, b) => b.eventTime - a.eventTime);
  const trigger = newest.find(({ isTrigger }) => isTrigger);
  // What made it fire stands there, however many came after it.
  const shown = newest.slice(0, SHOWN_MAX);
  if (trigger !== undefined && !shown.includes(trigger)) shown.splice(-1, 1, trigger);
  const destination = { ...place.value, ...NO_OPENED, page: 'records' as const, alertId };
  return (
    <section class="contributing" aria-labelledby={`records-of-${alertId}`} aria-busy={loading}>
      <h3 id={`records-of-${alertId}`}>{t.contributing}</h3>
      {page !== undefined && <p class="muted">{t.contributingOf(f.dateTime(page.from), f.dateTime(page.to - 1))}</p>}
      {loading && shown.length === 0 && <p class="note">{t.loading}</p>}
      {failure !== '' && (
        <p class="note" role="alert">
          {t.failed(failure)}{' '}
          <button type="button" class="button" onClick={retry}>
            {t.again}
          </button>
        </p>
      )}
      {!loading && failure === '' && shown.length === 0 && <p class="note">{t.none}</p>}
      {shown.length > 0 && (
        <table class="data">
          <thead>
            <tr>
              <th scope="col">{t.columns.time}</th>
              <th scope="col">{t.columns.type}</th>
              <th scope="col">{t.columns.other}</th>
              <th scope="col" class="numeric">
                {messages.value.panel.value}
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((record) => (
              <Row key={record.recordId} record={record} />
            ))}
          </tbody>
        </table>
      )}
      {further !== undefined && <p class="note">{t.truncated}</p>}
      {shown.length > 0 && (
        <a
          class="button"
          href={formatPlace(destination)}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            go(destination);
          }}
        >
          {t.all(f.number(records.length))}
        </a>
      )}
    </section>
  );
}

function Row({ record }: { record: UsageRecordView }) {
  const t = recordText.value;
  const used = [durationText(record), volumeText(record), moneyText(record)].filter((text) => text !== '');
  return (
    <tr class={record.isTrigger === true ? 'trigger' : ''}>
      <td>
        <time dateTime={new Date(record.eventTime).toISOString()}>{format.value.time(record.eventTime)}</time>
        {record.isTrigger === true && <span class="under strong">{t.trigger}</span>}
      </td>
      <td>
        {t.types[record.recordType]}
        {record.direction !== undefined && <span class="under">{directionText(record)}</span>}
      </td>
      <td>
        <bdi class="number">{record.otherNumber ?? saidText(record)}</bdi>
        {record.cellId !== undefined && (
          <span class="under">
            <bdi>{record.cellId}</bdi>
          </span>
        )}
      </td>
      <td class="numeric">{used.join(' · ')}</td>
    </tr>
  );
}
