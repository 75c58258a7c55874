import { defineConfig } from 'vitest/config';
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

const TESTS = 'dist/test/**/*.test.js';

/** They measure how long a request waits, or throw faults at servers that have to answer in time: each has the machine to itself. */
const ALONE = [
  'dist/test/e2e/router-gone.test.js',
  'dist/test/router/lease.test.js',
  'dist/test/store/node-pressure.test.js',
  'dist/test/torture/torture.test.js',
];

/** Longest first, so that in the end nobody waits for one that has begun late. Others come after these. */
const LONGEST = [
  '/e2e/left-behind',
  '/e2e/',
  '/client/',
  '/domain/protocol/',
  '/workflows/migration',
  '/router/',
  '/store/',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part));
      return found < 0 ? LONGEST.length : found;
    };
    return [...(await super.sort(files))].sort((a, b) => rank(a) - rank(b));
  }
}

/**
 * Tests run as they are compiled (by `npm run build`), beside the workflow bundle and the worker they start. Two files at a
 * time, as those with servers wait more than they work; then, one after the other, those that need the machine to themselves.
 */
export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 90_000,
    hookTimeout: 180_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      { extends: true, test: { name: 'together', include: [TESTS], exclude: ALONE, maxWorkers: 2 } },
      { extends: true, test: { name: 'alone', include: ALONE, fileParallelism: false } },
    ],
  },
});
