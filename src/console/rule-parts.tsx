/** What several parts of a rule's page show alike: who works here, and tests that failed. */
import { giveName, myName, nameIsGiven } from './case-work.ts';
import type { DraftView } from './rule-api.ts';
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
