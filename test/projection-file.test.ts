import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { openProjection, type ProjectionFile } from '../src/projection-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-projection-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

const TABLES = `
  CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
`;
const open = (path: string, form = 1, policy = 'strict'): ProjectionFile =>
  openProjection(path, { form, tables: TABLES, policy });
const rows = ({ db }: ProjectionFile): number => Number(db.prepare('SELECT count(*) AS n FROM entry').get()!['n']);
const fill = ({ db }: ProjectionFile, count: number): void => {
  const insert = db.prepare('INSERT INTO entry (text) VALUES (?)');
  for (let row = 0; row < count; row++) insert.run(`entry ${row} `.repeat(50));
};
/** A file that was filled and closed in order. */
const filled = (): string => {
  const path = join(folder, `${files++}.sqlite`);
  const file = open(path);
  fill(file, 20);
  file.close();
  return path;
};
const rowsAgain = (path: string, form?: number, policy?: string): number => {
  const file = open(path, form, policy);
  const found = rows(file);
  file.close();
  return found;
};

describe('a file that can be made again', () => {
  test('is taken up as it was closed', () => {
    const path = filled();
    expect(existsSync(`${path}-wal`)).toBe(false);
    expect(rowsAgain(path)).toBe(20);
    expect(rowsAgain(path)).toBe(20);
  });

  /** The files as a kill leaves them, which is without a sum. */
  const killed = (): string => {
    const path = filled();
    const file = open(path);
    fill(file, 5);
    expect(existsSync(`${path}.sum`)).toBe(false);
    const copy = join(folder, `${files++}.sqlite`);
    for (const suffix of ['', '-wal', '-shm', '.boot']) writeFileSync(copy + suffix, readFileSync(path + suffix));
    file.close();
    return copy;
  };

  test('is taken up after a kill too', () => {
    expect(rowsAgain(killed())).toBe(25);
  });

  test.each([
    ['the machine was started anew since', (path: string) => writeFileSync(`${path}.boot`, 'another run')],
    ['nobody knows whether it was', (path: string) => rmSync(`${path}.boot`)],
  ])('begins anew after a kill where %s, because nothing was flushed', (_, change) => {
    const path = killed();
    change(path);
    expect(rowsAgain(path)).toBe(0);
  });

  test('is taken up after a restart of the machine where it was closed in order', () => {
    const path = filled();
    writeFileSync(`${path}.boot`, 'another run');
    expect(rowsAgain(path)).toBe(20);
  });

  test('begins anew under another form or policy', () => {
    expect(rowsAgain(filled(), 2)).toBe(0);
    expect(rowsAgain(filled(), 1, 'lax')).toBe(0);
  });

  test('begins anew wherever a bit has flipped or it was cut short, and so does one whose sum is damaged', () => {
    const path = filled();
    const parts = ['', '.sum'].map((suffix) => ({ path: path + suffix, bytes: readFileSync(path + suffix) }));
    fc.assert(
      fc.property(
        fc.constantFrom(0, 0, 0, 1),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(8),
        (which, share, bit) => {
          const part = parts[which]!;
          const at = Math.min(part.bytes.length - 1, Math.floor(share * part.bytes.length));
          let damaged = Buffer.from(part.bytes);
          if (bit === 8) damaged = damaged.subarray(0, at);
          else damaged[at]! ^= 1 << bit;
          for (const other of parts) writeFileSync(other.path, other === part ? damaged : other.bytes);
          expect(rowsAgain(path)).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('in memory needs no file', () => {
    const file = open(':memory:');
    fill(file, 3);
    expect(rows(file)).toBe(3);
    file.close();
  });
});
