import type { ChangeStream, Document } from 'mongodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Partition } from '../../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../../domain/token.js';
import type { DroverClient } from '../../router/index.js';
import { positionOf } from '../../router/watch/position.js';
import { UserPipeline } from '../../router/watch/user-pipeline.js';
import { createFenced } from '../store/fences.js';
import { useServers } from '../store/servers.js';
import { lower, useCluster } from './cluster.js';
import { ReplicatedMove } from './replicated-move.js';

type Changes = ChangeStream<Document, Document>;
const ADDRESS = 'DROVER_NODE_C';
const [customerId] = lower as [string];

const cluster = useCluster();
const later = useServers(1);
/** Both are connected before the node `c` comes in. */
let clients: DroverClient[];
beforeAll(async () => {
  process.env[ADDRESS] = later.uris[0];
  clients = [await cluster.connect({ holdTimeoutMS: 30_000 }), await cluster.connect({ holdTimeoutMS: 30_000 })];
  await cluster.catalog.nodes.put({ _id: 'c', region: 'eu', address: 'x' }, new Date());
});
afterAll(() => {
  delete process.env[ADDRESS];
});

const orders = (client = 0) => cluster.orders(clients[client]!);
const insert = (_id: number) => orders().insertOne({ _id: _id as never, customerId });

async function watching(options: object = {}, client = 0): Promise<Changes> {
  const changes = orders(client).watch<Document, Document>([], { maxAwaitTimeMS: 50, ...options });
  if (!('resumeAfter' in options)) expect(await changes.tryNext()).toBeNull();
  return changes;
}

/** @returns the ids of the documents that were inserted */
async function take(changes: Changes, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) ids.push((await changes.next())['documentKey']._id as number);
  return ids;
}

async function move(partition: Partition, target: string): Promise<void> {
  const nodes = { a: cluster.db('a').client, b: cluster.db('b').client, c: later.clients[0]! };
  const replicated = new ReplicatedMove(cluster.catalog, nodes, 'shop', partition, target);
  await replicated.begin();
  await replicated.to(partition.box[0].high);
  await replicated.complete();
}

it('a stream does not wait for moves of other keyspaces', async () => {
  const name = `other${cluster.name}`;
  const partition: Partition = {
    ...{ id: `shop.${name}/p0`, keyspace: `shop.${name}`, name: 'p0', box: [{ low: TOKEN_MIN, high: TOKEN_END }] },
    ...{ collection: `${name}.p0`, epoch: 1, attempt: 0, gates: [], handover: null, lastMovedAt: null },
    route: { source: 'c', target: null, boundary: TOKEN_MIN, fence: null },
  };
  await createFenced(later.clients[0]!.db('shop'), partition.collection, 'customerId', partition.box);
  await cluster.catalog.keyspaces.insert({
    ...{ _id: partition.keyspace, database: 'shop', collection: name, createdAt: new Date() },
    dimensions: [{ kind: 'hashed', field: 'customerId' }],
  });
  await cluster.catalog.partitions.insert([partition]);
  const changes = await watching();
  await move(partition, 'a');
  await insert(1);
  expect(await take(changes, 1)).toEqual([1]);
  await changes.close();
});

it('a stream follows documents to a node that was added since, and so does whoever goes on with its token', async () => {
  const changes = await watching();
  const start = changes.resumeToken;
  await insert(1);
  await move(await cluster.partition(), 'c');
  await insert(2);
  expect(await take(changes, 2)).toEqual([1, 2]);
  const between = changes.resumeToken;
  expect([...positionOf(`shop.${cluster.name}`, between).nodes.keys()].sort()).toEqual(['a', 'b', 'c']);
  await move(await cluster.partition(), 'a');
  await insert(3);
  expect(await take(changes, 1)).toEqual([3]);
  await changes.close();
  const other = await watching({ resumeAfter: between }, 1);
  expect(await take(other, 1)).toEqual([3]);
  await other.close();
  const since = await cluster.connect();
  const again = cluster.orders(since).watch<Document, Document>([], { resumeAfter: start });
  expect(await take(again, 3)).toEqual([1, 2, 3]);
  await again.close();
});

it('a pipeline is run by any node, also by one that has nothing of the keyspace’s', async () => {
  const pipeline = new UserPipeline([{ $set: { n: 2 } }], {}, {});
  const db = later.clients[0]!.db(`nothing-in-${cluster.name}`);
  expect(await pipeline.apply(db, [{ _id: { _data: 'x' } }])).toEqual([{ _id: { _data: 'x' }, n: 2 }]);
});
