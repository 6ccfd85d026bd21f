/**
 * `POST /v1/usage`: the HTTP way in for records. The route counts the bodies that are in the house and asks for the
 * media type; `usage-intake.ts` does the rest.
 */
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../metrics.ts';
import { natsAway, ProblemError, RETRY_AFTER_SEC } from './problem.ts';
import { bodyOf, mediaTypeOf } from './request.ts';
import { json, type Routes, ref } from './route.ts';
import type { UsageIntake } from './usage-intake.ts';

/** Bodies with records that are received or published at once: together at most 128 MiB. */
const USAGE_REQUESTS_MAX = 128;
const USAGE_PATH = '/v1/usage';

export const USAGE_MEDIA_TYPES = {
  'application/json': { oneOf: [ref('UsageRecord'), { type: 'array', items: ref('UsageRecord') }] },
  'application/x-ndjson': { type: 'string', description: 'One record a line.' },
  'application/msgpack': { description: 'A map, or an array of maps.' },
};

export function addUsageRoutes(
  app: FastifyInstance,
  routes: Routes,
  options: { intake: UsageIntake; natsConnected(): boolean; metrics: Metrics },
): void {
  const { intake, natsConnected, metrics } = options;
  // Before the body is read: bodies are what takes memory.
  let usageRequests = 0;
  metrics.trackQueue('http_usage_requests', USAGE_REQUESTS_MAX, () => usageRequests);
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.url !== USAGE_PATH) return;
    if (usageRequests >= USAGE_REQUESTS_MAX) {
      throw new ProblemError(503, 'Too many requests bring records at once.', {
        headers: { 'Retry-After': RETRY_AFTER_SEC },
      });
    }
    usageRequests += 1;
    // Comes once, whether the answer was sent or the caller went away.
    reply.raw.once('close', () => {
      usageRequests -= 1;
    });
  });

  routes.add(
    {
      method: 'POST',
      url: USAGE_PATH,
      id: 'postUsage',
      summary: 'Hand in usage records.',
      description:
        'Good records are published to NATS, bad ones go to the dead-letter stream. Records may be sent again after a ' +
        '503: a record id counts once.',
      body: { description: 'One record or many.', content: USAGE_MEDIA_TYPES },
      answers: {
        202: { description: 'At least one record was accepted.', content: json('UsageResult') },
        400: { description: 'No record was good.', content: json('UsageResult') },
      },
      problems: [400, 413, 415, 503],
    },
    async (request, reply) => {
      const contentType = mediaTypeOf(request, Object.keys(USAGE_MEDIA_TYPES));
      const body = bodyOf(request);
      if (!natsConnected()) throw natsAway();
      const result = await intake(body, contentType);
      return reply.code(result.accepted > 0 ? 202 : 400).send(result);
    },
  );
}
