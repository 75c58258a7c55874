import type { Catalog } from '../store/catalog/catalog.js';

/** What the catalog knows of nodes in the past. */
export class NodeHistory {
  constructor(private readonly catalog: Catalog) {}

  /** @throws DroverError `InvalidRequest` when there is no such node */
  async addedAt(node: string): Promise<Date> {
    return (await this.catalog.nodes.get(node)).addedAt;
  }

  /** Whether a node may have had documents of a keyspace since: whether one of its partitions is there, or has moved there or away. */
  async hadPart(keyspace: string, node: string, since: Date): Promise<boolean> {
    const partitions = await this.catalog.partitions.list(keyspace);
    if (partitions.some(({ route }) => route.source === node || route.target === node)) return true;
    return this.catalog.migrations.concerned(keyspace, node, since);
  }
}
