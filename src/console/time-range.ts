/**
 * When something was: within the last hour, day ..., or between two moments. Moments stand in an address in UTC to the minute, so
 * that a colleague in another zone sees the same.
 */
export const AGES = ['', '1h', '24h', '7d', '30d'] as const;
export type Age = (typeof AGES)[number];

const HOUR_MS = 3_600_000;
export const AGES_MS: Record<Exclude<Age, ''>, number> = {
  '1h': HOUR_MS,
  '24h': 24 * HOUR_MS,
  '7d': 168 * HOUR_MS,
  '30d': 720 * HOUR_MS,
};
const MINUTE_MS = 60_000;

/** Either an age, or one or two moments, or none of them: at any time. */
export interface TimeRange {
  age: Age;
  /** Unix epoch ms, at or after. */
  from: number | null;
  /** Unix epoch ms, before. */
  to: number | null;
}
export const ANY_TIME: TimeRange = { age: '', from: null, to: null };

/** The bounds of a range at a moment, Unix epoch ms: at or after `from`, before `to`. */
export interface TimeBounds {
  from: number;
  to: number;
}
export const NO_BOUNDS: TimeBounds = { from: -Infinity, to: Infinity };

/** An age begins at a whole minute, so that the same question is the same for a while. */
export function boundsOf({ age, from, to }: TimeRange, nowMs: number): TimeBounds {
  if (age !== '') return { from: Math.floor(nowMs / MINUTE_MS) * MINUTE_MS - AGES_MS[age], to: Infinity };
  return { from: from ?? -Infinity, to: to ?? Infinity };
}

const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z$/;
const momentOf = (text: string | undefined): number | null => {
  const at = text !== undefined && MOMENT.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : at;
};
const textOf = (atMs: number | null): string => (atMs === null ? '' : `${new Date(atMs).toISOString().slice(0, 16)}Z`);

/** Reads a range from the texts of an address or of a saved view; what it does not understand is as if absent. */
export function readTimeRange(texts: Readonly<Record<string, string | undefined>>): TimeRange {
  const age = AGES.find((known) => known === texts['age']) ?? '';
  return age === '' ? { age, from: momentOf(texts['from']), to: momentOf(texts['to']) } : { ...ANY_TIME, age };
}

/** The same as texts, empty where there is nothing to say. */
export function writeTimeRange({ age, from, to }: TimeRange): { age: string; from: string; to: string } {
  return { age, from: textOf(from), to: textOf(to) };
}
