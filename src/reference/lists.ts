/**
 * Reference lists: what the operator knows before any record comes (hot number ranges, cells and where they stand, trunks,
 * tariffs, holidays, who is a subscriber). Each is one CSV file of the folder `lists` beside the rules and named after its
 * file; all have the same form, described in rules/lists/README.md. Rules ask them with `inList` and `fromList`.
 *
 * Lists belong to the rule set: they travel, are swapped and are stored together with the rule files, so that a replay sees
 * the list that was in force at each record. Looking up allocates nothing: full values are found in an open hash table of
 * numbers, ranges by halving, prefixes in a tree of digits.
 */

export const LIST_KINDS = [
  'number',
  'prefix',
  'range',
  'imsi',
  'imei',
  'cell',
  'trunk',
  'carrier',
  'plmn',
  'sender',
  'date',
] as const;
export type ListKind = (typeof LIST_KINDS)[number];

/** Columns whose text or number a rule may read with `fromList`. */
export const TEXT_COLUMNS = ['kind', 'class'] as const;
export const NUMBER_COLUMNS = ['latitude', 'longitude', 'ratePerMin'] as const;
export type TextColumn = (typeof TEXT_COLUMNS)[number];
export type NumberColumn = (typeof NUMBER_COLUMNS)[number];
const COLUMNS = ['kind', 'value', 'to', 'class', ...NUMBER_COLUMNS, 'note'] as const;

/** Folder of the lists, inside that of the rules. */
export const LISTS_FOLDER = 'lists';
/** Lies in the same folder, has a form of its own and comes with the program; see numbering-plan.ts. */
export const NUMBERING_PLAN = 'numbering-plan.csv';
export const LISTS_MAX = 200;
export const LIST_ROWS_MAX = 2_000_000;
export const LIST_BYTES_MAX = 48 * 1024 * 1024;
export const LIST_CELL_MAX = 256;
/** Different texts in the column `class` of one list. */
export const LIST_CLASSES_MAX = 1_000;
/** Problems shown of one list; a file that is no list at all would give thousands. */
export const LIST_PROBLEMS_MAX = 20;

/** One thing that is wrong with a list: shown as `file:line:column: message`, like those of rules. */
export interface ListProblem {
  file: string;
  line: number;
  column: number;
  message: string;
}

export interface ReferenceList {
  name: string;
  /** Number of its rows. */
  size: number;
  /** The row that the value falls under: a full value before a range, a range before the longest prefix; -1: in none. */
  find(value: string): number;
  /** '' where the cell is empty. */
  textAt(row: number, column: TextColumn): string;
  /** NaN where the cell is empty. */
  numberAt(row: number, column: NumberColumn): number;
  /** Full values of a kind, for what is looked up in another way than by text. */
  valuesOf(kind: ListKind): string[];
}

export interface ReferenceLists {
  /** As they were read, in the order of their names. */
  files: readonly { file: string; text: string }[];
  get(name: string): ReferenceList | undefined;
  names(): string[];
}

/** `lists/iprn.csv` is the list `iprn`. */
export const listFile = (name: string): string => `${LISTS_FOLDER}/${name}.csv`;
export const isListFile = (file: string): boolean => file.startsWith(`${LISTS_FOLDER}/`) && file.endsWith('.csv');
const nameOf = (file: string): string => file.slice(LISTS_FOLDER.length + 1, -'.csv'.length);
const isListName = (name: string): boolean => /^[a-z][A-Za-z0-9-]{0,63}$/.test(name);

const DIGITS = /^[0-9]+$/;
const LENGTHS: Partial<Record<ListKind, readonly [least: number, most: number]>> = {
  number: [2, 15],
  prefix: [1, 15],
  range: [3, 15],
  imsi: [14, 15],
  imei: [14, 16],
  plmn: [5, 6],
};

/** All lists among the files of a rule set. Problems come with the place; a list that has some is left out. */
export function parseLists(files: readonly { file: string; text: string }[]): {
  lists: ReferenceLists;
  problems: ListProblem[];
} {
  const problems: ListProblem[] = [];
  const found = new Map<string, ReferenceList>();
  const own = files.filter(({ file }) => isListFile(file));
  if (own.length > LISTS_MAX)
    problems.push({ file: own[LISTS_MAX]!.file, line: 1, column: 1, message: `more than ${LISTS_MAX} lists` });
  for (const { file, text } of own) {
    const parsed = parseList(file, text);
    if ('list' in parsed) found.set(parsed.list.name, parsed.list);
    else problems.push(...parsed.problems);
  }
  return { lists: { files: own, get: (name) => found.get(name), names: () => [...found.keys()] }, problems };
}

/** What a rule sees of a list that is not there, where that is no error: a rule test that does not bring it. */
export const EMPTY_LIST: ReferenceList = {
  name: '',
  size: 0,
  find: () => -1,
  textAt: () => '',
  numberAt: () => Number.NaN,
  valuesOf: () => [],
};

export interface ListSummary {
  name: string;
  rows: number;
  kinds: Partial<Record<ListKind, number>>;
}

export function listSummary(list: ReferenceList): ListSummary {
  const kinds: ListSummary['kinds'] = {};
  for (const kind of LIST_KINDS) {
    const count = list.valuesOf(kind).length;
    if (count > 0) kinds[kind] = count;
  }
  return { name: list.name, rows: list.size, kinds };
}

/** A list from rows given as keys and values, as tests of rules write them. */
export function listText(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const columns = [...new Set(['kind', 'value', ...rows.flatMap((row) => Object.keys(row))])];
  const cell = (value: string | number | undefined): string => `"${String(value ?? '').replaceAll('"', '""')}"`;
  return [columns.join(','), ...rows.map((row) => columns.map((column) => cell(row[column])).join(','))].join('\n');
}

/**
 * The text of a list with one entry more, or the same text where an entry of that kind and value is there.
 * @param text undefined where there is no such list yet
 */
export function withListEntry(
  text: string | undefined,
  entry: { kind: string; value: string; note?: string },
): { text: string; added: boolean } {
  const quoted = (cell: string): string => (/[",\r\n#]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const lines = (text ?? 'kind,value,note\n').split('\n').map((line) => line.replace(/\r$/, ''));
  const rows = lines.filter((line) => line.trim() !== '' && !line.startsWith('#')).map((line) => cellsOf(line) ?? []);
  const columns = rows[0]?.map((cell) => cell.text) ?? [];
  const cellAt = (row: { text: string }[], column: string): string => row[columns.indexOf(column)]?.text ?? '';
  if (rows.some((row) => cellAt(row, 'kind') === entry.kind && cellAt(row, 'value') === entry.value)) {
    return { text: lines.join('\n'), added: false };
  }
  const cells: Readonly<Record<string, string | undefined>> = entry;
  while (lines.at(-1) === '') lines.pop();
  return {
    text: `${[...lines, columns.map((column) => quoted(cells[column] ?? '')).join(',')].join('\n')}\n`,
    added: true,
  };
}

export function parseList(file: string, text: string): { list: ReferenceList } | { problems: ListProblem[] } {
  const problems: ListProblem[] = [];
  let line = 1;
  /** Columns of a text count characters from 1. */
  const problem = (at: number, message: string): void => {
    if (problems.length < LIST_PROBLEMS_MAX) problems.push({ file, line, column: at + 1, message });
  };
  const name = nameOf(file);
  if (!isListName(name)) problem(0, `'${name}' is no name of a list: a small letter, then letters, digits and '-'`);
  if (Buffer.byteLength(text) > LIST_BYTES_MAX) problem(0, `the list is larger than ${LIST_BYTES_MAX} bytes`);
  if (problems.length > 0) return { problems };

  let columns: (typeof COLUMNS)[number][] = [];
  const kinds: number[] = [];
  const classes: number[] = [];
  const classNames: string[] = [''];
  const classOf = new Map<string, number>([['', 0]]);
  const figures: Record<NumberColumn, number[]> = { latitude: [], longitude: [], ratePerMin: [] };
  const values: string[] = [];
  const exact = new Map<string, number>();
  const prefixes = new Map<string, number>();
  let prefixDigits = 0;
  const ranges: { from: number; to: number; row: number; line: number }[] = [];

  for (const [index, raw] of text.split('\n').entries()) {
    line = index + 1;
    const row = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (row.trim() === '' || row.startsWith('#')) continue;
    const cells = cellsOf(row);
    if (cells === undefined) {
      problem(row.lastIndexOf('"'), 'the quotes are not closed');
      continue;
    }
    if (columns.length === 0) {
      columns = cells.map(({ text: column }) => column as (typeof COLUMNS)[number]);
      cells.forEach(({ text: column, at }, place) => {
        if (!(COLUMNS as readonly string[]).includes(column))
          problem(at, `'${column}' is no column; known are ${COLUMNS.join(', ')}`);
        else if (columns.indexOf(column as (typeof COLUMNS)[number]) !== place)
          problem(at, `the column '${column}' is there twice`);
      });
      for (const needed of ['kind', 'value'] as const)
        if (!columns.includes(needed)) problem(0, `the header needs the column '${needed}'`);
      if (problems.length > 0) return { problems };
      continue;
    }
    if (cells.length !== columns.length) {
      problem(cells.at(-1)!.at, `expected ${columns.length} cells, found ${cells.length}`);
      continue;
    }
    if (values.length >= LIST_ROWS_MAX) {
      problem(0, `a list has at most ${LIST_ROWS_MAX} rows`);
      break;
    }
    const before = problems.length;
    const cell = (column: (typeof COLUMNS)[number]): { text: string; at: number } =>
      cells[columns.indexOf(column)] ?? { text: '', at: 0 };
    for (const { text: content, at } of cells)
      if (content.length > LIST_CELL_MAX) problem(at, `the cell is longer than ${LIST_CELL_MAX} characters`);
    const { text: kindText, at: kindAt } = cell('kind');
    const kind = LIST_KINDS.indexOf(kindText as ListKind);
    if (kind < 0) {
      problem(kindAt, `'${kindText}' is no kind; known are ${LIST_KINDS.join(', ')}`);
      continue;
    }
    const { text: value, at: valueAt } = cell('value');
    checkValue(kindText as ListKind, value, (message) => problem(valueAt, message));
    const to = cell('to');
    if (kindText === 'range') {
      if (to.text.length !== value.length || !DIGITS.test(to.text) || to.text < value)
        problem(to.at, `a range ends with a number of ${value.length} digits that is not before ${value}`);
    } else if (to.text !== '') problem(to.at, "only a 'range' has an end");
    for (const column of NUMBER_COLUMNS) {
      if (!columns.includes(column)) continue;
      const { text: content, at } = cell(column);
      const number = content === '' ? Number.NaN : Number(content);
      const most = column === 'latitude' ? 90 : column === 'longitude' ? 180 : 1e6;
      if (content !== '' && !(number >= (column === 'ratePerMin' ? 0 : -most) && number <= most))
        problem(at, `'${content}' is no ${column}: a number ${column === 'ratePerMin' ? 'from 0' : `up to ${most}`}`);
      figures[column].push(number);
    }
    if ((cell('latitude').text === '') !== (cell('longitude').text === ''))
      problem(cell('latitude').at, 'a place needs latitude and longitude');
    const className = cell('class').text;
    let classId = classOf.get(className);
    if (classId === undefined) {
      if (classNames.length > LIST_CLASSES_MAX) problem(cell('class').at, `more than ${LIST_CLASSES_MAX} classes`);
      classId = classNames.push(className) - 1;
      classOf.set(className, classId);
    }
    // A list with problems is thrown away; its other rows are only read to find more of them.
    if (problems.length >= LIST_PROBLEMS_MAX) break;
    if (problems.length > before) continue;
    const at = values.push(value) - 1;
    kinds.push(kind);
    classes.push(classId);
    if (kindText === 'range') {
      ranges.push({ from: digitsOf(value), to: digitsOf(to.text), row: at, line });
      continue;
    }
    const places = kindText === 'prefix' ? prefixes : exact;
    if (places.has(value)) problem(valueAt, `'${value}' has a row already`);
    places.set(value, at);
    if (kindText === 'prefix') prefixDigits += value.length;
  }
  if (columns.length === 0 && problems.length === 0) {
    line = 1;
    problem(0, `the list has no header; its columns are ${COLUMNS.join(', ')}, of which kind and value are needed`);
  }
  ranges.sort((a, b) => a.from - b.from);
  for (let index = 1; index < ranges.length; index++) {
    if (ranges[index]!.from > ranges[index - 1]!.to) continue;
    line = ranges[index]!.line;
    problem(0, `the range overlaps that of line ${ranges[index - 1]!.line}`);
  }
  if (problems.length > 0) return { problems };

  const table = hashTable(exact);
  const tree = digitTree(prefixes, prefixDigits);
  const from = Float64Array.from(ranges, (range) => range.from);
  const last = Float64Array.from(ranges, (range) => range.to);
  const rangeRow = Int32Array.from(ranges, (range) => range.row);
  const inRange = (value: string): number => {
    const number = digitsOf(value);
    let low = 0;
    let high = from.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (from[middle]! <= number) low = middle + 1;
      else high = middle;
    }
    return low > 0 && number <= last[low - 1]! ? rangeRow[low - 1]! : -1;
  };
  const kindAt = Uint8Array.from(kinds);
  const classAt = Uint16Array.from(classes);
  const numbers = Object.fromEntries(
    NUMBER_COLUMNS.map((column) => [column, Float64Array.from(figures[column])]),
  ) as Record<NumberColumn, Float64Array>;
  return {
    list: {
      name,
      size: values.length,
      find(value) {
        if (value === '') return -1;
        if (exact.size > 0) {
          const row = table(value);
          if (row >= 0) return row;
        }
        if (from.length > 0) {
          const row = inRange(value);
          if (row >= 0) return row;
        }
        return prefixes.size > 0 ? tree(value) : -1;
      },
      textAt: (row, column) =>
        row < 0 ? '' : column === 'kind' ? LIST_KINDS[kindAt[row]!]! : classNames[classAt[row]!]!,
      numberAt: (row, column) => (row < 0 ? Number.NaN : (numbers[column][row] ?? Number.NaN)),
      valuesOf: (kind) => values.filter((_, row) => kindAt[row] === LIST_KINDS.indexOf(kind)),
    },
  };
}

function checkValue(kind: ListKind, value: string, problem: (message: string) => void): void {
  if (value === '') {
    problem('the value is empty');
    return;
  }
  if (kind === 'date') {
    const date = new Date(`${value}T00:00:00Z`);
    if (!/^\d{4}-\d\d-\d\d$/.test(value) || Number.isNaN(date.getTime()) || !date.toISOString().startsWith(value))
      problem(`'${value}' is no date such as 2026-01-31`);
    return;
  }
  const lengths = LENGTHS[kind];
  if (lengths === undefined) return;
  const [least, most] = lengths;
  if (!DIGITS.test(value) || value.length < least || value.length > most)
    problem(`'${value}' is no ${kind}: ${least} to ${most} digits`);
}

/** Cells of one line with the place of each; undefined where quotes are not closed. Quotes are needed around commas only. */
export function cellsOf(line: string): { text: string; at: number }[] | undefined {
  const cells: { text: string; at: number }[] = [];
  let at = 0;
  while (at <= line.length) {
    if (line[at] === '"') {
      let text = '';
      let index = at + 1;
      for (;;) {
        const quote = line.indexOf('"', index);
        if (quote < 0) return undefined;
        text += line.slice(index, quote);
        index = quote + 1;
        if (line[index] !== '"') break;
        text += '"';
        index++;
      }
      cells.push({ text, at });
      const comma = line.indexOf(',', index);
      at = comma < 0 ? line.length + 1 : comma + 1;
      continue;
    }
    const comma = line.indexOf(',', at);
    const end = comma < 0 ? line.length : comma;
    cells.push({ text: line.slice(at, end).trim(), at });
    at = end + 1;
  }
  return cells;
}

/** Digits behind a leading 1, which keeps lengths and leading zeros apart; NaN for other text. */
function digitsOf(text: string): number {
  const { length } = text;
  if (length === 0 || length > 15) return Number.NaN;
  let number = 1;
  for (let index = 0; index < length; index++) {
    const digit = text.charCodeAt(index) ^ 0x30;
    if (digit > 9) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

/**
 * A Map of strings hashes a string again for every record, because each record brings new ones, and keeps every text alive.
 * Here a value becomes a number (exact for digits), and one probe of typed memory answers most questions.
 */
function hashTable(rows: ReadonlyMap<string, number>): (value: string) => number {
  let capacity = 8;
  while (capacity < rows.size * 2) capacity *= 2;
  const mask = capacity - 1;
  const keys = new Float64Array(capacity);
  const rowAt = new Int32Array(capacity);
  const texts = new Map<string, number>();
  for (const [value, row] of rows) {
    const key = digitsOf(value);
    if (!(key > 0)) {
      texts.set(value, row);
      continue;
    }
    let slot = slotOf(key) & mask;
    while (keys[slot] !== 0) slot = (slot + 1) & mask;
    keys[slot] = key;
    rowAt[slot] = row;
  }
  return (value) => {
    const key = digitsOf(value);
    if (!(key > 0)) return texts.size === 0 ? -1 : (texts.get(value) ?? -1);
    for (let slot = slotOf(key) & mask; ; slot = (slot + 1) & mask) {
      const found = keys[slot]!;
      if (found === key) return rowAt[slot]!;
      if (found === 0) return -1;
    }
  };
}

/** Numbers of one operator differ in their last digits; both halves take part. */
function slotOf(key: number): number {
  let hash = Math.imul(key | 0, 0x9e3779b1) ^ Math.imul((key * 2.3283064365386963e-10) | 0, 0x85ebca6b);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The row of the longest prefix. Ten children a node, 0 for none, since nothing leads back to the root. */
function digitTree(rows: ReadonlyMap<string, number>, digits: number): (value: string) => number {
  const children = new Int32Array(10 * (digits + 1));
  const rowAt = new Int32Array(digits + 1).fill(-1);
  let nodes = 1;
  for (const [prefix, row] of rows) {
    let node = 0;
    for (let index = 0; index < prefix.length; index++) {
      const slot = 10 * node + (prefix.charCodeAt(index) ^ 0x30);
      if (children[slot] === 0) children[slot] = nodes++;
      node = children[slot]!;
    }
    rowAt[node] = row;
  }
  return (value) => {
    let node = 0;
    let row = -1;
    for (let index = 0; index < value.length; index++) {
      const digit = value.charCodeAt(index) ^ 0x30;
      if (digit > 9) return -1;
      node = children[10 * node + digit]!;
      if (node === 0) break;
      if (rowAt[node]! >= 0) row = rowAt[node]!;
    }
    return row;
  };
}
