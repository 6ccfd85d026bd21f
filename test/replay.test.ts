/** `replay` as users run it: a generated stream with planted cases, duplicates, late and bad records, twice. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AlertData, AlertEvent } from '../src/alerts/alert.ts';
import type { ReplaySummary } from '../src/cli/replay.ts';
import { projectFolder } from '../src/config.ts';
import { population } from '../src/feed/population.ts';
import type { RawRecord } from '../src/feed/raw-record.ts';
import { allNumbers, labelLines } from './population-labels.ts';
import { type Exit, parseAlerts, run, temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const file = (name: string): string => join(folder.path, name);
const startAt = Date.UTC(2026, 0, 5);
const DAY_MS = 86_400_000;

const made = population({
  seed: 3,
  subscribers: 80,
  startAt,
  days: 30,
  recordsPerSubscriberDay: 6,
  planted: { F03: 3, F05: 3, F09: 2, A02: 2, C02: 3 },
});
const records = [...made.records()];
const lines = records.map((record) => JSON.stringify(record));

/** Summary of a run with `--output json`; everything else on standard error comes before it. */
const summaryOf = ({ stderr }: Exit): ReplaySummary =>
  JSON.parse(stderr.trimEnd().split('\n').at(-1)!) as ReplaySummary;

let clean: { exit: Exit; alerts: AlertData[]; summary: ReplaySummary };
beforeAll(async () => {
  writeFileSync(file('clean.ndjson'), `${lines.join('\n')}\n`);
  const exit = await run(['replay', file('clean.ndjson'), '--output', 'json']);
  clean = { exit, alerts: parseAlerts(exit.stdout), summary: summaryOf(exit) };
});

describe('a replay', () => {
  test('prints each alert as a line of CloudEvents, oldest first, and nothing else', () => {
    expect(clean.exit.code).toBe(0);
    const printed = clean.exit.stdout.split('\n');
    expect(printed.pop()).toBe('');
    expect(printed.length).toBeGreaterThan(20);
    for (const line of printed) {
      const event = JSON.parse(line) as AlertEvent;
      expect(event).toMatchObject({
        specversion: '1.0',
        type: 'com.ringfence.alert.v1',
        source: 'urn:ringfence',
        datacontenttype: 'application/json',
      });
      const { data } = event;
      expect([event.id, event.subject, event.time]).toEqual([
        `${data.alertId}.${data.revision}`,
        data.key.value,
        new Date(data.eventTime).toISOString(),
      ]);
    }
    expect(new Set(printed.map((line) => (JSON.parse(line) as AlertEvent).id)).size).toBe(printed.length);
  });

  test('sums up what was read, by desk and by rule', () => {
    const { alerts, summary } = clean;
    expect(summary).toMatchObject({
      records: records.length,
      applied: records.length,
      rejected: 0,
      duplicates: 0,
      late: 0,
      revisions: alerts.length,
      labels: null,
    });
    const ids = (of: readonly AlertData[]): number => new Set(of.map(({ alertId }) => alertId)).size;
    expect(summary.alerts).toBe(ids(alerts));
    for (const desk of ['fraud', 'arrears', 'retention'] as const)
      expect(summary.byDesk[desk]).toBe(ids(alerts.filter((alert) => alert.desk === desk)));
    expect(summary.byRule).toHaveLength(82);
    for (const rule of summary.byRule) {
      const own = alerts.filter(({ ruleId }) => ruleId === rule.ruleId);
      expect([rule.alerts, rule.revisions, rule.subscribers]).toEqual([
        ids(own),
        own.length,
        new Set(own.map(({ servedMsisdn }) => servedMsisdn)).size,
      ]);
    }
    const days =
      (Math.max(...records.map(({ eventTime }) => eventTime)) -
        Math.min(...records.map(({ eventTime }) => eventTime))) /
      DAY_MS;
    expect(summary.days).toBeCloseTo(days, 6);
    const burst = summary.byRule.find(({ catalogue }) => catalogue === 'F03')!;
    expect(burst.alerts).toBeGreaterThanOrEqual(3);
    expect(burst.alertsPerDay).toBeCloseTo(burst.alerts / days, 6);
  });

  test('of the same records gives the same bytes: again, gzipped, in parts, from standard input, into a file', async () => {
    const half = Math.floor(lines.length / 2);
    writeFileSync(file('clean.ndjson.gz'), gzipSync(`${lines.join('\n')}\n`));
    writeFileSync(file('first.ndjson'), `${lines.slice(0, half).join('\n')}\n`);
    writeFileSync(file('second.ndjson'), lines.slice(half).join('\r\n'));
    // Several records a line count one by one.
    writeFileSync(
      file('arrays.ndjson'),
      Array.from(
        { length: Math.ceil(lines.length / 50) },
        (_, part) => `[${lines.slice(part * 50, part * 50 + 50).join()}]\n`,
      ).join(''),
    );
    const [again, gzipped, parts, arrays, intoFile] = await Promise.all([
      run(['replay', file('clean.ndjson')]),
      run(['replay', file('clean.ndjson.gz')]),
      run(['replay', file('first.ndjson'), file('second.ndjson')]),
      run(['replay', file('arrays.ndjson')]),
      run(['replay', file('clean.ndjson'), '--alerts', file('alerts.ndjson')]),
    ]);
    for (const exit of [again!, gzipped!, parts!, arrays!]) {
      expect(exit.code).toBe(0);
      expect(exit.stdout === clean.exit.stdout).toBe(true);
    }
    expect([intoFile!.code, intoFile!.stdout]).toEqual([0, '']);
    expect(readFileSync(file('alerts.ndjson'), 'utf8') === clean.exit.stdout).toBe(true);

    const child = spawn(process.execPath, [join(projectFolder, 'src/main.ts'), 'replay', '-'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdin.end(`${lines.join('\n')}\n`);
    let stdout = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) stdout += chunk;
    expect(stdout === clean.exit.stdout).toBe(true);
  });

  test('counts duplicates, late and bad records, and gives the same alerts in spite of them', async () => {
    const last = records.at(-1)!;
    const late = (n: number): RawRecord => ({
      ...last,
      recordType: 'voice',
      recordId: `late-${n}`,
      eventTime: startAt - 200 * DAY_MS,
      direction: 'mo',
      otherNumber: '8613700000000',
      durationSec: 1,
    });
    const bad = [
      '{"recordType":"voice"',
      '{"recordId":"b1","recordType":"fax","eventTime":1767600000000,"servedMsisdn":"861390000001"}',
      '{"recordId":"b2","recordType":"voice","eventTime":"yesterday","servedMsisdn":"861390000001"}',
    ];
    // Every fiftieth comes twice; what is late or bad stands at the end, blank lines anywhere.
    const doubled = lines.flatMap((line, index) => (index % 50 === 0 ? [line, line, ''] : [line]));
    writeFileSync(
      file('rough.ndjson'),
      [...doubled, JSON.stringify(late(1)), ...bad, JSON.stringify(late(2)), ''].join('\n'),
    );
    const [plain, strict] = await Promise.all([
      run(['replay', file('rough.ndjson'), '--output', 'json']),
      run(['replay', file('rough.ndjson'), '--output', 'json', '--strict']),
    ]);
    expect([plain.code, strict.code]).toEqual([0, 1]);
    const summary = summaryOf(plain);
    const duplicates = Math.ceil(lines.length / 50);
    expect(summary).toMatchObject({
      records: lines.length + duplicates + 5,
      applied: lines.length,
      duplicates,
      late: 2,
      rejected: 3,
    });
    expect(summary.records).toBe(summary.applied + summary.duplicates + summary.late + summary.rejected);
    expect(plain.stdout === clean.exit.stdout).toBe(true);
    // Each bad record is named with its file and line.
    const firstBad = doubled.length + 2;
    expect(plain.stderr.split('\n').slice(0, 3)).toEqual([
      expect.stringMatching(`^${file('rough.ndjson')}:${firstBad}: malformed `),
      expect.stringMatching(`^${file('rough.ndjson')}:${firstBad + 1}: unknownType recordType`),
      expect.stringMatching(`^${file('rough.ndjson')}:${firstBad + 2}: schema eventTime`),
    ]);
  });

  test('shows the summary as a table where no other form is asked for', async () => {
    const { stderr } = await run(['replay', file('clean.ndjson')]);
    expect(stderr).toMatch(
      new RegExp(
        `^records ${lines.length}\napplied ${lines.length}\nrejected 0\nduplicates 0\nlate 0\nalerts ${clean.summary.alerts} `,
      ),
    );
    expect(stderr).toMatch(/^fraud\.international-burst +F03 +\d+ +[\d.]+ +\d+ +- +-$/m);
  });
});

describe('with labels', () => {
  const flagged = (rule: (alert: AlertData) => boolean): Set<string> =>
    new Set(clean.alerts.filter(rule).flatMap(({ servedMsisdn }) => servedMsisdn ?? []));

  test('precision and recall are those of the desk that the label is about', async () => {
    writeFileSync(file('fraud.csv'), [...labelLines(allNumbers(made), made.labels, ['fraud'])].join(''));
    const truth = new Map(
      readFileSync(file('fraud.csv'), 'utf8')
        .trim()
        .split('\n')
        .slice(1)
        .map((line): [string, boolean] => [line.split(',')[0]!, line.split(',')[1] === '1']),
    );
    const summary = summaryOf(
      await run(['replay', file('clean.ndjson'), '--labels', file('fraud.csv'), '--output', 'json']),
    );
    const positive = [...truth.values()].filter(Boolean).length;
    const figures = (of: Set<string>): { precision: number | null; recall: number } => {
      const labelled = [...of].filter((msisdn) => truth.has(msisdn));
      const hits = labelled.filter((msisdn) => truth.get(msisdn)).length;
      return { precision: labelled.length === 0 ? null : hits / labelled.length, recall: hits / positive };
    };
    const all = flagged(({ desk }) => desk === 'fraud');
    expect(summary.labels).toMatchObject({
      column: 'fraud',
      labelled: truth.size,
      positive,
      flagged: all.size,
      ...figures(all),
    });
    expect(summary.labels!.recall).toBe(1);
    expect(summary.labels!.precision).toBeGreaterThan(0.1);
    for (const rule of summary.byRule)
      expect([rule.ruleId, rule.precision, rule.recall]).toEqual([
        rule.ruleId,
        ...Object.values(figures(flagged(({ ruleId }) => ruleId === rule.ruleId))),
      ]);
    const perDay =
      new Set(clean.alerts.filter(({ desk }) => desk === 'fraud').map(({ alertId }) => alertId)).size / summary.days;
    expect(summary.labels!.alertsPerDay).toBeCloseTo(perDay, 6);
  });

  test('another name is held against all desks; subscribers without a label count for nothing', async () => {
    const all = [...flagged(() => true)];
    const [hit, miss] = [all[0]!, all[1]!];
    writeFileSync(file('case.csv'), `servedMsisdn, constructor\r\n${hit},1\r\n${miss}, false\r\n861399999999,true\r\n`);
    const summary = summaryOf(
      await run(['replay', file('clean.ndjson'), '--labels', file('case.csv'), '--output', 'json']),
    );
    expect(summary.labels).toMatchObject({
      column: 'constructor',
      labelled: 3,
      positive: 2,
      flagged: 2,
      precision: 0.5,
      recall: 0.5,
    });
  });

  test.each([
    ['msisdn,fraud\n1,1\n', '1:1: expected the header servedMsisdn,<label>'],
    ['servedMsisdn\n1\n', '1:1: expected the header servedMsisdn,<label>'],
    ['servedMsisdn,fraud\n861390000001,1\n861390000002,maybe\n', "3:14: expected 0, 1, true or false, found 'maybe'"],
  ])('%j is refused with its place', async (text, message) => {
    writeFileSync(file('wrong.csv'), text);
    const { code, stderr, stdout } = await run(['replay', file('clean.ndjson'), '--labels', file('wrong.csv')]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toContain(`${file('wrong.csv')}:${message}`);
  });
});

describe('a replay that cannot be done', () => {
  test('exits 3 for files and flags, 2 for rules, and prints no alert', async () => {
    writeFileSync(file('rule.yaml'), 'id: 5\n');
    const [missing, noLabels, noFolder, form, flag, none, wrongRule, zone] = await Promise.all([
      run(['replay', file('nowhere.ndjson')]),
      run(['replay', file('clean.ndjson'), '--labels', file('nowhere.csv')]),
      run(['replay', file('clean.ndjson'), '--alerts', join(folder.path, 'no', 'folder.ndjson')]),
      run(['replay', file('clean.ndjson'), '--output', 'xml']),
      run(['replay', file('clean.ndjson'), '--stricter']),
      run(['replay']),
      run(['replay', file('clean.ndjson'), '--rules', folder.path]),
      run(['replay', file('clean.ndjson'), '--time-zone', 'Mars/Olympus']),
    ]);
    const all = [missing, noLabels, noFolder, form, flag, none, wrongRule, zone];
    expect(all.map((exit) => exit!.code)).toEqual([3, 3, 3, 3, 3, 3, 2, 3]);
    expect(all.map((exit) => exit!.stdout).join('')).toBe('');
    expect(missing!.stderr).toContain('nowhere.ndjson');
    expect(noLabels!.stderr).toContain('nowhere.csv');
    expect(noFolder!.stderr).toContain('Give a file in a folder that can be written');
    expect(wrongRule!.stderr).toMatch(new RegExp(`^${file('rule.yaml')}:1:5: 'id' must be string`, 'm'));
    expect(existsSync(join(folder.path, 'no'))).toBe(false);
  });
});
