/**
 * Rules over HTTP: read, validate, change. Saves come one after the other, so that the version a caller has seen
 * (`If-Match`) is compared with what its save replaces.
 */
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { maySeeDesk } from '../access/table.ts';
import type { ChangeAuthor } from '../rule-changes/change-event.ts';
import { natsAway, ProblemError } from './problem.ts';
import { mediaTypeOf, textOf } from './request.ts';
import { json, type Routes } from './route.ts';
import { type RuleDetail, type RuleFinding, RuleParamsSchema, type RuleSummary } from './schemas.ts';

const YAML_MEDIA_TYPES = { 'application/yaml': { type: 'string', description: 'A rule file.' } };
const RULE_MEDIA_TYPES = {
  ...YAML_MEDIA_TYPES,
  'application/json': { type: 'object', description: 'The same as JSON.' },
};

export interface RulesAccess {
  list(): RuleSummary[];
  get(id: string): RuleDetail | undefined;
  /** Findings of a rule text that is not saved; empty where it is right. */
  check(text: string): RuleFinding[];
  /** Validates, writes the file, and puts the new set in force. Calls never overlap. */
  save(id: string, text: string, by: ChangeAuthor): Promise<SavedRule>;
}

export type SavedRule =
  | { kind: 'saved'; rule: RuleDetail; created: boolean }
  /** The text is no valid rule, or the set with it is none. */
  | { kind: 'invalid'; errors: RuleFinding[] }
  /** Valid, but it cannot take this place: another id, a version that was used, a file that changed on disk. */
  | { kind: 'conflict'; detail: string };

export function addRuleRoutes(routes: Routes, options: { rules: RulesAccess; natsConnected(): boolean }): void {
  const { rules, natsConnected } = options;

  routes.add(
    {
      method: 'GET',
      url: '/v1/rules',
      id: 'listRules',
      summary: 'The rules in force.',
      answers: { 200: { description: 'All of them, in no particular order.', content: json('RuleList') } },
      problems: [],
    },
    async (request) => ({ rules: rules.list().filter(({ desk }) => maySeeDesk(request.principal, desk)) }),
  );

  routes.add<unknown, { id: string }>(
    {
      method: 'GET',
      url: '/v1/rules/:id',
      id: 'getRule',
      summary: 'One rule with its text.',
      params: RuleParamsSchema,
      answers: { 200: { description: 'The rule.', content: json('RuleDetail'), headers: ['ETag'] } },
      problems: [400, 404],
    },
    async (request, reply) => {
      const rule = rules.get(request.params.id);
      if (rule === undefined || !maySeeDesk(request.principal, rule.desk))
        throw new ProblemError(404, 'There is no rule of this id.');
      return reply.header('ETag', entityTagOf(rule)).send(rule);
    },
  );

  routes.add(
    {
      method: 'POST',
      url: '/v1/rules/check',
      id: 'checkRule',
      summary: 'Validate a rule without saving it.',
      body: { description: 'A rule file.', content: RULE_MEDIA_TYPES },
      answers: {
        200: { description: 'Whether it is right, and every error with its place.', content: json('RuleCheck') },
      },
      problems: [400, 413, 415],
    },
    async (request) => {
      mediaTypeOf(request, Object.keys(RULE_MEDIA_TYPES));
      const errors = rules.check(textOf(request));
      return { ok: errors.length === 0, errors };
    },
  );

  /** Saves wait for each other, so that `If-Match` is compared with what the save replaces. */
  let lastSave: Promise<unknown> = Promise.resolve();
  routes.add<unknown, { id: string }>(
    {
      method: 'PUT',
      url: '/v1/rules/:id',
      id: 'putRule',
      summary: 'Change a rule, or add one.',
      description:
        'For machines that bring rules which people have looked at elsewhere; people propose changes, and others approve them. ' +
        'The new set is in force when this answers. An invalid rule changes nothing.',
      params: RuleParamsSchema,
      headers: {
        'if-match': 'ETag of the rule that is to be replaced; without it whatever is there is replaced.',
        'if-none-match': '`*`: only where there is no such rule yet.',
      },
      body: { description: 'The rule file.', content: YAML_MEDIA_TYPES },
      answers: {
        200: { description: 'Changed.', content: json('RuleDetail'), headers: ['ETag'] },
        201: { description: 'Added.', content: json('RuleDetail'), headers: ['ETag'] },
      },
      problems: [400, 404, 409, 412, 413, 415, 422, 503],
    },
    async (request, reply) => {
      mediaTypeOf(request, Object.keys(YAML_MEDIA_TYPES));
      const { id } = request.params;
      // A rule's id begins with its desk, the one of a new rule too.
      if (!maySeeDesk(request.principal, rules.get(id)?.desk ?? id.split('.', 1)[0]!)) {
        throw new ProblemError(404, 'There is no rule of this id on your desks.');
      }
      const text = textOf(request);
      if (!natsConnected()) throw natsAway();
      const save = async (): Promise<SavedRule> => {
        const current = rules.get(id);
        request.trace.before = current && { version: current.version, tag: entityTagOf(current) };
        const tag = current && entityTagOf(current);
        const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
        if (ifMatch !== undefined && !matchesTag(ifMatch, tag)) {
          throw new ProblemError(412, tag ? `The rule is now ${tag}.` : 'There is no rule of this id.');
        }
        if (ifNoneMatch !== undefined && matchesTag(ifNoneMatch, tag)) {
          throw new ProblemError(412, `The rule exists, as ${tag}.`);
        }
        return rules.save(id, text, authorOf(request));
      };
      const saving = lastSave.then(save, save);
      lastSave = saving.catch(() => {});
      const saved = await saving;
      if (saved.kind === 'invalid') {
        throw new ProblemError(422, 'The rule is not valid; nothing was changed.', {
          members: { errors: saved.errors },
        });
      }
      if (saved.kind === 'conflict') throw new ProblemError(409, saved.detail);
      request.trace.after = { version: saved.rule.version, tag: entityTagOf(saved.rule) };
      return reply
        .code(saved.created ? 201 : 200)
        .header('ETag', entityTagOf(saved.rule))
        .send(saved.rule);
    },
  );
}

/** Who changes a rule: the person or key that has signed in; where nobody has to, whom the request names. */
export function authorOf({ principal }: FastifyRequest, named = ''): ChangeAuthor {
  return principal.kind === 'open' || principal.kind === 'anonymous'
    ? { kind: 'open', id: named }
    : { kind: principal.kind, id: principal.id };
}

/** Strong entity tag of a rule: its version for people, a hash of its text for certainty. */
export function entityTagOf(rule: { version: number; text: string }): string {
  return `"${rule.version}-${createHash('sha256').update(rule.text).digest('hex').slice(0, 16)}"`;
}

/** Whether an If-Match or If-None-Match header names the tag; `*` names any that exists. */
function matchesTag(header: string, tag: string | undefined): boolean {
  if (tag === undefined) return false;
  return header.split(',').some((part) => part.trim() === '*' || part.trim() === tag);
}
