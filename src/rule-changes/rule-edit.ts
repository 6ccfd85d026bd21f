/**
 * A rule as a form, and the form as a changed text. Only the values that were changed are replaced in the file, where they
 * stand: comments, order and layout stay as their author left them, and the difference shows the change and nothing else.
 */
import { structuredPatch } from 'diff';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, stringify, type Node as YamlNode } from 'yaml';
import { SEVERITIES, type Severity } from '../alerts/alert.ts';
import { parseDuration } from '../rules/expression.ts';
import type { RuleProblem } from '../rules/form.ts';
import { type Rule, STATUSES } from '../rules/rule.ts';
import { type MeasuredValue, type ParameterUse, parameterUses } from './parameter-use.ts';

/** Texts whose difference takes more steps are shown as one replaced by the other. */
const DIFF_STEPS_MAX = 4_000;
const DIFF_CONTEXT_LINES = 3;
const EXPRESSION_LENGTH_MAX = 2_000;
/** As rule files have it. */
export const BANDS_MAX = 8;

export type ParameterValue = NonNullable<Rule['params']>[string];
export const PARAMETER_KINDS = ['number', 'duration', 'text', 'boolean', 'texts', 'numbers'] as const;
export type ParameterKind = (typeof PARAMETER_KINDS)[number];

/** What the form shows of a rule. */
export interface RuleForm {
  status: Rule['status'];
  suppressFor: string;
  parameters: ({ name: string; kind: ParameterKind; value: ParameterValue } & ParameterUse)[];
  /** What conditions may ask; empty where the rule does not run. */
  values: MeasuredValue[];
  bands: { severity: Severity; if: string; score: number }[];
}

/** What was changed in the form; what is not named stays. */
export interface RuleEdits {
  status?: string;
  suppressFor?: string;
  parameters?: Record<string, ParameterValue>;
  /** By their place; null: that band stays. Those behind the last one of the rule are new, and say all three. */
  bands?: ({ severity?: string; if?: string; score?: number } | null)[];
  /** Places of bands that go. */
  removedBands?: number[];
}

/** What is wrong at a field of the form; `code` where the form itself asks for something. */
export interface FieldProblem {
  /** `parameters.warningSec`, `bands.0.if`, `status`, `suppressFor`; empty: none of the form's. */
  field: string;
  code: 'number' | 'duration' | 'text' | 'boolean' | 'list' | 'choice' | 'score' | 'bands' | 'unknown' | 'rule';
  message: string;
  /** In the text of the draft; 0 where there is none yet. */
  line: number;
  column: number;
}

export interface DiffHunk {
  oldStart: number;
  newStart: number;
  /** Each begins with a space, `-` or `+`. */
  lines: string[];
}

function kindOf(value: ParameterValue): ParameterKind {
  if (Array.isArray(value))
    return value.every((item) => typeof item === 'number') && value.length > 0 ? 'numbers' : 'texts';
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'boolean';
  return parseDuration(value) === undefined ? 'text' : 'duration';
}

export function formOf(rule: Rule, values: readonly MeasuredValue[] = []): RuleForm {
  const uses = parameterUses(rule, values);
  return {
    status: rule.status,
    suppressFor: rule.suppress.for,
    parameters: Object.entries(rule.params ?? {}).map(([name, value]) => ({
      ...{ name, kind: kindOf(value), value },
      ...uses.get(name)!,
    })),
    values: [...values],
    bands: rule.bands.map(({ severity, if: condition, score }) => ({ severity, if: condition, score })),
  };
}

const EXPECTED: Record<ParameterKind, { code: FieldProblem['code']; words: string; fits(value: unknown): boolean }> = {
  number: { code: 'number', words: 'a number', fits: (value) => Number.isFinite(value) },
  duration: {
    code: 'duration',
    words: 'a duration like 30m, 4h or 7d',
    fits: (value) => typeof value === 'string' && parseDuration(value) !== undefined,
  },
  text: { code: 'text', words: 'a text', fits: (value) => typeof value === 'string' },
  boolean: { code: 'boolean', words: 'true or false', fits: (value) => typeof value === 'boolean' },
  texts: {
    code: 'list',
    words: 'a list of texts',
    fits: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  },
  numbers: {
    code: 'list',
    words: 'a list of numbers',
    fits: (value) => Array.isArray(value) && value.every((item) => Number.isFinite(item)),
  },
};

/** What is wrong with the values themselves, before there is a text. */
function editProblems(form: RuleForm, edits: RuleEdits): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const problem = (field: string, code: FieldProblem['code'], message: string): void =>
    void problems.push({ field, code, message, line: 0, column: 0 });
  const isOneOf = (values: readonly string[], value: string): boolean => values.includes(value);
  const { status, suppressFor, parameters = {}, bands = [], removedBands = [] } = edits;
  if (status !== undefined && !isOneOf(STATUSES, status))
    problem('status', 'choice', `must be one of ${STATUSES.join(', ')}`);
  if (suppressFor !== undefined && !EXPECTED.duration.fits(suppressFor))
    problem('suppressFor', 'duration', `must be ${EXPECTED.duration.words}`);
  for (const [name, value] of Object.entries(parameters)) {
    const known = form.parameters.find((one) => one.name === name);
    if (known === undefined) problem(`parameters.${name}`, 'unknown', 'the rule has no such parameter');
    else if (!EXPECTED[known.kind].fits(value))
      problem(`parameters.${name}`, EXPECTED[known.kind].code, `must be ${EXPECTED[known.kind].words}`);
  }
  const removed = new Set(removedBands);
  const added = Math.max(0, bands.length - form.bands.length);
  const left = form.bands.length - removed.size + added;
  if (left < 1 || left > BANDS_MAX) problem('bands', 'bands', `a rule has 1 to ${BANDS_MAX} bands`);
  for (const index of removed)
    if (form.bands[index] === undefined) problem(`bands.${index}`, 'unknown', 'the rule has no such band');
  for (const [index, band] of bands.entries()) {
    const field = `bands.${index}`;
    const isNew = form.bands[index] === undefined;
    if (band === null && isNew) problem(`${field}.if`, 'text', 'a new band needs a condition');
    if (band === null || removed.has(index)) continue;
    const {
      severity = isNew ? '' : undefined,
      if: condition = isNew ? '' : undefined,
      score = isNew ? -1 : undefined,
    } = band;
    if (severity !== undefined && !isOneOf(SEVERITIES, severity))
      problem(`${field}.severity`, 'choice', `must be one of ${SEVERITIES.join(', ')}`);
    if (score !== undefined && !(Number.isInteger(score) && score >= 0 && score <= 100))
      problem(`${field}.score`, 'score', 'must be a whole number from 0 to 100');
    if (condition !== undefined && (condition.trim() === '' || condition.length > EXPRESSION_LENGTH_MAX))
      problem(`${field}.if`, 'text', `must be a condition of at most ${EXPRESSION_LENGTH_MAX} characters`);
  }
  return problems;
}

type Path = readonly (string | number)[];

/** The node at a path with the place where its text stands. */
function nodeAt(root: YamlNode | null, path: Path): YamlNode | undefined {
  let node: unknown = root;
  for (const key of path) {
    if (isMap(node)) {
      node = node.items.find((item) => (isScalar(item.key) ? item.key.value : item.key) === key)?.value;
    } else if (isSeq(node) && typeof key === 'number') node = node.items[key];
    else return undefined;
  }
  return (node as YamlNode | null | undefined) ?? undefined;
}

/** Words that need no quotes wherever they stand. */
const PLAIN = /^[A-Za-z][A-Za-z0-9 .<>=()_+*/-]*$/;

/** A value as YAML that may stand in a flow collection as well as on a line of its own. */
function inYaml(value: ParameterValue): string {
  if (Array.isArray(value)) return `[${value.map((item) => inYaml(item)).join(', ')}]`;
  if (typeof value !== 'string') return String(value);
  const isPlain = PLAIN.test(value) && value === value.trim() && stringify(value).trimEnd() === value;
  return isPlain || /^[0-9]+(\.[0-9]+)?[a-z]+$/.test(value) ? value : JSON.stringify(value);
}

/**
 * The text with these changes and its next version.
 * @param rule what the text says, parsed
 * @returns with the place that each band of the new text has in the form
 */
export function editRule(
  text: string,
  rule: Rule,
  edits: RuleEdits,
): { text: string; bandOrder: number[] } | { problems: FieldProblem[] } {
  const problems = editProblems(formOf(rule), edits);
  if (problems.length > 0) return { problems };
  const changes: { path: Path; value: ParameterValue }[] = [];
  const change = (path: Path, value: ParameterValue | undefined, before: ParameterValue | undefined): void => {
    if (value !== undefined && JSON.stringify(value) !== JSON.stringify(before)) changes.push({ path, value });
  };
  change(['status'], edits.status, rule.status);
  change(['suppress', 'for'], edits.suppressFor, rule.suppress.for);
  for (const [name, value] of Object.entries(edits.parameters ?? {}))
    change(['params', name], value, rule.params![name]);
  const removed = new Set(edits.removedBands ?? []);
  for (const [index, band] of (edits.bands ?? []).entries()) {
    if (band === null || removed.has(index) || rule.bands[index] === undefined) continue;
    for (const part of ['severity', 'if', 'score'] as const)
      change(['bands', index, part], band[part], rule.bands[index]![part]);
  }
  const bands = bandsOf(rule, edits, removed);
  const isOther = bands.some((band) => band.isNew) || bands.length < rule.bands.length;
  if (changes.length > 0 || isOther) changes.push({ path: ['version'], value: rule.version + 1 });
  const changed = withValues(text, changes);
  return { text: isOther ? withBands(changed, bands) : changed, bandOrder: bands.map(({ at }) => at) };
}

/** A band of the text that is to be: where it stands in the form, and all of it where it is new. */
interface PlacedBand {
  at: number;
  isNew: boolean;
  severity: string;
  if: string;
  score: number;
}

/** The bands that are left, in their order, and each new one behind the last that is not more severe. */
function bandsOf(rule: Rule, edits: RuleEdits, removed: ReadonlySet<number>): PlacedBand[] {
  const all = [...rule.bands, ...(edits.bands ?? []).slice(rule.bands.length)].map(
    (band, at): PlacedBand => ({
      ...(band as PlacedBand),
      ...(edits.bands?.[at] as Partial<PlacedBand> | null | undefined),
      at,
      isNew: at >= rule.bands.length,
    }),
  );
  const rankOf = ({ severity }: PlacedBand): number => SEVERITIES.indexOf(severity as Severity);
  const placed = all.filter(({ isNew, at }) => !isNew && !removed.has(at));
  for (const band of all.filter(({ isNew }) => isNew))
    placed.splice(placed.findLastIndex((one) => rankOf(one) <= rankOf(band)) + 1, 0, band);
  return placed;
}

/** The text with these bands: those that are gone are cut out, new ones are put in; the others are not touched. */
function withBands(text: string, bands: readonly PlacedBand[]): string {
  const list = nodeAt(parseDocument(text, { logLevel: 'error' }).contents as YamlNode | null, ['bands']);
  if (!isSeq(list)) throw new Error('the rule has no list of bands');
  const asYaml = (band: PlacedBand): string =>
    `{ severity: ${band.severity}, if: ${inYaml(band.if)}, score: ${band.score} }`;
  const spans = list.items.map((item) => (item as YamlNode).range!);
  if (list.flow === true) {
    const [from, to] = list.range!;
    const parts = bands.map((band) => (band.isNew ? asYaml(band) : text.slice(...spans[band.at]!.slice(0, 2))));
    return `${text.slice(0, from)}[${parts.join(', ')}]${text.slice(to)}`;
  }
  // Each item has lines of its own; comments above it belong to who wrote them and stay.
  const lineOf = (offset: number): number => text.lastIndexOf('\n', offset - 1) + 1;
  const endOf = (end: number): number => {
    if (text.charAt(end - 1) === '\n') return end;
    const next = text.indexOf('\n', end);
    return next < 0 ? text.length : next + 1;
  };
  const lines = spans.map(([from, to]) => ({ from: lineOf(from), to: endOf(to) }));
  const indent = /^\s*/.exec(text.slice(lines[0]!.from))![0];
  const kept = new Set(bands.filter(({ isNew }) => !isNew).map(({ at }) => at));
  const cuts = lines.flatMap((span, at) => (kept.has(at) ? [] : [{ ...span, value: '' }]));
  const additions = new Map<number, string>();
  let after = lines[0]!.from;
  for (const band of bands) {
    if (!band.isNew) after = lines[band.at]!.to;
    else additions.set(after, `${additions.get(after) ?? ''}${indent}- ${asYaml(band)}\n`);
  }
  const isOpenEnded = (offset: number): boolean => offset === text.length && !text.endsWith('\n');
  const places = [
    ...cuts,
    ...[...additions].map(([at, value]) => ({ from: at, to: at, value: (isOpenEnded(at) ? '\n' : '') + value })),
  ];
  return replaced(text, places);
}

/** Replaces from the end, so that what lies before keeps its place; of two that begin together what is cut goes first. */
function replaced(text: string, places: { from: number; to: number; value: string }[]): string {
  let changed = text;
  for (const { from, to, value } of places.toSorted((a, b) => b.from - a.from || b.to - a.to))
    changed = changed.slice(0, from) + value + changed.slice(to);
  return changed;
}

/** An older text as the next version of a rule. */
export const asVersion = (text: string, version: number): string =>
  withValues(text, [{ path: ['version'], value: version }]);

function withValues(text: string, changes: readonly { path: Path; value: ParameterValue }[]): string {
  const { contents } = parseDocument(text, { logLevel: 'error' });
  const places = changes.map(({ path, value }) => {
    const node = nodeAt(contents as YamlNode | null, path);
    if (node?.range === undefined || node.range === null) throw new Error(`the rule has nothing at ${path.join('.')}`);
    const [from, to] = node.range;
    // A folded text ends with its line.
    return { from, to, value: inYaml(value) + (text.slice(from, to).endsWith('\n') ? '\n' : '') };
  });
  return replaced(text, places);
}

/**
 * Problems of a text at the fields of the form that they stand in.
 * @param bandOrder the place that each band of the text has in the form, where that is another one
 */
export function atFields(
  text: string,
  problems: readonly RuleProblem[],
  bandOrder?: readonly number[],
): FieldProblem[] {
  const lines = new LineCounter();
  const { contents } = parseDocument(text, { lineCounter: lines, logLevel: 'error' });
  const paths: [string, Path][] = [
    ['status', ['status']],
    ['suppressFor', ['suppress', 'for']],
  ];
  const parameters = nodeAt(contents as YamlNode | null, ['params']);
  for (const { key } of isMap(parameters) ? parameters.items : []) {
    const name = String(isScalar(key) ? key.value : key);
    paths.push([`parameters.${name}`, ['params', name]]);
  }
  const bands = nodeAt(contents as YamlNode | null, ['bands']);
  for (const index of isSeq(bands) ? bands.items.keys() : []) {
    const field = `bands.${bandOrder?.[index] ?? index}`;
    for (const part of ['severity', 'if', 'score']) paths.push([`${field}.${part}`, ['bands', index, part]]);
    paths.push([field, ['bands', index]]);
  }
  const places = paths.flatMap(([field, path]) => {
    const range = nodeAt(contents as YamlNode | null, path)?.range;
    return range === undefined || range === null ? [] : [{ field, from: range[0], to: range[1] }];
  });
  return problems.map(({ line, column, message }) => {
    const offset = (lines.lineStarts[line - 1] ?? 0) + column - 1;
    const field = places.find(({ from, to }) => offset >= from && offset <= to)?.field ?? '';
    return { field, code: 'rule', message, line, column };
  });
}

/** What has changed from one text to another, with a few lines around. */
export function differenceOf(before: string, after: string): DiffHunk[] {
  const patch = structuredPatch('', '', before, after, '', '', {
    context: DIFF_CONTEXT_LINES,
    maxEditLength: DIFF_STEPS_MAX,
  });
  if (patch !== undefined) return patch.hunks.map(({ oldStart, newStart, lines }) => ({ oldStart, newStart, lines }));
  const all = (text: string, mark: string): string[] => text.split('\n').map((line) => mark + line);
  return [{ oldStart: 1, newStart: 1, lines: [...all(before, '-'), ...all(after, '+')] }];
}
