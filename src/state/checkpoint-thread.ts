/**
 * The thread that writes checkpoints. It sees the same memory as the pipeline and copies, sums up, writes and flushes it there,
 * so that the pipeline pays for a checkpoint only with the cut itself and with keeping what it changes meanwhile.
 *
 * What cannot be shared is sent: what the engine says of itself at the begin, names as they are asked for, and each new
 * piece of memory for kept blocks. The last is sent before anything points into it and is fetched without waiting, because the
 * copying runs in one go.
 */
import { isMainThread, type MessagePort, parentPort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { stepBack } from '../thread-priority.ts';
import { type ArenaCut, type CutPages, takePage } from './arena.ts';
import { type CheckpointContent, type Position, writeCheckpoint } from './checkpoint.ts';
import type { NamesCut } from './key-table.ts';

/**
 * After each piece the thread rests for so many times as long as it took. A core is what the broker and the desks need at the
 * same moment: with 200,000 subscribers and all rules on two cores alerts waited for half a second while 530 MB were
 * written in one go.
 */
const REST_FACTOR = 3;
const LEISURE = 0;
const HURRY = 1;

interface Job<Meta> {
  directory: string;
  position: Position;
  meta: Meta;
  names: number;
  duplicates: Uint8Array[];
  shown: CutPages;
  /** Pieces for kept blocks come here. */
  pieces: MessagePort;
  /** One word: LEISURE or HURRY. */
  pace: Int32Array;
}
type Question = { from: number; to: number };
type Written = { number: number; bytes: number };
/** An error loses its code on the way to another thread. */
type Answer = Question | { written: Written } | { error: unknown; code: string | undefined };

/** A cut as the engine makes it: it can be shown to another thread. */
export interface SharedContent<Meta> extends CheckpointContent<Meta> {
  names: NamesCut;
  arena: ArenaCut;
}

export interface CheckpointThread {
  /** Like `writeCheckpoint`, with rests until `hurry` is aborted; one at a time. */
  write<Meta>(
    directory: string,
    position: Position,
    content: SharedContent<Meta>,
    hurry?: AbortSignal,
  ): Promise<Written>;
  /** Ends the thread; what it is writing stays unfinished under its other name. */
  close(): Promise<void>;
}

export function startCheckpointThread(): CheckpointThread {
  const worker = new Worker(new URL(import.meta.url), { name: 'checkpoint' });
  // Between checkpoints it keeps nobody alive.
  worker.unref();
  let busy: { reject(error: unknown): void } | undefined;
  let ended: unknown;
  const end = (error: unknown): void => {
    ended ??= error;
    busy?.reject(error);
  };
  worker.on('error', end);
  worker.on('exit', (code) => end(new Error(`the checkpoint thread ended with code ${code}`)));
  return {
    async write(directory, position, { meta, names, duplicates, arena }, hurry) {
      if (busy !== undefined) throw new Error('a checkpoint is being written already');
      if (ended !== undefined) throw ended;
      const { promise, resolve, reject } = Promise.withResolvers<Written>();
      const { port1, port2 } = new MessageChannel();
      arena.onKept((piece) => port1.postMessage(piece));
      const listen = (message: Answer): void => {
        if ('written' in message) resolve(message.written);
        else if ('error' in message) reject(Object.assign(message.error as Error, { code: message.code }));
        else worker.postMessage(names.slice(message.from, message.to));
      };
      const pace = new Int32Array(new SharedArrayBuffer(4));
      const hasten = (): void => {
        Atomics.store(pace, 0, HURRY);
        Atomics.notify(pace, 0);
      };
      if (hurry?.aborted) hasten();
      hurry?.addEventListener('abort', hasten);
      worker.on('message', listen);
      worker.ref();
      busy = { reject };
      try {
        const { shown } = arena;
        const job: Job<unknown> = {
          directory,
          position,
          meta,
          names: names.length,
          duplicates,
          shown,
          pieces: port2 as never,
          pace,
        };
        worker.postMessage(job, [port2 as never]);
        return await promise;
      } finally {
        busy = undefined;
        worker.unref();
        worker.off('message', listen);
        hurry?.removeEventListener('abort', hasten);
        arena.onKept(() => {});
        port1.close();
      }
    },
    async close() {
      await worker.terminate();
    },
  };
}

/** A checkpoint as somebody sees it who shares the memory, asks for names, and gets pieces of kept memory one after the other. */
export function shownContent<Meta>(
  { meta, names, duplicates, shown }: Pick<Job<Meta>, 'meta' | 'names' | 'duplicates' | 'shown'>,
  askNames: (from: number, to: number) => Promise<string[]>,
  nextPiece: () => Uint8Array | undefined,
): CheckpointContent<Meta> {
  const kept: Uint8Array[] = [];
  const keptPiece = (index: number): Uint8Array => {
    while (kept.length <= index) {
      const piece = nextPiece();
      if (piece === undefined) throw new Error(`piece ${index} of kept memory was not sent`);
      kept.push(piece);
    }
    return kept[index]!;
  };
  return {
    meta,
    names: { length: names, slice: askNames },
    duplicates,
    arena: { pages: shown.pages, take: (page, into) => takePage(shown, keptPiece, page, into) },
  };
}

/** The side of the thread: writes one checkpoint after the other. */
function writeJobs(port: MessagePort): void {
  /** Takes the names that were asked for. */
  let takeNames: ((names: string[]) => void) | undefined;
  const writeJob = async ({
    directory,
    position,
    meta,
    names,
    duplicates,
    shown,
    pieces,
    pace,
  }: Job<unknown>): Promise<void> => {
    const content = shownContent(
      { meta, names, duplicates, shown },
      (from, to) =>
        new Promise((resolve) => {
          takeNames = resolve;
          port.postMessage({ from, to } satisfies Answer);
        }),
      () => receiveMessageOnPort(pieces)?.message as Uint8Array | undefined,
    );
    let resumedAt = performance.now();
    const rest = (): void => {
      Atomics.wait(pace, 0, LEISURE, (performance.now() - resumedAt) * REST_FACTOR);
      resumedAt = performance.now();
    };
    try {
      const written = await writeCheckpoint(directory, position, content, undefined, rest);
      port.postMessage({ written } satisfies Answer);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      port.postMessage({ error, code } satisfies Answer);
    } finally {
      pieces.close();
    }
  };
  port.on('message', (message: Job<unknown> | string[]) => {
    if (Array.isArray(message)) takeNames?.(message);
    else void writeJob(message);
  });
}

if (!isMainThread && parentPort !== null) {
  stepBack();
  writeJobs(parentPort);
}
