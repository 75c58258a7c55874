import type { Db, IndexDescription } from 'mongodb';
import { ObjectId } from 'mongodb';
import { random } from '../examples/random.js';

/** The partition key. */
export const SALES_KEY = 'customerId';

/** Besides the one on the partition key. */
const SECONDARY: readonly IndexDescription[] = [{ key: { soldAt: 1 } }, { key: { 'shop.city': 1, total: -1 } }];
export const SALES_INDEXES: readonly IndexDescription[] = [{ key: { [SALES_KEY]: 'hashed' } }, ...SECONDARY];

const BATCH_BYTES = 4_000_000;
const FIRST_SALE = Date.UTC(2026, 0, 1);

/**
 * Seeded documents with nested objects and arrays that don't compress to nothing, of about 500 bytes, or as large as
 * `padding` makes them.
 */
export async function fillSales(db: Db, collection: string, documents: number, paddingBytes = 0): Promise<void> {
  const next = random(documents + paddingBytes);
  const size = 500 + paddingBytes;
  const batch = Math.max(1, Math.min(10_000, Math.floor(BATCH_BYTES / size)));
  for (let n = 0; n < documents; n += batch) {
    const sales = Array.from({ length: Math.min(batch, documents - n) }, (_, i) => sale(n + i, next, paddingBytes));
    await db.collection(collection).insertMany(sales, { ordered: false });
  }
  await db.collection(collection).createIndexes([...SALES_INDEXES]);
}

function sale(n: number, next: () => number, paddingBytes: number) {
  const digits = (length: number) => Math.floor(next() * 36 ** length).toString(36);
  const words = (count: number) => Array.from({ length: count }, () => digits(7)).join(' ');
  return {
    _id: new ObjectId((FIRST_SALE / 1000 + n).toString(16).padStart(8, '0') + n.toString(16).padStart(16, '0')),
    [SALES_KEY]: `customer-${Math.floor(next() * 200_000)}`,
    soldAt: new Date(FIRST_SALE + Math.floor(next() * 3e10)),
    shop: { city: digits(3), street: words(2), at: { lat: next() * 180 - 90, lon: next() * 360 - 180 } },
    total: Math.round(next() * 100_000) / 100,
    items: Array.from({ length: 3 }, () => ({
      sku: digits(9),
      count: 1 + Math.floor(next() * 9),
      price: next() * 100,
    })),
    note: words(13),
    ...(paddingBytes === 0 ? {} : { scan: noise(paddingBytes, next) }),
  };
}

function noise(bytes: number, next: () => number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) buffer.writeUInt32LE(Math.floor(next() * 2 ** 32), at);
  return buffer;
}
