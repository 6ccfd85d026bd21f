/**
 * The thread that writes checkpoints. It sees the same memory as the pipeline and copies, sums up, writes and flushes it there,
 * so that the pipeline pays for a checkpoint only with the cut itself and with keeping what it changes meanwhile.
 *
 * What cannot be shared is sent: what the engine says of itself at the begin, names as they are asked for, and each new
 * piece of memory for kept chunks. The last is sent before anything points into it and is fetched without waiting, because the
 * copying runs in one go.
 */
import { isMainThread, type MessagePort, parentPort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { type ArenaCut, type CutPages, takePage } from './arena.ts';
import { type CheckpointContent, type Position, writeCheckpoint } from './checkpoint.ts';
import type { NamesCut } from './key-table.ts';

interface Job<Meta> {
  directory: string;
  position: Position;
  meta: Meta;
  names: number;
  duplicates: Uint8Array[];
  shown: CutPages;
  /** Pieces for kept chunks come here. */
  pieces: MessagePort;
}
type Question = { from: number; to: number };
type Written = { number: number; bytes: number };
type Answer = Question | { written: Written } | { error: unknown };

/** A cut as the engine makes it: it can be shown to another thread. */
export interface SharedContent<Meta> extends CheckpointContent<Meta> {
  names: NamesCut;
  arena: ArenaCut;
}

export interface CheckpointThread {
  /** Like `writeCheckpoint`; one at a time. */
  write<Meta>(directory: string, position: Position, content: SharedContent<Meta>): Promise<Written>;
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
    async write(directory, position, { meta, names, duplicates, arena }) {
      if (busy !== undefined) throw new Error('a checkpoint is being written already');
      if (ended !== undefined) throw ended;
      const { promise, resolve, reject } = Promise.withResolvers<Written>();
      const { port1, port2 } = new MessageChannel();
      arena.onKept((piece) => port1.postMessage(piece));
      const listen = (message: Answer): void => {
        if ('written' in message) resolve(message.written);
        else if ('error' in message) reject(message.error);
        else worker.postMessage(names.slice(message.from, message.to));
      };
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
        };
        worker.postMessage(job, [port2 as never]);
        return await promise;
      } finally {
        busy = undefined;
        worker.unref();
        worker.off('message', listen);
        arena.onKept(() => {});
        port1.close();
      }
    },
    async close() {
      await worker.terminate();
    },
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
  }: Job<unknown>): Promise<void> => {
    const kept: Uint8Array[] = [];
    const keptPiece = (index: number): Uint8Array => {
      while (kept.length <= index) {
        const next = receiveMessageOnPort(pieces);
        if (next === undefined) throw new Error(`piece ${index} of kept memory was not sent`);
        kept.push(next.message as Uint8Array);
      }
      return kept[index]!;
    };
    const content: CheckpointContent<unknown> = {
      meta,
      names: {
        length: names,
        slice: (from, to) =>
          new Promise((resolve) => {
            takeNames = resolve;
            port.postMessage({ from, to } satisfies Answer);
          }),
      },
      duplicates,
      arena: { pages: shown.pages, take: (page, into) => takePage(shown, keptPiece, page, into) },
    };
    try {
      const written = await writeCheckpoint(directory, position, content);
      port.postMessage({ written } satisfies Answer);
    } catch (error) {
      port.postMessage({ error } satisfies Answer);
    } finally {
      pieces.close();
    }
  };
  port.on('message', (message: Job<unknown> | string[]) => {
    if (Array.isArray(message)) takeNames?.(message);
    else void writeJob(message);
  });
}

if (!isMainThread && parentPort !== null) writeJobs(parentPort);
