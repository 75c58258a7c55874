/** Not part of the driver's public types: names of collections, as its cursors take them. */
declare module 'mongodb/lib/utils.js' {
  export class MongoDBNamespace {
    static fromString(namespace: string): MongoDBNamespace;
  }
}

/** What results and errors of bulk writes are made of: public types, but not public classes. */
declare module 'mongodb/lib/bulk/common.js' {
  import type { BulkWriteOperationError, BulkWriteResult as Result, Document, WriteError as Failure } from 'mongodb';

  export const WriteError: new (error: BulkWriteOperationError) => Failure;
  export const BulkWriteResult: new (raw: Document, ordered: boolean) => Result;
}
