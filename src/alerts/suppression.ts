/**
 * One alert for each entity instead of one for each key (`suppress: { by: subscriber }`): a subscriber who dials forty expensive
 * prefixes is one case. The entity's block remembers which key fired last, how high, and when its condition last held:
 * `[held at, key, band]`. It is part of the state, so what was suppressed before a restart stays so.
 */
import type { Blocks, Cursor } from '../state/block.ts';

const SUPPRESSION_UNITS = 3;
/** Stands for all entities that a record does not name, where these count as one. No key has this number. */
export const NOT_NAMED = Number.MAX_SAFE_INTEGER;

/**
 * Is an alert of this key held back because another key of the bound entity has one? If not, this one is the entity's from now
 * on. Only a higher band gets through, as a new alert.
 */
export function isHeldBack(
  cursor: Cursor,
  blocks: Blocks,
  operator: number,
  alert: { key: number; band: number; at: number; forMs: number },
): boolean {
  const isNew = cursor.segmentAt[operator] === 0;
  const segment = blocks.ensure(operator, SUPPRESSION_UNITS);
  const { f64 } = cursor;
  const running = !isNew && alert.at < f64[segment]! + alert.forMs;
  const heldBack = running && f64[segment + 1] !== alert.key && alert.band <= f64[segment + 2]!;
  f64[segment] = isNew ? alert.at : Math.max(alert.at, f64[segment]!);
  if (heldBack) return true;
  f64[segment + 1] = alert.key;
  f64[segment + 2] = running ? Math.max(alert.band, f64[segment + 2]!) : alert.band;
  return false;
}
