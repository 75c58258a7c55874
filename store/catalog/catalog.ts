import type { MongoClient } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { Partition, SharedCollection } from '../../domain/partition.js';
import { connect } from '../connect.js';
import { hasCode } from '../server-errors.js';
import type { CountsDocument, DetailsDocument, RecordDocument } from './access-documents.js';
import { AccessHistory } from './access-history.js';
import { AccessRollUp } from './access-roll-up.js';
import { Anomalies } from './anomalies.js';
import { Decisions } from './decisions.js';
import { EntityPairs } from './entity-pairs.js';
import { Forecasts } from './forecasts.js';
import { Ingestions } from './ingestions.js';
import type { KeyspaceDocument } from './keyspaces.js';
import { Keyspaces } from './keyspaces.js';
import { Migrations } from './migrations.js';
import { ModelChoices } from './model-choices.js';
import { NodeReadings } from './node-readings.js';
import { NodeUses } from './node-use.js';
import { Nodes } from './nodes.js';
import { PartitionSizes } from './partition-sizes.js';
import { Partitions } from './partitions.js';
import { QueryShapes } from './query-shapes.js';
import type { Reservation } from './reservations.js';
import { Reservations } from './reservations.js';
import { Routers } from './routers.js';
import { RoundTrips } from './round-trips.js';
import { ensureSchema } from './schema.js';
import { Settings } from './settings.js';
import { SizeTurns } from './size-turns.js';

/** The policy's default. */
const ACCESS_WINDOW_MS = 300_000;

/** The catalog database. Everything is written with majority; nothing here is the only copy of user data. */
export class Catalog {
  readonly nodes: Nodes;
  readonly nodeUses: NodeUses;
  readonly nodeReadings: NodeReadings;
  readonly keyspaces: Keyspaces;
  readonly partitions: Partitions;
  readonly partitionSizes: PartitionSizes;
  readonly sizeTurns: SizeTurns;
  readonly migrations: Migrations;
  readonly decisions: Decisions;
  readonly forecasts: Forecasts;
  readonly modelChoices: ModelChoices;
  readonly access: AccessHistory;
  readonly accessRollUp: AccessRollUp;
  readonly entityPairs: EntityPairs;
  readonly ingestions: Ingestions;
  readonly queryShapes: QueryShapes;
  readonly anomalies: Anomalies;
  readonly routers: Routers;
  readonly roundTrips: RoundTrips;
  readonly reservations: Reservations;
  readonly settings: Settings;

  private constructor(
    private readonly client: MongoClient,
    database: string,
    accessWindowMs: number,
  ) {
    const db = client.db(database);
    this.nodes = new Nodes(db.collection('nodes'));
    this.nodeReadings = new NodeReadings(db.collection('nodeReadings'));
    this.keyspaces = new Keyspaces(db.collection('keyspaces'));
    this.partitions = new Partitions(client, db.collection('partitions'));
    this.partitionSizes = new PartitionSizes(db.collection('partitionSizes'));
    this.sizeTurns = new SizeTurns(db.collection('sizeTurns'));
    this.migrations = new Migrations(db.collection('migrations'));
    this.decisions = new Decisions(db.collection('decisions'));
    this.forecasts = new Forecasts(db.collection('forecasts'));
    this.modelChoices = new ModelChoices(db.collection('modelChoices'));
    this.queryShapes = new QueryShapes(client, db);
    const access = {
      records: db.collection<RecordDocument>('accessRecords'),
      counts: db.collection<CountsDocument>('accessCounts'),
      details: db.collection<DetailsDocument>('accessDetails'),
    };
    this.access = new AccessHistory(access, accessWindowMs);
    this.nodeUses = new NodeUses(access.records);
    this.accessRollUp = new AccessRollUp(
      client,
      { ...access, ingestions: db.collection('ingestions') },
      accessWindowMs,
    );
    this.entityPairs = new EntityPairs(db.collection('entityPairs'), db.collection('ingestions'));
    this.anomalies = new Anomalies(db.collection('anomalies'));
    this.ingestions = new Ingestions(db.collection('ingestions'));
    this.routers = new Routers(db.collection('routers'), db.collection('acknowledgements'));
    this.roundTrips = new RoundTrips(db.collection('roundTrips'));
    this.reservations = new Reservations(db.collection('reservations'));
    this.settings = new Settings(db.collection('settings'));
  }

  /**
   * Connects and brings the schema up to date.
   *
   * @param accessWindowMs length of the windows that access records are rolled up to
   * @throws DroverError `Unavailable`
   */
  static async open(uri: string, database = 'drover', accessWindowMs = ACCESS_WINDOW_MS): Promise<Catalog> {
    const client = await connect(uri, 'catalog');
    try {
      await ensureSchema(client.db(database));
    } catch (error) {
      await client.close();
      throw error;
    }
    return new Catalog(client, database, accessWindowMs);
  }

  /**
   * Adds a keyspace with all of its partitions, or nothing; where it was reserved, only as long as it still is.
   *
   * @throws DroverError `InvalidRequest` when there is one of that name, `Superseded` when the reservation is not there
   */
  async addKeyspace(
    keyspace: KeyspaceDocument,
    partitions: readonly Partition[],
    reservation?: Reservation,
  ): Promise<void> {
    try {
      await this.client.withSession((session) =>
        session.withTransaction(async () => {
          if (reservation !== undefined) await this.reservations.complete(reservation, session);
          await this.keyspaces.insert(keyspace, session);
          await this.partitions.insert(partitions, session);
        }),
      );
    } catch (error) {
      if (!hasCode(error, 'duplicateKey')) throw error;
      throw new DroverError('InvalidRequest', `keyspace "${keyspace._id}" already exists`);
    }
  }

  /**
   * Has all partitions of a keyspace, none of which is there, share a collection on a node as soon as they come to it.
   *
   * @throws DroverError `Refused` when one of them has begun to move, or has another place already
   */
  async shareCollection(name: string, place: SharedCollection): Promise<void> {
    await this.client.withSession((session) =>
      session.withTransaction(async () => {
        const left = await this.partitions.share(name, place, session);
        if (left === 0) return;
        throw new DroverError(
          'Refused',
          `${left} partitions of ${name} have begun to move, are being repaired, or have another place: look again`,
        );
      }),
    );
  }

  /**
   * Ends the routes of a keyspace whose partitions are all at one place, so that none of them can be moved any more.
   *
   * @throws DroverError `Refused` when one of them has begun to move
   */
  async beginRelease(name: string, place: SharedCollection): Promise<void> {
    await this.client.withSession((session) =>
      session.withTransaction(async () => {
        const left = await this.partitions.removeSettled(name, place, session);
        if (left > 0) {
          throw new DroverError(
            'Refused',
            `${left} partitions of ${name} have begun to move, or are being repaired: wait for that`,
          );
        }
        await this.keyspaces.setReleasing(name, place, session);
      }),
    );
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}
