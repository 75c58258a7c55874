import type { Partition } from '../domain/partition.js';

const NO_GATES: readonly string[] = Object.freeze([]);

/**
 * Partitions in as little memory as they can be, as a router may know a hundred thousand of them: names of keyspaces and nodes,
 * which come from the catalog with each entry, are kept once, equal tokens, too.
 */
export class CompactPartitions {
  private readonly names = new Map<string, string>();
  /** Partitions come in the order of their tokens: where one ends the next one begins. */
  private end = 0n;

  of(partition: Partition): Partition {
    const { id, name, collection, shared, epoch, attempt, gates, route, handover, lastMovedAt } = partition;
    const [box, ...others] = partition.box;
    const low = box.low === this.end ? this.end : box.low;
    const { high } = box;
    this.end = high;
    const boundary = route.boundary === low ? low : route.boundary === high ? high : route.boundary;
    // One shape, without what is added later: that is how the engine keeps all of an object in one piece.
    const compact: Partition = {
      id,
      keyspace: this.name(partition.keyspace),
      name,
      box: [{ low, high }, ...others],
      collection,
      epoch,
      attempt,
      gates: gates.length === 0 ? NO_GATES : gates,
      route: {
        source: this.name(route.source),
        target: route.target === null ? null : this.name(route.target),
        boundary,
        fence: route.fence,
      },
      handover,
      lastMovedAt,
    };
    return shared === undefined
      ? compact
      : { ...compact, shared: { ...shared, collection: this.name(shared.collection) } };
  }

  private name(name: string): string {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    this.names.set(name, name);
    return name;
  }
}
