/**
 * `rules check|test|list|explain`: everything about rule files that needs no running engine; `rules apply|export`: between files
 * and what runs.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { Command } from 'commander';
import { DEFAULTS, numberingPlanFile } from '../config.ts';
import { createEngine } from '../engine.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import type { RuleSummary } from '../http/schemas.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import type { ControlKind } from '../record/control-message.ts';
import type { ReferenceLists } from '../reference/lists.ts';
import { localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import type { ApprovedText } from '../rule-changes/change-log.ts';
import { type Layer, layered } from '../rule-changes/layers.ts';
import { openRuleDesk } from '../rule-changes/rule-desk.ts';
import { runRuleTests } from '../rule-changes/rule-test.ts';
import type { CompiledRule } from '../rules/compiled-rule.ts';
import { parseDuration } from '../rules/expression.ts';
import { parseRules, readRuleFiles, ruleError, versionOf } from '../rules/load.ts';
import { rulesTooLarge } from '../rules/message.ts';
import { isShadow, type RuleSource } from '../rules/rule.ts';
import type { RuleSet } from '../rules/rule-set.ts';
import { partitionsFound, RULES_STREAM } from '../source/streams.ts';
import { natsOption, withNats } from './nats-option.ts';
import { requireForm } from './output.ts';
import { createRuleCosts, type RuleCost } from './rule-cost.ts';
import { publishRulesMessage } from './rules-in-stream.ts';

interface LoadedRules {
  sources: RuleSource[];
  lists: ReferenceLists | undefined;
  ruleSet: RuleSet;
}

/** Parses and compiles a folder. @throws RingfenceError with exit code 2 and a line for everything that is wrong */
const loadRules = (directory: string, timeZone: string): LoadedRules =>
  checkSet(readRuleFiles(directory), directory, timeZone);

/** The same of files that are in memory. */
function checkSet(files: { file: string; text: string }[], directory: string, timeZone: string): LoadedRules {
  const { sources, lists, problems } = parseRules(files);
  if (problems.length > 0) throw ruleError(problems, directory);
  const engine = createEngine({
    numberingPlan: loadNumberingPlan(numberingPlanFile),
    localTime: localTime(timeZone),
    horizonRecords: 1_024,
  });
  const wrong = engine.useRules(sources, versionOf(files), [], lists);
  if (wrong.length > 0) throw ruleError(wrong, directory);
  return { sources, lists, ruleSet: engine.ruleSet() };
}

function explain(rule: CompiledRule, cost: RuleCost): string {
  const { rule: source } = rule;
  const { bytesPerKey, mostBytesPerKey, nanosecondsPerRecord } = cost;
  const lines = [
    `${source.id} (${source.catalogue}) version ${source.version}, ${source.status}`,
    `  ${source.title.en} / ${source.title['zh-CN']}`,
    ...(source.description === undefined ? [] : [`  ${source.description.en}`]),
    `  one alert per ${source.key}; an episode ends ${source.suppress.for} after the condition last held`,
    '  features:',
    ...rule.features.map(({ name, window, unit, panes, entry }) => {
      const kept =
        panes === undefined
          ? ''
          : `, ${panes.stretch.panes} panes of ${panes.list.paneMs / 1000} s${panes.stretch.shift > 0 ? `, ending ${(panes.stretch.shift * panes.list.paneMs) / 1000} s ago` : ''}`;
      return `    ${name}${window === '' ? '' : ` over ${window}`} [${unit}]${kept}${entry === undefined ? '' : `, operator ${entry.id}`}`;
    }),
    ...(source.params === undefined
      ? []
      : [
          `  parameters: ${Object.entries(source.params)
            .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
            .join(', ')}`,
        ]),
    '  bands:',
    ...source.bands.map((band) => `    ${band.severity.padEnd(8)} score ${String(band.score).padStart(3)}  ${band.if}`),
    ...(source.evaluateAt === undefined ? [] : [`  looks again at ${[source.evaluateAt].flat().join(' and ')}`]),
    ...(source.evaluateEvery === undefined ? [] : [`  looks again every ${source.evaluateEvery}`]),
    `  memory: ${bytesPerKey} bytes a key after its first test that fires, at most ${mostBytesPerKey}; keys without such records take none`,
    `  time: ${nanosecondsPerRecord} ns a record of ordinary traffic, this rule alone, measured on this machine`,
  ];
  return lines.join('\n');
}

/** What was approved in the console and nothing has replaced since. A deployment that has never run has none. */
async function approvedChanges(nc: NatsConnection): Promise<Map<string, ApprovedText>> {
  const jsm = await jetstreamManager(nc);
  for await (const name of jsm.streams.names('rules.>')) {
    if (name !== RULES_STREAM) continue;
    const log = createLog({ level: 'silent' });
    const desk = await openRuleDesk({ nc, js: jetstream(nc), jsm, metrics: createMetrics(), log });
    try {
      return desk.approved();
    } finally {
      await desk.close();
    }
  }
  return new Map();
}

/**
 * Writes approved changes into the files of a folder. A file that was changed as well is left alone and named, unless it is to
 * be overwritten.
 */
async function exportRules(
  directory: string,
  options: { nats: string; overwrite: boolean; log(sentence: string): void },
): Promise<{ written: Layer[]; heldBack: Layer[] }> {
  const before = readRuleFiles(directory);
  const work = async (nc: NatsConnection): Promise<{ written: Layer[]; heldBack: Layer[] }> => {
    const { files, layers } = layered(before, await approvedChanges(nc));
    const heldBack = layers.filter(({ state }) => state === 'held-back' && !options.overwrite);
    const written = layers.filter(({ state }) => state === 'layered' || (state === 'held-back' && options.overwrite));
    for (const { file } of written) {
      const { text } = files.find((one) => one.file === file)!;
      // Whoever reads the folder meanwhile finds the old file or the new one.
      writeFileSync(join(directory, `${file}.writing`), text);
      renameSync(join(directory, `${file}.writing`), join(directory, file));
    }
    return { written, heldBack };
  };
  return withNats(options.nats, 'ringfence rules export', work, options.log);
}

/** What NATS allows where the server does not say. */
const PAYLOAD_BYTES_DEFAULT = 1_048_576;

interface AppliedRules {
  version: string;
  rules: number;
  partitions: number;
  /** Of the message that counts, by partition. */
  sequences: number[];
  backfillMs: number | null;
}

/**
 * Sends a rule folder to whatever runs on these streams. With `backfillMs` its new windows are filled from the records that
 * the stream still holds before it goes live; without, it goes live at once and they start cold.
 */
async function applyRules(
  directory: string,
  options: { nats: string; timeZone: string; backfillMs: number | undefined; log(sentence: string): void },
): Promise<AppliedRules> {
  const { sources } = loadRules(directory, options.timeZone);
  const { backfillMs, log } = options;
  const work = async (nc: NatsConnection): Promise<AppliedRules> => {
    const { files, layers } = layered(readRuleFiles(directory), await approvedChanges(nc));
    for (const { ruleId, file, state } of layers) {
      if (state === 'layered' || state === 'held-back')
        log(`${ruleId}: the change that was approved holds, not ${file}; \`rules export\` writes it there`);
    }
    checkSet(files, directory, options.timeZone);
    const version = versionOf(files);
    const message = { version, files, applied: true, ...(backfillMs !== undefined && { backfillMs }) };
    const partitions = await partitionsFound(await jetstreamManager(nc));
    const js = jetstream(nc);
    const sequences: number[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const bytesMax = nc.info?.max_payload ?? PAYLOAD_BYTES_DEFAULT;
      const publish = async (kind: ControlKind, body: Uint8Array, header: MsgHdrs): Promise<number> =>
        (await js.publish(`usage.${partition}.${kind}`, body, { headers: header })).seq;
      const sequence = await publishRulesMessage(message, bytesMax, publish);
      if (sequence === undefined) throw rulesTooLarge(bytesMax);
      sequences.push(sequence);
    }
    return { version, rules: sources.length, partitions, sequences, backfillMs: backfillMs ?? null };
  };
  return withNats(options.nats, 'ringfence rules apply', work, log);
}

/** What a running deployment says about its rules: also since when their features have seen data. */
async function listRunning(url: string): Promise<RuleSummary[]> {
  const address = URL.parse('/v1/rules', url);
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw new RingfenceError({
      code: 'rules.url',
      message: `--url: '${url}' is no HTTP address.`,
      hint: 'Write for example http://127.0.0.1:8080.',
    });
  }
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return ((await answer.json()) as { rules: RuleSummary[] }).rules;
  } catch (error) {
    const { cause, message } = error as Error;
    throw new RingfenceError({
      code: 'rules.unreachable',
      message: `${address} does not answer: ${cause instanceof Error ? cause.message : message}.`,
      hint: 'Give the HTTP address of the running deployment with --url.',
    });
  }
}

/** When the youngest of a rule's windows began, for people. */
function sinceOf({ features }: RuleSummary): string {
  const youngest = Math.max(0, ...features.map(({ since }) => since));
  return youngest === 0 ? 'from the first record' : `since ${new Date(youngest).toISOString().slice(0, 16)}Z`;
}

export function rulesCommand(): Command {
  const rules = new Command('rules').description('Validate, test, list and explain rule files.');
  const sub = (name: string, description: string): Command =>
    rules
      .command(name)
      .description(description)
      .argument('[dir]', 'folder of the rule files', DEFAULTS.rules)
      .option('--time-zone <zone>', 'IANA zone of nights and weekends', DEFAULTS.timeZone)
      .option('--output <form>', 'text or json', 'text');

  sub('check', 'Check form, types and names of every rule.').action(
    (directory: string, flags: { timeZone: string; output: string }) => {
      requireForm(flags.output);
      const { sources } = loadRules(directory, flags.timeZone);
      process.stdout.write(
        flags.output === 'json'
          ? `${JSON.stringify({ ok: true, rules: sources.length })}\n`
          : `${sources.length} rules are right\n`,
      );
    },
  );

  sub('test', 'Run the tests that stand in the rule files.').action(
    (directory: string, flags: { timeZone: string; output: string }) => {
      requireForm(flags.output);
      const { sources } = loadRules(directory, flags.timeZone);
      const options = { numberingPlan: loadNumberingPlan(numberingPlanFile), localTime: localTime(flags.timeZone) };
      const results = sources.flatMap((source) => runRuleTests(source, options));
      const failed = results.filter(({ ok }) => !ok);
      if (flags.output === 'json') {
        process.stdout.write(`${JSON.stringify(results)}\n`);
      } else {
        for (const { ok, catalogue, ruleId, test, detail } of results) {
          process.stdout.write(
            `${ok ? 'ok  ' : 'FAIL'} ${catalogue} ${ruleId}: ${test}${ok ? '' : `\n     ${detail}`}\n`,
          );
        }
        process.stdout.write(
          `${results.length - failed.length} of ${results.length} tests of ${sources.length} rules passed\n`,
        );
      }
      if (failed.length > 0) process.exitCode = ExitCode.findings;
    },
  );

  sub('list', 'List the rules.')
    .option('--url <url>', 'list the rules that run there, with the time since when their features have seen data')
    .action(async (directory: string, flags: { timeZone: string; output: string; url?: string }) => {
      requireForm(flags.output);
      const list =
        flags.url === undefined
          ? loadRules(directory, flags.timeZone).sources.map(({ rule }) => {
              const { id, version, catalogue, desk, status, key, title } = rule;
              return { id, version, catalogue, desk, status, shadow: isShadow(rule), key, title };
            })
          : await listRunning(flags.url);
      list.sort((a, b) => (a.catalogue < b.catalogue ? -1 : 1));
      if (flags.output === 'json') {
        process.stdout.write(`${JSON.stringify(list)}\n`);
        return;
      }
      for (const rule of list) {
        const { catalogue, id, version, desk, status, shadow, key, title } = rule;
        const since = 'features' in rule ? `${sinceOf(rule).padEnd(23)} ` : '';
        process.stdout.write(
          `${catalogue}  ${id.padEnd(34)} v${String(version).padEnd(3)} ${desk.padEnd(10)} ${(shadow ? 'shadow' : status).padEnd(12)} ${key.padEnd(18)} ${since}${title.en}\n`,
        );
      }
    });

  rules
    .command('export')
    .description('Write changes that were approved in the console into the rule files.')
    .argument('[dir]', 'folder of the rule files', DEFAULTS.rules)
    .addOption(natsOption())
    .option('--overwrite', 'also over files that were changed since the approval', false)
    .option('--output <form>', 'text or json', 'text')
    .action(async (directory: string, flags: { nats: string; overwrite: boolean; output: string }) => {
      requireForm(flags.output);
      const log = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
      const result = await exportRules(directory, { ...flags, log });
      if (flags.output === 'json') process.stdout.write(`${JSON.stringify(result)}\n`);
      else {
        for (const { ruleId, file } of result.written) process.stdout.write(`${file}: ${ruleId} as it was approved\n`);
        for (const { ruleId, file } of result.heldBack)
          process.stdout.write(`${file}: left alone, it was changed since a change of ${ruleId} was approved\n`);
        process.stdout.write(`${result.written.length} files written\n`);
      }
      if (result.heldBack.length > 0) process.exitCode = ExitCode.findings;
    });

  sub('apply', 'Send the rules to a running deployment, through its stream.')
    .addOption(natsOption())
    .option('--backfill <duration>', 'first fill the windows that are new from the records of this time (7d)')
    .action(async (directory: string, flags: { timeZone: string; output: string; nats: string; backfill?: string }) => {
      requireForm(flags.output);
      const backfillMs = flags.backfill === undefined ? undefined : parseDuration(flags.backfill);
      if (flags.backfill !== undefined && (backfillMs === undefined || backfillMs <= 0)) {
        throw new RingfenceError({
          code: 'flag.wrong',
          message: `--backfill: '${flags.backfill}' is no duration.`,
          hint: 'Write it like 12h or 7d.',
        });
      }
      const sent = await applyRules(directory, {
        nats: flags.nats,
        timeZone: flags.timeZone,
        backfillMs,
        log: (sentence) => process.stderr.write(`${sentence}\n`),
      });
      process.stdout.write(
        flags.output === 'json'
          ? `${JSON.stringify(sent)}\n`
          : `${sent.rules} rules sent to ${sent.partitions === 1 ? 'one partition' : `${sent.partitions} partitions`}, version ${sent.version}${
              flags.backfill === undefined
                ? ''
                : `; they go live when their new windows hold the last ${flags.backfill}`
            }\n`,
      );
    });

  sub('explain', 'Explain windows, thresholds and cost of the rules.')
    .option('--rule <id>', 'only this rule, by id or catalogue id')
    .action((directory: string, flags: { timeZone: string; output: string; rule?: string }) => {
      requireForm(flags.output);
      const { sources, lists, ruleSet } = loadRules(directory, flags.timeZone);
      // A key that stands for several has made a rule for each of them; people see one.
      const chosen = ruleSet.rules.filter(
        ({ rule }, index, { [index - 1]: before }) =>
          before?.rule !== rule &&
          (flags.rule === undefined || rule.id === flags.rule || rule.catalogue === flags.rule),
      );
      if (chosen.length === 0) {
        throw new RingfenceError({
          code: 'rules.unknown',
          message: `There is no rule '${flags.rule}' in ${directory}.`,
          hint: '`ringfence rules list` shows the ids.',
        });
      }
      const world = { numberingPlan: loadNumberingPlan(numberingPlanFile), localTime: localTime(flags.timeZone) };
      const costOf = createRuleCosts(sources, lists, world);
      const explained = chosen.map((rule) => {
        const cost = costOf(sources.find((source) => source.rule === rule.rule)!);
        if (flags.output === 'text') return explain(rule, cost);
        const { id, catalogue } = rule.rule;
        const features = rule.features.map(({ name, window, unit }) => ({ name, window, unit }));
        return { id, catalogue, ...cost, features };
      });
      process.stdout.write(`${flags.output === 'json' ? JSON.stringify(explained) : explained.join('\n\n')}\n`);
    });
  return rules;
}
