/** Small parts of a rule's page: what the rule file tells people, who works here, tests that failed, what a parameter does. */
import { askName, myName } from './case-work.ts';
import { FeatureName, windowText } from './feature-name.tsx';
import { format, locale } from './locale.ts';
import type { DraftView, RuleChangesView, RuleDetail } from './rule-api.ts';
import { featureTitle } from './rule-names.ts';
import { ruleText } from './rule-text.ts';
import { serverSentence } from './server-sentence.ts';
import './rules.css';

/** Only where nobody has to sign in can a name be missing. */
export function NameNote() {
  if (myName() !== '') return null;
  const t = ruleText.value;
  return (
    <p class="note">
      {t.nameFirst}{' '}
      <button type="button" class="button" onClick={askName}>
        {t.sayName}
      </button>
    </p>
  );
}

/** Tests have the names that the rule file gives them, in one language. */
export function TestList({ tests }: { tests: NonNullable<DraftView['tests']> }) {
  if (tests.length === 0) return null;
  return (
    <ul class="letter-errors">
      {tests.map(({ name, detail }) => (
        <li key={name}>
          <strong>
            <bdi lang="en">{name}</bdi>
          </strong>{' '}
          <bdi>{serverSentence.value(detail)}</bdi>
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

/** The unit of a parameter with what was typed in it, who asks it, and where a higher value leads. */
export function Effect({
  ruleId,
  parameter,
  typed,
}: {
  ruleId: string;
  parameter: RuleChangesView['form']['parameters'][number];
  typed: string;
}) {
  const t = ruleText.value;
  const f = format.value;
  const { unit, bands, features, raising, kind } = parameter;
  const value = Number(typed);
  const hasUnit = kind === 'number' && Object.hasOwn(t.units, unit);
  const isRead = ['s', 'share', 'bytes'].includes(unit) && typed.trim() !== '' && Number.isFinite(value);
  return (
    <>
      {hasUnit && (
        <span class="unit">
          {t.units[unit as keyof typeof t.units]}
          {isRead && ` = ${f.value(value, unit)}`}
        </span>
      )}
      {raising !== '' && <span>{t.raising[raising]}</span>}
      {bands.length > 0 && <span>{t.inBands(f.list(bands.map((index) => f.number(index + 1))))}</span>}
      {features.map((name) => (
        <span key={name}>
          {' '}
          <FeatureName ruleId={ruleId} feature={name} />
        </span>
      ))}
    </>
  );
}

/** What conditions may ask, for who writes one. */
export function Values({ ruleId, values }: { ruleId: string; values: RuleChangesView['form']['values'] }) {
  const t = ruleText.value;
  if (values.length === 0) return null;
  return (
    <details>
      <summary>{t.valuesToAsk}</summary>
      <ul class="values">
        {values.map(({ name, window, unit }) => (
          <li key={name}>
            <code>{name}</code> {featureTitle(ruleId, name)} {window !== '' && t.overWindow(windowText(window))}{' '}
            {Object.hasOwn(t.units, unit) && t.units[unit as keyof typeof t.units]}
          </li>
        ))}
      </ul>
    </details>
  );
}
