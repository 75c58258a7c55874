import type { Document } from 'mongodb';
import type { SplitPipeline } from './split-pipeline.js';

interface Plan {
  readonly node: string;
  readonly collection: string;
  readonly plan: Document;
}

/** By the names of the nodes; where one has more than one collection, by these, too. */
export function shardsOf(plans: readonly Plan[]): Document {
  const named = plans.map(({ node, collection, plan }) => {
    const isOnly = plans.filter((other) => other.node === node).length === 1;
    return [isOnly ? node : `${node} ${collection}`, plan] as const;
  });
  return Object.fromEntries(named);
}

/** As a sharded cluster shows it. */
export function explainSplit({ nodes, order, skip, limit, merge }: SplitPipeline, shards: Document): Document {
  const mergerPart = [
    { $mergeCursors: order === undefined ? {} : { sortedBy: order.key, directions: order.directions } },
    ...(skip > 0 ? [{ $skip: skip }] : []),
    ...(limit < Infinity ? [{ $limit: limit }] : []),
    ...merge.flatMap(({ stages }) => stages),
  ];
  return {
    mergeType: merge.length === 0 ? 'router' : 'anyShard',
    splitPipeline: { shardsPart: nodes, mergerPart },
    shards,
    ok: 1,
  };
}
