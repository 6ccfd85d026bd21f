import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import examples from 'libphonenumber-js/examples.mobile.json';
import { getCountries, getExampleNumber, parsePhoneNumberFromString } from 'libphonenumber-js/max';
import { describe, expect, test } from 'vitest';
import { RingfenceError } from '../src/errors.ts';
import { loadNumberingPlan, parseNumberingPlan } from '../src/reference/numbering-plan.ts';

const path = join(import.meta.dirname, '../rules/lists/numbering-plan.csv');
const csv = readFileSync(path, 'utf8');
const plan = loadNumberingPlan(path);
const prefixes = csv.split('\n').flatMap((line) => (/^[1-9]/.test(line) ? [line.split(',')[0]] : []));

describe('the shipped plan', () => {
  test.each([
    // number          country prefix    class
    ['8613912345678', 'CN', '861', 'mobile'],
    ['861012345678', 'CN', '8610', 'geographic'],
    ['864001234567', 'CN', '8640', 'shared'],
    ['12125551234', 'US', '1212', 'geographic'],
    ['14165551234', 'CA', '1416', 'geographic'],
    ['18765551234', 'JM', '1876', 'geographic'],
    ['12425551234', 'BS', '1242', 'geographic'],
    ['18095551234', 'DO', '1809', 'geographic'],
    ['18005551234', 'US', '1800', 'tollFree'],
    ['19005551234', 'US', '1900', 'premium'],
    ['79161234567', 'RU', '79', 'mobile'],
    ['74951234567', 'RU', '7', 'geographic'],
    ['77011234567', 'KZ', '77', 'mobile'],
    ['78091234567', 'RU', '7809', 'premium'],
    ['442079460000', 'GB', '44', 'geographic'],
    ['447400123456', 'GB', '447', 'mobile'],
    ['447700900123', 'GB', '447', 'mobile'],
    ['447700312345', 'JE', '4477003', 'mobile'],
    ['15551234567', 'US', '1555', 'geographic'],
    ['23480312345', 'NG', '234', 'mobile'],
    ['441534123456', 'JE', '441534', 'geographic'],
    ['441481123456', 'GG', '441481', 'geographic'],
    ['441624123456', 'IM', '441624', 'geographic'],
    ['449098790123', 'GB', '449', 'premium'],
    ['448001234567', 'GB', '4480', 'tollFree'],
    ['390669812345', 'VA', '3906698', 'geographic'],
    ['390612345678', 'IT', '390', 'geographic'],
    ['49900123456789', 'DE', '49900', 'premium'],
    ['61891621234', 'CC', '6189162', 'geographic'],
    ['5352345678', 'CU', '535', 'mobile'],
    ['870773111632', 'ZZ', '870', 'satellite'],
    ['881612345678', 'ZZ', '8816', 'satellite'],
    ['881812345678', 'ZZ', '8818', 'satellite'],
    ['8821612345678', 'ZZ', '88216', 'satellite'],
    ['883510012345', 'ZZ', '8835100', 'satellite'],
    ['80012345678', 'ZZ', '800', 'tollFree'],
    ['979112345678', 'ZZ', '979', 'premium'],
  ])('%s is of %s, prefix %s, %s', (number, country, prefix, numberClass) => {
    expect(plan.lookup(number)).toEqual({ country, prefix, numberClass });
  });

  test.each([
    ['', 'empty'],
    ['10086', 'a short code'],
    ['95588', 'a short code that begins like Myanmar'],
    ['955512', 'a short code of six digits'],
    ['9555512', 'seven digits, too few for Myanmar'],
    ['MyBank', 'an alphanumeric sender'],
    ['44207946000O', 'a letter in the last place'],
    ['+442079460000', 'the notation with a plus'],
    ['44 2079460000', 'a space'],
    ['٤٤٢٠٧٩٤٦٠٠٠٠', 'digits of another script'],
    ['02079460000', 'a national number'],
    ['10612345678', 'a Chinese service number, no American area code'],
    ['19995551234', 'an area code that is not in use'],
    ['21012345678', 'a country code that is not in use'],
    ['1212555', 'too few digits for the area'],
    ['2125551234', 'an American number without its country code, too short for Morocco'],
    ['4420794600001234', 'more than 15 digits'],
  ])('%j is no destination: %s', (number) => {
    expect(plan.lookup(number)).toBeUndefined();
  });

  test('gives the same object for numbers of the same row', () => {
    expect(plan.lookup('8613912345678')).toBe(plan.lookup('8613712345678'));
  });

  test('agrees with the library on the example number of every country', () => {
    const wrong = getCountries().filter((country) => {
      const example = getExampleNumber(country, examples)!.number;
      // Some small countries use mobile numbers of their neighbour: the library itself reads those as the neighbour's.
      const expected = parsePhoneNumberFromString(example)?.country;
      return plan.lookup(example.slice(1))?.country !== expected;
    });
    expect(wrong).toEqual([]);
  });

  test('agrees with the library on the country of drawn numbers, and never cries premium wrongly', () => {
    const tail = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 3, maxLength: 10 });
    let compared = 0;
    fc.assert(
      fc.property(fc.constantFrom(...prefixes), tail, (prefix, digits) => {
        const number = `${prefix}${digits.join('')}`.slice(0, 15);
        const expected = parsePhoneNumberFromString(`+${number}`);
        if (expected?.country === undefined || !expected.isValid() || expected.number !== `+${number}`) return;
        const actual = plan.lookup(number);
        const type = expected.getType() ?? '';
        if (actual?.numberClass === 'premium') expect(type).toBe('PREMIUM_RATE');
        // Paid numbers belong to a whole calling code: the library names any country of it.
        if (!['FIXED_LINE', 'MOBILE', 'FIXED_LINE_OR_MOBILE'].includes(type)) return;
        expect(actual?.country).toBe(expected.country);
        compared++;
      }),
      { numRuns: 10_000 },
    );
    expect(compared).toBeGreaterThan(100);
  });

  test('is what the generator makes of the installed library', () => {
    const generator = join(import.meta.dirname, '../bench/convert/numbering-plan.ts');
    expect(execFileSync(process.execPath, [generator], { encoding: 'utf8' })).toBe(csv);
  });
});

describe('a plan that is wrong', () => {
  const header = 'prefix,country,class,digitsMin,note\n';
  const refusal = (text: string): string => {
    try {
      parseNumberingPlan(text, 'plan.csv');
    } catch (error) {
      expect(error).toBeInstanceOf(RingfenceError);
      const { code, exitCode, message } = error as RingfenceError;
      expect([code, exitCode]).toEqual(['numbering-plan.row', 3]);
      return message;
    }
    return 'accepted';
  };

  test.each([
    [`# a comment\n\n${header}44,GB,geographic,9,a note\n`, 'accepted'],
    [`${header}44,GB,geographic,9,\r\n`, 'accepted'],
    ['44,GB,geographic,9,\n', 'plan.csv:1:1: expected the header prefix,country,class,digitsMin,note.'],
    [`${header}44,GB,geographic\n`, 'plan.csv:2:7: expected 5 cells, found 3.'],
    [
      `${header}044,GB,geographic,9,\n`,
      'plan.csv:2:1: expected a prefix of 1 to 15 digits that does not begin with 0.',
    ],
    [`${header}44,gb,geographic,9,\n`, 'plan.csv:2:4: expected a country as two capital letters.'],
    [`${header}44,GB,cheap,9,\n`, 'plan.csv:2:7: expected a class, one of geographic, mobile, '],
    [`${header}44,GB,geographic,nine,\n`, 'plan.csv:2:18: expected a number of digits up to 15.'],
    [`${header}44,GB,geographic,16,\n`, 'plan.csv:2:18: expected a number of digits up to 15.'],
    [`${header}44,GB,geographic,9,\n44,GG,mobile,9,\n`, 'plan.csv:3:1: the prefix 44 has a row already.'],
  ])('%j: %s', (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  test('a file that is not there is named', () => {
    expect(() => loadNumberingPlan('absent/plan.csv')).toThrow('The numbering plan absent/plan.csv cannot be read.');
  });
});

test('the longest prefix wins, whatever the rows', () => {
  const prefix = fc.stringMatching(/^[1-9][0-9]{0,5}$/);
  fc.assert(
    fc.property(fc.uniqueArray(prefix, { maxLength: 30 }), fc.stringMatching(/^[1-9][0-9]{6,14}$/), (rows, number) => {
      const text = rows.map((row) => `${row},GB,mobile,7,`).join('\n');
      const drawn = parseNumberingPlan(`prefix,country,class,digitsMin,note\n${text}\n`, 'drawn.csv');
      const longest = rows.filter((row) => number.startsWith(row)).sort((a, b) => b.length - a.length)[0];
      expect(drawn.lookup(number)?.prefix).toBe(longest);
    }),
  );
});
