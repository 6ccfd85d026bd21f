/**
 * Makes `rules/lists/numbering-plan.csv` from the metadata of libphonenumber-js. Run by hand when that package has been
 * updated, the result is committed:
 *
 *     node bench/convert/numbering-plan.ts > rules/lists/numbering-plan.csv
 *
 * The metadata describes the numbers of each country by regular expressions, one a class. The engine wants prefixes. So
 * the expressions are run over the tree of digits, digit by digit: where only one country and class can still follow, the
 * branch ends. Rows that say the same as the next shorter row are left out. Three things are decided here:
 *
 *  - The North American plan gives one row an area code, whatever its country, and none for codes that are not in use:
 *    its mobile numbers cannot be told from fixed ones, and a national number in the wrong form must not look American.
 *    Area 555 has a row, because examples and fiction live there.
 *  - Digits that nobody has been given are of the country that leads the code: the numbers of fiction in Great Britain
 *    (07700 900) lie between ranges of Jersey.
 *  - A number of eleven digits is long enough for every country: fewer are those of a national number in the wrong form,
 *    more would only lose numbers that a sender has cut.
 *  - Fixed and mobile are told apart for `DEPTH_MAX_LINE` digits behind the country code only. Beyond that the split
 *    costs thousands of rows and no rule asks for it. Countries and the paid classes are followed for `DEPTH_MAX` digits.
 *  - Satellite and other networks without a country get the class `satellite` and the country `ZZ`.
 */
import { createRequire } from 'node:module';
import type { NumberClass } from '../../src/reference/numbering-plan.ts';

const require = createRequire(import.meta.url);
const metadata: Metadata = require('libphonenumber-js/metadata.max.json');
const { version }: { version: string } = require('libphonenumber-js/package.json');

/** Digits behind the country code that are followed at most; the deepest country border known needs five. */
const DEPTH_MAX = 5;
const DEPTH_MAX_LINE = 3;
/** Of the North American plan. */
const AREA_CODE_DIGITS = 3;
const EXAMPLE_AREA = 555;
const DIGITS_MIN = 7;
/** So many are never too few. */
const DIGITS_ENOUGH = 11;
/** A country behind a shared code, or a network without one. */
const NO_COUNTRY = 'ZZ';

/** In the order of the metadata: fixed line, mobile, toll free, premium, personal, voice mail, UAN, pager, VoIP, shared cost. */
const CLASSES: readonly NumberClass[] = [
  ...(['geographic', 'mobile', 'tollFree', 'premium', 'shared'] as const),
  ...(['unknown', 'shared', 'mobile', 'geographic', 'shared'] as const),
];
/** Where digits leave two classes open, the one that raises least suspicion stands. */
const PREFERENCE: readonly NumberClass[] = [
  ...(['geographic', 'mobile', 'tollFree', 'shared', 'premium', 'satellite', 'unknown'] as const),
];

/** Codes that the ITU gave to services and networks instead of countries. */
const GLOBAL_SERVICES: Record<string, { numberClass: NumberClass; note: string }> = {
  800: { numberClass: 'tollFree', note: 'International freephone' },
  808: { numberClass: 'shared', note: 'International shared cost' },
  870: { numberClass: 'satellite', note: 'Inmarsat' },
  878: { numberClass: 'unknown', note: 'Universal personal numbers' },
  881: { numberClass: 'satellite', note: 'Global mobile satellite system' },
  882: { numberClass: 'satellite', note: 'International networks' },
  883: { numberClass: 'satellite', note: 'International networks' },
  888: { numberClass: 'unknown', note: 'Disaster relief' },
  979: { numberClass: 'premium', note: 'International premium rate' },
};
/** Networks behind 881 to 883 that a fraud desk knows by name. */
const GLOBAL_NETWORKS: Record<string, string> = {
  8816: 'Iridium',
  8817: 'Iridium',
  8818: 'Globalstar',
  8819: 'Globalstar',
  88213: 'EMSAT',
  88216: 'Thuraya',
  88232: 'Maritime Communications Partner',
  883120: 'Telenor Connexion',
  883130: 'Orange',
  8835100: 'Voxbone iNum',
};

/** Only what is used here: the calling code, possible lengths, and the patterns of the classes. */
type Country = [code: string, ...unknown: unknown[]];
interface Metadata {
  country_calling_codes: Record<string, string[]>;
  countries: Record<string, Country>;
  nonGeographic: Record<string, Country>;
}
const lengthsOf = (country: Country): number[] => country[3] as number[];
const patternsOf = (country: Country): string[] =>
  (country[11] as (0 | [pattern: string])[]).map((entry) => (entry === 0 ? '' : entry[0]));

// Regular expressions as state machines. The metadata uses digits, \d, [..], (?:..), |, ? and {m,n} only.

interface State {
  /** Digits that lead on, as a bit set, and where to. */
  digits: number;
  next: State | undefined;
  /** States that are entered at no cost. */
  free: State[];
}
const state = (digits = 0, next?: State): State => ({ digits, next, free: [] });
const ANY_DIGIT = 0x3ff;

/** The state before the pattern; behind its end lies a state without exits. */
function machineOf(pattern: string): State {
  let at = 0;
  type Fragment = () => { first: State; last: State };

  const alternatives = (): Fragment => {
    const options = [sequence()];
    while (pattern[at] === '|') {
      at++;
      options.push(sequence());
    }
    return () => {
      const first = state();
      const last = state();
      for (const option of options) {
        const made = option();
        first.free.push(made.first);
        made.last.free.push(last);
      }
      return { first, last };
    };
  };
  const sequence = (): Fragment => {
    const parts: Fragment[] = [];
    while (at < pattern.length && pattern[at] !== '|' && pattern[at] !== ')') parts.push(repeated(single()));
    return () => {
      const first = state();
      let last = first;
      for (const part of parts) {
        const made = part();
        last.free.push(made.first);
        last = made.last;
      }
      return { first, last };
    };
  };
  const single = (): Fragment => {
    if (pattern.startsWith('(?:', at)) {
      at += 3;
      const inner = alternatives();
      at++;
      return inner;
    }
    const [token, digits] = digitSet(pattern.slice(at));
    at += token;
    return () => {
      const last = state();
      return { first: state(digits, last), last };
    };
  };
  const repeated = (part: Fragment): Fragment => {
    const [token, low, high] =
      /^\{(\d+)(?:,(\d+))?\}/.exec(pattern.slice(at)) ?? (pattern[at] === '?' ? ['?', '0', '1'] : []);
    if (token === undefined) return part;
    at += token.length;
    const [least, most] = [Number(low), Number(high ?? low)];
    return () => {
      const first = state();
      const last = state();
      let end = first;
      for (let count = 0; count < most; count++) {
        if (count >= least) end.free.push(last);
        const made = part();
        end.free.push(made.first);
        end = made.last;
      }
      end.free.push(last);
      return { first, last };
    };
  };

  const { first } = alternatives()();
  if (at !== pattern.length) throw new Error(`The pattern ${pattern} has something new at ${at}.`);
  return first;
}

/** Length and digits of the token that a pattern begins with. */
function digitSet(pattern: string): [length: number, digits: number] {
  if (pattern.startsWith('\\d')) return [2, ANY_DIGIT];
  const [token] = /^(?:\d|\[[\d-]+\])/.exec(pattern) ?? [];
  if (token === undefined) throw new Error(`The pattern has something new: ${pattern}.`);
  let digits = 0;
  for (const [, from, to = from] of token.matchAll(/(\d)(?:-(\d))?/g)) {
    for (let digit = Number(from); digit <= Number(to); digit++) digits |= 1 << digit;
  }
  return [token.length, digits];
}

function enter(states: Iterable<State>): Set<State> {
  const all = new Set<State>();
  const add = (each: State): void => {
    if (all.has(each)) return;
    all.add(each);
    each.free.forEach(add);
  };
  for (const each of states) add(each);
  return all;
}

function step(states: Set<State>, digit: number): Set<State> {
  const next: State[] = [];
  for (const each of states) if ((each.digits & (1 << digit)) !== 0) next.push(each.next!);
  return enter(next);
}

// The tree of digits

interface Meaning {
  country: string;
  numberClass: NumberClass;
}
interface Candidate extends Meaning {
  states: Set<State>;
}
interface Node {
  /** What most of it is; undefined where it holds nothing but different paid classes, with gaps in between. */
  meaning: Meaning | undefined;
  /** How many ends of the tree have which meaning, by `<country> <class>`. */
  shares: Map<string, number>;
  /** By digit; empty where all that follows is the same. */
  children: Map<number, Node>;
}
const isLine = (name: string): boolean => name.endsWith(' geographic') || name.endsWith(' mobile');
const meaningOf = (name: string): Meaning => {
  const [country, numberClass] = name.split(' ') as [string, NumberClass];
  return { country, numberClass };
};

/** What the digits behind a country code mean; undefined where no pattern goes on. Countries come in order of rank. */
function grow(candidates: Candidate[], depth: number, ranks: readonly string[]): Node | undefined {
  if (candidates.length === 0) return undefined;
  const names = candidates.map(({ country, numberClass }) => `${country} ${numberClass}`);
  const end = (name: string): Node => ({
    meaning: meaningOf(name),
    shares: new Map([[name, 10 ** (DEPTH_MAX - depth)]]),
    children: new Map(),
  });
  if (names.every((name) => name === names[0])) return end(names[0]);
  if (depth === DEPTH_MAX) {
    const rank = ({ country, numberClass }: Candidate) =>
      ranks.indexOf(country) * PREFERENCE.length + PREFERENCE.indexOf(numberClass);
    const best = candidates.reduce((least, each) => (rank(each) < rank(least) ? each : least));
    return end(`${best.country} ${best.numberClass}`);
  }

  const children = new Map<number, Node>();
  const shares = new Map<string, number>();
  for (let digit = 0; digit <= 9; digit++) {
    const going = candidates
      .map((each) => ({ ...each, states: step(each.states, digit) }))
      .filter((each) => each.states.size > 0);
    const child = grow(going, depth + 1, ranks);
    if (child === undefined) continue;
    children.set(digit, child);
    for (const [name, share] of child.shares) shares.set(name, (shares.get(name) ?? 0) + share);
  }
  if (children.size === 0) return undefined;

  // A node says what most of the lines behind it are, so that the fewest rows are needed below it. It never says that
  // all of it is of a paid class because some of it is: digits that nobody has been given would become premium numbers.
  const ordered = [...shares].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
  const countries = new Set(ordered.map((name) => name.slice(0, 2)));
  const oneCountry = countries.size === 1;
  const leader = ranks.find((country) => countries.has(country))!;
  const most = ordered.find((name) => isLine(name) && name.startsWith(leader));
  const settled =
    ordered.length === 1
      ? most !== undefined || children.size === 10
      : depth >= DEPTH_MAX_LINE && oneCountry && ordered.every(isLine);
  const name = most ?? (settled ? ordered[0] : undefined);
  return {
    meaning: name === undefined ? undefined : meaningOf(name),
    shares,
    children: settled ? new Map() : children,
  };
}

interface Row {
  prefix: string;
  country: string;
  numberClass: NumberClass;
  digitsMin: number;
  note: string;
}

const digitsMin = (code: string, country: Country): number =>
  Math.min(DIGITS_ENOUGH, Math.max(DIGITS_MIN, code.length + Math.min(...lengthsOf(country))));

function rowsOfCode(code: string, countries: readonly string[]): Row[] {
  const rows: Row[] = [];
  const emit = (prefix: string, country: string, numberClass: NumberClass): void => {
    rows.push({ prefix, country, numberClass, digitsMin: digitsMin(code, metadata.countries[country]), note: '' });
  };
  const candidates = countries.flatMap((country) =>
    patternsOf(metadata.countries[country]).flatMap((pattern, index): Candidate[] => {
      if (pattern === '') return [];
      const numberClass = CLASSES[index];
      // Countries that share a code share its paid numbers, and those belong to the plan, which is the first one's.
      const owner = numberClass === 'geographic' || numberClass === 'mobile' ? country : countries[0];
      return [{ country: owner, numberClass, states: enter([machineOf(pattern)]) }];
    }),
  );
  if (code === '1') {
    for (let area = 200; area < 10 ** AREA_CODE_DIGITS; area++) {
      const here = candidates
        .map((each) => ({
          ...each,
          states: [...String(area)].reduce((at, digit) => step(at, Number(digit)), each.states),
        }))
        .filter((each) => each.states.size > 0);
      if (area === EXAMPLE_AREA) emit(`${code}${area}`, countries[0], 'geographic');
      if (here.length === 0) continue;
      const paid = here.find(({ numberClass }) => numberClass !== 'geographic' && numberClass !== 'mobile');
      const fixed = here.find(({ numberClass }) => numberClass === 'geographic');
      const { country, numberClass } = fixed ??
        paid ?? { country: here[0].country, numberClass: 'geographic' as const };
      emit(`${code}${area}`, country, numberClass);
    }
    return rows;
  }

  const descend = (node: Node, prefix: string, told: Meaning | undefined): void => {
    const meaning = node.meaning ?? told;
    if (meaning !== undefined && (meaning.country !== told?.country || meaning.numberClass !== told.numberClass)) {
      emit(prefix, meaning.country, meaning.numberClass);
    }
    for (const [digit, child] of node.children) descend(child, `${prefix}${digit}`, meaning);
  };
  const root = grow(candidates, 0, countries);
  if (root?.meaning === undefined) throw new Error(`No line is known behind the code ${code}.`);
  descend(root, code, undefined);
  return rows;
}

const rows = [
  ...Object.entries(metadata.country_calling_codes).flatMap(([code, countries]) =>
    metadata.nonGeographic[code] === undefined ? rowsOfCode(code, countries) : [],
  ),
  ...Object.keys(metadata.nonGeographic).map((code): Row => {
    const service = metadata.nonGeographic[code];
    return { prefix: code, country: NO_COUNTRY, digitsMin: digitsMin(code, service), ...GLOBAL_SERVICES[code] };
  }),
  ...Object.entries(GLOBAL_NETWORKS).map(([prefix, note]): Row => {
    const code = prefix.slice(0, 3);
    const least = digitsMin(code, metadata.nonGeographic[code]);
    return { prefix, country: NO_COUNTRY, numberClass: 'satellite', digitsMin: least, note };
  }),
].sort((a, b) => (a.prefix < b.prefix ? -1 : 1));

process.stdout.write(`# Numbering plan: what the first digits of an E.164 number tell, by longest prefix.
# Made by bench/convert/numbering-plan.ts from the metadata of libphonenumber-js ${version} (MIT), which is compiled
# from Google's libphonenumber (Apache-2.0). Networks behind 881 to 883: ITU-T list of E.164 assigned country codes.
# country: ISO 3166 alpha-2; ZZ is a service or network of no country. digitsMin: shorter numbers are no E.164 numbers.
prefix,country,class,digitsMin,note
${rows.map((row) => `${row.prefix},${row.country},${row.numberClass},${row.digitsMin},${row.note}`).join('\n')}
`);
