/**
 * Changes of rules: proposed by one person, decided by another, in force when they are decided. Every step is one event in the
 * stream RULES, published behind the newest event of its rule (expected last subject sequence), so of two proposals for one
 * rule the broker lets one through and the other is told. A gateway follows the stream and holds nothing that it could lose.
 *
 *     propose ──> RULES: proposed ──> decide, by somebody else ──> RULES: approved ──> usage.<p>.rules ──> engine swaps
 *                                                └──> RULES: rejected, withdrawn
 *
 * What is approved has to be in force. Whoever finds that it is not (the process ended between the two messages, another set
 * without it came later) puts it there (`settle`); what replaces it on purpose is written down as an event of its own.
 */
import { randomUUID } from 'node:crypto';
import { JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { followStream } from '../source/follower.ts';
import { RULES_STREAM } from '../source/streams.ts';
import {
  type ChangeAuthor,
  type ChangeEvent,
  changeSubject,
  isChangeEvent,
  type ORIGINS,
  type RuleText,
  readChangeEvent,
  ruleOfSubject,
} from './change-event.ts';
import {
  type ApprovedText,
  isSamePerson,
  NO_HISTORY,
  type Proposal,
  type RuleHistory,
  withEvent,
} from './change-log.ts';

/** Rules that have a history; more than a set may have, because removed ones keep theirs. */
const HISTORIES_MAX = 4_000;
const PULL_MESSAGES = 256;
const PULL_BYTES = 4 * 1024 * 1024;
/** How long an answer waits until its own event has come back. */
const FOLLOW_WAIT_MS = 5_000;
const ATTEMPTS_MAX = 5;
/** JetStream's error code for an expected sequence that does not hold. */
const WRONG_LAST_SEQUENCE_CODE = 10071;
/** What subject and headers of a message may take of the server's limit. */
const ENVELOPE_BYTES = 1_024;
const PAYLOAD_BYTES_DEFAULT = 1_048_576;

export type ProposalInput = Omit<Extract<ChangeEvent, { type: 'proposed' }>, 'type' | 'id'>;
export type Decision = 'approve' | 'reject' | 'withdraw';

export type Proposed =
  | { kind: 'done'; proposal: Proposal }
  /** Another one waits for its decision. */
  | { kind: 'conflict'; open: Proposal }
  /** What it was made from is not in force any more. */
  | { kind: 'stale' }
  | { kind: 'tooLarge' };

export type Decided =
  | { kind: 'done' }
  | { kind: 'notOpen' }
  /** Approving takes a second person, withdrawing the first one. */
  | { kind: 'ownProposal' }
  | { kind: 'notOwn' }
  | { kind: 'stale' }
  | { kind: 'invalid'; detail: string };

/** The rules that run, as far as changes have to do with them. */
export interface RulesInForce {
  /** Newest text of a rule that is in the stream, read by the engine already or not. */
  textOf(ruleId: string): Promise<string | undefined>;
  /** What would be wrong with the set that has this text in the place of that rule. */
  problemOf(ruleId: string, text: string): string | undefined;
}

export interface RuleDesk {
  history(ruleId: string): RuleHistory;
  /** Every proposal that waits, oldest first. */
  open(): { ruleId: string; proposal: Proposal }[];
  /** Texts that were approved and that nothing has replaced since. */
  approved(): Map<string, ApprovedText>;
  /** The event at a sequence of the stream, with its texts. */
  event(sequence: number): Promise<{ ruleId: string; event: ChangeEvent } | undefined>;
  propose(ruleId: string, input: ProposalInput, inForce: RulesInForce): Promise<Proposed>;
  decide(
    ruleId: string,
    decision: { proposalId: string; decision: Decision; by: ChangeAuthor; reason: string | undefined },
    inForce: RulesInForce,
  ): Promise<Decided>;
  /** Writes down that a rule has changed in another way, unless that is known. */
  note(
    ruleId: string,
    change: { by: ChangeAuthor; origin: (typeof ORIGINS)[number]; rule: RuleText; base?: RuleText | undefined },
  ): Promise<void>;
  /** Called when a change was approved, here or elsewhere. */
  onApproved(listener: (ruleId: string) => void): void;
  reading(): boolean;
  ended: Promise<void>;
  close(): Promise<void>;
}

/** Resolves when the stream has been read to its end. */
export async function openRuleDesk(options: {
  nc: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  metrics: Metrics;
  log: Log;
  /** Ends the waiting for the stream; rejects with its reason then. */
  signal?: AbortSignal | undefined;
}): Promise<RuleDesk> {
  const { nc, js, jsm, metrics, log, signal } = options;
  let histories = new Map<string, RuleHistory>();
  let position = { created: '', sequence: 0 };
  let waiting: { sequence: number; resolve(): void }[] = [];
  const listeners: ((ruleId: string) => void)[] = [];
  metrics.trackQueue('rule_histories', HISTORIES_MAX, () => histories.size);
  metrics.onScrape(() => metrics.ruleProposalsOpen.set(openProposals().length));

  const history = (ruleId: string): RuleHistory => histories.get(ruleId) ?? NO_HISTORY;
  const openProposals: RuleDesk['open'] = () =>
    [...histories]
      .flatMap(([ruleId, { open }]) => (open === undefined ? [] : [{ ruleId, proposal: open }]))
      .sort((a, b) => a.proposal.sequence - b.proposal.sequence);

  const follower = followStream({
    nc,
    jsm,
    stream: RULES_STREAM,
    log,
    pullMessages: PULL_MESSAGES,
    pullBytes: PULL_BYTES,
    position: () => position,
    onReplaced({ created, first }) {
      if (position.created !== '') log.warn({ stream: RULES_STREAM }, 'stream is another one, histories are read anew');
      histories = new Map();
      position = { created, sequence: first - 1 };
    },
    async onMessages(messages) {
      for (const { subject, sequence, timeMs, data } of messages) {
        position = { ...position, sequence };
        const ruleId = ruleOfSubject(subject);
        const event = readChangeEvent(data);
        if (
          ruleId === undefined ||
          event === undefined ||
          (!histories.has(ruleId) && histories.size >= HISTORIES_MAX)
        ) {
          metrics.ruleEventsUnreadableTotal.inc();
          log.warn({ subject, sequence }, 'message is no change of a rule and is passed over');
          continue;
        }
        const before = history(ruleId);
        const after = withEvent(before, { sequence, at: timeMs, event });
        histories.set(ruleId, after);
        if (after.approved !== undefined && after.approved !== before.approved)
          for (const listener of listeners) listener(ruleId);
      }
      const still = waiting.filter((one) => one.sequence > position.sequence);
      for (const one of waiting) if (!still.includes(one)) one.resolve();
      waiting = still;
    },
  });
  const stop = (): void => void follower.close();
  signal?.addEventListener('abort', stop, { once: true });
  await Promise.race([follower.caughtUp(), follower.ended]);
  signal?.removeEventListener('abort', stop);
  signal?.throwIfAborted();

  const reached = (sequence: number): Promise<void> => {
    if (position.sequence >= sequence) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, FOLLOW_WAIT_MS);
      waiting.push({
        sequence,
        resolve() {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  };

  /** @returns its sequence, or undefined where something else came first; the history has that then. */
  const publish = async (ruleId: string, version: number, event: ChangeEvent): Promise<number | undefined> => {
    if (!isChangeEvent(event))
      throw new Error(`an event of type ${(event as ChangeEvent).type} that nobody could read`);
    try {
      const stored = await js.publish(changeSubject(ruleId), JSON.stringify(event), {
        msgID: `${ruleId}.${event.id}`,
        expect: { lastSubjectSequence: version },
      });
      metrics.ruleChangesTotal.inc({ type: event.type });
      await reached(stored.seq);
      return stored.seq;
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== WRONG_LAST_SEQUENCE_CODE) throw error;
    }
    const last = await jsm.streams.getMessage(RULES_STREAM, { last_by_subj: changeSubject(ruleId) });
    if (last !== null) await reached(last.seq);
    return undefined;
  };

  /** @param attempt what to publish as things stand, or the answer that needs no event */
  const insist = async <T>(
    ruleId: string,
    attempt: (state: RuleHistory) => Promise<{ event: ChangeEvent } | { answer: T }>,
    done: (sequence: number) => T,
  ): Promise<T> => {
    for (let tries = 0; tries < ATTEMPTS_MAX; tries++) {
      const state = history(ruleId);
      const next = await attempt(state);
      if ('answer' in next) return next.answer;
      const sequence = await publish(ruleId, state.version, next.event);
      if (sequence !== undefined) return done(sequence);
    }
    throw new Error(`the history of ${ruleId} changes faster than it can be read`);
  };

  return {
    history,
    open: openProposals,
    approved: () =>
      new Map([...histories].flatMap(([ruleId, { approved }]) => (approved === undefined ? [] : [[ruleId, approved]]))),
    async event(sequence) {
      const message = await jsm.streams.getMessage(RULES_STREAM, { seq: sequence });
      const ruleId = message === null ? undefined : ruleOfSubject(message.subject);
      const event = message === null ? undefined : readChangeEvent(message.data);
      return ruleId === undefined || event === undefined ? undefined : { ruleId, event };
    },
    async propose(ruleId, input, inForce) {
      const event: ChangeEvent = { type: 'proposed', id: randomUUID(), ...input };
      const bytesMax = (nc.info?.max_payload ?? PAYLOAD_BYTES_DEFAULT) - ENVELOPE_BYTES;
      if (Buffer.byteLength(JSON.stringify(event)) > bytesMax) return { kind: 'tooLarge' };
      return insist<Proposed>(
        ruleId,
        async ({ open }) => {
          if (open !== undefined) return { answer: { kind: 'conflict', open } };
          if ((await inForce.textOf(ruleId)) !== input.base.text) return { answer: { kind: 'stale' } };
          return { event };
        },
        (sequence) => ({ kind: 'done', proposal: { id: event.id, sequence, at: Date.now(), event } }),
      );
    },
    decide(ruleId, { proposalId, decision, by, reason }, inForce) {
      const told = { id: randomUUID(), by, proposalId };
      return insist<Decided>(
        ruleId,
        async ({ open }) => {
          if (open?.id !== proposalId) return { answer: { kind: 'notOpen' } };
          const { rule, base, by: proposer } = open.event;
          const isOwn = isSamePerson(by, proposer);
          if (decision === 'withdraw') {
            if (!isOwn) return { answer: { kind: 'notOwn' } };
            return { event: { type: 'withdrawn', ...told, ...(reason !== undefined && { reason }) } };
          }
          if (isOwn) return { answer: { kind: 'ownProposal' } };
          if (decision === 'reject') return { event: { type: 'rejected', ...told, reason: reason! } };
          if ((await inForce.textOf(ruleId)) !== base.text) return { answer: { kind: 'stale' } };
          const detail = inForce.problemOf(ruleId, rule.text);
          if (detail !== undefined) return { answer: { kind: 'invalid', detail } };
          return { event: { type: 'approved', ...told, ...(reason !== undefined && { reason }) } };
        },
        () => ({ kind: 'done' }),
      );
    },
    async note(ruleId, { by, origin, rule, base }) {
      const event: ChangeEvent = { type: 'changed', id: randomUUID(), by, origin, rule, ...(base && { base }) };
      await insist<void>(
        ruleId,
        async ({ known }) => (known?.text === rule.text ? { answer: undefined } : { event }),
        () => {},
      );
    },
    onApproved(listener) {
      listeners.push(listener);
    },
    reading: () => follower.reading(),
    ended: follower.ended,
    close: () => follower.close(),
  };
}
