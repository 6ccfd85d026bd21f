/**
 * The questions before something is done to a case or to several: an outcome, an end with a reason, an offer, an entry of a
 * list ... Each is one form with a few fields; what the fields say becomes one event.
 */
import { useEffect, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import type { CaseEventInput } from '../cases/case-event.ts';
import { ApiError } from './api.ts';
import { type CaseSummary, getListNames } from './case-api.ts';
import { CloseButton, Dialog } from './dialog.tsx';
import { format, locale, messages, timeZone } from './locale.ts';
import { MergeTarget } from './merge-target.tsx';
import { fieldOf, momentOf } from './zone.ts';

/** Outcomes by desk, in the order in which they are asked for; the server refuses any other. */
const OUTCOMES = {
  fraud: ['confirmed', 'valuableAlert', 'falsePositive', 'inconclusive'],
  arrears: ['paid', 'promise', 'brokenPromise', 'dispute', 'writtenOff'],
  retention: ['saved', 'declined', 'unreachable', 'releasedByPolicy', 'churnedAnyway'],
} as const satisfies Record<Desk, readonly string[]>;
const OFFER_RESULTS = ['made', 'accepted', 'declined'] as const;
/** The kinds of entries that a desk adds by hand; the others come as whole files. */
const ENTRY_KINDS = ['number', 'prefix', 'imsi', 'imei', 'cell', 'sender'] as const;

const HOUR_MS = 3_600_000;
const SNOOZES_MS = [HOUR_MS, 4 * HOUR_MS, 24 * HOUR_MS, 168 * HOUR_MS];
const REASON_MAX = 500;
const SLUG = '[A-Za-z0-9][A-Za-z0-9._\\-]*';

const CASE_QUESTIONS = [
  'close',
  'snooze',
  'assign',
  'tag',
  'merge',
  'offer',
  'promise',
  'listEntry',
  'reopen',
] as const;
export type CaseQuestion = (typeof CASE_QUESTIONS)[number];

interface Field {
  name: string;
  label: string;
  kind: 'text' | 'long' | 'number' | 'date' | 'moment' | 'select' | 'radio';
  options?: readonly (readonly [value: string, label: string])[];
  optional?: boolean;
  /** Said beside the label, where the label does not say it itself. */
  saysOptional?: boolean;
  pattern?: string;
  /** What is said where something else was written than the field takes. */
  problem?: string;
  lengthMax?: number;
  /** Values that are offered while somebody types. */
  known?: readonly string[];
}

type Values = Record<string, string>;

export interface CaseDialogProps {
  kind: CaseQuestion;
  desk: Desk;
  /** What it is about; `count` where there are more than are known here. */
  cases: readonly CaseSummary[];
  count: number;
  /** People and tags that others have used. */
  knownPeople: readonly string[];
  knownTags: readonly string[];
  onDecide(event: CaseEventInput): void;
  onCancel(): void;
}

export function CaseDialog(props: CaseDialogProps) {
  const { kind, desk, cases, count, onDecide, onCancel } = props;
  const t = messages.value.cases;
  const q = messages.value.caseQuestions[kind];
  const [lists, setLists] = useState<readonly string[]>([]);
  const fields = fieldsOf(props, lists);
  const [values, setValues] = useState<Values>(() => startOf(props, fields));
  useEffect(() => {
    if (kind !== 'listEntry') return;
    // The names are only offered; without them one can still be typed.
    getListNames().then(setLists, (error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
    });
  }, []);
  /** Sentences below fields, by their names; each goes away as soon as something else is written there. */
  const [problems, setProblems] = useState<Values>({});
  const set = (name: string, value: string): void => {
    setValues((before) => ({ ...before, [name]: value }));
    setProblems((before) => ({ ...before, [name]: '' }));
  };
  const isComplete =
    fields.every(({ name, optional }) => optional === true || (values[name] ?? '').trim() !== '') &&
    (kind !== 'tag' || `${values['add']}${values['remove']}`.trim() !== '') &&
    (kind !== 'merge' || (values['into'] ?? '') !== '');
  return (
    <Dialog
      id="case-dialog-heading"
      title={q.heading(count, format.value.number(count))}
      dismiss={t.cancel}
      onClose={onCancel}
    >
      <form
        method="dialog"
        // The browser would say in its own language, and in passing, what is wrong with a field.
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const wrong = fields.flatMap(({ name, problem }) => {
            const input = event.currentTarget.elements.namedItem(name);
            return input instanceof HTMLInputElement && !input.validity.valid ? [{ name, problem, input }] : [];
          });
          setProblems(Object.fromEntries(wrong.map(({ name, problem }) => [name, problem ?? t.wrong])));
          wrong[0]?.input.focus();
          if (isComplete && wrong.length === 0) onDecide(eventOf(kind, values));
        }}
      >
        {kind === 'merge' && (
          <MergeTarget desk={desk} cases={cases} chosen={values['into'] ?? ''} onChoose={(id) => set('into', id)} />
        )}
        {kind === 'promise' && <p class="hint">{t.promiseHint}</p>}
        {kind === 'listEntry' && <p class="hint">{t.listEntryHint}</p>}
        {fields.map((field) => (
          <FieldInput
            key={field.name}
            field={field}
            value={values[field.name] ?? ''}
            problem={problems[field.name] ?? ''}
            onInput={set}
          />
        ))}
        <div class="button-group">
          <CloseButton label={t.cancel} />
          <button type="submit" class="button primary" disabled={!isComplete}>
            {q.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function fieldsOf(props: CaseDialogProps, knownLists: readonly string[]): Field[] {
  const { kind, desk, knownPeople, knownTags } = props;
  const t = messages.value.cases;
  const { outcomes, offerResults, entryKinds } = messages.value;
  const reason = { name: 'reason', label: t.reason, kind: 'long', lengthMax: REASON_MAX } as const;
  const slug = { pattern: SLUG, problem: t.wrongSlug };
  const spare = { optional: true, saysOptional: true };
  const offer: Field[] = [
    { name: 'offerId', label: t.offer, kind: 'text', ...slug, lengthMax: 64, ...(kind === 'close' && spare) },
    { name: 'cost', label: t.cost, kind: 'number', problem: t.wrongAmount, ...spare },
  ];
  switch (kind) {
    case 'close':
      return [
        {
          name: 'outcome',
          label: t.outcome,
          kind: 'radio',
          options: OUTCOMES[desk].map((name) => [name, outcomes[name]]),
        },
        ...(desk === 'retention' ? offer : []),
        { ...reason, label: t.reasonOptional, optional: true },
      ];
    case 'snooze':
      return [
        {
          name: 'snoozeMs',
          label: t.snoozeFor,
          kind: 'select',
          options: SNOOZES_MS.map((ms) => [String(ms), format.value.span(ms)]),
        },
        { name: 'until', label: t.snoozeUntil, kind: 'moment', problem: t.wrongTime, optional: true },
        reason,
      ];
    case 'assign':
      return [{ name: 'assignee', label: t.assignee, kind: 'text', lengthMax: 128, known: knownPeople }];
    case 'tag':
      return [
        { name: 'add', label: t.tagAdd, kind: 'text', lengthMax: 40, optional: true, known: knownTags },
        { name: 'remove', label: t.tagRemove, kind: 'text', lengthMax: 40, optional: true, known: knownTags },
      ];
    case 'merge':
      return [];
    case 'offer':
      return [
        ...offer,
        { name: 'channel', label: t.channel, kind: 'text', ...slug, lengthMax: 64, ...spare },
        {
          name: 'result',
          label: t.result,
          kind: 'radio',
          options: OFFER_RESULTS.map((name) => [name, offerResults[name]]),
        },
      ];
    case 'promise':
      return [
        { name: 'promiseAt', label: t.promiseAt, kind: 'date', problem: t.wrongTime },
        { name: 'amount', label: t.promiseAmount, kind: 'number', problem: t.wrongAmount, ...spare },
      ];
    case 'listEntry':
      return [
        {
          name: 'list',
          label: t.list,
          kind: 'text',
          pattern: '[a-z][A-Za-z0-9\\-]*',
          problem: t.wrongList,
          lengthMax: 64,
          known: knownLists,
        },
        {
          name: 'kind',
          label: t.entryKind,
          kind: 'select',
          options: ENTRY_KINDS.map((name) => [name, entryKinds[name]]),
        },
        { name: 'value', label: t.entryValue, kind: 'text', lengthMax: 256 },
        { name: 'note', label: t.note, kind: 'text', lengthMax: 200, ...spare },
      ];
    case 'reopen':
      return [reason];
  }
}

/** What stands in the fields before anybody has typed. A masked number would go into a list as a mask, so it is left out. */
function startOf({ kind, cases }: CaseDialogProps, fields: readonly Field[]): Values {
  const values: Values = {};
  for (const { name, kind: look, options } of fields) values[name] = look === 'select' ? options![0]![0] : '';
  const [first] = cases;
  if (kind === 'listEntry' && first?.servedMsisdn && /^\d+$/.test(first.servedMsisdn))
    values['value'] = first.servedMsisdn;
  return values;
}

function eventOf(kind: CaseQuestion, values: Values): CaseEventInput {
  const said = (name: string): string => (values[name] ?? '').trim();
  const text = (name: string) => (said(name) === '' ? {} : { [name]: said(name) });
  const number = (name: string) => (said(name) === '' ? {} : { [name]: Number(said(name)) });
  const tags = (name: string): string[] =>
    said(name)
      .split(/[,，]/)
      .map((tag) => tag.trim())
      .filter((tag) => tag !== '');
  switch (kind) {
    case 'close':
      return {
        type: 'outcome',
        outcome: said('outcome'),
        ...text('reason'),
        ...text('offerId'),
        ...number('cost'),
      } as CaseEventInput;
    case 'snooze': {
      const until =
        said('until') === '' ? Date.now() + Number(said('snoozeMs')) : momentOf(said('until'), timeZone.peek());
      return { type: 'snooze', until, reason: said('reason') };
    }
    case 'assign':
      return { type: 'assign', assignee: said('assignee') };
    case 'tag':
      return { type: 'tag', add: tags('add'), remove: tags('remove') };
    case 'merge':
      return { type: 'merge', into: said('into') };
    case 'offer':
      return {
        type: 'offer',
        offerId: said('offerId'),
        result: said('result'),
        ...number('cost'),
        ...text('channel'),
      } as CaseEventInput;
    case 'promise':
      // To the end of that day, as the one who promised would say.
      return {
        type: 'promise',
        promiseAt: momentOf(`${said('promiseAt')}T23:59:59`, timeZone.peek()),
        ...number('amount'),
      };
    case 'listEntry':
      return {
        type: 'listEntry',
        list: said('list'),
        kind: said('kind'),
        value: said('value'),
        ...text('note'),
      } as CaseEventInput;
    case 'reopen':
      return { type: 'reopen', reason: said('reason') };
  }
}

function FieldInput(props: {
  field: Field;
  value: string;
  problem: string;
  onInput(name: string, value: string): void;
}) {
  const { field, value, problem, onInput } = props;
  const { name, label, kind, options = [], optional = false, known } = field;
  const given = (event: { currentTarget: { value: string } }): void => onInput(name, event.currentTarget.value);
  if (kind === 'radio') {
    return (
      <fieldset class="choices">
        <legend>{label}</legend>
        {options.map(([option, text]) => (
          <label key={option}>
            <input type="radio" name={name} value={option} checked={value === option} onChange={given} />
            <span>{text}</span>
          </label>
        ))}
      </fieldset>
    );
  }
  const id = `case-${name}`;
  const isTime = kind === 'date' || kind === 'moment';
  const note = { 'aria-invalid': problem !== '', 'aria-describedby': `${id}-note` };
  const limits = { id, name, required: !optional, maxLength: field.lengthMax ?? 64, ...note };
  const listId = known === undefined || known.length === 0 ? undefined : `known-${name}`;
  return (
    <div class="field">
      <span>
        <label for={id}>{label}</label>
        {field.saysOptional && <span class="hint beside">{messages.value.cases.optional}</span>}
      </span>
      {kind === 'select' && (
        <select id={id} name={name} value={value} onChange={given}>
          {options.map(([option, text]) => (
            <option key={option} value={option}>
              {text}
            </option>
          ))}
        </select>
      )}
      {kind === 'long' && <textarea {...limits} rows={3} value={value} onInput={given} />}
      {kind === 'number' && (
        <input
          id={id}
          type="number"
          name={name}
          {...note}
          required={!optional}
          min="0"
          step="0.01"
          value={value}
          onInput={given}
        />
      )}
      {isTime && (
        <input
          id={id}
          type={kind === 'date' ? 'date' : 'datetime-local'}
          lang={locale.value}
          name={name}
          {...note}
          required={!optional}
          min={kind === 'date' ? fieldOf(Date.now(), timeZone.value).slice(0, 10) : fieldOf(Date.now(), timeZone.value)}
          value={value}
          onInput={given}
        />
      )}
      {kind === 'text' && (
        <input
          {...limits}
          {...(field.pattern !== undefined && { pattern: field.pattern })}
          autocomplete="off"
          list={listId}
          value={value}
          onInput={given}
        />
      )}
      <span id={`${id}-note`}>
        {problem !== '' ? (
          <span class="field-problem" role="alert">
            {problem}
          </span>
        ) : (
          isTime && value !== '' && <span class="hint">{writtenOut(kind, value)}</span>
        )}
      </span>
      {listId !== undefined && (
        <datalist id={listId}>
          {known!.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
    </div>
  );
}

/** The day or moment as the console writes it: the field itself has the order and the words of the browser. */
function writtenOut(kind: Field['kind'], value: string): string {
  const at = momentOf(kind === 'date' ? `${value}T12:00` : value, timeZone.value);
  if (Number.isNaN(at)) return '';
  return kind === 'date' ? format.value.day(at) : format.value.dateTime(at);
}
