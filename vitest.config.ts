import { defineConfig } from 'vitest/config';

/** Tests run as they are compiled (by `npm run build`), beside the workflow bundle and the worker they start. */
export default defineConfig({
  test: {
    include: ['dist/test/**/*.test.js'],
    pool: 'forks',
    testTimeout: 90_000,
    hookTimeout: 180_000,
    // Two cores, and servers of their own: one file after the other.
    fileParallelism: false,
  },
});
