/**
 * What the runs of the tests say: `failed <results>` prints the files that failed, `count <first> <again>` one line over both,
 * where a file that was run again counts as it did then.
 */
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [command, ...paths] = process.argv.slice(2);
const filesOf = (path) => JSON.parse(readFileSync(path, 'utf8')).testResults;

if (command === 'failed') {
  const failed = filesOf(paths[0]).filter(({ status }) => status === 'failed');
  for (const { name } of failed) console.log(relative('.', name));
} else {
  const files = new Map(
    paths
      .filter(existsSync)
      .flatMap(filesOf)
      .map((file) => [file.name, file]),
  );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { status, assertionResults } of files.values()) {
    // A file that could not even be loaded holds no test, yet it failed.
    if (status === 'failed' && assertionResults.length === 0) counts.failed++;
    for (const test of assertionResults) counts[{ passed: 'passed', failed: 'failed' }[test.status] ?? 'skipped']++;
  }
  const { passed, failed, skipped } = counts;
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  if (passed === 0) process.exitCode = 1;
}
