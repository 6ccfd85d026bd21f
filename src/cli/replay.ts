/**
 * `replay`: the engine over files, without NATS. The same records give the same alerts as over NATS, byte for byte.
 */
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Command } from 'commander';
import { type AlertData, alertEvent, DESKS, type Desk } from '../alerts/alert.ts';
import { DEFAULTS, numberingPlanFile } from '../config.ts';
import { createEngine } from '../engine.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { decodeMessage } from '../record/decode.ts';
import { localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import { parseRules, readRuleFiles, ruleError, versionOf } from '../rules/load.ts';
import { isShadow } from '../rules/rule.ts';
import { checkReadable, readLines } from '../source/file.ts';
import { requireForm } from './output.ts';

/** Files may lie in the future of this machine, not in that of telephony. */
const EVENT_TIME_MAX = Date.UTC(2100, 0, 1);
const DAY_MS = 86_400_000;
/** Bad records named on stderr; the others are counted. */
const REJECTIONS_NAMED_MAX = 5;

/** Which desk a label column is about; another name is held against all desks. */
const LABEL_DESKS: ReadonlyMap<string, Desk> = new Map([
  ['fraud', 'fraud'],
  ['arrears', 'arrears'],
  ['default', 'arrears'],
  ['churn', 'retention'],
  ['retention', 'retention'],
]);

export interface ReplayOptions {
  rules: string;
  labels?: string;
  timeZone: string;
  source: string;
}

export interface RuleFigures {
  ruleId: string;
  catalogue: string;
  desk: Desk;
  /** A draft: counted here and in no total. */
  shadow: boolean;
  alerts: number;
  revisions: number;
  alertsPerDay: number;
  subscribers: number;
  precision: number | null;
  recall: number | null;
}

export interface ReplaySummary {
  records: number;
  applied: number;
  rejected: number;
  duplicates: number;
  late: number;
  alerts: number;
  revisions: number;
  subscribers: number;
  days: number;
  seconds: number;
  recordsPerSec: number;
  byDesk: Record<Desk, number>;
  byRule: RuleFigures[];
  /** Only with labels: of the desk that the label is about, or of all. */
  labels: {
    column: string;
    labelled: number;
    positive: number;
    flagged: number;
    precision: number | null;
    recall: number | null;
    alertsPerDay: number;
  } | null;
}

/** Runs the files in the order given and writes each alert as a line of CloudEvents JSON. */
async function replayFiles(files: readonly string[], output: Writable, options: ReplayOptions): Promise<ReplaySummary> {
  await checkReadable(files);
  const labels = options.labels === undefined ? undefined : readLabels(options.labels);
  const ruleFiles = readRuleFiles(options.rules);
  const { sources, lists, problems } = parseRules(ruleFiles);
  const engine = createEngine({
    numberingPlan: loadNumberingPlan(numberingPlanFile),
    localTime: localTime(options.timeZone),
  });
  const wrong = problems.length > 0 ? problems : engine.useRules(sources, versionOf(ruleFiles), [], lists);
  if (wrong.length > 0) throw ruleError(wrong, options.rules);

  const tallies = new Map(
    sources.map(({ rule }) => [
      rule.id,
      { rule, ids: new Set<string>(), revisions: 0, subscribers: new Set<string>() },
    ]),
  );
  const alerts: AlertData[] = [];
  let revisions = 0;
  let records = 0;
  let rejected = 0;
  let firstTime = Number.POSITIVE_INFINITY;
  const begun = performance.now();

  const write = async (): Promise<void> => {
    if (alerts.length === 0) return;
    let text = '';
    for (const alert of alerts) {
      text += `${JSON.stringify(alertEvent(alert, options.source))}\n`;
      const tally = tallies.get(alert.ruleId)!;
      tally.ids.add(alert.alertId);
      tally.revisions++;
      if (alert.servedMsisdn !== undefined) tally.subscribers.add(alert.servedMsisdn);
    }
    revisions += alerts.length;
    alerts.length = 0;
    if (!output.write(text)) await once(output, 'drain');
  };

  for (const path of files) {
    for await (const { lines, firstLine } of readLines(path)) {
      for (const [index, line] of lines.entries()) {
        if (line.length === 0) continue;
        const decoded = decodeMessage(line, { eventTimeMax: EVENT_TIME_MAX });
        for (const record of decoded.records) {
          records++;
          if (record.eventTime < firstTime) firstTime = record.eventTime;
          engine.apply(record, alerts);
        }
        for (const rejection of decoded.rejections) {
          records++;
          rejected++;
          if (rejected <= REJECTIONS_NAMED_MAX) {
            process.stderr.write(
              `${path}:${firstLine + index}: ${rejection.reason} ${rejection.field}: ${rejection.detail}\n`,
            );
          }
        }
      }
      await write();
    }
  }
  await write();

  const seconds = (performance.now() - begun) / 1000;
  const counts = engine.counts();
  const lastTime = engine.maxEventTime();
  const days = records === rejected ? 0 : Math.max((lastTime - firstTime) / DAY_MS, 1 / 24);
  const perDay = (count: number): number => (days === 0 ? 0 : count / days);
  const positives = labels === undefined ? 0 : [...labels.values.values()].filter(Boolean).length;
  const score = (flagged: Iterable<string>): { flagged: number; precision: number | null; recall: number | null } => {
    if (labels === undefined) return { flagged: 0, precision: null, recall: null };
    let labelled = 0;
    let hit = 0;
    for (const msisdn of flagged) {
      const label = labels.values.get(msisdn);
      if (label === undefined) continue;
      labelled++;
      if (label) hit++;
    }
    return {
      flagged: labelled,
      precision: labelled === 0 ? null : hit / labelled,
      recall: positives === 0 ? null : hit / positives,
    };
  };
  const byRule = [...tallies.values()].map(({ rule, ids, revisions: own, subscribers }) => {
    const { precision, recall } = score(subscribers);
    return {
      ruleId: rule.id,
      catalogue: rule.catalogue,
      desk: rule.desk,
      shadow: isShadow(rule),
      alerts: ids.size,
      revisions: own,
      alertsPerDay: perDay(ids.size),
      subscribers: subscribers.size,
      precision,
      recall,
    };
  });
  const labelDesk = labels === undefined ? undefined : LABEL_DESKS.get(labels.column);
  const counted = byRule.filter(({ desk, shadow }) => !shadow && (labelDesk === undefined || desk === labelDesk));
  const flaggedByDesk = new Set(counted.flatMap(({ ruleId }) => [...tallies.get(ruleId)!.subscribers]));
  return {
    records,
    applied: counts.applied,
    rejected,
    duplicates: counts.duplicate,
    late: counts.late,
    alerts: byRule.reduce((sum, { alerts: own, shadow }) => sum + (shadow ? 0 : own), 0),
    revisions,
    subscribers: engine.stats().subscribers,
    days,
    seconds,
    recordsPerSec: Math.round(records / seconds),
    byDesk: Object.fromEntries(
      DESKS.map((desk) => [
        desk,
        byRule.filter((rule) => rule.desk === desk && !rule.shadow).reduce((sum, { alerts: own }) => sum + own, 0),
      ]),
    ) as Record<Desk, number>,
    byRule,
    labels:
      labels === undefined
        ? null
        : {
            column: labels.column,
            labelled: labels.values.size,
            positive: positives,
            ...score(flaggedByDesk),
            alertsPerDay: perDay(counted.reduce((sum, { alerts: own }) => sum + own, 0)),
          },
  };
}

/** `servedMsisdn,<label>` with 1 or 0, `true` or `false`. */
function readLabels(file: string): { column: string; values: Map<string, boolean> } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new RingfenceError({
      code: 'labels.unreadable',
      message: `The label file ${file} cannot be read: ${(error as Error).message}.`,
      hint: 'Give an existing CSV file with --labels.',
    });
  }
  const [head = '', ...lines] = text.trim().split(/\r?\n/);
  const columns = head.split(',').map((column) => column.trim());
  if (columns[0] !== 'servedMsisdn' || columns.length < 2) {
    throw new RingfenceError({
      code: 'labels.header',
      message: `${file}:1:1: expected the header servedMsisdn,<label>, found '${head}'.`,
      hint: 'The first column is the subscriber, the second 1 or 0.',
    });
  }
  const values = new Map<string, boolean>();
  for (const [index, line] of lines.entries()) {
    const [msisdn = '', label = ''] = line.split(',').map((cell) => cell.trim());
    if (!['0', '1', 'true', 'false'].includes(label)) {
      throw new RingfenceError({
        code: 'labels.value',
        message: `${file}:${index + 2}:${msisdn.length + 2}: expected 0, 1, true or false, found '${label}'.`,
        hint: 'The second column says whether the subscriber is a case.',
      });
    }
    values.set(msisdn, label === '1' || label === 'true');
  }
  return { column: columns[1]!, values };
}

function describeSummary(summary: ReplaySummary): string {
  const number = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 2 });
  const share = (value: number | null): string => (value === null ? '-' : value.toFixed(3));
  const lines = [
    `records ${summary.records}`,
    `applied ${summary.applied}`,
    `rejected ${summary.rejected}`,
    `duplicates ${summary.duplicates}`,
    `late ${summary.late}`,
    `alerts ${summary.alerts} (${summary.revisions} revisions; ${DESKS.map((desk) => `${desk} ${summary.byDesk[desk]}`).join(', ')})`,
    `subscribers ${summary.subscribers}, ${number(summary.days)} days of event time, ${number(summary.seconds)} s, ${number(summary.recordsPerSec)} records/s`,
    '',
    `${'rule'.padEnd(36)}${'id'.padEnd(5)}${'alerts'.padStart(8)}${'per day'.padStart(10)}${'subscribers'.padStart(13)}${'precision'.padStart(11)}${'recall'.padStart(8)}`,
    ...summary.byRule.map(
      (rule) =>
        `${(rule.shadow ? `${rule.ruleId} (draft)` : rule.ruleId).padEnd(36)}${rule.catalogue.padEnd(5)}${String(rule.alerts).padStart(8)}${number(rule.alertsPerDay).padStart(10)}${String(rule.subscribers).padStart(13)}${share(rule.precision).padStart(11)}${share(rule.recall).padStart(8)}`,
    ),
  ];
  if (summary.labels !== null) {
    const { column, labelled, positive, flagged, precision, recall, alertsPerDay } = summary.labels;
    lines.push(
      '',
      `label ${column}: ${positive} of ${labelled} subscribers; ${flagged} flagged, precision ${share(precision)}, recall ${share(recall)}, ${number(alertsPerDay)} alerts per day`,
    );
  }
  return `${lines.join('\n')}\n`;
}

export function replayCommand(): Command {
  return new Command('replay')
    .description('Run the engine over NDJSON files (or - for standard input), without NATS.')
    .argument('<file...>', 'NDJSON files, also gzipped')
    .option('--rules <dir>', 'folder of the rule files', DEFAULTS.rules)
    .option('--labels <file>', 'CSV servedMsisdn,<label>: adds precision and recall')
    .option('--alerts <file>', 'write the alerts there instead of to standard output')
    .option('--time-zone <zone>', 'IANA zone of nights and weekends', DEFAULTS.timeZone)
    .option('--strict', 'exit 1 where a record is bad')
    .option('--output <form>', 'form of the summary on standard error: text or json', 'text')
    .action(
      async (
        files: string[],
        flags: { rules: string; labels?: string; alerts?: string; timeZone: string; strict?: boolean; output: string },
      ) => {
        requireForm(flags.output);
        const output = flags.alerts === undefined ? process.stdout : createWriteStream(flags.alerts);
        if (flags.alerts !== undefined) {
          await once(output, 'open').catch((error: Error) => {
            throw new RingfenceError({
              code: 'replay.alerts',
              message: `Cannot write ${flags.alerts}: ${error.message}.`,
              hint: 'Give a file in a folder that can be written with --alerts.',
            });
          });
        }
        const summary = await replayFiles(files, output, { ...flags, source: DEFAULTS.source });
        if (flags.alerts !== undefined) {
          output.end();
          await once(output, 'finish');
        }
        process.stderr.write(flags.output === 'json' ? `${JSON.stringify(summary)}\n` : describeSummary(summary));
        if (flags.strict === true && summary.rejected > 0) process.exitCode = ExitCode.findings;
      },
    );
}
