/**
 * Who sent a subscriber the last SMS: `[key number of sender and range, time]`. Who sends a one-time password and who confirms it are
 * in different records; with this note a confirmation finds the sender.
 */
import type { SeenRecord } from '../record/usage-record.ts';
import type { Blocks, Cursor } from './block.ts';
import type { Names } from './key-table.ts';
import type { Operator, Scope } from './operator.ts';

/** A one-time password that is confirmed later than this after the last message belongs to no message. */
export const SENDER_NOTED_MS = 3_600_000;
/** Subscribers with so many first digits in common are one range. */
const RANGE_DIGITS = 7;

/** Number of the key of sender and range of an SMS; 0 where the sender is not known. */
export const senderRangeOf = (names: Names, record: SeenRecord): number =>
  record.otherNumber === '' || record.servedMsisdn === ''
    ? 0
    : names.pairOf(record.otherNumber, record.servedMsisdn.slice(0, RANGE_DIGITS), '~');

export interface SenderNote extends Operator {
  /** What is noted for the bound subscriber and still holds at `eventTime`, else 0. */
  read(cursor: Cursor, eventTime: number): number;
  /** The note of the bound subscriber comes from an engine in which keys have other numbers. */
  renumber(cursor: Cursor, numberOf: (key: number) => number): void;
}

export function createSenderNote(options: { id: number; signature: string; names: Names }): SenderNote {
  const { id, names } = options;
  return {
    id,
    signature: options.signature,
    unitsMax: 2,
    retentionMs: SENDER_NOTED_MS,
    lateAfterMs: SENDER_NOTED_MS,
    onArrival: false,
    update(scope: Scope, blocks: Blocks) {
      const { record, cursor } = scope;
      const key = senderRangeOf(names, record);
      if (key === 0) return;
      const segment = blocks.ensure(id, 2);
      if (record.eventTime < cursor.f64[segment + 1]!) return;
      cursor.f64[segment] = key;
      cursor.f64[segment + 1] = record.eventTime;
    },
    renumber({ segmentAt, f64 }, numberOf) {
      const segment = segmentAt[id]!;
      f64[segment] = numberOf(f64[segment]!);
    },
    read({ segmentAt, f64 }, eventTime) {
      const segment = segmentAt[id]!;
      return segment === 0 || Math.abs(eventTime - f64[segment + 1]!) > SENDER_NOTED_MS ? 0 : f64[segment]!;
    },
  };
}
