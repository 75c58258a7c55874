import type { BSONSerializeOptions, ChangeStream, Document, MongoClient } from 'mongodb';
import { MongoInvalidArgumentError, MongoServerError, Timestamp } from 'mongodb';
import { definedOf } from '../../domain/defined.js';
import { UNPROMOTED } from '../../store/raw-bson.js';
import type { KeyspaceHandle } from '../keyspaces.js';
import { ownReadConcern } from '../own-read-concern.js';
import type { Router } from '../router.js';
import { decodingOf } from '../sorted.js';
import { DocumentLookUp } from './full-documents.js';
import type { WatchOptions } from './log-event.js';
import { imagesAsked, namesOf, stagesOf } from './log-event.js';
import type { OpenLog } from './later-nodes.js';
import { LaterNodes } from './later-nodes.js';
import { MergedLog } from './merged-log.js';
import { NodeLog } from './node-log.js';
import type { NodePosition } from './position.js';
import { positionOf } from './position.js';
import { goOn, startNow } from './start.js';
import { UserPipeline } from './user-pipeline.js';
import { WatchedChanges } from './watched-changes.js';

/**
 * Begins to read the changes of a keyspace, at every node that has a part of one: whichever is given one later follows.
 *
 * @throws what a server answers to such a request; DroverError `Unavailable` when a node does not answer
 */
export async function openChanges(
  router: Router,
  namespace: string,
  stages: readonly Document[],
  options: WatchOptions,
): Promise<WatchedChanges> {
  const token = startOf(options);
  const keyspace = await router.keyspaces.get(namespace);
  await options.session?.ready();
  const resumed = token === undefined ? undefined : positionOf(namespace, token);
  const any = router.scatter.anyClient();
  const decoding = decodingOf(options, any.bsonOptions);
  const pipeline = await pipelineOf(any, keyspace, stages, options, decoding);
  const lookUp = options.fullDocument === 'updateLookup' ? new DocumentLookUp(router, keyspace) : undefined;

  const start = await (resumed === undefined ? startNow(router, keyspace) : goOn(router, resumed));
  const { nodes, sent, since } = start.position;
  const collections = router.scatter.collectionsOf(namespace);
  const exactly = pipeline !== undefined || lookUp !== undefined;
  const openLog: OpenLog = (node, client, position) => {
    const stream = watchNode(client, keyspace, options, position, exactly);
    return new NodeLog(node, client, stream, (collection) => collections.has(node, collection), position);
  };
  const logs = [...start.clients].map(([node, client]) => openLog(node, client, nodes.get(node)!));
  const later = new LaterNodes(router, keyspace, start, openLog);
  const changes = new WatchedChanges(keyspace, new MergedLog(namespace, logs, sent, since), later, {
    options,
    decoding,
    lookUp,
    pipeline,
    anyDb: () => router.scatter.anyClient().db(keyspace.database),
  });
  try {
    await Promise.all(logs.map((log) => log.open()));
    return changes;
  } catch (error) {
    await changes.close();
    throw error;
  }
}

/** @returns the token to go on with, if any */
function startOf({ resumeAfter, startAfter, startAtOperationTime, session }: WatchOptions): unknown {
  if (session?.inTransaction() === true) {
    throw new MongoServerError({
      code: 263,
      codeName: 'OperationNotSupportedInTransaction',
      message: 'a change stream cannot be opened within a transaction',
    });
  }
  if (startAtOperationTime) {
    throw new MongoInvalidArgumentError(
      'startAtOperationTime is the time of one node, and says nothing of the others: use resumeAfter with a resume token',
    );
  }
  if (resumeAfter && startAfter) {
    throw new MongoServerError({
      code: 50865,
      codeName: 'Location50865',
      message: "Do not specify both 'resumeAfter' and 'startAfter' in a $changeStream stage",
    });
  }
  return resumeAfter ?? startAfter ?? undefined;
}

async function pipelineOf(
  client: MongoClient,
  keyspace: KeyspaceHandle,
  stages: readonly Document[],
  options: WatchOptions,
  decoding: BSONSerializeOptions,
): Promise<UserPipeline | undefined> {
  if (stages.length === 0) return undefined;
  const { database, collection } = namesOf(keyspace);
  const settings = definedOf({ collation: options.collation, comment: options.comment, let: options.let });
  const pipeline = new UserPipeline(stages, settings, decoding);
  await pipeline.check(client.db(database), collection);
  return pipeline;
}

/** Where a node is read from is its own matter; others are for the application's pipeline, or are set anew. */
const NOT_FOR_NODES: ReadonlySet<string> = new Set([
  ...['resumeAfter', 'startAfter', 'startAtOperationTime', 'session'],
  ...['fullDocument', 'fullDocumentBeforeChange', 'collation', 'let'],
]);

function watchNode(
  client: MongoClient,
  keyspace: KeyspaceHandle,
  options: WatchOptions,
  { behind }: NodePosition,
  exactly: boolean,
): ChangeStream {
  const { database, collection } = namesOf(keyspace);
  const { session } = options;
  const others = Object.entries(options).filter(([name]) => !NOT_FOR_NODES.has(name));
  return client.db(database).watch(stagesOf(collection), {
    ...(session === undefined ? {} : ownReadConcern(client.options.readConcern)),
    ...Object.fromEntries(others),
    ...imagesAsked(options),
    // For who sends them on.
    ...(exactly ? UNPROMOTED : {}),
    ...(session === undefined ? {} : { session: session.at(client, []) }),
    ...(behind instanceof Timestamp ? { startAtOperationTime: behind } : { startAfter: { _data: behind } }),
  });
}
