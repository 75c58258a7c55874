import { createKeyspace } from '../client/keyspaces.js';
import type { Partition } from '../domain/partition.js';
import { DroverClient } from '../router/index.js';
import type { BenchCluster } from './bench-cluster.js';
import type { Order } from './orders.js';
import { initialOrders, KEY } from './orders.js';

/** A keyspace with the load's documents, which lie uniformly over its partitions. */
export async function filledKeyspace(
  { control, configuration }: BenchCluster,
  keyspace: string,
  documents: number,
  partitions = 1,
): Promise<readonly Partition[]> {
  const made = await createKeyspace(control, { name: keyspace, key: KEY, partitions });
  const client = await DroverClient.connect(configuration.catalog, {
    region: 'us-east',
    nodes: configuration.nodeUris,
    recordAccess: false,
  });
  const [database, collection] = keyspace.split('.') as [string, string];
  const orders = client.db(database).collection<Order>(collection);
  for (const batch of initialOrders(documents)) await orders.insertMany(batch, { ordered: false });
  await client.close();
  return made;
}
