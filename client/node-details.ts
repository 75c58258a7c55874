import type { AttributedUse } from '../domain/attribution.js';
import { attributed } from '../domain/attribution.js';
import type { NodeGrowth } from '../domain/size-growth.js';
import type { PartitionServed } from '../store/catalog/node-use.js';
import type { ControlContext } from './context.js';
import { growthOfNode } from './node-growth.js';
import type { NodeSummary } from './nodes.js';
import { listNodes } from './nodes.js';

const HOUR_MS = 3_600_000;

/** A partition's part in what its node does, over the last hour, and in what it used between its last two probes. */
export type NodePartition = PartitionServed & AttributedUse;

export interface NodeDetails extends NodeSummary {
  /** Of those that it has served something of, as its owner or with a copy: busiest first. */
  readonly serves: readonly NodePartition[];
  /** Of the partitions that it owns. */
  readonly growth: NodeGrowth;
}

/** @throws DroverError `InvalidRequest` when there is no such node */
export async function showNode(context: ControlContext, name: string): Promise<NodeDetails> {
  const { catalog } = context;
  await catalog.nodes.get(name);
  const [nodes, served] = await Promise.all([
    listNodes(context),
    catalog.nodeUses.servedBy(name, context.now() - HOUR_MS),
  ]);
  const summary = nodes.find((node) => node.name === name)!;
  const uses = attributed(served, summary.probe ?? {});
  const growth = await growthOfNode(context, name, summary.probe?.diskFreeGb);
  return { ...summary, serves: served.map((each, i) => ({ ...each, ...uses[i]! })), growth };
}
