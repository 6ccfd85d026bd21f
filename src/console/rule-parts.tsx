/** Small parts of a rule's page: what the rule file tells people, who works here, and tests that failed. */
import { giveName, myName, nameIsGiven } from './case-work.ts';
import { locale } from './locale.ts';
import type { DraftView, RuleDetail } from './rule-api.ts';
import { ruleText } from './rule-text.ts';

/** Only where nobody has to sign in. */
export function NameField() {
  if (!nameIsGiven()) return null;
  const t = ruleText.value;
  return (
    <label>
      {t.yourName}
      <input
        type="text"
        class="my-name"
        autocomplete="username"
        maxLength={64}
        value={myName()}
        onInput={(event) => giveName(event.currentTarget.value.trim())}
      />
    </label>
  );
}

/** The sentences are those of the engine, which are English. */
export function TestList({ tests }: { tests: NonNullable<DraftView['tests']> }) {
  if (tests.length === 0) return null;
  return (
    <ul class="letter-errors" lang="en">
      {tests.map(({ name, detail }) => (
        <li key={name}>
          <strong>
            <bdi>{name}</bdi>
          </strong>{' '}
          <bdi>{detail}</bdi>
        </li>
      ))}
    </ul>
  );
}

/** What the rule file tells people about the detection, in the language of the page. */
export function RuleNotes({ rule }: { rule: RuleDetail }) {
  const t = ruleText.value;
  const { description, falsePositives, runbook } = rule;
  if (description === null && runbook === null && falsePositives.length === 0) return null;
  return (
    <section aria-labelledby="notes-heading">
      <h3 id="notes-heading">{t.notes}</h3>
      {description !== null && <p>{description[locale.value]}</p>}
      {falsePositives.length > 0 && (
        <>
          <h4>{t.falsePositives}</h4>
          <ul>
            {falsePositives.map((note) => (
              <li key={note.en}>{note[locale.value]}</li>
            ))}
          </ul>
        </>
      )}
      {runbook !== null && (
        <>
          <h4>{t.runbook}</h4>
          <p>{runbook[locale.value]}</p>
        </>
      )}
    </section>
  );
}
