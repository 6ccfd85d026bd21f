/**
 * Drawn cases with one thing in each: a limit that records just reach, places, bills and how late they were paid, what an account owes
 * and has promised, one alert for an entity, alerts that a timer makes as records for another rule. In larger cases something else
 * mostly hides whether a limit counts or not.
 */
import fc from 'fast-check';
import type { UsageRecord } from '../src/record/usage-record.ts';
import type { Rule, RuleFeature } from '../src/rules/rule.ts';
import {
  alertRule,
  anchors,
  compare,
  crowded,
  crowdedRecord,
  type DrawnCase,
  type DrawnFeature,
  drawn,
  moment,
  runFeature,
} from './drawn-case.ts';
import { BEGIN, DAY_MS, MINUTE_MS, ruleWith } from './rule-engine.ts';

const oneRule = (key: Rule['key'], one: DrawnFeature, n: number, fields: Partial<Rule> = {}): Rule =>
  ruleWith({
    key,
    on: ['voice', 'sms', 'data'],
    features: { f0: one.feature },
    bands: [{ severity: 'warning', score: 10, if: one.condition('f0', n) }],
    suppress: { for: '1m' },
    ...fields,
  });

/** Steps of just half of the limits, the limits, and a millisecond or a second beside them. */
const edge = fc.oneof(
  // Mostly two of one moment, or a millisecond apart: there it matters whether a limit counts.
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, 999) },
  { weight: 2, arbitrary: fc.constantFrom(1_000, 5 * MINUTE_MS, 50 * MINUTE_MS) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      10 * MINUTE_MS - 1_000,
      10 * MINUTE_MS - 1,
      10 * MINUTE_MS,
      10 * MINUTE_MS + 1,
      60 * MINUTE_MS,
    ),
  },
);
const edges = fc.array(
  fc.record({
    jump: edge,
    ago: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: edge }),
    record: crowdedRecord.map(
      (one): Partial<UsageRecord> => ({ ...one, servedMsisdn: '861390000001', cellId: one.cellId === 'A' ? 'A' : 'B' }),
    ),
    tick: fc.constant(false),
    again: fc.constant(-1),
  }),
  { minLength: 4, maxLength: 14 },
);
/** The same, and all of them of one cell: what becomes of one member. */
const ofOneCell = edges.map((steps) => steps.map((step) => ({ ...step, record: { ...step.record, cellId: 'A' } })));

/** Calls of one subscriber to two or three destinations within a few milliseconds, in any order. */
const instants = fc.array(
  fc.record({
    jump: fc.nat(2),
    ago: fc.nat(3),
    record: fc.tuple(crowdedRecord, fc.constantFrom('37120000001', '37250000001', '8613700000000')).map(
      ([one, otherNumber]): Partial<UsageRecord> => ({
        ...one,
        servedMsisdn: '861390000001',
        recordType: 'voice',
        direction: 'mo',
        otherNumber,
      }),
    ),
    tick: fc.constant(false),
    again: fc.constant(-1),
  }),
  { minLength: 4, maxLength: 10 },
);

const membership = {
  of: 'cellId',
  window: '1h',
  members: {
    join: "direction == 'mo'",
    confirm: "direction == 'mt'",
    fail: 'durationSec > 270',
    leave: "recordType == 'data'",
    within: '10m',
  },
} satisfies Partial<RuleFeature>;
const memberFeature = drawn(
  fc
    .constantFrom('members' as const, 'membersFailed' as const)
    .map((aggregate): RuleFeature => ({ aggregate, ...membership })),
  compare((n) => String(1 + (n % 2)), ['>=', '==', '<']),
);

/** One comes in or goes out with each record. */
const passageFeature = drawn(
  fc.constant<RuleFeature>({ aggregate: 'passedOn', of: "direction == 'mo' ? -1 : 1", within: '10m', window: '1h' }),
  compare((n) => String(1 + (n % 2)), ['>=', '==', '<']),
);

/** A rule for each number from 0 to 3 that `f0` may be. */
const forEachNumber = (fields: Partial<Rule> & Pick<Rule, 'features'>): Rule[] =>
  [0, 1, 2, 3].map((value) =>
    ruleWith({
      id: `fraud.drawn-${value}`,
      key: 'subscriber',
      on: ['voice', 'sms', 'data'],
      bands: [{ severity: 'warning', score: 10, if: `f0 == ${value}` }],
      suppress: { for: '1s' },
      ...fields,
    }),
  );

/**
 * Members, a run, or what is passed on, with a rule for each value that they may have, and records that lie just at their
 * limits: whatever the value should be, another one makes another rule fire. Episodes end at once, so that the next look
 * says something again.
 */
export const limits: fc.Arbitrary<DrawnCase> = fc
  .oneof(
    fc.tuple(
      fc
        .oneof({ weight: 3, arbitrary: memberFeature }, { weight: 1, arbitrary: passageFeature })
        .map((one) => ({ one, key: 'subscriber' as const, fields: {} })),
      fc.oneof(edges, ofOneCell),
    ),
    fc.tuple(
      runFeature.map((one) => ({ one, key: 'subscriber+prefix' as const, fields: { where: "direction == 'mo'" } })),
      fc.oneof(edges, instants),
    ),
  )
  .map(([{ one, key, fields }, stream]) => ({
    rules: [
      ...forEachNumber({ key, features: { f0: one.feature }, ...fields }),
      // That of the subscriber.
      anchors[0]!,
    ],
    latenessMin: 0,
    stream,
    silenceMin: 0,
  }));

/** One card in two places, with records of one moment and between others: each is compared with those just beside it in time. */
export const places: fc.Arbitrary<DrawnCase> = edges.map((stream) => ({
  rules: [
    ...['has(f0)', '!has(f0)', 'f0 >= 500', 'f0 >= 5000', 'f0 >= 100000'].map((condition, index) =>
      ruleWith({
        id: `fraud.drawn-${index}`,
        on: ['voice', 'sms', 'data'],
        features: { f0: { aggregate: 'speed', window: '10m' } },
        bands: [{ severity: 'warning', score: 10, if: condition }],
        suppress: { for: '1s' },
      }),
    ),
    anchors[0]!,
  ],
  latenessMin: 0,
  stream,
  silenceMin: 0,
}));

/**
 * Who joins now and then, and rules that look when somebody should have been confirmed. Nobody failed is true for hours on end, and
 * would be looked at all the time.
 */
export const due: fc.Arbitrary<DrawnCase> = fc
  .record({
    steps: fc.oneof(edges, ofOneCell),
    latenessMin: fc.constantFrom(0, 5),
    silenceMin: fc.constantFrom(0, 9, 30),
  })
  .map(({ steps, latenessMin, silenceMin }) => ({
    rules: [
      ...forEachNumber({
        suppress: { for: '1m' },
        features: {
          f0: { ...membership, aggregate: 'membersFailed' },
          dueAt: { ...membership, aggregate: 'membersDueAt' },
          nextDueAt: { ...membership, aggregate: 'membersNextDueAt' },
        },
        evaluateAt: ['dueAt', 'nextDueAt'],
      }).slice(1),
      anchors[0]!,
    ],
    latenessMin,
    stream: steps,
    silenceMin,
  }));

/**
 * Calls at once or long ones, remembered for ten minutes, where a record may come as late: another rule looks back a day. Most calls end
 * just at that limit.
 */
export const atOnce: fc.Arbitrary<DrawnCase> = fc
  .array(
    fc.record({
      jump: fc.constantFrom(0, 0, 1, 60_000, 5 * MINUTE_MS, 10 * MINUTE_MS),
      ago: fc.constantFrom(0, 0, 5, 10, 11, 15).map((minutes) => minutes * MINUTE_MS),
      record: fc
        .tuple(crowdedRecord, fc.constantFrom(1, 60_000, 5 * MINUTE_MS - 1, 5 * MINUTE_MS, 10 * MINUTE_MS), fc.nat(3))
        .map(
          ([one, durationMs, name]): Partial<UsageRecord> => ({
            ...one,
            servedMsisdn: '861390000001',
            durationMs,
            callId: ['', '', 'c1', 'c2'][name]!,
          }),
        ),
      tick: fc.constant(false),
      again: fc.constant(-1),
    }),
    { minLength: 3, maxLength: 12 },
  )
  .chain((steps) =>
    fc
      .boolean()
      .map((isLong): [typeof steps, RuleFeature] => [
        steps,
        isLong
          ? { aggregate: 'longCalls', longerThan: '60s', window: '10m' }
          : { aggregate: 'concurrency', window: '10m' },
      ]),
  )
  .map(([steps, f0]) => ({
    rules: [
      ...forEachNumber({ features: { f0 } }),
      oneRule('subscriber', { feature: { aggregate: 'count', window: '1d' }, condition: (name) => `${name} > 99` }, 0, {
        id: 'fraud.drawn-day',
      }),
      anchors[0]!,
    ],
    latenessMin: 0,
    stream: steps,
    silenceMin: 0,
  }));

const billFeature = drawn(
  fc.oneof(
    fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(2), fc.nat(2)).map(
      ([last, skip, samplesMin]): RuleFeature => ({
        aggregate: 'paidLate',
        last,
        ...(skip > 0 ? { skip } : {}),
        ...(samplesMin > 0 ? { samplesMin } : {}),
      }),
    ),
    fc.constantFrom('10d', '40d').map((window): RuleFeature => ({ aggregate: 'paidLateMax', window })),
  ),
  compare((n) => `${[0, 1, 2, 5, 10, 15][n % 6]}d`, ['>=', '>', '<', '==']),
);
const bill = fc.record({
  jump: fc.constantFrom(0, 1, 12 * 3_600_000, DAY_MS, 5 * DAY_MS, 10 * DAY_MS),
  dueIn: fc.constantFrom(-1, 0, 1, 5, 10),
  isPayment: fc.boolean(),
  amount: fc.constantFrom(10, 20, 30, 50),
  names: fc.option(fc.nat(5), { nil: undefined }),
  accountId: fc.constantFrom('9001', '9001', ''),
});

/** Rules over how late bills were paid; money now fits a bill, now is too little, now too much. */
export const bills: fc.Arbitrary<DrawnCase> = fc
  .tuple(billFeature, fc.nat(200), fc.array(bill, { minLength: 2, maxLength: 16 }))
  .map(([one, n, drawnBills]) => {
    let at = 0;
    let invoices = 0;
    const stream = drawnBills.map(({ jump, dueIn, isPayment, amount, names, accountId }) => {
      at += jump;
      const record: Partial<UsageRecord> = {
        recordType: isPayment ? 'payment' : 'invoice',
        outcome: 'done',
        accountId,
        amountMicros: amount * 1e6,
        direction: '',
        otherNumber: '',
        durationMs: Number.NaN,
        invoiceId: isPayment ? (names === undefined ? '' : `i${names}`) : `i${invoices++}`,
        ...(isPayment ? {} : { dueTime: BEGIN + at + dueIn * DAY_MS }),
      };
      return { jump, ago: 0, record, tick: false, again: -1 };
    });
    return {
      rules: [oneRule('account', one, n, { on: ['invoice', 'payment'], suppress: { for: '1h' } })],
      latenessMin: 5,
      stream,
      silenceMin: 0,
    };
  });

/** Values of an account, what they are now and then, and the kinds of records that change them. */
interface AccountValues {
  names: string;
  /** Whatever the value should be, another value makes another rule fire. */
  each(name: string): string[];
  kinds: readonly string[];
}
const billed = ['invoice', 'invoice', 'payment', 'payment', 'payment', 'voice'];
const promised = ['promise', 'payment', 'payment', 'payment'];
const money = (name: string) => ['== 0', '== 10', '== 20', '== 30', '> 30', '>= 50'].map((rest) => `${name} ${rest}`);
const count = (name: string) => ['== 0', '== 1', '>= 2'].map((rest) => `${name} ${rest}`);
const since = (name: string) => [
  `has(${name})`,
  ...['> 0s', '== 0s', '>= 5d', '> 5d'].map((rest) => `now - ${name} ${rest}`),
];
const late = (name: string) => ['> 0s', '== 0s', '>= 5d', '>= 10d'].map((rest) => `${name} ${rest}`);
const ACCOUNT_VALUES: readonly AccountValues[] = [
  { names: 'unpaid overdue unbilled exposure firstUnpaid', each: money, kinds: billed },
  { names: 'oldestDueAt nextDueAt lastDueAt firstInvoiceAt firstDueAt', each: since, kinds: billed },
  { names: 'openInvoices overdueInvoices', each: count, kinds: billed },
  { names: 'pastDue', each: late, kinds: billed },
  { names: 'promiseAmount promisePaid paidSincePromise', each: money, kinds: promised },
  { names: 'promiseAt', each: since, kinds: promised },
  { names: 'disputes', each: count, kinds: ['care'] },
];
const accountValue = fc.constantFrom(
  ...ACCOUNT_VALUES.flatMap(({ names, each, kinds }) =>
    names.split(' ').map((name) => ({ conditions: each(`ledger.${name}`), kinds })),
  ),
);
const entry = fc.record({
  jump: fc.constantFrom(0, 0, 1, DAY_MS, 5 * DAY_MS, 10 * DAY_MS),
  ago: fc.constantFrom(0, 0, 0, 1, DAY_MS, 6 * DAY_MS),
  kind: fc.nat(11),
  dueIn: fc.constantFrom(-1, 0, 5, 10),
  amount: fc.constantFrom(-10, 10, 10, 20, 30, 50),
  names: fc.option(fc.nat(4), { nil: undefined }),
  outcome: fc.constantFrom<UsageRecord['outcome']>('done', 'done', 'done', 'failed', 'reversed'),
  resolved: fc.boolean(),
  accountId: fc.constantFrom('9001', '9001', '9001', ''),
});
/** An account with fewer paid bills is never short of room: it remembers them all. */
const LEDGER_INVOICES_MAX = 4;

/** Rules over what an account owes and has promised, which look at its records and when bills fall due. */
export const accounts: fc.Arbitrary<DrawnCase> = fc
  .record({
    value: accountValue,
    timed: fc.constantFrom('', 'due', 'late'),
    entries: fc.array(entry, { minLength: 3, maxLength: 14 }),
    latenessMin: fc.constantFrom(0, 5),
    silenceMin: fc.constantFrom(0, 10 * 24 * 60),
  })
  .map(({ value: { conditions, kinds }, timed, entries, latenessMin, silenceMin }) => {
    let at = 0;
    let invoices = 0;
    const stream = entries.map(({ jump, ago, kind, dueIn, amount, names, outcome, resolved, accountId }) => {
      at += jump;
      const what = kinds[kind % kinds.length]!;
      const begun = BEGIN + at - ago;
      const isInvoice = what === 'invoice' && invoices < LEDGER_INVOICES_MAX;
      const fields: Partial<UsageRecord> = isInvoice
        ? { recordType: 'invoice', invoiceId: `i${invoices++}`, dueTime: begun + dueIn * DAY_MS }
        : what === 'voice'
          ? { recordType: 'voice', chargeMicros: amount * 1e6 }
          : what === 'promise'
            ? {
                recordType: 'account',
                event: 'paymentPromised',
                attributes: { promiseAt: begun + dueIn * DAY_MS, ...(resolved ? {} : { promiseAmount: amount }) },
              }
            : what === 'care'
              ? {
                  recordType: 'care',
                  ticketId: `t${(names ?? 0) % 2}`,
                  reason: amount > 10 ? 'dispute' : 'billing',
                  attributes: { resolved },
                }
              : { recordType: 'payment', outcome, invoiceId: names === undefined ? '' : `i${names}` };
      const record: Partial<UsageRecord> = { accountId, amountMicros: amount * 1e6, ...fields };
      return { jump, ago, record, tick: false, again: -1 };
    });
    return {
      rules: conditions.map((condition, index) =>
        ruleWith({
          id: `fraud.drawn-${index}`,
          key: 'account',
          on: ['invoice', 'payment', 'voice', 'account', 'care'],
          bands: [{ severity: 'warning', score: 10, if: condition }],
          suppress: { for: '12h' },
          ...(timed === 'due' ? { evaluateAt: ['ledger.nextDueAt + 1ms', 'ledger.lastDueAt + 1ms'] } : {}),
          ...(timed === 'late' ? { evaluateAt: 'ledger.oldestDueAt + 5d' } : {}),
        } as Partial<Rule>),
      ),
      latenessMin,
      stream,
      silenceMin,
    };
  });

/**
 * One alert for a subscriber or an account, though the rules group by destination or by card, and sometimes another alert that
 * inhibits it.
 */
export const entities: fc.Arbitrary<DrawnCase> = fc
  .record({
    keys: fc.array(fc.constantFrom<Rule['key']>('subscriber+prefix', 'imsi'), { minLength: 1, maxLength: 2 }),
    by: fc.constantFrom('subscriber' as const, 'account' as const, 'imsi' as const),
    missing: fc.constantFrom(undefined, 'fire' as const, 'suppress' as const),
    high: fc.constantFrom("f0 >= 2 && direction != 'mt'", "direction == 'mo'"),
    span: fc.constantFrom('5m', '10m', '30m'),
    parent: fc.constantFrom<Rule['key'] | undefined>(undefined, undefined, 'subscriber', 'imsi'),
    latenessMin: fc.constantFrom(0, 5),
    stream: fc.array(
      fc.record({
        jump: moment,
        ago: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: moment }),
        record: crowdedRecord,
        tick: fc.constant(false),
        again: fc.constant(-1),
      }),
      { minLength: 4, maxLength: 24 },
    ),
    silenceMin: fc.constantFrom(0, 90),
  })
  .map(({ keys, by, missing, high, span, parent, ...rest }) => ({
    ...rest,
    rules: [
      ...keys.map((key, index) =>
        ruleWith({
          id: `fraud.drawn-${index}`,
          key: by === 'imsi' ? 'subscriber+prefix' : key,
          on: ['voice', 'sms'],
          features: { f0: { aggregate: 'count', window: '10m', panes: 10 } },
          bands: [
            { severity: 'warning', score: 10, if: 'f0 >= 1' },
            { severity: 'critical', score: 10, if: high },
          ],
          suppress: {
            for: span,
            by,
            ...(missing === undefined ? {} : { missing }),
          },
          ...(parent === undefined ? {} : { inhibitedBy: ['fraud.drawn-parent'] }),
        }),
      ),
      ...(parent === undefined
        ? []
        : [
            ruleWith({
              id: 'fraud.drawn-parent',
              key: parent,
              on: ['data', 'sms'],
              bands: [{ severity: 'warning', score: 10, if: "direction == 'mo'" }],
              suppress: { for: '20m' },
            }),
          ]),
      ...anchors,
    ],
  }));

/** A rule that looks by itself, some time after the last record, and one that looks at its alerts. */
export const awaited: fc.Arbitrary<DrawnCase> = fc
  .record({
    key: fc.constantFrom<Rule['key']>('subscriber', 'account', 'imsi'),
    after: fc.constantFrom('3m', '10m', '1h'),
    regular: fc.boolean(),
    over: alertRule,
    latenessMin: fc.constantFrom(0, 5),
    stream: crowded,
    silenceMin: fc.constantFrom(0, 30, 300),
  })
  .map(({ key, after, regular, over, ...rest }) => ({
    ...rest,
    rules: [
      ruleWith({
        id: 'fraud.drawn-awaited',
        key,
        on: ['voice', 'sms'],
        features: { lastAt: { aggregate: 'lastAt' } },
        bands: [{ severity: 'warning', score: 10, if: `now - lastAt >= ${after}` }],
        suppress: { for: '10m' },
        ...(regular ? { evaluateEvery: '10m' } : { evaluateAt: `lastAt + ${after}` }),
      } as Partial<Rule>),
      over,
      ...anchors,
    ],
  }));
