/**
 * When people may be called or written to about money: inside the hours of a day, not on Sundays, not on holidays.
 *
 * ```
 * alert     Sat 23:10           Sun             Mon (holiday)   Tue 09:00 ··│·· 11:00        18:00
 * contact                                                                 09:41
 * ```
 *
 * Alerts of a night would all be due at the first minute of the morning; a share of the spread, the same one for the same
 * account every time, puts them one behind the other.
 */
import type { LocalTime } from './local-time.ts';

const DAY_MS = 86_400_000;
const SUNDAY = 0;
/** Steps until a day is found; a calendar of nothing but holidays has none. */
const STEPS_MAX = 200;

export interface ContactHours {
  /** Times of the day, ms since its midnight on the wall clock. */
  fromMs: number;
  toMs: number;
  /** Contacts are spread over this much of the hours that are left. */
  spreadMs: number;
}

/**
 * The time to make contact for what happened at `at`, epoch ms, never before it. NaN where there are no such hours.
 * @param share where in the spread this account stands, 0 to 1
 */
export function contactTime(
  at: number,
  hours: ContactHours,
  calendar: { localTime: LocalTime; holidays: ReadonlySet<number> },
  share: number,
): number {
  const { localTime, holidays } = calendar;
  const { fromMs, toMs, spreadMs } = hours;
  if (!(fromMs >= 0 && fromMs < toMs && toMs <= DAY_MS)) return Number.NaN;
  let time = at;
  for (let step = 0; step < STEPS_MAX; step++) {
    const ofDay = localTime.timeOfDayMs(time);
    if (ofDay !== ofDay) return Number.NaN;
    const isOff = localTime.dayOfWeek(time) === SUNDAY || holidays.has(localTime.dayNumber(time));
    // Where the clocks change in between, the next step finds that the time is not reached yet.
    if (isOff || ofDay >= toMs) time += DAY_MS - ofDay;
    else if (ofDay < fromMs) time += fromMs - ofDay;
    else return time + Math.floor(share * Math.min(Math.max(0, spreadMs), toMs - ofDay));
  }
  return Number.NaN;
}
