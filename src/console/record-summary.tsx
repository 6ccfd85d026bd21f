/** What usage records say at a glance: with whom most, in which cells, and which handsets, from the rows that are shown. */
import { format } from './locale.ts';
import { recordText, type UsageRecordView } from './record-source.ts';
import { type Counted, countedBy, handsetsOf } from './record-tops.ts';

/** Rows of each table; who wants more has the table below. */
const SHOWN_MAX = 5;

export function RecordSummary({ records }: { records: readonly UsageRecordView[] }) {
  const t = recordText.value.summary;
  const numbers = countedBy(records, ({ otherNumber }) => otherNumber);
  const cells = countedBy(records, ({ cellId }) => cellId);
  const handsets = handsetsOf(records);
  return (
    <details class="record-summary">
      <summary>{t.heading(numbers.length, cells.length, handsets.length, format.value.number)}</summary>
      <div class="record-tops">
        <Top label={t.numbers} value={t.number} rows={numbers} />
        <Top label={t.cells} value={t.cell} rows={cells} />
        <Top label={t.handsets} value={t.handset} rows={handsets} />
      </div>
    </details>
  );
}

function Top({ label, value, rows }: { label: string; value: string; rows: readonly Counted[] }) {
  const t = recordText.value.summary;
  const f = format.value;
  return (
    <table class="data" aria-label={label}>
      <caption>{label}</caption>
      <thead>
        <tr>
          <th scope="col">{value}</th>
          <th scope="col" class="numeric">
            {t.records}
          </th>
          <th scope="col">{t.first}</th>
          <th scope="col">{t.last}</th>
        </tr>
      </thead>
      <tbody>
        {rows.slice(0, SHOWN_MAX).map((row) => (
          <tr key={row.value}>
            <th scope="row">
              <bdi class="number">{row.value}</bdi>
            </th>
            <td class="numeric">{f.number(row.records)}</td>
            <td>{f.time(row.first)}</td>
            <td>{f.time(row.last)}</td>
          </tr>
        ))}
        {rows.length === 0 && (
          <tr>
            <td colSpan={4}>{t.none}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}
