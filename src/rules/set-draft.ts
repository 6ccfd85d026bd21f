/**
 * What a rule set has made so far while it is compiled: ids, operators, and the steps (a kind of key, record types, a
 * condition) that say which operator takes which record and which rule looks at it. Features of several rules that ask for
 * the same thing meet here.
 */
import type { SeenType } from '../record/usage-record.ts';
import { contactTime } from '../reference/contact-hours.ts';
import { EMPTY_LIST, type ReferenceLists } from '../reference/lists.ts';
import { holidaysOf, type LocalTime } from '../reference/local-time.ts';
import { keyOf } from '../state/block.ts';
import type { Calibration } from '../state/calibration.ts';
import { fingerprint, type Names } from '../state/key-table.ts';
import type { Operator, Reader, Scope } from '../state/operator.ts';
import type { ColumnKind, Panes } from '../state/panes.ts';
import type { Rankings } from '../state/rankings.ts';
import type { Environment } from './compile.ts';
import type { CompiledRule } from './compiled-rule.ts';
import type { DebtScore } from './debt.ts';
import type { RuleProblem } from './form.ts';
import type { Predicate, Step as RecordStep } from './plan.ts';
import { type BackfillSpan, draftRegistry, type Registry, type RegistryDraft, type RegistryEntry } from './registry.ts';
import { KEY_TYPES, type KeyType } from './rule.ts';
import type { Valuation } from './valuation.ts';

export interface CompileOptions {
  registry: Registry;
  names: Names;
  localTime: LocalTime;
  /** Undefined: every list is empty, whatever its name; what a rule alone is checked and tested with. */
  lists: ReferenceLists | undefined;
  /** Currency units of one special drawing right, in which operators settle; default 1. */
  currencyPerSdr?: number | undefined;
  rankings: Rankings;
  calibration: Calibration;
  /** Event time of the swap; operators that are new begin here. 0 for the first set of an empty state. */
  since: number;
  /** Where the windows of new features are brought along, filled by records read again. */
  backfill?: BackfillSpan;
}

export type Step = RecordStep<CompiledRule>;

/** A compiled condition on a record, and the text that tells it from others. */
export interface Condition {
  text: string;
  holds: Predicate;
}

/** What features have asked of a pane list so far. */
export interface PaneListDraft {
  entry: RegistryEntry;
  reach: number;
  columns: Map<string, { kind: ColumnKind; of: Reader }>;
  list: Panes | undefined;
}

export interface SetDraft {
  options: CompileOptions;
  problems: RuleProblem[];
  registry: RegistryDraft;
  operators: Map<number, Operator>;
  /** The operator of this signature, made where it is not there yet. */
  operatorOf<T extends Operator>(
    signature: string,
    on: readonly SeenType[],
    create: (id: number) => T,
  ): { operator: T; entry: RegistryEntry };
  steps(): Step[];
  stepOf(keyType: number, on: readonly SeenType[], where: string, holds: Predicate): Step;
  /** Derived values of a record that any expression mentions. */
  uses: Set<string>;
  /** What every expression may call. */
  functions: Omit<Environment, 'resolve' | 'names'>;
  holidays: ReadonlySet<number>;
  /** Operators that a record begins anew, and those that take records only while a condition holds, by id; features share them. */
  resets: Set<number>;
  gated: Set<number>;
  /** By signature. */
  paneLists: Map<string, PaneListDraft>;
  /** Pane lists are made after all rules have been read, because only then their reach and columns are known. */
  whenRead: (() => void)[];
  /** Conditions, timers and texts are compiled when every feature of every rule has its reader. */
  whenLaidOut: (() => void)[];
  /** Where there is a model: it comes first, so that rules find its names. */
  valuation: Valuation | undefined;
  /** Likewise for bad debt. */
  debt: DebtScore | undefined;
}

export const always = (): boolean => true;
export const keyIndex = (key: KeyType): number => KEY_TYPES.indexOf(key);

export const asList = <T>(value: T | readonly T[] | undefined): readonly T[] | undefined =>
  value === undefined ? undefined : Array.isArray(value) ? (value as readonly T[]) : [value as T];

export function draftRuleSet(options: CompileOptions): SetDraft {
  const { localTime, lists } = options;
  const holidays = holidaysOf(lists?.get('holidays')?.valuesOf('date') ?? []);
  const registry = draftRegistry(options.registry, options);
  const operators = new Map<number, Operator>();
  const steps = new Map<string, Step>();
  return {
    options,
    problems: [],
    registry,
    operators,
    operatorOf<T extends Operator>(signature: string, on: readonly SeenType[], create: (id: number) => T) {
      const entry = registry.entryOf(signature, on);
      let operator = operators.get(entry.id) as T | undefined;
      if (operator === undefined) {
        operator = create(entry.id);
        operators.set(entry.id, operator);
      }
      return { operator, entry };
    },
    steps: () => [...steps.values()],
    stepOf(keyType, on, where, holds) {
      const key = `${keyType}|${[...on].sort().join()}|${where}`;
      let step = steps.get(key);
      if (step === undefined) {
        step = { keyType, on, where, holds, operators: new Set(), rules: new Set() };
        steps.set(key, step);
      }
      return step;
    },
    uses: new Set(),
    functions: {
      isNight: localTime.isNight,
      contactTime: ({ cursor }: Scope, at, hours) => {
        const key = keyOf(cursor);
        const mixed = Math.imul((key > 0 ? key : fingerprint(options.names.textOf(key))) | 0, 0x9e3779b1) >>> 0;
        return contactTime(at, hours, { localTime, holidays }, mixed / 0x1_0000_0000);
      },
      timeOfDayMs: localTime.timeOfDayMs,
      written: localTime.written,
      list: (name) => (lists === undefined ? EMPTY_LIST : lists.get(name)),
      listNames: () => lists?.names() ?? [],
    },
    holidays,
    resets: new Set(),
    gated: new Set(),
    paneLists: new Map(),
    whenRead: [],
    whenLaidOut: [],
    valuation: undefined,
    debt: undefined,
  };
}
