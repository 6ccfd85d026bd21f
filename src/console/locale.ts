/**
 * Language and formats. The language comes from the address, else from the last choice in this browser, else from the
 * browser's own languages. All numbers, dates and units go through Intl.
 */
import { computed, effect, signal } from '@preact/signals';
import { go, LOCALES, type Locale, place } from './location.ts';
import { en, type Messages } from './messages.ts';
import { zhCn } from './messages-zh-cn.ts';
import { session } from './session.ts';

const STORAGE_KEY = 'ringfence.locale';
const CATALOGUES: Record<Locale, Messages> = { en, 'zh-CN': zhCn };
const DAY_MS = 86_400_000;

function rememberedLocale(): Locale | undefined {
  const wanted = [localStorage.getItem(STORAGE_KEY) ?? '', ...navigator.languages];
  for (const language of wanted) {
    const exact = LOCALES.find((candidate) => candidate === language);
    if (exact !== undefined) return exact;
    if (language.startsWith('zh')) return 'zh-CN';
    if (language.startsWith('en')) return 'en';
  }
  return undefined;
}

const fallback = signal<Locale>(rememberedLocale() ?? 'en');

export const locale = computed<Locale>(() => place.value.locale || fallback.value);
export const messages = computed<Messages>(() => CATALOGUES[locale.value]);
/** The operator's, in which reasons are written too; until the server has said, and for who opens a page without it, that of the browser. */
export const timeZone = computed(() => session.value?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
export const format = computed(() => createFormat(locale.value, timeZone.value));

effect(() => {
  document.documentElement.lang = locale.value;
});

export function chooseLocale(next: Locale): void {
  localStorage.setItem(STORAGE_KEY, next);
  fallback.value = next;
  go({ locale: next }, 'replace');
}

/** The one clock of the page: ages tick with it, all together. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1_000);

export interface Format {
  number(value: number): string;
  /** At most `digits` after the point. */
  decimal(value: number, digits: number): string;
  percent(ratio: number): string;
  /** Items one after the other. */
  list(items: readonly string[]): string;
  /** Time of day today, with the date otherwise. */
  time(atMs: number): string;
  /** To the second, with the zone: for evidence. */
  dateTime(atMs: number): string;
  /** To the minute, with year and zone: for what somebody chose. */
  minute(atMs: number): string;
  /** To the second, without the zone: for columns, whose head says it once (`zone`). */
  second(atMs: number): string;
  zone(): string;
  clock(atMs: number): string;
  /** The date alone. */
  day(atMs: number): string;
  /** From, to: the date only where it matters. */
  range(fromMs: number, toMs: number): string;
  /** With its sign, for contributions. */
  signed(value: number): string;
  /** The largest unit that fits: 40s, 12m, 3h, 9d. */
  span(ms: number): string;
  bytes(value: number): string;
  /** 12.3K, 1.2万: at most three digits that count. */
  compact(value: number): string;
  /** As `compact`, without figures that a rate does not have. */
  rate(value: number): string;
  minutes(value: number): string;
  seconds(value: number): string;
  secondsRounded(value: number): string;
  milliseconds(value: number): string;
  /** A value in a unit of the features: `s`, `bytes`, `currency`, `count`, `ratio` and so on. */
  value(value: number | string | null, unit: string): string;
  /** The length of a window as a rule writes it, 90m or 7d; what is none is given back as it is. */
  duration(text: string): string;
}

/** Marks that turn the direction of what follows them, and letters that are written from the right. */
const TURNS_DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u0590-\u08ff]/;

/** A text that others wrote, for the middle of a sentence: whatever is in it, the sentence around it keeps its order. */
export const isolated = (text: string): string => (TURNS_DIRECTION.test(text) ? `\u2068${text}\u2069` : text);

function createFormat(language: Locale, timeZone: string): Format {
  const numbers = (options: Intl.NumberFormatOptions): ((value: number) => string) => {
    const formatter = new Intl.NumberFormat(language, options);
    return (value) => formatter.format(value);
  };
  const dates = (options: Intl.DateTimeFormatOptions): ((atMs: number) => string) => {
    const formatter = new Intl.DateTimeFormat(language, { hourCycle: 'h23', timeZone, ...options });
    return (atMs) => formatter.format(atMs);
  };
  const unit = (
    name: string,
    digits = 0,
    unitDisplay: 'narrow' | 'short' | 'long' = 'narrow',
  ): ((value: number) => string) => numbers({ style: 'unit', unit: name, unitDisplay, maximumFractionDigits: digits });

  const number = numbers({ maximumFractionDigits: 0 });
  const upTo = [0, 1, 2, 3].map((digits) => numbers({ maximumFractionDigits: digits }));
  const money = numbers({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const percent = numbers({ style: 'percent', maximumFractionDigits: 1 });
  const lists = new Intl.ListFormat(language, { type: 'conjunction', style: 'narrow' });
  const second = unit('second', 1);
  const [minute, hour, day] = [unit('minute'), unit('hour'), unit('day')];
  const clock = dates({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const dayAndClock = dates({ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  const yearAndDay = dates({ year: 'numeric', month: 'short', day: 'numeric' });
  const signed = numbers({ maximumFractionDigits: 3, signDisplay: 'exceptZero' });
  const minutes = new Intl.DateTimeFormat(language, {
    hourCycle: 'h23',
    timeZone,
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
  });
  const byteUnits = (['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const).map((name) =>
    unit(name, 1, 'short'),
  );
  const toSecond = {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  } as const;
  const atSecond = dates(toSecond);
  const { second: _, ...toMinute } = toSecond;
  const atMinute = dates(toMinute);
  const zone = new Intl.DateTimeFormat(language, { timeZone, timeZoneName: 'short' });

  const zoneAt = (atMs: number): string =>
    zone.formatToParts(atMs).find(({ type }) => type === 'timeZoneName')?.value ?? '';

  const millisecond = unit('millisecond', 1);
  const speed = unit('kilometer-per-hour', 0, 'short');
  const [hours, days] = [unit('hour', 1), unit('day', 1)];
  const lengths: Readonly<Record<string, (value: number) => string>> = {
    ms: millisecond,
    s: second,
    m: unit('minute', 1),
    h: hours,
    d: days,
    w: unit('week', 1),
  };
  /** Call seconds stay seconds, as thresholds are written; silences and due dates read better in hours and days. */
  const duration = (sec: number): string => {
    if (Math.abs(sec) < 36_000) return second(sec);
    return Math.abs(sec) < 172_800 ? hours(sec / 3_600) : days(sec / 86_400);
  };

  const decimal = (value: number, digits: number): string => (upTo[digits] ?? upTo[3]!)(value);
  const bytes = (value: number): string => {
    let step = 0;
    let scaled = value;
    while (Math.abs(scaled) >= 1000 && step < byteUnits.length - 1) {
      scaled /= 1000;
      step += 1;
    }
    return byteUnits[step]!(scaled);
  };

  /** A day of another year without its year would be read as one of this. */
  const moment = (atMs: number): string =>
    Math.abs(now.peek() - atMs) < 180 * DAY_MS ? dayAndClock(atMs) : yearAndDay(atMs);

  return {
    number,
    decimal,
    percent,
    list: (items) => lists.format(items.map(isolated)),
    clock,
    bytes,
    day: yearAndDay,
    range: (fromMs, toMs) => minutes.formatRange(fromMs, toMs),
    signed,
    time(atMs) {
      const ageMs = Math.abs(now.peek() - atMs);
      if (ageMs < DAY_MS / 2) return clock(atMs);
      return moment(atMs);
    },
    dateTime: (atMs) => CATALOGUES[language].timeIn(atSecond(atMs), zoneAt(atMs)),
    minute: (atMs) => CATALOGUES[language].timeIn(atMinute(atMs), zoneAt(atMs)),
    second: atSecond,
    zone: () => zoneAt(now.peek()),
    span(ms) {
      const sec = Math.max(0, Math.floor(ms / 1000));
      if (sec < 60) return second(sec);
      if (sec < 3600) return minute(Math.floor(sec / 60));
      if (sec < 86_400) return hour(Math.floor(sec / 3600));
      return day(Math.floor(sec / 86_400));
    },
    compact: numbers({ notation: 'compact', maximumSignificantDigits: 3 }),
    rate: numbers({
      notation: 'compact',
      maximumSignificantDigits: 3,
      maximumFractionDigits: 1,
      roundingPriority: 'lessPrecision',
    }),
    minutes: unit('minute', 0, 'long'),
    seconds: second,
    secondsRounded: unit('second', 0),
    milliseconds: millisecond,
    value(value, unitName) {
      if (value === null) return '–';
      if (typeof value === 'string') return value;
      if (unitName === 's') return duration(value);
      if (unitName === 'ms') return millisecond(value);
      if (unitName === 'time') return moment(value);
      if (unitName === 'km/h') return speed(value);
      if (unitName === 'bytes') return bytes(value);
      if (unitName === 'currency') return money(value);
      if (unitName === 'share') return percent(value);
      return decimal(value, Math.abs(value) < 10 ? 3 : 1);
    },
    duration(text) {
      const [, amount, name = ''] = /^([0-9.]+)(ms|[smhdw])$/.exec(text) ?? [];
      return lengths[name]?.(Number(amount)) ?? text;
    },
  };
}
