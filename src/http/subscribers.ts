/** `GET /v1/subscribers/{msisdn}`: what the engine knows of a subscriber now. */
import { ProblemError } from './problem.ts';
import { json, type Routes } from './route.ts';
import { SubscriberParamsSchema, type SubscriberView } from './schemas.ts';

export function addSubscriberRoutes(
  routes: Routes,
  options: { inspectSubscriber(msisdn: string): SubscriberView | undefined },
): void {
  routes.add<unknown, { msisdn: string }>(
    {
      method: 'GET',
      url: '/v1/subscribers/:msisdn',
      id: 'getSubscriber',
      summary: 'What the engine knows of a subscriber now.',
      params: SubscriberParamsSchema,
      answers: { 200: { description: 'Windows, ledger, scores and open alerts.', content: json('Subscriber') } },
      problems: [400, 404],
    },
    async (request) => {
      const view = options.inspectSubscriber(request.params.msisdn);
      if (view === undefined) throw new ProblemError(404, 'No record of this subscriber is in the state.');
      return view;
    },
  );
}
