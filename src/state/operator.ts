/**
 * What the windows and the rules see while one record is applied to one key, and what an operator is.
 *
 * An operator owns one segment of a key's block: `update` takes a record into it, readers (functions of the scope) take
 * values out. Operators never look at each other. Rules that ask for the same thing share one operator.
 */
import { BLANK_RECORD, type SeenRecord } from '../record/usage-record.ts';
import type { Shift } from '../reference/local-time.ts';
import type { Destination } from '../reference/numbering-plan.ts';
import type { Blocks, Cursor, Segments } from './block.ts';

/** One mutable object for the life of the engine; closures read from it instead of taking many arguments. */
export interface Scope {
  /** The record being applied; a blank one while a timer is evaluated, so that every condition on it is false. */
  record: SeenRecord;
  /** The bound key. */
  cursor: Cursor;
  /** Evaluation time: the key's clock, or the timer's time where that is later. Epoch ms. */
  now: number;
  /** Goes up whenever a rule looks at a key; a feature that is read twice in one look is worked out once. */
  look: number;
  /** Key number of the served subscriber of the record, or of the one behind the bound key; 0 where there is none. */
  subscriber: number;
  /** Looks into the block of any subscriber. */
  segments: Segments;
  /** Where otherNumber leads; undefined for short codes, names and unknown prefixes. */
  destination: Destination | undefined;
  /** Country of the served subscriber, from its own number. */
  homeCountry: string;
  /** otherNumber is in another country than the subscriber's home. */
  international: boolean;
  /** servingPlmn is known and not the home network. */
  roaming: boolean;
  /** 22:00-06:00 and Friday 22:00 to Monday 06:00 of the operator's local time, by the record's event time. */
  night: boolean;
  weekend: boolean;
  /** The shift of that time, and whether its day is in the list of holidays. */
  shift: Shift | '';
  holiday: boolean;
}

/** A scope that looks at nothing yet. */
export const blankScope = (cursor: Cursor, segments: Segments): Scope => ({
  record: BLANK_RECORD,
  cursor,
  now: 0,
  look: 0,
  subscriber: 0,
  segments,
  destination: undefined,
  homeCountry: '',
  international: false,
  roaming: false,
  night: false,
  weekend: false,
  shift: '',
  holiday: false,
});

/** Reads a number for the bound key; NaN where it is not known. */
export type Reader = (scope: Scope) => number;

export interface Operator {
  id: number;
  /** Identical definitions have identical signatures and share one operator and its state across rule sets. */
  signature: string;
  /** Most units that it ever takes of a key's block. */
  unitsMax: number;
  /** How long after an update something of it can still matter, ms; Infinity for ever. */
  retentionMs: number;
  /** A record that lies this far behind the key's clock changes nothing any more; 0 where only order matters. */
  lateAfterMs: number;
  /** Judges the record itself: takes it on arrival, however long ago it began. */
  onArrival: boolean;
  update(scope: Scope, blocks: Blocks): void;
  /** Operators that see what this one makes of a record; reading records again for them needs this one too. */
  feeds?: Operator[];
}
