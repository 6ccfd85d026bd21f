/**
 * Reasons: one sentence with the values in it, in both languages. `{name}` stands for a feature, parameter or record
 * field and is written with its unit; everything else is literal text.
 */
import type { Scope } from '../state/operator.ts';
import { type Environment, unknownName, type Value, type ValueType } from './compile.ts';
import { ExpressionError } from './expression.ts';

export type Language = 'en' | 'zh-CN';
export type Template = (scope: Scope) => string;

const WORDS = {
  en: { seconds: ' s', minutes: ' min', hours: ' h', days: ' d', yes: 'yes', no: 'no', unknown: 'n/a' },
  'zh-CN': { seconds: '秒', minutes: '分钟', hours: '小时', days: '天', yes: '是', no: '否', unknown: '无' },
} as const;

/** Beyond, no calendar has a date; a rule may well calculate such a time from a wrong record. */
const CALENDAR_END_MS = 8.64e15;

/** At most two decimals, no trailing zeros; the same on every machine, because the text is part of the alert. */
export function formatNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toFixed(2)));
}

export function formatValue(value: Value, type: ValueType, unit: string | undefined, language: Language): string {
  const words = WORDS[language];
  if (typeof value === 'boolean') return value ? words.yes : words.no;
  if (typeof value === 'string') return value === '' ? words.unknown : value;
  if (!Number.isFinite(value)) return words.unknown;
  if (type === 'time')
    return Math.abs(value) > CALENDAR_END_MS
      ? words.unknown
      : new Date(value).toISOString().slice(0, 16).replace('T', ' ');
  if (type === 'duration') {
    const seconds = value / 1000;
    if (seconds < 7_200) return formatNumber(seconds) + words.seconds;
    if (seconds < 172_800) return formatNumber(seconds / 3_600) + words.hours;
    return formatNumber(seconds / 86_400) + words.days;
  }
  if (unit === 'share') return `${formatNumber(value * 100)}%`;
  if (unit === 's') return formatNumber(value) + words.seconds;
  if (unit === 'bytes') {
    if (value >= 1e9) return `${formatNumber(value / 1e9)} GB`;
    if (value >= 1e6) return `${formatNumber(value / 1e6)} MB`;
    return `${formatNumber(value)} B`;
  }
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

/** The text behind a number that counts, for the number 1: ` different numbers called` becomes ` different number called`. */
export function singular(text: string): string {
  const words = text.split(' ');
  for (let index = 1; index <= NOUN_WORDS_MAX && index < words.length; index++) {
    const word = words[index]!;
    const noun = word.replace(/[,;:.)]+$/, '');
    if (BEHIND_A_NOUN.includes(noun)) break;
    if (noun.endsWith('s') && noun !== 'SMS') {
      const one = noun.endsWith('ies') ? `${noun.slice(0, -3)}y` : noun.slice(0, -1);
      return [...words.slice(0, index), one + word.slice(noun.length), ...words.slice(index + 1)].join(' ');
    }
    if (noun !== word) break;
  }
  return text;
}

/** Compiles a text; an unknown name or an open bracket is reported with its place. */
export function compileTemplate(
  text: string,
  language: Language,
  environment: Environment,
  unitOf: (name: string) => string | undefined,
): { template: Template; error?: ExpressionError } {
  const parts: (string | Template)[] = [];
  let index = 0;
  while (index < text.length) {
    const open = text.indexOf('{', index);
    if (open < 0) break;
    const close = text.indexOf('}', open);
    if (close < 0) return { template: () => text, error: new ExpressionError("'{' is not closed", open) };
    if (open > index) parts.push(text.slice(index, open));
    const name = text.slice(open + 1, close);
    const binding = environment.resolve(name);
    if (binding === undefined)
      return { template: () => text, error: new ExpressionError(unknownName(name, environment.names()), open + 1) };
    if (binding.items !== undefined)
      return { template: () => text, error: new ExpressionError(`'${name}' is a list and has no text`, open + 1) };
    const unit = unitOf(name);
    const next = text.indexOf('{', close);
    const after = text.slice(close + 1, next < 0 ? text.length : next);
    const afterOne = language === 'en' && unit === 'count' ? singular(after) : after;
    parts.push((scope) => {
      const value = binding.evaluate(scope);
      return formatValue(value, binding.type, unit, language) + (value === 1 ? afterOne : after);
    });
    index = close + 1 + after.length;
  }
  parts.push(text.slice(index));
  return { template: (scope) => parts.map((part) => (typeof part === 'string' ? part : part(scope))).join('') };
}
