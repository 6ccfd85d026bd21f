/**
 * What shows that a stream still has what the broker has acknowledged.
 *
 * `nats-server` acknowledges before its disk is flushed, so a machine that loses power may lose the end of a stream, and what is
 * published next takes the sequences of what is gone. A mark names one message that was stored. Only ends are lost: where it
 * is still there, so is everything before it. A checkpoint holds the marks of the sinks beside the position, because it
 * presupposes the alerts and dead letters of everything up to there; where they are gone, so is its worth.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import { ExitCode, RingfenceError } from '../errors.ts';
import type { StreamMark } from '../state/checkpoint.ts';
import type { DurablePublisher } from './outbox.ts';

/** `gone`: that alert was taken out by hand, or the end of the stream is lost and the broker remembers how far it went. */
export type MarkState = 'there' | 'gone' | 'lost';

/** Looks at the message, however long that takes, and notes its time. One that retention has removed counts as there. */
export async function lookAt(
  outbound: Pick<DurablePublisher, 'insist'>,
  jsm: JetStreamManager,
  mark: StreamMark,
): Promise<MarkState> {
  const { stream, sequence, subject, messageId, storedAt } = mark;
  // In this order: what is lost may be taken by another message at any time.
  const { state } = await outbound.insist(() => jsm.streams.info(stream));
  if (sequence > state.last_seq) return 'lost';
  const message = await outbound.insist(() => jsm.streams.getMessage(stream, { seq: sequence }));
  if (message !== null) {
    const same =
      message.subject === subject &&
      (storedAt === '' || message.timestamp === storedAt) &&
      (messageId === undefined || message.header.get('Nats-Msg-Id') === messageId);
    if (same && storedAt === '') mark.storedAt = message.timestamp;
    return same ? 'there' : 'lost';
  }
  if (state.messages === 0 || sequence < state.first_seq) return 'there';
  // Dead letters that were worked on may be taken out.
  if (messageId !== undefined) return 'there';
  const later = await outbound.insist(() => jsm.streams.getMessage(stream, { last_by_subj: subject }));
  return later !== null && later.seq > sequence ? 'there' : 'gone';
}

/** Of a running process: the next start finds an older checkpoint, so that starting again mends it. */
export function lostMeanwhile(mark: StreamMark): RingfenceError {
  return new RingfenceError({
    code: 'streams.lost-messages',
    message: sentenceOf(mark),
    hint: 'Start again: what is gone is made again from the checkpoint before it.',
    exitCode: ExitCode.findings,
  });
}

/** Of a start that finds no checkpoint of before the loss. */
export function lostBefore(mark: StreamMark): RingfenceError {
  return new RingfenceError({
    code: 'streams.lost-messages',
    message: `${sentenceOf(mark)} No checkpoint is older than the loss.`,
    hint: 'Make them again from the whole usage stream with an empty data folder, or go on without them: allow the gap in the configuration.',
  });
}

const sentenceOf = ({ stream, sequence }: StreamMark): string =>
  `Stream ${stream} has lost message ${sequence}, which the broker had acknowledged, and perhaps others before it.`;
