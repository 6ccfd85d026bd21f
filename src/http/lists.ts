/**
 * Reference lists over HTTP: which there are, what is in them, and changes of their rows. A CSV file is looked at first
 * (`preview=true`: what it would add, what is wrong with it line by line), and is taken over whole or not at all.
 */
import { type Static, Type } from 'typebox';
import { type ImportPlan, type ListRow, listPage } from '../reference/list-rows.ts';
import { LIST_KINDS, type ListSummary } from '../reference/lists.ts';
import { ProblemError } from './problem.ts';
import { jsonReader, mediaTypeOf, textOf } from './request.ts';
import { json, type Routes } from './route.ts';

/** Lists as the desks see them. */
export interface ListsAccess {
  all(): ListSummary[];
  /** The file of a list as it is in force; undefined where there is none. */
  text(list: string): string | undefined;
  /** Adds an entry; `problem`: why it cannot be one. */
  add(
    list: string,
    entry: { kind: string; value: string; note?: string },
  ): Promise<{ added: boolean } | { problem: string }>;
  /** Adds the rows of a CSV file that are new; with `preview` or where something is wrong, nothing is changed. */
  importRows(list: string, csv: string, preview: boolean): Promise<Omit<ImportPlan, 'text'>>;
  /** Ends a row; false where there is none. */
  remove(list: string, row: { kind: string; value: string }): Promise<boolean>;
}

const ROWS_PER_PAGE_MAX = 500;
const kind = Type.Enum([...LIST_KINDS], { type: 'string' });

export const ListsSchema = Type.Object(
  {
    lists: Type.Array(
      Type.Object({
        name: Type.String(),
        rows: Type.Integer(),
        kinds: Type.Record(Type.Enum([...LIST_KINDS], { type: 'string' }), Type.Integer(), {
          description: 'Entries of each kind.',
        }),
      }),
    ),
  },
  { $id: 'Lists' },
);

const ListParamsSchema = Type.Object({
  name: Type.String({ pattern: '^[a-z][A-Za-z0-9-]{0,63}$', description: 'Name of the list.' }),
});
const ListQuerySchema = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: ROWS_PER_PAGE_MAX, default: 100 })),
    cursor: Type.Optional(Type.Integer({ minimum: 0, description: '`next` of the page before.' })),
    contains: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'Only rows that hold this; for who sees whole numbers.',
      }),
    ),
  },
  { additionalProperties: false },
);
type ListQuery = Static<typeof ListQuerySchema>;
const ImportQuerySchema = Type.Object(
  {
    preview: Type.Optional(
      Type.Enum(['true', 'false'], { type: 'string', description: 'Says what would happen, and changes nothing.' }),
    ),
  },
  { additionalProperties: false },
);
export const ListRowsSchema = Type.Object(
  {
    name: Type.String(),
    rows: Type.Array(Type.Record(Type.String(), Type.String()), {
      description: 'Cells by column, empty ones left out.',
    }),
    next: Type.Union([Type.Integer(), Type.Null()]),
  },
  { $id: 'ListRows' },
);
export const ListImportSchema = Type.Object(
  {
    applied: Type.Boolean({ description: 'The rows are in force.' }),
    added: Type.Integer({ description: 'Rows that are new.' }),
    present: Type.Integer({ description: 'Rows whose kind and value the list has: they stay as they are.' }),
    problems: Type.Array(Type.Object({ line: Type.Integer(), column: Type.Integer(), message: Type.String() }), {
      description: 'What is wrong with the file; then nothing of it is taken over.',
    }),
  },
  { $id: 'ListImport' },
);
export const ListEntrySchema = Type.Object(
  {
    kind,
    value: Type.String({ minLength: 1, maxLength: 256 }),
    note: Type.Optional(Type.String({ maxLength: 200 })),
  },
  { $id: 'ListEntry', additionalProperties: false },
);

export function addListRoutes(routes: Routes, lists: ListsAccess): void {
  const known = (name: string): string => {
    const text = lists.text(name);
    if (text === undefined) throw new ProblemError(404, 'There is no list of this name.');
    return text;
  };

  routes.add(
    {
      method: 'GET',
      url: '/v1/lists',
      id: 'listLists',
      summary: 'Reference lists that rules ask.',
      answers: { 200: { description: 'Their names and sizes.', content: json('Lists') } },
      problems: [],
    },
    async () => ({ lists: lists.all() }),
  );

  routes.add<ListQuery, { name: string }>(
    {
      method: 'GET',
      url: '/v1/lists/:name/rows',
      id: 'getListRows',
      summary: 'Rows of a list, in their order.',
      params: ListParamsSchema,
      query: ListQuerySchema,
      answers: { 200: { description: 'A page.', content: json('ListRows') } },
      problems: [400, 404],
    },
    async (request) => {
      const { limit = 100, cursor, contains } = request.query;
      const { name } = request.params;
      // Whoever sees masked numbers could find the others out digit by digit.
      if (contains !== undefined && request.principal.numbers !== 'full') {
        throw new ProblemError(403, 'Only who sees whole numbers may search a list for one.');
      }
      const page: { rows: ListRow[]; next: number | null } = listPage(known(name), { limit, offset: cursor, contains });
      return { name, ...page };
    },
  );

  routes.add<Static<typeof ImportQuerySchema>, { name: string }>(
    {
      method: 'POST',
      url: '/v1/lists/:name/import',
      id: 'importListRows',
      summary: 'Add the rows of a CSV file to a list; a list that does not exist begins with them.',
      params: ListParamsSchema,
      query: ImportQuerySchema,
      body: {
        description: 'The form of a list: a head with `kind` and `value`.',
        content: { 'text/csv': { type: 'string' } },
      },
      answers: { 200: { description: 'What was, or would be, added.', content: json('ListImport') } },
      problems: [400, 404, 413, 415, 422, 503],
    },
    async (request) => {
      mediaTypeOf(request, ['text/csv']);
      const csv = textOf(request);
      const isPreview = request.query.preview === 'true';
      const plan = await lists.importRows(request.params.name, csv, isPreview);
      const applied = !isPreview && plan.problems.length === 0;
      const { added, present, problems } = plan;
      request.trace.object = { list: request.params.name, preview: String(isPreview) };
      request.trace.after = { applied, added, present, problems: problems.length };
      return { applied, added, present, problems };
    },
  );

  const readEntry = jsonReader(ListEntrySchema);
  routes.add<unknown, { name: string }>(
    {
      method: 'POST',
      url: '/v1/lists/:name/entries',
      id: 'addListEntry',
      summary: 'Add one entry to a list.',
      params: ListParamsSchema,
      body: { description: 'The entry.', content: json('ListEntry') },
      answers: { 200: { description: 'It is in force.', content: json('ListImport') } },
      problems: [400, 404, 413, 415, 422, 503],
    },
    async (request) => {
      const { note, ...entry } = readEntry(request);
      const result = await lists.add(request.params.name, { ...entry, ...(note !== undefined && { note }) });
      if ('problem' in result) throw new ProblemError(422, `${result.problem} Nothing was changed.`);
      request.trace.after = entry;
      const added = result.added ? 1 : 0;
      return { applied: true, added, present: 1 - added, problems: [] };
    },
  );

  routes.add<unknown, { name: string }>(
    {
      method: 'POST',
      url: '/v1/lists/:name/entries/end',
      id: 'endListEntry',
      summary: 'Take one entry out of a list.',
      params: ListParamsSchema,
      body: { description: 'The entry, by kind and value.', content: json('ListEntry') },
      answers: { 200: { description: 'Rules do not find it any more.', content: json('ListEntry') } },
      problems: [400, 404, 413, 415, 503],
    },
    async (request) => {
      const { kind: kindOf, value } = readEntry(request);
      known(request.params.name);
      // The mask of a number names nobody.
      if (request.principal.numbers !== 'full') {
        throw new ProblemError(403, 'Only who sees whole numbers may end an entry.');
      }
      if (!(await lists.remove(request.params.name, { kind: kindOf, value }))) {
        throw new ProblemError(404, 'The list has no such entry.');
      }
      request.trace.before = { kind: kindOf, value };
      return { kind: kindOf, value };
    },
  );
}
