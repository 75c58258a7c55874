import type { BulkWriteResult as Result, Document, WriteError as Failure } from 'mongodb';
import { BatchType, MongoBulkWriteError, MongoError } from 'mongodb';
import { BulkWriteResult, WriteError } from 'mongodb/lib/bulk/common.js';
import type { Statement } from './bulk-statements.js';

/** What the driver counts of a bulk write. */
interface Counts {
  readonly nInserted?: number;
  readonly nMatched?: number;
  readonly nModified?: number;
  readonly nRemoved?: number;
  /** By their place among the statements that were sent. */
  readonly upserted?: readonly { readonly index: number; readonly _id: unknown }[];
}

/** What has become of the statements of a bulk write so far, in the driver's own form. */
export class Tally {
  private readonly counts = { nInserted: 0, nUpserted: 0, nMatched: 0, nModified: 0, nRemoved: 0 };
  private readonly upserted: { index: number; _id: unknown }[] = [];
  private readonly inserted: { index: number; _id: unknown }[] = [];
  private readonly failures: { readonly statement: Statement; readonly error: Failure }[] = [];

  constructor(private readonly ordered: boolean) {}

  get hasFailed(): boolean {
    return this.failures.length > 0;
  }

  /** @param sent what the counts are of, and `done` those of them that were applied */
  count(sent: readonly Statement[], done: readonly Statement[], raw: Counts): void {
    for (const name of ['nInserted', 'nMatched', 'nModified', 'nRemoved'] as const) this.counts[name] += raw[name] ?? 0;
    for (const { index, _id } of raw.upserted ?? []) this.upserted.push({ index: sent[index]!.index, _id });
    this.counts.nUpserted = this.upserted.length;
    for (const { kind, index, op } of done) {
      if (kind === BatchType.INSERT) this.inserted.push({ index, _id: op['_id'] });
    }
  }

  /** A statement that its node has refused. */
  fail(statement: Statement, { code, errmsg, errInfo }: { code?: unknown; errmsg?: unknown; errInfo?: unknown }): void {
    const { index, op } = statement;
    const described = { index, code, errmsg, errInfo, op } as ConstructorParameters<typeof WriteError>[0];
    this.failures.push({ statement, error: new WriteError(described) });
  }

  result(): Result {
    const byIndex = (a: { index: number }, b: { index: number }) => a.index - b.index;
    const raw: Document = {
      ok: 1,
      writeErrors: this.errors(),
      writeConcernErrors: [],
      insertedIds: this.inserted.sort(byIndex),
      ...this.counts,
      upserted: this.upserted.sort(byIndex),
    };
    return new BulkWriteResult(raw, this.ordered);
  }

  /** @param cause what has ended the bulk write, if it was not (only) a refused statement */
  error(cause?: unknown): MongoBulkWriteError {
    const writeErrors = this.errors();
    const [first] = writeErrors;
    const { code, message } = (first ?? cause ?? {}) as { code?: number; message?: string };
    const described = { message: first?.errmsg ?? message ?? 'write operation failed', code: code!, writeErrors };
    const error = new MongoBulkWriteError(described, this.result());
    if (cause instanceof Error) error.cause = cause;
    // By these an application sees that its transaction may be repeated.
    if (cause instanceof MongoError) for (const label of cause.errorLabels) error.addErrorLabel(label);
    return error;
  }

  /** In the order in which the driver would have met them: it sends statements of one kind together where any order will do. */
  private errors(): Failure[] {
    const kinds = (statement: Statement) => (this.ordered ? 0 : statement.kind);
    return this.failures
      .sort((a, b) => kinds(a.statement) - kinds(b.statement) || a.statement.index - b.statement.index)
      .map(({ error }) => error);
  }
}
