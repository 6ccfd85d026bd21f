/**
 * What a subscriber brings in, and which stage of its life it is in, in 152 bytes.
 *
 * Revenue shows twice in the records: as money paid in (top-ups, paid invoices) and as the charges that it pays for. So that
 * nothing counts twice, both are kept apart and one of them is read:
 *
 * | subscriber | revenue |
 * |---|---|
 * | postpaid | the invoices that were paid; the charges while none was paid in the last 90 days |
 * | prepaid, or not known | the charges; the top-ups where they are more than twice that (usage without a price, bundles) |
 *
 * A subscriber counts as postpaid where its account says so, or has an invoice or a payment and says nothing. Payments of a
 * prepaid account are what its top-ups were bought with. Failed ones are none, reversed ones are taken off again. A date cannot
 * count twice: the last revenue event is the newest of either kind.
 *
 * Ten panes of ten days hold sums and numbers of events; at the ends of a span a pane counts by the share of it that lies
 * inside. That is coarser than the windows of rules, and enough for figures that are compared between subscribers:
 *
 * ```
 * word 0  newest pane | account, 5 bits << 16 | day of the figures, 11 bits << 21
 * word 1  last revenue event, s
 * word 2  stage, next stage, its evaluations | RFM sums of the running pane: pane << 10, number << 18, total << 22
 * word 3  stage since, s; of one who has gone: gone since
 * word 4  mean RFM sums of the 8 panes before, 4 bits each
 * word 5  value (32-bit float)
 * word 6  figures of the last look: steps of recency, frequency, 12 bits each | percentile of the value + 1 << 24
 * word 7  steps of monetary, value | quintiles of recency, frequency, monetary as one number of base 5, + 1 << 24
 * then, once there is revenue: 10 x [charges, paid in (32-bit floats), events of both (16 bits each)]
 * ```
 */
import type { Blocks, Cursor } from './block.ts';
import type { Operator, Reader, Scope } from './operator.ts';

export const PANE_MS = 10 * 86_400_000;
export const PANES = 10;
/** How far back revenue counts. */
export const REVENUE_MS = 90 * 86_400_000;
const DAYS_PER_PANE = 10;
/** Panes of which the sum of the RFM quintiles is remembered. */
const HISTORY_PANES = 8;
const HEADER_UNITS = 4;
const PANE_WORDS = 3;
const UNITS_MAX = HEADER_UNITS + (PANES * PANE_WORDS) / 2;

const NEWEST = 0;
const REVENUE_AT = 1;
const STAGE = 2;
const SINCE = 3;
const HISTORY = 4;
const VALUE = 5;
const FIGURES = 6;

/** What is known of the account, in word 0. */
const FACTS = 31;
/** Stage, next stage and evaluations in word 2. */
const STAGE_BITS = 0x3ff;
const PREPAID = 1;
const POSTPAID = 2;
const BILLED = 4;
const GONE = 8;
/** The one that asked for its number to be ported may still use the old card until it is. */
const PORTED = 16;

export const STAGES = ['acquisition', 'growth', 'mature', 'decline', 'dormant', 'churned'] as const;
export type Stage = (typeof STAGES)[number];
/** As it is stored: 0 stands for not known yet. */
export const stageNumber = (stage: Stage): number => STAGES.indexOf(stage) + 1;
export const CHURNED = stageNumber('churned');
export const DORMANT = stageNumber('dormant');

export type Source = 'charges' | 'paidIn';

export interface Revenue extends Operator {
  has(scope: Scope): boolean;
  postpaid(scope: Scope): boolean;
  /** Newest revenue event, epoch ms; NaN where there was none. */
  lastAt: Reader;
  /** Ceased or ported out, epoch ms; NaN where neither. */
  goneAt: Reader;
  /** Which of the two kinds is read for value and rank; see above. */
  sourceOf(scope: Scope): Source;
  /** Money of one kind between two moments, currency units, with panes counted by share. */
  amount(scope: Scope, source: Source, from: number, to: number): number;
  events(scope: Scope, source: Source, from: number, to: number): number;
  /** 1 ... 6, 0 where it was never evaluated. */
  stage: Reader;
  stageSince: Reader;
  /** One evaluation: a stage that is found so many times running is taken on, as of the time that the last one gives. */
  evaluateStage(scope: Scope, found: number, since: number, evaluations: number): void;
  /** Value that was last kept; NaN where none was. */
  value: Reader;
  keepValue(scope: Scope, value: number): void;
  /** Mean RFM sum in the pane so many panes of ten days ago, whole; NaN where it is not known. */
  sumBefore(scope: Scope, panes: number): number;
  /** Mean RFM sum of about the last ten looks, whole. */
  sumNow: Reader;
  keepSum(scope: Scope, sum: number): void;
  /** Figures of the last look as steps, in the order of METRICS; and the local day of that look, or one 2048 days later. */
  figure(scope: Scope, metric: number): number;
  figuresDay: Reader;
  keepFigures(scope: Scope, day: number, steps: ArrayLike<number>): void;
  /** Percentile of the value, 0 to 100, and quintiles of recency, frequency and monetary, 1 to 5; NaN where not known. */
  percentile: Reader;
  quintile(scope: Scope, metric: number): number;
  keepRanks(scope: Scope, percentile: number, quintiles: ArrayLike<number>): void;
}

const floats = new Float32Array(1);
const floatWords = new Uint32Array(floats.buffer);
const floatOf = (word: number): number => {
  floatWords[0] = word;
  return floats[0]!;
};
const wordOf = (value: number): number => {
  floats[0] = value;
  return floatWords[0]!;
};
const seconds = (at: number): number => Math.max(0, Math.min(0xffffffff, Math.floor(at / 1000)));

export function createRevenue(options: { id: number; signature: string; graceMs: number }): Revenue {
  const { id, graceMs } = options;
  const at = (cursor: Cursor): number => cursor.segmentAt[id]! * 2;
  const facts = (cursor: Cursor): number => (cursor.u32[at(cursor) + NEWEST]! >>> 16) & FACTS;
  const setFacts = (cursor: Cursor, value: number): void => {
    const word = at(cursor) + NEWEST;
    cursor.u32[word] = ((cursor.u32[word]! & ~(FACTS << 16)) | (value << 16)) >>> 0;
  };
  const paneWord = (cursor: Cursor, pane: number): number =>
    at(cursor) + HEADER_UNITS * 2 + (pane % PANES) * PANE_WORDS;

  /** Word of the pane of `time`, made ready to be added to; -1 where it is too old. */
  const paneFor = (cursor: Cursor, blocks: Blocks, time: number): number => {
    if (cursor.segmentUnits[id]! < UNITS_MAX) blocks.resize(id, UNITS_MAX);
    const pane = Math.floor(time / PANE_MS);
    const newest = cursor.u32[at(cursor) + NEWEST]! & 0xffff;
    if (pane + PANES <= newest) return -1;
    if (pane > newest) {
      for (let cleared = Math.max(newest + 1, pane - PANES + 1); cleared <= pane; cleared++) {
        const word = paneWord(cursor, cleared);
        cursor.u32.fill(0, word, word + PANE_WORDS);
      }
      const word = at(cursor) + NEWEST;
      cursor.u32[word] = ((cursor.u32[word]! & 0xffff0000) | pane) >>> 0;
    }
    return paneWord(cursor, pane);
  };

  /** `events` is -1 where money is taken off again. */
  const add = (scope: Scope, blocks: Blocks, source: Source, amount: number, events: 1 | -1): void => {
    const { cursor, record } = scope;
    if (events > 0) {
      const word = at(cursor) + REVENUE_AT;
      cursor.u32[word] = Math.max(cursor.u32[word]!, seconds(record.eventTime));
    }
    const word = paneFor(cursor, blocks, record.eventTime);
    if (word < 0) return;
    const { u32 } = cursor;
    const sum = source === 'charges' ? word : word + 1;
    u32[sum] = wordOf(floatOf(u32[sum]!) + amount * events);
    const shift = source === 'charges' ? 0 : 16;
    const count = (u32[word + 2]! >>> shift) & 0xffff;
    const next = Math.max(0, Math.min(0xffff, count + events));
    u32[word + 2] = ((u32[word + 2]! & ~(0xffff << shift)) | (next << shift)) >>> 0;
  };

  /** Who was gone and uses the card again has come back; what is on its way when the number is ported does not count. */
  const comeBack = (cursor: Cursor, time: number): void => {
    const known = facts(cursor);
    if ((known & GONE) === 0) return;
    const goneAt = cursor.u32[at(cursor) + SINCE]! * 1000;
    if (time > goneAt + ((known & PORTED) !== 0 ? graceMs : 0)) setFacts(cursor, known & ~(GONE | PORTED));
  };

  const takeAccount = (scope: Scope): void => {
    const { cursor, record } = scope;
    let known = facts(cursor);
    const type = record.attributes === null ? undefined : record.attributes['paymentType'];
    if (type === 'prepaid') known = (known & ~POSTPAID) | PREPAID;
    else if (type === 'postpaid') known = (known & ~PREPAID) | POSTPAID;
    switch (record.event) {
      case 'ceased':
      case 'portOutRequested':
        if ((known & GONE) !== 0) break;
        known |= record.event === 'ceased' ? GONE : GONE | PORTED;
        // This is told, not measured: no second evaluation is waited for.
        cursor.u32[at(cursor) + STAGE] = ((cursor.u32[at(cursor) + STAGE]! & ~STAGE_BITS) | CHURNED) >>> 0;
        cursor.u32[at(cursor) + SINCE] = seconds(record.eventTime);
        break;
      case 'activated':
      case 'resumed':
      case 'contractRenewed':
        if (seconds(record.eventTime) >= cursor.u32[at(cursor) + SINCE]!) known &= ~(GONE | PORTED);
        break;
    }
    setFacts(cursor, known);
  };

  const update = (scope: Scope, blocks: Blocks): void => {
    const { cursor, record } = scope;
    if (cursor.segmentAt[id] === 0) blocks.ensure(id, HEADER_UNITS);
    switch (record.recordType) {
      case 'account':
        takeAccount(scope);
        return;
      case 'invoice':
        setFacts(cursor, facts(cursor) | BILLED);
        return;
      case 'topup':
      case 'payment': {
        const known = facts(cursor);
        if (record.recordType === 'payment') {
          if ((known & PREPAID) !== 0) return;
          setFacts(cursor, known | BILLED);
        }
        if (!(record.amountMicros > 0) || record.outcome === 'failed') return;
        add(scope, blocks, 'paidIn', record.amountMicros / 1e6, record.outcome === 'reversed' ? -1 : 1);
        if (record.recordType === 'topup' && record.outcome === 'done') comeBack(cursor, record.eventTime);
        return;
      }
      default:
        if (!(record.chargeMicros > 0)) return;
        add(scope, blocks, 'charges', record.chargeMicros / 1e6, 1);
        comeBack(cursor, record.eventTime);
    }
  };

  /** Sums a value of each pane by the share of the pane inside [from, to). The newest pane ends now. */
  const total = (scope: Scope, from: number, to: number, read: (u32: Uint32Array, word: number) => number): number => {
    const { cursor, now } = scope;
    if (cursor.segmentAt[id] === 0 || cursor.segmentUnits[id]! < UNITS_MAX) return 0;
    const newest = cursor.u32[at(cursor) + NEWEST]! & 0xffff;
    let sum = 0;
    for (let pane = newest; pane > newest - PANES; pane--) {
      const begin = pane * PANE_MS;
      // A record exactly now is inside.
      const end = Math.min(begin + PANE_MS, Math.max(now, begin) + 1);
      if (end <= from) break;
      const inside = Math.min(end, to) - Math.max(begin, from);
      if (inside <= 0) continue;
      const value = read(cursor.u32, paneWord(cursor, pane));
      sum += inside >= end - begin ? value : (value * inside) / (end - begin);
    }
    return sum;
  };
  const amount: Revenue['amount'] = (scope, source, from, to) => {
    const offset = source === 'charges' ? 0 : 1;
    return total(scope, from, to, (u32, word) => floatOf(u32[word + offset]!));
  };
  const postpaid = (scope: Scope): boolean => {
    const { cursor } = scope;
    if (cursor.segmentAt[id] === 0) return false;
    const known = facts(cursor);
    return (known & POSTPAID) !== 0 || ((known & PREPAID) === 0 && (known & BILLED) !== 0);
  };
  const secondsAt = (scope: Scope, word: number): number => {
    const { cursor } = scope;
    const value = cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + word]!;
    return value === 0 ? Number.NaN : value * 1000;
  };

  return {
    id,
    signature: options.signature,
    unitsMax: UNITS_MAX,
    retentionMs: Number.POSITIVE_INFINITY,
    lateAfterMs: PANES * PANE_MS,
    onArrival: false,
    update,
    has: (scope) => scope.cursor.segmentAt[id] !== 0,
    postpaid,
    lastAt: (scope) => secondsAt(scope, REVENUE_AT),
    goneAt: (scope) =>
      scope.cursor.segmentAt[id] !== 0 && (facts(scope.cursor) & GONE) !== 0 ? secondsAt(scope, SINCE) : Number.NaN,
    sourceOf(scope) {
      const from = scope.now - REVENUE_MS;
      const paidIn = amount(scope, 'paidIn', from, scope.now + 1);
      if (postpaid(scope) && paidIn > 0) return 'paidIn';
      // Far enough apart not to change from day to day: numbers of top-ups and of calls are not to be compared.
      return paidIn > 2 * amount(scope, 'charges', from, scope.now + 1) ? 'paidIn' : 'charges';
    },
    amount,
    events(scope, source, from, to) {
      const shift = source === 'charges' ? 0 : 16;
      return Math.round(total(scope, from, to, (u32, word) => (u32[word + 2]! >>> shift) & 0xffff));
    },
    stage: ({ cursor }) => (cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + STAGE]! & 7),
    stageSince: (scope) => secondsAt(scope, SINCE),
    evaluateStage(scope, found, since, evaluations) {
      const { cursor } = scope;
      const { u32 } = cursor;
      const word = at(cursor) + STAGE;
      const stage = u32[word]! & 7;
      let next = (u32[word]! >>> 3) & 7;
      let times = (u32[word]! >>> 6) & 15;
      if (found === stage) {
        next = 0;
        times = 0;
      } else if (found === next) times++;
      else {
        next = found;
        times = 1;
      }
      let taken = stage;
      // The first stage of all has nothing to waver from.
      if (next !== 0 && (stage === 0 || times >= evaluations)) {
        taken = next;
        u32[at(cursor) + SINCE] = seconds(since);
        next = 0;
        times = 0;
      }
      u32[word] = ((u32[word]! & ~STAGE_BITS) | taken | (next << 3) | (Math.min(15, times) << 6)) >>> 0;
    },
    value: ({ cursor }) => {
      const word = cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + VALUE]!;
      return word === 0 ? Number.NaN : floatOf(word);
    },
    keepValue({ cursor }, value) {
      // Zero stands for a value that was never kept; nothing that anybody earns is smaller than the smallest float.
      cursor.u32[at(cursor) + VALUE] = Math.max(1, wordOf(Math.max(0, value)));
    },
    sumBefore({ cursor, now }, panes) {
      if (cursor.segmentAt[id] === 0) return Number.NaN;
      const { u32 } = cursor;
      const behind = panes - 1 - ((Math.floor(now / PANE_MS) - (u32[at(cursor) + STAGE]! >>> 10)) & 0xff);
      const sum = behind < 0 || behind >= HISTORY_PANES ? 0 : (u32[at(cursor) + HISTORY]! >>> (4 * behind)) & 15;
      return sum === 0 ? Number.NaN : sum;
    },
    sumNow({ cursor, now }) {
      if (cursor.segmentAt[id] === 0) return Number.NaN;
      const { u32 } = cursor;
      const word = u32[at(cursor) + STAGE]!;
      const count = (word >>> 18) & 15;
      const total = word >>> 22;
      const moved = (Math.floor(now / PANE_MS) - (word >>> 10)) & 0xff;
      if (count === 0 || moved > 1) return Number.NaN;
      const before = u32[at(cursor) + HISTORY]! & 15;
      const missing = before === 0 || moved === 1 ? 0 : Math.max(0, DAYS_PER_PANE - count);
      return Math.round((before * missing + total) / (missing + count));
    },
    figure: ({ cursor }, metric) => (cursor.u32[at(cursor) + FIGURES + (metric >> 1)]! >>> (12 * (metric & 1))) & 0xfff,
    figuresDay: ({ cursor }) => (cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + NEWEST]! >>> 21),
    keepFigures({ cursor }, day, steps) {
      const { u32 } = cursor;
      const word = at(cursor);
      u32[word + NEWEST] = ((u32[word + NEWEST]! & 0x1fffff) | (day << 21)) >>> 0;
      for (let half = 0; half < 2; half++) {
        const pair = steps[2 * half]! | (steps[2 * half + 1]! << 12);
        u32[word + FIGURES + half] = ((u32[word + FIGURES + half]! & 0xff000000) | pair) >>> 0;
      }
    },
    percentile: ({ cursor }) => {
      const kept = cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + FIGURES]! >>> 24;
      return kept === 0 ? Number.NaN : kept - 1;
    },
    quintile({ cursor }, metric) {
      const kept = cursor.segmentAt[id] === 0 ? 0 : cursor.u32[at(cursor) + FIGURES + 1]! >>> 24;
      return kept === 0 ? Number.NaN : (Math.floor((kept - 1) / 5 ** metric) % 5) + 1;
    },
    keepRanks({ cursor }, percentile, quintiles) {
      const { u32 } = cursor;
      const word = at(cursor) + FIGURES;
      const code = quintiles[0]! - 1 + 5 * (quintiles[1]! - 1) + 25 * (quintiles[2]! - 1) + 1;
      u32[word] = ((u32[word]! & 0xffffff) | ((Math.floor(percentile) + 1) << 24)) >>> 0;
      u32[word + 1] = ((u32[word + 1]! & 0xffffff) | (code << 24)) >>> 0;
    },
    keepSum({ cursor, now }, sum) {
      const { u32 } = cursor;
      const word = at(cursor) + STAGE;
      const pane = Math.floor(now / PANE_MS) & 0xff;
      let count = (u32[word]! >>> 18) & 15;
      let total = u32[word]! >>> 22;
      const moved = (pane - (u32[word]! >>> 10)) & 0xff;
      if (moved > 0) {
        // What has gone by: first the pane that was running, then those without a look.
        let history = u32[at(cursor) + HISTORY]!;
        history = count === 0 ? 0 : ((history << 4) | Math.round(total / count)) >>> 0;
        history = moved > HISTORY_PANES ? 0 : (history << (4 * (moved - 1))) >>> 0;
        u32[at(cursor) + HISTORY] = history;
        count = 0;
        total = 0;
      }
      // Two looks more than days fit, should the clocks change.
      if (count < DAYS_PER_PANE + 2) {
        count++;
        total += sum;
      }
      u32[word] = ((u32[word]! & STAGE_BITS) | (pane << 10) | (count << 18) | (total << 22)) >>> 0;
    },
  };
}
