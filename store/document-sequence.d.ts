/** Not part of the driver's public types: see raw-documents.ts. */
declare module 'mongodb/lib/cmap/commands.js' {
  export class DocumentSequence {
    constructor(field: string);
    /** @param document for command monitoring only */
    push(document: object, bytes: Uint8Array): number;
  }
}
