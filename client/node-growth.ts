import { grouped } from '../domain/grouped.js';
import type { NodeGrowth, OwnedSize } from '../domain/size-growth.js';
import { GROWTH_SPAN_MS, nodeGrowth, sizeGrowth } from '../domain/size-growth.js';
import type { ControlContext } from './context.js';

const BYTES_PER_GB = 1e9;

/** A week of so many partitions is in memory at once: some megabytes. */
const AT_ONCE = 500;

/** @param diskFreeGb of its last probe, where that told it */
export async function growthOfNode(
  { catalog, now }: ControlContext,
  node: string,
  diskFreeGb: number | undefined,
): Promise<NodeGrowth> {
  const owned = (await catalog.partitions.list()).filter(({ route }) => route.source === node);
  const to = now();
  const sizes: OwnedSize[] = [];
  for (const [keyspace, partitions] of grouped(owned, (each) => each.keyspace)) {
    for (let at = 0; at < partitions.length; at += AT_ONCE) {
      const among = partitions.slice(at, at + AT_ONCE).map(({ name }) => name);
      const span = { from: to - GROWTH_SPAN_MS, to };
      const known = await catalog.partitionSizes.readings(keyspace, { among }, span);
      for (const partition of among) {
        const readings = known.get(partition) ?? [];
        sizes.push({ keyspace, partition, growth: sizeGrowth(readings, to), newest: readings.at(-1) });
      }
    }
  }
  return nodeGrowth(node, sizes, diskFreeGb === undefined ? undefined : diskFreeGb * BYTES_PER_GB);
}
