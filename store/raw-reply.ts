import type { ClientSession, Db, Document } from 'mongodb';
import { executeOperation } from 'mongodb/lib/operations/execute_operation.js';
import { RunCommandOperation } from 'mongodb/lib/operations/run_command.js';
import { MongoDBNamespace } from 'mongodb/lib/utils.js';

/**
 * As `db.command`, but with the bytes of the answer, which are the caller's. (Its option `raw` would leave parts of errors undecoded, too,
 * which the driver goes on to compare with what it knows of a server.)
 */
export const rawReply = (db: Db, command: Document, session: ClientSession): Promise<Uint8Array> =>
  executeOperation(db.client, new RawCommand(MongoDBNamespace.fromString(db.databaseName), command, { session }));

class RawCommand extends RunCommandOperation<Uint8Array> {
  override handleOk(response: { toBytes(): Uint8Array }): Uint8Array {
    return response.toBytes();
  }
}
