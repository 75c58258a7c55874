import type { Catalog } from '../store/catalog/catalog.js';

/** Clocks that differ by more are not good for a node either. */
const CLOCKS_DIFFER_MS = 60_000;

/** What the catalog knows of nodes, and of their past. */
export class NodeHistory {
  constructor(private readonly catalog: Catalog) {}

  /** When each node that is there was added. */
  async addedAt(): Promise<ReadonlyMap<string, Date>> {
    return new Map((await this.catalog.nodes.list()).map(({ _id, addedAt }) => [_id, addedAt]));
  }

  async regions(): Promise<ReadonlyMap<string, string>> {
    return new Map((await this.catalog.nodes.list()).map(({ _id, region }) => [_id, region]));
  }

  /** Nodes to or from which partitions of a keyspace have moved since; some of them may not be there any more. */
  movedSince(keyspace: string, since: Date): Promise<ReadonlySet<string>> {
    return this.catalog.migrations.nodesSince(keyspace, surelyBefore(since));
  }
}

/** By every clock. */
export const surelyBefore = (date: Date): Date => new Date(date.getTime() - CLOCKS_DIFFER_MS);
