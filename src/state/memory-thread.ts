/**
 * Memory that is there when it is asked for.
 *
 * The system gives a page of memory only when it is first written to, and on virtual machines that takes up to 14 us for
 * 4 KiB, since the host may have to find the page too. Right after a cut the pipeline fills fresh memory with what it keeps:
 * with 200,000 subscribers and twelve rules it came down from 100,000 records/s to 33,000 for a second. So a thread writes
 * once to every page of what will be needed next, and the pipeline finds it ready. Where it is not, the pipeline takes
 * memory as it comes, which is slower and nothing else.
 */
import {
  isMainThread,
  MessageChannel,
  MessagePort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from 'node:worker_threads';
import type { Memory } from './arena.ts';

/** No page of any system is smaller. */
const SYSTEM_PAGE_BYTES = 4_096;

interface Order {
  bytes: number;
  count: number;
}

export interface PreparedMemory extends Memory {
  /** Pieces of this size that wait to be taken. */
  ready(bytes: number): number;
  close(): Promise<void>;
}

/** The thread starts with the first order: a small state never needs it. */
export function startMemoryThread(): PreparedMemory {
  const ready = new Map<number, SharedArrayBuffer[]>();
  /** Of each size, those ordered and not yet taken from the port. */
  const underWay = new Map<number, number>();
  let worker: Worker | undefined;
  let port: MessagePort | undefined;

  const open = (): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    worker = new Worker(new URL(import.meta.url), { name: 'memory', workerData: port2, transferList: [port2] });
    // It keeps nobody alive.
    worker.unref();
    return port1;
  };
  const collect = (): void => {
    for (let next = port && receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port!)) {
      const memory = next.message as SharedArrayBuffer;
      const { byteLength } = memory;
      ready.set(byteLength, [...(ready.get(byteLength) ?? []), memory]);
      underWay.set(byteLength, underWay.get(byteLength)! - 1);
    }
  };

  return {
    take(bytes) {
      collect();
      return ready.get(bytes)?.pop() ?? new SharedArrayBuffer(bytes);
    },
    prepare(bytes, count) {
      collect();
      const missing = count - (ready.get(bytes)?.length ?? 0) - (underWay.get(bytes) ?? 0);
      if (missing <= 0) return;
      port ??= open();
      underWay.set(bytes, (underWay.get(bytes) ?? 0) + missing);
      port.postMessage({ bytes, count: missing } satisfies Order);
    },
    ready(bytes) {
      collect();
      return ready.get(bytes)?.length ?? 0;
    },
    async close() {
      await worker?.terminate();
    },
  };
}

/** The side of the thread. */
function fillOrders(port: MessagePort): void {
  port.on('message', ({ bytes, count }: Order) => {
    for (let made = 0; made < count; made++) {
      const memory = new SharedArrayBuffer(bytes);
      const view = new Uint8Array(memory);
      for (let at = 0; at < bytes; at += SYSTEM_PAGE_BYTES) view[at] = 0;
      port.postMessage(memory);
    }
  });
}

if (!isMainThread && workerData instanceof MessagePort) fillOrders(workerData);
