import { parseArgs } from 'node:util';
import { migrate, waitForMigration } from '../client/migrations.js';
import type { BenchCluster } from './bench-cluster.js';
import { benchCluster } from './bench-cluster.js';
import { Child } from './child.js';
import { filledKeyspace } from './filled-keyspace.js';
import type { Census, FromSoak, ToSoak } from './soak-messages.js';
import { quantile } from './statistics.js';

/**
 * `npm run soak -- --minutes 60`: load through a router while its partitions move back and forth, and a look at what the router still
 * holds every so often. Exit code 1 when any of it has grown.
 */
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, every: { type: 'string', default: '60' } },
});
const RUN_MS = Number(values.minutes) * 60_000;
const LOOK_MS = Number(values.every) * 1_000;
const DATABASE = 'soak';
const COLLECTION = 'orders';
const DOCUMENTS = 2_000;
const PARTITIONS = 4;
const CONCURRENCY = 16;
/** Of the heap between two quarters of the run, and of handles: connections come and go. */
const HEAP_MAY_GROW_MB = 5;
const HANDLES_MAY_GROW = 10;

async function run(): Promise<boolean> {
  const cluster = await benchCluster({ dwell: '200ms', soak: '300ms' });
  const child = new Child<ToSoak, FromSoak>('soak-process', ['--expose-gc']);
  const over = new AbortController();
  try {
    const keyspace = `${DATABASE}.${COLLECTION}`;
    const partitions = await filledKeyspace(cluster, keyspace, DOCUMENTS, PARTITIONS);
    const { catalog: uri, nodeUris: nodes } = cluster.configuration;
    const settings = { uri, nodes, database: DATABASE, collection: COLLECTION, documents: DOCUMENTS };
    await child.ask({ kind: 'start', settings: { ...settings, concurrency: CONCURRENCY } });
    const moving = move(
      cluster,
      keyspace,
      partitions.map(({ name }) => name),
      over.signal,
    );
    const looks = await look(child);
    over.abort();
    console.log(`${await moving} moves`);
    await child.ask({ kind: 'stop' });
    return judge(looks);
  } finally {
    child.kill();
    await cluster.stop();
  }
}

/** One partition after the other, each to the node where it is not. @returns how many moves were completed */
async function move(
  { control }: BenchCluster,
  keyspace: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  let moves = 0;
  for (let i = 0; !signal.aborted; i++) {
    const partition = names[i % names.length]!;
    const { route } = await control.catalog.partitions.get(keyspace, partition);
    await migrate(control, { keyspace, partition, target: control.nodes.names.find((node) => node !== route.source)! });
    const { outcome } = await waitForMigration(control, keyspace, partition);
    if (outcome === 'completed') moves += 1;
    else console.log(`a move of ${partition} ended as "${outcome}"`);
  }
  return moves;
}

async function look(child: Child<ToSoak, FromSoak>): Promise<Census[]> {
  const looks: Census[] = [];
  const end = performance.now() + RUN_MS;
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const answer = await child.ask({ kind: 'census' });
    if (answer.kind !== 'counted') throw new Error(`the application answered "${answer.kind}"`);
    const { heapMb, rssMb, failures, ...counts } = answer.census;
    console.log(`heap ${heapMb.toFixed(1)} MB, rss ${rssMb.toFixed(0)} MB, ${JSON.stringify(counts)}`);
    for (const failure of failures) console.log(`  ${failure}`);
    looks.push(answer.census);
  }
  return looks;
}

function judge(looks: readonly Census[]): boolean {
  const quarter = (n: number) =>
    looks.slice(Math.floor((looks.length * n) / 4), Math.ceil((looks.length * (n + 1)) / 4));
  const median = (n: number, of: (census: Census) => number) => quantile(quarter(n).map(of), 0.5);
  const grown = (of: (census: Census) => number) => median(3, of) - median(1, of);
  const last = looks.at(-1)!;
  const findings = [
    ...(last.underWay > 0 ? [`${last.underWay} requests are still under way`] : []),
    ...(last.waiting > 10 * PARTITIONS ? [`${last.waiting} wait`] : []),
    ...(last.sessions > 2 * CONCURRENCY * 2 ? [`${last.sessions} sessions are kept`] : []),
    ...(grown(({ listeners }) => listeners) > 0 ? ['there are more and more listeners'] : []),
    ...(grown(({ handles }) => handles) > HANDLES_MAY_GROW ? ['there are more and more open handles'] : []),
    ...(grown(({ heapMb }) => heapMb) > HEAP_MAY_GROW_MB ? ['the heap grows'] : []),
  ];
  const { requests, failed } = last;
  console.log(
    `${requests} requests, ${failed} failed; heap ${median(1, heap).toFixed(1)} -> ${median(3, heap).toFixed(1)} MB`,
  );
  for (const finding of findings) console.log(`FOUND: ${finding}`);
  return findings.length === 0;
}

const heap = ({ heapMb }: Census): number => heapMb;

process.exitCode = (await run()) ? 0 : 1;
