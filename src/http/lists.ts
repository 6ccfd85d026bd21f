/** Reference lists over HTTP: which there are, so that a desk can add an entry to one. */
import { Type } from 'typebox';
import { LIST_KINDS, type ListSummary } from '../reference/lists.ts';
import { json, type Routes } from './route.ts';

/** Lists as the desks see them. */
export interface ListsAccess {
  all(): ListSummary[];
  /** Adds an entry; `problem`: why it cannot be one. */
  add(
    list: string,
    entry: { kind: string; value: string; note?: string },
  ): Promise<{ added: boolean } | { problem: string }>;
}

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

export function addListRoutes(routes: Routes, lists: ListsAccess): void {
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
}
