/**
 * Problem details (RFC 9457): the one shape of every error that this server answers, whoever found it: a handler, the
 * schema validation, the router, the rate limit or the HTTP parser.
 */
import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import { isNoAnswer } from '../source/connection.ts';
import type { Problem } from './schemas.ts';

/** Seconds after which a caller may try again when NATS is away or everything is full. */
export const RETRY_AFTER_SEC = '1';

export const PROBLEM_TYPE = 'application/problem+json';

/** Thrown by handlers to answer with a problem. */
export class ProblemError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;
  /** Members beside the standard ones, e.g. `errors`. */
  readonly members: object;

  /** @param detail one sentence for the caller: what is wrong with this request and what would be right. */
  constructor(status: number, detail: string, options: { headers?: Record<string, string>; members?: object } = {}) {
    super(detail);
    this.name = 'ProblemError';
    this.status = status;
    this.headers = options.headers ?? {};
    this.members = options.members ?? {};
  }
}

/** The body of a problem. */
export function problemBody(status: number, detail: string, members: object = {}): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, ...members };
}

/** Answers a request with a problem. */
export function sendProblem(reply: FastifyReply, problem: ProblemError): FastifyReply {
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(problemBody(problem.status, problem.message, problem.members)));
}

/** A whole HTTP/1.1 response as text, for sockets that no reply object exists for: upgrades and unparsable requests. */
export function rawProblem(problem: ProblemError): string {
  const body = JSON.stringify(problemBody(problem.status, problem.message, problem.members));
  const headers = {
    Connection: 'close',
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': String(Buffer.byteLength(body)),
    ...problem.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join('')}\r\n${body}`;
}

export function natsAway(): ProblemError {
  return new ProblemError(503, 'NATS does not answer; nothing was changed.', {
    headers: { 'Retry-After': RETRY_AFTER_SEC },
  });
}

/**
 * Waits for what is being stored in a stream. Without an answer of NATS it may be stored or not, which the caller is told.
 * @param advice what to do then, after "so whether this is stored is not known; "
 */
export async function answered<T>(work: Promise<T>, advice: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!isNoAnswer(error)) throw error;
    throw new ProblemError(503, `NATS did not answer, so whether this is stored is not known; ${advice}`, {
      headers: { 'Retry-After': RETRY_AFTER_SEC },
    });
  }
}
