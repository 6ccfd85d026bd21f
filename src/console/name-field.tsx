/** The field for the name of something that is made or kept, with its label, and below it what a name is made of where one is wrong. */
import { useState } from 'preact/hooks';

export function NameField(props: {
  id: string;
  label: string;
  value: string;
  /** What the name may be made of, and the sentence that says so; anything where there is none. */
  form?: { pattern: string; wrong: string };
  onInput(value: string): void;
}) {
  const { id, form } = props;
  const [isWrong, setIsWrong] = useState(false);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        required
        maxLength={64}
        pattern={form?.pattern}
        autocomplete="off"
        aria-invalid={isWrong}
        aria-describedby={isWrong ? `${id}-problem` : undefined}
        value={props.value}
        onInput={(event) => {
          setIsWrong(false);
          props.onInput(event.currentTarget.value);
        }}
        onInvalid={(event) => {
          if (form === undefined) return;
          // The browser would say it in its own language, and not what is expected.
          event.preventDefault();
          event.currentTarget.focus();
          setIsWrong(true);
        }}
      />
      {isWrong && (
        <span id={`${id}-problem`} class="field-problem" role="alert">
          {form?.wrong}
        </span>
      )}
    </div>
  );
}
