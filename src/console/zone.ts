/**
 * Times in the fields of forms, by the operator's clock as everywhere else on the page: browsers have such fields without a zone.
 */
/** What the clock on the wall shows, as if it were UTC. */
function wallOf(atMs: number, timeZone: string): number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const part = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(part['year']!, part['month']! - 1, part['day'], part['hour'], part['minute'], part['second']);
}

/** A moment as a field of type `datetime-local` wants it, to the minute; its first ten characters are the day. */
export const fieldOf = (atMs: number, timeZone: string): string =>
  new Date(wallOf(atMs, timeZone)).toISOString().slice(0, 16);

/** The moment that stands in such a field; NaN where none does. */
export function momentOf(field: string, timeZone: string): number {
  const wallMs = Date.parse(`${field}Z`);
  if (Number.isNaN(wallMs)) return wallMs;
  // The difference is that of the moment itself, which it leads to: near a change of the clocks the first guess may be an hour off.
  const guess = wallMs - (wallOf(wallMs, timeZone) - wallMs);
  return wallMs - (wallOf(guess, timeZone) - guess);
}
