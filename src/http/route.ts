/**
 * The table of routes: each entry is what Fastify registers and validates with, and what `/openapi.json` describes. A
 * group of routes is one file (`usage.ts`, `alerts.ts`, `rules.ts` ...) that adds its entries here.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import type { OperationId } from '../access/table.ts';
import { ProblemError } from './problem.ts';

/** A JSON Schema as plain data. */
export type JsonSchema = Record<string, unknown>;

/** One operation of the API; the server registers it and the document describes it. */
export interface RouteDescription {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Pattern as Fastify writes it: `/v1/rules/:id`. */
  url: string;
  /** Its row in the table of who may do what. */
  id: OperationId;
  summary: string;
  description?: string;
  params?: TSchema & { properties: Record<string, TSchema> };
  query?: TSchema & { properties: Record<string, TSchema>; required?: string[] | undefined };
  /** Request headers that mean something, name to description. */
  headers?: Record<string, string>;
  /** What the body may be: media type to schema. */
  body?: { description: string; content: Record<string, JsonSchema> };
  /** Answers that are no problems. */
  answers: Record<number, { description: string; content?: Record<string, JsonSchema>; headers?: string[] }>;
  /** Statuses that come as problem details, beside 429 and 500, which every operation may give. */
  problems: number[];
}

/** A reference to a named schema of the document. */
export function ref(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** The same as the content of a body or an answer. */
export const json = (name: string): Record<string, JsonSchema> => ({ 'application/json': ref(name) });

export interface Routes {
  /** Registers a route. A handler that resolves with undefined has answered by its reply. */
  add<Query = unknown, Params = unknown>(
    description: RouteDescription,
    handler: (request: FastifyRequest<{ Querystring: Query; Params: Params }>, reply: FastifyReply) => unknown,
  ): void;
  /** Every route added so far. */
  list(): readonly RouteDescription[];
  /** Makes every other method of these paths a 405; called once, when all routes are there. */
  close(): void;
}

/** Methods that a client may try; one that the server does not know itself is refused before it comes to us. */
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'];

export function createRoutes(app: FastifyInstance): Routes {
  const routes: RouteDescription[] = [];
  const methodsOf = new Map<string, string[]>();
  return {
    add<Query, Params>(
      description: RouteDescription,
      handler: (request: FastifyRequest<{ Querystring: Query; Params: Params }>, reply: FastifyReply) => unknown,
    ): void {
      routes.push(description);
      methodsOf.set(description.url, [...(methodsOf.get(description.url) ?? []), description.method]);
      const schema = {
        ...(description.params && { params: description.params }),
        ...(description.query && { querystring: description.query }),
      };
      app.route<{ Querystring: Query; Params: Params }>({
        method: description.method,
        url: description.url,
        config: { operation: description.id },
        schema,
        handler: async (request, reply) => {
          const answer = await handler(request, reply);
          return answer === undefined ? reply : answer;
        },
      });
    },
    list: () => routes,
    close() {
      // A path that exists is not a 404 for another method.
      for (const [url, methods] of methodsOf) {
        const allowed = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])];
        app.route({
          method: METHODS.filter((method) => !methods.includes(method)),
          url,
          config: { harmless: true },
          exposeHeadRoute: false,
          // Before anything of the body is looked at, which may be wrong in its own way.
          onRequest: async (request) => {
            throw new ProblemError(405, `${request.method} is not possible here, only ${allowed.join(', ')}.`, {
              headers: { Allow: allowed.join(', ') },
            });
          },
          handler: () => undefined,
        });
      }
    },
  };
}
