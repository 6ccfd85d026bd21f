import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contactTime } from '../src/reference/contact-hours.ts';
import { holidaysOf, localTime } from '../src/reference/local-time.ts';
import { BEGIN, engineWith, recordAt, ruleWith } from './rule-engine.ts';

const HOUR_MS = 3_600_000;
const HOURS = { fromMs: 9 * HOUR_MS, toMs: 18 * HOUR_MS, spreadMs: 2 * HOUR_MS };
const utc = { localTime: localTime('UTC'), holidays: holidaysOf(['2026-05-01']) };
const shown = (time: number): string => new Date(time).toISOString().slice(0, 16);

describe('the time of contact', () => {
  test.each([
    // 2026-04-29 is a Wednesday, the 1st of May a Friday and a holiday.
    ['2026-04-29T10:00', '2026-04-29T10:00', 'at once inside the hours'],
    ['2026-04-29T08:59', '2026-04-29T09:00', 'waits for the morning'],
    ['2026-04-29T18:00', '2026-04-30T09:00', 'the end of the hours is outside'],
    ['2026-04-30T22:00', '2026-05-02T09:00', 'passes over a holiday'],
    ['2026-05-02T17:59', '2026-05-02T17:59', 'Saturdays count'],
    ['2026-05-02T20:00', '2026-05-04T09:00', 'passes over a Sunday'],
  ])('%s: %s, %s', (at, wanted) => {
    expect(shown(contactTime(Date.parse(`${at}Z`), HOURS, utc, 0))).toBe(wanted);
  });

  test('is spread over the next hours, and never over their end', () => {
    const night = Date.parse('2026-04-29T03:00Z');
    expect(shown(contactTime(night, HOURS, utc, 0.5))).toBe('2026-04-29T10:00');
    expect(shown(contactTime(Date.parse('2026-04-29T17:00Z'), HOURS, utc, 0.5))).toBe('2026-04-29T17:30');
    const spread = { ...HOURS, spreadMs: 48 * HOUR_MS };
    expect(contactTime(night, spread, utc, 0.999_999)).toBeLessThan(Date.parse('2026-04-29T18:00Z'));
  });

  test('lies inside the hours of the zone, also where its clocks change', () => {
    const zones = ['Europe/Berlin', 'Asia/Shanghai', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Cairo'];
    const holidays = holidaysOf(['2026-03-30', '2026-10-26', '2026-12-25']);
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: Date.parse('2026-01-01Z'), max: Date.parse('2027-01-01Z') }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 0, max: 12 }),
        (zone, at, share, from) => {
          const calendar = { localTime: localTime(zone), holidays };
          const hours = { fromMs: from * HOUR_MS, toMs: (from + 6) * HOUR_MS, spreadMs: 3 * HOUR_MS };
          const time = contactTime(at, hours, calendar, share);
          expect(time).toBeGreaterThanOrEqual(at);
          expect(time - at).toBeLessThan(4 * 24 * HOUR_MS);
          const text = new Date(time).toLocaleString('sv-SE', { timeZone: zone });
          const clock = Number(text.slice(11, 13));
          expect(clock).toBeGreaterThanOrEqual(from);
          expect(clock).toBeLessThan(from + 6);
          expect(new Date(`${text.slice(0, 10)}T12:00Z`).getUTCDay()).not.toBe(0);
          expect(['2026-03-30', '2026-10-26', '2026-12-25']).not.toContain(text.slice(0, 10));
        },
      ),
      { numRuns: 400 },
    );
  });

  test('is not known where there are no hours, or nothing but holidays', () => {
    expect(contactTime(BEGIN, { ...HOURS, toMs: HOURS.fromMs }, utc, 0)).toBeNaN();
    expect(contactTime(Number.NaN, HOURS, utc, 0)).toBeNaN();
    const always = {
      ...utc,
      holidays: new Set(Array.from({ length: 400 }, (_, day) => BEGIN / 86_400_000 + day - 1).map(Math.floor)),
    };
    expect(contactTime(BEGIN, HOURS, always, 0)).toBeNaN();
  });

  test('in a rule: the same for the same account, another one for most others', () => {
    const rule = ruleWith({
      key: 'account',
      on: 'payment',
      params: { from: '9h', to: '18h', spread: '2h' },
      features: { contactAt: { value: 'contactTime(now, from, to, spread)' } },
      bands: [{ severity: 'warning', if: 'amount > 0', score: 50 }],
      reason: { en: 'contact {contactAt}', 'zh-CN': '联系时间{contactAt}' },
    });
    const contactAt = (accountId: string): unknown => {
      const alerts: Parameters<ReturnType<typeof engineWith>['apply']>[1] = [];
      const night = recordAt(12 * HOUR_MS, { recordType: 'payment', amountMicros: 1, accountId });
      engineWith([rule]).apply(night, alerts);
      const [evidence] = alerts[0]!.evidence;
      expect(evidence).toMatchObject({ feature: 'contactAt', unit: 'time' });
      return evidence!.value;
    };
    expect(contactAt('A-1')).toBe(contactAt('A-1'));
    const times = Array.from({ length: 20 }, (_, index) => contactAt(`A-${index}`) as number);
    expect(new Set(times).size).toBeGreaterThan(15);
    for (const time of times) expect(shown(time)).toMatch(/^2026-03-03T(09|10):/);
    const wrong = { ...rule, features: { contactAt: { value: 'contactTime(now, 9, 18, 2)' } } };
    expect(() => engineWith([wrong])).toThrow('contactTime() takes a time and three durations');
  });
});
