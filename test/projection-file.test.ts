import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { openProjection, type ProjectionFile } from '../src/projection-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringfence-projection-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const SUFFIXES = ['', '-wal', '-shm', '.pages', '.boot'];

const TABLES = `
  CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
`;
const open = (path: string, form = 1, policy = 'strict'): ProjectionFile =>
  openProjection(path, { form, tables: TABLES, policy });
const rows = ({ db }: ProjectionFile): number => Number(db.prepare('SELECT count(*) AS n FROM entry').get()!['n']);
const textOf = (row: number): string => `entry ${row} `.repeat(50);
const fill = ({ db }: ProjectionFile, count: number): void => {
  const insert = db.prepare('INSERT INTO entry (text) VALUES (?)');
  const { n } = db.prepare('SELECT count(*) AS n FROM entry').get()!;
  for (let row = 0; row < count; row++) insert.run(textOf(Number(n) + row));
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

  /** The files as a kill leaves them: with a log beside them. */
  const killed = (): string => {
    const path = filled();
    const file = open(path);
    fill(file, 5);
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    const copy = join(folder, `${files++}.sqlite`);
    for (const suffix of SUFFIXES) writeFileSync(copy + suffix, readFileSync(path + suffix));
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

  /** Flips a bit of one of the files, or cuts it short; what is found then. */
  const expectRowsOfDamaged = (path: string, suffixes: readonly string[], expected: readonly number[]): Set<number> => {
    const parts = SUFFIXES.filter((suffix) => existsSync(path + suffix)).map((suffix) => ({
      path: path + suffix,
      suffix,
      bytes: readFileSync(path + suffix),
    }));
    const hurt = parts.filter(({ suffix }) => suffixes.includes(suffix));
    const found = new Set<number>();
    fc.assert(
      fc.property(
        fc.nat(hurt.length - 1),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(8),
        (which, share, bit) => {
          const part = hurt[which]!;
          const at = Math.min(part.bytes.length - 1, Math.floor(share * part.bytes.length));
          let damaged = Buffer.from(part.bytes);
          if (bit === 8) damaged = damaged.subarray(0, at);
          else damaged[at]! ^= 1 << bit;
          for (const suffix of SUFFIXES) rmSync(path + suffix, { force: true });
          for (const other of parts) writeFileSync(other.path, other === part ? damaged : other.bytes);
          const file = open(path);
          const texts = file.db.prepare('SELECT id, text FROM entry ORDER BY id').all();
          file.close();
          expect(expected).toContain(texts.length);
          expect(texts).toEqual(texts.map((_, row) => ({ id: row + 1, text: textOf(row) })));
          found.add(texts.length);
        },
      ),
      { numRuns: 120 },
    );
    return found;
  };

  test('begins anew wherever a bit has flipped or it was cut short, and so does one whose sums are damaged', () => {
    expect(expectRowsOfDamaged(filled(), ['', '.pages', '.boot'], [0, 20])).toEqual(new Set([0, 20]));
    expectRowsOfDamaged(filled(), ['', '.pages'], [0]);
  });

  test('begins anew after a kill too, or is as it was at an earlier commit', () => {
    expectRowsOfDamaged(killed(), ['', '.pages'], [0]);
    const earlier = Array.from({ length: 6 }, (_, more) => 20 + more);
    expect(expectRowsOfDamaged(killed(), ['-wal', '-shm'], earlier).size).toBeGreaterThan(2);
  });

  test('is not trusted where the process died while its log was moved', () => {
    const path = killed();
    const pages = readFileSync(`${path}.pages`);
    pages.write('EVOM', 0, 'latin1');
    writeFileSync(`${path}.pages`, pages);
    expect(rowsAgain(path)).toBe(0);
  });

  test('keeps its sums while the log is moved again and again', () => {
    const path = join(folder, `${files++}.sqlite`);
    const file = open(path);
    for (let turn = 0; turn < 60; turn++) {
      file.transaction(() => {
        fill(file, 200);
        file.db.prepare('DELETE FROM entry WHERE id % 7 = ?').run(turn % 7);
      });
      expect(statSync(`${path}-wal`).size).toBeLessThan(8 * 1024 * 1024);
    }
    const expected = rows(file);
    const copy = join(folder, `${files++}.sqlite`);
    for (const suffix of SUFFIXES) writeFileSync(copy + suffix, readFileSync(path + suffix));
    file.close();
    expect(rowsAgain(path)).toBe(expected);
    expect(rowsAgain(copy)).toBe(expected);
  });

  test('does nothing of a transaction that throws', () => {
    const file = open(filled());
    const half = (): void => {
      fill(file, 1);
      throw new Error('half of it');
    };
    expect(() => file.transaction(half)).toThrow('half of it');
    expect(rows(file)).toBe(20);
    file.close();
  });

  test('in memory needs no file', () => {
    const file = open(':memory:');
    fill(file, 3);
    expect(rows(file)).toBe(3);
    file.close();
  });
});
