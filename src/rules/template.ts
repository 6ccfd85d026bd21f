/**
 * Reasons: one sentence with the values in it, in both languages. `{name}` stands for a feature, parameter or record
 * field and is written with its unit; everything else is literal text.
 */
import type { Scope } from '../state/operator.ts';
import { type Environment, unknownName, type Value, type ValueType } from './compile.ts';
import { ExpressionError } from './expression.ts';
import { spoken } from './spoken.ts';

export type Language = 'en' | 'zh-CN';
export type Template = (scope: Scope) => string;

const WORDS = {
  en: { seconds: ' s', minutes: ' min', hours: ' h', days: ' d', yes: 'yes', no: 'no', unknown: 'n/a', between: ' ' },
  'zh-CN': {
    seconds: '秒',
    minutes: '分钟',
    hours: '小时',
    days: '天',
    yes: '是',
    no: '否',
    unknown: '无',
    between: '',
  },
} as const;

/**
 * At most two decimals, no trailing zeros; the same on every machine, because the text is part of the alert. What is too small for
 * two decimals keeps two digits: a price of 0.004 is not nothing.
 */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return String(Number(Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(2)));
}

/** Whole amounts as they are, others in cents. */
function formatMoney(value: number): string {
  const text = formatNumber(value);
  return /\.\d$/.test(text) ? `${text}0` : text;
}

/**
 * Seconds up to two hours, then hours to the second, then days and hours. Nothing is rounded up: what has not reached a limit
 * does not look as if it had.
 */
function formatDuration(ms: number, words: (typeof WORDS)[Language]): string {
  const sign = ms < 0 ? '-' : '';
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 7_200) return sign + formatNumber(seconds) + words.seconds;
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600)];
  const parts: [number, string][] =
    days >= 2
      ? [
          [days, words.days],
          [hours - days * 24, words.hours],
        ]
      : [
          [hours, words.hours],
          [Math.floor(seconds / 60) % 60, words.minutes],
          [Math.floor(seconds) % 60, words.seconds],
        ];
  const text = parts.flatMap(([amount, word]) => (amount > 0 ? [amount + word] : []));
  return sign + text.join(words.between);
}

/** @param written a time as the operator's clock has it; '' where no calendar has it, as a rule may calculate from a wrong record */
export function formatValue(
  value: Value,
  type: ValueType,
  unit: string | undefined,
  language: Language,
  written: (epochMs: number) => string,
): string {
  const words = WORDS[language];
  if (typeof value === 'boolean') return value ? words.yes : words.no;
  if (typeof value === 'string') return value === '' ? words.unknown : value;
  if (!Number.isFinite(value)) return words.unknown;
  if (type === 'time') return written(value) || words.unknown;
  if (type === 'duration') return formatDuration(value, words);
  if (unit === 'share') return `${formatNumber(value * 100)}%`;
  if (unit === 's') return formatNumber(value) + words.seconds;
  if (unit === 'bytes') {
    if (value >= 1e9) return `${formatNumber(value / 1e9)} GB`;
    if (value >= 1e6) return `${formatNumber(value / 1e6)} MB`;
    if (value >= 1e3) return `${formatNumber(value / 1e3)} kB`;
    return `${formatNumber(value)} B`;
  }
  if (unit === 'currency') return formatMoney(value);
  return formatNumber(value);
}

/** Words that end the look for the noun that a number counts: `1 of 3 calls` stays as it is. */
const BEHIND_A_NOUN = [
  'of',
  'to',
  'in',
  'at',
  'within',
  'with',
  'from',
  'over',
  'above',
  'sent',
  'received',
  'is',
  'was',
  'has',
];
const NOUN_WORDS_MAX = 4;
/** What follows the noun, of many and of one. */
const VERBS: Record<string, string> = { are: 'is', were: 'was', have: 'has' };

/** The text behind a number that counts, for the number 1: ` different numbers are called` becomes ` different number is called`. */
export function singular(text: string): string {
  const words = text.split(' ');
  for (let index = 1; index <= NOUN_WORDS_MAX && index < words.length; index++) {
    const word = words[index]!;
    const noun = word.replace(/[,;:.)]+$/, '');
    if (BEHIND_A_NOUN.includes(noun)) break;
    if (noun.endsWith('s') && noun !== 'SMS') {
      const one = noun.endsWith('ies') ? `${noun.slice(0, -3)}y` : noun.slice(0, -1);
      const [verb, ...rest] = words.slice(index + 1);
      const behind = verb === undefined ? [] : [VERBS[verb] ?? verb, ...rest];
      return [...words.slice(0, index), one + word.slice(noun.length), ...behind].join(' ');
    }
    if (noun !== word) break;
  }
  return text;
}

/** Compiles a text, and says which names are in it; an unknown name or an open bracket is reported with its place. */
export function compileTemplate(
  text: string,
  language: Language,
  environment: Environment,
  unitOf: (name: string) => string | undefined,
): { template: Template; names: string[]; error?: ExpressionError } {
  const parts: (string | Template)[] = [];
  const names: string[] = [];
  const failed = (message: string, at: number): ReturnType<typeof compileTemplate> => ({
    template: () => text,
    names,
    error: new ExpressionError(message, at),
  });
  let index = 0;
  while (index < text.length) {
    const open = text.indexOf('{', index);
    if (open < 0) break;
    const close = text.indexOf('}', open);
    if (close < 0) return failed("'{' is not closed", open);
    if (open > index) parts.push(text.slice(index, open));
    const name = text.slice(open + 1, close);
    const binding = environment.resolve(name);
    if (binding === undefined) return failed(unknownName(name, environment.names()), open + 1);
    if (binding.items !== undefined) return failed(`'${name}' is a list and has no text`, open + 1);
    names.push(name);
    const unit = unitOf(name);
    const next = text.indexOf('{', close);
    const after = text.slice(close + 1, next < 0 ? text.length : next);
    const afterOne = language === 'en' && unit === 'count' ? singular(after) : after;
    parts.push((scope) => {
      const value = binding.evaluate(scope);
      const said =
        spoken(name, value, language) ?? formatValue(value, binding.type, unit, language, environment.written);
      return said + (value === 1 ? afterOne : after);
    });
    index = close + 1 + after.length;
  }
  parts.push(text.slice(index));
  return { template: (scope) => parts.map((part) => (typeof part === 'string' ? part : part(scope))).join(''), names };
}
