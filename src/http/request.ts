/**
 * What every group of routes needs of a request: its path, its body in the media types that the route takes, and the
 * words for a parameter that is wrong.
 */
import type { FastifyRequest, FastifySchemaValidationError } from 'fastify';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { USER_NAME } from '../access/store.ts';
import { parseDateTime } from '../record/date-time.ts';
import { ProblemError } from './problem.ts';
import { INSTANT_PATTERN, SUBSCRIBER_PATTERN } from './schemas.ts';

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

/** What a text must be that has to fit a pattern of a schema: the pattern itself tells nobody. */
export const WORDS_OF_PATTERN: ReadonlyMap<string, string> = new Map([
  [INSTANT_PATTERN, 'Unix epoch milliseconds, or RFC 3339 with an offset, such as 2026-01-31T08:00:00Z'],
  [SUBSCRIBER_PATTERN, '5 to 15 digits without +, or the subscriberRef of a masked number'],
  ['^[0-9]{5,15}$', '5 to 15 digits without +'],
  ['^[0-9]{1,15}$', 'a whole number of at most 15 digits'],
  ['^[1-9][0-9]{0,14}$', 'a whole number above 0 of at most 15 digits'],
  ['^[0-9a-f]{32}$', '32 hexadecimal digits'],
  ['^[0-9a-f-]{1,40}$', 'at most 40 hexadecimal digits and -'],
  ['^[A-Za-z0-9]{12}$', '12 letters and digits'],
  ['^[A-Za-z0-9-]{1,64}$', 'at most 64 letters, digits and -'],
  ['^[A-Za-z0-9._-]+$', 'letters, digits and . _ -'],
  ['^[A-Za-z0-9][A-Za-z0-9._-]*$', 'letters, digits and . _ -, a letter or digit first'],
  ['^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', 'at most 64 letters, digits and . _ -, a letter or digit first'],
  ['^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$', 'at most 128 letters, digits and . _ -, a letter or digit first'],
  [USER_NAME.source, 'at most 64 letters, digits and . _ @ -, a letter or digit first'],
  ['^[a-z][A-Za-z0-9-]{0,63}$', 'at most 64 letters, digits and -, a small letter first'],
  ['^[a-z][A-Za-z0-9]{0,79}$', 'at most 80 letters and digits, a small letter first'],
  ['^[a-z]{1,20}$', 'at most 20 small letters'],
  ['^[A-Za-z0-9+_/-]{1,64}$', 'the IANA name of a time zone, such as Asia/Shanghai'],
  ['\\S', 'text that is not blank'],
  ['^[^\\u0000-\\u001f\\u007f]+$', 'text in one line, without control characters'],
  [
    '^[^\\u0000-\\u001f\\u007f]*[^\\s\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$',
    'text in one line that is not blank, without control characters',
  ],
]);

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
  if (keyword === 'pattern')
    return `${name} must be ${WORDS_OF_PATTERN.get(String(params.pattern)) ?? 'of another form'}.`;
  return `${name} ${message}.`;
}

/** Epoch ms of a query parameter that has passed its pattern. */
function instantOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const epochMs = /^[0-9]+$/.test(text) ? Number(text) : parseDateTime(text.replace(' ', '+'));
  if (Number.isNaN(epochMs)) throw new ProblemError(400, `${name}: no such date.`);
  return epochMs;
}

/** @throws ProblemError 400 where a span ends before it begins; one that is empty is none of that. */
export function assertSpan({ from, to }: { from?: number | undefined; to?: number | undefined }): void {
  if (from !== undefined && to !== undefined && from > to) {
    throw new ProblemError(400, 'from must not be later than to.');
  }
}

/** Both ends of the span that a query names. @throws ProblemError 400 */
export function spanOf(query: { from?: string | undefined; to?: string | undefined }): {
  from: number | undefined;
  to: number | undefined;
} {
  const span = { from: instantOf('from', query.from), to: instantOf('to', query.to) };
  assertSpan(span);
  return span;
}
