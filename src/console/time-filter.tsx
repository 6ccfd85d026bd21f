/** The choice of a time: one of the ages, or moments of one's own, which then stand beside it. */
import { Choice } from './list-page.tsx';
import { format, messages, timeZone } from './locale.ts';
import { AGES, AGES_MS, type Age, ANY_TIME, type TimeRange } from './time-range.ts';
import { fieldOf, momentOf } from './zone.ts';

const OWN = 'own';
const MINUTE_MS = 60_000;

export function TimeFilter(props: {
  label: string;
  names: Record<Age, string>;
  range: TimeRange;
  onChange(range: TimeRange): void;
}) {
  const { label, names, range, onChange } = props;
  const t = messages.value.times;
  const isOwn = range.from !== null || range.to !== null;
  const bound = (name: 'from' | 'to') => (
    <input
      type="datetime-local"
      aria-label={t[name]}
      // The field has the order of day and month of the browser; this is the moment as the console writes it.
      title={range[name] === null ? t[name] : `${t[name]}: ${format.value.dateTime(range[name])}`}
      value={range[name] === null ? '' : fieldOf(range[name], timeZone.value)}
      onChange={(event) => {
        const at = momentOf(event.currentTarget.value, timeZone.peek());
        onChange({ ...range, age: '', [name]: Number.isNaN(at) ? null : at });
      }}
    />
  );
  return (
    <>
      <Choice<Age | typeof OWN>
        label={label}
        value={isOwn ? OWN : range.age}
        options={[...AGES.map((age) => [age, names[age]] as const), [OWN, t.own]]}
        onChoose={(chosen) => {
          const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
          if (chosen === OWN) onChange({ age: '', from: minute - AGES_MS[range.age || '24h'], to: null });
          else onChange({ ...ANY_TIME, age: chosen });
        }}
      />
      {isOwn && (
        <span class="time-bounds">
          {bound('from')}
          <span aria-hidden="true">–</span>
          {bound('to')}
        </span>
      )}
    </>
  );
}
