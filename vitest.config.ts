/**
 * Tests are real: brokers, files and browsers run as they would in production. Two workers at most, since a test
 * file may start a broker and a browser of its own; no automatic globals, so that every test says what it uses.
 * Limits are for what will never come: nothing that works takes so long, on a busy machine with two slow cores either.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    fileParallelism: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    teardownTimeout: 10_000,
    globals: false,
    restoreMocks: true,
    unstubEnvs: true,
  },
});
