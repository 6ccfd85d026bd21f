/**
 * Care tickets of a subscriber that nobody has resolved: `[length]`, then `[ticket, opened, changed, resolved 0/1]`.
 * The first record of a ticketId opens it; a later record with `attributes.resolved` true closes it, with false opens it
 * again. Resolved ones stay until room is needed, so that a record that comes late cannot open them again.
 */
import type { Blocks } from './block.ts';
import { fingerprint } from './key-table.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** Tickets remembered per subscriber: the one resolved longest ago makes room first, then the oldest. */
export const TICKETS_MAX = 16;
const ENTRY = 4;
const OPENED = 1;
const CHANGED = 2;
const RESOLVED = 3;

export interface Tickets extends Operator {
  open: Reader;
  /** When the oldest unresolved ticket was opened, epoch ms; NaN where there is none. */
  oldestOpenedAt: Reader;
}

/** `opens`: which records may open a ticket (default: all); others only change one that is known. */
export function createTickets(options: {
  id: number;
  signature: string;
  opens?: (record: Scope['record']) => boolean;
}): Tickets {
  const { id, opens } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 1 + TICKETS_MAX * ENTRY,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: Number.POSITIVE_INFINITY,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      if (record.ticketId === '') return;
      const ticket = fingerprint(record.ticketId);
      const resolved = record.attributes !== null && record.attributes['resolved'] === true ? 1 : 0;
      let segment = cursor.segmentAt[id]!;
      const mayOpen = opens === undefined || opens(record);
      if (segment === 0) {
        if (!mayOpen) return;
        segment = blocks.ensure(id, 1 + ENTRY);
      }
      const length = cursor.u32[segment * 2]!;
      for (let index = 0; index < length; index++) {
        const at = segment + 1 + index * ENTRY;
        if (cursor.f64[at] !== ticket) continue;
        cursor.f64[at + OPENED] = Math.min(cursor.f64[at + OPENED]!, record.eventTime);
        if (record.eventTime >= cursor.f64[at + CHANGED]!) {
          cursor.f64[at + CHANGED] = record.eventTime;
          cursor.f64[at + RESOLVED] = resolved;
        }
        return;
      }
      if (!mayOpen) return;
      const capacity = ((cursor.segmentUnits[id]! - 1) / ENTRY) | 0;
      let slot = length;
      if (length === capacity) {
        const { f64 } = cursor;
        const first = segment + 1;
        let resolvedFirst = -1;
        let openedFirst = 0;
        for (let index = 0; index < length; index++) {
          const at = first + index * ENTRY;
          if (f64[at + OPENED]! < f64[first + openedFirst * ENTRY + OPENED]!) openedFirst = index;
          if (f64[at + RESOLVED] !== 1) continue;
          if (resolvedFirst < 0 || f64[at + CHANGED]! < f64[first + resolvedFirst * ENTRY + CHANGED]!)
            resolvedFirst = index;
        }
        if (resolvedFirst >= 0 && length >= 4) slot = resolvedFirst;
        else if (capacity < TICKETS_MAX) segment = blocks.resize(id, 1 + Math.min(TICKETS_MAX, capacity * 2) * ENTRY);
        else slot = openedFirst;
      }
      if (slot === length) cursor.u32[segment * 2] = length + 1;
      const at = segment + 1 + slot * ENTRY;
      cursor.f64[at] = ticket;
      cursor.f64[at + OPENED] = record.eventTime;
      cursor.f64[at + CHANGED] = record.eventTime;
      cursor.f64[at + RESOLVED] = resolved;
    },
    open: (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return 0;
      let open = 0;
      for (let index = u32[segment * 2]! - 1; index >= 0; index--) {
        if (f64[segment + 1 + index * ENTRY + RESOLVED] === 0) open++;
      }
      return open;
    },
    oldestOpenedAt: (scope) => {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      if (segment === 0) return Number.NaN;
      let oldest = Number.NaN;
      for (let index = u32[segment * 2]! - 1; index >= 0; index--) {
        const at = segment + 1 + index * ENTRY;
        if (f64[at + RESOLVED] === 0 && !(f64[at + OPENED]! >= oldest)) oldest = f64[at + OPENED]!;
      }
      return oldest;
    },
  };
}
