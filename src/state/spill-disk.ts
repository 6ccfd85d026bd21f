/** The disk under the store of spilled keys: the real one here, another one in the simulation. */
import { close, fsync, mkdirSync, openSync, read, readdirSync, readSync, rmSync, write, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';

/** What the store needs of the disk, where files are numbers. The other one is that of the simulation. */
export interface SpillDisk {
  mkdirSync(path: string, options: { recursive: true }): unknown;
  readdirSync(path: string): string[];
  openSync(path: string, flags: 'r' | 'wx+'): number;
  readSync(file: number, into: Uint8Array, offset: number, length: number, position: number): number;
  writeSync(file: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  rmSync(path: string, options: { force: true }): void;
  read(
    file: number,
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  write(
    file: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }>;
  sync(file: number): Promise<void>;
  close(file: number): Promise<void>;
  /** Names that were made or removed are durable. */
  syncFolder(path: string): Promise<void>;
}

export const realDisk: SpillDisk = {
  mkdirSync,
  readdirSync,
  openSync,
  readSync,
  writeSync,
  rmSync,
  read: promisify(read),
  write: promisify(write),
  sync: promisify(fsync),
  close: promisify(close),
  async syncFolder(path) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};
