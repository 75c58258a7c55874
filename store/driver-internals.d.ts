/** Not part of the driver's public types: documents of a command as bytes. */
declare module 'mongodb/lib/cmap/commands.js' {
  export class DocumentSequence {
    constructor(field: string);
    /**
     * @param document for command monitoring only
     * @param bytes of a document, or of several one behind the other
     */
    push(document: object, bytes: Uint8Array): number;
  }
}

/** What `db.command` is made of, with an answer that is not decoded. */
declare module 'mongodb/lib/operations/run_command.js' {
  import type { ClientSession, Document } from 'mongodb';
  import type { MongoDBNamespace } from 'mongodb/lib/utils.js';

  export class RunCommandOperation<T> {
    constructor(namespace: MongoDBNamespace, command: Document, options: { readonly session: ClientSession });
    handleOk(response: { toBytes(): Uint8Array }): T;
  }
}

declare module 'mongodb/lib/operations/execute_operation.js' {
  import type { MongoClient } from 'mongodb';
  import type { RunCommandOperation } from 'mongodb/lib/operations/run_command.js';

  export function executeOperation<T>(client: MongoClient, operation: RunCommandOperation<T>): Promise<T>;
}

/** Names of databases and collections, as operations and cursors take them. */
declare module 'mongodb/lib/utils.js' {
  export class MongoDBNamespace {
    static fromString(namespace: string): MongoDBNamespace;
  }
}

/** Which errors it repeats a read for. */
declare module 'mongodb/lib/error.js' {
  import type { MongoError } from 'mongodb';

  export function isRetryableReadError(error: MongoError): boolean;
}
