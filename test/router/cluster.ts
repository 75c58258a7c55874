import type { Document } from 'mongodb';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { HandoverEvent } from '../../domain/handover.js';
import type { Partition } from '../../domain/partition.js';
import { acceptedTokens } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { DroverClientOptions, DroverCollection } from '../../router/index.js';
import { DroverClient } from '../../router/index.js';
import type { RouteFeed } from '../../router/route-feed.js';
import { Catalog } from '../../store/catalog/catalog.js';
import { createFenced, setAccepted } from '../store/fences.js';
import { tokenOfKey } from '../../store/key-token.js';
import { until, useServers } from '../store/servers.js';

export type Node = 'a' | 'b';

export const keys = Array.from({ length: 60 }, (_, i) => `customer-${i}`);
/** Keys of the partition that moves, and of the one that stays on `b`. */
export const lower = keys.filter((key) => tokenOfKey(key) < 0n);
export const upper = keys.filter((key) => tokenOfKey(key) >= 0n);

/** Two nodes, and for every test a keyspace `shop.<name>`: the lower half (`p0`) on node `a`, the upper (`p1`) on `b`. */
export function useCluster(...servers: [extraArgs?: readonly string[], ofThree?: readonly number[]]) {
  const { clients, uris } = useServers(2, ...servers);
  let keyspaces = 0;
  const cluster = {
    uris,
    catalog: undefined as unknown as Catalog,
    name: '',
    open: [] as DroverClient[],

    db: (node: Node) => clients[node === 'a' ? 0 : 1]!.db('shop'),
    stored: (node: Node, part = 'p0') => cluster.db(node).collection(`${cluster.name}.${part}`),
    /** What the same calls do with the driver alone. */
    plain: () => clients[0]!.db('plain').collection(cluster.name),
    plainClient: () => clients[0]!,

    connect: async (options: Partial<DroverClientOptions> = {}): Promise<DroverClient> => {
      const client = await DroverClient.connect(uris[0]!, {
        region: 'eu',
        nodes: { a: uris[0]!, b: uris[1]! },
        holdTimeoutMS: 1_500,
        recordAccess: false,
        ...options,
      });
      cluster.open.push(client);
      return client;
    },
    orders: (client: DroverClient): DroverCollection<Document> => client.db('shop').collection(cluster.name),
    feed: (client: DroverClient) => (client as unknown as { feed: RouteFeed }).feed,

    partition: () => cluster.catalog.partitions.get(`shop.${cluster.name}`, 'p0'),
    /** Changes the route in the catalog, and with it the fences of both nodes. */
    advance: async (...events: HandoverEvent[]): Promise<Partition> => {
      let now = await cluster.partition();
      for (const event of events) {
        now = await cluster.catalog.partitions.advance(now, event);
        for (const node of ['a', 'b'] as const) {
          if (now.route.target !== null)
            await setAccepted(cluster.db(node), now.collection, 'customerId', acceptedTokens(now, node));
        }
      }
      return now;
    },
    /** Claims the partition for a move to `b`. */
    announce: async () => {
      await createFenced(cluster.db('b'), `${cluster.name}.p0`, 'customerId', []);
      await cluster.advance({ kind: 'claim', migration: 'm', target: 'b' }, { kind: 'publish' });
    },
    /** Hands it over up to a token, without waiting for any router; all documents are copied, not changed. */
    handOver: async (boundary = 0n) => {
      await cluster.advance({ kind: 'begin', boundary });
      const documents = await cluster.stored('a').find().toArray();
      if (documents.length > 0) await cluster.stored('b').insertMany(documents, { bypassDocumentValidation: true });
      return cluster.advance({ kind: 'own', since: 1n }, { kind: 'settle' });
    },
    acknowledged: async () => {
      const { id, epoch } = await cluster.partition();
      await until('the routers to know', async () => (await cluster.catalog.routers.missing(id, epoch)).length === 0);
    },
  };

  beforeAll(async () => {
    cluster.catalog = await Catalog.open(uris[0]!);
    for (const node of ['a', 'b'])
      await cluster.catalog.nodes.put({ _id: node, region: 'eu', address: 'x' }, new Date());
  });
  afterAll(async () => {
    await Promise.all(cluster.open.map((client) => client.close()));
    await cluster.catalog.close();
  });
  let lasting = 0;
  // What a test has connected ends with it: a hand-over would wait for it.
  afterEach(() => Promise.all(cluster.open.splice(lasting).map((client) => client.close())));
  beforeEach(async () => {
    lasting = cluster.open.length;
    cluster.name = `orders${keyspaces++}`;
    const partition = (part: string, low: bigint, high: bigint, source: Node): Partition => ({
      id: `shop.${cluster.name}/${part}`,
      keyspace: `shop.${cluster.name}`,
      name: part,
      box: [{ low, high }],
      collection: `${cluster.name}.${part}`,
      epoch: 1,
      route: { source, target: null, boundary: low, fence: null },
      attempt: 0,
      gates: [],
      handover: null,
      lastMovedAt: null,
    });
    const partitions = [partition('p0', TOKEN_MIN, 0n, 'a'), partition('p1', 0n, TOKEN_END, 'b')] as const;
    for (const each of partitions) {
      const node = each.route.source as Node;
      await createFenced(cluster.db(node), each.collection, 'customerId', acceptedTokens(each, node));
    }
    await cluster.catalog.keyspaces.insert({
      _id: `shop.${cluster.name}`,
      database: 'shop',
      collection: cluster.name,
      dimensions: [{ kind: 'hashed', field: 'customerId' }],
      createdAt: new Date(),
    });
    await cluster.catalog.partitions.insert(partitions);
  });
  return cluster;
}
