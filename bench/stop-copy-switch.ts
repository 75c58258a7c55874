import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { Load } from './load.js';
import type { LoadResult, LoadSettings } from './load-messages.js';
import type { Order } from './orders.js';
import { initialOrders, KEY } from './orders.js';

/** The baseline: what one writes without Drover. Writes stop, everything is copied, writes go on at the new place. */
export interface Side {
  readonly uri: string;
  readonly client: MongoClient;
}

const BATCH = 1_000;
/** The load runs so long before the move begins. */
const RUN_UP_MS = 2_000;

/** Moves a collection of `settings.documents` from one server to another under load. */
export async function stopCopySwitch(from: Side, to: Side, settings: LoadSettings): Promise<LoadResult> {
  const { database, collection, documents } = settings;
  const source = from.client.db(database).collection<Order>(collection);
  const target = to.client.db(database).collection<Order>(collection);
  await source.createIndex({ [KEY]: 'hashed' });
  for (const batch of initialOrders(documents)) await source.insertMany(batch, { ordered: false });

  const load = await Load.start({ ...settings, through: 'gate', uri: from.uri });
  try {
    await sleep(RUN_UP_MS);
    await load.closeGate();
    let batch: Order[] = [];
    for await (const document of source.find()) {
      batch.push(document);
      if (batch.length < BATCH) continue;
      await target.insertMany(batch, { ordered: false });
      batch = [];
    }
    if (batch.length > 0) await target.insertMany(batch, { ordered: false });
    await target.createIndex({ [KEY]: 'hashed' });
    await load.openGate(to.uri);
    await sleep(RUN_UP_MS);
    return await load.stop();
  } finally {
    load.kill();
    await from.client.db(database).dropDatabase();
    await to.client.db(database).dropDatabase();
  }
}
