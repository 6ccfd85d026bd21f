/**
 * What the events of a rule amount to: its history, the proposal that waits for a second person, and the text that was approved
 * last. Pure: the same events in the order of the stream give the same state on every gateway. An event that cannot follow (a
 * decision about a proposal that is not open, an approval by whoever proposed) stays in the history and does nothing.
 */
import type { ChangeAuthor, ChangeEvent, ChangeEventType, RuleText } from './change-event.ts';

/** Entries of one rule that are shown; older ones stay in the stream. */
export const HISTORY_MAX = 200;

export interface Proposal {
  id: string;
  /** Of the event in the stream. */
  sequence: number;
  /** When the broker stored it, epoch ms. */
  at: number;
  event: Extract<ChangeEvent, { type: 'proposed' }>;
}

/** One line of the history, without the texts. */
export interface HistoryEntry {
  sequence: number;
  at: number;
  type: ChangeEventType;
  by: ChangeAuthor;
  /** Of the proposal that it is, or is about; empty for other changes. */
  proposalId: string;
  /** Version of the rule that it brings; 0 where it brings none. */
  version: number;
  reason: string;
  origin: string;
  /** It came too late, or from whoever may not. */
  isVoid: boolean;
}

/** A text that was approved and holds until something else takes its place. */
export interface ApprovedText {
  rule: RuleText;
  base: RuleText;
  proposedBy: ChangeAuthor;
  approvedBy: ChangeAuthor;
  /** Sequence and time of the approval. */
  sequence: number;
  at: number;
  backfillMs: number | undefined;
}

export interface RuleHistory {
  /** Sequence of the newest event of the rule; 0: there is none. What a new event must follow. */
  version: number;
  entries: HistoryEntry[];
  open: Proposal | undefined;
  approved: ApprovedText | undefined;
  /** The newest text that the log knows to be in force, however it came to be. */
  known: RuleText | undefined;
}

export const NO_HISTORY: RuleHistory = {
  version: 0,
  entries: [],
  open: undefined,
  approved: undefined,
  known: undefined,
};

/** Names decide, whatever the case and whatever stands around them: a key that is called like a person is no second one. */
export const isSamePerson = (a: ChangeAuthor, b: ChangeAuthor): boolean =>
  a.id.trim().toLowerCase() === b.id.trim().toLowerCase();

/** The history with one event more. */
export function withEvent(
  history: RuleHistory,
  { sequence, at, event }: { sequence: number; at: number; event: ChangeEvent },
): RuleHistory {
  const { open } = history;
  const isOpen = 'proposalId' in event && open?.id === event.proposalId;
  const isVoid =
    event.type === 'proposed'
      ? open !== undefined
      : event.type === 'approved'
        ? !isOpen || event.by.kind === 'key' || isSamePerson(event.by, open!.event.by)
        : event.type !== 'changed' && !isOpen;
  const entry: HistoryEntry = {
    sequence,
    at,
    type: event.type,
    by: event.by,
    proposalId: 'proposalId' in event ? event.proposalId : event.type === 'proposed' ? event.id : '',
    version: 'rule' in event ? event.rule.version : event.type === 'approved' && isOpen ? open!.event.rule.version : 0,
    reason: 'reason' in event ? (event.reason ?? '') : '',
    origin: 'origin' in event ? event.origin : '',
    isVoid,
  };
  const next = { ...history, version: sequence, entries: [...history.entries, entry].slice(-HISTORY_MAX) };
  if (isVoid) return next;
  switch (event.type) {
    case 'proposed':
      return { ...next, open: { id: event.id, sequence, at, event } };
    case 'approved': {
      const { rule, base, by, backfillMs } = open!.event;
      const approved = { rule, base, proposedBy: by, approvedBy: event.by, sequence, at, backfillMs };
      return { ...next, open: undefined, approved, known: rule };
    }
    case 'changed':
      return { ...next, approved: undefined, known: event.rule };
    default:
      return { ...next, open: undefined };
  }
}
