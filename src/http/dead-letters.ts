/**
 * Rejected records over HTTP: list, read, replay. What a letter holds is anybody's bytes, so they leave as base64 and, where
 * they are text, as a JSON string; nothing of them becomes a header or a type.
 */
import type { Metrics } from '../metrics.ts';
import type { Rejection } from '../record/decode.ts';
import { isNoAnswer } from '../source/connection.ts';
import type { DeadLetters, LetterPage, ReplayResult } from '../source/dead-letters.ts';
import { natsAway, ProblemError } from './problem.ts';
import { mediaTypeOf, spanOf } from './request.ts';
import { json, type Routes } from './route.ts';
import {
  DEAD_LETTER_PAGE_DEFAULT,
  DeadLetterParamsSchema,
  type DeadLetterReplayView,
  type DeadLettersQuery,
  DeadLettersQuerySchema,
  type DeadLetterView,
} from './schemas.ts';
import { USAGE_MEDIA_TYPES } from './usage.ts';

export function addDeadLetterRoutes(
  routes: Routes,
  options: { deadLetters: DeadLetters; natsConnected(): boolean; metrics: Metrics },
): void {
  const { deadLetters, natsConnected, metrics } = options;
  /** Each of these is a question to the broker; whatever it does not answer may be asked again. */
  const asked = async <T>(question: Promise<T>): Promise<T> => {
    try {
      return await question;
    } catch (error) {
      if (isNoAnswer(error)) throw natsAway();
      throw error;
    }
  };

  routes.add<DeadLettersQuery>(
    {
      method: 'GET',
      url: '/v1/deadletters',
      id: 'listDeadLetters',
      summary: 'Rejected records, newest first.',
      query: DeadLettersQuerySchema,
      answers: { 200: { description: 'A page.', content: json('DeadLetterPage') } },
      problems: [400, 503],
    },
    async (request) => {
      const { limit = DEAD_LETTER_PAGE_DEFAULT, cursor, reason, subject, from, to } = request.query;
      const filter = { reason, subject, ...spanOf({ from, to }) };
      if (!natsConnected()) throw natsAway();
      const before = cursor === undefined ? undefined : Number(cursor);
      const { letters, next }: LetterPage = await asked(deadLetters.list(filter, { limit, before }));
      return { deadLetters: letters, next: next === null ? null : String(next) };
    },
  );

  routes.add<unknown, { seq: string }>(
    {
      method: 'GET',
      url: '/v1/deadletters/:seq',
      id: 'getDeadLetter',
      summary: 'One rejected record with its headers and original bytes.',
      params: DeadLetterParamsSchema,
      answers: { 200: { description: 'The letter.', content: json('DeadLetter') } },
      problems: [400, 404, 503],
    },
    async (request): Promise<DeadLetterView> => {
      if (!natsConnected()) throw natsAway();
      const letter = await asked(deadLetters.get(Number(request.params.seq)));
      if (letter === undefined) throw noSuchLetter();
      const { body, ...head } = letter;
      return {
        ...head,
        body: { text: textOf(body), base64: Buffer.from(body).toString('base64') },
        errors: shownErrors(deadLetters.check(body)),
      };
    },
  );

  routes.add<unknown, { seq: string }>(
    {
      method: 'POST',
      url: '/v1/deadletters/:seq/replay',
      id: 'replayDeadLetter',
      summary: 'Send a rejected record to the usage stream, as it is or corrected.',
      description:
        'Without a body the original bytes are sent. A letter is sent once: whoever asks again is told when and where it ' +
        'went, and nothing happens. What would be rejected again is refused with its errors.',
      params: DeadLetterParamsSchema,
      body: { description: 'What is to be sent in the place of the original.', content: USAGE_MEDIA_TYPES },
      answers: { 200: { description: 'It is in the usage stream.', content: json('DeadLetterReplay') } },
      problems: [400, 404, 409, 413, 415, 422, 503],
    },
    async (request): Promise<DeadLetterReplayView> => {
      const given = Buffer.isBuffer(request.body) && request.body.length > 0 ? request.body : undefined;
      if (given !== undefined && request.principal.numbers !== 'full') {
        throw new ProblemError(403, 'Only who sees whole numbers may correct a record; it can be sent as it is.');
      }
      const contentType = given && mediaTypeOf(request, Object.keys(USAGE_MEDIA_TYPES));
      if (!natsConnected()) throw natsAway();
      const seq = Number(request.params.seq);
      const { principal } = request;
      const by = principal.kind === 'open' ? undefined : principal.id;
      const result: ReplayResult = await asked(deadLetters.replay(seq, { body: given, contentType, by }));
      switch (result.kind) {
        case 'replayed':
          metrics.deadLetterReplaysTotal.inc({ result: result.duplicate ? 'duplicate' : 'sent' });
          return { duplicate: result.duplicate, ...result.replay };
        case 'missing':
          throw noSuchLetter();
        case 'truncated':
          throw new ProblemError(
            409,
            `${result.truncatedBytes} bytes of this letter were cut off; send a whole body in its place.`,
          );
        case 'empty':
          metrics.deadLetterReplaysTotal.inc({ result: 'refused' });
          throw new ProblemError(422, 'There is no record in the body; nothing was sent.');
        default:
          metrics.deadLetterReplaysTotal.inc({ result: 'refused' });
          throw new ProblemError(422, 'It would be rejected again; nothing was sent.', {
            members: { errors: shownErrors(result.errors) },
          });
      }
    },
  );
}

const noSuchLetter = (): ProblemError => new ProblemError(404, 'There is no rejected record of this sequence.');

const shownErrors = (errors: readonly Rejection[]): DeadLetterView['errors'] =>
  errors.map(({ index, recordId, field, reason, detail }) => ({ index, recordId, field, reason, detail }));

function textOf(body: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return null;
  }
}
