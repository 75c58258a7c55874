import { MongoClient, ReadPreference } from 'mongodb';
import { beforeAll, expect, it } from 'vitest';
import type { DroverSession } from '../../router/index.js';
import type { RouteTable } from '../../router/route-table.js';
import { until } from '../store/servers.js';
import { lower, upper, useCluster } from './cluster.js';

const cluster = useCluster(['--setParameter', 'enableTestCommands=1'], [1]);
const [customerId] = lower as [string];
const onSlow = { readPreference: new ReadPreference('secondary', [{ copy: 'slow' }]) };

interface Config {
  readonly version: number;
  readonly members: { readonly host: string; tags?: Record<string, string> }[];
}

/** The member of node `b` that falls behind. */
let slow: string;
beforeAll(async () => {
  const admin = cluster.db('b').client.db('admin');
  const { primary } = await admin.command({ hello: 1 });
  const { config } = (await admin.command({ replSetGetConfig: 1 })) as { config: Config };
  const member = config.members.find(({ host }) => host !== primary)!;
  member.tags = { copy: 'slow' };
  slow = member.host;
  await admin.command({ replSetReconfig: { ...config, version: config.version + 1 } });
});

/** Keeps it from applying anything, or no longer. */
async function hold(mode: 'alwaysOn' | 'off'): Promise<void> {
  const uri = new URL(cluster.uris[1]!.replace(/@[^/]*/, `@${slow}`));
  uri.searchParams.delete('replicaSet');
  uri.searchParams.set('directConnection', 'true');
  const direct = await MongoClient.connect(uri.toString());
  try {
    await direct.db('admin').command({ configureFailPoint: 'rsSyncApplyStop', mode });
  } finally {
    await direct.close();
  }
}

it('a session waits for members of the new owner that are behind what it has seen', async () => {
  const client = await cluster.connect();
  const orders = cluster.orders(client);
  await using session = client.startSession();
  await using loose = client.startSession({ causalConsistency: false });
  for (const each of [session, loose])
    await orders.updateOne({ customerId }, { $inc: { n: 1 } }, { upsert: true, session: each });
  await cluster.announce();
  const read = (by?: DroverSession) => orders.findOne({ customerId }, { ...onSlow, ...(by && { session: by }) });
  await until('the tag to be known', () =>
    orders.findOne({ customerId: upper[0] }, onSlow).then(
      () => true,
      () => false,
    ),
  );
  await hold('alwaysOn');
  const seen: string[] = [];
  try {
    // As `cluster.handOver`, but for the fences: the server would have an index there in all members first.
    let now = await cluster.partition();
    const documents = await cluster.stored('a').find().toArray();
    await cluster.stored('b').insertMany(documents, { bypassDocumentValidation: true });
    for (const event of [{ kind: 'begin', boundary: 0n }, { kind: 'own', since: 1n }, { kind: 'settle' }] as const) {
      now = await cluster.catalog.partitions.advance(now, event);
    }
    const { table } = cluster.feed(client) as unknown as { table: RouteTable };
    await until('the route', () => Promise.resolve(table.route(now.id)?.epoch === now.epoch));
    expect(await read()).toBeNull();
    expect(await read(loose)).toBeNull();
    const reading = read(session).then((found) => seen.push(`session ${found?.['n']}`));
    // What it has seen by now, it takes along.
    const other = await cluster.connect();
    await until('the session to have come along', () =>
      Promise.resolve(session.nodes.includes('b') && session.operationTimeAt('b') !== undefined),
    );
    await using next = other.startSession({ continueFrom: session.token() });
    const further = cluster
      .orders(other)
      .findOne({ customerId }, { ...onSlow, session: next })
      .then((found) => seen.push(`next ${found?.['n']}`));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(seen).toEqual([]);
    await hold('off');
    await Promise.all([reading, further]);
  } finally {
    await hold('off');
  }
  expect(seen.sort()).toEqual(['next 2', 'session 2']);
});
