/**
 * `GET /v1/subscribers/{msisdn}`: what the engine knows of a subscriber now. A subscriber belongs to all desks; what is one
 * desk's own is left out for the others: features of its rules, its score, its open alerts, the account of the arrears desk.
 */
import type { NumberRefs } from '../access/numbers.ts';
import { maySeeDesk, type Principal } from '../access/table.ts';
import { DESKS } from '../alerts/alert.ts';
import { numberOf, type Reveal } from './access.ts';
import { ProblemError } from './problem.ts';
import { jsonReader } from './request.ts';
import { json, type Routes } from './route.ts';
import { RevealSchema, SubscriberParamsSchema, type SubscriberView } from './schemas.ts';

/** Desks that see what an account owes: the one that collects it, and the one that makes offers to it. */
const LEDGER_DESKS = ['arrears', 'retention'] as const;

/** Scores of a model and the desk that works with it; the others are called by their desk. */
const SCORE_DESKS: Readonly<Record<string, string>> = {
  churnProbability: 'retention',
  badDebtProbability: 'arrears',
};

export function addSubscriberRoutes(
  routes: Routes,
  options: { inspectSubscriber(msisdn: string): SubscriberView | undefined; reveal: Reveal; refs: NumberRefs },
): void {
  const { inspectSubscriber, reveal, refs } = options;
  const known = (msisdn: string): SubscriberView => {
    const view = inspectSubscriber(msisdn);
    if (view === undefined) throw new ProblemError(404, 'No record of this subscriber is in the state.');
    return view;
  };

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
      const msisdn = numberOf(request, request.params.msisdn, refs);
      return ownParts(known(msisdn), request.principal);
    },
  );

  const readReveal = jsonReader(RevealSchema);
  routes.add<unknown, { msisdn: string }>(
    {
      method: 'POST',
      url: '/v1/subscribers/:msisdn/reveal',
      id: 'revealSubscriber',
      summary: 'The whole number of a subscriber; who asks and why is written down.',
      params: SubscriberParamsSchema,
      body: { description: 'The reason.', content: json('Reveal') },
      answers: { 200: { description: 'The number.', content: json('RevealedSubscriber') } },
      problems: [400, 404, 413, 415],
    },
    async (request) => {
      const { reason } = readReveal(request);
      const { servedMsisdn } = known(numberOf(request, request.params.msisdn, refs));
      return reveal(request, { servedMsisdn }, reason);
    },
  );
}

/** What of a subscriber is on the desks of the caller. */
function ownParts(view: SubscriberView, principal: Principal): SubscriberView {
  if (principal.desks.length === DESKS.length) return view;
  const isOwn = (desk: string): boolean => maySeeDesk(principal, desk);
  const features = view.features.flatMap((feature) => {
    // A rule's id begins with its desk.
    const ruleIds = feature.ruleIds.filter((id) => isOwn(id.split('.', 1)[0]!));
    return ruleIds.length === 0 ? [] : [{ ...feature, ruleIds }];
  });
  return {
    ...view,
    features,
    ledger: LEDGER_DESKS.some(isOwn) ? view.ledger : null,
    scores: view.scores.filter(({ name }) => isOwn(SCORE_DESKS[name] ?? name)),
    openAlerts: view.openAlerts.filter(({ desk }) => isOwn(desk)),
  };
}
