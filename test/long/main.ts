import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

/**
 * The end-to-end stories (migrations under load, killed workers) again and again, with other seeds, for as long as asked:
 * `npm run test:long -- --minutes 30 --seed 7`. Ends with the figures; exit code 1 when any round failed.
 */
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } },
});
const until = Date.now() + Number(values.minutes) * 60_000;
let seed = Number(values.seed);
let passed = 0;
const failed: number[] = [];
do {
  console.log(`round with seed ${seed}`);
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', 'dist/test/e2e/migration', 'dist/test/e2e/worker-killed'],
    { stdio: 'inherit', env: { ...process.env, DROVER_TEST_SEED: String(seed) } },
  );
  if (status === 0) passed += 1;
  else failed.push(seed);
  seed += 1;
} while (Date.now() < until);
if (failed.length > 0) console.log(`failed with seeds ${failed.join(', ')}`);
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
