/**
 * Changes of a reference list by people, row by row: what a CSV file would add, and a row that ends. Other rows, comments and the
 * order of columns stay as they are, so that the file remains the operator's own.
 */
import { cellsOf, LIST_PROBLEMS_MAX, type ListProblem, listFile, parseList } from './lists.ts';

/** What is wrong with a file, by its own lines. */
export type RowProblem = Pick<ListProblem, 'line' | 'column' | 'message'>;

export interface ImportPlan {
  /** The list as it would be; the same where nothing is new. */
  text: string;
  /** Rows that are new, and such whose kind and value the list has already, which stay as they are. */
  added: number;
  present: number;
  problems: RowProblem[];
}

/** A row as people read it; only the columns that say something. */
export type ListRow = Record<string, string>;

const linesOf = (text: string): string[] =>
  text
    .replace(/^\ufeff/, '')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''));
const isRow = (line: string): boolean => line.trim() !== '' && !line.startsWith('#');
const quoted = (cell: string): string => (/[",\r\n#]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const textsOf = (line: string): string[] => (cellsOf(line) ?? []).map(({ text }) => text);
const keyOf = (row: ListRow): string => `${row['kind']} ${row['value']}`;

function rowOf(columns: readonly string[], line: string): ListRow {
  const cells = textsOf(line);
  return Object.fromEntries(columns.map((column, at) => [column, cells[at] ?? '']).filter(([, cell]) => cell !== ''));
}

/**
 * What the rows of a CSV file add to a list.
 * @param text undefined where there is no such list yet
 */
export function importPlan(name: string, text: string | undefined, csv: string): ImportPlan {
  const incoming = linesOf(csv);
  const parsed = parseList(listFile(name), incoming.join('\n'));
  const nothing = { text: text ?? '', added: 0, present: 0 };
  if ('problems' in parsed) return { ...nothing, problems: parsed.problems.map(withoutFile) };
  if (text === undefined) {
    return { text: `${incoming.join('\n').trimEnd()}\n`, added: parsed.list.size, present: 0, problems: [] };
  }
  const lines = linesOf(text);
  while (lines.at(-1) === '') lines.pop();
  const own = lines.filter(isRow);
  const columns = textsOf(own[0] ?? '');
  const known = new Set(own.slice(1).map((line) => keyOf(rowOf(columns, line))));

  const headAt = incoming.findIndex(isRow);
  const head = textsOf(incoming[headAt]!);
  const problems: RowProblem[] = [];
  /** Line of the file behind each line that is added. */
  const lineBehind = new Map<number, number>();
  let present = 0;
  for (const [at, line] of incoming.entries()) {
    if (at <= headAt || !isRow(line)) continue;
    const row = rowOf(head, line);
    if (known.has(keyOf(row))) {
      present += 1;
      continue;
    }
    for (const column of Object.keys(row)) {
      if (!columns.includes(column) && problems.length < LIST_PROBLEMS_MAX)
        problems.push({ line: at + 1, column: 1, message: `the list has no column '${column}'` });
    }
    lineBehind.set(lines.push(columns.map((column) => quoted(row[column] ?? '')).join(',')), at + 1);
  }
  if (problems.length > 0) return { ...nothing, problems };
  if (lineBehind.size === 0) return { text, added: 0, present, problems };
  const merged = `${lines.join('\n')}\n`;
  const whole = parseList(listFile(name), merged);
  if ('problems' in whole) {
    const shown = whole.problems.map((one) => ({ ...withoutFile(one), line: lineBehind.get(one.line) ?? one.line }));
    return { ...nothing, problems: shown };
  }
  return { text: merged, added: lineBehind.size, present, problems };
}

const withoutFile = ({ line, column, message }: ListProblem): RowProblem => ({ line, column, message });

/** The list without a row; undefined where it has none of that kind and value. */
export function withoutListRow(text: string, { kind, value }: { kind: string; value: string }): string | undefined {
  const lines = linesOf(text);
  const headAt = lines.findIndex(isRow);
  const columns = textsOf(lines[headAt] ?? '');
  const at = lines.findIndex(
    (line, place) => place > headAt && isRow(line) && keyOf(rowOf(columns, line)) === keyOf({ kind, value }),
  );
  if (at < 0) return undefined;
  return lines.toSpliced(at, 1).join('\n');
}

/**
 * Rows of a list in their order, without looking at more of it than is needed: lists may have millions.
 * @param options.offset place in the text to go on from, `next` of the page before
 * @param options.contains only rows that hold this text
 */
export function listPage(
  text: string,
  { offset = 0, limit, contains = '' }: { offset?: number | undefined; limit: number; contains?: string | undefined },
): { rows: ListRow[]; next: number | null } {
  let columns: string[] | undefined;
  const rows: ListRow[] = [];
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf('\n', at);
    const lineEnd = end < 0 ? text.length : end;
    const line = text.slice(at, lineEnd).replace(/^\ufeff|\r$/g, '');
    const begin = at;
    at = lineEnd + 1;
    if (!isRow(line)) continue;
    if (columns === undefined) {
      columns = textsOf(line);
      at = Math.max(at, offset);
    } else if (line.includes(contains)) {
      if (rows.length === limit) return { rows, next: begin };
      rows.push(rowOf(columns, line));
    }
    if (contains !== '' && columns !== undefined) {
      // Straight to the next line that can be one.
      const found = text.indexOf(contains, at);
      if (found < 0) break;
      at = Math.max(at, text.lastIndexOf('\n', found) + 1);
    }
  }
  return { rows, next: null };
}
