/**
 * Loaded before the program (`node --import`): kills the process with SIGKILL at a named step of a checkpoint or of
 * publishing, RINGFENCE_TEST_CRASH=<step>:<n-th time>. The program knows nothing of it: the steps are found where it
 * calls the disk and the socket. It is loaded into the thread that writes checkpoints too.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import type { DiskFile } from '../src/state/checkpoint.ts';

/** Steps in their order; `faults-crash.test.ts` goes through all of them. */
export const CHECKPOINT_STEPS = [
  'checkpoint begun',
  'checkpoint half written',
  'checkpoint written',
  'checkpoint flushed',
  'checkpoint closed',
  'checkpoint renamed',
  'checkpoint folder flushed',
  'old checkpoint to be removed',
  'old checkpoint removed',
] as const;
export const PUBLISH_STEPS = [
  'alert to be sent',
  'alert half sent',
  'alert sent',
  'alert acknowledged',
  'dead letter to be sent',
  'dead letter sent',
] as const;

const [wanted = '', time = '1'] = (process.env['RINGFENCE_TEST_CRASH'] ?? '').split(':');
let left = Number(time);

/** Counts one more arrival at this step; the last one is the end. */
function isLast(step: string): boolean {
  if (step !== wanted) return false;
  left--;
  return left === 0;
}
function reach(step: string): void {
  if (isLast(step)) process.kill(process.pid, 'SIGKILL');
}

if (wanted !== '') {
  const { open, rename, rm } = promises;
  /** Files that hold a checkpoint to be, and folders that hold checkpoints. */
  const watched = (file: DiskFile, isFolder: boolean): DiskFile => {
    const { write, sync, close } = file;
    let writes = 0;
    const own = {
      async write(bytes: Uint8Array, offset: number) {
        writes++;
        if (writes === 1 && isLast('checkpoint half written')) {
          await write.call(file, bytes.subarray(0, Math.floor(bytes.length / 2)), offset);
          process.kill(process.pid, 'SIGKILL');
        }
        return write.call(file, bytes, offset);
      },
      async sync() {
        if (!isFolder) reach('checkpoint written');
        await sync.call(file);
        reach(isFolder ? 'checkpoint folder flushed' : 'checkpoint flushed');
      },
      async close() {
        await close.call(file);
        if (!isFolder) reach('checkpoint closed');
      },
    };
    return Object.assign(file, own);
  };
  Object.assign(promises, {
    async open(path: string, flags: string) {
      const file = await open(path, flags);
      if (path.endsWith('.writing')) {
        reach('checkpoint begun');
        return watched(file, false);
      }
      return /partition-\d+$/.test(path) ? watched(file, true) : file;
    },
    async rename(from: string, to: string) {
      await rename(from, to);
      if (from.endsWith('.writing')) reach('checkpoint renamed');
    },
    async rm(path: string, options: object) {
      const isOld = /checkpoint-\d+$/.test(path);
      if (isOld) reach('old checkpoint to be removed');
      await rm(path, options);
      if (isOld) reach('old checkpoint removed');
    },
  });
  syncBuiltinESMExports();

  const ALERT = /^HPUB alerts\./m;
  const LETTER = /^HPUB deadletter\./m;
  const ACKNOWLEDGEMENT = /"stream":\s*"ALERTS",\s*"seq"/;
  const { push } = Socket.prototype;
  const write = Socket.prototype.write as (this: Socket, chunk: Uint8Array | string, ...rest: unknown[]) => boolean;
  const die = (): unknown => process.kill(process.pid, 'SIGKILL');
  Socket.prototype.write = function (this: Socket, chunk: Uint8Array | string, ...rest: unknown[]): boolean {
    const bytes = Buffer.from(chunk as Uint8Array);
    const text = bytes.toString('latin1');
    if (ALERT.test(text)) {
      reach('alert to be sent');
      if (isLast('alert half sent')) {
        write.call(this, bytes.subarray(0, Math.floor(bytes.length / 2)), die);
        return true;
      }
      if (isLast('alert sent')) {
        write.call(this, bytes, die);
        return true;
      }
    }
    if (LETTER.test(text)) {
      reach('dead letter to be sent');
      if (isLast('dead letter sent')) {
        write.call(this, bytes, die);
        return true;
      }
    }
    return write.call(this, chunk, ...rest);
  } as Socket['write'];
  Socket.prototype.push = function (this: Socket, chunk: Uint8Array | null, ...rest: unknown[]): boolean {
    if (chunk !== null && ACKNOWLEDGEMENT.test(Buffer.from(chunk).toString('latin1'))) reach('alert acknowledged');
    return Reflect.apply(push, this, [chunk, ...rest]);
  } as typeof push;
}
