import type { Partition } from '../domain/partition.js';
import { expiringNode, nodesOf, partitionId } from '../domain/partition.js';
import type { Catalog } from './catalog/catalog.js';
import { expiries, keptExpiries, NEVER, readDefinition } from './collection-definition.js';
import type { Leftover, Place } from './leftover.js';
import { isSettled } from './leftover.js';

/** Messages of a migration come no later than this after its end. */
const LATE_MS = 10 * 60_000;
const MOST_ENDED = 200;

/** Partitions whose migration has ended lately, and knew of indexes by which documents expire. */
export async function endedLately({ migrations }: Catalog): Promise<ReadonlySet<string>> {
  const lately = (await migrations.list({}, MOST_ENDED)).filter(
    ({ endedAt, definition }) =>
      endedAt !== undefined &&
      Date.now() - endedAt.getTime() < LATE_MS &&
      definition !== undefined &&
      keptExpiries(definition).size > 0,
  );
  return new Set(lately.map(({ keyspace, partition }) => partitionId(keyspace, partition)));
}

export const isChangingHands = (partition: Partition): boolean =>
  isSettled(partition) && partition.route.target !== null && expiringNode(partition) === null;

export async function unwantedExpiry(places: readonly Place[]): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const { node, db, keyspace, collection, partitions } of places) {
    const partition = partitions.find((each) => isChangingHands(each) && nodesOf(each).includes(node));
    if (partition === undefined) continue;
    const definition = await readDefinition(db, collection);
    const active = [...expiries(definition ?? NOTHING)].filter(([, seconds]) => seconds !== NEVER);
    if (active.length === 0) continue;
    const what = `documents expire by ${active.map(([name]) => name).join(', ')} while the partition changes hands`;
    found.push({ kind: 'expiry', node, keyspace: keyspace._id, partition: partition.name, collection, what });
  }
  return found;
}

/** Suspended by a migration that is over. */
export async function lackingExpiry({ migrations }: Catalog, places: readonly Place[]): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const { node, db, keyspace, collection, partitions } of places) {
    // Others in the collection don't expire either, as long as one of them moves.
    if (partitions.some((each) => each.handover !== null && nodesOf(each).includes(node))) continue;
    const partition = partitions.find(({ handover, route }) => handover === null && route.source === node);
    const definition = partition && (await readDefinition(db, collection));
    const suspended = [...expiries(definition ?? NOTHING)].filter(([, seconds]) => seconds === NEVER);
    if (partition === undefined || suspended.length === 0) continue;
    const names = partitions.map(({ name }) => name);
    const last = await migrations.lastDefined(keyspace._id, names, node);
    const before = last?.definition && keptExpiries(last.definition);
    const lacking = suspended.filter(([name]) => (before?.get(name) ?? NEVER) !== NEVER).map(([name]) => name);
    if (lacking.length === 0) continue;
    const what = `documents do not expire by ${lacking.join(', ')}: suspended by a migration that is over`;
    found.push({ kind: 'expiry', node, keyspace: keyspace._id, partition: partition.name, collection, what });
  }
  return found;
}

const NOTHING = { indexes: [] };
