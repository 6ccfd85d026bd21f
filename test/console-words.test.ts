/**
 * Every word of the console in Chinese, without a browser: the catalogues themselves, the names of every value that the interface
 * gives, and the sentences of the server. What a page makes of them, the walks in a browser look at.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROLES, SCOPES } from '../src/access/grants.ts';
import { ROUTE_ACCESS } from '../src/access/table.ts';
import { DESKS, SEVERITIES } from '../src/alerts/alert.ts';
import { CASE_STATUSES, OUTCOME_NAMES } from '../src/cases/case-event.ts';
import { projectFolder } from '../src/config.ts';
import { auditMessages } from '../src/console/audit-messages.ts';
import { auditMessagesZhCn } from '../src/console/audit-messages-zh-cn.ts';
import { latinWords } from '../src/console/latin-words.ts';
import { listMessages } from '../src/console/list-messages.ts';
import { listMessagesZhCn } from '../src/console/list-messages-zh-cn.ts';
import { en } from '../src/console/messages.ts';
import { zhCn } from '../src/console/messages-zh-cn.ts';
import { recordMessages } from '../src/console/record-messages.ts';
import { recordMessagesZhCn } from '../src/console/record-messages-zh-cn.ts';
import { ruleMessages } from '../src/console/rule-messages.ts';
import { ruleMessagesZhCn } from '../src/console/rule-messages-zh-cn.ts';
import { inChinese } from '../src/console/server-sentences.ts';
import { decodeMessage } from '../src/record/decode.ts';
import { ACCOUNT_EVENTS, CARE_REASONS, CAUSES_FOR_TERM, DIRECTIONS, FIELDS, OUTCOMES } from '../src/record/schema.ts';
import { RECORD_TYPES } from '../src/record/usage-record.ts';
import { LIST_KINDS } from '../src/reference/lists.ts';
import { runRuleTests } from '../src/rule-changes/rule-test.ts';
import { KEY_TYPES, parseRule, STATUSES } from '../src/rules/rule.ts';
import { numberingPlan, utc } from './rule-engine.ts';

/** Stands for any value of a message: a text, a number, or what formats one. */
const anything = Object.assign(() => '1', { toString: () => '1' });

/** Each text of a catalogue under its place. */
function textsOf(catalogue: object, path = ''): [string, string][] {
  return Object.entries(catalogue).flatMap(([name, entry]): [string, string][] => {
    const place = `${path}.${name}`;
    if (typeof entry === 'string') return [[place, entry]];
    if (typeof entry === 'function')
      return [[place, String(entry(...Array.from({ length: entry.length }, () => anything)))]];
    return textsOf(entry, place);
  });
}

describe.each([
  ['messages', en, zhCn],
  ['messages of records', recordMessages, recordMessagesZhCn],
  ['messages of rules', ruleMessages, ruleMessagesZhCn],
  ['messages of lists', listMessages, listMessagesZhCn],
  ['messages of the audit log', auditMessages, auditMessagesZhCn],
])('%s', (_name, english, chinese) => {
  test('have no Latin word in Chinese that is not a name or a unit', () => {
    const found = textsOf(chinese).filter(([, text]) => latinWords(text).length > 0);
    expect(found).toEqual([]);
  });
  test('are all there, in both languages, and English has no Chinese in it', () => {
    expect(
      textsOf(chinese)
        .map(([place]) => place)
        .sort(),
    ).toEqual(
      textsOf(english)
        .map(([place]) => place)
        .sort(),
    );
    for (const [place, text] of textsOf(english)) {
      expect([place, text]).not.toEqual([place, '']);
      expect([place, /[\u3400-\u9fff]/.test(text)]).toEqual([place, false]);
    }
  });
});

test.each<[string, readonly string[], object]>([
  ['severities', SEVERITIES, zhCn.severity],
  ['desks', DESKS, zhCn.nav],
  ['states of alerts', ['firing', 'resolved'], zhCn.status],
  ['states of cases', CASE_STATUSES, zhCn.caseStatuses],
  ['outcomes', OUTCOME_NAMES, zhCn.outcomes],
  ['kinds of keys', KEY_TYPES, zhCn.keyTypes],
  ['states of rules', STATUSES, ruleMessagesZhCn.statuses],
  ['roles', ROLES, zhCn.admin.roleNames],
  ['scopes', SCOPES, zhCn.admin.scopeNames],
  ['record types', RECORD_TYPES, recordMessagesZhCn.types],
  ['directions', DIRECTIONS, recordMessagesZhCn.directions],
  ['events of accounts', ACCOUNT_EVENTS, recordMessagesZhCn.words],
  ['reasons of care', CARE_REASONS, recordMessagesZhCn.words],
  ['causes of release', CAUSES_FOR_TERM, recordMessagesZhCn.words],
  ['outcomes of payments', OUTCOMES, recordMessagesZhCn.words],
  ['kinds of entries of lists', LIST_KINDS, listMessagesZhCn.kindNames],
  ['operations', Object.keys(ROUTE_ACCESS), auditMessagesZhCn.actions],
])('%s have names', (_name, values, names) => {
  expect(values.filter((value) => !Object.hasOwn(names, value))).toEqual([]);
});

describe('sentences of the server in Chinese', () => {
  /** Names of fields and what a record said stay as they are. */
  const untranslated = (sentence: string): string[] => {
    const chinese = inChinese(sentence);
    if (!/[\u4e00-\u9fff]/.test(chinese)) return [sentence];
    // A word of the English sentence with a blank before and behind it is no identifier.
    return /[a-z]{2,} [a-z]{2,} [a-z]{2,}/.test(chinese.replace(/“[^”]*”/g, '')) ? [chinese] : [];
  };

  test('what is wrong with a record, whatever it is', () => {
    const good = { recordId: 'r1', recordType: 'voice', eventTime: 1_700_000_000_000, servedMsisdn: '8613800000000' };
    const bodies: (string | Uint8Array)[] = [
      '',
      'nothing',
      '{"a":',
      '{"recordId":"r1"}\n{"recordId":\n',
      '[1]',
      '{}',
      Uint8Array.of(0xff, 0xfe, 0x7b),
      Uint8Array.of(0x81, 0x01, 0x02),
      JSON.stringify({ ...good, eventTime: 9e14 }),
      JSON.stringify({ ...good, recordType: 'fax' }),
      JSON.stringify({ ...good, note: 'x'.repeat(5_000) }),
      JSON.stringify({ ...good, ['x'.repeat(5_000)]: 1 }),
      JSON.stringify({ ...good, more: Array.from({ length: 20 }, () => 'x'.repeat(4_000)) }),
      JSON.stringify({ ...good, note: '\ud800' }),
      JSON.stringify({ ...good, amount: 1e300, deep: [[[[[[[[[[1]]]]]]]]]] }),
      JSON.stringify({ ...good, deep: [[[[[[[[[[1]]]]]]]]]] }),
      JSON.stringify({ ...good, count: 1e300 }),
      `{"recordId":"r1","__proto__":{}}`,
      JSON.stringify({ ...good, attributes: { activatedAt: 'soon' } }),
      JSON.stringify({ ...good, attributes: { tier: 'gold' } }),
      ...Object.keys(FIELDS).map((name) => JSON.stringify({ ...good, [name]: name === 'attributes' ? 1 : {} })),
    ];
    const sentences = bodies.flatMap((body) =>
      decodeMessage(Buffer.from(body), { eventTimeMax: Date.now() }).rejections.map(({ detail }) => detail),
    );
    expect(new Set(sentences).size).toBeGreaterThan(40);
    expect(sentences.flatMap(untranslated)).toEqual([]);
    expect(inChinese('recordType must be one of voice, sms.')).toBe('recordType应为以下之一：voice, sms。');
  });

  test('what a test of a rule missed', () => {
    const source = (text: string) => {
      const parsed = parseRule('rule.yaml', text);
      if ('problems' in parsed) throw new Error(parsed.problems[0]!.message);
      return runRuleTests(parsed.source, { numberingPlan, localTime: utc }).map(({ detail }) => inChinese(detail));
    };
    const call = 'record: { recordType: voice, direction: mo, otherNumber: "37112345678", durationSec: 60 }';
    const details = source(`
id: retention.words
version: 1
catalogue: C01
status: stable
desk: retention
title: { en: Calls, zh-CN: 呼叫 }
key: subscriber
on: voice
features: { calls1h: { aggregate: count, window: 1h } }
bands: [{ severity: warning, if: calls1h >= 2, score: 50 }]
reason: { en: "{calls1h} calls", zh-CN: "呼叫{calls1h}次" }
suppress: { for: 1h }
tests:
  - { name: none came, steps: [{ ${call} }], expect: [{ severity: warning }] }
  - { name: one came, steps: [{ repeat: 2, ${call} }], expect: [] }
  - { name: another one came, steps: [{ repeat: 2, ${call} }], expect: [{ severity: critical }] }
  - { name: no record, steps: [{ record: { recordType: fax } }], expect: [] }
`);
    expect(details).toEqual([
      '应有1次告警，实有0次',
      '应有0次告警，实有1次',
      '第1次告警应为{"severity":"critical"}，实为1秒时警告触发（对象861390000001）',
      expect.stringMatching(/^第1条话单无效：recordType应为以下之一：/),
    ]);
  });

  test('why a request is refused, for every refusal in the sources', () => {
    const sentences = ['http', 'cases', 'rule-changes'].flatMap((folder) =>
      readdirSync(join(projectFolder, 'src', folder)).flatMap((file) => {
        const text = readFileSync(join(projectFolder, 'src', folder, file), 'utf8');
        const literals = [...text.matchAll(/new ProblemError\(\s*\d+,\s*(['`])((?:\\.|(?!\1)[^\\])*)\1/g)];
        return literals.map(([, , sentence]) => sentence!.replace(/\$\{.*?\}(?=[^}]*$|[^}]*\$\{)/g, 'X'));
      }),
    );
    expect(sentences.length).toBeGreaterThan(80);
    expect(sentences.flatMap(untranslated)).toEqual([]);
  });
});
