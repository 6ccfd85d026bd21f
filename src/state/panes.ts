/**
 * Rolling windows. A window of length L over n panes covers, at time t, the panes pane(t)-n+1 ... pane(t), where
 * pane(t) = floor(t / (L/n)):
 *
 * ```
 *   1 h over 12 panes, now = 10:37       09:40 ................. 10:35   10:40
 *                                          |--|--|--|--|--|--|--|--|--|--|--|##|
 *   one pane later the oldest leaves          |--|--|--|--|--|--|--|--|--|--|--|##|
 * ```
 *
 * Only panes in which something happened are stored, oldest first: `[pane, count, column ...]`. A quiet subscriber keeps
 * two or three entries where a dense ring would keep sixty, and a read scans just those (about 1 ns each). Several windows
 * with the same pane length, over the same records, share one list and read their own stretch of it; a shifted window
 * ("the 56 days before the last 14") is a stretch that ends earlier.
 *
 * All columns hold whole numbers (ms, bytes, millionths of a currency unit), so sums are exact up to 2^53.
 */
import { type Blocks, type Cursor, SEGMENT_UNITS_MAX } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

/** A list longer than this does not fit its segment; the compiler refuses such windows. */
export const PANES_MAX = 1_024;
/** Pane numbers are 32-bit; with panes of a second or more they last beyond the year 2100. */
export const PANE_MS_MIN = 1_000;

export type ColumnKind = 'sum' | 'min' | 'max';

export interface Column {
  kind: ColumnKind;
  /** Whole number to take in; a record for which it is NaN counts, but leaves the column as it is. */
  of: Reader;
}

export interface Panes extends Operator {
  paneMs: number;
  columns: Column[];
  /**
   * Takes entries of another list of this operator in, of a key that has read the records again from some time on. Of two
   * entries of one pane the one that counted more records has seen all that the other has; columns of `anew` are the other's.
   */
  merge(cursor: Cursor, blocks: Blocks, from: Cursor, anew: ReadonlySet<number>): void;
  /** Entries of the bound key with their start, newest last, for people to look at. */
  list(scope: Scope, from: number, to: number, column: number): { startAt: number; value: number }[];
}

/**
 * Unit 0 of a segment: number of entries (low), columns of each entry (high). A rule set that adds a column to a list leaves
 * older segments as they are: they are widened when their key is next touched, and read as cold until then.
 */
const LENGTH = 0;
const WIDTH = 1;
const FIRST_ENTRY = 1;

export function createPanes(options: {
  id: number;
  signature: string;
  paneMs: number;
  /** Panes to keep: the furthest reach of any window over this list. */
  reach: number;
  columns: Column[];
}): Panes {
  const { id, paneMs, reach, columns } = options;
  const entryUnits = 1 + columns.length;
  const columnCount = columns.length;
  if (reach * entryUnits + FIRST_ENTRY > SEGMENT_UNITS_MAX) throw new RangeError('the window has too many panes');

  const addTo = (scope: Scope, f64: Float64Array, u32: Uint32Array, at: number): void => {
    u32[at * 2 + 1]!++;
    for (let index = 0; index < columnCount; index++) {
      const column = columns[index]!;
      const value = column.of(scope);
      if (value !== value) continue;
      const unit = at + 1 + index;
      const before = f64[unit]!;
      if (column.kind === 'sum') f64[unit] = before + value;
      else if (column.kind === 'min') f64[unit] = before < value ? before : value;
      else f64[unit] = before > value ? before : value;
    }
  };

  const start = (f64: Float64Array, u32: Uint32Array, at: number, pane: number): void => {
    u32[at * 2] = pane;
    u32[at * 2 + 1] = 0;
    for (let index = 0; index < columnCount; index++) {
      const kind = columns[index]!.kind;
      f64[at + 1 + index] = kind === 'sum' ? 0 : kind === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
    }
  };

  const widen = (cursor: Cursor, blocks: Blocks, segment: number): number => {
    const oldUnits = 1 + cursor.u32[segment * 2 + WIDTH]!;
    const length = cursor.u32[segment * 2 + LENGTH]!;
    const entries = cursor.f64.slice(segment + FIRST_ENTRY, segment + FIRST_ENTRY + length * oldUnits);
    const at = blocks.resize(id, FIRST_ENTRY + Math.max(1, length) * entryUnits);
    const { f64, u32 } = cursor;
    for (let index = 0; index < length; index++) {
      const entry = at + FIRST_ENTRY + index * entryUnits;
      start(f64, u32, entry, 0);
      f64.set(entries.subarray(index * oldUnits, (index + 1) * oldUnits), entry);
    }
    u32[at * 2 + WIDTH] = columnCount;
    return at;
  };

  const update = (scope: Scope, blocks: Blocks): void => {
    const cursor = scope.cursor;
    const pane = Math.floor(scope.record.eventTime / paneMs);
    const oldest = Math.floor(scope.now / paneMs) - reach + 1;
    if (pane < oldest) return;
    let segment = cursor.segmentAt[id]!;
    if (segment === 0) {
      segment = blocks.ensure(id, FIRST_ENTRY + entryUnits);
      cursor.u32[segment * 2 + WIDTH] = columnCount;
    } else if (cursor.u32[segment * 2 + WIDTH] !== columnCount) {
      segment = widen(cursor, blocks, segment);
    }
    let { f64, u32 } = cursor;
    let length = u32[segment * 2 + LENGTH]!;
    let at = segment + FIRST_ENTRY + (length - 1) * entryUnits;
    if (length > 0 && u32[at * 2] === pane) {
      addTo(scope, f64, u32, at);
      return;
    }
    // A pane of its own: drop what no window reaches any more, and grow only when that made no room.
    const capacity = ((cursor.segmentUnits[id]! - FIRST_ENTRY) / entryUnits) | 0;
    if (length === capacity) {
      const first = segment + FIRST_ENTRY;
      let expired = 0;
      while (expired < length && u32[(first + expired * entryUnits) * 2]! < oldest) expired++;
      if (expired > 0) {
        f64.copyWithin(first, first + expired * entryUnits, first + length * entryUnits);
        length -= expired;
      } else {
        // Doubling up to the reach: at most `reach` panes are alive at once, so there is always room afterwards.
        segment = blocks.resize(id, FIRST_ENTRY + Math.min(capacity * 2, reach) * entryUnits);
        f64 = cursor.f64;
        u32 = cursor.u32;
      }
    }
    // Records come nearly in order, so the place is found from the end.
    let index = length;
    while (index > 0 && u32[(segment + FIRST_ENTRY + (index - 1) * entryUnits) * 2]! > pane) index--;
    at = segment + FIRST_ENTRY + index * entryUnits;
    if (index > 0 && u32[(at - entryUnits) * 2] === pane) {
      u32[segment * 2 + LENGTH] = length;
      addTo(scope, f64, u32, at - entryUnits);
      return;
    }
    if (index < length) f64.copyWithin(at + entryUnits, at, segment + FIRST_ENTRY + length * entryUnits);
    start(f64, u32, at, pane);
    addTo(scope, f64, u32, at);
    u32[segment * 2 + LENGTH] = length + 1;
  };

  const merge = (cursor: Cursor, blocks: Blocks, from: Cursor, anew: ReadonlySet<number>): void => {
    const theirs = from.segmentAt[id]!;
    if (theirs === 0) return;
    const theirLength = from.u32[theirs * 2 + LENGTH]!;
    let segment = cursor.segmentAt[id]!;
    if (segment === 0) segment = blocks.ensure(id, FIRST_ENTRY + entryUnits);
    else if (cursor.u32[segment * 2 + WIDTH] !== columnCount) segment = widen(cursor, blocks, segment);
    const ourLength = cursor.u32[segment * 2 + LENGTH]!;
    const merged = new Float64Array((ourLength + theirLength) * entryUnits);
    let length = 0;
    let ours = 0;
    for (let index = 0; index < theirLength || ours < ourLength; ) {
      const ourAt = segment + FIRST_ENTRY + ours * entryUnits;
      const theirAt = theirs + FIRST_ENTRY + index * entryUnits;
      const ourPane = ours < ourLength ? cursor.u32[ourAt * 2]! : Number.POSITIVE_INFINITY;
      const theirPane = index < theirLength ? from.u32[theirAt * 2]! : Number.POSITIVE_INFINITY;
      const at = length * entryUnits;
      const takesOurs =
        ourPane < theirPane || (ourPane === theirPane && cursor.u32[ourAt * 2 + 1]! >= from.u32[theirAt * 2 + 1]!);
      if (takesOurs) merged.set(cursor.f64.subarray(ourAt, ourAt + entryUnits), at);
      else merged.set(from.f64.subarray(theirAt, theirAt + entryUnits), at);
      if (takesOurs && ourPane === theirPane) {
        for (const column of anew) merged[at + 1 + column] = from.f64[theirAt + 1 + column]!;
      }
      if (ourPane <= theirPane) ours++;
      if (theirPane <= ourPane) index++;
      length++;
    }
    // What no window reaches any more is left out, so that no list is longer than its reach.
    const skipped = Math.max(0, length - reach);
    segment = blocks.resize(id, FIRST_ENTRY + Math.max(1, length - skipped) * entryUnits);
    cursor.f64.set(merged.subarray(skipped * entryUnits, length * entryUnits), segment + FIRST_ENTRY);
    cursor.u32[segment * 2 + LENGTH] = length - skipped;
    cursor.u32[segment * 2 + WIDTH] = columnCount;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: FIRST_ENTRY + reach * entryUnits,
    paneMs,
    merge,
    columns,
    retentionMs: reach * paneMs,
    lateAfterMs: reach * paneMs,
    onArrival: false,
    update,
    list(scope, from, to, column) {
      const { segmentAt, f64, u32 } = scope.cursor;
      const segment = segmentAt[id]!;
      const result: { startAt: number; value: number }[] = [];
      if (segment === 0) return result;
      const length = u32[segment * 2 + LENGTH]!;
      const width = u32[segment * 2 + WIDTH]!;
      if (column >= width) return result;
      for (let index = 0; index < length; index++) {
        const at = segment + FIRST_ENTRY + index * (1 + width);
        const pane = u32[at * 2]!;
        if (pane <= from || pane > to) continue;
        result.push({ startAt: pane * paneMs, value: column < 0 ? u32[at * 2 + 1]! : f64[at + 1 + column]! });
      }
      return result;
    },
  };
}

/** Which part of a pane list a window reads: `panes` panes ending `shift` panes before now. */
export interface Stretch {
  panes: number;
  shift: number;
}

/** Records in the window. */
export function readCount(panes: Panes, stretch: Stretch): Reader {
  const { id, paneMs } = panes;
  return (scope) => {
    const { segmentAt, u32 } = scope.cursor;
    const segment = segmentAt[id]!;
    if (segment === 0) return 0;
    const entryUnits = 1 + u32[segment * 2 + WIDTH]!;
    const last = Math.floor(scope.now / paneMs) - stretch.shift;
    const first = last - stretch.panes;
    let count = 0;
    for (let index = u32[segment * 2 + LENGTH]! - 1; index >= 0; index--) {
      const at = (segment + FIRST_ENTRY + index * entryUnits) * 2;
      const pane = u32[at]!;
      if (pane <= first) break;
      if (pane <= last) count += u32[at + 1]!;
    }
    return count;
  };
}

/**
 * Sum, least or greatest of a column in the window, divided by `perUnit` (whole units in one unit of the result); 0 for an
 * empty sum, NaN for an empty min or max.
 */
export function readColumn(panes: Panes, column: number, stretch: Stretch, perUnit: number): Reader {
  const { id, paneMs, columns } = panes;
  const kind = columns[column]!.kind;
  return (scope) => {
    const { segmentAt, f64, u32 } = scope.cursor;
    const segment = segmentAt[id]!;
    const entryUnits = segment === 0 ? 0 : 1 + u32[segment * 2 + WIDTH]!;
    if (entryUnits < column + 2) return kind === 'sum' ? 0 : Number.NaN;
    const last = Math.floor(scope.now / paneMs) - stretch.shift;
    const first = last - stretch.panes;
    let result = kind === 'sum' ? 0 : kind === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
    for (let index = u32[segment * 2 + LENGTH]! - 1; index >= 0; index--) {
      const at = segment + FIRST_ENTRY + index * entryUnits;
      const pane = u32[at * 2]!;
      if (pane <= first) break;
      if (pane > last) continue;
      const value = f64[at + 1 + column]!;
      if (kind === 'sum') result += value;
      else if (kind === 'min') result = value < result ? value : result;
      else result = value > result ? value : result;
    }
    return Number.isFinite(result) ? result / perUnit : Number.NaN;
  };
}

export type BaselineStatistic = 'mean' | 'deviation' | 'samples';

/**
 * A key's own past: the panes of the stretch (usually days) in which something happened are the samples. NaN with fewer
 * than `samplesMin` of them. `deviation` is the standard deviation, at least a tenth of the mean and at least one unit,
 * so that a very regular key does not turn every wobble into an alarm. `column` -1 reads counts. Panes that do not begin
 * after `since` are no samples: the column was not filled then, and its zeros would make the past look quiet.
 */
export function readBaseline(
  panes: Panes,
  column: number,
  stretch: Stretch,
  options: { statistic: BaselineStatistic; samplesMin: number; perUnit: number; since: number },
): Reader {
  const { id, paneMs } = panes;
  const { statistic, samplesMin, perUnit, since } = options;
  return (scope) => {
    const { segmentAt, f64, u32 } = scope.cursor;
    const segment = segmentAt[id]!;
    const entryUnits = segment === 0 ? 0 : 1 + u32[segment * 2 + WIDTH]!;
    if (entryUnits < column + 2) return statistic === 'samples' ? 0 : Number.NaN;
    const last = Math.floor(scope.now / paneMs) - stretch.shift;
    const first = last - stretch.panes;
    let samples = 0;
    let sum = 0;
    let squares = 0;
    for (let index = u32[segment * 2 + LENGTH]! - 1; index >= 0; index--) {
      const at = segment + FIRST_ENTRY + index * entryUnits;
      const pane = u32[at * 2]!;
      if (pane <= first) break;
      if (pane > last || pane * paneMs <= since) continue;
      const whole = column < 0 ? u32[at * 2 + 1]! : f64[at + 1 + column]!;
      samples++;
      sum += whole;
      squares += (whole / perUnit) * (whole / perUnit);
    }
    if (statistic === 'samples') return samples;
    if (samples < samplesMin) return Number.NaN;
    const mean = sum / perUnit / samples;
    if (statistic === 'mean') return mean;
    const deviation = Math.sqrt(Math.max(0, squares / samples - mean * mean));
    return Math.max(deviation, 0.1 * Math.abs(mean), 1);
  };
}
