/**
 * The listener for machines that watch this one: metrics and health on a port of their own, so that scraping and
 * probing go on when the public port is busy, and a proxy that publishes the console does not publish them.
 *
 * `/livez` says that the process answers. `/readyz` says that it does its work: state restored, NATS connected,
 * records being read, checkpoints written. Lag does not make it unready (a process that is behind must not be restarted for it).
 */
import { createServer } from 'node:http';
import type { Metrics } from '../metrics.ts';
import { assertLoopback, listenError, OPERATIONS_LISTEN_HINT, urlOf } from './address.ts';
import { PROBLEM_TYPE, problemBody } from './problem.ts';

/** A scrape or a probe has no body and takes milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTIONS_MAX = 100;

/** One condition of readiness: whether it holds, and in a few words why or why not. */
export type HealthCheck = () => { ok: boolean; detail: string };

export interface HealthChecks {
  restored: HealthCheck;
  natsConnected: HealthCheck;
  reading: HealthCheck;
  /** Checkpoints reach the disk. */
  durable: HealthCheck;
}

export interface OperationsListener {
  /** Begins to answer. @returns its URL. @throws RingfenceError, exit code 3, beyond loopback or on a taken port. */
  listen(host: string, port: number): Promise<string>;
  /** What `/readyz` would answer. */
  ready(): boolean;
  close(): Promise<void>;
}

export function createOperationsListener(options: {
  metrics: Metrics;
  checks: HealthChecks;
  /** Figures for `/readyz?verbose`, such as the lag of each partition. */
  figures?: () => Record<string, number | string | null>;
}): OperationsListener {
  const { metrics, checks } = options;

  const readiness = () => {
    const results = Object.entries(checks).map(([name, check]) => [name, (check as HealthCheck)()] as const);
    return { ok: results.every(([, { ok }]) => ok), checks: Object.fromEntries(results) };
  };

  interface Answer {
    status: number;
    type: string;
    body: string;
    headers?: Record<string, string>;
  }
  const text = (body: string): Answer => ({ status: 200, type: 'text/plain; charset=utf-8', body });
  const problem = (status: number, detail: string, members?: object, headers?: Record<string, string>): Answer => ({
    status,
    type: PROBLEM_TYPE,
    body: JSON.stringify(problemBody(status, detail, members)),
    ...(headers && { headers }),
  });

  const answer = async (method: string | undefined, target: string, accept: string | undefined): Promise<Answer> => {
    const url = URL.parse(target, 'http://operations');
    const path = url?.pathname;
    if (url === null || !['/metrics', '/livez', '/readyz', '/healthz'].includes(path ?? '')) {
      return problem(404, 'There is /metrics, /livez, /readyz and /healthz.');
    }
    if (method !== 'GET' && method !== 'HEAD') {
      return problem(405, 'Only GET and HEAD.', undefined, { Allow: 'GET, HEAD' });
    }
    if (path === '/metrics') {
      const { contentType, body } = await metrics.expose(accept);
      return { status: 200, type: contentType, body };
    }
    if (path === '/livez') return text('ok\n');
    const { ok, checks: results } = readiness();
    const verbose = url.searchParams.has('verbose');
    const members = { checks: results, figures: options.figures?.() ?? {} };
    if (!ok) {
      const failing = Object.entries(results).filter(([, check]) => !check.ok);
      return problem(
        503,
        `Not ready: ${failing.map(([name, { detail }]) => `${name} (${detail})`).join(', ')}.`,
        verbose ? members : {},
        { 'Retry-After': '1' },
      );
    }
    if (!verbose) return text('ok\n');
    return { status: 200, type: 'application/json', body: JSON.stringify({ ok, ...members }) };
  };

  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      request.resume();
      // A check or a gauge that throws is a bug: it is not caught here and stops the process.
      void answer(request.method, request.url ?? '/', request.headers.accept).then(
        ({ status, type, body, headers }) => {
          response.writeHead(status, {
            'Content-Type': type,
            'Content-Length': Buffer.byteLength(body),
            'Cache-Control': 'no-store',
            'X-Content-Type-Options': 'nosniff',
            ...headers,
          });
          response.end(request.method === 'HEAD' ? undefined : body);
        },
      );
    },
  );
  server.maxConnections = CONNECTIONS_MAX;

  return {
    async listen(host, port) {
      assertLoopback(host, OPERATIONS_LISTEN_HINT);
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error) => reject(listenError(error, host, port)));
        server.listen({ host, port }, resolve);
      });
      const address = server.address();
      return urlOf(host, typeof address === 'object' && address !== null ? address.port : port);
    },
    ready: () => readiness().ok,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
