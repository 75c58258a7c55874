import type { BulkWriteOptions, Document } from 'mongodb';
import { BatchType, MongoErrorLabel, ObjectId } from 'mongodb';
import { TOUCH_FIELD } from '../store/fenced-collection.js';
import { notFoundAgain, withinTransaction } from './guarded-delete.js';
import type { Place } from './same-transaction.js';
import { inTransaction, labelled } from './transaction.js';

/**
 * Guarded deletes of one document each, in one transaction: all touch theirs, then all are deleted. None takes what one before it
 * has touched, as it would not find it any more.
 *
 * @param statements as the driver sends them
 * @returns how many have found a document
 */
export function deleteTogether(
  place: Place,
  statements: readonly Document[],
  options: BulkWriteOptions,
): Promise<number> {
  const settings = withinTransaction<BulkWriteOptions>({ ...options, session: undefined });
  const { collection } = place;
  return inTransaction(place, async (session) => {
    const touched = statements.map((statement) => ({ statement, touch: new ObjectId() }));
    const touching = collection.initializeOrderedBulkOp(settings);
    for (const { statement, touch } of touched) {
      const { q, limit: _, ...rest } = statement;
      const untouched = { $and: [q, { [TOUCH_FIELD]: { $exists: false } }] };
      touching.addToOperationsList(BatchType.UPDATE, { ...rest, q: untouched, u: { $set: { [TOUCH_FIELD]: touch } } });
    }
    const { modifiedCount } = await touching.execute({ session });
    if (modifiedCount === 0) return 0;
    const deleting = collection.initializeOrderedBulkOp(settings);
    for (const { statement, touch } of touched) {
      const own = { $and: [statement['q'], { [TOUCH_FIELD]: touch }] };
      deleting.addToOperationsList(BatchType.DELETE, { ...statement, q: own });
    }
    const { deletedCount } = await deleting.execute({ session });
    if (deletedCount !== modifiedCount) throw notFoundAgain();
    return deletedCount;
  });
}

/** Whether nothing of it was done for sure. */
export const wasAborted = (error: unknown): boolean => !labelled(error, MongoErrorLabel.UnknownTransactionCommitResult);
