/**
 * A disk as checkpoints and the store of spilled keys know it, with the difference between what was written and what is safe.
 * After the end of a process all that was written is there. After the end of the machine (`crash`) only what was flushed is sure:
 * of a file that was not, any part may be there, and of the names that were not flushed with their folder, the first few.
 */
import { pick, type Random } from '../../src/feed/random.ts';
import type { Disk, DiskFile } from '../../src/state/checkpoint.ts';
import type { SpillDisk } from '../../src/state/spill-disk.ts';
import type { SimClock, SimProcess } from './clock.ts';

interface Content {
  written: Buffer;
  /** As of the last flush; undefined where there was none. */
  flushed: Buffer | undefined;
}

export interface SimDisk {
  /** The disk as this process sees it. */
  of(process: SimProcess): Disk;
  /** The same disk for the spilled keys of this process: some of it is asked without waiting, in the middle of a record. */
  spillOf(process: SimProcess): SpillDisk;
  /** The machine goes down. */
  crash(): void;
  /** Every write fails from now on, or does no longer. */
  fill(full: boolean): void;
  /** Damages the newest checkpoint, as a disk does that lies or rots; says how, undefined where there is none. */
  damage(): { path: string; how: string } | undefined;
  /** Damages a segment of spilled keys; what happens is drawn from another source, so that worlds without any stay what they are. */
  damageSpilled(random: Random): { path: string; how: string } | undefined;
  /** The checkpoints that are there now, by name. */
  checkpoints(): Map<string, Buffer>;
}

const isFolder = (path: string): boolean => !/checkpoint-|spill-/.test(path);
const isCheckpoint = (path: string): boolean => /checkpoint-\d+$/.test(path);

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
  let writers = 0;

  const change = (act: (into: Map<string, Content>) => void): void => {
    act(names);
    journal.push(act);
  };
  const error = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

  /** One operation: it takes its time, and the process may die before it, in it, or right after it. */
  const operationsOf =
    (process: SimProcess) =>
    <T>(what: string, act: () => T): Promise<T> =>
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
  const flushNames = (): void => {
    const fresh = [...names].filter(([name, one]) => flushedNames.get(name) !== one);
    flushedNames = new Map(names);
    journal = [];
    for (const [name, { written }] of fresh) if (isCheckpoint(name)) options.onDurable(name, written);
  };
  const namesIn = (path: string): string[] =>
    [...names.keys()].filter((name) => name.startsWith(`${path}/`)).map((name) => name.slice(path.length + 1));

  const of = (process: SimProcess): Disk => {
    const operation = operationsOf(process);
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
          flushNames();
        }),
      close: () => operation(`close ${path}`, () => {}),
    });
    return {
      // Two at once are in checkpoint.test.ts.
      writer: `w${++writers}`,
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
      readdir: (path) => operation(`readdir ${path}`, () => namesIn(path)),
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

  const spillOf = (process: SimProcess): SpillDisk => {
    const operation = operationsOf(process);
    const opened = new Map<number, { path: string; content: Content }>();
    let last = 0;
    const contentOf = (file: number): { path: string; content: Content } => {
      const found = opened.get(file);
      if (found === undefined) throw error('EBADF', String(file));
      return found;
    };
    /** What is not waited for. A process that has died in it goes on to its next waiting, and changes nothing any more. */
    const atOnce = (what: string, act: () => void): void => {
      process.step('disk');
      if (!process.alive) return;
      trace(`disk ${what} at once`);
      act();
    };
    const readFrom = (content: Content, into: Uint8Array, offset: number, length: number, position: number): number => {
      const bytes = content.written.subarray(position, position + length);
      into.set(bytes, offset);
      return bytes.length;
    };
    const writeTo = (file: number, bytes: Uint8Array, position: number): void => {
      const { path, content } = contentOf(file);
      if (full) throw error('ENOSPC', path);
      const after = Buffer.alloc(Math.max(content.written.length, position + bytes.length));
      after.set(content.written);
      after.set(bytes, position);
      content.written = after;
    };
    return {
      mkdirSync() {},
      readdirSync: namesIn,
      openSync(path, flags) {
        let content = names.get(path);
        if (flags === 'r' && content === undefined) throw error('ENOENT', path);
        if (flags === 'wx+') {
          if (content !== undefined) throw error('EEXIST', path);
          if (full) throw error('ENOSPC', path);
          const fresh: Content = { written: Buffer.alloc(0), flushed: undefined };
          content = fresh;
          atOnce(`open ${path}`, () => change((into) => into.set(path, fresh)));
        }
        opened.set(++last, { path, content: content! });
        return last;
      },
      readSync: (file, into, offset, length, position) =>
        readFrom(contentOf(file).content, into, offset, length, position),
      writeSync(file, bytes, offset, length, position) {
        const part = random() < 0.1 ? Math.ceil(length * random()) : length;
        atOnce(`write ${contentOf(file).path}`, () => writeTo(file, bytes.subarray(offset, offset + part), position));
        return part;
      },
      rmSync: (path) => atOnce(`rm ${path}`, () => change((into) => into.delete(path))),
      read: (file, into, offset, length, position) =>
        operation(`read ${contentOf(file).path}`, () => ({
          bytesRead: readFrom(
            contentOf(file).content,
            into,
            offset,
            Math.ceil(length * (random() < 0.1 ? 0.5 : 1)),
            position,
          ),
        })),
      write: (file, bytes, offset, length, position) =>
        operation(`write ${contentOf(file).path}`, () => {
          const part = random() < 0.1 ? Math.ceil(length * random()) : length;
          writeTo(file, bytes.subarray(offset, offset + part), position);
          return { bytesWritten: part };
        }),
      sync: (file) =>
        operation(`sync ${contentOf(file).path}`, () => {
          const { content } = contentOf(file);
          content.flushed = content.written;
        }),
      close: (file) => operation(`close ${contentOf(file).path}`, () => void opened.delete(file)),
      syncFolder: (path) => operation(`sync ${path}`, flushNames),
    };
  };

  /** What may be left of bytes that were on their way: all, the old ones, a part, a part with a hole. */
  const torn = ({ written, flushed }: Content): Buffer => {
    if (flushed === written) return written;
    const kind = Math.floor(random() * 4);
    if (kind === 0) return written;
    if (kind === 1) return flushed ?? Buffer.alloc(0);
    // Files are only appended to: what was flushed stays.
    const safe = flushed?.length ?? 0;
    const part = Buffer.from(written.subarray(0, safe + Math.floor(random() * (written.length - safe + 1))));
    if (kind === 3) part.fill(0, safe + Math.floor(random() * (part.length - safe)), part.length);
    return part;
  };

  /** What a disk does to bytes that lie there: cuts them short, forgets the end, flips a bit. */
  const rotten = (content: Content, draw: Random, kind: number): { bytes: Buffer; how: string } => {
    const bytes = Buffer.from(content.written);
    if (kind === 0) return { bytes: bytes.subarray(0, Math.floor(draw() * bytes.length)), how: 'cut short' };
    if (kind === 1) {
      bytes.fill(0, Math.floor(draw() * bytes.length));
      return { bytes, how: 'zeros at its end' };
    }
    const at = Math.floor(draw() * bytes.length);
    bytes[at]! ^= 1 << Math.floor(draw() * 8);
    return { bytes, how: 'a bit has flipped' };
  };
  const lies = (name: string, bytes: Buffer): void => {
    names.set(name, { written: bytes, flushed: bytes });
  };

  return {
    of,
    spillOf,
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
      const generations = [...names.keys()].filter(isCheckpoint).sort();
      const newest = generations.at(-1);
      if (newest === undefined) return undefined;
      const content = names.get(newest)!;
      const older = generations.at(-2);
      const kind = Math.floor(random() * 5);
      let how = 'lost';
      if (kind === 0) {
        names.delete(newest);
      } else if (kind === 1 && older !== undefined) {
        lies(newest, Buffer.from(names.get(older)!.written));
        how = 'stale';
      } else {
        const damaged = rotten(content, random, kind === 1 ? 2 : kind - 2);
        lies(newest, damaged.bytes);
        how = damaged.how;
      }
      flushedNames = new Map(names);
      journal = [];
      return { path: newest, how };
    },
    damageSpilled(draw) {
      const segments = [...names.keys()].filter((name) => /spill-/.test(name) && names.get(name)!.written.length > 0);
      if (segments.length === 0) return undefined;
      const path = pick(draw, segments);
      const kind = Math.floor(draw() * 4);
      let how = 'lost';
      if (kind === 3) {
        names.delete(path);
      } else {
        const damaged = rotten(names.get(path)!, draw, kind);
        lies(path, damaged.bytes);
        how = damaged.how;
      }
      flushedNames = new Map(names);
      journal = [];
      return { path, how };
    },
    checkpoints: () =>
      new Map([...names].filter(([name]) => isCheckpoint(name)).map(([name, { written }]) => [name, written])),
  };
}
