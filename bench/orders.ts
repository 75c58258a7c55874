import type { Filter, UpdateFilter } from 'mongodb';

/** A document of the load, about 200 bytes. */
export interface Order {
  _id: string;
  customerId: string;
  seq: number;
  note: string;
}

/** The partition key: one customer per document there at the start, so that keys are uniform over the tokens. */
export const KEY = 'customerId';

const NOTE = 'x'.repeat(120);

export const order = (n: number): Order => ({ _id: `o${n}`, customerId: `customer-${n}`, seq: 0, note: NOTE });

/** What the load needs, of Drover's collection and of the driver's. */
export interface Orders {
  insertOne(order: Order): Promise<unknown>;
  updateOne(filter: Filter<Order>, update: UpdateFilter<Order>): Promise<{ readonly matchedCount: number }>;
}

/** Writes in equal parts of updates and inserts, of keys chosen uniformly among `documents`. */
export function writes(documents: number, random: () => number): (orders: Orders) => Promise<void> {
  let inserted = 0;
  return async (orders) => {
    const n = Math.floor(random() * documents);
    if (random() < 0.5) {
      await orders.insertOne({ ...order(n), _id: `i${inserted++}` });
      return;
    }
    const { _id, customerId } = order(n);
    const { matchedCount } = await orders.updateOne({ _id, customerId }, { $inc: { seq: 1 } });
    if (matchedCount !== 1) throw new Error(`${_id} was not found`);
  };
}

/** Documents of the start, in batches. */
export function* initialOrders(documents: number, batch = 1_000): Generator<Order[]> {
  for (let n = 0; n < documents; n += batch) {
    yield Array.from({ length: Math.min(batch, documents - n) }, (_, i) => order(n + i));
  }
}
