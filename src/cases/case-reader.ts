/**
 * Follows ALERTS and CASES side by side for the projection of the cases. The two meet in any order; the projection does not
 * mind (`case-index.ts`). A message that is no alert or no case event is passed over and counted.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { AlertData } from '../alerts/alert.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { SourceMessage } from '../source/delivery.ts';
import { type Follower, followStream, streamExtent } from '../source/follower.ts';
import { ALERTS_STREAM, CASES_STREAM } from '../source/streams.ts';
import { isPlaceable } from './case-alert.ts';
import { caseOfSubject, readCaseEvent } from './case-event.ts';
import type { CaseAlert, CaseIndex, CaseMessage, StreamName } from './case-index.ts';
import { deskOfSettings, readSettingsEvent, type SettingsMessage } from './desk-settings.ts';

const PULL_MESSAGES = 1_024;
const PULL_BYTES = 2 * 1024 * 1024;
/** Messages that are applied before the loop gets a turn: some 3 ms, at up to 0.2 ms an alert. */
const PORTION_MAX = 16;
/**
 * An alert after silence is in its case at once; of a stream of them those of a tenth of a second are written together. One by one
 * each transaction cost 0.5 ms, which at 120 alerts a second took 6 % of the time from the pipeline.
 */
const ALERTS_EVERY_MS = 100;
/** How often ALERTS is asked what it still keeps. */
const RETENTION_CHECK_MS = 60_000;

export interface CaseReader {
  reading(): boolean;
  /** Resolves when both streams have been read to what was their end at the start. */
  caughtUp(): Promise<void>;
  /** Resolves when that sequence of CASES is in the projection; false where it is not within the time. */
  reached(caseSequence: number, limitMs: number): Promise<boolean>;
  ended: Promise<void>;
  close(): Promise<void>;
}

export function createCaseReader(options: {
  nc: NatsConnection;
  jsm: JetStreamManager;
  index: CaseIndex;
  metrics: Metrics;
  log: Log;
  /** The alert in a message of ALERTS; undefined where it is none. */
  alertOf(message: SourceMessage): { alert: AlertData; json: string } | undefined;
  /** Cases look different now. */
  onChange(caseIds: ReadonlySet<string>): void;
  /** Everything is read anew: whatever was known of cases may be wrong. */
  onReset(): void;
}): CaseReader {
  const { nc, jsm, index, metrics, log } = options;
  /** Counts up when everything is emptied: what was received before belongs to nothing any more. */
  let epoch = 0;
  let waiting: { sequence: number; resolve(reached: boolean): void }[] = [];

  const settleWaiting = (): void => {
    const { sequence } = index.position('CASES');
    const still: typeof waiting = [];
    for (const one of waiting) {
      if (one.sequence <= sequence) one.resolve(true);
      else still.push(one);
    }
    waiting = still;
  };

  const inPortions = async (
    messages: SourceMessage[],
    apply: (portion: SourceMessage[]) => Set<string>,
  ): Promise<void> => {
    const begun = epoch;
    for (let from = 0; from < messages.length && epoch === begun; from += PORTION_MAX) {
      const changed = apply(messages.slice(from, from + PORTION_MAX));
      if (changed.size > 0) options.onChange(changed);
      await nextTurn();
    }
  };
  const unreadable = (stream: StreamName, { subject, sequence }: SourceMessage): void => {
    metrics.caseFeedUnreadableTotal.inc({ stream });
    log.warn({ stream, subject, sequence }, 'message is no alert or case event and is passed over');
  };

  const applyAlerts = (portion: SourceMessage[]): Set<string> => {
    const alerts = portion.flatMap((message): CaseAlert[] => {
      const found = options.alertOf(message);
      if (found !== undefined && isPlaceable(found.alert))
        return [{ sequence: message.sequence, at: message.timeMs, ...found }];
      unreadable('ALERTS', message);
      return [];
    });
    return index.applyAlerts(alerts, portion.at(-1)!.sequence);
  };
  const applyEvents = (portion: SourceMessage[]): Set<string> => {
    const changes: SettingsMessage[] = [];
    const events = portion.flatMap((message): CaseMessage[] => {
      const desk = deskOfSettings(message.subject);
      const change = desk && readSettingsEvent(message.data);
      if (desk !== undefined && change !== undefined) {
        changes.push({ sequence: message.sequence, at: message.timeMs, desk, event: change });
        return [];
      }
      const place = caseOfSubject(message.subject);
      const event = readCaseEvent(message.data);
      if (place !== undefined && event !== undefined)
        return [{ sequence: message.sequence, at: message.timeMs, ...place, event }];
      unreadable('CASES', message);
      return [];
    });
    const changed = index.applyEvents(events, portion.at(-1)!.sequence, changes);
    settleWaiting();
    // Where cases are has changed for all of a desk: lists are read again.
    if (changes.some(({ event }) => event.type === 'routing')) options.onReset();
    return changed;
  };

  const followers: Partial<Record<StreamName, Follower>> = {};
  const follow = (
    stream: StreamName,
    other: StreamName,
    name: string,
    onMessages: (messages: SourceMessage[]) => Promise<void>,
  ): Follower =>
    followStream({
      nc,
      jsm,
      stream: name,
      log,
      pullMessages: PULL_MESSAGES,
      pullBytes: PULL_BYTES,
      position: () => index.position(stream),
      onReplaced({ created }) {
        if (!index.useStream(stream, created)) return;
        log.warn({ stream }, 'stream is another one, cases are made anew');
        epoch++;
        followers[other]?.restart();
        options.onReset();
      },
      onMessages,
    });
  const alerts = follow('ALERTS', 'CASES', ALERTS_STREAM, async (messages) => {
    const begun = performance.now();
    await inPortions(messages, applyAlerts);
    const restMs = ALERTS_EVERY_MS - (performance.now() - begun);
    if (restMs > 0) await sleep(restMs, undefined, { ref: false });
  });
  const cases = follow('CASES', 'ALERTS', CASES_STREAM, (messages) => inPortions(messages, applyEvents));
  followers.ALERTS = alerts;
  followers.CASES = cases;

  let closed = false;
  const retention = setInterval(() => {
    if (!alerts.reading()) return;
    streamExtent(jsm, ALERTS_STREAM).then(
      (now) => {
        if (closed || now.created !== index.position('ALERTS').created) return;
        const changed = index.forgetBefore(now.first);
        if (changed.size > 0) options.onChange(changed);
      },
      () => {
        // No answer: the question is asked again in a minute.
      },
    );
  }, RETENTION_CHECK_MS);
  retention.unref();

  return {
    reading: () => alerts.reading() && cases.reading(),
    caughtUp: async () => void (await Promise.all([alerts.caughtUp(), cases.caughtUp()])),
    reached(sequence, limitMs) {
      if (index.position('CASES').sequence >= sequence) return Promise.resolve(true);
      return new Promise((resolve) => {
        const one = {
          sequence,
          resolve(reached: boolean) {
            clearTimeout(timer);
            resolve(reached);
          },
        };
        const timer = setTimeout(() => {
          waiting = waiting.filter((other) => other !== one);
          resolve(false);
        }, limitMs);
        waiting.push(one);
      });
    },
    ended: Promise.race([alerts.ended, cases.ended]),
    async close() {
      closed = true;
      clearInterval(retention);
      for (const one of waiting) one.resolve(false);
      waiting = [];
      await Promise.all([alerts.close(), cases.close()]);
    },
  };
}
