import { DroverClient } from '../../router/index.js';

/** An application that connects, works, and closes: it has to end by itself then. */
const [catalog, keyspace, nodes] = process.argv.slice(2) as [string, string, string];
const client = await DroverClient.connect(catalog, {
  region: 'eu',
  nodes: JSON.parse(nodes) as Record<string, string>,
  holdTimeoutMS: 60_000,
});
const [database, collection] = keyspace.split('.') as [string, string];
const orders = client.db(database).collection(collection);
await orders.insertMany(Array.from({ length: 20 }, (_, i) => ({ customerId: `customer-${i}`, n: i })));
await orders.find({}, { batchSize: 2 }).next();
await orders.deleteOne({ customerId: 'customer-1' });
await client.close();
