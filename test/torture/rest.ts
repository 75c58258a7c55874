import type { Db } from 'mongodb';
import type { Partition } from '../../domain/partition.js';
import { tokensOf } from '../../domain/partition.js';
import { contains } from '../../domain/token.js';
import { CHECKPOINTS, MARKERS } from '../../store/checkpoint.js';
import { isFenced } from '../../store/fenced-collection.js';
import { tokenOfKey } from '../../store/key-token.js';
import type { TortureCluster } from './cluster.js';
import { stillDocument } from './cluster.js';
import type { Finding } from './findings.js';
import type { State } from './model.js';
import { KEYSPACE, keyOf, stateOf } from './operations.js';
import type { TortureDocument } from './operations.js';

const PROBES = 48;
const DATABASE = KEYSPACE.split('.')[0]!;

export interface RestReport {
  readonly findings: readonly Finding[];
  /** What is stored in the end, at each document's owner. */
  readonly content: ReadonlyMap<string, State>;
}

/** What has to hold when no migration runs and nobody writes, asked of the nodes directly. */
export async function checkAtRest(cluster: TortureCluster): Promise<RestReport> {
  const { control } = cluster;
  const partitions = await control.catalog.partitions.list(KEYSPACE);
  const findings: Finding[] = [];
  for (const { name, handover } of partitions) {
    if (handover !== null) findings.push(stuck(`${name} is still held by migration ${handover.migration}`));
  }
  const content = new Map<string, State>();
  for (const node of control.nodes.names) {
    const db = (await control.nodes.get(node)).db(DATABASE);
    findings.push(...(await leftOvers(node, db)));
    for (const partition of partitions) {
      const isOwner = partition.route.source === node;
      const documents = await db.collection<TortureDocument>(partition.collection).find().toArray();
      if (isOwner) for (const document of documents) content.set(document._id, stateOf(document));
      else if (documents.length > 0) {
        const text = `${documents.length} documents of ${partition.name} are on ${node}, which does not own it`;
        findings.push({ kind: 'duplicates', text: `${text}, such as ${documents[0]!._id}` });
      }
    }
  }
  findings.push(...(await checkOwners(cluster, partitions)), ...checkStillDocuments(cluster, content));
  return { findings, content };
}

/** No migration runs, so nothing that belongs to one may be there. */
async function leftOvers(node: string, db: Db): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const collection of [CHECKPOINTS, MARKERS]) {
    const found = await db.collection<{ _id: string }>(collection).find().toArray();
    for (const { _id } of found) findings.push(stuck(`${collection} on ${node} still holds ${_id}`));
  }
  for (const { name } of await db.listCollections({}, { nameOnly: true }).toArray()) {
    if (name.includes('.closed-')) findings.push(stuck(`collection ${name} is still on ${node}`));
  }
  return findings;
}

/**
 * Exactly one node accepts a write of each token, and it is the one that the catalog names: tried by real inserts past all
 * routers.
 */
async function checkOwners({ control }: TortureCluster, partitions: readonly Partition[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (let i = 0; i < PROBES; i++) {
    const _id = `probe-${i}`;
    const token = tokenOfKey(keyOf(_id));
    const partition = partitions.find((each) => contains(tokensOf(each), token))!;
    const takers: string[] = [];
    for (const node of control.nodes.names) {
      const db = (await control.nodes.get(node)).db(DATABASE);
      if (await takesWrites(db, partition.collection, _id)) takers.push(node);
    }
    const what = `token ${token} of ${partition.name}, which ${partition.route.source} owns, is accepted by`;
    if (takers.length === 0) findings.push(stuck(`${what} no node`));
    else if (takers.length > 1) findings.push({ kind: 'duplicates', text: `${what} ${takers.join(' and ')}` });
    else if (takers[0] !== partition.route.source) findings.push(stuck(`${what} ${takers[0]}`));
  }
  return findings;
}

async function takesWrites(db: Db, name: string, _id: string): Promise<boolean> {
  // An insert would make a collection that is not there.
  if ((await db.listCollections({ name }).toArray()).length === 0) return false;
  const collection = db.collection<TortureDocument>(name);
  try {
    await collection.insertOne({ _id, customerId: keyOf(_id), value: 'probe', count: 0 });
    await collection.deleteOne({ _id });
    return true;
  } catch (error) {
    if (isFenced(error)) return false;
    throw error;
  }
}

function checkStillDocuments({ stillDocuments }: TortureCluster, content: ReadonlyMap<string, State>): Finding[] {
  return Array.from({ length: stillDocuments }, (_, i) => [stillDocument(i), i] as const)
    .filter(([_id, i]) => content.get(_id)?.count !== i)
    .map(([_id]) => ({ kind: 'lost', text: `${_id}, which nobody changes, is ${JSON.stringify(content.get(_id))}` }));
}

const stuck = (text: string): Finding => ({ kind: 'stuck', text });
