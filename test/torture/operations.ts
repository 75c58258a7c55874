import type { Document, ReturnDocument } from 'mongodb';
import { MongoServerError } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { DroverCollection } from '../../router/index.js';
import { isFenced } from '../../store/fenced-collection.js';
import { hasCode } from '../../store/server-errors.js';
import type { Outcome } from './history.js';
import type { Answer, Operation, State } from './model.js';

/** A document that is written by the torture. */
export interface TortureDocument {
  _id: string;
  customerId: string;
  value: string;
  count: number;
}

export const KEYSPACE = 'shop.orders';

/** Every document has a key of its own, so that both partitions have some of each kind. */
export const keyOf = (document: string): string => `key of ${document}`;

export const stateOf = (document: Pick<TortureDocument, 'value' | 'count'> | null): State =>
  document === null ? null : { value: document.value, count: document.count };

/** What strict operations need: not every version of the collection has it. Goes when `DroverCollection` does. */
interface StrictCollection {
  findOneAndUpdate(
    filter: Document,
    update: Document,
    options: { readonly returnDocument: ReturnDocument },
  ): Promise<TortureDocument | null>;
}

/** The one place that looks whether strict reads and `findOneAndUpdate`, which came together, are there. */
export const isStrict = (orders: object): orders is StrictCollection =>
  typeof (orders as Partial<StrictCollection>).findOneAndUpdate === 'function';

/** Chances of the operations, in percent. */
const MIX: readonly (readonly [percent: number, make: (value: string, next: () => number) => Operation])[] = [
  [14, (value) => ({ kind: 'insert', value })],
  [12, (value) => ({ kind: 'set', value })],
  [18, () => ({ kind: 'increment' })],
  [8, (value) => ({ kind: 'replace', value })],
  [10, (value) => ({ kind: 'upsert', value })],
  [8, () => ({ kind: 'delete' })],
  [15, (value, next) => ({ kind: 'findAndIncrement', value, returns: next() < 0.5 ? 'before' : 'after' })],
  [15, () => ({ kind: 'read' })],
];

export function chooseOperation(orders: object, value: string, next: () => number): Operation {
  for (;;) {
    let rest = next() * 100;
    const [, make] = MIX.find(([percent]) => (rest -= percent) < 0) ?? MIX[0]!;
    const operation = make(value, next);
    if (isStrict(orders) || (operation.kind !== 'findAndIncrement' && operation.kind !== 'read')) return operation;
  }
}

/** Sends an operation, and tells its outcome as an application sees it. */
export async function perform(
  orders: DroverCollection<TortureDocument>,
  document: string,
  operation: Operation,
): Promise<Outcome> {
  try {
    return { kind: 'answered', answer: await send(orders, document, operation) };
  } catch (error) {
    return outcomeOf(operation, error);
  }
}

async function send(orders: DroverCollection<TortureDocument>, _id: string, operation: Operation): Promise<Answer> {
  const customerId = keyOf(_id);
  const filter = { _id, customerId };
  switch (operation.kind) {
    case 'insert':
      await orders.insertOne({ ...filter, value: operation.value, count: 0 });
      return { found: false };
    case 'set':
      return matched(await orders.updateOne(filter, { $set: { value: operation.value } }));
    case 'increment':
      return matched(await orders.updateOne(filter, { $inc: { count: 1 } }));
    case 'replace':
      return matched(await orders.replaceOne(filter, { customerId, value: operation.value, count: 0 }));
    case 'upsert': {
      const change = { $set: { value: operation.value }, $inc: { count: 1 } };
      return matched(await orders.updateOne(filter, change, { upsert: true }));
    }
    case 'delete':
      return { found: (await orders.deleteOne(filter)).deletedCount === 1 };
    case 'findAndIncrement': {
      const change = { $set: { value: operation.value }, $inc: { count: 1 } };
      const strict: unknown = orders;
      const options = { returnDocument: operation.returns };
      return seen(await (strict as StrictCollection).findOneAndUpdate(filter, change, options));
    }
    case 'read':
      return seen(await orders.findOne(filter, { readConcern: { level: 'linearizable' } }));
    case 'return':
      throw new Error('nobody sends this');
  }
}

const matched = ({ matchedCount }: { readonly matchedCount: number }): Answer => ({ found: matchedCount === 1 });

const seen = (document: TortureDocument | null): Answer => ({ found: document !== null, document: stateOf(document) });

function outcomeOf(operation: Operation, error: unknown): Outcome {
  // An insert that meets the document is an answer. An upsert that does was not done, and says less.
  if (hasCode(error, 'duplicateKey') && operation.kind === 'insert') {
    return { kind: 'answered', answer: { found: true } };
  }
  const isRefused =
    hasCode(error, 'duplicateKey') || isFenced(error) || (error instanceof DroverError && error.code === 'TimedOut');
  return { kind: isRefused ? 'refused' : 'unknown', reason: describe(error) };
}

function describe(error: unknown): string {
  if (error instanceof DroverError) return `DroverError ${error.code}`;
  if (error instanceof MongoServerError) return `MongoServerError ${error.code} ${error.codeName ?? ''}`.trim();
  return error instanceof Error ? error.name : String(error);
}
