import type { AnyBulkWriteOperation, Db, Document } from 'mongodb';
import { random } from '../examples/random.js';
import { SALES_KEY } from './sales.js';

/** A stream of changes: 40 % inserts, 40 % updates, 10 % replacements, 10 % deletes, of documents chosen uniformly. */
export function* changes(documents: number, seed: number): Generator<AnyBulkWriteOperation<Document>, never> {
  const next = random(seed);
  const ids: string[] = Array.from({ length: documents }, (_, n) => `d${n}`);
  for (let n = 0; ; n++) {
    const dice = next();
    const at = Math.floor(next() * ids.length);
    const _id = ids[at]!;
    if (dice < 0.4) {
      const inserted = `i${seed}-${n}`;
      ids.push(inserted);
      yield { insertOne: { document: changing(inserted, n + 1) } };
    } else if (dice < 0.8) yield { updateOne: { filter: { _id: _id as never }, update: { $set: { seq: n + 1 } } } };
    else if (dice < 0.9) {
      const { _id: _same, ...replacement } = changing(_id, n + 1);
      yield { replaceOne: { filter: { _id: _id as never }, replacement } };
    } else {
      ids[at] = ids.at(-1)!;
      ids.pop();
      yield { deleteOne: { filter: { _id: _id as never } } };
    }
  }
}

const NOTE = 'x'.repeat(300);

const changing = (_id: string, seq: number): Document => ({ _id, [SALES_KEY]: `customer-${_id}`, seq, note: NOTE });

/** What changes are made to. */
export async function fillChanging(db: Db, collection: string, documents: number): Promise<void> {
  for (let n = 0; n < documents; n += 5_000) {
    const batch = Array.from({ length: Math.min(5_000, documents - n) }, (_, i) => changing(`d${n + i}`, 0));
    await db.collection(collection).insertMany(batch, { ordered: false });
  }
  await db.collection(collection).createIndex({ [SALES_KEY]: 'hashed' });
}
