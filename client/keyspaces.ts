import type { Document } from 'mongodb';
import { BSON, MongoServerError } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { equalIntervals, place } from '../domain/hash-ring.js';
import { compareNames } from '../domain/names.js';
import type { Partition } from '../domain/partition.js';
import { partitionId } from '../domain/partition.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import { rawOptions } from '../store/collection-definition.js';
import { unsupportedOption } from '../store/collection-support.js';
import { createFenced, dropIfExists, inspect } from '../store/fenced-collection.js';
import type { ControlContext } from './context.js';
import { listPartitions } from './partitions.js';

export interface CreateKeyspaceRequest {
  /** `<database>.<collection>` as applications see it. */
  readonly name: string;
  /** Path of the partition key; it is hashed. */
  readonly key: string;
  readonly partitions: number;
  /** The application's own rules for its documents, in MongoDB's query or `$jsonSchema` form; kept strictly. */
  readonly validator?: Document;
  /** Of the collections: `storageEngine`, `indexOptionDefaults`, `changeStreamPreAndPostImages`. */
  readonly options?: Document;
}

const MAX_PARTITIONS = 100_000;

/** @throws DroverError `InvalidRequest` */
export function checkRequest(
  { name, key, partitions: count }: CreateKeyspaceRequest,
  most: number,
): { readonly database: string; readonly collection: string } {
  const [database = '', ...rest] = name.split('.');
  const collection = rest.join('.');
  if (
    !/^[^\s/\\."$*<>:|?]{1,38}$/.test(database) ||
    !/^[^$\0]{1,120}$/.test(collection) ||
    collection.startsWith('system.')
  ) {
    throw invalid(`a keyspace is named <database>.<collection>, such as shop.orders; got ${JSON.stringify(name)}`);
  }
  if (['admin', 'local', 'config'].includes(database)) throw invalid(`"${database}" is one of MongoDB's own databases`);
  if (!/^[^$.\0][^$\0]*$/.test(key) || key.split('.').some((part) => part === '') || key === '_id.') {
    throw invalid(`the partition key must be the path of a field, such as customerId; got ${JSON.stringify(key)}`);
  }
  if (!Number.isInteger(count) || count < 1 || count > most) {
    throw invalid(`the number of partitions must be between 1 and ${most}; got ${count}`);
  }
  return { database, collection };
}

export function keyspaceDocument(
  { name, key }: CreateKeyspaceRequest,
  { database, collection }: { readonly database: string; readonly collection: string },
  validator: Document | undefined,
): KeyspaceDocument {
  return {
    _id: name,
    database,
    collection,
    dimensions: [{ kind: 'hashed', field: key }],
    // As text: a catalog document can't hold names that begin with a dollar sign everywhere.
    ...(validator === undefined ? {} : { validator: BSON.EJSON.stringify(validator) }),
    createdAt: new Date(),
  };
}

/**
 * Makes a keyspace: its partitions' fenced collections with the key's hashed index on the nodes, then the routes.
 * Applications see it when the last of these is written.
 *
 * @throws DroverError `InvalidRequest`
 */
export async function createKeyspace(
  { catalog, nodes }: ControlContext,
  request: CreateKeyspaceRequest,
): Promise<readonly Partition[]> {
  const { name, key, partitions: count } = request;
  const { database, collection } = checkRequest(request, MAX_PARTITIONS);
  const options = request.options ?? {};
  const reason = ['validator', 'validationLevel', 'validationAction'].some((option) => option in options)
    ? 'gets its validator otherwise: give it by itself'
    : unsupportedOption(options);
  if (reason !== undefined) throw invalid(`such a collection can't hold a partition: it ${reason}`);
  if ((await catalog.keyspaces.find(name)) !== undefined) throw invalid(`keyspace "${name}" already exists`);
  const available = (await catalog.nodes.list()).filter((node) => !node.draining).map((node) => node._id);
  if (available.length === 0) throw invalid('there is no node yet: name nodes in drover.yaml, or "drover node add"');

  const intervals = equalIntervals(count);
  const placed = place(
    intervals.map((_, i) => `p${i}`),
    available,
  );
  const partitions = intervals.map((interval, i): Partition => {
    const source = placed.get(`p${i}`)!;
    return {
      id: partitionId(name, `p${i}`),
      keyspace: name,
      name: `p${i}`,
      box: [interval],
      collection: `${collection}.p${i}`,
      epoch: 1,
      attempt: 0,
      gates: [],
      route: { source, target: null, boundary: interval.low, fence: null },
      handover: null,
      lastMovedAt: null,
    };
  });
  // Every name is looked at before anything is made.
  for (const { route, collection: physical } of partitions) {
    const { exists } = await inspect((await nodes.get(route.source)).db(database), physical);
    if (exists) throw invalid(`${database}.${physical} already exists on "${route.source}": rename or drop it first`);
  }
  const own = request.validator === undefined ? {} : { validator: request.validator };
  const made: Partition[] = [];
  try {
    for (const partition of partitions) {
      const db = (await nodes.get(partition.route.source)).db(database);
      try {
        const fence = { keyField: key, accepted: [partition.box[0]], ...own };
        await createFenced(db, partition.collection, fence, rawOptions(options));
      } catch (error) {
        if (made.length > 0 || !(error instanceof MongoServerError)) throw error;
        throw invalid(`the server refuses the validator or the options: ${error.message}`);
      }
      made.push(partition);
      await db.collection(partition.collection).createIndex({ [key]: 'hashed' });
    }
    await catalog.addKeyspace(keyspaceDocument(request, { database, collection }, request.validator), partitions);
  } catch (error) {
    for (const { route, collection: physical } of made) {
      await dropIfExists((await nodes.get(route.source)).db(database), physical);
    }
    throw error;
  }
  return partitions;
}

export interface KeyspaceSummary {
  readonly name: string;
  /** Path of the partition key. */
  readonly key: string;
  readonly partitions: number;
  /** Of these, how many are moving. */
  readonly moving: number;
  readonly createdAt: Date;
}

export interface KeyspaceDetails extends KeyspaceSummary {
  readonly nodes: readonly KeyspaceShare[];
}

/** What a node holds of a keyspace. */
export interface KeyspaceShare {
  readonly node: string;
  readonly region: string;
  readonly partitions: number;
  /** Null when the node can't be reached. */
  readonly documents: number | null;
  readonly bytes: number | null;
  readonly requestsLastHour: number;
}

export async function listKeyspaces({ catalog }: ControlContext): Promise<readonly KeyspaceSummary[]> {
  const [keyspaces, partitions] = await Promise.all([catalog.keyspaces.list(), catalog.partitions.list()]);
  return keyspaces.map((keyspace) => {
    const own = partitions.filter((partition) => partition.keyspace === keyspace._id);
    return summaryOf(keyspace, own.length, own.filter(({ handover }) => handover !== null).length);
  });
}

/** @throws DroverError `InvalidRequest` when there is no such keyspace */
export async function showKeyspace(context: ControlContext, name: string): Promise<KeyspaceDetails> {
  const keyspace = await context.catalog.keyspaces.get(name);
  const [partitions, nodes] = await Promise.all([listPartitions(context, name), context.catalog.nodes.list()]);
  const owners = [...new Set(partitions.map(({ owner }) => owner))].sort(compareNames);
  return {
    ...summaryOf(keyspace, partitions.length, partitions.filter(({ state }) => state !== 'steady').length),
    nodes: owners.map((node): KeyspaceShare => {
      const own = partitions.filter(({ owner }) => owner === node);
      const known = own.every(({ documents }) => documents !== null);
      return {
        node,
        region: nodes.find(({ _id }) => _id === node)?.region ?? 'unknown',
        partitions: own.length,
        documents: known ? own.reduce((sum, { documents }) => sum + (documents ?? 0), 0) : null,
        bytes: known ? own.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0) : null,
        requestsLastHour: own.reduce((sum, { requestsLastHour }) => sum + requestsLastHour, 0),
      };
    }),
  };
}

const summaryOf = (
  { _id: name, dimensions, createdAt }: KeyspaceDocument,
  partitions: number,
  moving: number,
): KeyspaceSummary => ({ name, key: dimensions[0].field, partitions, moving, createdAt });

const invalid = (message: string) => new DroverError('InvalidRequest', message);
