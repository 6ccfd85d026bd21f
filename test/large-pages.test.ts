/** The program starts itself again with large pages, once, in the same process, and only where that changes something. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { projectFolder } from '../src/config.ts';
import { temporaryFolder } from './serving.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
const script = join(folder.path, 'shown.mjs');
writeFileSync(
  script,
  `import { useLargePages } from ${JSON.stringify(join(projectFolder, 'src/cli/large-pages.ts'))};
   console.log(process.pid);
   useLargePages();
   console.log(JSON.stringify({ pid: process.pid, tunables: process.env.GLIBC_TUNABLES ?? '', arguments: process.argv.slice(2) }));`,
);
const run = (tunables?: string): { lines: string[]; last: { pid: number; tunables: string; arguments: string[] } } => {
  const { GLIBC_TUNABLES: _, ...environment } = process.env;
  const { stdout } = spawnSync(process.execPath, [script, 'one', 'two words'], {
    encoding: 'utf8',
    env: tunables === undefined ? environment : { ...environment, GLIBC_TUNABLES: tunables },
  });
  const lines = stdout.trim().split('\n');
  return { lines, last: JSON.parse(lines.at(-1)!) };
};
const offered = (): boolean => {
  try {
    return readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').includes('[madvise]');
  } catch {
    return false;
  }
};

describe('large pages', () => {
  test.skipIf(!offered())(
    'are asked for by starting again in the same process, with the same arguments (skipped where the system offers none)',
    () => {
      const { lines, last } = run();
      expect(lines).toHaveLength(3);
      expect(last).toEqual({
        pid: Number(lines[0]),
        tunables: 'glibc.malloc.hugetlb=1',
        arguments: ['one', 'two words'],
      });
      expect(run('glibc.malloc.check=0').last.tunables).toBe('glibc.malloc.check=0:glibc.malloc.hugetlb=1');
    },
  );

  test('are left as the environment says', () => {
    const { lines, last } = run('glibc.malloc.hugetlb=0');
    expect(lines).toHaveLength(2);
    expect(last.tunables).toBe('glibc.malloc.hugetlb=0');
  });
});
