import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RingfenceError } from '../src/errors.ts';
import { localTime } from '../src/reference/local-time.ts';

const ZONES = [
  'UTC',
  'Asia/Shanghai',
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'Australia/Lord_Howe',
  'Africa/Casablanca',
  'Asia/Kathmandu',
  'Asia/Gaza',
  'Pacific/Apia',
  'Pacific/Chatham',
];

test.each([
  // zone                  instant                        day    min of day  night  weekend
  ['Asia/Shanghai', '2024-06-07T13:59:59.999Z', 5, 21 * 60 + 59, false, false],
  ['Asia/Shanghai', '2024-06-07T14:00:00Z', 5, 22 * 60, true, true],
  ['Asia/Shanghai', '2024-06-09T21:59:59Z', 1, 5 * 60 + 59, true, true],
  ['Asia/Shanghai', '2024-06-09T22:00:00Z', 1, 6 * 60, false, false],
  ['Asia/Shanghai', '2024-06-05T16:00:00Z', 4, 0, true, false],
  ['Europe/Berlin', '2024-03-31T00:59:59.999Z', 0, 60 + 59, true, true], // the last millisecond of winter time
  ['Europe/Berlin', '2024-03-31T01:00:00Z', 0, 3 * 60, true, true], // 02:00 does not exist
  ['Europe/Berlin', '2024-10-27T00:59:59Z', 0, 2 * 60 + 59, true, true],
  ['Europe/Berlin', '2024-10-27T01:00:00Z', 0, 2 * 60, true, true], // 02:00 a second time
  ['America/St_Johns', '2010-03-14T03:30:59Z', 0, 0, true, true], // the clocks changed at 00:01
  ['America/St_Johns', '2010-03-14T03:31:00Z', 0, 60 + 1, true, true],
  ['Australia/Lord_Howe', '2024-04-06T15:00:00Z', 0, 60 + 30, true, true], // half an hour back
  ['Pacific/Apia', '2011-12-30T09:59:59Z', 4, 23 * 60 + 59, true, false], // Friday was left out
  ['Pacific/Apia', '2011-12-30T10:00:00Z', 6, 0, true, true],
  ['Asia/Kathmandu', '2024-01-01T00:00:00Z', 1, 5 * 60 + 45, true, true],
  ['UTC', '1969-12-31T23:59:59Z', 3, 23 * 60 + 59, true, false],
])('%s at %s', (zone, instant, day, minute, night, weekend) => {
  const local = localTime(zone);
  const at = Date.parse(instant);
  expect([local.dayOfWeek(at), local.minuteOfDay(at), local.isNight(at), local.isWeekend(at)]).toEqual([
    day,
    minute,
    night,
    weekend,
  ]);
  expect(local.hourOf(at)).toBe(Math.floor(minute / 60));
  expect(local.hourOfWeek(at)).toBe(day * 24 + Math.floor(minute / 60));
});

describe.each(ZONES)('%s', (zone) => {
  /** Asks Intl each time, and shares nothing with the source. */
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  const withOffset = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'shortOffset' });
  const wallOf = (at: number): number => Date.parse(`${format.format(at).replace(' ', 'T')}Z`);

  test('agrees with Intl at drawn instants, in any order', () => {
    const local = localTime(zone);
    const instant = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2100, 0, 1) });
    fc.assert(
      fc.property(fc.array(instant, { minLength: 1, maxLength: 10 }), (instants) => {
        for (const at of instants) {
          const wall = new Date(wallOf(at));
          expect(local.dayNumber(at)).toBe(Math.floor(wall.getTime() / 86_400_000));
          expect(local.minuteOfDay(at)).toBe(wall.getUTCHours() * 60 + wall.getUTCMinutes());
          expect(local.dayOfWeek(at)).toBe(wall.getUTCDay());
          const offset = withOffset.formatToParts(at).find(({ type }) => type === 'timeZoneName')!.value;
          const minute = format.format(at).slice(0, 16);
          expect(local.written(at)).toBe(`${minute} ${zone === 'UTC' ? 'UTC' : offset}`);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('agrees with Intl through a year in steps of 13 minutes', () => {
    const local = localTime(zone);
    const wrong: string[] = [];
    for (let at = Date.UTC(2024, 0, 1); at < Date.UTC(2025, 0, 1); at += 13 * 60_000) {
      // Asking Intl 40,000 times for each zone takes seconds; around the hours where clocks change every step is asked.
      if (local.hourOf(at) > 4 && local.minuteOfDay(at) % 7 !== 0) continue;
      if (local.minuteOfDay(at) !== Math.floor((wallOf(at) % 86_400_000) / 60_000))
        wrong.push(new Date(at).toISOString());
    }
    expect(wrong).toEqual([]);
  });
});

test('a time that is none gives no hour and no night', () => {
  const local = localTime('Europe/Berlin');
  for (const at of [Number.NaN, Number.POSITIVE_INFINITY, -9e15]) {
    expect([local.hourOf(at), local.minuteOfDay(at), local.dayOfWeek(at), local.dayNumber(at)]).toEqual([
      Number.NaN,
      Number.NaN,
      Number.NaN,
      Number.NaN,
    ]);
    expect([local.isNight(at), local.isWeekend(at)]).toEqual([false, false]);
  }
  expect(local.hourOf(Date.UTC(2024, 0, 1))).toBe(1);
});

test('more weeks than are remembered still give right answers', () => {
  const local = localTime('Europe/Berlin');
  for (let week = 0; week < 6_000; week++) {
    const at = Date.UTC(1970, 0, 1, 12) + week * 7 * 86_400_000;
    expect([13, 14]).toContain(local.hourOf(at));
  }
  expect(local.hourOf(Date.UTC(2024, 6, 1, 12))).toBe(14);
  expect(local.hourOf(Date.UTC(2024, 0, 1, 12))).toBe(13);
});

test.each(['Mars/Olympus', '', 'Asia/Shanghai\n', '__proto__'])('the zone %j is refused', (zone) => {
  try {
    localTime(zone);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(RingfenceError);
    expect((error as RingfenceError).code).toBe('local-time.zone');
    expect((error as RingfenceError).exitCode).toBe(3);
    expect((error as RingfenceError).message).not.toContain('\n');
  }
});
