/**
 * Changes of rules over HTTP, without code: a draft from changed values with its problems, tests and difference, a back-test of
 * it, the proposal, the decision of a second person, and the history. Who proposed cannot approve (`change-log.ts`); where nobody
 * has to sign in, the names that the requests give are held against each other, and the history says so.
 */
import type { FastifyRequest } from 'fastify';
import { maySeeDesk } from '../access/table.ts';
import type { CaseProjection } from '../cases/case-projection.ts';
import { readVerdicts } from '../cases/feedback.ts';
import type { BackTestFigures, ChangeEvent } from '../rule-changes/change-event.ts';
import type { Proposal } from '../rule-changes/change-log.ts';
import type { Layer } from '../rule-changes/layers.ts';
import type { MeasuredValue } from '../rule-changes/parameter-use.ts';
import type { RuleDesk, RulesInForce } from '../rule-changes/rule-desk.ts';
import { asVersion, atFields, differenceOf, editRule, type FieldProblem, formOf } from '../rule-changes/rule-edit.ts';
import { type BackTestView, type TestBench, TestBenchBusy } from '../rule-changes/test-bench.ts';
import type { RuleProblem } from '../rules/form.ts';
import { parseRule, type RuleSource } from '../rules/rule.ts';
import { answered, natsAway, ProblemError, RETRY_AFTER_SEC } from './problem.ts';
import { jsonReader } from './request.ts';
import { json, type Routes } from './route.ts';
import {
  BackTestInputSchema,
  BackTestParamsSchema,
  ChangeParamsSchema,
  type DraftInput,
  type DraftView,
  ProposalParamsSchema,
  type ProposalView,
  type RuleChangesView,
  RuleDecisionSchema,
  RuleDraftInputSchema,
  RuleProposalInputSchema,
} from './rule-change-schemas.ts';
import { authorOf, entityTagOf } from './rules.ts';
import { RuleParamsSchema } from './schemas.ts';

const DAY_MS = 86_400_000;

export interface RuleChangesAccess {
  desk: RuleDesk;
  bench: TestBench;
  /** The rule in force. */
  source(ruleId: string): RuleSource | undefined;
  /** What a rule measures, with units; empty where it does not run. */
  values(ruleId: string): MeasuredValue[];
  /** The set in force. */
  files(): { file: string; text: string }[];
  /** Where an approved change and the file of the folder meet. */
  layer(ruleId: string): Layer | undefined;
  inForce: RulesInForce;
  /** Problems of the set with this text in the place of the rule. */
  problemsOf(ruleId: string, text: string): RuleProblem[];
  /** Puts what was approved of a rule into the stream, and waits until the engine has it or its time is up. */
  putInForce(ruleId: string): Promise<void>;
}

interface Draft {
  source: RuleSource;
  text: string | undefined;
  version: number;
  errors: FieldProblem[];
}

/** Rules of other desks do not exist for a caller, not as those that a change has an effect on either. */
const ownOnly = <T extends BackTestFigures>({ principal }: FastifyRequest, figures: T): T => ({
  ...figures,
  ...(figures.others && {
    others: figures.others.filter(({ ruleId }) => maySeeDesk(principal, ruleId.split('.', 1)[0]!)),
  }),
});

export function addRuleChangeRoutes(
  routes: Routes,
  options: { changes: RuleChangesAccess; cases: CaseProjection; natsConnected(): boolean },
): void {
  const { changes, cases, natsConnected } = options;
  const { desk, bench, inForce } = changes;

  /** That a rule is on another desk is nobody else's business. */
  const ruleOr404 = (request: FastifyRequest, ruleId: string): RuleSource => {
    const source = changes.source(ruleId);
    if (source === undefined || !maySeeDesk(request.principal, source.rule.desk))
      throw new ProblemError(404, 'There is no rule of this id.');
    return source;
  };
  const settled = <T>(work: Promise<T>): Promise<T> => {
    if (!natsConnected()) throw natsAway();
    return answered(work, 'look at the rule again.');
  };
  const tagOf = ({ rule, text }: RuleSource): string => entityTagOf({ version: rule.version, text });

  /** The text that a request asks for, with everything that is wrong with it. */
  const draftOf = async (request: FastifyRequest, ruleId: string, input: DraftInput): Promise<Draft> => {
    const source = ruleOr404(request, ruleId);
    const { text, edits, restores } = input;
    if ([text, edits, restores].filter((one) => one !== undefined).length !== 1)
      throw new ProblemError(400, 'Give one of text, edits and restores.');
    let made: string;
    let bandOrder: readonly number[] | undefined;
    if (edits !== undefined) {
      const edited = editRule(source.text, source.rule, edits);
      if ('problems' in edited) return { source, text: undefined, version: 0, errors: edited.problems };
      made = edited.text;
      bandOrder = edited.bandOrder;
    } else if (restores !== undefined) {
      const stored = await textAt(request, ruleId, restores);
      made = asVersion(stored.text, source.rule.version + 1);
    } else made = text!;
    const problems = changes.problemsOf(ruleId, made);
    const parsed = parseRule('rule.yaml', made);
    const version = 'source' in parsed ? parsed.source.rule.version : 0;
    const errors = atFields(made, problems, bandOrder);
    if (errors.length === 0 && made !== source.text && version <= source.rule.version) {
      const message = `version ${source.rule.version} is in force; a changed rule needs a higher one`;
      const place = 'source' in parsed ? parsed.source.positionOf(['version']) : { line: 1, column: 1 };
      errors.push({ field: '', code: 'rule', message, ...place });
    }
    return { source, text: made, version, errors };
  };
  const validDraft = async (request: FastifyRequest, ruleId: string, input: DraftInput) => {
    const draft = await draftOf(request, ruleId, input);
    const { text, errors } = draft;
    if (text === undefined || errors.length > 0)
      throw new ProblemError(422, 'The draft is not valid.', { members: { errors } });
    return { ...draft, text };
  };
  const runTests = async (text: string) => {
    try {
      return await bench.runTests(text);
    } catch (error) {
      if (!(error instanceof TestBenchBusy)) throw error;
      throw new ProblemError(503, `Not now: ${error.message}.`, { headers: { 'Retry-After': RETRY_AFTER_SEC } });
    }
  };
  /** What an event of the history brings. */
  const textAt = async (request: FastifyRequest, ruleId: string, sequence: number) => {
    const found = await settled(desk.event(sequence));
    if (found?.ruleId !== ruleId) throw new ProblemError(404, 'The history of this rule has no such entry.');
    const proposalOf = (event: ChangeEvent) => {
      if (event.type !== 'approved') return event;
      const entry = desk
        .history(ruleId)
        .entries.find(({ proposalId, type }) => type === 'proposed' && proposalId === event.proposalId);
      return entry === undefined ? undefined : desk.event(entry.sequence).then((one) => one?.event);
    };
    const event = await settled(Promise.resolve(proposalOf(found.event)));
    if (event === undefined || !('rule' in event)) throw new ProblemError(404, 'This entry brings no text.');
    return {
      ...event.rule,
      base: event.base?.text,
      tests: event.type === 'proposed' ? event.tests : [],
      backTest: (event.type === 'proposed' && event.backTest && ownOnly(request, event.backTest)) || null,
    };
  };

  const headOf = (ruleId: string, { id, sequence, at, event }: Proposal) => ({
    id,
    ruleId,
    sequence,
    at,
    by: event.by,
    reason: event.reason,
    version: event.rule.version,
    baseVersion: event.base.version,
    isStale: changes.source(ruleId)?.text !== event.base.text,
    failedTests: event.tests.filter(({ ok }) => !ok).length,
  });
  const proposalView = (request: FastifyRequest, ruleId: string, proposal: Proposal): ProposalView => {
    const { rule, base, tests, backTest, backfillMs } = proposal.event;
    return {
      ...headOf(ruleId, proposal),
      text: rule.text,
      diff: differenceOf(base.text, rule.text),
      tests,
      backTest: backTest === undefined ? null : ownOnly(request, backTest),
      backfillDays: backfillMs === undefined ? null : backfillMs / DAY_MS,
    };
  };
  const changesView = (request: FastifyRequest, source: RuleSource): RuleChangesView => {
    const { id: ruleId, version } = source.rule;
    const { open, approved, entries } = desk.history(ruleId);
    const layer = changes.layer(ruleId);
    const isLayered = approved !== undefined && layer !== undefined;
    return {
      ruleId,
      version,
      baseTag: tagOf(source),
      form: formOf(source.rule, changes.values(ruleId)),
      proposal: open === undefined ? null : proposalView(request, ruleId, open),
      layer:
        isLayered && (layer.state === 'layered' || layer.state === 'held-back')
          ? {
              state: layer.state,
              file: layer.file,
              fileVersion: layer.fileVersion,
              isInForce: source.text === approved.rule.text,
            }
          : null,
      history: entries.toReversed(),
    };
  };

  routes.add(
    {
      method: 'GET',
      url: '/v1/rule-proposals',
      id: 'listRuleProposals',
      summary: 'Changes of rules that wait for a second person, oldest first.',
      answers: { 200: { description: 'All of them on the own desks.', content: json('RuleProposalList') } },
      problems: [],
    },
    async (request) => ({
      proposals: desk
        .open()
        .filter(({ ruleId }) => maySeeDesk(request.principal, ruleId.split('.', 1)[0]!))
        .map(({ ruleId, proposal }) => headOf(ruleId, proposal)),
    }),
  );

  routes.add<unknown, { id: string }>(
    {
      method: 'GET',
      url: '/v1/rules/:id/changes',
      id: 'getRuleChanges',
      summary: 'A rule as a form, the change of it that waits, and its history.',
      params: RuleParamsSchema,
      answers: { 200: { description: 'The form, the open proposal, the history.', content: json('RuleChanges') } },
      problems: [400, 404],
    },
    async (request) => changesView(request, ruleOr404(request, request.params.id)),
  );

  routes.add<unknown, { id: string; sequence: number }>(
    {
      method: 'GET',
      url: '/v1/rules/:id/changes/:sequence',
      id: 'getRuleChange',
      summary: 'One text of the history, with what it changed.',
      params: ChangeParamsSchema,
      answers: { 200: { description: 'The text.', content: json('RuleChange') } },
      problems: [400, 404, 503],
    },
    async (request) => {
      const { id: ruleId, sequence } = request.params;
      const source = ruleOr404(request, ruleId);
      const { version, text, base, tests, backTest } = await textAt(request, ruleId, sequence);
      return {
        sequence,
        version,
        text,
        diff: base === undefined ? [] : differenceOf(base, text),
        fromNow: differenceOf(source.text, text),
        tests,
        backTest,
      };
    },
  );

  const readDraft = jsonReader(RuleDraftInputSchema);
  routes.add<unknown, { id: string }>(
    {
      method: 'POST',
      url: '/v1/rules/:id/draft',
      id: 'draftRule',
      summary: 'What a change would be: its text, problems, difference, and its tests. Changes nothing.',
      params: RuleParamsSchema,
      body: { description: 'The change.', content: json('RuleDraftInput') },
      answers: { 200: { description: 'The draft, right or wrong.', content: json('RuleDraft') } },
      problems: [400, 404, 413, 415, 503],
    },
    async (request): Promise<DraftView> => {
      const input = readDraft(request);
      const { source, text, version, errors } = await draftOf(request, request.params.id, input);
      const ok = errors.length === 0 && text !== undefined;
      return {
        ok,
        errors,
        text: text ?? null,
        version,
        baseTag: tagOf(source),
        diff: text === undefined ? [] : differenceOf(source.text, text),
        tests: ok && input.tests === true ? await runTests(text) : null,
      };
    },
  );

  const shown = (request: FastifyRequest, { draft: _draft, result, ...view }: BackTestView) => ({
    ...view,
    result: result === undefined ? null : ownOnly(request, result),
  });
  const readBackTest = jsonReader(BackTestInputSchema);
  routes.add<unknown, { id: string }>(
    {
      method: 'POST',
      url: '/v1/rules/:id/back-tests',
      id: 'startBackTest',
      summary: 'Begin a back-test: the rule in force and the draft side by side over the retained records.',
      params: RuleParamsSchema,
      body: { description: 'The draft, and how many days count.', content: json('BackTestInput') },
      answers: { 202: { description: 'It runs; ask for it until it is done.', content: json('BackTest') } },
      problems: [400, 404, 409, 413, 415, 422, 503],
    },
    async (request, reply) => {
      const { days, ...input } = readBackTest(request);
      const ruleId = request.params.id;
      const { source, text } = await validDraft(request, ruleId, input);
      if (!natsConnected()) throw natsAway();
      const verdicts = readVerdicts(cases.tables, source.rule.desk);
      const view = bench.start({ files: changes.files(), ruleId, draft: text, days, verdicts });
      if (view === undefined)
        throw new ProblemError(409, 'Another back-test is running; wait for its end or cancel it.', {
          members: { code: 'busy' },
        });
      return reply.code(202).send(shown(request, view));
    },
  );

  const backTestOr404 = (request: FastifyRequest, ruleId: string, testId: string): BackTestView => {
    ruleOr404(request, ruleId);
    const view = bench.view(testId);
    if (view?.ruleId !== ruleId) throw new ProblemError(404, 'There is no such back-test of this rule any more.');
    return view;
  };
  routes.add<unknown, { id: string; testId: string }>(
    {
      method: 'GET',
      url: '/v1/rules/:id/back-tests/:testId',
      id: 'getBackTest',
      summary: 'How far a back-test is, and what came out.',
      params: BackTestParamsSchema,
      answers: { 200: { description: 'Progress, and the result when it is done.', content: json('BackTest') } },
      problems: [400, 404],
    },
    async (request) => shown(request, backTestOr404(request, request.params.id, request.params.testId)),
  );
  routes.add<unknown, { id: string; testId: string }>(
    {
      method: 'DELETE',
      url: '/v1/rules/:id/back-tests/:testId',
      id: 'cancelBackTest',
      summary: 'End a back-test that runs.',
      params: BackTestParamsSchema,
      answers: { 200: { description: 'As it is now.', content: json('BackTest') } },
      problems: [400, 404],
    },
    async (request) => {
      const view = backTestOr404(request, request.params.id, request.params.testId);
      bench.cancel(view.id);
      return shown(request, view);
    },
  );

  /** Names are all there is where nobody has to sign in. */
  const personOf = (request: FastifyRequest, named: string | undefined) => {
    const author = authorOf(request, named?.trim());
    if (author.id === '') throw new ProblemError(400, 'by: say who you are; nobody has to sign in here.');
    return author;
  };
  const refuseOpen = (ruleId: string, open: Proposal): ProblemError =>
    new ProblemError(409, 'Another change of this rule waits for its decision; nothing was stored.', {
      members: { code: 'conflict', proposal: headOf(ruleId, open) },
    });
  const stale = (): ProblemError =>
    new ProblemError(409, 'The rule has changed since the draft was made; nothing was changed.', {
      members: { code: 'stale' },
    });

  const readProposal = jsonReader(RuleProposalInputSchema);
  routes.add<unknown, { id: string }>(
    {
      method: 'POST',
      url: '/v1/rules/:id/proposals',
      id: 'proposeRule',
      summary: 'Propose a change; another person decides.',
      description: 'Its tests are run. One change of a rule waits at a time.',
      params: RuleParamsSchema,
      body: { description: 'The draft and why.', content: json('RuleProposalInput') },
      answers: { 201: { description: 'It waits.', content: json('RuleChanges') } },
      problems: [400, 404, 409, 413, 415, 422, 503],
    },
    async (request, reply) => {
      const {
        baseTag,
        reason,
        backTestId,
        backfillDays,
        acceptFailedTests,
        by: named,
        ...input
      } = readProposal(request);
      const ruleId = request.params.id;
      const { source, text, version } = await validDraft(request, ruleId, input);
      const by = personOf(request, named);
      if (baseTag !== tagOf(source)) throw stale();
      if (text === source.text)
        throw new ProblemError(422, 'The draft changes nothing.', { members: { code: 'same' } });
      const { open } = desk.history(ruleId);
      if (open !== undefined) throw refuseOpen(ruleId, open);
      const tests = await runTests(text);
      if (tests.some(({ ok }) => !ok) && acceptFailedTests !== true)
        throw new ProblemError(422, 'Tests of the rule fail with this change.', { members: { code: 'tests', tests } });
      const backTest = backTestId === undefined ? undefined : bench.view(backTestId);
      if (backTestId !== undefined && (backTest?.result === undefined || backTest.draft !== text))
        throw new ProblemError(422, 'The back-test is of another draft, or has no result.', {
          members: { code: 'backTest' },
        });
      const figures = backTest?.result;
      const { addedExamples: _added, goneExamples: _gone, ...summary } = figures ?? {};
      const result = await settled(
        desk.propose(
          ruleId,
          {
            by,
            rule: { version, text },
            base: { version: source.rule.version, text: source.text },
            reason: reason.trim(),
            tests,
            ...(figures !== undefined && { backTest: summary as typeof figures }),
            ...(backfillDays !== undefined && { backfillMs: backfillDays * DAY_MS }),
            ...(input.restores !== undefined && { restores: input.restores }),
          },
          inForce,
        ),
      );
      if (result.kind === 'conflict') throw refuseOpen(ruleId, result.open);
      if (result.kind === 'stale') throw stale();
      if (result.kind === 'tooLarge')
        throw new ProblemError(413, 'The rule is larger than a message of this NATS server may be.');
      request.trace.reason = reason;
      request.trace.before = { version: source.rule.version, tag: baseTag };
      request.trace.after = { version, tag: entityTagOf({ version, text }), proposal: result.proposal.id };
      return reply.code(201).send(changesView(request, source));
    },
  );

  const readDecision = jsonReader(RuleDecisionSchema);
  routes.add<unknown, { id: string; proposalId: string }>(
    {
      method: 'POST',
      url: '/v1/rules/:id/proposals/:proposalId/decision',
      id: 'decideRuleProposal',
      summary: 'Approve or reject a change, or withdraw the own one.',
      description:
        'Whoever proposed cannot approve or reject. What is approved is in force when this answers, or, with a back-fill, when its windows are full.',
      params: ProposalParamsSchema,
      body: { description: 'The decision; a rejection says why.', content: json('RuleDecision') },
      answers: { 200: { description: 'The rule as it is now.', content: json('RuleChanges') } },
      problems: [400, 404, 409, 413, 415, 422, 503],
    },
    async (request) => {
      const { decision, reason, by: named } = readDecision(request);
      const { id: ruleId, proposalId } = request.params;
      const source = ruleOr404(request, ruleId);
      const by = personOf(request, named);
      if (decision === 'reject' && reason === undefined) throw new ProblemError(400, 'reason: say why it is rejected.');
      const told = { proposalId, decision, by, reason: reason?.trim() };
      const result = await settled(desk.decide(ruleId, told, inForce));
      switch (result.kind) {
        case 'notOpen':
          throw new ProblemError(409, 'This proposal does not wait any more.', { members: { code: 'notOpen' } });
        case 'ownProposal':
          throw new ProblemError(409, 'Whoever proposed a change cannot decide on it; it takes another person.', {
            members: { code: 'ownProposal' },
          });
        case 'notOwn':
          throw new ProblemError(409, 'Only whoever proposed a change can withdraw it.', {
            members: { code: 'notOwn' },
          });
        case 'stale':
          throw stale();
        case 'invalid':
          throw new ProblemError(422, `The change does not fit the other rules any more: ${result.detail}.`);
      }
      request.trace.after = { decision };
      if (reason !== undefined) request.trace.reason = reason;
      if (decision === 'approve') {
        request.trace.before = { version: source.rule.version, tag: tagOf(source) };
        await settled(changes.putInForce(ruleId));
      }
      return changesView(request, changes.source(ruleId) ?? source);
    },
  );
}
