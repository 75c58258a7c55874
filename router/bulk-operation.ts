import type { BatchType, BulkWriteOptions, BulkWriteResult, Collection, Document } from 'mongodb';
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

/** The driver's own classes, whose constructors are not declared. */
type Constructor<T> = new (collection: Collection, options: BulkWriteOptions) => T;
const DriversOrdered = OrderedBulkOperation as unknown as Constructor<OrderedBulkOperation>;
const DriversUnordered = UnorderedBulkOperation as unknown as Constructor<UnorderedBulkOperation>;

/** Gathers statements, once to be executed. */
class Gathered {
  private readonly statements: Statement[] = [];
  private executed = false;

  constructor(
    private readonly ordered: boolean,
    private readonly options: Routed<BulkWriteOptions>,
    private readonly run: Execute,
  ) {}

  get length(): number {
    return this.statements.length;
  }

  add(kind: BatchType, op: Document): void {
    this.statements.push({ index: this.statements.length, kind, op });
  }

  async execute(options: ExecuteOptions = {}): Promise<BulkWriteResult> {
    if (this.executed) throw new MongoBatchReExecutionError();
    this.executed = true;
    return this.run(this.statements, this.ordered, { ...this.options, ...(options as Routed<BulkWriteOptions>) });
  }
}

/** The driver's builder, which checks what it is given as the driver does; what it has gathered goes by the routes. */
export class DroverOrderedBulkOperation extends DriversOrdered {
  private readonly gathered: Gathered;

  constructor(collection: Collection, options: Routed<BulkWriteOptions>, run: Execute) {
    const { session: _, ...others } = options;
    super(collection, others);
    this.gathered = new Gathered(true, options, run);
  }

  override get length(): number {
    return this.gathered.length;
  }

  override addToOperationsList(kind: BatchType, op: Document): this {
    this.gathered.add(kind, op);
    return this;
  }

  override execute(options?: ExecuteOptions): Promise<BulkWriteResult> {
    return this.gathered.execute(options);
  }
}

export class DroverUnorderedBulkOperation extends DriversUnordered {
  private readonly gathered: Gathered;

  constructor(collection: Collection, options: Routed<BulkWriteOptions>, run: Execute) {
    const { session: _, ...others } = options;
    super(collection, others);
    this.gathered = new Gathered(false, options, run);
  }

  override get length(): number {
    return this.gathered.length;
  }

  override addToOperationsList(kind: BatchType, op: Document): this {
    this.gathered.add(kind, op);
    return this;
  }

  override execute(options?: ExecuteOptions): Promise<BulkWriteResult> {
    return this.gathered.execute(options);
  }
}
