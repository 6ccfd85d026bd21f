/**
 * What every group of routes needs of a request: its path, its body in the media types that the route takes, and the
 * words for a parameter that is wrong.
 */
import type { FastifyRequest, FastifySchemaValidationError } from 'fastify';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { ProblemError } from './problem.ts';

/** Other names under which clients send the types above. */
const MEDIA_TYPE_ALIASES: Record<string, string> = {
  'application/ndjson': 'application/x-ndjson',
  'application/x-msgpack': 'application/msgpack',
  'application/vnd.msgpack': 'application/msgpack',
  'application/x-yaml': 'application/yaml',
  'text/yaml': 'application/yaml',
  'text/x-yaml': 'application/yaml',
};

export function pathOf(url: string): string {
  return url.split('?', 1)[0];
}

/** The media type of a body, by its usual name; undefined where the request names none. */
export function mediaTypeOf(request: FastifyRequest, allowed: string[]): string | undefined {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ProblemError(415, 'Compressed bodies are not read.', { headers: { 'Accept-Encoding': 'identity' } });
  }
  const header = request.headers['content-type'];
  if (header === undefined) return undefined;
  const name = header.split(';', 1)[0].trim().toLowerCase();
  const type = MEDIA_TYPE_ALIASES[name] ?? name;
  if (!allowed.includes(type)) {
    throw new ProblemError(415, `Content-Type must be one of ${allowed.join(', ')}.`, {
      headers: { Accept: allowed.join(', ') },
    });
  }
  return type;
}

export function bodyOf(request: FastifyRequest): Buffer {
  if (!Buffer.isBuffer(request.body) || request.body.length === 0) throw new ProblemError(400, 'The body is empty.');
  return request.body;
}

export function textOf(request: FastifyRequest): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bodyOf(request));
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(400, 'The body is not UTF-8 text.');
  }
}

/**
 * The JSON of a body, of whatever form.
 * @throws ProblemError 400 or 415, with what is wrong
 */
function jsonOf(request: FastifyRequest): unknown {
  mediaTypeOf(request, ['application/json']);
  const text = textOf(request);
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'The body is not JSON.');
  }
}

/**
 * Reads bodies that are one JSON object of this form.
 * @param options.prepare changes the value in place before it is checked
 * @param options.problemOf says of a form that is one of several what is wrong; undefined where it does not know
 * @throws ProblemError 400 or 415, with what is wrong
 */
export function jsonReader<T extends TSchema>(
  schema: T,
  options: { prepare?(value: unknown): void; problemOf?(value: unknown): string | undefined } = {},
): (request: FastifyRequest) => Static<T> {
  const checker = Compile(schema);
  return (request) => {
    const value = jsonOf(request);
    options.prepare?.(value);
    if (checker.Check(value)) return value;
    throw new ProblemError(400, options.problemOf?.(value) ?? sentenceOf(checker.Errors(value)[0]!));
  };
}

/** What is wrong with a parameter or a body, in words: `limit must be <= 500.` */
export function sentenceOf({ instancePath, keyword, params, message }: FastifySchemaValidationError): string {
  const name = instancePath.slice(1) || 'The body';
  // The validator of queries names one, that of bodies all of them.
  if (keyword === 'required') {
    return `${[params.missingProperty ?? params.requiredProperties].flat().join(', ')} is missing.`;
  }
  if (keyword === 'additionalProperties') return `There is no parameter ${params.additionalProperty}.`;
  // The same in the words of the validator of WebSocket queries.
  if (keyword === 'boolean') return `There is no parameter ${name}.`;
  if (keyword === 'enum') return `${name} must be one of ${[params.allowedValues].flat().join(', ')}.`;
  return `${name} ${message}.`;
}

/** Epoch ms of a query parameter that has passed its pattern. */
export function instantOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const epochMs = /^[0-9]+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(epochMs)) throw new ProblemError(400, `${name}: no such date.`);
  return epochMs;
}
