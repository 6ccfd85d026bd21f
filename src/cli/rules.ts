/**
 * `rules check|test|list|explain`: everything about rule files that needs no running engine.
 */
import { Command } from 'commander';
import { DEFAULTS, numberingPlanFile } from '../config.ts';
import { createEngine } from '../engine.ts';
import { ExitCode, RingfenceError } from '../errors.ts';
import { localTime } from '../reference/local-time.ts';
import { loadNumberingPlan } from '../reference/numbering-plan.ts';
import { parseRules, readRuleFiles, ruleError, versionOf } from '../rules/load.ts';
import { isShadow, KEY_TYPES, type RuleSource } from '../rules/rule.ts';
import type { CompiledRule, RuleSet } from '../rules/rule-set.ts';
import { runRuleTests } from './rule-test.ts';

/** Parses and compiles a folder. @throws RingfenceError with exit code 2 and a line for everything that is wrong */
function loadRules(directory: string, timeZone: string): { sources: RuleSource[]; ruleSet: RuleSet } {
  const files = readRuleFiles(directory);
  const { sources, lists, problems } = parseRules(files);
  if (problems.length > 0) throw ruleError(problems, directory);
  const engine = createEngine({
    numberingPlan: loadNumberingPlan(numberingPlanFile),
    localTime: localTime(timeZone),
    horizonRecords: 1_024,
  });
  const wrong = engine.useRules(sources, versionOf(files), [], lists);
  if (wrong.length > 0) throw ruleError(wrong, directory);
  return { sources, ruleSet: engine.ruleSet() };
}

/** Bytes that a key of this rule takes once all its windows hold something, and again when every pane is full. */
function memoryOf(rule: CompiledRule): { leastBytes: number; mostBytes: number } {
  let leastBytes = 0;
  let mostBytes = 0;
  const lists = new Set<number>();
  for (const { panes } of rule.features) {
    if (panes === undefined || lists.has(panes.list.id)) continue;
    lists.add(panes.list.id);
    const entryBytes = 8 * (1 + panes.list.columns.length);
    leastBytes += 8 + entryBytes;
    mostBytes += 8 + entryBytes * (panes.list.retentionMs / panes.list.paneMs);
  }
  return { leastBytes, mostBytes };
}

function explain(rule: CompiledRule): string {
  const { rule: source } = rule;
  const { leastBytes, mostBytes } = memoryOf(rule);
  const lines = [
    `${source.id} (${source.catalogue}) version ${source.version}, ${source.status}`,
    `  ${source.title.en} / ${source.title['zh-CN']}`,
    ...(source.description === undefined ? [] : [`  ${source.description.en}`]),
    `  one alert per ${KEY_TYPES[rule.keyType]}; an episode ends ${source.suppress.for} after the condition last held`,
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
    `  windows take ${leastBytes} bytes a key at least, ${mostBytes} with every pane in use; keys without such records take none`,
  ];
  return lines.join('\n');
}

const requireForm = (form: string): void => {
  if (form === 'text' || form === 'json') return;
  throw new RingfenceError({
    code: 'cli.output',
    message: `--output: '${form}' is neither text nor json.`,
    hint: 'Leave it out for text.',
  });
};

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

  sub('list', 'List the rules.').action((directory: string, flags: { timeZone: string; output: string }) => {
    requireForm(flags.output);
    const { sources } = loadRules(directory, flags.timeZone);
    const list = sources.map(({ rule }) => {
      const { id, version, catalogue, desk, status, key, title } = rule;
      return { id, version, catalogue, desk, status, shadow: isShadow(rule), key, title };
    });
    list.sort((a, b) => (a.catalogue < b.catalogue ? -1 : 1));
    if (flags.output === 'json') {
      process.stdout.write(`${JSON.stringify(list)}\n`);
      return;
    }
    for (const { catalogue, id, version, desk, status, shadow, key, title } of list) {
      process.stdout.write(
        `${catalogue}  ${id.padEnd(34)} v${String(version).padEnd(3)} ${desk.padEnd(10)} ${(shadow ? 'shadow' : status).padEnd(12)} ${key.padEnd(18)} ${title.en}\n`,
      );
    }
  });

  sub('explain', 'Explain windows, thresholds and cost of the rules.')
    .option('--rule <id>', 'only this rule, by id or catalogue id')
    .action((directory: string, flags: { timeZone: string; output: string; rule?: string }) => {
      requireForm(flags.output);
      const { ruleSet } = loadRules(directory, flags.timeZone);
      const chosen = ruleSet.rules.filter(
        ({ rule }) => flags.rule === undefined || rule.id === flags.rule || rule.catalogue === flags.rule,
      );
      if (chosen.length === 0) {
        throw new RingfenceError({
          code: 'rules.unknown',
          message: `There is no rule '${flags.rule}' in ${directory}.`,
          hint: '`ringfence rules list` shows the ids.',
        });
      }
      if (flags.output === 'json') {
        process.stdout.write(
          `${JSON.stringify(chosen.map((rule) => ({ id: rule.rule.id, catalogue: rule.rule.catalogue, ...memoryOf(rule), features: rule.features.map(({ name, window, unit }) => ({ name, window, unit })) })))}\n`,
        );
        return;
      }
      process.stdout.write(`${chosen.map(explain).join('\n\n')}\n`);
    });
  return rules;
}
