/** Reference lists: form, places of errors, and look-ups against a naive reader that keeps the rows as they are. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AlertData } from '../src/alerts/alert.ts';
import { createEngine } from '../src/engine.ts';
import { importPlan, listPage, withoutListRow } from '../src/reference/list-rows.ts';
import {
  EMPTY_LIST,
  listText,
  parseList,
  parseLists,
  type ReferenceList,
  withListEntry,
} from '../src/reference/lists.ts';
import { parseRules, versionOf } from '../src/rules/load.ts';
import { numberingPlan, recordAt, ruleWith, sourceOf, utc } from './rule-engine.ts';

const listOf = (text: string): ReferenceList => {
  const parsed = parseList('lists/hot.csv', text);
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.list;
};
const problemsOf = (text: string, file = 'lists/hot.csv'): string[] => {
  const parsed = parseList(file, text);
  return 'problems' in parsed ? parsed.problems.map(({ line, column, message }) => `${line}:${column} ${message}`) : [];
};

describe('a value is found', () => {
  const list = listOf(
    [
      '# Comments and empty lines are passed over.',
      'value,kind,to,class,latitude,longitude,ratePerMin,note',
      '',
      '4477009,prefix,,mobile,,,0.5,"with a comma, and ""quotes"""',
      '447700900,prefix,,hot,,,0.75,',
      '447700900100,range,447700900199,test,,,1,',
      '447700900123,number,,number,,,2,',
      'north-1,cell,,,52.5,-13.25,,',
      '10086,number,,care,,,,',
    ].join('\r\n'),
  );
  test.each<[value: string, kind: string, className: string, rate: number]>([
    ['447700900123', 'number', 'number', 2],
    ['447700900122', 'range', 'test', 1],
    ['447700900100', 'range', 'test', 1],
    ['447700900199', 'range', 'test', 1],
    ['447700900200', 'prefix', 'hot', 0.75],
    ['4477009001000', 'prefix', 'hot', 0.75],
    ['447700901', 'prefix', 'mobile', 0.5],
    ['4477009', 'prefix', 'mobile', 0.5],
    ['447700', '', '', Number.NaN],
    ['', '', '', Number.NaN],
    ['4477009x', '', '', Number.NaN],
    ['10086', 'number', 'care', Number.NaN],
    ['100867', '', '', Number.NaN],
    ['north-1', 'cell', '', Number.NaN],
    ['north-2', '', '', Number.NaN],
  ])('%j: %s %s %d', (value, kind, className, rate) => {
    const row = list.find(value);
    expect([list.textAt(row, 'kind'), list.textAt(row, 'class'), list.numberAt(row, 'ratePerMin')]).toEqual([
      kind,
      className,
      rate,
    ]);
  });

  test('with the place of a cell', () => {
    const row = list.find('north-1');
    expect([list.numberAt(row, 'latitude'), list.numberAt(row, 'longitude')]).toEqual([52.5, -13.25]);
    expect(list.valuesOf('prefix')).toEqual(['4477009', '447700900']);
    expect(list.size).toBe(6);
  });

  test('nowhere in a list that is not there', () => {
    expect(EMPTY_LIST.find('447700900123')).toBe(-1);
  });

  test('as the naive reader finds it', () => {
    const digits = fc.string({ unit: fc.constantFrom('1', '2', '0'), minLength: 3, maxLength: 6 });
    const row = fc.record({ kind: fc.constantFrom('number', 'prefix', 'range'), value: digits, span: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), fc.array(digits, { minLength: 1 }), (drawn, asked) => {
        const rows: { kind: string; value: string; to: string; class: string }[] = [];
        for (const [index, { kind, value, span }] of drawn.entries()) {
          const to = kind === 'range' ? String(Number(`1${value}`) + span).slice(1) : '';
          const isNew = !rows.some(
            (other) =>
              (other.kind === kind && other.value === value) ||
              (kind === 'range' &&
                other.kind === 'range' &&
                other.value.length === value.length &&
                other.value <= to &&
                value <= other.to),
          );
          if (isNew && (kind !== 'range' || (to.length === value.length && to >= value)))
            rows.push({ kind, value, to, class: `r${index}` });
        }
        const read = listOf(listText([{ kind: 'sender', value: 'nobody', to: '', class: '' }, ...rows]));
        for (const value of asked) {
          const naive =
            rows.find((one) => one.kind === 'number' && one.value === value) ??
            rows.find(
              (one) =>
                one.kind === 'range' && one.value.length === value.length && one.value <= value && value <= one.to,
            ) ??
            rows
              .filter((one) => one.kind === 'prefix' && value.startsWith(one.value))
              .sort((a, b) => b.value.length - a.value.length)[0];
          expect(read.textAt(read.find(value), 'class')).toBe(naive?.class ?? '');
        }
      }),
    );
  });
});

describe('what is wrong is shown with line and column', () => {
  test.each<[text: string, problem: string]>([
    ['', '1:1 the list has no header; its columns are kind, value, to, class, latitude'],
    ['value,note', "1:1 the header needs the column 'kind'"],
    ['kind,value,color', "1:12 'color' is no column; known are kind, value"],
    ['kind,value,kind', "1:12 the column 'kind' is there twice"],
    ['kind,value\nnumber', '2:1 expected 2 cells, found 1'],
    ['kind,value\nnumber,1,2', '2:10 expected 2 cells, found 3'],
    ['kind,value\nnumbers,12', "2:1 'numbers' is no kind; known are number, prefix"],
    ['kind,value\n\nnumber,+44', "3:8 '+44' is no number: 2 to 15 digits"],
    ['kind,value\nnumber,', '2:8 the value is empty'],
    ['kind,value\nnumber,1234567890123456', "2:8 '1234567890123456' is no number: 2 to 15 digits"],
    ['kind,value\nimsi,123', "2:6 '123' is no imsi: 14 to 15 digits"],
    ['kind,value\nplmn,1234', "2:6 '1234' is no plmn: 5 to 6 digits"],
    ['kind,value\ndate,2026-02-30', "2:6 '2026-02-30' is no date such as 2026-01-31"],
    ['kind,value\nnumber,123\nnumber,123', "3:8 '123' has a row already"],
    ['kind,value\nprefix,12\nnumber,12\nprefix,12', "4:8 '12' has a row already"],
    ['kind,value,to\nrange,200,100', '2:11 a range ends with a number of 3 digits that is not before 200'],
    ['kind,value,to\nrange,200,2000', '2:11 a range ends with a number of 3 digits that is not before 200'],
    ['kind,value\nrange,200', '2:1 a range ends with a number of 3 digits that is not before 200'],
    ['kind,value,to\nnumber,200,300', "2:12 only a 'range' has an end"],
    ['kind,value,to\nrange,200,300\nrange,300,310', '3:1 the range overlaps that of line 2'],
    ['kind,value,ratePerMin\nprefix,44,-1', "2:11 '-1' is no ratePerMin: a number from 0"],
    ['kind,value,latitude,longitude\ncell,a,91,0', "2:8 '91' is no latitude: a number up to 90"],
    ['kind,value,latitude,longitude\ncell,a,9,', '2:8 a place needs latitude and longitude'],
    ['kind,value,note\nnumber,12,"open', '2:11 the quotes are not closed'],
    [`kind,value\ncell,${'x'.repeat(300)}`, '2:6 the cell is longer than 256 characters'],
  ])('%j: %s', (text, problem) => {
    expect(problemsOf(text)[0]).toMatch(new RegExp(`^${problem.replace(/[+.()]/g, '\\$&')}`));
  });

  test('also the name, and no more than twenty', () => {
    expect(problemsOf('kind,value', 'lists/Hot Numbers.csv')[0]).toMatch(/^1:1 'Hot Numbers' is no name of a list/);
    expect(problemsOf(`kind,value\n${'number,x\n'.repeat(50)}`)).toHaveLength(20);
  });
});

describe('the lists of a rule set', () => {
  const rule = ruleWith({
    where: "inList(otherNumber, 'hot')",
    features: { calls: { aggregate: 'count', window: '1h' } },
    bands: [{ severity: 'warning', if: 'calls >= 2', score: 50 }],
  });
  const filesOf = (number: string) => [
    { file: 'fraud/drawn.yaml', text: JSON.stringify(rule) },
    { file: 'lists/hot.csv', text: `kind,value\nnumber,${number}\n` },
  ];
  const call = (at: number, otherNumber: string) => recordAt(at, { otherNumber });

  test('are part of its version', () => {
    expect(versionOf(filesOf('447700900001'))).not.toBe(versionOf(filesOf('447700900002')));
  });

  test('are swapped with it, and windows stay', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    const use = (number: string): void => {
      const { sources, lists, problems } = parseRules(filesOf(number));
      expect([...problems, ...engine.useRules(sources, number, [], lists)]).toEqual([]);
    };
    const alerts: AlertData[] = [];
    use('447700900001');
    engine.apply(call(0, '447700900001'), alerts);
    engine.apply(call(1_000, '447700900002'), alerts);
    use('447700900002');
    engine.apply(call(2_000, '447700900001'), alerts);
    expect(alerts).toEqual([]);
    engine.apply(call(3_000, '447700900002'), alerts);
    expect(alerts).toHaveLength(1);
  });

  test('come back with the checkpoint', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    const { sources, lists } = parseRules(filesOf('447700900001'));
    engine.useRules(sources, 'v', [], lists);
    const alerts: AlertData[] = [];
    const cut = engine.cut();
    const { meta, names } = cut;
    cut.release();
    const next = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    expect(next.restore(meta, parseRules(meta.rules).sources, names.slice(), [])).toEqual([]);
    for (const at of [0, 1_000]) next.apply(call(at, '447700900001'), alerts);
    expect(alerts).toHaveLength(1);
    expect(next.cut().meta.rules).toEqual(filesOf('447700900001'));
  });

  test('must be there when a rule names one; a rule that is checked alone finds every list empty', () => {
    const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024 });
    const { lists } = parseLists([{ file: 'lists/hut.csv', text: 'kind,value' }]);
    expect(engine.checkRules([sourceOf(rule)], lists)).toMatchObject([
      { message: "there is no list 'hot'; did you mean 'hut'?" },
    ]);
    expect(engine.checkRules([sourceOf(rule)])).toEqual([]);
  });

  test('say which network is home where the configuration does not', () => {
    const roams = ruleWith({ where: 'roaming' });
    const networks = { file: 'lists/networks.csv', text: 'kind,value,class\nplmn,00101,home\nplmn,00102,partner\n' };
    const alertsWith = (homePlmns: string[], servingPlmn: string): number => {
      const engine = createEngine({ numberingPlan, localTime: utc, horizonRecords: 1_024, homePlmns });
      engine.useRules([sourceOf(roams)], 'v', [], parseLists([networks]).lists);
      const alerts: AlertData[] = [];
      engine.apply(recordAt(0, { servingPlmn, servedImsi: '001020000000001' }), alerts);
      return alerts.length;
    };
    expect(['00101', '00102'].map((plmn) => alertsWith([], plmn))).toEqual([0, 1]);
    expect(['00101', '00102'].map((plmn) => alertsWith(['00102'], plmn))).toEqual([1, 0]);
  });
});

describe('an entry more in a list', () => {
  const entry = { kind: 'number', value: '449098790001', note: 'from a case' };

  test.each<[string, string | undefined, string]>([
    ['a new list', undefined, 'kind,value,note\n449098790001'],
    [
      'a list with another order of columns',
      '# hot\nvalue,note,kind\n12345,,number\n',
      '# hot\nvalue,note,kind\n12345,,number\n449098790001,from a case,number\n',
    ],
    ['a list without notes', 'kind,value\r\nnumber,12345\r\n', 'kind,value\nnumber,12345\nnumber,449098790001\n'],
    ['a list without an end of line', 'kind,value\nnumber,12345', 'kind,value\nnumber,12345\nnumber,449098790001\n'],
  ])('goes into %s', (_name, before, expected) => {
    const { text, added } = withListEntry(before, entry);
    expect(added).toBe(true);
    expect(text).toContain(before === undefined ? 'number,449098790001,from a case\n' : expected);
    const parsed = parseList('lists/hot.csv', text);
    expect('list' in parsed && parsed.list.find('449098790001')).toBeGreaterThanOrEqual(0);
  });

  test('is added once', () => {
    const { text } = withListEntry(undefined, entry);
    expect(withListEntry(text, { ...entry, note: 'again' })).toEqual({ text, added: false });
  });

  test.each(['a,b', '"quoted"', '# no comment', 'a "b", c'])('keeps the note %j in its cell', (note) => {
    const { text } = withListEntry(undefined, { ...entry, note });
    const parsed = parseList('lists/hot.csv', text);
    expect('list' in parsed && parsed.list.size).toBe(1);
  });
});

describe('a CSV file of rows', () => {
  const base = '# ours\nkind,value,note\nnumber,12345,old\nprefix,371,\n';

  test('adds what is new, in the columns of the list, and leaves the rest as it is', () => {
    const csv = 'note,value,kind\nnew,12345,number\n"a, b",67890,number\n,99,prefix\n';
    const plan = importPlan('hot', base, csv);
    expect(plan).toMatchObject({ added: 2, present: 1, problems: [] });
    expect(plan.text).toBe(`${base}number,67890,"a, b"\nprefix,99,\n`);
    // A second time nothing is new.
    expect(importPlan('hot', plan.text, csv)).toMatchObject({ added: 0, present: 3, text: plan.text });
    expect(importPlan('fresh', undefined, csv)).toMatchObject({ added: 3, present: 0, problems: [] });
  });

  test('says by the lines of the file what is wrong with it, and changes nothing', () => {
    const wrong = importPlan('hot', base, '# head\nkind,value\nnumber,67890\nnumber,abc\nfruit,1\n');
    expect(wrong).toMatchObject({ added: 0, text: base });
    expect(wrong.problems.map(({ line }) => line)).toEqual([4, 5]);
    const overlap = importPlan(
      'hot',
      'kind,value,to\nrange,100,200\n',
      'value,kind,to\n500,range,600\n150,range,250\n',
    );
    expect(overlap.problems).toMatchObject([{ line: 3 }]);
    expect(importPlan('hot', base, 'kind,value,class\nnumber,67890,x\n').problems).toMatchObject([{ line: 2 }]);
    expect(importPlan('hot', base, 'kind,value\nnumber,"67890\n').problems).toHaveLength(1);
  });

  test('a row ends, and the others stay', () => {
    expect(withoutListRow(base, { kind: 'number', value: '12345' })).toBe('# ours\nkind,value,note\nprefix,371,\n');
    expect(withoutListRow(base, { kind: 'prefix', value: '12345' })).toBeUndefined();
    expect(withoutListRow(base, { kind: 'kind', value: 'value' })).toBeUndefined();
  });

  test('is read in pages that together are all rows, whatever stands between them', () => {
    const text = `# a\n\nkind,value,note\r\n${Array.from({ length: 57 }, (_, at) => `${at % 5 === 0 ? '# x\n' : ''}number,${10_000 + at},n${at % 7}\r\n`).join('')}`;
    for (const [limit, contains] of [
      [1, ''],
      [10, ''],
      [57, ''],
      [3, 'n3'],
      [100, '1005'],
    ] as const) {
      const values: string[] = [];
      let offset: number | undefined = 0;
      while (offset !== undefined) {
        const page = listPage(text, { limit, offset, contains });
        values.push(...page.rows.map((row) => row['value']!));
        offset = page.next ?? undefined;
      }
      const expected = Array.from({ length: 57 }, (_, at) => `number,${10_000 + at},n${at % 7}`)
        .filter((line) => line.includes(contains))
        .map((line) => line.split(',')[1]);
      expect(values).toEqual(expected);
    }
  });
});
