import { openControl } from '../../client/context.js';
import { loadConfiguration } from '../../config/index.js';
import type { LedgerReport } from '../../examples/ledger.js';
import { DroverClient } from '../../router/index.js';
import type { RouteTable } from '../../router/route-table.js';
import type { Catalog } from '../../store/catalog/catalog.js';
import type { Order } from './harness.js';
import { Writers } from './harness.js';

/** What another application is told: to stop, or to be hit by a signal right before it acknowledges the next fence. */
export type ApplicationOrder = 'stop' | 'SIGKILL' | 'SIGSTOP';
export type ApplicationReport = { readonly kind: 'writing' } | ({ readonly kind: 'stopped' } & ApplicationEnd);
export interface ApplicationEnd {
  readonly errors: readonly string[];
  readonly ledger: LedgerReport;
}

interface Inside {
  readonly catalog: Catalog;
  readonly feed: { readonly table: RouteTable };
}

const [, , path, keyspace] = process.argv as [string, string, string, string];
const control = await openControl({ configuration: await loadConfiguration({ path, env: process.env }) });
const client = await DroverClient.connect(control.configuration.catalog, {
  region: 'eu-west',
  nodes: control.configuration.nodeUris,
});
const orders = client.db('shop').collection<Order>('orders');
const writers = new Writers(orders, { writers: 2, documentsEach: 50, seed: 77, name: `of-${process.pid}-` });
const report = (what: ApplicationReport) => process.send!(what);

process.on('disconnect', () => process.exit(1));
process.on('message', (order: ApplicationOrder) => void obey(order));
report({ kind: 'writing' });

async function obey(order: ApplicationOrder): Promise<void> {
  if (order !== 'stop') return atNextFence(order);
  await writers.stop();
  report({ kind: 'stopped', errors: writers.errors, ledger: await writers.check(control, keyspace) });
  await client.close();
  await control.close();
  process.disconnect();
}

function atNextFence(signal: NodeJS.Signals): void {
  const { catalog, feed } = client as unknown as Inside;
  const { routers } = catalog;
  const acknowledge = routers.acknowledge.bind(routers);
  routers.acknowledge = async (router, partition, epoch) => {
    if (feed.table.route(partition)!.partition.route.fence !== null) {
      routers.acknowledge = acknowledge;
      process.kill(process.pid, signal);
    }
    await acknowledge(router, partition, epoch);
  };
}
