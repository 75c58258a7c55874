import type { AccessRecord } from '../../domain/access.js';
import type { Scene } from './harness.js';

const HOUR_MS = 3_600_000;
const DAYS = 4;

/**
 * Access history of some days, hour by hour with a daily season, in which every partition is used from its owner's region;
 * only the load of one has gone over to another region. @returns the node of that region
 */
export async function moveTheLoad(the: Scene, moved: string): Promise<string> {
  const { catalog } = the.control;
  const nodes = await catalog.nodes.list();
  const target = the.otherNode(await the.partition(moved));
  const regionOf = (name: string) => nodes.find((node) => node._id === name)!.region;
  const end = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const records: AccessRecord[] = [];
  for (const partition of await catalog.partitions.list(the.keyspace)) {
    const home = regionOf(partition.name === moved ? target : partition.route.source);
    for (let time = end - DAYS * 24 * HOUR_MS; time < end; time += HOUR_MS) {
      const requests = 100 + Math.round(50 * Math.sin((2 * Math.PI * (time - end)) / (24 * HOUR_MS)));
      for (const { region } of nodes) {
        const count = region === home ? requests : 2;
        records.push({
          keyspace: the.keyspace,
          partition: partition.name,
          region,
          time,
          reads: count,
          writes: Math.round(count / 4),
          errors: 0,
          latencyMs: { sum: count, max: 2 },
          clients: [[region, count]],
          tokens: [],
        });
      }
    }
  }
  await catalog.access.append(records);
  return target;
}
