import type { Db, Document } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Interval } from '../domain/token.js';
import { TOKEN_END } from '../domain/token.js';
import { tokenToBson } from './codec.js';
import { hasCode } from './server-errors.js';

/**
 * A partition's collection carries a validator that accepts only the tokens its node owns. `collMod` takes the
 * collection's exclusive lock: when it has returned, no insert or effective update of a lost token is under way.
 */
export function fence(keyField: string, accepted: readonly Interval[]): Document {
  return {
    $expr: {
      // The variable's name is how a refusal by this fence is told from one by a validator of the user.
      $let: {
        vars: { droverToken: { $toHashedIndexKey: `$${keyField}` } },
        in: {
          $and: [
            { $not: [{ $in: [{ $type: `$${keyField}` }, ['missing', 'array', 'undefined']] }] },
            {
              $or: accepted.map(({ low, high }) => ({
                $and: [
                  { $gte: ['$$droverToken', tokenToBson(low)] },
                  ...(high === TOKEN_END ? [] : [{ $lt: ['$$droverToken', tokenToBson(high)] }]),
                ],
              })),
            },
          ],
        },
      },
    },
  };
}

export const isValidationFailure = (error: unknown): boolean => hasCode(error, 'documentValidationFailure');

/** Whether a write was refused by Drover's fence (its details name the fence's variable), not by the user's validator. */
export const isFenced = (error: unknown): boolean =>
  isValidationFailure(error) && namesFence((error as { errInfo?: unknown }).errInfo);

export const namesFence = (errInfo: unknown): boolean => JSON.stringify(errInfo ?? null).includes('"droverToken"');

/**
 * Makes a collection accept exactly `accepted`. Repeatable.
 *
 * @throws DroverError `StepUndone` when a transaction holds the collection for longer than `maxTimeMS`
 */
export async function setAccepted(
  db: Db,
  collection: string,
  keyField: string,
  accepted: readonly Interval[],
  maxTimeMS = 200,
): Promise<void> {
  try {
    await db.command(
      {
        collMod: collection,
        validator: fence(keyField, accepted),
        validationLevel: 'strict',
        validationAction: 'error',
        maxTimeMS,
      },
      { writeConcern: { w: 'majority' } } as Document,
    );
  } catch (error) {
    if (hasCode(error, 'maxTimeExpired')) {
      throw new DroverError('StepUndone', `a transaction on ${collection} did not end within ${maxTimeMS} ms`);
    }
    throw error;
  }
}

/** What stands under a collection's name on a node. */
export interface CollectionState {
  readonly exists: boolean;
  readonly type: string;
  readonly options: Document;
  readonly fenced: boolean;
  readonly empty: boolean;
}

export async function inspect(db: Db, collection: string): Promise<CollectionState> {
  const [info] = await db.listCollections({ name: collection }).toArray();
  if (info === undefined) return { exists: false, type: 'missing', options: {}, fenced: false, empty: true };
  const options = 'options' in info ? info.options : {};
  const isCollection = info.type === 'collection';
  return {
    exists: true,
    type: info.type ?? 'collection',
    options,
    fenced: namesFence(options['validator']),
    empty: isCollection && (await db.collection(collection).findOne({}, { projection: { _id: 1 } })) === null,
  };
}

/** Puts a fenced collection under a free name. @throws DroverError `Refused` when the name is taken */
export async function createFenced(
  db: Db,
  collection: string,
  keyField: string,
  accepted: readonly Interval[],
): Promise<void> {
  try {
    await db.createCollection(collection, {
      validator: fence(keyField, accepted),
      validationLevel: 'strict',
      validationAction: 'error',
      writeConcern: { w: 'majority' },
    });
  } catch (error) {
    if (hasCode(error, 'namespaceExists')) {
      throw new DroverError('Refused', `collection ${db.databaseName}.${collection} already exists`);
    }
    throw error;
  }
}

/**
 * Puts an empty collection that accepts nothing in the place of whatever `collection` names, in one step: the name is
 * never free in between, as an insert of a router with an old route would make a collection of that name, unfenced.
 *
 * The temporary collection is the attempt's gate. Those of other attempts are dropped first, and `stillMine` looks
 * again after this one is there: so an attempt that was taken over has nothing left that it could rename.
 */
export async function replaceByClosed(
  db: Db,
  collection: string,
  keyField: string,
  attempt: string,
  stillMine: () => Promise<void>,
): Promise<void> {
  const prefix = `${collection}.closed-`;
  const gate = `${prefix}${attempt}`;
  const gates = await db.listCollections({}, { nameOnly: true }).toArray();
  for (const { name } of gates) if (name.startsWith(prefix)) await dropIfExists(db, name);
  await createFenced(db, gate, keyField, []);
  try {
    await stillMine();
  } catch (error) {
    await dropIfExists(db, gate);
    throw error;
  }
  await db.renameCollection(gate, collection, { dropTarget: true, writeConcern: { w: 'majority' } });
}

export async function dropIfExists(db: Db, collection: string): Promise<void> {
  try {
    await db.dropCollection(collection, { writeConcern: { w: 'majority' } });
  } catch (error) {
    if (!hasCode(error, 'namespaceNotFound')) throw error;
  }
}
