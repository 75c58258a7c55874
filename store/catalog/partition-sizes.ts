import type { Collection, Document } from 'mongodb';
import type { SizeReading } from '../../domain/size-growth.js';
import { tokenFromBson, tokenToBson } from '../codec.js';
import type { PartitionRange } from './partition-range.js';
import { inRange } from './partition-range.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface StoredReading extends Omit<SizeReading, 'time' | 'entities'> {
  readonly time: Date;
  readonly entities?: readonly (readonly [token: ReturnType<typeof tokenToBson>, documents: number, bytes: number])[];
}

/** A day of a partition: a document for each hour would take five times as much. */
export interface PartitionSizesDocument {
  /** Partition and day. */
  _id: string;
  keyspace: string;
  partition: string;
  /** Beginning of the day, Drover's time. */
  time: Date;
  /** By the hour of the day, from 0 on. */
  hours: Readonly<Record<string, StoredReading>>;
  /** The server removes it then. */
  expireAt: Date;
}

export interface ReadSize {
  readonly keyspace: string;
  readonly partition: string;
  readonly reading: SizeReading;
}

/** How large partitions were, a reading for each hour. */
export class PartitionSizes {
  constructor(private readonly collection: Collection<PartitionSizesDocument>) {}

  /** @param keepMs real time, milliseconds */
  async record(sizes: readonly ReadSize[], keepMs: number): Promise<void> {
    if (sizes.length === 0) return;
    const expireAt = new Date(Date.now() + keepMs);
    const writes = sizes.map(({ keyspace, partition, reading }) => {
      const { day, hour } = placeOf(reading.time);
      // Field by field: entities that another worker has counted in this hour stay.
      const read: Document = Object.fromEntries(
        Object.entries(toStored(reading)).map(([field, value]) => [`hours.${hour}.${field}`, value]),
      );
      return {
        updateOne: {
          filter: { _id: `${keyspace}/${partition}/${day}` },
          update: {
            $set: { ...read, expireAt },
            $setOnInsert: { keyspace, partition, time: new Date(day) },
          },
          upsert: true,
        },
      };
    });
    await this.collection.bulkWrite(writes, { ordered: false });
  }

  /** Names of those with a reading of the hour that a time is in. */
  async recorded(keyspace: string, range: PartitionRange, time: number): Promise<ReadonlySet<string>> {
    const { day, hour } = placeOf(time);
    const isRead: Document = { [`hours.${hour}`]: { $exists: true } };
    const found = await this.collection
      .find(
        { keyspace, ...inRange('partition', range), time: new Date(day), ...isRead },
        { projection: { _id: 0, partition: 1 } },
      )
      .toArray();
    return new Set(found.map(({ partition }) => partition));
  }

  /** Of the time `[from, to)`, Drover's, milliseconds; by partition, oldest first. */
  async readings(
    keyspace: string,
    range: PartitionRange,
    { from, to }: { readonly from: number; readonly to: number },
  ): Promise<ReadonlyMap<string, readonly SizeReading[]>> {
    const days = { $gt: new Date(from - DAY_MS), $lt: new Date(to) };
    const found = this.collection.find(
      { keyspace, ...inRange('partition', range), time: days },
      { sort: { partition: 1, time: 1 } },
    );
    const byPartition = new Map<string, SizeReading[]>();
    for await (const { partition, hours } of found) {
      const readings = Object.values(hours).map(fromStored);
      const wanted = readings.filter(({ time }) => time >= from && time < to).sort((a, b) => a.time - b.time);
      if (wanted.length > 0) byPartition.set(partition, [...(byPartition.get(partition) ?? []), ...wanted]);
    }
    return byPartition;
  }

  /** Of a keyspace that is gone: one that is made under its name is another one. */
  async remove(keyspace: string): Promise<void> {
    await this.collection.deleteMany({ keyspace });
  }
}

function placeOf(time: number): { readonly day: number; readonly hour: number } {
  const day = Math.floor(time / DAY_MS) * DAY_MS;
  return { day, hour: Math.floor((time - day) / HOUR_MS) };
}

const toStored = ({ time, entities, ...size }: SizeReading): StoredReading => ({
  time: new Date(time),
  ...size,
  ...(entities === undefined
    ? {}
    : { entities: entities.map(([token, ...counted]) => [tokenToBson(token), ...counted] as const) }),
});

const fromStored = ({ time, entities, ...size }: StoredReading): SizeReading => ({
  time: time.getTime(),
  ...size,
  ...(entities === undefined
    ? {}
    : { entities: entities.map(([token, ...counted]) => [tokenFromBson(token), ...counted] as const) }),
});
