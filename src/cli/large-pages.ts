/**
 * The state is a gigabyte read at random. With pages of 4 KiB nearly every read misses the processor's table of pages as well; with
 * pages of 2 MiB the engine applies a sixth more records a second. Most Linux distributions give them to who asks, and
 * glibc asks where its environment tells it to before the program starts. So the program starts itself once more, in the same
 * process.
 */
import { readFileSync } from 'node:fs';

const TUNABLE = 'glibc.malloc.hugetlb';

/**
 * Replaces the process by itself with large pages switched on. Does nothing where they are on for everybody or for nobody, where
 * the C library is another one, or where the environment has already settled it (`GLIBC_TUNABLES=glibc.malloc.hugetlb=0` keeps
 * small pages).
 */
export function useLargePages(): void {
  if (process.platform !== 'linux' || process.execve === undefined) return;
  const tunables = process.env['GLIBC_TUNABLES'] ?? '';
  if (tunables.includes(TUNABLE)) return;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  if (header.glibcVersionRuntime === undefined) return;
  try {
    if (!readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').includes('[madvise]')) return;
  } catch {
    // A container may hide it; then nothing is known and nothing is done.
    return;
  }
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    ...process.env,
    GLIBC_TUNABLES: tunables === '' ? `${TUNABLE}=1` : `${tunables}:${TUNABLE}=1`,
  } as Record<string, string>);
}
