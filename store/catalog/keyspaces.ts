import type { ClientSession, Collection, Document } from 'mongodb';
import { BSON } from 'mongodb';
import { DroverError } from '../../domain/errors.js';
import type { SharedCollection } from '../../domain/partition.js';
import type { Fence } from '../fenced-collection.js';

/** One dimension of a partition key. Only hashed ones exist so far; the form leaves room for ranges, time and region. */
export interface Dimension {
  kind: 'hashed';
  /** Path of the field, dotted where it is nested. */
  field: string;
}

export interface KeyspaceDocument {
  /** `<database>.<collection>` as applications see it. */
  _id: string;
  database: string;
  collection: string;
  dimensions: [Dimension, ...Dimension[]];
  /** The user's own validator of its documents, as extended JSON: it holds beside Drover's fence. */
  validator?: string;
  /** Where all of it is, once it is being made a plain collection again: its partitions have no entries any more. */
  releasing?: SharedCollection;
  createdAt: Date;
}

export class Keyspaces {
  constructor(private readonly collection: Collection<KeyspaceDocument>) {}

  async insert(keyspace: KeyspaceDocument, session?: ClientSession): Promise<void> {
    await this.collection.insertOne(keyspace, session === undefined ? {} : { session });
  }

  async setReleasing(name: string, releasing: SharedCollection, session: ClientSession): Promise<void> {
    await this.collection.updateOne({ _id: name }, { $set: { releasing } }, { session });
  }

  /** Never one of the same name that was made since. */
  async removeReleased({ _id, createdAt }: KeyspaceDocument): Promise<void> {
    await this.collection.deleteOne({ _id, createdAt, releasing: { $exists: true } });
  }

  async find(name: string): Promise<KeyspaceDocument | undefined> {
    return (await this.collection.findOne({ _id: name })) ?? undefined;
  }

  /** @throws DroverError `InvalidRequest` when there is no such keyspace */
  async get(name: string): Promise<KeyspaceDocument> {
    const keyspace = await this.find(name);
    if (keyspace !== undefined) return keyspace;
    const known = (await this.list()).map((each) => each._id).join(', ') || 'none yet';
    throw new DroverError(
      'InvalidRequest',
      `there is no keyspace "${name}"; known: ${known}. "drover keyspace create" makes one`,
    );
  }

  async list(): Promise<KeyspaceDocument[]> {
    return this.collection.find({}, { sort: { _id: 1 } }).toArray();
  }
}

/** What the fences of a keyspace's collections have in common. */
export const fenceOf = ({ dimensions, validator }: KeyspaceDocument): Omit<Fence, 'accepted'> => ({
  keyField: dimensions[0].field,
  ...(validator === undefined ? {} : { validator: BSON.EJSON.parse(validator) as Document }),
});
