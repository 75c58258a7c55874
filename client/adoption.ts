import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Db, Document, MongoClient } from 'mongodb';
import { DroverError } from '../domain/errors.js';
import { equalIntervals } from '../domain/hash-ring.js';
import type { Partition } from '../domain/partition.js';
import { collectionOn, partitionId } from '../domain/partition.js';
import { TOKEN_END, TOKEN_MIN } from '../domain/token.js';
import type { Adoptable } from '../store/adoptable.js';
import { describeKeys, examineCollection, examineDefinition, unsuitableKeys } from '../store/adoptable.js';
import type { KeyspaceDocument } from '../store/catalog/keyspaces.js';
import type { Reservation } from '../store/catalog/reservations.js';
import type { OutsideWrites } from '../store/direct-writers.js';
import { describeClient, watchWriters } from '../store/direct-writers.js';
import { inspect, removeFence, setAccepted } from '../store/fenced-collection.js';
import { dropGates, makeGates, newGates, OUTSIDE } from '../store/gates.js';
import { missingRights } from '../store/suitability.js';
import type { ControlContext } from './context.js';
import type { CreateKeyspaceRequest } from './keyspaces.js';
import { checkRequest, keyspaceDocument } from './keyspaces.js';

export interface AdoptionRequest extends Omit<CreateKeyspaceRequest, 'validator'> {
  /** The node that has the collection; it need not be named when there is one alone. */
  readonly node?: string;
  /** How long to watch who writes past the routers, milliseconds. Default 10 s. */
  readonly watchMs?: number;
  /** Adopt although somebody was seen writing: they are to go through the router before anything moves. */
  readonly allowDirectWriters?: boolean;
}

export interface AdoptionPlan extends Pick<Adoptable, 'documents' | 'bytes' | 'indexed' | 'obstacles'> {
  readonly name: string;
  readonly key: string;
  readonly partitions: number;
  readonly node: string;
  readonly writes: OutsideWrites;
  /** Who writes past the routers, in a sentence; null when nobody was seen. */
  readonly directWriters: string | null;
}

/** A change of the fence reads as many entries as there are partitions in the collection. */
export const MAX_SHARING = 1_024;
const WATCH_MS = 10_000;
const FENCE_TRIES = 100;
const BETWEEN_TRIES_MS = 50;

/** Where the collection is. */
interface Place {
  readonly node: string;
  readonly database: string;
  readonly collection: string;
  readonly client: MongoClient;
}

interface Examined {
  readonly plan: AdoptionPlan;
  readonly validator: Document | undefined;
}

/**
 * Says what an adoption would find; changes nothing. Reads the collection once.
 *
 * @throws DroverError `InvalidRequest`, `Unavailable`
 */
export async function planAdoption(context: ControlContext, request: AdoptionRequest): Promise<AdoptionPlan> {
  return (await examine(context, request, await locate(context, request))).plan;
}

/**
 * Makes a keyspace of a collection where it is, without copying, while applications go on writing to it: at first its node owns
 * everything, so that the fence refuses no more than documents without a key.
 *
 * Every step may be repeated: an adoption that broke off goes on when it is asked for again. The collection is reserved in the
 * catalog meanwhile: another adoption, by another key above all, would look through its documents for something else.
 *
 * @throws DroverError `InvalidRequest`, `Refused` when the collection is not fit for it or is being adopted already, or somebody
 * was seen writing past the routers and that is not allowed
 */
export async function adoptKeyspace(context: ControlContext, request: AdoptionRequest): Promise<AdoptionPlan> {
  const { name: keyspace, key } = request;
  const place = await locate(context, request);
  return context.catalog.reservations.hold({ node: place.node, keyspace, key }, (reservation) =>
    adopt(context, request, place, reservation),
  );
}

async function adopt(
  context: ControlContext,
  request: AdoptionRequest,
  place: Place,
  reservation: Reservation,
): Promise<AdoptionPlan> {
  const { catalog } = context;
  const { name, key } = request;
  const { plan, validator } = await examine(context, request, place);
  const { database, collection } = place;
  const db = place.client.db(database);
  if (plan.obstacles.length > 0) throw refused(`${name} can't be adopted: ${plan.obstacles.join('; ')}`);
  if (plan.directWriters !== null && request.allowDirectWriters !== true) {
    throw refused(
      `${name} is written past the router: ${plan.directWriters}. Nothing is lost while nothing moves; --allow-direct-writers ` +
        'adopts it now, and these have to go through the router before the first move',
    );
  }
  if (!plan.indexed) await db.collection(collection).createIndex({ [key]: 'hashed' });
  const gate = await enter(db, collection, async () => {
    await catalog.reservations.confirm(reservation);
    if ((await catalog.keyspaces.find(name)) !== undefined) throw invalid(`keyspace "${name}" already exists`);
  });
  // The look, and the index, may have taken hours.
  const now = await examineDefinition(db, collection, key);
  if (now.obstacles.length > 0 || !isDeepStrictEqual(now.validator, validator)) {
    await dropGate(db, collection, gate);
    const what = now.obstacles.length > 0 ? now.obstacles.join('; ') : 'its validator was changed meanwhile';
    throw refused(`${name} can't be adopted: ${what}; run it again`);
  }
  const fence = { keyField: key, ...(validator === undefined ? {} : { validator }) };
  const everything = [{ low: TOKEN_MIN, high: TOKEN_END }];
  await through(() => setAccepted(db, collection, { ...fence, accepted: everything }, gate), name);
  // From here on none can be added; one may have come since they were looked for.
  const keys = await unsuitableKeys(db.collection(collection), key);
  if (keys.length > 0) {
    await takeFenceAway();
    throw refused(`${name} can't be adopted: ${describeKeys(key, keys)}`);
  }
  try {
    await catalog.addKeyspace(
      keyspaceDocument(request, { database, collection }, validator),
      partitionsOf(request, collection, plan.node, Math.floor(Date.now() / 1000)),
      reservation,
    );
  } catch (error) {
    // Of any other error nobody knows what came of it: whoever adopts it again finds out.
    if (error instanceof DroverError) await takeFenceAway();
    throw error;
  }
  await dropGate(db, collection, gate);
  return plan;

  async function takeFenceAway(): Promise<void> {
    await through(() => removeFence(db, collection, validator, gate), name);
    await dropGate(db, collection, gate);
  }
}

async function locate({ catalog, nodes }: ControlContext, request: AdoptionRequest): Promise<Place> {
  const { database, collection } = checkRequest(request, MAX_SHARING);
  const known = await catalog.keyspaces.find(request.name);
  if (known !== undefined) throw invalid(describeKnown(known));
  const node = await nodeOf({ catalog, nodes }, database, collection, request.node);
  return { node, database, collection, client: await nodes.get(node) };
}

async function examine(
  { catalog }: ControlContext,
  request: AdoptionRequest,
  { node, database, collection, client }: Place,
): Promise<Examined> {
  const { name, key } = request;
  const lacking = await missingRights(client, [database]);
  if (lacking.length > 0) throw refused(`Drover's user lacks rights on "${node}", grant them: ${lacking.join('; ')}`);
  const db = client.db(database);
  await refusePartition(catalog, database, collection, node);
  const { validator, ...found } = await examineCollection(db, collection, key);
  const writes = await watchWriters(client, name, request.watchMs ?? WATCH_MS);
  const { documents, bytes, indexed, obstacles } = found;
  const plan: AdoptionPlan = {
    name,
    key,
    partitions: request.partitions,
    node,
    documents,
    bytes,
    indexed,
    obstacles,
    writes,
    directWriters: describeWriters(writes),
  };
  return { plan, validator };
}

/** What holds partitions already is another keyspace's. */
async function refusePartition(
  catalog: ControlContext['catalog'],
  database: string,
  collection: string,
  node: string,
): Promise<void> {
  const there = (await catalog.partitions.list()).find(
    (partition) => partition.keyspace.startsWith(`${database}.`) && collectionOn(partition, node) === collection,
  );
  if (there !== undefined) throw invalid(`${database}.${collection} belongs to keyspace "${there.keyspace}"`);
}

/** Before there is a keyspace, every write is one past the routers. */
function describeWriters({ writers, counted }: OutsideWrites): string | null {
  if (writers.length === 0 && counted === 0) return null;
  const who = writers.map((writer) => `${describeClient(writer)}: ${writer.writes.join(', ')}`);
  const times = `${counted} writes were counted`;
  return who.length === 0 ? `${times}, each too quick to see whose` : `${who.join('; ')} (${times})`;
}

/** The node that was named, or the only one that has the collection. */
async function nodeOf(
  { catalog, nodes }: Pick<ControlContext, 'catalog' | 'nodes'>,
  database: string,
  collection: string,
  named: string | undefined,
): Promise<string> {
  if (named !== undefined) return (await catalog.nodes.get(named))._id;
  const having: string[] = [];
  for (const { _id } of await catalog.nodes.list()) {
    if ((await inspect((await nodes.get(_id)).db(database), collection)).exists) having.push(_id);
  }
  if (having.length === 1) return having[0]!;
  const where = having.length === 0 ? 'no node has' : `${having.join(' and ')} have`;
  throw invalid(`${where} a collection ${database}.${collection}: name the node that it is to be adopted on`);
}

/**
 * A gate for a change of the fence from outside of any migration. Those of others, which broke off, are dropped first, once
 * `confirm` has looked at the catalog; it looks again after this one is there: so what sleeps and wakes up when somebody else
 * has long gone on can neither open nor take away a fence, nor drop the gates of a migration that has begun since.
 */
export async function enter(db: Db, collection: string, confirm: () => Promise<void>): Promise<string> {
  await dropAllGates(db, collection, confirm);
  const [gate] = newGates(OUTSIDE, 0) as [string];
  await makeGates(db, collection, [gate]);
  try {
    await confirm();
    return gate;
  } catch (error) {
    await dropGates(db, collection, (each) => each.name === gate);
    throw error;
  }
}

/** A transaction of somebody that holds the collection is waited for. */
export async function through(change: () => Promise<boolean>, name: string): Promise<void> {
  for (let tries = 1; !(await change()); tries++) {
    if (tries === FENCE_TRIES) {
      throw new DroverError('TimedOut', `transactions on ${name} do not let its validator be changed: try again later`);
    }
    await delay(BETWEEN_TRIES_MS);
  }
}

export const dropGate = (db: Db, collection: string, gate: string): Promise<void> =>
  through(() => dropGates(db, collection, (each) => each.name === gate), collection);

/**
 * Where no partition can be moved, none of them is anybody's that is at work.
 *
 * @param confirm throws when partitions can be moved: those of a migration are made after it, and were not listed before
 */
export async function dropAllGates(db: Db, collection: string, confirm: () => Promise<void>): Promise<void> {
  await through(() => dropGates(db, collection, () => true, confirm), collection);
}

/** @param firstEpoch higher than any that routers may still know of an earlier keyspace of this name */
function partitionsOf(
  { name, partitions: count }: AdoptionRequest,
  collection: string,
  node: string,
  firstEpoch: number,
): Partition[] {
  return equalIntervals(count).map((interval, i) => ({
    id: partitionId(name, `p${i}`),
    keyspace: name,
    name: `p${i}`,
    box: [interval],
    collection: `${collection}.p${i}`,
    shared: { node, collection },
    epoch: firstEpoch,
    attempt: 0,
    gates: [],
    route: { source: node, target: null, boundary: interval.low, fence: null },
    handover: null,
    lastMovedAt: null,
  }));
}

const describeKnown = ({ _id, releasing }: KeyspaceDocument): string =>
  releasing === undefined
    ? `keyspace "${_id}" already exists`
    : `keyspace "${_id}" is being released: "drover keyspace release ${_id}" brings that to its end`;

const invalid = (message: string) => new DroverError('InvalidRequest', message);
const refused = (message: string) => new DroverError('Refused', message);
