import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTickets, TICKETS_MAX } from '../src/state/tickets.ts';
import { createKeyState } from './key-state.ts';

const BEGIN = 1_767_225_600_000;
const HOUR_MS = 3_600_000;

function ticketsOf() {
  const state = createKeyState();
  const tickets = createTickets({ id: 1, signature: '' });
  return {
    state,
    apply(ticketId: string, hour: number, resolved: boolean | undefined) {
      state.apply(
        1,
        {
          recordType: 'care',
          eventTime: BEGIN + hour * HOUR_MS,
          ticketId,
          attributes: resolved === undefined ? null : { resolved },
        },
        tickets,
      );
    },
    view: () => ({
      open: tickets.open(state.scope),
      oldestHour: (tickets.oldestOpenedAt(state.scope) - BEGIN) / HOUR_MS,
    }),
  };
}

describe('tickets', () => {
  const record = fc.record({
    // Resolved tickets are forgotten where there are more than four.
    ticket: fc.integer({ min: 0, max: 4 }),
    hour: fc.integer({ min: 0, max: 500 }),
    resolved: fc.constantFrom(true, false, undefined),
  });

  test('the newest record of a ticket says whether it is open, the oldest when it was opened', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), (records) => {
        const { apply, view, state } = ticketsOf();
        const model = new Map<number, { opened: number; changed: number; resolved: boolean }>();
        state.apply(1, { eventTime: BEGIN });
        for (const { ticket, hour, resolved } of records) {
          // Ticket 0 is a record without a ticket.
          apply(ticket === 0 ? '' : `T-${ticket}`, hour, resolved);
          if (ticket === 0) continue;
          const known = model.get(ticket);
          model.set(ticket, {
            opened: Math.min(known?.opened ?? hour, hour),
            changed: Math.max(known?.changed ?? hour, hour),
            resolved: hour >= (known?.changed ?? hour) ? resolved === true : known!.resolved,
          });
          const open = [...model.values()].filter((one) => !one.resolved);
          expect(view()).toEqual({
            open: open.length,
            oldestHour: open.length === 0 ? Number.NaN : Math.min(...open.map(({ opened }) => opened)),
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a late record does not open again what was resolved last', () => {
    const { apply, view } = ticketsOf();
    for (let n = 0; n < 20; n++) {
      apply(`T-${n}`, n * 10, false);
      apply(`T-${n}`, n * 10 + 5, true);
    }
    apply('T-19', 191, false);
    apply('T-18', 181, false);
    expect(view()).toEqual({ open: 0, oldestHour: Number.NaN });
  });

  test('resolved tickets make room, so that open ones are never forgotten for them', () => {
    const { apply, view, state } = ticketsOf();
    apply('forgotten', 0, false);
    for (let n = 1; n < 300; n++) {
      apply(`T-${n}`, n, false);
      apply(`T-${n}`, n, true);
    }
    expect(view()).toEqual({ open: 1, oldestHour: 0 });
    expect(state.scope.cursor.segmentUnits[1]).toBe(1 + 4 * 4);
  });

  test('of more open tickets than are kept, the oldest makes room', () => {
    const { apply, view } = ticketsOf();
    // The first slot is used a second time, so the oldest ticket is not the first in the list.
    apply('T-0', 0, true);
    for (let n = 1; n <= 3; n++) apply(`T-${n}`, n, false);
    for (let n = 4; n <= TICKETS_MAX; n++) apply(`T-${n}`, n, false);
    expect(view()).toEqual({ open: TICKETS_MAX, oldestHour: 1 });
    apply('one more', 50, false);
    expect(view()).toEqual({ open: TICKETS_MAX, oldestHour: 2 });
  });

  test('may be opened by some records only, and are resolved by any', () => {
    const state = createKeyState();
    const tickets = createTickets({ id: 1, signature: '', opens: ({ reason }) => reason === 'dispute' });
    const apply = (hour: number, ticketId: string, reason: string, resolved: boolean): number => {
      const eventTime = BEGIN + hour * HOUR_MS;
      state.apply(1, { recordType: 'care', eventTime, ticketId, reason, attributes: { resolved } }, tickets);
      return tickets.open(state.scope);
    };
    expect(apply(0, 'T-1', 'billing', false)).toBe(0);
    expect(state.scope.cursor.segmentAt[1]).toBe(0);
    expect(apply(1, 'T-2', 'dispute', false)).toBe(1);
    expect(apply(2, 'T-3', 'complaint', false)).toBe(1);
    expect(apply(3, 'T-1', 'dispute', false)).toBe(2);
    expect(apply(4, 'T-2', 'billing', true)).toBe(1);
    expect(apply(5, 'T-1', 'dispute', true)).toBe(0);
  });
});
