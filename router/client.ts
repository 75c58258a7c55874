import type { MongoClientOptions } from 'mongodb';
import { nanoid } from 'nanoid';
import { LEASE_MS } from '../domain/lease.js';
import { Catalog } from '../store/catalog/catalog.js';
import { appOfRouter } from '../store/catalog/routers.js';
import { NodePool } from '../store/node-pool.js';
import { AccessRecorder } from './access-recorder.js';
import type { ClientStatus } from './client-status.js';
import { EntityRecorder } from './entity-recorder.js';
import { Entrance } from './entrance.js';
import { Keyspaces } from './keyspaces.js';
import { Nearest } from './nearest.js';
import { NodeHistory } from './node-history.js';
import { NodeRegions } from './node-regions.js';
import { NodeUris } from './node-uris.js';
import { originOf } from './origin.js';
import { DroverOriginClient } from './origin-client.js';
import type { NearestReads } from './reading.js';
import { checkNearest } from './reading.js';
import { RouteFeed } from './route-feed.js';
import { RouteTable } from './route-table.js';
import { RoundTripRecorder } from './round-trip-recorder.js';
import { Router } from './router.js';
import { ShapeRecorder } from './shape-recorder.js';

/** A catalog that is away keeps nobody from closing. */
const CLOSE_MS = 2_000;
/** Shapes of requests change slowly: they are written in fewer records than requests are counted in. */
const SHAPES_FLUSH_MS = 15_000;
/** As long as sessions of users are. */
const ENTITIES_FLUSH_MS = 60_000;
/** The driver measures every ten seconds. */
const ROUND_TRIPS_MS = 15_000;

export interface DroverClientOptions {
  /** Region that this application runs in. */
  readonly region: string;
  /** Connection strings of nodes by name; otherwise from the configuration or `DROVER_NODE_<NAME>`. */
  readonly nodes?: Readonly<Record<string, string>>;
  /** Address that this application's requests come from, for the access history. */
  readonly ip?: string;
  /** The catalog's database. Default `drover`. */
  readonly catalogDatabase?: string;
  /** Longest wait of a write for a hand-over, milliseconds. Default 30,000. */
  readonly holdTimeoutMS?: number;
  /** Requests that may wait for hand-overs at once; beyond it they fail at once with `Unavailable`. Default 10,000. */
  readonly maxHeldRequests?: number;
  /**
   * What becomes of a result that says "nothing there" (a write that changed nothing, a read with the read concern
   * `linearizable`) while neither this client's lease on its routes holds nor the catalog answers, so that the data may have
   * moved. `refuse` (the default) throws, `serve` gives the result as it is.
   */
  readonly onLeaseExpired?: 'refuse' | 'serve';
  /** Reads may go to copies in this client's region, where the owner is in another one. Default: from the owner. */
  readonly nearest?: NearestReads;
  /** Whether this client's requests count as use of the data. Default true; a bulk load says nothing about use. */
  readonly recordAccess?: boolean;
  /** How often access records are written, milliseconds. Default 1,000. */
  readonly accessFlushMS?: number;
  /** The driver's options for the connections to the nodes; the `appName` is the client's own. */
  readonly driver?: MongoClientOptions;
  /** Drover's time for access records, milliseconds; a replay gives its own. Default: the clock of this machine. */
  readonly now?: () => number;
  /** Told of trouble in the background (catalog not reachable, records not written), which costs no request. */
  readonly onProblem?: (problem: string, error: unknown) => void;
}

/**
 * The application's side of Drover: a client whose collections are spread over several MongoDB deployments.
 *
 * @example
 * const client = await DroverClient.connect(catalogUri, { region: 'us-east' });
 * const orders = client.db('shop').collection<Order>('orders');
 * await orders.insertOne({ customerId: 'c42', total: 10 });
 */
export class DroverClient extends DroverOriginClient {
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly catalog: Catalog,
    private readonly nodes: NodePool,
    private readonly table: RouteTable,
    private readonly feed: RouteFeed,
    private readonly recorder: AccessRecorder,
    private readonly recorders: readonly { close(): Promise<void> }[],
    private readonly copies: Nearest,
    router: Router,
    nearest: NearestReads | undefined,
  ) {
    super(router, nearest);
  }

  /** @throws DroverError `Unavailable` when the catalog or a node can't be reached */
  static async connect(catalogUri: string, options: DroverClientOptions): Promise<DroverClient> {
    checkNearest(options.nearest);
    const origin = originOf({ ip: options.ip }, options.region);
    const catalog = await Catalog.open(catalogUri, options.catalogDatabase);
    const onProblem = options.onProblem ?? (() => undefined);
    const nodeHistory = new NodeHistory(catalog);
    const known = await nodeHistory.regions();
    const names = [...known.keys()];
    const table = new RouteTable();
    const id = nanoid();
    const uris = new NodeUris(catalogUri, options.nodes);
    // Also of nodes that are added later.
    const nodes = new NodePool(new Map(), { ...options.driver, appName: appOfRouter(id) }, (node) => uris.find(node));
    const entrance = new Entrance(nodes);
    const feed = new RouteFeed(id, catalog, table, entrance, options.region, onProblem);
    const entities = new EntityRecorder({
      flushMs: ENTITIES_FLUSH_MS,
      now: options.now ?? Date.now,
      write: options.recordAccess === false ? undefined : (use) => catalog.entityPairs.put(use, id),
      onProblem,
    });
    const recorder = new AccessRecorder({
      flushMs: options.accessFlushMS ?? 1_000,
      now: options.now ?? Date.now,
      random: Math.random,
      write: options.recordAccess === false ? undefined : (records) => catalog.access.append(records),
      onProblem,
      entities,
    });
    const shapes = new ShapeRecorder({
      flushMs: SHAPES_FLUSH_MS,
      now: options.now ?? Date.now,
      random: Math.random,
      write: options.recordAccess === false ? undefined : (records) => catalog.queryShapes.add(records),
      onProblem,
    });
    const roundTrips = new RoundTripRecorder({
      everyMs: ROUND_TRIPS_MS,
      nodes,
      write: options.recordAccess === false ? undefined : (found) => catalog.roundTrips.put(id, options.region, found),
      onProblem,
    });
    const onLeaseExpired = options.onLeaseExpired ?? 'refuse';
    const regions = new NodeRegions(nodeHistory, known, onProblem);
    const copies = new Nearest(options.region, regions, nodes, feed, onLeaseExpired, onProblem);
    const router = new Router(
      new Keyspaces(catalog, feed, nodeHistory),
      table,
      feed,
      nodes,
      entrance,
      recorder,
      shapes,
      copies,
      {
        holdTimeoutMs: options.holdTimeoutMS ?? 30_000,
        onLeaseExpired,
        maxHeldRequests: options.maxHeldRequests ?? 10_000,
        origin,
      },
    );
    const recorders = [recorder, entities, shapes, roundTrips];
    const client = new DroverClient(catalog, nodes, table, feed, recorder, recorders, copies, router, options.nearest);
    try {
      await router.keyspaces.load();
      await feed.start();
      await Promise.all(names.map((name) => nodes.get(name)));
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** How this client is, for a health check: costs no request. */
  status(): ClientStatus {
    const { answer, change } = this.feed.age;
    const closed = this.closing !== undefined;
    return {
      closed,
      lease: { valid: !closed && this.feed.leaseValid() },
      catalog: { reachable: !closed && answer < LEASE_MS, lastAnswerAt: new Date(Date.now() - answer) },
      routes: { partitions: this.table.size, lastChangeAt: new Date(Date.now() - change) },
      heldRequests: this.router.held.count,
      nodes: this.nodes.reachable,
      accessRecords: this.recorder.backlog,
    };
  }

  /**
   * Ends after the last access records have been written. Requests under way are not waited for, and fail; so do those that
   * wait for something, and those that come later.
   */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.router.close();
    const ended = Promise.all([...this.recorders.map((each) => each.close()), this.copies.close(), this.feed.close()]);
    let timer: NodeJS.Timeout;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_MS)));
    await Promise.race([ended, late]).finally(() => clearTimeout(timer));
    await this.nodes.close();
    // Whatever still waits for an answer of the catalog gets none.
    await this.catalog.close();
    await ended;
  }
}
