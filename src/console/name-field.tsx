/** The field for the name of something that is made or kept, with its label. */
export function NameField(props: {
  id: string;
  label: string;
  value: string;
  /** What the name may be made of; anything where there is none. */
  pattern?: string;
  onInput(value: string): void;
}) {
  return (
    <div class="field">
      <label for={props.id}>{props.label}</label>
      <input
        id={props.id}
        required
        maxLength={64}
        pattern={props.pattern}
        autocomplete="off"
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
    </div>
  );
}
