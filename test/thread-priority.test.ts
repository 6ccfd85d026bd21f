import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';

/** Nice values of the threads of this process; field 19 of proc_pid_stat(5), counted behind the name in brackets. */
const niceValues = (): number[] =>
  readdirSync('/proc/self/task').map((id) =>
    Number(readFileSync(`/proc/self/task/${id}/stat`, 'utf8').split(') ')[1]!.split(' ')[16]),
  );

test.skipIf(process.platform !== 'linux')(
  'a thread that steps back lowers its own priority and no other (Linux)',
  async () => {
    const before = niceValues();
    const url = new URL('../src/thread-priority.ts', import.meta.url).href;
    const code = `import { parentPort } from 'node:worker_threads';
    const { stepBack } = await import(${JSON.stringify(url)});
    stepBack();
    parentPort.on('message', () => {});
    parentPort.postMessage('done');`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    onTestFinished(async () => void (await worker.terminate()));
    await once(worker, 'message');
    const lowered = (values: number[]): number => values.filter((nice) => nice === 10).length;
    expect(lowered(niceValues())).toBe(lowered(before) + 1);
  },
);
