/** What a tariff would have brought in: prices of single records, and whole files through the core. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { whatIf } from '../src/cli/whatif.ts';
import { DEFAULTS } from '../src/config.ts';
import { type BundleUse, isBilled, parseTariff, priceOf, type Surroundings, type Tariff } from '../src/rules/tariff.ts';
import { recordAt } from './rule-engine.ts';

const tariffOf = (text: string): Tariff => {
  const parsed = parseTariff('tariff.yaml', text);
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.tariff;
};
const head = 'id: drawn\nversion: 1\ntitle: { en: Drawn, zh-CN: 随机 }\n';
const tariff = tariffOf(`${head}monthlyFee: 9.9
bundles:
  - { name: minutes, on: voice, amount: 10, classes: [national] }
  - { name: evenings, on: voice, amount: 5, shifts: [evening] }
  - { name: data, on: data, amount: 2 }
rates:
  - { on: voice, classes: [international], countries: [LV], perMin: 0.4, roundSec: 60, setup: 0.05 }
  - { on: voice, classes: [international], perMin: 1 }
  - { on: voice, roaming: true, perMin: 0.9 }
  - { on: voice, shifts: [weekend], perMin: 0 }
  - { on: voice, perMin: 0.15 }
  - { on: sms, perSms: 0.1 }
  - { on: data, perMb: 0.01 }
`);
const around = (fields: Partial<Surroundings> = {}): Surroundings => ({
  kind: 'national',
  country: 'CN',
  shift: 'day',
  roaming: false,
  month: 1,
  ...fields,
});
const fresh = (): BundleUse => ({ month: Number.NaN, used: new Float64Array(3) });
const spent = (month = 1): BundleUse => ({ month, used: Float64Array.of(1e9, 1e9, 1e12) });
const voice = (sec: number) => recordAt(0, { recordType: 'voice', durationMs: sec * 1000 });

describe('the price of a record', () => {
  test('is that of the first rate that fits, by class, country, time and roaming', () => {
    const of = (sec: number, fields: Partial<Surroundings>): number =>
      priceOf(tariff, voice(sec), around(fields), spent()) / 1e6;
    expect(of(61, { kind: 'international', country: 'LV' })).toBe(0.85);
    expect(of(60, { kind: 'international', country: 'LV' })).toBe(0.45);
    expect(of(30, { kind: 'international', country: 'FR' })).toBe(0.5);
    expect(of(60, { roaming: true })).toBe(0.9);
    expect(of(60, { shift: 'weekend' })).toBe(0);
    expect(of(60, { kind: 'other', country: '' })).toBe(0.15);
  });

  test('is nothing inside a bundle, and counts from where it ends', () => {
    const use = fresh();
    expect(priceOf(tariff, voice(599), around(), use)).toBe(0);
    expect(priceOf(tariff, voice(1), around(), use)).toBe(0);
    expect(priceOf(tariff, voice(60), around(), use)).toBe(150_000);
    // Another bundle takes what the first has no room for; a month later both are there again.
    expect(priceOf(tariff, voice(360), around({ shift: 'evening' }), use)).toBe(150_000);
    expect(priceOf(tariff, voice(600), around({ month: 2 }), use)).toBe(0);
    expect(priceOf(tariff, voice(60), around({ month: 2 }), use)).toBe(150_000);
    const data = recordAt(0, { recordType: 'data', bytesUp: 1_000_000, bytesDown: 2_500_000 });
    expect(priceOf(tariff, data, around(), use)).toBe(15_000);
  });

  test('adds up to what the whole month used beyond its bundle, however it is cut into calls', () => {
    const simple = tariffOf(
      `${head}bundles: [{ name: all, on: voice, amount: 10 }]\nrates: [{ on: voice, perMin: 0.06 }]\n`,
    );
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 20 }), (calls) => {
        const use: BundleUse = { month: Number.NaN, used: new Float64Array(1) };
        const paid = calls.reduce((sum, sec) => sum + priceOf(simple, voice(sec), around(), use), 0);
        const total = calls.reduce((sum, sec) => sum + sec, 0);
        expect(paid).toBe(Math.max(0, total - 600) * 1_000);
      }),
    );
  });

  test('is asked only of what the subscriber pays for', () => {
    const billed = (fields: Parameters<typeof recordAt>[1]): boolean => isBilled(recordAt(0, fields));
    expect(billed({ durationMs: 1 })).toBe(true);
    expect(billed({ durationMs: 0 })).toBe(false);
    expect(billed({ direction: 'mt' })).toBe(false);
    expect(billed({ direction: 'forwarded' })).toBe(true);
    expect(billed({ recordType: 'sms' })).toBe(true);
    expect(billed({ recordType: 'sms', direction: 'mt' })).toBe(false);
    expect(billed({ recordType: 'data', direction: '' })).toBe(true);
    expect(billed({ recordType: 'data', zeroRated: true })).toBe(false);
    expect(billed({ recordType: 'topup' })).toBe(false);
  });
});

test('a tariff that is wrong is refused with its place', () => {
  const problemsOf = (rate: string): string => {
    const parsed = parseTariff('t.yaml', `${head}rates:\n  - ${rate}\n`);
    return 'problems' in parsed ? parsed.problems.map(({ line, message }) => `${line}: ${message}`).join('; ') : '';
  };
  expect(problemsOf('{ on: voice, perMin: 0.1 }')).toBe('');
  expect(problemsOf('{ on: voice, perMb: 0.1 }')).toMatch(
    /5: 'perMb' is a price of data, not of voice; 5: a rate of voice needs 'perMin'/,
  );
  expect(problemsOf('{ on: sms, perSms: 0.1, roundSec: 60 }')).toMatch(/5: 'roundSec' is a price of voice, not of sms/);
  expect(problemsOf('{ on: voice, perMin: -1 }')).toMatch(/^5: 'rates.0.perMin' must be >= 0/);
  expect(problemsOf('{ on: voice, perMin: 1, shifts: [dusk] }')).toMatch(/^5: /);
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfence-whatif-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const begin = Date.parse('2026-03-02T10:00:00Z');
  const DAY_MS = 86_400_000;
  const record = (recordId: string, day: number, fields: Record<string, unknown>) => ({
    recordId,
    recordType: 'voice',
    eventTime: begin + day * DAY_MS,
    servedMsisdn: '8613900000001',
    direction: 'mo',
    otherNumber: '8613700000000',
    durationSec: 60,
    charge: 0.5,
    ...fields,
  });
  const LIGHT = '8613900000001';
  const HEAVY = '8613900000002';
  const lines = [
    {
      recordId: 'fee',
      recordType: 'account',
      eventTime: begin,
      servedMsisdn: LIGHT,
      event: 'profile',
      attributes: { monthlyFee: 5 },
    },
    record('1', 0, {}),
    record('1', 0, {}),
    record('2', 1, { direction: 'mt', charge: 0 }),
    // Another month.
    record('3', 40, { durationSec: 120 }),
    ...Array.from({ length: 50 }, (_, index) =>
      record(`h${index}`, 2 + index / 1000, {
        servedMsisdn: HEAVY,
        otherNumber: '37129000000',
        durationSec: 61,
        charge: 0.1,
      }),
    ),
    { recordId: 'bad', recordType: 'voice', servedMsisdn: HEAVY },
  ];
  const file = join(folder, 'records.ndjson');
  writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const options = { rules: DEFAULTS.rules, timeZone: 'UTC', by: 'none' as const };

  test('are priced record by record, duplicates once, and fees for each month of use', async () => {
    const result = await whatIf([file], { ...options, tariff });
    expect(result).toMatchObject({ records: 56, rejected: 1, duplicates: 1, billed: 52, uncharged: 0 });
    const [light, heavy] = result.subscribers;
    // Two months at 5 and two calls at 0.50; then two months at 9.90 with all inside the bundle.
    expect(light).toMatchObject({ servedMsisdn: LIGHT, months: 2, before: 11, after: 19.8, billShock: false });
    // Fifty calls of two billed minutes and a setup to Latvia.
    expect(heavy).toMatchObject({ servedMsisdn: HEAVY, months: 1, before: 5, billShock: true });
    expect(heavy!.after).toBeCloseTo(9.9 + 50 * 0.85, 9);
    expect(result.total).toMatchObject({ subscribers: 2, winners: 0, losers: 2, billShocks: 1, before: 16 });
    expect(result.total.delta).toBeCloseTo(result.total.after - 16, 9);
  });

  test('compared with a second tariff, both are reckoned from the same usage', async () => {
    const cheap = tariffOf(`${head}rates:\n  - { on: voice, perMin: 0.3 }\n`);
    const { subscribers, compared } = await whatIf([file], { ...options, tariff: cheap, compare: tariff });
    expect(compared).toEqual({ id: 'drawn', version: 1 });
    expect(subscribers.map(({ before }) => before)).toEqual([19.8, expect.closeTo(52.4, 9)]);
    expect(subscribers.map(({ after }) => after)).toEqual([expect.closeTo(0.9, 9), expect.closeTo(50 * 0.305, 9)]);
    const same = await whatIf([file], { ...options, tariff, compare: tariff });
    expect(same.total).toMatchObject({ delta: 0, winners: 0, losers: 0, billShocks: 0 });
  });

  test('a higher bill drives subscribers away by as much as the tariff says', async () => {
    const doubled = (response: number): Tariff =>
      tariffOf(
        `${head}churnResponse: ${response}\nrates:\n  - { on: voice, classes: [international], perMin: 0.19672131 }\n`,
      );
    const heavyOf = async (response: number) => {
      const { total, subscribers } = await whatIf([file], { ...options, tariff: doubled(response) });
      return { total, heavy: subscribers[1]! };
    };
    const without = await heavyOf(0);
    expect(without.heavy.after / without.heavy.before).toBeCloseTo(2, 5);
    const withIt = await heavyOf(0.3);
    // The bill doubles, so the chance to stay is 0.3 less, of what it pays then.
    expect(without.total.expectedAfter - withIt.total.expectedAfter).toBeCloseTo(0.3 * without.heavy.after, 4);
  });

  test('segments are those of the model, and add up to the total', async () => {
    const { segments, total } = await whatIf([file], { ...options, tariff, by: 'stage' });
    expect(segments.map(({ segment }) => segment).every((one) => /^[a-z]+$/.test(one))).toBe(true);
    for (const figure of ['subscribers', 'before', 'after', 'losers', 'billShocks'] as const)
      expect(segments.reduce((sum, one) => sum + one[figure], 0)).toBeCloseTo(total[figure], 9);
  });
});
