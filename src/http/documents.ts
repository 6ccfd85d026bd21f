/**
 * The machine-readable descriptions: OpenAPI 3.1 of the HTTP API, made of the same route table and schemas that the
 * server runs on, and AsyncAPI 3.0 of the WebSocket and of the NATS subjects.
 */
import { STATUS_CODES } from 'node:http';
import type { TSchema } from 'typebox';
import { type Access, type OperationId, ROUTE_ACCESS } from '../access/table.ts';
import { CaseEventInputSchema, CaseEventSchema } from '../cases/case-event.ts';
import {
  CaseDetailSchema,
  CaseFrameSchema,
  CaseGroupsSchema,
  CasePageSchema,
  CaseSummarySchema,
  SnoozePreviewSchema,
} from '../cases/case-view.ts';
import { DefaultViewSchema, DeskSettingsEventSchema, RoutingSchema, ViewBodySchema } from '../cases/desk-settings.ts';
import { FeedbackSchema } from '../cases/feedback.ts';
import { UsageRecordSchema } from '../record/schema.ts';
import { RuleChangeEventSchema } from '../rule-changes/change-event.ts';
import { ChurnReportSchema } from '../rules/churn-report.ts';
import {
  AuditVerdictSchema,
  KeySchema,
  KeySecretSchema,
  KeysSchema,
  NewKeySchema,
  NewUserSchema,
  OneTimePasswordSchema,
  UserChangeSchema,
  UserSchema,
  UsersSchema,
} from './administration-schemas.ts';
import { BulkResultSchema, BulkSchema, BulkUndoSchema, TakeNextSchema } from './case-schemas.ts';
import { DeskSettingsSchema, RoutingChangeSchema } from './desk-settings.ts';
import { ListEntrySchema, ListImportSchema, ListRowsSchema, ListsSchema } from './lists.ts';
import { RecordPageSchema, UsageRecordViewSchema } from './records.ts';
import { type JsonSchema, type RouteDescription, type Routes, ref } from './route.ts';
import {
  BackTestInputSchema,
  BackTestSchema,
  RuleChangeSchema,
  RuleChangesSchema,
  RuleDecisionSchema,
  RuleDraftInputSchema,
  RuleDraftSchema,
  RuleProposalInputSchema,
  RuleProposalListSchema,
  RuleProposalSchema,
} from './rule-change-schemas.ts';
import {
  AlertEventSchema,
  AlertFrameSchema,
  AlertPageSchema,
  AlertSchema,
  AuditPageSchema,
  DeadLetterHeadSchema,
  DeadLetterPageSchema,
  DeadLetterReplaySchema,
  DeadLetterSchema,
  HelloFrameSchema,
  LiveQuerySchema,
  OperationsSchema,
  PasswordChangeSchema,
  ProblemSchema,
  ResyncFrameSchema,
  RevealedSubscriberSchema,
  RevealSchema,
  RuleCheckSchema,
  RuleDetailSchema,
  RuleFindingSchema,
  RuleListSchema,
  RuleSummarySchema,
  SessionSchema,
  SignInSchema,
  SubscriberSchema,
  TicketSchema,
  UsageResultSchema,
} from './schemas.ts';

/** Version of the contract, not of the program: additions are free, a change of meaning needs a new one. */
const CONTRACT_VERSION = '1.0.0';

const components: (TSchema & { $id?: string })[] = [
  ProblemSchema,
  SessionSchema,
  SignInSchema,
  PasswordChangeSchema,
  TicketSchema,
  RevealSchema,
  RevealedSubscriberSchema,
  AuditPageSchema,
  AuditVerdictSchema,
  UserSchema,
  UsersSchema,
  NewUserSchema,
  UserChangeSchema,
  OneTimePasswordSchema,
  KeySchema,
  KeysSchema,
  NewKeySchema,
  KeySecretSchema,
  AlertSchema,
  AlertPageSchema,
  UsageResultSchema,
  RecordPageSchema,
  UsageRecordViewSchema,
  SubscriberSchema,
  RuleSummarySchema,
  RuleDetailSchema,
  RuleListSchema,
  RuleFindingSchema,
  RuleCheckSchema,
  RuleProposalSchema,
  RuleProposalListSchema,
  RuleChangesSchema,
  RuleChangeSchema,
  RuleDraftInputSchema,
  RuleDraftSchema,
  BackTestInputSchema,
  BackTestSchema,
  RuleProposalInputSchema,
  RuleDecisionSchema,
  DeadLetterHeadSchema,
  DeadLetterPageSchema,
  DeadLetterSchema,
  DeadLetterReplaySchema,
  OperationsSchema,
  ChurnReportSchema,
  CaseSummarySchema,
  CaseDetailSchema,
  CasePageSchema,
  CaseGroupsSchema,
  CaseEventSchema,
  CaseEventInputSchema,
  TakeNextSchema,
  BulkSchema,
  BulkUndoSchema,
  BulkResultSchema,
  SnoozePreviewSchema,
  FeedbackSchema,
  ListRowsSchema,
  ListImportSchema,
  ListEntrySchema,
  ListsSchema,
  RoutingSchema,
  ViewBodySchema,
  DeskSettingsSchema,
  RoutingChangeSchema,
  DefaultViewSchema,
];
const messages: (TSchema & { $id?: string })[] = [
  AlertSchema,
  AlertEventSchema,
  HelloFrameSchema,
  AlertFrameSchema,
  ResyncFrameSchema,
  CaseEventSchema,
  CaseSummarySchema,
  CaseFrameSchema,
  RuleChangeEventSchema,
  DeskSettingsEventSchema,
];

/** A schema as plain data whose references point into the document; its own `$id` becomes its name there. */
function plain(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plain);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).filter(([name]) => name !== '$id' && name !== '$schema');
  return Object.fromEntries(
    entries.map(([name, value]) => {
      const isName = name === '$ref' && typeof value === 'string' && !value.startsWith('#');
      return [name, isName ? `#/components/schemas/${value}` : plain(value)];
    }),
  );
}

function namedSchemas(list: (TSchema & { $id?: string })[], usageRecord: object): Record<string, unknown> {
  const named = list.map((schema) => [schema.$id!, plain(schema)] as const);
  return { ...Object.fromEntries(named), UsageRecord: plain(usageRecord) };
}

const LICENSE = { name: 'Apache-2.0', identifier: 'Apache-2.0' };

/** @param usageRecord JSON Schema of a usage record, from the module that validates records. */
function openApiDocument(routes: readonly RouteDescription[], usageRecord: object): JsonSchema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.url.replace(/:([A-Za-z]+)/g, '{$1}');
    const parameters = [
      ...Object.entries(route.params?.properties ?? {}).map(([name, schema]) => ({
        name,
        in: 'path',
        required: true,
        schema: plain(schema),
      })),
      ...Object.entries(route.query?.properties ?? {}).map(([name, schema]) => ({
        name,
        in: 'query',
        required: route.query?.required?.includes(name) ?? false,
        schema: plain(schema),
      })),
      ...Object.entries(route.headers ?? {}).map(([name, description]) => ({
        name,
        in: 'header',
        required: false,
        description,
        schema: { type: 'string' },
      })),
    ];
    const responses: Record<string, unknown> = {};
    for (const [status, { description, content, headers }] of Object.entries(route.answers)) {
      responses[status] = {
        description,
        ...(headers && {
          headers: Object.fromEntries(headers.map((name) => [name, { schema: { type: 'string' } }])),
        }),
        ...(content && { content: mediaTypes(content) }),
      };
    }
    const refusals = ROUTE_ACCESS[route.id].may === 'public' ? [] : [401, 403];
    for (const status of new Set([...route.problems, ...refusals, 429, 500])) {
      const answer = responses[status] as { description: string; content?: object } | undefined;
      responses[status] = {
        description: answer?.description ?? STATUS_CODES[status],
        content: { ...answer?.content, 'application/problem+json': { schema: ref('Problem') } },
      };
    }
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = {
      operationId: route.id,
      summary: route.summary,
      ...(route.description && { description: route.description }),
      ...securityOf(ROUTE_ACCESS[route.id]),
      ...(parameters.length > 0 && { parameters }),
      ...(route.body && {
        requestBody: { required: true, description: route.body.description, content: mediaTypes(route.body.content) },
      }),
      responses,
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Ringfence',
      version: CONTRACT_VERSION,
      summary: 'Live fraud, arrears and retention alerts from telecom usage records.',
      license: LICENSE,
    },
    servers: [{ url: '/' }],
    // What nobody has to sign in for says so itself; where no sign-in is set up at all, nothing has to be sent.
    security: [{ key: [] }, { session: [] }],
    paths,
    components: {
      schemas: namedSchemas(components, usageRecord),
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'A key of `ringfence keys add`.' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'ringfence_session',
          description:
            'Of a person who has signed in; `__Host-ringfence_session` over TLS. Changes need `ringfence-request: 1`.',
        },
      },
    },
  };
}

/** What the table says of a route, for people and tools. */
function securityOf(access: Access): Record<string, unknown> {
  if (access.may === 'public') return { security: [] };
  const { may } = access;
  if (typeof may === 'string') return may === 'people' ? { security: [{ session: [] }] } : {};
  const scope = 'scope' in access ? access.scope : undefined;
  return {
    ...(may.length === 0 && { security: [{ key: [] }] }),
    ...(scope === undefined && { security: [{ session: [] }] }),
    'x-roles': may,
    ...(scope !== undefined && { 'x-scope': scope }),
    'x-desks': access.desk,
  };
}

function mediaTypes(content: Record<string, JsonSchema>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema: plain(schema) }]));
}

function asyncApiDocument(usageRecord: object): JsonSchema {
  const message = (name: string, contentType: string, summary: string) => ({
    name,
    contentType,
    summary,
    payload: ref(name),
  });
  const channelMessage = (channel: string, name: string) => ({ $ref: `#/channels/${channel}/messages/${name}` });
  const live = plain(LiveQuerySchema);
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Ringfence',
      version: CONTRACT_VERSION,
      description: 'Alerts over WebSocket, and the subjects and streams on NATS JetStream.',
      license: { name: LICENSE.name, url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      gateway: { host: '127.0.0.1:8080', protocol: 'ws', description: 'The default address.' },
      broker: { host: '127.0.0.1:4222', protocol: 'nats', description: 'NATS with JetStream, 2.9.10 or later.' },
    },
    channels: {
      live: {
        address: '/v1/alerts/live',
        servers: [{ $ref: '#/servers/gateway' }],
        description:
          'The first frame is `hello` with the newest sequence. Alerts follow in order. `resync` says that the ' +
          'position asked for cannot be served, or (with close code 1013) that the client was too slow.',
        messages: {
          HelloFrame: { $ref: '#/components/messages/HelloFrame' },
          AlertFrame: { $ref: '#/components/messages/AlertFrame' },
          ResyncFrame: { $ref: '#/components/messages/ResyncFrame' },
          CaseFrame: { $ref: '#/components/messages/CaseFrame' },
        },
        'x-access':
          'Where somebody has to sign in: `ticket` of POST /v1/ws-ticket, or a key as bearer token. Only alerts of the own ' +
          'desks come; numbers are masked by role. Close code 4401: sign in again.',
        bindings: { ws: { method: 'GET', query: live, bindingVersion: '0.1.0' } },
      },
      usage: {
        address: 'usage.{partition}.{recordType}',
        servers: [{ $ref: '#/servers/broker' }],
        description: 'One record or an array of records a message; JSON, NDJSON or MessagePack.',
        parameters: {
          partition: { description: 'FNV-1a 32-bit of servedMsisdn modulo the number of partitions.', default: '0' },
          recordType: { description: 'Type of the one record, or `batch`.' },
        },
        messages: { UsageRecord: { $ref: '#/components/messages/UsageRecord' } },
        'x-jetstream': {
          stream: 'USAGE, or USAGE_<partition> where there are several',
          retention: 'limits',
          deduplication: 'Nats-Msg-Id where present; recordId always',
        },
      },
      alerts: {
        address: 'alerts.{desk}.{alertId}',
        servers: [{ $ref: '#/servers/broker' }],
        description: 'One subject an alert, one message a revision.',
        parameters: {
          desk: { description: 'Desk that works on the alert.', enum: ['fraud', 'arrears', 'retention'] },
          alertId: { description: 'Deterministic identity of the alert.' },
        },
        messages: { AlertEvent: { $ref: '#/components/messages/AlertEvent' } },
        'x-jetstream': {
          stream: 'ALERTS',
          retention: 'limits',
          publish: 'expected last subject sequence: 0, then that of the revision before',
        },
      },
      cases: {
        address: 'cases.{desk}.{caseId}',
        servers: [{ $ref: '#/servers/broker' }],
        description:
          'One subject a case, one message an event. A message that cannot change its case (a second closing, an outcome of ' +
          'another desk) stays in the timeline and does nothing.',
        parameters: {
          desk: { description: 'Desk that works on the case.', enum: ['fraud', 'arrears', 'retention'] },
          caseId: { description: 'Identity of the case.' },
        },
        messages: { CaseEvent: { $ref: '#/components/messages/CaseEvent' } },
        'x-jetstream': {
          stream: 'CASES',
          retention: 'limits, kept for ever',
          publish:
            'expected last subject sequence: `version` of the case as the sender saw it, so that one of two gets through',
        },
      },
      rules: {
        address: 'rules.{desk}.{slug}',
        servers: [{ $ref: '#/servers/broker' }],
        description:
          'One subject a rule, one message an event: a change was proposed, approved, rejected, withdrawn, or made in another ' +
          'way. An approval by whoever proposed stays in the history and does nothing.',
        parameters: {
          desk: { description: 'Desk of the rule.', enum: ['fraud', 'arrears', 'retention'] },
          slug: { description: 'The rest of its id.' },
        },
        messages: { RuleChangeEvent: { $ref: '#/components/messages/RuleChangeEvent' } },
        'x-jetstream': {
          stream: 'RULES',
          retention: 'limits, kept for ever',
          publish: 'expected last subject sequence, so that one of two proposals gets through',
        },
      },
      deskSettings: {
        address: 'cases.{desk}.settings',
        servers: [{ $ref: '#/servers/broker' }],
        description: 'Saved views and routing of a desk, one message a change; in the stream CASES.',
        parameters: {
          desk: { description: 'Desk whose settings change.', enum: ['fraud', 'arrears', 'retention'] },
        },
        messages: { DeskSettingsEvent: { $ref: '#/components/messages/DeskSettingsEvent' } },
        'x-jetstream': { stream: 'CASES', publish: 'expected last subject sequence' },
      },
      deadletter: {
        address: 'deadletter.{reason}',
        servers: [{ $ref: '#/servers/broker' }],
        description: 'Rejected records: the one record as JSON, or the whole message where it could not be decoded.',
        parameters: {
          reason: {
            description: 'Why it was rejected.',
            enum: ['malformed', 'schema', 'unknownType', 'future', 'tooLarge'],
          },
        },
        messages: { Rejected: { $ref: '#/components/messages/Rejected' } },
        'x-jetstream': { stream: 'DEADLETTER', retention: 'limits' },
      },
    },
    operations: {
      pushAlerts: {
        action: 'send',
        channel: { $ref: '#/channels/live' },
        summary: 'Alerts as they are published.',
        messages: ['HelloFrame', 'AlertFrame', 'ResyncFrame', 'CaseFrame'].map((name) => channelMessage('live', name)),
      },
      receiveUsage: {
        action: 'receive',
        channel: { $ref: '#/channels/usage' },
        messages: [channelMessage('usage', 'UsageRecord')],
      },
      publishAlert: {
        action: 'send',
        channel: { $ref: '#/channels/alerts' },
        messages: [channelMessage('alerts', 'AlertEvent')],
      },
      receiveCaseEvent: {
        action: 'receive',
        channel: { $ref: '#/channels/cases' },
        summary: 'Dispositions of other systems, e.g. a contact centre.',
        messages: [channelMessage('cases', 'CaseEvent')],
      },
      publishCaseEvent: {
        action: 'send',
        channel: { $ref: '#/channels/cases' },
        messages: [channelMessage('cases', 'CaseEvent')],
      },
      publishRuleChange: {
        action: 'send',
        channel: { $ref: '#/channels/rules' },
        messages: [channelMessage('rules', 'RuleChangeEvent')],
      },
      publishDeskSettings: {
        action: 'send',
        channel: { $ref: '#/channels/deskSettings' },
        messages: [channelMessage('deskSettings', 'DeskSettingsEvent')],
      },
      rejectRecord: {
        action: 'send',
        channel: { $ref: '#/channels/deadletter' },
        messages: [channelMessage('deadletter', 'Rejected')],
      },
    },
    components: {
      schemas: namedSchemas(messages, usageRecord),
      messages: {
        HelloFrame: message('HelloFrame', 'application/json', 'First frame of a connection.'),
        AlertFrame: message('AlertFrame', 'application/json', 'One revision of one alert.'),
        ResyncFrame: message('ResyncFrame', 'application/json', 'Positions before this one were not delivered.'),
        CaseFrame: message('CaseFrame', 'application/json', 'A case that changed, where `cases=true` asked for it.'),
        UsageRecord: message('UsageRecord', 'application/json', 'Something that a subscriber did.'),
        AlertEvent: {
          ...message('AlertEvent', 'application/cloudevents+json', 'An alert as a CloudEvent.'),
          headers: { type: 'object', properties: { 'Ringfence-Severity': { type: 'string' } } },
        },
        CaseEvent: message('CaseEvent', 'application/json', 'What somebody did to a case.'),
        RuleChangeEvent: message('RuleChangeEvent', 'application/json', 'What somebody did to a rule.'),
        DeskSettingsEvent: message('DeskSettingsEvent', 'application/json', 'A change of views or routing.'),
        Rejected: {
          name: 'Rejected',
          summary: 'A record that broke the contract.',
          payload: {},
          headers: {
            type: 'object',
            properties: Object.fromEntries(
              ['Reason', 'Field', 'Source-Subject', 'Source-Seq', 'Truncated'].map((name) => [
                `Ringfence-${name}`,
                { type: 'string' },
              ]),
            ),
          },
        },
      },
    },
  };
}

/** The routes of the two documents; each is written when it is first asked for, when all routes are there. */
export function addDocumentRoutes(routes: Routes): void {
  const document = (id: OperationId, url: string, summary: string, make: () => object) => {
    let text: string | undefined;
    routes.add(
      {
        method: 'GET',
        url,
        id,
        summary,
        answers: { 200: { description: 'The document.', content: { 'application/json': { type: 'object' } } } },
        problems: [],
      },
      async (_request, reply) => {
        text ??= JSON.stringify(make());
        return reply.type('application/json').send(text);
      },
    );
  };
  document('getOpenApi', '/openapi.json', 'This description.', () => openApiDocument(routes.list(), UsageRecordSchema));
  document('getAsyncApi', '/asyncapi.json', 'The WebSocket and the NATS subjects, as AsyncAPI 3.0.', () =>
    asyncApiDocument(UsageRecordSchema),
  );
}
