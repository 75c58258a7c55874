import { migrate, waitForMigration } from '../client/migrations.js';
import type { Partition } from '../domain/partition.js';
import type { BenchCluster } from './bench-cluster.js';
import { benchCluster } from './bench-cluster.js';
import type { BenchOptions, Comparison } from './bench.js';
import { comparison } from './bench.js';
import { copyByLoop } from './driver-loop.js';
import { filledKeyspace } from './filled-keyspace.js';

const PARTITIONS = 100;
const COLLECTION = 'orders';
const LOOP = 'plain driver';
const MAY_TAKE_MS = 3_600_000;

/**
 * Many partitions asked for at once, as when a node is emptied: whole migrations, through the admission and its default
 * limits, with everything that a loop with the driver over the same collections leaves out.
 */
export async function copyPartitions({ rounds, say }: BenchOptions, documentsEach: number): Promise<Comparison> {
  const cluster = await benchCluster({ dwell: '0s', soak: '0s' });
  try {
    const spoken = documentsEach.toLocaleString('en-US');
    const name = `copy ${PARTITIONS} partitions of ${spoken} documents at once`;
    const measured: { drover: number; baseline: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      say(`${name}: filling the sources`);
      const database = `many-${round}`;
      const keyspace = `${database}.${COLLECTION}`;
      const partitions = await filledKeyspace(cluster, keyspace, documentsEach * PARTITIONS, PARTITIONS);
      const baseline = await seconds(() => copyAll(cluster, database, partitions));
      const drover = await seconds(() => moveAll(cluster, keyspace, partitions));
      say(`round ${round + 1}: drover ${drover.toFixed(1)} s, ${LOOP} ${baseline.toFixed(1)} s`);
      measured.push({ drover, baseline });
      for (const client of Object.values(cluster.nodes)) {
        for (const each of [database, `plain-${database}`]) await client.db(each).dropDatabase();
      }
    }
    return comparison({ case: name, against: LOOP, unit: 's' }, 'lower', measured);
  } finally {
    await cluster.stop();
  }
}

async function moveAll({ control }: BenchCluster, keyspace: string, partitions: readonly Partition[]): Promise<void> {
  const target = ({ route }: Partition) => control.nodes.names.find((name) => name !== route.source)!;
  const move = async (partition: Partition) => {
    await migrate(control, { keyspace, partition: partition.name, target: target(partition), weights: [100] });
    const { outcome } = await waitForMigration(control, keyspace, partition.name, MAY_TAKE_MS);
    if (outcome !== 'completed') throw new Error(`the migration of ${partition.name} ended as "${outcome}"`);
  };
  await Promise.all(partitions.map(move));
}

/** One collection after the other, into another database of the other node. */
async function copyAll({ nodes }: BenchCluster, database: string, partitions: readonly Partition[]): Promise<void> {
  for (const { route, collection } of partitions) {
    const from = nodes[route.source]!.db(database);
    const [, other] = Object.entries(nodes).find(([name]) => name !== route.source)!;
    await copyByLoop(from, other.db(`plain-${database}`), collection);
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const beganAt = performance.now();
  await work();
  return (performance.now() - beganAt) / 1000;
}
