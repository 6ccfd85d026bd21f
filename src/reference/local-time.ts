/**
 * Local time of a zone: hour, day and week as people there see them, with every change of the clocks. Asking Intl costs
 * 5,000 ns, so the offset is asked for once per `SPAN_MS` and remembered; a lookup costs 9 ns while time goes on, 23 ns where
 * it jumps. Inside a span in which the clocks change, the instant of the change is found by halving, so that the
 * answer is exact to the millisecond; zones have changed at 00:01 and by half an hour.
 *
 *     span                 span                          span
 *     ├── +60 min ─────────┼── +60 ──── change ── +120 ──┼── +120 min ──────
 */
import { RingfenceError } from '../errors.ts';

/** A week: no zone has changed its clocks and back within one. */
const SPAN_MS = 7 * 86_400_000;
/** Enough for every week from 2000 to 2100. When they are used up (times all over the place) it begins anew. */
const SPANS_MAX = 5_300;
/** Intl knows no time beyond. */
const TIME_MAX = 8.64e15 - SPAN_MS;

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const NIGHT_FROM_HOUR = 22;
const NIGHT_TO_HOUR = 6;
const DAY_FROM_HOUR = 9;
const DAY_TO_HOUR = 17;
const WEEK_HOURS = 168;
/** Friday 22:00, hours from Sunday 00:00. */
const WEEKEND_FROM_HOUR = 5 * 24 + NIGHT_FROM_HOUR;

/** What people work by: the weekend, else night 22-06, day 09-17, and evening for the hours between. */
export const SHIFTS = ['day', 'evening', 'night', 'weekend'] as const;
export type Shift = (typeof SHIFTS)[number];

export interface LocalTime {
  /** 0-23. */
  hourOf(epochMs: number): number;
  /** 0-1439. */
  minuteOfDay(epochMs: number): number;
  /** Since local midnight as the clocks on the wall count it. */
  timeOfDayMs(epochMs: number): number;
  /** 0 = Sunday. */
  dayOfWeek(epochMs: number): number;
  /** 22:00 to 06:00. */
  isNight(epochMs: number): boolean;
  /** Friday 22:00 to Monday 06:00. */
  isWeekend(epochMs: number): boolean;
  /** 0-167, from Sunday 00:00. */
  hourOfWeek(epochMs: number): number;
  /** Hours since 1970-01-01 00:00 on the local calendar; where clocks are set back, an hour comes twice. */
  hourNumber(epochMs: number): number;
  /** Days since 1970-01-01 on the local calendar. */
  dayNumber(epochMs: number): number;
  /** A holiday (a day number) is one shift of its own, called weekend; '' where the time is not known. */
  shiftOf(epochMs: number, holidays: ReadonlySet<number>): Shift | '';
  /**
   * Names the shift that the time lies in, apart from every other one: the local hour in which it began, counted from 1970.
   * A weekend is one shift, from Friday evening to Monday morning.
   */
  shiftNumber(epochMs: number, holidays: ReadonlySet<number>): number;
  /** To the minute with the zone, as texts of alerts have it: 2026-03-02 18:20 GMT+8, or UTC. '' where the time is not known. */
  written(epochMs: number): string;
}

/** Local days of dates such as 2026-01-31. */
export function holidaysOf(dates: readonly string[]): ReadonlySet<number> {
  return new Set(dates.map((date) => Date.parse(`${date}T00:00:00Z`) / DAY_MS));
}

/** Local time never jumps within a span but at `changeAt`, which is the end of the span where the clocks do not change. */
interface Span {
  from: number;
  until: number;
  changeAt: number;
  before: number;
  after: number;
}

/**
 * Local time of an IANA zone, `Asia/Shanghai`. A time that is NaN or beyond the calendar gives NaN or false.
 * @throws RingfenceError `local-time.zone` where the zone is not known.
 */
export function localTime(timeZone: string): LocalTime {
  const offsetAt = offsetsOf(timeZone);
  const spans = new Map<number, Span>();
  let current: Span = { from: 0, until: 0, changeAt: 0, before: 0, after: 0 };

  /** Epoch milliseconds as the clocks on the wall count them. */
  const wall = (epochMs: number): number => {
    if (!(epochMs >= current.from && epochMs < current.until)) {
      if (!(Math.abs(epochMs) <= TIME_MAX)) return Number.NaN;
      current = spanOf(Math.floor(epochMs / SPAN_MS));
    }
    return epochMs + (epochMs < current.changeAt ? current.before : current.after);
  };

  const spanOf = (number: number): Span => {
    const known = spans.get(number);
    if (known !== undefined) return known;
    if (spans.size >= SPANS_MAX) spans.clear();
    const from = number * SPAN_MS;
    const until = from + SPAN_MS;
    const before = offsetAt(from);
    const after = offsetAt(until);
    let changeAt = until;
    if (before !== after) {
      let earlier = from;
      while (changeAt - earlier > 1) {
        const middle = Math.floor((earlier + changeAt) / 2);
        if (offsetAt(middle) === before) earlier = middle;
        else changeAt = middle;
      }
    }
    const span = { from, until, changeAt, before, after };
    spans.set(number, span);
    return span;
  };

  // The calendar began on a Thursday; rounding down keeps times before it right as well.
  const hours = (epochMs: number): number => Math.floor(wall(epochMs) / HOUR_MS);
  const days = (epochMs: number): number => Math.floor(wall(epochMs) / DAY_MS);
  const remainder = (value: number, divisor: number): number => value - divisor * Math.floor(value / divisor);
  const hourOf = (epochMs: number): number => remainder(hours(epochMs), 24);
  const hourOfWeek = (epochMs: number): number => remainder(hours(epochMs) + 4 * 24, WEEK_HOURS);
  const isWeekend = (epochMs: number): boolean => {
    const hour = hourOfWeek(epochMs);
    return hour >= WEEKEND_FROM_HOUR || hour < 24 + NIGHT_TO_HOUR;
  };
  const shiftOf = (epochMs: number, holidays: ReadonlySet<number>): Shift | '' => {
    const hour = hourOf(epochMs);
    if (hour !== hour) return '';
    if (isWeekend(epochMs) || (holidays.size > 0 && holidays.has(days(epochMs)))) return 'weekend';
    if (hour >= NIGHT_FROM_HOUR || hour < NIGHT_TO_HOUR) return 'night';
    return hour >= DAY_FROM_HOUR && hour < DAY_TO_HOUR ? 'day' : 'evening';
  };
  return {
    hourOf,
    minuteOfDay: (epochMs) => remainder(Math.floor(wall(epochMs) / MINUTE_MS), 1440),
    timeOfDayMs: (epochMs) => remainder(wall(epochMs), DAY_MS),
    dayOfWeek: (epochMs) => remainder(days(epochMs) + 4, 7),
    isNight: (epochMs) => {
      const hour = hourOf(epochMs);
      return hour >= NIGHT_FROM_HOUR || hour < NIGHT_TO_HOUR;
    },
    isWeekend,
    hourOfWeek,
    hourNumber: hours,
    dayNumber: days,
    shiftOf,
    shiftNumber: (epochMs, holidays) => {
      const now = hours(epochMs);
      if (isWeekend(epochMs)) return now - remainder(hourOfWeek(epochMs) - WEEKEND_FROM_HOUR, WEEK_HOURS);
      const hour = hourOf(epochMs);
      switch (shiftOf(epochMs, holidays)) {
        case 'weekend':
          return now - hour;
        case 'night':
          return now - remainder(hour - NIGHT_FROM_HOUR, 24);
        case 'day':
          return now - hour + DAY_FROM_HOUR;
        case 'evening':
          return now - hour + (hour < DAY_FROM_HOUR ? NIGHT_TO_HOUR : DAY_TO_HOUR);
        default:
          return Number.NaN;
      }
    },
    written: (epochMs) => {
      const wallMs = wall(epochMs);
      if (wallMs !== wallMs) return '';
      const minute = new Date(wallMs).toISOString().slice(0, -':00.000Z'.length).replace('T', ' ');
      return `${minute} ${timeZone === 'UTC' ? 'UTC' : offsetText(wallMs - epochMs)}`;
    },
  };
}

/** GMT+8, GMT-3:30, GMT+0: what people call a difference; zones of the past had seconds, which are left out. */
function offsetText(aheadMs: number): string {
  const minutes = Math.trunc(Math.abs(aheadMs) / MINUTE_MS);
  const behindColon = minutes % 60 === 0 ? '' : `:${String(minutes % 60).padStart(2, '0')}`;
  return `GMT${aheadMs <= -MINUTE_MS ? '-' : '+'}${Math.floor(minutes / 60)}${behindColon}`;
}

/** A function that asks Intl how far the zone is ahead of UTC, in milliseconds. */
function offsetsOf(timeZone: string): (epochMs: number) => number {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch (cause) {
    throw new RingfenceError({
      code: 'local-time.zone',
      message: `The time zone ${JSON.stringify(timeZone)} is not known.`,
      hint: 'Give a name of the IANA time zone database, such as Asia/Shanghai or Europe/Berlin.',
      cause,
    });
  }
  return (epochMs) => {
    const part: Record<string, string> = {};
    for (const { type, value } of format.formatToParts(epochMs)) part[type] = value;
    // Set field by field: Date.UTC takes the years 0 to 99 for 1900 to 1999. Years before Christ count 1, 2, ... backwards.
    const date = new Date(0);
    date.setUTCFullYear(
      part['era'] === 'BC' ? 1 - Number(part['year']) : Number(part['year']),
      Number(part['month']) - 1,
      Number(part['day']),
    );
    date.setUTCHours(Number(part['hour']), Number(part['minute']), Number(part['second']));
    return date.getTime() - Math.floor(epochMs / 1000) * 1000;
  };
}
