/**
 * `docs`: writes the references that are made from the code, so that they cannot say anything else than the code does. A test
 * compares them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { DESKS } from '../alerts/alert.ts';
import { DEFAULTS, projectFolder } from '../config.ts';
import { createMetrics } from '../metrics.ts';
import { debtModelSchema } from '../rules/debt.ts';
import { parseRules, readRuleFiles } from '../rules/load.ts';
import { modelSchema } from '../rules/model.ts';
import { ruleSchema } from '../rules/rule.ts';
import { tariffSchema } from '../rules/tariff.ts';

/** Content of every generated file by its path in the checkout. */
export async function generatedDocuments(): Promise<Record<string, string>> {
  const { sources } = parseRules(readRuleFiles(DEFAULTS.rules));
  const row = ({ file, rule }: (typeof sources)[number]): string => {
    const windows = Object.values(rule.features ?? {}).flatMap((feature) =>
      feature.window === undefined ? [] : [feature.window],
    );
    const title = `[${rule.title.en}](${file}) / ${rule.title['zh-CN']}`;
    const bands = [...new Set(rule.bands.map(({ severity }) => severity))].join(', ');
    return `| ${rule.catalogue} | \`${rule.id}\` | ${title} | ${rule.status} | ${rule.key} | ${bands} | ${[...new Set(windows)].join(', ')} | ${rule.tests.length} |`;
  };
  const byDesk = DESKS.flatMap((desk) => {
    const own = sources
      .filter(({ rule }) => rule.desk === desk)
      .sort((a, b) => (a.rule.catalogue < b.rule.catalogue ? -1 : 1));
    return [
      `## ${desk[0]!.toUpperCase()}${desk.slice(1)}: ${own.length} rules`,
      '',
      '| catalogue | id | title | status | key | severities | windows | tests |',
      '|---|---|---|---|---|---|---|---|',
      ...own.map(row),
      '',
    ];
  });
  const page = (await createMetrics().expose(undefined)).body;
  const metrics = [...page.matchAll(/^# HELP (ringfence_\S+) (.*)\n# TYPE \S+ (\S+)$/gm)]
    .map(([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`)
    .sort();
  const schemaText = (schema: object): string =>
    `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...schema }, null, 2)}\n`;
  return {
    'rules/rule.schema.json': schemaText(ruleSchema),
    'rules/model.schema.json': schemaText(modelSchema),
    'rules/debt-model.schema.json': schemaText(debtModelSchema),
    'rules/tariff.schema.json': schemaText(tariffSchema),
    'rules/README.md': [
      '# Shipped rules',
      '',
      `Written by \`npm run docs\`: ${sources.length} rules, one file a rule, its tests beside its thresholds. [LANGUAGE.md](LANGUAGE.md) says how to`,
      'write one, and `rule.schema.json` completes and checks them in an editor. `ringfence rules explain --rule <id>` shows windows, memory',
      'and time, `ringfence rules test` runs the tests. Conditions ask the [lists](lists/README.md); life cycle, value and churn have their',
      'figures in [models/retention.yaml](models/retention.yaml), bad debt in [models/arrears.yaml](models/arrears.yaml).',
      '',
      ...byDesk,
    ].join('\n'),
    'src/METRICS.md': [
      '# Metrics',
      '',
      'Written by `npm run docs`. Served on the operations listener at `/metrics`, beside those of Node.',
      '',
      '| name | type | meaning |',
      '|---|---|---|',
      ...metrics,
      '',
    ].join('\n'),
  };
}

export function docsCommand(): Command {
  return new Command('docs')
    .description('Write the references that are generated from the code, in a checkout.')
    .action(async () => {
      for (const [file, content] of Object.entries(await generatedDocuments()))
        writeFileSync(join(projectFolder, file), content);
    });
}
