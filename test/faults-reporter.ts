/** Prints a line for each fault: its number, what was done, its figures, how long it took, and whether it passed. */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const NAME_COLUMNS = 62;

const shown = (value: number | string): string => (typeof value === 'number' ? value.toLocaleString('en') : value);

// biome-ignore lint/style/noDefaultExport: that is how the test runner loads a reporter
export default class FaultsReporter implements Reporter {
  #failed = 0;
  #passed = 0;
  #skipped = 0;

  onTestCaseResult(testCase: TestCase): void {
    const { state, errors } = testCase.result();
    const { figures = {} } = testCase.meta();
    const seconds = ((testCase.diagnostic()?.duration ?? 0) / 1000).toFixed(1);
    const line = Object.entries(figures)
      .map(([name, value]) => `${name} ${shown(value)}`)
      .join(', ');
    const verdict = state === 'passed' ? 'pass' : state === 'failed' ? 'FAIL' : 'skipped';
    process.stdout.write(
      `${verdict.padEnd(7)} ${testCase.name.padEnd(NAME_COLUMNS)} ${seconds.padStart(6)} s  ${line}\n`,
    );
    if (state === 'passed') this.#passed++;
    else if (state === 'failed') this.#failed++;
    else this.#skipped++;
    for (const { message, stack } of errors ?? []) process.stdout.write(`${message}\n${stack ?? ''}\n`);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { message?: string; stack?: string }[]): void {
    // What goes wrong before or after the tests of a file belongs to none of them.
    for (const { message, stack } of [...modules.flatMap((module) => module.errors()), ...unhandled])
      process.stdout.write(`${message}\n${stack ?? ''}\n`);
    process.stdout.write(`${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped\n`);
  }
}
