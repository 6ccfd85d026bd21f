/**
 * The life of an alert. While a rule's condition keeps coming true for a key, that is one episode and one alert:
 *
 * ```
 * condition   . . T T . . T . . . . . . .
 * alert           1           (suppress.for) 2
 *                 firing                     resolved
 * ```
 *
 * It fires once; a higher band than any before is a new revision (with `suppress.falls`: than the last one); it resolves when
 * `suppress.for` has passed since the condition last held. At that moment the condition is looked at once more, so a window that
 * is still full keeps the episode open.
 *
 * The episode stands in the key's block under the rule's id, so it is part of every checkpoint and survives a rule change:
 * `[first fired, last held, revision | band, alert id (128 bits)]`.
 */
import { createHash } from 'node:crypto';
import { EPISODE_UNITS } from '../rules/compiled-rule.ts';
import type { Blocks, Cursor } from '../state/block.ts';

const FIRED_AT = 0;
const HELD_AT = 1;
const REVISION = 2;
const ALERT_ID = 3;

export const hasEpisode = (cursor: Cursor, episode: number): boolean => cursor.segmentAt[episode] !== 0;

export const firedAtOf = (cursor: Cursor, episode: number): number =>
  cursor.f64[cursor.segmentAt[episode]! + FIRED_AT]!;
export const heldAtOf = (cursor: Cursor, episode: number): number => cursor.f64[cursor.segmentAt[episode]! + HELD_AT]!;
export const revisionOf = (cursor: Cursor, episode: number): number =>
  cursor.u32[(cursor.segmentAt[episode]! + REVISION) * 2]!;
export const bandOf = (cursor: Cursor, episode: number): number =>
  cursor.u32[(cursor.segmentAt[episode]! + REVISION) * 2 + 1]!;

/** 32 hexadecimal digits. */
export function alertIdOf(cursor: Cursor, episode: number): string {
  const at = (cursor.segmentAt[episode]! + ALERT_ID) * 2;
  let id = '';
  for (let word = 0; word < 4; word++) id += cursor.u32[at + word]!.toString(16).padStart(8, '0');
  return id;
}

/**
 * Begins an episode. The id is the first 128 bits of SHA-256 over what makes the alert this alert and no other, so that a
 * replay after a crash, or a second process, finds the same one.
 */
export function beginEpisode(
  cursor: Cursor,
  blocks: Blocks,
  episode: number,
  options: { at: number; band: number; identity: readonly string[] },
): void {
  blocks.ensure(episode, EPISODE_UNITS);
  const segment = cursor.segmentAt[episode]!;
  cursor.f64[segment + FIRED_AT] = options.at;
  cursor.f64[segment + HELD_AT] = options.at;
  cursor.u32[(segment + REVISION) * 2] = 1;
  cursor.u32[(segment + REVISION) * 2 + 1] = options.band;
  // Written as JSON, so that no text of a sender can be taken for two.
  const digest = createHash('sha256').update(JSON.stringify(options.identity)).digest();
  for (let word = 0; word < 4; word++) cursor.u32[(segment + ALERT_ID) * 2 + word] = digest.readUInt32BE(word * 4);
}

export function holdEpisode(cursor: Cursor, episode: number, at: number): void {
  const unit = cursor.segmentAt[episode]! + HELD_AT;
  if (at > cursor.f64[unit]!) cursor.f64[unit] = at;
}

/** Says nothing: what is over lower down is no news, but that it rises again will be. */
export function lowerEpisode(cursor: Cursor, episode: number, band: number): void {
  cursor.u32[(cursor.segmentAt[episode]! + REVISION) * 2 + 1] = band;
}

export function raiseEpisode(cursor: Cursor, episode: number, band: number): void {
  const at = (cursor.segmentAt[episode]! + REVISION) * 2;
  cursor.u32[at]!++;
  cursor.u32[at + 1] = band;
}
