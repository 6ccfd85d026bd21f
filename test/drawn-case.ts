/**
 * Random rule sets over random streams, small enough to be looked at when one of them fails, and made so that conditions are now
 * true and now false: windows as long as a few jumps of time, thresholds within reach.
 */
import fc from 'fast-check';
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { Rule, RuleBand, RuleFeature } from '../src/rules/rule.ts';
import { MINUTE_MS, ruleWith } from './rule-engine.ts';

/** The same cases in every run, so that a change is what fails, not a draw; another number draws others. */
export const DRAWN_SEED = Number(process.env['RINGFENCE_TEST_SEED'] ?? 7);

const SECOND_MS = 1_000;

// -- streams -----------------------------------------------------------------------------------------------------------

const money = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 500 }).map((cents) => cents * 10_000) },
  fc.constant(Number.NaN),
);
const record = fc.record({
  recordType: fc.constantFrom<UsageRecord['recordType']>('voice', 'voice', 'sms', 'data'),
  servedMsisdn: fc.constantFrom('861390000001', '861390000002'),
  servedImsi: fc.constantFrom('', '460000000000001', '460000000000002'),
  accountId: fc.constantFrom('', '9001', '9002'),
  direction: fc.constantFrom<UsageRecord['direction']>('mo', 'mt', ''),
  durationMs: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 20 }).map((n) => n * 15_000) },
    fc.constant(Number.NaN),
  ),
  chargeMicros: money,
  cellId: fc.constantFrom('', 'A', 'B', '17'),
  callId: fc.constantFrom('', '', '', 'c1', 'c2'),
});
/** How far time moves on to the next record: mostly a little, now and then far or to a border. */
const jump = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 240 }).map((n) => n * SECOND_MS) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 90 }).map((n) => n * MINUTE_MS) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 1_500 }).map((n) => n * MINUTE_MS) },
  { weight: 1, arbitrary: fc.constantFrom(1, MINUTE_MS, 5 * MINUTE_MS, 60 * MINUTE_MS - 1) },
  // Two records of one moment, and limits of time that are just reached.
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(30 * MINUTE_MS, 60 * MINUTE_MS) },
);
/** To the same hour of another week. */
const weeks = fc.oneof(
  { weight: 1, arbitrary: jump },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }).map((n) => n * 7 * 24 * 60 * MINUTE_MS) },
);
/** Several records in one hour, and that hour again in the weeks after. */
const weekly = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => n * SECOND_MS) },
  { weight: 1, arbitrary: fc.constantFrom(1, 1, 2, 4).map((n) => n * 7 * 24 * 60 * MINUTE_MS) },
);
/** How long ago the record began: mostly just now; minutes where calls are long, hours where a gateway was away. */
const ago = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 900 }).map((n) => n * SECOND_MS) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => n * MINUTE_MS) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 3_000 }).map((n) => n * MINUTE_MS) },
);
const step = (jump: fc.Arbitrary<number>, again: fc.Arbitrary<number>, tick: boolean) =>
  fc.record({ jump, ago, record, tick: fc.constant(tick), again });
const stream = (jumps: fc.Arbitrary<number>) =>
  fc.array(
    fc.oneof(
      { weight: 12, arbitrary: step(jumps, fc.constant(-1), false) },
      // A record that came before, or a tick.
      { weight: 1, arbitrary: step(jumps, fc.nat(), false) },
      { weight: 1, arbitrary: step(jumps, fc.constant(-1), true) },
    ),
    { minLength: 1, maxLength: 30 },
  );

// -- rules -------------------------------------------------------------------------------------------------------------

const window = fc.constantFrom<Pick<RuleFeature, 'window' | 'panes'>>(
  { window: '30s', panes: 30 },
  { window: '5m', panes: 5 },
  { window: '10m', panes: 10 },
  { window: '1h' },
  { window: '1h', panes: 60 },
  { window: '1h', panes: 2 },
  { window: '2h', panes: 24 },
  { window: '1d', panes: 24 },
);
const shifted = fc.constantFrom<Pick<RuleFeature, 'window' | 'panes' | 'before'>>(
  { window: '1h', panes: 12, before: '5m' },
  { window: '1h', panes: 4, before: '1h' },
  { window: '2h', panes: 2, before: '1h' },
);
/** Panes into which several records fall. */
const wide = fc.constantFrom<Pick<RuleFeature, 'window' | 'panes'>>(
  { window: '1h', panes: 2 },
  { window: '2h', panes: 1 },
  { window: '1d', panes: 4 },
);
const on = fc.constantFrom<NonNullable<Rule['on']>>(
  'voice',
  'sms',
  ['voice', 'sms'],
  ['sms', 'voice'],
  ['voice', 'sms', 'data'],
);
const where = fc.constantFrom(
  "direction == 'mo'",
  "direction != 'mt'",
  'durationSec > 60',
  'charge >= 1.5',
  "cellId in ['A', '17']",
  "has(charge) || recordType == 'data'",
);
const of = fc.constantFrom('durationSec', 'charge', 'durationSec * 2 + 1');

export interface DrawnFeature {
  feature: RuleFeature;
  /** A comparison of the feature `name` that is now true and now false. */
  condition(name: string, n: number): string;
}
export const compare =
  (unit: (n: number) => string, signs = ['>=', '>', '<', '==', '!=']) =>
  (name: string, n: number): string =>
    `${name} ${signs[n % signs.length]} ${unit(n)}`;
export const drawn = (
  features: fc.Arbitrary<RuleFeature>,
  condition: DrawnFeature['condition'],
): fc.Arbitrary<DrawnFeature> => features.map((feature) => ({ feature, condition }));

const feature: fc.Arbitrary<DrawnFeature> = fc.oneof(
  {
    weight: 3,
    arbitrary: drawn(
      fc.oneof(window, shifted).map((one): RuleFeature => ({ aggregate: 'count', ...one })),
      compare((n) => String(1 + (n % 5)), ['>=', '>=', '>', '<', '==']),
    ),
  },
  {
    weight: 3,
    arbitrary: drawn(
      fc
        .tuple(fc.oneof(window, shifted), of)
        .map(([one, field]): RuleFeature => ({ aggregate: 'sum', of: field, ...one })),
      compare((n) => String((n % 9) * 30.5)),
    ),
  },
  {
    weight: 5,
    arbitrary: drawn(
      fc
        .tuple(fc.constantFrom('min' as const, 'max' as const, 'mean' as const), fc.oneof(wide, window, shifted), of)
        .map(([aggregate, one, field]): RuleFeature => ({ aggregate, of: field, ...one })),
      compare((n) => String(0.7 + (1 + (n % 9)) * 30), ['>=', '<']),
    ),
  },
  {
    weight: 2,
    arbitrary: drawn(
      fc
        .tuple(window, fc.constantFrom('cellId', 'durationSec', 'servedMsisdn'))
        .map(([one, field]): RuleFeature => ({ aggregate: 'distinct', of: field, ...one })),
      compare((n) => String(1 + (n % 3))),
    ),
  },
  {
    weight: 1,
    arbitrary: drawn(
      fc.constantFrom<RuleFeature>(
        { aggregate: 'dailyMean', window: '1h', panes: 4 },
        { aggregate: 'dailyMean', of: 'durationSec', window: '1d', panes: 24, before: '1h' },
      ),
      compare((n) => String(5 + 40 * (n % 7))),
    ),
  },
  {
    weight: 1,
    arbitrary: drawn(
      fc.constantFrom<RuleFeature>(
        { aggregate: 'baselineMean', window: '2h', every: '10m', samplesMin: 2 },
        { aggregate: 'baselineMean', of: 'durationSec', window: '1h', every: '5m', before: '5m' },
        { aggregate: 'baselineDeviation', of: 'charge', window: '1h', every: '5m', samplesMin: 2 },
        { aggregate: 'baselineSamples', window: '1h', every: '10m' },
      ),
      compare((n) => String((n % 2 === 0 ? 0.77 : 1.5) + 20 * (n % 5 === 4 ? n % 4 : 0))),
    ),
  },
  {
    weight: 1,
    arbitrary: drawn(
      fc.constant<RuleFeature>({ aggregate: 'last', of: 'durationSec' }),
      compare((n) => String((n % 9) * 30)),
    ),
  },
  {
    weight: 1,
    arbitrary: drawn(
      fc.constant<RuleFeature>({ aggregate: 'last', of: 'cellId' }),
      (name, n) => `${name} ${n % 2 === 0 ? '==' : '!='} '${'AB'[n % 2]}'`,
    ),
  },
  {
    weight: 2,
    arbitrary: drawn(
      fc.constant<RuleFeature>({ aggregate: 'sinceLast' }),
      compare((n) => `${1 + (n % 40)}m`, ['>=', '<', '>']),
    ),
  },
  {
    weight: 1,
    arbitrary: drawn(
      fc.constant<RuleFeature>({ aggregate: 'usualGap' }),
      compare((n) => `${1 + (n % 10)}m`, ['>=', '<']),
    ),
  },
);
const hourOfWeek: fc.Arbitrary<DrawnFeature> = drawn(
  fc.tuple(fc.option(of, { nil: undefined }), fc.integer({ min: 1, max: 3 })).map(
    ([field, samplesMin]): RuleFeature => ({
      aggregate: 'hourOfWeekMean',
      samplesMin,
      ...(field === undefined ? {} : { of: field }),
    }),
  ),
  compare((n) => String(0.1 + [0, 0.6, 10, 20, 40, 60, 90, 150][n % 8]!)),
);
const recent: fc.Arbitrary<DrawnFeature> = drawn(
  fc
    .tuple(fc.constantFrom('recentMean', 'recentMin', 'recentMax'), of, fc.nat(3), fc.nat(2), fc.nat(2))
    .map(([aggregate, field, more, skip, samplesMin]) => ({
      aggregate: aggregate as 'recentMean',
      of: field,
      last: 1 + more,
      ...(skip > 0 ? { skip } : {}),
      ...(samplesMin > 0 ? { samplesMin } : {}),
    })),
  compare((n) => String(0.77 + (n % 9) * 20)),
);
const newer: fc.Arbitrary<DrawnFeature> = fc.oneof(
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'firstAt' }),
    compare((n) => `now - ${1 + (n % 90)}m`, ['<=', '>']),
  ),
  drawn(
    fc.constantFrom('cellId', 'durationSec').map((field): RuleFeature => ({ aggregate: 'changedAt', of: field })),
    compare((n) => `now - ${1 + (n % 60)}m`, ['<=', '>']),
  ),
  recent,
  recent,
  drawn(
    fc
      .tuple(fc.oneof(window, shifted), fc.constantFrom('cellId', 'durationSec', 'servedMsisdn'))
      .map(([one, field]): RuleFeature => ({ aggregate: 'modeCount', of: field, ...one })),
    compare((n) => String(1 + (n % 4))),
  ),
  drawn(
    fc
      .tuple(shifted, fc.constantFrom('cellId', 'durationSec'))
      .map(([one, field]): RuleFeature => ({ aggregate: 'distinct', of: field, ...one })),
    compare((n) => String(1 + (n % 3))),
  ),
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'concurrency', window: '30d' }),
    compare((n) => String(1 + (n % 3)), ['>=', '==']),
  ),
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'overlap', window: '30d' }),
    compare((n) => `${30 + 30 * (n % 5)}s`, ['>=', '<']),
  ),
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'callDuration', window: '400d' }),
    compare((n) => `${60 + 60 * (n % 9)}s`, ['>=', '<']),
  ),
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'callStartAt', window: '400d' }),
    compare((n) => `now - ${1 + (n % 60)}m`, ['<=', '>']),
  ),
  drawn(
    fc.constantFrom<RuleFeature>(
      { aggregate: 'sequence', steps: [{ where: "direction == 'mo'" }, { where: "direction == 'mt'", within: '30m' }] },
      {
        aggregate: 'sequence',
        steps: [{ where: 'durationSec > 60', count: 2, within: '1h' }, { where: "recordType == 'sms'" }],
      },
      {
        aggregate: 'sequence',
        steps: [
          { where: "cellId == 'A'" },
          { where: "cellId == 'B'", count: 2, within: '2h' },
          { where: "cellId != ''", within: '1d' },
        ],
      },
    ),
    (name, n) => (n % 3 === 0 ? `has(${name})` : `${name} ${n % 3 === 1 ? '<=' : '>'} ${1 + (n % 40)}m`),
  ),
);
const also = fc.constantFrom(
  '',
  '',
  '',
  '',
  " && direction == 'mo'",
  ' || durationSec > 200',
  ' && knownFor >= 10m',
  ' && !(charge > 2)',
  ' && now - lastSeenAt < 10m',
);

const rule = (id: number, feature: fc.Arbitrary<DrawnFeature>): fc.Arbitrary<Rule> =>
  fc
    .record({
      key: fc.constantFrom<Rule['key']>('subscriber', 'subscriber', 'account', 'imsi'),
      on: fc.option(on, { nil: undefined }),
      where: fc.option(where, { nil: undefined }),
      features: fc.array(
        fc.record({
          drawn: fc.oneof(feature, newer),
          on,
          own: fc.boolean(),
          where: fc.option(where, { nil: undefined, freq: 3 }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      thresholds: fc.tuple(fc.nat(200), fc.nat(200), fc.nat(200)),
      also,
      bands: fc.constantFrom<readonly RuleBand['severity'][]>(
        ['warning'],
        ['info', 'critical'],
        ['warning', 'critical'],
        ['warning', 'warning'],
      ),
      suppress: fc.constantFrom('1m', '10m', '1h', '3h'),
      falls: fc.boolean(),
      timed: fc.constantFrom('', '', '', 'every 10m', 'every 1h', 'at', 'at two'),
    })
    .map(({ key, on: ruleOn, where: ruleWhere, features, thresholds, also: more, bands, suppress, falls, timed }) => {
      const own = Object.fromEntries(
        features.map((one, index): [string, RuleFeature] => [
          `f${index}`,
          ruleOn === undefined
            ? {
                ...one.drawn.feature,
                on: one.on,
                ...(one.where === undefined || one.drawn.feature.steps !== undefined ? {} : { where: one.where }),
              }
            : one.drawn.feature,
        ]),
      );
      if (timed.startsWith('at'))
        own['lastAt'] = { aggregate: 'lastAt', ...(ruleOn === undefined ? { on: features[0]!.on } : {}) };
      const conditions = features.map((one, index) => one.drawn.condition(`f${index}`, thresholds[index]!));
      return ruleWith({
        id: `fraud.drawn-${id}`,
        key,
        on: ruleOn,
        // A sequence looks at what its steps take; regular looks begin when the rule itself takes a record.
        where:
          ruleOn === undefined || features.some(({ drawn: { feature: one } }) => one.steps) ? undefined : ruleWhere,
        features: own,
        bands: bands.map((severity, index) => ({
          severity,
          score: 10,
          // The higher band asks for the other features too.
          if: `(${conditions.slice(0, index + 1).join(' && ')})${index === 0 ? more : ''}`,
        })),
        suppress: { for: suppress, ...(falls ? { falls } : {}) },
        ...(timed.startsWith('every') ? { evaluateEvery: timed.slice(6) } : {}),
        ...(timed === 'at' ? { evaluateAt: 'lastAt + 7m' } : {}),
        ...(timed === 'at two' ? { evaluateAt: ['lastAt + 3m', 'lastAt + 2h'] } : {}),
      } as Rule);
    });
const rulesOf = (features: fc.Arbitrary<DrawnFeature>): fc.Arbitrary<Rule[]> =>
  fc
    .integer({ min: 1, max: 3 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, id) => rule(id, features))));

// -- cases -------------------------------------------------------------------------------------------------------------

export interface DrawnCase {
  rules: Rule[];
  latenessMin: number;
  stream: { jump: number; ago: number; record: Partial<UsageRecord>; tick: boolean; again: number }[];
  silenceMin: number;
  /** Before the step with this number these rules come into force. */
  swap?: { at: number; rules: Rule[] };
}

export const near: fc.Arbitrary<DrawnCase> = fc.record({
  rules: rulesOf(fc.oneof({ weight: 3, arbitrary: feature }, { weight: 2, arbitrary: newer })),
  latenessMin: fc.constantFrom(0, 5, 5, 60),
  stream: stream(jump),
  silenceMin: fc.integer({ min: 0, max: 800 }),
});
/** Which single calls are still remembered after weeks depends on how many came since. */
const newerOverWeeks = newer.filter(({ feature: { aggregate } }) => !aggregate!.startsWith('call'));
/** Over weeks: rules that look again, by themselves or at the end of an episode, do so once a day, or they would do nothing else. */
const overWeeks: fc.Arbitrary<DrawnCase> = fc.record({
  rules: rulesOf(fc.oneof(hourOfWeek, hourOfWeek, feature, newerOverWeeks)).map((drawnRules) =>
    drawnRules.map((one) => ({
      ...one,
      suppress: { for: '1d' },
      ...(one.evaluateEvery === undefined ? {} : { evaluateEvery: '1d' }),
    })),
  ),
  latenessMin: fc.constantFrom(0, 5, 60),
  stream: stream(weeks),
  silenceMin: fc.integer({ min: 0, max: 800 }),
});
/** One rule over the same hour of other weeks, and streams that come back to one hour: nothing else hides what it says. */
const oneHour: fc.Arbitrary<DrawnCase> = fc.record({
  rules: fc
    .tuple(hourOfWeek, fc.nat(200), fc.constantFrom<Rule['key']>('subscriber', 'account'))
    .map(([one, n, key]) => [
      ruleWith({
        key,
        on: ['voice', 'sms'],
        features: { f0: one.feature },
        bands: [{ severity: 'warning', score: 10, if: one.condition('f0', n) }],
        suppress: { for: '1d' },
      }),
    ]),
  latenessMin: fc.constantFrom(0, 60),
  stream: stream(weekly),
  silenceMin: fc.constant(0),
});
export const far: fc.Arbitrary<DrawnCase> = fc.oneof(
  { weight: 2, arbitrary: overWeeks },
  { weight: 1, arbitrary: oneHour },
);
export const drawnCase: fc.Arbitrary<DrawnCase> = fc.oneof(
  { weight: 5, arbitrary: near },
  { weight: 1, arbitrary: far },
);

/** Never fires, and remembers every key for ever: when a key is forgotten depends on rules that were there long ago. */
const anchor = (key: Rule['key']): Rule =>
  ruleWith({
    id: `fraud.anchor-${key}`,
    key,
    on: ['voice', 'sms', 'data'],
    features: { since: { aggregate: 'sinceLast' } },
    bands: [{ severity: 'info', score: 1, if: 'now < lastSeenAt' }],
  });
export const anchors = (['subscriber', 'account', 'imsi'] as const).map(anchor);
// -- what follows from the order of records -----------------------------------------------------------------------------

/** Few moments, so that records share one or are just as far apart as a limit. */
export const moment = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 5, arbitrary: fc.constantFrom(1, 1_000, MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS) },
  { weight: 2, arbitrary: fc.constantFrom(30 * MINUTE_MS, 60 * MINUTE_MS) },
);
export const crowdedRecord = fc
  .tuple(record, fc.constantFrom('37120000001', '37120000002', '37120000003', '37250000001', '8613700000000'))
  .map(([one, otherNumber]) => ({ ...one, otherNumber }));
export const crowded = fc.array(
  fc.record({
    jump: moment,
    ago: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: moment }),
    record: crowdedRecord,
    tick: fc.constant(false),
    again: fc.oneof({ weight: 12, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat() }),
  }),
  { minLength: 1, maxLength: 30 },
);
const hour = fc.constantFrom<Pick<RuleFeature, 'window' | 'panes'>>(
  { window: '1h' },
  { window: '1h', panes: 2 },
  { window: '10m', panes: 10 },
);
const ordered: fc.Arbitrary<DrawnFeature> = fc.oneof(
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'last', of: 'durationSec' }),
    compare((n) => String((n % 9) * 30)),
  ),
  drawn(
    fc.constant<RuleFeature>({ aggregate: 'usualGap' }),
    compare((n) => `${[0, 0.5, 1, 5, 10][n % 5]}m`, ['>', '<=', '==']),
  ),
  drawn(
    fc.constantFrom<RuleFeature>(
      { aggregate: 'sequence', steps: [{ where: "direction == 'mo'" }, { where: "direction == 'mt'", within: '20m' }] },
      {
        aggregate: 'sequence',
        steps: [{ where: "recordType == 'voice'", count: 2, within: '5m' }, { where: "recordType == 'sms'" }],
      },
    ),
    (name, n) => (n % 2 === 0 ? `has(${name})` : `${name} >= ${[0, 1, 5, 20][n % 4]}m`),
  ),
  drawn(
    fc
      .tuple(fc.constantFrom('heldMax', 'heldMin'), fc.constantFrom('10m', '30m', '1h'))
      .map(
        ([aggregate, span]): RuleFeature => ({ aggregate: aggregate as 'heldMax', of: 'durationSec', window: span }),
      ),
    compare((n) => String((n % 9) * 30)),
  ),
  drawn(
    fc.tuple(hour, fc.constantFrom('5m', '10m', '20m')).map(
      ([one, within]): RuleFeature => ({
        aggregate: 'passedOn',
        of: "direction == 'mo' ? -charge : charge",
        within,
        ...one,
      }),
    ),
    compare((n) => String(0.2 + (n % 4) / 2), ['>=', '<']),
  ),
  drawn(
    hour.map((one): RuleFeature => ({ aggregate: 'neighbourShare', of: 'otherNumber', ...one })),
    compare((n) => String([0.3, 0.5, 0.8, 1][n % 4]), ['>=', '<']),
  ),
  drawn(
    fc.tuple(fc.constantFrom('speed', 'distance'), fc.constantFrom('10m', '1h'), fc.boolean()).map(
      ([aggregate, span, least]): RuleFeature => ({
        aggregate: aggregate as 'speed',
        window: span,
        ...(least ? { of: '100' } : {}),
      }),
    ),
    compare((n) => String([50, 130, 400, 500_000][n % 4]), ['>=', '<']),
  ),
  drawn(
    fc.tuple(fc.constantFrom('members', 'membersFailed'), fc.constantFrom('cellId', 'servedMsisdn')).map(
      ([aggregate, member]): RuleFeature => ({
        aggregate: aggregate as 'members',
        of: member,
        window: '1h',
        members: {
          join: "direction == 'mo'",
          confirm: "direction == 'mt'",
          fail: 'durationSec > 200',
          leave: "recordType == 'data'",
          within: '10m',
        },
      }),
    ),
    compare((n) => String(1 + (n % 2)), ['>=', '==', '<']),
  ),
);
export const runFeature = drawn(
  fc
    .constantFrom('10m', '1h')
    .map(
      (span): RuleFeature => ({ aggregate: 'run', of: 'destinationPrefix', among: "direction != 'mt'", window: span }),
    ),
  compare((n) => String(1 + (n % 4)), ['>=', '==']),
);
const once = (one: Rule): Rule => {
  const { evaluateAt: _at, evaluateEvery: _every, bands, ...rest } = one;
  return { ...rest, bands: bands.slice(0, 1) };
};
/** A rule over alerts of the others. */
export const alertRule = fc
  .record({
    key: fc.constantFrom<Rule['key']>('subscriber', 'account', 'imsi'),
    of: fc.constantFrom('count', 'distinct'),
    least: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ key, of: what, least }) =>
    ruleWith({
      id: 'fraud.drawn-alerts',
      key,
      on: 'alert',
      features: {
        f0:
          what === 'count'
            ? { aggregate: 'count', window: '1h' }
            : { aggregate: 'distinct', of: 'alertRule', window: '1h' },
      },
      bands: [{ severity: 'warning', score: 10, if: `f0 >= ${least}` }],
      suppress: { for: '10m' },
    }),
  );
/**
 * Rules look when records come, and each has one band: what an alert leads to comes after it, and which of two timers comes first is
 * another matter. An anchor keeps every key.
 */
export const order: fc.Arbitrary<DrawnCase> = fc
  .record({
    rules: rulesOf(ordered),
    run: fc.option(rule(7, runFeature), { nil: undefined, freq: 3 }),
    alerts: fc.option(alertRule, { nil: undefined }),
    inhibited: fc.boolean(),
    latenessMin: fc.constantFrom(0, 5, 60),
    stream: crowded,
    silenceMin: fc.constantFrom(0, 90),
  })
  .map(({ rules, run, alerts, inhibited, ...rest }) => {
    const untimed = rules.map(once);
    if (run !== undefined) untimed.push({ ...once(run), key: 'subscriber+prefix' });
    if (inhibited && untimed.length > 1) untimed[1] = { ...untimed[1]!, inhibitedBy: [untimed[0]!.id] };
    if (alerts !== undefined) untimed.push(alerts);
    return { ...rest, rules: [...untimed, ...anchors] };
  });

/** True of every record that is drawn, and written so that no window of an earlier rule is shared. */
const APART = "recordType != 'account'";
const apart = (where: string | undefined): string => (where === undefined ? APART : `(${where}) && ${APART}`);
const newcomer = (one: Rule): Rule => ({
  ...one,
  id: one.id.replace('drawn', 'newcomer'),
  ...(one.on === undefined ? {} : { where: apart(one.where) }),
  features: Object.fromEntries(
    Object.entries(one.features ?? {}).map(([name, { steps, ...rest }]) => [
      name,
      steps !== undefined
        ? { ...rest, steps: steps.map((step) => ({ ...step, where: apart(step.where) })) }
        : one.on === undefined
          ? { ...rest, where: apart(rest.where) }
          : rest,
    ]),
  ),
});
type Fate = 'stays' | 'goes' | 'changes';
const fate = fc.constantFrom<Fate>('stays', 'goes', 'changes');
const changed = (one: Rule): Rule => ({
  ...one,
  bands: one.bands.map((band) => ({ ...band, if: `${band.if} && !(charge > 3)` })),
});
export const drawnSwap: fc.Arbitrary<DrawnCase> = fc
  .tuple(near, fc.nat(25), fc.tuple(fate, fate, fate), rulesOf(fc.oneof(feature, newer)))
  .map(([one, at, fates, coming]) => ({
    ...one,
    rules: [...one.rules, ...anchors],
    swap: {
      at,
      rules: [
        ...one.rules.flatMap((rule, index) =>
          fates[index] === 'goes' ? [] : fates[index] === 'changes' ? [changed(rule)] : [rule],
        ),
        ...coming.map(newcomer),
        ...anchors,
      ],
    },
  }));
