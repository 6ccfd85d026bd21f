/**
 * What is wrong with a field, in the language of the page: a browser would say it in its own. A field whose content has a form
 * of its own says in `data-wrong` what is expected. Dialogs that show a sentence below the field keep the bubble away.
 */
import { messages } from './locale.ts';

type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

function sentenceOf(field: Field): string {
  const t = messages.peek().fields;
  const { validity } = field;
  if (validity.valueMissing) {
    if (field instanceof HTMLSelectElement || field.type === 'radio') return t.choose;
    return field.type === 'file' ? t.chooseFile : t.missing;
  }
  if (validity.tooShort && 'minLength' in field) return t.short(field.minLength);
  return field.dataset['wrong'] ?? t.wrong;
}

// The event does not bubble.
document.addEventListener(
  'invalid',
  ({ target }) => {
    const field = target as Field;
    field.setCustomValidity(sentenceOf(field));
  },
  true,
);

/** A sentence stays until it is taken back, and would hold up the form for ever. Enter in a field is a click on its button too. */
function takeBack({ target }: Event): void {
  const form = (target as Element).closest('form');
  for (const field of form?.elements ?? []) if ('setCustomValidity' in field) (field as Field).setCustomValidity('');
}
for (const type of ['input', 'click']) document.addEventListener(type, takeBack, true);
