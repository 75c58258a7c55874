/** What results and errors of bulk writes are made of: part of the driver's public types, but not public classes. */
declare module 'mongodb/lib/bulk/common.js' {
  import type { BulkWriteOperationError, BulkWriteResult as Result, Document, WriteError as Failure } from 'mongodb';

  export const WriteError: new (error: BulkWriteOperationError) => Failure;
  export const BulkWriteResult: new (raw: Document, ordered: boolean) => Result;
}

/** Its cursor of a change stream. */
declare module 'mongodb/lib/cursor/change_stream_cursor.js' {
  import type { ClientSession, Document } from 'mongodb';

  export class ChangeStreamCursor {
    constructor(client: unknown, namespace: unknown, pipeline: readonly Document[], options: object);
    maxWireVersion: number | undefined;
    _initialize(session: ClientSession): Promise<unknown>;
    _processBatch(response: unknown): void;
    getMore(): Promise<unknown>;
    close(): Promise<void>;
    on(event: string, listener: (value: unknown) => void): this;
    emit(event: string, value?: unknown): boolean;
  }
}
