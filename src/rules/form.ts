/**
 * A YAML file and the schema that gives its form: rules, models and tariffs are read and checked here. What is wrong is said with
 * line and column, once for each cause, and with what was probably meant.
 */
import type { Compile } from 'typebox/compile';
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit, type Node as YamlNode } from 'yaml';
import { closestName } from './compile.ts';

/** Larger files are refused before they are parsed. */
export const FILE_BYTES_MAX = 256 * 1024;
/** Problems shown of one file; a file that is no rule at all would give thousands. */
export const PROBLEMS_PER_FILE_MAX = 20;

/** One thing that is wrong with a file: shown as `file:line:column: message`. */
export interface RuleProblem {
  file: string;
  line: number;
  column: number;
  message: string;
}

export const describeProblem = (problem: RuleProblem): string =>
  `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;

/** Where the value at this path stands in its file, plus `offset` characters inside a text. */
export type PositionOf = (path: readonly (string | number)[], offset?: number) => { line: number; column: number };

type SchemaError = ReturnType<ReturnType<typeof Compile>['Errors']>[number];

export interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  patternProperties?: Record<string, SchemaNode>;
}

/** A YAML file of the form that a schema gives, with the way back from its parts to lines and columns. */
export function parseForm<T>(
  file: string,
  content: string,
  form: { checker: { Check(value: unknown): boolean; Errors(value: unknown): SchemaError[] }; schema: SchemaNode },
): { value: T; positionOf: PositionOf } | { problems: RuleProblem[] } {
  const { checker, schema } = form;
  if (Buffer.byteLength(content) > FILE_BYTES_MAX) {
    return {
      problems: [{ file, line: 1, column: 1, message: `the file is larger than ${FILE_BYTES_MAX} bytes` }],
    };
  }
  const lines = new LineCounter();
  const document = parseDocument(content, {
    lineCounter: lines,
    uniqueKeys: true,
    prettyErrors: false,
    logLevel: 'error',
  });
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    return {
      problems: document.errors
        .slice(0, PROBLEMS_PER_FILE_MAX)
        .map((error) => ({ file, ...at(error.pos[0]), message: error.message })),
    };
  }
  const nodeAt = (path: readonly (string | number)[]): YamlNode | null => {
    let node = document.contents as YamlNode | null;
    for (let depth = 0; depth < path.length; depth++) {
      const key = path[depth]!;
      if (isMap(node)) {
        const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(key));
        if (pair === undefined) return node;
        // A value that is absent (`where:` and nothing behind it) is shown at its key.
        node = (pair.value ?? pair.key) as YamlNode;
      } else {
        const next = document.getIn(path.slice(0, depth + 1), true) as YamlNode | undefined;
        if (next === undefined) return node;
        node = next;
      }
    }
    return node;
  };
  const positionOf = (path: readonly (string | number)[], offset = 0): { line: number; column: number } => {
    const node = nodeAt(path);
    const start = node?.range?.[0] ?? 0;
    // Inside quotes the text begins one character later. In folded texts the column is that of the text's begin.
    const quoted = isScalar(node) && (node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE') ? 1 : 0;
    const folded = isScalar(node) && (node.type === 'BLOCK_FOLDED' || node.type === 'BLOCK_LITERAL');
    return at(start + (folded ? 0 : quoted + offset));
  };
  const keyPositionOf = (path: readonly string[]): { line: number; column: number } => {
    const parent = nodeAt(path.slice(0, -1));
    const pair = isMap(parent)
      ? parent.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === path.at(-1))
      : undefined;
    return at((pair?.key as YamlNode | undefined)?.range?.[0] ?? parent?.range?.[0] ?? 0);
  };

  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // An alias that leads nowhere, or to itself in the end; or brackets nested by the thousand.
    return { problems: [{ file, ...at(badAlias(document)), message: (error as Error).message }] };
  }
  if (!checker.Check(value)) {
    const problems = new Map<string, RuleProblem>();
    for (const error of relevantErrors(checker.Errors(value))) {
      const path = error.instancePath
        .split('/')
        .slice(1)
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
      const where = path.join('.');
      const params = error.params as Record<string, unknown>;
      // An unknown key is reported once, with the keys that exist; the parent's error of the same cause is left out.
      if (error.keyword === 'additionalProperties') continue;
      const message =
        error.keyword === 'boolean'
          ? unknownKey(path, schema)
          : error.keyword === 'enum'
            ? `'${where}' must be one of ${(params['allowedValues'] as unknown[]).join(', ')}`
            : error.keyword === 'required'
              ? `missing key '${(params['requiredProperties'] as string[]).join("', '")}'${where === '' ? '' : ` in '${where}'`}`
              : where === ''
                ? 'the file holds no keys and values'
                : `'${where}' ${error.message}`;
      const { line, column } = error.keyword === 'boolean' ? keyPositionOf(path) : positionOf(path);
      const key = `${line}:${column}:${error.keyword === 'boolean' ? 'unknown' : ''}`;
      if (!problems.has(key)) problems.set(key, { file, line, column, message });
    }
    return { problems: [...problems.values()].slice(0, PROBLEMS_PER_FILE_MAX) };
  }
  return { value: value as T, positionOf };
}

/**
 * Where a value may have several forms (a type or a list of types), each form that does not fit reports an error. Only those
 * of the form that was meant are of use: the one whose outermost kind fits. Where none does, one error names them all.
 */
function relevantErrors(errors: SchemaError[]): SchemaError[] {
  const unions = errors.filter(({ keyword }) => keyword === 'anyOf');
  unions.sort((a, b) => a.schemaPath.length - b.schemaPath.length);
  let left = errors;
  for (const union of unions) {
    const prefix = `${union.schemaPath}/anyOf/`;
    const formOf = (error: SchemaError): string => error.schemaPath.slice(prefix.length).split('/')[0]!;
    const isOurs = (error: SchemaError): boolean =>
      error.schemaPath.startsWith(prefix) && error.instancePath.startsWith(union.instancePath);
    const ours = left.filter(isOurs);
    // An outer union has already chosen another form.
    if (!left.includes(union)) continue;
    const atTop = ours.filter(
      ({ instancePath, keyword }) => instancePath === union.instancePath && (keyword === 'type' || keyword === 'enum'),
    );
    const unfit = new Set(atTop.map(formOf));
    const fit = ours.find((error) => !unfit.has(formOf(error)));
    left = left.filter((error) => error !== union && (!isOurs(error) || (fit && formOf(error) === formOf(fit))));
    if (fit !== undefined) continue;
    const forms = atTop.map(({ keyword, params }) =>
      keyword === 'enum'
        ? `one of ${(params as { allowedValues: string[] }).allowedValues.join(', ')}`
        : String((params as { type: string }).type),
    );
    const message = `must be ${[...new Set(forms)].join(' or ')}`;
    left.push({ ...union, message });
  }
  return left;
}

/** Says what was probably meant, else what there is. */
function unknownKey(path: readonly string[], schema: SchemaNode): string {
  let node: SchemaNode | undefined = schema;
  for (const part of path.slice(0, -1)) {
    node = node?.properties?.[part] ?? node?.items ?? Object.values(node?.patternProperties ?? {})[0];
  }
  const name = path.at(-1)!;
  if (node?.patternProperties !== undefined) {
    return `'${name}' is no name: a small letter, then letters and digits`;
  }
  const known = Object.keys(node?.properties ?? {});
  const close = closestName(name, known);
  return `unknown key '${name}'; ${close === undefined ? `known are ${known.join(', ')}` : `did you mean '${close}'?`}`;
}

/** Where the first alias without an anchor stands, else the first alias. */
function badAlias(document: Document): number {
  const at: number[] = [];
  visit(document, {
    Alias(_key, alias) {
      const { range } = alias;
      if (range) at.push(alias.resolve(document) === undefined ? -1 - range[0] : range[0]);
    },
  });
  const missing = at.find((offset) => offset < 0);
  return missing === undefined ? (at[0] ?? 0) : -1 - missing;
}
