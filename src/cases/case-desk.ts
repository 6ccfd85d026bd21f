/**
 * Work on cases: every change is one event in CASES, published behind the newest event of its case (expected last subject
 * sequence). Of two people who close one case the broker lets one through; the other is told what the case is now. The
 * projection follows the stream like that of every other gateway, and an answer waits until it has the event.
 */
import { randomUUID } from 'node:crypto';
import { JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import type { Desk } from '../alerts/alert.ts';
import type { Metrics } from '../metrics.ts';
import { type CaseEvent, type CaseEventInput, caseSubject, isCaseEvent } from './case-event.ts';
import type { CaseFilter, CaseList } from './case-list.ts';
import type { CaseReader } from './case-reader.ts';
import { type Refusal, refusalOf } from './case-work.ts';
import { type DeskSettings, type DeskSettingsEvent, isSettingsEvent, settingsSubject } from './desk-settings.ts';

/** Cases that one bulk action may change. */
export const BULK_CASES_MAX = 1_000;
/** Events of a bulk action under way at once. */
const BULK_IN_FLIGHT_MAX = 32;
/** How often a change that somebody else came before is looked at again, where its sender did not say what it saw. */
const ATTEMPTS_MAX = 5;
/** How long an answer waits for the projection; the event is in the stream by then, whatever comes of it. */
const PROJECTION_WAIT_MS = 2_000;
/** Cases that `next` tries while others take them. */
const CANDIDATES_MAX = 50;
/** JetStream's error code for an expected sequence that does not hold. */
const WRONG_LAST_SEQUENCE_CODE = 10071;

export type Posted =
  | { kind: 'done'; caseId: string; sequence: number; eventId: string }
  | { kind: 'unknown' }
  /** Somebody else changed the case since `version`. */
  | { kind: 'conflict' }
  /** The case cannot take this event as it is now. */
  | { kind: 'refused'; refusal: Refusal | 'noSuchTarget' };

export interface BulkResult {
  bulkId: string;
  done: { caseId: string; sequence: number }[];
  refused: { caseId: string; reason: string }[];
}

/** A bulk action has no version of its own: each case brings the one that was seen, or none. */
export type BulkCase = { caseId: string; version?: number };

export interface CaseDesk {
  /** @throws what the connection says where NATS does not answer; the event may be stored then. */
  post(caseId: string, by: string, input: CaseEventInput, extra?: { bulk?: string }): Promise<Posted>;
  /** The most urgent case of the desk that nobody has, assigned to this person; undefined where there is none. */
  takeNext(desk: Desk, by: string, filter: CaseFilter): Promise<string | undefined>;
  bulk(cases: readonly BulkCase[], by: string, input: CaseEventInput): Promise<BulkResult>;
  /** Takes back what a bulk action did, where nobody has touched the case since. */
  undoBulk(bulkId: string, by: string): Promise<BulkResult>;
  /**
   * Changes views or routing of a desk.
   * @param version the settings as the sender saw them; undefined: whatever came in between
   * @returns their new version; undefined where somebody else was first
   */
  changeSettings(desk: Desk, version: number | undefined, event: DeskSettingsEvent): Promise<number | undefined>;
  /** Notes the end of a snooze. Of several gateways that do so one gets through. */
  noteExpired(caseId: string, snoozeId: string): Promise<void>;
}

export function createCaseDesk(options: {
  js: JetStreamClient;
  list: CaseList;
  reader: Pick<CaseReader, 'reached'>;
  settings(desk: Desk): DeskSettings;
  metrics: Metrics;
}): CaseDesk {
  const { js, list, reader, settings, metrics } = options;

  /** @returns the sequence, or undefined where somebody else was first. */
  const publish = async (
    desk: Desk,
    caseId: string,
    version: number,
    event: CaseEvent,
  ): Promise<number | undefined> => {
    if (!isCaseEvent(event)) throw new Error(`an event of type ${(event as CaseEvent).type} that nobody could read`);
    return publishTo(caseSubject(desk, caseId), `${caseId}.${event.id}`, version, event);
  };

  const publishTo = async (
    subject: string,
    msgID: string,
    version: number,
    event: object,
  ): Promise<number | undefined> => {
    try {
      const stored = await js.publish(subject, JSON.stringify(event), {
        msgID,
        expect: { lastSubjectSequence: version },
      });
      return stored.seq;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE_CODE) return undefined;
      throw error;
    }
  };

  const post: CaseDesk['post'] = async (caseId, by, input, extra = {}) => {
    const { version, id: givenId, by: _by, ...body } = input;
    const id = givenId ?? randomUUID();
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const state = list.state(caseId);
      if (state === undefined) return { kind: 'unknown' };
      const { desk, work, about, seenUntil } = state;
      const repeated = work.timeline.find((entry) => entry.event.id === id);
      // Sent again because no answer came the first time: it is done already.
      if (repeated !== undefined) return { kind: 'done', caseId, sequence: repeated.sequence, eventId: id };
      const event = { ...body, id, by, ...extra, about } as CaseEvent;
      if (event.type === 'outcome') {
        event.seenUntil ??= seenUntil;
        if (desk === 'retention') event.control ??= list.summary(caseId, Date.now())?.isControl ?? false;
      }
      if (version !== undefined && version !== state.version) {
        metrics.caseConflictsTotal.inc();
        return { kind: 'conflict' };
      }
      const refusal = refusalOf(desk, caseId, work, event, Date.now()) ?? refusalByOthers(desk, caseId, event);
      if (refusal !== undefined) return { kind: 'refused', refusal };
      const sequence = await publish(desk, caseId, state.version, event);
      if (sequence !== undefined) {
        await reader.reached(sequence, PROJECTION_WAIT_MS);
        return { kind: 'done', caseId, sequence, eventId: id };
      }
      if (version !== undefined) break;
      // Somebody else was first: what this event meets now is known when the projection has come there.
      await newerThan(caseId, state.version);
    }
    metrics.caseConflictsTotal.inc();
    return { kind: 'conflict' };
  };

  /** What speaks against an event lies in another case, or in what the desk may do. */
  const refusalByOthers = (desk: Desk, caseId: string, event: CaseEvent): Refusal | 'noSuchTarget' | undefined => {
    if (event.type === 'offer' && list.summary(caseId, Date.now())?.isControl === true) return 'heldOut';
    if (event.type !== 'merge') return undefined;
    const target = list.state(event.into);
    if (target === undefined || target.desk !== desk) return 'noSuchTarget';
    if (target.work.mergedInto !== null) return 'merged';
    return target.work.status === 'closed' ? 'closed' : undefined;
  };

  const newerThan = async (caseId: string, version: number): Promise<void> => {
    for (let waited = 0; waited < 20; waited++) {
      if ((list.state(caseId)?.version ?? 0) > version) return;
      await new Promise((resolve) => setTimeout(resolve, PROJECTION_WAIT_MS / 20));
    }
  };

  const inParallel = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < items.length) await work(items[next++]!);
    };
    await Promise.all(Array.from({ length: Math.min(BULK_IN_FLIGHT_MAX, items.length) }, worker));
  };

  const reasonOf = (posted: Exclude<Posted, { kind: 'done' }>): string =>
    posted.kind === 'refused' ? posted.refusal : posted.kind;

  const bulk = async (
    cases: readonly (BulkCase & { input: CaseEventInput })[],
    by: string,
    bulkId: string,
  ): Promise<BulkResult> => {
    const result: BulkResult = { bulkId, done: [], refused: [] };
    await inParallel(cases, async ({ caseId, version, input }) => {
      const { version: _version, id: _id, ...body } = input;
      const posted = await post(caseId, by, { ...body, ...(version !== undefined && { version }) } as CaseEventInput, {
        bulk: bulkId,
      });
      if (posted.kind === 'done') result.done.push({ caseId, sequence: posted.sequence });
      else result.refused.push({ caseId, reason: reasonOf(posted) });
    });
    return result;
  };

  return {
    post,
    async takeNext(desk, by, filter) {
      // Who has lanes takes from those; the desk's lead has said so.
      const lanes = settings(desk).routing.people.find(({ name }) => name === by)?.lanes;
      const wanted = lanes === undefined ? filter : { ...filter, lanes };
      for (const caseId of list.candidates(desk, wanted, { limit: CANDIDATES_MAX, now: Date.now() })) {
        const state = list.state(caseId);
        // Taken since the list was made.
        if (state === undefined || state.work.assignee !== null) continue;
        const posted = await post(caseId, by, { type: 'assign', assignee: by, version: state.version });
        if (posted.kind === 'done') return caseId;
      }
      return undefined;
    },
    bulk: (cases, by, input) =>
      bulk(
        cases.map((one) => ({ ...one, input })),
        by,
        randomUUID(),
      ),
    undoBulk(bulkId, by) {
      const events = list.bulk(bulkId);
      const cases = events.map(({ caseId, sequence, event }) => ({
        caseId,
        version: sequence,
        input: { type: 'undo', eventId: event.id } as const,
      }));
      return bulk(cases, by, randomUUID());
    },
    async changeSettings(desk, version, event) {
      if (!isSettingsEvent(event))
        throw new Error(`settings of type ${(event as DeskSettingsEvent).type} that nobody could read`);
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const seen = settings(desk).version;
        if (version !== undefined && version !== seen) return undefined;
        const sequence = await publishTo(settingsSubject(desk), `${desk}.${event.id}`, seen, event);
        if (sequence !== undefined) {
          await reader.reached(sequence, PROJECTION_WAIT_MS);
          return sequence;
        }
        if (version !== undefined) return undefined;
        await new Promise((resolve) => setTimeout(resolve, PROJECTION_WAIT_MS / 20));
      }
      return undefined;
    },
    async noteExpired(caseId, snoozeId) {
      const id = `expired.${snoozeId}`.slice(0, 64);
      const state = list.state(caseId);
      if (state === undefined) return;
      const event: CaseEvent = { type: 'expired', snoozeId, id, by: 'ringfence', about: state.about };
      if (refusalOf(state.desk, caseId, state.work, event, Date.now()) !== undefined) return;
      await publish(state.desk, caseId, state.version, event);
    },
  };
}
