/**
 * `whatif`: what a tariff would have brought in. Records of files go through the same core as live ones (duplicates count once, value,
 * stage and churn are those that the desks see), and each one that is billed is priced anew. Before and after are compared by
 * subscriber, and by segment of value or life cycle.
 *
 * Before: what the records were charged (`charge`), and the monthly fee that account records state; or, with `--compare`, the same
 * usage under a second tariff.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { AlertData } from '../alerts/alert.ts';
import { DEFAULTS, numberingPlanFile } from '../config.ts';
import { createEngine } from '../engine.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { decodeMessage } from '../record/decode.ts';
import type { UsageRecord } from '../record/usage-record.ts';
import { isRoaming } from '../reference/home-network.ts';
import { holidaysOf, localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import { describeProblem } from '../rules/form.ts';
import { parseRules, readRuleFiles, ruleError, versionOf } from '../rules/load.ts';
import { type BundleUse, isBilled, parseTariff, priceOf, type Surroundings, type Tariff } from '../rules/tariff.ts';
import { checkReadable, readLines } from '../source/file.ts';
import { requireForm } from './output.ts';

/** Files may lie in the future of this machine, not in that of telephony. */
const EVENT_TIME_MAX = Date.UTC(2100, 0, 1);
/** Subscribers whose bills are kept. */
export const WHATIF_SUBSCRIBERS_MAX = 2_000_000;
const MICROS = 1_000_000;
/** A bill that rises so much is a shock (A13). */
const SHOCK_RATIO = 1.5;
const SHOCK_LEAST = 20;
/** A difference of less is none. */
const SAME_MICROS = 5_000;
/** Subscribers named on each side of the table. */
const NAMED = 5;

const SEGMENTS = ['tier', 'stage', 'none'] as const;
type Segmentation = (typeof SEGMENTS)[number];

export interface Figures {
  segment: string;
  subscribers: number;
  /** Of all months of the files, currency units. */
  before: number;
  after: number;
  delta: number;
  /** Pay less, pay more. */
  winners: number;
  losers: number;
  /** Those whose bill of any one month rises by half and by 20 at least. */
  billShocks: number;
  /** Before and after, each times the chance that the subscriber stays; after: with the response to a higher bill. */
  expectedBefore: number;
  expectedAfter: number;
}

export interface SubscriberFigures {
  servedMsisdn: string;
  segment: string;
  months: number;
  before: number;
  after: number;
  delta: number;
  billShock: boolean;
  churnProbability: number | null;
}

export interface WhatIf {
  tariff: { id: string; version: number };
  compared: { id: string; version: number } | null;
  records: number;
  rejected: number;
  duplicates: number;
  /** Records that were priced, and of those the ones that carried no `charge`. */
  billed: number;
  uncharged: number;
  segments: Figures[];
  total: Figures;
  subscribers: SubscriberFigures[];
}

interface Bill {
  before: number;
  after: number;
}
interface Account {
  /** By month. */
  bills: Map<number, Bill>;
  use: BundleUse;
  compared: BundleUse;
  feeMicros: number;
}

export interface WhatIfOptions {
  tariff: Tariff;
  compare?: Tariff | undefined;
  rules: string;
  timeZone: string;
  by: Segmentation;
}

export async function whatIf(files: readonly string[], options: WhatIfOptions): Promise<WhatIf> {
  const { tariff, compare, by } = options;
  await checkReadable(files);
  const time = localTime(options.timeZone);
  const plan = loadNumberingPlan(numberingPlanFile);
  const ruleFiles = readRuleFiles(options.rules);
  const { sources, lists, problems } = parseRules(ruleFiles);
  const engine = createEngine({ numberingPlan: plan, localTime: time });
  const wrong = problems.length > 0 ? problems : engine.useRules(sources, versionOf(ruleFiles), [], lists);
  if (wrong.length > 0) throw ruleError(wrong, options.rules);
  const holidays = holidaysOf(lists?.get('holidays')?.valuesOf('date') ?? []);
  const networks = lists?.get('networks');
  const homePlmns = new Set(
    networks?.valuesOf('plmn').filter((plmn) => networks.textAt(networks.find(plmn), 'class') === 'home'),
  );

  const accounts = new Map<string, Account>();
  let records = 0;
  let rejected = 0;
  let duplicates = 0;
  let billed = 0;
  let uncharged = 0;
  const alerts: AlertData[] = [];

  const surroundingsOf = (record: UsageRecord): Surroundings => {
    const destination = record.otherNumber === '' ? undefined : plan.lookup(record.otherNumber);
    const home = plan.lookup(record.servedMsisdn);
    return {
      kind:
        destination === undefined
          ? 'other'
          : destination.numberClass === 'premium'
            ? 'premium'
            : home !== undefined && destination.country !== home.country
              ? 'international'
              : 'national',
      country: destination?.country ?? '',
      shift: time.shiftOf(record.eventTime, holidays),
      roaming: isRoaming(record, homePlmns, plan),
      month: monthOf(time.dayNumber(record.eventTime)),
    };
  };

  const accountOf = (msisdn: string): Account => {
    let account = accounts.get(msisdn);
    if (account === undefined) {
      if (accounts.size >= WHATIF_SUBSCRIBERS_MAX)
        throw new RingfenceError({
          code: 'whatif.subscribers',
          message: `The files hold more than ${WHATIF_SUBSCRIBERS_MAX} subscribers.`,
          hint: 'Give a sample of them: all records of every tenth subscriber say the same.',
        });
      const use = (of: Tariff | undefined): BundleUse => ({
        month: Number.NaN,
        used: new Float64Array(of?.bundles?.length ?? 0),
      });
      account = { bills: new Map(), use: use(tariff), compared: use(compare), feeMicros: 0 };
      accounts.set(msisdn, account);
    }
    return account;
  };

  const bill = (record: UsageRecord): void => {
    const fee = record.attributes?.['monthlyFee'];
    if (record.recordType === 'account' && typeof fee === 'number' && fee >= 0)
      accountOf(record.servedMsisdn).feeMicros = Math.round(fee * MICROS);
    if (!isBilled(record)) return;
    billed++;
    const account = accountOf(record.servedMsisdn);
    const around = surroundingsOf(record);
    let month = account.bills.get(around.month);
    if (month === undefined) {
      month = { before: 0, after: 0 };
      account.bills.set(around.month, month);
    }
    month.after += priceOf(tariff, record, around, account.use);
    if (compare !== undefined) month.before += priceOf(compare, record, around, account.compared);
    else if (record.chargeMicros >= 0) month.before += record.chargeMicros;
    else uncharged++;
  };

  for (const path of files) {
    for await (const { lines } of readLines(path)) {
      for (const line of lines) {
        if (line.length === 0) continue;
        const decoded = decodeMessage(line, { eventTimeMax: EVENT_TIME_MAX });
        records += decoded.records.length + decoded.rejections.length;
        rejected += decoded.rejections.length;
        for (const record of decoded.records) {
          // One that was known before was billed before; one that came late was billed late.
          if (engine.apply(record, alerts) === 'duplicate') duplicates++;
          else bill(record);
        }
      }
      alerts.length = 0;
    }
  }

  const subscribers: SubscriberFigures[] = [];
  const segments = new Map<string, Figures>();
  const total = noFigures('all');
  for (const [servedMsisdn, { bills, feeMicros }] of [...accounts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (bills.size === 0) continue;
    const fees = {
      before: compare === undefined ? feeMicros : Math.round((compare.monthlyFee ?? 0) * MICROS),
      after: Math.round((tariff.monthlyFee ?? 0) * MICROS),
    };
    let before = 0;
    let after = 0;
    let billShock = false;
    for (const month of bills.values()) {
      const old = month.before + fees.before;
      const next = month.after + fees.after;
      before += old;
      after += next;
      billShock ||= next >= old * SHOCK_RATIO && next - old >= SHOCK_LEAST * MICROS;
    }
    const view = engine.inspectSubscriber(servedMsisdn);
    const churn = view?.value?.['churnProbability'];
    const p = typeof churn === 'number' ? churn : 0;
    const segment =
      by === 'none' ? 'all' : String((by === 'tier' ? view?.value?.['tier'] : view?.lifecycleStage) ?? 'unknown');
    const rise = before > 0 ? Math.max(0, after / before - 1) : after > 0 ? 1 : 0;
    const stays = 1 - Math.min(1, p + (tariff.churnResponse ?? 0) * rise);
    const own = segments.get(segment) ?? noFigures(segment);
    segments.set(segment, own);
    for (const figures of [own, total]) {
      figures.subscribers++;
      figures.before += before;
      figures.after += after;
      if (after < before - SAME_MICROS) figures.winners++;
      else if (after > before + SAME_MICROS) figures.losers++;
      if (billShock) figures.billShocks++;
      figures.expectedBefore += before * (1 - p);
      figures.expectedAfter += after * stays;
    }
    subscribers.push({
      servedMsisdn,
      segment,
      months: bills.size,
      before: before / MICROS,
      after: after / MICROS,
      delta: (after - before) / MICROS,
      billShock,
      churnProbability: typeof churn === 'number' ? churn : null,
    });
  }
  const nameOf = ({ id, version }: Tariff) => ({ id, version });
  return {
    tariff: nameOf(tariff),
    compared: compare === undefined ? null : nameOf(compare),
    records,
    rejected,
    duplicates,
    billed,
    uncharged,
    segments: [...segments.values()]
      .map(inUnits)
      .sort((a, b) => b.before - a.before || (a.segment < b.segment ? -1 : 1)),
    total: inUnits(total),
    subscribers,
  };
}

const noFigures = (segment: string): Figures => ({
  segment,
  subscribers: 0,
  before: 0,
  after: 0,
  delta: 0,
  winners: 0,
  losers: 0,
  billShocks: 0,
  expectedBefore: 0,
  expectedAfter: 0,
});

/** Sums are whole millionths until here. */
const inUnits = (figures: Figures): Figures => ({
  ...figures,
  before: figures.before / MICROS,
  after: figures.after / MICROS,
  delta: (figures.after - figures.before) / MICROS,
  expectedBefore: figures.expectedBefore / MICROS,
  expectedAfter: figures.expectedAfter / MICROS,
});

/** Months since 1970 of a local day. */
function monthOf(day: number): number {
  const date = new Date(day * 86_400_000);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function describe(result: WhatIf): string {
  const money = (value: number): string => value.toFixed(2);
  const row = (cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(14) : cell.padStart(13))).join('');
  const named = (title: string, list: readonly SubscriberFigures[]): string[] =>
    list.length === 0
      ? []
      : [
          '',
          title,
          ...list.map((one) =>
            row([one.servedMsisdn, one.segment, money(one.before), money(one.after), money(one.delta)]),
          ),
        ];
  const byDelta = result.subscribers.toSorted((a, b) => a.delta - b.delta);
  const { tariff, compared, records, rejected, duplicates, billed, uncharged } = result;
  return `${[
    `tariff ${tariff.id} v${tariff.version} against ${compared === null ? 'what was charged' : `${compared.id} v${compared.version}`}`,
    `records ${records}, rejected ${rejected}, duplicates ${duplicates}, billed ${billed}${compared === null ? `, of these without a charge ${uncharged}` : ''}`,
    '',
    row([
      'segment',
      'subscribers',
      'before',
      'after',
      'delta',
      'pay less',
      'pay more',
      'bill shocks',
      'exp. before',
      'exp. after',
    ]),
    ...[...result.segments, result.total].map((one) =>
      row([
        one.segment,
        String(one.subscribers),
        money(one.before),
        money(one.after),
        money(one.delta),
        String(one.winners),
        String(one.losers),
        String(one.billShocks),
        money(one.expectedBefore),
        money(one.expectedAfter),
      ]),
    ),
    ...named(
      'pay less: subscriber, segment, before, after, delta',
      byDelta.slice(0, NAMED).filter(({ delta }) => delta < 0),
    ),
    ...named(
      'pay more',
      byDelta
        .toReversed()
        .slice(0, NAMED)
        .filter(({ delta }) => delta > 0),
    ),
  ].join('\n')}\n`;
}

/** One line each: every subscriber, then the segments, then all. */
function* ndjson({ subscribers, segments, total, ...head }: WhatIf): Generator<string> {
  for (const one of subscribers) yield `${JSON.stringify({ kind: 'subscriber', ...one })}\n`;
  for (const one of segments) yield `${JSON.stringify({ kind: 'segment', ...one })}\n`;
  yield `${JSON.stringify({ kind: 'total', ...head, ...total })}\n`;
}

function readTariff(file: string): Tariff {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new RingfenceError({
      code: 'tariff.unreadable',
      message: `The tariff file ${file} cannot be read: ${(error as Error).message}.`,
      hint: 'Give an existing YAML file.',
      cause: error,
    });
  }
  const parsed = parseTariff(file, text);
  if ('problems' in parsed)
    throw new RingfenceError({
      code: 'tariff.invalid',
      message: parsed.problems.map(describeProblem).join('\n'),
      hint: 'Correct the lines above; rules/tariff.schema.json says what a tariff may hold.',
      exitCode: ExitCode.ruleWrong,
    });
  return parsed.tariff;
}

export function whatifCommand(): Command {
  return new Command('whatif')
    .description('What a tariff would have brought in: records of files, priced anew, by segment and subscriber.')
    .argument('<file...>', 'NDJSON files, also gzipped')
    .requiredOption('--tariff <file>', 'the tariff, YAML')
    .option('--compare <file>', 'compare with this tariff instead of with what was charged')
    .option('--by <segment>', `segments: ${SEGMENTS.join(', ')}`, 'tier')
    .option('--rules <dir>', 'folder of the rule files, with the model of value and churn', DEFAULTS.rules)
    .option('--time-zone <zone>', 'IANA zone of nights, weekends and months', DEFAULTS.timeZone)
    .option('--output <form>', 'text (a table) or json (NDJSON: subscribers, segments, total)', 'text')
    .action(
      async (
        files: string[],
        flags: { tariff: string; compare?: string; by: string; rules: string; timeZone: string; output: string },
      ) => {
        requireForm(flags.output);
        if (!(SEGMENTS as readonly string[]).includes(flags.by))
          throw new RingfenceError({
            code: 'whatif.by',
            message: `--by: '${flags.by}' is none of ${SEGMENTS.join(', ')}.`,
            hint: 'Leave it out for tiers of value.',
          });
        const result = await whatIf(files, {
          tariff: readTariff(flags.tariff),
          compare: flags.compare === undefined ? undefined : readTariff(flags.compare),
          rules: flags.rules,
          timeZone: flags.timeZone,
          by: flags.by as Segmentation,
        });
        if (flags.output === 'json') {
          for (const line of ndjson(result)) if (!process.stdout.write(line)) await once(process.stdout, 'drain');
        } else process.stdout.write(describe(result));
      },
    );
}
