import type { Db } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import { hasCode } from '../server-errors.js';
import { ANOMALIES_KEPT_MS } from './anomalies.js';
import { ENTITY_PAIRS_RETENTION_S } from './entity-pairs.js';
import { DUE_INDEX } from './forecasts.js';
import { SHAPES_RETENTION_S } from './query-shapes.js';
import { ROUND_TRIPS_RETENTION_S } from './round-trips.js';
import type { SettingDocument } from './settings.js';

/** Of documents that were written before it was known how long they are kept. */
const UNKNOWN_RETENTION_MS = 30 * 24 * 3_600_000;

/** Versions of the catalog's schema, oldest first: each brings the one before it up to its own. All are repeatable. */
const MIGRATIONS: readonly { readonly version: number; readonly apply: (db: Db) => Promise<void> }[] = [
  {
    version: 1,
    apply: async (db) => {
      await db.collection('partitions').createIndex({ keyspace: 1, name: 1 }, { unique: true });
      await db
        .collection('migrations')
        .createIndexes([
          { key: { keyspace: 1, partition: 1, startedAt: -1 } },
          { key: { state: 1, startedAt: -1 } },
          { key: { startedAt: -1 } },
        ]);
      await db.collection('decisions').createIndexes([{ key: { at: -1 } }, { key: { state: 1, at: -1 } }]);
      await db
        .collection('forecasts')
        .createIndexes([
          { key: { keyspace: 1, partition: 1, madeAt: -1 } },
          { key: { keyspace: 1, decided: 1, madeAt: 1 } },
        ]);
      await db.collection('routers').createIndex({ renewedAt: 1 }, { expireAfterSeconds: 3600 });
      await db
        .collection('acknowledgements')
        .createIndexes([
          { key: { '_id.partition': 1, epoch: 1 } },
          { key: { '_id.router': 1 } },
          { key: { at: 1 }, expireAfterSeconds: 24 * 3600 },
        ]);
    },
  },
  {
    version: 2,
    apply: async (db) => {
      const partitions = db.collection('partitions');
      await partitions.updateMany({ attempt: { $exists: false } }, { $set: { attempt: 0, gates: [], locks: [] } });
      await partitions.createIndexes([
        {
          key: { locks: 1 },
          unique: true,
          partialFilterExpression: { 'locks.0': { $exists: true } },
        },
        { key: { 'handover.state.kind': 1 }, sparse: true },
      ]);
    },
  },
  {
    version: 3,
    apply: async (db) => {
      // Only what waits to be scored is in it: scoring takes `byModel` away.
      await db
        .collection('forecasts')
        .createIndex({ keyspace: 1, madeAt: 1 }, { partialFilterExpression: { byModel: { $exists: true } } });
      await db.collection('modelChoices').createIndex({ keyspace: 1, partition: 1 });
    },
  },
  {
    version: 4,
    apply: async (db) => {
      await db.collection('roundTrips').createIndex({ at: 1 }, { expireAfterSeconds: ROUND_TRIPS_RETENTION_S });
      for (const name of ['queryShapes', 'profiledShapes']) {
        await db.collection(name).createIndexes([
          { key: { '_id.keyspace': 1, '_id.hour': 1 } },
          // By the server's clock: what a replay brings may be old from the beginning.
          { key: { writtenAt: 1 }, expireAfterSeconds: SHAPES_RETENTION_S },
        ]);
      }
    },
  },
  {
    version: 5,
    apply: async (db) => {
      const of = { 'meta.keyspace': 1, 'meta.partition': 1 } as const;
      const expiry = { key: { expireAt: 1 }, expireAfterSeconds: 0 } as const;
      await db
        .collection('accessRecords')
        .createIndexes([
          { key: { ...of, time: 1 } },
          { key: { 'meta.batch': 1 }, partialFilterExpression: { 'meta.batch': { $exists: true } } },
        ]);
      await db
        .collection('accessCounts')
        .createIndexes([{ key: { 'meta.keyspace': 1, tier: 1, 'meta.partition': 1, time: 1 } }, expiry]);
      await db.collection('accessDetails').createIndexes([{ key: { ...of, time: 1 } }, expiry]);
      // A time series, whose records can't be taken out of it in a transaction. It expires by itself.
      const [before] = await db.listCollections({ name: 'access' }).toArray();
      if (before === undefined) return;
      const into = { into: 'accessRecords', on: '_id', whenMatched: 'keepExisting' } as const;
      await db
        .collection('access')
        .aggregate([{ $set: { _id: { $toString: '$_id' } } }, { $merge: into }])
        .toArray();
    },
  },
  {
    version: 6,
    apply: async (db) => {
      await db
        .collection('nodeReadings')
        .createIndexes([{ key: { node: 1, time: 1 } }, { key: { expireAt: 1 }, expireAfterSeconds: 0 }]);
    },
  },
  {
    version: 7,
    apply: async (db) => {
      const ingestions = db.collection('ingestions');
      const pending = { $cond: [{ $gt: ['$pending', null] }, ['$pending'], []] };
      const names = { $concatArrays: [{ $ifNull: ['$disowned', []] }, pending] };
      await ingestions.updateMany({ uncounted: { $exists: false } }, [
        { $set: { uncounted: { $map: { input: names, as: 'batch', in: { batch: '$$batch', at: '$$NOW' } } } } },
        { $unset: ['pending', 'disowned'] },
      ]);
      // A log is recognised by its first mark, or by how short it is.
      await ingestions.createIndexes([
        { key: { keyspace: 1, 'marks.0.hash': 1 } },
        { key: { keyspace: 1, position: 1 } },
        { key: { keyspace: 1, startedAt: -1 } },
        { key: { keyspace: 1, updatedAt: 1 }, partialFilterExpression: { 'uncounted.0': { $exists: true } } },
      ]);
    },
  },
  {
    version: 8,
    apply: async (db) => {
      const forecasts = db.collection('forecasts');
      const waits = { byModel: { $exists: true } };
      const horizonMs = { $multiply: ['$windowMs', { $size: '$mean' }] };
      await forecasts.updateMany({ ...waits, dueAt: { $exists: false } }, [
        { $set: { dueAt: { $add: ['$madeAt', horizonMs] } } },
      ]);
      await forecasts.createIndexes([
        { key: DUE_INDEX, partialFilterExpression: waits },
        { key: { keyspace: 1, madeAt: 1, partition: 1 } },
      ]);
      for (const name of ['forecasts', 'modelChoices']) {
        await db
          .collection(name)
          .updateMany({ expireAt: { $exists: false } }, [
            { $set: { expireAt: { $add: ['$$NOW', UNKNOWN_RETENTION_MS] } } },
          ]);
        await db.collection(name).createIndex({ expireAt: 1 }, { expireAfterSeconds: 0 });
      }
      // Of version 3: not by when they are due.
      await forecasts.dropIndex('keyspace_1_madeAt_1').catch((error: unknown) => {
        // Another process has dropped it.
        if (!hasCode(error, 'indexNotFound')) throw error;
      });
    },
  },
  {
    version: 9,
    apply: async (db) => {
      const anomalies = db.collection('anomalies');
      const expireAt = new Date(Date.now() + ANOMALIES_KEPT_MS);
      await anomalies.updateMany({ expireAt: { $exists: false } }, { $set: { expireAt } });
      await anomalies.createIndexes([
        { key: { keyspace: 1, at: -1, _id: 1 } },
        { key: { at: -1, _id: 1 } },
        // Only what was evaluated anew is in it.
        { key: { keyspace: 1, reevaluatedAt: 1 }, partialFilterExpression: { reevaluatedAt: { $exists: true } } },
        { key: { expireAt: 1 }, expireAfterSeconds: 0 },
      ]);
    },
  },
  {
    version: 10,
    apply: async (db) => {
      await db
        .collection('partitionSizes')
        .createIndexes([
          { key: { keyspace: 1, partition: 1, time: 1 } },
          { key: { expireAt: 1 }, expireAfterSeconds: 0 },
        ]);
    },
  },
  {
    version: 11,
    apply: async (db) => {
      await db
        .collection('entityPairs')
        .createIndexes([
          { key: { '_id.keyspace': 1, '_id.hour': 1 } },
          { key: { '_id.by': 1 } },
          { key: { writtenAt: 1 }, expireAfterSeconds: ENTITY_PAIRS_RETENTION_S },
        ]);
    },
  },
];

export const SCHEMA_VERSION = MIGRATIONS.at(-1)!.version;

/**
 * Brings the catalog to this version's schema; several processes may do it at once.
 *
 * @throws DroverError `Refused` when the catalog was made by a newer Drover
 */
export async function ensureSchema(db: Db): Promise<void> {
  const settings = db.collection<SettingDocument>('settings');
  const found = (await settings.findOne({ _id: 'schema' }))?.version ?? 0;
  if (found > SCHEMA_VERSION) {
    throw new DroverError(
      'Refused',
      `the catalog has schema version ${found}, this Drover knows ${SCHEMA_VERSION}: use a Drover as new as the catalog`,
    );
  }
  for (const migration of MIGRATIONS.filter(({ version }) => version > found)) {
    await migration.apply(db);
    await settings.updateOne({ _id: 'schema' }, { $max: { version: migration.version } }, { upsert: true });
  }
}
