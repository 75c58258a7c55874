import { setTimeout as sleep } from 'node:timers/promises';
import { migrate, migrationProgress, steer, waitForMigration } from '../../client/migrations.js';
import type { TortureCluster } from './cluster.js';
import { PARTITIONS } from './cluster.js';
import type { Finding } from './findings.js';
import { KEYSPACE } from './operations.js';
import type { TortureDocument } from './operations.js';

const AGREE_WITHIN_MS = 15_000;
const END_WITHIN_MS = 90_000;

/**
 * One more migration, in calm: half-way, while both nodes take writes, the writers pause for a moment, and both copies have
 * to become equal. Then it goes on, or back.
 */
export async function checkAgreement(cluster: TortureCluster, next: () => number): Promise<readonly Finding[]> {
  const { control, routers } = cluster;
  const partition = PARTITIONS[next() < 0.5 ? 0 : 1];
  const goesOn = next() < 0.5;
  const { source } = (await control.catalog.partitions.get(KEYSPACE, partition)).route;
  const target = control.nodes.names.find((name) => name !== source)!;
  const deadline = performance.now() + END_WITHIN_MS;
  const weightInTime = async () => {
    const { phase, weight } = await migrationProgress(control, KEYSPACE, partition);
    if (performance.now() > deadline) throw new Error(`it is at ${phase}, ${weight} % after ${END_WITHIN_MS / 1000} s`);
    return weight;
  };
  try {
    await migrate(control, { keyspace: KEYSPACE, partition, target, weights: [50, 100], dwell: '2s' });
    while ((await weightInTime()) === 0) await sleep(50);
    await steer(control, KEYSPACE, partition, 'pause');
    await Promise.all(routers.map((router) => router.quiet('pause')));
    const difference = await untilEqual(cluster, partition, [source, target]);
    routers.forEach((router) => router.resume());
    await steer(control, KEYSPACE, partition, goesOn ? 'resume' : 'rollback');
    await waitForMigration(control, KEYSPACE, partition, Math.max(1, deadline - performance.now()));
    return difference === undefined ? [] : [{ kind: 'lost', text: `${partition}: the copies differ: ${difference}` }];
  } catch (error) {
    routers.forEach((router) => router.resume());
    const text = `a migration of ${partition} after all faults were over: ${error instanceof Error ? error.message : ''}`;
    return [{ kind: 'stuck', text }];
  }
}

/** @returns what is different when they don't become equal in time */
async function untilEqual(
  { control }: TortureCluster,
  partition: string,
  nodes: readonly [string, string],
): Promise<string | undefined> {
  const { collection } = await control.catalog.partitions.get(KEYSPACE, partition);
  const copyOn = async (node: string) => {
    const documents = (await control.nodes.get(node))
      .db(KEYSPACE.split('.')[0])
      .collection<TortureDocument>(collection);
    const found = await documents.find({}, { projection: { padding: 0 }, sort: { _id: 1 } }).toArray();
    return new Map(found.map((document) => [document._id, JSON.stringify(document)]));
  };
  const deadline = performance.now() + AGREE_WITHIN_MS;
  for (;;) {
    const [here, there] = [await copyOn(nodes[0]), await copyOn(nodes[1])];
    const different = [...new Set([...here.keys(), ...there.keys()])].filter((id) => here.get(id) !== there.get(id));
    if (different.length === 0) return undefined;
    if (performance.now() > deadline) {
      const [first] = different;
      return `${different.length} documents, such as ${here.get(first!)} and ${there.get(first!)}`;
    }
    await sleep(100);
  }
}
