/**
 * Tests are real: brokers, files and browsers run as they would in production. Two workers at most, since a test
 * file may start a broker and a browser of its own; no automatic globals, so that every test says what it uses.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    fileParallelism: true,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    globals: false,
    restoreMocks: true,
    unstubEnvs: true,
  },
});
