import type { Db, Document } from 'mongodb';
import { BSON, MongoWriteConcernError, UUID } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import type { Interval } from '../domain/token.js';
import { TOKEN_END } from '../domain/token.js';
import { tokenToBson } from './codec.js';
import type { RawOptions } from './collection-definition.js';
import { decoded, readDefinition } from './collection-definition.js';
import { KEY_TYPES } from './key-token.js';
import { hasCode } from './server-errors.js';

/** What a collection's validator is made of. */
export interface Fence {
  /** Path of the partition key. */
  readonly keyField: string;
  readonly accepted: readonly Interval[];
  /** The user's own validator, which goes on holding beside the fence. */
  readonly validator?: Document;
}

/**
 * Set on a document just before a router deletes it, in the same transaction: a delete is not validated, this is. Nobody
 * but that transaction ever sees it, so the user's validator has nothing to say about it.
 */
export const TOUCH_FIELD = '__droverTouch';

/**
 * A partition's collection carries a validator that accepts only the tokens its node owns. `collMod` takes the
 * collection's exclusive lock: when it has returned, no insert or effective update of a lost token is under way.
 */
export function fenceValidator({ keyField, accepted, validator }: Fence): Document {
  const owned = {
    $expr: {
      // The variable's name is how a refusal by this fence is told from one by a validator of the user.
      $let: {
        vars: { droverToken: { $toHashedIndexKey: `$${keyField}` } },
        in: {
          $and: [
            { $in: [{ $type: `$${keyField}` }, KEY_TYPES] },
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
  if (validator === undefined) return owned;
  return { $and: [owned, { $or: [{ [TOUCH_FIELD]: { $exists: true } }, validator] }] };
}

/** Anything weaker lets writes of a lost token through. */
const strictly = (fence: Fence) =>
  ({ validator: fenceValidator(fence), validationLevel: 'strict', validationAction: 'error' }) as const;

export const isValidationFailure = (error: unknown): boolean => hasCode(error, 'documentValidationFailure');

/** Whether a write was refused by Drover's fence (its details name the fence's variable), not by the user's validator. */
export const isFenced = (error: unknown): boolean =>
  isValidationFailure(error) && namesFence((error as { errInfo?: unknown }).errInfo);

export const namesFence = (errInfo: unknown): boolean => JSON.stringify(errInfo ?? null).includes('"droverToken"');

/** Longest wait of a `collMod` for the collection's lock, milliseconds: plain writes queue up behind it. */
const LOCK_WAIT_MS = 100;

/**
 * Makes a collection accept exactly what the fence says, if `gate` is still there: without that index the server refuses
 * the whole command. Repeatable.
 *
 * @returns false when a transaction held the collection for too long: nothing was changed
 * @throws DroverError `Superseded` when the gate is gone: another attempt has taken over
 */
export const setAccepted = (db: Db, collection: string, fence: Fence, gate: string): Promise<boolean> =>
  setValidator(db, collection, strictly(fence), gate);

/** The same for taking the fence away: what is left is the user's own validator, if any. */
export const removeFence = (db: Db, collection: string, own: Document | undefined, gate: string): Promise<boolean> =>
  setValidator(db, collection, { validator: own ?? {}, validationLevel: 'strict', validationAction: 'error' }, gate);

async function setValidator(db: Db, collection: string, validation: Document, gate: string): Promise<boolean> {
  try {
    await db.command({
      collMod: collection,
      ...validation,
      index: { name: gate, hidden: true },
      maxTimeMS: LOCK_WAIT_MS,
      // Part of the command: the driver does not add its own write concern to commands.
      writeConcern: { w: 'majority' },
    });
    return true;
  } catch (error) {
    // Done, but not by a majority in time, is something else: then nobody knows.
    if (hasCode(error, 'maxTimeExpired') && !(error instanceof MongoWriteConcernError)) return false;
    if (hasCode(error, 'indexNotFound')) {
      throw new DroverError('Superseded', `the gate ${gate} of ${collection} is gone: another attempt has taken over`);
    }
    throw error;
  }
}

/** What stands under a collection's name on a node. */
export interface CollectionState {
  readonly exists: boolean;
  readonly type: string;
  readonly options: Document;
  /** Of a collection that is there, and no view: another one of its name has another. */
  readonly uuid?: string;
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
    ...(isCollection && 'info' in info && info.info?.uuid !== undefined
      ? { uuid: info.info.uuid.toUUID().toHexString() }
      : {}),
    fenced: namesFence(options['validator']),
    empty: isCollection && (await db.collection(collection).findOne({}, { projection: { _id: 1 } })) === null,
  };
}

/** Whether a collection's options carry exactly this fence: an outsider's `collMod` may have changed or erased it. */
export const isFencedBy = (options: Document, fence: Fence): boolean =>
  options['validationLevel'] === 'strict' &&
  options['validationAction'] === 'error' &&
  canonical(options['validator']) === canonical(fenceValidator(fence));

/** Whether a node's collection has this fence at this moment, beside whatever validator of the user's. */
export async function hasFence(db: Db, collection: string, fence: Omit<Fence, 'validator'>): Promise<boolean> {
  const [info] = await db.listCollections({ name: collection }).toArray();
  if (info === undefined || !('options' in info)) return false;
  const validator = ownValidator(info.options);
  return isFencedBy(info.options, validator === undefined ? fence : { ...fence, validator });
}

const canonical = (value: unknown): string => BSON.EJSON.stringify(value ?? null, { relaxed: true });

/** The user's own validator among a collection's options, where it has a fence the one beside it. */
export function ownValidator({ validator }: Document): Document | undefined {
  if (validator === undefined || Object.keys(validator as Document).length === 0) return undefined;
  if (!namesFence(validator)) return validator as Document;
  const [, beside] = ((validator as Document)['$and'] ?? []) as Document[];
  return (beside?.['$or'] as Document[] | undefined)?.[1];
}

/** Puts a fenced collection under a free name. @throws DroverError `Refused` when the name is taken */
export async function createFenced(db: Db, collection: string, fence: Fence, options?: RawOptions): Promise<void> {
  const others = options === undefined ? {} : Object.fromEntries(decoded(options));
  try {
    await db.createCollection(collection, { ...others, ...strictly(fence), writeConcern: { w: 'majority' } });
  } catch (error) {
    if (hasCode(error, 'namespaceExists')) {
      throw new DroverError('Refused', `collection ${db.databaseName}.${collection} already exists`);
    }
    throw error;
  }
}

/** The same for one that accepts nothing. @throws DroverError `StepUndone` when somebody was faster: it is to be looked at again */
export async function createClosed(
  db: Db,
  collection: string,
  fence: Omit<Fence, 'accepted'>,
  options: RawOptions,
): Promise<void> {
  try {
    await createFenced(db, collection, { ...fence, accepted: [] }, options);
  } catch (error) {
    if (!(error instanceof DroverError) || error.code !== 'Refused') throw error;
    throw new DroverError('StepUndone', error.message, { cause: error });
  }
}

const CLOSED = '.closed-';

/** Which collection one that was made to replace a copy was for, and by whose attempt. */
export function closedName(name: string): { readonly collection: string; readonly attempt: string } | undefined {
  const at = name.lastIndexOf(CLOSED);
  return at < 0 ? undefined : { collection: name.slice(0, at), attempt: name.slice(at + CLOSED.length) };
}

/**
 * Puts an empty collection that accepts nothing in the place of whatever `collection` names, in one step: the name is
 * never free in between, as an insert of a router with an old route would make a collection of that name, unfenced.
 *
 * The temporary collection is the attempt's gate. Those of other attempts are dropped first, and `stillMine` looks
 * again after this one is there: so an attempt that was taken over has nothing left that it could rename.
 *
 * @param options of the collection; by default those of the one that it replaces
 * @param replaces UUID of the collection in whose place it is put; by default whatever is there
 * @returns false when that one is not there any more: nothing was replaced
 */
export async function replaceByClosed(
  db: Db,
  collection: string,
  fence: Omit<Fence, 'accepted'>,
  attempt: string,
  stillMine: () => Promise<void>,
  { options, replaces }: { readonly options?: RawOptions; readonly replaces?: string | undefined } = {},
): Promise<boolean> {
  const gate = collection + CLOSED + attempt;
  await dropClosed(db, collection);
  const kept = options ?? (await readDefinition(db, collection))?.options;
  await createFenced(db, gate, { ...fence, accepted: [] }, kept);
  try {
    await stillMine();
  } catch (error) {
    await dropIfExists(db, gate);
    throw error;
  }
  try {
    await db.admin().command({
      renameCollection: `${db.databaseName}.${gate}`,
      to: `${db.databaseName}.${collection}`,
      dropTarget: replaces === undefined ? true : new UUID(replaces),
      writeConcern: { w: 'majority' },
    });
    return true;
  } catch (error) {
    if (replaces === undefined || !hasCode(error, 'collectionUuidMismatch')) throw error;
    await dropIfExists(db, gate);
    return false;
  }
}

/** Drops what was to replace a copy: who made it can't rename it over a new copy any more. */
export async function dropClosed(db: Db, collection: string): Promise<void> {
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    if (closedName(name)?.collection === collection) await dropIfExists(db, name);
  }
}

export async function dropIfExists(db: Db, collection: string): Promise<void> {
  try {
    await db.dropCollection(collection, { writeConcern: { w: 'majority' } });
  } catch (error) {
    if (!hasCode(error, 'namespaceNotFound')) throw error;
  }
}
