/** Which rules heed which: among those that ship, and where a condition decides whether an alert is taken. */
import { expect, test } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { affectedBy, neededFor } from '../src/rule-changes/dependence.ts';
import { parseRules, readRuleFiles } from '../src/rules/load.ts';

const { sources } = parseRules(readRuleFiles(DEFAULTS.rules));
const catalogueOf = new Map(sources.map(({ rule }) => [rule.id, rule.catalogue]));
const named = (ids: Iterable<string>): string[] => [...ids].map((id) => catalogueOf.get(id)!).sort();
const idOf = (catalogue: string): string => sources.find(({ rule }) => rule.catalogue === catalogue)!.rule.id;

test.each([
  ['F27', ['F28']],
  ['F29', ['F30']],
  ['F05', []],
])('of the rules that ship, %s has an effect on %j', (catalogue, expected) => {
  expect(named(affectedBy(sources, idOf(catalogue)))).toEqual(expected);
  for (const other of expected)
    expect(named(neededFor(sources, [idOf(other)]).map(({ rule }) => rule.id))).toContain(catalogue);
});

test('a rule that heeds nobody needs nobody', () => {
  expect(named(neededFor(sources, [idOf('F05')]).map(({ rule }) => rule.id))).toEqual(['F05']);
});

const reader = sources.find(({ rule }) => rule.catalogue === 'F28')!;
test.each([
  ["alertCatalogue == 'F05'", true],
  ["alertCatalogue != 'F05'", false],
  ["alertCatalogue in ['F04', 'F05']", true],
  ["alertCatalogue in ['F04', 'F06']", false],
  ['alertCatalogue in wanted', true],
  ["alertRule == 'fraud.calls-per-minute' && alertSeverity == 'critical'", true],
  ["alertDesk == 'retention' && alertSeverity == 'critical'", false],
  ["alertSeverity == 'critical' || alertCatalogue == 'F06'", true],
  ["!(alertCatalogue == 'F05')", false],
  ["recordType == 'voice'", false],
  ["alertScore > 50 ? alertCatalogue == 'F06' : alertCatalogue == 'F07'", false],
])('an alert of F05 and the condition %s', (where, isTaken) => {
  const other = { ...reader, rule: { ...reader.rule, where, params: { wanted: ['F05'] }, features: {} } };
  const set = [...sources.filter(({ rule }) => rule.catalogue === 'F05'), other];
  expect(affectedBy(set, idOf('F05')).size).toBe(isTaken ? 1 : 0);
});

test('inhibition and scores reach further rules', () => {
  const cause = sources.find(({ rule }) => rule.catalogue === 'F05')!;
  const rename = (id: string, change: object, text = '') => ({
    ...reader,
    text,
    rule: { ...reader.rule, id, on: 'voice' as const, where: 'true', features: {}, ...change },
  });
  const set = [
    cause,
    rename('fraud.shy', { inhibitedBy: [cause.rule.id] }),
    rename('fraud.shier', { inhibitedBy: ['fraud.shy'] }),
    rename('retention.sum', {}, 'bands: score.fraud > 50'),
    rename('fraud.own', {}, 'bands: score.retention > 50'),
  ];
  expect([...affectedBy(set, cause.rule.id)].sort()).toEqual(['fraud.shier', 'fraud.shy', 'retention.sum']);
});
