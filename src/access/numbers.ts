/**
 * Subscriber numbers as those may see them who may not see all of them. Masking works on whatever goes out, not on fields
 * that somebody has to remember: every run of digits that could be a number of a subscriber, card or handset is masked
 * wherever it stands, in sentences too. Only names of things (an alert's id, a cursor) are left alone.
 *
 * Who sees `86138****5678` must still be able to ask for that subscriber, so a *reference* goes out beside it: the number,
 * encrypted with a key that stays in the access file. The same number always has the same reference, so rows can be grouped
 * by it; nobody can make one for a number, or read the number from one.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import type { NumberView } from './grants.ts';

/** A national number with area code has at least seven digits, a card number (ICCID) twenty. Amounts have a decimal point. */
const NUMBER = /(?<![0-9.])[0-9]{7,20}(?![0-9]|\.[0-9])/g;
const WHOLE_NUMBER = /^[0-9]{5,15}$/;
/** Names of things, in which digits mean nothing. A rule's text names destinations, not subscribers. */
const NAMES = new Set([
  'alertId',
  'caseId',
  'mergedInto',
  'mergedFrom',
  'into',
  'eventId',
  'snoozeId',
  'bulk',
  'bulkId',
  'ruleId',
  'id',
  'next',
  'cursor',
  'version',
  'hash',
  'text',
  // Made of chance; a mask in one would make it worthless.
  'secret',
  'oneTimePassword',
  'lastHash',
  'subscriberRef',
]);
/** Deeper than anything of ours is nested; what an alert of another program holds below it is left out. */
const DEPTH_MAX = 24;

export interface NumberRefs {
  refOf(number: string): string;
  /** The number behind a reference; undefined where it is none of ours. */
  numberOf(ref: string): string | undefined;
}

const REF_FORM = /^s_[A-Za-z0-9_-]{40,80}$/;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** @param secret 32 bytes that live as long as references should. */
export function createNumberRefs(secret: Buffer): NumberRefs {
  const nonceKey = Buffer.from(hkdfSync('sha256', secret, '', 'subscriber reference, nonce', 32));
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'subscriber reference, key', 32));
  return {
    refOf(number) {
      // The nonce comes from the number, so it repeats only where the whole message does.
      const nonce = createHmac('sha256', nonceKey).update(number).digest().subarray(0, NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      const body = Buffer.concat([cipher.update(number, 'ascii'), cipher.final()]);
      return `s_${Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')}`;
    },
    numberOf(ref) {
      if (!REF_FORM.test(ref)) return undefined;
      const bytes = Buffer.from(ref.slice(2), 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        const body = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([body, decipher.final()]).toString('ascii');
      } catch {
        // Forged, or from another installation.
        return undefined;
      }
    },
  };
}

/** `86138****5678`: enough to tell two apart on a screen and to read out, too little to dial. */
export function maskNumber(number: string): string {
  const tail = number.length >= 11 ? 4 : 2;
  const head = Math.max(0, Math.min(5, number.length - 8));
  return `${number.slice(0, head)}****${number.slice(-tail)}`;
}

/**
 * A copy of an answer with its numbers masked, and a reference beside each subscriber's own.
 * @param view `masked`, or `own`, which shows nothing of numbers that are not the `servedMsisdn` of something in the answer
 * @param options.showServed the subscribers' own numbers whole, as somebody sees them who has asked for them
 */
export function maskNumbers<T>(
  answer: T,
  view: NumberView,
  refs: NumberRefs,
  options: { showServed?: boolean } = {},
): T {
  if (view === 'full') return answer;
  const served = new Set<string>();
  collectServed(answer, served, 0);
  const masked = (number: string): string => {
    if (served.has(number)) return options.showServed === true ? number : maskNumber(number);
    return view === 'masked' ? maskNumber(number) : '****';
  };
  const textOf = (text: string): string => (text.startsWith('timer:') ? text : text.replace(NUMBER, masked));
  const walk = (value: unknown, name: string, depth: number): unknown => {
    if (typeof value === 'string') {
      if (name === 'base64') return maskBytes(value, textOf);
      return NAMES.has(name) ? value : textOf(value);
    }
    if (typeof value !== 'object' || value === null) return value;
    if (depth > DEPTH_MAX) return null;
    if (Array.isArray(value)) return value.map((item) => walk(item, name, depth + 1));
    const entries: [string, unknown][] = [];
    for (const [key, item] of Object.entries(value)) {
      entries.push([textOf(key), walk(item, key, depth + 1)]);
      if (key === 'servedMsisdn' && typeof item === 'string' && WHOLE_NUMBER.test(item)) {
        entries.push(['subscriberRef', refs.refOf(item)]);
      }
    }
    return Object.fromEntries(entries);
  };
  return walk(answer, '', 0) as T;
}

/** Original bytes of something: masked where they are text, left out where nobody can tell what is in them. */
function maskBytes(base64: string, textOf: (text: string) => string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64, 'base64'));
    return Buffer.from(textOf(text)).toString('base64');
  } catch {
    return '';
  }
}

function collectServed(value: unknown, served: Set<string>, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return;
  if ('servedMsisdn' in value) served.add(String(value.servedMsisdn));
  if ('servedMsisdns' in value && Array.isArray(value.servedMsisdns)) {
    for (const number of value.servedMsisdns) served.add(String(number));
  }
  for (const item of Object.values(value)) collectServed(item, served, depth + 1);
}
