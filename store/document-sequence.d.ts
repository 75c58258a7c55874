/** Not part of the driver's public types: see raw-documents.ts. */
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
