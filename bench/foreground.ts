import { setTimeout as sleep } from 'node:timers/promises';
import { migrate, migrationProgress, waitForMigration } from '../client/migrations.js';
import type { BenchCluster } from './bench-cluster.js';
import { benchCluster } from './bench-cluster.js';
import type { Bench, BenchOptions, Comparison, Round } from './bench.js';
import { comparison } from './bench.js';
import { filledKeyspace } from './filled-keyspace.js';
import { Load } from './load.js';
import type { LoadResult } from './load-messages.js';
import { quantile } from './statistics.js';

const DATABASE = 'foreground';
const COLLECTION = 'orders';
const KEYSPACE = `${DATABASE}.${COLLECTION}`;
const PARTITION = 'p0';
const RATE = 500;
/** Of the speed that a move has when nobody else wants anything. */
const SHARE = 0.25;
const QUIET_MS = 30_000;
/** After the first writes, and between a move and what is measured without one. */
const SETTLE_MS = 5_000;
/** Each look asks the workflow: more often would be felt. */
const LOOK_MS = 250;

/** What a move costs the application: the wait of its writes without a move, and while its partition is being moved. */
export const foreground: Bench = {
  about:
    'p99 of 500 writes/s while their partition moves at a quarter of its free speed, against the same without a move',
  defaults: { documents: 400_000 },
  run: async (options) => {
    const cluster = await benchCluster({ dwell: '1s', soak: '1s' });
    try {
      return await measure(cluster, options);
    } finally {
      await cluster.stop();
    }
  },
};

async function measure(cluster: BenchCluster, { documents, rounds, say }: BenchOptions): Promise<Comparison[]> {
  await filledKeyspace(cluster, KEYSPACE, documents);
  const free = await move(cluster, 0);
  const throttled = Math.max(0.5, SHARE * free.megabytesPerSecond);
  say(
    `a move without load copies ${free.megabytesPerSecond.toFixed(1)} MB/s: throttled to ${throttled.toFixed(1)} MB/s`,
  );
  const { catalog, nodeUris: nodes } = cluster.configuration;
  const load = await Load.start({
    through: 'router',
    ...{ uri: catalog, nodes, database: DATABASE, collection: COLLECTION, documents, rate: RATE, seed: 500 },
  });
  const windows: { quiet: Window; copying: Window; moving: Window; phases: ReadonlyMap<string, Window> }[] = [];
  let result: LoadResult;
  try {
    for (let round = 0; round < rounds; round++) {
      await sleep(SETTLE_MS);
      const quiet = await during(() => sleep(QUIET_MS));
      let moved!: Moved;
      const moving = await during(async () => (moved = await move(cluster, throttled)));
      windows.push({ quiet, copying: moved.copying, moving, phases: moved.phases });
      say(`round ${round + 1}: moved in ${((moving.to - moving.from) / 1000).toFixed(1)} s`);
    }
    result = await load.stop();
  } finally {
    load.kill();
  }
  if (result.failed > 0) throw new Error(`a move must not fail a request: ${result.failures[0]}`);
  for (const phase of windows[0]!.phases.keys()) {
    const seen = windows.map(({ phases }) => phases.get(phase)).filter((window) => window !== undefined);
    const waits = seen.map((window) => wait(result, window, 0.99).toFixed(1));
    say(`p99 in the phase ${phase}: ${waits.join(' / ')} ms`);
  }
  const compare = (what: string, q: number, window: 'copying' | 'moving') =>
    comparison(
      { case: `wait of a write, ${what}, at ${RATE} writes/s`, against: 'without a move', unit: 'ms' },
      'lower',
      windows.map((each): Round => ({ drover: wait(result, each[window], q), baseline: wait(result, each.quiet, q) })),
    );
  return [
    compare('p99, while it is copied and compared', 0.99, 'copying'),
    compare('p99, over the whole move', 0.99, 'moving'),
    compare('median, over the whole move', 0.5, 'moving'),
  ];
}

/** Milliseconds since 1970. */
interface Window {
  readonly from: number;
  readonly to: number;
}

async function during(work: () => Promise<unknown>): Promise<Window> {
  const from = Date.now();
  await work();
  return { from, to: Date.now() };
}

/** Of the writes that were due in a window. */
function wait({ intended, answered }: LoadResult, { from, to }: Window, q: number): number {
  const waits: number[] = [];
  for (const [i, due] of intended.entries()) if (due >= from && due < to) waits.push(answered[i]! - due);
  return quantile(waits, q);
}

interface Moved {
  /** From the beginning of the backfill to the end of verification. */
  readonly copying: Window;
  /** Those before the cutover, by name. */
  readonly phases: ReadonlyMap<string, Window>;
  readonly megabytesPerSecond: number;
}

/** To the other node. */
async function move({ control }: BenchCluster, maxMegabytesPerSecond: number): Promise<Moved> {
  const { route } = await control.catalog.partitions.get(KEYSPACE, PARTITION);
  const target = control.nodes.names.find((name) => name !== route.source)!;
  await migrate(control, { keyspace: KEYSPACE, partition: PARTITION, target, maxMegabytesPerSecond });
  const began = new Map<string, number>();
  while (!began.has('cutover')) {
    const { phase, phaseSince } = await migrationProgress(control, KEYSPACE, PARTITION);
    began.set(phase, phaseSince);
    if (phase === 'rolledBack') throw new Error('the move was rolled back');
    await sleep(LOOK_MS);
  }
  const { outcome, bytes } = await waitForMigration(control, KEYSPACE, PARTITION);
  if (outcome !== 'completed') throw new Error(`the move ended as "${outcome}"`);
  const [from, to] = [began.get('backfill'), began.get('cutover')];
  // Catching up may be over between two looks.
  const copied = began.get('replicate') ?? began.get('verify');
  if (from === undefined || copied === undefined || to === undefined)
    throw new Error('a phase was too short to be seen');
  const begins = [...began];
  const phases = new Map(begins.slice(0, -1).map(([name, at], i) => [name, { from: at, to: begins[i + 1]![1] }]));
  return { copying: { from, to }, phases, megabytesPerSecond: bytes / 1000 / Math.max(1, copied - from) };
}
