/**
 * Publishes alerts to the ALERTS stream so that each revision is there exactly once, whatever crashed in between.
 *
 * Every alert has its own subject, `alerts.<desk>.<alertId>`, and each revision is published under the condition that
 * the last message of that subject is the revision before it (expected last subject sequence: 0 for the first). So a
 * replay after a crash, a repetition after a lost acknowledgement and a second process that still lives all find the
 * revision already there. Unlike `Nats-Msg-Id` this has no time window: measured with repeated kill -9 and an outage
 * longer than the window, ids gave duplicates in 2 of 8 runs and this in none.
 *
 * Revisions of one alert go one after the other (a *lane*); different alerts are under way together.
 *
 * The broker acknowledges before its disk is synced, so a machine that loses power may lose acknowledged alerts. The
 * alerts handed over since the last durable checkpoint are therefore kept (`cut`), and after every reconnect it is
 * looked whether they are still there; what is missing is published again. That a broker is gone may show late: so a checkpoint
 * waits for a word of the broker after the last acknowledgement, and they are let go at another one. Of those let go a mark
 * remains (stream-mark.ts), in the checkpoint too: where the broker has lost even them, the process ends, and the next start
 * goes back to a checkpoint of before the loss, which makes them again.
 */
import { JetStreamApiCodes, JetStreamApiError, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { LRUCache } from 'lru-cache';
import { type AlertData, alertEvent, alertSubject } from '../alerts/alert.ts';
import { RingfenceError } from '../errors.ts';
import type { StreamMark } from '../state/checkpoint.ts';
import { ClosedError, createDurablePublisher, createLedger } from './outbox.ts';
import { lookAt, lostMeanwhile } from './stream-mark.ts';

const ALERTS_STREAM = 'ALERTS';
/** Alerts of draft rules. */
const SHADOW_STREAM = 'SHADOW';
/** Those of our streams. */
const byStream = (marks: readonly StreamMark[]): Map<string, StreamMark> =>
  new Map(
    marks
      .filter(({ stream }) => stream === ALERTS_STREAM || stream === SHADOW_STREAM)
      .map((mark) => [mark.stream, mark]),
  );
const streamOf = ({ shadow }: AlertData): string => (shadow === true ? SHADOW_STREAM : ALERTS_STREAM);
/** Alerts under way at a time. With a round trip of 10 ms it allows 100,000 alerts/s. */
export const ALERTS_IN_FLIGHT_MAX = 1_024;
/** Alerts whose last revision and sequence are remembered; for others the broker is asked. 150 bytes each. */
const POSITIONS_MAX = 65_536;
/** Alerts kept for a broker that loses what it acknowledged, 3 KB each. Beyond that the oldest are only in the broker. */
export const ALERTS_KEPT_MAX = 20_000;
/** So many of the oldest go together, since each going of its own would move all the others. */
const KEPT_STEP = 1_000;
/** Somebody else must have published on our subject each time; a second owner does so once for each revision. */
const CONFLICTS_MAX = 20;

export interface AlertPublisher {
  /** Takes an alert; never blocks. Revisions of one alert are published in the order of the calls. */
  publish(alert: AlertData): void;
  /** Resolves when at most `inFlightMax` are under way. To be awaited before more is published. */
  room(): Promise<void>;
  /** Resolves when everything handed over so far is in ALERTS, and the broker that has it is there; with marks of the last ones. */
  drained(): Promise<StreamMark[]>;
  inFlight(): number;
  /**
   * Call it when a checkpoint is cut, and the function that it returns when that checkpoint is durable, with the marks in it:
   * alerts handed over before the cut are then kept only until the broker has been heard once more.
   */
  cut(): (marks: readonly StreamMark[]) => void;
  /** Alerts kept since the last durable checkpoint, of ALERTS_KEPT_MAX. */
  kept(): number;
  /** Ends everything; what is not acknowledged is forgotten, so drain first. */
  close(): Promise<void>;
}

export interface AlertPublisherOptions {
  /** `source` of the CloudEvents. */
  source: string;
  inFlightMax?: number;
  /** Called once for each alert handed over. `duplicate`: this revision, or a later one, was there already. */
  onPublished?: (alert: AlertData, sequence: number, duplicate: boolean) => void;
  /** Gets one sentence for each new kind of trouble with NATS. */
  onTrouble?: (sentence: string) => void;
  /** Publishes a revision even though the one before it is gone from the stream, and goes on without what the broker has lost. */
  allowGap?: boolean;
  /** Those of the checkpoint that the engine begins with. */
  marks?: readonly StreamMark[];
}

/** Last revision of an alert in the stream; 0 and 0 where there is none. */
interface Position {
  revision: number;
  sequence: number;
}

interface Job {
  alert: AlertData;
  ticket: number;
  /** Only looks whether it is still there, and publishes what is not. */
  again: boolean;
}

/**
 * room() and drained() reject with RingfenceError `alerts.revision-missing` where the stream lacks the revision before
 * the one to be published, with `streams.lost-messages` where alerts are lost that are not kept any more, and with whatever
 * else trying again cannot mend; the publisher is useless from then on.
 */
export function createAlertPublisher(
  js: JetStreamClient,
  jsm: JetStreamManager,
  options: AlertPublisherOptions,
): AlertPublisher {
  const { source, onPublished = () => {}, onTrouble = () => {} } = options;
  const inFlightMax = options.inFlightMax ?? ALERTS_IN_FLIGHT_MAX;
  const ledger = createLedger({ items: inFlightMax, bytes: Number.POSITIVE_INFINITY });
  const outbound = createDurablePublisher(js, onTrouble);
  const positions = new LRUCache<string, Position>({ maxSize: POSITIONS_MAX, sizeCalculation: () => 1 });
  /** By alertId, while anything of that alert is under way or waits. */
  const lanes = new Map<string, Job[]>();
  /** Lanes that wait for their turn. */
  let waitingLanes: string[] = [];
  let runningLanes = 0;
  /** In the order of handing over, and by alert. */
  let kept: { ticket: number; alert: AlertData }[] = [];
  const keptByAlert = new Map<string, AlertData[]>();
  /** Ticket of the last one that a durable checkpoint has let go. */
  let letGoUpTo = 0;
  /** By stream: the last alert that is not kept any more, and the last one that was seen there since the last reconnect. */
  let base = byStream(options.marks ?? []);
  let newest = new Map<string, StreamMark>();
  const note = (alert: AlertData, sequence: number): void => {
    const stream = streamOf(alert);
    if (sequence <= (newest.get(stream)?.sequence ?? 0)) return;
    newest.set(stream, { stream, sequence, subject: alertSubject(alert), storedAt: '' });
  };

  const forget = (count: number): void => {
    for (const { alert } of kept.splice(0, count)) {
      const alerts = keptByAlert.get(alert.alertId);
      alerts?.shift();
      if (alerts?.length === 0) keptByAlert.delete(alert.alertId);
    }
  };

  /** What the stream has of an alert. */
  const lookUp = async (alert: AlertData): Promise<Position> => {
    const subject = alertSubject(alert);
    const message = await outbound.insist(() => jsm.streams.getMessage(streamOf(alert), { last_by_subj: subject }));
    if (message === null) return { revision: 0, sequence: 0 };
    const revision = message.json<{ data?: { revision?: unknown } }>()?.data?.revision;
    if (typeof revision !== 'number') throw new Error(`message ${message.seq} on ${subject} is no alert`);
    return { revision, sequence: message.seq };
  };

  /** Makes sure that a revision is in the stream, and before it the kept revisions that should be there. */
  const store = async (alert: AlertData, look: boolean): Promise<{ sequence: number; duplicate: boolean }> => {
    const { alertId, revision } = alert;
    let position = look ? undefined : positions.get(alertId);
    let looked = false;
    for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
      if (position === undefined && (look || looked || revision > 1 || conflicts > 0)) {
        position = await lookUp(alert);
        looked = true;
        positions.set(alertId, position);
      }
      position ??= { revision: 0, sequence: 0 };
      if (position.revision >= revision) return { sequence: position.sequence, duplicate: true };
      if (position.revision < revision - 1) {
        const earlier = keptByAlert.get(alertId)?.find((other) => other.revision === revision - 1);
        if (earlier !== undefined) {
          await store(earlier, !looked);
          position = positions.get(alertId);
          continue;
        }
        if (!looked) {
          position = undefined;
          looked = true;
          continue;
        }
        if (options.allowGap !== true) {
          await verify();
          throw revisionMissing(alert, position);
        }
      }
      const header = headers();
      header.set('Ringfence-Severity', alert.severity);
      header.set('Nats-Expected-Last-Subject-Sequence', String(position.sequence));
      try {
        const body = JSON.stringify(alertEvent(alert, source));
        const { sequence } = await outbound.publish(alertSubject(alert), body, header);
        positions.set(alertId, { revision, sequence });
        return { sequence, duplicate: false };
      } catch (error) {
        if (!isWrongLastSequence(error)) throw error;
        position = undefined;
      }
    }
    throw new Error(`somebody else keeps publishing on ${alertSubject(alert)}`);
  };

  const runLane = async (alertId: string, jobs: Job[]): Promise<void> => {
    runningLanes++;
    for (let job = jobs[0]; job !== undefined; job = jobs[0]) {
      try {
        const { sequence, duplicate } = await store(job.alert, job.again);
        note(job.alert, sequence);
        if (!job.again) onPublished(job.alert, sequence, duplicate);
      } catch (error) {
        ledger.fail(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      jobs.shift();
      ledger.done(job.ticket, 0);
    }
    lanes.delete(alertId);
    runningLanes--;
    runWaiting();
  };

  /** Index of the first lane that still waits: shifting a long array for each alert would cost more than the alert. */
  let nextLane = 0;
  const runWaiting = (): void => {
    while (runningLanes < inFlightMax && nextLane < waitingLanes.length && !ledger.failed()) {
      const alertId = waitingLanes[nextLane++] as string;
      const jobs = lanes.get(alertId);
      if (jobs !== undefined) void runLane(alertId, jobs);
    }
    if (nextLane * 2 >= waitingLanes.length) {
      waitingLanes = waitingLanes.slice(nextLane);
      nextLane = 0;
    }
  };

  const enqueue = (job: Job): void => {
    const { alertId } = job.alert;
    const lane = lanes.get(alertId);
    if (lane !== undefined) {
      lane.push(job);
      return;
    }
    lanes.set(alertId, [job]);
    waitingLanes.push(alertId);
    runWaiting();
  };

  /** Counts how often the connection broke or came back: what was acknowledged before is in doubt until it has been looked for. */
  let turns = 0;
  outbound.onDisconnect(() => turns++);
  const heard = (): Promise<unknown> => outbound.insist(() => jsm.streams.info(ALERTS_STREAM));
  /** @throws RingfenceError `streams.lost-messages` where what is not kept any more is gone */
  const verify = async (): Promise<void> => {
    for (const mark of base.values()) if ((await lookAt(outbound, jsm, mark)) !== 'there') giveUp(mark);
  };
  const giveUp = (mark: StreamMark): void => {
    const error = lostMeanwhile(mark);
    if (options.allowGap !== true) throw error;
    onTrouble(error.message);
    for (const marks of [base, newest]) if (marks.get(mark.stream) === mark) marks.delete(mark.stream);
  };
  /** Of each stream the later one: after a restart, what is published again may lie before what a checkpoint knew. */
  const latest = (): Map<string, StreamMark> => {
    const marks = new Map(base);
    for (const mark of newest.values())
      if (mark.sequence > (marks.get(mark.stream)?.sequence ?? 0)) marks.set(mark.stream, mark);
    return marks;
  };
  /** Until it has been looked, nothing counts as drained. */
  const verifyFirst = (): void => {
    if (base.size === 0) return;
    const ticket = ledger.take(0);
    verify().then(
      () => ledger.done(ticket, 0),
      (error: Error) => ledger.fail(error),
    );
  };
  // The broker may have been away since the checkpoint was chosen.
  verifyFirst();
  outbound.onReconnect(() => {
    turns++;
    positions.clear();
    newest = new Map();
    verifyFirst();
    // The broker may have come back with less than it had acknowledged.
    for (const [alertId, alerts] of keptByAlert) {
      const newest = alerts.at(-1);
      // A lane at work finds out by itself.
      if (newest !== undefined && !lanes.has(alertId)) {
        enqueue({ alert: newest, ticket: ledger.take(0), again: true });
      }
    }
  });

  return {
    publish(alert) {
      const ticket = ledger.take(0);
      kept.push({ ticket, alert });
      const alerts = keptByAlert.get(alert.alertId);
      if (alerts === undefined) keptByAlert.set(alert.alertId, [alert]);
      else alerts.push(alert);
      if (kept.length >= ALERTS_KEPT_MAX) {
        forget(KEPT_STEP);
        base = latest();
      }
      enqueue({ alert, ticket, again: false });
    },
    room: ledger.room,
    async drained() {
      for (;;) {
        const turn = turns;
        await ledger.drained();
        // What the broker says of them is the word of it that a checkpoint waits for.
        const marks: StreamMark[] = [];
        for (const mark of latest().values()) {
          const state = await lookAt(outbound, jsm, mark);
          // A cluster may lose something without a connection that breaks.
          if (state === 'lost' && turn === turns) giveUp(mark);
          else marks.push(mark);
        }
        if (turn === turns) return marks;
      }
    },
    inFlight: ledger.inFlight,
    cut() {
      const upTo = kept.at(-1)?.ticket ?? 0;
      const turn = turns;
      return (marks) => {
        if (kept.length === 0) return;
        heard().then(
          () => {
            // Else they are looked for, and go with the next checkpoint; one after this may have been quicker.
            if (turn !== turns || upTo < letGoUpTo) return;
            letGoUpTo = upTo;
            const after = kept.findIndex(({ ticket }) => ticket > upTo);
            forget(after < 0 ? kept.length : after);
            base = byStream(marks);
          },
          // Closed, or not permitted: everything else fails for the same reason, and says so.
          () => {},
        );
      };
    },
    kept: () => kept.length,
    async close() {
      ledger.fail(new ClosedError('the alert publisher was closed'));
      outbound.close();
      kept = [];
      keptByAlert.clear();
    },
  };
}

/** Two codes: newer servers have a second one for when they do not tell which sequence is the last. */
function isWrongLastSequence(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
      error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

function revisionMissing(alert: AlertData, position: Position): RingfenceError {
  const found = position.revision === 0 ? 'no revision at all' : `revision ${position.revision} as the last one`;
  return new RingfenceError({
    code: 'alerts.revision-missing',
    message: `Revision ${alert.revision} of alert ${alert.alertId} cannot be published: the stream ${streamOf(alert)} holds ${found} on ${alertSubject(alert)}.`,
    hint: 'Find out who removed alerts from the stream; to go on without them, allow the gap in the configuration.',
  });
}
