/**
 * What should have come of a stream: the same engine over the same messages from the first to the last, in one go, with nothing
 * around it that could go wrong. It may also begin in the middle, with the state of a checkpoint.
 */
import type { AlertData } from '../../src/alerts/alert.ts';
import type { Backfill, Engine } from '../../src/engine.ts';
import { FUTURE_MS_MAX } from '../../src/pipeline.ts';
import { controlKindOf, isTick } from '../../src/record/control-message.ts';
import { decodeMessage } from '../../src/record/decode.ts';
import { parseRules } from '../../src/rules/load.ts';
import { type PreparedRules, readRulesMessage } from '../../src/rules/message.ts';
import type { StoredMessage } from './broker.ts';

export interface Course {
  /** What was applied, a line each: what happened to each record, ticks and swaps. By message, in order. */
  applied: { sequence: number; line: string }[];
  alerts: { sequence: number; alert: AlertData }[];
  /** Message ids of the dead letters. */
  rejected: { sequence: number; id: string }[];
  /** An announced set that still waits for the message that makes it live. */
  prepared: PreparedRules | undefined;
}

/** How what a pipeline applied is written down, here and where the real one is watched. */
export const appliedLine = (recordId: string, result: string): string => `${recordId} ${result}`;
export const tickLine = (eventTime: number): string => `tick ${eventTime}`;
export const swapLine = (version: string): string => `rules ${version}`;

/** @param from the messages after this one are applied; `prepared`: what waited then */
export function undisturbed(
  engine: Engine,
  messages: readonly StoredMessage[],
  from = 0,
  prepared: PreparedRules | undefined = undefined,
): Course {
  const course: Course = { applied: [], alerts: [], rejected: [], prepared: undefined };
  const alerts: AlertData[] = [];
  let waiting: { set: PreparedRules; backfill: Backfill } | undefined;

  /** Reads the old records and those since, up to the message that makes the set live. */
  const fill = (backfill: Backfill, set: PreparedRules, until: number): void => {
    const first = messages.find(({ timeMs }) => timeMs >= set.from)?.sequence ?? until;
    let begun = first <= 1;
    for (const { sequence, subject, timeMs, data } of messages) {
      if (sequence < first || sequence >= until) continue;
      const kind = controlKindOf(subject);
      if (kind === 'tick' && isTick(data)) backfill.tick(timeMs);
      else if (kind === undefined) {
        for (const record of decodeMessage(data, { eventTimeMax: timeMs + FUTURE_MS_MAX }).records) {
          if (!begun) {
            backfill.span.since = record.eventTime;
            begun = true;
          }
          backfill.apply(record);
        }
      }
    }
  };
  const announce = (set: PreparedRules): boolean => {
    const { sources, lists, problems } = parseRules(set.files);
    const begun = problems.length > 0 ? { problems } : engine.beginBackfill(sources, set.version, set.from, lists);
    if ('problems' in begun) return false;
    waiting = { set, backfill: begun.backfill };
    return true;
  };
  if (prepared !== undefined) announce(prepared);

  for (const { sequence, subject, timeMs, data } of messages) {
    if (sequence <= from) continue;
    const reject = (index: number): void => {
      course.rejected.push({ sequence, id: `${subject}:${sequence}:${index}` });
    };
    if (subject.endsWith('.tick')) {
      course.applied.push({ sequence, line: tickLine(timeMs) });
      engine.tick(timeMs, alerts);
    } else if (subject.endsWith('.prepare')) {
      const set = readRulesMessage(data);
      const announced =
        set !== undefined &&
        announce({
          sequence,
          version: set.version,
          files: set.files,
          applied: set.applied ?? false,
          from: timeMs - (set.backfillMs ?? 0),
        });
      if (!announced) reject(0);
    } else if (subject.endsWith('.rules')) {
      const set = readRulesMessage(data);
      if (set === undefined) reject(0);
      else if (
        set.prepared === undefined ? set.version !== engine.ruleSet().version : set.prepared === waiting?.set.sequence
      ) {
        const { sources, lists } = parseRules(set.files);
        const filled = set.prepared === undefined ? undefined : waiting!.backfill;
        if (filled !== undefined) fill(filled, waiting!.set, sequence);
        waiting = undefined;
        course.applied.push({ sequence, line: swapLine(set.version) });
        if (engine.useRules(sources, set.version, alerts, lists, filled).length > 0) reject(0);
        while (engine.takeOver());
      }
    } else {
      const { records, rejections } = decodeMessage(data, { eventTimeMax: timeMs + FUTURE_MS_MAX });
      for (const record of records) {
        course.applied.push({ sequence, line: appliedLine(record.recordId, engine.apply(record, alerts)) });
      }
      for (const { index } of rejections) reject(index);
    }
    for (const alert of alerts.splice(0)) course.alerts.push({ sequence, alert });
  }
  course.prepared = waiting?.set;
  return course;
}
