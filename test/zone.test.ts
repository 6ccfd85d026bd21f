/** Times in the fields of forms: what somebody types is meant by the operator's clock, wherever the browser is. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fieldOf, momentOf } from '../src/console/zone.ts';

test.each([
  ['Asia/Shanghai', '2026-03-07T23:59:59', '2026-03-07T15:59:59Z'],
  ['Europe/Berlin', '2026-07-01T12:00', '2026-07-01T10:00:00Z'],
  ['Europe/Berlin', '2026-03-29T03:00', '2026-03-29T01:00:00Z'], // the clocks have just been put forward
  ['Europe/Berlin', '2026-10-25T03:00', '2026-10-25T02:00:00Z'], // and back
  ['America/St_Johns', '2026-01-01T00:00', '2026-01-01T03:30:00Z'],
  ['UTC', '2026-01-01T00:00', '2026-01-01T00:00:00Z'],
])('%s: %s is %s', (zone, field, moment) => {
  expect(new Date(momentOf(field, zone)).toISOString()).toBe(moment.replace('Z', '.000Z'));
});

test('nothing typed is no moment', () => {
  expect(momentOf('', 'UTC')).toBeNaN();
});

test('a field that shows a moment means the same minute of the clock', () => {
  const instant = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2100, 0, 1) });
  const zone = fc.constantFrom('UTC', 'Asia/Shanghai', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe');
  fc.assert(
    fc.property(instant, zone, (at, timeZone) => {
      const field = fieldOf(at, timeZone);
      expect(fieldOf(momentOf(field, timeZone), timeZone)).toBe(field);
    }),
    { numRuns: 500 },
  );
});
