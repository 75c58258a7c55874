import type { DeleteResult, Document, FindOptions, UpdateResult } from 'mongodb';
import { MongoInvalidArgumentError, MongoServerError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { ServerError } from '../store/server-errors.js';
import { ownReadConcern } from './own-read-concern.js';

// Results that no fence has seen: they are as good as the lease on the route that led to them.

/** Also an update of a document that was as wanted already: validators let it pass. */
export const changedNothing = ({ modifiedCount, upsertedCount }: UpdateResult<Document>): boolean =>
  modifiedCount === 0 && upsertedCount === 0;

export const hasMatched = ({ matchedCount, upsertedCount }: UpdateResult<Document>): boolean =>
  matchedCount > 0 || upsertedCount > 0;

export const deletedNothing = ({ deletedCount }: DeleteResult): boolean => deletedCount === 0;

/** An upsert that finds nothing has inserted, which the fence has seen. */
export const foundNothing =
  (options: { upsert?: boolean; includeResultMetadata?: boolean } | undefined) =>
  (result: unknown): boolean =>
    options?.upsert !== true && documentIn(options)(result) === null;

/** The document in what a `findOneAnd...` answers. */
export const documentIn =
  (options: { includeResultMetadata?: boolean } | undefined) =>
  (result: unknown): unknown =>
    options?.includeResultMetadata === true ? (result as { value: unknown }).value : result;

/** Whether a read has to see every write acknowledged before it. */
export const isLinearizable = (options: Pick<FindOptions, 'readConcern'> | undefined): boolean =>
  ownReadConcern(options?.readConcern).readConcern?.level === 'linearizable';

/** A refusal that can't be answered by sending the request elsewhere, as some of its documents may be changed already. */
export const refusedInTheMiddle = (operation = 'updateMany'): MongoServerError =>
  new MongoServerError({
    message:
      `the documents of this ${operation} changed hands before it had reached all of them: some may have been updated, ` +
      'others have not; see which before it is repeated',
    code: ServerError.documentValidationFailure,
    codeName: 'DocumentValidationFailure',
  });

/** Some of a request is done, and it can't be told whether all of it is. */
export const partlyDone = (cause: DroverError): DroverError =>
  new DroverError(
    cause.code,
    `some of the documents were changed, but whether all that match were can not be told (${cause.message}): see which before it is repeated`,
    { cause },
  );

export const notLinearizable = (): MongoInvalidArgumentError =>
  new MongoInvalidArgumentError(
    'the read concern "linearizable" is there for findOne with one value of the partition key in its filter',
  );

/** Documents of several nodes that one server, or this process, would have to work on at once. */
export const tooLarge = (stage = 'the pipeline', bytes = 16_000_000): MongoServerError =>
  new MongoServerError({
    message:
      `${stage} has to see all documents at once, and those that the nodes have sent are more than ${bytes / 1_000_000} MB: ` +
      'name the partition key in the first $match, or put a $match, $group, $limit or $project before it that leaves less',
    code: ServerError.bsonObjectTooLarge,
    codeName: 'BSONObjectTooLarge',
  });
