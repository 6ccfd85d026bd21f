/**
 * Searches of the usage stream in a thread with a connection of its own: neither the pipeline's loop nor its connection waits
 * for them. The thread begins with the first search and works on one at a time; the others wait in a line of named length.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Metrics } from '../metrics.ts';
import { connectNats, isNoAnswer } from '../source/connection.ts';
import { stepBack } from '../thread-priority.ts';
import { SearchInterrupted, type SearchRequest, type SearchResult, searchRecords } from './record-search.ts';
import { recordTypesOf } from './rule-records.ts';

/** Searches that run or wait; who comes then is told to come back. */
export const SEARCHES_WAITING_MAX = 16;
/** A search gives up before its caller does: the ones before it had their time too. */
const ANSWER_LIMIT_MS = 30_000;

interface SearchSettings {
  nats: readonly string[];
  partitions: number;
}

/** `busy`: as many wait as may. `away`: NATS did not answer, or not to the end. */
export type SearchAnswer = { kind: 'found'; result: SearchResult } | { kind: 'busy' } | { kind: 'away' };

export interface RecordSearch {
  search(request: RecordQuestion): Promise<SearchAnswer>;
  close(): Promise<void>;
}

/** With the text of a rule, only records of the types that it looks at. */
export type RecordQuestion = SearchRequest & { ruleText?: string | undefined };

type Question = { id: number; request: RecordQuestion };
type Answer = { id: number; result: SearchResult } | { id: number; away: true } | { id: number; failure: string };

export function createRecordSearch(settings: SearchSettings, metrics: Metrics): RecordSearch {
  const waiting = new Map<number, { resolve(answer: SearchAnswer): void; reject(error: Error): void }>();
  let asked = 0;
  let worker: Worker | undefined;
  metrics.trackQueue('record_searches', SEARCHES_WAITING_MAX, () => waiting.size);

  const started = (): Worker => {
    if (worker !== undefined) return worker;
    const made = new Worker(new URL(import.meta.url), {
      workerData: { recordSearch: settings },
      name: 'record search',
    });
    made.unref();
    made.on('message', (answer: Answer) => {
      const asker = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ('result' in answer) asker?.resolve({ kind: 'found', result: answer.result });
      else if ('away' in answer) asker?.resolve({ kind: 'away' });
      else asker?.reject(new Error(answer.failure));
    });
    const ended = (error: Error): void => {
      if (worker === made) worker = undefined;
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    };
    made.on('error', ended);
    made.on('exit', () => ended(new Error('the thread of searches has ended')));
    worker = made;
    return made;
  };

  return {
    async search(request) {
      if (waiting.size >= SEARCHES_WAITING_MAX) return { kind: 'busy' };
      const id = ++asked;
      const { promise, resolve, reject } = Promise.withResolvers<SearchAnswer>();
      waiting.set(id, { resolve, reject });
      const timer = setTimeout(() => {
        waiting.delete(id);
        resolve({ kind: 'away' });
      }, ANSWER_LIMIT_MS);
      started().postMessage({ id, request } satisfies Question);
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
      }
    },
    async close() {
      const made = worker;
      worker = undefined;
      // Whoever still waits is told to come back: the server ends.
      for (const { resolve } of waiting.values()) resolve({ kind: 'away' });
      waiting.clear();
      await made?.terminate();
    },
  };
}

// -- the side of the thread ----------------------------------------------------------------------------------------------

const isOurs = (data: unknown): data is { recordSearch: SearchSettings } =>
  typeof data === 'object' && data !== null && 'recordSearch' in data;

if (!isMainThread && parentPort !== null && isOurs(workerData)) {
  const port = parentPort;
  const { nats, partitions } = workerData.recordSearch;
  const connected = connectNats([...nats], { name: 'ringfence record search' }).then(async (nc) => ({
    js: jetstream(nc),
    jsm: await jetstreamManager(nc, { checkAPI: false }),
    partitionCount: partitions,
  }));
  // Whoever asks is told; without a question nobody waits for it.
  connected.catch(() => {});
  let last: Promise<void> = Promise.resolve();
  const answer = async ({ id, request: { ruleText, ...request } }: Question): Promise<void> => {
    try {
      const recordTypes = request.wanted.recordTypes ?? (ruleText === undefined ? undefined : recordTypesOf(ruleText));
      const wanted = { ...request.wanted, recordTypes };
      port.postMessage({ id, result: await searchRecords(await connected, { ...request, wanted }) } satisfies Answer);
    } catch (error) {
      const away = isNoAnswer(error) || error instanceof SearchInterrupted;
      port.postMessage((away ? { id, away } : { id, failure: (error as Error).message }) as Answer);
    }
  };
  stepBack();
  port.on('message', (question: Question) => {
    last = last.then(() => answer(question));
  });
}
