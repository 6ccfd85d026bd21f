/**
 * A tariff as a file, and what a record costs under it. Everything is data: rates by kind of usage, destination, country, time of
 * day and roaming, tried from the top, and bundles that are used up before any rate counts, anew in every calendar month of the
 * operator's time zone. Money is in millionths inside, so a bill adds up.
 *
 * ```yaml
 * id: weekend-plus
 * version: 1
 * title: { en: Weekend plus, zh-CN: 周末加 }
 * monthlyFee: 9.9
 * bundles:
 *   - { name: minutes, on: voice, amount: 300, classes: [national] }        # minutes; SMS and MB likewise
 * rates:
 *   - { on: voice, classes: [international], countries: [LV], perMin: 0.4, roundSec: 60 }
 *   - { on: voice, shifts: [weekend], perMin: 0 }
 *   - { on: voice, perMin: 0.15, setup: 0.05 }
 *   - { on: sms, perSms: 0.1 }
 *   - { on: data, perMb: 0.01 }
 * ```
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { UsageRecord } from '../record/usage-record.ts';
import { SHIFTS } from '../reference/local-time.ts';
import { parseForm, type RuleProblem, type SchemaNode } from './form.ts';
import { closed, localized } from './rule.ts';

const RATES_MAX = 500;
const BUNDLES_MAX = 50;
const MICROS = 1_000_000;
const BYTES_PER_MB = 1_000_000;
const MS_PER_MIN = 60_000;

/** Where usage leads; `other`: short codes, names, and numbers that the plan does not know. */
const DESTINATIONS = ['national', 'international', 'premium', 'other'] as const;
export type DestinationKind = (typeof DESTINATIONS)[number];
const USAGE = ['voice', 'sms', 'data'] as const;

const price = (description: string) => Type.Optional(Type.Number({ minimum: 0, maximum: 1e6, description }));
const filters = {
  on: Type.Enum([...USAGE], { type: 'string', description: 'Kind of usage.' }),
  classes: Type.Optional(
    Type.Array(Type.Enum([...DESTINATIONS], { type: 'string' }), {
      minItems: 1,
      description: 'Destinations; all where absent.',
    }),
  ),
  countries: Type.Optional(
    Type.Array(Type.String({ pattern: '^[A-Z]{2}$' }), {
      minItems: 1,
      maxItems: 250,
      description: 'Countries of the destination, ISO 3166.',
    }),
  ),
  shifts: Type.Optional(
    Type.Array(Type.Enum([...SHIFTS], { type: 'string' }), { minItems: 1, description: 'When it began, local time.' }),
  ),
  roaming: Type.Optional(Type.Boolean({ description: 'Only abroad, or only at home.' })),
};

export const tariffSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 60 }),
    version: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    title: localized('What a person calls it.'),
    monthlyFee: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1e6,
        description: 'For every month in which the subscriber was seen, currency units.',
      }),
    ),
    churnResponse: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'By how much leaving gets likelier where a bill doubles; 0 where absent.',
      }),
    ),
    bundles: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 60 }),
            ...filters,
            amount: Type.Number({ exclusiveMinimum: 0, maximum: 1e9, description: 'Minutes, SMS or MB a month.' }),
          },
          closed,
        ),
        { maxItems: BUNDLES_MAX },
      ),
    ),
    rates: Type.Array(
      Type.Object(
        {
          ...filters,
          perMin: price('Voice: price of a minute.'),
          perSms: price('SMS: price of one.'),
          perMb: price('Data: price of 10^6 bytes.'),
          setup: price('Voice: price of a call that was answered, beside its minutes.'),
          roundSec: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 3_600,
              description: 'Voice: begun steps count whole; 1 where absent.',
            }),
          ),
        },
        closed,
      ),
      {
        maxItems: RATES_MAX,
        description: 'From the top: the first one that fits counts; usage that none fits is free.',
      },
    ),
  },
  { ...closed, title: 'Ringfence tariff' },
);

export type Tariff = Static<typeof tariffSchema>;
const checker = Compile(tariffSchema);

export function parseTariff(file: string, text: string): { tariff: Tariff } | { problems: RuleProblem[] } {
  const parsed = parseForm<Tariff>(file, text, { checker, schema: tariffSchema as SchemaNode });
  if ('problems' in parsed) return parsed;
  const { value: tariff, positionOf } = parsed;
  const problems: RuleProblem[] = [];
  const wants = { voice: 'perMin', sms: 'perSms', data: 'perMb' } as const;
  for (const [index, rate] of tariff.rates.entries()) {
    const path = ['rates', index];
    const wrong = (name: string, kind: string): void => {
      problems.push({
        file,
        ...positionOf([...path, name]),
        message: `'${name}' is a price of ${kind}, not of ${rate.on}`,
      });
    };
    for (const kind of USAGE) if (kind !== rate.on && rate[wants[kind]] !== undefined) wrong(wants[kind], kind);
    for (const name of ['setup', 'roundSec'] as const)
      if (rate.on !== 'voice' && rate[name] !== undefined) wrong(name, 'voice');
    if (rate[wants[rate.on]] === undefined)
      problems.push({
        file,
        ...positionOf(path),
        message: `a rate of ${rate.on} needs '${wants[rate.on]}'; 0 is free`,
      });
  }
  return problems.length > 0 ? { problems } : { tariff };
}

/** What a tariff asks of a record beside its own fields. */
export interface Surroundings {
  kind: DestinationKind;
  /** Of the destination; empty where it is not known. */
  country: string;
  shift: string;
  roaming: boolean;
  /** The calendar month in which it began, as any number of its own. */
  month: number;
}

/** What one subscriber has used of its bundles in a month. */
export interface BundleUse {
  month: number;
  /** Milliseconds, SMS or bytes by bundle. */
  used: Float64Array;
}

/** Does the subscriber pay for it? What comes in is free, and so is what the operator does not rate. */
export function isBilled({ recordType, direction, durationMs, zeroRated }: UsageRecord): boolean {
  if (recordType === 'data') return zeroRated !== true;
  if (recordType === 'sms') return direction === 'mo';
  return recordType === 'voice' && (direction === 'mo' || direction === 'forwarded') && durationMs > 0;
}

type Filters = Pick<Tariff['rates'][number], 'on' | 'classes' | 'countries' | 'shifts' | 'roaming'>;
const fits = ({ on, classes, countries, shifts, roaming }: Filters, type: string, around: Surroundings): boolean =>
  on === type &&
  (classes === undefined || on === 'data' || classes.includes(around.kind)) &&
  (countries === undefined || on === 'data' || countries.includes(around.country)) &&
  (shifts === undefined || (shifts as string[]).includes(around.shift)) &&
  (roaming === undefined || roaming === around.roaming);

/** The price of a record in millionths; `use` is updated, and begins anew with another month. */
export function priceOf(tariff: Tariff, record: UsageRecord, around: Surroundings, use: BundleUse): number {
  if (use.month !== around.month) {
    use.month = around.month;
    use.used.fill(0);
  }
  const { recordType } = record;
  const whole =
    recordType === 'voice' ? record.durationMs : recordType === 'sms' ? 1 : record.bytesUp + record.bytesDown;
  let left = Math.max(0, whole || 0);
  for (const [index, bundle] of (tariff.bundles ?? []).entries()) {
    if (left === 0) break;
    if (!fits(bundle, recordType, around)) continue;
    const perUnit = recordType === 'voice' ? MS_PER_MIN : recordType === 'sms' ? 1 : BYTES_PER_MB;
    const taken = Math.min(left, Math.max(0, bundle.amount * perUnit - use.used[index]!));
    use.used[index]! += taken;
    left -= taken;
  }
  if (left === 0) return 0;
  const rate = tariff.rates.find((one) => fits(one, recordType, around));
  if (rate === undefined) return 0;
  switch (rate.on) {
    case 'voice': {
      const stepMs = (rate.roundSec ?? 1) * 1_000;
      const billedMs = Math.ceil(left / stepMs) * stepMs;
      return Math.round((rate.perMin! * MICROS * billedMs) / MS_PER_MIN + (rate.setup ?? 0) * MICROS);
    }
    case 'sms':
      return Math.round(rate.perSms! * MICROS * left);
    case 'data':
      return Math.round((rate.perMb! * MICROS * left) / BYTES_PER_MB);
  }
}
