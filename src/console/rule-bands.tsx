/** The bands of a rule in its form: each can be changed or removed, and new ones added. They count in the order of their severity. */
import type { ComponentChildren } from 'preact';
import { SEVERITIES } from '../alerts/alert.ts';
import { format, messages } from './locale.ts';
import type { RuleChangesView } from './rule-api.ts';
import { ruleText } from './rule-text.ts';

/** A field of the form: its text, what is wrong with it, and how it takes another one. */
export interface FormField {
  problem: ComponentChildren;
  control: { id: string; value: string; disabled: boolean; class: string };
  set(next: string): void;
}

export function Bands(props: {
  bands: RuleChangesView['form']['bands'];
  /** Behind those of the rule. */
  added: number;
  removed: ReadonlySet<number>;
  mayChange: boolean;
  /** What is wrong with the bands as a whole. */
  problem: ComponentChildren;
  field(name: string, present: string): FormField;
  onAdd(): void;
  onRemove(index: number): void;
  onKeep(index: number): void;
}) {
  const { bands, added, removed, mayChange, field } = props;
  const t = ruleText.value;
  const f = format.value;
  const count = bands.length + added;
  const left = count - removed.size;
  return (
    <>
      <table class="data bands" aria-label={t.bands}>
        <thead>
          <tr>
            <th scope="col">{t.severity}</th>
            <th scope="col">{t.condition}</th>
            <th scope="col">{t.score}</th>
            {mayChange && (
              <th scope="col" class="c-band-remove">
                <span class="visually-hidden">{t.removeBand}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {Array.from({ length: count }, (_, index) => {
            const name = t.bandName(f.number(index + 1));
            const band = bands[index];
            const severity = field(`bands.${index}.severity`, band?.severity ?? '');
            const condition = field(`bands.${index}.if`, band?.if ?? '');
            const score = field(`bands.${index}.score`, band === undefined ? '' : String(band.score));
            const isRemoved = removed.has(index);
            return (
              <tr key={index} class={isRemoved ? 'removed' : ''}>
                <td>
                  <select
                    {...severity.control}
                    disabled={severity.control.disabled || isRemoved}
                    aria-label={`${name}: ${t.severity}`}
                    onChange={(event) => severity.set(event.currentTarget.value)}
                  >
                    {SEVERITIES.map((one) => (
                      <option key={one} value={one}>
                        {messages.value.severity[one]}
                      </option>
                    ))}
                  </select>
                  {severity.problem}
                </td>
                <td>
                  <input
                    type="text"
                    {...condition.control}
                    disabled={condition.control.disabled || isRemoved}
                    class={`${condition.control.class} code`}
                    aria-label={`${name}: ${t.condition}`}
                    autocomplete="off"
                    spellcheck={false}
                    onInput={(event) => condition.set(event.currentTarget.value)}
                  />
                  {condition.problem}
                </td>
                <td class="c-band-score">
                  <input
                    type="text"
                    {...score.control}
                    disabled={score.control.disabled || isRemoved}
                    aria-label={`${name}: ${t.score}`}
                    inputMode="numeric"
                    autocomplete="off"
                    onInput={(event) => score.set(event.currentTarget.value)}
                  />
                  {score.problem}
                </td>
                {mayChange && (
                  <td class="c-band-remove">
                    <button
                      type="button"
                      class="button"
                      aria-label={`${name}: ${isRemoved ? t.keepBand : t.removeBand}`}
                      disabled={!isRemoved && left <= 1}
                      onClick={() => (isRemoved ? props.onKeep(index) : props.onRemove(index))}
                    >
                      {isRemoved ? t.keepBand : t.removeBand}
                    </button>
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
      {props.problem}
      {mayChange && (
        <div class="button-row">
          <button type="button" class="button" onClick={props.onAdd}>
            {t.addBand}
          </button>
          <span class="note">{t.bandsNote}</span>
        </div>
      )}
    </>
  );
}
