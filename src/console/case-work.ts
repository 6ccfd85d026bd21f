/** Who works here, and what was done last: shared by the list of cases and the case that is open. */
import { signal } from '@preact/signals';
import type { CaseEventInput } from '../cases/case-event.ts';
import { ApiError } from './api.ts';
import { type BulkResult, changeCases, postCaseEvent, type Subjects, undoChange } from './case-api.ts';
import { session } from './session.ts';

const STORAGE_KEY = 'ringfence.name';

/** Where nobody has to sign in, people say who they are. */
const givenName = signal(localStorage.getItem(STORAGE_KEY) ?? '');

/** Empty: nobody has said who works here. */
export const myName = (): string => session.value?.person?.name ?? givenName.value.trim();
export const nameIsGiven = (): boolean => session.value?.signIn === 'open';
/** As it is being typed: a name may have spaces in it. */
export const typedName = (): string => givenName.value;

export function giveName(name: string): void {
  localStorage.setItem(STORAGE_KEY, name);
  givenName.value = name;
}

/** Takes whoever has to say who they are to the field for it, at the top of every page. */
export function askName(): void {
  const field = document.querySelector<HTMLInputElement>('.my-name');
  field?.focus();
  field?.select();
}

/** What the server writes down where nobody said who they are. */
export const UNNAMED = 'anonymous';

/** What was done last, as the bar under the list tells it. */
export type Done =
  | { kind: 'changed'; type: CaseEventInput['type'] | 'undo'; result: BulkResult }
  | { kind: 'nothingToTake' | 'nameFirst' | 'noCase' }
  | { kind: 'failed'; detail: string };
export const lastDone = signal<Done | undefined>(undefined);

/** Each change goes as a bulk action, even of one case, so that it can be taken back. */
export async function change(subjects: Subjects, event: CaseEventInput): Promise<BulkResult | undefined> {
  return told(event.type, () => {
    if (event.type === 'listEntry' && subjects.kind === 'named') return addEntry(subjects.cases[0]!.caseId, event);
    return changeCases(subjects, myName(), event);
  });
}

/** An entry is in its list for good, so there is no bulk action and no way back. */
async function addEntry(caseId: string, event: CaseEventInput): Promise<BulkResult> {
  const by = myName();
  const { version } = await postCaseEvent(caseId, { ...event, ...(by !== '' && { by }) });
  return { bulkId: '', done: [{ caseId, sequence: version }], refused: [] };
}

export async function undo(bulkId: string): Promise<BulkResult | undefined> {
  return told('undo', () => undoChange(bulkId, myName()));
}

async function told(type: CaseEventInput['type'], act: () => Promise<BulkResult>): Promise<BulkResult | undefined> {
  try {
    const result = await act();
    lastDone.value = { kind: 'changed', type, result };
    return result;
  } catch (error) {
    tellFailure(error);
    return undefined;
  }
}

export function tellFailure(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
  lastDone.value = { kind: 'failed', detail: error.message };
}
