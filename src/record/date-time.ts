/**
 * RFC 3339 times with a real offset, to epoch milliseconds. `Date.parse` is not used: it takes 30 February for 1 March,
 * a time without an offset for local time, and many forms that are not RFC 3339.
 */

const FORM = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
/** Longest text that is looked at. Fractions have no limit in the RFC; nine digits and the offset need 35 characters. */
const LENGTH_MAX = 64;

/**
 * Epoch milliseconds, digits beyond the millisecond cut off; NaN where the text is no RFC 3339 time or names a day
 * that does not exist. A leap second (`:60`) has no place in epoch milliseconds and gives NaN as well.
 */
export function parseDateTime(text: string): number {
  const match = text.length <= LENGTH_MAX ? FORM.exec(text) : null;
  if (match === null) return Number.NaN;
  const [, year, month, day, hour, minute, second, fraction = '', sign, offsetHour = '0', offsetMinute = '0'] = match;
  if (+hour > 23 || +minute > 59 || +second > 59 || +offsetHour > 23 || +offsetMinute > 59) return Number.NaN;
  // The date is set rather than given to Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  const date = new Date(0);
  date.setUTCFullYear(+year, +month - 1, +day);
  if (date.getUTCMonth() !== +month - 1 || date.getUTCDate() !== +day) return Number.NaN;
  const milliseconds = Number(`${fraction}000`.slice(0, 3));
  const offset = (+offsetHour * 60 + +offsetMinute) * 60_000 * (sign === '-' ? -1 : 1);
  return date.getTime() + ((+hour * 60 + +minute) * 60 + +second) * 1000 + milliseconds - offset;
}
