import type { Document } from 'mongodb';
import { Long } from 'mongodb';
import type { Batches } from './batches.js';

/**
 * What the driver's cursors take for an answer of a server: with these, its own cursor classes, with all that they can do, give
 * out documents of several nodes.
 */
export class DriverAnswer {
  /** Any number but zero: a cursor that has more. */
  protected static readonly MORE = Long.ONE;
  /** The name of the collection, which the request has. */
  readonly ns = null;
  readonly batchSize: number;
  private at = 0;

  protected constructor(
    readonly id: Long,
    private readonly documents: readonly (Document | Uint8Array)[],
  ) {
    this.batchSize = documents.length;
  }

  static async of(batches: Batches<Document | Uint8Array>): Promise<DriverAnswer> {
    const documents = await batches.next();
    return documents === null ? DriverAnswer.none() : new DriverAnswer(DriverAnswer.MORE, documents);
  }

  static none(): DriverAnswer {
    // Not the driver's own zero: with that one, reading on after the end is an error.
    return new DriverAnswer(new Long(0), []);
  }

  get length(): number {
    return this.batchSize - this.at;
  }

  /** As it is: it was decoded by the options of the request. */
  shift(): Document | Uint8Array | null {
    // Never beyond the end: the driver asks a closed cursor, too, and takes any other length than zero for documents.
    if (this.length === 0) return null;
    const document = this.documents[this.at]!;
    this.at += 1;
    return document;
  }

  clear(): void {
    this.at = this.batchSize;
  }
}
