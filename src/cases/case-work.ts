/**
 * What people have done to one case, folded from its events in the order of the stream. Pure: the same events give the same
 * work, on every gateway and after every rebuild. An event that does nothing (a second closing, the outcome of another desk) is
 * kept in the timeline with the reason; the gateway asks `refusalOf` beforehand and says so to its caller.
 *
 * Undoing takes an event out and folds the others again, so that whatever an event did, its undo needs no code of its own.
 */
import type { Desk } from '../alerts/alert.ts';
import { type About, type CaseEvent, verdictOf } from './case-event.ts';

/** Events of one case that count; whatever comes behind them is ignored. */
export const EVENTS_PER_CASE_MAX = 1_000;
/** A snoozed rule is heard again after half a year at the latest. */
export const RULE_SNOOZE_MS_MAX = 180 * 86_400_000;
const TAGS_PER_CASE_MAX = 50;
/** Later than every time; a number that JSON can hold. */
export const FOR_EVER = Number.MAX_SAFE_INTEGER;

export interface StoredEvent {
  /** Sequence in CASES. */
  sequence: number;
  /** When the broker stored it, Unix epoch ms. */
  at: number;
  event: CaseEvent;
}

/** Why an event does nothing; undefined where it does. */
export type Refusal =
  | 'duplicate'
  | 'closed'
  | 'notClosed'
  | 'notOpen'
  | 'notSnoozed'
  | 'otherDesk'
  | 'intoItself'
  | 'merged'
  | 'noSuchEvent'
  | 'full'
  | 'tooLong'
  | 'heldOut';

export interface TimelineEntry extends StoredEvent {
  effect: 'applied' | 'undone' | Refusal;
}

export interface RuleSnooze {
  /** Id of the event that began it. */
  id: string;
  ruleId: string;
  servedMsisdn: string | null;
  /** Broker times; alerts first stored in [from, until) are hidden. */
  from: number;
  until: number;
  reason: string;
  by: string;
  /** The end has been noted in the timeline. */
  expiredNoted: boolean;
}

export interface Offer {
  offerId: string;
  cost: number | null;
  channel: string | null;
  result: string;
  at: number;
  by: string;
}

/** What a debtor has said: the case sleeps until then. */
export interface PaymentPromise {
  promiseAt: number;
  amount: number | null;
  at: number;
  by: string;
}

export interface CaseWork {
  status: 'open' | 'acknowledged' | 'closed';
  assignee: string | null;
  tags: string[];
  /** 0 where it is not snoozed; the event that snoozed it, and whether its end has been noted. */
  snoozedUntil: number;
  snooze: { id: string; reason: string; by: string; expiredNoted: boolean } | null;
  acknowledgedAt: number | null;
  outcome: {
    outcome: string;
    reason: string | null;
    at: number;
    by: string;
    offerId: string | null;
    cost: number | null;
    control: boolean | null;
  } | null;
  mergedInto: { caseId: string; at: number; sequence: number } | null;
  /** Broker times (from, to] at which the case takes no alerts; `to` is FOR_EVER while it is closed. */
  closures: { from: number; to: number }[];
  ruleSnoozes: RuleSnooze[];
  offers: Offer[];
  promises: PaymentPromise[];
  notes: number;
  /** The newest word on what the case is about. */
  about: About | null;
  timeline: TimelineEntry[];
}

const emptyWork = (): CaseWork => ({
  status: 'open',
  assignee: null,
  tags: [],
  snoozedUntil: 0,
  snooze: null,
  acknowledgedAt: null,
  outcome: null,
  mergedInto: null,
  closures: [],
  ruleSnoozes: [],
  offers: [],
  promises: [],
  notes: 0,
  about: null,
  timeline: [],
});

/** Of a case that nobody has touched; never changed. */
export const UNTOUCHED: Readonly<CaseWork> = Object.freeze(emptyWork());

/** What may still be done to a closed case: it is read-only until it is reopened, but rules are about its subscriber. */
const ON_CLOSED: ReadonlySet<string> = new Set(['reopen', 'undo', 'snoozeRule', 'unsnoozeRule', 'expired']);
/** An action has gone out and an entry is in its list: neither comes back by being taken back here. */
const NOT_UNDONE: ReadonlySet<string> = new Set(['undo', 'expired', 'action', 'listEntry']);

/** Why this event would do nothing to the case as it is. `at`: broker time, of the event or of now. */
export function refusalOf(
  desk: Desk,
  caseId: string,
  work: CaseWork,
  event: CaseEvent,
  at: number,
): Refusal | undefined {
  if (work.timeline.length >= EVENTS_PER_CASE_MAX) return 'full';
  if (work.timeline.some((entry) => entry.event.id === event.id)) return 'duplicate';
  const isClosed = work.status === 'closed';
  if (work.mergedInto !== null && !['undo', 'unsnoozeRule', 'expired'].includes(event.type)) return 'merged';
  if (isClosed && !ON_CLOSED.has(event.type)) return 'closed';
  switch (event.type) {
    case 'acknowledge':
      return work.status === 'open' ? undefined : 'notOpen';
    case 'tag':
      return work.tags.length + (event.add?.length ?? 0) > TAGS_PER_CASE_MAX ? 'full' : undefined;
    case 'unsnooze':
      return work.snoozedUntil > at ? undefined : 'notSnoozed';
    case 'outcome':
      return verdictOf(desk, event.outcome) === undefined ? 'otherDesk' : undefined;
    case 'reopen':
      return isClosed ? undefined : 'notClosed';
    case 'merge':
      return event.into === caseId ? 'intoItself' : undefined;
    case 'snoozeRule':
      return event.until - at > RULE_SNOOZE_MS_MAX ? 'tooLong' : undefined;
    case 'unsnoozeRule':
      return work.ruleSnoozes.some((snooze) => snooze.id === event.snoozeId && snooze.until > at)
        ? undefined
        : 'notSnoozed';
    case 'offer':
      return desk === 'retention' ? undefined : 'otherDesk';
    case 'promise':
      return desk === 'arrears' ? undefined : 'otherDesk';
    case 'undo': {
      const target = work.timeline.find((entry) => entry.event.id === event.eventId);
      return target?.effect === 'applied' && !NOT_UNDONE.has(target.event.type) ? undefined : 'noSuchEvent';
    }
    case 'expired': {
      const snooze = work.ruleSnoozes.find((one) => one.id === event.snoozeId);
      const noted =
        snooze === undefined ? work.snooze?.id !== event.snoozeId || work.snooze.expiredNoted : snooze.expiredNoted;
      return noted ? 'notSnoozed' : undefined;
    }
    default:
      return undefined;
  }
}

/** The work of a case from all its events. Those behind EVENTS_PER_CASE_MAX do not count. */
export function foldCase(desk: Desk, caseId: string, events: readonly StoredEvent[]): CaseWork {
  /** What was taken back, and the sequence of the event that did it. */
  const undone = new Map<string, number>();
  // Without an event those behind it may do something else, so all are folded again after each undo.
  for (;;) {
    const work = emptyWork();
    let again = false;
    for (const stored of events.slice(0, EVENTS_PER_CASE_MAX)) {
      const { event } = stored;
      if (undone.has(event.id) && !work.timeline.some((entry) => entry.event.id === event.id)) {
        work.timeline.push({ ...stored, effect: 'undone' });
        continue;
      }
      if (event.type === 'undo' && undone.get(event.eventId) === stored.sequence) {
        work.timeline.push({ ...stored, effect: 'applied' });
        continue;
      }
      const refusal = refusalOf(desk, caseId, work, event, stored.at);
      work.timeline.push({ ...stored, effect: refusal ?? 'applied' });
      if (refusal !== undefined) continue;
      if (event.about !== undefined) work.about = event.about;
      if (event.type === 'undo') {
        undone.set(event.eventId, stored.sequence);
        again = true;
        break;
      }
      apply(work, stored);
    }
    if (!again) return work;
  }
}

function apply(work: CaseWork, { event, at, sequence }: StoredEvent): void {
  switch (event.type) {
    case 'acknowledge':
      work.status = 'acknowledged';
      work.acknowledgedAt ??= at;
      break;
    case 'assign':
      work.assignee = event.assignee;
      break;
    case 'note':
      work.notes += 1;
      break;
    case 'tag': {
      const removed = new Set(event.remove ?? []);
      work.tags = [...new Set([...work.tags, ...(event.add ?? [])])].filter((tag) => !removed.has(tag)).sort();
      break;
    }
    case 'snooze':
      work.snoozedUntil = event.until;
      work.snooze = { id: event.id, reason: event.reason, by: event.by, expiredNoted: false };
      break;
    case 'unsnooze':
      work.snoozedUntil = 0;
      work.snooze = null;
      break;
    case 'outcome':
      work.status = 'closed';
      work.acknowledgedAt ??= at;
      work.snoozedUntil = 0;
      work.snooze = null;
      work.outcome = {
        outcome: event.outcome,
        reason: event.reason ?? null,
        at,
        by: event.by,
        offerId: event.offerId ?? null,
        cost: event.cost ?? null,
        control: event.control ?? null,
      };
      work.closures.push({ from: Math.min(event.seenUntil ?? at, at), to: FOR_EVER });
      break;
    case 'reopen':
      work.status = 'open';
      work.outcome = null;
      work.closures.at(-1)!.to = at;
      break;
    case 'merge':
      work.status = 'closed';
      work.snoozedUntil = 0;
      work.snooze = null;
      work.mergedInto = { caseId: event.into, at, sequence };
      break;
    case 'snoozeRule':
      work.ruleSnoozes.push({
        id: event.id,
        ruleId: event.ruleId,
        servedMsisdn: event.servedMsisdn ?? null,
        from: at,
        until: event.until,
        reason: event.reason,
        by: event.by,
        expiredNoted: false,
      });
      break;
    case 'unsnoozeRule': {
      const snooze = work.ruleSnoozes.find((one) => one.id === event.snoozeId)!;
      snooze.until = at;
      snooze.expiredNoted = true;
      break;
    }
    case 'offer':
      work.offers.push({
        offerId: event.offerId,
        cost: event.cost ?? null,
        channel: event.channel ?? null,
        result: event.result,
        at,
        by: event.by,
      });
      break;
    case 'promise':
      work.promises.push({ promiseAt: event.promiseAt, amount: event.amount ?? null, at, by: event.by });
      // A promise is a snooze to the day of payment: nobody calls before, somebody looks after.
      work.snoozedUntil = event.promiseAt;
      work.snooze = { id: event.id, reason: '', by: event.by, expiredNoted: false };
      break;
    case 'expired': {
      const snooze = work.ruleSnoozes.find((one) => one.id === event.snoozeId) ?? work.snooze!;
      snooze.expiredNoted = true;
      break;
    }
    case 'action':
    case 'listEntry':
    case 'undo':
      break;
  }
}

/** Does the case, leaving mergers aside, take an alert that was first stored at this time? */
export function takesAlertAt(work: CaseWork, at: number): boolean {
  return !work.closures.some(({ from, to }) => at > from && at <= to);
}
