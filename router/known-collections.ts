import type { NodeName, Partition } from '../domain/partition.js';

/** The collections in which documents of a keyspace are, and have been since somebody first asked for them. */
export class KnownCollections {
  private readonly names = new Set<string>();

  constructor(partitions: Iterable<Partition>) {
    for (const partition of partitions) this.add(partition);
  }

  add({ collection, shared }: Partition): void {
    this.names.add(collection);
    if (shared !== undefined) this.names.add(placeOf(shared.node, shared.collection));
  }

  has(node: NodeName, collection: string): boolean {
    return this.names.has(collection) || this.names.has(placeOf(node, collection));
  }
}

/** Names of collections have no zero in them. */
const placeOf = (node: NodeName, collection: string): string => `${node}\0${collection}`;
