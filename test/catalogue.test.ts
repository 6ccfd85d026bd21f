/**
 * The shipped rules, all of them at once, against the catalogue as an outsider reads it (catalogue-cases.ts): each id fires just
 * above its thresholds, with the severity that the catalogue gives, and not just below. Records come through the decoder.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AlertData, SEVERITIES } from '../src/alerts/alert.ts';
import { projectFolder } from '../src/config.ts';
import { createEngine } from '../src/engine.ts';
import { decodeMessage } from '../src/record/decode.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';
import { CATALOGUE_CASES, type CatalogueCase } from './catalogue-cases.ts';
import { numberingPlan, utc } from './rule-engine.ts';

const { sources, lists, problems } = parseRules(readRuleFiles(join(projectFolder, 'rules')));
const EVENT_TIME_MAX = Date.UTC(2100, 0, 1);

function severityOf({ id, records }: CatalogueCase): CatalogueCase['expect'] {
  const engine = createEngine({ numberingPlan, localTime: utc });
  expect(engine.useRules(sources, 'shipped', [], lists)).toEqual([]);
  const alerts: AlertData[] = [];
  const decoded = decodeMessage(Buffer.from(JSON.stringify(records)), { eventTimeMax: EVENT_TIME_MAX });
  expect(decoded.rejections).toEqual([]);
  for (const record of decoded.records) engine.apply(record, alerts);
  const ranks = alerts
    .filter(({ catalogue, status }) => catalogue === id && status === 'firing')
    .map(({ severity }) => SEVERITIES.indexOf(severity));
  return ranks.length === 0 ? 'none' : SEVERITIES[Math.max(...ranks)]!;
}

const ids = [...new Set(sources.map(({ rule }) => rule.catalogue))].sort();

describe('the catalogue', () => {
  test('has cases for every id, above and below', () => {
    expect(problems).toEqual([]);
    for (const id of ids) {
      const cases = CATALOGUE_CASES.filter((one) => one.id === id);
      expect([id, cases.some((one) => one.expect === 'none'), cases.some((one) => one.expect !== 'none')]).toEqual([
        id,
        true,
        true,
      ]);
    }
  });

  test.each(ids)('%s', (id) => {
    const cases = CATALOGUE_CASES.filter((one) => one.id === id);
    const found = cases.map((one) => `${one.name}: ${severityOf(one)}`);
    expect(found).toEqual(cases.map((one) => `${one.name}: ${one.expect}`));
  });
});
