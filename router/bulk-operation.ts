import type { BatchType, BulkOperationBase, BulkWriteOptions, BulkWriteResult, Collection, Document } from 'mongodb';
import { MongoBatchReExecutionError, OrderedBulkOperation, UnorderedBulkOperation } from 'mongodb';
import type { Statement } from './bulk-statements.js';
import type { Routed } from './session.js';

/** Runs what was gathered. */
export type Execute = (
  statements: readonly Statement[],
  ordered: boolean,
  options: Routed<BulkWriteOptions>,
) => Promise<BulkWriteResult>;

/** Sessions are this client's, not the driver's: that is wider than what the driver declares. */
type ExecuteOptions = BulkWriteOptions | Routed<BulkWriteOptions>;

/** A builder of the driver, which checks what it is given as the driver does; what it has gathered goes by the routes. */
type Gathering<Drivers> = Drivers & { execute(options?: ExecuteOptions): Promise<BulkWriteResult> };
type GatheringClass<Drivers> = new (
  collection: Collection,
  options: Routed<BulkWriteOptions>,
  run: Execute,
) => Gathering<Drivers>;

/** The driver's own classes, whose constructors are not declared. */
type DriversClass = new (collection: Collection, options: BulkWriteOptions) => BulkOperationBase;

function gathering<Drivers>(drivers: unknown, ordered: boolean): GatheringClass<Drivers> {
  class Gatherer extends (drivers as DriversClass) {
    private readonly statements: Statement[] = [];
    private executed = false;

    constructor(
      collection: Collection,
      private readonly given: Routed<BulkWriteOptions>,
      private readonly run: Execute,
    ) {
      const { session: _, ...others } = given;
      super(collection, others);
    }

    override get length(): number {
      return this.statements.length;
    }

    override addToOperationsList(kind: BatchType, op: Document): this {
      this.statements.push({ index: this.statements.length, kind, op });
      return this;
    }

    override async execute(options: ExecuteOptions = {}): Promise<BulkWriteResult> {
      if (this.executed) throw new MongoBatchReExecutionError();
      this.executed = true;
      return this.run(this.statements, ordered, { ...this.given, ...(options as Routed<BulkWriteOptions>) });
    }
  }
  return Gatherer as unknown as GatheringClass<Drivers>;
}

export const DroverOrderedBulkOperation = gathering<OrderedBulkOperation>(OrderedBulkOperation, true);
export type DroverOrderedBulkOperation = Gathering<OrderedBulkOperation>;
export const DroverUnorderedBulkOperation = gathering<UnorderedBulkOperation>(UnorderedBulkOperation, false);
export type DroverUnorderedBulkOperation = Gathering<UnorderedBulkOperation>;
