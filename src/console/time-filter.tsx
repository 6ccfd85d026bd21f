/** The choice of a time: one of the ages, or moments of one's own, which then stand beside it. */
import { Choice } from './list-page.tsx';
import { format, messages, timeZone } from './locale.ts';
import { AGES, AGES_MS, type Age, ANY_TIME, type TimeRange } from './time-range.ts';
import { fieldOf, momentOf } from './zone.ts';

const OWN = 'own';
const MINUTE_MS = 60_000;

/** Moments of one's own in words, in the language of the page and the zone of the operator. */
function chosenText({ from, to }: TimeRange): string {
  const t = messages.value.times;
  const { minute } = format.value;
  if (from === null) return to === null ? '' : t.until(minute(to));
  return to === null ? t.since(minute(from)) : t.between(minute(from), minute(to));
}

export function TimeFilter(props: {
  label: string;
  names: Record<Age, string>;
  range: TimeRange;
  onChange(range: TimeRange): void;
}) {
  const { label, names, range, onChange } = props;
  const t = messages.value.times;
  const isOwn = range.from !== null || range.to !== null;
  const isBackwards = range.from !== null && range.to !== null && range.to <= range.from;
  const bound = (name: 'from' | 'to') => (
    <input
      type="datetime-local"
      aria-label={t[name]}
      title={t[name]}
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
        <div class="time-bounds">
          <div class="time-fields">
            {bound('from')}
            <span aria-hidden="true">–</span>
            {bound('to')}
          </div>
          {/* The fields have the order of day and month of the browser, and no zone; this is what was chosen as the console writes it. */}
          <output class={isBackwards ? 'alarming' : 'muted'}>{isBackwards ? t.backwards : chosenText(range)}</output>
        </div>
      )}
    </>
  );
}
