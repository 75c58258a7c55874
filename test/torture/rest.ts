import type { Db } from 'mongodb';
import type { Partition } from '../../domain/partition.js';
import { readOwner, tokensOf } from '../../domain/partition.js';
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
/** It looks every ten seconds. */
const JANITOR_MAY_TAKE_MS = 25_000;
const DATABASE = KEYSPACE.split('.')[0]!;

export interface RestReport {
  readonly findings: readonly Finding[];
  /** What is stored in the end, at each document's owner. */
  readonly content: ReadonlyMap<string, State>;
}

/** What has to hold when nobody writes, asked of the nodes directly; and when no migration runs any more, all the rest. */
export async function checkAtRest(cluster: TortureCluster): Promise<RestReport> {
  const { control } = cluster;
  const partitions = await control.catalog.partitions.list(KEYSPACE);
  const content = new Map<string, State>();
  const findings: Finding[] = [];
  for (const node of control.nodes.names) {
    const db = (await control.nodes.get(node)).db(DATABASE);
    for (const partition of partitions) {
      const documents = await db.collection<TortureDocument>(partition.collection).find().toArray();
      const owned = documents.filter(({ customerId }) => readOwner(partition, tokenOfKey(customerId)) === node);
      for (const document of owned) content.set(document._id, stateOf(document));
      const foreign = documents.length - owned.length;
      if (partition.handover !== null || foreign === 0) continue;
      const text = `${foreign} documents of ${partition.name} are on ${node}, which does not own them`;
      findings.push({ kind: 'duplicates', text });
    }
  }
  findings.push(...checkStillDocuments(cluster, content));
  // Of a migration that is stuck it is known already; what it has under way is where it should be.
  if (partitions.some(({ handover }) => handover !== null)) return { findings, content };
  findings.push(...(await leftOvers(cluster)));
  return { findings: [...findings, ...(await checkOwners(cluster, partitions))], content };
}

/** No migration runs, so nothing that belongs to one may be there: not for longer than a janitor needs. */
async function leftOvers({ control }: TortureCluster): Promise<Finding[]> {
  const deadline = performance.now() + JANITOR_MAY_TAKE_MS;
  for (;;) {
    const found: Finding[] = [];
    for (const node of control.nodes.names) {
      found.push(...(await leftOversOn(node, (await control.nodes.get(node)).db(DATABASE))));
    }
    if (found.length === 0 || performance.now() > deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

async function leftOversOn(node: string, db: Db): Promise<Finding[]> {
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
  const wrong = new Map<string, Finding>();
  for (let i = 0; i < PROBES; i++) {
    const _id = `probe-${i}`;
    const token = tokenOfKey(keyOf(_id));
    const partition = partitions.find((each) => contains(tokensOf(each), token))!;
    const takers: string[] = [];
    for (const node of control.nodes.names) {
      const db = (await control.nodes.get(node)).db(DATABASE);
      if (await takesWrites(db, partition.collection, _id)) takers.push(node);
    }
    const owner = partition.route.source;
    if (takers.length === 1 && takers[0] === owner) continue;
    const by = takers.join(' and ') || 'no node';
    const text = `${partition.name}, owned by ${owner}, is accepted by ${by}: token ${token} and perhaps others`;
    wrong.set(`${partition.name} ${by}`, { kind: takers.length > 1 ? 'duplicates' : 'stuck', text });
  }
  return [...wrong.values()];
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
