import type { Db, MongoClient } from 'mongodb';
import type { HandoverEvent } from '../../domain/handover.js';
import type { Direction, Partition } from '../../domain/partition.js';
import { acceptedBy, collectionOn, isSharedOn, tokensOf } from '../../domain/partition.js';
import type { Token } from '../../domain/token.js';
import type { Catalog } from '../../store/catalog/catalog.js';
import type { MigrationDocument } from '../../store/catalog/migrations.js';
import { backfill } from '../../store/backfill.js';
import { operationTime } from '../../store/change-log.js';
import { Checkpoint, Markers, removeReplication } from '../../store/checkpoint.js';
import { scopeFromBson } from '../../store/codec.js';
import { createLanes } from '../../store/copy-lane.js';
import { createFenced, replaceByClosed, setAccepted } from '../../store/fenced-collection.js';
import { follow, markerRead } from '../../store/follower.js';
import { dropGates, makeGates, newGates } from '../../store/gates.js';
import { partOf, partOn } from '../../store/part.js';
import { removePart } from '../../store/part-removal.js';
import { hasCode } from '../../store/server-errors.js';
import { stepMarkerId } from '../../store/step-marker.js';
import { Throttle } from '../../store/throttle.js';
import { until } from '../store/servers.js';

const KEY = 'customerId';
const TIMEOUT_MS = 60_000;
let moves = 0;

/**
 * A move of a partition as the protocol makes it, with everything that Drover writes to the nodes: backfill, replication in
 * both directions, fences, markers, and the removal of the old copy. Without what guards against a process that dies.
 */
export class ReplicatedMove {
  private readonly migration = `move-${moves++}`;
  private readonly abort = new AbortController();
  private readonly following: Promise<void>[] = [];

  constructor(
    private readonly catalog: Catalog,
    private readonly clients: Readonly<Record<string, MongoClient>>,
    private readonly database: string,
    private partition: Partition,
    private readonly target: string,
  ) {}

  /** Up to where tokens can be handed over. */
  async begin(): Promise<void> {
    const { migration, target, partition } = this;
    const { source } = partition.route;
    const [from, to] = [this.db(source), this.db(target)];
    const [origin, copy] = [collectionOn(partition, source), collectionOn(partition, target)];
    const isThere = (await to.listCollections({ name: copy }).toArray()).length > 0;
    if (!isThere) await createFenced(to, copy, { keyField: KEY, accepted: [] });
    await new Checkpoint(to, migration, 'forward').create(tokensOf(partition), await operationTime(from));
    const { keyspace, name } = partition;
    const record = {
      _id: migration,
      keyspace,
      partition: name,
      source,
      target,
      state: 'running',
      startedAt: new Date(),
    };
    await this.catalog.migrations.insert(record as MigrationDocument);
    await createLanes(to, migration);
    await backfill({
      ...{ source: this.clients[source]!, target: this.clients[target]!, database: this.database, migration },
      ...{ collection: origin, copy, part: partOn(KEY, partition, source, target) },
      ...{ throttle: new Throttle(0), signal: this.abort.signal, onProgress: () => undefined },
    });
    this.follow('forward');
    await new Checkpoint(from, migration, 'back').create(tokensOf(partition), await operationTime(to));
    this.follow('back');
    await this.advance({ kind: 'claim', migration, target }, { kind: 'publish' });
  }

  /** One boundary step. */
  async to(boundary: Token): Promise<void> {
    const { migration } = this;
    const fencing = await this.advance({ kind: 'announce' }, { kind: 'begin', boundary });
    const state = fencing.handover!.state as { direction: Direction; interval: { low: Token; high: Token } };
    const { direction, interval } = state;
    const { source } = fencing.route;
    const [losing, gaining] = direction === 'forward' ? [source, this.target] : [this.target, source];
    const { id, epoch } = fencing;
    await until('routers', async () => (await this.catalog.routers.missing(id, epoch)).length === 0, TIMEOUT_MS);
    await this.setFence(losing);
    const marker = { epoch, interval };
    const markerId = stepMarkerId({ migration, direction, epoch, from: losing, keyspace: fencing.keyspace });
    await new Markers(this.db(losing)).write(markerId, migration, direction, { boundary: marker });
    const handedOver = new Checkpoint(this.db(gaining), migration, direction);
    const isRead = await markerRead(handedOver, ({ scope }) => scopeFromBson(scope).handedOver === epoch, TIMEOUT_MS);
    if (!isRead) throw new Error(`${id}: the marker did not arrive`);
    const since = await operationTime(this.db(gaining));
    const owned = await this.advance({ kind: 'own', since });
    const back = direction === 'forward' ? 'back' : 'forward';
    await new Checkpoint(this.db(losing), migration, back).receive({ epoch: owned.epoch, interval, since });
    await this.setFence(gaining);
    await this.advance({ kind: 'settle' });
  }

  /** The target owns everything; the old copy goes. */
  async complete(): Promise<void> {
    const { source } = this.partition.route;
    const { id, epoch } = await this.advance({ kind: 'retire', at: Date.now() });
    await until('routers', async () => (await this.catalog.routers.missing(id, epoch)).length === 0, TIMEOUT_MS);
    await this.stop();
    for (const node of [source, this.target]) await removeReplication(this.db(node), this.migration);
    const collection = collectionOn(this.partition, source);
    if (isSharedOn(this.partition, source)) {
      await removePart({
        ...{ client: this.clients[source]!, database: this.database, collection, migration: this.migration },
        ...{ part: partOf(KEY, this.partition), attempt: 1, throttle: new Throttle(0) },
        ...{ confirm: async () => {}, onProgress: () => undefined },
      });
    } else await replaceByClosed(this.db(source), collection, { keyField: KEY }, this.migration, async () => {});
    await this.advance({ kind: 'release' });
    await this.catalog.migrations.end(this.migration, { state: 'completed', endedAt: new Date() });
  }

  async stop(): Promise<void> {
    this.abort.abort();
    await Promise.all(this.following);
  }

  private db(node: string): Db {
    return this.clients[node]!.db(this.database);
  }

  private async advance(...events: HandoverEvent[]): Promise<Partition> {
    for (const event of events) {
      this.partition = await this.catalog.partitions.advance(this.partition, event);
    }
    return this.partition;
  }

  private async setFence(node: string): Promise<void> {
    const { partition } = this;
    const others = isSharedOn(partition, node) ? await this.catalog.partitions.sharing(partition) : [];
    const [db, collection] = [this.db(node), collectionOn(partition, node)];
    const fence = { keyField: KEY, accepted: acceptedBy([partition, ...others], node) };
    const [gate] = newGates(partition.name, partition.attempt) as [string];
    await makeGates(db, collection, [gate]);
    // Replication has transactions under way there; on a busy machine even the majority's answer comes too late.
    const inTime = (change: Promise<boolean>) =>
      change.catch((error: unknown) => {
        if (hasCode(error, 'maxTimeExpired')) return false;
        throw error;
      });
    await until('the fence', () => inTime(setAccepted(db, collection, fence, gate)), TIMEOUT_MS);
    await until('no gate', () => inTime(dropGates(db, collection, () => true)), TIMEOUT_MS);
  }

  private follow(direction: Direction): void {
    const { partition, target, clients, migration, database } = this;
    const { source } = partition.route;
    const [from, to] = direction === 'forward' ? [source, target] : [target, source];
    this.following.push(
      follow({
        ...{ migration, direction, database, keyField: KEY, part: partOn(KEY, partition, source, target) },
        ...{ origin: clients[from]!, destination: clients[to]! },
        ...{ collection: collectionOn(partition, from), copy: collectionOn(partition, to) },
        ...{ signal: this.abort.signal, onProgress: () => undefined },
      }),
    );
  }
}
