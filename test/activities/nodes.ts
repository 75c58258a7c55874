import { afterAll, beforeAll } from 'vitest';
import type { Db } from 'mongodb';
import type { Dependencies } from '../../activities/dependencies.js';
import type { Partition } from '../../domain/partition.js';
import { partitionId } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import { Catalog } from '../../store/catalog/catalog.js';
import type { MigrationDocument } from '../../store/catalog/migrations.js';
import { NodePool } from '../../store/node-pool.js';
import { useServers } from '../store/servers.js';

/** Two nodes and the catalog on one of them: what activities work with, without Temporal. */
export interface Nodes {
  readonly catalog: Catalog;
  readonly nodes: NodePool;
  /** What was logged as an error. */
  readonly errors: string[];
  dependencies(migration?: Partial<Dependencies['migration']>): Dependencies;
  db(node: 'n0' | 'n1'): Promise<Db>;
}

export const KEYSPACE = 'shop.parcels';

export function useNodes(): Nodes {
  const { uris } = useServers(2);
  const errors: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (message: string) => void errors.push(message),
  };
  const the = {
    errors,
    dependencies: (migration = {}) =>
      ({
        catalog: the.catalog,
        nodes: the.nodes,
        log,
        now: () => 0,
        migration: {
          stepTimeout: 500,
          maxMegabytesPerSecond: 0,
          maxDocumentsPerSecond: 0,
          secondaryIndexes: 'after',
          onDefinitionChange: 'copy',
          ...migration,
        },
      }) as unknown as Dependencies,
    db: async (node) => (await the.nodes.get(node)).db('shop'),
  } as Nodes & { catalog: Catalog; nodes: NodePool };
  beforeAll(async () => {
    the.catalog = await Catalog.open(uris[0]!, 'drover');
    the.nodes = new NodePool(new Map(uris.map((uri, i) => [`n${i}`, uri])));
  });
  afterAll(async () => {
    await the.nodes.close();
    await the.catalog.close();
  });
  return the;
}

/** The lower or the upper half of all tokens, on the first node. */
export function half(name: 'p0' | 'p1', change: Partial<Partition> = {}): Partition {
  const tokens = name === 'p0' ? { low: TOKEN_MIN, high: 0n } : { low: 0n, high: TOKEN_END };
  return {
    id: partitionId(KEYSPACE, name),
    keyspace: KEYSPACE,
    name,
    box: [tokens],
    collection: `parcels.${name}`,
    epoch: 1,
    attempt: 0,
    gates: [],
    route: { source: 'n0', target: null, boundary: tokens.low, fence: null },
    handover: null,
    lastMovedAt: null,
    ...change,
  };
}

export const keyspaceDocument = () => ({
  _id: KEYSPACE,
  database: 'shop',
  collection: 'parcels',
  dimensions: [{ kind: 'hashed' as const, field: 'customerId' }] as [{ kind: 'hashed'; field: string }],
  createdAt: new Date(),
});

/** The record of a move of a partition from the first node to the second one. */
export const record = (id: string, partition = 'p0'): MigrationDocument => ({
  _id: id,
  keyspace: KEYSPACE,
  partition,
  source: 'n0',
  target: 'n1',
  workflowId: 'w',
  runId: 'r',
  requestedBy: 'a test',
  state: 'running',
  phase: 'cutover',
  weight: 0,
  weights: [100],
  startedAt: new Date(),
  documents: 0,
  bytes: 0,
  steps: [],
});
