import type { Document, MongoClient } from 'mongodb';

/** A replica set of this version has what Drover relies on: change streams, transactions, functions of hashed keys. */
const OLDEST_VERSION = 6;

/** Why a deployment can't be a node, in a sentence; undefined when it can. */
export async function unsuitable(client: MongoClient): Promise<string | undefined> {
  const hello = await client.db('admin').command({ hello: 1 });
  if (hello['msg'] === 'isdbgrid') return 'it is a sharded cluster (mongos): only replica sets are supported yet';
  if (typeof hello['setName'] !== 'string') {
    return 'it is a standalone server: start it with --replSet and run rs.initiate(); one member is enough';
  }
  const { version } = await client.db('admin').command({ buildInfo: 1 });
  if (Number.parseInt(String(version), 10) < OLDEST_VERSION) {
    return `it runs MongoDB ${String(version)}: ${OLDEST_VERSION}.0 or later is needed`;
  }
  return undefined;
}

/** What Drover does in a keyspace's database, and on the node as a whole. */
const DATABASE_ACTIONS = [
  'find',
  'insert',
  'update',
  'remove',
  'listCollections',
  'listIndexes',
  'createCollection',
  'createIndex',
  'dropIndex',
  'dropCollection',
  'collMod',
  'changeStream',
  'bypassDocumentValidation',
  'renameCollectionSameDB',
] as const;
const CLUSTER_ACTIONS = ['serverStatus', 'inprog', 'killAnySession', 'killop'] as const;

interface Privilege {
  readonly resource: {
    readonly db?: string;
    readonly collection?: string;
    readonly cluster?: boolean;
    readonly anyResource?: boolean;
  };
  readonly actions: readonly string[];
}

/** Rights that the connection's user lacks, as `action on where`; nothing where the server asks for no user. */
export async function missingRights(client: MongoClient, databases: readonly string[]): Promise<string[]> {
  const { authInfo } = (await client.db('admin').command({ connectionStatus: 1, showPrivileges: true })) as {
    authInfo: Document;
  };
  if ((authInfo['authenticatedUsers'] as unknown[]).length === 0) return [];
  const privileges = authInfo['authenticatedUserPrivileges'] as Privilege[];
  const may = (action: string, covers: (resource: Privilege['resource']) => boolean) =>
    privileges.some(
      ({ resource, actions }) => actions.includes(action) && (resource.anyResource === true || covers(resource)),
    );
  return [
    ...databases.flatMap((database) =>
      DATABASE_ACTIONS.filter(
        (action) => !may(action, ({ db, collection }) => collection === '' && (db === database || db === '')),
      ).map((action) => `${action} on ${database}`),
    ),
    ...CLUSTER_ACTIONS.filter((action) => !may(action, ({ cluster }) => cluster === true)).map(
      (action) => `${action} on the cluster`,
    ),
  ];
}
