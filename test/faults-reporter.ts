/** Prints a line for each fault: its number, what was done, its figures, how long it took, and whether it passed. */
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const NAME_COLUMNS = 62;

const VERDICTS: Record<string, string> = { passed: 'pass', failed: 'FAIL' };

function print(state: string, name: string, seconds: number, figures: string): void {
  const verdict = (VERDICTS[state] ?? 'skipped').padEnd(7);
  process.stdout.write(`${verdict} ${name.padEnd(NAME_COLUMNS)} ${seconds.toFixed(1).padStart(6)} s  ${figures}\n`);
}

const shown = (value: number | string): string => (typeof value === 'number' ? value.toLocaleString('en') : value);

// biome-ignore lint/style/noDefaultExport: that is how the test runner loads a reporter
export default class FaultsReporter implements Reporter {
  #failed = 0;
  #passed = 0;
  #skipped = 0;

  onTestCaseResult(testCase: TestCase): void {
    const { state, errors } = testCase.result();
    if (state === 'passed') this.#passed++;
    else if (state === 'failed') this.#failed++;
    else this.#skipped++;
    const { fault, figures = {} } = testCase.meta();
    if (fault !== undefined || state === 'failed') {
      const seconds = (testCase.diagnostic()?.duration ?? 0) / 1000;
      const line = Object.entries(figures)
        .map(([name, value]) => `${name} ${shown(value)}`)
        .join(', ');
      print(state, testCase.name, seconds, line);
    }
    for (const { message, stack } of errors ?? []) process.stdout.write(`${message}\n${stack ?? ''}\n`);
  }

  /** Files of properties, which are part of the whole with many cases, are one line. */
  onTestModuleEnd(module: TestModule): void {
    const tests = [...module.children.allTests()];
    if (tests.some((test) => test.meta().fault !== undefined)) return;
    const seconds = tests.reduce((sum, test) => sum + (test.diagnostic()?.duration ?? 0), 0) / 1000;
    print(
      module.state(),
      `R28 ${module.relativeModuleId}`,
      seconds,
      `tests ${tests.length}, cases of a property 10,000`,
    );
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { message?: string; stack?: string }[]): void {
    // What goes wrong before or after the tests of a file belongs to none of them.
    for (const { message, stack } of [...modules.flatMap((module) => module.errors()), ...unhandled])
      process.stdout.write(`${message}\n${stack ?? ''}\n`);
    process.stdout.write(`${this.#passed} passed, ${this.#failed} failed, ${this.#skipped} skipped\n`);
  }
}
