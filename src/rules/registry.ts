/**
 * Ids of operators, for ever: features that ask for the same thing share one operator, across rules and across rule sets. An
 * operator is named by a signature (key, record types, condition, pane length ...), and the registry gives each signature the
 * same id for ever, because ids are what stands in the state. A new rule set therefore finds the windows of the old one as
 * they were.
 *
 * A set is compiled against a draft of the registry, which takes its place only when the set is right. The draft also knows
 * since when each operator has seen records, and so which of them a back-fill brings.
 */
import type { SeenType } from '../record/usage-record.ts';

export interface RegistryEntry {
  id: number;
  /**
   * Event time since which the operator has seen every record; 0: from the first one on. Null while no rule of the set in
   * force asks for it: it sees nothing until one does again, and then begins anew.
   */
  since: number | null;
  /** Columns of a pane list, only ever appended to. */
  columns: string[];
  /** Like `since`, for each column. */
  columnsSince: (number | null)[];
  /** Panes that a pane list keeps; 0 for other operators. */
  reach: number;
}

/** Ids of operators by signature; part of the checkpoint. */
export type Registry = Map<string, RegistryEntry>;

/** What an open alert of a rule takes of a key's block stands there like an operator. */
const EPISODE = 'episode|';
export const episodeSignature = (of: string): string => EPISODE + of;
export const isEpisodeSignature = (signature: string): boolean => signature.startsWith(EPISODE);

/** What the records that are read again cover. */
export interface BackfillSpan {
  /** Event time since which all of them have been read; 0: from the first one on. */
  since: number;
  /** A feature that began later than this is as good as new: it is filled too. */
  until: number;
}

/**
 * Operators that have seen nothing before this set, or, where columns are named, a pane list of which those have, or that
 * reaches further back than before. These are what a back-fill brings.
 */
export type Fresh = Map<number, 'all' | ReadonlySet<number>>;

export interface RegistryDraft {
  fresh: Fresh;
  /** `on`: the record types behind the operator, where alerts may be among them. */
  entryOf(signature: string, on?: readonly SeenType[]): RegistryEntry;
  /** Index of a column of a pane list, which is added where it is not there yet. */
  columnOf(entry: RegistryEntry, column: string, on: readonly SeenType[]): number;
  /** Settles how far a pane list reaches, and which of its columns are still asked for. */
  settlePanes(
    entry: RegistryEntry,
    panes: { reach: number; paneMs: number; isAsked: (column: string) => boolean; on: readonly SeenType[] },
  ): void;
  entries(): Iterable<[string, RegistryEntry]>;
  size(): number;
  /** Takes the place of the registry that it was drafted from. */
  commit(): void;
}

/** `since`: event time of the swap, when what is new begins; 0 for the first set of an empty state. */
export function draftRegistry(
  current: Registry,
  { since, backfill }: { since: number; backfill?: BackfillSpan | undefined },
): RegistryDraft {
  const registry: Registry = new Map(
    [...current].map(([key, entry]) => [
      key,
      { ...entry, columns: [...entry.columns], columnsSince: [...entry.columnsSince] },
    ]),
  );
  const used = new Set<RegistryEntry>();
  const askedColumns = new Map<RegistryEntry, Set<number>>();
  const fresh = new Map<number, 'all' | Set<number>>();
  /** Alerts are not in the stream, so windows over them cannot be filled. */
  const backfillOf = (on: readonly SeenType[]): BackfillSpan | undefined =>
    on.includes('alert') ? undefined : backfill;
  const isNew = (began: number | null | undefined, on: readonly SeenType[]): boolean =>
    began === null || began === undefined || began > (backfillOf(on)?.until ?? Number.POSITIVE_INFINITY);

  return {
    fresh,
    entryOf(signature, on = []) {
      let entry = registry.get(signature);
      if (entry === undefined) {
        entry = { id: registry.size + 1, since: null, columns: [], columnsSince: [], reach: 0 };
        registry.set(signature, entry);
      }
      if (!used.has(entry) && isNew(entry.since, on)) {
        entry.since = backfillOf(on)?.since ?? since;
        if (!on.includes('alert')) fresh.set(entry.id, 'all');
      }
      used.add(entry);
      return entry;
    },
    columnOf(entry, column, on) {
      let index = entry.columns.indexOf(column);
      if (index < 0) index = entry.columns.push(column) - 1;
      const asked = askedColumns.get(entry) ?? new Set();
      if (!asked.has(index) && isNew(entry.columnsSince[index], on)) {
        entry.columnsSince[index] = backfillOf(on)?.since ?? since;
        const known = fresh.get(entry.id) ?? new Set();
        if (known !== 'all' && !on.includes('alert')) fresh.set(entry.id, known.add(index));
      }
      askedColumns.set(entry, asked.add(index));
      return index;
    },
    settlePanes(entry, { reach, paneMs, isAsked, on }) {
      // Before the change only panes of the shorter reach were kept.
      if (entry.reach > 0 && reach > entry.reach) {
        const seenSince = backfillOf(on)?.since ?? since - entry.reach * paneMs;
        entry.since = Math.max(entry.since!, seenSince);
        if (!fresh.has(entry.id) && !on.includes('alert')) fresh.set(entry.id, new Set());
      }
      entry.reach = reach;
      entry.columnsSince = entry.columns.map((column, index) => (isAsked(column) ? entry.columnsSince[index]! : null));
    },
    entries: () => registry.entries(),
    size: () => registry.size,
    commit() {
      current.clear();
      for (const entry of registry.values()) if (!used.has(entry)) entry.since = null;
      for (const [signature, entry] of registry) current.set(signature, entry);
    },
  };
}
