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

type Maker = (value: string, next: () => number) => Operation;

const MAKERS = {
  insert: (value) => ({ kind: 'insert', value }),
  set: (value) => ({ kind: 'set', value }),
  increment: () => ({ kind: 'increment' }),
  replace: (value) => ({ kind: 'replace', value }),
  upsert: (value) => ({ kind: 'upsert', value }),
  delete: () => ({ kind: 'delete' }),
  findAndIncrement: (value, next) => ({
    kind: 'findAndIncrement',
    value,
    returns: next() < 0.5 ? 'before' : 'after',
  }),
  read: () => ({ kind: 'read' }),
} as const satisfies Record<string, Maker>;

/** How often an application sends each operation, in proportion. */
export type Mix = Readonly<Record<keyof typeof MAKERS, number>>;

export const MIXES: readonly Mix[] = [
  { insert: 14, set: 12, increment: 18, replace: 8, upsert: 10, delete: 8, findAndIncrement: 15, read: 15 },
  // Documents come and go all the time: no fence of a server sees a delete.
  { insert: 25, set: 4, increment: 8, replace: 4, upsert: 12, delete: 32, findAndIncrement: 5, read: 10 },
];

export function chooseOperation(mix: Mix, value: string, next: () => number): Operation {
  const kinds = Object.keys(MAKERS) as (keyof Mix)[];
  let rest = next() * kinds.reduce((sum, kind) => sum + mix[kind], 0);
  const kind = kinds.find((each) => (rest -= mix[each]) < 0) ?? 'insert';
  return MAKERS[kind](value, next);
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
      return seen(await orders.findOneAndUpdate(filter, change, { returnDocument: operation.returns }));
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
