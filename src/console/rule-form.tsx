/**
 * The draft of a rule: the values of the form as they were typed, what the server says of them, and the way to a proposal. What
 * was typed stays text until it is sent, so that a half-written number is not lost or bent.
 */
import { useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { myName } from './case-work.ts';
import { format } from './locale.ts';
import {
  type DraftOf,
  type DraftView,
  draftRule,
  proposeRule,
  type RuleChangesView,
  type RuleEdits,
} from './rule-api.ts';
import { BackTest, type StartedTest } from './rule-back-test.tsx';
import { Bands, type FormField } from './rule-bands.tsx';
import { Difference } from './rule-diff.tsx';
import { Effect, NameNote, TestList, Values } from './rule-parts.tsx';
import { ruleText } from './rule-text.ts';
import { session } from './session.ts';

const REASON_MAX = 1_000;
const BACKFILL_DAYS = [1, 7, 30, 60];
const STATUSES = ['stable', 'test', 'experimental', 'deprecated', 'off'] as const;

type Form = RuleChangesView['form'];
type Parameter = Form['parameters'][number];
/** By the name of its field: what was typed. */
type Typed = Record<string, string>;

const asTyped = (value: Parameter['value']): string => (Array.isArray(value) ? value.join(', ') : String(value));

/** What was typed, as the value that it means; a text that means none goes as it is, and the server says what it expects. */
function meantBy({ kind }: Parameter, text: string): Parameter['value'] {
  const trimmed = text.trim();
  const items = trimmed === '' ? [] : trimmed.split(',').map((item) => item.trim());
  const isNumber = (item: string): boolean => item !== '' && Number.isFinite(Number(item));
  if (kind === 'number') return isNumber(trimmed) ? Number(trimmed) : trimmed;
  if (kind === 'boolean') return trimmed === 'true' ? true : trimmed === 'false' ? false : trimmed;
  if (kind === 'texts') return items;
  if (kind === 'numbers') return items.every(isNumber) ? items.map(Number) : items;
  return trimmed;
}

function editsOf(form: Form, typed: Typed): RuleEdits {
  const edits: RuleEdits = {};
  if (typed['status'] !== undefined) edits.status = typed['status'];
  if (typed['suppressFor'] !== undefined) edits.suppressFor = typed['suppressFor'].trim();
  for (const parameter of form.parameters) {
    const text = typed[`parameters.${parameter.name}`];
    if (text !== undefined) edits.parameters = { ...edits.parameters, [parameter.name]: meantBy(parameter, text) };
  }
  const removed = removedIn(typed);
  const count = form.bands.length + addedTo(form, typed);
  const parts = Array.from({ length: count }, (_, index) => {
    const [severity, condition, score] = ['severity', 'if', 'score'].map((part) => typed[`bands.${index}.${part}`]);
    if (severity === undefined && condition === undefined && score === undefined) return null;
    return {
      ...(severity !== undefined && { severity }),
      ...(condition !== undefined && { if: condition.trim() }),
      // Not a number: the server says what it expects.
      ...(score !== undefined && { score: score.trim() === '' || Number.isNaN(Number(score)) ? -1 : Number(score) }),
    };
  });
  if (parts.some((part) => part !== null)) edits.bands = parts;
  if (removed.size > 0) edits.removedBands = [...removed];
  return edits;
}

/** New bands stand behind those of the rule, each with all three of its texts. */
const addedTo = (form: Form, typed: Typed): number =>
  Object.keys(typed).filter((name) => {
    const [, index, part] = /^bands\.(\d+)\.(\w+)$/.exec(name) ?? [];
    return part === 'severity' && Number(index) >= form.bands.length;
  }).length;

const removedIn = (typed: Typed): Set<number> =>
  new Set(
    Object.keys(typed).flatMap((name) => {
      const [, index] = /^bands\.(\d+)\.removed$/.exec(name) ?? [];
      return index === undefined ? [] : [Number(index)];
    }),
  );

/** Begins as the most severe one of the rule, which is what mostly lacks a step before or after it. */
function newBand({ bands }: Form, added: number): Typed {
  const index = bands.length + added;
  const last = bands.at(-1)!;
  return {
    [`bands.${index}.severity`]: last.severity,
    [`bands.${index}.if`]: last.if,
    [`bands.${index}.score`]: String(last.score),
  };
}

/** A band of the rule is marked; a new one is forgotten, and those behind it move up. */
function withoutBand(form: Form, typed: Typed, index: number): Typed {
  if (index < form.bands.length) return { ...typed, [`bands.${index}.removed`]: 'yes' };
  return Object.fromEntries(
    Object.entries(typed).flatMap(([name, text]) => {
      const [, at, part] = /^bands\.(\d+)\.(\w+)$/.exec(name) ?? [];
      if (at === undefined || Number(at) < index) return [[name, text]];
      return Number(at) === index ? [] : [[`bands.${Number(at) - 1}.${part}`, text]];
    }),
  );
}

export function RuleForm(props: {
  changes: RuleChangesView;
  text: string;
  /** An older text that was asked for. */
  restores: { sequence: number; version: number } | undefined;
  mayChange: boolean;
  onProposed(changes: RuleChangesView): void;
  onRefused(): void;
  onReset(): void;
}) {
  const { changes, text, restores, mayChange } = props;
  const { ruleId, form } = changes;
  const t = ruleText.value;
  const f = format.value;
  const [typed, setTyped] = useState<Typed>({});
  const [wholeText, setWholeText] = useState<string>();
  const [checked, setChecked] = useState<{ view: DraftView; about: string }>();
  const [checking, setChecking] = useState(false);
  const [failure, setFailure] = useState('');
  const [backTest, setBackTest] = useState<StartedTest>();

  const draft: DraftOf =
    restores !== undefined
      ? { restores: restores.sequence }
      : wholeText !== undefined
        ? { text: wholeText }
        : { edits: editsOf(form, typed) };
  const about = JSON.stringify(draft);
  const isChanged = restores !== undefined || wholeText !== undefined || Object.keys(typed).length > 0;
  const view = checked?.about === about ? checked.view : undefined;
  const problems = new Map((view?.errors ?? []).map((error) => [error.field, error]));

  const check = async (): Promise<void> => {
    setChecking(true);
    setFailure('');
    try {
      setChecked({ view: await draftRule(ruleId, draft, true), about });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(t.failed(error.message));
    } finally {
      setChecking(false);
    }
  };
  const reset = (): void => {
    setTyped({});
    setWholeText(undefined);
    setChecked(undefined);
    setBackTest(undefined);
    props.onReset();
  };

  /** All that a new band says is told. */
  const isNew = (name: string): boolean => Number(/^bands\.(\d+)\./.exec(name)?.[1] ?? -1) >= form.bands.length;
  const field = (name: string, present: string): FormField => {
    const value = typed[name] ?? present;
    const problem = problems.get(name);
    const id = `rule-${name.replaceAll('.', '-')}`;
    return {
      problem: problem && <Problem id={`${id}-problem`} code={problem.code} message={problem.message} />,
      control: {
        id,
        value,
        disabled: !mayChange,
        class: value === present ? '' : 'changed',
        ...(problem !== undefined && { 'aria-invalid': true, 'aria-describedby': `${id}-problem` }),
      },
      set(next: string) {
        setTyped((before) => {
          const { [name]: _old, ...others } = before;
          return next === present && !isNew(name) ? others : { ...others, [name]: next };
        });
      },
    };
  };
  const added = addedTo(form, typed);
  const removed = removedIn(typed);
  const bandsProblem = problems.get('bands');
  const status = field('status', form.status);
  const suppressFor = field('suppressFor', form.suppressFor);
  const elsewhere = (view?.errors ?? []).filter(
    (error) =>
      wholeText !== undefined || restores !== undefined || error.field === '' || /^bands\.\d+$/.test(error.field),
  );

  return (
    <>
      <section aria-labelledby="form-heading" class="rule-form">
        <h3 id="form-heading">{t.form}</h3>
        {!mayChange && <p class="note">{t.readOnly}</p>}
        {restores !== undefined && <p role="status">{t.restoring(f.number(restores.version))}</p>}
        {restores === undefined && wholeText !== undefined && (
          <label>
            {t.text}
            <span class="note">{t.textNote}</span>
            <textarea
              rows={24}
              spellcheck={false}
              value={wholeText}
              onInput={(event) => setWholeText(event.currentTarget.value)}
            />
          </label>
        )}
        {restores === undefined && wholeText === undefined && (
          <>
            <div class="field-pair">
              <label>
                {t.status}
                <select {...status.control} onChange={(event) => status.set(event.currentTarget.value)}>
                  {STATUSES.map((name) => (
                    <option key={name} value={name}>
                      {t.statuses[name]}
                    </option>
                  ))}
                </select>
                <span class="note">{t.statusNote[status.control.value as Form['status']]}</span>
                {status.problem}
              </label>
              <label>
                {t.suppressFor}
                <input
                  type="text"
                  {...suppressFor.control}
                  autocomplete="off"
                  onInput={(event) => suppressFor.set(event.currentTarget.value)}
                />
                {suppressFor.problem}
              </label>
            </div>
            {form.parameters.length > 0 && (
              <table class="data" aria-label={t.parameters}>
                <thead>
                  <tr>
                    <th scope="col">{t.parameter}</th>
                    <th scope="col">{t.value}</th>
                    <th scope="col">{t.effect}</th>
                  </tr>
                </thead>
                <tbody>
                  {form.parameters.map((parameter) => {
                    const { control, problem, set } = field(`parameters.${parameter.name}`, asTyped(parameter.value));
                    return (
                      <tr key={parameter.name}>
                        <th scope="row">
                          <label for={control.id}>
                            <code>{parameter.name}</code>
                          </label>
                        </th>
                        <td>
                          {parameter.kind === 'boolean' ? (
                            <select {...control} onChange={(event) => set(event.currentTarget.value)}>
                              <option value="true">{t.yes}</option>
                              <option value="false">{t.no}</option>
                            </select>
                          ) : (
                            <input
                              type="text"
                              {...control}
                              inputMode={parameter.kind === 'number' ? 'decimal' : 'text'}
                              autocomplete="off"
                              spellcheck={false}
                              onInput={(event) => set(event.currentTarget.value)}
                            />
                          )}
                          {problem}
                        </td>
                        <td class="c-effect">
                          <Effect ruleId={ruleId} parameter={parameter} typed={control.value} />
                        </td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            )}
            <Bands
              bands={form.bands}
              added={added}
              removed={removed}
              mayChange={mayChange}
              problem={bandsProblem && <Problem id="rule-bands-problem" {...bandsProblem} />}
              field={field}
              onAdd={() => setTyped((before) => ({ ...before, ...newBand(form, added) }))}
              onRemove={(index) => setTyped((before) => withoutBand(form, before, index))}
              onKeep={(index) => setTyped(({ [`bands.${index}.removed`]: _removed, ...others }) => others)}
            />
            <Values ruleId={ruleId} values={form.values} />
          </>
        )}
        {mayChange && (
          <div class="button-row">
            <button type="button" class="button primary" disabled={checking || !isChanged} onClick={() => void check()}>
              {checking ? t.checking : t.check}
            </button>
            {isChanged && (
              <button type="button" class="button" onClick={reset}>
                {wholeText !== undefined ? t.backToForm : t.reset}
              </button>
            )}
            {!isChanged && (
              <button type="button" class="button" onClick={() => setWholeText(text)}>
                {t.editAsText}
              </button>
            )}
            <span role="status">
              {!isChanged && t.nothingChanged}
              {view !== undefined && (view.ok ? t.right : t.wrong)}
            </span>
          </div>
        )}
        {failure !== '' && <p role="alert">{failure}</p>}
        {elsewhere.length > 0 && (
          <ul class="letter-errors" role="alert">
            {elsewhere.map(({ line, column, message }) => (
              <li key={`${line}:${column}:${message}`} lang="en">
                {line > 0 && `${line}:${column} `}
                {message}
              </li>
            ))}
          </ul>
        )}
      </section>
      {view?.ok === true && (
        <section aria-labelledby="draft-heading">
          <h3 id="draft-heading">{t.changes}</h3>
          <Difference hunks={view.diff} label={t.changes} />
          <Tests tests={view.tests ?? []} />
        </section>
      )}
      {mayChange && isChanged && view?.ok === true && view.diff.length > 0 && (
        <>
          <BackTest ruleId={ruleId} draft={draft} started={backTest} onStarted={setBackTest} />
          {changes.proposal === null && (
            <Propose
              ruleId={ruleId}
              draft={draft}
              view={view}
              backTest={backTest?.about === about && backTest.view.state === 'done' ? backTest : undefined}
              onProposed={(next) => {
                reset();
                props.onProposed(next);
              }}
              onRefused={props.onRefused}
            />
          )}
        </>
      )}
    </>
  );
}

/** What was expected, in the language of the page; what the compiler of rules says is English. */
function Problem({ id, code, message }: { id: string; code: string; message: string }) {
  const { expected } = ruleText.value;
  const known = Object.hasOwn(expected, code) ? expected[code as keyof typeof expected] : expected.rule;
  return (
    <span id={id} class="field-problem" role="alert">
      {known} {code === 'rule' && <span lang="en">{message}</span>}
    </span>
  );
}

function Tests({ tests }: { tests: NonNullable<DraftView['tests']> }) {
  const t = ruleText.value;
  const f = format.value;
  const failed = tests.filter(({ ok }) => !ok);
  return (
    <>
      <h3>{t.tests}</h3>
      <p>
        {failed.length === 0
          ? t.testsPassed(tests.length, f.number(tests.length))
          : t.testsFailed(f.number(failed.length), f.number(tests.length))}
      </p>
      <TestList tests={failed} />
    </>
  );
}

function Propose(props: {
  ruleId: string;
  draft: DraftOf;
  view: DraftView;
  backTest: StartedTest | undefined;
  onProposed(changes: RuleChangesView): void;
  onRefused(): void;
}) {
  const { ruleId, draft, view, backTest } = props;
  const t = ruleText.value;
  const [reason, setReason] = useState('');
  const [backfill, setBackfill] = useState(0);
  const [accepted, setAccepted] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState('');
  const fails = (view.tests ?? []).some(({ ok }) => !ok);
  const me = myName();
  const submit = async (): Promise<void> => {
    setBusy(true);
    setFailure('');
    try {
      const changes = await proposeRule(ruleId, {
        ...draft,
        baseTag: view.baseTag,
        reason: reason.trim(),
        acceptFailedTests: fails && accepted,
        ...(backTest !== undefined && { backTestId: backTest.view.id }),
        ...(backfill > 0 && { backfillDays: backfill }),
        ...(session.value?.signIn === 'open' && { by: me }),
      });
      props.onProposed(changes);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const known: Record<string, string> = { conflict: t.conflict, stale: t.stale };
      setFailure(Object.hasOwn(known, error.code) ? known[error.code]! : t.failed(error.message));
      if (error.status === 409) props.onRefused();
    } finally {
      setBusy(false);
    }
  };
  return (
    <section aria-labelledby="propose-heading">
      <h3 id="propose-heading">{t.propose}</h3>
      <form
        class="replay"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <NameNote />
        <label>
          {t.why}
          <span class="note">{t.whyHint}</span>
          <textarea
            rows={3}
            maxLength={REASON_MAX}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <label>
          {t.backfill}
          <select value={String(backfill)} onChange={(event) => setBackfill(Number(event.currentTarget.value))}>
            <option value="0">{t.noBackfill}</option>
            {BACKFILL_DAYS.map((days) => (
              <option key={days} value={days}>
                {t.backfillDays(days, format.value.number(days))}
              </option>
            ))}
          </select>
        </label>
        {fails && (
          <label class="inline-check">
            <input type="checkbox" checked={accepted} onChange={(event) => setAccepted(event.currentTarget.checked)} />
            {t.acceptFailed}
          </label>
        )}
        <p class="note">{t.needsSecond}</p>
        <div class="button-group">
          <button
            type="submit"
            class="button primary"
            disabled={busy || reason.trim() === '' || me === '' || (fails && !accepted)}
          >
            {t.submit}
          </button>
        </div>
      </form>
      {failure !== '' && <p role="alert">{failure}</p>}
    </section>
  );
}
