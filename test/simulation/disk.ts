/**
 * A disk as checkpoints know it, with the difference between what was written and what is safe. After the end of a process
 * all that was written is there. After the end of the machine (`crash`) only what was flushed is sure: of a file that was not,
 * any part may be there, and of the names that were not flushed with their folder, the first few.
 */
import type { Random } from '../../src/feed/random.ts';
import type { Disk, DiskFile } from '../../src/state/checkpoint.ts';
import type { SimClock, SimProcess } from './clock.ts';

interface Content {
  written: Buffer;
  /** As of the last flush; undefined where there was none. */
  flushed: Buffer | undefined;
}

export interface SimDisk {
  /** The disk as this process sees it. */
  of(process: SimProcess): Disk;
  /** The machine goes down. */
  crash(): void;
  /** Every write fails from now on, or does no longer. */
  fill(full: boolean): void;
  /** Damages a file that is there, as a disk does that lies or rots; says how, undefined where there is none. */
  damage(): { path: string; how: string } | undefined;
  /** What is there now, by name. */
  files(): Map<string, Buffer>;
}

const isFolder = (path: string): boolean => !/checkpoint-/.test(path);

export function createDisk(options: {
  clock: SimClock;
  random: Random;
  /** Longest that one operation takes. */
  latencyMs: number;
  trace(line: string): void;
  /** A checkpoint has its name for good. */
  onDurable(path: string, content: Buffer): void;
}): SimDisk {
  const { clock, random, latencyMs, trace } = options;
  let names = new Map<string, Content>();
  /** Names as they were at the last flush of the folder, and what was done to them since, in order. */
  let flushedNames = new Map<string, Content>();
  let journal: ((into: Map<string, Content>) => void)[] = [];
  let full = false;

  const change = (act: (into: Map<string, Content>) => void): void => {
    act(names);
    journal.push(act);
  };
  const error = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

  const of = (process: SimProcess): Disk => {
    /** One operation: it takes its time, and the process may die before it, in it, or right after it. */
    const operation = <T>(what: string, act: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        process.step('disk');
        if (!process.alive) return;
        clock.after(
          random() * latencyMs,
          () => {
            process.step('disk');
            if (!process.alive && random() < 0.5) return;
            trace(`disk ${what}`);
            try {
              resolve(act());
            } catch (problem) {
              reject(problem);
            }
          },
          process,
        );
      });
    const fileOf = (path: string, content: Content): DiskFile => ({
      read: (into, offset, length, position) =>
        operation(`read ${path}`, () => {
          const bytes = content.written.subarray(position, position + Math.ceil(length * (random() < 0.1 ? 0.5 : 1)));
          into.set(bytes.subarray(0, length), offset);
          return { bytesRead: Math.min(bytes.length, length) };
        }),
      write: (bytes, offset) =>
        operation(`write ${path}`, () => {
          if (full) throw error('ENOSPC', path);
          const rest = bytes.subarray(offset);
          const part = random() < 0.1 ? rest.subarray(0, Math.ceil(rest.length * random())) : rest;
          content.written = Buffer.concat([content.written, part]);
          return { bytesWritten: part.length };
        }),
      stat: () => operation(`stat ${path}`, () => ({ size: content.written.length })),
      sync: () =>
        operation(`sync ${path}`, () => {
          if (!isFolder(path)) {
            content.flushed = content.written;
            return;
          }
          const fresh = [...names].filter(([name, one]) => flushedNames.get(name) !== one);
          flushedNames = new Map(names);
          journal = [];
          for (const [name, { written }] of fresh) if (!name.endsWith('.writing')) options.onDurable(name, written);
        }),
      close: () => operation(`close ${path}`, () => {}),
    });
    return {
      mkdir: (path) => operation(`mkdir ${path}`, () => {}),
      open: (path, flags) =>
        operation(`open ${path}`, () => {
          if (isFolder(path)) return fileOf(path, { written: Buffer.alloc(0), flushed: undefined });
          if (flags === 'r') {
            const content = names.get(path);
            if (content === undefined) throw error('ENOENT', path);
            return fileOf(path, content);
          }
          if (full) throw error('ENOSPC', path);
          const content: Content = { written: Buffer.alloc(0), flushed: undefined };
          change((into) => into.set(path, content));
          return fileOf(path, content);
        }),
      readdir: (path) =>
        operation(`readdir ${path}`, () =>
          [...names.keys()].filter((name) => name.startsWith(`${path}/`)).map((name) => name.slice(path.length + 1)),
        ),
      rename: (from, to) =>
        operation(`rename ${from}`, () => {
          const content = names.get(from);
          if (content === undefined) throw error('ENOENT', from);
          change((into) => {
            into.delete(from);
            into.set(to, content);
          });
        }),
      rm: (path) => operation(`rm ${path}`, () => change((into) => into.delete(path))),
    };
  };

  /** What may be left of bytes that were on their way: all, the old ones, a part, a part with a hole. */
  const torn = ({ written, flushed }: Content): Buffer => {
    if (flushed === written) return written;
    const kind = Math.floor(random() * 4);
    if (kind === 0) return written;
    if (kind === 1) return flushed ?? Buffer.alloc(0);
    const part = Buffer.from(written.subarray(0, Math.floor(random() * (written.length + 1))));
    if (kind === 3) part.fill(0, Math.floor(random() * part.length), part.length);
    return part;
  };

  return {
    of,
    crash() {
      const kept = Math.floor(random() * (journal.length + 1));
      const after = new Map(flushedNames);
      for (const act of journal.slice(0, kept)) act(after);
      names = new Map(
        [...after].map(([name, content]) => {
          const bytes = torn(content);
          return [name, { written: bytes, flushed: bytes }];
        }),
      );
      flushedNames = new Map(names);
      journal = [];
    },
    fill(isFull) {
      full = isFull;
    },
    damage() {
      const generations = [...names.keys()].filter((name) => !name.endsWith('.writing')).sort();
      const newest = generations.at(-1);
      if (newest === undefined) return undefined;
      const content = names.get(newest)!;
      const older = generations.at(-2);
      const kind = Math.floor(random() * 5);
      let bytes = Buffer.from(content.written);
      let how: string;
      if (kind === 0) {
        names.delete(newest);
        how = 'lost';
      } else if (kind === 1 && older !== undefined) {
        bytes = Buffer.from(names.get(older)!.written);
        how = 'stale';
      } else if (kind === 2) {
        bytes = bytes.subarray(0, Math.floor(random() * bytes.length));
        how = 'cut short';
      } else if (kind === 3) {
        bytes.fill(0, Math.floor(random() * bytes.length));
        how = 'zeros at its end';
      } else {
        const at = Math.floor(random() * bytes.length);
        bytes[at]! ^= 1 << Math.floor(random() * 8);
        how = 'a bit has flipped';
      }
      if (kind !== 0) names.set(newest, { written: bytes, flushed: bytes });
      flushedNames = new Map(names);
      journal = [];
      return { path: newest, how };
    },
    files: () => new Map([...names].map(([name, { written }]) => [name, written])),
  };
}
